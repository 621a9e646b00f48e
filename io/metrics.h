/* metrics.h5: what was measured while training, readable while it grows (HDF5 SWMR).
 *
 * A file holds /metrics/step, /metrics/epoch, /metrics/seconds and one float64 dataset a metric, all with one entry a
 * row; `step` is their dimension scale. One writer (rank 0) appends; readers open it with h5py.File(path, swmr=True),
 * or plainly once it is closed. Nothing here is collective: only rank 0 calls it.
 */
#ifndef HM_METRICS_H
#define HM_METRICS_H

#include "core/status.h"

#include <stdint.h>

typedef struct hm_metric {
    const char *name;        /* as in /metrics/NAME */
    const char *unit;        /* "nats"; NULL when it has none */
    const char *description; /* a sentence */
} hm_metric;

typedef struct hm_metrics hm_metrics;

/* A new file, already under its final name and open to readers when this returns; replaces one that is there. The names
 * step, epoch and seconds are taken. HM_EOUTPUT; HM_EINTERNAL for a bad list. */
hm_status hm_metrics_create(const char *path, const hm_metric metrics[], int count, hm_metrics **out);

/* An existing file, for going on after `step`: rows with a later step are cut off (atomically: the file is copied and
 * renamed). The metrics must be those it holds. HM_EDATA, HM_EOUTPUT. */
hm_status hm_metrics_continue(const char *path, const hm_metric metrics[], int count, int64_t step, hm_metrics **out);

/* One row. step: update, not below the last row's; epoch: from 1; seconds: since the start of training, over all
 * sessions; values: (count) in the order of the list, NaN for one that was not measured. On the disk's way and visible
 * to readers when this returns. HM_EOUTPUT. */
hm_status hm_metrics_append(hm_metrics *metrics, int64_t step, int64_t epoch, double seconds, const double values[]);

/* Rows so far. */
int64_t hm_metrics_rows(const hm_metrics *metrics);

/* The values of the last row, in the order of the list; NaN before the first. */
const double *hm_metrics_last(const hm_metrics *metrics);

/* All rows so far onto the disk, so that no checkpoint is newer than they are. HM_EOUTPUT. */
hm_status hm_metrics_sync(hm_metrics *metrics);

/* Closes and frees (also after a failure); the finished file opens like any other. HM_EOUTPUT when the last bytes
 * cannot be written. NULL is allowed. */
hm_status hm_metrics_close(hm_metrics *metrics);

/* All rows of a metric ("step" and "epoch" too) as float64, from a finished or a growing file. The caller frees
 * *values. HM_EDATA. */
hm_status hm_metrics_read(const char *path, const char *name, double **values, int64_t *rows);

#endif
