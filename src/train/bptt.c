/* bptt.c - encoders through time. Layer by layer: what a layer makes of its inputs is one product
 * for all steps; what it makes of its own state is one for each step. */
#include "train/bptt.h"
#include "base/math_f32.h"

#include <string.h>

static float *take(float *mem, size_t *at, size_t count)
{
    float *p = mem ? mem + *at : NULL;
    *at += (count + 15) & ~(size_t)15;
    return p;
}

size_t deft_bptt_layout(const deft_encoder *e, const int shape[2], float *mem, deft_bptt *t)
{
    const bool lstm = e->kind == DEFT_ENCODER_LSTM, mlp = e->kind == DEFT_ENCODER_MLP;
    const size_t row = (size_t)shape[1] * (size_t)e->hidden, all = (size_t)shape[0] * row;
    const size_t g = (size_t)deft_encoder_gates(e);
    deft_bptt out = {.steps = shape[0], .rows = shape[1]};
    size_t at = 0;
    for (int l = 0; l < e->n_layer; l++) {
        out.gate[l] = take(mem, &at, g * all);
        if (mlp) continue;
        out.inner[l] = take(mem, &at, all);
        if (lstm) out.cell[l] = take(mem, &at, all + row);
        out.hidden[l] = take(mem, &at, all + row);
    }
    out.product = take(mem, &at, g * row);
    out.d_gate = take(mem, &at, g * all);
    out.d_own = lstm ? out.d_gate : take(mem, &at, g * all); // LSTM: both are the same
    out.d[0] = take(mem, &at, all);
    out.d[1] = take(mem, &at, all);
    out.d_hidden = take(mem, &at, row);
    out.d_cell = take(mem, &at, row);
    if (mem) *t = out;
    return at;
}

/* y[rows][n_out] = x[rows][n_in] w^T */
static void forward_product(const deft_train_ops *o, const deft_gemm *shape, const float *x,
                            const float *w, float *y)
{
    deft_blas_gemm(o->blas, &(deft_gemm){.m = shape->m,
                                         .n = shape->n,
                                         .k = shape->k,
                                         .b_transposed = true,
                                         .a = x,
                                         .lda = shape->k,
                                         .b = w,
                                         .ldb = shape->k,
                                         .c = y,
                                         .ldc = shape->n});
}

/* dx[rows][n_in] = beta dx + d[rows][n_out] w */
static void input_gradient(const deft_train_ops *o, const deft_gemm *shape, const float *d,
                           const float *w, float *dx)
{
    deft_blas_gemm(o->blas, &(deft_gemm){.m = shape->m,
                                         .n = shape->n,
                                         .k = shape->k,
                                         .a = d,
                                         .lda = shape->k,
                                         .b = w,
                                         .ldb = shape->n,
                                         .c = dx,
                                         .ldc = shape->n,
                                         .beta = shape->beta});
}

/* dw[n_out][n_in] += d[rows][n_out]^T x[rows][n_in] */
static void weight_gradient(const deft_train_ops *o, const deft_gemm *shape, const float *d,
                            const float *x, float *dw)
{
    deft_blas_gemm(o->blas, &(deft_gemm){.m = shape->m,
                                         .n = shape->n,
                                         .k = shape->k,
                                         .a_transposed = true,
                                         .a = d,
                                         .lda = shape->m,
                                         .b = x,
                                         .ldb = shape->n,
                                         .c = dw,
                                         .ldc = shape->n,
                                         .beta = 1});
}

/* One row: gate holds W x, becomes r, z, n. */
static void gru_forward(int n, float *restrict gate, const float *restrict own,
                        const float *restrict before, float *restrict inner, float *restrict after)
{
    for (int i = 0; i < n; i++) {
        const float r = deft_sigmoid_f32(gate[i] + own[i]);
        const float z = deft_sigmoid_f32(gate[n + i] + own[n + i]);
        const float c = deft_tanh_f32(gate[2 * n + i] + r * own[2 * n + i]);
        inner[i] = own[2 * n + i];
        after[i] = c + z * (before[i] - c);
        gate[i] = r;
        gate[n + i] = z;
        gate[2 * n + i] = c;
    }
}

