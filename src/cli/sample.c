/* harmonium sample RUN: draws samples, by Gibbs sampling or from the prior of latent variables, and stores them in
 * RUN/model.h5 under /samples. */
#include "cli/run.h"
#include "cli/trained.h"

#include "core/kernels.h"
#include "core/memory.h"
#include "infer/generation.h"
#include "infer/numeric.h"
#include "infer/sampling.h"
#include "io/dataset.h"
#include "io/model_file.h"
#include "io/picture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NOT_GIVEN = INT32_MIN, EACH_LABEL = -1 };

typedef struct sample_options {
    int64_t count, steps; /* steps: NOT_GIVEN, or what was */
    const char *name, *picture, *label;
    bool reconstruct, grid;
    hm_texts sets;
} sample_options;

static const hm_option options[] = {
    {"-n", HM_OPT_INT, offsetof(sample_options, count), "N", "samples (default 100)"},
    {"--steps", HM_OPT_INT, offsetof(sample_options, steps), "K",
     "Gibbs steps from the data's base rates (default 1000)"},
    {"--label", HM_OPT_TEXT, offsetof(sample_options, label), "CLASS",
     "with label units: samples of this class, to which they are kept; each: of all classes in turn"},
    {"--reconstruct", HM_OPT_FLAG, offsetof(sample_options, reconstruct), NULL,
     "vae: instead, the first N test rows through their latent variables"},
    {"--grid", HM_OPT_FLAG, offsetof(sample_options, grid), NULL,
     "vae of two latent units: instead, a square grid of N points, evenly spread over their prior"},
    {"--name", HM_OPT_TEXT, offsetof(sample_options, name), "NAME",
     "dataset below /samples (default gibbs; vae: prior, reconstruction, grid)"},
    {"--png", HM_OPT_TEXT, offsetof(sample_options, picture), "FILE",
     "also a picture: the grid of the means p(v | h); with --reconstruct each beside its row of data"},
    {"--set", HM_OPT_TEXTS, offsetof(sample_options, sets), "KEY=VALUE",
     "override a key of the configuration (seed=2)"},
    {.name = NULL},
};

/* Samples of all ranks; each rank fills its own shards' rows. */
typedef struct sampling {
    hm_cli *cli;
    const sample_options *options;
    hm_run run;
    hm_model *model;
    hm_matrix states;         /* (count, state_columns) last states; latent variables of the top layer */
    int64_t steps;            /* of Gibbs sampling */
    hm_matrix data;           /* (count, visible) --reconstruct: the rows */
    hm_matrix samples, means; /* (count, visible) the visible units of those, and their probabilities */
    float range[2];           /* of the picture: what black and white stand for; rank 0's */
    int32_t *labels;          /* (count) the class of each; NULL without label units */
} sampling;

/* ---- latent variables -------------------------------------------------------------------------------------------- */

/* The first test rows (training rows where there are none) as expectations: of every rank. */
static hm_status read_data(sampling *s)
{
    hm_comm *comm = s->cli->comm;
    hm_source *source;
    unsigned char *raw = NULL;
    bool tested = false;
    HM_TRY(comm->agree(comm, hm_dataset_has(s->run.data.file, hm_split_names[HM_TEST], &tested)));
    hm_split split = tested ? HM_TEST : HM_TRAIN;
    HM_TRY(hm_trained_open_split(&s->run, comm, split, 0, &source));
    hm_transform transform = hm_run_transform(&s->run, split, 0);
    hm_status status = HM_OK;
    if (s->options->count > source->rows || source->columns != s->model->visible)
        status = hm_fail(HM_EUSAGE, "-n: %lld rows of %lld columns are there", (long long)source->rows,
                         (long long)source->columns);
    if (status == HM_OK) status = hm_alloc(&raw, source->columns, hm_type_size(source->type), "a row");
    if (status == HM_OK) status = hm_alloc(&s->data.at, s->data.rows * s->data.columns + 64, sizeof(float), "rows");
    for (int64_t row = 0; status == HM_OK && row < s->data.rows; row++) {
        status = source->read(source, row, 1, raw);
        if (status == HM_OK)
            status = hm_transform_rates(&transform, source, raw, row, s->data.at + row * s->data.columns);
    }
    free(raw);
    source->close(source);
    return status;
}

static double quantile(const hm_model *model, double u)
{
    const hm_latent *latent = model->class->latent;
    return latent->quantile ? latent->quantile(model, u) : hm_normal_quantile(u);
}

