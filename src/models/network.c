/* A feed-forward network that tells classes: layers as the configuration lists them, then a dense layer and a softmax,
 *
 *   p(y | v) = softmax(net(v) U + d),
 *
 * trained by back-propagation of sum log p(y | v) (Rumelhart, Hinton, Williams 1986).
 */
#include "core/memory.h"
#include "nets/class_loss.h"
#include "nets/program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- settings and tensors --------------------------------------------------------------------------------------- */

typedef struct network_settings {
    char *layers;
    int64_t classes;
    bool real;
} network_settings;

#define FIELD(NAME) .offset = offsetof(network_settings, NAME)
static const hm_setting network_entries[] = {
    {.key = "layers",
     .type = HM_SET_LIST,
     FIELD(layers),
     .fallback = "[dense 500, relu]",
     .describe = "layers from the data up; a dense layer to the classes follows them"},
    {.key = "classes",
     .type = HM_SET_INT,
     FIELD(classes),
     .min = 2,
     .max = 100000,
     .fallback = "10",
     .describe = "classes of labels"},
    {.key = "real_data",
     .type = HM_SET_BOOL,
     FIELD(real),
     .fallback = "false",
     .describe = "the data may be any numbers, not only from 0 to 1"},
    {.key = NULL},
};
#undef FIELD

typedef struct network {
    hm_net net;
    hm_program program;
} network;

static network *network_of(const hm_model *model) { return model->state; }
static int64_t network_classes(const void *settings) { return ((const network_settings *)settings)->classes; }
static bool takes_reals(const void *settings) { return ((const network_settings *)settings)->real; }

/* ---- the loss --------------------------------------------------------------------------------------------------- */

static hm_status enter(const hm_model *model, hm_shard *shard, hm_work *work, int argument)
{
    float *v;
    (void)argument;
    HM_TRY(hm_arena_floats(shard->scratch, shard->data.rows * model->visible, &v));
    hm_shard_visible(model, shard, v);
    work->pass[0] = hm_pass_of(shard, 1, v);
    return HM_OK;
}

static hm_status loss(const hm_model *model, hm_shard *shard, hm_work *work, int argument)
{
    const network *own = network_of(model);
    hm_pass *pass = &work->pass[0];
    float *p = pass->at[own->net.count];
    (void)argument;
    hm_softmax(pass->rows, model->classes, NULL, p);
    HM_TRY(hm_arena_floats(shard->scratch, pass->rows * model->classes, &pass->delta));
    hm_class_delta(model, shard, p, pass->delta);
    return HM_OK;
}

/* ---- a model ---------------------------------------------------------------------------------------------------- */

static hm_status read_net(const network_settings *settings, int64_t visible, hm_net *net)
{
    char top[48];
    snprintf(top, sizeof top, "dense %lld", (long long)settings->classes);
    HM_TRY(hm_net_read(net, "layers", settings->layers, (hm_shape){1, 1, visible}, 0));
    return hm_net_append(net, "layers", top, (hm_shape){1, 1, visible}, 0);
}

static hm_status network_declare(hm_model *model)
{
    HM_TRY(hm_alloc(&model->state, 1, sizeof(network), "a network"));
    network *own = network_of(model);
    HM_TRY(read_net(model->settings, model->visible, &own->net));
    HM_TRY(hm_net_check_use(&own->net));
    hm_program_call(&own->program, enter, 0);
    hm_program_forward(&own->program, &own->net, 0);
    hm_program_call(&own->program, loss, 0);
    hm_program_backward(&own->program, &own->net, 0);
    return hm_net_declare(model, &own->net);
}

static hm_status network_allocate(hm_model *model) { return hm_net_allocate(&network_of(model)->net); }

static void network_destroy(hm_model *model)
{
    if (model->state) hm_net_free(&network_of(model)->net);
    free(model->state);
}

static hm_status network_init(hm_model *model, uint64_t seed, const float base_rates[])
{
    (void)base_rates;
    model->seed = seed;
    return hm_net_init(model, &network_of(model)->net, seed);
}

static void network_refresh(hm_model *model) { hm_net_refresh(model, &network_of(model)->net); }

