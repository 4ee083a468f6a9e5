/* importance.c - how much an error of a pre-activation matters to the actions: the squared gradient
 * of the actions, by random projection (v' J for random signs v: its squared elements are on
 * average those of J summed over the actions), back through one step. State from before the step
 * counts as given. Where tanh is saturated or a ReLU is off, errors cost nothing. */
#include "base/math_f32.h"
#include "quant/quant_private.h"

#include <math.h>
#include <string.h>

typedef struct backward {
    quant_job *j;
    float **grad; // [n_layer] [n_out] of the row at hand, with respect to outputs
    float *x;     // [widest] inputs
    float *pre;   // gradients with respect to pre-activations, of w and u
    float *gate;  // [6 H]
    float *gx;    // [widest] gradient of inputs
    deft_rng rng;
} backward;

static float derivative(deft_activation f, float pre, float y)
{
    switch (f.kind) {
    case DEFT_ACT_NONE:
        return 1;
    case DEFT_ACT_RELU:
        return y > 0 ? 1.0f : 0.0f;
    case DEFT_ACT_TANH:
        return 1 - y * y;
    case DEFT_ACT_SIGMOID:
        return y * (1 - y);
    default: {
        const float h = 1e-2f;
        return (deft_activation_f32(f, pre + h) - deft_activation_f32(f, pre - h)) / (2 * h);
    }
    }
}

static float dot(const float *w, const float *x, int32_t n)
{
    float s[4] = {0}; // independent sums, so that compilers may use vectors
    int32_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (int32_t k = 0; k < 4; k++) s[k] += w[i + k] * x[i + k];
    for (; i < n; i++) s[0] += w[i] * x[i];
    return s[0] + s[1] + (s[2] + s[3]);
}

/* Adds the gradient of a layer's inputs to the layers that they come from. */
static void scatter(backward *b, const deft_segment *s, int32_t n, const float *g)
{
    for (int32_t k = 0; k < n; k++) {
        if (s[k].kind == DEFT_SRC_LAYER) {
            float *to = b->grad[s[k].index] + s[k].offset;
            for (int32_t i = 0; i < s[k].length; i++) to[i] += g[i];
        }
        g += s[k].length;
    }
}

/* x = W' pre */
static void transposed(const float *w, const float *pre, int32_t rows, int32_t n, float *x)
{
    memset(x, 0, (size_t)n * sizeof *x);
    for (int32_t o = 0; o < rows; o++) {
        if (pre[o] == 0) continue;
        const float *row = w + (size_t)o * (size_t)n;
        for (int32_t i = 0; i < n; i++) x[i] += pre[o] * row[i];
    }
}

/* Gradients of a GRU's gates: X parts to pre, U parts behind them. */
static void gru(backward *b, int32_t k, int32_t row, const float *g)
{
    const deft_layer *l = &b->j->m->layer[k];
    const int32_t n = l->n_out;
    const deft_segment old = {DEFT_SRC_STATE, k, 0, n};
    float *h = b->gate, *x = b->x, *px = b->pre, *pu = b->pre + 3 * (size_t)n;
    const float *now = b->j->trace.value[k] + (size_t)row * (size_t)n;
    quant_trace_gather(&b->j->trace, &old, 1, row, h);
    for (int32_t i = 0; i < n; i++) {
        float a[3], u = 0;
        for (int32_t gate = 0; gate < 3; gate++) {
            const size_t at = (size_t)gate * (size_t)n + (size_t)i;
            const float wx = dot(l->weight + at * (size_t)l->n_in, x, l->n_in);
            u = dot(l->weight_h + at * (size_t)n, h, n) + (l->bias_h ? l->bias_h[at] : 0);
            a[gate] = wx + (l->bias ? l->bias[at] : 0) + (gate < 2 ? u : 0);
        }
        const float r = deft_sigmoid_f32(a[0]), z = deft_sigmoid_f32(a[1]);
        // from h' = n + z (h - n): the value of the tanh, whichever way the reset goes
        const float c = z < 0.999f ? (now[i] - z * h[i]) / (1 - z) : 0;
        const float dn = g[i] * (1 - z) * (1 - c * c), dz = g[i] * (h[i] - c) * z * (1 - z);
        const float dr = l->reset_before ? 0 : dn * u * r * (1 - r);
        px[i] = pu[i] = dr;
        px[n + i] = pu[n + i] = dz;
        px[2 * n + i] = dn;
        pu[2 * n + i] = l->reset_before ? dn : dn * r;
    }
}

