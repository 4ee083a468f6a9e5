/* qmodel_eval.h - an integer policy executed straight from deft_qmodel in 64 bits, as the comments
 * of deft/qmodel.h say: written again here, to compare with. */
#ifndef DEFT_TESTS_QMODEL_EVAL_H
#define DEFT_TESTS_QMODEL_EVAL_H

#include "deft/qmodel.h"
#include "random_qmodel.h"

#include <math.h>

typedef struct q_eval {
    const deft_qmodel *q;
    int64_t *obs, *prev;
    int64_t **y;      // outputs of this step
    int64_t **h, **c; // states of before the step
    bool started;
    uint32_t clipped;
} q_eval;

static inline int64_t ev_clamp(int64_t v, int64_t lo, int64_t hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

static inline int64_t ev_16(int64_t v)
{
    return ev_clamp(v, -32768, 32767);
}

static inline int64_t ev_floor(int64_t v, int bits) // v / 2^bits, down
{
    const int64_t d = (int64_t)1 << bits;
    return v >= 0 ? v / d : -((-v + d - 1) / d);
}

static inline int64_t ev_requant(int64_t acc, int64_t m, int s)
{
    return ev_floor(acc * ((int64_t)1 << s) * m + (1 << 30), 31);
}

static inline int64_t ev_table(const deft_qtable *t, int64_t x)
{
    const int b = t->odd ? 15 - t->log2_n : 16 - t->log2_n;
    int64_t a = x + 32768;
    if (t->odd) a = llabs(x) < 32767 ? llabs(x) : 32767;
    const int64_t i = a / (1 << b), f = a % (1 << b);
    const int64_t y =
        t->entry[i] + ev_floor((t->entry[i + 1] - t->entry[i]) * f + (1 << (b - 1)), b);
    return t->odd && x < 0 ? -y : y;
}

static inline int64_t ev_round(int64_t v, int b)
{
    return b ? ev_16(ev_floor(v + (1 << (b - 1)), b) * (1 << b)) : v;
}

static inline void ev_create(q_eval *e, const deft_qmodel *q, deft_arena *a)
{
    *e = (q_eval){.q = q};
    e->obs = DEFT_NEW_ARRAY(a, int64_t, q->model->contract.n_obs);
    e->prev = DEFT_NEW_ARRAY(a, int64_t, q->model->contract.n_act);
    e->y = DEFT_NEW_ARRAY(a, int64_t *, q->n_layer);
    e->h = DEFT_NEW_ARRAY(a, int64_t *, q->n_layer);
    e->c = DEFT_NEW_ARRAY(a, int64_t *, q->n_layer);
    for (int32_t k = 0; k < q->n_layer; k++) {
        const int32_t n = q->layer[k].n_out;
        e->y[k] = DEFT_NEW_ARRAY(a, int64_t, n);
        e->h[k] = DEFT_NEW_ARRAY(a, int64_t, n);
        e->c[k] = DEFT_NEW_ARRAY(a, int64_t, n);
        for (int32_t i = 0; q->layer[k].kind == DEFT_LAYER_HISTORY && i < n; i++) {
            e->h[k][i] = q->layer[k].zero;
        }
    }
}

static inline const int64_t *ev_source(const q_eval *e, const deft_segment *g)
{
    return (g->kind == DEFT_SRC_OBS     ? e->obs
            : g->kind == DEFT_SRC_PREV  ? e->prev
            : g->kind == DEFT_SRC_LAYER ? e->y[g->index]
                                        : e->h[g->index]) +
           g->offset;
}

static inline int64_t *ev_gather(const q_eval *e, const deft_segment *s, int32_t n, int32_t total)
{
    int64_t *x = calloc((size_t)total + 1, sizeof *x), *at = x;
    for (int32_t k = 0; k < n; k++) {
        memcpy(at, ev_source(e, &s[k]), (size_t)s[k].length * sizeof *at);
        at += s[k].length;
    }
    return x;
}

static inline int64_t ev_scaled(const deft_qmatrix *m, int32_t o, int64_t acc)
{
    if (m->preshift) acc = ev_floor(acc + ((int64_t)1 << (m->preshift - 1)), m->preshift);
    return ev_requant(acc, m->multiplier[o], m->shift);
}

static inline int64_t ev_row(const deft_qmatrix *m, int32_t o, int32_t n, const int64_t *x)
{
    int64_t acc = m->bias ? m->bias[o] : 0;
    for (int32_t i = 0; i < n; i++) acc += m->weight[(int64_t)o * n + i] * x[i];
    return ev_scaled(m, o, acc);
}

static inline int64_t ev_output(const q_eval *e, const deft_qlayer *l, int64_t v)
{
    if (l->table < 0) return ev_clamp(v + l->zero, l->lo, l->hi);
    const int64_t t = ev_table(&e->q->table[l->table], ev_16(v));
    return ev_clamp(l->out_format == DEFT_NUM_S16 ? t : (t + 32768 + 128) / 256, l->lo, l->hi);
}

static inline int64_t ev_gate(const deft_qlayer *l, const deft_qmatrix *m, int32_t o, int32_t n,
                              const int64_t *x)
{
    return ev_round(ev_16(ev_row(m, o, n, x)), l->gate_round);
}

static inline int64_t ev_sigmoid(const deft_qtable *t, int64_t s)
{
    return (ev_table(t, ev_16(s)) + 32768) / 2;
}

static inline void ev_gru(const q_eval *e, const deft_qlayer *l, const int64_t *x, const int64_t *h,
                          int64_t *y)
{
    const deft_qtable *t = &e->q->table[l->table];
    const int32_t n = l->n_out;
    int64_t *rh = calloc((size_t)n, sizeof *rh);
    for (int32_t i = 0; i < n; i++) {
        const int64_t r =
            ev_sigmoid(t, ev_gate(l, &l->w, i, l->n_in, x) + ev_gate(l, &l->u, i, n, h));
        rh[i] = ev_floor(r * h[i] + (1 << 14), 15);
    }
    for (int32_t i = 0; i < n; i++) {
        const int64_t r =
            ev_sigmoid(t, ev_gate(l, &l->w, i, l->n_in, x) + ev_gate(l, &l->u, i, n, h));
        const int64_t z =
            ev_sigmoid(t, ev_gate(l, &l->w, n + i, l->n_in, x) + ev_gate(l, &l->u, n + i, n, h));
        const int64_t xn = ev_gate(l, &l->w, 2 * n + i, l->n_in, x);
        const int64_t un = ev_gate(l, &l->u, 2 * n + i, n, l->reset_before ? rh : h);
        const int64_t s = l->reset_before ? xn + un : xn + ev_floor(r * un + (1 << 14), 15);
        const int64_t c = ev_table(t, ev_16(s));
        y[i] = ev_round(ev_16(c + ev_floor(z * (h[i] - c) + (1 << 14), 15)), l->state_round);
    }
    free(rh);
}

static inline void ev_lstm(const q_eval *e, const deft_qlayer *l, const int64_t *x,
                           const int64_t *h, int64_t *c, int64_t *y)
{
    const deft_qtable *t = &e->q->table[l->table];
    const int32_t n = l->n_out, s = l->cell_shift;
    for (int32_t k = 0; k < n; k++) {
        int64_t g[4];
        for (int32_t j = 0; j < 4; j++) {
            const int32_t o = j * n + k;
            const int64_t sum = ev_gate(l, &l->w, o, l->n_in, x) + ev_gate(l, &l->u, o, n, h);
            g[j] = j == 2 ? ev_table(t, ev_16(sum)) : ev_sigmoid(t, sum);
        }
        c[k] = ev_16(ev_floor(g[1] * c[k] + (1 << 14), 15) +
                     ev_floor(g[0] * g[2] + (1 << (14 + s)), 15 + s));
        const int64_t u =
            s >= 3 ? ev_16(c[k] * (1 << (s - 3))) : ev_floor(c[k] + (1 << (2 - s)), 3 - s);
        y[k] = ev_round(ev_floor(g[3] * ev_table(t, u) + (1 << 14), 15), l->state_round);
    }
}

static inline void ev_history(const q_eval *e, const deft_qlayer *l, const int64_t *x,
                              const int64_t *old, int64_t *y)
{
    for (int32_t i = 0; i < l->n_out; i++) {
        const bool fresh = l->newest_first ? i < l->n_in : i >= l->n_out - l->n_in;
        const int32_t from = l->newest_first ? i - l->n_in : i + l->n_in;
        y[i] = fresh || (!e->started && l->fill_first) ? x[i % l->n_in] : old[from];
    }
}

/* The inputs of a layer normalisation, normalised to Q15. */
static inline void ev_normalise(const deft_qlayer *l, int64_t *x)
{
    const int64_t n = l->n_out;
    int64_t sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i];
    const int64_t top = 16 * sum + n / 2;
    const int64_t mean = top >= 0 ? top / n : -((-top + n - 1) / n);
    for (int64_t i = 0; i < n; i++) squares += (16 * x[i] - mean) * (16 * x[i] - mean);
    const int64_t var = squares / n + ((int64_t)l->epsilon << l->epsilon_shift);
    int64_t sd = (int64_t)sqrtl((long double)var * 65536);
    while (sd * sd > var * 65536) sd--;
    while ((sd + 1) * (sd + 1) <= var * 65536) sd++;
    if (sd < 1) sd = 1;
    for (int64_t i = 0; i < n; i++) {
        const int64_t d = 16 * x[i] - mean;
        const int64_t t = ev_clamp((llabs(d) * (1 << 23) + sd / 2) / sd, 0, (1 << 23) - 1);
        x[i] = d < 0 ? -t : t;
    }
}

