/* Products and the tree of outer products, over the vectors of simd.h; a part of kernels_body.h, which includes it.
 *
 * A tile of sums stays in registers while its chain of multiply-adds runs; see kernels.h for what is promised about
 * order.
 */
#ifndef HM_KERNELS_PRODUCTS_H
#define HM_KERNELS_PRODUCTS_H

/* ---- products --------------------------------------------------------------------------------------------------- */

/* Registers hold TILE_ROWS x TILE_VECTORS sums: 8 x 3 of AVX-512's 32, 4 x 3 of AVX2's 16. */
#if defined(HM_ISA_AVX512)
enum { TILE_ROWS = 8, TILE_VECTORS = 3 };
#elif defined(HM_ISA_AVX2)
enum { TILE_ROWS = 4, TILE_VECTORS = 3 };
#else
enum { TILE_ROWS = 1, TILE_VECTORS = 1 };
#endif

enum {
    PANEL = TILE_VECTORS * VL, /* a panel of packed weights (product.h) is as wide as a tile */
    LINE = 64,                 /* bytes that are fetched together */
};
_Static_assert(HM_PANEL % PANEL == 0, "there is memory for whole panels");

/* One addition for the address that several loads share, where the compiler would give each of them an index: 7 %
 * faster for tables on an Intel Xeon. */
#define KEEP_POINTER(pointer) __asm__("" : "+r"(pointer))

/* AVX2 has twelve multiply-adds a step, beside which every other instruction counts, most of all where another thread
 * of the processor is busy: four steps a turn, and nothing fetched ahead, which the processor does as well by itself
 * (3 % faster on an AMD EPYC of 2021, 7 % beside a busy thread). Else, as with AVX-512's 24, rows of b are fetched
 * AHEAD steps before they are needed, also such as a list leaves out. TURN is 4 or 1. */
#if defined(HM_ISA_AVX2)
enum { TURN = 4, AHEAD = 0 };
#else
enum { TURN = 1, AHEAD = 8 };
#endif

/* acc[r][v] += a[r] b[v]. */
INLINE void tile_step(const int rows, const int vectors, const float *a, const float *b, int64_t ldb,
                      vf acc[TILE_ROWS][TILE_VECTORS])
{
    vf column[TILE_VECTORS];
    for (int v = 0; v < vectors; v++) column[v] = vf_load(b + v * VL);
    for (int v = 0; AHEAD > 0 && v < vectors * VL; v += LINE / (int)sizeof *b)
        __builtin_prefetch((const void *)((uintptr_t)(b + v) + AHEAD * (uintptr_t)ldb * sizeof *b));
    for (int r = 0; r < rows; r++) {
        vf x = vf_set(a[r]);
        for (int v = 0; v < vectors; v++) acc[r][v] = vf_fma(x, column[v], acc[r][v]);
    }
}

/* sum[r][v] += a[step][r] b[k][v] step by step, k = list[step], or k = step without a list; the rows of a and b lie at
 * the given strides. Leaving out a k where all of a would be zero changes no bit of a sum, fma(0, b, sum) = sum, as
 * long as b is finite, but for one: a -0, of a product too small for a float, stays one. settle() makes it +0 in the
 * end. */
INLINE void tile_sum(const int rows, const int vectors, int64_t steps, const uint16_t *list, const float *a,
                     int64_t lda, const float *b, int64_t ldb, vf sum[TILE_ROWS][TILE_VECTORS])
{
    vf acc[TILE_ROWS][TILE_VECTORS];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) acc[r][v] = sum[r][v];
    int64_t step = 0;
    for (; list && step < steps; step++, a += lda) {
        const float *b_row = b + list[step] * ldb;
        KEEP_POINTER(b_row);
        tile_step(rows, vectors, a, b_row, ldb, acc);
    }
    for (; TURN == 4 && step + TURN <= steps; step += TURN, a += TURN * lda, b += TURN * ldb) {
        tile_step(rows, vectors, a, b, ldb, acc);
        tile_step(rows, vectors, a + lda, b + ldb, ldb, acc);
        tile_step(rows, vectors, a + 2 * lda, b + 2 * ldb, ldb, acc);
        tile_step(rows, vectors, a + 3 * lda, b + 3 * ldb, ldb, acc);
    }
    for (; step < steps; step++, a += lda, b += ldb) tile_step(rows, vectors, a, b, ldb, acc);
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) sum[r][v] = acc[r][v];
}

