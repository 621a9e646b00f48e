/* Minibatches: every row at most once an epoch, the same for any ownership of shards, at random access; binarisation.
 */
#include "train/feed.h"

#include "core/memory.h"
#include "core/rng.h"
#include "small_rbm.h"

#include <math.h>

enum { COLUMNS = 3, ROWS_MAX = 2000 };

/* Rows that say their own number: two bytes, and one for binarisation. */
static hm_source *numbered_rows(int64_t rows, unsigned char *data)
{
    hm_source *source;
    for (int64_t row = 0; row < rows; row++) {
        data[row * COLUMNS] = (unsigned char)(row & 0xff);
        data[row * COLUMNS + 1] = (unsigned char)(row >> 8);
        data[row * COLUMNS + 2] = 77;
    }
    assert_ok(hm_source_memory(HM_UINT8, rows, COLUMNS, data, &source));
    return source;
}

static int64_t number_of(const float *row)
{
    return (int64_t)lrint((double)row[0] * 255) + 256 * (int64_t)lrint((double)row[1] * 255);
}

/* The numbers of the rows that `shard` sees at (epoch, step). */
static int64_t rows_seen(hm_feed *feed, int shard, int64_t batch, int shards, int64_t epoch, int64_t step,
                         int64_t *numbers)
{
    float rows[512 * COLUMNS];
    hm_range part = hm_part(batch, shards, shard);
    int64_t count = hm_count(part);
    assert_ok(hm_feed_advance(feed, epoch, step));
    hm_feed_rows(feed, part.begin, (hm_matrix){rows, count, COLUMNS});
    for (int64_t row = 0; row < count; row++) numbers[row] = number_of(rows + row * COLUMNS);
    return count;
}

/* Rows of the upper half of the shards: the same from any place on, one at a time or all together. */
static void check_ranges(hm_feed *half, int64_t batch, int shards)
{
    float all[512 * COLUMNS], row[COLUMNS];
    int64_t first = hm_part(batch, shards, shards / 2).begin, count = batch - first;
    hm_feed_rows(half, first, (hm_matrix){all, count, COLUMNS});
    for (int64_t at = 0, shard = shards / 2; at < count; at++) {
        hm_range part = hm_part(batch, shards, shard);
        if (first + at == part.begin) { /* a shard by itself */
            float own[512 * COLUMNS];
            hm_feed_rows(half, part.begin, (hm_matrix){own, hm_count(part), COLUMNS});
            assert_memory_equal(own, all + at * COLUMNS, (size_t)(hm_count(part) * COLUMNS) * sizeof(float));
            shard++;
        }
        hm_feed_rows(half, first + at, (hm_matrix){row, 1, COLUMNS});
        assert_memory_equal(row, all + at * COLUMNS, sizeof row);
    }
}

/* One feed of all shards beside one of a rank with half of them. */
static void check_epochs(int64_t rows, int64_t batch, int shards, int64_t window)
{
    static unsigned char data[ROWS_MAX * COLUMNS];
    hm_source *source = numbered_rows(rows, data);
    hm_transform transform = {.binarize = HM_BINARIZE_NONE, .seed = 3};
    hm_feed *feed, *half;
    int64_t numbers[512], again[512], first_of_epoch[2] = {-1, -1};
    assert_ok(hm_feed_open(source, &transform, window, batch, shards, (hm_range){0, shards}, &feed));
    assert_ok(hm_feed_open(source, &transform, window, batch, shards, (hm_range){shards / 2, shards}, &half));
    assert_int_equal(hm_feed_steps(feed), rows / batch);
    for (int64_t epoch = 0; epoch < 2; epoch++) {
        int seen[ROWS_MAX] = {0};
        int64_t total = 0;
        for (int64_t step = 0; step < rows / batch; step++)
            for (int shard = 0; shard < shards; shard++) {
                int64_t count = rows_seen(feed, shard, batch, shards, epoch, step, numbers);
                for (int64_t row = 0; row < count; row++) assert_int_equal(seen[numbers[row]]++, 0);
                if (step == 0 && shard == 0) first_of_epoch[epoch] = numbers[0] + 100000 * numbers[count - 1];
                total += count;
                if (shard < shards / 2) continue;
                rows_seen(half, shard, batch, shards, epoch, step, again);
                assert_memory_equal(numbers, again, (size_t)count * sizeof numbers[0]);
                if (shard == shards - 1) check_ranges(half, batch, shards);
            }
        assert_int_equal(total, rows / batch * batch);
    }
    if (rows > 4 * batch) assert_int_not_equal(first_of_epoch[0], first_of_epoch[1]); /* another order each epoch */
    hm_feed_close(feed);
    hm_feed_close(half);
    source->close(source);
}

