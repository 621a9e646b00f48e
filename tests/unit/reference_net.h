/* Nets in float64, by the definition of each layer, from the parameters as float64: the reference of the tests. */
#ifndef HM_TEST_REFERENCE_NET_H
#define HM_TEST_REFERENCE_NET_H

#include "nets/net.h"
#include "small_rbm.h"

enum { REFERENCE_ROWS = 64, REFERENCE_UNITS = 512 };

/* Rows of values, (rows, units). */
typedef struct reference {
    const hm_model *model;
    const double *params; /* as the pack */
    bool training;        /* dropout; statistics of the batch */
    int shards;           /* into whose parts rows fall, for layers with statistics of a shard */
    uint64_t seed, step;
    const int64_t *number; /* of the rows, for random numbers; NULL: from 0 */
    int rows;
    double x[REFERENCE_ROWS][REFERENCE_UNITS];
} reference;

static inline double reference_parameter(const reference *r, const hm_net_layer *layer, int tensor, int64_t at)
{
    return r->params[r->model->layout.tensors[layer->tensor[tensor]].offset + at];
}

static inline void reference_dense(reference *r, const hm_net_layer *layer)
{
    int in = (int)hm_shape_size(layer->in), units = (int)layer->units, pieces = (int)layer->pieces;
    for (int row = 0; row < r->rows; row++) {
        double y[REFERENCE_UNITS];
        for (int u = 0; u < units; u++) {
            y[u] = -INFINITY;
            for (int p = 0; p < pieces; p++) {
                int column = u * pieces + p;
                double sum = reference_parameter(r, layer, 1, column);
                for (int i = 0; i < in; i++)
                    sum += r->x[row][i] * reference_parameter(r, layer, 0, (int64_t)i * units * pieces + column);
                y[u] = fmax(y[u], sum);
            }
        }
        memcpy(r->x[row], y, sizeof y);
    }
}

static inline double reference_activation(const char *name, double slope, double x)
{
    if (strcmp(name, "tanh") == 0) return tanh(x);
    if (strcmp(name, "sigmoid") == 0) return 1 / (1 + exp(-x));
    if (strcmp(name, "softplus") == 0) return log1p(exp(x));
    return x > 0 ? x : slope * x; /* relu: slope 0 */
}

static inline void reference_dropout(reference *r, const hm_net_layer *layer)
{
    hm_stream stream = {r->seed, HM_RNG_DROPOUT, r->step * HM_NET_STREAMS + (uint64_t)layer->stream};
    for (int row = 0; row < r->rows; row++)
        for (int i = 0; i < hm_shape_size(layer->out); i++) {
            bool kept = (double)hm_random_uniform(&stream, r->number ? r->number[row] : row, i) <
                        (double)(float)(1 - layer->value);
            r->x[row][i] *= kept ? 1 / (1 - layer->value) : 0;
        }
}

/* Rows of one part, all places of a channel. */
static inline void reference_normalise(reference *r, const hm_net_layer *layer, hm_range part, int c)
{
    int channels = (int)layer->out.channels, units = (int)hm_shape_size(layer->out);
    double n = 0, mean = 0, variance = 0, gamma = reference_parameter(r, layer, 0, c);
    for (int64_t row = part.begin; row < part.end; row++)
        for (int i = c; i < units; i += channels, n++) mean += r->x[row][i];
    mean /= n;
    for (int64_t row = part.begin; row < part.end; row++)
        for (int i = c; i < units; i += channels) variance += pow(r->x[row][i] - mean, 2) / n;
    if (!r->training) {
        mean = reference_parameter(r, layer, 2, c);
        variance = reference_parameter(r, layer, 3, c);
    }
    for (int64_t row = part.begin; row < part.end; row++)
        for (int i = c; i < units; i += channels)
            r->x[row][i] = gamma * (r->x[row][i] - mean) / sqrt(variance + 1e-5) + reference_parameter(r, layer, 1, c);
}

static inline void reference_batch_norm(reference *r, const hm_net_layer *layer)
{
    int parts = layer->by_shard ? r->shards : 1;
    for (int part = 0; part < parts; part++)
        for (int c = 0; c < layer->out.channels; c++) reference_normalise(r, layer, hm_part(r->rows, parts, part), c);
}

