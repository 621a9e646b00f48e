/* The network that a machine unrolls to: its gradient against finite differences in float64, dropout and limits
 * included, and what it starts from. */
#include "small_dbm.h"

#include "boltzmann/classifier.h"
#include "one_gradient.h"
#include "numbers.h"

enum { V = 5, CLASSES = 3, ROWS = 22, COLUMNS = V + CLASSES };

typedef struct net_shape {
    const char *family, *hidden;
    hm_contrast_settings how;
} net_shape;

static const net_shape shapes[] = {
    {"rbm", "4", {.offset_rate = 0.01}},
    {"dbm", "[4, 3]", {.offset_rate = 0.01}},
    {"dbm", "[3, 2, 4]", {.offset_rate = 0.01, .dropout = 0.4, .dropout_visible = 0.2}},
};

static hm_model *make_model(const net_shape *shape)
{
    const char *const settings[] = {"hidden", shape->hidden, "classes", "3", NULL};
    hm_model *model = make_small_model(shape->family, settings, V, &three_threads);
    draw_small_model(model, 0.6, 0.6, 0, 4);
    return model;
}

/* ---- the network in float64 ------------------------------------------------------------------------------------- */

/* sum over rows of log p(label | v); params: all tensors in float64. */
static double log_likelihood(const hm_model *model, const hm_contrast_settings *how, const double *params,
                             const float *data, const float *marginals[HM_LAYERS_MAX])
{
    const hm_classifier *net = model->classifier;
    double total = 0;
    for (int64_t row = 0; row < ROWS; row++) {
        double below[64], x[64] = {0}, sum = 0;
        for (int i = 0; i < V; i++) below[i] = (double)data[row * COLUMNS + i];
        for (int l = 1; l <= net->layers + 1; l++) {
            const double *N = params + model->layout.tensors[net->weights[l]].offset;
            const double *e = params + model->layout.tensors[net->biases[l]].offset;
            int64_t own = net->units[l - 1];
            for (int64_t j = 0; j < net->units[l]; j++) {
                x[j] = e[j];
                for (int64_t i = 0; i < own; i++)
                    x[j] += below[i] * one_gradient_kept(l == 1 ? how->dropout_visible : how->dropout, l - 1, row, i) *
                            N[i * net->units[l] + j];
                for (int64_t i = 0; i < net->extra[l]; i++)
                    x[j] += (double)marginals[l + 1][row * net->extra[l] + i] *
                            one_gradient_kept(how->dropout, l - 1, row, own + i) * N[(own + i) * net->units[l] + j];
            }
            for (int64_t j = 0; j < net->units[l]; j++) below[j] = 1 / (1 + exp(-x[j]));
        }
        for (int c = 0; c < CLASSES; c++) sum += exp(x[c]);
        for (int c = 0; c < CLASSES; c++) total += (double)data[row * COLUMNS + V + c] * (x[c] - log(sum));
    }
    return total;
}

static double derivative(const hm_model *model, const hm_contrast_settings *how, double *params, int64_t at,
                         const float *data, const float *marginals[HM_LAYERS_MAX])
{
    const double step = 1e-5;
    double was = params[at], side[2];
    for (int up = 0; up < 2; up++) {
        params[at] = was + (up ? step : -step);
        side[up] = log_likelihood(model, how, params, data, marginals);
    }
    params[at] = was;
    return (side[1] - side[0]) / (2 * step);
}

static float *random_data(void)
{
    float *data = calloc(ROWS * COLUMNS, sizeof *data);
    hm_stream stream = {.seed = 3, .purpose = HM_RNG_SYNTH};
    for (int64_t row = 0; row < ROWS; row++) {
        for (int64_t i = 0; i < V; i++) data[row * COLUMNS + i] = hm_random_uniform(&stream, row, i);
        data[row * COLUMNS + V + (int64_t)hm_random_below(&stream, row, V, CLASSES)] = 1;
    }
    return data;
}

/* Marginals of the rows, as the family finds them. */
static void find_marginals(const hm_model *model, const float *data, hm_arena *scratch, hm_states *states)
{
    float *v;
    assert_ok(hm_arena_init(scratch, 1 << 20, "scratch"));
    if (!model->classifier->marginals) return;
    assert_ok(hm_arena_floats(scratch, ROWS * V, &v));
    for (int row = 0; row < ROWS; row++) memcpy(v + row * V, data + row * COLUMNS, V * sizeof *v);
    states->rows = ROWS;
    for (int l = 0; l < model->machine->layers; l++)
        assert_ok(hm_arena_floats(scratch, ROWS * model->machine->layer[l].units, &states->at[l]));
    assert_ok(model->classifier->marginals(model, (hm_matrix){v, ROWS, V}, scratch, states));
}

