/* torch_ops_reduce.c - reductions, normalisations, softmax and argmax of TorchScript. */
#include "formats/torch_script.h"
#include "graph/op.h"

#include <string.h>

static int32_t float_operand(ts *l, const ts_args *a, int32_t i)
{
    const int32_t x = ts_arg_edge(l, a, i);
    return x < 0 || op_is_float(l->edge[x].t->dtype) ? x : ts_cast(l, x, DEFT_F32);
}

/* Over dimensions [n]; n 0: over all. ReduceSum takes them as input, the others as attribute. */
static int32_t reduced(ts *l, const char *op, int32_t x, int32_t n, const int64_t *dim, bool keep)
{
    if (x < 0) return -1;
    const bool sum = strcmp(op, "ReduceSum") == 0;
    const deft_attr attr[] = {
        ts_attr_int("keepdims", keep),
        {.name = n && !sum ? "axes" : NULL,
         .kind = DEFT_ATTR_INTS,
         .n = n,
         .ints = n ? deft_arena_copy(l->a, dim, (size_t)n * sizeof *dim) : NULL},
        {0}};
    if (n && !attr[1].ints) return (void)ts_no_memory(l), -1;
    const int32_t in[2] = {x, n && sum ? ts_ints(l, n, dim) : -2};
    return ts_emit(l, op, n && sum ? 2 : 1, in, attr);
}

/* Dimensions from argument i: none, one or several. -1 after ts_fail. */
static int32_t dims(ts *l, const ts_args *a, int32_t i, int64_t dim[DEFT_MAX_RANK])
{
    return ts_has(a, i) ? ts_to_ints(l, &a->v[i], dim, DEFT_MAX_RANK) : 0;
}

/* sum and mean: (x, dim, keepdim, dtype); sum(x, dtype) has its dtype by keyword. */
static deft_status total(ts *l, ts_args *a, ts_value *out)
{
    int64_t dim[DEFT_MAX_RANK];
    bool keep = false;
    const bool mean = strcmp(a->op->with, "ReduceMean") == 0;
    int32_t x = mean ? float_operand(l, a, 0) : ts_arg_edge(l, a, 0);
    if (x < 0) return l->err->status;
    if (!mean && l->edge[x].t->dtype == DEFT_BOOL) x = ts_cast(l, x, DEFT_I64);
    const int32_t n = dims(l, a, 1, dim);
    const deft_status s = ts_arg_bool(l, a, 2, false, &keep);
    if (n < 0 || s != DEFT_OK) return l->err->status;
    return ts_give(l, reduced(l, a->op->with, x, n, dim, keep), out);
}

static deft_status pair_of(ts *l, int32_t x, int32_t y, ts_value *out)
{
    ts_list *list = ts_new_list(l, 2);
    ts_tensor *t[2] = {ts_wrap(l, x), ts_wrap(l, y)};
    if (!list || !t[0] || !t[1]) return l->err->status;
    for (int k = 0; k < 2; k++) list->item[list->n++] = ts_of(t[k]);
    out->kind = TS_TUPLE;
    out->as.list = list;
    return DEFT_OK;
}

static int32_t arg_extreme(ts *l, const char *op, int32_t x, int64_t axis, bool keep)
{
    const deft_attr attr[] = {ts_attr_int("axis", axis), ts_attr_int("keepdims", keep), {0}};
    return ts_emit(l, op, 1, &x, attr);
}

/* max(x), max(x, y) and max(x, dim, keepdim), which gives (values, indices). */
static deft_status extreme(ts *l, ts_args *a, ts_value *out)
{
    const bool max = strcmp(a->op->with, "ReduceMax") == 0;
    if (ts_is_tensor(a, 1)) {
        int32_t x[2];
        if (!ts_promote(l, a, 0, 1, x)) return l->err->status;
        return ts_give(l, ts_binary(l, max ? "Max" : "Min", x[0], x[1]), out);
    }
    const int32_t x = ts_arg_edge(l, a, 0);
    if (x < 0) return l->err->status;
    if (!ts_has(a, 1)) return ts_give(l, reduced(l, a->op->with, x, 0, NULL, false), out);
    int64_t dim = 0;
    bool keep = false;
    deft_status s = ts_arg_int(l, a, 1, 0, &dim);
    if (s == DEFT_OK) s = ts_arg_bool(l, a, 2, false, &keep);
    if (s != DEFT_OK) return s;
    const int32_t v = reduced(l, a->op->with, x, 1, &dim, keep);
    const int32_t i = v < 0 ? -1 : arg_extreme(l, max ? "ArgMax" : "ArgMin", x, dim, keep);
    return i < 0 ? l->err->status : pair_of(l, v, i, out);
}

