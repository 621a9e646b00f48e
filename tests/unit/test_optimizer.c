/* SGD and Adam against their formulas in float64, schedules, the limit of norms, and what an optimiser leaves alone. */
#include "train/optimizer.h"

#include "core/memory.h"
#include "core/rng.h"
#include "small_rbm.h"

#include <math.h>

enum { N = 40007, STEPS = 10, BATCH = 20 }; /* several chunks of a thread, and a rest */

/* Weights, biases, and running means that no optimiser may touch. */
static hm_layout three_tensors(void)
{
    hm_layout layout = {0};
    int index;
    assert_ok(hm_layout_add(&layout, (hm_tensor){.name = "w", .dims = 1, .shape = {N}, .decays = true}, &index));
    assert_ok(hm_layout_add(&layout, (hm_tensor){.name = "bias", .dims = 1, .shape = {N}}, &index));
    assert_ok(hm_layout_add(&layout, (hm_tensor){.name = "mean", .dims = 1, .shape = {N}, .role = HM_RUNNING}, &index));
    return layout;
}

typedef struct reference {
    double w, m, v;
} reference;

static void reference_step(const hm_optimizer_settings *s, reference *r, double grad, double rate, int step,
                           bool decays)
{
    double decay = decays ? s->weight_decay : 0;
    if (s->optimizer == HM_SGD) {
        r->m = s->momentum * r->m + rate * (grad / BATCH - decay * r->w);
        r->w += r->m;
        return;
    }
    double g = grad / BATCH - decay * r->w;
    r->m = s->beta1 * r->m + (1 - s->beta1) * g;
    r->v = s->beta2 * r->v + (1 - s->beta2) * g * g;
    double m_hat = r->m / (1 - pow(s->beta1, step + 1)), v_hat = r->v / (1 - pow(s->beta2, step + 1));
    r->w += rate * m_hat / (sqrt(v_hat) + s->epsilon);
}

/* The largest difference of the learnt tensors from the formulas after STEPS steps; `out` receives the parameters. */
static double train(const hm_optimizer_settings *settings, const hm_team *team, const hm_layout *layout, float *out)
{
    static reference refs[2][N];
    hm_optimizer optimizer;
    float *grad;
    hm_stream stream = {.seed = 2, .purpose = HM_RNG_SYNTH};
    assert_ok(hm_optimizer_init(&optimizer, settings, layout));
    assert_ok(hm_pack_alloc(layout, "a gradient", &grad));
    for (int64_t i = 0; i < layout->size; i++) out[i] = (float)hm_random_normal(&stream, 0, i);
    for (int t = 0; t < 2; t++)
        for (int i = 0; i < N; i++) refs[t][i] = (reference){.w = (double)out[layout->tensors[t].offset + i]};
    for (int step = 0; step < STEPS; step++) {
        for (int64_t i = 0; i < layout->size; i++) grad[i] = (float)(BATCH * hm_random_normal(&stream, 1 + step, i));
        double rate = hm_learning_rate(settings, step, STEPS);
        hm_optimizer_step(&optimizer, team, step, rate, BATCH, grad, out);
        for (int t = 0; t < 2; t++)
            for (int i = 0; i < N; i++)
                reference_step(settings, &refs[t][i], (double)grad[layout->tensors[t].offset + i], rate, step, t == 0);
    }
    double worst = 0;
    for (int t = 0; t < 2; t++)
        for (int i = 0; i < N; i++) {
            double error = fabs((double)out[layout->tensors[t].offset + i] - refs[t][i].w);
            if (!(error <= worst)) worst = error; /* a NaN stays */
        }
    for (int i = 0; i < N; i++) /* the running tensor is as it was */
        assert_true(out[layout->tensors[2].offset + i] ==
                    (float)hm_random_normal(&stream, 0, layout->tensors[2].offset + i));
    hm_optimizer_free(&optimizer);
    free(grad);
    return worst;
}

/* Ten steps of numbers of size about 1, a few roundings each; the same bits on any number of threads. */
static void compare(hm_optimizer_settings settings)
{
    const double allowed = STEPS * 8 * 0x1p-23;
    hm_layout layout = three_tensors();
    float *one, *three;
    assert_ok(hm_pack_alloc(&layout, "parameters", &one));
    assert_ok(hm_pack_alloc(&layout, "parameters", &three));
    double worst = train(&settings, &one_thread, &layout, one);
    print_message("  off by %.2g, allowed %.2g\n", worst, allowed);
    assert_true(worst <= allowed);
    assert_true(train(&settings, &three_threads, &layout, three) == worst);
    assert_memory_equal(one, three, (size_t)layout.size * sizeof(float));
    free(one), free(three);
}

static void sgd_is_its_formula(void **state)
{
    (void)state;
    compare((hm_optimizer_settings){.learning_rate = 0.1});
    compare((hm_optimizer_settings){.learning_rate = 0.1, .momentum = 0.9, .weight_decay = 0.01});
}

/* Kingma & Ba 2015, algorithm 1. */
static void adam_is_its_formula(void **state)
{
    (void)state;
    compare((hm_optimizer_settings){
        .optimizer = HM_ADAM, .learning_rate = 0.05, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8});
    compare((hm_optimizer_settings){.optimizer = HM_ADAM,
                                    .learning_rate = 0.05,
                                    .beta1 = 0.5,
                                    .beta2 = 0.9,
                                    .epsilon = 1e-3,
                                    .weight_decay = 0.1,
                                    .schedule = HM_SCHEDULE_LINEAR});
}

