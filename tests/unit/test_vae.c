/* Variational autoencoders: gradients of all objectives against central differences in float64 with the same draws, the
 * bounds against numerical integration and against an exact log-likelihood, latent layers upward and downward. */
#include "one_gradient.h"
#include "reference_net.h"

#include "core/kernels.h"
#include "infer/importance.h"
#include "numbers.h"

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
    {"analytic",
     "elbo",
     {"encoder", "[dense 5, tanh, latent 3]", "decoder", "[dense 4, tanh]"},
     {.samples = 1},
     1,
     {3}},
    {"analytic, three draws", "elbo", {"encoder", "[latent 3]", "decoder", "[dense 4, relu]"}, {.samples = 3}, 1, {3}},
    {"sampled",
     "elbo",
     {"encoder", "[dense 5, tanh, latent 3]", "decoder", "[]"},
     {.samples = 2, .kl = HM_KL_SAMPLED},
     1,
     {3}},
    {"at the beginning of a warm-up",
     "elbo",
     {"encoder", "[dense 5, tanh, latent 3]", "decoder", "[dense 4, tanh]"},
     {.samples = 2, .kl_warmup = 3},
     1,
     {3}},
    {"the same, from the draws",
     "elbo",
     {"encoder", "[dense 5, tanh, latent 3]", "decoder", "[dense 4, tanh]"},
     {.samples = 2, .kl = HM_KL_SAMPLED, .kl_warmup = 3},
     1,
     {3}},
    {"gaussian",
     "elbo",
     {"encoder", "[dense 4, tanh, latent 2]", "decoder", "[dense 4, tanh]", "likelihood", "gaussian"},
     {.samples = 2},
     1,
     {2}},
    {"gaussian of variance 1",
     "iwae",
     {"encoder", "[latent 2]", "decoder", "[dense 4, tanh]", "likelihood", "gaussian", "learn_variance", "false"},
     {.samples = 3},
     1,
     {2}},
    {"importance",
     "iwae",
     {"encoder", "[dense 5, tanh, latent 3]", "decoder", "[dense 4, tanh]"},
     {.samples = 4},
     1,
     {3}},
    {"two layers",
     "elbo",
     {"encoder", "[dense 5, tanh, latent 3, dense 4, tanh, latent 2]", "decoder",
      "[dense 3, tanh, latent 3, dense 4, softplus]"},
     {.samples = 2},
     2,
     {3, 2}},
    {"two layers, importance",
     "iwae",
     {"encoder", "[latent 3, dense 4, tanh, latent 2]", "decoder", "[latent 3, dense 4, tanh]"},
     {.samples = 4},
     2,
     {3, 2}},
    {"batch normalisation",
     "elbo",
     {"encoder", "[dense 5, batch_norm, tanh, latent 3]", "decoder", "[dense 4, batch_norm, relu]"},
     {.samples = 2},
     1,
     {3}},
    {"dropout",
     "iwae",
     {"encoder", "[dropout 0.2, dense 5, tanh, latent 3]", "decoder", "[dense 6, tanh, dropout 0.3]"},
     {.samples = 3},
     1,
     {3}},
    {"sticking the landing",
     "elbo",
     {"encoder", "[dense 5, tanh, latent 3]", "decoder", "[dense 4, tanh]"},
     {.samples = 2, .kl = HM_KL_SAMPLED, .path = HM_PATH_STICKING},
     1,
     {3}},
    {"importance, sticking",
     "iwae",
     {"encoder", "[dense 5, tanh, latent 3]", "decoder", "[dense 4, tanh]"},
     {.samples = 4, .path = HM_PATH_STICKING},
     1,
     {3}},
    {"doubly reparametrised",
     "iwae",
     {"encoder", "[dense 5, tanh, latent 3]", "decoder", "[dense 4, tanh]"},
     {.samples = 4, .path = HM_PATH_DOUBLY},
     1,
     {3}},
};

/* How the family's state begins: how many layers, their units, the nets. */
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
                rest += top ? log_normal(h, 0, 0) : log_normal(h, x->d[l + 1][i][u], x->d[l + 1][i][is->units[l] + u]);
                rest -= log_normal(h, q->e[l][i][u], q->e[l][i][is->units[l] + u]);
            }
        x->of_data[i] = data;
        x->log_w[i] = data + (is->how.kl_warmup > 0 ? 0 : rest); /* weight 0 at epoch 0 */
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

