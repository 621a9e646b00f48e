/* Fields: what a dataset is - type, axes, unit, description - declared as data.
 *
 * From one declaration a dataset is created with its attributes (`description`, `axes`, `units`) and, when a file that
 * somebody else wrote is read, checked before anything is allocated. Example:
 *
 *     static const hm_field log_weights = {
 *         .name = "log_weights", .type = HM_FIELD_FLOAT64, .dims = 1, .axes = {"chain"}, .unit = "nats",
 *         .description = "log-weight of each annealing run"};
 */
#ifndef HM_FIELDS_H
#define HM_FIELDS_H

#include <stddef.h>
#include <stdint.h>

enum { HM_FIELD_DIMS = 4 };

typedef enum hm_field_type {
    HM_FIELD_UINT8,
    HM_FIELD_INT32,
    HM_FIELD_INT64,
    HM_FIELD_FLOAT32,
    HM_FIELD_FLOAT64,
} hm_field_type;

typedef struct hm_field {
    const char *name;                /* the dataset's path, "/train/x"; groups on the way are made */
    hm_field_type type;              /* of its elements, in the file and in memory */
    int dims;                        /* 0 (a scalar) .. HM_FIELD_DIMS */
    const char *axes[HM_FIELD_DIMS]; /* their names, "row", "column" */
    const char *unit;                /* "nats", "s"; NULL when it has none */
    const char *description;         /* a sentence for whoever opens the file */
    int64_t chunk_rows;              /* rows a chunk; 0: as many as fill about 256 KiB */
} hm_field;

/* What a dataset of a file is. */
typedef struct hm_shape {
    hm_field_type type;
    int dims;
    int64_t size[HM_FIELD_DIMS]; /* [0, dims) */
} hm_shape;

size_t hm_field_type_size(hm_field_type type);      /* bytes of an element */
const char *hm_field_type_name(hm_field_type type); /* "float32" */

#endif
