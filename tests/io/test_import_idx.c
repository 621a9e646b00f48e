/* IDX files, plain and gzip: what is in them is read, what does not fit is refused before it is believed. */
#include "import_files.h"

enum { ROWS = 5, HEIGHT = 3, WIDTH = 4, PIXELS = ROWS * HEIGHT * WIDTH, HEAD = 16 };

static unsigned char images[HEAD + PIXELS] = {0, 0, 8, 3, 0, 0, 0, ROWS, 0, 0, 0, HEIGHT, 0, 0, 0, WIDTH};
static const unsigned char labels[8 + ROWS] = {0, 0, 8, 1, 0, 0, 0, ROWS, 7, 0, 255, 3, 9};

static int fill(void **state)
{
    for (int i = 0; i < PIXELS; i++) images[HEAD + i] = (unsigned char)(7 * i + 1);
    return set_up(state);
}

static void plain_and_gzip_images_are_read(void **state)
{
    (void)state;
    const char *paths[] = {file_of("plain", images, sizeof images), gzip_of("packed", images, sizeof images)};
    for (int at = 0; at < 2; at++) {
        hm_import import;
        assert_int_equal(hm_idx_open(paths[at], 0, &import), HM_OK);
        assert_int_equal(import.source->type, HM_UINT8);
        assert_int_equal(import.source->height, HEIGHT);
        assert_int_equal(import.source->width, WIDTH);
        assert_rows(&import, images + HEAD, PIXELS);
        assert_rows(&import, images + HEAD, PIXELS); /* from the beginning again */
        unsigned char row[HEIGHT * WIDTH];
        assert_int_equal(import.source->read(import.source, 3, 1, row), HM_OK);
        assert_memory_equal(row, images + HEAD + 3 * sizeof row, sizeof row);
        hm_import_free(&import);
    }
}

static void matrices_are_rows_without_image_size(void **state)
{
    (void)state;
    const unsigned char matrix[] = {0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6};
    hm_import import;
    assert_int_equal(hm_idx_open(file_of("matrix", matrix, sizeof matrix), 0, &import), HM_OK);
    assert_int_equal(import.source->columns, 3);
    assert_int_equal(import.source->height, 0);
    assert_rows(&import, matrix + 12, 6);
    hm_import_free(&import);
}

static void labels_are_bytes_or_integers(void **state)
{
    (void)state;
    const unsigned char wide[] = {0, 0, 0x0c, 1, 0, 0, 0, 2, 0xff, 0xff, 0xff, 0xfe, 0, 1, 0, 2};
    int32_t *read;
    assert_int_equal(hm_idx_labels(gzip_of("labels", labels, sizeof labels), ROWS, &read), HM_OK);
    for (int row = 0; row < ROWS; row++) assert_int_equal(read[row], labels[8 + row]);
    free(read);
    assert_int_equal(hm_idx_labels(file_of("wide", wide, sizeof wide), 2, &read), HM_OK);
    assert_int_equal(read[0], -2);
    assert_int_equal(read[1], 65538);
    free(read);
}

static void refuse_images(const char *path, const char *words)
{
    hm_import import;
    assert_refused(hm_idx_open(path, 0, &import), HM_EDATA, words);
    assert_null(import.source);
}

static void other_files_are_refused(void **state)
{
    (void)state;
    const unsigned char floats[] = {0, 0, 0x0d, 2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0}, none[12] = {0, 0, 8, 2};
    refuse_images(scratch_path(&folder, "nowhere"), "No such file");
    refuse_images(folder.path, "not a file but a folder");
    refuse_images(file_of("text", "hello, world", 12), "magic number 68656c6c");
    refuse_images(file_of("float", floats, sizeof floats), "not an IDX file");
    refuse_images(file_of("labels", labels, sizeof labels), "2 or 3 dimensions");
    refuse_images(file_of("empty", "", 0), "4 bytes short");
    refuse_images(file_of("none", none, sizeof none), "no data");
}

