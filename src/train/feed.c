#include "train/feed.h"

#include "core/kernels.h"
#include "core/memory.h"
#include "infer/numeric.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const binarize_names[] = {"none", "threshold", "fixed", "dynamic", NULL};

static const hm_setting entries[] = {
    {.key = "file",
     .type = HM_SET_TEXT,
     .offset = offsetof(hm_data_settings, file),
     .free = true, /* it may have moved; hm_feed_survey knows its contents again */
     .describe = "data file, as `harmonium import` writes it; relative to the folder of the command"},
    {.key = "binarize",
     .type = HM_SET_CHOICE,
     .offset = offsetof(hm_data_settings, binarize),
     .choices = binarize_names,
     .fallback = "none",
     .describe = "none, threshold, fixed (one draw) or dynamic (a new draw every epoch)"},
    {.key = "threshold",
     .type = HM_SET_REAL,
     .offset = offsetof(hm_data_settings, threshold),
     .min = 0,
     .max = 1,
     .fallback = "0.5",
     HM_NEEDS(binarize, HM_BINARIZE_THRESHOLD),
     .describe = "with binarize: threshold, 1 where the value is at least this"},
    {.key = "window",
     .type = HM_SET_INT,
     .offset = offsetof(hm_data_settings, window),
     .min = 1,
     .max = 1 << 23,
     .fallback = "8192",
     .describe = "rows of a shard that are shuffled together and held in memory"},
    {.key = NULL},
};

const hm_settings_table hm_data_table = {"data", entries};

/* ---- rows to numbers -------------------------------------------------------------------------------------------- */

static void apply_threshold(const hm_transform *transform, int64_t columns, float *values)
{
    for (int64_t c = 0; c < columns; c++) values[c] = values[c] >= transform->threshold ? 1.0f : 0.0f;
}

void hm_transform_row(const hm_transform *transform, const hm_source *source, const void *raw, int64_t row,
                      int64_t epoch, float *out)
{
    int64_t columns = source->columns;
    hm_source_values(source, columns, raw, out);
    if (transform->binarize == HM_BINARIZE_NONE) return;
    if (transform->binarize == HM_BINARIZE_THRESHOLD) {
        apply_threshold(transform, columns, out);
        return;
    }
    uint64_t draw = transform->binarize == HM_BINARIZE_DYNAMIC ? (uint64_t)epoch + 1 : 0;
    hm_stream stream = {transform->seed, HM_RNG_BINARIZE, draw * 2 + (uint64_t)transform->split};
    hm_kernels_best()->bernoulli(columns, out, &stream, row, out);
}

/* ---- shards ----------------------------------------------------------------------------------------------------- */

typedef struct shard_feed {
    int shard;
    hm_range part; /* its rows of the data */
    int64_t rows;  /* of one minibatch */
    int64_t windows;
    int64_t order_epoch; /* for which window_order holds, or -1 */
    int64_t *window_order;
    int64_t window;       /* the one in memory, or -1 */
    int64_t window_epoch; /* for which row_order holds */
    int64_t *row_order;
    unsigned char *raw;   /* the window's rows */
    unsigned char *batch; /* the minibatch's raw rows */
    int64_t *batch_rows;  /* and their numbers in the data */
} shard_feed;

struct hm_feed {
    hm_source *source;
    hm_transform transform;
    int64_t batch, epoch;
    size_t row_bytes;
    int64_t first, count; /* own shards */
    int64_t first_row;    /* place of their first row in a minibatch */
    shard_feed *own;
};

static hm_status open_shard(hm_feed *feed, int shard, int shards, int64_t window)
{
    shard_feed *mine = &feed->own[shard - feed->first];
    int64_t rows = feed->source->rows, batch = feed->batch;
    hm_range share = hm_part(batch, shards, shard);
    /* rows * share / batch without overflow, as in hm_part */
    mine->part.begin = rows / batch * share.begin + rows % batch * share.begin / batch;
    mine->part.end = rows / batch * share.end + rows % batch * share.end / batch;
    mine->shard = shard;
    mine->rows = hm_count(share);
    mine->windows = (hm_count(mine->part) + window - 1) / window;
    mine->window = mine->order_epoch = -1;
    int64_t most = (hm_count(mine->part) + mine->windows - 1) / mine->windows;
    HM_TRY(hm_alloc(&mine->window_order, mine->windows, sizeof(int64_t), "the order of windows"));
    HM_TRY(hm_alloc(&mine->row_order, most, sizeof(int64_t), "the order of rows"));
    HM_TRY(hm_alloc(&mine->raw, most, feed->row_bytes, "a window of data (lower data.window)"));
    HM_TRY(hm_alloc(&mine->batch, mine->rows, feed->row_bytes, "a minibatch"));
    return hm_alloc(&mine->batch_rows, mine->rows, sizeof(int64_t), "a minibatch's row numbers");
}