static void check_gradient(const net_shape *shape)
{
    hm_model *model = make_model(shape);
    one_gradient g;
    hm_arena scratch;
    hm_states states = {0};
    one_gradient_make(&g, model, "classify", &shape->how, random_data(), ROWS);
    find_marginals(model, g.batch, &scratch, &states);
    double *params = calloc((size_t)model->layout.size, sizeof *params), worst = 0;
    for (int64_t i = 0; i < model->layout.size; i++) params[i] = (double)model->params[i];
    for (int tensor = 0; tensor < model->layout.count; tensor++) {
        const hm_tensor *at = &model->layout.tensors[tensor];
        bool learns = hm_classify_objective.learns(model, &shape->how, tensor);
        for (int64_t i = at->offset; i < at->offset + hm_tensor_size(at); i++) {
            double expected =
                learns ? derivative(model, &shape->how, params, i, g.batch, (const float **)states.at) : 0;
            worst = numbers_worse(worst, fabs((double)g.grad[i] - expected));
        }
    }
    print_message("  %s %s: greatest error of a derivative %.2g\n", shape->family, shape->hidden, worst);
    assert_true(worst < 2e-5);
    free(params);
    hm_arena_free(&scratch);
    one_gradient_free(&g);
}

static void gradient_is_that_of_log_p(void **state)
{
    (void)state;
    for (size_t at = 0; at < sizeof shapes / sizeof shapes[0]; at++) check_gradient(&shapes[at]);
}

/* From the machine's weights x_l is what the next mean-field update would say of layer l. */
static void it_starts_as_the_machine(void **state)
{
    (void)state;
    const net_shape shape = {"dbm", "[4, 3]", {0}};
    hm_model *model = make_model(&shape);
    const hm_classifier *net = model->classifier;
    hm_matrix N = small_rbm_tensor(model, "N1"), W1 = small_rbm_tensor(model, "W1"), W2 = small_rbm_tensor(model, "W2");
    assert_true(hm_classifier_is_made(model));
    memset(N.at, 0, (size_t)(N.rows * N.columns) * sizeof(float));
    assert_false(hm_classifier_is_made(model));
    assert_ok(hm_objective_find(model->class, "classify")->begin(model, &shape.how));
    assert_int_equal(N.rows, V + 3);
    for (int64_t j = 0; j < N.columns; j++) {
        for (int64_t i = 0; i < V; i++) assert_true(N.at[i * N.columns + j] == W1.at[i * W1.columns + j]);
        for (int64_t i = 0; i < 3; i++) assert_true(N.at[(V + i) * N.columns + j] == W2.at[j * W2.columns + i]);
        assert_true(small_rbm_tensor(model, "e1").at[j] == small_rbm_tensor(model, "c1").at[j]);
    }
    assert_true(hm_classifier_is_made(model));
    assert_true(net->units[3] == CLASSES);
    N.at[0] = 42; /* a second stage goes on from what the first one learnt */
    assert_ok(hm_objective_find(model->class, "classify")->begin(model, &shape.how));
    assert_true(N.at[0] == 42);
    hm_model_free(model);
}

/* Of Gaussian units with a learnt variance: what a pass upward multiplies by. */
static void it_starts_with_weights_over_the_variance(void **state)
{
    (void)state;
    const char *const settings[] = {"hidden",         "4",    "classes", "3", "visible_units", "gaussian",
                                    "learn_variance", "true", NULL};
    hm_model *model = make_small_model("rbm", settings, V, &one_thread);
    draw_small_model(model, 0.6, 0.6, 0, 4);
    hm_matrix N = small_rbm_tensor(model, "N1"), W = small_rbm_tensor(model, "W");
    memset(N.at, 0, (size_t)(N.rows * N.columns) * sizeof(float));
    assert_ok(hm_objective_find(model->class, "classify")->begin(model, &(hm_contrast_settings){0}));
    for (int64_t i = 0; i < V; i++)
        for (int64_t j = 0; j < 4; j++) {
            double s2 = exp((double)small_rbm_tensor(model, "log_variance").at[i]);
            assert_true(fabs((double)N.at[i * 4 + j] - (double)W.at[i * 4 + j] / s2) < 1e-6);
        }
    hm_model_free(model);
}

/* The scratch that a family asks for is enough to classify in. */
static void scratch_is_what_it_takes(void **state)
{
    (void)state;
    static const net_shape families[] = {
        {"rbm", "4", {0}}, {"dbn", "[4, 3]", {0}}, {"dbm", "[4, 3]", {0}}, {"dbm", "[4]", {0}}};
    for (size_t at = 0; at < sizeof families / sizeof families[0]; at++) {
        hm_model *model = make_model(&families[at]);
        float v[ROWS * V] = {0}, probs[ROWS * CLASSES];
        hm_arena scratch;
        assert_true(model->class->classifies(model));
        assert_ok(hm_arena_init(&scratch, model->class->classify_bytes(model, ROWS), "scratch"));
        assert_ok(model->class->classify(model, (hm_matrix){v, ROWS, V}, &scratch, probs));
        assert_close((double)(probs[0] + probs[1] + probs[2]), 1, 1e-5);
        hm_arena_free(&scratch);
        hm_model_free(model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradient_is_that_of_log_p),
        cmocka_unit_test(it_starts_as_the_machine),
        cmocka_unit_test(it_starts_with_weights_over_the_variance),
        cmocka_unit_test(scratch_is_what_it_takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
