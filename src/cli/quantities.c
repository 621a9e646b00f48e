#include "cli/quantities.h"

#include "cli/assessment.h"

#include <stdio.h>

static const double *value_of(const hm_quantity *q, const void *of)
{
    return (const double *)(const void *)((const char *)of + q->offset);
}

void hm_quantities_report(const hm_quantity *list, const void *of, const char *split, hm_report *report)
{
    char key[64], label[64];
    for (const hm_quantity *q = list; q->name; q++) {
        bool part = q->label[0] == ' ';
        snprintf(key, sizeof key, "%s_%s", split, q->name);
        snprintf(label, sizeof label, "%s%s%s", part ? "" : split, part ? "" : " ", q->label);
        hm_report_real(report, key, label, *value_of(q, of), q->digits, q->unit);
    }
}

hm_status hm_quantities_results(const hm_quantity *list, const void *of, const char *split, hm_result results[],
                                int *count)
{
    char name[64];
    for (const hm_quantity *q = list; q->name; q++) {
        snprintf(name, sizeof name, "%s_%s", split, q->name);
        HM_TRY(hm_result_real(results, count, HM_RESULTS_MAX, name, value_of(q, of)));
    }
    return HM_OK;
}
