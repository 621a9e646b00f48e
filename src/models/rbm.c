/* The restricted Boltzmann machine with binary units (Smolensky 1986, "harmonium"; Hinton 2002).
 *
 *   E(v, h) = -b'v - c'h - v'W h                                    v in {0,1}^V, h in {0,1}^H
 *   p(h_j = 1 | v) = sigmoid(c + v W)_j          p(v_i = 1 | h) = sigmoid(b + W h)_i
 *   F(v) = -b'v - sum_j softplus(c + v W)_j      p(v) = exp(-F(v)) / Z
 *
 * (Goodfellow, Bengio, Courville 2016, section 20.2.) This file is the template for a new family: its mathematics from
 * top to bottom, one shard at a time, and at the end the table through which the rest of the program calls it.
 */
#include "core/kernels.h"
#include "core/product.h"
#include "models/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- settings and tensors --------------------------------------------------------------------------------------- */

typedef struct rbm_settings {
    int64_t hidden;
    double init_std;
} rbm_settings;

static const hm_setting rbm_entries[] = {
    {.key = "hidden",
     .type = HM_SET_INT,
     .offset = offsetof(rbm_settings, hidden),
     .min = 1,
     .max = 1e6,
     .describe = "hidden units"},
    {.key = "init_std",
     .type = HM_SET_REAL,
     .offset = offsetof(rbm_settings, init_std),
     .min = 0,
     .max = 10,
     .fallback = "0.01",
     .describe = "standard deviation of the initial weights (Hinton 2010, section 8)"},
    {.key = NULL},
};

enum { EXACT_TRAINING_MAX = 16 }; /* units of the enumerated layer whose configurations fit in a shard's scratch */

typedef struct rbm_state {
    int W, b, c, mu, lambda, base_rate; /* tensors */
    hm_packed to_hidden;                /* W, packed: v W */
    hm_packed to_visible;               /* W transposed: h W' */
    float *base_bias;                   /* (visible) log-odds of the base rates */
    float *plain_dc;                    /* (hidden) scratch of `center` */
} rbm_state;

static float *tensor(const hm_model *model, int index)
{
    return hm_pack_matrix(&model->layout, model->params, index).at;
}
static int64_t hidden_units(const hm_model *model) { return ((const rbm_settings *)model->settings)->hidden; }

static hm_status rbm_declare(hm_model *model)
{
    int64_t V = model->visible, H = hidden_units(model);
    rbm_state *rbm;
    HM_TRY(hm_alloc(&rbm, 1, sizeof *rbm, "the RBM"));
    model->state = rbm;
    /* clang-format off */
    const struct {
        int *index;
        hm_tensor tensor;
    } tensors[] = {
        {&rbm->W, {.name = "W", .dims = 2, .shape = {V, H}, .axes = {"visible", "hidden"}, .decays = true, .products = true,
                   .description = "weights of E(v, h) = -b'v - c'h - v'W h"}},
        {&rbm->b, {.name = "b", .dims = 1, .shape = {V}, .axes = {"visible"}, .description = "visible biases"}},
        {&rbm->c, {.name = "c", .dims = 1, .shape = {H}, .axes = {"hidden"}, .description = "hidden biases"}},
        {&rbm->mu, {.name = "mu", .dims = 1, .shape = {V}, .axes = {"visible"}, .role = HM_RUNNING,
                    .description = "running mean of the visible units under the data"}},
        {&rbm->lambda, {.name = "lambda", .dims = 1, .shape = {H}, .axes = {"hidden"}, .role = HM_RUNNING,
                        .description = "running mean of the hidden units under the data"}},
        {&rbm->base_rate, {.name = "base_rate", .dims = 1, .shape = {V}, .axes = {"visible"}, .role = HM_RUNNING,
                           .description = "smoothed mean of each visible unit over the training data: the base "
                                          "distribution of AIS"}},
    };
    /* clang-format on */
    for (size_t at = 0; at < sizeof tensors / sizeof tensors[0]; at++)
        HM_TRY(hm_layout_add(&model->layout, tensors[at].tensor, tensors[at].index));
    return HM_OK;
}

