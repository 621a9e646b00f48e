/* The single writer of metrics.h5, and its reader.
 *
 * Datasets grow by one entry a row, `step` last, so that a reader who finds n steps finds n entries everywhere. The
 * file is made under a temporary name, switched to SWMR, and renamed while it is open.
 */
#include "io/metrics.h"

#include "core/memory.h"
#include "io/digest.h"

#include <hdf5_hl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_ROOM = 128, CHUNK_ROWS = 512, OWN_COLUMNS = 3 };

/* The columns that every file has; `step` is written last. */
static const hm_field step_field = {.name = "/metrics/step",
                                    .type = HM_FIELD_INT64,
                                    .dims = 1,
                                    .axes = {"step"},
                                    .description = "number of updates made when the row was measured",
                                    .chunk_rows = CHUNK_ROWS};
static const hm_field epoch_field = {.name = "/metrics/epoch",
                                     .type = HM_FIELD_INT64,
                                     .dims = 1,
                                     .axes = {"step"},
                                     .description = "epoch of the row, from 1",
                                     .chunk_rows = CHUNK_ROWS};
static const hm_field seconds_field = {.name = "/metrics/seconds",
                                       .type = HM_FIELD_FLOAT64,
                                       .dims = 1,
                                       .axes = {"step"},
                                       .unit = "s",
                                       .description = "wall-clock time since training started, over all sessions",
                                       .chunk_rows = CHUNK_ROWS};

struct hm_metrics {
    hm_store *store;
    int64_t rows, last_step;
    int count; /* of the metrics that were declared */
    hid_t step, epoch, seconds;
    hid_t *values; /* (count) */
    double *last;  /* (count) of the last row */
};

/* "/metrics/NAME"; a name with a slash, an empty or a long one, or one that is taken is refused. */
static hm_status metric_path(const char *name, char path[NAME_ROOM])
{
    static const char *const taken[OWN_COLUMNS] = {"step", "epoch", "seconds"};
    for (int own = 0; own < OWN_COLUMNS; own++)
        HM_REQUIRE(strcmp(name, taken[own]) != 0, HM_EINTERNAL, "metric '%s': the name is taken", name);
    HM_REQUIRE(name[0] && !strchr(name, '/'), HM_EINTERNAL, "metric '%s': not a name", name);
    int length = snprintf(path, NAME_ROOM, "/metrics/%s", name);
    HM_REQUIRE(length < NAME_ROOM, HM_EINTERNAL, "metric '%s': the name is too long", name);
    return HM_OK;
}

/* ---- creating --------------------------------------------------------------------------------------------------- */

static hm_status create_column(hm_metrics *metrics, const hm_field *field, hid_t *column)
{
    const int64_t none = 0;
    return hm_h5_dataset(metrics->store, field, &none, true, column);
}

/* `step` as the dimension scale of a column, so that h5py and xarray find the axis. */
static hm_status attach_step(hm_metrics *metrics, hid_t column, const char *name)
{
    return H5DSattach_scale(column, metrics->step, 0) < 0 ? hm_h5_write_failed(metrics->store, name) : HM_OK;
}

static hm_status create_metric(hm_metrics *metrics, const hm_metric *metric, hid_t *column)
{
    char path[NAME_ROOM];
    HM_TRY(metric_path(metric->name, path));
    const hm_field field = {.name = path,
                            .type = HM_FIELD_FLOAT64,
                            .dims = 1,
                            .axes = {"step"},
                            .unit = metric->unit,
                            .description = metric->description,
                            .chunk_rows = CHUNK_ROWS};
    HM_TRY(create_column(metrics, &field, column));
    return attach_step(metrics, *column, path);
}

static hm_status create_columns(hm_metrics *metrics, const hm_metric list[])
{
    HM_TRY(create_column(metrics, &step_field, &metrics->step));
    if (H5DSset_scale(metrics->step, "step") < 0) return hm_h5_write_failed(metrics->store, step_field.name);
    HM_TRY(create_column(metrics, &epoch_field, &metrics->epoch));
    HM_TRY(attach_step(metrics, metrics->epoch, epoch_field.name));
    HM_TRY(create_column(metrics, &seconds_field, &metrics->seconds));
    HM_TRY(attach_step(metrics, metrics->seconds, seconds_field.name));
    for (int metric = 0; metric < metrics->count; metric++)
        HM_TRY(create_metric(metrics, &list[metric], &metrics->values[metric]));
    return HM_OK;
}

