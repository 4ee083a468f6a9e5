/* image_write.c - the canonical policy as an image (docs/format.md). The same policy always gives
 * the same bytes. */
#include "base/crc32.h"
#include "emit/image_emit.h"

#include <math.h>
#include <string.h>

static const char tool_version[] = "deft 0.1.0";

typedef struct job {
    const deft_model *m;
    uint8_t layout;
    const image_selftest *test;
    float *tmp; // room for the largest matrix
    const char **layer_name;
} job;

/* Begins a record; end_record fills in its length. Returns where it began. */
size_t image_begin_record(image_writer *w, deft_record_type type)
{
    const size_t start = w->at;
    image_put_u16(w, (uint32_t)type);
    image_put_u16(w, type <= DEFT_RECORD_CHOICES ? DEFT_IMAGE_CRITICAL : 0);
    image_align(w, DEFT_IMAGE_RECORD);
    return start;
}

void image_end_record(image_writer *w, size_t start)
{
    image_writer length = {w->data, start + 4};
    image_put_u32(&length, (uint32_t)(w->at - start - DEFT_IMAGE_RECORD));
    image_align(w, DEFT_IMAGE_ALIGN);
}

static bool all_equal(const float *x, int32_t n, float value)
{
    for (int32_t i = 0; x && i < n; i++) {
        if (x[i] != value) return false;
    }
    return true;
}

uint32_t image_end_mask(const float *const array[4], int32_t n)
{
    const float fallback[4] = {0, 1, -INFINITY, INFINITY};
    uint32_t mask = 0;
    for (uint32_t k = 0; k < 4; k++) mask |= (uint32_t)!all_equal(array[k], n, fallback[k]) << k;
    return mask;
}

/* array: offset, scale, lo, hi, each NULL for the default. */
static void put_end(image_writer *w, deft_record_type type, const float *const array[4], int32_t n)
{
    const size_t start = image_begin_record(w, type);
    const uint32_t mask = image_end_mask(array, n);
    image_put_u8(w, DEFT_NUM_F32);
    image_put_u8(w, mask);
    image_put_u16(w, (uint32_t)n);
    for (uint32_t k = 0; k < 4; k++) {
        if (mask >> k & 1) image_put_f32(w, array[k], (size_t)n);
    }
    image_end_record(w, start);
}

void image_put_segments(image_writer *w, const deft_segment *s, int32_t n)
{
    for (int32_t k = 0; k < n; k++) {
        image_put_u8(w, s[k].kind);
        image_put_u8(w, 0);
        image_put_u16(w, s[k].kind >= DEFT_SRC_LAYER ? (uint32_t)s[k].index : 0);
        image_put_u16(w, (uint32_t)s[k].offset);
        image_put_u16(w, (uint32_t)s[k].length);
    }
}

static uint32_t flags_of(const deft_layer *l)
{
    uint32_t flags = 0;
    switch (l->kind) {
    case DEFT_LAYER_DENSE:
    case DEFT_LAYER_GRU:
    case DEFT_LAYER_LSTM:
    case DEFT_LAYER_LAYERNORM:
    case DEFT_LAYER_AFFINE:
        if (l->weight) flags |= DEFT_FLAG_WEIGHT;
        if (l->bias) flags |= DEFT_FLAG_BIAS;
        break;
    case DEFT_LAYER_HISTORY:
        if (l->newest_first) flags |= DEFT_FLAG_NEWEST_FIRST;
        if (l->fill_first) flags |= DEFT_FLAG_FILL_FIRST;
        break;
    default:
        break;
    }
    if (l->kind == DEFT_LAYER_GRU && l->reset_before) flags |= DEFT_FLAG_RESET_BEFORE;
    if (l->kind == DEFT_LAYER_GRU || l->kind == DEFT_LAYER_LSTM) {
        if (l->bias_h) flags |= DEFT_FLAG_BIAS_H;
    }
    return flags;
}

