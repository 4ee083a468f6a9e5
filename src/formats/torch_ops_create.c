/* torch_ops_create.c - tensors that TorchScript programs make of numbers. */
#include "formats/torch_script.h"
#include "graph/op.h"

#include <math.h>
#include <string.h>

/* The element type of argument i, `otherwise` where it is not given. 0 after ts_fail. */
static deft_dtype type_arg(ts *l, const ts_args *a, int32_t i, deft_dtype otherwise)
{
    int64_t v = 0;
    if (!ts_has(a, i)) return otherwise;
    if (ts_arg_int(l, a, i, 0, &v) != DEFT_OK) return (deft_dtype)0;
    const deft_dtype t = ts_deft_dtype(v);
    if (!t) (void)ts_fail(l, DEFT_E_UNSUPPORTED, "element type %lld", (long long)v);
    return t;
}

/* A tensor of its own with one value everywhere. */
static deft_status full_of(ts *l, deft_dtype type, int32_t rank, const int64_t *dim, double v,
                           ts_value *out)
{
    if (!type || rank < 0) return l->err->status;
    deft_tensor *t = DEFT_NEW(l->a, deft_tensor);
    const deft_status s = t ? deft_tensor_init(t, type, rank, dim, l->a) : DEFT_E_SPACE;
    if (s == DEFT_E_RANGE) return ts_fail(l, s, "the shape of a tensor is out of range");
    if (s != DEFT_OK) return ts_no_memory(l);
    if (ts_charge(l, t->count) != DEFT_OK) return l->err->status;
    for (int64_t k = 0; v != 0 && k < t->count; k++) op_set_f64(t, k, v);
    return ts_give(l, ts_constant(l, t, NULL), out);
}

/* zeros and ones: (size, dtype, layout, device, pin_memory). Memory that nobody set is zeros. */
static deft_status filled(ts *l, ts_args *a, ts_value *out)
{
    int64_t dim[DEFT_MAX_RANK];
    const int32_t rank = ts_to_ints(l, &a->v[0], dim, DEFT_MAX_RANK);
    if (rank < 0) return l->err->status;
    return full_of(l, type_arg(l, a, 1, DEFT_F32), rank, dim, a->op->with[0] == '1', out);
}

static deft_dtype type_of_number(const ts_value *v)
{
    return v->kind == TS_BOOL ? DEFT_BOOL : v->kind == TS_INT ? DEFT_I64 : DEFT_F32;
}

/* full(size, value, dtype, ...) */
static deft_status full(ts *l, ts_args *a, ts_value *out)
{
    int64_t dim[DEFT_MAX_RANK];
    double v = 0;
    const int32_t rank = ts_to_ints(l, &a->v[0], dim, DEFT_MAX_RANK);
    const deft_status s = rank < 0 ? l->err->status : ts_arg_float(l, a, 1, 0, &v);
    if (s != DEFT_OK) return s;
    return full_of(l, type_arg(l, a, 2, type_of_number(&a->v[1])), rank, dim, v, out);
}

/* zeros_like(x, dtype, ...), new_zeros(x, size, dtype, ...), full_like(x, value, dtype, ...). */
static deft_status alike(ts *l, ts_args *a, ts_value *out)
{
    ts_tensor *t = NULL;
    int64_t dim[DEFT_MAX_RANK];
    double v = a->op->with[0] == '1';
    deft_status s = ts_arg_tensor(l, a, 0, &t);
    if (s != DEFT_OK) return s;
    const deft_dtype type = l->edge[t->base ? t->base->value : t->value].t->dtype;
    const deft_tensor *shape = ts_shape(l, t);
    int32_t rank = shape->rank;
    memcpy(dim, shape->dim, sizeof dim);
    const bool sized = strncmp(a->op->name, "new_", 4) == 0;
    const bool valued = a->op->with[0] == 'f';
    if (sized) rank = ts_to_ints(l, &a->v[1], dim, DEFT_MAX_RANK);
    if (rank < 0) return l->err->status;
    if (valued) s = ts_arg_float(l, a, sized ? 2 : 1, 0, &v);
    if (s != DEFT_OK) return s;
    return full_of(l, type_arg(l, a, 1 + sized + valued, type), rank, dim, v, out);
}

/* The shape of nested lists, and the kind of their numbers. */
static deft_status measure(ts *l, const ts_value *v, int64_t *dim, int32_t *rank, deft_dtype *type)
{
    *rank = 0;
    while (v->kind == TS_LIST || v->kind == TS_TUPLE) {
        if (*rank == DEFT_MAX_RANK) return ts_fail(l, DEFT_E_RANGE, "lists are nested too deep");
        dim[(*rank)++] = v->as.list->n;
        if (v->as.list->n == 0) break;
        v = &v->as.list->item[0];
    }
    *type = v->kind == TS_LIST || v->kind == TS_TUPLE ? DEFT_F32 : type_of_number(v);
    return DEFT_OK;
}

/* Item k of nested lists, row by row. */
static deft_status nested_item(ts *l, const ts_value *v, const deft_tensor *t, int64_t k,
                               double *out)
{
    for (int32_t d = 0; d < t->rank; d++) {
        const int64_t inner = op_product(t, d + 1, t->rank), i = k / inner;
        k %= inner;
        if ((v->kind != TS_LIST && v->kind != TS_TUPLE) || v->as.list->n != t->dim[d])
            return ts_fail(l, DEFT_E_FORMAT, "lists of different lengths");
        v = &v->as.list->item[i];
    }
    return ts_to_float(l, v, out);
}

