/* Greedy layer-wise training (Hinton, Osindero, Teh 2006; Salakhutdinov & Hinton 2009): layer `how->layer` of a stack
 * is the hidden layer of an RBM whose data are states of the layer below it, drawn upward from the minibatch through
 * the layers that were trained before.
 *
 * A family says with hm_pair_of which RBMs its stack is made of, and makes its objective "pretrain" of the functions
 * here, which have the meaning of those of hm_objective.
 */
#ifndef HM_PRETRAIN_H
#define HM_PRETRAIN_H

#include "boltzmann/gradient.h"

/* The RBM between layers l and l + 1 (l from 0); borrows from the model. */
typedef hm_machine (*hm_pair_of)(const hm_model *model, int l);

/* HM_EUSAGE when there is no such layer. */
hm_status hm_pretrain_check(const hm_model *model, const hm_contrast_settings *how, int hidden_layers, hm_pair_of pair);
size_t hm_pretrain_bytes(const hm_model *model, const hm_contrast_settings *how, int shards, int64_t rows,
                         int64_t chains, hm_pair_of pair);
hm_status hm_pretrain_gradient(const hm_model *model, hm_shard *shard, hm_pair_of pair);

/* Monitors of an RBM layer: "reconstruction_error" and "free_energy", in this order. */
extern const hm_monitor hm_pretrain_monitors[];
hm_status hm_pretrain_monitor(const hm_model *model, hm_shard *shard, hm_pair_of pair);

/* Layer l of rows of data, drawn upward: into x (rows, units of layer l). Scratch of hm_upward_bytes. */
hm_status hm_draw_upward(const hm_model *model, hm_matrix data, int l, hm_pair_of pair, uint64_t seed, uint64_t step,
                         int64_t first_row, hm_arena *scratch, float *x);
size_t hm_upward_bytes(const hm_model *model, int l, hm_pair_of pair, int64_t rows);

#endif
