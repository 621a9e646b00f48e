/* The kernels, written once over the vectors of simd.h; included by kernels_{avx512,avx2,scalar}.c, each of which
 * defines HM_KERNEL_TABLE, the name of the table made here.
 *
 * The order of every sum is part of a kernel's meaning, and the same on every instruction set:
 *   products    each element is one chain of fused multiply-adds over k = 0, 1, 2, ...; of a row of zeros and ones, the
 *               sum of its fours (kernels_binary.h)
 *   outer       each shard's element is one such chain over the shard's rows; shards are added as a binary tree
 *   row sums    16 partial sums (column mod 16), added in float64 from 0 to 15
 */
#include "core/kernels.h"
#include "core/simd.h"

#include <stdbool.h>
#include <stddef.h>

#define INLINE static inline __attribute__((always_inline))

/* ---- elementary functions ------------------------------------------------------------------------------------- */

/* exp(x) = 2^n poly: x = n ln 2 + r, Cody-Waite reduction in two steps, poly the degree-7 Taylor polynomial of exp on
 * |r| <= ln(2)/2. */
INLINE vf exp_poly(vf x, vi *n)
{
    const vf rounder = vf_set(0x1.8p23f);
    vf rounded = vf_fma(x, vf_set(0x1.715476p+0f), rounder), whole = vf_sub(rounded, rounder);
    vf r = vf_fma(whole, vf_set(-0x1.62e400p-1f), x);
    r = vf_fma(whole, vf_set(-0x1.7f7d1cp-20f), r);
    vf poly = vf_set(0x1.a01a02p-13f);               /* 1/7! */
    poly = vf_fma(poly, r, vf_set(0x1.6c16c2p-10f)); /* 1/6! */
    poly = vf_fma(poly, r, vf_set(0x1.111112p-7f));
    poly = vf_fma(poly, r, vf_set(0x1.555556p-5f));
    poly = vf_fma(poly, r, vf_set(0x1.555556p-3f));
    poly = vf_fma(poly, r, vf_set(0.5f));
    poly = vf_fma(poly, r, vf_set(1.0f));
    *n = vi_sub(vf_bits(rounded), vi_set(0x4b400000));
    return vf_fma(poly, r, vf_set(1.0f));
}

/* 2^n for -127 <= n <= 128: 0 and +infinity at the ends. */
INLINE vf power_of_two(vi n) { return vf_from_bits(vi_shl(vi_add(n, vi_set(127)), 23)); }

/* exp(x) in float32 for x in [-104, 89], below 2 ulp (measured by the tests), scaled by 2^n in two halves so that
 * denormal results round once. Arguments outside are clamped: the result is 0 or +infinity. */
INLINE vf exp_vf(vf x)
{
    vi n;
    /* A NaN stays one: both return their second operand. */
    vf poly = exp_poly(vf_max(vf_set(-104.0f), vf_min(vf_set(89.0f), x)), &n);
    /* 2^n = 2^half * 2^(n - half): the exponent of either factor is in range. */
    vi half = vi_sub(vi_shr(vi_add(n, vi_set(512)), 1), vi_set(256));
    return vf_mul(vf_mul(poly, power_of_two(half)), power_of_two(vi_sub(n, half)));
}

/* log(1 + t) for t in [0, 1]: 2 atanh(s), s = t / (2 + t) <= 1/3, as an odd series to s^15. */
INLINE vf log1p_vf(vf t)
{
    vf s = vf_div(t, vf_add(t, vf_set(2.0f)));
    vf s2 = vf_mul(s, s);
    vf poly = vf_set(2.0f / 15.0f);
    poly = vf_fma(poly, s2, vf_set(2.0f / 13.0f));
    poly = vf_fma(poly, s2, vf_set(2.0f / 11.0f));
    poly = vf_fma(poly, s2, vf_set(2.0f / 9.0f));
    poly = vf_fma(poly, s2, vf_set(2.0f / 7.0f));
    poly = vf_fma(poly, s2, vf_set(2.0f / 5.0f));
    poly = vf_fma(poly, s2, vf_set(2.0f / 3.0f));
    poly = vf_mul(poly, vf_mul(s2, s));
    return vf_fma(vf_set(2.0f), s, poly);
}

