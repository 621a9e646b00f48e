/* AIS and reverse AIS on RBMs whose log Z is known by enumeration. */
#include "infer/numeric.h"
#include "unit/small_rbm.h"

static const double NATS = 0.1; /* how near every estimate must come to the exact log Z */
static const double SIGMAS = 4; /* and in its own standard errors; seeds are fixed */

typedef struct estimate {
    const char *name;
    hm_ais_settings settings;
    hm_base base;
} estimate;

static double exact_log_z(const hm_model *model)
{
    hm_workers workers = serial_workers(&three_threads, 8, 1);
    double log_z = NAN;
    assert_ok(hm_exact_log_z(model, &workers, &log_z));
    return log_z;
}

static hm_ais_result run_ais(const hm_model *model, const hm_ais_settings *settings, hm_base base, hm_workers workers)
{
    float *biases = calloc((size_t)model->visible, sizeof *biases);
    hm_ais_result result;
    hm_base_biases(model, base, biases);
    assert_ok(hm_ais(model, biases, settings, &workers, &result));
    free(biases);
    return result;
}

/* The start of reverse AIS: independent draws of the base rates, which burn-in turns into samples of the model. */
static hm_matrix draw_start(const hm_model *model, int64_t chains)
{
    hm_matrix start = {calloc((size_t)(chains * model->visible), sizeof(float)), chains, model->visible};
    hm_stream stream = {.seed = 99, .purpose = HM_RNG_SYNTH};
    const float *rate = small_rbm_tensor(model, "base_rate").at;
    for (int64_t row = 0; row < chains; row++)
        for (int64_t i = 0; i < model->visible; i++)
            start.at[row * model->visible + i] = hm_random_uniform(&stream, row, i) < rate[i];
    return start;
}

static hm_ais_result run_reverse(const hm_model *model, const hm_ais_settings *settings, hm_base base,
                                 hm_workers workers, const hm_ais_result *forward)
{
    float *biases = calloc((size_t)model->visible, sizeof *biases);
    hm_matrix start = draw_start(model, settings->chains);
    hm_ais_result result;
    hm_base_biases(model, base, biases);
    assert_ok(hm_ais_reverse(model, biases, start, settings, forward ? forward->temperatures : 0,
                             forward ? forward->betas : NULL, &workers, &result));
    free(start.at);
    free(biases);
    return result;
}

/* What must hold within one result, whatever the model. */
static void check_consistency(const hm_ais_result *result, const hm_ais_settings *settings)
{
    assert_int_equal(result->chains, settings->chains);
    assert_true(result->betas[0] == 0 && result->betas[result->temperatures - 1] == 1);
    assert_true(result->ess >= 1 && result->ess <= (double)result->chains * (1 + 1e-12));
    assert_true(result->log_z_lower < result->log_z && result->log_z < result->log_z_upper);
    assert_true(result->log_z_stderr > 0 && result->log_weight_spread > 0 && result->seconds > 0);
}

static void check_estimate(const char *what, const hm_ais_result *result, double exact)
{
    print_message("  %-28s log Z %.4f +- %.4f, exact %.4f, ESS %.1f of %lld, %lld temperatures\n", what, result->log_z,
                  result->log_z_stderr, exact, result->ess, (long long)result->chains, (long long)result->temperatures);
    double error = fabs(result->log_z - exact);
    assert_true(error <= NATS);
    assert_true(error <= SIGMAS * result->log_z_stderr);
    assert_true(result->log_z_lower <= exact && exact <= result->log_z_upper);
}

