/* op_index.c - Slice, Gather, Scatter and their kin. */
#include "graph/op.h"

#include <string.h>

static void copy_run(deft_tensor *y, int64_t to, const deft_tensor *x, int64_t from, int64_t n)
{
    const size_t size = deft_dtype_size(x->dtype);
    if (n)
        memcpy((uint8_t *)y->data + (size_t)to * size,
               (const uint8_t *)x->data + (size_t)from * size, (size_t)n * size);
}

static int64_t clamp_i64(int64_t v, int64_t lo, int64_t hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

static deft_status run_slice(op_ctx *c)
{
    const deft_tensor *x = op_in(c, 0);
    int64_t starts[OP_MAX_LIST], ends[OP_MAX_LIST], axes[OP_MAX_LIST], steps[OP_MAX_LIST];
    const bool attrs = c->opset < 10;
    const int32_t n = op_list(c, "starts", attrs ? -1 : 1, starts);
    const int32_t ne = op_list(c, "ends", attrs ? -1 : 2, ends);
    const int32_t na = op_list(c, "axes", attrs ? -1 : 3, axes);
    const int32_t ns = op_list(c, NULL, attrs ? -1 : 4, steps);
    if (!x || n < 0 || ne != n || (na != 0 && na != n) || (ns != 0 && ns != n))
        return op_fail(c, DEFT_E_FORMAT, "starts, ends, axes and steps do not fit");
    int64_t first[DEFT_MAX_RANK] = {0}, step[DEFT_MAX_RANK] = {0}, dim[DEFT_MAX_RANK] = {0};
    for (int32_t d = 0; d < x->rank; d++) {
        step[d] = 1;
        dim[d] = x->dim[d];
    }
    for (int32_t i = 0; i < n; i++) {
        const int32_t d = op_axis(na ? axes[i] : i, x->rank);
        if (d < 0) return op_fail(c, DEFT_E_FORMAT, "axis is out of range");
        const int64_t len = x->dim[d], by = ns ? steps[i] : 1;
        if (by == 0 || by == INT64_MIN) return op_fail(c, DEFT_E_FORMAT, "a step is not valid");
        const int64_t s0 = starts[i] < 0 ? starts[i] + len : starts[i];
        const int64_t e0 = ends[i] < 0 ? ends[i] + len : ends[i];
        const int64_t s = clamp_i64(s0, 0, by > 0 ? len : len - 1);
        const int64_t e = by > 0 ? clamp_i64(e0, 0, len) : clamp_i64(e0, -1, len - 1);
        const int64_t span = by > 0 ? e - s : s - e, mag = by > 0 ? by : -by;
        first[d] = s;
        step[d] = by;
        dim[d] = span > 0 && len > 0 ? (span - 1) / mag + 1 : 0;
    }
    const deft_status st = op_out(c, 0, x->dtype, x->rank, dim);
    for (int64_t k = 0; st == DEFT_OK && k < c->out[0].count; k++) {
        int64_t rest = k, from = 0, stride = 1;
        for (int32_t d = x->rank - 1; d >= 0; d--) {
            const int64_t len = c->out[0].dim[d]; // > 0, there are elements
            from += (first[d] + rest % len * step[d]) * stride;
            rest /= len;
            stride *= x->dim[d];
        }
        copy_run(&c->out[0], k, x, from, 1);
    }
    return st;
}

/* Index k of t, negative ones counted from the end; -1 if outside [0, len). */
static int64_t index_at(const deft_tensor *t, int64_t k, int64_t len)
{
    const int64_t i = op_get_i64(t, k);
    if (i < -len || i >= len) return -1;
    return i < 0 ? i + len : i;
}

static bool is_index(const deft_tensor *t)
{
    return t && (t->dtype == DEFT_I64 || t->dtype == DEFT_I32);
}

static deft_status run_gather(op_ctx *c)
{
    const deft_tensor *x = op_in(c, 0), *idx = op_in(c, 1);
    if (!x || !is_index(idx)) return op_fail(c, DEFT_E_FORMAT, "wants data and integer indices");
    const int32_t axis = op_axis(deft_node_int(c->node, "axis", 0), x->rank);
    const int32_t rank = x->rank - 1 + idx->rank;
    if (axis < 0 || rank > DEFT_MAX_RANK)
        return op_fail(c, DEFT_E_FORMAT, "axis or rank is out of range");
    int64_t dim[DEFT_MAX_RANK];
    int32_t r = 0;
    for (int32_t i = 0; i < axis; i++) dim[r++] = x->dim[i];
    for (int32_t i = 0; i < idx->rank; i++) dim[r++] = idx->dim[i];
    for (int32_t i = axis + 1; i < x->rank; i++) dim[r++] = x->dim[i];
    const deft_status s = op_out(c, 0, x->dtype, rank, dim);
    if (s != DEFT_OK || c->out[0].count == 0) return s;
    const int64_t outer = op_product(x, 0, axis), inner = op_product(x, axis + 1, x->rank);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t k = 0; k < idx->count; k++) {
            const int64_t i = index_at(idx, k, x->dim[axis]);
            if (i < 0) return op_fail(c, DEFT_E_FORMAT, "index %lld is out of range", (long long)k);
            copy_run(&c->out[0], (o * idx->count + k) * inner, x, (o * x->dim[axis] + i) * inner,
                     inner);
        }
    return DEFT_OK;
}

