/* image_check_q.c - integer policies: the checks. Part of the freestanding runtime. */
#include "image/image_q.h"

#include <float.h>
#include <string.h>

/* Activations: U8 or S16. */
static int is_activation(uint8_t format)
{
    return format == DEFT_NUM_U8 || format == DEFT_NUM_S16;
}

static int all_zero(const uint8_t *from, const uint8_t *to)
{
    for (; from < to; from++) {
        if (*from) return 0;
    }
    return 1;
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
    if (!deft_image_finite(p + 4, floats)) return DEFT_E_FORMAT;
    deft_image_front f;
    deft_image_front_at(p, im->n_act, &f);
    for (uint32_t i = 0; i < n && f.lo && f.hi; i++) {
        if (f.lo[i] > f.hi[i]) return DEFT_E_FORMAT;
    }
    return DEFT_OK;
}

/* The action is finite whatever the network says: all operations rise or fall with y, so it is
 * enough to look at both ends of y. Volatile: nothing beyond binary32 on the way. */
static int action_finite(const deft_image_back *b, uint32_t i, int32_t q)
{
    const deft_image_end *const e = &b->contract;
    volatile float v = (float)(q - b->zero) * b->out_scale[i];
    if (e->scale) v = v * e->scale[i];
    if (e->offset) v = v + e->offset[i];
    float x = v;
    if (e->lo && x < e->lo[i]) x = e->lo[i];
    if (e->hi && x > e->hi[i]) x = e->hi[i];
    return x >= -FLT_MAX && x <= FLT_MAX;
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
    if (!deft_image_finite(b.out_scale, im->n_output)) return DEFT_E_FORMAT;
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

static deft_status check_end(const deft_image *im, uint32_t at, uint32_t length, int back)
{
    return back ? check_back(im, at, length) : check_front(im, at, length);
}

/* {u16 n, u16 0}, n descriptions {u8 log2_n, u8 odd, u8 function, u8 0, u32 where the entries are
 * in the payload, f32 alpha, beta, in_scale, out_scale}, the entries. */
static deft_status check_tables(deft_image *im, uint32_t at, uint32_t length)
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
        if (!deft_image_finite(t + 8, 4) || deft_image_u32(t + 4) != end) return DEFT_E_FORMAT;
        const uint32_t entries = (1u << t[0]) + 1;
        if (length - end < 2 * entries) return DEFT_E_FORMAT;
        for (uint32_t i = 0; t[1] && i < entries; i++) { // -(-32768) is no number of 16 bits
            if (deft_image_u16(p + end + (size_t)2 * i) == 0x8000) return DEFT_E_FORMAT;
        }
        end += 2 * entries;
    }
    im->tables = at;
    return length == end ? DEFT_OK : DEFT_E_FORMAT;
}

/* The output's zero and limits. */
static int output_ok(const deft_image_qlayer *l)
{
    const int wide = l->out_format == DEFT_NUM_S16;
    const int32_t least = wide ? INT16_MIN : 0, most = wide ? INT16_MAX : 255;
    if (l->lo < least || l->hi > most || l->lo > l->hi) return 0;
    // what resets or recurrent arithmetic put there is not limited
    return !deft_has_state(l->kind) || (l->lo == least && l->hi == most &&
                                        (wide ? l->zero == 0 : l->zero >= 0 && l->zero <= most));
}

/* Fields that only some kinds use. */
static int fields_ok(const deft_image_qlayer *l)
{
    const uint32_t gates = deft_image_gates(l->kind);
    const int norm = l->kind == DEFT_IMAGE_LAYERNORM, history = l->kind == DEFT_IMAGE_HISTORY;
    if (!history && !norm && l->depth) return 0;
    if (gates < 2 && (l->gate_round | l->state_round)) return 0;
    if (l->gate_round > 15 || l->state_round > 15) return 0;
    if (norm                         ? l->cell_shift > 24
        : l->kind == DEFT_IMAGE_LSTM ? l->cell_shift > 8
                                     : l->cell_shift) {
        return 0;
    }
    if (gates > 1 && l->out_format != DEFT_NUM_S16) return 0;
    if (history) return l->in_format == l->out_format && l->table == DEFT_IMAGE_NO_TABLE;
    return 1;
}

