/* harmonium train: trains, and writes config.yaml, metrics.h5, checkpoint.h5 and model.h5 into RUN; goes on with a run
 * that was interrupted.
 */
#include "cli/run.h"

#include "cli/checkpoints.h"
#include "cli/cores.h"
#include "cli/stages.h"
#include "core/memory.h"
#include "infer/progress.h"
#include "io/checkpoint.h"
#include "io/metrics.h"
#include "io/model_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

typedef struct train_options {
    const char *config; /* CONFIG.yaml; NULL with --resume */
    const char *folder, *resume;
    hm_texts sets;
    bool overwrite, check;
} train_options;

static const hm_option options[] = {
    {"--output|-o", HM_OPT_TEXT, offsetof(train_options, folder), "RUN",
     "folder for the results, made if it is not there; an interrupted run of the same settings goes on"},
    {"--resume", HM_OPT_TEXT, offsetof(train_options, resume), "RUN",
     "go on with this run, by its own configuration (instead of CONFIG.yaml and -o)"},
    {"--set", HM_OPT_TEXTS, offsetof(train_options, sets), "KEY=VALUE",
     "override a key of the configuration (train.epochs=5)"},
    {"--overwrite", HM_OPT_FLAG, offsetof(train_options, overwrite), NULL, "replace what RUN holds"},
    {"--check", HM_OPT_FLAG, offsetof(train_options, check), NULL,
     "only check the configuration, the data and, if it is given, RUN, as training would; writes nothing"},
    {.name = NULL},
};

/* What RUN held when this training came to it; the same on every rank. */
typedef struct earlier_run {
    bool there;                        /* a run was begun */
    bool model;                        /* and came to its end */
    bool checkpoint;                   /* and can be gone on with */
    bool resumable;                    /* the same; with --check, which opens no checkpoint, as far as names tell */
    int64_t step;                      /* done at the checkpoint; 0 without one */
    int64_t stage_epoch;               /* epochs done of its stage */
    char stage[HM_STAGE_NAME_MAX + 1]; /* its name */
} earlier_run;

/* What one training needs, from the configuration to the end. */
typedef struct training {
    hm_cli *cli;
    const train_options *options;
    const char *path; /* RUN */
    hm_folder folder; /* rank 0's */
    earlier_run earlier;
    char *earlier_config;
    bool finished;   /* nothing is left to do */
    bool began;      /* has written into RUN */
    int first_stage; /* to be trained, or to be gone on with */
    hm_run run;
    hm_source *source;
    hm_preprocessing preprocessing; /* of the rows of the data file; rank 0's */
    bool whitened;                  /* have they one? */
    hm_model *model;
    hm_stages stages;
    hm_checkpoints checkpoints;
    hm_metrics *metrics; /* rank 0's */
    double last_row[HM_RUN_METRICS_MAX];
} training;

static bool is_root(const training *t) { return t->cli->comm->rank == 0; }

static hm_status agree(const training *t, hm_status status) { return t->cli->comm->agree(t->cli->comm, status); }

/* ---- what is there already -------------------------------------------------------------------------------------- */

/* The configuration of a run that was begun: the checkpoint's, or the one that was written first. Rank 0. */
static hm_status find_config(training *t, const hm_checkpoint_info *info)
{
    char *path;
    if (info->config) {
        t->earlier_config = strdup(info->config);
        HM_REQUIRE(t->earlier_config, HM_EINTERNAL, "%s: out of memory", t->path);
        return HM_OK;
    }
    const char *name = hm_folder_config(&t->folder);
    if (!t->earlier.there || !hm_folder_has(&t->folder, name)) return HM_OK;
    HM_TRY(hm_path_in(t->path, name, &path));
    hm_status status = hm_read_text(path, &t->earlier_config);
    free(path);
    return status;
}

