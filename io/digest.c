#include "io/digest.h"

#include "core/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { BLOCK_BYTES = 4 << 20, ATTRIBUTE_MAX = 16 << 20 };

static const char digest_name[] = "digest", rows_name[] = "digest_rows";

typedef struct digest {
    hm_store *store;
    XXH3_state_t *state;
    hm_status status;
} digest;

static void add(digest *d, const void *bytes, size_t size) { XXH3_128bits_update(d->state, bytes, size); }

/* With its end, so that "ab", "c" is not "a", "bc". */
static void add_text(digest *d, const char *text) { add(d, text, strlen(text) + 1); }

static void add_number(digest *d, int64_t number) { add(d, &number, sizeof number); }

/* ---- attributes ------------------------------------------------------------------------------------------------- */

/* Attributes that HDF5 and netCDF keep for themselves, and the digest itself. */
static bool is_kept_out(const char *name)
{
    static const char *const names[] = {digest_name, "CLASS", "NAME"};
    for (size_t at = 0; at < sizeof names / sizeof names[0]; at++)
        if (strcmp(name, names[at]) == 0) return true;
    return strncmp(name, "_Netcdf4", 8) == 0 || strncmp(name, "_NC", 3) == 0;
}

static bool add_texts(digest *d, hid_t attribute, hid_t type, hid_t space, int64_t count)
{
    char **texts = calloc((size_t)count, sizeof *texts);
    bool got = texts && H5Aread(attribute, type, texts) >= 0;
    for (int64_t at = 0; got && at < count; at++) add_text(d, texts[at] ? texts[at] : "");
    if (got) H5Dvlen_reclaim(type, space, H5P_DEFAULT, texts);
    free(texts);
    return got;
}

/* Texts of fixed size, each to its first NUL, as those of variable size are. */
static void add_fixed_texts(digest *d, const char *values, int64_t count, size_t size)
{
    for (int64_t at = 0; at < count; at++) {
        const char *text = values + (size_t)at * size;
        add(d, text, strnlen(text, size));
        add(d, "", 1);
    }
}

static bool add_values(digest *d, hid_t attribute, hid_t type, hid_t space)
{
    H5T_class_t class = H5Tget_class(type);
    hssize_t count = H5Sget_simple_extent_npoints(space);
    if (count <= 0) return count == 0;
    if (class == H5T_STRING && H5Tis_variable_str(type) > 0)
        return count <= ATTRIBUTE_MAX && add_texts(d, attribute, type, space, count);
    hid_t native = class == H5T_STRING ? H5Tcopy(type) : H5Tget_native_type(type, H5T_DIR_ASCEND);
    size_t size = native < 0 ? 0 : H5Tget_size(native);
    bool fits = size > 0 && size <= ATTRIBUTE_MAX && count <= (hssize_t)(ATTRIBUTE_MAX / size);
    void *values = fits ? malloc((size_t)count * size) : NULL;
    bool got = values && H5Aread(attribute, native, values) >= 0;
    if (got && class == H5T_STRING)
        add_fixed_texts(d, values, count, size);
    else if (got)
        add(d, values, (size_t)count * size);
    free(values);
    if (native >= 0) H5Tclose(native);
    return got;
}

static herr_t add_attribute(hid_t object, const char *name, const H5A_info_t *about, void *state)
{
    (void)about;
    digest *d = state;
    if (is_kept_out(name)) return 0;
    hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
    if (attribute < 0) return -1;
    hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
    H5T_class_t class = H5Tget_class(type);
    bool got = true;
    if (class == H5T_INTEGER || class == H5T_FLOAT || class == H5T_STRING) {
        add_text(d, name);
        got = add_values(d, attribute, type, space);
    }
    H5Sclose(space);
    H5Tclose(type);
    H5Aclose(attribute);
    return got ? 0 : -1;
}

/* ---- datasets --------------------------------------------------------------------------------------------------- */

static hm_status add_rows(digest *d, hm_array *array, int64_t row_bytes)
{
    int64_t most = row_bytes < BLOCK_BYTES ? BLOCK_BYTES / row_bytes : 1, rows = array->shape.size[0];
    void *block;
    HM_TRY(hm_alloc(&block, most < rows ? most : rows, (size_t)row_bytes, array->name));
    hm_status status = HM_OK;
    for (int64_t begin = 0; status == HM_OK && begin < rows; begin += most) {
        int64_t count = rows - begin < most ? rows - begin : most;
        status = hm_array_read_rows(array, begin, count, block);
        if (status == HM_OK) add(d, block, (size_t)(count * row_bytes));
    }
    free(block);
    return status;
}

