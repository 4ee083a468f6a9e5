/* kernels_q_neon.h - what the compiler's vectors lack, with NEON: four lanes. See
 * kernels_q_types.h. */
#ifndef DEFT_KERNELS_Q_NEON_H
#define DEFT_KERNELS_Q_NEON_H

#include "kernels/kernels_q_types.h"

#include <arm_neon.h>

Q_INLINE qi scale(qi a, qi m, q_rounding r)
{
    const int32x4_t x = (int32x4_t)a, y = (int32x4_t)m;
    const int64x2_t add = vdupq_n_s64(r.add), by = vdupq_n_s64(-r.shift);
    const int64x2_t low = vmull_s32(vget_low_s32(x), vget_low_s32(y)), high = vmull_high_s32(x, y);
    return (qi)vcombine_s32(vmovn_s64(vshlq_s64(vaddq_s64(low, add), by)),
                            vmovn_s64(vshlq_s64(vaddq_s64(high, add), by)));
}

Q_INLINE qi lesser(qi a, qi b)
{
    return (qi)vminq_s32((int32x4_t)a, (int32x4_t)b);
}

Q_INLINE qi greater(qi a, qi b)
{
    return (qi)vmaxq_s32((int32x4_t)a, (int32x4_t)b);
}

Q_INLINE qi magnitude(qi x)
{
    return (qi)vabsq_s32((int32x4_t)x);
}

Q_INLINE qi pairs_at(const int16_t *e, qi i)
{
    int32_t all[SIMD_LANES];
    for (uint32_t k = 0; k < QLANES; k++) memcpy(&all[k], e + i[k], sizeof *all);
    return q_load(all);
}

Q_INLINE qi dot_pairs(qi a, qi b)
{
    const int16x8_t x = (int16x8_t)a, y = (int16x8_t)b;
    return (qi)vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)), vmull_high_s16(x, y));
}

Q_INLINE void store16(int16_t *p, qi v)
{
    vst1_s16(p, vqmovn_s32((int32x4_t)v));
}

Q_INLINE void store8(uint8_t *p, qi v)
{
    const uint16x4_t words = vmovn_u32((uint32x4_t)v);
    const uint8x8_t bytes = vmovn_u16(vcombine_u16(words, words));
    const uint32_t four = vget_lane_u32(vreinterpret_u32_u8(bytes), 0);
    memcpy(p, &four, sizeof four);
}

Q_INLINE qw expand(const uint8_t *p, const uint32_t n)
{
    static const uint8_t place[3][16] = {
        {0, 255, 255, 255, 1, 255, 255, 255, 2, 255, 255, 255, 3, 255, 255, 255},
        {0, 1, 255, 255, 2, 3, 255, 255, 4, 5, 255, 255, 6, 7, 255, 255},
        {0, 1, 2, 255, 3, 4, 5, 255, 6, 7, 8, 255, 9, 10, 11, 255},
    };
    uint32_t word[4] = {0};
    for (uint32_t k = 0; k < n; k++) memcpy(&word[k], p + (size_t)4 * k, sizeof *word);
    return (qw)vqtbl1q_u8(vreinterpretq_u8_u32(vld1q_u32(word)), vld1q_u8(place[n - 1]));
}

#endif
