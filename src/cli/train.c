/* harmonium train CONFIG.yaml -o RUN: trains, and writes config.yaml, metrics.h5, checkpoint.h5 and model.h5 into RUN.
 */
#include "cli/run.h"

#include "cli/cores.h"
#include "core/memory.h"
#include "io/checkpoint.h"
#include "io/metrics.h"
#include "io/model_file.h"
#include "mpi/comm_mpi.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct train_options {
    const char *folder;
    hm_texts sets;
    bool overwrite;
} train_options;

static const hm_option options[] = {
    {"--output|-o", HM_OPT_TEXT, offsetof(train_options, folder), "RUN",
     "folder for the results; made if it is not there"},
    {"--set", HM_OPT_TEXTS, offsetof(train_options, sets), "KEY=VALUE",
     "override a key of the configuration (train.epochs=5)"},
    {"--overwrite", HM_OPT_FLAG, offsetof(train_options, overwrite), NULL, "replace what RUN holds"},
    {.name = NULL},
};

/* What one training needs, from the configuration to the end. */
typedef struct training {
    hm_cli *cli;
    const train_options *options;
    hm_run run;
    hm_source *source;
    hm_feed *feed;
    hm_model *model;
    hm_contrast *contrast;
    hm_metrics *metrics; /* rank 0's */
    bool made_folder;    /* RUN was not there before */
    bool wrote;          /* something was written into RUN */
    hm_monitor metric_list[HM_METRICS_MAX];
    double last_row[HM_METRICS_MAX];
    int metric_count;
} training;

static bool is_root(const training *t) { return t->cli->comm->rank == 0; }

static hm_status agree(const training *t, hm_status status) { return t->cli->comm->agree(t->cli->comm, status); }

/* ---- the folder ------------------------------------------------------------------------------------------------- */

static const char *const run_files[] = {"model.h5", "checkpoint.h5", "checkpoint.prev.h5", "metrics.h5", "config.yaml"};
enum { RUN_FILES = sizeof run_files / sizeof run_files[0] };

static hm_status remove_old(const char *folder)
{
    for (int file = 0; file < RUN_FILES; file++) {
        char *path;
        HM_TRY(hm_path_in(folder, run_files[file], &path));
        int failed = unlink(path) != 0 && errno != ENOENT;
        hm_status status = failed ? hm_fail(HM_EOUTPUT, "%s: cannot be replaced: %s", path, strerror(errno)) : HM_OK;
        free(path);
        HM_TRY(status);
    }
    return HM_OK;
}

/* Refuses a folder that holds a run. Rank 0. */
static hm_status check_folder(const char *folder)
{
    for (int file = 0; file < RUN_FILES; file++) {
        char *path;
        HM_TRY(hm_path_in(folder, run_files[file], &path));
        bool there = access(path, F_OK) == 0;
        free(path);
        HM_REQUIRE(!there, HM_EUSAGE, "%s holds %s run (%s is there); choose another folder, or --overwrite", folder,
                   file == 0 ? "a finished" : "another", run_files[file]);
    }
    return HM_OK;
}

static hm_status make_folder(training *t)
{
    const char *folder = t->options->folder;
    t->made_folder = mkdir(folder, 0777) == 0;
    HM_REQUIRE(t->made_folder || errno == EEXIST, HM_EOUTPUT, "%s: cannot be made: %s", folder, strerror(errno));
    if (t->options->overwrite) HM_TRY(remove_old(folder));
    HM_REQUIRE(access(folder, W_OK | X_OK) == 0, HM_EOUTPUT, "%s: cannot be written: %s", folder, strerror(errno));
    return HM_OK;
}

static hm_status write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "wb");
    HM_REQUIRE(file, HM_EOUTPUT, "%s: cannot be written: %s", path, strerror(errno));
    bool written = fputs(text, file) >= 0 && fflush(file) == 0 && fsync(fileno(file)) == 0;
    int error = errno;
    written = fclose(file) == 0 && written;
    HM_REQUIRE(written, HM_EOUTPUT, "%s: cannot be written: %s", path, strerror(error));
    return HM_OK;
}

/* RUN/config.yaml: under a temporary name, then renamed. */
static hm_status write_config(const training *t)
{
    char *temporary, *path;
    HM_TRY(hm_path_in(t->options->folder, "config.yaml.tmp", &temporary));
    hm_status status = hm_path_in(t->options->folder, "config.yaml", &path);
    if (status == HM_OK) {
        status = write_text(temporary, t->run.yaml);
        if (status == HM_OK && rename(temporary, path) != 0)
            status = hm_fail(HM_EOUTPUT, "%s: cannot be written: %s", path, strerror(errno));
        if (status != HM_OK) unlink(temporary);
        free(path);
    }
    free(temporary);
    return status;
}

