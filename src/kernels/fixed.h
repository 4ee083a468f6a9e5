/* fixed.h - the fixed-point arithmetic of docs/format.md, for kernels and what stands beside them.
 * Right shifts of negative numbers are arithmetic. Nothing here, or in the kernels, relies on int
 * having more than 16 bits. Part of the freestanding runtime. */
#ifndef DEFT_KERNELS_FIXED_H
#define DEFT_KERNELS_FIXED_H

#include "deft/number.h"
#include "kernels/kernel_set.h"

static inline int32_t deft_clamp(int32_t v, int32_t lo, int32_t hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

static inline int32_t deft_clamp16(int32_t v)
{
    return deft_clamp(v, INT16_MIN, INT16_MAX);
}

/* |acc << shift| < 2^30 */
static inline int32_t deft_requant(int32_t acc, int32_t multiplier, uint32_t shift)
{
    const int64_t product = (int64_t)(acc * ((int32_t)1 << shift)) * multiplier;
    return (int32_t)((product + ((int32_t)1 << 30)) >> 31);
}

/* An accumulator of 64 bits, rounded, to 32: the bounds say that it fits. */
static inline int32_t deft_narrow(int64_t acc, uint32_t preshift)
{
    return (int32_t)(preshift ? (acc + ((int64_t)1 << (preshift - 1))) >> preshift : acc);
}

/* Rounds to a multiple of 2^bits. */
static inline int32_t deft_round16(int32_t v, uint32_t bits)
{
    if (bits == 0) return v;
    return deft_clamp16(((v + ((int32_t)1 << (bits - 1))) >> bits) * ((int32_t)1 << bits));
}

static inline int32_t deft_table_at(const deft_table_q *t, int32_t x) // x: 16 bits
{
    int32_t a = x + 32768;
    uint32_t b = 16u - t->log2_n;
    if (t->odd) {
        a = x < 0 ? -x : x;
        if (a > INT16_MAX) a = INT16_MAX;
        b--;
    }
    const DEFT_FLASH int16_t *const e = t->entry + (a >> b);
    const int32_t f = a & (((int32_t)1 << b) - 1), e0 = e[0], e1 = e[1];
    const int32_t y = e0 + (((e1 - e0) * f + ((int32_t)1 << (b - 1))) >> b);
    return t->odd && x < 0 ? -y : y;
}

/* s in Q11 -> Q15, by the table of tanh */
static inline int32_t deft_sigmoid_q15(const deft_table_q *tanh, int32_t s)
{
    return (deft_table_at(tanh, deft_clamp16(s)) + 32768) >> 1;
}

/* a * b in Q15 */
static inline int32_t deft_mul_q15(int32_t a, int32_t b)
{
    return (a * b + ((int32_t)1 << 14)) >> 15;
}

/* Number o of an output, from v = requant(acc). */
static inline void deft_put(const deft_output_q *out, int32_t v, void *y, uint32_t o)
{
    if (out->table.entry) {
        v = deft_table_at(&out->table, deft_clamp16(v));
        if (out->format == DEFT_NUM_U8) v = (v + 32768 + 128) >> 8;
    } else {
        v += out->zero;
    }
    v = deft_clamp(v, out->lo, out->hi);
    if (out->format == DEFT_NUM_U8) {
        ((uint8_t *)y)[o] = (uint8_t)v;
    } else {
        ((int16_t *)y)[o] = (int16_t)v;
    }
}

static inline int32_t deft_input(uint8_t format, const void *x, uint32_t i)
{
    return format == DEFT_NUM_U8 ? ((const uint8_t *)x)[i] : ((const int16_t *)x)[i];
}

#endif
