/* States times weights: the product that Gibbs sampling, mean field and AIS make many times between two updates.
 *
 * Weights are packed once an update into panels of so many columns as the kernels take at a time (48 with AVX-512, 24
 * with AVX2), each panel contiguous in the order in which the kernel reads it, and shared by all shards.
 * Every element of a product is one chain of fused multiply-adds over k in ascending order. With `tables`, in rows of
 * zeros and ones it is the sum of fours ((w[k] + w[k + 1]) + w[k + 2]) + w[k + 3], of which those count at which the
 * row is 1, and which are looked up in tables: twice as fast for the states of hidden units, of which half may be on,
 * but not for images, whose zeros lie together and are left out. Either way it depends on the row alone: not on how
 * many rows are multiplied together, on threads, or on the instruction set. Library products (OpenBLAS, oneDNN) promise
 * none of the three; docs/architecture.md has the measured speeds.
 */
#ifndef HM_PRODUCT_H
#define HM_PRODUCT_H

#include "core/matrix.h"
#include "core/status.h"
#include "core/team.h"

typedef struct hm_packed {
    float *panels;                    /* owned */
    int64_t depth, columns;           /* of the (depth, columns) matrix that was packed */
    bool tables;                      /* rows of zeros and ones are looked up; false unless the owner sets it */
    const struct hm_kernels *kernels; /* that pack and multiply it: panels are as wide as these want them */
} hm_packed;

/* Room for a packed (depth, columns) matrix; free with hm_packed_free. */
hm_status hm_packed_init(hm_packed *packed, int64_t depth, int64_t columns);
void hm_packed_free(hm_packed *packed);

/* Packs w, or its transpose, over the team's threads. w: (depth, columns), transposed: (columns, depth). A layer that
 * needs both takes them together, so that w is read once: up for x w, down for y w'. Either may be NULL; a down of
 * fewer columns than w has rows is of those first rows of w. */
void hm_pack_both(hm_packed *up, hm_packed *down, hm_matrix w, const hm_team *team);
void hm_pack_weights(hm_packed *packed, hm_matrix w, const hm_team *team);
void hm_pack_transposed(hm_packed *packed, hm_matrix w, const hm_team *team);

/* out (rows, columns) = x (rows, depth) times packed. One thread; called inside a shard. Not collective. */
void hm_product(hm_matrix x, const hm_packed *packed, float *out);

#endif