static void put_matrix(image_writer *w, const job *j, const float *rows, size_t n_out, size_t n_in)
{
    if (j->layout == DEFT_LAYOUT_PANELS128 && w->data) {
        image_matrix_to_panels(rows, j->tmp, n_out, n_in);
        rows = j->tmp;
    }
    image_put_f32(w, rows, n_out * n_in);
}

static void put_tensors(image_writer *w, const job *j, const deft_layer *l, uint32_t flags)
{
    const uint32_t gates = image_gates((uint8_t)l->kind);
    const size_t h = (size_t)l->n_out, n_in = (size_t)l->n_in, rows = gates ? gates * h : h;
    const size_t align =
        j->layout == DEFT_LAYOUT_PANELS128 ? DEFT_IMAGE_PANEL_ALIGN : DEFT_IMAGE_ALIGN;
    if (flags & DEFT_FLAG_BIAS) {
        image_align(w, DEFT_IMAGE_ALIGN);
        image_put_f32(w, l->bias, rows);
    }
    if (flags & DEFT_FLAG_BIAS_H) {
        image_align(w, DEFT_IMAGE_ALIGN);
        image_put_f32(w, l->bias_h, rows);
    }
    if (!gates) {
        if (flags & DEFT_FLAG_WEIGHT) {
            image_align(w, DEFT_IMAGE_ALIGN);
            image_put_f32(w, l->weight, rows);
        }
        return;
    }
    image_align(w, align);
    put_matrix(w, j, l->weight, rows, n_in);
    if (gates == 1) return;
    image_align(w, align);
    if (flags & DEFT_FLAG_RESET_BEFORE) { // the last gate sees another vector: a matrix of its own
        put_matrix(w, j, l->weight_h, 2 * h, h);
        put_matrix(w, j, l->weight_h + 2 * h * h, h, h);
    } else {
        put_matrix(w, j, l->weight_h, rows, h);
    }
}

static void put_layer(image_writer *w, const job *j, const deft_layer *l)
{
    const bool matrix = image_gates((uint8_t)l->kind) != 0, norm = l->kind == DEFT_LAYER_LAYERNORM;
    const uint32_t flags = flags_of(l);
    const deft_activation_kind f = l->activation.kind;
    const bool uses_beta = f == DEFT_ACT_SELU || f == DEFT_ACT_CLIP;
    const bool uses_alpha = uses_beta || f == DEFT_ACT_LEAKY_RELU || f == DEFT_ACT_ELU;
    const float number[3] = {uses_alpha ? l->activation.alpha : 0,
                             uses_beta ? l->activation.beta : 0, norm ? l->epsilon : 0};
    image_put_u8(w, l->kind);
    image_put_u8(w, f);
    image_put_u8(w, flags & (DEFT_FLAG_WEIGHT | DEFT_FLAG_BIAS) ? DEFT_NUM_F32 : DEFT_NUM_NONE);
    image_put_u8(w, matrix ? j->layout : DEFT_LAYOUT_ROWS);
    image_put_u8(w, DEFT_NUM_F32);
    image_put_u8(w, flags);
    image_put_u16(w, (uint32_t)l->n_segment);
    image_put_u16(w, (uint32_t)l->n_in);
    image_put_u16(w, (uint32_t)l->n_out);
    image_put_u16(w, l->kind == DEFT_LAYER_HISTORY ? (uint32_t)l->depth : 0);
    image_put_u16(w, 0);
    image_put_f32(w, number, 3);
    image_put_u32(w, 0);
    image_put_segments(w, l->in, l->n_segment);
    put_tensors(w, j, l, flags);
}

