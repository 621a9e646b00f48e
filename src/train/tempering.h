/* Parallel tempering: every persistent chain is a ladder of replicas along the annealing path of the family, from the
 * base distribution (beta = 0), which mixes at once, to the model (beta = 1). After each Gibbs step neighbours may
 * exchange their states, so that a state that is far from the data's modes can be left by way of the warm end
 * (Desjardins, Courville, Bengio, Vincent, Delalleau 2010; Cho, Raiko, Ilin 2010). Swaps look at the family's states
 * alone (of an RBM the visible units), the others summed out.
 *
 * The ladder adapts: the gap between two temperatures grows when their swaps are accepted more often than the mean of
 * all pairs, and shrinks otherwise (compare Desjardins, Courville, Bengio 2010). Replicas of a chain live in one shard;
 * only counts of swaps are summed over shards.
 */
#ifndef HM_TEMPERING_H
#define HM_TEMPERING_H

#include "models/model.h"

enum { HM_TEMPERATURES_MAX = 64 };

typedef struct hm_tempering {
    int count;                         /* temperatures; 0: no tempering */
    double adapt;                      /* how fast gaps follow the swaps; 0: never */
    double betas[HM_TEMPERATURES_MAX]; /* 1 = betas[0] > betas[1] > ... > betas[count - 1] = 0 */
    double rates[HM_TEMPERATURES_MAX]; /* (count - 1) running share of accepted swaps between m and m + 1 */
} hm_tempering;

/* What one shard counts in an update: tried and accepted swaps of each pair, as float64 for the sums over shards. */
enum { HM_SWAP_COUNTS = 2 * (HM_TEMPERATURES_MAX - 1) };

/* Evenly spaced temperatures. */
void hm_tempering_init(hm_tempering *tempering, int count, double adapt);

/* Columns of a chain: the states of its replicas, from beta = 1 down. */
int64_t hm_tempering_columns(const hm_tempering *tempering, const hm_model *model);

/* Scratch of a shard with so many chains, in which the samples live too. */
size_t hm_tempering_bytes(const hm_tempering *tempering, const hm_model *model, int64_t chains);

/* Replicas drawn from the base distribution into shard->chains. */
hm_status hm_tempering_start(const hm_tempering *tempering, const hm_model *model, hm_shard *shard);

/* shard->how->k Gibbs steps of all replicas of this shard's chains, each followed by swaps of every other pair, with
 * random numbers of HM_RNG_CHAIN_* and HM_RNG_SWAP. shard->samples: (chains, state_columns) the states at beta = 1.
 * counts is zeroed first. Not collective. */
hm_status hm_tempering_move(const hm_tempering *tempering, const hm_model *model, hm_shard *shard,
                            double counts[HM_SWAP_COUNTS]);

/* Moves rates and betas by the counts of all shards. */
void hm_tempering_adapt(hm_tempering *tempering, const double counts[HM_SWAP_COUNTS]);

#endif
