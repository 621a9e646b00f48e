/* Every kind of layer: forward, and the gradient of a loss through it against central differences in float64; the
 * initialisers; what is refused. */
#include "one_gradient.h"
#include "reference_net.h"
#include "numbers.h"

enum { V = 16, CLASSES = 3, ROWS = 22, COLUMNS = V + CLASSES };

/* Layers between the data and the softmax. */
static const char *const nets[] = {
    "[]",
    "[dense 5, tanh]",
    "[dense 5, relu]",
    "[dense 6, leaky_relu 0.1, dense 4, softplus]",
    "[dense 6 init he, sigmoid, tanh]",
    "[tanh, dense 4]",
    "[maxout 4 3]",
    "[dropout 0.3, dense 6, tanh, dropout 0.5]",
    "[dense 6, batch_norm, tanh]",
    "[batch_norm, dense 5, batch_norm, relu, dense 4, batch_norm]",
    "[dense 6, batch_norm by_shard, tanh, dropout 0.2]",
    "[reshape 4 4 1, conv 3 3, tanh, conv 2 2 stride 1 pad 1]",
    "[reshape 4 4 1, conv 3 2 stride 2, batch_norm, leaky_relu, reshape 1 1 12, dense 3]",
    "[reshape 4 4 1, conv 2 3 stride 2 pad 1, tanh, maxout 3 2]",
    "[dense 8, reshape 2 2 2, transposed_conv 3 3 stride 2 pad 1, tanh]",
    "[reshape 2 2 4, transposed_conv 2 2, softplus, conv 1 2 pad 1]",
};

static hm_model *make_network(const char *layers, uint64_t seed)
{
    const char *const settings[] = {"layers", layers, "classes", "3", "real_data", "true", NULL};
    hm_model *model = make_small_model("network", settings, V, &three_threads);
    draw_small_model(model, 0.6, 0.4, 1.3f, seed);
    return model;
}

/* The model's net is the first member of its state. */
static const hm_net *net_of(const hm_model *model) { return model->state; }

static float *random_data(void)
{
    float *data = calloc(ROWS * COLUMNS, sizeof *data);
    hm_stream stream = {.seed = 3, .purpose = HM_RNG_SYNTH};
    for (int64_t row = 0; row < ROWS; row++) {
        for (int64_t i = 0; i < V; i++) data[row * COLUMNS + i] = (float)hm_random_normal(&stream, row, i);
        data[row * COLUMNS + V + (int64_t)hm_random_below(&stream, row, V, CLASSES)] = 1;
    }
    return data;
}

static void load(reference *r, const float *data)
{
    r->rows = ROWS;
    for (int row = 0; row < ROWS; row++)
        for (int i = 0; i < V; i++) r->x[row][i] = (double)data[row * COLUMNS + i];
}

/* Sum over rows of log softmax(net(v))_label. */
static double log_likelihood(const hm_model *model, const double *params, const float *data, bool training)
{
    static reference r;
    r = (reference){.model = model, .params = params, .training = training, .shards = ONE_GRADIENT_SHARDS};
    r.seed = ONE_GRADIENT_SEED;
    load(&r, data);
    reference_net(&r, net_of(model));
    double total = 0;
    for (int row = 0; row < ROWS; row++) {
        double sum = 0;
        for (int c = 0; c < CLASSES; c++) sum += exp(r.x[row][c]);
        for (int c = 0; c < CLASSES; c++)
            if (data[row * COLUMNS + V + c] > 0) total += r.x[row][c] - log(sum);
    }
    return total;
}

static double *params_of(const hm_model *model)
{
    double *params = calloc((size_t)model->layout.size, sizeof *params);
    for (int64_t i = 0; i < model->layout.size; i++) params[i] = (double)model->params[i];
    return params;
}

