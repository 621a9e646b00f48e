#define _GNU_SOURCE /* memfd_create */
#include "io/h5.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- what the library may not do -------------------------------------------------------------------------------- */

static hid_t follow_nowhere(const char *name, hid_t group, const void *target, size_t size, hid_t links, hid_t transfer)
{
    (void)name, (void)group, (void)target, (void)size, (void)links, (void)transfer;
    return -1;
}

/* What a link says may still be asked. */
static ssize_t tell(const char *name, const void *target, size_t size, void *out, size_t room)
{
    (void)name;
    if (out) memcpy(out, target, size < room ? size : room);
    return (ssize_t)size;
}

void hm_h5_setup(void)
{
    static const H5L_class_t external_link = {
        .version = H5L_LINK_CLASS_T_VERS, .id = H5L_TYPE_EXTERNAL, .trav_func = follow_nowhere, .query_func = tell};
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    H5PLset_loading_state(0);
    H5Lregister(&external_link);
}

hid_t hm_h5_private_access(void)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
#if H5_VERSION_GE(1, 10, 7)
    H5Pset_file_locking(access, false, true); /* HDF5_USE_FILE_LOCKING overrides it */
#endif
    return access;
}

/* Does the file system lack locks? HDF5 asks for them by flock. */
static bool lacks_locks(const char *path)
{
    int file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    bool lacks = file >= 0 && flock(file, LOCK_SH | LOCK_NB) != 0 && errno != EWOULDBLOCK && errno != EINTR;
    if (file >= 0) close(file);
    return lacks;
}

hid_t hm_h5_reading_access(const char *path)
{
    return lacks_locks(path) ? hm_h5_private_access() : H5Pcreate(H5P_FILE_ACCESS);
}

/* ---- why an HDF5 call failed ------------------------------------------------------------------------------------ */

/* The innermost record of the stack that quotes the system, else the innermost one. */
static herr_t innermost(unsigned depth, const H5E_error2_t *record, void *state)
{
    const char **reason = state;
    const char *text = record->desc ? record->desc : "";
    if (depth == 0) *reason = text;
    const char *quoted = strstr(text, "error message = '");
    if (!quoted) return 0;
    *reason = quoted;
    return 1;
}

const char *hm_h5_reason(void)
{
    static _Thread_local char reason[200];
    const char *found = "unknown error";
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, innermost, &found);
    const char *quote = strncmp(found, "error message = '", 17) == 0 ? found + 17 : NULL;
    int length = quote ? (int)strcspn(quote, "'") : (int)strlen(found);
    snprintf(reason, sizeof reason, "%.*s", length, quote ? quote : found);
    return reason;
}

/* The errno that the stack tells, or 0. */
static herr_t find_errno(unsigned depth, const H5E_error2_t *record, void *state)
{
    (void)depth;
    const char *found = record->desc ? strstr(record->desc, "errno = ") : NULL;
    return found && sscanf(found, "errno = %d", (int *)state) == 1;
}

static int system_reason(void)
{
    int reason = 0;
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, find_errno, &reason);
    return reason;
}

/* What to do about a lock, with what parts it from the message. */
static const char *lock_advice(int reason)
{
    enum { KERNEL_ENOTSUPP = 524 };
    if (reason == EWOULDBLOCK)
        return "; another program has it open for writing and HDF5 locks it: close it there, or read it all the same "
               "with HDF5_USE_FILE_LOCKING=FALSE";
    if (reason == ENOLCK || reason == EOPNOTSUPP || reason == ENOSYS || reason == KERNEL_ENOTSUPP)
        return "; its file system has no locks: unset HDF5_USE_FILE_LOCKING, or set it to FALSE";
    return "";
}

/* A file that takes everything: of memory, sparse; where the size of files is limited, /dev/null, which takes all but
 * a change of size. */
static int open_sink(void)
{
    int sink = memfd_create("harmonium-discard", MFD_CLOEXEC);
    if (sink >= 0 && ftruncate(sink, (off_t)1 << 40) == 0) return sink;
    if (sink >= 0) close(sink);
    return open("/dev/null", O_RDWR | O_CLOEXEC);
}

void hm_h5_discard(hm_store *store)
{
    int *descriptor = NULL;
    store->broken = true;
    if (store->comm || store->file < 0) return;
    if (H5Fget_vfd_handle(store->file, H5P_DEFAULT, (void **)&descriptor) < 0) return;
    int sink = open_sink();
    if (sink < 0) return;
    dup2(sink, *descriptor);
    close(sink);
    /* A flush that failed halfway leaves the cache in a state that the next flush complains of, and mends. */
    for (int attempt = 0; attempt < 3 && H5Fflush(store->file, H5F_SCOPE_GLOBAL) < 0; attempt++) continue;
}

hm_status hm_h5_write_failed(hm_store *store, const char *name)
{
    const char *reason = hm_h5_reason(), *advice = lock_advice(system_reason());
    if (!store->broken) hm_h5_discard(store);
    if (!name) return hm_fail(HM_EOUTPUT, "%s: cannot be written: %s%s", store->path, reason, advice);
    return hm_fail(HM_EOUTPUT, "%s: %s cannot be written: %s", store->path, name, reason);
}

hm_status hm_h5_read_failed(const hm_store *store, const char *name)
{
    const char *reason = hm_h5_reason();
    int refused = system_reason();
    const char *advice = lock_advice(refused);
    if (refused != 0)
        return hm_fail_system(HM_EDATA, refused, "%s%s%s: cannot be read%s", store->path, name ? ": " : "",
                              name ? name : "", advice);
    if (!name) return hm_fail(HM_EDATA, "%s: cannot be read: %s", store->path, reason);
    return hm_fail(HM_EDATA, "%s: %s cannot be read (the file may be damaged): %s", store->path, name, reason);
}

