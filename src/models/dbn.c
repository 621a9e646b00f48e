/* The deep belief network (Hinton, Osindero, Teh 2006): an RBM on top, and below it layers of sigmoid units, each drawn
 * from the one above,
 *
 *   p(v, h_1 .. h_L) = p(v | h_1) p(h_1 | h_2) .. p(h_{L-2} | h_{L-1}) p_top(h_{L-1}, h_L),
 *   p(h_{l} = 1 | h_{l+1}) = sigmoid(W_{l+1} h_{l+1} + g_l)        (h_0 = v, g_0 = b; other visible units by their own)
 *   q(h_{l+1} = 1 | h_l) = sigmoid(h_l R_{l+1} + c_{l+1})                                        recognition, upward
 *
 * (Goodfellow, Bengio, Courville 2016, section 20.3.) Layer by layer it is a stack of RBMs, each with W, lower biases g
 * and upper biases c, and R = W; the up-down algorithm gives recognition weights of their own. Labels may be visible
 * units of the top RBM. What is known of log p(v) is
 *
 *   log p(v) >= E_q[log p(v | h_1) + .. + log p*_top(h_{L-1}) - log q(h_1 .. h_{L-1} | v)] - log Z_top.
 */
#include "boltzmann/chains.h"
#include "boltzmann/classifier.h"
#include "boltzmann/gradient.h"
#include "boltzmann/labels.h"
#include "boltzmann/pretrain.h"
#include "boltzmann/up_down.h"
#include "core/kernels.h"

#include <string.h>

/* ---- settings and tensors --------------------------------------------------------------------------------------- */

typedef struct dbn_settings {
    hm_deep deep;
    hm_machine_units units;
    bool labels, transpose;
    int64_t draws;
} dbn_settings;

