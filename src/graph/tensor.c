/* tensor.c - dense tensors: element types, shapes with checked products. */
#include "deft/graph.h"

#include <string.h>

static const struct {
    const char *name;
    size_t size;
} dtypes[] = {
    [DEFT_F32] = {"float32", 4}, [DEFT_F64] = {"float64", 8}, [DEFT_F16] = {"float16", 2},
    [DEFT_I8] = {"int8", 1},     [DEFT_U8] = {"uint8", 1},    [DEFT_I16] = {"int16", 2},
    [DEFT_U16] = {"uint16", 2},  [DEFT_I32] = {"int32", 4},   [DEFT_U32] = {"uint32", 4},
    [DEFT_I64] = {"int64", 8},   [DEFT_U64] = {"uint64", 8},  [DEFT_BOOL] = {"bool", 1},
};

size_t deft_dtype_size(deft_dtype t)
{
    return (size_t)t < sizeof dtypes / sizeof dtypes[0] ? dtypes[t].size : 0;
}

const char *deft_dtype_name(deft_dtype t)
{
    const bool known = t > 0 && (size_t)t < sizeof dtypes / sizeof dtypes[0];
    return known ? dtypes[t].name : "unknown";
}

deft_status deft_tensor_init(deft_tensor *t, deft_dtype dtype, int32_t rank, const int64_t *dim,
                             deft_arena *a)
{
    memset(t, 0, sizeof *t);
    const size_t size = deft_dtype_size(dtype);
    if (!size || rank < 0 || rank > DEFT_MAX_RANK) return DEFT_E_RANGE;
    int64_t count = 1;
    bool empty = false;
    for (int32_t i = 0; i < rank; i++) {
        if (dim[i] < 0) return DEFT_E_RANGE;
        if (dim[i] == 0)
            empty = true;
        else if (count > INT64_MAX / 16 / dim[i])
            return DEFT_E_RANGE;
        else
            count *= dim[i];
        t->dim[i] = dim[i];
    }
    t->dtype = dtype;
    t->rank = rank;
    t->count = empty ? 0 : count;
    if ((uint64_t)t->count > SIZE_MAX / 16) return DEFT_E_RANGE;
    t->data = deft_arena_array(a, (size_t)t->count, size);
    return t->data ? DEFT_OK : DEFT_E_SPACE;
}
