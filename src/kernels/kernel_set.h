/* kernel_set.h - the operations a policy is made of. kernels_ref.c defines the results; every other
 * set gives the same bits (float too: sums run left to right, unfused). No pointer needs more than
 * its type's alignment, but matrices in panels are fastest at multiples of 64 bytes.
 * Part of the freestanding runtime. */
#ifndef DEFT_KERNELS_KERNEL_SET_H
#define DEFT_KERNELS_KERNEL_SET_H

#include "deft/activation.h"
#include "deft/policy.h"

#include <stddef.h>
#include <stdint.h>

enum { DEFT_PANEL = 128 }; // rows interleaved in a panel

/* A matrix [n_out][n_in] and its bias.
 * Rows: row-major. Panels: rows 128 p to 128 p + 127 as [n_in][128]; where n_out is no multiple of
 * 128 the last panel is as narrow as the rows that are left. */
typedef struct deft_matrix_f32 {
    const float *weight;
    const float *bias; // [n_out], NULL: zeros
    uint32_t n_in, n_out;
} deft_matrix_f32;

/* The elementwise part of a GRU that resets after the matrix product: n units, gates r, z, n of W x
 * and U h with their biases, [3][n] each.
 *   r = sigmoid(xr + hr), z = sigmoid(xz + hz), c = tanh(xn + r * hn), h' = c + z * (h - c) */
typedef struct deft_gru_f32 {
    float *x; // overwritten
    const float *h;
    uint32_t n;
} deft_gru_f32;

struct deft_kernels {
    const char *name;
    /* y[o] = (0 + w[o][0] x[0] + w[o][1] x[1] + ...) + bias[o]; y does not overlap x */
    void (*dense_rows_f32)(const deft_matrix_f32 *m, const float *x, float *y);
    void (*dense_panels_f32)(const deft_matrix_f32 *m, const float *x, float *y);
    /* y[i] = deft_activation_f32(a, y[i]) */
    void (*activation_f32)(deft_activation a, float *y, uint32_t n);
    void (*gru_f32)(const deft_gru_f32 *g, const float *h, float *h_new);
};

extern const deft_kernels deft_kernels_ref;
void deft_dense_rows_f32_ref(const deft_matrix_f32 *m, const float *x, float *y);

#endif
