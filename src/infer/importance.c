#include "infer/importance.h"

#include "infer/numeric.h"
#include "infer/progress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FIELD(NAME) .key = #NAME, .offset = offsetof(hm_importance_settings, NAME)
static const hm_setting entries[] = {
    {FIELD(samples), .type = HM_SET_INT, .min = 1, .max = 1e7, .fallback = "5000", .free = true,
     .describe = "draws of the latent variables of each row, for its log-probability"},
    {FIELD(train_rows), .type = HM_SET_INT, .min = 0, .max = 1e9, .fallback = "1000", .free = true,
     .describe = "training rows whose log-probability is estimated, evenly spread; 0: all"},
    {.key = NULL},
};
#undef FIELD

const hm_settings_table hm_importance_table = {"importance", entries};

enum { DRAWS_AT_A_TIME = 10 };

/* Sums over rows, then of posterior means and their squares, unit by unit. */
enum { LOG_PROB, LOG_PROB_SQUARED, ELBO, ELBO_SQUARED, LIKELIHOOD, DRAWS_VARIANCE, ESS, SUMS };

typedef struct job {
    const hm_model *model;
    int64_t samples;
    uint64_t seed;
    double *each;
} job;

/* Weights of one row so far, relative to the greatest. */
typedef struct running {
    double greatest, sum, squares; /* of the weights */
    double log_sum, likelihood;    /* of their logarithms, and of log p(v | h) */
} running;

static void add_weight(running *r, double log_weight)
{
    if (log_weight > r->greatest) {
        double scale = exp(r->greatest - log_weight);
        r->sum *= scale;
        r->squares *= scale * scale;
        r->greatest = log_weight;
    }
    double weight = exp(log_weight - r->greatest);
    r->sum += weight;
    r->squares += weight * weight;
    r->log_sum += log_weight;
}

static hm_status draw_rows(const job *all, hm_matrix rows, int64_t first_row, hm_arena *scratch, running r[])
{
    const hm_latent *latent = all->model->class->latent;
    size_t mark = scratch->used;
    double *log_weights;
    HM_TRY(hm_arena_doubles(scratch, 2 * rows.rows * DRAWS_AT_A_TIME, &log_weights));
    double *likelihood = log_weights + rows.rows * DRAWS_AT_A_TIME;
    for (int64_t done = 0; done < all->samples; done += DRAWS_AT_A_TIME) {
        int64_t now = all->samples - done < DRAWS_AT_A_TIME ? all->samples - done : DRAWS_AT_A_TIME;
        hm_stream stream = {all->seed, HM_RNG_NOISE, (uint64_t)done};
        HM_TRY(latent->log_weights(all->model, rows, &stream, first_row, now, scratch, log_weights, likelihood));
        for (int64_t i = 0; i < rows.rows * now; i++) {
            HM_REQUIRE(isfinite(log_weights[i]), HM_ENUMERIC,
                       "an importance weight of row %lld is %g; the parameters hold NaN or have diverged",
                       (long long)(first_row + i / now), log_weights[i]);
            add_weight(&r[i / now], log_weights[i]);
            r[i / now].likelihood += likelihood[i];
        }
    }
    scratch->used = mark;
    return HM_OK;
}

static void add_row(const running *r, double k, double *log_prob, double sums[])
{
    double elbo = r->log_sum / k, ess = r->sum * r->sum / r->squares;
    *log_prob = r->greatest + log(r->sum / k);
    sums[LOG_PROB] += *log_prob;
    sums[LOG_PROB_SQUARED] += *log_prob * *log_prob;
    sums[ELBO] += elbo;
    sums[ELBO_SQUARED] += elbo * elbo;
    sums[LIKELIHOOD] += r->likelihood / k;
    sums[DRAWS_VARIANCE] += 1 / ess - 1 / k; /* of log of the mean weight, to first order */
    sums[ESS] += ess;
}

