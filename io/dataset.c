#include "io/dataset.h"

#include "core/memory.h"
#include "io/files.h"
#include "io/row_digests.h"
#include "io/store.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 64, SPLITS = 2, COLUMNS_MAX = INT32_MAX /* of random numbers, rng.h */ };

static const double BYTE_UNIT = 255; /* the byte that stands for 1, where nothing else is said */

static const char *const split_names[SPLITS] = {"train", "test"};

/* The declared datasets of a split; `name` is room for the path. */
static hm_field field_x(const char *split, hm_type type, char name[NAME_BYTES])
{
    snprintf(name, NAME_BYTES, "/%s/x", split);
    return (hm_field){.name = name,
                      .type = type == HM_UINT8 ? HM_FIELD_UINT8 : HM_FIELD_FLOAT32,
                      .dims = 2,
                      .axes = {"row", "visible"},
                      .description = "examples; a value is the element times the attribute scale"};
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
    hm_row_digests digests;
    char name[NAME_BYTES];
} dataset;

static hm_status dataset_read(hm_source *source, int64_t begin, int64_t count, void *out)
{
    dataset *data = (dataset *)source;
    HM_TRY(hm_row_digests_read(&data->digests, data->store, data->name, data->rows, begin, count, out));
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
    hm_row_digests_free(&data->digests);
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

/* Does the split hold a byte above 1? What the writer found when it says so, else a look at the rows. */
static hm_status has_large_byte(dataset *data, bool *large)
{
    const hm_source *source = &data->source;
    double max = 0;
    unsigned char *row;
    *large = false;
    if (hm_store_has_attribute(data->store, data->name, "max")) {
        HM_TRY(hm_store_get_real(data->store, data->name, "max", &max));
        *large = max > 1.5 / BYTE_UNIT || max == 0;
        return HM_OK;
    }
    HM_TRY(hm_alloc(&row, source->columns, 1, "a row"));
    hm_status status = HM_OK;
    for (int64_t at = 0; status == HM_OK && !*large && at < source->rows; at++) {
        status = hm_array_read_rows(data->rows, at, 1, row);
        for (int64_t column = 0; column < source->columns; column++) *large |= row[column] > 1;
    }
    free(row);
    return status;
}

static hm_status read_scale(dataset *data)
{
    const char *path = hm_store_path(data->store);
    hm_source *source = &data->source;
    int64_t version;
    double scale;
    source->unit = source->type == HM_UINT8 ? BYTE_UNIT : 1;
    if (hm_store_has_attribute(data->store, data->name, "scale")) {
        HM_TRY(hm_store_get_real(data->store, data->name, "scale", &scale));
        HM_REQUIRE(isfinite(scale) && scale > 0 && isfinite(1 / scale), HM_EDATA,
                   "%s: %s: attribute scale is %g; it must be a positive number", path, data->name, scale);
        source->unit = 1 / scale;
        return HM_OK;
    }
    if (source->type == HM_FLOAT32) return HM_OK;
    bool large = false;
    HM_TRY(hm_store_get_int(data->store, "/", "format_version", &version));
    if (version == 1) HM_TRY(has_large_byte(data, &large));
    HM_REQUIRE(large, HM_EDATA,
               "%s: %s holds bytes%s without the attribute scale, which says what a byte stands for; import the data "
               "again, or set it (in h5py: f['%s'].attrs['scale'] = 1.0 for bytes 0 and 1, 1 / 255 for grey values)",
               path, data->name, version == 1 ? " of 0 and 1" : "", data->name);
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
    HM_TRY(hm_row_digests_open(data->store, data->name, data->source.rows,
                               data->source.columns * (int64_t)hm_type_size(data->source.type), &data->digests));
    HM_TRY(read_scale(data));
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

/* The range of raw elements grows with a block of them. */
static hm_status check_values(hm_import *import, const char *name, int64_t begin, int64_t count, const void *block)
{
    const hm_source *source = import->source;
    for (int64_t i = 0; i < count * source->columns; i++) {
        double value = source->type == HM_UINT8 ? ((const unsigned char *)block)[i] : (double)((const float *)block)[i];
        HM_REQUIRE(isfinite(value), HM_EDATA, "%s: row %lld, column %lld is %g; values must be finite", name,
                   (long long)(begin + i / source->columns), (long long)(i % source->columns), value);
        import->min = fmin(import->min, value);
        import->max = fmax(import->max, value);
    }
    return HM_OK;
}

/* Rows of the source to the dataset, a block at a time. */
static hm_status copy_rows(const char *name, hm_import *import, hm_array *to, hm_row_digests *digests)
{
    hm_source *source = import->source;
    unsigned char *block;
    hm_status status = HM_OK;
    HM_TRY(hm_alloc(&block, digests->block_rows, (size_t)digests->row_bytes, "a block of rows"));
    for (int64_t begin = 0; status == HM_OK && begin < source->rows; begin += digests->block_rows) {
        int64_t left = source->rows - begin, count = left < digests->block_rows ? left : digests->block_rows;
        status = source->read(source, begin, count, block);
        if (status == HM_OK) status = check_values(import, name, begin, count, block);
        if (status == HM_OK) status = hm_array_write_rows(to, begin, count, block);
        if (status == HM_OK) hm_row_digests_add(digests, begin, block);
    }
    free(block);
    return status;
}

/* /SPLIT/x and its digests. */
static hm_status write_rows(hm_store *store, const hm_field *rows, const char *name, hm_import *import)
{
    const hm_source *source = import->source;
    hm_row_digests digests;
    hm_array *array;
    HM_TRY(hm_row_digests_new(source->rows, source->columns * (int64_t)hm_type_size(source->type), &digests));
    hm_status status = hm_array_create(store, rows, (int64_t[]){source->rows, source->columns}, &array);
    if (status == HM_OK) {
        status = copy_rows(name, import, array, &digests);
        hm_array_close(array);
    }
    if (status == HM_OK) status = hm_row_digests_write(&digests, store, rows->name);
    hm_row_digests_free(&digests);
    return status;
}

static hm_status write_attributes(hm_store *store, const char *split, hm_import *import)
{
    const hm_source *source = import->source;
    char name[NAME_BYTES];
    (void)field_x(split, source->type, name);
    import->min /= source->unit;
    import->max /= source->unit;
    HM_TRY(hm_store_set_real(store, name, "scale", 1 / source->unit));
    HM_TRY(hm_store_set_real(store, name, "min", import->min));
    HM_TRY(hm_store_set_real(store, name, "max", import->max));
    if (source->height == 0) return HM_OK;
    HM_TRY(hm_store_set_int(store, name, "height", source->height));
    return hm_store_set_int(store, name, "width", source->width);
}

static hm_status write_split(hm_store *store, const char *split, hm_import *import)
{
    char x[NAME_BYTES], y[NAME_BYTES];
    hm_source *source = import->source;
    hm_field rows = field_x(split, source->type, x), labels = field_y(split, y);
    import->min = INFINITY;
    import->max = -INFINITY;
    const char *name = import->name ? import->name : split;
    HM_TRY(check_size(name, x, source->rows, source->columns));
    rows.chunk_rows = hm_row_digests_block(source->columns * (int64_t)hm_type_size(source->type));
    HM_TRY(write_rows(store, &rows, name, import));
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

/* Both splits have one scale: bytes of which none is above 1 stand for themselves, others for their value / 255. */
static void choose_scale(hm_import *imports[SPLITS])
{
    bool truths = true;
    for (int split = 0; split < SPLITS; split++)
        truths = truths && !(imports[split]->source && imports[split]->max > 1);
    for (int split = 0; split < SPLITS; split++)
        if (imports[split]->source && imports[split]->source->unit == 0)
            imports[split]->source->unit = truths ? 1 : BYTE_UNIT;
}

static hm_status write_splits(hm_store *store, hm_import *imports[SPLITS])
{
    for (int split = 0; split < SPLITS; split++)
        if (imports[split]->source) HM_TRY(write_split(store, split_names[split], imports[split]));
    choose_scale(imports);
    for (int split = 0; split < SPLITS; split++)
        if (imports[split]->source) HM_TRY(write_attributes(store, split_names[split], imports[split]));
    return HM_OK;
}

hm_status hm_dataset_begin(const char *path, hm_import *train, hm_import *test, hm_store **out)
{
    hm_import *imports[SPLITS] = {train, test};
    *out = NULL;
    if (test->source) HM_TRY(check_alike(train->source, test->source));
    HM_TRY(hm_store_create(path, &hm_format_data, out));
    hm_status status = write_splits(*out, imports);
    if (status == HM_OK) return HM_OK;
    hm_store_close(*out);
    *out = NULL;
    return status;
}

hm_status hm_dataset_write(const char *path, hm_import *train, hm_import *test)
{
    hm_store *store;
    HM_TRY(hm_dataset_begin(path, train, test, &store));
    hm_status status = hm_store_commit(store);
    hm_store_close(store);
    return status;
}

/* ---- where one may be written ----------------------------------------------------------------------------------- */

static bool is_dataset(const char *path)
{
    hm_store *store;
    hm_status status = hm_store_open(path, &hm_format_data, &store);
    hm_error_clear();
    hm_store_close(store);
    return status == HM_OK;
}

hm_status hm_dataset_check_output(const char *path, const char *input)
{
    HM_REQUIRE(!input || !hm_file_same(path, input), HM_EUSAGE, "%s: is the input; choose another name for the output",
               path);
    return hm_file_check_output(path, "data file", is_dataset);
}
