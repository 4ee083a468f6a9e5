/* kernels_q_dot.h - inputs for instruction sets that multiply four bytes by four bytes and add up:
 * unsigned ones by weights of 8 bits; inputs of 16 bits are 256 high + low. The including file has
 *   qi dot_low(qi acc, qw w, qi x)    x unsigned bytes; takes w + FLIP_LOW
 *   qi dot_high(qi acc, qw w, qi x)   x signed bytes; takes w + FLIP_HIGH
 *   enum { FLIP_LOW, FLIP_HIGH }      0 or 128: what the instructions want added to weights, and
 *                                     what is taken back by the sum of the inputs
 * See kernels_q_panel.h. */
#ifndef DEFT_KERNELS_Q_DOT_H
#define DEFT_KERNELS_Q_DOT_H

#include "kernels/kernels_q_vec.h"

enum {
    Q_WIDE = 1,    // inputs of 16 bits
    Q_NIBBLES = 2, // weights of 4 bits, plus 8
    Q_PIECE = 1024,
};

typedef struct inputs {
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

static void prepare(inputs *in, const void *x, uint32_t n, const int how)
{
    memset(in->low + n, 0, 4);
    if (how & Q_WIDE) {
        memset(in->high + n, 0, 4);
        q_split(in, x, n);
        return;
    }
    const uint8_t *const bytes = x;
    memcpy(in->low, bytes, n);
    in->sum_low = 0;
    in->sum_high = 0;
    if (FLIP_LOW == 0 && !(how & Q_NIBBLES)) return;
    for (uint32_t i = 0; i < n; i++) in->sum_low += bytes[i];
}

Q_INLINE qi q_four(const uint8_t *p)
{
    int32_t four;
    memcpy(&four, p, sizeof four);
    return q_splat(four);
}

Q_INLINE group spread(const inputs *in, uint32_t g, const int how)
{
    group x = {q_four(in->low + (size_t)4 * g), {0}};
    if (how & Q_WIDE) x.high = q_four(in->high + (size_t)4 * g);
    return x;
}

Q_INLINE void mac(sums *s, qw w, group x, const int how)
{
    const int flip = !(how & Q_NIBBLES);
    s->low = dot_low(s->low, flip && FLIP_LOW > 0 ? w ^ 0x80 : w, x.low);
    if (how & Q_WIDE) s->high = dot_high(s->high, flip && FLIP_HIGH > 0 ? w ^ 0x80 : w, x.high);
}

Q_INLINE qi total(const sums *s, const int how)
{
    return how & Q_WIDE ? (qi)((qu)s->low + ((qu)s->high << 8)) : s->low;
}

Q_INLINE int32_t correction(const inputs *in, const int how)
{
    const uint32_t low = how & Q_NIBBLES ? 8 : FLIP_LOW, high = how & Q_NIBBLES ? 8 : FLIP_HIGH;
    const uint32_t c = low * in->sum_low + (how & Q_WIDE ? 256 * high * in->sum_high : 0);
    return (int32_t)(0 - c);
}

#endif
