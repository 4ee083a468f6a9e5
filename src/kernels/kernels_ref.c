/* kernels_ref.c - plain C: what defines the results, and what small devices run. Part of the
 * freestanding runtime. */
#include "base/math_f32.h"
#include "kernels/kernel_set.h"

void deft_dense_rows_f32_ref(const deft_matrix_f32 *m, const float *x, float *y)
{
    const float *w = m->weight;
    for (uint32_t o = 0; o < m->n_out; o++, w += m->n_in) {
        float acc = 0;
        for (uint32_t i = 0; i < m->n_in; i++) acc += w[i] * x[i];
        y[o] = m->bias ? acc + m->bias[o] : acc;
    }
}

static void dense_panels(const deft_matrix_f32 *m, const float *x, float *y)
{
    const float *w = m->weight;
    for (uint32_t o = 0; o < m->n_out;) {
        const uint32_t left = m->n_out - o, width = left < DEFT_PANEL ? left : DEFT_PANEL;
        for (uint32_t k = 0; k < width; k++) {
            float acc = 0;
            for (uint32_t i = 0; i < m->n_in; i++) acc += w[(size_t)i * width + k] * x[i];
            y[o + k] = m->bias ? acc + m->bias[o + k] : acc;
        }
        w += (size_t)width * m->n_in;
        o += width;
    }
}

static void activation(deft_activation a, float *y, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) y[i] = deft_activation_f32(a, y[i]);
}

const deft_kernels deft_kernels_ref = {"ref", deft_dense_rows_f32_ref, dense_panels, activation};
