/* Minibatch discrimination (Salimans et al. 2016, section 3.2), against generators that make one thing: the layer adds
 * to a row x_i how close others of the batch are to it,
 *
 *   M_i = x_i T, B groups of C numbers,   o_ib = sum over j of exp(-|M_ib - M_jb|_1),   y_i = [x_i, o_i].
 *
 * The batch are the rows of a shard, and of one part of a pass: real ones, or made ones.
 */
#include "nets/net.h"

#include "core/kernels.h"

#include <math.h>
#include <string.h>

static int64_t inputs(const hm_net_layer *layer) { return hm_shape_size(layer->in); }

static hm_status read(hm_net_layer *layer, char *words)
{
    HM_TRY(hm_next_integer(layer, &words, "GROUPS", 1, 10000, &layer->units));
    HM_TRY(hm_next_integer(layer, &words, "SIZE", 1, 10000, &layer->pieces));
    layer->out = (hm_shape){1, 1, inputs(layer) + layer->units};
    return hm_read_init(layer, words);
}

static int64_t columns_of(const hm_net_layer *layer) { return layer->units * layer->pieces; }

static hm_status declare(hm_model *model, const hm_net *net, hm_net_layer *layer)
{
    return hm_layer_tensor(model, net, layer, "T",
                           (hm_tensor){.dims = 2,
                                       .shape = {inputs(layer), columns_of(layer)},
                                       .axes = {"in", "out"},
                                       .decays = true,
                                       .products = true,
                                       .description = "projections of minibatch discrimination"});
}

static hm_status allocate(hm_net_layer *layer)
{
    HM_TRY(hm_packed_init(&layer->up, inputs(layer), columns_of(layer)));
    return hm_packed_init(&layer->down, columns_of(layer), inputs(layer));
}

static hm_status init(hm_model *model, const hm_net_layer *layer, uint64_t seed)
{
    return hm_init_weights(model, layer, seed, inputs(layer), columns_of(layer));
}

static void refresh(hm_model *model, hm_net_layer *layer)
{
    hm_matrix T = hm_layer_matrix(model, layer, 0);
    hm_pack_both(&layer->up, &layer->down, T, model->team);
}

static int64_t keeps(const hm_net_layer *layer, int64_t rows) { return rows * columns_of(layer); }
static int64_t takes(const hm_net_layer *layer, int64_t rows) { return rows * columns_of(layer); }

/* Rows of a pass that are compared with one another: part p of them. */
static hm_range part_of(const hm_pass *pass, int part)
{
    int64_t rows = pass->rows / hm_parts(pass);
    return (hm_range){part * rows, (part + 1) * rows};
}

static float closeness(int64_t size, const float *a, const float *b)
{
    double distance = 0;
    for (int64_t c = 0; c < size; c++) distance += fabs((double)a[c] - (double)b[c]);
    return (float)exp(-distance);
}

/* Both rows are as close to each other: each is added to in the order of the others. */
static void add_closeness(const hm_net_layer *layer, const float *M, int64_t i, int64_t j, float *y)
{
    int64_t in = inputs(layer), B = layer->units, C = layer->pieces, width = in + B;
    for (int64_t b = 0; b < B; b++) {
        float close = closeness(C, M + (i * B + b) * C, M + (j * B + b) * C);
        y[i * width + in + b] += close;
        y[j * width + in + b] += close;
    }
}

static void forward(const hm_model *model, const hm_net_layer *layer, hm_pass *pass, int at)
{
    int64_t in = inputs(layer), B = layer->units, width = in + B;
    float *M = pass->kept[at], *y = pass->at[at + 1];
    (void)model;
    hm_product((hm_matrix){pass->at[at], pass->rows, in}, &layer->up, M);
    for (int64_t row = 0; row < pass->rows; row++) {
        memcpy(y + row * width, pass->at[at] + row * in, (size_t)in * sizeof(float));
        memset(y + row * width + in, 0, (size_t)B * sizeof(float));
    }
    for (int part = 0; part < hm_parts(pass); part++) {
        hm_range rows = part_of(pass, part);
        for (int64_t i = rows.begin; i < rows.end; i++)
            for (int64_t j = i + 1; j < rows.end; j++) add_closeness(layer, M, i, j, y);
    }
}

/* dM_i = - sum over j of (do_i + do_j) o_ij sign(M_i - M_j); the pair's part of dM_i and dM_j. */
static void add_pair(const hm_net_layer *layer, const hm_pass *pass, int at, int64_t i, int64_t j, float *dM)
{
    int64_t in = inputs(layer), B = layer->units, C = layer->pieces, width = in + B;
    for (int64_t b = 0; b < B; b++) {
        const float *mine = pass->kept[at] + (i * B + b) * C, *other = pass->kept[at] + (j * B + b) * C;
        float both = pass->delta[i * width + in + b] + pass->delta[j * width + in + b];
        float pull = both * closeness(C, mine, other);
        for (int64_t c = 0; c < C; c++) {
            float away = mine[c] > other[c] ? pull : mine[c] < other[c] ? -pull : 0.0f;
            dM[(i * B + b) * C + c] -= away;
            dM[(j * B + b) * C + c] += away;
        }
    }
}

static void backward(const hm_model *model, const hm_net_layer *layer, hm_pass *pass, int at, hm_shard *shard,
                     float *more, float *input)
{
    int64_t in = inputs(layer), width = in + layer->units;
    hm_matrix x = {pass->at[at], pass->rows, in}, dM = {more, pass->rows, columns_of(layer)};
    (void)model;
    memset(dM.at, 0, (size_t)(dM.rows * dM.columns) * sizeof(float));
    for (int part = 0; part < hm_parts(pass); part++) {
        hm_range rows = part_of(pass, part);
        for (int64_t i = rows.begin; i < rows.end; i++)
            for (int64_t j = i + 1; j < rows.end; j++) add_pair(layer, pass, at, i, j, dM.at);
    }
    if (!pass->frozen) shard->outer[layer->tensor[0]] = (hm_outer){x, dM};
    if (!input) return;
    hm_product(dM, &layer->down, input);
    for (int64_t row = 0; row < pass->rows; row++)
        hm_kernels_best()->add(in, input + row * in, pass->delta + row * width, input + row * in);
}

const hm_layer_class hm_layer_minibatch = {
    .name = "minibatch",
    .usage = "minibatch GROUPS SIZE [init ...]",
    .describe = "adds how close other rows of the shard are (minibatch discrimination, Salimans et al. 2016)",
    .critic_only = true,
    .read = read,
    .declare = declare,
    .allocate = allocate,
    .init = init,
    .refresh = refresh,
    .keeps = keeps,
    .takes = takes,
    .forward = forward,
    .backward = backward,
};
