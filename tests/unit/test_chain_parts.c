/* Persistent chains in parts: any number of them leaves the same chains, samples and means; products of hidden states
 * have tables. */
#include "boltzmann/machine.h"
#include "boltzmann/stack.h"
#include "train/chain_parts.h"

#include "small_rbm.h"

enum { V = 7, CHAINS = 23, FIRST = 5, MOVES = 3, COLUMNS_MAX = 64 };

typedef struct left_behind {
    float chains[CHAINS * COLUMNS_MAX], samples[CHAINS * COLUMNS_MAX], expected[CHAINS * COLUMNS_MAX];
} left_behind;

static void move_in_parts(const hm_model *model, int threads, left_behind *out)
{
    const hm_chain_functions *functions = model->class->objectives[0]->chains;
    const hm_contrast_settings how = {.estimator = HM_PCD, .k = 2, .layer = 1};
    const hm_team team = {threads};
    hm_workers workers = serial_workers(&team, 1, 9);
    hm_matrix chains = {out->chains, CHAINS, functions->columns(model, &how)};
    hm_chain_parts parts;
    memset(out, 0, sizeof *out);
    assert_ok(hm_chain_parts_init(&parts, model, functions, &how, &workers, chains, FIRST, FIRST + CHAINS));
    assert_int_equal(parts.count, threads < CHAINS ? threads : CHAINS);
    assert_ok(hm_chain_parts_start(&parts, &team));
    for (uint64_t step = 0; step < MOVES; step++) assert_ok(hm_chain_parts_move(&parts, &team, step));
    memcpy(out->samples, parts.samples.at, (size_t)(CHAINS * parts.samples.columns) * sizeof(float));
    memcpy(out->expected, parts.expected.at, (size_t)(CHAINS * parts.expected.columns) * sizeof(float));
    hm_chain_parts_free(&parts);
}

static void any_parts_leave_the_same(void **state)
{
    (void)state;
    static const struct {
        const char *family, *hidden;
    } models[] = {{"rbm", "9"}, {"dbm", "[9, 5, 6]"}, {"dbn", "[9, 5]"}};
    static left_behind one, many;
    for (size_t at = 0; at < sizeof models / sizeof models[0]; at++) {
        const char *const settings[] = {"hidden", models[at].hidden, NULL};
        hm_model *model = make_small_model(models[at].family, settings, V, &one_thread);
        draw_small_model(model, 0.7, 0.5, 0.4f, 4);
        move_in_parts(model, 1, &one);
        for (int threads = 2; threads <= CHAINS + 2; threads += 3) {
            move_in_parts(model, threads, &many);
            assert_memory_equal(&many, &one, sizeof one);
        }
        double on = 0;
        for (int i = 0; i < CHAINS * V; i++) on += (double)one.samples[i];
        assert_in_range((uintmax_t)on, 1, CHAINS * V - 1); /* they moved */
        hm_model_free(model);
    }
}

/* Those of hidden states have them, those of visible ones do not. */
static void products_of_hidden_states_have_tables(void **state)
{
    (void)state;
    hm_model *dbm = make_small_model("dbm", (const char *const[]){"hidden", "[4, 3]", NULL}, V, &one_thread);
    hm_model *dbn = make_small_model("dbn", (const char *const[]){"hidden", "[4, 3]", NULL}, V, &one_thread);
    for (int l = 0; l < 2; l++) {
        assert_int_equal(dbm->machine->up[l].tables, l > 0);
        assert_int_equal(dbn->stack->pair[l].up[0].tables, l > 0);
        assert_true(dbm->machine->down[l].tables && dbn->stack->pair[l].down[0].tables);
    }
    hm_model_free(dbm);
    hm_model_free(dbn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_parts_leave_the_same),
        cmocka_unit_test(products_of_hidden_states_have_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
