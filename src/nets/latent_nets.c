#include "nets/latent_nets.h"

#include "core/kernels.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static void name_net(hm_net *net, const char *what, int l, int layers)
{
    *net = (hm_net){.count = 0};
    if (layers == 1)
        snprintf(net->name, sizeof net->name, "%s", what);
    else
        snprintf(net->name, sizeof net->name, "%s%c", what, (char)('1' + l));
}

/* N of an item `latent N`, 0 of any other. */
static hm_status read_latent(const char *item, int64_t *units)
{
    static const hm_layer_class class = {.name = "latent", .usage = "latent N"};
    const hm_net_layer layer = {.class = &class};
    char words[HM_LAYER_WORDS], *rest = words;
    snprintf(words, sizeof words, "%s", item);
    const char *name = hm_next_word(&rest);
    *units = 0;
    if (!name || strcmp(name, class.name) != 0) return HM_OK;
    HM_TRY(hm_next_integer(&layer, &rest, "N", 1, 1000000, units));
    const char *more = hm_next_word(&rest);
    HM_REQUIRE(!more, HM_EUSAGE, "latent: '%s' is too much; `%s`", more, class.usage);
    return HM_OK;
}

static hm_status append_dense(hm_net *net, const char *key, int64_t units, hm_shape in, int number)
{
    char item[48];
    snprintf(item, sizeof item, "dense %lld", (long long)units);
    return hm_net_append(net, key, item, in, number);
}

static hm_status count_layers(const char *list, int *layers)
{
    char item[HM_LAYER_WORDS];
    const char *at = list;
    int64_t last = 0;
    *layers = 0;
    while (hm_next_item(&at, item)) {
        HM_TRY(read_latent(item, &last));
        *layers += last > 0;
    }
    HM_REQUIRE(last > 0, HM_EUSAGE,
               "model.encoder: it must end in `latent N`, N variables that the decoder begins with");
    HM_REQUIRE(*layers <= HM_LATENT_LAYERS_MAX, HM_EUSAGE,
               "model.encoder: %d layers of latent variables; there may be %d", *layers, HM_LATENT_LAYERS_MAX);
    return HM_OK;
}

static hm_status read_encoder(hm_latent_nets *own, const char *list, int64_t visible)
{
    char item[HM_LAYER_WORDS];
    const char *at = list;
    hm_shape in = {1, 1, visible};
    int l = 0;
    HM_TRY(count_layers(list, &own->layers));
    name_net(&own->encoder[0], "encoder", 0, own->layers);
    while (hm_next_item(&at, item)) {
        int64_t units;
        HM_TRY(read_latent(item, &units));
        if (units == 0) {
            HM_TRY(hm_net_append(&own->encoder[l], "encoder", item, in, hm_encoder_pass(l)));
            continue;
        }
        HM_TRY(append_dense(&own->encoder[l], "encoder", 2 * units, in, hm_encoder_pass(l)));
        own->units[l] = units;
        in = (hm_shape){1, 1, units};
        if (++l < own->layers) name_net(&own->encoder[l], "encoder", l, own->layers);
    }
    return HM_OK;
}

static hm_status read_decoder(hm_latent_nets *own, const char *list, int64_t visible)
{
    char item[HM_LAYER_WORDS];
    const char *at = list;
    int l = own->layers - 1;
    for (int net = 0; net < own->layers; net++) name_net(&own->decoder[net], "decoder", net, own->layers);
    while (hm_next_item(&at, item)) {
        int64_t units;
        hm_shape in = {1, 1, own->units[l]};
        HM_TRY(read_latent(item, &units));
        HM_REQUIRE(units == 0 || (l > 0 && units == own->units[l - 1]), HM_EUSAGE,
                   "model.decoder: `%s` is not among the encoder's layers of latent variables in reverse", item);
        if (units == 0)
            HM_TRY(hm_net_append(&own->decoder[l], "decoder", item, in, hm_decoder_pass(l)));
        else {
            HM_TRY(append_dense(&own->decoder[l], "decoder", 2 * units, in, hm_decoder_pass(l)));
            l--;
        }
    }
    HM_REQUIRE(l == 0, HM_EUSAGE, "model.decoder: the encoder has %d layers of latent variables, the decoder %d",
               own->layers, own->layers - l);
    return append_dense(&own->decoder[0], "decoder", visible, (hm_shape){1, 1, own->units[0]}, hm_decoder_pass(0));
}

hm_status hm_latent_nets_read(hm_latent_nets *nets, const char *encoder, const char *decoder, int64_t visible)
{
    HM_TRY(read_encoder(nets, encoder, visible));
    HM_TRY(read_decoder(nets, decoder, visible));
    for (int l = 0; l < nets->layers; l++) {
        HM_TRY(hm_net_check_use(&nets->encoder[l]));
        HM_TRY(hm_net_check_use(&nets->decoder[l]));
    }
    return HM_OK;
}

/* ---- all nets ---------------------------------------------------------------------------------------------------- */

