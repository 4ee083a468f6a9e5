/* net.c - multilayer perceptrons. */
#include "train/net.h"

#include <math.h>
#include <string.h>

static int layer_params(const deft_net *n, int l)
{
    const int in = n->width[l], out = n->width[l + 1];
    return out * in + out + (n->layer_norm && l + 1 < n->n_layer ? 2 * out : 0);
}

int deft_net_offset(const deft_net *n, int layer)
{
    int at = 0;
    for (int l = 0; l < layer; l++) at += layer_params(n, l);
    return at;
}

int deft_net_params(const deft_net *n)
{
    return deft_net_offset(n, n->n_layer);
}

static float *take(float *mem, size_t *at, size_t count)
{
    float *p = mem ? mem + *at : NULL;
    *at += (count + 15) & ~(size_t)15; // cache lines
    return p;
}

size_t deft_tape_layout(const deft_net *n, int rows, float *mem, deft_tape *t)
{
    size_t at = 0, widest = 0;
    deft_tape tape = {.rows = rows};
    for (int l = 0; l < n->n_layer; l++) {
        const size_t count = (size_t)rows * (size_t)n->width[l + 1];
        if (count > widest) widest = count;
        tape.y[l] = take(mem, &at, count);
        if (!n->layer_norm || l + 1 == n->n_layer) continue;
        tape.n[l] = take(mem, &at, count);
        tape.r[l] = take(mem, &at, (size_t)rows);
    }
    tape.d[0] = take(mem, &at, widest);
    tape.d[1] = take(mem, &at, widest);
    if (mem) *t = tape;
    return at;
}

void deft_net_init(const deft_net *n, float *param, deft_rng *rng)
{
    for (int l = 0; l < n->n_layer; l++) {
        const int in = n->width[l], out = n->width[l + 1];
        const double bound = 1 / sqrt((double)in);
        const int drawn = out * in + out;
        for (int i = 0; i < drawn; i++) param[i] = (float)deft_rng_uniform(rng, -bound, bound);
        param += drawn;
        if (!n->layer_norm || l + 1 == n->n_layer) continue;
        for (int i = 0; i < out; i++) param[i] = 1;
        memset(param + out, 0, (size_t)out * sizeof *param);
        param += 2 * (size_t)out;
    }
}

const float *deft_net_forward(const deft_train_ops *o, const deft_net *n, const float *param,
                              const float *x, deft_tape *t)
{
    t->x = x;
    for (int l = 0; l < n->n_layer; l++) {
        const int in = n->width[l], out = n->width[l + 1], last = l + 1 == n->n_layer;
        const float *w = param, *b = w + (size_t)out * (size_t)in;
        float *y = t->y[l];
        const bool norm = n->layer_norm && !last;
        float *z = norm ? t->n[l] : y;
        const deft_unit f = last ? DEFT_UNIT_LINEAR : n->hidden;
        const bool plain = !norm && !t->mask[l], relu = f == DEFT_UNIT_RELU;
        const bool fused = plain && (relu || f == DEFT_UNIT_LINEAR);
        const bool done = deft_blas_gemm(o->blas, &(deft_gemm){.m = t->rows,
                                                               .n = out,
                                                               .k = in,
                                                               .b_transposed = true,
                                                               .a = x,
                                                               .lda = in,
                                                               .b = w,
                                                               .ldb = in,
                                                               .c = z,
                                                               .ldc = out,
                                                               .bias = fused ? b : NULL,
                                                               .relu = fused && relu});
        if (fused && done) {
            // bias and unit are in y
        } else if (!plain) {
            o->vec->bias_unit(z, b, t->rows, out, DEFT_UNIT_LINEAR);
            if (t->mask[l]) o->vec->multiply(z, t->mask[l], t->rows * out);
            if (norm) o->vec->norm(z, t->r[l], y, b + out, t->rows, out);
            o->vec->bias_unit(y, NULL, t->rows, out, f);
        } else {
            o->vec->bias_unit(y, b, t->rows, out, f);
        }
        param += layer_params(n, l);
        x = y;
    }
    return x;
}

/* dW += d^T x, db += sum d */
static void weight_gradient(const deft_train_ops *o, const deft_gemm *shape, const float *x,
                            const float *d, float *grad)
{
    const int out = shape->m, in = shape->n, rows = shape->k;
    deft_blas_gemm(o->blas, &(deft_gemm){.m = out,
                                         .n = in,
                                         .k = rows,
                                         .a_transposed = true,
                                         .a = d,
                                         .lda = out,
                                         .b = x,
                                         .ldb = in,
                                         .c = grad,
                                         .ldc = in,
                                         .beta = 1});
    o->vec->column_sum(d, rows, out, grad + (size_t)out * (size_t)in);
}

void deft_net_backward(const deft_train_ops *o, const deft_net *n, const float *param,
                       const float *d, deft_tape *t, const deft_net_grad *g)
{
    for (int l = n->n_layer - 1; l >= 0; l--) {
        const int in = n->width[l], out = n->width[l + 1], offset = deft_net_offset(n, l);
        const float *w = param + offset;
        if (g->param) {
            weight_gradient(o, &(deft_gemm){.m = out, .n = in, .k = t->rows},
                            l ? t->y[l - 1] : t->x, d, g->param + offset);
        }
        if (l == 0) {
            if (!g->input) return;
            deft_blas_gemm(o->blas, &(deft_gemm){.m = t->rows,
                                                 .n = g->n_input,
                                                 .k = out,
                                                 .a = d,
                                                 .lda = out,
                                                 .b = w + g->first,
                                                 .ldb = in,
                                                 .c = g->input,
                                                 .ldc = g->n_input});
            return;
        }
        float *below = t->d[l & 1];
        deft_blas_gemm(o->blas, &(deft_gemm){.m = t->rows,
                                             .n = in,
                                             .k = out,
                                             .a = d,
                                             .lda = out,
                                             .b = w,
                                             .ldb = in,
                                             .c = below,
                                             .ldc = in});
        o->vec->unit_backward(below, t->y[l - 1], t->rows, in, n->hidden);
        if (n->layer_norm) {
            const int norm_at = deft_net_offset(n, l) - 2 * in; // gamma, beta end the layer below
            o->vec->norm_backward(below, t->n[l - 1], t->r[l - 1], param + norm_at,
                                  g->param ? g->param + norm_at : NULL, (const int[]){t->rows, in});
        }
        if (t->mask[l - 1]) o->vec->multiply(below, t->mask[l - 1], t->rows * in);
        d = below;
    }
}