static void put_names(image_writer *w, const deft_contract *c)
{
    const size_t start = image_begin_record(w, DEFT_RECORD_NAMES);
    image_put_string(w, c->name);
    if (deft_contract_is_known(c)) { // its name says the rest
        image_end_record(w, start);
        return;
    }
    for (int32_t i = 0; i < c->n_obs; i++) image_put_string(w, c->obs_name ? c->obs_name[i] : "");
    for (int32_t i = 0; i < c->n_obs; i++) image_put_string(w, c->obs_unit ? c->obs_unit[i] : "");
    for (int32_t i = 0; i < c->n_act; i++) image_put_string(w, c->act_name ? c->act_name[i] : "");
    for (int32_t i = 0; i < c->n_act; i++) image_put_string(w, c->act_unit ? c->act_unit[i] : "");
    image_end_record(w, start);
}

void image_put_descriptive(image_writer *w, const image_description *d)
{
    const deft_model *const m = d->model;
    if (d->names) put_names(w, &m->contract);
    size_t start;
    if (d->layer_name) {
        start = image_begin_record(w, DEFT_RECORD_LAYER_NAMES);
        for (int32_t k = 0; k < d->n_layer; k++) image_put_string(w, d->layer_name[k]);
        image_end_record(w, start);
    }

    // the file's name only: the same policy is the same image wherever it lay
    const char *const slash = m->source ? strrchr(m->source, '/') : NULL;
    start = image_begin_record(w, DEFT_RECORD_PROVENANCE);
    image_put(w, m->source_sha256, sizeof m->source_sha256);
    image_put_string(w, slash ? slash + 1 : m->source);
    image_put_string(w, tool_version);
    image_end_record(w, start);

    const bool known = d->names && deft_contract_is_known(&m->contract);
    const int32_t first = known ? deft_contract_known_notes(m->contract.name) : 0;
    if (m->contract.n_note + d->n_note > first) {
        start = image_begin_record(w, DEFT_RECORD_NOTES);
        for (int32_t k = first; k < m->contract.n_note + d->n_note; k++) {
            const deft_meta *const n =
                k < m->contract.n_note ? &m->contract.note[k] : &d->note[k - m->contract.n_note];
            image_put_string(w, n->key);
            image_put_string(w, n->value);
        }
        image_end_record(w, start);
    }
    if (m->n_assumption) {
        start = image_begin_record(w, DEFT_RECORD_ASSUMPTIONS);
        for (int32_t k = 0; k < m->n_assumption; k++) image_put_string(w, m->assumption[k]);
        image_end_record(w, start);
    }
}

void image_put_ranges(image_writer *w, const deft_contract *c)
{
    const float *const range[4] = {NULL, NULL, c->obs_least, c->obs_most};
    if (!image_end_mask(range, c->n_obs)) return;
    const size_t start = image_begin_record(w, DEFT_RECORD_RANGES);
    for (int k = 2; k < 4; k++) {
        for (int32_t i = 0; i < c->n_obs; i++) {
            const float open = k == 2 ? -INFINITY : INFINITY;
            image_put_f32(w, range[k] ? &range[k][i] : &open, 1);
        }
    }
    image_end_record(w, start);
}

void image_put_header(image_writer *w, const deft_model *m, int32_t n_layer, uint32_t work)
{
    const deft_contract *c = &m->contract;
    image_put(w, "DEFT", 4);
    image_put_u16(w, DEFT_IMAGE_VERSION);
    image_put_u16(w, c->discrete ? DEFT_IMAGE_DISCRETE : 0);
    image_put_u32(w, 0); // length, CRC: later
    image_put_u32(w, 0);
    image_put_u16(w, (uint32_t)c->n_obs);
    image_put_u16(w, (uint32_t)c->n_act);
    image_put_u16(w, (uint32_t)m->n_output);
    image_put_u16(w, (uint32_t)n_layer);
    image_put_u32(w, (uint32_t)lround(c->period_s * 1e6));
    image_put_u32(w, work);
    image_align(w, DEFT_IMAGE_HEADER);
}