/* log(x) of normal x > 0: x = 2^e m, m in [sqrt(1/2), sqrt(2)); log m = 2 atanh(s), s = (m - 1) / (m + 1), |s| < 0.172,
 * as an odd series to s^11. */
INLINE vf log_vf(vf x)
{
    vi shifted = vi_add(vi_sub(vf_bits(x), vi_set(0x3f3504f3)), vi_set(128 << 23)); /* not negative */
    vi exponent = vi_sub(vi_shr(shifted, 23), vi_set(128));
    vf m = vf_from_bits(vi_sub(vf_bits(x), vi_shl(exponent, 23)));
    vf s = vf_div(vf_sub(m, vf_set(1.0f)), vf_add(m, vf_set(1.0f)));
    vf s2 = vf_mul(s, s);
    vf poly = vf_set(2.0f / 11.0f);
    poly = vf_fma(poly, s2, vf_set(2.0f / 9.0f));
    poly = vf_fma(poly, s2, vf_set(2.0f / 7.0f));
    poly = vf_fma(poly, s2, vf_set(2.0f / 5.0f));
    poly = vf_fma(poly, s2, vf_set(2.0f / 3.0f));
    poly = vf_fma(vf_mul(poly, s2), s, vf_mul(vf_set(2.0f), s));
    return vf_fma(vf_from_int(exponent), vf_set(0x1.62e43p-1f), poly);
}

/* cos and sin of 2 pi u, u in [0, 1): the nearest quarter turn n, and Taylor polynomials on the rest, |x| <= pi / 4. */
INLINE void cos_sin_vf(vf u, vf *cosine, vf *sine)
{
    const vf rounder = vf_set(0x1.8p23f), one = vf_set(1.0f), zero = vf_set(0.0f), half = vf_set(0.5f);
    vf turns = vf_mul(u, vf_set(4.0f));
    vf nearest = vf_add(turns, rounder);
    vi n = vi_sub(vf_bits(nearest), vi_set(0x4b400000));
    vf x = vf_mul(vf_sub(turns, vf_sub(nearest, rounder)), vf_set(0x1.921fb6p+0f));
    vf x2 = vf_mul(x, x);
    vf s = vf_fma(vf_set(0x1.71de3ap-19f), x2, vf_set(-0x1.a01a02p-13f));
    s = vf_fma(s, x2, vf_set(0x1.111112p-7f));
    s = vf_fma(s, x2, vf_set(-0x1.555556p-3f));
    s = vf_fma(vf_mul(s, x2), x, x);
    vf c = vf_fma(vf_set(-0x1.27e4fcp-22f), x2, vf_set(0x1.a01a02p-16f));
    c = vf_fma(c, x2, vf_set(-0x1.6c16c2p-10f));
    c = vf_fma(c, x2, vf_set(0x1.555556p-5f));
    c = vf_fma(c, x2, vf_set(-0.5f));
    c = vf_fma(c, x2, one);
    vm odd = vf_less(half, vf_from_int(vi_and(n, vi_set(1))));
    vm below = vf_less(half, vf_from_int(vi_and(n, vi_set(2))));                   /* sin is negative */
    vm left = vf_less(half, vf_from_int(vi_and(vi_add(n, vi_set(1)), vi_set(2)))); /* cos is negative */
    vf quarter_sine = vf_select(odd, c, s), quarter_cosine = vf_select(odd, s, c);
    *sine = vf_select(below, vf_sub(zero, quarter_sine), quarter_sine);
    *cosine = vf_select(left, vf_sub(zero, quarter_cosine), quarter_cosine);
}

