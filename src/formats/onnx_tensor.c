/* onnx_tensor.c - TensorProto: typed fields and raw bytes. */
#include "formats/onnx_private.h"

#include <string.h>

deft_dtype onnx_dtype(int32_t type)
{
    switch (type) {
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT:
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16:
    case ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16:
        return DEFT_F32;
    case ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE:
        return DEFT_F64;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT8:
        return DEFT_I8;
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT8:
        return DEFT_U8;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT16:
        return DEFT_I16;
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT16:
        return DEFT_U16;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT32:
        return DEFT_I32;
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT32:
        return DEFT_U32;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT64:
        return DEFT_I64;
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT64:
        return DEFT_U64;
    case ONNX__TENSOR_PROTO__DATA_TYPE__BOOL:
        return DEFT_BOOL;
    default:
        return (deft_dtype)0;
    }
}

static float from_bits(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

float onnx_half(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = (h >> 10) & 31u;
    const uint32_t mantissa = h & 0x3FFu;
    if (exponent == 31) return from_bits(sign | 0x7F800000u | mantissa << 13);
    if (exponent) return from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
    const float v = (float)mantissa * 0x1p-24f; // subnormal: exact
    return sign ? -v : v;
}

float onnx_bfloat(uint16_t h)
{
    return from_bits((uint32_t)h << 16);
}

/* raw: count elements of the file's type, little-endian. */
static void unpack_raw(deft_tensor *t, int32_t type, const uint8_t *raw)
{
    const bool half = type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16;
    if (half || type == ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16) {
        for (int64_t i = 0; i < t->count; i++) {
            const uint16_t h = (uint16_t)(raw[2 * i] | raw[2 * i + 1] << 8);
            ((float *)t->data)[i] = half ? onnx_half(h) : onnx_bfloat(h);
        }
        return;
    }
    const size_t size = deft_dtype_size(t->dtype);
    uint8_t *to = t->data;
    for (size_t i = 0; i < (size_t)t->count; i++) {
        uint64_t v = 0; // assembled by value: the same on any byte order
        for (size_t k = 0; k < size; k++) v |= (uint64_t)raw[i * size + k] << (8 * k);
        const uint8_t v8 = (uint8_t)v;
        const uint16_t v16 = (uint16_t)v;
        const uint32_t v32 = (uint32_t)v;
        if (size == 1)
            to[i] = t->dtype == DEFT_BOOL ? v8 != 0 : v8;
        else if (size == 2)
            memcpy(to + 2 * i, &v16, 2);
        else if (size == 4)
            memcpy(to + 4 * i, &v32, 4);
        else
            memcpy(to + 8 * i, &v, 8);
    }
}

static void unpack_int32(deft_tensor *t, int32_t type, const int32_t *v)
{
    for (int64_t i = 0; i < t->count; i++) {
        if (type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16)
            ((float *)t->data)[i] = onnx_half((uint16_t)v[i]);
        else if (type == ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16)
            ((float *)t->data)[i] = onnx_bfloat((uint16_t)v[i]);
        else if (t->dtype == DEFT_I32)
            ((int32_t *)t->data)[i] = v[i];
        else if (t->dtype == DEFT_I16 || t->dtype == DEFT_U16)
            ((uint16_t *)t->data)[i] = (uint16_t)v[i];
        else if (t->dtype == DEFT_BOOL)
            ((uint8_t *)t->data)[i] = v[i] != 0;
        else
            ((uint8_t *)t->data)[i] = (uint8_t)v[i];
    }
}

static deft_status wrong_count(deft_error *err, const char *field, size_t got, int64_t want)
{
    return deft_fail(err, DEFT_E_FORMAT, "%s holds %zu elements, the shape wants %lld", field, got,
                     (long long)want);
}

static deft_status unpack_fields(deft_tensor *t, const Onnx__TensorProto *p, deft_error *err)
{
    const size_t n = (size_t)t->count;
    switch (p->data_type) {
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT:
        if (p->n_float_data != n) return wrong_count(err, "float_data", p->n_float_data, t->count);
        if (n) memcpy(t->data, p->float_data, n * 4);
        return DEFT_OK;
    case ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE:
        if (p->n_double_data != n)
            return wrong_count(err, "double_data", p->n_double_data, t->count);
        if (n) memcpy(t->data, p->double_data, n * 8);
        return DEFT_OK;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT64:
        if (p->n_int64_data != n) return wrong_count(err, "int64_data", p->n_int64_data, t->count);
        if (n) memcpy(t->data, p->int64_data, n * 8);
        return DEFT_OK;
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT32:
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT64:
        if (p->n_uint64_data != n)
            return wrong_count(err, "uint64_data", p->n_uint64_data, t->count);
        for (size_t i = 0; i < n; i++) {
            if (t->dtype == DEFT_U64)
                ((uint64_t *)t->data)[i] = p->uint64_data[i];
            else
                ((uint32_t *)t->data)[i] = (uint32_t)p->uint64_data[i];
        }
        return DEFT_OK;
    default:
        if (p->n_int32_data != n) return wrong_count(err, "int32_data", p->n_int32_data, t->count);
        unpack_int32(t, p->data_type, p->int32_data);
        return DEFT_OK;
    }
}

static size_t file_size_of(int32_t type)
{
    if (type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16 ||
        type == ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16)
        return 2;
    return deft_dtype_size(onnx_dtype(type));
}

deft_status onnx_tensor(const Onnx__TensorProto *p, onnx_folder *dir, deft_arena *a,
                        deft_tensor *out, deft_error *err)
{
    const deft_dtype dtype = onnx_dtype(p->data_type);
    if (!dtype)
        return deft_fail(err, DEFT_E_UNSUPPORTED, "element type %d is not supported",
                         (int)p->data_type);
    if (p->segment)
        return deft_fail(err, DEFT_E_UNSUPPORTED, "segmented tensors are not supported");
    if (p->n_dims > DEFT_MAX_RANK)
        return deft_fail(err, DEFT_E_RANGE, "rank %zu: at most %d", p->n_dims, DEFT_MAX_RANK);
    // The data must be there before memory for it is: a shape alone buys nothing.
    uint64_t count = 1;
    for (size_t i = 0; i < p->n_dims; i++) {
        if (p->dims[i] < 0 || (p->dims[i] && count > ((uint64_t)1 << 40) / (uint64_t)p->dims[i]))
            return deft_fail(err, DEFT_E_RANGE, "dimension %zu is %lld", i, (long long)p->dims[i]);
        count *= (uint64_t)p->dims[i];
    }
    const size_t size = (size_t)count * file_size_of(p->data_type);
    const bool external =
        p->has_data_location && p->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    deft_bytes raw = {p->raw_data.data, p->raw_data.len};
    if (external) {
        const deft_status s = onnx_external(p, dir, size, a, &raw, err);
        if (s != DEFT_OK) return s;
    } else if (p->has_raw_data && raw.size != size) {
        return deft_fail(err, DEFT_E_FORMAT, "raw_data holds %zu bytes, the shape wants %zu",
                         raw.size, size);
    } else if (!p->has_raw_data) {
        const size_t stored = p->n_float_data + p->n_int32_data + p->n_int64_data +
                              p->n_double_data + p->n_uint64_data;
        if (stored != count) return wrong_count(err, "the tensor", stored, (int64_t)count);
    }
    const deft_status s = deft_tensor_init(out, dtype, (int32_t)p->n_dims, p->dims, a);
    if (s != DEFT_OK)
        return deft_fail(err, s, "no memory for %llu elements", (unsigned long long)count);
    if (!external && !p->has_raw_data) return unpack_fields(out, p, err);
    unpack_raw(out, p->data_type, raw.data);
    return DEFT_OK;
}