static void every_row_is_seen_at_most_once_an_epoch(void **state)
{
    (void)state;
    check_epochs(2000, 20, 8, 4096);
    check_epochs(2000, 100, 8, 64); /* several windows a shard */
    check_epochs(1999, 33, 8, 17);
    check_epochs(500, 8, 8, 1);      /* windows of one row */
    check_epochs(101, 101, 4, 1000); /* one update an epoch */
    check_epochs(107, 9, 8, 5);      /* one or two rows of a shard */
}

/* No two shards go through their parts in the same order. */
static void shards_have_orders_of_their_own(void **state)
{
    (void)state;
    enum { SHARDS = 4, PART = 100, BATCH = 40, A_SHARD = BATCH / SHARDS };
    static unsigned char data[SHARDS * PART * COLUMNS];
    int64_t numbers[SHARDS][A_SHARD];
    hm_source *source = numbered_rows(SHARDS * PART, data);
    hm_transform transform = {.binarize = HM_BINARIZE_NONE, .seed = 3};
    hm_feed *feed;
    assert_ok(hm_feed_open(source, &transform, PART, BATCH, SHARDS, (hm_range){0, SHARDS}, &feed));
    for (int shard = 0; shard < SHARDS; shard++) {
        rows_seen(feed, shard, BATCH, SHARDS, 0, 0, numbers[shard]);
        for (int row = 0; row < A_SHARD; row++) numbers[shard][row] -= shard * PART; /* within the part */
        for (int other = 0; other < shard; other++)
            assert_true(memcmp(numbers[shard], numbers[other], sizeof numbers[shard]) != 0);
    }
    hm_feed_close(feed);
    source->close(source);
}

/* What an epoch leaves over is not always the same: every row has its turn. */
static void no_row_is_left_out_for_ever(void **state)
{
    (void)state;
    enum { ROWS = 59, BATCH = 20, SHARDS = 4, EPOCHS = 60 };
    unsigned char data[ROWS * COLUMNS];
    int seen[ROWS] = {0};
    int64_t numbers[BATCH];
    hm_source *source = numbered_rows(ROWS, data);
    hm_transform transform = {.binarize = HM_BINARIZE_NONE, .seed = 3};
    hm_feed *feed;
    assert_ok(hm_feed_open(source, &transform, 6, BATCH, SHARDS, (hm_range){0, SHARDS}, &feed));
    for (int64_t epoch = 0; epoch < EPOCHS; epoch++)
        for (int64_t step = 0; step < ROWS / BATCH; step++)
            for (int shard = 0; shard < SHARDS; shard++) {
                int64_t count = rows_seen(feed, shard, BATCH, SHARDS, epoch, step, numbers);
                for (int64_t row = 0; row < count; row++) seen[numbers[row]]++;
            }
    for (int row = 0; row < ROWS; row++) assert_true(seen[row] > 0);
    hm_feed_close(feed);
    source->close(source);
}

