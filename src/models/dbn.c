/* The deep belief network (Hinton, Osindero, Teh 2006): an RBM on top, and below it layers of sigmoid units, each drawn
 * from the one above,
 *
 *   p(v, h_1 .. h_L) = p(v | h_1) p(h_1 | h_2) .. p(h_{L-2} | h_{L-1}) p_top(h_{L-1}, h_L),
 *   p(h_{l} = 1 | h_{l+1}) = sigmoid(W_{l+1} h_{l+1} + g_l)                                      (h_0 = v, g_0 = b)
 *   q(h_{l+1} = 1 | h_l) = sigmoid(h_l R_{l+1} + c_{l+1})                                        recognition, upward
 *
 * (Goodfellow, Bengio, Courville 2016, section 20.3.) Layer by layer it is a stack of RBMs, each with W, lower biases g
 * and upper biases c, and R = W; the up-down algorithm gives recognition weights of their own. Labels may be visible
 * units of the top RBM. What is known of log p(v) is
 *
 *   log p(v) >= E_q[log p(v | h_1) + .. + log p*_top(h_{L-1}) - log q(h_1 .. h_{L-1} | v)] - log Z_top.
 */
#include "boltzmann/classifier.h"
#include "boltzmann/gradient.h"
#include "boltzmann/labels.h"
#include "boltzmann/machine.h"
#include "boltzmann/pretrain.h"
#include "core/kernels.h"
#include "core/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- settings and tensors --------------------------------------------------------------------------------------- */

typedef struct dbn_settings {
    hm_reals hidden;
    double init_std;
    int64_t classes;
    bool labels, transpose;
    int64_t draws;
} dbn_settings;

#define FIELD(NAME) .offset = offsetof(dbn_settings, NAME)
static const hm_setting dbn_entries[] = {
    {.key = "hidden",
     .type = HM_SET_REALS,
     FIELD(hidden),
     .min = 1,
     .max = 1e6,
     .describe = "hidden units of each layer, from the lowest; two layers at least"},
    {.key = "init_std",
     .type = HM_SET_REAL,
     FIELD(init_std),
     .min = 0,
     .max = 10,
     .fallback = "0.01",
     .describe = "standard deviation of the initial weights"},
    {.key = "transpose",
     .type = HM_SET_BOOL,
     FIELD(transpose),
     .fallback = "true",
     .describe = "a layer as large as the one two below starts from the transposed weights between them, so that the "
                 "bound cannot fall"},
    {.key = "classes",
     .type = HM_SET_INT,
     FIELD(classes),
     .min = 0,
     .max = 100000,
     .fallback = "0",
     .describe = "classes of labels; 0: the data's labels are not read"},
    {.key = "label_units",
     .type = HM_SET_BOOL,
     FIELD(labels),
     .fallback = "false",
     .describe = "the classes are visible units of the top RBM, one softmax group (else a softmax on the top layer)"},
    {.key = "bound_draws",
     .type = HM_SET_INT,
     FIELD(draws),
     .min = 1,
     .max = 1e6,
     .fallback = "8",
     .free = true,
     .describe = "draws of the hidden layers of each row, for the lower bound of its log-probability"},
    {.key = NULL},
};
#undef FIELD

/* The RBMs of the stack, from the lowest; the top one is model->machine. */
typedef struct dbn_state {
    int pairs;
    hm_machine pair[HM_LAYERS_MAX];
    int recognition[HM_LAYERS_MAX]; /* tensors R of the directed layers: pairs but the top one */
    hm_packed up[HM_LAYERS_MAX];    /* R, packed; of W while R has not been given weights */
    bool untied;                    /* R has */
} dbn_state;

static const dbn_settings *settings_of(const hm_model *model) { return model->settings; }
static dbn_state *state_of(const hm_model *model) { return model->state; }
static int top_of(const hm_model *model) { return state_of(model)->pairs - 1; }
static hm_machine pair_of(const hm_model *model, int l) { return state_of(model)->pair[l]; }
static int64_t classes_of(const void *settings) { return ((const dbn_settings *)settings)->classes; }

static hm_status dbn_check(const void *settings)
{
    const dbn_settings *dbn = settings;
    HM_REQUIRE(dbn->hidden.count >= 2 && dbn->hidden.count < HM_LAYERS_MAX, HM_EUSAGE,
               "hidden: %lld layers; a deep belief network has 2 to %d, as [500, 500, 2000]",
               (long long)dbn->hidden.count, HM_LAYERS_MAX - 1);
    for (int64_t l = 0; l < dbn->hidden.count; l++)
        HM_REQUIRE(dbn->hidden.at[l] == floor(dbn->hidden.at[l]), HM_EUSAGE, "hidden: %g is not a number of units",
                   dbn->hidden.at[l]);
    HM_REQUIRE(!dbn->labels || dbn->classes > 0, HM_EUSAGE, "label_units are those of classes: set model.classes");
    return HM_OK;
}

