/* harmonium import KIND ... -o FILE.h5: other formats, and generators, to a data file. */
#include "cli/cli.h"

#include "core/closest.h"
#include "core/memory.h"
#include "io/dataset.h"
#include "io/import.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Texts are NULL and numbers NOT_GIVEN where the command line does not say. */
typedef struct import_options {
    const char *output, *labels, *test, *test_labels, *test_fraction, *label_column, *index_column, *header, *kind,
        *scale;
    int64_t rows, test_rows, size, seed;
} import_options;

static const int64_t NOT_GIVEN = INT64_MIN;

static int64_t or_default(int64_t given, int64_t fallback) { return given == NOT_GIVEN ? fallback : given; }

static const hm_option options[] = {
    {"--output|-o", HM_OPT_TEXT, offsetof(import_options, output), "FILE.h5", "the data file to write"},
    {"--labels", HM_OPT_TEXT, offsetof(import_options, labels), "FILE", "idx, npy: labels of the training rows"},
    {"--test", HM_OPT_TEXT, offsetof(import_options, test), "FILE", "idx, csv, npy: the test rows"},
    {"--test-labels", HM_OPT_TEXT, offsetof(import_options, test_labels), "FILE", "idx, npy: labels of the test rows"},
    {"--test-fraction", HM_OPT_TEXT, offsetof(import_options, test_fraction), "F",
     "idx, csv, npy: draw this part of the rows for the test set"},
    {"--label-column", HM_OPT_TEXT, offsetof(import_options, label_column), "NAME|N",
     "csv: the column of labels, by name or number from 0"},
    {"--header", HM_OPT_TEXT, offsetof(import_options, header), "auto|yes|no",
     "csv: is the first line a header (default: auto: names are, and 0,1,2,... of three or more columns)"},
    {"--index-column", HM_OPT_TEXT, offsetof(import_options, index_column), "auto|none|NAME|N",
     "csv: the column that names the rows, which is left out (default: auto: a first column without a name)"},
    {"--scale", HM_OPT_TEXT, offsetof(import_options, scale), "FACTOR",
     "mnist, idx, csv, npy: what every value is multiplied by, a number or a fraction (1/255 for 0..255; default: "
     "bytes "
     "that are all 0 or 1 as they are, other bytes / 255, other numbers as they are)"},
    {"--kind", HM_OPT_TEXT, offsetof(import_options, kind), "NAME", "synth: digits, bars-and-stripes or ring"},
    {"--rows", HM_OPT_INT, offsetof(import_options, rows), "N",
     "synth: training rows (default 10000; 0: all bars-and-stripes, once)"},
    {"--test-rows", HM_OPT_INT, offsetof(import_options, test_rows), "N", "synth: test rows (default 2000)"},
    {"--size", HM_OPT_INT, offsetof(import_options, size), "N",
     "synth: side of bars-and-stripes (default 4), Gaussians of a ring (default 8)"},
    {"--seed", HM_OPT_INT, offsetof(import_options, seed), "N", "synth, --test-fraction: seed (default 1)"},
    {.name = NULL},
};

/* One `import KIND`: fills train and test (test may stay empty). `from` is the argument after the kind, or NULL. */
typedef hm_status import_fn(const import_options *options, const char *from, hm_import *train, hm_import *test);

static hm_status parse_real(const char *option, const char *text, double *value)
{
    char *end;
    *value = strtod(text, &end);
    HM_REQUIRE(end != text && *end == '\0' && isfinite(*value), HM_EUSAGE, "%s: '%s' is not a number", option, text);
    return HM_OK;
}

/* --scale, a number or a fraction; 0 when it is not given. */
static hm_status scale_of(const import_options *chosen, double *scale)
{
    double over = 1;
    char *end = NULL;
    *scale = 0;
    if (!chosen->scale) return HM_OK;
    *scale = strtod(chosen->scale, &end);
    if (end != chosen->scale && *end == '/') HM_TRY(parse_real("--scale", end + 1, &over));
    bool number = end != chosen->scale && (*end == '/' || *end == '\0');
    *scale /= over;
    HM_REQUIRE(number && isfinite(*scale) && *scale > 0, HM_EUSAGE,
               "--scale: '%s' is not a positive number or fraction, as 0.5 or 1/255", chosen->scale);
    return HM_OK;
}