INLINE void tile_zero(const int rows, const int vectors, vf sum[TILE_ROWS][TILE_VECTORS])
{
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) sum[r][v] = vf_set(0.0f);
}

/* A finished sum: -0 is +0, so that its sign does not tell which steps the tile left out. */
INLINE vf settle(vf sum) { return vf_add(sum, vf_set(0.0f)); }

/* A row of finished sums, the last vector of which holds `last` lanes of the result. */
INLINE void store_row(const int vectors, const vf sum[], int last, float *c)
{
    for (int v = 0; v < vectors - 1; v++) vf_store(c + v * VL, settle(sum[v]));
    vf_store_first(c + (vectors - 1) * VL, settle(sum[vectors - 1]), last);
}

INLINE void load_row(const int vectors, const float *c, int last, vf sum[])
{
    for (int v = 0; v < vectors - 1; v++) sum[v] = vf_load(c + v * VL);
    sum[vectors - 1] = vf_load_first(c + (vectors - 1) * VL, last);
}

/* Vectors of a tile that begins so many columns before the end; lanes of its last one. */
INLINE int vectors_for(int64_t columns, int *last)
{
    int wide = columns < PANEL ? (int)columns : PANEL, vectors = (wide + VL - 1) / VL;
    *last = wide - (vectors - 1) * VL;
    return vectors;
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

/* Rows i and i + rows / 2 interleaved, log2(rows) times over: x, (rows, VL), becomes (VL, rows). */
INLINE void interleave_rows(const int rows, vf x[])
{
    vf next[VL];
#pragma GCC unroll 4
    for (int round = 1; round < rows; round *= 2) {
#pragma GCC unroll 8
        for (int i = 0; i < rows / 2; i++) vf_interleave(x[i], x[i + rows / 2], &next[2 * i], &next[2 * i + 1]);
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++) x[i] = next[i];
    }
}

/* A block of a tile's columns, side by side, so that a step reads them from one place; of those columns only in which
 * some row is not zero: grey images and binary states are mostly zeros, and in images zero together. */
enum { BLOCK = 512 };
_Static_assert(BLOCK % VL == 0 && BLOCK - 1 <= UINT16_MAX, "a list holds any column, whole vectors at a time");
typedef struct row_tile {
    int height;
    int64_t count;              /* of the columns that are here */
    uint16_t list[BLOCK];       /* which they are, in order */
    float x[BLOCK * TILE_ROWS]; /* (count, TILE_ROWS), 0 from row `height` on */
} row_tile;

/* Appends those columns k + i for which bit i of `work` is set: all of them, which there is room for, and then those
 * that stay move together. */
INLINE void pack_vectors(int64_t k, uint32_t work, const vf columns[TILE_ROWS], row_tile *tile)
{
    uint16_t *list = tile->list + tile->count;
    float *x = tile->x + tile->count * TILE_ROWS;
    int filled = 0;
    for (int r = 0; r < TILE_ROWS; r++) vf_store(x + r * VL, columns[r]);
    if (work == (1u << VL) - 1) {
        for (; filled < VL; filled++) list[filled] = (uint16_t)(k + filled);
    } else {
        for (; work != 0; work &= work - 1, filled++) {
            int i = __builtin_ctz(work);
            list[filled] = (uint16_t)(k + i);
            memmove(x + filled * TILE_ROWS, x + i * TILE_ROWS, TILE_ROWS * sizeof *x);
        }
    }
    tile->count += filled;
}

/* a: (height, depth) with leading dimension lda, depth at most BLOCK. */
static void pack_tile(int height, int64_t depth, const float *a, int64_t lda, row_tile *tile)
{
    tile->height = height;
    tile->count = 0;
    for (int64_t k = 0; k < depth; k += VL) {
        int n = depth - k < VL ? (int)(depth - k) : VL;
        vf row[TILE_ROWS];
        vi any = vi_set(0);
#pragma GCC unroll 8
        for (int r = 0; r < TILE_ROWS; r++) {
            row[r] = r < height ? vf_load_first(a + r * lda + k, n) : vf_set(0.0f);
            any = vi_or(any, vf_bits(row[r]));
        }
        uint32_t zeros = vm_bits(vf_equal(vf_from_bits(any), vf_set(0.0f))); /* of either sign */
        uint32_t work = ~zeros & ((1u << VL) - 1);
        if (work == 0) continue;
        interleave_rows(TILE_ROWS, row);
        pack_vectors(k, work, row, tile);
    }
}

