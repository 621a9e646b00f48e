/* harmonium evaluate RUN: log Z and mean log-probabilities by several methods, printed and stored in RUN/model.h5. */
#include "cli/run.h"

#include "core/memory.h"
#include "infer/classification.h"
#include "infer/likelihood_data.h"
#include "infer/progress.h"
#include "io/model_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct evaluate_options {
    const char *methods, *data, *split;
    hm_texts sets;
} evaluate_options;

static const hm_option options[] = {
    {"--method", HM_OPT_TEXT, offsetof(evaluate_options, methods), "LIST",
     "comma-separated: exact, ais, ais_uniform, reverse_ais, raise, classification (default: all that apply)"},
    {"--data", HM_OPT_TEXT, offsetof(evaluate_options, data), "FILE",
     "data file (default: the one the run was trained on)"},
    {"--split", HM_OPT_TEXT, offsetof(evaluate_options, split), "train|test|both",
     "whose log-probability (default: both)"},
    {"--set", HM_OPT_TEXTS, offsetof(evaluate_options, sets), "KEY=VALUE",
     "override a key of the configuration (ais.chains=500)"},
    {.name = NULL},
};

/* One method's estimate. */
typedef struct estimate {
    hm_ais_result ais; /* log_z ... ; of the exact method only log_z and seconds */
    bool done;
} estimate;

typedef enum method_id { EXACT, AIS, AIS_UNIFORM, REVERSE_AIS, RAISE, METHODS } method_id;
enum { SPLITS = 2, EXACT_BY_DEFAULT = 20 /* units: seconds, not minutes */ };
static const char *const split_names[SPLITS] = {"train", "test"};

typedef struct evaluation {
    hm_cli *cli;
    const evaluate_options *options;
    hm_run run;
    hm_model *model;
    hm_source *split[SPLITS];      /* NULL where not asked for or not there */
    hm_mean_energy energy[SPLITS]; /* of each split that is there */
    double *each[SPLITS];          /* (rows) of the test rows, if they are there */
    estimate estimates[METHODS];
    bool classified;
    hm_classification classes[SPLITS]; /* of each split that is there, when classified */
} evaluation;

/* ---- the methods ------------------------------------------------------------------------------------------------ */

static hm_status run_exact(evaluation *e, estimate *out)
{
    double start = hm_clock();
    HM_TRY(hm_exact_log_z(e->model, &e->run.workers, &out->ais.log_z));
    out->ais.seconds = hm_clock() - start;
    out->ais.log_z_lower = out->ais.log_z_upper = out->ais.log_z;
    return HM_OK;
}

static hm_status run_forward(evaluation *e, hm_base base, estimate *out)
{
    float *biases;
    HM_TRY(hm_alloc(&biases, hm_state_columns(e->model), sizeof(float), "base biases"));
    hm_base_biases(e->model, base, biases);
    hm_workers workers = e->run.workers;
    workers.seed += (uint64_t)base; /* the two starts are independent estimates */
    hm_status status = hm_ais(e->model, biases, &e->run.ais, &workers, &out->ais);
    free(biases);
    return status;
}

static hm_status run_ais(evaluation *e, estimate *out) { return run_forward(e, HM_BASE_DATA, out); }
static hm_status run_ais_uniform(evaluation *e, estimate *out) { return run_forward(e, HM_BASE_UNIFORM, out); }

static const char *data_file(const evaluation *e) { return e->options->data ? e->options->data : e->run.data.file; }

/* A split of the data, with as many columns as the model has visible units. */
static hm_status open_split(const evaluation *e, hm_split split, int64_t classes, hm_source **out)
{
    HM_TRY(hm_open_split(e->cli->comm, data_file(e), split_names[split], classes, out));
    HM_REQUIRE((*out)->columns == e->model->visible + classes, HM_EDATA,
               "%s: %lld columns; the model has %lld visible units", data_file(e), (long long)(*out)->columns,
               (long long)e->model->visible);
    return HM_OK;
}

