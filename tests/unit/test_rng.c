/* The random numbers are Philox4x32-10 of their address; what is made of them has the right distribution. */
#include "core/rng.h"

#include "numbers.h"

#include <Random123/philox.h>

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

/* A uniform is the 24 high bits of its word; a normal is Box and Muller's, of the block that its column numbers. */
static void numbers_are_made_of_their_words(void **state)
{
    (void)state;
    const hm_stream stream = {.seed = 77, .purpose = 2, .step = 3};
    philox4x32_key_t key = {{77, 0}};
    for (int64_t c = 0; c < 300; c++) {
        philox4x32_ctr_t counter = {{(uint32_t)c, 5, 3, 2u << 24}};
        philox4x32_ctr_t words = philox4x32(counter, key);
        double first = ldexp((double)words.v[0], -32) + ldexp((double)words.v[1], -64);
        double second = ldexp((double)words.v[2], -32) + ldexp((double)words.v[3], -64);
        double normal = sqrt(-2 * log(first)) * cos(2 * acos(-1.0) * second);
        assert_true(hm_random_uniform(&stream, 5, c) == ldexpf((float)(hm_random_bits(&stream, 5, c) >> 8), -24));
        assert_true(fabs(hm_random_normal(&stream, 5, c) - normal) <= 1e-12 * (1 + fabs(normal)));
        /* first 7 / 2^64, rounded down */
        assert_int_equal(hm_random_below(&stream, 5, c, 7), (uint64_t)floor(first * 7));
    }
}

/* 256 columns at each of 8 addresses that differ in one thing: 2,048 words, of which two would be equal by chance with
 * probability 5e-4. */
static void addresses_do_not_collide(void **state)
{
    (void)state;
    enum { ADDRESSES = 8, COLUMNS = 256, WORDS = ADDRESSES * COLUMNS };
    static const struct address {
        hm_stream stream;
        int64_t row;
    } addresses[ADDRESSES] = {
        {{5, 3, 17}, 2},
        {{6, 3, 17}, 2},
        {{5 + (1ull << 32), 3, 17}, 2},
        {{5, 4, 17}, 2},
        {{5, 3, 18}, 2},
        {{5, 3, 17 + (1ull << 32)}, 2},
        {{5, 3, 17}, 3},
        {{5, 3, 17}, 2 + (1ll << 32)},
    };
    uint32_t words[WORDS];
    for (int at = 0; at < WORDS; at++)
        words[at] = hm_random_bits(&addresses[at / COLUMNS].stream, addresses[at / COLUMNS].row, at % COLUMNS);
    for (int a = 0; a < WORDS; a++)
        for (int b = 0; b < a; b++)
            if (words[a] == words[b])
                fail_msg("addresses %d and %d, columns %d and %d", b / COLUMNS, a / COLUMNS, b % COLUMNS, a % COLUMNS);
}

enum { NORMALS = 200000 };

/* Moments of n normals: standard errors sqrt(1/n), sqrt(2/n), sqrt(15/n), sqrt(96/n); allowed 5. */
static void normals_have_normal_moments(void **state)
{
    (void)state;
    const hm_stream stream = {11, HM_RNG_INIT, 0};
    const double expected[] = {0, 1, 0, 3}, variances[] = {1, 2, 15, 96};
    double sums[4] = {0};
    for (int64_t i = 0; i < NORMALS; i++) {
        double x = hm_random_normal(&stream, 0, i), power = 1;
        for (int moment = 0; moment < 4; moment++) sums[moment] += power *= x;
    }
    for (int moment = 0; moment < 4; moment++)
        numbers_within("moment, standard errors off",
                       fabs(sums[moment] / NORMALS - expected[moment]) / sqrt(variances[moment] / NORMALS), 5);
}

/* The whole distribution, tails among it: shares below these points, within 5 standard errors; neighbours in rows and
 * in columns have no covariance (standard error 1 / sqrt(n)). */
static void normals_have_the_normal_distribution(void **state)
{
    (void)state;
    static const double points[] = {-4, -3, -2, -1, -0.3, 0, 0.5, 1.5, 2.5, 3.5};
    const hm_stream stream = {12, HM_RNG_INIT, 0};
    double below[10] = {0}, columns = 0, rows = 0;
    for (int64_t i = 0; i < NORMALS; i++) {
        double x = hm_random_normal(&stream, 0, i);
        columns += x * hm_random_normal(&stream, 0, i + 1);
        rows += x * hm_random_normal(&stream, 1, i);
        for (int at = 0; at < 10; at++) below[at] += x < points[at];
    }
    for (int at = 0; at < 10; at++) {
        double p = erfc(-points[at] / sqrt(2.0)) / 2;
        numbers_within("share below a point, standard errors off",
                       fabs(below[at] / NORMALS - p) / sqrt(p * (1 - p) / NORMALS), 5);
    }
    numbers_within("covariance of columns, standard errors off", fabs(columns) / sqrt(NORMALS), 5);
    numbers_within("covariance of rows, standard errors off", fabs(rows) / sqrt(NORMALS), 5);
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

static void permutations_hold_every_number_once(void **state)
{
    (void)state;
    enum { MOST = 1000 };
    static const int64_t sizes[] = {0, 1, 2, 63, 64, 65, MOST};
    const hm_stream stream = {14, HM_RNG_SHUFFLE, 2}, next = {14, HM_RNG_SHUFFLE, 3};
    for (size_t at = 0; at < sizeof sizes / sizeof sizes[0]; at++) {
        int64_t order[MOST + 1], other[MOST + 1], n = sizes[at];
        bool seen[MOST] = {false};
        order[n] = -1; /* not to be written */
        hm_random_permutation(&stream, 0, n, order);
        for (int64_t i = 0; i < n; i++) {
            assert_true(order[i] >= 0 && order[i] < n && !seen[order[i]]);
            seen[order[i]] = true;
        }
        assert_true(order[n] == -1);
        hm_random_permutation(&next, 0, n, other); /* another epoch, another order */
        if (n >= 63) assert_memory_not_equal(order, other, (size_t)n * sizeof *order);
    }
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
    for (int64_t row = 0; row < 1000; row++) {
        assert_true(hm_random_below(&stream, row, 0, 1) == 0);
        assert_true(hm_random_below(&stream, row, 0, UINT64_MAX) < UINT64_MAX);
        assert_true(hm_random_below(&stream, row, 0, (1ull << 63) + 1) <= 1ull << 63);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(generator_gives_the_known_answers), cmocka_unit_test(bits_are_those_of_the_address),
        cmocka_unit_test(numbers_are_made_of_their_words),   cmocka_unit_test(addresses_do_not_collide),
        cmocka_unit_test(normals_have_normal_moments),       cmocka_unit_test(normals_have_the_normal_distribution),
        cmocka_unit_test(permutations_are_uniform),          cmocka_unit_test(permutations_hold_every_number_once),
        cmocka_unit_test(integers_stay_below_their_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
