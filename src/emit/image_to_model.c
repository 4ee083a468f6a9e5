/* image_to_model.c - an image as the canonical policy it was made from. */
#include "emit/image_emit.h"

#include <string.h>

enum { HASH = 32 }; // bytes of a SHA-256

deft_status image_read_no_memory(const image_reader *r)
{
    return deft_fail(r->err, DEFT_E_SPACE, "%s: no memory for the policy", r->where);
}

deft_status image_read_segments(const image_reader *r, const uint8_t *p, int32_t n,
                                deft_segment **out)
{
    deft_segment *s = DEFT_NEW_ARRAY(r->a, deft_segment, n);
    if (!s) return image_read_no_memory(r);
    for (int32_t k = 0; k < n; k++) {
        const deft_image_segment g = deft_image_segment_at(p, (uint32_t)k);
        s[k] = (deft_segment){(deft_source_kind)g.kind, g.index, g.offset, g.length};
    }
    *out = s;
    return DEFT_OK;
}

static float *copy(const image_reader *r, const float *x, size_t n)
{
    return deft_arena_copy(r->a, x, n * sizeof *x);
}

static deft_status read_tensors(const image_reader *r, const deft_image_layer *l, deft_layer *out)
{
    const uint32_t gates = image_gates(l->kind);
    const size_t h = l->n_out, rows = gates ? gates * h : h;
    const size_t count = gates ? rows * l->n_in : rows;
    if (l->bias) out->bias = copy(r, l->bias, rows);
    if (l->bias_h) out->bias_h = copy(r, l->bias_h, rows);
    if (l->weight) out->weight = copy(r, l->weight, count);
    if (l->weight_h) out->weight_h = copy(r, l->weight_h, rows * h);
    if ((l->bias && !out->bias) || (l->bias_h && !out->bias_h) || (l->weight && !out->weight) ||
        (l->weight_h && !out->weight_h)) {
        return image_read_no_memory(r);
    }
    if (!gates || l->layout != DEFT_LAYOUT_PANELS128) return DEFT_OK;
    image_matrix_from_panels(l->weight, out->weight, rows, l->n_in);
    if (out->reset_before) {
        image_matrix_from_panels(l->weight_h, out->weight_h, 2 * h, h);
        image_matrix_from_panels(l->weight_h + 2 * h * h, out->weight_h + 2 * h * h, h, h);
    } else if (l->weight_h) {
        image_matrix_from_panels(l->weight_h, out->weight_h, rows, h);
    }
    return DEFT_OK;
}

static deft_status read_layer(const image_reader *r, uint32_t index, deft_layer *out)
{
    deft_image_layer l;
    deft_image_layer_at(r->im->data, r->im->directory, index, &l);
    out->kind = (deft_layer_kind)l.kind;
    out->name = "";
    out->n_in = l.n_in;
    out->n_out = l.n_out;
    out->n_segment = l.n_segment;
    out->activation = l.activation;
    out->epsilon = l.epsilon;
    out->depth = l.depth;
    out->reset_before = l.flags & DEFT_FLAG_RESET_BEFORE;
    out->newest_first = l.flags & DEFT_FLAG_NEWEST_FIRST;
    out->fill_first = l.flags & DEFT_FLAG_FILL_FIRST;
    const deft_status s = image_read_segments(r, l.segment, l.n_segment, &out->in);
    return s == DEFT_OK ? read_tensors(r, &l, out) : s;
}

static deft_status read_end(const image_reader *r, uint32_t payload, size_t n,
                            float **const field[4])
{
    deft_image_end e;
    deft_image_end_at(r->im->data + payload, &e);
    const float *const from[4] = {e.offset, e.scale, e.lo, e.hi};
    for (int k = 0; k < 4; k++) {
        if (!from[k]) continue;
        *field[k] = copy(r, from[k], n);
        if (!*field[k]) return image_read_no_memory(r);
    }
    return DEFT_OK;
}

/* The strings of a payload, each ended by a zero byte; all of it must be used. */
static deft_status read_strings(const image_reader *r, const uint8_t *p, uint32_t n,
                                int32_t expected, const char ***out)
{
    int32_t count = 0;
    for (uint32_t i = 0; i < n; i++) count += p[i] == 0;
    if (n == 0 || p[n - 1] != 0) {
        return deft_fail(r->err, DEFT_E_FORMAT, "%s: a record of strings %s", r->where,
                         n == 0 ? "is empty" : "does not end with a zero byte");
    }
    if (expected >= 0 && count != expected) {
        return deft_fail(r->err, DEFT_E_FORMAT, "%s: a record of strings holds %d of them, not %d",
                         r->where, count, expected);
    }
    const char *text = deft_arena_copy(r->a, p, n);
    const char **s = DEFT_NEW_ARRAY(r->a, const char *, count);
    if (!text || !s) return image_read_no_memory(r);
    for (int32_t k = 0; k < count; k++) {
        s[k] = text;
        text += strlen(text) + 1;
    }
    *out = s;
    return DEFT_OK;
}