/* One row: gate holds W x, becomes i, f, g, o. cell: before, and rows x n further on after. */
static void lstm_forward(int n, float *restrict gate, const float *restrict own,
                         const float *restrict before, float *restrict after,
                         float *const out[2]) // tanh(c), h
{
    for (int k = 0; k < n; k++) {
        const float i = deft_sigmoid_f32(gate[k] + own[k]);
        const float f = deft_sigmoid_f32(gate[n + k] + own[n + k]);
        const float g = deft_tanh_f32(gate[2 * n + k] + own[2 * n + k]);
        const float out_gate = deft_sigmoid_f32(gate[3 * n + k] + own[3 * n + k]);
        after[k] = f * before[k] + i * g;
        out[0][k] = deft_tanh_f32(after[k]);
        out[1][k] = out_gate * out[0][k];
        gate[k] = i;
        gate[n + k] = f;
        gate[2 * n + k] = g;
        gate[3 * n + k] = out_gate;
    }
}

static void gates_forward(const deft_encoder *e, int l, int step, deft_bptt *t)
{
    const int n = e->hidden, g = deft_encoder_gates(e);
    const size_t row = (size_t)n, block = (size_t)t->rows * row;
    for (int r = 0; r < t->rows; r++) {
        const size_t at = ((size_t)step * (size_t)t->rows + (size_t)r) * row;
        float *gate = t->gate[l] + at * (size_t)g, *h = t->hidden[l] + at;
        const float *own = t->product + (size_t)r * (size_t)g * row;
        if (t->cell[l]) {
            float *c = t->cell[l] + at;
            lstm_forward(n, gate, own, c, c + block, (float *[]){t->inner[l] + at, h + block});
        } else {
            gru_forward(n, gate, own, h, t->inner[l] + at, h + block);
        }
    }
}

const float *deft_bptt_forward(const deft_train_ops *o, const deft_encoder *e, const float *param,
                               const float *x, deft_bptt *t)
{
    const int n = e->hidden, g = deft_encoder_gates(e) * n, all = t->steps * t->rows;
    const size_t block = (size_t)t->rows * (size_t)n;
    t->x = x;
    for (int l = 0; l < e->n_layer; l++) {
        int n_in;
        const float *w = param + deft_encoder_layer(e, l, &n_in);
        const float *own = w + (size_t)g * (size_t)n_in; // U, or the bias
        forward_product(o, &(deft_gemm){.m = all, .n = g, .k = n_in}, x, w, t->gate[l]);
        if (e->kind == DEFT_ENCODER_MLP) {
            o->vec->bias_unit(t->gate[l], own, all, n, e->unit);
            x = t->gate[l];
            continue;
        }
        memset(t->hidden[l], 0, block * sizeof(float));
        if (t->cell[l]) memset(t->cell[l], 0, block * sizeof(float));
        for (int s = 0; s < t->steps; s++) {
            forward_product(o, &(deft_gemm){.m = t->rows, .n = g, .k = n},
                            t->hidden[l] + (size_t)s * block, own, t->product);
            gates_forward(e, l, s, t);
        }
        x = t->hidden[l] + block;
    }
    return x;
}

/* One row. dh by h': becomes the part of the gradient by h that bypasses U. */
static void gru_backward(int n, const float *restrict gate, const float *restrict inner,
                         const float *restrict before, float *restrict dh,
                         float *const d[2]) // by W x, by U h
{
    for (int i = 0; i < n; i++) {
        const float r = gate[i], z = gate[n + i], c = gate[2 * n + i];
        const float dz = dh[i] * (before[i] - c) * z * (1 - z);
        const float dc = dh[i] * (1 - z) * (1 - c * c);
        const float dr = dc * inner[i] * r * (1 - r);
        d[0][i] = d[1][i] = dr;
        d[0][n + i] = d[1][n + i] = dz;
        d[0][2 * n + i] = dc;
        d[1][2 * n + i] = dc * r;
        dh[i] *= z;
    }
}

