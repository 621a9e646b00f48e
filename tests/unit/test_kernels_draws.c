/* The kernels' draws are those of the addressed stream, and have their probabilities. */
#include "core/kernels.h"

#include "numbers.h"

enum { COLUMNS = 1000 };

static void draws_are_those_of_the_addressed_stream(void **state)
{
    (void)state;
    const hm_isa *isas;
    int count = hm_isa_list(&isas);
    const hm_stream streams[] = {
        {1, HM_RNG_INIT, 0}, {UINT64_MAX, HM_RNG_SYNTH, 1}, {7, HM_RNG_POSITIVE, (1ull << 43) + 5}};
    const int64_t rows[] = {0, 1, 5000000000, (1ll << 44) - 1}; /* also of more than 32 bits */
    float u[COLUMNS], p[COLUMNS], s[COLUMNS];
    for (int64_t c = 0; c < COLUMNS; c++) p[c] = 0.3f;
    for (int isa = 0; isa < count; isa++)
        for (int at = 0; at < 3 * 4; at++) {
            const hm_stream *stream = &streams[at / 4];
            int64_t row = rows[at % 4];
            isas[isa].kernels->uniform(stream, row, COLUMNS, u);
            isas[isa].kernels->bernoulli(COLUMNS, p, stream, row, s);
            for (int64_t c = 0; c < COLUMNS; c++) {
                assert_true(u[c] == hm_random_uniform(stream, row, c));
                assert_true(u[c] >= 0 && u[c] < 1);
                assert_true(s[c] == (u[c] < 0.3f ? 1.0f : 0.0f));
            }
        }
}

/* A sample of activate is its probability against the uniform of its own global row. */
static void activations_draw_at_their_global_row(void **state)
{
    (void)state;
    enum { ROWS = 5, FIRST = 1000 };
    const hm_stream stream = {8, HM_RNG_CHAIN_HIDDEN, 3};
    float *x = numbers(ROWS * COLUMNS, 61, NUMBERS_PLAIN), *p = numbers_zero(ROWS * COLUMNS);
    float *s = numbers_zero(ROWS * COLUMNS);
    hm_kernels_best()->activate(ROWS, COLUMNS, x, 1.0f, NULL, p, s, &stream, FIRST);
    for (int64_t at = 0; at < ROWS * COLUMNS; at++) {
        float u = hm_random_uniform(&stream, FIRST + at / COLUMNS, at % COLUMNS);
        assert_true(s[at] == (u < p[at] ? 1.0f : 0.0f));
    }
    free(x), free(p), free(s);
}

/* A unit is on where u < p, and not where they are equal: the next float above u is the smallest p that turns it on. */
static void draws_are_on_below_their_probability(void **state)
{
    (void)state;
    const hm_isa *isas;
    int count = hm_isa_list(&isas);
    const hm_stream stream = {4, HM_RNG_BINARIZE, 1};
    float u[COLUMNS], above[COLUMNS], s[COLUMNS];
    for (int isa = 0; isa < count; isa++) {
        isas[isa].kernels->uniform(&stream, 6, COLUMNS, u);
        for (int c = 0; c < COLUMNS; c++) above[c] = nextafterf(u[c], 2.0f);
        isas[isa].kernels->bernoulli(COLUMNS, u, &stream, 6, s);
        for (int c = 0; c < COLUMNS; c++) assert_true(s[c] == 0);
        isas[isa].kernels->bernoulli(COLUMNS, above, &stream, 6, s);
        for (int c = 0; c < COLUMNS; c++) assert_true(s[c] == 1);
    }
}

/* What cannot happen never does, and what must happen always does. */
static void certain_draws_are_certain(void **state)
{
    (void)state;
    const hm_stream stream = {9, HM_RNG_POSITIVE, 0};
    float never[COLUMNS] = {0}, always[COLUMNS], s[COLUMNS];
    for (int c = 0; c < COLUMNS; c++) always[c] = 1;
    for (int64_t row = 0; row < 100; row++) {
        hm_kernels_best()->bernoulli(COLUMNS, never, &stream, row, s);
        for (int c = 0; c < COLUMNS; c++) assert_true(s[c] == 0);
        hm_kernels_best()->bernoulli(COLUMNS, always, &stream, row, s);
        for (int c = 0; c < COLUMNS; c++) assert_true(s[c] == 1);
    }
}