/* Rank 0. */
static hm_status find_earlier(training *t)
{
    hm_checkpoint_info info;
    char *warning = NULL;
    earlier_run *earlier = &t->earlier;
    earlier->there = hm_folder_holds_run(&t->folder);
    earlier->model = hm_folder_has(&t->folder, "model.h5");
    hm_status status = hm_checkpoint_newest(t->path, &info, &warning);
    if (status == HM_EDATA && earlier->model) { /* damaged, but nobody needs it any more */
        hm_error_clear();
        status = HM_OK;
    }
    if (warning) t->cli->log->warn(t->cli->log, warning);
    earlier->checkpoint = earlier->resumable = info.config != NULL;
    earlier->step = info.step;
    earlier->stage_epoch = info.stage_epoch;
    snprintf(earlier->stage, sizeof earlier->stage, "%s", info.stage ? info.stage : "");
    if (status == HM_OK) status = find_config(t, &info);
    hm_checkpoint_info_free(&info);
    free(warning);
    return status;
}

/* A run cannot start from what it overwrites. */
static hm_status check_start_remains(const training *t)
{
    char *folder = realpath(t->path, NULL);
    bool same = folder && strcmp(folder, t->run.general.start) == 0;
    free(folder);
    HM_REQUIRE(!same, HM_EUSAGE, "start: %s is the folder that this run would overwrite", t->path);
    return HM_OK;
}

/* What RUN holds, by its configuration alone: nothing is locked or written, and a checkpoint may belong to a job. Rank
 * 0.
 */
static hm_status look_at_folder(training *t)
{
    earlier_run *earlier = &t->earlier;
    t->folder.path = t->path;
    if (t->path && !t->options->resume) HM_TRY(hm_folder_check_place(t->path));
    if (!t->path || t->options->overwrite) return HM_OK;
    earlier->there = hm_folder_holds_run(&t->folder);
    earlier->model = hm_folder_has(&t->folder, "model.h5");
    earlier->resumable = hm_folder_has(&t->folder, "checkpoint.h5");
    return find_config(t, &(hm_checkpoint_info){0});
}

/* Rank 0. */
static hm_status open_folder(training *t)
{
    if (t->options->overwrite && t->path) HM_TRY(check_start_remains(t));
    if (t->options->check) return look_at_folder(t);
    HM_TRY(hm_folder_open(t->path, !t->options->resume, t->cli->log, &t->folder));
    return t->options->overwrite ? HM_OK : find_earlier(t);
}

static hm_status configure_from_file(training *t)
{
    char *text;
    HM_TRY(hm_read_everywhere(t->cli->comm, t->options->config, &text));
    hm_status status = hm_run_configure(&t->run, t->cli, t->options->config, text, false, &t->options->sets);
    free(text);
    return status;
}

/* Is the run that was begun the one that is wanted, and is anything left to do? `stored`: its settings. */
static hm_status compare(training *t, const hm_run *stored)
{
    const earlier_run *earlier = &t->earlier;
    int last = stored->stage_count - 1, stage = earlier->checkpoint ? hm_run_stage(stored, earlier->stage) : 0;
    HM_REQUIRE(stage >= 0, HM_EDATA, "%s: its checkpoint is of stage '%s', which its configuration does not have",
               t->path, earlier->stage);
    bool ended = stage == last && earlier->stage_epoch >= stored->stages[last].train.epochs;
    bool finished = earlier->model && (!earlier->checkpoint || ended);
    HM_REQUIRE(
        !finished || t->options->resume, HM_EUSAGE,
        "%s holds a finished run; choose another folder, or --overwrite (--resume with more %s.epochs goes on with "
        "it)",
        t->path, t->run.stages[t->run.stage_count - 1].section);
    HM_TRY(hm_run_check_same(stored, &t->run, t->path,
                             t->options->resume ? "a run keeps its settings: leave out --set of those, or train with "
                                                  "them into another folder (`start` takes parameters from a run)"
                                                : "choose another folder, or --overwrite",
                             stage, earlier->stage_epoch));
    t->finished = finished && t->run.stages[last].train.epochs == stored->stages[last].train.epochs;
    HM_REQUIRE(!finished || t->finished || earlier->resumable, HM_EUSAGE, "%s holds no checkpoint to go on from",
               t->path);
    t->first_stage = stage;
    return HM_OK;
}

