/* A shard's rows are stacked: first the positive phase, then the negative one,
 *
 *   a = [x_l; x~_l]    b = [x_{l+1}; -weight x~_{l+1}]    so that    dW_l = a'b,
 *
 * with weight = batch / chains, so that all is counted in rows of the batch. A layer in the middle is `a` of one
 * product and `b` of another: its weighted rows are a copy. Centring (Melchior, Fischer, Wiskott 2016; Montavon &
 * Mueller 2012) is a linear change of these sums, and made in hm_machine_finish: the rows here stay binary, mostly
 * zeros, which products look up or skip.
 */
#include "boltzmann/gradient.h"

#include "boltzmann/chains.h"
#include "core/kernels.h"
#include "core/memory.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { EXACT_TRAINING_MAX = 16 }; /* units of the enumerated side whose configurations fit in a shard's scratch */

typedef struct phases {
    int64_t positive, negative;     /* rows */
    float *x[HM_LAYERS_MAX];        /* (positive + negative, units) */
    float *weighted[HM_LAYERS_MAX]; /* the same, negative rows times -weight; layers above the lowest */
    double *weight;                 /* (negative) of each row of the negative phase, or NULL: */
    float common_weight;            /* the same for all */
} phases;

static hm_states part_of(const hm_machine *machine, const phases *p, bool negative)
{
    hm_states states = {.rows = negative ? p->negative : p->positive};
    for (int l = 0; l < machine->layers; l++)
        states.at[l] = p->x[l] + (negative ? p->positive * machine->layer[l].units : 0);
    return states;
}

/* The states of a phase in rows of what was inferred: those of the negative one behind the positive one's. */
static hm_matrix inferred_of(const hm_machine *machine, hm_matrix inferred, bool negative)
{
    inferred.at += negative ? hm_all_units(machine) : 0;
    return inferred;
}

/* ---- the negative phase ----------------------------------------------------------------------------------------- */

static int64_t exact_rows(const hm_machine *machine, int shards, int shard)
{
    int64_t units = hm_side_enumerable(machine, hm_smaller_side(machine));
    return units > EXACT_TRAINING_MAX ? 0 : hm_count(hm_part((int64_t)1 << units, shards, shard));
}

static int64_t negative_rows(const hm_machine *machine, const hm_contrast_settings *how, int shards, int shard,
                             int64_t rows, int64_t chains)
{
    switch ((hm_estimator)how->estimator) {
    case HM_EXACT: return exact_rows(machine, shards, shard);
    case HM_CD: return rows;
    case HM_PCD: return chains;
    }
    return 0;
}

/* Chains that start anew from the positive phase (Hinton 2002). */
static hm_status run_cd(const hm_model *model, const hm_machine *machine, hm_shard *shard, const phases *p)
{
    hm_states chains = {0};
    HM_TRY(hm_side_alloc(machine, HM_ODD, p->positive, shard->scratch, &chains));
    for (int l = 1; l < machine->layers; l += 2) {
        int64_t units = machine->layer[l].units;
        hm_stream start = {shard->seed, HM_RNG_POSITIVE, shard->step * (uint64_t)(machine->layers / 2) + l / 2};
        for (int64_t row = 0; row < p->positive; row++)
            hm_units_draw(&machine->layer[l], p->x[l] + row * units, NULL, &start, shard->first_row + row,
                          chains.at[l] + row * units);
    }
    hm_states negative = part_of(machine, p, true);
    return hm_machine_run_chains(model, machine, shard, &chains, shard->first_row, &negative);
}

static hm_status negative_cd(const hm_model *model, const hm_machine *machine, hm_shard *shard, phases *p)
{
    hm_states negative = part_of(machine, p, true);
    p->common_weight = 1.0f;
    if (!shard->inferred.at) return run_cd(model, machine, shard, p);
    hm_states_load(machine, inferred_of(machine, shard->inferred, true), &negative);
    return HM_OK;
}

/* Persistent chains, which the loop has moved; parallel tempering gives the even side alone. */
static hm_status negative_pcd(const hm_model *model, const hm_machine *machine, hm_shard *shard, phases *p)
{
    hm_states negative = part_of(machine, p, true);
    p->common_weight = (float)((double)shard->batch / (double)shard->all_chains);
    hm_side_copy(machine, HM_EVEN, shard->samples, &negative);
    if (shard->expected.at) {
        hm_side_copy(machine, HM_ODD, shard->expected, &negative);
        return HM_OK;
    }
    hm_half_step odd = {.side = HM_ODD, .from = &negative, .prob = &negative, .beta = 1};
    return hm_machine_half(model, machine, &odd, shard->scratch);
}

