/* What an update of this rank computes in: one shard of minibatch and chains each, with its scratch; and the chains. */
#ifndef HM_BUFFERS_H
#define HM_BUFFERS_H

#include "train/contrast.h"
#include "train/parts.h"
#include "train/reduction.h"

struct contrast_buffers {
    hm_reduction reduction; /* of the gradient */
    hm_shard *shard;        /* (shards) */
    hm_arena *arena;        /* (shards) */
    double *monitors;       /* (shards, HM_MONITORS_MAX) */
    double *swaps;          /* (shards, HM_SWAP_COUNTS) */
    hm_parts parts;         /* of the own rows; and of chains, but not with parallel tempering */
    int stretches[2];       /* of a gradient, and of the adversary's ... */
    int64_t exchange_size;  /* ... and numbers exchanged between two of them */
    double *exchange;       /* (shards, exchange_size) */
};

/* Makes contrast->buffers and contrast->chains, and starts the chains, for a model that has parameters. HM_EINTERNAL
 * without memory; free them also then. Not collective. */
hm_status hm_buffers_make(hm_contrast *contrast);
void hm_buffers_free(hm_contrast *contrast);

#endif
