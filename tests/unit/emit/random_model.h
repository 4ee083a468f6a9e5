/* random_model.h - policies at random: every kind of layer, every source, for tests and fuzzing. */
#ifndef DEFT_TESTS_RANDOM_MODEL_H
#define DEFT_TESTS_RANDOM_MODEL_H

#include "deft/model.h"

#include <string.h>

static inline int32_t random_int(deft_rng *r, int32_t lo, int32_t hi) // lo to hi
{
    return lo + (int32_t)(deft_rng_u64(r) % (uint64_t)(hi - lo + 1));
}

static inline float *random_floats(deft_rng *r, deft_arena *a, int32_t n, float size)
{
    float *x = DEFT_NEW_ARRAY(a, float, n);
    for (int32_t i = 0; x && i < n; i++) x[i] = size * (float)deft_rng_normal(r);
    return x;
}

/* Length of what a segment may read, 0 if layer `before` may not. */
static inline int32_t random_source_length(const deft_model *m, deft_source_kind kind,
                                           int32_t index, int32_t before)
{
    if (kind == DEFT_SRC_OBS) return m->contract.n_obs;
    if (kind == DEFT_SRC_PREV) return m->contract.n_act;
    if (index >= m->n_layer) return 0;
    const deft_layer *l = &m->layer[index];
    if (kind == DEFT_SRC_LAYER) return index < before ? l->n_out : 0;
    return l->kind == DEFT_LAYER_GRU || l->kind == DEFT_LAYER_LSTM ? l->n_out : 0;
}

/* Segments of n elements altogether for layer `before`. Only layers up to `known` are shaped. */
static inline deft_segment *random_segments(deft_rng *r, deft_model *m, int32_t before, int32_t n,
                                            int32_t *count)
{
    deft_segment *s = DEFT_NEW_ARRAY(m->arena, deft_segment, n);
    *count = 0;
    while (s && n > 0) {
        deft_segment g = {(deft_source_kind)random_int(r, DEFT_SRC_OBS, DEFT_SRC_STATE), 0, 0, 0};
        // mostly the layer before, as in real policies
        if (before && random_int(r, 0, 2)) g.kind = DEFT_SRC_LAYER;
        if (g.kind == DEFT_SRC_LAYER && before) {
            g.index = random_int(r, 0, 2) ? before - 1 : random_int(r, 0, before - 1);
        } else if (g.kind == DEFT_SRC_STATE) {
            g.index = random_int(r, 0, m->n_layer - 1);
        }
        const int32_t length = random_source_length(m, g.kind, g.index, before);
        if (length == 0) continue;
        g.length = random_int(r, 1, length < n ? length : n);
        if (random_int(r, 0, 1)) g.length = length < n ? length : n;
        g.offset = random_int(r, 0, length - g.length);
        s[(*count)++] = g;
        n -= g.length;
    }
    return s;
}

static inline deft_activation random_activation(deft_rng *r)
{
    deft_activation a = {(deft_activation_kind)random_int(r, DEFT_ACT_NONE, DEFT_ACT_CLIP), 0, 0};
    switch (a.kind) {
    case DEFT_ACT_LEAKY_RELU:
    case DEFT_ACT_ELU:
        a.alpha = (float)deft_rng_uniform(r, 0.01, 1.5);
        break;
    case DEFT_ACT_SELU:
        a.alpha = 1.6732632f;
        a.beta = 1.0507010f;
        break;
    case DEFT_ACT_CLIP:
        a.alpha = -(float)deft_rng_uniform(r, 0, 1);
        a.beta = (float)deft_rng_uniform(r, 0, 1);
        break;
    default:
        break;
    }
    return a;
}

/* Kind and shape first: segments may name later layers' states. */
static inline void random_shape(deft_rng *r, deft_layer *l, int32_t most)
{
    l->kind = (deft_layer_kind)random_int(r, DEFT_LAYER_DENSE, DEFT_LAYER_HISTORY);
    l->n_in = l->n_out = random_int(r, 1, most);
    if (l->kind <= DEFT_LAYER_LSTM) l->n_in = random_int(r, 1, most);
    if (l->kind == DEFT_LAYER_ADD || l->kind == DEFT_LAYER_MUL) l->n_in = 2 * l->n_out;
    if (l->kind == DEFT_LAYER_HISTORY) {
        l->n_in = random_int(r, 1, 8);
        l->depth = random_int(r, 1, 5);
        l->n_out = l->n_in * l->depth;
        l->newest_first = random_int(r, 0, 1);
        l->fill_first = random_int(r, 0, 1);
    }
    if (l->kind == DEFT_LAYER_GRU) l->reset_before = random_int(r, 0, 1);
    if (l->kind == DEFT_LAYER_LAYERNORM) l->epsilon = 1e-5f;
}

