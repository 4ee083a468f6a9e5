/* op_common.c - element access, broadcasting, argument lists, the table of operators. */
#include "graph/op.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const deft_tensor *op_in(const op_ctx *c, int32_t i)
{
    return i >= 0 && i < c->node->n_in ? c->in[i] : NULL;
}

deft_status op_fail(const op_ctx *c, deft_status s, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return deft_fail(c->err, s, "%s", text);
}

deft_status op_charge(const op_ctx *c, int64_t n, int64_t each)
{
    if (!c->work || n <= 0 || each <= 0) return DEFT_OK;
    if (n <= *c->work / each) {
        *c->work -= n * each;
        return DEFT_OK;
    }
    const double left = (double)*c->work;
    *c->work = 0; // nothing smaller comes after it
    return op_fail(c, DEFT_E_RANGE,
                   "takes more operations than a file of this size may ask for (%.3g, and %.3g are "
                   "left)",
                   (double)n * (double)each, left);
}

/* Saturated; an impossible shape is refused where it becomes a tensor. */
static int64_t elements(int32_t rank, const int64_t *dim)
{
    int64_t n = 1;
    for (int32_t i = 0; i < rank; i++) {
        if (dim[i] <= 0) return 0;
        n = n > INT64_MAX / dim[i] ? INT64_MAX : n * dim[i];
    }
    return n;
}

deft_status op_out(op_ctx *c, int32_t i, deft_dtype dtype, int32_t rank, const int64_t *dim)
{
    if (i >= c->node->n_out) return op_fail(c, DEFT_E_FORMAT, "output %d is missing", (int)i);
    if (op_charge(c, elements(rank, dim), OP_WORK_ELEMENT) != DEFT_OK) return DEFT_E_RANGE;
    const deft_status s = deft_tensor_init(&c->out[i], dtype, rank, dim, c->arena);
    if (s == DEFT_E_SPACE) return op_fail(c, s, "the result is larger than the memory it may use");
    if (s != DEFT_OK) return op_fail(c, s, "the result's shape or type is out of range");
    return DEFT_OK;
}

int32_t op_axis(int64_t axis, int32_t rank)
{
    if (axis < -(int64_t)rank || axis >= rank) return -1;
    return (int32_t)(axis < 0 ? axis + rank : axis);
}

int32_t op_list(op_ctx *c, const char *name, int32_t i, int64_t dst[OP_MAX_LIST])
{
    const deft_attr *a = name ? deft_node_attr(c->node, name) : NULL;
    if (a && a->kind == DEFT_ATTR_INTS) {
        if (a->n > OP_MAX_LIST) return (void)op_fail(c, DEFT_E_RANGE, "'%s' is too long", name), -1;
        for (int64_t k = 0; k < a->n; k++) dst[k] = a->ints[k];
        return (int32_t)a->n;
    }
    if (a && a->kind == DEFT_ATTR_INT) {
        dst[0] = a->i;
        return 1;
    }
    const deft_tensor *t = op_in(c, i);
    if (!t) return 0;
    if (op_is_float(t->dtype) || t->rank > 1 || t->count > OP_MAX_LIST)
        return (void)op_fail(c, DEFT_E_FORMAT, "input %d must be a short list of integers", (int)i),
               -1;
    for (int64_t k = 0; k < t->count; k++) dst[k] = op_get_i64(t, k);
    return (int32_t)t->count;
}

deft_dtype op_onnx_dtype(int64_t type)
{
    static const deft_dtype by_onnx[] = {
        [1] = DEFT_F32,  [2] = DEFT_U8,   [3] = DEFT_I8,   [4] = DEFT_U16,  [5] = DEFT_I16,
        [6] = DEFT_I32,  [7] = DEFT_I64,  [9] = DEFT_BOOL, [10] = DEFT_F32, [11] = DEFT_F64,
        [12] = DEFT_U32, [13] = DEFT_U64, [16] = DEFT_F32,
    };
    const bool known = type >= 0 && type < (int64_t)(sizeof by_onnx / sizeof by_onnx[0]);
    return known ? by_onnx[type] : (deft_dtype)0;
}

bool op_is_float(deft_dtype t)
{
    return t == DEFT_F32 || t == DEFT_F64;
}

double op_get_f64(const deft_tensor *t, int64_t k)
{
    switch (t->dtype) {
    case DEFT_F32:
        return (double)((const float *)t->data)[k];
    case DEFT_F64:
        return ((const double *)t->data)[k];
    case DEFT_U64:
        return (double)((const uint64_t *)t->data)[k];
    default:
        return (double)op_get_i64(t, k);
    }
}

static int64_t saturate_i64(double v)
{
    if (isnan(v)) return 0;
    if (v >= 0x1p63) return INT64_MAX;
    return v <= -0x1p63 ? INT64_MIN : (int64_t)v;
}

int64_t op_get_i64(const deft_tensor *t, int64_t k)
{
    switch (t->dtype) {
    case DEFT_F32:
        return saturate_i64((double)((const float *)t->data)[k]);
    case DEFT_F64:
        return saturate_i64(((const double *)t->data)[k]);
    case DEFT_I8:
        return ((const int8_t *)t->data)[k];
    case DEFT_BOOL:
    case DEFT_U8:
        return ((const uint8_t *)t->data)[k];
    case DEFT_I16:
        return ((const int16_t *)t->data)[k];
    case DEFT_F16:
    case DEFT_U16:
        return ((const uint16_t *)t->data)[k];
    case DEFT_I32:
        return ((const int32_t *)t->data)[k];
    case DEFT_U32:
        return ((const uint32_t *)t->data)[k];
    case DEFT_I64:
        return ((const int64_t *)t->data)[k];
    case DEFT_U64:
        return (int64_t)((const uint64_t *)t->data)[k];
    }
    return 0;
}

