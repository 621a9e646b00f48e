/* The stages of one training, one after another: each has its own objective, minibatches, chains and optimiser, and
 * goes on with the parameters that the one before it left.
 */
#ifndef HM_STAGES_H
#define HM_STAGES_H

#include "cli/run.h"

enum { HM_RUN_METRICS_MAX = 96 };

typedef struct hm_stages {
    hm_cli *cli;
    const hm_run *run;
    hm_source *source; /* of the training data */
    hm_model *model;   /* with initial parameters */

    int at; /* the stage under way */
    hm_workers workers;
    hm_feed *feed;
    hm_contrast *contrast;
    hm_times times; /* of this session's stages before it */

    /* The metrics of all stages, "stage" first; a stage leaves those that it does not have at NaN. */
    hm_monitor metrics[HM_RUN_METRICS_MAX];
    char descriptions[HM_RUN_METRICS_MAX][1024]; /* of those that mean another thing in another stage */
    int metric_count;
} hm_stages;

/* A feed for minibatches of a stage. Not collective. */
hm_status hm_stages_feed(const hm_stages *stages, int stage, hm_feed **feed);

/* Checks that the model can be trained in every stage, and lists the metrics. cli, run, source and model are set.
 * HM_EUSAGE. Not collective. */
hm_status hm_stages_prepare(hm_stages *stages);

/* Makes stage `at` ready: its feed, chains and optimiser; `begin` is false when its state will be restored. Free with
 * hm_stages_close also after a failure. Collective. */
hm_status hm_stages_open(hm_stages *stages, int at, bool begin);
void hm_stages_close(hm_stages *stages);

/* From a stage that has ended to the next one, which begins. Collective. */
hm_status hm_stages_next(hm_stages *stages);

/* Where the time of this session went, over all its stages. */
hm_times hm_stages_times(const hm_stages *stages);

/* A stage's row of metrics as a row of the run's. values: (metric_count). */
void hm_stages_row(const hm_stages *stages, const double row[], double values[]);

#endif