/* Closes the columns, which must be safe to close: flushed, or discarded. */
static void free_metrics(hm_metrics *metrics)
{
    hid_t own[OWN_COLUMNS] = {metrics->step, metrics->epoch, metrics->seconds};
    for (int column = 0; column < OWN_COLUMNS; column++)
        if (own[column] >= 0) H5Dclose(own[column]);
    for (int metric = 0; metrics->values && metric < metrics->count; metric++)
        if (metrics->values[metric] >= 0) H5Dclose(metrics->values[metric]);
    hm_store_close(metrics->store);
    free(metrics->values);
    free(metrics->last);
    free(metrics);
}

static void abandon(hm_metrics *metrics)
{
    if (metrics->store) hm_h5_discard(metrics->store);
    free_metrics(metrics);
}

/* A writer under a temporary name, not yet open to readers. */
static hm_status metrics_new(const char *path, const hm_metric list[], int count, hm_metrics **out)
{
    *out = NULL;
    hm_metrics *metrics;
    HM_TRY(hm_alloc(&metrics, 1, sizeof *metrics, "the metrics' handle"));
    *metrics = (hm_metrics){.last_step = INT64_MIN, .step = -1, .epoch = -1, .seconds = -1};
    hm_status status = hm_alloc(&metrics->values, count > 0 ? count : 1, sizeof(hid_t), "the metrics' columns");
    if (status == HM_OK) status = hm_alloc(&metrics->last, count > 0 ? count : 1, sizeof(double), "the last metrics");
    if (status == HM_OK) {
        metrics->count = count;
        for (int metric = 0; metric < count; metric++) {
            metrics->values[metric] = -1;
            metrics->last[metric] = NAN;
        }
        status = hm_h5_create(path, &hm_format_metrics, true, &metrics->store);
    }
    if (status == HM_OK) status = create_columns(metrics, list);
    if (status == HM_OK)
        *out = metrics;
    else
        abandon(metrics);
    return status;
}

/* Opens the file to readers and gives it its name. */
static hm_status publish(hm_metrics *metrics)
{
    if (H5Fflush(metrics->store->file, H5F_SCOPE_GLOBAL) < 0 || H5Fstart_swmr_write(metrics->store->file) < 0)
        return hm_h5_write_failed(metrics->store, NULL);
    return hm_h5_publish(metrics->store);
}

hm_status hm_metrics_create(const char *path, const hm_metric list[], int count, hm_metrics **out)
{
    HM_TRY(metrics_new(path, list, count, out));
    hm_status status = publish(*out);
    if (status == HM_OK) return HM_OK;
    abandon(*out);
    *out = NULL;
    return status;
}

/* ---- appending -------------------------------------------------------------------------------------------------- */

/* `count` entries after the rows that are there. */
static hm_status append_column(hm_metrics *metrics, hid_t column, hid_t type, int64_t count, const void *values,
                               const char *name)
{
    hsize_t size = (hsize_t)(metrics->rows + count), start = (hsize_t)metrics->rows, added = (hsize_t)count;
    bool fine = H5Dset_extent(column, &size) >= 0;
    hid_t file = H5Dget_space(column), memory = H5Screate_simple(1, &added, NULL);
    fine = fine && H5Sselect_hyperslab(file, H5S_SELECT_SET, &start, NULL, &added, NULL) >= 0;
    fine = fine && H5Dwrite(column, type, memory, file, H5P_DEFAULT, values) >= 0 && H5Dflush(column) >= 0;
    hm_status status = fine ? HM_OK : hm_h5_write_failed(metrics->store, name);
    H5Sclose(memory);
    H5Sclose(file);
    return status;
}

