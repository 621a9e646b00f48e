#include "boltzmann/sides.h"

#include "core/kernels.h"
#include "core/memory.h"
#include "nets/class_loss.h"

#include <string.h>

static int side_layers(const hm_machine *machine, hm_side side) { return (machine->layers + 1 - (int)side) / 2; }

/* ---- states ----------------------------------------------------------------------------------------------------- */

size_t hm_side_bytes(const hm_machine *machine, hm_side side, int64_t rows)
{
    size_t bytes = 0;
    for (int l = side; l < machine->layers; l += 2) bytes += hm_arena_bytes(rows * machine->layer[l].units);
    return bytes;
}

static int64_t most_units(const hm_machine *machine)
{
    int64_t most = 0;
    for (int l = 0; l < machine->layers; l++)
        if (machine->layer[l].units > most) most = machine->layer[l].units;
    return most;
}

size_t hm_layer_bytes(const hm_machine *machine, int64_t rows)
{
    return 2 * hm_arena_bytes(rows * most_units(machine));
}

size_t hm_side_room_bytes(const hm_machine *machine, hm_side side, int64_t rows)
{
    return side_layers(machine, side) == 1 ? 0 : hm_side_bytes(machine, side, rows);
}

/* Can a layer be drawn in place? */
static bool is_plain(const hm_layer *layer) { return layer->unit == HM_BERNOULLI && layer->labels == 0; }

size_t hm_half_bytes(const hm_machine *machine, int64_t rows)
{
    size_t buffers = machine->layers > 2; /* a layer in the middle adds two products */
    bool plain = true;
    for (int l = 0; l < machine->layers; l++) plain &= is_plain(&machine->layer[l]);
    return (buffers + !plain) * hm_arena_bytes(rows * most_units(machine));
}

hm_status hm_side_alloc(const hm_machine *machine, hm_side side, int64_t rows, hm_arena *scratch, hm_states *states)
{
    states->rows = rows;
    for (int l = side; l < machine->layers; l += 2)
        HM_TRY(hm_arena_floats(scratch, rows * machine->layer[l].units, &states->at[l]));
    return HM_OK;
}

/* Between rows, in which layers first, first + stride, ... lie side by side, and those layers. */
static void copy_layers(const hm_machine *machine, int first, int stride, const hm_states *states, hm_matrix rows,
                        bool load)
{
    int64_t column = 0;
    for (int l = first; l < machine->layers; l += stride) {
        int64_t units = machine->layer[l].units;
        for (int64_t row = 0; row < rows.rows; row++) {
            float *in_row = rows.at + row * rows.columns + column, *in_layer = states->at[l] + row * units;
            memcpy(load ? in_layer : in_row, load ? in_row : in_layer, (size_t)units * sizeof(float));
        }
        column += units;
    }
}

hm_status hm_side_room(const hm_machine *machine, hm_side side, hm_matrix rows, hm_arena *scratch, hm_states *states)
{
    if (side_layers(machine, side) > 1) return hm_side_alloc(machine, side, rows.rows, scratch, states);
    states->rows = rows.rows;
    states->at[side] = rows.at;
    return HM_OK;
}

void hm_side_copy(const hm_machine *machine, hm_side side, hm_matrix rows, const hm_states *states)
{
    if (states->at[side] != rows.at) copy_layers(machine, (int)side, 2, states, rows, true);
}

hm_status hm_side_load(const hm_machine *machine, hm_side side, hm_matrix rows, hm_arena *scratch, hm_states *states)
{
    HM_TRY(hm_side_room(machine, side, rows, scratch, states));
    hm_side_copy(machine, side, rows, states);
    return HM_OK;
}

void hm_side_store(const hm_machine *machine, hm_side side, const hm_states *states, hm_matrix rows)
{
    if (states->at[side] != rows.at) copy_layers(machine, (int)side, 2, states, rows, false);
}

void hm_states_load(const hm_machine *machine, hm_matrix rows, const hm_states *states)
{
    copy_layers(machine, 0, 1, states, rows, true);
}

void hm_states_store(const hm_machine *machine, const hm_states *states, hm_matrix rows)
{
    copy_layers(machine, 0, 1, states, rows, false);
}

/* ---- conditionals ----------------------------------------------------------------------------------------------- */

