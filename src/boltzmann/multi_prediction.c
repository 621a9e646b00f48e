#include "boltzmann/multi_prediction.h"

#include "boltzmann/sides.h"
#include "core/kernels.h"
#include "core/memory.h"

#include <math.h>
#include <string.h>

/* All states of the unrolled network: even[0] before the first sweep, odd[t] and even[t] of sweep t = 1 .. updates. */
typedef struct unrolled {
    const hm_model *model;
    const hm_machine *machine;
    hm_shard *shard;
    int64_t updates, rows;
    float *v, *missing; /* (rows, V); missing: 1 where a unit is to be predicted, 0 where it is seen */
    hm_states at[HM_MULTI_PREDICTION_UPDATES_MAX + 1]; /* layers of sweep t */
} unrolled;

size_t hm_multi_prediction_bytes(const hm_machine *machine, int64_t updates, int64_t rows)
{
    size_t states = hm_side_bytes(machine, HM_EVEN, rows) + hm_side_bytes(machine, HM_ODD, rows);
    size_t visible = hm_arena_bytes(rows * machine->layer[0].units), stacked = 0;
    for (int l = 0; l + 1 < machine->layers; l++)
        stacked += hm_arena_bytes(2 * updates * rows * machine->layer[l].units) +
                   hm_arena_bytes(2 * updates * rows * machine->layer[l + 1].units);
    return ((size_t)updates + 3) * states + 2 * visible + stacked + 2 * hm_layer_bytes(machine, rows) +
           hm_arena_bytes(hm_all_units(machine));
}

/* ---- forward ---------------------------------------------------------------------------------------------------- */

static hm_status choose_missing(unrolled *u)
{
    const hm_shard *shard = u->shard;
    int64_t V = u->machine->layer[0].units;
    hm_stream stream = {shard->seed, HM_RNG_MISSING, shard->step};
    float share = (float)shard->how->missing;
    HM_TRY(hm_arena_floats(shard->scratch, u->rows * V, &u->v));
    HM_TRY(hm_arena_floats(shard->scratch, u->rows * V, &u->missing));
    hm_shard_visible(u->model, shard, u->v);
    for (int64_t row = 0; row < u->rows; row++) {
        float *missing = u->missing + row * V;
        hm_kernels_best()->uniform(&stream, shard->first_row + row, V, missing);
        for (int64_t i = 0; i < V; i++) missing[i] = missing[i] < share ? 1.0f : 0.0f;
    }
    return HM_OK;
}

/* Seen units are what they are. */
static void show_seen(const unrolled *u, float *q)
{
    int64_t size = u->rows * u->machine->layer[0].units;
    for (int64_t i = 0; i < size; i++) q[i] = u->missing[i] > 0 ? q[i] : u->v[i];
}

/* Even layers before the first sweep: sigmoid(b), and the seen units. */
static void start(const unrolled *u)
{
    for (int l = 0; l < u->machine->layers; l += 2) {
        int64_t units = u->machine->layer[l].units;
        float *q = u->at[0].at[l];
        memset(q, 0, (size_t)(u->rows * units) * sizeof(float));
        hm_kernels_best()->activate(u->rows, units, q, 1.0f, hm_model_tensor(u->model, u->machine->layer[l].bias), q,
                                    NULL, NULL, 0);
    }
    show_seen(u, u->at[0].at[0]);
}

/* What a layer of sweep t is computed from: even layers of the sweep before, or odd ones of this. */
static hm_states neighbours(const unrolled *u, int64_t t, hm_side side)
{
    hm_states from = {.rows = u->rows};
    for (int l = 0; l < u->machine->layers; l++) from.at[l] = u->at[side == HM_ODD && l % 2 == 0 ? t - 1 : t].at[l];
    return from;
}

static hm_status sweep(const unrolled *u, int64_t t)
{
    for (hm_side side = HM_ODD;; side = HM_EVEN) {
        hm_states from = neighbours(u, t, side);
        hm_half_step step = {.side = side, .from = &from, .prob = &u->at[t], .beta = 1};
        HM_TRY(hm_machine_half(u->model, u->machine, &step, u->shard->scratch));
        if (side == HM_EVEN) break;
    }
    show_seen(u, u->at[t].at[0]);
    return HM_OK;
}

