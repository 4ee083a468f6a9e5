/* kernels_q_vec.h - the body of the integer vector kernels: from accumulators to numbers, tables,
 * gates. See kernels_q_types.h. Every lane does what fixed.h does. */
#ifndef DEFT_KERNELS_Q_VEC_H
#define DEFT_KERNELS_Q_VEC_H

#include "kernels/fixed.h"
#include "kernels/kernel_set.h"
#include "kernels/kernels_q_types.h"

Q_INLINE qi q_clamp(qi v, int32_t lo, int32_t hi)
{
    return lesser(greater(v, q_splat(lo)), q_splat(hi));
}

Q_INLINE qi q_clamp16(qi v)
{
    return q_clamp(v, INT16_MIN, INT16_MAX);
}

/* A table, its shifts worked out. */
typedef struct q_table {
    const int16_t *entry;
    int32_t shift, one, half; // 2^shift inputs an entry
} q_table;

Q_INLINE q_table q_table_of(const deft_table_q *t)
{
    const int32_t b = (t->odd ? 15 : 16) - t->log2_n;
    const q_table out = {t->entry, b, 1 << b, 1 << (b - 1)};
    return out;
}

/* e[i] (1 - f) + e[i + 1] f, f in units of 2^-shift: what e[i] + (e[i + 1] - e[i]) f comes to */
Q_INLINE qi q_between(const q_table *t, qi a)
{
    const qi f = a & (t->one - 1);
    return (dot_pairs(pairs_at(t->entry, a >> q_splat(t->shift)), (f << 16) + (t->one - f)) +
            t->half) >>
           q_splat(t->shift);
}

Q_INLINE qi q_odd_at(const q_table *t, qi x) // as if x were limited to 16 bits before
{
    const qi sign = x >> 31, y = q_between(t, lesser(magnitude(x), q_splat(INT16_MAX)));
    return (y ^ sign) - sign;
}

Q_INLINE qi q_sigmoid(const q_table *tanh, qi s)
{
    return (q_odd_at(tanh, s) + 32768) >> 1;
}

Q_INLINE qi q_mul_q15(qi a, qi b) // |a| <= 32767, |b| <= 65535
{
    return (a * b + (1 << 14)) >> 15;
}

Q_INLINE qi q_mul_q15_pairs(qi a, qi b) // a: 0 to 32767, b: 16 bits
{
    return (dot_pairs(a, b) + (1 << 14)) >> 15; // nothing in the high half of a
}

Q_INLINE qi q_round16(qi v, uint32_t bits)
{
    if (bits == 0) return v;
    return q_clamp16(((v + q_splat(1 << (bits - 1))) >> q_splat((int32_t)bits))
                     << q_splat((int32_t)bits));
}

Q_INLINE void q_put16(int16_t *y, qi v, uint32_t n)
{
    if (n >= QLANES) {
        store16(y, v);
        return;
    }
    int16_t all[SIMD_LANES];
    store16(all, v);
    memcpy(y, all, n * sizeof *y);
}

Q_INLINE void q_put8(uint8_t *y, qi v, uint32_t n)
{
    if (n >= QLANES) {
        store8(y, v);
        return;
    }
    uint8_t all[SIMD_LANES];
    store8(all, v);
    memcpy(y, all, n);
}

/* Numbers from p on, of which there are n or more than fill a vector. */
Q_INLINE qi q_first(const int32_t *p, uint32_t n)
{
    return n < QLANES ? q_load_some(p, n) : q_load(p);
}

enum { Q_PLAIN, Q_GATE, Q_ODD, Q_FULL }; // no table, none and the whole range of 16 bits, tables

/* What becomes of sums, by value: the compiler cannot know that the outputs overlap nothing. */
typedef struct q_ending {
    q_table table;
    qi lo, hi;
    q_rounding rounding;
    const int32_t *multiplier, *bias;
} q_ending;

Q_INLINE qi q_output(const q_ending *e, qi v, const int table, const int bytes)
{
    if (table == Q_GATE) return v; // storing limits it
    if (table == Q_ODD) v = q_odd_at(&e->table, v);
    if (table == Q_FULL) v = q_between(&e->table, q_clamp16(v) + 32768);
    if (table > Q_GATE && bytes) v = (v + (32768 + 128)) >> 8;
    return lesser(greater(v, e->lo), e->hi);
}

/* ((acc << s) m + 2^30) >> 31, plus zero, in one shift. */
Q_INLINE q_rounding q_rounding_of(uint32_t s, int32_t zero)
{
    const q_rounding r = {((int64_t)1 << (30 - s)) + zero * ((int64_t)1 << (31 - s)),
                          31 - (int32_t)s};
    return r;
}

/* Rows from k on, n of them or a whole vector. */
Q_INLINE void q_finish_some(const q_ending *e, const int32_t *acc, uint32_t k, uint32_t n, void *y,
                            const int table, const int bytes)
{
    qi sum = q_load(acc + k);
    if (e->bias) sum += q_first(e->bias + k, n);
    const qi v = scale(sum, q_first(e->multiplier + k, n), e->rounding);
    const qi q = q_output(e, v, table, bytes);
    if (bytes) {
        q_put8((uint8_t *)y + k, q, n);
    } else {
        q_put16((int16_t *)y + k, q, n);
    }
}

