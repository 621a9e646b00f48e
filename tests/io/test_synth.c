/* Generators: a row is a function of seed and number alone; digits can be told apart; bars are bars. */
#include "import_files.h"

#include <math.h>

enum { PIXELS = 28 * 28, DIGITS = 10 };

/* All rows of an import; the caller frees them. */
static unsigned char *rows_of(const hm_import *import)
{
    hm_source *source = import->source;
    assert_int_equal(source->type, HM_UINT8);
    unsigned char *rows = malloc((size_t)(source->rows * source->columns));
    assert_non_null(rows);
    assert_int_equal(source->read(source, 0, source->rows, rows), HM_OK);
    return rows;
}

static void rows_depend_on_seed_and_number_alone(void **state)
{
    (void)state;
    hm_import whole, tail, other;
    assert_int_equal(hm_synth_digits(3, 0, 60, &whole), HM_OK);
    assert_int_equal(hm_synth_digits(3, 40, 20, &tail), HM_OK);
    assert_int_equal(hm_synth_digits(4, 40, 20, &other), HM_OK);
    unsigned char *rows = rows_of(&whole), *end = rows_of(&tail), *others = rows_of(&other), piece[PIXELS];
    assert_memory_equal(rows + 40 * PIXELS, end, 20 * PIXELS);
    assert_memory_equal(whole.labels + 40, tail.labels, 20 * sizeof(int32_t));
    assert_memory_not_equal(end, others, 20 * PIXELS);
    assert_int_equal(whole.source->read(whole.source, 33, 1, piece), HM_OK);
    assert_memory_equal(piece, rows + 33 * PIXELS, PIXELS);
    assert_int_equal(whole.source->height * whole.source->width, PIXELS);
    free(rows);
    free(end);
    free(others);
    hm_import_free(&whole);
    hm_import_free(&tail);
    hm_import_free(&other);
}

static double squared_distance(const unsigned char *image, const double *mean)
{
    double sum = 0;
    for (int pixel = 0; pixel < PIXELS; pixel++) sum += pow(image[pixel] - mean[pixel], 2);
    return sum;
}

/* The nearest class mean names most digits of rows that it was not made from: labels and pictures belong together, and
 * the ten classes differ. Guessing would name a tenth. */
static void digits_look_like_their_labels(void **state)
{
    (void)state;
    enum { TRAIN = 1000, TEST_ROWS = 300 };
    static double mean[DIGITS][PIXELS];
    int count[DIGITS] = {0}, right = 0;
    hm_import import;
    assert_int_equal(hm_synth_digits(1, 0, TRAIN + TEST_ROWS, &import), HM_OK);
    unsigned char *rows = rows_of(&import);
    for (int row = 0; row < TRAIN; row++) {
        assert_in_range(import.labels[row], 0, DIGITS - 1);
        count[import.labels[row]]++;
        for (int pixel = 0; pixel < PIXELS; pixel++) mean[import.labels[row]][pixel] += rows[row * PIXELS + pixel];
    }
    for (int digit = 0; digit < DIGITS; digit++) {
        assert_in_range(count[digit], TRAIN / DIGITS - 48, TRAIN / DIGITS + 48); /* 5 standard errors: 5 sqrt(90) */
        for (int pixel = 0; pixel < PIXELS; pixel++) mean[digit][pixel] /= count[digit];
    }
    for (int row = TRAIN; row < TRAIN + TEST_ROWS; row++) {
        int nearest = 0;
        for (int digit = 1; digit < DIGITS; digit++)
            if (squared_distance(rows + row * PIXELS, mean[digit]) <
                squared_distance(rows + row * PIXELS, mean[nearest]))
                nearest = digit;
        right += nearest == import.labels[row];
    }
    print_message("%d of %d digits named by the nearest mean\n", right, TEST_ROWS);
    assert_true(right > TEST_ROWS * 6 / 10 && right < TEST_ROWS); /* neither noise nor ten fixed pictures */
    free(rows);
    hm_import_free(&import);
}

