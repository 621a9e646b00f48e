#include "io/store.h"

#include "core/memory.h"
#include "io/digest.h"
#include "io/files.h"
#include "io/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

const hm_format hm_format_data = {.name = "harmonium-data", .version = 2, .noun = "data", .scales = true};
const hm_format hm_format_model = {.name = "harmonium-model", .version = 1, .noun = "model", .scales = true};
const hm_format hm_format_metrics = {.name = "harmonium-metrics", .version = 1, .noun = "metrics"};
const hm_format hm_format_checkpoint = {
    .name = "harmonium-checkpoint", .version = 1, .noun = "checkpoint", .sealed = true};

static const hm_format *const formats[] = {&hm_format_data, &hm_format_model, &hm_format_metrics,
                                           &hm_format_checkpoint};
enum { FORMATS = sizeof formats / sizeof formats[0] };

/* ---- the struct ------------------------------------------------------------------------------------------------- */

static void store_free(hm_store *store)
{
    if (!store) return;
    if (store->claim >= 0) close(store->claim);
    free(store->path);
    free(store->temporary);
    free(store->previous);
    free(store);
}

/* A store without a file yet; `writable` gives it an empty temporary one. */
static hm_status store_new(const char *path, const hm_format *format, bool writable, hm_store **out)
{
    *out = NULL;
    hm_h5_setup();
    hm_store *store;
    HM_TRY(hm_alloc(&store, 1, sizeof *store, "a file's handle"));
    *store = (hm_store){.path = strdup(path), .claim = -1, .file = -1, .format = format, .writable = writable};
    hm_status status = store->path ? HM_OK : hm_fail(HM_EINTERNAL, "%s: out of memory", path);
    if (status == HM_OK && writable) status = hm_temporary_make(path, &store->temporary, &store->claim);
    if (status == HM_OK)
        *out = store;
    else
        store_free(store);
    return status;
}

const char *hm_store_path(const hm_store *store) { return store->path; }

/* ---- opening ---------------------------------------------------------------------------------------------------- */

/* Finds out the format of a file that may have any. */
static hm_status find_format(hm_store *store, const char *name)
{
    for (int at = 0; name && at < FORMATS; at++)
        if (strcmp(formats[at]->name, name) == 0) store->format = formats[at];
    HM_REQUIRE(store->format, HM_EDATA, "%s: not a Harmonium file (HDF5, but without a known attribute format)",
               store->path);
    return HM_OK;
}

static hm_status check_name(hm_store *store, const char *name)
{
    if (!store->format) return find_format(store, name);
    if (name && strcmp(name, store->format->name) == 0) return HM_OK;
    if (name && strncmp(name, "harmonium-", 10) == 0)
        return hm_fail(HM_EDATA, "%s: not a Harmonium %s file but a %s file", store->path, store->format->noun,
                       name + 10);
    return hm_fail(HM_EDATA, "%s: not a Harmonium %s file (HDF5, but without the attribute format = '%s')", store->path,
                   store->format->noun, store->format->name);
}

static hm_status check_format(hm_store *store)
{
    char *name = hm_h5_text_or_null(store->file, "format");
    hm_status status = check_name(store, name);
    free(name);
    HM_TRY(status);
    int64_t version;
    HM_TRY(hm_store_get_int(store, "/", "format_version", &version));
    HM_REQUIRE(version >= 1 && version <= store->format->version, HM_EDATA,
               "%s: %s has version %lld; this program reads up to version %lld: update Harmonium", store->path,
               store->format->name, (long long)version, (long long)store->format->version);
    return HM_OK;
}

/* What is sealed and as it was sealed needs no digest; what should be sealed and is not needs one. */
static hm_status check_content(hm_store *store, bool sealed)
{
    hm_store_digest found;
    if (sealed) return HM_OK;
    HM_TRY(hm_store_check_digest(store, &found));
    HM_REQUIRE(found != HM_DIGEST_NONE || !store->format->sealed, HM_EDATA,
               "%s: damaged: it has neither seal nor digest (cut short, or changed since it was written)", store->path);
    HM_REQUIRE(found != HM_DIGEST_DIFFERS, HM_EDATA,
               "%s: damaged, or changed by another program: what it holds does not have its digest; if the change is "
               "meant, remove the attribute `digest` of the root (in h5py: del f.attrs['digest'])",
               store->path);
    return HM_OK;
}

