/* Datasets: whole, by rows, and what there is in a file. */
#include "core/memory.h"
#include "io/h5.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ZEROS_BYTES = 1 << 20,
    CHUNK_MAX = 1 << 28,   /* bytes of a chunk, which is read as one */
    COMPRESSION_MAX = 1100 /* deflate makes 1 of 1032 bytes at best (RFC 1951: 258 bytes in 2 bits) */
};

/* ---- what a dataset is ------------------------------------------------------------------------------------------ */

bool hm_store_has(const hm_store *store, const char *name)
{
    if (strcmp(name, "/") == 0) return true;
    char prefix[512];
    size_t length = strlen(name);
    if (length >= sizeof prefix) return false;
    for (size_t end = 1; end <= length; end++) { /* H5Lexists wants every group on the way to be there */
        if (name[end] != '/' && name[end] != '\0') continue;
        snprintf(prefix, sizeof prefix, "%.*s", (int)end, name);
        if (H5Lexists(store->file, prefix, H5P_DEFAULT) <= 0) return false;
    }
    return H5Oexists_by_name(store->file, name, H5P_DEFAULT) > 0; /* a link that leads somewhere */
}

/* The smallest of our types that holds every value of an HDF5 type; false when none does. */
static bool type_of(hid_t type, hm_field_type *out)
{
    H5T_class_t class = H5Tget_class(type);
    size_t size = H5Tget_size(type);
    if (class == H5T_FLOAT) {
        *out = size <= 4 ? HM_FIELD_FLOAT32 : HM_FIELD_FLOAT64;
        return size <= 8;
    }
    if (class != H5T_INTEGER) return false;
    bool is_signed = H5Tget_sign(type) == H5T_SGN_2;
    if (size == 1 && !is_signed)
        *out = HM_FIELD_UINT8;
    else if (size < 4 || (size == 4 && is_signed))
        *out = HM_FIELD_INT32;
    else
        *out = HM_FIELD_INT64;
    return size < 8 || (size == 8 && is_signed);
}

static bool extent_of(hid_t space, hm_shape *out)
{
    hsize_t size[HM_FIELD_DIMS];
    out->dims = H5Sget_simple_extent_ndims(space);
    if (H5Sget_simple_extent_type(space) == H5S_NULL || out->dims < 0 || out->dims > HM_FIELD_DIMS) return false;
    H5Sget_simple_extent_dims(space, size, NULL);
    for (int axis = 0; axis < out->dims; axis++) {
        if (size[axis] > INT64_MAX) return false;
        out->size[axis] = (int64_t)size[axis];
    }
    return true;
}

static hm_status shape_of(const hm_store *store, hid_t dataset, const char *name, hm_shape *out)
{
    hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
    *out = (hm_shape){0};
    bool known = type_of(type, &out->type) && extent_of(space, out);
    H5Sclose(space);
    H5Tclose(type);
    HM_REQUIRE(known, HM_EDATA, "%s: %s is neither integers nor real numbers of at most %d dimensions", store->path,
               name, HM_FIELD_DIMS);
    return HM_OK;
}

/* Its elements lie in this file, in pieces of bounded size, behind filters that are known. */
static hm_status check_storage(const hm_store *store, const char *name, hid_t properties, const hm_shape *shape)
{
    H5D_layout_t layout = H5Pget_layout(properties);
    HM_REQUIRE(layout != H5D_VIRTUAL && H5Pget_external_count(properties) == 0, HM_EDATA,
               "%s: %s lies in other files; copy it into this one (h5repack, or h5py)", store->path, name);
    if (layout != H5D_CHUNKED) return HM_OK;
    hsize_t chunk[HM_FIELD_DIMS], bytes = hm_field_type_size(shape->type);
    H5Pget_chunk(properties, shape->dims, chunk);
    for (int axis = 0; axis < shape->dims && bytes <= CHUNK_MAX; axis++) bytes *= chunk[axis];
    HM_REQUIRE(bytes <= CHUNK_MAX, HM_EDATA, "%s: %s has chunks of more than %d MiB; store it in smaller ones",
               store->path, name, CHUNK_MAX >> 20);
    for (int filter = 0; filter < H5Pget_nfilters(properties); filter++) {
        char filter_name[64] = "";
        unsigned flags;
        size_t none = 0;
        H5Z_filter_t number =
            H5Pget_filter2(properties, (unsigned)filter, &flags, &none, NULL, sizeof filter_name, filter_name, NULL);
        HM_REQUIRE(H5Zfilter_avail(number) > 0, HM_EDATA,
                   "%s: %s is stored with filter %d (%s), which is not built in; store it with gzip", store->path, name,
                   (int)number, *filter_name ? filter_name : "unknown");
    }
    return HM_OK;
}

