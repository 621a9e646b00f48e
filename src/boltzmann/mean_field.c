#include "boltzmann/mean_field.h"

#include "core/kernels.h"
#include "core/memory.h"

#include <math.h>
#include <string.h>

/* What stays the same in one inference. */
typedef struct inference {
    const hm_model *model;
    const hm_machine *machine;
    const hm_mean_field *how;
    const hm_states *states;
    hm_arena *scratch;
    int highest;         /* layer that is inferred */
    float *from_visible; /* (rows, units of layer 1): v W_0 */
    float *fresh;        /* (rows, units of the layer at hand) */
    float *residual;     /* (rows) the largest change of a q in the row's last update ... */
    float *change;       /* (rows) ... and so far in this one */
} inference;

size_t hm_mean_field_bytes(const hm_machine *machine, int64_t rows)
{
    return hm_arena_bytes(rows * machine->layer[1].units) + hm_layer_bytes(machine, rows) + 2 * hm_arena_bytes(rows);
}

/* x -> q of layer l, from inputs that count `times`. */
static void activate(const inference *in, int l, float times, float *x)
{
    const hm_layer *layer = &in->machine->layer[l];
    hm_units_conditional(layer, in->states->rows, x, times, hm_model_tensor(in->model, layer->bias), NULL, x, NULL,
                         NULL, 0);
}

/* q_l of layers from `first` on, from below alone; what a hidden layer above would say is guessed to be the same again.
 */
static void pass_upward(const inference *in, int first)
{
    const hm_machine *machine = in->machine;
    for (int l = first; l <= in->highest; l++) {
        float *q = in->states->at[l];
        int64_t units = machine->layer[l].units;
        if (l == 1)
            memcpy(q, in->from_visible, (size_t)(in->states->rows * units) * sizeof(float));
        else
            hm_product(hm_layer_of(machine, in->states, l - 1), &machine->up[l - 1], q);
        activate(in, l, l < hm_hidden_layers(machine) ? 2.0f : 1.0f, q);
    }
}

/* Inputs of layer l; v's part is known. */
static hm_status inputs(const inference *in, int l, float *out)
{
    const hm_machine *machine = in->machine;
    int64_t size = in->states->rows * machine->layer[1].units;
    if (l > 1) return hm_layer_input(machine, l, in->states, in->scratch, out);
    if (machine->layers == 2) {
        memcpy(out, in->from_visible, (size_t)size * sizeof(float));
        return HM_OK;
    }
    hm_product(hm_layer_of(machine, in->states, 2), &machine->down[1], out);
    hm_kernels_best()->add(size, in->from_visible, out, out);
    return HM_OK;
}

/* Has the row come to rest? */
static bool rests(const inference *in, int64_t row)
{
    return in->how->tolerance > 0 && (double)in->residual[row] <= in->how->tolerance;
}

/* One layer given its neighbours; without damping `out` may be the layer itself. */
static hm_status update_layer(const inference *in, int l, double damping, float *out)
{
    int64_t size = in->states->rows * in->machine->layer[l].units;
    const float *q = in->states->at[l];
    float keep = (float)damping;
    HM_TRY(inputs(in, l, out));
    activate(in, l, 1.0f, out);
    for (int64_t i = 0; damping > 0 && i < size; i++) out[i] += keep * (q[i] - out[i]);
    return HM_OK;
}

static hm_status update_odd(const inference *in, double damping)
{
    for (int l = 1; l <= in->highest; l += 2) {
        float *q = in->states->at[l], *out = damping > 0 ? in->fresh : q;
        HM_TRY(update_layer(in, l, damping, out));
        if (out != q) memcpy(q, out, (size_t)(in->states->rows * in->machine->layer[l].units) * sizeof(float));
    }
    return HM_OK;
}

/* Of rows that do not rest; their odd layers follow from the even ones. Only where changes are measured can rows rest.
 */
