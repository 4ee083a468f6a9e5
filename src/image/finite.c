/* finite.c - are these numbers? Part of the freestanding runtime. */
#include "base/float_ops.h"
#include "image/image.h"

/* By the exponent, because compilers may take all floats for finite. Without branches, so that they
 * make vectors of it. */
int deft_all_finite(const void *p, uint32_t n)
{
    const float *const x = (const float *)p;
    int bad = 0;
    for (uint32_t i = 0; i < n; i++) bad |= (deft_bits_f32(x[i]) & 0x7F800000u) == 0x7F800000u;
    return !bad;
}