/* ---- classification as an objective ----------------------------------------------------------------------------- */

static hm_stretches stretches(const hm_model *model, const hm_objective *objective, bool adversary)
{
    (void)objective, (void)adversary;
    return network_of(model)->program.stretches;
}

static size_t scratch_bytes(const hm_model *model, const hm_contrast_settings *how, int shards, int64_t rows,
                            int64_t chains)
{
    (void)how, (void)shards, (void)chains;
    return hm_work_bytes() + hm_arena_bytes(rows * model->visible) + hm_arena_bytes(rows * model->classes) +
           hm_net_bytes(&network_of(model)->net, rows, true);
}

static hm_status gradient(const hm_model *model, hm_shard *shard)
{
    return hm_program_run(&network_of(model)->program, model, shard);
}

static void finish(hm_model *model, const hm_contrast_settings *how, bool adversary, int64_t batch, float *grad)
{
    (void)adversary;
    (void)how;
    hm_net_finish(model, &network_of(model)->net, batch, grad);
}

static hm_status network_classify(const hm_model *model, hm_matrix v, hm_arena *scratch, float *out);

static hm_status monitor(const hm_model *model, hm_shard *shard)
{
    hm_matrix v = {NULL, shard->data.rows, model->visible};
    float *p;
    HM_TRY(hm_arena_floats(shard->scratch, v.rows * v.columns, &v.at));
    HM_TRY(hm_arena_floats(shard->scratch, v.rows * model->classes, &p));
    hm_shard_visible(model, shard, v.at);
    HM_TRY(network_classify(model, v, shard->scratch, p));
    hm_class_monitor(model, shard, p, shard->monitors);
    return HM_OK;
}

/* ---- use -------------------------------------------------------------------------------------------------------- */

static bool classifies(const hm_model *model)
{
    (void)model;
    return true;
}

static hm_status network_classify(const hm_model *model, hm_matrix v, hm_arena *scratch, float *out)
{
    float *p;
    HM_TRY(hm_net_apply(model, &network_of(model)->net, v, scratch, &p));
    hm_softmax(v.rows, model->classes, NULL, p);
    memcpy(out, p, (size_t)(v.rows * model->classes) * sizeof(float));
    return HM_OK;
}

/* The input of the last layer. */
static int64_t feature_units(const hm_model *model)
{
    const hm_net *net = &network_of(model)->net;
    return hm_shape_size(net->layer[net->count - 1].in);
}

static hm_status features(const hm_model *model, hm_matrix v, hm_arena *scratch, float *out)
{
    hm_net below = network_of(model)->net;
    float *at = v.at;
    below.count--;
    if (below.count > 0) HM_TRY(hm_net_apply(model, &below, v, scratch, &at));
    memcpy(out, at, (size_t)(v.rows * feature_units(model)) * sizeof(float));
    return HM_OK;
}

static size_t classify_bytes(const hm_model *model, int64_t rows)
{
    return hm_net_bytes(&network_of(model)->net, rows, false);
}

/* ---- the table -------------------------------------------------------------------------------------------------- */

static const hm_objective classify = {
    .name = "classify",
    .describe = "log p(label | v), by back-propagation",
    .monitors = hm_class_monitors,
    .reads = "",
    .scratch_bytes = scratch_bytes,
    .stretches = stretches,
    .gradient = gradient,
    .monitor = monitor,
    .finish = finish,
};

static const hm_objective *const network_objectives[] = {&classify, NULL};

const hm_model_class hm_model_network = {
    .name = "network",
    .describe = "feed-forward network that tells classes, layers as listed",
    .settings = {"model", network_entries},
    .settings_size = sizeof(network_settings),
    .takes_reals = takes_reals,
    .classes = network_classes,
    .declare = network_declare,
    .allocate = network_allocate,
    .destroy = network_destroy,
    .init = network_init,
    .refresh = network_refresh,
    .objectives = network_objectives,
    .classifies = classifies,
    .classify = network_classify,
    .classify_bytes = classify_bytes,
    .feature_units = feature_units,
    .features = features,
};
