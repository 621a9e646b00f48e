/* Methods "parzen" and "scores" of `harmonium evaluate`: how good the rows are that a model makes. */
#include "cli/assessment.h"

#include "core/memory.h"
#include "infer/progress.h"
#include "mpi/scalapack_grid.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the Frechet distance ---------------------------------------------------------------------------------------- */

typedef struct moments {
    int64_t rows, features;
    double *mean, *covariance; /* (features), (features, features) */
} moments;

static void free_moments(moments *m)
{
    free(m->mean);
    free(m->covariance);
}

/* What distances are measured to, and room to measure. Every rank has a grid of its own: features are few, and so the
 * eigensolver's last bits do not depend on the ranks. */
typedef struct frechet_target {
    hm_comm *comm;
    hm_grid grid;
    const moments *moments;
    double *root, *work, *product; /* (features, features) the first is of the covariance */
    double *values;                /* (features) */
} frechet_target;

/* out = a b, (n, n). */
static void multiply(int64_t n, const double *a, const double *b, double *out)
{
    memset(out, 0, (size_t)(n * n) * sizeof *out);
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < n; k++)
            for (int64_t j = 0; j < n; j++) out[i * n + j] += a[i * n + k] * b[k * n + j];
}

/* The square root of the covariance, from its eigenvectors. */
static hm_status find_root(frechet_target *to)
{
    int64_t n = to->moments->features;
    double *a = to->work, *root = to->root;
    memcpy(a, to->moments->covariance, (size_t)(n * n) * sizeof *a);
    HM_TRY(hm_grid_eigen(&to->grid, MPI_COMM_SELF, (int)n, a, to->values));
    memset(root, 0, (size_t)(n * n) * sizeof *root);
    for (int64_t k = 0; k < n; k++) {
        double value = sqrt(fmax(to->values[k], 0));
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++) root[i * n + j] += value * a[k * n + i] * a[k * n + j];
    }
    return HM_OK;
}

static void free_target(frechet_target *to)
{
    free(to->root);
    hm_grid_free(&to->grid);
}

/* Free it, also after a failure. Collective. */
static hm_status aim(hm_comm *comm, const moments *target, frechet_target *to)
{
    int64_t n = target->features;
    *to = (frechet_target){.comm = comm, .moments = target};
    HM_TRY(comm->agree(comm, hm_grid_create(MPI_COMM_SELF, &to->grid)));
    HM_TRY(comm->agree(comm, hm_alloc(&to->root, 3 * n * n + n, sizeof(double), "a Frechet distance")));
    to->work = to->root + n * n;
    to->product = to->work + n * n;
    to->values = to->product + n * n;
    return comm->agree(comm, find_root(to));
}

/* |m - n|^2 + tr(A + B - 2 (A^(1/2) B A^(1/2))^(1/2)) of two Gaussians (Heusel et al. 2017), by the symmetric
 * eigensolver of ScaLAPACK. Collective. */
static hm_status frechet(frechet_target *to, const moments *b, double *out)
{
    const moments *a = to->moments;
    int64_t n = a->features;
    multiply(n, to->root, b->covariance, to->work);
    multiply(n, to->work, to->root, to->product);
    HM_TRY(to->comm->agree(to->comm, hm_grid_eigen(&to->grid, MPI_COMM_SELF, (int)n, to->product, to->values)));
    *out = 0;
    for (int64_t i = 0; i < n; i++)
        *out += pow(a->mean[i] - b->mean[i], 2) + a->covariance[i * n + i] + b->covariance[i * n + i] -
                2 * sqrt(fmax(to->values[i], 0));
    return HM_OK;
}

/* ---- scores ------------------------------------------------------------------------------------------------------ */

enum { BLOCKS = 10 };