static hm_status check_earlier(training *t)
{
    hm_run stored;
    if (!t->earlier.there && !t->options->resume) return HM_OK;
    HM_REQUIRE(t->earlier.there, HM_EUSAGE, "%s holds no run to go on with", t->path);
    HM_REQUIRE(t->earlier_config, HM_EUSAGE,
               "%s holds another run, of which nothing but its result is known; choose another folder, or --overwrite",
               t->path);
    if (!t->options->config)
        HM_TRY(hm_run_configure(&t->run, t->cli, t->path, t->earlier_config, true, &t->options->sets));
    hm_status status = hm_run_configure(&stored, t->cli, t->path, t->earlier_config, true, NULL);
    if (status == HM_OK) status = compare(t, &stored);
    hm_run_free(&stored);
    return agree(t, status);
}

/* Settings, and RUN for this training alone. */
static hm_status prepare(training *t)
{
    hm_comm *comm = t->cli->comm;
    if (t->options->config) HM_TRY(configure_from_file(t));
    HM_TRY(agree(t, is_root(t) ? open_folder(t) : HM_OK));
    HM_TRY(comm->broadcast(comm, &t->earlier, sizeof t->earlier, 0));
    HM_TRY(hm_text_everywhere(comm, &t->earlier_config));
    return check_earlier(t);
}

/* ---- inputs ----------------------------------------------------------------------------------------------------- */

/* Does the family tell probabilities of rows, under which values between 0 and 1 have none? */
static bool tells_probabilities(const hm_model_class *class)
{
    return class->free_energy || (class->latent && class->latent->log_weights);
}

static void warn_of_grey(const training *t, int64_t grey)
{
    char warning[512];
    if (grey == 0 || !tells_probabilities(t->run.class)) return;
    snprintf(
        warning, sizeof warning,
        "%s: %lld of %lld training rows hold values between 0 and 1, which binary units cannot take: they are used "
        "as expectations, and what is measured of them is no log-probability (data.binarize: threshold, fixed or "
        "dynamic makes them 0 or 1)",
        t->run.data.file, (long long)grey, (long long)t->source->rows);
    t->cli->log->warn(t->cli->log, warning);
}

/* One pass over the training data, for base rates and fingerprint. */
static hm_status survey(training *t, float rates[])
{
    uint32_t fingerprint = 0;
    int64_t grey = 0;
    hm_feed *feed = NULL;
    HM_TRY(agree(t, hm_stages_feed(&t->stages, 0, &feed)));
    hm_status status = hm_feed_survey(feed, t->cli->comm, rates, &fingerprint, &grey);
    hm_feed_close(feed);
    if (status == HM_OK) warn_of_grey(t, grey);
    t->checkpoints.data = fingerprint;
    return status;
}

static int64_t classes_of(const training *t)
{
    return t->run.class->classes ? t->run.class->classes(t->run.model_settings) : 0;
}

/* The parameters of run `start`, those that it has; `new`: names of the others; `left`: of those that it has beside
 * them. Lists of `size`, each name behind a space. */
static hm_status take_over(const training *t, const char *file, char *new, char *left, size_t size)
{
    const hm_model *model = t->model;
    hm_model_info info;
    bool taken[HM_TENSORS_MAX];
    size_t used = 0;
    int count = 0;
    HM_TRY(hm_model_file_info(file, &info));
    bool same = strcmp(info.family, model->class->name) == 0;
    hm_status status = same ? HM_OK
                            : hm_fail(HM_EUSAGE, "start: %s is of family %s, and this run of %s", file, info.family,
                                      model->class->name);
    hm_model_info_free(&info);
    HM_TRY(status);
    HM_TRY(hm_model_file_params(file, &model->layout, model->params, taken));
    for (int index = 0; index < model->layout.count; index++) {
        count += taken[index];
        if (!taken[index] && used < size)
            used += (size_t)snprintf(new + used, size - used, " %s", model->layout.tensors[index].name);
    }
    HM_REQUIRE(count > 0, HM_EUSAGE, "start: %s has none of this model's parameters", file);
    return hm_model_file_others(file, &model->layout, left, size);
}

