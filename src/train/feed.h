/* Minibatches: which rows a shard sees at each update, and as what numbers.
 *
 * The data is cut into one contiguous part a shard, in proportion to the shard's share of the batch, so that every
 * shard has rows for the same number of updates. Each epoch a shard goes through its part window by window, in a random
 * order of windows and a random order of rows inside each; a rank reads only its own shards' rows and holds one window
 * of each, so data need not fit in memory. Order and binarisation are functions of (seed, epoch, row): the number of
 * ranks does not enter. What an epoch leaves over (rows modulo batch) differs from epoch to epoch.
 */
#ifndef HM_FEED_H
#define HM_FEED_H

#include "core/comm.h"
#include "core/matrix.h"
#include "core/settings.h"
#include "core/source.h"

typedef enum hm_binarize {
    HM_BINARIZE_NONE,      /* values as they are */
    HM_BINARIZE_THRESHOLD, /* 1 where value >= threshold */
    HM_BINARIZE_FIXED,     /* one Bernoulli draw with p = value, the same for ever */
    HM_BINARIZE_DYNAMIC,   /* a new draw every epoch */
} hm_binarize;

typedef struct hm_data_settings {
    char *file;
    int binarize; /* hm_binarize */
    double threshold;
    int64_t window; /* rows of a shard that are shuffled together, and held in memory */
} hm_data_settings;

extern const hm_settings_table hm_data_table; /* section "data" */

typedef enum hm_split { HM_TRAIN, HM_TEST } hm_split;
extern const char *const hm_split_names[]; /* as the groups of a data file are called */

/* How raw rows become numbers. */
typedef struct hm_transform {
    const char *file; /* where the rows come from, for messages; borrowed */
    int binarize;     /* hm_binarize */
    float threshold;
    uint64_t seed;
    hm_split split;
    bool real;             /* values may be any; else they must lie in [0, 1] */
    int64_t group, labels; /* columns of a group of which one is 1; 0: none, -1: all but the last ones, of labels */
} hm_transform;

/* One raw row of a source, its number `row` in its split, as float32 into out (columns). Not collective. */
void hm_transform_row(const hm_transform *transform, const hm_source *source, const void *raw, int64_t row,
                      int64_t epoch, float *out);

/* The same row as expectations: thresholded, or its values. HM_EDATA naming file, row and column of a value outside [0,
 * 1] (before it is thresholded), unless the transform is of real values, or the row and columns of a group in which
 * not exactly one value is 1 and the others are 0. Not collective. */
hm_status hm_transform_rates(const hm_transform *transform, const hm_source *source, const void *raw, int64_t row,
                             float *out);

/* Does the transform leave a value between 0 and 1 in a row of binary units? Such a row has no probability under them:
 * what stands for its log-probability is an expectation over rows of 0 and 1. out: as hm_transform_rates gave it. */
bool hm_transform_is_grey(const hm_transform *transform, int64_t columns, const float *out);

typedef struct hm_feed hm_feed;

/* HM_EDATA, naming the file, when the source has fewer rows than a batch. Not collective. */
hm_status hm_feed_check(const hm_source *source, const char *file, int64_t batch);

/* A feed for the shards in `own`; borrows source. HM_EDATA when the source has fewer rows than a batch. Not collective.
 */
hm_status hm_feed_open(hm_source *source, const hm_transform *transform, int64_t window, int64_t batch, int shards,
                       hm_range own, hm_feed **out);
void hm_feed_close(hm_feed *feed);

/* Updates in an epoch: rows / batch, rounded down. */
int64_t hm_feed_steps(const hm_feed *feed);

/* Makes the rows of update `step` of `epoch` ready, reading windows as needed. One thread. Not collective. */
hm_status hm_feed_advance(hm_feed *feed, int64_t epoch, int64_t step);

/* Rows of the minibatch made ready last, from its row first_row on, into out: (rows, columns); all must be of own
 * shards. Thread-safe. */
void hm_feed_rows(const hm_feed *feed, int64_t first_row, hm_matrix out);

/* The fingerprint of a source, from the sum (modulo 2^32) of those of all its rows as raw elements: a number that
 * differs when any value, the order of rows, or what an element stands for does (32 bits; no defence against malice).
 * The same on any number of ranks. Not collective. */
uint32_t hm_rows_fingerprint(const hm_source *source, int64_t first_row, int64_t count, const void *raw);
uint32_t hm_fingerprint(const hm_source *source, uint32_t rows);

/* One pass over all rows. rates: (columns) the mean of each column, smoothed to (sum + 1) / (rows + 2), so that it lies
 * inside (0, 1), or, of real values, not smoothed; rows are counted by probability where binarisation draws.
 * fingerprint: hm_fingerprint. grey: how many rows hm_transform_is_grey tells of. HM_EDATA as hm_transform_rates.
 * Collective; all shards are covered by the ranks' own ones. */
hm_status hm_feed_survey(hm_feed *feed, hm_comm *comm, float rates[], uint32_t *fingerprint, int64_t *grey);

#endif
