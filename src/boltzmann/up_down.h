/* The up-down algorithm, or contrastive wake-sleep (Hinton, Osindero, Teh 2006, appendix B), of a stack:
 *
 *   wake: states upward from the data teach the layers downward, dW_l = (h_{l-1} - p(h_{l-1} | h_l)) h_l';
 *   the top RBM contrasts them with its k Gibbs steps;
 *   sleep: the states that these end in, taken down to the visible units, teach recognition.
 *
 * The functions are parts of an objective (models/model.h) on model->stack.
 */
#ifndef HM_UP_DOWN_H
#define HM_UP_DOWN_H

#include "boltzmann/stack.h"

bool hm_up_down_learns(const hm_model *model, const hm_contrast_settings *how, int tensor);
/* Recognition gets weights of its own: those downward. */
hm_status hm_up_down_begin(hm_model *model, const hm_contrast_settings *how);
size_t hm_up_down_bytes(const hm_model *model, const hm_contrast_settings *how, int shards, int64_t rows,
                        int64_t chains);
extern const hm_inference hm_up_down_inference; /* of the top RBM */
hm_status hm_up_down_gradient(const hm_model *model, hm_shard *shard);

#endif
