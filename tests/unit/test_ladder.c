/* Temperature ladders: the published one to the last value, refusals of custom ones, and the adaptive search on ESS
 * curves that are known. */
#include "infer/ladder.h"
#include "unit/small_rbm.h"

#include <float.h>

static hm_reals fixed(hm_ais_settings settings)
{
    hm_reals betas = {0};
    assert_ok(hm_ladder_fixed(&settings, &betas));
    assert_ok(hm_ladder_check(betas.at, betas.count));
    return betas;
}

static void linear_has_both_ends(void **state)
{
    (void)state;
    hm_reals betas = fixed((hm_ais_settings){.ladder = HM_LADDER_LINEAR, .temperatures = 11});
    assert_int_equal(betas.count, 11);
    for (int k = 0; k <= 10; k++) assert_true(fabs(betas.at[k] - 0.1 * k) <= DBL_EPSILON);
    assert_true(betas.at[0] == 0 && betas.at[10] == 1);
    free(betas.at);
}

static void published_ladder_has_14503_values(void **state)
{
    (void)state;
    hm_reals betas = fixed((hm_ais_settings){.ladder = HM_LADDER_SALAKHUTDINOV2008});
    assert_int_equal(betas.count, 14503);
    assert_true(betas.at[1] == 0.001);
    assert_true(betas.at[500] == 0.5 && betas.at[501] == 0.5); /* both ends of each part */
    assert_true(betas.at[502] == 0.5001);
    assert_true(betas.at[4501] == 0.9 && betas.at[4502] == 0.9);
    assert_true(betas.at[4503] == 0.90001);
    assert_true(betas.at[14502] == 1);
    free(betas.at);
}

/* Refused as HM_EUSAGE, in words that name the entry. */
static void assert_refused(hm_status status, const char *words)
{
    assert_int_equal(status, HM_EUSAGE);
    if (!strstr(hm_error_message(), words)) fail_msg("'%s' does not say '%s'", hm_error_message(), words);
    hm_error_clear();
}

static void custom_ladders_are_checked(void **state)
{
    (void)state;
    double good[] = {0, 0.2, 0.2, 1}, descending[] = {0, 0.5, 0.4, 1}, late[] = {0.1, 1}, early[] = {0, 0.9};
    double nan_inside[] = {0, NAN, 1}, one[] = {1};
    assert_ok(hm_ladder_check(good, 4));
    assert_refused(hm_ladder_check(descending, 4), "entry 3 is 0.4 after 0.5");
    assert_refused(hm_ladder_check(late, 2), "first temperature is 0.1");
    assert_refused(hm_ladder_check(early, 2), "last temperature is 0.9");
    assert_refused(hm_ladder_check(nan_inside, 3), "entry 2");
    assert_refused(hm_ladder_check(one, 1), "1 temperatures");
    assert_refused(hm_ladder_check(NULL, 0), "0 temperatures");
}

static void settings_are_checked(void **state)
{
    (void)state;
    double betas[] = {0, 0.3, 1};
    hm_ais_settings custom = {.ladder = HM_LADDER_CUSTOM, .betas = {3, betas}};
    assert_ok(hm_ais_settings_check(&custom));
    hm_reals copy = fixed(custom);
    assert_memory_equal(copy.at, betas, sizeof betas);
    free(copy.at);
    custom.betas.count = 0;
    assert_refused(hm_ais_settings_check(&custom), "0 temperatures");
    hm_ais_settings adaptive = {.ladder = HM_LADDER_ADAPTIVE};
    hm_reals none = {0};
    assert_refused(hm_ladder_fixed(&adaptive, &none), "adaptive");
}

/* ESS of weights whose logarithm is normal with deviation rate(beta) * step: exp(-(rate step)^2). */
typedef struct curve {
    const hm_adaptive *ladder;
    double rate;  /* at beta = 0; ten times that at beta = 1 */
    double asked; /* the last temperature */
    double ess;
    int calls;
} curve;

static hm_status curve_ess(void *context, double beta, double *ess)
{
    curve *c = context;
    double distance = c->rate * (1 + 9 * c->ladder->beta) * (beta - c->ladder->beta);
    c->asked = beta;
    *ess = c->ess = exp(-distance * distance);
    c->calls++;
    return HM_OK;
}

static void adaptive_steps_keep_the_target_and_waste_little(void **state)
{
    (void)state;
    const double targets[] = {0.5, 0.99, 0.9999}, rates[] = {1e-3, 3, 200};
    for (int t = 0; t < 3; t++) {
        for (int r = 0; r < 3; r++) {
            hm_adaptive ladder = {.target = targets[t]};
            curve c = {.ladder = &ladder, .rate = rates[r]};
            int64_t steps = 0;
            while (ladder.beta < 1) {
                double from = ladder.beta;
                assert_ok(hm_adaptive_next(&ladder, curve_ess, &c));
                steps++;
                assert_true(ladder.beta > from && ladder.beta == c.asked);
                assert_true(c.ess >= targets[t]);
                if (ladder.beta < 1) assert_true(c.ess <= targets[t] + 0.2 * (1 - targets[t]));
            }
            /* Each step loses the same: its length is sqrt(-log target) / rate(beta). */
            double most = rates[r] / sqrt(-log(targets[t] + 0.2 * (1 - targets[t]))) * 10 + 1;
            print_message("  target %g, rate %g: %lld steps, %d trials\n", targets[t], rates[r], (long long)steps,
                          c.calls);
            assert_true(ladder.beta == 1);
            assert_true((double)steps <= most);
            assert_true(c.calls <= 3 * steps + 8);
        }
    }
}

/* An ESS that falls in a jump has no place inside the slack: the search ends at the jump, on the good side. */
static hm_status cliff_ess(void *context, double beta, double *ess)
{
    *(double *)context = beta;
    *ess = beta <= 0.3 ? 1 : 0.1;
    return HM_OK;
}

static void adaptive_ends_at_a_cliff(void **state)
{
    (void)state;
    double asked;
    hm_adaptive ladder = {.target = 0.9};
    assert_ok(hm_adaptive_next(&ladder, cliff_ess, &asked));
    assert_true(asked == ladder.beta);
    assert_true(ladder.beta <= 0.3);
    assert_close(ladder.beta, 0.3, 1e-6);
}

static hm_status constant_ess(void *context, double beta, double *ess)
{
    (void)beta;
    *ess = *(double *)context;
    return HM_OK;
}

static void adaptive_refuses_what_it_cannot_do(void **state)
{
    (void)state;
    double ess = 0.01;
    hm_adaptive ladder = {.target = 0.9};
    assert_int_equal(hm_adaptive_next(&ladder, constant_ess, &ess), HM_ENUMERIC);
    assert_non_null(strstr(hm_error_message(), "ais.ess_target"));
    hm_error_clear();
    ess = NAN;
    assert_int_equal(hm_adaptive_next(&ladder, constant_ess, &ess), HM_ENUMERIC);
    assert_non_null(strstr(hm_error_message(), "not finite"));
    hm_error_clear();
    ess = 1 + 1e-15; /* as rounding may give */
    assert_ok(hm_adaptive_next(&ladder, constant_ess, &ess));
    assert_true(ladder.beta == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_has_both_ends),
        cmocka_unit_test(published_ladder_has_14503_values),
        cmocka_unit_test(custom_ladders_are_checked),
        cmocka_unit_test(settings_are_checked),
        cmocka_unit_test(adaptive_steps_keep_the_target_and_waste_little),
        cmocka_unit_test(adaptive_ends_at_a_cliff),
        cmocka_unit_test(adaptive_refuses_what_it_cannot_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
