/* pointwise_f32.c - what float32 layers do besides products with matrices. Part of the freestanding
 * runtime. */
#include "base/float_rules.h"

#include "base/float_ops.h"
#include "base/math_f32.h"
#include "runtime/step.h"

void deft_add_to_f32(float *y, const float *x, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) y[i] += x[i];
}

void deft_sum_f32(const float *a, const float *b, float *y, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) y[i] = a[i] + b[i];
}

void deft_product_f32(const float *a, const float *b, float *y, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) y[i] = a[i] * b[i];
}

void deft_blend_f32(const float *c, const float *z, const float *h, float *h_new, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) h_new[i] = c[i] + z[i] * (h[i] - c[i]);
}

void deft_cell_f32(const float *gates, const float *c, float *c_new, uint32_t n)
{
    const float *const in = gates, *const f = gates + n, *const g = f + n;
    for (uint32_t i = 0; i < n; i++) c_new[i] = f[i] * c[i] + in[i] * g[i];
}

void deft_affine_f32(const deft_matrix_f32 *m, const float *x, float *y)
{
    for (uint32_t i = 0; i < m->n_out; i++) {
        float v = x[i];
        if (m->weight) v = v * m->weight[i];
        y[i] = m->bias ? v + m->bias[i] : v;
    }
}

void deft_layernorm_f32(const deft_matrix_f32 *m, float epsilon, const float *x, float *y)
{
    const uint32_t n = m->n_out;
    float sum = 0, squares = 0;
    for (uint32_t i = 0; i < n; i++) sum += x[i];
    const float mean = deft_divide_f32(sum, (float)n);
    for (uint32_t i = 0; i < n; i++) {
        const float d = x[i] - mean;
        squares += d * d;
    }
    const float deviation = deft_sqrt_f32(deft_divide_f32(squares, (float)n) + epsilon);
    for (uint32_t i = 0; i < n; i++) y[i] = deft_divide_f32(x[i] - mean, deviation);
    deft_affine_f32(m, y, y);
}

float deft_argmax(const float *y, uint32_t n)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++) {
        if (y[i] > y[best]) best = i;
    }
    return (float)best;
}

void deft_choose(const float *y, const uint8_t *choices, uint32_t n_output, float *act,
                 uint32_t n_act)
{
    for (uint32_t k = 0; k < n_act; k++) {
        const uint32_t n = choices ? deft_image_u16(choices + (size_t)2 * k) : n_output;
        act[k] = deft_argmax(y, n);
        y += n;
    }
}
