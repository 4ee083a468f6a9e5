/* op_shape.c - operators that move elements without touching them, and those about shapes. */
#include "graph/op.h"

#include <string.h>

/* The same elements under another shape. */
static deft_status reshaped(op_ctx *c, const deft_tensor *x, int32_t rank, const int64_t *dim)
{
    const deft_status s = op_out(c, 0, x->dtype, rank, dim);
    if (s != DEFT_OK) return s;
    if (c->out[0].count != x->count)
        return op_fail(c, DEFT_E_FORMAT, "%lld elements cannot become %lld", (long long)x->count,
                       (long long)c->out[0].count);
    if (x->count) memcpy(c->out[0].data, x->data, (size_t)x->count * deft_dtype_size(x->dtype));
    return DEFT_OK;
}

static void copy_element(deft_tensor *y, int64_t to, const deft_tensor *x, int64_t from)
{
    const size_t size = deft_dtype_size(x->dtype);
    memcpy((uint8_t *)y->data + (size_t)to * size, (const uint8_t *)x->data + (size_t)from * size,
           size);
}

static deft_status run_reshape(op_ctx *c)
{
    const deft_tensor *x = op_in(c, 0);
    if (!x) return op_fail(c, DEFT_E_FORMAT, "input 0 is missing");
    int64_t dim[OP_MAX_LIST];
    const int32_t n = op_list(c, "shape", 1, dim);
    if (n < 0) return DEFT_E_FORMAT;
    if (n > DEFT_MAX_RANK) return op_fail(c, DEFT_E_RANGE, "rank %d is too large", (int)n);
    const bool allow_zero = deft_node_int(c->node, "allowzero", 0) != 0;
    int32_t infer = -1;
    int64_t known = 1;
    for (int32_t i = 0; i < n; i++) {
        if (dim[i] == 0 && !allow_zero) dim[i] = i < x->rank ? x->dim[i] : -2;
        if (dim[i] == -1 && infer < 0)
            infer = i;
        else if (dim[i] < 0)
            return op_fail(c, DEFT_E_FORMAT, "dimension %d is not valid", (int)i);
        else if (dim[i] && known > INT64_MAX / 16 / dim[i])
            return op_fail(c, DEFT_E_RANGE, "too large");
        else
            known *= dim[i];
    }
    if (infer >= 0) dim[infer] = known ? x->count / known : 0;
    return reshaped(c, x, n, dim);
}

static deft_status run_flatten(op_ctx *c)
{
    const deft_tensor *x = op_in(c, 0);
    if (!x) return op_fail(c, DEFT_E_FORMAT, "input 0 is missing");
    const int64_t a = deft_node_int(c->node, "axis", 1);
    if (a < -(int64_t)x->rank || a > x->rank)
        return op_fail(c, DEFT_E_FORMAT, "axis is out of range");
    const int32_t axis = (int32_t)(a < 0 ? a + x->rank : a);
    const int64_t dim[2] = {op_product(x, 0, axis), op_product(x, axis, x->rank)};
    return reshaped(c, x, 2, dim);
}

static deft_status run_squeeze(op_ctx *c)
{
    const deft_tensor *x = op_in(c, 0);
    if (!x) return op_fail(c, DEFT_E_FORMAT, "input 0 is missing");
    int64_t axes[OP_MAX_LIST], dim[DEFT_MAX_RANK];
    const int32_t n = op_list(c, "axes", 1, axes);
    if (n < 0) return DEFT_E_FORMAT;
    bool drop[DEFT_MAX_RANK] = {false};
    for (int32_t i = 0; i < n; i++) {
        const int32_t a = op_axis(axes[i], x->rank);
        if (a < 0 || x->dim[a] != 1)
            return op_fail(c, DEFT_E_FORMAT, "axis %lld cannot be squeezed", (long long)axes[i]);
        drop[a] = true;
    }
    int32_t rank = 0;
    for (int32_t i = 0; i < x->rank; i++)
        if (n == 0 ? x->dim[i] != 1 : !drop[i]) dim[rank++] = x->dim[i];
    return reshaped(c, x, rank, dim);
}

static deft_status run_unsqueeze(op_ctx *c)
{
    const deft_tensor *x = op_in(c, 0);
    if (!x) return op_fail(c, DEFT_E_FORMAT, "input 0 is missing");
    int64_t axes[OP_MAX_LIST], dim[DEFT_MAX_RANK];
    const int32_t n = op_list(c, "axes", 1, axes);
    if (n < 0) return DEFT_E_FORMAT;
    const int32_t rank = x->rank + n;
    if (rank > DEFT_MAX_RANK) return op_fail(c, DEFT_E_RANGE, "rank %d is too large", (int)rank);
    bool add[DEFT_MAX_RANK] = {false};
    for (int32_t i = 0; i < n; i++) {
        const int32_t a = op_axis(axes[i], rank);
        if (a < 0 || add[a])
            return op_fail(c, DEFT_E_FORMAT, "axis %lld is not valid", (long long)axes[i]);
        add[a] = true;
    }
    for (int32_t i = 0, k = 0; i < rank; i++) dim[i] = add[i] ? 1 : x->dim[k++];
    return reshaped(c, x, rank, dim);
}

