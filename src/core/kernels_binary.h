/* Products of rows of zeros and ones, as Gibbs sampling makes them; a part of kernels_products.h, which includes it.
 *
 * The weights are taken four steps at a time. Of the 16 sums that four of them can have, each is made once and then
 * looked up by every row (Arlazarov, Dinic, Kronrod, Faradzev 1970), so that a row costs one addition for four
 * multiply-adds. An element is the sum of its fours in ascending order, and a four is ((w[0] + w[1]) + w[2]) + w[3], of
 * which those count at which the row is 1; also for few rows, for which tables would not pay.
 */
#ifndef HM_KERNELS_BINARY_H
#define HM_KERNELS_BINARY_H

enum {
    FOUR = 4,
    SUMS = 1 << FOUR, /* of four weights */
    WORD = 32,        /* steps whose bits lie in a word */
    FOURS = WORD / FOUR,
    TABLE_ROWS = 128,                /* most rows that a table is made for at a time */
    TABLE_LEAST = VL == 16 ? 14 : 6, /* rows from which on a table pays, measured */
    TABLE_DEPTH = 4096,              /* deeper products are chains of multiply-adds also for binary rows */
    WORDS = TABLE_DEPTH / WORD,
    FEW = TILE_ROWS > 1 ? TILE_ROWS / 2 : 1, /* rows of a tile without tables: it has two sums for each element */
    FEWER = FEW > 1 ? FEW / 2 : 1,
};

/* Where among a four's sums a row finds its own, in floats, for each four of a word. */
typedef struct word_codes {
    uint8_t of[FOURS];
} word_codes;
_Static_assert((SUMS - 1) * VL <= UINT8_MAX, "a code holds where the last sum is");
typedef word_codes row_codes[TABLE_ROWS]; /* of a word */

INLINE word_codes codes_of(uint32_t ones)
{
    uint64_t bits = ones;
    bits = (bits | bits << 16) & 0x0000ffff0000ffffu;
    bits = (bits | bits << 8) & 0x00ff00ff00ff00ffu;
    bits = (bits | bits << 4) & 0x0f0f0f0f0f0f0f0fu;
    word_codes codes;
    for (int four = 0; four < FOURS; four++) codes.of[four] = (uint8_t)((bits * VL) >> (8 * four));
    return codes;
}

/* Are all of x[0 .. depth) zero or one? Then codes[word][row] are what its words say. */
static bool row_is_binary(int64_t depth, const float *x, int64_t row, row_codes codes[WORDS])
{
    if (depth > TABLE_DEPTH) return false;
    for (int64_t first = 0; first < depth; first += WORD) {
        uint32_t ones = 0;
        for (int64_t at = first; at < depth && at < first + WORD; at += VL) {
            vf part = vf_load_first(x + at, (int)(depth - at < VL ? depth - at : VL));
            uint32_t one = vm_bits(vf_equal(part, vf_set(1.0f))), zero = vm_bits(vf_equal(part, vf_set(0.0f)));
            if ((one | zero) != (1u << VL) - 1) return false;
            ones |= one << (at - first);
        }
        codes[first / WORD][row] = codes_of(ones);
    }
    return true;
}

/* ---- many rows -------------------------------------------------------------------------------------------------- */

/* sums[four][vector][which of its steps] of the weights of up to WORD steps; those of further steps are 0, and that of
 * no step is there already. All of them stay in the first cache: 24 KiB for three vectors of AVX-512. */
INLINE void make_sums(const int vectors, int64_t depth, const float *w, float *sums)
{
    for (int64_t first = 0; first < WORD; first += FOUR)
        for (int v = 0; v < vectors; v++, sums += SUMS * VL) {
            vf weight[FOUR], sum[SUMS] = {vf_set(0.0f)};
            for (int step = 0; step < FOUR; step++)
                weight[step] = first + step < depth ? vf_load(w + (first + step) * PANEL + v * VL) : vf_set(0.0f);
#pragma GCC unroll 16
            for (int which = 1; which < SUMS; which++) {
                int last = which >= 8 ? 3 : which >= 4 ? 2 : which >= 2 ? 1 : 0;
                sum[which] = vf_add(sum[which - (1 << last)], weight[last]);
            }
#pragma GCC unroll 16
            for (int which = 1; which < SUMS; which++) vf_store(sums + which * VL, sum[which]);
        }
}

/* total (rows, vectors) += the sums that each row's codes say. Meanwhile `lines` cache lines a row are fetched of the
 * weights of the next word, which would otherwise be waited for. */
INLINE void look_up(const int vectors, int64_t rows, const word_codes *codes, const float *sums, uintptr_t next,
                    int64_t lines, float *total)
{
    for (int64_t r = 0; r < rows; r++, total += vectors * VL) {
        vf acc[TILE_VECTORS];
        for (int64_t line = 0; line < lines; line++, next += LINE) __builtin_prefetch((const void *)next);
        for (int v = 0; v < vectors; v++) acc[v] = vf_load(total + v * VL);
#pragma GCC unroll 8
        for (int four = 0; four < FOURS; four++) {
            const float *sum = sums + codes[r].of[four];
            KEEP_POINTER(sum);
#pragma GCC unroll 3
            for (int v = 0; v < vectors; v++) acc[v] = vf_add(acc[v], vf_load(sum + (four * vectors + v) * SUMS * VL));
        }
        for (int v = 0; v < vectors; v++) vf_store(total + v * VL, acc[v]);
    }
}

