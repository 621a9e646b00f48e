#include "train/contrast.h"

#include "core/kernels.h"
#include "core/memory.h"
#include "infer/progress.h"
#include "infer/rows.h"
#include "train/divergence.h"
#include "train/parts.h"
#include "train/reduction.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- buffers ---------------------------------------------------------------------------------------------------- */

struct contrast_buffers {
    hm_reduction reduction; /* of the gradient */
    hm_shard *shard;        /* (shards) */
    hm_arena *arena;        /* (shards) */
    double *monitors;       /* (shards, HM_MONITORS_MAX) */
    double *swaps;          /* (shards, HM_SWAP_COUNTS) */
    hm_parts parts;         /* of the own rows; and of chains, but not with parallel tempering */
    int stretches[2];       /* of a gradient, and of the adversary's ... */
    int64_t exchange_size;  /* ... and numbers exchanged between two of them */
    double *exchange;       /* (shards, exchange_size) */
};

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

/* Turns of an update: those of the adversary, if there is one, then one. */
static int64_t adversary_turns(const hm_contrast *contrast)
{
    return contrast->objective->adversary_has ? contrast->how.adversary_steps : 0;
}

/* Minibatches of an update: the adversary's turns have one each. */
static int64_t minibatches(const hm_contrast *contrast)
{
    int64_t turns = adversary_turns(contrast);
    return turns > 0 ? turns : 1;
}

int64_t hm_contrast_epoch(const hm_contrast *contrast) { return hm_feed_steps(contrast->feed) / minibatches(contrast); }

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

static hm_status prepare(hm_contrast *contrast)
{
    const hm_contrast_settings *how = &contrast->how;
    HM_REQUIRE(hm_contrast_epoch(contrast) > 0, HM_EUSAGE,
               "train.adversary_steps: an update takes %lld minibatches of %lld rows, and the data has %lld of them; "
               "lower it, or train.batch",
               (long long)minibatches(contrast), (long long)contrast->train.batch,
               (long long)hm_feed_steps(contrast->feed));
    if (how->sampler == HM_PARALLEL_TEMPERING)
        hm_tempering_init(&contrast->tempering, (int)how->temperatures, how->swap_adaptation);
    HM_TRY(hm_alloc(&contrast->buffers, 1, sizeof *contrast->buffers, "training buffers"));
    HM_TRY(alloc_chains(contrast));
    HM_TRY(make_parts(contrast));
    HM_TRY(alloc_buffers(contrast));
    for (int local = 0; local < contrast->buffers->reduction.shards; local++) HM_TRY(lay_out_shard(contrast, local));
    contrast->model->class->refresh(contrast->model);
    return start_chains(contrast);
}

hm_status hm_objective_check(const hm_objective *objective, const hm_model *model, const hm_contrast_settings *how)
{
    HM_REQUIRE(how->sampler == HM_GIBBS || (hm_model_anneals(model) && hm_objective_reads(objective, "sampler")),
               HM_EUSAGE, "train.sampler: objective %s of this %s has no path of temperatures; use gibbs",
               objective->name, model->class->name);
    HM_REQUIRE(how->sampler == HM_GIBBS || how->estimator == HM_PCD, HM_EUSAGE,
               "train.sampler: parallel tempering is of persistent chains; use estimator pcd");
    return objective->check ? objective->check(model, how) : HM_OK;
}

/* Which tensors move, and by whose optimiser; and whether the objective can be had at all. */
static hm_status apply_objective(hm_contrast *contrast)
{
    const hm_objective *objective = contrast->objective;
    const hm_model *model = contrast->model;
    const hm_optimizer_settings *second = contrast->train.adversary;
    HM_TRY(hm_objective_check(objective, model, &contrast->how));
    if (objective->adversary_has)
        HM_TRY(
            hm_optimizer_init(&contrast->adversary, second ? second : &contrast->optimizer.settings, &model->layout));
    for (int tensor = 0; tensor < model->layout.count; tensor++) {
        bool adversary = objective->adversary_has && objective->adversary_has(model, tensor);
        bool learns = !objective->learns || objective->learns(model, &contrast->how, tensor);
        contrast->optimizer.learns[tensor] &= learns && !adversary;
        contrast->adversary.learns[tensor] &= learns && adversary;
    }
    return HM_OK;
}

