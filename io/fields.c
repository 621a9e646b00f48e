#include "io/fields.h"

static const struct {
    size_t size;
    const char *name;
} types[] = {
    [HM_FIELD_UINT8] = {1, "uint8"},     [HM_FIELD_INT32] = {4, "int32"},     [HM_FIELD_INT64] = {8, "int64"},
    [HM_FIELD_FLOAT32] = {4, "float32"}, [HM_FIELD_FLOAT64] = {8, "float64"},
};

size_t hm_field_type_size(hm_field_type type) { return types[type].size; }

const char *hm_field_type_name(hm_field_type type) { return types[type].name; }
