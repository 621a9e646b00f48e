#include "boltzmann/labels.h"

#include "core/kernels.h"
#include "nets/class_loss.h"
#include "core/memory.h"

#include <math.h>
#include <string.h>

typedef struct parts {
    int64_t own, labels, hidden;
    const float *U, *b, *d, *c; /* (labels, hidden) ... */
} parts;

static parts parts_of(const hm_model *model, const hm_machine *machine)
{
    const hm_layer *layer = &machine->layer[0];
    parts p = {.own = layer->units - layer->labels, .labels = layer->labels, .hidden = machine->layer[1].units};
    p.b = hm_model_tensor(model, layer->bias);
    p.d = p.b + p.own;
    p.c = hm_model_tensor(model, machine->layer[1].bias);
    p.U = hm_model_tensor(model, machine->weights[0]) + p.own * p.hidden;
    return p;
}

/* inputs (rows, hidden) = x W + c, without labels. x is padded with label units that are off. */
static hm_status inputs_of(const hm_machine *machine, const parts *p, hm_matrix x, hm_arena *scratch, float **inputs)
{
    int64_t units = p->own + p->labels;
    size_t mark;
    float *padded;
    HM_TRY(hm_arena_floats(scratch, x.rows * p->hidden, inputs));
    mark = scratch->used;
    HM_TRY(hm_arena_floats(scratch, x.rows * units, &padded));
    for (int64_t row = 0; row < x.rows; row++) {
        memcpy(padded + row * units, x.at + row * x.columns, (size_t)p->own * sizeof(float));
        memset(padded + row * units + p->own, 0, (size_t)p->labels * sizeof(float));
    }
    hm_product((hm_matrix){padded, x.rows, units}, &machine->up[0], *inputs);
    scratch->used = mark;
    for (int64_t row = 0; row < x.rows; row++)
        hm_kernels_best()->add(p->hidden, *inputs + row * p->hidden, p->c, *inputs + row * p->hidden);
    return HM_OK;
}

size_t hm_labels_bytes(const hm_machine *machine, int64_t rows)
{
    const hm_layer *layer = &machine->layer[0];
    return hm_arena_bytes(rows * machine->layer[1].units) + hm_arena_bytes(rows * layer->units) +
           hm_arena_bytes(2 * layer->labels) + hm_arena_bytes(rows * layer->labels);
}

/* scores[y] = d_y + scale sum_j softplus(o_yj), and their log-sum. */
static double score_labels(const parts *p, const float *input, double scale, double scores[])
{
    double most = -INFINITY, sum = 0;
    for (int64_t y = 0; y < p->labels; y++) {
        double softplus = hm_kernels_best()->sum_softplus(p->hidden, input, 1.0f, p->U + y * p->hidden);
        scores[y] = (double)p->d[y] + scale * softplus;
        most = fmax(most, scores[y]);
    }
    for (int64_t y = 0; y < p->labels; y++) sum += exp(scores[y] - most);
    return most + log(sum);
}

hm_status hm_labels_probability(const hm_model *model, const hm_machine *machine, hm_matrix x, hm_arena *scratch,
                                double *log_sum, float *probs)
{
    parts p = parts_of(model, machine);
    hm_layer own = machine->layer[0];
    float *inputs;
    double *scores;
    size_t mark = scratch->used;
    own.units = p.own;
    own.labels = 0;
    HM_TRY(inputs_of(machine, &p, x, scratch, &inputs));
    HM_TRY(hm_arena_doubles(scratch, p.labels, &scores));
    for (int64_t row = 0; row < x.rows; row++) {
        double total = score_labels(&p, inputs + row * p.hidden, 1, scores);
        for (int64_t y = 0; probs && y < p.labels; y++) probs[row * p.labels + y] = (float)exp(scores[y] - total);
        if (log_sum)
            log_sum[row] = total + hm_units_score(&own, x.at + row * x.columns, p.b, hm_layer_variance(machine, 0));
    }
    scratch->used = mark;
    return HM_OK;
}

hm_status hm_labels_draw(const hm_model *model, const hm_machine *machine, hm_matrix states, const hm_stream *stream,
                         int64_t first_row, hm_arena *scratch)
{
    int64_t labels = machine->layer[0].labels, own = machine->layer[0].units - labels;
    const hm_layer group = {.units = labels, .labels = labels, .log_variance = -1};
    size_t mark = scratch->used;
    float *probs;
    HM_TRY(hm_arena_floats(scratch, states.rows * labels, &probs));
    HM_TRY(hm_labels_probability(model, machine, states, scratch, NULL, probs));
    for (int64_t row = 0; row < states.rows; row++)
        hm_units_draw(&group, probs + row * labels, NULL, stream, first_row + row,
                      states.at + row * states.columns + own);
    scratch->used = mark;
    return HM_OK;
}

/* ---- the gradient ----------------------------------------------------------------------------------------------- */

size_t hm_labels_gradient_bytes(const hm_machine *machine, int64_t rows, int64_t rows_there)
{
    const hm_layer *layer = &machine->layer[0];
    int64_t all = rows_there + rows + layer->labels;
    return hm_labels_bytes(machine, rows) + hm_arena_bytes(all * layer->units) +
           hm_arena_bytes(all * machine->layer[1].units) + 3 * hm_arena_bytes(machine->layer[1].units) +
           hm_arena_bytes(rows * layer->units) + hm_arena_bytes(layer->units);
}

static const float OFF = -1e30f; /* input of a unit that is off whatever the label: its softplus and sigmoid are 0 */

