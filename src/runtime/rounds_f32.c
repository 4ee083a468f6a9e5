/* rounds_f32.c - do floats round as they should? Part of the freestanding runtime. */
#include "base/float_rules.h"

#include "base/float_ops.h"
#include "base/math_f32.h"
#include "runtime/step.h"

static const DEFT_FLASH float rounding_weight[24] = {
    -1.9f, 0.73f,  1.31f, -0.37f, 0.91f,  -1.13f, 0.57f,  1.7f,   -0.83f, 0.29f, -1.51f, 1.09f,
    0.43f, -0.67f, 1.87f, -0.19f, -1.37f, 0.97f,  -0.53f, -1.61f, 0.79f,  1.19f, -0.31f, -0.89f};
static const DEFT_FLASH float rounding_bias[1] = {0.1f};

/* A sum of 40 steps that feed what comes out back in, through the kernel that every policy uses:
 * sums whose order a compiler may change, products that it may fuse with what they are added to,
 * the divisions and constants of tanh and sigmoid, and numbers too small for 24 bits, which a
 * processor may take for zero. */
int deft_floats_round_f32(deft_dense_f32 *rows)
{
    const deft_matrix_f32 m = {rounding_weight, rounding_bias, 24, 1};
    volatile float start = 0.4142135f; // the compiler must not work it out
    float x[24], y = start;
    uint32_t sum = 0;
    for (uint32_t i = 0; i < 24; i++) x[i] = y * rounding_weight[i];
    for (uint32_t t = 0; t < 40; t++) {
        float *const next = x + t % 24;
        rows(&m, x, &y);
        const float small = y * 5e-39f, h = deft_tanh_f32(y);
        *next = h + deft_sigmoid_f32(y) * (*next - h) + small * 1.7e+37f;
        sum = (sum ^ deft_bits_f32(*next)) * 16777619u;
    }
    return sum == 0xF53FEC68u;
}
