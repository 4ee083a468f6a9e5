/* torch_ops_shape.c - operators of TorchScript that show a tensor's elements in another shape. Most
 * are views: what is written into them is written into the tensor. */
#include "formats/torch_script.h"
#include "graph/op.h"

#include <string.h>

/* The shape that is asked for, with one -1 settled. */
static deft_status target_shape(ts *l, const ts_args *a, int64_t count, int64_t *dim, int32_t *rank)
{
    *rank = ts_to_ints(l, &a->v[1], dim, DEFT_MAX_RANK);
    if (*rank < 0) return l->err->status;
    int64_t known = 1;
    int32_t free = -1;
    for (int32_t d = 0; d < *rank; d++) {
        if (dim[d] == -1 && free < 0)
            free = d;
        else if (dim[d] < 0 || (dim[d] && known > INT64_MAX / 16 / dim[d]))
            return ts_fail(l, DEFT_E_FORMAT, "torch.%s: a shape that is not one", a->op->name);
        else
            known *= dim[d];
    }
    if (free >= 0) {
        dim[free] = known ? count / known : 0;
        known *= dim[free];
    }
    if (known == count) return DEFT_OK;
    return ts_fail(l, DEFT_E_FORMAT, "torch.%s: %lld elements in a shape of %lld", a->op->name,
                   (long long)count, (long long)known);
}

static deft_status reshape(ts *l, ts_args *a, ts_value *out)
{
    ts_tensor *t = NULL;
    int64_t dim[DEFT_MAX_RANK];
    int32_t rank = 0;
    deft_status s = ts_arg_tensor(l, a, 0, &t);
    if (s != DEFT_OK) return s;
    if (ts_is_tensor(a, 1)) { // view_as
        const deft_tensor *as = ts_shape(l, a->v[1].as.t);
        if (as->count != ts_shape(l, t)->count)
            return ts_fail(l, DEFT_E_FORMAT, "torch.%s: another number of elements", a->op->name);
        return ts_give_tensor(ts_reshaped_copy(l, t, as->rank, as->dim), out, l);
    }
    if (a->v[1].kind == TS_INT && a->op->with) // view(dtype)
        return ts_fail(l, DEFT_E_UNSUPPORTED, "torch.%s by element type", a->op->name);
    s = target_shape(l, a, ts_shape(l, t)->count, dim, &rank);
    return s == DEFT_OK ? ts_give_tensor(ts_reshaped_copy(l, t, rank, dim), out, l) : s;
}

static deft_status flatten(ts *l, ts_args *a, ts_value *out)
{
    ts_tensor *t = NULL;
    int64_t from = 0, to = -1, dim[DEFT_MAX_RANK];
    deft_status s = ts_arg_tensor(l, a, 0, &t);
    if (s == DEFT_OK) s = ts_arg_int(l, a, 1, 0, &from);
    if (s == DEFT_OK) s = ts_arg_int(l, a, 2, -1, &to);
    if (s != DEFT_OK) return s;
    const deft_tensor *shape = ts_shape(l, t);
    const int32_t n = shape->rank ? shape->rank : 1;
    const int32_t i = op_axis(from, n), k = op_axis(to, n);
    if (i < 0 || k < i) return ts_fail(l, DEFT_E_FORMAT, "torch.flatten: dimensions out of range");
    if (shape->rank == 0) return ts_give_tensor(ts_reshaped(l, t, 1, &shape->count), out, l);
    int32_t rank = 0;
    for (int32_t d = 0; d < shape->rank; d++) {
        if (d > i && d <= k)
            dim[rank - 1] *= shape->dim[d];
        else
            dim[rank++] = shape->dim[d];
    }
    return ts_give_tensor(ts_reshaped_copy(l, t, rank, dim), out, l);
}