/* Rows of the picture from the top down are the second unit falling, columns the first one rising. */
static hm_status place_on_grid(sampling *s)
{
    int64_t side = (int64_t)(sqrt((double)s->options->count) + 0.5);
    HM_REQUIRE(s->states.columns == 2, HM_EUSAGE, "--grid: this model has %lld latent units on top, and a grid two",
               (long long)s->states.columns);
    HM_REQUIRE(side * side == s->options->count, HM_EUSAGE, "--grid: -n must be a square, as 400, not %lld",
               (long long)s->options->count);
    for (int64_t i = 0; i < s->options->count; i++) {
        s->states.at[2 * i] = (float)quantile(s->model, ((double)(i % side) + 0.5) / (double)side);
        s->states.at[2 * i + 1] = (float)quantile(s->model, ((double)(side - 1 - i / side) + 0.5) / (double)side);
    }
    return HM_OK;
}

/* One shard's rows of the data, or points of the grid: means alone. */
static hm_status decode_shard(void *context, int64_t local)
{
    const sampling *s = context;
    const hm_latent *latent = s->model->class->latent;
    hm_range rows = hm_part(s->options->count, s->run.general.shards, hm_own_shards(&s->run.workers).begin + local);
    int64_t n = hm_count(rows), all = latent->units(s->model), top = s->states.columns;
    hm_arena scratch;
    float *mean;
    if (n == 0) return HM_OK;
    HM_TRY(hm_arena_init(&scratch, latent->scratch_bytes(s->model, n, 1) + hm_arena_bytes(n * all),
                         "scratch for sampling"));
    hm_status status = hm_arena_floats(&scratch, n * all, &mean);
    if (status == HM_OK && s->options->reconstruct) {
        status = latent->encode(s->model, hm_rows(s->data, rows.begin, n), &scratch, mean, NULL);
        for (int64_t row = 0; row < n; row++)
            memcpy(hm_rows(s->states, rows.begin + row, 1).at, mean + row * all + all - top,
                   (size_t)top * sizeof(float));
    }
    if (status == HM_OK)
        status = latent->decode(s->model, hm_rows(s->states, rows.begin, n), NULL, rows.begin, &scratch, NULL,
                                hm_rows(s->means, rows.begin, 1).at);
    hm_arena_free(&scratch);
    return status;
}

static hm_status decode_all(sampling *s)
{
    hm_status status = s->options->reconstruct ? read_data(s) : place_on_grid(s);
    if (status == HM_OK) status = hm_team_each(&s->run.team, hm_count(hm_own_shards(&s->run.workers)), decode_shard, s);
    HM_TRY(s->cli->comm->agree(s->cli->comm, status));
    HM_TRY(hm_gather_matrix(&s->run.workers, s->states));
    return hm_gather_matrix(&s->run.workers, s->means);
}

/* ---- chains ------------------------------------------------------------------------------------------------------ */

/* The class that `--label` asks for: EACH_LABEL for all in turn. */
static hm_status find_label(const sampling *s, int64_t *label)
{
    const char *text = s->options->label;
    int64_t classes = s->model->classes;
    char *end;
    HM_REQUIRE(s->model->label_units, HM_EUSAGE, "--label: this %s has no label units to keep at a class",
               s->model->class->name);
    *label = EACH_LABEL;
    if (strcmp(text, "each") == 0) return HM_OK;
    *label = strtoll(text, &end, 10);
    HM_REQUIRE(end != text && *end == 0 && *label >= 0 && *label < classes, HM_EUSAGE,
               "--label: '%s' is not a class, 0 to %lld, or each", text, (long long)classes - 1);
    return HM_OK;
}

static hm_status set_labels(sampling *s)
{
    int64_t label = EACH_LABEL;
    if (s->options->label) HM_TRY(find_label(s, &label));
    if (!s->model->label_units) return HM_OK;
    HM_TRY(hm_alloc(&s->labels, s->samples.rows, sizeof *s->labels, "labels"));
    for (int64_t row = 0; row < s->samples.rows; row++)
        s->labels[row] = (int32_t)(label == EACH_LABEL ? row % s->model->classes : label);
    return HM_OK;
}