static const char *const
    weight_names[] = {"W1", "W2", "W3", "W4", "W5", "W6", "W7"},
    *const recognition_names[] = {"R1", "R2", "R3", "R4", "R5", "R6", "R7"}, *const lower_names[] = {"b",  "g1", "g2",
                                                                                                     "g3", "g4", "g5",
                                                                                                     "g6"},
    *const upper_names[] = {"c1", "c2", "c3", "c4", "c5", "c6", "c7"}, *const lower_means[] = {"mu",  "mu1", "mu2",
                                                                                               "mu3", "mu4", "mu5",
                                                                                               "mu6"},
    *const upper_means[] = {"lambda1", "lambda2", "lambda3", "lambda4", "lambda5", "lambda6", "lambda7"},
    *const axes[] = {"visible", "hidden1", "hidden2", "hidden3", "hidden4", "hidden5", "hidden6", "hidden7"};

static hm_status add_vector(hm_model *model, const char *name, const char *axis, int64_t units, hm_role role,
                            const char *description, int *index)
{
    return hm_layout_add(
        &model->layout,
        (hm_tensor){
            .name = name, .dims = 1, .shape = {units}, .axes = {axis}, .role = role, .description = description},
        index);
}

static hm_status add_matrix(hm_model *model, const char *name, const char *lower, const hm_machine *pair, int upper,
                            const char *description, int *index)
{
    return hm_layout_add(&model->layout,
                         (hm_tensor){.name = name,
                                     .dims = 2,
                                     .shape = {pair->layer[0].units, pair->layer[1].units},
                                     .axes = {lower, axes[upper]},
                                     .decays = true,
                                     .products = true,
                                     .description = description},
                         index);
}

static hm_status declare_pair(hm_model *model, int l)
{
    dbn_state *dbn = state_of(model);
    hm_machine *pair = &dbn->pair[l];
    const hm_reals *hidden = &settings_of(model)->hidden;
    bool top = l + 1 == dbn->pairs, labels = top && settings_of(model)->labels;
    const char *lower = labels ? "top_visible" : axes[l];
    *pair = (hm_machine){.layers = 2, .up_scale = 1, .down_scale = 1};
    pair->layer[0].labels = labels ? model->classes : 0;
    pair->layer[0].units = (l == 0 ? model->visible : (int64_t)hidden->at[l - 1]) + pair->layer[0].labels;
    pair->layer[1].units = (int64_t)hidden->at[l];
    pair->layer[0].log_variance = pair->layer[1].log_variance = -1;
    HM_TRY(add_matrix(model, weight_names[l], lower, pair, l + 1, "weights of an RBM of the stack, downward",
                      &pair->weights[0]));
    if (!top)
        HM_TRY(add_matrix(model, recognition_names[l], lower, pair, l + 1,
                          "recognition weights upward; 0 while they are the weights downward", &dbn->recognition[l]));
    HM_TRY(add_vector(model, lower_names[l], lower, pair->layer[0].units, HM_LEARNT, "biases downward",
                      &pair->layer[0].bias));
    HM_TRY(add_vector(model, upper_names[l], axes[l + 1], pair->layer[1].units, HM_LEARNT, "biases upward",
                      &pair->layer[1].bias));
    HM_TRY(add_vector(model, lower_means[l], lower, pair->layer[0].units, HM_RUNNING,
                      "running mean of a layer under the data", &pair->layer[0].mean));
    HM_TRY(add_vector(model, upper_means[l], axes[l + 1], pair->layer[1].units, HM_RUNNING,
                      "running mean of a layer under the data", &pair->layer[1].mean));
    pair->base_rate = pair->layer[0].mean;
    return HM_OK;
}

static hm_status dbn_declare(hm_model *model)
{
    const hm_reals *hidden = &settings_of(model)->hidden;
    int64_t units[HM_LAYERS_MAX] = {model->visible};
    HM_TRY(dbn_check(model->settings));
    HM_TRY(hm_alloc(&model->state, 1, sizeof(dbn_state), "a deep belief network"));
    dbn_state *dbn = state_of(model);
    dbn->pairs = (int)hidden->count;
    for (int l = 0; l < dbn->pairs; l++) {
        HM_TRY(declare_pair(model, l));
        units[l + 1] = (int64_t)hidden->at[l];
    }
    model->machine = &dbn->pair[dbn->pairs - 1];
    if (model->classes == 0 || settings_of(model)->labels) return HM_OK;
    HM_TRY(hm_classifier_declare(model, dbn->pairs, units, false));
    return hm_classifier_declare_biases(model);
}

static hm_status dbn_allocate(hm_model *model)
{
    dbn_state *dbn = state_of(model);
    for (int l = 0; l < dbn->pairs; l++) {
        hm_machine *pair = &dbn->pair[l];
        HM_TRY(hm_packed_init(&pair->up[0], pair->layer[0].units, pair->layer[1].units));
        HM_TRY(hm_packed_init(&pair->down[0], pair->layer[1].units, pair->layer[0].units));
        if (l + 1 < dbn->pairs) HM_TRY(hm_packed_init(&dbn->up[l], pair->layer[0].units, pair->layer[1].units));
    }
    if (model->classifier) HM_TRY(hm_classifier_allocate(model));
    return hm_alloc(&model->machine->base_bias, model->machine->layer[0].units, sizeof(float), "base biases");
}

