/* kernels_vnni_strip.h - matrices in panels for kernels_vnni.c, the quick way: weights of 8 bits,
 * rows in whole vectors, all columns in one piece. Sums stay in registers from the bias to the
 * output.
 *
 * int16 inputs x are 256 (high - 128) + low with both bytes unsigned, so that weights are taken as
 * they are; what the 128 is too much, 2^15 times the sum of a row's weights, is taken away
 * beforehand: layout DEFT_Q_FOLDED. */
#ifndef DEFT_KERNELS_VNNI_STRIP_H
#define DEFT_KERNELS_VNNI_STRIP_H

#include "kernels/kernels_q_dot.h"

enum {           // beside Q_WIDE
    S_BYTES = 4, // outputs of 8 bits
    S_GATES = 8, // outputs of 16 bits of which none is out of range
};

/* The bytes of the inputs in groups of four; int16: both. */
typedef struct s_inputs {
    const uint8_t *low, *high;
    const uint8_t *low_rest, *high_rest; // the last group, padded with anything
    uint32_t n, groups, tail;
    int32_t start; // 4 bits: added to all rows
} s_inputs;

/* A panel. */
typedef struct s_panel {
    const uint8_t *weight, *tail; // tail: of the columns that fill no group
    size_t stride;                // bytes from group to group
    uint32_t first;               // row of the matrix
} s_panel;

/* What becomes of sums. */
typedef struct s_ending {
    const int32_t *start, *multiplier; // start NULL: zeros
    __m512i add;                       // 2^31, and zero 2^32
    __m512i shift;
    int32_t lo, hi;
} s_ending;

Q_INLINE s_ending s_ending_of(const deft_matrix_q *m, const deft_output_q *out)
{
    const int64_t add = ((int64_t)1 << 31) + out->zero * ((int64_t)1 << 32);
    const s_ending e = {.start = m->bias,
                        .multiplier = m->multiplier,
                        .add = _mm512_set1_epi64(add),
                        .shift = _mm512_set1_epi32(m->shift + 1),
                        .lo = out->lo,
                        .hi = out->hi};
    return e;
}

/* n bytes, 1 to 3, to each of 16 lanes. */
Q_INLINE __m512i s_expand(const uint8_t *p, uint32_t n)
{
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3);
    const __m512i quarter = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    const __m512i from =
        _mm512_add_epi32(lane, _mm512_mullo_epi32(quarter, _mm512_set1_epi32((int32_t)n)));
    // byte b of lane i of a quarter is its byte n i + b
    const __m512i row =
        _mm512_broadcast_i32x4(_mm_setr_epi32(0, 0x01010101, 0x02020202, 0x03030303));
    const __m512i column = _mm512_set1_epi32(0x03020100);
    const __mmask64 there = _mm512_cmplt_epu8_mask(column, _mm512_set1_epi8((char)n));
    __m512i at = column;
    for (uint32_t k = 0; k < n; k++) at = _mm512_add_epi8(at, row);
    const __m512i v = _mm512_maskz_loadu_epi32((__mmask16)_bzhi_u32(UINT32_MAX, 4 * n), p);
    return _mm512_maskz_shuffle_epi8(there, _mm512_permutexvar_epi32(from, v), at);
}

/* Inputs of 16 bits, n of them, to bytes. Whole vectors are written. */
Q_INLINE void s_split(uint8_t *low, uint8_t *high, const int16_t *x, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += 32) {
        const __m512i v = n - i < 32 ? _mm512_maskz_loadu_epi16(_bzhi_u32(UINT32_MAX, n - i), x + i)
                                     : _mm512_loadu_si512(x + i);
        const __m512i top = _mm512_xor_si512(_mm512_srli_epi16(v, 8), _mm512_set1_epi16(128));
        _mm256_storeu_si256((__m256i *)(void *)(low + i), _mm512_cvtepi16_epi8(v));
        _mm256_storeu_si256((__m256i *)(void *)(high + i), _mm512_cvtepi16_epi8(top));
    }
}

Q_INLINE __m512i s_four(const uint8_t *p)
{
    return (__m512i)q_four(p);
}

/* Bytes x times weights w. Not the intrinsic: compilers move its sums about, and to memory. */
Q_INLINE void s_dot(__m512i *sum, __m512i x, __m512i w)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(*sum) : "v"(x), "v"(w));
}

/* requant, plus zero: |acc << (s + 1)| < 2^31, so the product's upper half is the result. */
Q_INLINE __m512i s_requant(const s_ending *e, __m512i acc, const int32_t *m)
{
    const __m512i a = _mm512_sllv_epi32(acc, e->shift), by = _mm512_loadu_si512(m);
    const __m512i a_odd = (__m512i)_mm512_movehdup_ps((__m512)a);
    const __m512i by_odd = (__m512i)_mm512_movehdup_ps((__m512)by);
    const __m512i even = _mm512_add_epi64(_mm512_mul_epi32(a, by), e->add);
    const __m512i odd = _mm512_add_epi64(_mm512_mul_epi32(a_odd, by_odd), e->add);
    return (__m512i)_mm512_mask_movehdup_ps((__m512)odd, 0x5555, (__m512)even);
}