static hm_status start_from_run(training *t)
{
    const char *start = t->run.general.start;
    char *file, new[256] = "", left[256] = "", line[1024];
    HM_TRY(agree(t, hm_folder_check_finished(start)));
    HM_TRY(agree(t, hm_path_in(start, "model.h5", &file)));
    hm_status status = agree(t, take_over(t, file, new, left, sizeof new));
    free(file);
    HM_TRY(status);
    snprintf(line, sizeof line, "starting from %s%s%s%s%s", start, *new ? "; new are" : "", new,
             *left ? "; left there are" : "", left);
    t->cli->log->note(t->cli->log, line);
    return HM_OK;
}

static hm_status make_model(training *t)
{
    float *rates = NULL;
    int64_t visible = t->source->columns - classes_of(t);
    HM_TRY(agree(t, hm_model_create(t->run.class, t->run.model_settings, visible, &t->run.team, &t->model)));
    t->stages = (hm_stages){.cli = t->cli, .run = &t->run, .source = t->source, .model = t->model};
    HM_TRY(agree(t, hm_alloc(&rates, t->source->columns, sizeof(float), "base rates")));
    hm_status status = survey(t, rates);
    if (status == HM_OK) status = agree(t, t->model->class->init(t->model, t->run.workers.seed, rates));
    free(rates);
    HM_TRY(status);
    if (!hm_run_starts_anew(&t->run) && !t->earlier.checkpoint) HM_TRY(start_from_run(t));
    t->model->class->refresh(t->model);
    return HM_OK;
}

static void enter_stage(training *t) { t->checkpoints.stage = &t->run.stages[t->stages.at]; }

static hm_status open_inputs(training *t)
{
    HM_TRY(hm_open_split(t->cli->comm, t->run.data.file, "train", classes_of(t), &t->source));
    HM_TRY(agree(t, is_root(t)
                        ? hm_preprocessing_read(t->run.data.file, &hm_format_data, &t->preprocessing, &t->whitened)
                        : HM_OK));
    HM_TRY(make_model(t));
    HM_TRY(agree(t, hm_stages_prepare(&t->stages)));
    HM_TRY(hm_stages_open(&t->stages, t->first_stage, !t->earlier.checkpoint));
    enter_stage(t);
    return t->earlier.checkpoint ? hm_checkpoints_restore(&t->checkpoints, t->stages.contrast) : HM_OK;
}

/* ---- outputs ---------------------------------------------------------------------------------------------------- */

/* New, or those of the run that goes on, up to its checkpoint. */
static hm_status open_metrics(training *t)
{
    hm_metric list[HM_RUN_METRICS_MAX];
    const hm_monitor *metrics = t->stages.metrics;
    int count = t->stages.metric_count;
    char *path;
    bool there = hm_folder_has(&t->folder, "metrics.h5");
    for (int metric = 0; metric < count; metric++)
        list[metric] = (hm_metric){metrics[metric].name, metrics[metric].unit, metrics[metric].description};
    if (t->earlier.checkpoint && !there)
        t->cli->log->warn(t->cli->log, "metrics.h5 is gone, and with it the rows before the checkpoint");
    HM_TRY(hm_path_in(t->path, "metrics.h5", &path));
    hm_status status = t->earlier.checkpoint && there
                           ? hm_metrics_continue(path, list, count, t->earlier.step, &t->metrics)
                           : hm_metrics_create(path, list, count, &t->metrics);
    free(path);
    return status;
}

static hm_status write_config(training *t)
{
    const char *name;
    char line[256];
    HM_TRY(hm_folder_write_config(&t->folder, t->run.yaml, &name));
    snprintf(line, sizeof line, "config.yaml in the output folder is yours and stays; the run's own is %s", name);
    if (strcmp(name, "config.yaml") != 0) t->cli->log->note(t->cli->log, line);
    return HM_OK;
}

/* Rank 0, when all settings and data have been found good and memory has been taken: only now may an earlier run go. */
static hm_status open_outputs(training *t)
{
    t->began = true;
    if (t->options->overwrite) HM_TRY(hm_folder_empty(&t->folder));
    HM_TRY(write_config(t));
    HM_TRY(open_metrics(t));
    t->checkpoints.metrics = t->metrics;
    memcpy(t->last_row, hm_metrics_last(t->metrics), (size_t)t->stages.metric_count * sizeof(double));
    return HM_OK;
}