void image_put_choices(image_writer *w, const deft_contract *c)
{
    if (!c->choices || c->n_act < 2) return;
    const size_t start = image_begin_record(w, DEFT_RECORD_CHOICES);
    for (int32_t k = 0; k < c->n_act; k++) image_put_u16(w, (uint32_t)c->choices[k]);
    image_end_record(w, start);
}

static void put_image(image_writer *w, const job *j)
{
    const deft_model *m = j->m;
    const deft_contract *c = &m->contract;
    image_put_header(w, m, m->n_layer, 0);
    size_t start = image_begin_record(w, DEFT_RECORD_DIRECTORY);
    image_writer directory = *w;
    w->at += 4 * (size_t)m->n_layer;
    image_end_record(w, start);
    const float *const front[4] = {c->obs_offset, c->obs_scale, c->obs_lo, c->obs_hi};
    const float *const back[4] = {c->act_offset, c->act_scale, c->act_lo, c->act_hi};
    put_end(w, DEFT_RECORD_FRONT_END, front, c->n_obs);
    put_end(w, DEFT_RECORD_BACK_END, back, c->n_act);
    for (int32_t k = 0; k < m->n_layer; k++) {
        start = image_begin_record(w, DEFT_RECORD_LAYER);
        image_put_u32(&directory, (uint32_t)w->at);
        put_layer(w, j, &m->layer[k]);
        image_end_record(w, start);
    }
    start = image_begin_record(w, DEFT_RECORD_OUTPUTS);
    image_put_segments(w, m->out, m->n_out_segment);
    image_end_record(w, start);
    image_put_choices(w, c);

    if (j->test->steps) {
        start = image_begin_record(w, DEFT_RECORD_SELFTEST);
        image_put_u16(w, (uint32_t)j->test->steps);
        image_put_u16(w, 0);
        image_put_f32(w, j->test->obs, (size_t)j->test->steps * (size_t)c->n_obs);
        image_put_f32(w, j->test->act, (size_t)j->test->steps * (size_t)c->n_act);
        image_end_record(w, start);
    }
    const image_description d = {m, true, j->layer_name, m->n_layer, NULL, 0};
    image_put_descriptive(w, &d);
    image_put_ranges(w, c);
}

deft_status image_check_limits(const deft_model *m, int32_t n_layer, int32_t n_segment,
                               deft_error *err)
{
    const deft_contract *c = &m->contract;
    const int32_t most = UINT16_MAX;
    if (c->n_obs > most || c->n_act > most || m->n_output > most || n_segment > most) {
        return deft_fail(err, DEFT_E_UNSUPPORTED,
                         "an image has at most %d observations, actions and outputs", most);
    }
    if (n_layer > DEFT_IMAGE_MAX_LAYERS || n_layer < 1) {
        return deft_fail(err, DEFT_E_UNSUPPORTED, "an image has 1 to %d layers, not %d",
                         DEFT_IMAGE_MAX_LAYERS, n_layer);
    }
    if (!(c->period_s >= 0 && c->period_s * 1e6 < UINT32_MAX)) {
        return deft_fail(err, DEFT_E_UNSUPPORTED, "a control period of %g s", c->period_s);
    }
    return DEFT_OK;
}

deft_status image_check_layer_limits(int32_t k, int32_t n_in, int32_t n_out, int32_t n_segment,
                                     deft_error *err)
{
    const int32_t most = UINT16_MAX;
    if (n_in <= most && n_out <= most && n_segment <= most) return DEFT_OK;
    return deft_fail(err, DEFT_E_UNSUPPORTED,
                     "layer %d: %d inputs, %d outputs, %d segments: an image takes %d", k, n_in,
                     n_out, n_segment, most);
}

/* What the format has no room for. */
static deft_status check_limits(const deft_model *m, deft_error *err)
{
    deft_status s = image_check_limits(m, m->n_layer, m->n_out_segment, err);
    for (int32_t k = 0; s == DEFT_OK && k < m->n_layer; k++) {
        const deft_layer *l = &m->layer[k];
        s = image_check_layer_limits(k, l->n_in, l->n_out, l->n_segment, err);
    }
    return s;
}

