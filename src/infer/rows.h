/* Sums over all rows of a data set, streamed: a rank reads only its own shards' rows, a block at a time, so that memory
 * is bounded whatever the size of the source. The same bits for any number of ranks and threads.
 */
#ifndef HM_ROWS_H
#define HM_ROWS_H

#include "infer/likelihood.h"

enum { HM_ROW_BLOCK = 256 }; /* rows of a shard that are in memory at a time */

/* Turns raw rows of a source into numbers (binarisation ...): raw holds out.rows rows of the source, from row
 * `first_row` on; out: (rows, columns of the source). Called by several threads at once, on different
 * rows; the result for a row must not depend on its neighbours. */
typedef struct hm_row_transform {
    hm_status (*apply)(const void *context, int64_t first_row, const hm_source *source, const void *raw, hm_matrix out);
    const void *context; /* borrowed */
} hm_row_transform;

/* The identity: values as they are (hm_source_values). */
extern const hm_row_transform hm_row_values;

typedef struct hm_row_sums {
    hm_source *source;
    const hm_row_transform *transform;
    const hm_workers *workers;
    const char *what; /* for progress and messages */
    size_t scratch_bytes;
    int64_t sums; /* numbers that are summed */
    /* Adds rows (at most HM_ROW_BLOCK, the first is row `first_row` of the source) to sums. Called by several threads
     * at once, on different rows, with zeroed or partial sums of their own. */
    hm_status (*add)(void *context, hm_matrix rows, int64_t first_row, hm_arena *scratch, double sums[]);
    void *context;
} hm_row_sums;

/* The sums over all rows into sums, (job->sums), on every rank. HM_EDATA when the source is empty or cannot be read,
 * and as `add`. Collective. */
hm_status hm_sum_rows(const hm_row_sums *job, double sums[]);

/* sums (shards, width) of this rank's shards: the first row becomes the sum over the shards of all ranks, in one tree,
 * whatever the ranks (core/comm.h); the others are used up. Collective. */
hm_status hm_sum_shards(const hm_workers *workers, int64_t shards, int64_t width, double sums[]);

/* each (rows, width), of which a rank has filled in the rows of its own shards, becomes every rank's; so do m and
 * classes (rows). Collective. */
hm_status hm_gather_rows(const hm_workers *workers, int64_t rows, int64_t width, double *each);
hm_status hm_gather_matrix(const hm_workers *workers, hm_matrix m);
hm_status hm_gather_classes(const hm_workers *workers, int64_t rows, int32_t *classes);

#endif