static deft_status squeeze(ts *l, ts_args *a, ts_value *out)
{
    ts_tensor *t = NULL;
    int64_t dim[DEFT_MAX_RANK];
    deft_status s = ts_arg_tensor(l, a, 0, &t);
    if (s != DEFT_OK) return s;
    const deft_tensor *shape = ts_shape(l, t);
    int32_t only = -1, rank = 0;
    if (ts_has(a, 1)) s = ts_arg_dim(l, a, 1, shape, &only);
    if (s != DEFT_OK) return s;
    for (int32_t d = 0; d < shape->rank; d++)
        if (shape->dim[d] != 1 || (only >= 0 && d != only)) dim[rank++] = shape->dim[d];
    return ts_give_tensor(ts_reshaped(l, t, rank, dim), out, l);
}

static deft_status unsqueeze(ts *l, ts_args *a, ts_value *out)
{
    ts_tensor *t = NULL;
    int64_t dim[DEFT_MAX_RANK], at = 0;
    deft_status s = ts_arg_tensor(l, a, 0, &t);
    if (s == DEFT_OK) s = ts_arg_int(l, a, 1, 0, &at);
    if (s != DEFT_OK) return s;
    const deft_tensor *shape = ts_shape(l, t);
    const int32_t d = op_axis(at, shape->rank + 1);
    if (d < 0 || shape->rank == DEFT_MAX_RANK)
        return ts_fail(l, DEFT_E_FORMAT, "torch.unsqueeze: dimension %lld of a tensor of %d",
                       (long long)at, (int)shape->rank);
    for (int32_t i = 0, k = 0; i <= shape->rank; i++) dim[i] = i == d ? 1 : shape->dim[k++];
    return ts_give_tensor(ts_reshaped(l, t, shape->rank + 1, dim), out, l);
}

static deft_status permuted(ts *l, ts_tensor *t, const int64_t *perm, ts_value *out)
{
    const deft_attr attr[] = {
        {.name = "perm", .kind = DEFT_ATTR_INTS, .n = ts_shape(l, t)->rank, .ints = perm}, {0}};
    return ts_give_tensor(ts_view(l, t, "Transpose", NULL, attr), out, l);
}

static deft_status transpose(ts *l, ts_args *a, ts_value *out)
{
    ts_tensor *t = NULL;
    int64_t perm[DEFT_MAX_RANK];
    int32_t x = 0, y = 1;
    deft_status s = ts_arg_tensor(l, a, 0, &t);
    if (s != DEFT_OK) return s;
    const deft_tensor *shape = ts_shape(l, t);
    if (a->op->with) { // t(): of a matrix
        if (shape->rank > 2)
            return ts_fail(l, DEFT_E_FORMAT, "torch.%s of a tensor of %d dimensions", a->op->name,
                           (int)shape->rank);
        if (shape->rank < 2) return ts_give_tensor(t, out, l);
    } else {
        s = ts_arg_dim(l, a, 1, shape, &x);
        if (s == DEFT_OK) s = ts_arg_dim(l, a, 2, shape, &y);
        if (s != DEFT_OK || shape->rank == 0) return s == DEFT_OK ? ts_give_tensor(t, out, l) : s;
    }
    for (int32_t d = 0; d < shape->rank; d++) perm[d] = d == x ? y : d == y ? x : d;
    return permuted(l, t, perm, out);
}

static deft_status permute(ts *l, ts_args *a, ts_value *out)
{
    ts_tensor *t = NULL;
    int64_t perm[DEFT_MAX_RANK];
    const deft_status s = ts_arg_tensor(l, a, 0, &t);
    if (s != DEFT_OK) return s;
    const int32_t rank = ts_shape(l, t)->rank;
    if (ts_to_ints(l, &a->v[1], perm, DEFT_MAX_RANK) != rank)
        return l->err->status ? l->err->status
                              : ts_fail(l, DEFT_E_FORMAT, "torch.permute: too few dimensions");
    for (int32_t d = 0; d < rank; d++) perm[d] = op_axis(perm[d], rank);
    return permuted(l, t, perm, out);
}