static hm_status open_readable(hm_store *store, bool swmr)
{
    struct stat about;
    bool sealed, any = !store->format;
    if (stat(store->path, &about) != 0 || access(store->path, R_OK) != 0)
        return hm_fail_system(HM_EDATA, errno, "%s", store->path);
    HM_REQUIRE(S_ISREG(about.st_mode), HM_EDATA, "%s: not a file", store->path);
    htri_t hdf5 = H5Fis_hdf5(store->path);
    if (hdf5 < 0) return hm_h5_read_failed(store, NULL); /* it could not be opened, for now */
    HM_REQUIRE(hdf5 > 0, HM_EDATA, "%s: not a Harmonium %s%sfile (not HDF5, or cut short)", store->path,
               store->format ? store->format->noun : "", store->format ? " " : "");
    HM_TRY(hm_seal_check(store->path, &sealed));
    hid_t access = hm_h5_reading_access(store->path);
    store->file = H5Fopen(store->path, H5F_ACC_RDONLY, access);
    if (store->file < 0 && swmr) store->file = H5Fopen(store->path, H5F_ACC_RDONLY | H5F_ACC_SWMR_READ, access);
    hm_status status = store->file < 0 ? hm_h5_read_failed(store, NULL) : HM_OK;
    H5Pclose(access);
    if (status != HM_OK && !any && store->format->sealed && !sealed && hm_error_reason() == 0)
        return hm_fail_at(status, "damaged, without the seal that ends it: ");
    HM_TRY(status);
    HM_TRY(check_format(store));
    return any ? HM_OK : check_content(store, sealed);
}

hm_status hm_h5_open(const char *path, const hm_format *format, bool swmr, hm_store **out)
{
    HM_TRY(store_new(path, format, false, out));
    hm_h5_guard_begin(path);
    hm_status status = open_readable(*out, swmr);
    hm_h5_guard_end();
    if (status == HM_OK) return HM_OK;
    hm_store_close(*out);
    *out = NULL;
    return status;
}

hm_status hm_store_open(const char *path, const hm_format *format, hm_store **out)
{
    return hm_h5_open(path, format, false, out);
}

hm_status hm_store_open_any(const char *path, const hm_format **format, hm_store **out)
{
    HM_TRY(hm_h5_open(path, NULL, true, out));
    *format = (*out)->format;
    return HM_OK;
}

/* ---- creating --------------------------------------------------------------------------------------------------- */

static hm_status write_format(hm_store *store)
{
    char now[32];
    time_t seconds = time(NULL);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%SZ", &utc);
    HM_TRY(hm_store_set_text(store, "/", "format", store->format->name));
    HM_TRY(hm_store_set_int(store, "/", "format_version", store->format->version));
    HM_TRY(hm_store_set_text(store, "/", "library_version", HARMONIUM_VERSION));
    return hm_store_set_text(store, "/", "created", now);
}

/* Is the file that HDF5 opened by name the one that was made? */
static hm_status check_own(hm_store *store)
{
    int *opened = NULL;
    struct stat made, found;
    bool own = H5Fget_vfd_handle(store->file, H5P_DEFAULT, (void **)&opened) >= 0 && fstat(*opened, &found) == 0 &&
               fstat(store->claim, &made) == 0 && made.st_dev == found.st_dev && made.st_ino == found.st_ino;
    HM_REQUIRE(own, HM_EOUTPUT, "%s: cannot be written: somebody replaced its temporary file", store->path);
    return HM_OK;
}

static hm_status create_file(hm_store *store, bool swmr)
{
    hid_t access = hm_h5_private_access();
    if (swmr) H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
    store->file = H5Fcreate(store->temporary, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    hm_status status = store->file < 0 ? hm_h5_write_failed(store, NULL) : check_own(store);
    H5Pclose(access);
    return status == HM_OK ? write_format(store) : status;
}

hm_status hm_h5_create(const char *path, const hm_format *format, bool swmr, hm_store **out)
{
    HM_TRY(store_new(path, format, true, out));
    hm_status status = create_file(*out, swmr);
    if (status == HM_OK) return HM_OK;
    hm_store_close(*out);
    *out = NULL;
    return status;
}

hm_status hm_store_create(const char *path, const hm_format *format, hm_store **out)
{
    return hm_h5_create(path, format, false, out);
}

static hm_status copy_bytes(const hm_store *store, int from, int to)
{
    char *buffer;
    enum { BUFFER = 1 << 20 };
    HM_TRY(hm_alloc(&buffer, BUFFER, 1, "a copy buffer"));
    hm_status status = HM_OK;
    ssize_t got = 0;
    while (status == HM_OK && (got = read(from, buffer, BUFFER)) > 0)
        for (ssize_t done = 0; status == HM_OK && done < got;) {
            ssize_t put = write(to, buffer + done, (size_t)(got - done));
            if (put > 0)
                done += put;
            else
                status = hm_fail(HM_EOUTPUT, "%s: cannot be written: %s", store->path, strerror(errno));
        }
    if (got < 0) status = hm_fail(HM_EDATA, "%s: cannot be read: %s", store->path, strerror(errno));
    free(buffer);
    return status;
}

static hm_status copy_to_temporary(const hm_store *store)
{
    int from;
    HM_TRY(hm_file_open(store->path, HM_EDATA, &from));
    hm_status status = copy_bytes(store, from, store->claim);
    close(from);
    return status;
}

static hm_status open_copy(hm_store *store)
{
    hid_t access = hm_h5_private_access();
    store->file = H5Fopen(store->temporary, H5F_ACC_RDWR, access);
    hm_status status = store->file < 0 ? hm_h5_write_failed(store, NULL) : check_own(store);
    H5Pclose(access);
    return status;
}

hm_status hm_store_update(const char *path, const hm_format *format, hm_store **out)
{
    *out = NULL;
    hm_store *old;
    HM_TRY(hm_store_open(path, format, &old)); /* refuses what is not ours before copying it */
    hm_store_close(old);
    HM_TRY(store_new(path, format, true, out));
    (*out)->changed = true;
    hm_status status = copy_to_temporary(*out);
    if (status == HM_OK) status = open_copy(*out);
    if (status == HM_OK) return HM_OK;
    hm_store_close(*out);
    *out = NULL;
    return status;
}

/* ---- commit ----------------------------------------------------------------------------------------------------- */

hm_status hm_h5_keep_previous(hm_store *store, const char *previous)
{
    free(store->previous);
    store->previous = strdup(previous);
    HM_REQUIRE(store->previous, HM_EINTERNAL, "%s: out of memory", store->path);
    return HM_OK;
}

static int sync_file(const char *path)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return -1;
    int result = fsync(descriptor);
    int reason = errno;
    close(descriptor);
    errno = reason;
    return result;
}