static deft_status run_transpose(op_ctx *c)
{
    const deft_tensor *x = op_in(c, 0);
    if (!x) return op_fail(c, DEFT_E_FORMAT, "input 0 is missing");
    int64_t perm[OP_MAX_LIST], dim[DEFT_MAX_RANK], stride[DEFT_MAX_RANK];
    const int32_t n = op_list(c, "perm", -1, perm);
    if (n != 0 && n != x->rank) return op_fail(c, DEFT_E_FORMAT, "perm does not fit the rank");
    bool seen[DEFT_MAX_RANK] = {false};
    for (int32_t i = 0; i < x->rank; i++) {
        if (n == 0) perm[i] = x->rank - 1 - i;
        if (perm[i] < 0 || perm[i] >= x->rank || seen[perm[i]])
            return op_fail(c, DEFT_E_FORMAT, "perm is no permutation");
        seen[perm[i]] = true;
        dim[i] = x->dim[perm[i]];
        stride[i] = op_product(x, (int32_t)perm[i] + 1, x->rank);
    }
    const deft_status s = op_out(c, 0, x->dtype, x->rank, dim);
    for (int64_t k = 0; s == DEFT_OK && k < x->count; k++) {
        int64_t rest = k, from = 0;
        for (int32_t i = x->rank - 1; i >= 0; i--) {
            // no dim is 0 where there are elements; NOLINTNEXTLINE(clang-analyzer-core.*)
            from += rest % dim[i] * stride[i];
            rest /= dim[i];
        }
        copy_element(&c->out[0], k, x, from);
    }
    return s;
}

static deft_status run_concat(op_ctx *c)
{
    const deft_tensor *first = op_in(c, 0);
    if (!first) return op_fail(c, DEFT_E_FORMAT, "input 0 is missing");
    const int32_t axis = op_axis(deft_node_int(c->node, "axis", 0), first->rank);
    if (axis < 0) return op_fail(c, DEFT_E_FORMAT, "axis is out of range");
    int64_t dim[DEFT_MAX_RANK];
    memcpy(dim, first->dim, sizeof dim);
    dim[axis] = 0;
    for (int32_t i = 0; i < c->node->n_in; i++) {
        const deft_tensor *x = op_in(c, i);
        bool fits = x && x->dtype == first->dtype && x->rank == first->rank;
        for (int32_t d = 0; fits && d < x->rank; d++)
            fits = d == axis || x->dim[d] == first->dim[d];
        if (!fits) return op_fail(c, DEFT_E_FORMAT, "operand %d does not fit the first", (int)i);
        if (x->dim[axis] > INT64_MAX / 16 - dim[axis]) return op_fail(c, DEFT_E_RANGE, "too large");
        dim[axis] += x->dim[axis];
    }
    const deft_status s = op_out(c, 0, first->dtype, first->rank, dim);
    if (s != DEFT_OK) return s;
    const size_t size = deft_dtype_size(first->dtype);
    const int64_t outer = op_product(first, 0, axis),
                  inner = op_product(first, axis + 1, first->rank);
    int64_t at = 0;
    for (int32_t i = 0; i < c->node->n_in; i++) {
        const int64_t run = c->in[i]->dim[axis] * inner;
        for (int64_t o = 0; o < outer && run; o++)
            memcpy((uint8_t *)c->out[0].data + (size_t)(o * dim[axis] * inner + at) * size,
                   (const uint8_t *)c->in[i]->data + (size_t)(o * run) * size, (size_t)run * size);
        at += run;
    }
    return DEFT_OK;
}

static deft_status run_split(op_ctx *c)
{
    const deft_tensor *x = op_in(c, 0);
    if (!x) return op_fail(c, DEFT_E_FORMAT, "input 0 is missing");
    const int32_t axis = op_axis(deft_node_int(c->node, "axis", 0), x->rank),
                  parts = c->node->n_out;
    if (axis < 0) return op_fail(c, DEFT_E_FORMAT, "axis is out of range");
    int64_t size[OP_MAX_LIST];
    const int32_t n = op_list(c, "split", 1, size);
    if (n < 0 || (n > 0 && n != parts) || parts > OP_MAX_LIST)
        return op_fail(c, DEFT_E_FORMAT, "split sizes do not fit the outputs");
    // equal parts, the last smaller (num_outputs, opset 18)
    const int64_t chunk = (x->dim[axis] + parts - 1) / parts;
    int64_t at = 0;
    for (int32_t i = 0; i < parts; i++) {
        const int64_t left = x->dim[axis] - at;
        const int64_t len = n ? size[i] : chunk < left ? chunk : left;
        if (len < 0 || len > left) return op_fail(c, DEFT_E_FORMAT, "split sizes exceed the axis");
        int64_t dim[DEFT_MAX_RANK];
        memcpy(dim, x->dim, sizeof dim);
        dim[axis] = len;
        const deft_status s = op_out(c, i, x->dtype, x->rank, dim);
        if (s != DEFT_OK) return s;
        const int64_t inner = op_product(x, axis + 1, x->rank), outer = op_product(x, 0, axis);
        const size_t esize = deft_dtype_size(x->dtype);
        for (int64_t o = 0; o < outer && len > 0 && inner > 0; o++)
            memcpy((uint8_t *)c->out[i].data + (size_t)(o * len * inner) * esize,
                   (const uint8_t *)x->data + (size_t)((o * x->dim[axis] + at) * inner) * esize,
                   (size_t)(len * inner) * esize);
        at += len;
    }
    if (n && at != x->dim[axis]) return op_fail(c, DEFT_E_FORMAT, "split sizes do not add up");
    return DEFT_OK;
}