static void elementwise(backward *b, int32_t k, int32_t row, const float *g, float *gx)
{
    const deft_layer *l = &b->j->m->layer[k];
    const int32_t n = l->n_out;
    const float *y = b->j->trace.value[k] + (size_t)row * (size_t)n, *x = b->x;
    float mean = 0, var = 0;
    for (int32_t i = 0; i < l->n_in; i++) mean += x[i] / (float)l->n_in;
    for (int32_t i = 0; i < l->n_in; i++) var += (x[i] - mean) * (x[i] - mean) / (float)l->n_in;
    const float sd = deft_sqrt_f32(var + l->epsilon);
    for (int32_t i = 0; i < n; i++) {
        const float second = l->n_in > n ? x[n + i] : 0, w = l->weight ? l->weight[i] : 1;
        const float beta = l->bias ? l->bias[i] : 0;
        float pre = x[i], slope = 1;
        if (l->kind == DEFT_LAYER_ADD) pre += second;
        if (l->kind == DEFT_LAYER_MUL) pre *= slope = second;
        if (l->kind == DEFT_LAYER_AFFINE) pre = x[i] * (slope = w) + beta;
        if (l->kind == DEFT_LAYER_LAYERNORM) {
            slope = sd > 0 ? w / sd : 0;
            pre = (x[i] - mean) * slope + beta;
        }
        const float d = g[i] * derivative(l->activation, pre, y[i]);
        gx[i] = d * slope;
        if (l->kind == DEFT_LAYER_ADD) gx[n + i] = d;
        if (l->kind == DEFT_LAYER_MUL) gx[n + i] = d * x[i];
    }
}

static void add_squares(float *to, const float *g, int32_t n)
{
    for (int32_t i = 0; i < n; i++) to[i] += g[i] * g[i];
}

/* One layer of one row. */
static void layer_back(backward *b, int32_t k, int32_t row)
{
    float *gx = b->gx;
    quant_job *j = b->j;
    const deft_layer *l = &j->m->layer[k];
    const float *g = b->grad[k];
    const size_t at = (size_t)row;
    quant_trace_gather(&j->trace, l->in, l->n_segment, row, b->x);
    if (l->kind == DEFT_LAYER_GRU) {
        const size_t rows = 3 * (size_t)l->n_out;
        gru(b, k, row, g);
        add_squares(j->importance[k][0] + at * rows, b->pre, (int32_t)rows);
        add_squares(j->importance[k][1] + at * rows, b->pre + rows, (int32_t)rows);
        transposed(l->weight, b->pre, (int32_t)rows, l->n_in, gx);
    } else if (l->kind == DEFT_LAYER_DENSE) {
        const float *y = j->trace.value[k] + at * (size_t)l->n_out;
        const bool known = l->activation.kind <= DEFT_ACT_RELU ||
                           l->activation.kind == DEFT_ACT_TANH ||
                           l->activation.kind == DEFT_ACT_SIGMOID;
        for (int32_t o = 0; o < l->n_out; o++) {
            float pre = 0;
            if (!known && g[o] != 0)
                pre = dot(l->weight + (size_t)o * (size_t)l->n_in, b->x, l->n_in) +
                      (l->bias ? l->bias[o] : 0);
            b->pre[o] = g[o] == 0 ? 0 : g[o] * derivative(l->activation, pre, y[o]);
        }
        add_squares(j->importance[k][0] + at * (size_t)l->n_out, b->pre, l->n_out);
        transposed(l->weight, b->pre, l->n_out, l->n_in, gx);
    } else if (l->kind == DEFT_LAYER_HISTORY) { // only what came in in this step
        memcpy(gx, l->newest_first ? g : g + l->n_out - l->n_in, (size_t)l->n_in * sizeof *gx);
    } else {
        elementwise(b, k, row, g, gx);
    }
    scatter(b, l->in, l->n_segment, gx);
}

