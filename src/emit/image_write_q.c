/* image_write_q.c - the integer policy as an image (docs/format.md). The same policy always gives
 * the same bytes. */
#include "deft/policy.h"
#include "emit/image_emit.h"
#include "image/image_q.h"
#include "kernels/kernel_set.h"

#include <string.h>

/* Where everything goes; see "Working memory" in docs/format.md. */
typedef struct place {
    uint32_t flags;   // of the layer record
    uint32_t at, end; // of the output, or of the state
    int32_t last;     // layer that reads it last, n_layer: the outputs
    uint32_t scratch;
} place;

typedef struct job {
    const deft_qmodel *q;
    const deft_image_options *opt;
    const place *places;
    uint32_t work;
    const char **layer_name;
    int32_t steps; // of the self-test
    float *obs, *act;
} job;

static uint32_t flags_of(const deft_qlayer *l)
{
    const bool gates = image_gates((uint8_t)l->kind) > 1;
    uint32_t flags = 0;
    if (l->kind != DEFT_LAYER_HISTORY) {
        if (l->w.bias) flags |= DEFT_FLAG_BIAS;
        if (l->w.weight) flags |= DEFT_FLAG_WEIGHT;
    } else {
        if (l->newest_first) flags |= DEFT_FLAG_NEWEST_FIRST;
        if (l->fill_first) flags |= DEFT_FLAG_FILL_FIRST;
    }
    if (gates && l->u.bias) flags |= DEFT_FLAG_BIAS_H;
    if (l->kind == DEFT_LAYER_GRU && l->reset_before) flags |= DEFT_FLAG_RESET_BEFORE;
    return flags;
}

/* Who reads what last; old states read behind their layer. */
static void note_reads(place *p, const deft_segment *s, int32_t n, int32_t reader)
{
    for (int32_t k = 0; k < n; k++) {
        if (s[k].kind == DEFT_SRC_LAYER) p[s[k].index].last = reader;
        if (s[k].kind == DEFT_SRC_STATE && s[k].index < reader) {
            p[s[k].index].flags |= DEFT_FLAG_DOUBLE;
        }
    }
}

static deft_image_qlayer shape_of(const deft_qlayer *l, uint32_t flags)
{
    deft_image_qlayer s;
    memset(&s, 0, sizeof s);
    s.kind = (uint8_t)l->kind;
    s.in_format = (uint8_t)l->in_format;
    s.out_format = (uint8_t)l->out_format;
    s.flags = (uint8_t)flags;
    s.n_segment = (uint16_t)l->n_segment;
    s.n_in = (uint16_t)l->n_in;
    s.n_out = (uint16_t)l->n_out;
    return s;
}

/* The lowest place for layer k of size bytes in which nothing is that is still read. */
static uint32_t lowest(const deft_qmodel *q, const place *p, int32_t k, uint32_t from,
                       uint32_t size)
{
    uint32_t at = from;
    for (int32_t j = 0; j < k;) {
        const bool live = !deft_has_state((uint8_t)q->layer[j].kind) && p[j].last >= k;
        if (live && at < p[j].end && p[j].at < at + size) {
            at = p[j].end;
            j = 0; // the earlier ones again
        } else {
            j++;
        }
    }
    return at;
}

static uint32_t make_places(const deft_qmodel *q, place *p)
{
    uint32_t state = 0, work = 0;
    for (int32_t k = 0; k < q->n_layer; k++) p[k].last = k;
    for (int32_t k = 0; k < q->n_layer; k++) {
        p[k].flags |= flags_of(&q->layer[k]);
        note_reads(p, q->layer[k].in, q->layer[k].n_segment, k);
    }
    note_reads(p, q->out, q->n_out_segment, q->n_layer);
    for (int32_t k = 0; k < q->n_layer; k++) {
        const deft_image_qlayer s = shape_of(&q->layer[k], p[k].flags);
        p[k].scratch = deft_image_qscratch(&s);
        p[k].at = state;
        state += deft_image_qstate(&s);
        p[k].end = state;
    }
    work = state;
    for (int32_t k = 0; k < q->n_layer; k++) {
        const deft_image_qlayer s = shape_of(&q->layer[k], p[k].flags);
        uint32_t top = state;
        if (!deft_has_state(s.kind)) {
            p[k].at = lowest(q, p, k, state, deft_image_qoutput(&s));
            p[k].end = p[k].at + deft_image_qoutput(&s);
        }
        for (int32_t j = 0; j <= k; j++) {
            if (p[j].last >= k && p[j].end > top) top = p[j].end;
        }
        if (top + p[k].scratch > work) work = top + p[k].scratch;
    }
    return work;
}

