/* What an update makes of each row and each persistent chain alone: rows made ready, their hidden states inferred,
 * chains moved. A rank does it in one part for each thread. Rows do not depend on one another, so that parts need not
 * be shards: the more rows are multiplied together, the faster (core/product.h).
 */
#ifndef HM_PARTS_H
#define HM_PARTS_H

#include "infer/likelihood.h"
#include "models/model.h"
#include "train/feed.h"

typedef struct hm_parts {
    /* Set by the caller, who owns what they point to. */
    const hm_model *model;
    const hm_objective *objective;
    const hm_contrast_settings *how;
    const hm_feed *feed;
    hm_range rows;       /* of the minibatch: those of the own shards */
    hm_matrix chains;    /* those that objective->chains moves, one a row; without rows: none */
    int64_t first_chain; /* number of the first one among all */
    int64_t all_chains;
    /* Made by hm_parts_init. */
    int count;
    hm_shard *part;              /* (count) */
    hm_arena *arena;             /* (count) */
    hm_matrix data;              /* (rows, visible + classes) */
    hm_matrix inferred;          /* (rows, columns of objective->inference); none when there are none */
    hm_matrix samples, expected; /* (chains, sample_columns) and (chains, columns), as `move` left them */
} hm_parts;

/* HM_EINTERNAL when memory is lacking; free also then. Not collective. */
hm_status hm_parts_init(hm_parts *parts, const hm_workers *workers);
void hm_parts_free(hm_parts *parts);

/* All chains start. Not collective. */
hm_status hm_parts_start(hm_parts *parts, const hm_team *team);

/* The rows that the feed advanced to last, their hidden states, and chains that have moved, as in update number `step`;
 * in an adversary's turn chains stay. Not collective. */
hm_status hm_parts_prepare(hm_parts *parts, const hm_team *team, uint64_t step, bool adversary);

#endif
