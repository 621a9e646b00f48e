#include "boltzmann/classifier.h"

#include "core/kernels.h"
#include "core/memory.h"
#include "nets/class_loss.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- tensors ---------------------------------------------------------------------------------------------------- */

static const char *const weight_names[] = {"", "N1", "N2", "N3", "N4", "N5", "N6", "N7"},
                         *const bias_names[] = {"", "e1", "e2", "e3", "e4", "e5", "e6", "e7"},
                         *const axis_names[] = {"",        "hidden1", "hidden2", "hidden3",
                                                "hidden4", "hidden5", "hidden6", "hidden7"},
                         *const input_names[] = {"",       "input1", "input2", "input3",
                                                 "input4", "input5", "input6", "input7"};

static int64_t inputs_of(const hm_classifier *net, int l) { return net->units[l - 1] + net->extra[l]; }

hm_status hm_classifier_declare(hm_model *model, int layers, const int64_t units[], bool with_marginals,
                                hm_classifier_sources sources)
{
    hm_classifier *net;
    HM_TRY(hm_alloc(&net, 1, sizeof *net, "a classifier"));
    model->classifier = net;
    net->layers = layers;
    net->sources = sources;
    for (int l = 0; l <= layers; l++) net->units[l] = units[l];
    for (int l = 1; with_marginals && l < layers; l++) net->extra[l] = units[l + 1];
    net->units[layers + 1] = model->classes;
    for (int l = 1; l <= layers + 1; l++) {
        bool top = l > layers;
        HM_TRY(hm_layout_add(
            &model->layout,
            (hm_tensor){.name = top ? "U" : weight_names[l],
                        .dims = 2,
                        .shape = {inputs_of(net, l), net->units[l]},
                        .axes = {top ? axis_names[layers] : input_names[l], top ? "class" : axis_names[l]},
                        .decays = true,
                        .products = true,
                        .description = top ? "classifier: weights of the softmax over classes"
                                           : "classifier: weights into a hidden layer, from the layer "
                                             "below and, in a DBM, the marginals of the one above"},
            &net->weights[l]));
    }
    return HM_OK;
}

hm_status hm_classifier_declare_biases(hm_model *model)
{
    hm_classifier *net = model->classifier;
    for (int l = 1; l <= net->layers + 1; l++) {
        bool top = l > net->layers;
        HM_TRY(hm_layout_add(&model->layout,
                             (hm_tensor){.name = top ? "d" : bias_names[l],
                                         .dims = 1,
                                         .shape = {net->units[l]},
                                         .axes = {top ? "class" : axis_names[l]},
                                         .description = "classifier: biases"},
                             &net->biases[l]));
    }
    return HM_OK;
}

hm_status hm_classifier_allocate(hm_model *model)
{
    hm_classifier *net = model->classifier;
    for (int l = 1; l <= net->layers + 1; l++) {
        HM_TRY(hm_packed_init(&net->up[l], inputs_of(net, l), net->units[l]));
        if (l > 1) HM_TRY(hm_packed_init(&net->down[l], net->units[l], net->units[l - 1]));
    }
    return HM_OK;
}

void hm_classifier_free(hm_model *model)
{
    hm_classifier *net = model->classifier;
    if (!net) return;
    for (int l = 1; l <= net->layers + 1; l++) {
        hm_packed_free(&net->up[l]);
        hm_packed_free(&net->down[l]);
    }
    free(net);
    model->classifier = NULL;
}

static hm_matrix weights_of(const hm_model *model, int l)
{
    return hm_pack_matrix(&model->layout, model->params, model->classifier->weights[l]);
}

void hm_classifier_refresh(hm_model *model)
{
    hm_classifier *net = model->classifier;
    for (int l = 1; l <= net->layers + 1; l++) {
        hm_matrix N = weights_of(model, l);
        hm_pack_both(&net->up[l], l > 1 ? &net->down[l] : NULL, N, model->team);
    }
}

bool hm_classifier_is_made(const hm_model *model)
{
    return model->classifier && hm_tensor_square(model, model->classifier->weights[1]) > 0;
}

