/* A stack of RBMs of which all but the top one have become directed layers (Hinton, Osindero, Teh 2006):
 *
 *   p(h_l = 1 | h_{l+1}) = sigmoid(W_{l+1} h_{l+1} + g_l)     generation, downward; h_0 = v as its units are, g_0 = b
 *   q(h_{l+1} = 1 | h_l) = sigmoid(h_l R_{l+1} + c_{l+1})     recognition, upward
 *
 * R = W until R is given weights of its own. The top RBM is model->machine, and may have label units.
 */
#ifndef HM_STACK_H
#define HM_STACK_H

#include "boltzmann/machine.h"

struct hm_stack {
    int pairs;
    hm_machine pair[HM_LAYERS_MAX]; /* the RBMs, from the lowest; upward those below the top one have R for W */
    int recognition[HM_LAYERS_MAX]; /* tensors R of the directed layers: pairs but the top one */
    bool untied[HM_LAYERS_MAX];     /* R has been given weights; until then it is W */
};

/* model->stack and model->machine, with their tensors, for `count` >= 2 binary hidden layers above visible units of the
 * given kind; labels: label units of the top RBM. A classifier is declared, allocated,
 * packed and freed along when there are classes and no label units. */
hm_status hm_stack_declare(hm_model *model, const hm_machine_units *kinds, int count, const int64_t hidden[],
                           int64_t labels);
hm_status hm_stack_allocate(hm_model *model);
void hm_stack_free(hm_model *model);
void hm_stack_refresh(hm_model *model);

/* W ~ N(0, init_std^2); the lowest biases = the log-odds of the base rates (Gaussian units: the means), all others 0.
 */
hm_status hm_stack_init(hm_model *model, uint64_t seed, double init_std, const float base_rates[]);

static inline int hm_stack_top(const hm_model *model) { return model->stack->pairs - 1; }

/* Units of layer l without labels. */
int64_t hm_stack_units(const hm_model *model, int l);

/* Scratch for the states of all layers and the inputs of a half-step. */
size_t hm_stack_bytes(const hm_model *model, int64_t rows);

/* For hm_pairs (boltzmann/pretrain.h). */
int hm_stack_count(const hm_model *model);
hm_machine hm_stack_pair(const hm_model *model, int l);

/* The visible side of the top RBM (rows, its units, without labels in the first columns) down to the visible units:
 * layers[l] (rows, units of layer l), l < L - 1, drawn with (stream, first_row + row), stream->step times the layers of
 * a stack; the means of layer 0 too, if wanted. */
hm_status hm_stack_draw_downward(const hm_model *model, hm_matrix from, const hm_stream *stream, int64_t first_row,
                                 hm_arena *scratch, float *const layers[], float *mean);

/* `enter` and `show` of models/model.h. */
hm_status hm_stack_enter(const hm_model *model, hm_matrix v, const hm_stream *stream, int64_t first_row,
                         hm_arena *scratch, hm_matrix states);
hm_status hm_stack_show(const hm_model *model, hm_matrix states, const hm_stream *stream, int64_t first_row,
                        hm_arena *scratch, float *sample, float *mean);

#endif