static hm_status run_gibbs(sampling *s)
{
    hm_comm *comm = s->cli->comm;
    HM_TRY(comm->agree(comm, set_labels(s)));
    const hm_sampling chains = {.steps = s->steps,
                                .clamped = s->options->label != NULL,
                                .states = s->states,
                                .rows = s->samples,
                                .means = s->means,
                                .labels = s->labels};
    return hm_sample_chains(s->model, &s->run.workers, &chains);
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

/* Rows in the units of the data before `harmonium whiten`; NULL for data that were not whitened. */
static hm_status undo_preprocessing(const sampling *s, hm_matrix rows, hm_matrix *out)
{
    const hm_preprocessing *done = &s->run.preprocessing;
    *out = (hm_matrix){0};
    if (!s->run.whitened) return HM_OK;
    *out = (hm_matrix){NULL, rows.rows, done->original};
    HM_TRY(hm_alloc(&out->at, out->rows * out->columns, sizeof(float), "samples"));
    for (int64_t row = 0; row < out->rows; row++)
        hm_preprocessing_undo(done, rows.at + row * rows.columns, out->at + row * out->columns);
    return HM_OK;
}

/* Values that black and white stand for: 0 and 1 where these hold all values. In units that have no black of their own,
 * as of rows that were standardised elsewhere, black is as far below 0 as white is above it. */
static void find_range(const sampling *s, hm_matrix pixels, float range[2])
{
    float low = 0, high = 1;
    for (int64_t i = 0; i < pixels.rows * pixels.columns; i++) {
        low = fminf(low, pixels.at[i]);
        high = fmaxf(high, pixels.at[i]);
    }
    float far = fmaxf(-low, high);
    range[0] = low < 0 && !s->run.whitened ? -far : low;
    range[1] = low < 0 && !s->run.whitened ? far : high;
}

/* The range of values becomes that from black to white. */
static hm_status write_picture(sampling *s, hm_matrix pixels, const hm_model_info *info, const char *path)
{
    float *range = s->range;
    HM_REQUIRE(info->height * info->width == pixels.columns, HM_EUSAGE,
               "--png: the data are not images (no height and width in %s)", path);
    find_range(s, pixels, range);
    if (range[0] == 0 && range[1] == 1) return hm_picture_grid(s->options->picture, pixels, info->height, info->width);
    hm_matrix shown = {NULL, pixels.rows, pixels.columns};
    HM_TRY(hm_alloc(&shown.at, pixels.rows * pixels.columns, sizeof(float), "a picture"));
    for (int64_t i = 0; i < pixels.rows * pixels.columns; i++)
        shown.at[i] = (pixels.at[i] - range[0]) / (range[1] - range[0]);
    hm_status status = hm_picture_grid(s->options->picture, shown, info->height, info->width);
    free(shown.at);
    return status;
}

static const char *default_name(const sampling *s)
{
    if (!s->model->class->latent) return "gibbs";
    return s->options->reconstruct ? "reconstruction" : s->options->grid ? "grid" : "prior";
}

/* Each row of data, and its reconstruction to the right of it. */
static hm_status pair_up(sampling *s, hm_matrix data, hm_matrix pixels, const hm_model_info *info, const char *path)
{
    hm_matrix pairs = {NULL, 2 * pixels.rows, pixels.columns};
    size_t row_bytes = (size_t)pixels.columns * sizeof(float);
    HM_TRY(hm_alloc(&pairs.at, pairs.rows, row_bytes, "a picture"));
    for (int64_t row = 0; row < pixels.rows; row++) {
        memcpy(hm_rows(pairs, 2 * row, 1).at, hm_rows(data, row, 1).at, row_bytes);
        memcpy(hm_rows(pairs, 2 * row + 1, 1).at, hm_rows(pixels, row, 1).at, row_bytes);
    }
    hm_status status = write_picture(s, pairs, info, path);
    free(pairs.at);
    return status;
}

/* Datasets below /samples: each is called as the first one, and something more. */
typedef struct listing {
    int count;
    hm_samples of[4];
    char names[4][HM_SAMPLES_NAME_MAX + 8];
} listing;

static void list(listing *all, const sampling *s, const char *more, const char *describe, hm_matrix rows)
{
    char *name = all->names[all->count];
    snprintf(name, sizeof all->names[0], "%s%s", s->options->name ? s->options->name : default_name(s), more);
    all->of[all->count++] = (hm_samples){.name = name, .description = describe, .at = rows};
}

/* Points in latent space have means and no samples. */
static void list_decoded(listing *all, const sampling *s)
{
    list(all, s, "", "mean of p(v | h) of the latent variables of the same row", s->means);
    list(all, s, "_latent", "latent variables of the top layer", s->states);
    all->of[all->count - 1].axis = "latent";
    if (s->options->reconstruct)
        list(all, s, "_rows", "the rows of data whose q(h | v) they are the means of", s->data);
}

static void list_samples(listing *all, const sampling *s)
{
    list(all, s, "", "samples of the visible units", s->samples);
    list(all, s, "_mean", "mean of p(v | h) from which the samples of the same name were drawn", s->means);
    if (!s->labels) return;
    list(all, s, "_label",
         s->options->label ? "class at which the label units of the sample were kept"
                           : "class that the label units of the sample tell",
         (hm_matrix){NULL, s->samples.rows, 0});
    all->of[all->count - 1].classes = s->labels;
}

/* Means, or each row of data beside its own, in the units of the data. */
static hm_status draw_picture(sampling *s, const char *path, const hm_model_info *info, hm_matrix undone)
{
    hm_matrix shown = undone.at ? undone : s->means, data = {0};
    if (!s->options->picture) return HM_OK;
    if (!s->options->reconstruct) return write_picture(s, shown, info, path);
    hm_status status = undone.at ? undo_preprocessing(s, s->data, &data) : HM_OK;
    if (status == HM_OK) status = pair_up(s, data.at ? data : s->data, shown, info, path);
    free(data.at);
    return status;
}

static hm_status write_samples(sampling *s, const char *path, const hm_model_info *info, hm_matrix undone)
{
    listing all = {.count = 0};
    if (s->options->reconstruct || s->options->grid)
        list_decoded(&all, s);
    else
        list_samples(&all, s);
    if (undone.at) {
        list(&all, s, "_data", "the means in the units of the data before they were whitened", undone);
        all.of[all.count - 1].axis = "original";
    }
    HM_TRY(hm_model_file_samples(path, s->run.identity, all.of, all.count));
    return draw_picture(s, path, info, undone);
}

/* Rank 0. */
static hm_status write_results(sampling *s, const char *folder)
{
    hm_model_info info;
    hm_matrix undone = {0};
    char *path;
    HM_TRY(hm_path_in(folder, "model.h5", &path));
    hm_status status = hm_model_file_info(path, &info);
    if (status == HM_OK) status = undo_preprocessing(s, s->means, &undone);
    if (status == HM_OK) status = write_samples(s, path, &info, undone);
    hm_model_info_free(&info);
    free(undone.at);
    free(path);
    return status;
}

static hm_status report(const sampling *s, const char *folder)
{
    hm_report *report = hm_report_new();
    hm_matrix shown = s->options->reconstruct || s->options->grid ? s->means : s->samples;
    double mean = hm_kernels_best()->sum(shown.rows * shown.columns, shown.at) / (double)(shown.rows * shown.columns);
    hm_report_text(report, "run", "run", folder);
    hm_report_int(report, "samples", "samples", s->options->count, NULL);
    if (s->model->class->gibbs) hm_report_int(report, "steps", "Gibbs steps", s->steps, NULL);
    hm_report_real(report, "mean", "mean of the units", mean, 4, NULL);
    if (s->options->label) hm_report_text(report, "label", "label units kept at", s->options->label);
    if (s->options->picture) hm_report_text(report, "png", "picture", s->options->picture);
    if (s->options->picture && (s->range[0] != 0 || s->range[1] != 1)) {
        hm_report_real(report, "black", "  black stands for", (double)s->range[0], 3, NULL);
        hm_report_real(report, "white", "  white stands for", (double)s->range[1], 3, NULL);
    }
    return hm_report_print(report, s->cli);
}

static hm_status sample(sampling *s, const char *folder)
{
    hm_comm *comm = s->cli->comm;
    bool draws = s->options->picture && comm->rank == 0;
    HM_TRY(comm->agree(comm, draws ? hm_picture_check_output(s->options->picture) : HM_OK));
    HM_TRY(hm_run_load(&s->run, s->cli, folder, &s->options->sets, &s->model));
    const hm_latent *latent = s->model->class->latent;
    HM_REQUIRE(s->model->class->gibbs || latent, HM_EUSAGE, "%s: a model of family %s has no samples", folder,
               s->model->class->name);
    HM_REQUIRE((latent && latent->encode) || !s->options->reconstruct, HM_EUSAGE,
               "--reconstruct takes latent variables that are inferred, which family %s has not",
               s->model->class->name);
    HM_REQUIRE(s->model->class->gibbs || s->options->steps == NOT_GIVEN, HM_EUSAGE,
               "--steps are of Gibbs sampling, which family %s has not", s->model->class->name);
    s->steps = s->options->steps == NOT_GIVEN ? 1000 : s->options->steps;
    HM_REQUIRE(s->model->class->gibbs || !s->options->label, HM_EUSAGE,
               "--label is of machines with label units, which family %s has not", s->model->class->name);
    HM_REQUIRE(latent || !s->options->grid, HM_EUSAGE, "--grid is of latent variables, which family %s has not",
               s->model->class->name);
    s->samples = s->means = s->data = (hm_matrix){NULL, s->options->count, s->model->visible};
    s->states = (hm_matrix){NULL, s->options->count, latent ? latent->top_units(s->model) : hm_state_columns(s->model)};
    int64_t size = s->samples.rows * s->samples.columns;
    hm_status status = hm_alloc(&s->states.at, s->states.rows * s->states.columns + 64, sizeof(float), "states");
    if (status == HM_OK) status = hm_alloc(&s->samples.at, size, sizeof(float), "samples");
    if (status == HM_OK) status = hm_alloc(&s->means.at, size, sizeof(float), "samples");
    HM_TRY(comm->agree(comm, status));
    if (s->options->reconstruct || s->options->grid)
        HM_TRY(decode_all(s));
    else
        HM_TRY(latent ? hm_generate(s->model, &s->run.workers, s->states, s->samples.at, s->means.at) : run_gibbs(s));
    HM_TRY(comm->agree(comm, comm->rank == 0 ? write_results(s, folder) : HM_OK));
    return report(s, folder);
}

/* Datasets of samples share their group with the scales of their axes (sample, sample_100, visible, latent, original)
 * and with what is told of them (NAME_mean). */
static bool is_taken(const char *name)
{
    static const char *const axes[] = {"sample", "visible", "latent", "original"}, *const ends[] = {"_mean", "_label",
                                                                                                    "_data", "_latent",
                                                                                                    "_rows"};
    for (size_t end = 0; end < sizeof ends / sizeof ends[0]; end++) {
        size_t length = strlen(ends[end]), whole = strlen(name);
        if (whole >= length && strcmp(name + whole - length, ends[end]) == 0) return true;
    }
    for (size_t axis = 0; axis < sizeof axes / sizeof axes[0]; axis++) {
        size_t length = strlen(axes[axis]);
        if (strncmp(name, axes[axis], length) != 0) continue;
        const char *rest = name + length;
        if (*rest == 0 || (*rest == '_' && strspn(rest + 1, "0123456789") == strlen(rest + 1))) return true;
    }
    return false;
}

static hm_status check_options(const sample_options *chosen, int positional)
{
    enum { MOST = 10000000 };
    HM_REQUIRE(positional == 1, HM_EUSAGE, "sample takes one folder, RUN; %d given", positional);
    HM_REQUIRE(chosen->count >= 1 && chosen->count <= MOST, HM_EUSAGE, "-n: must be an integer between 1 and %d", MOST);
    HM_REQUIRE(!(chosen->grid && chosen->reconstruct), HM_EUSAGE, "--grid and --reconstruct exclude each other");
    HM_REQUIRE(chosen->steps >= 1 || chosen->steps == NOT_GIVEN, HM_EUSAGE, "--steps: must be an integer, at least 1");
    HM_REQUIRE(!chosen->name || strlen(chosen->name) <= HM_SAMPLES_NAME_MAX, HM_EUSAGE, "--name: more than %d letters",
               HM_SAMPLES_NAME_MAX);
    HM_REQUIRE(!chosen->name || (chosen->name[0] && !strchr(chosen->name, '/') && chosen->name[0] != '.'), HM_EUSAGE,
               "--name: '%s' is not the name of a dataset (no '/', no leading '.')", chosen->name);
    HM_REQUIRE(!chosen->name || !is_taken(chosen->name), HM_EUSAGE,
               "--name: '%s' is the name of an axis of samples, or of what is stored beside samples", chosen->name);
    return HM_OK;
}

static hm_status run_sample(hm_cli *cli, int argc, char **argv)
{
    sample_options chosen = {.count = 100, .steps = NOT_GIVEN};
    int positional;
    hm_status status = hm_options_parse(&hm_command_sample, argc, argv, &chosen, &positional);
    if (status == HM_OK) status = check_options(&chosen, positional);
    if (status == HM_OK) {
        sampling s = {.cli = cli, .options = &chosen};
        status = sample(&s, argv[0]);
        free(s.states.at);
        free(s.samples.at);
        free(s.means.at);
        free(s.data.at);
        free(s.labels);
        hm_model_free(s.model);
        hm_run_free(&s.run);
    }
    hm_options_free(&hm_command_sample, &chosen);
    return status;
}

const hm_command hm_command_sample = {
    .name = "sample",
    .usage = "RUN [-n N] [--steps K] [--label CLASS] [--reconstruct | --grid] [--name NAME] [--png FILE] [--set "
             "KEY=VALUE ...]",
    .describe = "draw samples of a trained model",
    .options = options,
    .run = run_sample,
};