#define FIELD(NAME) .offset = offsetof(dbn_settings, NAME)
static const hm_setting dbn_entries[] = {
    HM_DEEP_SETTINGS(dbn_settings),
    HM_VISIBLE_UNITS(dbn_settings),
    {.key = "transpose",
     .type = HM_SET_BOOL,
     FIELD(transpose),
     .fallback = "true",
     .describe = "a layer as large as the one two below starts from the transposed weights between them, so that the "
                 "bound cannot fall"},
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

static const dbn_settings *settings_of(const hm_model *model) { return model->settings; }
static bool takes_reals(const void *settings) { return ((const dbn_settings *)settings)->units.visible == HM_GAUSSIAN; }
static int64_t group_of(const void *settings) { return hm_machine_group(&((const dbn_settings *)settings)->units); }
static int64_t classes_of(const void *settings) { return ((const dbn_settings *)settings)->deep.classes; }

static hm_status dbn_check(const void *settings)
{
    const dbn_settings *dbn = settings;
    return hm_deep_check(&dbn->deep, 2, HM_LAYERS_MAX - 1, dbn->labels);
}

static hm_status dbn_declare(hm_model *model)
{
    const dbn_settings *dbn = settings_of(model);
    int64_t hidden[HM_LAYERS_MAX];
    HM_TRY(dbn_check(dbn));
    int layers = hm_deep_units(&dbn->deep, hidden);
    return hm_stack_declare(model, &dbn->units, layers, hidden, dbn->labels ? dbn->deep.classes : 0);
}

static hm_status dbn_init(hm_model *model, uint64_t seed, const float base_rates[])
{
    return hm_stack_init(model, seed, settings_of(model)->deep.init_std, base_rates);
}

/* ---- the bound -------------------------------------------------------------------------------------------------- */

/* out[row] += sign * log of the probability (density) of x (rows, units) given the inputs of its units; of grey values,
 * the mean of a draw. */
static void add_log_probability(const hm_layer *layer, const float *variance, int64_t rows, const float *x,
                                const float *inputs, const float *bias, double sign, double out[])
{
    int64_t units = layer->units;
    for (int64_t row = 0; row < rows; row++, x += units, inputs += units) {
        double score = hm_units_score(layer, x, bias, variance);
        if (layer->unit == HM_GAUSSIAN) /* in float64: large terms that cancel */
            for (int64_t i = 0; i < units; i++)
                score += (double)x[i] * (double)inputs[i] / (variance ? (double)variance[i] : 1);
        else
            score += hm_kernels_best()->dot(units, x, inputs);
        out[row] += sign * (score - hm_units_log_partition(layer, inputs, 1.0f, bias, variance));
    }
}

/* One draw of the bound: log p(v | h_1) .. + log p*_top(h_{L-1}) - log q. */
static hm_status draw_bound(const hm_model *model, hm_matrix v, int64_t first_row, uint64_t draw, hm_arena *scratch,
                            double out[])
{
    size_t mark = scratch->used;
    hm_states top = {.rows = v.rows};
    float *x = v.at, *above, *inputs;
    for (int l = 0; l < hm_stack_top(model); l++) {
        hm_machine pair = hm_stack_pair(model, l);
        hm_draw stream = {0x5eed, {HM_RNG_UPWARD, HM_RNG_UPWARD}, draw * HM_LAYERS_MAX + (uint64_t)l, first_row};
        HM_TRY(hm_arena_floats(scratch, v.rows * pair.layer[1].units, &above));
        HM_TRY(hm_arena_floats(scratch, v.rows * pair.layer[1].units, &inputs));
        hm_states states = {.rows = v.rows, .at = {x, above}};
        hm_half_step step = {.side = HM_ODD, .from = &states, .sample = &states, .draw = &stream, .beta = 1};
        HM_TRY(hm_machine_half(model, &pair, &step, scratch));
        hm_product(hm_layer_of(&pair, &states, 0), &pair.up[0], inputs);
        add_log_probability(&pair.layer[1], NULL, v.rows, above, inputs, hm_model_tensor(model, pair.layer[1].bias), -1,
                            out);
        HM_TRY(hm_arena_floats(scratch, v.rows * pair.layer[0].units, &inputs));
        hm_product(hm_layer_of(&pair, &states, 1), &pair.down[0], inputs);
        add_log_probability(&pair.layer[0], pair.variance, v.rows, x, inputs,
                            hm_model_tensor(model, pair.layer[0].bias), 1, out);
        x = above;
    }
    double *log_prob;
    HM_TRY(hm_arena_doubles(scratch, v.rows, &log_prob));
    top.at[0] = x;
    if (model->label_units)
        HM_TRY(hm_labels_probability(model, model->machine,
                                     (hm_matrix){x, v.rows, model->machine->layer[0].units - model->classes}, scratch,
                                     log_prob, NULL));
    else
        HM_TRY(hm_side_log_prob(model, model->machine, HM_EVEN, &top, scratch, log_prob));
    for (int64_t row = 0; row < v.rows; row++) out[row] += log_prob[row];
    scratch->used = mark;
    return HM_OK;
}

static hm_status dbn_free_energy(const hm_model *model, hm_matrix v, int64_t first_row, hm_arena *scratch, double out[])
{
    int64_t draws = settings_of(model)->draws;
    memset(out, 0, (size_t)v.rows * sizeof out[0]);
    for (int64_t draw = 0; draw < draws; draw++) HM_TRY(draw_bound(model, v, first_row, (uint64_t)draw, scratch, out));
    for (int64_t row = 0; row < v.rows; row++) out[row] /= -(double)draws;
    return HM_OK;
}

static size_t dbn_sampling_bytes(const hm_model *model, int64_t rows)
{
    size_t bound =
        2 * hm_stack_bytes(model, rows) + hm_arena_bytes(2 * rows) + hm_side_log_prob_bytes(model->machine, rows);
    if (model->label_units) bound += hm_labels_bytes(model->machine, rows);
    for (int l = 0; l < hm_stack_count(model); l++) bound += 2 * hm_arena_bytes(rows * hm_stack_units(model, l + 1));
    return hm_machine_gibbs_bytes(model, rows) + bound;
}

/* ---- layer-wise pre-training ------------------------------------------------------------------------------------ */

static bool is_zero(const hm_model *model, const hm_layer *layer) { return hm_tensor_square(model, layer->bias) == 0; }

/* A layer of the size of the one two below starts as that RBM turned round: its visible biases are the other's hidden
 * ones, so that p_top(h) is what p(h) was (Hinton, Osindero, Teh 2006, section 4). Only one that has learnt nothing:
 * biases stay 0 until then. */
static void start_transposed(hm_model *model, int l)
{
    hm_machine lower = model->stack->pair[l - 1], pair = model->stack->pair[l];
    if (!is_zero(model, &pair.layer[0]) || !is_zero(model, &pair.layer[1])) return;
    hm_matrix below = hm_pack_matrix(&model->layout, model->params, lower.weights[0]);
    hm_matrix W = hm_pack_matrix(&model->layout, model->params, pair.weights[0]);
    memcpy(hm_model_tensor(model, pair.layer[0].mean), hm_model_tensor(model, lower.layer[1].mean),
           (size_t)below.columns * sizeof(float));
    bool turns = lower.layer[0].unit == HM_BERNOULLI && W.rows == below.columns && W.columns == below.rows;
    if (settings_of(model)->transpose && turns) {
        hm_kernels_best()->transpose(below.rows, below.columns, below.at, below.columns, W.at, W.columns);
        memcpy(hm_model_tensor(model, pair.layer[0].bias), hm_model_tensor(model, lower.layer[1].bias),
               (size_t)W.rows * sizeof(float));
        memcpy(hm_model_tensor(model, pair.layer[1].bias), hm_model_tensor(model, lower.layer[0].bias),
               (size_t)W.columns * sizeof(float));
        memcpy(hm_model_tensor(model, pair.layer[1].mean), hm_model_tensor(model, lower.layer[0].mean),
               (size_t)W.columns * sizeof(float));
    }
}

/* After the up-down algorithm a layer is an RBM again, whose weights upward are those downward. */
static void tie(hm_model *model, int l)
{
    if (l == hm_stack_top(model)) return;
    hm_matrix R = hm_pack_matrix(&model->layout, model->params, model->stack->recognition[l]);
    memset(R.at, 0, (size_t)(R.rows * R.columns) * sizeof(float));
}

static hm_status begin_pretraining(hm_model *model, int l)
{
    if (l > 0) start_transposed(model, l);
    tie(model, l);
    model->class->refresh(model);
    return HM_OK;
}

static const hm_pairs dbn_pairs = {.count = hm_stack_count, .at = hm_stack_pair, .begin = begin_pretraining};

/* ---- the up-down algorithm -------------------------------------------------------------------------------------- */

static size_t up_down_bytes(const hm_model *model, const hm_contrast_settings *how, int shards, int64_t rows,
                            int64_t chains)
{
    size_t gradient = hm_up_down_bytes(model, how, shards, rows, chains);
    size_t monitor = hm_arena_bytes(rows * model->visible) + dbn_sampling_bytes(model, rows);
    return gradient > monitor ? gradient : monitor;
}

static const hm_monitor up_down_monitors[] = {
    {"free_energy", "nats", "minus a draw of the bound of log p of the minibatch, without log Z of the top RBM"},
    {NULL, NULL, NULL},
};

static hm_status up_down_monitor(const hm_model *model, hm_shard *shard)
{
    hm_matrix v = {NULL, shard->data.rows, model->visible};
    double *bound;
    HM_TRY(hm_arena_floats(shard->scratch, v.rows * v.columns, &v.at));
    HM_TRY(hm_arena_doubles(shard->scratch, v.rows, &bound));
    hm_shard_visible(model, shard, v.at);
    memset(bound, 0, (size_t)v.rows * sizeof bound[0]);
    HM_TRY(draw_bound(model, v, shard->first_row, 0, shard->scratch, bound));
    for (int64_t row = 0; row < v.rows; row++) shard->monitors[0] -= bound[row];
    return HM_OK;
}

/* ---- classification --------------------------------------------------------------------------------------------- */

static bool dbn_classifies(const hm_model *model) { return model->label_units || hm_classifier_is_made(model); }

/* With label units: what the top RBM says of the probabilities that recognition gives its visible units. */
static hm_status dbn_classify(const hm_model *model, hm_matrix v, hm_arena *scratch, float *out)
{
    float *x = v.at;
    if (!model->label_units) return hm_classify(model, v, scratch, out);
    for (int l = 0; l < hm_stack_top(model); l++) {
        hm_machine pair = hm_stack_pair(model, l);
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
    return model->label_units ? 2 * hm_stack_bytes(model, rows) + hm_labels_bytes(model->machine, rows)
                              : hm_classify_bytes(model, rows);
}

/* ---- the table -------------------------------------------------------------------------------------------------- */

static hm_status up_down_check(const hm_model *model, const hm_contrast_settings *how)
{
    (void)model;
    HM_REQUIRE(how->estimator != HM_EXACT, HM_EUSAGE,
               "train.estimator: up_down learns from fantasies that Gibbs chains of the top RBM begin; use cd or pcd");
    return HM_OK;
}

static const char *up_down_fault(const hm_model *model, const hm_contrast_settings *how)
{
    (void)how;
    return hm_machine_fault(model, model->machine, hm_stack_count(model));
}

static const hm_objective up_down = {
    .name = "up_down",
    .describe = "all layers, by the up-down algorithm (contrastive wake-sleep), recognition untied",
    .reads = HM_READS_CHAINS HM_READS_FINISH,
    .monitors = up_down_monitors,
    .check = up_down_check,
    .begin = hm_up_down_begin,
    .learns = hm_up_down_learns,
    .inference = &hm_up_down_inference,
    .chains = &hm_likelihood_chains,
    .scratch_bytes = up_down_bytes,
    .gradient = hm_up_down_gradient,
    .monitor = up_down_monitor,
    .finish = hm_likelihood_finish,
    .fault = up_down_fault,
};

static const hm_objective *const dbn_objectives[] = {&hm_pretrain_objective, &up_down, &hm_classify_objective, NULL};

const hm_model_class hm_model_dbn = {
    .name = "dbn",
    .describe = "deep belief network: layers drawn from one another below an RBM, binary but for the visible units",
    .settings = {"model", dbn_entries},
    .settings_size = sizeof(dbn_settings),
    .check = dbn_check,
    .takes_reals = takes_reals,
    .group = group_of,
    .classes = classes_of,
    .declare = dbn_declare,
    .allocate = hm_stack_allocate,
    .destroy = hm_stack_free,
    .init = dbn_init,
    .refresh = hm_stack_refresh,
    .objectives = dbn_objectives,
    .pairs = &dbn_pairs,
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
    .enter = hm_stack_enter,
    .show = hm_stack_show,
};
