/* image_bound.c - the largest accumulators that an integer layer can meet, whatever its inputs: the
 * proof that 32 bits hold them (docs/format.md, "Bounds"). Part of the freestanding runtime. */
#include "image/image_q.h"

typedef struct range {
    int32_t lo, hi;
} range;

void deft_image_add_term(deft_image_bound *b, int32_t w, int32_t lo, int32_t hi)
{
    const int64_t x = (int64_t)w * lo, y = (int64_t)w * hi;
    const int64_t most = w < 0 ? x : y, least = w < 0 ? y : x;
    if (most > 0) b->up += most;
    if (least < 0) b->down -= least;
}

/* What an element of a segment can be. */
static range range_of(const deft_image *im, const deft_image_segment *g, uint32_t element)
{
    range r = {INT16_MIN, INT16_MAX};
    if (g->kind == DEFT_IMAGE_OBS) {
        deft_image_front f;
        deft_image_front_at(im->data + im->front_end, im->n_act, &f);
        if (f.lo) r.lo = f.lo[g->offset + element];
        if (f.hi) r.hi = f.hi[g->offset + element];
    } else if (g->kind == DEFT_IMAGE_VALUE) {
        const uint8_t *const p = deft_image_payload(im->data, im->directory, g->index);
        r.lo = (int16_t)deft_image_u16(p + 26);
        r.hi = (int16_t)deft_image_u16(p + 28);
    }
    return r;
}

/* The terms of row o from `column` on, whose inputs are a segment. */
static void add_terms(const deft_image *im, const deft_matrix_q *m, const deft_image_segment *g,
                      uint32_t o, uint32_t column, deft_image_bound *b)
{
    range r = {0, 0};
    for (uint32_t i = 0; i < g->length; i++) {
        if (i == 0 || g->kind == DEFT_IMAGE_OBS) r = range_of(im, g, i);
        deft_image_add_term(b, im->family->parts->weight(m, o, column + i), r.lo, r.hi);
    }
}

/* Row o of matrix k. */
static void add_row(const deft_image *im, const deft_image_qlayer *l, uint32_t k, uint32_t o,
                    deft_image_bound *b)
{
    const deft_matrix_q *const m = &l->matrix[k];
    deft_image_segment g = {DEFT_IMAGE_STATE, 0, 0, l->n_out};
    for (uint32_t j = 0, column = 0; column < m->n_in; j++, column += g.length) {
        if (k == 0) g = deft_image_segment_at(l->segment, j);
        add_terms(im, m, &g, o, column, b);
    }
}

int deft_image_bounded(const deft_image *im, const deft_image_qlayer *l)
{
    const deft_image_kind_q *const kind = im->family->parts->kind[l->kind];
    for (uint32_t k = 0; k < l->n_matrix; k++) {
        const deft_matrix_q *const m = &l->matrix[k];
        // below 2^30 where it is multiplied, that is after the preshift, which rounds
        const uint32_t p = m->preshift;
        const int64_t limit = ((int64_t)1 << (30 - m->shift + p)) - (p ? (int64_t)1 << (p - 1) : 0);
        for (uint32_t o = 0; o < m->n_out; o++) {
            deft_image_bound b = {0, 0};
            if (m->bias) deft_image_add_term(&b, 1, m->bias[o], m->bias[o]);
            if (kind->terms) {
                kind->terms(l, o, &b);
            } else {
                add_row(im, l, k, o, &b);
            }
            if (b.up >= limit || b.down >= limit) return 0;
        }
    }
    return 1;
}
