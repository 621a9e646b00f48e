/* RBMs with label units: probabilities of classes and the discriminative gradient against their definitions. */
#include "small_rbm.h"

#include "boltzmann/labels.h"
#include "one_gradient.h"
#include "numbers.h"

enum { V = 5, H = 4, CLASSES = 3, UNITS = V + CLASSES, ROWS = 21, TENSORS = 4 };

static const char *const binary[] = {"hidden", "4", "classes", "3", "label_units", "true", NULL};
static const char *const gaussian[] = {"hidden",        "4",        "classes",        "3",    "label_units", "true",
                                       "visible_units", "gaussian", "learn_variance", "true", NULL};

static hm_model *make_model(const char *const settings[])
{
    hm_model *model = make_small_model("rbm", settings, V, &three_threads);
    draw_small_model(model, 0.8, 0.5, 0.3f, 3);
    for (int y = 0; settings == gaussian && y < CLASSES; y++) small_rbm_tensor(model, "log_variance").at[V + y] = 0;
    model->class->refresh(model);
    return model;
}

/* The machine in float64; z: log variance, of Gaussian visible units. */
typedef struct machine {
    double W[UNITS][H], b[UNITS], c[H], z[UNITS];
    bool gaussian;
} machine;

static const struct {
    const char *name;
    size_t offset;
    int count;
} tensors[TENSORS] = {{"W", offsetof(machine, W), UNITS *H},
                      {"b", offsetof(machine, b), UNITS},
                      {"c", offsetof(machine, c), H},
                      {"log_variance", offsetof(machine, z), V}};

static double *parameters(machine *m, int tensor) { return (double *)(void *)((char *)m + tensors[tensor].offset); }

static machine machine_of(const hm_model *model)
{
    machine m = {.gaussian = hm_layout_find(&model->layout, "log_variance") >= 0};
    for (int tensor = 0; tensor < TENSORS - !m.gaussian; tensor++)
        for (int i = 0; i < tensors[tensor].count; i++)
            parameters(&m, tensor)[i] = (double)small_rbm_tensor(model, tensors[tensor].name).at[i];
    return m;
}

/* log sum_h exp(-E(v, y, h)); of Gaussian units (v - b)^2 / 2 s^2 in the place of -b v, and v / s^2 as input. */
static double log_joint(const machine *m, const double *v, int y)
{
    double total = m->b[V + y];
    for (int i = 0; i < V; i++) total += m->gaussian ? -pow(v[i] - m->b[i], 2) / (2 * exp(m->z[i])) : m->b[i] * v[i];
    for (int j = 0; j < H; j++) {
        double input = m->c[j] + m->W[V + y][j];
        for (int i = 0; i < V; i++) input += m->W[i][j] * v[i] / exp(m->z[i]);
        total += log1p(exp(input));
    }
    return total;
}

static double log_marginal(const machine *m, const double *v)
{
    double sum = 0;
    for (int y = 0; y < CLASSES; y++) sum += exp(log_joint(m, v, y));
    return log(sum);
}

/* From all hidden states, visible units and labels summed or integrated out. */
static double log_z_of(const machine *m)
{
    double Z = 0;
    for (int h = 0; h < 1 << H; h++) {
        double term = 0, labels = 0, input[UNITS] = {0};
        for (int j = 0; j < H; j++) {
            if (!(h >> j & 1)) continue;
            term += m->c[j];
            for (int i = 0; i < UNITS; i++) input[i] += m->W[i][j];
        }
        for (int i = 0; i < V; i++) {
            double s2 = exp(m->z[i]), w = input[i];
            term +=
                m->gaussian ? 0.5 * log(2 * M_PI * s2) + (2 * m->b[i] * w + w * w) / (2 * s2) : log1p(exp(m->b[i] + w));
        }
        for (int y = 0; y < CLASSES; y++) labels += exp(m->b[V + y] + input[V + y]);
        Z += exp(term) * labels;
    }
    return log(Z);
}

