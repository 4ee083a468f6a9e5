/* torch_ops_index.c - operators of TorchScript that pick elements by tensors of numbers, which must
 * depend on nothing, and those that join tensors. */
#include "formats/torch_script.h"
#include "graph/op.h"

#include <string.h>

/* A tensor of indices, known before any observation. */
static const deft_tensor *known_index(ts *l, ts_tensor *t)
{
    const int32_t edge = ts_read(l, t);
    if (edge < 0) return NULL;
    const deft_tensor *i = l->edge[edge].t;
    if (!l->edge[edge].constant)
        return (void)ts_fail(l, DEFT_E_UNSUPPORTED, "an index depends on what is computed"), NULL;
    if (op_is_float(i->dtype))
        return (void)ts_fail(l, DEFT_E_FORMAT, "an index is a tensor of floats"), NULL;
    return i;
}

/* The places where a mask is true: one tensor for each of its dimensions, out [mask->rank]. */
static deft_status places(ts *l, const deft_tensor *mask, const int64_t *dim, deft_tensor **out)
{
    int64_t count = 0, at = 0;
    for (int32_t d = 0; d < mask->rank; d++)
        if (mask->dim[d] != dim[d])
            return ts_fail(l, DEFT_E_FORMAT, "a mask of another shape than the tensor");
    for (int64_t k = 0; k < mask->count; k++) count += op_get_i64(mask, k) != 0;
    for (int32_t d = 0; d < mask->rank; d++) {
        out[d] = DEFT_NEW(l->a, deft_tensor);
        if (!out[d] || deft_tensor_init(out[d], DEFT_I64, 1, &count, l->a) != DEFT_OK)
            return ts_no_memory(l);
    }
    for (int64_t k = 0; k < mask->count; k++) {
        if (!op_get_i64(mask, k)) continue;
        int64_t rest = k;
        for (int32_t d = mask->rank - 1; d >= 0; d--) {
            ((int64_t *)out[d]->data)[at] = rest % mask->dim[d];
            rest /= mask->dim[d];
        }
        at++;
    }
    return DEFT_OK;
}

/* x[i0, i1, ...]: tensors for some dimensions, None for those that stay. */
typedef struct picked {
    const deft_tensor *index[DEFT_MAX_RANK]; // NULL: the dimension stays
    int32_t first, last;                     // dimension with a tensor
    bool together;                           // none stays between them
    int32_t rank;                            // of the tensors, broadcast
    int64_t dim[DEFT_MAX_RANK];
} picked;

/* Index i is for dimension d. */
static deft_status pick(ts *l, picked *p, int32_t d, const deft_tensor *i)
{
    deft_error err = {0};
    const op_ctx c = {.err = &err};
    const deft_tensor shape = {.dtype = DEFT_I64, .rank = p->rank};
    deft_tensor all = shape;
    int64_t dim[DEFT_MAX_RANK];
    int32_t rank = 0;
    memcpy(all.dim, p->dim, sizeof p->dim);
    if (op_broadcast(&c, &all, i, &rank, dim) != DEFT_OK)
        return ts_fail(l, DEFT_E_FORMAT, "indices of different shapes");
    p->rank = rank;
    memcpy(p->dim, dim, (size_t)rank * sizeof dim[0]);
    p->index[d] = i;
    if (p->first < 0) p->first = d;
    if (p->last >= 0 && p->last != d - 1) p->together = false;
    p->last = d;
    return DEFT_OK;
}

