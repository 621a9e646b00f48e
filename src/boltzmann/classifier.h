/* The feed-forward network that a stack of hidden layers unrolls to, with a softmax over classes on top:
 *
 *   x_0 = v,   x_l = sigmoid([x_{l-1}, m_{l+1}] N_l + e_l),   p(y | v) = softmax(x_L U + d)
 *
 * m_{l+1}, in a DBM, are the mean-field marginals of the layer above, given as extra inputs (Salakhutdinov & Hinton
 * 2009, section 4): with N_l = [W_l; W_{l+1}'] at the start, x_l is what mean field would say next. Families without
 * them have none. The network has weights of its own, so that fine-tuning leaves the generative model as it was.
 *
 * Trained by back-propagation of sum log p(y | v) (Rumelhart, Hinton, Williams 1986), with dropout (Srivastava et al.
 * 2014) and a limit on the norm of the weights into each unit.
 */
#ifndef HM_CLASSIFIER_H
#define HM_CLASSIFIER_H

#include "boltzmann/sides.h"

/* Marginals of hidden layers 2 .. L of rows v, into states (which have room for all layers). */
typedef hm_status (*hm_marginals)(const hm_model *model, hm_matrix v, hm_arena *scratch, hm_states *states);

/* The tensors that hidden layers 1 .. L start from: weights[l] of the stack's W_l, biases[l]. Returns variances that
 * rows of the lowest weights are to be divided by, or NULL. */
typedef const float *(*hm_classifier_sources)(const hm_model *model, int weights[], int biases[]);

struct hm_classifier {
    int layers;                        /* L, hidden */
    int64_t units[HM_LAYERS_MAX + 1];  /* of layers 0 .. L, then classes */
    int64_t extra[HM_LAYERS_MAX + 1];  /* columns of m_{l+1} in the input of layer l */
    int weights[HM_LAYERS_MAX + 1];    /* tensors: [l] N_l, (units[l - 1] + extra[l], units[l]); [L + 1] U */
    int biases[HM_LAYERS_MAX + 1];     /* tensors: e_l, d */
    hm_packed up[HM_LAYERS_MAX + 1];   /* N_l */
    hm_packed down[HM_LAYERS_MAX + 1]; /* the rows of x_{l-1} in it, l > 1, transposed */
    hm_classifier_sources sources;
    hm_marginals marginals; /* NULL: no extra inputs */
    size_t (*marginals_bytes)(const hm_model *model, int64_t rows);
};

/* A classifier on `layers` hidden layers, units[0] visible ones; model->classes > 0 is set. Its weights, before any
 * tensor without products, and its biases. */
hm_status hm_classifier_declare(hm_model *model, int layers, const int64_t units[], bool with_marginals,
                                hm_classifier_sources sources);
hm_status hm_classifier_declare_biases(hm_model *model);
hm_status hm_classifier_allocate(hm_model *model);
void hm_classifier_free(hm_model *model);
void hm_classifier_refresh(hm_model *model);

/* Has it been given weights? */
bool hm_classifier_is_made(const hm_model *model);

/* out (rows, classes) = p(y | v). Thread-safe; scratch of hm_classify_bytes. */
hm_status hm_classify(const hm_model *model, hm_matrix v, hm_arena *scratch, float *out);
size_t hm_classify_bytes(const hm_model *model, int64_t rows);

/* Objective "classify". The network starts from the stack's weights: N_l = [W_l; W_{l+1}'], e_l = bias of layer l,
 * U ~ N(0, 0.01^2), d = 0, unless an earlier stage has given it some. how->layer: the lowest layer that learns, L + 1
 * the softmax alone, 0 all. */
extern const hm_objective hm_classify_objective;

#endif
