/* Samples of models with Gibbs steps: independent chains from the data's base rates. */
#ifndef HM_SAMPLING_H
#define HM_SAMPLING_H

#include "infer/likelihood.h"

/* Room for what becomes of the chains, the caller's; a sample is the end of one chain. */
typedef struct hm_sampling {
    int64_t steps;         /* of each chain */
    bool clamped;          /* label units are kept at `labels`: samples of p(v | label) */
    hm_matrix states;      /* (samples, state_columns) */
    hm_matrix rows, means; /* (samples, visible) the visible units of those, and what they were drawn from */
    int32_t *labels;       /* (samples) the class of each; NULL for models without label units */
} hm_sampling;

/* Runs the chains; every shard moves its own, and all ranks have all of them in the end. Random numbers by sample, so
 * that the first of many are those of few. The same on any ranks and threads. Collective. */
hm_status hm_sample_chains(const hm_model *model, const hm_workers *workers, const hm_sampling *samples);

#endif