/* With a gradient of zero only decay moves: weights shrink by 1 - rate decay, and what does not decay stays. */
static void only_weights_decay(void **state)
{
    (void)state;
    const hm_optimizer_settings settings = {.learning_rate = 0.5, .weight_decay = 0.25};
    hm_layout layout = three_tensors();
    hm_optimizer optimizer;
    float *params, *grad;
    assert_ok(hm_optimizer_init(&optimizer, &settings, &layout));
    assert_int_equal(optimizer.moments, 0); /* plain SGD keeps nothing */
    assert_ok(hm_pack_alloc(&layout, "parameters", &params));
    assert_ok(hm_pack_alloc(&layout, "a gradient", &grad));
    for (int64_t i = 0; i < layout.size; i++) params[i] = 2;
    hm_optimizer_step(&optimizer, &one_thread, 0, 0.5, BATCH, grad, params);
    for (int i = 0; i < N; i++) {
        assert_true(params[layout.tensors[0].offset + i] == 2 * (1 - 0.5f * 0.25f));
        assert_true(params[layout.tensors[1].offset + i] == 2);
        assert_true(params[layout.tensors[2].offset + i] == 2);
    }
    hm_optimizer_free(&optimizer);
    free(params), free(grad);
}

/* Columns longer than the limit are cut to it, the others and what does not decay stay; whatever the threads. */
static void norms_are_limited(void **state)
{
    (void)state;
    enum { ROWS = 90, COLUMNS = 150 };
    const double most = 9.5;
    const hm_optimizer_settings settings = {.max_norm = most};
    hm_layout layout = {0};
    hm_optimizer optimizer;
    hm_stream stream = {.seed = 5, .purpose = HM_RNG_SYNTH};
    float *params[3], *grad;
    int w, still, cut = 0;
    hm_tensor weights = {.name = "w", .dims = 2, .shape = {ROWS, COLUMNS}, .decays = true};
    assert_ok(hm_layout_add(&layout, weights, &w));
    weights.name = "still";
    assert_ok(hm_layout_add(&layout, weights, &still));
    assert_ok(hm_optimizer_init(&optimizer, &settings, &layout));
    optimizer.learns[still] = false;
    assert_ok(hm_pack_alloc(&layout, "a gradient", &grad));
    for (int p = 0; p < 3; p++) {
        assert_ok(hm_pack_alloc(&layout, "parameters", &params[p]));
        for (int64_t i = 0; i < layout.size; i++) params[p][i] = (float)hm_random_normal(&stream, 0, i);
    }
    hm_optimizer_step(&optimizer, &one_thread, 0, 0.1, BATCH, grad, params[1]);
    hm_optimizer_step(&optimizer, &three_threads, 0, 0.1, BATCH, grad, params[2]);
    assert_memory_equal(params[1], params[2], (size_t)layout.size * sizeof(float));
    hm_matrix before = hm_pack_matrix(&layout, params[0], w), after = hm_pack_matrix(&layout, params[1], w);
    for (int64_t j = 0; j < COLUMNS; j++) {
        double was = 0, is = 0;
        for (int64_t i = 0; i < ROWS; i++) {
            was += pow((double)before.at[i * COLUMNS + j], 2);
            is += pow((double)after.at[i * COLUMNS + j], 2);
        }
        cut += was > most * most;
        assert_true(fabs(sqrt(is) - fmin(sqrt(was), most)) < 1e-6 * most);
    }
    assert_true(cut > 10 && cut < COLUMNS - 10);
    assert_memory_equal(hm_pack_matrix(&layout, params[0], still).at, hm_pack_matrix(&layout, params[1], still).at,
                        ROWS * COLUMNS * sizeof(float));
    hm_optimizer_free(&optimizer);
    for (int p = 0; p < 3; p++) free(params[p]);
    free(grad);
}

static void schedules_pass_through_their_points(void **state)
{
    (void)state;
    hm_optimizer_settings s = {.learning_rate = 0.4, .half_life = 5, .final_learning_rate = 0.1};
    assert_close(hm_learning_rate(&s, 7, 10), 0.4, 0);
    s.schedule = HM_SCHEDULE_INVERSE;
    assert_close(hm_learning_rate(&s, 0, 10), 0.4, 0);
    assert_close(hm_learning_rate(&s, 5, 10), 0.2, 1e-15);
    assert_close(hm_learning_rate(&s, 15, 10), 0.1, 1e-15);
    s.schedule = HM_SCHEDULE_LINEAR;
    assert_close(hm_learning_rate(&s, 0, 10), 0.4, 0);
    assert_close(hm_learning_rate(&s, 5, 10), 0.25, 1e-15);
    assert_close(hm_learning_rate(&s, 10, 10), 0.1, 1e-15);
    assert_close(hm_learning_rate(&s, 2.5, 10), 0.325, 1e-15); /* fractions of an epoch count */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sgd_is_its_formula),
        cmocka_unit_test(adam_is_its_formula),
        cmocka_unit_test(only_weights_decay),
        cmocka_unit_test(norms_are_limited),
        cmocka_unit_test(schedules_pass_through_their_points),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