/* Jumping to any update, in any order, finds the rows that going there step by step does. */
static void any_update_can_be_reached_at_once(void **state)
{
    (void)state;
    enum { ROWS = 500, BATCH = 33, SHARDS = 4, STEPS = ROWS / BATCH, EPOCHS = 3 };
    static unsigned char data[ROWS * COLUMNS];
    static int64_t walked[EPOCHS][STEPS][SHARDS][BATCH];
    hm_source *source = numbered_rows(ROWS, data);
    hm_transform transform = {.binarize = HM_BINARIZE_NONE, .seed = 3};
    hm_stream jumps = {.seed = 4, .purpose = HM_RNG_SYNTH};
    hm_feed *feed, *fresh;
    assert_ok(hm_feed_open(source, &transform, 25, BATCH, SHARDS, (hm_range){0, SHARDS}, &feed));
    for (int64_t epoch = 0; epoch < EPOCHS; epoch++)
        for (int64_t step = 0; step < STEPS; step++)
            for (int shard = 0; shard < SHARDS; shard++)
                rows_seen(feed, shard, BATCH, SHARDS, epoch, step, walked[epoch][step][shard]);
    for (int64_t jump = 0; jump < 200; jump++) {
        int64_t epoch = (int64_t)hm_random_below(&jumps, 0, jump, EPOCHS);
        int64_t step = (int64_t)hm_random_below(&jumps, 1, jump, STEPS), numbers[BATCH];
        int shard = (int)hm_random_below(&jumps, 2, jump, SHARDS);
        if (jump % 10 == 0) { /* now and then from nowhere, as when a run is continued */
            assert_ok(hm_feed_open(source, &transform, 25, BATCH, SHARDS, (hm_range){shard, shard + 1}, &fresh));
            int64_t count = rows_seen(fresh, shard, BATCH, SHARDS, epoch, step, numbers);
            assert_memory_equal(numbers, walked[epoch][step][shard], (size_t)count * sizeof numbers[0]);
            hm_feed_close(fresh);
        }
        int64_t count = rows_seen(feed, shard, BATCH, SHARDS, epoch, step, numbers);
        assert_memory_equal(numbers, walked[epoch][step][shard], (size_t)count * sizeof numbers[0]);
    }
    hm_feed_close(feed);
    source->close(source);
}

/* ---- what is read ----------------------------------------------------------------------------------------------- */

/* A source that notes which rows were read, and may fail. */
typedef struct watched_source {
    hm_source source;
    hm_source *of;
    int64_t most; /* rows of one read */
    int reads[ROWS_MAX], failures_left;
} watched_source;

static hm_status watched_read(hm_source *source, int64_t begin, int64_t count, void *out)
{
    watched_source *watched = (watched_source *)source;
    if (watched->failures_left > 0) {
        watched->failures_left--;
        memset(out, 0xee, (size_t)(count * COLUMNS)); /* half of something */
        return hm_fail(HM_EDATA, "the disk is gone");
    }
    if (count > watched->most) watched->most = count;
    for (int64_t row = begin; row < begin + count; row++) watched->reads[row]++;
    return watched->of->read(watched->of, begin, count, out);
}

static watched_source watch(hm_source *of)
{
    watched_source watched = {.source = *of, .of = of};
    watched.source.read = watched_read;
    return watched;
}

/* An epoch reads each row of the own shards once at most, a window at a time, and no other row. */
static void only_own_rows_are_read_a_window_at_a_time(void **state)
{
    (void)state;
    enum { ROWS = 800, BATCH = 20, SHARDS = 8, WINDOW = 30 };
    static unsigned char data[ROWS * COLUMNS];
    hm_source *source = numbered_rows(ROWS, data);
    watched_source watched = watch(source);
    hm_transform transform = {.binarize = HM_BINARIZE_NONE, .seed = 3};
    hm_feed *feed;
    assert_ok(hm_feed_open(&watched.source, &transform, WINDOW, BATCH, SHARDS, (hm_range){2, 4}, &feed));
    for (int64_t step = 0; step < ROWS / BATCH; step++) assert_ok(hm_feed_advance(feed, 0, step));
    for (int row = 0; row < ROWS; row++) assert_int_equal(watched.reads[row], row >= 200 && row < 400);
    assert_true(watched.most <= WINDOW && watched.most > WINDOW / 2);
    hm_feed_close(feed);
    source->close(source);
}

