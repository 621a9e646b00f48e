/* Adversarial nets: the gradients of both players, the gradient penalty's second derivative among them, against central
 * differences in float64 with the same noise, and refusals. */
#include "one_gradient.h"
#include "reference_net.h"

#include "core/kernels.h"
#include "numbers.h"

enum { V = 6, ROWS = 10, NOISE = 3 };

/* How the family's state begins. */
typedef struct gan_state {
    hm_net generator, discriminator;
} gan_state;

typedef struct gan_case {
    const char *objective, *generator, *discriminator, *range;
} gan_case;

static const gan_case cases[] = {
    {"minimax", "[dense 4, tanh, dense 6, sigmoid]", "[dense 5, leaky_relu, dense 1]", "unit"},
    {"non_saturating", "[dense 4, relu, dense 6, tanh]", "[dense 5, tanh, dense 4, sigmoid, dense 1]", "symmetric"},
    {"non_saturating", "[dense 4, batch_norm, tanh, dense 6, sigmoid]", "[dense 5, batch_norm, tanh, dense 1]", "unit"},
    {"non_saturating", "[dense 6, sigmoid]", "[dense 4, tanh, minibatch 2 3, dense 1]", "unit"},
    {"least_squares", "[dense 6]", "[maxout 4 2, dense 1]", "real"},
    {"minimax", "[dense 4, dropout 0.5, dense 6]", "[dropout 0.2, dense 5, tanh, dropout 0.5, dense 1]", "real"},
    {"wasserstein", "[dense 6]", "[dropout 0.3, dense 8, tanh, dropout 0.5, dense 1]", "real"},
    {"wasserstein", "[dense 4, tanh, dense 6]", "[dense 5, leaky_relu, dense 4, relu, dense 1]", "real"},
    {"wasserstein", "[dense 4, batch_norm, tanh, dense 6]",
     "[dense 5, tanh, dense 4, softplus, dense 3, sigmoid, dense 1]", "real"},
    {"wasserstein", "[dense 6]", "[reshape 2 3 1, conv 3 2 pad 1, tanh, conv 2 2 stride 2, leaky_relu, dense 1]",
     "real"},
    {"wasserstein", "[dense 6]", "[reshape 1 2 3, transposed_conv 2 2, softplus, dense 1]", "real"},
};

static const double PENALTY = 1.7;

static hm_model *make_gan(const gan_case *is, uint64_t seed)
{
    const char *const settings[] = {
        "generator", is->generator, "discriminator", is->discriminator, "noise_units", "3", "range", is->range, NULL};
    hm_model *model = make_small_model("gan", settings, V, &three_threads);
    draw_small_model(model, 0.7, 0.3, 0.9f, seed);
    return model;
}

static float *random_data(bool real)
{
    float *data = calloc(ROWS * V, sizeof *data);
    hm_stream stream = {.seed = 3, .purpose = HM_RNG_SYNTH};
    for (int64_t row = 0; row < ROWS; row++)
        for (int64_t i = 0; i < V; i++)
            data[row * V + i] = real ? (float)hm_random_normal(&stream, row, i) : hm_random_uniform(&stream, row, i);
    return data;
}

/* ---- both objectives in float64 --------------------------------------------------------------------------------- */

/* Random numbers of rows that are block `block` of a pass: a shard's blocks follow each other, in room for
 * four. */
static const int64_t *numbers_of(int block)
{
    static int64_t number[4][ROWS];
    for (int shard = 0; shard < ONE_GRADIENT_SHARDS; shard++) {
        hm_range part = hm_part(ROWS, ONE_GRADIENT_SHARDS, shard);
        for (int64_t row = part.begin; row < part.end; row++)
            number[block][row] = 4 * part.begin + block * hm_count(part) + row - part.begin;
    }
    return number[block];
}

static reference reference_of(const hm_model *model, const double *params, int turn, const int64_t *number)
{
    return (reference){.model = model,
                       .params = params,
                       .training = true,
                       .shards = ONE_GRADIENT_SHARDS,
                       .seed = ONE_GRADIENT_SEED,
                       .step = (uint64_t)turn,
                       .number = number,
                       .rows = ROWS};
}

