/* What the files of io/ that call HDF5 share. Internal: include it from io/ .c files only. */
#ifndef HM_H5_H
#define HM_H5_H

#include "io/store.h"

#include <hdf5.h>

struct hm_store {
    char *path;      /* the final name */
    char *temporary; /* the name it is written under; NULL when only read, or already renamed */
    char *previous;  /* the name that the file being replaced gets; NULL: none (hm_h5_keep_previous) */
    int claim;       /* descriptor that locks the temporary file (files.h); -1 when there is none */
    hid_t file;
    const hm_format *format;
    bool writable;
    bool changed;  /* an existing file that is being added to (hm_store_update) */
    bool broken;   /* a write failed: nothing more reaches the disk (hm_h5_discard) */
    hm_comm *comm; /* of a shared store; NULL for others */
};

struct hm_array {
    hm_store *store;
    char *name;
    hid_t dataset, memory_type;
    hm_shape shape;
};

/* Before anything else is asked of HDF5; as often as one likes. Turns its own printing of errors off, and makes it deaf
 * to files that nobody vouches for: no plugin is loaded for a filter that it does not know, and no external link is
 * followed. */
void hm_h5_setup(void);

/* Why the last HDF5 call failed, in the words of the system ("No space left on device") or of HDF5. Static buffer of
 * the thread. */
const char *hm_h5_reason(void);

/* Records what could not be done after an HDF5 call failed. `name`: the dataset or attribute, or NULL for the file.
 * A failed write ends with hm_h5_discard. */
hm_status hm_h5_write_failed(hm_store *store, const char *name);
hm_status hm_h5_read_failed(const hm_store *store, const char *name);

/* Around a request to HDF5 that reads a file: the process ends with a message and exit code 3 when the request has
 * taken 10 s of processor time, for on some damaged files HDF5 never returns (guard.c). Requests may hold others, each
 * of which begins the time anew. `path` must last until the end. */
void hm_h5_guard_begin(const char *path);
void hm_h5_guard_end(void);

/* Nothing more of this store reaches the disk.
 *
 * After a failed write HDF5 must not write again: H5Fclose would fail halfway and leave an identifier that crashes the
 * program when the library is shut down (HDF5 1.10, in MPI_Finalize). So the file's descriptor is pointed at a sink,
 * where closing succeeds; hm_store_close removes the temporary file. A shared file is left as it is: it never grows. */
void hm_h5_discard(hm_store *store);

/* Access to a temporary file, which no other program opens: without HDF5's own locks, which some file systems lack. The
 * caller closes it. */
hid_t hm_h5_private_access(void);

/* Access to a file for reading: with HDF5's own lock, which keeps away from a file that another program is writing,
 * where the file system has such locks. The caller closes it. */
hid_t hm_h5_reading_access(const char *path);

/* A new store; `swmr`: in the newest file format, as the single-writer mode needs. */
hm_status hm_h5_create(const char *path, const hm_format *format, bool swmr, hm_store **out);

/* A store for reading; with `swmr` also of a file that is being written, or that its writer left open when it died. */
hm_status hm_h5_open(const char *path, const hm_format *format, bool swmr, hm_store **out);

/* Has commit keep the file that it replaces, under this name. */
hm_status hm_h5_keep_previous(hm_store *store, const char *previous);

/* The file, under its final name, onto the disk. HM_EOUTPUT. */
hm_status hm_h5_sync(const hm_store *store);

/* Sync, rename to the final name, sync of the folder; the file may still be open. */
hm_status hm_h5_publish(hm_store *store);

/* Calls `visit` for the object `root` and for every group and dataset below it, in the order of names; links that lead
 * elsewhere are not followed. A failure ends the walk and is returned. HM_EDATA also for a file that is nested deeper,
 * or holds more, than anything that Harmonium writes (walk.c). */
typedef hm_status (*hm_h5_visitor)(void *state, const char *name, hid_t object);
hm_status hm_h5_walk(hm_store *store, const char *root, hm_h5_visitor visit, void *state);

/* Is an open dataset one that may be read: of numbers, stored in this file, not larger than it can be? *shape: its own.
 * HM_EDATA. */
hm_status hm_h5_check_dataset(const hm_store *store, const char *name, hid_t dataset, hm_shape *shape);

/* The HDF5 type of elements in memory; a predefined one, not to be closed. */
hid_t hm_h5_memory_type(hm_field_type type);

/* Creates the dataset of a field with its attributes; `extensible` by rows (filled with NaN when float64), or of this
 * shape for good. */
hm_status hm_h5_dataset(hm_store *store, const hm_field *field, const int64_t shape[], bool extensible, hid_t *out);

/* The axes of a dataset as dimension scales (scales.c). */
hm_status hm_h5_attach_scales(hm_store *store, hid_t dataset, const hm_field *field, const int64_t shape[]);

/* Before a dataset is removed: its scales forget it, and go with their last dataset. */
void hm_h5_detach_scales(hid_t dataset);

/* Is it there only to give an axis its name and length? */
bool hm_h5_is_bare_scale(hid_t dataset);

/* The text of an attribute, if it is one: owned by the caller, else NULL. */
char *hm_h5_text_or_null(hid_t object, const char *name);

/* Attributes of an open object. */
hm_status hm_h5_set_text(hm_store *store, hid_t object, const char *name, const char *value);
hm_status hm_h5_set_texts(hm_store *store, hid_t object, const char *name, int count, const char *const values[]);

#endif