/* One row. dc: from the next step; becomes that for the step before. */
static void lstm_backward(int n, const float *restrict gate, const float *const given[2],
                          const float *restrict dh, float *restrict dc, float *restrict d)
{
    for (int k = 0; k < n; k++) { // given: tanh(c'), c
        const float i = gate[k], f = gate[n + k], g = gate[2 * n + k], out = gate[3 * n + k];
        const float y = given[0][k], by_c = dc[k] + dh[k] * out * (1 - y * y);
        d[k] = by_c * g * i * (1 - i);
        d[n + k] = by_c * given[1][k] * f * (1 - f);
        d[2 * n + k] = by_c * i * (1 - g * g);
        d[3 * n + k] = dh[k] * y * out * (1 - out);
        dc[k] = by_c * f;
    }
}

/* One step of layer l: d [rows][H] by its outputs joins what came from the next step. */
static void gates_backward(const deft_encoder *e, int l, int step, const float *d, deft_bptt *t)
{
    const size_t n = (size_t)e->hidden, g = (size_t)deft_encoder_gates(e);
    for (size_t r = 0; r < (size_t)t->rows; r++) {
        const size_t at = ((size_t)step * (size_t)t->rows + r) * n;
        float *dh = t->d_hidden + r * n, *by_input = t->d_gate + at * g;
        for (size_t i = 0; i < n; i++) dh[i] += d[r * n + i];
        const float *gate = t->gate[l] + at * g, *inner = t->inner[l] + at;
        if (t->cell[l]) {
            lstm_backward(e->hidden, gate, (const float *[]){inner, t->cell[l] + at}, dh,
                          t->d_cell + r * n, by_input);
            memset(dh, 0, n * sizeof *dh);
        } else {
            gru_backward(e->hidden, gate, inner, t->hidden[l] + at, dh,
                         (float *[]){by_input, t->d_own + at * g});
        }
    }
}

/* Back through the steps of a recurrent layer: d_gate and d_own of all of them. */
static void layer_backward(const deft_train_ops *o, const deft_encoder *e, int l, const float *own,
                           const float *d, deft_bptt *t)
{
    const int n = e->hidden, g = deft_encoder_gates(e) * n;
    const size_t block = (size_t)t->rows * (size_t)n;
    memset(t->d_hidden, 0, block * sizeof(float));
    memset(t->d_cell, 0, block * sizeof(float));
    for (int s = t->steps; s-- > t->from;) {
        gates_backward(e, l, s, d + (size_t)s * block, t);
        input_gradient(o, &(deft_gemm){.m = t->rows, .n = n, .k = g, .beta = 1},
                       t->d_own + (size_t)s * (size_t)t->rows * (size_t)g, own, t->d_hidden);
    }
}

void deft_bptt_backward(const deft_train_ops *o, const deft_encoder *e, const float *param,
                        const float *d_top, deft_bptt *t, float *grad)
{
    const int n = e->hidden, g = deft_encoder_gates(e) * n, rows = (t->steps - t->from) * t->rows;
    const size_t skip = (size_t)t->from * (size_t)t->rows, block = (size_t)t->rows * (size_t)n;
    const bool mlp = e->kind == DEFT_ENCODER_MLP;
    const float *d = d_top;
    for (int l = e->n_layer - 1; l >= 0; l--) {
        int n_in;
        const int at = deft_encoder_layer(e, l, &n_in);
        const int own = at + g * n_in; // U, or the bias
        const float *below = mlp && l ? t->gate[l - 1] : l ? t->hidden[l - 1] + block : t->x;
        float *d_gate = t->d_gate + skip * (size_t)g;
        if (mlp) {
            memcpy(d_gate, d + skip * (size_t)n, (size_t)rows * (size_t)n * sizeof *d);
            o->vec->unit_backward(d_gate, t->gate[l] + skip * (size_t)n, rows, n, e->unit);
            o->vec->column_sum(d_gate, rows, n, grad + own);
        } else {
            layer_backward(o, e, l, param + own, d, t);
            weight_gradient(o, &(deft_gemm){.m = g, .n = n, .k = rows}, t->d_own + skip * (size_t)g,
                            t->hidden[l] + skip * (size_t)n, grad + own);
        }
        weight_gradient(o, &(deft_gemm){.m = g, .n = n_in, .k = rows}, d_gate,
                        below + skip * (size_t)n_in, grad + at);
        if (l == 0) return;
        input_gradient(o, &(deft_gemm){.m = rows, .n = n_in, .k = g}, d_gate, param + at,
                       t->d[l & 1] + skip * (size_t)n_in);
        d = t->d[l & 1];
    }
}