void op_set_i64(deft_tensor *t, int64_t k, int64_t v)
{
    switch (t->dtype) {
    case DEFT_F32:
        ((float *)t->data)[k] = (float)v;
        break;
    case DEFT_F64:
        ((double *)t->data)[k] = (double)v;
        break;
    case DEFT_I8:
        ((int8_t *)t->data)[k] = (int8_t)(uint8_t)(uint64_t)v;
        break;
    case DEFT_BOOL:
        ((uint8_t *)t->data)[k] = v != 0;
        break;
    case DEFT_U8:
        ((uint8_t *)t->data)[k] = (uint8_t)(uint64_t)v;
        break;
    case DEFT_I16:
        ((int16_t *)t->data)[k] = (int16_t)(uint16_t)(uint64_t)v;
        break;
    case DEFT_F16:
    case DEFT_U16:
        ((uint16_t *)t->data)[k] = (uint16_t)(uint64_t)v;
        break;
    case DEFT_I32:
        ((int32_t *)t->data)[k] = (int32_t)(uint32_t)(uint64_t)v;
        break;
    case DEFT_U32:
        ((uint32_t *)t->data)[k] = (uint32_t)(uint64_t)v;
        break;
    case DEFT_I64:
        ((int64_t *)t->data)[k] = v;
        break;
    case DEFT_U64:
        ((uint64_t *)t->data)[k] = (uint64_t)v;
        break;
    }
}

static int64_t clamp_to(double v, int64_t lo, int64_t hi)
{
    const int64_t i = saturate_i64(v);
    return i < lo ? lo : i > hi ? hi : i;
}

void op_set_f64(deft_tensor *t, int64_t k, double v)
{
    switch (t->dtype) {
    case DEFT_F32:
        ((float *)t->data)[k] = (float)v;
        break;
    case DEFT_F64:
        ((double *)t->data)[k] = v;
        break;
    case DEFT_I8:
        op_set_i64(t, k, clamp_to(v, INT8_MIN, INT8_MAX));
        break;
    case DEFT_U8:
        op_set_i64(t, k, clamp_to(v, 0, UINT8_MAX));
        break;
    case DEFT_BOOL:
        op_set_i64(t, k, v != 0);
        break;
    case DEFT_I16:
        op_set_i64(t, k, clamp_to(v, INT16_MIN, INT16_MAX));
        break;
    case DEFT_F16:
    case DEFT_U16:
        op_set_i64(t, k, clamp_to(v, 0, UINT16_MAX));
        break;
    case DEFT_I32:
        op_set_i64(t, k, clamp_to(v, INT32_MIN, INT32_MAX));
        break;
    case DEFT_U32:
        op_set_i64(t, k, clamp_to(v, 0, UINT32_MAX));
        break;
    case DEFT_I64:
        ((int64_t *)t->data)[k] = saturate_i64(v);
        break;
    case DEFT_U64:
        ((uint64_t *)t->data)[k] = isnan(v) || v <= 0 ? 0 : v >= 0x1p64 ? UINT64_MAX : (uint64_t)v;
        break;
    }
}

deft_status op_broadcast(const op_ctx *c, const deft_tensor *a, const deft_tensor *b, int32_t *rank,
                         int64_t dim[DEFT_MAX_RANK])
{
    const int32_t r = a->rank > b->rank ? a->rank : b->rank;
    for (int32_t i = 0; i < r; i++) {
        const int32_t ia = i - (r - a->rank), ib = i - (r - b->rank);
        const int64_t da = ia < 0 ? 1 : a->dim[ia], db = ib < 0 ? 1 : b->dim[ib];
        if (da != db && da != 1 && db != 1)
            return op_fail(c, DEFT_E_FORMAT, "shapes do not broadcast: %lld against %lld",
                           (long long)da, (long long)db);
        dim[i] = da == 1 ? db : da;
    }
    *rank = r;
    return DEFT_OK;
}

int64_t op_broadcast_at(const deft_tensor *t, int32_t rank, const int64_t *dim, int64_t k)
{
    int64_t offset = 0, stride = 1;
    for (int32_t i = rank - 1; i >= 0; i--) {
        const int64_t at = k % dim[i];
        k /= dim[i];
        const int32_t it = i - (rank - t->rank);
        if (it < 0) break;
        if (t->dim[it] != 1) offset += at * stride;
        stride *= t->dim[it];
    }
    return offset;
}

int64_t op_product(const deft_tensor *t, int32_t from, int32_t to)
{
    int64_t p = 1;
    for (int32_t i = from; i < to; i++) p *= t->dim[i];
    return p;
}

op_fn *op_find(const char *name)
{
    const op_entry *const tables[] = {op_table_elementwise, op_table_linear,   op_table_shape,
                                      op_table_index,       op_table_reduce,   op_table_recurrent,
                                      op_table_quantize,    op_table_constant, op_table_conv};
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        for (const op_entry *e = tables[i]; e->name; e++)
            if (strcmp(e->name, name) == 0) return e->run;
    return NULL;
}

bool deft_op_known(const char *op)
{
    return op_find(op) != NULL;
}
