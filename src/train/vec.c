/* vec.c - chooses. */
#include "train/vec.h"

const deft_vec *deft_vec_best(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")) {
        return &deft_vec_avx512;
    }
    if (__builtin_cpu_supports("avx2")) return &deft_vec_avx2;
#endif
    return &deft_vec_base;
}
