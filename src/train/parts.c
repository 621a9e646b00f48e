#include "train/parts.h"

#include "core/memory.h"

#include <stdlib.h>

/* Both functions have the arena for themselves. */
static size_t scratch_bytes(const hm_parts *parts, int64_t rows, int64_t chains)
{
    const hm_objective *objective = parts->objective;
    size_t infer = parts->inferred.at ? objective->inference->scratch_bytes(parts->model, parts->how, rows) : 0;
    size_t move = chains > 0 ? objective->chains->scratch_bytes(parts->model, parts->how, chains) : 0;
    return infer > move ? infer : move;
}

static hm_status init_part(hm_parts *parts, const hm_workers *workers, int at)
{
    hm_range rows = hm_part(parts->data.rows, parts->count, at), chains = hm_part(parts->chains.rows, parts->count, at);
    parts->part[at] = (hm_shard){.seed = workers->seed,
                                 .data = hm_rows(parts->data, rows.begin, hm_count(rows)),
                                 .inferred = hm_rows(parts->inferred, rows.begin, hm_count(rows)),
                                 .first_row = parts->rows.begin + rows.begin,
                                 .chains = hm_rows(parts->chains, chains.begin, hm_count(chains)),
                                 .samples = hm_rows(parts->samples, chains.begin, hm_count(chains)),
                                 .expected = hm_rows(parts->expected, chains.begin, hm_count(chains)),
                                 .first_chain = parts->first_chain + chains.begin,
                                 .all_chains = parts->all_chains,
                                 .objective = parts->objective,
                                 .how = parts->how,
                                 .scratch = &parts->arena[at]};
    return hm_arena_init(&parts->arena[at], scratch_bytes(parts, hm_count(rows), hm_count(chains)),
                         "scratch of rows and chains (lower train.batch or train.chains)");
}

static hm_status alloc_rows(hm_matrix *rows, int64_t count, int64_t columns, const char *what)
{
    *rows = (hm_matrix){NULL, count, columns};
    return hm_alloc(&rows->at, count * columns + 64, sizeof(float), what);
}

hm_status hm_parts_init(hm_parts *parts, const hm_workers *workers)
{
    const hm_model *model = parts->model;
    const hm_chain_functions *chains = parts->objective->chains;
    const hm_inference *inference = parts->objective->inference;
    int64_t rows = hm_count(parts->rows), moving = parts->chains.rows, most = rows > moving ? rows : moving;
    parts->count = workers->team->threads < most ? workers->team->threads : (int)most;
    HM_TRY(alloc_rows(&parts->data, rows, model->visible + model->classes, "a minibatch (lower train.batch)"));
    int64_t found = inference ? inference->columns(model, parts->how) : 0;
    if (found > 0) HM_TRY(alloc_rows(&parts->inferred, rows, found, "states under the data (lower train.batch)"));
    if (moving > 0) {
        HM_TRY(alloc_rows(&parts->samples, moving, chains->sample_columns(model, parts->how), "samples of chains"));
        HM_TRY(alloc_rows(&parts->expected, moving, parts->chains.columns, "means of chains"));
    }
    HM_TRY(hm_alloc(&parts->part, parts->count, sizeof(hm_shard), "parts of rows and chains"));
    HM_TRY(hm_alloc(&parts->arena, parts->count, sizeof(hm_arena), "scratch of rows and chains"));
    for (int at = 0; at < parts->count; at++) HM_TRY(init_part(parts, workers, at));
    return HM_OK;
}

void hm_parts_free(hm_parts *parts)
{
    for (int at = 0; parts->arena && at < parts->count; at++) hm_arena_free(&parts->arena[at]);
    free(parts->arena);
    free(parts->part);
    free(parts->data.at);
    free(parts->inferred.at);
    free(parts->samples.at);
    free(parts->expected.at);
    *parts = (hm_parts){0};
}

static hm_status start(void *context, int64_t at)
{
    const hm_parts *parts = context;
    hm_shard *part = &parts->part[at];
    hm_arena_reset(part->scratch);
    return part->chains.rows > 0 ? parts->objective->chains->start(parts->model, part) : HM_OK;
}

static hm_status prepare(void *context, int64_t at)
{
    const hm_parts *parts = context;
    const hm_objective *objective = parts->objective;
    hm_shard *part = &parts->part[at];
    hm_feed_rows(parts->feed, part->first_row, part->data);
    hm_arena_reset(part->scratch);
    if (part->inferred.at && part->data.rows > 0) HM_TRY(objective->inference->infer(parts->model, part));
    hm_arena_reset(part->scratch);
    return part->chains.rows > 0 && !part->adversary ? objective->chains->move(parts->model, part) : HM_OK;
}

hm_status hm_parts_start(hm_parts *parts, const hm_team *team)
{
    return hm_team_each(team, parts->count, start, parts);
}

hm_status hm_parts_prepare(hm_parts *parts, const hm_team *team, uint64_t step, bool adversary)
{
    for (int at = 0; at < parts->count; at++) {
        parts->part[at].step = step;
        parts->part[at].adversary = adversary;
    }
    return hm_team_each(team, parts->count, prepare, parts);
}
