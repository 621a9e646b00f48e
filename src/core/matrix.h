/* A view of a dense row-major float32 matrix, and contiguous parts of a range of rows. */
#ifndef HM_MATRIX_H
#define HM_MATRIX_H

#include <stdint.h>

typedef struct hm_matrix {
    float *at;             /* (rows, columns), row-major, dense; owned by somebody else */
    int64_t rows, columns; /* either may be 0 */
} hm_matrix;

/* Rows first .. first + rows; of a matrix that is not there: none. */
static inline hm_matrix hm_rows(hm_matrix m, int64_t first, int64_t rows)
{
    return m.at ? (hm_matrix){m.at + first * m.columns, rows, m.columns} : m;
}

/* Half-open range. */
typedef struct hm_range {
    int64_t begin, end;
} hm_range;

static inline int64_t hm_count(hm_range range) { return range.end - range.begin; }

/* Part `part` of `parts` of 0..n-1: contiguous, in order, sizes differing by at most one. n * parts below 2^63. */
static inline hm_range hm_part(int64_t n, int64_t parts, int64_t part)
{
    return (hm_range){n / parts * part + n % parts * part / parts,
                      n / parts * (part + 1) + n % parts * (part + 1) / parts};
}

#endif