static hm_status rbm_allocate(hm_model *model)
{
    int64_t V = model->visible, H = hidden_units(model);
    rbm_state *rbm = model->state;
    HM_TRY(hm_packed_init(&rbm->to_hidden, V, H));
    HM_TRY(hm_packed_init(&rbm->to_visible, H, V));
    HM_TRY(hm_alloc(&rbm->plain_dc, H, sizeof(float), "centring"));
    return hm_alloc(&rbm->base_bias, V, sizeof(float), "base biases");
}

static void rbm_destroy(hm_model *model)
{
    rbm_state *rbm = model->state;
    if (!rbm) return;
    hm_packed_free(&rbm->to_hidden);
    hm_packed_free(&rbm->to_visible);
    free(rbm->base_bias);
    free(rbm->plain_dc);
    free(rbm);
}

/* W ~ N(0, init_std^2); b = the log-odds of the base rates, c = 0 (Hinton 2010, section 8). */
static hm_status rbm_init(hm_model *model, uint64_t seed, const float base_rates[])
{
    const rbm_state *rbm = model->state;
    int64_t V = model->visible, H = hidden_units(model);
    double init_std = ((const rbm_settings *)model->settings)->init_std;
    hm_stream stream = {.seed = seed, .purpose = HM_RNG_INIT, .step = (uint64_t)rbm->W};
    float *W = tensor(model, rbm->W), *lambda = tensor(model, rbm->lambda);
    for (int64_t i = 0; i < V; i++)
        for (int64_t j = 0; j < H; j++) W[i * H + j] = (float)(init_std * hm_random_normal(&stream, i, j));
    for (int64_t i = 0; i < V; i++) {
        HM_REQUIRE(base_rates[i] > 0 && base_rates[i] < 1, HM_EINTERNAL, "base rate %lld is %g, not inside (0, 1)",
                   (long long)i, (double)base_rates[i]);
        tensor(model, rbm->b)[i] = (float)log((double)base_rates[i] / (1.0 - (double)base_rates[i]));
        tensor(model, rbm->base_rate)[i] = base_rates[i];
        tensor(model, rbm->mu)[i] = base_rates[i];
    }
    for (int64_t j = 0; j < H; j++) lambda[j] = 0.5f; /* sigmoid(c) */
    return HM_OK;
}

static void rbm_refresh(hm_model *model)
{
    rbm_state *rbm = model->state;
    hm_matrix W = hm_pack_matrix(&model->layout, model->params, rbm->W);
    hm_pack_weights(&rbm->to_hidden, W, model->team);
    hm_pack_transposed(&rbm->to_visible, W, model->team);
    const float *rate = tensor(model, rbm->base_rate);
    for (int64_t i = 0; i < model->visible; i++)
        rbm->base_bias[i] = (float)log((double)rate[i] / (1.0 - (double)rate[i]));
}

static const float *rbm_base_biases(const hm_model *model) { return ((const rbm_state *)model->state)->base_bias; }

/* ---- conditionals ----------------------------------------------------------------------------------------------- */

/* sigmoid(bias + from weights) into prob and a draw of it into sample, either NULL, (from.rows, weights->columns). */
static void conditional(const hm_packed *weights, const float *bias, hm_matrix from, float *prob, float *sample,
                        const hm_stream *stream, int64_t first_row)
{
    float *x = prob ? prob : sample;
    hm_product(from, weights, x);
    hm_kernels_best()->activate(from.rows, weights->columns, x, 1.0f, bias, prob, sample, stream, first_row);
}

/* p(h | v); v: (n, V), prob, sample: (n, H). */
static void hidden_given_visible(const hm_model *model, hm_matrix v, float *prob, float *sample,
                                 const hm_stream *stream, int64_t first_row)
{
    const rbm_state *rbm = model->state;
    conditional(&rbm->to_hidden, tensor(model, rbm->c), v, prob, sample, stream, first_row);
}

/* p(v | h); h: (n, H), prob, sample: (n, V). */
static void visible_given_hidden(const hm_model *model, hm_matrix h, float *prob, float *sample,
                                 const hm_stream *stream, int64_t first_row)
{
    const rbm_state *rbm = model->state;
    conditional(&rbm->to_visible, tensor(model, rbm->b), h, prob, sample, stream, first_row);
}

static size_t rbm_sampling_bytes(const hm_model *model, int64_t rows)
{
    return hm_arena_bytes(rows * hidden_units(model));
}

