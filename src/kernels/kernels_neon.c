/* kernels_neon.c - for AArch64, where NEON is always there. Empty elsewhere. */
#if defined(__aarch64__)
#define SIMD_LANES  4
#define SIMD_CHAINS 16
#include "kernels/kernels_simd.h"

extern const deft_kernels deft_kernels_neon;
const deft_kernels deft_kernels_neon = {"neon", deft_dense_rows_f32_ref, dense_panels, activation,
                                        gru,    &deft_kernels_q_ref};
#else
typedef int deft_kernels_neon_is_elsewhere;
#endif
