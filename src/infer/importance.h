/* Log-likelihood of models with latent variables that a net infers (hm_latent): the estimate log (1 / k) sum_s p(v,
 * h_s) / q(h_s | v) of every row (Burda, Grosse, Salakhutdinov 2016), which is a lower bound on average and tends to
 * log p(v); the evidence lower bound with its parts, from the same draws; and how many latent units say something of
 * the data.
 */
#ifndef HM_IMPORTANCE_H
#define HM_IMPORTANCE_H

#include "infer/rows.h"

typedef struct hm_importance_settings {
    int64_t samples;    /* k */
    int64_t train_rows; /* of the training rows, evenly spread; 0: all */
} hm_importance_settings;

extern const hm_settings_table hm_importance_table; /* section "importance" */

typedef struct hm_importance_result {
    int64_t rows, samples;
    /* Means over the rows, nats. */
    double log_prob,
        log_prob_stderr; /* error: of the rows as a sample of what they were drawn from, and of the draws */
    double draws_stderr; /* that of the draws alone (delta method); NaN of one draw */
    double elbo, elbo_stderr;
    double log_likelihood, kl; /* elbo = log_likelihood - kl */
    double ess;                /* mean effective number of the k draws */
    int64_t units, active;     /* latent units; those whose posterior mean has a variance above 0.01 over the rows */
    double *variances;         /* (units) of the posterior mean; owned */
    double *each;              /* (rows) log p of every row, owned; on every rank */
    double seconds;            /* this rank's; the rest has the same bits on all */
} hm_importance_result;

/* HM_EUSAGE when the model has no latent variables, HM_ENUMERIC naming the row when weights are not finite. Free the
 * result. Collective. */
hm_status hm_importance(const hm_model *model, hm_source *source, const hm_row_transform *transform,
                        const hm_importance_settings *settings, const hm_workers *workers, hm_importance_result *out);
void hm_importance_free(hm_importance_result *result);

#endif
