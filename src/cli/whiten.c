/* harmonium whiten IN.h5 -o OUT.h5: a data file whose columns have mean 0 and variance 1, and, with --method pca or
 * zca, are uncorrelated; what was done is stored beside the rows, so that it can be undone.
 */
#include "cli/cli.h"

#include "infer/rows.h"
#include "io/dataset.h"
#include "io/preprocessing.h"
#include "mpi/comm_mpi.h"
#include "mpi/scalapack_grid.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct whiten_options {
    const char *output, *method, *epsilon;
    int64_t components, threads;
} whiten_options;

static const hm_option options[] = {
    {"--output|-o", HM_OPT_TEXT, offsetof(whiten_options, output), "FILE", "the data file to be made"},
    {"--method", HM_OPT_TEXT, offsetof(whiten_options, method), "standardize|pca|zca",
     "each column by itself; uncorrelated principal components; uncorrelated and as near to the data as can be "
     "(default standardize)"},
    {"--epsilon", HM_OPT_TEXT, offsetof(whiten_options, epsilon), "E",
     "added to every variance before it is divided by its root (default 1e-6 of the mean variance)"},
    {"--components", HM_OPT_INT, offsetof(whiten_options, components), "K",
     "pca: keep those with the largest variance (default: all that have some)"},
    {"--threads", HM_OPT_INT, offsetof(whiten_options, threads), "N", "threads of each rank (default 1)"},
    {.name = NULL},
};

typedef struct whitening {
    hm_cli *cli;
    const whiten_options *options;
    const char *from;
    double epsilon; /* NaN: by default */
    hm_team team;
    hm_workers workers;
    hm_source *source;  /* the training rows */
    double *covariance; /* (columns, columns), or (columns) of standardize; then the eigenvectors, as rows */
    double *values;     /* (columns) eigenvalues, ascending */
    int64_t constant;   /* columns, or directions, in which the training rows do not vary */
    hm_preprocessing result;
    int64_t lost_rows;          /* test rows that differ from the training rows in a column that becomes 0 */
    double train_max, test_max; /* largest |z| of each split; test_max is 0 without one */
} whitening;

static bool is_diagonal(const whitening *w) { return strcmp(w->result.method, "standardize") == 0; }

/* ---- moments ---------------------------------------------------------------------------------------------------- */

static hm_status add_means(void *context, hm_matrix rows, int64_t first_row, hm_arena *scratch, double sums[])
{
    (void)context, (void)first_row, (void)scratch;
    for (int64_t row = 0; row < rows.rows; row++)
        for (int64_t i = 0; i < rows.columns; i++) sums[i] += (double)rows.at[row * rows.columns + i];
    return HM_OK;
}

static hm_status add_variances(void *context, hm_matrix rows, int64_t first_row, hm_arena *scratch, double sums[])
{
    const whitening *w = context;
    (void)first_row, (void)scratch;
    for (int64_t row = 0; row < rows.rows; row++)
        for (int64_t i = 0; i < rows.columns; i++)
            sums[i] += pow((double)rows.at[row * rows.columns + i] - w->result.mean[i], 2);
    return HM_OK;
}

/* The lower triangle; the rest is its mirror. */
static hm_status add_covariance(void *context, hm_matrix rows, int64_t first_row, hm_arena *scratch, double sums[])
{
    const whitening *w = context;
    int64_t d = rows.columns;
    double *x;
    (void)first_row;
    HM_TRY(hm_arena_doubles(scratch, d, &x));
    for (int64_t row = 0; row < rows.rows; row++) {
        for (int64_t i = 0; i < d; i++) x[i] = (double)rows.at[row * d + i] - w->result.mean[i];
        for (int64_t i = 0; i < d; i++)
            for (int64_t j = 0; j <= i; j++) sums[i * d + j] += x[i] * x[j];
    }
    return HM_OK;
}

static hm_status sum_rows(whitening *w, const char *what, int64_t sums,
                          hm_status (*add)(void *, hm_matrix, int64_t, hm_arena *, double[]), double *out)
{
    hm_row_sums job = {.source = w->source,
                       .transform = &hm_row_values,
                       .workers = &w->workers,
                       .what = what,
                       .scratch_bytes = hm_arena_bytes(2 * w->source->columns),
                       .sums = sums,
                       .add = add,
                       .context = w};
    HM_TRY(hm_sum_rows(&job, out));
    for (int64_t at = 0; at < sums; at++) out[at] /= (double)w->source->rows;
    return HM_OK;
}

