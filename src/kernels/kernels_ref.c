/* kernels_ref.c - plain C: what defines the results, and what small devices run. Part of the
 * freestanding runtime. */
#include "base/float_rules.h"

#include "base/math_f32.h"
#include "kernels/kernel_set.h"

void deft_dense_rows_f32_ref(const deft_matrix_f32 *m, const float *x, float *y)
{
    const DEFT_FLASH float *w = m->weight;
    for (uint32_t o = 0; o < m->n_out; o++, w += m->n_in) {
        float acc = 0;
        for (uint32_t i = 0; i < m->n_in; i++) acc += w[i] * x[i];
        y[o] = m->bias ? acc + m->bias[o] : acc;
    }
}

static void dense_panels(const deft_matrix_f32 *m, const float *x, float *y)
{
    const DEFT_FLASH float *w = m->weight;
    for (uint32_t o = 0, width; o < m->n_out; o += width) {
        const uint32_t left = m->n_out - o;
        width = left < DEFT_PANEL ? left : DEFT_PANEL;
        for (uint32_t k = 0; k < width; k++) y[o + k] = 0.0f + w[k] * x[0];
        w += width;
        for (uint32_t i = 1; i < m->n_in; i++, w += width) {
            const float xi = x[i];
            for (uint32_t k = 0; k < width; k++) y[o + k] += w[k] * xi;
        }
    }
    for (uint32_t o = 0; m->bias && o < m->n_out; o++) y[o] += m->bias[o];
}

static void activation(deft_activation a, float *y, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) y[i] = deft_activation_f32(a, y[i]);
}

void deft_gru_f32_ref(const deft_gru_f32 *g, const float *h, float *h_new)
{
    const uint32_t n = g->n;
    for (uint32_t i = 0; i < n; i++) {
        const float r = deft_sigmoid_f32(g->x[i] + g->h[i]);
        const float z = deft_sigmoid_f32(g->x[n + i] + g->h[n + i]);
        const float c = deft_tanh_f32(g->x[2 * n + i] + r * g->h[2 * n + i]);
        h_new[i] = c + z * (h[i] - c);
    }
}

const deft_kernels_f32 deft_kernels_f32_ref = {deft_dense_rows_f32_ref, dense_panels, activation,
                                               deft_gru_f32_ref};

const deft_kernels deft_kernels_ref = {"ref", &deft_kernels_f32_ref, &deft_kernels_q_ref};
