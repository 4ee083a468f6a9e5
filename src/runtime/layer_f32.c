/* layer_f32.c - float32 layers. Part of the freestanding runtime. */
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
        return 2 * (uint32_t)l->n_out; // h, then c
    default:
        return 0;
    }
}

uint32_t deft_layer_scratch(const deft_image_layer *l)
{
    switch (l->kind) {
    case DEFT_IMAGE_GRU:
        return 6 * (uint32_t)l->n_out; // three gates of x, three of h
    case DEFT_IMAGE_LSTM:
        return 8 * (uint32_t)l->n_out;
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
    deft_add_to_f32(gx, gh, 2 * n);
    s->kernels->activation(sigmoid, gx, 2 * n);
    deft_product_f32(r, h, gh, n);
    dense(s, l, matrix(l->weight_h + 2 * (size_t)n * n, bias_n, n, n), gh, hn);
    deft_add_to_f32(c, hn, n);
    s->kernels->activation(hyperbolic_tangent, c, n);
    deft_blend_f32(c, z, h, h_new, n);
}

static void lstm(const deft_step *s, const deft_image_layer *l, const float *x, const float *h,
                 float *h_new)
{
    const uint32_t n = l->n_out;
    float *const gx = s->scratch, *const gh = gx + 4 * (size_t)n;
    float *const c_new = h_new + n;
    dense(s, l, matrix(l->weight, l->bias, l->n_in, 4 * n), x, gx);
    dense(s, l, matrix(l->weight_h, l->bias_h, n, 4 * n), h, gh);
    deft_add_to_f32(gx, gh, 4 * n);
    s->kernels->activation(sigmoid, gx, 2 * n);
    s->kernels->activation(hyperbolic_tangent, gx + 2 * (size_t)n, n);
    s->kernels->activation(sigmoid, gx + 3 * (size_t)n, n);
    deft_cell_f32(gx, h + n, c_new, n);
    memcpy(h_new, c_new, n * sizeof *h_new);
    s->kernels->activation(hyperbolic_tangent, h_new, n);
    deft_product_f32(gx + 3 * (size_t)n, h_new, h_new, n);
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
    const deft_matrix_f32 m = matrix(l->weight, l->bias, l->n_in, n);
    switch (l->kind) {
    case DEFT_IMAGE_LAYERNORM:
        deft_layernorm_f32(&m, l->epsilon, x, y);
        break;
    case DEFT_IMAGE_AFFINE:
        deft_affine_f32(&m, x, y);
        break;
    case DEFT_IMAGE_ADD:
        deft_sum_f32(x, x + n, y, n);
        break;
    case DEFT_IMAGE_MUL:
        deft_product_f32(x, x + n, y, n);
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