/* What is added to variances, unless the user said: a millionth of their mean. */
static void choose_epsilon(whitening *w)
{
    int64_t d = w->source->columns;
    double trace = 0;
    for (int64_t i = 0; i < d; i++) trace += w->covariance[is_diagonal(w) ? i : i * d + i];
    if (isnan(w->epsilon)) w->epsilon = 1e-6 * trace / (double)d;
}

static hm_status measure(whitening *w)
{
    int64_t d = w->source->columns, size = is_diagonal(w) ? d : d * d;
    hm_comm *comm = w->cli->comm;
    w->result.original = d;
    hm_status status = hm_alloc(&w->result.mean, d, sizeof(double), "means");
    if (status == HM_OK) status = hm_alloc(&w->covariance, size, sizeof(double), "a covariance");
    if (status == HM_OK) status = hm_alloc(&w->values, d, sizeof(double), "eigenvalues");
    HM_TRY(comm->agree(comm, status));
    HM_TRY(sum_rows(w, "means", d, add_means, w->result.mean));
    HM_TRY(sum_rows(w, "covariance", size, is_diagonal(w) ? add_variances : add_covariance, w->covariance));
    for (int64_t i = 0; !is_diagonal(w) && i < d; i++)
        for (int64_t j = 0; j < i; j++) w->covariance[j * d + i] = w->covariance[i * d + j];
    choose_epsilon(w);
    return HM_OK;
}

/* ---- the three ways --------------------------------------------------------------------------------------------- */

/* What varies by less than this part of its size is float32's rounding. */
static const double ROUNDING = 2 * (double)FLT_EPSILON;

/* A column that is constant in training, up to rounding, has no scale: it becomes 0 in all rows. Divided by the root of
 * epsilon, another value of a test row would be thousands of standard deviations. */
static hm_status standardize(whitening *w)
{
    int64_t d = w->source->columns;
    w->result.visible = d;
    HM_TRY(hm_alloc(&w->result.scale, d, sizeof(double), "scales"));
    for (int64_t i = 0; i < d; i++) {
        double variance = w->covariance[i], size = variance + pow(w->result.mean[i], 2);
        if (variance <= ROUNDING * ROUNDING * size) {
            w->constant++;
            continue;
        }
        w->result.scale[i] = 1 / sqrt(variance + w->epsilon);
        w->result.log_det += log(w->result.scale[i]);
    }
    HM_REQUIRE(w->constant < d, HM_EDATA, "%s: no column varies in the training rows", w->from);
    if (w->constant > 0) w->result.log_det = (double)NAN;
    return HM_OK;
}

/* Eigenvalues are ascending: how many are no more than the rounding of float32 values and of the eigensolver. So many
 * directions have no variance: constant columns, sums that are fixed, fewer rows than columns. */
static int64_t count_flat(const whitening *w, const double variances[])
{
    int64_t d = w->source->columns, flat = 0;
    double largest = 0;
    for (int64_t i = 0; i < d; i++) largest = fmax(largest, variances[i] + pow(w->result.mean[i], 2));
    double limit = fmax(ROUNDING * ROUNDING * largest, (double)d * DBL_EPSILON * w->values[d - 1]);
    while (flat < d && w->values[flat] <= limit) flat++;
    return flat;
}

/* Eigenvectors have no sign of their own: the largest element is made positive. */
static void fix_sign(double *vector, int64_t d)
{
    int64_t largest = 0;
    for (int64_t i = 1; i < d; i++)
        if (fabs(vector[i]) > fabs(vector[largest]) * (1 + 1e-9)) largest = i;
    double sign = vector[largest] < 0 ? -1 : 1;
    for (int64_t i = 0; i < d; i++) vector[i] *= sign;
}

/* matrix += weight u u', inverse += u u' / weight of zca; rows of pca. The largest eigenvalue comes first. Directions
 * without variance have no part in either. */
static void add_component(hm_preprocessing *r, int64_t k, const double *u, double weight)
{
    int64_t d = r->original;
    bool pca = strcmp(r->method, "pca") == 0;
    r->log_det += log(weight);
    for (int64_t i = 0; pca && i < d; i++) {
        r->matrix[k * d + i] = weight * u[i];
        r->inverse[i * r->visible + k] = u[i] / weight;
    }
    for (int64_t i = 0; !pca && i < d; i++)
        for (int64_t j = 0; j < d; j++) {
            r->matrix[i * d + j] += weight * u[i] * u[j];
            r->inverse[i * d + j] += u[i] * u[j] / weight;
        }
}

