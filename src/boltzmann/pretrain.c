#include "boltzmann/pretrain.h"

#include "boltzmann/chains.h"
#include "core/kernels.h"
#include "core/memory.h"

#include <string.h>

static hm_machine pair_at(const hm_model *model, int l) { return model->class->pairs->at(model, l); }

/* The layer that a stage trains is the upper one of pair `layer` - 1. */
static int pair_index(const hm_contrast_settings *how) { return (int)how->layer - 1; }
static hm_machine trained(const hm_model *model, const hm_contrast_settings *how)
{
    return pair_at(model, pair_index(how));
}

/* ---- upward ----------------------------------------------------------------------------------------------------- */

static int64_t units_of(const hm_model *model, int l)
{
    return l == 0 ? model->visible : pair_at(model, l - 1).layer[1].units;
}

size_t hm_upward_bytes(const hm_model *model, int l, int64_t rows)
{
    size_t bytes = 0;
    for (int at = 1; at <= l; at++) bytes += hm_arena_bytes(rows * units_of(model, at));
    return bytes;
}

hm_status hm_draw_upward(const hm_model *model, hm_matrix data, int l, const hm_stream *stream, int64_t first_row,
                         hm_arena *scratch, hm_matrix x)
{
    size_t mark = scratch->used;
    hm_matrix lower = data;
    for (int below = 0; below < l; below++) {
        hm_machine machine = pair_at(model, below);
        hm_purpose purpose = (hm_purpose)stream->purpose;
        hm_states states = {.rows = data.rows, .at = {lower.at}};
        hm_draw draw = {stream->seed, {purpose, purpose}, stream->step * HM_LAYERS_MAX + (uint64_t)below, first_row};
        hm_half_step up = {.side = HM_ODD, .from = &states, .sample = &states, .draw = &draw, .beta = 1};
        HM_TRY(hm_arena_floats(scratch, data.rows * machine.layer[1].units, &states.at[1]));
        HM_TRY(hm_machine_half(model, &machine, &up, scratch));
        lower = hm_layer_of(&machine, &states, 1);
    }
    for (int64_t row = 0; row < data.rows; row++) {
        float *to = x.at + row * x.columns;
        memcpy(to, lower.at + row * lower.columns, (size_t)lower.columns * sizeof(float));
        memset(to + lower.columns, 0, (size_t)(x.columns - lower.columns) * sizeof(float));
    }
    scratch->used = mark;
    return HM_OK;
}

/* ---- the gradient ----------------------------------------------------------------------------------------------- */

static hm_status check(const hm_model *model, const hm_contrast_settings *how)
{
    int layers = model->class->pairs->count(model);
    HM_REQUIRE(how->layer >= 1 && how->layer <= layers, HM_EUSAGE,
               "objective pretrain trains one layer: `layer` must be 1 to %d, not %lld", layers, (long long)how->layer);
    hm_machine machine = trained(model, how);
    bool whole = model->machine->layers == 2 && machine.weights[0] == model->machine->weights[0];
    HM_REQUIRE(how->estimator != HM_EXACT || whole, HM_EUSAGE,
               "train.estimator: exact enumerates the whole machine, and layer %lld is a part of it; use pcd or cd",
               (long long)how->layer);
    return hm_machine_check_exact(&machine, how);
}

static hm_status begin(hm_model *model, const hm_contrast_settings *how)
{
    const hm_pairs *pairs = model->class->pairs;
    return pairs->begin ? pairs->begin(model, pair_index(how)) : HM_OK;
}

static bool learns(const hm_model *model, const hm_contrast_settings *how, int tensor)
{
    hm_machine machine = trained(model, how);
    return hm_machine_has(&machine, tensor);
}

size_t hm_pretrain_positive_bytes(const hm_model *model, int l, int64_t rows)
{
    return hm_arena_bytes(rows * model->visible) + hm_upward_bytes(model, l, rows);
}

hm_status hm_pretrain_positive(const hm_model *model, const hm_machine *machine, hm_shard *shard,
                               const hm_states *states, const void *context)
{
    const hm_layer *lower = &machine->layer[0];
    int64_t rows = shard->data.rows, own = lower->units - lower->labels;
    size_t mark = shard->scratch->used;
    hm_matrix v = {NULL, rows, model->visible};
    hm_stream stream = {shard->seed, HM_RNG_UPWARD, shard->step};
    hm_half_step up = {.side = HM_ODD, .from = states, .prob = states, .beta = 1};
    HM_TRY(hm_arena_floats(shard->scratch, v.rows * v.columns, &v.at));
    hm_shard_visible(model, shard, v.at);
    HM_TRY(hm_draw_upward(model, v, *(const int *)context, &stream, shard->first_row, shard->scratch,
                          hm_layer_of(machine, states, 0)));
    for (int64_t row = 0; row < rows; row++)
        memcpy(states->at[0] + row * lower->units + own, shard->data.at + row * shard->data.columns + model->visible,
               (size_t)lower->labels * sizeof(float));
    shard->scratch->used = mark;
    return hm_machine_half(model, machine, &up, shard->scratch);
}

static hm_status gradient(const hm_model *model, hm_shard *shard)
{
    int l = pair_index(shard->how);
    hm_machine machine = trained(model, shard->how);
    return hm_machine_gradient(model, &machine, shard, hm_pretrain_positive, &l);
}

static int64_t inferred_columns(const hm_model *model, const hm_contrast_settings *how)
{
    hm_machine machine = trained(model, how);
    return hm_machine_chained_columns(&machine, how);
}