static void probabilities_are_their_definition(void **state)
{
    (void)state;
    hm_model *model = make_model(binary);
    machine m = machine_of(model);
    double energy[1 << V], log_z, Z = 0;
    float v[(1 << V) * V], probs[(1 << V) * CLASSES];
    hm_workers workers = serial_workers(&one_thread, 4, 9);
    hm_arena scratch;
    for (int s = 0; s < 1 << V; s++)
        for (int i = 0; i < V; i++) v[s * V + i] = (float)(s >> i & 1);
    size_t bytes = model->class->sampling_bytes(model, 1 << V) + model->class->classify_bytes(model, 1 << V);
    assert_ok(hm_arena_init(&scratch, bytes, "scratch"));
    assert_ok(model->class->free_energy(model, (hm_matrix){v, 1 << V, V}, 0, &scratch, energy));
    hm_arena_reset(&scratch);
    assert_true(model->class->classifies(model));
    assert_ok(model->class->classify(model, (hm_matrix){v, 1 << V, V}, &scratch, probs));
    for (int s = 0; s < 1 << V; s++) {
        double row[V];
        for (int i = 0; i < V; i++) row[i] = (double)v[s * V + i];
        assert_true(fabs(-energy[s] - log_marginal(&m, row)) < 1e-5);
        for (int y = 0; y < CLASSES; y++)
            assert_true(fabs((double)probs[s * CLASSES + y] - exp(log_joint(&m, row, y) - log_marginal(&m, row))) <
                        1e-6);
        Z += exp(log_marginal(&m, row));
    }
    assert_ok(hm_exact_log_z(model, &workers, &log_z)); /* over visible units and labels */
    assert_close(log_z, log(Z), 1e-5);
    assert_close(log_z_of(&m), log(Z), 1e-9);
    hm_arena_free(&scratch);
    hm_model_free(model);
}

/* log p(y | v) of the units that are kept. */
static double log_conditional(const machine *m, const hm_contrast_settings *how, int at, const double *v, int label)
{
    double scores[CLASSES], sum = 0;
    for (int y = 0; y < CLASSES; y++) {
        scores[y] = m->b[V + y];
        for (int j = 0; j < H; j++) {
            double input = m->c[j] + m->W[V + y][j];
            for (int i = 0; i < V; i++)
                input += m->W[i][j] * one_gradient_kept(how->dropout_visible, 0, at, i) * v[i] / exp(m->z[i]);
            scores[y] += one_gradient_kept(how->dropout, 1, at, j) * log1p(exp(input));
        }
        sum += exp(scores[y]);
    }
    return scores[label] - log(sum);
}

/* sum over rows of log p(y | v) + weight (log p*(v, y) - log Z). */
static double objective(const machine *m, const float *data, const hm_contrast_settings *how)
{
    double total = 0, log_z = log_z_of(m);
    for (int at = 0; at < ROWS; at++) {
        double row[V];
        int label = 0;
        for (int i = 0; i < V; i++) row[i] = (double)data[at * UNITS + i];
        for (int y = 0; y < CLASSES; y++) label = data[at * UNITS + V + y] > 0 ? y : label;
        total += log_conditional(m, how, at, row, label) + how->generative_weight * (log_joint(m, row, label) - log_z);
    }
    return total;
}

static float *random_data(bool real)
{
    float *data = calloc(ROWS * UNITS, sizeof *data);
    hm_stream stream = {.seed = 3, .purpose = HM_RNG_SYNTH};
    for (int64_t row = 0; row < ROWS; row++) {
        for (int64_t i = 0; i < V; i++)
            data[row * UNITS + i] = real ? (float)hm_random_normal(&stream, row, i)
                                         : (hm_random_uniform(&stream, row, i) < 0.5f ? 1.0f : 0.0f);
        data[row * UNITS + V + (int64_t)hm_random_below(&stream, row, V, CLASSES)] = 1;
    }
    return data;
}