/* Not more than a file of this length can hold, however it is compressed. */
static hm_status check_claim(const hm_store *store, const char *name, const hm_shape *shape)
{
    hsize_t length = 0;
    int64_t bytes = (int64_t)hm_field_type_size(shape->type);
    bool fits = H5Fget_filesize(store->file, &length) >= 0;
    for (int axis = 0; axis < shape->dims; axis++)
        fits = fits && !__builtin_mul_overflow(bytes, shape->size[axis], &bytes);
    HM_REQUIRE(fits && (hsize_t)bytes / COMPRESSION_MAX <= length, HM_EDATA,
               "%s: %s claims to be larger than a file of %lld bytes can hold", store->path, name, (long long)length);
    return HM_OK;
}

hm_status hm_h5_check_dataset(const hm_store *store, const char *name, hid_t dataset, hm_shape *shape)
{
    hid_t properties = H5Dget_create_plist(dataset);
    if (properties < 0) return hm_h5_read_failed(store, name);
    /* Where it lies comes first: to know the shape of a virtual dataset HDF5 opens the files it is made of. */
    hm_status status = H5Pget_layout(properties) == H5D_VIRTUAL ? HM_OK : shape_of(store, dataset, name, shape);
    if (status == HM_OK) status = check_storage(store, name, properties, shape);
    if (status == HM_OK) status = check_claim(store, name, shape);
    H5Pclose(properties);
    return status;
}

static hm_status open_dataset(const hm_store *store, const char *name, hid_t *dataset, hm_shape *shape)
{
    HM_REQUIRE(hm_store_has(store, name), HM_EDATA, "%s: %s is missing", store->path, name);
    *dataset = H5Dopen2(store->file, name, H5P_DEFAULT);
    if (*dataset < 0) return hm_h5_read_failed(store, name);
    hm_status status =
        store->writable ? shape_of(store, *dataset, name, shape) : hm_h5_check_dataset(store, name, *dataset, shape);
    if (status != HM_OK) H5Dclose(*dataset);
    return status;
}

hm_status hm_store_shape(hm_store *store, const char *name, hm_shape *out)
{
    hid_t dataset = -1;
    HM_TRY(open_dataset(store, name, &dataset, out));
    H5Dclose(dataset);
    return HM_OK;
}

static bool has_elements(const hm_shape *shape)
{
    for (int axis = 0; axis < shape->dims; axis++)
        if (shape->size[axis] == 0) return false;
    return true;
}

/* ---- arrays ----------------------------------------------------------------------------------------------------- */

static hm_status array_new(hm_store *store, const hm_field *field, hm_array **out)
{
    *out = NULL;
    hm_array *array;
    HM_TRY(hm_alloc(&array, 1, sizeof *array, "an array's handle"));
    *array = (hm_array){.store = store, .name = strdup(field->name), .dataset = -1};
    array->memory_type = hm_h5_memory_type(field->type);
    if (!array->name) {
        free(array);
        return hm_fail(HM_EINTERNAL, "%s: out of memory", store->path);
    }
    *out = array;
    return HM_OK;
}