/* amax, amin: over dimensions, the values alone. */
static deft_status extreme_values(ts *l, ts_args *a, ts_value *out)
{
    int64_t dim[DEFT_MAX_RANK];
    bool keep = false;
    const int32_t x = ts_arg_edge(l, a, 0), n = dims(l, a, 1, dim);
    const deft_status s = ts_arg_bool(l, a, 2, false, &keep);
    if (x < 0 || n < 0 || s != DEFT_OK) return l->err->status;
    return ts_give(l, reduced(l, a->op->with, x, n, dim, keep), out);
}

static deft_status argmax(ts *l, ts_args *a, ts_value *out)
{
    int64_t dim = 0;
    bool keep = false;
    int32_t x = ts_arg_edge(l, a, 0);
    deft_status s = ts_arg_int(l, a, 1, 0, &dim);
    if (s == DEFT_OK) s = ts_arg_bool(l, a, 2, false, &keep);
    if (x < 0 || s != DEFT_OK) return l->err->status;
    if (!ts_has(a, 1)) x = ts_reshape(l, x, 1, &l->edge[x].t->count);
    return ts_give(l, arg_extreme(l, a->op->with, x, dim, keep), out);
}

/* norm(x, p, dim, keepdim, dtype); linalg_vector_norm(x, ord, ...) has the same order. */
static deft_status norm(ts *l, ts_args *a, ts_value *out)
{
    int64_t dim[DEFT_MAX_RANK];
    double p = 0;
    bool keep = false;
    deft_status s = ts_arg_float(l, a, 1, 2, &p);
    if (s == DEFT_OK) s = ts_arg_bool(l, a, 3, false, &keep);
    if (s != DEFT_OK) return s;
    if (p != 1 && p != 2)
        return ts_fail(l, DEFT_E_UNSUPPORTED, "torch.%s of order %g", a->op->name, p);
    const int32_t x = float_operand(l, a, 0), n = dims(l, a, 2, dim);
    if (n < 0) return l->err->status;
    return ts_give(l, reduced(l, p == 1 ? "ReduceL1" : "ReduceL2", x, n, dim, keep), out);
}

/* frobenius_norm(x, dim, keepdim) */
static deft_status frobenius(ts *l, ts_args *a, ts_value *out)
{
    int64_t dim[DEFT_MAX_RANK];
    bool keep = false;
    const deft_status s = ts_arg_bool(l, a, 2, false, &keep);
    const int32_t x = float_operand(l, a, 0), n = dims(l, a, 1, dim);
    if (s != DEFT_OK || n < 0) return l->err->status;
    return ts_give(l, reduced(l, "ReduceL2", x, n, dim, keep), out);
}

/* softmax and log_softmax: (x, dim, dtype) */
static deft_status softmax(ts *l, ts_args *a, ts_value *out)
{
    int64_t dim = 0;
    const deft_status s = ts_arg_int(l, a, 1, -1, &dim);
    const int32_t x = float_operand(l, a, 0);
    if (s != DEFT_OK || x < 0) return l->err->status;
    const deft_attr attr[] = {ts_attr_int("axis", dim), {0}};
    return ts_give(l, ts_emit(l, a->op->with, 1, &x, attr), out);
}

/* A constant of n elements; -1 after ts_fail. */
static int32_t filled(ts *l, int64_t n, double v)
{
    return ts_expand(l, ts_scalar(l, DEFT_F32, v), 1, &n);
}