hm_status hm_h5_sync(const hm_store *store)
{
    HM_REQUIRE(sync_file(store->path) == 0, HM_EOUTPUT, "%s: cannot be synced: %s", store->path, strerror(errno));
    return HM_OK;
}

/* The rename lasts only when the folder is synced; some file systems cannot (EINVAL), which is theirs to answer for. */
static int sync_folder_of(const char *path)
{
    char *copy = strdup(path);
    if (!copy) return -1;
    int result = sync_file(dirname(copy));
    free(copy);
    return result != 0 && errno != EINVAL ? -1 : 0;
}

/* A second name for the file to be replaced, so that at every moment a whole file stands under `path`; where the file
 * system has no hard links, a rename. */
static int keep_previous(const hm_store *store)
{
    if (!store->previous) return 0;
    if (access(store->path, F_OK) != 0) return errno == ENOENT ? 0 : -1;
    unlink(store->previous);
    if (link(store->path, store->previous) == 0) return 0;
    return rename(store->path, store->previous);
}

hm_status hm_h5_publish(hm_store *store)
{
    if (store->format->sealed) HM_TRY(hm_seal_add(store->temporary, store->path));
    HM_REQUIRE(sync_file(store->temporary) == 0 && keep_previous(store) == 0 &&
                   rename(store->temporary, store->path) == 0,
               HM_EOUTPUT, "%s: cannot be written: %s", store->path, strerror(errno));
    free(store->temporary);
    store->temporary = NULL; /* nothing left to remove */
    hm_temporary_unlock(store->claim);
    HM_REQUIRE(sync_folder_of(store->path) == 0, HM_EOUTPUT, "%s: the folder cannot be synced: %s", store->path,
               strerror(errno));
    return HM_OK;
}

/* Everything to the system, and closed. HDF5 reports a full disk here at the latest. */
static hm_status flush_and_close(hm_store *store)
{
    HM_REQUIRE(!store->broken, HM_EOUTPUT, "%s: cannot be written", store->path);
    if (H5Fflush(store->file, H5F_SCOPE_GLOBAL) < 0) return hm_h5_write_failed(store, NULL);
    hid_t file = store->file;
    store->file = -1;
    if (H5Fclose(file) < 0) return hm_h5_write_failed(store, NULL);
    return HM_OK;
}

/* A digest for a file that all ranks have written and closed; its room was taken when the file was created. */
static hm_status write_shared_digest(hm_store *store)
{
    hid_t access = hm_h5_private_access();
    store->file = H5Fopen(store->temporary, H5F_ACC_RDWR, access);
    H5Pclose(access);
    if (store->file < 0) return hm_h5_write_failed(store, NULL);
    HM_TRY(hm_digest_write(store));
    return flush_and_close(store);
}

static hm_status publish_shared(hm_store *store)
{
    HM_TRY(write_shared_digest(store));
    return hm_h5_publish(store);
}

hm_status hm_store_commit(hm_store *store)
{
    HM_REQUIRE(store->writable, HM_EINTERNAL, "%s: opened for reading, cannot be committed", store->path);
    HM_REQUIRE(!store->broken, HM_EOUTPUT, "%s: cannot be written", store->path);
    hm_comm *comm = store->comm;
    if (!comm) {
        HM_TRY(hm_digest_write(store));
        HM_TRY(flush_and_close(store));
        return hm_h5_publish(store);
    }
    HM_TRY(comm->agree(comm, flush_and_close(store)));
    return comm->agree(comm, comm->rank == 0 ? publish_shared(store) : HM_OK);
}

void hm_store_close(hm_store *store)
{
    if (!store) return;
    if (store->comm && store->comm->lost) store->file = -1; /* closing it would wait for a rank that does not answer */
    if (store->file >= 0) {
        if (store->writable && !store->broken && H5Fflush(store->file, H5F_SCOPE_GLOBAL) < 0) hm_h5_discard(store);
        H5Fclose(store->file);
    }
    if (store->temporary && (!store->comm || store->comm->rank == 0)) unlink(store->temporary);
    store_free(store);
}
