#include "train/chain_parts.h"

#include "core/memory.h"

#include <stdlib.h>

hm_status hm_chain_parts_init(hm_chain_parts *parts, const hm_model *model, const hm_chain_functions *functions,
                              const hm_contrast_settings *how, const hm_workers *workers, hm_matrix chains,
                              int64_t first_chain, int64_t all_chains)
{
    int count = workers->team->threads < chains.rows ? workers->team->threads : (int)chains.rows;
    *parts = (hm_chain_parts){.count = count,
                              .model = model,
                              .functions = functions,
                              .samples = {NULL, chains.rows, functions->sample_columns(model, how)},
                              .expected = {NULL, chains.rows, chains.columns}};
    HM_TRY(hm_alloc(&parts->samples.at, chains.rows * parts->samples.columns, sizeof(float), "samples of chains"));
    HM_TRY(hm_alloc(&parts->expected.at, chains.rows * chains.columns, sizeof(float), "means of chains"));
    HM_TRY(hm_alloc(&parts->part, count, sizeof(hm_shard), "parts of chains"));
    HM_TRY(hm_alloc(&parts->arena, count, sizeof(hm_arena), "scratch of chains"));
    for (int at = 0; at < count; at++) {
        hm_range rows = hm_part(chains.rows, count, at);
        parts->part[at] = (hm_shard){.seed = workers->seed,
                                     .chains = hm_rows(chains, rows.begin, hm_count(rows)),
                                     .samples = hm_rows(parts->samples, rows.begin, hm_count(rows)),
                                     .expected = hm_rows(parts->expected, rows.begin, hm_count(rows)),
                                     .first_chain = first_chain + rows.begin,
                                     .all_chains = all_chains,
                                     .how = how,
                                     .scratch = &parts->arena[at]};
        HM_TRY(hm_arena_init(&parts->arena[at], functions->scratch_bytes(model, how, hm_count(rows)),
                             "scratch of chains (lower train.chains)"));
    }
    return HM_OK;
}

void hm_chain_parts_free(hm_chain_parts *parts)
{
    for (int at = 0; parts->arena && at < parts->count; at++) hm_arena_free(&parts->arena[at]);
    free(parts->arena);
    free(parts->part);
    free(parts->samples.at);
    free(parts->expected.at);
    *parts = (hm_chain_parts){0};
}

static hm_status start(void *context, int64_t at)
{
    const hm_chain_parts *parts = context;
    hm_arena_reset(parts->part[at].scratch);
    return parts->functions->start(parts->model, &parts->part[at]);
}

static hm_status move(void *context, int64_t at)
{
    const hm_chain_parts *parts = context;
    hm_arena_reset(parts->part[at].scratch);
    return parts->functions->move(parts->model, &parts->part[at]);
}

hm_status hm_chain_parts_start(hm_chain_parts *parts, const hm_team *team)
{
    return hm_team_each(team, parts->count, start, parts);
}

hm_status hm_chain_parts_move(hm_chain_parts *parts, const hm_team *team, uint64_t step)
{
    for (int at = 0; at < parts->count; at++) parts->part[at].step = step;
    return hm_team_each(team, parts->count, move, parts);
}