static void a_failed_read_is_passed_on_and_forgotten(void **state)
{
    (void)state;
    enum { ROWS = 100, BATCH = 8, SHARDS = 2 };
    static unsigned char data[ROWS * COLUMNS];
    hm_source *source = numbered_rows(ROWS, data);
    watched_source watched = watch(source);
    hm_transform transform = {.binarize = HM_BINARIZE_NONE, .seed = 3};
    hm_feed *feed, *sound;
    int64_t numbers[BATCH], expected[BATCH];
    assert_ok(hm_feed_open(&watched.source, &transform, 10, BATCH, SHARDS, (hm_range){0, SHARDS}, &feed));
    assert_ok(hm_feed_open(source, &transform, 10, BATCH, SHARDS, (hm_range){0, SHARDS}, &sound));
    assert_ok(hm_feed_advance(feed, 0, 0));
    watched.failures_left = 1;
    assert_int_equal(hm_feed_advance(feed, 1, 7), HM_EDATA);
    assert_string_equal(hm_error_message(), "the disk is gone");
    hm_error_clear();
    static const int64_t updates[][2] = {{0, 0}, {1, 7}}; /* back to where it was, and where it failed */
    for (int at = 0; at < 2; at++)
        for (int shard = 0; shard < SHARDS; shard++) {
            int64_t count = rows_seen(feed, shard, BATCH, SHARDS, updates[at][0], updates[at][1], numbers);
            rows_seen(sound, shard, BATCH, SHARDS, updates[at][0], updates[at][1], expected);
            assert_memory_equal(numbers, expected, (size_t)count * sizeof numbers[0]);
        }
    hm_feed_close(feed);
    hm_feed_close(sound);
    source->close(source);
}

/* ---- binarisation ----------------------------------------------------------------------------------------------- */

static double mean_of(int binarize, int64_t epoch, float *first)
{
    enum { N = 60000 };
    unsigned char raw[1] = {77};
    hm_transform transform = {.binarize = binarize, .threshold = 0.5f, .seed = 9};
    double sum = 0;
    for (int64_t row = 0; row < N; row++) {
        float value;
        hm_transform_row(&transform, &(hm_source){.columns = 1, .type = HM_UINT8, .unit = 255}, raw, row, epoch,
                         &value);
        if (row < 100) first[row] = value;
        sum += (double)value;
    }
    return sum / N;
}

static void binarisation_draws_what_it_says(void **state)
{
    (void)state;
    float a[100], b[100];
    const double p = 77 / 255.0, error = sqrt(p * (1 - p) / 60000);
    assert_close(mean_of(HM_BINARIZE_NONE, 0, a), p, 1e-6);
    assert_close(mean_of(HM_BINARIZE_THRESHOLD, 0, a), 0, 0);
    assert_close(mean_of(HM_BINARIZE_FIXED, 0, a), p, 5 * error);
    mean_of(HM_BINARIZE_FIXED, 5, b);
    assert_memory_equal(a, b, sizeof a); /* fixed: the same every epoch */
    assert_close(mean_of(HM_BINARIZE_DYNAMIC, 0, a), p, 5 * error);
    mean_of(HM_BINARIZE_DYNAMIC, 1, b);
    assert_true(memcmp(a, b, sizeof a) != 0); /* dynamic: another draw */
    const unsigned char edges[3] = {127, 128, 255};
    float out[3];
    hm_transform threshold = {.binarize = HM_BINARIZE_THRESHOLD, .threshold = 0.5f};
    hm_transform_row(&threshold, &(hm_source){.columns = 3, .type = HM_UINT8, .unit = 255}, edges, 0, 0, out);
    assert_true(out[0] == 0 && out[1] == 1 && out[2] == 1); /* x >= 128, as in the field */
}

/* Each pixel value's frequency of ones over rows; chi-square over the values, one degree of freedom each. */
static void frequencies_are_the_values(void **state)
{
    (void)state;
    enum { N = 20000 };
    static const int kinds[] = {HM_BINARIZE_FIXED, HM_BINARIZE_DYNAMIC};
    unsigned char raw[256];
    float out[256];
    for (int value = 0; value < 256; value++) raw[value] = (unsigned char)value;
    for (int at = 0; at < 2; at++) {
        hm_transform transform = {.binarize = kinds[at], .seed = 9};
        int64_t ones[256] = {0};
        double chi_square = 0;
        for (int64_t row = 0; row < N; row++) {
            hm_transform_row(&transform, &(hm_source){.columns = 256, .type = HM_UINT8, .unit = 255}, raw, row, 2, out);
            for (int value = 0; value < 256; value++) ones[value] += out[value] == 1.0f;
            for (int value = 0; value < 256; value++) assert_true(out[value] == 0.0f || out[value] == 1.0f);
        }
        assert_true(ones[0] == 0 && ones[255] == N);
        for (int value = 1; value < 255; value++) {
            double p = value / 255.0, off = (double)ones[value] - N * p;
            chi_square += off * off / (N * p * (1 - p));
        }
        /* 254 degrees of freedom: mean 254, standard deviation 22.5. */
        print_message("  chi-square %.1f, expected 254\n", chi_square);
        assert_true(fabs(chi_square - 254) <= 4 * 22.5);
    }
}

