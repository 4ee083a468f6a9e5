/* gemm.h - the one BLAS call that training stands on, from OpenBLAS.
 *
 * OpenBLAS is opened at run time, not linked: it picks its kernels when it is loaded, and releases
 * older than a CPU take the slowest ones for it (0.3.21 runs SSE3 code on a Xeon of 2023, a fifth
 * of its speed). Before opening it we therefore name a kernel set that the CPU executes, unless the
 * user already did (OPENBLAS_CORETYPE). */
#ifndef DEFT_TRAIN_GEMM_H
#define DEFT_TRAIN_GEMM_H

#include "deft/base.h"

typedef struct deft_blas deft_blas;

/* core NULL: choose; else a name for OPENBLAS_CORETYPE, for runs that must repeat (it only counts
 * in the first call of a process). DEFT_E_UNSUPPORTED if OpenBLAS is missing (the text names the
 * package) or cannot be loaded. Call before starting threads: it may set an environment variable.
 */
deft_status deft_blas_create(const char *core, deft_blas **out, deft_error *err);
void deft_blas_destroy(deft_blas *b); // NULL is fine
/* OpenBLAS keeps a buffer for each product that is under way, and does not return where there is no
 * memory for one: this takes them beforehand, for products of at most `largest` multiplications on
 * so many threads. Addresses only: what is not used costs nothing. DEFT_E_SPACE. */
deft_status deft_blas_reserve(const deft_blas *b, int64_t largest, int threads, deft_error *err);
const char *deft_blas_core(const deft_blas *b); // "SkylakeX", as OpenBLAS says

/* Row-major, leading dimensions in elements: C = A B + beta C, with A [m][k] or its transpose
 * [k][m] stored, B likewise. And then, where a layer's bias and unit are at hand: C = max(C + bias,
 * 0) or what of it is wanted. */
typedef struct deft_gemm {
    int m, n, k;
    bool a_transposed, b_transposed;
    const float *a, *b;
    float *c;
    int lda, ldb, ldc;
    float beta;
    const float *bias; // [n], NULL: none
    bool relu;
} deft_gemm;
/* False: bias and ReLU are still to be done. */
bool deft_blas_gemm(const deft_blas *b, const deft_gemm *g);

#if defined(__x86_64__)
/* The same for a CPU with AVX-512 F, for beta 0 and 1; what deft_blas_gemm does with small
 * products, on which a library spends as long as they take. */
void deft_gemm_avx512(const deft_gemm *g);
#endif

#endif
