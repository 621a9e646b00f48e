/* IDX: a magic number (two zero bytes, element type, dimensions), the sizes as big-endian int32, then the elements.
 * zlib reads plain and gzip files alike. A size is believed only after the file's length was seen to allow it. */
#include "core/memory.h"
#include "io/files.h"
#include "io/import.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { IDX_UINT8 = 0x08, IDX_INT32 = 0x0c, IDX_DIMS = 3, PATH_BYTES = 1024, DEFLATE_RATIO = 1032 /* the largest */ };

typedef struct idx_header {
    int type, dims;
    int64_t size[IDX_DIMS];
    int64_t elements;
} idx_header;

typedef struct idx_source {
    hm_source source; /* first: an idx_source is an hm_source */
    gzFile file;
    int64_t next; /* row that is read next: files are read in order */
    int64_t data_begin;
    char path[PATH_BYTES];
} idx_source;

void hm_import_free(hm_import *import)
{
    if (import->source) import->source->close(import->source);
    free(import->labels);
    *import = (hm_import){0};
}

static hm_status open_gz(const char *path, gzFile *file)
{
    int descriptor;
    HM_TRY(hm_file_open(path, HM_EDATA, &descriptor));
    *file = gzdopen(descriptor, "rb");
    if (!*file) close(descriptor);
    HM_REQUIRE(*file, HM_EDATA, "%s: cannot be read: out of memory", path);
    return HM_OK;
}

/* Exactly `bytes` bytes, or what is wrong with the file. */
static hm_status read_exactly(gzFile file, const char *path, void *out, int64_t bytes)
{
    enum { MOST = 1 << 30 };
    for (int64_t done = 0; done < bytes;) {
        unsigned most = bytes - done < MOST ? (unsigned)(bytes - done) : MOST;
        int got = gzread(file, (char *)out + done, most), code = Z_OK;
        const char *problem = gzerror(file, &code);
        HM_REQUIRE(code != Z_ERRNO, HM_EDATA, "%s: cannot be read: %s", path, strerror(errno));
        HM_REQUIRE(got >= 0 && code != Z_BUF_ERROR, HM_EDATA, "%s: damaged or truncated gzip data: %s", path, problem);
        HM_REQUIRE(got > 0, HM_EDATA, "%s: ends %lld bytes short of what its sizes say", path,
                   (long long)(bytes - done));
        done += got;
    }
    return HM_OK;
}

