/* Initial weights: uniform within sqrt(6 / (fan_in + fan_out)) (Glorot & Bengio 2010), normal with variance 2 / fan_in
 * (He et al. 2015), orthogonal (Saxe et al. 2014), normal with a given deviation (Radford et al. 2016). The numbers
 * are those of the tensor's number, so that no other setting changes them. */
#include "nets/net.h"

#include "core/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const init_names[] = {"glorot", "he", "orthogonal", "normal"};

hm_status hm_read_init(hm_net_layer *layer, char *words)
{
    const char *word = hm_next_word(&words);
    if (!word) return HM_OK;
    HM_REQUIRE(strcmp(word, "init") == 0, HM_EUSAGE, "%s: '%s' is not understood; `%s`", layer->class->name, word,
               layer->class->usage);
    word = hm_next_word(&words);
    layer->init = -1;
    for (int init = HM_INIT_GLOROT; word && init <= HM_INIT_NORMAL; init++)
        if (strcmp(word, init_names[init]) == 0) layer->init = init;
    HM_REQUIRE(layer->init >= 0, HM_EUSAGE, "%s: init is one of: glorot, he, orthogonal, normal STD",
               layer->class->name);
    if (layer->init == HM_INIT_NORMAL) HM_TRY(hm_next_real(layer, &words, "STD", 0, 100, &layer->init_std));
    word = hm_next_word(&words);
    HM_REQUIRE(!word, HM_EUSAGE, "%s: '%s' is too much; `%s`", layer->class->name, word, layer->class->usage);
    return HM_OK;
}

/* Rows of q (n, size), n <= size, made orthonormal one after another (modified Gram-Schmidt). In float64 and in a fixed
 * order, which a library's QR does not promise: initial weights have the same bits everywhere. */
static void orthonormalise(double *q, int64_t n, int64_t size)
{
    for (int64_t i = 0; i < n; i++) {
        double *row = q + i * size, square = 0;
        for (int64_t before = 0; before < i; before++) {
            double along = 0;
            for (int64_t k = 0; k < size; k++) along += row[k] * q[before * size + k];
            for (int64_t k = 0; k < size; k++) row[k] -= along * q[before * size + k];
        }
        for (int64_t k = 0; k < size; k++) square += row[k] * row[k];
        for (int64_t k = 0; k < size; k++) row[k] /= sqrt(square);
    }
}

static hm_status init_orthogonal(hm_matrix W, const hm_stream *stream)
{
    bool wide = W.columns > W.rows;
    int64_t n = wide ? W.rows : W.columns, size = wide ? W.columns : W.rows;
    double *q;
    HM_TRY(hm_alloc(&q, n * size, sizeof *q, "orthogonal weights"));
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < size; k++) q[i * size + k] = hm_random_normal(stream, i, k);
    orthonormalise(q, n, size);
    for (int64_t i = 0; i < W.rows; i++)
        for (int64_t j = 0; j < W.columns; j++)
            W.at[i * W.columns + j] = (float)(wide ? q[i * size + j] : q[j * size + i]);
    free(q);
    return HM_OK;
}

hm_status hm_init_weights(hm_model *model, const hm_net_layer *layer, uint64_t seed, int64_t fan_in, int64_t fan_out)
{
    hm_matrix W = hm_layer_matrix(model, layer, 0);
    hm_stream stream = {.seed = seed, .purpose = HM_RNG_INIT, .step = (uint64_t)layer->tensor[0]};
    if (layer->init == HM_INIT_ORTHOGONAL) return init_orthogonal(W, &stream);
    double bound = sqrt(6.0 / (double)(fan_in + fan_out));
    double std = layer->init == HM_INIT_HE ? sqrt(2.0 / (double)fan_in) : layer->init_std;
    for (int64_t i = 0; i < W.rows; i++)
        for (int64_t j = 0; j < W.columns; j++) {
            double value = layer->init == HM_INIT_GLOROT ? bound * (2 * (double)hm_random_uniform(&stream, i, j) - 1)
                                                         : std * hm_random_normal(&stream, i, j);
            W.at[i * W.columns + j] = (float)value;
        }
    return HM_OK;
}