static uint8_t layout_of(const job *j, const deft_qlayer *l)
{
    const bool matrix = image_gates((uint8_t)l->kind) != 0;
    if (!matrix || l->w.format == DEFT_NUM_S16) return DEFT_LAYOUT_ROWS;
    if (image_gates((uint8_t)l->kind) > 1 && l->u.format == DEFT_NUM_S16) return DEFT_LAYOUT_ROWS;
    return j->opt->layout == DEFT_IMAGE_ROWS ? DEFT_LAYOUT_ROWS : DEFT_LAYOUT_PANELS128;
}

static void put_i32(image_writer *w, const int32_t *x, size_t n)
{
    image_align(w, DEFT_IMAGE_ALIGN);
    for (size_t i = 0; i < n; i++) image_put_u32(w, (uint32_t)x[i]);
}

void image_put_matrix_q(image_writer *w, const int16_t *weight, deft_matrix_q m)
{
    if (w->data) {
        uint8_t *const to = w->data + w->at;
        m.weight = to;
        for (uint32_t o = 0; o < m.n_out; o++) {
            for (uint32_t i = 0; i < m.n_in; i++) {
                uint32_t high;
                const uint32_t at = deft_matrix_place(&m, o, i, &high);
                const int32_t v = weight[(size_t)o * m.n_in + i];
                if (m.format == DEFT_NUM_S4) {
                    to[at] = (uint8_t)(to[at] | (uint32_t)(v + 8) << 4 * high);
                } else {
                    to[at] = (uint8_t)v;
                }
                if (m.format == DEFT_NUM_S16) to[at + 1] = (uint8_t)((uint32_t)v >> 8);
            }
        }
    }
    w->at += (size_t)deft_matrix_bytes(m.format, m.layout, m.n_out, m.n_in);
}

static void put_weights(image_writer *w, const deft_qlayer *l, uint8_t layout)
{
    const uint32_t gates = image_gates((uint8_t)l->kind), h = (uint32_t)l->n_out;
    const size_t align = layout == DEFT_LAYOUT_ROWS ? DEFT_IMAGE_ALIGN : DEFT_IMAGE_PANEL_ALIGN;
    deft_matrix_q m = {.n_in = (uint32_t)l->n_in,
                       .n_out = gates ? gates * h : 1,
                       .format = (uint8_t)l->w.format,
                       .layout = layout};
    image_align(w, align);
    image_put_matrix_q(w, l->w.weight, m);
    if (gates < 2) return;
    image_align(w, align);
    m.format = (uint8_t)l->u.format;
    m.n_in = h;
    if (l->kind == DEFT_LAYER_GRU && l->reset_before) { // the last gate sees another vector
        m.n_out = 2 * h;
        image_put_matrix_q(w, l->u.weight, m);
        m.n_out = h;
        image_put_matrix_q(w, l->u.weight + 2 * (size_t)h * h, m);
    } else {
        image_put_matrix_q(w, l->u.weight, m);
    }
}