/* Ink, and how much of it: a border that stays empty, both ends of the scale, and grey edges. */
static void digits_are_strokes_inside_the_frame(void **state)
{
    (void)state;
    enum { ROWS = 500 };
    hm_import import;
    assert_int_equal(hm_synth_digits(2, 0, ROWS, &import), HM_OK);
    unsigned char *rows = rows_of(&import);
    for (int row = 0; row < ROWS; row++) {
        const unsigned char *image = rows + row * PIXELS;
        int full = 0, grey = 0, corners = image[0] + image[27] + image[PIXELS - 28] + image[PIXELS - 1];
        for (int pixel = 0; pixel < PIXELS; pixel++) {
            full += image[pixel] == 255;
            grey += image[pixel] > 0 && image[pixel] < 255;
        }
        assert_int_equal(corners, 0);
        assert_in_range(full + grey, 25, PIXELS / 2);
        assert_true(full > 0 && grey > 10);
    }
    free(rows);
    hm_import_free(&import);
}

/* 0 when it is neither, bit 0 for bars (all rows alike), bit 1 for stripes. */
static int kinds_of(const unsigned char *image, int side)
{
    int kinds = 3;
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++) {
            if (image[y * side + x] != image[x]) kinds &= ~1;
            if (image[y * side + x] != image[y * side]) kinds &= ~2;
            if (image[y * side + x] != 0 && image[y * side + x] != 255) kinds = 0;
        }
    return kinds;
}

static void drawn_bars_are_bars_or_stripes(void **state)
{
    (void)state;
    enum { SIDE = 5, ROWS = 2000 };
    int bars = 0, ink = 0;
    hm_import import;
    assert_int_equal(hm_synth_bars(9, 0, ROWS, SIDE, &import), HM_OK);
    assert_null(import.labels);
    unsigned char *rows = rows_of(&import);
    for (int row = 0; row < ROWS; row++) {
        int kinds = kinds_of(rows + row * SIDE * SIDE, SIDE);
        assert_int_not_equal(kinds, 0);
        bars += kinds == 1;
        for (int pixel = 0; pixel < SIDE * SIDE; pixel++) ink += rows[row * SIDE * SIDE + pixel] == 255;
    }
    /* Half are bars but for the two patterns that are both; half the pixels are ink, SIDE alike at a time. */
    const double p = 0.5 - 1.0 / 32, all = ROWS * SIDE * SIDE;
    assert_true(fabs(bars - ROWS * p) <= 5 * sqrt(ROWS * p * (1 - p)));
    assert_true(fabs(ink - all / 2) <= 5 * 0.5 * sqrt(all * SIDE));
    free(rows);
    hm_import_free(&import);
}

static void all_bars_are_each_choice_once(void **state)
{
    (void)state;
    enum { SIDE = 3, ROWS = 16 };
    int found[1 << (SIDE * SIDE)] = {0}, patterns = 0;
    hm_import import;
    assert_int_equal(hm_synth_bars(1, 0, 0, SIDE, &import), HM_OK);
    assert_int_equal(import.source->rows, ROWS);
    unsigned char *rows = rows_of(&import);
    for (int row = 0; row < ROWS; row++) {
        int pattern = 0;
        assert_int_not_equal(kinds_of(rows + row * SIDE * SIDE, SIDE), 0);
        for (int pixel = 0; pixel < SIDE * SIDE; pixel++) pattern |= (rows[row * SIDE * SIDE + pixel] == 255) << pixel;
        found[pattern]++;
    }
    for (int pattern = 0; pattern < 1 << (SIDE * SIDE); pattern++) patterns += found[pattern] > 0;
    assert_int_equal(patterns, 14); /* 2 * 2^3 less the two that are bars and stripes both */
    assert_int_equal(found[0], 2);
    assert_int_equal(found[(1 << (SIDE * SIDE)) - 1], 2);
    free(rows);
    hm_import_free(&import);
}

static void impossible_sizes_are_refused(void **state)
{
    (void)state;
    hm_import import;
    assert_refused(hm_synth_digits(1, 0, 0, &import), HM_EUSAGE, "at least 1 row");
    assert_refused(hm_synth_digits(1, 0, (int64_t)1 << 40, &import), HM_EUSAGE, "at most 1000000000");
    assert_refused(hm_synth_bars(1, 0, -1, 4, &import), HM_EUSAGE, "at least 1 row");
    assert_refused(hm_synth_bars(1, 0, 10, 1, &import), HM_EUSAGE, "between 2 and 64");
    assert_refused(hm_synth_bars(1, 0, 0, 21, &import), HM_EUSAGE, "between 2 and 20");
    assert_null(import.source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(rows_depend_on_seed_and_number_alone), TEST(digits_look_like_their_labels),
        TEST(digits_are_strokes_inside_the_frame),  TEST(drawn_bars_are_bars_or_stripes),
        TEST(all_bars_are_each_choice_once),        TEST(impossible_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