/* All configurations of this shard's part of the smaller side, each weighted by its probability. */
static hm_status negative_exact(const hm_model *model, const hm_machine *machine, hm_shard *shard, phases *p)
{
    hm_side side = hm_smaller_side(machine);
    hm_range part = hm_part((int64_t)1 << hm_side_units(machine, side), shard->shards, shard->index);
    hm_states negative = part_of(machine, p, true);
    HM_TRY(hm_arena_doubles(shard->scratch, p->negative, &p->weight));
    hm_side_configurations(machine, side, part.begin, &negative);
    HM_TRY(hm_side_log_prob(model, machine, side, &negative, shard->scratch, p->weight));
    for (int64_t row = 0; row < p->negative; row++)
        p->weight[row] = (double)shard->batch * exp(p->weight[row] - shard->log_z);
    hm_half_step other = {.side = side == HM_ODD ? HM_EVEN : HM_ODD, .from = &negative, .prob = &negative, .beta = 1};
    return hm_machine_half(model, machine, &other, shard->scratch);
}

static hm_status (*const negative_phases[])(const hm_model *, const hm_machine *, hm_shard *, phases *) = {
    [HM_EXACT] = negative_exact,
    [HM_CD] = negative_cd,
    [HM_PCD] = negative_pcd,
};

hm_status hm_machine_check_exact(const hm_machine *machine, const hm_contrast_settings *how)
{
    int64_t units = hm_side_enumerable(machine, hm_smaller_side(machine));
    HM_REQUIRE(how->estimator != HM_EXACT || units < INT64_MAX, HM_EUSAGE,
               "train.estimator: exact enumerates a side of Bernoulli units, and there is none; use pcd or cd");
    HM_REQUIRE(
        how->estimator != HM_EXACT || units <= EXACT_TRAINING_MAX, HM_EUSAGE,
        "train.estimator: exact enumerates the smaller side of Bernoulli units alone, which may have at most %d units "
        "and has %lld; use pcd or cd",
        EXACT_TRAINING_MAX, (long long)units);
    return HM_OK;
}

/* ---- both phases ------------------------------------------------------------------------------------------------ */

size_t hm_machine_gradient_bytes(const hm_machine *machine, const hm_contrast_settings *how, int shards, int64_t rows,
                                 int64_t chains)
{
    int64_t negative = negative_rows(machine, how, shards, shards - 1, rows, chains), all = rows + negative;
    size_t stacked = hm_side_bytes(machine, HM_EVEN, all) + hm_side_bytes(machine, HM_ODD, all);
    return 2 * stacked + (how->estimator == HM_CD ? hm_side_bytes(machine, HM_ODD, negative) : 0) +
           hm_arena_bytes(negative * 2) + 2 * hm_layer_bytes(machine, all);
}

/* sums += sum of the positive rows - weighted sum of the negative ones. */
static void add_difference(const phases *p, int64_t columns, const float *rows, float *sums)
{
    const hm_kernels *kernels = hm_kernels_best();
    const float *negative = rows + p->positive * columns;
    kernels->add_columns(p->positive, columns, rows, 1.0f, sums);
    if (!p->weight) kernels->add_columns(p->negative, columns, negative, -p->common_weight, sums);
    for (int64_t row = 0; p->weight && row < p->negative; row++)
        kernels->add_columns(1, columns, negative + row * columns, (float)-p->weight[row], sums);
}

/* weighted = x with its negative rows times -weight; a layer that no further product needs is changed in place. */
static hm_status weigh_layer(const hm_machine *machine, hm_shard *shard, phases *p, int l)
{
    int64_t units = machine->layer[l].units, rows = p->positive + p->negative;
    p->weighted[l] = p->x[l];
    if (l + 1 < machine->layers) {
        HM_TRY(hm_arena_floats(shard->scratch, rows * units, &p->weighted[l]));
        memcpy(p->weighted[l], p->x[l], (size_t)(p->positive * units) * sizeof(float));
    }
    for (int64_t row = 0; row < p->negative; row++) {
        float weight = p->weight ? (float)p->weight[row] : p->common_weight;
        const float *from = p->x[l] + (p->positive + row) * units;
        float *to = p->weighted[l] + (p->positive + row) * units;
        for (int64_t j = 0; j < units; j++) to[j] = from[j] * -weight;
    }
    return HM_OK;
}

