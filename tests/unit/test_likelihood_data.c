/* The mean free energy of a data set: against the definition in float64, for both element types, through a transform,
 * with the same bits for any number of threads, and in bounded blocks. */
#include "infer/likelihood_data.h"
#include "unit/small_rbm.h"

#include <float.h>

enum { VISIBLE = 19, HIDDEN = 6, ROWS = 2500 }; /* more than a block in each of 8 shards */

static unsigned char *make_bytes(int64_t rows)
{
    unsigned char *bytes = calloc((size_t)(rows * VISIBLE), 1);
    hm_stream stream = {.seed = 4, .purpose = HM_RNG_SYNTH};
    for (int64_t i = 0; i < rows * VISIBLE; i++)
        bytes[i] = hm_random_uniform(&stream, 0, i) < 0.4f ? (unsigned char)(hm_random_bits(&stream, 1, i) & 255) : 0;
    return bytes;
}

/* F(v) = -b'v - sum_j softplus(c_j + v'W_j). */
static double free_energy(const hm_model *model, const float *v)
{
    hm_matrix W = small_rbm_tensor(model, "W"), b = small_rbm_tensor(model, "b"), c = small_rbm_tensor(model, "c");
    double energy = 0;
    for (int64_t i = 0; i < W.rows; i++) energy -= (double)v[i] * (double)b.at[i];
    for (int64_t j = 0; j < W.columns; j++) {
        double x = (double)c.at[j];
        for (int64_t i = 0; i < W.rows; i++) x += (double)v[i] * (double)W.at[i * W.columns + j];
        energy -= log1p(exp(x));
    }
    return energy;
}

static hm_mean_energy reference(const hm_model *model, const float *v, int64_t rows)
{
    double mean = 0, squares = 0;
    for (int64_t row = 0; row < rows; row++) mean += free_energy(model, v + row * VISIBLE) / (double)rows;
    for (int64_t row = 0; row < rows; row++) {
        double excess = free_energy(model, v + row * VISIBLE) - mean;
        squares += excess * excess;
    }
    return (hm_mean_energy){mean, sqrt(squares / (double)(rows - 1) / (double)rows), rows};
}

static hm_mean_energy measure(const hm_model *model, hm_type type, int64_t rows, const void *data,
                              const hm_row_transform *transform, hm_workers workers)
{
    hm_source *source;
    hm_mean_energy mean = {NAN, NAN, 0};
    assert_ok(hm_source_memory(type, rows, VISIBLE, data, &source));
    assert_ok(hm_mean_free_energy(model, source, transform, &workers, NULL, &mean));
    source->close(source);
    return mean;
}

static const double ALLOWED = 8 * FLT_EPSILON * (VISIBLE + HIDDEN); /* c eps n scale, of float32 sums near 1 */

static void mean_and_error_are_those_of_the_definition(void **state)
{
    (void)state;
    const int64_t counts[] = {ROWS, 3, 2}; /* 3: fewer rows than shards */
    hm_model *model = small_rbm(VISIBLE, HIDDEN, 1, 1, 2, &one_thread);
    unsigned char *bytes = make_bytes(ROWS);
    float *values = calloc((size_t)ROWS * VISIBLE, sizeof *values);
    for (int64_t i = 0; i < ROWS * VISIBLE; i++) values[i] = (float)bytes[i] / 255.0f;
    for (int c = 0; c < 3; c++) {
        hm_workers workers = serial_workers(&three_threads, 8, 1);
        hm_mean_energy expected = reference(model, values, counts[c]);
        hm_mean_energy of_bytes = measure(model, HM_UINT8, counts[c], bytes, &hm_row_values, workers);
        hm_mean_energy of_floats = measure(model, HM_FLOAT32, counts[c], values, &hm_row_values, workers);
        assert_close(of_bytes.mean, expected.mean, ALLOWED);
        assert_close(of_bytes.std_error, expected.std_error, ALLOWED);
        assert_int_equal(of_bytes.rows, counts[c]);
        assert_true(of_floats.mean == of_bytes.mean && of_floats.std_error == of_bytes.std_error);
    }
    assert_true(measure(model, HM_UINT8, 1, bytes, &hm_row_values, serial_workers(&one_thread, 8, 1)).std_error ==
                INFINITY);
    free(values);
    free(bytes);
    hm_model_free(model);
}

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    hm_model *model = small_rbm(VISIBLE, HIDDEN, 1, 1, 2, &one_thread);
    unsigned char *bytes = make_bytes(ROWS);
    hm_mean_energy one = measure(model, HM_UINT8, ROWS, bytes, &hm_row_values, serial_workers(&one_thread, 8, 1));
    hm_mean_energy three = measure(model, HM_UINT8, ROWS, bytes, &hm_row_values, serial_workers(&three_threads, 8, 1));
    assert_true(one.mean == three.mean && one.std_error == three.std_error);
    free(bytes);
    hm_model_free(model);
}

