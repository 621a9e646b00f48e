/* Attributes of groups and datasets: one number or one text each, and the lists of names that fields have. */
#include "core/memory.h"
#include "io/h5.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 16 << 20 };

/* ---- writing ---------------------------------------------------------------------------------------------------- */

/* Variable length, UTF-8: what h5py, Octave and R show as text, and without the 64 KiB limit of fixed-size attributes.
 */
static hid_t text_type(void)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, H5T_VARIABLE);
    H5Tset_cset(type, H5T_CSET_UTF8);
    return type;
}

static hm_status set(hm_store *store, hid_t object, const char *name, hid_t type, hid_t space, const void *value)
{
    HM_REQUIRE(!store->broken, HM_EOUTPUT, "%s: cannot be written", store->path);
    if (H5Aexists(object, name) > 0) H5Adelete(object, name);
    hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    bool fine = attribute >= 0 && H5Awrite(attribute, type, value) >= 0;
    hm_status status = fine ? HM_OK : hm_h5_write_failed(store, name);
    if (attribute >= 0) H5Aclose(attribute);
    return status;
}

static hm_status set_scalar(hm_store *store, hid_t object, const char *name, hid_t type, const void *value)
{
    hid_t space = H5Screate(H5S_SCALAR);
    hm_status status = set(store, object, name, type, space, value);
    H5Sclose(space);
    return status;
}

hm_status hm_h5_set_text(hm_store *store, hid_t object, const char *name, const char *value)
{
    hid_t type = text_type();
    hm_status status = set_scalar(store, object, name, type, &value);
    H5Tclose(type);
    return status;
}

hm_status hm_h5_set_texts(hm_store *store, hid_t object, const char *name, int count, const char *const values[])
{
    hsize_t size = (hsize_t)count;
    hid_t type = text_type(), space = H5Screate_simple(1, &size, NULL);
    hm_status status = set(store, object, name, type, space, values);
    H5Sclose(space);
    H5Tclose(type);
    return status;
}

/* The object, made as a group if there is none. */
static hm_status open_or_make(hm_store *store, const char *object, hid_t *out)
{
    HM_REQUIRE(!store->broken, HM_EOUTPUT, "%s: cannot be written", store->path);
    if (hm_store_has(store, object)) {
        *out = H5Oopen(store->file, object, H5P_DEFAULT);
    } else {
        hid_t links = H5Pcreate(H5P_LINK_CREATE);
        H5Pset_create_intermediate_group(links, 1);
        *out = H5Gcreate2(store->file, object, links, H5P_DEFAULT, H5P_DEFAULT);
        H5Pclose(links);
    }
    return *out < 0 ? hm_h5_write_failed(store, object) : HM_OK;
}

static hm_status set_number(hm_store *store, const char *object, const char *name, hid_t type, const void *value)
{
    hid_t opened = -1;
    HM_TRY(open_or_make(store, object, &opened));
    hm_status status = set_scalar(store, opened, name, type, value);
    H5Oclose(opened);
    return status;
}

hm_status hm_store_set_int(hm_store *store, const char *object, const char *name, int64_t value)
{
    return set_number(store, object, name, H5T_NATIVE_INT64, &value);
}

hm_status hm_store_set_seed(hm_store *store, const char *object, const char *name, uint64_t value)
{
    return set_number(store, object, name, H5T_NATIVE_UINT64, &value);
}

hm_status hm_store_set_real(hm_store *store, const char *object, const char *name, double value)
{
    return set_number(store, object, name, H5T_NATIVE_DOUBLE, &value);
}