/* values: column m's entries from values[m * count]. */
static hm_status append_rows(hm_metrics *metrics, int64_t count, const int64_t steps[], const int64_t epochs[],
                             const double seconds[], const double values[])
{
    HM_REQUIRE(!metrics->store->broken, HM_EOUTPUT, "%s: cannot be written", metrics->store->path);
    if (count == 0) return HM_OK;
    for (int metric = 0; metric < metrics->count; metric++)
        HM_TRY(append_column(metrics, metrics->values[metric], H5T_NATIVE_DOUBLE, count, values + metric * count,
                             "a metric"));
    HM_TRY(append_column(metrics, metrics->seconds, H5T_NATIVE_DOUBLE, count, seconds, seconds_field.name));
    HM_TRY(append_column(metrics, metrics->epoch, H5T_NATIVE_INT64, count, epochs, epoch_field.name));
    HM_TRY(append_column(metrics, metrics->step, H5T_NATIVE_INT64, count, steps, step_field.name));
    metrics->rows += count;
    metrics->last_step = steps[count - 1];
    for (int metric = 0; metric < metrics->count; metric++) metrics->last[metric] = values[metric * count + count - 1];
    return HM_OK;
}

hm_status hm_metrics_append(hm_metrics *metrics, int64_t step, int64_t epoch, double seconds, const double values[])
{
    HM_REQUIRE(step >= metrics->last_step, HM_EINTERNAL, "%s: step %lld comes after step %lld", metrics->store->path,
               (long long)metrics->last_step, (long long)step);
    return append_rows(metrics, 1, &step, &epoch, &seconds, values);
}

int64_t hm_metrics_rows(const hm_metrics *metrics) { return metrics->rows; }

const double *hm_metrics_last(const hm_metrics *metrics) { return metrics->last; }

hm_status hm_metrics_sync(hm_metrics *metrics)
{
    hm_store *store = metrics->store;
    HM_REQUIRE(!store->broken, HM_EOUTPUT, "%s: cannot be written", store->path);
    if (H5Fflush(store->file, H5F_SCOPE_GLOBAL) < 0) return hm_h5_write_failed(store, NULL);
    return hm_h5_sync(store);
}

/* No attribute can be made while readers have the file, so its digest is stored when it has its last row: a file that
 * is being written, or whose writer was killed, has none. */
static hm_status store_digest(const char *path)
{
    hm_store store = {.path = (char *)path, .format = &hm_format_metrics, .writable = true};
    hid_t access = hm_h5_reading_access(path);
    store.file = H5Fopen(path, H5F_ACC_RDWR, access);
    H5Pclose(access);
    if (store.file < 0) return hm_h5_write_failed(&store, NULL);
    hm_status status = hm_digest_write(&store);
    if (!store.broken && H5Fflush(store.file, H5F_SCOPE_GLOBAL) < 0) status = hm_h5_write_failed(&store, NULL);
    H5Fclose(store.file);
    return status;
}