static hm_status update_even(const inference *in, double damping, bool measured)
{
    memset(in->change, 0, (size_t)in->states->rows * sizeof(float));
    for (int l = 2; l <= in->highest; l += 2) {
        int64_t units = in->machine->layer[l].units;
        float *layer = in->states->at[l], *out = measured || damping > 0 ? in->fresh : layer;
        HM_TRY(update_layer(in, l, damping, out));
        if (out == layer) continue;
        for (int64_t row = 0; row < in->states->rows; row++) {
            const float *fresh = in->fresh + row * units;
            float *q = layer + row * units;
            if (rests(in, row)) continue;
            if (measured) in->change[row] = fmaxf(in->change[row], hm_kernels_best()->max_difference(units, fresh, q));
            memcpy(q, fresh, (size_t)units * sizeof(float));
        }
    }
    return HM_OK;
}

static hm_status iterate(const inference *in, hm_mean_field_result *result)
{
    const hm_mean_field *how = in->how;
    int64_t rows = in->states->rows, moving = rows;
    for (int64_t row = 0; row < rows; row++) in->residual[row] = INFINITY;
    for (int64_t update = 1; update <= how->updates && moving > 0; update++) {
        HM_TRY(update_odd(in, how->damping));
        HM_TRY(update_even(in, how->damping, how->tolerance > 0 || update == how->updates));
        result->updates += moving;
        moving = 0;
        for (int64_t row = 0; row < rows; row++) {
            if (!rests(in, row)) in->residual[row] = in->change[row];
            moving += !rests(in, row);
        }
    }
    for (int64_t row = 0; row < rows; row++) result->residual += (double)in->residual[row];
    return update_odd(in, 0);
}

hm_status hm_mean_field_run(const hm_model *model, const hm_machine *machine, const hm_mean_field *how, int given,
                            const hm_states *states, hm_arena *scratch, hm_mean_field_result *result)
{
    inference in = {.model = model, .machine = machine, .how = how, .states = states, .scratch = scratch};
    size_t mark = scratch->used;
    int64_t most = 0;
    int hidden = hm_hidden_layers(machine);
    bool started = (given & HM_GIVEN_HIDDEN) && machine->layers > 2;
    in.highest = given & HM_GIVEN_LABELS ? hidden : machine->layers - 1;
    for (int l = 1; l < machine->layers; l++)
        if (machine->layer[l].units > most) most = machine->layer[l].units;
    *result = (hm_mean_field_result){0};
    HM_TRY(hm_arena_floats(scratch, states->rows * machine->layer[1].units, &in.from_visible));
    HM_TRY(hm_arena_floats(scratch, states->rows * most, &in.fresh));
    HM_TRY(hm_arena_floats(scratch, states->rows, &in.residual));
    HM_TRY(hm_arena_floats(scratch, states->rows, &in.change));
    hm_product(hm_layer_of(machine, states, 0), &machine->up[0], in.from_visible);
    pass_upward(&in, started ? hidden + 1 : 1);
    if (in.highest > 1)
        HM_TRY(iterate(&in, result));
    else if (machine->layers > 2) /* a hidden layer and labels that are given: all that it needs to know */
        HM_TRY(update_odd(&in, 0));
    scratch->used = mark;
    return HM_OK;
}

static double surprise(double q) { return q > 0 ? -q * log(q) : 0; }

/* H(q) of one row of a hidden layer, or of one softmax group: labels; nats. */
static double entropy(const hm_layer *layer, const float *q)
{
    double total = 0;
    for (int64_t j = 0; j < layer->units; j++) {
        total += surprise((double)q[j]);
        if (layer->labels == 0) total += surprise(1 - (double)q[j]);
    }
    return total;
}

hm_status hm_variational_free_energy(const hm_model *model, const hm_machine *machine, const hm_states *states,
                                     hm_arena *scratch, double out[])
{
    HM_TRY(hm_side_log_prob(model, machine, HM_EVEN, states, scratch, out));
    for (int64_t row = 0; row < states->rows; row++) {
        for (int l = 2; l < machine->layers; l += 2)
            out[row] += entropy(&machine->layer[l], states->at[l] + row * machine->layer[l].units);
        out[row] = -out[row];
    }
    return HM_OK;
}