/* Of x (rows, units), those of layer l that this update leaves out become `off` and the others, a share `keep`, are
 * divided by `keep_as` (Srivastava et al. 2014, section 8). */
static hm_status leave_out(const hm_shard *shard, int l, float keep, int64_t units, float off, float keep_as, float *x)
{
    hm_stream stream = hm_dropout_stream(shard, l);
    float *uniform;
    if (keep == 1) return HM_OK;
    HM_TRY(hm_arena_floats(shard->scratch, units, &uniform));
    for (int64_t row = 0; row < shard->data.rows; row++, x += units) {
        hm_kernels_best()->uniform(&stream, shard->first_row + row, units, uniform);
        for (int64_t i = 0; i < units; i++) x[i] = uniform[i] < keep ? x[i] / keep_as : off;
    }
    return HM_OK;
}

/* Of one row: b of its product with [x, 0] is the sum over y of with_y, which is added to that of y's unit, too. What
 * hidden units add counts `scale` times, for those that are left out. */
static void row_gradient(const parts *p, const float *input, int64_t label, double scale, double scores[],
                         float *with_y, float *with_x, float *with_labels, float *dd)
{
    double total = score_labels(p, input, scale, scores);
    memset(with_x, 0, (size_t)p->hidden * sizeof(float));
    for (int64_t y = 0; y < p->labels; y++) {
        float error = (y == label ? 1.0f : 0.0f) - (float)exp(scores[y] - total);
        hm_kernels_best()->activate(1, p->hidden, input, 1.0f, p->U + y * p->hidden, with_y, NULL, NULL, 0);
        hm_kernels_best()->add_columns(1, p->hidden, with_y, error * (float)scale, with_x);
        hm_kernels_best()->add_columns(1, p->hidden, with_y, error * (float)scale, with_labels + y * p->hidden);
        dd[y] += error;
    }
}

/* Products behind those that are there: a row of [x, 0] for each row of the data, and one of [0, y] for each label. */
static hm_status stack_products(const parts *p, hm_shard *shard, const float *x, hm_outer *outer, float **b)
{
    int64_t there = outer->a.rows, rows = shard->data.rows, units = p->own + p->labels, all = there + rows + p->labels;
    float *a;
    HM_TRY(hm_arena_floats(shard->scratch, all * units, &a));
    HM_TRY(hm_arena_floats(shard->scratch, all * p->hidden, b));
    if (there > 0) {
        memcpy(a, outer->a.at, (size_t)(there * units) * sizeof(float));
        memcpy(*b, outer->b.at, (size_t)(there * p->hidden) * sizeof(float));
    }
    *outer = (hm_outer){.a = {a, all, units}, .b = {*b, all, p->hidden}};
    a += there * units;
    *b += there * p->hidden;
    memset(a, 0, (size_t)((all - there) * units) * sizeof(float));
    for (int64_t row = 0; row < rows; row++) memcpy(a + row * units, x + row * p->own, (size_t)p->own * sizeof(float));
    for (int64_t y = 0; y < p->labels; y++) a[(rows + y) * units + p->own + y] = 1.0f;
    memset(*b + rows * p->hidden, 0, (size_t)(p->labels * p->hidden) * sizeof(float));
    return HM_OK;
}

hm_status hm_labels_gradient(const hm_model *model, const hm_machine *machine, hm_shard *shard)
{
    parts p = parts_of(model, machine);
    int64_t rows = shard->data.rows;
    float keep_visible = (float)(1 - shard->how->dropout_visible), keep_hidden = (float)(1 - shard->how->dropout);
    float *x, *inputs, *with_y, *b;
    double *scores;
    HM_TRY(hm_arena_floats(shard->scratch, rows * p.own, &x));
    HM_TRY(hm_arena_floats(shard->scratch, p.hidden, &with_y));
    HM_TRY(hm_arena_doubles(shard->scratch, p.labels, &scores));
    hm_shard_visible(model, shard, x);
    HM_TRY(leave_out(shard, 0, keep_visible, p.own, 0, keep_visible, x));
    HM_TRY(inputs_of(machine, &p, (hm_matrix){x, rows, p.own}, shard->scratch, &inputs));
    HM_TRY(leave_out(shard, 1, keep_hidden, p.hidden, OFF, 1, inputs));
    HM_TRY(stack_products(&p, shard, x, &shard->outer[machine->weights[0]], &b));
    float *dd = hm_shard_direct(shard, &model->layout, machine->layer[0].bias) + p.own;
    for (int64_t row = 0; row < rows; row++) {
        int64_t label = hm_most_probable(shard->data.at + row * shard->data.columns + p.own, p.labels);
        row_gradient(&p, inputs + row * p.hidden, label, 1 / (double)keep_hidden, scores, with_y, b + row * p.hidden,
                     b + rows * p.hidden, dd);
    }
    hm_kernels_best()->add_columns(rows, p.hidden, b, 1.0f,
                                   hm_shard_direct(shard, &model->layout, machine->layer[1].bias));
    return HM_OK;
}

hm_status hm_labels_monitor(const hm_model *model, const hm_machine *machine, hm_shard *shard, double monitors[2])
{
    parts p = parts_of(model, machine);
    float *probs;
    HM_TRY(hm_arena_floats(shard->scratch, shard->data.rows * p.labels, &probs));
    HM_TRY(hm_labels_probability(model, machine, shard->data, shard->scratch, NULL, probs));
    hm_class_monitor(model, shard, probs, monitors);
    return HM_OK;
}