/* --- parts ----------------------------------------------------------------------------------- */

/* Python's bounds: negative ones from the end, all cut to [0, n]. */
static int64_t bound(int64_t v, int64_t n)
{
    if (v < 0) v += n;
    return v < 0 ? 0 : v > n ? n : v;
}

static deft_status slice(ts *l, ts_args *a, ts_value *out)
{
    ts_tensor *t = NULL;
    int32_t d = 0;
    int64_t v[3];
    deft_status s = ts_arg_tensor(l, a, 0, &t);
    if (s != DEFT_OK) return s;
    const deft_tensor *shape = ts_shape(l, t);
    if (shape->rank == 0) return ts_fail(l, DEFT_E_FORMAT, "a slice of a number");
    s = ts_arg_dim(l, a, 1, shape, &d);
    if (s == DEFT_OK) s = ts_arg_int(l, a, 2, 0, &v[0]);
    if (s == DEFT_OK) s = ts_arg_int(l, a, 3, INT64_MAX, &v[1]);
    if (s == DEFT_OK) s = ts_arg_int(l, a, 4, 1, &v[2]);
    if (s != DEFT_OK) return s;
    if (v[2] < 1) return ts_fail(l, DEFT_E_FORMAT, "a slice with steps of %lld", (long long)v[2]);
    const int64_t n = shape->dim[d];
    v[0] = bound(v[0], n);
    v[1] = bound(v[1], n);
    if (v[2] > n) v[2] = n ? n : 1;
    return ts_give_tensor(ts_slice(l, t, d, v), out, l);
}

static deft_status narrow(ts *l, ts_args *a, ts_value *out)
{
    ts_tensor *t = NULL;
    int32_t d = 0;
    int64_t start = 0, length = 0;
    deft_status s = ts_arg_tensor(l, a, 0, &t);
    if (s == DEFT_OK) s = ts_arg_dim(l, a, 1, ts_shape(l, t), &d);
    if (s == DEFT_OK) s = ts_arg_int(l, a, 2, 0, &start);
    if (s == DEFT_OK) s = ts_arg_int(l, a, 3, 0, &length);
    if (s != DEFT_OK) return s;
    const deft_tensor *shape = ts_shape(l, t);
    const int64_t n = shape->rank ? shape->dim[d] : 0;
    if (start < 0) start += n;
    if (shape->rank == 0 || start < 0 || length < 0 || start > n || length > n - start)
        return ts_fail(l, DEFT_E_FORMAT, "torch.narrow: out of range");
    const int64_t v[3] = {start, start + length, 1};
    return ts_give_tensor(ts_slice(l, t, d, v), out, l);
}

/* Element i along a dimension, which goes. NULL after ts_fail. */
static ts_tensor *selected(ts *l, ts_tensor *t, int32_t d, int64_t i)
{
    int64_t dim[DEFT_MAX_RANK];
    const int64_t v[3] = {i, i + 1, 1};
    ts_tensor *part = ts_slice(l, t, d, v);
    if (!part) return NULL;
    const deft_tensor *shape = ts_shape(l, part);
    int32_t rank = 0;
    for (int32_t k = 0; k < shape->rank; k++)
        if (k != d) dim[rank++] = shape->dim[k];
    return ts_reshaped(l, part, rank, dim);
}

static deft_status select(ts *l, ts_args *a, ts_value *out)
{
    ts_tensor *t = NULL;
    int32_t d = 0;
    int64_t i = 0;
    deft_status s = ts_arg_tensor(l, a, 0, &t);
    if (s == DEFT_OK) s = ts_arg_dim(l, a, 1, ts_shape(l, t), &d);
    if (s == DEFT_OK) s = ts_arg_int(l, a, 2, 0, &i);
    if (s != DEFT_OK) return s;
    const deft_tensor *shape = ts_shape(l, t);
    const int64_t n = shape->rank ? shape->dim[d] : 0;
    if (i < 0) i += n;
    if (i < 0 || i >= n)
        return ts_fail(l, DEFT_E_FORMAT, "torch.select: element %lld of %lld", (long long)i,
                       (long long)n);
    return ts_give_tensor(selected(l, t, d, i), out, l);
}