/* Gives the network the stack's weights, unless it has been given some. */
static hm_status begin(hm_model *model, const hm_contrast_settings *how)
{
    const hm_classifier *net = model->classifier;
    int weights[HM_LAYERS_MAX + 1] = {0}, biases[HM_LAYERS_MAX + 1] = {0}, top = net->layers + 1;
    (void)how;
    if (hm_classifier_is_made(model)) return HM_OK;
    const float *variance = net->sources(model, weights, biases);
    hm_matrix U = weights_of(model, top);
    hm_stream stream = {.seed = model->seed, .purpose = HM_RNG_INIT, .step = (uint64_t)net->weights[top]};
    for (int l = 1; l <= net->layers; l++) {
        hm_matrix W = hm_pack_matrix(&model->layout, model->params, weights[l]), N = weights_of(model, l);
        hm_weights_upward(l == 1 ? variance : NULL, W, 1.0f, N.at);
        memcpy(hm_model_tensor(model, net->biases[l]), hm_model_tensor(model, biases[l]),
               (size_t)net->units[l] * sizeof(float));
        if (net->extra[l] == 0) continue;
        hm_matrix above = hm_pack_matrix(&model->layout, model->params, weights[l + 1]);
        hm_kernels_best()->transpose(above.rows, above.columns, above.at, above.columns, N.at + W.rows * W.columns,
                                     N.columns);
    }
    for (int64_t i = 0; i < U.rows; i++)
        for (int64_t j = 0; j < U.columns; j++)
            U.at[i * U.columns + j] = (float)(0.01 * hm_random_normal(&stream, i, j));
    model->class->refresh(model);
    return HM_OK;
}

/* ---- forward ---------------------------------------------------------------------------------------------------- */

/* What back-propagation needs again. */
typedef struct activations {
    int64_t rows;
    float *input[HM_LAYERS_MAX + 1]; /* [l] (rows, inputs of layer l), dropout applied; [1] begins with v */
    float *x[HM_LAYERS_MAX + 1];     /* [l] (rows, units): sigmoid, before dropout; [L + 1] probabilities */
} activations;

static size_t activations_bytes(const hm_classifier *net, int64_t rows)
{
    size_t bytes = 0;
    for (int l = 1; l <= net->layers + 1; l++)
        bytes += hm_arena_bytes(rows * inputs_of(net, l)) + hm_arena_bytes(rows * net->units[l]);
    return bytes;
}

/* Columns of all marginals that are inputs of layers below l. */
static int64_t marginal_column(const hm_classifier *net, int l)
{
    int64_t columns = 0;
    for (int below = 1; below < l; below++) columns += net->extra[below];
    return columns;
}

static int64_t marginal_columns(const hm_classifier *net) { return marginal_column(net, net->layers + 1); }

static size_t marginals_bytes(const hm_model *model, int64_t rows)
{
    size_t bytes = hm_arena_bytes(rows * marginal_columns(model->classifier));
    if (!model->classifier->marginals) return bytes;
    for (int l = 0; l < model->machine->layers; l++) bytes += hm_arena_bytes(rows * model->machine->layer[l].units);
    return bytes + model->classifier->marginals_bytes(model, rows);
}

/* marginals (rows, marginal_columns) of rows v, lowest layer first; none when there are none. */
static hm_status find_marginals(const hm_model *model, hm_matrix v, hm_arena *scratch, hm_matrix marginals)
{
    const hm_classifier *net = model->classifier;
    hm_states states = {.rows = v.rows};
    size_t mark = scratch->used;
    if (marginals.columns == 0) return HM_OK;
    for (int l = 0; l < model->machine->layers; l++)
        HM_TRY(hm_arena_floats(scratch, v.rows * model->machine->layer[l].units, &states.at[l]));
    HM_TRY(net->marginals(model, v, scratch, &states));
    for (int l = 1; l < net->layers; l++)
        for (int64_t row = 0; row < v.rows; row++)
            memcpy(marginals.at + row * marginals.columns + marginal_column(net, l),
                   states.at[l + 1] + row * net->extra[l], (size_t)net->extra[l] * sizeof(float));
    scratch->used = mark;
    return HM_OK;
}

static hm_status alloc_marginals(const hm_model *model, int64_t rows, hm_arena *scratch, hm_matrix *marginals)
{
    *marginals = (hm_matrix){NULL, rows, marginal_columns(model->classifier)};
    return hm_arena_floats(scratch, rows * marginals->columns, &marginals->at);
}

/* input of layer l = [x, m_{l+1}]. */
static void join(const hm_classifier *net, int l, const float *x, hm_matrix marginals, float *input)
{
    int64_t own = net->units[l - 1], extra = net->extra[l], width = own + extra;
    for (int64_t row = 0; row < marginals.rows; row++) {
        memcpy(input + row * width, x + row * own, (size_t)own * sizeof(float));
        if (extra > 0)
            memcpy(input + row * width + own, marginals.at + row * marginals.columns + marginal_column(net, l),
                   (size_t)extra * sizeof(float));
    }
}

