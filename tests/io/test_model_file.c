/* model.h5 gives back what it was given; estimates and samples are added without touching the rest. */
#include "io/model_file.h"
#include "core/status.h"
#include "io/store.h"
#include "scratch_folder.h"

#include <hdf5.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static scratch_folder folder;
static hm_layout layout;
static float *params, *back;
static const char *path;

/* W (5, 3), b (5), c (3) with numbers that are all different. */
static int set_up(void **state)
{
    (void)state;
    const hm_tensor tensors[] = {
        {.name = "W", .dims = 2, .shape = {5, 3}, .axes = {"visible", "hidden"}, .description = "weights"},
        {.name = "b", .dims = 1, .shape = {5}, .axes = {"visible"}, .description = "visible biases"},
        {.name = "c", .dims = 1, .shape = {3}, .axes = {"hidden"}, .description = "hidden biases"},
    };
    int index;
    layout = (hm_layout){0};
    for (int tensor = 0; tensor < 3; tensor++)
        if (hm_layout_add(&layout, tensors[tensor], &index) != HM_OK) return -1;
    if (hm_pack_alloc(&layout, "parameters", &params) != HM_OK) return -1;
    if (hm_pack_alloc(&layout, "parameters", &back) != HM_OK) return -1;
    for (int tensor = 0; tensor < 3; tensor++)
        for (int64_t at = 0; at < hm_tensor_size(&layout.tensors[tensor]); at++)
            params[layout.tensors[tensor].offset + at] = (float)(tensor + 1) / (float)(at + 3);
    if (!scratch_make(&folder)) return -1;
    path = scratch_path(&folder, "model.h5");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    disk_unlimited();
    scratch_remove(&folder);
    free(params);
    free(back);
    hm_error_clear();
    return H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL) == 0 ? 0 : -1; /* everything was closed */
}

static char family[] = "rbm", config[] = "model:\n  family: rbm\n  hidden: 3\n";
static const hm_model_info info = {.family = family,
                                   .config = config,
                                   .seed = UINT64_MAX - 1,
                                   .shards = 8,
                                   .ranks = 2,
                                   .epochs = 50,
                                   .visible = 5,
                                   .height = 0,
                                   .width = 0};

static void write_model(void) { assert_int_equal(hm_model_file_write(path, &info, &layout, params), HM_OK); }

static void expect_refusal(hm_status status, hm_status expected, const char *part)
{
    if (status != expected || !strstr(hm_error_message(), part))
        fail_msg("status %d (expected %d), message '%s' (expected '%s')", status, expected, hm_error_message(), part);
    hm_error_clear();
}

static void expect_params(void)
{
    memset(back, 0, (size_t)layout.size * sizeof *back);
    assert_int_equal(hm_model_file_params(path, &layout, back, NULL), HM_OK);
    assert_memory_equal(back, params, (size_t)layout.size * sizeof *params);
}

static void a_model_comes_back_bit_for_bit(void **state)
{
    (void)state;
    write_model();
    hm_model_info read;
    assert_int_equal(hm_model_file_info(path, &read), HM_OK);
    assert_string_equal(read.family, family);
    assert_string_equal(read.config, config);
    assert_true(read.seed == UINT64_MAX - 1);
    assert_int_equal(read.shards, 8);
    assert_int_equal(read.ranks, 2);
    assert_int_equal(read.epochs, 50);
    assert_int_equal(read.visible, 5);
    assert_int_equal(read.height, 0);
    hm_model_info_free(&read);
    expect_params();
}

static void a_layout_of_another_shape_is_refused(void **state)
{
    (void)state;
    write_model();
    hm_layout other = layout;
    other.tensors[0].shape[1] = 4;
    expect_refusal(hm_model_file_params(path, &other, back, NULL), HM_EDATA,
                   "/parameters/W has shape (5, 3), expected (5, 4)");
    other = layout;
    other.tensors[2].name = "d";
    expect_refusal(hm_model_file_params(path, &other, back, NULL), HM_EDATA, "/parameters/d is missing");
    hm_model_info read;
    expect_refusal(hm_model_file_info("/no/model.h5", &read), HM_EDATA, "/no/model.h5: No such file");
}

enum { ROOM = 8, CHAINS = 100 };

/* The identity of the model in the file. */
static const char *identity(void)
{
    static hm_model_info about;
    char kept[HM_IDENTITY_TEXT];
    assert_int_equal(hm_model_file_info(path, &about), HM_OK);
    memcpy(kept, about.identity, sizeof kept);
    hm_model_info_free(&about);
    memcpy(about.identity, kept, sizeof kept);
    return about.identity;
}

