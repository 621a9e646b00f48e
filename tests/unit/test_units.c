/* Gaussian, softmax and rectified units, against numerical integration, enumeration and finite differences. */
#include "small_rbm.h"

#include "boltzmann/machine.h"
#include "one_gradient.h"
#include "numbers.h"

/* An RBM with other units than binary ones. settings: pairs of key and value, NULL at the end. */
static hm_model *make_rbm(int64_t visible, const char *const settings[], double weights, double biases)
{
    hm_model *model = make_small_model("rbm", settings, visible, &three_threads);
    draw_small_model(model, weights, biases, 0.3f, 5);
    return model;
}

/* ---- Gaussian visible units ------------------------------------------------------------------------------------- */

enum { GV = 2, GH = 3 };

static const char *const plain_gaussian[] = {"hidden", "3", "visible_units", "gaussian", NULL};
static const char *const learnt_gaussian[] = {"hidden", "3", "visible_units", "gaussian", "learn_variance",
                                              "true",   NULL};

/* W (GV, GH), b, c, z = log variance, in float64. */
typedef struct gaussian {
    double W[GV][GH], b[GV], c[GH], z[GV];
} gaussian;

static gaussian gaussian_of(const hm_model *model)
{
    gaussian g = {0};
    bool learnt = hm_layout_find(&model->layout, "log_variance") >= 0;
    for (int i = 0; i < GV; i++) {
        for (int j = 0; j < GH; j++) g.W[i][j] = (double)small_rbm_tensor(model, "W").at[i * GH + j];
        g.b[i] = (double)small_rbm_tensor(model, "b").at[i];
        g.z[i] = learnt ? (double)small_rbm_tensor(model, "log_variance").at[i] : 0;
    }
    for (int j = 0; j < GH; j++) g.c[j] = (double)small_rbm_tensor(model, "c").at[j];
    return g;
}

/* log sum_h exp(-E(v, h)), E = sum (v - b)^2 / 2 s^2 - sum (v / s^2) W h - c'h. */
static double gaussian_log_p_star(const gaussian *g, const double v[GV])
{
    double total = 0;
    for (int i = 0; i < GV; i++) total -= pow(v[i] - g->b[i], 2) / (2 * exp(g->z[i]));
    for (int j = 0; j < GH; j++) {
        double input = g->c[j];
        for (int i = 0; i < GV; i++) input += v[i] / exp(g->z[i]) * g->W[i][j];
        total += log1p(exp(input));
    }
    return total;
}

/* log Z by the midpoint rule on a grid that holds all of the density. */
static double integrated_log_z(const gaussian *g)
{
    enum { POINTS = 1500 };
    const double reach = 15, step = 2 * reach / POINTS;
    double sum = 0;
    for (int x = 0; x < POINTS; x++)
        for (int y = 0; y < POINTS; y++) {
            const double v[GV] = {-reach + (x + 0.5) * step, -reach + (y + 0.5) * step};
            sum += exp(gaussian_log_p_star(g, v));
        }
    return log(sum * step * step);
}

/* The same in closed form: a mixture of 2^GH Gaussians. */
static double gaussian_log_z(const gaussian *g)
{
    double sum = 0;
    for (int h = 0; h < 1 << GH; h++) {
        double term = 0;
        for (int j = 0; j < GH; j++) term += (h >> j & 1) ? g->c[j] : 0;
        for (int i = 0; i < GV; i++) {
            double s2 = exp(g->z[i]), shift = 0;
            for (int j = 0; j < GH; j++) shift += (h >> j & 1) ? g->W[i][j] : 0;
            term += 0.5 * log(2 * M_PI * s2) + (2 * g->b[i] * shift + shift * shift) / (2 * s2);
        }
        sum += exp(term);
    }
    return log(sum);
}

static void check_log_z(const char *const settings[])
{
    hm_model *model = make_rbm(GV, settings, 1.2, 0.5);
    gaussian g = gaussian_of(model);
    hm_workers workers = serial_workers(&one_thread, 4, 9);
    hm_ais_settings ais = {.chains = 400, .ladder = HM_LADDER_LINEAR, .temperatures = 1000, .burn_in = 200};
    hm_ais_result result;
    float base[GV] = {0.2f, -0.3f}, start[400 * GV] = {0};
    double log_z, expected = integrated_log_z(&g);
    assert_close(gaussian_log_z(&g), expected, 1e-6);
    assert_ok(hm_exact_log_z(model, &workers, &log_z));
    assert_close(log_z, expected, 1e-5);
    assert_ok(hm_ais(model, base, &ais, &workers, &result));
    assert_close(result.log_z, expected, fmin(0.1, 4.5 * result.log_z_stderr));
    hm_ais_result_free(&result);
    assert_ok(hm_ais_reverse(model, base, (hm_matrix){start, 400, GV}, &ais, 0, NULL, &workers, &result));
    assert_close(result.log_z, expected, fmin(0.1, 4.5 * result.log_z_stderr));
    hm_ais_result_free(&result);
    hm_model_free(model);
}

