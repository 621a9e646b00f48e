/* Packed products: each element is a sum of one order, that of its row's kind, whatever it is multiplied together with.
 */
#include "core/kernels.h"
#include "core/memory.h"
#include "core/product.h"

#include "numbers.h"

#include <cblas.h>

typedef struct shape {
    int64_t rows, depth, columns;
} shape;

/* Tiles of every height and width; more rows than one table or group of tiles serves; steps of one block, of several
 * and of none; 5000 is deeper than tables have room for. */
static const shape shapes[] = {{1, 1, 1},     {2, 3, 16},    {3, 5, 7},     {7, 15, 17},     {8, 16, 48},
                               {12, 49, 47},  {13, 63, 49},  {64, 17, 65},  {16, 784, 500},  {17, 500, 784},
                               {70, 33, 100}, {300, 35, 33}, {5, 5000, 20}, {133, 1025, 50}, {9, 512, 48},
                               {9, 513, 17},  {4, 0, 20},    {0, 5, 7}};
enum { SHAPES = sizeof shapes / sizeof shapes[0], TABLE_DEPTH = 4096 };

/* Which rows are of zeros and ones. */
typedef enum binary_rows { NO_ROWS, ALL_ROWS, SOME_ROWS, BINARY_ROWS_KINDS } binary_rows;

/* Runs of 1 to 40 binary rows with runs of others between them. */
static bool row_is_chosen(binary_rows which, int64_t row)
{
    return which == ALL_ROWS || (which == SOME_ROWS && row * row / 40 % 2 == 0);
}

static void make_binary(shape s, binary_rows which, float *x)
{
    for (int64_t at = 0; at < s.rows * s.depth; at++)
        if (row_is_chosen(which, at / s.depth)) x[at] = x[at] > 0 ? 1 : at % 3 == 0 ? -0.0f : 0;
}

/* The definition, zeros and all; a sum that is zero is +0. */
static float chain(const float *x, const float *w, int64_t depth, int64_t stride)
{
    float sum = 0;
    for (int64_t k = 0; k < depth; k++) sum = fmaf(x[k], w[k * stride], sum);
    return sum + 0.0f;
}

/* The definition for a row of zeros and ones. */
static float sum_of_fours(const float *x, const float *w, int64_t depth, int64_t stride)
{
    float sum = 0;
    for (int64_t first = 0; first < depth; first += 4) {
        float four = 0;
        for (int64_t k = first; k < first + 4 && k < depth; k++)
            if (x[k] > 0) four += w[k * stride];
        sum += four;
    }
    return sum;
}

static bool is_binary(const float *x, int64_t depth)
{
    for (int64_t k = 0; k < depth; k++)
        if (!(x[k] >= 0 && x[k] <= 0) && !(x[k] >= 1 && x[k] <= 1)) return false;
    return depth <= TABLE_DEPTH;
}

static float *expect(shape s, bool tables, const float *x, const float *w)
{
    float *c = numbers_zero(s.rows * s.columns);
    for (int64_t r = 0; r < s.rows; r++) {
        const float *row = x + r * s.depth;
        bool fours = tables && is_binary(row, s.depth);
        for (int64_t at = 0; at < s.columns; at++)
            c[r * s.columns + at] = (fours ? sum_of_fours : chain)(row, w + at, s.depth, s.columns);
    }
    return c;
}

/* w (depth, columns), packed as it is or from its transpose, for the kernels of an instruction set. */
static hm_packed pack(shape s, float *w, bool transposed, const hm_team *team, const hm_kernels *kernels)
{
    hm_packed packed;
    assert_int_equal(hm_packed_init(&packed, s.depth, s.columns), HM_OK);
    packed.kernels = kernels;
    if (!transposed) {
        hm_pack_weights(&packed, (hm_matrix){w, s.depth, s.columns}, team);
        return packed;
    }
    float *turned = numbers_zero(s.depth * s.columns);
    for (int64_t k = 0; k < s.depth; k++)
        for (int64_t c = 0; c < s.columns; c++) turned[c * s.depth + k] = w[k * s.columns + c];
    hm_pack_transposed(&packed, (hm_matrix){turned, s.columns, s.depth}, team);
    free(turned);
    return packed;
}

