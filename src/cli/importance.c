/* Method "importance" of `harmonium evaluate`: what it tells and stores. */
#include "cli/assessment.h"

#include <stdio.h>

typedef struct quantity {
    const char *name, *label, *unit;
    size_t offset; /* of a double in hm_importance_result */
    int digits;
} quantity;

#define QUANTITY(NAME, FIELD, LABEL, DIGITS, UNIT)                                                                     \
    {                                                                                                                  \
        NAME, LABEL, UNIT, offsetof(hm_importance_result, FIELD), DIGITS                                               \
    }
static const quantity quantities[] = {
    QUANTITY("log_prob", log_prob, "log-probability", 3, "nats"),
    QUANTITY("log_prob_stderr", log_prob_stderr, "  standard error", 3, "nats"),
    QUANTITY("draws_stderr", draws_stderr, "    of the draws", 4, "nats"),
    QUANTITY("ess", ess, "  effective draws", 1, NULL),
    QUANTITY("elbo", elbo, "ELBO", 3, "nats"),
    QUANTITY("elbo_stderr", elbo_stderr, "  standard error", 3, "nats"),
    QUANTITY("log_likelihood", log_likelihood, "  log p(v | h)", 3, "nats"),
    QUANTITY("kl", kl, "  KL", 3, "nats"),
};
enum { QUANTITIES = sizeof quantities / sizeof quantities[0] };

static const double *value_of(const hm_importance_result *result, const quantity *q)
{
    return (const double *)(const void *)((const char *)result + q->offset);
}

static void report_split(const hm_importance_result *result, const char *split, hm_report *report)
{
    char key[64], label[64];
    for (const quantity *q = quantities; q < quantities + QUANTITIES; q++) {
        bool part = q->label[0] == ' ';
        snprintf(key, sizeof key, "%s_%s", split, q->name);
        snprintf(label, sizeof label, "%s%s%s", part ? "" : split, part ? "" : " ", q->label);
        hm_report_real(report, key, label, *value_of(result, q), q->digits, q->unit);
    }
    snprintf(key, sizeof key, "%s_active_units", split);
    hm_report_int(report, key, "active latent units", result->active, NULL);
    snprintf(key, sizeof key, "%s_rows", split);
    hm_report_int(report, key, "rows", result->rows, NULL);
}

void hm_importance_report(const hm_assessment *e, hm_report *report)
{
    double seconds = 0;
    hm_report_begin(report, "importance", "importance weights");
    hm_report_int(report, "samples", "draws a row", e->run.importance.samples, NULL);
    for (int split = 0; split < SPLITS; split++) {
        if (!e->importance[split].each) continue;
        report_split(&e->importance[split], hm_split_names[split], report);
        hm_report_int(report, "latent_units", "  of", e->importance[split].units, NULL);
        seconds += e->importance[split].seconds;
    }
    hm_report_real(report, "seconds", "time", seconds, 2, "s");
    hm_report_end(report);
}

static hm_status split_results(const hm_importance_result *result, const char *split, hm_result results[], int *count)
{
    char name[64];
    for (const quantity *q = quantities; q < quantities + QUANTITIES; q++) {
        snprintf(name, sizeof name, "%s_%s", split, q->name);
        HM_TRY(hm_result_real(results, count, HM_RESULTS_MAX, name, value_of(result, q)));
    }
    snprintf(name, sizeof name, "%s_active_units", split);
    HM_TRY(hm_result_whole(results, count, HM_RESULTS_MAX, name, &result->active));
    snprintf(name, sizeof name, "%s_rows", split);
    HM_TRY(hm_result_whole(results, count, HM_RESULTS_MAX, name, &result->rows));
    snprintf(name, sizeof name, "%s_latent_variances", split);
    HM_TRY(hm_result_array(results, count, HM_RESULTS_MAX, name, result->variances, result->units));
    snprintf(name, sizeof name, "%s_row_log_prob", split);
    return hm_result_array(results, count, HM_RESULTS_MAX, name, result->each, result->rows);
}

hm_status hm_importance_results(const hm_assessment *e, hm_result results[], int *count)
{
    HM_TRY(hm_result_whole(results, count, HM_RESULTS_MAX, "samples", &e->run.importance.samples));
    for (int split = 0; split < SPLITS; split++)
        if (e->importance[split].each)
            HM_TRY(split_results(&e->importance[split], hm_split_names[split], results, count));
    return HM_OK;
}
