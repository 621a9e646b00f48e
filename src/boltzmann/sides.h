/* The two sides of a Boltzmann machine of layers (machine.h): states of them, conditionals of one given the other,
 * which are half a Gibbs step each, and log-probabilities of one with the other summed out.
 *
 * States of a side travel as rows (chains, units of the side), its layers next to each other; for products every layer
 * needs a dense matrix of its own, and hm_states holds one a layer.
 */
#ifndef HM_SIDES_H
#define HM_SIDES_H

#include "boltzmann/machine.h"

/* ---- states ----------------------------------------------------------------------------------------------------- */

/* One dense matrix a layer, (rows, units of the layer); NULL where a layer is not held. */
typedef struct hm_states {
    int64_t rows;
    float *at[HM_LAYERS_MAX];
} hm_states;

static inline hm_matrix hm_layer_of(const hm_machine *machine, const hm_states *states, int l)
{
    return (hm_matrix){states->at[l], states->rows, machine->layer[l].units};
}

/* Bytes of scratch for the layers of a side; for what half-steps and log-probabilities need of any machine. */
size_t hm_side_bytes(const hm_machine *machine, hm_side side, int64_t rows);
size_t hm_layer_bytes(const hm_machine *machine, int64_t rows);

/* Scratch of hm_side_room; of a half-step of this machine alone. */
size_t hm_side_room_bytes(const hm_machine *machine, hm_side side, int64_t rows);
size_t hm_half_bytes(const hm_machine *machine, int64_t rows);

/* Room for the layers of a side. */
hm_status hm_side_alloc(const hm_machine *machine, hm_side side, int64_t rows, hm_arena *scratch, hm_states *states);

/* Room for the layers of a side that lie in `rows` (n, units of the side): those rows themselves when the side has one
 * layer, scratch otherwise. hm_side_load brings what is in the rows; hm_side_store writes the layers back (nothing to
 * do for a view). */
hm_status hm_side_room(const hm_machine *machine, hm_side side, hm_matrix rows, hm_arena *scratch, hm_states *states);
hm_status hm_side_load(const hm_machine *machine, hm_side side, hm_matrix rows, hm_arena *scratch, hm_states *states);
void hm_side_store(const hm_machine *machine, hm_side side, const hm_states *states, hm_matrix rows);

/* The layers of a side, as they lie in `rows`, into those of `states`. */
void hm_side_copy(const hm_machine *machine, hm_side side, hm_matrix rows, const hm_states *states);

/* All layers, which lie in `rows` (n, units of all or more) with the lowest first, into those of `states`; and from
 * there. */
void hm_states_load(const hm_machine *machine, hm_matrix rows, const hm_states *states);
void hm_states_store(const hm_machine *machine, const hm_states *states, hm_matrix rows);

/* ---- conditionals ----------------------------------------------------------------------------------------------- */

/* Where random numbers of a half-step come from: layer l of its side takes step * (layers of a side) + l / 2. */
typedef struct hm_draw {
    uint64_t seed;
    hm_purpose purpose[2]; /* of the even and of the odd side */
    uint64_t step;
    int64_t first_row;
} hm_draw;

/* out (rows, units of layer l) = x_{l-1} W_{l-1} + x_{l+1} W_l', without the bias. scratch: hm_layer_bytes, for layers
 * with two neighbours. */
hm_status hm_layer_input(const hm_machine *machine, int l, const hm_states *states, hm_arena *scratch, float *out);

/* p(x_l = 1 | neighbours) into prob, and a draw of it into sample, either NULL, for each layer of a side, from the
 * states of the other side. beta: the energy is multiplied by it, biases (units of the side) replace the model's when
 * given. scratch as above. */
typedef struct hm_half_step {
    hm_side side;
    const hm_states *from;
    const hm_states *prob, *sample; /* either may be NULL; may be the same as each other */
    const hm_draw *draw;            /* with `sample` */
    double beta;
    const float *biases; /* (units of the side), as they are; NULL: the model's, and beta is 1 */
} hm_half_step;
hm_status hm_machine_half(const hm_model *model, const hm_machine *machine, const hm_half_step *step,
                          hm_arena *scratch);

/* Gibbs steps on states of the even side, (rows, units of the side), in place. Visible probabilities are p(x_0 | the
 * rest), without labels. */
hm_status hm_machine_gibbs(const hm_model *model, const hm_gibbs_steps *steps, hm_matrix state, hm_arena *scratch);
size_t hm_machine_gibbs_bytes(const hm_model *model, int64_t rows);

/* ---- probabilities ---------------------------------------------------------------------------------------------- */

/* out[row] = log sum over the other side of exp(-E), for states of one side; of a pair whose inputs count twice, with
 * the layer that they come from there twice (Salakhutdinov & Hinton 2009, section 3.1). scratch:
 * hm_side_log_prob_bytes.
 */
hm_status hm_side_log_prob(const hm_model *model, const hm_machine *machine, hm_side side, const hm_states *states,
                           hm_arena *scratch, double out[]);
size_t hm_side_log_prob_bytes(const hm_machine *machine, int64_t rows);

/* The side with fewer units, whose configurations are enumerated; one with other units than Bernoulli ones has none. */
hm_side hm_smaller_side(const hm_machine *machine);

/* Units of a side when it can be enumerated, else INT64_MAX. */
int64_t hm_side_enumerable(const hm_machine *machine, hm_side side);

/* Configurations begin .. begin + rows of a side in binary (unit u is bit u) into states. */
void hm_side_configurations(const hm_machine *machine, hm_side side, int64_t begin, hm_states *states);

/* For the tables of families whose model->machine says all: exact log Z by enumeration; annealing along
 *   p_beta(x) ~ exp((1 - beta) base'x_even + beta E)        (Salakhutdinov & Murray 2008, eq. 17)
 * with states of the even side, the odd one summed out; its base biases. */
extern const hm_enumeration hm_machine_enumeration;
extern const hm_annealing hm_machine_annealing;
const float *hm_machine_base_biases(const hm_model *model);

#endif
