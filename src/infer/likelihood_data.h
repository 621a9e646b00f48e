/* The free energy of every row of a data set, streamed: mean log p(v) = -(mean free energy) - log Z. */
#ifndef HM_LIKELIHOOD_DATA_H
#define HM_LIKELIHOOD_DATA_H

#include "infer/rows.h"

typedef struct hm_mean_energy {
    double mean;      /* mean of F(v) over the rows, nats */
    double std_error; /* sd of F(v), with n - 1, over sqrt(rows); +inf for one row */
    int64_t rows;
} hm_mean_energy;

/* Mean free energy of all rows of `source`, each passed through `transform`; each: NULL, or (rows), receives them all,
 * on every rank. Rows are cut into workers->shards parts, of which a rank reads only its own, a block at a time: memory
 * is bounded whatever the size of the source. The same bits for any number of ranks and threads. HM_EDATA when the
 * source is empty, has another width than the model or cannot be read; HM_ENUMERIC, naming the row, when a free energy
 * is not finite. Collective. */
hm_status hm_mean_free_energy(const hm_model *model, hm_source *source, const hm_row_transform *transform,
                              const hm_workers *workers, double *each, hm_mean_energy *out);

#endif
