/* Kernels against the C library and plain formulas in float64, over the whole range of floats. */
#include "core/kernels.h"

#include "numbers.h"

static double exact_sigmoid(double x) { return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x)); }
static double exact_softplus(double x) { return fmax(x, 0) + log1p(exp(-fabs(x))); }

/* Below this half of e^-x is more than the kernel can hold: sigmoid is 0, softplus (e^x there) goes on into the
 * denormals. */
static const float sigmoid_vanishes = -89.07f;

enum { EXP, SIGMOID, SOFTPLUS, FUNCTIONS };
static const char *const function_names[FUNCTIONS] = {"exp (softplus below -17), ulp", "sigmoid, ulp", "softplus, ulp"};
static const double allowed_ulps[FUNCTIONS] = {2, 3, 3};

static void check_value(const char *isa, float x, float p, float s, double worst[FUNCTIONS])
{
    if (isnan(x)) {
        if (!isnan(p) || !isnan(s)) fail_msg("%s: sigmoid(NaN) = %a, softplus(NaN) = %a", isa, (double)p, (double)s);
        return;
    }
    double errors[FUNCTIONS] = {0, numbers_ulps(p, exact_sigmoid((double)x)),
                                numbers_ulps(s, exact_softplus((double)x))};
    if (x < sigmoid_vanishes) {
        if (!(p >= 0 && (double)p <= 1.01 * exp((double)sigmoid_vanishes)))
            fail_msg("%s: sigmoid(%a) = %a", isa, (double)x, (double)p);
        errors[SIGMOID] = 0;
    }
    if (x < -17) errors[EXP] = numbers_ulps(s, exp((double)x));
    for (int function = 0; function < FUNCTIONS; function++) {
        if (!(errors[function] <= allowed_ulps[function]))
            fail_msg("%s: at %a: sigmoid %a, softplus %a, %s: %g", isa, (double)x, (double)p, (double)s,
                     function_names[function], errors[function]);
        worst[function] = numbers_worse(worst[function], errors[function]);
    }
}

/* Every 1,021st float of both signs (all exponents, denormals and NaN among them), on every instruction set. */
static void functions_are_accurate_over_the_whole_range(void **state)
{
    (void)state;
    enum { BATCH = 4096, STRIDE = 1021 };
    static float x[BATCH], p[BATCH], s[BATCH];
    const hm_isa *isas;
    int count = hm_isa_list(&isas);
    double worst[FUNCTIONS] = {0};
    for (uint64_t bits = 0; bits <= UINT32_MAX;) {
        for (int i = 0; i < BATCH; i++, bits += STRIDE) {
            uint32_t word = (uint32_t)bits; /* the last batch goes round */
            memcpy(&x[i], &word, sizeof word);
        }
        for (int isa = 0; isa < count; isa++) {
            isas[isa].kernels->activate(1, BATCH, x, 1.0f, NULL, p, NULL, NULL, 0);
            isas[isa].kernels->softplus(BATCH, x, s);
            for (int i = 0; i < BATCH; i++) check_value(isas[isa].name, x[i], p[i], s[i], worst);
        }
    }
    for (int function = 0; function < FUNCTIONS; function++)
        numbers_within(function_names[function], worst[function], allowed_ulps[function]);
}

static void exp_and_tanh_are_accurate(void **state)
{
    (void)state;
    enum { N = 200000 };
    static float x[N], e[N], t[N];
    double worst_exp = 0, worst_tanh = 0;
    for (int i = 0; i < N; i++) x[i] = -90.0f + 178.0f * (float)i / N;
    hm_kernels_best()->exp(N, x, e);
    hm_kernels_best()->tanh(N, x, t);
    for (int i = 0; i < N; i++) {
        if (x[i] > -87) worst_exp = numbers_worse(worst_exp, numbers_ulps(e[i], exp((double)x[i])));
        worst_tanh = numbers_worse(worst_tanh, fabs((double)t[i] - tanh((double)x[i])));
    }
    numbers_within("exp, ulp", worst_exp, 2);
    numbers_within("tanh, error", worst_tanh, 1.5e-7);
    const float ends[] = {-INFINITY, INFINITY, 0.0f, -0.0f, NAN};
    const float exps[] = {0, INFINITY, 1, 1, NAN}, tanhs[] = {-1, 1, 0.0f, -0.0f, NAN};
    float out[5];
    hm_kernels_best()->exp(5, ends, out);
    numbers_same("exp", "best", 5, out, exps);
    hm_kernels_best()->tanh(5, ends, out);
    numbers_same("tanh", "best", 5, out, tanhs);
}