static void sizes_must_fit_the_length_of_the_file(void **state)
{
    (void)state;
    unsigned char huge[HEAD + PIXELS];
    memcpy(huge, images, sizeof huge);
    refuse_images(file_of("short", images, sizeof images - 1), "1 bytes short");
    memset(huge + 4, 0xff, 12);
    refuse_images(file_of("overflow", huge, sizeof huge), "overflow");
    huge[8] = huge[12] = 0; /* 2^32 x 2^24 x 2^24 overflows still; 2^31 images of this size do not, and are not there */
    memcpy(huge + 8, images + 8, 8);
    huge[4] = 0x7f;
    refuse_images(file_of("many", huge, sizeof huge), "bytes short");
    refuse_images(gzip_of("many.gz", huge, sizeof huge), "bytes short"); /* no gzip file of this length can hold them */
    unsigned char longer[sizeof images + 1] = {0};
    memcpy(longer, images, sizeof images);
    refuse_images(file_of("long", longer, sizeof longer), "longer than");
}

/* Opens and reads: zlib looks ahead, so what is wrong at a file's end may be seen early. */
static hm_status read_all(const char *path)
{
    hm_import import;
    unsigned char rows[PIXELS];
    HM_TRY(hm_idx_open(path, 0, &import));
    hm_status status = import.source->read(import.source, 0, ROWS, rows);
    hm_import_free(&import);
    return status;
}

static void gzip_is_checked_to_its_end(void **state)
{
    (void)state;
    unsigned char longer[sizeof images + 1] = {0}, packed[512];
    memcpy(longer, images, sizeof images);
    assert_refused(read_all(gzip_of("long.gz", longer, sizeof longer)), HM_EDATA, "longer than");

    FILE *whole = fopen(gzip_of("whole.gz", images, sizeof images), "rb");
    size_t size = fread(packed, 1, sizeof packed, whole);
    fclose(whole);
    assert_true(size > 40 && size < sizeof packed);
    assert_int_equal(read_all(file_of("again.gz", packed, size)), HM_OK);
    for (size_t cut = 1; cut < size - 20; cut++) /* in the checksum, and in the data */
        assert_refused(read_all(file_of("cut.gz", packed, size - cut)), HM_EDATA, "gzip data");
    packed[size - 6] ^= 1; /* in the checksum */
    assert_refused(read_all(file_of("flipped.gz", packed, size)), HM_EDATA, "damaged");
}

static void labels_must_be_as_many_as_rows(void **state)
{
    (void)state;
    int32_t *read = (int32_t *)1;
    assert_refused(hm_idx_labels(file_of("labels", labels, sizeof labels), 4, &read), HM_EDATA, "5 labels for 4 rows");
    assert_null(read);
    assert_refused(hm_idx_labels(file_of("cut", labels, 10), ROWS, &read), HM_EDATA, "3 bytes short");
    assert_refused(hm_idx_labels(file_of("images", images, sizeof images), ROWS, &read), HM_EDATA, "1 dimension");
    unsigned char longer[sizeof labels + 1] = {0};
    memcpy(longer, labels, sizeof labels);
    assert_refused(hm_idx_labels(file_of("long", longer, sizeof longer), ROWS, &read), HM_EDATA, "longer than");
    assert_refused(hm_idx_labels(gzip_of("long.gz", longer, sizeof longer), ROWS, &read), HM_EDATA, "longer than");
    assert_null(read);
    const unsigned char huge[8] = {0, 0, 8, 1, 0xff, 0xff, 0xff, 0xff};
    assert_refused(hm_idx_labels(file_of("huge", huge, sizeof huge), 0xffffffff, &read), HM_EDATA, "bytes short");
}

#define IDX_TEST(name) cmocka_unit_test_setup_teardown(name, fill, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IDX_TEST(plain_and_gzip_images_are_read),        IDX_TEST(matrices_are_rows_without_image_size),
        IDX_TEST(labels_are_bytes_or_integers),          IDX_TEST(other_files_are_refused),
        IDX_TEST(sizes_must_fit_the_length_of_the_file), IDX_TEST(gzip_is_checked_to_its_end),
        IDX_TEST(labels_must_be_as_many_as_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
