/* Elementwise layers y = f(x). Slope f'(x) and bend f''(x) t, of a tangent f'(x) t, are written in terms of the
 * outputs, so that layers work in place:
 *
 *                                         f'             f'' t, from s = f' t
 *   relu, leaky_relu  max(x, a x)         1 or a         0                       (a in [0, 1))
 *   tanh                                  1 - y^2        -2 y s
 *   sigmoid           1 / (1 + e^-x)      y (1 - y)      (1 - 2 y) s
 *   softplus          log(1 + e^x)        1 - e^-y       e^-y s
 */
#include "nets/net.h"

#include "core/kernels.h"

typedef struct hm_activation {
    void (*value)(const hm_net_layer *layer, int64_t n, const float *x, float *y);
    void (*slope)(const hm_net_layer *layer, int64_t n, const float *y, float *out);
    void (*bend)(const hm_net_layer *layer, int64_t n, const float *y, const float *s, float *out);
} hm_activation;

/* ---- the functions ----------------------------------------------------------------------------------------------- */

/* In place, so that the compiler would rather not use vectors: but no element depends on another. */
#define EACH _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++)

static void rectified_value(const hm_net_layer *layer, int64_t n, const float *x, float *y)
{
    float a = (float)layer->value;
    EACH y[i] = x[i] > 0 ? x[i] : a * x[i];
}
static void rectified_slope(const hm_net_layer *layer, int64_t n, const float *y, float *out)
{
    float a = (float)layer->value;
    EACH out[i] = y[i] > 0 ? 1.0f : a;
}
static void rectified_bend(const hm_net_layer *layer, int64_t n, const float *y, const float *s, float *out)
{
    (void)layer, (void)y, (void)s;
    EACH out[i] = 0;
}

static void tanh_value(const hm_net_layer *layer, int64_t n, const float *x, float *y)
{
    (void)layer;
    hm_kernels_best()->tanh(n, x, y);
}
static void tanh_slope(const hm_net_layer *layer, int64_t n, const float *y, float *out)
{
    (void)layer;
    EACH out[i] = 1 - y[i] * y[i];
}
static void tanh_bend(const hm_net_layer *layer, int64_t n, const float *y, const float *s, float *out)
{
    (void)layer;
    EACH out[i] = -2 * y[i] * s[i];
}

static void sigmoid_value(const hm_net_layer *layer, int64_t n, const float *x, float *y)
{
    (void)layer;
    hm_kernels_best()->activate(1, n, x, 1.0f, NULL, y, NULL, NULL, 0);
}
static void sigmoid_slope(const hm_net_layer *layer, int64_t n, const float *y, float *out)
{
    (void)layer;
    EACH out[i] = y[i] * (1 - y[i]);
}
static void sigmoid_bend(const hm_net_layer *layer, int64_t n, const float *y, const float *s, float *out)
{
    (void)layer;
    EACH out[i] = (1 - 2 * y[i]) * s[i];
}

static void softplus_value(const hm_net_layer *layer, int64_t n, const float *x, float *y)
{
    (void)layer;
    hm_kernels_best()->softplus(n, x, y);
}
static void softplus_slope(const hm_net_layer *layer, int64_t n, const float *y, float *out)
{
    (void)layer;
    EACH out[i] = -y[i];
    hm_kernels_best()->exp(n, out, out);
    EACH out[i] = 1 - out[i];
}
static void softplus_bend(const hm_net_layer *layer, int64_t n, const float *y, const float *s, float *out)
{
    softplus_slope(layer, n, y, out);
    EACH out[i] = (1 - out[i]) * s[i];
}

/* ---- a layer ----------------------------------------------------------------------------------------------------- */

/* Values of the rows that are no tangents, and of the tangents. */
static int64_t own_size(const hm_net_layer *layer, const hm_pass *pass)
{
    return (pass->rows - pass->tangents) * hm_shape_size(layer->out);
}
static int64_t tangent_size(const hm_net_layer *layer, const hm_pass *pass)
{
    return pass->tangents * hm_shape_size(layer->out);
}

static int64_t takes(const hm_net_layer *layer, int64_t rows) { return rows * hm_shape_size(layer->out); }

/* A tangent's slope is that of its row; what it is multiplied by is kept, for there may be no room of its own. */
static int64_t keeps(const hm_net_layer *layer, int64_t rows) { return rows * hm_shape_size(layer->out); }

static void forward(const hm_model *model, const hm_net_layer *layer, hm_pass *pass, int at)
{
    const hm_activation *f = layer->class->activation;
    int64_t own = own_size(layer, pass), n = tangent_size(layer, pass);
    const float *x = pass->at[at] + own;
    float *y = pass->at[at + 1] + own, *slope = pass->kept[at];
    (void)model;
    f->value(layer, own, pass->at[at], pass->at[at + 1]);
    if (n == 0) return;
    f->slope(layer, n, y - n, slope);
    EACH y[i] = x[i] * slope[i];
}

/* A row's own gradient, and what it has through its tangent. */
static void backward(const hm_model *model, const hm_net_layer *layer, hm_pass *pass, int at, hm_shard *shard,
                     float *more, float *input)
{
    const hm_activation *f = layer->class->activation;
    int64_t own = own_size(layer, pass), n = tangent_size(layer, pass);
    const float *y = pass->at[at + 1], *delta = pass->delta;
    float *bend = pass->kept[at], *slope = more;
    (void)model, (void)shard;
    if (n > 0) f->bend(layer, n, y + own - n, y + own, bend);
    EACH bend[i] *= delta[own + i];
    f->slope(layer, own, y, slope);
    for (int64_t i = 0; i < own; i++) input[i] = delta[i] * slope[i];
    EACH input[own - n + i] += bend[i];
    EACH input[own + i] = delta[own + i] * slope[own - n + i];
}

static hm_status read_nothing(hm_net_layer *layer, char *words)
{
    const char *word = hm_next_word(&words);
    HM_REQUIRE(!word, HM_EUSAGE, "%s takes no '%s'", layer->class->name, word);
    return HM_OK;
}

static hm_status read_slope(hm_net_layer *layer, char *words)
{
    layer->value = 0.2;
    if (words[0] != '\0') HM_TRY(hm_next_real(layer, &words, "SLOPE", 0, 0.999, &layer->value));
    return read_nothing(layer, words);
}

#define ACTIVATION(NAME, FUNCTION, READ, USAGE, DESCRIBE)                                                              \
    const hm_layer_class hm_layer_##NAME = {                                                                           \
        .name = #NAME,                                                                                                 \
        .usage = USAGE,                                                                                                \
        .describe = DESCRIBE,                                                                                          \
        .tangents = true,                                                                                              \
        .in_place = true,                                                                                              \
        .needs_output = true,                                                                                          \
        .read = READ,                                                                                                  \
        .activation = &(const hm_activation){FUNCTION##_value, FUNCTION##_slope, FUNCTION##_bend},                     \
        .keeps = keeps,                                                                                                \
        .takes = takes,                                                                                                \
        .forward = forward,                                                                                            \
        .backward = backward,                                                                                          \
    }

ACTIVATION(relu, rectified, read_nothing, "relu", "max(x, 0)");
ACTIVATION(leaky_relu, rectified, read_slope, "leaky_relu [SLOPE, default 0.2]", "max(x, SLOPE x)");
ACTIVATION(tanh, tanh, read_nothing, "tanh", "hyperbolic tangent");
ACTIVATION(sigmoid, sigmoid, read_nothing, "sigmoid", "1 / (1 + exp(-x))");
ACTIVATION(softplus, softplus, read_nothing, "softplus", "log(1 + exp(x))");
