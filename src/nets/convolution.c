/* 2-D convolution and its transpose, on images that lie as height x width x channels:
 *
 *   conv             y[p, q, o] = b[o] + sum over i, j, c of W[i, j, c, o] x[p s + i - pad, q s + j - pad, c]
 *   transposed_conv  the map whose matrix is the transpose of a convolution's: y[p s + i - pad, q s + j - pad, o] +=
 *                    W[c, i, j, o] x[p, q, c], and b[o]
 *
 * Both are one product with the packed weights, of patches that are copied out of (or added back into) the images. So
 * the gradient of the weights is a sum of outer products of rows, like that of a dense layer, in an order that does not
 * depend on ranks or threads; a library's convolution (oneDNN) promises no order.
 */
#include "nets/net.h"

#include "core/kernels.h"
#include "core/product.h"

#include <string.h>

/* ---- patches ---------------------------------------------------------------------------------------------------- */

/* How patches of size x size lie in an image: one for each of `grid`'s places. */
typedef struct patches {
    hm_shape image, grid;
    int64_t size, stride, pad;
} patches;

static int64_t patch_size(const patches *p) { return p->size * p->size * p->image.channels; }
static int64_t grid_places(const patches *p) { return p->grid.height * p->grid.width; }

typedef void (*act_on_run)(int64_t n, float *patch, float *image);

static void copy_out(int64_t n, float *patch, float *image) { memcpy(patch, image, (size_t)n * sizeof(float)); }
static void add_back(int64_t n, float *patch, float *image) { hm_kernels_best()->add(n, image, patch, image); }

/* One line of a patch, whose first pixel is (y, x) of an image: the pixels inside the image lie together in both. Those
 * beyond the border are zero in the patch. */
static void for_line(const patches *p, int64_t y, int64_t x, float *line, float *image, act_on_run act)
{
    int64_t channels = p->image.channels, begin = x < 0 ? -x : 0;
    int64_t end = x + p->size > p->image.width ? p->image.width - x : p->size;
    if (y < 0 || y >= p->image.height || end < begin) begin = end = 0;
    if (act == copy_out) {
        memset(line, 0, (size_t)(begin * channels) * sizeof(float));
        memset(line + end * channels, 0, (size_t)((p->size - end) * channels) * sizeof(float));
    }
    if (end > begin)
        act((end - begin) * channels, line + begin * channels, image + (y * p->image.width + x + begin) * channels);
}

/* Each patch of `rows` images with its place in the image, line by line. */
static void for_patches(const patches *p, int64_t rows, float *columns, float *images, act_on_run act)
{
    int64_t line = p->size * p->image.channels;
    for (int64_t row = 0; row < rows; row++)
        for (int64_t place = 0; place < grid_places(p); place++) {
            float *patch = columns + (row * grid_places(p) + place) * patch_size(p);
            int64_t top = place / p->grid.width * p->stride - p->pad, left = place % p->grid.width * p->stride - p->pad;
            for (int64_t i = 0; i < p->size; i++)
                for_line(p, top + i, left, patch + i * line, images + row * hm_shape_size(p->image), act);
        }
}

static void to_columns(const patches *p, int64_t rows, const float *images, float *columns)
{
    for_patches(p, rows, columns, (float *)images, copy_out);
}

static void from_columns(const patches *p, int64_t rows, const float *columns, float *images)
{
    memset(images, 0, (size_t)(rows * hm_shape_size(p->image)) * sizeof(float));
    for_patches(p, rows, (float *)columns, images, add_back);
}

static void add_bias(const hm_model *model, const hm_net_layer *layer, int64_t places, float *y)
{
    const float *b = hm_layer_matrix(model, layer, 1).at;
    int64_t channels = layer->out.channels;
    for (int64_t place = 0; place < places; place++)
        hm_kernels_best()->add(channels, y + place * channels, b, y + place * channels);
}

