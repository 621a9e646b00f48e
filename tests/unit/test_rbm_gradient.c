/* The gradients of the RBM: exact against finite differences of the enumerated log-likelihood, centred against its
 * definition, CD and PCD against exact. */
#include "rbm_training.h"

enum { ROWS = 40 };

/* The loop's gradient with frozen parameters; the caller frees it. */
static double *gradient_of(rbm_training *t, float *grad)
{
    assert_ok(hm_contrast_gradient(t->contrast, 0, 0, grad));
    return rbm_flat_gradient(t->model, grad);
}

static void compare_exact(int64_t V, int64_t H)
{
    rbm_training t;
    unsigned char *data = rbm_training_data(ROWS, V, 0.4, 3);
    hm_model *model = small_rbm(V, H, 0.7, 0.5, 11, &one_thread);
    double *theta = rbm_parameters(model);
    float *grad;
    rbm_training_start(&t, model, data, ROWS, (rbm_training_options){.how = {.estimator = HM_EXACT}});
    assert_ok(hm_pack_alloc(&model->layout, "a gradient", &grad));
    double *ours = gradient_of(&t, grad), *numeric = rbm_numeric_gradient(theta, V, H, data, ROWS);
    int64_t count = V * H + V + H;
    double size = rbm_norm(numeric, count);
    assert_true(size > 1); /* a gradient that is all zero proves nothing */
    double relative = rbm_distance(ours, numeric, count) / size;
    print_message("  %lld x %lld: relative error of the exact gradient %.3g, allowed 1e-4\n", (long long)V,
                  (long long)H, relative);
    assert_true(relative < 1e-4);
    for (int64_t p = 0; p < count; p++) assert_true(fabs(ours[p] - numeric[p]) <= 1e-4 * size); /* sign and place */
    free(ours);
    free(numeric);
    free(theta);
    free(grad);
    free(data);
    rbm_training_end(&t);
}

static void exact_gradient_matches_finite_differences(void **state)
{
    (void)state;
    compare_exact(7, 4); /* hidden units enumerated */
    compare_exact(4, 6); /* visible units enumerated */
}

/* W: sum (v - mu)(h - lambda)' over data minus model; b, c: plain less W lambda, W' mu - from the plain sums, in
 * float64. */
static void centred_gradient_is_its_definition(void **state)
{
    (void)state;
    enum { V = 6, H = 4 };
    rbm_training t;
    unsigned char *data = rbm_training_data(ROWS, V, 0.4, 3);
    hm_model *model = small_rbm(V, H, 0.7, 0.5, 11, &one_thread);
    float *grad, mu[V], lambda[H];
    small_rbm_normal(small_rbm_tensor(model, "mu"), 0.3, 5, 3);
    small_rbm_normal(small_rbm_tensor(model, "lambda"), 0.3, 5, 4);
    memcpy(mu, small_rbm_tensor(model, "mu").at, sizeof mu);
    memcpy(lambda, small_rbm_tensor(model, "lambda").at, sizeof lambda);
    rbm_training_start(&t, model, data, ROWS, (rbm_training_options){.how = {.estimator = HM_EXACT, .centered = true}});
    assert_ok(hm_pack_alloc(&model->layout, "a gradient", &grad));
    double *plain = gradient_of(&t, grad), expected[V * H + V + H];
    double *db = expected + V * H, *dc = db + V;
    for (int i = 0; i < V; i++)
        for (int j = 0; j < H; j++)
            expected[i * H + j] =
                plain[i * H + j] - (double)mu[i] * plain[V * H + V + j] - (double)lambda[j] * plain[V * H + i];
    for (int i = 0; i < V; i++) {
        db[i] = plain[V * H + i];
        for (int j = 0; j < H; j++) db[i] -= expected[i * H + j] * (double)lambda[j];
    }
    for (int j = 0; j < H; j++) {
        dc[j] = plain[V * H + V + j];
        for (int i = 0; i < V; i++) dc[j] -= expected[i * H + j] * (double)mu[i];
    }
    hm_contrast_settings how = {.centered = true, .offset_rate = 0.25};
    model->class->finish(model, &how, ROWS, grad);
    double *ours = rbm_flat_gradient(model, grad);
    double relative = rbm_distance(ours, expected, V * H + V + H) / rbm_norm(expected, V * H + V + H);
    print_message("  relative error of the centred gradient %.3g, allowed 1e-5\n", relative);
    assert_true(relative < 1e-5);
    assert_true(rbm_distance(expected, plain, V * H + V + H) >
                0.1 * rbm_norm(plain, V * H + V + H)); /* it is another one */

    /* The running mean moves by offset_rate towards the batch's. */
    double mean = 0;
    for (int row = 0; row < ROWS; row++) mean += data[row * V] ? 1.0 / ROWS : 0;
    assert_close((double)small_rbm_tensor(model, "mu").at[0], (double)mu[0] + 0.25 * (mean - (double)mu[0]), 1e-6);
    free(plain);
    free(ours);
    free(grad);
    free(data);
    rbm_training_end(&t);
}