hm_status hm_layer_input(const hm_machine *machine, int l, const hm_states *states, hm_arena *scratch, float *out)
{
    int64_t size = states->rows * machine->layer[l].units;
    size_t mark = scratch->used;
    float *above = out;
    if (l > 0) hm_product(hm_layer_of(machine, states, l - 1), &machine->up[l - 1], out);
    if (l + 1 == machine->layers) return HM_OK;
    if (l > 0) HM_TRY(hm_arena_floats(scratch, size, &above));
    hm_product(hm_layer_of(machine, states, l + 1), &machine->down[l], above);
    if (l > 0) hm_kernels_best()->add(size, out, above, out);
    scratch->used = mark;
    return HM_OK;
}

/* One layer of a half-step; biases are its own. */
static hm_status half_layer(const hm_machine *machine, const hm_half_step *step, int l, const float *biases,
                            hm_arena *scratch)
{
    const hm_layer *layer = &machine->layer[l];
    int64_t rows = step->from->rows, pieces = side_layers(machine, step->side);
    float *mean = step->prob ? step->prob->at[l] : NULL, *sample = step->sample ? step->sample->at[l] : NULL;
    float *x = mean ? mean : sample, scale = l % 2 == 0 ? machine->down_scale : machine->up_scale;
    size_t mark = scratch->used;
    hm_stream stream = {0};
    if (!is_plain(layer)) HM_TRY(hm_arena_floats(scratch, rows * layer->units, &x));
    if (step->draw)
        stream = (hm_stream){step->draw->seed, step->draw->purpose[step->side],
                             step->draw->step * (uint64_t)pieces + (uint64_t)(l / 2)};
    HM_TRY(hm_layer_input(machine, l, step->from, scratch, x));
    hm_units_conditional(layer, rows, x, (float)step->beta * scale, biases, hm_layer_variance(machine, l), mean, sample,
                         &stream, step->draw ? step->draw->first_row : 0);
    scratch->used = mark;
    return HM_OK;
}

hm_status hm_machine_half(const hm_model *model, const hm_machine *machine, const hm_half_step *step, hm_arena *scratch)
{
    for (int l = step->side; l < machine->layers; l += 2) {
        const float *own = hm_model_tensor(model, machine->layer[l].bias);
        HM_TRY(half_layer(machine, step, l, step->biases ? step->biases + hm_layer_column(machine, l) : own, scratch));
    }
    return HM_OK;
}

size_t hm_machine_gibbs_bytes(const hm_model *model, int64_t rows)
{
    const hm_machine *machine = model->machine;
    return hm_side_bytes(machine, HM_EVEN, rows) + hm_side_bytes(machine, HM_ODD, rows) +
           2 * hm_layer_bytes(machine, rows);
}

/* The label units of a row, in the layer that has them. */
static float *labels_of(const hm_machine *machine, const hm_states *states, int64_t row)
{
    int l = hm_label_layer(machine);
    const hm_layer *layer = &machine->layer[l];
    return states->at[l] + (row + 1) * layer->units - layer->labels;
}

/* Those of a side, if they are to be kept, to what is wanted. */
static void clamp_labels(const hm_model *model, hm_side side, const hm_gibbs_steps *steps, const hm_states *states)
{
    if (!steps->clamped || hm_label_layer(model->machine) % 2 != (int)side) return;
    for (int64_t row = 0; row < states->rows; row++) {
        float *labels = labels_of(model->machine, states, row);
        for (int64_t y = 0; y < model->classes; y++) labels[y] = y == steps->labels[row] ? 1.0f : 0.0f;
    }
}

hm_status hm_machine_gibbs(const hm_model *model, const hm_gibbs_steps *steps, hm_matrix state, hm_arena *scratch)
{
    const hm_machine *machine = model->machine;
    hm_states states = {0}, probs = {0};
    int64_t units = machine->layer[0].units, visible = units - machine->layer[0].labels;
    HM_TRY(hm_side_load(machine, HM_EVEN, state, scratch, &states));
    HM_TRY(hm_side_alloc(machine, HM_ODD, state.rows, scratch, &states));
    for (int l = 0; l < machine->layers; l++) probs.at[l] = states.at[l];
    probs.rows = state.rows;
    if (steps->prob) HM_TRY(hm_arena_floats(scratch, state.rows * machine->layer[0].units, &probs.at[0]));
    clamp_labels(model, HM_EVEN, steps, &states);
    for (int64_t step = 0; step < steps->count; step++) {
        hm_draw draw = {steps->seed,
                        {HM_RNG_SAMPLE_VISIBLE, HM_RNG_SAMPLE_HIDDEN},
                        steps->first + (uint64_t)step,
                        steps->first_row};
        hm_half_step odd = {.side = HM_ODD, .from = &states, .sample = &states, .draw = &draw, .beta = 1};
        hm_half_step even = {
            .side = HM_EVEN, .from = &states, .prob = &probs, .sample = &states, .draw = &draw, .beta = 1};
        HM_TRY(hm_machine_half(model, machine, &odd, scratch));
        clamp_labels(model, HM_ODD, steps, &states);
        HM_TRY(hm_machine_half(model, machine, &even, scratch));
        clamp_labels(model, HM_EVEN, steps, &states);
    }
    for (int64_t row = 0; steps->prob && row < state.rows; row++)
        memcpy(steps->prob + row * visible, probs.at[0] + row * units, (size_t)visible * sizeof(float));
    for (int64_t row = 0; steps->labels && !steps->clamped && row < state.rows; row++)
        steps->labels[row] = (int32_t)hm_most_probable(labels_of(machine, &states, row), model->classes);
    hm_side_store(machine, HM_EVEN, &states, state);
    return HM_OK;
}

