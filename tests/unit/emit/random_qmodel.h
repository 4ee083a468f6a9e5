/* random_qmodel.h - integer policies at random: every kind of layer, number format and source. */
#ifndef DEFT_TESTS_RANDOM_QMODEL_H
#define DEFT_TESTS_RANDOM_QMODEL_H

#include "deft/qmodel.h"
#include "random_model.h"

#include <math.h>

static inline int32_t q_gates(deft_layer_kind k)
{
    return k == DEFT_LAYER_DENSE ? 1 : k == DEFT_LAYER_GRU ? 3 : k == DEFT_LAYER_LSTM ? 4 : 0;
}

static inline deft_qtable random_table(deft_rng *r, deft_arena *a, bool tanh_q12)
{
    deft_qtable t = {random_int(r, 4, 10), tanh_q12 || random_int(r, 0, 1), NULL, {0}, 0, 0};
    const int32_t n = (1 << t.log2_n) + 1;
    int16_t *e = DEFT_NEW_ARRAY(a, int16_t, n);
    for (int32_t i = 0; i < n; i++) {
        e[i] = tanh_q12 ? (int16_t)lrint(tanh(8.0 * i / (n - 1)) * 32767)
                        : (int16_t)random_int(r, t.odd ? -32767 : -32768, 32767);
    }
    if (tanh_q12) {
        t.f.kind = DEFT_ACT_TANH;
        t.in_scale = 1.0f / 4096;
        t.out_scale = 1.0f / 32768;
    }
    t.entry = e;
    return t;
}

/* Elements that layer `before` may read of a source in a format. */
static inline int32_t q_source_length(const deft_qmodel *q, deft_source_kind kind, int32_t index,
                                      int32_t before, deft_number format)
{
    if (kind == DEFT_SRC_LAYER) {
        const deft_qlayer *l = &q->layer[index];
        return index < before && l->out_format == format ? l->n_out : 0;
    }
    if (format != DEFT_NUM_S16) return 0;
    if (kind == DEFT_SRC_OBS) return q->model->contract.n_obs;
    if (kind == DEFT_SRC_PREV) return q->prev_scale ? q->model->contract.n_act : 0;
    return q_gates(q->layer[index].kind) > 1 ? q->layer[index].n_out : 0;
}

static inline deft_segment *random_q_segments(deft_rng *r, deft_qmodel *q, int32_t before,
                                              int32_t n, deft_number format, int32_t *count)
{
    deft_segment *s = DEFT_NEW_ARRAY(q->model->arena, deft_segment, n);
    *count = 0;
    while (n > 0) {
        deft_segment g = {(deft_source_kind)random_int(r, DEFT_SRC_OBS, DEFT_SRC_STATE), 0, 0, 0};
        if (before && random_int(r, 0, 2)) g.kind = DEFT_SRC_LAYER;
        if (g.kind == DEFT_SRC_LAYER && before) {
            g.index = random_int(r, 0, 2) ? before - 1 : random_int(r, 0, before - 1);
        } else if (g.kind == DEFT_SRC_STATE) {
            g.index = random_int(r, 0, q->n_layer - 1);
        }
        const int32_t length = q_source_length(q, g.kind, g.index, before, format);
        if (length == 0) continue;
        g.length = random_int(r, 0, 1) ? random_int(r, 1, length) : length;
        if (g.length > n) g.length = n;
        g.offset = random_int(r, 0, length - g.length);
        s[(*count)++] = g;
        n -= g.length;
    }
    return s;
}

static inline bool q_has_u8(const deft_qmodel *q, int32_t before)
{
    for (int32_t k = 0; k < before; k++) {
        if (q->layer[k].out_format == DEFT_NUM_U8) return true;
    }
    return false;
}

static inline int32_t *random_biases(deft_rng *r, deft_arena *a, int32_t n, int32_t size)
{
    int32_t *b = DEFT_NEW_ARRAY(a, int32_t, n);
    for (int32_t i = 0; i < n; i++) b[i] = random_int(r, -size, size);
    return b;
}

static inline void random_q_matrix(deft_rng *r, deft_arena *a, deft_qmatrix *m, int32_t rows,
                                   int64_t weights)
{
    if (m->format != DEFT_NUM_NONE) {
        const int32_t most = m->format == DEFT_NUM_S4 ? 7 : m->format == DEFT_NUM_S8 ? 127 : 32767;
        const int32_t low = random_int(r, 0, 3) ? -most - 1 : random_int(r, 0, 1) ? -1 : -most - 1;
        int16_t *w = DEFT_NEW_ARRAY(a, int16_t, weights);
        const bool extreme = random_int(r, 0, 5) == 0;
        for (int64_t i = 0; i < weights; i++) {
            w[i] = (int16_t)random_int(r, low, most);
            if (extreme) w[i] = (int16_t)(random_int(r, 0, 1) ? low : most);
        }
        m->weight = w;
    }
    if (random_int(r, 0, 2))
        m->bias = random_biases(r, a, rows, random_int(r, 0, 1) ? 100 : 200000);
    m->multiplier = DEFT_NEW_ARRAY(a, int32_t, rows);
    m->shift = random_int(r, 0, 1) ? 0 : random_int(r, 0, 15);
}

