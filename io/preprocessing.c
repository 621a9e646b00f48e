#include "io/preprocessing.h"

#include "core/memory.h"
#include "io/dataset.h"
#include "io/store.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const methods[] = {"standardize", "pca", "zca", NULL};

static const hm_field mean_field = {.name = "/preprocessing/mean",
                                    .type = HM_FIELD_FLOAT64,
                                    .dims = 1,
                                    .axes = {"original"},
                                    .description = "mean of each original column over the training rows"};
static const hm_field scale_field = {.name = "/preprocessing/scale",
                                     .type = HM_FIELD_FLOAT64,
                                     .dims = 1,
                                     .axes = {"original"},
                                     .description = "by which a column less its mean was multiplied; 0 where "
                                                    "it was constant"};
static const hm_field matrix_field = {.name = "/preprocessing/matrix",
                                      .type = HM_FIELD_FLOAT64,
                                      .dims = 2,
                                      .axes = {"visible", "original"},
                                      .description = "by which a row less the mean was multiplied"};
static const hm_field inverse_field = {.name = "/preprocessing/inverse",
                                       .type = HM_FIELD_FLOAT64,
                                       .dims = 2,
                                       .axes = {"original", "visible"},
                                       .description =
                                           "(pseudo-)inverse of the matrix, to which the mean is to be added"};

void hm_preprocessing_free(hm_preprocessing *preprocessing)
{
    free(preprocessing->mean);
    free(preprocessing->scale);
    free(preprocessing->matrix);
    free(preprocessing->inverse);
    *preprocessing = (hm_preprocessing){0};
}

/* ---- rows ------------------------------------------------------------------------------------------------------- */

typedef struct preprocessed {
    hm_source source; /* first: it is one */
    hm_source *rows;  /* owned */
    const hm_preprocessing *preprocessing;
    unsigned char *raw; /* one row */
    double *x;          /* (original) */
    int64_t lost;       /* hm_preprocessed_lost */
} preprocessed;

static double value_of(const preprocessed *data, int64_t column)
{
    double unit = data->rows->unit;
    if (data->rows->type == HM_UINT8) return data->raw[column] / unit;
    float value;
    memcpy(&value, data->raw + column * (int64_t)sizeof value, sizeof value);
    return (double)value / unit;
}

/* Differs x - mean of a column without a scale from 0 by more than rounding? */
static bool is_lost(const hm_preprocessing *p, const double x[])
{
    for (int64_t i = 0; p->scale && i < p->original; i++)
        if (p->scale[i] == 0 && fabs(x[i]) > 8 * (double)FLT_EPSILON * fabs(p->mean[i])) return true;
    return false;
}

static hm_status preprocessed_read(hm_source *source, int64_t begin, int64_t count, void *out)
{
    preprocessed *data = (preprocessed *)source;
    const hm_preprocessing *p = data->preprocessing;
    for (int64_t row = 0; row < count; row++) {
        float *z = (float *)out + row * p->visible;
        HM_TRY(data->rows->read(data->rows, begin + row, 1, data->raw));
        for (int64_t i = 0; i < p->original; i++) data->x[i] = value_of(data, i) - p->mean[i];
        data->lost += is_lost(p, data->x);
        for (int64_t k = 0; k < p->visible; k++) {
            double sum = p->scale ? p->scale[k] * data->x[k] : 0;
            for (int64_t i = 0; p->matrix && i < p->original; i++) sum += p->matrix[k * p->original + i] * data->x[i];
            z[k] = (float)sum;
        }
    }
    return HM_OK;
}

static void preprocessed_close(hm_source *source)
{
    preprocessed *data = (preprocessed *)source;
    if (data->rows) data->rows->close(data->rows);
    free(data->raw);
    free(data->x);
    free(data);
}

hm_status hm_preprocessed(const hm_preprocessing *preprocessing, hm_source *rows, hm_source **out)
{
    preprocessed *data;
    bool image = preprocessing->visible == preprocessing->original && strcmp(preprocessing->method, "pca") != 0;
    *out = NULL;
    HM_REQUIRE(rows->columns == preprocessing->original, HM_EDATA, "%lld columns, but the preprocessing is of %lld",
               (long long)rows->columns, (long long)preprocessing->original);
    HM_TRY(hm_alloc(&data, 1, sizeof *data, "preprocessed rows"));
    data->source = (hm_source){.rows = rows->rows,
                               .columns = preprocessing->visible,
                               .type = HM_FLOAT32,
                               .unit = 1,
                               .height = image ? rows->height : 0,
                               .width = image ? rows->width : 0,
                               .read = preprocessed_read,
                               .close = preprocessed_close};
    data->preprocessing = preprocessing;
    hm_status status = hm_alloc(&data->raw, rows->columns, hm_type_size(rows->type), "a row");
    if (status == HM_OK) status = hm_alloc(&data->x, rows->columns, sizeof(double), "a row");
    if (status != HM_OK) {
        preprocessed_close(&data->source);
        return status;
    }
    data->rows = rows;
    *out = &data->source;
    return HM_OK;
}

int64_t hm_preprocessed_lost(const hm_source *source) { return ((const preprocessed *)source)->lost; }

void hm_preprocessing_undo(const hm_preprocessing *p, const float *z, float *x)
{
    for (int64_t i = 0; i < p->original; i++) {
        double sum = p->mean[i] + (p->scale && p->scale[i] > 0 ? (double)z[i] / p->scale[i] : 0);
        for (int64_t k = 0; p->inverse && k < p->visible; k++) sum += p->inverse[i * p->visible + k] * (double)z[k];
        x[i] = (float)sum;
    }
}