hm_status hm_array_create(hm_store *store, const hm_field *field, const int64_t shape[], hm_array **out)
{
    HM_TRY(array_new(store, field, out));
    hm_array *array = *out;
    array->shape.type = field->type;
    array->shape.dims = field->dims;
    for (int axis = 0; axis < field->dims; axis++) array->shape.size[axis] = shape[axis];
    hm_status status = hm_h5_dataset(store, field, shape, false, &array->dataset);
    if (status == HM_OK) return HM_OK;
    hm_array_close(array);
    *out = NULL;
    return status;
}

/* Which types of a file may be read as a field's type: no value is changed, but for the rounding of float64. */
static bool readable_as(hm_field_type file, hm_field_type field)
{
    static const unsigned accepted[] = {
        [HM_FIELD_UINT8] = 1u << HM_FIELD_UINT8,
        [HM_FIELD_INT32] = 1u << HM_FIELD_UINT8 | 1u << HM_FIELD_INT32,
        [HM_FIELD_INT64] = 1u << HM_FIELD_UINT8 | 1u << HM_FIELD_INT32 | 1u << HM_FIELD_INT64,
        [HM_FIELD_FLOAT32] = 1u << HM_FIELD_FLOAT32 | 1u << HM_FIELD_FLOAT64,
        [HM_FIELD_FLOAT64] = 1u << HM_FIELD_FLOAT32 | 1u << HM_FIELD_FLOAT64,
    };
    return (accepted[field] >> file & 1u) != 0;
}

static hm_status check_field(const hm_store *store, const hm_field *field, const hm_shape *shape)
{
    HM_REQUIRE(readable_as(shape->type, field->type), HM_EDATA, "%s: %s is %s, expected %s", store->path, field->name,
               hm_field_type_name(shape->type), hm_field_type_name(field->type));
    HM_REQUIRE(shape->dims == field->dims, HM_EDATA, "%s: %s has %d dimensions, expected %d", store->path, field->name,
               shape->dims, field->dims);
    return HM_OK;
}

hm_status hm_array_open(hm_store *store, const hm_field *field, hm_array **out)
{
    HM_TRY(array_new(store, field, out));
    hm_array *array = *out;
    hm_h5_guard_begin(store->path);
    hm_status status = open_dataset(store, field->name, &array->dataset, &array->shape);
    hm_h5_guard_end();
    if (status != HM_OK) array->dataset = -1;
    if (status == HM_OK) status = check_field(store, field, &array->shape);
    if (status == HM_OK) return HM_OK;
    hm_array_close(array);
    *out = NULL;
    return status;
}

const hm_shape *hm_array_shape(const hm_array *array) { return &array->shape; }

void hm_array_close(hm_array *array)
{
    if (!array) return;
    hm_store *store = array->store;
    bool lost = store->comm && store->comm->lost; /* closing would wait for a rank that does not answer */
    if (array->dataset >= 0 && !lost) {
        /* Closing writes cached chunks; when that fails, only the flush can be tried without harm. */
        if (store->writable && !store->broken && H5Dflush(array->dataset) < 0) hm_h5_write_failed(store, array->name);
        H5Dclose(array->dataset);
    }
    free(array->name);
    free(array);
}

/* ---- rows ------------------------------------------------------------------------------------------------------- */

static hm_status check_rows(const hm_array *array, int64_t begin, int64_t count)
{
    HM_REQUIRE(array->shape.dims > 0, HM_EINTERNAL, "%s: %s is a scalar and has no rows", array->store->path,
               array->name);
    int64_t rows = array->shape.size[0];
    HM_REQUIRE(begin >= 0 && count >= 0 && begin <= rows && count <= rows - begin, HM_EINTERNAL,
               "%s: %s has %lld rows; [%lld, +%lld) are not among them", array->store->path, array->name,
               (long long)rows, (long long)begin, (long long)count);
    return HM_OK;
}

