/* A run as the commands see it: its configuration, resolved, and the model that it describes. */
#ifndef HM_RUN_H
#define HM_RUN_H

#include "cli/cli.h"
#include "cli/folder.h"
#include "core/source.h"
#include "infer/generation.h"
#include "infer/importance.h"
#include "infer/likelihood.h"
#include "io/config.h"
#include "io/model_file.h"
#include "io/preprocessing.h"
#include "models/model.h"
#include "train/contrast.h"
#include "train/feed.h"
#include "train/optimizer.h"

typedef struct hm_general_settings {
    int64_t seed, shards, threads;
    double timeout; /* seconds */
    char *start;    /* folder of the run whose parameters are taken over, or "none": hm_run_starts_anew */
} hm_general_settings;

typedef struct hm_checkpoint_settings {
    double seconds; /* between checkpoints; 0: no limit */
    int64_t steps;  /* updates between checkpoints; 0: no limit */
} hm_checkpoint_settings;

enum {
    HM_STAGES_MAX = 16,
    HM_STAGE_NAME_MAX = 40,
    HM_STAGE_TABLES = 4,
    HM_RUN_SECTIONS = 12 + HM_STAGES_MAX * HM_STAGE_TABLES
};

/* One item of `stages`; what it leaves out is as section "train" says. Without `stages` there is one, as that section.
 */
typedef struct hm_stage {
    char *name;
    hm_train_settings train;
    hm_contrast_settings contrast;
    hm_optimizer_settings optimizer;
    const hm_objective *objective; /* what train.objective names */
    char section[16];              /* "stages.1", or "train" */
} hm_stage;

/* Everything that one configuration file says. */
typedef struct hm_run {
    hm_config *config;
    const hm_model_class *class;
    int family; /* index into hm_model_classes, as the setting model.family */
    void *model_settings;
    hm_general_settings general;
    uint64_t data_seed; /* by which data are drawn binary: general.seed of the training, whatever --set says later */
    hm_data_settings data;
    hm_train_settings train;
    hm_contrast_settings contrast;
    hm_optimizer_settings optimizer;
    hm_optimizer_settings discriminator; /* of families with two players */
    hm_stage stages[HM_STAGES_MAX];
    int stage_count; /* at least 1 */
    bool staged;     /* by `stages` */
    bool stored;     /* the configuration is one that a run keeps, with settings that did nothing when it began */
    hm_ais_settings ais;
    hm_importance_settings importance;
    hm_generation_settings generation;
    hm_checkpoint_settings checkpoint;
    int64_t fingerprint;                  /* of a finished run: that of its training rows; 0 where it was not kept */
    hm_preprocessing preprocessing;       /* of a finished run: what was done to its rows before training ... */
    bool whitened;                        /* ... if anything was */
    hm_section sections[HM_RUN_SECTIONS]; /* tables and structs of all that */
    int section_count;
    char *yaml;                      /* the resolved configuration */
    char identity[HM_IDENTITY_TEXT]; /* of the model that was loaded (io/model_file.h) */
    hm_team team;
    hm_workers workers;
} hm_run;

/* Puts the place of `key` in the configuration, or of a stage's, before the message of a failure. */
hm_status hm_run_at_key(const hm_run *run, const char *key, hm_status status);
hm_status hm_run_at_stage(const hm_run *run, const hm_stage *stage, const char *key, hm_status status);

/* The text of a file of at most 1 MiB; the caller frees it. HM_EUSAGE. Not collective. */
hm_status hm_read_text(const char *path, char **text);

/* Rank 0's text (or NULL) to all; the others own theirs. Collective. */
hm_status hm_text_everywhere(hm_comm *comm, char **text);

/* The text of a file, read by rank 0 and sent to all; the caller frees it. HM_EUSAGE. Collective. */
hm_status hm_read_everywhere(hm_comm *comm, const char *path, char **text);

/* Reads the configuration (`name` stands for it in messages; stored: hm_run.stored), applies the --set texts, fills and
 * checks all settings, and makes the workers. Free with hm_run_free also after a failure. HM_EUSAGE. Collective. */
hm_status hm_run_configure(hm_run *run, hm_cli *cli, const char *name, const char *text, bool stored,
                           const hm_texts *sets);
void hm_run_free(hm_run *run);

/* Are its initial parameters new, not those of another run? */
bool hm_run_starts_anew(const hm_run *run);

/* HM_EUSAGE, naming them with both values and ending with `advice`, when `run` has settings other than `stored`, the
 * run of `folder`, had that change what is trained; stages before `stage` and `epoch` epochs of it were done. More
 * epochs of the last stage are no change as long as its learning rate does not depend on their number. Not collective.
 */
hm_status hm_run_check_same(const hm_run *stored, const hm_run *run, const char *folder, const char *advice, int stage,
                            int64_t epoch);

/* The stage called so, or -1. */
int hm_run_stage(const hm_run *run, const char *name);

/* Rows of another file than the run's own, from here on. Collective. */
hm_status hm_run_take_data(hm_run *run, hm_comm *comm, const char *file);

/* The run's transform of a split's rows, whose last columns are so many labels. */
hm_transform hm_run_transform(const hm_run *run, hm_split split, int64_t labels);

/* hm_dataset_open_labelled of a split on every rank; classes: 0 for the rows alone. HM_EDATA. Collective. */
hm_status hm_open_split(hm_comm *comm, const char *file, const char *split, int64_t classes, hm_source **out);

/* A finished run: its configuration (as stored in model.h5, then --set) and its model with parameters, ready for
 * inference. HM_EDATA when RUN holds no model, HM_EUSAGE when a --set changes what was trained. Free *model and the
 * run. Collective. */
hm_status hm_run_load(hm_run *run, hm_cli *cli, const char *folder, const hm_texts *sets, hm_model **model);

#endif
