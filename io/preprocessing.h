/* What was done to the rows of a data file before they were written: z = A (x - mean), kept beside them so that it can
 * be undone, and beside the parameters of a model that was trained on such rows. Densities can be told in the units of
 * x: log p(x) = log p(z) + log_det.
 *
 *     /preprocessing            attributes method ("standardize", "pca", "zca"), log_det
 *     /preprocessing/mean       (original) float64
 *     /preprocessing/scale      (original) of standardize: A is diagonal; 0 of a column that was constant
 *     /preprocessing/matrix     (visible, original) A, and /preprocessing/inverse (original, visible), of pca and zca
 */
#ifndef HM_PREPROCESSING_H
#define HM_PREPROCESSING_H

#include "io/import.h"
#include "io/store.h"

typedef struct hm_preprocessing {
    const char *method;
    int64_t original, visible; /* columns of x and of z */
    double *mean;              /* (original) owned, as all of these */
    double *scale;             /* (original), or NULL */
    double *matrix, *inverse;  /* (visible, original), (original, visible); NULL with scale */
    double log_det;            /* log |det A|, nats; NaN when z does not tell all of x */
} hm_preprocessing;

void hm_preprocessing_free(hm_preprocessing *preprocessing);

/* A source of z, float32, from one of x, which it takes over when it succeeds; borrows the preprocessing. */
hm_status hm_preprocessed(const hm_preprocessing *preprocessing, hm_source *rows, hm_source **out);

/* How many of the rows read so far from such a source were not what the transform keeps: another value in a column that
 * it makes 0. */
int64_t hm_preprocessed_lost(const hm_source *source);

/* x of a row of z; a column that was constant is its mean again. */
void hm_preprocessing_undo(const hm_preprocessing *preprocessing, const float *z, float *x);

/* That of a data file, or of the rows that a model was trained on (format: store.h); *found is false when it has none.
 * HM_EDATA. Not collective. */
hm_status hm_preprocessing_read(const char *path, const hm_format *format, hm_preprocessing *out, bool *found);

/* Bit for bit? */
bool hm_preprocessing_same(const hm_preprocessing *a, const hm_preprocessing *b);

/* Into a store that is being written. HM_EOUTPUT. */
hm_status hm_preprocessing_store(hm_store *store, const hm_preprocessing *preprocessing);

/* hm_dataset_write with the preprocessing of both splits. */
hm_status hm_preprocessed_write(const char *path, hm_import *train, hm_import *test,
                                const hm_preprocessing *preprocessing);

#endif