/* tanh(x) = (1 - t) / (1 + t) with the sign of x, t = e^(-2 |x|); x itself where that is exact to 1e-7. */
INLINE vf tanh_vf(vf x)
{
    vf magnitude = vf_from_bits(vi_and(vf_bits(x), vi_set(0x7fffffff)));
    vi sign = vi_sub(vf_bits(x), vf_bits(magnitude));
    vf t = exp_vf(vf_mul(vf_set(-2.0f), magnitude));
    vf y = vf_div(vf_sub(vf_set(1.0f), t), vf_add(vf_set(1.0f), t));
    return vf_from_bits(vi_or(vf_bits(y), sign));
}

/* 1 / (1 + e^-x) as 0.5 / (0.5 + e^-x / 2), where 2^n / 2 needs no halves: it is in range up to 128.5 ln 2 = 89.07,
 * beyond which it is +infinity, the quotient 0. An e^-x below e^-87 is lost beside the 1. */
INLINE vf sigmoid_vf(vf x)
{
    const vf half = vf_set(0.5f);
    vi n;
    vf poly = exp_poly(vf_max(vf_set(-87.0f), vf_min(vf_set(89.4f), vf_sub(vf_set(0.0f), x))), &n);
    return vf_div(half, vf_fma(poly, power_of_two(vi_sub(n, vi_set(1))), half));
}

/* softplus(x) = log(1 + e^x) = max(x, 0) + log(1 + e^-|x|). */
INLINE vf softplus_vf(vf x)
{
    vf magnitude = vf_from_bits(vi_and(vf_bits(x), vi_set(0x7fffffff)));
    vf positive = vf_select(vf_nan(x), x, vf_max(x, vf_set(0.0f)));
    return vf_add(positive, log1p_vf(exp_vf(vf_sub(vf_set(0.0f), magnitude))));
}

/* ---- random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011) -------------------------------------------- */

/* What all counters of a row share: the key of each round, from the seed, and the words (row, step, purpose). */
enum { ROUNDS = 10 };
typedef struct row_draws {
    vi low[ROUNDS], high[ROUNDS];
    hm_counter counter;
} row_draws;

INLINE row_draws draws_of(const hm_stream *stream, int64_t row)
{
    row_draws draws = {.counter = hm_counter_of(stream, row)};
    uint32_t low = (uint32_t)stream->seed, high = (uint32_t)(stream->seed >> 32);
    for (int round = 0; round < ROUNDS; round++, low += 0x9E3779B9u, high += 0xBB67AE85u) {
        draws.low[round] = vi_set((int32_t)low);
        draws.high[round] = vi_set((int32_t)high);
    }
    return draws;
}

/* Column c of a row takes word (c / 16) % 4 of block (c / 64) * 16 + c % 16: 16 lanes hold 64 consecutive columns. */
enum { SPAN = 64, PARTS = 16 / VL };

/* Four words for each of the 16 counters (block, row, step, purpose) from `block`. Their rounds take turns, as each
 * waits for its own last one. */
INLINE void philox_of_span(int32_t block, const row_draws *draws, vi out[4][PARTS])
{
    const hm_counter c = draws->counter;
    vi x0[PARTS], x1[PARTS], x2[PARTS], x3[PARTS];
    for (int part = 0; part < PARTS; part++) {
        x0[part] = vi_add(vi_set(block + part * VL), vi_iota());
        x1[part] = vi_set((int32_t)c.row);
        x2[part] = vi_set((int32_t)c.step);
        x3[part] = vi_set((int32_t)c.high);
    }
#pragma GCC unroll 10
    for (int round = 0; round < ROUNDS; round++)
        for (int part = 0; part < PARTS; part++) {
            vi hi0, lo0, hi1, lo1;
            vi_mulhilo(x0[part], 0xD2511F53u, &hi0, &lo0);
            vi_mulhilo(x2[part], 0xCD9E8D57u, &hi1, &lo1);
            x0[part] = vi_xor(hi1, vi_xor(x1[part], draws->low[round]));
            x2[part] = vi_xor(hi0, vi_xor(x3[part], draws->high[round]));
            x1[part] = lo1;
            x3[part] = lo0;
        }
    for (int part = 0; part < PARTS; part++) {
        out[0][part] = x0[part];
        out[1][part] = x1[part];
        out[2][part] = x2[part];
        out[3][part] = x3[part];
    }
}

