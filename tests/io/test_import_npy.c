/* NPY files of versions 1 to 3: the types of the header are converted, others and damaged files refused by name. */
#include "import_files.h"

/* Writes a file of the given version with a header that describes `descr` and `shape`; adds `size` bytes. */
static const char *npy_of(int version, const char *descr, const char *order, const char *shape, const void *data,
                          size_t size)
{
    unsigned char bytes[1024] = "\x93NUMPY";
    size_t lengths = version == 1 ? 2 : 4, head = 8 + lengths;
    int text = snprintf((char *)bytes + head, sizeof bytes - head,
                        "{'descr': %s, 'fortran_order': %s, 'shape': %s, }            \n", descr, order, shape);
    assert_true(text > 0 && head + (size_t)text + size <= sizeof bytes);
    bytes[6] = (unsigned char)version;
    for (size_t at = 0; at < lengths; at++) bytes[8 + at] = (unsigned char)(text >> (8 * at));
    memcpy(bytes + head + text, data, size);
    return file_of("array.npy", bytes, head + (size_t)text + size);
}

static void assert_array(const char *path, hm_type type, const void *expected, size_t bytes)
{
    hm_import import;
    if (hm_npy_open(path, 0, &import) != HM_OK) fail_msg("%s", hm_error_message());
    assert_int_equal(import.source->type, type);
    assert_int_equal(import.source->rows, 2);
    assert_int_equal(import.source->columns, 3);
    assert_rows(&import, expected, bytes);
    assert_rows(&import, expected, bytes); /* from the beginning again */
    hm_import_free(&import);
}

static void every_type_and_version_is_read(void **state)
{
    (void)state;
    const float f4[] = {0, 0.5f, -1, 2, 1e-3f, 7};
    const double f8[] = {0, 0.5, -1, 2, 1e-3, 7};
    const int32_t i4[] = {0, 1, -2, 3, 4, 1 << 24};
    const int64_t i8[] = {0, 1, -2, 3, 4, 1 << 24};
    const float whole[] = {0, 1, -2, 3, 4, 1 << 24};
    const unsigned char bytes[] = {0, 1, 2, 3, 4, 255}, truth[] = {0, 1, 1, 0, 0, 1};
    for (int version = 1; version <= 3; version++) {
        assert_array(npy_of(version, "'<f4'", "False", "(2, 3)", f4, sizeof f4), HM_FLOAT32, f4, sizeof f4);
        assert_array(npy_of(version, "'<f8'", "False", "(2, 3)", f8, sizeof f8), HM_FLOAT32, f4, sizeof f4);
        assert_array(npy_of(version, "'<i4'", "False", "(2, 3)", i4, sizeof i4), HM_FLOAT32, whole, sizeof whole);
        assert_array(npy_of(version, "'<i8'", "False", "(2, 3)", i8, sizeof i8), HM_FLOAT32, whole, sizeof whole);
        assert_array(npy_of(version, "'|u1'", "False", "(2, 3)", bytes, 6), HM_UINT8, bytes, 6);
        assert_array(npy_of(version, "'|b1'", "False", "(2, 3)", truth, 6), HM_UINT8, truth, 6);
    }
}

static void three_dimensions_are_images(void **state)
{
    (void)state;
    const unsigned char bytes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    hm_import import;
    assert_int_equal(hm_npy_open(npy_of(1, "'|u1'", "False", "(2,3,2)", bytes, sizeof bytes), 0, &import), HM_OK);
    assert_int_equal(import.source->height, 3);
    assert_int_equal(import.source->width, 2);
    unsigned char row[6];
    assert_int_equal(import.source->read(import.source, 1, 1, row), HM_OK);
    assert_memory_equal(row, bytes + 6, 6);
    hm_import_free(&import);
}

static void large_arrays_are_read_in_order(void **state)
{
    (void)state;
    enum { ROWS = 5000, COLUMNS = 3 }; /* several of the reader's blocks */
    static float values[ROWS * COLUMNS], row[COLUMNS];
    for (int i = 0; i < ROWS * COLUMNS; i++) values[i] = (float)i;
    static unsigned char bytes[128 + sizeof values];
    int head =
        snprintf((char *)bytes, 128, "\x93NUMPY\x01%c%c%c{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d)}",
                 0, 118, 0, ROWS, COLUMNS);
    memset(bytes + head, ' ', (size_t)(128 - head));
    memcpy(bytes + 128, values, sizeof values);
    hm_import import;
    assert_int_equal(hm_npy_open(file_of("large.npy", bytes, sizeof bytes), 0, &import), HM_OK);
    assert_rows(&import, values, sizeof values);
    assert_int_equal(import.source->read(import.source, ROWS - 1, 1, row), HM_OK);
    assert_memory_equal(row, values + (ROWS - 1) * COLUMNS, sizeof row);
    hm_import_free(&import);
}

