/* The direction of an update: exact gradients against finite differences of the enumerated log-likelihood, the centred
 * one and the pull to sparsity against their definitions in float64. */
#include "rbm_training.h"

enum { ROWS = 40 };

/* A model with its data and loop, parameters frozen. Stays where it is. */
typedef struct frozen {
    rbm_training t;
    unsigned char *data;
    double *theta;
    float *grad; /* a pack */
    int64_t V, H, count;
} frozen;

static void freeze(frozen *f, int64_t V, int64_t H, int shards)
{
    hm_model *model = small_rbm(V, H, 0.7, 0.5, 11, &one_thread);
    *f = (frozen){.data = rbm_training_data(ROWS, V, 0.4, 3), .V = V, .H = H, .count = V * H + V + H};
    small_rbm_normal(small_rbm_tensor(model, "mu"), 0.3, 5, 3);
    small_rbm_normal(small_rbm_tensor(model, "lambda"), 0.3, 5, 4);
    f->theta = rbm_parameters(model);
    assert_ok(hm_pack_alloc(&model->layout, "a gradient", &f->grad));
    rbm_training_start(&f->t, model, f->data, ROWS,
                       (rbm_training_options){.how = {.estimator = HM_EXACT}, .shards = shards});
}

static void thaw(frozen *f)
{
    free(f->data), free(f->theta), free(f->grad);
    rbm_training_end(&f->t);
}

/* Gradient and finish as in an update; the caller frees it. */
static double *direction(frozen *f, hm_contrast_settings how)
{
    hm_model *model = f->t.model;
    if (how.offset_rate == 0) how.offset_rate = 1e-9;
    assert_ok(hm_contrast_gradient(f->t.contrast, 0, 0, 0, f->grad));
    model->class->objectives[0]->finish(model, &how, false, ROWS, f->grad);
    return rbm_flat_gradient(model, f->grad);
}

/* Relative error of each tensor; a wrong sign is an error of 2. */
static void compare_tensors(const frozen *f, const double *ours, const double *expected, double allowed)
{
    const struct {
        const char *name;
        int64_t begin, count;
    } tensors[] = {{"W", 0, f->V * f->H}, {"b", f->V * f->H, f->V}, {"c", f->V * f->H + f->V, f->H}};
    for (int at = 0; at < 3; at++) {
        const double *reference = expected + tensors[at].begin;
        double size = rbm_norm(reference, tensors[at].count);
        assert_true(size > 1); /* a gradient that is all zero proves nothing */
        double relative = rbm_distance(ours + tensors[at].begin, reference, tensors[at].count) / size;
        print_message("  %lld x %lld, %s: size %.2f, relative error %.2g, allowed %.2g\n", (long long)f->V,
                      (long long)f->H, tensors[at].name, size, relative, allowed);
        if (!(relative < allowed)) fail_msg("the gradient of %s is off by %g of its size", tensors[at].name, relative);
    }
}

static void compare_exact(int64_t V, int64_t H, int shards)
{
    frozen f;
    freeze(&f, V, H, shards);
    double *ours = direction(&f, (hm_contrast_settings){.estimator = HM_EXACT});
    double *numeric = rbm_numeric_gradient(f.theta, V, H, f.data, ROWS);
    compare_tensors(&f, ours, numeric, 1e-4);
    free(ours), free(numeric);
    thaw(&f);
}

static void exact_gradient_matches_finite_differences(void **state)
{
    (void)state;
    compare_exact(7, 4, 4); /* hidden units enumerated */
    compare_exact(4, 6, 4); /* visible units enumerated */
    compare_exact(5, 5, 8);
    compare_exact(6, 2, 16); /* fewer configurations than shards */
}

/* out += weight <(v - mu)(h - lambda)', v, h> over p(h | v), from energies; v in bits. */
static void add_statistics(const frozen *f, int64_t v, double weight, const double *mu, const double *lambda,
                           double *out)
{
    int64_t V = f->V, H = f->H;
    double log_p_star = rbm_log_p_star(f->theta, V, H, v);
    for (int64_t h = 0; h < (int64_t)1 << H; h++) {
        double p = weight * exp(-rbm_energy(f->theta, V, H, v, h) - log_p_star);
        for (int64_t i = 0; i < V; i++)
            for (int64_t j = 0; j < H; j++)
                out[i * H + j] += p * ((double)(v >> i & 1) - mu[i]) * ((double)(h >> j & 1) - lambda[j]);
        for (int64_t i = 0; i < V; i++) out[V * H + i] += p * (double)(v >> i & 1);
        for (int64_t j = 0; j < H; j++) out[V * H + V + j] += p * (double)(h >> j & 1);
    }
}

/* The gradient in the centred parameters, data less model (Melchior et al. 2016, eq. 8-10). The caller frees it. */
static double *centred_gradient(const frozen *f, const double *mu, const double *lambda)
{
    double *gradient = calloc((size_t)f->count, sizeof *gradient), log_z = rbm_log_z(f->theta, f->V, f->H);
    for (int64_t row = 0; row < ROWS; row++)
        add_statistics(f, rbm_bits(f->data + row * f->V, f->V), 1, mu, lambda, gradient);
    for (int64_t v = 0; v < (int64_t)1 << f->V; v++)
        add_statistics(f, v, -ROWS * exp(rbm_log_p_star(f->theta, f->V, f->H, v) - log_z), mu, lambda, gradient);
    return gradient;
}

/* In the parameters of the plain RBM: b = b_centred - W lambda and c = c_centred - W' mu move with W. */
static void to_plain_parameters(const frozen *f, const double *mu, const double *lambda, double *gradient)
{
    double *db = gradient + f->V * f->H, *dc = db + f->V;
    for (int64_t i = 0; i < f->V; i++)
        for (int64_t j = 0; j < f->H; j++) {
            db[i] -= gradient[i * f->H + j] * lambda[j];
            dc[j] -= gradient[i * f->H + j] * mu[i];
        }
}

