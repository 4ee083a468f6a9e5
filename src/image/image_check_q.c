/* image_check_q.c - integer policies: the checks. Part of the freestanding runtime. */
#include "base/float_rules.h"

#include "image/image_q.h"

#include <float.h>

/* Activations: U8 or S16. */
static int is_activation(uint8_t format)
{
    return format == DEFT_NUM_U8 || format == DEFT_NUM_S16;
}

static deft_status check_front(const deft_image *im, uint32_t at, uint32_t length)
{
    const uint8_t *const p = im->data + at;
    const uint32_t n = im->n_obs;
    if (length < 4 || p[1] > 31 || deft_image_u16(p + 2) != n) return DEFT_E_FORMAT;
    const uint32_t mask = p[1];
    const uint32_t floats = ((mask & 1u) + (mask >> 1 & 1u)) * n + (mask >> 2 & 1u) * im->n_act;
    const uint32_t shorts = ((mask >> 3 & 1u) + (mask >> 4 & 1u)) * n;
    if (length != 4 + 4 * floats + 2 * shorts) return DEFT_E_FORMAT;
    if (!deft_all_finite(p + 4, floats)) return DEFT_E_FORMAT;
    deft_image_front f;
    deft_image_front_at(p, im->n_act, &f);
    for (uint32_t i = 0; i < n && f.lo && f.hi; i++) {
        if (f.lo[i] > f.hi[i]) return DEFT_E_FORMAT;
    }
    return DEFT_OK;
}

/* As in contract_q.c: nothing beyond binary32 on the way. */
static float single(float v)
{
#if FLT_EVAL_METHOD == 0
    return v;
#else
    volatile float stored = v;
    return stored;
#endif
}

/* The action is finite whatever the network says: all operations rise or fall with y, so it is
 * enough to look at both ends of y. */
static int action_finite(const deft_image_back *b, uint32_t i, int32_t q)
{
    const deft_image_end *const e = &b->contract;
    float v = single((float)(q - b->zero) * b->out_scale[i]);
    if (e->scale) v = single(v * e->scale[i]);
    if (e->offset) v = single(v + e->offset[i]);
    if (e->lo && v < e->lo[i]) v = e->lo[i];
    if (e->hi && v > e->hi[i]) v = e->hi[i];
    const float action = v;
    return deft_all_finite(&action, 1);
}

static deft_status check_back(const deft_image *im, uint32_t at, uint32_t length)
{
    const uint8_t *const p = im->data + at;
    const uint32_t n = im->n_act;
    if (length < 8 || p[1] > 15 || deft_image_u16(p + 2) != n) return DEFT_E_FORMAT;
    if (!is_activation(p[0])) return p[0] > DEFT_NUM_S4 ? DEFT_E_VERSION : DEFT_E_FORMAT;
    uint32_t arrays = 0;
    for (int bit = 0; bit < 4; bit++) arrays += p[1] >> bit & 1u;
    if (length != 8 + 4 * (im->n_output + arrays * n)) return DEFT_E_FORMAT;
    deft_image_back b;
    deft_image_back_at(p, im->n_output, &b);
    if (b.zero < INT16_MIN || b.zero > INT16_MAX) return DEFT_E_FORMAT;
    if (!deft_all_finite(b.out_scale, im->n_output)) return DEFT_E_FORMAT;
    if (!deft_image_limits_ok(&b.contract, n)) return DEFT_E_FORMAT;
    const int wide = b.format == DEFT_NUM_S16, discrete = im->flags & DEFT_IMAGE_DISCRETE;
    for (uint32_t i = 0; i < n; i++) {
        if (b.contract.scale && b.contract.scale[i] == 0) return DEFT_E_FORMAT;
        if (!discrete && !(action_finite(&b, i, wide ? INT16_MIN : 0) &&
                           action_finite(&b, i, wide ? INT16_MAX : 255))) {
            return DEFT_E_FORMAT;
        }
    }
    return DEFT_OK;
}

/* {u16 n, u16 0}, n descriptions {u8 log2_n, u8 odd, u8 function, u8 0, u32 where the entries are
 * in the payload, f32 alpha, beta, in_scale, out_scale}, the entries. */
