/* The contrast loop as a whole: it climbs, gives the same bits on any number of threads, reaches its sparsity target,
 * keeps its schedule, and says at which update it diverged. */
#include "rbm_training.h"

/* ---- exact training climbs -------------------------------------------------------------------------------------- */

enum { SIDE = 3, PIXELS = SIDE * SIDE, PATTERNS = 2 * (1 << SIDE) - 2 };

/* Each pattern of SIDE bars, and of SIDE stripes; all on and all off once. */
static void bars_and_stripes(unsigned char data[PATTERNS * PIXELS])
{
    int row = 0;
    for (int bits = 0; bits < 1 << SIDE; bits++)
        for (int upright = 0; upright < 2; upright++) {
            if (upright && (bits == 0 || bits == (1 << SIDE) - 1)) continue;
            for (int pixel = 0; pixel < PIXELS; pixel++)
                data[row * PIXELS + pixel] = bits >> (upright ? pixel % SIDE : pixel / SIDE) & 1 ? 255 : 0;
            row++;
        }
    assert_int_equal(row, PATTERNS);
}

typedef struct climb {
    const unsigned char *data;
    double first, last; /* mean log-likelihood, nats */
    int64_t hidden, epochs;
} climb;

static hm_status must_climb(void *state, const hm_contrast *contrast)
{
    climb *c = state;
    double *theta = rbm_parameters(contrast->model);
    double value = rbm_log_likelihood(theta, PIXELS, c->hidden, c->data, PATTERNS) / PATTERNS;
    free(theta);
    if (c->epochs == 0) c->first = value;
    if (c->epochs > 0 && !(value > c->last))
        fail_msg("update %lld: %.9f nats after %.9f", (long long)c->epochs, value, c->last);
    c->last = value;
    c->epochs++;
    return HM_OK;
}

/* Small steps along the exact gradient of all rows raise the exact log-likelihood, every one of them. */
static void exact_training_climbs_at_every_update(void **state)
{
    (void)state;
    enum { EPOCHS = 800, HIDDEN = 4 };
    static unsigned char data[PATTERNS * PIXELS];
    bars_and_stripes(data);
    for (int centered = 0; centered < 2; centered++) {
        rbm_training t;
        climb c = {.data = data, .hidden = HIDDEN};
        hm_observer observer = {rbm_training_no_row, must_climb, &c};
        rbm_training_start(&t, small_rbm(PIXELS, HIDDEN, 0.1, 0.1, 2, &one_thread), data, PATTERNS,
                           (rbm_training_options){.how = {.estimator = HM_EXACT, .centered = centered},
                                                  .optimizer = {.learning_rate = 0.5},
                                                  .epochs = EPOCHS});
        assert_ok(hm_contrast_run(t.contrast, &observer));
        print_message("  %s: %.4f nats after the first update, %.4f after %d; entropy of the data %.4f\n",
                      centered ? "centred" : "plain", c.first, c.last, EPOCHS, log(PATTERNS));
        assert_int_equal(c.epochs, EPOCHS);
        assert_true(c.last > c.first + 0.5 && c.last < -log(PATTERNS));
        rbm_training_end(&t);
    }
}

/* ---- the same bits ---------------------------------------------------------------------------------------------- */

enum { VISIBLE = 130, HIDDEN = 13, ROWS = 90, RECORDS = 8 }; /* three strips of the gradient */

typedef struct recorded {
    int rows;
    double values[RECORDS][HM_METRICS_MAX];
} recorded;

static hm_status record(void *state, const hm_metric_row *row)
{
    recorded *metrics = state;
    memcpy(metrics->values[metrics->rows++], row->values, sizeof metrics->values[0]);
    return HM_OK;
}

static void train(rbm_training *t, const hm_team *team, const unsigned char *data, rbm_training_options options,
                  recorded *metrics)
{
    hm_observer observer = {record, rbm_training_no_step, metrics};
    *metrics = (recorded){0};
    rbm_training_start(t, small_rbm(VISIBLE, HIDDEN, 0.1, 0.1, 3, team), data, ROWS, options);
    assert_ok(hm_contrast_run(t->contrast, &observer));
}

static void same_bits(const rbm_training *a, const rbm_training *b)
{
    size_t bytes = (size_t)a->model->layout.size * sizeof(float);
    assert_memory_equal(a->model->params, b->model->params, bytes);
    for (int moment = 0; moment < a->contrast->optimizer.moments; moment++)
        assert_memory_equal(a->contrast->optimizer.moment[moment], b->contrast->optimizer.moment[moment], bytes);
    hm_matrix chains = a->contrast->chains;
    assert_int_equal(chains.rows, b->contrast->chains.rows);
    if (chains.rows > 0)
        assert_memory_equal(chains.at, b->contrast->chains.at, (size_t)(chains.rows * chains.columns) * sizeof(float));
}