/* Sums of v^2, positive less negative, where the variance is learnt: see finish_variance. */
static void give_squares(const hm_model *model, const hm_machine *machine, hm_shard *shard, const phases *p)
{
    int64_t units = machine->layer[0].units;
    float *sums = hm_shard_direct(shard, &model->layout, machine->layer[0].log_variance);
    for (int64_t i = 0; i < units; i++) {
        double sum = 0;
        for (int64_t row = 0; row < p->positive; row++) sum += pow((double)p->x[0][row * units + i], 2);
        for (int64_t row = 0; row < p->negative; row++) {
            double weight = p->weight ? p->weight[row] : (double)p->common_weight;
            double v = (double)p->x[0][(p->positive + row) * units + i];
            /* Exact negative phases have the mean of v given h, and <v^2> is its square plus the variance. */
            sum -= weight * (v * v + (p->weight ? (double)machine->variance[i] : 0));
        }
        sums[i] += (float)sum;
    }
}

static hm_status give(const hm_model *model, const hm_machine *machine, hm_shard *shard, phases *p)
{
    const hm_kernels *kernels = hm_kernels_best();
    int64_t rows = p->positive + p->negative;
    for (int l = 0; l < machine->layers; l++) {
        const hm_layer *layer = &machine->layer[l];
        add_difference(p, layer->units, p->x[l], hm_shard_direct(shard, &model->layout, layer->bias));
        kernels->add_columns(p->positive, layer->units, p->x[l], 1.0f,
                             hm_shard_direct(shard, &model->layout, layer->mean));
    }
    if (machine->layer[0].log_variance >= 0) give_squares(model, machine, shard, p);
    for (int l = 0; l + 1 < machine->layers; l++) {
        HM_TRY(weigh_layer(machine, shard, p, l + 1));
        shard->outer[machine->weights[l]] = (hm_outer){
            .a = {p->x[l], rows, machine->layer[l].units},
            .b = {p->weighted[l + 1], rows, machine->layer[l + 1].units},
        };
    }
    return HM_OK;
}

static hm_status stack_rows(const hm_machine *machine, hm_arena *scratch, phases *p)
{
    for (int l = 0; l < machine->layers; l++)
        HM_TRY(hm_arena_floats(scratch, (p->positive + p->negative) * machine->layer[l].units, &p->x[l]));
    return HM_OK;
}

hm_status hm_machine_gradient(const hm_model *model, const hm_machine *machine, hm_shard *shard,
                              hm_positive_phase positive, const void *context)
{
    phases p = {.positive = shard->data.rows};
    p.negative = negative_rows(machine, shard->how, shard->shards, shard->index, p.positive, shard->chains.rows);
    HM_TRY(stack_rows(machine, shard->scratch, &p));
    hm_states states = part_of(machine, &p, false);
    if (shard->inferred.at)
        hm_states_load(machine, inferred_of(machine, shard->inferred, false), &states);
    else
        HM_TRY(positive(model, machine, shard, &states, context));
    HM_TRY(negative_phases[shard->how->estimator](model, machine, shard, &p));
    return give(model, machine, shard, &p);
}

/* ---- of rows alone ---------------------------------------------------------------------------------------------- */

int64_t hm_machine_inferred_columns(const hm_machine *machine, const hm_contrast_settings *how)
{
    return (how->estimator == HM_CD ? 2 : 1) * hm_all_units(machine);
}

int64_t hm_machine_chained_columns(const hm_machine *machine, const hm_contrast_settings *how)
{
    return how->estimator == HM_CD ? hm_machine_inferred_columns(machine, how) : 0;
}

size_t hm_machine_infer_bytes(const hm_machine *machine, const hm_contrast_settings *how, int64_t rows)
{
    int64_t negative = how->estimator == HM_CD ? rows : 0;
    return hm_side_bytes(machine, HM_EVEN, rows + negative) + hm_side_bytes(machine, HM_ODD, rows + negative) +
           hm_side_bytes(machine, HM_ODD, negative) + hm_layer_bytes(machine, rows);
}

hm_status hm_machine_infer(const hm_model *model, const hm_machine *machine, hm_shard *part, hm_positive_phase positive,
                           const void *context)
{
    bool chains = part->how->estimator == HM_CD;
    phases p = {.positive = part->data.rows, .negative = chains ? part->data.rows : 0};
    HM_TRY(stack_rows(machine, part->scratch, &p));
    hm_states states = part_of(machine, &p, false), negative = part_of(machine, &p, true);
    HM_TRY(positive(model, machine, part, &states, context));
    hm_states_store(machine, &states, inferred_of(machine, part->inferred, false));
    if (!chains) return HM_OK;
    HM_TRY(run_cd(model, machine, part, &p));
    hm_states_store(machine, &negative, inferred_of(machine, part->inferred, true));
    return HM_OK;
}

