/* A source over an array. */
#include "core/memory.h"
#include "core/source.h"

#include <stdlib.h>
#include <string.h>

typedef struct memory_source {
    hm_source source; /* first: a memory_source is an hm_source */
    const unsigned char *data;
} memory_source;

static hm_status memory_read(hm_source *source, int64_t begin, int64_t count, void *out)
{
    const memory_source *memory = (const memory_source *)source;
    HM_REQUIRE(begin >= 0 && count >= 0 && begin <= source->rows - count, HM_EINTERNAL,
               "rows %lld to %lld of an array of %lld", (long long)begin, (long long)(begin + count),
               (long long)source->rows);
    size_t row = (size_t)source->columns * hm_type_size(source->type);
    memcpy(out, memory->data + (size_t)begin * row, (size_t)count * row);
    return HM_OK;
}

static void memory_close(hm_source *source) { free(source); }

hm_status hm_source_memory(hm_type type, int64_t rows, int64_t columns, const void *data, hm_source **out)
{
    memory_source *memory;
    HM_TRY(hm_alloc(&memory, 1, sizeof *memory, "a data source"));
    memory->source =
        (hm_source){.rows = rows, .columns = columns, .type = type, .read = memory_read, .close = memory_close};
    memory->data = data;
    *out = &memory->source;
    return HM_OK;
}
