/* The variational autoencoder (Kingma & Welling 2014; Rezende, Mohamed, Wierstra 2014), with one or more layers of
 * latent variables, h_0 = v:
 *
 *   p(v, h) = p(h_L) p(h_{L-1} | h_L) .. p(v | h_1),    h_L ~ N(0, 1),    p(h_l | h_{l+1}) = N(mu_d, s_d^2)
 *   q(h | v) = q(h_1 | v) q(h_2 | h_1) ..,               q(h_{l+1} | h_l) = N(mu_e, s_e^2),   h = mu_e + s_e eps
 *
 * p(v | h_1) is Bernoulli or Gaussian. With w_s = p(v, h_s) / q(h_s | v) for k draws of h (Burda, Grosse, Salakhutdinov
 * 2016), the objectives are
 *
 *   elbo  sum over rows of (1 / k) sum_s log w_s            iwae  sum over rows of log (1 / k) sum_s w_s
 *
 * and their gradient is sum_s a_s d log w_s, a_s = 1 / k, or w_s / sum w. Of log q(h_s | v), `path: sticking` leaves
 * out the dependence on mu_e and s_e that does not go through h_s (Roeder, Wu, Duvenaud 2017); `doubly` weights what is
 * left by a_s^2 for q, a_s for p (Tucker et al. 2019).
 */
#include "core/kernels.h"
#include "core/memory.h"
#include "infer/numeric.h"
#include "nets/latent_draws.h"
#include "nets/program.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- settings and tensors --------------------------------------------------------------------------------------- */

enum { ELBO, IWAE }; /* kinds of objective */

typedef enum likelihood { BERNOULLI, GAUSSIAN } likelihood;
static const char *const likelihood_names[] = {"bernoulli", "gaussian", NULL};

typedef struct vae_settings {
    char *encoder, *decoder;
    int likelihood;
    bool learns_variance;
} vae_settings;

#define FIELD(NAME) .offset = offsetof(vae_settings, NAME)
static const hm_setting vae_entries[] = {
    {.key = "encoder",
     .type = HM_SET_LIST,
     FIELD(encoder),
     .fallback = "[dense 200, tanh, dense 200, tanh, latent 50]",
     .describe = "layers from the data up; `latent N` is a layer of N latent variables, the last one the top"},
    {.key = "decoder",
     .type = HM_SET_LIST,
     FIELD(decoder),
     .fallback = "[dense 200, tanh, dense 200, tanh]",
     .describe =
         "layers from the top latent variables down, `latent N` for those below; a dense layer to the data ends it"},
    {.key = "likelihood",
     .type = HM_SET_CHOICE,
     FIELD(likelihood),
     .choices = likelihood_names,
     .fallback = "bernoulli",
     .describe = "p(v | h): bernoulli (data from 0 to 1), or gaussian"},
    {.key = "learn_variance",
     .type = HM_SET_BOOL,
     FIELD(learns_variance),
     .fallback = "true",
     .describe = "gaussian: a variance of each visible unit, learnt; false: 1"},
    {.key = NULL},
};
#undef FIELD

enum { LAYERS_MAX = HM_LATENT_LAYERS_MAX };

typedef struct vae {
    hm_latent_nets nets;
    int log_variance; /* tensor: of a Gaussian likelihood; -1: variance 1 */
    hm_program program;
} vae;

static vae *vae_of(const hm_model *model) { return model->state; }
static const vae_settings *settings_of(const hm_model *model) { return model->settings; }
static bool takes_reals(const void *settings) { return ((const vae_settings *)settings)->likelihood == GAUSSIAN; }

static hm_status declare_tensors(hm_model *model)
{
    vae *own = vae_of(model);
    const vae_settings *settings = settings_of(model);
    HM_TRY(hm_latent_nets_declare(model, &own->nets));
    own->log_variance = -1;
    if (settings->likelihood != GAUSSIAN || !settings->learns_variance) return HM_OK;
    return hm_layout_add(&model->layout,
                         (hm_tensor){.name = "log_variance",
                                     .dims = 1,
                                     .shape = {model->visible},
                                     .axes = {"visible"},
                                     .description = "log of the variance of each visible unit, given h"},
                         &own->log_variance);
}

