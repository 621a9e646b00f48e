/* Data files: what is written is read by rows, what cannot be data is refused, and a failure leaves nothing. */
#include "import_files.h"
#include "io/dataset.h"
#include "io/store.h"

#include <hdf5.h>
#include <math.h>

enum { ROWS = 3000, COLUMNS = 400, TEST_ROWS = 7 }; /* several blocks of the writer */

static float values[ROWS][COLUMNS];
static int32_t labels[ROWS];

static int fill(void **state)
{
    for (int row = 0; row < ROWS; row++) {
        labels[row] = row % 10 - 3;
        for (int column = 0; column < COLUMNS; column++) values[row][column] = (float)(row * 3 + column) / 1000;
    }
    return set_up(state);
}

static int empty(void **state)
{
    disk_unlimited();
    int left = tear_down(state);
    return left == 0 && H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL) == 0 ? 0 : -1; /* everything was closed */
}

/* An import of the first `rows` rows, with labels. */
static hm_import import_of(int64_t rows)
{
    hm_import import = {0};
    assert_int_equal(hm_source_memory(HM_FLOAT32, rows, COLUMNS, values, &import.source), HM_OK);
    import.source->height = 20;
    import.source->width = 20;
    import.labels = malloc((size_t)rows * sizeof labels[0]);
    assert_non_null(import.labels);
    memcpy(import.labels, labels, (size_t)rows * sizeof labels[0]);
    return import;
}

static hm_status write_data(const char *path)
{
    hm_import train = import_of(ROWS), test = import_of(TEST_ROWS);
    hm_status status = hm_dataset_write(path, &train, &test);
    hm_import_free(&train);
    hm_import_free(&test);
    return status;
}

static void rows_and_labels_come_back(void **state)
{
    (void)state;
    const char *path = scratch_path(&folder, "data.h5");
    hm_source *source;
    int32_t *read;
    int64_t count;
    assert_int_equal(write_data(path), HM_OK);
    assert_int_equal(hm_dataset_open(path, "train", &source), HM_OK);
    assert_int_equal(source->rows, ROWS);
    assert_int_equal(source->columns, COLUMNS);
    assert_int_equal(source->type, HM_FLOAT32);
    assert_int_equal(source->height, 20);
    assert_int_equal(source->width, 20);
    float rows[3][COLUMNS];
    for (int64_t begin = ROWS - 3; begin >= 0; begin -= 613) { /* any order */
        assert_int_equal(source->read(source, begin, 3, rows), HM_OK);
        assert_memory_equal(rows, values[begin], sizeof rows);
    }
    assert_int_equal(source->read(source, ROWS, 0, rows), HM_OK);
    assert_int_not_equal(source->read(source, ROWS - 2, 3, rows), HM_OK);
    hm_error_clear();
    source->close(source);
    assert_int_equal(hm_dataset_labels(path, "train", &read, &count), HM_OK);
    assert_int_equal(count, ROWS);
    assert_memory_equal(read, labels, sizeof labels);
    free(read);
    assert_int_equal(hm_dataset_open(path, "test", &source), HM_OK);
    assert_int_equal(source->rows, TEST_ROWS);
    source->close(source);
    assert_int_equal(scratch_count(&folder, false), 1);
}

static void the_range_of_values_is_recorded(void **state)
{
    (void)state;
    const char *path = scratch_path(&folder, "data.h5");
    hm_store *store;
    double low, high;
    assert_int_equal(write_data(path), HM_OK);
    assert_int_equal(hm_store_open(path, &hm_format_data, &store), HM_OK);
    assert_int_equal(hm_store_get_real(store, "/train/x", "min", &low), HM_OK);
    assert_int_equal(hm_store_get_real(store, "/train/x", "max", &high), HM_OK);
    hm_store_close(store);
    assert_true(low == 0 && high == (double)values[ROWS - 1][COLUMNS - 1]);
}

