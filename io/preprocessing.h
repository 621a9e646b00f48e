/* What was done to the rows of a data file before they were written: z = A (x - mean), kept beside them so that it can
 * be undone, and so that densities can be told in the units of x: log p(x) = log p(z) + log_det.
 *
 *     /preprocessing            attributes method ("standardize", "pca", "zca"), log_det
 *     /preprocessing/mean       (original) float64
 *     /preprocessing/scale      (original) of standardize: A is diagonal
 *     /preprocessing/matrix     (visible, original) A, and /preprocessing/inverse (original, visible), of pca and zca
 */
#ifndef HM_PREPROCESSING_H
#define HM_PREPROCESSING_H

#include "io/import.h"

typedef struct hm_preprocessing {
    const char *method;
    int64_t original, visible; /* columns of x and of z */
    double *mean;              /* (original) owned, as all of these */
    double *scale;             /* (original), or NULL */
    double *matrix, *inverse;  /* (visible, original), (original, visible); NULL with scale */
    double log_det;            /* log |det A|, nats; NaN when z has fewer columns than x */
} hm_preprocessing;

void hm_preprocessing_free(hm_preprocessing *preprocessing);

/* A source of z, float32, from one of x, which it takes over when it succeeds; borrows the preprocessing. */
hm_status hm_preprocessed(const hm_preprocessing *preprocessing, hm_source *rows, hm_source **out);

/* x of a row of z. */
void hm_preprocessing_undo(const hm_preprocessing *preprocessing, const float *z, float *x);

/* That of a data file; *found is false when it has none. HM_EDATA. Not collective. */
hm_status hm_preprocessing_read(const char *path, hm_preprocessing *out, bool *found);

/* hm_dataset_write with the preprocessing of both splits. */
hm_status hm_preprocessed_write(const char *path, hm_import *train, hm_import *test,
                                const hm_preprocessing *preprocessing);

#endif
