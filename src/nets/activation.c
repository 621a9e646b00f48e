/* Elementwise layers. The derivative of each is written in terms of its output y, so that they work in place:
 *
 *   relu, leaky_relu  max(x, a x)         1 where y > 0, else a     (a in [0, 1))
 *   tanh                                  1 - y^2
 *   sigmoid           1 / (1 + e^-x)      y (1 - y)
 *   softplus          log(1 + e^x)        1 - e^-y
 */
#include "nets/net.h"

#include "core/kernels.h"

static hm_status read_nothing(hm_net_layer *layer, char *words)
{
    const char *word = hm_next_word(&words);
    HM_REQUIRE(!word, HM_EUSAGE, "%s takes no '%s'", layer->class->name, word);
    return HM_OK;
}

static int64_t size_of(const hm_net_layer *layer, const hm_pass *pass)
{
    return pass->rows * hm_shape_size(layer->out);
}

#define ELEMENTWISE(KIND, FORWARD, DERIVATIVE)                                                                         \
    static void KIND##_forward(const hm_model *model, const hm_net_layer *layer, hm_pass *pass, int at)                \
    {                                                                                                                  \
        int64_t n = size_of(layer, pass);                                                                              \
        const float *x = pass->at[at];                                                                                 \
        float *y = pass->at[at + 1];                                                                                   \
        (void)model;                                                                                                   \
        FORWARD;                                                                                                       \
    }                                                                                                                  \
    static void KIND##_backward(const hm_model *model, const hm_net_layer *layer, hm_pass *pass, int at,               \
                                hm_shard *shard, float *more, float *input)                                            \
    {                                                                                                                  \
        int64_t n = size_of(layer, pass);                                                                              \
        const float *y = pass->at[at + 1], *delta = pass->delta;                                                       \
        (void)model, (void)shard, (void)more;                                                                          \
        DERIVATIVE;                                                                                                    \
    }

#define EACH for (int64_t i = 0; i < n; i++)
ELEMENTWISE(rectified, float a = (float)layer->value;
            EACH y[i] = x[i] > 0 ? x[i] : a * x[i], float a = (float)layer->value;
            EACH input[i] = y[i] > 0 ? delta[i] : a * delta[i])
ELEMENTWISE(tanh, hm_kernels_best()->tanh(n, x, y), EACH input[i] = delta[i] * (1 - y[i] * y[i]))
ELEMENTWISE(sigmoid, hm_kernels_best()->activate(1, n, x, 1.0f, NULL, y, NULL, NULL, 0),
            EACH input[i] = delta[i] * (y[i] * (1 - y[i])))
ELEMENTWISE(softplus, hm_kernels_best()->softplus(n, x, y), EACH more[i] = -y[i]; hm_kernels_best()->exp(n, more, more);
            EACH input[i] = delta[i] * (1 - more[i]))
#undef EACH

static int64_t softplus_takes(const hm_net_layer *layer, int64_t rows) { return rows * hm_shape_size(layer->out); }

#define ACTIVATION(NAME, FUNCTIONS, READ, TAKES, USAGE, DESCRIBE)                                                      \
    const hm_layer_class hm_layer_##NAME = {                                                                           \
        .name = #NAME,                                                                                                 \
        .usage = USAGE,                                                                                                \
        .describe = DESCRIBE,                                                                                          \
        .in_place = true,                                                                                              \
        .needs_output = true,                                                                                          \
        .read = READ,                                                                                                  \
        .takes = TAKES,                                                                                                \
        .forward = FUNCTIONS##_forward,                                                                                \
        .backward = FUNCTIONS##_backward,                                                                              \
    }

static hm_status read_slope(hm_net_layer *layer, char *words)
{
    layer->value = 0.2;
    if (words[0] != '\0') HM_TRY(hm_next_real(layer, &words, "SLOPE", 0, 0.999, &layer->value));
    return read_nothing(layer, words);
}

ACTIVATION(relu, rectified, read_nothing, NULL, "relu", "max(x, 0)");
ACTIVATION(leaky_relu, rectified, read_slope, NULL, "leaky_relu [SLOPE, default 0.2]", "max(x, SLOPE x)");
ACTIVATION(tanh, tanh, read_nothing, NULL, "tanh", "hyperbolic tangent");
ACTIVATION(sigmoid, sigmoid, read_nothing, NULL, "sigmoid", "1 / (1 + exp(-x))");
ACTIVATION(softplus, softplus, read_nothing, softplus_takes, "softplus", "log(1 + exp(x))");
