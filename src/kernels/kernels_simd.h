/* kernels_simd.h - the body of the vector kernels, for SIMD_LANES floats at a time: included once
 * by each thin file that is compiled for one instruction set. Vectors of the compiler (GNU C)
 * instead of intrinsics, so that one text serves them all. Every lane does what kernels_ref.c and
 * math_f32.c do, operation by operation: the bits are the same. */
#ifndef DEFT_KERNELS_KERNELS_SIMD_H
#define DEFT_KERNELS_KERNELS_SIMD_H

#include "base/math_f32.h"
#include "kernels/kernel_set.h"

#include <string.h>

enum { LANES = SIMD_LANES };

typedef float vf __attribute__((vector_size(4 * SIMD_LANES)));
typedef int32_t vi __attribute__((vector_size(4 * SIMD_LANES)));
typedef uint32_t vu __attribute__((vector_size(4 * SIMD_LANES)));
typedef float vf_unaligned __attribute__((vector_size(4 * SIMD_LANES), aligned(4), may_alias));

#define SIMD_INLINE static inline __attribute__((always_inline))

SIMD_INLINE vf load(const float *p)
{
    return *(const vf_unaligned *)p;
}

SIMD_INLINE void store(float *p, vf v)
{
    *(vf_unaligned *)p = v;
}

SIMD_INLINE vf splat(float x)
{
    return x - (vf){0}; // x - 0 is x, also for -0
}

SIMD_INLINE vf choose(vi mask, vf yes, vf no)
{
    return (vf)(((vi)yes & mask) | ((vi)no & ~mask));
}

SIMD_INLINE vf absolute(vf x)
{
    return (vf)((vi)x & 0x7FFFFFFF);
}

SIMD_INLINE vf exp_tail(vf r)
{
    vf p = splat(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    return p * r + 5.0000001201e-1f;
}

/* exp for lanes above -104 and at most 88.722839 */
SIMD_INLINE vf exp_in_range(vf in)
{
    const vf t = in * 1.44269504088896341f;
    const vi k = __builtin_convertvector(t + choose(t < 0.0f, splat(-0.5f), splat(0.5f)), vi);
    const vf fk = __builtin_convertvector(k, vf);
    const vf r = (in - fk * 0.693359375f) - fk * -2.12194440e-4f;
    const vf y = exp_tail(r) * (r * r) + r + 1.0f;
    const vi k1 = (k + (vi)((vu)k >> 31)) >> 1, k2 = k - k1;
    return y * (vf)((vu)(k1 + 127) << 23) * (vf)((vu)(k2 + 127) << 23);
}

SIMD_INLINE vi is_nan(vf x)
{
    return x != x; // NOLINT(misc-redundant-expression)
}

SIMD_INLINE vf exp_f32(vf x)
{
    const vi above = x > -104.0f, overflow = x > 88.722839f;
    const vf y = exp_in_range(choose(above & ~overflow, x, splat(0)));
    const vf result = choose(overflow, splat(__builtin_inff()), choose(above, y, splat(0)));
    return choose(is_nan(x), x, result);
}

SIMD_INLINE vf expm1_f32(vf x)
{
    return choose(absolute(x) < 0.34657359f, exp_tail(x) * (x * x) + x, exp_f32(x) - 1.0f);
}

SIMD_INLINE vf tanh_f32(vf x)
{
    const vf a = absolute(x), z = x * x;
    vf p = splat(-5.70498872745e-3f);
    p = p * z + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    const vf small = p * z * x + x;
    const vi flat = a > 9.2f;
    const vf e = exp_in_range(choose(a <= 9.2f, a + a, splat(0)));
    const vf y = choose(flat, splat(1.0f), 1.0f - 2.0f / (e + 1.0f));
    const vf big = choose(x < 0.0f, -y, y);
    return choose(a < 0.625f, small, choose(is_nan(x), x, big));
}

SIMD_INLINE vf sigmoid_f32(vf x)
{
    const vf a = -absolute(x);
    const vi above = a > -104.0f;
    const vf e = choose(above, exp_in_range(choose(above, a, splat(0))), splat(0)), d = 1.0f + e;
    const vi positive = x >= 0.0f;
    const vf y = choose(positive, splat(1.0f), e) / d, lost = e - (d - 1.0f);
    const vf result = choose(positive, y, y - y * (1.0f - y) * lost);
    return choose(is_nan(x), x, result);
}

SIMD_INLINE vf activate(deft_activation a, vf x)
{
    switch (a.kind) {
    case DEFT_ACT_RELU:
        return choose(x <= 0.0f, splat(0), x);
    case DEFT_ACT_LEAKY_RELU:
        return choose(x < 0.0f, a.alpha * x, x);
    case DEFT_ACT_ELU:
        return choose(x < 0.0f, a.alpha * expm1_f32(x), x);
    case DEFT_ACT_SELU:
        return choose(x < 0.0f, a.beta * (a.alpha * expm1_f32(x)), a.beta * x);
    case DEFT_ACT_SILU:
        return x * sigmoid_f32(x);
    case DEFT_ACT_GELU_TANH:
        return 0.5f * x * (1.0f + tanh_f32(0.797884560802865356f * (x + 0.044715f * (x * x * x))));
    case DEFT_ACT_TANH:
        return tanh_f32(x);
    case DEFT_ACT_SIGMOID:
        return sigmoid_f32(x);
    case DEFT_ACT_SOFTSIGN:
        return x / (1.0f + absolute(x));
    case DEFT_ACT_CLIP:
        return choose(x < a.alpha, splat(a.alpha), choose(x > a.beta, splat(a.beta), x));
    default:
        return x;
    }
}

static void activation(deft_activation a, float *y, uint32_t n)
{
    if (a.kind == DEFT_ACT_NONE) return;
    if (a.kind == DEFT_ACT_GELU || a.kind == DEFT_ACT_SOFTPLUS) { // rare, and long
        deft_kernels_f32_ref.activation(a, y, n);
        return;
    }
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES) store(y + i, activate(a, load(y + i)));
    if (i < n) {
        float rest[LANES] = {0};
        memcpy(rest, y + i, (n - i) * sizeof *y);
        store(rest, activate(a, load(rest)));
        memcpy(y + i, rest, (n - i) * sizeof *y);
    }
}

