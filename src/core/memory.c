#define _GNU_SOURCE /* madvise */

#include "core/memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    ALIGNMENT = 64,
    READABLE_BEYOND = 64, /* floats */
    HUGE_PAGE = 1 << 21,
    HUGE_FROM = HUGE_PAGE / 2, /* bytes from which on memory is of huge pages: at most half of it is not used */
};

/* More than any address space holds; what hm_arena_bytes says of a count that is as large. */
static const size_t too_large = SIZE_MAX / 64;

/* Parameters, gradients and packed weights are walked through from end to end in every update, and other ranks read
 * them: with pages of 4 KiB, looking these up takes several per cent of the time. */
static void *aligned(size_t bytes)
{
    size_t grain = bytes < HUGE_FROM ? ALIGNMENT : HUGE_PAGE, rounded = (bytes + grain - 1) / grain * grain;
    void *memory = aligned_alloc(grain, rounded);
#ifdef MADV_HUGEPAGE
    if (memory && grain == HUGE_PAGE) (void)madvise(memory, rounded, MADV_HUGEPAGE); /* a wish, not always granted */
#endif
    return memory;
}

hm_status hm_alloc(void *out, int64_t count, size_t size, const char *what)
{
    void *memory = NULL;
    memcpy(out, &memory, sizeof memory);
    size_t bytes = 0;
    bool fits = count >= 0 && !__builtin_mul_overflow((size_t)count, size, &bytes) && bytes < too_large;
    HM_REQUIRE(fits, HM_EINTERNAL, "%s: %lld elements of %zu bytes are more than memory can address", what,
               (long long)count, size);
    size_t rounded = (bytes + ALIGNMENT) / ALIGNMENT * ALIGNMENT;
    memory = aligned(rounded);
    HM_REQUIRE(memory, HM_EINTERNAL, "out of memory: %s needs %.1f MB", what, (double)bytes / 1e6);
    memset(memory, 0, rounded);
    memcpy(out, &memory, sizeof memory);
    return HM_OK;
}

hm_status hm_arena_init(hm_arena *arena, size_t bytes, const char *what)
{
    *arena = (hm_arena){0};
    HM_TRY(hm_alloc(&arena->base, (int64_t)bytes, 1, what));
    arena->size = bytes;
    return HM_OK;
}

void hm_arena_free(hm_arena *arena)
{
    free(arena->base);
    *arena = (hm_arena){0};
}

size_t hm_arena_bytes(int64_t count)
{
    if (count < 0 || count > (int64_t)(too_large / sizeof(float)) - READABLE_BEYOND) return too_large;
    size_t bytes = ((size_t)count + READABLE_BEYOND) * sizeof(float);
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

hm_status hm_arena_floats(hm_arena *arena, int64_t count, float **out)
{
    size_t bytes = hm_arena_bytes(count);
    HM_REQUIRE(arena->size - arena->used >= bytes, HM_EINTERNAL,
               "scratch of %zu bytes is too small: %zu used, %zu more wanted", arena->size, arena->used, bytes);
    *out = (float *)(void *)(arena->base + arena->used);
    arena->used += bytes;
    return HM_OK;
}

hm_status hm_arena_doubles(hm_arena *arena, int64_t count, double **out)
{
    float *floats;
    HM_TRY(hm_arena_floats(arena, 2 * count, &floats));
    *out = (double *)(void *)floats; /* aligned for any type */
    return HM_OK;
}