static void a_split_may_be_missing_and_says_so(void **state)
{
    (void)state;
    const char *path = scratch_path(&folder, "data.h5");
    hm_import train = import_of(TEST_ROWS), none = {0};
    hm_source *source;
    int32_t *read;
    int64_t count;
    free(train.labels);
    train.labels = NULL;
    assert_int_equal(hm_dataset_write(path, &train, &none), HM_OK);
    hm_import_free(&train);
    assert_refused(hm_dataset_open(path, "test", &source), HM_EDATA, "has no split 'test'");
    assert_null(source);
    assert_int_equal(hm_dataset_labels(path, "train", &read, &count), HM_OK);
    assert_null(read);
    assert_int_equal(count, TEST_ROWS);
}

static void values_that_are_not_finite_are_refused_by_row_and_column(void **state)
{
    (void)state;
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int at = 0; at < 3; at++) {
        values[2800][17] = bad[at];
        assert_refused(write_data(scratch_path(&folder, "data.h5")), HM_EDATA, "train: row 2800, column 17 is");
        assert_int_equal(scratch_count(&folder, false), 0);
    }
}

static void splits_must_be_alike_and_not_empty(void **state)
{
    (void)state;
    const char *path = scratch_path(&folder, "data.h5");
    hm_import train = import_of(TEST_ROWS), test = import_of(TEST_ROWS);
    test.source->columns--;
    assert_refused(hm_dataset_write(path, &train, &test), HM_EDATA, "must be alike");
    test.source->columns++;
    test.source->type = HM_UINT8;
    assert_refused(hm_dataset_write(path, &train, &test), HM_EDATA, "float32, test rows 400 of type uint8");
    test.source->type = HM_FLOAT32;
    test.source->rows = 0;
    assert_refused(hm_dataset_write(path, &train, &test), HM_EDATA, "/test/x is empty");
    hm_import_free(&train);
    hm_import_free(&test);
    assert_int_equal(scratch_count(&folder, false), 0);
}

static void a_full_disk_leaves_the_old_file(void **state)
{
    (void)state;
    const char *path = scratch_path(&folder, "data.h5");
    assert_int_equal(write_data(path), HM_OK);
    values[0][0] = 0.5f;
    for (long limit = 1000; limit < (long)sizeof values; limit = 3 * limit) {
        disk_limit(limit);
        assert_refused(write_data(path), HM_EOUTPUT, "data.h5");
        disk_unlimited();
        assert_int_equal(scratch_count(&folder, false), 1);
    }
    hm_source *source;
    float row[COLUMNS];
    assert_int_equal(hm_dataset_open(path, "train", &source), HM_OK);
    assert_int_equal(source->read(source, 0, 1, row), HM_OK);
    assert_true(row[0] == 0);
    source->close(source);
}

/* Zeros in one row, which HDF5's own checksums agree with. */
static void zero_row(const char *path, hsize_t row)
{
    static const float zeros[COLUMNS];
    const hsize_t start[2] = {row, 0}, size[2] = {1, COLUMNS};
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), x = H5Dopen2(file, "/train/x", H5P_DEFAULT);
    hid_t space = H5Dget_space(x), memory = H5Screate_simple(2, size, NULL);
    H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, size, NULL);
    assert_true(H5Dwrite(x, H5T_NATIVE_FLOAT, memory, space, H5P_DEFAULT, zeros) >= 0);
    H5Sclose(memory);
    H5Sclose(space);
    H5Dclose(x);
    H5Fclose(file);
}

