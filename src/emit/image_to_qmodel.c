/* image_to_qmodel.c - an integer image as the policy that it was written from. */
#include "emit/image_emit.h"
#include "image/image_q.h"

#include <string.h>

static const int16_t *copy_i16(const image_reader *r, const int16_t *x, size_t n)
{
    return deft_arena_copy(r->a, x, n * sizeof *x);
}

static const float *copy_f32(const image_reader *r, const float *x, size_t n)
{
    return deft_arena_copy(r->a, x, n * sizeof *x);
}

static deft_status read_ends(const image_reader *r, deft_qmodel *q)
{
    const deft_image *const im = r->im;
    const size_t n = im->n_obs, n_act = im->n_act;
    deft_contract *const c = &r->m->contract;
    deft_image_front f;
    deft_image_back b;
    deft_image_front_at(im->data + im->front_end, im->n_act, &f);
    deft_image_back_at(im->data + im->back_end, im->n_output, &b);
    if (f.offset) q->obs_offset = copy_f32(r, f.offset, n);
    if (f.scale) q->obs_scale = copy_f32(r, f.scale, n);
    if (f.prev_scale) q->prev_scale = copy_f32(r, f.prev_scale, n_act);
    if (f.lo) q->obs_lo = copy_i16(r, f.lo, n);
    if (f.hi) q->obs_hi = copy_i16(r, f.hi, n);
    q->out_zero = b.zero;
    q->out_scale = copy_f32(r, b.out_scale, im->n_output);
    const float *const from[4] = {b.contract.offset, b.contract.scale, b.contract.lo,
                                  b.contract.hi};
    float **const to[4] = {&c->act_offset, &c->act_scale, &c->act_lo, &c->act_hi};
    bool good = q->out_scale && !f.offset == !q->obs_offset && !f.scale == !q->obs_scale &&
                !f.prev_scale == !q->prev_scale && !f.lo == !q->obs_lo && !f.hi == !q->obs_hi;
    for (int k = 0; k < 4; k++) {
        if (!from[k]) continue;
        *to[k] = deft_arena_copy(r->a, from[k], n_act * sizeof(float));
        good = good && *to[k];
    }
    return good ? DEFT_OK : image_read_no_memory(r);
}

/* Weights, biases and multipliers of `rows` outputs, from one or, where the third gate stands
 * apart, two matrices of the image. */
static deft_status read_matrix(const image_reader *r, const deft_matrix_q *m, int count,
                               bool matrix, deft_qmatrix *out)
{
    uint32_t rows = 0;
    for (int k = 0; k < count; k++) rows += m[k].n_out;
    const uint32_t weight_rows = matrix ? rows : 1; // layers without a matrix: all weights in one
    out->shift = m->shift;
    out->preshift = m->preshift;
    out->multiplier = deft_arena_copy(r->a, m->multiplier, rows * sizeof(int32_t));
    if (!out->multiplier) return image_read_no_memory(r);
    if (m->bias) {
        out->bias = deft_arena_copy(r->a, m->bias, rows * sizeof(int32_t));
        if (!out->bias) return image_read_no_memory(r);
    }
    if (!m->weight) return DEFT_OK;
    int16_t *const w = DEFT_NEW_ARRAY(r->a, int16_t, (size_t)weight_rows * m->n_in);
    if (!w) return image_read_no_memory(r);
    out->format = (deft_number)m->format;
    out->weight = w;
    size_t at = 0;
    for (int k = 0; k < count; k++) {
        const uint32_t n = matrix ? m[k].n_out : 1;
        for (uint32_t o = 0; o < n; o++) {
            for (uint32_t i = 0; i < m[k].n_in; i++)
                w[at++] = (int16_t)deft_matrix_weight(&m[k], o, i);
        }
    }
    return DEFT_OK;
}