static deft_status check_tables(const deft_image *im, uint32_t at, uint32_t length)
{
    const uint8_t *const p = im->data + at;
    if (length < 4) return DEFT_E_FORMAT;
    const uint32_t n = deft_image_u16(p);
    uint32_t end = 4 + DEFT_IMAGE_TABLE * n;
    if (n == 0 || n > DEFT_IMAGE_NO_TABLE || deft_image_u16(p + 2) || length < end) {
        return DEFT_E_FORMAT;
    }
    for (uint32_t k = 0; k < n; k++) {
        const uint8_t *const t = p + 4 + (size_t)DEFT_IMAGE_TABLE * k;
        if (t[0] < 4 || t[0] > 10 || t[1] > 1 || t[2] > DEFT_ACT_CLIP || t[3]) return DEFT_E_FORMAT;
        if (!deft_all_finite(t + 8, 4) || deft_image_u32(t + 4) != end) return DEFT_E_FORMAT;
        const uint32_t entries = ((uint32_t)1 << t[0]) + 1;
        if (length - end < 2 * entries) return DEFT_E_FORMAT;
        for (uint32_t i = 0; t[1] && i < entries; i++) { // -(-32768) is no number of 16 bits
            if (deft_image_u16(p + end + (size_t)2 * i) == 0x8000) return DEFT_E_FORMAT;
        }
        end += 2 * entries;
    }
    return length == end ? DEFT_OK : DEFT_E_FORMAT;
}

/* The output's zero and limits. */
static int output_ok(const deft_image_qlayer *l)
{
    const int wide = l->out_format == DEFT_NUM_S16;
    const int32_t least = wide ? INT16_MIN : 0, most = wide ? INT16_MAX : 255;
    if (l->lo < least || l->hi > most || l->lo > l->hi) return 0;
    // what resets or recurrent arithmetic put there is not limited
    return !deft_has_state(l->kind) ||
           (l->lo == least && l->hi == most && l->zero >= 0 && l->zero <= (wide ? 0 : most));
}

/* The descriptor's bytes one by one. */
static deft_status check_descriptor(const deft_image_parts_q *parts, const uint8_t *p)
{
    static const uint8_t format[4] = {2, 4, 14, 15};
    // A kind or number format that is not known here is a newer one.
    if (p[0] < DEFT_IMAGE_DENSE) return DEFT_E_FORMAT;
    if (p[0] > DEFT_IMAGE_HISTORY) return DEFT_E_VERSION;
    for (uint32_t k = 0; k < 4; k++) {
        if (p[format[k]] > DEFT_NUM_S4) return DEFT_E_VERSION;
    }
    if (p[3] > DEFT_LAYOUT_PANELS128) return DEFT_E_LAYOUT;
    const deft_image_kind_q *const kind = parts->kind[p[0]];
    if (!kind) return DEFT_E_UNSUPPORTED;
    for (uint32_t k = 0; k < DEFT_IMAGE_LIMITED; k++) {
        const uint8_t v = p[deft_image_limited[k]];
        if (v < kind->range[k][0] || v > kind->range[k][1]) return DEFT_E_FORMAT;
    }
    return p[5] & ~(uint32_t)kind->flags || kind->must & ~(uint32_t)p[5] ? DEFT_E_FORMAT : DEFT_OK;
}

static deft_status check_matrix(const deft_image_parts_q *parts, const deft_image_qlayer *l,
                                const deft_matrix_q *m)
{
    if (deft_image_gates(l->kind)) {
        if (m->preshift && m->format != DEFT_NUM_S16) return DEFT_E_FORMAT;
        if (!(parts->formats[l->layout] >> m->format & 1)) {
            return l->layout == DEFT_LAYOUT_ROWS ? DEFT_E_UNSUPPORTED : DEFT_E_LAYOUT;
        }
        if (parts->padding_ok && !parts->padding_ok(m)) return DEFT_E_FORMAT;
    }
    for (uint32_t o = 0; o < m->n_out; o++) {
        if (m->multiplier[o] < 0) return DEFT_E_FORMAT;
    }
    return DEFT_OK;
}

static deft_status check_layer(deft_image *im, uint32_t at, uint32_t length)
{
    const uint8_t *const p = im->data + at;
    const deft_image_parts_q *const parts = im->family->parts;
    deft_image_qlayer l;
    if (length < DEFT_IMAGE_DESCRIPTOR) return DEFT_E_FORMAT;
    deft_status s = check_descriptor(parts, p);
    if (s != DEFT_OK) return s;
    if (deft_image_qlayer_view(p, at, length, &l) != length || !output_ok(&l)) return DEFT_E_FORMAT;
    if (l.n_segment == 0 || l.n_in == 0 || l.n_out == 0) return DEFT_E_FORMAT;
    const deft_image_kind_q *const kind = parts->kind[l.kind];
    if (kind->ok && !kind->ok(&l)) return DEFT_E_FORMAT;
    for (uint32_t k = 0; s == DEFT_OK && k < l.n_matrix; k++) {
        s = check_matrix(parts, &l, &l.matrix[k]);
    }
    if (s != DEFT_OK || !deft_has_state(l.kind)) return s;
    // states lie one behind the other from 0 on
    if (im->states != DEFT_IMAGE_ALIGN * (uint32_t)l.place) return DEFT_E_FORMAT;
    im->states += deft_image_qbytes(&l);
    return DEFT_OK;
}

