/* math_f32.c - exp, tanh and friends from polynomials. Part of the freestanding runtime.
 * The polynomials are those of Cephes (S. L. Moshier, expf.c, tanhf.c, ndtrf.c, logf.c). */
#include "base/float_rules.h"

#include "base/float_ops.h"
#include "base/math_f32.h"

#include <float.h>
#include <stdint.h>
#include <string.h>

#if FLT_EVAL_METHOD != 0
#error "float arithmetic must not carry extra precision"
#endif

static float from_bits(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static uint32_t to_bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static float absolute(float x)
{
    return from_bits(to_bits(x) & 0x7FFFFFFFu);
}

/* (exp(r) - 1 - r) / r^2 for |r| <= ln(2) / 2 */
static float exp_tail(float r)
{
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    return p * r + 5.0000001201e-1f;
}

float deft_exp_f32(float x)
{
    if (!(x > -104.0f)) return x != x ? x : 0.0f;
    if (x > 88.722839f) return from_bits(0x7F800000u);
    const float t = x * 1.44269504088896341f;
    const int32_t k = (int32_t)(t < 0 ? t - 0.5f : t + 0.5f);
    // ln 2 in two parts: the product of k and the first is exact
    const float r = (x - (float)k * 0.693359375f) - (float)k * -2.12194440e-4f;
    const float y = exp_tail(r) * (r * r) + r + 1.0f;
    // 2^k in two factors, so that neither leaves the normal range
    const int32_t k1 = k / 2, k2 = k - k1;
    return y * from_bits((uint32_t)(k1 + 127) << 23) * from_bits((uint32_t)(k2 + 127) << 23);
}

float deft_expm1_f32(float x)
{
    if (absolute(x) < 0.34657359f) return exp_tail(x) * (x * x) + x;
    return deft_exp_f32(x) - 1.0f;
}

float deft_tanh_f32(float x)
{
    const float a = absolute(x);
    if (a < 0.625f) {
        const float z = x * x;
        float p = -5.70498872745e-3f;
        p = p * z + 2.06390887954e-2f;
        p = p * z - 5.37397155531e-2f;
        p = p * z + 1.33314422036e-1f;
        p = p * z - 3.33332819422e-1f;
        return p * z * x + x;
    }
    if (x != x) return x;
    const float y = a > 9.2f ? 1.0f : 1.0f - deft_divide_f32(2.0f, deft_exp_f32(a + a) + 1.0f);
    return x < 0 ? -y : y;
}

float deft_sigmoid_f32(float x)
{
    const float e = deft_exp_f32(-absolute(x)), d = 1.0f + e;
    if (x != x) return x;
    if (x >= 0) return deft_divide_f32(1.0f, d);
    // y = e / d, and what rounding lost of d: dy = -y lost / d, 1 / d = 1 - y
    const float y = deft_divide_f32(e, d), lost = e - (d - 1.0f);
    return y - y * (1.0f - y) * lost;
}

/* log(x), x normal and positive */
static float log_f32(float x)
{
    const uint32_t u = to_bits(x);
    int32_t e = (int32_t)(u >> 23) - 126;
    float m = from_bits((u & 0x7FFFFFu) | 0x3F000000u); // [0.5, 1)
    if (m < 0.707106781186547524f) {
        e--;
        m = m + m - 1.0f;
    } else {
        m = m - 1.0f;
    }
    const float z = m * m;
    float p = 7.0376836292e-2f;
    p = p * m - 1.1514610310e-1f;
    p = p * m + 1.1676998740e-1f;
    p = p * m - 1.2420140846e-1f;
    p = p * m + 1.4249322787e-1f;
    p = p * m - 1.6668057665e-1f;
    p = p * m + 2.0000714765e-1f;
    p = p * m - 2.4999993993e-1f;
    p = p * m + 3.3333331174e-1f;
    const float fe = (float)e;
    float y = p * m * z;
    y = y + fe * -2.12194440e-4f;
    y = y - 0.5f * z;
    return (m + y) + fe * 0.693359375f;
}

float deft_softplus_f32(float x)
{
    const float u = deft_exp_f32(-absolute(x)), w = 1.0f + u;
    // log1p(u) = log(w) u / (w - 1): the rounding of w cancels (Kahan)
    const float l = w == 1.0f ? u : log_f32(w) * deft_divide_f32(u, w - 1.0f);
    if (x != x) return x;
    return x > 0 ? x + l : l;
}

float deft_erf_f32(float x)
{
    const float a = absolute(x);
    if (a < 1.0f) {
        const float z = x * x;
        float p = 7.853861353153693e-5f;
        p = p * z - 8.010193625184903e-4f;
        p = p * z + 5.188327685732524e-3f;
        p = p * z - 2.685381193529856e-2f;
        p = p * z + 1.128358514861418e-1f;
        p = p * z - 3.761262582423300e-1f;
        p = p * z + 1.128379165726710f;
        return x * p;
    }
    if (x != x) return x;
    if (a > 4.0f) return x < 0 ? -1.0f : 1.0f;
    const float q = deft_divide_f32(1.0f, a), z = q * q;
    float p;
    if (a < 2.0f) {
        p = 2.326819970068386e-2f;
        p = p * z - 1.387039388740657e-1f;
        p = p * z + 3.687424674597105e-1f;
        p = p * z - 5.824733027278666e-1f;
        p = p * z + 6.210004621745983e-1f;
        p = p * z - 4.944515323274145e-1f;
        p = p * z + 3.404879937665872e-1f;
        p = p * z - 2.741127028184656e-1f;
        p = p * z + 5.638259427386472e-1f;
    } else {
        p = -1.047766399936249e+1f;
        p = p * z + 1.297719955372516e+1f;
        p = p * z - 7.495518717768503f;
        p = p * z + 2.921019019210786f;
        p = p * z - 1.015265279202700f;
        p = p * z + 4.218463358204948e-1f;
        p = p * z - 2.820767439740514e-1f;
        p = p * z + 5.641895067754075e-1f;
    }
    const float y = 1.0f - deft_exp_f32(-(a * a)) * q * p;
    return x < 0 ? -y : y;
}

float deft_sqrt_f32(float x)
{
    if (!(x > 0)) return x != x ? x : 0.0f;
    uint32_t u = to_bits(x);
    if (u >= 0x7F800000u) return x;
    const int32_t subnormal = u < 0x00800000u;
    if (subnormal) u = to_bits(x * 16777216.0f); // 2^24
    // The root of the 24-bit mantissa, scaled to 50 bits: 25 bits, the last one decides rounding.
    const int32_t e = (int32_t)(u >> 23) - 127;
    uint64_t m = (uint64_t)((u & 0x7FFFFFu) | 0x800000u) << ((e & 1) ? 26 : 25);
    uint64_t root = 0, bit = (uint64_t)1 << 48;
    for (; bit; bit >>= 2) {
        if (m >= root + bit) {
            m -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
    }
    root = (root + 1) >> 1; // never a tie: a tie would need 49 bits of square
    const int32_t half = (e - (e & 1)) / 2 - (subnormal ? 12 : 0);
    const uint32_t exponent = (uint32_t)(half + 127);
    return from_bits((exponent << 23) + (uint32_t)(root - 0x800000u));
}

/* Activations, by the names of their layers. */
static float relu_f32(float x)
{
    return x > 0 || x != x ? x : 0.0f;
}

static float leaky_relu_f32(float x, float alpha)
{
    return x < 0 ? alpha * x : x;
}

static float elu_f32(float x, float alpha)
{
    return x < 0 ? alpha * deft_expm1_f32(x) : x;
}

static float selu_f32(float x, float alpha, float beta)
{
    return x < 0 ? beta * (alpha * deft_expm1_f32(x)) : beta * x;
}

static float silu_f32(float x)
{
    return x * deft_sigmoid_f32(x);
}

static float gelu_f32(float x)
{
    return 0.5f * x * (1.0f + deft_erf_f32(x * 0.707106781186547524f));
}

static float gelu_tanh_f32(float x)
{
    return 0.5f * x * (1.0f + deft_tanh_f32(0.797884560802865356f * (x + 0.044715f * (x * x * x))));
}

static float softsign_f32(float x)
{
    return deft_divide_f32(x, 1.0f + absolute(x));
}

static float clip_f32(float x, float lo, float hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

float deft_activation_f32(deft_activation a, float x)
{
    switch (a.kind) {
    case DEFT_ACT_NONE:
        return x;
    case DEFT_ACT_RELU:
        return relu_f32(x);
    case DEFT_ACT_LEAKY_RELU:
        return leaky_relu_f32(x, a.alpha);
    case DEFT_ACT_ELU:
        return elu_f32(x, a.alpha);
    case DEFT_ACT_SELU:
        return selu_f32(x, a.alpha, a.beta);
    case DEFT_ACT_SILU:
        return silu_f32(x);
    case DEFT_ACT_GELU:
        return gelu_f32(x);
    case DEFT_ACT_GELU_TANH:
        return gelu_tanh_f32(x);
    case DEFT_ACT_TANH:
        return deft_tanh_f32(x);
    case DEFT_ACT_SIGMOID:
        return deft_sigmoid_f32(x);
    case DEFT_ACT_SOFTSIGN:
        return softsign_f32(x);
    case DEFT_ACT_SOFTPLUS:
        return deft_softplus_f32(x);
    case DEFT_ACT_CLIP:
        return clip_f32(x, a.alpha, a.beta);
    }
    return x;
}