static void run(reference of, const hm_net *net, int in, double x[ROWS][V], int out, double y[ROWS][V])
{
    static reference r;
    r = of;
    for (int row = 0; row < ROWS; row++)
        for (int i = 0; i < in; i++) r.x[row][i] = x[row][i];
    reference_net(&r, net);
    for (int row = 0; row < ROWS; row++)
        for (int i = 0; i < out; i++) y[row][i] = r.x[row][i];
}

static void generate(const hm_model *model, const double *params, int turn, double made[ROWS][V])
{
    const gan_state *own = model->state;
    hm_stream stream = {ONE_GRADIENT_SEED, HM_RNG_NOISE, (uint64_t)turn * 8};
    double z[ROWS][V];
    for (int row = 0; row < ROWS; row++) {
        float noise[NOISE + 64];
        hm_kernels_best()->normal(&stream, row, NOISE, noise);
        for (int u = 0; u < NOISE; u++) z[row][u] = (double)noise[u];
    }
    run(reference_of(model, params, turn, NULL), &own->generator, NOISE, z, V, made);
}

/* da/dx of every row, by derivatives along each axis: those of linear layers are the layer without its constant. */
static void input_gradient(const hm_model *model, const double *params, double x[ROWS][V], double g[ROWS][V])
{
    const hm_net *net = &((const gan_state *)model->state)->discriminator;
    static reference value, tangent, zero;
    for (int axis = 0; axis < V; axis++) {
        value = tangent = zero = reference_of(model, params, 0, numbers_of(2));
        for (int row = 0; row < ROWS; row++)
            for (int i = 0; i < V; i++) {
                value.x[row][i] = x[row][i];
                tangent.x[row][i] = i == axis;
            }
        for (int l = 0; l < net->count; l++) {
            const hm_net_layer *layer = &net->layer[l];
            int units = (int)hm_shape_size(layer->out);
            if (layer->class->activation) {
                for (int row = 0; row < ROWS; row++)
                    for (int i = 0; i < units; i++) {
                        double at = value.x[row][i], h = 1e-6;
                        tangent.x[row][i] *= (reference_activation(layer->class->name, layer->value, at + h) -
                                              reference_activation(layer->class->name, layer->value, at - h)) /
                                             (2 * h);
                    }
            } else {
                memset(zero.x, 0, sizeof zero.x);
                reference_layer(&tangent, layer);
                reference_layer(&zero, layer);
                for (int row = 0; row < ROWS; row++)
                    for (int i = 0; i < units; i++) tangent.x[row][i] -= zero.x[row][i];
            }
            reference_layer(&value, layer);
        }
        for (int row = 0; row < ROWS; row++) g[row][axis] = tangent.x[row][0];
    }
}

static double penalty(const hm_model *model, const double *params, double x[ROWS][V], double made[ROWS][V])
{
    hm_stream stream = {ONE_GRADIENT_SEED, HM_RNG_NOISE, 1};
    double between[ROWS][V], g[ROWS][V], total = 0;
    for (int row = 0; row < ROWS; row++) {
        double u = (double)hm_random_uniform(&stream, row, 0);
        for (int i = 0; i < V; i++) between[row][i] = u * x[row][i] + (1 - u) * made[row][i];
    }
    input_gradient(model, params, between, g);
    for (int row = 0; row < ROWS; row++) {
        double square = 0;
        for (int i = 0; i < V; i++) square += g[row][i] * g[row][i];
        total += pow(sqrt(square) - 1, 2);
    }
    return PENALTY * total;
}

static double log_sigmoid(double a) { return -log1p(exp(-a)); }