/* Position k of idx, with the coordinate along axis replaced by the index there: offset in t. */
static int64_t element_at(const deft_tensor *t, const deft_tensor *idx, int32_t axis, int64_t k)
{
    const int64_t i = index_at(idx, k, t->dim[axis]);
    if (i < 0) return -1;
    int64_t rest = k, at = 0, stride = 1;
    for (int32_t d = t->rank - 1; d >= 0; d--) {
        const int64_t x = rest % idx->dim[d];
        rest /= idx->dim[d];
        at += (d == axis ? i : x) * stride;
        stride *= t->dim[d];
    }
    return at;
}

static bool same_rank_inside(const deft_tensor *idx, const deft_tensor *t, int32_t axis)
{
    if (idx->rank != t->rank) return false;
    for (int32_t d = 0; d < t->rank; d++)
        if (d != axis && idx->dim[d] > t->dim[d]) return false;
    return true;
}

static deft_status run_gather_elements(op_ctx *c)
{
    const deft_tensor *x = op_in(c, 0), *idx = op_in(c, 1);
    if (!x || !is_index(idx)) return op_fail(c, DEFT_E_FORMAT, "wants data and integer indices");
    const int32_t axis = op_axis(deft_node_int(c->node, "axis", 0), x->rank);
    if (axis < 0 || !same_rank_inside(idx, x, axis))
        return op_fail(c, DEFT_E_FORMAT, "indices do not fit the data");
    const deft_status s = op_out(c, 0, x->dtype, idx->rank, idx->dim);
    for (int64_t k = 0; s == DEFT_OK && k < idx->count; k++) {
        const int64_t at = element_at(x, idx, axis, k);
        if (at < 0) return op_fail(c, DEFT_E_FORMAT, "index %lld is out of range", (long long)k);
        copy_run(&c->out[0], k, x, at, 1);
    }
    return s;
}

typedef enum reduction { NONE, ADD, MUL, MIN, MAX } reduction;

static deft_status reduction_of(const op_ctx *c, reduction *out)
{
    static const char *const name[] = {"none", "add", "mul", "min", "max"};
    const deft_attr *a = deft_node_attr(c->node, "reduction");
    const char *s = a && a->kind == DEFT_ATTR_STRING ? a->s : "none";
    for (int k = NONE; k <= MAX; k++) {
        *out = (reduction)k;
        if (strcmp(name[k], s) == 0) return DEFT_OK;
    }
    return op_fail(c, DEFT_E_UNSUPPORTED, "an unknown reduction");
}

/* Sums and products of integers wrap. */
static uint64_t reduce_integer(reduction r, uint64_t a, uint64_t b, bool is_signed)
{
    const bool less = is_signed ? (int64_t)b < (int64_t)a : b < a;
    switch (r) {
    case ADD:
        return a + b;
    case MUL:
        return a * b;
    case MIN:
        return less ? b : a;
    case MAX:
        return less ? a : b;
    default:
        return b;
    }
}

static double reduce_float(reduction r, double a, double b)
{
    switch (r) {
    case ADD:
        return a + b;
    case MUL:
        return a * b;
    case MIN:
        return b < a ? b : a;
    case MAX:
        return b > a ? b : a;
    default:
        return b;
    }
}

/* t[at..] = t[at..] (reduction) from[k..], n elements. */
static void update(reduction r, deft_tensor *t, int64_t at, const deft_tensor *from, int64_t k,
                   int64_t n)
{
    if (r == NONE) {
        copy_run(t, at, from, k, n);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        if (op_is_float(t->dtype))
            op_set_f64(t, at + i, reduce_float(r, op_get_f64(t, at + i), op_get_f64(from, k + i)));
        else
            op_set_i64(t, at + i,
                       (int64_t)reduce_integer(r, (uint64_t)op_get_i64(t, at + i),
                                               (uint64_t)op_get_i64(from, k + i),
                                               t->dtype != DEFT_U64));
    }
}

