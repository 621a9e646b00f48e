/* A folder of a test's own, and how much may be written into a file. */
#ifndef SCRATCH_FOLDER_H
#define SCRATCH_FOLDER_H

#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

typedef struct scratch_folder {
    char path[64];
} scratch_folder;

static inline bool scratch_make(scratch_folder *folder)
{
    *folder = (scratch_folder){.path = "/tmp/harmonium-test-XXXXXX"};
    return mkdtemp(folder->path) != NULL;
}

/* FOLDER/name, in one of four static buffers that are used in turn. */
static inline const char *scratch_path(const scratch_folder *folder, const char *name)
{
    static char paths[4][512];
    static int turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder->path, name);
    return path;
}

/* The number of files in it; `remove` deletes them. */
static inline int scratch_count(scratch_folder *folder, bool remove)
{
    int count = 0;
    DIR *open = opendir(folder->path);
    if (!open) return -1;
    for (struct dirent *entry; (entry = readdir(open));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        count++;
        if (remove) unlink(scratch_path(folder, entry->d_name));
    }
    closedir(open);
    return count;
}

static inline void scratch_remove(scratch_folder *folder)
{
    scratch_count(folder, true);
    rmdir(folder->path);
}

/* A disk that is full after `bytes` bytes of a file: writing further fails with EFBIG. */
static inline void disk_limit(long bytes)
{
    struct rlimit limit;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = (rlim_t)bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
}

static inline void disk_unlimited(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_FSIZE, &limit);
}

/* HDF5 1.10 itself loses a small block when a write or a read fails; read by the leak sanitizer. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libhdf5"; }

#endif
