/* Sums in the log domain: plain values, values that overflow, infinities and NaN; errors of a mean; tree sums. */
#include "infer/numeric.h"
#include "unit/small_rbm.h"

#include <float.h>

static void log_sum_exp_of_plain_values(void **state)
{
    (void)state;
    double x[] = {log(1.0), log(2.0), log(3.5)};
    assert_close(hm_log_sum_exp(x, 3), log(6.5), 4 * DBL_EPSILON);
    assert_close(hm_log_mean_exp(x, 3), log(6.5 / 3), 4 * DBL_EPSILON);
    assert_close(hm_log_sum_exp(x + 2, 1), log(3.5), 0);
}

static void log_sum_exp_neither_overflows_nor_underflows(void **state)
{
    (void)state;
    double big[] = {1e6, 1e6 + log(3.0)}, small[] = {-1e6, -1e6 + log(3.0)};
    assert_close(hm_log_sum_exp(big, 2), 1e6 + log(4.0), 2e6 * DBL_EPSILON);
    assert_close(hm_log_sum_exp(small, 2), -1e6 + log(4.0), 2e6 * DBL_EPSILON);
    double far[] = {0, -800};
    assert_close(hm_log_sum_exp(far, 2), 0, 0);
}

static void infinities_and_nan(void **state)
{
    (void)state;
    double nothing[] = {-INFINITY, -INFINITY}, one[] = {-INFINITY, 2, -INFINITY};
    double plus[] = {1, INFINITY, -INFINITY}, nan_first[] = {NAN, INFINITY}, nan_last[] = {1, 2, NAN};
    assert_true(hm_log_sum_exp(nothing, 2) == -INFINITY);
    assert_true(hm_log_sum_exp(NULL, 0) == -INFINITY);
    assert_true(hm_log_sum_exp(one, 3) == 2);
    assert_true(hm_log_sum_exp(plus, 3) == INFINITY);
    assert_true(isnan(hm_log_sum_exp(nan_first, 2)));
    assert_true(isnan(hm_log_sum_exp(nan_last, 3)));
    assert_true(isnan(hm_log_mean_exp(nan_last, 3)));
    assert_true(isnan(hm_effective_sample_size(nothing, 2)));
    assert_true(isnan(hm_effective_sample_size(plus, 3)));
    assert_true(isnan(hm_effective_sample_size(nan_last, 3)));
    assert_true(hm_effective_sample_size(NULL, 0) == 0);
}

static void effective_sample_size(void **state)
{
    (void)state;
    double equal[] = {-1000, -1000, -1000, -1000}, one[] = {-INFINITY, 700, -INFINITY}, mixed[] = {log(1.0), log(3.0)};
    assert_close(hm_effective_sample_size(equal, 4), 4, 0);
    assert_close(hm_effective_sample_size(one, 3), 1, 0);
    assert_close(hm_effective_sample_size(mixed, 2), 16.0 / 10.0, 8 * DBL_EPSILON);
}

/* Weights 1, 2, 6: mean 3, sd sqrt(7), at two scales that differ by exp(900). */
static void mean_with_its_error(void **state)
{
    (void)state;
    for (double shift = 0; shift <= 900; shift += 900) {
        double x[] = {shift + log(1.0), shift + log(2.0), shift + log(6.0)};
        double allowed = 8 * (shift + 4) * DBL_EPSILON, error = sqrt(7.0 / 3.0);
        hm_log_mean mean = hm_log_mean_of(x, 3);
        assert_close(mean.log_mean, shift + log(3.0), allowed);
        assert_close(mean.std_error, error / 3, allowed);
        assert_close(mean.upper, shift + log(3 + 3 * error), allowed);
        assert_true(mean.lower == -INFINITY); /* 3 - 3 * 1.53 < 0 */
        assert_close(mean.ess, 81.0 / 41.0, allowed);
    }
}