static inline void random_weights(deft_rng *r, deft_arena *a, deft_layer *l)
{
    const int32_t gates = l->kind == DEFT_LAYER_DENSE  ? 1
                          : l->kind == DEFT_LAYER_GRU  ? 3
                          : l->kind == DEFT_LAYER_LSTM ? 4
                                                       : 0;
    const int32_t rows = gates ? gates * l->n_out : l->n_out;
    const bool norm = l->kind == DEFT_LAYER_LAYERNORM || l->kind == DEFT_LAYER_AFFINE;
    if (gates) l->weight = random_floats(r, a, rows * l->n_in, 0.5f);
    if (gates > 1) l->weight_h = random_floats(r, a, rows * l->n_out, 0.5f);
    if (norm) l->weight = random_floats(r, a, rows, 1);
    if ((gates || norm) && random_int(r, 0, 3)) l->bias = random_floats(r, a, rows, 0.3f);
    if (gates > 1 && random_int(r, 0, 1)) l->bias_h = random_floats(r, a, rows, 0.3f);
    const bool plain =
        l->kind == DEFT_LAYER_GRU || l->kind == DEFT_LAYER_LSTM || l->kind == DEFT_LAYER_HISTORY;
    if (!plain) l->activation = random_activation(r);
}

static inline void random_contract(deft_rng *r, deft_arena *a, deft_contract *c)
{
    static const char *const some[] = {"", "joint \"x\"", "rad", "\xc3\xa4"};
    c->name = random_int(r, 0, 1) ? "random" : "";
    if (random_int(r, 0, 1)) c->obs_offset = random_floats(r, a, c->n_obs, 1);
    if (random_int(r, 0, 1)) c->obs_scale = random_floats(r, a, c->n_obs, 1);
    if (random_int(r, 0, 1)) c->act_offset = random_floats(r, a, c->n_act, 1);
    if (random_int(r, 0, 1)) c->act_scale = random_floats(r, a, c->n_act, 1);
    if (random_int(r, 0, 1)) {
        c->obs_lo = DEFT_NEW_ARRAY(a, float, c->n_obs);
        c->obs_hi = DEFT_NEW_ARRAY(a, float, c->n_obs);
        for (int32_t i = 0; i < c->n_obs; i++) {
            c->obs_lo[i] = -1.5f;
            c->obs_hi[i] = 1;
        }
    }
    if (random_int(r, 0, 1)) {
        c->act_lo = DEFT_NEW_ARRAY(a, float, c->n_act);
        c->act_hi = DEFT_NEW_ARRAY(a, float, c->n_act);
        for (int32_t i = 0; i < c->n_act; i++) {
            c->act_lo[i] = -1;
            c->act_hi[i] = 1.25f;
        }
    }
    if (random_int(r, 0, 1)) {
        c->obs_name = DEFT_NEW_ARRAY(a, const char *, c->n_obs);
        for (int32_t i = 0; i < c->n_obs; i++) c->obs_name[i] = some[random_int(r, 0, 3)];
    }
    if (random_int(r, 0, 1)) {
        c->act_unit = DEFT_NEW_ARRAY(a, const char *, c->n_act);
        for (int32_t i = 0; i < c->n_act; i++) c->act_unit[i] = some[random_int(r, 0, 3)];
    }
    c->period_s = random_int(r, 0, 3) * 0.01;
}

