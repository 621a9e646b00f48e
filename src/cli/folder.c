#include "cli/folder.h"

#include "core/memory.h"
#include "io/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

static const char *const run_files[] = {"model.h5",   "checkpoint.h5", "checkpoint.prev.h5",  "checkpoint.damaged.h5",
                                        "metrics.h5", "config.yaml",   "config.resolved.yaml"};
enum { RUN_FILES = sizeof run_files / sizeof run_files[0] };

hm_status hm_path_in(const char *folder, const char *name, char **out)
{
    size_t size = strlen(folder) + strlen(name) + 2;
    HM_TRY(hm_alloc(out, (int64_t)size, 1, "a path"));
    snprintf(*out, size, "%s/%s", folder, name);
    return HM_OK;
}

/* ---- the folder and those above it ------------------------------------------------------------------------------- */

/* Removes the `count` last folders of the path, as far as they are empty; keeps errno. */
static void remove_folders(const char *path, int count)
{
    char folder[PATH_MAX];
    int error = errno;
    int length = snprintf(folder, sizeof folder, "%s", path);
    for (; count > 0 && length > 0 && length < PATH_MAX && rmdir(folder) == 0; count--) {
        while (length > 0 && folder[length - 1] == '/') length--;
        while (length > 0 && folder[length - 1] != '/') length--;
        folder[length] = '\0';
    }
    errno = error;
}

/* Makes the folder, and those above it that are not there. Returns how many were made; 0, with errno, when it was there
 * or could not be made. */
static int make_folders(const char *path)
{
    char above[PATH_MAX];
    int made = mkdir(path, 0777) == 0, error = errno;
    if (made || error != ENOENT || snprintf(above, sizeof above, "%s", path) >= PATH_MAX) {
        errno = error;
        return made;
    }
    for (char *slash = *above ? strchr(above + 1, '/') : NULL; slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        made += mkdir(above, 0777) == 0;
        *slash = '/';
    }
    if (mkdir(path, 0777) == 0) return made + 1;
    if (errno == EEXIST && made > 0) return made; /* the path ends with a slash */
    remove_folders(path, made);
    return 0;
}

hm_status hm_folder_check_place(const char *path)
{
    char place[PATH_MAX];
    struct stat about;
    int length = snprintf(place, sizeof place, "%s", path);
    HM_REQUIRE(length < PATH_MAX, HM_EOUTPUT, "%s: the name is too long", path);
    while (stat(place, &about) != 0) { /* up to what is there */
        HM_REQUIRE(errno == ENOENT && length > 0, HM_EOUTPUT, "%s: cannot be made: %s", path, strerror(errno));
        while (length > 0 && place[length - 1] == '/') length--;
        while (length > 0 && place[length - 1] != '/') length--;
        snprintf(place + length, sizeof place - (size_t)length, "%s", length > 0 ? "" : ".");
    }
    HM_REQUIRE(S_ISDIR(about.st_mode), HM_EOUTPUT, "%s: not a folder", place);
    HM_REQUIRE(access(place, W_OK | X_OK) == 0, HM_EOUTPUT, "%s: cannot be written: %s", place, strerror(errno));
    return HM_OK;
}

/* ---- files ------------------------------------------------------------------------------------------------------ */

bool hm_folder_has(const hm_folder *folder, const char *name)
{
    char *path;
    if (hm_path_in(folder->path, name, &path) != HM_OK) return false;
    bool there = access(path, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR);
    free(path);
    return there;
}

/* Configurations that the program writes begin with a line that holds a digest of the rest. A config.yaml without it,
 * or one that was changed since, is the user's. */
enum { MARK = 96 };

static void config_mark(const char *yaml, char mark[MARK])
{
    snprintf(mark, MARK, "# The configuration of this run, written by harmonium train; digest %016llx\n",
             (unsigned long long)XXH3_64bits(yaml, strlen(yaml)));
}

static bool is_marked(const char *text)
{
    char mark[MARK];
    const char *end = strchr(text, '\n');
    if (!end) return false;
    config_mark(end + 1, mark);
    return strncmp(text, mark, strlen(mark)) == 0;
}