/* Rows first to first + n - 1 of a layer, from their sums, which are padded to whole vectors. */
Q_INLINE void q_finish_as(const deft_matrix_q *m, const deft_output_q *out, const int32_t *acc,
                          uint32_t first, uint32_t n, void *y, const int table, const int bytes)
{
    q_ending e = {.lo = q_splat(out->lo),
                  .hi = q_splat(out->hi),
                  .rounding = q_rounding_of(m->shift, table <= Q_GATE ? out->zero : 0),
                  .multiplier = m->multiplier + first,
                  .bias = m->bias ? m->bias + first : NULL};
    if (table > Q_GATE) e.table = q_table_of(&out->table);
    void *const to = bytes ? (void *)((uint8_t *)y + first) : (void *)((int16_t *)y + first);
    uint32_t k = 0;
    for (; k + QLANES <= n; k += QLANES) q_finish_some(&e, acc, k, QLANES, to, table, bytes);
    if (k < n) q_finish_some(&e, acc, k, n - k, to, table, bytes);
}

static void q_finish(const deft_matrix_q *m, const deft_output_q *out, const int32_t *acc,
                     uint32_t first, uint32_t n, void *y)
{
    int table = !out->table.entry ? Q_PLAIN : out->table.odd ? Q_ODD : Q_FULL;
    if (table == Q_PLAIN && out->format == DEFT_NUM_S16 && out->lo == INT16_MIN &&
        out->hi == INT16_MAX) {
        table = Q_GATE;
    }
    if (out->format == DEFT_NUM_U8) {
        if (table == Q_PLAIN) q_finish_as(m, out, acc, first, n, y, Q_PLAIN, 1);
        if (table == Q_ODD) q_finish_as(m, out, acc, first, n, y, Q_ODD, 1);
        if (table == Q_FULL) q_finish_as(m, out, acc, first, n, y, Q_FULL, 1);
    } else {
        if (table == Q_PLAIN) q_finish_as(m, out, acc, first, n, y, Q_PLAIN, 0);
        if (table == Q_GATE) q_finish_as(m, out, acc, first, n, y, Q_GATE, 0);
        if (table == Q_ODD) q_finish_as(m, out, acc, first, n, y, Q_ODD, 0);
        if (table == Q_FULL) q_finish_as(m, out, acc, first, n, y, Q_FULL, 0);
    }
}

/* n <= QLANES units from number i on of the gates at p. */
Q_INLINE qi q_gate(const int16_t *p, uint32_t i, uint32_t n)
{
    return n < QLANES ? q_load16_some(p + i, n) : q_load16(p + i);
}

#ifndef Q_GRU_OF_ITS_OWN
static void gru_q(const deft_gru_q *g, const int16_t *h, int16_t *h_new)
{
    const uint32_t n = g->n;
    const q_table t = q_table_of(&g->tanh);
    const int16_t *const xr = g->x, *const xz = xr + n, *const xn = xz + n;
    const int16_t *const ur = g->u, *const uz = ur + n, *const un = uz + n;
    for (uint32_t i = 0; i < n; i += QLANES) {
        const uint32_t k = n - i < QLANES ? n - i : QLANES;
        const qi r = q_sigmoid(&t, q_gate(xr, i, k) + q_gate(ur, i, k));
        const qi z = q_sigmoid(&t, q_gate(xz, i, k) + q_gate(uz, i, k));
        const qi s = q_gate(xn, i, k) + q_mul_q15_pairs(r, q_gate(un, i, k));
        const qi c = q_odd_at(&t, s);
        const qi v = q_clamp16(c + q_mul_q15(z, q_gate(h, i, k) - c));
        q_put16(h_new + i, q_round16(v, g->state_round), k);
    }
}

#endif

static void lstm_q(const deft_lstm_q *g, int16_t *c, int16_t *h_new)
{
    const uint32_t n = g->n;
    const int32_t e = (int32_t)g->cell_shift;
    const q_table t = q_table_of(&g->tanh);
    for (uint32_t i = 0; i < n; i += QLANES) {
        const uint32_t k = n - i < QLANES ? n - i : QLANES;
        qi gate[4];
        for (uint32_t j = 0; j < 4; j++) {
            gate[j] = q_gate(g->x + j * n, i, k) + q_gate(g->u + j * n, i, k);
        }
        const qi in = q_sigmoid(&t, gate[0]), f = q_sigmoid(&t, gate[1]);
        const qi o = q_sigmoid(&t, gate[3]), add = dot_pairs(in, q_odd_at(&t, gate[2]));
        const qi cell = q_clamp16(q_mul_q15_pairs(f, q_gate(c, i, k)) +
                                  ((add + q_splat(1 << (14 + e))) >> q_splat(15 + e)));
        const qi u = e >= 3 ? q_clamp16(cell << q_splat(e - 3))
                            : (cell + q_splat(1 << (2 - e))) >> q_splat(3 - e);
        q_put16(c + i, cell, k);
        q_put16(h_new + i, q_round16(q_mul_q15_pairs(o, q_odd_at(&t, u)), g->state_round), k);
    }
}

#endif
