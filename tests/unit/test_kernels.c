/* Every instruction set gives the reference's bits, and the reference is accurate over the whole range of floats. */
#include "core/kernels.h"
#include "core/memory.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 1000, ROWS = 13 };
static const int64_t sizes[] = {1, 2, 15, 16, 17, 47, 48, 49, 63, 64, 65, 127, 500, 784, MOST};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

static const float nasty[] = {0.0f,    -0.0f,         INFINITY,       -INFINITY, 1e-45f, -1e-45f, 1.17549435e-38f,
                              -1e-40f, 3.4028235e38f, -3.4028235e38f, 88.7f,     -88.7f, 104.5f,  -104.5f,
                              -87.4f,  1e-8f,         -1e-8f,         17.5f,     -17.5f};
enum { NASTY = sizeof nasty / sizeof nasty[0] };

/* Numbers of every size, with nasty ones among them when `wild`. */
static void fill(float *x, int64_t n, uint64_t seed, bool wild)
{
    hm_stream stream = {.seed = seed, .purpose = HM_RNG_SYNTH};
    for (int64_t i = 0; i < n; i++) {
        x[i] = (float)(3 * hm_random_normal(&stream, 0, i));
        uint64_t choice = hm_random_below(&stream, 1, i, 4);
        if (wild && choice == 0) x[i] = nasty[hm_random_below(&stream, 2, i, NASTY)];
        if (choice == 1) x[i] = 0; /* products skip zeros */
    }
}

static float *numbers(int64_t n, uint64_t seed, bool wild)
{
    float *x = calloc((size_t)n + 64, sizeof *x);
    fill(x, n, seed, wild);
    return x;
}

static void same_bits(const char *kernel, const char *isa, int64_t n, const void *ours, const void *reference,
                      size_t bytes)
{
    if (memcmp(ours, reference, bytes) != 0)
        fail_msg("%s: %s differs from the reference at size %lld", kernel, isa, (long long)n);
}

/* All results of a table on inputs of size n, one after another, into `out`; returns the bytes. */
static size_t run_all(const hm_kernels *k, int64_t n, bool wild, unsigned char *out)
{
    float *x = numbers(ROWS * n, 1, wild), *bias = numbers(n, 2, wild), *y = numbers(ROWS * n, 3, wild);
    float *a = calloc((size_t)(ROWS * n) + 64, sizeof *a), *b = calloc((size_t)(ROWS * n) + 64, sizeof *b);
    hm_stream stream = {42, HM_RNG_POSITIVE, 5};
    hm_sgd_step sgd = {.rate = 0.1f, .scale = 0.01f, .momentum = 0.5f, .decay = 0.001f};
    hm_adam_step adam = {.rate = 0.1f, .scale = 0.01f, .beta1 = 0.9f, .beta2 = 0.99f, .epsilon = 1e-6f, .decay = 0.01f};
    double sums[3];
    unsigned char *at = out;
    size_t row = (size_t)n * sizeof(float), all = ROWS * row;
#define KEEP(DATA, BYTES) (memcpy(at, (DATA), (BYTES)), at += (BYTES))
    k->uniform(&stream, 7, n, a), KEEP(a, row);
    k->activate(ROWS, n, x, 0.7f, bias, a, b, &stream, 3), KEEP(a, all), KEEP(b, all);
    k->activate(ROWS, n, x, 1.0f, NULL, a, NULL, NULL, 0), KEEP(a, all);
    k->bernoulli(n, a, &stream, 9, b), KEEP(b, row);
    k->softplus(ROWS * n, x, a), KEEP(a, all);
    sums[0] = k->sum_softplus(n, x, 0.3f, bias), sums[1] = k->sum(n, y), sums[2] = k->dot(n, x, y),
    KEEP(sums, sizeof sums);
    k->add_columns(ROWS, n, x, -0.5f, bias), KEEP(bias, row);
    k->add(ROWS * n, x, y, a), KEEP(a, all);
    k->transpose(ROWS, n, y, n, a, ROWS), KEEP(a, all);
    if (!wild) { /* steps that move weights */
        fill(b, n, 9, false);
        for (int64_t i = 0; i < n; i++) a[i] = fabsf(a[i]);
        k->sgd(n, &sgd, x, b, y), KEEP(y, row), KEEP(b, row);
        k->adam(n, &adam, x, b, a, y), KEEP(y, row), KEEP(a, row);
    }
#undef KEEP
    free(x), free(y), free(bias), free(a), free(b);
    return (size_t)(at - out);
}

