/* torch_ops.c - the operators that TorchScript programs call: the table of all, their arguments. */
#include "formats/torch_script.h"
#include "graph/op.h"

#include <string.h>

const ts_op *ts_find_op(const char *name)
{
    static const ts_op *const tables[] = {ts_ops_python, ts_ops_shape, ts_ops_math,  ts_ops_linear,
                                          ts_ops_create, ts_ops_index, ts_ops_reduce};
    for (size_t k = 0; k < sizeof tables / sizeof tables[0]; k++)
        for (const ts_op *op = tables[k]; op->name; op++)
            if (strcmp(op->name, name) == 0) return op;
    return NULL;
}

bool ts_moves(const ts_op *op)
{
    for (const ts_op *k = ts_ops_shape; k->name; k++)
        if (k == op) return true;
    return false;
}

bool ts_has(const ts_args *a, int32_t i)
{
    return i < TS_MAX_ARGS && a->given[i] && a->v[i].kind != TS_NONE;
}

bool ts_is_tensor(const ts_args *a, int32_t i)
{
    return ts_has(a, i) && a->v[i].kind == TS_TENSOR;
}

static deft_status missing(ts *l, const ts_args *a, int32_t i)
{
    return ts_fail(l, DEFT_E_FORMAT, "torch.%s: argument %d is %s", a->op->name, (int)i + 1,
                   a->given[i] ? ts_kind_name(a->v[i].kind) : "missing");
}

deft_status ts_arg_tensor(ts *l, const ts_args *a, int32_t i, ts_tensor **out)
{
    if (!ts_is_tensor(a, i)) return missing(l, a, i);
    *out = a->v[i].as.t;
    return DEFT_OK;
}

int32_t ts_arg_edge(ts *l, const ts_args *a, int32_t i)
{
    const ts_value *v = &a->v[i];
    if (ts_is_tensor(a, i)) return ts_read(l, v->as.t);
    if (!ts_has(a, i) || (v->kind != TS_INT && v->kind != TS_FLOAT && v->kind != TS_BOOL))
        return (void)missing(l, a, i), -1;
    if (v->kind == TS_FLOAT) return ts_scalar(l, DEFT_F32, v->as.f);
    return ts_scalar(l, v->kind == TS_BOOL ? DEFT_BOOL : DEFT_I64, (double)v->as.i);
}

deft_status ts_arg_int(ts *l, const ts_args *a, int32_t i, int64_t otherwise, int64_t *out)
{
    *out = otherwise;
    return ts_has(a, i) ? ts_to_int(l, &a->v[i], out) : DEFT_OK;
}

deft_status ts_arg_float(ts *l, const ts_args *a, int32_t i, double otherwise, double *out)
{
    *out = otherwise;
    return ts_has(a, i) ? ts_to_float(l, &a->v[i], out) : DEFT_OK;
}

deft_status ts_arg_bool(ts *l, const ts_args *a, int32_t i, bool otherwise, bool *out)
{
    *out = otherwise;
    return ts_has(a, i) ? ts_truth(l, &a->v[i], out) : DEFT_OK;
}

deft_status ts_arg_dim(ts *l, const ts_args *a, int32_t i, const deft_tensor *t, int32_t *out)
{
    int64_t d = 0;
    const deft_status s = ts_arg_int(l, a, i, 0, &d);
    if (s != DEFT_OK) return s;
    *out = op_axis(d, t->rank ? t->rank : 1);
    return *out >= 0 ? DEFT_OK
                     : ts_fail(l, DEFT_E_FORMAT, "torch.%s: dimension %lld of a tensor of %d",
                               a->op->name, (long long)d, (int)t->rank);
}

deft_status ts_give_tensor(ts_tensor *t, ts_value *out, ts *l)
{
    if (!t) return l->err->status;
    *out = ts_of(t);
    return DEFT_OK;
}

deft_status ts_give(ts *l, int32_t edge, ts_value *out)
{
    return ts_give_tensor(ts_wrap(l, edge), out, l);
}

/* --- promotion of element types -------------------------------------------------------------- */

static int rank_of(deft_dtype t)
{
    static const deft_dtype order[] = {DEFT_BOOL, DEFT_U8,  DEFT_I8, DEFT_I16,
                                       DEFT_I32,  DEFT_I64, DEFT_F32};
    for (int i = 0; i < (int)(sizeof order / sizeof order[0]); i++)
        if (order[i] == t) return i;
    return 6;
}

/* bool, integer, float: only a number of a higher kind than the tensor's changes its type. */
static int class_of(deft_dtype t)
{
    return t == DEFT_BOOL ? 0 : op_is_float(t) ? 2 : 1;
}

/* Does an operand count as a number: one itself, or a tensor without dimensions? */
static bool is_scalar(const ts *l, const ts_args *a, int32_t i, int32_t edge)
{
    return !ts_is_tensor(a, i) || l->edge[edge].t->rank == 0;
}

bool ts_promote(ts *l, const ts_args *a, int32_t i, int32_t k, int32_t edge[2])
{
    edge[0] = ts_arg_edge(l, a, i);
    edge[1] = edge[0] < 0 ? -1 : ts_arg_edge(l, a, k);
    if (edge[1] < 0) return false;
    const deft_dtype x = l->edge[edge[0]].t->dtype, y = l->edge[edge[1]].t->dtype;
    const bool sx = is_scalar(l, a, i, edge[0]), sy = is_scalar(l, a, k, edge[1]);
    deft_dtype to = rank_of(x) >= rank_of(y) ? x : y;
    if (sx != sy && class_of(sx ? x : y) <= class_of(sx ? y : x)) to = sx ? y : x;
    edge[0] = ts_cast(l, edge[0], to);
    edge[1] = ts_cast(l, edge[1], to);
    return edge[0] >= 0 && edge[1] >= 0;
}