static void any_number_of_threads_gives_the_same_bits(void **state)
{
    (void)state;
    static const hm_team two_threads = {2};
    const hm_team *const teams[] = {&two_threads, &three_threads};
    const rbm_training_options variants[] = {
        {.how = {.estimator = HM_PCD, .chains = 30, .k = 2}, .optimizer = {.learning_rate = 0.05, .momentum = 0.5}},
        {.how = {.estimator = HM_CD, .k = 3, .centered = true, .sparsity_target = 0.1, .sparsity_cost = 0.1},
         .optimizer = {.learning_rate = 0.05, .weight_decay = 0.01}},
        {.how = {.estimator = HM_EXACT, .centered = true},
         .optimizer = {.optimizer = HM_ADAM, .learning_rate = 0.01, .beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-8}},
    };
    unsigned char *data = rbm_training_data(ROWS, VISIBLE, 0.3, 4);
    for (int at = 0; at < 3; at++) {
        rbm_training one;
        recorded our_metrics, one_metrics;
        rbm_training_options options = variants[at];
        options.batch = 20, options.shards = 8, options.epochs = 2, options.monitor_every = 2;
        train(&one, &one_thread, data, options, &one_metrics);
        assert_int_equal(one_metrics.rows, 4); /* updates 2, 4, 6, 8 of 8 */
        for (int team = 0; team < 2; team++) {
            rbm_training ours;
            train(&ours, teams[team], data, options, &our_metrics);
            same_bits(&ours, &one);
            assert_memory_equal(&our_metrics, &one_metrics, sizeof our_metrics);
            rbm_training_end(&ours);
        }
        rbm_training_end(&one);
    }
    free(data);
}

/* ---- sparsity, schedule, divergence ----------------------------------------------------------------------------- */

/* Mean of p(h_j = 1 | v) over the data, of each unit, after training with the given cost. */
static void activities(double cost, double mean[6])
{
    enum { V = 8, H = 6, N = 40 };
    rbm_training t;
    unsigned char *data = rbm_training_data(N, V, 0.5, 9);
    rbm_training_start(
        &t, small_rbm(V, H, 0.1, 0.1, 2, &one_thread), data, N,
        (rbm_training_options){.how = {.estimator = HM_PCD, .sparsity_target = 0.1, .sparsity_cost = cost},
                               .optimizer = {.learning_rate = 0.1},
                               .epochs = 2000});
    assert_ok(hm_contrast_run(t.contrast, &rbm_training_unobserved));
    double *theta = rbm_parameters(t.model);
    for (int j = 0; j < H; j++) {
        mean[j] = 0;
        for (int row = 0; row < N; row++) mean[j] += rbm_hidden_mean(theta, V, H, rbm_bits(data + row * V, V), j) / N;
    }
    free(data), free(theta);
    rbm_training_end(&t);
}

static void sparsity_pulls_every_unit_to_its_target(void **state)
{
    (void)state;
    double without[6], with[6];
    activities(0, without);
    activities(1, with);
    for (int j = 0; j < 6; j++) {
        print_message("  unit %d: mean activity %.3f, with a target of 0.1: %.3f\n", j, without[j], with[j]);
        assert_true(without[j] > 0.3);
        assert_true(fabs(with[j] - 0.1) < 0.05);
    }
}

static hm_status check_rate(void *state, const hm_metric_row *row)
{
    const int *at = state;
    /* 4 epochs of 2 updates: the rate of update s, from 0, is that of epoch s / 2. */
    assert_close(row->values[*at], 0.4 + (0.1 - 0.4) * (double)(row->step - 1) / 8, 1e-12);
    return HM_OK;
}

static void learning_rate_reported_is_that_of_the_last_update(void **state)
{
    (void)state;
    rbm_training t;
    hm_monitor list[HM_METRICS_MAX];
    int at = 0;
    hm_observer observer = {check_rate, rbm_training_no_step, &at};
    unsigned char *data = rbm_training_data(16, 6, 0.3, 9);
    rbm_training_start(
        &t, small_rbm(6, 4, 0.1, 0.1, 2, &one_thread), data, 16,
        (rbm_training_options){
            .how = {.estimator = HM_CD},
            .optimizer = {.learning_rate = 0.4, .schedule = HM_SCHEDULE_LINEAR, .final_learning_rate = 0.1},
            .batch = 8,
            .epochs = 4,
            .monitor_every = 1});
    int count = hm_contrast_metrics(t.contrast->objective, &t.contrast->how, list);
    while (at < count && strcmp(list[at].name, "learning_rate") != 0) at++;
    assert_true(at < count);
    assert_ok(hm_contrast_run(t.contrast, &observer));
    free(data);
    rbm_training_end(&t);
}