/* The rows in the file, and as they lie in memory. */
static void row_spaces(const hm_array *array, int64_t begin, int64_t count, hid_t *file, hid_t *memory)
{
    hsize_t start[HM_FIELD_DIMS] = {(hsize_t)begin}, size[HM_FIELD_DIMS];
    for (int axis = 0; axis < array->shape.dims; axis++) size[axis] = (hsize_t)array->shape.size[axis];
    size[0] = (hsize_t)count;
    *file = H5Dget_space(array->dataset);
    *memory = H5Screate_simple(array->shape.dims, size, NULL);
    if (count > 0)
        H5Sselect_hyperslab(*file, H5S_SELECT_SET, start, NULL, size, NULL);
    else
        H5Sselect_none(*file);
}

static hid_t transfer(const hm_store *store)
{
    hid_t properties = H5Pcreate(H5P_DATASET_XFER);
    if (store->comm)
        H5Pset_dxpl_mpio(properties, H5FD_MPIO_COLLECTIVE); /* checksummed chunks are written collectively */
    return properties;
}

hm_status hm_array_write_rows(hm_array *array, int64_t begin, int64_t count, const void *data)
{
    HM_TRY(check_rows(array, begin, count));
    HM_REQUIRE(!array->store->broken, HM_EOUTPUT, "%s: cannot be written", array->store->path);
    hid_t file, memory, properties = transfer(array->store);
    row_spaces(array, begin, count, &file, &memory);
    herr_t written = H5Dwrite(array->dataset, array->memory_type, memory, file, properties, data);
    hm_status status = written < 0 ? hm_h5_write_failed(array->store, array->name) : HM_OK;
    H5Pclose(properties);
    H5Sclose(memory);
    H5Sclose(file);
    return status;
}

hm_status hm_array_read_rows(hm_array *array, int64_t begin, int64_t count, void *out)
{
    HM_TRY(check_rows(array, begin, count));
    if (count == 0) return HM_OK;
    hid_t file, memory;
    row_spaces(array, begin, count, &file, &memory);
    hm_h5_guard_begin(array->store->path);
    herr_t read = H5Dread(array->dataset, array->memory_type, memory, file, H5P_DEFAULT, out);
    hm_h5_guard_end();
    hm_status status = read < 0 ? hm_h5_read_failed(array->store, array->name) : HM_OK;
    H5Sclose(memory);
    H5Sclose(file);
    return status;
}

/* Zeros are written rather than room allocated, for HDF5 cannot close a file whose allocated end is beyond what a full
 * disk let it write. */
static hm_status write_zeros(hm_array *array)
{
    int64_t rows = array->shape.size[0], row_bytes = (int64_t)hm_field_type_size(array->shape.type);
    for (int axis = 1; axis < array->shape.dims; axis++) row_bytes *= array->shape.size[axis];
    int64_t block = row_bytes > 0 && row_bytes < ZEROS_BYTES ? ZEROS_BYTES / row_bytes : 1;
    void *zeros;
    HM_TRY(hm_alloc(&zeros, block, (size_t)row_bytes, "a block of zeros"));
    hm_status status = HM_OK;
    for (int64_t row = 0; row < rows && status == HM_OK; row += block)
        status = hm_array_write_rows(array, row, rows - row < block ? rows - row : block, zeros);
    free(zeros);
    return status;
}

hm_status hm_array_reserve(hm_store *store, const hm_field *field, const int64_t shape[])
{
    hm_array *array;
    HM_TRY(hm_array_create(store, field, shape, &array));
    hm_status status = has_elements(&array->shape) ? write_zeros(array) : HM_OK;
    hm_array_close(array);
    return status == HM_OK && store->broken ? HM_EOUTPUT : status;
}

/* ---- whole datasets --------------------------------------------------------------------------------------------- */