static hm_status on_row(void *state, const hm_metric_row *row)
{
    training *t = state;
    hm_stages_row(&t->stages, row->values, t->last_row);
    hm_status status = HM_OK;
    if (is_root(t)) status = hm_metrics_append(t->metrics, row->step, row->epoch, row->seconds, t->last_row);
    return agree(t, status);
}

static hm_status on_step(void *state, const hm_contrast *contrast)
{
    training *t = state;
    return hm_checkpoints_step(&t->checkpoints, contrast);
}

static hm_status write_model(training *t)
{
    hm_model_info info = {
        .family = (char *)t->model->class->name,
        .config = t->run.yaml,
        .seed = t->run.workers.seed,
        .shards = t->run.general.shards,
        .ranks = t->cli->comm->size,
        .epochs = t->stages.contrast->epochs_before + t->stages.contrast->epoch,
        .visible = t->model->visible,
        .height = t->source->height,
        .width = t->source->width,
        .fingerprint = t->checkpoints.data,
        .preprocessing = t->whitened ? &t->preprocessing : NULL,
    };
    hm_metrics *metrics = t->metrics;
    char *path;
    t->metrics = NULL;
    HM_TRY(hm_metrics_close(metrics));
    HM_TRY(hm_path_in(t->path, "model.h5", &path));
    hm_status status = hm_model_file_write(path, &info, &t->model->layout, t->model->params);
    free(path);
    return status;
}

/* ---- the report ------------------------------------------------------------------------------------------------- */

/* What one rank has used. */
typedef struct usage {
    double megabytes; /* greatest resident memory */
    hm_times times;
} usage;

/* The greatest memory and the mean times of all ranks. Collective. */
static hm_status usage_of_all(const training *t, usage *out)
{
    hm_comm *comm = t->cli->comm;
    struct rusage mine;
    usage *all = NULL;
    int64_t *begin = NULL;
    hm_status status = hm_alloc(&all, comm->size, sizeof(usage), "a report");
    if (status == HM_OK) status = hm_alloc(&begin, comm->size + 1, sizeof(int64_t), "a report");
    HM_TRY(comm->agree(comm, status));
    getrusage(RUSAGE_SELF, &mine);
    all[comm->rank] = (usage){(double)mine.ru_maxrss / 1e3, hm_stages_times(&t->stages)};
    for (int rank = 0; rank <= comm->size; rank++) begin[rank] = rank * (int64_t)sizeof(usage);
    status = comm->all_gather(comm, all, begin);
    *out = (usage){0};
    for (int rank = 0; rank < comm->size; rank++) {
        out->megabytes = fmax(out->megabytes, all[rank].megabytes);
        out->times.compute += all[rank].times.compute / comm->size;
        out->times.wait += all[rank].times.wait / comm->size;
        out->times.reduce += all[rank].times.reduce / comm->size;
        out->times.io += all[rank].times.io / comm->size;
    }
    free(all);
    free(begin);
    return status;
}

/* Where the time of this session went, in the mean over ranks. */
static void report_times(const hm_times *times, hm_report *report)
{
    hm_report_begin(report, "times", "time of this session");
    hm_report_real(report, "compute", "computing", times->compute, 3, "s");
    hm_report_real(report, "wait", "waiting for other ranks", times->wait, 3, "s");
    hm_report_real(report, "reduce", "sums over ranks", times->reduce, 3, "s");
    hm_report_real(report, "io", "files", times->io, 3, "s");
    hm_report_end(report);
}

/* What checkpoints cost, beside the updates of this session. */
static void report_checkpoints(const training *t, double session, hm_report *report)
{
    const hm_checkpoints *c = &t->checkpoints;
    hm_report_int(report, "checkpoints", "checkpoints", c->written, NULL);
    hm_report_real(report, "checkpoint_seconds", "  time to write them", c->seconds, 3, "s");
    hm_report_real(report, "checkpoint_percent", "  beside training", 100 * c->seconds / session, 2, "%");
}

/* Rows of minibatches that the whole training has seen. */
static double samples_seen(const training *t)
{
    double samples = 0;
    for (int at = 0; at < t->run.stage_count; at++) {
        const hm_train_settings *train = &t->run.stages[at].train;
        samples += (double)(t->source->rows / train->batch * train->batch * train->epochs);
    }
    return samples;
}