/* What the player of the turn climbs: 0 the discriminator's, 1 the generator's. */
static double objective(const hm_model *model, const gan_case *is, const double *params, const float *v, int turn)
{
    const gan_state *own = model->state;
    double x[ROWS][V], made[ROWS][V], real[ROWS][V], fake[ROWS][V], total = 0;
    char kind = is->objective[0];
    for (int row = 0; row < ROWS; row++)
        for (int i = 0; i < V; i++)
            x[row][i] = is->range[0] == 's' ? 2 * (double)v[row * V + i] - 1 : (double)v[row * V + i];
    generate(model, params, turn, made);
    run(reference_of(model, params, turn, numbers_of(0)), &own->discriminator, V, x, 1, real);
    run(reference_of(model, params, turn, turn ? NULL : numbers_of(1)), &own->discriminator, V, made, 1, fake);
    for (int row = 0; row < ROWS; row++) {
        double a = real[row][0], b = fake[row][0];
        if (kind == 'w')
            total += turn ? b : a - b;
        else if (kind == 'l')
            total -= 0.5 * (turn ? pow(b - 1, 2) : pow(a - 1, 2) + b * b);
        else if (turn)
            total += kind == 'm' ? -log_sigmoid(-b) : log_sigmoid(b);
        else
            total += log_sigmoid(a) + log_sigmoid(-b);
    }
    return kind == 'w' && !turn ? total - penalty(model, params, x, made) : total;
}

static void check_turn(const gan_case *is, int turn, uint64_t seed)
{
    hm_model *model = make_gan(is, seed);
    const hm_contrast_settings how = {.adversary_steps = 1, .gradient_penalty = PENALTY};
    one_gradient g;
    double *params = calloc((size_t)model->layout.size, sizeof *params), worst = 0;
    for (int64_t i = 0; i < model->layout.size; i++) params[i] = (double)model->params[i];
    one_gradient_turn(&g, model, is->objective, turn, &how, random_data(is->range[0] == 'r'), ROWS);
    for (int tensor = 0; tensor < model->layout.count; tensor++) {
        const hm_tensor *at = &model->layout.tensors[tensor];
        if (at->role != HM_LEARNT || (at->name[0] == 'd') != (turn == 0)) continue;
        for (int64_t i = at->offset; i < at->offset + hm_tensor_size(at); i++) {
            double was = params[i], side[2];
            for (int up = 0; up < 2; up++) {
                params[i] = was + (up ? 1e-5 : -1e-5);
                side[up] = objective(model, is, params, g.batch, turn);
            }
            params[i] = was;
            double expected = (side[1] - side[0]) / 2e-5, error = fabs((double)g.grad[i] - expected);
            if (!(error < 1e-3))
                fail_msg("%s %s: %s: %g, expected %g", is->objective, is->discriminator, at->name, (double)g.grad[i],
                         expected);
            worst = numbers_worse(worst, error);
        }
    }
    print_message("  %s, %s %s: greatest error of a derivative %.2g\n", is->objective,
                  turn ? "generator" : "discriminator", turn ? is->generator : is->discriminator, worst);
    free(params);
    one_gradient_free(&g);
}

static void gradients_are_those_of_both_players(void **state)
{
    (void)state;
    for (size_t at = 0; at < sizeof cases / sizeof cases[0]; at++)
        for (int turn = 0; turn < 2; turn++) check_turn(&cases[at], turn, 50 + at);
}

/* ---- what is refused -------------------------------------------------------------------------------------------- */

static void bad_models_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *generator, *discriminator, *words;
    } bad[] = {
        {"[dense 5]", "[dense 1]", "it makes rows of 5 units, and the data has 6 columns"},
        {"[]", "[dense 1]", "it makes rows of 3 units"},
        {"[dense 6]", "[dense 4, tanh]", "it must end in one unit, `dense 1`, not 4"},
        {"[dense 6]", "[]", "it must end in one unit"},
        {"[minibatch 2 3, dense 6]", "[dense 1]", "for the discriminator of a gan alone"},
        {"[dense 6, conv 2 3]", "[dense 1]", "model.generator, layer 2, conv"},
    };
    for (size_t at = 0; at < sizeof bad / sizeof bad[0]; at++)
        refuse_small_model("gan",
                           (const char *const[]){"generator", bad[at].generator, "discriminator", bad[at].discriminator,
                                                 "noise_units", "3", NULL},
                           V, bad[at].words);
    hm_model *model = make_gan(&(gan_case){"wasserstein", "[dense 6]", "[dense 4, batch_norm, dense 1]", "real"}, 1);
    assert_int_equal(hm_objective_find(model->class, "wasserstein")->check(model, &(hm_contrast_settings){0}),
                     HM_EUSAGE);
    assert_non_null(strstr(hm_error_message(), "model.discriminator has a layer batch_norm"));
    hm_error_clear();
    hm_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_those_of_both_players),
        cmocka_unit_test(bad_models_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