static void every_instruction_set_gives_the_same_bits(void **state)
{
    (void)state;
    const hm_isa *isas;
    int count = hm_isa_list(&isas);
    unsigned char *ours = malloc(64 * ROWS * (MOST + 64)), *reference = malloc(64 * ROWS * (MOST + 64));
    assert_string_equal(isas[count - 1].name, "scalar");
    for (int isa = 0; isa < count; isa++) print_message("  %s\n", isas[isa].name);
    for (int size = 0; size < SIZES; size++)
        for (int wild = 0; wild < 2; wild++) {
            size_t bytes = run_all(&hm_kernels_scalar, sizes[size], wild, reference);
            for (int isa = 0; isa + 1 < count; isa++) {
                assert_int_equal(run_all(isas[isa].kernels, sizes[size], wild, ours), bytes);
                same_bits(wild ? "kernels on nasty input" : "kernels", isas[isa].name, sizes[size], ours, reference,
                          bytes);
            }
        }
    free(ours);
    free(reference);
}

/* ---- accuracy --------------------------------------------------------------------------------------------------- */

/* Distance in units of the last place of the float nearest to `exact`. */
static double ulps(float ours, double exact)
{
    float nearest = (float)exact;
    if (isinf(nearest) || isinf(ours)) return ours == nearest ? 0 : INFINITY;
    double unit = ldexp(1.0, (fabs(exact) < 0x1p-126 ? -126 : ilogb(exact)) - 23);
    return fabs((double)ours - exact) / unit;
}

static double exact_sigmoid(double x) { return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x)); }
static double exact_softplus(double x) { return fmax(x, 0) + log1p(exp(-fabs(x))); }

/* Every 4,099th float, of both signs: all exponents, denormals and infinities among them. */
static void functions_are_accurate_over_the_whole_range(void **state)
{
    (void)state;
    const double allowed_sigmoid = 4, allowed_softplus = 4;
    double worst_sigmoid = 0, worst_softplus = 0;
    const hm_kernels *k = hm_kernels_best();
    for (uint64_t bits = 0; bits <= UINT32_MAX; bits += 4099) {
        uint32_t word = (uint32_t)bits;
        float x, p, s;
        memcpy(&x, &word, sizeof x);
        k->activate(1, 1, &x, 1.0f, NULL, &p, NULL, NULL, 0);
        k->softplus(1, &x, &s);
        if (isnan(x)) {
            assert_true(isnan(p) && isnan(s));
            continue;
        }
        /* Below -88 the sigmoid is within a denormal of 0, and compared so. */
        double error =
            x < -87.3f ? fabs((double)p - exact_sigmoid((double)x)) / 0x1p-126 : ulps(p, exact_sigmoid((double)x));
        if (!(error <= allowed_sigmoid))
            fail_msg("sigmoid(%a) = %a, exact %a", (double)x, (double)p, exact_sigmoid((double)x));
        worst_sigmoid = fmax(worst_sigmoid, error);
        error =
            x < -87.3f ? fabs((double)s - exact_softplus((double)x)) / 0x1p-126 : ulps(s, exact_softplus((double)x));
        if (!(error <= allowed_softplus))
            fail_msg("softplus(%a) = %a, exact %a", (double)x, (double)s, exact_softplus((double)x));
        worst_softplus = fmax(worst_softplus, error);
    }
    print_message("  sigmoid: %.2f ulp, allowed %.0f; softplus: %.2f ulp, allowed %.0f\n", worst_sigmoid,
                  allowed_sigmoid, worst_softplus, allowed_softplus);
}

static void ends_are_exact(void **state)
{
    (void)state;
    const hm_kernels *k = hm_kernels_best();
    const float x[] = {-INFINITY, INFINITY, 0.0f, 200.0f, -200.0f, -3.4e38f, 3.4e38f, NAN};
    float p[8], s[8];
    k->activate(1, 8, x, 1.0f, NULL, p, NULL, NULL, 0);
    k->softplus(8, x, s);
    assert_true(p[0] == 0 && p[1] == 1 && p[2] == 0.5f && p[3] == 1 && p[4] == 0 && p[5] == 0 && p[6] == 1 &&
                isnan(p[7]));
    assert_true(s[0] == 0 && s[1] == INFINITY && s[3] == 200 && s[4] == 0 && s[5] == 0 && s[6] == 3.4e38f &&
                isnan(s[7]));
    assert_true(fabs((double)s[2] - log(2.0)) < 1e-7);
}

