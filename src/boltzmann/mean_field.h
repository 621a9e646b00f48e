/* Mean field: the factorial q(h) = prod q_l that is nearest to p(h | v) of a machine with several hidden layers, by
 *
 *   q_l = sigmoid(q_{l-1} W_{l-1} + q_{l+1} W_l' + b_l),     q_0 = v
 *
 * for the odd layers given the even ones, then the other way round, until nothing moves (Salakhutdinov & Hinton 2009,
 * eq. 8-9). Each half is exact coordinate ascent of the bound
 *
 *   log p(v) >= E_q[-E(v, h)] + H(q) - log Z,
 *
 * which with the odd layers at their optimum is b'v + sum over even hidden layers (b'q + H(q)) + sum over odd layers of
 * softplus(inputs + b), minus log Z. Of a layer of labels q is a softmax; or they are seen, and the bound is one of log
 * p(v, label).
 */
#ifndef HM_MEAN_FIELD_H
#define HM_MEAN_FIELD_H

#include "boltzmann/sides.h"

typedef struct hm_mean_field {
    int64_t updates;  /* of all hidden layers, at most */
    double tolerance; /* ... or until no q of the row moves by more; 0: always all updates */
    double damping;   /* share of the old q that is kept, in [0, 1) */
} hm_mean_field;

/* Sums over rows. */
typedef struct hm_mean_field_result {
    int64_t updates; /* done */
    double residual; /* the largest change of a q in the row's last one */
} hm_mean_field_result;

/* What states hold before, beside layer 0. */
typedef enum hm_given {
    HM_GIVEN_HIDDEN = 1, /* where hidden layers start */
    HM_GIVEN_LABELS = 2, /* the layer of labels, which stays as it is */
} hm_given;

/* Layer 0 of states is given, room for the others too: they receive q. Hidden layers start from one pass upward with
 * the inputs of those that also have a hidden layer above counted twice (Salakhutdinov & Hinton 2009, section 3.1),
 * unless `given` (a sum of hm_given) says otherwise. With one hidden layer, and labels given or none, one pass is exact
 * and the only one. A row's q are the same in any company: it stops on its own. Scratch of hm_mean_field_bytes. */
hm_status hm_mean_field_run(const hm_model *model, const hm_machine *machine, const hm_mean_field *how, int given,
                            const hm_states *states, hm_arena *scratch, hm_mean_field_result *result);
size_t hm_mean_field_bytes(const hm_machine *machine, int64_t rows);

/* out[row] = minus the bound of log p(v) without -log Z, nats; labels not being given, the odd layers of `states` must
 * be at their optimum, as they are after hm_mean_field_run without damping. Scratch of hm_side_log_prob_bytes. */
hm_status hm_variational_free_energy(const hm_model *model, const hm_machine *machine, const hm_states *states,
                                     hm_arena *scratch, double out[]);

#endif
