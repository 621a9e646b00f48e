#define _GNU_SOURCE /* F_OFD_SETLK */
#include "io/files.h"

#include "core/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- reading ---------------------------------------------------------------------------------------------------- */

/* What a name stands for that is no regular file. */
static const char *kind_of(mode_t mode)
{
    static const struct {
        mode_t type;
        const char *name;
    } kinds[] = {{S_IFDIR, "a folder"},
                 {S_IFIFO, "a named pipe"},
                 {S_IFCHR, "a device"},
                 {S_IFBLK, "a device"},
                 {S_IFSOCK, "a socket"}};
    for (size_t kind = 0; kind < sizeof kinds / sizeof kinds[0]; kind++)
        if ((mode & S_IFMT) == kinds[kind].type) return kinds[kind].name;
    return "something else";
}

hm_status hm_file_open(const char *path, hm_status refusal, int *descriptor)
{
    struct stat about;
    int file = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC); /* a pipe without a writer opens at once */
    HM_REQUIRE(file >= 0, refusal, "%s: cannot be read: %s", path, strerror(errno));
    bool regular = fstat(file, &about) == 0 && S_ISREG(about.st_mode);
    *descriptor = regular ? file : -1;
    if (!regular) close(file);
    HM_REQUIRE(regular, refusal, "%s: cannot be read: it is not a file but %s", path, kind_of(about.st_mode));
    return HM_OK;
}

hm_status hm_file_stream(const char *path, hm_status refusal, FILE **out)
{
    int file;
    *out = NULL;
    HM_TRY(hm_file_open(path, refusal, &file));
    *out = fdopen(file, "rb");
    if (*out) return HM_OK;
    close(file);
    return hm_fail(HM_EINTERNAL, "%s: out of memory", path);
}