/* ---- the likelihood ---------------------------------------------------------------------------------------------- */

/* 1 / variance of each visible unit of a Gaussian likelihood, in scratch; NULL: 1, or there is none. */
static hm_status find_precision(const hm_model *model, hm_arena *scratch, float **precision)
{
    const vae *own = vae_of(model);
    *precision = NULL;
    if (own->log_variance < 0) return HM_OK;
    HM_TRY(hm_arena_floats(scratch, model->visible, precision));
    const float *z = hm_pack_matrix(&model->layout, model->params, own->log_variance).at;
    for (int64_t i = 0; i < model->visible; i++) (*precision)[i] = (float)exp(-(double)z[i]);
    return HM_OK;
}

/* log p(v | h_1) of draw i. */
static double log_likelihood(const hm_model *model, const hm_draws *x, const float *precision, int64_t i)
{
    const hm_kernels *kernels = hm_kernels_best();
    int64_t V = model->visible;
    const float *v = x->v + i / x->samples * V, *z = x->d[0] + i * V;
    if (settings_of(model)->likelihood == BERNOULLI)
        return kernels->dot(V, v, z) - kernels->sum_softplus(V, z, 1.0f, NULL);
    double sum = (double)V * HM_LOG_2_PI;
    for (int64_t u = 0; u < V; u++) {
        double distance = (double)v[u] - (double)z[u], p = precision ? (double)precision[u] : 1;
        sum += distance * distance * p - log(p);
    }
    return -0.5 * sum;
}

/* ---- the program of an update ----------------------------------------------------------------------------------- */

/* What a shard keeps beside its passes. */
typedef struct update {
    hm_draws x;
    float *precision;        /* find_precision */
    double prior_weight;     /* of log p(h) - log q(h | v) */
    float *weight;           /* (draws) a_s */
    float *back[LAYERS_MAX]; /* (draws, units) d / d h_{l+1}: through what is above it, and the prior */
} update;

_Static_assert(sizeof(update) <= sizeof((hm_work){0}.own), "a shard's work has room for an update");

static update *update_of(const hm_work *work) { return (update *)(void *)work->own; }

static bool is_analytic(const hm_model *model, const hm_shard *shard)
{
    return shard->how->kl == HM_KL_ANALYTIC && vae_of(model)->nets.layers == 1 && shard->objective->kind == ELBO;
}

static hm_status enter(const hm_model *model, hm_shard *shard, hm_work *work, int argument)
{
    update *u = update_of(work);
    float *v;
    (void)argument;
    HM_TRY(hm_arena_floats(shard->scratch, shard->data.rows * model->visible, &v));
    hm_shard_visible(model, shard, v);
    u->x = (hm_draws){.rows = shard->data.rows, .samples = shard->how->samples, .v = v};
    u->prior_weight = shard->how->kl_warmup > 0 ? fmin(shard->epoch / shard->how->kl_warmup, 1) : 1;
    work->pass[hm_encoder_pass(0)] = hm_pass_of(shard, 1, v);
    return find_precision(model, shard->scratch, &u->precision);
}

static hm_status draw(const hm_model *model, hm_shard *shard, hm_work *work, int l)
{
    const vae *own = vae_of(model);
    update *u = update_of(work);
    hm_stream stream = {shard->seed, HM_RNG_NOISE, shard->step};
    u->x.e[l] = work->pass[hm_encoder_pass(l)].at[own->nets.encoder[l].count];
    HM_TRY(hm_draw_layer(&own->nets, &u->x, l, &stream, shard->first_row, shard->scratch));
    hm_pass pass = hm_pass_of(shard, u->x.samples, u->x.h[l]);
    pass.back = true;
    work->pass[hm_decoder_pass(l)] = pass;
    if (l + 1 < own->nets.layers) work->pass[hm_encoder_pass(l + 1)] = pass;
    return HM_OK;
}

