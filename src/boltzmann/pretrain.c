#include "boltzmann/pretrain.h"

#include "core/kernels.h"
#include "core/memory.h"

#include <string.h>

/* The layer that a stage trains is the upper one of pair `layer` - 1. */
static int pair_index(const hm_contrast_settings *how) { return (int)how->layer - 1; }

hm_status hm_pretrain_check(const hm_model *model, const hm_contrast_settings *how, int hidden_layers, hm_pair_of pair)
{
    HM_REQUIRE(how->layer >= 1 && how->layer <= hidden_layers, HM_EUSAGE,
               "objective pretrain trains one layer: `layer` must be 1 to %d, not %lld", hidden_layers,
               (long long)how->layer);
    hm_machine machine = pair(model, pair_index(how));
    return hm_machine_check_exact(&machine, how);
}

/* ---- upward ----------------------------------------------------------------------------------------------------- */

size_t hm_upward_bytes(const hm_model *model, int l, hm_pair_of pair, int64_t rows)
{
    size_t bytes = 0;
    for (int below = 0; below + 1 < l; below++) bytes += hm_arena_bytes(rows * pair(model, below).layer[1].units);
    return bytes + hm_arena_bytes(0);
}

hm_status hm_draw_upward(const hm_model *model, hm_matrix data, int l, hm_pair_of pair, uint64_t seed, uint64_t step,
                         int64_t first_row, hm_arena *scratch, float *x)
{
    size_t mark = scratch->used;
    hm_matrix lower = data;
    if (l == 0) memcpy(x, data.at, (size_t)(data.rows * data.columns) * sizeof(float));
    for (int below = 0; below < l; below++) {
        hm_machine machine = pair(model, below);
        hm_states states = {.rows = data.rows, .at = {lower.at, x}};
        hm_draw draw = {seed, {HM_RNG_UPWARD, HM_RNG_UPWARD}, step * HM_LAYERS_MAX + (uint64_t)below, first_row};
        hm_half_step up = {.side = HM_ODD, .from = &states, .sample = &states, .draw = &draw, .beta = 1};
        if (below + 1 < l) HM_TRY(hm_arena_floats(scratch, data.rows * machine.layer[1].units, &states.at[1]));
        HM_TRY(hm_machine_half(model, &machine, &up, scratch));
        lower = hm_layer_of(&machine, &states, 1);
    }
    scratch->used = mark;
    return HM_OK;
}

/* ---- the gradient ----------------------------------------------------------------------------------------------- */

size_t hm_pretrain_bytes(const hm_model *model, const hm_contrast_settings *how, int shards, int64_t rows,
                         int64_t chains, hm_pair_of pair)
{
    hm_machine machine = pair(model, pair_index(how));
    size_t gradient = hm_machine_gradient_bytes(&machine, how, shards, rows, chains);
    size_t start = hm_machine_start_bytes(&machine, chains);
    size_t monitor = 2 * hm_side_bytes(&machine, HM_EVEN, rows) + hm_side_bytes(&machine, HM_ODD, rows) +
                     hm_side_log_prob_bytes(&machine, rows) + hm_arena_bytes(2 * rows);
    size_t most = gradient > start ? gradient : start;
    /* The layer below is drawn into a matrix of its own, since the positive phase knows only its shard. */
    return (most > monitor ? most : monitor) + hm_upward_bytes(model, pair_index(how), pair, rows) +
           hm_arena_bytes(rows * model->visible);
}

/* context: the stack's hm_pair_of. */
static hm_status positive(const hm_model *model, const hm_machine *machine, hm_shard *shard, const hm_states *states,
                          const void *context)
{
    hm_half_step up = {.side = HM_ODD, .from = states, .prob = states, .beta = 1};
    hm_matrix data = {NULL, shard->data.rows, model->visible};
    HM_TRY(hm_arena_floats(shard->scratch, data.rows * data.columns, &data.at));
    hm_shard_visible(model, shard, data.at);
    HM_TRY(hm_draw_upward(model, data, pair_index(shard->how), *(const hm_pair_of *)context, shard->seed, shard->step,
                          shard->first_row, shard->scratch, states->at[0]));
    return hm_machine_half(model, machine, &up, shard->scratch);
}

hm_status hm_pretrain_gradient(const hm_model *model, hm_shard *shard, hm_pair_of pair)
{
    hm_machine machine = pair(model, pair_index(shard->how));
    return hm_machine_gradient(model, &machine, shard, positive, &pair);
}

/* ---- monitors --------------------------------------------------------------------------------------------------- */

const hm_monitor hm_pretrain_monitors[] = {
    {"reconstruction_error", NULL,
     "mean squared difference of a layer and its reconstruction from the one above, per unit"},
    {"free_energy", "nats", "free energy of the minibatch; its level has no meaning, its drift has"},
    {NULL, NULL, NULL},
};

hm_status hm_pretrain_monitor(const hm_model *model, hm_shard *shard, hm_pair_of pair)
{
    const hm_kernels *kernels = hm_kernels_best();
    hm_machine machine = pair(model, pair_index(shard->how));
    int64_t rows = shard->data.rows, units = machine.layer[0].units;
    hm_states states = {0}, back = {0};
    float *energies;
    HM_TRY(hm_side_alloc(&machine, HM_EVEN, rows, shard->scratch, &states));
    HM_TRY(hm_side_alloc(&machine, HM_EVEN, rows, shard->scratch, &back));
    HM_TRY(hm_side_alloc(&machine, HM_ODD, rows, shard->scratch, &states));
    HM_TRY(hm_arena_floats(shard->scratch, 2 * rows, &energies));
    double *energy = (double *)(void *)energies; /* arenas are aligned for any type */
    HM_TRY(positive(model, &machine, shard, &states, &pair));
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
