/* Where rows come from, as the loops see it: io/dataset.c reads HDF5, core/source_memory.c an array. */
#ifndef HM_SOURCE_H
#define HM_SOURCE_H

#include "core/status.h"

#include <stddef.h>
#include <stdint.h>

typedef enum hm_type { HM_UINT8, HM_FLOAT32 } hm_type;

typedef struct hm_source hm_source;
struct hm_source {
    int64_t rows, columns;
    hm_type type;
    double unit; /* the element that stands for 1: a value is element / unit. 255 for most images of bytes, 1 for
                  * floats; 0 in an importer's source whose scale is still to be chosen (io/dataset.h) */
    int64_t height, width; /* of a row as an image; 0 when it is none */

    /* `count` rows from `begin` as raw elements of `type` into out. Called by one thread at a time. Not collective.
     * HM_EDATA when they cannot be read, or hold NaN. */
    hm_status (*read)(hm_source *source, int64_t begin, int64_t count, void *out);
    void (*close)(hm_source *source); /* frees the source too */
};

/* `count` raw elements of the source as values, element / unit. Thread-safe. */
void hm_source_values(const hm_source *source, int64_t count, const void *raw, float *out);

static inline size_t hm_type_size(hm_type type) { return type == HM_UINT8 ? 1 : 4; }

/* A source over an array that the caller keeps alive (tests, generators); bytes stand for their value / 255. Close it
 * with source->close. */
hm_status hm_source_memory(hm_type type, int64_t rows, int64_t columns, const void *data, hm_source **out);

/* Rows followed by their labels, as `classes` more columns of which one is 1: for training with labels. Takes over rows
 * and labels (one a row, from 0) when it succeeds. HM_EDATA, naming the row, for a label that is no class, and
 * for bytes of which none stands for 1. */
hm_status hm_source_labelled(hm_source *rows, int32_t *labels, int64_t classes, hm_source **out);

#endif