static void put_descriptor(image_writer *w, const deft_qlayer *l, const place *p, uint8_t layout)
{
    const bool two = image_gates((uint8_t)l->kind) > 1, history = l->kind == DEFT_LAYER_HISTORY;
    const bool norm = l->kind == DEFT_LAYER_LAYERNORM;
    const deft_qmatrix none = {DEFT_NUM_NONE, NULL, NULL, NULL, 0, 0};
    const deft_qmatrix *const m = history ? &none : &l->w, *const u = two ? &l->u : &none;
    image_put_u8(w, l->kind);
    image_put_u8(w, 0);
    image_put_u8(w, m->format);
    image_put_u8(w, layout);
    image_put_u8(w, l->out_format);
    image_put_u8(w, p->flags);
    image_put_u16(w, (uint32_t)l->n_segment);
    image_put_u16(w, (uint32_t)l->n_in);
    image_put_u16(w, (uint32_t)l->n_out);
    image_put_u16(w, (uint32_t)(history ? l->depth : norm ? l->epsilon : 0));
    image_put_u8(w, l->in_format);
    image_put_u8(w, u->format);
    image_put_u8(w, (uint32_t)m->shift);
    image_put_u8(w, (uint32_t)u->shift);
    image_put_u8(w, (uint32_t)m->preshift);
    image_put_u8(w, (uint32_t)u->preshift);
    image_put_u8(w, l->table < 0 ? DEFT_IMAGE_NO_TABLE : (uint32_t)l->table);
    image_put_u8(w, (uint32_t)l->gate_round);
    image_put_u8(w, (uint32_t)l->state_round);
    image_put_u8(w, (uint32_t)(norm ? l->epsilon_shift : l->cell_shift));
    image_put_u16(w, (uint32_t)l->zero);
    image_put_u16(w, (uint32_t)l->lo);
    image_put_u16(w, (uint32_t)l->hi);
    image_put_u16(w, p->at / DEFT_IMAGE_ALIGN);
    image_put_segments(w, l->in, l->n_segment);
}

static void put_layer(image_writer *w, const job *j, int32_t k)
{
    const deft_qlayer *l = &j->q->layer[k];
    const uint32_t flags = j->places[k].flags, gates = image_gates((uint8_t)l->kind);
    const uint8_t layout = layout_of(j, l);
    const size_t rows = (gates ? gates : 1) * (size_t)l->n_out;
    put_descriptor(w, l, &j->places[k], layout);
    if (flags & DEFT_FLAG_BIAS) put_i32(w, l->w.bias, rows);
    if (flags & DEFT_FLAG_BIAS_H) put_i32(w, l->u.bias, rows);
    if (l->kind != DEFT_LAYER_HISTORY) put_i32(w, l->w.multiplier, rows);
    if (gates > 1) put_i32(w, l->u.multiplier, rows);
    if (flags & DEFT_FLAG_WEIGHT) put_weights(w, l, layout);
}

static bool all_equal(const float *x, int32_t n, float value)
{
    for (int32_t i = 0; x && i < n; i++) {
        if (x[i] != value) return false;
    }
    return true;
}

static bool all_equal_i16(const int16_t *x, int32_t n, int16_t value)
{
    for (int32_t i = 0; x && i < n; i++) {
        if (x[i] != value) return false;
    }
    return true;
}

static void put_front(image_writer *w, const deft_qmodel *q)
{
    const int32_t n = q->model->contract.n_obs, n_act = q->model->contract.n_act;
    const size_t start = image_begin_record(w, DEFT_RECORD_FRONT_END);
    uint32_t mask = 0;
    if (!all_equal(q->obs_offset, n, 0)) mask |= DEFT_FRONT_OFFSET;
    if (!all_equal(q->obs_scale, n, 1)) mask |= DEFT_FRONT_SCALE;
    if (q->prev_scale) mask |= DEFT_FRONT_PREV;
    if (!all_equal_i16(q->obs_lo, n, INT16_MIN)) mask |= DEFT_FRONT_LO;
    if (!all_equal_i16(q->obs_hi, n, INT16_MAX)) mask |= DEFT_FRONT_HI;
    image_put_u8(w, DEFT_NUM_S16);
    image_put_u8(w, mask);
    image_put_u16(w, (uint32_t)n);
    if (mask & DEFT_FRONT_OFFSET) image_put_f32(w, q->obs_offset, (size_t)n);
    if (mask & DEFT_FRONT_SCALE) image_put_f32(w, q->obs_scale, (size_t)n);
    if (mask & DEFT_FRONT_PREV) image_put_f32(w, q->prev_scale, (size_t)n_act);
    for (int32_t i = 0; mask & DEFT_FRONT_LO && i < n; i++)
        image_put_u16(w, (uint32_t)q->obs_lo[i]);
    for (int32_t i = 0; mask & DEFT_FRONT_HI && i < n; i++)
        image_put_u16(w, (uint32_t)q->obs_hi[i]);
    image_end_record(w, start);
}

