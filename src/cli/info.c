/* harmonium info FILE: what a data, model, metrics or checkpoint file, or a RUN folder, holds. */
#include "cli/cli.h"

#include "core/memory.h"
#include "io/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const hm_option options[] = {{.name = NULL}};

static const hm_format *const formats[] = {&hm_format_data, &hm_format_model, &hm_format_metrics, &hm_format_checkpoint};
enum { FORMATS = sizeof formats / sizeof formats[0] };

/* Root attributes that files may carry, in the order in which they are shown. The configuration is left out: it is long,
 * and stands in config.yaml. */
static const struct attribute {
    const char *name;
    bool is_text;
} attributes[] = {
    {"library_version", true}, {"created", true}, {"family", true}, {"stage", true}, {"rng", true}, {"seed", false},
    {"shards", false}, {"ranks", false}, {"epochs", false}, {"epoch", false}, {"step", false}, {"visible", false},
    {"height", false}, {"width", false},
};
enum { ATTRIBUTES = sizeof attributes / sizeof attributes[0] };

/* Opens a file of whichever format it has; the message of the last refusal stands when it has none. */
static hm_status open_any(const char *path, hm_store **store, const hm_format **format)
{
    hm_status status = HM_EDATA;
    for (int at = 0; at < FORMATS && status != HM_OK; at++) {
        hm_error_clear();
        status = hm_store_open(path, formats[at], store);
        *format = formats[at];
    }
    return status;
}

static hm_status report_attribute(hm_store *store, const struct attribute *attribute, hm_report *report)
{
    if (!hm_store_has_attribute(store, "/", attribute->name)) return HM_OK;
    if (attribute->is_text) {
        char *text;
        HM_TRY(hm_store_get_text(store, "/", attribute->name, &text));
        hm_report_text(report, attribute->name, attribute->name, text);
        free(text);
        return HM_OK;
    }
    int64_t value;
    HM_TRY(hm_store_get_int(store, "/", attribute->name, &value));
    hm_report_int(report, attribute->name, attribute->name, value, NULL);
    return HM_OK;
}

typedef struct listing {
    hm_store *store;
    hm_report *report;
} listing;

static void write_shape(const hm_shape *shape, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "%s", hm_field_type_name(shape->type));
    for (int dim = 0; dim < shape->dims && used < size; dim++)
        used += (size_t)snprintf(out + used, size - used, "%s%lld", dim ? " x " : " (", (long long)shape->size[dim]);
    if (shape->dims > 0 && used < size) snprintf(out + used, size - used, ")");
}

/* A scalar with its value, anything else with its type and size. */
static hm_status report_dataset(void *state, const char *name, const hm_shape *shape, const char *description, const char *unit)
{
    const listing *list = state;
    char text[512], shape_text[128];
    if (shape->dims == 0) {
        double value;
        hm_field field = {.name = name, .type = HM_FIELD_FLOAT64};
        bool whole = shape->type == HM_FIELD_INT64 || shape->type == HM_FIELD_INT32;
        if (!whole) {
            HM_TRY(hm_store_read(list->store, &field, NULL, &value));
            hm_report_real(list->report, name, name, value, 4, unit);
            return HM_OK;
        }
        int64_t number;
        field.type = HM_FIELD_INT64;
        HM_TRY(hm_store_read(list->store, &field, NULL, &number));
        hm_report_int(list->report, name, name, number, unit);
        return HM_OK;
    }
    write_shape(shape, shape_text, sizeof shape_text);
    snprintf(text, sizeof text, "%s%s%s  %s", shape_text, *unit ? " " : "", unit, description);
    hm_report_text(list->report, name, name, text);
    return HM_OK;
}

static hm_status describe(const char *path, hm_report *report)
{
    hm_store *store;
    const hm_format *format;
    HM_TRY(open_any(path, &store, &format));
    listing list = {store, report};
    hm_report_text(report, "file", "file", path);
    hm_report_text(report, "format", "format", format->name);
    hm_status status = HM_OK;
    for (int at = 0; at < ATTRIBUTES && status == HM_OK; at++) status = report_attribute(store, &attributes[at], report);
    hm_report_begin(report, "datasets", "datasets");
    if (status == HM_OK) status = hm_store_visit(store, report_dataset, &list);
    hm_report_end(report);
    hm_store_close(store);
    return status;
}

/* A RUN folder stands for the most that is in it. */
static hm_status describe_path(const char *path, hm_report *report)
{
    static const char *const names[] = {"model.h5", "checkpoint.h5", "metrics.h5"};
    struct stat about;
    char inside[4096];
    if (stat(path, &about) != 0 || !S_ISDIR(about.st_mode)) return describe(path, report);
    for (int name = 0; name < 3; name++) {
        snprintf(inside, sizeof inside, "%s/%s", path, names[name]);
        if (stat(inside, &about) == 0) return describe(inside, report);
    }
    return hm_fail(HM_EDATA, "%s: a folder without model.h5, checkpoint.h5 or metrics.h5", path);
}

static hm_status run_info(hm_cli *cli, int argc, char **argv)
{
    char nothing;
    int positional;
    HM_TRY(hm_options_parse(&hm_command_info, argc, argv, &nothing, &positional));
    HM_REQUIRE(positional == 1, HM_EUSAGE, "info takes one file or RUN folder; %d given", positional);
    hm_report *report = hm_report_new();
    hm_status status = cli->comm->rank == 0 ? describe_path(argv[0], report) : HM_OK;
    return hm_report_finish(report, cli, cli->comm->agree(cli->comm, status));
}

const hm_command hm_command_info = {
    .name = "info",
    .usage = "FILE | RUN",
    .describe = "what a data, model, metrics or checkpoint file holds",
    .options = options,
    .run = run_info,
};