/* u in [0, 1): the 24 high bits of a word, times 2^-24. */
INLINE vf uniform_vf(vi word) { return vf_mul(vf_from_int(vi_shr(word, 8)), vf_set(0x1p-24f)); }

/* uniforms[c] for the 64 columns from `column` (a multiple of 64). */
INLINE void uniforms_of_span(const row_draws *draws, int64_t column, vf uniforms[SPAN / VL])
{
    vi words[4][PARTS];
    philox_of_span((int32_t)(column / SPAN * 16), draws, words);
    for (int word = 0; word < 4; word++)
        for (int part = 0; part < PARTS; part++) uniforms[word * PARTS + part] = uniform_vf(words[word][part]);
}

static void uniform(const hm_stream *stream, int64_t row, int64_t columns, float *out)
{
    const row_draws draws = draws_of(stream, row);
    for (int64_t column = 0; column < columns; column += SPAN) {
        vf u[SPAN / VL];
        uniforms_of_span(&draws, column, u);
        for (int v = 0; v < SPAN / VL; v++) {
            int64_t left = columns - column - v * VL;
            if (left > 0) vf_store_first(out + column + v * VL, u[v], left < VL ? (int)left : VL);
        }
    }
}

static void normal(const hm_stream *stream, int64_t row, int64_t columns, float *out)
{
    const row_draws draws = draws_of(stream, row);
    for (int64_t column = 0; column < columns; column += 2 * SPAN) {
        vf radius[SPAN / VL], angle[SPAN / VL];
        uniforms_of_span(&draws, column, radius);
        uniforms_of_span(&draws, column + SPAN, angle);
        for (int v = 0; v < SPAN / VL; v++) {
            vf cosine, sine, u = vf_add(radius[v], vf_set(0x1p-24f)); /* in (0, 1] */
            vf length = vf_sqrt(vf_mul(vf_set(-2.0f), log_vf(u)));
            int64_t c = column + v * VL, left = columns - c, right = left - SPAN;
            cos_sin_vf(angle[v], &cosine, &sine);
            if (left > 0) vf_store_first(out + c, vf_mul(length, cosine), left < VL ? (int)left : VL);
            if (right > 0) vf_store_first(out + c + SPAN, vf_mul(length, sine), right < VL ? (int)right : VL);
        }
    }
}

/* ---- activations ------------------------------------------------------------------------------------------------ */

INLINE vf load_bias(const float *bias, int64_t c, int n) { return bias ? vf_load_first(bias + c, n) : vf_set(0.0f); }

INLINE void sigmoid_row(int64_t columns, const float *x, float scale, const float *bias, float *prob)
{
    const vf factor = vf_set(scale);
    for (int64_t c = 0; c < columns; c += VL) {
        int n = columns - c < VL ? (int)(columns - c) : VL;
        vf_store_first(prob + c, sigmoid_vf(vf_fma(factor, vf_load_first(x + c, n), load_bias(bias, c, n))), n);
    }
}

/* One vector of sigmoid and Bernoulli draw; `n` lanes of it are wanted. */
INLINE void draw_vector(int n, const float *x, vf factor, vf bias, vf u, float *prob, float *sample)
{
    vf p = sigmoid_vf(vf_fma(factor, vf_load_first(x, n), bias));
    if (prob) vf_store_first(prob, p, n);
    vf_store_first(sample, vf_one_if(vf_less(u, p)), n);
}

INLINE void draw_span(int64_t columns, const float *x, vf factor, const float *bias, const vf u[SPAN / VL], float *prob,
                      float *sample)
{
#pragma GCC unroll 16
    for (int v = 0; v < SPAN / VL; v++) {
        int64_t c = v * VL;
        if (c >= columns) break;
        int n = columns - c < VL ? (int)(columns - c) : VL;
        draw_vector(n, x + c, factor, load_bias(bias, c, n), u[v], prob ? prob + c : NULL, sample + c);
    }
}