static void dbn_destroy(hm_model *model)
{
    dbn_state *dbn = state_of(model);
    hm_classifier_free(model);
    for (int l = 0; dbn && l < dbn->pairs; l++) {
        hm_packed_free(&dbn->pair[l].up[0]);
        hm_packed_free(&dbn->pair[l].down[0]);
        hm_packed_free(&dbn->up[l]);
    }
    if (dbn && model->machine) free(model->machine->base_bias);
    free(dbn);
    model->machine = NULL;
    model->state = NULL;
}

static float log_odds(float rate) { return (float)log((double)rate / (1.0 - (double)rate)); }

static hm_status dbn_init(hm_model *model, uint64_t seed, const float base_rates[])
{
    const dbn_state *dbn = state_of(model);
    double init_std = settings_of(model)->init_std;
    model->seed = seed;
    for (int l = 0; l < dbn->pairs; l++) {
        const hm_machine *pair = &dbn->pair[l];
        hm_matrix W = hm_pack_matrix(&model->layout, model->params, pair->weights[0]);
        hm_stream stream = {.seed = seed, .purpose = HM_RNG_INIT, .step = (uint64_t)pair->weights[0]};
        for (int64_t i = 0; i < W.rows; i++)
            for (int64_t j = 0; j < W.columns; j++)
                W.at[i * W.columns + j] = (float)(init_std * hm_random_normal(&stream, i, j));
        for (int side = 0; side < 2; side++)
            for (int64_t i = 0; i < pair->layer[side].units; i++)
                hm_model_tensor(model, pair->layer[side].mean)[i] = 0.5f;
    }
    for (int64_t i = 0; i < model->visible; i++) {
        HM_REQUIRE(base_rates[i] > 0 && base_rates[i] < 1, HM_EINTERNAL, "base rate %lld is %g, not inside (0, 1)",
                   (long long)i, (double)base_rates[i]);
        hm_model_tensor(model, dbn->pair[0].layer[0].bias)[i] = log_odds(base_rates[i]);
        hm_model_tensor(model, dbn->pair[0].layer[0].mean)[i] = base_rates[i];
    }
    return HM_OK;
}

static void dbn_refresh(hm_model *model)
{
    dbn_state *dbn = state_of(model);
    hm_machine *top = model->machine;
    for (int l = 0; l < dbn->pairs; l++) {
        hm_machine *pair = &dbn->pair[l];
        hm_matrix W = hm_pack_matrix(&model->layout, model->params, pair->weights[0]);
        hm_pack_weights(&pair->up[0], W, model->team);
        hm_pack_transposed(&pair->down[0], W, model->team);
        if (l + 1 == dbn->pairs) break;
        hm_matrix R = hm_pack_matrix(&model->layout, model->params, dbn->recognition[l]);
        dbn->untied = hm_kernels_best()->dot(R.rows * R.columns, R.at, R.at) > 0;
        hm_pack_weights(&dbn->up[l], dbn->untied ? R : W, model->team);
    }
    if (model->classifier) hm_classifier_refresh(model);
    /* The base distribution of AIS: the mean states of the top RBM's visible units, kept off 0 and 1. */
    int64_t own = top->layer[0].units - top->layer[0].labels;
    const float *mean = hm_model_tensor(model, top->layer[0].mean);
    for (int64_t i = 0; i < top->layer[0].units; i++) {
        float rate = fminf(fmaxf(mean[i], 0.001f), 0.999f);
        top->base_bias[i] = i < own ? log_odds(rate) : logf(rate);
    }
}

/* ---- upward and downward ---------------------------------------------------------------------------------------- */

/* The stack as recognition sees it: pairs with R in the place of W upward. */
static hm_machine upward_pair(const hm_model *model, int l)
{
    hm_machine pair = pair_of(model, l);
    if (l < top_of(model)) pair.up[0] = state_of(model)->up[l];
    return pair;
}

static size_t layers_bytes(const hm_model *model, int64_t rows)
{
    size_t bytes = 0;
    for (int l = 0; l < state_of(model)->pairs; l++) {
        hm_machine pair = pair_of(model, l);
        bytes += 2 * (hm_side_bytes(&pair, HM_EVEN, rows) + hm_layer_bytes(&pair, rows));
    }
    return bytes;
}

/* h_{L-1} of rows, drawn upward: into x (rows, columns of the top RBM's visible side); label units, if it has some, are
 * left 0. */
static hm_status enter_top(const hm_model *model, hm_matrix v, const hm_stream *stream, int64_t first_row,
                           hm_arena *scratch, hm_matrix x)
{
    const hm_layer *layer = &model->machine->layer[0];
    int64_t own = layer->units - layer->labels;
    size_t mark = scratch->used;
    float *drawn;
    HM_TRY(hm_arena_floats(scratch, v.rows * own, &drawn));
    HM_TRY(hm_draw_upward(model, v, top_of(model), upward_pair, stream->seed, stream->step, first_row, scratch, drawn));
    for (int64_t row = 0; row < v.rows; row++) {
        memset(x.at + row * x.columns, 0, (size_t)x.columns * sizeof(float));
        memcpy(x.at + row * x.columns, drawn + row * own, (size_t)own * sizeof(float));
    }
    scratch->used = mark;
    return HM_OK;
}

