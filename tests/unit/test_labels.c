/* RBMs with label units: probabilities of classes and the discriminative gradient against their definitions. */
#include "small_rbm.h"

#include "boltzmann/labels.h"
#include "one_gradient.h"

enum { V = 5, H = 4, CLASSES = 3, UNITS = V + CLASSES, ROWS = 21, PARAMETERS = UNITS * H + UNITS + H };

static hm_model *make_model(void)
{
    static const char *const settings[] = {"hidden", "4", "classes", "3", "label_units", "true", NULL};
    hm_model *model = make_small_model("rbm", settings, V, &three_threads);
    draw_small_model(model, 0.8, 0.5, 0.3f, 3);
    return model;
}

/* W (UNITS, H), b (UNITS), c (H). */
static void parameters_of(const hm_model *model, double theta[PARAMETERS])
{
    static const char *const names[] = {"W", "b", "c"};
    for (int at = 0; at < 3; at++) {
        hm_matrix tensor = small_rbm_tensor(model, names[at]);
        for (int64_t i = 0; i < tensor.rows * tensor.columns; i++) *theta++ = (double)tensor.at[i];
    }
}

/* log sum_h exp(-E(v, y, h)). */
static double log_joint(const double *theta, const double *v, int y)
{
    const double *W = theta, *b = theta + UNITS * H, *c = b + UNITS;
    double total = b[V + y];
    for (int i = 0; i < V; i++) total += b[i] * v[i];
    for (int j = 0; j < H; j++) {
        double input = c[j] + W[(V + y) * H + j];
        for (int i = 0; i < V; i++) input += W[i * H + j] * v[i];
        total += log1p(exp(input));
    }
    return total;
}

static double log_marginal(const double *theta, const double *v)
{
    double sum = 0;
    for (int y = 0; y < CLASSES; y++) sum += exp(log_joint(theta, v, y));
    return log(sum);
}

static void probabilities_are_their_definition(void **state)
{
    (void)state;
    hm_model *model = make_model();
    double theta[PARAMETERS], energy[1 << V], log_z, Z = 0;
    float v[(1 << V) * V], probs[(1 << V) * CLASSES];
    hm_workers workers = serial_workers(&one_thread, 4, 9);
    hm_arena scratch;
    parameters_of(model, theta);
    for (int s = 0; s < 1 << V; s++)
        for (int i = 0; i < V; i++) v[s * V + i] = (float)(s >> i & 1);
    size_t bytes = model->class->sampling_bytes(model, 1 << V) + model->class->classify_bytes(model, 1 << V);
    assert_ok(hm_arena_init(&scratch, bytes, "scratch"));
    assert_ok(model->class->free_energy(model, (hm_matrix){v, 1 << V, V}, &scratch, energy));
    hm_arena_reset(&scratch);
    assert_true(model->class->classifies(model));
    assert_ok(model->class->classify(model, (hm_matrix){v, 1 << V, V}, &scratch, probs));
    for (int s = 0; s < 1 << V; s++) {
        double row[V];
        for (int i = 0; i < V; i++) row[i] = (double)v[s * V + i];
        assert_true(fabs(-energy[s] - log_marginal(theta, row)) < 1e-5);
        for (int y = 0; y < CLASSES; y++)
            assert_true(
                fabs((double)probs[s * CLASSES + y] - exp(log_joint(theta, row, y) - log_marginal(theta, row))) < 1e-6);
        Z += exp(log_marginal(theta, row));
    }
    assert_ok(hm_exact_log_z(model, &workers, &log_z)); /* over visible units and labels */
    assert_close(log_z, log(Z), 1e-5);
    hm_arena_free(&scratch);
    hm_model_free(model);
}

/* sum over rows of log p(y | v) + weight (log p*(v, y) - log Z). */
static double objective(const double *theta, const float *data, double weight)
{
    double total = 0, Z = 0;
    for (int s = 0; s < 1 << V; s++) {
        double row[V];
        for (int i = 0; i < V; i++) row[i] = s >> i & 1;
        Z += exp(log_marginal(theta, row));
    }
    for (int at = 0; at < ROWS; at++) {
        double row[V];
        int label = 0;
        for (int i = 0; i < V; i++) row[i] = (double)data[at * UNITS + i];
        for (int y = 0; y < CLASSES; y++) label = data[at * UNITS + V + y] > 0 ? y : label;
        double joint = log_joint(theta, row, label);
        total += joint - log_marginal(theta, row) + weight * (joint - log(Z));
    }
    return total;
}

static void check_gradient(const char *name, const hm_contrast_settings *how)
{
    hm_model *model = make_model();
    float *data = calloc(ROWS * UNITS, sizeof *data);
    hm_stream stream = {.seed = 3, .purpose = HM_RNG_SYNTH};
    for (int64_t row = 0; row < ROWS; row++) {
        for (int64_t i = 0; i < V; i++) data[row * UNITS + i] = hm_random_uniform(&stream, row, i) < 0.5f ? 1.0f : 0.0f;
        data[row * UNITS + V + (int64_t)hm_random_below(&stream, row, V, CLASSES)] = 1;
    }
    one_gradient g;
    one_gradient_make(&g, model, name, how, data, ROWS);
    static const char *const names[] = {"W", "b", "c"};
    double theta[PARAMETERS], worst = 0;
    parameters_of(model, theta);
    for (int at = 0, parameter = 0; at < 3; at++) {
        hm_matrix tensor = small_rbm_tensor(model, names[at]);
        const float *ours = g.grad + (tensor.at - model->params);
        for (int64_t i = 0; i < tensor.rows * tensor.columns; i++, parameter++) {
            double was = theta[parameter], side[2];
            for (int up = 0; up < 2; up++) {
                theta[parameter] = was + (up ? 1e-5 : -1e-5);
                side[up] = objective(theta, data, how->generative_weight);
            }
            theta[parameter] = was;
            worst = fmax(worst, fabs((double)ours[i] - (side[1] - side[0]) / 2e-5));
        }
    }
    print_message("  %s: greatest error of a derivative %.2g\n", name, worst);
    assert_true(worst < 2e-5);
    one_gradient_free(&g);
}

static void gradients_are_those_of_their_objectives(void **state)
{
    (void)state;
    check_gradient("discriminative", &(hm_contrast_settings){.offset_rate = 0.01});
    check_gradient("hybrid", &(hm_contrast_settings){
                                 .estimator = HM_EXACT, .k = 1, .offset_rate = 0.01, .generative_weight = 0.3});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(probabilities_are_their_definition),
        cmocka_unit_test(gradients_are_those_of_their_objectives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
