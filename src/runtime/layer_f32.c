/* layer_f32.c - float32 layers. Part of the freestanding runtime. */
#include "base/math_f32.h"
#include "runtime/step.h"

#include <string.h>

static const deft_activation sigmoid = {DEFT_ACT_SIGMOID, 0, 0};
static const deft_activation hyperbolic_tangent = {DEFT_ACT_TANH, 0, 0};

static int has_state(uint8_t kind)
{
    return kind == DEFT_IMAGE_GRU || kind == DEFT_IMAGE_LSTM || kind == DEFT_IMAGE_HISTORY;
}

uint32_t deft_layer_state(const deft_image_layer *l)
{
    switch (l->kind) {
    case DEFT_IMAGE_GRU:
    case DEFT_IMAGE_HISTORY:
        return l->n_out;
    case DEFT_IMAGE_LSTM:
        return 2u * l->n_out; // h, then c
    default:
        return 0;
    }
}

uint32_t deft_layer_scratch(const deft_image_layer *l)
{
    switch (l->kind) {
    case DEFT_IMAGE_GRU:
        return 6u * l->n_out; // three gates of x, three of h
    case DEFT_IMAGE_LSTM:
        return 8u * l->n_out;
    default:
        return 0;
    }
}

static const float *source(const deft_step *s, deft_image_segment g)
{
    if (g.kind == DEFT_IMAGE_OBS) return s->obs + g.offset;
    if (g.kind == DEFT_IMAGE_PREV) return s->prev + g.offset;
    const uint32_t at = s->offset[g.index] + g.offset;
    if (g.kind == DEFT_IMAGE_STATE) return s->old_state + at;
    const uint8_t kind = s->image[deft_image_u32(s->image + s->directory + (size_t)4 * g.index)];
    return has_state(kind) ? s->new_state + at : s->values + at;
}

const float *deft_step_gather(const deft_step *s, const uint8_t *segments, uint32_t n, float *into)
{
    if (n == 1) return source(s, deft_image_segment_at(segments, 0));
    float *at = into;
    for (uint32_t k = 0; k < n; k++) {
        const deft_image_segment g = deft_image_segment_at(segments, k);
        memcpy(at, source(s, g), g.length * sizeof *at);
        at += g.length;
    }
    return into;
}

/* Both layouts keep whole matrices apart. */
static void dense(const deft_step *s, const deft_image_layer *l, deft_matrix_f32 m, const float *x,
                  float *y)
{
    if (l->layout == DEFT_LAYOUT_PANELS128) {
        s->kernels->dense_panels(&m, x, y);
    } else {
        s->kernels->dense_rows(&m, x, y);
    }
}

static deft_matrix_f32 matrix(const float *w, const float *b, uint32_t n_in, uint32_t n_out)
{
    deft_matrix_f32 m;
    m.weight = w;
    m.bias = b;
    m.n_in = n_in;
    m.n_out = n_out;
    return m;
}

static void add_to(float *restrict y, const float *restrict x, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) y[i] += x[i];
}

static void gru(const deft_step *s, const deft_image_layer *l, const float *x, const float *h,
                float *h_new)
{
    const uint32_t n = l->n_out;
    float *const gx = s->scratch, *const gh = gx + 3 * (size_t)n;
    deft_gru_f32 g;
    g.x = gx;
    g.h = gh;
    g.n = n;
    dense(s, l, matrix(l->weight, l->bias, l->n_in, 3 * n), x, gx);
    dense(s, l, matrix(l->weight_h, l->bias_h, n, 3 * n), h, gh);
    s->kernels->gru(&g, h, h_new);
}

/* The reset gate scales h before the matrix product of the third gate. */
static void gru_reset_before(const deft_step *s, const deft_image_layer *l, const float *x,
                             const float *h, float *h_new)
{
    const uint32_t n = l->n_out;
    float *const gx = s->scratch, *const gh = gx + 3 * (size_t)n;
    float *const r = gx, *const z = gx + n, *const c = gx + 2 * (size_t)n;
    float *const hn = gh + 2 * (size_t)n;
    const float *const bias_n = l->bias_h ? l->bias_h + 2 * (size_t)n : NULL;
    dense(s, l, matrix(l->weight, l->bias, l->n_in, 3 * n), x, gx);
    dense(s, l, matrix(l->weight_h, l->bias_h, n, 2 * n), h, gh);
    add_to(gx, gh, 2 * n);
    s->kernels->activation(sigmoid, gx, 2 * n);
    for (uint32_t i = 0; i < n; i++) gh[i] = r[i] * h[i];
    dense(s, l, matrix(l->weight_h + 2 * (size_t)n * n, bias_n, n, n), gh, hn);
    add_to(c, hn, n);
    s->kernels->activation(hyperbolic_tangent, c, n);
    for (uint32_t i = 0; i < n; i++) h_new[i] = c[i] + z[i] * (h[i] - c[i]);
}