/* Rows of a split, evenly spread: the same on every rank. The caller frees rows->at, also after a failure. */
static hm_status read_rows(const evaluation *e, hm_split split, int64_t most, hm_matrix *rows)
{
    hm_transform transform = hm_run_transform(&e->run, split);
    hm_source *source;
    unsigned char *raw = NULL;
    HM_TRY(open_split(e, split, 0, &source));
    *rows = (hm_matrix){NULL, most > 0 ? most : source->rows, e->model->visible};
    hm_status status = hm_alloc(&rows->at, rows->rows * rows->columns, sizeof(float), "rows to start from");
    if (status == HM_OK) status = hm_alloc(&raw, source->columns, hm_type_size(source->type), "a row");
    for (int64_t at = 0; status == HM_OK && at < rows->rows; at++) {
        int64_t row = hm_part(source->rows, rows->rows, at).begin;
        status = source->read(source, row, 1, raw);
        if (status == HM_OK)
            hm_transform_row(&transform, source->type, source->columns, raw, row, 0, rows->at + at * rows->columns);
    }
    free(raw);
    source->close(source);
    return status;
}

typedef hm_status (*downward)(const hm_model *model, const float base[], hm_matrix start,
                              const hm_ais_settings *settings, int64_t temperatures, const double *betas,
                              const hm_workers *workers, hm_ais_result *out);

/* Down from rows of a split to the data's base rates, along the ladder of the forward run if there was one. */
static hm_status run_down(evaluation *e, downward method, hm_split split, int64_t rows, const hm_workers *workers,
                          estimate *out)
{
    hm_comm *comm = e->cli->comm;
    const estimate *forward = &e->estimates[AIS];
    hm_matrix start = {0};
    float *biases = NULL;
    hm_status status = read_rows(e, split, rows, &start);
    if (status == HM_OK) status = hm_alloc(&biases, hm_state_columns(e->model), sizeof(float), "base biases");
    status = comm->agree(comm, status);
    if (status == HM_OK) {
        hm_base_biases(e->model, HM_BASE_DATA, biases);
        status = method(e->model, biases, start, &e->run.ais, forward->done ? forward->ais.temperatures : 0,
                        forward->done ? forward->ais.betas : NULL, workers, &out->ais);
    }
    free(start.at);
    free(biases);
    return status;
}

static hm_status run_reverse(evaluation *e, estimate *out)
{
    return run_down(e, hm_ais_reverse, HM_TRAIN, e->run.ais.chains, &e->run.workers, out);
}

/* RAISE speaks of the rows that it anneals: test rows where there are some. */
static hm_split raise_split(const evaluation *e) { return e->split[HM_TEST] ? HM_TEST : HM_TRAIN; }

static hm_status run_raise(evaluation *e, estimate *out)
{
    int64_t rows = e->split[raise_split(e)]->rows, wanted = e->run.ais.raise_rows;
    HM_REQUIRE(rows >= 2 && wanted != 1, HM_EUSAGE,
               "raise: the error of a mean takes two rows (%lld there, %lld asked)", (long long)rows,
               (long long)wanted);
    hm_workers workers = e->run.workers;
    workers.seed += 2; /* independent of the other estimates */
    return run_down(e, hm_raise, raise_split(e), wanted == 0 || wanted > rows ? rows : wanted, &workers, out);
}

static const struct method {
    const char *name, *label, *base, *describe;
    hm_status (*run)(evaluation *e, estimate *out);
} methods[METHODS] = {
    [EXACT] = {"exact", "exact enumeration", NULL, "log Z by enumeration of the smaller layer", run_exact},
    [AIS] = {"ais", "AIS, data start", "data", "AIS from the data's base rates (Salakhutdinov & Murray 2008)", run_ais},
    [AIS_UNIFORM] = {"ais_uniform", "AIS, uniform start", "uniform", "AIS from the uniform distribution",
                     run_ais_uniform},
    [REVERSE_AIS] = {"reverse_ais", "reverse AIS", "data",
                     "reverse AIS: from Gibbs samples of the model to the data's base rates; high on average",
                     run_reverse},
    [RAISE] =
        {"raise", "RAISE, data start", "data",
         "RAISE (Burda, Grosse, Salakhutdinov 2015): a lower bound, on average, on the mean log-probability of rows of "
         "data under the distribution in which AIS ends; log_z is what log Z would have to be for it",
         run_raise},
};

/* Does an estimate speak of this split? */
static bool applies(const evaluation *e, int method, int split)
{
    return e->split[split] && (method != RAISE || split == (int)raise_split(e));
}