hm_status hm_store_set_text(hm_store *store, const char *object, const char *name, const char *value)
{
    hid_t opened = -1;
    HM_TRY(open_or_make(store, object, &opened));
    hm_status status = hm_h5_set_text(store, opened, name, value);
    H5Oclose(opened);
    return status;
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

bool hm_store_has_attribute(const hm_store *store, const char *object, const char *name)
{
    return hm_store_has(store, object) && H5Aexists_by_name(store->file, object, name, H5P_DEFAULT) > 0;
}

hm_status hm_store_remove_attribute(hm_store *store, const char *object, const char *name)
{
    if (!hm_store_has_attribute(store, object, name)) return HM_OK;
    return H5Adelete_by_name(store->file, object, name, H5P_DEFAULT) < 0 ? hm_h5_write_failed(store, object) : HM_OK;
}

/* One value of type class `wanted` (integers are also reals). */
static hm_status get_number(hm_store *store, const char *object, const char *name, hid_t memory_type, bool real,
                            void *value)
{
    HM_REQUIRE(hm_store_has_attribute(store, object, name), HM_EDATA, "%s: attribute %s of %s is missing", store->path,
               name, object);
    hid_t attribute = H5Aopen_by_name(store->file, object, name, H5P_DEFAULT, H5P_DEFAULT);
    if (attribute < 0) return hm_h5_read_failed(store, name);
    hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
    H5T_class_t class = H5Tget_class(type);
    bool fits = H5Sget_simple_extent_npoints(space) == 1 && (class == H5T_INTEGER || (real && class == H5T_FLOAT));
    bool got = fits && H5Aread(attribute, memory_type, value) >= 0;
    H5Sclose(space);
    H5Tclose(type);
    H5Aclose(attribute);
    HM_REQUIRE(fits, HM_EDATA, "%s: attribute %s of %s is not a single %s", store->path, name, object,
               real ? "number" : "integer");
    return got ? HM_OK : hm_h5_read_failed(store, name);
}

hm_status hm_store_get_int(hm_store *store, const char *object, const char *name, int64_t *value)
{
    return get_number(store, object, name, H5T_NATIVE_INT64, false, value);
}

hm_status hm_store_get_seed(hm_store *store, const char *object, const char *name, uint64_t *value)
{
    return get_number(store, object, name, H5T_NATIVE_UINT64, false, value);
}

hm_status hm_store_get_real(hm_store *store, const char *object, const char *name, double *value)
{
    return get_number(store, object, name, H5T_NATIVE_DOUBLE, true, value);
}

static char *read_variable(hid_t attribute)
{
    char *text = NULL, *copy = NULL;
    hid_t type = H5Aget_type(attribute); /* as stored: HDF5 does not convert between character sets */
    if (H5Aread(attribute, type, &text) >= 0 && text && strlen(text) <= TEXT_MAX) copy = strdup(text);
    H5free_memory(text);
    H5Tclose(type);
    return copy;
}

static char *read_fixed(hid_t attribute, size_t size)
{
    char *copy = size <= TEXT_MAX ? calloc(size + 1, 1) : NULL;
    hid_t type = H5Aget_type(attribute);
    if (copy && H5Aread(attribute, type, copy) < 0) {
        free(copy);
        copy = NULL;
    }
    H5Tclose(type);
    return copy;
}

static char *read_text(hid_t attribute)
{
    hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
    bool text = H5Tget_class(type) == H5T_STRING && H5Sget_simple_extent_npoints(space) == 1;
    bool variable = text && H5Tis_variable_str(type) > 0;
    size_t size = text ? H5Tget_size(type) : 0;
    H5Sclose(space);
    H5Tclose(type);
    if (!text) return NULL;
    return variable ? read_variable(attribute) : read_fixed(attribute, size);
}

char *hm_h5_text_or_null(hid_t object, const char *name)
{
    if (H5Aexists(object, name) <= 0) return NULL;
    hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
    if (attribute < 0) return NULL;
    char *text = read_text(attribute);
    H5Aclose(attribute);
    return text;
}

hm_status hm_store_get_text(hm_store *store, const char *object, const char *name, char **text)
{
    *text = NULL;
    HM_REQUIRE(hm_store_has_attribute(store, object, name), HM_EDATA, "%s: attribute %s of %s is missing", store->path,
               name, object);
    hid_t opened = H5Oopen(store->file, object, H5P_DEFAULT);
    if (opened < 0) return hm_h5_read_failed(store, object);
    *text = hm_h5_text_or_null(opened, name);
    H5Oclose(opened);
    HM_REQUIRE(*text, HM_EDATA, "%s: attribute %s of %s is not a text", store->path, name, object);
    return HM_OK;
}
