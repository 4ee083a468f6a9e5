/* float_ops.h - the bits of a float, and quotients that are correctly rounded on every machine.
 * Part of the freestanding runtime. */
#ifndef DEFT_BASE_FLOAT_OPS_H
#define DEFT_BASE_FLOAT_OPS_H

#include <stdint.h>
#include <string.h>

/* By a union: to freestanding compilers memcpy is a call. */
static inline uint32_t deft_bits_f32(float x)
{
    union {
        float number;
        uint32_t bits;
    } u;
    u.number = x;
    return u.bits;
}

/* avr-libc's division rounds quotients below 2^-126 wrongly, and is right elsewhere; its other
 * operations are. */
static inline float deft_divide_f32(float a, float b)
{
    const float q = a / b;
#if defined(__AVR__)
    uint32_t u = deft_bits_f32(q), mantissa[2];
    int32_t exponent[2];
    if ((u & 0x7FFFFFFFu) > 0x00800000u) return q;
    for (uint8_t k = 0; k < 2; k++) { // 24 bits, times 2^(exponent - 150)
        uint32_t m = deft_bits_f32(k ? b : a);
        exponent[k] = (int32_t)(m >> 23 & 255u);
        m = exponent[k] ? (m & 0x7FFFFFu) | 0x800000u : (m & 0x7FFFFFu) << 1;
        if (m == 0 || exponent[k] == 255) return q;
        for (; m < 0x800000u; exponent[k]--) m <<= 1;
        mantissa[k] = m;
    }
    const int32_t shift = exponent[0] - exponent[1] + 149; // to units of 2^-149; at most 24
    if (shift < -2) return q;                              // a zero
    const uint64_t n = (uint64_t)mantissa[0] << (shift > 0 ? shift : 0);
    const uint64_t d = (uint64_t)mantissa[1] << (shift < 0 ? -shift : 0);
    const uint32_t whole = (uint32_t)(n / d);
    const uint64_t rest = 2 * (n % d);
    float exact;
    u = (u & 0x80000000u) | (whole + (rest > d || (rest == d && (whole & 1u))));
    memcpy(&exact, &u, sizeof exact);
    return exact;
#else
    return q;
#endif
}

#endif
