/* The gradient of the log-likelihood of a Boltzmann machine, or of its variational bound:
 *
 *   d log p / dW_l = <x_l x_{l+1}'>_data - <x_l x_{l+1}'>_model,      d / db_l = <x_l>_data - <x_l>_model
 *
 * The family gives the states under the data (exact for an RBM, mean field for a DBM); the negative phase, centring,
 * sparsity and running means are made here.
 */
#ifndef HM_MACHINE_GRADIENT_H
#define HM_MACHINE_GRADIENT_H

#include "boltzmann/sides.h"

/* Fills all layers of `states` (rows of the shard's data) with what the positive phase expects of them. Scratch of what
 * it needs is part of the family's scratch_bytes; `context` is the caller's. */
typedef hm_status (*hm_positive_phase)(const hm_model *model, const hm_machine *machine, hm_shard *shard,
                                       const hm_states *states, const void *context);

/* As the family's gradient (models/model.h): rows of products in shard->outer, the rest in shard->direct. The layers
 * are those of `machine`, which is the model's or a pair of its layers. What was inferred is not inferred again. */
hm_status hm_machine_gradient(const hm_model *model, const hm_machine *machine, hm_shard *shard,
                              hm_positive_phase positive, const void *context);

/* Scratch of hm_machine_gradient without that of the positive phase. */
size_t hm_machine_gradient_bytes(const hm_machine *machine, const hm_contrast_settings *how, int shards, int64_t rows,
                                 int64_t chains);

/* For an objective's `inference`: the positive phase of rows and, with CD, the chains that start from it. Scratch
 * without that of the positive phase. */
int64_t hm_machine_inferred_columns(const hm_machine *machine, const hm_contrast_settings *how);
/* The same with CD, else 0: where the positive phase is a product or two, and persistent chains have their own parts.
 */
int64_t hm_machine_chained_columns(const hm_machine *machine, const hm_contrast_settings *how);
size_t hm_machine_infer_bytes(const hm_machine *machine, const hm_contrast_settings *how, int64_t rows);
hm_status hm_machine_infer(const hm_model *model, const hm_machine *machine, hm_shard *part, hm_positive_phase positive,
                           const void *context);

/* ---- parts of objectives (models/model.h) that contrast model->machine with the data ----------------------------- */

/* What an objective reads for its chains, for replicas of them (if its negative phase may be given as samples of the
 * model's states), and in hm_machine_finish. */
#define HM_READS_CHAINS " estimator k chains "
#define HM_READS_REPLICAS " sampler temperatures swap_adaptation "
#define HM_READS_SPARSITY " offset_rate sparsity_target sparsity_cost "
#define HM_READS_FINISH " centered " HM_READS_SPARSITY

hm_status hm_likelihood_check(const hm_model *model, const hm_contrast_settings *how);
bool hm_likelihood_learns(const hm_model *model, const hm_contrast_settings *how, int tensor);
void hm_likelihood_finish(hm_model *model, const hm_contrast_settings *how, bool adversary, int64_t batch, float *grad);
const char *hm_likelihood_fault(const hm_model *model, const hm_contrast_settings *how);

/* ---- the same of any machine, such as a pair of the model's layers ----------------------------------------------- */

/* Once an update: centring, sparsity, running means. */
void hm_machine_finish(hm_model *model, const hm_machine *machine, const hm_contrast_settings *how, int64_t batch,
                       float *grad);

/* The part of it that is due to Gaussian units of learnt variance: from sums of v h' and v to the parameters'
 * gradient. Nothing without them. */
void hm_machine_finish_variance(hm_model *model, const hm_machine *machine, float *grad);

/* An objective's `fault`: a hidden layer of which nine units in ten are on, or off, for all data. lowest: the number
 * that the first one of this machine has in the model, from 1. */
const char *hm_machine_fault(const hm_model *model, const hm_machine *machine, int lowest);

/* HM_EUSAGE when exact gradients would enumerate too many units. */
hm_status hm_machine_check_exact(const hm_machine *machine, const hm_contrast_settings *how);

#endif