static void lstm(const deft_step *s, const deft_image_layer *l, const float *x, const float *h,
                 float *h_new)
{
    const uint32_t n = l->n_out;
    float *const gx = s->scratch, *const gh = gx + 4 * (size_t)n;
    const float *const in = gx, *const f = gx + n, *const g = f + n, *const o = g + n;
    const float *const c = h + n;
    float *const c_new = h_new + n;
    dense(s, l, matrix(l->weight, l->bias, l->n_in, 4 * n), x, gx);
    dense(s, l, matrix(l->weight_h, l->bias_h, n, 4 * n), h, gh);
    add_to(gx, gh, 4 * n);
    s->kernels->activation(sigmoid, gx, 2 * n);
    s->kernels->activation(hyperbolic_tangent, gx + 2 * (size_t)n, n);
    s->kernels->activation(sigmoid, gx + 3 * (size_t)n, n);
    for (uint32_t i = 0; i < n; i++) h_new[i] = c_new[i] = f[i] * c[i] + in[i] * g[i];
    s->kernels->activation(hyperbolic_tangent, h_new, n);
    for (uint32_t i = 0; i < n; i++) h_new[i] = o[i] * h_new[i];
}

static void layernorm(const deft_image_layer *l, const float *x, float *y)
{
    const uint32_t n = l->n_out;
    float sum = 0, squares = 0;
    for (uint32_t i = 0; i < n; i++) sum += x[i];
    const float mean = sum / (float)n;
    for (uint32_t i = 0; i < n; i++) {
        const float d = x[i] - mean;
        squares += d * d;
    }
    const float deviation = deft_sqrt_f32(squares / (float)n + l->epsilon);
    for (uint32_t i = 0; i < n; i++) {
        float v = (x[i] - mean) / deviation;
        if (l->weight) v = v * l->weight[i];
        y[i] = l->bias ? v + l->bias[i] : v;
    }
}

static void affine(const deft_image_layer *l, const float *x, float *y)
{
    for (uint32_t i = 0; i < l->n_out; i++) {
        float v = x[i];
        if (l->weight) v = v * l->weight[i];
        y[i] = l->bias ? v + l->bias[i] : v;
    }
}

static void history(const deft_image_layer *l, const float *x, const float *old, float *y,
                    int started)
{
    const size_t n = l->n_in, kept = (size_t)l->n_out - n;
    if (!started && (l->flags & DEFT_FLAG_FILL_FIRST)) {
        for (uint32_t k = 0; k < l->depth; k++) memcpy(y + k * n, x, n * sizeof *y);
    } else if (l->flags & DEFT_FLAG_NEWEST_FIRST) {
        memcpy(y, x, n * sizeof *y);
        memcpy(y + n, old, kept * sizeof *y);
    } else {
        memcpy(y, old + n, kept * sizeof *y);
        memcpy(y + kept, x, n * sizeof *y);
    }
}

/* Layers without matrices. */
static void elementwise(const deft_image_layer *l, const float *x, float *y)
{
    const uint32_t n = l->n_out;
    switch (l->kind) {
    case DEFT_IMAGE_LAYERNORM:
        layernorm(l, x, y);
        break;
    case DEFT_IMAGE_AFFINE:
        affine(l, x, y);
        break;
    case DEFT_IMAGE_ADD:
        for (uint32_t i = 0; i < n; i++) y[i] = x[i] + x[n + i];
        break;
    case DEFT_IMAGE_MUL:
        for (uint32_t i = 0; i < n; i++) y[i] = x[i] * x[n + i];
        break;
    default: // DEFT_IMAGE_ACTIVATION
        memcpy(y, x, n * sizeof *y);
        break;
    }
}

void deft_step_layer(const deft_step *s, uint32_t index)
{
    deft_image_layer l;
    deft_image_layer_at(s->image, s->directory, index, &l);
    const uint32_t at = s->offset[index];
    // gathered inputs lie behind what the layer itself needs
    const float *x =
        deft_step_gather(s, l.segment, l.n_segment, s->scratch + deft_layer_scratch(&l));
    switch (l.kind) {
    case DEFT_IMAGE_GRU:
        if (l.flags & DEFT_FLAG_RESET_BEFORE) {
            gru_reset_before(s, &l, x, s->old_state + at, s->new_state + at);
        } else {
            gru(s, &l, x, s->old_state + at, s->new_state + at);
        }
        return;
    case DEFT_IMAGE_LSTM:
        lstm(s, &l, x, s->old_state + at, s->new_state + at);
        return;
    case DEFT_IMAGE_HISTORY:
        history(&l, x, s->old_state + at, s->new_state + at, s->started);
        return;
    case DEFT_IMAGE_DENSE:
        dense(s, &l, matrix(l.weight, l.bias, l.n_in, l.n_out), x, s->values + at);
        break;
    default:
        elementwise(&l, x, s->values + at);
        break;
    }
    s->kernels->activation(l.activation, s->values + at, l.n_out);
}