/* Is config.yaml as the program wrote it? Records no error: it is asked after failures too. */
static bool owns_config(const hm_folder *folder)
{
    enum { MOST = 1 << 20 };
    char *path, *text = calloc(1, MOST + 1);
    if (!text || hm_path_in(folder->path, "config.yaml", &path) != HM_OK) {
        free(text);
        return false;
    }
    int file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    free(path);
    bool owned = file >= 0 && read(file, text, MOST) > 0 && is_marked(text);
    if (file >= 0) close(file);
    free(text);
    return owned;
}

/* Does the folder hold this file, as one of a run? */
static bool holds(const hm_folder *folder, const char *name)
{
    return hm_folder_has(folder, name) && (strcmp(name, "config.yaml") != 0 || owns_config(folder));
}

bool hm_folder_holds_run(const hm_folder *folder)
{
    for (int file = 0; file < RUN_FILES; file++)
        if (holds(folder, run_files[file])) return true;
    return false;
}

hm_status hm_folder_check_finished(const char *path)
{
    const hm_folder run = {.path = path};
    HM_REQUIRE(hm_folder_has(&run, "model.h5") || !hm_folder_holds_run(&run), HM_EDATA,
               "%s: its training has not ended, and there is no model yet; to go on: harmonium train --resume %s", path,
               path);
    return HM_OK;
}

const char *hm_folder_config(const hm_folder *folder)
{
    return hm_folder_has(folder, "config.resolved.yaml") ? "config.resolved.yaml" : "config.yaml";
}

static hm_status remove_file(const hm_folder *folder, const char *name)
{
    char *path;
    HM_TRY(hm_path_in(folder->path, name, &path));
    bool removed = unlink(path) == 0 || errno == ENOENT;
    hm_status status = removed ? HM_OK : hm_fail(HM_EOUTPUT, "%s: cannot be removed: %s", path, strerror(errno));
    free(path);
    return status;
}

hm_status hm_folder_empty(const hm_folder *folder)
{
    for (int file = 0; file < RUN_FILES; file++)
        if (holds(folder, run_files[file])) HM_TRY(remove_file(folder, run_files[file]));
    return HM_OK;
}

void hm_folder_undo(hm_folder *folder, bool written)
{
    if (written) (void)hm_folder_empty(folder); /* the failure that is being reported comes first */
    hm_folder_close(folder);
    remove_folders(folder->path, folder->made);
}

static hm_status remove_temporaries(const hm_folder *folder)
{
    for (int file = 0; file < RUN_FILES; file++) {
        char *path;
        HM_TRY(hm_path_in(folder->path, run_files[file], &path));
        hm_temporary_sweep(path, true);
        free(path);
    }
    return HM_OK;
}

/* Closes the descriptor. */
static hm_status write_text(const char *path, int descriptor, const char *text)
{
    FILE *file = fdopen(descriptor, "wb");
    if (!file) close(descriptor);
    HM_REQUIRE(file, HM_EINTERNAL, "%s: out of memory", path);
    bool written = fputs(text, file) >= 0 && fflush(file) == 0 && fsync(fileno(file)) == 0;
    int error = errno;
    written = fclose(file) == 0 && written;
    HM_REQUIRE(written, HM_EOUTPUT, "%s: cannot be written: %s", path, strerror(error));
    return HM_OK;
}

static hm_status write_file(const hm_folder *folder, const char *name, const char *text)
{
    char *path, *temporary;
    int descriptor;
    HM_TRY(hm_path_in(folder->path, name, &path));
    hm_status status = hm_temporary_make(path, &temporary, &descriptor);
    if (status == HM_OK) {
        status = write_text(path, descriptor, text);
        if (status == HM_OK && rename(temporary, path) != 0)
            status = hm_fail(HM_EOUTPUT, "%s: cannot be written: %s", path, strerror(errno));
        if (status != HM_OK) unlink(temporary);
        free(temporary);
    }
    free(path);
    return status;
}

hm_status hm_folder_write_config(const hm_folder *folder, const char *yaml, const char **name)
{
    char *text, mark[MARK];
    size_t size = sizeof mark + strlen(yaml);
    bool free_name = !hm_folder_has(folder, "config.yaml") || owns_config(folder);
    *name = free_name ? "config.yaml" : "config.resolved.yaml";
    HM_TRY(hm_alloc(&text, (int64_t)size, 1, "a configuration"));
    config_mark(yaml, mark);
    snprintf(text, size, "%s%s", mark, yaml);
    hm_status status = write_file(folder, *name, text);
    free(text);
    return status;
}

/* ---- the lock --------------------------------------------------------------------------------------------------- */