static void put_back(image_writer *w, const deft_qmodel *q)
{
    const deft_contract *c = &q->model->contract;
    const float *const array[4] = {c->act_offset, c->act_scale, c->act_lo, c->act_hi};
    const deft_segment *const out = &q->out[0];
    const bool layer = out->kind == DEFT_SRC_LAYER;
    const size_t start = image_begin_record(w, DEFT_RECORD_BACK_END);
    const uint32_t mask = image_end_mask(array, c->n_act);
    image_put_u8(w, layer ? q->layer[out->index].out_format : DEFT_NUM_S16);
    image_put_u8(w, mask);
    image_put_u16(w, (uint32_t)c->n_act);
    image_put_u32(w, (uint32_t)q->out_zero);
    image_put_f32(w, q->out_scale, (size_t)q->model->n_output);
    for (uint32_t k = 0; k < 4; k++) {
        if (mask >> k & 1) image_put_f32(w, array[k], (size_t)c->n_act);
    }
    image_end_record(w, start);
}

static void put_tables(image_writer *w, const deft_qmodel *q)
{
    if (!q->n_table) return;
    const size_t start = image_begin_record(w, DEFT_RECORD_TABLES);
    uint32_t at = 4 + DEFT_IMAGE_TABLE * (uint32_t)q->n_table;
    image_put_u16(w, (uint32_t)q->n_table);
    image_put_u16(w, 0);
    for (int32_t k = 0; k < q->n_table; k++) {
        const deft_qtable *t = &q->table[k];
        const float number[4] = {t->f.alpha, t->f.beta, t->in_scale, t->out_scale};
        image_put_u8(w, (uint32_t)t->log2_n);
        image_put_u8(w, t->odd);
        image_put_u8(w, t->f.kind);
        image_put_u8(w, 0);
        image_put_u32(w, at);
        image_put_f32(w, number, 4);
        at += 2 * ((1u << t->log2_n) + 1);
    }
    for (int32_t k = 0; k < q->n_table; k++) {
        const deft_qtable *t = &q->table[k];
        for (int32_t i = 0; i <= 1 << t->log2_n; i++) image_put_u16(w, (uint32_t)t->entry[i]);
    }
    image_end_record(w, start);
}

void image_put_proofs(image_writer *w, const deft_qmodel *q)
{
    for (int32_t k = 0; k < q->n_layer; k++) {
        const bool none = q->layer[k].kind == DEFT_LAYER_HISTORY;
        const int32_t n = none ? 0 : image_gates((uint8_t)q->layer[k].kind) > 1 ? 2 : 1;
        for (int32_t m = 0; m < n; m++) {
            deft_qproof p;
            if (deft_qmodel_prove(q, k, m, &p, NULL) != DEFT_OK) continue; // checked before
            image_put_u16(w, (uint32_t)k);
            image_put_u8(w, (uint32_t)m | (p.fits_20 ? 2u : 0u));
            image_put_u8(w, (uint32_t)p.bits);
            image_put_u32(w, (uint32_t)p.channel);
            image_put_u32(w, p.worst > UINT32_MAX ? UINT32_MAX : (uint32_t)p.worst);
        }
    }
}