/* Shrinks what does not fit, then spreads the results over their range. */
static inline void fit_q_matrix(deft_rng *r, const deft_qmodel *q, int32_t layer, int32_t matrix,
                                int32_t rows, int64_t weights)
{
    const deft_qlayer *l = &q->layer[layer];
    deft_qmatrix *m = (deft_qmatrix *)(uintptr_t)(matrix ? &l->u : &l->w);
    deft_qproof p = {0};
    const bool wide = m->format == DEFT_NUM_S16 || !q_gates(q->layer[layer].kind);
    while (deft_qmodel_prove(q, layer, matrix, &p, NULL) != DEFT_OK) {
        if (m->shift) {
            m->shift--;
        } else if (wide && m->preshift < 31 && (m->format != DEFT_NUM_S16 || random_int(r, 0, 3))) {
            m->preshift++;
        } else {
            for (int64_t i = 0; m->weight && i < weights; i++)
                ((int16_t *)(uintptr_t)m->weight)[i] /= 2;
        }
    }
    const double range = q->layer[layer].out_format == DEFT_NUM_U8 && !matrix ? 256 : 65536;
    const double acc = ldexp((double)p.worst + 1, m->shift - m->preshift);
    for (int32_t o = 0; o < rows; o++) {
        const double factor = range / acc * deft_rng_uniform(r, 0.2, 8);
        const double v = ldexp(factor, 31);
        ((int32_t *)(uintptr_t)m->multiplier)[o] = v > INT32_MAX ? INT32_MAX : (int32_t)v;
        if (random_int(r, 0, 40) == 0) {
            ((int32_t *)(uintptr_t)m->multiplier)[o] = random_int(r, 0, 1) ? INT32_MAX : 0;
        }
    }
}

static inline void random_q_shape(deft_rng *r, deft_qlayer *l, int32_t most)
{
    deft_layer shape = {0};
    random_shape(r, &shape, most);
    if (random_int(r, 0, 2) == 0) { // more of what matters
        shape = (deft_layer){.kind = DEFT_LAYER_DENSE};
        shape.n_in = random_int(r, 1, most);
        shape.n_out = random_int(r, 0, 3) ? random_int(r, 1, most) : random_int(r, 120, 300);
    }
    l->kind = shape.kind;
    l->n_in = shape.n_in;
    l->n_out = shape.n_out;
    l->depth = shape.depth;
    l->newest_first = shape.newest_first;
    l->fill_first = shape.fill_first;
    l->reset_before = shape.reset_before;
    l->out_format = random_int(r, 0, 1) ? DEFT_NUM_U8 : DEFT_NUM_S16;
    if (q_gates(l->kind) > 1) l->out_format = DEFT_NUM_S16;
}

static inline void random_q_output(deft_rng *r, const deft_qmodel *q, deft_qlayer *l)
{
    const bool u8 = l->out_format == DEFT_NUM_U8;
    const int32_t least = u8 ? 0 : -32768, most = u8 ? 255 : 32767;
    l->lo = least;
    l->hi = most;
    l->table = -1;
    if (q_gates(l->kind) > 1) {
        l->table = 0;
        if (random_int(r, 0, 2) == 0) l->gate_round = random_int(r, 0, 15);
        if (random_int(r, 0, 2) == 0) l->state_round = random_int(r, 0, 15);
        if (l->kind == DEFT_LAYER_LSTM) l->cell_shift = random_int(r, 0, 8);
        return;
    }
    l->zero = u8 ? random_int(r, 0, 255) : 0;
    if (l->kind == DEFT_LAYER_HISTORY) return;
    if (random_int(r, 0, 2) == 0) l->table = random_int(r, 0, q->n_table - 1);
    if (random_int(r, 0, 2) == 0) {
        l->lo = random_int(r, least, most);
        l->hi = random_int(r, l->lo, most);
    } else if (l->table < 0 && random_int(r, 0, 1)) { // ReLU
        l->zero = l->lo = u8 ? 0 : random_int(r, -100, 0);
    }
    if (l->kind == DEFT_LAYER_LAYERNORM) {
        l->epsilon = random_int(r, 0, 65535);
        l->epsilon_shift = random_int(r, 0, 24);
        if (random_int(r, 0, 1)) l->epsilon = l->epsilon_shift = 0;
    }
}

