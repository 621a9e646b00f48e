#include "boltzmann/chains.h"

#include "core/memory.h"

int64_t hm_machine_chain_columns(const hm_machine *machine) { return hm_side_units(machine, HM_ODD); }

int64_t hm_machine_sample_columns(const hm_machine *machine) { return hm_side_units(machine, HM_EVEN); }

size_t hm_machine_chain_bytes(const hm_machine *machine, int64_t chains)
{
    return hm_side_room_bytes(machine, HM_EVEN, chains) + 2 * hm_side_room_bytes(machine, HM_ODD, chains) +
           hm_half_bytes(machine, chains);
}

hm_status hm_machine_start_chains(const hm_model *model, const hm_machine *machine, hm_shard *part)
{
    hm_states states = {0};
    int64_t chains = part->chains.rows;
    hm_draw draw = {part->seed, {HM_RNG_CHAIN_START, HM_RNG_CHAIN_START}, 1, part->first_chain};
    HM_TRY(hm_side_room(machine, HM_EVEN, part->samples, part->scratch, &states));
    HM_TRY(hm_side_room(machine, HM_ODD, part->chains, part->scratch, &states));
    for (int l = 0; l < machine->layers; l += 2) {
        const hm_layer *layer = &machine->layer[l];
        const float *rates = hm_model_tensor(model, l == 0 ? machine->base_rate : layer->mean);
        hm_stream start = {part->seed, HM_RNG_CHAIN_START, l == 0 ? 0 : 1000 + (uint64_t)l};
        for (int64_t chain = 0; chain < chains; chain++)
            hm_units_draw(layer, rates, hm_layer_variance(machine, l), &start, part->first_chain + chain,
                          states.at[l] + chain * layer->units);
    }
    hm_half_step odd = {.side = HM_ODD, .from = &states, .sample = &states, .draw = &draw, .beta = 1};
    HM_TRY(hm_machine_half(model, machine, &odd, part->scratch));
    hm_side_store(machine, HM_ODD, &states, part->chains);
    return HM_OK;
}

hm_status hm_machine_run_chains(const hm_model *model, const hm_machine *machine, const hm_shard *shard,
                                hm_states *chains, int64_t first, const hm_states *last)
{
    for (int l = 0; l < machine->layers; l += 2) chains->at[l] = last->at[l];
    for (int64_t k = 0; k < shard->how->k; k++) {
        uint64_t step = shard->step * (uint64_t)shard->how->k + (uint64_t)k;
        hm_draw draw = {shard->seed, {HM_RNG_CHAIN_VISIBLE, HM_RNG_CHAIN_HIDDEN}, step, first};
        hm_half_step even = {.side = HM_EVEN, .from = chains, .sample = chains, .draw = &draw, .beta = 1};
        hm_half_step odd = {.side = HM_ODD, .from = chains, .prob = last, .sample = chains, .draw = &draw, .beta = 1};
        HM_TRY(hm_machine_half(model, machine, &even, shard->scratch));
        HM_TRY(hm_machine_half(model, machine, &odd, shard->scratch));
    }
    return HM_OK;
}

hm_status hm_machine_move_chains(const hm_model *model, const hm_machine *machine, hm_shard *part)
{
    hm_states chains = {0}, last = {0};
    HM_TRY(hm_side_load(machine, HM_ODD, part->chains, part->scratch, &chains));
    HM_TRY(hm_side_room(machine, HM_EVEN, part->samples, part->scratch, &last));
    HM_TRY(hm_side_room(machine, HM_ODD, part->expected, part->scratch, &last));
    HM_TRY(hm_machine_run_chains(model, machine, part, &chains, part->first_chain, &last));
    hm_side_store(machine, HM_ODD, &chains, part->chains);
    hm_side_store(machine, HM_EVEN, &last, part->samples);
    hm_side_store(machine, HM_ODD, &last, part->expected);
    return HM_OK;
}

/* ---- the whole machine ------------------------------------------------------------------------------------------ */

static int64_t columns(const hm_model *model, const hm_contrast_settings *how)
{
    (void)how;
    return hm_machine_chain_columns(model->machine);
}

static int64_t sample_columns(const hm_model *model, const hm_contrast_settings *how)
{
    (void)how;
    return hm_machine_sample_columns(model->machine);
}

static size_t scratch_bytes(const hm_model *model, const hm_contrast_settings *how, int64_t chains)
{
    (void)how;
    return hm_machine_chain_bytes(model->machine, chains);
}

static hm_status start(const hm_model *model, hm_shard *part)
{
    return hm_machine_start_chains(model, model->machine, part);
}

static hm_status move(const hm_model *model, hm_shard *part)
{
    return hm_machine_move_chains(model, model->machine, part);
}

const hm_chain_functions hm_likelihood_chains = {
    .columns = columns,
    .sample_columns = sample_columns,
    .scratch_bytes = scratch_bytes,
    .start = start,
    .move = move,
};
