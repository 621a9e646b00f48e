/* Optimisers: gradient ascent on a pack. They know no model: decay and role come from the layout. */
#ifndef HM_OPTIMIZER_H
#define HM_OPTIMIZER_H

#include "core/pack.h"
#include "core/settings.h"
#include "core/team.h"

typedef enum hm_optimizer_kind { HM_SGD, HM_ADAM } hm_optimizer_kind;
typedef enum hm_schedule {
    HM_SCHEDULE_CONSTANT,
    HM_SCHEDULE_INVERSE,
    HM_SCHEDULE_LINEAR,
    HM_SCHEDULE_TRIPLING
} hm_schedule;

typedef struct hm_optimizer_settings {
    int optimizer; /* hm_optimizer_kind */
    double learning_rate;
    int schedule;                 /* hm_schedule */
    double half_life;             /* inverse: epochs until the rate is halved, rate / (1 + epoch / half_life) */
    double final_learning_rate;   /* linear: reached at the end of training */
    double momentum;              /* sgd */
    double weight_decay;          /* L2, on weights only */
    double beta1, beta2, epsilon; /* adam */
    double max_norm;              /* greatest norm of the weights into a unit, a column; 0: none */
} hm_optimizer_settings;

extern const hm_settings_table hm_optimizer_table; /* section "train" */

enum { HM_MOMENTS_MAX = 2 };

typedef struct hm_optimizer {
    hm_optimizer_settings settings;
    const hm_layout *layout;     /* borrowed */
    bool learns[HM_TENSORS_MAX]; /* tensors that move: the learnt ones, unless the caller says otherwise */
    int moments;                 /* packs of state: velocity, or Adam's two; none for plain SGD */
    const char *moment_names[HM_MOMENTS_MAX];
    float *moment[HM_MOMENTS_MAX]; /* owned */
} hm_optimizer;

/* Not collective. */
hm_status hm_optimizer_init(hm_optimizer *optimizer, const hm_optimizer_settings *settings, const hm_layout *layout);
void hm_optimizer_free(hm_optimizer *optimizer);

/* The learning rate after `epoch` of `epochs` epochs (fractions count). */
double hm_learning_rate(const hm_optimizer_settings *settings, double epoch, double epochs);

/* One step of ascent: grad holds sums over `batch` rows, params moves. Update `step` counts from 0. Tensors whose
 * `learns` is false stay. Columns of weights that are longer than max_norm are cut to it (Srivastava et al. 2014).
 * Not collective. */
void hm_optimizer_step(hm_optimizer *optimizer, const hm_team *team, int64_t step, double rate, int64_t batch,
                       const float *grad, float *params);

#endif