/* Mean of many gradients with frozen parameters, less the exact one, relative to it. */
static double bias_of(hm_estimator estimator, int64_t k, int updates)
{
    enum { V = 6, H = 4, BURN_IN = 200 };
    rbm_training t;
    unsigned char *data = rbm_training_data(ROWS, V, 0.4, 3);
    hm_model *model = small_rbm(V, H, 1.0, 0.5, 11, &one_thread);
    double *theta = rbm_parameters(model), *exact = rbm_numeric_gradient(theta, V, H, data, ROWS);
    double mean[V * H + V + H] = {0};
    float *grad;
    rbm_training_start(
        &t, model, data, ROWS,
        (rbm_training_options){.how = {.estimator = estimator, .k = k, .chains = estimator == HM_PCD ? 400 : 0}});
    assert_ok(hm_pack_alloc(&model->layout, "a gradient", &grad));
    int skipped = estimator == HM_PCD ? BURN_IN : 0;
    for (int update = -skipped; update < updates; update++) {
        double *one = gradient_of(&t, grad);
        t.contrast->step++; /* another step of the random streams */
        for (int p = 0; update >= 0 && p < V * H + V + H; p++) mean[p] += one[p] / updates;
        free(one);
    }
    double bias = rbm_distance(mean, exact, V * H + V + H) / rbm_norm(exact, V * H + V + H);
    print_message("  %s-%lld: distance of the mean gradient to the exact one %.4f of its size\n",
                  estimator == HM_CD ? "CD" : "PCD", (long long)k, bias);
    free(theta);
    free(exact);
    free(grad);
    free(data);
    rbm_training_end(&t);
    return bias;
}

/* The noise of these means, measured between seeds, is about 0.01: the allowed distances are several times that. */
static void cd_approaches_exact_as_k_grows(void **state)
{
    (void)state;
    double cd1 = bias_of(HM_CD, 1, 1500), cd5 = bias_of(HM_CD, 5, 1500), cd50 = bias_of(HM_CD, 50, 1500);
    assert_true(cd1 > 0.1); /* CD-1 is biased: otherwise this proves nothing */
    assert_true(cd5 < cd1);
    assert_true(cd50 < 0.04);
}

static void persistent_chains_are_unbiased(void **state)
{
    (void)state;
    assert_true(bias_of(HM_PCD, 1, 1500) < 0.04);
}

/* Small exact steps raise the exact log-likelihood, every one of them. */
static void exact_training_climbs(void **state)
{
    (void)state;
    enum { V = 6, H = 4 };
    unsigned char *data = rbm_training_data(ROWS, V, 0.3, 9);
    double last = -INFINITY;
    for (int64_t epochs = 1; epochs <= 31; epochs += 10) {
        rbm_training t;
        rbm_training_start(&t, small_rbm(V, H, 0.1, 0.1, 2, &one_thread), data, ROWS,
                           (rbm_training_options){.how = {.estimator = HM_EXACT, .centered = true},
                                                  .optimizer = {.learning_rate = 0.05},
                                                  .epochs = epochs});
        assert_ok(hm_contrast_run(t.contrast, &rbm_training_unobserved));
        double *theta = rbm_parameters(t.model), value = rbm_log_likelihood(theta, V, H, data, ROWS) / ROWS;
        print_message("  after %lld updates: %.5f nats\n", (long long)epochs, value);
        assert_true(value > last);
        last = value;
        free(theta);
        rbm_training_end(&t);
    }
    free(data);
}

/* Mean of p(h | v) over the data and the hidden units, after training with the given cost. */
static double mean_activity(double cost)
{
    enum { V = 8, H = 6 };
    rbm_training t;
    unsigned char *data = rbm_training_data(ROWS, V, 0.5, 9);
    rbm_training_start(
        &t, small_rbm(V, H, 0.1, 0.1, 2, &one_thread), data, ROWS,
        (rbm_training_options){.how = {.estimator = HM_PCD, .sparsity_target = 0.1, .sparsity_cost = cost},
                               .optimizer = {.learning_rate = 0.1},
                               .epochs = 2000});
    assert_ok(hm_contrast_run(t.contrast, &rbm_training_unobserved));
    hm_matrix lambda = small_rbm_tensor(t.model, "lambda");
    double mean = 0;
    for (int j = 0; j < H; j++) mean += (double)lambda.at[j] / H;
    free(data);
    rbm_training_end(&t);
    return mean;
}

static void sparsity_pulls_to_its_target(void **state)
{
    (void)state;
    double without = mean_activity(0), with = mean_activity(1);
    print_message("  mean activity %.3f, with a target of 0.1: %.3f\n", without, with);
    assert_true(without > 0.3);
    assert_true(fabs(with - 0.1) < 0.03);
}

static void divergence_is_refused_by_name(void **state)
{
    (void)state;
    rbm_training t;
    unsigned char *data = rbm_training_data(ROWS, 6, 0.3, 9);
    rbm_training_start(&t, small_rbm(6, 4, 0.1, 0.1, 2, &one_thread), data, ROWS,
                       (rbm_training_options){.how = {.estimator = HM_PCD},
                                              .epochs = 200,
                                              .optimizer = {.learning_rate = 1e38, .momentum = 0.9}});
    assert_int_equal(hm_contrast_run(t.contrast, &rbm_training_unobserved), HM_ENUMERIC);
    assert_non_null(strstr(hm_error_message(), "after update"));
    assert_non_null(strstr(hm_error_message(), "learning_rate"));
    hm_error_clear();
    free(data);
    rbm_training_end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_gradient_matches_finite_differences),
        cmocka_unit_test(centred_gradient_is_its_definition),
        cmocka_unit_test(cd_approaches_exact_as_k_grows),
        cmocka_unit_test(persistent_chains_are_unbiased),
        cmocka_unit_test(exact_training_climbs),
        cmocka_unit_test(sparsity_pulls_to_its_target),
        cmocka_unit_test(divergence_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
