/* Importers: files of others, and generators, as sources of rows (core/source.h) with labels.
 *
 * A source made here is read in order, in blocks, while `hm_dataset_write` copies it to a data file: memory stays
 * bounded whatever the size (CSV and NPY too).
 *
 * `scale` is what every value is multiplied by (1/255 for 0..255); 0 leaves it to hm_dataset_write. Floats are
 * multiplied as they are read; bytes stay, and the source's unit tells it. Errors are HM_EDATA with file, row or line,
 * and what was expected. Nothing here is collective: rank 0 imports.
 */
#ifndef HM_IMPORT_H
#define HM_IMPORT_H

#include "core/source.h"

#include <stdint.h>

/* Steps of the random numbers HM_RNG_SYNTH. */
enum { HM_SYNTH_DIGITS, HM_SYNTH_BARS, HM_SYNTH_SPLIT, HM_SYNTH_RING };

typedef struct hm_import {
    hm_source *source;
    int32_t *labels;  /* (source->rows), or NULL; owned */
    const char *name; /* the file, for messages; the source's, NULL for generators */
    double min, max;  /* of the values, once hm_dataset_write has seen them */
    /* CSV: was the first line a header, and the column that was left out, or -1 */
    bool header;
    int64_t index_column;
} hm_import;

/* Closes the source and frees the labels. */
void hm_import_free(hm_import *import);

/* ---- IDX, plain or gzip (LeCun's MNIST format) ------------------------------------------------------------------- */

/* Unsigned bytes with 2 or 3 dimensions; (n, h, w) rows are images. The file's length is checked against its sizes: at
 * once, and for gzip again at the last row. */
hm_status hm_idx_open(const char *path, double scale, hm_import *out);

/* A vector of labels: unsigned bytes or big-endian int32. `rows` is how many there must be. The caller frees *labels.
 */
hm_status hm_idx_labels(const char *path, int64_t rows, int32_t **labels);

/* ---- CSV -------------------------------------------------------------------------------------------------------- */

typedef enum hm_csv_header { HM_CSV_HEADER_AUTO, HM_CSV_HEADER_YES, HM_CSV_HEADER_NO } hm_csv_header;

typedef struct hm_csv_options {
    int header;               /* hm_csv_header */
    const char *label_column; /* name or number from 0, or NULL */
    const char *index_column; /* the same, of a column that is left out; "none"; NULL or "auto": as below */
    double scale;             /* every value is multiplied by this; 0 keeps them */
} hm_csv_options;

/* Comma-separated numbers, perhaps in double quotes, as float32 rows. Refuses ragged rows, empty fields, and what is no
 * finite number (FILE:LINE).
 *
 * HM_CSV_HEADER_AUTO: the first line is a header if it has names, and its numbers are those of their columns (from 0)
 * or count three or more columns from 0 or 1; or if it is 0,1,2,... of three or more columns, as pandas writes. Other
 * lines of names and numbers, `0`, `0,1` and 1,2,3,..., and lines of nothing but missing values (empty, NA, nan ...)
 * are refused, with what to say.
 *
 * Index: a first column without a name in the header (or called "Unnamed: 0") is left out, whatever it holds. Another
 * first column that counts three or more rows, from any integer, is refused, with what to say. */
hm_status hm_csv_open(const char *path, const hm_csv_options *options, hm_import *out);

/* ---- NPY (NumPy), format versions 1 to 3 --------------------------------------------------------------------------
 */

/* (n, d) or (n, h, w), C order, of <f4, <f8, |u1, |b1 (as bytes 0 and 1), <i4 or <i8 (as float32). */
hm_status hm_npy_open(const char *path, double scale, hm_import *out);
hm_status hm_npy_labels(const char *path, int64_t rows, int32_t **labels);

/* ---- splitting -------------------------------------------------------------------------------------------------- */

/* Draws `fraction` of the rows (rounded) with their labels for a test set; both parts keep the order of the file, and
 * read through whole->source, which must outlive them. HM_EUSAGE when one of them would be empty. */
hm_status hm_import_split(const hm_import *whole, double fraction, uint64_t seed, hm_import *train, hm_import *test);

/* ---- generators ------------------------------------------------------------------------------------------------- */

/* Handwriting-like digits 0-9 with labels, 28 x 28, uint8: strokes with random slant, size, place and thickness. Row r
 * is a function of (seed, first_row + r). */
hm_status hm_synth_digits(uint64_t seed, int64_t first_row, int64_t rows, hm_import *out);

/* Bars and stripes, side x side, uint8 0 or 255 (MacKay 2003, section 43): an orientation and a random subset of lines.
 * rows = 0: not drawn, but each of the 2^(side + 1) choices once. */
hm_status hm_synth_bars(uint64_t seed, int64_t first_row, int64_t rows, int64_t side, hm_import *out);

/* Points in the plane, float32: Gaussians of deviation 0.05 evenly on a circle of radius 2, each with as many rows; the
 * label is which. For seeing which modes a generator makes. */
hm_status hm_synth_ring(uint64_t seed, int64_t first_row, int64_t rows, int64_t modes, hm_import *out);

#endif