/* The parts of a dimension that end at to[0], to[1], ...; flat: each without the dimension. */
static deft_status parts(ts *l, ts_tensor *t, int32_t d, const ts_list *sizes, ts_value *out)
{
    ts_list *list = ts_new_list(l, sizes->n);
    if (!list) return l->err->status;
    int64_t at = 0;
    for (int32_t i = 0; i < sizes->n; i++) {
        int64_t n = 0;
        const deft_status s = ts_to_int(l, &sizes->item[i], &n);
        if (s != DEFT_OK) return s;
        if (n < 0 || n > ts_shape(l, t)->dim[d] - at)
            return ts_fail(l, DEFT_E_FORMAT, "parts that are larger than the whole");
        const int64_t v[3] = {at, at + n, 1};
        ts_tensor *part = ts_slice(l, t, d, v);
        if (!part) return l->err->status;
        list->item[list->n++] = ts_of(part);
        at += n;
    }
    if (at != ts_shape(l, t)->dim[d])
        return ts_fail(l, DEFT_E_FORMAT, "parts that are smaller than the whole");
    out->kind = TS_LIST;
    out->as.list = list;
    return DEFT_OK;
}

/* split(t, size or sizes, dim), split_with_sizes, chunk(t, how many, dim). */
static deft_status split(ts *l, ts_args *a, ts_value *out)
{
    ts_tensor *t = NULL;
    int32_t d = 0;
    int64_t each = 0;
    deft_status s = ts_arg_tensor(l, a, 0, &t);
    if (s == DEFT_OK) s = ts_arg_dim(l, a, 2, ts_shape(l, t), &d);
    if (s != DEFT_OK) return s;
    if (ts_shape(l, t)->rank == 0) return ts_fail(l, DEFT_E_FORMAT, "parts of a number");
    if (a->v[1].kind == TS_LIST || a->v[1].kind == TS_TUPLE)
        return parts(l, t, d, a->v[1].as.list, out);
    s = ts_arg_int(l, a, 1, 0, &each);
    if (s != DEFT_OK) return s;
    const int64_t n = ts_shape(l, t)->dim[d];
    if (each < 1 || each > INT32_MAX || n > INT32_MAX)
        return ts_fail(l, DEFT_E_FORMAT, "parts of %lld", (long long)each);
    if (a->op->with) each = n ? (n + each - 1) / each : 1; // chunks
    if (n / each >= TS_MAX_LIST) return ts_fail(l, DEFT_E_RANGE, "too many parts");
    ts_list *sizes = ts_new_list(l, (int32_t)(n / each) + 1);
    if (!sizes) return l->err->status;
    for (int64_t at = 0; at < n; at += each)
        sizes->item[sizes->n++] = ts_int(each < n - at ? each : n - at);
    return parts(l, t, d, sizes, out);
}

static deft_status unbind(ts *l, ts_args *a, ts_value *out)
{
    ts_tensor *t = NULL;
    int32_t d = 0;
    deft_status s = ts_arg_tensor(l, a, 0, &t);
    if (s == DEFT_OK) s = ts_arg_dim(l, a, 1, ts_shape(l, t), &d);
    if (s != DEFT_OK) return s;
    const deft_tensor *shape = ts_shape(l, t);
    const int64_t n = shape->rank ? shape->dim[d] : 0;
    ts_list *list = ts_new_list(l, n > TS_MAX_LIST ? TS_MAX_LIST + 1 : (int32_t)n);
    for (int64_t i = 0; list && i < n; i++) {
        ts_tensor *part = selected(l, t, d, i);
        if (!part) return l->err->status;
        list->item[list->n++] = ts_of(part);
    }
    if (!list) return l->err->status;
    out->kind = TS_LIST;
    out->as.list = list;
    return DEFT_OK;
}

