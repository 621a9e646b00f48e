/* The annealing path of a Boltzmann machine of layers:
 *
 *   p_beta(x) ~ exp((1 - beta) base'x_even - beta E(x))       (Salakhutdinov & Murray 2008, eq. 17)
 *
 * A walk has states of the even side; the odd side is summed out: with inputs x = W'x_even + c of the odd units,
 *
 *   log p*_beta(x_even) = (1 - beta) base'x_even + beta b'x_even + sum softplus(beta inputs).
 *
 * base'x stands for the units' own part of -E (hm_units_score): of Gaussian units -(x - base)^2 / 2 s^2, whose
 * quadratic is the same at every beta.
 */
#include "boltzmann/sides.h"

#include "core/kernels.h"
#include "core/memory.h"

#include <math.h>

static int64_t state_columns(const hm_model *model) { return hm_side_units(model->machine, HM_EVEN); }
static int64_t input_columns(const hm_model *model) { return hm_side_units(model->machine, HM_ODD); }

static size_t annealing_bytes(const hm_model *model, int64_t chains)
{
    const hm_machine *machine = model->machine;
    return 2 * hm_side_bytes(machine, HM_EVEN, chains) + hm_side_bytes(machine, HM_ODD, chains) +
           2 * hm_layer_bytes(machine, chains) + hm_arena_bytes(state_columns(model));
}

/* At beta = 0 the odd units are free. */
static double log_z_base(const hm_model *model, const float base[])
{
    const hm_machine *machine = model->machine;
    double total = 0;
    for (int l = 0; l < machine->layers; l++) {
        const hm_layer *layer = &machine->layer[l];
        total += l % 2 == 0 ? hm_units_log_partition_base(layer, base + hm_layer_column(machine, l),
                                                          hm_layer_variance(machine, l))
                            : hm_units_log_partition(layer, hm_model_tensor(model, layer->mean), 0.0f, NULL, NULL);
    }
    return total;
}

/* Independent draws of the base distribution. */
static void draw_base(const hm_model *model, const float base[], const hm_stream *stream, int64_t first_chain,
                      hm_matrix states)
{
    const hm_machine *machine = model->machine;
    for (int l = 0; l < machine->layers; l += 2) {
        const hm_layer *layer = &machine->layer[l];
        int64_t column = hm_layer_column(machine, l);
        hm_stream own = *stream;
        own.step = stream->step * (uint64_t)((machine->layers + 1) / 2) + (uint64_t)(l / 2);
        for (int64_t chain = 0; chain < states.rows; chain++)
            hm_units_conditional(layer, 1, base + column, 0.0f, base + column, hm_layer_variance(machine, l), NULL,
                                 states.at + chain * states.columns + column, &own, first_chain + chain);
    }
}

/* Where the inputs of an odd layer of one chain lie: next to those of the others, as the states of a side do. */
static float *inputs_of(const hm_machine *machine, const hm_walk *walk, int64_t chain, int l)
{
    return walk->inputs.at + chain * walk->inputs.columns + hm_layer_column(machine, l);
}

/* inputs = W'x + c, energy = b'x, base_energy = base'x of even states. */
static hm_status cache(const hm_model *model, hm_walk *walk, const hm_states *states)
{
    const hm_machine *machine = model->machine;
    const hm_kernels *kernels = hm_kernels_best();
    int64_t chains = states->rows;
    for (int l = 1; l < machine->layers; l += 2) {
        int64_t units = machine->layer[l].units;
        size_t mark = walk->scratch->used;
        float *x = walk->inputs.at;
        if (units != walk->inputs.columns) HM_TRY(hm_arena_floats(walk->scratch, chains * units, &x));
        HM_TRY(hm_layer_input(machine, l, states, walk->scratch, x));
        for (int64_t chain = 0; chain < chains; chain++)
            kernels->add(units, x + chain * units, hm_model_tensor(model, machine->layer[l].bias),
                         inputs_of(machine, walk, chain, l));
        walk->scratch->used = mark;
    }
    for (int64_t chain = 0; chain < chains; chain++) {
        walk->energy[chain] = walk->base_energy[chain] = 0;
        for (int l = 0; l < machine->layers; l += 2) {
            int64_t units = machine->layer[l].units;
            const float *x = states->at[l] + chain * units;
            const float *variance = hm_layer_variance(machine, l);
            const hm_layer *layer = &machine->layer[l];
            walk->energy[chain] += hm_units_score(layer, x, hm_model_tensor(model, layer->bias), variance);
            walk->base_energy[chain] += hm_units_score(layer, x, walk->base + hm_layer_column(machine, l), variance);
        }
    }
    return HM_OK;
}