static deft_status read_layer(const image_reader *r, uint32_t index, deft_qlayer *out)
{
    deft_image_qlayer l;
    deft_image_qlayer_at(r->im->data, r->im->directory, index, &l);
    const uint32_t gates = deft_image_gates(l.kind);
    const bool norm = l.kind == DEFT_IMAGE_LAYERNORM;
    *out = (deft_qlayer){.kind = (deft_layer_kind)l.kind,
                         .name = "",
                         .n_in = l.n_in,
                         .n_out = l.n_out,
                         .n_segment = l.n_segment,
                         .in_format = (deft_number)l.in_format,
                         .out_format = (deft_number)l.out_format,
                         .zero = l.zero,
                         .lo = l.lo,
                         .hi = l.hi,
                         .table = l.table == DEFT_IMAGE_NO_TABLE ? -1 : l.table,
                         .gate_round = l.gate_round,
                         .state_round = l.state_round,
                         .cell_shift = norm ? 0 : l.cell_shift,
                         .reset_before = l.flags & DEFT_FLAG_RESET_BEFORE,
                         .depth = norm ? 0 : l.depth,
                         .newest_first = l.flags & DEFT_FLAG_NEWEST_FIRST,
                         .fill_first = l.flags & DEFT_FLAG_FILL_FIRST,
                         .epsilon = norm ? l.depth : 0,
                         .epsilon_shift = norm ? l.cell_shift : 0};
    deft_segment *in = NULL;
    deft_status s = image_read_segments(r, l.segment, l.n_segment, &in);
    out->in = in;
    if (s == DEFT_OK && l.n_matrix) {
        s = read_matrix(r, &l.matrix[0], 1, gates != 0, &out->w);
    }
    if (s == DEFT_OK && l.n_matrix > 1) {
        s = read_matrix(r, &l.matrix[1], l.n_matrix - 1, true, &out->u);
    }
    return s;
}

static deft_status read_tables(const image_reader *r, deft_qmodel *q)
{
    if (!r->im->tables) return DEFT_OK;
    const uint8_t *const tables = r->im->data + r->im->tables;
    const uint32_t n = deft_image_u16(tables);
    deft_qtable *const t = DEFT_NEW_ARRAY(r->a, deft_qtable, n);
    if (!t) return image_read_no_memory(r);
    for (uint32_t k = 0; k < n; k++) {
        const uint8_t *const p = tables + 4 + (size_t)DEFT_IMAGE_TABLE * k;
        float number[4];
        deft_table_q view;
        deft_image_table_at(tables, k, &view);
        memcpy(number, p + 8, sizeof number);
        t[k].log2_n = view.log2_n;
        t[k].odd = view.odd;
        t[k].f = (deft_activation){(deft_activation_kind)p[2], number[0], number[1]};
        t[k].in_scale = number[2];
        t[k].out_scale = number[3];
        t[k].entry = copy_i16(r, view.entry, ((size_t)1 << view.log2_n) + 1);
        if (!t[k].entry) return image_read_no_memory(r);
    }
    q->n_table = (int32_t)n;
    q->table = t;
    return DEFT_OK;
}

/* How it was quantized stands behind the contract's own notes. */
static void take_notes(deft_model *m, deft_qmodel *q)
{
    deft_contract *const c = &m->contract;
    const char **const field[2] = {&q->calibration, &q->scheme};
    static const char *const key[2] = {"calibration", "scheme"};
    for (int k = 0; k < 2; k++) {
        if (!c->n_note || strcmp(c->note[c->n_note - 1].key, key[k]) != 0) continue;
        *field[k] = c->note[--c->n_note].value;
    }
}