static void gru(const deft_gru_f32 *g, const float *h, float *h_new)
{
    const uint32_t n = g->n, whole = n / LANES * LANES;
    float *const xr = g->x, *const xz = xr + n, *const xn = xz + n;
    const float *const hr = g->h, *const hz = hr + n, *const hn = hz + n;
    // In two passes: short independent chains keep the arithmetic units busier than long ones.
    for (uint32_t i = 0; i < whole; i += LANES) {
        const vf r = sigmoid_f32(load(xr + i) + load(hr + i));
        store(xn + i, load(xn + i) + r * load(hn + i));
        store(xz + i, sigmoid_f32(load(xz + i) + load(hz + i)));
    }
    for (uint32_t i = 0; i < whole; i += LANES) {
        const vf c = tanh_f32(load(xn + i));
        store(h_new + i, c + load(xz + i) * (load(h + i) - c));
    }
    for (uint32_t i = whole; i < n; i++) {
        const float r = deft_sigmoid_f32(xr[i] + hr[i]), z = deft_sigmoid_f32(xz[i] + hz[i]);
        const float c = deft_tanh_f32(xn[i] + r * hn[i]);
        h_new[i] = c + z * (h[i] - c);
    }
}

/* count vectors of rows at once: as many independent chains of additions. stride: floats from one
 * column to the next. */
SIMD_INLINE void columns(const float *w, size_t stride, const deft_matrix_f32 *m, const float *x,
                         float *y, const uint32_t count)
{
    vf acc[SIMD_CHAINS];
    for (uint32_t k = 0; k < count; k++) acc[k] = splat(0);
    for (uint32_t i = 0; i < m->n_in; i++, w += stride) {
        const vf xi = splat(x[i]);
        for (uint32_t k = 0; k < count; k++) acc[k] += load(w + (size_t)k * LANES) * xi;
    }
    for (uint32_t k = 0; k < count; k++) store(y + (size_t)k * LANES, acc[k]);
}

/* The rows of a panel that fill no vector: four at a time, then one by one. */
static void last_rows(const float *w, size_t stride, const deft_matrix_f32 *m, const float *x,
                      float *y, uint32_t rows)
{
    typedef float v4 __attribute__((vector_size(16)));
    typedef float v4_unaligned __attribute__((vector_size(16), aligned(4), may_alias));
    uint32_t k = 0;
    for (; k + 8 <= rows; k += 8) {
        v4 a = {0}, b = {0};
        for (uint32_t i = 0; i < m->n_in; i++) {
            const float *const column = w + i * stride + k;
            a += *(const v4_unaligned *)column * x[i];
            b += *(const v4_unaligned *)(column + 4) * x[i];
        }
        *(v4_unaligned *)(y + k) = a;
        *(v4_unaligned *)(y + k + 4) = b;
    }
    for (; k + 4 <= rows; k += 4) {
        v4 a = {0};
        for (uint32_t i = 0; i < m->n_in; i++) {
            a += *(const v4_unaligned *)(w + i * stride + k) * x[i];
        }
        *(v4_unaligned *)(y + k) = a;
    }
    for (; k < rows; k++) {
        float a = 0;
        for (uint32_t i = 0; i < m->n_in; i++) a += w[i * stride + k] * x[i];
        y[k] = a;
    }
}

static void dense_panels(const deft_matrix_f32 *m, const float *x, float *y)
{
    const float *w = m->weight;
    for (uint32_t o = 0, width; o < m->n_out; o += width) {
        const uint32_t left = m->n_out - o;
        width = left < DEFT_PANEL ? left : DEFT_PANEL;
        uint32_t k = 0;
        for (; k + SIMD_CHAINS * LANES <= width; k += SIMD_CHAINS * LANES) {
            columns(w + k, width, m, x, y + o + k, SIMD_CHAINS);
        }
        for (; k + SIMD_CHAINS / 2 * LANES <= width; k += SIMD_CHAINS / 2 * LANES) {
            columns(w + k, width, m, x, y + o + k, SIMD_CHAINS / 2);
        }
        for (; k + LANES <= width; k += LANES) columns(w + k, width, m, x, y + o + k, 1);
        if (k < width) last_rows(w + k, width, m, x, y + o + k, width - k);
        w += (size_t)width * m->n_in;
    }
    for (uint32_t o = 0; m->bias && o < m->n_out; o++) y[o] += m->bias[o];
}

#define SIMD_KERNELS                                                                               \
    {                                                                                              \
        deft_dense_rows_f32_ref, dense_panels, activation, gru                                     \
    }

#endif
