/* op_constant.c - operators without data inputs. */
#include "graph/op.h"

#include <math.h>
#include <string.h>

static deft_status copy_tensor(op_ctx *c, const deft_tensor *t)
{
    const deft_status s = op_out(c, 0, t->dtype, t->rank, t->dim);
    if (s == DEFT_OK && t->count)
        memcpy(c->out[0].data, t->data, (size_t)t->count * deft_dtype_size(t->dtype));
    return s;
}

static deft_status run_constant(op_ctx *c)
{
    if (c->node->n_attr != 1) return op_fail(c, DEFT_E_FORMAT, "wants one attribute");
    const deft_attr *a = &c->node->attr[0];
    deft_status s = DEFT_OK;
    switch (a->kind) {
    case DEFT_ATTR_TENSOR:
        return copy_tensor(c, a->t);
    case DEFT_ATTR_INT:
        s = op_out(c, 0, DEFT_I64, 0, NULL);
        if (s == DEFT_OK) *(int64_t *)c->out[0].data = a->i;
        return s;
    case DEFT_ATTR_FLOAT:
        s = op_out(c, 0, DEFT_F32, 0, NULL);
        if (s == DEFT_OK) *(float *)c->out[0].data = a->f;
        return s;
    case DEFT_ATTR_INTS:
        s = op_out(c, 0, DEFT_I64, 1, &a->n);
        if (s == DEFT_OK && a->n) memcpy(c->out[0].data, a->ints, (size_t)a->n * sizeof *a->ints);
        return s;
    case DEFT_ATTR_FLOATS:
        s = op_out(c, 0, DEFT_F32, 1, &a->n);
        if (s == DEFT_OK && a->n)
            memcpy(c->out[0].data, a->floats, (size_t)a->n * sizeof *a->floats);
        return s;
    default:
        return op_fail(c, DEFT_E_UNSUPPORTED, "constants of strings are not supported");
    }
}

static deft_status run_constant_of_shape(op_ctx *c)
{
    int64_t dim[OP_MAX_LIST];
    const int32_t n = op_list(c, NULL, 0, dim);
    if (n < 0) return DEFT_E_FORMAT;
    if (n > DEFT_MAX_RANK) return op_fail(c, DEFT_E_RANGE, "rank is too large");
    const deft_attr *a = deft_node_attr(c->node, "value");
    const deft_tensor *t = a && a->kind == DEFT_ATTR_TENSOR ? a->t : NULL;
    if (t && t->count != 1) return op_fail(c, DEFT_E_FORMAT, "the value must have one element");
    const deft_status s = op_out(c, 0, t ? t->dtype : DEFT_F32, n, dim);
    const size_t size = t ? deft_dtype_size(t->dtype) : 0;
    for (int64_t k = 0; s == DEFT_OK && t && k < c->out[0].count; k++)
        memcpy((uint8_t *)c->out[0].data + (size_t)k * size, t->data, size);
    return s;
}

static deft_status run_range(op_ctx *c)
{
    for (int32_t i = 0; i < 3; i++)
        if (!op_in(c, i) || c->in[i]->count != 1 || c->in[i]->dtype != c->in[0]->dtype)
            return op_fail(c, DEFT_E_FORMAT, "wants three scalars of one type");
    const double start = op_get_f64(c->in[0], 0), limit = op_get_f64(c->in[1], 0);
    const double delta = op_get_f64(c->in[2], 0), span = ceil((limit - start) / delta);
    if (delta == 0 || !isfinite(span) || span > 1e9)
        return op_fail(c, DEFT_E_RANGE, "range is too long");
    const int64_t n = span > 0 ? (int64_t)span : 0;
    const deft_status s = op_out(c, 0, c->in[0]->dtype, 1, &n);
    for (int64_t k = 0; s == DEFT_OK && k < n; k++)
        op_set_f64(&c->out[0], k, start + (double)k * delta);
    return s;
}

const op_entry op_table_constant[] = {
    {"Constant", run_constant},
    {"ConstantOfShape", run_constant_of_shape},
    {"Range", run_range},
    {NULL, NULL},
};