static void report_metrics(const training *t, hm_report *report)
{
    const hm_monitor *metrics = t->stages.metrics;
    for (int metric = t->run.staged ? 0 : 1; metric < t->stages.metric_count; metric++)
        if (!isnan(t->last_row[metric]))
            hm_report_real(report, metrics[metric].name, metrics[metric].name, t->last_row[metric], 4,
                           metrics[metric].unit);
}

static hm_status report(const training *t, double seconds_before)
{
    const hm_contrast *contrast = t->stages.contrast;
    double seconds = contrast->seconds_before + contrast->seconds;
    int64_t updates = contrast->steps_before + contrast->step;
    usage used;
    HM_TRY(usage_of_all(t, &used));
    hm_report *report = hm_report_new();
    hm_report_text(report, "run", "run", t->path);
    hm_report_text(report, "family", "family", t->model->class->name);
    if (t->run.staged) hm_report_int(report, "stages", "stages", t->run.stage_count, NULL);
    hm_report_int(report, "epochs", "epochs", contrast->epochs_before + contrast->epoch, NULL);
    hm_report_int(report, "updates", "updates", updates, NULL);
    if (t->earlier.checkpoint) hm_report_int(report, "resumed_from", "  of them before", t->earlier.step, NULL);
    hm_report_int(report, "ranks", "ranks", t->cli->comm->size, NULL);
    hm_report_int(report, "threads", "threads a rank", t->run.team.threads, NULL);
    hm_report_int(report, "shards", "shards", t->run.general.shards, NULL);
    hm_report_real(report, "seconds", "training", seconds, 2, "s");
    hm_report_real(report, "updates_per_s", "speed", (double)updates / seconds, 1, "updates/s");
    hm_report_real(report, "samples_per_s", "", samples_seen(t) / seconds, 0, "samples/s");
    report_checkpoints(t, seconds - seconds_before, report);
    report_times(&used.times, report);
    hm_report_real(report, "peak_memory_mb", "peak memory of a rank", used.megabytes, 0, "MB");
    report_metrics(t, report);
    return hm_report_print(report, t->cli);
}

static hm_status report_finished(const training *t)
{
    int64_t epochs = 0;
    for (int at = 0; at < t->run.stage_count; at++) epochs += t->run.stages[at].train.epochs;
    hm_report *report = hm_report_new();
    hm_report_text(report, "run", "run", t->path);
    hm_report_text(report, "state", "state", "finished before; nothing to do");
    hm_report_int(report, "epochs", "epochs", epochs, NULL);
    return hm_report_print(report, t->cli);
}

/* What training would do, after everything has been found good that can be without training. */
static hm_status report_check(const training *t)
{
    const hm_layout *layout = &t->model->layout;
    double updates = 0, epochs = 0;
    int64_t parameters = 0;
    for (int index = 0; index < layout->count; index++)
        if (layout->tensors[index].role == HM_LEARNT) parameters += hm_tensor_size(&layout->tensors[index]);
    for (int at = 0; at < t->run.stage_count; at++) {
        const hm_train_settings *train = &t->run.stages[at].train;
        epochs += (double)train->epochs;
        updates += (double)train->epochs * (double)(t->source->rows / train->batch);
    }
    hm_report *report = hm_report_new();
    hm_report_text(report, "check", "check", "good; nothing was written");
    hm_report_text(report, "family", "family", t->model->class->name);
    hm_report_int(report, "parameters", "parameters", parameters, NULL);
    hm_report_int(report, "rows", "training rows", t->source->rows, NULL);
    hm_report_real(report, "epochs", "epochs", epochs, 0, NULL);
    hm_report_real(report, "minibatches", "minibatches", updates, 0, NULL);
    hm_report_int(report, "shards", "shards: ranks must divide them", t->run.general.shards, NULL);
    return hm_report_print(report, t->cli);
}

/* ---- the command ------------------------------------------------------------------------------------------------ */

