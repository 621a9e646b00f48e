#include "boltzmann/machine.h"

#include "boltzmann/classifier.h"
#include "core/kernels.h"
#include "core/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- a machine -------------------------------------------------------------------------------------------------- */

/* Names of tensors and axes: [0] when there is one hidden layer, else [l]. */
static const char *const weight_names[] = {"W", "W1", "W2", "W3", "W4", "W5", "W6", "W7"},
                         *const bias_names[] = {"c", "c1", "c2", "c3", "c4", "c5", "c6", "c7"},
                         *const mean_names[] = {"lambda",  "lambda1", "lambda2", "lambda3",
                                                "lambda4", "lambda5", "lambda6", "lambda7"},
                         *const axis_names[] = {"hidden",  "hidden1", "hidden2", "hidden3",
                                                "hidden4", "hidden5", "hidden6", "hidden7"};

static const char *visible_axis(const hm_machine *machine)
{
    return machine->layer[0].labels > 0 ? "visible_and_label" : "visible";
}

/* How the file names what belongs to a layer. */
typedef struct layer_names {
    const char *axis, *weights, *bias, *mean; /* weights: to the layer below */
    const char *weights_are, *bias_is, *mean_is;
} layer_names;

static layer_names names_of(const hm_machine *machine, int l)
{
    int hidden = hm_hidden_layers(machine), name = hidden > 1 ? l : 0;
    if (l == 0)
        return (layer_names){.axis = visible_axis(machine),
                             .bias = "b",
                             .mean = "mu",
                             .bias_is = "visible biases",
                             .mean_is = "running mean of the visible units under the data"};
    if (l > hidden)
        return (layer_names){.axis = "label",
                             .weights = "W_label",
                             .bias = "b_label",
                             .mean = "mu_label",
                             .weights_are = "weights between the highest hidden layer and the label units",
                             .bias_is = "biases of the label units",
                             .mean_is = "running mean of the label units under the data"};
    return (layer_names){.axis = axis_names[name],
                         .weights = weight_names[name],
                         .bias = bias_names[name],
                         .mean = mean_names[name],
                         .weights_are = hidden > 1 ? "weights between two layers: E has -x_l' W x_(l+1)"
                                                   : "weights of E(v, h), which has -v'W h (Gaussian v: over their "
                                                     "variance)",
                         .bias_is = "hidden biases",
                         .mean_is = "running mean of the hidden units under the data"};
}

static hm_status declare_weights(hm_model *model, int l)
{
    hm_machine *machine = model->machine;
    layer_names lower = names_of(machine, l), upper = names_of(machine, l + 1);
    return hm_layout_add(&model->layout,
                         (hm_tensor){.name = upper.weights,
                                     .dims = 2,
                                     .shape = {machine->layer[l].units, machine->layer[l + 1].units},
                                     .axes = {lower.axis, upper.axis},
                                     .decays = true,
                                     .products = true,
                                     .description = upper.weights_are},
                         &machine->weights[l]);
}

static hm_status declare_layer(hm_model *model, int l)
{
    hm_layer *layer = &model->machine->layer[l];
    layer_names names = names_of(model->machine, l);
    HM_TRY(hm_layout_add(
        &model->layout,
        (hm_tensor){
            .name = names.bias, .dims = 1, .shape = {layer->units}, .axes = {names.axis}, .description = names.bias_is},
        &layer->bias));
    return hm_layout_add(&model->layout,
                         (hm_tensor){.name = names.mean,
                                     .dims = 1,
                                     .shape = {layer->units},
                                     .axes = {names.axis},
                                     .role = HM_RUNNING,
                                     .description = names.mean_is},
                         &layer->mean);
}

static const float *classifier_sources(const hm_model *model, int weights[], int biases[])
{
    const hm_machine *machine = model->machine;
    for (int l = 1; l <= hm_hidden_layers(machine); l++) {
        weights[l] = machine->weights[l - 1];
        biases[l] = machine->layer[l].bias;
    }
    return machine->variance;
}