/* ---- in the file ------------------------------------------------------------------------------------------------ */

hm_status hm_preprocessing_store(hm_store *store, const hm_preprocessing *p)
{
    const int64_t mean[] = {p->original}, matrix[] = {p->visible, p->original}, inverse[] = {p->original, p->visible};
    HM_TRY(hm_store_write(store, &mean_field, mean, p->mean));
    if (p->scale) HM_TRY(hm_store_write(store, &scale_field, mean, p->scale));
    if (p->matrix) HM_TRY(hm_store_write(store, &matrix_field, matrix, p->matrix));
    if (p->inverse) HM_TRY(hm_store_write(store, &inverse_field, inverse, p->inverse));
    HM_TRY(hm_store_set_text(store, "/preprocessing", "method", p->method));
    return hm_store_set_real(store, "/preprocessing", "log_det", p->log_det);
}

hm_status hm_preprocessed_write(const char *path, hm_import *train, hm_import *test,
                                const hm_preprocessing *preprocessing)
{
    hm_store *store;
    HM_TRY(hm_dataset_begin(path, train, test, &store));
    hm_status status = hm_preprocessing_store(store, preprocessing);
    if (status == HM_OK) status = hm_store_commit(store);
    hm_store_close(store);
    return status;
}

static hm_status read_array(hm_store *store, const hm_field *field, const int64_t size[], double **out)
{
    hm_shape shape;
    int64_t count = 1;
    if (!hm_store_has(store, field->name)) return HM_OK;
    HM_TRY(hm_store_shape(store, field->name, &shape));
    bool fits = shape.dims == field->dims && shape.type == HM_FIELD_FLOAT64;
    for (int dim = 0; fits && dim < shape.dims; dim++) {
        fits = shape.size[dim] == size[dim];
        count *= size[dim];
    }
    HM_REQUIRE(fits, HM_EDATA, "%s: %s does not fit the other parts of /preprocessing", hm_store_path(store),
               field->name);
    HM_TRY(hm_alloc(out, count, sizeof(double), field->name));
    return hm_store_read(store, field, shape.size, *out);
}

/* Columns of z, and of x, as the file has them. */
static hm_status read_size(hm_store *store, const hm_format *format, hm_preprocessing *out)
{
    enum { COLUMNS_MAX = 1 << 20 };
    hm_shape x = {0}, mean;
    if (format == &hm_format_model) {
        x.dims = 2;
        HM_TRY(hm_store_get_int(store, "/", "visible", &x.size[1]));
    } else
        HM_TRY(hm_store_shape(store, "/train/x", &x));
    HM_TRY(hm_store_shape(store, mean_field.name, &mean));
    HM_REQUIRE(x.dims == 2 && mean.dims == 1 && mean.size[0] <= COLUMNS_MAX && x.size[1] <= COLUMNS_MAX &&
                   x.size[1] > 0,
               HM_EDATA, "%s: /preprocessing/mean is no vector", hm_store_path(store));
    out->visible = x.size[1];
    out->original = mean.size[0];
    return HM_OK;
}

static hm_status read_datasets(hm_store *store, const hm_format *format, hm_preprocessing *out)
{
    char *method = NULL;
    HM_TRY(read_size(store, format, out));
    const int64_t matrix[] = {out->visible, out->original}, inverse[] = {out->original, out->visible};
    HM_TRY(read_array(store, &mean_field, &out->original, &out->mean));
    HM_TRY(read_array(store, &scale_field, &out->original, &out->scale));
    HM_TRY(read_array(store, &matrix_field, matrix, &out->matrix));
    HM_TRY(read_array(store, &inverse_field, inverse, &out->inverse));
    HM_TRY(hm_store_get_real(store, "/preprocessing", "log_det", &out->log_det));
    HM_TRY(hm_store_get_text(store, "/preprocessing", "method", &method));
    for (int at = 0; methods[at]; at++)
        if (strcmp(methods[at], method) == 0) out->method = methods[at];
    free(method);
    for (int64_t i = 0; out->scale && i < out->original; i++)
        HM_REQUIRE(isfinite(out->scale[i]) && out->scale[i] >= 0, HM_EDATA, "%s: %s of column %lld is %g",
                   hm_store_path(store), scale_field.name, (long long)i, out->scale[i]);
    bool whole = out->scale ? out->visible == out->original : out->matrix && out->inverse;
    HM_REQUIRE(out->method && whole, HM_EDATA, "%s: /preprocessing is not whole", hm_store_path(store));
    return HM_OK;
}

hm_status hm_preprocessing_read(const char *path, const hm_format *format, hm_preprocessing *out, bool *found)
{
    hm_store *store;
    *out = (hm_preprocessing){0};
    *found = false;
    HM_TRY(hm_store_open(path, format, &store));
    hm_status status = HM_OK;
    if (hm_store_has(store, mean_field.name)) {
        status = read_datasets(store, format, out);
        *found = status == HM_OK;
    }
    hm_store_close(store);
    if (status != HM_OK) hm_preprocessing_free(out);
    return status;
}

static bool same_numbers(const double *a, const double *b, int64_t count)
{
    return (!a && !b) || (a && b && memcmp(a, b, (size_t)count * sizeof *a) == 0);
}

bool hm_preprocessing_same(const hm_preprocessing *a, const hm_preprocessing *b)
{
    return a->method == b->method && a->original == b->original && a->visible == b->visible &&
           same_numbers(a->mean, b->mean, a->original) && same_numbers(a->scale, b->scale, a->original) &&
           same_numbers(a->matrix, b->matrix, a->visible * a->original);
}
