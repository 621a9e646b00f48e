/* harmonium evaluate RUN: log Z and mean log-probabilities by several methods, printed and stored in RUN/model.h5. */
#include "cli/assessment.h"
#include "cli/trained.h"

#include "core/closest.h"
#include "core/memory.h"
#include "infer/progress.h"
#include "io/dataset.h"
#include "io/model_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXACT_BY_DEFAULT = 20 /* units: seconds, not minutes */ };

static const hm_option options[] = {
    {"--method", HM_OPT_TEXT, offsetof(evaluate_options, methods), "LIST",
     "comma-separated: exact, ais, ais_uniform, reverse_ais, raise, importance, parzen, scores, classification "
     "(default: all that apply)"},
    {"--classifier", HM_OPT_TEXT, offsetof(evaluate_options, classifier), "RUN",
     "scores: a trained network that tells the classes of the data"},
    {"--data", HM_OPT_TEXT, offsetof(evaluate_options, data), "FILE",
     "data file (default: the one the run was trained on)"},
    {"--split", HM_OPT_TEXT, offsetof(evaluate_options, split), "train|test|both",
     "whose log-probability (default: both)"},
    {"--set", HM_OPT_TEXTS, offsetof(evaluate_options, sets), "KEY=VALUE",
     "override a key of the configuration (ais.chains=500)"},
    {.name = NULL},
};

/* ---- the methods ------------------------------------------------------------------------------------------------ */

static hm_status run_exact(hm_assessment *e, estimate *out)
{
    double start = hm_clock();
    HM_TRY(hm_exact_log_z(e->model, &e->run.workers, &out->ais.log_z));
    out->ais.seconds = hm_clock() - start;
    out->ais.log_z_lower = out->ais.log_z_upper = out->ais.log_z;
    return HM_OK;
}

static hm_status check_exact(const hm_assessment *e, const bool chosen[])
{
    (void)chosen;
    return hm_exact_check(e->model);
}

static hm_status check_forward(const hm_assessment *e, const bool chosen[])
{
    (void)chosen;
    return hm_ais_check(e->model);
}

static hm_status check_ladder(const hm_assessment *e, const bool chosen[])
{
    HM_REQUIRE(
        e->run.ais.ladder != HM_LADDER_ADAPTIVE || chosen[AIS], HM_EUSAGE,
        "--method: temperatures of an adaptive ais.ladder are found by the method ais, which is not among these");
    return HM_OK;
}

static hm_status check_reverse(const hm_assessment *e, const bool chosen[])
{
    HM_TRY(hm_ais_check(e->model));
    return check_ladder(e, chosen);
}

static hm_status check_raise(const hm_assessment *e, const bool chosen[])
{
    int64_t rows = e->split[judged_split(e)]->rows, wanted = e->run.ais.raise_rows;
    HM_TRY(hm_raise_check(e->model));
    HM_TRY(check_ladder(e, chosen));
    HM_REQUIRE(rows >= 2 && wanted != 1, HM_EUSAGE,
               "raise: the error of a mean takes two rows (%lld there, %lld asked)", (long long)rows,
               (long long)wanted);
    return HM_OK;
}

static hm_status run_forward(hm_assessment *e, hm_base base, estimate *out)
{
    float *biases;
    hm_status made = hm_alloc(&biases, hm_state_columns(e->model), sizeof(float), "base biases");
    HM_TRY(e->cli->comm->agree(e->cli->comm, made));
    hm_base_biases(e->model, base, biases);
    hm_workers workers = e->run.workers;
    workers.seed += (uint64_t)base; /* the two starts are independent estimates */
    hm_status status = hm_ais(e->model, biases, &e->run.ais, &workers, &out->ais);
    free(biases);
    return status;
}

static hm_status run_ais(hm_assessment *e, estimate *out) { return run_forward(e, HM_BASE_DATA, out); }
static hm_status run_ais_uniform(hm_assessment *e, estimate *out) { return run_forward(e, HM_BASE_UNIFORM, out); }

/* A split of the data, with as many columns as the model has visible units. */
static hm_status open_split(const hm_assessment *e, hm_split split, int64_t classes, hm_source **out)
{
    HM_TRY(hm_trained_open_split(&e->run, e->cli->comm, split, classes, out));
    HM_REQUIRE((*out)->columns == e->model->visible + classes, HM_EDATA,
               "%s: %lld columns; the model has %lld visible units", e->run.data.file, (long long)(*out)->columns,
               (long long)e->model->visible);
    return HM_OK;
}