/* The objective of params; or, for gradients along the path, what has them as its gradient: weights and q of `frozen`.
 */
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
            if (is->how.kl_warmup == 0) total -= 0.5 * (mu * mu + exp(lv) - lv - 1);
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
            if (error > 1e-3)
                fail_msg("%s: %s: %g, expected %g", is->name, at->name, (double)g.grad[i], (side[1] - side[0]) / 2e-5);
            worst = numbers_worse(worst, error);
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

/* q(h | v) near the prior and a little wider, so that weights have no heavy tail: as errors of their mean suppose. */
static void widen_posterior(hm_model *model)
{
    const vae_state *own = model->state;
    const hm_net_layer *head = &own->encoder[0].layer[own->encoder[0].count - 1];
    hm_matrix W = hm_layer_matrix(model, head, 0), b = hm_layer_matrix(model, head, 1);
    for (int64_t i = 0; i < W.rows * W.columns; i++) W.at[i] *= 0.3f;
    for (int64_t u = own->units[0]; u < 2 * own->units[0]; u++) b.at[u] = 0.4f;
    model->class->refresh(model);
}

/* ---- bounds and estimates --------------------------------------------------------------------------------------- */

/* log p(v | h) for rows of h. */
static void data_given_latent(const hm_model *model, hm_matrix h, const float *v, double out[])
{
    float *mean = calloc((size_t)(h.rows * V + 64), sizeof *mean);
    hm_arena scratch;
    assert_ok(hm_arena_init(&scratch, model->class->latent->scratch_bytes(model, h.rows, 1), "scratch"));
    assert_ok(model->class->latent->decode(model, h, NULL, 0, &scratch, NULL, mean));
    for (int64_t row = 0; row < h.rows; row++) {
        out[row] = 0;
        for (int i = 0; i < V; i++) {
            double p = (double)mean[row * V + i];
            out[row] += v[i] > 0 ? log(p) : log1p(-p);
        }
    }
    hm_arena_free(&scratch);
    free(mean);
}

/* Integrals over h of one or two dimensions on a grid: log p(v), and the evidence lower bound. */
static void integrate(const hm_model *model, int dims, const float *v, double *log_p, double *elbo)
{
    enum { STEPS = 401 };
    const double least = -7, step = 14.0 / (STEPS - 1);
    int64_t n = dims == 1 ? STEPS : STEPS * STEPS;
    float *h = calloc((size_t)(n * dims + 64), sizeof *h), mean[2], variance[2], row[V + 64];
    double *log_v = calloc((size_t)n, sizeof *log_v), p = 0, bound = 0, cell = dims == 1 ? step : step * step;
    hm_arena scratch;
    memcpy(row, v, V * sizeof *v);
    for (int64_t i = 0; i < n; i++)
        for (int u = 0; u < dims; u++)
            h[i * dims + u] = (float)(least + step * (double)(u == 0 ? i % STEPS : i / STEPS));
    data_given_latent(model, (hm_matrix){h, n, dims}, v, log_v);
    assert_ok(hm_arena_init(&scratch, model->class->latent->scratch_bytes(model, 1, 1), "scratch"));
    assert_ok(model->class->latent->encode(model, (hm_matrix){row, 1, V}, &scratch, mean, variance));
    for (int64_t i = 0; i < n; i++) {
        double log_joint = log_v[i], log_q = 0;
        for (int u = 0; u < dims; u++) {
            log_joint += log_normal((double)h[i * dims + u], 0, 0);
            log_q += log_normal((double)h[i * dims + u], (double)mean[u], log((double)variance[u]));
        }
        p += exp(log_joint) * cell;
        bound += exp(log_q) * (log_joint - log_q) * cell;
    }
    *log_p = log(p);
    *elbo = bound;
    hm_arena_free(&scratch);
    free(h), free(log_v);
}

enum { MANY = 40000 };

static double *many_weights(const hm_model *model, const float *v)
{
    double *log_w = calloc(MANY, sizeof *log_w);
    float row[V + 64];
    hm_stream stream = {11, HM_RNG_NOISE, 0};
    hm_arena scratch;
    memcpy(row, v, V * sizeof *v);
    assert_ok(hm_arena_init(&scratch, model->class->latent->scratch_bytes(model, 1, MANY), "scratch"));
    assert_ok(
        model->class->latent->log_weights(model, (hm_matrix){row, 1, V}, &stream, 0, MANY, &scratch, log_w, NULL));
    hm_arena_free(&scratch);
    return log_w;
}

