/* The recognition network of a deep Boltzmann machine (Salakhutdinov & Larochelle 2010): one pass upward that guesses
 * where mean field will end,
 *
 *   nu_0 = v,   nu_l = sigmoid(nu_{l-1} R_l + r_l),
 *
 * so that few updates are left to make. It learns to lower KL(q || nu) = const - sum_l q_l'log nu_l + (1 - q_l)'log(1 -
 * nu_l), q being what mean field found from nu, by back-propagation (their eq. 11-14; every layer has its target).
 */
#ifndef HM_RECOGNITION_H
#define HM_RECOGNITION_H

#include "boltzmann/sides.h"

typedef struct hm_recognition {
    int layers; /* hidden */
    int64_t units[HM_LAYERS_MAX];
    int weights[HM_LAYERS_MAX], biases[HM_LAYERS_MAX]; /* tensors R_l, r_l; from 1 */
    hm_packed up[HM_LAYERS_MAX], down[HM_LAYERS_MAX];
    bool made; /* it has been given weights; until then mean field starts without it */
} hm_recognition;

/* For the machine that model->machine declares; its tensors R1 .., r1 ... */
hm_status hm_recognition_declare(hm_model *model, hm_recognition *recognition);
hm_status hm_recognition_allocate(hm_recognition *recognition);
void hm_recognition_free(hm_recognition *recognition);
void hm_recognition_refresh(const hm_model *model, hm_recognition *recognition);
bool hm_recognition_has(const hm_recognition *recognition, int tensor);

/* Unless it has been given weights: those of the machine, doubled where a layer has another one above it, so that it
 * starts as the pass with which mean field starts without it. */
void hm_recognition_start(hm_model *model, const hm_recognition *recognition);

/* nu_1 .. nu_L from layer 0 of states, into the other layers. */
void hm_recognise(const hm_model *model, const hm_recognition *recognition, const hm_states *states);

/* Adds the gradient of -KL(q || nu), q in states: products in shard->outer, biases in shard->direct. */
hm_status hm_recognition_gradient(const hm_model *model, const hm_recognition *recognition, hm_shard *shard,
                                  const hm_states *q);
size_t hm_recognition_bytes(const hm_recognition *recognition, int64_t rows);

#endif