/* ---- the kinds -------------------------------------------------------------------------------------------------- */

/* FOLDER/NAME, or FOLDER/NAME.gz where only that is there. */
static hm_status find_file(const char *folder, const char *name, char *out, size_t size)
{
    snprintf(out, size, "%s/%s", folder, name);
    if (access(out, R_OK) == 0) return HM_OK;
    snprintf(out, size, "%s/%s.gz", folder, name);
    HM_REQUIRE(access(out, R_OK) == 0, HM_EDATA, "%s: neither %s nor %s.gz is there", folder, name, name);
    return HM_OK;
}

static hm_status open_mnist(const char *folder, const char *images, const char *labels, double scale, hm_import *out)
{
    char path[4096];
    HM_TRY(find_file(folder, images, path, sizeof path));
    HM_TRY(hm_idx_open(path, scale, out));
    HM_TRY(find_file(folder, labels, path, sizeof path));
    return hm_idx_labels(path, out->source->rows, &out->labels);
}

static hm_status import_mnist(const import_options *chosen, const char *from, hm_import *train, hm_import *test)
{
    double scale;
    HM_TRY(scale_of(chosen, &scale));
    HM_TRY(open_mnist(from, "train-images-idx3-ubyte", "train-labels-idx1-ubyte", scale, train));
    return open_mnist(from, "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", scale, test);
}

/* Rows and, if named, their labels. */
typedef hm_status open_fn(const char *path, double scale, hm_import *out);
typedef hm_status labels_fn(const char *path, int64_t rows, int32_t **labels);

static hm_status open_labelled(open_fn *open, labels_fn *read_labels, const char *path, const char *labels,
                               double scale, hm_import *out)
{
    if (!path) return HM_OK;
    HM_TRY(open(path, scale, out));
    return labels ? read_labels(labels, out->source->rows, &out->labels) : HM_OK;
}

static hm_status import_idx(const import_options *chosen, const char *from, hm_import *train, hm_import *test)
{
    double scale;
    HM_TRY(scale_of(chosen, &scale));
    HM_TRY(open_labelled(hm_idx_open, hm_idx_labels, from, chosen->labels, scale, train));
    return open_labelled(hm_idx_open, hm_idx_labels, chosen->test, chosen->test_labels, scale, test);
}

static hm_status import_npy(const import_options *chosen, const char *from, hm_import *train, hm_import *test)
{
    double scale;
    HM_TRY(scale_of(chosen, &scale));
    HM_TRY(open_labelled(hm_npy_open, hm_npy_labels, from, chosen->labels, scale, train));
    return open_labelled(hm_npy_open, hm_npy_labels, chosen->test, chosen->test_labels, scale, test);
}

static hm_status import_csv(const import_options *chosen, const char *from, hm_import *train, hm_import *test)
{
    static const char *const headers[] = {"auto", "yes", "no"};
    hm_csv_options csv = {.label_column = chosen->label_column, .index_column = chosen->index_column};
    if (chosen->header) {
        csv.header = -1;
        for (int header = 0; header < 3; header++)
            if (strcmp(headers[header], chosen->header) == 0) csv.header = header;
        HM_REQUIRE(csv.header >= 0, HM_EUSAGE, "--header: '%s' is not one of: auto, yes, no", chosen->header);
    }
    HM_TRY(scale_of(chosen, &csv.scale));
    HM_TRY(hm_csv_open(from, &csv, train));
    return chosen->test ? hm_csv_open(chosen->test, &csv, test) : HM_OK;
}