static hm_status decorrelate(whitening *w)
{
    hm_preprocessing *r = &w->result;
    int64_t d = w->source->columns, rank = d - w->constant, wanted = w->options->components;
    HM_REQUIRE(rank > 0, HM_EDATA, "%s: no column varies in the training rows", w->from);
    HM_REQUIRE(wanted <= rank, HM_EUSAGE, "--components: %lld, but the training rows vary in %lld directions alone",
               (long long)wanted, (long long)rank);
    int64_t used = wanted > 0 ? wanted : rank;
    r->visible = strcmp(r->method, "pca") == 0 ? used : d;
    HM_TRY(hm_alloc(&r->matrix, r->visible * d, sizeof(double), "a whitening matrix"));
    HM_TRY(hm_alloc(&r->inverse, r->visible * d, sizeof(double), "a whitening matrix"));
    for (int64_t k = 0; k < used; k++) {
        double *u = w->covariance + (d - 1 - k) * d;
        fix_sign(u, d);
        add_component(r, k, u, 1 / sqrt(w->values[d - 1 - k] + w->epsilon));
    }
    if (used < d) r->log_det = (double)NAN;
    return HM_OK;
}

static hm_status find_components(whitening *w)
{
    hm_comm *comm = w->cli->comm;
    hm_grid grid;
    int64_t d = w->source->columns;
    double *variances = NULL; /* the eigenvectors take the place of the covariance */
    HM_TRY(comm->agree(comm, hm_alloc(&variances, d, sizeof(double), "variances")));
    for (int64_t i = 0; i < d; i++) variances[i] = w->covariance[i * d + i];
    hm_status status = comm->agree(comm, hm_grid_create(hm_comm_mpi_handle(comm), &grid));
    if (status == HM_OK) {
        status = hm_grid_eigen(&grid, hm_comm_mpi_handle(comm), (int)d, w->covariance, w->values);
        hm_grid_free(&grid);
        if (status == HM_OK) w->constant = count_flat(w, variances);
        status = comm->agree(comm, status);
    }
    free(variances);
    return status;
}

/* ---- the command ------------------------------------------------------------------------------------------------ */

/* A split with its labels, whitened; out->source is NULL where there is none. Rank 0. */
static hm_status open_split(const whitening *w, const char *split, bool needed, hm_import *out)
{
    hm_source *rows;
    int64_t count;
    hm_status status = hm_dataset_open(w->from, split, &rows);
    if (status == HM_EDATA && !needed) {
        hm_error_clear();
        return HM_OK;
    }
    HM_TRY(status);
    status = hm_preprocessed(&w->result, rows, &out->source);
    if (status != HM_OK) rows->close(rows);
    HM_TRY(status);
    out->name = w->from;
    return hm_dataset_labels(w->from, split, &out->labels, &count);
}

/* What the transform of the training rows does to rows that are unlike them. */
static void warn(const whitening *w)
{
    static const double FAR = 10;
    char warning[512];
    if (w->lost_rows > 0) {
        snprintf(
            warning, sizeof warning,
            "%s: %lld test rows have another value in a column that is constant in the training rows; such columns "
            "are 0 in all rows, so the difference is lost",
            w->options->output, (long long)w->lost_rows);
        w->cli->log->warn(w->cli->log, warning);
    }
    if (w->test_max > FAR * w->train_max) {
        snprintf(warning, sizeof warning,
                 "%s: test rows reach %g, and training rows %g: they differ where the training rows hardly vary; a "
                 "larger --epsilon, or pca with fewer --components, keeps them nearer",
                 w->options->output, w->test_max, w->train_max);
        w->cli->log->warn(w->cli->log, warning);
    }
}

static hm_status write_file(whitening *w)
{
    hm_import train = {0}, test = {0};
    hm_status status = open_split(w, "train", true, &train);
    if (status == HM_OK) status = open_split(w, "test", false, &test);
    if (status == HM_OK) status = hm_preprocessed_write(w->options->output, &train, &test, &w->result);
    if (status == HM_OK) {
        w->train_max = fmax(fabs(train.min), fabs(train.max));
        w->test_max = test.source ? fmax(fabs(test.min), fabs(test.max)) : 0;
        w->lost_rows = test.source ? hm_preprocessed_lost(test.source) : 0;
        warn(w);
    }
    hm_import_free(&train);
    hm_import_free(&test);
    return status;
}

static hm_status report(const whitening *w)
{
    hm_report *report = hm_report_new();
    hm_report_text(report, "file", "data file", w->options->output);
    hm_report_text(report, "method", "method", w->result.method);
    hm_report_int(report, "train_rows", "training rows", w->source->rows, NULL);
    hm_report_int(report, "original", "original columns", w->result.original, NULL);
    hm_report_int(report, "columns", "columns", w->result.visible, NULL);
    hm_report_int(report, "constant",
                  is_diagonal(w) ? "constant columns, which become 0" : "directions without variance", w->constant,
                  NULL);
    hm_report_real(report, "train_max", "largest value, training", w->train_max, 2, NULL);
    if (w->test_max > 0) hm_report_real(report, "test_max", "largest value, test", w->test_max, 2, NULL);
    hm_report_real(report, "log_det", "log det: log p(original) - log p", w->result.log_det, 3, "nats");
    return hm_report_print(report, w->cli);
}