static hm_status rbm_gibbs(const hm_model *model, uint64_t seed, hm_matrix v, int64_t first_row, uint64_t first_step,
                           int64_t steps, hm_arena *scratch, float *prob)
{
    float *h;
    HM_TRY(hm_arena_floats(scratch, v.rows * hidden_units(model), &h));
    for (int64_t step = 0; step < steps; step++) {
        hm_stream hidden = {seed, HM_RNG_SAMPLE_HIDDEN, first_step + (uint64_t)step};
        hm_stream visible = {seed, HM_RNG_SAMPLE_VISIBLE, first_step + (uint64_t)step};
        hidden_given_visible(model, v, NULL, h, &hidden, first_row);
        visible_given_hidden(model, (hm_matrix){h, v.rows, hidden_units(model)}, step + 1 == steps ? prob : NULL, v.at,
                             &visible, first_row);
    }
    return HM_OK;
}

/* ---- free energy ------------------------------------------------------------------------------------------------ */

static hm_status rbm_free_energy(const hm_model *model, hm_matrix v, hm_arena *scratch, double out[])
{
    const rbm_state *rbm = model->state;
    const hm_kernels *kernels = hm_kernels_best();
    int64_t H = hidden_units(model);
    float *x;
    HM_TRY(hm_arena_floats(scratch, v.rows * H, &x));
    hm_product(v, &rbm->to_hidden, x);
    for (int64_t row = 0; row < v.rows; row++)
        out[row] = -kernels->dot(v.columns, v.at + row * v.columns, tensor(model, rbm->b)) -
                   kernels->sum_softplus(H, x + row * H, 1.0f, tensor(model, rbm->c));
    return HM_OK;
}

/* ---- enumeration of the smaller layer --------------------------------------------------------------------------- */

static int64_t enumerated_units(const hm_model *model)
{
    return hidden_units(model) < model->visible ? hidden_units(model) : model->visible;
}

/* Configuration begin + row in binary: unit u is bit u. out: (count, units). */
static void write_configurations(int64_t begin, int64_t count, int64_t units, float *out)
{
    for (int64_t row = 0; row < count; row++)
        for (int64_t unit = 0; unit < units; unit++) out[row * units + unit] = (float)((begin + row) >> unit & 1);
}

static size_t enumeration_scratch(const hm_model *model, int64_t count)
{
    return hm_arena_bytes(count * model->visible) + hm_arena_bytes(count * hidden_units(model));
}

/* log p*(h) = c'h + sum_i softplus(b + W h)_i, or log p*(v) = -F(v), whichever layer is the smaller. */
static hm_status enumeration_log_prob(const hm_model *model, int64_t begin, int64_t count, hm_arena *scratch,
                                      double out[])
{
    const rbm_state *rbm = model->state;
    const hm_kernels *kernels = hm_kernels_best();
    bool by_hidden = hidden_units(model) < model->visible;
    int64_t units = enumerated_units(model), others = by_hidden ? model->visible : hidden_units(model);
    const float *bias = tensor(model, by_hidden ? rbm->c : rbm->b);
    const float *other_bias = tensor(model, by_hidden ? rbm->b : rbm->c);
    float *states, *x;
    HM_TRY(hm_arena_floats(scratch, count * units, &states));
    HM_TRY(hm_arena_floats(scratch, count * others, &x));
    write_configurations(begin, count, units, states);
    hm_product((hm_matrix){states, count, units}, by_hidden ? &rbm->to_visible : &rbm->to_hidden, x);
    for (int64_t row = 0; row < count; row++)
        out[row] = kernels->dot(units, states + row * units, bias) +
                   kernels->sum_softplus(others, x + row * others, 1.0f, other_bias);
    return HM_OK;
}

/* ---- gradient of the log-likelihood ------------------------------------------------------------------------------
 *
 *   d log p / dW = <v h'>_data - <v h'>_model,   d/db = <v>_data - <v>_model,   d/dc = <h>_data - <h>_model
 *
 * A shard's rows are stacked: first the positive phase, then the negative one,
 *
 *   a = [v; v~]    b = [h; -weight h~]    so that    dW = a'b,
 *
 * with h = p(h | v), and weight = batch / chains, so that all is counted in rows of the batch. Centring (Melchior,
 * Fischer, Wiskott 2016) is a linear change of these sums, and made in rbm_finish: the rows here stay binary, mostly
 * zeros, which products skip.
 */

