#include "nets/net.h"

#include "core/kernels.h"
#include "core/memory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const hm_layer_class *const hm_layer_classes[] = {
    &hm_layer_dense,
    &hm_layer_maxout,
    &hm_layer_relu,
    &hm_layer_leaky_relu,
    &hm_layer_tanh,
    &hm_layer_sigmoid,
    &hm_layer_softplus,
    &hm_layer_dropout,
    &hm_layer_batch_norm,
    &hm_layer_reshape,
    &hm_layer_minibatch,
    &hm_layer_conv,
    &hm_layer_transposed_conv,
    NULL,
};

/* ---- reading ---------------------------------------------------------------------------------------------------- */

char *hm_next_word(char **words)
{
    char *word = *words + strspn(*words, " ");
    size_t length = strcspn(word, " ");
    if (length == 0) return NULL;
    *words = word + length + (word[length] == ' ');
    word[length] = '\0';
    return word;
}

hm_status hm_next_real(const hm_net_layer *layer, char **words, const char *what, double least, double most,
                       double *out)
{
    const char *word = hm_next_word(words);
    char *end = NULL;
    *out = word ? strtod(word, &end) : (double)NAN;
    HM_REQUIRE(word && end != word && *end == '\0' && *out >= least && *out <= most, HM_EUSAGE,
               "%s: %s must be a number from %g to %g, as in `%s`", layer->class->name, what, least, most,
               layer->class->usage);
    return HM_OK;
}

hm_status hm_next_integer(const hm_net_layer *layer, char **words, const char *what, int64_t least, int64_t most,
                          int64_t *out)
{
    double value;
    HM_TRY(hm_next_real(layer, words, what, (double)least, (double)most, &value));
    HM_REQUIRE(value == floor(value), HM_EUSAGE, "%s: %s must be a whole number, as in `%s`", layer->class->name, what,
               layer->class->usage);
    *out = (int64_t)value;
    return HM_OK;
}

static const hm_layer_class *find_class(const char *name)
{
    for (const hm_layer_class *const *class = hm_layer_classes; *class; class ++)
        if (strcmp((*class)->name, name) == 0) return *class;
    return NULL;
}