/* A policy of up to layers layers of up to most elements. */
static inline deft_model *random_model(deft_rng *r, deft_arena *a, int32_t layers, int32_t most)
{
    deft_model *m = DEFT_NEW(a, deft_model);
    m->arena = a;
    m->source = "some/where/random.onnx";
    m->source_sha256[0] = 0xA5;
    m->contract.n_obs = random_int(r, 1, 20);
    m->contract.discrete = random_int(r, 0, 7) == 0;
    m->n_output = random_int(r, 1, 9);
    m->contract.n_act = m->contract.discrete ? 1 : m->n_output;
    random_contract(r, a, &m->contract);
    m->n_layer = random_int(r, 1, layers);
    m->layer = DEFT_NEW_ARRAY(a, deft_layer, m->n_layer);
    for (int32_t k = 0; k < m->n_layer; k++) random_shape(r, &m->layer[k], most);
    for (int32_t k = 0; k < m->n_layer; k++) {
        deft_layer *l = &m->layer[k];
        l->name = k % 2 ? "odd" : "";
        l->in = random_segments(r, m, k, l->n_in, &l->n_segment);
        random_weights(r, a, l);
    }
    m->out = random_segments(r, m, m->n_layer, m->n_output, &m->n_out_segment);
    return m;
}

/* The shapes of the paper's policies: 17-256-256-8, and with recurrent a GRU of 3 x 64 before it
 * that also sees the previous action. */
static inline void random_dense(deft_rng *r, deft_arena *a, deft_layer *l, int32_t n_out,
                                deft_activation_kind f)
{
    l->kind = DEFT_LAYER_DENSE;
    l->n_in = 0;
    for (int32_t k = 0; k < l->n_segment; k++) l->n_in += l->in[k].length;
    l->n_out = n_out;
    l->weight = random_floats(r, a, l->n_in * n_out, 0.08f);
    l->bias = random_floats(r, a, n_out, 0.08f);
    l->activation.kind = f;
}

static inline deft_segment *one_segment(deft_arena *a, deft_source_kind kind, int32_t index,
                                        int32_t length)
{
    deft_segment *s = DEFT_NEW_ARRAY(a, deft_segment, 3);
    s[0] = (deft_segment){kind, index, 0, length};
    return s;
}

static inline deft_model *paper_model(deft_rng *r, deft_arena *a, bool recurrent)
{
    enum { OBS = 17, ACT = 8, H = 64, WIDE = 256 };
    deft_model *m = DEFT_NEW(a, deft_model);
    m->arena = a;
    m->source = "random.onnx";
    m->contract.name = "quaid";
    m->contract.n_obs = OBS;
    m->contract.n_act = m->n_output = ACT;
    m->n_layer = recurrent ? 6 : 3;
    m->layer = DEFT_NEW_ARRAY(a, deft_layer, m->n_layer);
    int32_t k = 0;
    for (; recurrent && k < 3; k++) {
        deft_layer *l = &m->layer[k];
        l->kind = DEFT_LAYER_GRU;
        l->n_in = k ? H : ACT + OBS;
        l->n_out = H;
        l->n_segment = k ? 1 : 2;
        l->in =
            k ? one_segment(a, DEFT_SRC_LAYER, k - 1, H) : one_segment(a, DEFT_SRC_PREV, 0, ACT);
        if (!k) l->in[1] = (deft_segment){DEFT_SRC_OBS, 0, 0, OBS};
        l->weight = random_floats(r, a, 3 * H * l->n_in, 0.07f);
        l->weight_h = random_floats(r, a, 3 * H * H, 0.07f);
    }
    for (int32_t d = 0; d < 3; d++, k++) {
        deft_layer *l = &m->layer[k];
        l->n_segment = recurrent && !d ? 3 : 1;
        l->in = d           ? one_segment(a, DEFT_SRC_LAYER, k - 1, WIDE)
                : recurrent ? one_segment(a, DEFT_SRC_PREV, 0, ACT)
                            : one_segment(a, DEFT_SRC_OBS, 0, OBS);
        if (recurrent && !d) {
            l->in[1] = (deft_segment){DEFT_SRC_OBS, 0, 0, OBS};
            l->in[2] = (deft_segment){DEFT_SRC_LAYER, k - 1, 0, H};
        }
        random_dense(r, a, l, d < 2 ? WIDE : ACT, d < 2 ? DEFT_ACT_RELU : DEFT_ACT_TANH);
    }
    m->n_out_segment = 1;
    m->out = one_segment(a, DEFT_SRC_LAYER, m->n_layer - 1, ACT);
    return m;
}

#endif