/* Moments of the rows of all blocks but one. */
static hm_status merge(const hm_impression blocks[BLOCKS], int without, moments *out)
{
    int64_t n = blocks[0].features;
    *out = (moments){.features = n};
    HM_TRY(hm_alloc(&out->mean, n, sizeof(double), "features"));
    HM_TRY(hm_alloc(&out->covariance, n * n, sizeof(double), "features"));
    for (int b = 0; b < BLOCKS; b++) {
        if (b == without) continue;
        out->rows += blocks[b].rows;
        for (int64_t i = 0; i < n; i++) out->mean[i] += (double)blocks[b].rows * blocks[b].mean[i];
    }
    for (int64_t i = 0; i < n; i++) out->mean[i] /= (double)out->rows;
    for (int b = 0; b < BLOCKS; b++) {
        if (b == without) continue;
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++)
                out->covariance[i * n + j] +=
                    ((double)(blocks[b].rows - 1) * blocks[b].covariance[i * n + j] +
                     (double)blocks[b].rows * (blocks[b].mean[i] - out->mean[i]) * (blocks[b].mean[j] - out->mean[j])) /
                    (double)(out->rows - 1);
    }
    return HM_OK;
}

/* The distance of all made rows, and its standard error by the jackknife over blocks. */
static hm_status score_distance(frechet_target *to, const hm_impression blocks[BLOCKS], hm_scores *out)
{
    double without[BLOCKS], mean = 0, squares = 0;
    for (int b = -1; b < BLOCKS; b++) {
        moments made;
        hm_status status = to->comm->agree(to->comm, merge(blocks, b, &made));
        if (status == HM_OK) status = frechet(to, &made, b < 0 ? &out->frechet : &without[b]);
        free_moments(&made);
        HM_TRY(status);
    }
    for (int b = 0; b < BLOCKS; b++) mean += without[b] / BLOCKS;
    for (int b = 0; b < BLOCKS; b++) squares += pow(without[b] - mean, 2);
    out->frechet_stderr = sqrt(squares * (BLOCKS - 1) / BLOCKS);
    return HM_OK;
}

/* Over ten parts of the made rows, as published scores are. */
static void score_inception(const hm_impression blocks[BLOCKS], hm_scores *out)
{
    double squares = 0;
    for (int b = 0; b < BLOCKS; b++) out->inception += hm_inception_score(&blocks[b], 0, blocks[b].rows) / BLOCKS;
    for (int b = 0; b < BLOCKS; b++)
        squares += pow(hm_inception_score(&blocks[b], 0, blocks[b].rows) - out->inception, 2);
    out->inception_stderr = sqrt(squares / (BLOCKS - 1) / BLOCKS);
}

static hm_status count_classes(const hm_impression blocks[BLOCKS], hm_scores *out)
{
    out->classes = blocks[0].classes;
    HM_TRY(hm_alloc(&out->histogram, out->classes, sizeof(double), "a histogram"));
    for (int64_t c = 0; c < out->classes; c++) {
        for (int b = 0; b < BLOCKS; b++) out->histogram[c] += blocks[b].histogram[c];
        out->classes_hit += out->histogram[c] > 0;
    }
    return HM_OK;
}

static hm_status look_at(const hm_model *classifier, hm_matrix made, const hm_workers *workers,
                         hm_impression blocks[BLOCKS])
{
    for (int b = 0; b < BLOCKS; b++) {
        hm_range part = hm_part(made.rows, BLOCKS, b);
        hm_matrix rows = hm_rows(made, part.begin, hm_count(part));
        hm_source *source;
        HM_TRY(workers->comm->agree(workers->comm,
                                    hm_source_memory(HM_FLOAT32, rows.rows, rows.columns, rows.at, &source)));
        hm_status status = hm_impression_of(classifier, source, &hm_row_values, workers, &blocks[b]);
        source->close(source);
        HM_TRY(status);
    }
    return HM_OK;
}

static hm_status score(const hm_model *classifier, hm_matrix made, hm_source *real, const hm_row_transform *transform,
                       const hm_workers *workers, hm_scores *out)
{
    hm_impression blocks[BLOCKS] = {{0}}, target = {0};
    frechet_target to = {0};
    hm_status status = look_at(classifier, made, workers, blocks);
    if (status == HM_OK) status = hm_impression_of(classifier, real, transform, workers, &target);
    moments of_target = {target.rows, target.features, target.mean, target.covariance};
    if (status == HM_OK) status = aim(workers->comm, &of_target, &to);
    if (status == HM_OK) status = score_distance(&to, blocks, out);
    free_target(&to);
    if (status == HM_OK) status = workers->comm->agree(workers->comm, count_classes(blocks, out));
    if (status == HM_OK) score_inception(blocks, out);
    for (int b = 0; b < BLOCKS; b++) hm_impression_free(&blocks[b]);
    hm_impression_free(&target);
    return status;
}