typedef struct phases {
    int64_t positive, negative; /* rows */
    float *v;                   /* (positive + negative, V) */
    float *h;                   /* (positive + negative, H) */
    double *weight;             /* (negative) of each row of the negative phase, or NULL: */
    float common_weight;        /* the same for all */
} phases;

static int64_t exact_rows(const hm_model *model, int shards, int shard)
{
    return hm_count(hm_part((int64_t)1 << enumerated_units(model), shards, shard));
}

static int64_t negative_rows(const hm_model *model, const hm_contrast_settings *how, int shards, int shard,
                             int64_t rows, int64_t chains)
{
    switch ((hm_estimator)how->estimator) {
    case HM_EXACT: return exact_rows(model, shards, shard);
    case HM_CD: return rows;
    case HM_PCD: return chains;
    }
    return 0;
}

static size_t rbm_scratch_bytes(const hm_model *model, const hm_contrast_settings *how, int shards, int64_t rows,
                                int64_t chains)
{
    int64_t V = model->visible, H = hidden_units(model);
    int64_t negative = negative_rows(model, how, shards, shards - 1, rows, chains);
    size_t bytes = hm_arena_bytes((rows + negative) * V) + hm_arena_bytes((rows + negative) * H) +
                   hm_arena_bytes(negative * 2) + hm_arena_bytes(negative * H);
    if (how->estimator == HM_EXACT) bytes += enumeration_scratch(model, negative);
    return bytes + hm_arena_bytes(rows * V) + hm_arena_bytes(H) * 2; /* the monitors' */
}

/* k Gibbs steps of chains h~ (n, H) in place; the last v~ and p(h~ | v~) into the rows of the negative phase. */
static void run_chains(const hm_model *model, const hm_shard *shard, float *chains, int64_t first_chain, phases *p)
{
    int64_t V = model->visible, H = hidden_units(model);
    float *v = p->v + p->positive * V, *h = p->h + p->positive * H;
    for (int64_t k = 0; k < shard->how->k; k++) {
        uint64_t step = shard->step * (uint64_t)shard->how->k + (uint64_t)k;
        hm_stream visible = {shard->seed, HM_RNG_CHAIN_VISIBLE, step},
                  hidden = {shard->seed, HM_RNG_CHAIN_HIDDEN, step};
        visible_given_hidden(model, (hm_matrix){chains, p->negative, H}, NULL, v, &visible, first_chain);
        hidden_given_visible(model, (hm_matrix){v, p->negative, V}, h, chains, &hidden, first_chain);
    }
}

static hm_status negative_pcd(const hm_model *model, hm_shard *shard, phases *p)
{
    p->common_weight = (float)((double)shard->batch / (double)shard->all_chains);
    run_chains(model, shard, shard->chains.at, shard->first_chain, p);
    return HM_OK;
}

/* Chains that start anew from h ~ p(h | v) of the data (Hinton 2002). */
static hm_status negative_cd(const hm_model *model, hm_shard *shard, phases *p)
{
    int64_t H = hidden_units(model);
    hm_stream start = {shard->seed, HM_RNG_POSITIVE, shard->step};
    float *chains;
    HM_TRY(hm_arena_floats(shard->scratch, p->positive * H, &chains));
    for (int64_t row = 0; row < p->positive; row++)
        hm_kernels_best()->bernoulli(H, p->h + row * H, &start, shard->first_row + row, chains + row * H);
    p->common_weight = 1.0f;
    run_chains(model, shard, chains, shard->first_row, p);
    return HM_OK;
}

/* Samples that the loop has made (parallel tempering). */
static hm_status negative_given(const hm_model *model, hm_shard *shard, phases *p)
{
    int64_t V = model->visible, H = hidden_units(model);
    p->common_weight = (float)((double)shard->batch / (double)shard->all_chains);
    memcpy(p->v + p->positive * V, shard->samples.at, (size_t)(p->negative * V) * sizeof(float));
    hidden_given_visible(model, shard->samples, p->h + p->positive * H, NULL, NULL, 0);
    return HM_OK;
}

