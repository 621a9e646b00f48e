/* Greedy layer-wise training (Hinton, Osindero, Teh 2006; Salakhutdinov & Hinton 2009): layer `how->layer` of a stack
 * is the hidden layer of an RBM whose data are states of the layer below it, drawn upward from the minibatch through
 * the layers that were trained before. Labels, where that RBM has label units, are clamped beside them.
 *
 * A family says with hm_pairs of which RBMs its stack is made, and lists the objective.
 */
#ifndef HM_PRETRAIN_H
#define HM_PRETRAIN_H

#include "boltzmann/gradient.h"

struct hm_pairs {
    int (*count)(const hm_model *model);
    /* The RBM between layers l and l + 1 (l from 0), with the weights of recognition upward; borrows from the model. */
    hm_machine (*at)(const hm_model *model, int l);
    /* Before layer l + 1 is trained. May be NULL. */
    hm_status (*begin)(hm_model *model, int l);
};

/* Objective "pretrain". */
extern const hm_objective hm_pretrain_objective;

/* A positive phase (gradient.h): the lower layer of pair l drawn upward from the shard's rows, and labels; p(upper |
 * lower). context: an int, l. Scratch of hm_pretrain_positive_bytes. */
hm_status hm_pretrain_positive(const hm_model *model, const hm_machine *machine, hm_shard *shard,
                               const hm_states *states, const void *context);
size_t hm_pretrain_positive_bytes(const hm_model *model, int l, int64_t rows);

/* Layer l of rows of data, drawn upward with random numbers of (stream, first_row + row), stream->step times the layers
 * of a stack: into the first columns of x (rows, units of layer l or more), the others 0. Scratch of hm_upward_bytes.
 */
hm_status hm_draw_upward(const hm_model *model, hm_matrix data, int l, const hm_stream *stream, int64_t first_row,
                         hm_arena *scratch, hm_matrix x);
size_t hm_upward_bytes(const hm_model *model, int l, int64_t rows);

#endif