/* How the image was written. */
static deft_image_options options_of(const deft_image *im)
{
    deft_image_options o = {.layout = DEFT_IMAGE_ROWS, .no_names = true, .no_proofs = true};
    o.selftest_steps = im->selftest ? deft_image_u16(im->data + im->selftest) : -1;
    for (uint32_t k = 0; k < im->n_layer; k++) {
        deft_image_qlayer l;
        deft_image_qlayer_at(im->data, im->directory, k, &l);
        if (l.layout == DEFT_LAYOUT_PANELS128) o.layout = DEFT_IMAGE_PANELS;
    }
    const uint8_t *payload = NULL;
    uint32_t at = DEFT_IMAGE_HEADER, n = 0;
    for (uint16_t type; (type = deft_image_next(im, &at, &payload, &n)) != 0;) {
        if (type == DEFT_RECORD_NAMES) o.no_names = false;
        if (type == DEFT_RECORD_PROOFS) o.no_proofs = false;
        if (type == DEFT_RECORD_LAYER_NAMES) o.layer_names = true;
    }
    return o;
}

static deft_status read_model(const image_reader *r, deft_qmodel *q)
{
    const deft_image *const im = r->im;
    deft_model *const m = r->m;
    deft_qlayer *const layer = DEFT_NEW_ARRAY(r->a, deft_qlayer, im->n_layer);
    if (!layer) return image_read_no_memory(r);
    q->model = m;
    q->n_layer = im->n_layer;
    q->layer = layer;
    deft_status s = image_read_counts(r);
    if (s == DEFT_OK) s = read_ends(r, q);
    for (uint32_t k = 0; s == DEFT_OK && k < im->n_layer; k++) s = read_layer(r, k, &layer[k]);
    if (s == DEFT_OK) s = read_tables(r, q);
    if (s == DEFT_OK) {
        s = image_read_segments(r, im->data + im->outputs, m->n_out_segment, &m->out);
    }
    q->n_out_segment = m->n_out_segment;
    q->out = m->out;
    // names of layers go to the model's layers, which have nothing else
    m->n_layer = im->n_layer;
    m->layer = DEFT_NEW_ARRAY(r->a, deft_layer, im->n_layer);
    if (!m->layer) return image_read_no_memory(r);
    if (s == DEFT_OK) s = image_read_text(r);
    for (uint32_t k = 0; k < im->n_layer; k++) {
        if (m->layer[k].name) layer[k].name = m->layer[k].name;
    }
    m->n_layer = 0;
    take_notes(m, q);
    return s;
}

/* Proofs that say something else than the weights do are worth nothing. */
static deft_status check_proofs(const image_reader *r, const deft_qmodel *q)
{
    const uint8_t *payload = NULL;
    uint32_t at = DEFT_IMAGE_HEADER, n = 0;
    for (uint16_t type; (type = deft_image_next(r->im, &at, &payload, &n)) != 0;) {
        if (type != DEFT_RECORD_PROOFS) continue;
        image_writer w = {NULL, 0};
        image_put_proofs(&w, q);
        w = (image_writer){deft_arena_alloc(r->a, w.at), 0};
        if (!w.data) return image_read_no_memory(r);
        image_put_proofs(&w, q);
        if (w.at == n && memcmp(w.data, payload, n) == 0) return DEFT_OK;
        return deft_fail(r->err, DEFT_E_FORMAT, "%s: the proofs are not those of its weights",
                         r->where);
    }
    return DEFT_OK;
}

deft_status deft_image_read_q(deft_bytes image, const char *source, deft_arena *a,
                              deft_qmodel **out, deft_image_options *opt, deft_error *err)
{
    deft_image im = {.data = NULL};
    image_reader r = {NULL, NULL, a, err, ""};
    deft_status s = image_read_open(&r, &im, image, source);
    if (s != DEFT_OK) return s;
    if (!im.integer) {
        return deft_fail(err, DEFT_E_UNSUPPORTED, "%s: a policy of floats", r.where);
    }
    deft_qmodel *const q = DEFT_NEW(a, deft_qmodel);
    if (!q) return image_read_no_memory(&r);
    s = read_model(&r, q);
    if (s == DEFT_OK && deft_qmodel_check(q, err) != DEFT_OK) {
        s = deft_error_prefix(err, "%s", r.where);
    }
    if (s == DEFT_OK) s = check_proofs(&r, q);
    if (s != DEFT_OK) return s;
    if (opt) *opt = options_of(&im);
    *out = q;
    return DEFT_OK;
}
