/* Variational autoencoders: gradients of all objectives against central differences in float64 with the same draws, the
 * bounds against numerical integration and against an exact log-likelihood, latent layers upward and downward. */
#include "one_gradient.h"
#include "reference_net.h"

#include "core/kernels.h"

enum { V = 6, ROWS = 10, DRAWS_MAX = 60, UNITS_MAX = 8, LAYERS_MAX = 2 };

static hm_model *make_vae(const char *const settings[], int64_t visible, double weights, uint64_t seed)
{
    hm_model *model = make_small_model("vae", settings, visible, &three_threads);
    draw_small_model(model, weights, 0.3, 0.8f, seed);
    return model;
}

static float *random_data(bool real)
{
    float *data = calloc(ROWS * V, sizeof *data);
    hm_stream stream = {.seed = 3, .purpose = HM_RNG_SYNTH};
    for (int64_t row = 0; row < ROWS; row++)
        for (int64_t i = 0; i < V; i++)
            data[row * V + i] =
                real ? (float)hm_random_normal(&stream, row, i) : (float)(hm_random_uniform(&stream, row, i) < 0.4f);
    return data;
}

/* ---- the objective in float64 ----------------------------------------------------------------------------------- */

typedef struct vae_case {
    const char *name, *objective;
    const char *settings[12];
    hm_contrast_settings how;
    int layers, units[LAYERS_MAX];
} vae_case;

static const vae_case cases[] = {
    {"analytic", "elbo", {"encoder", "[dense 5, tanh, latent 3]", "decoder", "[dense 4, tanh]"}, {.samples = 1}, 1, {3}},
    {"analytic, three draws", "elbo", {"encoder", "[latent 3]", "decoder", "[dense 4, relu]"}, {.samples = 3}, 1, {3}},
    {"sampled", "elbo", {"encoder", "[dense 5, tanh, latent 3]", "decoder", "[]"}, {.samples = 2, .kl = HM_KL_SAMPLED}, 1, {3}},
    {"gaussian", "elbo", {"encoder", "[dense 4, tanh, latent 2]", "decoder", "[dense 4, tanh]", "likelihood", "gaussian"}, {.samples = 2}, 1, {2}},
    {"gaussian of variance 1", "iwae", {"encoder", "[latent 2]", "decoder", "[dense 4, tanh]", "likelihood", "gaussian", "learn_variance", "false"}, {.samples = 3}, 1, {2}},
    {"importance", "iwae", {"encoder", "[dense 5, tanh, latent 3]", "decoder", "[dense 4, tanh]"}, {.samples = 4}, 1, {3}},
    {"two layers", "elbo", {"encoder", "[dense 5, tanh, latent 3, dense 4, tanh, latent 2]", "decoder", "[dense 3, tanh, latent 3, dense 4, softplus]"}, {.samples = 2}, 2, {3, 2}},
    {"two layers, importance", "iwae", {"encoder", "[latent 3, dense 4, tanh, latent 2]", "decoder", "[latent 3, dense 4, tanh]"}, {.samples = 4}, 2, {3, 2}},
    {"batch normalisation", "elbo", {"encoder", "[dense 5, batch_norm, tanh, latent 3]", "decoder", "[dense 4, batch_norm, relu]"}, {.samples = 2}, 1, {3}},
    {"dropout", "iwae", {"encoder", "[dropout 0.2, dense 5, tanh, latent 3]", "decoder", "[dense 6, tanh, dropout 0.3]"}, {.samples = 3}, 1, {3}},
    {"sticking the landing", "elbo", {"encoder", "[dense 5, tanh, latent 3]", "decoder", "[dense 4, tanh]"}, {.samples = 2, .kl = HM_KL_SAMPLED, .path = HM_PATH_STICKING}, 1, {3}},
    {"importance, sticking", "iwae", {"encoder", "[dense 5, tanh, latent 3]", "decoder", "[dense 4, tanh]"}, {.samples = 4, .path = HM_PATH_STICKING}, 1, {3}},
    {"doubly reparametrised", "iwae", {"encoder", "[dense 5, tanh, latent 3]", "decoder", "[dense 4, tanh]"}, {.samples = 4, .path = HM_PATH_DOUBLY}, 1, {3}},
};

