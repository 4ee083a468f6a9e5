/* finite.c - are these numbers? Part of the freestanding runtime. */
#include "runtime/step.h"

/* Without branches, so that compilers make vectors of it. */
int deft_all_finite(const float *x, uint32_t n)
{
    int bad = 0;
    for (uint32_t i = 0; i < n; i++) bad |= !(x[i] - x[i] == 0); // infinity - infinity is none
    return !bad;
}
