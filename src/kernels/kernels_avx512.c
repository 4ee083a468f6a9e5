/* kernels_avx512.c - for x86-64 with AVX-512 F, BW, DQ and VL. Empty elsewhere. */
#if defined(__AVX512F__)
#define SIMD_LANES  16
#define SIMD_CHAINS 8
#include "kernels/kernels_simd.h"

extern const deft_kernels_f32 deft_kernels_f32_avx512;
const deft_kernels_f32 deft_kernels_f32_avx512 = SIMD_KERNELS;
#else
typedef int deft_kernels_avx512_is_elsewhere;
#endif