/* a_s of a row: 1 / k, or w_s / sum w. log_w: room for k. */
static void weigh_row(const hm_model *model, const hm_shard *shard, const update *u, int64_t row, double log_w[])
{
    int64_t k = u->x.samples;
    float *weight = u->weight + row * k;
    double most = -INFINITY, sum = 0;
    for (int64_t s = 0; s < k; s++) weight[s] = (float)(1.0 / (double)k);
    if (shard->objective->kind == ELBO || k == 1) return;
    for (int64_t s = 0; s < k; s++) {
        log_w[s] = log_likelihood(model, &u->x, u->precision, row * k + s) +
                   hm_log_prior_ratio(&vae_of(model)->nets, &u->x, row * k + s);
        most = fmax(most, log_w[s]);
    }
    for (int64_t s = 0; s < k; s++) sum += exp(log_w[s] - most);
    for (int64_t s = 0; s < k; s++) weight[s] = (float)(exp(log_w[s] - most) / sum);
}

/* d / d z of sum a_s log p(v | h_s), and of the variance of a Gaussian. */
static void likelihood_delta(const hm_model *model, const update *u, hm_shard *shard, float *delta)
{
    const vae *own = vae_of(model);
    int64_t V = model->visible, n = hm_draw_count(&u->x);
    bool bernoulli = settings_of(model)->likelihood == BERNOULLI;
    float *dlv = own->log_variance >= 0 ? hm_shard_direct(shard, &model->layout, own->log_variance) : NULL;
    if (bernoulli) hm_kernels_best()->activate(n, V, u->x.d[0], 1.0f, NULL, delta, NULL, NULL, 0);
    for (int64_t i = 0; i < n; i++) {
        const float *v = u->x.v + i / u->x.samples * V, *z = u->x.d[0] + i * V;
        float *to = delta + i * V, weight = u->weight[i];
        for (int64_t j = 0; bernoulli && j < V; j++) to[j] = weight * (v[j] - to[j]);
        for (int64_t j = 0; !bernoulli && j < V; j++) {
            float distance = v[j] - z[j], precision = u->precision ? u->precision[j] : 1.0f;
            to[j] = weight * distance * precision;
            if (dlv) dlv[j] += weight * 0.5f * (distance * distance * precision - 1.0f);
        }
    }
}

static hm_status loss(const hm_model *model, hm_shard *shard, hm_work *work, int argument)
{
    const vae *own = vae_of(model);
    update *u = update_of(work);
    hm_pass *pass = &work->pass[hm_decoder_pass(0)];
    int64_t n = hm_draw_count(&u->x);
    double *room;
    (void)argument;
    for (int l = 0; l < own->nets.layers; l++)
        u->x.d[l] = work->pass[hm_decoder_pass(l)].at[own->nets.decoder[l].count];
    HM_TRY(hm_arena_floats(shard->scratch, n, &u->weight));
    HM_TRY(hm_arena_doubles(shard->scratch, u->x.samples, &room));
    for (int64_t row = 0; row < u->x.rows; row++) weigh_row(model, shard, u, row, room);
    HM_TRY(hm_arena_floats(shard->scratch, n * model->visible, &pass->delta));
    likelihood_delta(model, u, shard, pass->delta);
    return HM_OK;
}

/* After decoder l's backward pass: back = d / d h_{l+1} through it, and a_s d log p(h_{l+1} | h_{l+2}) / d h_{l+1},
 * whose parameters are the next decoder's output. */
static hm_status prior(const hm_model *model, hm_shard *shard, hm_work *work, int l)
{
    const vae *own = vae_of(model);
    update *u = update_of(work);
    int64_t N = own->nets.units[l], n = hm_draw_count(&u->x);
    bool top = l + 1 == own->nets.layers;
    float *back = u->back[l] = work->pass[hm_decoder_pass(l)].delta, *delta = NULL;
    if (is_analytic(model, shard)) return HM_OK;
    if (!top) HM_TRY(hm_arena_floats(shard->scratch, n * 2 * N, &delta));
    for (int64_t i = 0; i < n; i++) {
        float weight = u->weight[i] * (float)u->prior_weight, *row = back + i * N;
        const float *h = u->x.h[l] + i * N;
        for (int64_t j = 0; top && j < N; j++) row[j] -= weight * h[j];
        for (int64_t j = 0; !top && j < N; j++) {
            const float *mu = u->x.d[l + 1] + i * 2 * N, *lv = mu + N;
            float precision = (float)exp(-(double)lv[j]), distance = h[j] - mu[j];
            row[j] -= weight * distance * precision;
            delta[i * 2 * N + j] = weight * distance * precision;
            delta[i * 2 * N + N + j] = weight * 0.5f * (distance * distance * precision - 1.0f);
        }
    }
    if (!top) work->pass[hm_decoder_pass(l + 1)].delta = delta;
    return HM_OK;
}

