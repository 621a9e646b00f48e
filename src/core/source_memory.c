/* Values of raw elements, and a source over an array. */
#include "core/memory.h"
#include "core/source.h"

#include <stdlib.h>
#include <string.h>

void hm_source_values(const hm_source *source, int64_t count, const void *raw, float *out)
{
    if (source->type == HM_UINT8) {
        const unsigned char *bytes = raw;
        for (int64_t i = 0; i < count; i++) out[i] = (float)(bytes[i] / source->unit);
        return;
    }
    memcpy(out, raw, (size_t)count * sizeof(float));
    for (int64_t i = 0; source->unit != 1 && i < count; i++) out[i] = (float)((double)out[i] / source->unit);
}

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
    memory->source = (hm_source){.rows = rows,
                                 .columns = columns,
                                 .type = type,
                                 .unit = type == HM_UINT8 ? 255 : 1,
                                 .read = memory_read,
                                 .close = memory_close};
    memory->data = data;
    *out = &memory->source;
    return HM_OK;
}