/* Of a machine with several hidden layers, it is also given their marginals. */
static hm_status declare_classifier(hm_model *model)
{
    const hm_machine *machine = model->machine;
    int64_t units[HM_LAYERS_MAX];
    int hidden = hm_hidden_layers(machine);
    for (int l = 0; l <= hidden; l++) units[l] = machine->layer[l].units;
    return hm_classifier_declare(model, hidden, units, hidden > 1, classifier_sources);
}

const char *const hm_visible_unit_names[] = {"bernoulli", "gaussian", "softmax", NULL};
const char *const hm_hidden_unit_names[] = {"bernoulli", "rectified", NULL};

int64_t hm_machine_group(const hm_machine_units *units)
{
    if (units->visible != HM_SOFTMAX) return 0;
    return units->group > 0 ? units->group : -1;
}

hm_status hm_visible_units(hm_model *model, const hm_machine_units *kinds, const char *axis, hm_layer *layer)
{
    int64_t visible = model->visible;
    layer->unit = (hm_unit)kinds->visible;
    layer->group = kinds->group > 0 ? kinds->group : visible;
    HM_REQUIRE(!kinds->learns_variance || layer->unit == HM_GAUSSIAN, HM_EUSAGE,
               "model.learn_variance is of gaussian visible units, and these are %s", hm_unit_names[layer->unit]);
    HM_REQUIRE(kinds->group == 0 || layer->unit == HM_SOFTMAX, HM_EUSAGE,
               "model.visible_group is of softmax visible units, and these are %s", hm_unit_names[layer->unit]);
    HM_REQUIRE(layer->unit != HM_SOFTMAX || visible % layer->group == 0, HM_EUSAGE,
               "model.visible_group: the data's %lld columns are not made of groups of %lld", (long long)visible,
               (long long)layer->group);
    if (!kinds->learns_variance) return HM_OK;
    return hm_layout_add(&model->layout,
                         (hm_tensor){.name = "log_variance",
                                     .dims = 1,
                                     .shape = {layer->units},
                                     .axes = {axis},
                                     .description = "log of the variance of each Gaussian visible unit; labels have 0"},
                         &layer->log_variance);
}

/* The kinds of all layers, from the settings. */
static hm_status set_units(hm_model *model, const hm_machine_units *kinds)
{
    hm_machine *machine = model->machine;
    hm_layer *visible = &machine->layer[0];
    for (int l = 0; l < machine->layers; l++) {
        machine->layer[l].unit = l > 0 && kinds->hidden > 0 ? HM_RECTIFIED : HM_BERNOULLI;
        machine->layer[l].log_variance = -1;
    }
    return hm_visible_units(model, kinds, visible_axis(machine), visible);
}

hm_status hm_deep_check(const hm_deep *deep, int least, bool labels)
{
    HM_REQUIRE(deep->hidden.count >= least && deep->hidden.count < HM_LAYERS_MAX, HM_EUSAGE,
               "hidden: %lld layers; there may be %d to %d, as [500, 1000]", (long long)deep->hidden.count, least,
               HM_LAYERS_MAX - 1);
    for (int64_t l = 0; l < deep->hidden.count; l++)
        HM_REQUIRE(deep->hidden.at[l] == floor(deep->hidden.at[l]), HM_EUSAGE, "hidden: %g is not a number of units",
                   deep->hidden.at[l]);
    HM_REQUIRE(!labels || deep->classes > 0, HM_EUSAGE, "label_units are those of classes: set model.classes");
    return HM_OK;
}

int hm_deep_units(const hm_deep *deep, int64_t units[HM_LAYERS_MAX])
{
    for (int64_t l = 0; l < deep->hidden.count; l++) units[l] = (int64_t)deep->hidden.at[l];
    return (int)deep->hidden.count;
}