/* --- repetition ------------------------------------------------------------------------------ */

/* expand(t, sizes) and expand_as(t, other). */
static deft_status expand(ts *l, ts_args *a, ts_value *out)
{
    ts_tensor *t = NULL;
    int64_t dim[DEFT_MAX_RANK];
    deft_status s = ts_arg_tensor(l, a, 0, &t);
    if (s != DEFT_OK) return s;
    const deft_tensor *shape = ts_shape(l, t);
    int32_t rank = 0;
    if (ts_is_tensor(a, 1)) {
        const deft_tensor *as = ts_shape(l, a->v[1].as.t);
        rank = as->rank;
        memcpy(dim, as->dim, sizeof dim);
    } else {
        rank = ts_to_ints(l, &a->v[1], dim, DEFT_MAX_RANK);
        if (rank < 0) return l->err->status;
    }
    const int32_t more = rank - shape->rank;
    bool fits = more >= 0;
    for (int32_t d = 0; fits && d < rank; d++) {
        const int64_t have = d < more ? 1 : shape->dim[d - more];
        if (dim[d] == -1 && d >= more) dim[d] = have;
        fits = dim[d] >= 0 && (have == 1 || have == dim[d]);
    }
    if (!fits) return ts_fail(l, DEFT_E_FORMAT, "torch.%s: the shapes do not fit", a->op->name);
    const int32_t to = ts_ints(l, rank, dim);
    if (to < 0) return l->err->status;
    return ts_give_tensor(ts_view(l, t, "Expand", l->edge[to].t, NULL), out, l);
}

static deft_status repeat(ts *l, ts_args *a, ts_value *out)
{
    ts_tensor *t = NULL;
    int64_t times[DEFT_MAX_RANK], dim[DEFT_MAX_RANK];
    deft_status s = ts_arg_tensor(l, a, 0, &t);
    if (s != DEFT_OK) return s;
    const int32_t n = ts_to_ints(l, &a->v[1], times, DEFT_MAX_RANK);
    const deft_tensor *shape = ts_shape(l, t);
    if (n < 0) return l->err->status;
    if (n < shape->rank)
        return ts_fail(l, DEFT_E_FORMAT, "torch.repeat: fewer numbers than dimensions");
    for (int32_t d = 0; d < n; d++)
        dim[d] = d < n - shape->rank ? 1 : shape->dim[d - (n - shape->rank)];
    const int32_t x = ts_reshape(l, ts_read(l, t), n, dim);
    return ts_give(l, ts_emit(l, "Tile", 2, (const int32_t[]){x, ts_ints(l, n, times)}, NULL), out);
}

/* --- the same elements ----------------------------------------------------------------------- */

/* detach, contiguous, alias: the tensor itself. */
static deft_status same(ts *l, ts_args *a, ts_value *out)
{
    ts_tensor *t = NULL;
    const deft_status s = ts_arg_tensor(l, a, 0, &t);
    return s == DEFT_OK ? ts_give_tensor(t, out, l) : s;
}

/* What is not in the order of its memory is copied. */
static deft_status contiguous(ts *l, ts_args *a, ts_value *out)
{
    ts_tensor *t = NULL;
    const deft_status s = ts_arg_tensor(l, a, 0, &t);
    if (s != DEFT_OK) return s;
    return ts_in_rows(t) ? ts_give_tensor(t, out, l) : ts_give(l, ts_read(l, t), out);
}

/* A tensor of its own: what is written into it stays there. */
static deft_status clone(ts *l, ts_args *a, ts_value *out)
{
    ts_tensor *t = NULL;
    const deft_status s = ts_arg_tensor(l, a, 0, &t);
    return s == DEFT_OK ? ts_give(l, ts_read(l, t), out) : s;
}