hm_status hm_metrics_close(hm_metrics *metrics)
{
    if (!metrics) return HM_OK;
    hm_store *store = metrics->store;
    char *path = strdup(store->path);
    hm_status status = store->broken ? HM_EOUTPUT : HM_OK;
    if (status == HM_OK && H5Fflush(store->file, H5F_SCOPE_GLOBAL) < 0) status = hm_h5_write_failed(store, NULL);
    store->writable = false; /* it has its final name: closing keeps it */
    free_metrics(metrics);
    if (status == HM_OK && path) status = store_digest(path);
    free(path);
    return status;
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

/* The first `most` entries of a column (all of them when most < 0) as `type`, 8 bytes each. */
static hm_status read_column(hm_store *store, const char *path, hm_field_type type, int64_t most, void **values,
                             int64_t *rows)
{
    const hm_field field = {.name = path, .type = type, .dims = 1};
    hm_array *array;
    *values = NULL;
    HM_TRY(hm_array_open(store, &field, &array));
    int64_t there = hm_array_shape(array)->size[0];
    *rows = most < 0 || there < most ? there : most;
    hm_status status = hm_alloc(values, *rows > 0 ? *rows : 1, 8, path);
    if (status == HM_OK) status = hm_array_read_rows(array, 0, *rows, *values);
    hm_array_close(array);
    if (status == HM_OK) return HM_OK;
    free(*values);
    *values = NULL;
    return status;
}

/* A whole number column as float64, in place. */
static void int_to_double(void *values, int64_t rows)
{
    for (int64_t row = 0; row < rows; row++) {
        int64_t whole;
        memcpy(&whole, (char *)values + row * 8, 8);
        double real = (double)whole;
        memcpy((char *)values + row * 8, &real, 8);
    }
}

hm_status hm_metrics_read(const char *path, const char *name, double **values, int64_t *rows)
{
    char dataset[NAME_ROOM];
    hm_store *store;
    hm_shape shape;
    void *column = NULL;
    int length = snprintf(dataset, sizeof dataset, "/metrics/%s", name);
    HM_REQUIRE(length < NAME_ROOM, HM_EDATA, "%s: no metric is called '%s'", path, name);
    HM_TRY(hm_h5_open(path, &hm_format_metrics, true, &store));
    hm_status status = hm_store_shape(store, dataset, &shape);
    bool whole = status == HM_OK && shape.type != HM_FIELD_FLOAT64 && shape.type != HM_FIELD_FLOAT32;
    if (status == HM_OK)
        status = read_column(store, dataset, whole ? HM_FIELD_INT64 : HM_FIELD_FLOAT64, -1, &column, rows);
    if (status == HM_OK && whole) int_to_double(column, *rows);
    hm_store_close(store);
    *values = column;
    return status;
}

/* ---- going on --------------------------------------------------------------------------------------------------- */

/* Rows of an older file that stay. */
typedef struct kept_rows {
    int64_t rows;
    int64_t *steps, *epochs;
    double *seconds, *values; /* values: (count, rows) */
} kept_rows;

static void kept_free(kept_rows *kept)
{
    free(kept->steps);
    free(kept->epochs);
    free(kept->seconds);
    free(kept->values);
}

/* A column of exactly kept->rows entries; a shorter one means that the file was damaged. */
static hm_status read_kept(hm_store *store, const char *path, hm_field_type type, int64_t wanted, void **values)
{
    int64_t rows;
    HM_TRY(read_column(store, path, type, wanted, values, &rows));
    HM_REQUIRE(rows == wanted, HM_EDATA, "%s: %s has %lld entries, expected %lld", hm_store_path(store), path,
               (long long)rows, (long long)wanted);
    return HM_OK;
}

static hm_status read_kept_metric(hm_store *store, const hm_metric *metric, int64_t rows, double *out)
{
    char path[NAME_ROOM];
    void *column;
    HM_TRY(metric_path(metric->name, path));
    hm_status status = read_kept(store, path, HM_FIELD_FLOAT64, rows, &column);
    if (status == HM_OK) memcpy(out, column, (size_t)rows * sizeof *out);
    free(column);
    return status;
}

static hm_status read_rows_until(hm_store *store, const hm_metric list[], int count, int64_t step, kept_rows *kept)
{
    int64_t all;
    void *column;
    HM_TRY(read_column(store, step_field.name, HM_FIELD_INT64, -1, &column, &all));
    kept->steps = column;
    while (kept->rows < all && kept->steps[kept->rows] <= step) kept->rows++;
    hm_status status = read_kept(store, epoch_field.name, HM_FIELD_INT64, kept->rows, &column);
    kept->epochs = column;
    HM_TRY(status);
    status = read_kept(store, seconds_field.name, HM_FIELD_FLOAT64, kept->rows, &column);
    kept->seconds = column;
    HM_TRY(status);
    HM_TRY(hm_alloc(&kept->values, kept->rows * count + 1, sizeof(double), "metrics"));
    for (int metric = 0; metric < count; metric++)
        HM_TRY(read_kept_metric(store, &list[metric], kept->rows, kept->values + metric * kept->rows));
    return HM_OK;
}

static hm_status write_kept(const char *path, const hm_metric list[], int count, const kept_rows *kept,
                            hm_metrics **out)
{
    HM_TRY(metrics_new(path, list, count, out));
    hm_status status = append_rows(*out, kept->rows, kept->steps, kept->epochs, kept->seconds, kept->values);
    if (status == HM_OK) status = publish(*out);
    if (status == HM_OK) return HM_OK;
    abandon(*out);
    *out = NULL;
    return status;
}

hm_status hm_metrics_continue(const char *path, const hm_metric list[], int count, int64_t step, hm_metrics **out)
{
    *out = NULL;
    hm_store *store;
    kept_rows kept = {0};
    HM_TRY(hm_h5_open(path, &hm_format_metrics, true, &store));
    hm_status status = read_rows_until(store, list, count, step, &kept);
    hm_store_close(store);
    if (status == HM_OK) status = write_kept(path, list, count, &kept, out);
    kept_free(&kept);
    return status;
}