/* ---- creating a dataset ----------------------------------------------------------------------------------------- */

enum { CHUNK_BYTES = 256 * 1024 };

/* Chunks of whole rows while a row fits, of parts of rows when it does not. */
static void chunk_shape(const hm_field *field, const hsize_t size[], bool extensible, hsize_t chunk[])
{
    hsize_t bytes = hm_field_type_size(field->type);
    for (int axis = 0; axis < field->dims; axis++) {
        bool wanted = axis == 0 && field->chunk_rows > 0;
        chunk[axis] = wanted ? (hsize_t)field->chunk_rows : size[axis];
        if (chunk[axis] > size[axis] && !extensible) chunk[axis] = size[axis];
        bytes *= chunk[axis];
    }
    for (int axis = 0; axis < field->dims; axis++)
        while (bytes > CHUNK_BYTES && chunk[axis] > 1) {
            hsize_t half = (chunk[axis] + 1) / 2;
            bytes = bytes / chunk[axis] * half;
            chunk[axis] = half;
        }
}

/* Checksums need chunks, and chunks need elements: a scalar or an empty dataset has neither. */
static hid_t creation_properties(const hm_field *field, const hsize_t size[], bool extensible)
{
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    bool empty = false;
    for (int axis = 0; axis < field->dims; axis++) empty |= size[axis] == 0 && !(axis == 0 && extensible);
    bool fine = properties >= 0;
    if (field->dims > 0 && !empty) {
        hsize_t chunk[HM_FIELD_DIMS];
        chunk_shape(field, size, extensible, chunk);
        fine = fine && H5Pset_chunk(properties, field->dims, chunk) >= 0 && H5Pset_fletcher32(properties) >= 0;
    }
    if (extensible && field->type == HM_FIELD_FLOAT64) {
        const double missing = (double)__builtin_nanf("");
        fine = fine && H5Pset_fill_value(properties, H5T_NATIVE_DOUBLE, &missing) >= 0;
    }
    if (fine) return properties;
    H5Pclose(properties);
    return -1;
}

static hid_t field_space(const hm_field *field, const int64_t shape[], bool extensible, hsize_t size[])
{
    hsize_t most[HM_FIELD_DIMS];
    for (int axis = 0; axis < field->dims; axis++) most[axis] = size[axis] = (hsize_t)shape[axis];
    if (extensible) most[0] = H5S_UNLIMITED;
    return field->dims == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(field->dims, size, most);
}

static hid_t file_type(hm_field_type type)
{
    static const hid_t *const types[] = {
        [HM_FIELD_UINT8] = &H5T_STD_U8LE_g,     [HM_FIELD_INT32] = &H5T_STD_I32LE_g,
        [HM_FIELD_INT64] = &H5T_STD_I64LE_g,    [HM_FIELD_FLOAT32] = &H5T_IEEE_F32LE_g,
        [HM_FIELD_FLOAT64] = &H5T_IEEE_F64LE_g,
    };
    return *types[type];
}

hid_t hm_h5_memory_type(hm_field_type type)
{
    static const hid_t *const types[] = {
        [HM_FIELD_UINT8] = &H5T_NATIVE_UINT8_g,    [HM_FIELD_INT32] = &H5T_NATIVE_INT32_g,
        [HM_FIELD_INT64] = &H5T_NATIVE_INT64_g,    [HM_FIELD_FLOAT32] = &H5T_NATIVE_FLOAT_g,
        [HM_FIELD_FLOAT64] = &H5T_NATIVE_DOUBLE_g,
    };
    return *types[type];
}

static hid_t create_dataset(hm_store *store, const hm_field *field, const int64_t shape[], bool extensible)
{
    hsize_t size[HM_FIELD_DIMS];
    hid_t space = field_space(field, shape, extensible, size);
    hid_t properties = creation_properties(field, size, extensible);
    hid_t links = H5Pcreate(H5P_LINK_CREATE);
    H5Pset_create_intermediate_group(links, 1);
    hid_t dataset = H5Dcreate2(store->file, field->name, file_type(field->type), space, links, properties, H5P_DEFAULT);
    if (dataset < 0) hm_h5_write_failed(store, field->name); /* before the next call clears the reason */
    H5Pclose(links);
    H5Pclose(properties);
    H5Sclose(space);
    return dataset;
}

hm_status hm_h5_dataset(hm_store *store, const hm_field *field, const int64_t shape[], bool extensible, hid_t *out)
{
    *out = -1;
    for (int axis = 0; axis < field->dims; axis++)
        HM_REQUIRE(shape[axis] >= 0, HM_EINTERNAL, "%s: %s has a negative size", store->path, field->name);
    HM_REQUIRE(!store->broken, HM_EOUTPUT, "%s: cannot be written", store->path);
    hid_t dataset = create_dataset(store, field, shape, extensible);
    if (dataset < 0) return HM_EOUTPUT;
    hm_status status = hm_h5_set_text(store, dataset, "description", field->description);
    if (status == HM_OK && field->unit) status = hm_h5_set_text(store, dataset, "units", field->unit);
    if (status == HM_OK && field->dims > 0) status = hm_h5_set_texts(store, dataset, "axes", field->dims, field->axes);
    if (status == HM_OK && store->format->scales) status = hm_h5_attach_scales(store, dataset, field, shape);
    if (status == HM_OK)
        *out = dataset;
    else
        H5Dclose(dataset);
    return status;
}
