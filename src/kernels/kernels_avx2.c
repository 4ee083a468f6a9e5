/* kernels_avx2.c - for x86-64 with AVX2. Empty elsewhere. */
#if defined(__AVX2__)
#define SIMD_LANES  8
#define SIMD_CHAINS 8
#include "kernels/kernels_q_256.h"
#include "kernels/kernels_simd.h"

/* Two sums a row: rows 0 to 3, then 4 to 7. */
typedef struct parts {
    __m256i low, high;
} parts;

typedef __m256i four;

Q_INLINE four four_of(const int16_t *x)
{
    int64_t all;
    memcpy(&all, x, sizeof all);
    return _mm256_set1_epi64x(all);
}

Q_INLINE void mac16(parts *s, qw w, four x)
{
    const __m256i low = _mm256_cvtepi8_epi16(_mm256_castsi256_si128((__m256i)w));
    const __m256i high = _mm256_cvtepi8_epi16(_mm256_extracti128_si256((__m256i)w, 1));
    s->low = _mm256_add_epi32(s->low, _mm256_madd_epi16(low, x));
    s->high = _mm256_add_epi32(s->high, _mm256_madd_epi16(high, x));
}

Q_INLINE qi add_parts(parts s)
{
    return (qi)_mm256_permute4x64_epi64(_mm256_hadd_epi32(s.low, s.high), 0xD8);
}

#define Q_MOST(how) 4
#include "kernels/kernels_q_wide.h"

extern const deft_kernels_f32 deft_kernels_f32_avx2;
const deft_kernels_f32 deft_kernels_f32_avx2 = SIMD_KERNELS;
extern const deft_kernels_q deft_kernels_q_avx2;
const deft_kernels_q deft_kernels_q_avx2 = Q_KERNELS;
#else
typedef int deft_kernels_avx2_is_elsewhere;
#endif