/* Test rows come after the training rows in the same stream. */
static hm_status import_synth(const import_options *chosen, const char *from, hm_import *train, hm_import *test)
{
    (void)from;
    uint64_t seed = (uint64_t)or_default(chosen->seed, 1);
    int64_t rows = or_default(chosen->rows, 10000), test_rows = or_default(chosen->test_rows, 2000);
    bool ring = chosen->kind && strcmp(chosen->kind, "ring") == 0;
    int64_t size = or_default(chosen->size, ring ? 8 : 4);
    bool digits = chosen->kind && strcmp(chosen->kind, "digits") == 0;
    HM_REQUIRE(digits || ring || (chosen->kind && strcmp(chosen->kind, "bars-and-stripes") == 0), HM_EUSAGE,
               "--kind: '%s' is not one of: digits, bars-and-stripes, ring", chosen->kind ? chosen->kind : "");
    HM_REQUIRE(test_rows >= 0, HM_EUSAGE, "--test-rows: must not be negative");
    HM_REQUIRE(!digits || chosen->size == NOT_GIVEN, HM_EUSAGE, "--size: digits are always 28 x 28");
    if (digits) {
        HM_TRY(hm_synth_digits(seed, 0, rows, train));
        return test_rows ? hm_synth_digits(seed, rows, test_rows, test) : HM_OK;
    }
    if (ring) {
        HM_TRY(hm_synth_ring(seed, 0, rows, size, train));
        return test_rows ? hm_synth_ring(seed, rows, test_rows, size, test) : HM_OK;
    }
    HM_TRY(hm_synth_bars(seed, 0, rows, size, train));
    return test_rows ? hm_synth_bars(seed, rows, test_rows, size, test) : HM_OK;
}

static const struct kind {
    const char *name, *argument; /* argument: what follows the kind, NULL for nothing */
    import_fn *import;
    const char *takes; /* options, beside -o */
} kinds[] = {
    {"mnist", "DIR", import_mnist, "--scale"},
    {"idx", "IMAGES", import_idx, "--labels --scale --test --test-labels --test-fraction --seed"},
    {"csv", "FILE", import_csv, "--label-column --index-column --header --scale --test --test-fraction --seed"},
    {"npy", "FILE", import_npy, "--labels --scale --test --test-labels --test-fraction --seed"},
    {"synth", NULL, import_synth, "--kind --rows --test-rows --size --seed"},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

/* ---- the command ------------------------------------------------------------------------------------------------ */

static hm_status refuse_kind(const char *given)
{
    hm_closest closest = hm_closest_to(given);
    for (int at = 0; at < KINDS; at++) hm_closest_offer(&closest, kinds[at].name);
    return hm_fail(HM_EUSAGE, "import: '%s' is not a kind of data; %s%s%sknown: mnist, idx, csv, npy, synth", given,
                   closest.word ? "did you mean '" : "", closest.word ? closest.word : "", closest.word ? "'? " : "");
}

static hm_status find_kind(int positional, char **argv, const struct kind **kind)
{
    *kind = NULL;
    for (int at = 0; positional > 0 && at < KINDS; at++)
        if (strcmp(kinds[at].name, argv[0]) == 0) *kind = &kinds[at];
    if (!*kind) return refuse_kind(positional > 0 ? argv[0] : "");
    int wanted = (*kind)->argument ? 2 : 1;
    HM_REQUIRE(positional == wanted, HM_EUSAGE, "import %s takes %s, %d arguments given", argv[0],
               wanted == 2 ? "one argument" : "no argument", positional - 1);
    return HM_OK;
}

static bool is_given(const hm_option *option, const import_options *chosen)
{
    const void *field = (const char *)chosen + option->offset;
    return option->type == HM_OPT_INT ? *(const int64_t *)field != NOT_GIVEN : *(const char *const *)field != NULL;
}

/* Is the option's name among the words of `list`? */
static bool is_listed(const char *list, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = list; (at = strstr(at, name)); at += length)
        if (at[length] == ' ' || at[length] == '\0') return true;
    return false;
}

/* What the table of options cannot say. */
static hm_status check_options(const struct kind *kind, const import_options *chosen)
{
    HM_REQUIRE(chosen->output, HM_EUSAGE, "import needs the data file to write: -o FILE.h5");
    for (const hm_option *option = options; option->name; option++)
        HM_REQUIRE(option->offset == offsetof(import_options, output) || !is_given(option, chosen) ||
                       is_listed(kind->takes, option->name),
                   HM_EUSAGE, "import %s takes no %s; it takes: %s%s-o", kind->name, option->name, kind->takes,
                   *kind->takes ? " " : "");
    HM_REQUIRE(!chosen->test_labels || chosen->test, HM_EUSAGE,
               "--test-labels needs the rows that they are of: --test FILE");
    HM_REQUIRE(!chosen->test_fraction || !chosen->test, HM_EUSAGE,
               "--test and --test-fraction are two ways to make a test set; give one");
    return HM_OK;
}

