/* vec.h - the elementwise part of training, for the instruction set of this CPU. Every set gives
 * the same bits: operations are unfused, and sums have a stated order. */
#ifndef DEFT_TRAIN_VEC_H
#define DEFT_TRAIN_VEC_H

#include <stdint.h>

/* Functions whose derivative follows from their own value. */
typedef enum deft_unit {
    DEFT_UNIT_LINEAR = 0,
    DEFT_UNIT_RELU,
    DEFT_UNIT_TANH,
    DEFT_UNIT_ELU, // alpha 1
} deft_unit;

/* Adam (Kingma, Ba 2015, algorithm 1) as PyTorch computes it: eps is added outside the root of the
 * corrected second moment. step counts from 1. */
typedef struct deft_adam {
    float rate, beta1, beta2, epsilon;
    int64_t step;
} deft_adam;

typedef struct deft_vec {
    const char *name;
    /* y[rows][n] = f(y + bias[n]); bias NULL: zeros */
    void (*bias_unit)(float *y, const float *bias, int rows, int n, deft_unit f);
    /* d[rows][n] *= f'(y) by y = f(.); and, where sum is not NULL, sum[n] += over rows of d, row by
     * row */
    void (*unit_backward)(float *d, const float *y, int rows, int n, deft_unit f);
    void (*column_sum)(const float *d, int rows, int n, float *sum);
    /* moment1, moment2, param [n] in place */
    void (*adam)(const deft_adam *a, float *param, float *moment1, float *moment2,
                 const float *grad, int n);
    void (*polyak)(float *target, const float *param, float tau, int n); // t += tau (p - t)
    /* LayerNorm: x[rows][n] becomes (x - mean) / sqrt(var + 1e-5), r[rows] the reciprocal root,
     * y = x gamma + beta */
    void (*norm)(float *x, float *r, float *y, const float *gain_shift, int rows, int n);
    /* d[rows][n] by y -> d by the input, shape {rows, n}; grad[2 n] += by gamma, beta (NULL: not
     * wanted) */
    void (*norm_backward)(float *d, const float *x, const float *r, const float *gain, float *grad,
                          const int shape[2]);
    void (*multiply)(float *x, const float *y, int n);
} deft_vec;

const deft_vec *deft_vec_best(void);
extern const deft_vec deft_vec_base;
#if defined(__x86_64__)
extern const deft_vec deft_vec_avx2, deft_vec_avx512;
#endif

#endif
