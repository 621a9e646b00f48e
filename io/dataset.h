/* data.h5: /train/x (n, d) uint8 or float32, /train/y (n) int32, /test/x, /test/y (DESIGN: files). */
#ifndef HM_DATASET_H
#define HM_DATASET_H

#include "core/source.h"
#include "io/import.h"
#include "io/store.h"

/* The rows of a split ("train", "test"), read by hyperslab as they are asked for; images keep height and width. Each
 * rank opens the file for itself. HM_EDATA when the file is missing, not a Harmonium data file, damaged, or the split
 * is not there or empty. Not collective. Close with source->close. */
hm_status hm_dataset_open(const char *path, const char *split, hm_source **out);

/* Does the file have this split, damaged or not? HM_EDATA when it is no data file. Not collective. */
hm_status hm_dataset_has(const char *path, const char *split, bool *has);

/* The labels of a split, one a row; *labels is NULL without them. *rows is the split's. The caller frees them.
 * HM_EDATA. Not collective. */
hm_status hm_dataset_labels(const char *path, const char *split, int32_t **labels, int64_t *rows);

/* The rows of a split followed by their labels, as `classes` more columns (hm_source_labelled); without classes,
 * hm_dataset_open. HM_EDATA, also when there are no labels or one is no class. Not collective. */
hm_status hm_dataset_open_labelled(const char *path, const char *split, int64_t classes, hm_source **out);

/* Writes a data file from a training and (unless its source is NULL) a test import, in bounded memory. The range of the
 * values becomes the attributes min and max of x (of a byte: of value / 255). Refuses values that are not finite,
 * splits of different width or type (HM_EDATA). HM_EOUTPUT when it cannot be written; then nothing is left. Not
 * collective. */
hm_status hm_dataset_write(const char *path, const hm_import *train, const hm_import *test);

/* The same up to what is still to be added before hm_store_commit. */
hm_status hm_dataset_begin(const char *path, const hm_import *train, const hm_import *test, hm_store **out);

#endif