hm_status hm_machine_declare(hm_model *model, const hm_machine_units *kinds, int count, const int64_t hidden[])
{
    hm_machine *machine;
    int most = HM_LAYERS_MAX - 1 - (kinds->label_layer ? 1 : 0);
    HM_REQUIRE(count >= 1 && count <= most, HM_EUSAGE, "%d hidden layers; there may be 1 to %d", count, most);
    HM_TRY(hm_alloc(&machine, 1, sizeof *machine, "a Boltzmann machine"));
    model->machine = machine;
    machine->layers = count + 1;
    machine->layer[0].labels = kinds->labels ? model->classes : 0;
    machine->layer[0].units = model->visible + machine->layer[0].labels;
    machine->up_scale = machine->down_scale = 1.0f;
    for (int l = 0; l < count; l++) machine->layer[l + 1].units = hidden[l];
    if (kinds->label_layer) {
        hm_layer *labels = &machine->layer[machine->layers++];
        labels->units = labels->labels = model->classes;
    }
    HM_TRY(set_units(model, kinds));
    for (int l = 0; l + 1 < machine->layers; l++) HM_TRY(declare_weights(model, l));
    if (model->classes > 0 && !kinds->labels) HM_TRY(declare_classifier(model));
    for (int l = 0; l < machine->layers; l++) HM_TRY(declare_layer(model, l));
    if (model->classifier) HM_TRY(hm_classifier_declare_biases(model));
    return hm_layout_add(
        &model->layout,
        (hm_tensor){.name = "base_rate",
                    .dims = 1,
                    .shape = {machine->layer[0].units},
                    .axes = {visible_axis(machine)},
                    .role = HM_RUNNING,
                    .description =
                        "smoothed mean of each visible unit over the training data: the base distribution of AIS"},
        &machine->base_rate);
}

hm_status hm_variance_allocate(hm_machine *machine)
{
    if (machine->layer[0].log_variance < 0) return HM_OK;
    HM_TRY(hm_alloc(&machine->variance, machine->layer[0].units, sizeof(float), "variances"));
    return hm_alloc(&machine->scaled, machine->layer[0].units * machine->layer[1].units, sizeof(float),
                    "weights over variances");
}

void hm_variance_free(hm_machine *machine)
{
    free(machine->variance);
    free(machine->scaled);
}

hm_status hm_machine_allocate(hm_model *model)
{
    hm_machine *machine = model->machine;
    for (int l = 0; l + 1 < machine->layers; l++) {
        HM_TRY(hm_packed_init(&machine->up[l], machine->layer[l].units, machine->layer[l + 1].units));
        HM_TRY(hm_packed_init(&machine->down[l], machine->layer[l + 1].units, machine->layer[l].units));
        machine->up[l].tables = l > 0; /* hidden states; visible ones may be images */
        machine->down[l].tables = true;
    }
    if (model->classifier) HM_TRY(hm_classifier_allocate(model));
    HM_TRY(hm_variance_allocate(machine));
    return hm_alloc(&machine->base_bias, hm_side_units(machine, HM_EVEN), sizeof(float), "base biases");
}

void hm_machine_free(hm_model *model)
{
    hm_machine *machine = model->machine;
    hm_classifier_free(model);
    if (!machine) return;
    for (int l = 0; l + 1 < machine->layers; l++) {
        hm_packed_free(&machine->up[l]);
        hm_packed_free(&machine->down[l]);
    }
    free(machine->base_bias);
    hm_variance_free(machine);
    free(machine);
    model->machine = NULL;
}

static void init_weights(hm_model *model, uint64_t seed, double init_std, int l)
{
    hm_matrix W = hm_pack_matrix(&model->layout, model->params, model->machine->weights[l]);
    hm_stream stream = {.seed = seed, .purpose = HM_RNG_INIT, .step = (uint64_t)model->machine->weights[l]};
    for (int64_t i = 0; i < W.rows; i++)
        for (int64_t j = 0; j < W.columns; j++)
            W.at[i * W.columns + j] = (float)(init_std * hm_random_normal(&stream, i, j));
}