/* All configurations of this shard's part of the smaller layer, each weighted by its probability. */
static hm_status negative_exact(const hm_model *model, hm_shard *shard, phases *p)
{
    int64_t V = model->visible, H = hidden_units(model);
    bool by_hidden = H < V;
    hm_range part = hm_part((int64_t)1 << enumerated_units(model), shard->shards, shard->index);
    hm_matrix v = {p->v + p->positive * V, p->negative, V}, h = {p->h + p->positive * H, p->negative, H};
    float *weights;
    HM_TRY(hm_arena_floats(shard->scratch, p->negative * 2, &weights));
    p->weight = (double *)(void *)weights; /* arenas are aligned for any type */
    HM_TRY(enumeration_log_prob(model, part.begin, p->negative, shard->scratch, p->weight));
    for (int64_t row = 0; row < p->negative; row++)
        p->weight[row] = (double)shard->batch * exp(p->weight[row] - shard->log_z);
    write_configurations(part.begin, p->negative, by_hidden ? H : V, by_hidden ? h.at : v.at);
    if (by_hidden)
        visible_given_hidden(model, h, v.at, NULL, NULL, 0);
    else
        hidden_given_visible(model, v, h.at, NULL, NULL, 0);
    return HM_OK;
}

static hm_status (*const negative_phases[])(const hm_model *, hm_shard *, phases *) = {
    [HM_EXACT] = negative_exact,
    [HM_CD] = negative_cd,
    [HM_PCD] = negative_pcd,
};

/* sums += sum of the positive rows - weighted sum of the negative ones. */
static void add_difference(const phases *p, int64_t columns, const float *rows, float *sums)
{
    const hm_kernels *kernels = hm_kernels_best();
    const float *negative = rows + p->positive * columns;
    kernels->add_columns(p->positive, columns, rows, 1.0f, sums);
    if (!p->weight) kernels->add_columns(p->negative, columns, negative, -p->common_weight, sums);
    for (int64_t row = 0; p->weight && row < p->negative; row++)
        kernels->add_columns(1, columns, negative + row * columns, (float)-p->weight[row], sums);
}

static void weigh_negative_hidden(const phases *p, int64_t H)
{
    for (int64_t row = 0; row < p->negative; row++) {
        float weight = p->weight ? (float)p->weight[row] : p->common_weight;
        float *h = p->h + (p->positive + row) * H;
        for (int64_t j = 0; j < H; j++) h[j] *= -weight;
    }
}

static hm_status rbm_gradient(const hm_model *model, hm_shard *shard)
{
    const rbm_state *rbm = model->state;
    const hm_kernels *kernels = hm_kernels_best();
    int64_t V = model->visible, H = hidden_units(model);
    phases p = {.positive = shard->data.rows};
    p.negative = negative_rows(model, shard->how, shard->shards, shard->index, p.positive, shard->chains.rows);
    int64_t rows = p.positive + p.negative;
    HM_TRY(hm_arena_floats(shard->scratch, rows * V, &p.v));
    HM_TRY(hm_arena_floats(shard->scratch, rows * H, &p.h));

    memcpy(p.v, shard->data.at, (size_t)(p.positive * V) * sizeof(float));
    hidden_given_visible(model, shard->data, p.h, NULL, NULL, 0);
    HM_TRY((shard->samples.at ? negative_given : negative_phases[shard->how->estimator])(model, shard, &p));

    add_difference(&p, V, p.v, hm_shard_direct(shard, &model->layout, rbm->b));
    add_difference(&p, H, p.h, hm_shard_direct(shard, &model->layout, rbm->c));
    kernels->add_columns(p.positive, V, p.v, 1.0f, hm_shard_direct(shard, &model->layout, rbm->mu));
    kernels->add_columns(p.positive, H, p.h, 1.0f, hm_shard_direct(shard, &model->layout, rbm->lambda));

    weigh_negative_hidden(&p, H);
    shard->outer[rbm->W] = (hm_outer){.a = {p.v, rows, V}, .b = {p.h, rows, H}};
    return HM_OK;
}

/* The centred gradient, in the parameters of the plain RBM (Melchior et al. 2016, eq. 9-11): both phases have the same
 * weight, so that
 *     <(v - mu)(h - lambda)'>_data - <(v - mu)(h - lambda)'>_model = dW - mu dc' - db lambda',
 * and with this dW the biases' gradients become db - dW lambda and dc - dW' mu. */