/* Number formats, shifts and multipliers of the matrices. */
static deft_status matrices_ok(const deft_image_qlayer *l)
{
    const uint32_t gates = deft_image_gates(l->kind);
    for (uint32_t k = 0; k < 3; k++) {
        const deft_matrix_q *const m = &l->matrix[k];
        if (k >= l->n_matrix && (k == 0 || l->n_matrix < 2)) { // none of this number
            if (m->format | m->shift | m->preshift) return DEFT_E_FORMAT;
            continue;
        }
        if (m->format > DEFT_NUM_S4) return DEFT_E_VERSION;
        const int wide = m->format == DEFT_NUM_S16;
        if (gates ? m->format < DEFT_NUM_S16
                  : m->format != (m->weight ? DEFT_NUM_S16 : DEFT_NUM_NONE)) {
            return DEFT_E_FORMAT;
        }
        if (m->shift > 15 || m->preshift > (wide || !gates ? 31 : 0)) return DEFT_E_FORMAT;
        if (wide && l->layout != DEFT_LAYOUT_ROWS) return DEFT_E_LAYOUT;
        for (uint32_t o = 0; k < l->n_matrix && o < m->n_out; o++) {
            if (m->multiplier[o] < 0) return DEFT_E_FORMAT;
        }
    }
    return DEFT_OK;
}

/* Half bytes of 4-bit matrices that no number uses are zero, so that one policy has one image. */
static int matrix_padding_ok(const deft_matrix_q *m)
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

/* The bytes between tensors are zero. */
static int padding_ok(const uint8_t *payload, const deft_image_qlayer *l, uint32_t length)
{
    const deft_matrix_q *const m = l->matrix;
    const size_t rows = (size_t)4 * m[0].n_out;
    const uint8_t *const start[7] = {(const uint8_t *)m[0].bias,
                                     (const uint8_t *)m[1].bias,
                                     (const uint8_t *)m[0].multiplier,
                                     (const uint8_t *)m[1].multiplier,
                                     m[0].weight,
                                     m[1].weight,
                                     payload + length};
    const uint8_t *at = l->segment + (size_t)8 * l->n_segment;
    for (int k = 0; k < 7; k++) {
        if (!start[k]) continue;
        if (!all_zero(at, start[k])) return 0;
        at = start[k] + rows;
        // behind weights there is only padding before the next weights
        if (k == 4 || k == 5) {
            const uint32_t n = deft_image_gates(l->kind) ? m[k - 4].n_out : 1;
            at = start[k] + (size_t)deft_matrix_bytes(m[k - 4].format, l->layout, n, m[k - 4].n_in);
            if (k == 5 && l->n_matrix > 2) break; // two matrices end the payload
        }
    }
    for (uint32_t k = 0; k < l->n_matrix; k++) {
        if (m[k].weight && !matrix_padding_ok(&m[k])) return 0;
    }
    return 1;
}

static deft_status check_layer(const deft_image *im, uint32_t at, uint32_t length)
{
    const uint8_t *const p = im->data + at;
    if (length < DEFT_IMAGE_DESCRIPTOR || p[0] < DEFT_IMAGE_DENSE) return DEFT_E_FORMAT;
    // A kind or number format that is not known here is a newer one.
    if (p[0] > DEFT_IMAGE_HISTORY || p[4] > DEFT_NUM_S4 || p[14] > DEFT_NUM_S4) {
        return DEFT_E_VERSION;
    }
    if (p[2] > DEFT_NUM_S4 || p[15] > DEFT_NUM_S4) return DEFT_E_VERSION;
    if (p[3] > DEFT_LAYOUT_PANELS128) return DEFT_E_LAYOUT;
    const uint32_t gates = deft_image_gates(p[0]);
    const uint32_t flags =
        deft_image_flags(p[0]) | (gates > 1 ? DEFT_FLAG_DOUBLE : 0u) |
        (p[0] >= DEFT_IMAGE_LAYERNORM && p[0] < DEFT_IMAGE_HISTORY ? DEFT_FLAG_BIAS : 0u) |
        (p[0] == DEFT_IMAGE_ADD || p[0] == DEFT_IMAGE_MUL ? DEFT_FLAG_WEIGHT : 0u);
    if (p[1] || p[5] & ~flags) return DEFT_E_FORMAT;
    if (gates && !(p[5] & DEFT_FLAG_WEIGHT)) return DEFT_E_FORMAT;
    if (!gates && p[3] != DEFT_LAYOUT_ROWS) return DEFT_E_FORMAT;
    deft_image_qlayer l;
    if (deft_image_qlayer_view(p, at, length, &l) != length) return DEFT_E_FORMAT;
    if (l.n_segment == 0 || !deft_image_shape_ok(l.kind, l.n_in, l.n_out, l.depth)) {
        return DEFT_E_FORMAT;
    }
    if (!is_activation(l.in_format) || !is_activation(l.out_format)) return DEFT_E_FORMAT;
    if (!fields_ok(&l) || !output_ok(&l)) return DEFT_E_FORMAT;
    const deft_status s = matrices_ok(&l);
    if (s != DEFT_OK) return s;
    return padding_ok(p, &l, length) ? DEFT_OK : DEFT_E_FORMAT;
}