/* count vectors of results to numbers from y on: S16, or U8. */
Q_INLINE void s_store(const s_ending *e, const __m512i *v, uint8_t *y, const uint32_t count,
                      const int how)
{
    const __m512i whole = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7); // packing goes by quarters
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    if (how & S_BYTES) {
        const __m512i a = _mm512_packs_epi32(v[0], v[count > 1]);
        const __m512i b = count > 2 ? _mm512_packs_epi32(v[2], v[3]) : a;
        __m512i q = _mm512_packus_epi16(a, b);
        q = _mm512_max_epu8(q, _mm512_set1_epi8((char)e->lo));
        q = _mm512_min_epu8(q, _mm512_set1_epi8((char)e->hi));
        q = _mm512_permutexvar_epi32(order, q);
        if (count > 2) _mm512_storeu_si512(y, q);
        if (count == 2) _mm256_storeu_si256((void *)y, _mm512_castsi512_si256(q));
        if (count == 1) _mm_storeu_si128((void *)y, _mm512_castsi512_si128(q));
        return;
    }
#pragma GCC unroll 2
    for (uint32_t k = 0; k < count; k += 2, y += 64) {
        __m512i q = _mm512_packs_epi32(v[k], v[k + (count > 1)]);
        if (!(how & S_GATES)) {
            q = _mm512_max_epi16(q, _mm512_set1_epi16((int16_t)e->lo));
            q = _mm512_min_epi16(q, _mm512_set1_epi16((int16_t)e->hi));
        }
        q = _mm512_permutexvar_epi64(whole, q);
        if (count > 1) _mm512_storeu_si512(y, q);
        if (count == 1) _mm256_storeu_si256((void *)y, _mm512_castsi512_si256(q));
    }
}

#define S_EACH(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