static void a_changed_row_is_found_when_it_is_read(void **state)
{
    (void)state;
    enum { BLOCK = 256 * 1024 / (COLUMNS * 4), ROW = 5 * BLOCK + 7 };
    static float rows[ROWS][COLUMNS];
    const char *path = scratch_path(&folder, "data.h5");
    hm_source *source;
    assert_int_equal(write_data(path), HM_OK);
    zero_row(path, ROW);
    assert_int_equal(hm_dataset_open(path, "train", &source), HM_OK);
    assert_int_equal(source->read(source, 0, 5 * BLOCK, rows), HM_OK);
    assert_int_equal(source->read(source, 6 * BLOCK, 3, rows), HM_OK);
    assert_refused(source->read(source, 5 * BLOCK, 1, rows), HM_EDATA, "of /train/x are damaged, or were changed");
    assert_refused(source->read(source, ROW, 1, rows), HM_EDATA, "of /train/x are damaged, or were changed");
    assert_refused(source->read(source, 0, ROWS, rows), HM_EDATA, "of /train/x are damaged, or were changed");
    source->close(source);
}

/* A data file whose /train/x has the given type and sizes, with nothing stored in it. */
static const char *odd_file(hid_t type, int dims, const hsize_t size[])
{
    const char *path = scratch_path(&folder, "odd.h5");
    hm_store *store;
    assert_int_equal(hm_store_create(path, &hm_format_data, &store), HM_OK);
    assert_int_equal(hm_store_set_text(store, "/train", "note", "made for a test"), HM_OK);
    assert_int_equal(hm_store_commit(store), HM_OK);
    hm_store_close(store);
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), space = H5Screate_simple(dims, size, NULL);
    H5Adelete(file, "digest"); /* as another program's file */
    hid_t layout = H5Pcreate(H5P_DATASET_CREATE);
    const hsize_t chunk[3] = {1, 1, 1};
    H5Pset_chunk(layout, dims, chunk);
    hid_t dataset = H5Dcreate2(file, "/train/x", type, space, H5P_DEFAULT, layout, H5P_DEFAULT);
    assert_true(dataset >= 0);
    H5Dclose(dataset);
    H5Pclose(layout);
    H5Sclose(space);
    H5Fclose(file);
    return path;
}

static void refuse_file(const char *path, const char *words)
{
    hm_source *source;
    assert_refused(hm_dataset_open(path, "train", &source), HM_EDATA, words);
    assert_null(source);
}

static void files_that_hold_no_data_are_refused(void **state)
{
    (void)state;
    const hsize_t cube[] = {2, 2, 2}, none[] = {0, 4}, small[] = {4, 4};
    const hsize_t wide[] = {1, (hsize_t)1 << 40}, large[] = {(hsize_t)1 << 40, 1 << 30};
    refuse_file(scratch_path(&folder, "nowhere.h5"), "No such file");
    refuse_file(file_of("text.h5", "hello", 5), "not a Harmonium data file");
    refuse_file(odd_file(H5T_NATIVE_FLOAT, 3, cube), "must be a matrix");
    refuse_file(odd_file(H5T_NATIVE_DOUBLE, 2, small), "uint8 or float32");
    refuse_file(odd_file(H5T_NATIVE_INT, 2, small), "uint8 or float32");
    refuse_file(odd_file(H5T_NATIVE_FLOAT, 2, none), "empty");
    refuse_file(odd_file(H5T_NATIVE_FLOAT, 2, wide), "claims to be larger than");
    refuse_file(odd_file(H5T_NATIVE_FLOAT, 2, large), "claims to be larger than");
}

/* Changes an attribute, or a value, of a good file as other programs may. */
static void labels_and_images_must_fit_the_rows(void **state)
{
    (void)state;
    const char *path = scratch_path(&folder, "data.h5");
    static const hm_field few = {
        .name = "/train/y", .type = HM_FIELD_INT32, .dims = 1, .axes = {"row"}, .description = "too few"};
    const int64_t size = TEST_ROWS;
    hm_store *store;
    int32_t *read;
    int64_t count;
    assert_int_equal(write_data(path), HM_OK);
    assert_int_equal(hm_store_update(path, &hm_format_data, &store), HM_OK);
    assert_int_equal(hm_store_remove(store, "/train/y"), HM_OK);
    assert_int_equal(hm_store_write(store, &few, &size, labels), HM_OK);
    assert_int_equal(hm_store_commit(store), HM_OK);
    hm_store_close(store);
    assert_refused(hm_dataset_labels(path, "train", &read, &count), HM_EDATA, "vector of 3000 labels");
    assert_null(read);
    assert_int_equal(hm_store_update(path, &hm_format_data, &store), HM_OK);
    assert_int_equal(hm_store_set_int(store, "/train/x", "width", 21), HM_OK);
    assert_int_equal(hm_store_commit(store), HM_OK);
    hm_store_close(store);
    refuse_file(path, "height 20 and width 21 do not make rows of 400");
}

