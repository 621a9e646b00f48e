#include "infer/sampling.h"

#include "core/memory.h"
#include "infer/progress.h"
#include "infer/rows.h"

#include <string.h>

/* Gibbs steps are made a few at a time, so that scratch is small and progress can be shown. */
enum { STEPS_A_TURN = 50 };

typedef struct turn {
    const hm_model *model;
    const hm_workers *workers;
    const hm_sampling *samples;
    int64_t first_shard, first_step, steps;
} turn;

/* A shard's samples, and scratch for them; none of a shard without. */
static hm_status begin_shard(const turn *t, int64_t local, hm_range *rows, hm_arena *scratch)
{
    *rows = hm_part(t->samples->rows.rows, t->workers->shards, t->first_shard + local);
    if (hm_count(*rows) == 0) return HM_OK;
    return hm_arena_init(scratch, t->model->class->sampling_bytes(t->model, hm_count(*rows)), "scratch for sampling");
}

/* Some steps of one shard's chains. */
static hm_status move_shard(void *context, int64_t local)
{
    const turn *t = context;
    const hm_sampling *to = t->samples;
    hm_range rows;
    hm_arena scratch;
    HM_TRY(begin_shard(t, local, &rows, &scratch));
    if (hm_count(rows) == 0) return HM_OK;
    const hm_gibbs_steps steps = {.seed = t->workers->seed,
                                  .first = (uint64_t)t->first_step,
                                  .count = t->steps,
                                  .first_row = rows.begin,
                                  .clamped = to->clamped,
                                  .labels = to->labels ? to->labels + rows.begin : NULL,
                                  .prob = t->model->class->show ? NULL : hm_rows(to->means, rows.begin, 1).at};
    hm_status status =
        t->model->class->gibbs(t->model, &steps, hm_rows(to->states, rows.begin, hm_count(rows)), &scratch);
    hm_arena_free(&scratch);
    return status;
}

/* Chains start in a stream of their own. */
static void start_chains(const turn *t)
{
    const hm_model_class *class = t->model->class;
    hm_stream stream = {t->workers->seed, HM_RNG_SAMPLE_START, 0};
    class->annealing->draw_base(t->model, class->base_biases(t->model), &stream, 0, t->samples->states);
}

static hm_status move_chains(turn *t, int64_t own_shards)
{
    hm_pulse pulse = hm_pulse_start(t->workers->log, "sampling");
    for (t->first_step = 0; t->first_step < t->samples->steps; t->first_step += t->steps) {
        int64_t left = t->samples->steps - t->first_step;
        t->steps = left < STEPS_A_TURN ? left : STEPS_A_TURN;
        HM_TRY(hm_team_each(t->workers->team, own_shards, move_shard, t));
        hm_pulse_report(&pulse, t->first_step + t->steps, t->samples->steps);
    }
    return HM_OK;
}

/* What one shard's states say of the visible units: by the family, or as they lie there. */
static hm_status show_shard(void *context, int64_t local)
{
    const turn *t = context;
    const hm_sampling *to = t->samples;
    hm_stream stream = {t->workers->seed, HM_RNG_SAMPLE_VISIBLE, HM_RNG_SECOND_WALK};
    hm_range rows;
    hm_arena scratch;
    HM_TRY(begin_shard(t, local, &rows, &scratch));
    if (hm_count(rows) == 0) return HM_OK;
    hm_status status = HM_OK;
    if (t->model->class->show)
        status =
            t->model->class->show(t->model, hm_rows(to->states, rows.begin, hm_count(rows)), &stream, rows.begin,
                                  &scratch, hm_rows(to->rows, rows.begin, 1).at, hm_rows(to->means, rows.begin, 1).at);
    else
        for (int64_t row = rows.begin; row < rows.end; row++)
            memcpy(hm_rows(to->rows, row, 1).at, hm_rows(to->states, row, 1).at,
                   (size_t)to->rows.columns * sizeof(float));
    hm_arena_free(&scratch);
    return status;
}

hm_status hm_sample_chains(const hm_model *model, const hm_workers *workers, const hm_sampling *samples)
{
    hm_comm *comm = workers->comm;
    hm_range own = hm_own_shards(workers);
    turn t = {.model = model, .workers = workers, .samples = samples, .first_shard = own.begin};
    HM_REQUIRE(model->class->gibbs, HM_EUSAGE, "a model of family %s has no chains", model->class->name);
    start_chains(&t);
    hm_status status = move_chains(&t, hm_count(own));
    if (status == HM_OK) status = hm_team_each(workers->team, hm_count(own), show_shard, &t);
    HM_TRY(comm->agree(comm, status));
    HM_TRY(hm_gather_matrix(workers, samples->states));
    HM_TRY(hm_gather_matrix(workers, samples->rows));
    HM_TRY(hm_gather_matrix(workers, samples->means));
    return samples->labels ? hm_gather_classes(workers, samples->rows.rows, samples->labels) : HM_OK;
}
