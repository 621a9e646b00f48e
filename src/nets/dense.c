/* Layers with dense weights:
 *
 *   dense    y = x W + b                           dW = x' dy,   db = sum of dy,   dx = dy W'
 *   maxout   y_u = max over p of (x W + b)_(u, p)   (Goodfellow et al. 2013): dense for the piece that won
 */
#include "nets/net.h"

#include "core/kernels.h"
#include "core/product.h"

#include <string.h>

static int64_t outputs(const hm_net_layer *layer) { return layer->units * layer->pieces; }

static hm_status declare(hm_model *model, const hm_net *net, hm_net_layer *layer)
{
    int64_t in = hm_shape_size(layer->in), out = outputs(layer);
    HM_TRY(hm_layer_tensor(model, net, layer, "W",
                           (hm_tensor){.dims = 2,
                                       .shape = {in, out},
                                       .axes = {"in", "out"},
                                       .decays = true,
                                       .products = true,
                                       .description = "weights of a dense layer"}));
    return hm_layer_tensor(
        model, net, layer, "b",
        (hm_tensor){.dims = 1, .shape = {out}, .axes = {"out"}, .description = "biases of a dense layer"});
}

static hm_status allocate(hm_net_layer *layer)
{
    int64_t in = hm_shape_size(layer->in), out = outputs(layer);
    HM_TRY(hm_packed_init(&layer->up, in, out));
    return hm_packed_init(&layer->down, out, in);
}

static hm_status init(hm_model *model, const hm_net_layer *layer, uint64_t seed)
{
    return hm_init_weights(model, layer, seed, hm_shape_size(layer->in), outputs(layer));
}

static void refresh(hm_model *model, hm_net_layer *layer)
{
    hm_matrix W = hm_layer_matrix(model, layer, 0);
    hm_pack_both(&layer->up, &layer->down, W, model->team);
}

/* out (rows, outputs) = x W + b; of tangents, x W. */
static void affine(const hm_model *model, const hm_net_layer *layer, hm_matrix x, int64_t tangents, float *out)
{
    const float *b = hm_layer_matrix(model, layer, 1).at;
    int64_t columns = outputs(layer);
    hm_product(x, &layer->up, out);
    for (int64_t row = 0; row < x.rows - tangents; row++)
        hm_kernels_best()->add(columns, out + row * columns, b, out + row * columns);
}

static void affine_back(const hm_model *model, const hm_net_layer *layer, const hm_pass *pass, hm_matrix x,
                        float *delta, hm_shard *shard, float *input)
{
    hm_matrix out = {delta, x.rows, outputs(layer)};
    if (!pass->frozen) {
        shard->outer[layer->tensor[0]] = (hm_outer){x, out};
        hm_kernels_best()->add_columns(x.rows - pass->tangents, out.columns, delta, 1.0f,
                                       hm_shard_direct(shard, &model->layout, layer->tensor[1]));
    }
    if (input) hm_product(out, &layer->down, input);
}

static hm_matrix input_of(const hm_net_layer *layer, const hm_pass *pass, int at)
{
    return (hm_matrix){pass->at[at], pass->rows, hm_shape_size(layer->in)};
}

/* ---- dense ------------------------------------------------------------------------------------------------------ */

static hm_status dense_read(hm_net_layer *layer, char *words)
{
    HM_TRY(hm_next_integer(layer, &words, "UNITS", 1, 1000000, &layer->units));
    layer->pieces = 1;
    layer->out = (hm_shape){1, 1, layer->units};
    return hm_read_init(layer, words);
}

static void dense_forward(const hm_model *model, const hm_net_layer *layer, hm_pass *pass, int at)
{
    affine(model, layer, input_of(layer, pass, at), pass->tangents, pass->at[at + 1]);
}

static void dense_backward(const hm_model *model, const hm_net_layer *layer, hm_pass *pass, int at, hm_shard *shard,
                           float *more, float *input)
{
    (void)more;
    affine_back(model, layer, pass, input_of(layer, pass, at), pass->delta, shard, input);
}

const hm_layer_class hm_layer_dense = {
    .name = "dense",
    .usage = "dense UNITS [init glorot|he|orthogonal|normal STD]",
    .describe = "x W + b",
    .tangents = true,
    .read = dense_read,
    .declare = declare,
    .allocate = allocate,
    .init = init,
    .refresh = refresh,
    .forward = dense_forward,
    .backward = dense_backward,
};

/* ---- maxout ----------------------------------------------------------------------------------------------------- */

static hm_status maxout_read(hm_net_layer *layer, char *words)
{
    HM_TRY(hm_next_integer(layer, &words, "UNITS", 1, 1000000, &layer->units));
    HM_TRY(hm_next_integer(layer, &words, "PIECES", 2, 1000, &layer->pieces));
    layer->out = (hm_shape){1, 1, layer->units};
    return hm_read_init(layer, words);
}

/* The pieces' values. */
static int64_t maxout_keeps(const hm_net_layer *layer, int64_t rows) { return rows * outputs(layer); }

static int64_t winner(const hm_net_layer *layer, const float *pieces)
{
    int64_t best = 0;
    for (int64_t piece = 1; piece < layer->pieces; piece++)
        if (pieces[piece] > pieces[best]) best = piece;
    return best;
}

static void maxout_forward(const hm_model *model, const hm_net_layer *layer, hm_pass *pass, int at)
{
    affine(model, layer, input_of(layer, pass, at), 0, pass->kept[at]);
    for (int64_t i = 0; i < pass->rows * layer->units; i++) {
        const float *pieces = pass->kept[at] + i * layer->pieces;
        pass->at[at + 1][i] = pieces[winner(layer, pieces)];
    }
}

static void maxout_backward(const hm_model *model, const hm_net_layer *layer, hm_pass *pass, int at, hm_shard *shard,
                            float *more, float *input)
{
    memset(more, 0, (size_t)(pass->rows * outputs(layer)) * sizeof(float));
    for (int64_t i = 0; i < pass->rows * layer->units; i++)
        more[i * layer->pieces + winner(layer, pass->kept[at] + i * layer->pieces)] = pass->delta[i];
    affine_back(model, layer, pass, input_of(layer, pass, at), more, shard, input);
}

const hm_layer_class hm_layer_maxout = {
    .name = "maxout",
    .usage = "maxout UNITS PIECES [init ...]",
    .describe = "the greatest of PIECES values x W + b for each unit (Goodfellow et al. 2013)",
    .read = maxout_read,
    .declare = declare,
    .allocate = allocate,
    .init = init,
    .refresh = refresh,
    .keeps = maxout_keeps,
    .takes = maxout_keeps,
    .forward = maxout_forward,
    .backward = maxout_backward,
};
