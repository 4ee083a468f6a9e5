/* op_linear.c - matrix products. Sums run left to right over k, unfused. */
#include "graph/op.h"

#include <string.h>

/* C[m][n] += A[m][k] B[k][n] with strides given by the caller's transposition. */
typedef struct mat {
    const deft_tensor *t;
    int64_t offset, row, col; // strides in elements
} mat;

static void product_f32(const mat *a, const mat *b, float *y, int64_t m, int64_t n, int64_t k)
{
    const float *pa = (const float *)a->t->data + a->offset;
    const float *pb = (const float *)b->t->data + b->offset;
    for (int64_t i = 0; i < m; i++)
        for (int64_t p = 0; p < k; p++) {
            // each y[i][j] still sums over p in order; this loop order reads B by rows
            const float v = pa[i * a->row + p * a->col];
            for (int64_t j = 0; j < n; j++) y[i * n + j] += v * pb[p * b->row + j * b->col];
        }
}

static void product_any(const mat *a, const mat *b, deft_tensor *y, int64_t at,
                        const int64_t mnk[3])
{
    for (int64_t i = 0; i < mnk[0]; i++)
        for (int64_t j = 0; j < mnk[1]; j++) {
            double sum = 0;
            uint64_t isum = 0;
            for (int64_t p = 0; p < mnk[2]; p++) {
                const int64_t ka = a->offset + i * a->row + p * a->col;
                const int64_t kb = b->offset + p * b->row + j * b->col;
                if (op_is_float(y->dtype))
                    sum += op_get_f64(a->t, ka) * op_get_f64(b->t, kb);
                else
                    isum += (uint64_t)op_get_i64(a->t, ka) * (uint64_t)op_get_i64(b->t, kb);
            }
            const int64_t k = at + i * mnk[1] + j;
            if (op_is_float(y->dtype))
                op_set_f64(y, k, sum);
            else
                op_set_i64(y, k, (int64_t)isum);
        }
}

/* Work bound: a file of a few bytes must not buy hours. */
static bool too_much(int64_t m, int64_t n, int64_t k)
{
    const int64_t limit = (int64_t)1 << 31;
    return m && n && k && (m > limit / n || m * n > limit / k);
}

static deft_tensor as_matrix(const deft_tensor *x, bool left)
{
    deft_tensor t = *x;
    if (t.rank != 1) return t;
    t.rank = 2;
    t.dim[left ? 1 : 0] = x->dim[0];
    t.dim[left ? 0 : 1] = 1;
    return t;
}

static deft_status matmul_into(op_ctx *c, const deft_tensor *a0, const deft_tensor *b0,
                               deft_dtype dtype)
{
    // the analyzer loses that callers fill both; NOLINTNEXTLINE(clang-analyzer-core.*)
    if (a0->rank < 1 || b0->rank < 1)
        return op_fail(c, DEFT_E_FORMAT, "operands must not be scalars");
    const deft_tensor a = as_matrix(a0, true), b = as_matrix(b0, false);
    const int64_t m = a.dim[a.rank - 2], k = a.dim[a.rank - 1], n = b.dim[b.rank - 1];
    if (b.dim[b.rank - 2] != k)
        return op_fail(c, DEFT_E_FORMAT, "inner dimensions differ: %lld and %lld", (long long)k,
                       (long long)b.dim[b.rank - 2]);
    deft_tensor ba = a, bb = b; // batch shapes
    ba.rank -= 2;
    bb.rank -= 2;
    int32_t rank = 0;
    int64_t dim[DEFT_MAX_RANK];
    deft_status s = op_broadcast(c, &ba, &bb, &rank, dim);
    if (s != DEFT_OK) return s;
    if (rank + 2 > DEFT_MAX_RANK) return op_fail(c, DEFT_E_RANGE, "rank is too large");
    int64_t batch = 1, out[DEFT_MAX_RANK];
    int32_t r = 0;
    for (int32_t i = 0; i < rank; i++) out[r++] = dim[i];
    if (a0->rank > 1) out[r++] = m;
    if (b0->rank > 1) out[r++] = n;
    s = op_out(c, 0, dtype, r, out);
    if (s != DEFT_OK) return s;
    batch = m > 0 && n > 0 ? c->out[0].count / (m * n) : 0;
    if (too_much(m, n, k) || too_much(m * n, batch, k))
        return op_fail(c, DEFT_E_RANGE, "the product is too large to evaluate");
    s = op_charge(c, c->out[0].count * k, dtype == DEFT_F32 ? 1 : OP_WORK_ANY);
    if (s != DEFT_OK) return s;
    for (int64_t i = 0; i < batch; i++) {
        const mat ma = {&a, op_broadcast_at(&ba, rank, dim, i) * m * k, k, 1};
        const mat mb = {&b, op_broadcast_at(&bb, rank, dim, i) * k * n, n, 1};
        if (dtype == DEFT_F32 && a.dtype == DEFT_F32 && b.dtype == DEFT_F32)
            product_f32(&ma, &mb, (float *)c->out[0].data + i * m * n, m, n, k);
        else
            product_any(&ma, &mb, &c->out[0], i * m * n, (const int64_t[]){m, n, k});
    }
    return DEFT_OK;
}

