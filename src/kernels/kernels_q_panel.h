/* kernels_q_panel.h - the body of the integer matrix kernels, for matrices in panels. Each lane is
 * a row; a vector of weights holds four columns of SIMD_LANES rows. What the products of a vector
 * of weights and four inputs are made with is the including file's (kernels_q_dot.h and others):
 *   typedef inputs                     a piece of the inputs in the form that the products need
 *   void prepare(inputs *in, const void *x, uint32_t n, const int how)
 *                                      n <= Q_PIECE numbers, which stay where they are
 *   void clear(inputs *in)
 *   typedef group                      four inputs, spread over all lanes
 *   group spread(const inputs *in, uint32_t g, const int how)
 *   group spread_rest(...)             the last, incomplete one
 *   sums start(const inputs *in, const int how)     of QLANES rows: what is added to each of them
 *   void mac(sums *s, qw w, group x, const int how)
 *   qi total(const sums *s, const int how)
 *   Q_MOST(how)                        sums that fit the registers: 4 or 8
 * All sums are modulo 2^32 on the way. */
#ifndef DEFT_KERNELS_Q_PANEL_H
#define DEFT_KERNELS_Q_PANEL_H

#include "image/image.h"
#include "kernels/kernels_q_vec.h"

enum {
    Q_ROWS = DEFT_IMAGE_PANEL,
    Q_BLOCK = 128,   // weights of 4 bits that are packed together, in half as many bytes
    Q_UNPACK = 4096, // of them that are unpacked at once
};

/* Columns of a panel. */
typedef struct q_span {
    const uint8_t *weight; // S8: of the first column
    const uint8_t *end;    // of what may be read
    uint32_t width;        // rows
    uint32_t groups, tail; // columns: 4 groups + tail
    uint32_t again;        // not the first ones: sums are added to what there is
} q_span;

Q_INLINE qi q_sum(qi a, qi b)
{
    return (qi)((qu)a + (qu)b);
}

/* Eight sums, each by a name of its own: compilers keep these in registers more readily than they
 * keep an array. X(k) is done for each. */
#define Q_EACH(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#define Q_SUMS(k) sums s##k = k < count ? start(in, how) : (sums){0};

/* The sums t[ways][count] become those of count vectors. */
Q_INLINE void q_add_up(const qi *t, int32_t *acc, const uint32_t count, const uint32_t ways,
                       uint32_t again)
{
#pragma GCC unroll 8
    for (uint32_t k = 0; k < count; k++) {
        int32_t *const to = acc + k * (size_t)QLANES;
        qi sum = t[k];
#pragma GCC unroll 8
        for (uint32_t u = 1; u < ways; u++) sum = q_sum(sum, t[u * count + k]);
        q_store(to, again ? q_sum(sum, q_load(to)) : sum);
    }
}

/* count * QLANES rows from `row` on, `ways` groups at a time: count * ways independent chains. acc
 * [count * QLANES] gets the sums, or, again, is added to. */
