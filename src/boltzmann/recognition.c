#include "boltzmann/recognition.h"

#include "core/kernels.h"
#include "core/memory.h"

#include <string.h>

static const char *const weight_names[] = {"", "R1", "R2", "R3", "R4", "R5", "R6", "R7"},
                         *const bias_names[] = {"", "r1", "r2", "r3", "r4", "r5", "r6", "r7"},
                         *const axis_names[] = {"visible", "hidden1", "hidden2", "hidden3",
                                                "hidden4", "hidden5", "hidden6", "hidden7"};

hm_status hm_recognition_declare(hm_model *model, hm_recognition *recognition)
{
    const hm_machine *machine = model->machine;
    recognition->layers = hm_hidden_layers(machine);
    for (int l = 0; l <= recognition->layers; l++) recognition->units[l] = machine->layer[l].units;
    for (int l = 1; l <= recognition->layers; l++) {
        HM_TRY(hm_layout_add(&model->layout,
                             (hm_tensor){.name = weight_names[l],
                                         .dims = 2,
                                         .shape = {recognition->units[l - 1], recognition->units[l]},
                                         .axes = {axis_names[l - 1], axis_names[l]},
                                         .decays = true,
                                         .products = true,
                                         .description = "recognition network: weights upward"},
                             &recognition->weights[l]));
        HM_TRY(hm_layout_add(&model->layout,
                             (hm_tensor){.name = bias_names[l],
                                         .dims = 1,
                                         .shape = {recognition->units[l]},
                                         .axes = {axis_names[l]},
                                         .description = "recognition network: biases"},
                             &recognition->biases[l]));
    }
    return HM_OK;
}

hm_status hm_recognition_allocate(hm_recognition *recognition)
{
    for (int l = 1; l <= recognition->layers; l++) {
        HM_TRY(hm_packed_init(&recognition->up[l], recognition->units[l - 1], recognition->units[l]));
        HM_TRY(hm_packed_init(&recognition->down[l], recognition->units[l], recognition->units[l - 1]));
    }
    return HM_OK;
}

void hm_recognition_free(hm_recognition *recognition)
{
    for (int l = 1; l <= recognition->layers; l++) {
        hm_packed_free(&recognition->up[l]);
        hm_packed_free(&recognition->down[l]);
    }
}

static bool has_weights(const hm_model *model, const hm_recognition *recognition)
{
    return hm_tensor_square(model, recognition->weights[1]) > 0;
}

void hm_recognition_refresh(const hm_model *model, hm_recognition *recognition)
{
    recognition->made = has_weights(model, recognition);
    for (int l = 1; l <= recognition->layers; l++) {
        hm_matrix R = hm_pack_matrix(&model->layout, model->params, recognition->weights[l]);
        hm_pack_both(&recognition->up[l], &recognition->down[l], R, model->team);
    }
}

bool hm_recognition_has(const hm_recognition *recognition, int tensor)
{
    for (int l = 1; l <= recognition->layers; l++)
        if (tensor == recognition->weights[l] || tensor == recognition->biases[l]) return true;
    return false;
}

void hm_recognition_start(hm_model *model, const hm_recognition *recognition)
{
    const hm_machine *machine = model->machine;
    if (has_weights(model, recognition)) return;
    for (int l = 1; l <= recognition->layers; l++) {
        hm_matrix W = hm_pack_matrix(&model->layout, model->params, machine->weights[l - 1]);
        float *R = hm_model_tensor(model, recognition->weights[l]), twice = l < recognition->layers ? 2.0f : 1.0f;
        hm_weights_upward(hm_layer_variance(machine, l - 1), W, twice, R);
        memcpy(hm_model_tensor(model, recognition->biases[l]), hm_model_tensor(model, machine->layer[l].bias),
               (size_t)recognition->units[l] * sizeof(float));
    }
}

void hm_recognise(const hm_model *model, const hm_recognition *recognition, const hm_states *states)
{
    for (int l = 1; l <= recognition->layers; l++) {
        hm_product((hm_matrix){states->at[l - 1], states->rows, recognition->units[l - 1]}, &recognition->up[l],
                   states->at[l]);
        hm_kernels_best()->activate(states->rows, recognition->units[l], states->at[l], 1.0f,
                                    hm_model_tensor(model, recognition->biases[l]), states->at[l], NULL, NULL, 0);
    }
}

size_t hm_recognition_bytes(const hm_recognition *recognition, int64_t rows)
{
    size_t bytes = 0;
    for (int l = 0; l <= recognition->layers; l++) bytes += 2 * hm_arena_bytes(rows * recognition->units[l]);
    return bytes;
}

/* delta of layer l: q - nu of its own target, and what the layers above want of it. above: delta of layer l + 1. */
static hm_status delta_of(const hm_recognition *recognition, int l, const hm_states *nu, const hm_states *q,
                          const float *above, hm_arena *scratch, float **delta)
{
    int64_t size = nu->rows * recognition->units[l];
    const float *x = nu->at[l];
    HM_TRY(hm_arena_floats(scratch, size, delta));
    if (l < recognition->layers)
        hm_product((hm_matrix){(float *)above, nu->rows, recognition->units[l + 1]}, &recognition->down[l + 1], *delta);
    else
        memset(*delta, 0, (size_t)size * sizeof(float));
    for (int64_t i = 0; i < size; i++) (*delta)[i] = q->at[l][i] - x[i] + (*delta)[i] * x[i] * (1 - x[i]);
    return HM_OK;
}

hm_status hm_recognition_gradient(const hm_model *model, const hm_recognition *recognition, hm_shard *shard,
                                  const hm_states *q)
{
    hm_states nu = {.rows = q->rows};
    float *delta = NULL;
    nu.at[0] = q->at[0];
    for (int l = 1; l <= recognition->layers; l++)
        HM_TRY(hm_arena_floats(shard->scratch, q->rows * recognition->units[l], &nu.at[l]));
    hm_recognise(model, recognition, &nu);
    for (int l = recognition->layers; l >= 1; l--) {
        HM_TRY(delta_of(recognition, l, &nu, q, delta, shard->scratch, &delta));
        shard->outer[recognition->weights[l]] = (hm_outer){.a = {nu.at[l - 1], q->rows, recognition->units[l - 1]},
                                                           .b = {delta, q->rows, recognition->units[l]}};
        hm_kernels_best()->add_columns(q->rows, recognition->units[l], delta, 1.0f,
                                       hm_shard_direct(shard, &model->layout, recognition->biases[l]));
    }
    return HM_OK;
}
