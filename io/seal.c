#include "io/seal.h"

#include "core/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

enum { SEAL = 64, BUFFER = 1 << 20 };

static const char seal_start[] = "harmonium xxh3-128 ";

static void write_seal(XXH128_hash_t digest, char seal[SEAL])
{
    char text[SEAL + 1];
    snprintf(text, sizeof text, "%s%016llx%016llx%13s", seal_start, (unsigned long long)digest.high64,
             (unsigned long long)digest.low64, "\n");
    memcpy(seal, text, SEAL);
}

/* Feeds the next `size` bytes to the digest; false with errno (0: the file ended early). */
static bool digest_bytes(int file, int64_t size, char *buffer, XXH3_state_t *state)
{
    while (size > 0) {
        errno = 0;
        ssize_t got = read(file, buffer, size < BUFFER ? (size_t)size : BUFFER);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        XXH3_128bits_update(state, buffer, (size_t)got);
        size -= got;
    }
    return true;
}

/* The seal that the file's first `size` bytes deserve; false with errno. */
static bool seal_of(int file, int64_t size, char seal[SEAL])
{
    XXH3_state_t *state = XXH3_createState();
    char *buffer = malloc(BUFFER);
    bool whole = state && buffer && XXH3_128bits_reset(state) == XXH_OK && digest_bytes(file, size, buffer, state);
    int reason = errno;
    if (whole) write_seal(XXH3_128bits_digest(state), seal);
    XXH3_freeState(state);
    free(buffer);
    errno = reason;
    return whole;
}

static bool add_seal(int file)
{
    char seal[SEAL];
    struct stat about;
    if (fstat(file, &about) != 0 || !seal_of(file, about.st_size, seal)) return false;
    ssize_t put = pwrite(file, seal, SEAL, about.st_size);
    if (put >= 0 && put < SEAL) errno = ENOSPC;
    return put == SEAL;
}

hm_status hm_seal_add(const char *path, const char *name)
{
    int file = open(path, O_RDWR | O_CLOEXEC);
    HM_REQUIRE(file >= 0, HM_EOUTPUT, "%s: cannot be written: %s", name, strerror(errno));
    bool added = add_seal(file);
    int reason = errno;
    close(file);
    HM_REQUIRE(added, HM_EOUTPUT, "%s: cannot be written: %s", name, strerror(reason));
    return HM_OK;
}

/* Reads the last bytes of a file, and tells whether they are a seal; false with errno when they cannot be read. */
static bool find_seal(int file, int64_t *size, char found[SEAL], bool *sealed)
{
    struct stat about;
    if (fstat(file, &about) != 0) return false;
    *size = about.st_size - SEAL;
    *sealed = false;
    if (*size <= 0) return true;
    if (pread(file, found, SEAL, *size) != SEAL) return false;
    *sealed = memcmp(found, seal_start, sizeof seal_start - 1) == 0;
    return true;
}

static bool check_seal(int file, bool *sealed)
{
    char seal[SEAL], found[SEAL];
    int64_t size;
    errno = 0;
    if (!find_seal(file, &size, found, sealed)) return false;
    return !*sealed || (seal_of(file, size, seal) && memcmp(seal, found, SEAL) == 0);
}

hm_status hm_seal_check(const char *path, bool *sealed)
{
    int file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* a pipe is not waited for */
    if (file < 0) return hm_fail_system(HM_EDATA, errno, "%s", path);
    bool sound = check_seal(file, sealed);
    int reason = errno;
    close(file);
    if (!sound && reason != 0) return hm_fail_system(HM_EDATA, reason, "%s: cannot be read", path);
    HM_REQUIRE(sound, HM_EDATA, "%s: damaged: its digest does not match (changed since it was written)", path);
    return HM_OK;
}