/* ---- once an update --------------------------------------------------------------------------------------------- */

/* The centred gradient, in the parameters of the plain machine (Melchior et al. 2016, eq. 9-11): both phases have the
 * same weight, so that
 *     <(x - mu)(y - lambda)'>_data - <(x - mu)(y - lambda)'>_model = dW - mu dc' - db lambda',
 * x and y neighbours with plain bias gradients db and dc; and with these dW a bias gradient loses dW lambda for the
 * layer above and dW' mu for the layer below. */
static void center_weights(hm_model *model, const hm_machine *machine, int l, float *grad)
{
    const hm_kernels *kernels = hm_kernels_best();
    const hm_layer *lower = &machine->layer[l], *upper = &machine->layer[l + 1];
    hm_matrix dW = hm_pack_matrix(&model->layout, grad, machine->weights[l]);
    const float *db = hm_pack_matrix(&model->layout, grad, lower->bias).at;
    const float *dc = hm_pack_matrix(&model->layout, grad, upper->bias).at;
    const float *mu = hm_model_tensor(model, lower->mean), *lambda = hm_model_tensor(model, upper->mean);
    for (int64_t i = 0; i < dW.rows; i++) {
        float *row = dW.at + i * dW.columns;
        kernels->add_columns(1, dW.columns, dc, -mu[i], row);
        kernels->add_columns(1, dW.columns, lambda, -db[i], row);
    }
}

/* Gaussian units of learnt variance s^2 = e^z (Cho, Ilin, Raiko 2011): from plain sums of v h', v and v^2 to
 *     dW = d(v h') / s^2,   db = dv / s^2,   dz = (d(v^2) / 2 - b dv - sum_j W_ij d(v_i h_j)) / s^2.
 * Label units have none: their z stays 0. */
static void finish_variance(hm_model *model, const hm_machine *machine, float *grad)
{
    const hm_layer *visible = &machine->layer[0];
    hm_matrix W = hm_pack_matrix(&model->layout, model->params, machine->weights[0]);
    hm_matrix dW = hm_pack_matrix(&model->layout, grad, machine->weights[0]);
    float *dz = hm_pack_matrix(&model->layout, grad, visible->log_variance).at;
    const float *db = hm_pack_matrix(&model->layout, grad, visible->bias).at,
                *b = hm_model_tensor(model, visible->bias);
    for (int64_t i = 0; i < W.rows; i++) {
        double with_hidden = hm_kernels_best()->dot(W.columns, W.at + i * W.columns, dW.at + i * W.columns);
        double sum = 0.5 * (double)dz[i] - (double)b[i] * (double)db[i] - with_hidden;
        dz[i] = i < visible->units - visible->labels ? (float)(sum / (double)machine->variance[i]) : 0;
    }
}

static void divide_by_variance(hm_model *model, const hm_machine *machine, float *grad)
{
    hm_matrix dW = hm_pack_matrix(&model->layout, grad, machine->weights[0]);
    float *db = hm_pack_matrix(&model->layout, grad, machine->layer[0].bias).at;
    for (int64_t i = 0; i < dW.rows; i++) {
        float scale = 1 / machine->variance[i];
        for (int64_t j = 0; j < dW.columns; j++) dW.at[i * dW.columns + j] *= scale;
        db[i] *= scale;
    }
}

void hm_machine_finish_variance(hm_model *model, const hm_machine *machine, float *grad)
{
    if (machine->layer[0].log_variance < 0) return;
    finish_variance(model, machine, grad);
    divide_by_variance(model, machine, grad);
}

/* Biases are those of states about their means: an input is the same at the means of the other layer, whatever the step
 * of the weights, as often as that input counts. */
static void center_biases(hm_model *model, const hm_machine *machine, int l, float *grad)
{
    const hm_kernels *kernels = hm_kernels_best();
    const hm_layer *lower = &machine->layer[l], *upper = &machine->layer[l + 1];
    hm_matrix dW = hm_pack_matrix(&model->layout, grad, machine->weights[l]);
    float *db = hm_pack_matrix(&model->layout, grad, lower->bias).at;
    float *dc = hm_pack_matrix(&model->layout, grad, upper->bias).at;
    const float *mu = hm_model_tensor(model, lower->mean), *lambda = hm_model_tensor(model, upper->mean);
    for (int64_t i = 0; i < dW.rows; i++) {
        const float *row = dW.at + i * dW.columns;
        float part = l == 0 && machine->variance ? mu[i] / machine->variance[i] : mu[i]; /* what h sees of mu */
        db[i] -= machine->down_scale * (float)kernels->dot(dW.columns, row, lambda);
        kernels->add_columns(1, dW.columns, row, -part * machine->up_scale, dc);
    }
}

