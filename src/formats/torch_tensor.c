/* torch_tensor.c - the elements of a tensor out of its storage: any offset and strides. */
#include "formats/onnx_private.h"
#include "formats/torch_private.h"

#include <float.h>
#include <math.h>
#include <string.h>

static deft_dtype dtype_of(torch_type t)
{
    static const deft_dtype dtype[] = {(deft_dtype)0, DEFT_F32, DEFT_F32,  DEFT_F32,
                                       DEFT_F32,      DEFT_I64, DEFT_I32,  DEFT_I16,
                                       DEFT_I8,       DEFT_U8,  DEFT_BOOL, DEFT_U8};
    return dtype[t];
}

static float narrow(uint64_t bits)
{
    double d = 0;
    memcpy(&d, &bits, sizeof d);
    if (d > (double)FLT_MAX) return INFINITY;
    if (d < -(double)FLT_MAX) return -INFINITY;
    return (float)d;
}

/* Element i of `to` from the bytes of one element of the storage. */
static void convert(deft_tensor *to, int64_t i, torch_type type, const uint8_t *p, bool big_endian)
{
    const size_t size = torch_type_size(type);
    uint64_t v = 0;
    for (size_t k = 0; k < size; k++) v |= (uint64_t)p[big_endian ? size - 1 - k : k] << (8 * k);
    const uint16_t v16 = (uint16_t)v;
    const uint32_t v32 = (uint32_t)v;
    float f = 0;
    switch (type) {
    case TORCH_FLOAT:
        memcpy(&f, &v32, sizeof f);
        break;
    case TORCH_DOUBLE:
        f = narrow(v);
        break;
    case TORCH_HALF:
        f = onnx_half(v16);
        break;
    case TORCH_BFLOAT16:
        f = onnx_bfloat(v16);
        break;
    case TORCH_LONG:
        memcpy((uint8_t *)to->data + 8 * i, &v, 8);
        return;
    case TORCH_INT:
        memcpy((uint8_t *)to->data + 4 * i, &v32, 4);
        return;
    case TORCH_SHORT:
        memcpy((uint8_t *)to->data + 2 * i, &v16, 2);
        return;
    default:
        ((uint8_t *)to->data)[i] = type == TORCH_BOOL ? v != 0 : (uint8_t)v;
        return;
    }
    ((float *)to->data)[i] = f;
}

/* The number of elements and the last one that is read; false where they overflow. */
static bool extent(const torch_view *v, int64_t *count, int64_t *last)
{
    const int64_t most = (int64_t)1 << 40;
    *count = 1;
    *last = v->offset;
    if (v->offset > most) return false;
    for (int32_t k = 0; k < v->rank; k++) {
        if (v->size[k] == 0) *count = 0;
        if (*count && v->size[k] > most / *count) return false;
        *count *= v->size[k];
    }
    for (int32_t k = 0; *count && k < v->rank; k++) {
        if (v->size[k] == 1) continue;
        if (v->stride[k] > most / v->size[k]) return false;
        *last += (v->size[k] - 1) * v->stride[k];
        if (*last > most) return false;
    }
    return true;
}

deft_status torch_view_check(const torch_view *v, deft_bytes storage, int64_t *count,
                             deft_error *err)
{
    const int64_t have = (int64_t)(storage.size / torch_type_size(v->type));
    int64_t last = 0;
    if (!extent(v, count, &last))
        return deft_fail(err, DEFT_E_RANGE, "the shape or the strides are too large");
    if (*count && last >= have)
        return deft_fail(err, DEFT_E_FORMAT, "element %lld of storage '%s', which has %lld",
                         (long long)last, v->storage->key, (long long)have);
    // what is repeated by strides of 0 must not buy memory
    if (*count > 65536 && *count / 16 > have)
        return deft_fail(err, DEFT_E_RANGE, "%lld elements are repeated from %lld",
                         (long long)*count, (long long)have);
    return DEFT_OK;
}

deft_status torch_gather(const torch_view *v, deft_bytes storage, bool big_endian, deft_arena *a,
                         deft_tensor *out, deft_error *err)
{
    const size_t size = torch_type_size(v->type);
    int64_t count = 0;
    deft_status s = torch_view_check(v, storage, &count, err);
    if (s != DEFT_OK) return s;
    s = deft_tensor_init(out, dtype_of(v->type), v->rank, v->size, a);
    if (s != DEFT_OK) return deft_fail(err, s, "no memory for %lld elements", (long long)count);
    int64_t index[DEFT_MAX_RANK] = {0}, from = v->offset;
    for (int64_t i = 0; i < count; i++) {
        convert(out, i, v->type, storage.data + (size_t)from * size, big_endian);
        for (int32_t k = v->rank - 1; k >= 0; k--) { // the last index counts fastest
            from += v->stride[k];
            if (++index[k] < v->size[k]) break;
            from -= v->size[k] * v->stride[k];
            index[k] = 0;
        }
    }
    return DEFT_OK;
}