INLINE void table_tile(const int vectors, int64_t rows, int64_t depth, const row_codes *codes, const float *w, int last,
                       float *c, int64_t ldc)
{
    float sums[FOURS * SUMS * PANEL] __attribute__((aligned(64)));
    float total[TABLE_ROWS * PANEL] __attribute__((aligned(64)));
    int64_t lines = (WORD * PANEL * (int64_t)sizeof(float) / LINE + rows - 1) / rows;
    for (int64_t at = 0; at < rows * vectors; at++) vf_store(total + at * VL, vf_set(0.0f));
    for (int64_t at = 0; at < FOURS * vectors; at++) vf_store(sums + at * SUMS * VL, vf_set(0.0f)); /* of none */
    for (int64_t k = 0; k < depth; k += WORD) {
        uintptr_t next = (uintptr_t)(w + (k + WORD < depth ? k + WORD : depth) * PANEL);
        make_sums(vectors, depth - k, w + k * PANEL, sums);
        if (lines == 1) /* code of its own, without a loop over lines */
            look_up(vectors, rows, codes[k / WORD], sums, next, 1, total);
        else
            look_up(vectors, rows, codes[k / WORD], sums, next, lines, total);
    }
    for (int64_t r = 0; r < rows; r++) {
        vf sum[TILE_VECTORS];
        for (int v = 0; v < vectors; v++) sum[v] = vf_load(total + (r * vectors + v) * VL);
        store_row(vectors, sum, last, c + r * ldc);
    }
}

/* ---- few rows --------------------------------------------------------------------------------------------------- */

INLINE void few_tile(const int rows, const int vectors, int64_t depth, const float *x, int64_t row,
                     const row_codes *codes, const float *w, int last, float *c, int64_t ldc)
{
    vf acc[FEW][TILE_VECTORS], sum[FEW][TILE_VECTORS];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) acc[r][v] = vf_set(0.0f);
    for (int64_t first = 0; first < depth; first += FOUR) {
        uint32_t any = 0;
        for (int r = 0; r < rows; r++) any |= codes[first / WORD][row + r].of[first % WORD / FOUR];
        if (any == 0) continue;
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < vectors; v++) sum[r][v] = vf_set(0.0f);
        for (int64_t k = first; k < first + FOUR && k < depth; k++)
            for (int v = 0; v < vectors; v++) {
                vf weight = vf_load(w + k * PANEL + v * VL);
                for (int r = 0; r < rows; r++) sum[r][v] = vf_fma(vf_set(x[r * depth + k]), weight, sum[r][v]);
            }
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < vectors; v++) acc[r][v] = vf_add(acc[r][v], sum[r][v]);
    }
    for (int r = 0; r < rows; r++) store_row(vectors, acc[r], last, c + r * ldc);
}

INLINE void few_tiles(const int vectors, int64_t rows, int64_t depth, const float *x, const row_codes *codes,
                      const float *w, int last, float *c, int64_t ldc)
{
    for (int64_t row = 0, height; row < rows; row += height) {
        const float *x_row = x + row * depth;
        float *c_row = c + row * ldc;
        height = rows - row >= FEW ? FEW : rows - row >= FEWER ? FEWER : 1;
        if (height == FEW)
            few_tile(FEW, vectors, depth, x_row, row, codes, w, last, c_row, ldc);
        else if (height == FEWER)
            few_tile(FEWER, vectors, depth, x_row, row, codes, w, last, c_row, ldc);
        else
            few_tile(1, vectors, depth, x_row, row, codes, w, last, c_row, ldc);
    }
}

/* ---- either ----------------------------------------------------------------------------------------------------- */

INLINE void binary_tile(const int vectors, int64_t rows, int64_t depth, const float *x, const row_codes *codes,
                        const float *w, int last, float *c, int64_t ldc)
{
    if (rows >= TABLE_LEAST)
        table_tile(vectors, rows, depth, codes, w, last, c, ldc);
    else
        few_tiles(vectors, rows, depth, x, codes, w, last, c, ldc);
}

/* c (rows, columns) of at most TABLE_ROWS rows. */
static void binary_product(int64_t rows, int64_t depth, int64_t columns, const float *x, const row_codes *codes,
                           const float *panels, float *c)
{
    const packed_block whole = {panels, depth, columns, 0, depth};
    for (int64_t j = 0; j < columns; j += PANEL) {
        tile_columns at = columns_of_block(&whole, j);
        if (at.vectors == WIDE)
            binary_tile(WIDE, rows, depth, x, codes, at.w, at.last, c + j, columns);
        else if (at.vectors == MIDDLE)
            binary_tile(MIDDLE, rows, depth, x, codes, at.w, at.last, c + j, columns);
        else
            binary_tile(1, rows, depth, x, codes, at.w, at.last, c + j, columns);
    }
}

#endif
