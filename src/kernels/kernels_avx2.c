/* kernels_avx2.c - for x86-64 with AVX2. Empty elsewhere. */
#if defined(__AVX2__)
#define SIMD_LANES  8
#define SIMD_CHAINS 8
#include "kernels/kernels_simd.h"

extern const deft_kernels_f32 deft_kernels_f32_avx2;
const deft_kernels_f32 deft_kernels_f32_avx2 = SIMD_KERNELS;
#else
typedef int deft_kernels_avx2_is_elsewhere;
#endif
