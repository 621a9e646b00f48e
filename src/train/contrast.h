/* Training by stochastic gradient ascent on what a family's objective says; most are contrasts of a positive phase on
 * the data with a negative phase on the model, whose persistent chains live here.
 *
 * One update, on every rank, with the same bits on any number of ranks and threads:
 *
 *   feed -> rows inferred, chains move -> gradient of each own shard -> agree -> tree over own shards, over ranks ->
 *   finish -> optimiser -> refresh.
 */
#ifndef HM_CONTRAST_H
#define HM_CONTRAST_H

#include "infer/likelihood.h"
#include "models/model.h"
#include "train/feed.h"
#include "train/optimizer.h"
#include "train/tempering.h"

typedef struct hm_train_settings {
    char *objective; /* of the family's; "default": its first */
    int64_t epochs;
    int64_t batch;                          /* rows of a minibatch over all shards */
    int64_t monitor_every;                  /* updates between two rows of metrics; 0: one a epoch */
    const hm_optimizer_settings *adversary; /* of objectives with two players; NULL: as the other's. Borrowed */
} hm_train_settings;

/* Section "train", read by three tables: these two and hm_optimizer_table. */
extern const hm_settings_table hm_train_table, hm_contrast_table;

/* What the tables cannot say: *key receives the key at fault ("batch"), for a message with its line. HM_EUSAGE. */
hm_status hm_contrast_check(const hm_train_settings *train, const hm_contrast_settings *how, int shards,
                            const char **key);

/* HM_EUSAGE when the model cannot be trained so. Not collective. */
hm_status hm_objective_check(const hm_objective *objective, const hm_model *model, const hm_contrast_settings *how);

typedef struct hm_contrast hm_contrast;

/* A row of metrics: values in the order of hm_contrast_metrics. */
typedef struct hm_metric_row {
    int64_t step, epoch; /* updates done; epoch from 1; over all stages */
    double seconds;
    const double *values;
} hm_metric_row;

enum { HM_EXTRA_METRICS = 3, HM_METRICS_MAX = HM_MONITORS_MAX + HM_EXTRA_METRICS };

/* Names, units and descriptions of what training for an objective reports, into list (HM_METRICS_MAX); returns their
 * number.
 */
int hm_contrast_metrics(const hm_objective *objective, const hm_contrast_settings *how, hm_monitor list[]);

/* Called while training, on every rank: for files. A failure ends the training. */
typedef struct hm_observer {
    hm_status (*row)(void *state, const hm_metric_row *row);
    hm_status (*step)(void *state,
                      const hm_contrast *contrast); /* after each update: all is as a checkpoint wants it */
    void *state;
} hm_observer;

/* Where the time of this rank went, in seconds. What is reduced while it computes counts as computing. */
typedef struct hm_times {
    double compute; /* gradients, updates, monitors */
    double wait;    /* for ranks that are slower */
    double reduce;  /* sums over ranks */
    double io;      /* rows read; what observers do: metrics, checkpoints */
} hm_times;

/* State that a checkpoint holds beside the model's parameters. Readable by observers. */
struct hm_contrast {
    hm_model *model;
    const hm_objective *objective;
    hm_train_settings train;
    hm_contrast_settings how;
    hm_optimizer optimizer, adversary; /* the second one has no tensors unless there are two players */
    const hm_workers *workers;
    hm_feed *feed;
    hm_range own;        /* shards of this rank */
    int64_t step, epoch; /* updates and epochs done */
    /* What came before this stage, of a run of several; set by the caller. */
    const char *stage; /* its name for messages, or NULL */
    int64_t steps_before, epochs_before;
    double seconds_before;
    hm_matrix chains; /* this rank's, in global order */
    int64_t first_chain, all_chains;
    /* In no checkpoint, so that this begins anew when a run goes on: what was seen of chains that stand still. */
    double chain_sum;                 /* of this rank's at the last row of metrics */
    int64_t chains_moved;             /* the last update after which those of any rank were seen to have moved */
    hm_tempering tempering;           /* of the chains; its betas and rates are state too */
    double seconds;                   /* in the loop so far */
    hm_times times;                   /* ... of this session, with all that was done beside updates */
    struct contrast_buffers *buffers; /* train/buffers.h */
};

/* Buffers, chains and optimiser for training a model, that has parameters, for an objective (NULL: its family's first).
 * Borrows model, feed and workers. Collective. */
hm_status hm_contrast_create(hm_model *model, const hm_objective *objective, hm_feed *feed,
                             const hm_train_settings *train, const hm_contrast_settings *how,
                             const hm_optimizer_settings *optimizer, const hm_workers *workers, hm_contrast **out);
void hm_contrast_free(hm_contrast *contrast);

/* Goes on after `step` updates: the caller has filled in parameters, optimiser, chains, temperatures and seconds as
 * they were then. Not collective. */
void hm_contrast_resume(hm_contrast *contrast, int64_t step);

/* Updates of an epoch: minibatches, over those that one update takes. Updates of the whole training. */
int64_t hm_contrast_epoch(const hm_contrast *contrast);
int64_t hm_contrast_steps(const hm_contrast *contrast);

/* An optimiser's learning rate in the update after `step` others. */
double hm_contrast_rate(const hm_contrast *contrast, const hm_optimizer *optimizer, int64_t step);

/* Trains to the end. HM_ENUMERIC, at every row of metrics, as divergence.h says. Collective. */
hm_status hm_contrast_run(hm_contrast *contrast, const hm_observer *observer);

/* The gradient of one update (of two players: of a turn, from 0) as sums over the minibatch, before `finish`, into grad
 * (a pack): for tests. Moves the chains. Collective. */
hm_status hm_contrast_gradient(hm_contrast *contrast, int64_t epoch, int64_t step_of_epoch, int64_t turn, float *grad);

#endif
