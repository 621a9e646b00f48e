#include "boltzmann/stack.h"

#include "boltzmann/classifier.h"
#include "boltzmann/labels.h"
#include "boltzmann/pretrain.h"
#include "core/kernels.h"
#include "core/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- tensors ---------------------------------------------------------------------------------------------------- */

static const char *const axes[] = {"visible", "hidden1", "hidden2", "hidden3",
                                   "hidden4", "hidden5", "hidden6", "hidden7"};

/* The tensors of pair l. */
static const struct names {
    const char *weights, *recognition, *lower, *upper, *lower_mean, *upper_mean;
} names_of[] = {
    {"W1", "R1", "b", "c1", "mu", "lambda1"},   {"W2", "R2", "g1", "c2", "mu1", "lambda2"},
    {"W3", "R3", "g2", "c3", "mu2", "lambda3"}, {"W4", "R4", "g3", "c4", "mu3", "lambda4"},
    {"W5", "R5", "g4", "c5", "mu4", "lambda5"}, {"W6", "R6", "g5", "c6", "mu5", "lambda6"},
    {"W7", "R7", "g6", "c7", "mu6", "lambda7"},
};

static hm_status add_vector(hm_model *model, const char *name, const char *axis, int64_t units, hm_role role,
                            int *index)
{
    bool learnt = role == HM_LEARNT;
    return hm_layout_add(
        &model->layout,
        (hm_tensor){.name = name,
                    .dims = 1,
                    .shape = {units},
                    .axes = {axis},
                    .role = role,
                    .description = learnt ? "biases of an RBM of the stack" : "running mean of a layer under the data"},
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

static hm_status declare_tensors(hm_model *model, int l, const char *lower)
{
    hm_stack *stack = model->stack;
    hm_machine *pair = &stack->pair[l];
    hm_layer *below = &pair->layer[0], *above = &pair->layer[1];
    const struct names *name = &names_of[l];
    const char *upper = axes[l + 1];
    HM_TRY(add_matrix(model, name->weights, lower, pair, l + 1, "weights of an RBM of the stack, downward",
                      &pair->weights[0]));
    if (l + 1 < stack->pairs)
        HM_TRY(add_matrix(model, name->recognition, lower, pair, l + 1,
                          "recognition weights upward; 0 while they are the weights downward", &stack->recognition[l]));
    HM_TRY(add_vector(model, name->lower, lower, below->units, HM_LEARNT, &below->bias));
    HM_TRY(add_vector(model, name->upper, upper, above->units, HM_LEARNT, &above->bias));
    HM_TRY(add_vector(model, name->lower_mean, lower, below->units, HM_RUNNING, &below->mean));
    HM_TRY(add_vector(model, name->upper_mean, upper, above->units, HM_RUNNING, &above->mean));
    pair->base_rate = below->mean;
    return HM_OK;
}

static const float *classifier_sources(const hm_model *model, int weights[], int biases[])
{
    const hm_stack *stack = model->stack;
    for (int l = 0; l < stack->pairs; l++) {
        bool own = stack->untied[l];
        weights[l + 1] = own ? stack->recognition[l] : stack->pair[l].weights[0];
        biases[l + 1] = stack->pair[l].layer[1].bias;
    }
    return stack->untied[0] ? NULL : stack->pair[0].variance;
}

hm_status hm_stack_declare(hm_model *model, const hm_machine_units *kinds, int count, const int64_t hidden[],
                           int64_t labels)
{
    int64_t units[HM_LAYERS_MAX] = {model->visible};
    HM_TRY(hm_alloc(&model->stack, 1, sizeof(hm_stack), "a stack of RBMs"));
    model->label_units = labels > 0;
    model->stack->pairs = count;
    for (int l = 0; l < count; l++) {
        hm_machine *pair = &model->stack->pair[l];
        bool labelled = l + 1 == count && labels > 0;
        units[l + 1] = hidden[l];
        *pair = (hm_machine){.layers = 2, .up_scale = 1, .down_scale = 1};
        pair->layer[0].labels = labelled ? labels : 0;
        pair->layer[0].units = units[l] + pair->layer[0].labels;
        pair->layer[1].units = hidden[l];
        pair->layer[0].log_variance = pair->layer[1].log_variance = -1;
        HM_TRY(declare_tensors(model, l, labelled ? "top_visible" : axes[l]));
        if (l == 0) HM_TRY(hm_visible_units(model, kinds, axes[0], &pair->layer[0]));
        model->machine = pair;
    }
    if (model->classes == 0 || labels > 0) return HM_OK;
    HM_TRY(hm_classifier_declare(model, count, units, false, classifier_sources));
    return hm_classifier_declare_biases(model);
}

/* ---- a stack ---------------------------------------------------------------------------------------------------- */

hm_status hm_stack_allocate(hm_model *model)
{
    hm_stack *stack = model->stack;
    for (int l = 0; l < stack->pairs; l++) {
        hm_machine *pair = &stack->pair[l];
        int64_t lower = pair->layer[0].units, upper = pair->layer[1].units;
        HM_TRY(hm_packed_init(&pair->up[0], lower, upper));
        HM_TRY(hm_packed_init(&pair->down[0], upper, lower));
        HM_TRY(hm_variance_allocate(pair));
        pair->up[0].tables = l > 0; /* hidden states; visible ones may be images */
        pair->down[0].tables = true;
    }
    if (model->classifier) HM_TRY(hm_classifier_allocate(model));
    return hm_alloc(&model->machine->base_bias, model->machine->layer[0].units, sizeof(float), "base biases");
}

void hm_stack_free(hm_model *model)
{
    hm_stack *stack = model->stack;
    hm_classifier_free(model);
    for (int l = 0; stack && l < stack->pairs; l++) {
        hm_packed_free(&stack->pair[l].up[0]);
        hm_packed_free(&stack->pair[l].down[0]);
        hm_variance_free(&stack->pair[l]);
    }
    if (stack && model->machine) free(model->machine->base_bias);
    free(stack);
    model->machine = NULL;
    model->stack = NULL;
}

hm_status hm_stack_init(hm_model *model, uint64_t seed, double init_std, const float base_rates[])
{
    const hm_stack *stack = model->stack;
    model->seed = seed;
    for (int l = 0; l < stack->pairs; l++) {
        const hm_machine *pair = &stack->pair[l];
        hm_machine_init_weights(model, pair->weights[0], seed, init_std);
        for (int side = 0; side < 2; side++)
            for (int64_t i = 0; i < pair->layer[side].units; i++)
                hm_model_tensor(model, pair->layer[side].mean)[i] = 0.5f;
    }
    return hm_machine_init_visible(model, &stack->pair[0].layer[0], base_rates);
}

/* The base distribution of AIS: the mean states of the top RBM's visible units, kept off 0 and 1. */
static void refresh_base(hm_model *model)
{
    hm_machine *top = model->machine;
    int64_t own = top->layer[0].units - top->layer[0].labels;
    const float *mean = hm_model_tensor(model, top->layer[0].mean);
    for (int64_t i = 0; i < top->layer[0].units; i++) {
        float rate = fminf(fmaxf(mean[i], 0.001f), 0.999f);
        top->base_bias[i] = i < own ? hm_units_parameter(&top->layer[0], i, rate) : logf(rate);
    }
}

static void pack_directed(hm_model *model, int l)
{
    hm_machine *pair = &model->stack->pair[l];
    hm_matrix R = hm_pack_matrix(&model->layout, model->params, model->stack->recognition[l]);
    bool untied = hm_tensor_square(model, model->stack->recognition[l]) > 0;
    if (!untied || pair->variance) /* which it makes as well */
        hm_machine_pack(model, pair);
    else
        hm_pack_transposed(&pair->down[0], hm_pack_matrix(&model->layout, model->params, pair->weights[0]),
                           model->team);
    if (untied) hm_pack_weights(&pair->up[0], R, model->team);
    model->stack->untied[l] = untied;
}

void hm_stack_refresh(hm_model *model)
{
    for (int l = 0; l < hm_stack_top(model); l++) pack_directed(model, l);
    hm_machine_pack(model, model->machine);
    if (model->classifier) hm_classifier_refresh(model);
    refresh_base(model);
}

/* ---- upward and downward ---------------------------------------------------------------------------------------- */

int64_t hm_stack_units(const hm_model *model, int l)
{
    return l == 0 ? model->visible : model->stack->pair[l - 1].layer[1].units;
}

size_t hm_stack_bytes(const hm_model *model, int64_t rows)
{
    size_t bytes = 0;
    for (int l = 0; l < model->stack->pairs; l++) {
        const hm_machine *pair = &model->stack->pair[l];
        bytes += 2 * (hm_side_bytes(pair, HM_EVEN, rows) + hm_layer_bytes(pair, rows));
    }
    return bytes;
}

int hm_stack_count(const hm_model *model) { return model->stack->pairs; }

hm_machine hm_stack_pair(const hm_model *model, int l) { return model->stack->pair[l]; }

hm_status hm_stack_draw_downward(const hm_model *model, hm_matrix from, const hm_stream *stream, int64_t first_row,
                                 hm_arena *scratch, float *const layers[], float *mean)
{
    int64_t own = hm_stack_units(model, hm_stack_top(model));
    hm_purpose purpose = (hm_purpose)stream->purpose;
    float *above;
    HM_TRY(hm_arena_floats(scratch, from.rows * own, &above));
    for (int64_t row = 0; row < from.rows; row++)
        memcpy(above + row * own, from.at + row * from.columns, (size_t)own * sizeof(float));
    for (int l = hm_stack_top(model) - 1; l >= 0; l--) {
        hm_states states = {.rows = from.rows, .at = {layers[l], above}}, means = {.at = {mean}};
        hm_draw draw = {stream->seed, {purpose, purpose}, stream->step * HM_LAYERS_MAX + (uint64_t)l, first_row};
        hm_half_step down = {.side = HM_EVEN, .from = &states, .sample = &states, .draw = &draw, .beta = 1};
        if (l == 0 && mean) down.prob = &means;
        HM_TRY(hm_machine_half(model, &model->stack->pair[l], &down, scratch));
        above = layers[l];
    }
    return HM_OK;
}

hm_status hm_stack_enter(const hm_model *model, hm_matrix v, const hm_stream *stream, int64_t first_row,
                         hm_arena *scratch, hm_matrix states)
{
    hm_stream upward = {stream->seed, HM_RNG_UPWARD, stream->step};
    HM_TRY(hm_draw_upward(model, v, hm_stack_top(model), &upward, first_row, scratch, states));
    if (!model->label_units) return HM_OK;
    upward.step = stream->step * HM_LAYERS_MAX + (uint64_t)hm_stack_top(model); /* that of the next layer */
    return hm_labels_draw(model, model->machine, states, &upward, first_row, scratch);
}

hm_status hm_stack_show(const hm_model *model, hm_matrix states, const hm_stream *stream, int64_t first_row,
                        hm_arena *scratch, float *sample, float *mean)
{
    float *layers[HM_LAYERS_MAX] = {sample};
    for (int l = 1; l < hm_stack_top(model); l++)
        HM_TRY(hm_arena_floats(scratch, states.rows * hm_stack_units(model, l), &layers[l]));
    return hm_stack_draw_downward(model, states, stream, first_row, scratch, layers, mean);
}