hm_status hm_machine_init(hm_model *model, uint64_t seed, double init_std, const float base_rates[])
{
    const hm_machine *machine = model->machine;
    model->seed = seed;
    for (int l = 0; l + 1 < machine->layers; l++) init_weights(model, seed, init_std, l);
    for (int l = 1; l <= hm_hidden_layers(machine); l++) {
        const hm_layer *layer = &machine->layer[l];
        for (int64_t j = 0; j < layer->units; j++) hm_model_tensor(model, layer->mean)[j] = 0.5f; /* sigmoid(0) */
    }
    const hm_layer *visible = &machine->layer[0], *labels = &machine->layer[machine->layers - 1];
    for (int64_t k = 0; hm_has_label_layer(machine) && k < labels->units; k++) {
        float rate = base_rates[visible->units + k];
        hm_model_tensor(model, labels->bias)[k] = hm_units_parameter(labels, k, rate);
        hm_model_tensor(model, labels->mean)[k] = rate;
    }
    for (int64_t i = 0; i < visible->units; i++) {
        HM_REQUIRE(visible->unit == HM_GAUSSIAN || (base_rates[i] > 0 && base_rates[i] < 1), HM_EINTERNAL,
                   "base rate %lld is %g, not inside (0, 1)", (long long)i, (double)base_rates[i]);
        hm_model_tensor(model, visible->bias)[i] = hm_units_parameter(visible, i, base_rates[i]);
        hm_model_tensor(model, machine->base_rate)[i] = base_rates[i];
        hm_model_tensor(model, visible->mean)[i] = base_rates[i];
    }
    return HM_OK;
}

void hm_weights_upward(const float *variance, hm_matrix W, float times, float *out)
{
    for (int64_t i = 0; i < W.rows; i++) {
        float scale = variance ? times / variance[i] : times;
        for (int64_t j = 0; j < W.columns; j++) out[i * W.columns + j] = scale * W.at[i * W.columns + j];
    }
}

/* Rows of W_0 over the variance: what the visible units say to the hidden ones. */
static hm_matrix scale_weights(const hm_model *model, hm_machine *machine)
{
    hm_matrix W = hm_pack_matrix(&model->layout, model->params, machine->weights[0]);
    const float *log_variance = hm_model_tensor(model, machine->layer[0].log_variance);
    for (int64_t i = 0; i < W.rows; i++) machine->variance[i] = (float)exp((double)log_variance[i]);
    hm_weights_upward(machine->variance, W, 1.0f, machine->scaled);
    W.at = machine->scaled;
    return W;
}

void hm_machine_pack(const hm_model *model, hm_machine *machine)
{
    for (int l = 0; l + 1 < machine->layers; l++) {
        hm_matrix W = hm_pack_matrix(&model->layout, model->params, machine->weights[l]);
        if (l > 0 || !machine->variance) {
            hm_pack_both(&machine->up[l], &machine->down[l], W, model->team);
            continue;
        }
        hm_pack_weights(&machine->up[l], scale_weights(model, machine), model->team);
        hm_pack_transposed(&machine->down[l], W, model->team);
    }
}

void hm_machine_refresh(hm_model *model)
{
    hm_machine *machine = model->machine;
    hm_machine_pack(model, machine);
    if (model->classifier) hm_classifier_refresh(model);
    const float *rate = hm_model_tensor(model, machine->base_rate);
    for (int64_t i = 0; i < machine->layer[0].units; i++)
        machine->base_bias[i] = hm_units_parameter(&machine->layer[0], i, rate[i]);
}

hm_machine hm_machine_pair(const hm_machine *machine, int l, float up_scale, float down_scale)
{
    return (hm_machine){
        .layers = 2,
        .layer = {machine->layer[l], machine->layer[l + 1]},
        .weights = {machine->weights[l]},
        .up = {machine->up[l]},
        .down = {machine->down[l]},
        .up_scale = up_scale,
        .down_scale = down_scale,
        .base_rate = l == 0 ? machine->base_rate : machine->layer[l].mean,
        .variance = l == 0 ? machine->variance : NULL,
    };
}

bool hm_machine_has(const hm_machine *machine, int tensor)
{
    for (int l = 0; l < machine->layers; l++)
        if (tensor == machine->layer[l].bias || tensor == machine->layer[l].log_variance ||
            (l + 1 < machine->layers && tensor == machine->weights[l]))
            return true;
    return false;
}

int64_t hm_side_units(const hm_machine *machine, hm_side side)
{
    int64_t units = 0;
    for (int l = side; l < machine->layers; l += 2) units += machine->layer[l].units;
    return units;
}