static size_t infer_bytes(const hm_model *model, const hm_contrast_settings *how, int64_t rows)
{
    hm_machine machine = trained(model, how);
    return hm_machine_infer_bytes(&machine, how, rows) + hm_pretrain_positive_bytes(model, pair_index(how), rows);
}

static hm_status infer_rows(const hm_model *model, hm_shard *part)
{
    int l = pair_index(part->how);
    hm_machine machine = trained(model, part->how);
    return hm_machine_infer(model, &machine, part, hm_pretrain_positive, &l);
}

static const hm_inference inference = {.columns = inferred_columns, .scratch_bytes = infer_bytes, .infer = infer_rows};

static size_t scratch_bytes(const hm_model *model, const hm_contrast_settings *how, int shards, int64_t rows,
                            int64_t chains)
{
    hm_machine machine = trained(model, how);
    size_t gradient = hm_machine_gradient_bytes(&machine, how, shards, rows, chains);
    size_t monitor = 2 * hm_side_bytes(&machine, HM_EVEN, rows) + hm_side_bytes(&machine, HM_ODD, rows) +
                     hm_side_log_prob_bytes(&machine, rows) + hm_arena_bytes(2 * rows);
    return (gradient > monitor ? gradient : monitor) + hm_pretrain_positive_bytes(model, pair_index(how), rows);
}

/* ---- chains and updates of the pair ----------------------------------------------------------------------------- */

static int64_t chain_columns(const hm_model *model, const hm_contrast_settings *how)
{
    hm_machine machine = trained(model, how);
    return hm_machine_chain_columns(&machine);
}

static int64_t sample_columns(const hm_model *model, const hm_contrast_settings *how)
{
    hm_machine machine = trained(model, how);
    return hm_machine_sample_columns(&machine);
}

static size_t chain_bytes(const hm_model *model, const hm_contrast_settings *how, int64_t chains)
{
    hm_machine machine = trained(model, how);
    return hm_machine_chain_bytes(&machine, chains);
}

static hm_status start_chains(const hm_model *model, hm_shard *part)
{
    hm_machine machine = trained(model, part->how);
    return hm_machine_start_chains(model, &machine, part);
}

static hm_status move_chains(const hm_model *model, hm_shard *part)
{
    hm_machine machine = trained(model, part->how);
    return hm_machine_move_chains(model, &machine, part);
}

static const hm_chain_functions chains_of_pair = {
    .columns = chain_columns,
    .sample_columns = sample_columns,
    .scratch_bytes = chain_bytes,
    .start = start_chains,
    .move = move_chains,
};

static void finish(hm_model *model, const hm_contrast_settings *how, bool adversary, int64_t batch, float *grad)
{
    (void)adversary;
    hm_machine machine = trained(model, how);
    hm_machine_finish(model, &machine, how, batch, grad);
}

static const char *fault(const hm_model *model, const hm_contrast_settings *how)
{
    hm_machine machine = trained(model, how);
    return hm_machine_fault(model, &machine, (int)how->layer);
}

/* ---- monitors --------------------------------------------------------------------------------------------------- */

static const hm_monitor monitors[] = {
    {"reconstruction_error", NULL,
     "mean squared difference of a layer and its reconstruction from the one above, per unit"},
    {"free_energy", "nats", "free energy of the minibatch; its level has no meaning, its drift has"},
    {NULL, NULL, NULL},
};

static hm_status monitor(const hm_model *model, hm_shard *shard)
{
    const hm_kernels *kernels = hm_kernels_best();
    hm_machine machine = trained(model, shard->how);
    int64_t rows = shard->data.rows, units = machine.layer[0].units;
    int l = pair_index(shard->how);
    hm_states states = {0}, back = {0};
    double *energy;
    HM_TRY(hm_side_alloc(&machine, HM_EVEN, rows, shard->scratch, &states));
    HM_TRY(hm_side_alloc(&machine, HM_EVEN, rows, shard->scratch, &back));
    HM_TRY(hm_side_alloc(&machine, HM_ODD, rows, shard->scratch, &states));
    HM_TRY(hm_arena_doubles(shard->scratch, rows, &energy));
    HM_TRY(hm_pretrain_positive(model, &machine, shard, &states, &l));
    hm_half_step down = {.side = HM_EVEN, .from = &states, .prob = &back, .beta = 1};
    HM_TRY(hm_machine_half(model, &machine, &down, shard->scratch));
    HM_TRY(hm_side_log_prob(model, &machine, HM_EVEN, &states, shard->scratch, energy));
    for (int64_t row = 0; row < rows; row++) {
        const float *x = states.at[0] + row * units;
        float *difference = back.at[0] + row * units;
        for (int64_t i = 0; i < units; i++) difference[i] -= x[i];
        shard->monitors[0] += kernels->dot(units, difference, difference) / (double)units;
        shard->monitors[1] -= energy[row];
    }
    return HM_OK;
}

const hm_objective hm_pretrain_objective = {
    .name = "pretrain",
    .describe = "layer `layer` as an RBM on states of the layer below",
    .reads = " layer " HM_READS_CHAINS HM_READS_FINISH,
    .monitors = monitors,
    .check = check,
    .begin = begin,
    .learns = learns,
    .inference = &inference,
    .chains = &chains_of_pair,
    .scratch_bytes = scratch_bytes,
    .gradient = gradient,
    .monitor = monitor,
    .finish = finish,
    .fault = fault,
};