enum { GREY_ROWS = 240, GREY_COLUMNS = 10 };

/* Columns 0 to 7 are the bits of the row's number, 0 or 255, whatever is drawn; the last two are grey. */
static void grey_rows(unsigned char data[GREY_ROWS * GREY_COLUMNS])
{
    for (int row = 0; row < GREY_ROWS; row++)
        for (int column = 0; column < GREY_COLUMNS; column++)
            data[row * GREY_COLUMNS + column] = column < 8 ? (row >> column & 1 ? 255 : 0) : 127;
}

/* The two drawn columns of each row that a whole epoch shows; -1 where it does not. */
static void drawn_in_epoch(hm_source *source, int binarize, int64_t batch, int shards, int64_t window, int64_t epoch,
                           int drawn[GREY_ROWS])
{
    hm_transform transform = {.binarize = binarize, .seed = 21};
    hm_feed *feed;
    float rows[64 * GREY_COLUMNS];
    for (int row = 0; row < GREY_ROWS; row++) drawn[row] = -1;
    assert_ok(hm_feed_open(source, &transform, window, batch, shards, (hm_range){0, shards}, &feed));
    for (int64_t step = 0; step < hm_feed_steps(feed); step++) {
        assert_ok(hm_feed_advance(feed, epoch, step));
        for (int shard = 0; shard < shards; shard++) {
            hm_range part = hm_part(batch, shards, shard);
            int64_t count = hm_count(part);
            hm_feed_rows(feed, part.begin, (hm_matrix){rows, count, GREY_COLUMNS});
            for (int64_t row = 0; row < count; row++) {
                const float *x = rows + row * GREY_COLUMNS;
                int number = 0;
                for (int bit = 0; bit < 8; bit++) number |= (x[bit] == 1.0f) << bit;
                drawn[number] = (x[8] == 1.0f) + 2 * (x[9] == 1.0f);
            }
        }
    }
    hm_feed_close(feed);
}

/* What is drawn for a row depends on its number, and on the epoch where it is dynamic: not on batch, shards, windows.
 */
static void draws_belong_to_the_row(void **state)
{
    (void)state;
    static unsigned char data[GREY_ROWS * GREY_COLUMNS];
    int fixed[2][GREY_ROWS], dynamic[2][GREY_ROWS], other[GREY_ROWS], changed = 0, unlike = 0;
    hm_source *source;
    grey_rows(data);
    assert_ok(hm_source_memory(HM_UINT8, GREY_ROWS, GREY_COLUMNS, data, &source));
    for (int64_t epoch = 0; epoch < 2; epoch++) {
        drawn_in_epoch(source, HM_BINARIZE_FIXED, 20, 4, 1000, epoch, fixed[epoch]);
        drawn_in_epoch(source, HM_BINARIZE_FIXED, 48, 8, 7, epoch, other);
        assert_memory_equal(fixed[epoch], other, sizeof other);
        drawn_in_epoch(source, HM_BINARIZE_DYNAMIC, 20, 4, 1000, epoch, dynamic[epoch]);
        drawn_in_epoch(source, HM_BINARIZE_DYNAMIC, 48, 8, 7, epoch, other);
        assert_memory_equal(dynamic[epoch], other, sizeof other);
    }
    assert_memory_equal(fixed[0], fixed[1], sizeof other);
    for (int row = 0; row < GREY_ROWS; row++) changed += dynamic[0][row] != dynamic[1][row];
    for (int row = 0; row < GREY_ROWS; row++) unlike += dynamic[0][row] != fixed[0][row];
    /* Two fair coins a row: three in four rows differ, give or take 4 standard errors. */
    double allowed = 4 * sqrt(GREY_ROWS * 0.75 * 0.25);
    assert_close(changed, 0.75 * GREY_ROWS, allowed);
    assert_close(unlike, 0.75 * GREY_ROWS, allowed);
    source->close(source);
}