INLINE void sample_row(int64_t columns, const float *x, float scale, const float *bias, const hm_stream *stream,
                       int64_t row, float *prob, float *sample)
{
    const row_draws draws = draws_of(stream, row);
    const vf factor = vf_set(scale);
    for (int64_t c = 0; c < columns; c += SPAN) {
        const float *bias_span = bias ? bias + c : NULL;
        float *prob_span = prob ? prob + c : NULL;
        vf u[SPAN / VL];
        uniforms_of_span(&draws, c, u);
        if (columns - c >= SPAN)
            draw_span(SPAN, x + c, factor, bias_span, u, prob_span, sample + c);
        else
            draw_span(columns - c, x + c, factor, bias_span, u, prob_span, sample + c);
    }
}

static void activate(int64_t rows, int64_t columns, const float *x, float scale, const float *bias, float *prob,
                     float *sample, const hm_stream *stream, int64_t first_row)
{
    for (int64_t row = 0; row < rows; row++) {
        const float *x_row = x + row * columns;
        float *prob_row = prob ? prob + row * columns : NULL;
        if (sample)
            sample_row(columns, x_row, scale, bias, stream, first_row + row, prob_row, sample + row * columns);
        else
            sigmoid_row(columns, x_row, scale, bias, prob_row);
    }
}

static void bernoulli(int64_t columns, const float *prob, const hm_stream *stream, int64_t row, float *sample)
{
    const row_draws draws = draws_of(stream, row);
    for (int64_t column = 0; column < columns; column += SPAN) {
        vf u[SPAN / VL];
        uniforms_of_span(&draws, column, u);
        for (int v = 0; v < SPAN / VL; v++) {
            int64_t c = column + v * VL;
            if (c >= columns) break;
            int n = columns - c < VL ? (int)(columns - c) : VL;
            vm on = vf_less(u[v], vf_load_first(prob + c, n));
            vf_store_first(sample + c, vf_one_if(on), n);
        }
    }
}

static void drop(int64_t n, const float *uniform, float keep, float *x)
{
    const vf share = vf_set(keep);
    for (int64_t i = 0; i < n; i += VL) {
        int lanes = n - i < VL ? (int)(n - i) : VL;
        vm kept = vf_less(vf_load_first(uniform + i, lanes), share);
        vf_store_first(x + i, vf_select(kept, vf_div(vf_load_first(x + i, lanes), share), vf_set(0.0f)), lanes);
    }
}

static void exp_each(int64_t n, const float *x, float *out)
{
    for (int64_t i = 0; i < n; i += VL) {
        int lanes = n - i < VL ? (int)(n - i) : VL;
        vf_store_first(out + i, exp_vf(vf_load_first(x + i, lanes)), lanes);
    }
}

static void tanh_each(int64_t n, const float *x, float *out)
{
    for (int64_t i = 0; i < n; i += VL) {
        int lanes = n - i < VL ? (int)(n - i) : VL;
        vf_store_first(out + i, tanh_vf(vf_load_first(x + i, lanes)), lanes);
    }
}

static void softplus(int64_t n, const float *x, float *out)
{
    for (int64_t i = 0; i < n; i += VL) {
        int lanes = n - i < VL ? (int)(n - i) : VL;
        vf_store_first(out + i, softplus_vf(vf_load_first(x + i, lanes)), lanes);
    }
}

/* ---- sums ------------------------------------------------------------------------------------------------------- */

enum { SUM_LANES = 16, SUM_RUN = 1024 }; /* float32 partial sums are short: at most 1024 / 16 terms before float64 */

INLINE double flush_partial(vf partial[SUM_LANES / VL])
{
    float lanes[SUM_LANES];
    for (int part = 0; part < SUM_LANES / VL; part++) {
        vf_store(lanes + part * VL, partial[part]);
        partial[part] = vf_set(0.0f);
    }
    double total = 0;
    for (int lane = 0; lane < SUM_LANES; lane++) total += (double)lanes[lane];
    return total;
}