static deft_status run_matmul(op_ctx *c)
{
    const deft_tensor *a = op_in(c, 0), *b = op_in(c, 1);
    if (!a || !b || a->dtype != b->dtype)
        return op_fail(c, DEFT_E_FORMAT, "wants two operands of one type");
    return matmul_into(c, a, b, a->dtype);
}

/* x - zero point as int32; the zero point is a scalar or one a row (a) or column (b). */
static deft_status minus_zero(op_ctx *c, const deft_tensor *x, const deft_tensor *zero,
                              bool per_row, deft_tensor *out)
{
    if (x->dtype != DEFT_I8 && x->dtype != DEFT_U8)
        return op_fail(c, DEFT_E_FORMAT, "operands must be int8 or uint8");
    if (op_charge(c, x->count, OP_WORK_ELEMENT) != DEFT_OK) return DEFT_E_RANGE;
    if (deft_tensor_init(out, DEFT_I32, x->rank, x->dim, c->arena) != DEFT_OK)
        return op_fail(c, DEFT_E_SPACE, "no memory");
    const int64_t cols = x->rank ? x->dim[x->rank - 1] : 1;
    const int64_t rows = x->rank > 1 ? x->dim[x->rank - 2] : 1;
    const int64_t want = per_row ? rows : cols;
    if (zero && zero->count != 1 && zero->count != want)
        return op_fail(c, DEFT_E_FORMAT, "the zero point has %lld elements, 1 or %lld fit",
                       (long long)zero->count, (long long)want);
    for (int64_t k = 0; k < x->count; k++) {
        const int64_t z = !zero ? 0 : zero->count == 1 ? 0 : per_row ? k / cols % rows : k % cols;
        const int64_t off = zero ? op_get_i64(zero, z) : 0;
        ((int32_t *)out->data)[k] = (int32_t)(op_get_i64(x, k) - off);
    }
    return DEFT_OK;
}

static deft_status run_matmul_integer(op_ctx *c)
{
    const deft_tensor *a = op_in(c, 0), *b = op_in(c, 1);
    if (!a || !b) return op_fail(c, DEFT_E_FORMAT, "two inputs are needed");
    deft_tensor ia, ib;
    deft_status s = minus_zero(c, a, op_in(c, 2), true, &ia);
    if (s == DEFT_OK) s = minus_zero(c, b, op_in(c, 3), false, &ib);
    return s == DEFT_OK ? matmul_into(c, &ia, &ib, DEFT_I32) : s;
}

static deft_status run_gemm(op_ctx *c)
{
    const deft_tensor *a = op_in(c, 0), *b = op_in(c, 1), *bias = op_in(c, 2);
    if (!a || !b || a->rank != 2 || b->rank != 2 || a->dtype != b->dtype || !op_is_float(a->dtype))
        return op_fail(c, DEFT_E_FORMAT, "wants two float matrices");
    const bool ta = deft_node_int(c->node, "transA", 0) != 0;
    const bool tb = deft_node_int(c->node, "transB", 0) != 0;
    const float alpha = deft_node_float(c->node, "alpha", 1);
    const float beta = deft_node_float(c->node, "beta", 1);
    const int64_t m = a->dim[ta], k = a->dim[!ta], n = b->dim[!tb];
    if (b->dim[tb] != k)
        return op_fail(c, DEFT_E_FORMAT, "inner dimensions differ: %lld and %lld", (long long)k,
                       (long long)b->dim[tb]);
    if (too_much(m, n, k)) return op_fail(c, DEFT_E_RANGE, "the product is too large to evaluate");
    const int64_t dim[2] = {m, n};
    deft_status s = op_charge(c, m * n * k, a->dtype == DEFT_F32 ? 1 : OP_WORK_ANY);
    if (s == DEFT_OK) s = op_out(c, 0, a->dtype, 2, dim);
    if (s != DEFT_OK) return s;
    deft_tensor *y = &c->out[0];
    const mat ma = {a, 0, ta ? 1 : k, ta ? m : 1}, mb = {b, 0, tb ? 1 : n, tb ? k : 1};
    if (a->dtype == DEFT_F32)
        product_f32(&ma, &mb, y->data, m, n, k);
    else
        product_any(&ma, &mb, y, 0, (const int64_t[]){m, n, k});
    if (bias) {
        int32_t rank = 0;
        int64_t full[DEFT_MAX_RANK];
        s = op_broadcast(c, y, bias, &rank, full);
        if (s == DEFT_OK && (rank != 2 || full[0] != m || full[1] != n || bias->dtype != a->dtype))
            s = op_fail(c, DEFT_E_FORMAT, "C does not fit the product");
        if (s != DEFT_OK) return s;
    }
    for (int64_t i = 0; i < y->count; i++) {
        const int64_t at = bias ? op_broadcast_at(bias, 2, dim, i) : 0;
        if (a->dtype == DEFT_F32) {
            float *p = (float *)y->data + i;
            if (alpha != 1.0f) *p *= alpha;
            if (bias)
                *p += beta == 1.0f ? ((const float *)bias->data)[at]
                                   : beta * ((const float *)bias->data)[at];
        } else {
            const double v = op_get_f64(y, i) * (double)alpha;
            op_set_f64(y, i, bias ? v + (double)beta * op_get_f64(bias, at) : v);
        }
    }
    return DEFT_OK;
}

const op_entry op_table_linear[] = {
    {"MatMul", run_matmul},
    {"MatMulInteger", run_matmul_integer},
    {"Gemm", run_gemm},
    {NULL, NULL},
};