static double worst_error(const hm_model *model, const one_gradient *g, double *params)
{
    double worst = 0;
    for (int tensor = 0; tensor < model->layout.count; tensor++) {
        const hm_tensor *at = &model->layout.tensors[tensor];
        for (int64_t i = at->offset; at->role == HM_LEARNT && i < at->offset + hm_tensor_size(at); i++) {
            double was = params[i], side[2];
            for (int up = 0; up < 2; up++) {
                params[i] = was + (up ? 1e-5 : -1e-5);
                side[up] = log_likelihood(model, params, g->batch, true);
            }
            params[i] = was;
            worst = numbers_worse(worst, fabs((double)g->grad[i] - (side[1] - side[0]) / 2e-5));
        }
    }
    return worst;
}

static void gradients_are_those_of_the_loss(void **state)
{
    (void)state;
    for (size_t at = 0; at < sizeof nets / sizeof nets[0]; at++) {
        hm_model *model = make_network(nets[at], 5 + at);
        double *params = params_of(model);
        one_gradient g;
        one_gradient_make(&g, model, "classify", &(hm_contrast_settings){0}, random_data(), ROWS);
        double worst = worst_error(model, &g, params);
        print_message("  %s: greatest error of a derivative %.2g\n", nets[at], worst);
        assert_true(worst < 1e-4);
        free(params);
        one_gradient_free(&g);
    }
}

/* In use: running statistics, no dropout. */
static void use_is_the_definition(void **state)
{
    (void)state;
    for (size_t at = 0; at < sizeof nets / sizeof nets[0]; at++) {
        hm_model *model = make_network(nets[at], 40 + at);
        double *params = params_of(model), worst = 0;
        float *data = random_data(), v[ROWS * V + 64], p[ROWS * CLASSES];
        static reference r;
        hm_arena scratch;
        for (int row = 0; row < ROWS; row++) memcpy(v + row * V, data + row * COLUMNS, V * sizeof *v);
        assert_ok(hm_arena_init(&scratch, model->class->classify_bytes(model, ROWS), "scratch"));
        assert_ok(model->class->classify(model, (hm_matrix){v, ROWS, V}, &scratch, p));
        r = (reference){.model = model, .params = params, .shards = 1};
        load(&r, data);
        reference_net(&r, net_of(model));
        for (int row = 0; row < ROWS; row++) {
            double sum = 0;
            for (int c = 0; c < CLASSES; c++) sum += exp(r.x[row][c]);
            for (int c = 0; c < CLASSES; c++)
                worst = numbers_worse(worst, fabs((double)p[row * CLASSES + c] - exp(r.x[row][c]) / sum));
        }
        print_message("  %s: greatest error of a probability %.2g\n", nets[at], worst);
        assert_true(worst < 2e-6);
        free(params), free(data);
        hm_arena_free(&scratch);
        hm_model_free(model);
    }
}

/* Running mean and variance take a tenth of the batch's. */
static void running_statistics_follow_the_batch(void **state)
{
    (void)state;
    hm_model *model = make_network("[batch_norm, dense 4]", 2);
    one_gradient g;
    one_gradient_make(&g, model, "classify", &(hm_contrast_settings){0}, random_data(), ROWS);
    const hm_net_layer *layer = &net_of(model)->layer[0];
    double mean[V] = {0}, variance[V] = {0};
    for (int i = 0; i < V; i++) {
        for (int row = 0; row < ROWS; row++) mean[i] += (double)g.batch[row * COLUMNS + i] / ROWS;
        for (int row = 0; row < ROWS; row++) variance[i] += pow((double)g.batch[row * COLUMNS + i] - mean[i], 2) / ROWS;
    }
    g.contrast->objective->finish(model, &(hm_contrast_settings){0}, false, ROWS, g.grad);
    for (int i = 0; i < V; i++) {
        assert_true(fabs((double)hm_layer_matrix(model, layer, 2).at[i] - (0.9 * 1.3 + 0.1 * mean[i])) < 1e-5);
        assert_true(fabs((double)hm_layer_matrix(model, layer, 3).at[i] - (0.9 * 1.3 + 0.1 * variance[i])) < 1e-5);
    }
    one_gradient_free(&g);
}

/* ---- initialisers ----------------------------------------------------------------------------------------------- */

static hm_matrix initial_weights(hm_model **model, const char *layers)
{
    const float rates[V] = {0};
    *model = make_network(layers, 1);
    assert_ok((*model)->class->init(*model, 11, rates));
    return hm_layer_matrix(*model, &net_of(*model)->layer[0], 0);
}

