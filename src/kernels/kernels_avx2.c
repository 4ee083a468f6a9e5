/* kernels_avx2.c - for x86-64 with AVX2. Empty elsewhere. */
#if defined(__AVX2__)
#define SIMD_LANES  8
#define SIMD_CHAINS 8
#include "kernels/kernels_simd.h"

extern const deft_kernels deft_kernels_avx2;
const deft_kernels deft_kernels_avx2 = {"avx2", deft_dense_rows_f32_ref, dense_panels, activation,
                                        gru,    &deft_kernels_q_ref};
#else
typedef int deft_kernels_avx2_is_elsewhere;
#endif