/* Steps from .. from + steps of a packed matrix. */
typedef struct packed_block {
    const float *panels;
    int64_t depth, columns, from, steps;
} packed_block;

/* Packed columns of a tile, of which the last vector holds `last` lanes of the result. */
typedef struct tile_columns {
    const float *w; /* of the block's first step */
    int vectors, last;
} tile_columns;

/* The tile that begins at column j. */
INLINE tile_columns columns_of_block(const packed_block *block, int64_t j)
{
    tile_columns at = {.w = block->panels + j * block->depth + block->from * PANEL};
    at.vectors = vectors_for(block->columns - j, &at.last);
    return at;
}

/* c += the steps of a block, or = when they are the first; sums wait in c for the next block, which changes no bit. */
INLINE void product_tile(const int rows, const int vectors, bool first, int64_t depth, const row_tile *tile,
                         const tile_columns *at, float *c, int64_t ldc)
{
    vf sum[TILE_ROWS][TILE_VECTORS];
    if (first)
        tile_zero(rows, vectors, sum);
    else
        for (int r = 0; r < rows; r++) load_row(vectors, c + r * ldc, at->last, sum[r]);
    if (tile->count < depth)
        tile_sum(rows, vectors, tile->count, tile->list, tile->x, TILE_ROWS, at->w, PANEL, sum);
    else
        tile_sum(rows, vectors, depth, NULL, tile->x, TILE_ROWS, at->w, PANEL, sum);
    for (int r = 0; r < rows; r++) store_row(vectors, sum[r], at->last, c + r * ldc);
}

#define DEFINE_PRODUCT_TILE(ROWS)                                                                                      \
    static void product_tile_##ROWS(bool first, int64_t depth, const row_tile *tile, const tile_columns *at, float *c, \
                                    int64_t ldc)                                                                       \
    {                                                                                                                  \
        if (at->vectors == WIDE)                                                                                       \
            product_tile(ROWS, WIDE, first, depth, tile, at, c, ldc);                                                  \
        else if (at->vectors == MIDDLE)                                                                                \
            product_tile(ROWS, MIDDLE, first, depth, tile, at, c, ldc);                                                \
        else                                                                                                           \
            product_tile(ROWS, 1, first, depth, tile, at, c, ldc);                                                     \
    }
TILE_HEIGHTS(DEFINE_PRODUCT_TILE)

typedef void product_tile_fn(bool, int64_t, const row_tile *, const tile_columns *, float *, int64_t);
#define LIST_PRODUCT_TILE(ROWS) product_tile_##ROWS,
static product_tile_fn *const product_tiles[] = {NULL, TILE_HEIGHTS(LIST_PRODUCT_TILE)};

/* Asks the second cache for so many lines from an address on, which need not be one that can be read. */
INLINE void fetch(uintptr_t address, int64_t lines)
{
    for (int64_t line = 0; line < lines; line++)
        __builtin_prefetch((const void *)(address + (uintptr_t)line * LINE), 0, 2);
}

#include "core/kernels_binary.h"

/* Rows of the next of parts of even size, at most `most`: 130 rows are 65 + 65. */
INLINE int64_t next_part(int64_t left, int64_t most)
{
    int64_t parts = (left + most - 1) / most;
    return (left + parts - 1) / parts;
}

/* So many rows at a time, so that a panel is read from memory once for all of them. */
enum { GROUP_ROWS = 128, GROUP_TILES = GROUP_ROWS / TILE_ROWS }; /* 280 KB of stack with AVX-512 */

static void product_block(const packed_block *block, int tiles, const row_tile *tile, float *c)
{
    const int64_t panel_bytes = block->steps * PANEL * (int64_t)sizeof(float);
    for (int64_t j = 0; j < block->columns; j += PANEL) {
        /* Every tile asks for its share of the next panel, which would otherwise be waited for. */
        int64_t share = j + PANEL < block->columns ? (panel_bytes / LINE + tiles - 1) / tiles : 0;
        tile_columns at = columns_of_block(block, j);
        uintptr_t next = (uintptr_t)at.w + (uintptr_t)(PANEL * block->depth) * sizeof(float);
        float *row = c + j;
        for (int t = 0; t < tiles; t++, next += (uintptr_t)share * LINE) {
            fetch(next, share);
            product_tiles[tile[t].height](block->from == 0, block->steps, &tile[t], &at, row, block->columns);
            row += tile[t].height * block->columns;
        }
    }
}