hm_status hm_contrast_create(hm_model *model, const hm_objective *objective, hm_feed *feed,
                             const hm_train_settings *train, const hm_contrast_settings *how,
                             const hm_optimizer_settings *optimizer, const hm_workers *workers, hm_contrast **out)
{
    hm_comm *comm = workers->comm;
    hm_contrast *contrast = NULL;
    *out = NULL;
    hm_status status = hm_alloc(&contrast, 1, sizeof *contrast, "the training loop");
    if (status == HM_OK) {
        *contrast = (hm_contrast){.model = model,
                                  .objective = objective ? objective : *model->class->objectives,
                                  .train = *train,
                                  .how = *how,
                                  .workers = workers,
                                  .chain_sum = NAN,
                                  .feed = feed,
                                  .own = hm_part(workers->shards, comm->size, comm->rank)};
        status = hm_optimizer_init(&contrast->optimizer, optimizer, &model->layout);
    }
    if (status == HM_OK) status = apply_objective(contrast);
    if (status == HM_OK) status = prepare(contrast);
    status = comm->agree(comm, status);
    if (status != HM_OK) {
        hm_contrast_free(contrast);
        return status;
    }
    *out = contrast;
    return HM_OK;
}

void hm_contrast_free(hm_contrast *contrast)
{
    if (!contrast) return;
    struct contrast_buffers *buffers = contrast->buffers;
    for (int local = 0; buffers && buffers->arena && local < buffers->reduction.shards; local++)
        hm_arena_free(&buffers->arena[local]);
    if (buffers) {
        hm_reduction_free(&buffers->reduction);
        hm_parts_free(&buffers->parts);
        free(buffers->shard);
        free(buffers->arena);
        free(buffers->monitors);
        free(buffers->swaps);
        free(buffers->exchange);
    }
    free(buffers);
    free(contrast->chains.at);
    hm_optimizer_free(&contrast->optimizer);
    hm_optimizer_free(&contrast->adversary);
    free(contrast);
}

/* ---- one update ------------------------------------------------------------------------------------------------- */

static hm_status begin_shard(const hm_contrast *contrast, int64_t local)
{
    struct contrast_buffers *buffers = contrast->buffers;
    hm_shard *shard = &buffers->shard[local];
    hm_arena_reset(shard->scratch);
    memset(shard->direct, 0, (size_t)buffers->reduction.direct_size * sizeof(float));
    if (contrast->tempering.count == 0) return HM_OK;
    return hm_tempering_move(&contrast->tempering, contrast->model, shard, buffers->swaps + local * HM_SWAP_COUNTS);
}

static hm_status shard_gradient(void *context, int64_t local)
{
    const hm_contrast *contrast = context;
    hm_shard *shard = &contrast->buffers->shard[local];
    if (shard->stretch == 0) HM_TRY(begin_shard(contrast, local));
    return contrast->objective->gradient(contrast->model, shard);
}

/* The sums of all shards, to all shards. */
static hm_status exchange(hm_contrast *contrast)
{
    struct contrast_buffers *buffers = contrast->buffers;
    int64_t size = buffers->exchange_size;
    HM_TRY(hm_sum_shards(contrast->workers, buffers->reduction.shards, size, buffers->exchange));
    for (int local = 1; local < buffers->reduction.shards; local++)
        memcpy(buffers->exchange + local * size, buffers->exchange, (size_t)size * sizeof(double));
    return HM_OK;
}

/* Adds the time since the last lap to one of the times. */
static void lap(double *last, double *time)
{
    double now = hm_clock();
    *time += now - *last;
    *last = now;
}

static hm_optimizer *mover_of(hm_contrast *contrast, bool adversary)
{
    return adversary ? &contrast->adversary : &contrast->optimizer;
}

