/* Memory is aligned, zeroed and readable beyond its end; what does not fit is refused, overflow among it. */
#include "core/memory.h"

#include "numbers.h"

static void assert_refused(hm_status status, const char *what)
{
    assert_int_equal(status, HM_EINTERNAL);
    if (!strstr(hm_error_message(), what)) fail_msg("'%s' does not say '%s'", hm_error_message(), what);
    hm_error_clear();
}

static void allocations_are_aligned_and_zeroed(void **state)
{
    (void)state;
    enum { SMALL = 100, MEGABYTE = 1 << 20 };
    static const int64_t large[] = {MEGABYTE / 3, MEGABYTE, 2 * MEGABYTE - 1}; /* some of them of huge pages */
    for (int64_t round = 0; round < 2 * (SMALL + 3); round++) { /* twice each, so that what was written comes back */
        int64_t count = round / 2 < SMALL ? round / 2 * 37 : large[round / 2 - SMALL];
        unsigned char *bytes;
        assert_int_equal(hm_alloc(&bytes, count, 3, "some bytes"), HM_OK);
        assert_non_null(bytes); /* also of nothing, so that NULL means failure */
        assert_true((uintptr_t)bytes % 64 == 0);
        int64_t zeros = 0;
        while (zeros < 3 * count && bytes[zeros] == 0) zeros++;
        assert_int_equal(zeros, 3 * count);
        memset(bytes, 0xff, (size_t)(3 * count));
        free(bytes);
    }
}

static void allocations_beyond_memory_are_refused(void **state)
{
    (void)state;
    static const struct too_much {
        int64_t count;
        size_t size;
    } wishes[] = {{-1, 1},       {INT64_MIN, 8},        {INT64_MAX, 8}, {1ll << 62, 4}, /* the product is 2^64: 0 */
                  {1, SIZE_MAX}, {INT64_MAX, SIZE_MAX}, {1ll << 61, 1}, {1ll << 60, 16}, {1, SIZE_MAX - 8}};
    for (size_t at = 0; at < sizeof wishes / sizeof wishes[0]; at++) {
        void *memory = &memory;
        assert_refused(hm_alloc(&memory, wishes[at].count, wishes[at].size, "a dream"), "a dream");
        assert_null(memory);
    }
}

static void arenas_give_what_they_were_sized_for(void **state)
{
    (void)state;
    static const int64_t counts[] = {1, 16, 17, 0, 1000};
    hm_arena arena;
    float *pieces[5];
    size_t bytes = 0;
    for (int at = 0; at < 5; at++) bytes += hm_arena_bytes(counts[at]);
    assert_int_equal(hm_arena_init(&arena, bytes, "scratch"), HM_OK);
    for (int round = 0; round < 2; round++) { /* the second after a reset */
        for (int at = 0; at < 5; at++) {
            assert_int_equal(hm_arena_floats(&arena, counts[at], &pieces[at]), HM_OK);
            assert_true((uintptr_t)pieces[at] % 64 == 0);
            for (int64_t i = 0; i < counts[at] + 64; i++) pieces[at][i] = (float)at; /* 64 beyond are the piece's */
        }
        for (int at = 0; at < 5; at++)
            for (int64_t i = 0; i < counts[at] + 64; i++) assert_true(pieces[at][i] == (float)at);
        assert_refused(hm_arena_floats(&arena, 1, &pieces[0]), "too small");
        hm_arena_reset(&arena);
    }
    hm_arena_free(&arena);
    assert_null(arena.base);
    hm_arena_free(&arena); /* once more does nothing */
}

static void arenas_refuse_counts_that_overflow(void **state)
{
    (void)state;
    /* 2^62 floats are 2^64 bytes: 0, and the room after the end would be all that is asked for. */
    static const int64_t counts[] = {1ll << 62, (1ll << 62) - 64, INT64_MAX, -1, -64, INT64_MIN};
    hm_arena arena;
    float *piece;
    assert_int_equal(hm_arena_init(&arena, 1 << 16, "scratch"), HM_OK);
    for (size_t at = 0; at < sizeof counts / sizeof counts[0]; at++) {
        hm_arena dream;
        assert_refused(hm_arena_floats(&arena, counts[at], &piece), "too small");
        assert_int_equal(arena.used, 0);
        assert_refused(hm_arena_init(&dream, hm_arena_bytes(counts[at]), "a dream"), "a dream");
        assert_refused(hm_arena_init(&dream, 5 * hm_arena_bytes(counts[at]) + 100, "a dream"), "a dream");
        hm_arena_free(&dream);
    }
    assert_refused(hm_arena_init(&(hm_arena){0}, SIZE_MAX, "a dream"), "a dream");
    hm_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocations_are_aligned_and_zeroed),
        cmocka_unit_test(allocations_beyond_memory_are_refused),
        cmocka_unit_test(arenas_give_what_they_were_sized_for),
        cmocka_unit_test(arenas_refuse_counts_that_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