/* sum over c of f(scale x[c] + bias[c]), f = softplus or the identity. */
INLINE double sum_row(int is_softplus, int64_t columns, const float *x, float scale, const float *bias)
{
    vf partial[SUM_LANES / VL];
    for (int part = 0; part < SUM_LANES / VL; part++) partial[part] = vf_set(0.0f);
    const vf factor = vf_set(scale);
    double total = 0;
    for (int64_t c = 0; c < columns; c += SUM_LANES) {
        if (c > 0 && c % SUM_RUN == 0) total += flush_partial(partial);
        for (int part = 0; part < SUM_LANES / VL; part++) {
            int64_t at = c + part * VL;
            int n = columns - at < VL ? (int)(columns - at) : VL;
            if (n <= 0) break;
            vf value = vf_fma(factor, vf_load_first(x + at, n), load_bias(bias, at, n));
            if (is_softplus) value = softplus_vf(value);
            /* Lanes beyond the end hold softplus(0); they are cut off so that they do not count. */
            if (n < VL) {
                float cut[VL];
                vf_store(cut, vf_set(0.0f));
                vf_store_first(cut, value, n);
                value = vf_load(cut);
            }
            partial[part] = vf_add(partial[part], value);
        }
    }
    return total + flush_partial(partial);
}

static double sum_softplus(int64_t columns, const float *x, float scale, const float *bias)
{
    return sum_row(1, columns, x, scale, bias);
}

static double sum(int64_t columns, const float *x) { return sum_row(0, columns, x, 1.0f, NULL); }

static double dot(int64_t n, const float *a, const float *b)
{
    double total = 0;
    for (int64_t begin = 0; begin < n; begin += SUM_RUN) {
        vf partial[SUM_LANES / VL];
        for (int part = 0; part < SUM_LANES / VL; part++) partial[part] = vf_set(0.0f);
        int64_t end = begin + SUM_RUN < n ? begin + SUM_RUN : n;
        for (int64_t c = begin; c < end; c += SUM_LANES)
            for (int part = 0; part < SUM_LANES / VL; part++) {
                int64_t at = c + part * VL;
                int lanes = end - at < VL ? (int)(end - at) : VL;
                if (lanes <= 0) break;
                partial[part] = vf_fma(vf_load_first(a + at, lanes), vf_load_first(b + at, lanes), partial[part]);
            }
        total += flush_partial(partial);
    }
    return total;
}

/* A maximum is the same in any order. */
static float max_difference(int64_t n, const float *a, const float *b)
{
    vf most = vf_set(0.0f);
    float lanes[VL], greatest = 0.0f;
    for (int64_t i = 0; i < n; i += VL) {
        int left = n - i < VL ? (int)(n - i) : VL;
        vf difference = vf_sub(vf_load_first(a + i, left), vf_load_first(b + i, left));
        most = vf_max(vf_from_bits(vi_and(vf_bits(difference), vi_set(0x7fffffff))), most);
    }
    vf_store(lanes, most);
    for (int lane = 0; lane < VL; lane++) greatest = lanes[lane] > greatest ? lanes[lane] : greatest;
    return greatest;
}

/* sums[c] += sign * x[r][c], rows in order. */
static void add_columns(int64_t rows, int64_t columns, const float *x, float sign, float *sums)
{
    for (int64_t c = 0; c < columns; c += VL) {
        int n = columns - c < VL ? (int)(columns - c) : VL;
        vf total = vf_set(0.0f);
        for (int64_t row = 0; row < rows; row++) total = vf_add(total, vf_load_first(x + row * columns + c, n));
        vf_store_first(sums + c, vf_fma(vf_set(sign), total, vf_load_first(sums + c, n)), n);
    }
}

static void add(int64_t n, const float *a, const float *b, float *out)
{
    for (int64_t i = 0; i < n; i += VL) {
        int lanes = n - i < VL ? (int)(n - i) : VL;
        vf_store_first(out + i, vf_add(vf_load_first(a + i, lanes), vf_load_first(b + i, lanes)), lanes);
    }
}

#include "core/kernels_products.h"

/* ---- optimiser steps -------------------------------------------------------------------------------------------- */