static hm_status add_rows(void *context, hm_matrix rows, int64_t first_row, hm_arena *scratch, double sums[])
{
    const job *all = context;
    int64_t units = all->model->class->latent->units(all->model);
    size_t mark = scratch->used;
    running r[HM_ROW_BLOCK];
    float *mean;
    for (int64_t row = 0; row < rows.rows; row++) r[row] = (running){.greatest = -INFINITY};
    HM_TRY(draw_rows(all, rows, first_row, scratch, r));
    for (int64_t row = 0; row < rows.rows; row++)
        add_row(&r[row], (double)all->samples, &all->each[first_row + row], sums);
    HM_TRY(hm_arena_floats(scratch, rows.rows * units, &mean));
    HM_TRY(all->model->class->latent->encode(all->model, rows, scratch, mean, NULL));
    for (int64_t i = 0; i < rows.rows * units; i++) {
        sums[SUMS + i % units] += (double)mean[i];
        sums[SUMS + units + i % units] += (double)mean[i] * (double)mean[i];
    }
    scratch->used = mark;
    return HM_OK;
}

static void summarise(const double sums[], hm_importance_result *out)
{
    double n = (double)out->rows;
    out->log_prob = sums[LOG_PROB] / n;
    /* One draw says nothing of its spread; that over the rows holds it anyway. */
    out->draws_stderr = out->samples > 1 ? sqrt(sums[DRAWS_VARIANCE]) / n : (double)NAN;
    out->log_prob_stderr = hm_error_of_mean(sums[LOG_PROB], sums[LOG_PROB_SQUARED], out->rows);
    if (out->samples > 1) out->log_prob_stderr = hypot(out->log_prob_stderr, out->draws_stderr);
    out->elbo = sums[ELBO] / n;
    out->elbo_stderr = hm_error_of_mean(sums[ELBO], sums[ELBO_SQUARED], out->rows);
    out->log_likelihood = sums[LIKELIHOOD] / n;
    out->kl = out->log_likelihood - out->elbo;
    out->ess = sums[ESS] / n;
    for (int64_t u = 0; u < out->units; u++) {
        double mean = sums[SUMS + u] / n;
        out->variances[u] = fmax(sums[SUMS + out->units + u] / n - mean * mean, 0);
        out->active += out->variances[u] > 0.01; /* Burda et al. 2016, section 5.2 */
    }
}

static hm_status run(const job *all, hm_source *source, const hm_row_transform *transform, const hm_workers *workers,
                     hm_importance_result *out)
{
    const hm_latent *latent = all->model->class->latent;
    double *sums;
    hm_row_sums rows = {.source = source,
                        .transform = transform,
                        .workers = workers,
                        .what = "importance weights",
                        .scratch_bytes = hm_arena_bytes(4 * HM_ROW_BLOCK * DRAWS_AT_A_TIME) +
                                         hm_arena_bytes(HM_ROW_BLOCK * out->units) +
                                         latent->scratch_bytes(all->model, HM_ROW_BLOCK, DRAWS_AT_A_TIME),
                        .sums = SUMS + 2 * out->units,
                        .add = add_rows,
                        .context = (void *)all};
    HM_TRY(workers->comm->agree(workers->comm, hm_alloc(&sums, rows.sums, sizeof(double), "sums")));
    hm_status status = hm_sum_rows(&rows, sums);
    if (status == HM_OK) status = hm_gather_rows(workers, out->rows, 1, out->each);
    if (status == HM_OK) summarise(sums, out);
    free(sums);
    return status;
}

hm_status hm_importance(const hm_model *model, hm_source *source, const hm_row_transform *transform,
                        const hm_importance_settings *settings, const hm_workers *workers, hm_importance_result *out)
{
    double start = hm_clock();
    *out = (hm_importance_result){.rows = source->rows, .samples = settings->samples};
    HM_REQUIRE(model->class->latent && model->class->latent->log_weights, HM_EUSAGE,
               "importance: family %s has no latent variables with a net that infers them", model->class->name);
    HM_REQUIRE(source->columns == model->visible, HM_EDATA,
               "importance: the data has %lld columns, but the model %lld visible units", (long long)source->columns,
               (long long)model->visible);
    out->units = model->class->latent->units(model);
    hm_status status = hm_alloc(&out->variances, out->units, sizeof(double), "variances");
    if (status == HM_OK) status = hm_alloc(&out->each, out->rows, sizeof(double), "log-probabilities");
    status = workers->comm->agree(workers->comm, status);
    job all = {model, settings->samples, workers->seed, out->each};
    if (status == HM_OK) status = run(&all, source, transform, workers, out);
    if (status != HM_OK) hm_importance_free(out);
    out->seconds = hm_clock() - start;
    return status;
}

void hm_importance_free(hm_importance_result *result)
{
    free(result->variances);
    free(result->each);
    *result = (hm_importance_result){0};
}
