/* The tables of all families are whole, and one with any hole is refused by the name of what is missing. */
#include "small_rbm.h"

/* What the contrast loop calls of every family. */
#define MEMBER(NAME)                                                                                                   \
    {                                                                                                                  \
#NAME, offsetof(hm_model_class, NAME), sizeof(((hm_model_class *)0)->NAME)                                     \
    }
static const struct member {
    const char *name;
    size_t offset, size;
} called[] = {
    MEMBER(declare),       MEMBER(destroy),       MEMBER(init),         MEMBER(refresh),        MEMBER(monitors),
    MEMBER(chain_columns), MEMBER(scratch_bytes), MEMBER(start_chains), MEMBER(gradient),       MEMBER(monitor),
    MEMBER(finish),        MEMBER(free_energy),   MEMBER(base_biases),  MEMBER(sampling_bytes), MEMBER(gibbs),
};

static void every_family_has_a_whole_table(void **state)
{
    (void)state;
    int families = 0;
    for (; hm_model_classes[families]; families++) {
        const hm_model_class *class = hm_model_classes[families];
        int monitors = 0;
        assert_ok(hm_model_class_check(class));
        assert_ptr_equal(hm_model_find(class->name), class); /* names are unique */
        while (class->monitors[monitors].name) assert_non_null(class->monitors[monitors++].description);
        assert_in_range(monitors, 1, HM_MONITORS_MAX);
    }
    assert_true(families > 0);
    assert_null(hm_model_find("dragon"));
}

static void a_hole_is_refused_by_name(void **state)
{
    (void)state;
    for (int family = 0; hm_model_classes[family]; family++)
        for (size_t at = 0; at < sizeof called / sizeof called[0]; at++) {
            char quoted[64];
            hm_model_class holed = *hm_model_classes[family];
            memset((char *)&holed + called[at].offset, 0, called[at].size);
            snprintf(quoted, sizeof quoted, "`%s`", called[at].name);
            if (hm_model_class_check(&holed) != HM_EINTERNAL) fail_msg("a table without %s is taken", quoted);
            if (!strstr(hm_error_message(), quoted)) fail_msg("'%s' does not name %s", hm_error_message(), quoted);
            assert_non_null(strstr(hm_error_message(), holed.name));
            hm_error_clear();
        }
}

static void a_table_without_name_or_settings_is_refused(void **state)
{
    (void)state;
    static const struct member needed[] = {MEMBER(name), MEMBER(describe), MEMBER(settings)};
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
