/* log Z by enumeration: against the sum over both layers, whatever layer is the smaller, and the same bits for any
 * number of shards and threads. */
#include "infer/numeric.h"
#include "unit/small_rbm.h"

#include <float.h>

static double energy_of(const hm_model *model, int64_t v, int64_t h)
{
    hm_matrix W = small_rbm_tensor(model, "W"), b = small_rbm_tensor(model, "b"), c = small_rbm_tensor(model, "c");
    double energy = 0;
    for (int64_t j = 0; j < W.columns; j++) energy -= (h >> j & 1) ? (double)c.at[j] : 0;
    for (int64_t i = 0; i < W.rows; i++) {
        if (!(v >> i & 1)) continue;
        energy -= (double)b.at[i];
        for (int64_t j = 0; j < W.columns; j++) energy -= (h >> j & 1) ? (double)W.at[i * W.columns + j] : 0;
    }
    return energy;
}

/* The definition: the sum over all (v, h), in float64. */
static double brute_force_log_z(const hm_model *model, int64_t visible, int64_t hidden)
{
    double sum = 0;
    for (int64_t v = 0; v < (int64_t)1 << visible; v++)
        for (int64_t h = 0; h < (int64_t)1 << hidden; h++) sum += exp(-energy_of(model, v, h));
    return log(sum);
}

/* float32 inputs of n units of softplus, each a few ulp of its size: c eps n scale. */
static double allowed_error(int64_t visible, int64_t hidden, double scale)
{
    return 4 * FLT_EPSILON * (double)(visible + hidden) * (1 + scale);
}

static void check_against_definition(int64_t visible, int64_t hidden, double weights, double biases)
{
    hm_model *model = small_rbm(visible, hidden, weights, biases, 7, &one_thread);
    hm_workers workers = serial_workers(&one_thread, 8, 1);
    double log_z = NAN;
    assert_ok(hm_exact_log_z(model, &workers, &log_z));
    assert_close(log_z, brute_force_log_z(model, visible, hidden), allowed_error(visible, hidden, weights + biases));
    hm_model_free(model);
}

static void exact_is_the_sum_over_both_layers(void **state)
{
    (void)state;
    check_against_definition(9, 6, 1, 1);  /* hidden units enumerated */
    check_against_definition(5, 11, 1, 1); /* visible units enumerated */
    check_against_definition(7, 7, 3, 2);
    check_against_definition(1, 1, 1, 1);
    check_against_definition(12, 3, 0.01, 0);
}

static void independent_units_have_a_closed_form(void **state)
{
    (void)state;
    hm_model *model = small_rbm(40, 12, 0, 1.5, 3, &one_thread); /* 4 blocks */
    hm_workers workers = serial_workers(&one_thread, 1, 1);
    double log_z = NAN, expected = 0;
    hm_matrix b = small_rbm_tensor(model, "b"), c = small_rbm_tensor(model, "c");
    for (int64_t i = 0; i < 40; i++) expected += log1p(exp((double)b.at[i]));
    for (int64_t j = 0; j < 12; j++) expected += log1p(exp((double)c.at[j]));
    assert_ok(hm_exact_log_z(model, &workers, &log_z));
    assert_close(log_z, expected, allowed_error(40, 12, 1.5));
    hm_model_free(model);
}

static void bits_depend_on_neither_shards_nor_threads(void **state)
{
    (void)state;
    hm_model *model = small_rbm(30, 13, 0.5, 0.5, 11, &one_thread);
    const int shards[] = {1, 2, 8, 64};
    double first = NAN;
    for (int s = 0; s < 4; s++) {
        for (int threaded = 0; threaded < 2; threaded++) {
            hm_workers workers = serial_workers(threaded ? &three_threads : &one_thread, shards[s], 1);
            double log_z = NAN;
            assert_ok(hm_exact_log_z(model, &workers, &log_z));
            if (s == 0 && !threaded) first = log_z;
            assert_true(log_z == first);
        }
    }
    hm_model_free(model);
}

static void too_many_units_are_refused(void **state)
{
    (void)state;
    hm_model *model = small_rbm(30, 26, 0, 0, 1, &one_thread);
    hm_workers workers = serial_workers(&one_thread, 8, 1);
    double log_z;
    assert_int_equal(hm_exact_log_z(model, &workers, &log_z), HM_EUSAGE);
    assert_non_null(strstr(hm_error_message(), "26 units"));
    hm_error_clear();
    hm_model_free(model);
}

static void nan_parameters_are_an_error(void **state)
{
    (void)state;
    hm_model *model = small_rbm(20, 12, 1, 1, 1, &one_thread);
    hm_workers workers = serial_workers(&three_threads, 8, 1);
    double log_z;
    small_rbm_tensor(model, "c").at[11] = NAN;
    model->class->refresh(model);
    assert_int_equal(hm_exact_log_z(model, &workers, &log_z), HM_ENUMERIC);
    assert_non_null(strstr(hm_error_message(), "configurations"));
    hm_error_clear();
    hm_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_is_the_sum_over_both_layers),
        cmocka_unit_test(independent_units_have_a_closed_form),
        cmocka_unit_test(bits_depend_on_neither_shards_nor_threads),
        cmocka_unit_test(too_many_units_are_refused),
        cmocka_unit_test(nan_parameters_are_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
