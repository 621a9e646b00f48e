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

/* out[r][v] = sum over steps of a[r][k] b[k][v], k = list[step], or k = step without a list; a's and b's elements lie
 * at the given strides. Leaving out a k where all of a is zero changes no bit of a sum, fma(0, b, sum) = sum, as long
 * as b is finite, but for one: a -0, of a product too small for a float, stays one. settle() makes it +0 in the end. */
INLINE void tile_sum(const int rows, const int vectors, int64_t steps, const uint16_t *list, const float *a,
                     int64_t a_row, int64_t a_k, const float *b, int64_t b_k, vf out[TILE_ROWS][TILE_VECTORS])
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

/* A finished sum: -0 is +0, so that its sign does not tell which steps the tile left out. */
INLINE vf settle(vf sum) { return vf_add(sum, vf_set(0.0f)); }

/* A row of finished sums, the last vector of which holds `last` lanes of the result. */
INLINE void store_row(const int vectors, const vf sum[], int last, float *c)
{
    for (int v = 0; v < vectors - 1; v++) vf_store(c + v * VL, settle(sum[v]));
    vf_store_first(c + (vectors - 1) * VL, settle(sum[vectors - 1]), last);
}

/* Vectors of a tile that begins so many columns before the end; lanes of its last one. */
INLINE int vectors_for(int64_t columns, int *last)
{
    int wide = columns < TILE_VECTORS * VL ? (int)columns : TILE_VECTORS * VL, vectors = (wide + VL - 1) / VL;
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

/* The k at which a tile has work: grey images and binary states are mostly zeros, and in images zero together. */
enum { LIST_MAX = 4096 };
typedef struct steps {
    int64_t count;
    const uint16_t *list; /* NULL: 0 .. count - 1 */
} steps;

/* Appends first + i for every bit i < VL of `work`. */
INLINE int64_t append_steps(int64_t first, uint32_t work, int64_t filled, uint16_t *list)
{
    if (work == (1u << VL) - 1) {
        for (int i = 0; i < VL; i++) list[filled + i] = (uint16_t)(first + i);
        return filled + VL;
    }
    for (; work != 0; work &= work - 1) list[filled++] = (uint16_t)(first + __builtin_ctz(work));
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
        for (int r = 0; r < rows; r++) any = vi_or(any, vf_bits(vf_load_first(a + r * lda + k, n)));
        uint32_t zeros = vm_bits(vf_equal(vf_from_bits(any), vf_set(0.0f))); /* of either sign */
        filled = append_steps(k, ~zeros & ((1u << VL) - 1), filled, list);
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
    for (int r = 0; r < rows; r++) store_row(vectors, out[r], last, c + r * ldc);
}

#define DEFINE_PRODUCT_TILE(ROWS)                                                                                      \
    static void product_tile_##ROWS(int vectors, steps k, const float *a, int64_t lda, const float *panel,             \
                                    int64_t width, int last, float *c, int64_t ldc)                                    \
    {                                                                                                                  \
        if (vectors == WIDE)                                                                                           \
            product_tile(ROWS, WIDE, k, a, lda, panel, width, last, c, ldc);                                           \
        else if (vectors == MIDDLE)                                                                                    \
            product_tile(ROWS, MIDDLE, k, a, lda, panel, width, last, c, ldc);                                         \
        else                                                                                                           \
            product_tile(ROWS, 1, k, a, lda, panel, width, last, c, ldc);                                              \
    }
TILE_HEIGHTS(DEFINE_PRODUCT_TILE)

typedef void product_tile_fn(int, steps, const float *, int64_t, const float *, int64_t, int, float *, int64_t);
#define LIST_PRODUCT_TILE(ROWS) product_tile_##ROWS,
static product_tile_fn *const product_tiles[] = {NULL, TILE_HEIGHTS(LIST_PRODUCT_TILE)};

#include "core/kernels_binary.h"

/* A few tiles of rows at a time, so that a panel is read from memory once for all of them. */
enum { TILES = 8 };

typedef struct row_tile {
    const float *a;
    float *c;
    int height;
    steps k;
    uint16_t list[LIST_MAX];
} row_tile;

