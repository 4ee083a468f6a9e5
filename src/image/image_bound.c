/* image_bound.c - the largest accumulators that an integer layer can meet, whatever its inputs: the
 * proof that 32 bits hold them (docs/format.md, "Bounds"). Part of the freestanding runtime. */
#include "image/image_q.h"

/* Sums of the positive and of the negative parts of all terms. */
typedef struct bound {
    int64_t up, down;
} bound;

typedef struct range {
    int32_t lo, hi;
} range;

static void add_term(bound *b, int64_t x, int64_t y) // a term between x and y
{
    const int64_t hi = x > y ? x : y, lo = x > y ? y : x;
    if (hi > 0) b->up += hi;
    if (lo < 0) b->down -= lo;
}

static range range_of(const deft_image *im, deft_image_segment g, uint32_t element)
{
    range r = {INT16_MIN, INT16_MAX};
    if (g.kind == DEFT_IMAGE_OBS) {
        deft_image_front f;
        deft_image_front_at(im->data + im->front_end, im->n_act, &f);
        if (f.lo) r.lo = f.lo[g.offset + element];
        if (f.hi) r.hi = f.hi[g.offset + element];
    } else if (g.kind == DEFT_IMAGE_VALUE) {
        const uint8_t *const p = deft_image_payload(im->data, im->directory, g.index);
        r.lo = (int16_t)deft_image_u16(p + 26);
        r.hi = (int16_t)deft_image_u16(p + 28);
    }
    return r;
}

/* Does the sum stay below 2^30 where it is multiplied? */
static int fits(const bound *b, const deft_matrix_q *m)
{
    int64_t worst = b->up > b->down ? b->up : b->down;
    if (m->preshift) worst = (worst + ((int64_t)1 << (m->preshift - 1))) >> m->preshift;
    return worst < (int64_t)1 << (30 - m->shift);
}

static bound start(const deft_matrix_q *m, uint32_t o)
{
    bound b = {0, 0};
    if (m->bias) add_term(&b, m->bias[o], m->bias[o]);
    return b;
}

/* Row o of a matrix whose inputs are the layer's. */
static int row_fits(const deft_image *im, const deft_image_qlayer *l, uint32_t o)
{
    const deft_matrix_q *const m = &l->matrix[0];
    bound b = start(m, o);
    uint32_t column = 0;
    for (uint32_t k = 0; k < l->n_segment; k++) {
        const deft_image_segment g = deft_image_segment_at(l->segment, k);
        range r = range_of(im, g, 0);
        for (uint32_t i = 0; i < g.length; i++, column++) {
            if (i && g.kind == DEFT_IMAGE_OBS) r = range_of(im, g, i);
            const int64_t w = deft_matrix_weight(m, o, column);
            add_term(&b, w * r.lo, w * r.hi);
        }
    }
    return fits(&b, m);
}

/* A row whose inputs are a state: any number of 16 bits. */
static int state_row_fits(const deft_matrix_q *m, uint32_t o)
{
    bound b = start(m, o);
    for (uint32_t i = 0; i < m->n_in; i++) {
        const int64_t w = deft_matrix_weight(m, o, i);
        add_term(&b, w * INT16_MIN, w * INT16_MAX);
    }
    return fits(&b, m);
}

/* Output o of a layer without a matrix; its inputs may be anything that their format holds. */
static int element_fits(const deft_image_qlayer *l, uint32_t o)
{
    const deft_matrix_q *const m = &l->matrix[0];
    const uint32_t operands = l->n_in / l->n_out;
    bound b = start(m, o);
    range x = {0, 255};
    if (l->in_format == DEFT_NUM_S16) x = (range){INT16_MIN, INT16_MAX};
    if (l->kind == DEFT_IMAGE_LAYERNORM) x = (range){-(1 << 23), 1 << 23};
    for (uint32_t k = 0; k < operands; k++) {
        const int64_t w =
            m->weight ? deft_matrix_weight(m, 0, k * l->n_out + o) : l->kind != DEFT_IMAGE_MUL;
        add_term(&b, w * x.lo, w * x.hi);
    }
    if (l->kind == DEFT_IMAGE_MUL) {
        const int64_t most = -x.lo > x.hi ? -x.lo : x.hi;
        add_term(&b, x.lo * most, most * most);
    }
    return fits(&b, m);
}

int deft_image_bounded(const deft_image *im, const deft_image_qlayer *l)
{
    const int matrix = deft_image_gates(l->kind) != 0;
    for (uint32_t k = 0; k < l->n_matrix; k++) {
        for (uint32_t o = 0; o < l->matrix[k].n_out; o++) {
            const int good = !matrix ? element_fits(l, o)
                             : k     ? state_row_fits(&l->matrix[k], o)
                                     : row_fits(im, l, o);
            if (!good) return 0;
        }
    }
    return 1;
}