static void parts_of_an_import_are_its_rows(void **state)
{
    (void)state;
    hm_import whole = import_of(1000), train, test;
    bool seen[1000] = {false};
    assert_int_equal(hm_import_split(&whole, 0.25, 5, &train, &test), HM_OK);
    assert_int_equal(train.source->rows, 750);
    assert_int_equal(test.source->rows, 250);
    const hm_import *parts[] = {&train, &test};
    for (int part = 0; part < 2; part++) {
        int64_t rows = parts[part]->source->rows, before = -1;
        float *read = malloc((size_t)rows * COLUMNS * sizeof(float));
        assert_int_equal(parts[part]->source->read(parts[part]->source, 0, rows, read), HM_OK);
        for (int64_t row = 0; row < rows; row++) {
            int64_t number = lroundf(read[row * COLUMNS] * 1000 / 3); /* values[row][0] tells the row */
            assert_true(number > before && number < 1000 && !seen[number]);
            assert_memory_equal(read + row * COLUMNS, values[number], sizeof values[0]);
            assert_int_equal(parts[part]->labels[row], labels[number]);
            seen[number] = true;
            before = number;
        }
        free(read);
    }
    hm_import_free(&train);
    hm_import_free(&test);
    assert_refused(hm_import_split(&whole, 1e-4, 5, &train, &test), HM_EUSAGE, "no rows for one of the sets");
    assert_refused(hm_import_split(&whole, 0.9999, 5, &train, &test), HM_EUSAGE, "no rows for one of the sets");
    hm_import_free(&whole);
}

/* Each row is a test row with the same probability: counts over 400 seeds within 5 standard errors. */
static void every_row_may_become_a_test_row(void **state)
{
    (void)state;
    enum { SMALL = 20, SEEDS = 400 };
    int chosen[SMALL] = {0};
    const double p = 0.3, limit = 5 * sqrt(SEEDS * p * (1 - p));
    hm_import whole = import_of(SMALL), train, test;
    for (int row = 0; row < SMALL; row++) whole.labels[row] = row;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        assert_int_equal(hm_import_split(&whole, p, seed, &train, &test), HM_OK);
        for (int64_t row = 0; row < test.source->rows; row++) chosen[test.labels[row]]++;
        hm_import_free(&train);
        hm_import_free(&test);
    }
    hm_import_free(&whole);
    for (int row = 0; row < SMALL; row++)
        if (!(fabs(chosen[row] - SEEDS * p) <= limit))
            fail_msg("row %d was chosen %d times; expected %g +- %g", row, chosen[row], SEEDS * p, limit);
}

#define DATA_TEST(name) cmocka_unit_test_setup_teardown(name, fill, empty)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DATA_TEST(rows_and_labels_come_back),
        DATA_TEST(the_range_of_values_is_recorded),
        DATA_TEST(a_changed_row_is_found_when_it_is_read),
        DATA_TEST(a_split_may_be_missing_and_says_so),
        DATA_TEST(values_that_are_not_finite_are_refused_by_row_and_column),
        DATA_TEST(splits_must_be_alike_and_not_empty),
        DATA_TEST(a_full_disk_leaves_the_old_file),
        DATA_TEST(files_that_hold_no_data_are_refused),
        DATA_TEST(labels_and_images_must_fit_the_rows),
        DATA_TEST(parts_of_an_import_are_its_rows),
        DATA_TEST(every_row_may_become_a_test_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