static inline void random_q_layer(deft_rng *r, deft_qmodel *q, int32_t k)
{
    static const deft_number weights[] = {DEFT_NUM_S8, DEFT_NUM_S4, DEFT_NUM_S16};
    deft_arena *a = q->model->arena;
    deft_qlayer *l = (deft_qlayer *)(uintptr_t)&q->layer[k];
    const int32_t gates = q_gates(l->kind), rows = gates ? gates * l->n_out : l->n_out;
    l->name = "random";
    l->in_format = q_has_u8(q, k) && random_int(r, 0, 1) ? DEFT_NUM_U8 : DEFT_NUM_S16;
    if (l->kind == DEFT_LAYER_HISTORY) l->out_format = l->in_format;
    l->in = random_q_segments(r, q, k, l->n_in, l->in_format, &l->n_segment);
    random_q_output(r, q, l);
    if (l->kind == DEFT_LAYER_HISTORY) return;
    l->w.format = gates ? weights[random_int(r, 0, 4) % 3] : DEFT_NUM_S16;
    if (!gates && (l->kind == DEFT_LAYER_ACTIVATION || random_int(r, 0, 1))) {
        l->w.format = DEFT_NUM_NONE;
    }
    const int64_t n = gates ? (int64_t)rows * l->n_in : l->n_in;
    random_q_matrix(r, a, &l->w, rows, n);
    fit_q_matrix(r, q, k, 0, rows, n);
    if (gates < 2) return;
    l->u.format = weights[random_int(r, 0, 4) % 3];
    random_q_matrix(r, a, &l->u, rows, (int64_t)rows * l->n_out);
    fit_q_matrix(r, q, k, 1, rows, (int64_t)rows * l->n_out);
}

static inline float *random_scales(deft_rng *r, deft_arena *a, int32_t n, float size)
{
    float *x = random_floats(r, a, n, size);
    for (int32_t i = 0; i < n; i++) {
        if (fabsf(x[i]) < size / 100) x[i] = size;
    }
    return x;
}

static inline void random_q_ends(deft_rng *r, deft_qmodel *q)
{
    const deft_contract *c = &q->model->contract;
    deft_arena *a = q->model->arena;
    if (random_int(r, 0, 1)) q->obs_offset = random_floats(r, a, c->n_obs, 1);
    q->obs_scale = random_scales(r, a, c->n_obs, 9000);
    if (random_int(r, 0, 1)) q->prev_scale = random_scales(r, a, c->n_act, 9000);
    if (random_int(r, 0, 1)) {
        int16_t *lo = DEFT_NEW_ARRAY(a, int16_t, c->n_obs),
                *hi = DEFT_NEW_ARRAY(a, int16_t, c->n_obs);
        for (int32_t i = 0; i < c->n_obs; i++) {
            lo[i] = (int16_t)random_int(r, -32768, 5000);
            hi[i] = (int16_t)random_int(r, lo[i], 32767);
        }
        if (random_int(r, 0, 3)) q->obs_lo = lo;
        if (random_int(r, 0, 3)) q->obs_hi = hi;
        for (int32_t i = 0; i < c->n_obs; i++) {
            if (q->obs_hi && !q->obs_lo) hi[i] = (int16_t)random_int(r, -32768, 32767);
        }
    }
    q->out_zero = random_int(r, 0, 1) ? random_int(r, -200, 200) : 0;
    q->out_scale = random_scales(r, a, q->model->n_output, 0.01f);
    q->scheme = random_int(r, 0, 1) ? "random" : NULL;
    q->calibration = random_int(r, 0, 1) ? "none" : NULL;
}

/* An integer policy of up to layers layers of about up to most elements. */
static inline deft_qmodel *random_qmodel(deft_rng *r, deft_arena *a, int32_t layers, int32_t most)
{
    deft_model *m = random_model(r, a, 1, 2); // contract and names
    deft_contract *c = &m->contract;
    for (int32_t i = 0; c->act_scale && i < c->n_act; i++) {
        if (fabsf(c->act_scale[i]) < 0.01f) c->act_scale[i] = 1;
    }
    deft_qmodel *q = DEFT_NEW(a, deft_qmodel);
    q->model = m;
    random_q_ends(r, q);
    q->n_table = random_int(r, 1, 3);
    deft_qtable *t = DEFT_NEW_ARRAY(a, deft_qtable, q->n_table);
    for (int32_t k = 0; k < q->n_table; k++) t[k] = random_table(r, a, k == 0);
    q->table = t;
    q->n_layer = random_int(r, 1, layers);
    deft_qlayer *l = DEFT_NEW_ARRAY(a, deft_qlayer, q->n_layer);
    q->layer = l;
    for (int32_t k = 0; k < q->n_layer; k++) random_q_shape(r, &l[k], most);
    for (int32_t k = 0; k < q->n_layer; k++) random_q_layer(r, q, k);
    const deft_number out =
        q_has_u8(q, q->n_layer) && random_int(r, 0, 1) ? DEFT_NUM_U8 : DEFT_NUM_S16;
    q->out = random_q_segments(r, q, q->n_layer, m->n_output, out, &q->n_out_segment);
    return q;
}

#endif
