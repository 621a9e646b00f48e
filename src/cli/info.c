/* harmonium info FILE: what a data, model, metrics or checkpoint file, or a RUN folder, holds. */
#include "cli/cli.h"

#include "core/memory.h"
#include "io/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const hm_option options[] = {{.name = NULL}};

/* Root attributes that files may carry, in the order in which they are shown. The configuration is left out: it is
 * long, and stands in config.yaml. */
typedef enum attribute_type { TEXT, WHOLE, SEED } attribute_type;
static const struct attribute {
    const char *name;
    attribute_type type;
} attributes[] = {
    {"library_version", TEXT}, {"created", TEXT},  {"family", TEXT}, {"stage", TEXT},    {"stage_step", WHOLE},
    {"stage_epoch", WHOLE},    {"rng", TEXT},      {"seed", SEED},   {"shards", WHOLE},  {"ranks", WHOLE},
    {"epochs", WHOLE},         {"epoch", WHOLE},   {"step", WHOLE},  {"visible", WHOLE}, {"height", WHOLE},
    {"width", WHOLE},          {"identity", TEXT},
};
enum { ATTRIBUTES = sizeof attributes / sizeof attributes[0] };

/* Attributes that say what the numbers of a dataset are. */
static const char *const dataset_attributes[] = {"height", "width", "scale", "min", "max"};
enum { DATASET_ATTRIBUTES = sizeof dataset_attributes / sizeof dataset_attributes[0] };

/* A seed has 64 bits without a sign: one beyond the report's integers is shown as text, with all its digits. */
static hm_status report_seed(hm_store *store, const char *name, hm_report *report)
{
    uint64_t seed;
    char text[32];
    HM_TRY(hm_store_get_seed(store, "/", name, &seed));
    snprintf(text, sizeof text, "%llu", (unsigned long long)seed);
    if (seed <= INT64_MAX)
        hm_report_int(report, name, name, (long long)seed, NULL);
    else
        hm_report_text(report, name, name, text);
    return HM_OK;
}