/* Mean over groups of k draws of log (1 / k) sum w, and its standard error. */
static double bound_of(const double *log_w, int k, double *error)
{
    int groups = MANY / k;
    double sum = 0, squares = 0;
    for (int group = 0; group < groups; group++) {
        double total = 0;
        for (int i = group * k; i < group * k + k; i++) total += exp(log_w[i]);
        sum += log(total / k);
        squares += pow(log(total / k), 2);
    }
    *error = sqrt(fmax(squares / groups - pow(sum / groups, 2), 0) / groups);
    return sum / groups;
}

/* Standard error of the log of the mean of all weights (delta method). */
static double error_of_log_mean(const double *log_w)
{
    double sum = 0, squares = 0;
    for (int i = 0; i < MANY; i++) {
        sum += exp(log_w[i]);
        squares += exp(2 * log_w[i]);
    }
    return sqrt(squares / (sum * sum) - 1.0 / MANY) + 1e-5;
}

/* The ELBO is the integral, bounds rise with k, and all draws together give log p(v). */
static void bounds_are_those_of_numerical_integration(void **state)
{
    (void)state;
    static const char *const one[] = {"encoder", "[dense 4, tanh, latent 1]", "decoder", "[dense 5, tanh]", NULL};
    static const char *const two[] = {"encoder", "[dense 4, tanh, latent 2]", "decoder", "[dense 5, tanh]", NULL};
    static const int ks[] = {1, 2, 5, 20, 100, 1000};
    for (int dims = 1; dims <= 2; dims++) {
        hm_model *model = make_vae(dims == 1 ? one : two, V, 0.9, 31);
        float *data = random_data(false);
        widen_posterior(model);
        for (int row = 0; row < 3; row++) {
            double log_p, elbo, error, below = -INFINITY, *log_w = many_weights(model, data + row * V);
            integrate(model, dims, data + row * V, &log_p, &elbo);
            for (int at = 0; at < 6; at++) {
                double bound = bound_of(log_w, ks[at], &error);
                if (at == 0) assert_close(bound, elbo, 5 * error + 1e-4);
                assert_true(bound >= below - 1e-9); /* of the same draws, by Jensen's inequality, exactly */
                assert_true(bound <= log_p + 5 * error + 1e-4);
                below = bound;
            }
            assert_close(bound_of(log_w, MANY, &error), log_p, 5 * error_of_log_mean(log_w));
            assert_true(elbo < log_p - 0.01);
            free(log_w);
        }
        free(data);
        hm_model_free(model);
    }
}

/* ---- a model whose log-likelihood is known ---------------------------------------------------------------------- */

/* log N(x; 0, A) by Cholesky. */
static double log_gaussian(int n, double A[V][V], double x[V])
{
    double L[V][V] = {{0}}, y[V], total = -0.5 * n * log(2 * 3.141592653589793);
    for (int i = 0; i < n; i++)
        for (int j = 0; j <= i; j++) {
            double sum = A[i][j];
            for (int k = 0; k < j; k++) sum -= L[i][k] * L[j][k];
            L[i][j] = i == j ? sqrt(sum) : sum / L[j][j];
        }
    for (int i = 0; i < n; i++) {
        y[i] = x[i];
        for (int k = 0; k < i; k++) y[i] -= L[i][k] * y[k];
        y[i] /= L[i][i];
        total -= log(L[i][i]) + 0.5 * y[i] * y[i];
    }
    return total;
}

/* v = h W + b + noise: p(v) = N(b, W'W + diag(variance)). */
static double exact_log_prob(const hm_model *model, const float *v)
{
    hm_matrix W = small_rbm_tensor(model, "decoder_W1"), b = small_rbm_tensor(model, "decoder_b1");
    hm_matrix lv = small_rbm_tensor(model, "log_variance");
    double A[V][V], x[V];
    for (int i = 0; i < V; i++) {
        x[i] = (double)v[i] - (double)b.at[i];
        for (int j = 0; j < V; j++) {
            A[i][j] = i == j ? exp((double)lv.at[i]) : 0;
            for (int64_t u = 0; u < W.rows; u++) A[i][j] += (double)W.at[u * V + i] * (double)W.at[u * V + j];
        }
    }
    return log_gaussian(V, A, x);
}