static hm_status create_metrics(training *t)
{
    hm_metric list[HM_METRICS_MAX];
    char *path;
    for (int metric = 0; metric < t->metric_count; metric++)
        list[metric] =
            (hm_metric){t->metric_list[metric].name, t->metric_list[metric].unit, t->metric_list[metric].description};
    HM_TRY(hm_path_in(t->options->folder, "metrics.h5", &path));
    hm_status status = hm_metrics_create(path, list, t->metric_count, &t->metrics);
    free(path);
    return status;
}

/* Rank 0, when all settings and data have been found good. */
static hm_status open_outputs(training *t)
{
    HM_TRY(make_folder(t));
    t->wrote = true;
    HM_TRY(write_config(t));
    return create_metrics(t);
}

/* A run that failed before its first checkpoint leaves nothing behind. Rank 0. */
static void clean_up(const training *t)
{
    char *checkpoint = NULL;
    if (!t->wrote || hm_path_in(t->options->folder, "checkpoint.h5", &checkpoint) != HM_OK) return;
    if (access(checkpoint, F_OK) != 0) {
        (void)remove_old(t->options->folder); /* the failure that is being reported comes first */
        if (t->made_folder) rmdir(t->options->folder);
    }
    free(checkpoint);
}

/* ---- what is written while training ----------------------------------------------------------------------------- */

static hm_status on_row(void *state, const hm_metric_row *row)
{
    training *t = state;
    memcpy(t->last_row, row->values, (size_t)t->metric_count * sizeof(double));
    hm_status status = HM_OK;
    if (is_root(t)) status = hm_metrics_append(t->metrics, row->step, row->epoch, row->seconds, row->values);
    return agree(t, status);
}

static hm_status write_checkpoint(const training *t, const hm_contrast *contrast)
{
    hm_checkpoint_info info = {
        .seed = t->run.workers.seed,
        .step = contrast->step,
        .epoch = contrast->epoch,
        .shards = t->run.general.shards,
        .stage = "contrast",
        .config = t->run.yaml,
    };
    hm_checkpoint checkpoint = {
        .layout = &t->model->layout,
        .params = t->model->params,
        .pack_count = contrast->optimizer.moments,
        .chains = contrast->chains,
        .first_chain = contrast->first_chain,
        .all_chains = contrast->all_chains,
        .scalars = {{"seconds", contrast->seconds}},
        .scalar_count = 1,
    };
    for (int moment = 0; moment < contrast->optimizer.moments; moment++)
        checkpoint.packs[moment] =
            (hm_checkpoint_pack){contrast->optimizer.moment_names[moment], contrast->optimizer.moment[moment]};
    return hm_checkpoint_write(t->options->folder, t->cli->comm, hm_comm_mpi_handle(t->cli->comm), &info, &checkpoint);
}

static hm_status on_epoch(void *state, const hm_contrast *contrast)
{
    const training *t = state;
    int64_t every = t->run.checkpoint.every;
    bool last = contrast->epoch == t->run.train.epochs;
    if (!last && (every == 0 || contrast->epoch % every != 0)) return HM_OK;
    return write_checkpoint(t, contrast);
}

static hm_status write_model(training *t)
{
    hm_model_info info = {
        .family = (char *)t->model->class->name,
        .config = t->run.yaml,
        .seed = t->run.workers.seed,
        .shards = t->run.general.shards,
        .ranks = t->cli->comm->size,
        .epochs = t->contrast->epoch,
        .visible = t->model->visible,
        .height = t->source->height,
        .width = t->source->width,
    };
    hm_metrics *metrics = t->metrics;
    char *path;
    t->metrics = NULL;
    HM_TRY(hm_metrics_close(metrics));
    HM_TRY(hm_path_in(t->options->folder, "model.h5", &path));
    hm_status status = hm_model_file_write(path, &info, &t->model->layout, t->model->params);
    free(path);
    return status;
}

/* ---- the command ------------------------------------------------------------------------------------------------ */

static hm_status make_model(training *t)
{
    float *rates = NULL;
    HM_TRY(agree(t, hm_model_create(t->run.class, t->run.model_settings, t->source->columns, &t->run.team, &t->model)));
    HM_TRY(agree(t, hm_alloc(&rates, t->source->columns, sizeof(float), "base rates")));
    hm_status status = hm_feed_base_rates(t->feed, t->cli->comm, rates);
    if (status == HM_OK) status = agree(t, t->model->class->init(t->model, t->run.workers.seed, rates));
    free(rates);
    return status;
}

static hm_status open_inputs(training *t)
{
    hm_run *run = &t->run;
    hm_transform transform = hm_run_transform(run, HM_TRAIN);
    HM_TRY(hm_open_split(t->cli->comm, run->data.file, "train", &t->source));
    hm_range own = hm_part(run->general.shards, t->cli->comm->size, t->cli->comm->rank);
    hm_status status = hm_feed_open(t->source, &transform, run->data.window, run->train.batch, (int)run->general.shards,
                                    own, &t->feed);
    HM_TRY(agree(t, status));
    HM_TRY(make_model(t));
    return hm_contrast_create(t->model, t->feed, &run->train, &run->contrast, &run->optimizer, &run->workers,
                              &t->contrast);
}

