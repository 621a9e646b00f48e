#include "nets/latent_nets.h"

#include <stdio.h>
#include <stdlib.h>
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

/* `latent N`, or 0. */
static int64_t latent_of(const char *item)
{
    const char *word = item + strspn(item, " ");
    return strncmp(word, "latent ", 7) == 0 ? strtoll(word + 7, NULL, 10) : 0;
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
        last = latent_of(item);
        *layers += last > 0;
        HM_REQUIRE(last <= 1000000, HM_EUSAGE, "model.encoder: %lld latent variables are too many", (long long)last);
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
        int64_t units = latent_of(item);
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
        int64_t units = latent_of(item);
        hm_shape in = {1, 1, own->units[l]};
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
    return read_decoder(nets, decoder, visible);
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