int64_t hm_layer_column(const hm_machine *machine, int l)
{
    int64_t column = 0;
    for (int before = l % 2; before < l; before += 2) column += machine->layer[before].units;
    return column;
}

static int side_layers(const hm_machine *machine, hm_side side) { return (machine->layers + 1 - (int)side) / 2; }

/* ---- states ----------------------------------------------------------------------------------------------------- */

size_t hm_side_bytes(const hm_machine *machine, hm_side side, int64_t rows)
{
    size_t bytes = 0;
    for (int l = side; l < machine->layers; l += 2) bytes += hm_arena_bytes(rows * machine->layer[l].units);
    return bytes;
}

static int64_t most_units(const hm_machine *machine)
{
    int64_t most = 0;
    for (int l = 0; l < machine->layers; l++)
        if (machine->layer[l].units > most) most = machine->layer[l].units;
    return most;
}

size_t hm_layer_bytes(const hm_machine *machine, int64_t rows)
{
    return 2 * hm_arena_bytes(rows * most_units(machine));
}

size_t hm_side_room_bytes(const hm_machine *machine, hm_side side, int64_t rows)
{
    return side_layers(machine, side) == 1 ? 0 : hm_side_bytes(machine, side, rows);
}

/* Can a layer be drawn in place? */
static bool is_plain(const hm_layer *layer) { return layer->unit == HM_BERNOULLI && layer->labels == 0; }

size_t hm_half_bytes(const hm_machine *machine, int64_t rows)
{
    size_t buffers = machine->layers > 2; /* a layer in the middle adds two products */
    bool plain = true;
    for (int l = 0; l < machine->layers; l++) plain &= is_plain(&machine->layer[l]);
    return (buffers + !plain) * hm_arena_bytes(rows * most_units(machine));
}

hm_status hm_side_alloc(const hm_machine *machine, hm_side side, int64_t rows, hm_arena *scratch, hm_states *states)
{
    states->rows = rows;
    for (int l = side; l < machine->layers; l += 2)
        HM_TRY(hm_arena_floats(scratch, rows * machine->layer[l].units, &states->at[l]));
    return HM_OK;
}

/* Between rows, in which layers first, first + stride, ... lie side by side, and those layers. */
static void copy_layers(const hm_machine *machine, int first, int stride, const hm_states *states, hm_matrix rows,
                        bool load)
{
    int64_t column = 0;
    for (int l = first; l < machine->layers; l += stride) {
        int64_t units = machine->layer[l].units;
        for (int64_t row = 0; row < rows.rows; row++) {
            float *in_row = rows.at + row * rows.columns + column, *in_layer = states->at[l] + row * units;
            memcpy(load ? in_layer : in_row, load ? in_row : in_layer, (size_t)units * sizeof(float));
        }
        column += units;
    }
}

hm_status hm_side_room(const hm_machine *machine, hm_side side, hm_matrix rows, hm_arena *scratch, hm_states *states)
{
    if (side_layers(machine, side) > 1) return hm_side_alloc(machine, side, rows.rows, scratch, states);
    states->rows = rows.rows;
    states->at[side] = rows.at;
    return HM_OK;
}

void hm_side_copy(const hm_machine *machine, hm_side side, hm_matrix rows, const hm_states *states)
{
    if (states->at[side] != rows.at) copy_layers(machine, (int)side, 2, states, rows, true);
}

hm_status hm_side_load(const hm_machine *machine, hm_side side, hm_matrix rows, hm_arena *scratch, hm_states *states)
{
    HM_TRY(hm_side_room(machine, side, rows, scratch, states));
    hm_side_copy(machine, side, rows, states);
    return HM_OK;
}

void hm_side_store(const hm_machine *machine, hm_side side, const hm_states *states, hm_matrix rows)
{
    if (states->at[side] != rows.at) copy_layers(machine, (int)side, 2, states, rows, false);
}

void hm_states_load(const hm_machine *machine, hm_matrix rows, const hm_states *states)
{
    copy_layers(machine, 0, 1, states, rows, true);
}

void hm_states_store(const hm_machine *machine, const hm_states *states, hm_matrix rows)
{
    copy_layers(machine, 0, 1, states, rows, false);
}

