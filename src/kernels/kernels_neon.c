/* kernels_neon.c - for AArch64, where NEON is always there. Empty elsewhere. */
#if defined(__aarch64__)
#define SIMD_LANES  4
#define SIMD_CHAINS 16
#include "kernels/kernels_q_neon.h"
#include "kernels/kernels_simd.h"

/* Four sums a row. */
typedef struct parts {
    int32x4_t a, b, c, d;
} parts;

typedef int16x8_t four; // twice

Q_INLINE four four_of(const int16_t *x)
{
    const int16x4_t all = vld1_s16(x);
    return vcombine_s16(all, all);
}

Q_INLINE void mac16(parts *s, qw w, four x)
{
    const int16x8_t ab = vmovl_s8(vget_low_s8((int8x16_t)w)), cd = vmovl_high_s8((int8x16_t)w);
    s->a = vmlal_s16(s->a, vget_low_s16(ab), vget_low_s16(x));
    s->b = vmlal_high_s16(s->b, ab, x);
    s->c = vmlal_s16(s->c, vget_low_s16(cd), vget_low_s16(x));
    s->d = vmlal_high_s16(s->d, cd, x);
}

Q_INLINE qi add_parts(parts s)
{
    return (qi)vpaddq_s32(vpaddq_s32(s.a, s.b), vpaddq_s32(s.c, s.d));
}

#define Q_MOST(how) 4
#include "kernels/kernels_q_wide.h"

extern const deft_kernels_f32 deft_kernels_f32_neon;
const deft_kernels_f32 deft_kernels_f32_neon = SIMD_KERNELS;
extern const deft_kernels_q deft_kernels_q_neon;
const deft_kernels_q deft_kernels_q_neon = Q_KERNELS;
#else
typedef int deft_kernels_neon_is_elsewhere;
#endif