/* A classifier of whitened rows cannot judge rows that are not, and the other way round. */
static hm_status check_units(const hm_assessment *e, const hm_run *classifier)
{
    const hm_run *run = &e->run;
    bool same = run->whitened == classifier->whitened &&
                (!run->whitened || hm_preprocessing_same(&run->preprocessing, &classifier->preprocessing));
    HM_REQUIRE(same || run->fingerprint == 0 || classifier->fingerprint == 0, HM_EUSAGE,
               "--classifier: %s was trained on rows in other units: whitened by another transform, or not at all",
               e->options->classifier);
    return HM_OK;
}

hm_status hm_assess_scores(hm_assessment *e, hm_matrix made, hm_source *real, const hm_row_transform *transform)
{
    const char *folder = e->options->classifier;
    double start = hm_clock();
    hm_run run = {0};
    hm_model *classifier = NULL;
    HM_REQUIRE(folder, HM_EUSAGE,
               "--method scores: made rows are judged by a network that tells classes; train one on "
               "the labels, and give --classifier RUN");
    HM_REQUIRE(made.rows >= 2 * BLOCKS, HM_EUSAGE, "generation.samples: scores take at least %d made rows, not %lld",
               2 * BLOCKS, (long long)made.rows);
    /* How the classifier was trained does not matter: it is used by this run's workers. */
    char shards[32], timeout[64];
    snprintf(shards, sizeof shards, "shards=%lld", (long long)e->run.general.shards);
    snprintf(timeout, sizeof timeout, "timeout=%.17g", (double)e->run.general.timeout);
    const char *const sets[] = {shards, timeout};
    hm_status status = hm_run_load(&run, e->cli, folder, &(hm_texts){2, (const char **)sets}, &classifier);
    if (status == HM_OK) status = check_units(e, &run);
    if (status == HM_OK) status = score(classifier, made, real, transform, &e->run.workers, &e->scores);
    e->scores.samples = made.rows;
    e->scores.seconds = hm_clock() - start;
    hm_model_free(classifier);
    hm_run_free(&run);
    return status;
}

hm_status hm_assess_nearest(hm_assessment *e, hm_matrix made, hm_source *train, const hm_row_transform *transform)
{
    hm_scores *out = &e->scores;
    hm_comm *comm = e->cli->comm;
    out->nearest = made.rows < e->run.generation.nearest ? made.rows : e->run.generation.nearest;
    if (out->nearest == 0) return HM_OK;
    hm_status status = hm_alloc(&out->nearest_row, out->nearest, sizeof(double), "nearest rows");
    if (status == HM_OK) status = hm_alloc(&out->nearest_distance, out->nearest, sizeof(double), "nearest rows");
    HM_TRY(comm->agree(comm, status));
    return hm_nearest_rows(hm_rows(made, 0, out->nearest), train, transform, &e->run.workers, out->nearest_row,
                           out->nearest_distance);
}

void hm_scores_free(hm_scores *scores)
{
    free(scores->histogram);
    free(scores->nearest_row);
    free(scores->nearest_distance);
    *scores = (hm_scores){0};
}

/* ---- telling and storing ----------------------------------------------------------------------------------------- */

void hm_parzen_report(const hm_assessment *e, hm_report *report)
{
    const hm_parzen *parzen = &e->parzen;
    const char *split = hm_split_names[judged_split(e)];
    char name[32], name_of_error[40], name_of_rows[32], label[40];
    snprintf(name, sizeof name, "%s_log_prob", split);
    snprintf(name_of_error, sizeof name_of_error, "%s_stderr", name);
    snprintf(name_of_rows, sizeof name_of_rows, "%s_rows", split);
    snprintf(label, sizeof label, "%s log-density", split);
    hm_report_begin(report, "parzen", "Parzen windows");
    hm_report_real(report, name, label, parzen->log_prob, 2, "nats");
    hm_report_real(report, name_of_error, "  standard error", parzen->std_error, 2, "nats");
    hm_report_real(report, "validation_log_prob", "validation log-density", parzen->validation, 2, "nats");
    hm_report_real(report, "width", "width, chosen on validation rows", parzen->width, 4, NULL);
    hm_report_int(report, "samples", "made rows", parzen->samples, NULL);
    hm_report_int(report, name_of_rows, "rows", parzen->rows, NULL);
    hm_report_end(report);
}