static void gaussian_log_z_is_that_of_integration(void **state)
{
    (void)state;
    check_log_z(plain_gaussian);
    check_log_z(learnt_gaussian);
}

static void gaussian_free_energy_is_its_definition(void **state)
{
    (void)state;
    hm_model *model = make_rbm(GV, learnt_gaussian, 1.0, 0.6);
    gaussian g = gaussian_of(model);
    hm_arena scratch;
    assert_ok(hm_arena_init(&scratch, model->class->sampling_bytes(model, 1), "scratch"));
    for (int at = 0; at < 20; at++) {
        double v[GV] = {-3 + 0.31 * at, 2 - 0.17 * at}, energy;
        float rows[GV + 64] = {(float)v[0], (float)v[1]};
        hm_arena_reset(&scratch);
        v[0] = (double)rows[0], v[1] = (double)rows[1];
        assert_ok(model->class->free_energy(model, (hm_matrix){rows, 1, GV}, 0, &scratch, &energy));
        assert_true(fabs(energy + gaussian_log_p_star(&g, v)) < 1e-4);
    }
    hm_arena_free(&scratch);
    hm_model_free(model);
}

/* The exact gradient in each parameter, finish included, against central differences of the mean log-likelihood. */
static void gaussian_gradient_is_that_of_the_likelihood(void **state)
{
    enum { ROWS = 30, SHARDS = 4 };
    (void)state;
    hm_model *model = make_rbm(GV, learnt_gaussian, 0.8, 0.5);
    float *data = calloc(ROWS * GV, sizeof *data);
    hm_stream stream = {.seed = 3, .purpose = HM_RNG_SYNTH};
    for (int64_t row = 0; row < ROWS; row++)
        for (int64_t i = 0; i < GV; i++) data[row * GV + i] = (float)(1.5 * hm_random_normal(&stream, row, i));
    hm_contrast_settings how = {.estimator = HM_EXACT, .k = 1, .offset_rate = 0.01};
    one_gradient ours;
    one_gradient_make(&ours, model, NULL, &how, data, ROWS);
    gaussian g = gaussian_of(model);
    ours.contrast->objective->finish(model, &how, false, ROWS, ours.grad);
    static const struct {
        const char *name;
        size_t offset;
        int count;
    } parameters[] = {{"W", offsetof(gaussian, W), GV * GH},
                      {"b", offsetof(gaussian, b), GV},
                      {"c", offsetof(gaussian, c), GH},
                      {"log_variance", offsetof(gaussian, z), GV}};
    for (size_t at = 0; at < 4; at++) {
        const float *gradient = ours.grad + (small_rbm_tensor(model, parameters[at].name).at - model->params);
        double worst = 0;
        for (int i = 0; i < parameters[at].count; i++) {
            double side[2];
            for (int up = 0; up < 2; up++) {
                gaussian moved = g;
                ((double *)(void *)((char *)&moved + parameters[at].offset))[i] += up ? 1e-5 : -1e-5;
                side[up] = -ROWS * gaussian_log_z(&moved);
                for (int row = 0; row < ROWS; row++) {
                    const double v[GV] = {(double)data[row * GV], (double)data[row * GV + 1]};
                    side[up] += gaussian_log_p_star(&moved, v);
                }
            }
            worst = numbers_worse(worst, fabs((double)gradient[i] - (side[1] - side[0]) / 2e-5));
        }
        print_message("  %s: greatest error of a derivative %.2g\n", parameters[at].name, worst);
        assert_true(worst < 1e-3);
    }
    one_gradient_free(&ours);
}

