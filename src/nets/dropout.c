/* Dropout (Srivastava et al. 2014): in training a unit is 0 with probability `rate`, else 1 / (1 - rate) times as
 * large, drawn for each row of the batch. And reshape, which only says how the units of a row lie.
 */
#include "nets/net.h"

#include "core/kernels.h"

#include <string.h>

static hm_status dropout_read(hm_net_layer *layer, char *words)
{
    HM_TRY(hm_next_real(layer, &words, "RATE", 0, 0.999, &layer->value));
    const char *word = hm_next_word(&words);
    HM_REQUIRE(!word, HM_EUSAGE, "dropout: '%s' is too much; `%s`", word, layer->class->usage);
    return HM_OK;
}

/* What each unit is multiplied by. */
static int64_t dropout_keeps(const hm_net_layer *layer, int64_t rows) { return rows * hm_shape_size(layer->out); }

static void dropout_forward(const hm_model *model, const hm_net_layer *layer, hm_pass *pass, int at)
{
    int64_t units = hm_shape_size(layer->out);
    const float keep = (float)(1 - layer->value);
    hm_stream stream = {pass->seed, HM_RNG_DROPOUT, pass->step * HM_NET_STREAMS + (uint64_t)layer->stream};
    (void)model;
    if (!pass->training || layer->value == 0) {
        if (pass->at[at + 1] != pass->at[at])
            memcpy(pass->at[at + 1], pass->at[at], (size_t)(pass->rows * units) * sizeof(float));
        for (int64_t i = 0; pass->training && i < pass->rows * units; i++) pass->kept[at][i] = 1;
        return;
    }
    for (int64_t row = 0; row < pass->rows; row++) {
        float *factor = pass->kept[at] + row * units;
        const float *x = pass->at[at] + row * units;
        float *y = pass->at[at + 1] + row * units;
        if (row < pass->rows - pass->tangents) {
            hm_kernels_best()->uniform(&stream, pass->first_row + row, units, factor);
            for (int64_t i = 0; i < units; i++) factor[i] = factor[i] < keep ? 1 / keep : 0.0f;
        } else /* a tangent has the units of its row */
            memcpy(factor, factor - pass->tangents * units, (size_t)units * sizeof(float));
        for (int64_t i = 0; i < units; i++) y[i] = x[i] * factor[i];
    }
}

static void dropout_backward(const hm_model *model, const hm_net_layer *layer, hm_pass *pass, int at, hm_shard *shard,
                             float *more, float *input)
{
    (void)model, (void)shard, (void)more;
    for (int64_t i = 0; i < pass->rows * hm_shape_size(layer->out); i++) input[i] = pass->delta[i] * pass->kept[at][i];
}

const hm_layer_class hm_layer_dropout = {
    .name = "dropout",
    .usage = "dropout RATE",
    .describe = "in training, units are left out at random",
    .tangents = true,
    .in_place = true,
    .read = dropout_read,
    .keeps = dropout_keeps,
    .forward = dropout_forward,
    .backward = dropout_backward,
};

/* ---- reshape ---------------------------------------------------------------------------------------------------- */

static hm_status reshape_read(hm_net_layer *layer, char *words)
{
    int64_t size[3];
    const char *names[] = {"HEIGHT", "WIDTH", "CHANNELS"};
    for (int at = 0; at < 3; at++) HM_TRY(hm_next_integer(layer, &words, names[at], 1, 1000000, &size[at]));
    layer->out = (hm_shape){size[0], size[1], size[2]};
    HM_REQUIRE(hm_shape_size(layer->out) == hm_shape_size(layer->in), HM_EUSAGE,
               "reshape: %lld x %lld x %lld are %lld units, and the layer before has %lld", (long long)size[0],
               (long long)size[1], (long long)size[2], (long long)hm_shape_size(layer->out),
               (long long)hm_shape_size(layer->in));
    const char *word = hm_next_word(&words);
    HM_REQUIRE(!word, HM_EUSAGE, "reshape: '%s' is too much; `%s`", word, layer->class->usage);
    return HM_OK;
}

static void reshape_forward(const hm_model *model, const hm_net_layer *layer, hm_pass *pass, int at)
{
    (void)model;
    if (pass->at[at + 1] != pass->at[at])
        memcpy(pass->at[at + 1], pass->at[at], (size_t)(pass->rows * hm_shape_size(layer->out)) * sizeof(float));
}

static void reshape_backward(const hm_model *model, const hm_net_layer *layer, hm_pass *pass, int at, hm_shard *shard,
                             float *more, float *input)
{
    (void)model, (void)at, (void)shard, (void)more;
    if (input != pass->delta)
        memcpy(input, pass->delta, (size_t)(pass->rows * hm_shape_size(layer->out)) * sizeof(float));
}

const hm_layer_class hm_layer_reshape = {
    .name = "reshape",
    .usage = "reshape HEIGHT WIDTH CHANNELS",
    .describe = "the units of a row as an image; channels lie together",
    .tangents = true,
    .in_place = true,
    .read = reshape_read,
    .forward = reshape_forward,
    .backward = reshape_backward,
};