/* 16 count rows of a panel from `row` on. Those beyond 128 are of the next panel, which has 64. */
Q_INLINE void s_strip(const s_inputs *in, const s_ending *e, const s_panel *p, uint32_t row,
                      uint8_t *y, const uint32_t count, const int how)
{
    const int wide = how & Q_WIDE;
    const uint8_t *w = p->weight + (size_t)4 * row;
    const uint8_t *beyond = p->weight + (size_t)128 * in->n;
    const __m512i zero = _mm512_setzero_si512();
#define S_START(k)                                                                                 \
    __m512i a##k = zero, b##k = zero;                                                              \
    if (k < count && e->start) a##k = _mm512_loadu_si512(e->start + p->first + row + 16 * k);
    S_EACH(S_START)
#undef S_START
#define S_MAC(k)                                                                                   \
    if (k < count) {                                                                               \
        const __m512i v = _mm512_loadu_si512(k < 8 ? w + 64 * k : beyond + 64 * (k - 8));          \
        s_dot(&a##k, low, v);                                                                      \
        if (wide) s_dot(&b##k, high, v);                                                           \
    }
    for (uint32_t g = 0; g < in->groups; g++, w += p->stride, beyond += 256) {
        const __m512i low = s_four(in->low + (size_t)4 * g);
        const __m512i high = wide ? s_four(in->high + (size_t)4 * g) : low;
        S_EACH(S_MAC)
    }
#undef S_MAC
    if (in->tail) {
        const __m512i low = s_four(in->low_rest), high = wide ? s_four(in->high_rest) : low;
        const uint8_t *const t = p->tail + (size_t)row * in->tail;
        const int32_t rest = 16 * (int32_t)in->tail;
#define S_MAC(k)                                                                                   \
    if (k < count) {                                                                               \
        const __m512i v = s_expand(k < 8 ? t + rest * k : beyond + rest * (k - 8), in->tail);      \
        s_dot(&a##k, low, v);                                                                      \
        if (wide) s_dot(&b##k, high, v);                                                           \
    }
        S_EACH(S_MAC)
#undef S_MAC
    }
    __m512i v[12];
#define S_END(k)                                                                                   \
    if (k < count) {                                                                               \
        if (wide) a##k = _mm512_add_epi32(a##k, _mm512_slli_epi32(b##k, 8));                       \
        v[k] = s_requant(e, a##k, e->multiplier + p->first + row + 16 * k);                        \
    }
    S_EACH(S_END)
#undef S_END
    const size_t size = how & S_BYTES ? 1 : 2;
    uint8_t *const to = y + size * (p->first + row);
#pragma GCC unroll 3
    for (uint32_t k = 0; k < count; k += 4) {
        s_store(e, v + k, to + 16 * size * k, count - k > 4 ? 4 : count - k, how);
    }
}

/* A function for each: what one needs in registers shall not be in the way of others. */
#define S_STRIP(name, count, how)                                                                  \
    static __attribute__((noinline)) void name(const s_inputs *in, const s_ending *e,              \
                                               const s_panel *p, uint32_t row, uint8_t *y)         \
    {                                                                                              \
        s_strip(in, e, p, row, y, count, how);                                                     \
    }
#define S_STRIPS(name, how)                                                                        \
    S_STRIP(name##_1, 1, how)                                                                      \
    S_STRIP(name##_4, 4, how)                                                                      \
    S_STRIP(name##_8, 8, how)                                                                      \
    S_STRIP(name##_12, 12, how)
S_STRIPS(s_u8_u8, S_BYTES)
S_STRIPS(s_u8_s16, 0)
S_STRIPS(s_s16_u8, Q_WIDE | S_BYTES)
S_STRIPS(s_s16_s16, Q_WIDE)
S_STRIPS(s_s16_gates, Q_WIDE | S_GATES)

#define S_CALL(count)                                                                              \
    if (how == S_BYTES) s_u8_u8_##count(in, e, p, row, y);                                         \
    if (how == 0) s_u8_s16_##count(in, e, p, row, y);                                              \
    if (how == (Q_WIDE | S_BYTES)) s_s16_u8_##count(in, e, p, row, y);                             \
    if (how == Q_WIDE) s_s16_s16_##count(in, e, p, row, y);                                        \
    if (how == (Q_WIDE | S_GATES)) s_s16_gates_##count(in, e, p, row, y);

/* All rows of a panel; left: that and those behind it. */
Q_INLINE uint32_t s_rows(const s_inputs *in, const s_ending *e, const s_panel *p, uint32_t left,
                         uint8_t *y, const int how)
{
    const uint32_t width = left < Q_ROWS ? left : Q_ROWS;
    uint32_t row = 0;
    if (left == 192) {
        S_CALL(12)
        return left;
    }
    if (left >= 128) {
        S_CALL(8)
        return width;
    }
    for (; row + 64 <= width; row += 64) {
        S_CALL(4)
    }
    for (; row + 16 <= width; row += 16) {
        S_CALL(1)
    }
    if (row < width) { // the rest, and once more some of those before
        row = width - 16;
        S_CALL(1)
    }
    return width;
}

/* Whether a matrix can be done this way. */
Q_INLINE int s_serves(const deft_matrix_q *m)
{
    const uint32_t last = m->n_out % Q_ROWS;
    return m->format == DEFT_NUM_S8 && m->n_in <= Q_PIECE && (last == 0 || last >= 16);
}

Q_INLINE void s_dense(const deft_matrix_q *m, const uint8_t *x, const deft_output_q *out,
                      uint8_t *y, const int how)
{
    uint8_t low[Q_PIECE], high[Q_PIECE];
    const uint32_t n = m->n_in, tail = n % 4, whole = n - tail;
    s_inputs in = {x, NULL, low, NULL, n, n / 4, tail, 0};
    if (how & Q_WIDE) {
        s_split(low, high, (const int16_t *)(const void *)x, n);
        in = (s_inputs){low, high, low + whole, high + whole, n, n / 4, tail, 0};
    } else {
        memset(low, 0, 4);
        memcpy(low, x + whole, tail);
    }
    const s_ending e = s_ending_of(m, out);
    for (uint32_t first = 0; first < m->n_out;) {
        const uint32_t left = m->n_out - first, width = left < Q_ROWS ? left : Q_ROWS;
        const uint8_t *const w = (const uint8_t *)m->weight + (size_t)first * n;
        const s_panel p = {w, w + (size_t)whole * width, (size_t)4 * width, first};
        first += s_rows(&in, &e, &p, left, y, how);
    }
}

static void s_dense_u8(const deft_matrix_q *m, const void *x, const deft_output_q *out, void *y)
{
    if (out->table.entry || !s_serves(m)) {
        dense_s8_u8(m, x, out, y);
    } else if (out->format == DEFT_NUM_U8) {
        s_dense(m, x, out, y, S_BYTES);
    } else {
        s_dense(m, x, out, y, 0);
    }
}

/* Of layout DEFT_Q_FOLDED. */
static void s_dense_s16(const deft_matrix_q *m, const void *x, const deft_output_q *out, void *y)
{
    if (out->format == DEFT_NUM_U8) {
        s_dense(m, x, out, y, Q_WIDE | S_BYTES);
    } else if (out->lo == INT16_MIN && out->hi == INT16_MAX) {
        s_dense(m, x, out, y, Q_WIDE | S_GATES);
    } else {
        s_dense(m, x, out, y, Q_WIDE);
    }
}

/* bias - 2^15 * the sum of a row's weights */
static int s_fold(const deft_matrix_q *m, int32_t *bias)
{
    if (!s_serves(m)) return 0;
    for (uint32_t o = 0; o < m->n_out; o++) {
        uint32_t sum = 0;
        for (uint32_t i = 0; i < m->n_in; i++) sum += (uint32_t)deft_matrix_weight(m, o, i);
        bias[o] = (int32_t)((m->bias ? (uint32_t)m->bias[o] : 0) - (sum << 15));
    }
    return 1;
}

#endif