/* Means and variances of Gibbs samples of a mixture that is known. */
static void gaussian_gibbs_has_the_exact_moments(void **state)
{
    enum { CHAINS = 20000, STEPS = 60 };
    (void)state;
    hm_model *model = make_rbm(GV, learnt_gaussian, 0.6, 0.4);
    gaussian g = gaussian_of(model);
    double mean[GV] = {0}, square[GV] = {0}, fourth[GV] = {0}, expected[GV] = {0}, second[GV] = {0};
    float *states = calloc(CHAINS * GV + 64, sizeof *states);
    hm_arena scratch;
    assert_ok(hm_arena_init(&scratch, model->class->sampling_bytes(model, CHAINS), "scratch"));
    assert_ok(model->class->gibbs(model, &(hm_gibbs_steps){.seed = 5, .count = STEPS}, (hm_matrix){states, CHAINS, GV},
                                  &scratch));
    for (int h = 0; h < 1 << GH; h++) { /* a component has mean b + W h and weight exp(term) / Z */
        double term = -gaussian_log_z(&g), at[GV];
        for (int j = 0; j < GH; j++) term += (h >> j & 1) ? g.c[j] : 0;
        for (int i = 0; i < GV; i++) {
            double s2 = exp(g.z[i]), shift = 0;
            for (int j = 0; j < GH; j++) shift += (h >> j & 1) ? g.W[i][j] : 0;
            term += 0.5 * log(2 * M_PI * s2) + (2 * g.b[i] * shift + shift * shift) / (2 * s2);
            at[i] = g.b[i] + shift;
        }
        for (int i = 0; i < GV; i++) {
            expected[i] += exp(term) * at[i];
            second[i] += exp(term) * (at[i] * at[i] + exp(g.z[i]));
        }
    }
    for (int64_t at = 0; at < CHAINS * GV; at++) {
        double v = (double)states[at];
        mean[at % GV] += v / CHAINS;
        square[at % GV] += v * v / CHAINS;
        fourth[at % GV] += pow(v, 4) / CHAINS;
    }
    for (int i = 0; i < GV; i++) {
        assert_close(mean[i], expected[i], 4.5 * sqrt((square[i] - mean[i] * mean[i]) / CHAINS));
        assert_close(square[i], second[i], 4.5 * sqrt((fourth[i] - square[i] * square[i]) / CHAINS));
    }
    hm_arena_free(&scratch);
    free(states);
    hm_model_free(model);
}

/* ---- softmax visible units -------------------------------------------------------------------------------------- */

/* Two groups of three: 9 visible states. */
static double softmax_log_p_star(const hm_model *model, int state)
{
    enum { SH = 3 };
    hm_matrix W = small_rbm_tensor(model, "W"), b = small_rbm_tensor(model, "b"), c = small_rbm_tensor(model, "c");
    int first = state / 3, second = 3 + state % 3;
    double total = (double)b.at[first] + (double)b.at[second];
    for (int j = 0; j < SH; j++)
        total += log1p(exp((double)c.at[j] + (double)W.at[first * SH + j] + (double)W.at[second * SH + j]));
    return total;
}

static void softmax_groups_have_the_exact_distribution(void **state)
{
    enum { SV = 6, CHAINS = 20000, STEPS = 60, STATES = 9 };
    static const char *const settings[] = {"hidden", "3", "visible_units", "softmax", "visible_group", "3", NULL};
    (void)state;
    hm_model *model = make_rbm(SV, settings, 1.0, 0.6);
    hm_workers workers = serial_workers(&one_thread, 4, 9);
    hm_ais_settings ais = {.chains = 300, .ladder = HM_LADDER_LINEAR, .temperatures = 1000};
    hm_ais_result result;
    double Z = 0, log_z, chi_square = 0;
    int counts[STATES] = {0};
    float base[SV] = {0}, *states = calloc(CHAINS * SV + 64, sizeof *states);
    hm_arena scratch;
    for (int s = 0; s < STATES; s++) Z += exp(softmax_log_p_star(model, s));
    assert_ok(hm_exact_log_z(model, &workers, &log_z));
    assert_close(log_z, log(Z), 1e-5);
    assert_ok(hm_ais(model, base, &ais, &workers, &result));
    assert_close(result.log_z, log(Z), fmin(0.1, 4.5 * result.log_z_stderr));
    hm_ais_result_free(&result);
    assert_ok(hm_arena_init(&scratch, model->class->sampling_bytes(model, CHAINS), "scratch"));
    assert_ok(model->class->gibbs(model, &(hm_gibbs_steps){.seed = 5, .count = STEPS}, (hm_matrix){states, CHAINS, SV},
                                  &scratch));
    for (int chain = 0; chain < CHAINS; chain++) {
        int first = -1, second = -1;
        for (int i = 0; i < SV; i++) {
            if (states[chain * SV + i] != 1.0f) continue;
            int *place = i < 3 ? &first : &second;
            assert_int_equal(*place, -1); /* one of a group is on */
            *place = i % 3;
        }
        counts[first * 3 + second]++;
    }
    for (int s = 0; s < STATES; s++) {
        double expected = CHAINS * exp(softmax_log_p_star(model, s)) / Z;
        chi_square += pow(counts[s] - expected, 2) / expected;
    }
    print_message("  chi-square %.1f with 8 degrees of freedom, allowed 31.8\n", chi_square); /* 99.99 % */
    assert_true(chi_square < 31.8);
    hm_arena_free(&scratch);
    free(states);
    hm_model_free(model);
}