/* Inputs of layer l that are dropped in this update are 0, the others 1 / keep times as large (Srivastava et al. 2014).
 * values: (rows, width), units of layer l - 1 and, where the width has room for them, marginals, which are of hidden
 * units too. */
static hm_status drop(const hm_classifier *net, int l, const hm_shard *shard, int64_t width, float *values)
{
    int64_t own = net->units[l - 1];
    size_t mark = shard->scratch->used;
    hm_stream stream = hm_dropout_stream(shard, l - 1);
    float keep_hidden = (float)(1 - shard->how->dropout), *uniform;
    float keep_own = l == 1 ? (float)(1 - shard->how->dropout_visible) : keep_hidden;
    if (keep_own == 1 && (keep_hidden == 1 || width == own)) return HM_OK;
    HM_TRY(hm_arena_floats(shard->scratch, width, &uniform));
    for (int64_t row = 0; row < shard->data.rows; row++) {
        hm_kernels_best()->uniform(&stream, shard->first_row + row, width, uniform);
        hm_kernels_best()->drop(own, uniform, keep_own, values + row * width);
        hm_kernels_best()->drop(width - own, uniform + own, keep_hidden, values + row * width + own);
    }
    shard->scratch->used = mark;
    return HM_OK;
}

/* shard: for dropout, or NULL. */
static hm_status forward(const hm_model *model, hm_matrix v, hm_matrix marginals, const hm_shard *shard,
                         hm_arena *scratch, activations *a)
{
    const hm_classifier *net = model->classifier;
    const float *below = v.at;
    a->rows = v.rows;
    for (int l = 1; l <= net->layers + 1; l++) {
        int64_t width = inputs_of(net, l), units = net->units[l];
        const float *bias = hm_model_tensor(model, net->biases[l]);
        HM_TRY(hm_arena_floats(scratch, v.rows * width, &a->input[l]));
        HM_TRY(hm_arena_floats(scratch, v.rows * units, &a->x[l]));
        join(net, l, below, marginals, a->input[l]);
        if (shard) HM_TRY(drop(net, l, shard, width, a->input[l]));
        hm_product((hm_matrix){a->input[l], v.rows, width}, &net->up[l], a->x[l]);
        if (l <= net->layers)
            hm_kernels_best()->activate(v.rows, units, a->x[l], 1.0f, bias, a->x[l], NULL, NULL, 0);
        else
            hm_softmax(v.rows, units, bias, a->x[l]);
        below = a->x[l];
    }
    return HM_OK;
}

size_t hm_classify_bytes(const hm_model *model, int64_t rows)
{
    return activations_bytes(model->classifier, rows) + marginals_bytes(model, rows);
}

hm_status hm_classify(const hm_model *model, hm_matrix v, hm_arena *scratch, float *out)
{
    hm_matrix marginals;
    activations a = {0};
    HM_TRY(alloc_marginals(model, v.rows, scratch, &marginals));
    HM_TRY(find_marginals(model, v, scratch, marginals));
    HM_TRY(forward(model, v, marginals, NULL, scratch, &a));
    memcpy(out, a.x[model->classifier->layers + 1], (size_t)(v.rows * model->classes) * sizeof(float));
    return HM_OK;
}

/* ---- training --------------------------------------------------------------------------------------------------- */

static hm_status check(const hm_model *model, const hm_contrast_settings *how)
{
    HM_REQUIRE(model->classes > 0, HM_EUSAGE,
               "objective classify needs classes: set model.classes (10 for the digits)");
    HM_REQUIRE(
        model->classifier, HM_EUSAGE,
        "objective classify puts a softmax on top, and label units are in its place; leave model.label_units out");
    HM_REQUIRE(how->layer >= 0 && how->layer <= model->classifier->layers + 1, HM_EUSAGE,
               "objective classify: `layer`, the lowest that learns, must be 0 to %d, not %lld",
               model->classifier->layers + 1, (long long)how->layer);
    HM_REQUIRE(model->machine->layer[1].unit == HM_BERNOULLI, HM_EUSAGE,
               "objective classify unrolls bernoulli hidden units to sigmoids; the hidden units are %s",
               hm_unit_names[model->machine->layer[1].unit]);
    return HM_OK;
}

static bool learns(const hm_model *model, const hm_contrast_settings *how, int tensor)
{
    const hm_classifier *net = model->classifier;
    for (int l = how->layer > 0 ? (int)how->layer : 1; l <= net->layers + 1; l++)
        if (tensor == net->weights[l] || tensor == net->biases[l]) return true;
    return false;
}

