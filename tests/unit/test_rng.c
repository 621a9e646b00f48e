/* The random numbers are Philox4x32-10 of their address; what is made of them has the right distribution. */
#include "core/rng.h"

#include <Random123/philox.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Known answers of Random123 (kat_vectors, philox4x32 10). */
static void generator_gives_the_known_answers(void **state)
{
    (void)state;
    const uint32_t known[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {~0u, ~0u, ~0u, ~0u, ~0u, ~0u, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb, 0x5001e420,
         0x24126ea1},
    };
    for (int at = 0; at < 3; at++) {
        const uint32_t *k = known[at];
        philox4x32_ctr_t counter = {{k[0], k[1], k[2], k[3]}}; /* philox4x32 is a macro: no commas in its arguments */
        philox4x32_key_t key = {{k[4], k[5]}};
        philox4x32_ctr_t words = philox4x32(counter, key);
        assert_memory_equal(words.v, k + 6, 16);
    }
}

/* Column c of (seed, purpose, step, row) is word (c / 16) % 4 of counter ((c / 64) 16 + c % 16, row, step, purpose
 * ...). */
static void bits_are_those_of_the_address(void **state)
{
    (void)state;
    const hm_stream stream = {.seed = 0x123456789abcdef0ull, .purpose = 9, .step = 0x765432100ull};
    const int64_t row = 0x0ab00000007ll;
    for (int64_t c = 0; c < 300; c++) {
        philox4x32_ctr_t counter = {{(uint32_t)(c / 64 * 16 + c % 16), 7, 0x65432100u, 9u << 24 | 0x7u << 12 | 0x0abu}};
        philox4x32_key_t key = {{0x9abcdef0u, 0x12345678u}};
        assert_int_equal(hm_random_bits(&stream, row, c), philox4x32(counter, key).v[c / 16 % 4]);
    }
}

static void addresses_do_not_collide(void **state)
{
    (void)state;
    const hm_stream base = {5, 3, 17};
    const hm_stream others[] = {
        {6, 3, 17}, {5, 4, 17}, {5, 3, 18}, {5, 3, 17 + (1ull << 32)}, {5 + (1ull << 32), 3, 17}};
    for (size_t at = 0; at < 5; at++)
        assert_int_not_equal(hm_random_bits(&base, 2, 3), hm_random_bits(&others[at], 2, 3));
    assert_int_not_equal(hm_random_bits(&base, 2, 3), hm_random_bits(&base, 3, 3));
    assert_int_not_equal(hm_random_bits(&base, 2, 3), hm_random_bits(&base, 2 + (1ll << 32), 3));
    assert_int_not_equal(hm_random_bits(&base, 2, 3), hm_random_bits(&base, 2, 67));
}

/* Moments of n = 200,000 normals: standard errors sqrt(1/n), sqrt(2/n), sqrt(15/n), sqrt(96/n); allowed 5. */
static void normals_have_normal_moments(void **state)
{
    (void)state;
    enum { N = 200000 };
    const hm_stream stream = {11, HM_RNG_INIT, 0};
    const double expected[] = {0, 1, 0, 3}, variances[] = {1, 2, 15, 96};
    double sums[4] = {0};
    for (int64_t i = 0; i < N; i++) {
        double x = hm_random_normal(&stream, 0, i), power = 1;
        for (int moment = 0; moment < 4; moment++) sums[moment] += power *= x;
    }
    for (int moment = 0; moment < 4; moment++) {
        double error = sqrt(variances[moment] / N), off = (sums[moment] / N - expected[moment]) / error;
        print_message("  moment %d: %.2f standard errors off, allowed 5\n", moment + 1, off);
        assert_true(fabs(off) <= 5);
    }
}

/* All 24 orders of 4, 24,000 times: chi-square with 23 degrees of freedom, 99.99 % quantile 56.2. */
static void permutations_are_uniform(void **state)
{
    (void)state;
    enum { TIMES = 24000 };
    const hm_stream stream = {13, HM_RNG_SHUFFLE, 0};
    int counts[256] = {0};
    double chi_square = 0;
    for (int64_t row = 0; row < TIMES; row++) {
        int64_t order[4];
        hm_random_permutation(&stream, row, 4, order);
        counts[order[0] + 4 * order[1] + 16 * order[2] + 64 * order[3]]++;
    }
    int seen = 0;
    for (int code = 0; code < 256; code++) {
        if (counts[code] == 0) continue;
        seen++;
        chi_square += (counts[code] - TIMES / 24.0) * (counts[code] - TIMES / 24.0) / (TIMES / 24.0);
    }
    print_message("  %d orders, chi-square %.1f, allowed 56.2\n", seen, chi_square);
    assert_int_equal(seen, 24);
    assert_true(chi_square <= 56.2);
}

static void integers_stay_below_their_bound(void **state)
{
    (void)state;
    const hm_stream stream = {17, HM_RNG_PSEUDO, 0};
    int counts[7] = {0};
    for (int64_t row = 0; row < 70000; row++) {
        uint64_t value = hm_random_below(&stream, row, 0, 7);
        assert_true(value < 7);
        counts[value]++;
    }
    /* Each of 7: standard error sqrt(70000 / 7 * 6 / 7) = 92.6 */
    for (int value = 0; value < 7; value++) assert_true(abs(counts[value] - 10000) <= 5 * 93);
    assert_int_equal(hm_random_below(&stream, 0, 0, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(generator_gives_the_known_answers), cmocka_unit_test(bits_are_those_of_the_address),
        cmocka_unit_test(addresses_do_not_collide),          cmocka_unit_test(normals_have_normal_moments),
        cmocka_unit_test(permutations_are_uniform),          cmocka_unit_test(integers_stay_below_their_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