enum { MAX_EXPANDED = 1 << 20 }; // what no policy needs, and a hostile one would wait for

static deft_status run_expand(op_ctx *c)
{
    const deft_tensor *x = op_in(c, 0);
    int64_t want[OP_MAX_LIST];
    const int32_t n = op_list(c, NULL, 1, want);
    if (!x || n < 0 || n > DEFT_MAX_RANK)
        return op_fail(c, DEFT_E_FORMAT, "the shape is not valid");
    deft_tensor shape = {.dtype = x->dtype, .rank = n};
    memcpy(shape.dim, want, (size_t)n * sizeof want[0]);
    int32_t rank = 0;
    int64_t dim[DEFT_MAX_RANK];
    deft_status s = op_broadcast(c, x, &shape, &rank, dim);
    if (s == DEFT_OK) s = op_out(c, 0, x->dtype, rank, dim);
    if (s == DEFT_OK && c->out[0].count > MAX_EXPANDED)
        return op_fail(c, DEFT_E_RANGE, "expands to more than a million elements");
    for (int64_t k = 0; s == DEFT_OK && k < c->out[0].count; k++)
        copy_element(&c->out[0], k, x, op_broadcast_at(x, rank, dim, k));
    return s;
}

static deft_status run_tile(op_ctx *c)
{
    const deft_tensor *x = op_in(c, 0);
    int64_t times[OP_MAX_LIST], dim[DEFT_MAX_RANK];
    const int32_t n = op_list(c, NULL, 1, times);
    if (!x || n != x->rank) return op_fail(c, DEFT_E_FORMAT, "repeats do not fit the rank");
    for (int32_t i = 0; i < n; i++) {
        if (times[i] < 0 || (x->dim[i] && times[i] > INT32_MAX / x->dim[i]))
            return op_fail(c, DEFT_E_RANGE, "repeats are out of range");
        dim[i] = x->dim[i] * times[i];
    }
    const deft_status s = op_out(c, 0, x->dtype, n, dim);
    for (int64_t k = 0; s == DEFT_OK && k < c->out[0].count; k++) {
        int64_t rest = k, from = 0, stride = 1;
        for (int32_t i = n - 1; i >= 0; i--) {
            // no dim is 0 where there are elements; NOLINTNEXTLINE(clang-analyzer-core.*)
            from += rest % dim[i] % x->dim[i] * stride;
            rest /= dim[i];
            stride *= x->dim[i];
        }
        copy_element(&c->out[0], k, x, from);
    }
    return s;
}

static deft_status run_shape(op_ctx *c)
{
    const deft_tensor *x = op_in(c, 0);
    if (!x) return op_fail(c, DEFT_E_FORMAT, "input 0 is missing");
    int64_t start = deft_node_int(c->node, "start", 0),
            end = deft_node_int(c->node, "end", x->rank);
    if (start < 0) start += x->rank;
    if (end < 0) end += x->rank;
    start = start < 0 ? 0 : start > x->rank ? x->rank : start;
    end = end < start ? start : end > x->rank ? x->rank : end;
    const int64_t n = end - start;
    const deft_status s = op_out(c, 0, DEFT_I64, 1, &n);
    for (int64_t i = 0; s == DEFT_OK && i < n; i++)
        ((int64_t *)c->out[0].data)[i] = x->dim[start + i];
    return s;
}

static deft_status run_size(op_ctx *c)
{
    const deft_tensor *x = op_in(c, 0);
    if (!x) return op_fail(c, DEFT_E_FORMAT, "input 0 is missing");
    const deft_status s = op_out(c, 0, DEFT_I64, 0, NULL);
    if (s == DEFT_OK) *(int64_t *)c->out[0].data = x->count;
    return s;
}

const op_entry op_table_shape[] = {
    {"Reshape", run_reshape},     {"Flatten", run_flatten},     {"Squeeze", run_squeeze},
    {"Unsqueeze", run_unsqueeze}, {"Transpose", run_transpose}, {"Concat", run_concat},
    {"Split", run_split},         {"Expand", run_expand},       {"Tile", run_tile},
    {"Shape", run_shape},         {"Size", run_size},           {NULL, NULL},
};