/* The gradient of all shards of all ranks, as sums, from the rows that the feed has ready. `status`: of making them so.
 */
static hm_status sum_gradient(hm_contrast *contrast, bool adversary, hm_status status)
{
    hm_comm *comm = contrast->workers->comm;
    hm_times *times = &contrast->times;
    double last = hm_clock();
    struct contrast_buffers *buffers = contrast->buffers;
    int stretches = buffers->stretches[adversary];
    for (int stretch = 0; stretch < stretches; stretch++) {
        for (int local = 0; local < buffers->reduction.shards; local++) buffers->shard[local].stretch = stretch;
        if (status == HM_OK)
            status = hm_team_each(contrast->workers->team, buffers->reduction.shards, shard_gradient, contrast);
        lap(&last, &times->compute);
        HM_TRY(comm->agree(comm, status));
        lap(&last, &times->wait);
        if (stretch + 1 < stretches) HM_TRY(exchange(contrast));
        lap(&last, &times->reduce);
    }
    HM_TRY(hm_reduce_gradient(&buffers->reduction, mover_of(contrast, adversary)->learns));
    lap(&last, &times->compute);
    HM_TRY(comm->finish(comm));
    lap(&last, &times->reduce);
    return HM_OK;
}

/* log Z of the current parameters; where there is none, the message names the update rather than configurations. */
static hm_status log_z_of_update(const hm_contrast *contrast, double *log_z)
{
    hm_status status = hm_exact_log_z(contrast->model, contrast->workers, log_z);
    if (status != HM_ENUMERIC) return status;
    hm_error_clear();
    HM_TRY(hm_contrast_check_finite(contrast));
    return hm_diverged(contrast, "log Z is not finite");
}

/* The temperatures follow the swaps of all chains. */
static hm_status adapt_temperatures(hm_contrast *contrast)
{
    struct contrast_buffers *buffers = contrast->buffers;
    double last = hm_clock();
    HM_TRY(hm_sum_shards(contrast->workers, buffers->reduction.shards, HM_SWAP_COUNTS, buffers->swaps));
    hm_tempering_adapt(&contrast->tempering, buffers->swaps);
    lap(&last, &contrast->times.reduce);
    return HM_OK;
}

/* The gradient of one turn of an update; the last one after an adversary's has the rows of that one. */
static hm_status turn_gradient(hm_contrast *contrast, int64_t epoch, int64_t step_of_epoch, int64_t turn)
{
    double log_z = NAN;
    bool adversary = turn < adversary_turns(contrast);
    int64_t minibatch = step_of_epoch * minibatches(contrast) + (turn < minibatches(contrast) ? turn : turn - 1);
    if (contrast->how.estimator == HM_EXACT && contrast->objective->chains) HM_TRY(log_z_of_update(contrast, &log_z));
    uint64_t step = (uint64_t)(contrast->step * (adversary_turns(contrast) + 1) + turn);
    for (int local = 0; local < contrast->buffers->reduction.shards; local++) {
        hm_shard *shard = &contrast->buffers->shard[local];
        shard->step = step;
        shard->epoch = (double)contrast->step / (double)hm_contrast_epoch(contrast);
        shard->adversary = adversary;
        shard->log_z = log_z;
    }
    double last = hm_clock();
    hm_status status = hm_feed_advance(contrast->feed, contrast->epochs_before + epoch, minibatch);
    lap(&last, &contrast->times.io);
    if (status == HM_OK) status = hm_parts_prepare(&contrast->buffers->parts, contrast->workers->team, step, adversary);
    lap(&last, &contrast->times.compute);
    HM_TRY(sum_gradient(contrast, adversary, status));
    return contrast->tempering.count > 0 ? adapt_temperatures(contrast) : HM_OK;
}

hm_status hm_contrast_gradient(hm_contrast *contrast, int64_t epoch, int64_t step_of_epoch, int64_t turn, float *grad)
{
    HM_TRY(turn_gradient(contrast, epoch, step_of_epoch, turn));
    memcpy(grad, contrast->buffers->reduction.grad, (size_t)contrast->model->layout.size * sizeof(float));
    return HM_OK;
}

