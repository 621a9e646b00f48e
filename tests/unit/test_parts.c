/* Rows and persistent chains in parts: any number of them leaves the same states of rows, chains, samples and means;
 * products of hidden states have tables. */
#include "boltzmann/machine.h"
#include "boltzmann/stack.h"
#include "train/parts.h"

#include "small_rbm.h"

enum { V = 7, SHARDS = 4, BATCH = 58, ROWS = 29, CHAINS = 23, FIRST = 5, MOVES = 3, COLUMNS_MAX = 64 };

typedef struct left_behind {
    float data[ROWS * V], inferred[ROWS * COLUMNS_MAX];
    float chains[CHAINS * COLUMNS_MAX], samples[CHAINS * COLUMNS_MAX], expected[CHAINS * COLUMNS_MAX];
} left_behind;

static void keep(hm_matrix rows, float *out)
{
    if (rows.at) memcpy(out, rows.at, (size_t)(rows.rows * rows.columns) * sizeof(float));
}

static void prepare_in_parts(const hm_model *model, hm_feed *feed, hm_estimator estimator, int threads,
                             left_behind *out)
{
    const hm_objective *objective = model->class->objectives[0];
    const hm_contrast_settings how = {.estimator = (int)estimator, .k = 2, .layer = 2};
    const hm_team team = {threads};
    hm_workers workers = serial_workers(&team, SHARDS, 9);
    hm_parts parts = {.model = model,
                      .objective = objective,
                      .how = &how,
                      .feed = feed,
                      .rows = {BATCH - ROWS, BATCH},
                      .first_chain = FIRST,
                      .all_chains = FIRST + CHAINS};
    if (estimator == HM_PCD) parts.chains = (hm_matrix){out->chains, CHAINS, objective->chains->columns(model, &how)};
    memset(out, 0, sizeof *out);
    assert_ok(hm_parts_init(&parts, &workers));
    assert_int_equal(parts.count, threads < ROWS ? threads : ROWS);
    assert_ok(hm_parts_start(&parts, &team));
    for (int step = 0; step < MOVES; step++) {
        assert_ok(hm_feed_advance(feed, step, 0));
        assert_ok(hm_parts_prepare(&parts, &team, (uint64_t)step, false));
    }
    keep(parts.data, out->data);
    keep(parts.inferred, out->inferred);
    keep(parts.samples, out->samples);
    keep(parts.expected, out->expected);
    hm_parts_free(&parts);
}

static double total(const float *numbers, int count)
{
    double sum = 0;
    for (int i = 0; i < count; i++) sum += (double)numbers[i];
    return sum;
}

static hm_source *random_images(float data[])
{
    hm_source *source;
    hm_stream stream = {.seed = 3, .purpose = HM_RNG_SYNTH};
    for (int i = 0; i < BATCH * V; i++) data[i] = hm_random_uniform(&stream, i, 0);
    assert_ok(hm_source_memory(HM_FLOAT32, BATCH, V, data, &source));
    return source;
}

static void any_parts_leave_the_same(void **state)
{
    (void)state;
    /* Mean field ends with each row by itself. */
    static const struct {
        const char *family, *settings[8];
        hm_estimator estimator;
    } models[] = {{"rbm", {"hidden", "9"}, HM_PCD},
                  {"rbm", {"hidden", "9"}, HM_CD},
                  {"dbm", {"hidden", "[9, 5, 6]"}, HM_PCD},
                  {"dbm", {"hidden", "[9, 5, 6]"}, HM_CD},
                  {"dbm", {"hidden", "[9, 5, 6]", "mean_field_updates", "90", "mean_field_tolerance", "1e-3"}, HM_PCD},
                  {"dbm", {"hidden", "[9, 5]", "recognition", "true"}, HM_PCD},
                  {"dbn", {"hidden", "[9, 5]"}, HM_PCD},
                  {"dbn", {"hidden", "[9, 5]"}, HM_CD}};
    static left_behind one, many;
    static float data[BATCH * V];
    hm_source *source = random_images(data);
    hm_transform transform = {.binarize = HM_BINARIZE_DYNAMIC, .seed = 3};
    hm_feed *feed;
    /* A rank with the upper half of the shards. */
    assert_ok(hm_feed_open(source, &transform, 64, BATCH, SHARDS, (hm_range){SHARDS / 2, SHARDS}, &feed));
    for (size_t at = 0; at < sizeof models / sizeof models[0]; at++) {
        const char *const *settings = models[at].settings;
        hm_model *model = make_small_model(models[at].family, settings, V, &one_thread);
        draw_small_model(model, 0.7, 0.5, 0.4f, 4);
        prepare_in_parts(model, feed, models[at].estimator, 1, &one);
        for (int threads = 2; threads <= ROWS + 4; threads += 3) { /* more than there are chains, than there are rows */
            prepare_in_parts(model, feed, models[at].estimator, threads, &many);
            assert_memory_equal(&many, &one, sizeof one);
        }
        bool persistent = models[at].estimator == HM_PCD;
        assert_int_equal(total(one.samples, CHAINS * V) > 0, persistent); /* they moved */
        assert_in_range((uintmax_t)total(one.data, ROWS * V), 1, ROWS * V - 1);
        assert_int_equal(total(one.inferred, ROWS * COLUMNS_MAX) > 0,
                         !persistent || strcmp(models[at].family, "dbm") == 0);
        hm_model_free(model);
    }
    hm_feed_close(feed);
    source->close(source);
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
