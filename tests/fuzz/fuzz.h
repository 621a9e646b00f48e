/* What the fuzz targets share: bytes as a file, and bytes as a row of choices. */
#ifndef HM_FUZZ_H
#define HM_FUZZ_H

#include "core/source.h"
#include "core/status.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A claim that must hold whatever the input is. */
#define FUZZ_CLAIM(condition)                                                                                          \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);                             \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* The path of a file in memory that holds these bytes; the same file each time. */
static inline const char *fuzz_file(const uint8_t *data, size_t size)
{
    static char path[64];
    static int file = -1;
    if (file < 0) file = memfd_create("fuzz", MFD_CLOEXEC);
    FUZZ_CLAIM(file >= 0 && ftruncate(file, 0) == 0 && pwrite(file, data, size, 0) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    return path;
}

/* Every refusal has a message; it is forgotten here. */
static inline hm_status fuzz_refused(hm_status status)
{
    FUZZ_CLAIM(status == HM_OK || *hm_error_message());
    FUZZ_CLAIM(status == HM_OK || status == HM_EDATA || status == HM_EUSAGE || status == HM_EINTERNAL);
    hm_error_clear();
    return status;
}

/* Reads the first and the last rows of a source, and closes it. */
static inline void fuzz_read(hm_source *source)
{
    enum { ROWS = 3 };
    size_t size = source->type == HM_UINT8 ? 1 : sizeof(float);
    int64_t rows = source->rows < ROWS ? source->rows : ROWS, bytes;
    FUZZ_CLAIM(source->rows > 0 && source->columns > 0);
    if (!__builtin_mul_overflow(rows * (int64_t)size, source->columns, &bytes) && bytes < 1 << 20) {
        void *out = malloc((size_t)bytes); /* exactly, so that a byte more is seen */
        fuzz_refused(source->read(source, 0, rows, out));
        fuzz_refused(source->read(source, source->rows - rows, rows, out));
        free(out);
    }
    source->close(source);
}

/* ---- choices ---------------------------------------------------------------------------------------------------- */

typedef struct fuzz_bytes {
    const uint8_t *at;
    size_t left;
} fuzz_bytes;

/* The next byte; 0 when there are no more. */
static inline unsigned fuzz_byte(fuzz_bytes *bytes)
{
    if (bytes->left == 0) return 0;
    bytes->left--;
    return *bytes->at++;
}

/* One of `count` things. */
static inline unsigned fuzz_choice(fuzz_bytes *bytes, unsigned count) { return fuzz_byte(bytes) % count; }

#endif