hm_status hm_latent_nets_declare(hm_model *model, hm_latent_nets *nets)
{
    for (int l = 0; l < nets->layers; l++) {
        HM_TRY(hm_net_declare(model, &nets->encoder[l]));
        HM_TRY(hm_net_declare(model, &nets->decoder[l]));
    }
    return HM_OK;
}

hm_status hm_latent_nets_allocate(hm_latent_nets *nets)
{
    for (int l = 0; l < nets->layers; l++) {
        HM_TRY(hm_net_allocate(&nets->encoder[l]));
        HM_TRY(hm_net_allocate(&nets->decoder[l]));
    }
    return HM_OK;
}

void hm_latent_nets_free(hm_latent_nets *nets)
{
    for (int l = 0; l < nets->layers; l++) {
        hm_net_free(&nets->encoder[l]);
        hm_net_free(&nets->decoder[l]);
    }
}

hm_status hm_latent_nets_init(hm_model *model, const hm_latent_nets *nets, uint64_t seed)
{
    for (int l = 0; l < nets->layers; l++) {
        HM_TRY(hm_net_init(model, &nets->encoder[l], seed));
        HM_TRY(hm_net_init(model, &nets->decoder[l], seed));
    }
    return HM_OK;
}

void hm_latent_nets_refresh(hm_model *model, hm_latent_nets *nets)
{
    for (int l = 0; l < nets->layers; l++) {
        hm_net_refresh(model, &nets->encoder[l]);
        hm_net_refresh(model, &nets->decoder[l]);
    }
}

void hm_latent_nets_finish(hm_model *model, const hm_latent_nets *nets, int64_t batch, const float *grad)
{
    for (int l = 0; l < nets->layers; l++) {
        hm_net_finish(model, &nets->encoder[l], batch, grad);
        hm_net_finish(model, &nets->decoder[l], batch, grad);
    }
}

int64_t hm_latent_nets_units(const hm_latent_nets *nets)
{
    int64_t units = 0;
    for (int l = 0; l < nets->layers; l++) units += nets->units[l];
    return units;
}

size_t hm_latent_nets_bytes(const hm_latent_nets *nets, int64_t rows, int64_t samples, bool backward)
{
    size_t bytes = 0;
    for (int l = 0; l < nets->layers; l++) {
        bytes += hm_net_bytes(&nets->encoder[l], l == 0 ? rows : rows * samples, backward);
        bytes += hm_net_bytes(&nets->decoder[l], rows * samples, backward);
        if (backward) bytes += 2 * hm_arena_bytes(rows * samples * 2 * nets->units[l]);
    }
    return bytes;
}

/* ---- through all layers ------------------------------------------------------------------------------------------ */

hm_status hm_latent_nets_encode(const hm_model *model, const hm_latent_nets *nets, hm_matrix v, hm_arena *scratch,
                                float *mean, float *variance)
{
    size_t mark = scratch->used;
    int64_t all = hm_latent_nets_units(nets), first = 0;
    hm_matrix below = v;
    for (int l = 0; l < nets->layers; l++) {
        int64_t N = nets->units[l];
        float *e, *mu;
        HM_TRY(hm_net_apply(model, &nets->encoder[l], below, scratch, &e));
        HM_TRY(hm_arena_floats(scratch, v.rows * N, &mu));
        for (int64_t row = 0; row < v.rows; row++)
            for (int64_t u = 0; u < N; u++) {
                mu[row * N + u] = e[row * 2 * N + u];
                if (mean) mean[row * all + first + u] = mu[row * N + u];
                if (variance) variance[row * all + first + u] = expf(e[row * 2 * N + N + u]);
            }
        below = (hm_matrix){mu, v.rows, N};
        first += N;
    }
    scratch->used = mark;
    return HM_OK;
}

/* A row of h_l, of N units: the mean in `parameters`, mean and log-variance, or a draw. */
static void descend_row(int64_t N, const float *parameters, const hm_stream *stream, int64_t row, float *h)
{
    if (stream) hm_kernels_best()->normal(stream, row, N, h);
    for (int64_t u = 0; u < N; u++) {
        float spread = stream ? h[u] * expf(0.5f * parameters[N + u]) : 0.0f;
        h[u] = parameters[u] + spread;
    }
}

hm_status hm_latent_nets_descend(const hm_model *model, const hm_latent_nets *nets, hm_matrix top,
                                 const hm_stream *stream, int64_t first_row, hm_arena *scratch, hm_matrix *h)
{
    *h = top;
    for (int l = nets->layers - 1; l > 0; l--) {
        int64_t N = nets->units[l - 1];
        hm_stream noise = {stream ? stream->seed : 0, HM_RNG_NOISE, (stream ? stream->step : 0) * 8 + (uint64_t)l};
        float *out, *lower;
        HM_TRY(hm_net_apply(model, &nets->decoder[l], *h, scratch, &out));
        HM_TRY(hm_arena_floats(scratch, h->rows * N, &lower));
        for (int64_t row = 0; row < h->rows; row++)
            descend_row(N, out + row * 2 * N, stream ? &noise : NULL, first_row + row, lower + row * N);
        *h = (hm_matrix){lower, h->rows, N};
    }
    return HM_OK;
}