static deft_status read_picked(ts *l, const deft_tensor *x, const ts_value *list, picked *p)
{
    if ((list->kind != TS_LIST && list->kind != TS_TUPLE) || list->as.list->n > x->rank)
        return ts_fail(l, DEFT_E_FORMAT, "an index that does not fit the tensor");
    p->first = p->last = -1;
    p->together = true;
    int32_t d = 0;
    for (int32_t k = 0; k < list->as.list->n; k++) {
        const ts_value *v = &list->as.list->item[k];
        if (v->kind != TS_NONE && v->kind != TS_TENSOR)
            return ts_fail(l, DEFT_E_UNSUPPORTED, "an index that is %s", ts_kind_name(v->kind));
        const deft_tensor *i = v->kind == TS_TENSOR ? known_index(l, v->as.t) : NULL;
        if (v->kind == TS_TENSOR && !i) return l->err->status;
        deft_tensor *place[DEFT_MAX_RANK] = {NULL};
        const bool mask = i && i->dtype == DEFT_BOOL;
        const int32_t n = mask ? i->rank : 1;
        if (n < 1 || n > x->rank - d)
            return ts_fail(l, DEFT_E_UNSUPPORTED, "an index that does not fit the tensor");
        deft_status s = mask ? places(l, i, x->dim + d, place) : DEFT_OK;
        for (int32_t j = 0; s == DEFT_OK && i && j < n; j++)
            s = pick(l, p, d + j, mask ? place[j] : i);
        if (s != DEFT_OK) return s;
        d += n;
    }
    return p->first < 0 ? ts_fail(l, DEFT_E_FORMAT, "an index without a tensor") : DEFT_OK;
}

/* Shape of the result; kind[k]: a dimension >= 0 of x, or -1 - k of the indices. */
static deft_status picked_shape(ts *l, const deft_tensor *x, const picked *p, deft_tensor *at,
                                int32_t *from)
{
    int64_t dim[2 * DEFT_MAX_RANK];
    int32_t rank = 0;
    const int32_t where = p->together ? p->first : 0;
    for (int32_t d = 0; d <= x->rank; d++) {
        if (d == where)
            for (int32_t k = 0; k < p->rank; k++, rank++) {
                dim[rank] = p->dim[k];
                from[rank] = -1 - k;
            }
        if (d == x->rank || p->index[d]) continue;
        dim[rank] = x->dim[d];
        from[rank++] = d;
    }
    if (rank > DEFT_MAX_RANK) return ts_fail(l, DEFT_E_RANGE, "an index of too many dimensions");
    if (deft_tensor_init(at, DEFT_I64, rank, dim, l->a) != DEFT_OK) return ts_no_memory(l);
    return ts_charge(l, at->count);
}

/* The elements of x that are picked. NULL after ts_fail. */
static const deft_tensor *picked_elements(ts *l, const deft_tensor *x, const ts_value *list)
{
    picked p = {0};
    int32_t from[2 * DEFT_MAX_RANK] = {0};
    deft_tensor *at = DEFT_NEW(l->a, deft_tensor);
    if (!at) return (void)ts_no_memory(l), NULL;
    if (read_picked(l, x, list, &p) != DEFT_OK) return NULL;
    if (picked_shape(l, x, &p, at, from) != DEFT_OK) return NULL;
    for (int64_t k = 0; k < at->count; k++) {
        int64_t rest = k, in_index = 0, place[DEFT_MAX_RANK] = {0}, stride = 1, element = 0;
        for (int32_t d = at->rank - 1; d >= 0; d--) {
            const int64_t i = rest % at->dim[d];
            rest /= at->dim[d];
            if (from[d] >= 0) place[from[d]] = i;
            if (from[d] < 0) {
                in_index += i * stride;
                stride *= at->dim[d];
            }
        }
        for (int32_t d = 0; d < x->rank; d++) {
            if (p.index[d]) {
                int64_t i =
                    op_get_i64(p.index[d], op_broadcast_at(p.index[d], p.rank, p.dim, in_index));
                if (i < 0) i += x->dim[d];
                if (i < 0 || i >= x->dim[d])
                    return (void)ts_fail(l, DEFT_E_FORMAT, "index %lld of a dimension of %lld",
                                         (long long)i, (long long)x->dim[d]),
                           NULL;
                place[d] = i;
            }
            element = element * x->dim[d] + place[d];
        }
        ((int64_t *)at->data)[k] = element;
    }
    return at;
}

static deft_status index_tensor(ts *l, ts_args *a, ts_value *out)
{
    ts_tensor *t = NULL;
    const deft_status s = ts_arg_tensor(l, a, 0, &t);
    if (s != DEFT_OK) return s;
    const deft_tensor *at = picked_elements(l, ts_shape(l, t), &a->v[1]);
    ts_tensor *part = at ? ts_view_at(l, t, at) : NULL;
    return part ? ts_give(l, ts_read(l, part), out) : l->err->status; // a copy, not a view
}

