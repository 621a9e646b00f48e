#include "boltzmann/up_down.h"

#include "boltzmann/gradient.h"
#include "boltzmann/pretrain.h"
#include "core/kernels.h"

#include <string.h>

bool hm_up_down_learns(const hm_model *model, const hm_contrast_settings *how, int tensor)
{
    const hm_stack *stack = model->stack;
    (void)how;
    for (int l = 0; l < stack->pairs; l++)
        if (hm_machine_has(&stack->pair[l], tensor) || (l < hm_stack_top(model) && tensor == stack->recognition[l]))
            return true;
    return false;
}

hm_status hm_up_down_begin(hm_model *model, const hm_contrast_settings *how)
{
    const hm_stack *stack = model->stack;
    (void)how;
    for (int l = 0; l < hm_stack_top(model); l++) {
        if (stack->untied[l]) continue;
        hm_matrix W = hm_pack_matrix(&model->layout, model->params, stack->pair[l].weights[0]);
        hm_weights_upward(stack->pair[l].variance, W, 1.0f, hm_model_tensor(model, stack->recognition[l]));
    }
    model->class->refresh(model);
    return HM_OK;
}

size_t hm_up_down_bytes(const hm_model *model, const hm_contrast_settings *how, int shards, int64_t rows,
                        int64_t chains)
{
    int64_t most = rows > chains ? rows : chains;
    return hm_machine_gradient_bytes(model->machine, how, shards, rows, chains) + 6 * hm_stack_bytes(model, most) +
           hm_arena_bytes(rows * model->visible) + hm_pretrain_positive_bytes(model, hm_stack_top(model), rows);
}

/* Delta rule: target (rows, units) - the units' mean, times weight, into `error`, which holds their inputs. */
static void delta_rule(const hm_layer *layer, int64_t rows, const float *target, const float *bias, float weight,
                       float *error)
{
    hm_units_conditional(layer, rows, error, 1.0f, bias, NULL, error, NULL, NULL, 0);
    for (int64_t i = 0; i < rows * layer->units; i++) error[i] = weight * (target[i] - error[i]);
}

/* Of Gaussian units with variance s^2 = e^z the error counts as (v - mean) / s^2, and dz = ((v - mean)^2 / s^2 - 1)
 * / 2. */
static void divide_by_variance(const hm_model *model, hm_shard *shard, const hm_machine *pair, int64_t rows,
                               float *error)
{
    int64_t units = pair->layer[0].units;
    if (!pair->variance) return;
    float *dz = hm_shard_direct(shard, &model->layout, pair->layer[0].log_variance);
    for (int64_t row = 0; row < rows; row++)
        for (int64_t i = 0; i < units; i++) {
            float off = error[row * units + i], s2 = pair->variance[i];
            dz[i] += 0.5f * (off * off / s2 - 1.0f);
            error[row * units + i] = off / s2;
        }
}

/* W_l learns to give the states x[l] from those above, on the data. */
static hm_status wake(const hm_model *model, hm_shard *shard, float *const x[], int64_t rows)
{
    for (int l = 0; l < hm_stack_top(model); l++) {
        const hm_machine *pair = &model->stack->pair[l];
        int64_t lower = pair->layer[0].units, upper = pair->layer[1].units;
        float *error;
        HM_TRY(hm_arena_floats(shard->scratch, rows * lower, &error));
        hm_product((hm_matrix){x[l + 1], rows, upper}, &pair->down[0], error);
        delta_rule(&pair->layer[0], rows, x[l], hm_model_tensor(model, pair->layer[0].bias), 1.0f, error);
        divide_by_variance(model, shard, pair, rows, error);
        shard->outer[pair->weights[0]] = (hm_outer){.a = {error, rows, lower}, .b = {x[l + 1], rows, upper}};
        hm_kernels_best()->add_columns(rows, lower, error, 1.0f,
                                       hm_shard_direct(shard, &model->layout, pair->layer[0].bias));
    }
    return HM_OK;
}