/* ---- classes ----------------------------------------------------------------------------------------------------- */

static hm_status transform_rows(const void *context, int64_t first_row, hm_type type, const void *raw, hm_matrix out)
{
    const hm_transform *transform = context;
    size_t row_bytes = (size_t)out.columns * hm_type_size(type);
    for (int64_t row = 0; row < out.rows; row++) {
        const unsigned char *from = (const unsigned char *)raw + (size_t)row * row_bytes;
        float *to = out.at + row * out.columns;
        HM_TRY(hm_transform_rates(transform, type, out.columns, from, first_row + row, to));
        hm_transform_row(transform, type, out.columns, from, first_row + row, 0, to);
    }
    return HM_OK;
}

static hm_status classify_split(evaluation *e, hm_split split)
{
    hm_transform transform = hm_run_transform(&e->run, split);
    hm_row_transform rows = {transform_rows, &transform};
    hm_source *source = NULL;
    hm_status status = open_split(e, split, e->model->classes, &source);
    if (status == HM_OK) status = hm_classification_of(e->model, source, &rows, &e->run.workers, &e->classes[split]);
    if (source) source->close(source);
    return status;
}

static hm_status classify_splits(evaluation *e)
{
    for (int split = 0; split < SPLITS; split++)
        if (e->split[split]) HM_TRY(classify_split(e, (hm_split)split));
    return HM_OK;
}

/* ---- which methods ---------------------------------------------------------------------------------------------- */

static hm_status choose_default(evaluation *e, bool chosen[METHODS])
{
    const hm_model_class *class = e->model->class;
    e->classified = class->classifies && class->classifies(e->model);
    chosen[EXACT] = class->enumeration && class->enumeration->units(e->model) <= EXACT_BY_DEFAULT;
    chosen[AIS] = chosen[AIS_UNIFORM] = chosen[REVERSE_AIS] = hm_model_anneals(e->model);
    chosen[RAISE] = chosen[AIS] && !class->bound && e->split[raise_split(e)]->rows >= 2;
    return HM_OK;
}

static const char classification[] = "classification";

static bool is_called(const char *text, size_t length, const char *name)
{
    return strlen(name) == length && strncmp(name, text, length) == 0;
}

static hm_status choose_listed(const char *list, bool chosen[METHODS], bool *classified)
{
    do {
        size_t length = strcspn(list, ",");
        int found = METHODS;
        for (int method = 0; method < METHODS; method++)
            if (is_called(list, length, methods[method].name)) found = method;
        bool classes = is_called(list, length, classification);
        HM_REQUIRE(found < METHODS || classes, HM_EUSAGE,
                   "--method: '%.*s' is not a method; known: exact, ais, ais_uniform, reverse_ais, raise, "
                   "classification",
                   (int)length, list);
        if (classes)
            *classified = true;
        else
            chosen[found] = true;
        list += length + (list[length] == ',');
    } while (*list);
    return HM_OK;
}

static hm_status run_methods(evaluation *e)
{
    bool chosen[METHODS] = {false};
    HM_TRY(e->options->methods ? choose_listed(e->options->methods, chosen, &e->classified)
                               : choose_default(e, chosen));
    if (e->classified) HM_TRY(classify_splits(e));
    for (int method = 0; method < METHODS; method++) {
        if (!chosen[method]) continue;
        HM_TRY(methods[method].run(e, &e->estimates[method]));
        e->estimates[method].done = true;
    }
    return HM_OK;
}

/* ---- data ------------------------------------------------------------------------------------------------------- */

static hm_status measure_split(evaluation *e, hm_split split)
{
    hm_transform transform = hm_run_transform(&e->run, split);
    hm_row_transform rows = {transform_rows, &transform};
    if (split == HM_TEST)
        HM_TRY(e->cli->comm->agree(e->cli->comm,
                                   hm_alloc(&e->each[split], e->split[split]->rows, sizeof(double), "free energies")));
    return hm_mean_free_energy(e->model, e->split[split], &rows, &e->run.workers, e->each[split], &e->energy[split]);
}