deft_status deft_image_check_q(deft_image *im, uint32_t type, uint32_t at, uint32_t length)
{
    switch (type) {
    case DEFT_RECORD_FRONT_END:
        return check_front(im, at, length);
    case DEFT_RECORD_BACK_END:
        return check_back(im, at, length);
    case DEFT_RECORD_LAYER:
        return check_layer(im, at, length);
    default:
        return check_tables(im, at, length);
    }
}

/* A working memory in which layer `from` wrote its output, behind all states: is it whole when
 * layer `until` has read its inputs and works? With from itself: does it lie where it may? */
static int survives(const deft_image *im, uint32_t from, uint32_t until)
{
    uint32_t start = 0, end = im->states; // if it is a state, which nobody else may touch
    for (uint32_t k = from; k <= until && k < im->n_layer; k++) {
        deft_image_qlayer l;
        deft_image_qlayer_head(deft_image_payload(im->data, im->directory, k), &l);
        const uint32_t place = DEFT_IMAGE_ALIGN * (uint32_t)l.place;
        if (!deft_has_state(l.kind)) {
            const uint32_t place_end = place + deft_image_qbytes(&l);
            if (place < im->states) return 0;
            if (k == from) {
                start = place;
                end = place_end;
            } else if (place < end && start < place_end) {
                return 0;
            }
        }
        if (end + deft_image_qscratch(&l) > im->work) return 0; // at the end of the memory
    }
    return 1;
}

int deft_image_segment_q(const deft_image *im, const uint8_t *p, uint32_t reader)
{
    const uint8_t format = reader < im->n_layer
                               ? deft_image_payload(im->data, im->directory, reader)[14]
                               : im->data[im->back_end];
    if (p[0] < DEFT_IMAGE_VALUE) {
        if (p[0] == DEFT_IMAGE_PREV && !(im->data[im->front_end + 1] & DEFT_FRONT_PREV)) return 0;
        return format == DEFT_NUM_S16;
    }
    const uint32_t index = deft_image_u16(p + 2);
    const uint8_t *const from = deft_image_payload(im->data, im->directory, index);
    if (p[0] == DEFT_IMAGE_VALUE) return format == from[4] && survives(im, index, reader);
    return format == DEFT_NUM_S16 && (index >= reader || from[5] & DEFT_FLAG_DOUBLE);
}

static int table_ok(const deft_image *im, const deft_image_qlayer *l)
{
    const int recurrent = deft_image_gates(l->kind) > 1;
    if (l->table == DEFT_IMAGE_NO_TABLE) return !recurrent;
    if (!im->tables || l->table >= deft_image_u16(im->data + im->tables)) return 0;
    deft_table_q t;
    deft_image_table_at(im->data + im->tables, l->table, &t);
    return !recurrent || t.odd;
}

int deft_image_whole_q(const deft_image *im)
{
    if (im->n_layer > DEFT_IMAGE_MAX_QLAYERS) return 0;
    if (im->work % DEFT_IMAGE_ALIGN || im->work > INT32_MAX) return 0;
    for (uint32_t k = 0; k < im->n_layer; k++) {
        deft_image_qlayer l;
        deft_image_qlayer_at(im->data, im->directory, k, &l);
        if (!survives(im, k, k) || !table_ok(im, &l) || !deft_image_bounded(im, &l)) return 0;
    }
    return 1;
}

const uint8_t deft_image_limited[DEFT_IMAGE_LIMITED] = {1,  2,  3,  4,  12, 13, 14, 15,
                                                        16, 17, 18, 19, 21, 22, 23};

const deft_image_kind_q deft_image_dense_q = {
    DEFT_FLAG_BIAS | DEFT_FLAG_WEIGHT,
    DEFT_FLAG_WEIGHT,
    {{0, 0},
     {3, 5},
     {0, 1},
     {2, 3},
     {0, 0},
     {0, 0},
     {2, 3},
     {0, 0},
     {0, 15},
     {0, 0},
     {0, 31},
     {0, 0},
     {0, 0},
     {0, 0},
     {0, 0}},
    NULL,
    NULL,
};

const deft_image_kind_q deft_image_gru_q = {
    DEFT_FLAG_BIAS | DEFT_FLAG_BIAS_H | DEFT_FLAG_WEIGHT | DEFT_FLAG_RESET_BEFORE |
        DEFT_FLAG_DOUBLE,
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
     {0, 0}},
    NULL,
    NULL,
};