static void compare_rows(shape s, float *x, float *w, bool tables, bool transposed)
{
    const hm_team team = {transposed ? 3 : 1};
    const hm_isa *isas;
    int count = hm_isa_list(&isas);
    float *expected = expect(s, tables, x, w), *ours = numbers_zero(s.rows * s.columns);
    for (int isa = 0; isa < count; isa++) {
        hm_packed packed = pack(s, w, transposed, &team, isas[isa].kernels);
        packed.tables = tables;
        hm_product((hm_matrix){x, s.rows, s.depth}, &packed, ours);
        numbers_same("product", isas[isa].name, s.rows * s.columns + 64, ours, expected);
        hm_packed_free(&packed);
    }
    free(expected), free(ours);
}

static void compare(shape s, numbers_kind kind, binary_rows which, bool tables, bool transposed)
{
    /* States may be infinite or NaN, which is seen; weights may not where states are zero (kernels.h). */
    float *x = numbers(s.rows * s.depth, 1, kind);
    float *w = numbers(s.depth * s.columns, 2, kind == NUMBERS_NASTY ? NUMBERS_FINITE : kind);
    make_binary(s, which, x);
    compare_rows(s, x, w, tables, transposed);
    free(x), free(w);
}

/* As in images: columns that are zero in all rows, alone, in runs longer than a vector, and around a block's end (512).
 */
static void columns_that_are_zero_together_are_left_out(void **state)
{
    (void)state;
    const shape of[] = {{1, 40, 25}, {8, 513, 49}, {13, 1100, 30}, {100, 600, 24}};
    for (size_t at = 0; at < sizeof of / sizeof of[0]; at++) {
        shape s = of[at];
        float *x = numbers(s.rows * s.depth, 7, NUMBERS_FINITE), *w = numbers(s.depth * s.columns, 8, NUMBERS_FINITE);
        for (int64_t k = 0; k < s.depth; k++)
            for (int64_t r = 0; r < s.rows && (k % 7 == 3 || (k + 10) % 64 < 37); r++) x[r * s.depth + k] = 0;
        for (int way = 0; way < 2; way++) compare_rows(s, x, w, false, way);
        free(x), free(w);
    }
}

static int64_t padded(int64_t columns) { return (columns + HM_PANEL - 1) / HM_PANEL * HM_PANEL; }

/* Both directions at once are the same panels, padding among them, on any number of threads. */
static void compare_packing(const hm_isa *isa, hm_matrix w, int threads)
{
    const hm_team team = {threads}, alone = {1};
    const int64_t some = (w.rows + 1) / 2;
    hm_packed up[2], down[2], first[2]; /* first: of some of the rows of w */
    for (int way = 0; way < 2; way++) {
        assert_int_equal(hm_packed_init(&up[way], w.rows, w.columns), HM_OK);
        assert_int_equal(hm_packed_init(&down[way], w.columns, w.rows), HM_OK);
        assert_int_equal(hm_packed_init(&first[way], w.columns, some), HM_OK);
        up[way].kernels = down[way].kernels = first[way].kernels = isa->kernels;
    }
    hm_pack_weights(&up[0], w, &alone);
    hm_pack_transposed(&down[0], w, &alone);
    hm_pack_both(&up[1], &down[1], w, &team);
    hm_pack_transposed(&first[0], hm_rows(w, 0, some), &alone);
    hm_pack_both(NULL, &first[1], w, &team);
    numbers_same("hm_pack_both, up", isa->name, padded(w.columns) * w.rows, up[1].panels, up[0].panels);
    numbers_same("hm_pack_both, down", isa->name, padded(w.rows) * w.columns, down[1].panels, down[0].panels);
    numbers_same("hm_pack_both, first", isa->name, padded(some) * w.columns, first[1].panels, first[0].panels);
    for (int way = 0; way < 2; way++) hm_packed_free(&up[way]), hm_packed_free(&down[way]), hm_packed_free(&first[way]);
}

static void weights_packed_together_are_as_packed_alone(void **state)
{
    (void)state;
    const hm_isa *isas;
    int count = hm_isa_list(&isas);
    for (int at = 0; at < SHAPES; at++) {
        int64_t rows = shapes[at].depth, columns = shapes[at].columns;
        hm_matrix w = {numbers(rows * columns, 3, NUMBERS_PLAIN), rows, columns};
        for (int isa = 0; isa < count; isa++)
            for (int threads = 1; threads <= 4; threads += 3) compare_packing(&isas[isa], w, threads);
        free(w.at);
    }
}