static void estimate_is_the_exact_log_prob_of_a_linear_model(void **state)
{
    (void)state;
    static const char *const linear[] = {
        "encoder", "[dense 4, tanh, latent 2]", "decoder", "[]", "likelihood", "gaussian", NULL};
    hm_model *model = make_vae(linear, V, 0.5, 17);
    float *data = random_data(true);
    hm_source *source;
    hm_workers workers = serial_workers(&three_threads, 4, 9);
    hm_importance_settings settings = {.samples = 5000};
    hm_importance_result result;
    double exact = 0, worst = 0;
    widen_posterior(model);
    assert_ok(hm_source_memory(HM_FLOAT32, ROWS, V, data, &source));
    assert_ok(hm_importance(model, source, &hm_row_values, &settings, &workers, &result));
    for (int row = 0; row < ROWS; row++) {
        exact += exact_log_prob(model, data + row * V) / ROWS;
        worst = numbers_worse(worst, fabs(result.each[row] - exact_log_prob(model, data + row * V)));
    }
    assert_close(result.log_prob, exact, 5 * result.draws_stderr);
    print_message("  worst row: %.3g off\n", worst);
    assert_true(worst < 0.5);
    assert_true(result.elbo < exact && result.ess > 1 && result.ess < 5000);
    assert_close(result.log_likelihood - result.kl, result.elbo, 1e-9);
    hm_importance_free(&result);
    source->close(source);
    free(data);
    hm_model_free(model);
}

/* Posterior means vary over the rows or they do not: only the first unit's weights are not zero. */
static void active_units_are_counted(void **state)
{
    (void)state;
    static const char *const settings[] = {"encoder", "[latent 3]", "decoder", "[]", NULL};
    hm_model *model = make_vae(settings, V, 0.5, 5);
    hm_matrix W = small_rbm_tensor(model, "encoder_W1");
    float *data = random_data(false);
    hm_source *source;
    hm_workers workers = serial_workers(&one_thread, 2, 9);
    hm_importance_settings how = {.samples = 3};
    hm_importance_result result;
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < V; i++) W.at[i * 6 + 1] = W.at[i * 6 + 2] = 0;
    model->class->refresh(model);
    assert_ok(hm_source_memory(HM_FLOAT32, ROWS, V, data, &source));
    assert_ok(hm_importance(model, source, &hm_row_values, &how, &workers, &result));
    for (int row = 0; row < ROWS; row++) {
        double mean = 0;
        for (int i = 0; i < V; i++) mean += (double)data[row * V + i] * (double)W.at[i * 6];
        sum += mean / ROWS;
        squares += mean * mean / ROWS;
    }
    assert_int_equal(result.units, 3);
    assert_int_equal(result.active, 1);
    assert_close(result.variances[0], squares - sum * sum, 1e-5);
    assert_true(result.variances[1] < 1e-9 && result.variances[2] < 1e-9);
    hm_importance_free(&result);
    source->close(source);
    free(data);
    hm_model_free(model);
}

/* ---- what is refused -------------------------------------------------------------------------------------------- */

static void bad_models_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *encoder, *decoder, *words;
    } bad[] = {
        {"[dense 5, tanh]", "[]", "it must end in `latent N`"},
        {"[latent 3, dense 4]", "[]", "it must end in `latent N`"},
        {"[latent 3, latent 2]", "[]", "the encoder has 2 layers of latent variables, the decoder 1"},
        {"[latent 3]", "[latent 3]", "not among the encoder's layers"},
        {"[latent 3, dense 4, latent 2]", "[latent 4]", "not among the encoder's layers"},
        {"[dens 3, latent 3]", "[]", "model.encoder: there is no layer 'dens'"},
        {"[latent 3]", "[conv 3 3]", "model.decoder, layer 1, conv"},
        {"[latent 2.5]", "[]", "N must be a whole number"},
        {"[latent 0]", "[]", "N must"},
        {"[latent 3 init he]", "[]", "'init' is too much"},
        {"[latent 3]", "[minibatch 2 3]", "model.decoder, layer 1, minibatch: compares the rows"},
    };
    for (size_t at = 0; at < sizeof bad / sizeof bad[0]; at++)
        refuse_small_model("vae", (const char *const[]){"encoder", bad[at].encoder, "decoder", bad[at].decoder, NULL},
                           V, bad[at].words);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_those_of_the_objectives),
        cmocka_unit_test(bounds_are_those_of_numerical_integration),
        cmocka_unit_test(estimate_is_the_exact_log_prob_of_a_linear_model),
        cmocka_unit_test(active_units_are_counted),
        cmocka_unit_test(bad_models_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