/* ---- base rates and refusals ------------------------------------------------------------------------------------ */

static void check_base_rates(hm_type type, int binarize, int shards)
{
    enum { ROWS = 997, WIDE = 13 };
    static unsigned char bytes[ROWS * WIDE];
    static float floats[ROWS * WIDE];
    hm_transform transform = {.binarize = binarize, .threshold = 0.3f, .seed = 3};
    hm_stream stream = {.seed = 6, .purpose = HM_RNG_SYNTH};
    hm_source *source;
    hm_feed *feed;
    float rates[WIDE];
    double sums[WIDE] = {0};
    for (int64_t at = 0; at < ROWS * WIDE; at++) {
        bytes[at] = (unsigned char)hm_random_below(&stream, at % WIDE, at, 10 + 20 * (uint64_t)(at % WIDE));
        floats[at] = (float)bytes[at] / 255.0f;
        double value = (double)floats[at];
        sums[at % WIDE] += binarize == HM_BINARIZE_THRESHOLD ? floats[at] >= 0.3f : value;
    }
    assert_ok(hm_source_memory(type, ROWS, WIDE, type == HM_UINT8 ? (void *)bytes : (void *)floats, &source));
    assert_ok(hm_feed_open(source, &transform, 50, 40, shards, (hm_range){0, shards}, &feed));
    int64_t grey;
    uint32_t fingerprint;
    assert_ok(hm_feed_survey(feed, hm_comm_serial(), rates, &fingerprint, &grey));
    for (int c = 0; c < WIDE; c++) {
        double expected = (sums[c] + 1) / (ROWS + 2);
        if (!(fabs((double)rates[c] - expected) <= 1e-7 * expected))
            fail_msg("column %d: %.9g, expected %.9g", c, (double)rates[c], expected);
        assert_true(rates[c] > 0 && rates[c] < 1);
    }
    hm_feed_close(feed);
    source->close(source);
}

static void base_rates_are_smoothed_means(void **state)
{
    (void)state;
    check_base_rates(HM_UINT8, HM_BINARIZE_NONE, 8);
    check_base_rates(HM_UINT8, HM_BINARIZE_THRESHOLD, 8);
    check_base_rates(HM_FLOAT32, HM_BINARIZE_DYNAMIC, 1);
    check_base_rates(HM_FLOAT32, HM_BINARIZE_FIXED, 16);
}

static uint32_t fingerprint_of(const unsigned char *data, int shards)
{
    enum { ROWS = 37, COLUMNS_HERE = 13 };
    float rates[COLUMNS_HERE];
    int64_t grey;
    uint32_t fingerprint;
    hm_transform transform = {.binarize = HM_BINARIZE_NONE};
    hm_source *source;
    hm_feed *feed;
    assert_ok(hm_source_memory(HM_UINT8, ROWS, COLUMNS_HERE, data, &source));
    assert_ok(hm_feed_open(source, &transform, 4, 16, shards, (hm_range){0, shards}, &feed));
    assert_ok(hm_feed_survey(feed, hm_comm_serial(), rates, &fingerprint, &grey));
    hm_feed_close(feed);
    source->close(source);
    return fingerprint;
}

/* The fingerprint is the data's alone, and moves with every value and with the order of rows. */
static void changed_data_have_another_fingerprint(void **state)
{
    (void)state;
    enum { BYTES = 37 * 13 };
    unsigned char data[BYTES], row[13];
    for (int at = 0; at < BYTES; at++) data[at] = (unsigned char)(at * 7);
    uint32_t before = fingerprint_of(data, 1);
    for (int shards = 2; shards <= 16; shards *= 2) assert_int_equal(fingerprint_of(data, shards), before);
    for (int at = 0; at < BYTES; at++) {
        data[at] ^= 1;
        assert_int_not_equal(fingerprint_of(data, 4), before);
        data[at] ^= 1;
    }
    memcpy(row, data, 13);
    memmove(data, data + 13, 13);
    memcpy(data + 13, row, 13);
    assert_int_not_equal(fingerprint_of(data, 4), before);
}