hm_status hm_store_write(hm_store *store, const hm_field *field, const int64_t shape[], const void *data)
{
    hm_array *array;
    HM_TRY(hm_array_create(store, field, shape, &array));
    hm_status status = HM_OK;
    if (has_elements(&array->shape) &&
        H5Dwrite(array->dataset, array->memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
        status = hm_h5_write_failed(store, field->name);
    hm_array_close(array);
    return status == HM_OK && store->broken ? HM_EOUTPUT : status;
}

static void shape_text(int dims, const int64_t size[], char *out, size_t room)
{
    int used = snprintf(out, room, "(");
    for (int axis = 0; axis < dims; axis++)
        used += snprintf(out + used, room - (size_t)used, axis ? ", %lld" : "%lld", (long long)size[axis]);
    snprintf(out + used, room - (size_t)used, ")");
}

static hm_status check_shape(const hm_array *array, const int64_t expected[])
{
    int dims = array->shape.dims;
    if (dims == 0 || memcmp(array->shape.size, expected, (size_t)dims * sizeof expected[0]) == 0) return HM_OK;
    char found[128], wanted[128];
    shape_text(dims, array->shape.size, found, sizeof found);
    shape_text(dims, expected, wanted, sizeof wanted);
    return hm_fail(HM_EDATA, "%s: %s has shape %s, expected %s", array->store->path, array->name, found, wanted);
}

/* Opens the dataset of a field, of exactly this shape. */
static hm_status open_exactly(hm_store *store, const hm_field *field, const int64_t shape[], hm_array **out)
{
    HM_TRY(hm_array_open(store, field, out));
    hm_status status = check_shape(*out, shape);
    if (status == HM_OK) return HM_OK;
    hm_array_close(*out);
    *out = NULL;
    return status;
}

hm_status hm_store_check(hm_store *store, const hm_field *field, const int64_t shape[])
{
    hm_array *array;
    HM_TRY(open_exactly(store, field, shape, &array));
    hm_array_close(array);
    return HM_OK;
}

hm_status hm_store_read(hm_store *store, const hm_field *field, const int64_t shape[], void *out)
{
    hm_array *array;
    HM_TRY(open_exactly(store, field, shape, &array));
    hm_status status = HM_OK;
    hm_h5_guard_begin(store->path);
    if (has_elements(&array->shape) &&
        H5Dread(array->dataset, array->memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, out) < 0)
        status = hm_h5_read_failed(store, field->name);
    hm_h5_guard_end();
    hm_array_close(array);
    return status;
}

hm_status hm_store_remove(hm_store *store, const char *name)
{
    if (!hm_store_has(store, name)) return HM_OK;
    hid_t object = H5Oopen(store->file, name, H5P_DEFAULT);
    if (H5Iget_type(object) == H5I_DATASET) hm_h5_detach_scales(object);
    H5Oclose(object);
    if (H5Ldelete(store->file, name, H5P_DEFAULT) < 0) return hm_h5_write_failed(store, name);
    return HM_OK;
}

/* ---- a walk over the datasets ----------------------------------------------------------------------------------- */

typedef struct dataset_walk {
    hm_store *store;
    hm_store_visitor visit;
    void *state;
} dataset_walk;

static hm_status visit_dataset(void *state, const char *name, hid_t dataset)
{
    const dataset_walk *walk = state;
    hm_shape shape;
    if (H5Iget_type(dataset) != H5I_DATASET) return HM_OK;
    HM_TRY(hm_h5_check_dataset(walk->store, name, dataset, &shape));
    if (hm_h5_is_bare_scale(dataset)) return HM_OK;
    char *description = hm_h5_text_or_null(dataset, "description");
    char *unit = hm_h5_text_or_null(dataset, "units");
    hm_status status = walk->visit(walk->state, name, &shape, description ? description : "", unit ? unit : "");
    free(description);
    free(unit);
    return status;
}

hm_status hm_store_visit(hm_store *store, hm_store_visitor visit, void *state)
{
    dataset_walk walk = {.store = store, .visit = visit, .state = state};
    hm_h5_guard_begin(store->path);
    hm_status status = hm_h5_walk(store, "/", visit_dataset, &walk);
    hm_h5_guard_end();
    return status;
}