/* `finish` included; allowed: sums of squares in float32 are less exact. */
static void check_gradient(const char *const settings[], const char *name, const hm_contrast_settings *how,
                           double allowed)
{
    hm_model *model = make_model(settings);
    machine m = machine_of(model);
    one_gradient g;
    double worst = 0;
    float *data = random_data(m.gaussian);
    one_gradient_make(&g, model, name, how, data, ROWS);
    if (g.contrast->objective->finish) g.contrast->objective->finish(model, how, false, ROWS, g.grad);
    for (int tensor = 0; tensor < TENSORS - !m.gaussian; tensor++) {
        const float *ours = g.grad + (small_rbm_tensor(model, tensors[tensor].name).at - model->params);
        for (int i = 0; i < tensors[tensor].count; i++) {
            double side[2];
            for (int up = 0; up < 2; up++) {
                machine moved = m;
                parameters(&moved, tensor)[i] += up ? 1e-5 : -1e-5;
                side[up] = objective(&moved, g.batch, how);
            }
            double error = fabs((double)ours[i] - (side[1] - side[0]) / 2e-5);
            assert_true(error < allowed);
            worst = numbers_worse(worst, error);
        }
        for (int y = 0; tensor == TENSORS - 1 && y < CLASSES; y++) assert_true(ours[V + y] == 0); /* they have none */
    }
    print_message("  %s, %s: greatest error of a derivative %.2g\n", name, m.gaussian ? "gaussian" : "binary", worst);
    one_gradient_free(&g);
}

static void gradients_are_those_of_their_objectives(void **state)
{
    (void)state;
    const hm_contrast_settings discriminative = {.offset_rate = 0.01};
    const hm_contrast_settings hybrid = {.estimator = HM_EXACT, .k = 1, .offset_rate = 0.01, .generative_weight = 0.3};
    const hm_contrast_settings dropout = {.offset_rate = 0.01, .dropout = 0.4, .dropout_visible = 0.2};
    const hm_contrast_settings hybrid_dropout = {
        .estimator = HM_EXACT, .k = 1, .offset_rate = 0.01, .generative_weight = 0.3, .dropout = 0.5};
    check_gradient(binary, "discriminative", &discriminative, 2e-5);
    check_gradient(binary, "discriminative", &dropout, 2e-5);
    check_gradient(binary, "hybrid", &hybrid_dropout, 2e-5);
    check_gradient(gaussian, "discriminative", &dropout, 2e-4);
    check_gradient(binary, "hybrid", &hybrid, 2e-5);
    check_gradient(gaussian, "discriminative", &discriminative, 2e-4);
    check_gradient(gaussian, "hybrid", &hybrid, 2e-4);
}

/* Labels that go with rows: those of p(y | v), one of each group on. */
static void labels_are_drawn_from_their_conditional(void **state)
{
    enum { DRAWS = 20000 };
    (void)state;
    hm_model *model = make_model(binary);
    machine m = machine_of(model);
    const double row[V] = {1, 0, 0, 1, 1};
    float *v = calloc(DRAWS * V, sizeof *v), *states = calloc(DRAWS * UNITS, sizeof *states);
    int counts[CLASSES] = {0};
    hm_stream stream = {3, HM_RNG_UPWARD, 0};
    hm_arena scratch;
    for (int at = 0; at < DRAWS * V; at++) v[at] = (float)row[at % V];
    assert_ok(hm_arena_init(&scratch, model->class->sampling_bytes(model, DRAWS), "scratch"));
    assert_ok(
        model->class->enter(model, (hm_matrix){v, DRAWS, V}, &stream, 0, &scratch, (hm_matrix){states, DRAWS, UNITS}));
    for (int at = 0; at < DRAWS; at++) {
        float on = 0;
        assert_memory_equal(states + at * UNITS, v, V * sizeof *v);
        for (int y = 0; y < CLASSES; y++) {
            on += states[at * UNITS + V + y];
            counts[y] += states[at * UNITS + V + y] == 1.0f;
        }
        assert_true(on == 1.0f);
    }
    for (int y = 0; y < CLASSES; y++) {
        double p = exp(log_joint(&m, row, y) - log_marginal(&m, row));
        assert_close((double)counts[y] / DRAWS, p, 4.5 * sqrt(p * (1 - p) / DRAWS));
    }
    free(v), free(states);
    hm_arena_free(&scratch);
    hm_model_free(model);
}