/* The nets, by their names in the layout: a net's layers are read off the model's tables in the same order. */
typedef struct vae_nets {
    hm_net encoder[LAYERS_MAX], decoder[LAYERS_MAX];
} vae_nets;

/* As the family lays out its state: how many layers, their units, the nets. */
typedef struct vae_state {
    int layers;
    int64_t units[4];
    hm_net encoder[4], decoder[4];
} vae_state;

typedef struct latents {
    int count; /* draws: rows times samples */
    double e[LAYERS_MAX][DRAWS_MAX][2 * UNITS_MAX], h[LAYERS_MAX][DRAWS_MAX][UNITS_MAX];
    double d[LAYERS_MAX][DRAWS_MAX][2 * UNITS_MAX];
    double log_w[DRAWS_MAX], of_data[DRAWS_MAX];
} latents;

static void apply(const hm_model *model, const double *params, const hm_net *net, int rows, int in,
                  double (*x)[2 * UNITS_MAX], int out, double (*y)[2 * UNITS_MAX])
{
    static reference r;
    r = (reference){.model = model, .params = params, .training = true, .shards = ONE_GRADIENT_SHARDS};
    r.seed = ONE_GRADIENT_SEED;
    r.rows = rows;
    for (int row = 0; row < rows; row++)
        for (int i = 0; i < in; i++) r.x[row][i] = x[row][i];
    reference_net(&r, net);
    for (int row = 0; row < rows; row++)
        for (int i = 0; i < out; i++) y[row][i] = r.x[row][i];
}

static double noise(int l, int draw, int u)
{
    float values[128];
    hm_stream stream = {ONE_GRADIENT_SEED, HM_RNG_NOISE, (uint64_t)l};
    hm_kernels_best()->normal(&stream, draw, UNITS_MAX, values);
    return (double)values[u];
}

static double log_normal(double x, double mean, double log_variance)
{
    return -0.5 * (log(2 * 3.141592653589793) + log_variance + pow(x - mean, 2) * exp(-log_variance));
}

/* h and the parameters of all distributions, from params. */
static void infer(const hm_model *model, const vae_case *is, const double *params, const float *v, latents *x)
{
    const vae_state *own = model->state;
    int k = (int)is->how.samples;
    static double below[DRAWS_MAX][2 * UNITS_MAX];
    x->count = ROWS * k;
    for (int row = 0; row < ROWS; row++)
        for (int i = 0; i < V; i++) below[row][i] = (double)v[row * V + i];
    for (int l = 0; l < is->layers; l++) {
        int N = is->units[l], rows = l == 0 ? ROWS : x->count;
        apply(model, params, &own->encoder[l], rows, l == 0 ? V : is->units[l - 1], below, 2 * N, x->e[l]);
        for (int i = x->count - 1; i >= 0 && l == 0; i--) memcpy(x->e[l][i], x->e[l][i / k], sizeof x->e[l][i]);
        for (int i = 0; i < x->count; i++)
            for (int u = 0; u < N; u++)
                x->h[l][i][u] = below[i][u] = x->e[l][i][u] + exp(0.5 * x->e[l][i][N + u]) * noise(l, i, u);
        apply(model, params, &own->decoder[l], x->count, N, below, l == 0 ? V : 2 * is->units[l - 1], x->d[l]);
    }
}

/* log p(v | h), log p(h) and - log q(h | v), whose parameters are those of `q`. */
static void weigh(const hm_model *model, const vae_case *is, const double *params, const float *v, const latents *q,
                  latents *x)
{
    int variance = hm_layout_find(&model->layout, "log_variance");
    bool gaussian = is->settings[4] && strcmp(is->settings[5], "gaussian") == 0;
    for (int i = 0; i < x->count; i++) {
        double data = 0, rest = 0;
        for (int j = 0; j < V; j++) {
            double at = (double)v[i / (int)is->how.samples * V + j], z = x->d[0][i][j];
            double lv = variance >= 0 ? params[model->layout.tensors[variance].offset + j] : 0;
            data += gaussian ? log_normal(at, z, lv) : at * z - log1p(exp(z));
        }
        for (int l = 0; l < is->layers; l++)
            for (int u = 0; u < is->units[l]; u++) {
                double h = x->h[l][i][u];
                bool top = l + 1 == is->layers;
                rest += top ? log_normal(h, 0, 0)
                            : log_normal(h, x->d[l + 1][i][u], x->d[l + 1][i][is->units[l] + u]);
                rest -= log_normal(h, q->e[l][i][u], q->e[l][i][is->units[l] + u]);
            }
        x->of_data[i] = data;
        x->log_w[i] = data + rest;
    }
}