static inline void ev_pointwise(const q_eval *e, const deft_qlayer *l, int64_t *x, int64_t *y)
{
    const int16_t *w = l->w.weight;
    const int32_t n = l->n_out;
    if (l->kind == DEFT_LAYER_LAYERNORM) ev_normalise(l, x);
    for (int32_t i = 0; i < n; i++) {
        int64_t acc = l->w.bias ? l->w.bias[i] : 0;
        const bool mul = l->kind == DEFT_LAYER_MUL;
        acc += (w ? w[i] : !mul) * x[i];
        if (l->n_in == 2 * n) acc += (w ? w[n + i] : !mul) * x[n + i];
        if (mul) acc += x[i] * x[n + i];
        y[i] = ev_output(e, l, ev_scaled(&l->w, i, acc));
    }
}

static inline void ev_layer(q_eval *e, int32_t k)
{
    const deft_qlayer *l = &e->q->layer[k];
    int64_t *x = ev_gather(e, l->in, l->n_segment, l->n_in);
    switch (l->kind) {
    case DEFT_LAYER_DENSE:
        for (int32_t o = 0; o < l->n_out; o++) {
            e->y[k][o] = ev_output(e, l, ev_row(&l->w, o, l->n_in, x));
        }
        break;
    case DEFT_LAYER_GRU:
        ev_gru(e, l, x, e->h[k], e->y[k]);
        break;
    case DEFT_LAYER_LSTM:
        ev_lstm(e, l, x, e->h[k], e->c[k], e->y[k]);
        break;
    case DEFT_LAYER_HISTORY:
        ev_history(e, l, x, e->h[k], e->y[k]);
        break;
    default:
        ev_pointwise(e, l, x, e->y[k]);
        break;
    }
    free(x);
}