/* Replaces train and test by parts of `whole`, which was imported. */
static hm_status draw_test_set(const import_options *chosen, const hm_import *whole, hm_import *train, hm_import *test)
{
    double fraction;
    HM_TRY(parse_real("--test-fraction", chosen->test_fraction, &fraction));
    HM_REQUIRE(fraction > 0 && fraction < 1, HM_EUSAGE, "--test-fraction: %s is not between 0 and 1",
               chosen->test_fraction);
    return hm_import_split(whole, fraction, (uint64_t)or_default(chosen->seed, 1), train, test);
}

/* Bytes that are all dark were perhaps not meant to be divided by 255. */
static void warn_of_dark_bytes(const hm_import *train, hm_log *log)
{
    char warning[256];
    double most = train->max * train->source->unit;
    if (train->source->type != HM_UINT8 || train->source->unit != 255 || most > 127) return;
    snprintf(
        warning, sizeof warning,
        "the largest byte of the training rows is %.0f, so values are at most %.3g: if it stands for 1, import with "
        "--scale 1/%.0f",
        most, train->max, most);
    log->warn(log, warning);
}

/* What was found in a CSV file, which the user may not have expected. */
static void report_csv(const hm_import *csv, hm_report *report)
{
    hm_report_text(report, "header", "first line", csv->header ? "header" : "data");
    if (csv->index_column >= 0) hm_report_int(report, "index_column", "column left out", csv->index_column, NULL);
}

static hm_status import_data(const struct kind *kind, const import_options *chosen, const char *from, hm_log *log,
                             hm_report *report)
{
    hm_import whole = {0}, train = {0}, test = {0};
    bool split = chosen->test_fraction != NULL;
    hm_status status = hm_dataset_check_output(chosen->output, NULL);
    if (status == HM_OK) status = kind->import(chosen, from, split ? &whole : &train, &test);
    if (status == HM_OK && split) status = draw_test_set(chosen, &whole, &train, &test);
    if (status == HM_OK) status = hm_dataset_write(chosen->output, &train, &test);
    if (status == HM_OK) {
        hm_report_text(report, "file", "data file", chosen->output);
        hm_report_int(report, "train_rows", "training rows", train.source->rows, NULL);
        hm_report_int(report, "test_rows", "test rows", test.source ? test.source->rows : 0, NULL);
        hm_report_int(report, "columns", "values a row", train.source->columns, NULL);
        if (kind->import == import_csv) report_csv(split ? &whole : &train, report);
        if (!chosen->scale) warn_of_dark_bytes(&train, log);
        hm_report_real(report, "scale", "scale: value of the element 1", 1 / train.source->unit, 6, NULL);
        hm_report_real(report, "min", "smallest value", train.min, 4, NULL);
        hm_report_real(report, "max", "largest value", train.max, 4, NULL);
        hm_report_text(report, "labels", "labels", train.labels ? "yes" : "no");
    }
    hm_import_free(&train);
    hm_import_free(&test);
    hm_import_free(&whole);
    return status;
}

static hm_status run_import(hm_cli *cli, int argc, char **argv)
{
    import_options chosen = {.rows = NOT_GIVEN, .test_rows = NOT_GIVEN, .size = NOT_GIVEN, .seed = NOT_GIVEN};
    const struct kind *kind = NULL;
    int positional = 0;
    hm_report *report = hm_report_new();
    hm_status status = hm_options_parse(&hm_command_import, argc, argv, &chosen, &positional);
    if (status == HM_OK) status = find_kind(positional, argv, &kind);
    if (status == HM_OK) status = check_options(kind, &chosen);
    if (status == HM_OK && cli->comm->rank == 0)
        status = import_data(kind, &chosen, kind->argument ? argv[1] : NULL, cli->log, report);
    hm_options_free(&hm_command_import, &chosen);
    status = cli->comm->agree(cli->comm, status);
    return hm_report_finish(report, cli, status);
}

const hm_command hm_command_import = {
    .name = "import",
    .usage = "mnist DIR | idx IMAGES | csv FILE | npy FILE | synth --kind NAME   -o FILE.h5",
    .describe = "convert data to a data file",
    .options = options,
    .run = run_import,
};
