/* How well a model that knows classes tells them: error, cross-entropy, confusion. */
#ifndef HM_CLASSIFICATION_H
#define HM_CLASSIFICATION_H

#include "infer/rows.h"

typedef struct hm_classification {
    int64_t rows, classes;
    double error;        /* share of rows of which another class is the most probable (the first of equals) */
    double error_stderr; /* sqrt(error (1 - error) / rows); so 0 when every row is told right */
    double cross_entropy, cross_entropy_stderr; /* mean of -log p(label | v), nats; sd / sqrt(rows) */
    double *confusion; /* (classes, classes) rows with this label (row) that are told as that class (column); owned */
} hm_classification;

/* Of all rows of a labelled source (hm_source_labelled). HM_EUSAGE when the family knows no classes; as hm_sum_rows.
 * Collective. */
hm_status hm_classification_of(const hm_model *model, hm_source *source, const hm_row_transform *transform,
                               const hm_workers *workers, hm_classification *out);
void hm_classification_free(hm_classification *classification);

#endif