/* Greatest resident memory of any rank, MB. */
static hm_status peak_memory(hm_comm *comm, double *megabytes)
{
    struct rusage usage;
    double *all;
    int64_t *begin;
    HM_TRY(hm_alloc(&all, comm->size, sizeof(double), "a report"));
    HM_TRY(hm_alloc(&begin, comm->size + 1, sizeof(int64_t), "a report"));
    getrusage(RUSAGE_SELF, &usage);
    all[comm->rank] = (double)usage.ru_maxrss / 1e3;
    for (int rank = 0; rank <= comm->size; rank++) begin[rank] = rank * (int64_t)sizeof(double);
    hm_status status = comm->all_gather(comm, all, begin);
    *megabytes = 0;
    for (int rank = 0; rank < comm->size; rank++) *megabytes = fmax(*megabytes, all[rank]);
    free(all);
    free(begin);
    return status;
}

static hm_status report(const training *t)
{
    const hm_contrast *contrast = t->contrast;
    double megabytes, updates = (double)contrast->step / contrast->seconds;
    HM_TRY(peak_memory(t->cli->comm, &megabytes));
    hm_report *report = hm_report_new();
    hm_report_text(report, "run", "run", t->options->folder);
    hm_report_text(report, "family", "family", t->model->class->name);
    hm_report_int(report, "epochs", "epochs", contrast->epoch, NULL);
    hm_report_int(report, "updates", "updates", contrast->step, NULL);
    hm_report_int(report, "ranks", "ranks", t->cli->comm->size, NULL);
    hm_report_int(report, "threads", "threads a rank", t->run.team.threads, NULL);
    hm_report_int(report, "shards", "shards", t->run.general.shards, NULL);
    hm_report_real(report, "seconds", "training", contrast->seconds, 2, "s");
    hm_report_real(report, "updates_per_s", "speed", updates, 1, "updates/s");
    hm_report_real(report, "samples_per_s", "", updates * (double)t->run.train.batch, 0, "samples/s");
    hm_report_real(report, "peak_memory_mb", "peak memory of a rank", megabytes, 0, "MB");
    for (int metric = 0; metric < t->metric_count; metric++)
        hm_report_real(report, t->metric_list[metric].name, t->metric_list[metric].name, t->last_row[metric], 4,
                       t->metric_list[metric].unit);
    return hm_report_print(report, t->cli);
}

static hm_status train(training *t, const char *config_path)
{
    char *text;
    HM_TRY(hm_read_everywhere(t->cli->comm, config_path, &text));
    hm_status status = hm_run_configure(&t->run, t->cli, config_path, text, &t->options->sets);
    free(text);
    HM_TRY(status);
    HM_TRY(agree(t, is_root(t) && !t->options->overwrite ? check_folder(t->options->folder) : HM_OK));
    hm_warn_oversubscription(t->cli, t->run.team.threads);
    HM_TRY(open_inputs(t));
    t->metric_count = hm_contrast_metrics(t->model, t->metric_list);
    HM_TRY(agree(t, is_root(t) ? open_outputs(t) : HM_OK));
    hm_observer observer = {.row = on_row, .epoch = on_epoch, .state = t};
    HM_TRY(hm_contrast_run(t->contrast, &observer));
    HM_TRY(agree(t, is_root(t) ? write_model(t) : HM_OK));
    return report(t);
}

static void free_training(training *t)
{
    hm_contrast_free(t->contrast);
    hm_model_free(t->model);
    hm_feed_close(t->feed);
    if (t->source) t->source->close(t->source);
    hm_run_free(&t->run);
}

static hm_status run_train(hm_cli *cli, int argc, char **argv)
{
    train_options chosen = {0};
    int positional;
    hm_status status = hm_options_parse(&hm_command_train, argc, argv, &chosen, &positional);
    if (status == HM_OK && positional != 1)
        status = hm_fail(HM_EUSAGE, "train takes one configuration, CONFIG.yaml; %d given", positional);
    if (status == HM_OK && !chosen.folder) status = hm_fail(HM_EUSAGE, "train needs a folder for its results: -o RUN");
    if (status == HM_OK) {
        training t = {.cli = cli, .options = &chosen};
        status = train(&t, argv[0]);
        if (t.metrics) (void)hm_metrics_close(t.metrics); /* only after a failure, which is reported already */
        if (status != HM_OK && is_root(&t)) clean_up(&t);
        free_training(&t);
    }
    hm_options_free(&hm_command_train, &chosen);
    return status;
}

const hm_command hm_command_train = {
    .name = "train",
    .usage = "CONFIG.yaml -o RUN [--set KEY=VALUE ...] [--overwrite]",
    .describe = "train a model",
    .options = options,
    .run = run_train,
};