/* Rows of a split, evenly spread: the same on every rank. The caller frees rows->at, also after a failure. */
static hm_status read_rows(hm_assessment *e, hm_split split, int64_t most, hm_matrix *rows)
{
    hm_transform transform = hm_run_transform(&e->run, split, 0);
    hm_source *source;
    unsigned char *raw = NULL;
    HM_TRY(open_split(e, split, 0, &source));
    *rows = (hm_matrix){NULL, most > 0 ? most : source->rows, e->model->visible};
    hm_status status = hm_alloc(&rows->at, rows->rows * rows->columns, sizeof(float), "rows to start from");
    if (status == HM_OK) status = hm_alloc(&raw, source->columns, hm_type_size(source->type), "a row");
    for (int64_t at = 0; status == HM_OK && at < rows->rows; at++) {
        int64_t row = hm_part(source->rows, rows->rows, at).begin;
        status = source->read(source, row, 1, raw);
        if (status != HM_OK) break;
        hm_transform_row(&transform, source, raw, row, 0, rows->at + at * rows->columns);
        if (hm_transform_is_grey(&transform, source->columns, rows->at + at * rows->columns)) e->grey = true;
    }
    free(raw);
    source->close(source);
    return status;
}

typedef hm_status (*downward)(const hm_model *model, const float base[], hm_matrix start,
                              const hm_ais_settings *settings, int64_t temperatures, const double *betas,
                              const hm_workers *workers, hm_ais_result *out);

