/* Method "importance" of `harmonium evaluate`: what it tells and stores. */
#include "cli/assessment.h"
#include "cli/quantities.h"

#include <stdio.h>

static const hm_quantity quantities[] = {
    HM_QUANTITY(hm_importance_result, log_prob, "log-probability", 3, "nats"),
    HM_QUANTITY(hm_importance_result, log_prob_stderr, "  standard error", 3, "nats"),
    HM_QUANTITY(hm_importance_result, draws_stderr, "    of the draws", 4, "nats"),
    HM_QUANTITY(hm_importance_result, ess, "  effective draws", 1, NULL),
    HM_QUANTITY(hm_importance_result, elbo, "ELBO", 3, "nats"),
    HM_QUANTITY(hm_importance_result, elbo_stderr, "  standard error", 3, "nats"),
    HM_QUANTITY(hm_importance_result, log_likelihood, "  log p(v | h)", 3, "nats"),
    HM_QUANTITY(hm_importance_result, kl, "  KL", 3, "nats"),
    {.name = NULL},
};
static void report_split(const hm_importance_result *result, const char *split, hm_report *report)
{
    char key[64];
    hm_quantities_report(quantities, result, split, report);
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
    HM_TRY(hm_quantities_results(quantities, result, split, results, count));
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
