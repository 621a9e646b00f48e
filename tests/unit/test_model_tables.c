/* The tables of all families are whole, and one with any hole is refused by the name of what is missing. */
#include "small_rbm.h"

#include "train/contrast.h"

typedef struct member {
    const char *name;
    size_t offset, size;
} member;
#define MEMBER(TYPE, NAME)                                                                                             \
    {                                                                                                                  \
#NAME, offsetof(TYPE, NAME), sizeof(((TYPE *)0)->NAME)                                                         \
    }
#define OF_CLASS(NAME) MEMBER(hm_model_class, NAME)
#define OF_OBJECTIVE(NAME) MEMBER(hm_objective, NAME)
#define OF_INFERENCE(NAME) MEMBER(hm_inference, NAME)
#define OF_CHAINS(NAME) MEMBER(hm_chain_functions, NAME)

/* What the commands call of every family, and the loop of every objective. */
static const member of_class[] = {
    OF_CLASS(declare),     OF_CLASS(destroy),     OF_CLASS(init),           OF_CLASS(refresh), OF_CLASS(objectives),
    OF_CLASS(free_energy), OF_CLASS(base_biases), OF_CLASS(sampling_bytes), OF_CLASS(gibbs), /* these: with an energy */
};
static const member of_objective[] = {
    OF_OBJECTIVE(reads),    OF_OBJECTIVE(monitors), OF_OBJECTIVE(scratch_bytes),
    OF_OBJECTIVE(gradient), OF_OBJECTIVE(monitor),
};
static const member of_inference[] = {OF_INFERENCE(columns), OF_INFERENCE(scratch_bytes), OF_INFERENCE(infer)};
static const member of_chains[] = {
    OF_CHAINS(columns), OF_CHAINS(sample_columns), OF_CHAINS(scratch_bytes), OF_CHAINS(start), OF_CHAINS(move),
};
enum {
    CLASS_MEMBERS = sizeof of_class / sizeof of_class[0],
    ENERGY_MEMBERS = 4,
    OBJECTIVE_MEMBERS = sizeof of_objective / sizeof of_objective[0],
    INFERENCE_MEMBERS = sizeof of_inference / sizeof of_inference[0],
    CHAIN_MEMBERS = sizeof of_chains / sizeof of_chains[0]
};

/* All words of `reads` are settings. */
static void check_reads(const hm_objective *objective)
{
    char words[256], *rest = words;
    assert_true(strlen(objective->reads) < sizeof words);
    strcpy(words, objective->reads);
    for (char *word; (word = strtok_r(rest, " ", &rest));)
        if (!hm_settings_find(&hm_contrast_table, word)) fail_msg("%s reads '%s'", objective->name, word);
}

static void every_family_has_a_whole_table(void **state)
{
    (void)state;
    int families = 0;
    for (; hm_model_classes[families]; families++) {
        const hm_model_class *class = hm_model_classes[families];
        assert_ok(hm_model_class_check(class));
        assert_ptr_equal(hm_model_find(class->name), class); /* names are unique */
        for (const hm_objective *const *at = class->objectives; *at; at++) {
            const hm_objective *objective = *at;
            int monitors = 0;
            check_reads(objective);
            assert_ptr_equal(hm_objective_find(class, objective->name), objective);
            while (objective->monitors[monitors].name) assert_non_null(objective->monitors[monitors++].description);
            assert_in_range(monitors, 1, HM_MONITORS_MAX);
        }
        assert_ptr_equal(hm_objective_find(class, "default"), *class->objectives);
        assert_null(hm_objective_find(class, "dragon"));
    }
    assert_true(families > 0);
    assert_null(hm_model_find("dragon"));
}