/* Stores an estimate of log Z, of `count` chains. */
static hm_status store_estimate(double log_z, int64_t chains)
{
    hm_result results[ROOM];
    int count = 0;
    double log_weights[CHAINS], error = 0.25;
    for (int chain = 0; chain < CHAINS; chain++) log_weights[chain] = log_z + chain;
    HM_TRY(hm_result_real(results, &count, ROOM, "log_z", &log_z));
    HM_TRY(hm_result_real(results, &count, ROOM, "log_z_stderr", &error));
    HM_TRY(hm_result_whole(results, &count, ROOM, "chains", &chains));
    HM_TRY(hm_result_array(results, &count, ROOM, "log_weights", log_weights, chains));
    const hm_note notes[] = {{"base", "data"}, {"ladder", "linear"}};
    const hm_evaluation evaluation = {.method = "ais",
                                      .description = "annealed importance sampling",
                                      .results = results,
                                      .result_count = count,
                                      .notes = notes,
                                      .note_count = 2};
    return hm_model_file_evaluations(path, identity(), &evaluation, 1);
}

static void expect_scalar(const char *name, double expected)
{
    double value = 0;
    assert_int_equal(hm_model_file_scalar(path, name, &value), HM_OK);
    assert_true(value == expected);
}

static void an_estimate_is_stored_and_replaced(void **state)
{
    (void)state;
    write_model();
    assert_int_equal(store_estimate(10.5, CHAINS), HM_OK);
    assert_int_equal(store_estimate(12.5, 7), HM_OK);
    expect_scalar("/evaluation/ais/log_z", 12.5);
    expect_scalar("/evaluation/ais/log_z_stderr", 0.25);
    expect_scalar("/evaluation/ais/chains", 7);
    expect_params();
    hm_store *store;
    char *text;
    double weights[7];
    const int64_t seven = 7;
    hm_field field = *hm_evaluation_field("log_weights");
    field.name = "/evaluation/ais/log_weights";
    assert_int_equal(hm_store_open(path, &hm_format_model, &store), HM_OK);
    assert_int_equal(hm_store_read(store, &field, &seven, weights), HM_OK);
    assert_true(weights[6] == 18.5);
    assert_int_equal(hm_store_get_text(store, "/evaluation/ais", "base", &text), HM_OK);
    assert_string_equal(text, "data");
    free(text);
    hm_store_close(store);
    assert_int_equal(scratch_count(&folder, false), 1);
    double gone;
    expect_refusal(hm_model_file_scalar(path, "/evaluation/exact/log_z", &gone), HM_EDATA, "is missing");
}

/* Estimates of parameters that are no longer in the file are not stored; those that are say whose they are. */
static void results_belong_to_a_model(void **state)
{
    (void)state;
    char first[HM_IDENTITY_TEXT], *text;
    hm_store *store;
    const float kept = params[0];
    const hm_evaluation evaluation = {.method = "ais"};
    const hm_samples samples = {.name = "visible", .description = "samples", .at = {params, 1, 5}};
    write_model();
    memcpy(first, identity(), sizeof first);
    assert_int_equal(store_estimate(10.5, CHAINS), HM_OK);
    assert_string_equal(identity(), first);
    assert_int_equal(hm_store_open(path, &hm_format_model, &store), HM_OK);
    assert_int_equal(hm_store_get_text(store, "/evaluation/ais", "model", &text), HM_OK);
    assert_string_equal(text, first);
    free(text);
    hm_store_close(store);
    params[0] += 1;
    write_model();
    params[0] = kept;
    assert_string_not_equal(identity(), first);
    expect_refusal(hm_model_file_evaluations(path, first, &evaluation, 1), HM_EDATA, "holds another model");
    expect_refusal(hm_model_file_samples(path, first, &samples, 1), HM_EDATA, "holds another model");
    assert_int_equal(scratch_count(&folder, false), 1);
}

static void values_that_are_not_finite_are_refused(void **state)
{
    (void)state;
    const float kept = params[1];
    params[1] = INFINITY;
    write_model();
    params[1] = kept;
    expect_refusal(hm_model_file_params(path, &layout, back, NULL), HM_EDATA, "holds inf (element 1)");
}

static void an_image_has_the_size_of_a_row(void **state)
{
    (void)state;
    hm_model_info wrong = info, read;
    static const int64_t sizes[][2] = {{INT64_C(1) << 33, (INT64_C(1) << 31) + 1}, {5, 2}, {5, 0}, {0, 1}};
    for (size_t at = 0; at < sizeof sizes / sizeof sizes[0]; at++) {
        wrong.height = sizes[at][0];
        wrong.width = sizes[at][1];
        assert_int_equal(hm_model_file_write(path, &wrong, &layout, params), HM_OK);
        expect_refusal(hm_model_file_info(path, &read), HM_EDATA, "do not make rows of 5");
    }
}