static void refused(float bad, const char *shown)
{
    float data[8] = {0, 1, 0, 1, 0, 1, 0, 1}, rates[2];
    char expected[64];
    hm_transform transform = {.file = "rows.h5", .binarize = HM_BINARIZE_NONE};
    hm_source *source;
    hm_feed *feed;
    int64_t grey;
    uint32_t fingerprint;
    data[5] = bad;
    assert_ok(hm_source_memory(HM_FLOAT32, 4, 2, data, &source));
    assert_ok(hm_feed_open(source, &transform, 4, 2, 2, (hm_range){0, 2}, &feed));
    assert_int_equal(hm_feed_survey(feed, hm_comm_serial(), rates, &fingerprint, &grey), HM_EDATA);
    print_message("  %s\n", hm_error_message());
    snprintf(expected, sizeof expected, "rows.h5: train/x row 2, column 1 is %s;", shown);
    assert_non_null(strstr(hm_error_message(), expected));
    hm_error_clear();
    hm_feed_close(feed);
    source->close(source);
}

static void bad_values_are_refused_with_their_place(void **state)
{
    (void)state;
    refused(1.5f, "1.5");
    refused(-0.1f, "-0.1");
    refused(NAN, "nan");
    refused(INFINITY, "inf");
}

/* One row of a softmax group of `columns`: `ones` columns of 1, the next of `other`. */
static hm_status group_status(int64_t columns, int64_t ones, float other)
{
    float row[2000] = {0}, out[2000];
    hm_transform transform = {.file = "rows.h5", .binarize = HM_BINARIZE_NONE, .group = -1};
    hm_source *source;
    for (int64_t c = 0; c < ones; c++) row[c] = 1;
    row[ones] = other;
    assert_ok(hm_source_memory(HM_FLOAT32, 1, columns, row, &source));
    hm_status status = hm_transform_rates(&transform, source, row, 0, out);
    source->close(source);
    hm_error_clear();
    return status;
}

/* However wide the group, and however near its sum is to 1. */
static void softmax_rows_have_exactly_one_1(void **state)
{
    (void)state;
    const int64_t widths[] = {2, 3, 499, 500, 1999};
    for (int width = 0; width < 5; width++) {
        assert_int_equal(group_status(widths[width], 1, 0), HM_OK);
        assert_int_equal(group_status(widths[width], 0, 0), HM_EDATA);
        assert_int_equal(group_status(widths[width], 1, 1), HM_EDATA);
        assert_int_equal(group_status(widths[width], 0, 0.999f), HM_EDATA);
        assert_int_equal(group_status(widths[width], 1, 1e-6f), HM_EDATA);
    }
}

static void too_few_rows_are_refused(void **state)
{
    (void)state;
    unsigned char data[30];
    hm_source *source = numbered_rows(10, data);
    hm_transform transform = {.file = "rows.h5"};
    hm_feed *feed;
    assert_int_equal(hm_feed_open(source, &transform, 4, 11, 2, (hm_range){0, 2}, &feed), HM_EDATA);
    assert_non_null(strstr(hm_error_message(), "rows.h5: the training data has 10 rows, fewer than one batch of 11"));
    hm_error_clear();
    source->close(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_seen_at_most_once_an_epoch),
        cmocka_unit_test(shards_have_orders_of_their_own),
        cmocka_unit_test(no_row_is_left_out_for_ever),
        cmocka_unit_test(any_update_can_be_reached_at_once),
        cmocka_unit_test(only_own_rows_are_read_a_window_at_a_time),
        cmocka_unit_test(a_failed_read_is_passed_on_and_forgotten),
        cmocka_unit_test(binarisation_draws_what_it_says),
        cmocka_unit_test(frequencies_are_the_values),
        cmocka_unit_test(draws_belong_to_the_row),
        cmocka_unit_test(base_rates_are_smoothed_means),
        cmocka_unit_test(changed_data_have_another_fingerprint),
        cmocka_unit_test(bad_values_are_refused_with_their_place),
        cmocka_unit_test(softmax_rows_have_exactly_one_1),
        cmocka_unit_test(too_few_rows_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
