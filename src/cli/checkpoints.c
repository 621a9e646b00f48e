#include "cli/checkpoints.h"

#include "boltzmann/machine.h"
#include "cli/signals.h"
#include "infer/progress.h"
#include "io/checkpoint.h"
#include "mpi/comm_mpi.h"
#include "train/divergence.h"

#include <stdio.h>
#include <stdlib.h>

/* Values are written to only when a checkpoint is read. */
static void add_seconds(hm_checkpoint *checkpoint, const char *name, const char *description, const double *value)
{
    hm_checkpoint_scalar *scalar = &checkpoint->scalars[checkpoint->scalar_count++];
    *scalar = (hm_checkpoint_scalar){.unit = "s", .description = description, .value = (double *)value};
    snprintf(scalar->name, sizeof scalar->name, "%s", name);
}

static void add_of_temperature(hm_checkpoint *checkpoint, const char *name, int temperature, const char *description,
                               const double *value)
{
    hm_checkpoint_scalar *scalar = &checkpoint->scalars[checkpoint->scalar_count++];
    *scalar = (hm_checkpoint_scalar){.description = description, .value = (double *)value};
    snprintf(scalar->name, sizeof scalar->name, "%s_%d", name, temperature);
}

/* An optimiser's state, under its names. */
static void add_moments(hm_checkpoint *checkpoint, const hm_optimizer *optimizer, const char *const names[])
{
    for (int moment = 0; moment < optimizer->moments; moment++)
        checkpoint->packs[checkpoint->pack_count++] = (hm_checkpoint_pack){names[moment], optimizer->moment[moment]};
}

/* Has a machine units whose values are not between 0 and 1? */
static bool has_real_units(const hm_machine *machine)
{
    for (int layer = 0; machine && layer < machine->layers; layer++)
        if (machine->layer[layer].unit == HM_GAUSSIAN || machine->layer[layer].unit == HM_RECTIFIED) return true;
    return !machine;
}

