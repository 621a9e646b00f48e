#include "train/contrast.h"

#include "core/kernels.h"
#include "core/memory.h"
#include "infer/progress.h"
#include "infer/rows.h"
#include "train/buffers.h"
#include "train/divergence.h"
#include "train/monitors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static hm_status prepare(hm_contrast *contrast)
{
    HM_REQUIRE(hm_contrast_epoch(contrast) > 0, HM_EUSAGE,
               "train.adversary_steps: an update takes %lld minibatches of %lld rows, and the data has %lld of them; "
               "lower it, or train.batch",
               (long long)minibatches(contrast), (long long)contrast->train.batch,
               (long long)hm_feed_steps(contrast->feed));
    contrast->model->class->refresh(contrast->model);
    return hm_buffers_make(contrast);
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
                                  .own = hm_own_shards(workers)};
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
    hm_buffers_free(contrast);
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

double hm_contrast_rate(const hm_contrast *contrast, const hm_optimizer *optimizer, int64_t step)
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
                      hm_contrast_rate(contrast, mover, contrast->step), contrast->train.batch,
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
    HM_TRY(hm_contrast_measure(contrast, values));
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