static hm_status open_data(evaluation *e)
{
    const char *wanted = e->options->split ? e->options->split : "both";
    bool both = strcmp(wanted, "both") == 0;
    for (int split = 0; split < SPLITS; split++) {
        if (!both && strcmp(wanted, split_names[split]) != 0) continue;
        hm_status status = open_split(e, (hm_split)split, 0, &e->split[split]);
        /* A file without test rows is evaluated on what it has, unless the split was asked for. */
        if (status != HM_OK && both && split == HM_TEST) {
            e->cli->log->warn(e->cli->log, hm_error_message());
            hm_error_clear();
            continue;
        }
        HM_TRY(status);
        HM_TRY(measure_split(e, (hm_split)split));
    }
    return HM_OK;
}

/* ---- results ---------------------------------------------------------------------------------------------------- */

enum { RESULTS_MAX = 24, NOTES_MAX = 4 };

/* Mean log p(v) = -mean F(v) - log Z. */
static double log_prob(const evaluation *e, int split, int method)
{
    return -e->energy[split].mean - e->estimates[method].ais.log_z;
}

/* Its standard error: that of log Z, and that of the mean over the rows as a sample of what they were drawn from. */
static double log_prob_error(const evaluation *e, int split, int method)
{
    return hypot(e->estimates[method].ais.log_z_stderr, e->energy[split].std_error);
}

static void report_method(const evaluation *e, int method, hm_report *report)
{
    const hm_ais_result *ais = &e->estimates[method].ais;
    hm_report_begin(report, methods[method].name, methods[method].label);
    hm_report_real(report, "log_z", "log Z", ais->log_z, 3, "nats");
    if (method != EXACT) {
        hm_report_real(report, "log_z_stderr", "  standard error", ais->log_z_stderr, 3, "nats");
        hm_report_real(report, "log_z_lower", "  -3 sigma", ais->log_z_lower, 3, "nats");
        hm_report_real(report, "log_z_upper", "  +3 sigma", ais->log_z_upper, 3, "nats");
        int64_t runs = method == RAISE ? e->run.ais.raise_chains : ais->chains;
        hm_report_real(report, "ess", "effective sample size", ais->ess, 1, NULL);
        hm_report_int(report, "chains", "  of chains", runs, NULL);
        if (method == RAISE) hm_report_int(report, "rows", "  of each of rows", ais->chains, NULL);
        hm_report_real(report, "log_weight_spread", "spread of log-weights", ais->log_weight_spread, 2, "nats");
        hm_report_int(report, "temperatures", "temperatures", ais->temperatures, NULL);
    }
    for (int split = 0; split < SPLITS; split++) {
        if (!applies(e, method, split)) continue;
        char key[64], label[64];
        snprintf(key, sizeof key, "%s_log_prob", split_names[split]);
        snprintf(label, sizeof label, "%s log-probability%s", split_names[split],
                 e->model->class->bound ? " (bound)" : "");
        hm_report_real(report, key, label, log_prob(e, split, method), 3, "nats");
        snprintf(key, sizeof key, "%s_log_prob_stderr", split_names[split]);
        hm_report_real(report, key, "  standard error", log_prob_error(e, split, method), 3, "nats");
    }
    hm_report_real(report, "seconds", "time", ais->seconds, 2, "s");
    hm_report_end(report);
}

/* AIS is low on average and reverse AIS high: the larger forward estimate and the reverse one bracket log Z. Without
 * reverse AIS its place is RAISE's, which is high for the distribution that annealing ends in: where that is not the
 * model, the two are apart as well. */
typedef struct bracket {
    double forward, forward_error, reverse, gap;
    double raise; /* NaN without */
    char verdict[200];
} bracket;

enum { TRUSTED_SIGMAS = 3 };
static const double TRUSTED_GAP = 1; /* nats */

static void find_forward(const evaluation *e, bracket *b)
{
    b->forward = -INFINITY;
    for (int method = AIS; method <= AIS_UNIFORM; method++) {
        const hm_ais_result *ais = &e->estimates[method].ais;
        if (!e->estimates[method].done || !(ais->log_z > b->forward)) continue;
        b->forward = ais->log_z;
        b->forward_error = ais->log_z_stderr;
    }
}