/* R_l learns to give the states above x[l], on fantasies, which count as `weight` rows of the batch each. */
static hm_status sleep_phase(const hm_model *model, hm_shard *shard, float *const x[], int64_t rows, float weight)
{
    for (int l = 0; l < hm_stack_top(model); l++) {
        const hm_machine *pair = &model->stack->pair[l];
        int64_t lower = pair->layer[0].units, upper = pair->layer[1].units;
        float *error;
        HM_TRY(hm_arena_floats(shard->scratch, rows * upper, &error));
        hm_product((hm_matrix){x[l], rows, lower}, &pair->up[0], error);
        delta_rule(&pair->layer[1], rows, x[l + 1], hm_model_tensor(model, pair->layer[1].bias), weight, error);
        shard->outer[model->stack->recognition[l]] = (hm_outer){.a = {x[l], rows, lower}, .b = {error, rows, upper}};
        hm_kernels_best()->add_columns(rows, upper, error, 1.0f,
                                       hm_shard_direct(shard, &model->layout, pair->layer[1].bias));
    }
    return HM_OK;
}

/* The states of layers 0 .. L - 1 that the positive phase draws, again: the same random numbers. */
static hm_status wake_states(const hm_model *model, hm_shard *shard, float *x[])
{
    hm_matrix v = {NULL, shard->data.rows, model->visible};
    hm_stream stream = {shard->seed, HM_RNG_UPWARD, shard->step};
    HM_TRY(hm_arena_floats(shard->scratch, v.rows * v.columns, &v.at));
    hm_shard_visible(model, shard, v.at);
    x[0] = v.at;
    for (int l = 1; l <= hm_stack_top(model); l++) {
        hm_matrix layer = {NULL, v.rows, hm_stack_units(model, l)};
        HM_TRY(hm_arena_floats(shard->scratch, layer.rows * layer.columns, &layer.at));
        HM_TRY(hm_draw_upward(model, v, l, &stream, shard->first_row, shard->scratch, layer));
        x[l] = layer.at;
    }
    return HM_OK;
}

/* The negative phase's states of h_{L-1}, down to the visible units: x[l] of layers 0 .. L - 1. */
static hm_status fantasies(const hm_model *model, hm_shard *shard, hm_matrix from, float *x[])
{
    int top = hm_stack_top(model);
    hm_stream stream = {shard->seed, HM_RNG_DOWNWARD, shard->step};
    int64_t own = hm_stack_units(model, top);
    int64_t first = shard->how->estimator == HM_PCD ? shard->first_chain : shard->first_row;
    for (int l = 0; l <= top; l++) HM_TRY(hm_arena_floats(shard->scratch, from.rows * hm_stack_units(model, l), &x[l]));
    for (int64_t row = 0; row < from.rows; row++)
        memcpy(x[top] + row * own, from.at + row * from.columns, (size_t)own * sizeof(float));
    return hm_stack_draw_downward(model, from, &stream, first, shard->scratch, x, NULL);
}

static int64_t inferred_columns(const hm_model *model, const hm_contrast_settings *how)
{
    return hm_machine_chained_columns(model->machine, how);
}

static size_t infer_bytes(const hm_model *model, const hm_contrast_settings *how, int64_t rows)
{
    return hm_machine_infer_bytes(model->machine, how, rows) +
           hm_pretrain_positive_bytes(model, hm_stack_top(model), rows);
}

static hm_status infer_rows(const hm_model *model, hm_shard *part)
{
    int top = hm_stack_top(model);
    return hm_machine_infer(model, model->machine, part, hm_pretrain_positive, &top);
}

const hm_inference hm_up_down_inference = {
    .columns = inferred_columns, .scratch_bytes = infer_bytes, .infer = infer_rows};

hm_status hm_up_down_gradient(const hm_model *model, hm_shard *shard)
{
    const hm_outer *outer = &shard->outer[model->machine->weights[0]];
    float *x[HM_LAYERS_MAX], *fantasy[HM_LAYERS_MAX];
    int top = hm_stack_top(model);
    int64_t rows = shard->data.rows;
    HM_TRY(hm_machine_gradient(model, model->machine, shard, hm_pretrain_positive, &top));
    HM_TRY(wake_states(model, shard, x));
    HM_TRY(wake(model, shard, x, rows));
    hm_matrix from = hm_rows(outer->a, rows, outer->a.rows - rows); /* they lie behind the positive ones */
    HM_TRY(fantasies(model, shard, from, fantasy));
    double all = shard->how->estimator == HM_PCD ? (double)shard->all_chains : (double)shard->batch;
    return sleep_phase(model, shard, fantasy, from.rows, (float)((double)shard->batch / all));
}