/* One draw's part of d / d mu and d / d log s^2, from d / d h. */
static void posterior_row(const hm_shard *shard, const update *u, int64_t N, float weight, const float *back,
                          const float *std, const float *eps, float *delta)
{
    float prior_weight = (float)u->prior_weight;
    bool full = shard->how->path == HM_PATH_FULL;
    float twice = shard->how->path == HM_PATH_DOUBLY && shard->objective->kind == IWAE ? weight : 1.0f;
    for (int64_t j = 0; j < N; j++) {
        /* - log q = (log s^2 + eps^2) / 2: with eps fixed, d / d log s^2 is 1 / 2; along the path alone, d / d h is
         * eps / s. */
        float through = full ? back[j] : twice * (back[j] + weight * prior_weight * eps[j] / std[j]);
        delta[j] += through;
        delta[N + j] += 0.5f * (through * std[j] * eps[j] + (full ? weight * prior_weight : 0.0f));
    }
}

/* Before encoder l's backward pass. */
static hm_status posterior(const hm_model *model, hm_shard *shard, hm_work *work, int l)
{
    const vae *own = vae_of(model);
    update *u = update_of(work);
    int64_t N = own->nets.units[l], n = hm_draw_count(&u->x), sources = l == 0 ? u->x.rows : n;
    hm_pass *pass = &work->pass[hm_encoder_pass(l)];
    bool analytic = is_analytic(model, shard);
    float *back = u->back[l];
    if (l + 1 < own->nets.layers)
        hm_kernels_best()->add(n * N, back, work->pass[hm_encoder_pass(l + 1)].delta,
                               back); /* of q(h_{l+2} | h_{l+1}) */
    HM_TRY(hm_arena_floats(shard->scratch, sources * 2 * N, &pass->delta));
    memset(pass->delta, 0, (size_t)(sources * 2 * N) * sizeof(float));
    for (int64_t i = 0; i < n; i++) {
        int64_t row = hm_source_row(&u->x, l, i);
        posterior_row(shard, u, N, analytic ? 0.0f : u->weight[i], back + i * N, u->x.std[l] + row * N,
                      u->x.eps[l] + i * N, pass->delta + row * 2 * N);
    }
    for (int64_t row = 0; analytic && row < sources; row++) {
        const float *mu = u->x.e[l] + row * 2 * N, *std = u->x.std[l] + row * N;
        float *delta = pass->delta + row * 2 * N;
        for (int64_t j = 0; j < N; j++) {
            delta[j] -= (float)u->prior_weight * mu[j];
            delta[N + j] -= (float)u->prior_weight * 0.5f * (std[j] * std[j] - 1.0f);
        }
    }
    return HM_OK;
}

static void write_program(vae *own)
{
    hm_program *program = &own->program;
    hm_program_call(program, enter, 0);
    for (int l = 0; l < own->nets.layers; l++) {
        hm_program_forward(program, &own->nets.encoder[l], hm_encoder_pass(l));
        hm_program_call(program, draw, l);
    }
    for (int l = 0; l < own->nets.layers; l++) hm_program_forward(program, &own->nets.decoder[l], hm_decoder_pass(l));
    hm_program_call(program, loss, 0);
    for (int l = 0; l < own->nets.layers; l++) {
        hm_program_backward(program, &own->nets.decoder[l], hm_decoder_pass(l));
        hm_program_call(program, prior, l);
    }
    for (int l = own->nets.layers - 1; l >= 0; l--) {
        hm_program_call(program, posterior, l);
        hm_program_backward(program, &own->nets.encoder[l], hm_encoder_pass(l));
    }
}

