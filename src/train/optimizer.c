#include "train/optimizer.h"

#include "core/kernels.h"
#include "core/memory.h"

#include <math.h>
#include <stdlib.h>

static const char *const optimizer_names[] = {"sgd", "adam", NULL};
static const char *const schedule_names[] = {"constant", "inverse", "linear", "tripling", NULL};

#define FIELD(NAME) .key = #NAME, .offset = offsetof(hm_optimizer_settings, NAME)
static const hm_setting entries[] = {
    {FIELD(optimizer), .type = HM_SET_CHOICE, .choices = optimizer_names, .fallback = "sgd",
     .describe = "sgd (with momentum), or adam (Kingma & Ba 2015)"},
    {FIELD(learning_rate), .type = HM_SET_REAL, .min = 0, .max = 1e3, .fallback = "0.01",
     .describe = "step along the mean gradient"},
    {FIELD(schedule), .type = HM_SET_CHOICE, .choices = schedule_names, .fallback = "constant",
     .describe = "constant, inverse: rate / (1 + epoch / half_life), linear: to final_learning_rate at the end, or "
                 "tripling: rate 10^(-i / 7) in the i-th of stretches of 1, 3, 9, 27 ... epochs (Burda et al. 2016)"},
    {FIELD(half_life), .type = HM_SET_REAL, .min = 1e-6, .max = 1e9, .fallback = "10",
     HM_NEEDS(schedule, HM_SCHEDULE_INVERSE), .describe = "schedule inverse: epochs until the rate is halved"},
    {FIELD(final_learning_rate), .type = HM_SET_REAL, .min = 0, .max = 1e3, .fallback = "0",
     HM_NEEDS(schedule, HM_SCHEDULE_LINEAR), .describe = "schedule linear: rate at the end"},
    {FIELD(momentum), .type = HM_SET_REAL, .min = 0, .max = 0.9999, .fallback = "0", HM_NEEDS(optimizer, HM_SGD),
     .describe = "sgd: share of the last step that is kept"},
    {FIELD(weight_decay), .type = HM_SET_REAL, .min = 0, .max = 1e3, .fallback = "0",
     .describe = "L2 penalty on weights, not on biases"},
    {FIELD(beta1), .type = HM_SET_REAL, .min = 0, .max = 0.999999, .fallback = "0.9", HM_NEEDS(optimizer, HM_ADAM),
     .describe = "adam: decay of the first moment"},
    {FIELD(beta2), .type = HM_SET_REAL, .min = 0, .max = 0.99999999, .fallback = "0.999", HM_NEEDS(optimizer, HM_ADAM),
     .describe = "adam: decay of the second moment"},
    {FIELD(epsilon), .type = HM_SET_REAL, .min = 1e-20, .max = 1, .fallback = "1e-8", HM_NEEDS(optimizer, HM_ADAM),
     .describe = "adam: added to the root of the second moment"},
    {FIELD(max_norm), .type = HM_SET_REAL, .min = 0, .max = 1e6, .fallback = "0",
     .describe = "greatest norm of the weights into a unit, to which longer ones are cut (Srivastava et al. 2014); 0: "
                 "no limit"},
    {.key = NULL},
};
#undef FIELD

const hm_settings_table hm_optimizer_table = {"train", entries};

hm_status hm_optimizer_init(hm_optimizer *optimizer, const hm_optimizer_settings *settings, const hm_layout *layout)
{
    *optimizer = (hm_optimizer){.settings = *settings, .layout = layout, .moment_names = {"velocity", NULL}};
    for (int tensor = 0; tensor < layout->count; tensor++)
        optimizer->learns[tensor] = layout->tensors[tensor].role == HM_LEARNT;
    if (settings->optimizer == HM_ADAM) {
        optimizer->moments = 2;
        optimizer->moment_names[0] = "moment1";
        optimizer->moment_names[1] = "moment2";
    } else {
        optimizer->moments = settings->momentum > 0 ? 1 : 0;
    }
    for (int moment = 0; moment < optimizer->moments; moment++)
        HM_TRY(hm_pack_alloc(layout, "the optimiser's state", &optimizer->moment[moment]));
    return HM_OK;
}

void hm_optimizer_free(hm_optimizer *optimizer)
{
    for (int moment = 0; moment < HM_MOMENTS_MAX; moment++) free(optimizer->moment[moment]);
    *optimizer = (hm_optimizer){0};
}