/* Negative numbers do not count from the end here. */
static deft_status index_select(ts *l, ts_args *a, ts_value *out)
{
    ts_tensor *t = NULL, *i = NULL;
    int32_t d = 0;
    deft_status s = ts_arg_tensor(l, a, 0, &t);
    if (s == DEFT_OK) s = ts_arg_dim(l, a, 1, ts_shape(l, t), &d);
    if (s == DEFT_OK) s = ts_arg_tensor(l, a, 2, &i);
    if (s != DEFT_OK) return s;
    const deft_tensor *at = known_index(l, i);
    if (!at) return l->err->status;
    for (int64_t k = 0; k < at->count; k++)
        if (op_get_i64(at, k) < 0) return ts_fail(l, DEFT_E_FORMAT, "an index below zero");
    ts_list *list = ts_new_list(l, DEFT_MAX_RANK);
    if (!list) return l->err->status;
    for (int32_t k = 0; k < d; k++) list->item[list->n++] = ts_none();
    list->item[list->n++] = a->v[2];
    a->v[1].kind = TS_LIST;
    a->v[1].as.list = list;
    return index_tensor(l, a, out);
}

/* index_put(x, indices, values, accumulate): the new x; called with _ it is written back. */
static deft_status index_put(ts *l, ts_args *a, ts_value *out)
{
    ts_tensor *t = NULL;
    bool sum = false;
    deft_status s = ts_arg_tensor(l, a, 0, &t);
    if (s == DEFT_OK) s = ts_arg_bool(l, a, 3, false, &sum);
    if (s != DEFT_OK) return s;
    if (sum) return ts_fail(l, DEFT_E_UNSUPPORTED, "torch.index_put that accumulates");
    const deft_tensor *at = picked_elements(l, ts_shape(l, t), &a->v[1]);
    ts_tensor *copy = at ? ts_wrap(l, ts_read(l, t)) : NULL;
    ts_tensor *part = copy ? ts_view_at(l, copy, at) : NULL;
    const int32_t v = part ? ts_arg_edge(l, a, 2) : -1;
    if (v < 0) return l->err->status;
    s = ts_write(l, part, v);
    return s == DEFT_OK ? ts_give_tensor(copy, out, l) : s;
}

/* gather(x, dim, index) */
static deft_status gather(ts *l, ts_args *a, ts_value *out)
{
    ts_tensor *t = NULL, *i = NULL;
    int32_t d = 0;
    deft_status s = ts_arg_tensor(l, a, 0, &t);
    if (s == DEFT_OK) s = ts_arg_dim(l, a, 1, ts_shape(l, t), &d);
    if (s == DEFT_OK) s = ts_arg_tensor(l, a, 2, &i);
    if (s != DEFT_OK) return s;
    if (!known_index(l, i)) return l->err->status;
    const deft_attr attr[] = {ts_attr_int("axis", d), {0}};
    const int32_t in[2] = {ts_read(l, t), ts_read(l, i)};
    return ts_give(l, ts_emit(l, "GatherElements", 2, in, attr), out);
}

/* masked_fill(x, mask, value); fill and zero, which are called with _. */
static deft_status fill(ts *l, ts_args *a, ts_value *out)
{
    ts_tensor *t = NULL;
    const deft_status s = ts_arg_tensor(l, a, 0, &t);
    if (s != DEFT_OK) return s;
    const int32_t x = ts_read(l, t);
    if (x < 0) return l->err->status;
    const deft_tensor *shape = l->edge[x].t;
    const bool masked = a->op->with[0] == 'm', zero = a->op->with[0] == 'z';
    int32_t v = zero ? ts_scalar(l, shape->dtype, 0) : ts_arg_edge(l, a, masked ? 2 : 1);
    v = ts_cast(l, v, shape->dtype);
    if (!masked) return ts_give(l, ts_expand(l, v, shape->rank, shape->dim), out);
    const int32_t in[3] = {ts_cast(l, ts_arg_edge(l, a, 1), DEFT_BOOL), v, x};
    return ts_give(l, ts_emit(l, "Where", 3, in, NULL), out);
}

