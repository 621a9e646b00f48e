/* A store is whole or not there; what is in it is declared, checksummed and checked. */
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

enum { ROWS = 700, COLUMNS = 31 };

static const hm_field matrix_field = {.name = "/group/matrix",
                                      .type = HM_FIELD_FLOAT32,
                                      .dims = 2,
                                      .axes = {"row", "column"},
                                      .unit = "nats",
                                      .description = "a matrix",
                                      .chunk_rows = 64};
static const hm_field scalar_field = {.name = "/scalar", .type = HM_FIELD_FLOAT64, .description = "a scalar"};
static const int64_t matrix_shape[2] = {ROWS, COLUMNS};
static float matrix[ROWS][COLUMNS], back[ROWS][COLUMNS];

static int set_up(void **state)
{
    (void)state;
    hm_error_clear();
    for (int row = 0; row < ROWS; row++)
        for (int column = 0; column < COLUMNS; column++) matrix[row][column] = (float)(row * 100 + column) / 7;
    return scratch_make(&folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    disk_unlimited();
    scratch_remove(&folder);
    hm_error_clear();
    return H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL) == 0 ? 0 : -1; /* everything was closed */
}

static hm_status write_content(hm_store *store, double value)
{
    HM_TRY(hm_store_set_text(store, "/", "note", "text with an umlaut: \xc3\xa4"));
    HM_TRY(hm_store_write(store, &matrix_field, matrix_shape, matrix));
    HM_TRY(hm_store_write(store, &scalar_field, NULL, &value));
    return hm_store_commit(store);
}

static hm_status write_file(const char *path, double value)
{
    hm_store *store;
    HM_TRY(hm_store_create(path, &hm_format_data, &store));
    hm_status status = write_content(store, value);
    hm_store_close(store);
    return status;
}

static hm_status read_scalar(const char *path, double *value)
{
    hm_store *store;
    HM_TRY(hm_store_open(path, &hm_format_data, &store));
    hm_status status = hm_store_read(store, &scalar_field, NULL, value);
    hm_store_close(store);
    return status;
}

static void expect_refusal(hm_status status, hm_status expected, const char *part)
{
    if (status != expected || !strstr(hm_error_message(), part))
        fail_msg("status %d (expected %d), message '%s' (expected '%s')", status, expected, hm_error_message(), part);
    hm_error_clear();
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    const char *path = scratch_path(&folder, "a.h5");
    assert_int_equal(write_file(path, 2.5), HM_OK);
    assert_int_equal(scratch_count(&folder, false), 1);
    hm_store *store;
    double value = 0;
    char *text;
    assert_int_equal(hm_store_open(path, &hm_format_data, &store), HM_OK);
    assert_int_equal(hm_store_read(store, &matrix_field, matrix_shape, back), HM_OK);
    assert_memory_equal(back, matrix, sizeof matrix);
    assert_int_equal(hm_store_read(store, &scalar_field, NULL, &value), HM_OK);
    assert_true(value == 2.5);
    assert_int_equal(hm_store_get_text(store, "/", "note", &text), HM_OK);
    assert_string_equal(text, "text with an umlaut: \xc3\xa4");
    free(text);
    assert_int_equal(hm_store_get_text(store, "/", "created", &text), HM_OK);
    assert_int_equal(strlen(text), strlen("2026-01-01T00:00:00Z"));
    free(text);
    assert_int_equal(hm_store_get_text(store, "/", "library_version", &text), HM_OK);
    free(text);
    hm_store_close(store);
}

static void expect_text(hid_t object, const char *name, const char *expected)
{
    hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
    assert_true(attribute >= 0);
    hid_t type = H5Aget_type(attribute);
    char *values[4] = {NULL};
    assert_true(H5Aread(attribute, type, values) >= 0);
    assert_string_equal(values[0], expected);
    H5free_memory(values[0]);
    H5free_memory(values[1]);
    H5Tclose(type);
    H5Aclose(attribute);
}

