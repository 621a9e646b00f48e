/* The persistent chains of this rank, in one part for each thread. Chains do not depend on one another, so that parts
 * need not be those of shards: the more rows are multiplied together, the faster (core/product.h). */
#ifndef HM_CHAIN_PARTS_H
#define HM_CHAIN_PARTS_H

#include "infer/likelihood.h"
#include "models/model.h"

typedef struct hm_chain_parts {
    int count; /* 0: there are none */
    const hm_model *model;
    const hm_chain_functions *functions;
    hm_shard *part;              /* (count) without data */
    hm_arena *arena;             /* (count) */
    hm_matrix samples, expected; /* (chains, sample_columns) and (chains, columns), as `move` left them */
} hm_chain_parts;

/* Parts of the chains (rows, functions->columns), the first of which has number first_chain of all. Borrows all but the
 * two matrices. HM_EINTERNAL when memory is lacking; free also then. Not collective. */
hm_status hm_chain_parts_init(hm_chain_parts *parts, const hm_model *model, const hm_chain_functions *functions,
                              const hm_contrast_settings *how, const hm_workers *workers, hm_matrix chains,
                              int64_t first_chain, int64_t all_chains);
void hm_chain_parts_free(hm_chain_parts *parts);

/* All start; all move, as in update number `step`. Not collective. */
hm_status hm_chain_parts_start(hm_chain_parts *parts, const hm_team *team);
hm_status hm_chain_parts_move(hm_chain_parts *parts, const hm_team *team, uint64_t step);

#endif
