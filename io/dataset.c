#include "io/dataset.h"

#include "core/memory.h"
#include "io/store.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 64, BLOCK_BYTES = 1 << 20, SPLITS = 2, COLUMNS_MAX = INT32_MAX /* of random numbers, rng.h */ };

static const char *const split_names[SPLITS] = {"train", "test"};

/* The declared datasets of a split; `name` is room for the path. */
static hm_field field_x(const char *split, hm_type type, char name[NAME_BYTES])
{
    snprintf(name, NAME_BYTES, "/%s/x", split);
    return (hm_field){.name = name,
                      .type = type == HM_UINT8 ? HM_FIELD_UINT8 : HM_FIELD_FLOAT32,
                      .dims = 2,
                      .axes = {"row", "visible"},
                      .description = type == HM_UINT8 ? "examples; a byte stands for its value / 255" : "examples"};
}
static hm_field field_y(const char *split, char name[NAME_BYTES])
{
    snprintf(name, NAME_BYTES, "/%s/y", split);
    return (hm_field){
        .name = name, .type = HM_FIELD_INT32, .dims = 1, .axes = {"row"}, .description = "label of each example"};
}

/* Some data, whose size can be computed with. */
static hm_status check_size(const char *file, const char *name, int64_t rows, int64_t columns)
{
    int64_t elements;
    HM_REQUIRE(rows > 0 && columns > 0, HM_EDATA, "%s: %s is empty (%lld rows of %lld values)", file, name,
               (long long)rows, (long long)columns);
    HM_REQUIRE(columns <= COLUMNS_MAX && !__builtin_mul_overflow(rows, columns, &elements) &&
                   elements < INT64_MAX / (int64_t)sizeof(float),
               HM_EDATA, "%s: %s is too large (%lld rows of %lld values)", file, name, (long long)rows,
               (long long)columns);
    return HM_OK;
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

typedef struct dataset {
    hm_source source; /* first: a dataset is an hm_source */
    hm_store *store;
    hm_array *rows;
    char name[NAME_BYTES];
} dataset;

static hm_status dataset_read(hm_source *source, int64_t begin, int64_t count, void *out)
{
    dataset *data = (dataset *)source;
    HM_TRY(hm_array_read_rows(data->rows, begin, count, out));
    if (source->type != HM_FLOAT32) return HM_OK;
    const float *values = out;
    for (int64_t i = 0; i < count * source->columns; i++)
        HM_REQUIRE(isfinite(values[i]), HM_EDATA, "%s: %s row %lld, column %lld is %g; values must be finite",
                   hm_store_path(data->store), data->name, (long long)(begin + i / source->columns),
                   (long long)(i % source->columns), (double)values[i]);
    return HM_OK;
}

static void dataset_close(hm_source *source)
{
    dataset *data = (dataset *)source;
    hm_array_close(data->rows);
    hm_store_close(data->store);
    free(data);
}

/* height and width, where the rows are images. */
static hm_status read_image_size(dataset *data)
{
    hm_source *source = &data->source;
    if (!hm_store_has_attribute(data->store, data->name, "height")) return HM_OK;
    HM_TRY(hm_store_get_int(data->store, data->name, "height", &source->height));
    HM_TRY(hm_store_get_int(data->store, data->name, "width", &source->width));
    int64_t pixels;
    bool fits = source->height > 0 && source->width > 0 &&
                !__builtin_mul_overflow(source->height, source->width, &pixels) && pixels == source->columns;
    HM_REQUIRE(fits, HM_EDATA, "%s: %s: height %lld and width %lld do not make rows of %lld",
               hm_store_path(data->store), data->name, (long long)source->height, (long long)source->width,
               (long long)source->columns);
    return HM_OK;
}

static hm_status open_rows(dataset *data, const char *path, const char *split)
{
    hm_shape shape;
    HM_TRY(hm_store_open(path, &hm_format_data, &data->store));
    hm_field field = field_x(split, HM_UINT8, data->name);
    HM_REQUIRE(hm_store_has(data->store, data->name), HM_EDATA, "%s: has no split '%s' (no %s)", path, split,
               data->name);
    HM_TRY(hm_store_shape(data->store, data->name, &shape));
    HM_REQUIRE(shape.dims == 2 && (shape.type == HM_FIELD_UINT8 || shape.type == HM_FIELD_FLOAT32), HM_EDATA,
               "%s: %s must be a matrix of uint8 or float32", path, data->name);
    HM_TRY(check_size(path, data->name, shape.size[0], shape.size[1]));
    field.type = shape.type;
    data->source.type = shape.type == HM_FIELD_UINT8 ? HM_UINT8 : HM_FLOAT32;
    data->source.rows = shape.size[0];
    data->source.columns = shape.size[1];
    HM_TRY(hm_array_open(data->store, &field, &data->rows));
    return read_image_size(data);
}

hm_status hm_dataset_open(const char *path, const char *split, hm_source **out)
{
    dataset *data;
    *out = NULL;
    HM_TRY(hm_alloc(&data, 1, sizeof *data, "a data set"));
    data->source = (hm_source){.read = dataset_read, .close = dataset_close};
    hm_status status = open_rows(data, path, split);
    if (status != HM_OK) {
        dataset_close(&data->source);
        return status;
    }
    *out = &data->source;
    return HM_OK;
}

hm_status hm_dataset_has(const char *path, const char *split, bool *has)
{
    hm_store *store;
    char name[NAME_BYTES];
    (void)field_x(split, HM_UINT8, name);
    HM_TRY(hm_store_open(path, &hm_format_data, &store));
    *has = hm_store_has(store, name);
    hm_store_close(store);
    return HM_OK;
}

static hm_status read_labels(const dataset *data, const char *split, int32_t **labels)
{
    char name[NAME_BYTES];
    hm_shape shape;
    hm_field field = field_y(split, name);
    if (!hm_store_has(data->store, name)) return HM_OK;
    HM_TRY(hm_store_shape(data->store, name, &shape));
    HM_REQUIRE(shape.dims == 1 && shape.size[0] == data->source.rows, HM_EDATA,
               "%s: %s must be a vector of %lld labels", hm_store_path(data->store), name,
               (long long)data->source.rows);
    HM_TRY(hm_alloc(labels, shape.size[0], sizeof(int32_t), "labels"));
    return hm_store_read(data->store, &field, shape.size, *labels);
}

hm_status hm_dataset_labels(const char *path, const char *split, int32_t **labels, int64_t *rows)
{
    hm_source *source;
    *labels = NULL;
    HM_TRY(hm_dataset_open(path, split, &source));
    *rows = source->rows;
    hm_status status = read_labels((dataset *)source, split, labels);
    source->close(source);
    if (status == HM_OK) return HM_OK;
    free(*labels);
    *labels = NULL;
    return status;
}

/* Puts the place of a refused label before the message. */
static hm_status in_split(const char *path, const char *split, hm_status status)
{
    if (status != HM_EDATA) return status;
    return hm_fail_at(HM_EDATA, "%s: /%s/y: ", path, split);
}

hm_status hm_dataset_open_labelled(const char *path, const char *split, int64_t classes, hm_source **out)
{
    int32_t *labels = NULL;
    hm_source *rows;
    *out = NULL;
    HM_TRY(hm_dataset_open(path, split, &rows));
    if (classes == 0) {
        *out = rows;
        return HM_OK;
    }
    hm_status status = read_labels((dataset *)rows, split, &labels);
    if (status == HM_OK && !labels)
        status =
            hm_fail(HM_EDATA, "%s: has no labels (/%s/y), but model.classes is %lld", path, split, (long long)classes);
    else if (status == HM_OK)
        status = in_split(path, split, hm_source_labelled(rows, labels, classes, out));
    if (status == HM_OK) return HM_OK;
    free(labels);
    rows->close(rows);
    return status;
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

typedef struct value_range {
    double min, max;
} value_range;

static hm_status check_values(const hm_source *source, const char *name, int64_t begin, int64_t count,
                              const void *block, value_range *range)
{
    for (int64_t i = 0; i < count * source->columns; i++) {
        double value =
            source->type == HM_UINT8 ? ((const unsigned char *)block)[i] / 255.0 : (double)((const float *)block)[i];
        HM_REQUIRE(isfinite(value), HM_EDATA, "%s: row %lld, column %lld is %g; values must be finite", name,
                   (long long)(begin + i / source->columns), (long long)(i % source->columns), value);
        range->min = fmin(range->min, value);
        range->max = fmax(range->max, value);
    }
    return HM_OK;
}

/* Rows of the source to the dataset, a block at a time. */
static hm_status copy_rows(const char *name, hm_source *source, hm_array *to, value_range *range)
{
    size_t row_bytes = (size_t)source->columns * hm_type_size(source->type);
    int64_t most = row_bytes < BLOCK_BYTES ? (int64_t)(BLOCK_BYTES / row_bytes) : 1;
    unsigned char *block;
    hm_status status = HM_OK;
    HM_TRY(hm_alloc(&block, most, row_bytes, "a block of rows"));
    for (int64_t begin = 0; status == HM_OK && begin < source->rows; begin += most) {
        int64_t count = source->rows - begin < most ? source->rows - begin : most;
        status = source->read(source, begin, count, block);
        if (status == HM_OK) status = check_values(source, name, begin, count, block, range);
        if (status == HM_OK) status = hm_array_write_rows(to, begin, count, block);
    }
    free(block);
    return status;
}

static hm_status write_attributes(hm_store *store, const char *name, const hm_source *source, const value_range *range)
{
    HM_TRY(hm_store_set_real(store, name, "min", range->min));
    HM_TRY(hm_store_set_real(store, name, "max", range->max));
    if (source->height == 0) return HM_OK;
    HM_TRY(hm_store_set_int(store, name, "height", source->height));
    return hm_store_set_int(store, name, "width", source->width);
}

static hm_status write_split(hm_store *store, const char *split, const hm_import *import)
{
    char x[NAME_BYTES], y[NAME_BYTES];
    hm_source *source = import->source;
    hm_field rows = field_x(split, source->type, x), labels = field_y(split, y);
    hm_array *array;
    value_range range = {INFINITY, -INFINITY};
    const char *name = import->name ? import->name : split;
    HM_TRY(check_size(name, x, source->rows, source->columns));
    HM_TRY(hm_array_create(store, &rows, (int64_t[]){source->rows, source->columns}, &array));
    hm_status status = copy_rows(name, source, array, &range);
    hm_array_close(array);
    HM_TRY(status);
    HM_TRY(write_attributes(store, x, source, &range));
    return import->labels ? hm_store_write(store, &labels, &source->rows, import->labels) : HM_OK;
}

static hm_status check_alike(const hm_source *train, const hm_source *test)
{
    static const char *const types[] = {[HM_UINT8] = "uint8", [HM_FLOAT32] = "float32"};
    HM_REQUIRE(train->columns == test->columns && train->type == test->type, HM_EDATA,
               "training rows have %lld values of type %s, test rows %lld of type %s; they must be alike",
               (long long)train->columns, types[train->type], (long long)test->columns, types[test->type]);
    return HM_OK;
}

hm_status hm_dataset_begin(const char *path, const hm_import *train, const hm_import *test, hm_store **out)
{
    const hm_import *imports[SPLITS] = {train, test};
    *out = NULL;
    if (test->source) HM_TRY(check_alike(train->source, test->source));
    HM_TRY(hm_store_create(path, &hm_format_data, out));
    hm_status status = HM_OK;
    for (int split = 0; status == HM_OK && split < SPLITS; split++)
        if (imports[split]->source) status = write_split(*out, split_names[split], imports[split]);
    if (status == HM_OK) return HM_OK;
    hm_store_close(*out);
    *out = NULL;
    return status;
}

hm_status hm_dataset_write(const char *path, const hm_import *train, const hm_import *test)
{
    hm_store *store;
    HM_TRY(hm_dataset_begin(path, train, test, &store));
    hm_status status = hm_store_commit(store);
    hm_store_close(store);
    return status;
}