static void row_back(backward *b, int32_t row)
{
    float *gx = b->gx;
    const deft_model *m = b->j->m;
    for (int32_t k = 0; k < m->n_layer; k++)
        memset(b->grad[k], 0, (size_t)m->layer[k].n_out * sizeof(float));
    for (int32_t i = 0; i < m->n_output; i++) {
        gx[i] = deft_rng_u64(&b->rng) >> 63 ? 1.0f : -1.0f;
        if (m->contract.act_scale && !m->contract.discrete) gx[i] *= m->contract.act_scale[i];
    }
    scatter(b, m->out, m->n_out_segment, gx);
    for (int32_t k = m->n_layer - 1; k >= 0; k--) layer_back(b, k, row);
}

static deft_status allocate(backward *b)
{
    quant_job *j = b->j;
    const deft_model *m = j->m;
    const size_t rows = (size_t)j->trace.n_row;
    size_t widest = (size_t)m->n_output, gates = 1;
    b->grad = DEFT_NEW_ARRAY(j->tmp, float *, m->n_layer);
    j->importance = DEFT_NEW_ARRAY(j->tmp, quant_importance, m->n_layer);
    if (!b->grad || !j->importance) return quant_no_memory(j);
    for (int32_t k = 0; k < m->n_layer; k++) {
        const deft_layer *l = &m->layer[k];
        const size_t n = (size_t)quant_gates(l->kind) * (size_t)l->n_out;
        b->grad[k] = DEFT_NEW_ARRAY(j->tmp, float, l->n_out);
        if (!b->grad[k]) return quant_no_memory(j);
        for (int32_t u = 0; quant_is_matrix(l->kind) && u < (quant_has_h(l->kind) ? 2 : 1); u++) {
            j->importance[k][u] = DEFT_NEW_ARRAY(j->tmp, float, rows *n);
            if (!j->importance[k][u]) return quant_no_memory(j);
        }
        if ((size_t)l->n_in > widest) widest = (size_t)l->n_in;
        if (2 * n > gates) gates = 2 * n;
    }
    b->x = DEFT_NEW_ARRAY(j->tmp, float, widest);
    b->pre = DEFT_NEW_ARRAY(j->tmp, float, gates);
    b->gate = DEFT_NEW_ARRAY(j->tmp, float, gates);
    b->gx = DEFT_NEW_ARRAY(j->tmp, float, widest);
    return b->x && b->pre && b->gate && b->gx ? DEFT_OK : quant_no_memory(j);
}

deft_status quant_importances(quant_job *j)
{
    enum { PROBES = 2 };
    backward b = {.j = j};
    // gradients through cells of an LSTM are not worth their code: all rows and steps count alike
    for (int32_t k = 0; k < j->m->n_layer; k++)
        if (j->m->layer[k].kind == DEFT_LAYER_LSTM) return DEFT_OK;
    if (j->opt.nearest || j->scheme.power_of_two) return DEFT_OK;
    const deft_status s = allocate(&b);
    if (s != DEFT_OK) return s;
    deft_rng_seed(&b.rng, 1);
    for (int32_t row = 0; row < j->trace.n_row; row++)
        for (int32_t p = 0; p < PROBES; p++) row_back(&b, row);
    return DEFT_OK;
}