Q_INLINE void q_strip_tail(const q_span *p, const inputs *in, uint32_t row, int32_t *acc,
                           const uint32_t count, const uint32_t tail, const int how)
{
    const uint32_t ways = Q_MOST(how) / count;
    const size_t stride = (size_t)4 * p->width;
    const uint8_t *w = p->weight + (size_t)4 * row;
    Q_EACH(Q_SUMS)
    group x;
    uint32_t g = 0;
#define Q_MAC(k)                                                                                   \
    if (k < count * ways) {                                                                        \
        if (k % count == 0) x = spread(in, g + k / count, how);                                    \
        mac(&s##k, q_bytes(w + k / count * stride + k % count * (size_t)QBYTES), x, how);          \
    }
    for (; g + ways <= p->groups; g += ways, w += ways * stride) {
        Q_EACH(Q_MAC)
    }
#undef Q_MAC
#define Q_MAC(k)                                                                                   \
    if (k < count) mac(&s##k, q_bytes(w + k * (size_t)QBYTES), x, how);
    for (; ways > 1 && g < p->groups; g++, w += stride) {
        x = spread(in, g, how);
        Q_EACH(Q_MAC)
    }
#undef Q_MAC
    if (tail) {
        w = p->weight + stride * p->groups + (size_t)row * tail;
        x = spread_rest(in, p->groups, how);
#define Q_MAC(k)                                                                                   \
    if (k < count) mac(&s##k, expand(w + (size_t)k * QLANES * tail, tail), x, how);
        Q_EACH(Q_MAC)
#undef Q_MAC
    }
    qi t[8];
#define Q_TOTAL(k)                                                                                 \
    if (k < count * ways) t[k] = total(&s##k, how);
    Q_EACH(Q_TOTAL)
#undef Q_TOTAL
    q_add_up(t, acc, count, ways, p->again);
}

Q_INLINE void q_strip(const q_span *p, const inputs *in, uint32_t row, int32_t *acc,
                      const uint32_t count, const int how)
{
    if (p->tail == 0) q_strip_tail(p, in, row, acc, count, 0, how);
    if (p->tail == 1) q_strip_tail(p, in, row, acc, count, 1, how);
    if (p->tail == 2) q_strip_tail(p, in, row, acc, count, 2, how);
    if (p->tail == 3) q_strip_tail(p, in, row, acc, count, 3, how);
}

/* Fewer rows than a vector has lanes: what the other lanes get is not looked at. */
Q_INLINE void q_narrow(const q_span *p, const inputs *in, int32_t *acc, const int how)
{
    const size_t stride = (size_t)4 * p->width, readable = (size_t)(p->end - p->weight);
    uint32_t safe = readable < QBYTES ? 0 : (uint32_t)((readable - QBYTES) / stride + 1), g = 0;
    if (safe > p->groups) safe = p->groups;
    const uint8_t *w = p->weight;
    const uint32_t ways = Q_MOST(how), count = 1;
    Q_EACH(Q_SUMS)
#define Q_MAC(k)                                                                                   \
    if (k < ways) mac(&s##k, q_bytes(w + (size_t)k * stride), spread(in, g + k, how), how);
    for (; g + ways <= safe; g += ways, w += ways * stride) {
        Q_EACH(Q_MAC)
    }
#undef Q_MAC
    for (; g < safe; g++, w += stride) mac(&s0, q_bytes(w), spread(in, g, how), how);
    // behind these there is not enough to read
    for (; g < p->groups; g++, w += stride) {
        mac(&s1, q_bytes_some(w, stride), spread(in, g, how), how);
    }
    if (p->tail) {
        uint8_t last[QBYTES] = {0};
        for (uint32_t r = 0; r < p->width; r++) {
            for (uint32_t c = 0; c < p->tail; c++) last[4 * r + c] = w[r * p->tail + c];
        }
        mac(&s0, q_bytes(last), spread_rest(in, g, how), how);
    }
    qi t[8];
#define Q_TOTAL(k)                                                                                 \
    if (k < ways) t[k] = total(&s##k, how);
    Q_EACH(Q_TOTAL)
#undef Q_TOTAL
    q_add_up(t, acc, 1, ways, p->again);
}

static __attribute__((noinline)) void q_narrow_u8(const q_span *p, const inputs *in, int32_t *acc)
{
    q_narrow(p, in, acc, 0);
}

static __attribute__((noinline)) void q_narrow_s16(const q_span *p, const inputs *in, int32_t *acc)
{
    q_narrow(p, in, acc, Q_WIDE);
}

/* All rows of a panel, weights of 8 bits; acc has room for whole vectors. */
Q_INLINE void q_rows(const q_span *p, const inputs *in, int32_t *acc, const int how)
{
    const uint32_t width = p->width, most = Q_MOST(how) * QLANES;
    if (width < QLANES) {
        if (how & Q_WIDE) {
            q_narrow_s16(p, in, acc);
        } else {
            q_narrow_u8(p, in, acc);
        }
        return;
    }
    qi last = {0}; // as it was before the others
    if (p->again) last = q_load(acc + width - QLANES);
    uint32_t row = 0;
    for (; row + most <= width; row += most) q_strip(p, in, row, acc + row, Q_MOST(how), how);
    for (; Q_MOST(how) > 4 && row + 4 * QLANES <= width; row += 4 * QLANES) {
        q_strip(p, in, row, acc + row, 4, how);
    }
    for (; row + 2 * QLANES <= width; row += 2 * QLANES) q_strip(p, in, row, acc + row, 2, how);
    for (; row + QLANES <= width; row += QLANES) q_strip(p, in, row, acc + row, 1, how);
    if (row == width) return;
    // the rest, and once more some of those before
    if (p->again) q_store(acc + width - QLANES, last);
    q_strip(p, in, width - QLANES, acc + width - QLANES, 1, how);
}

/* The same by formats, in functions of their own: inside of the loop over panels compilers work out
 * beforehand, for each panel, what only other shapes need. */
static __attribute__((noinline)) void q_rows_u8(const q_span *p, const inputs *in, int32_t *acc)
{
    q_rows(p, in, acc, 0);
}

static __attribute__((noinline)) void q_rows_s16(const q_span *p, const inputs *in, int32_t *acc)
{
    q_rows(p, in, acc, Q_WIDE);
}

Q_INLINE void q_rows8(const q_span *p, const inputs *in, int32_t *acc, const int how)
{
    if (how & Q_WIDE) {
        q_rows_s16(p, in, acc);
    } else {
        q_rows_u8(p, in, acc);
    }
}

/* Adds 32 * blocks rows from `row` on; the span has no tail, weight is that of 4 bits. */
Q_INLINE void q_strip4(const q_span *p, const inputs *in, uint32_t row, int32_t *acc,
                       const uint32_t blocks, const int how)
{
    enum { VECTORS = Q_BLOCK / 2 / QBYTES }; // of bytes in a block
    const uint8_t *w = p->weight + (size_t)2 * row;
    const uint32_t count = 2 * VECTORS * blocks;
    Q_EACH(Q_SUMS)
    for (uint32_t g = 0; g < p->groups; g++, w += (size_t)2 * p->width) {
        const group x = spread(in, g, how);
        // sum k: vector k / (2 VECTORS) * VECTORS + k % VECTORS, its low halves, then its high ones
#define Q_MAC(k)                                                                                   \
    if (k < count) {                                                                               \
        const qw both = q_bytes(w + (k / (2 * VECTORS) * VECTORS + k % VECTORS) * (size_t)QBYTES); \
        const qw half = k / VECTORS % 2 ? (qw)((qu)both >> 4) : both;                              \
        mac(&s##k, half & 15, x, how);                                                             \
    }
        Q_EACH(Q_MAC)
#undef Q_MAC
    }
    qi t[8];
#define Q_TOTAL(k)                                                                                 \
    if (k < count) t[k] = total(&s##k, how);
    Q_EACH(Q_TOTAL)
#undef Q_TOTAL
    q_add_up(t, acc, count, 1, p->again);
}

/* Weights of 4 bits in a panel whose rows fill blocks. */
Q_INLINE void q_rows4(const q_span *p, const inputs *in, int32_t *acc, const int how)
{
    enum { MOST = 4 * QBYTES / (Q_BLOCK / 2) }; // blocks for 8 sums
    const uint32_t blocks = Q_MOST(how) * MOST / 8;
    uint32_t row = 0;
    for (; blocks > 1 && row + 32 * blocks <= p->width; row += 32 * blocks) {
        q_strip4(p, in, row, acc + row, blocks, how);
    }
    for (; row < p->width; row += 32) q_strip4(p, in, row, acc + row, 1, how);
}

/* Numbers of a panel of `count` from `from` on, up to but not including `to`, become bytes in out
 * [Q_UNPACK + 2 * Q_BLOCK]; returns where number `from` is. */
static const uint8_t *q_unpack(const uint8_t *panel, uint32_t count, uint32_t from, uint32_t to,
                               uint8_t *out)
{
    uint32_t block = from / Q_BLOCK * Q_BLOCK;
    const uint8_t *const first = out + (from - block);
    for (; block < to; block += Q_BLOCK, out += Q_BLOCK) {
        const uint8_t *const p = panel + block / 2;
        if (count - block >= Q_BLOCK) {
            for (uint32_t j = 0; j < Q_BLOCK / 2; j++) {
                out[j] = (uint8_t)((p[j] & 15) - 8);
                out[Q_BLOCK / 2 + j] = (uint8_t)((p[j] >> 4) - 8);
            }
            continue;
        }
        const uint32_t half = (count - block + 1) / 2;
        for (uint32_t j = 0; j < half; j++) {
            out[j] = (uint8_t)((p[j] & 15) - 8);
            out[half + j] = (uint8_t)((p[j] >> 4) - 8);
        }
    }
    return first;
}

/* What a layer is computed from. */
typedef struct q_job {
    const deft_matrix_q *m;
    const uint8_t *x;
    uint32_t done; // columns before the ones that `in` holds
    inputs in;
} q_job;

/* Makes the inputs from column c on ready, if they are not. */
Q_INLINE void q_want(q_job *j, uint32_t c, uint32_t n, const int how)
{
    if (j->done == c && n == j->m->n_in) return;
    prepare(&j->in, j->x + (how & Q_WIDE ? 2 : 1) * (size_t)c, n, how);
    j->done = c;
}

Q_INLINE void q_panel8(q_job *j, uint32_t first, uint32_t width, int32_t *acc, const int how)
{
    const uint32_t n_in = j->m->n_in;
    const uint8_t *const panel = (const uint8_t *)j->m->weight + (size_t)first * n_in;
    for (uint32_t c = 0; c < n_in; c += Q_PIECE) {
        const uint32_t n = n_in - c < Q_PIECE ? n_in - c : Q_PIECE;
        const q_span p = {
            panel + (size_t)c * width, panel + (size_t)n_in * width, width, n / 4, n % 4, c > 0};
        q_want(j, c, n, how);
        q_rows8(&p, &j->in, acc, how);
    }
}

/* Columns from c on whose weights have to be unpacked first. */
Q_INLINE void q_panel4_slow(q_job *j, uint32_t first, uint32_t c, int32_t *acc, const int how)
{
    const uint32_t n_in = j->m->n_in, left = j->m->n_out - first;
    const uint32_t width = left < Q_ROWS ? left : Q_ROWS;
    const uint8_t *const panel = (const uint8_t *)j->m->weight + (size_t)first * n_in / 2;
    const uint32_t groups = Q_UNPACK / (4 * width),
                   most = 4 * groups < Q_PIECE ? 4 * groups : Q_PIECE;
    uint8_t weight[Q_UNPACK + 2 * Q_BLOCK];
    for (uint32_t n; c < n_in; c += n) {
        n = n_in - c;
        if (n > most) n = most;
        // the tail lies behind all groups: its place is that of its first column's first row
        const uint8_t *const w = q_unpack(panel, n_in * width, c * width, (c + n) * width, weight);
        const q_span p = {w, w + (size_t)n * width, width, n / 4, n % 4, c > 0};
        q_want(j, c, n, how);
        q_rows8(&p, &j->in, acc, how);
    }
}

Q_INLINE void q_panel4(q_job *j, uint32_t first, uint32_t width, int32_t *acc, const int how)
{
    const uint32_t n_in = j->m->n_in, whole = n_in & ~UINT32_C(3);
    const uint8_t *const panel = (const uint8_t *)j->m->weight + (size_t)first * n_in / 2;
    uint32_t c = 0;
    for (uint32_t n; width % 32 == 0 && c < whole; c += n) {
        n = whole - c < Q_PIECE ? whole - c : Q_PIECE;
        const q_span p = {panel + (size_t)c * width / 2, NULL, width, n / 4, 0, c > 0};
        q_want(j, c, n, how | Q_NIBBLES);
        q_rows4(&p, &j->in, acc, how | Q_NIBBLES);
    }
    if (c < n_in) q_panel4_slow(j, first, c, acc, how);
}

/* A panel's worth of numbers, which are wanted after the weights. */
Q_INLINE void q_fetch(const int32_t *p)
{
#pragma GCC unroll 8
    for (uint32_t k = 0; k < Q_ROWS; k += 16) __builtin_prefetch(p + k);
}

Q_INLINE void q_dense(const deft_matrix_q *m, const void *x, const deft_output_q *out, void *y,
                      const int how)
{
    q_job j; // not all of `in`: it is large
    clear(&j.in);
    j.m = m;
    j.x = x;
    j.done = UINT32_MAX;
    for (uint32_t first = 0, width; first < m->n_out; first += width) {
        int32_t acc[Q_ROWS];
        width = m->n_out - first < Q_ROWS ? m->n_out - first : Q_ROWS;
        q_fetch(m->multiplier + first);
        if (m->bias) q_fetch(m->bias + first);
        if (how & Q_NIBBLES) {
            q_panel4(&j, first, width, acc, how & ~Q_NIBBLES);
        } else {
            q_panel8(&j, first, width, acc, how);
        }
        q_finish(m, out, acc, first, width, y);
    }
}

static void dense_s8_u8(const deft_matrix_q *m, const void *x, const deft_output_q *out, void *y)
{
    q_dense(m, x, out, y, 0);
}

static void dense_s8_s16(const deft_matrix_q *m, const void *x, const deft_output_q *out, void *y)
{
    q_dense(m, x, out, y, Q_WIDE);
}

static void dense_s4_u8(const deft_matrix_q *m, const void *x, const deft_output_q *out, void *y)
{
    q_dense(m, x, out, y, Q_NIBBLES);
}

static void dense_s4_s16(const deft_matrix_q *m, const void *x, const deft_output_q *out, void *y)
{
    q_dense(m, x, out, y, Q_NIBBLES | Q_WIDE);
}

#define Q_KERNELS                                                                                  \
    {                                                                                              \
        {{{deft_dense_s8_u8_ref, deft_dense_s8_s16_ref},                                           \
          {deft_dense_s4_u8_ref, deft_dense_s4_s16_ref},                                           \
          {deft_dense_s16_u8_ref, deft_dense_s16_s16_ref}},                                        \
         {{dense_s8_u8, dense_s8_s16}, {dense_s4_u8, dense_s4_s16}, {NULL, NULL}}},                \
            gru_q, lstm_q, deft_pointwise_q_ref, NULL,                                             \
    }

#endif
