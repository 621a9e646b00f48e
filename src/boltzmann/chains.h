/* Gibbs chains of a machine in two blocks, even and odd layers. A chain is a state of the odd side. */
#ifndef HM_MACHINE_CHAINS_H
#define HM_MACHINE_CHAINS_H

#include "boltzmann/sides.h"

/* As hm_chain_functions (models/model.h) of any machine: the model's or a pair of its layers. Chains start from
 * p(x_odd | x_even), the even layers drawn from their running means (the visible ones from the base rates). */
int64_t hm_machine_chain_columns(const hm_machine *machine);
int64_t hm_machine_sample_columns(const hm_machine *machine);
size_t hm_machine_chain_bytes(const hm_machine *machine, int64_t chains);
hm_status hm_machine_start_chains(const hm_model *model, const hm_machine *machine, hm_shard *part);
hm_status hm_machine_move_chains(const hm_model *model, const hm_machine *machine, hm_shard *part);

/* how->k Gibbs steps of odd states, in place, the first of which is chain number `first`; the last even states, and
 * p(x_odd | those), into the layers of `last`. Random numbers of (HM_RNG_CHAIN_*, the shard's step). */
hm_status hm_machine_run_chains(const hm_model *model, const hm_machine *machine, const hm_shard *shard,
                                hm_states *chains, int64_t first, const hm_states *last);

/* Those of model->machine. */
extern const hm_chain_functions hm_likelihood_chains;

#endif
