/* Pictures: a PNG that shows the images in order, whole or not there. */
#include "core/status.h"
#include "io/picture.h"
#include "scratch_folder.h"

#include <math.h>
#include <png.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { IMAGES = 6, HEIGHT = 60, WIDTH = 40, SIZE = HEIGHT * WIDTH }; /* large enough not to be enlarged */

static scratch_folder folder;
static float values[IMAGES * SIZE];
static const hm_matrix images = {values, IMAGES, SIZE};

static int set_up(void **state)
{
    (void)state;
    hm_error_clear();
    for (int i = 0; i < IMAGES * SIZE; i++) values[i] = (float)(i % 256) / 255;
    return scratch_make(&folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    disk_unlimited();
    scratch_remove(&folder);
    hm_error_clear();
    return 0;
}

/* The grey values of a PNG; the caller frees them. */
static unsigned char *read_png(const char *path, png_image *png)
{
    *png = (png_image){.version = PNG_IMAGE_VERSION};
    assert_true(png_image_begin_read_from_file(png, path));
    assert_int_equal(png->format, PNG_FORMAT_GRAY);
    unsigned char *pixels = malloc(PNG_IMAGE_SIZE(*png));
    assert_non_null(pixels);
    assert_true(png_image_finish_read(png, NULL, pixels, 0, NULL));
    return pixels;
}

/* 6 images of 60 x 40 make 3 across and 2 down, with a line of one pixel around each. */
static void images_stand_in_a_grid(void **state)
{
    (void)state;
    enum { ACROSS = 3, DOWN = 2, LINE_GREY = 96 };
    png_image png;
    const char *path = scratch_path(&folder, "grid.png");
    assert_int_equal(hm_picture_grid(path, images, HEIGHT, WIDTH), HM_OK);
    unsigned char *pixels = read_png(path, &png);
    assert_int_equal(png.width, ACROSS * (WIDTH + 1) + 1);
    assert_int_equal(png.height, DOWN * (HEIGHT + 1) + 1);
    for (unsigned y = 0; y < png.height; y++)
        for (unsigned x = 0; x < png.width; x++) {
            unsigned image = y / (HEIGHT + 1) * ACROSS + x / (WIDTH + 1);
            unsigned row = y % (HEIGHT + 1) - 1, column = x % (WIDTH + 1) - 1;
            bool line = y % (HEIGHT + 1) == 0 || x % (WIDTH + 1) == 0;
            unsigned expected = line ? LINE_GREY : (image * SIZE + row * WIDTH + column) % 256;
            if (pixels[y * png.width + x] != expected)
                fail_msg("pixel (%u, %u) is %d, expected %u", x, y, pixels[y * png.width + x], expected);
        }
    free(pixels);
    assert_int_equal(scratch_count(&folder, false), 1);
}

static void values_outside_are_clamped(void **state)
{
    (void)state;
    const float given[] = {-1, 0, 0.5f, 1, 2, INFINITY, -INFINITY, NAN};
    const unsigned char expected[] = {0, 0, 128, 255, 255, 255, 0, 0};
    png_image png;
    for (int i = 0; i < 8; i++) values[i] = given[i];
    const char *path = scratch_path(&folder, "one.png");
    assert_int_equal(hm_picture_grid(path, hm_rows(images, 0, 1), HEIGHT, WIDTH), HM_OK);
    unsigned char *pixels = read_png(path, &png);
    assert_memory_equal(pixels + png.width + 1, expected, sizeof expected);
    free(pixels);
}

static void small_images_are_enlarged_by_a_whole_factor(void **state)
{
    (void)state;
    enum { ZOOM = 14 }; /* 4 pixels become at least 56 */
    float four[16];
    png_image png;
    for (int i = 0; i < 16; i++) four[i] = (float)i / 15;
    const char *path = scratch_path(&folder, "small.png");
    assert_int_equal(hm_picture_grid(path, (hm_matrix){four, 1, 16}, 4, 4), HM_OK);
    unsigned char *pixels = read_png(path, &png);
    assert_int_equal(png.width, 4 * ZOOM + 2);
    for (unsigned y = 0; y < 4 * ZOOM; y++)
        for (unsigned x = 0; x < 4 * ZOOM; x++)
            assert_int_equal(pixels[(y + 1) * png.width + x + 1], 17 * (y / ZOOM * 4 + x / ZOOM));
    free(pixels);
}

static void a_picture_that_cannot_be_written_leaves_nothing(void **state)
{
    (void)state;
    assert_int_equal(hm_picture_grid(scratch_path(&folder, "no/grid.png"), images, HEIGHT, WIDTH), HM_EOUTPUT);
    assert_non_null(strstr(hm_error_message(), "No such file"));
    hm_error_clear();
    const char *path = scratch_path(&folder, "grid.png");
    uint32_t noise = 1; /* which PNG cannot compress */
    for (int i = 0; i < IMAGES * SIZE; i++) {
        noise = noise * 1664525u + 1013904223u;
        values[i] = (float)(noise >> 24) / 255;
    }
    for (long limit = 0; limit <= 8192; limit += 4096) {
        disk_limit(limit);
        assert_int_equal(hm_picture_grid(path, images, HEIGHT, WIDTH), HM_EOUTPUT);
        disk_unlimited();
        assert_non_null(strstr(hm_error_message(), "grid.png"));
        hm_error_clear();
        assert_int_equal(scratch_count(&folder, false), 0);
    }
    assert_int_equal(hm_picture_grid(path, images, HEIGHT, WIDTH), HM_OK);
}

static void impossible_pictures_are_refused(void **state)
{
    (void)state;
    const char *path = scratch_path(&folder, "grid.png");
    enum { TOO_LONG = 1 << 15 }; /* with its lines; refused before a value is read */
    const hm_matrix strip = {values, 1, IMAGES * SIZE}, many = {values, 4 << 20, 1}, longer = {values, 1, TOO_LONG};
    assert_int_equal(hm_picture_grid(path, images, HEIGHT, WIDTH + 1), HM_EINTERNAL);
    hm_error_clear();
    assert_int_equal(hm_picture_grid(path, strip, 1, IMAGES * SIZE), HM_OK); /* long, but possible */
    assert_int_equal(hm_picture_grid(path, many, 1, 1), HM_EUSAGE);
    assert_non_null(strstr(hm_error_message(), "too large"));
    hm_error_clear();
    assert_int_equal(hm_picture_grid(path, longer, 1, TOO_LONG), HM_EUSAGE);
    hm_error_clear();
    assert_int_equal(hm_picture_grid(path, longer, TOO_LONG, 1), HM_EUSAGE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(images_stand_in_a_grid),
        TEST(values_outside_are_clamped),
        TEST(small_images_are_enlarged_by_a_whole_factor),
        TEST(a_picture_that_cannot_be_written_leaves_nothing),
        TEST(impossible_pictures_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