static bool find_bracket(const evaluation *e, bracket *b)
{
    bool reverse = e->estimates[REVERSE_AIS].done, raised = e->estimates[RAISE].done;
    const hm_ais_result *high = &e->estimates[reverse ? REVERSE_AIS : RAISE].ais;
    const char *name = reverse ? "reverse" : "RAISE";
    find_forward(e, b);
    if (!(reverse || raised) || !isfinite(b->forward)) return false;
    b->reverse = high->log_z;
    b->gap = b->reverse - b->forward;
    b->raise = raised ? e->estimates[RAISE].ais.log_z : (double)NAN;
    double error = hypot(b->forward_error, high->log_z_stderr);
    if (!(fabs(b->gap) <= TRUSTED_GAP + TRUSTED_SIGMAS * error))
        snprintf(b->verdict, sizeof b->verdict, "forward and %s are %.1f nats apart: do not quote", name, fabs(b->gap));
    else if (b->gap < -TRUSTED_SIGMAS * error && reverse)
        snprintf(b->verdict, sizeof b->verdict,
                 "reverse lies %.2f nats below forward: its chains are not yet samples of the model; raise ais.burn_in",
                 -b->gap);
    else
        snprintf(b->verdict, sizeof b->verdict, "bracket of %.2f nats, standard error %.2f: trustworthy", fabs(b->gap),
                 error);
    return true;
}

static void report_bracket(const evaluation *e, hm_report *report)
{
    bracket b;
    if (!find_bracket(e, &b)) return;
    hm_report_begin(report, "bracket", "bracket of log Z");
    hm_report_real(report, "forward", "AIS, the larger start", b.forward, 3, "nats");
    if (e->estimates[REVERSE_AIS].done) hm_report_real(report, "reverse", "reverse AIS", b.reverse, 3, "nats");
    if (e->estimates[RAISE].done) hm_report_real(report, "raise", "RAISE", b.raise, 3, "nats");
    hm_report_real(report, "gap", "gap", b.gap, 3, "nats");
    hm_report_text(report, "verdict", "verdict", b.verdict);
    hm_report_end(report);
}

static void report_classes(const evaluation *e, hm_report *report)
{
    hm_report_begin(report, classification, "classification");
    for (int split = 0; split < SPLITS; split++) {
        const hm_classification *classes = &e->classes[split];
        char key[64], label[64];
        if (!classes->confusion) continue;
        snprintf(key, sizeof key, "%s_error", split_names[split]);
        snprintf(label, sizeof label, "%s error", split_names[split]);
        hm_report_real(report, key, label, classes->error, 5, NULL);
        snprintf(key, sizeof key, "%s_error_stderr", split_names[split]);
        hm_report_real(report, key, "  standard error", classes->error_stderr, 5, NULL);
        snprintf(key, sizeof key, "%s_cross_entropy", split_names[split]);
        hm_report_real(report, key, "  cross-entropy", classes->cross_entropy, 4, "nats");
    }
    hm_report_end(report);
}

/* Which classes are taken for which, on a terminal: rows are labels, columns what they are told as. */
static void report_confusion(const evaluation *e)
{
    enum { WIDEST = 20 };
    const hm_classification *classes = &e->classes[e->classes[HM_TEST].confusion ? HM_TEST : HM_TRAIN];
    if (e->cli->json || e->cli->quiet || e->cli->comm->rank != 0 || classes->classes > WIDEST) return;
    printf("%s examples by label (row) and most probable class (column)\n",
           classes == &e->classes[HM_TEST] ? "test" : "training");
    for (int64_t label = 0; label < classes->classes; label++)
        for (int64_t told = 0; told < classes->classes; told++)
            printf("%6.0f%s", classes->confusion[label * classes->classes + told],
                   told + 1 < classes->classes ? "" : "\n");
}

static hm_status report(const evaluation *e, const char *folder)
{
    hm_report *report = hm_report_new();
    hm_report_text(report, "run", "run", folder);
    hm_report_text(report, "family", "family", e->model->class->name);
    if (e->model->class->bound)
        hm_report_text(report, "bound", "log-probabilities are lower bounds", e->model->class->bound);
    for (int method = 0; method < METHODS; method++)
        if (e->estimates[method].done) report_method(e, method, report);
    report_bracket(e, report);
    if (e->classified) report_classes(e, report);
    HM_TRY(hm_report_print(report, e->cli));
    if (e->classified) report_confusion(e);
    return HM_OK;
}

