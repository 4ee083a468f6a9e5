/* kernels_vnni.c - integers for x86-64 with AVX-512 F, BW, DQ, VL and VNNI. Empty elsewhere. */
#if defined(__AVX512VNNI__)
#define SIMD_LANES 16
#define Q_MASKED
#define Q_GRU_OF_ITS_OWN
#include "kernels/kernels_q_types.h"

#include <immintrin.h>

Q_INLINE qi q_load_some(const int32_t *p, uint32_t n)
{
    return (qi)_mm512_maskz_loadu_epi32((__mmask16)_bzhi_u32(UINT32_MAX, n), p);
}

Q_INLINE qi q_load16_some(const int16_t *p, uint32_t n)
{
    const __mmask16 there = (__mmask16)_bzhi_u32(UINT32_MAX, n);
    return (qi)_mm512_cvtepi16_epi32(_mm256_maskz_loadu_epi16(there, p));
}

Q_INLINE qw q_bytes_some(const uint8_t *p, size_t n)
{
    return (qw)_mm512_maskz_loadu_epi8(_bzhi_u64(UINT64_MAX, (uint32_t)n), p);
}

Q_INLINE qw expand(const uint8_t *p, const uint32_t n)
{
    if (n == 1) return (qw)_mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)p));
    if (n == 2) return (qw)_mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)p));
    // twelve bytes to each quarter, then three to each four
    const __m512i quarter = _mm512_setr_epi32(0, 1, 2, 0, 3, 4, 5, 0, 6, 7, 8, 0, 9, 10, 11, 0);
    const __m128i three = _mm_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1);
    const __m512i v = _mm512_maskz_loadu_epi32(0x0FFF, p);
    return (qw)_mm512_shuffle_epi8(_mm512_permutexvar_epi32(quarter, v),
                                   _mm512_broadcast_i32x4(three));
}

Q_INLINE qi scale(qi a, qi m, q_rounding r)
{
    const __m512i x = (__m512i)a, y = (__m512i)m, add = _mm512_set1_epi64(r.add);
    const __m512i odd_x = _mm512_srli_epi64(x, 32);
    const __m512i odd_y = (__m512i)_mm512_movehdup_ps((__m512)y); // another port's work
    const __m512i even = _mm512_add_epi64(_mm512_mul_epi32(x, y), add);
    const __m512i odd = _mm512_add_epi64(_mm512_mul_epi32(odd_x, odd_y), add);
    return (qi)_mm512_mask_blend_epi32(0xAAAA, _mm512_srlv_epi64(even, _mm512_set1_epi64(r.shift)),
                                       _mm512_sllv_epi64(odd, _mm512_set1_epi64(32 - r.shift)));
}

Q_INLINE qi magnitude(qi x)
{
    return (qi)_mm512_abs_epi32((__m512i)x);
}

Q_INLINE qi lesser(qi a, qi b)
{
    return (qi)_mm512_min_epi32((__m512i)a, (__m512i)b);
}

Q_INLINE qi greater(qi a, qi b)
{
    return (qi)_mm512_max_epi32((__m512i)a, (__m512i)b);
}

Q_INLINE qi pairs_at(const int16_t *e, qi i)
{
    return (qi)_mm512_i32gather_epi32((__m512i)i, e, 2);
}

Q_INLINE qi dot_pairs(qi a, qi b)
{
    return (qi)_mm512_madd_epi16((__m512i)a, (__m512i)b);
}

Q_INLINE void store16(int16_t *p, qi v)
{
    _mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtsepi32_epi16((__m512i)v));
}

Q_INLINE void store8(uint8_t *p, qi v)
{
    _mm_storeu_si128((__m128i *)(void *)p, _mm512_cvtepi32_epi8((__m512i)v));
}

enum { FLIP_LOW = 0, FLIP_HIGH = 128 };

Q_INLINE qi dot_low(qi acc, qw w, qi x)
{
    return (qi)_mm512_dpbusd_epi32((__m512i)acc, (__m512i)x, (__m512i)w);
}

Q_INLINE qi dot_high(qi acc, qw w, qi x)
{
    return (qi)_mm512_dpbusd_epi32((__m512i)acc, (__m512i)w, (__m512i)x);
}

#define Q_MOST(how) 8
#define Q_REGISTER  "+v"
#define Q_SPLIT_OF_ITS_OWN
#include "kernels/kernels_q_dot.h"
#include "kernels/kernels_vnni_strip.h"
#include "kernels/kernels_vnni_strip4.h"

/* In pieces as the kernels write them: then they are there before they have reached the cache. */
Q_INLINE void q_split(inputs *in, const int16_t *x, uint32_t n)
{
    __m256i low = _mm256_setzero_si256(), high = low;
    const __m256i one = _mm256_set1_epi16(1);
    for (uint32_t i = 0; i < n; i += 16) {
        const __mmask16 there = (__mmask16)_bzhi_u32(UINT32_MAX, n - i);
        const __m256i v = n - i < 16 ? _mm256_maskz_loadu_epi16(there, x + i)
                                     : _mm256_loadu_si256((const void *)(x + i));
        const __m256i a = _mm256_and_si256(v, _mm256_set1_epi16(255)), b = _mm256_srai_epi16(v, 8);
        _mm_storeu_si128((__m128i *)(void *)(in->low + i), _mm256_cvtepi16_epi8(a));
        _mm_storeu_si128((__m128i *)(void *)(in->high + i), _mm256_cvtepi16_epi8(b));
        low = _mm256_add_epi32(low, _mm256_madd_epi16(a, one));
        high = _mm256_add_epi32(high, _mm256_madd_epi16(b, one));
    }
    const __m512i both = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
    in->sum_low = (uint32_t)_mm512_mask_reduce_add_epi32(0x00FF, both);
    in->sum_high = (uint32_t)_mm512_mask_reduce_add_epi32(0xFF00, both);
}

