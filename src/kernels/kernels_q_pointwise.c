/* kernels_q_pointwise.c - integer layers without a matrix, in plain C. Part of the freestanding
 * runtime. */
#include "image/image.h"
#include "kernels/fixed.h"

/* floor(sqrt(v)) */
static uint32_t square_root(uint64_t v)
{
    uint64_t bit = (uint64_t)1 << 62, r = 0;
    while (bit > v) bit >>= 2;
    for (; bit; bit >>= 2) {
        if (v >= r + bit) {
            v -= r + bit;
            r = (r >> 1) + bit;
        } else {
            r >>= 1;
        }
    }
    return (uint32_t)r;
}

/* Division that rounds down; b > 0. */
static int64_t divide(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* What a layer normalisation needs of all its inputs. */
typedef struct moments {
    int64_t mean; // in 16ths
    int64_t deviation;
} moments;

static moments moments_of(const deft_pointwise_q *p, const void *x)
{
    int64_t sum = 0;
    uint64_t squares = 0;
    for (uint32_t i = 0; i < p->n; i++) sum += deft_input(p->in_format, x, i);
    moments m;
    m.mean = divide(16 * sum + p->n / 2, p->n);
    for (uint32_t i = 0; i < p->n; i++) {
        const int64_t d = 16 * (int64_t)deft_input(p->in_format, x, i) - m.mean;
        squares += (uint64_t)(d * d);
    }
    m.deviation = square_root((squares / p->n + p->epsilon) << 16);
    if (m.deviation == 0) m.deviation = 1;
    return m;
}

static int64_t normalised(const moments *m, int32_t x) // Q15
{
    const int64_t d = 16 * (int64_t)x - m->mean;
    int64_t t = ((d < 0 ? -d : d) * ((int32_t)1 << 23) + m->deviation / 2) / m->deviation;
    if (t > 0x7FFFFF) t = 0x7FFFFF;
    return d < 0 ? -t : t;
}

void deft_pointwise_q_ref(const deft_pointwise_q *p, const void *x, const deft_output_q *out,
                          void *y)
{
    const deft_matrix_q *const m = p->m;
    const DEFT_FLASH int16_t *const w = (const DEFT_FLASH int16_t *)m->weight;
    moments of = {0, 1};
    if (p->kind == DEFT_IMAGE_LAYERNORM && p->n) of = moments_of(p, x);
    for (uint32_t i = 0; i < p->n; i++) {
        const int64_t a = p->kind == DEFT_IMAGE_LAYERNORM
                              ? normalised(&of, deft_input(p->in_format, x, i))
                              : deft_input(p->in_format, x, i);
        int64_t acc = m->bias ? m->bias[i] : 0;
        if (w) {
            acc += w[i] * a;
        } else if (p->kind != DEFT_IMAGE_MUL) {
            acc += a;
        }
        if (p->kind == DEFT_IMAGE_ADD || p->kind == DEFT_IMAGE_MUL) {
            const int64_t b = deft_input(p->in_format, x, p->n + i);
            if (p->kind == DEFT_IMAGE_MUL) acc += a * b;
            if (w) {
                acc += w[p->n + i] * b;
            } else if (p->kind == DEFT_IMAGE_ADD) {
                acc += b;
            }
        }
        const int32_t v = deft_narrow(acc, m->preshift);
        deft_put(out, deft_requant(v, m->multiplier[i], m->shift), y, i);
    }
}
