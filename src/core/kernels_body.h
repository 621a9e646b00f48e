/* The kernels, written once over the vectors of simd.h; included by kernels_{avx512,avx2,scalar}.c, each of which
 * defines HM_KERNEL_TABLE, the name of the table made here.
 *
 * The order of every sum is part of a kernel's meaning, and the same on every instruction set:
 *   products    each element is one chain of fused multiply-adds over k = 0, 1, 2, ...
 *   outer       each shard's element is one such chain over the shard's rows; shards are added as a binary tree
 *   row sums    16 partial sums (column mod 16), added in float64 from 0 to 15
 */
#include "core/kernels.h"
#include "core/simd.h"

#include <stdbool.h>
#include <stddef.h>

#define INLINE static inline __attribute__((always_inline))

/* ---- elementary functions ------------------------------------------------------------------------------------- */

/* exp(x) in float32 for x in [-104, 89], below 2 ulp (measured by the tests): x = n ln 2 + r, Cody-Waite reduction in
 * two steps, the degree-7 Taylor polynomial of exp on |r| <= ln(2)/2, scaled by 2^n in two halves so that denormal
 * results round once. Arguments outside are clamped: the result is 0 or +infinity. */
INLINE vf exp_vf(vf x)
{
    const vf rounder = vf_set(0x1.8p23f);
    x = vf_max(vf_set(-104.0f), vf_min(vf_set(89.0f), x)); /* a NaN stays one: both return their second operand */
    vf n = vf_sub(vf_fma(x, vf_set(0x1.715476p+0f), rounder), rounder);
    vf r = vf_fma(n, vf_set(-0x1.62e400p-1f), x);
    r = vf_fma(n, vf_set(-0x1.7f7d1cp-20f), r);
    vf poly = vf_set(0x1.a01a02p-13f);               /* 1/7! */
    poly = vf_fma(poly, r, vf_set(0x1.6c16c2p-10f)); /* 1/6! */
    poly = vf_fma(poly, r, vf_set(0x1.111112p-7f));
    poly = vf_fma(poly, r, vf_set(0x1.555556p-5f));
    poly = vf_fma(poly, r, vf_set(0x1.555556p-3f));
    poly = vf_fma(poly, r, vf_set(0.5f));
    poly = vf_fma(poly, r, vf_set(1.0f));
    poly = vf_fma(poly, r, vf_set(1.0f));
    /* 2^n = 2^half * 2^(n - half): the exponent of either factor is in range. */
    vi exponent = vi_sub(vf_bits(vf_add(n, rounder)), vi_set(0x4b400000));
    vi half = vi_sub(vi_shr(vi_add(exponent, vi_set(512)), 1), vi_set(256));
    vf low = vf_from_bits(vi_shl(vi_add(half, vi_set(127)), 23));
    vf high = vf_from_bits(vi_shl(vi_add(vi_sub(exponent, half), vi_set(127)), 23));
    return vf_mul(vf_mul(poly, low), high);
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

INLINE vf sigmoid_vf(vf x)
{
    vf e = exp_vf(vf_sub(vf_set(0.0f), x));
    return vf_div(vf_set(1.0f), vf_add(vf_set(1.0f), e));
}

/* softplus(x) = log(1 + e^x) = max(x, 0) + log(1 + e^-|x|). */
INLINE vf softplus_vf(vf x)
{
    vf magnitude = vf_from_bits(vi_and(vf_bits(x), vi_set(0x7fffffff)));
    vf positive = vf_select(vf_nan(x), x, vf_max(x, vf_set(0.0f)));
    return vf_add(positive, log1p_vf(exp_vf(vf_sub(vf_set(0.0f), magnitude))));
}

/* ---- random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011) -------------------------------------------- */

/* Four words for each of VL consecutive counters; the counter is (block, row, step, purpose), the key the seed. */
INLINE void philox_vi(vi block, int64_t row, const hm_stream *stream, vi out[4])
{
    hm_counter c = hm_counter_of(stream, row);
    vi x0 = block, x1 = vi_set((int32_t)c.row), x2 = vi_set((int32_t)c.step), x3 = vi_set((int32_t)c.high);
    uint32_t key0 = (uint32_t)stream->seed, key1 = (uint32_t)(stream->seed >> 32);
    for (int round = 0; round < 10; round++) {
        vi hi0, lo0, hi1, lo1;
        vi_mulhilo(x0, 0xD2511F53u, &hi0, &lo0);
        vi_mulhilo(x2, 0xCD9E8D57u, &hi1, &lo1);
        x0 = vi_xor(vi_xor(hi1, x1), vi_set((int32_t)key0));
        x2 = vi_xor(vi_xor(hi0, x3), vi_set((int32_t)key1));
        x1 = lo1;
        x3 = lo0;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    out[0] = x0;
    out[1] = x1;
    out[2] = x2;
    out[3] = x3;
}

/* u in [0, 1): the 24 high bits of a word, times 2^-24. */
INLINE vf uniform_vf(vi word) { return vf_mul(vf_from_int(vi_shr(word, 8)), vf_set(0x1p-24f)); }

/* Column c of a row takes word (c / 16) % 4 of block (c / 64) * 16 + c % 16: 16 lanes hold 64 consecutive columns. */
enum { SPAN = 64, PARTS = 16 / VL };

/* uniforms[c] for the 64 columns from `column` (a multiple of 64). */
INLINE void uniforms_of_span(const hm_stream *stream, int64_t row, int64_t column, vf uniforms[SPAN / VL])
{
    for (int part = 0; part < PARTS; part++) {
        vi words[4];
        vi block = vi_add(vi_set((int32_t)(column / SPAN * 16 + part * VL)), vi_iota());
        philox_vi(block, row, stream, words);
        for (int word = 0; word < 4; word++) uniforms[word * PARTS + part] = uniform_vf(words[word]);
    }
}

static void uniform(const hm_stream *stream, int64_t row, int64_t columns, float *out)
{
    for (int64_t column = 0; column < columns; column += SPAN) {
        vf u[SPAN / VL];
        uniforms_of_span(stream, row, column, u);
        for (int v = 0; v < SPAN / VL; v++) {
            int64_t left = columns - column - v * VL;
            if (left > 0) vf_store_first(out + column + v * VL, u[v], left < VL ? (int)left : VL);
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
    vf_store_first(sample, vf_select(vf_less(u, p), vf_set(1.0f), vf_set(0.0f)), n);
}

INLINE void sample_row(int64_t columns, const float *x, float scale, const float *bias, const hm_stream *stream,
                       int64_t row, float *prob, float *sample)
{
    const vf factor = vf_set(scale);
    for (int64_t column = 0; column < columns; column += SPAN) {
        vf u[SPAN / VL];
        uniforms_of_span(stream, row, column, u);
        for (int v = 0; v < SPAN / VL; v++) {
            int64_t c = column + v * VL;
            if (c >= columns) break;
            int n = columns - c < VL ? (int)(columns - c) : VL;
            draw_vector(n, x + c, factor, load_bias(bias, c, n), u[v], prob ? prob + c : NULL, sample + c);
        }
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
    for (int64_t column = 0; column < columns; column += SPAN) {
        vf u[SPAN / VL];
        uniforms_of_span(stream, row, column, u);
        for (int v = 0; v < SPAN / VL; v++) {
            int64_t c = column + v * VL;
            if (c >= columns) break;
            int n = columns - c < VL ? (int)(columns - c) : VL;
            vm on = vf_less(u[v], vf_load_first(prob + c, n));
            vf_store_first(sample + c, vf_select(on, vf_set(1.0f), vf_set(0.0f)), n);
        }
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

/* ---- products --------------------------------------------------------------------------------------------------- */

/* Registers hold TILE_ROWS x TILE_VECTORS sums: 8 x 3 of AVX-512's 32, 4 x 3 of AVX2's 16. */
#if defined(HM_ISA_AVX512)
enum { TILE_ROWS = 8, TILE_VECTORS = 3 };
#elif defined(HM_ISA_AVX2)
enum { TILE_ROWS = 4, TILE_VECTORS = 3 };
#else
enum { TILE_ROWS = 1, TILE_VECTORS = 1 };
#endif

/* out[r][v] = sum over steps of a[r][k] b[k][v], k = list[step], or k = step without a list; a's and b's elements lie at
 * the given strides. Leaving out a k where all of a is zero changes no bit of a finite sum: fma(0, b, sum) = sum. */
INLINE void tile_sum(const int rows, const int vectors, int64_t steps, const uint16_t *list, const float *a, int64_t a_row,
                     int64_t a_k, const float *b, int64_t b_k, vf out[TILE_ROWS][TILE_VECTORS])
{
    vf acc[TILE_ROWS][TILE_VECTORS];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) acc[r][v] = vf_set(0.0f);
    for (int64_t step = 0; step < steps; step++) {
        int64_t k = list ? list[step] : step;
        vf column[TILE_VECTORS];
        for (int v = 0; v < vectors; v++) column[v] = vf_load(b + k * b_k + v * VL);
        for (int r = 0; r < rows; r++) {
            vf x = vf_set(a[r * a_row + k * a_k]);
            for (int v = 0; v < vectors; v++) acc[r][v] = vf_fma(x, column[v], acc[r][v]);
        }
    }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) out[r][v] = acc[r][v];
}

/* Every tile height and width gets code of its own, so that its sums stay in registers. */
enum { WIDE = TILE_VECTORS, MIDDLE = TILE_VECTORS > 1 ? 2 : 1 };
#if defined(HM_ISA_AVX512)
#define TILE_HEIGHTS(CASE) CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8)
#elif defined(HM_ISA_AVX2)
#define TILE_HEIGHTS(CASE) CASE(1) CASE(2) CASE(3) CASE(4)
#else
#define TILE_HEIGHTS(CASE) CASE(1)
#endif

/* The k at which a tile has work: binary states are mostly zeros, and in images zero together. */
enum { LIST_MAX = 4096 };
typedef struct steps {
    int64_t count;
    const uint16_t *list; /* NULL: 0 .. count - 1 */
} steps;

/* Appends the k in [first, first + count) for which any[k - first] is not zero. */
INLINE int64_t append_steps(int64_t first, int64_t count, const float *any, int64_t filled, uint16_t *list)
{
    for (int64_t k = 0; k < count; k++) {
        uint32_t bits;
        memcpy(&bits, any + k, sizeof bits);
        list[filled] = (uint16_t)(first + k);
        filled += bits << 1 != 0; /* either zero */
    }
    return filled;
}

/* Steps of a tile of `rows` rows of a, k < depth. list: room for LIST_MAX. */
static steps product_steps(int rows, int64_t depth, const float *a, int64_t lda, uint16_t *list)
{
    int64_t filled = 0;
    if (depth > LIST_MAX) return (steps){depth, NULL};
    for (int64_t k = 0; k < depth; k += VL) {
        int n = depth - k < VL ? (int)(depth - k) : VL;
        vi any = vi_set(0);
        float lanes[VL];
        for (int r = 0; r < rows; r++) any = vi_or(any, vf_bits(vf_load_first(a + r * lda + k, n)));
        vf_store(lanes, vf_from_bits(any));
        filled = append_steps(k, n, lanes, filled, list);
    }
    return (steps){filled, list};
}

/* One tile of a product: `rows` x `vectors`, the last vector holding `last` lanes of the result. */
INLINE void product_tile(const int rows, const int vectors, steps k, const float *a, int64_t lda, const float *panel,
                         int64_t width, int last, float *c, int64_t ldc)
{
    vf out[TILE_ROWS][TILE_VECTORS];
    if (k.list)
        tile_sum(rows, vectors, k.count, k.list, a, lda, 1, panel, width, out);
    else
        tile_sum(rows, vectors, k.count, NULL, a, lda, 1, panel, width, out);
    for (int r = 0; r < rows; r++) {
        for (int v = 0; v < vectors - 1; v++) vf_store(c + r * ldc + v * VL, out[r][v]);
        vf_store_first(c + r * ldc + (vectors - 1) * VL, out[r][vectors - 1], last);
    }
}

#define DEFINE_PRODUCT_TILE(ROWS)                                                                                     \
    static void product_tile_##ROWS(int vectors, steps k, const float *a, int64_t lda, const float *panel,            \
                                    int64_t width, int last, float *c, int64_t ldc)                                   \
    {                                                                                                                 \
        if (vectors == WIDE) product_tile(ROWS, WIDE, k, a, lda, panel, width, last, c, ldc);                         \
        else if (vectors == MIDDLE) product_tile(ROWS, MIDDLE, k, a, lda, panel, width, last, c, ldc);                \
        else product_tile(ROWS, 1, k, a, lda, panel, width, last, c, ldc);                                            \
    }
TILE_HEIGHTS(DEFINE_PRODUCT_TILE)

typedef void product_tile_fn(int, steps, const float *, int64_t, const float *, int64_t, int, float *, int64_t);
#define LIST_PRODUCT_TILE(ROWS) product_tile_##ROWS,
static product_tile_fn *const product_tiles[] = {NULL, TILE_HEIGHTS(LIST_PRODUCT_TILE)};

/* A few tiles of rows at a time, so that a panel is read from memory once for all of them. */
enum { TILES = 8 };

typedef struct row_tile {
    const float *a;
    float *c;
    int height;
    steps k;
    uint16_t list[LIST_MAX];
} row_tile;

static void product_panel(int tiles, const row_tile *tile, int64_t lda, const float *panel, int64_t columns, int64_t ldc)
{
    int64_t width = (columns + 15) / 16 * 16;
    for (int t = 0; t < tiles; t++)
        for (int64_t first = 0; first < columns; first += TILE_VECTORS * VL) {
            int64_t wide = columns - first < TILE_VECTORS * VL ? columns - first : TILE_VECTORS * VL;
            int vectors = (int)((wide + VL - 1) / VL);
            int last = (int)(wide - (int64_t)(vectors - 1) * VL);
            product_tiles[tile[t].height](vectors, tile[t].k, tile[t].a, lda, panel + first, width, last,
                                          tile[t].c + first, ldc);
        }
}

static void product(int64_t rows, int64_t depth, int64_t columns, const float *a, const float *panels, float *c)
{
    row_tile tile[TILES];
    for (int64_t row = 0; row < rows;) {
        int tiles = 0;
        for (; tiles < TILES && row < rows; tiles++) {
            /* Tiles of even height: 12 rows are 6 + 6, not 8 + 4. */
            int64_t left = (rows - row + TILE_ROWS - 1) / TILE_ROWS;
            int height = (int)((rows - row + left - 1) / left);
            tile[tiles].a = a + row * depth;
            tile[tiles].c = c + row * columns;
            tile[tiles].height = height;
            tile[tiles].k = product_steps(height, depth, tile[tiles].a, depth, tile[tiles].list);
            row += height;
        }
        for (int64_t first = 0; first < columns; first += HM_PANEL) {
            int64_t wide = columns - first < HM_PANEL ? columns - first : HM_PANEL;
            for (int t = 0; t < tiles; t++) tile[t].c += first > 0 ? HM_PANEL : 0;
            product_panel(tiles, tile, depth, panels + first * depth, wide, columns);
        }
    }
}

/* A VL x VL block: interleaving rows i and i + VL / 2, log2(VL) times over, exchanges rows and columns. */
INLINE void transpose_block(const float *from, int64_t ld_from, float *to, int64_t ld_to)
{
    vf rows[VL], next[VL];
#pragma GCC unroll 16
    for (int i = 0; i < VL; i++) rows[i] = vf_load(from + i * ld_from);
#pragma GCC unroll 4
    for (int round = 1; round < VL; round *= 2) {
#pragma GCC unroll 8
        for (int i = 0; i < VL / 2; i++) vf_interleave(rows[i], rows[i + VL / 2], &next[2 * i], &next[2 * i + 1]);
#pragma GCC unroll 16
        for (int i = 0; i < VL; i++) rows[i] = next[i];
    }
#pragma GCC unroll 16
    for (int i = 0; i < VL; i++) vf_store(to + i * ld_to, rows[i]);
}

static void transpose(int64_t rows, int64_t columns, const float *from, int64_t ld_from, float *to, int64_t ld_to)
{
    for (int64_t c = 0; c < columns; c += VL)
        for (int64_t r = 0; r < rows; r += VL) {
            if (r + VL <= rows && c + VL <= columns) {
                transpose_block(from + r * ld_from + c, ld_from, to + c * ld_to + r, ld_to);
                continue;
            }
            for (int64_t i = r; i < rows && i < r + VL; i++)
                for (int64_t j = c; j < columns && j < c + VL; j++) to[j * ld_to + i] = from[i * ld_from + j];
        }
}

/* ---- outer products of shards, added as a tree ------------------------------------------------------------------- */

/* The sum of a subtree waits in a level until its sibling is done, which is then added to it. */
INLINE void tile_store(const int rows, const int vectors, vf tile[TILE_ROWS][TILE_VECTORS], float *level)
{
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) vf_store(level + (r * TILE_VECTORS + v) * VL, tile[r][v]);
}
INLINE void tile_add(const int rows, const int vectors, const float *level, vf tile[TILE_ROWS][TILE_VECTORS])
{
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++)
            tile[r][v] = vf_add(vf_load(level + (r * TILE_VECTORS + v) * VL), tile[r][v]);
}

INLINE void outer_tile(const int rows, const int vectors, int leaves, const hm_outer_leaf *leaf, const steps *r, int64_t i,
                       int64_t j, int last, float *c, int64_t ldc)
{
    float levels[HM_TREE_LEVELS][TILE_ROWS * TILE_VECTORS * VL] __attribute__((aligned(64)));
    vf tile[TILE_ROWS][TILE_VECTORS];
    int s = 0;
    do { /* at least one leaf */
        const hm_outer_leaf *l = &leaf[s];
        if (r[s].list)
            tile_sum(rows, vectors, r[s].count, r[s].list, l->a + i, 1, l->lda, l->b + j, l->ldb, tile);
        else
            tile_sum(rows, vectors, r[s].count, NULL, l->a + i, 1, l->lda, l->b + j, l->ldb, tile);
        /* A binary counter: after shard s, each trailing one bit of s is a finished left sibling. */
        int level = 0;
        for (int bits = s; bits & 1; bits >>= 1) tile_add(rows, vectors, levels[level++], tile);
        if (s + 1 < leaves) tile_store(rows, vectors, tile, levels[level]);
    } while (++s < leaves);
    for (int row = 0; row < rows; row++) {
        for (int v = 0; v < vectors - 1; v++) vf_store(c + row * ldc + v * VL, tile[row][v]);
        vf_store_first(c + row * ldc + (vectors - 1) * VL, tile[row][vectors - 1], last);
    }
}

#define DEFINE_OUTER_TILE(ROWS)                                                                                       \
    static void outer_tile_##ROWS(int vectors, int leaves, const hm_outer_leaf *leaf, const steps *r, int64_t i,      \
                                  int64_t j, int last, float *c, int64_t ldc)                                         \
    {                                                                                                                 \
        if (vectors == WIDE) outer_tile(ROWS, WIDE, leaves, leaf, r, i, j, last, c, ldc);                             \
        else if (vectors == MIDDLE) outer_tile(ROWS, MIDDLE, leaves, leaf, r, i, j, last, c, ldc);                    \
        else outer_tile(ROWS, 1, leaves, leaf, r, i, j, last, c, ldc);                                                \
    }
TILE_HEIGHTS(DEFINE_OUTER_TILE)

typedef void outer_tile_fn(int, int, const hm_outer_leaf *, const steps *, int64_t, int64_t, int, float *, int64_t);
#define LIST_OUTER_TILE(ROWS) outer_tile_##ROWS,
static outer_tile_fn *const outer_tiles[] = {NULL, TILE_HEIGHTS(LIST_OUTER_TILE)};

INLINE bool any_nonzero(int n, const float *x)
{
    uint32_t any = 0;
    for (int i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        any |= bits;
    }
    return any << 1 != 0;
}

/* The rows of each leaf at which columns i .. i + height of a have work. room: (LIST_MAX). */
static void outer_steps(int leaves, const hm_outer_leaf *leaf, int64_t i, int height, uint16_t *room, steps *r)
{
    int64_t left = LIST_MAX;
    for (int s = 0; s < leaves; s++) {
        r[s] = (steps){leaf[s].rows, NULL};
        if (leaf[s].rows > left) continue;
        int64_t filled = 0;
        for (int64_t row = 0; row < leaf[s].rows; row++) {
            const float *x = leaf[s].a + row * leaf[s].lda + i;
            room[filled] = (uint16_t)row;
            filled += height == TILE_ROWS ? any_nonzero(TILE_ROWS, x) : any_nonzero(height, x);
        }
        r[s] = (steps){filled, room};
        room += leaf[s].rows;
        left -= leaf[s].rows;
    }
}

static void outer_strip(int leaves, const hm_outer_leaf *leaf, int64_t i_begin, int64_t i_end, int64_t columns, float *c)
{
    enum { TILES_A_STRIP = (HM_STRIP + TILE_ROWS - 1) / TILE_ROWS };
    uint16_t room[TILES_A_STRIP][LIST_MAX];
    steps r[TILES_A_STRIP][HM_SHARDS_MAX];
    for (int64_t i = i_begin, t = 0; i < i_end; i += TILE_ROWS, t++) {
        int height = (int)(i_end - i < TILE_ROWS ? i_end - i : TILE_ROWS);
        outer_steps(leaves, leaf, i, height, room[t], r[t]);
    }
    for (int64_t j = 0; j < columns; j += TILE_VECTORS * VL) {
        int64_t wide = columns - j < TILE_VECTORS * VL ? columns - j : TILE_VECTORS * VL;
        int vectors = (int)((wide + VL - 1) / VL);
        int last = (int)(wide - (int64_t)(vectors - 1) * VL);
        for (int64_t i = i_begin, t = 0; i < i_end; i += TILE_ROWS, t++) {
            int height = (int)(i_end - i < TILE_ROWS ? i_end - i : TILE_ROWS);
            outer_tiles[height](vectors, leaves, leaf, r[t], i, j, last, c + i * columns + j, columns);
        }
    }
}

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
    .uniform = uniform, .activate = activate, .bernoulli = bernoulli, .softplus = softplus,
    .sum_softplus = sum_softplus, .sum = sum, .dot = dot, .add_columns = add_columns, .add = add,
    .product = product, .transpose = transpose, .outer_strip = outer_strip, .sgd = sgd,
    .adam = adam, .multiply_adds = multiply_adds,
};