/* Gates of 16 bits, 32 at a time. Loads are as long as the stores before them. */
Q_INLINE __m512i load_gates(const int16_t *p, uint32_t n)
{
    if (n < 32) return _mm512_maskz_loadu_epi16(_bzhi_u32(UINT32_MAX, n), p);
    const __m256i low = _mm256_loadu_si256((const void *)p);
    const __m256i high = _mm256_loadu_si256((const void *)(p + 16));
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

/* Pairs of 16-bit numbers a, b, interleaved, times pairs of entries or states. */
Q_INLINE __m512i interpolate(const q_table *t, __m512i i, __m512i by)
{
    const __m512i pairs = _mm512_i32gather_epi32(i, t->entry, 2);
    return _mm512_sra_epi32(_mm512_dpwssd_epi32(_mm512_set1_epi32(t->half), pairs, by),
                            _mm_cvtsi32_si128(t->shift));
}

Q_INLINE __m512i tanh_q15(const q_table *t, __m512i s) // an odd table
{
    const __m512i zero = _mm512_setzero_si512();
    const __mmask32 negative = _mm512_movepi16_mask(s);
    const __m512i a = _mm512_min_epu16(_mm512_abs_epi16(s), _mm512_set1_epi16(INT16_MAX));
    const __m512i i = _mm512_srl_epi16(a, _mm_cvtsi32_si128(t->shift));
    const __m512i f = _mm512_and_si512(a, _mm512_set1_epi16((int16_t)(t->one - 1)));
    const __m512i rest = _mm512_sub_epi16(_mm512_set1_epi16((int16_t)t->one), f);
    const __m512i y = _mm512_packs_epi32(
        interpolate(t, _mm512_unpacklo_epi16(i, zero), _mm512_unpacklo_epi16(rest, f)),
        interpolate(t, _mm512_unpackhi_epi16(i, zero), _mm512_unpackhi_epi16(rest, f)));
    return _mm512_mask_sub_epi16(y, negative, zero, y);
}

Q_INLINE __m512i sigmoid_q15(const q_table *tanh, __m512i s)
{
    return _mm512_add_epi16(_mm512_srai_epi16(tanh_q15(tanh, s), 1), _mm512_set1_epi16(16384));
}

/* c + ((z (h - c) + 2^14) >> 15) of halves of the vectors: as z h + (2^14 - z) c + 2^14 c, because
 * 2^15 has no place in 16 bits */
Q_INLINE __m512i mix(__m512i hc, __m512i by)
{
    __m512i acc = _mm512_dpwssd_epi32(_mm512_set1_epi32(1 << 14), hc, by);
    acc = _mm512_dpwssd_epi32(acc, hc, _mm512_set1_epi32(16384 << 16));
    return _mm512_srai_epi32(acc, 15);
}

static void gru_q(const deft_gru_q *g, const int16_t *h, int16_t *h_new)
{
    const uint32_t n = g->n;
    const q_table t = q_table_of(&g->tanh);
    for (uint32_t i = 0; i < n; i += 32) {
        const uint32_t k = n - i;
        const int16_t *const x = g->x + i, *const u = g->u + i;
        const __m512i r = sigmoid_q15(&t, _mm512_adds_epi16(load_gates(x, k), load_gates(u, k)));
        const __m512i z =
            sigmoid_q15(&t, _mm512_adds_epi16(load_gates(x + n, k), load_gates(u + n, k)));
        const __m512i un = _mm512_mulhrs_epi16(r, load_gates(u + (size_t)2 * n, k)); // r >= 0
        const __m512i c = tanh_q15(&t, _mm512_adds_epi16(load_gates(x + (size_t)2 * n, k), un));
        const __m512i old = load_gates(h + i, k);
        const __m512i left = _mm512_sub_epi16(_mm512_set1_epi16(16384), z);
        const __m512i v =
            _mm512_packs_epi32(mix(_mm512_unpacklo_epi16(old, c), _mm512_unpacklo_epi16(z, left)),
                               mix(_mm512_unpackhi_epi16(old, c), _mm512_unpackhi_epi16(z, left)));
        // whole stores can be read again at once, masked ones cannot
        if (k < 32) {
            _mm512_mask_storeu_epi16(h_new + i, _bzhi_u32(UINT32_MAX, k), v);
        } else {
            _mm512_storeu_si512(h_new + i, v);
        }
    }
    for (uint32_t i = 0; g->state_round && i < n; i++) {
        h_new[i] = (int16_t)deft_round16(h_new[i], g->state_round);
    }
}

static int fold(const deft_matrix_q *m, uint8_t in_format, int32_t *bias)
{
    if (m->format == DEFT_NUM_S4) return s4_fold(m, bias);
    return in_format == DEFT_NUM_S16 ? s_fold(m, bias) : 0;
}

extern const deft_kernels_q deft_kernels_q_vnni;
const deft_kernels_q deft_kernels_q_vnni = {
    {{{deft_dense_s8_u8_ref, deft_dense_s8_s16_ref},
      {deft_dense_s4_u8_ref, deft_dense_s4_s16_ref},
      {deft_dense_s16_u8_ref, deft_dense_s16_s16_ref}},
     {{s_dense_u8, dense_s8_s16}, {dense_s4_u8, dense_s4_s16}, {NULL, NULL}},
     {{NULL, s_dense_s16}, {s4_dense_u8, s4_dense_s16}, {NULL, NULL}}},
    gru_q,
    lstm_q,
    deft_pointwise_q_ref,
    fold,
};
#else
typedef int deft_kernels_vnni_is_elsewhere;
#endif
