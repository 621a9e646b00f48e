/* Memory: zeroed allocations aligned for vectors, and arenas for scratch that lives one step. */
#ifndef HM_MEMORY_H
#define HM_MEMORY_H

#include "core/status.h"

#include <stddef.h>
#include <stdint.h>

/* count * size zeroed bytes, 64-byte aligned, into *out; the caller frees them with free(). HM_EINTERNAL with a message
 * naming `what` and its size when memory is short or the product overflows. */
hm_status hm_alloc(void *out, int64_t count, size_t size, const char *what);

/* Scratch that is taken piece by piece and given back all at once. One owner at a time; not thread-safe. */
typedef struct hm_arena {
    unsigned char *base;
    size_t size, used;
} hm_arena;

hm_status hm_arena_init(hm_arena *arena, size_t bytes, const char *what);
void hm_arena_free(hm_arena *arena);
static inline void hm_arena_reset(hm_arena *arena) { arena->used = 0; }

/* `count` float32 of scratch, 64-byte aligned, not initialised, with 64 readable floats after the end (kernels read
 * whole vectors). HM_EINTERNAL when the arena, sized when the model was laid out, is too small. */
hm_status hm_arena_floats(hm_arena *arena, int64_t count, float **out);

/* The same of float64, in the room of 2 count floats. */
hm_status hm_arena_doubles(hm_arena *arena, int64_t count, double **out);

/* Bytes that hm_arena_floats takes for `count` floats, for sizing an arena; for a count that is negative or beyond
 * memory, more than any arena can have, so that hm_arena_init refuses. Up to 64 of them add without overflow. */
size_t hm_arena_bytes(int64_t count);

#endif
