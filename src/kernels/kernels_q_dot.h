/* kernels_q_dot.h - inputs for instruction sets that multiply four bytes by four bytes and add up:
 * unsigned ones by weights of 8 bits; inputs of 16 bits are 256 high + low. The including file has
 *   qi dot_low(qi acc, qw w, qi x)    x unsigned bytes; takes w + FLIP_LOW
 *   qi dot_high(qi acc, qw w, qi x)   x signed bytes; takes w + FLIP_HIGH
 *   enum { FLIP_LOW, FLIP_HIGH }      0 or 128: what the instructions want added to weights, and
 *                                     what is taken back by the sum of the inputs
 *   Q_REGISTER                        the constraint of an asm operand in a vector register
 * See kernels_q_panel.h. */
#ifndef DEFT_KERNELS_Q_DOT_H
#define DEFT_KERNELS_Q_DOT_H

#include "kernels/kernels_q_vec.h"

enum {
    Q_WIDE = 1,    // inputs of 16 bits
    Q_NIBBLES = 2, // weights of 4 bits, plus 8
    Q_PIECE = 1024,
};

/* The value is in a register. */
#define Q_ONCE(v) __asm__("" : Q_REGISTER(v))

typedef struct inputs {
    const uint8_t *bytes; // of inputs of 8 bits, in place
    uint8_t rest[4];      // the last ones, if they fill no group
    uint8_t low[Q_PIECE + 64], high[Q_PIECE + 64];
    uint32_t sum_low, sum_high; // modulo 2^32
} inputs;

typedef struct group {
    qi low, high;
} group;

typedef struct sums {
    qi low, high;
} sums;

/* The two bytes of n numbers, and their sums. */
#ifdef Q_SPLIT_OF_ITS_OWN
Q_INLINE void q_split(inputs *in, const int16_t *x, uint32_t n);
#else
Q_INLINE void q_split(inputs *in, const int16_t *x, uint32_t n)
{
    int32_t low = 0, high = 0; // of at most Q_PIECE bytes
    for (uint32_t i = 0; i < n; i++) {
        const int32_t v = x[i];
        in->low[i] = (uint8_t)(v & 255);
        in->high[i] = (uint8_t)(v >> 8 & 255);
        low += v & 255;
        high += v >> 8;
    }
    in->sum_low = (uint32_t)low;
    in->sum_high = (uint32_t)high;
}
#endif

Q_INLINE void clear(inputs *in)
{
    in->bytes = NULL;
    in->sum_low = in->sum_high = 0;
    memset(in->rest, 0, sizeof in->rest);
}

Q_INLINE void prepare(inputs *in, const void *x, uint32_t n, const int how)
{
    if (how & Q_WIDE) {
        memset(in->low + n, 0, 4);
        memset(in->high + n, 0, 4);
        q_split(in, x, n);
        return;
    }
    in->bytes = x;
    for (uint32_t k = 0; k < 4; k++) {
        in->rest[k] = (n & ~3u) + k < n ? in->bytes[(n & ~3u) + k] : 0;
    }
    in->sum_low = 0;
    if (FLIP_LOW == 0 && !(how & Q_NIBBLES)) return;
    for (uint32_t i = 0; i < n; i++) in->sum_low += in->bytes[i];
}

Q_INLINE qi q_four(const uint8_t *p)
{
    int32_t four;
    memcpy(&four, p, sizeof four);
    return q_splat(four);
}

Q_INLINE group spread(const inputs *in, uint32_t g, const int how)
{
    group x;
    x.low = q_four((how & Q_WIDE ? in->low : in->bytes) + (size_t)4 * g);
    x.high = how & Q_WIDE ? q_four(in->high + (size_t)4 * g) : x.low;
    return x;
}

/* The group of the tail. */
Q_INLINE group spread_rest(const inputs *in, uint32_t g, const int how)
{
    if (how & Q_WIDE) return spread(in, g, how);
    const group x = {q_four(in->rest), {0}};
    return x;
}

Q_INLINE void mac(sums *s, qw w, group x, const int how)
{
    const int flip = !(how & Q_NIBBLES);
    if (how & Q_WIDE) Q_ONCE(w); // one load for both, which may come from far
    s->low = dot_low(s->low, flip && FLIP_LOW > 0 ? w ^ 0x80 : w, x.low);
    if (how & Q_WIDE) s->high = dot_high(s->high, flip && FLIP_HIGH > 0 ? w ^ 0x80 : w, x.high);
}

Q_INLINE qi total(const sums *s, const int how)
{
    return how & Q_WIDE ? (qi)((qu)s->low + ((qu)s->high << 8)) : s->low;
}

/* What the offsets of the weights add to each row, taken away. */
Q_INLINE sums start(const inputs *in, const int how)
{
    const uint32_t low = how & Q_NIBBLES ? 8 : FLIP_LOW, high = how & Q_NIBBLES ? 8 : FLIP_HIGH;
    const uint32_t c = low * in->sum_low + (how & Q_WIDE ? 256 * high * in->sum_high : 0);
    const sums s = {q_splat((int32_t)(0 - c)), {0}};
    return s;
}

#include "kernels/kernels_q_panel.h"

#endif
