/* kernels_avxvnni.c - integers for x86-64 with AVX2 and AVX-VNNI. Empty elsewhere. */
#if defined(__AVXVNNI__)
#define SIMD_LANES 8
#include "kernels/kernels_q_256.h"

enum { FLIP_LOW = 0, FLIP_HIGH = 128 };

Q_INLINE qi dot_low(qi acc, qw w, qi x)
{
    return (qi)_mm256_dpbusd_avx_epi32((__m256i)acc, (__m256i)x, (__m256i)w);
}

Q_INLINE qi dot_high(qi acc, qw w, qi x)
{
    return (qi)_mm256_dpbusd_avx_epi32((__m256i)acc, (__m256i)w, (__m256i)x);
}

#define Q_MOST(how) ((how)&Q_WIDE ? 4 : 8)
#define Q_REGISTER  "+x"
#include "kernels/kernels_q_dot.h"

extern const deft_kernels_q deft_kernels_q_avxvnni;
const deft_kernels_q deft_kernels_q_avxvnni = Q_KERNELS;
#else
typedef int deft_kernels_avxvnni_is_elsewhere;
#endif
