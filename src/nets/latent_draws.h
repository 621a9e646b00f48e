/* Draws of latent variables from the encoders of latent_nets.h, and what each adds to a bound on log p(v). */
#ifndef HM_LATENT_DRAWS_H
#define HM_LATENT_DRAWS_H

#include "nets/latent_nets.h"

#define HM_LOG_2_PI 1.8378770664093453

/* Of `rows` rows of v, `samples` draws each: row r's are rows r * samples ... of the matrices of draws, which are the
 * scratch's. */
typedef struct hm_draws {
    int64_t rows, samples;
    const float *v;                 /* (rows, visible) */
    float *e[HM_LATENT_LAYERS_MAX]; /* [l] mu, log s^2 of q(h_{l+1} | h_l); of the first layer (rows, ...), else (draws,
                                     * ...) */
    float *std[HM_LATENT_LAYERS_MAX];                           /* s of the same */
    float *eps[HM_LATENT_LAYERS_MAX], *h[HM_LATENT_LAYERS_MAX]; /* (draws, units) of h_{l+1} */
    float *d[HM_LATENT_LAYERS_MAX];                             /* [l] (draws, ...) parameters of p(h_l | h_{l+1}) */
} hm_draws;

static inline int64_t hm_draw_count(const hm_draws *x) { return x->rows * x->samples; }

/* Of draw i: its row among those of e[l]. */
static inline int64_t hm_source_row(const hm_draws *x, int l, int64_t i) { return l == 0 ? i / x->samples : i; }

/* Scratch of all layers' std, eps and h. */
size_t hm_draws_bytes(const hm_latent_nets *nets, int64_t rows, int64_t samples);

/* h_{l+1} = mu + s eps from e[l] (Kingma & Welling 2014, section 2.4); random numbers of (stream, step times the
 * layers), rows first_row * samples ... */
hm_status hm_draw_layer(const hm_latent_nets *nets, hm_draws *x, int l, const hm_stream *stream, int64_t first_row,
                        hm_arena *scratch);

/* log p(h) - log q(h | v) of draw i, nats, from e, eps, h and d. */
double hm_log_prior_ratio(const hm_latent_nets *nets, const hm_draws *x, int64_t i);

#endif
