/* kernels_neon_dot.c - integers for AArch64 with dot products (ARMv8.2). Empty elsewhere. */
#if defined(__ARM_FEATURE_DOTPROD) && defined(__aarch64__)
#define SIMD_LANES 4
#include "kernels/kernels_q_neon.h"

enum { FLIP_LOW = 128, FLIP_HIGH = 0 };

Q_INLINE qi dot_low(qi acc, qw w, qi x)
{
    return (qi)vdotq_u32((uint32x4_t)acc, (uint8x16_t)w, (uint8x16_t)x);
}

Q_INLINE qi dot_high(qi acc, qw w, qi x)
{
    return (qi)vdotq_s32((int32x4_t)acc, (int8x16_t)w, (int8x16_t)x);
}

#define Q_MOST(how) 8
#define Q_REGISTER  "+w"
#include "kernels/kernels_q_dot.h"

extern const deft_kernels_q deft_kernels_q_neon_dot;
const deft_kernels_q deft_kernels_q_neon_dot = Q_KERNELS;
#else
typedef int deft_kernels_neon_dot_is_elsewhere;
#endif
