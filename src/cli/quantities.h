/* Numbers that an evaluation tells of a split of the data, as a table: once for the report and once for the file. */
#ifndef HM_QUANTITIES_H
#define HM_QUANTITIES_H

#include "cli/cli.h"
#include "io/model_file.h"

#include <stddef.h>

typedef struct hm_quantity {
    const char *name, *label, *unit; /* a label that begins with a blank belongs to the one above; unit may be NULL */
    size_t offset;                   /* of a double in the struct that is told of */
    int digits;
} hm_quantity;

#define HM_QUANTITY(TYPE, FIELD, LABEL, DIGITS, UNIT)                                                                  \
    {                                                                                                                  \
#FIELD, LABEL, UNIT, offsetof(TYPE, FIELD), DIGITS                                                             \
    }

/* Those of `list`, which ends with .name = NULL, in `of`, under SPLIT_NAME. */
void hm_quantities_report(const hm_quantity *list, const void *of, const char *split, hm_report *report);

/* The same as results, which borrow the numbers; results has room for HM_RESULTS_MAX. As hm_result_real. */
hm_status hm_quantities_results(const hm_quantity *list, const void *of, const char *split, hm_result results[],
                                int *count);

#endif