/* ---- probabilities ---------------------------------------------------------------------------------------------- */

size_t hm_side_log_prob_bytes(const hm_machine *machine, int64_t rows) { return 2 * hm_layer_bytes(machine, rows); }

hm_status hm_side_log_prob(const hm_model *model, const hm_machine *machine, hm_side side, const hm_states *states,
                           hm_arena *scratch, double out[])
{
    size_t mark = scratch->used;
    float *x;
    memset(out, 0, (size_t)states->rows * sizeof out[0]);
    HM_TRY(hm_arena_floats(scratch, states->rows * most_units(machine), &x));
    for (int l = 0; l < machine->layers; l++) {
        int64_t units = machine->layer[l].units;
        const float *bias = hm_model_tensor(model, machine->layer[l].bias), *variance = hm_layer_variance(machine, l);
        const hm_layer *layer = &machine->layer[l];
        bool given = l % 2 == (int)side, even = l % 2 == 0;
        float scale = even ? machine->down_scale : machine->up_scale;
        double copies = (double)(even ? machine->up_scale : machine->down_scale);
        if (!given) HM_TRY(hm_layer_input(machine, l, states, scratch, x));
        for (int64_t row = 0; row < states->rows; row++)
            out[row] += copies * (given ? hm_units_score(layer, states->at[l] + row * units, bias, variance)
                                        : hm_units_log_partition(layer, x + row * units, scale, bias, variance));
    }
    scratch->used = mark;
    return HM_OK;
}

int64_t hm_side_enumerable(const hm_machine *machine, hm_side side)
{
    for (int l = side; l < machine->layers; l += 2)
        if (machine->layer[l].unit != HM_BERNOULLI || machine->layer[l].labels > 0) return INT64_MAX;
    return hm_side_units(machine, side);
}

hm_side hm_smaller_side(const hm_machine *machine)
{
    return hm_side_enumerable(machine, HM_ODD) < hm_side_enumerable(machine, HM_EVEN) ? HM_ODD : HM_EVEN;
}

void hm_side_configurations(const hm_machine *machine, hm_side side, int64_t begin, hm_states *states)
{
    int64_t unit = 0;
    for (int l = side; l < machine->layers; l += 2)
        for (int64_t at = 0; at < machine->layer[l].units; at++, unit++)
            for (int64_t row = 0; row < states->rows; row++)
                states->at[l][row * machine->layer[l].units + at] = (float)((begin + row) >> unit & 1);
}

static int64_t enumerated_units(const hm_model *model)
{
    return hm_side_enumerable(model->machine, hm_smaller_side(model->machine));
}

static size_t enumeration_bytes(const hm_model *model, int64_t count)
{
    return hm_side_bytes(model->machine, hm_smaller_side(model->machine), count) +
           hm_side_log_prob_bytes(model->machine, count);
}

static hm_status enumerate(const hm_model *model, int64_t begin, int64_t count, hm_arena *scratch, double out[])
{
    const hm_machine *machine = model->machine;
    hm_side side = hm_smaller_side(machine);
    hm_states states = {0};
    HM_TRY(hm_side_alloc(machine, side, count, scratch, &states));
    hm_side_configurations(machine, side, begin, &states);
    return hm_side_log_prob(model, machine, side, &states, scratch, out);
}

const hm_enumeration hm_machine_enumeration = {
    .units = enumerated_units,
    .scratch_bytes = enumeration_bytes,
    .log_prob = enumerate,
};

const float *hm_machine_base_biases(const hm_model *model) { return model->machine->base_bias; }
