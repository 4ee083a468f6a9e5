/* kernels_neon.c - for AArch64, where NEON is always there. Empty elsewhere. */
#if defined(__aarch64__)
#define SIMD_LANES  4
#define SIMD_CHAINS 16
#include "kernels/kernels_simd.h"

extern const deft_kernels_f32 deft_kernels_f32_neon;
const deft_kernels_f32 deft_kernels_f32_neon = SIMD_KERNELS;
#else
typedef int deft_kernels_neon_is_elsewhere;
#endif