static void ends_are_exact(void **state)
{
    (void)state;
    const hm_isa *isas;
    int count = hm_isa_list(&isas);
    const float x[] = {-INFINITY, INFINITY, 0.0f, 200.0f, -200.0f, -3.4e38f, 3.4e38f, NAN, -NAN};
    const float sigmoids[] = {0, 1, 0.5f, 1, 0, 0, 1, NAN, NAN};
    const float softpluses[] = {0, INFINITY, 0x1.62e43p-1f, 200, 0, 0, 3.4e38f, NAN, NAN};
    for (int isa = 0; isa < count; isa++) {
        float p[9], s[9];
        isas[isa].kernels->activate(1, 9, x, 1.0f, NULL, p, NULL, NULL, 0);
        isas[isa].kernels->softplus(9, x, s);
        numbers_same("sigmoid", isas[isa].name, 9, p, sigmoids);
        numbers_same("softplus", isas[isa].name, 9, s, softpluses);
    }
}

/* Steps of 1/64 from -112 to 112: a step changes e^x by 1.6 %, so no rounding may turn it round. */
static void functions_do_not_fall(void **state)
{
    (void)state;
    enum { STEPS = 224 * 64 + 1 };
    static float x[STEPS], p[STEPS], s[STEPS];
    const hm_kernels *k = hm_kernels_best();
    for (int i = 0; i < STEPS; i++) x[i] = -112.0f + (float)i / 64.0f;
    k->activate(1, STEPS, x, 1.0f, NULL, p, NULL, NULL, 0);
    k->softplus(STEPS, x, s);
    assert_true(p[0] == 0 && p[STEPS - 1] == 1 && s[0] == 0 && s[STEPS - 1] == 112);
    for (int i = 1; i < STEPS; i++)
        if (!(p[i] >= p[i - 1] && p[i] <= 1 && s[i] >= s[i - 1]))
            fail_msg("at %g: sigmoid %a after %a, softplus %a after %a", (double)x[i], (double)p[i], (double)p[i - 1],
                     (double)s[i], (double)s[i - 1]);
}

/* A partial sum has at most 64 float32 terms, each rounded by eps/2 (softplus by 3 ulp more), before float64. */
static void sums_are_accurate(void **state)
{
    (void)state;
    enum { LONG = 100003 };
    const hm_kernels *k = hm_kernels_best();
    double worst = 0;
    for (int size = 0; size <= AWKWARD_SIZES; size++) {
        int64_t n = size < AWKWARD_SIZES ? awkward_sizes[size] : LONG;
        float *x = numbers(n, 21, NUMBERS_PLAIN), *y = numbers(n, 22, NUMBERS_PLAIN);
        double sums[4] = {0}, scales[4] = {0};
        for (int64_t i = 0; i < n; i++) {
            double a = (double)x[i], b = (double)y[i];
            sums[0] += a, scales[0] += fabs(a);
            sums[1] += a * b, scales[1] += fabs(a * b);
            sums[2] += exact_softplus(0.5 * a + b), scales[2] += exact_softplus(0.5 * a + b) + fabs(0.5 * a + b);
            sums[3] += exact_softplus(a), scales[3] += exact_softplus(a);
        }
        const double ours[] = {k->sum(n, x), k->dot(n, x, y), k->sum_softplus(n, x, 0.5f, y),
                               k->sum_softplus(n, x, 1.0f, NULL)};
        for (int which = 0; which < 4; which++) {
            double error = fabs(ours[which] - sums[which]) / scales[which];
            if (scales[which] > 0 && !(error <= 71 * 0x1p-24))
                fail_msg("sum %d of %lld: %g", which, (long long)n, error);
            if (scales[which] > 0) worst = numbers_worse(worst, error);
        }
        free(x), free(y);
    }
    numbers_within("relative error of a sum", worst, 71 * 0x1p-24);
}

/* ROWS additions of each column, rounded by eps/2 each. */
static void column_sums_are_accurate(void **state)
{
    (void)state;
    enum { ROWS = 100, COLUMNS = 77 };
    float *x = numbers(ROWS * COLUMNS, 31, NUMBERS_PLAIN), *sums = numbers(COLUMNS, 32, NUMBERS_PLAIN);
    double worst = 0, expected[COLUMNS], scale[COLUMNS];
    for (int c = 0; c < COLUMNS; c++) {
        expected[c] = (double)sums[c], scale[c] = fabs((double)sums[c]);
        for (int r = 0; r < ROWS; r++) {
            expected[c] -= 2 * (double)x[r * COLUMNS + c];
            scale[c] += 2 * fabs((double)x[r * COLUMNS + c]);
        }
    }
    hm_kernels_best()->add_columns(ROWS, COLUMNS, x, -2.0f, sums);
    for (int c = 0; c < COLUMNS; c++) {
        double error = fabs((double)sums[c] - expected[c]) / scale[c];
        worst = numbers_worse(worst, error);
    }
    numbers_within("relative error of a column's sum", worst, (ROWS + 1) * 0x1p-24);
    free(x), free(sums);
}

