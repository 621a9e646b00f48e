/* The nets between layers of latent variables, h_0 = v: an encoder from each layer to the parameters of the next, a
 * decoder back. They are declared as two lists, in which `latent N` stands for a layer of N Gaussian variables:
 *
 *   encoder: [dense 200, tanh, latent 100, dense 100, tanh, latent 50]        from the data up; the last one is the top
 *   decoder: [dense 100, tanh, latent 100, dense 200, tanh]                   from the top down, to the data
 *
 * Before each `latent N` stands a dense layer of 2 N units, mean and log-variance, that the lists do not name; and one
 * of as many units as the data has columns ends the decoder.
 */
#ifndef HM_LATENT_NETS_H
#define HM_LATENT_NETS_H

#include "nets/net.h"

enum { HM_LATENT_LAYERS_MAX = 4 };

typedef struct hm_latent_nets {
    int layers;                           /* L */
    int64_t units[HM_LATENT_LAYERS_MAX];  /* of h_1 .. h_L */
    hm_net encoder[HM_LATENT_LAYERS_MAX]; /* [l]: h_l -> mean, log-variance of q(h_{l+1} | h_l) */
    hm_net decoder[HM_LATENT_LAYERS_MAX]; /* [l]: h_{l+1} -> parameters of p(h_l | h_{l+1}) */
} hm_latent_nets;

/* Numbers of the nets, as passes of a program and for random numbers. */
static inline int hm_encoder_pass(int l) { return l; }
static inline int hm_decoder_pass(int l) { return HM_LATENT_LAYERS_MAX + l; }

/* HM_EUSAGE, naming model.encoder or model.decoder. */
hm_status hm_latent_nets_read(hm_latent_nets *nets, const char *encoder, const char *decoder, int64_t visible);

/* As those of one net (net.h), for all. */
hm_status hm_latent_nets_declare(hm_model *model, hm_latent_nets *nets);
hm_status hm_latent_nets_allocate(hm_latent_nets *nets);
void hm_latent_nets_free(hm_latent_nets *nets);
hm_status hm_latent_nets_init(hm_model *model, const hm_latent_nets *nets, uint64_t seed);
void hm_latent_nets_refresh(hm_model *model, hm_latent_nets *nets);
void hm_latent_nets_finish(hm_model *model, const hm_latent_nets *nets, int64_t batch, const float *grad);

/* Latent variables of all layers. */
int64_t hm_latent_nets_units(const hm_latent_nets *nets);

/* The floats of passes through all nets, for `samples` draws of each of so many rows. */
size_t hm_latent_nets_bytes(const hm_latent_nets *nets, int64_t rows, int64_t samples, bool backward);

/* Means and variances of q(h | v), (rows, units of all layers), of upper layers given the means of those below; either
 * may be NULL. */
hm_status hm_latent_nets_encode(const hm_model *model, const hm_latent_nets *nets, hm_matrix v, hm_arena *scratch,
                                float *mean, float *variance);

/* h_1, in scratch, from the top layer (rows, units): layers between are drawn, random numbers of (stream, first_row +
 * row), or are their means when stream is NULL. */
hm_status hm_latent_nets_descend(const hm_model *model, const hm_latent_nets *nets, hm_matrix top,
                                 const hm_stream *stream, int64_t first_row, hm_arena *scratch, hm_matrix *h);

#endif