/* A table with member `hole` zeroed is refused, and the message names it and its table. */
static void refused(const hm_model_class *class, void *table, const member *hole, const char *name)
{
    char quoted[64];
    memset((char *)table + hole->offset, 0, hole->size);
    snprintf(quoted, sizeof quoted, "`%s`", hole->name);
    if (hm_model_class_check(class) != HM_EINTERNAL) fail_msg("a table without %s is taken", quoted);
    if (!strstr(hm_error_message(), quoted)) fail_msg("'%s' does not name %s", hm_error_message(), quoted);
    assert_non_null(strstr(hm_error_message(), name));
    hm_error_clear();
}

/* Of the table that the first objective points to at `offset`, if it has one: so many holes. */
static int holes_of_objective(const hm_model_class *class, size_t offset, size_t size, const member members[],
                              size_t count)
{
    const void *const *there = (const void *const *)((const char *)*class->objectives + offset);
    for (size_t at = 0; *there && at < count; at++) {
        hm_model_class whole = *class;
        hm_objective objective = **class->objectives;
        const hm_objective *const objectives[] = {&objective, NULL};
        void *holed[16];
        const void *table = holed;
        assert_true(size <= sizeof holed);
        memcpy(holed, *there, size);
        memcpy((char *)&objective + offset, &table, sizeof table);
        whole.objectives = objectives;
        refused(&whole, holed, &members[at], objective.name);
    }
    return *there ? (int)count : 0;
}

static void a_hole_is_refused_by_name(void **state)
{
    int inferring = 0;
    (void)state;
    for (int family = 0; hm_model_classes[family]; family++) {
        size_t members = CLASS_MEMBERS - (hm_model_classes[family]->free_energy ? 0 : ENERGY_MEMBERS);
        for (size_t at = 0; at < members; at++) {
            hm_model_class holed = *hm_model_classes[family];
            refused(&holed, &holed, &of_class[at], holed.name);
        }
        for (size_t at = 0; at < OBJECTIVE_MEMBERS; at++) {
            hm_model_class whole = *hm_model_classes[family];
            hm_objective objective = **whole.objectives;
            const hm_objective *const objectives[] = {&objective, NULL};
            whole.objectives = objectives;
            refused(&whole, &objective, &of_objective[at], objective.name);
        }
        inferring += holes_of_objective(hm_model_classes[family], offsetof(hm_objective, inference),
                                        sizeof(hm_inference), of_inference, INFERENCE_MEMBERS);
        holes_of_objective(hm_model_classes[family], offsetof(hm_objective, chains), sizeof(hm_chain_functions),
                           of_chains, CHAIN_MEMBERS);
    }
    assert_true(inferring > 0);
}

static void a_table_without_name_or_settings_is_refused(void **state)
{
    (void)state;
    static const member needed[] = {OF_CLASS(name), OF_CLASS(describe), OF_CLASS(settings)};
    for (size_t at = 0; at < sizeof needed / sizeof needed[0]; at++) {
        hm_model_class holed = *hm_model_classes[0];
        memset((char *)&holed + needed[at].offset, 0, needed[at].size);
        assert_int_equal(hm_model_class_check(&holed), HM_EINTERNAL);
        hm_error_clear();
    }
}

/* The layout says what the optimiser moves: learnt tensors, products among them, and nothing else decays. */
static void layouts_of_families_fit_the_optimiser(void **state)
{
    (void)state;
    hm_model *model = small_rbm(9, 5, 0.1, 0.1, 1, &one_thread);
    int products = 0;
    for (int index = 0; index < model->layout.count; index++) {
        const hm_tensor *tensor = &model->layout.tensors[index];
        assert_non_null(tensor->description);
        for (int axis = 0; axis < tensor->dims; axis++) assert_non_null(tensor->axes[axis]);
        if (tensor->products || tensor->decays) assert_int_equal(tensor->role, HM_LEARNT);
        products += tensor->products;
    }
    assert_true(products > 0);
    hm_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_family_has_a_whole_table),
        cmocka_unit_test(a_hole_is_refused_by_name),
        cmocka_unit_test(a_table_without_name_or_settings_is_refused),
        cmocka_unit_test(layouts_of_families_fit_the_optimiser),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