static void products_are_as_defined_on_every_instruction_set(void **state)
{
    (void)state;
    for (int at = 0; at < SHAPES; at++)
        for (numbers_kind kind = NUMBERS_PLAIN; kind <= NUMBERS_NASTY; kind++)
            for (binary_rows which = NO_ROWS; which < BINARY_ROWS_KINDS; which++)
                for (int way = 0; way < 4; way++) compare(shapes[at], kind, which, way & 1, way & 2);
}

/* Largest error of (rows, columns) results against float64, in units of eps/2 depth sum_k |x_k w_k|. */
static double error_of(shape s, const float *x, const float *w, const float *c)
{
    double worst = 0;
    for (int64_t r = 0; r < s.rows; r++)
        for (int64_t at = 0; at < s.columns; at++) {
            double exact = 0, scale = 0;
            for (int64_t k = 0; k < s.depth; k++) {
                double term = (double)x[r * s.depth + k] * (double)w[k * s.columns + at];
                exact += term, scale += fabs(term);
            }
            double unit = 0x1p-24 * (double)s.depth * scale + 0x1p-149;
            worst = numbers_worse(worst, fabs((double)c[r * s.columns + at] - exact) / unit);
        }
    return worst;
}

static void check_accuracy(shape s, binary_rows which, bool transposed, double *worst, double *worst_blas)
{
    const hm_team team = {1};
    float *x = numbers_sparse(s.rows * s.depth, 3, 0.5), *w = numbers_sparse(s.depth * s.columns, 4, 0);
    float *ours = numbers_zero(s.rows * s.columns), *blas = numbers_zero(s.rows * s.columns);
    make_binary(s, which, x);
    hm_packed packed = pack(s, w, transposed, &team, hm_kernels_best());
    packed.tables = true;
    hm_product((hm_matrix){x, s.rows, s.depth}, &packed, ours);
    int depth = (int)s.depth, stride = depth > 1 ? depth : 1; /* a stride of 0 is refused by the reference BLAS */
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)s.rows, (int)s.columns, depth, 1, x, stride, w,
                (int)s.columns, 0, blas, (int)s.columns);
    *worst = numbers_worse(*worst, error_of(s, x, w, ours));
    *worst_blas = numbers_worse(*worst_blas, error_of(s, x, w, blas));
    for (int64_t i = 0; i < s.rows * s.columns; i++) /* both of size sqrt(depth) */
        assert_true(fabs((double)ours[i] - (double)blas[i]) <= 8 * (double)s.depth * sqrt((double)s.depth) * 0x1p-24);
    hm_packed_free(&packed);
    free(x), free(w), free(ours), free(blas);
}

/* A chain of depth roundings is off by at most depth eps/2 times the sum of sizes; OpenBLAS promises as much. */
static void products_agree_with_float64_and_with_blas(void **state)
{
    (void)state;
    double worst = 0, worst_blas = 0;
    for (int at = 0; at < SHAPES; at++)
        for (binary_rows which = NO_ROWS; which < BINARY_ROWS_KINDS; which++)
            for (int transposed = 0; transposed < 2; transposed++)
                check_accuracy(shapes[at], which, transposed, &worst, &worst_blas);
    numbers_within("packed product, depth eps/2", worst, 1);
    numbers_within("OpenBLAS, depth eps/2", worst_blas, 1);
}

static void compare_company(shape s, binary_rows which)
{
    const hm_team team = {1};
    float *x = numbers(s.rows * s.depth, 5, NUMBERS_FINITE), *w = numbers(s.depth * s.columns, 6, NUMBERS_FINITE);
    float *together = numbers_zero(s.rows * s.columns), *apart = numbers_zero(s.rows * s.columns);
    make_binary(s, which, x);
    hm_packed packed = pack(s, w, false, &team, hm_kernels_best());
    packed.tables = true;
    hm_matrix all = {x, s.rows, s.depth};
    hm_product(all, &packed, together);
    for (int64_t at_once = 1; at_once <= 40; at_once++) {
        memset(apart, 0xff, (size_t)(s.rows * s.columns) * sizeof *apart);
        for (int64_t row = 0; row < s.rows; row += at_once) {
            int64_t rows = s.rows - row < at_once ? s.rows - row : at_once;
            hm_product(hm_rows(all, row, rows), &packed, apart + row * s.columns);
        }
        numbers_same("rows apart", "best", s.rows * s.columns, apart, together);
    }
    hm_packed_free(&packed);
    free(x), free(w), free(together), free(apart);
}