/* Forward and reverse of one model with both bases and all ladders. */
static void check_model(const char *name, int64_t visible, int64_t hidden, double weights, double biases)
{
    double custom[] = {0,    0.01, 0.02, 0.05, 0.1,  0.15, 0.2,  0.25, 0.3,   0.35, 0.4,   0.45, 0.5,
                       0.55, 0.6,  0.65, 0.7,  0.75, 0.8,  0.85, 0.9,  0.925, 0.95, 0.975, 1};
    const estimate estimates[] = {
        {"linear, data",
         {.chains = 400, .ladder = HM_LADDER_LINEAR, .temperatures = 2000, .burn_in = 500},
         HM_BASE_DATA},
        {"linear, uniform",
         {.chains = 400, .ladder = HM_LADDER_LINEAR, .temperatures = 2000, .burn_in = 500},
         HM_BASE_UNIFORM},
        {"adaptive, data",
         {.chains = 400, .ladder = HM_LADDER_ADAPTIVE, .ess_target = 0.9998, .burn_in = 500},
         HM_BASE_DATA},
        {"adaptive, uniform",
         {.chains = 400, .ladder = HM_LADDER_ADAPTIVE, .ess_target = 0.9998, .burn_in = 500},
         HM_BASE_UNIFORM},
        {"custom, data",
         {.chains = 6000, .ladder = HM_LADDER_CUSTOM, .betas = {25, custom}, .burn_in = 500},
         HM_BASE_DATA},
    };
    hm_model *model = small_rbm(visible, hidden, weights, biases, 5, &one_thread);
    hm_workers workers = serial_workers(&three_threads, 8, 12);
    double exact = exact_log_z(model);
    for (size_t e = 0; e < sizeof estimates / sizeof estimates[0]; e++) {
        print_message("%s, %s\n", name, estimates[e].name);
        hm_ais_result up = run_ais(model, &estimates[e].settings, estimates[e].base, workers);
        hm_ais_result down = run_reverse(model, &estimates[e].settings, estimates[e].base, workers, &up);
        check_consistency(&up, &estimates[e].settings);
        check_consistency(&down, &estimates[e].settings);
        check_estimate("forward", &up, exact);
        check_estimate("reverse", &down, exact);
        assert_memory_equal(up.betas, down.betas, (size_t)up.temperatures * sizeof *up.betas);
        hm_ais_result_free(&up);
        hm_ais_result_free(&down);
    }
    hm_model_free(model);
}

static void weak_weights(void **state)
{
    (void)state;
    check_model("weak", 30, 8, 0.2, 0.5);
}

static void strong_weights(void **state)
{
    (void)state;
    check_model("strong", 24, 10, 2.0, 2.0);
}

static void published_ladder_on_one_model(void **state)
{
    (void)state;
    hm_model *model = small_rbm(20, 10, 1, 1, 6, &one_thread);
    hm_ais_settings settings = {.chains = 40, .ladder = HM_LADDER_SALAKHUTDINOV2008, .burn_in = 500};
    hm_workers workers = serial_workers(&three_threads, 8, 3);
    hm_ais_result up = run_ais(model, &settings, HM_BASE_DATA, workers);
    hm_ais_result down = run_reverse(model, &settings, HM_BASE_DATA, workers, NULL);
    assert_int_equal(up.temperatures, 14503);
    assert_int_equal(down.temperatures, 14503);
    check_estimate("forward", &up, exact_log_z(model));
    check_estimate("reverse", &down, exact_log_z(model));
    hm_ais_result_free(&up);
    hm_ais_result_free(&down);
    hm_model_free(model);
}

/* Where chains mix, the losses of the steps are independent and add: with an ESS of n (1 - loss) at each, the variance
 * of the log-weights is the number of steps times the loss. A ladder that misses its target by a factor of two would
 * show. */
static void adaptive_ladder_reaches_its_target(void **state)
{
    (void)state;
    hm_model *model = small_rbm(30, 8, 0.2, 0.5, 5, &one_thread);
    const double targets[] = {0.9, 0.99, 0.999};
    int64_t temperatures = 0;
    for (int t = 0; t < 3; t++) {
        hm_ais_settings settings = {.chains = 1000, .ladder = HM_LADDER_ADAPTIVE, .ess_target = targets[t]};
        hm_ais_result up = run_ais(model, &settings, HM_BASE_UNIFORM, serial_workers(&three_threads, 8, 17));
        double expected = (double)(up.temperatures - 1) * 0.9 * (1 - targets[t]); /* a tenth is left as slack */
        double ratio = up.log_weight_spread * up.log_weight_spread / expected;
        print_message("  target %g: %lld temperatures, variance %.4g, %.2f of the expected\n", targets[t],
                      (long long)up.temperatures, up.log_weight_spread * up.log_weight_spread, ratio);
        assert_true(ratio >= 0.6 && ratio <= 1.5);
        assert_true(up.temperatures > 2 * temperatures); /* sqrt(10) times as many for a tenth of the loss */
        temperatures = up.temperatures;
        hm_ais_result_free(&up);
    }
    hm_model_free(model);
}

/* Too few temperatures: both ways err, on opposite sides, and the exact value lies between them (Grosse et al. 2016).
 */
static void a_short_ladder_is_bracketed(void **state)
{
    (void)state;
    hm_model *model = small_rbm(40, 12, 2, 1, 5, &one_thread);
    hm_ais_settings settings = {.chains = 100, .ladder = HM_LADDER_LINEAR, .temperatures = 5, .burn_in = 2000};
    hm_workers workers = serial_workers(&three_threads, 8, 4);
    double exact = exact_log_z(model);
    hm_ais_result up = run_ais(model, &settings, HM_BASE_UNIFORM, workers);
    hm_ais_result down = run_reverse(model, &settings, HM_BASE_UNIFORM, workers, NULL);
    print_message("  forward %.3f < exact %.3f < reverse %.3f\n", up.log_z, exact, down.log_z);
    assert_true(up.log_z < exact - 0.5);
    assert_true(down.log_z > exact + 0.5);
    hm_ais_result_free(&up);
    hm_ais_result_free(&down);
    hm_model_free(model);
}

