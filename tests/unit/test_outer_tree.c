/* Outer products of shards are one chain a shard, added as a binary tree: the same bits for halves on two ranks. */
#include "core/kernels.h"

#include "numbers.h"

enum { HEIGHT = 61, WIDTH = 101, SIZE = HEIGHT * WIDTH, LEAVES = 16 };

/* Uneven shards, two without rows; one that has more than there is room for (2048 rows), and one that fills the room to
 * the last row, with none left for the last. a and b lie in wider matrices, as the pieces of a shard's state do. */
enum { LD_A = HEIGHT + 5, LD_B = WIDTH + 11 };

static void make_leaves(numbers_kind kind, hm_outer_leaf leaf[LEAVES])
{
    for (int s = 0; s < LEAVES; s++) {
        static const int64_t rows_of[LEAVES] = {3, 5, 1300, 4, 3, 0, 4, 5, 3, 2049, 4, 5, 3, 709, 0, 1};
        int64_t rows = rows_of[s];
        float *a = kind == NUMBERS_PLAIN ? numbers_sparse(rows * LD_A, 10 + (uint64_t)s, 0.8)
                                         : numbers(rows * LD_A, 10 + (uint64_t)s, kind);
        leaf[s] = (hm_outer_leaf){rows, a, LD_A, numbers(rows * LD_B, 40 + (uint64_t)s, kind), LD_B};
    }
}

static void free_leaves(hm_outer_leaf leaf[LEAVES])
{
    for (int s = 0; s < LEAVES; s++) free((void *)leaf[s].a), free((void *)leaf[s].b);
}

static float leaf_element(const hm_outer_leaf *leaf, int64_t i, int64_t j)
{
    float sum = 0;
    for (int64_t r = 0; r < leaf->rows; r++) sum = fmaf(leaf->a[r * leaf->lda + i], leaf->b[r * leaf->ldb + j], sum);
    return sum;
}

static float tree_element(const hm_outer_leaf *leaf, int leaves, int64_t i, int64_t j)
{
    if (leaves == 1) return leaf_element(leaf, i, j) + 0.0f; /* a sum that is zero is +0 */
    return tree_element(leaf, leaves / 2, i, j) + tree_element(leaf + leaves / 2, leaves / 2, i, j);
}

static void run_outer(const hm_kernels *kernels, int leaves, const hm_outer_leaf *leaf, int64_t strip, float *c)
{
    for (int64_t i = 0; i < HEIGHT; i += strip)
        kernels->outer_strip(leaves, leaf, i, i + strip < HEIGHT ? i + strip : HEIGHT, WIDTH, c);
}

static void sums_are_the_tree_over_shards(void **state)
{
    (void)state;
    static const int64_t strips[] = {HM_STRIP, 1, 7, 8};
    const hm_isa *isas;
    int count = hm_isa_list(&isas);
    hm_outer_leaf leaf[LEAVES];
    float *c = numbers_zero(SIZE), *expected = numbers_zero(SIZE);
    for (numbers_kind kind = NUMBERS_PLAIN; kind <= NUMBERS_FINITE; kind++) {
        make_leaves(kind, leaf);
        for (int leaves = 1; leaves <= LEAVES; leaves *= 2) {
            for (int64_t at = 0; at < SIZE; at++) expected[at] = tree_element(leaf, leaves, at / WIDTH, at % WIDTH);
            for (int isa = 0; isa < count; isa++)
                for (int strip = 0; strip < 4; strip++) {
                    memset(c, 0xff, SIZE * sizeof *c);
                    run_outer(isas[isa].kernels, leaves, leaf, strips[strip], c);
                    numbers_same("outer_strip", isas[isa].name, SIZE + 64, c, expected);
                }
        }
        free_leaves(leaf);
    }
    free(c), free(expected);
}