static hm_status unknown_layer(const char *key, const char *name)
{
    char known[256] = "";
    size_t used = 0;
    for (const hm_layer_class *const *class = hm_layer_classes; *class && used < sizeof known; class ++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", (*class)->name);
    return hm_fail(HM_EUSAGE, "model.%s: there is no layer '%s'; known: %s", key, name, known);
}

/* "model.encoder, layer 3, ..." before a message about a layer. */
static hm_status in_layer(const char *key, int number, hm_status status)
{
    if (status != HM_EUSAGE) return status;
    return hm_fail_at(status, "model.%s, layer %d, ", key, number);
}

bool hm_next_item(const char **at, char item[HM_LAYER_WORDS])
{
    const char *begin = *at + (**at == '[');
    size_t length = strcspn(begin, ",]");
    if (*begin == '\0' || *begin == ']') return false;
    snprintf(item, HM_LAYER_WORDS, "%.*s", (int)length, begin); /* one that is too long fills it, and is refused */
    *at = begin + length + (begin[length] == ',');
    return true;
}

hm_status hm_net_append(hm_net *net, const char *key, const char *item, hm_shape in, int number)
{
    char words[HM_LAYER_WORDS], *rest = words;
    HM_REQUIRE(net->count < HM_NET_LAYERS_MAX, HM_EUSAGE, "model.%s: more than %d layers", key, HM_NET_LAYERS_MAX);
    HM_REQUIRE(strlen(item) < sizeof words - 1, HM_EUSAGE, "model.%s: a layer of more than %d letters", key,
               (int)sizeof words - 2);
    strcpy(words, item);
    const char *name = hm_next_word(&rest);
    HM_REQUIRE(name, HM_EUSAGE, "model.%s: layer %d is empty", key, net->count + 1);
    hm_net_layer *layer = &net->layer[net->count];
    *layer = (hm_net_layer){.class = find_class(name),
                            .in = net->count ? net->layer[net->count - 1].out : in,
                            .stream = number * HM_NET_LAYERS_MAX + net->count};
    if (!layer->class) return unknown_layer(key, name);
    layer->out = layer->in;
    HM_TRY(in_layer(key, net->count + 1, layer->class->read(layer, rest)));
    net->count++;
    return HM_OK;
}

hm_status hm_net_read(hm_net *net, const char *key, const char *list, hm_shape in, int number)
{
    const char *at = list;
    char item[HM_LAYER_WORDS];
    *net = (hm_net){.count = 0};
    snprintf(net->name, sizeof net->name, "%s", key);
    while (hm_next_item(&at, item)) HM_TRY(hm_net_append(net, key, item, in, number));
    return HM_OK;
}

hm_shape hm_net_out(const hm_net *net) { return net->layer[net->count - 1].out; }

/* ---- a net ------------------------------------------------------------------------------------------------------ */

hm_status hm_layer_tensor(hm_model *model, const hm_net *net, hm_net_layer *layer, const char *name, hm_tensor tensor)
{
    int own = layer->tensors++, number = 1;
    for (const hm_net_layer *before = net->layer; before < layer; before++) number += before->tensors > 0;
    snprintf(layer->names[own], HM_LAYER_NAME, "%s_%s%d", net->name, name, number);
    tensor.name = layer->names[own];
    for (int axis = 0; axis < tensor.dims; axis++) {
        snprintf(layer->axes[own][axis], HM_LAYER_NAME, "%s_%s", layer->names[own], tensor.axes[axis]);
        tensor.axes[axis] = layer->axes[own][axis];
    }
    return hm_layout_add(&model->layout, tensor, &layer->tensor[own]);
}

hm_matrix hm_layer_matrix(const hm_model *model, const hm_net_layer *layer, int tensor)
{
    return hm_pack_matrix(&model->layout, model->params, layer->tensor[tensor]);
}

hm_status hm_net_declare(hm_model *model, hm_net *net)
{
    for (int l = 0; l < net->count; l++)
        if (net->layer[l].class->declare) HM_TRY(net->layer[l].class->declare(model, net, &net->layer[l]));
    return HM_OK;
}

hm_status hm_net_allocate(hm_net *net)
{
    for (int l = 0; l < net->count; l++)
        if (net->layer[l].class->allocate) HM_TRY(net->layer[l].class->allocate(&net->layer[l]));
    return HM_OK;
}

void hm_net_free(hm_net *net)
{
    for (int l = 0; l < net->count; l++) {
        hm_packed_free(&net->layer[l].up);
        hm_packed_free(&net->layer[l].down);
    }
}

hm_status hm_net_init(hm_model *model, const hm_net *net, uint64_t seed)
{
    for (int l = 0; l < net->count; l++)
        if (net->layer[l].class->init) HM_TRY(net->layer[l].class->init(model, &net->layer[l], seed));
    return HM_OK;
}

void hm_net_refresh(hm_model *model, hm_net *net)
{
    for (int l = 0; l < net->count; l++)
        if (net->layer[l].class->refresh) net->layer[l].class->refresh(model, &net->layer[l]);
}

bool hm_net_has(const hm_net *net, int tensor)
{
    for (int l = 0; l < net->count; l++)
        for (int own = 0; own < net->layer[l].tensors; own++)
            if (net->layer[l].tensor[own] == tensor) return true;
    return false;
}

void hm_net_finish(hm_model *model, const hm_net *net, int64_t batch, const float *grad)
{
    for (int l = 0; l < net->count; l++)
        if (net->layer[l].class->finish) net->layer[l].class->finish(model, &net->layer[l], batch, grad);
}

hm_status hm_net_check_use(const hm_net *net)
{
    for (int l = 0; l < net->count; l++)
        HM_REQUIRE(!net->layer[l].class->critic_only, HM_EUSAGE,
                   "model.%s, layer %d, %s: compares the rows of a minibatch, and so is for the discriminator of a gan "
                   "alone",
                   net->name, l + 1, net->layer[l].class->name);
    return HM_OK;
}

bool hm_net_ties_rows(const hm_net *net)
{
    for (int l = 0; l < net->count; l++)
        if (net->layer[l].class->sums) return true;
    return false;
}

const char *hm_net_without_tangents(const hm_net *net)
{
    for (int l = 0; l < net->count; l++)
        if (!net->layer[l].class->tangents) return net->layer[l].class->name;
    return NULL;
}

/* ---- a pass ----------------------------------------------------------------------------------------------------- */

/* Does layer l write over its input? Never over the input of the net, which is the caller's. */
static bool is_in_place(const hm_net *net, int l)
{
    return net->layer[l].class->in_place && l > 0 && !net->layer[l - 1].class->needs_output;
}

static int64_t keeps(const hm_net_layer *layer, int64_t rows)
{
    return layer->class->keeps ? layer->class->keeps(layer, rows) : 0;
}

size_t hm_net_bytes(const hm_net *net, int64_t rows, bool backward)
{
    size_t bytes = 0;
    for (int l = 0; l < net->count; l++) {
        const hm_net_layer *layer = &net->layer[l];
        if (!is_in_place(net, l)) bytes += hm_arena_bytes(rows * hm_shape_size(layer->out));
        bytes += hm_arena_bytes(keeps(layer, rows));
        if (!backward) continue;
        bytes += hm_arena_bytes(rows * hm_shape_size(layer->in));
        bytes += hm_arena_bytes(layer->class->takes ? layer->class->takes(layer, rows) : 0);
    }
    return bytes;
}

hm_status hm_net_begin(const hm_net *net, hm_pass *pass, hm_arena *scratch)
{
    for (int l = 0; l < net->count; l++) {
        const hm_net_layer *layer = &net->layer[l];
        if (is_in_place(net, l))
            pass->at[l + 1] = pass->at[l];
        else
            HM_TRY(hm_arena_floats(scratch, pass->rows * hm_shape_size(layer->out), &pass->at[l + 1]));
        HM_TRY(hm_arena_floats(scratch, keeps(layer, pass->rows), &pass->kept[l]));
    }
    return HM_OK;
}

hm_status hm_net_apply(const hm_model *model, const hm_net *net, hm_matrix input, hm_arena *scratch, float **out)
{
    hm_pass pass = {.rows = input.rows, .at = {input.at}};
    HM_TRY(hm_net_begin(net, &pass, scratch));
    for (int l = 0; l < net->count; l++) net->layer[l].class->forward(model, &net->layer[l], &pass, l);
    *out = pass.at[net->count];
    return HM_OK;
}
