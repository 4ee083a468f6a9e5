/* kernels_vnni.c - integers for x86-64 with AVX-512 F, BW, DQ, VL and VNNI. Empty elsewhere. */
#if defined(__AVX512VNNI__)
#define SIMD_LANES 16
#define Q_MASKED
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

Q_INLINE qi mul_q31(qi a, qi m)
{
    const __m512i x = (__m512i)a, y = (__m512i)m, half = _mm512_set1_epi64(1 << 30);
    const __m512i even = _mm512_add_epi64(_mm512_mul_epi32(x, y), half);
    const __m512i odd = _mm512_add_epi64(
        _mm512_mul_epi32(_mm512_srli_epi64(x, 32), _mm512_srli_epi64(y, 32)), half);
    // the result has 32 bits: those above are not looked at
    return (qi)_mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64(even, 31),
                                       _mm512_add_epi64(odd, odd));
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
    _mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtepi32_epi16((__m512i)v));
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
#define Q_SPLIT_OF_ITS_OWN
#include "kernels/kernels_q_dot.h"

Q_INLINE void q_split(inputs *in, const int16_t *x, uint32_t n)
{
    __m512i low = _mm512_setzero_si512(), high = low;
    for (uint32_t i = 0; i < n; i += 32) {
        const __mmask32 there = _bzhi_u32(UINT32_MAX, n - i);
        const __m512i v = _mm512_maskz_loadu_epi16(there, x + i);
        const __m512i a = _mm512_and_si512(v, _mm512_set1_epi16(255)), b = _mm512_srai_epi16(v, 8);
        _mm256_storeu_si256((__m256i *)(void *)(in->low + i), _mm512_cvtepi16_epi8(a));
        _mm256_storeu_si256((__m256i *)(void *)(in->high + i), _mm512_cvtepi16_epi8(b));
        low = _mm512_add_epi32(low, _mm512_madd_epi16(a, _mm512_set1_epi16(1)));
        high = _mm512_add_epi32(high, _mm512_madd_epi16(b, _mm512_set1_epi16(1)));
    }
    in->sum_low = (uint32_t)_mm512_reduce_add_epi32(low);
    in->sum_high = (uint32_t)_mm512_reduce_add_epi32(high);
}
#include "kernels/kernels_q_panel.h"

extern const deft_kernels_q deft_kernels_q_vnni;
const deft_kernels_q deft_kernels_q_vnni = Q_KERNELS;
#else
typedef int deft_kernels_vnni_is_elsewhere;
#endif
