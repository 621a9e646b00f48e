#include "cli/stages.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- metrics ---------------------------------------------------------------------------------------------------- */

static const hm_monitor stage_metric = {"stage", NULL,
                                        "number of the stage, from 1, in the order of the configuration"};

static int find_metric(const hm_stages *stages, const char *name)
{
    for (int metric = 0; metric < stages->metric_count; metric++)
        if (strcmp(stages->metrics[metric].name, name) == 0) return metric;
    return -1;
}

/* Another stage may mean another thing by the same name. */
static void describe_again(hm_stages *stages, int metric, const hm_stage *stage, const char *description)
{
    const char *before = stages->metrics[metric].description;
    if (strncmp(before, description, strlen(description)) == 0) return; /* as in the first stage that has it */
    char text[sizeof stages->descriptions[metric]];
    snprintf(text, sizeof text, "%s; in stage '%s': %s", before, stage->name, description);
    memcpy(stages->descriptions[metric], text, sizeof text);
    stages->metrics[metric].description = stages->descriptions[metric];
}

static hm_status add_metrics(hm_stages *stages, const hm_stage *stage)
{
    hm_monitor list[HM_METRICS_MAX];
    int count = hm_contrast_metrics(stage->objective, &stage->contrast, list);
    for (int metric = 0; metric < count; metric++) {
        int there = find_metric(stages, list[metric].name);
        if (there >= 0) {
            describe_again(stages, there, stage, list[metric].description);
            continue;
        }
        HM_REQUIRE(stages->metric_count < HM_RUN_METRICS_MAX, HM_EINTERNAL, "more metrics than a run has room for");
        stages->metrics[stages->metric_count++] = list[metric];
    }
    return HM_OK;
}

void hm_stages_row(const hm_stages *stages, const double row[], double values[])
{
    const hm_stage *stage = &stages->run->stages[stages->at];
    hm_monitor list[HM_METRICS_MAX];
    int count = hm_contrast_metrics(stage->objective, &stage->contrast, list);
    for (int metric = 0; metric < stages->metric_count; metric++) values[metric] = NAN;
    for (int metric = 0; metric < count; metric++) values[find_metric(stages, list[metric].name)] = row[metric];
    values[0] = stages->at + 1;
}

/* What would stop a stage in its turn is found before the first one begins. */
static hm_status check_stage(const hm_stages *stages, const hm_stage *stage)
{
    const hm_run *run = stages->run;
    HM_TRY(hm_run_at_stage(run, stage, "batch", hm_feed_check(stages->source, run->data.file, stage->train.batch)));
    return hm_run_at_stage(run, stage, "objective",
                           hm_objective_check(stage->objective, stages->model, &stage->contrast));
}

/* ---- stages ----------------------------------------------------------------------------------------------------- */

hm_status hm_stages_prepare(hm_stages *stages)
{
    const hm_run *run = stages->run;
    stages->metric_count = 1;
    stages->metrics[0] = stage_metric;
    for (int at = 0; at < run->stage_count; at++) {
        const hm_stage *stage = &run->stages[at];
        HM_TRY(add_metrics(stages, stage));
        HM_TRY(check_stage(stages, stage));
    }
    return HM_OK;
}

hm_status hm_stages_feed(const hm_stages *stages, int stage, hm_feed **feed)
{
    const hm_run *run = stages->run;
    hm_transform transform = hm_run_transform(run, HM_TRAIN, stages->model->classes);
    hm_range own = hm_own_shards(&run->workers);
    return hm_feed_open(stages->source, &transform, run->data.window, run->stages[stage].train.batch,
                        (int)run->general.shards, own, feed);
}

/* Every stage draws its own random numbers: those of the seed itself are the first one's. */
static uint64_t stage_seed(const hm_run *run, int at)
{
    return run->workers.seed + (uint64_t)at * 0x9e3779b97f4a7c15u; /* far from any other seed that somebody chose */
}

hm_status hm_stages_open(hm_stages *stages, int at, bool begin)
{
    const hm_run *run = stages->run;
    const hm_stage *stage = &run->stages[at];
    stages->at = at;
    stages->workers = run->workers;
    stages->workers.seed = stage_seed(run, at);
    hm_status status = hm_stages_feed(stages, at, &stages->feed);
    if (status == HM_OK && begin && stage->objective->begin)
        status = stage->objective->begin(stages->model, &stage->contrast);
    HM_TRY(stages->cli->comm->agree(stages->cli->comm, status));
    hm_train_settings train = stage->train;
    train.adversary = &run->discriminator;
    HM_TRY(hm_contrast_create(stages->model, stage->objective, stages->feed, &train, &stage->contrast,
                              &stage->optimizer, &stages->workers, &stages->contrast));
    stages->contrast->stage = run->staged ? stage->name : NULL;
    return HM_OK;
}

void hm_stages_close(hm_stages *stages)
{
    hm_contrast_free(stages->contrast);
    hm_feed_close(stages->feed);
    stages->contrast = NULL;
    stages->feed = NULL;
}

hm_times hm_stages_times(const hm_stages *stages)
{
    const hm_times *before = &stages->times, *now = &stages->contrast->times;
    return (hm_times){before->compute + now->compute, before->wait + now->wait, before->reduce + now->reduce,
                      before->io + now->io};
}

hm_status hm_stages_next(hm_stages *stages)
{
    const hm_contrast *ended = stages->contrast;
    int64_t steps = ended->steps_before + ended->step, epochs = ended->epochs_before + ended->epoch;
    double seconds = ended->seconds_before + ended->seconds;
    stages->times = hm_stages_times(stages);
    hm_stages_close(stages);
    HM_TRY(hm_stages_open(stages, stages->at + 1, true));
    stages->contrast->steps_before = steps;
    stages->contrast->epochs_before = epochs;
    stages->contrast->seconds_before = seconds;
    return HM_OK;
}