static hm_status forward(unrolled *u)
{
    HM_TRY(choose_missing(u));
    for (int64_t t = 0; t <= u->updates; t++) {
        HM_TRY(hm_side_alloc(u->machine, HM_EVEN, u->rows, u->shard->scratch, &u->at[t]));
        HM_TRY(hm_side_alloc(u->machine, HM_ODD, u->rows, u->shard->scratch, &u->at[t]));
    }
    start(u);
    for (int64_t t = 1; t <= u->updates; t++) HM_TRY(sweep(u, t));
    return HM_OK;
}

/* ---- backward --------------------------------------------------------------------------------------------------- */

/* Where rows of the products of a weight matrix are stacked. With delta = dJ / d(input of a layer), inputs being
 * x_{l-1} W_{l-1} + x_{l+1} W_l', a layer gives dW_{l-1} += x_{l-1}'delta and dW_l += delta'x_{l+1}. */
typedef struct stack {
    int64_t rows;
    float *a[HM_LAYERS_MAX], *b[HM_LAYERS_MAX];
    int64_t used[HM_LAYERS_MAX];
} stack;

static hm_status stack_init(const unrolled *u, stack *s)
{
    int64_t most = 2 * u->updates * u->rows;
    s->rows = u->rows;
    for (int l = 0; l + 1 < u->machine->layers; l++) {
        HM_TRY(hm_arena_floats(u->shard->scratch, most * u->machine->layer[l].units, &s->a[l]));
        HM_TRY(hm_arena_floats(u->shard->scratch, most * u->machine->layer[l + 1].units, &s->b[l]));
    }
    return HM_OK;
}

static void push(const unrolled *u, stack *s, int weights, const float *lower, const float *upper)
{
    int64_t a = u->machine->layer[weights].units, b = u->machine->layer[weights + 1].units;
    memcpy(s->a[weights] + s->used[weights] * a, lower, (size_t)(u->rows * a) * sizeof(float));
    memcpy(s->b[weights] + s->used[weights] * b, upper, (size_t)(u->rows * b) * sizeof(float));
    s->used[weights] += u->rows;
}

/* slope holds dJ/dx of a layer of sweep t, and becomes dJ/d(input). */
static void through_sigmoid(const unrolled *u, int64_t t, int l, float *slope)
{
    int64_t size = u->rows * u->machine->layer[l].units;
    const float *x = u->at[t].at[l];
    for (int64_t i = 0; i < size; i++) slope[i] *= x[i] * (1 - x[i]);
    /* A seen unit is no function of anything. */
    for (int64_t i = 0; l == 0 && i < size; i++) slope[i] *= u->missing[i];
}

/* From delta of a side of sweep t to gradients, and to dJ/dx of its neighbours, which is set (not added to). */
static hm_status back(const unrolled *u, int64_t t, hm_side side, const hm_states *delta, stack *s)
{
    const hm_machine *machine = u->machine;
    hm_states from = neighbours(u, t, side);
    for (int l = side; l < machine->layers; l += 2) {
        int64_t units = machine->layer[l].units;
        hm_kernels_best()->add_columns(u->rows, units, delta->at[l], 1.0f,
                                       hm_shard_direct(u->shard, &u->model->layout, machine->layer[l].bias));
        if (l > 0) push(u, s, l - 1, from.at[l - 1], delta->at[l]);
        if (l + 1 < machine->layers) push(u, s, l, delta->at[l], from.at[l + 1]);
    }
    /* x_n enters its neighbours' inputs by the same weights by which they enter its own. */
    for (int l = side == HM_EVEN ? 1 : 0; l < machine->layers; l += 2)
        HM_TRY(hm_layer_input(machine, l, delta, u->shard->scratch, delta->at[l]));
    return HM_OK;
}