/* NULL where all are empty, as in models that have no names. */
static const char **or_null(const char **s, int32_t n)
{
    for (int32_t k = 0; k < n; k++) {
        if (s[k][0]) return s;
    }
    return NULL;
}

static deft_status read_names(const image_reader *r, const uint8_t *p, uint32_t n)
{
    deft_contract *c = &r->m->contract;
    const char **s = NULL;
    const bool one = n > 0 && memchr(p, 0, n) == p + n - 1;
    const deft_status st = read_strings(r, p, n, one ? 1 : 1 + 2 * (c->n_obs + c->n_act), &s);
    if (one && st == DEFT_OK && s) { // its own notes come later
        if (deft_contract_name(c, s[0], r->a, r->err) == DEFT_OK) return DEFT_OK;
        return deft_error_prefix(r->err, "%s", r->where);
    }
    if (st != DEFT_OK || !s) return st;
    c->name = *s++;
    c->obs_name = or_null(s, c->n_obs);
    s += c->n_obs;
    c->obs_unit = or_null(s, c->n_obs);
    s += c->n_obs;
    c->act_name = or_null(s, c->n_act);
    s += c->n_act;
    c->act_unit = or_null(s, c->n_act);
    return DEFT_OK;
}

static deft_status read_notes(const image_reader *r, const uint8_t *p, uint32_t n)
{
    const char **s = NULL;
    int32_t count = 0;
    for (uint32_t i = 0; i < n; i++) count += p[i] == 0;
    const deft_status st = read_strings(r, p, n, count + count % 2, &s);
    if (st != DEFT_OK || !s) return st;
    deft_meta *note = DEFT_NEW_ARRAY(r->a, deft_meta, r->m->contract.n_note + count / 2);
    if (!note) return image_read_no_memory(r);
    // behind those of a known contract
    deft_contract *const c = &r->m->contract;
    for (int32_t k = 0; k < c->n_note; k++) note[k] = c->note[k];
    for (int32_t k = 0; k < count / 2; k++, s += 2) note[c->n_note + k] = (deft_meta){s[0], s[1]};
    c->n_note += count / 2;
    c->note = note;
    return DEFT_OK;
}

/* What observations can be. */
static deft_status read_ranges(const image_reader *r, const uint8_t *p, uint32_t n)
{
    deft_contract *const c = &r->m->contract;
    if (n != 8 * (uint32_t)c->n_obs) {
        return deft_fail(r->err, DEFT_E_FORMAT, "%s: the record of ranges has %u bytes, not %u",
                         r->where, (unsigned)n, 8 * (unsigned)c->n_obs);
    }
    float *const v = deft_arena_copy(r->a, p, n);
    if (!v) return image_read_no_memory(r);
    for (int32_t i = 0; i < c->n_obs; i++) {
        if (v[i] <= v[c->n_obs + i]) continue;
        return deft_fail(r->err, DEFT_E_FORMAT, "%s: the range of observation %d is empty",
                         r->where, (int)i);
    }
    c->obs_least = v;
    c->obs_most = v + c->n_obs;
    return DEFT_OK;
}

/* Records that decide nothing. */
static deft_status read_descriptive(const image_reader *r, uint16_t type, const uint8_t *p,
                                    uint32_t n)
{
    deft_model *m = r->m;
    const char **s = NULL;
    deft_status st = DEFT_OK;
    switch (type) {
    case DEFT_RECORD_NAMES:
        return read_names(r, p, n);
    case DEFT_RECORD_LAYER_NAMES:
        st = read_strings(r, p, n, m->n_layer, &s);
        for (int32_t k = 0; s && k < m->n_layer; k++) m->layer[k].name = s[k];
        return st;
    case DEFT_RECORD_PROVENANCE:
        if (n < HASH) {
            return deft_fail(r->err, DEFT_E_FORMAT, "%s: the record of the source ends early",
                             r->where);
        }
        memcpy(m->source_sha256, p, HASH);
        st = read_strings(r, p + HASH, n - HASH, 2, &s);
        if (s && s[0][0]) m->source = s[0];
        return st;
    case DEFT_RECORD_NOTES:
        return read_notes(r, p, n);
    case DEFT_RECORD_ASSUMPTIONS:
        st = read_strings(r, p, n, -1, &s);
        for (uint32_t i = 0; st == DEFT_OK && i < n; i++) m->n_assumption += p[i] == 0;
        m->assumption = s;
        return st;
    case DEFT_RECORD_RANGES:
        return read_ranges(r, p, n);
    default:
        return DEFT_OK;
    }
}