static uint32_t big_endian(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static hm_status read_header(gzFile file, const char *path, idx_header *header)
{
    unsigned char magic[4], size[4];
    HM_TRY(read_exactly(file, path, magic, 4));
    *header = (idx_header){.type = magic[2], .dims = magic[3], .elements = 1};
    HM_REQUIRE(magic[0] == 0 && magic[1] == 0 && (header->type == IDX_UINT8 || header->type == IDX_INT32) &&
                   header->dims >= 1 && header->dims <= IDX_DIMS,
               HM_EDATA, "%s: not an IDX file of bytes or int32 with 1 to 3 dimensions (magic number %02x%02x%02x%02x)",
               path, magic[0], magic[1], magic[2], magic[3]);
    for (int dim = 0; dim < header->dims; dim++) {
        HM_TRY(read_exactly(file, path, size, 4));
        header->size[dim] = big_endian(size);
        bool fits = !__builtin_mul_overflow(header->elements, header->size[dim], &header->elements) &&
                    header->elements < INT64_MAX / 8;
        HM_REQUIRE(fits, HM_EDATA, "%s: its sizes overflow (dimension %d is %lld)", path, dim,
                   (long long)header->size[dim]);
    }
    return HM_OK;
}

/* The length of a plain file must be what its sizes say; that of a gzip file must be able to hold it. */
static hm_status check_length(gzFile file, const char *path, const idx_header *header)
{
    struct stat about;
    int64_t wanted = 4 + 4 * header->dims + header->elements * (header->type == IDX_INT32 ? 4 : 1);
    HM_REQUIRE(stat(path, &about) == 0, HM_EDATA, "%s: cannot be read: %s", path, strerror(errno));
    int64_t most = gzdirect(file) ? (int64_t)about.st_size : (int64_t)about.st_size * DEFLATE_RATIO;
    HM_REQUIRE(most >= wanted, HM_EDATA, "%s: ends %lld bytes short of what its sizes say", path,
               (long long)(wanted - most));
    HM_REQUIRE(!gzdirect(file) || most == wanted, HM_EDATA, "%s: is longer than its sizes say", path);
    return HM_OK;
}

/* Nothing may follow the last element; gzip's own checksum is checked here too. */
static hm_status check_end(gzFile file, const char *path)
{
    unsigned char beyond;
    int got = gzread(file, &beyond, 1), code = Z_OK;
    const char *problem = gzerror(file, &code);
    HM_REQUIRE(got <= 0, HM_EDATA, "%s: is longer than its sizes say", path);
    HM_REQUIRE(got == 0 && code != Z_BUF_ERROR, HM_EDATA, "%s: damaged or truncated gzip data: %s", path, problem);
    return HM_OK;
}

/* ---- images ----------------------------------------------------------------------------------------------------- */

static hm_status idx_read(hm_source *source, int64_t begin, int64_t count, void *out)
{
    idx_source *idx = (idx_source *)source;
    if (begin != idx->next) {
        z_off_t at = idx->data_begin + begin * source->columns;
        HM_REQUIRE(gzseek(idx->file, at, SEEK_SET) == at, HM_EDATA, "%s: damaged or truncated gzip data", idx->path);
    }
    HM_TRY(read_exactly(idx->file, idx->path, out, count * source->columns));
    idx->next = begin + count;
    return idx->next == source->rows ? check_end(idx->file, idx->path) : HM_OK;
}

static void idx_close(hm_source *source)
{
    idx_source *idx = (idx_source *)source;
    if (idx->file) gzclose(idx->file);
    free(idx);
}

static hm_status open_images(idx_source *idx, const char *path)
{
    idx_header header;
    hm_source *source = &idx->source;
    snprintf(idx->path, sizeof idx->path, "%s", path);
    HM_TRY(open_gz(path, &idx->file));
    HM_TRY(read_header(idx->file, path, &header));
    HM_REQUIRE(header.type == IDX_UINT8 && header.dims >= 2, HM_EDATA,
               "%s: images must be bytes with 2 or 3 dimensions", path);
    HM_REQUIRE(header.elements > 0, HM_EDATA, "%s: holds no data (%lld x %lld x %lld)", path, (long long)header.size[0],
               (long long)header.size[1], (long long)(header.dims == 3 ? header.size[2] : 1));
    HM_TRY(check_length(idx->file, path, &header));
    source->type = HM_UINT8;
    source->rows = header.size[0];
    source->columns = header.elements / header.size[0];
    source->height = header.dims == 3 ? header.size[1] : 0;
    source->width = header.dims == 3 ? header.size[2] : 0;
    idx->data_begin = 4 + 4 * header.dims;
    return HM_OK;
}

hm_status hm_idx_open(const char *path, double scale, hm_import *out)
{
    idx_source *idx;
    *out = (hm_import){0};
    HM_TRY(hm_alloc(&idx, 1, sizeof *idx, "an IDX file"));
    idx->source = (hm_source){.unit = scale != 0 ? 1 / scale : 0, .read = idx_read, .close = idx_close};
    hm_status status = open_images(idx, path);
    if (status != HM_OK) {
        idx_close(&idx->source);
        return status;
    }
    *out = (hm_import){.source = &idx->source, .name = idx->path};
    return HM_OK;
}

/* ---- labels ----------------------------------------------------------------------------------------------------- */

static hm_status read_labels(gzFile file, const char *path, int64_t rows, int32_t **labels)
{
    idx_header header;
    HM_TRY(read_header(file, path, &header));
    HM_REQUIRE(header.dims == 1, HM_EDATA, "%s: labels must have 1 dimension, not %d", path, header.dims);
    HM_REQUIRE(header.size[0] == rows, HM_EDATA, "%s: %lld labels for %lld rows", path, (long long)header.size[0],
               (long long)rows);
    HM_TRY(check_length(file, path, &header));
    int64_t bytes = header.type == IDX_INT32 ? 4 : 1;
    unsigned char *raw;
    HM_TRY(hm_alloc(&raw, rows, (size_t)bytes, "labels"));
    hm_status status = read_exactly(file, path, raw, rows * bytes);
    if (status == HM_OK) status = check_end(file, path);
    if (status == HM_OK) status = hm_alloc(labels, rows, sizeof(int32_t), "labels");
    for (int64_t row = 0; status == HM_OK && row < rows; row++)
        (*labels)[row] = bytes == 4 ? (int32_t)big_endian(raw + 4 * row) : raw[row];
    free(raw);
    return status;
}

hm_status hm_idx_labels(const char *path, int64_t rows, int32_t **labels)
{
    gzFile file;
    *labels = NULL;
    HM_TRY(open_gz(path, &file));
    hm_status status = read_labels(file, path, rows, labels);
    gzclose(file);
    return status;
}