/* Each partial sum has at most 64 float32 terms: n eps/2 scale with n = 64, then float64. */
static void sums_are_accurate(void **state)
{
    (void)state;
    const hm_kernels *k = hm_kernels_best();
    for (int size = 0; size < SIZES; size++) {
        int64_t n = sizes[size];
        float *x = numbers(n, 21, false), *y = numbers(n, 22, false);
        double sum = 0, dot = 0, softplus = 0, scale[3] = {0};
        for (int64_t i = 0; i < n; i++) {
            sum += (double)x[i], scale[0] += fabs((double)x[i]);
            dot += (double)x[i] * (double)y[i], scale[1] += fabs((double)x[i] * (double)y[i]);
            softplus += exact_softplus(0.5 * (double)x[i] + (double)y[i]);
        }
        scale[2] = softplus;
        const double errors[] = {fabs(k->sum(n, x) - sum), fabs(k->dot(n, x, y) - dot),
                                 fabs(k->sum_softplus(n, x, 0.5f, y) - softplus)};
        for (int which = 0; which < 3; which++)
            if (!(errors[which] <= 70 * 0x1p-24 * scale[which]))
                fail_msg("sum %d of %lld: error %g", which, (long long)n, errors[which]);
        free(x);
        free(y);
    }
}

/* ---- random numbers --------------------------------------------------------------------------------------------- */

static void draws_are_those_of_the_addressed_stream(void **state)
{
    (void)state;
    const hm_kernels *k = hm_kernels_best();
    const hm_stream streams[] = {
        {1, HM_RNG_INIT, 0}, {UINT64_MAX, HM_RNG_SYNTH, 1}, {7, HM_RNG_POSITIVE, (1ull << 43) + 5}};
    float u[MOST], p[MOST], s[MOST];
    for (size_t at = 0; at < 3; at++)
        for (int64_t row = 0; row < 3; row++) {
            int64_t big_row = row * 5000000000; /* more than 32 bits */
            k->uniform(&streams[at], big_row, MOST, u);
            for (int64_t c = 0; c < MOST; c++) {
                assert_true(u[c] == hm_random_uniform(&streams[at], big_row, c));
                assert_true(u[c] >= 0 && u[c] < 1);
                p[c] = 0.3f;
            }
            k->bernoulli(MOST, p, &streams[at], big_row, s);
            for (int64_t c = 0; c < MOST; c++) assert_true(s[c] == (u[c] < 0.3f ? 1.0f : 0.0f));
        }
}

/* Frequencies over 200,000 draws, within 5 standard errors. */
static void bernoulli_draws_have_their_probability(void **state)
{
    (void)state;
    enum { DRAWS = 200000 };
    static const float inputs[] = {-4.0f, -1.0f, 0.0f, 0.5f, 3.0f};
    float *x = malloc(DRAWS * sizeof *x), *s = malloc(DRAWS * sizeof *s);
    for (int at = 0; at < 5; at++) {
        hm_stream stream = {3, HM_RNG_POSITIVE, (uint64_t)at};
        double on = 0, p = exact_sigmoid((double)inputs[at]), error = sqrt(p * (1 - p) / DRAWS);
        for (int i = 0; i < DRAWS; i++) x[i] = inputs[at];
        hm_kernels_best()->activate(1, DRAWS, x, 1.0f, NULL, NULL, s, &stream, 0);
        for (int i = 0; i < DRAWS; i++) on += (double)s[i];
        print_message("  p = %.4f: %.4f, off by %.2f standard errors, allowed 5\n", p, on / DRAWS,
                      (on / DRAWS - p) / error);
        assert_true(fabs(on / DRAWS - p) <= 5 * error);
    }
    free(x);
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_instruction_set_gives_the_same_bits),
        cmocka_unit_test(functions_are_accurate_over_the_whole_range),
        cmocka_unit_test(ends_are_exact),
        cmocka_unit_test(sums_are_accurate),
        cmocka_unit_test(draws_are_those_of_the_addressed_stream),
        cmocka_unit_test(bernoulli_draws_have_their_probability),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
