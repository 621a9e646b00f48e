/* Every instruction set gives the reference's bits, on input of awkward sizes and of nasty values. */
#include "core/kernels.h"

#include "numbers.h"

enum { ROWS = 13, FIRST_ROW = 3 };

/* One call of a kernel at one size: inputs by seed, results into `out`, which is compared. */
typedef struct trial {
    int64_t n;
    const float *x, *y; /* (ROWS, n) */
    const float *bias;  /* (n) */
    float *out1, *out2; /* (ROWS, n); out2 holds `y` and out3 |bias| at the start, for kernels that update */
    float *out3;        /* (n) */
    double sums[3];
} trial;

static const hm_stream stream = {42, HM_RNG_POSITIVE, 5};

static void run_uniform(const hm_kernels *k, trial *t) { k->uniform(&stream, 7, t->n, t->out1); }
static void run_activate(const hm_kernels *k, trial *t)
{
    k->activate(ROWS, t->n, t->x, 0.7f, t->bias, t->out1, t->out2, &stream, FIRST_ROW);
}
static void run_activate_probabilities(const hm_kernels *k, trial *t)
{
    k->activate(ROWS, t->n, t->x, 1.0f, NULL, t->out1, NULL, NULL, 0);
}
static void run_activate_in_place(const hm_kernels *k, trial *t)
{
    k->activate(ROWS, t->n, t->out2, -1.5f, t->bias, NULL, t->out2, &stream, FIRST_ROW);
}
static void run_bernoulli(const hm_kernels *k, trial *t) { k->bernoulli(t->n, t->x, &stream, 9, t->out1); }
static void run_drop(const hm_kernels *k, trial *t) { k->drop(ROWS * t->n, t->x, 0.8f, t->out2); }
static void run_normal(const hm_kernels *k, trial *t) { k->normal(&stream, 7, t->n, t->out1); }
static void run_exp_tanh(const hm_kernels *k, trial *t)
{
    k->exp(ROWS * t->n, t->x, t->out1);
    k->tanh(ROWS * t->n, t->x, t->out2);
}
static void run_softplus(const hm_kernels *k, trial *t) { k->softplus(ROWS * t->n, t->x, t->out1); }
static void run_sums(const hm_kernels *k, trial *t)
{
    t->sums[0] = k->sum_softplus(t->n, t->x, 0.3f, t->bias) + k->sum_softplus(t->n, t->x, 1.0f, NULL);
    t->sums[1] = k->sum(ROWS * t->n, t->y);
    t->sums[2] = k->dot(ROWS * t->n, t->x, t->y);
}
static void run_max_difference(const hm_kernels *k, trial *t)
{
    for (int64_t row = 0; row < ROWS; row++)
        t->out1[row] = k->max_difference(t->n, t->x + row * t->n, t->y + row * t->n);
}
static void run_add_columns(const hm_kernels *k, trial *t) { k->add_columns(ROWS, t->n, t->x, -0.5f, t->out3); }
static void run_add(const hm_kernels *k, trial *t) { k->add(ROWS * t->n, t->x, t->out2, t->out2); }
static void run_transpose(const hm_kernels *k, trial *t) { k->transpose(ROWS, t->n, t->x, t->n, t->out1, ROWS); }
static void run_sgd(const hm_kernels *k, trial *t)
{
    const hm_sgd_step step = {.rate = 0.1f, .scale = 0.01f, .momentum = 0.5f, .decay = 0.001f};
    k->sgd(t->n, &step, t->x, t->out2, t->out3);
    k->sgd(t->n, &step, t->x, NULL, t->out3);
}
static void run_adam(const hm_kernels *k, trial *t)
{
    const hm_adam_step step = {
        .rate = 0.1f, .scale = 0.01f, .beta1 = 0.9f, .beta2 = 0.99f, .epsilon = 1e-6f, .decay = 0.01f};
    k->adam(t->n, &step, t->x, t->out2, t->out3, t->out1);
}

/* Kept is what lies below the share, divided by it; what is dropped is 0 whatever it was. */
static void dropped_units_are_zero(void **state)
{
    (void)state;
    const hm_isa *isas;
    const float uniform[] = {0.5f, 0.49f, 0.0f, 0.75f, 0.9f, 0.2f}, kept[] = {0, 4, -2, 0, 0, -0.0f};
    int count = hm_isa_list(&isas);
    for (int isa = 0; isa < count; isa++) {
        float x[] = {3, 2, -1, NAN, INFINITY, -0.0f};
        isas[isa].kernels->drop(6, uniform, 0.5f, x);
        assert_memory_equal(x, kept, sizeof x);
        isas[isa].kernels->drop(6, uniform, 1.0f, x);
        assert_memory_equal(x, kept, sizeof x);
    }
}

static const struct kernel_run {
    const char *name;
    void (*run)(const hm_kernels *kernels, trial *trial);
} runs[] = {
    {"uniform", run_uniform},
    {"activate", run_activate},
    {"activate, no samples", run_activate_probabilities},
    {"activate, in place", run_activate_in_place},
    {"bernoulli", run_bernoulli},
    {"drop", run_drop},
    {"normal", run_normal},
    {"exp and tanh", run_exp_tanh},
    {"softplus", run_softplus},
    {"sums", run_sums},
    {"max_difference", run_max_difference},
    {"add_columns", run_add_columns},
    {"add", run_add},
    {"transpose", run_transpose},
    {"sgd", run_sgd},
    {"adam", run_adam},
};
enum { RUNS = sizeof runs / sizeof runs[0] };