/* Base rates of real data are not smoothed: a class without rows has one of 0. */
static void a_class_without_rows_has_a_finite_bias(void **state)
{
    (void)state;
    hm_model *model = make_model(gaussian);
    const float rates[UNITS] = {0.1f, -0.2f, 0, 0.3f, 1.5f, 0.6f, 0.4f, 0};
    assert_ok(model->class->init(model, 3, rates));
    assert_true(isfinite(small_rbm_tensor(model, "b").at[UNITS - 1]));
    model->class->refresh(model);
    assert_true(isfinite(model->class->base_biases(model)[UNITS - 1]));
    hm_model_free(model);
}

/* Chains whose label units are kept at a class are samples of p(v | y); those of free ones are of p(y) too. */
static void chains_keep_their_labels(void **state)
{
    enum { CHAINS = 6000, STEPS = 80 };
    (void)state;
    hm_model *model = make_model(binary);
    machine m = machine_of(model);
    float *states = calloc(CHAINS * UNITS + 64, sizeof *states), *prob = calloc(CHAINS * V, sizeof *prob);
    int32_t labels[CHAINS];
    hm_arena scratch;
    assert_true(model->label_units);
    assert_ok(hm_arena_init(&scratch, model->class->sampling_bytes(model, CHAINS), "scratch"));
    for (int clamped = 1; clamped >= 0; clamped--) {
        const hm_gibbs_steps steps = {
            .seed = 5, .count = STEPS, .clamped = clamped == 1, .labels = labels, .prob = prob};
        double count[CLASSES] = {0}, mean[CLASSES][V] = {{0}}, log_z = log_z_of(&m);
        for (int chain = 0; chain < CHAINS; chain++) labels[chain] = clamped ? chain % CLASSES : -1;
        hm_arena_reset(&scratch);
        assert_ok(model->class->gibbs(model, &steps, (hm_matrix){states, CHAINS, UNITS}, &scratch));
        for (int chain = 0; chain < CHAINS; chain++) {
            int y = labels[chain];
            assert_true(states[chain * UNITS + V + y] == 1);
            assert_true(!clamped || y == chain % CLASSES);
            count[y]++;
            for (int i = 0; i < V; i++) mean[y][i] += (double)states[chain * UNITS + i];
        }
        for (int y = 0; y < CLASSES; y++) {
            double of_class = 0, exact[V] = {0};
            for (int s = 0; s < 1 << V; s++) {
                double row[V];
                for (int i = 0; i < V; i++) row[i] = s >> i & 1;
                double p = exp(log_joint(&m, row, y) - log_z);
                of_class += p;
                for (int i = 0; i < V; i++) exact[i] += p * row[i];
            }
            if (!clamped) assert_close(count[y] / CHAINS, of_class, 4.5 * sqrt(of_class * (1 - of_class) / CHAINS));
            for (int i = 0; i < V; i++) {
                double p = exact[i] / of_class;
                assert_close(mean[y][i] / count[y], p, 4.5 * sqrt(p * (1 - p) / count[y]));
            }
        }
    }
    hm_arena_free(&scratch);
    free(states), free(prob);
    hm_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(probabilities_are_their_definition),
        cmocka_unit_test(gradients_are_those_of_their_objectives),
        cmocka_unit_test(labels_are_drawn_from_their_conditional),
        cmocka_unit_test(chains_keep_their_labels),
        cmocka_unit_test(a_class_without_rows_has_a_finite_bias),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
