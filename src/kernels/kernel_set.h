/* kernel_set.h - the operations a policy is made of. kernels_ref.c defines the results; every other
 * set gives the same bits (float too: sums run left to right, unfused). No pointer needs more than
 * its type's alignment, but matrices in panels are fastest at multiples of 64 bytes.
 * Part of the freestanding runtime. */
#ifndef DEFT_KERNELS_KERNEL_SET_H
#define DEFT_KERNELS_KERNEL_SET_H

#include "deft/activation.h"
#include "deft/policy.h"
#include "image/matrix.h"

#include <stddef.h>
#include <stdint.h>

enum { DEFT_PANEL = 128 }; // rows interleaved in a panel

/* A matrix [n_out][n_in] and its bias.
 * Rows: row-major. Panels: rows 128 p to 128 p + 127 as [n_in][128]; where n_out is no multiple of
 * 128 the last panel is as narrow as the rows that are left. */
typedef struct deft_matrix_f32 {
    const DEFT_FLASH float *weight;
    const DEFT_FLASH float *bias; // [n_out], NULL: zeros
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

/* How a 32-bit result v = requant(acc) becomes a number (docs/format.md, "Outputs"):
 *   no table:  q = clamp(v + zero, lo, hi)
 *   table:     T = table(clamp16(v)); S16: q = clamp(T, lo, hi);
 *              U8: q = clamp((T + 32768 + 128) >> 8, lo, hi) */
typedef struct deft_output_q {
    deft_table_q table;
    int32_t zero, lo, hi;
    uint8_t format; // DEFT_NUM_U8, S16
} deft_output_q;

/* y[o] = output(requant(bias[o] + sum w[o][i] x[i])); x: U8 or S16 [n_in], y [n_out] as out says.
 * y does not overlap x. bounds: no partial sum leaves 32 bits, in any order (S16 weights: 64), and
 * |acc << shift| < 2^30: images are refused otherwise. */
typedef void deft_dense_q(const deft_matrix_q *m, const void *x, const deft_output_q *out, void *y);

/* The elementwise part of an integer GRU that resets after the matrix product: n units, gates r, z,
 * n of W x and U h, [3][n] each, numbers and rounding as in docs/format.md. */
typedef struct deft_gru_q {
    const int16_t *x, *u;
    deft_table_q tanh; // odd, Q12 -> Q15
    uint32_t n;
    uint32_t state_round;
} deft_gru_q;

/* That of an LSTM: gates i, f, g, o, [4][n] each. */
typedef struct deft_lstm_q {
    const int16_t *x, *u;
    deft_table_q tanh;
    uint32_t n;
    uint32_t state_round, cell_shift;
} deft_lstm_q;

/* Layers without a matrix: see deft_pointwise_q_ref. */
typedef struct deft_pointwise_q {
    const deft_matrix_q *m; // one row of S16 weights for all operands, NULL: see the kinds
    uint8_t kind;           // DEFT_IMAGE_LAYERNORM, ACTIVATION, AFFINE, ADD, MUL
    uint8_t in_format;
    uint32_t n; // outputs
    uint64_t epsilon;
} deft_pointwise_q;

enum { DEFT_Q_S8, DEFT_Q_S4, DEFT_Q_S16, DEFT_Q_WEIGHTS }; // index of a weight format
enum { DEFT_Q_IN_U8, DEFT_Q_IN_S16, DEFT_Q_INPUTS };       // of an input format
enum { DEFT_Q_FOLDED = 2, DEFT_Q_LAYOUTS };                // index: DEFT_LAYOUT_..., or folded

/* The integer operations. NULL: not served, and images that need it are refused. */
typedef struct deft_kernels_q {
    deft_dense_q *dense[DEFT_Q_LAYOUTS][DEFT_Q_WEIGHTS][DEFT_Q_INPUTS];
    void (*gru)(const deft_gru_q *g, const int16_t *h, int16_t *h_new); // h_new may be h
    void (*lstm)(const deft_lstm_q *g, int16_t *c, int16_t *h_new);     // c is replaced
    void (*pointwise)(const deft_pointwise_q *p, const void *x, const deft_output_q *out, void *y);
    /* For hosts: fills bias [n_out] with what dense of layout DEFT_Q_FOLDED takes in the place of
     * m->bias, for a matrix in panels whose outputs have no table. Returns 0 where there is nothing
     * to be gained. NULL: never is. */
    int (*fold)(const deft_matrix_q *m, uint8_t in_format, int32_t *bias);
} deft_kernels_q;

/* y[o] = (0 + w[o][0] x[0] + w[o][1] x[1] + ...) + bias[o]; y does not overlap x */
typedef void deft_dense_f32(const deft_matrix_f32 *m, const float *x, float *y);

typedef struct deft_kernels_f32 {
    deft_dense_f32 *dense_rows, *dense_panels;
    /* y[i] = deft_activation_f32(a, y[i]) */
    void (*activation)(deft_activation a, float *y, uint32_t n);
    void (*gru)(const deft_gru_f32 *g, const float *h, float *h_new);
} deft_kernels_f32;

/* A set: what it does not have of its own it takes from another. */
struct deft_kernels {
    const char *name;
    const deft_kernels_f32 *f32; // NULL: no float policies
    const deft_kernels_q *q;     // NULL: no integer policies
};

extern const deft_kernels deft_kernels_ref; // everything
extern const deft_kernels deft_kernels_int; // integers alone, matrices in rows: for small devices
extern const deft_kernels_f32 deft_kernels_f32_ref;
extern const deft_kernels_q deft_kernels_q_ref, deft_kernels_q_rows;

/* The reference, for sets that have nothing better. */
void deft_dense_rows_f32_ref(const deft_matrix_f32 *m, const float *x, float *y);
void deft_gru_f32_ref(const deft_gru_f32 *g, const float *h, float *h_new);
deft_dense_q deft_dense_s8_u8_ref, deft_dense_s8_s16_ref, deft_dense_s4_u8_ref,
    deft_dense_s4_s16_ref, deft_dense_s16_u8_ref, deft_dense_s16_s16_ref; // rows
deft_dense_q deft_dense_panels_u8_ref, deft_dense_panels_s16_ref;         // S8 and S4
void deft_gru_q_ref(const deft_gru_q *g, const int16_t *h, int16_t *h_new);
void deft_lstm_q_ref(const deft_lstm_q *g, int16_t *c, int16_t *h_new);
/* Gates to multiples of 2^bits. */
void deft_round_gates(int16_t *y, uint32_t n, uint32_t bits);
/* A GRU whose reset gate scales h before the product of the third gate: first r * h takes the place
 * of the r of u; then, with that product in u, the rest. */
void deft_gru_reset_q_ref(const deft_gru_q *g, const int16_t *h, int16_t *u);
void deft_gru_before_q_ref(const deft_gru_q *g, const int16_t *h, int16_t *h_new);
void deft_pointwise_q_ref(const deft_pointwise_q *p, const void *x, const deft_output_q *out,
                          void *y);

#endif