hm_status hm_feed_check(const hm_source *source, const char *file, int64_t batch)
{
    HM_REQUIRE(source->rows >= batch, HM_EDATA,
               "%s: the training data has %lld rows, fewer than one batch of %lld (train.batch)", file,
               (long long)source->rows, (long long)batch);
    return HM_OK;
}

hm_status hm_feed_open(hm_source *source, const hm_transform *transform, int64_t window, int64_t batch, int shards,
                       hm_range own, hm_feed **out)
{
    *out = NULL;
    HM_TRY(hm_feed_check(source, transform->file, batch));
    hm_feed *feed;
    HM_TRY(hm_alloc(&feed, 1, sizeof *feed, "the data feed"));
    *feed = (hm_feed){
        .source = source, .transform = *transform, .batch = batch, .first = own.begin, .count = hm_count(own)};
    feed->first_row = hm_part(batch, shards, own.begin).begin;
    feed->row_bytes = (size_t)source->columns * hm_type_size(source->type);
    hm_status status = hm_alloc(&feed->own, feed->count, sizeof(shard_feed), "the data feed");
    for (int64_t shard = own.begin; status == HM_OK && shard < own.end; shard++)
        status = open_shard(feed, (int)shard, shards, window);
    if (status != HM_OK) {
        hm_feed_close(feed);
        return status;
    }
    *out = feed;
    return HM_OK;
}

void hm_feed_close(hm_feed *feed)
{
    if (!feed) return;
    for (int64_t shard = 0; feed->own && shard < feed->count; shard++) {
        shard_feed *mine = &feed->own[shard];
        free(mine->window_order);
        free(mine->row_order);
        free(mine->raw);
        free(mine->batch);
        free(mine->batch_rows);
    }
    free(feed->own);
    free(feed);
}

int64_t hm_feed_steps(const hm_feed *feed) { return feed->source->rows / feed->batch; }

/* ---- one update's rows ------------------------------------------------------------------------------------------ */

/* Random orders of one shard: its windows take row 0, the rows of window w row w + 1, of its own block of the stream.
 */
enum { ORDERS_A_SHARD = 1 << 24 };

static int64_t order_row(const shard_feed *mine, int64_t order)
{
    return (int64_t)mine->shard * ORDERS_A_SHARD + order;
}

static hm_status load_window(hm_feed *feed, shard_feed *mine, int64_t window, int64_t epoch)
{
    hm_range rows = hm_part(hm_count(mine->part), mine->windows, window);
    if (mine->window != window) {
        mine->window = -1; /* until it is whole */
        HM_TRY(feed->source->read(feed->source, mine->part.begin + rows.begin, hm_count(rows), mine->raw));
    } else if (mine->window_epoch == epoch) {
        return HM_OK;
    }
    hm_stream stream = {feed->transform.seed, HM_RNG_SHUFFLE, (uint64_t)epoch};
    hm_random_permutation(&stream, order_row(mine, 1 + window), hm_count(rows), mine->row_order);
    mine->window = window;
    mine->window_epoch = epoch;
    return HM_OK;
}