static void center(hm_model *model, float *grad)
{
    rbm_state *rbm = model->state;
    const hm_kernels *kernels = hm_kernels_best();
    hm_matrix dW = hm_pack_matrix(&model->layout, grad, rbm->W);
    float *db = grad + model->layout.tensors[rbm->b].offset, *dc = grad + model->layout.tensors[rbm->c].offset;
    const float *mu = tensor(model, rbm->mu), *lambda = tensor(model, rbm->lambda);
    memcpy(rbm->plain_dc, dc, (size_t)dW.columns * sizeof(float));
    for (int64_t i = 0; i < dW.rows; i++) {
        float *row = dW.at + i * dW.columns;
        kernels->add_columns(1, dW.columns, rbm->plain_dc, -mu[i], row);
        kernels->add_columns(1, dW.columns, lambda, -db[i], row);
        db[i] -= (float)kernels->dot(dW.columns, row, lambda);
        kernels->add_columns(1, dW.columns, row, -mu[i], dc);
    }
}

/* Pull the running mean activity q_j of each hidden unit to the target: the derivative q - target of the cross-entropy
 * penalty, on the bias and, through the units that feed it, on the weights (Hinton 2010, section 11). */
static void add_sparsity(const hm_model *model, const hm_contrast_settings *how, int64_t batch, float *grad)
{
    const rbm_state *rbm = model->state;
    hm_matrix dW = hm_pack_matrix(&model->layout, grad, rbm->W);
    float *dc = grad + model->layout.tensors[rbm->c].offset;
    const float *sum_v = grad + model->layout.tensors[rbm->mu].offset, *q = tensor(model, rbm->lambda);
    for (int64_t j = 0; j < dW.columns; j++)
        dc[j] += (float)((double)batch * how->sparsity_cost * (how->sparsity_target - (double)q[j]));
    for (int64_t i = 0; i < dW.rows; i++)
        for (int64_t j = 0; j < dW.columns; j++)
            dW.at[i * dW.columns + j] +=
                (float)(how->sparsity_cost * (how->sparsity_target - (double)q[j]) * (double)sum_v[i]);
}

/* mean += rate (batch mean - mean). */
static void move_running(const hm_model *model, int index, double rate, int64_t batch, const float *grad)
{
    const float *sums = grad + model->layout.tensors[index].offset;
    float *mean = tensor(model, index);
    int64_t size = hm_tensor_size(&model->layout.tensors[index]);
    for (int64_t i = 0; i < size; i++) mean[i] += (float)(rate * ((double)sums[i] / (double)batch - (double)mean[i]));
}

static void rbm_finish(hm_model *model, const hm_contrast_settings *how, int64_t batch, float *grad)
{
    const rbm_state *rbm = model->state;
    if (how->centered) center(model, grad);
    if (how->sparsity_cost > 0) add_sparsity(model, how, batch, grad);
    move_running(model, rbm->mu, how->offset_rate, batch, grad);
    move_running(model, rbm->lambda, how->offset_rate, batch, grad);
}

/* ---- chains and monitors ---------------------------------------------------------------------------------------- */

/* Chains are hidden states; they start from p(h | v) with v drawn from the base rates. */
static hm_status rbm_start_chains(const hm_model *model, hm_shard *shard)
{
    const rbm_state *rbm = model->state;
    hm_stream start = {shard->seed, HM_RNG_CHAIN_START, 0}, hidden = {shard->seed, HM_RNG_CHAIN_START, 1};
    float *v;
    HM_TRY(hm_arena_floats(shard->scratch, shard->chains.rows * model->visible, &v));
    for (int64_t chain = 0; chain < shard->chains.rows; chain++)
        hm_kernels_best()->bernoulli(model->visible, tensor(model, rbm->base_rate), &start, shard->first_chain + chain,
                                     v + chain * model->visible);
    hidden_given_visible(model, (hm_matrix){v, shard->chains.rows, model->visible}, NULL, shard->chains.at, &hidden,
                         shard->first_chain);
    return HM_OK;
}

enum { PSEUDO_DRAWS = 16 }; /* units a row */

static const hm_monitor rbm_monitors[] = {
    {"reconstruction_error", NULL, "mean squared difference of v and p(v | h), h = p(h | v), per visible unit"},
    {"pseudo_log_likelihood", "nats",
     "mean of V log p(v_i | the other units) over 16 random units i of each row: a stochastic "
     "estimate of the log pseudo-likelihood"},
    {"free_energy", "nats", "free energy of the minibatch; its level has no meaning, its drift has"},
    {NULL, NULL, NULL},
};