/* a_s with the model's own parameters. */
static void importance(const vae_case *is, const latents *frozen, double a[])
{
    int k = (int)is->how.samples;
    for (int row = 0; row < ROWS; row++) {
        double sum = 0;
        for (int s = 0; s < k; s++) sum += exp(frozen->log_w[row * k + s]);
        for (int s = 0; s < k; s++)
            a[row * k + s] = is->objective[0] == 'i' ? exp(frozen->log_w[row * k + s]) / sum : 1.0 / k;
    }
}

/* The objective of params; or, for gradients along the path, what has them as its gradient: weights and q of `frozen`. */
static double objective(const hm_model *model, const vae_case *is, const double *params, const float *v,
                        const latents *frozen, bool of_q)
{
    static latents x;
    int k = (int)is->how.samples;
    double total = 0, a[DRAWS_MAX];
    infer(model, is, params, v, &x);
    weigh(model, is, params, v, is->how.path == HM_PATH_FULL ? &x : frozen, &x);
    importance(is, frozen, a);
    for (int row = 0; row < ROWS; row++) {
        double sum = 0;
        for (int i = row * k; i < row * k + k; i++) {
            if (is->how.path != HM_PATH_FULL)
                sum += (is->how.path == HM_PATH_DOUBLY && of_q ? a[i] : 1) * a[i] * x.log_w[i];
            else if (is->objective[0] == 'i')
                sum += exp(x.log_w[i]) / k;
            else
                sum += (is->how.kl == HM_KL_ANALYTIC && is->layers == 1 ? x.of_data[i] : x.log_w[i]) / k;
        }
        total += is->objective[0] == 'i' && is->how.path == HM_PATH_FULL ? log(sum) : sum;
        for (int u = 0; is->objective[0] == 'e' && is->how.kl == HM_KL_ANALYTIC && is->layers == 1 && u < is->units[0];
             u++) {
            double mu = x.e[0][row * k][u], lv = x.e[0][row * k][is->units[0] + u];
            total -= 0.5 * (mu * mu + exp(lv) - lv - 1);
        }
    }
    return total;
}

static void check_case(const vae_case *is, uint64_t seed)
{
    static latents frozen;
    hm_model *model = make_vae(is->settings, V, 0.7, seed);
    one_gradient g;
    double *params = calloc((size_t)model->layout.size, sizeof *params), worst = 0;
    for (int64_t i = 0; i < model->layout.size; i++) params[i] = (double)model->params[i];
    one_gradient_make(&g, model, is->objective, &is->how, random_data(is->settings[4] != NULL), ROWS);
    infer(model, is, params, g.batch, &frozen);
    weigh(model, is, params, g.batch, &frozen, &frozen);
    for (int tensor = 0; tensor < model->layout.count; tensor++) {
        const hm_tensor *at = &model->layout.tensors[tensor];
        bool of_q = at->name[0] == 'e';
        for (int64_t i = at->offset; at->role == HM_LEARNT && i < at->offset + hm_tensor_size(at); i++) {
            double was = params[i], side[2];
            for (int up = 0; up < 2; up++) {
                params[i] = was + (up ? 1e-5 : -1e-5);
                side[up] = objective(model, is, params, g.batch, &frozen, of_q);
            }
            params[i] = was;
            double error = fabs((double)g.grad[i] - (side[1] - side[0]) / 2e-5);
            if (error > 1e-3) fail_msg("%s: %s: %g, expected %g", is->name, at->name, (double)g.grad[i], (side[1] - side[0]) / 2e-5);
            worst = fmax(worst, error);
        }
    }
    print_message("  %s: greatest error of a derivative %.2g\n", is->name, worst);
    assert_true(worst < 1e-4);
    free(params);
    one_gradient_free(&g);
}

static void gradients_are_those_of_the_objectives(void **state)
{
    (void)state;
    for (size_t at = 0; at < sizeof cases / sizeof cases[0]; at++) check_case(&cases[at], 20 + at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_those_of_the_objectives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