/* Rows of any numbers. */
static void dense_product(int64_t rows, int64_t depth, int64_t columns, const float *a, const float *panels, float *c)
{
    row_tile tile[GROUP_TILES];
    for (int64_t row = 0, group; row < rows; row += group) {
        group = next_part(rows - row, GROUP_ROWS);
        int tiles = (int)((group + TILE_ROWS - 1) / TILE_ROWS); /* of even height: 12 rows are 6 + 6, not 8 + 4 */
        packed_block block = {panels, depth, columns, 0, 0};
        do { /* a matrix without steps has one block */
            block.steps = depth - block.from < BLOCK ? depth - block.from : BLOCK;
            for (int t = 0; t < tiles; t++) {
                int64_t begin = row + group * t / tiles, end = row + group * (t + 1) / tiles;
                pack_tile((int)(end - begin), block.steps, a + begin * depth + block.from, depth, &tile[t]);
            }
            product_block(&block, tiles, tile, c + row * columns);
        } while ((block.from += block.steps) < depth);
    }
}

/* Binary rows and others each have a sum of their own order, whatever their company: runs of either kind. */
static void mixed_product(int64_t rows, int64_t depth, int64_t columns, const float *a, const float *panels, float *c)
{
    row_codes codes[WORDS];
    for (int64_t row = 0; row < rows;) {
        int64_t most = next_part(rows - row, TABLE_ROWS), binary = 0, other = 0;
        for (; binary < most; binary++)
            if (!row_is_binary(depth, a + (row + binary) * depth, binary, codes)) break;
        binary_product(binary, depth, columns, a + row * depth, codes, panels, c + row * columns);
        row += binary;
        while (row + other < rows && !row_is_binary(depth, a + (row + other) * depth, 0, codes)) other++;
        dense_product(other, depth, columns, a + row * depth, panels, c + row * columns);
        row += other;
    }
}

static void product(bool tables, int64_t rows, int64_t depth, int64_t columns, const float *a, const float *panels,
                    float *c)
{
    (tables ? mixed_product : dense_product)(rows, depth, columns, a, panels, c);
}

static void pack_rows(int64_t depth, int64_t columns, int64_t begin, int64_t end, const float *w, float *panels)
{
    for (int64_t k = begin; k < end; k++)
        for (int64_t j = 0; j < columns; j += PANEL) {
            const float *from = w + k * columns + j;
            float *to = panels + j * depth + k * PANEL;
            int64_t left = columns - j;
            for (int v = 0; v < TILE_VECTORS && v * VL < left; v++)
                vf_store(to + v * VL, vf_load_first(from + v * VL, left - v * VL < VL ? (int)(left - v * VL) : VL));
        }
}

INLINE void transpose_block(const float *from, int64_t ld_from, float *to, int64_t ld_to)
{
    vf rows[VL];
#pragma GCC unroll 16
    for (int i = 0; i < VL; i++) rows[i] = vf_load(from + i * ld_from);
    interleave_rows(VL, rows);
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

/* The rows at which a tile of the gradient has work, those of all shards one after the other, and the tile's columns of
 * them side by side. */
enum { LIST_MAX = 2048 };
_Static_assert(LIST_MAX - 1 <= UINT16_MAX, "a list holds any row");
typedef struct tile_work {
    int64_t i; /* first row of the tile, column of the shards' a */
    uint16_t list[LIST_MAX];
    float x[LIST_MAX * TILE_ROWS]; /* (LIST_MAX, TILE_ROWS) */
    struct {
        int32_t first, count; /* first < 0: there was no room, and all rows are taken */
    } shard[HM_SHARDS_MAX];
} tile_work;

/* The sum of a subtree waits in a level until its sibling is done, which is then added to it. */
INLINE void tile_store(const int rows, const int vectors, vf tile[TILE_ROWS][TILE_VECTORS], float *level)
{
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) vf_store(level + (r * TILE_VECTORS + v) * VL, tile[r][v]);
}
INLINE void tile_add(const int rows, const int vectors, const float *level, vf tile[TILE_ROWS][TILE_VECTORS])
{
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) tile[r][v] = vf_add(vf_load(level + (r * TILE_VECTORS + v) * VL), tile[r][v]);
}