static void put_image(image_writer *w, const job *j)
{
    const deft_qmodel *q = j->q;
    const deft_contract *c = &q->model->contract;
    image_put_header(w, q->model, q->n_layer, j->work);
    size_t start = image_begin_record(w, DEFT_RECORD_DIRECTORY);
    image_writer directory = *w;
    w->at += 4 * (size_t)q->n_layer;
    image_end_record(w, start);
    put_front(w, q);
    put_back(w, q);
    for (int32_t k = 0; k < q->n_layer; k++) {
        start = image_begin_record(w, DEFT_RECORD_LAYER);
        image_put_u32(&directory, (uint32_t)w->at);
        put_layer(w, j, k);
        image_end_record(w, start);
    }
    start = image_begin_record(w, DEFT_RECORD_OUTPUTS);
    image_put_segments(w, q->out, q->n_out_segment);
    image_end_record(w, start);
    put_tables(w, q);
    image_put_choices(w, c);
    if (j->steps) {
        start = image_begin_record(w, DEFT_RECORD_SELFTEST);
        image_put_u16(w, (uint32_t)j->steps);
        image_put_u16(w, 0);
        image_put_f32(w, j->obs, (size_t)j->steps * (size_t)c->n_obs);
        image_put_f32(w, j->act, (size_t)j->steps * (size_t)c->n_act);
        image_end_record(w, start);
    }
    const deft_meta note[2] = {{"scheme", q->scheme}, {"calibration", q->calibration}};
    const bool both = q->scheme && q->calibration;
    const image_description d = {
        q->model,   !j->opt->no_names,           j->layer_name,
        q->n_layer, q->scheme ? note : note + 1, both ? 2 : q->scheme || q->calibration ? 1 : 0};
    image_put_descriptive(w, &d);
    if (!j->opt->no_proofs) {
        start = image_begin_record(w, DEFT_RECORD_PROOFS);
        image_put_proofs(w, q);
        image_end_record(w, start);
    }
    if (!j->opt->no_names) image_put_ranges(w, c);
}

static bool has_memory(const deft_qmodel *q)
{
    for (int32_t k = 0; k < q->n_layer; k++) {
        if (deft_has_state((uint8_t)q->layer[k].kind)) return true;
    }
    return q->prev_scale != NULL;
}

/* Observations for the self-test: about a third of the range of their numbers. */
static deft_status make_observations(job *j, deft_arena *a, deft_error *err)
{
    const deft_qmodel *q = j->q;
    const deft_contract *c = &q->model->contract;
    j->steps = j->opt->selftest_steps ? j->opt->selftest_steps
               : has_memory(q)        ? IMAGE_TEST_STATE
                                      : IMAGE_TEST_PLAIN;
    if (j->steps < 0) j->steps = 0;
    if (j->steps > UINT16_MAX) {
        return deft_fail(err, DEFT_E_ARG, "a self-test of %d steps", j->steps);
    }
    j->obs = DEFT_NEW_ARRAY(a, float, (size_t)j->steps *(size_t)c->n_obs);
    j->act = DEFT_NEW_ARRAY(a, float, (size_t)j->steps *(size_t)c->n_act);
    if (!j->obs || !j->act) return deft_fail(err, DEFT_E_SPACE, "no memory for the self-test");
    deft_rng r;
    deft_rng_seed(&r, 1);
    for (int32_t k = 0; k < j->steps * c->n_obs; k++) {
        const int32_t i = k % c->n_obs;
        const double lo = q->obs_lo ? q->obs_lo[i] : INT16_MIN,
                     hi = q->obs_hi ? q->obs_hi[i] : INT16_MAX;
        const double scale = q->obs_scale ? (double)q->obs_scale[i] : 1;
        const double x = (lo + hi) / 2 + (hi - lo) / 6 * deft_rng_normal(&r);
        const double v =
            (scale != 0 ? x / scale : x) + (q->obs_offset ? (double)q->obs_offset[i] : 0);
        j->obs[k] = v > -1e30 && v < 1e30 ? (float)v : 0;
    }
    return DEFT_OK;
}