static void say_going_on(const training *t)
{
    char line[512], where[HM_WHERE_BYTES];
    if (!t->earlier.checkpoint) return;
    hm_training_place(&t->run, t->checkpoints.stage, t->stages.contrast, where);
    snprintf(line, sizeof line, "going on with %s after %s", t->path, where);
    t->cli->log->note(t->cli->log, line);
}

static hm_status run_stages(training *t)
{
    hm_observer observer = {.row = on_row, .step = on_step, .state = t};
    HM_TRY(hm_contrast_run(t->stages.contrast, &observer));
    while (t->stages.at + 1 < t->run.stage_count) {
        HM_TRY(hm_stages_next(&t->stages));
        enter_stage(t);
        HM_TRY(hm_contrast_run(t->stages.contrast, &observer));
    }
    return HM_OK;
}

static hm_status train(training *t)
{
    HM_TRY(prepare(t));
    if (t->finished) return report_finished(t);
    hm_warn_oversubscription(t->cli, t->run.team.threads);
    HM_TRY(open_inputs(t));
    if (t->options->check) return report_check(t);
    HM_TRY(agree(t, is_root(t) ? open_outputs(t) : HM_OK));
    say_going_on(t);
    double seconds_before = t->stages.contrast->seconds_before + t->stages.contrast->seconds;
    t->checkpoints.last = hm_clock();
    HM_TRY(run_stages(t));
    HM_TRY(agree(t, is_root(t) ? write_model(t) : HM_OK));
    return report(t, seconds_before);
}

/* A run that failed before its first checkpoint leaves nothing behind. */
static void end_training(training *t, hm_status status)
{
    if (t->metrics) (void)hm_metrics_close(t->metrics); /* only after a failure, which is reported already */
    if (is_root(t) && status != HM_OK && !t->earlier.there && t->checkpoints.written == 0 && t->folder.lock >= 0)
        hm_folder_undo(&t->folder, t->began);
    if (is_root(t)) hm_folder_close(&t->folder);
    hm_stages_close(&t->stages);
    hm_model_free(t->model);
    if (t->source) t->source->close(t->source);
    hm_preprocessing_free(&t->preprocessing);
    hm_run_free(&t->run);
    free(t->earlier_config);
}

static hm_status check_options(train_options *chosen, int positional, char **argv)
{
    if (chosen->resume) {
        HM_REQUIRE(positional == 0 && !chosen->folder && !chosen->overwrite, HM_EUSAGE,
                   "train --resume RUN takes no CONFIG.yaml, -o or --overwrite: the run knows its configuration");
        return HM_OK;
    }
    HM_REQUIRE(positional != 2 || !strchr(argv[1], '='), HM_EUSAGE,
               "train takes one configuration; settings are given by --set: --set %s", argv[1]);
    HM_REQUIRE(positional == 1, HM_EUSAGE, "train takes one configuration, CONFIG.yaml; %d given", positional);
    HM_REQUIRE(chosen->folder || chosen->check, HM_EUSAGE, "train needs a folder for its results: -o RUN");
    chosen->config = argv[0];
    return HM_OK;
}

static hm_status run_train(hm_cli *cli, int argc, char **argv)
{
    train_options chosen = {0};
    int positional;
    hm_status status = hm_options_parse(&hm_command_train, argc, argv, &chosen, &positional);
    if (status == HM_OK) status = check_options(&chosen, positional, argv);
    if (status == HM_OK) {
        training t = {.cli = cli,
                      .options = &chosen,
                      .path = chosen.resume ? chosen.resume : chosen.folder,
                      .folder = {.lock = -1}};
        t.checkpoints = (hm_checkpoints){.cli = cli, .run = &t.run, .folder = t.path};
        status = train(&t);
        end_training(&t, status);
    }
    hm_options_free(&hm_command_train, &chosen);
    return status;
}

const hm_command hm_command_train = {
    .name = "train",
    .usage =
        "CONFIG.yaml -o RUN [--set KEY=VALUE ...] [--overwrite] | --resume RUN [--set KEY=VALUE ...] | CONFIG.yaml "
        "--check [-o RUN]",
    .describe = "train a model, or go on with a run that was interrupted",
    .options = options,
    .run = run_train,
    .stoppable = true,
};
