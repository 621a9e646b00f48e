#include "cli/assessment.h"

#include "cli/quantities.h"
#include "core/memory.h"
#include "io/model_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char classification[] = "classification";

/* Why the log-probabilities of such data are none. */
static const char grey_data[] = "the data hold values between 0 and 1, which binary units have no probability for";

const char hm_changed_data[] =
    "the training rows are not those that the model was trained on; the file was changed or replaced";

/* Do the results speak of the probability of such rows? */
static bool is_grey(const hm_assessment *e)
{
    bool estimated = e->weighted;
    for (int method = 0; method < METHODS; method++) estimated = estimated || e->estimates[method].done;
    return e->grey && estimated;
}

/* ---- results ---------------------------------------------------------------------------------------------------- */

enum { RESULTS_MAX = HM_RESULTS_MAX, NOTES_MAX = 10 };

/* Mean log p(v) = -mean F(v) - log Z. */
static double log_prob(const hm_assessment *e, int split, int method)
{
    return -e->energy[split].mean - e->estimates[method].ais.log_z;
}

/* Its standard error: that of log Z, and that of the mean over the rows as a sample of what they were drawn from. */
static double log_prob_error(const hm_assessment *e, int split, int method)
{
    return hypot(e->estimates[method].ais.log_z_stderr, e->energy[split].std_error);
}

static void report_method(const hm_assessment *e, int method, hm_report *report)
{
    const hm_ais_result *ais = &e->estimates[method].ais;
    hm_report_begin(report, hm_estimate_methods[method].name, hm_estimate_methods[method].label);
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
        snprintf(key, sizeof key, "%s_log_prob", hm_split_names[split]);
        snprintf(label, sizeof label, "%s log-probability%s", hm_split_names[split],
                 e->model->class->bound ? " (bound)" : "");
        hm_report_real(report, key, label, log_prob(e, split, method), 3, "nats");
        snprintf(key, sizeof key, "%s_log_prob_stderr", hm_split_names[split]);
        hm_report_real(report, key, "  standard error", log_prob_error(e, split, method), 3, "nats");
    }
    hm_report_real(report, "seconds", "time", ais->seconds, 2, "s");
    hm_report_end(report);
}

/* AIS is low on average and reverse AIS high: the larger forward estimate and the reverse one bracket log Z. Without
 * reverse AIS its place is RAISE's, which is high for the distribution that annealing ends in: where that is not the
 * model, the two are apart as well. */
typedef struct bracket {
    const hm_ais_result *low, *high;
    double gap;
    double raise; /* NaN without */
    char verdict[200];
} bracket;

enum { TRUSTED_SIGMAS = 3 };
static const double TRUSTED_GAP = 1, BY_CHANCE = 3; /* nats */

/* The interval of three standard errors has no end: the mean weight is that of one chain or two, and a standard error
 * that rests on them says nothing. */
static bool is_open(const hm_ais_result *ais) { return !isfinite(ais->log_z_lower) || !isfinite(ais->log_z_upper); }

/* The larger forward estimate of those that are open, or of those that are not; or NULL. */
static const hm_ais_result *larger_forward(const hm_assessment *e, bool open)
{
    const hm_ais_result *larger = NULL;
    for (int method = AIS; method <= AIS_UNIFORM; method++) {
        const hm_ais_result *ais = &e->estimates[method].ais;
        if (!e->estimates[method].done || !isfinite(ais->log_z) || is_open(ais) != open) continue;
        if (!larger || ais->log_z > larger->log_z) larger = ais;
    }
    return larger;
}

/* The larger one, but an open one only if it is so much larger that it tells of a mode which the other start misses:
 * by chance its mean weight is e^t times Z with a probability below e^-t (Markov). */
static const hm_ais_result *find_forward(const hm_assessment *e)
{
    const hm_ais_result *closed = larger_forward(e, false), *open = larger_forward(e, true);
    if (!closed || !open) return closed ? closed : open;
    return open->log_z > closed->log_z + BY_CHANCE ? open : closed;
}

/* name: of the upper estimate. */
static void find_verdict(const hm_assessment *e, const char *name, bracket *b)
{
    const estimate *exact = &e->estimates[EXACT];
    double error = hypot(b->low->log_z_stderr, b->high->log_z_stderr);
    double wrong = exact->done ? b->low->log_z - exact->ais.log_z : 0;
    const hm_ais_result *open = is_open(b->low) ? b->low : is_open(b->high) ? b->high : NULL;
    if (is_grey(e))
        snprintf(b->verdict, sizeof b->verdict, "%s: do not quote; train with data.binarize", grey_data);
    else if (e->changed)
        snprintf(b->verdict, sizeof b->verdict, "%s: do not quote", hm_changed_data);
    else if (!(fabs(wrong) <= TRUSTED_GAP + TRUSTED_SIGMAS * b->low->log_z_stderr))
        snprintf(b->verdict, sizeof b->verdict, "forward is %.1f nats from the exact log Z: do not quote", fabs(wrong));
    else if (!(fabs(b->gap) <= TRUSTED_GAP + TRUSTED_SIGMAS * error))
        snprintf(b->verdict, sizeof b->verdict, "forward and %s are %.1f nats apart: do not quote", name, fabs(b->gap));
    else if (open)
        snprintf(b->verdict, sizeof b->verdict,
                 "%s has an effective sample size of %.1f of %lld: do not quote; raise ais.chains or ais.temperatures",
                 open == b->low ? "forward" : name, open->ess, (long long)open->chains);
    else if (b->gap < -TRUSTED_SIGMAS * error && b->high == &e->estimates[REVERSE_AIS].ais)
        snprintf(b->verdict, sizeof b->verdict,
                 "reverse lies %.2f nats below forward: its chains are not yet samples of the model; raise ais.burn_in",
                 -b->gap);
    else
        snprintf(b->verdict, sizeof b->verdict, "bracket of %.2f nats, standard error %.2f: trustworthy", fabs(b->gap),
                 error);
}

