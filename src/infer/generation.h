/* Rows that a model with latent variables makes, and how good they are: Parzen windows, and what a classifier says of
 * them.
 */
#ifndef HM_GENERATION_H
#define HM_GENERATION_H

#include "infer/rows.h"

typedef struct hm_generation_settings {
    int64_t samples;    /* made rows */
    int64_t validation; /* training rows on which the width of Parzen windows is chosen */
    int64_t nearest;    /* made rows whose nearest training example is looked for */
} hm_generation_settings;

extern const hm_settings_table hm_generation_table; /* section "generation" */

/* top (rows, top_units) drawn from the prior, and what is made of them: means and, unless NULL, samples, (rows,
 * visible); each shard makes its rows, and all ranks have all of them in the end. HM_EUSAGE when the model has no
 * `latent`. The same on any ranks. Collective. */
hm_status hm_generate(const hm_model *model, const hm_workers *workers, hm_matrix top, float *samples, float *means);

/* ---- Parzen windows ---------------------------------------------------------------------------------------------- */

typedef struct hm_parzen {
    double width;               /* standard deviation of the windows */
    double validation;          /* mean log-density, nats, of the validation rows ... */
    double log_prob, std_error; /* ... and of the rows that are judged */
    int64_t samples, rows;
} hm_parzen;

/* The mean log-density of rows under Gaussian windows around the made ones (Breuleux, Bengio, Vincent 2011): the width
 * is that of the greatest mean over the validation rows, searched on a grid and again between its neighbours. A rough
 * measure that depends on the number of samples, but the one published of early GANs. Collective. */
hm_status hm_parzen_of(hm_matrix made, hm_source *validation, const hm_row_transform *of_validation, hm_source *rows,
                       const hm_row_transform *transform, const hm_workers *workers, hm_parzen *out);

/* ---- by a classifier --------------------------------------------------------------------------------------------- */

/* Sums over rows of what a classifier with features says. */
typedef struct hm_impression {
    int64_t rows, classes, features;
    double *probs;      /* (rows, classes) p(y | row) */
    double *histogram;  /* (classes) rows by their most probable class */
    double *mean;       /* (features) */
    double *covariance; /* (features, features), of the rows as a sample */
} hm_impression;

/* HM_EUSAGE when the classifier has no features. Free it. Collective. */
hm_status hm_impression_of(const hm_model *classifier, hm_source *rows, const hm_row_transform *transform,
                           const hm_workers *workers, hm_impression *out);
void hm_impression_free(hm_impression *impression);

/* exp of the mean of KL(p(y | x) || p(y)) over rows begin .. end (Salimans et al. 2016): from 1 to the number of
 * classes.
 */
double hm_inception_score(const hm_impression *impression, int64_t begin, int64_t end);

/* For each made row, the nearest one of the source by Euclidean distance: its number, and the distance. Collective. */
hm_status hm_nearest_rows(hm_matrix made, hm_source *source, const hm_row_transform *transform,
                          const hm_workers *workers, double *number, double *distance);

#endif