uint8_t *image_allocate(deft_arena *a, size_t size)
{
    // weights on cache lines: as far as the arena allows, by starting at one
    uint8_t *p = deft_arena_alloc(a, size + DEFT_IMAGE_PANEL_ALIGN);
    return p ? p + -(uintptr_t)p % DEFT_IMAGE_PANEL_ALIGN : NULL;
}

static deft_status allocate(const deft_model *m, size_t size, deft_arena *a, job *j,
                            image_writer *w, deft_error *err)
{
    size_t largest = 0;
    for (int32_t k = 0; k < m->n_layer; k++) {
        const deft_layer *l = &m->layer[k];
        const size_t rows = image_gates((uint8_t)l->kind) * (size_t)l->n_out;
        const size_t columns = (size_t)(l->n_in > l->n_out ? l->n_in : l->n_out);
        if (rows * columns > largest) largest = rows * columns;
    }
    if (size > INT32_MAX) {
        return deft_fail(err, DEFT_E_UNSUPPORTED, "an image of %zu bytes, at most 2 GiB", size);
    }
    j->tmp = DEFT_NEW_ARRAY(a, float, largest);
    uint8_t *p = image_allocate(a, size);
    if (!j->tmp || !p) return deft_fail(err, DEFT_E_SPACE, "no memory for the image");
    *w = (image_writer){p, 0};
    return DEFT_OK;
}

void image_seal(uint8_t *data, size_t size)
{
    image_writer w = {data, 8};
    image_put_u32(&w, (uint32_t)size);
    image_put_u32(&w, 0);
    const uint32_t crc = deft_crc32(0, data, size);
    w.at = 12;
    image_put_u32(&w, crc);
}

deft_status deft_image_write_as(const deft_model *m, uint8_t layout, deft_arena *a, deft_bytes *out,
                                deft_error *err)
{
    image_selftest test;
    deft_status s = deft_model_check(m, err);
    if (s == DEFT_OK) s = check_limits(m, err);
    if (s == DEFT_OK) s = image_selftest_make(m, a, &test, err);
    if (s != DEFT_OK) return s;
    job j = {m, layout, &test, NULL, DEFT_NEW_ARRAY(a, const char *, m->n_layer)};
    if (!j.layer_name) return deft_fail(err, DEFT_E_SPACE, "no memory for the image");
    for (int32_t k = 0; k < m->n_layer; k++) j.layer_name[k] = m->layer[k].name;
    image_writer w = {NULL, 0};
    put_image(&w, &j);
    const size_t size = w.at;
    s = allocate(m, size, a, &j, &w, err);
    if (s != DEFT_OK) return s;
    put_image(&w, &j);
    image_seal(w.data, size);

    // The reader has the last word on what was written, and its view gives the policy its name.
    deft_image im;
    s = deft_image_open(&im, w.data, size);
    if (s != DEFT_OK) {
        return deft_fail(err, s, "the format cannot hold this policy: %s", deft_status_str(s));
    }
    if (image_policy_id(&im, a, w.data + 32) != DEFT_OK) {
        return deft_fail(err, DEFT_E_SPACE, "no memory for the image");
    }
    image_seal(w.data, size);
    *out = (deft_bytes){w.data, size};
    return DEFT_OK;
}

deft_status deft_image_write_for(const deft_model *m, deft_image_layout layout, deft_arena *a,
                                 deft_bytes *out, deft_error *err)
{
    const uint8_t as = layout == DEFT_IMAGE_ROWS ? DEFT_LAYOUT_ROWS : DEFT_LAYOUT_PANELS128;
    return deft_image_write_as(m, as, a, out, err);
}

deft_status deft_image_write(const deft_model *m, deft_arena *a, deft_bytes *out, deft_error *err)
{
    return deft_image_write_for(m, DEFT_IMAGE_AUTO, a, out, err);
}