static void interval_of_a_good_mean(void **state)
{
    (void)state;
    double x[] = {log(9.0), log(10.0), log(11.0), log(10.0)};
    double error = sqrt(2.0 / 3.0) / 2;
    hm_log_mean mean = hm_log_mean_of(x, 4);
    assert_close(mean.lower, log(10 - 3 * error), 32 * DBL_EPSILON);
    assert_close(mean.upper, log(10 + 3 * error), 32 * DBL_EPSILON);
    double logs = (x[0] + x[1] + x[2] + x[3]) / 4, squares = 0;
    for (int i = 0; i < 4; i++) squares += (x[i] - logs) * (x[i] - logs);
    assert_close(mean.spread, sqrt(squares / 3), 32 * DBL_EPSILON);
}

static void mean_of_one_weight_has_no_known_error(void **state)
{
    (void)state;
    double x[] = {5};
    hm_log_mean mean = hm_log_mean_of(x, 1);
    assert_true(mean.log_mean == 5 && mean.ess == 1);
    assert_true(mean.std_error == INFINITY && mean.lower == -INFINITY && mean.upper == INFINITY);
}

static void mean_of_nan_is_nan(void **state)
{
    (void)state;
    double x[] = {1, NAN, 2};
    hm_log_mean mean = hm_log_mean_of(x, 3);
    assert_true(isnan(mean.log_mean) && isnan(mean.std_error) && isnan(mean.lower) && isnan(mean.upper));
    assert_true(isnan(mean.ess) && isnan(mean.spread));
}

static void error_of_a_mean_by_its_sums(void **state)
{
    (void)state;
    /* 1, 2, 3, 6: mean 3, squared deviations 4 + 1 + 0 + 9 */
    assert_true(fabs(hm_error_of_mean(12, 50, 4) - sqrt(14.0 / 3 / 4)) < 1e-15);
    assert_true(hm_error_of_mean(5, 25, 1) == INFINITY);
    assert_true(hm_error_of_mean(3, nextafter(3, 0), 3) == 0); /* three ones, rounded down */
    assert_true(isnan(hm_error_of_mean(NAN, 1, 3)) && isnan(hm_error_of_mean(1, NAN, 3)));
}

/* Values whose sum depends on the order: the tree of 8 is the tree of two halves. */
static void tree_sum_of_halves_is_the_tree(void **state)
{
    (void)state;
    double whole[8][2], halves[8][2];
    for (int part = 0; part < 8; part++) {
        whole[part][0] = halves[part][0] = 1.0 / (3 + part);
        whole[part][1] = halves[part][1] = part % 3 ? 1e16 / (1 + part) : 0.7;
    }
    double in_order = 0, tree = ((whole[0][1] + whole[1][1]) + (whole[2][1] + whole[3][1])) +
                                ((whole[4][1] + whole[5][1]) + (whole[6][1] + whole[7][1]));
    for (int part = 0; part < 8; part++) in_order += whole[part][1];
    assert_true(in_order != tree); /* or the values would not tell */
    hm_tree_sum(&whole[0][0], 8, 2);
    hm_tree_sum(&halves[0][0], 4, 2);
    hm_tree_sum(&halves[4][0], 4, 2);
    assert_true(whole[0][1] == tree);
    assert_true(whole[0][0] == halves[0][0] + halves[4][0]);
    assert_true(whole[0][1] == halves[0][1] + halves[4][1]);
}

static void tree_sum_of_any_count(void **state)
{
    (void)state;
    for (int count = 1; count <= 9; count++) {
        double values[9];
        for (int i = 0; i < count; i++) values[i] = 1 << i;
        hm_tree_sum(values, count, 1);
        assert_true(values[0] == (1 << count) - 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_sum_exp_of_plain_values),
        cmocka_unit_test(log_sum_exp_neither_overflows_nor_underflows),
        cmocka_unit_test(infinities_and_nan),
        cmocka_unit_test(effective_sample_size),
        cmocka_unit_test(mean_with_its_error),
        cmocka_unit_test(interval_of_a_good_mean),
        cmocka_unit_test(mean_of_one_weight_has_no_known_error),
        cmocka_unit_test(mean_of_nan_is_nan),
        cmocka_unit_test(error_of_a_mean_by_its_sums),
        cmocka_unit_test(tree_sum_of_halves_is_the_tree),
        cmocka_unit_test(tree_sum_of_any_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
