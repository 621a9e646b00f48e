#include "train/monitors.h"

#include "core/kernels.h"
#include "infer/rows.h"
#include "train/buffers.h"

#include <math.h>
#include <string.h>

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

hm_status hm_contrast_measure(hm_contrast *contrast, double values[])
{
    const hm_workers *workers = contrast->workers;
    struct contrast_buffers *buffers = contrast->buffers;
    int monitors = monitors_of(contrast->objective);
    hm_status status = hm_team_each(workers->team, buffers->reduction.shards, shard_monitor, contrast);
    HM_TRY(workers->comm->agree(workers->comm, status));
    HM_TRY(hm_sum_shards(workers, buffers->reduction.shards, HM_MONITORS_MAX, buffers->monitors));
    for (int monitor = 0; monitor < monitors; monitor++)
        values[monitor] = buffers->monitors[monitor] / (double)contrast->train.batch;
    values[monitors] = hm_contrast_rate(contrast, &contrast->optimizer, contrast->step - 1);
    values[monitors + 1] = weight_norm(contrast);
    if (contrast->tempering.count == 0) return HM_OK;
    const double *rates = contrast->tempering.rates;
    values[monitors + 2] = rates[0];
    for (int pair = 1; pair + 1 < contrast->tempering.count; pair++)
        values[monitors + 2] = fmin(values[monitors + 2], rates[pair]);
    return HM_OK;
}
