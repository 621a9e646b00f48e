/* The gradient of a minibatch: what its shards found, summed in one fixed tree over all shards, whoever has them. */
#ifndef HM_REDUCTION_H
#define HM_REDUCTION_H

#include "core/kernels.h"
#include "infer/likelihood.h"

/* Tensors whose gradient is a product of rows come first in the pack; the others are `direct` (hm_shard). */
typedef struct hm_reduction {
    const hm_layout *layout; /* borrowed, as workers */
    const hm_workers *workers;
    float *grad;                       /* a pack: the sum over shards */
    int shards;                        /* own */
    hm_outer *outer;                   /* (shards, tensors) rows whose products are the gradient */
    float *direct;                     /* (shards, direct_size) */
    int64_t direct_begin, direct_size; /* their place in the pack */
    hm_outer_leaf *leaves;             /* (shards) of the tensor at hand */
} hm_reduction;

/* HM_EINTERNAL without memory. Free it, also after a failure. Not collective. */
hm_status hm_reduction_init(hm_reduction *reduction, const hm_layout *layout, const hm_workers *workers, int shards);
void hm_reduction_free(hm_reduction *reduction);

/* Where own shard `local` leaves its part. */
hm_outer *hm_reduction_outer(const hm_reduction *reduction, int local);
float *hm_reduction_direct(const hm_reduction *reduction, int local);

/* Begins to sum those tensors that are learnt, (tensors), and all direct ones, into grad: over own shards, and, piece
 * by piece as they are made, over ranks in the background, until comm->finish. Collective. */
hm_status hm_reduce_gradient(hm_reduction *reduction, const bool learns[]);

#endif