static void labels_are_whole_numbers(void **state)
{
    (void)state;
    const int64_t good[] = {4, -1}, large[] = {4, (int64_t)1 << 40};
    const double half[] = {4, 0.5};
    int32_t *labels;
    assert_int_equal(hm_npy_labels(npy_of(1, "'<i8'", "False", "(2,)", good, sizeof good), 2, &labels), HM_OK);
    assert_int_equal(labels[0], 4);
    assert_int_equal(labels[1], -1);
    free(labels);
    const char *path = npy_of(1, "'<i8'", "False", "(2,)", large, sizeof large);
    assert_refused(hm_npy_labels(path, 2, &labels), HM_EDATA, "label 1 is not an integer");
    path = npy_of(1, "'<f8'", "False", "(2,)", half, sizeof half);
    assert_refused(hm_npy_labels(path, 2, &labels), HM_EDATA, "label 1 is not an integer");
    assert_refused(hm_npy_labels(path, 3, &labels), HM_EDATA, "2 labels for 3 rows");
    path = npy_of(1, "'<f8'", "False", "(1, 2)", half, sizeof half);
    assert_refused(hm_npy_labels(path, 2, &labels), HM_EDATA, "1 dimension, not 2");
    assert_null(labels);
}

static void refuse_array(const char *path, const char *words)
{
    hm_import import;
    assert_refused(hm_npy_open(path, 0, &import), HM_EDATA, words);
    assert_null(import.source);
}

static void other_arrays_are_refused(void **state)
{
    (void)state;
    const unsigned char data[48] = {0};
    refuse_array(npy_of(1, "'<f4'", "True", "(2, 3)", data, 24), "Fortran order");
    const char *const types[] = {"", "<f", ">f4", "<c16", "<f2", "|i1", "<u8", "|S3", "|O"};
    for (size_t at = 0; at < sizeof types / sizeof types[0]; at++) {
        char quoted[16];
        snprintf(quoted, sizeof quoted, "'%s'", types[at]);
        refuse_array(npy_of(1, quoted, "False", "(2, 3)", data, 48), quoted);
    }
    refuse_array(npy_of(1, "[('a', '<f4')]", "False", "(2, 3)", data, 24), "plain numbers");
    refuse_array(npy_of(1, "'<f4'", "False", "(6,)", data, 24), "it has 1");
    refuse_array(npy_of(1, "'<f4'", "False", "()", data, 4), "it has 0");
    refuse_array(npy_of(1, "'<f4'", "False", "(1, 1, 2, 3)", data, 24), "more than 3 dimensions");
    refuse_array(npy_of(1, "'<f4'", "False", "(0, 3)", data, 0), "no data");
}

static void damaged_files_are_refused(void **state)
{
    (void)state;
    const unsigned char data[48] = {0};
    refuse_array(npy_of(1, "'<f4'", "False", "(2, 3)", data, 23), "its shape says");
    refuse_array(npy_of(1, "'<f4'", "False", "(2, 3)", data, 25), "its shape says");
    refuse_array(npy_of(4, "'<f4'", "False", "(2, 3)", data, 24), "version 1 to 3");
    refuse_array(npy_of(1, "'<f4'", "False", "(2, 3", data, 24), "not a list of sizes");
    refuse_array(npy_of(1, "'<f4'", "False", "(2 3)", data, 24), "not a list of sizes");
    refuse_array(npy_of(1, "'<f4'", "False", "(2,, 3)", data, 24), "not a list of sizes");
    /* Were they not refused by themselves, these would agree with the file's length: */
    const char *const sizes = "sizes that a file can have";
    refuse_array(npy_of(1, "'<f4'", "False", "(-2, -3)", data, 24), sizes);
    refuse_array(npy_of(1, "'<f4'", "False", "(4, 4611686018427387905)", data, 16), sizes);  /* 2^64 + 4 elements */
    refuse_array(npy_of(1, "'<f8'", "False", "(2305843009213693954, 1)", data, 16), sizes);  /* 2^64 + 16 bytes */
    refuse_array(npy_of(1, "'<f4'", "False", "(99999999999999999999, 1)", data, 24), sizes); /* beyond int64 */
    refuse_array(file_of("text", "not an array", 12), "not an NPY file");
    refuse_array(file_of("head", "\x93NUMPY\x01\x00\xff\x7f{", 11), "ends too early");
    refuse_array(file_of("long", "\x93NUMPY\x02\x00\xff\xff\xff\x7f{", 13), "a header of 2147483647 bytes");
    refuse_array(scratch_path(&folder, "nowhere"), "No such file");
    refuse_array(scratch_path(&folder, "."), "not a file but a folder");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_type_and_version_is_read), TEST(three_dimensions_are_images), TEST(large_arrays_are_read_in_order),
        TEST(labels_are_whole_numbers),       TEST(other_arrays_are_refused),    TEST(damaged_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
