/* Batch normalisation (Ioffe & Szegedy 2015), of each unit, or of each channel of images over all their places:
 *
 *   x^ = (x - mean) / sqrt(variance + epsilon),   y = gamma x^ + beta
 *   dx = gamma / sqrt(variance + epsilon) (dy - mean(dy) - x^ mean(dy x^))
 *
 * Mean and variance are those of the whole batch, summed over all shards in their fixed tree, so that they do not
 * depend on ranks; with `by_shard`, of the rows of each shard, without an exchange. In use they are running averages.
 */
#include "nets/net.h"

#include "core/kernels.h"

#include <math.h>
#include <string.h>

enum { GAMMA, BETA, MEAN, VARIANCE };
static const double EPSILON = 1e-5, KEEP = 0.9; /* of the running averages in an update */

static int64_t channels_of(const hm_net_layer *layer) { return layer->out.channels; }
static int64_t places_of(const hm_net_layer *layer) { return layer->out.height * layer->out.width; }

static hm_status read(hm_net_layer *layer, char *words)
{
    const char *word = hm_next_word(&words);
    layer->by_shard = word && strcmp(word, "by_shard") == 0;
    HM_REQUIRE(!word || layer->by_shard, HM_EUSAGE, "batch_norm takes no '%s'; `%s`", word, layer->class->usage);
    return HM_OK;
}

static hm_status declare(hm_model *model, const hm_net *net, hm_net_layer *layer)
{
    static const struct {
        const char *name, *description;
        hm_role role;
    } tensors[] = {
        [GAMMA] = {"gamma", "scale of a normalised unit", HM_LEARNT},
        [BETA] = {"beta", "mean of a normalised unit", HM_LEARNT},
        [MEAN] = {"mean", "running mean of a unit that is normalised", HM_RUNNING},
        [VARIANCE] = {"variance", "running variance of a unit that is normalised", HM_RUNNING},
    };
    for (int at = 0; at < 4; at++)
        HM_TRY(hm_layer_tensor(model, net, layer, tensors[at].name,
                               (hm_tensor){.dims = 1,
                                           .shape = {channels_of(layer)},
                                           .axes = {"unit"},
                                           .role = tensors[at].role,
                                           .description = tensors[at].description}));
    return HM_OK;
}

static hm_status init(hm_model *model, const hm_net_layer *layer, uint64_t seed)
{
    (void)seed;
    for (int64_t c = 0; c < channels_of(layer); c++) {
        hm_layer_matrix(model, layer, GAMMA).at[c] = hm_layer_matrix(model, layer, VARIANCE).at[c] = 1;
        hm_layer_matrix(model, layer, BETA).at[c] = hm_layer_matrix(model, layer, MEAN).at[c] = 0;
    }
    return HM_OK;
}

/* Two sums for each channel, and how many values are in them; for each part of the rows. */
static int64_t sums_of_part(const hm_net_layer *layer) { return 2 * channels_of(layer) + 1; }
static int64_t sums(const hm_net_layer *layer) { return HM_PARTS_MAX * sums_of_part(layer); }

/* Of part p: its values, all places of all rows; where they begin. */
static int64_t values_of_part(const hm_net_layer *layer, const hm_pass *pass)
{
    return pass->rows / hm_parts(pass) * places_of(layer);
}

/* Sums over rows and places of a, and of a b, into sums. */
static void add_up(const hm_net_layer *layer, const hm_pass *pass, const float *a, const float *b)
{
    int64_t C = channels_of(layer), n = values_of_part(layer, pass);
    memset(pass->sums, 0, (size_t)sums(layer) * sizeof(double));
    for (int part = 0; part < hm_parts(pass); part++) {
        double *sum = pass->sums + part * sums_of_part(layer);
        for (int64_t i = part * n; i < (part + 1) * n; i++)
            for (int64_t c = 0; c < C; c++) {
                sum[c] += (double)a[i * C + c];
                sum[C + c] += (double)a[i * C + c] * (double)b[i * C + c];
            }
        sum[2 * C] = (double)n;
    }
}

static void measure(const hm_net_layer *layer, hm_pass *pass, int at)
{
    add_up(layer, pass, pass->at[at], pass->at[at]);
}

/* x^ of all rows, then, of each part, 1 / sqrt(variance + epsilon) and the mean and variance that were used. */
static int64_t keeps(const hm_net_layer *layer, int64_t rows)
{
    return (rows * places_of(layer) + 3 * HM_PARTS_MAX) * channels_of(layer);
}

static float *scales_of(const hm_net_layer *layer, const hm_pass *pass, int at, int part)
{
    return pass->kept[at] + (pass->rows * places_of(layer) + 3 * part) * channels_of(layer);
}

static void find_scales(const hm_model *model, const hm_net_layer *layer, const hm_pass *pass, int at, int part)
{
    int64_t C = channels_of(layer);
    const double *sum = pass->sums ? pass->sums + part * sums_of_part(layer) : NULL;
    float *scale = scales_of(layer, pass, at, part), *mean = scale + C, *variance = mean + C;
    for (int64_t c = 0; c < C; c++) {
        double m = (double)hm_layer_matrix(model, layer, MEAN).at[c];
        double v = (double)hm_layer_matrix(model, layer, VARIANCE).at[c];
        if (pass->training) {
            m = sum[c] / sum[2 * C];
            v = fmax(sum[C + c] / sum[2 * C] - m * m, 0);
        }
        scale[c] = (float)(1 / sqrt(v + EPSILON));
        mean[c] = (float)m;
        variance[c] = (float)v;
    }
}