/* y[p, q, o] = b[o] + sum W[i, j, c, o] x[p s + i - pad, q s + j - pad, c], and its transpose. */
static inline void reference_convolve(reference *r, const hm_net_layer *layer, bool transposed)
{
    hm_shape in = layer->in, out = layer->out, grid = transposed ? in : out, image = transposed ? out : in;
    int64_t size = layer->size;
    for (int row = 0; row < r->rows; row++) {
        double y[REFERENCE_UNITS];
        for (int64_t i = 0; i < hm_shape_size(out); i++) y[i] = reference_parameter(r, layer, 1, i % out.channels);
        for (int64_t p = 0; p < grid.height; p++)
            for (int64_t q = 0; q < grid.width; q++)
                for (int64_t i = 0; i < size; i++)
                    for (int64_t j = 0; j < size; j++)
                        for (int64_t c = 0; c < in.channels; c++)
                            for (int64_t o = 0; o < out.channels; o++) {
                                int64_t v = p * layer->stride + i - layer->pad, h = q * layer->stride + j - layer->pad;
                                int64_t of_grid = (p * grid.width + q), of_image = v * image.width + h;
                                if (v < 0 || v >= image.height || h < 0 || h >= image.width) continue;
                                int64_t weight = transposed ? ((c * size + i) * size + j) * out.channels + o
                                                            : ((i * size + j) * in.channels + c) * out.channels + o;
                                int64_t from = (transposed ? of_grid : of_image) * in.channels + c;
                                int64_t to = (transposed ? of_image : of_grid) * out.channels + o;
                                y[to] += reference_parameter(r, layer, 0, weight) * r->x[row][from];
                            }
        memcpy(r->x[row], y, sizeof y);
    }
}

static inline void reference_minibatch(reference *r, const hm_net_layer *layer)
{
    int in = (int)hm_shape_size(layer->in), B = (int)layer->units, C = (int)layer->pieces;
    static double M[REFERENCE_ROWS][REFERENCE_UNITS];
    for (int row = 0; row < r->rows; row++)
        for (int k = 0; k < B * C; k++) {
            M[row][k] = 0;
            for (int i = 0; i < in; i++) M[row][k] += r->x[row][i] * reference_parameter(r, layer, 0, i * B * C + k);
        }
    for (int shard = 0; shard < r->shards; shard++) {
        hm_range part = hm_part(r->rows, r->shards, shard);
        for (int64_t i = part.begin; i < part.end; i++)
            for (int b = 0; b < B; b++) {
                r->x[i][in + b] = 0;
                for (int64_t j = part.begin; j < part.end; j++) {
                    double distance = 0;
                    for (int c = 0; c < C; c++) distance += fabs(M[i][b * C + c] - M[j][b * C + c]);
                    r->x[i][in + b] += i == j ? 0 : exp(-distance);
                }
            }
    }
}

static inline void reference_layer(reference *r, const hm_net_layer *layer)
{
    const char *name = layer->class->name;
    if (strcmp(name, "minibatch") == 0)
        reference_minibatch(r, layer);
    else if (layer->pieces > 0)
        reference_dense(r, layer);
    else if (strcmp(name, "dropout") == 0 && r->training)
        reference_dropout(r, layer);
    else if (strcmp(name, "batch_norm") == 0)
        reference_batch_norm(r, layer);
    else if (strcmp(name, "conv") == 0 || strcmp(name, "transposed_conv") == 0)
        reference_convolve(r, layer, name[0] == 't');
    else if (strcmp(name, "dropout") != 0 && strcmp(name, "reshape") != 0)
        for (int row = 0; row < r->rows; row++)
            for (int i = 0; i < hm_shape_size(layer->out); i++)
                r->x[row][i] = reference_activation(name, layer->value, r->x[row][i]);
}

static inline void reference_net(reference *r, const hm_net *net)
{
    for (int l = 0; l < net->count; l++) reference_layer(r, &net->layer[l]);
}

#endif