/* Pull the running mean activity q_j of each hidden unit to the target: the derivative q - target of the cross-entropy
 * penalty, on the bias and, through the units that feed it, on the weights (Hinton 2010, section 11). */
static void add_sparsity(const hm_model *model, const hm_machine *machine, int l, const hm_contrast_settings *how,
                         int64_t batch, float *grad)
{
    const hm_layer *lower = &machine->layer[l], *upper = &machine->layer[l + 1];
    hm_matrix dW = hm_pack_matrix(&model->layout, grad, machine->weights[l]);
    float *dc = hm_pack_matrix(&model->layout, grad, upper->bias).at;
    const float *sum_x = hm_pack_matrix(&model->layout, grad, lower->mean).at, *q = hm_model_tensor(model, upper->mean);
    for (int64_t j = 0; j < dW.columns; j++)
        dc[j] += (float)((double)batch * how->sparsity_cost * (how->sparsity_target - (double)q[j]));
    for (int64_t i = 0; i < dW.rows; i++)
        for (int64_t j = 0; j < dW.columns; j++)
            dW.at[i * dW.columns + j] +=
                (float)(how->sparsity_cost * (how->sparsity_target - (double)q[j]) * (double)sum_x[i]);
}

/* mean += rate (batch mean - mean). */
static void move_running(const hm_model *model, int index, double rate, int64_t batch, const float *grad)
{
    const float *sums = grad + model->layout.tensors[index].offset;
    float *mean = hm_model_tensor(model, index);
    int64_t size = hm_tensor_size(&model->layout.tensors[index]);
    for (int64_t i = 0; i < size; i++) mean[i] += (float)(rate * ((double)sums[i] / (double)batch - (double)mean[i]));
}

void hm_machine_finish(hm_model *model, const hm_machine *machine, const hm_contrast_settings *how, int64_t batch,
                       float *grad)
{
    int links = machine->layers - 1;
    bool learns_variance = machine->layer[0].log_variance >= 0;
    if (learns_variance) finish_variance(model, machine, grad);
    for (int l = 0; how->centered && l < links; l++) center_weights(model, machine, l, grad);
    if (learns_variance) divide_by_variance(model, machine, grad);
    for (int l = 0; how->centered && l < links; l++) center_biases(model, machine, l, grad);
    for (int l = 0; how->sparsity_cost > 0 && l < hm_hidden_layers(machine); l++)
        add_sparsity(model, machine, l, how, batch, grad);
    for (int l = 0; l < machine->layers; l++)
        move_running(model, machine->layer[l].mean, how->offset_rate, batch, grad);
}

static const double DEAD = 1e-3; /* running mean of a unit that is off for all data; one that is on: 1 - DEAD */
static const double DEAD_SHARE = 0.9;

const char *hm_machine_fault(const hm_model *model, const hm_machine *machine, int lowest)
{
    static _Thread_local char text[96];
    for (int l = 1; l <= hm_hidden_layers(machine); l++) {
        const float *mean = hm_model_tensor(model, machine->layer[l].mean);
        int64_t units = machine->layer[l].units, dead = 0;
        bool rectified = machine->layer[l].unit == HM_RECTIFIED;
        for (int64_t j = 0; j < units; j++)
            dead += !((double)mean[j] >= DEAD && ((double)mean[j] <= 1 - DEAD || rectified));
        if ((double)dead < DEAD_SHARE * (double)units) continue;
        snprintf(text, sizeof text, "%lld of %lld units of hidden layer %d are dead (always on, or always off)",
                 (long long)dead, (long long)units, lowest + l - 1);
        return text;
    }
    return NULL;
}

/* ---- the whole machine ------------------------------------------------------------------------------------------ */

hm_status hm_likelihood_check(const hm_model *model, const hm_contrast_settings *how)
{
    return hm_machine_check_exact(model->machine, how);
}

bool hm_likelihood_learns(const hm_model *model, const hm_contrast_settings *how, int tensor)
{
    (void)how;
    return hm_machine_has(model->machine, tensor);
}

void hm_likelihood_finish(hm_model *model, const hm_contrast_settings *how, bool adversary, int64_t batch, float *grad)
{
    (void)adversary;
    hm_machine_finish(model, model->machine, how, batch, grad);
}

const char *hm_likelihood_fault(const hm_model *model, const hm_contrast_settings *how)
{
    (void)how;
    return hm_machine_fault(model, model->machine, 1);
}
