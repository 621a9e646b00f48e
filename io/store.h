/* The store: HDF5 files that are whole or not there.
 *
 * A file is written under a temporary name in its own folder (files.h), flushed, synced and renamed over its final
 * name by hm_store_commit; hm_store_close without a commit leaves nothing behind and the old file as it was. Every file
 * carries the root attributes `format`, `format_version`, `library_version`, `created`; a file with another format is
 * refused. Datasets are declared by fields (fields.h) and carry a Fletcher32 checksum when they are larger than a
 * scalar.
 *
 * Errors: HM_EDATA when a file cannot be read or is not what was declared, HM_EOUTPUT when it cannot be written; the
 * message names the file, the dataset and what the system said. Files are not trusted: types, ranks and sizes are
 * checked before anything is allocated. One thread at a time may use HDF5.
 *
 *     hm_store *store;
 *     HM_TRY(hm_store_create(path, &my_format, &store));
 *     hm_status status = write_things(store);
 *     if (status == HM_OK) status = hm_store_commit(store);
 *     hm_store_close(store);
 *
 * "Collective" below is said of shared stores (hm_store_share); of any other store nothing is collective.
 */
#ifndef HM_STORE_H
#define HM_STORE_H

#include "core/comm.h"
#include "core/status.h"
#include "io/fields.h"

#include <mpi.h>
#include <stdbool.h>

typedef struct hm_format {
    const char *name; /* root attribute `format`: "harmonium-data" */
    int64_t version;  /* root attribute `format_version`: the one written, and the newest that can be read */
    const char *noun; /* for messages: "data", as in "not a Harmonium data file" */
    bool sealed;      /* ends with a digest of all of it, which is checked before anything is read (seal.h) */
    bool scales;      /* its axes are HDF5 dimension scales too (scales.c) */
} hm_format;

extern const hm_format hm_format_data, hm_format_model, hm_format_metrics, hm_format_checkpoint;

typedef struct hm_store hm_store;

/* ---- files ------------------------------------------------------------------------------------------------------ */

/* A new file, to be renamed to `path` by commit. An existing file at `path` stays until then. HM_EOUTPUT. */
hm_status hm_store_create(const char *path, const hm_format *format, hm_store **out);

/* A changeable copy of an existing file, to be renamed over it by commit. HM_EDATA, HM_EOUTPUT. */
hm_status hm_store_update(const char *path, const hm_format *format, hm_store **out);

/* An existing file, for reading. HM_EDATA, "not a Harmonium ... file" among others, or when the digest of what it holds
 * is another than the one stored in it (digest.h); a file without a digest passes. */
hm_status hm_store_open(const char *path, const hm_format *format, hm_store **out);

/* An existing file of whichever format, for reading; also one of metrics that is still being written, and one with
 * another digest. HM_EDATA, "not a Harmonium file" among others. */
hm_status hm_store_open_any(const char *path, const hm_format **format, hm_store **out);

/* Has the file a digest of what it holds, and does it hold that? Rows of data files have digests of their own, which
 * are not looked at (row_digests.h). HM_EDATA when it cannot be read. Not collective. */
typedef enum hm_store_digest { HM_DIGEST_NONE, HM_DIGEST_MATCHES, HM_DIGEST_DIFFERS } hm_store_digest;
hm_status hm_store_check_digest(hm_store *store, hm_store_digest *found);

/* Gives an uncommitted store of rank 0 to all ranks of mpi (the ranks of comm, in the same order): from here on they
 * write it together through MPI-IO, into datasets that rank 0 has reserved (hm_array_reserve). Neither HDF5 nor MPI-IO
 * survives a full disk in a parallel write (they hang, or crash in MPI_Finalize), so a shared file never grows: rank 0
 * has taken all the room before. store: rank 0's, or NULL where an earlier step failed on rank 0; others give NULL.
 * On failure nothing is left and *store is NULL, on every rank. Collective. */
hm_status hm_store_share(hm_store **store, hm_comm *comm, MPI_Comm mpi);

/* Makes what was written the file of that name: flush, sync, rename, sync of the folder. The store must still be
 * closed. A store opened for reading cannot be committed. HM_EOUTPUT. Collective. */
hm_status hm_store_commit(hm_store *store);

/* Closes and frees; removes the temporary file of a store that was not committed. NULL is allowed. Collective. */
void hm_store_close(hm_store *store);

/* What ends the program, with this message, when HDF5 does not return from a request within 10 s of processor time, as
 * on some damaged files (guard.c). Without it nobody looks. Called from a thread of its own. */
