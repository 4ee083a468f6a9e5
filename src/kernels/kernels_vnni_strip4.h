/* kernels_vnni_strip4.h - as kernels_vnni_strip.h, for weights of 4 bits, panels in whole blocks:
 * n_out is a multiple of 32.
 *
 * A byte b holds n = w + 8 of one row below and of another above, both unsigned. Products are of b
 * as it is and of its lower half; the difference is 16 times what the upper row gets. Inputs are
 * signed bytes: U8 less 128; S16 as 256 high + (low - 128) + 128. So sum w x = sum n (256 high +
 * low - 128) + 128 sum n - 8 sum x, of which 128 sum n is added to the bias beforehand: layout
 * DEFT_Q_FOLDED. No sum of bytes leaves 32 bits: Q_PIECE * 255 * 128 is below 2^31. */
#ifndef DEFT_KERNELS_VNNI_STRIP4_H
#define DEFT_KERNELS_VNNI_STRIP4_H

#include "kernels/kernels_vnni_strip.h"

/* The signed bytes of n inputs, whole vectors of them; returns the inputs' sum. */
Q_INLINE int32_t s4_split(uint8_t *low, uint8_t *high, const int16_t *x, uint32_t n)
{
    __m512i sum = _mm512_setzero_si512();
    for (uint32_t i = 0; i < n; i += 32) {
        const __m512i v = n - i < 32 ? _mm512_maskz_loadu_epi16(_bzhi_u32(UINT32_MAX, n - i), x + i)
                                     : _mm512_loadu_si512(x + i);
        const __m512i bottom = _mm512_xor_si512(v, _mm512_set1_epi16(128));
        const __m512i top = _mm512_srli_epi16(v, 8);
        _mm256_storeu_si256((__m256i *)(void *)(low + i), _mm512_cvtepi16_epi8(bottom));
        _mm256_storeu_si256((__m256i *)(void *)(high + i), _mm512_cvtepi16_epi8(top));
        sum = _mm512_add_epi32(sum, _mm512_madd_epi16(v, _mm512_set1_epi16(1)));
    }
    return _mm512_reduce_add_epi32(sum);
}

Q_INLINE int32_t s4_less_128(uint8_t *to, const uint8_t *x, uint32_t n)
{
    __m512i sum = _mm512_setzero_si512();
    for (uint32_t i = 0; i < n; i += 64) {
        const __m512i v = (__m512i)(n - i < 64 ? q_bytes_some(x + i, n - i) : q_bytes(x + i));
        _mm512_storeu_si512(to + i, _mm512_xor_si512(v, _mm512_set1_epi8(-128)));
        sum = _mm512_add_epi64(sum, _mm512_sad_epu8(v, _mm512_setzero_si512()));
    }
    return (int32_t)_mm512_reduce_add_epi64(sum);
}

/* The columns that fill no group, of `vectors` times 16 rows; n: of the first of them. */
static __attribute__((noinline)) void s4_add_tail(const s_inputs *in, const uint8_t *n, __m512i *v,
                                                  uint32_t vectors, int wide)
{
    const __m512i zero = _mm512_setzero_si512();
    const __m512i low = s_four(in->low_rest), high = wide ? s_four(in->high_rest) : zero;
    for (uint32_t k = 0; k < vectors; k++, n += (size_t)16 * in->tail) {
        const __m512i w = s_expand(n, in->tail);
        __m512i more = zero;
        s_dot(&v[k], w, low);
        s_dot(&more, w, high);
        v[k] = _mm512_add_epi32(v[k], _mm512_slli_epi32(more, 8));
    }
}

#define S4_EACH(X) X(0) X(1) X(2) X(3) X(4) X(5)

/* 32 count rows of a panel from `row` on. Those beyond 128 are of the next panel, which has 64;
 * then there is no tail. p->tail: n, a byte each, of all its rows. */