/* What one method stores; values must live until the file is written. */
typedef struct stored {
    hm_result results[RESULTS_MAX];
    hm_note notes[NOTES_MAX];
    double log_prob[SPLITS], error[SPLITS], lower[SPLITS], upper[SPLITS];
    bracket bracket;
    hm_evaluation evaluation;
} stored;

static hm_status store_splits(const evaluation *e, int method, stored *s, int *count)
{
    static const char *const quantities[] = {"log_prob", "log_prob_stderr", "log_prob_lower", "log_prob_upper"};
    const hm_ais_result *ais = &e->estimates[method].ais;
    for (int split = 0; split < SPLITS; split++) {
        if (!applies(e, method, split)) continue;
        s->log_prob[split] = log_prob(e, split, method);
        s->error[split] = log_prob_error(e, split, method);
        s->lower[split] = -e->energy[split].mean - ais->log_z_upper;
        s->upper[split] = -e->energy[split].mean - ais->log_z_lower;
        const double *values[] = {&s->log_prob[split], &s->error[split], &s->lower[split], &s->upper[split]};
        for (int quantity = 0; quantity < 4; quantity++) {
            char name[64];
            snprintf(name, sizeof name, "%s_%s", split_names[split], quantities[quantity]);
            HM_TRY(hm_result_real(s->results, count, RESULTS_MAX, name, values[quantity]));
        }
    }
    return HM_OK;
}

static hm_status store_method(const evaluation *e, int method, stored *s)
{
    const hm_ais_result *ais = &e->estimates[method].ais;
    const struct {
        const char *name;
        const double *value;
    } reals[] = {{"log_z", &ais->log_z},
                 {"log_z_stderr", &ais->log_z_stderr},
                 {"log_z_lower", &ais->log_z_lower},
                 {"log_z_upper", &ais->log_z_upper},
                 {"seconds", &ais->seconds},
                 {"ess", &ais->ess},
                 {"log_weight_spread", &ais->log_weight_spread}};
    int count = 0, notes = 0, real_count = method == EXACT ? 5 : 7;
    for (int real = 0; real < real_count; real++)
        HM_TRY(hm_result_real(s->results, &count, RESULTS_MAX, reals[real].name, reals[real].value));
    HM_TRY(store_splits(e, method, s, &count));
    if (method != EXACT) {
        bool rows = method == RAISE;
        const int64_t *chains = rows ? &e->run.ais.raise_chains : &ais->chains;
        HM_TRY(hm_result_whole(s->results, &count, RESULTS_MAX, "chains", chains));
        if (rows) HM_TRY(hm_result_whole(s->results, &count, RESULTS_MAX, "rows", &ais->chains));
        HM_TRY(hm_result_whole(s->results, &count, RESULTS_MAX, "temperatures", &ais->temperatures));
        HM_TRY(hm_result_array(s->results, &count, RESULTS_MAX, rows ? "row_log_weights" : "log_weights",
                               ais->log_weights, ais->chains));
        HM_TRY(hm_result_array(s->results, &count, RESULTS_MAX, "betas", ais->betas, ais->temperatures));
        s->notes[notes++] = (hm_note){"base", methods[method].base};
    }
    if ((method == REVERSE_AIS || method == RAISE) && find_bracket(e, &s->bracket))
        s->notes[notes++] = (hm_note){"verdict", s->bracket.verdict};
    if (e->model->class->bound) s->notes[notes++] = (hm_note){"log_prob_is_bound", e->model->class->bound};
    s->notes[notes++] = (hm_note){"config", e->run.yaml};
    s->evaluation = (hm_evaluation){methods[method].name, methods[method].describe, s->results, count, s->notes, notes};
    return HM_OK;
}

static hm_status store_classes(const evaluation *e, stored *s)
{
    static const char *const quantities[] = {"error", "error_stderr", "cross_entropy"};
    int count = 0;
    for (int split = 0; split < SPLITS; split++) {
        const hm_classification *classes = &e->classes[split];
        const double *values[] = {&classes->error, &classes->error_stderr, &classes->cross_entropy};
        char name[64];
        if (!classes->confusion) continue;
        for (int quantity = 0; quantity < 3; quantity++) {
            snprintf(name, sizeof name, "%s_%s", split_names[split], quantities[quantity]);
            HM_TRY(hm_result_real(s->results, &count, RESULTS_MAX, name, values[quantity]));
        }
        snprintf(name, sizeof name, "%s_confusion", split_names[split]);
        HM_TRY(hm_result_square(s->results, &count, RESULTS_MAX, name, classes->confusion, classes->classes));
    }
    s->notes[0] = (hm_note){"config", e->run.yaml};
    s->evaluation =
        (hm_evaluation){classification, "the most probable class of each example", s->results, count, s->notes, 1};
    return HM_OK;
}