/* ---- conditionals ----------------------------------------------------------------------------------------------- */

hm_status hm_layer_input(const hm_machine *machine, int l, const hm_states *states, hm_arena *scratch, float *out)
{
    int64_t size = states->rows * machine->layer[l].units;
    size_t mark = scratch->used;
    float *above = out;
    if (l > 0) hm_product(hm_layer_of(machine, states, l - 1), &machine->up[l - 1], out);
    if (l + 1 == machine->layers) return HM_OK;
    if (l > 0) HM_TRY(hm_arena_floats(scratch, size, &above));
    hm_product(hm_layer_of(machine, states, l + 1), &machine->down[l], above);
    if (l > 0) hm_kernels_best()->add(size, out, above, out);
    scratch->used = mark;
    return HM_OK;
}

const float *hm_layer_variance(const hm_machine *machine, int l) { return l == 0 ? machine->variance : NULL; }

/* One layer of a half-step; `place` is its number in its side, biases its own. */
static hm_status half_layer(const hm_machine *machine, const hm_half_step *step, int l, const float *biases,
                            hm_arena *scratch)
{
    const hm_layer *layer = &machine->layer[l];
    int64_t rows = step->from->rows, pieces = side_layers(machine, step->side);
    float *mean = step->prob ? step->prob->at[l] : NULL, *sample = step->sample ? step->sample->at[l] : NULL;
    float *x = mean ? mean : sample, scale = l % 2 == 0 ? machine->down_scale : machine->up_scale;
    size_t mark = scratch->used;
    hm_stream stream = {0};
    if (!is_plain(layer)) HM_TRY(hm_arena_floats(scratch, rows * layer->units, &x));
    if (step->draw)
        stream = (hm_stream){step->draw->seed, step->draw->purpose[step->side],
                             step->draw->step * (uint64_t)pieces + (uint64_t)(l / 2)};
    HM_TRY(hm_layer_input(machine, l, step->from, scratch, x));
    hm_units_conditional(layer, rows, x, (float)step->beta * scale, biases, hm_layer_variance(machine, l), mean, sample,
                         &stream, step->draw ? step->draw->first_row : 0);
    scratch->used = mark;
    return HM_OK;
}

hm_status hm_machine_half(const hm_model *model, const hm_machine *machine, const hm_half_step *step, hm_arena *scratch)
{
    for (int l = step->side; l < machine->layers; l += 2) {
        const float *own = hm_model_tensor(model, machine->layer[l].bias);
        HM_TRY(half_layer(machine, step, l, step->biases ? step->biases + hm_layer_column(machine, l) : own, scratch));
    }
    return HM_OK;
}

size_t hm_machine_gibbs_bytes(const hm_model *model, int64_t rows)
{
    const hm_machine *machine = model->machine;
    return hm_side_bytes(machine, HM_EVEN, rows) + hm_side_bytes(machine, HM_ODD, rows) +
           2 * hm_layer_bytes(machine, rows);
}

hm_status hm_machine_gibbs(const hm_model *model, uint64_t seed, hm_matrix state, int64_t first_row,
                           uint64_t first_step, int64_t steps, hm_arena *scratch, float *prob)
{
    const hm_machine *machine = model->machine;
    hm_states states = {0}, probs = {0};
    int64_t units = machine->layer[0].units, visible = units - machine->layer[0].labels;
    HM_TRY(hm_side_load(machine, HM_EVEN, state, scratch, &states));
    HM_TRY(hm_side_alloc(machine, HM_ODD, state.rows, scratch, &states));
    for (int l = 0; l < machine->layers; l++) probs.at[l] = states.at[l];
    probs.rows = state.rows;
    if (prob) HM_TRY(hm_arena_floats(scratch, state.rows * machine->layer[0].units, &probs.at[0]));
    for (int64_t step = 0; step < steps; step++) {
        hm_draw draw = {seed, {HM_RNG_SAMPLE_VISIBLE, HM_RNG_SAMPLE_HIDDEN}, first_step + (uint64_t)step, first_row};
        hm_half_step odd = {.side = HM_ODD, .from = &states, .sample = &states, .draw = &draw, .beta = 1};
        hm_half_step even = {
            .side = HM_EVEN, .from = &states, .prob = &probs, .sample = &states, .draw = &draw, .beta = 1};
        HM_TRY(hm_machine_half(model, machine, &odd, scratch));
        HM_TRY(hm_machine_half(model, machine, &even, scratch));
    }
    for (int64_t row = 0; prob && steps > 0 && row < state.rows; row++)
        memcpy(prob + row * visible, probs.at[0] + row * units, (size_t)visible * sizeof(float));
    hm_side_store(machine, HM_EVEN, &states, state);
    return HM_OK;
}

