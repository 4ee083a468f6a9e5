/* image_kinds_q.c - integer policies: the kinds of layers that few have, and all of them together.
 * Part of the freestanding runtime. */
#include "image/image_q.h"

/* One row of weights of 16 bits, or none. */
static int pointwise_ok(const deft_image_qlayer *l)
{
    const deft_matrix_q *const m = &l->matrix[0];
    return m->format == (m->weight ? DEFT_NUM_S16 : DEFT_NUM_NONE) &&
           deft_image_shape_ok(l->kind, l->n_in, l->n_out, l->depth);
}

static int history_ok(const deft_image_qlayer *l)
{
    return l->in_format == l->out_format && l->table == DEFT_IMAGE_NO_TABLE &&
           deft_image_shape_ok(l->kind, l->n_in, l->n_out, l->depth);
}

/* The inputs may be anything that their format holds. */
static void pointwise_terms(const deft_image_qlayer *l, uint32_t o, deft_image_bound *b)
{
    const deft_matrix_q *const m = &l->matrix[0];
    const int wide = l->in_format == DEFT_NUM_S16, norm = l->kind == DEFT_IMAGE_LAYERNORM;
    const int32_t lo = norm ? -((int32_t)1 << 23) : wide ? INT16_MIN : 0;
    const int32_t hi = norm ? (int32_t)1 << 23 : wide ? INT16_MAX : 255;
    for (uint32_t k = o; k < l->n_in; k += l->n_out) {
        const int32_t w = m->weight ? deft_matrix_weight(m, 0, k) : l->kind != DEFT_IMAGE_MUL;
        deft_image_add_term(b, w, lo, hi);
    }
    const int32_t most = -lo > hi ? -lo : hi;
    if (l->kind == DEFT_IMAGE_MUL) deft_image_add_term(b, most, lo, most);
}

/* Half bytes of 4-bit matrices that no number uses are zero, so that one policy has one image. */
static int padding_ok(const deft_matrix_q *m)
{
    if (m->format != DEFT_NUM_S4) return 1;
    const uint8_t *const p = m->weight;
    const uint64_t bytes = deft_matrix_bytes(m->format, m->layout, m->n_out, m->n_in);
    if (m->layout == DEFT_LAYOUT_PANELS128) {
        return (uint64_t)m->n_out * m->n_in % 2 == 0 || p[bytes - 1] >> 4 == 0;
    }
    const uint32_t row = (m->n_in + 1) / 2;
    for (uint32_t o = 0; m->n_in % 2 && o < m->n_out; o++) {
        if (p[(size_t)row * o + row - 1] >> 4) return 0;
    }
    return 1;
}

static const deft_image_kind_q lstm = {
    DEFT_FLAG_BIAS | DEFT_FLAG_BIAS_H | DEFT_FLAG_WEIGHT | DEFT_FLAG_DOUBLE,
    DEFT_FLAG_WEIGHT,
    {{0, 0},
     {3, 5},
     {0, 1},
     {3, 3},
     {0, 0},
     {0, 0},
     {2, 3},
     {3, 5},
     {0, 15},
     {0, 15},
     {0, 31},
     {0, 31},
     {0, 15},
     {0, 15},
     {0, 8}},
    NULL,
    NULL,
};

static const deft_image_kind_q layernorm = {
    DEFT_FLAG_BIAS | DEFT_FLAG_WEIGHT,
    0,
    {{0, 0},
     {0, 3},
     {0, 0},
     {2, 3},
     {0, 255},
     {0, 255},
     {2, 3},
     {0, 0},
     {0, 15},
     {0, 0},
     {0, 31},
     {0, 0},
     {0, 0},
     {0, 0},
     {0, 24}},
    pointwise_ok,
    pointwise_terms,
};

#define POINTWISE(flags)                                                                           \
    {                                                                                              \
        (flags), 0, {{0, 0},  {0, 3}, {0, 0},  {2, 3}, {0, 0}, {0, 0}, {2, 3}, {0, 0},             \
                     {0, 15}, {0, 0}, {0, 31}, {0, 0}, {0, 0}, {0, 0}, {0, 0}},                    \
            pointwise_ok, pointwise_terms,                                                         \
    }
static const deft_image_kind_q activation = POINTWISE(DEFT_FLAG_BIAS);
static const deft_image_kind_q weighted = POINTWISE(DEFT_FLAG_BIAS | DEFT_FLAG_WEIGHT);

static const deft_image_kind_q history = {
    DEFT_FLAG_NEWEST_FIRST | DEFT_FLAG_FILL_FIRST,
    0,
    {{0, 0},
     {0, 0},
     {0, 0},
     {2, 3},
     {0, 255},
     {0, 255},
     {2, 3},
     {0, 0},
     {0, 0},
     {0, 0},
     {0, 0},
     {0, 0},
     {0, 0},
     {0, 0},
     {0, 0}},
    history_ok,
    NULL,
};

const deft_image_parts_q deft_image_parts_all = {
    {NULL, &deft_image_dense_q, &deft_image_gru_q, &lstm, &layernorm, &activation, &weighted,
     &weighted, &weighted, &history},
    {1 << DEFT_NUM_S16 | 1 << DEFT_NUM_S8 | 1 << DEFT_NUM_S4, 1 << DEFT_NUM_S8 | 1 << DEFT_NUM_S4},
    deft_matrix_weight,
    padding_ok,
};

const deft_image_family deft_image_q = {deft_image_check_q, deft_image_segment_q,
                                        deft_image_whole_q, &deft_image_parts_all,
                                        deft_image_choices};