bool hm_file_same(const char *one, const char *other)
{
    struct stat first, second;
    return stat(one, &first) == 0 && stat(other, &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

hm_status hm_file_check_output(const char *path, const char *kind, bool ours(const char *path))
{
    struct stat about;
    if (stat(path, &about) != 0) return HM_OK; /* writing will say what is wrong */
    HM_REQUIRE(S_ISREG(about.st_mode), HM_EUSAGE, "%s: is not a file but %s; choose another name", path,
               kind_of(about.st_mode));
    HM_REQUIRE(ours(path), HM_EUSAGE,
               "%s: exists and is not a %s, so it is not replaced; remove it, or choose another name", path, kind);
    return HM_OK;
}

/* ---- temporary files -------------------------------------------------------------------------------------------- */

enum { DIGITS = 16, SECONDS_OF_A_DAY = 86400 };

typedef enum lock_answer { LOCKED, TAKEN, NO_LOCKS } lock_answer;

/* A lock of the open file, not of the process: closing another descriptor of the file does not drop it. */
static lock_answer set_lock(int file, short type, bool wait)
{
#ifdef F_OFD_SETLK
    struct flock whole = {.l_type = type, .l_whence = SEEK_SET};
    int result;
    do result = fcntl(file, wait ? F_OFD_SETLKW : F_OFD_SETLK, &whole);
    while (result != 0 && wait && errno == EINTR);
    if (result == 0) return LOCKED;
    return errno == EAGAIN || errno == EACCES ? TAKEN : NO_LOCKS;
#else
    (void)file, (void)type, (void)wait;
    return NO_LOCKS;
#endif
}

void hm_temporary_unlock(int descriptor)
{
    if (descriptor >= 0) (void)set_lock(descriptor, F_UNLCK, false);
}

/* Is `entry` a temporary file of `name`? */
static bool is_temporary(const char *entry, const char *name, bool owned)
{
    size_t length = strlen(name);
    if (strncmp(entry, name, length) != 0 || strncmp(entry + length, ".tmp", 4) != 0) return false;
    const char *rest = entry + length + 4;
    if (*rest == 0) return owned;
    size_t digits = strspn(rest + 1, "0123456789abcdef");
    return *rest == '.' && rest[1 + digits] == 0 && (owned ? digits > 0 : digits == DIGITS);
}

/* Removes the entry of a folder unless its writer is alive. Whatever goes wrong, the file stays. */
static void remove_dead(int folder, const char *entry, bool owned)
{
    struct stat about;
    int file = openat(folder, entry, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file < 0) return;
    if (fstat(file, &about) == 0 && S_ISREG(about.st_mode)) {
        lock_answer answer = set_lock(file, F_WRLCK, false);
        bool old = owned || time(NULL) - about.st_mtime > SECONDS_OF_A_DAY;
        if (answer == LOCKED || (answer == NO_LOCKS && old)) unlinkat(folder, entry, 0);
    }
    close(file);
}

void hm_temporary_sweep(const char *path, bool owned)
{
    char *copy = strdup(path), *again = strdup(path);
    DIR *entries = copy ? opendir(dirname(copy)) : NULL;
    const char *name = again ? basename(again) : NULL;
    for (struct dirent *entry; entries && name && (entry = readdir(entries));)
        if (is_temporary(entry->d_name, name, owned)) remove_dead(dirfd(entries), entry->d_name, owned);
    if (entries) closedir(entries);
    free(copy);
    free(again);
}

static uint64_t random_number(void)
{
    uint64_t number = 0;
    if (getentropy(&number, sizeof number) != 0) number = (uint64_t)time(NULL) << 32 ^ (uint64_t)getpid();
    return number;
}

/* Locked, and still there: somebody who swept between making and locking may have taken it for a dead one. */
static bool claim(int file)
{
    struct stat about;
    return set_lock(file, F_WRLCK, false) != TAKEN && fstat(file, &about) == 0 && about.st_nlink > 0;
}

/* The names that were made last. Each is made once only, so that the name of a file which has been renamed or removed
 * since then stands for nothing. */
enum { REMEMBERED = 8 };
static char *_Atomic remembered[REMEMBERED];

static void remember(const char *name)
{
    static int at;
    free(atomic_exchange(&remembered[at], strdup(name)));
    at = (at + 1) % REMEMBERED;
}

static char *_Atomic turn; /* the file of the turn that this process has */

void hm_temporary_remove_all(void)
{
    const char *held = atomic_load(&turn);
    if (held) unlink(held);
    for (int at = 0; at < REMEMBERED; at++) {
        const char *name = atomic_load(&remembered[at]);
        if (name) unlink(name);
    }
}

hm_status hm_temporary_make(const char *path, char **name, int *descriptor)
{
    enum { ATTEMPTS = 100 };
    size_t room = strlen(path) + sizeof ".tmp." + DIGITS;
    *descriptor = -1;
    hm_temporary_sweep(path, false);
    HM_TRY(hm_alloc(name, (int64_t)room, 1, "a file's name"));
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        snprintf(*name, room, "%s.tmp.%016llx", path, (unsigned long long)random_number());
        int file = open(*name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (file < 0 && errno != EEXIST) break;
        if (file >= 0 && claim(file)) {
            *descriptor = file;
            remember(*name);
            return HM_OK;
        }
        if (file >= 0) close(file);
    }
    hm_status status = hm_fail(HM_EOUTPUT, "%s: cannot be written: %s", path, strerror(errno));
    free(*name);
    *name = NULL;
    return status;
}

/* ---- turns ------------------------------------------------------------------------------------------------------ */

hm_status hm_file_take_turn(const char *path, int *descriptor)
{
    for (;;) {
        struct stat about;
        *descriptor = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666);
        HM_REQUIRE(*descriptor >= 0, HM_EOUTPUT, "%s: cannot be written: %s", path, strerror(errno));
        (void)set_lock(*descriptor, F_WRLCK, true);
        if (fstat(*descriptor, &about) == 0 && about.st_nlink > 0) {
            free(atomic_exchange(&turn, strdup(path)));
            return HM_OK;
        }
        close(*descriptor); /* the one before has removed it meanwhile */
    }
}

void hm_file_end_turn(const char *path, int descriptor)
{
    if (descriptor < 0) return;
    char *held = atomic_exchange(&turn, NULL);
    unlink(path); /* while it is locked: whoever finds it now makes a new one */
    close(descriptor);
    free(held);
}