/* ---- numbers ---------------------------------------------------------------------------------------------------- */

static void normal_numbers_are_normal(void **state)
{
    enum { N = 1 << 20 };
    (void)state;
    hm_stream stream = {.seed = 8, .purpose = HM_RNG_SYNTH};
    float *z = malloc((N + 64) * sizeof *z), *u = malloc((N + 64) * sizeof *u);
    double worst = 0, mean = 0, square = 0, fourth = 0;
    hm_units_normal(&stream, 2, N, z);
    for (int64_t i = 0; i < N; i++) {
        double p = (double)hm_random_uniform(&stream, 2, i) + 0x1p-25, tail = fmin(p, 1 - p);
        double back = 0.5 * erfc(fabs((double)z[i]) / sqrt(2)); /* the quantile's definition */
        worst = numbers_worse(worst, fabs(back - tail) / tail);
        assert_true((z[i] < 0) == (p < 0.5));
        mean += (double)z[i] / N, square += pow((double)z[i], 2) / N, fourth += pow((double)z[i], 4) / N;
    }
    print_message("  relative error of a tail %.2g\n", worst);
    assert_true(worst < 2e-5); /* of which float32 of z is the greater part */
    assert_close(mean, 0, 4.5 / sqrt(N));
    assert_close(square, 1, 4.5 * sqrt(2.0 / N));
    assert_close(fourth, 3, 4.5 * sqrt(96.0 / N));
    free(z), free(u);
}

/* Noisy rectified units: log partition as the sum over copies, draws with the moments of max(0, N(z, sigmoid(z))). */
static void rectified_units_are_their_definition(void **state)
{
    enum { N = 200000 };
    (void)state;
    for (double z = -4; z <= 6; z += 2.5) {
        hm_layer layer = {.units = 1, .unit = HM_RECTIFIED, .log_variance = -1};
        float x = (float)z, bias = 0, mean, sample, *draws = malloc((N + 64) * sizeof *draws);
        double copies = 0, variance = 1 / (1 + exp(-z)), s = sqrt(variance), expected, measured = 0, square = 0;
        double from_mean = 0;
        for (int k = 1; k < 60; k++) copies += log1p(exp(z - k + 0.5));
        assert_close(hm_units_log_partition(&layer, &x, 1, &bias, NULL), copies, 1e-7);
        expected = z * 0.5 * erfc(-z / s / sqrt(2)) + s * exp(-z * z / (2 * variance)) / sqrt(2 * M_PI);
        for (int64_t row = 0; row < N; row++) {
            hm_stream stream = {.seed = 4, .purpose = HM_RNG_SYNTH};
            hm_units_conditional(&layer, 1, &x, 1, &bias, NULL, &mean, &sample, &stream, row);
            assert_true(sample >= 0);
            measured += (double)sample / N, square += pow((double)sample, 2) / N;
            hm_units_draw(&layer, &mean, NULL, &stream, row + N, &sample);
            from_mean += (double)sample / N;
        }
        double allowed = 4.5 * sqrt((square - measured * measured) / N) + 1e-6;
        assert_close(measured, expected, allowed);
        assert_close(from_mean, expected, allowed); /* the mean says which z it is of */
        assert_close((double)mean, log1p(exp(z)), 1e-5);
        free(draws);
    }
    static const char *const settings[] = {"hidden", "3", "hidden_units", "rectified", NULL};
    hm_model *model = make_rbm(4, settings, 0.5, 0.5);
    hm_workers workers = serial_workers(&one_thread, 4, 9);
    hm_ais_settings ais = {.chains = 20, .ladder = HM_LADDER_LINEAR, .temperatures = 10};
    hm_ais_result result;
    float base[4] = {0};
    assert_false(hm_model_anneals(model));
    assert_int_equal(hm_ais(model, base, &ais, &workers, &result), HM_EUSAGE);
    assert_non_null(strstr(hm_error_message(), "rectified"));
    hm_error_clear();
    hm_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gaussian_log_z_is_that_of_integration),
        cmocka_unit_test(gaussian_free_energy_is_its_definition),
        cmocka_unit_test(gaussian_gradient_is_that_of_the_likelihood),
        cmocka_unit_test(gaussian_gibbs_has_the_exact_moments),
        cmocka_unit_test(softmax_groups_have_the_exact_distribution),
        cmocka_unit_test(normal_numbers_are_normal),
        cmocka_unit_test(rectified_units_are_their_definition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
