/* NPY, NumPy's format for one array: "\x93NUMPY", version, length of the header, the header (a Python dictionary with
 * 'descr', 'fortran_order' and 'shape'), then the elements. */
#include "core/memory.h"
#include "io/files.h"
#include "io/import.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PATH_BYTES = 1024, HEADER_MAX = 1 << 16, NPY_DIMS = 3 };

/* What elements may be, and how one becomes a float32 value or a byte. */
typedef enum npy_type { NPY_U1, NPY_B1, NPY_F4, NPY_F8, NPY_I4, NPY_I8 } npy_type;
static const struct npy_kind {
    const char *descr;
    size_t size;
    hm_type type; /* of the rows that are made of it */
} kinds[] = {
    [NPY_U1] = {"|u1", 1, HM_UINT8},   [NPY_B1] = {"|b1", 1, HM_UINT8},   [NPY_F4] = {"<f4", 4, HM_FLOAT32},
    [NPY_F8] = {"<f8", 8, HM_FLOAT32}, [NPY_I4] = {"<i4", 4, HM_FLOAT32}, [NPY_I8] = {"<i8", 8, HM_FLOAT32},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

typedef struct npy_file {
    FILE *file;
    char path[PATH_BYTES];
    npy_type type;
    int dims;
    int64_t size[NPY_DIMS];
    int64_t elements;
    long data_begin;
} npy_file;

typedef struct npy_source {
    hm_source source; /* first: an npy_source is an hm_source */
    npy_file npy;
    double scale; /* of values that become floats */
} npy_source;

/* ---- header ----------------------------------------------------------------------------------------------------- */

static hm_status read_bytes(npy_file *npy, void *out, size_t bytes)
{
    errno = 0;
    bool whole = fread(out, 1, bytes, npy->file) == bytes;
    HM_REQUIRE(whole || !ferror(npy->file), HM_EDATA, "%s: cannot be read: %s", npy->path, strerror(errno));
    HM_REQUIRE(whole, HM_EDATA, "%s: ends too early; not a whole NPY file", npy->path);
    return HM_OK;
}

/* What follows 'key': in the dictionary, or NULL. */
static const char *value_of(const char *header, const char *key)
{
    const char *at = strstr(header, key);
    if (!at) return NULL;
    at += strlen(key);
    at += strspn(at, " ");
    return *at == ':' ? at + 1 + strspn(at + 1, " ") : NULL;
}

static hm_status parse_type(npy_file *npy, const char *header)
{
    const char *descr = value_of(header, "'descr'"), *fortran = value_of(header, "'fortran_order'");
    HM_REQUIRE(descr && *descr == '\'' && fortran, HM_EDATA, "%s: its header is not that of an array of plain numbers",
               npy->path);
    HM_REQUIRE(strncmp(fortran, "False", 5) == 0, HM_EDATA,
               "%s: is in Fortran order; save it in C order (numpy.ascontiguousarray)", npy->path);
    size_t length = strcspn(descr + 1, "'");
    for (int kind = 0; kind < KINDS; kind++) {
        if (strlen(kinds[kind].descr) != length || strncmp(kinds[kind].descr, descr + 1, length) != 0) continue;
        npy->type = (npy_type)kind;
        return HM_OK;
    }
    return hm_fail(HM_EDATA, "%s: elements of type '%.*s'; known: |u1, |b1, <f4, <f8, <i4, <i8", npy->path,
                   length < 16 ? (int)length : 16, descr + 1);
}

static hm_status parse_shape(npy_file *npy, const char *header)
{
    const char *at = value_of(header, "'shape'");
    HM_REQUIRE(at && *at == '(', HM_EDATA, "%s: its header has no shape", npy->path);
    npy->elements = 1;
    for (at++; *at != ')'; npy->dims++) {
        char *end;
        HM_REQUIRE(npy->dims < NPY_DIMS, HM_EDATA, "%s: more than %d dimensions", npy->path, NPY_DIMS);
        errno = 0;
        long long size = strtoll(at, &end, 10);
        bool fits = end != at && errno == 0 && size >= 0 &&
                    !__builtin_mul_overflow(npy->elements, size, &npy->elements) &&
                    npy->elements < INT64_MAX / 16; /* so that bytes and the header fit too */
        HM_REQUIRE(fits, HM_EDATA, "%s: its shape is not a list of sizes that a file can have", npy->path);
        npy->size[npy->dims] = size;
        at = end + strspn(end, " ");
        HM_REQUIRE(*at == ',' || *at == ')', HM_EDATA, "%s: its shape is not a list of sizes", npy->path);
        if (*at == ',') at += 1 + strspn(at + 1, " ");
    }
    return HM_OK;
}

static hm_status read_header(npy_file *npy)
{
    unsigned char start[8], length_bytes[4] = {0};
    char *header;
    HM_TRY(read_bytes(npy, start, sizeof start));
    HM_REQUIRE(memcmp(start, "\x93NUMPY", 6) == 0 && start[6] >= 1 && start[6] <= 3, HM_EDATA,
               "%s: not an NPY file of version 1 to 3", npy->path);
    HM_TRY(read_bytes(npy, length_bytes, start[6] == 1 ? 2 : 4));
    size_t length =
        length_bytes[0] | (size_t)length_bytes[1] << 8 | (size_t)length_bytes[2] << 16 | (size_t)length_bytes[3] << 24;
    HM_REQUIRE(length <= HEADER_MAX, HM_EDATA, "%s: a header of %zu bytes; not an array of plain numbers", npy->path,
               length);
    HM_TRY(hm_alloc(&header, (int64_t)length + 1, 1, "the header of an NPY file"));
    hm_status status = read_bytes(npy, header, length);
    if (status == HM_OK) status = parse_type(npy, header);
    if (status == HM_OK) status = parse_shape(npy, header);
    free(header);
    npy->data_begin = ftell(npy->file);
    return status;
}

static hm_status check_length(const npy_file *npy)
{
    struct stat about;
    int64_t wanted = npy->data_begin + npy->elements * (int64_t)kinds[npy->type].size;
    HM_REQUIRE(fstat(fileno(npy->file), &about) == 0, HM_EDATA, "%s: cannot be read: %s", npy->path, strerror(errno));
    HM_REQUIRE((int64_t)about.st_size == wanted, HM_EDATA, "%s: has %lld bytes, its shape says %lld", npy->path,
               (long long)about.st_size, (long long)wanted);
    return HM_OK;
}

static hm_status open_npy(npy_file *npy, const char *path)
{
    snprintf(npy->path, sizeof npy->path, "%s", path);
    HM_TRY(hm_file_stream(path, HM_EDATA, &npy->file));
    HM_TRY(read_header(npy));
    return check_length(npy);
}

/* ---- elements --------------------------------------------------------------------------------------------------- */

static double element(npy_type type, const unsigned char *raw)
{
    union {
        float f4;
        double f8;
        int32_t i4;
        int64_t i8;
    } value;
    memcpy(&value, raw, kinds[type].size);
    switch (type) {
    case NPY_F4: return (double)value.f4;
    case NPY_F8: return value.f8;
    case NPY_I4: return (double)value.i4;
    case NPY_I8: return (double)value.i8;
    default: return *raw;
    }
}

/* `count` elements from element `begin`, converted one by one from a small buffer. visit(state, i, value). */
static hm_status read_elements(npy_file *npy, int64_t begin, int64_t count,
                               void (*visit)(void *state, int64_t i, double value), void *state)
{
    enum { BLOCK = 4096 };
    unsigned char raw[BLOCK * 8];
    size_t size = kinds[npy->type].size;
    HM_REQUIRE(fseek(npy->file, npy->data_begin + begin * (int64_t)size, SEEK_SET) == 0, HM_EDATA,
               "%s: cannot be read: %s", npy->path, strerror(errno));
    for (int64_t done = 0; done < count; done += BLOCK) {
        int64_t some = count - done < BLOCK ? count - done : BLOCK;
        HM_TRY(read_bytes(npy, raw, (size_t)some * size));
        for (int64_t i = 0; i < some; i++) visit(state, done + i, element(npy->type, raw + (size_t)i * size));
    }
    return HM_OK;
}

/* Where elements go. */
typedef struct rows_out {
    void *at;
    double scale;
} rows_out;

static void store_byte(void *state, int64_t i, double value)
{
    ((unsigned char *)((rows_out *)state)->at)[i] = (unsigned char)value;
}
static void store_truth(void *state, int64_t i, double value)
{
    ((unsigned char *)((rows_out *)state)->at)[i] = value != 0;
}
static void store_float(void *state, int64_t i, double value)
{
    const rows_out *out = state;
    ((float *)out->at)[i] = (float)(value * out->scale);
}

static hm_status npy_read(hm_source *source, int64_t begin, int64_t count, void *out)
{
    npy_file *npy = &((npy_source *)source)->npy;
    void (*store)(void *, int64_t, double) = npy->type == NPY_U1   ? store_byte
                                             : npy->type == NPY_B1 ? store_truth
                                                                   : store_float;
    rows_out rows = {out, ((npy_source *)source)->scale};
    return read_elements(npy, begin * source->columns, count * source->columns, store, &rows);
}

static void npy_close(hm_source *source)
{
    npy_source *npy = (npy_source *)source;
    if (npy->npy.file) fclose(npy->npy.file);
    free(npy);
}

static hm_status describe_rows(npy_source *npy)
{
    const npy_file *file = &npy->npy;
    hm_source *source = &npy->source;
    HM_REQUIRE(file->dims >= 2, HM_EDATA, "%s: rows need 2 dimensions (n, d) or 3 (n, h, w); it has %d", file->path,
               file->dims);
    HM_REQUIRE(file->elements > 0, HM_EDATA, "%s: holds no data", file->path);
    source->type = kinds[file->type].type;
    source->unit = source->type == HM_FLOAT32 ? 1 : npy->scale != 0 ? 1 / npy->scale : 0;
    if (source->type == HM_FLOAT32 && npy->scale == 0) npy->scale = 1;
    source->rows = file->size[0];
    source->columns = file->elements / file->size[0];
    source->height = file->dims == 3 ? file->size[1] : 0;
    source->width = file->dims == 3 ? file->size[2] : 0;
    return HM_OK;
}

hm_status hm_npy_open(const char *path, double scale, hm_import *out)
{
    npy_source *npy;
    *out = (hm_import){0};
    HM_TRY(hm_alloc(&npy, 1, sizeof *npy, "an NPY file"));
    npy->source = (hm_source){.read = npy_read, .close = npy_close};
    npy->scale = scale;
    *out = (hm_import){.source = &npy->source, .name = npy->npy.path};
    hm_status status = open_npy(&npy->npy, path);
    if (status == HM_OK) status = describe_rows(npy);
    if (status != HM_OK) hm_import_free(out);
    return status;
}

/* ---- labels ----------------------------------------------------------------------------------------------------- */

typedef struct label_list {
    int32_t *labels;
    int64_t bad; /* the first that is not an integer, or -1 */
} label_list;

static void store_label(void *state, int64_t i, double value)
{
    label_list *list = state;
    bool whole = value == floor(value) && fabs(value) <= INT32_MAX;
    if (whole)
        list->labels[i] = (int32_t)value;
    else if (list->bad < 0)
        list->bad = i;
}

static hm_status read_labels(npy_file *npy, int64_t rows, label_list *list)
{
    HM_REQUIRE(npy->dims == 1, HM_EDATA, "%s: labels must have 1 dimension, not %d", npy->path, npy->dims);
    HM_REQUIRE(npy->size[0] == rows, HM_EDATA, "%s: %lld labels for %lld rows", npy->path, (long long)npy->size[0],
               (long long)rows);
    HM_TRY(hm_alloc(&list->labels, rows, sizeof(int32_t), "labels"));
    HM_TRY(read_elements(npy, 0, rows, store_label, list));
    HM_REQUIRE(list->bad < 0, HM_EDATA, "%s: label %lld is not an integer", npy->path, (long long)list->bad);
    return HM_OK;
}

hm_status hm_npy_labels(const char *path, int64_t rows, int32_t **labels)
{
    npy_file npy = {0};
    label_list list = {.bad = -1};
    hm_status status = open_npy(&npy, path);
    if (status == HM_OK) status = read_labels(&npy, rows, &list);
    if (npy.file) fclose(npy.file);
    if (status != HM_OK) free(list.labels);
    *labels = status == HM_OK ? list.labels : NULL;
    return status;
}
