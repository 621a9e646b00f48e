/* Multi-prediction training (Goodfellow, Mirza, Courville, Bengio 2013): of each row some visible units are hidden from
 * the machine, at random, and mean field predicts them along with the hidden layers. What is climbed is
 *
 *   J = sum over the missing units i of  v_i log q_i + (1 - v_i) log(1 - q_i),
 *
 * q after `updates` sweeps of mean field (odd layers, then even ones with the missing visible units), by
 * back-propagation through all sweeps. No partition function, no chains.
 *
 * Sweeps start from q = sigmoid(b) of every even layer. Functions are parts of an objective (models/model.h).
 */
#ifndef HM_MULTI_PREDICTION_H
#define HM_MULTI_PREDICTION_H

#include "boltzmann/machine.h"

enum { HM_MULTI_PREDICTION_UPDATES_MAX = 64 }; /* the states after each of them are kept */

hm_status hm_multi_prediction_gradient(const hm_model *model, const hm_machine *machine, int64_t updates,
                                       hm_shard *shard);
size_t hm_multi_prediction_bytes(const hm_machine *machine, int64_t updates, int64_t rows);

/* "prediction" (-J per missing unit) and "prediction_error" (share of missing units with q on the wrong side of a
 * half).
 */
extern const hm_monitor hm_multi_prediction_monitors[];
hm_status hm_multi_prediction_monitor(const hm_model *model, const hm_machine *machine, int64_t updates,
                                      hm_shard *shard);

#endif
