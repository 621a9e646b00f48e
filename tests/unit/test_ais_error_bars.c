/* The reported standard errors are those of the estimates: over independent seeds the estimates scatter around the
 * exact value as they say, in both directions, and the two directions do not share their random numbers. */
#include "unit/small_rbm.h"

enum { SEEDS = 40, VISIBLE = 20, HIDDEN = 8, CHAINS = 200 };

/* Central 99.9 % of the chi-square distribution with 40 degrees of freedom. The quantiles of scipy.stats.chi2. */
static const double CHI2_LOW = 16.9062, CHI2_HIGH = 76.0946;

typedef struct run {
    double log_z, std_error;
} run;

static run estimate(const hm_model *model, const hm_ais_settings *settings, uint64_t seed, hm_matrix start)
{
    hm_workers workers = serial_workers(&three_threads, 8, seed);
    float biases[VISIBLE];
    hm_ais_result result;
    hm_base_biases(model, HM_BASE_DATA, biases);
    if (start.at)
        assert_ok(hm_ais_reverse(model, biases, start, settings, 0, NULL, &workers, &result));
    else
        assert_ok(hm_ais(model, biases, settings, &workers, &result));
    run out = {result.log_z, result.log_z_stderr};
    hm_ais_result_free(&result);
    return out;
}

static void check_scatter(const char *what, const run runs[SEEDS], double exact)
{
    double chi2 = 0, bias = 0;
    for (int seed = 0; seed < SEEDS; seed++) {
        double z = (runs[seed].log_z - exact) / runs[seed].std_error;
        chi2 += z * z;
        bias += z / sqrt(SEEDS);
    }
    print_message("  %s: chi-square %.1f in [%.1f, %.1f]; mean deviation %.2f standard errors; first error %.4f\n",
                  what, chi2, CHI2_LOW, CHI2_HIGH, bias, runs[0].std_error);
    assert_true(chi2 >= CHI2_LOW && chi2 <= CHI2_HIGH);
    assert_true(fabs(bias) <= 3.3);
}

static double correlation(const run a[SEEDS], const run b[SEEDS])
{
    double mean_a = 0, mean_b = 0, aa = 0, bb = 0, ab = 0;
    for (int seed = 0; seed < SEEDS; seed++) {
        mean_a += a[seed].log_z / SEEDS;
        mean_b += b[seed].log_z / SEEDS;
    }
    for (int seed = 0; seed < SEEDS; seed++) {
        double x = a[seed].log_z - mean_a, y = b[seed].log_z - mean_b;
        aa += x * x;
        bb += y * y;
        ab += x * y;
    }
    return ab / sqrt(aa * bb);
}

static void scatter_agrees_with_the_reported_error(void **state)
{
    (void)state;
    hm_model *model = small_rbm(VISIBLE, HIDDEN, 0.7, 0.7, 21, &one_thread);
    hm_workers workers = serial_workers(&one_thread, 8, 1);
    hm_ais_settings settings = {.chains = CHAINS, .ladder = HM_LADDER_LINEAR, .temperatures = 60, .burn_in = 300};
    float *rows = calloc((size_t)CHAINS * VISIBLE, sizeof *rows);
    hm_matrix start = {rows, CHAINS, VISIBLE}, forward = {0};
    run up[SEEDS], down[SEEDS];
    double exact = NAN;
    assert_ok(hm_exact_log_z(model, &workers, &exact));
    for (int seed = 0; seed < SEEDS; seed++) {
        up[seed] = estimate(model, &settings, (uint64_t)seed + 1000, forward);
        down[seed] = estimate(model, &settings, (uint64_t)seed + 1000, start);
    }
    check_scatter("forward", up, exact);
    check_scatter("reverse", down, exact);
    double shared = correlation(up, down);
    print_message("  correlation of the two directions over seeds: %.3f, allowed %.3f\n", shared, 3.3 / sqrt(SEEDS));
    assert_true(fabs(shared) <= 3.3 / sqrt(SEEDS));
    free(rows);
    hm_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(scatter_agrees_with_the_reported_error)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