static deft_status run_scatter_elements(op_ctx *c)
{
    const deft_tensor *x = op_in(c, 0), *idx = op_in(c, 1), *up = op_in(c, 2);
    if (!x || !is_index(idx) || !up || up->dtype != x->dtype || up->count != idx->count)
        return op_fail(c, DEFT_E_FORMAT, "wants data, integer indices and updates of their shape");
    const int32_t axis = op_axis(deft_node_int(c->node, "axis", 0), x->rank);
    if (axis < 0 || !same_rank_inside(idx, x, axis))
        return op_fail(c, DEFT_E_FORMAT, "indices do not fit the data");
    reduction r;
    deft_status s = reduction_of(c, &r);
    if (s == DEFT_OK) s = op_out(c, 0, x->dtype, x->rank, x->dim);
    if (s != DEFT_OK) return s;
    copy_run(&c->out[0], 0, x, 0, x->count);
    for (int64_t k = 0; k < idx->count; k++) {
        const int64_t at = element_at(x, idx, axis, k);
        if (at < 0) return op_fail(c, DEFT_E_FORMAT, "index %lld is out of range", (long long)k);
        update(r, &c->out[0], at, up, k, 1);
    }
    return DEFT_OK;
}

/* Offset that the n-tuple k of idx names in x from dimension `from` on, or -1. */
static int64_t tuple_at(const deft_tensor *x, int32_t from, const deft_tensor *idx, int32_t n,
                        int64_t k)
{
    int64_t at = 0;
    for (int32_t d = 0; d < n; d++) {
        const int64_t i = index_at(idx, k * n + d, x->dim[from + d]);
        if (i < 0) return -1;
        at += i * op_product(x, from + d + 1, x->rank);
    }
    return at;
}

static deft_status run_scatter_nd(op_ctx *c)
{
    const deft_tensor *x = op_in(c, 0), *idx = op_in(c, 1), *up = op_in(c, 2);
    if (!x || !is_index(idx) || idx->rank < 1 || !up || up->dtype != x->dtype)
        return op_fail(c, DEFT_E_FORMAT, "wants data, integer indices and updates of one type");
    const int64_t tuple = idx->dim[idx->rank - 1];
    if (tuple < 1 || tuple > x->rank) return op_fail(c, DEFT_E_FORMAT, "index tuples are too long");
    const int32_t n = (int32_t)tuple;
    const int64_t run = op_product(x, n, x->rank), count = idx->count / tuple;
    if (up->count != count * run)
        return op_fail(c, DEFT_E_FORMAT, "updates do not fit the indices");
    reduction r;
    deft_status s = reduction_of(c, &r);
    if (s == DEFT_OK) s = op_out(c, 0, x->dtype, x->rank, x->dim);
    if (s != DEFT_OK) return s;
    copy_run(&c->out[0], 0, x, 0, x->count);
    for (int64_t k = 0; k < count; k++) {
        const int64_t at = tuple_at(x, 0, idx, n, k);
        if (at < 0)
            return op_fail(c, DEFT_E_FORMAT, "index tuple %lld is out of range", (long long)k);
        update(r, &c->out[0], at, up, k * run, run);
    }
    return DEFT_OK;
}

static deft_status run_gather_nd(op_ctx *c)
{
    const deft_tensor *x = op_in(c, 0), *idx = op_in(c, 1);
    if (!x || !is_index(idx) || idx->rank < 1)
        return op_fail(c, DEFT_E_FORMAT, "wants data and indices");
    const int64_t tuple = idx->dim[idx->rank - 1];
    const int64_t shared = deft_node_int(c->node, "batch_dims", 0);
    if (shared < 0 || shared >= idx->rank || tuple < 1 || tuple > x->rank - shared)
        return op_fail(c, DEFT_E_FORMAT, "index tuples are too long");
    const int32_t n = (int32_t)tuple, b = (int32_t)shared;
    int64_t dim[2 * DEFT_MAX_RANK];
    int32_t r = 0;
    for (int32_t i = 0; i < idx->rank - 1; i++) dim[r++] = idx->dim[i];
    for (int32_t i = b + n; i < x->rank; i++) dim[r++] = x->dim[i];
    for (int32_t i = 0; i < b; i++)
        if (x->dim[i] != idx->dim[i])
            return op_fail(c, DEFT_E_FORMAT, "data and indices differ in their batch");
    const deft_status s = op_out(c, 0, x->dtype, r, dim);
    if (s != DEFT_OK) return s;
    const int64_t run = op_product(x, b + n, x->rank), item = op_product(x, b, x->rank);
    const int64_t count = idx->count / tuple, per_item = op_product(idx, b, idx->rank - 1);
    for (int64_t k = 0; k < count; k++) {
        const int64_t at = tuple_at(x, b, idx, n, k);
        if (at < 0)
            return op_fail(c, DEFT_E_FORMAT, "index tuple %lld is out of range", (long long)k);
        copy_run(&c->out[0], k * run, x, k / per_item * item + at, run);
    }
    return DEFT_OK;
}

const op_entry op_table_index[] = {
    {"Slice", run_slice},
    {"Gather", run_gather},
    {"GatherElements", run_gather_elements},
    {"GatherND", run_gather_nd},
    {"ScatterElements", run_scatter_elements},
    {"ScatterND", run_scatter_nd},
    {NULL, NULL},
};
