#include "nets/latent_draws.h"

#include "core/kernels.h"

#include <math.h>

size_t hm_draws_bytes(const hm_latent_nets *nets, int64_t rows, int64_t samples)
{
    size_t bytes = 0;
    for (int l = 0; l < nets->layers; l++) bytes += 3 * hm_arena_bytes(rows * samples * nets->units[l]);
    return bytes;
}

hm_status hm_draw_layer(const hm_latent_nets *nets, hm_draws *x, int l, const hm_stream *stream, int64_t first_row,
                        hm_arena *scratch)
{
    const hm_kernels *kernels = hm_kernels_best();
    int64_t N = nets->units[l], n = hm_draw_count(x), sources = l == 0 ? x->rows : n;
    hm_stream own = {stream->seed, stream->purpose, stream->step * 8 + (uint64_t)l};
    HM_TRY(hm_arena_floats(scratch, sources * N, &x->std[l]));
    HM_TRY(hm_arena_floats(scratch, n * N, &x->eps[l]));
    HM_TRY(hm_arena_floats(scratch, n * N, &x->h[l]));
    for (int64_t row = 0; row < sources; row++)
        for (int64_t u = 0; u < N; u++) x->std[l][row * N + u] = 0.5f * x->e[l][row * 2 * N + N + u];
    kernels->exp(sources * N, x->std[l], x->std[l]);
    for (int64_t i = 0; i < n; i++) {
        const float *mu = x->e[l] + hm_source_row(x, l, i) * 2 * N, *std = x->std[l] + hm_source_row(x, l, i) * N;
        float *eps = x->eps[l] + i * N, *h = x->h[l] + i * N;
        kernels->normal(&own, first_row * x->samples + i, N, eps);
        for (int64_t u = 0; u < N; u++) h[u] = mu[u] + std[u] * eps[u];
    }
    return HM_OK;
}

/* log N(h; mu, s^2) of n units, log s^2 = lv. */
static double log_normal(int64_t n, const float *h, const float *mu, const float *lv)
{
    double sum = (double)n * HM_LOG_2_PI;
    for (int64_t u = 0; u < n; u++) {
        double distance = (double)h[u] - (double)mu[u];
        sum += (double)lv[u] + distance * distance * exp(-(double)lv[u]);
    }
    return -0.5 * sum;
}

double hm_log_prior_ratio(const hm_latent_nets *nets, const hm_draws *x, int64_t i)
{
    const hm_kernels *kernels = hm_kernels_best();
    double ratio = 0;
    for (int l = 0; l < nets->layers; l++) {
        int64_t N = nets->units[l];
        const float *h = x->h[l] + i * N, *eps = x->eps[l] + i * N, *lv = x->e[l] + hm_source_row(x, l, i) * 2 * N + N;
        const float *above = l + 1 < nets->layers ? x->d[l + 1] + i * 2 * N : NULL;
        ratio += 0.5 * ((double)N * HM_LOG_2_PI + kernels->sum(N, lv) + kernels->dot(N, eps, eps)); /* - log q */
        ratio += above ? log_normal(N, h, above, above + N) : -0.5 * ((double)N * HM_LOG_2_PI + kernels->dot(N, h, h));
    }
    return ratio;
}