INLINE void outer_tile(const int rows, const int vectors, int leaves, const hm_outer_leaf *leaf, const tile_work *work,
                       int64_t j, int last, float *c, int64_t ldc)
{
    float levels[HM_TREE_LEVELS][TILE_ROWS * PANEL] __attribute__((aligned(64)));
    vf tile[TILE_ROWS][TILE_VECTORS];
    int s = 0;
    do { /* at least one leaf */
        const hm_outer_leaf *l = &leaf[s];
        int64_t first = work->shard[s].first, count = work->shard[s].count;
        tile_zero(rows, vectors, tile);
        if (first >= 0)
            tile_sum(rows, vectors, count, work->list + first, work->x + first * TILE_ROWS, TILE_ROWS, l->b + j, l->ldb,
                     tile);
        else
            tile_sum(rows, vectors, l->rows, NULL, l->a + work->i, l->lda, l->b + j, l->ldb, tile);
        /* A binary counter: after shard s, each trailing one bit of s is a finished left sibling. */
        int level = 0;
        for (int bits = s; bits & 1; bits >>= 1) tile_add(rows, vectors, levels[level++], tile);
        if (s + 1 < leaves) tile_store(rows, vectors, tile, levels[level]);
    } while (++s < leaves);
    for (int row = 0; row < rows; row++) store_row(vectors, tile[row], last, c + row * ldc);
}

#define DEFINE_OUTER_TILE(ROWS)                                                                                        \
    static void outer_tile_##ROWS(int vectors, int leaves, const hm_outer_leaf *leaf, const tile_work *work,           \
                                  int64_t j, int last, float *c, int64_t ldc)                                          \
    {                                                                                                                  \
        if (vectors == WIDE)                                                                                           \
            outer_tile(ROWS, WIDE, leaves, leaf, work, j, last, c, ldc);                                               \
        else if (vectors == MIDDLE)                                                                                    \
            outer_tile(ROWS, MIDDLE, leaves, leaf, work, j, last, c, ldc);                                             \
        else                                                                                                           \
            outer_tile(ROWS, 1, leaves, leaf, work, j, last, c, ldc);                                                  \
    }
TILE_HEIGHTS(DEFINE_OUTER_TILE)

typedef void outer_tile_fn(int, int, const hm_outer_leaf *, const tile_work *, int64_t, int, float *, int64_t);
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

/* Columns work->i .. work->i + height of all leaves, as long as there is room. */
static void pack_work(int leaves, const hm_outer_leaf *leaf, int height, tile_work *work)
{
    int32_t used = 0;
    for (int s = 0; s < leaves; s++) {
        const bool fits = leaf[s].rows <= LIST_MAX - used;
        const float *a = leaf[s].a + work->i;
        uint16_t *list = work->list + used;
        float *x = work->x + used * TILE_ROWS;
        int32_t filled = 0;
        for (int64_t row = 0; fits && row < leaf[s].rows; row++, a += leaf[s].lda) {
            list[filled] = (uint16_t)row;
            if (height == TILE_ROWS)
                memcpy(x + filled * TILE_ROWS, a, TILE_ROWS * sizeof *a); /* a vector or two, without a call */
            else
                memcpy(x + filled * TILE_ROWS, a, (size_t)height * sizeof *a);
            filled += height == TILE_ROWS ? any_nonzero(TILE_ROWS, a) : any_nonzero(height, a);
        }
        work->shard[s].first = fits ? used : -1;
        work->shard[s].count = filled;
        used += fits ? (int32_t)leaf[s].rows : 0;
    }
}

static void outer_strip(int leaves, const hm_outer_leaf *leaf, int64_t i_begin, int64_t i_end, int64_t columns,
                        float *c)
{
    enum { TILES_A_STRIP = (HM_STRIP + TILE_ROWS - 1) / TILE_ROWS };
    tile_work work[TILES_A_STRIP]; /* 0.6 MB of stack, 1.1 with one lane */
    for (int64_t i = i_begin, t = 0; i < i_end; i += TILE_ROWS, t++) {
        work[t].i = i;
        pack_work(leaves, leaf, (int)(i_end - i < TILE_ROWS ? i_end - i : TILE_ROWS), &work[t]);
    }
    for (int64_t j = 0; j < columns; j += PANEL) {
        int last, vectors = vectors_for(columns - j, &last);
        for (int64_t i = i_begin, t = 0; i < i_end; i += TILE_ROWS, t++) {
            int height = (int)(i_end - i < TILE_ROWS ? i_end - i : TILE_ROWS);
            outer_tiles[height](vectors, leaves, leaf, &work[t], j, last, c + i * columns + j, columns);
        }
    }
}

#endif