static double rate_of(const hm_contrast *contrast, const hm_optimizer *optimizer, int64_t step)
{
    double epochs = (double)step / (double)hm_contrast_epoch(contrast);
    return hm_learning_rate(&optimizer->settings, epochs, (double)contrast->train.epochs);
}

static hm_status take_turn(hm_contrast *contrast, int64_t step_of_epoch, int64_t turn)
{
    hm_model *model = contrast->model;
    int64_t turns = adversary_turns(contrast);
    bool adversary = turn < turns;
    hm_optimizer *mover = mover_of(contrast, adversary);
    HM_TRY(turn_gradient(contrast, contrast->epoch, step_of_epoch, turn));
    double last = hm_clock();
    if (contrast->objective->finish)
        contrast->objective->finish(model, &contrast->how, adversary, contrast->train.batch,
                                    contrast->buffers->reduction.grad);
    hm_optimizer_step(mover, contrast->workers->team, adversary ? contrast->step * turns + turn : contrast->step,
                      rate_of(contrast, mover, contrast->step), contrast->train.batch,
                      contrast->buffers->reduction.grad, model->params);
    if (contrast->objective->refresh)
        contrast->objective->refresh(model, adversary);
    else
        model->class->refresh(model);
    lap(&last, &contrast->times.compute);
    return HM_OK;
}

static hm_status update(hm_contrast *contrast, int64_t step_of_epoch)
{
    for (int64_t turn = 0; turn <= adversary_turns(contrast); turn++) HM_TRY(take_turn(contrast, step_of_epoch, turn));
    contrast->step++;
    return HM_OK;
}

/* ---- monitors --------------------------------------------------------------------------------------------------- */

static const hm_monitor extra_metrics[HM_EXTRA_METRICS] = {
    {"learning_rate", NULL, "learning rate of the last update; of two players, the generator's"},
    {"weight_norm", NULL, "root mean square of the weights that are learnt"},
    {"swap_rate", NULL, "least running share of accepted swaps between two temperatures (parallel tempering)"},
};

/* The last one is parallel tempering's. */
static int extra_metrics_of(const hm_contrast_settings *how)
{
    return how->sampler == HM_PARALLEL_TEMPERING ? HM_EXTRA_METRICS : HM_EXTRA_METRICS - 1;
}

static int monitors_of(const hm_objective *objective)
{
    int count = 0;
    while (objective->monitors[count].name) count++;
    return count;
}

int hm_contrast_metrics(const hm_objective *objective, const hm_contrast_settings *how, hm_monitor list[])
{
    int count = monitors_of(objective), extra = extra_metrics_of(how);
    memcpy(list, objective->monitors, (size_t)count * sizeof list[0]);
    memcpy(list + count, extra_metrics, (size_t)extra * sizeof list[0]);
    return count + extra;
}

static hm_status shard_monitor(void *context, int64_t local)
{
    const hm_contrast *contrast = context;
    hm_shard *shard = &contrast->buffers->shard[local];
    hm_arena_reset(shard->scratch);
    memset(shard->monitors, 0, HM_MONITORS_MAX * sizeof(double));
    return contrast->objective->monitor(contrast->model, shard);
}

static double weight_norm(const hm_contrast *contrast)
{
    const hm_model *model = contrast->model;
    double sum = 0, count = 0;
    for (int tensor = 0; tensor < model->layout.count; tensor++) {
        bool learns = contrast->optimizer.learns[tensor] || contrast->adversary.learns[tensor];
        if (!model->layout.tensors[tensor].decays || !learns) continue;
        hm_matrix w = hm_pack_matrix(&model->layout, model->params, tensor);
        sum += hm_kernels_best()->dot(w.rows * w.columns, w.at, w.at);
        count += (double)(w.rows * w.columns);
    }
    return sqrt(sum / count);
}