static void sgd(int64_t n, const hm_sgd_step *step, const float *grad, float *velocity, float *w)
{
    const vf rate = vf_set(step->rate * step->scale), momentum = vf_set(step->momentum);
    const vf decay = vf_set(-step->rate * step->decay);
    for (int64_t i = 0; i < n; i += VL) {
        int lanes = n - i < VL ? (int)(n - i) : VL;
        vf weight = vf_load_first(w + i, lanes);
        vf move = vf_fma(rate, vf_load_first(grad + i, lanes), vf_mul(decay, weight));
        if (velocity) {
            move = vf_fma(momentum, vf_load_first(velocity + i, lanes), move);
            vf_store_first(velocity + i, move, lanes);
        }
        vf_store_first(w + i, vf_add(weight, move), lanes);
    }
}

static void adam(int64_t n, const hm_adam_step *step, const float *grad, float *moment1, float *moment2, float *w)
{
    const vf scale = vf_set(step->scale), decay = vf_set(-step->decay), rate = vf_set(step->rate);
    const vf keep1 = vf_set(step->beta1), take1 = vf_set(1.0f - step->beta1), epsilon = vf_set(step->epsilon);
    const vf keep2 = vf_set(step->beta2), take2 = vf_set(1.0f - step->beta2);
    for (int64_t i = 0; i < n; i += VL) {
        int lanes = n - i < VL ? (int)(n - i) : VL;
        vf weight = vf_load_first(w + i, lanes);
        vf g = vf_fma(scale, vf_load_first(grad + i, lanes), vf_mul(decay, weight));
        vf m = vf_fma(keep1, vf_load_first(moment1 + i, lanes), vf_mul(take1, g));
        vf v = vf_fma(keep2, vf_load_first(moment2 + i, lanes), vf_mul(take2, vf_mul(g, g)));
        vf_store_first(moment1 + i, m, lanes);
        vf_store_first(moment2 + i, v, lanes);
        vf move = vf_div(vf_mul(rate, m), vf_add(vf_sqrt(v), epsilon));
        vf_store_first(w + i, vf_add(weight, move), lanes);
    }
}

/* ---- the hardware limit ----------------------------------------------------------------------------------------- */

/* Enough independent chains of multiply-adds to hide the latency of one; they tend to 2 and stay finite. */
static double multiply_adds(int64_t rounds)
{
    enum { CHAINS = TILE_ROWS * TILE_VECTORS > 8 ? TILE_ROWS * TILE_VECTORS : 8 };
    vf sum[CHAINS];
    const vf half = vf_set(0.5f), one = vf_set(1.0f);
    float lanes[VL];
#pragma GCC unroll 32
    for (int chain = 0; chain < CHAINS; chain++) sum[chain] = vf_set((float)chain);
    for (int64_t round = 0; round < rounds; round++) {
#pragma GCC unroll 32
        for (int chain = 0; chain < CHAINS; chain++) sum[chain] = vf_fma(sum[chain], half, one);
    }
    vf total = sum[0];
#pragma GCC unroll 32
    for (int chain = 1; chain < CHAINS; chain++) total = vf_add(total, sum[chain]);
    vf_store(lanes, total);
    return lanes[0] > 0 ? 2.0 * CHAINS * VL * (double)rounds : 0; /* the sums are used, so the loop stays */
}

const hm_kernels HM_KERNEL_TABLE = {
    .uniform = uniform,
    .activate = activate,
    .bernoulli = bernoulli,
    .drop = drop,
    .normal = normal,
    .exp = exp_each,
    .tanh = tanh_each,
    .softplus = softplus,
    .sum_softplus = sum_softplus,
    .sum = sum,
    .dot = dot,
    .max_difference = max_difference,
    .add_columns = add_columns,
    .add = add,
    .product = product,
    .transpose = transpose,
    .panel = PANEL,
    .pack_rows = pack_rows,
    .outer_strip = outer_strip,
    .sgd = sgd,
    .adam = adam,
    .multiply_adds = multiply_adds,
};
