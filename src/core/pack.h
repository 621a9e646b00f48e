/* The parameter pack: named tensors in one 64-byte-aligned float32 buffer.
 *
 * A layout says where each tensor lies; parameters, gradient, velocity and Adam moments are buffers of that one layout.
 * Reduction, optimiser, checkpoint and export act on packs and know no model.
 */
#ifndef HM_PACK_H
#define HM_PACK_H

#include "core/matrix.h"
#include "core/status.h"

#include <stddef.h>

enum { HM_TENSOR_DIMS = 4, HM_TENSORS_MAX = 128 };

typedef enum hm_role {
    HM_LEARNT,  /* moved by the optimiser */
    HM_RUNNING, /* state that the model's `finish` keeps (running means); never touched by the optimiser */
} hm_role;

typedef struct hm_tensor {
    const char *name; /* as in /parameters/NAME */
    int dims;         /* 1..HM_TENSOR_DIMS */
    int64_t shape[HM_TENSOR_DIMS];
    const char *axes[HM_TENSOR_DIMS]; /* names of the axes, e.g. "visible", "hidden" */
    const char *description;
    hm_role role;
    bool decays;    /* subject to weight decay */
    bool products;  /* a matrix whose gradient is given as outer products of rows (hm_grad_outer) */
    int64_t offset; /* set by hm_layout_add: first element in the pack, a multiple of 16 */
} hm_tensor;

typedef struct hm_layout {
    int count;
    hm_tensor tensors[HM_TENSORS_MAX];
    int64_t size; /* floats of a pack, padding included */
} hm_layout;

/* Adds a tensor; *index receives its number. In the pack, tensors with `products` lie before all others, so offsets are
 * final only when all have been added. HM_EINTERNAL when the layout is full, a shape is not positive or the size
 * overflows. */
hm_status hm_layout_add(hm_layout *layout, hm_tensor tensor, int *index);

/* The place of the first tensor without `products`. */
int64_t hm_layout_direct_begin(const hm_layout *layout);

int64_t hm_tensor_size(const hm_tensor *tensor);

/* The tensor called `name`, or -1. */
int hm_layout_find(const hm_layout *layout, const char *name);

/* A zeroed pack into *out; the caller frees it with free(). */
hm_status hm_pack_alloc(const hm_layout *layout, const char *what, float **out);

/* Tensor `index` of a pack, as a matrix: all dimensions but the last are rows; a vector is one row. */
hm_matrix hm_pack_matrix(const hm_layout *layout, float *pack, int index);

#endif