static hm_status add_scalar(digest *d, const hm_array *array)
{
    char value[8] = {0};
    if (H5Dread(array->dataset, array->memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, value) < 0)
        return hm_h5_read_failed(d->store, array->name);
    add(d, value, hm_field_type_size(array->shape.type));
    return HM_OK;
}

static hm_status add_elements(digest *d, hm_array *array)
{
    const hm_shape *shape = &array->shape;
    int64_t row_bytes = (int64_t)hm_field_type_size(shape->type);
    add_number(d, (int64_t)shape->type);
    add_number(d, shape->dims);
    for (int axis = 0; axis < shape->dims; axis++) add_number(d, shape->size[axis]);
    if (H5Aexists(array->dataset, rows_name) > 0) return HM_OK;
    if (shape->dims == 0) return add_scalar(d, array);
    for (int axis = 1; axis < shape->dims; axis++) row_bytes *= shape->size[axis]; /* hm_h5_check_dataset: it fits */
    return row_bytes == 0 || shape->size[0] == 0 ? HM_OK : add_rows(d, array, row_bytes);
}

static hm_status add_dataset(digest *d, const char *name, hid_t dataset)
{
    hid_t type = H5Dget_type(dataset);
    H5T_class_t class = H5Tget_class(type);
    H5Tclose(type);
    if (class != H5T_INTEGER && class != H5T_FLOAT) return HM_OK;
    hm_array array = {.store = d->store, .name = (char *)name, .dataset = dataset};
    HM_TRY(hm_h5_check_dataset(d->store, name, dataset, &array.shape));
    array.memory_type = hm_h5_memory_type(array.shape.type);
    return add_elements(d, &array);
}

static hm_status add_object(void *state, const char *name, hid_t object)
{
    digest *d = state;
    if (H5Iget_type(object) == H5I_DATASET && hm_h5_is_bare_scale(object)) return HM_OK;
    add_text(d, name);
    if (H5Iget_type(object) == H5I_DATASET) HM_TRY(add_dataset(d, name, object));
    if (H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_INC, NULL, add_attribute, d) < 0)
        return hm_h5_read_failed(d->store, name);
    return HM_OK;
}

/* ---- the digest ------------------------------------------------------------------------------------------------- */

hm_status hm_digest_of(hm_store *store, const char *first, const char *root, char text[HM_DIGEST_TEXT])
{
    digest d = {.store = store, .state = XXH3_createState()};
    HM_REQUIRE(d.state && XXH3_128bits_reset(d.state) == XXH_OK, HM_EINTERNAL, "%s: out of memory", store->path);
    add_text(&d, first);
    hm_status status = hm_h5_walk(store, root, add_object, &d);
    XXH128_hash_t hash = XXH3_128bits_digest(d.state);
    XXH3_freeState(d.state);
    snprintf(text, HM_DIGEST_TEXT, "%016llx%016llx", (unsigned long long)hash.high64, (unsigned long long)hash.low64);
    return status;
}

/* Of fixed size, so that storing it again does not make the file grow. */
static hid_t text_type(void)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, HM_DIGEST_TEXT - 1);
    H5Tset_strpad(type, H5T_STR_NULLPAD);
    return type;
}

hm_status hm_digest_write(hm_store *store)
{
    char text[HM_DIGEST_TEXT];
    HM_TRY(hm_digest_of(store, "", "/", text));
    hid_t type = text_type(), space = H5Screate(H5S_SCALAR);
    hid_t attribute = H5Aexists(store->file, digest_name) > 0
                          ? H5Aopen(store->file, digest_name, H5P_DEFAULT)
                          : H5Acreate2(store->file, digest_name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    bool fine = attribute >= 0 && H5Awrite(attribute, type, text) >= 0;
    hm_status status = fine ? HM_OK : hm_h5_write_failed(store, digest_name);
    if (attribute >= 0) H5Aclose(attribute);
    H5Sclose(space);
    H5Tclose(type);
    return status;
}

hm_status hm_store_check_digest(hm_store *store, hm_store_digest *found)
{
    char text[HM_DIGEST_TEXT];
    char *stored = hm_h5_text_or_null(store->file, digest_name);
    *found = HM_DIGEST_NONE;
    if (!stored) return HM_OK;
    hm_h5_guard_begin(store->path);
    hm_status status = hm_digest_of(store, "", "/", text);
    hm_h5_guard_end();
    *found = strcmp(stored, text) == 0 ? HM_DIGEST_MATCHES : HM_DIGEST_DIFFERS;
    free(stored);
    return status;
}