/* Down from rows of a split to the data's base rates, along the ladder of the forward run if there was one. */
static hm_status run_down(hm_assessment *e, downward method, hm_split split, int64_t rows, const hm_workers *workers,
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

static hm_status run_reverse(hm_assessment *e, estimate *out)
{
    return run_down(e, hm_ais_reverse, HM_TRAIN, e->run.ais.chains, &e->run.workers, out);
}

static hm_status run_raise(hm_assessment *e, estimate *out)
{
    int64_t rows = e->split[judged_split(e)]->rows, wanted = e->run.ais.raise_rows;
    hm_workers workers = e->run.workers;
    workers.seed += 2; /* independent of the other estimates */
    return run_down(e, hm_raise, judged_split(e), wanted == 0 || wanted > rows ? rows : wanted, &workers, out);
}

const hm_estimate_method hm_estimate_methods[METHODS] = {
    [EXACT] = {"exact", "exact enumeration", NULL, "log Z by enumeration of the smaller layer", check_exact, run_exact},
    [AIS] = {"ais", "AIS, data start", "data", "AIS from the data's base rates (Salakhutdinov & Murray 2008)",
             check_forward, run_ais},
    [AIS_UNIFORM] = {"ais_uniform", "AIS, uniform start", "uniform", "AIS from the uniform distribution", check_forward,
                     run_ais_uniform},
    [REVERSE_AIS] = {"reverse_ais", "reverse AIS", "data",
                     "reverse AIS: from Gibbs samples of the model to the data's base rates; high on average",
                     check_reverse, run_reverse},
    [RAISE] =
        {"raise", "RAISE, data start", "data",
         "RAISE (Burda, Grosse, Salakhutdinov 2015): a lower bound, on average, on the mean log-probability of rows of "
         "data under the distribution in which AIS ends; log_z is what log Z would have to be for it",
         check_raise, run_raise},
};

/* ---- classes ----------------------------------------------------------------------------------------------------- */

/* Rows of a split as the methods see them. */
typedef struct split_rows {
    hm_transform transform;
    atomic_bool *grey; /* set by a row between 0 and 1 */
} split_rows;

static split_rows rows_of(hm_assessment *e, hm_split split, int64_t labels)
{
    return (split_rows){hm_run_transform(&e->run, split, labels), &e->grey};
}

static hm_status transform_rows(const void *context, int64_t first_row, const hm_source *source, const void *raw,
                                hm_matrix out)
{
    const split_rows *rows = context;
    const hm_transform *transform = &rows->transform;
    size_t row_bytes = (size_t)out.columns * hm_type_size(source->type);
    for (int64_t row = 0; row < out.rows; row++) {
        const unsigned char *from = (const unsigned char *)raw + (size_t)row * row_bytes;
        float *to = out.at + row * out.columns;
        HM_TRY(hm_transform_rates(transform, source, from, first_row + row, to));
        if (hm_transform_is_grey(transform, source->columns, to)) *rows->grey = true;
        hm_transform_row(transform, source, from, first_row + row, 0, to);
    }
    return HM_OK;
}

static hm_status classify_split(hm_assessment *e, hm_split split)
{
    split_rows context = rows_of(e, split, e->model->classes);
    hm_row_transform rows = {transform_rows, &context};
    hm_source *source = NULL;
    hm_status status = open_split(e, split, e->model->classes, &source);
    if (status == HM_OK) status = hm_classification_of(e->model, source, &rows, &e->run.workers, &e->classes[split]);
    if (source) source->close(source);
    return status;
}

static hm_status classify_splits(hm_assessment *e)
{
    for (int split = 0; split < SPLITS; split++)
        if (e->split[split]) HM_TRY(classify_split(e, (hm_split)split));
    return HM_OK;
}

/* ---- latent variables -------------------------------------------------------------------------------------------- */

/* The training rows, or some of them, evenly spread. */
static hm_status open_some(hm_assessment *e, hm_matrix *rows, hm_source **out)
{
    int64_t wanted = e->run.importance.train_rows, there = e->split[HM_TRAIN]->rows;
    hm_status status = read_rows(e, HM_TRAIN, wanted == 0 || wanted > there ? there : wanted, rows);
    if (status == HM_OK) status = hm_source_memory(HM_FLOAT32, rows->rows, rows->columns, rows->at, out);
    return e->cli->comm->agree(e->cli->comm, status);
}

static hm_status weigh_split(hm_assessment *e, hm_split split)
{
    split_rows context = rows_of(e, split, 0);
    hm_row_transform rows = {transform_rows, &context};
    hm_matrix some = {0};
    hm_source *source = e->split[split];
    hm_status status = split == HM_TRAIN ? open_some(e, &some, &source) : HM_OK;
    if (status == HM_OK)
        status = hm_importance(e->model, source, split == HM_TRAIN ? &hm_row_values : &rows, &e->run.importance,
                               &e->run.workers, &e->importance[split]);
    if (some.at && source != e->split[split]) source->close(source);
    free(some.at);
    return status;
}

static hm_status weigh_splits(hm_assessment *e)
{
    for (int split = 0; split < SPLITS; split++)
        if (e->split[split]) HM_TRY(weigh_split(e, (hm_split)split));
    return HM_OK;
}

/* ---- made rows --------------------------------------------------------------------------------------------------- */

static hm_status window_rows(hm_assessment *e, hm_matrix made, hm_source *rows, const hm_row_transform *transform)
{
    hm_matrix some = {0};
    hm_source *validation = NULL;
    int64_t there = e->split[HM_TRAIN]->rows, wanted = e->run.generation.validation;
    hm_status status = read_rows(e, HM_TRAIN, wanted > there ? there : wanted, &some);
    if (status == HM_OK) status = hm_source_memory(HM_FLOAT32, some.rows, some.columns, some.at, &validation);
    status = e->cli->comm->agree(e->cli->comm, status);
    if (status == HM_OK)
        status = hm_parzen_of(made, validation, &hm_row_values, rows, transform, &e->run.workers, &e->parzen);
    if (validation) validation->close(validation);
    free(some.at);
    return status;
}

/* Rows of the data are test rows where there are some. */
static hm_status judge(hm_assessment *e, hm_matrix made)
{
    hm_split split = judged_split(e);
    split_rows judged = rows_of(e, split, 0), of_train = rows_of(e, HM_TRAIN, 0);
    hm_row_transform rows = {transform_rows, &judged}, train = {transform_rows, &of_train};
    if (e->windowed) HM_TRY(window_rows(e, made, e->split[split], &rows));
    if (e->scored) HM_TRY(hm_assess_scores(e, made, e->split[split], &rows));
    return e->scored ? hm_assess_nearest(e, made, e->split[HM_TRAIN], &train) : HM_OK;
}

static hm_status make_and_judge(hm_assessment *e)
{
    const hm_latent *latent = e->model->class->latent;
    HM_REQUIRE(latent, HM_EUSAGE, "--method: family %s makes no rows from latent variables", e->model->class->name);
    HM_REQUIRE(e->split[HM_TRAIN], HM_EUSAGE,
               "--method parzen and scores look at training rows too: leave --split out");
    /* Where the data are made binary, so are rows to compare with them: draws, not means. */
    bool draws = e->run.data.binarize != HM_BINARIZE_NONE;
    hm_matrix means = {NULL, e->run.generation.samples, e->model->visible}, made = means, top = means;
    int64_t size = means.rows * means.columns + 64;
    top.columns = latent->top_units(e->model);
    hm_status status = hm_alloc(&means.at, size, sizeof(float), "made rows");
    if (status == HM_OK && draws) status = hm_alloc(&made.at, size, sizeof(float), "made rows");
    if (status == HM_OK) status = hm_alloc(&top.at, top.rows * top.columns + 64, sizeof(float), "made rows");
    status = e->cli->comm->agree(e->cli->comm, status);
    if (status == HM_OK) status = hm_generate(e->model, &e->run.workers, top, made.at, means.at);
    if (status == HM_OK) status = judge(e, draws ? made : means);
    free(top.at);
    free(made.at);
    free(means.at);
    return status;
}

/* ---- which methods ---------------------------------------------------------------------------------------------- */

static hm_status choose_default(hm_assessment *e, bool chosen[METHODS])
{
    const hm_model_class *class = e->model->class;
    e->classified = class->classifies && class->classifies(e->model);
    e->weighted = class->latent && class->latent->log_weights;
    e->windowed = class->latent && !e->weighted;
    e->scored = e->options->classifier;
    chosen[EXACT] = class->enumeration && class->enumeration->units(e->model) <= EXACT_BY_DEFAULT;
    chosen[AIS] = chosen[AIS_UNIFORM] = chosen[REVERSE_AIS] = hm_model_anneals(e->model);
    chosen[RAISE] = chosen[AIS] && !class->bound && e->split[judged_split(e)]->rows >= 2;
    return HM_OK;
}

static bool is_called(const char *text, size_t length, const char *name)
{
    return strlen(name) == length && strncmp(name, text, length) == 0;
}

static hm_status refuse_method(const char *text, size_t length)
{
    static const char *const known[] = {"exact",      "ais",    "ais_uniform", "reverse_ais",   "raise",
                                        "importance", "parzen", "scores",      "classification"};
    char given[64], list[256] = "";
    size_t used = 0;
    snprintf(given, sizeof given, "%.*s", length < sizeof given ? (int)length : (int)sizeof given - 1, text);
    hm_closest closest = hm_closest_to(given);
    for (size_t at = 0; at < sizeof known / sizeof known[0]; at++) {
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", known[at]);
        hm_closest_offer(&closest, known[at]);
    }
    return hm_fail(HM_EUSAGE, "--method: '%s' is not a method; %s%s%sknown: %s", given,
                   closest.word ? "did you mean '" : "", closest.word ? closest.word : "", closest.word ? "'? " : "",
                   list);
}

static hm_status choose_listed(hm_assessment *e, const char *list, bool chosen[METHODS])
{
    const struct {
        const char *name;
        bool *chosen;
    } others[] = {{"importance", &e->weighted},
                  {"parzen", &e->windowed},
                  {"scores", &e->scored},
                  {"classification", &e->classified}};
    do {
        size_t length = strcspn(list, ",");
        bool known = false;
        for (int method = 0; method < METHODS; method++)
            if (is_called(list, length, hm_estimate_methods[method].name)) known = chosen[method] = true;
        for (int other = 0; other < 4; other++)
            if (is_called(list, length, others[other].name)) known = *others[other].chosen = true;
        if (!known) return refuse_method(list, length);
        list += length + (list[length] == ',');
    } while (*list);
    return HM_OK;
}

/* ---- data ------------------------------------------------------------------------------------------------------- */

static hm_status measure_split(hm_assessment *e, hm_split split)
{
    split_rows context = rows_of(e, split, 0);
    hm_row_transform rows = {transform_rows, &context};
    if (split == HM_TEST)
        HM_TRY(e->cli->comm->agree(e->cli->comm,
                                   hm_alloc(&e->each[split], e->split[split]->rows, sizeof(double), "free energies")));
    return hm_mean_free_energy(e->model, e->split[split], &rows, &e->run.workers, e->each[split], &e->energy[split]);
}

/* Free energies, which log Z turns into log-probabilities. */
static hm_status measure_splits(hm_assessment *e)
{
    for (int split = 0; split < SPLITS && e->model->class->free_energy; split++)
        if (e->split[split]) HM_TRY(measure_split(e, (hm_split)split));
    return HM_OK;
}

static hm_status open_data(hm_assessment *e)
{
    const char *wanted = e->options->split ? e->options->split : "both";
    bool both = strcmp(wanted, "both") == 0;
    for (int split = 0; split < SPLITS; split++) {
        if (!both && strcmp(wanted, hm_split_names[split]) != 0) continue;
        bool has = true;
        if (both && split == HM_TEST)
            HM_TRY(e->cli->comm->agree(e->cli->comm, hm_dataset_has(e->run.data.file, hm_split_names[split], &has)));
        if (!has) { /* a file without test rows is evaluated on what it has, unless the split was asked for */
            char warning[512];
            snprintf(warning, sizeof warning, "%s: has no split 'test'", e->run.data.file);
            e->cli->log->warn(e->cli->log, warning);
            continue;
        }
        HM_TRY(open_split(e, (hm_split)split, 0, &e->split[split]));
    }
    return HM_OK;
}

/* ---- the command ------------------------------------------------------------------------------------------------ */

static hm_status choose(hm_assessment *e, bool chosen[METHODS])
{
    HM_TRY(e->options->methods ? choose_listed(e, e->options->methods, chosen) : choose_default(e, chosen));
    HM_REQUIRE(e->scored || !e->options->classifier, HM_EUSAGE,
               "--classifier: a network judges made rows by --method scores, which is not among the methods");
    for (int method = 0; method < METHODS; method++)
        if (chosen[method]) HM_TRY(hm_estimate_methods[method].check(e, chosen));
    return HM_OK;
}

static hm_status run_methods(hm_assessment *e, const bool chosen[METHODS])
{
    bool others = e->weighted || e->windowed || e->scored || e->classified, estimates = false;
    for (int method = 0; method < METHODS; method++) estimates = estimates || chosen[method];
    if (!estimates && !others)
        e->cli->log->warn(e->cli->log, "no method is of this model's units: there are free energies, and no log Z");
    if (estimates || !e->options->methods) HM_TRY(measure_splits(e));
    if (e->weighted) HM_TRY(weigh_splits(e));
    if (e->windowed || e->scored) HM_TRY(make_and_judge(e));
    if (e->classified) HM_TRY(classify_splits(e));
    for (int method = 0; method < METHODS; method++) {
        if (!chosen[method]) continue;
        HM_TRY(hm_estimate_methods[method].run(e, &e->estimates[method]));
        e->estimates[method].done = true;
    }
    return HM_OK;
}

/* Grey rows of one rank are every rank's. Collective. */
static hm_status agree_on_grey(hm_assessment *e)
{
    double found = e->grey;
    HM_TRY(e->cli->comm->reduce_double(e->cli->comm, &found, 1));
    e->grey = found > 0;
    return HM_OK;
}

/* The data file that the run names should hold what it was trained on. */
static hm_status check_data(hm_assessment *e)
{
    if (e->options->data || hm_config_is_set(e->run.config, "data.file")) return HM_OK;
    HM_TRY(hm_trained_changed(&e->run, e->cli->comm, &e->changed));
    if (!e->changed) return HM_OK;
    char warning[512];
    snprintf(warning, sizeof warning, "%s: %s", e->run.data.file, hm_changed_data);
    e->cli->log->warn(e->cli->log, warning);
    return HM_OK;
}

static hm_status evaluate(hm_assessment *e, const char *folder)
{
    hm_comm *comm = e->cli->comm;
    bool chosen[METHODS] = {false};
    HM_TRY(hm_run_load(&e->run, e->cli, folder, &e->options->sets, &e->model));
    if (e->options->data) HM_TRY(hm_run_take_data(&e->run, comm, e->options->data));
    HM_TRY(check_data(e));
    HM_TRY(open_data(e));
    HM_TRY(choose(e, chosen));
    HM_TRY(run_methods(e, chosen));
    HM_TRY(agree_on_grey(e));
    hm_status stored = comm->agree(comm, comm->rank == 0 ? hm_assessment_store(e, folder) : HM_OK);
    hm_status told = hm_assessment_report(e, folder); /* also when it could not be stored */
    return stored != HM_OK ? stored : told;
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
        hm_assessment e = {.cli = cli, .options = &chosen};
        status = evaluate(&e, argv[0]);
        for (int method = 0; method < METHODS; method++) hm_ais_result_free(&e.estimates[method].ais);
        for (int split = 0; split < SPLITS; split++)
            if (e.split[split]) e.split[split]->close(e.split[split]);
        for (int split = 0; split < SPLITS; split++) hm_classification_free(&e.classes[split]);
        for (int split = 0; split < SPLITS; split++) hm_importance_free(&e.importance[split]);
        hm_scores_free(&e.scores);
        free(e.each[HM_TEST]);
        hm_model_free(e.model);
        hm_run_free(&e.run);
    }
    hm_options_free(&hm_command_evaluate, &chosen);
    return status;
}

const hm_command hm_command_evaluate = {
    .name = "evaluate",
    .usage = "RUN [--method LIST] [--data FILE] [--split train|test|both] [--classifier RUN] [--set KEY=VALUE ...]",
    .describe = "estimate log Z and log-probabilities of a trained model",
    .options = options,
    .run = run_evaluate,
};
