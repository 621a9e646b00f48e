#include "train/buffers.h"

#include "core/memory.h"
#include "infer/rows.h"

#include <stdlib.h>

static hm_status alloc_buffers(hm_contrast *contrast)
{
    const hm_objective *objective = contrast->objective;
    struct contrast_buffers *buffers = contrast->buffers;
    int64_t shards = hm_count(contrast->own);
    for (int turn = 0; turn < 2; turn++) {
        hm_stretches turns = {.count = 1};
        if (objective->stretches) turns = objective->stretches(contrast->model, objective, turn == 1);
        buffers->stretches[turn] = turns.count;
        if (turns.exchange > buffers->exchange_size) buffers->exchange_size = turns.exchange;
    }
    HM_TRY(hm_reduction_init(&buffers->reduction, &contrast->model->layout, contrast->workers, (int)shards));
    HM_TRY(hm_alloc(&buffers->shard, shards, sizeof(hm_shard), "shards"));
    HM_TRY(hm_alloc(&buffers->arena, shards, sizeof(hm_arena), "scratch"));
    HM_TRY(hm_alloc(&buffers->monitors, shards * HM_MONITORS_MAX, sizeof(double), "monitors"));
    HM_TRY(hm_alloc(&buffers->exchange, shards * buffers->exchange_size, sizeof(double), "sums of a batch"));
    return hm_alloc(&buffers->swaps, shards * HM_SWAP_COUNTS, sizeof(double), "counts of swaps");
}

/* The parts of a shard that never change. */
static hm_status lay_out_shard(hm_contrast *contrast, int local)
{
    struct contrast_buffers *buffers = contrast->buffers;
    const hm_workers *workers = contrast->workers;
    const hm_model *model = contrast->model;
    int index = (int)contrast->own.begin + local;
    hm_range rows = hm_part(contrast->train.batch, workers->shards, index);
    hm_range chains = hm_part(contrast->all_chains, workers->shards, index);
    hm_arena *arena = &buffers->arena[local];
    const hm_parts *parts = &buffers->parts;
    int64_t row = rows.begin - parts->rows.begin, chain = chains.begin - contrast->first_chain; /* of this rank's */
    size_t bytes =
        contrast->objective->scratch_bytes(model, &contrast->how, workers->shards, hm_count(rows), hm_count(chains)) +
        hm_tempering_bytes(&contrast->tempering, model, hm_count(chains));
    HM_TRY(hm_arena_init(arena, bytes, "a shard's scratch (lower train.batch or train.chains)"));
    buffers->shard[local] = (hm_shard){
        .index = index,
        .shards = workers->shards,
        .seed = workers->seed,
        .data = hm_rows(parts->data, row, hm_count(rows)),
        .inferred = hm_rows(parts->inferred, row, hm_count(rows)),
        .first_row = rows.begin,
        .batch = contrast->train.batch,
        .chains = hm_rows(contrast->chains, chain, hm_count(chains)),
        .samples = hm_rows(parts->samples, chain, hm_count(chains)),
        .expected = hm_rows(parts->expected, chain, hm_count(chains)),
        .first_chain = chains.begin,
        .all_chains = contrast->all_chains,
        .objective = contrast->objective,
        .how = &contrast->how,
        .scratch = arena,
        .outer = hm_reduction_outer(&buffers->reduction, local),
        .direct = hm_reduction_direct(&buffers->reduction, local),
        .direct_begin = buffers->reduction.direct_begin,
        .monitors = buffers->monitors + local * HM_MONITORS_MAX,
        .exchange = buffers->exchange + local * buffers->exchange_size,
    };
    return HM_OK;
}

static hm_status alloc_chains(hm_contrast *contrast)
{
    int shards = contrast->workers->shards;
    const hm_chain_functions *functions = contrast->objective->chains;
    bool persistent = functions && contrast->how.estimator == HM_PCD;
    contrast->all_chains = !persistent ? 0 : contrast->how.chains ? contrast->how.chains : contrast->train.batch;
    if (!persistent) return HM_OK;
    contrast->first_chain = hm_part(contrast->all_chains, shards, contrast->own.begin).begin;
    int64_t end = hm_part(contrast->all_chains, shards, contrast->own.end - 1).end;
    bool tempered = contrast->tempering.count > 0;
    contrast->chains = (hm_matrix){.rows = end - contrast->first_chain,
                                   .columns = tempered ? hm_tempering_columns(&contrast->tempering, contrast->model)
                                                       : functions->columns(contrast->model, &contrast->how)};
    return hm_alloc(&contrast->chains.at, contrast->chains.rows * contrast->chains.columns + 64, sizeof(float),
                    "persistent chains (lower train.chains)");
}

static hm_status make_parts(hm_contrast *contrast)
{
    int64_t shards = contrast->workers->shards, batch = contrast->train.batch;
    bool tempered = contrast->tempering.count > 0;
    contrast->buffers->parts = (hm_parts){
        .model = contrast->model,
        .objective = contrast->objective,
        .how = &contrast->how,
        .feed = contrast->feed,
        .rows = {hm_part(batch, shards, contrast->own.begin).begin, hm_part(batch, shards, contrast->own.end - 1).end},
        .chains = tempered ? (hm_matrix){0} : contrast->chains,
        .first_chain = contrast->first_chain,
        .all_chains = contrast->all_chains,
    };
    return hm_parts_init(&contrast->buffers->parts, contrast->workers);
}

static hm_status start_replicas(void *context, int64_t local)
{
    const hm_contrast *contrast = context;
    hm_shard *shard = &contrast->buffers->shard[local];
    hm_arena_reset(shard->scratch);
    return hm_tempering_start(&contrast->tempering, contrast->model, shard);
}

static hm_status start_chains(hm_contrast *contrast)
{
    const hm_team *team = contrast->workers->team;
    if (contrast->tempering.count == 0) return hm_parts_start(&contrast->buffers->parts, team);
    return hm_team_each(team, contrast->buffers->reduction.shards, start_replicas, contrast);
}

hm_status hm_buffers_make(hm_contrast *contrast)
{
    if (contrast->how.sampler == HM_PARALLEL_TEMPERING)
        hm_tempering_init(&contrast->tempering, (int)contrast->how.temperatures, contrast->how.swap_adaptation);
    HM_TRY(hm_alloc(&contrast->buffers, 1, sizeof *contrast->buffers, "training buffers"));
    HM_TRY(alloc_chains(contrast));
    HM_TRY(make_parts(contrast));
    HM_TRY(alloc_buffers(contrast));
    for (int local = 0; local < contrast->buffers->reduction.shards; local++) HM_TRY(lay_out_shard(contrast, local));
    return start_chains(contrast);
}

void hm_buffers_free(hm_contrast *contrast)
{
    struct contrast_buffers *buffers = contrast->buffers;
    free(contrast->chains.at);
    if (!buffers) return;
    for (int local = 0; buffers->arena && local < buffers->reduction.shards; local++)
        hm_arena_free(&buffers->arena[local]);
    hm_reduction_free(&buffers->reduction);
    hm_parts_free(&buffers->parts);
    free(buffers->shard);
    free(buffers->arena);
    free(buffers->monitors);
    free(buffers->swaps);
    free(buffers->exchange);
    free(buffers);
}
