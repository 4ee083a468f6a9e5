/* kernels_q_256.h - what the compiler's vectors lack, with AVX2: eight lanes. See
 * kernels_q_types.h. */
#ifndef DEFT_KERNELS_Q_256_H
#define DEFT_KERNELS_Q_256_H

#include "kernels/kernels_q_types.h"

#include <immintrin.h>

Q_INLINE qi scale(qi a, qi m, q_rounding r)
{
    const __m256i x = (__m256i)a, y = (__m256i)m, add = _mm256_set1_epi64x(r.add);
    const __m256i odd_x = _mm256_srli_epi64(x, 32), odd_y = _mm256_srli_epi64(y, 32);
    const __m256i even = _mm256_add_epi64(_mm256_mul_epi32(x, y), add);
    const __m256i odd = _mm256_add_epi64(_mm256_mul_epi32(odd_x, odd_y), add);
    return (qi)_mm256_blend_epi32(_mm256_srlv_epi64(even, _mm256_set1_epi64x(r.shift)),
                                  _mm256_sllv_epi64(odd, _mm256_set1_epi64x(32 - r.shift)), 0xAA);
}

Q_INLINE qi lesser(qi a, qi b)
{
    return (qi)_mm256_min_epi32((__m256i)a, (__m256i)b);
}

Q_INLINE qi greater(qi a, qi b)
{
    return (qi)_mm256_max_epi32((__m256i)a, (__m256i)b);
}

Q_INLINE qi magnitude(qi x)
{
    return (qi)_mm256_abs_epi32((__m256i)x);
}

Q_INLINE qi pairs_at(const int16_t *e, qi i)
{
    return (qi)_mm256_i32gather_epi32((const int *)(const void *)e, (__m256i)i, 2);
}

Q_INLINE qi dot_pairs(qi a, qi b)
{
    return (qi)_mm256_madd_epi16((__m256i)a, (__m256i)b);
}

Q_INLINE void store16(int16_t *p, qi v)
{
    const __m256i twice = _mm256_packs_epi32((__m256i)v, (__m256i)v);
    const __m256i all = _mm256_permute4x64_epi64(twice, 0x08);
    _mm_storeu_si128((__m128i *)(void *)p, _mm256_castsi256_si128(all));
}

Q_INLINE void store8(uint8_t *p, qi v)
{
    const __m256i twice = _mm256_packs_epi32((__m256i)v, (__m256i)v);
    const __m128i words = _mm256_castsi256_si128(_mm256_permute4x64_epi64(twice, 0x08));
    _mm_storel_epi64((__m128i *)(void *)p, _mm_packus_epi16(words, words));
}

Q_INLINE qw expand(const uint8_t *p, const uint32_t n)
{
    if (n == 1) return (qw)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)p));
    if (n == 2) return (qw)_mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)p));
    // bytes 0 to 11 and 12 to 23: both loads stay within the 24
    const __m128i three = _mm_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1);
    const __m128i late = _mm_setr_epi8(4, 5, 6, -1, 7, 8, 9, -1, 10, 11, 12, -1, 13, 14, 15, -1);
    const __m128i low = _mm_shuffle_epi8(_mm_loadu_si128((const void *)p), three);
    const __m128i high = _mm_shuffle_epi8(_mm_loadu_si128((const void *)(p + 8)), late);
    return (qw)_mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
}

#endif