static void add_bias_gradient(const hm_model *model, const hm_net_layer *layer, int64_t places, const float *delta,
                              hm_shard *shard)
{
    hm_kernels_best()->add_columns(places, layer->out.channels, delta, 1.0f,
                                   hm_shard_direct(shard, &model->layout, layer->tensor[1]));
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

/* CHANNELS SIZE [stride S] [pad P] [init ...] */
static hm_status read_common(hm_net_layer *layer, char *words)
{
    layer->stride = 1;
    HM_TRY(hm_next_integer(layer, &words, "CHANNELS", 1, 100000, &layer->units));
    HM_TRY(hm_next_integer(layer, &words, "SIZE", 1, 1000, &layer->size));
    for (;;) {
        char *before = words + strspn(words, " ");
        bool stride = strncmp(before, "stride ", 7) == 0, pad = strncmp(before, "pad ", 4) == 0;
        if (!stride && !pad) break;
        (void)hm_next_word(&words);
        HM_TRY(hm_next_integer(layer, &words, stride ? "stride" : "pad", stride ? 1 : 0, 1000,
                               stride ? &layer->stride : &layer->pad));
    }
    layer->out.channels = layer->units;
    return hm_read_init(layer, words);
}

static hm_status declare_bias(hm_model *model, const hm_net *net, hm_net_layer *layer)
{
    return hm_layer_tensor(model, net, layer, "b",
                           (hm_tensor){.dims = 1,
                                       .shape = {layer->out.channels},
                                       .axes = {"out"},
                                       .description = "biases of a layer of images, one a channel"});
}

/* ---- convolution ------------------------------------------------------------------------------------------------ */

static patches conv_patches(const hm_net_layer *layer)
{
    return (patches){layer->in, layer->out, layer->size, layer->stride, layer->pad};
}

static hm_status conv_read(hm_net_layer *layer, char *words)
{
    HM_TRY(read_common(layer, words));
    int64_t height = layer->in.height + 2 * layer->pad - layer->size;
    int64_t width = layer->in.width + 2 * layer->pad - layer->size;
    HM_REQUIRE(height >= 0 && width >= 0, HM_EUSAGE,
               "conv: patches of %lld x %lld do not fit into images of %lld x %lld (reshape HEIGHT WIDTH CHANNELS says "
               "how a row is an image)",
               (long long)layer->size, (long long)layer->size, (long long)layer->in.height, (long long)layer->in.width);
    layer->out.height = height / layer->stride + 1;
    layer->out.width = width / layer->stride + 1;
    return HM_OK;
}

static hm_status conv_declare(hm_model *model, const hm_net *net, hm_net_layer *layer)
{
    HM_TRY(hm_layer_tensor(model, net, layer, "W",
                           (hm_tensor){.dims = 4,
                                       .shape = {layer->size, layer->size, layer->in.channels, layer->out.channels},
                                       .axes = {"row", "column", "in", "out"},
                                       .decays = true,
                                       .products = true,
                                       .description = "weights of a convolution"}));
    return declare_bias(model, net, layer);
}

static hm_status conv_allocate(hm_net_layer *layer)
{
    patches p = conv_patches(layer);
    HM_TRY(hm_packed_init(&layer->up, patch_size(&p), layer->out.channels));
    return hm_packed_init(&layer->down, layer->out.channels, patch_size(&p));
}

static hm_status conv_init(hm_model *model, const hm_net_layer *layer, uint64_t seed)
{
    int64_t area = layer->size * layer->size;
    return hm_init_weights(model, layer, seed, area * layer->in.channels, area * layer->out.channels);
}

static void refresh(hm_model *model, hm_net_layer *layer)
{
    hm_matrix W = hm_layer_matrix(model, layer, 0);
    hm_pack_both(&layer->up, &layer->down, W, model->team);
}

static int64_t conv_keeps(const hm_net_layer *layer, int64_t rows)
{
    patches p = conv_patches(layer);
    return rows * grid_places(&p) * patch_size(&p);
}

static void conv_forward(const hm_model *model, const hm_net_layer *layer, hm_pass *pass, int at)
{
    patches p = conv_patches(layer);
    int64_t places = pass->rows * grid_places(&p);
    to_columns(&p, pass->rows, pass->at[at], pass->kept[at]);
    hm_product((hm_matrix){pass->kept[at], places, patch_size(&p)}, &layer->up, pass->at[at + 1]);
    add_bias(model, layer, (pass->rows - pass->tangents) * grid_places(&p), pass->at[at + 1]);
}

static void conv_backward(const hm_model *model, const hm_net_layer *layer, hm_pass *pass, int at, hm_shard *shard,
                          float *more, float *input)
{
    patches p = conv_patches(layer);
    int64_t places = pass->rows * grid_places(&p);
    hm_matrix delta = {pass->delta, places, layer->out.channels};
    if (!pass->frozen) {
        shard->outer[layer->tensor[0]] = (hm_outer){{pass->kept[at], places, patch_size(&p)}, delta};
        add_bias_gradient(model, layer, (pass->rows - pass->tangents) * grid_places(&p), pass->delta, shard);
    }
    if (!input) return;
    hm_product(delta, &layer->down, more);
    from_columns(&p, pass->rows, more, input);
}

const hm_layer_class hm_layer_conv = {
    .name = "conv",
    .usage = "conv CHANNELS SIZE [stride S] [pad P] [init glorot|he|orthogonal|normal STD]",
    .tangents = true,
    .describe = "convolution with patches of SIZE x SIZE",
    .read = conv_read,
    .declare = conv_declare,
    .allocate = conv_allocate,
    .init = conv_init,
    .refresh = refresh,
    .keeps = conv_keeps,
    .takes = conv_keeps,
    .forward = conv_forward,
    .backward = conv_backward,
};

/* ---- its transpose ---------------------------------------------------------------------------------------------- */

/* Of the convolution from the output to the input. */
static patches transposed_patches(const hm_net_layer *layer)
{
    return (patches){layer->out, layer->in, layer->size, layer->stride, layer->pad};
}

static hm_status transposed_read(hm_net_layer *layer, char *words)
{
    HM_TRY(read_common(layer, words));
    layer->out.height = (layer->in.height - 1) * layer->stride + layer->size - 2 * layer->pad;
    layer->out.width = (layer->in.width - 1) * layer->stride + layer->size - 2 * layer->pad;
    HM_REQUIRE(layer->out.height >= 1 && layer->out.width >= 1, HM_EUSAGE,
               "transposed_conv: from %lld x %lld nothing is left with size %lld and pad %lld",
               (long long)layer->in.height, (long long)layer->in.width, (long long)layer->size, (long long)layer->pad);
    return HM_OK;
}

static hm_status transposed_declare(hm_model *model, const hm_net *net, hm_net_layer *layer)
{
    patches p = transposed_patches(layer);
    HM_TRY(hm_layer_tensor(
        model, net, layer, "W",
        (hm_tensor){.dims = 2,
                    .shape = {layer->in.channels, patch_size(&p)},
                    .axes = {"in", "patch"},
                    .decays = true,
                    .products = true,
                    .description = "weights of a transposed convolution; a patch lies as row, column, channel"}));
    return declare_bias(model, net, layer);
}

static hm_status transposed_allocate(hm_net_layer *layer)
{
    patches p = transposed_patches(layer);
    HM_TRY(hm_packed_init(&layer->up, layer->in.channels, patch_size(&p)));
    return hm_packed_init(&layer->down, patch_size(&p), layer->in.channels);
}

/* The patches that are added up, and in the backward pass those of delta. */
static int64_t transposed_keeps(const hm_net_layer *layer, int64_t rows)
{
    patches p = transposed_patches(layer);
    return rows * grid_places(&p) * patch_size(&p);
}

static void transposed_forward(const hm_model *model, const hm_net_layer *layer, hm_pass *pass, int at)
{
    patches p = transposed_patches(layer);
    int64_t places = pass->rows * grid_places(&p);
    hm_product((hm_matrix){pass->at[at], places, layer->in.channels}, &layer->up, pass->kept[at]);
    from_columns(&p, pass->rows, pass->kept[at], pass->at[at + 1]);
    add_bias(model, layer, (pass->rows - pass->tangents) * layer->out.height * layer->out.width, pass->at[at + 1]);
}

static void transposed_backward(const hm_model *model, const hm_net_layer *layer, hm_pass *pass, int at,
                                hm_shard *shard, float *more, float *input)
{
    patches p = transposed_patches(layer);
    int64_t places = pass->rows * grid_places(&p);
    hm_matrix columns = {pass->kept[at], places, patch_size(&p)};
    (void)more;
    to_columns(&p, pass->rows, pass->delta, columns.at);
    if (!pass->frozen) {
        shard->outer[layer->tensor[0]] = (hm_outer){{pass->at[at], places, layer->in.channels}, columns};
        add_bias_gradient(model, layer, (pass->rows - pass->tangents) * layer->out.height * layer->out.width,
                          pass->delta, shard);
    }
    if (input) hm_product(columns, &layer->down, input);
}

const hm_layer_class hm_layer_transposed_conv = {
    .name = "transposed_conv",
    .usage = "transposed_conv CHANNELS SIZE [stride S] [pad P] [init glorot|he|orthogonal|normal STD]",
    .tangents = true,
    .describe = "the transpose of a convolution: images grow by the stride",
    .read = transposed_read,
    .declare = transposed_declare,
    .allocate = transposed_allocate,
    .init = conv_init,
    .refresh = refresh,
    .keeps = transposed_keeps,
    .forward = transposed_forward,
    .backward = transposed_backward,
};
