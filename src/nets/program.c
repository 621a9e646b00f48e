#include "nets/program.h"

#include <string.h>

/* ---- writing down ----------------------------------------------------------------------------------------------- */

/* A list that is too long is found by hm_program_run. */
static void add(hm_program *program, hm_step step)
{
    if (program->stretches.count == 0) program->stretches.count = 1;
    if (program->count < HM_STEPS_MAX) program->step[program->count] = step;
    program->count++;
    if (step.exchanges) program->stretches.count++;
}

void hm_program_call(hm_program *program, hm_call call, int argument)
{
    add(program, (hm_step){.call = call, .layer = argument});
}

/* The step that measures comes first, where a layer has statistics. */
static void add_layer(hm_program *program, const hm_net *net, int pass, int l, bool backward)
{
    const hm_net_layer *layer = &net->layer[l];
    if (layer->class->sums) {
        int64_t sums = layer->class->sums(layer);
        if (sums > program->stretches.exchange) program->stretches.exchange = sums;
        add(program, (hm_step){.kind = backward ? HM_STEP_MEASURE_BACK : HM_STEP_MEASURE,
                               .net = net,
                               .pass = pass,
                               .layer = l,
                               .exchanges = !layer->by_shard});
    }
    add(program,
        (hm_step){.kind = backward ? HM_STEP_BACKWARD : HM_STEP_FORWARD, .net = net, .pass = pass, .layer = l});
}

void hm_program_forward(hm_program *program, const hm_net *net, int pass)
{
    for (int l = 0; l < net->count; l++) add_layer(program, net, pass, l, false);
}

void hm_program_backward(hm_program *program, const hm_net *net, int pass)
{
    for (int l = net->count - 1; l >= 0; l--) add_layer(program, net, pass, l, true);
}

/* ---- passes ------------------------------------------------------------------------------------------------------ */

hm_pass hm_pass_of(const hm_shard *shard, int64_t times, float *input)
{
    return (hm_pass){.rows = shard->data.rows * times,
                     .first_row = shard->first_row * times,
                     .training = true,
                     .seed = shard->seed,
                     .step = shard->step,
                     .at = {input}};
}

/* ---- running ---------------------------------------------------------------------------------------------------- */

size_t hm_work_bytes(void) { return hm_arena_bytes((int64_t)(sizeof(hm_work) / sizeof(float)) + 1); }

static hm_status backward(const hm_model *model, hm_shard *shard, const hm_step *step, hm_pass *pass)
{
    const hm_net_layer *layer = &step->net->layer[step->layer];
    const hm_layer_class *class = layer->class;
    float *more = NULL, *input = NULL;
    bool wanted = step->layer > 0 || pass->back;
    if (class->takes) HM_TRY(hm_arena_floats(shard->scratch, class->takes(layer, pass->rows), &more));
    if (class->in_place)
        input = pass->delta;
    else if (wanted)
        HM_TRY(hm_arena_floats(shard->scratch, pass->rows * hm_shape_size(layer->in), &input));
    class->backward(model, layer, pass, step->layer, shard, more, input);
    pass->delta = input;
    return HM_OK;
}

/* The last of a part's sums counts the values in them. */
static hm_status require_variance(const hm_net_layer *layer, const hm_pass *pass)
{
    HM_REQUIRE(pass->sums[layer->class->sums(layer) / HM_PARTS_MAX - 1] > 1, HM_EUSAGE,
               "%s: a batch of one row has no variance; raise train.batch%s", layer->class->name,
               layer->by_shard ? " to two rows for each shard" : "");
    return HM_OK;
}

static hm_status run_step(const hm_model *model, hm_shard *shard, hm_work *work, const hm_step *step)
{
    hm_pass *pass = &work->pass[step->pass];
    if (step->call) return step->call(model, shard, work, step->layer);
    const hm_net_layer *layer = &step->net->layer[step->layer];
    pass->sums = shard->exchange;
    switch (step->kind) {
    case HM_STEP_MEASURE: layer->class->measure(layer, pass, step->layer); break;
    case HM_STEP_MEASURE_BACK: layer->class->measure_back(layer, pass, step->layer); break;
    case HM_STEP_FORWARD: {
        if (step->layer == 0) HM_TRY(hm_net_begin(step->net, pass, shard->scratch));
        if (layer->class->sums) HM_TRY(require_variance(layer, pass));
        layer->class->forward(model, layer, pass, step->layer);
        break;
    }
    case HM_STEP_BACKWARD: return backward(model, shard, step, pass);
    }
    return HM_OK;
}

hm_status hm_program_run(const hm_program *program, const hm_model *model, hm_shard *shard)
{
    HM_REQUIRE(program->count <= HM_STEPS_MAX, HM_EUSAGE, "these nets take %d steps; there may be %d", program->count,
               HM_STEPS_MAX);
    if (shard->stretch == 0) {
        float *room;
        HM_TRY(hm_arena_floats(shard->scratch, (int64_t)(sizeof(hm_work) / sizeof(float)) + 1, &room));
        shard->work = room;
        memset(shard->work, 0, sizeof(hm_work));
    }
    hm_work *work = shard->work;
    while (work->at < program->count) {
        const hm_step *step = &program->step[work->at++];
        HM_TRY(run_step(model, shard, work, step));
        if (step->exchanges) return HM_OK;
    }
    return HM_OK;
}