static void datasets_explain_themselves_and_are_checksummed(void **state)
{
    (void)state;
    const char *path = scratch_path(&folder, "a.h5");
    assert_int_equal(write_file(path, 1), HM_OK);
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), dataset = H5Dopen2(file, "/group/matrix", H5P_DEFAULT);
    expect_text(dataset, "description", "a matrix");
    expect_text(dataset, "units", "nats");
    expect_text(dataset, "axes", "row");
    hid_t properties = H5Dget_create_plist(dataset);
    hsize_t chunk[2];
    assert_int_equal(H5Pget_nfilters(properties), 1);
    assert_true(H5Pget_filter_by_id2(properties, H5Z_FILTER_FLETCHER32, NULL, NULL, NULL, 0, NULL, NULL) >= 0);
    assert_int_equal(H5Pget_chunk(properties, 2, chunk), 2);
    assert_int_equal(chunk[0], 64);
    H5Pclose(properties);
    H5Dclose(dataset);
    H5Fclose(file);
}

static void without_commit_nothing_is_left_and_the_old_file_stays(void **state)
{
    (void)state;
    const char *path = scratch_path(&folder, "a.h5");
    hm_store *store;
    double value = 0;
    assert_int_equal(hm_store_create(path, &hm_format_data, &store), HM_OK);
    assert_int_equal(hm_store_write(store, &matrix_field, matrix_shape, matrix), HM_OK);
    hm_store_close(store);
    assert_int_equal(scratch_count(&folder, false), 0);

    assert_int_equal(write_file(path, 1), HM_OK);
    assert_int_equal(hm_store_create(path, &hm_format_data, &store), HM_OK);
    assert_int_equal(read_scalar(path, &value), HM_OK);
    hm_store_close(store);
    assert_int_equal(hm_store_update(path, &hm_format_data, &store), HM_OK);
    assert_int_equal(hm_store_remove(store, "/scalar"), HM_OK);
    hm_store_close(store);
    assert_int_equal(scratch_count(&folder, false), 1);
    assert_int_equal(read_scalar(path, &value), HM_OK);
    assert_true(value == 1);
}

static void rows_are_written_and_read_in_pieces(void **state)
{
    (void)state;
    const char *path = scratch_path(&folder, "a.h5");
    hm_store *store;
    hm_array *array;
    assert_int_equal(hm_store_create(path, &hm_format_data, &store), HM_OK);
    assert_int_equal(hm_array_create(store, &matrix_field, matrix_shape, &array), HM_OK);
    for (int64_t begin = 0; begin < ROWS; begin += 100)
        assert_int_equal(hm_array_write_rows(array, begin, 100, matrix[begin]), HM_OK);
    expect_refusal(hm_array_write_rows(array, ROWS - 1, 2, matrix), HM_EINTERNAL, "700 rows");
    hm_array_close(array);
    assert_int_equal(hm_store_commit(store), HM_OK);
    hm_store_close(store);

    assert_int_equal(hm_store_open(path, &hm_format_data, &store), HM_OK);
    assert_int_equal(hm_array_open(store, &matrix_field, &array), HM_OK);
    assert_int_equal(hm_array_shape(array)->size[0], ROWS);
    assert_int_equal(hm_array_read_rows(array, 63, 130, back), HM_OK);
    assert_memory_equal(back, matrix[63], 130 * sizeof matrix[0]);
    assert_int_equal(hm_array_read_rows(array, ROWS, 0, NULL), HM_OK);
    expect_refusal(hm_array_read_rows(array, -1, 2, back), HM_EINTERNAL, "700 rows");
    hm_array_close(array);
    hm_store_close(store);
}

static void other_shapes_and_types_are_refused(void **state)
{
    (void)state;
    const char *path = scratch_path(&folder, "a.h5");
    assert_int_equal(write_file(path, 1), HM_OK);
    hm_store *store;
    hm_array *array;
    assert_int_equal(hm_store_open(path, &hm_format_data, &store), HM_OK);
    hm_field field = matrix_field;
    const int64_t other[2] = {ROWS, COLUMNS + 1};
    expect_refusal(hm_store_read(store, &field, other, back), HM_EDATA, "shape (700, 31), expected (700, 32)");
    field.type = HM_FIELD_UINT8;
    expect_refusal(hm_array_open(store, &field, &array), HM_EDATA, "is float32, expected uint8");
    field = matrix_field;
    field.dims = 1;
    expect_refusal(hm_array_open(store, &field, &array), HM_EDATA, "2 dimensions, expected 1");
    field.name = "/group/no/matrix";
    expect_refusal(hm_array_open(store, &field, &array), HM_EDATA, "/group/no/matrix is missing");
    int64_t number;
    expect_refusal(hm_store_get_int(store, "/", "note", &number), HM_EDATA, "not a single integer");
    expect_refusal(hm_store_get_int(store, "/", "gone", &number), HM_EDATA, "attribute gone of / is missing");
    char *text;
    expect_refusal(hm_store_get_text(store, "/", "format_version", &text), HM_EDATA, "not a text");
    hm_store_close(store);
}