/* No step can lose anything: independent units, started from their own distribution. */
static void base_equal_to_the_model_is_exact(void **state)
{
    (void)state;
    hm_model *model = small_rbm(50, 4, 0, 1, 8, &one_thread);
    hm_matrix b = small_rbm_tensor(model, "b"), c = small_rbm_tensor(model, "c");
    memset(c.at, 0, (size_t)c.columns * sizeof(float));
    model->class->refresh(model);
    hm_ais_settings settings = {.chains = 10, .ladder = HM_LADDER_LINEAR, .temperatures = 2};
    hm_workers workers = serial_workers(&one_thread, 4, 1);
    hm_ais_result result;
    assert_ok(hm_ais(model, b.at, &settings, &workers, &result));
    assert_close(result.log_z, exact_log_z(model), 1e-4);
    assert_close(result.ess, 10, 1e-6);
    hm_ais_result_free(&result);
    hm_model_free(model);
}

/* The steps of random streams that a run asks of the family, seen by a family that passes everything on to the RBM. */
typedef struct steps {
    uint64_t first, next; /* consecutive: first, first + 1, ..., next - 1 */
    double last_beta;
} steps;

static steps moved, burnt_in;
static const hm_model_class *spied_on;

static hm_status spy_move(const hm_model *model, hm_walk *walk, double beta, hm_purpose hidden, hm_purpose visible,
                          uint64_t step)
{
    if (moved.next == 0) moved = (steps){step, step, beta};
    assert_true(step == moved.next);
    moved.next++;
    moved.last_beta = beta;
    assert_true(hidden == HM_RNG_AIS_HIDDEN && visible == HM_RNG_AIS_VISIBLE);
    return spied_on->annealing->move(model, walk, beta, hidden, visible, step);
}

static hm_status spy_gibbs(const hm_model *model, const hm_gibbs_steps *wanted, hm_matrix v, hm_arena *scratch)
{
    if (burnt_in.next == 0) burnt_in = (steps){wanted->first, wanted->first, 0};
    assert_true(wanted->first == burnt_in.next);
    burnt_in.next += (uint64_t)wanted->count;
    return spied_on->gibbs(model, wanted, v, scratch);
}

/* No step of a stream is used twice: not within a run, and not by the two ways. */
static void every_random_number_is_used_once(void **state)
{
    (void)state;
    hm_model *model = small_rbm(20, 5, 1, 1, 6, &one_thread);
    hm_workers workers = serial_workers(&one_thread, 1, 3);
    hm_ais_settings settings = {.chains = 5, .ladder = HM_LADDER_LINEAR, .temperatures = 200, .burn_in = 333};
    spied_on = model->class;
    hm_annealing annealing = *spied_on->annealing;
    hm_model_class class = *spied_on;
    annealing.move = spy_move;
    class.annealing = &annealing;
    class.gibbs = spy_gibbs;
    model->class = &class;

    hm_ais_result up = run_ais(model, &settings, HM_BASE_DATA, workers);
    steps forward = moved;
    assert_int_equal(forward.next - forward.first, 198); /* no move at either end */
    assert_true(forward.last_beta == up.betas[198]);
    moved = (steps){0};
    hm_ais_result down = run_reverse(model, &settings, HM_BASE_DATA, workers, NULL);
    assert_int_equal(moved.next - moved.first, 198);
    assert_true(moved.last_beta == down.betas[1]);
    assert_true(moved.first >= forward.next);
    assert_int_equal(burnt_in.next - burnt_in.first, 333);
    model->class = spied_on;
    hm_ais_result_free(&up);
    hm_ais_result_free(&down);
    hm_model_free(model);
}

/* hm_log that remembers. */
typedef struct memory {
    int64_t lines, last_done, last_total;
} memory;

static void remember(hm_log *log, const hm_progress *progress)
{
    memory *m = log->state;
    m->lines++;
    m->last_done = progress->done;
    m->last_total = progress->total;
    assert_non_null(progress->what);
}