static bool find_bracket(const hm_assessment *e, bracket *b)
{
    bool reverse = e->estimates[REVERSE_AIS].done, raised = e->estimates[RAISE].done;
    b->low = find_forward(e);
    if (!(reverse || raised) || !b->low) return false;
    b->high = &e->estimates[reverse ? REVERSE_AIS : RAISE].ais;
    b->gap = b->high->log_z - b->low->log_z;
    b->raise = raised ? e->estimates[RAISE].ais.log_z : (double)NAN;
    find_verdict(e, reverse ? "reverse" : "RAISE", b);
    return true;
}

/* The method of the lower estimate. */
static const char *forward_name(const hm_assessment *e, const bracket *b)
{
    return hm_estimate_methods[b->low == &e->estimates[AIS].ais ? AIS : AIS_UNIFORM].name;
}

static void report_bracket(const hm_assessment *e, hm_report *report)
{
    bracket b;
    if (!find_bracket(e, &b)) return;
    hm_report_begin(report, "bracket", "bracket of log Z");
    hm_report_real(report, "forward", "AIS, the start that counts", b.low->log_z, 3, "nats");
    if (e->estimates[REVERSE_AIS].done) hm_report_real(report, "reverse", "reverse AIS", b.high->log_z, 3, "nats");
    if (e->estimates[RAISE].done) hm_report_real(report, "raise", "RAISE", b.raise, 3, "nats");
    hm_report_real(report, "gap", "gap", b.gap, 3, "nats");
    hm_report_text(report, "verdict", "verdict", b.verdict);
    hm_report_end(report);
}

static const hm_quantity class_quantities[] = {
    HM_QUANTITY(hm_classification, error, "error", 5, NULL),
    HM_QUANTITY(hm_classification, error_stderr, "  standard error", 5, NULL),
    HM_QUANTITY(hm_classification, cross_entropy, "cross-entropy", 4, "nats"),
    HM_QUANTITY(hm_classification, cross_entropy_stderr, "  standard error", 4, "nats"),
    {.name = NULL},
};

static void report_classes(const hm_assessment *e, hm_report *report)
{
    hm_report_begin(report, classification, "classification");
    for (int split = 0; split < SPLITS; split++)
        if (e->classes[split].confusion)
            hm_quantities_report(class_quantities, &e->classes[split], hm_split_names[split], report);
    hm_report_end(report);
}

/* Which classes are taken for which, on a terminal: rows are labels, columns what they are told as. */
static void report_confusion(const hm_assessment *e)
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

/* Methods beside those that estimate log Z: is it done, what it tells and stores. */
static const struct other {
    const char *name, *describe;
    size_t done; /* offset of a bool */
    void (*report)(const hm_assessment *e, hm_report *report);
    hm_status (*results)(const hm_assessment *e, hm_result results[], int *count);
} others[] = {
    {"importance", "log of the mean of p(v, h) / q(h | v) over draws of q (Burda, Grosse, Salakhutdinov 2016)",
     offsetof(hm_assessment, weighted), hm_importance_report, hm_importance_results},
    {"parzen", "Gaussian windows around made rows, of the width that is best for training rows",
     offsetof(hm_assessment, windowed), hm_parzen_report, hm_parzen_results},
    {"scores", "what a classifier says of made rows (Salimans et al. 2016; Heusel et al. 2017)",
     offsetof(hm_assessment, scored), hm_scores_report, hm_scores_results},
};
enum { OTHERS = sizeof others / sizeof others[0] };

static bool is_done(const hm_assessment *e, const struct other *other)
{
    return *(const bool *)((const char *)e + other->done);
}