/* What of the loop a checkpoint holds: written from there, or read into it. */
static hm_checkpoint contents(const hm_contrast *contrast)
{
    hm_checkpoint checkpoint = {
        .layout = &contrast->model->layout,
        .params = contrast->model->params,
        .chains = contrast->chains,
        .first_chain = contrast->first_chain,
        .all_chains = contrast->all_chains,
        .real_chains = has_real_units(contrast->model->machine),
    };
    static const char *const of_adversary[][HM_MOMENTS_MAX] = {{"adversary_velocity"},
                                                               {"adversary_moment1", "adversary_moment2"}};
    add_moments(&checkpoint, &contrast->optimizer, contrast->optimizer.moment_names);
    add_moments(&checkpoint, &contrast->adversary, of_adversary[contrast->adversary.moments == HM_MOMENTS_MAX]);
    _Static_assert(2 * (int)HM_MOMENTS_MAX <= (int)HM_CHECKPOINT_PACKS, "a checkpoint has room for two optimisers");
    _Static_assert(2 + 2 * (int)HM_TEMPERATURES_MAX <= (int)HM_CHECKPOINT_SCALARS,
                   "a checkpoint has room for a ladder");
    add_seconds(&checkpoint, "seconds", "updates of this stage", &contrast->seconds);
    add_seconds(&checkpoint, "seconds_before", "updates of the stages before", &contrast->seconds_before);
    for (int at = 0; at < contrast->tempering.count; at++)
        add_of_temperature(&checkpoint, "beta", at, "inverse temperature of these replicas",
                           &contrast->tempering.betas[at]);
    for (int pair = 0; pair + 1 < contrast->tempering.count; pair++)
        add_of_temperature(&checkpoint, "swap_rate", pair,
                           "running share of accepted swaps with the next warmer replicas",
                           &contrast->tempering.rates[pair]);
    return checkpoint;
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static hm_status write_checkpoint(hm_checkpoints *c, const hm_contrast *contrast)
{
    hm_comm *comm = c->cli->comm;
    double start = hm_clock();
    hm_checkpoint_info info = {
        .seed = c->run->workers.seed,
        .step = contrast->steps_before + contrast->step,
        .epoch = contrast->epochs_before + contrast->epoch,
        .shards = c->run->general.shards,
        .data = c->data,
        .stage = c->stage->name,
        .stage_step = contrast->step,
        .stage_epoch = contrast->epoch,
        .config = c->run->yaml,
    };
    hm_checkpoint checkpoint = contents(contrast);
    HM_TRY(comm->agree(comm, hm_contrast_check_finite(contrast)));
    HM_TRY(comm->agree(comm, c->metrics ? hm_metrics_sync(c->metrics) : HM_OK));
    HM_TRY(hm_checkpoint_write(c->folder, comm, hm_comm_mpi_handle(comm), &info, &checkpoint));
    c->last = hm_clock();
    c->seconds += c->last - start;
    c->written++;
    comm->wished = HM_WISH_NOTHING;
    return HM_OK;
}

/* What this rank would like to happen after the next update. */
static hm_wish wish(const hm_checkpoints *c)
{
    double seconds = c->run->checkpoint.seconds;
    if (hm_signals_caught()) return HM_WISH_STOP;
    bool late = seconds > 0 && hm_clock() - c->last >= seconds;
    return c->cli->comm->rank == 0 && late ? HM_WISH_CHECKPOINT : HM_WISH_NOTHING;
}

void hm_training_place(const hm_run *run, const hm_stage *stage, const hm_contrast *contrast,
                       char where[HM_WHERE_BYTES])
{
    snprintf(where, HM_WHERE_BYTES, "update %lld of %lld%s%s%s", (long long)contrast->step,
             (long long)hm_contrast_steps(contrast), run->staged ? " of stage '" : "", run->staged ? stage->name : "",
             run->staged ? "'" : "");
}

hm_status hm_checkpoints_step(hm_checkpoints *c, const hm_contrast *contrast)
{
    hm_comm *comm = c->cli->comm;
    int64_t every = c->run->checkpoint.steps, step = contrast->step, steps = hm_contrast_steps(contrast);
    bool last = step == steps, stop = comm->wished == HM_WISH_STOP && !last;
    if (last || comm->wished != HM_WISH_NOTHING || (every > 0 && step % every == 0))
        HM_TRY(write_checkpoint(c, contrast));
    comm->wish = wish(c);
    if (!stop) return HM_OK;
    const char *signal = hm_signals_caught();
    char where[HM_WHERE_BYTES];
    hm_training_place(c->run, c->stage, contrast, where);
    return hm_fail(HM_EINTERRUPTED,
                   "stopped by %s after %s, with a checkpoint; the same command goes on from there, or harmonium "
                   "train --resume %s",
                   signal ? signal : "a signal", where, c->folder);
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static hm_status read_checkpoint(const hm_checkpoints *c, hm_contrast *contrast, const char *path)
{
    hm_checkpoint_info info;
    hm_checkpoint checkpoint = contents(contrast);
    HM_TRY(hm_checkpoint_read_info(path, &info));
    uint64_t seed = info.seed;
    int64_t step = info.stage_step, shards = info.shards, data = info.data, steps = hm_contrast_steps(contrast);
    contrast->steps_before = info.step - info.stage_step;
    contrast->epochs_before = info.epoch - info.stage_epoch;
    hm_checkpoint_info_free(&info);
    HM_REQUIRE(data == c->data, HM_EDATA,
               "%s: the training data are not those that %s was trained on so far: %s has changed", path, c->folder,
               c->run->data.file);
    HM_REQUIRE(seed == c->run->workers.seed && shards == c->run->general.shards, HM_EDATA,
               "%s: is of a run with seed %llu and %lld shards; the configuration has seed %llu and %lld shards", path,
               (unsigned long long)seed, (long long)shards, (unsigned long long)c->run->workers.seed,
               (long long)c->run->general.shards);
    HM_REQUIRE(step >= 0 && step <= steps, HM_EDATA, "%s: %lld updates of %lld", path, (long long)step,
               (long long)steps);
    HM_TRY(hm_checkpoint_read(path, &checkpoint));
    hm_contrast_resume(contrast, step);
    return HM_OK;
}

hm_status hm_checkpoints_restore(const hm_checkpoints *c, hm_contrast *contrast)
{
    char *path = NULL;
    hm_status status = hm_path_in(c->folder, "checkpoint.h5", &path);
    if (status == HM_OK) status = read_checkpoint(c, contrast, path);
    free(path);
    return c->cli->comm->agree(c->cli->comm, status);
}