static hm_status advance_shard(hm_feed *feed, shard_feed *mine, int64_t epoch, int64_t step)
{
    if (mine->order_epoch != epoch) {
        hm_stream stream = {feed->transform.seed, HM_RNG_SHUFFLE, (uint64_t)epoch};
        hm_random_permutation(&stream, order_row(mine, 0), mine->windows, mine->window_order);
        mine->order_epoch = epoch;
    }
    int64_t place = step * mine->rows; /* in the epoch's sequence of rows */
    int64_t filled = 0;
    for (int64_t turn = 0; turn < mine->windows && filled < mine->rows; turn++) {
        int64_t window = mine->window_order[turn];
        hm_range rows = hm_part(hm_count(mine->part), mine->windows, window);
        if (place < hm_count(rows)) HM_TRY(load_window(feed, mine, window, epoch));
        for (; place < hm_count(rows) && filled < mine->rows; place++, filled++) {
            int64_t row = mine->row_order[place];
            mine->batch_rows[filled] = mine->part.begin + rows.begin + row;
            memcpy(mine->batch + (size_t)filled * feed->row_bytes, mine->raw + (size_t)row * feed->row_bytes,
                   feed->row_bytes);
        }
        place -= hm_count(rows);
    }
    return HM_OK;
}

hm_status hm_feed_advance(hm_feed *feed, int64_t epoch, int64_t step)
{
    feed->epoch = epoch;
    for (int64_t shard = 0; shard < feed->count; shard++) HM_TRY(advance_shard(feed, &feed->own[shard], epoch, step));
    return HM_OK;
}

void hm_feed_rows(const hm_feed *feed, int64_t first_row, hm_matrix out)
{
    const shard_feed *mine = feed->own;
    int64_t place = first_row - feed->first_row; /* among the rows of *mine */
    for (int64_t row = 0; row < out.rows; row++, place++) {
        while (place >= mine->rows) place -= (mine++)->rows;
        hm_transform_row(&feed->transform, feed->source, mine->batch + (size_t)place * feed->row_bytes,
                         mine->batch_rows[place], feed->epoch, out.at + row * out.columns);
    }
}

/* ---- base rates ------------------------------------------------------------------------------------------------- */

const char *const hm_split_names[] = {[HM_TRAIN] = "train", [HM_TEST] = "test"};

/* Of each group of softmax units one is 1 and the others are 0: counted, as a sum with a tolerance would pass other
 * rows of wide groups. */
static hm_status check_groups(const hm_transform *transform, int64_t columns, const float *values, int64_t row)
{
    int64_t own = columns - transform->labels, group = transform->group < 0 ? own : transform->group;
    for (int64_t begin = 0; group > 0 && begin + group <= own; begin += group) {
        int64_t ones = 0, others = 0;
        for (int64_t c = begin; c < begin + group; c++) {
            ones += values[c] == 1.0f;
            others += values[c] != 1.0f && values[c] != 0.0f;
        }
        HM_REQUIRE(ones == 1 && others == 0, HM_EDATA,
                   "%s: %s/x row %lld: columns %lld to %lld hold %lld ones and %lld values between 0 and 1; softmax "
                   "units have exactly one 1 in each group, and 0 elsewhere (model.visible_group)",
                   transform->file, hm_split_names[transform->split], (long long)row, (long long)begin,
                   (long long)(begin + group - 1), (long long)ones, (long long)others);
    }
    return HM_OK;
}

hm_status hm_transform_rates(const hm_transform *transform, const hm_source *source, const void *raw, int64_t row,
                             float *out)
{
    int64_t columns = source->columns;
    hm_source_values(source, columns, raw, out);
    for (int64_t column = 0; column < columns; column++)
        HM_REQUIRE(transform->real || (out[column] >= 0.0f && out[column] <= 1.0f), HM_EDATA,
                   "%s: %s/x row %lld, column %lld is %g; binary units need values in [0, 1] (import 0..255 with "
                   "--scale 1/255)",
                   transform->file, hm_split_names[transform->split], (long long)row, (long long)column,
                   (double)out[column]);
    if (transform->binarize == HM_BINARIZE_THRESHOLD) apply_threshold(transform, columns, out);
    return check_groups(transform, columns, out, row);
}

bool hm_transform_is_grey(const hm_transform *transform, int64_t columns, const float *out)
{
    if (transform->real || transform->binarize != HM_BINARIZE_NONE) return false;
    for (int64_t column = 0; column < columns; column++)
        if (out[column] != 0 && out[column] != 1) return true;
    return false;
}