/* Segments agree with the reader's number format. */
static int formats_ok(const deft_image *im, const uint8_t *segments, uint32_t n, uint8_t format,
                      int has_prev)
{
    for (uint32_t k = 0; k < n; k++) {
        const deft_image_segment g = deft_image_segment_at(segments, k);
        const uint8_t is = g.kind == DEFT_IMAGE_VALUE
                               ? deft_image_payload(im->data, im->directory, g.index)[4]
                               : DEFT_NUM_S16;
        if (is != format || (g.kind == DEFT_IMAGE_PREV && !has_prev)) return 0;
    }
    return 1;
}

/* A working memory in which layer `from` wrote its output: is it whole when layer `until` has
 * read its inputs and works? */
static int survives(const deft_image *im, uint32_t from, uint32_t until)
{
    deft_image_qlayer l;
    deft_image_qlayer_at(im->data, im->directory, from, &l);
    if (deft_has_state(l.kind)) return 1; // nobody else may touch it, see places_ok
    const uint32_t start = DEFT_IMAGE_ALIGN * (uint32_t)l.place;
    const uint32_t end = start + deft_image_qoutput(&l);
    for (uint32_t k = from + 1; k <= until && k < im->n_layer; k++) {
        deft_image_qlayer_at(im->data, im->directory, k, &l);
        const uint32_t other = DEFT_IMAGE_ALIGN * (uint32_t)l.place;
        if (!deft_has_state(l.kind) && other < end && start < other + deft_image_qoutput(&l)) {
            return 0;
        }
        if (end > im->work - deft_image_qscratch(&l)) return 0;
    }
    return 1;
}

/* States lie one behind the other from 0 on, all outputs behind them, scratch at the end. */
static int places_ok(const deft_image *im)
{
    uint64_t state = 0, stays = 0;
    deft_image_qlayer l;
    for (uint32_t k = 0; k < im->n_layer; k++) {
        deft_image_qlayer_at(im->data, im->directory, k, &l);
        if (!deft_has_state(l.kind)) continue;
        if (state != (uint64_t)DEFT_IMAGE_ALIGN * l.place) return 0;
        state += deft_image_qstate(&l);
    }
    stays = state;
    if (im->work % DEFT_IMAGE_ALIGN || im->work > INT32_MAX || stays > im->work) return 0;
    for (uint32_t k = 0; k < im->n_layer; k++) {
        deft_image_qlayer_at(im->data, im->directory, k, &l);
        const uint64_t start = (uint64_t)DEFT_IMAGE_ALIGN * l.place;
        const uint64_t scratch = deft_image_qscratch(&l);
        if (stays + scratch > im->work) return 0;
        if (deft_has_state(l.kind)) continue;
        if (start < stays || start + deft_image_qoutput(&l) + scratch > im->work) return 0;
    }
    return 1;
}

/* Every output that layer `reader` reads is still there, and so is every old state. */
static int reads_ok(const deft_image *im, const uint8_t *segments, uint32_t n, uint32_t reader)
{
    uint32_t last = UINT32_MAX; // segments of one source often follow one another
    for (uint32_t k = 0; k < n; k++) {
        const deft_image_segment g = deft_image_segment_at(segments, k);
        if (g.kind == DEFT_IMAGE_VALUE && g.index != last) {
            last = g.index;
            if (!survives(im, g.index, reader)) return 0;
        }
        if (g.kind == DEFT_IMAGE_STATE && g.index < reader &&
            !(deft_image_payload(im->data, im->directory, g.index)[5] & DEFT_FLAG_DOUBLE)) {
            return 0;
        }
    }
    return 1;
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

static deft_status check_whole(const deft_image *im)
{
    deft_image_front f;
    if (im->n_layer > DEFT_IMAGE_MAX_QLAYERS || !places_ok(im)) return DEFT_E_FORMAT;
    deft_image_front_at(im->data + im->front_end, im->n_act, &f);
    const int has_prev = f.prev_scale != NULL;
    for (uint32_t k = 0; k < im->n_layer; k++) {
        deft_image_qlayer l;
        deft_image_qlayer_at(im->data, im->directory, k, &l);
        if (!formats_ok(im, l.segment, l.n_segment, l.in_format, has_prev)) return DEFT_E_FORMAT;
        if (!reads_ok(im, l.segment, l.n_segment, k) || !table_ok(im, &l)) return DEFT_E_FORMAT;
        if (!deft_image_bounded(im, &l)) return DEFT_E_FORMAT;
    }
    const uint8_t *const out = im->data + im->outputs;
    if (!formats_ok(im, out, im->n_out_segment, im->data[im->back_end], has_prev)) {
        return DEFT_E_FORMAT;
    }
    return reads_ok(im, out, im->n_out_segment, im->n_layer) ? DEFT_OK : DEFT_E_FORMAT;
}

const deft_image_family deft_image_q = {check_end, check_layer, check_tables, check_whole};