static void progress_is_throttled_and_ends_complete(void **state)
{
    (void)state;
    hm_model *model = small_rbm(20, 5, 1, 1, 6, &one_thread);
    memory seen = {0};
    hm_log log = {.progress = remember, .state = &seen};
    hm_workers workers = serial_workers(&one_thread, 8, 3);
    hm_ais_settings settings = {.chains = 16, .ladder = HM_LADDER_LINEAR, .temperatures = 3000};
    workers.log = &log;
    hm_ais_result result = run_ais(model, &settings, HM_BASE_DATA, workers);
    assert_true(seen.lines >= 1 && (double)seen.lines <= 2 + result.seconds / 0.2);
    assert_true(seen.last_done == 2999 && seen.last_total == 2999);
    hm_ais_result_free(&result);
    hm_model_free(model);
}

static void nan_parameters_name_the_temperature(void **state)
{
    (void)state;
    hm_model *model = small_rbm(20, 5, 1, 1, 6, &one_thread);
    hm_workers workers = serial_workers(&three_threads, 8, 3);
    float *biases = calloc(20, sizeof *biases);
    small_rbm_tensor(model, "b").at[3] = NAN;
    model->class->refresh(model);
    for (int ladder = HM_LADDER_LINEAR; ladder <= HM_LADDER_ADAPTIVE; ladder++) {
        hm_ais_settings settings = {.chains = 16, .ladder = ladder, .temperatures = 100, .ess_target = 0.99};
        hm_ais_result result;
        assert_int_equal(hm_ais(model, biases, &settings, &workers, &result), HM_ENUMERIC);
        print_message("  %s\n", hm_error_message());
        assert_non_null(strstr(hm_error_message(), "beta = "));
        assert_null(result.log_weights);
        assert_null(result.betas);
        hm_error_clear();
    }
    free(biases);
    hm_model_free(model);
}

static void adaptive_reverse_needs_the_forward_ladder(void **state)
{
    (void)state;
    hm_model *model = small_rbm(6, 3, 1, 1, 6, &one_thread);
    hm_workers workers = serial_workers(&one_thread, 8, 3);
    hm_ais_settings settings = {.chains = 16, .ladder = HM_LADDER_ADAPTIVE, .ess_target = 0.99};
    hm_matrix start = draw_start(model, 16);
    float biases[6] = {0};
    hm_ais_result result;
    assert_int_equal(hm_ais_reverse(model, biases, start, &settings, 0, NULL, &workers, &result), HM_EUSAGE);
    hm_error_clear();
    start.rows = 15;
    assert_int_equal(hm_ais_reverse(model, biases, start, &settings, 0, NULL, &workers, &result), HM_EINTERNAL);
    hm_error_clear();
    free(start.at);
    hm_model_free(model);
}

static void bits_do_not_depend_on_shards_or_threads(void **state)
{
    (void)state;
    hm_model *model = small_rbm(37, 9, 1, 1, 6, &one_thread);
    hm_ais_settings settings = {.chains = 21, .ladder = HM_LADDER_ADAPTIVE, .ess_target = 0.95, .burn_in = 120};
    hm_ais_result first = run_ais(model, &settings, HM_BASE_DATA, serial_workers(&one_thread, 1, 3));
    hm_ais_result down = run_reverse(model, &settings, HM_BASE_DATA, serial_workers(&one_thread, 1, 3), &first);
    const int shards[] = {1, 4, 8, 32}; /* 32: some have no chain */
    for (int s = 0; s < 4; s++) {
        hm_workers workers = serial_workers(&three_threads, shards[s], 3);
        hm_ais_result up = run_ais(model, &settings, HM_BASE_DATA, workers);
        hm_ais_result reverse = run_reverse(model, &settings, HM_BASE_DATA, workers, &up);
        assert_int_equal(up.temperatures, first.temperatures);
        assert_memory_equal(up.betas, first.betas, (size_t)up.temperatures * sizeof(double));
        assert_memory_equal(up.log_weights, first.log_weights, 21 * sizeof(double));
        assert_memory_equal(reverse.log_weights, down.log_weights, 21 * sizeof(double));
        assert_true(up.log_z == first.log_z && reverse.log_z == down.log_z);
        hm_ais_result_free(&up);
        hm_ais_result_free(&reverse);
    }
    hm_ais_result_free(&first);
    hm_ais_result_free(&down);
    hm_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weak_weights),
        cmocka_unit_test(strong_weights),
        cmocka_unit_test(published_ladder_on_one_model),
        cmocka_unit_test(adaptive_ladder_reaches_its_target),
        cmocka_unit_test(a_short_ladder_is_bracketed),
        cmocka_unit_test(base_equal_to_the_model_is_exact),
        cmocka_unit_test(every_random_number_is_used_once),
        cmocka_unit_test(progress_is_throttled_and_ends_complete),
        cmocka_unit_test(nan_parameters_name_the_temperature),
        cmocka_unit_test(adaptive_reverse_needs_the_forward_ladder),
        cmocka_unit_test(bits_do_not_depend_on_shards_or_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
