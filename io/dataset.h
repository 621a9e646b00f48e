/* data.h5: /train/x (n, d) uint8 or float32, /train/y (n) int32, /test/x, /test/y.
 *
 * A value is the stored element times the attribute `scale` of its dataset. It is chosen once, when the file is
 * written: by `import --scale`; without it, bytes that are all 0 or 1 stay as they are (scale 1), other bytes are
 * divided by 255, and floats stay as they are. Files of format version 1 have no such attribute: their bytes are
 * divided by 255, and refused when they are all 0 or 1, for then they were meant as they are.
 */
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

/* May a data file be written there? Not over `input`, from which it is made (NULL: none is a data file), nor over what
 * is no data file. HM_EUSAGE. Not collective. */
hm_status hm_dataset_check_output(const char *path, const char *input);

/* The labels of a split, one a row; *labels is NULL without them. *rows is the split's. The caller frees them.
 * HM_EDATA. Not collective. */
hm_status hm_dataset_labels(const char *path, const char *split, int32_t **labels, int64_t *rows);

/* The rows of a split followed by their labels, as `classes` more columns (hm_source_labelled); without classes,
 * hm_dataset_open. HM_EDATA, also when there are no labels or one is no class. Not collective. */
hm_status hm_dataset_open_labelled(const char *path, const char *split, int64_t classes, hm_source **out);

/* Writes a data file from a training and (unless its source is NULL) a test import, in bounded memory. Their scale and
 * the range of the values become the attributes scale, min and max of x; they are filled in in the imports too. Refuses
 * values that are not finite, splits of different width or type (HM_EDATA). HM_EOUTPUT when it cannot be written; then
 * nothing is left. Not collective. */
hm_status hm_dataset_write(const char *path, hm_import *train, hm_import *test);

/* The same up to what is still to be added before hm_store_commit. */
hm_status hm_dataset_begin(const char *path, hm_import *train, hm_import *test, hm_store **out);

#endif