static void initial_weights_have_their_distribution(void **state)
{
    (void)state;
    enum { UNITS = 2000 };
    static const struct {
        const char *layers;
        double variance, bound;
    } cases[] = {
        {"[dense 2000]", 2.0 / (V + UNITS), 1.0001 /* times sqrt(3) deviations */},
        {"[dense 2000 init he]", 2.0 / V, 100},
        {"[dense 2000 init normal 0.02]", 0.0004, 100},
    };
    for (int at = 0; at < 3; at++) {
        hm_model *model;
        hm_matrix W = initial_weights(&model, cases[at].layers);
        double n = (double)(W.rows * W.columns), sum = 0, squares = 0, most = 0;
        for (int64_t i = 0; i < W.rows * W.columns; i++) {
            sum += (double)W.at[i];
            squares += pow((double)W.at[i], 2);
            most = fmax(most, fabs((double)W.at[i]));
        }
        assert_true(fabs(sum / n) < 5 * sqrt(cases[at].variance / n));
        assert_true(fabs(squares / n / cases[at].variance - 1) < 5 * sqrt(2 / n));
        assert_true(most < cases[at].bound * sqrt(3 * cases[at].variance));
        hm_model_free(model);
    }
}

static void orthogonal_weights_are_orthonormal(void **state)
{
    (void)state;
    static const char *const layers[] = {"[dense 5 init orthogonal]", "[dense 40 init orthogonal]"};
    for (int at = 0; at < 2; at++) {
        hm_model *model;
        hm_matrix W = initial_weights(&model, layers[at]);
        bool tall = W.rows > W.columns;
        int64_t n = tall ? W.columns : W.rows;
        for (int64_t a = 0; a < n; a++)
            for (int64_t b = 0; b <= a; b++) {
                double dot = 0;
                for (int64_t k = 0; k < (tall ? W.rows : W.columns); k++)
                    dot += (double)(tall ? W.at[k * W.columns + a] * W.at[k * W.columns + b]
                                         : W.at[a * W.columns + k] * W.at[b * W.columns + k]);
                assert_true(fabs(dot - (a == b)) < 1e-5);
            }
        hm_model_free(model);
    }
}

/* ---- what is refused -------------------------------------------------------------------------------------------- */

static void bad_lists_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *layers, *words;
    } bad[] = {
        {"[dens 5]", "there is no layer 'dens'"},
        {"[dense]", "layer 1, dense: UNITS"},
        {"[dense 0]", "dense: UNITS must be a number from 1"},
        {"[dense 2.5]", "whole number"},
        {"[dense 5 5]", "'5' is not understood"},
        {"[dense 5 init best]", "init is one of"},
        {"[tanh 3]", "tanh takes no '3'"},
        {"[dense 4, dropout 1.5]", "layer 2, dropout: RATE"},
        {"[maxout 4]", "maxout: PIECES"},
        {"[reshape 3 3 1]", "3 x 3 x 1 are 9 units, and the layer before has 16"},
        {"[reshape 4 4 1, conv 2 7]", "patches of 7 x 7 do not fit into images of 4 x 4"},
        {"[conv 2 3]", "do not fit into images of 1 x 1"},
        {"[dense 5, , tanh]", "layer 2 is empty"},
        {"[batch_norm rows]", "batch_norm takes no 'rows'"},
    };
    for (size_t at = 0; at < sizeof bad / sizeof bad[0]; at++) {
        hm_net net;
        hm_status status = hm_net_read(&net, "layers", bad[at].layers, (hm_shape){1, 1, V}, 0);
        if (status != HM_EUSAGE || !strstr(hm_error_message(), bad[at].words))
            fail_msg("%s: %d, %s", bad[at].layers, (int)status, hm_error_message());
        hm_error_clear();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_those_of_the_loss),
        cmocka_unit_test(use_is_the_definition),
        cmocka_unit_test(running_statistics_follow_the_batch),
        cmocka_unit_test(initial_weights_have_their_distribution),
        cmocka_unit_test(orthogonal_weights_are_orthonormal),
        cmocka_unit_test(bad_lists_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