static trial trial_init(int64_t n, numbers_kind kind)
{
    trial t = {.n = n,
               .x = numbers(ROWS * n, 1, kind),
               .y = numbers(ROWS * n, 3, kind),
               .bias = numbers(n, 2, kind),
               .out1 = numbers_zero(ROWS * n),
               .out2 = numbers(ROWS * n, 3, kind),
               .out3 = numbers(n, 2, kind)};
    for (int64_t i = 0; i < n; i++) t.out3[i] = fabsf(t.out3[i]);
    return t;
}

static void trial_free(trial *t)
{
    free((void *)t->x), free((void *)t->y), free((void *)t->bias);
    free(t->out1), free(t->out2), free(t->out3);
}

/* The 64 floats after the end are compared too: nothing may be written there. */
static void compare(const struct kernel_run *kernel, const hm_isa *isa, int64_t n, numbers_kind kind)
{
    trial ours = trial_init(n, kind), reference = trial_init(n, kind);
    kernel->run(isa->kernels, &ours);
    kernel->run(&hm_kernels_scalar, &reference);
    numbers_same(kernel->name, isa->name, ROWS * n + 64, ours.out1, reference.out1);
    numbers_same(kernel->name, isa->name, ROWS * n + 64, ours.out2, reference.out2);
    numbers_same(kernel->name, isa->name, n + 64, ours.out3, reference.out3);
    for (int sum = 0; sum < 3; sum++) {
        bool same = memcmp(&ours.sums[sum], &reference.sums[sum], sizeof(double)) == 0;
        if (!same && !(isnan(ours.sums[sum]) && isnan(reference.sums[sum])))
            fail_msg("%s %d, %s, %lld: %a, expected %a", kernel->name, sum, isa->name, (long long)n, ours.sums[sum],
                     reference.sums[sum]);
    }
    trial_free(&ours);
    trial_free(&reference);
}

static void every_instruction_set_gives_the_same_bits(void **state)
{
    (void)state;
    const hm_isa *isas;
    int count = hm_isa_list(&isas);
    assert_string_equal(isas[count - 1].name, "scalar");
    for (int isa = 0; isa + 1 < count; isa++) {
        print_message("  %s\n", isas[isa].name);
        for (int kernel = 0; kernel < RUNS; kernel++)
            for (int size = 0; size < AWKWARD_SIZES; size++)
                for (numbers_kind kind = NUMBERS_PLAIN; kind <= NUMBERS_NASTY; kind++)
                    compare(&runs[kernel], &isas[isa], awkward_sizes[size], kind);
    }
}

/* The order that kernels_body.h promises: 16 partial sums (column mod 16) of up to 1024 columns in float32, added in
 * float64 from 0 to 15. y is NULL for a plain sum. */
static double sum_in_order(int64_t n, const float *x, const float *y)
{
    double total = 0;
    for (int64_t begin = 0; begin < n; begin += 1024) {
        float partial[16] = {0};
        double run = 0;
        for (int64_t c = begin; c < n && c < begin + 1024; c++)
            partial[c % 16] = y ? fmaf(x[c], y[c], partial[c % 16]) : partial[c % 16] + x[c];
        for (int lane = 0; lane < 16; lane++) run += (double)partial[lane];
        total += run;
    }
    return total;
}

static void sums_have_their_order(void **state)
{
    (void)state;
    static const int64_t lengths[] = {1, 17, 784, 1023, 1024, 1025, 5000};
    const hm_isa *isas;
    int count = hm_isa_list(&isas);
    for (int isa = 0; isa < count; isa++)
        for (int at = 0; at < 7; at++) {
            int64_t n = lengths[at];
            float *x = numbers(n, 71, NUMBERS_PLAIN), *y = numbers(n, 72, NUMBERS_PLAIN);
            assert_true(isas[isa].kernels->sum(n, x) == sum_in_order(n, x, NULL));
            assert_true(isas[isa].kernels->dot(n, x, y) == sum_in_order(n, x, y));
            free(x), free(y);
        }
}

/* Pointers may have any alignment: one float off, and results where they belong. */
static void alignment_does_not_matter(void **state)
{
    (void)state;
    enum { N = 200 };
    const hm_isa *isas;
    int count = hm_isa_list(&isas);
    float *x = numbers(N + 1, 5, NUMBERS_PLAIN), *out = numbers_zero(N + 1), *expected = numbers_zero(N);
    for (int isa = 0; isa < count; isa++) {
        hm_kernels_scalar.activate(1, N, x + 1, 1.0f, NULL, expected, NULL, NULL, 0);
        isas[isa].kernels->activate(1, N, x + 1, 1.0f, NULL, out + 1, NULL, NULL, 0);
        numbers_same("activate off by one", isas[isa].name, N, out + 1, expected);
        assert_true(out[0] == 0);
    }
    free(x), free(out), free(expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_instruction_set_gives_the_same_bits),
        cmocka_unit_test(dropped_units_are_zero),
        cmocka_unit_test(sums_have_their_order),
        cmocka_unit_test(alignment_does_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
