/* kernels_q_ref.c - integer matrices in rows and recurrent gates, in plain C: what defines the
 * results, and what small devices run. Part of the freestanding runtime. */
#include "kernels/fixed.h"

/* A row against the inputs. Sums are modulo 2^32 on the way; the bounds say what comes out. */
typedef int32_t dot_fn(const DEFT_FLASH void *w, const void *x, uint32_t n);

static void dense_rows(const deft_matrix_q *m, const void *x, const deft_output_q *out, void *y,
                       dot_fn *dot)
{
    const DEFT_FLASH uint8_t *w = (const DEFT_FLASH uint8_t *)m->weight;
    const uint32_t step = m->format == DEFT_NUM_S4 ? (m->n_in + 1) / 2 : m->n_in;
    for (uint32_t o = 0; o < m->n_out; o++, w += step) {
        const int32_t acc = (m->bias ? m->bias[o] : 0) + dot(w, x, m->n_in);
        deft_put(out, deft_requant(acc, m->multiplier[o], m->shift), y, o);
    }
}

static int32_t dot_s8_u8(const DEFT_FLASH void *w, const void *x, uint32_t n)
{
    const DEFT_FLASH int8_t *const a = (const DEFT_FLASH int8_t *)w;
    const uint8_t *const b = (const uint8_t *)x;
    int32_t acc = 0;
    for (uint32_t i = 0; i < n; i++) acc += a[i] * b[i]; // 16 bits hold these products
    return acc;
}

static int32_t dot_s8_s16(const DEFT_FLASH void *w, const void *x, uint32_t n)
{
    const DEFT_FLASH int8_t *const a = (const DEFT_FLASH int8_t *)w;
    const int16_t *const b = (const int16_t *)x;
    int32_t acc = 0;
    for (uint32_t i = 0; i < n; i++) acc += (int32_t)a[i] * b[i];
    return acc;
}

/* Even columns are the low halves of bytes. */
static int32_t dot_s4_u8(const DEFT_FLASH void *w, const void *x, uint32_t n)
{
    const DEFT_FLASH uint8_t *const a = (const DEFT_FLASH uint8_t *)w;
    const uint8_t *const b = (const uint8_t *)x;
    int32_t acc = 0;
    for (uint32_t i = 0; i < n; i++) acc += ((a[i / 2] >> 4 * (i & 1) & 15) - 8) * b[i];
    return acc;
}

static int32_t dot_s4_s16(const DEFT_FLASH void *w, const void *x, uint32_t n)
{
    const DEFT_FLASH uint8_t *const a = (const DEFT_FLASH uint8_t *)w;
    const int16_t *const b = (const int16_t *)x;
    int32_t acc = 0;
    for (uint32_t i = 0; i < n; i++) acc += (int32_t)((a[i / 2] >> 4 * (i & 1) & 15) - 8) * b[i];
    return acc;
}

void deft_dense_s8_u8_ref(const deft_matrix_q *m, const void *x, const deft_output_q *out, void *y)
{
    dense_rows(m, x, out, y, dot_s8_u8);
}

void deft_dense_s8_s16_ref(const deft_matrix_q *m, const void *x, const deft_output_q *out, void *y)
{
    dense_rows(m, x, out, y, dot_s8_s16);
}

void deft_dense_s4_u8_ref(const deft_matrix_q *m, const void *x, const deft_output_q *out, void *y)
{
    dense_rows(m, x, out, y, dot_s4_u8);
}

void deft_dense_s4_s16_ref(const deft_matrix_q *m, const void *x, const deft_output_q *out, void *y)
{
    dense_rows(m, x, out, y, dot_s4_s16);
}

/* Weights of 16 bits: sums of 64 bits, then rounded to 32. */
static void dense_s16(const deft_matrix_q *m, const void *x, uint8_t format,
                      const deft_output_q *out, void *y)
{
    const DEFT_FLASH int16_t *w = (const DEFT_FLASH int16_t *)m->weight;
    for (uint32_t o = 0; o < m->n_out; o++, w += m->n_in) {
        int64_t acc = m->bias ? m->bias[o] : 0;
        for (uint32_t i = 0; i < m->n_in; i++) acc += (int64_t)w[i] * deft_input(format, x, i);
        const int32_t v = deft_narrow(acc, m->preshift);
        deft_put(out, deft_requant(v, m->multiplier[o], m->shift), y, o);
    }
}

