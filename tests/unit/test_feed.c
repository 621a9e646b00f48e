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
    int64_t count = hm_count(hm_part(batch, shards, shard));
    assert_ok(hm_feed_advance(feed, epoch, step));
    hm_feed_rows(feed, shard, (hm_matrix){rows, count, COLUMNS});
    for (int64_t row = 0; row < count; row++) numbers[row] = number_of(rows + row * COLUMNS);
    return count;
}

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
                rows_seen(half, shard, batch, shards, epoch, step, again); /* a rank with half of the shards */
                assert_memory_equal(numbers, again, (size_t)count * sizeof numbers[0]);
            }
        assert_int_equal(total, rows / batch * batch);
    }
    if (rows > 4 * batch) assert_int_not_equal(first_of_epoch[0], first_of_epoch[1]); /* another order each epoch */
    /* Random access: back to an update in the middle. */
    int64_t middle = rows / batch / 2, count = rows_seen(half, shards - 1, batch, shards, 1, middle, numbers);
    rows_seen(half, shards - 1, batch, shards, 0, 0, again);
    rows_seen(half, shards - 1, batch, shards, 1, middle, again);
    assert_memory_equal(numbers, again, (size_t)count * sizeof numbers[0]);
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
}

static double mean_of(int binarize, int64_t epoch, float *first)
{
    enum { N = 60000 };
    unsigned char raw[1] = {77};
    hm_transform transform = {.binarize = binarize, .threshold = 0.5f, .seed = 9};
    double sum = 0;
    for (int64_t row = 0; row < N; row++) {
        float value;
        hm_transform_row(&transform, HM_UINT8, 1, raw, row, epoch, &value);
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
    hm_transform_row(&threshold, HM_UINT8, 3, edges, 0, 0, out);
    assert_true(out[0] == 0 && out[1] == 1 && out[2] == 1); /* x >= 128, as in the field */
}

static void base_rates_are_smoothed_means(void **state)
{
    (void)state;
    enum { ROWS = 7 };
    const float data[ROWS * 2] = {0, .5f, 0, .25f, 0, 1, 0, 0, 0, .75f, 0, .5f, 0, 1};
    hm_transform transform = {.binarize = HM_BINARIZE_DYNAMIC, .seed = 3};
    hm_source *source;
    hm_feed *feed;
    float rates[2];
    assert_ok(hm_source_memory(HM_FLOAT32, ROWS, 2, data, &source));
    assert_ok(hm_feed_open(source, &transform, 4, 4, 2, (hm_range){0, 2}, &feed));
    assert_ok(hm_feed_base_rates(feed, hm_comm_serial(), rates));
    assert_close((double)rates[0], 1.0 / 9, 1e-7);
    assert_close((double)rates[1], 5.0 / 9, 1e-7);
    hm_feed_close(feed);
    source->close(source);
}

static void refused(float bad)
{
    float data[8] = {0, 1, 0, 1, 0, 1, 0, 1}, rates[2];
    hm_transform transform = {.binarize = HM_BINARIZE_NONE};
    hm_source *source;
    hm_feed *feed;
    data[5] = bad;
    assert_ok(hm_source_memory(HM_FLOAT32, 4, 2, data, &source));
    assert_ok(hm_feed_open(source, &transform, 4, 2, 2, (hm_range){0, 2}, &feed));
    assert_int_equal(hm_feed_base_rates(feed, hm_comm_serial(), rates), HM_EDATA);
    print_message("  %s\n", hm_error_message());
    assert_non_null(strstr(hm_error_message(), "row 2, column 1"));
    hm_error_clear();
    hm_feed_close(feed);
    source->close(source);
}

static void bad_values_are_refused_with_their_place(void **state)
{
    (void)state;
    refused(1.5f);
    refused(-0.1f);
    refused(NAN);
}

static void too_few_rows_are_refused(void **state)
{
    (void)state;
    unsigned char data[30];
    hm_source *source = numbered_rows(10, data);
    hm_transform transform = {0};
    hm_feed *feed;
    assert_int_equal(hm_feed_open(source, &transform, 4, 11, 2, (hm_range){0, 2}, &feed), HM_EDATA);
    assert_non_null(strstr(hm_error_message(), "10 rows, fewer than one batch of 11"));
    hm_error_clear();
    source->close(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_seen_at_most_once_an_epoch),
        cmocka_unit_test(binarisation_draws_what_it_says),
        cmocka_unit_test(base_rates_are_smoothed_means),
        cmocka_unit_test(bad_values_are_refused_with_their_place),
        cmocka_unit_test(too_few_rows_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
