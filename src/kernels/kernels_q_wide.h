/* kernels_q_wide.h - inputs for instruction sets that multiply numbers of 16 bits: weights are
 * widened. The including file has
 *   typedef parts                     sums of QLANES rows, not yet added up within rows
 *   typedef four                      four inputs of 16 bits, over all lanes
 *   four four_of(const int16_t *x)
 *   void mac16(parts *s, qw w, four x)      w: signed bytes
 *   qi add_parts(parts s)
 * See kernels_q_panel.h. */
#ifndef DEFT_KERNELS_Q_WIDE_H
#define DEFT_KERNELS_Q_WIDE_H

#include "kernels/kernels_q_vec.h"

enum {
    Q_WIDE = 1,    // inputs of 16 bits
    Q_NIBBLES = 2, // weights of 4 bits, plus 8
    Q_PIECE = 1024,
};

typedef struct inputs {
    int16_t x[Q_PIECE + 4];
    int32_t sum;
} inputs;

typedef four group;
typedef struct sums {
    parts parts;
    qi more;
} sums;

Q_INLINE void clear(inputs *in)
{
    in->sum = 0;
}

Q_INLINE void prepare(inputs *in, const void *x, uint32_t n, const int how)
{
    int32_t sum = 0;
    if (how & Q_WIDE) {
        memcpy(in->x, x, n * sizeof *in->x);
    } else {
        for (uint32_t i = 0; i < n; i++) in->x[i] = ((const uint8_t *)x)[i];
    }
    memset(in->x + n, 0, 4 * sizeof *in->x);
    for (uint32_t i = 0; (how & Q_NIBBLES) && i < n; i++) sum += in->x[i];
    in->sum = sum;
}

Q_INLINE group spread(const inputs *in, uint32_t g, const int how)
{
    (void)how;
    return four_of(in->x + (size_t)4 * g);
}

Q_INLINE group spread_rest(const inputs *in, uint32_t g, const int how)
{
    return spread(in, g, how);
}

Q_INLINE void mac(sums *s, qw w, group x, const int how)
{
    (void)how;
    mac16(&s->parts, w, x);
}

Q_INLINE qi total(const sums *s, const int how)
{
    (void)how;
    return (qi)((qu)add_parts(s->parts) + (qu)s->more);
}

/* What the offsets of the weights add to each row, taken away. */
Q_INLINE sums start(const inputs *in, const int how)
{
    sums s;
    memset(&s, 0, sizeof s);
    if (how & Q_NIBBLES) s.more = q_splat(-8 * in->sum);
    return s;
}

#include "kernels/kernels_q_panel.h"

#endif