/* Frequencies over 200,000 draws, within 5 standard errors. */
static void draws_have_their_probability(void **state)
{
    (void)state;
    enum { DRAWS = 200000 };
    static const float inputs[] = {-4.0f, -1.0f, 0.0f, 0.5f, 3.0f};
    float *x = numbers_zero(DRAWS), *s = numbers_zero(DRAWS);
    for (int at = 0; at < 5; at++) {
        hm_stream stream = {3, HM_RNG_POSITIVE, (uint64_t)at};
        double on = 0, p = 1 / (1 + exp(-(double)inputs[at]));
        for (int i = 0; i < DRAWS; i++) x[i] = inputs[at];
        hm_kernels_best()->activate(1, DRAWS, x, 1.0f, NULL, NULL, s, &stream, 0);
        for (int i = 0; i < DRAWS; i++) on += (double)s[i];
        numbers_within("frequency, standard errors off", fabs(on / DRAWS - p) / sqrt(p * (1 - p) / DRAWS), 5);
    }
    free(x), free(s);
}

/* 64 bins of 640,000 uniforms: chi-square with 63 degrees of freedom, 99.99 % quantile 112.3; mean and variance. */
static void uniforms_are_uniform(void **state)
{
    (void)state;
    enum { BINS = 64, ROWS = 640, N = ROWS * COLUMNS };
    const hm_stream stream = {10, HM_RNG_BINARIZE, 0};
    double counts[BINS] = {0}, sum = 0, squares = 0, neighbours = 0, chi_square = 0;
    float u[COLUMNS];
    for (int64_t row = 0; row < ROWS; row++) {
        hm_kernels_best()->uniform(&stream, row, COLUMNS, u);
        for (int c = 0; c < COLUMNS; c++) {
            double off = (double)u[c] - 0.5;
            counts[(int)(u[c] * BINS)]++;
            sum += off, squares += off * off;
            neighbours += c > 0 ? off * ((double)u[c - 1] - 0.5) : 0;
        }
    }
    const double expected = (double)N / BINS;
    for (int bin = 0; bin < BINS; bin++) chi_square += (counts[bin] - expected) * (counts[bin] - expected) / expected;
    numbers_within("chi-square of 64 bins", chi_square, 112.3);
    numbers_within("mean, standard errors off", fabs(sum / N) / sqrt(1.0 / 12 / N), 5);
    numbers_within("variance, standard errors off", fabs(squares / N - 1.0 / 12) / sqrt(1.0 / 180 / N), 5);
    numbers_within("neighbours' covariance, standard errors off", fabs(neighbours / N) / sqrt(1.0 / 144 / N), 5);
}

/* Each is Box-Muller of its two uniforms, in float64, and they have the moments of a normal distribution. */
static void normals_are_normal(void **state)
{
    (void)state;
    enum { N = 300000, ROW = 1000, SPAN = 64 };
    const double two_pi = 6.283185307179586;
    const hm_stream stream = {21, HM_RNG_SYNTH, 4};
    float x[ROW];
    double worst = 0, sum = 0, squares = 0, fourth = 0, neighbours = 0;
    for (int64_t row = 0; row < N / ROW; row++) {
        hm_kernels_best()->normal(&stream, row, ROW, x);
        for (int64_t c = 0; c < ROW; c++) {
            int64_t pair = c / (2 * SPAN) * 2 * SPAN + c % SPAN;
            double u = (double)hm_random_uniform(&stream, row, pair) + 0x1p-24;
            double turn = two_pi * (double)hm_random_uniform(&stream, row, pair + SPAN);
            double exact = sqrt(-2 * log(u)) * (c / SPAN % 2 ? sin(turn) : cos(turn));
            worst = numbers_worse(worst, fabs((double)x[c] - exact));
            sum += (double)x[c];
            squares += pow((double)x[c], 2);
            fourth += pow((double)x[c], 4);
            if (c > 0) neighbours += (double)x[c] * (double)x[c - 1];
        }
    }
    numbers_within("error of a normal number", worst, 2e-6);
    numbers_within("mean, standard errors off", fabs(sum / N) / sqrt(1.0 / N), 5);
    numbers_within("variance, standard errors off", fabs(squares / N - 1) / sqrt(2.0 / N), 5);
    numbers_within("fourth moment, standard errors off", fabs(fourth / N - 3) / sqrt(96.0 / N), 5);
    numbers_within("neighbours' covariance, standard errors off", fabs(neighbours / N) / sqrt(1.0 / N), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_are_those_of_the_addressed_stream),
        cmocka_unit_test(activations_draw_at_their_global_row),
        cmocka_unit_test(draws_are_on_below_their_probability),
        cmocka_unit_test(certain_draws_are_certain),
        cmocka_unit_test(draws_have_their_probability),
        cmocka_unit_test(uniforms_are_uniform),
        cmocka_unit_test(normals_are_normal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