/* The monitors on the minibatch of the last update, with the parameters after it. values: (HM_METRICS_MAX). */
static hm_status measure(hm_contrast *contrast, double values[])
{
    const hm_workers *workers = contrast->workers;
    struct contrast_buffers *buffers = contrast->buffers;
    int monitors = monitors_of(contrast->objective);
    hm_status status = hm_team_each(workers->team, buffers->reduction.shards, shard_monitor, contrast);
    HM_TRY(workers->comm->agree(workers->comm, status));
    HM_TRY(hm_sum_shards(workers, buffers->reduction.shards, HM_MONITORS_MAX, buffers->monitors));
    for (int monitor = 0; monitor < monitors; monitor++)
        values[monitor] = buffers->monitors[monitor] / (double)contrast->train.batch;
    values[monitors] = rate_of(contrast, &contrast->optimizer, contrast->step - 1);
    values[monitors + 1] = weight_norm(contrast);
    if (contrast->tempering.count == 0) return HM_OK;
    const double *rates = contrast->tempering.rates;
    values[monitors + 2] = rates[0];
    for (int pair = 1; pair + 1 < contrast->tempering.count; pair++)
        values[monitors + 2] = fmin(values[monitors + 2], rates[pair]);
    return HM_OK;
}

/* ---- the loop --------------------------------------------------------------------------------------------------- */

static void show_progress(const hm_contrast *contrast, const double values[], bool epoch_end)
{
    int64_t total = hm_contrast_steps(contrast);
    hm_progress progress = {
        .what = contrast->stage ? contrast->stage : "training",
        .done = contrast->step,
        .total = total,
        .epoch = contrast->epoch + 1,
        .epochs = contrast->train.epochs,
        .samples_a_second =
            (double)(contrast->step * minibatches(contrast) * contrast->train.batch) / contrast->seconds,
        .objective = values[0],
        .objective_name = contrast->objective->monitors[0].name,
        .seconds_left = contrast->seconds / (double)contrast->step * (double)(total - contrast->step),
        .epoch_end = epoch_end,
    };
    contrast->workers->log->progress(contrast->workers->log, &progress);
}

static hm_status report(hm_contrast *contrast, const hm_observer *observer, double values[])
{
    double last = hm_clock();
    HM_TRY(hm_contrast_check_finite(contrast));
    HM_TRY(hm_contrast_check_alive(contrast));
    HM_TRY(measure(contrast, values));
    lap(&last, &contrast->times.compute);
    hm_metric_row row = {contrast->steps_before + contrast->step, contrast->epochs_before + contrast->epoch + 1,
                         contrast->seconds_before + contrast->seconds, values};
    HM_TRY(observer->row(observer->state, &row));
    lap(&last, &contrast->times.io);
    return HM_OK;
}

static hm_status run_step(hm_contrast *contrast, const hm_observer *observer, double values[])
{
    int64_t steps = hm_contrast_epoch(contrast), every = contrast->train.monitor_every;
    double start = hm_clock();
    HM_TRY(update(contrast, contrast->step % steps));
    contrast->seconds += hm_clock() - start;
    bool epoch_end = contrast->step % steps == 0;
    if (epoch_end || (every > 0 && contrast->step % every == 0)) HM_TRY(report(contrast, observer, values));
    show_progress(contrast, values, epoch_end);
    if (epoch_end) contrast->epoch++;
    start = hm_clock();
    HM_TRY(observer->step(observer->state, contrast));
    lap(&start, &contrast->times.io);
    return HM_OK;
}

void hm_contrast_resume(hm_contrast *contrast, int64_t step)
{
    contrast->step = step;
    contrast->epoch = step / hm_contrast_epoch(contrast);
    contrast->model->class->refresh(contrast->model);
}

int64_t hm_contrast_steps(const hm_contrast *contrast) { return contrast->train.epochs * hm_contrast_epoch(contrast); }

hm_status hm_contrast_run(hm_contrast *contrast, const hm_observer *observer)
{
    double values[HM_METRICS_MAX];
    for (int metric = 0; metric < HM_METRICS_MAX; metric++) values[metric] = NAN;
    while (contrast->epoch < contrast->train.epochs) HM_TRY(run_step(contrast, observer, values));
    return HM_OK;
}