/* d log-likelihood along a direction. */
static double slope(const frozen *f, const double *along)
{
    const double step = 1e-6;
    double *theta = malloc((size_t)f->count * sizeof *theta), value[2];
    for (int side = 0; side < 2; side++) {
        for (int64_t p = 0; p < f->count; p++) theta[p] = f->theta[p] + (side ? step : -step) * along[p];
        value[side] = rbm_log_likelihood(theta, f->V, f->H, f->data, ROWS);
    }
    free(theta);
    return (value[1] - value[0]) / (2 * step);
}

static double *as_double(hm_matrix m)
{
    double *values = malloc((size_t)(m.rows * m.columns) * sizeof *values);
    for (int64_t i = 0; i < m.rows * m.columns; i++) values[i] = (double)m.at[i];
    return values;
}

static void compare_centred(int64_t V, int64_t H)
{
    frozen f;
    freeze(&f, V, H, 4);
    double *mu = as_double(small_rbm_tensor(f.t.model, "mu")),
           *lambda = as_double(small_rbm_tensor(f.t.model, "lambda"));
    double *ours = direction(&f, (hm_contrast_settings){.estimator = HM_EXACT, .centered = true});
    double *expected = centred_gradient(&f, mu, lambda), *plain = rbm_numeric_gradient(f.theta, V, H, f.data, ROWS);
    double steepest = rbm_norm(expected, f.count) * rbm_norm(expected, f.count);
    to_plain_parameters(&f, mu, lambda, expected);
    compare_tensors(&f, ours, expected, 1e-5);
    assert_true(rbm_distance(ours, plain, f.count) > 0.1 * rbm_norm(plain, f.count)); /* it is another one */
    /* A gradient in other coordinates: uphill, by the square of its size in those. */
    assert_true(steepest > 1);
    assert_close(slope(&f, ours), steepest, 1e-4 * steepest);
    free(mu), free(lambda), free(ours), free(expected), free(plain);
    thaw(&f);
}

static void centred_gradient_is_its_definition_and_climbs(void **state)
{
    (void)state;
    compare_centred(6, 4);
    compare_centred(4, 6);
}

/* Of the derivative of the penalty: cost (target - q) on each row's hidden units (Hinton 2010, section 11). */
static void sparsity_adds_the_derivative_of_its_penalty(void **state)
{
    (void)state;
    const double cost = 0.7, target = 0.2;
    frozen f;
    freeze(&f, 6, 4, 4);
    hm_matrix q = small_rbm_tensor(f.t.model, "lambda");
    float q_before[4];
    memcpy(q_before, q.at, sizeof q_before);
    double *without = direction(&f, (hm_contrast_settings){.estimator = HM_EXACT});
    memcpy(q.at, q_before, sizeof q_before);
    double *with =
        direction(&f, (hm_contrast_settings){.estimator = HM_EXACT, .sparsity_cost = cost, .sparsity_target = target});
    double *expected = calloc((size_t)f.count, sizeof *expected), *c = expected + 6 * 4 + 6;
    for (int j = 0; j < 4; j++) {
        double pull = cost * (target - (double)q_before[j]);
        c[j] = ROWS * pull;
        for (int row = 0; row < ROWS; row++)
            for (int i = 0; i < 6; i++) expected[i * 4 + j] += f.data[row * 6 + i] ? pull : 0;
    }
    for (int64_t p = 0; p < f.count; p++) assert_true(fabs(with[p] - without[p] - expected[p]) <= 2e-5);
    assert_true(rbm_norm(expected, f.count) > 1);
    free(without), free(with), free(expected);
    thaw(&f);
}

/* mean += offset_rate (batch mean - mean), of each unit, centred or not: mu of v, lambda of p(h | v). */
static void offsets_move_to_the_means_of_the_batch(void **state)
{
    (void)state;
    const double rate = 0.25;
    for (int centered = 0; centered < 2; centered++) {
        frozen f;
        freeze(&f, 6, 4, 4);
        hm_matrix mu = small_rbm_tensor(f.t.model, "mu"), lambda = small_rbm_tensor(f.t.model, "lambda");
        double expected[6 + 4];
        for (int i = 0; i < 6; i++) expected[i] = (1 - rate) * (double)mu.at[i];
        for (int j = 0; j < 4; j++) expected[6 + j] = (1 - rate) * (double)lambda.at[j];
        for (int row = 0; row < ROWS; row++) {
            int64_t v = rbm_bits(f.data + row * 6, 6);
            for (int i = 0; i < 6; i++) expected[i] += rate * (double)(v >> i & 1) / ROWS;
            for (int j = 0; j < 4; j++) expected[6 + j] += rate * rbm_hidden_mean(f.theta, 6, 4, v, j) / ROWS;
        }
        free(direction(&f, (hm_contrast_settings){.estimator = HM_EXACT, .centered = centered, .offset_rate = rate}));
        for (int i = 0; i < 6; i++) assert_true(fabs((double)mu.at[i] - expected[i]) <= 1e-6);
        for (int j = 0; j < 4; j++) assert_true(fabs((double)lambda.at[j] - expected[6 + j]) <= 1e-6);
        thaw(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_gradient_matches_finite_differences),
        cmocka_unit_test(centred_gradient_is_its_definition_and_climbs),
        cmocka_unit_test(sparsity_adds_the_derivative_of_its_penalty),
        cmocka_unit_test(offsets_move_to_the_means_of_the_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
