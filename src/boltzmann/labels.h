/* An RBM between a layer that ends in label units and a hidden layer tells classes by its free energy,
 *
 *   p(y | x) ~ exp(d_y + sum_j softplus(c_j + (x W)_j + U_yj)),        [W; U] = W_0, [b; d] = b_0
 *
 * and can be trained to (the discriminative RBM: Larochelle & Bengio 2008, eq. 5-7):
 *
 *   d log p(y | x) = sum_j (d o_yj) sigmoid(o_yj) - sum_y* p(y* | x) sum_j (d o_y*j) sigmoid(o_y*j),   o_yj = c + x W +
 * U_y
 */
#ifndef HM_LABELS_H
#define HM_LABELS_H

#include "boltzmann/machine.h"

/* log of the sum over y and the hidden layer of exp(-E(x, y, h)) into log_sum (rows), if not NULL, and p(y | x) into
 * probs (rows, labels), if not NULL. x: (rows, units of layer 0 without labels). Scratch of hm_labels_bytes. */
hm_status hm_labels_probability(const hm_model *model, const hm_machine *machine, hm_matrix x, hm_arena *scratch,
                                double *log_sum, float *probs);
size_t hm_labels_bytes(const hm_machine *machine, int64_t rows);

/* Draws the label units of states (rows, units of layer 0), whose others are set, from p(y | x): one is 1. Random
 * numbers of (stream, first_row + row), scratch as above. */
hm_status hm_labels_draw(const hm_model *model, const hm_machine *machine, hm_matrix states, const hm_stream *stream,
                         int64_t first_row, hm_arena *scratch);

/* Adds the gradient of the sum of log p(y | x) over the rows of data [x, y], as products in shard->outer
 * behind those that are there (they are copied), and in shard->direct. With dropout (shard->how; Srivastava et al.
 * 2014) p(y | x) is that of the units which are kept. */
hm_status hm_labels_gradient(const hm_model *model, const hm_machine *machine, hm_shard *shard);
size_t hm_labels_gradient_bytes(const hm_machine *machine, int64_t rows, int64_t rows_there);

/* "classification_error", "cross_entropy" of the shard's rows into two monitors. */
hm_status hm_labels_monitor(const hm_model *model, const hm_machine *machine, hm_shard *shard, double monitors[2]);

#endif