/* V log sigmoid(F(v with unit i flipped) - F(v)); x: (H) v W. */
static double pseudo_log_likelihood(const hm_model *model, const float *v, const float *x, int64_t i, float *flipped)
{
    const rbm_state *rbm = model->state;
    const hm_kernels *kernels = hm_kernels_best();
    int64_t H = hidden_units(model);
    const float *W_i = tensor(model, rbm->W) + i * H, *c = tensor(model, rbm->c);
    float change = 1.0f - 2.0f * v[i];
    memcpy(flipped, x, (size_t)H * sizeof(float));
    kernels->add_columns(1, H, W_i, change, flipped);
    double gain = -(double)change * (double)tensor(model, rbm->b)[i] - kernels->sum_softplus(H, flipped, 1.0f, c) +
                  kernels->sum_softplus(H, x, 1.0f, c); /* F(flipped) - F(v) */
    double log_sigmoid = gain > 0 ? -log1p(exp(-gain)) : gain - log1p(exp(gain));
    return (double)model->visible * log_sigmoid;
}

static hm_status rbm_monitor(const hm_model *model, hm_shard *shard)
{
    const rbm_state *rbm = model->state;
    const hm_kernels *kernels = hm_kernels_best();
    int64_t V = model->visible, H = hidden_units(model), rows = shard->data.rows;
    hm_stream units = {shard->seed, HM_RNG_PSEUDO, shard->step};
    float *x, *h, *reconstruction, *flipped;
    HM_TRY(hm_arena_floats(shard->scratch, rows * H, &x));
    HM_TRY(hm_arena_floats(shard->scratch, rows * H, &h));
    HM_TRY(hm_arena_floats(shard->scratch, rows * V, &reconstruction));
    HM_TRY(hm_arena_floats(shard->scratch, H, &flipped));
    hm_product(shard->data, &rbm->to_hidden, x);
    kernels->activate(rows, H, x, 1.0f, tensor(model, rbm->c), h, NULL, NULL, 0);
    visible_given_hidden(model, (hm_matrix){h, rows, H}, reconstruction, NULL, NULL, 0);
    for (int64_t row = 0; row < rows; row++) {
        const float *v = shard->data.at + row * V;
        float *difference = reconstruction + row * V;
        for (int64_t i = 0; i < V; i++) difference[i] -= v[i];
        for (int64_t draw = 0; draw < PSEUDO_DRAWS; draw++) {
            int64_t unit = (int64_t)hm_random_below(&units, shard->first_row + row, draw, (uint64_t)V);
            shard->monitors[1] += pseudo_log_likelihood(model, v, x + row * H, unit, flipped) / PSEUDO_DRAWS;
        }
        shard->monitors[0] += kernels->dot(V, difference, difference) / (double)V;
        shard->monitors[2] += -kernels->dot(V, v, tensor(model, rbm->b)) -
                              kernels->sum_softplus(H, x + row * H, 1.0f, tensor(model, rbm->c));
    }
    return HM_OK;
}

/* ---- annealing: p_beta(v, h) ~ exp((1 - beta) base'v + beta (b'v + c'h + v'W h)) (Salakhutdinov & Murray 2008, eq.
 * 17) -- */

static int64_t input_columns(const hm_model *model) { return hidden_units(model); }

static size_t annealing_scratch(const hm_model *model, int64_t chains)
{
    return hm_arena_bytes(chains * hidden_units(model)) + hm_arena_bytes(model->visible);
}

/* At beta = 0 the hidden units are free: H log 2. */
static double log_z_base(const hm_model *model, const float base[])
{
    return (double)hidden_units(model) * log(2.0) + hm_kernels_best()->sum_softplus(model->visible, base, 1.0f, NULL);
}

/* inputs = v W + c, energy = b'v, base_energy = base'v. */
static hm_status annealing_refresh(const hm_model *model, hm_walk *walk)
{
    const rbm_state *rbm = model->state;
    const hm_kernels *kernels = hm_kernels_best();
    int64_t V = model->visible, H = hidden_units(model);
    hm_product(walk->visible, &rbm->to_hidden, walk->inputs.at);
    for (int64_t chain = 0; chain < walk->visible.rows; chain++) {
        float *x = walk->inputs.at + chain * H;
        const float *v = walk->visible.at + chain * V;
        kernels->add(H, x, tensor(model, rbm->c), x);
        walk->energy[chain] = kernels->dot(V, tensor(model, rbm->b), v);
        walk->base_energy[chain] = kernels->dot(V, walk->base, v);
    }
    return HM_OK;
}