/* What the holder wrote into .lock, without the line's end. */
static void read_holder(int lock, char *holder, size_t size)
{
    ssize_t got = pread(lock, holder, size - 1, 0);
    holder[got > 0 ? got : 0] = '\0';
    holder[strcspn(holder, "\n")] = '\0';
}

static hm_status write_holder(const hm_folder *folder, const char *path)
{
    char host[64] = "", text[128];
    gethostname(host, sizeof host - 1);
    int length = snprintf(text, sizeof text, "host %s, process %d\n", host, (int)getpid());
    HM_REQUIRE(ftruncate(folder->lock, 0) == 0 && pwrite(folder->lock, text, (size_t)length, 0) == length, HM_EOUTPUT,
               "%s: cannot be written: %s", path, strerror(errno));
    return HM_OK;
}

/* Does the name still stand for the file that is locked? The last holder may have removed it in between. */
static bool is_current(int lock, const char *path)
{
    struct stat locked, named;
    return fstat(lock, &locked) == 0 && lstat(path, &named) == 0 && locked.st_ino == named.st_ino;
}

/* A lock is a file of its own: through a link or a second name, what it is written into would be something else. */
static hm_status open_lock(const char *path, int *lock)
{
    struct stat about;
    *lock = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666);
    HM_REQUIRE(*lock >= 0 || (errno != ELOOP && errno != EISDIR && errno != ENXIO), HM_EOUTPUT,
               "%s: not a lock: it is a link, a folder or a device; remove it", path);
    HM_REQUIRE(*lock >= 0, HM_EOUTPUT, "%s: cannot be written: %s", path, strerror(errno));
    bool own = fstat(*lock, &about) == 0 && S_ISREG(about.st_mode) && about.st_nlink <= 1;
    if (own) return HM_OK;
    close(*lock);
    *lock = -1;
    return hm_fail(HM_EOUTPUT, "%s: not a lock: it is no regular file, or has a second name; remove it", path);
}

static hm_status take_lock(hm_folder *folder, const char *path, hm_log *log)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char holder[128];
    do {
        if (folder->lock >= 0) close(folder->lock);
        HM_TRY(open_lock(path, &folder->lock));
        if (fcntl(folder->lock, F_SETLK, &whole) == 0) continue;
        if (errno == EACCES || errno == EAGAIN) {
            read_holder(folder->lock, holder, sizeof holder);
            close(folder->lock); /* another's: the file stays */
            folder->lock = -1;
            return hm_fail(HM_EUSAGE,
                           "%s: another job is training into this folder (%s); wait for it, or choose another folder",
                           folder->path, holder);
        }
        log->warn(log,
                  "the file system of the output folder has no locks: see to it that no other job uses the folder");
    } while (!is_current(folder->lock, path));
    return write_holder(folder, path);
}

static hm_status lock(hm_folder *folder, hm_log *log)
{
    char *path;
    HM_TRY(hm_path_in(folder->path, ".lock", &path));
    hm_status status = take_lock(folder, path, log);
    free(path);
    return status;
}

void hm_folder_close(hm_folder *folder)
{
    if (folder->lock < 0) return;
    (void)remove_file(folder, ".lock"); /* while it is locked: whoever finds it now makes a new one */
    close(folder->lock);
    folder->lock = -1;
}

hm_status hm_folder_open(const char *path, bool make, hm_log *log, hm_folder *out)
{
    struct stat about;
    *out = (hm_folder){.path = path, .made = make ? make_folders(path) : 0, .lock = -1};
    HM_REQUIRE(out->made || !make || errno == EEXIST, HM_EOUTPUT, "%s: cannot be made: %s", path, strerror(errno));
    HM_REQUIRE(stat(path, &about) == 0, HM_EUSAGE, "%s: %s", path, strerror(errno));
    HM_REQUIRE(S_ISDIR(about.st_mode), make ? HM_EOUTPUT : HM_EUSAGE, "%s: not a folder", path);
    HM_REQUIRE(access(path, W_OK | X_OK) == 0, HM_EOUTPUT, "%s: cannot be written: %s", path, strerror(errno));
    hm_status status = lock(out, log);
    if (status == HM_OK) status = remove_temporaries(out);
    if (status == HM_OK) return HM_OK;
    hm_folder_close(out);
    remove_folders(path, out->made);
    return status;
}