/* h_{L-1} down to the visible units: layers[l] (rows, units of layer l), l < L - 1, drawn; means of layer 0 too, if
 * wanted. `from` (rows, columns of the top RBM's visible side). */
static hm_status draw_downward(const hm_model *model, hm_matrix from, const hm_stream *stream, int64_t first_row,
                               hm_arena *scratch, float *const layers[], float *mean)
{
    const hm_layer *layer = &model->machine->layer[0];
    int64_t own = layer->units - layer->labels;
    float *above;
    HM_TRY(hm_arena_floats(scratch, from.rows * own, &above));
    for (int64_t row = 0; row < from.rows; row++)
        memcpy(above + row * own, from.at + row * from.columns, (size_t)own * sizeof(float));
    for (int l = top_of(model) - 1; l >= 0; l--) {
        hm_machine pair = pair_of(model, l);
        hm_states states = {.rows = from.rows, .at = {layers[l], above}}, means = {.at = {mean}};
        hm_draw draw = {stream->seed,
                        {(hm_purpose)stream->purpose, (hm_purpose)stream->purpose},
                        stream->step * HM_LAYERS_MAX + (uint64_t)l,
                        first_row};
        hm_half_step down = {.side = HM_EVEN, .from = &states, .sample = &states, .draw = &draw, .beta = 1};
        if (l == 0 && mean) down.prob = &means;
        HM_TRY(hm_machine_half(model, &pair, &down, scratch));
        above = layers[l];
    }
    return HM_OK;
}

static hm_status dbn_show(const hm_model *model, hm_matrix states, const hm_stream *stream, int64_t first_row,
                          hm_arena *scratch, float *sample, float *mean)
{
    float *layers[HM_LAYERS_MAX] = {sample};
    for (int l = 1; l < top_of(model); l++)
        HM_TRY(hm_arena_floats(scratch, states.rows * pair_of(model, l).layer[0].units, &layers[l]));
    return draw_downward(model, states, stream, first_row, scratch, layers, mean);
}

/* ---- the bound -------------------------------------------------------------------------------------------------- */

/* out[row] += sign * log of the probability of x (rows, units) under sigmoid(inputs + bias), inputs overwritten. */
static void add_log_probability(int64_t rows, int64_t units, const float *x, const float *inputs, const float *bias,
                                double sign, double out[])
{
    for (int64_t row = 0; row < rows; row++)
        for (int64_t i = 0; i < units; i++) {
            double z = (double)inputs[row * units + i] + (double)bias[i];
            /* x z - softplus(z): of grey values, the mean of a draw. */
            out[row] += sign * ((double)x[row * units + i] * z - (fmax(z, 0) + log1p(exp(-fabs(z)))));
        }
}

/* One draw of the bound: log p(v | h_1) .. + log p*_top(h_{L-1}) - log q. */
static hm_status draw_bound(const hm_model *model, hm_matrix v, uint64_t draw, hm_arena *scratch, double out[])
{
    size_t mark = scratch->used;
    hm_states top = {.rows = v.rows};
    float *x = v.at, *above, *inputs;
    for (int l = 0; l < top_of(model); l++) {
        hm_machine pair = pair_of(model, l), up = upward_pair(model, l);
        hm_draw stream = {0x5eed, {HM_RNG_UPWARD, HM_RNG_UPWARD}, draw * HM_LAYERS_MAX + (uint64_t)l, 0};
        HM_TRY(hm_arena_floats(scratch, v.rows * pair.layer[1].units, &above));
        HM_TRY(hm_arena_floats(scratch, v.rows * pair.layer[1].units, &inputs));
        hm_states states = {.rows = v.rows, .at = {x, above}};
        hm_half_step step = {.side = HM_ODD, .from = &states, .sample = &states, .draw = &stream, .beta = 1};
        HM_TRY(hm_machine_half(model, &up, &step, scratch));
        hm_product(hm_layer_of(&up, &states, 0), &up.up[0], inputs);
        add_log_probability(v.rows, pair.layer[1].units, above, inputs, hm_model_tensor(model, pair.layer[1].bias), -1,
                            out);
        HM_TRY(hm_arena_floats(scratch, v.rows * pair.layer[0].units, &inputs));
        hm_product(hm_layer_of(&pair, &states, 1), &pair.down[0], inputs);
        add_log_probability(v.rows, pair.layer[0].units, x, inputs, hm_model_tensor(model, pair.layer[0].bias), 1, out);
        x = above;
    }
    float *room;
    HM_TRY(hm_arena_floats(scratch, 2 * v.rows, &room));
    double *log_prob = (double *)(void *)room; /* arenas are aligned for any type */
    top.at[0] = x;
    if (model->machine->layer[0].labels > 0)
        HM_TRY(hm_labels_probability(model, model->machine,
                                     (hm_matrix){x, v.rows, model->machine->layer[0].units - model->classes}, scratch,
                                     log_prob, NULL));
    else
        HM_TRY(hm_side_log_prob(model, model->machine, HM_EVEN, &top, scratch, log_prob));
    for (int64_t row = 0; row < v.rows; row++) out[row] += log_prob[row];
    scratch->used = mark;
    return HM_OK;
}