/* What was done is stored, one step of it: a second one could not be undone. */
static hm_status check_plain(const whitening *w)
{
    hm_preprocessing before;
    bool found;
    HM_TRY(hm_preprocessing_read(w->from, &hm_format_data, &before, &found));
    if (found) hm_preprocessing_free(&before);
    HM_REQUIRE(!found, HM_EUSAGE, "%s is whitened already; whiten the data file that it was made of", w->from);
    return HM_OK;
}

static hm_status whiten(whitening *w)
{
    hm_comm *comm = w->cli->comm;
    int64_t kept = w->options->components;
    HM_TRY(comm->agree(comm, check_plain(w)));
    HM_TRY(comm->agree(comm, comm->rank == 0 ? hm_dataset_check_output(w->options->output, w->from) : HM_OK));
    HM_TRY(comm->agree(comm, hm_dataset_open(w->from, "train", &w->source)));
    HM_REQUIRE(kept <= w->source->columns, HM_EUSAGE, "--components: %lld of %lld columns", (long long)kept,
               (long long)w->source->columns);
    HM_REQUIRE(is_diagonal(w) || w->source->columns <= 20000, HM_EUSAGE,
               "%lld columns have a covariance of more than 3 GB; use --method standardize",
               (long long)w->source->columns);
    HM_TRY(measure(w));
    if (!is_diagonal(w)) HM_TRY(find_components(w));
    HM_TRY(comm->agree(comm, is_diagonal(w) ? standardize(w) : decorrelate(w)));
    HM_TRY(comm->agree(comm, comm->rank == 0 ? write_file(w) : HM_OK));
    return report(w);
}

static hm_status check_options(const whiten_options *chosen, int positional, whitening *w)
{
    static const char *const methods[] = {"standardize", "pca", "zca", NULL};
    const char *wanted = chosen->method ? chosen->method : methods[0];
    char *end = NULL;
    HM_REQUIRE(positional == 1, HM_EUSAGE, "whiten takes one data file, IN.h5; %d given", positional);
    HM_REQUIRE(chosen->output, HM_EUSAGE, "whiten needs a file for its result: -o OUT.h5");
    for (int at = 0; methods[at]; at++)
        if (strcmp(methods[at], wanted) == 0) w->result.method = methods[at];
    HM_REQUIRE(w->result.method, HM_EUSAGE, "--method: '%s' is not one of: standardize, pca, zca", wanted);
    w->epsilon = chosen->epsilon ? strtod(chosen->epsilon, &end) : (double)NAN;
    HM_REQUIRE(!chosen->epsilon || (*chosen->epsilon && *end == 0 && isfinite(w->epsilon) && w->epsilon >= 0),
               HM_EUSAGE, "--epsilon: '%s' is not a number, 0 or more", chosen->epsilon);
    HM_REQUIRE(chosen->components >= 0 && (chosen->components == 0 || strcmp(wanted, "pca") == 0), HM_EUSAGE,
               "--components: a positive number, with --method pca");
    HM_REQUIRE(chosen->threads >= 1 && chosen->threads <= 4096, HM_EUSAGE, "--threads: must be 1 to 4096");
    return HM_OK;
}

static hm_status run_whiten(hm_cli *cli, int argc, char **argv)
{
    whiten_options chosen = {.threads = 1};
    whitening w = {.cli = cli, .options = &chosen};
    int positional;
    hm_status status = hm_options_parse(&hm_command_whiten, argc, argv, &chosen, &positional);
    if (status == HM_OK) status = check_options(&chosen, positional, &w);
    if (status == HM_OK) {
        w.from = argv[0];
        w.team = (hm_team){(int)chosen.threads};
        w.workers = (hm_workers){
            .comm = cli->comm, .team = &w.team, .shards = cli->comm->size > 8 ? cli->comm->size : 8, .log = cli->log};
        status = whiten(&w);
    }
    if (w.source) w.source->close(w.source);
    hm_preprocessing_free(&w.result);
    free(w.covariance);
    free(w.values);
    hm_options_free(&hm_command_whiten, &chosen);
    return status;
}

const hm_command hm_command_whiten = {
    .name = "whiten",
    .usage = "IN.h5 -o OUT.h5 [--method standardize|pca|zca] [--epsilon E] [--components K]",
    .describe = "a data file with columns of mean 0 and variance 1, perhaps uncorrelated",
    .options = options,
    .run = run_whiten,
};