/* dJ/dx of the last sweep's visible units times x (1 - x) is v - q where a unit is missing. */
static void slope_of_prediction(const unrolled *u, hm_states *delta)
{
    int64_t size = u->rows * u->machine->layer[0].units;
    for (int l = 2; l < u->machine->layers; l += 2)
        memset(delta->at[l], 0, (size_t)(u->rows * u->machine->layer[l].units) * sizeof(float));
    for (int64_t i = 0; i < size; i++) delta->at[0][i] = u->missing[i] * (u->v[i] - u->at[u->updates].at[0][i]);
}

static hm_status backward(const unrolled *u, stack *s)
{
    const hm_machine *machine = u->machine;
    hm_states delta = {.rows = u->rows};
    HM_TRY(hm_side_alloc(machine, HM_EVEN, u->rows, u->shard->scratch, &delta));
    HM_TRY(hm_side_alloc(machine, HM_ODD, u->rows, u->shard->scratch, &delta));
    slope_of_prediction(u, &delta);
    for (int64_t t = u->updates; t >= 1; t--) {
        for (int l = 0; t < u->updates && l < machine->layers; l += 2) through_sigmoid(u, t, l, delta.at[l]);
        HM_TRY(back(u, t, HM_EVEN, &delta, s));
        for (int l = 1; l < machine->layers; l += 2) through_sigmoid(u, t, l, delta.at[l]);
        HM_TRY(back(u, t, HM_ODD, &delta, s));
    }
    /* The start, sigmoid(b). */
    for (int l = 0; l < machine->layers; l += 2) {
        through_sigmoid(u, 0, l, delta.at[l]);
        hm_kernels_best()->add_columns(u->rows, machine->layer[l].units, delta.at[l], 1.0f,
                                       hm_shard_direct(u->shard, &u->model->layout, machine->layer[l].bias));
    }
    return HM_OK;
}

/* ---- the objective ---------------------------------------------------------------------------------------------- */

static hm_status unroll(const hm_model *model, const hm_machine *machine, int64_t updates, hm_shard *shard, unrolled *u)
{
    *u = (unrolled){.model = model, .machine = machine, .shard = shard, .updates = updates, .rows = shard->data.rows};
    return forward(u);
}

hm_status hm_multi_prediction_gradient(const hm_model *model, const hm_machine *machine, int64_t updates,
                                       hm_shard *shard)
{
    unrolled u;
    stack s = {0};
    HM_TRY(unroll(model, machine, updates, shard, &u));
    HM_TRY(stack_init(&u, &s));
    HM_TRY(backward(&u, &s));
    for (int l = 0; l + 1 < machine->layers; l++)
        shard->outer[machine->weights[l]] = (hm_outer){.a = {s.a[l], s.used[l], machine->layer[l].units},
                                                       .b = {s.b[l], s.used[l], machine->layer[l + 1].units}};
    return HM_OK;
}

const hm_monitor hm_multi_prediction_monitors[] = {
    {"prediction", "nats", "mean of -log q of the missing visible units of the minibatch"},
    {"prediction_error", NULL, "share of the missing visible units that q has on the wrong side of a half"},
    {NULL, NULL, NULL},
};

hm_status hm_multi_prediction_monitor(const hm_model *model, const hm_machine *machine, int64_t updates,
                                      hm_shard *shard)
{
    unrolled u;
    HM_TRY(unroll(model, machine, updates, shard, &u));
    int64_t V = machine->layer[0].units;
    const float *q = u.at[updates].at[0];
    for (int64_t row = 0; row < u.rows; row++) {
        double cost = 0, wrong = 0, count = 0;
        for (int64_t i = row * V; i < (row + 1) * V; i++) {
            if (!(u.missing[i] > 0)) continue;
            double p = fmin(fmax((double)q[i], 1e-30), 1 - 1e-7), v = (double)u.v[i];
            cost -= v * log(p) + (1 - v) * log(1 - p);
            wrong += (v >= 0.5) != (p >= 0.5);
            count++;
        }
        shard->monitors[0] += count > 0 ? cost / count : 0;
        shard->monitors[1] += count > 0 ? wrong / count : 0;
    }
    return HM_OK;
}