static inline int64_t ev_fixed(q_eval *e, float v, int64_t lo, int64_t hi)
{
    if (v > (float)hi || v < (float)lo || v != v) e->clipped++;
    if (v != v) return lo;
    return ev_clamp((int64_t)rint(v > 1e6f ? 1e6 : v < -1e6f ? -1e6 : (double)v), lo, hi);
}

static inline void ev_previous(q_eval *e, const float *act)
{
    const deft_contract *c = &e->q->model->contract;
    for (int32_t i = 0; e->q->prev_scale && i < c->n_act; i++) {
        float v = act[i];
        if (c->act_offset) v = v - c->act_offset[i];
        if (c->act_scale) v = v / c->act_scale[i];
        e->prev[i] = ev_fixed(e, v * e->q->prev_scale[i], -32768, 32767);
    }
}

static inline float ev_limited(q_eval *e, const deft_contract *c, int32_t i, float v)
{
    const float lo = c->act_lo ? c->act_lo[i] : -INFINITY, hi = c->act_hi ? c->act_hi[i] : INFINITY;
    e->clipped += v < lo || v > hi;
    return v < lo ? lo : v > hi ? hi : v;
}

static inline void ev_actions(q_eval *e, float *act)
{
    const deft_model *m = e->q->model;
    const deft_contract *c = &m->contract;
    int64_t *y = ev_gather(e, e->q->out, e->q->n_out_segment, m->n_output);
    float best = -INFINITY;
    for (int32_t i = 0; i < m->n_output; i++) {
        float v = (float)(y[i] - e->q->out_zero) * e->q->out_scale[i];
        if (c->discrete) {
            if (v > best) {
                best = v;
                act[0] = (float)i;
            }
            continue;
        }
        if (c->act_scale) v = v * c->act_scale[i];
        if (c->act_offset) v = v + c->act_offset[i];
        act[i] = ev_limited(e, c, i, v);
    }
    free(y);
}

static inline void ev_step(q_eval *e, const float *obs, const float *applied, float *act)
{
    const deft_qmodel *q = e->q;
    for (int32_t i = 0; i < q->model->contract.n_obs; i++) {
        float v = obs[i];
        if (q->obs_offset) v = v - q->obs_offset[i];
        if (q->obs_scale) v = v * q->obs_scale[i];
        e->obs[i] =
            ev_fixed(e, v, q->obs_lo ? q->obs_lo[i] : -32768, q->obs_hi ? q->obs_hi[i] : 32767);
    }
    if (applied) ev_previous(e, applied);
    for (int32_t k = 0; k < q->n_layer; k++) ev_layer(e, k);
    ev_actions(e, act);
    ev_previous(e, act);
    for (int32_t k = 0; k < q->n_layer; k++) {
        memcpy(e->h[k], e->y[k], (size_t)q->layer[k].n_out * sizeof **e->h);
    }
    e->started = true;
}

#endif