/* copy_(x, source): what comes back is written into x. */
static deft_status copy(ts *l, ts_args *a, ts_value *out)
{
    return ts_give(l, ts_arg_edge(l, a, 1), out);
}

/* --- joining --------------------------------------------------------------------------------- */

static int32_t join_type(const deft_dtype x, const deft_dtype y)
{
    if (x == y) return (int32_t)x;
    if (op_is_float(x) || op_is_float(y)) return DEFT_F32;
    return DEFT_I64;
}

/* cat along a dimension that is there, stack along a new one. */
static deft_status join(ts *l, ts_args *a, ts_value *out)
{
    const bool stack = a->op->with[0] == 's';
    if ((a->v[0].kind != TS_LIST && a->v[0].kind != TS_TUPLE) || a->v[0].as.list->n < 1)
        return ts_fail(l, DEFT_E_FORMAT, "torch.%s of %s", a->op->name, ts_kind_name(a->v[0].kind));
    const ts_list *list = a->v[0].as.list;
    int32_t *in = DEFT_NEW_ARRAY(l->a, int32_t, list->n);
    int32_t type = 0, n = 0, rank = 0;
    if (!in) return ts_no_memory(l);
    for (int32_t i = 0; i < list->n; i++) {
        if (list->item[i].kind != TS_TENSOR)
            return ts_fail(l, DEFT_E_FORMAT, "torch.%s of %s", a->op->name,
                           ts_kind_name(list->item[i].kind));
        const int32_t x = ts_read(l, list->item[i].as.t);
        if (x < 0) return l->err->status;
        const deft_tensor *t = l->edge[x].t;
        if (!stack && t->rank == 1 && t->count == 0) continue; // as torch allows
        type = n ? join_type((deft_dtype)type, t->dtype) : (int32_t)t->dtype;
        rank = t->rank;
        in[n++] = x;
    }
    if (n == 0) return ts_give_tensor(list->item[0].as.t, out, l);
    int64_t at = 0;
    const deft_status s = ts_arg_int(l, a, 1, 0, &at);
    if (s != DEFT_OK) return s;
    const int32_t axis = op_axis(at, rank + stack);
    if (axis < 0 || rank + stack > DEFT_MAX_RANK)
        return ts_fail(l, DEFT_E_FORMAT, "torch.%s: dimension %lld", a->op->name, (long long)at);
    for (int32_t i = 0; i < n; i++) {
        const deft_tensor *t = l->edge[in[i]].t;
        int64_t dim[DEFT_MAX_RANK];
        for (int32_t d = 0, k = 0; stack && t->rank == rank && d <= rank; d++)
            dim[d] = d == axis ? 1 : t->dim[k++];
        in[i] = ts_cast(l, in[i], (deft_dtype)type);
        if (stack && t->rank == rank) in[i] = ts_reshape(l, in[i], rank + 1, dim);
        if (in[i] < 0) return l->err->status;
    }
    const deft_attr attr[] = {ts_attr_int("axis", axis), {0}};
    return ts_give(l, n == 1 ? in[0] : ts_emit(l, "Concat", n, in, attr), out);
}

const ts_op ts_ops_index[] = {
    {"index", "self indices", index_tensor, NULL},
    {"index_select", "self dim index", index_select, NULL},
    {"index_put", "self indices values accumulate", index_put, NULL},
    {"gather", "self dim index sparse_grad", gather, NULL},
    {"masked_fill", "self mask value", fill, "m"},
    {"fill", "self value", fill, "f"},
    {"zero", "self", fill, "z"},
    {"copy", "self src non_blocking", copy, NULL},
    {"cat", "tensors dim", join, "c"},
    {"concat", "tensors dim", join, "c"},
    {"concatenate", "tensors dim", join, "c"},
    {"stack", "tensors dim", join, "s"},
    {NULL, NULL, NULL, NULL},
};