/* Two ranks with half the shards each, four with a quarter. */
static void parts_added_are_the_whole(void **state)
{
    (void)state;
    const hm_kernels *k = hm_kernels_best();
    hm_outer_leaf leaf[LEAVES];
    float *whole = numbers_zero(SIZE), *part[4];
    for (int at = 0; at < 4; at++) part[at] = numbers_zero(SIZE);
    for (numbers_kind kind = NUMBERS_PLAIN; kind <= NUMBERS_FINITE; kind++) {
        make_leaves(kind, leaf);
        for (int leaves = 4; leaves <= LEAVES; leaves *= 2)
            for (int parts = 2; parts <= 4; parts *= 2) {
                run_outer(k, leaves, leaf, HM_STRIP, whole);
                for (int at = 0; at < parts; at++)
                    run_outer(k, leaves / parts, leaf + at * (leaves / parts), HM_STRIP, part[at]);
                for (int distance = 1; distance < parts; distance *= 2)
                    for (int at = 0; at < parts; at += 2 * distance)
                        k->add(SIZE, part[at], part[at + distance], part[at]);
                numbers_same("parts added", "best", SIZE, part[0], whole);
            }
        free_leaves(leaf);
    }
    for (int at = 0; at < 4; at++) free(part[at]);
    free(whole);
}

/* The order is what makes it so: adding the same shards one after another gives other bits. */
static void another_order_would_be_noticed(void **state)
{
    (void)state;
    hm_outer_leaf leaf[LEAVES];
    int64_t differ = 0;
    make_leaves(NUMBERS_PLAIN, leaf);
    for (int64_t at = 0; at < SIZE; at++) {
        float sum = 0;
        for (int s = 0; s < LEAVES; s++) sum += leaf_element(&leaf[s], at / WIDTH, at % WIDTH);
        differ += sum != tree_element(leaf, LEAVES, at / WIDTH, at % WIDTH);
    }
    print_message("  %lld of %d elements differ\n", (long long)differ, SIZE);
    assert_true(differ > SIZE / 100);
    free_leaves(leaf);
}

/* A float64 sum over all rows of all shards: each chain is off by at most rows eps/2, the tree by log2(leaves). */
static void sums_are_accurate(void **state)
{
    (void)state;
    hm_outer_leaf leaf[LEAVES];
    float *c = numbers_zero(SIZE);
    double worst = 0;
    int64_t most_rows = 0;
    make_leaves(NUMBERS_PLAIN, leaf);
    run_outer(hm_kernels_best(), LEAVES, leaf, HM_STRIP, c);
    for (int s = 0; s < LEAVES; s++) most_rows = leaf[s].rows > most_rows ? leaf[s].rows : most_rows;
    for (int64_t at = 0; at < SIZE; at++) {
        double exact = 0, scale = 0;
        for (int s = 0; s < LEAVES; s++)
            for (int64_t r = 0; r < leaf[s].rows; r++) {
                double term = (double)leaf[s].a[r * LD_A + at / WIDTH] * (double)leaf[s].b[r * LD_B + at % WIDTH];
                exact += term, scale += fabs(term);
            }
        worst = numbers_worse(worst, fabs((double)c[at] - exact) / scale);
    }
    numbers_within("relative error", worst, (double)(most_rows + 4) * 0x1p-24);
    free_leaves(leaf);
    free(c);
}

/* As for products: whether a zero was left out must not show in the sign of a sum that vanished. */
static void vanished_sums_have_one_sign(void **state)
{
    (void)state;
    const hm_isa *isas;
    int count = hm_isa_list(&isas);
    float a[2 * 9 + 64] = {0}, b[2 + 64] = {0}, c[9 + 64];
    a[0] = 1e-30f;   /* row 0, i = 0 */
    a[9 + 1] = 1.0f; /* row 1, i = 1, in a tile with i = 0 or not */
    b[0] = -1e-30f, b[1] = 1.0f;
    const hm_outer_leaf leaf = {2, a, 9, b, 1};
    for (int isa = 0; isa < count; isa++)
        for (int64_t i_end = 1; i_end <= 9; i_end++) {
            isas[isa].kernels->outer_strip(1, &leaf, 0, i_end, 1, c);
            if (c[0] != 0 || signbit(c[0])) fail_msg("%s, %lld: %a", isas[isa].name, (long long)i_end, (double)c[0]);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_the_tree_over_shards),  cmocka_unit_test(parts_added_are_the_whole),
        cmocka_unit_test(another_order_would_be_noticed), cmocka_unit_test(sums_are_accurate),
        cmocka_unit_test(vanished_sums_have_one_sign),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
