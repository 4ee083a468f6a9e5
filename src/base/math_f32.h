/* math_f32.h - float functions of our own: the same bits on every machine.
 *
 * Only +, -, *, / and integer operations on binary32, unfused, round to nearest: no libm, which the
 * runtime does not have and whose results differ between systems. Largest errors, measured over all
 * floats against double (tests/unit/base/test_math_f32.c): exp, tanh, sigmoid at most 2 ulp. SIMD
 * kernels do the same operations in the same order, lane by lane. */
#ifndef DEFT_BASE_MATH_F32_H
#define DEFT_BASE_MATH_F32_H

#include "deft/activation.h"

float deft_exp_f32(float x); // overflow: +inf; below 2^-126: gradually to 0
float deft_expm1_f32(float x);
float deft_tanh_f32(float x);
float deft_sigmoid_f32(float x);  // 1 / (1 + exp(-x))
float deft_softplus_f32(float x); // log(1 + exp(x))
float deft_erf_f32(float x);      // at most 4 ulp
float deft_sqrt_f32(float x);     // correctly rounded; 0 for x <= 0

/* One of deft_activation_kind. */
float deft_activation_f32(deft_activation a, float x);

#endif