deft_status image_read_counts(const image_reader *r)
{
    const deft_image *im = r->im;
    deft_model *m = r->m;
    deft_contract *c = &m->contract;
    c->name = "";
    c->n_obs = im->n_obs;
    c->n_act = im->n_act;
    c->discrete = im->flags & DEFT_IMAGE_DISCRETE;
    c->period_s = im->period_us / 1e6;
    m->n_output = im->n_output;
    m->n_out_segment = (int32_t)im->n_out_segment;
    if (!im->choices) return DEFT_OK;
    c->choices = DEFT_NEW_ARRAY(r->a, int32_t, c->n_act);
    for (int32_t k = 0; c->choices && k < c->n_act; k++)
        c->choices[k] = deft_image_u16(im->data + im->choices + 2 * (size_t)k);
    return c->choices ? DEFT_OK : image_read_no_memory(r);
}

deft_status image_read_text(const image_reader *r)
{
    const deft_image *im = r->im;
    deft_status s = DEFT_OK;
    const uint8_t *payload = NULL;
    uint32_t at = DEFT_IMAGE_HEADER, n = 0;
    for (uint16_t type; s == DEFT_OK && (type = deft_image_next(im, &at, &payload, &n)) != 0;) {
        s = read_descriptive(r, type, payload, n);
    }
    return s;
}

static deft_status read_model(const image_reader *r)
{
    const deft_image *im = r->im;
    deft_model *m = r->m;
    deft_contract *c = &m->contract;
    const deft_status counted = image_read_counts(r);
    if (counted != DEFT_OK) return counted;
    m->n_layer = im->n_layer;
    m->layer = DEFT_NEW_ARRAY(r->a, deft_layer, im->n_layer);
    if (!m->layer) return image_read_no_memory(r);
    float **const front[4] = {&c->obs_offset, &c->obs_scale, &c->obs_lo, &c->obs_hi};
    float **const back[4] = {&c->act_offset, &c->act_scale, &c->act_lo, &c->act_hi};
    deft_status s = read_end(r, im->front_end, im->n_obs, front);
    if (s == DEFT_OK) s = read_end(r, im->back_end, im->n_act, back);
    for (uint32_t k = 0; s == DEFT_OK && k < im->n_layer; k++) s = read_layer(r, k, &m->layer[k]);
    if (s == DEFT_OK) {
        s = image_read_segments(r, im->data + im->outputs, m->n_out_segment, &m->out);
    }
    return s == DEFT_OK ? image_read_text(r) : s;
}

/* Opens the image, checks that it is what it says it is, and makes an empty model. */
deft_status image_read_open(image_reader *r, deft_image *im, deft_bytes image, const char *source)
{
    (void)deft_escape(r->where, sizeof r->where, source ? source : "", 4096);
    const uint8_t *data = image.data;
    if (!data) return deft_fail(r->err, DEFT_E_ARG, "%s: no image", r->where);
    if ((uintptr_t)data % DEFT_IMAGE_ALIGN != 0) {
        data = deft_arena_copy(r->a, data, image.size);
        if (!data) return image_read_no_memory(r);
    }
    deft_status s = deft_image_open(im, data, image.size);
    if (s != DEFT_OK) {
        return deft_fail(r->err, s, "%s: as an image: %s", r->where, deft_status_str(s));
    }
    r->im = im;
    uint8_t id[32];
    s = image_policy_id(im, r->a, id);
    if (s != DEFT_OK) return image_read_no_memory(r);
    if (memcmp(id, data + 32, sizeof id) != 0) {
        return deft_fail(r->err, DEFT_E_FORMAT, "%s: policy_id is not that of its contents",
                         r->where);
    }
    r->m = DEFT_NEW(r->a, deft_model);
    if (!r->m) return image_read_no_memory(r);
    r->m->arena = r->a;
    r->m->source = deft_arena_strndup(r->a, source ? source : "", 4096);
    return r->m->source ? DEFT_OK : image_read_no_memory(r);
}

deft_status deft_image_read(deft_bytes image, const char *source, deft_arena *a, deft_model **out,
                            deft_error *err)
{
    deft_image im = {.data = NULL};
    image_reader r = {NULL, NULL, a, err, ""};
    deft_status s = image_read_open(&r, &im, image, source);
    if (s == DEFT_OK && im.integer) {
        return deft_fail(err, DEFT_E_UNSUPPORTED, "%s: a policy of integers", r.where);
    }
    if (s == DEFT_OK) s = read_model(&r);
    if (s == DEFT_OK) s = deft_model_check(r.m, err);
    if (s == DEFT_OK) *out = r.m;
    return s;
}
