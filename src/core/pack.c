#include "core/pack.h"

#include "core/memory.h"

#include <string.h>

enum { TENSOR_ALIGNMENT = 16 /* floats: one cache line */ };

int64_t hm_tensor_size(const hm_tensor *tensor)
{
    int64_t size = 1;
    for (int dim = 0; dim < tensor->dims; dim++) size *= tensor->shape[dim];
    return size;
}

int64_t hm_layout_direct_begin(const hm_layout *layout)
{
    int64_t begin = layout->size;
    for (int index = 0; index < layout->count; index++)
        if (!layout->tensors[index].products && layout->tensors[index].offset < begin)
            begin = layout->tensors[index].offset;
    return begin;
}

/* A place for `size` floats behind the products, before the others, which make room. */
static int64_t insert_product(hm_layout *layout, int64_t size)
{
    int64_t offset = hm_layout_direct_begin(layout);
    for (int index = 0; index < layout->count; index++)
        if (!layout->tensors[index].products) layout->tensors[index].offset += size;
    return offset;
}

hm_status hm_layout_add(hm_layout *layout, hm_tensor tensor, int *index)
{
    HM_REQUIRE(layout->count < HM_TENSORS_MAX, HM_EINTERNAL, "tensor %s: a layout has at most %d tensors", tensor.name,
               HM_TENSORS_MAX);
    HM_REQUIRE(tensor.dims >= 1 && tensor.dims <= HM_TENSOR_DIMS, HM_EINTERNAL, "tensor %s has %d dimensions",
               tensor.name, tensor.dims);
    int64_t size = 1;
    for (int dim = 0; dim < tensor.dims; dim++) {
        HM_REQUIRE(tensor.shape[dim] > 0 && !__builtin_mul_overflow(size, tensor.shape[dim], &size), HM_EINTERNAL,
                   "tensor %s: dimension %d is %lld", tensor.name, dim, (long long)tensor.shape[dim]);
    }
    HM_REQUIRE(size < INT64_MAX / 8 - layout->size, HM_EINTERNAL, "tensor %s: the pack is too large", tensor.name);
    size = (size + TENSOR_ALIGNMENT - 1) / TENSOR_ALIGNMENT * TENSOR_ALIGNMENT;
    tensor.offset = tensor.products ? insert_product(layout, size) : layout->size;
    layout->size += size;
    layout->tensors[layout->count] = tensor;
    *index = layout->count++;
    return HM_OK;
}

int hm_layout_find(const hm_layout *layout, const char *name)
{
    for (int index = 0; index < layout->count; index++)
        if (strcmp(layout->tensors[index].name, name) == 0) return index;
    return -1;
}

hm_status hm_pack_alloc(const hm_layout *layout, const char *what, float **out)
{
    return hm_alloc(out, layout->size, sizeof(float), what);
}

hm_matrix hm_pack_matrix(const hm_layout *layout, float *pack, int index)
{
    const hm_tensor *tensor = &layout->tensors[index];
    int64_t columns = tensor->shape[tensor->dims - 1];
    return (hm_matrix){pack + tensor->offset, hm_tensor_size(tensor) / columns, columns};
}