static void write_bytes(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

static void files_that_are_not_ours_are_refused(void **state)
{
    (void)state;
    hm_store *store;
    const char *path = scratch_path(&folder, "a.h5");
    expect_refusal(hm_store_open(path, &hm_format_data, &store), HM_EDATA, "No such file");
    expect_refusal(hm_store_open(folder.path, &hm_format_data, &store), HM_EDATA, "not a file");
    write_bytes(path, "hello", 5);
    expect_refusal(hm_store_open(path, &hm_format_data, &store), HM_EDATA, "not a Harmonium data file");
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(file);
    expect_refusal(hm_store_open(path, &hm_format_data, &store), HM_EDATA, "not a Harmonium data file");
    expect_refusal(hm_store_update(path, &hm_format_data, &store), HM_EDATA, "not a Harmonium data file");
    assert_int_equal(scratch_count(&folder, false), 1);

    assert_int_equal(write_file(path, 1), HM_OK);
    expect_refusal(hm_store_open(path, &hm_format_model, &store), HM_EDATA,
                   "not a Harmonium model file but a data file");
    assert_int_equal(truncate(path, 3000), 0);
    expect_refusal(hm_store_open(path, &hm_format_data, &store), HM_EDATA, "cannot be read");

    const hm_format newer = {.name = "harmonium-data", .version = 3, .noun = "data"};
    assert_int_equal(hm_store_create(path, &newer, &store), HM_OK);
    assert_int_equal(hm_store_commit(store), HM_OK);
    hm_store_close(store);
    expect_refusal(hm_store_open(path, &hm_format_data, &store), HM_EDATA, "version 3");
}

/* Finds the bytes of a value that stands once in the matrix, and changes them in the file. */
static void damage(const char *path, float value)
{
    FILE *file = fopen(path, "r+b");
    float here;
    for (long at = 0; fseek(file, at, SEEK_SET) == 0 && fread(&here, sizeof here, 1, file) == 1; at++)
        if (here == value) {
            here += 1;
            fseek(file, at, SEEK_SET);
            fwrite(&here, sizeof here, 1, file);
            fclose(file);
            return;
        }
    fail_msg("the value is not in the file");
}

static void a_changed_byte_is_noticed(void **state)
{
    (void)state;
    const char *path = scratch_path(&folder, "a.h5");
    assert_int_equal(write_file(path, 1), HM_OK);
    damage(path, matrix[333][7]);
    hm_store *store;
    expect_refusal(hm_store_open(path, &hm_format_data, &store), HM_EDATA, "/group/matrix cannot be read");
}

/* What `change` does to the open file. */
static void changed(const char *path, void (*change)(hid_t file))
{
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    change(file);
    H5Fclose(file);
}

/* A change that the checksums of HDF5 agree with, as they do with zeros. */
static void zero_a_matrix(hid_t file)
{
    static const double zeros[700 * 31];
    hid_t matrix_in_file = H5Dopen2(file, "/group/matrix", H5P_DEFAULT);
    assert_true(H5Dwrite(matrix_in_file, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, zeros) >= 0);
    H5Dclose(matrix_in_file);
}

static void change_an_attribute(hid_t file)
{
    hid_t matrix_in_file = H5Dopen2(file, "/group/matrix", H5P_DEFAULT);
    assert_true(H5Adelete(matrix_in_file, "description") >= 0);
    H5Dclose(matrix_in_file);
}

static void remove_a_dataset(hid_t file) { assert_true(H5Ldelete(file, "/group/matrix", H5P_DEFAULT) >= 0); }

static void remove_the_digest(hid_t file) { assert_true(H5Adelete(file, "digest") >= 0); }

static void do_nothing(hid_t file) { (void)file; }

static void what_a_file_holds_has_a_digest(void **state)
{
    (void)state;
    static void (*const changes[])(hid_t) = {zero_a_matrix, change_an_attribute, remove_a_dataset};
    const char *path = scratch_path(&folder, "a.h5");
    hm_store *store;
    for (size_t at = 0; at < sizeof changes / sizeof changes[0]; at++) {
        assert_int_equal(write_file(path, 1), HM_OK);
        changed(path, do_nothing);
        assert_int_equal(hm_store_open(path, &hm_format_data, &store), HM_OK);
        hm_store_close(store);
        changed(path, changes[at]);
        expect_refusal(hm_store_open(path, &hm_format_data, &store), HM_EDATA, "does not have its digest");
        changed(path, remove_the_digest);
        assert_int_equal(hm_store_open(path, &hm_format_data, &store), HM_OK);
        hm_store_close(store);
    }
}

/* Groups to any depth, and a group that contains itself. */
static void nest(hid_t file)
{
    hid_t group = H5Gopen2(file, "/", H5P_DEFAULT);
    for (int depth = 0; depth < 5000; depth++) {
        hid_t inner = H5Gcreate2(group, "g", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        H5Gclose(group);
        group = inner;
    }
    H5Gclose(group);
}

static void make_a_circle(hid_t file)
{
    assert_true(H5Lcreate_hard(file, "/group", file, "/group/a", H5P_DEFAULT, H5P_DEFAULT) >= 0);
    assert_true(H5Lcreate_hard(file, "/group", file, "/group/b", H5P_DEFAULT, H5P_DEFAULT) >= 0);
}

static hm_status ignore(void *state, const char *name, const hm_shape *shape, const char *description, const char *unit)
{
    (void)state, (void)name, (void)shape, (void)description, (void)unit;
    return HM_OK;
}

static void deep_files_are_refused(void **state)
{
    (void)state;
    static void (*const changes[])(hid_t) = {nest, make_a_circle};
    const char *path = scratch_path(&folder, "a.h5");
    hm_store *store;
    for (size_t at = 0; at < sizeof changes / sizeof changes[0]; at++) {
        assert_int_equal(write_file(path, 1), HM_OK);
        changed(path, changes[at]);
        expect_refusal(hm_store_open(path, &hm_format_data, &store), HM_EDATA, "deep");
        changed(path, remove_the_digest);
        assert_int_equal(hm_store_open(path, &hm_format_data, &store), HM_OK);
        expect_refusal(hm_store_visit(store, ignore, NULL), HM_EDATA, "deep");
        hm_store_close(store);
    }
}

static long size_of(const char *path)
{
    FILE *file = fopen(path, "rb");
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    fclose(file);
    return size;
}

/* Wherever the disk fills up: the right code, nothing new in the folder, the old file as it was, HDF5 usable. */
static void a_full_disk_leaves_the_old_file(void **state)
{
    (void)state;
    const char *path = scratch_path(&folder, "a.h5");
    assert_int_equal(write_file(path, 1), HM_OK);
    long size = size_of(path);
    int failures = 0;
    for (long limit = 0; limit < size; limit += limit < 4096 ? 97 : 3001) {
        disk_limit(limit);
        hm_status status = write_file(path, 2);
        disk_unlimited();
        expect_refusal(status, HM_EOUTPUT, "File too large");
        assert_int_equal(scratch_count(&folder, false), 1);
        assert_int_equal(H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL), 0);
        failures++;
    }
    print_message("%d limits below %ld bytes\n", failures, size);
    double value = 0;
    assert_int_equal(read_scalar(path, &value), HM_OK);
    assert_true(value == 1);
    disk_limit(size);
    assert_int_equal(write_file(path, 3), HM_OK);
    disk_unlimited();
    assert_int_equal(read_scalar(path, &value), HM_OK);
    assert_true(value == 3);
}

static hm_status change_file(const char *path)
{
    hm_store *store;
    HM_TRY(hm_store_update(path, &hm_format_data, &store));
    hm_field field = matrix_field;
    field.name = "/another";
    hm_status status = hm_store_write(store, &field, matrix_shape, matrix);
    if (status == HM_OK) status = hm_store_commit(store);
    hm_store_close(store);
    return status;
}

static void a_full_disk_leaves_a_file_unchanged(void **state)
{
    (void)state;
    const char *path = scratch_path(&folder, "a.h5");
    assert_int_equal(write_file(path, 1), HM_OK);
    long size = size_of(path);
    for (long limit = size / 2; limit < 2 * size - 8192; limit += 9973) {
        disk_limit(limit);
        hm_status status = change_file(path);
        disk_unlimited();
        expect_refusal(status, HM_EOUTPUT, "File too large");
        assert_int_equal(scratch_count(&folder, false), 1);
        assert_int_equal(size_of(path), size);
    }
    assert_int_equal(change_file(path), HM_OK);
    assert_true(size_of(path) > size);
}

static void a_folder_that_is_not_there_is_named(void **state)
{
    (void)state;
    hm_store *store;
    expect_refusal(hm_store_create("/no/such/folder/a.h5", &hm_format_data, &store), HM_EOUTPUT,
                   "/no/such/folder/a.h5: cannot be written: No such file or directory");
}

static hm_status list(void *state, const char *name, const hm_shape *shape, const char *description, const char *unit)
{
    char *text = state;
    sprintf(text + strlen(text), "%s %s %d '%s' '%s';", name, hm_field_type_name(shape->type), shape->dims, description,
            unit);
    return HM_OK;
}

static void a_walk_sees_every_dataset(void **state)
{
    (void)state;
    const char *path = scratch_path(&folder, "a.h5");
    char found[256] = "";
    hm_store *store;
    assert_int_equal(write_file(path, 1), HM_OK);
    assert_int_equal(hm_store_open(path, &hm_format_data, &store), HM_OK);
    assert_int_equal(hm_store_visit(store, list, found), HM_OK);
    assert_string_equal(found, "/group/matrix float32 2 'a matrix' 'nats';/scalar float64 0 'a scalar' '';");
    hm_store_close(store);
}

static void empty_and_wide_datasets_work(void **state)
{
    (void)state;
    enum { WIDE = 300001 };
    const char *path = scratch_path(&folder, "a.h5");
    hm_field empty = matrix_field, wide = matrix_field;
    empty.name = "/empty";
    wide.name = "/wide";
    wide.chunk_rows = 0;
    const int64_t empty_shape[2] = {0, 5}, wide_shape[2] = {2, WIDE};
    float *values = calloc(2 * WIDE, sizeof *values), *again = calloc(2 * WIDE, sizeof *again);
    for (int at = 0; at < 2 * WIDE; at++) values[at] = (float)at;
    hm_store *store;
    assert_int_equal(hm_store_create(path, &hm_format_data, &store), HM_OK);
    assert_int_equal(hm_store_write(store, &empty, empty_shape, NULL), HM_OK);
    assert_int_equal(hm_store_write(store, &wide, wide_shape, values), HM_OK);
    assert_int_equal(hm_store_commit(store), HM_OK);
    hm_store_close(store);
    assert_int_equal(hm_store_open(path, &hm_format_data, &store), HM_OK);
    assert_int_equal(hm_store_read(store, &empty, empty_shape, NULL), HM_OK);
    assert_int_equal(hm_store_read(store, &wide, wide_shape, again), HM_OK);
    assert_memory_equal(values, again, 2 * WIDE * sizeof *values);
    hm_store_close(store);
    free(values);
    free(again);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_is_read),
        TEST(datasets_explain_themselves_and_are_checksummed),
        TEST(without_commit_nothing_is_left_and_the_old_file_stays),
        TEST(rows_are_written_and_read_in_pieces),
        TEST(other_shapes_and_types_are_refused),
        TEST(files_that_are_not_ours_are_refused),
        TEST(a_changed_byte_is_noticed),
        TEST(what_a_file_holds_has_a_digest),
        TEST(deep_files_are_refused),
        TEST(a_full_disk_leaves_the_old_file),
        TEST(a_full_disk_leaves_a_file_unchanged),
        TEST(a_folder_that_is_not_there_is_named),
        TEST(a_walk_sees_every_dataset),
        TEST(empty_and_wide_datasets_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