void deft_dense_s16_u8_ref(const deft_matrix_q *m, const void *x, const deft_output_q *out, void *y)
{
    dense_s16(m, x, DEFT_NUM_U8, out, y);
}

void deft_dense_s16_s16_ref(const deft_matrix_q *m, const void *x, const deft_output_q *out,
                            void *y)
{
    dense_s16(m, x, DEFT_NUM_S16, out, y);
}

void deft_gru_q_ref(const deft_gru_q *g, const int16_t *h, int16_t *h_new)
{
    const uint32_t n = g->n;
    for (uint32_t i = 0; i < n; i++) {
        const int32_t r = deft_sigmoid_q15(&g->tanh, (int32_t)g->x[i] + g->u[i]);
        const int32_t z = deft_sigmoid_q15(&g->tanh, (int32_t)g->x[n + i] + g->u[n + i]);
        const int32_t s = g->x[2 * n + i] + deft_mul_q15(r, g->u[2 * n + i]);
        const int32_t c = deft_table_at(&g->tanh, deft_clamp16(s));
        const int32_t v = deft_clamp16(c + deft_mul_q15(z, h[i] - c));
        h_new[i] = (int16_t)deft_round16(v, g->state_round);
    }
}

void deft_lstm_q_ref(const deft_lstm_q *g, int16_t *c, int16_t *h_new)
{
    const uint32_t n = g->n, e = g->cell_shift;
    for (uint32_t k = 0; k < n; k++) {
        const int32_t in = deft_sigmoid_q15(&g->tanh, (int32_t)g->x[k] + g->u[k]);
        const int32_t f = deft_sigmoid_q15(&g->tanh, (int32_t)g->x[n + k] + g->u[n + k]);
        const int32_t s = deft_clamp16((int32_t)g->x[2 * n + k] + g->u[2 * n + k]);
        const int32_t o = deft_sigmoid_q15(&g->tanh, (int32_t)g->x[3 * n + k] + g->u[3 * n + k]);
        const int32_t add = in * deft_table_at(&g->tanh, s);
        const int32_t cell =
            deft_clamp16(deft_mul_q15(f, c[k]) + ((add + ((int32_t)1 << (14 + e))) >> (15 + e)));
        const int32_t u = e >= 3 ? deft_clamp16(cell * ((int32_t)1 << (e - 3)))
                                 : (cell + (1 << (2 - e))) >> (3 - e);
        c[k] = (int16_t)cell;
        const int32_t v = deft_mul_q15(o, deft_table_at(&g->tanh, u));
        h_new[k] = (int16_t)deft_round16(v, g->state_round);
    }
}

void deft_round_gates(int16_t *y, uint32_t n, uint32_t bits)
{
    for (uint32_t i = 0; bits && i < n; i++) y[i] = (int16_t)deft_round16(y[i], bits);
}

void deft_gru_reset_q_ref(const deft_gru_q *g, const int16_t *h, int16_t *u)
{
    for (uint32_t i = 0; i < g->n; i++) {
        const int32_t r = deft_sigmoid_q15(&g->tanh, (int32_t)g->x[i] + u[i]);
        u[i] = (int16_t)deft_mul_q15(r, h[i]);
    }
}

void deft_gru_before_q_ref(const deft_gru_q *g, const int16_t *h, int16_t *h_new)
{
    const uint32_t n = g->n;
    for (uint32_t i = 0; i < n; i++) {
        const int32_t z = deft_sigmoid_q15(&g->tanh, (int32_t)g->x[n + i] + g->u[n + i]);
        const int32_t s = deft_clamp16((int32_t)g->x[2 * n + i] + g->u[2 * n + i]);
        const int32_t c = deft_table_at(&g->tanh, s);
        const int32_t v = deft_clamp16(c + deft_mul_q15(z, h[i] - c));
        h_new[i] = (int16_t)deft_round16(v, g->state_round);
    }
}