static void forward(const hm_model *model, const hm_net_layer *layer, hm_pass *pass, int at)
{
    int64_t C = channels_of(layer), n = values_of_part(layer, pass);
    const float *gamma = hm_layer_matrix(model, layer, GAMMA).at, *beta = hm_layer_matrix(model, layer, BETA).at;
    for (int part = 0; part < hm_parts(pass); part++) {
        const float *scale = scales_of(layer, pass, at, part), *mean = scale + C, *x = pass->at[at];
        float *normal = pass->kept[at], *y = pass->at[at + 1];
        find_scales(model, layer, pass, at, part);
        for (int64_t i = part * n; i < (part + 1) * n; i++)
            for (int64_t c = 0; c < C; c++) {
                normal[i * C + c] = (x[i * C + c] - mean[c]) * scale[c];
                y[i * C + c] = gamma[c] * normal[i * C + c] + beta[c];
            }
    }
}

static void measure_back(const hm_net_layer *layer, hm_pass *pass, int at)
{
    add_up(layer, pass, pass->delta, pass->kept[at]);
}

/* This shard's part of the gradients of gamma and beta. */
static void add_gradients(const hm_net_layer *layer, const hm_pass *pass, int at, const hm_shard *shard,
                          const hm_layout *layout)
{
    int64_t C = channels_of(layer), n = pass->rows * places_of(layer);
    float *dgamma = hm_shard_direct(shard, layout, layer->tensor[GAMMA]);
    float *dbeta = hm_shard_direct(shard, layout, layer->tensor[BETA]);
    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; c < C; c++) dgamma[c] += pass->delta[i * C + c] * pass->kept[at][i * C + c];
    hm_kernels_best()->add_columns(n, C, pass->delta, 1.0f, dbeta);
}

/* What the running averages move towards: each shard's rows of the batch count. */
static void give_statistics(const hm_net_layer *layer, const hm_pass *pass, int at, const hm_shard *shard,
                            const hm_layout *layout)
{
    int64_t C = channels_of(layer);
    float weight = (float)shard->data.rows / (float)hm_parts(pass);
    for (int part = 0; part < hm_parts(pass); part++) {
        const float *mean = scales_of(layer, pass, at, part) + C, *variance = mean + C;
        for (int64_t c = 0; c < C; c++) {
            hm_shard_direct(shard, layout, layer->tensor[MEAN])[c] += weight * mean[c];
            hm_shard_direct(shard, layout, layer->tensor[VARIANCE])[c] += weight * variance[c];
        }
    }
}

/* Means of dy and dy x^ of a part's channels. */
static int64_t takes(const hm_net_layer *layer, int64_t rows)
{
    (void)rows;
    return 2 * channels_of(layer);
}

static void backward(const hm_model *model, const hm_net_layer *layer, hm_pass *pass, int at, hm_shard *shard,
                     float *more, float *input)
{
    int64_t C = channels_of(layer), n = values_of_part(layer, pass);
    const float *gamma = hm_layer_matrix(model, layer, GAMMA).at;
    float *mean = more, *along = more + C;
    if (!pass->frozen) {
        add_gradients(layer, pass, at, shard, &model->layout);
        give_statistics(layer, pass, at, shard, &model->layout);
    }
    for (int part = 0; input && part < hm_parts(pass); part++) {
        const float *scale = scales_of(layer, pass, at, part);
        const double *sum = pass->sums + part * sums_of_part(layer);
        for (int64_t c = 0; c < 2 * C; c++) more[c] = (float)(sum[c] / sum[2 * C]);
        for (int64_t i = part * n; i < (part + 1) * n; i++)
            for (int64_t c = 0; c < C; c++) {
                float rest = pass->delta[i * C + c] - mean[c] - pass->kept[at][i * C + c] * along[c];
                input[i * C + c] = gamma[c] * scale[c] * rest;
            }
    }
}

static void finish(hm_model *model, const hm_net_layer *layer, int64_t batch, const float *grad)
{
    for (int tensor = MEAN; tensor <= VARIANCE; tensor++) {
        hm_matrix running = hm_layer_matrix(model, layer, tensor);
        const float *sum = grad + model->layout.tensors[layer->tensor[tensor]].offset;
        for (int64_t c = 0; c < running.columns; c++)
            running.at[c] = (float)(KEEP * (double)running.at[c] + (1 - KEEP) * (double)sum[c] / (double)batch);
    }
}

const hm_layer_class hm_layer_batch_norm = {
    .name = "batch_norm",
    .usage = "batch_norm [by_shard]",
    .describe = "mean 0 and variance 1 over the batch (or each shard's part), then a learnt scale and mean",
    .read = read,
    .declare = declare,
    .init = init,
    .sums = sums,
    .measure = measure,
    .measure_back = measure_back,
    .keeps = keeps,
    .takes = takes,
    .forward = forward,
    .backward = backward,
    .finish = finish,
};