/* A transform that depends on the place of a row: unit (row mod VISIBLE) on, plus the threshold of the context. */
static hm_status mark_row(const void *context, int64_t first_row, const hm_source *source, const void *raw,
                          hm_matrix out)
{
    const unsigned char *bytes = raw, threshold = *(const unsigned char *)context;
    assert_int_equal(source->type, HM_UINT8);
    for (int64_t row = 0; row < out.rows; row++)
        for (int64_t i = 0; i < out.columns; i++)
            out.at[row * out.columns + i] =
                i == (first_row + row) % VISIBLE || bytes[row * out.columns + i] >= threshold ? 1.0f : 0.0f;
    return HM_OK;
}

static void the_transform_sees_every_row_in_its_place(void **state)
{
    (void)state;
    hm_model *model = small_rbm(VISIBLE, HIDDEN, 1, 1, 2, &one_thread);
    unsigned char *bytes = make_bytes(ROWS), threshold = 128;
    float *values = calloc((size_t)ROWS * VISIBLE, sizeof *values);
    for (int64_t row = 0; row < ROWS; row++)
        for (int64_t i = 0; i < VISIBLE; i++)
            values[row * VISIBLE + i] = bytes[row * VISIBLE + i] >= 128 || i == row % VISIBLE;
    hm_row_transform transform = {mark_row, &threshold};
    hm_mean_energy expected = reference(model, values, ROWS);
    hm_mean_energy mean = measure(model, HM_UINT8, ROWS, bytes, &transform, serial_workers(&three_threads, 4, 1));
    assert_close(mean.mean, expected.mean, ALLOWED);
    assert_close(mean.std_error, expected.std_error, ALLOWED);
    free(values);
    free(bytes);
    hm_model_free(model);
}

static hm_status read_failure(hm_source *source, int64_t begin, int64_t count, void *out)
{
    (void)source, (void)count, (void)out;
    return begin > 1000 ? hm_fail(HM_EDATA, "row %lld cannot be read", (long long)begin) : HM_OK;
}

static void unreadable_and_unfitting_data_are_refused(void **state)
{
    (void)state;
    hm_model *model = small_rbm(VISIBLE, HIDDEN, 1, 1, 2, &one_thread);
    hm_workers workers = serial_workers(&three_threads, 8, 1);
    hm_mean_energy mean;
    hm_source broken = {.rows = ROWS, .columns = VISIBLE, .type = HM_UINT8, .read = read_failure};
    assert_int_equal(hm_mean_free_energy(model, &broken, &hm_row_values, &workers, NULL, &mean), HM_EDATA);
    assert_non_null(strstr(hm_error_message(), "cannot be read"));
    hm_error_clear();
    hm_source empty = {.rows = 0, .columns = VISIBLE, .type = HM_UINT8, .read = read_failure};
    assert_int_equal(hm_mean_free_energy(model, &empty, &hm_row_values, &workers, NULL, &mean), HM_EDATA);
    hm_error_clear();
    hm_source wide = {.rows = 5, .columns = VISIBLE + 1, .type = HM_UINT8, .read = read_failure};
    assert_int_equal(hm_mean_free_energy(model, &wide, &hm_row_values, &workers, NULL, &mean), HM_EDATA);
    assert_non_null(strstr(hm_error_message(), "20 columns"));
    hm_error_clear();
    hm_model_free(model);
}

static void a_nan_names_its_row(void **state)
{
    (void)state;
    hm_model *model = small_rbm(VISIBLE, HIDDEN, 1, 1, 2, &one_thread);
    hm_workers workers = serial_workers(&three_threads, 8, 1);
    float *values = calloc((size_t)ROWS * VISIBLE, sizeof *values);
    hm_source *source;
    hm_mean_energy mean;
    values[1234 * VISIBLE + 7] = NAN;
    assert_ok(hm_source_memory(HM_FLOAT32, ROWS, VISIBLE, values, &source));
    assert_int_equal(hm_mean_free_energy(model, source, &hm_row_values, &workers, NULL, &mean), HM_ENUMERIC);
    assert_non_null(strstr(hm_error_message(), "row 1234 "));
    hm_error_clear();
    source->close(source);
    free(values);
    hm_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mean_and_error_are_those_of_the_definition),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(the_transform_sees_every_row_in_its_place),
        cmocka_unit_test(unreadable_and_unfitting_data_are_refused),
        cmocka_unit_test(a_nan_names_its_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