static size_t training_bytes(const hm_model *model, const hm_contrast_settings *how, int shards, int64_t rows,
                             int64_t chains)
{
    const hm_classifier *net = model->classifier;
    size_t bytes = hm_arena_bytes(rows * model->visible) + hm_classify_bytes(model, rows);
    (void)how, (void)shards, (void)chains;
    for (int l = 0; l <= net->layers + 1; l++) bytes += 2 * hm_arena_bytes(rows * net->units[l]);
    for (int l = 1; l <= net->layers + 1; l++) bytes += hm_arena_bytes(inputs_of(net, l)); /* dropout's draws */
    return bytes;
}

static hm_status visible_of(const hm_model *model, const hm_shard *shard, hm_matrix *v)
{
    *v = (hm_matrix){NULL, shard->data.rows, model->visible};
    HM_TRY(hm_arena_floats(shard->scratch, v->rows * v->columns, &v->at));
    hm_shard_visible(model, shard, v->at);
    return HM_OK;
}

/* Marginals take more products than the network, so that they are not found shard by shard. */
static int64_t inferred_columns(const hm_model *model, const hm_contrast_settings *how)
{
    (void)how;
    return marginal_columns(model->classifier);
}

static size_t infer_bytes(const hm_model *model, const hm_contrast_settings *how, int64_t rows)
{
    (void)how;
    return hm_arena_bytes(rows * model->visible) + marginals_bytes(model, rows);
}

static hm_status infer_rows(const hm_model *model, hm_shard *part)
{
    hm_matrix v;
    HM_TRY(visible_of(model, part, &v));
    return find_marginals(model, v, part->scratch, part->inferred);
}

static const hm_inference inference = {.columns = inferred_columns, .scratch_bytes = infer_bytes, .infer = infer_rows};

/* delta (rows, units of l - 1) = (above N_l') x (1 - x), dropped units left out. */
static hm_status back(const hm_model *model, const hm_shard *shard, const activations *a, int l, const float *above,
                      float **delta)
{
    const hm_classifier *net = model->classifier;
    int64_t size = a->rows * net->units[l - 1];
    const float *x = a->x[l - 1];
    HM_TRY(hm_arena_floats(shard->scratch, size, delta));
    hm_product((hm_matrix){(float *)above, a->rows, net->units[l]}, &net->down[l], *delta);
    HM_TRY(drop(net, l, shard, net->units[l - 1], *delta));
    for (int64_t i = 0; i < size; i++) (*delta)[i] *= x[i] * (1 - x[i]);
    return HM_OK;
}

static hm_status gradient(const hm_model *model, hm_shard *shard)
{
    const hm_classifier *net = model->classifier;
    int top = net->layers + 1;
    hm_matrix v, marginals = shard->inferred;
    activations a = {0};
    float *delta;
    marginals.rows = shard->data.rows;
    HM_TRY(visible_of(model, shard, &v));
    HM_TRY(forward(model, v, marginals, shard, shard->scratch, &a));
    HM_TRY(hm_arena_floats(shard->scratch, a.rows * model->classes, &delta));
    hm_class_delta(model, shard, a.x[top], delta);
    for (int l = top; l >= 1; l--) {
        if (!learns(model, shard->how, net->weights[l])) break;
        shard->outer[net->weights[l]] =
            (hm_outer){.a = {a.input[l], a.rows, inputs_of(net, l)}, .b = {delta, a.rows, net->units[l]}};
        hm_kernels_best()->add_columns(a.rows, net->units[l], delta, 1.0f,
                                       hm_shard_direct(shard, &model->layout, net->biases[l]));
        if (l > 1) HM_TRY(back(model, shard, &a, l, delta, &delta));
    }
    return HM_OK;
}

static hm_status monitor(const hm_model *model, hm_shard *shard)
{
    hm_matrix v;
    float *probs;
    HM_TRY(visible_of(model, shard, &v));
    HM_TRY(hm_arena_floats(shard->scratch, v.rows * model->classes, &probs));
    HM_TRY(hm_classify(model, v, shard->scratch, probs));
    hm_class_monitor(model, shard, probs, shard->monitors);
    return HM_OK;
}

const hm_objective hm_classify_objective = {
    .name = "classify",
    .describe = "log p(label | v) of the network that the layers unroll to, by back-propagation",
    .reads = " layer dropout dropout_visible ",
    .monitors = hm_class_monitors,
    .check = check,
    .begin = begin,
    .learns = learns,
    .inference = &inference,
    .scratch_bytes = training_bytes,
    .gradient = gradient,
    .monitor = monitor,
};
