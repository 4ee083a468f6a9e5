/* op_quantize.c - QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear, QLinearMatMul. */
#include "graph/op.h"

#include <math.h>
#include <string.h>

typedef struct affine {
    const deft_tensor *scale, *zero;
    int64_t channels, inner; // channels 1: per tensor
} affine;

static deft_status affine_of(op_ctx *c, const deft_tensor *x, affine *q)
{
    *q = (affine){op_in(c, 1), op_in(c, 2), 1, 1};
    if (!x || !q->scale || !op_is_float(q->scale->dtype))
        return op_fail(c, DEFT_E_FORMAT, "wants data and a float scale");
    q->channels = q->scale->count;
    if (deft_node_int(c->node, "block_size", 0))
        return op_fail(c, DEFT_E_UNSUPPORTED, "blocked quantization");
    if (q->scale->rank > 0 && q->channels != 1) {
        const int32_t axis = op_axis(deft_node_int(c->node, "axis", 1), x->rank);
        if (axis < 0 || q->scale->rank != 1 || x->dim[axis] != q->channels)
            return op_fail(c, DEFT_E_FORMAT, "scales do not fit the axis");
        q->inner = op_product(x, axis + 1, x->rank);
    }
    if (q->channels < 1 || (q->zero && q->zero->count != q->channels))
        return op_fail(c, DEFT_E_FORMAT, "scale and zero point differ in shape");
    return DEFT_OK;
}

static double round_even(double v)
{
    return nearbyint(v);
}

static deft_status run_quantize(op_ctx *c)
{
    const deft_tensor *x = op_in(c, 0);
    affine q;
    deft_status s = affine_of(c, x, &q);
    if (s != DEFT_OK) return s;
    const int64_t wanted = deft_node_int(c->node, "output_dtype", 0); // opset 21
    const deft_dtype type = q.zero ? q.zero->dtype : wanted ? op_onnx_dtype(wanted) : DEFT_U8;
    if (!type || op_is_float(type) || type == DEFT_BOOL)
        return op_fail(c, DEFT_E_UNSUPPORTED, "cannot quantize to this type");
    s = op_out(c, 0, type, x->rank, x->dim);
    for (int64_t k = 0; s == DEFT_OK && k < x->count; k++) {
        const int64_t ch = k / q.inner % q.channels;
        const double zero = q.zero ? (double)op_get_i64(q.zero, ch) : 0;
        const float ratio = (float)op_get_f64(x, k) / (float)op_get_f64(q.scale, ch);
        op_set_f64(&c->out[0], k, round_even((double)ratio) + zero);
    }
    return s;
}

static deft_status run_dequantize(op_ctx *c)
{
    const deft_tensor *x = op_in(c, 0);
    affine q;
    deft_status s = affine_of(c, x, &q);
    if (s == DEFT_OK) s = op_out(c, 0, q.scale->dtype, x->rank, x->dim);
    for (int64_t k = 0; s == DEFT_OK && k < x->count; k++) {
        const int64_t ch = k / q.inner % q.channels;
        const int64_t zero = q.zero ? op_get_i64(q.zero, ch) : 0;
        op_set_f64(&c->out[0], k, (double)(op_get_i64(x, k) - zero) * op_get_f64(q.scale, ch));
    }
    return s;
}

/* ONNX: scale = (max(0, max) - min(0, min)) / 255, zero = saturate(round(-min / scale)). */
static deft_status run_dynamic(op_ctx *c)
{
    const deft_tensor *x = op_in(c, 0);
    if (!x || x->dtype != DEFT_F32 || c->node->n_out != 3)
        return op_fail(c, DEFT_E_FORMAT, "wants float data and three outputs");
    float lo = 0, hi = 0;
    const float *v = x->data;
    for (int64_t k = 0; k < x->count; k++) {
        lo = v[k] < lo ? v[k] : lo;
        hi = v[k] > hi ? v[k] : hi;
    }
    deft_status s = op_out(c, 0, DEFT_U8, x->rank, x->dim);
    if (s == DEFT_OK) s = op_out(c, 1, DEFT_F32, 0, NULL);
    if (s == DEFT_OK) s = op_out(c, 2, DEFT_U8, 0, NULL);
    if (s != DEFT_OK) return s;
    const float scale = hi == lo ? 1.0f : (hi - lo) / 255.0f;
    op_set_f64(&c->out[2], 0, round_even((double)(0.0f - lo / scale)));
    *(float *)c->out[1].data = scale;
    const double zero = (double)*(const uint8_t *)c->out[2].data;
    for (int64_t k = 0; k < x->count; k++)
        op_set_f64(&c->out[0], k, round_even((double)(v[k] / scale)) + zero);
    return DEFT_OK;
}

static deft_status run_qlinear_matmul(op_ctx *c)
{
    for (int32_t i = 0; i < 8; i++)
        if (!op_in(c, i) || (i % 3 != 0 && i != 7 && i != 6 && c->in[i]->count != 1))
            return op_fail(c, DEFT_E_UNSUPPORTED, "wants eight inputs, scales per tensor");
    const deft_tensor *a = c->in[0], *b = c->in[3];
    if (a->rank != 2 || b->rank != 2 || a->dim[1] != b->dim[0] || c->in[6]->count != 1 ||
        c->in[7]->count != 1)
        return op_fail(c, DEFT_E_UNSUPPORTED, "only matrices with scales per tensor");
    const int64_t dim[2] = {a->dim[0], b->dim[1]}, n = dim[1], depth = a->dim[1];
    if (dim[0] && n && depth > ((int64_t)1 << 31) / dim[0] / n)
        return op_fail(c, DEFT_E_RANGE, "the product is too large to evaluate");
    deft_status s = op_charge(c, dim[0] * n * depth, OP_WORK_ANY);
    if (s == DEFT_OK) s = op_out(c, 0, c->in[7]->dtype, 2, dim);
    const int64_t za = op_get_i64(c->in[2], 0), zb = op_get_i64(c->in[5], 0);
    const float ratio = (float)op_get_f64(c->in[1], 0) * (float)op_get_f64(c->in[4], 0) /
                        (float)op_get_f64(c->in[6], 0);
    for (int64_t k = 0; s == DEFT_OK && k < c->out[0].count; k++) {
        int64_t sum = 0;
        for (int64_t p = 0; p < depth; p++)
            sum += (op_get_i64(a, k / n * depth + p) - za) * (op_get_i64(b, p * n + k % n) - zb);
        op_set_f64(&c->out[0], k,
                   round_even((double)sum * (double)ratio) + (double)op_get_i64(c->in[7], 0));
    }
    return s;
}

const op_entry op_table_quantize[] = {
    {"QuantizeLinear", run_quantize},
    {"DequantizeLinear", run_dequantize},
    {"DynamicQuantizeLinear", run_dynamic},
    {"QLinearMatMul", run_qlinear_matmul},
    {NULL, NULL},
};