static void annealing_log_prob(const hm_model *model, const hm_walk *walk, double beta, double out[])
{
    int64_t H = hidden_units(model);
    for (int64_t chain = 0; chain < walk->visible.rows; chain++)
        out[chain] = (1.0 - beta) * walk->base_energy[chain] + beta * walk->energy[chain] +
                     hm_kernels_best()->sum_softplus(H, walk->inputs.at + chain * H, (float)beta, NULL);
}

static hm_status annealing_move(const hm_model *model, hm_walk *walk, double beta, hm_purpose hidden,
                                hm_purpose visible, uint64_t step)
{
    const rbm_state *rbm = model->state;
    const hm_kernels *kernels = hm_kernels_best();
    int64_t V = model->visible, H = hidden_units(model), chains = walk->visible.rows;
    hm_stream hidden_stream = {walk->seed, hidden, step}, visible_stream = {walk->seed, visible, step};
    const float *b = tensor(model, rbm->b);
    float *h, *bias;
    HM_TRY(hm_arena_floats(walk->scratch, chains * H, &h));
    HM_TRY(hm_arena_floats(walk->scratch, V, &bias));
    for (int64_t i = 0; i < V; i++) bias[i] = (float)((1.0 - beta) * (double)walk->base[i] + beta * (double)b[i]);
    kernels->activate(chains, H, walk->inputs.at, (float)beta, NULL, NULL, h, &hidden_stream, walk->first_chain);
    hm_product((hm_matrix){h, chains, H}, &rbm->to_visible, walk->visible.at);
    kernels->activate(chains, V, walk->visible.at, (float)beta, bias, NULL, walk->visible.at, &visible_stream,
                      walk->first_chain);
    return annealing_refresh(model, walk);
}

static const hm_annealing rbm_annealing = {
    .input_columns = input_columns,
    .scratch_bytes = annealing_scratch,
    .log_z_base = log_z_base,
    .refresh = annealing_refresh,
    .log_prob = annealing_log_prob,
    .move = annealing_move,
};

static const hm_enumeration rbm_enumeration = {
    .units = enumerated_units,
    .scratch_bytes = enumeration_scratch,
    .log_prob = enumeration_log_prob,
};

/* ---- the table -------------------------------------------------------------------------------------------------- */

static int64_t rbm_chain_columns(const hm_model *model) { return hidden_units(model); }

static hm_status rbm_check_contrast(const hm_model *model, const hm_contrast_settings *how)
{
    HM_REQUIRE(how->estimator != HM_EXACT || enumerated_units(model) <= EXACT_TRAINING_MAX, HM_EUSAGE,
               "train.estimator: exact enumerates the smaller layer, which may have at most %d units and has %lld; "
               "use pcd or cd",
               EXACT_TRAINING_MAX, (long long)enumerated_units(model));
    return HM_OK;
}

const hm_model_class hm_model_rbm = {
    .name = "rbm",
    .describe = "restricted Boltzmann machine, binary visible and hidden units",
    .loop = HM_LOOP_CONTRAST,
    .settings = {"model", rbm_entries},
    .settings_size = sizeof(rbm_settings),
    .declare = rbm_declare,
    .allocate = rbm_allocate,
    .destroy = rbm_destroy,
    .init = rbm_init,
    .refresh = rbm_refresh,
    .monitors = rbm_monitors,
    .chain_columns = rbm_chain_columns,
    .check_contrast = rbm_check_contrast,
    .scratch_bytes = rbm_scratch_bytes,
    .start_chains = rbm_start_chains,
    .gradient = rbm_gradient,
    .monitor = rbm_monitor,
    .finish = rbm_finish,
    .free_energy = rbm_free_energy,
    .annealing = &rbm_annealing,
    .enumeration = &rbm_enumeration,
    .base_biases = rbm_base_biases,
    .sampling_bytes = rbm_sampling_bytes,
    .gibbs = rbm_gibbs,
};