static hm_status dbn_free_energy(const hm_model *model, hm_matrix v, hm_arena *scratch, double out[])
{
    int64_t draws = settings_of(model)->draws;
    memset(out, 0, (size_t)v.rows * sizeof out[0]);
    for (int64_t draw = 0; draw < draws; draw++) HM_TRY(draw_bound(model, v, (uint64_t)draw, scratch, out));
    for (int64_t row = 0; row < v.rows; row++) out[row] /= -(double)draws;
    return HM_OK;
}

static size_t dbn_sampling_bytes(const hm_model *model, int64_t rows)
{
    size_t bound =
        2 * layers_bytes(model, rows) + hm_arena_bytes(2 * rows) + hm_side_log_prob_bytes(model->machine, rows);
    if (model->machine->layer[0].labels > 0) bound += hm_labels_bytes(model->machine, rows);
    for (int l = 0; l < state_of(model)->pairs; l++)
        bound += 2 * hm_arena_bytes(rows * pair_of(model, l).layer[1].units);
    return hm_machine_gibbs_bytes(model, rows) + bound;
}

/* ---- layer-wise pre-training ------------------------------------------------------------------------------------ */

static int pair_index(const hm_contrast_settings *how) { return (int)how->layer - 1; }

/* Layer `layer` with its RBM; the top one with labels has rows of its own, and its own positive phase. */
static hm_status top_positive(const hm_model *model, const hm_machine *machine, hm_shard *shard,
                              const hm_states *states, const void *context)
{
    const hm_layer *layer = &machine->layer[0];
    int64_t own = layer->units - layer->labels;
    hm_stream stream = {shard->seed, HM_RNG_UPWARD, shard->step};
    hm_half_step up = {.side = HM_ODD, .from = states, .prob = states, .beta = 1};
    hm_matrix v = {NULL, shard->data.rows, model->visible};
    size_t mark = shard->scratch->used;
    (void)context;
    HM_TRY(hm_arena_floats(shard->scratch, v.rows * v.columns, &v.at));
    hm_shard_visible(model, shard, v.at);
    HM_TRY(enter_top(model, v, &stream, shard->first_row, shard->scratch,
                     (hm_matrix){states->at[0], v.rows, layer->units}));
    for (int64_t row = 0; row < v.rows; row++)
        memcpy(states->at[0] + row * layer->units + own, shard->data.at + row * shard->data.columns + model->visible,
               (size_t)layer->labels * sizeof(float));
    shard->scratch->used = mark;
    return hm_machine_half(model, machine, &up, shard->scratch);
}

static bool is_labelled_top(const hm_model *model, const hm_contrast_settings *how)
{
    return pair_index(how) == top_of(model) && model->machine->layer[0].labels > 0;
}

static hm_status pretrain_check(const hm_model *model, const hm_contrast_settings *how)
{
    return hm_pretrain_check(model, how, state_of(model)->pairs, pair_of);
}

static bool pretrain_learns(const hm_model *model, const hm_contrast_settings *how, int tensor)
{
    hm_machine pair = pair_of(model, pair_index(how));
    return hm_machine_has(&pair, tensor);
}

/* A layer of the size of the one two below starts as that RBM turned round: its visible biases are the other's hidden
 * ones, so that p_top(h) is what p(h) was (Hinton, Osindero, Teh 2006, section 4). */
static hm_status pretrain_begin(hm_model *model, const hm_contrast_settings *how)
{
    int l = pair_index(how);
    if (l == 0) return HM_OK;
    hm_machine lower = pair_of(model, l - 1), pair = pair_of(model, l);
    hm_matrix below = hm_pack_matrix(&model->layout, model->params, lower.weights[0]);
    hm_matrix W = hm_pack_matrix(&model->layout, model->params, pair.weights[0]);
    memcpy(hm_model_tensor(model, pair.layer[0].mean), hm_model_tensor(model, lower.layer[1].mean),
           (size_t)below.columns * sizeof(float));
    if (settings_of(model)->transpose && W.rows == below.columns && W.columns == below.rows) {
        hm_kernels_best()->transpose(below.rows, below.columns, below.at, below.columns, W.at, W.columns);
        memcpy(hm_model_tensor(model, pair.layer[0].bias), hm_model_tensor(model, lower.layer[1].bias),
               (size_t)W.rows * sizeof(float));
        memcpy(hm_model_tensor(model, pair.layer[1].bias), hm_model_tensor(model, lower.layer[0].bias),
               (size_t)W.columns * sizeof(float));
        memcpy(hm_model_tensor(model, pair.layer[1].mean), hm_model_tensor(model, lower.layer[0].mean),
               (size_t)W.columns * sizeof(float));
    }
    model->class->refresh(model);
    return HM_OK;
}