/* The rows of a shard give the same bits alone, in other tiles, with and without tables, and all together. */
static void rows_do_not_depend_on_their_company(void **state)
{
    (void)state;
    for (binary_rows which = NO_ROWS; which < BINARY_ROWS_KINDS; which++)
        compare_company((shape){137, 129, 101}, which);
}

/* A product too small for a denormal leaves -0 in its chain. It must not show whether a zero state beside it, which
 * would have made it +0, was left out or kept for another row's sake. */
static void vanished_sums_have_one_sign(void **state)
{
    (void)state;
    const shape s = {9, 2, 1};
    const hm_team team = {1};
    const hm_isa *isas;
    int count = hm_isa_list(&isas);
    float x[18 + 64] = {0}, w[2] = {-1e-30f, 1.0f}, c[9 + 64];
    x[0] = 1e-30f; /* row 0: (1e-30, 0); */
    x[3] = 1.0f;   /* row 1: (0, 1): row 0's second step is not left out where both share a tile */
    for (int isa = 0; isa < count; isa++) {
        hm_packed packed = pack(s, w, false, &team, isas[isa].kernels);
        for (int64_t case_of = 2; case_of < 2 * (s.rows + 1); case_of++) {
            int64_t rows = case_of / 2;
            packed.tables = case_of % 2;
            hm_product((hm_matrix){x, rows, s.depth}, &packed, c);
            if (c[0] != 0 || signbit(c[0]))
                fail_msg("%s, %lld rows: %a", isas[isa].name, (long long)rows, (double)c[0]);
        }
        hm_packed_free(&packed);
    }
}

/* A NaN or an infinity in the weights of a unit that is on reaches the result. */
static void bad_weights_reach_the_result(void **state)
{
    (void)state;
    const shape s = {40, 2, 1};
    const hm_team team = {1};
    const hm_isa *isas;
    int count = hm_isa_list(&isas);
    float x[40 * 2 + 64] = {0}, w[2] = {NAN, 1}, c[40 + 64];
    for (int64_t row = 0; row < s.rows; row++) x[row * s.depth] = 1;
    for (int isa = 0; isa < count; isa++) {
        hm_packed packed = pack(s, w, false, &team, isas[isa].kernels);
        for (int tables = 0; tables < 2; tables++)
            for (int64_t rows = 1; rows <= s.rows; rows += s.rows - 1) {
                packed.tables = tables;
                hm_product((hm_matrix){x, rows, s.depth}, &packed, c);
                for (int64_t row = 0; row < rows; row++) assert_true(isnan(c[row]));
            }
        hm_packed_free(&packed);
    }
}

static void sizes_beyond_memory_are_refused(void **state)
{
    (void)state;
    hm_packed packed;
    const int64_t sides[][2] = {{INT64_MAX, 2}, {2, INT64_MAX}, {1ll << 33, 1ll << 33}, {1ll << 60, 16}, {-1, 16}};
    for (size_t at = 0; at < sizeof sides / sizeof sides[0]; at++) {
        assert_int_equal(hm_packed_init(&packed, sides[at][0], sides[at][1]), HM_EINTERNAL);
        assert_non_null(strstr(hm_error_message(), "packed weights"));
        assert_null(packed.panels);
        hm_error_clear();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_packed_together_are_as_packed_alone),
        cmocka_unit_test(products_are_as_defined_on_every_instruction_set),
        cmocka_unit_test(products_agree_with_float64_and_with_blas),
        cmocka_unit_test(columns_that_are_zero_together_are_left_out),
        cmocka_unit_test(rows_do_not_depend_on_their_company),
        cmocka_unit_test(vanished_sums_have_one_sign),
        cmocka_unit_test(bad_weights_reach_the_result),
        cmocka_unit_test(sizes_beyond_memory_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