/* ---- optimiser steps, one each, against their formulas --------------------------------------------------------------
 */

enum { WEIGHTS = 201 };

/* The largest |ours - exact| / (1 + |exact|). */
static double worst_error(const float ours[WEIGHTS], const double exact[WEIGHTS])
{
    double worst = 0;
    for (int i = 0; i < WEIGHTS; i++) {
        double error = fabs((double)ours[i] - exact[i]) / (1 + fabs(exact[i]));
        worst = numbers_worse(worst, error);
    }
    return worst;
}

static void sgd_is_its_formula(void **state)
{
    (void)state;
    const hm_sgd_step step = {.rate = 0.2f, .scale = 0.125f, .momentum = 0.75f, .decay = 0.25f};
    float *grad = numbers(WEIGHTS, 41, NUMBERS_PLAIN);
    for (int with_velocity = 0; with_velocity < 2; with_velocity++) {
        float *w = numbers(WEIGHTS, 42, NUMBERS_PLAIN), *velocity = numbers(WEIGHTS, 43, NUMBERS_PLAIN);
        double moves[WEIGHTS], weights[WEIGHTS];
        for (int i = 0; i < WEIGHTS; i++) {
            moves[i] = (double)step.rate * (0.125 * (double)grad[i] - 0.25 * (double)w[i]);
            if (with_velocity) moves[i] += 0.75 * (double)velocity[i];
            weights[i] = (double)w[i] + moves[i];
        }
        hm_kernels_best()->sgd(WEIGHTS, &step, grad, with_velocity ? velocity : NULL, w);
        numbers_within("sgd, weights", worst_error(w, weights), 8 * 0x1p-24);
        if (with_velocity) numbers_within("sgd, velocity", worst_error(velocity, moves), 8 * 0x1p-24);
        free(w), free(velocity);
    }
    free(grad);
}

static void adam_is_its_formula(void **state)
{
    (void)state;
    const hm_adam_step step = {
        .rate = 0.1f, .scale = 0.125f, .beta1 = 0.875f, .beta2 = 0.96875f, .epsilon = 1e-3f, .decay = 0.5f};
    float *grad = numbers(WEIGHTS, 51, NUMBERS_PLAIN), *w = numbers(WEIGHTS, 52, NUMBERS_PLAIN);
    float *moment1 = numbers(WEIGHTS, 53, NUMBERS_PLAIN), *moment2 = numbers(WEIGHTS, 54, NUMBERS_PLAIN);
    double m[WEIGHTS], v[WEIGHTS], weights[WEIGHTS];
    for (int i = 0; i < WEIGHTS; i++) {
        moment2[i] = fabsf(moment2[i]);
        double g = 0.125 * (double)grad[i] - 0.5 * (double)w[i];
        m[i] = 0.875 * (double)moment1[i] + 0.125 * g;
        v[i] = 0.96875 * (double)moment2[i] + 0.03125 * g * g;
        weights[i] = (double)w[i] + (double)step.rate * m[i] / (sqrt(v[i]) + (double)step.epsilon);
    }
    hm_kernels_best()->adam(WEIGHTS, &step, grad, moment1, moment2, w);
    numbers_within("adam, first moments", worst_error(moment1, m), 8 * 0x1p-24);
    numbers_within("adam, second moments", worst_error(moment2, v), 8 * 0x1p-24);
    numbers_within("adam, weights", worst_error(w, weights), 16 * 0x1p-24);
    free(grad), free(w), free(moment1), free(moment2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_are_accurate_over_the_whole_range),
        cmocka_unit_test(exp_and_tanh_are_accurate),
        cmocka_unit_test(ends_are_exact),
        cmocka_unit_test(functions_do_not_fall),
        cmocka_unit_test(sums_are_accurate),
        cmocka_unit_test(column_sums_are_accurate),
        cmocka_unit_test(sgd_is_its_formula),
        cmocka_unit_test(adam_is_its_formula),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