/* tensor(data, dtype, ...) */
static deft_status tensor(ts *l, ts_args *a, ts_value *out)
{
    int64_t dim[DEFT_MAX_RANK];
    int32_t rank = 0;
    deft_dtype type = (deft_dtype)0;
    if (ts_is_tensor(a, 0)) { // a tensor of a tensor is a copy
        const int32_t x = ts_arg_edge(l, a, 0);
        if (x < 0) return l->err->status;
        type = type_arg(l, a, 1, l->edge[x].t->dtype);
        return type ? ts_give(l, ts_cast(l, x, type), out) : l->err->status;
    }
    deft_status s = measure(l, &a->v[0], dim, &rank, &type);
    type = s == DEFT_OK ? type_arg(l, a, 1, type) : (deft_dtype)0;
    if (!type) return l->err->status;
    s = full_of(l, type, rank, dim, 0, out);
    if (s != DEFT_OK) return s;
    deft_tensor *t = DEFT_NEW(l->a, deft_tensor);
    s = t ? deft_tensor_init(t, type, rank, dim, l->a) : DEFT_E_SPACE;
    if (s != DEFT_OK) return ts_no_memory(l);
    for (int64_t k = 0; s == DEFT_OK && k < t->count; k++) {
        double v = 0;
        s = nested_item(l, &a->v[0], t, k, &v);
        op_set_f64(t, k, v);
    }
    return s == DEFT_OK ? ts_give(l, ts_constant(l, t, NULL), out) : s;
}

/* arange(end), (start, end) or (start, end, step), then dtype, layout, device and pin_memory:
 * numbers before the first None or keyword are bounds. */
static deft_status arange(ts *l, ts_args *a, ts_value *out)
{
    double v[3] = {0, 0, 1};
    int32_t n = 0;
    bool real = false;
    while (n < 3 && a->given[n] &&
           (a->v[n].kind == TS_INT || a->v[n].kind == TS_FLOAT || a->v[n].kind == TS_TENSOR))
        n++;
    if (a->n > n + 4 && n > 1) n--; // arange(end, dtype, layout, device, pin) counts its dtype
    for (int32_t i = 0; i < n; i++) {
        const deft_status s = ts_to_float(l, &a->v[i], &v[n == 1 ? 1 : i]);
        real |= a->v[i].kind == TS_FLOAT;
        if (s != DEFT_OK) return s;
    }
    const int32_t at = a->given[3] && n < 3 ? n : 3;
    const deft_dtype type = type_arg(l, a, at, real ? DEFT_F32 : DEFT_I64);
    const double count = ceil((v[1] - v[0]) / v[2]);
    if (!type || n == 0 || !(count >= 0 && count < 1e6))
        return type ? ts_fail(l, DEFT_E_RANGE, "torch.arange: out of range") : l->err->status;
    const int64_t dim = (int64_t)count;
    deft_tensor *t = DEFT_NEW(l->a, deft_tensor);
    if (!t || deft_tensor_init(t, type, 1, &dim, l->a) != DEFT_OK) return ts_no_memory(l);
    for (int64_t k = 0; k < dim; k++) op_set_f64(t, k, v[0] + (double)k * v[2]);
    return ts_give(l, ts_constant(l, t, NULL), out);
}

static deft_status eye(ts *l, ts_args *a, ts_value *out)
{
    int64_t n = 0;
    const deft_status s = ts_arg_int(l, a, 0, 0, &n);
    if (s != DEFT_OK) return s;
    if (n < 0 || n > 4096) return ts_fail(l, DEFT_E_RANGE, "torch.eye(%lld)", (long long)n);
    deft_tensor *t = DEFT_NEW(l->a, deft_tensor);
    const int64_t dim[2] = {n, n};
    if (!t || deft_tensor_init(t, DEFT_F32, 2, dim, l->a) != DEFT_OK) return ts_no_memory(l);
    if (ts_charge(l, t->count) != DEFT_OK) return l->err->status;
    for (int64_t k = 0; k < n; k++) ((float *)t->data)[k * n + k] = 1;
    return ts_give(l, ts_constant(l, t, NULL), out);
}

const ts_op ts_ops_create[] = {
    {"zeros", "size dtype layout device pin_memory", filled, "0"},
    {"ones", "size dtype layout device pin_memory", filled, "1"},
    {"empty", "size dtype layout device pin_memory memory_format", filled, "0"},
    {"full", "size fill_value dtype layout device pin_memory", full, NULL},
    {"zeros_like", "self dtype layout device pin_memory memory_format", alike, "0"},
    {"ones_like", "self dtype layout device pin_memory memory_format", alike, "1"},
    {"empty_like", "self dtype layout device pin_memory memory_format", alike, "0"},
    {"full_like", "self fill_value dtype layout device pin_memory memory_format", alike, "f"},
    {"new_zeros", "self size dtype layout device pin_memory", alike, "0"},
    {"new_ones", "self size dtype layout device pin_memory", alike, "1"},
    {"new_empty", "self size dtype layout device pin_memory", alike, "0"},
    {"new_full", "self size fill_value dtype layout device pin_memory", alike, "f"},
    {"tensor", "data dtype device requires_grad", tensor, NULL},
    {"as_tensor", "data dtype device", tensor, NULL},
    {"scalar_tensor", "data dtype layout device pin_memory", tensor, NULL},
    {"arange", "start end step dtype layout device pin_memory", arange, NULL},
    {"eye", "n dtype layout device pin_memory", eye, NULL},
    {NULL, NULL, NULL, NULL},
};