hm_status hm_assessment_report(const hm_assessment *e, const char *folder)
{
    hm_report *report = hm_report_new();
    hm_report_text(report, "run", "run", folder);
    hm_report_text(report, "family", "family", e->model->class->name);
    if (e->model->class->bound)
        hm_report_text(report, "bound", "log-probabilities are lower bounds", e->model->class->bound);
    if (is_grey(e)) hm_report_text(report, "log_prob_is_expectation", "these are no log-probabilities", grey_data);
    if (e->changed) hm_report_text(report, "data_changed", "the data have changed", hm_changed_data);
    for (int method = 0; method < METHODS; method++)
        if (e->estimates[method].done) report_method(e, method, report);
    report_bracket(e, report);
    for (const struct other *other = others; other < others + OTHERS; other++)
        if (is_done(e, other)) other->report(e, report);
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

/* What every estimate says of where it comes from. */
static void begin_notes(const hm_assessment *e, stored *s, int *count)
{
    s->notes[(*count)++] = (hm_note){"config", e->run.yaml};
    s->notes[(*count)++] = (hm_note){"data", e->run.data.file};
    if (is_grey(e)) s->notes[(*count)++] = (hm_note){"log_prob_is_expectation", grey_data};
    if (e->changed) s->notes[(*count)++] = (hm_note){"data_changed", hm_changed_data};
}

static void conclude(stored *s, const char *method, const char *describe, int results, int notes)
{
    s->evaluation = (hm_evaluation){.method = method,
                                    .description = describe,
                                    .results = s->results,
                                    .result_count = results,
                                    .notes = s->notes,
                                    .note_count = notes};
}

static hm_status store_splits(const hm_assessment *e, int method, stored *s, int *count)
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
            snprintf(name, sizeof name, "%s_%s", hm_split_names[split], quantities[quantity]);
            HM_TRY(hm_result_real(s->results, count, RESULTS_MAX, name, values[quantity]));
        }
    }
    return HM_OK;
}

static hm_status store_method(const hm_assessment *e, int method, stored *s)
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
    begin_notes(e, s, &notes);
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
        s->notes[notes++] = (hm_note){"base", hm_estimate_methods[method].base};
    }
    if ((method == REVERSE_AIS || method == RAISE) && find_bracket(e, &s->bracket)) {
        s->notes[notes++] = (hm_note){"verdict", s->bracket.verdict};
        s->notes[notes++] = (hm_note){"bracket_forward", forward_name(e, &s->bracket)};
    }
    if (e->model->class->bound) s->notes[notes++] = (hm_note){"log_prob_is_bound", e->model->class->bound};
    conclude(s, hm_estimate_methods[method].name, hm_estimate_methods[method].describe, count, notes);
    return HM_OK;
}

static hm_status store_classes(const hm_assessment *e, stored *s)
{
    int count = 0, notes = 0;
    for (int split = 0; split < SPLITS; split++) {
        const hm_classification *classes = &e->classes[split];
        char name[64];
        if (!classes->confusion) continue;
        HM_TRY(hm_quantities_results(class_quantities, classes, hm_split_names[split], s->results, &count));
        snprintf(name, sizeof name, "%s_confusion", hm_split_names[split]);
        HM_TRY(hm_result_square(s->results, &count, RESULTS_MAX, name, classes->confusion, classes->classes));
    }
    begin_notes(e, s, &notes);
    conclude(s, classification, "the most probable class of each example", count, notes);
    return HM_OK;
}

/* What log p of every test row is made of. */
static hm_status store_energies(const hm_assessment *e, stored *s)
{
    int count = 0, notes = 0;
    HM_TRY(hm_result_array(s->results, &count, RESULTS_MAX, "test_free_energy", e->each[HM_TEST],
                           e->split[HM_TEST]->rows));
    begin_notes(e, s, &notes);
    conclude(s, "free_energy",
             e->model->class->bound ? "upper bounds of -log p*(v): log p(v) >= -test_free_energy - log_z"
                                    : "-log p*(v): log p(v) = -test_free_energy - log_z",
             count, notes);
    return HM_OK;
}

static hm_status store_other(const hm_assessment *e, const struct other *other, stored *s)
{
    int count = 0, notes = 0;
    HM_TRY(other->results(e, s->results, &count));
    begin_notes(e, s, &notes);
    conclude(s, other->name, other->describe, count, notes);
    return HM_OK;
}

/* Verdicts speak of several estimates: those that are stored go when one of these is replaced. */
static void forget_verdicts(const hm_assessment *e, hm_evaluation evaluations[], int *count)
{
    bool estimated = false;
    for (int method = 0; method < METHODS; method++) estimated = estimated || e->estimates[method].done;
    for (int method = REVERSE_AIS; estimated && method <= RAISE; method++)
        if (!e->estimates[method].done)
            evaluations[(*count)++] = (hm_evaluation){.method = hm_estimate_methods[method].name, .forget = "verdict"};
}

hm_status hm_assessment_store(const hm_assessment *e, const char *folder)
{
    stored all[METHODS + OTHERS + 2];
    hm_evaluation evaluations[METHODS + OTHERS + 2];
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
    for (const struct other *other = others; other < others + OTHERS; other++) {
        if (!is_done(e, other)) continue;
        HM_TRY(store_other(e, other, &all[count]));
        evaluations[count] = all[count].evaluation;
        count++;
    }
    if (e->classified) {
        HM_TRY(store_classes(e, &all[count]));
        evaluations[count] = all[count].evaluation;
        count++;
    }
    forget_verdicts(e, evaluations, &count); /* of methods that are not done: there is room */
    HM_TRY(hm_path_in(folder, "model.h5", &path));
    hm_status status = hm_model_file_evaluations(path, e->run.identity, evaluations, count);
    free(path);
    return status;
}