static hm_status report_attribute(hm_store *store, const struct attribute *attribute, hm_report *report)
{
    if (!hm_store_has_attribute(store, "/", attribute->name)) return HM_OK;
    if (attribute->type == SEED) return report_seed(store, attribute->name, report);
    if (attribute->type == TEXT) {
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

/* Texts that groups carry: where an estimate started from, and what to think of it. */
static const char *const group_attributes[] = {"base", "verdict", "log_prob_is_expectation", "data_changed"};
enum { GROUP_ATTRIBUTES = sizeof group_attributes / sizeof group_attributes[0] };

static const char *const digest_texts[] = {
    [HM_DIGEST_NONE] = "none",
    [HM_DIGEST_MATCHES] = "as stored",
    [HM_DIGEST_DIFFERS] = "is not that of what the file holds: damaged, or changed by another program",
};

typedef struct listing {
    hm_store *store;
    hm_report *report;
    bool json;
    char group[512]; /* of the dataset before */
} listing;

/* "10000 x 784" */
static void write_shape(const hm_shape *shape, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (int dim = 0; dim < shape->dims && used < size; dim++)
        used += (size_t)snprintf(out + used, size - used, "%s%lld", dim ? " x " : "", (long long)shape->size[dim]);
}

static hm_status report_scalar(const listing *list, const char *name, hm_field_type type, const char *unit)
{
    bool real = type == HM_FIELD_FLOAT32 || type == HM_FIELD_FLOAT64;
    hm_field field = {.name = name, .type = real ? HM_FIELD_FLOAT64 : HM_FIELD_INT64};
    double value;
    int64_t number;
    HM_TRY(hm_store_read(list->store, &field, NULL, real ? (void *)&value : (void *)&number));
    if (real)
        hm_report_real(list->report, name, name, value, 4, unit);
    else
        hm_report_int(list->report, name, name, number, unit);
    return HM_OK;
}

/* An array as one row of the table. */
static hm_status report_row(const listing *list, const char *name, const hm_shape *shape, const char *description,
                            const char *unit)
{
    char size[128], text[1024];
    write_shape(shape, size, sizeof size);
    size_t used = (size_t)snprintf(text, sizeof text, "%s (%s)", hm_field_type_name(shape->type), size);
    for (int at = 0; at < DATASET_ATTRIBUTES && used < sizeof text; at++) {
        double value;
        if (!hm_store_has_attribute(list->store, name, dataset_attributes[at])) continue;
        HM_TRY(hm_store_get_real(list->store, name, dataset_attributes[at], &value));
        used += (size_t)snprintf(text + used, sizeof text - used, ", %s %g", dataset_attributes[at], value);
    }
    if (used < sizeof text) snprintf(text + used, sizeof text - used, "%s%s  %s", *unit ? " " : "", unit, description);
    hm_report_text(list->report, name, name, text);
    return HM_OK;
}

/* An array as an object, for programs. */
static hm_status report_object(const listing *list, const char *name, const hm_shape *shape, const char *description,
                               const char *unit)
{
    char size[128];
    write_shape(shape, size, sizeof size);
    hm_report_begin(list->report, name, name);
    hm_report_text(list->report, "type", "type", hm_field_type_name(shape->type));
    hm_report_text(list->report, "shape", "shape", size);
    hm_report_text(list->report, "units", "units", unit);
    hm_report_text(list->report, "description", "description", description);
    for (int at = 0; at < DATASET_ATTRIBUTES; at++) {
        double value;
        if (!hm_store_has_attribute(list->store, name, dataset_attributes[at])) continue;
        HM_TRY(hm_store_get_real(list->store, name, dataset_attributes[at], &value));
        hm_report_real(list->report, dataset_attributes[at], dataset_attributes[at], value, 0, NULL);
    }
    hm_report_end(list->report);
    return HM_OK;
}

/* Says so when a result is of another model than the file holds. */
static hm_status report_other_model(listing *list, const char *object)
{
    char *model = NULL, *identity = NULL, label[sizeof list->group + 32];
    if (!hm_store_has_attribute(list->store, object, "model")) return HM_OK;
    HM_TRY(hm_store_get_text(list->store, object, "model", &model));
    hm_status status = HM_OK;
    if (hm_store_has_attribute(list->store, "/", "identity"))
        status = hm_store_get_text(list->store, "/", "identity", &identity);
    snprintf(label, sizeof label, "%s@model", object);
    if (status == HM_OK && (!identity || strcmp(model, identity) != 0))
        hm_report_text(list->report, label, label, "another than the one in the file: these numbers are not of it");
    free(model);
    free(identity);
    return status;
}

/* What is said of a group as a whole, before its first dataset. */
static hm_status report_group(listing *list, const char *dataset)
{
    char group[sizeof list->group], label[sizeof list->group + 32];
    snprintf(group, sizeof group, "%.*s", (int)(strrchr(dataset, '/') - dataset), dataset);
    if (!*group || strcmp(group, list->group) == 0) return HM_OK;
    memcpy(list->group, group, sizeof group);
    for (int at = 0; at < GROUP_ATTRIBUTES; at++) {
        char *text;
        if (!hm_store_has_attribute(list->store, group, group_attributes[at])) continue;
        HM_TRY(hm_store_get_text(list->store, group, group_attributes[at], &text));
        snprintf(label, sizeof label, "%s@%s", group, group_attributes[at]);
        hm_report_text(list->report, label, label, text);
        free(text);
    }
    return report_other_model(list, group);
}

/* A scalar with its value, anything else with what it is. */
static hm_status report_dataset(void *state, const char *name, const hm_shape *shape, const char *description,
                                const char *unit)
{
    listing *list = state;
    HM_TRY(report_group(list, name));
    HM_TRY(report_other_model(list, name));
    if (shape->dims == 0) return report_scalar(list, name, shape->type, unit);
    return (list->json ? report_object : report_row)(list, name, shape, description, unit);
}

static hm_status describe(const char *path, bool json, hm_report *report, hm_store_digest *digest)
{
    hm_store *store;
    const hm_format *format;
    HM_TRY(hm_store_open_any(path, &format, &store));
    listing list = {.store = store, .report = report, .json = json};
    hm_report_text(report, "file", "file", path);
    hm_report_text(report, "format", "format", format->name);
    hm_status status = hm_store_check_digest(store, digest);
    if (status == HM_OK) hm_report_text(report, "digest", "digest", digest_texts[*digest]);
    for (int at = 0; at < ATTRIBUTES && status == HM_OK; at++)
        status = report_attribute(store, &attributes[at], report);
    hm_report_begin(report, "datasets", "datasets");
    if (status == HM_OK) status = hm_store_visit(store, report_dataset, &list);
    hm_report_end(report);
    hm_store_close(store);
    return status;
}

/* A RUN folder stands for the most that is in it. */
static hm_status describe_path(const char *path, bool json, hm_report *report, hm_store_digest *digest)
{
    static const char *const names[] = {"model.h5", "checkpoint.h5", "metrics.h5"};
    struct stat about;
    char inside[4096];
    if (stat(path, &about) != 0 || !S_ISDIR(about.st_mode)) return describe(path, json, report, digest);
    for (int name = 0; name < 3; name++) {
        snprintf(inside, sizeof inside, "%s/%s", path, names[name]);
        if (stat(inside, &about) == 0) return describe(inside, json, report, digest);
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
    hm_store_digest digest = HM_DIGEST_NONE;
    hm_status status = cli->comm->rank == 0 ? describe_path(argv[0], cli->json, report, &digest) : HM_OK;
    HM_TRY(hm_report_finish(report, cli, cli->comm->agree(cli->comm, status)));
    status =
        digest == HM_DIGEST_DIFFERS ? hm_fail(HM_EDATA, "%s: the digest %s", argv[0], digest_texts[digest]) : HM_OK;
    return cli->comm->agree(cli->comm, status);
}

const hm_command hm_command_info = {
    .name = "info",
    .usage = "FILE | RUN",
    .describe = "what a data, model, metrics or checkpoint file holds",
    .options = options,
    .run = run_info,
};