/* ---- a model ---------------------------------------------------------------------------------------------------- */

static hm_status vae_declare(hm_model *model)
{
    const vae_settings *settings = settings_of(model);
    HM_TRY(hm_alloc(&model->state, 1, sizeof(vae), "a VAE"));
    vae *own = vae_of(model);
    HM_TRY(hm_latent_nets_read(&own->nets, settings->encoder, settings->decoder, model->visible));
    write_program(own);
    return declare_tensors(model);
}

static hm_status vae_allocate(hm_model *model) { return hm_latent_nets_allocate(&vae_of(model)->nets); }

static void vae_destroy(hm_model *model)
{
    if (model->state) hm_latent_nets_free(&vae_of(model)->nets);
    free(model->state);
}

/* The mean of p(v | h) begins at the data's: the biases of the last layer are their log-odds, or the means. */
static hm_status vae_init(hm_model *model, uint64_t seed, const float base_rates[])
{
    const vae *own = vae_of(model);
    model->seed = seed;
    HM_TRY(hm_latent_nets_init(model, &own->nets, seed));
    const hm_net *last = &own->nets.decoder[0];
    float *bias = hm_layer_matrix(model, &last->layer[last->count - 1], 1).at;
    for (int64_t i = 0; i < model->visible; i++) {
        double rate = (double)base_rates[i];
        bias[i] = (float)(settings_of(model)->likelihood == BERNOULLI ? log(rate / (1 - rate)) : rate);
    }
    return HM_OK;
}

static void vae_refresh(hm_model *model) { hm_latent_nets_refresh(model, &vae_of(model)->nets); }

/* ---- objectives ------------------------------------------------------------------------------------------------- */

static hm_status check(const hm_model *model, const hm_contrast_settings *how)
{
    const vae *own = vae_of(model);
    HM_REQUIRE(how->path == HM_PATH_FULL || own->nets.layers == 1, HM_EUSAGE,
               "train.path: %s is of one layer of latent variables; this model has %d",
               how->path == HM_PATH_DOUBLY ? "doubly" : "sticking", own->nets.layers);
    return HM_OK;
}

static hm_status check_elbo(const hm_model *model, const hm_contrast_settings *how)
{
    HM_TRY(check(model, how));
    HM_REQUIRE(how->path != HM_PATH_DOUBLY, HM_EUSAGE, "train.path: doubly is of the weights of objective iwae");
    HM_REQUIRE(how->path == HM_PATH_FULL || how->kl == HM_KL_SAMPLED, HM_EUSAGE,
               "train.path: sticking needs the divergence from the draws; set train.kl to sampled");
    return HM_OK;
}

static hm_status check_iwae(const hm_model *model, const hm_contrast_settings *how)
{
    const vae *own = vae_of(model);
    HM_TRY(check(model, how));
    HM_REQUIRE(how->path != HM_PATH_DOUBLY || !hm_net_ties_rows(&own->nets.decoder[0]), HM_EUSAGE,
               "train.path: doubly weights each draw for itself, which batch_norm in the decoder does not allow");
    return HM_OK;
}

static hm_stretches stretches(const hm_model *model, const hm_objective *objective, bool adversary)
{
    (void)objective, (void)adversary;
    return vae_of(model)->program.stretches;
}

/* With the precision. */
static size_t draws_bytes(const hm_model *model, int64_t rows, int64_t samples)
{
    return hm_arena_bytes(model->visible) + hm_draws_bytes(&vae_of(model)->nets, rows, samples);
}

static size_t weights_bytes(const hm_model *model, int64_t rows, int64_t samples)
{
    return draws_bytes(model, rows, samples) + hm_latent_nets_bytes(&vae_of(model)->nets, rows, samples, false);
}