/* Fills in the actions, as the reference kernels give them. */
static deft_status run_selftest(const job *j, const uint8_t *image, size_t size, deft_arena *a,
                                deft_error *err)
{
    const int32_t need = deft_policy_size(image, size);
    if (need < 0) {
        return deft_fail(err, (deft_status)need, "the format cannot hold this policy: %s",
                         deft_status_str((deft_status)need));
    }
    void *const arena = deft_arena_alloc(a, (size_t)need);
    if (!arena) return deft_fail(err, DEFT_E_SPACE, "no memory for the self-test");
    const deft_policy_config cfg = {image, size, arena, (size_t)need, &deft_kernels_ref};
    deft_policy p;
    deft_status s = deft_policy_init(&p, &cfg);
    for (int32_t t = 0; s == DEFT_OK && t < j->steps; t++) {
        s = deft_policy_step(&p, j->obs + (size_t)t * p.n_obs, NULL, j->act + (size_t)t * p.n_act);
    }
    return s == DEFT_OK ? s : deft_fail(err, s, "self-test: %s", deft_status_str(s));
}

static deft_status check_limits(const deft_qmodel *q, deft_error *err)
{
    deft_status s = image_check_limits(q->model, q->n_layer, q->n_out_segment, err);
    for (int32_t k = 0; s == DEFT_OK && k < q->n_layer; k++) {
        const deft_qlayer *l = &q->layer[k];
        s = image_check_layer_limits(k, l->n_in, l->n_out, l->n_segment, err);
    }
    return s;
}

static deft_status prepare(job *j, deft_arena *a, deft_error *err)
{
    const deft_qmodel *q = j->q;
    place *const p = DEFT_NEW_ARRAY(a, place, q->n_layer);
    const char **const name = DEFT_NEW_ARRAY(a, const char *, q->n_layer);
    if (!p || !name) return deft_fail(err, DEFT_E_SPACE, "no memory for the image");
    for (int32_t k = 0; k < q->n_layer; k++) name[k] = q->layer[k].name;
    j->work = make_places(q, p);
    for (int32_t k = 0; k < q->n_layer; k++) {
        if (p[k].at / DEFT_IMAGE_ALIGN > UINT16_MAX) {
            return deft_fail(err, DEFT_E_UNSUPPORTED, "an image has at most 1 MiB of outputs");
        }
    }
    j->places = p;
    j->layer_name = j->opt->layer_names ? name : NULL;
    return make_observations(j, a, err);
}

deft_status deft_image_write_q(const deft_qmodel *q, const deft_image_options *opt, deft_arena *a,
                               deft_bytes *out, deft_error *err)
{
    static const deft_image_options defaults;
    job j = {q, opt ? opt : &defaults, NULL, 0, NULL, 0, NULL, NULL};
    deft_status s = deft_qmodel_check(q, err);
    if (s == DEFT_OK) s = check_limits(q, err);
    if (s == DEFT_OK) s = prepare(&j, a, err);
    if (s != DEFT_OK) return s;
    image_writer w = {NULL, 0};
    put_image(&w, &j);
    const size_t size = w.at;
    if (size > INT32_MAX) {
        return deft_fail(err, DEFT_E_UNSUPPORTED, "an image of %zu bytes, at most 2 GiB", size);
    }
    uint8_t *const data = image_allocate(a, size);
    if (!data) return deft_fail(err, DEFT_E_SPACE, "no memory for the image");
    for (int pass = 0; s == DEFT_OK && pass < 2; pass++) { // the second knows the actions
        memset(data, 0, size);
        w = (image_writer){data, 0};
        put_image(&w, &j);
        image_seal(data, size);
        if (pass == 0) s = run_selftest(&j, data, size, a, err);
    }
    if (s != DEFT_OK) return s;
    deft_image im;
    s = deft_image_open(&im, data, size);
    if (s != DEFT_OK) return deft_fail(err, s, "an image that is not one: %s", deft_status_str(s));
    s = image_policy_id(&im, a, data + 32);
    if (s != DEFT_OK) return deft_fail(err, s, "no memory for the image");
    image_seal(data, size);
    *out = (deft_bytes){data, size};
    return DEFT_OK;
}