static int64_t pretrain_chain_columns(const hm_model *model, const hm_contrast_settings *how)
{
    hm_machine pair = pair_of(model, pair_index(how));
    return hm_machine_chain_columns(&pair);
}

static size_t pretrain_bytes(const hm_model *model, const hm_contrast_settings *how, int shards, int64_t rows,
                             int64_t chains)
{
    return hm_pretrain_bytes(model, how, shards, rows, chains, pair_of) + layers_bytes(model, rows) +
           hm_arena_bytes(rows * model->visible);
}

static hm_status pretrain_start_chains(const hm_model *model, hm_shard *shard)
{
    hm_machine pair = pair_of(model, pair_index(shard->how));
    return hm_machine_start_chains(model, &pair, shard);
}

static hm_status pretrain_gradient(const hm_model *model, hm_shard *shard)
{
    if (is_labelled_top(model, shard->how))
        return hm_machine_gradient(model, model->machine, shard, top_positive, NULL);
    return hm_pretrain_gradient(model, shard, upward_pair);
}

static hm_status pretrain_monitor(const hm_model *model, hm_shard *shard)
{
    if (!is_labelled_top(model, shard->how)) return hm_pretrain_monitor(model, shard, upward_pair);
    shard->monitors[0] = shard->monitors[1] = (double)NAN; /* of the rows without labels there are none */
    return HM_OK;
}

static void pretrain_finish(hm_model *model, const hm_contrast_settings *how, int64_t batch, float *grad)
{
    hm_machine pair = pair_of(model, pair_index(how));
    hm_machine_finish(model, &pair, how, batch, grad);
}

static const char *pretrain_fault(const hm_model *model, const hm_contrast_settings *how)
{
    hm_machine pair = pair_of(model, pair_index(how));
    return hm_machine_fault(model, &pair);
}

/* ---- the up-down algorithm --------------------------------------------------------------------------------------
 *
 * Wake: states upward from the data teach the layers downward; the top RBM contrasts them with its k Gibbs steps.
 * Sleep: the states that these end in, taken down to the visible units, teach recognition. (Hinton, Osindero, Teh 2006,
 * appendix B.)
 */

static hm_status up_down_check(const hm_model *model, const hm_contrast_settings *how)
{
    return hm_machine_check_exact(model->machine, how);
}

static bool up_down_learns(const hm_model *model, const hm_contrast_settings *how, int tensor)
{
    const dbn_state *dbn = state_of(model);
    (void)how;
    for (int l = 0; l < dbn->pairs; l++)
        if (hm_machine_has(&dbn->pair[l], tensor) || (l < top_of(model) && tensor == dbn->recognition[l])) return true;
    return false;
}

static hm_status up_down_begin(hm_model *model, const hm_contrast_settings *how)
{
    const dbn_state *dbn = state_of(model);
    (void)how;
    for (int l = 0; !dbn->untied && l < top_of(model); l++) {
        hm_matrix W = hm_pack_matrix(&model->layout, model->params, dbn->pair[l].weights[0]);
        memcpy(hm_model_tensor(model, dbn->recognition[l]), W.at, (size_t)(W.rows * W.columns) * sizeof(float));
    }
    model->class->refresh(model);
    return HM_OK;
}

static int64_t up_down_chain_columns(const hm_model *model, const hm_contrast_settings *how)
{
    (void)how;
    return hm_machine_chain_columns(model->machine);
}

static hm_status up_down_start_chains(const hm_model *model, hm_shard *shard)
{
    return hm_machine_start_chains(model, model->machine, shard);
}

static size_t up_down_bytes(const hm_model *model, const hm_contrast_settings *how, int shards, int64_t rows,
                            int64_t chains)
{
    int64_t most = rows > chains ? rows : chains;
    return hm_machine_gradient_bytes(model->machine, how, shards, rows, chains) +
           hm_machine_start_bytes(model->machine, chains) + 6 * layers_bytes(model, most) +
           2 * hm_arena_bytes(rows * model->visible) + dbn_sampling_bytes(model, rows);
}

/* Delta rule: target (rows, units) - sigmoid(inputs + bias), times weight, into `error`, which holds the inputs. */
static void delta_rule(int64_t rows, int64_t units, const float *target, const float *bias, float weight, float *error)
{
    hm_kernels_best()->activate(rows, units, error, 1.0f, bias, error, NULL, NULL, 0);
    for (int64_t i = 0; i < rows * units; i++) error[i] = weight * (target[i] - error[i]);
}

/* W_l learns to give the states x[l] from those above, on the data. */
static hm_status wake(const hm_model *model, hm_shard *shard, float *const x[], int64_t rows)
{
    for (int l = 0; l < top_of(model); l++) {
        hm_machine pair = pair_of(model, l);
        int64_t lower = pair.layer[0].units, upper = pair.layer[1].units;
        float *error;
        HM_TRY(hm_arena_floats(shard->scratch, rows * lower, &error));
        hm_product((hm_matrix){x[l + 1], rows, upper}, &pair.down[0], error);
        delta_rule(rows, lower, x[l], hm_model_tensor(model, pair.layer[0].bias), 1.0f, error);
        shard->outer[pair.weights[0]] = (hm_outer){.a = {error, rows, lower}, .b = {x[l + 1], rows, upper}};
        hm_kernels_best()->add_columns(rows, lower, error, 1.0f,
                                       hm_shard_direct(shard, &model->layout, pair.layer[0].bias));
    }
    return HM_OK;
}