Q_INLINE void s4_strip(const s_inputs *in, const s_ending *e, const s_panel *p, uint32_t row,
                       uint8_t *y, const uint32_t count, const int how)
{
    const int wide = how & Q_WIDE;
    const uint8_t *w = p->weight + (size_t)2 * row;
    const uint8_t *beyond = p->weight + (size_t)64 * in->n;
    const __m512i zero = _mm512_setzero_si512(), below = _mm512_set1_epi8(15);
    // of b and low, b and high, its lower half and low, and high
#define S_START(k) __m512i a##k = zero, b##k = zero, c##k = zero, d##k = zero;
    S4_EACH(S_START)
#undef S_START
#define S_MAC(k)                                                                                   \
    if (k < count) {                                                                               \
        const __m512i v = _mm512_loadu_si512(k < 4 ? w + 64 * k : beyond + 64 * (k - 4));          \
        const __m512i half = _mm512_and_si512(v, below);                                           \
        s_dot(&a##k, v, low);                                                                      \
        if (wide) s_dot(&b##k, v, high);                                                           \
        s_dot(&c##k, half, low);                                                                   \
        if (wide) s_dot(&d##k, half, high);                                                        \
    }
    for (uint32_t g = 0; g < in->groups; g++, w += p->stride, beyond += 128) {
        const __m512i low = s_four(in->low + (size_t)4 * g);
        const __m512i high = wide ? s_four(in->high + (size_t)4 * g) : low;
        S4_EACH(S_MAC)
    }
#undef S_MAC
    __m512i v[12];
#define S_END(k)                                                                                   \
    if (k < count) {                                                                               \
        v[2 * k] = _mm512_add_epi32(c##k, _mm512_slli_epi32(d##k, 8));                             \
        v[2 * k + 1] = _mm512_add_epi32(_mm512_srai_epi32(_mm512_sub_epi32(a##k, c##k), 4),        \
                                        _mm512_slli_epi32(_mm512_sub_epi32(b##k, d##k), 4));       \
    }
    S4_EACH(S_END)
#undef S_END
    if (in->tail) s4_add_tail(in, p->tail + (size_t)row * in->tail, v, 2 * count, wide);
#pragma GCC unroll 12
    for (uint32_t k = 0; k < 2 * count; k++) {
        const uint32_t at = row + 16 * k;
        const __m512i start = _mm512_loadu_si512(e->start + p->first + at);
        v[k] = _mm512_add_epi32(v[k], _mm512_add_epi32(start, _mm512_set1_epi32(in->start)));
        v[k] = s_requant(e, v[k], e->multiplier + p->first + at);
    }
    const size_t size = how & S_BYTES ? 1 : 2;
    uint8_t *const to = y + size * (p->first + row);
#pragma GCC unroll 3
    for (uint32_t k = 0; k < 2 * count; k += 4) {
        s_store(e, v + k, to + 16 * size * k, 2 * count - k > 4 ? 4 : 2 * count - k, how);
    }
}

/* bytes: outputs of 8 bits. */
#define S4_STRIP(name, count, wide)                                                                \
    static __attribute__((noinline)) void name(const s_inputs *in, const s_ending *e,              \
                                               const s_panel *p, uint32_t row, uint8_t *y,         \
                                               int bytes)                                          \
    {                                                                                              \
        s4_strip(in, e, p, row, y, count, (wide) | bytes);                                         \
    }
S4_STRIP(s4_u8_1, 1, 0)
S4_STRIP(s4_u8_4, 4, 0)
S4_STRIP(s4_u8_6, 6, 0)
S4_STRIP(s4_s16_1, 1, Q_WIDE)
S4_STRIP(s4_s16_4, 4, Q_WIDE)
S4_STRIP(s4_s16_6, 6, Q_WIDE)

#define S4_CALL(count)                                                                             \
    if (how & Q_WIDE) s4_s16_##count(in, e, p, row, y, how &S_BYTES);                              \
    if (!(how & Q_WIDE)) s4_u8_##count(in, e, p, row, y, how &S_BYTES);

/* All rows of a panel; left: that and those behind it. */
Q_INLINE uint32_t s4_rows(const s_inputs *in, const s_ending *e, const s_panel *p, uint32_t left,
                          uint8_t *y, const int how)
{
    const uint32_t width = left < Q_ROWS ? left : Q_ROWS;
    uint32_t row = 0;
    if (left == 192 && !in->tail) {
        S4_CALL(6)
        return left;
    }
    if (width == 128) {
        S4_CALL(4)
        return width;
    }
    for (; row < width; row += 32) {
        S4_CALL(1)
    }
    return width;
}

/* n of the columns that fill no group. */
Q_INLINE const uint8_t *s4_tail(const uint8_t *panel, uint32_t n_in, uint32_t width, uint8_t *to)
{
    const uint32_t whole = n_in & ~UINT32_C(3);
    if (whole == n_in) return to;
    const uint8_t *const w = q_unpack(panel, n_in * width, whole * width, n_in * width, to);
    uint8_t *const n = to + (w - to);
    for (uint32_t k = 0; k < (n_in - whole) * width; k++) n[k] = (uint8_t)(n[k] + 8);
    return n;
}

Q_INLINE void s4_dense(const deft_matrix_q *m, const uint8_t *x, const deft_output_q *out,
                       uint8_t *y, const int how)
{
    uint8_t low[Q_PIECE], high[Q_PIECE], rest[5 * Q_BLOCK];
    const uint32_t n = m->n_in, whole = n & ~UINT32_C(3);
    s_inputs in = {low, high, low + whole, high + whole, n, n / 4, n % 4, 0};
    const int32_t sum = how & Q_WIDE ? s4_split(low, high, (const int16_t *)(const void *)x, n)
                                     : s4_less_128(low, x, n);
    in.start = -8 * sum;
    const s_ending e = s_ending_of(m, out);
    for (uint32_t first = 0; first < m->n_out;) {
        const uint32_t left = m->n_out - first, width = left < Q_ROWS ? left : Q_ROWS;
        const uint8_t *const w = (const uint8_t *)m->weight + (size_t)first * n / 2;
        const s_panel p = {w, s4_tail(w, n, width, rest), (size_t)2 * width, first};
        first += s4_rows(&in, &e, &p, left, y, how);
    }
}

/* Both of layout DEFT_Q_FOLDED. */
static void s4_dense_u8(const deft_matrix_q *m, const void *x, const deft_output_q *out, void *y)
{
    s4_dense(m, x, out, y, out->format == DEFT_NUM_U8 ? S_BYTES : 0);
}

static void s4_dense_s16(const deft_matrix_q *m, const void *x, const deft_output_q *out, void *y)
{
    s4_dense(m, x, out, y, Q_WIDE | (out->format == DEFT_NUM_U8 ? S_BYTES : 0));
}

/* bias + 128 * the sum of a row's n */
static int s4_fold(const deft_matrix_q *m, int32_t *bias)
{
    if (m->n_out % 32 || m->n_in > Q_PIECE) return 0;
    for (uint32_t o = 0; o < m->n_out; o++) {
        uint32_t sum = 8 * m->n_in;
        for (uint32_t i = 0; i < m->n_in; i++) sum += (uint32_t)deft_matrix_weight(m, o, i);
        bias[o] = (int32_t)((m->bias ? (uint32_t)m->bias[o] : 0) + (sum << 7));
    }
    return 1;
}

#endif