double hm_learning_rate(const hm_optimizer_settings *settings, double epoch, double epochs)
{
    double rate = settings->learning_rate;
    switch ((hm_schedule)settings->schedule) {
    case HM_SCHEDULE_CONSTANT: break;
    case HM_SCHEDULE_INVERSE: rate /= 1.0 + epoch / settings->half_life; break;
    case HM_SCHEDULE_TRIPLING:
        for (double end = 1, length = 1; epoch >= end; end += length *= 3) rate *= pow(10, -1.0 / 7);
        break;
    case HM_SCHEDULE_LINEAR: rate += (settings->final_learning_rate - rate) * (epoch / epochs); break;
    }
    return rate;
}

/* ---- a step, cut into chunks for the threads -------------------------------------------------------------------- */

typedef struct step_job {
    const hm_optimizer *optimizer;
    const hm_tensor *tensor;
    double rate;
    int64_t step, batch;
    const float *grad;
    float *params;
} step_job;

enum { CHUNK = 1 << 14 }; /* floats */

static hm_status step_chunk(void *context, int64_t chunk)
{
    const step_job *job = context;
    const hm_optimizer *optimizer = job->optimizer;
    const hm_optimizer_settings *settings = &optimizer->settings;
    int64_t left = hm_tensor_size(job->tensor) - chunk * CHUNK, n = left < CHUNK ? left : CHUNK;
    int64_t at = job->tensor->offset + chunk * CHUNK;
    double decay = job->tensor->decays ? settings->weight_decay : 0;
    float *first = optimizer->moment[0] ? optimizer->moment[0] + at : NULL;
    if (settings->optimizer == HM_ADAM) {
        /* The bias corrections of both moments (Kingma & Ba 2015, algorithm 1), folded into rate and epsilon. */
        double correct1 = 1 - pow(settings->beta1, (double)job->step + 1);
        double correct2 = sqrt(1 - pow(settings->beta2, (double)job->step + 1));
        hm_adam_step step = {.rate = (float)(job->rate * correct2 / correct1),
                             .scale = (float)(1.0 / (double)job->batch),
                             .beta1 = (float)settings->beta1,
                             .beta2 = (float)settings->beta2,
                             .epsilon = (float)(settings->epsilon * correct2),
                             .decay = (float)decay};
        hm_kernels_best()->adam(n, &step, job->grad + at, first, optimizer->moment[1] + at, job->params + at);
    } else {
        hm_sgd_step step = {.rate = (float)job->rate,
                            .scale = (float)(1.0 / (double)job->batch),
                            .momentum = (float)settings->momentum,
                            .decay = (float)decay};
        hm_kernels_best()->sgd(n, &step, job->grad + at, first, job->params + at);
    }
    return HM_OK;
}

/* ---- the limit of norms ------------------------------------------------------------------------------------------ */

enum { COLUMNS = 64 }; /* of a thread at a time */

typedef struct limit_job {
    hm_matrix weights;
    double max_norm;
} limit_job;

static hm_status limit_columns(void *context, int64_t block)
{
    const limit_job *job = context;
    hm_matrix w = job->weights;
    int64_t first = block * COLUMNS, n = w.columns - first < COLUMNS ? w.columns - first : COLUMNS;
    double square[COLUMNS] = {0};
    float scale[COLUMNS];
    for (int64_t i = 0; i < w.rows; i++)
        for (int64_t j = 0; j < n; j++) {
            double x = (double)w.at[i * w.columns + first + j];
            square[j] += x * x;
        }
    bool all_short = true;
    for (int64_t j = 0; j < n; j++) {
        bool is_short = square[j] <= job->max_norm * job->max_norm;
        scale[j] = is_short ? 1.0f : (float)(job->max_norm / sqrt(square[j]));
        all_short &= is_short;
    }
    for (int64_t i = 0; !all_short && i < w.rows; i++)
        for (int64_t j = 0; j < n; j++) w.at[i * w.columns + first + j] *= scale[j];
    return HM_OK;
}

void hm_optimizer_step(hm_optimizer *optimizer, const hm_team *team, int64_t step, double rate, int64_t batch,
                       const float *grad, float *params)
{
    for (int index = 0; index < optimizer->layout->count; index++) {
        const hm_tensor *tensor = &optimizer->layout->tensors[index];
        if (!optimizer->learns[index]) continue;
        step_job job = {optimizer, tensor, rate, step, batch, grad, params};
        (void)hm_team_each(team, (hm_tensor_size(tensor) + CHUNK - 1) / CHUNK, step_chunk, &job); /* cannot fail */
        if (optimizer->settings.max_norm == 0 || !tensor->decays) continue;
        limit_job limit = {hm_pack_matrix(optimizer->layout, params, index), optimizer->settings.max_norm};
        (void)hm_team_each(team, (limit.weights.columns + COLUMNS - 1) / COLUMNS, limit_columns, &limit);
    }
}
