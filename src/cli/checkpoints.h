/* When a training is checkpointed, and going on from a checkpoint.
 *
 * A checkpoint is due every checkpoint.steps updates, every checkpoint.seconds on rank 0's clock, after the last
 * update of each stage, and when any rank was asked to stop. What one rank knows alone (its clock, its signals) it
 * wishes for; the agreement that every update makes anyway carries the wishes to all (core/comm.h), so that all act
 * after the same update.
 */
#ifndef HM_CHECKPOINTS_H
#define HM_CHECKPOINTS_H

#include "cli/run.h"
#include "io/metrics.h"

typedef struct hm_checkpoints {
    hm_cli *cli;
    const hm_run *run;
    const hm_stage *stage; /* the one under way */
    const char *folder;
    int64_t data;        /* fingerprint of the training data */
    hm_metrics *metrics; /* rank 0's, or NULL; its rows are synced before a checkpoint counts on them */
    double last;         /* time of the last one, hm_clock */
    int64_t written;     /* in this session */
    double seconds;      /* that took */
} hm_checkpoints;

/* To be called after every update. Writes a checkpoint when one is due; HM_EINTERRUPTED after the one that a signal
 * asked for, HM_ENUMERIC instead of one whose parameters are not finite (the older ones stay), HM_EOUTPUT. Collective.
 */
hm_status hm_checkpoints_step(hm_checkpoints *checkpoints, const hm_contrast *contrast);

/* "update 12 of 600", with the stage in a run that has several. */
enum { HM_WHERE_BYTES = 128 };
void hm_training_place(const hm_run *run, const hm_stage *stage, const hm_contrast *contrast,
                       char where[HM_WHERE_BYTES]);

/* Brings the loop to where FOLDER/checkpoint.h5 was written. HM_EDATA. Collective. */
hm_status hm_checkpoints_restore(const hm_checkpoints *checkpoints, hm_contrast *contrast);

#endif