/* ---- probabilities ---------------------------------------------------------------------------------------------- */

size_t hm_side_log_prob_bytes(const hm_machine *machine, int64_t rows) { return 2 * hm_layer_bytes(machine, rows); }

hm_status hm_side_log_prob(const hm_model *model, const hm_machine *machine, hm_side side, const hm_states *states,
                           hm_arena *scratch, double out[])
{
    size_t mark = scratch->used;
    float *x;
    memset(out, 0, (size_t)states->rows * sizeof out[0]);
    HM_TRY(hm_arena_floats(scratch, states->rows * most_units(machine), &x));
    for (int l = 0; l < machine->layers; l++) {
        int64_t units = machine->layer[l].units;
        const float *bias = hm_model_tensor(model, machine->layer[l].bias), *variance = hm_layer_variance(machine, l);
        const hm_layer *layer = &machine->layer[l];
        bool given = l % 2 == (int)side, even = l % 2 == 0;
        float scale = even ? machine->down_scale : machine->up_scale;
        double copies = (double)(even ? machine->up_scale : machine->down_scale);
        if (!given) HM_TRY(hm_layer_input(machine, l, states, scratch, x));
        for (int64_t row = 0; row < states->rows; row++)
            out[row] += copies * (given ? hm_units_score(layer, states->at[l] + row * units, bias, variance)
                                        : hm_units_log_partition(layer, x + row * units, scale, bias, variance));
    }
    scratch->used = mark;
    return HM_OK;
}

int64_t hm_side_enumerable(const hm_machine *machine, hm_side side)
{
    for (int l = side; l < machine->layers; l += 2)
        if (machine->layer[l].unit != HM_BERNOULLI || machine->layer[l].labels > 0) return INT64_MAX;
    return hm_side_units(machine, side);
}

hm_side hm_smaller_side(const hm_machine *machine)
{
    return hm_side_enumerable(machine, HM_ODD) < hm_side_enumerable(machine, HM_EVEN) ? HM_ODD : HM_EVEN;
}

void hm_side_configurations(const hm_machine *machine, hm_side side, int64_t begin, hm_states *states)
{
    int64_t unit = 0;
    for (int l = side; l < machine->layers; l += 2)
        for (int64_t at = 0; at < machine->layer[l].units; at++, unit++)
            for (int64_t row = 0; row < states->rows; row++)
                states->at[l][row * machine->layer[l].units + at] = (float)((begin + row) >> unit & 1);
}

static int64_t enumerated_units(const hm_model *model)
{
    return hm_side_enumerable(model->machine, hm_smaller_side(model->machine));
}

static size_t enumeration_bytes(const hm_model *model, int64_t count)
{
    return hm_side_bytes(model->machine, hm_smaller_side(model->machine), count) +
           hm_side_log_prob_bytes(model->machine, count);
}

static hm_status enumerate(const hm_model *model, int64_t begin, int64_t count, hm_arena *scratch, double out[])
{
    const hm_machine *machine = model->machine;
    hm_side side = hm_smaller_side(machine);
    hm_states states = {0};
    HM_TRY(hm_side_alloc(machine, side, count, scratch, &states));
    hm_side_configurations(machine, side, begin, &states);
    return hm_side_log_prob(model, machine, side, &states, scratch, out);
}

const hm_enumeration hm_machine_enumeration = {
    .units = enumerated_units,
    .scratch_bytes = enumeration_bytes,
    .log_prob = enumerate,
};

const float *hm_machine_base_biases(const hm_model *model) { return model->machine->base_bias; }