static void product_panel(int tiles, const row_tile *tile, int64_t lda, const float *panel, int64_t columns,
                          int64_t ldc)
{
    int64_t width = (columns + 15) / 16 * 16;
    for (int t = 0; t < tiles; t++)
        for (int64_t first = 0; first < columns; first += TILE_VECTORS * VL) {
            int last, vectors = vectors_for(columns - first, &last);
            product_tiles[tile[t].height](vectors, tile[t].k, tile[t].a, lda, panel + first, width, last,
                                          tile[t].c + first, ldc);
        }
}

/* Rows of any numbers. */
static void dense_product(int64_t rows, int64_t depth, int64_t columns, const float *a, const float *panels, float *c)
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

/* Binary rows and others each have a sum of their own order, whatever their company: runs of either kind. */
static void mixed_product(int64_t rows, int64_t depth, int64_t columns, const float *a, const float *panels, float *c)
{
    row_words words[TABLE_ROWS];
    for (int64_t row = 0; row < rows;) {
        int64_t parts = (rows - row + TABLE_ROWS - 1) / TABLE_ROWS; /* of even size: 130 rows are 65 + 65 */
        int64_t most = (rows - row + parts - 1) / parts, binary = 0, other = 0;
        for (; binary < most; binary++)
            if (!row_is_binary(depth, a + (row + binary) * depth, words[binary])) break;
        binary_product(binary, depth, columns, a + row * depth, words[0], panels, c + row * columns);
        row += binary;
        while (row + other < rows && !row_is_binary(depth, a + (row + other) * depth, words[0])) other++;
        dense_product(other, depth, columns, a + row * depth, panels, c + row * columns);
        row += other;
    }
}

static void product(bool tables, int64_t rows, int64_t depth, int64_t columns, const float *a, const float *panels,
                    float *c)
{
    (tables ? mixed_product : dense_product)(rows, depth, columns, a, panels, c);
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
        for (int v = 0; v < vectors; v++) tile[r][v] = vf_add(vf_load(level + (r * TILE_VECTORS + v) * VL), tile[r][v]);
}

INLINE void outer_tile(const int rows, const int vectors, int leaves, const hm_outer_leaf *leaf, const steps *r,
                       int64_t i, int64_t j, int last, float *c, int64_t ldc)
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
    for (int row = 0; row < rows; row++) store_row(vectors, tile[row], last, c + row * ldc);
}

#define DEFINE_OUTER_TILE(ROWS)                                                                                        \
    static void outer_tile_##ROWS(int vectors, int leaves, const hm_outer_leaf *leaf, const steps *r, int64_t i,       \
                                  int64_t j, int last, float *c, int64_t ldc)                                          \
    {                                                                                                                  \
        if (vectors == WIDE)                                                                                           \
            outer_tile(ROWS, WIDE, leaves, leaf, r, i, j, last, c, ldc);                                               \
        else if (vectors == MIDDLE)                                                                                    \
            outer_tile(ROWS, MIDDLE, leaves, leaf, r, i, j, last, c, ldc);                                             \
        else                                                                                                           \
            outer_tile(ROWS, 1, leaves, leaf, r, i, j, last, c, ldc);                                                  \
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

static void outer_strip(int leaves, const hm_outer_leaf *leaf, int64_t i_begin, int64_t i_end, int64_t columns,
                        float *c)
{
    enum { TILES_A_STRIP = (HM_STRIP + TILE_ROWS - 1) / TILE_ROWS };
    uint16_t room[TILES_A_STRIP][LIST_MAX];
    steps r[TILES_A_STRIP][HM_SHARDS_MAX];
    for (int64_t i = i_begin, t = 0; i < i_end; i += TILE_ROWS, t++) {
        int height = (int)(i_end - i < TILE_ROWS ? i_end - i : TILE_ROWS);
        outer_steps(leaves, leaf, i, height, room[t], r[t]);
    }
    for (int64_t j = 0; j < columns; j += TILE_VECTORS * VL) {
        int last, vectors = vectors_for(columns - j, &last);
        for (int64_t i = i_begin, t = 0; i < i_end; i += TILE_ROWS, t++) {
            int height = (int)(i_end - i < TILE_ROWS ? i_end - i : TILE_ROWS);
            outer_tiles[height](vectors, leaves, leaf, r[t], i, j, last, c + i * columns + j, columns);
        }
    }
}

#endif