void hm_store_on_hang(void (*end_program)(const char *message));

/* The final name, for messages. */
const char *hm_store_path(const hm_store *store);

/* ---- what is in a file ------------------------------------------------------------------------------------------ */

/* Is there a group or dataset of that path? */
bool hm_store_has(const hm_store *store, const char *name);

/* Type and size of a dataset. HM_EDATA when there is none, or it is of a kind that Harmonium never writes. */
hm_status hm_store_shape(hm_store *store, const char *name, hm_shape *out);

/* Calls `visit` for every dataset but bare dimension scales, in the order of names; `description` and `unit` are ""
 * where there is none. A failure ends the walk and is returned. External links are not followed. */
typedef hm_status (*hm_store_visitor)(void *state, const char *name, const hm_shape *shape, const char *description,
                                      const char *unit);
hm_status hm_store_visit(hm_store *store, hm_store_visitor visit, void *state);

/* ---- attributes ------------------------------------------------------------------------------------------------- */

/* Of the group or dataset `object` ("/" is the root). `set` replaces one that exists, and makes a group that does not.
 * Not for shared stores. */
hm_status hm_store_set_int(hm_store *store, const char *object, const char *name, int64_t value);
hm_status hm_store_set_seed(hm_store *store, const char *object, const char *name, uint64_t value);
hm_status hm_store_set_real(hm_store *store, const char *object, const char *name, double value);
hm_status hm_store_set_text(hm_store *store, const char *object, const char *name, const char *value);

/* If there. Not for shared stores. */
hm_status hm_store_remove_attribute(hm_store *store, const char *object, const char *name);

bool hm_store_has_attribute(const hm_store *store, const char *object, const char *name);

/* HM_EDATA when there is none, or it is not a single integer / number / text (at most 16 MiB). The caller frees *text.
 */
hm_status hm_store_get_int(hm_store *store, const char *object, const char *name, int64_t *value);
hm_status hm_store_get_seed(hm_store *store, const char *object, const char *name, uint64_t *value);
hm_status hm_store_get_real(hm_store *store, const char *object, const char *name, double *value);
hm_status hm_store_get_text(hm_store *store, const char *object, const char *name, char **text);

/* ---- whole datasets --------------------------------------------------------------------------------------------- */

/* Creates the dataset and writes it. shape: (dims), NULL for a scalar. Sizes may be 0. Not for shared stores. */
hm_status hm_store_write(hm_store *store, const hm_field *field, const int64_t shape[], const void *data);

/* Is there a dataset that hm_store_read would read? HM_EDATA. Not collective. */
hm_status hm_store_check(hm_store *store, const hm_field *field, const int64_t shape[]);

/* Reads a dataset that must have the declared type class, rank and exactly this shape (NULL for a scalar) into `out`,
 * in the declared type. HM_EDATA. Not collective. */
hm_status hm_store_read(hm_store *store, const hm_field *field, const int64_t shape[], void *out);

/* Removes a group or dataset, if there. Not for shared stores. */
hm_status hm_store_remove(hm_store *store, const char *name);

/* ---- rows of a large dataset ------------------------------------------------------------------------------------ */

/* An open dataset whose rows (first axis) are written or read in pieces. */
typedef struct hm_array hm_array;

/* Creates the dataset `field` of the given shape; rows not written stay 0. Not for shared stores. */
hm_status hm_array_create(hm_store *store, const hm_field *field, const int64_t shape[], hm_array **out);

/* Creates it with all its room taken on the disk, for hm_array_open in the shared store. */
hm_status hm_array_reserve(hm_store *store, const hm_field *field, const int64_t shape[]);

/* Opens a dataset after checking type class and rank against the field; sizes are then in hm_array_shape. The element
 * type in memory is the field's (HDF5 converts). HM_EDATA. */
hm_status hm_array_open(hm_store *store, const hm_field *field, hm_array **out);

const hm_shape *hm_array_shape(const hm_array *array);

/* Rows [begin, begin + count) from `data`, dense. Collective: every rank gives its own rows (count may be 0), which do
 * not overlap. */
hm_status hm_array_write_rows(hm_array *array, int64_t begin, int64_t count, const void *data);

/* The same into `out`. Not collective. HM_EDATA also when the checksum does not hold. */
hm_status hm_array_read_rows(hm_array *array, int64_t begin, int64_t count, void *out);

/* Before its store. NULL is allowed. Collective. */
void hm_array_close(hm_array *array);

#endif