static size_t scratch_bytes(const hm_model *model, const hm_contrast_settings *how, int shards, int64_t rows,
                            int64_t chains)
{
    const hm_latent_nets *nets = &vae_of(model)->nets;
    int64_t k = how->samples;
    (void)shards, (void)chains;
    size_t program = hm_work_bytes() + hm_latent_nets_bytes(nets, rows, k, true) + hm_arena_bytes(rows * k) +
                     hm_arena_bytes(2 * k) + hm_arena_bytes(rows * k * model->visible);
    size_t monitor = hm_latent_nets_bytes(nets, rows, k, false) + hm_arena_bytes(4 * rows * k);
    return draws_bytes(model, rows, k) + hm_arena_bytes(rows * model->visible) +
           (program > monitor ? program : monitor);
}

static hm_status gradient(const hm_model *model, hm_shard *shard)
{
    return hm_program_run(&vae_of(model)->program, model, shard);
}

static void finish(hm_model *model, const hm_contrast_settings *how, bool adversary, int64_t batch, float *grad)
{
    (void)adversary, (void)how;
    hm_latent_nets_finish(model, &vae_of(model)->nets, batch, grad);
}

static const hm_monitor monitors[] = {
    {"elbo", "nats", "lower bound of log p of the minibatch: mean of log p(v, h) - log q(h | v) over the draws"},
    {"log_likelihood", "nats", "its first part, log p(v | h): how well the data are reconstructed"},
    {"kl", "nats", "its second part, log q(h | v) - log p(h): the divergence from the prior"},
    {"iwae", "nats", "the bound of as many draws as train.samples, log of the mean of p(v, h) / q(h | v)"},
    {NULL, NULL, NULL},
};

static hm_status log_weights(const hm_model *model, hm_matrix v, const hm_stream *stream, int64_t first_row,
                             int64_t samples, hm_arena *scratch, double out[], double likelihoods[]);

static hm_status monitor(const hm_model *model, hm_shard *shard)
{
    int64_t rows = shard->data.rows, k = shard->how->samples;
    hm_stream stream = {shard->seed, HM_RNG_NOISE, shard->step};
    hm_matrix v = {NULL, rows, model->visible};
    double *log_w;
    HM_TRY(hm_arena_floats(shard->scratch, rows * v.columns, &v.at));
    HM_TRY(hm_arena_doubles(shard->scratch, 2 * rows * k, &log_w));
    double *likelihoods = log_w + rows * k;
    hm_shard_visible(model, shard, v.at);
    HM_TRY(log_weights(model, v, &stream, shard->first_row, k, shard->scratch, log_w, likelihoods));
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t i = row * k; i < row * k + k; i++) {
            shard->monitors[0] += log_w[i] / (double)k;
            shard->monitors[1] += likelihoods[i] / (double)k;
            shard->monitors[2] += (likelihoods[i] - log_w[i]) / (double)k;
        }
        shard->monitors[3] += hm_log_mean_exp(log_w + row * k, k);
    }
    return HM_OK;
}

/* ---- use -------------------------------------------------------------------------------------------------------- */

static int64_t latent_units(const hm_model *model) { return hm_latent_nets_units(&vae_of(model)->nets); }
static int64_t top_units(const hm_model *model) { return vae_of(model)->nets.units[vae_of(model)->nets.layers - 1]; }

static hm_status log_weights(const hm_model *model, hm_matrix v, const hm_stream *stream, int64_t first_row,
                             int64_t samples, hm_arena *scratch, double out[], double likelihoods[])
{
    const vae *own = vae_of(model);
    size_t mark = scratch->used;
    hm_draws x = {.rows = v.rows, .samples = samples, .v = v.at};
    float *precision;
    HM_TRY(find_precision(model, scratch, &precision));
    for (int l = 0; l < own->nets.layers; l++) {
        hm_matrix below = l == 0 ? v : (hm_matrix){x.h[l - 1], hm_draw_count(&x), own->nets.units[l - 1]};
        HM_TRY(hm_net_apply(model, &own->nets.encoder[l], below, scratch, &x.e[l]));
        HM_TRY(hm_draw_layer(&own->nets, &x, l, stream, first_row, scratch));
        HM_TRY(hm_net_apply(model, &own->nets.decoder[l], (hm_matrix){x.h[l], hm_draw_count(&x), own->nets.units[l]},
                            scratch, &x.d[l]));
    }
    for (int64_t i = 0; i < hm_draw_count(&x); i++) {
        double of_data = log_likelihood(model, &x, precision, i);
        out[i] = of_data + hm_log_prior_ratio(&own->nets, &x, i);
        if (likelihoods) likelihoods[i] = of_data;
    }
    scratch->used = mark;
    return HM_OK;
}