static hm_status refresh(const hm_model *model, hm_walk *walk)
{
    hm_states states = {0};
    HM_TRY(hm_side_load(model->machine, HM_EVEN, walk->state, walk->scratch, &states));
    return cache(model, walk, &states);
}

static void log_prob(const hm_model *model, const hm_walk *walk, double beta, double out[])
{
    const hm_machine *machine = model->machine;
    for (int64_t chain = 0; chain < walk->state.rows; chain++) {
        out[chain] = (1.0 - beta) * walk->base_energy[chain] + beta * walk->energy[chain];
        for (int l = 1; l < machine->layers; l += 2) {
            const float *x = inputs_of(machine, walk, chain, l);
            out[chain] += hm_units_log_partition(&machine->layer[l], x, (float)beta, NULL, NULL);
        }
    }
}

/* Odd units from the cached inputs. */
static void draw_odd(const hm_machine *machine, const hm_walk *walk, double beta, hm_purpose purpose, uint64_t step,
                     hm_states *states)
{
    for (int l = 1; l < machine->layers; l += 2) {
        hm_stream stream = {walk->seed, purpose, step * (uint64_t)(machine->layers / 2) + (uint64_t)(l / 2)};
        int64_t units = machine->layer[l].units;
        for (int64_t chain = 0; chain < states->rows; chain++)
            hm_units_conditional(&machine->layer[l], 1, inputs_of(machine, walk, chain, l), (float)beta, NULL, NULL,
                                 NULL, states->at[l] + chain * units, &stream, walk->first_chain + chain);
    }
}

static hm_status move(const hm_model *model, hm_walk *walk, double beta, hm_purpose hidden, hm_purpose visible,
                      uint64_t step)
{
    const hm_machine *machine = model->machine;
    hm_states states = {0};
    hm_draw draw = {walk->seed, {visible, hidden}, step, walk->first_chain};
    float *biases;
    HM_TRY(hm_side_load(machine, HM_EVEN, walk->state, walk->scratch, &states));
    HM_TRY(hm_side_alloc(machine, HM_ODD, walk->state.rows, walk->scratch, &states));
    HM_TRY(hm_arena_floats(walk->scratch, state_columns(model), &biases));
    for (int l = 0; l < machine->layers; l += 2) {
        const float *b = hm_model_tensor(model, machine->layer[l].bias),
                    *base = walk->base + hm_layer_column(machine, l);
        float *mixed = biases + hm_layer_column(machine, l);
        for (int64_t i = 0; i < machine->layer[l].units; i++)
            mixed[i] = (float)((1.0 - beta) * (double)base[i] + beta * (double)b[i]);
    }
    draw_odd(machine, walk, beta, hidden, step, &states);
    hm_half_step even = {
        .side = HM_EVEN, .from = &states, .sample = &states, .draw = &draw, .beta = beta, .biases = biases};
    HM_TRY(hm_machine_half(model, machine, &even, walk->scratch));
    hm_side_store(machine, HM_EVEN, &states, walk->state);
    return cache(model, walk, &states);
}

static hm_status check(const hm_model *model)
{
    for (int l = 0; l < model->machine->layers; l++)
        HM_REQUIRE(model->machine->layer[l].unit != HM_RECTIFIED, HM_EUSAGE,
                   "noisy rectified units are drawn only approximately, which annealing does not forgive: with "
                   "hidden_units: rectified there is no estimate of log Z");
    return HM_OK;
}

const hm_annealing hm_machine_annealing = {
    .state_columns = state_columns,
    .input_columns = input_columns,
    .scratch_bytes = annealing_bytes,
    .log_z_base = log_z_base,
    .draw_base = draw_base,
    .check = check,
    .refresh = refresh,
    .log_prob = log_prob,
    .move = move,
};