void hm_scores_report(const hm_assessment *e, hm_report *report)
{
    const hm_scores *scores = &e->scores;
    double nearest = 0;
    hm_report_begin(report, "scores", "scores by a classifier");
    hm_report_real(report, "inception", "inception score", scores->inception, 3, NULL);
    hm_report_real(report, "inception_stderr", "  standard error", scores->inception_stderr, 3, NULL);
    hm_report_real(report, "frechet", "Frechet distance", scores->frechet, 3, NULL);
    hm_report_real(report, "frechet_stderr", "  standard error", scores->frechet_stderr, 3, NULL);
    hm_report_int(report, "classes_hit", "classes hit", scores->classes_hit, NULL);
    hm_report_int(report, "classes", "  of", scores->classes, NULL);
    for (int64_t c = 0; c < scores->classes && c < 20; c++) {
        char key[32], label[32];
        snprintf(key, sizeof key, "class_%lld", (long long)c);
        snprintf(label, sizeof label, "  class %lld", (long long)c);
        hm_report_int(report, key, label, (int64_t)scores->histogram[c], "rows");
    }
    for (int64_t i = 0; i < scores->nearest; i++) nearest += scores->nearest_distance[i] / (double)scores->nearest;
    hm_report_int(report, "samples", "made rows", scores->samples, NULL);
    if (scores->nearest > 0)
        hm_report_real(report, "nearest_distance", "mean distance to the nearest training example", nearest, 3, NULL);
    hm_report_real(report, "seconds", "time", scores->seconds, 2, "s");
    hm_report_end(report);
}

hm_status hm_parzen_results(const hm_assessment *e, hm_result results[], int *count)
{
    const hm_parzen *parzen = &e->parzen;
    const char *split = hm_split_names[judged_split(e)];
    char name[40];
    snprintf(name, sizeof name, "%s_log_prob", split);
    HM_TRY(hm_result_real(results, count, HM_RESULTS_MAX, name, &parzen->log_prob));
    snprintf(name, sizeof name, "%s_log_prob_stderr", split);
    HM_TRY(hm_result_real(results, count, HM_RESULTS_MAX, name, &parzen->std_error));
    HM_TRY(hm_result_real(results, count, HM_RESULTS_MAX, "validation_log_prob", &parzen->validation));
    HM_TRY(hm_result_real(results, count, HM_RESULTS_MAX, "width", &parzen->width));
    HM_TRY(hm_result_whole(results, count, HM_RESULTS_MAX, "samples", &parzen->samples));
    snprintf(name, sizeof name, "%s_rows", split);
    return hm_result_whole(results, count, HM_RESULTS_MAX, name, &parzen->rows);
}

hm_status hm_scores_results(const hm_assessment *e, hm_result results[], int *count)
{
    const hm_scores *scores = &e->scores;
    HM_TRY(hm_result_real(results, count, HM_RESULTS_MAX, "inception", &scores->inception));
    HM_TRY(hm_result_real(results, count, HM_RESULTS_MAX, "inception_stderr", &scores->inception_stderr));
    HM_TRY(hm_result_real(results, count, HM_RESULTS_MAX, "frechet", &scores->frechet));
    HM_TRY(hm_result_real(results, count, HM_RESULTS_MAX, "frechet_stderr", &scores->frechet_stderr));
    HM_TRY(hm_result_whole(results, count, HM_RESULTS_MAX, "classes_hit", &scores->classes_hit));
    HM_TRY(hm_result_array(results, count, HM_RESULTS_MAX, "class_histogram", scores->histogram, scores->classes));
    HM_TRY(hm_result_whole(results, count, HM_RESULTS_MAX, "samples", &scores->samples));
    if (scores->nearest == 0) return HM_OK;
    HM_TRY(hm_result_array(results, count, HM_RESULTS_MAX, "nearest_row", scores->nearest_row, scores->nearest));
    return hm_result_array(results, count, HM_RESULTS_MAX, "nearest_distance", scores->nearest_distance,
                           scores->nearest);
}