/* R_l learns to give the states above x[l], on fantasies, which count as `weight` rows of the batch each. */
static hm_status sleep_phase(const hm_model *model, hm_shard *shard, float *const x[], int64_t rows, float weight)
{
    const dbn_state *dbn = state_of(model);
    for (int l = 0; l < top_of(model); l++) {
        hm_machine pair = pair_of(model, l);
        int64_t lower = pair.layer[0].units, upper = pair.layer[1].units;
        float *error;
        HM_TRY(hm_arena_floats(shard->scratch, rows * upper, &error));
        hm_product((hm_matrix){x[l], rows, lower}, &dbn->up[l], error);
        delta_rule(rows, upper, x[l + 1], hm_model_tensor(model, pair.layer[1].bias), weight, error);
        shard->outer[dbn->recognition[l]] = (hm_outer){.a = {x[l], rows, lower}, .b = {error, rows, upper}};
        hm_kernels_best()->add_columns(rows, upper, error, 1.0f,
                                       hm_shard_direct(shard, &model->layout, pair.layer[1].bias));
    }
    return HM_OK;
}

/* The states of layers 0 .. L - 1 that top_positive draws, again: the same random numbers. */
static hm_status wake_states(const hm_model *model, hm_shard *shard, float *x[])
{
    hm_matrix v = {NULL, shard->data.rows, model->visible};
    HM_TRY(hm_arena_floats(shard->scratch, v.rows * v.columns, &v.at));
    hm_shard_visible(model, shard, v.at);
    x[0] = v.at;
    for (int l = 1; l <= top_of(model); l++) {
        HM_TRY(hm_arena_floats(shard->scratch, v.rows * pair_of(model, l - 1).layer[1].units, &x[l]));
        HM_TRY(
            hm_draw_upward(model, v, l, upward_pair, shard->seed, shard->step, shard->first_row, shard->scratch, x[l]));
    }
    return HM_OK;
}

static hm_status up_down_gradient(const hm_model *model, hm_shard *shard)
{
    const hm_outer *top = &shard->outer[model->machine->weights[0]];
    const hm_layer *layer = &model->machine->layer[0];
    float *x[HM_LAYERS_MAX], *fantasy[HM_LAYERS_MAX];
    HM_TRY(hm_machine_gradient(model, model->machine, shard, top_positive, NULL));
    HM_TRY(wake_states(model, shard, x));
    HM_TRY(wake(model, shard, x, shard->data.rows));
    /* The negative phase's states of h_{L-1}, which lie behind the positive ones. */
    hm_matrix from = hm_rows(top->a, shard->data.rows, top->a.rows - shard->data.rows);
    hm_stream stream = {shard->seed, HM_RNG_DOWNWARD, shard->step};
    int64_t own = layer->units - layer->labels;
    for (int l = 0; l < top_of(model); l++)
        HM_TRY(hm_arena_floats(shard->scratch, from.rows * pair_of(model, l).layer[0].units, &fantasy[l]));
    HM_TRY(hm_arena_floats(shard->scratch, from.rows * own, &fantasy[top_of(model)]));
    for (int64_t row = 0; row < from.rows; row++)
        memcpy(fantasy[top_of(model)] + row * own, from.at + row * from.columns, (size_t)own * sizeof(float));
    int64_t first = shard->how->estimator == HM_PCD ? shard->first_chain : shard->first_row;
    HM_TRY(draw_downward(model, from, &stream, first, shard->scratch, fantasy, NULL));
    double all = shard->how->estimator == HM_PCD ? (double)shard->all_chains : (double)shard->batch;
    return sleep_phase(model, shard, fantasy, from.rows, (float)((double)shard->batch / all));
}

static void up_down_finish(hm_model *model, const hm_contrast_settings *how, int64_t batch, float *grad)
{
    hm_machine_finish(model, model->machine, how, batch, grad);
}

static const hm_monitor up_down_monitors[] = {
    {"free_energy", "nats", "minus a draw of the bound of log p of the minibatch, without log Z of the top RBM"},
    {NULL, NULL, NULL},
};

static hm_status up_down_monitor(const hm_model *model, hm_shard *shard)
{
    hm_matrix v = {NULL, shard->data.rows, model->visible};
    float *room;
    HM_TRY(hm_arena_floats(shard->scratch, v.rows * v.columns, &v.at));
    HM_TRY(hm_arena_floats(shard->scratch, 2 * v.rows, &room));
    double *bound = (double *)(void *)room; /* arenas are aligned for any type */
    hm_shard_visible(model, shard, v.at);
    memset(bound, 0, (size_t)v.rows * sizeof bound[0]);
    HM_TRY(draw_bound(model, v, 0, shard->scratch, bound));
    for (int64_t row = 0; row < v.rows; row++) shard->monitors[0] -= bound[row];
    return HM_OK;
}

