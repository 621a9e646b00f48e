#include "io/parameters.h"

#include <math.h>
#include <stdio.h>

enum { PATH_ROOM = 256 };

/* The field of a tensor; `path` holds its name. */
static hm_status tensor_field(const char *group, const hm_tensor *tensor, char path[PATH_ROOM], hm_field *field)
{
    _Static_assert((int)HM_TENSOR_DIMS <= (int)HM_FIELD_DIMS, "a tensor has the dimensions of a dataset at most");
    int length = snprintf(path, PATH_ROOM, "%s/%s", group, tensor->name);
    HM_REQUIRE(length < PATH_ROOM, HM_EINTERNAL, "the name of tensor %s is too long", tensor->name);
    *field =
        (hm_field){.name = path, .type = HM_FIELD_FLOAT32, .dims = tensor->dims, .description = tensor->description};
    for (int axis = 0; axis < tensor->dims; axis++) field->axes[axis] = tensor->axes[axis];
    return HM_OK;
}

hm_status hm_parameters_write(hm_store *store, const char *group, const hm_layout *layout, const float *pack)
{
    for (int index = 0; index < layout->count; index++) {
        const hm_tensor *tensor = &layout->tensors[index];
        char path[PATH_ROOM];
        hm_field field;
        HM_TRY(tensor_field(group, tensor, path, &field));
        HM_TRY(hm_store_write(store, &field, tensor->shape, pack + tensor->offset));
    }
    return HM_OK;
}

hm_status hm_parameters_check(hm_store *store, const char *group, const hm_layout *layout)
{
    for (int index = 0; index < layout->count; index++) {
        const hm_tensor *tensor = &layout->tensors[index];
        char path[PATH_ROOM];
        hm_field field;
        HM_TRY(tensor_field(group, tensor, path, &field));
        HM_TRY(hm_store_check(store, &field, tensor->shape));
    }
    return HM_OK;
}

static hm_status check_finite(const hm_store *store, const char *path, int64_t size, const float *values)
{
    for (int64_t at = 0; at < size; at++)
        HM_REQUIRE(isfinite(values[at]), HM_EDATA, "%s: %s holds %g (element %lld); values must be finite",
                   hm_store_path(store), path, (double)values[at], (long long)at);
    return HM_OK;
}

hm_status hm_parameters_read(hm_store *store, const char *group, const hm_layout *layout, float *pack, bool taken[])
{
    for (int index = 0; index < layout->count; index++) {
        const hm_tensor *tensor = &layout->tensors[index];
        char path[PATH_ROOM];
        hm_field field;
        HM_TRY(tensor_field(group, tensor, path, &field));
        if (taken) taken[index] = hm_store_has(store, path);
        if (taken && !taken[index]) continue;
        HM_TRY(hm_store_read(store, &field, tensor->shape, pack + tensor->offset));
        HM_TRY(check_finite(store, path, hm_tensor_size(tensor), pack + tensor->offset));
    }
    return HM_OK;
}