/* 32 bits of a row and its number, by multiplication and folding of its 8-byte words (as FNV does with bytes). */
static uint32_t row_hash(uint64_t row, const unsigned char *bytes, size_t size)
{
    const uint64_t prime = 0x9e3779b97f4a7c15u;
    uint64_t hash = (row + 1) * prime;
    for (size_t at = 0; at < size; at += 8) {
        uint64_t word = 0;
        memcpy(&word, bytes + at, size - at < 8 ? size - at : 8);
        hash = (hash ^ word) * prime;
        hash ^= hash >> 32;
    }
    return (uint32_t)hash;
}

uint32_t hm_rows_fingerprint(const hm_source *source, int64_t first_row, int64_t count, const void *raw)
{
    size_t row_bytes = (size_t)source->columns * hm_type_size(source->type);
    uint32_t hashes = 0;
    for (int64_t row = 0; row < count; row++)
        hashes +=
            row_hash((uint64_t)(first_row + row), (const unsigned char *)raw + (size_t)row * row_bytes, row_bytes);
    return hashes;
}

uint32_t hm_fingerprint(const hm_source *source, uint32_t rows)
{
    double usual = source->type == HM_UINT8 ? 255 : 1;
    return source->unit == usual ? rows : rows ^ row_hash(0, (const unsigned char *)&source->unit, sizeof source->unit);
}

/* What a pass adds up beside the columns. */
enum { HASHES, GREY_ROWS, OTHER_SUMS };

/* Adds the rows of a shard's part to sums: (columns), the sum of the rows' hashes modulo 2^32, the grey rows. */
static hm_status add_part(hm_feed *feed, const shard_feed *mine, unsigned char *raw, int64_t block, float *row,
                          double *sums)
{
    const hm_source *source = feed->source;
    uint32_t hashes = 0;
    for (int64_t begin = mine->part.begin; begin < mine->part.end; begin += block) {
        int64_t count = mine->part.end - begin < block ? mine->part.end - begin : block;
        HM_TRY(source->read(feed->source, begin, count, raw));
        for (int64_t r = 0; r < count; r++) {
            const unsigned char *bytes = raw + (size_t)r * feed->row_bytes;
            HM_TRY(hm_transform_rates(&feed->transform, source, bytes, begin + r, row));
            for (int64_t c = 0; c < source->columns; c++) sums[c] += (double)row[c];
            sums[source->columns + GREY_ROWS] += hm_transform_is_grey(&feed->transform, source->columns, row);
            hashes += hm_rows_fingerprint(source, begin + r, 1, bytes);
        }
    }
    sums[source->columns + HASHES] = hashes;
    return HM_OK;
}

static hm_status sum_parts(hm_feed *feed, double *sums)
{
    enum { BLOCK = 256 };
    int64_t columns = feed->source->columns, size = columns + OTHER_SUMS;
    unsigned char *raw = NULL;
    float *row = NULL;
    hm_status status = hm_alloc(&raw, BLOCK, feed->row_bytes, "a block of rows");
    if (status == HM_OK) status = hm_alloc(&row, columns, sizeof(float), "a row");
    for (int64_t shard = 0; status == HM_OK && shard < feed->count; shard++)
        status = add_part(feed, &feed->own[shard], raw, BLOCK, row, sums + shard * size);
    free(raw);
    free(row);
    hm_tree_sum(sums, feed->count, size);
    return status;
}

hm_status hm_feed_survey(hm_feed *feed, hm_comm *comm, float rates[], uint32_t *fingerprint, int64_t *grey)
{
    int64_t columns = feed->source->columns;
    double *sums;
    hm_status status = hm_alloc(&sums, feed->count * (columns + OTHER_SUMS), sizeof(double), "sums of the columns");
    if (status == HM_OK) status = sum_parts(feed, sums);
    status = comm->agree(comm, status);
    if (status == HM_OK) status = comm->reduce_double(comm, sums, columns + OTHER_SUMS);
    for (int64_t c = 0; status == HM_OK && c < columns; c++)
        rates[c] = (float)(feed->transform.real ? sums[c] / (double)feed->source->rows
                                                : (sums[c] + 1.0) / ((double)feed->source->rows + 2.0));
    if (status == HM_OK) /* exact: few 32-bit numbers */
        *fingerprint = hm_fingerprint(feed->source, (uint32_t)(uint64_t)sums[columns + HASHES]);
    if (status == HM_OK) *grey = (int64_t)sums[columns + GREY_ROWS];
    free(sums);
    return status;
}