/* layer_norm(x, shape, weight, bias, eps, cudnn) */
static deft_status layer_norm(ts *l, ts_args *a, ts_value *out)
{
    int64_t shape[DEFT_MAX_RANK], count = 1;
    double eps = 0;
    const int32_t x = float_operand(l, a, 0);
    deft_status s = ts_arg_float(l, a, 4, 1e-5, &eps);
    const int32_t n = x < 0 ? -1 : ts_to_ints(l, &a->v[1], shape, DEFT_MAX_RANK);
    if (n < 0 || s != DEFT_OK) return l->err->status;
    const deft_tensor *t = l->edge[x].t;
    bool fits = n > 0 && n <= t->rank;
    for (int32_t d = 0; fits && d < n; d++) {
        fits = shape[d] == t->dim[t->rank - n + d];
        count *= shape[d];
    }
    if (!fits) return ts_fail(l, DEFT_E_FORMAT, "torch.layer_norm: the shapes do not fit");
    const int32_t scale = ts_has(a, 2) ? ts_arg_edge(l, a, 2) : filled(l, count, 1);
    const int32_t bias = ts_has(a, 3) ? ts_arg_edge(l, a, 3) : -2;
    const deft_attr attr[] = {ts_attr_int("axis", -n), ts_attr_float("epsilon", eps), {0}};
    const int32_t in[3] = {x, scale, bias};
    return ts_give(l, ts_emit(l, "LayerNormalization", bias == -2 ? 2 : 3, in, attr), out);
}

/* batch_norm(x, weight, bias, mean, variance, training, momentum, eps, cudnn) */
static deft_status batch_norm(ts *l, ts_args *a, ts_value *out)
{
    double eps = 0;
    bool training = false;
    const int32_t x = float_operand(l, a, 0);
    deft_status s = ts_arg_float(l, a, 7, 1e-5, &eps);
    if (s == DEFT_OK) s = ts_arg_bool(l, a, 5, false, &training);
    if (x < 0 || s != DEFT_OK) return l->err->status;
    if (training || !ts_has(a, 3) || !ts_has(a, 4))
        return ts_fail(l, DEFT_E_UNSUPPORTED,
                       "torch.batch_norm in training mode: call eval() before the policy is saved");
    const deft_tensor *t = l->edge[x].t;
    if (t->rank < 2) return ts_fail(l, DEFT_E_FORMAT, "torch.batch_norm: no batch");
    const int64_t n = t->dim[1];
    const int32_t in[5] = {x, ts_has(a, 1) ? ts_arg_edge(l, a, 1) : filled(l, n, 1),
                           ts_has(a, 2) ? ts_arg_edge(l, a, 2) : filled(l, n, 0),
                           ts_arg_edge(l, a, 3), ts_arg_edge(l, a, 4)};
    const deft_attr attr[] = {ts_attr_float("epsilon", eps), {0}};
    return ts_give(l, ts_emit(l, "BatchNormalization", 5, in, attr), out);
}

const ts_op ts_ops_reduce[] = {
    {"sum", "self dim keepdim dtype", total, "ReduceSum"},
    {"mean", "self dim keepdim dtype", total, "ReduceMean"},
    {"max", "self dim keepdim", extreme, "ReduceMax"},
    {"min", "self dim keepdim", extreme, "ReduceMin"},
    {"amax", "self dim keepdim", extreme_values, "ReduceMax"},
    {"amin", "self dim keepdim", extreme_values, "ReduceMin"},
    {"argmax", "self dim keepdim", argmax, "ArgMax"},
    {"argmin", "self dim keepdim", argmax, "ArgMin"},
    {"norm", "self p dim keepdim dtype", norm, NULL},
    {"frobenius_norm", "self dim keepdim", frobenius, NULL},
    {"linalg_vector_norm", "self ord dim keepdim dtype", norm, NULL},
    {"linalg_norm", "self ord dim keepdim dtype", norm, NULL},
    {"softmax", "self dim dtype", softmax, "Softmax"},
    {"_softmax", "self dim half_to_float", softmax, "Softmax"},
    {"log_softmax", "self dim dtype", softmax, "LogSoftmax"},
    {"layer_norm", "input normalized_shape weight bias eps cudnn_enable", layer_norm, NULL},
    {"batch_norm", "input weight bias running_mean running_var training momentum eps cudnn_enabled",
     batch_norm, NULL},
    {NULL, NULL, NULL, NULL},
};