static const char *up_down_fault(const hm_model *model, const hm_contrast_settings *how)
{
    (void)how;
    return hm_machine_fault(model, model->machine);
}

/* ---- classification --------------------------------------------------------------------------------------------- */

static hm_status start_classifier(hm_model *model, const hm_contrast_settings *how)
{
    const dbn_state *dbn = state_of(model);
    int weights[HM_LAYERS_MAX] = {0}, biases[HM_LAYERS_MAX] = {0};
    (void)how;
    if (hm_classifier_is_made(model)) return HM_OK;
    for (int l = 0; l < dbn->pairs; l++) {
        weights[l + 1] = l < top_of(model) && dbn->untied ? dbn->recognition[l] : dbn->pair[l].weights[0];
        biases[l + 1] = dbn->pair[l].layer[1].bias;
    }
    hm_classifier_start(model, weights, biases);
    model->class->refresh(model);
    return HM_OK;
}

static bool has_labels(const hm_model *model) { return model->machine->layer[0].labels > 0; }
static bool dbn_classifies(const hm_model *model) { return has_labels(model) || hm_classifier_is_made(model); }

/* With label units: what the top RBM says of the probabilities that recognition gives its visible units. */
static hm_status dbn_classify(const hm_model *model, hm_matrix v, hm_arena *scratch, float *out)
{
    float *x = v.at;
    if (!has_labels(model)) return hm_classify(model, v, scratch, out);
    for (int l = 0; l < top_of(model); l++) {
        hm_machine pair = upward_pair(model, l);
        hm_states states = {.rows = v.rows, .at = {x}};
        hm_half_step up = {.side = HM_ODD, .from = &states, .prob = &states, .beta = 1};
        HM_TRY(hm_arena_floats(scratch, v.rows * pair.layer[1].units, &states.at[1]));
        HM_TRY(hm_machine_half(model, &pair, &up, scratch));
        x = states.at[1];
    }
    int64_t own = model->machine->layer[0].units - model->classes;
    return hm_labels_probability(model, model->machine, (hm_matrix){x, v.rows, own}, scratch, NULL, out);
}

static size_t dbn_classify_bytes(const hm_model *model, int64_t rows)
{
    return has_labels(model) ? 2 * layers_bytes(model, rows) + hm_labels_bytes(model->machine, rows)
                             : hm_classify_bytes(model, rows);
}

/* ---- the table -------------------------------------------------------------------------------------------------- */

static const hm_objective dbn_objectives[] = {
    {
        .name = "pretrain",
        .describe = "layer `layer` as an RBM on states of the layer below",
        .monitors = hm_pretrain_monitors,
        .check = pretrain_check,
        .begin = pretrain_begin,
        .learns = pretrain_learns,
        .chain_columns = pretrain_chain_columns,
        .scratch_bytes = pretrain_bytes,
        .start_chains = pretrain_start_chains,
        .gradient = pretrain_gradient,
        .monitor = pretrain_monitor,
        .finish = pretrain_finish,
        .fault = pretrain_fault,
    },
    {
        .name = "up_down",
        .describe = "all layers, by the up-down algorithm (contrastive wake-sleep), recognition untied",
        .monitors = up_down_monitors,
        .check = up_down_check,
        .begin = up_down_begin,
        .learns = up_down_learns,
        .chain_columns = up_down_chain_columns,
        .scratch_bytes = up_down_bytes,
        .start_chains = up_down_start_chains,
        .gradient = up_down_gradient,
        .monitor = up_down_monitor,
        .finish = up_down_finish,
        .fault = up_down_fault,
    },
    {
        .name = "classify",
        .describe = "log p(label | v) of the network that the layers unroll to, by back-propagation",
        .monitors = hm_classify_monitors,
        .check = hm_classify_check,
        .begin = start_classifier,
        .learns = hm_classify_learns,
        .scratch_bytes = hm_classify_training_bytes,
        .gradient = hm_classify_gradient,
        .monitor = hm_classify_monitor,
        .constrain = hm_classify_constrain,
    },
    {.name = NULL},
};

const hm_model_class hm_model_dbn = {
    .name = "dbn",
    .describe = "deep belief network: binary layers drawn from one another below an RBM",
    .settings = {"model", dbn_entries},
    .settings_size = sizeof(dbn_settings),
    .check = dbn_check,
    .classes = classes_of,
    .declare = dbn_declare,
    .allocate = dbn_allocate,
    .destroy = dbn_destroy,
    .init = dbn_init,
    .refresh = dbn_refresh,
    .objectives = dbn_objectives,
    .free_energy = dbn_free_energy,
    .bound = "recognition",
    .classifies = dbn_classifies,
    .classify = dbn_classify,
    .classify_bytes = dbn_classify_bytes,
    .annealing = &hm_machine_annealing,
    .enumeration = &hm_machine_enumeration,
    .base_biases = hm_machine_base_biases,
    .sampling_bytes = dbn_sampling_bytes,
    .gibbs = hm_machine_gibbs,
    .enter = enter_top,
    .show = dbn_show,
};