/* Takes over the model, with 6 visible units. */
static void must_diverge(hm_model *model, int estimator, double learning_rate)
{
    rbm_training t;
    char update[64];
    unsigned char *data = rbm_training_data(40, 6, 0.3, 9);
    rbm_training_start(&t, model, data, 40,
                       (rbm_training_options){.how = {.estimator = estimator},
                                              .epochs = 200,
                                              .monitor_every = 1,
                                              .optimizer = {.learning_rate = learning_rate, .momentum = 0.9}});
    assert_int_equal(hm_contrast_run(t.contrast, &rbm_training_unobserved), HM_ENUMERIC);
    print_message("  %s\n", hm_error_message());
    assert_true(t.contrast->step < 200);
    snprintf(update, sizeof update, "after update %lld (", (long long)t.contrast->step);
    assert_non_null(strstr(hm_error_message(), update));
    assert_non_null(strstr(hm_error_message(), "learning_rate"));
    hm_error_clear();
    free(data);
    rbm_training_end(&t);
}

static void divergence_is_refused_at_its_update(void **state)
{
    (void)state;
    static const int estimators[] = {HM_CD, HM_PCD, HM_EXACT};
    for (int at = 0; at < 3; at++) {
        must_diverge(small_rbm(6, 4, 0.1, 0.1, 2, &one_thread), estimators[at], 1e38);
        hm_model *model = small_rbm(6, 4, 0.1, 0.1, 2, &one_thread);
        small_rbm_tensor(model, "W").at[7] = NAN;
        must_diverge(model, estimators[at], 0.1);
    }
    hm_model *model = small_rbm(6, 4, 0.1, 0.1, 2, &one_thread);
    for (int j = 0; j < 4; j++) small_rbm_tensor(model, "W").at[j] = 3e38f; /* finite, and log Z is not */
    must_diverge(model, HM_EXACT, 0.1);
}

/* Weights and biases that no update changes; what is wrong with them is found at a row of metrics. temperatures: of
 * parallel tempering, 0 without. */
static void expect_fault(float weight, float b, float c, double offset_rate, int64_t temperatures, const char *words)
{
    enum { FAULT_V = 4, FAULT_H = 3, FAULT_ROWS = 16 };
    unsigned char data[FAULT_ROWS * FAULT_V];
    rbm_training t;
    hm_model *model = small_rbm(FAULT_V, FAULT_H, 0.1, 0.1, 3, &one_thread);
    const struct {
        const char *name;
        float value;
    } values[] = {{"W", weight}, {"b", b}, {"c", c}, {"lambda", 0.5f}};
    for (size_t at = 0; at < sizeof values / sizeof values[0]; at++) {
        hm_matrix tensor = small_rbm_tensor(model, values[at].name);
        for (int64_t i = 0; i < tensor.rows * tensor.columns; i++) tensor.at[i] = values[at].value;
    }
    for (int i = 0; i < FAULT_ROWS * FAULT_V; i++) data[i] = i < FAULT_ROWS * FAULT_V / 2 ? 255 : 0;
    model->class->refresh(model);
    rbm_training_start(&t, model, data, FAULT_ROWS,
                       (rbm_training_options){.how = {.estimator = HM_PCD,
                                                      .chains = 8,
                                                      .offset_rate = offset_rate,
                                                      .sampler = temperatures > 0 ? HM_PARALLEL_TEMPERING : HM_GIBBS,
                                                      .temperatures = temperatures},
                                              .epochs = 300});
    t.contrast->stage = "frozen";
    assert_int_equal(hm_contrast_run(t.contrast, &rbm_training_unobserved), words ? HM_ENUMERIC : HM_OK);
    if (words) {
        print_message("  %s\n", hm_error_message());
        assert_non_null(strstr(hm_error_message(), words));
        assert_non_null(strstr(hm_error_message(), "in stage 'frozen'"));
        assert_non_null(strstr(hm_error_message(), "lower its learning_rate"));
        hm_error_clear();
    }
    rbm_training_end(&t);
}

static void divergence_with_finite_numbers_is_noticed(void **state)
{
    (void)state;
    expect_fault(1, 0, 40, 0.5, 0, "3 of 3 units of hidden layer 1 are dead");
    expect_fault(200, 0, 0, 0.01, 0, "the weights W have exploded");
    expect_fault(40, -60, -80, 0.01, 0, "persistent chains have stopped moving"); /* all on or all off, for ever */
    expect_fault(40, -40, -80, 0.01, 2, "persistent chains have stopped moving"); /* the warm replicas do move */
    expect_fault(1, -1.5f, -2, 0.01, 2, NULL);
    expect_fault(1, -1.5f, -2, 0.01, 0, NULL); /* the same, but they move */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_training_climbs_at_every_update),
        cmocka_unit_test(any_number_of_threads_gives_the_same_bits),
        cmocka_unit_test(sparsity_pulls_every_unit_to_its_target),
        cmocka_unit_test(learning_rate_reported_is_that_of_the_last_update),
        cmocka_unit_test(divergence_is_refused_at_its_update),
        cmocka_unit_test(divergence_with_finite_numbers_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