static void results_must_be_declared(void **state)
{
    (void)state;
    hm_result results[1];
    int count = 0;
    double real = 1;
    expect_refusal(hm_result_real(results, &count, 1, "log_zz", &real), HM_EINTERNAL, "log_zz");
    expect_refusal(hm_result_real(results, &count, 1, "chains", &real), HM_EINTERNAL, "chains");
    expect_refusal(hm_result_real(results, &count, 1, "betas", &real), HM_EINTERNAL, "betas");
    assert_int_equal(hm_result_real(results, &count, 1, "log_z", &real), HM_OK);
    expect_refusal(hm_result_real(results, &count, 1, "ess", &real), HM_EINTERNAL, "no room");
}

static void samples_are_stored_and_replaced(void **state)
{
    (void)state;
    write_model();
    float values[2 * 5] = {0, 1, 0.25f, 1, 0, 1, 1, 0, 0, 0.5f}, read[5];
    assert_int_equal(
        hm_model_file_samples(path, identity(),
                              &(hm_samples){.name = "visible", .description = "samples", .at = {values, 2, 5}}, 1),
        HM_OK);
    assert_int_equal(
        hm_model_file_samples(path, identity(),
                              &(hm_samples){.name = "visible", .description = "samples", .at = {values + 5, 1, 5}}, 1),
        HM_OK);
    hm_store *store;
    const hm_field field = {.name = "/samples/visible", .type = HM_FIELD_FLOAT32, .dims = 2};
    const int64_t shape[2] = {1, 5};
    assert_int_equal(hm_store_open(path, &hm_format_model, &store), HM_OK);
    assert_int_equal(hm_store_read(store, &field, shape, read), HM_OK);
    assert_memory_equal(read, values + 5, sizeof read);
    hm_store_close(store);
    const hm_samples labelled = {
        .name = "visible_label", .description = "labels", .at = {NULL, 3, 0}, .classes = (const int32_t[]){2, 0, 1}};
    const hm_field classes = {.name = "/samples/visible_label", .type = HM_FIELD_INT32, .dims = 1};
    int32_t told[3];
    assert_int_equal(hm_model_file_samples(path, identity(), &labelled, 1), HM_OK);
    assert_int_equal(hm_store_open(path, &hm_format_model, &store), HM_OK);
    assert_int_equal(hm_store_read(store, &classes, &labelled.at.rows, told), HM_OK);
    assert_memory_equal(told, labelled.classes, sizeof told);
    hm_store_close(store);
    expect_params();
}

/* Nothing in a model leads to another file: it can be copied alone, and every tool can walk through it. */
static herr_t is_hard(hid_t group, const char *name, const H5L_info_t *about, void *state)
{
    (void)group, (void)name, (void)state;
    return about->type == H5L_TYPE_HARD ? 0 : -1;
}

static void a_model_stands_alone(void **state)
{
    (void)state;
    write_model();
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    assert_true(H5Lvisit(file, H5_INDEX_NAME, H5_ITER_INC, is_hard, NULL) >= 0);
    H5Fclose(file);
}

static void a_full_disk_keeps_the_model(void **state)
{
    (void)state;
    write_model();
    assert_int_equal(store_estimate(10.5, CHAINS), HM_OK);
    int failures = 0;
    hm_status status = HM_EOUTPUT;
    for (long limit = 0; status != HM_OK && limit < 1 << 20; limit += 509) {
        disk_limit(limit);
        status = store_estimate(11.5, CHAINS);
        disk_unlimited();
        if (status == HM_OK) break;
        expect_refusal(status, HM_EOUTPUT, "File too large");
        assert_int_equal(scratch_count(&folder, false), 1);
        expect_scalar("/evaluation/ais/log_z", 10.5);
        failures++;
    }
    print_message("%d limits\n", failures);
    assert_true(failures > 10);
    expect_scalar("/evaluation/ais/log_z", 11.5);
    expect_params();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_model_comes_back_bit_for_bit),
        TEST(a_layout_of_another_shape_is_refused),
        TEST(an_estimate_is_stored_and_replaced),
        TEST(results_must_be_declared),
        TEST(results_belong_to_a_model),
        TEST(results_must_be_declared),
        TEST(values_that_are_not_finite_are_refused),
        TEST(results_must_be_declared),
        TEST(an_image_has_the_size_of_a_row),
        TEST(results_must_be_declared),
        TEST(samples_are_stored_and_replaced),
        TEST(a_model_stands_alone),
        TEST(a_full_disk_keeps_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
