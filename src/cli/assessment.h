/* What `harmonium evaluate` finds out: evaluate.c measures, assessment.c tells and stores it. */
#ifndef HM_ASSESSMENT_H
#define HM_ASSESSMENT_H

#include "cli/run.h"

#include "infer/classification.h"
#include "infer/likelihood_data.h"
#include "io/model_file.h"

#include <stdatomic.h>

typedef struct evaluate_options {
    const char *methods, *data, *split, *classifier;
    hm_texts sets;
} evaluate_options;

/* One method's estimate. */
typedef struct estimate {
    hm_ais_result ais; /* log_z ... ; of the exact method only log_z and seconds */
    bool done;
} estimate;

typedef enum method_id { EXACT, AIS, AIS_UNIFORM, REVERSE_AIS, RAISE, METHODS } method_id;
enum { SPLITS = 2 };

/* What a classifier says of rows that the model makes. */
typedef struct hm_scores {
    int64_t samples, classes, classes_hit;
    double inception, inception_stderr, frechet, frechet_stderr, seconds;
    double *histogram;                      /* (classes) made rows by their most probable class; owned */
    int64_t nearest;                        /* made rows whose nearest training example was looked for ... */
    double *nearest_row, *nearest_distance; /* (nearest) ... its number and distance; owned */
} hm_scores;

typedef struct hm_assessment {
    hm_cli *cli;
    const evaluate_options *options;
    hm_run run;
    hm_model *model;
    hm_source *split[SPLITS];      /* NULL where not asked for or not there */
    hm_mean_energy energy[SPLITS]; /* of each split that is there, if an estimate needs it */
    double *each[SPLITS];          /* (rows) of the test rows, likewise; or NULL */
    estimate estimates[METHODS];
    bool classified;
    hm_classification classes[SPLITS]; /* of each split that is there, when classified */
    bool weighted;
    hm_importance_result importance[SPLITS]; /* of each split that is there, when weighted */
    bool windowed, scored;
    hm_parzen parzen;
    hm_scores scores;
    atomic_bool grey; /* rows between 0 and 1 were judged, which binary units have no probability for */
    bool changed;     /* the data file does not hold the rows that the model was trained on: hm_changed_data */
} hm_assessment;

extern const char hm_changed_data[];

/* A method by its name in --method and /evaluation. */
typedef struct hm_estimate_method {
    const char *name, *label, *base, *describe;
    hm_status (*check)(const hm_assessment *e, const bool chosen[]); /* before any method runs; chosen: (METHODS) */
    hm_status (*run)(hm_assessment *e, estimate *out);
} hm_estimate_method;
extern const hm_estimate_method hm_estimate_methods[METHODS];

/* Rows that RAISE anneals, and that made rows are compared with: test rows where there are some. */
static inline hm_split judged_split(const hm_assessment *e) { return e->split[HM_TEST] ? HM_TEST : HM_TRAIN; }

/* Does an estimate speak of this split? */
static inline bool applies(const hm_assessment *e, int method, int split)
{
    return e->split[split] && (method != RAISE || split == (int)judged_split(e));
}

enum { HM_RESULTS_MAX = 32 };

/* Made rows by a classifier (--classifier), against rows of the data; their nearest training examples. Both in
 * scores.c. HM_EUSAGE. Collective. */
hm_status hm_assess_scores(hm_assessment *e, hm_matrix made, hm_source *real, const hm_row_transform *transform);
hm_status hm_assess_nearest(hm_assessment *e, hm_matrix made, hm_source *train, const hm_row_transform *transform);
void hm_scores_free(hm_scores *scores);

/* Parts of a report, and lists of results with room for HM_RESULTS_MAX: in importance.c and scores.c. */
void hm_parzen_report(const hm_assessment *e, hm_report *report);
void hm_scores_report(const hm_assessment *e, hm_report *report);
hm_status hm_parzen_results(const hm_assessment *e, hm_result results[], int *count);
hm_status hm_scores_results(const hm_assessment *e, hm_result results[], int *count);
void hm_importance_report(const hm_assessment *e, hm_report *report);
hm_status hm_importance_results(const hm_assessment *e, hm_result results[], int *count);

/* The table, or the JSON object. Collective. */
hm_status hm_assessment_report(const hm_assessment *e, const char *folder);

/* Into FOLDER/model.h5. Rank 0. HM_EOUTPUT. */
hm_status hm_assessment_store(const hm_assessment *e, const char *folder);

#endif
