#include "boltzmann/machine.h"

#include "boltzmann/classifier.h"
#include "core/kernels.h"
#include "core/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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
        return (layer_names){.axis = "class",
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

hm_status hm_deep_check(const hm_deep *deep, int least, int most, bool labels)
{
    HM_REQUIRE(deep->hidden.count >= least && deep->hidden.count <= most, HM_EUSAGE,
               "hidden: %lld layers; there may be %d to %d, as [500, 1000]", (long long)deep->hidden.count, least,
               most);
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
    model->label_units = hm_label_layer(machine) >= 0;
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

void hm_machine_init_weights(hm_model *model, int tensor, uint64_t seed, double init_std)
{
    hm_matrix W = hm_pack_matrix(&model->layout, model->params, tensor);
    hm_stream stream = {.seed = seed, .purpose = HM_RNG_INIT, .step = (uint64_t)tensor};
    for (int64_t i = 0; i < W.rows; i++)
        for (int64_t j = 0; j < W.columns; j++)
            W.at[i * W.columns + j] = (float)(init_std * hm_random_normal(&stream, i, j));
}

hm_status hm_machine_init_visible(hm_model *model, const hm_layer *visible, const float base_rates[])
{
    for (int64_t i = 0; i < visible->units; i++) {
        HM_REQUIRE(visible->unit == HM_GAUSSIAN || (base_rates[i] > 0 && base_rates[i] < 1), HM_EINTERNAL,
                   "base rate %lld is %g, not inside (0, 1)", (long long)i, (double)base_rates[i]);
        hm_model_tensor(model, visible->bias)[i] = hm_units_parameter(visible, i, base_rates[i]);
        hm_model_tensor(model, visible->mean)[i] = base_rates[i];
    }
    return HM_OK;
}

hm_status hm_machine_init(hm_model *model, uint64_t seed, double init_std, const float base_rates[])
{
    const hm_machine *machine = model->machine;
    model->seed = seed;
    for (int l = 0; l + 1 < machine->layers; l++) hm_machine_init_weights(model, machine->weights[l], seed, init_std);
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
    memcpy(hm_model_tensor(model, machine->base_rate), base_rates, (size_t)visible->units * sizeof(float));
    return hm_machine_init_visible(model, visible, base_rates);
}

double hm_tensor_square(const hm_model *model, int tensor)
{
    hm_matrix x = hm_pack_matrix(&model->layout, model->params, tensor);
    return hm_kernels_best()->dot(x.rows * x.columns, x.at, x.at);
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

int64_t hm_all_units(const hm_machine *machine)
{
    return hm_side_units(machine, HM_EVEN) + hm_side_units(machine, HM_ODD);
}

int64_t hm_layer_column(const hm_machine *machine, int l)
{
    int64_t column = 0;
    for (int before = l % 2; before < l; before += 2) column += machine->layer[before].units;
    return column;
}

const float *hm_layer_variance(const hm_machine *machine, int l) { return l == 0 ? machine->variance : NULL; }