static hm_status encode(const hm_model *model, hm_matrix v, hm_arena *scratch, float *mean, float *variance)
{
    return hm_latent_nets_encode(model, &vae_of(model)->nets, v, scratch, mean, variance);
}

/* A draw of p(v | h_1) from its mean. */
static void draw_visible(const hm_model *model, const hm_stream *stream, int64_t row, const float *mean, float *sample)
{
    const vae *own = vae_of(model);
    int64_t V = model->visible;
    if (settings_of(model)->likelihood == BERNOULLI) {
        hm_kernels_best()->bernoulli(V, mean, stream, row, sample);
        return;
    }
    const float *lv =
        own->log_variance < 0 ? NULL : hm_pack_matrix(&model->layout, model->params, own->log_variance).at;
    hm_kernels_best()->normal(stream, row, V, sample);
    for (int64_t i = 0; i < V; i++) sample[i] = mean[i] + sample[i] * (lv ? expf(0.5f * lv[i]) : 1.0f);
}

static hm_status decode(const hm_model *model, hm_matrix top, const hm_stream *stream, int64_t first_row,
                        hm_arena *scratch, float *sample, float *mean)
{
    const vae *own = vae_of(model);
    size_t mark = scratch->used;
    hm_matrix h;
    float *out;
    HM_TRY(hm_latent_nets_descend(model, &own->nets, top, stream, first_row, scratch, &h));
    HM_TRY(hm_net_apply(model, &own->nets.decoder[0], h, scratch, &out));
    int64_t V = model->visible;
    if (settings_of(model)->likelihood == BERNOULLI)
        hm_kernels_best()->activate(h.rows, V, out, 1.0f, NULL, mean, NULL, NULL, 0);
    else
        memcpy(mean, out, (size_t)(h.rows * V) * sizeof(float));
    for (int64_t row = 0; sample && row < h.rows; row++)
        draw_visible(model, stream, first_row + row, mean + row * V, sample + row * V);
    scratch->used = mark;
    return HM_OK;
}

static const hm_latent vae_latent = {
    .units = latent_units,
    .top_units = top_units,
    .scratch_bytes = weights_bytes,
    .log_weights = log_weights,
    .encode = encode,
    .decode = decode,
};

/* ---- the table -------------------------------------------------------------------------------------------------- */

static const hm_objective elbo = {
    .name = "elbo",
    .kind = ELBO,
    .reads = " samples kl kl_warmup path ",
    .describe = "the evidence lower bound",
    .monitors = monitors,
    .check = check_elbo,
    .scratch_bytes = scratch_bytes,
    .stretches = stretches,
    .gradient = gradient,
    .monitor = monitor,
    .finish = finish,
};

static const hm_objective iwae = {
    .name = "iwae",
    .kind = IWAE,
    .reads = " samples path ",
    .describe = "the importance-weighted bound of train.samples draws",
    .monitors = monitors,
    .check = check_iwae,
    .scratch_bytes = scratch_bytes,
    .stretches = stretches,
    .gradient = gradient,
    .monitor = monitor,
    .finish = finish,
};

static const hm_objective *const vae_objectives[] = {&elbo, &iwae, NULL};

const hm_model_class hm_model_vae = {
    .name = "vae",
    .describe = "variational autoencoder, one or more layers of Gaussian latent variables",
    .settings = {"model", vae_entries},
    .settings_size = sizeof(vae_settings),
    .takes_reals = takes_reals,
    .declare = vae_declare,
    .allocate = vae_allocate,
    .destroy = vae_destroy,
    .init = vae_init,
    .refresh = vae_refresh,
    .objectives = vae_objectives,
    .latent = &vae_latent,
};