/* What log p of every test row is made of. */
static hm_status store_energies(const evaluation *e, stored *s)
{
    int count = 0;
    HM_TRY(hm_result_array(s->results, &count, RESULTS_MAX, "test_free_energy", e->each[HM_TEST],
                           e->split[HM_TEST]->rows));
    s->notes[0] = (hm_note){"config", e->run.yaml};
    s->evaluation =
        (hm_evaluation){"free_energy",
                        e->model->class->bound ? "upper bounds of -log p*(v): log p(v) >= -test_free_energy - log_z"
                                               : "-log p*(v): log p(v) = -test_free_energy - log_z",
                        s->results,
                        count,
                        s->notes,
                        1};
    return HM_OK;
}

/* Rank 0. */
static hm_status store(const evaluation *e, const char *folder)
{
    stored all[METHODS + 2];
    hm_evaluation evaluations[METHODS + 2];
    int count = 0;
    char *path;
    for (int method = 0; method < METHODS; method++) {
        if (!e->estimates[method].done) continue;
        HM_TRY(store_method(e, method, &all[count]));
        evaluations[count] = all[count].evaluation;
        count++;
    }
    if (e->each[HM_TEST]) {
        HM_TRY(store_energies(e, &all[count]));
        evaluations[count] = all[count].evaluation;
        count++;
    }
    if (e->classified) {
        HM_TRY(store_classes(e, &all[count]));
        evaluations[count] = all[count].evaluation;
        count++;
    }
    HM_TRY(hm_path_in(folder, "model.h5", &path));
    hm_status status = hm_model_file_evaluations(path, evaluations, count);
    free(path);
    return status;
}

/* ---- the command ------------------------------------------------------------------------------------------------ */

static hm_status evaluate(evaluation *e, const char *folder)
{
    hm_comm *comm = e->cli->comm;
    HM_TRY(hm_run_load(&e->run, e->cli, folder, &e->options->sets, &e->model));
    HM_TRY(open_data(e));
    HM_TRY(run_methods(e));
    HM_TRY(comm->agree(comm, comm->rank == 0 ? store(e, folder) : HM_OK));
    return report(e, folder);
}

static hm_status check_options(const evaluate_options *chosen, int positional)
{
    const char *split = chosen->split;
    HM_REQUIRE(positional == 1, HM_EUSAGE, "evaluate takes one folder, RUN; %d given", positional);
    HM_REQUIRE(!split || !strcmp(split, "train") || !strcmp(split, "test") || !strcmp(split, "both"), HM_EUSAGE,
               "--split: '%s' is not one of: train, test, both", split);
    return HM_OK;
}

static hm_status run_evaluate(hm_cli *cli, int argc, char **argv)
{
    evaluate_options chosen = {0};
    int positional;
    hm_status status = hm_options_parse(&hm_command_evaluate, argc, argv, &chosen, &positional);
    if (status == HM_OK) status = check_options(&chosen, positional);
    if (status == HM_OK) {
        evaluation e = {.cli = cli, .options = &chosen};
        status = evaluate(&e, argv[0]);
        for (int method = 0; method < METHODS; method++) hm_ais_result_free(&e.estimates[method].ais);
        for (int split = 0; split < SPLITS; split++)
            if (e.split[split]) e.split[split]->close(e.split[split]);
        for (int split = 0; split < SPLITS; split++) hm_classification_free(&e.classes[split]);
        free(e.each[HM_TEST]);
        hm_model_free(e.model);
        hm_run_free(&e.run);
    }
    hm_options_free(&hm_command_evaluate, &chosen);
    return status;
}

const hm_command hm_command_evaluate = {
    .name = "evaluate",
    .usage = "RUN [--method LIST] [--data FILE] [--split train|test|both] [--set KEY=VALUE ...]",
    .describe = "estimate log Z and log-probabilities of a trained model",
    .options = options,
    .run = run_evaluate,
};
