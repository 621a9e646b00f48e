/* What the tests of kernels share: matrices by seed, floats that break things, and two ways to compare results. */
#ifndef HM_TEST_NUMBERS_H
#define HM_TEST_NUMBERS_H

#include "core/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Sizes around the widths of vectors (8, 16), panels (48) and spans of random numbers (64). */
static const int64_t awkward_sizes[] = {1, 2, 15, 16, 17, 47, 48, 49, 63, 64, 65, 127, 500, 784, 1000};
enum { AWKWARD_SIZES = sizeof awkward_sizes / sizeof awkward_sizes[0], AWKWARD_MOST = 1000 };

/* Zeros, denormals, the ends of the range, the ends of exp; the non-finite ones come last. */
static const float nasty_floats[] = {0.0f,           -0.0f, 1e-45f, -1e-45f, 1.17549435e-38f, -1e-40f, 3.4028235e38f,
                                     -3.4028235e38f, 88.7f, -88.7f, 104.5f,  -104.5f,         -87.4f,  1e-8f,
                                     -1e-8f,         17.5f, -17.5f, 1e-20f,  -1e-25f,         NAN,     INFINITY,
                                     -INFINITY};
enum { NASTY_FLOATS = sizeof nasty_floats / sizeof nasty_floats[0], NASTY_FINITE = NASTY_FLOATS - 3 };

typedef enum numbers_kind {
    NUMBERS_PLAIN,  /* normal, one in four zero: products leave zeros out */
    NUMBERS_FINITE, /* one in four is nasty, but finite */
    NUMBERS_NASTY,  /* one in four is nasty */
} numbers_kind;

static inline void numbers_fill(float *x, int64_t n, uint64_t seed, numbers_kind kind)
{
    const uint64_t choices[] = {[NUMBERS_FINITE] = NASTY_FINITE, [NUMBERS_NASTY] = NASTY_FLOATS};
    hm_stream stream = {.seed = seed, .purpose = HM_RNG_SYNTH};
    for (int64_t i = 0; i < n; i++) {
        uint64_t quarter = hm_random_below(&stream, 1, i, 4);
        x[i] = quarter == 1 ? 0 : (float)(3 * hm_random_normal(&stream, 0, i));
        if (quarter == 0 && kind != NUMBERS_PLAIN) x[i] = nasty_floats[hm_random_below(&stream, 2, i, choices[kind])];
    }
}

/* A zeroed array with 64 more floats after the end, as kernels may read; the caller frees it. */
static inline float *numbers_zero(int64_t n)
{
    float *x = calloc((size_t)n + 64, sizeof *x);
    assert_non_null(x);
    return x;
}

static inline float *numbers(int64_t n, uint64_t seed, numbers_kind kind)
{
    float *x = numbers_zero(n);
    numbers_fill(x, n, seed, kind);
    return x;
}

/* n normal numbers, the given share of them 0. */
static inline float *numbers_sparse(int64_t n, uint64_t seed, double zeros)
{
    hm_stream stream = {.seed = seed, .purpose = HM_RNG_SYNTH};
    float *x = numbers_zero(n);
    for (int64_t i = 0; i < n; i++)
        if ((double)hm_random_uniform(&stream, 1, i) >= zeros) x[i] = (float)hm_random_normal(&stream, 0, i);
    return x;
}

/* The first place where two results differ in a bit, or -1. Any NaN is as good as another: which of two NaN operands an
 * addition returns is the compiler's choice. */
static inline int64_t numbers_differ(int64_t n, const float *a, const float *b)
{
    for (int64_t i = 0; i < n; i++)
        if (memcmp(a + i, b + i, sizeof *a) != 0 && !(isnan(a[i]) && isnan(b[i]))) return i;
    return -1;
}

static inline void numbers_same(const char *what, const char *isa, int64_t n, const float *ours, const float *expected)
{
    int64_t at = numbers_differ(n, ours, expected);
    if (at >= 0)
        fail_msg("%s, %s: element %lld of %lld is %a, expected %a", what, isa, (long long)at, (long long)n,
                 (double)ours[at], (double)expected[at]);
}

/* Distance in units of the last place of the float nearest to `exact`; infinite when only one of them is. */
static inline double numbers_ulps(float ours, double exact)
{
    float nearest = (float)exact;
    if (isinf(nearest) || isinf(ours)) return ours == nearest ? 0 : INFINITY;
    double unit = ldexp(1.0, (fabs(exact) < 0x1p-126 ? -126 : ilogb(exact)) - 23);
    return fabs((double)ours - exact) / unit;
}

/* The worse of two errors; a NaN is the worst and stays. */
static inline double numbers_worse(double worst, double error)
{
    return isnan(worst) || error <= worst ? worst : error;
}

/* Prints both and fails unless error <= allowed; a NaN fails. */
static inline void numbers_within(const char *what, double error, double allowed)
{
    print_message("  %s: %.3g, allowed %.3g\n", what, error, allowed);
    if (!(error <= allowed)) fail_msg("%s: %.6g is more than %.6g", what, error, allowed);
}

#endif
