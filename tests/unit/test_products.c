/* Packed products against OpenBLAS and their own definition; the tree of outer products against a serial tree. */
#include "core/kernels.h"
#include "core/memory.h"
#include "core/product.h"

#include <cblas.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static float *random_matrix(int64_t rows, int64_t columns, uint64_t seed, double zeros)
{
    hm_stream stream = {.seed = seed, .purpose = HM_RNG_SYNTH};
    float *m = calloc((size_t)(rows * columns) + 64, sizeof *m);
    for (int64_t i = 0; i < rows * columns; i++)
        if ((double)hm_random_uniform(&stream, 1, i) >= zeros) m[i] = (float)hm_random_normal(&stream, 0, i);
    return m;
}

static const struct shape {
    int64_t rows, depth, columns;
} shapes[] = {{1, 1, 1},      {3, 5, 7},      {8, 16, 48},   {12, 49, 47},
              {16, 784, 500}, {17, 500, 784}, {70, 33, 100}, {5, 5000, 20}};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

/* The definition: a chain of fused multiply-adds over k, zeros and all. */
static float chain(const float *x, const float *w, int64_t depth, int64_t stride)
{
    float sum = 0;
    for (int64_t k = 0; k < depth; k++) sum = fmaf(x[k], w[k * stride], sum);
    return sum;
}

static void compare_shape(const hm_team *team, struct shape s, bool transposed, double zeros)
{
    float *x = random_matrix(s.rows, s.depth, 1, zeros), *w = random_matrix(s.depth, s.columns, 2, 0);
    float *wt = calloc((size_t)(s.depth * s.columns) + 64, sizeof *wt);
    float *ours = calloc((size_t)(s.rows * s.columns) + 64, sizeof *ours),
          *blas = calloc((size_t)(s.rows * s.columns), sizeof *blas);
    hm_packed packed;
    assert_int_equal(hm_packed_init(&packed, s.depth, s.columns), HM_OK);
    for (int64_t k = 0; k < s.depth; k++)
        for (int64_t c = 0; c < s.columns; c++) wt[c * s.depth + k] = w[k * s.columns + c];
    if (transposed)
        hm_pack_transposed(&packed, (hm_matrix){wt, s.columns, s.depth}, team);
    else
        hm_pack_weights(&packed, (hm_matrix){w, s.depth, s.columns}, team);
    hm_product((hm_matrix){x, s.rows, s.depth}, &packed, ours);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)s.rows, (int)s.columns, (int)s.depth, 1, x,
                (int)s.depth, w, (int)s.columns, 0, blas, (int)s.columns);
    /* Two float32 sums of depth terms of size about 1: each off by at most depth eps/2 times the sum of sizes. */
    double allowed = 2 * (double)s.depth * 0x1p-24 * sqrt((double)s.depth) * 4 + 1e-6;
    for (int64_t r = 0; r < s.rows; r++)
        for (int64_t c = 0; c < s.columns; c++) {
            float value = ours[r * s.columns + c];
            assert_true(value == chain(x + r * s.depth, w + c, s.depth, s.columns));
            assert_true(fabs((double)value - (double)blas[r * s.columns + c]) <= allowed);
        }
    hm_packed_free(&packed);
    free(x), free(w), free(wt), free(ours), free(blas);
}

static void products_are_chains_and_agree_with_blas(void **state)
{
    (void)state;
    const hm_team teams[] = {{1}, {3}};
    for (int at = 0; at < SHAPES; at++)
        for (int variant = 0; variant < 8; variant++)
            compare_shape(&teams[variant & 1], shapes[at], variant & 2, variant & 4 ? 0.9 : 0.0);
}

/* ---- outer products --------------------------------------------------------------------------------------------- */

enum { HEIGHT = 61, WIDTH = 101, LEAVES = 16 };

static float leaf_element(const hm_outer_leaf *leaf, int64_t i, int64_t j)
{
    float sum = 0;
    for (int64_t r = 0; r < leaf->rows; r++) sum = fmaf(leaf->a[r * leaf->lda + i], leaf->b[r * leaf->ldb + j], sum);
    return sum;
}

static float tree_element(const hm_outer_leaf *leaf, int leaves, int64_t i, int64_t j)
{
    if (leaves == 1) return leaf_element(leaf, i, j);
    return tree_element(leaf, leaves / 2, i, j) + tree_element(leaf + leaves / 2, leaves / 2, i, j);
}

static void run_outer(const hm_kernels *kernels, int leaves, const hm_outer_leaf *leaf, float *c)
{
    for (int64_t i = 0; i < HEIGHT; i += HM_STRIP)
        kernels->outer_strip(leaves, leaf, i, i + HM_STRIP < HEIGHT ? i + HM_STRIP : HEIGHT, WIDTH, c);
}

static void outer_products_are_the_tree_over_shards(void **state)
{
    (void)state;
    const hm_isa *isas;
    int isa_count = hm_isa_list(&isas);
    hm_outer_leaf leaf[LEAVES];
    for (int s = 0; s < LEAVES; s++) { /* uneven shards; the last has more rows than lists have room for */
        int64_t rows = s == LEAVES - 1 ? 4500 : 3 + s % 3;
        leaf[s] = (hm_outer_leaf){rows, random_matrix(rows, HEIGHT, 10 + s, 0.8), HEIGHT,
                                  random_matrix(rows, WIDTH, 40 + s, 0), WIDTH};
    }
    float *c = calloc(HEIGHT * WIDTH + 64, sizeof *c), *left = calloc(HEIGHT * WIDTH + 64, sizeof *left),
          *right = calloc(HEIGHT * WIDTH + 64, sizeof *right);
    for (int isa = 0; isa < isa_count; isa++)
        for (int leaves = 1; leaves <= LEAVES; leaves *= 2) {
            run_outer(isas[isa].kernels, leaves, leaf, c);
            for (int64_t i = 0; i < HEIGHT; i++)
                for (int64_t j = 0; j < WIDTH; j++)
                    if (c[i * WIDTH + j] != tree_element(leaf, leaves, i, j))
                        fail_msg("%s, %d leaves: (%d, %d)", isas[isa].name, leaves, (int)i, (int)j);
            if (leaves == 1) continue;
            /* Two ranks with half the shards each. */
            run_outer(isas[isa].kernels, leaves / 2, leaf, left);
            run_outer(isas[isa].kernels, leaves / 2, leaf + leaves / 2, right);
            isas[isa].kernels->add(HEIGHT * WIDTH, left, right, left);
            assert_memory_equal(left, c, HEIGHT * WIDTH * sizeof *c);
        }
    for (int s = 0; s < LEAVES; s++) free((void *)leaf[s].a), free((void *)leaf[s].b);
    free(c), free(left), free(right);
}

/* A NaN or an infinity in the weights is not lost behind a zero state unless the state is zero in all rows of a tile.
 */
static void bad_weights_reach_the_result(void **state)
{
    (void)state;
    float x[2] = {1, 0}, w[2] = {NAN, 1}, out[1 + 64];
    hm_team team = {1};
    hm_packed packed;
    assert_int_equal(hm_packed_init(&packed, 2, 1), HM_OK);
    hm_pack_weights(&packed, (hm_matrix){w, 2, 1}, &team);
    hm_product((hm_matrix){x, 1, 2}, &packed, out);
    assert_true(isnan(out[0]));
    hm_packed_free(&packed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_chains_and_agree_with_blas),
        cmocka_unit_test(outer_products_are_the_tree_over_shards),
        cmocka_unit_test(bad_weights_reach_the_result),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