/* The element type that `to` is asked for, -1: none. Positions: (dtype, ...), (device, dtype, ...)
 * or (other, ...); by keyword: dtype, layout, device, ... */
static int64_t wanted_type(ts *l, const ts_args *a)
{
    if (ts_is_tensor(a, 1)) return ts_torch_dtype(l->edge[ts_read(l, a->v[1].as.t)].t->dtype);
    if (a->v[1].kind == TS_INT) return a->v[1].as.i;
    const bool keywords = a->given[3] && a->v[3].kind != TS_BOOL;
    return !keywords && a->v[2].kind == TS_INT ? a->v[2].as.i : -1;
}

static deft_status to(ts *l, ts_args *a, ts_value *out)
{
    ts_tensor *t = NULL;
    const deft_status s = ts_arg_tensor(l, a, 0, &t);
    if (s != DEFT_OK) return s;
    const int32_t x = ts_read(l, t);
    if (x < 0 || (ts_is_tensor(a, 1) && ts_read(l, a->v[1].as.t) < 0)) return l->err->status;
    const int64_t type = wanted_type(l, a);
    bool copy = false;
    for (int32_t i = 2; i < a->n; i++) copy |= a->v[i].kind == TS_BOOL && a->v[i].as.i;
    const deft_dtype dtype = type < 0 ? l->edge[x].t->dtype : ts_deft_dtype(type);
    if (!dtype) return ts_fail(l, DEFT_E_UNSUPPORTED, "element type %lld", (long long)type);
    const bool whole = !copy && dtype == l->edge[x].t->dtype;
    return whole ? ts_give_tensor(t, out, l) : ts_give(l, ts_cast(l, x, dtype), out);
}

const ts_op ts_ops_shape[] = {
    {"view", "self size", reshape, "v"},
    {"view_as", "self other", reshape, NULL},
    {"reshape", "self shape", reshape, NULL},
    {"reshape_as", "self other", reshape, NULL},
    {"_unsafe_view", "self size", reshape, NULL},
    {"flatten", "self start_dim end_dim", flatten, NULL},
    {"ravel", "self", flatten, NULL},
    {"squeeze", "self dim", squeeze, NULL},
    {"unsqueeze", "self dim", unsqueeze, NULL},
    {"transpose", "self dim0 dim1", transpose, NULL},
    {"swapaxes", "self dim0 dim1", transpose, NULL},
    {"t", "self", transpose, "t"},
    {"numpy_T", "self", transpose, "t"},
    {"permute", "self dims", permute, NULL},
    {"slice", "self dim start end step", slice, NULL},
    {"narrow", "self dim start length", narrow, NULL},
    {"select", "self dim index", select, NULL},
    {"split", "self split_size dim", split, NULL},
    {"split_with_sizes", "self split_sizes dim", split, NULL},
    {"chunk", "self chunks dim", split, "c"},
    {"prim.ConstantChunk", "self chunks dim", split, "c"},
    {"unbind", "self dim", unbind, NULL},
    {"expand", "self size implicit", expand, NULL},
    {"expand_as", "self other", expand, NULL},
    {"broadcast_to", "self size", expand, NULL},
    {"repeat", "self repeats", repeat, NULL},
    {"tile", "self repeats", repeat, NULL},
    {"detach", "self", same, NULL},
    {"detach_", "self", same, NULL},
    {"alias", "self", same, NULL},
    {"requires_grad_", "self requires_grad", same, NULL},
    {"cpu", "self", same, NULL},
    {"contiguous", "self memory_format", contiguous, NULL},
    {"clone", "self memory_format", clone, NULL},
    {"to", "self dtype layout device pin_memory non_blocking copy memory_format", to, NULL},
    {"type_as", "self other", to, NULL},
    {NULL, NULL, NULL, NULL},
};
