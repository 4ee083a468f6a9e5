/* qmodel_eval.c - the integer policy in plain loops, as qmodel.h states it: what the quantizer sees
 * of the layers it has made, and a second opinion on the runtime. */
#include "quant/quant_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- arithmetic ------------------------------------------------------------------------------ */

static int32_t clamp(int64_t v, int32_t lo, int32_t hi)
{
    return v < lo ? lo : v > hi ? hi : (int32_t)v;
}

static int32_t clamp16(int64_t v)
{
    return clamp(v, INT16_MIN, INT16_MAX);
}

/* Arithmetic shifts: what compilers do with negative numbers, checked by the unit test. */
static int64_t shift_right(int64_t v, int32_t by)
{
    return v >> by;
}

static int64_t shift_left(int64_t v, int32_t by)
{
    return v * ((int64_t)1 << by);
}

static int64_t round_shift(int64_t v, int32_t by) // half up
{
    return by ? shift_right(v + ((int64_t)1 << (by - 1)), by) : v;
}

static int64_t requant(const deft_qmatrix *w, int32_t o, int64_t acc)
{
    const int64_t a = shift_left(round_shift(acc, w->preshift), w->shift);
    return shift_right(a * w->multiplier[o] + ((int64_t)1 << 30), 31);
}

int32_t quant_table_at(const deft_qtable *t, int32_t x)
{
    const int32_t a = t->odd ? (abs(x) < INT16_MAX ? abs(x) : INT16_MAX) : x + 32768;
    const int32_t b = (t->odd ? 15 : 16) - t->log2_n;
    const int32_t i = a >> b, f = a & ((1 << b) - 1);
    const int32_t y =
        t->entry[i] + (int32_t)round_shift((int64_t)(t->entry[i + 1] - t->entry[i]) * f, b);
    return t->odd && x < 0 ? -y : y;
}

static int32_t round_bits(int32_t v, int32_t b)
{
    return b ? clamp16(shift_left(round_shift(v, b), b)) : v;
}

static int64_t accumulate(const deft_qmatrix *w, int32_t o, const int16_t *x, int32_t n)
{
    const int16_t *row = w->weight + (size_t)o * (size_t)n;
    int64_t acc = w->bias ? w->bias[o] : 0;
    if (w->format == DEFT_NUM_S16) {
        for (int32_t i = 0; i < n; i++) acc += (int64_t)row[i] * x[i];
        return acc;
    }
    int32_t narrow = 0; // proven to fit
    for (int32_t i = 0; i < n; i++) narrow += row[i] * x[i];
    return acc + narrow;
}

/* From v to the layer's output. */
static int16_t finish(const deft_qmodel *q, const deft_qlayer *l, int64_t v)
{
    if (l->table < 0) return (int16_t)clamp(v + l->zero, l->lo, l->hi);
    const int32_t t = quant_table_at(&q->table[l->table], clamp16(v));
    return (int16_t)clamp(l->out_format == DEFT_NUM_U8 ? (t + 32768 + 128) >> 8 : t, l->lo, l->hi);
}

/* --- layers ---------------------------------------------------------------------------------- */

static void linear(const deft_qmatrix *w, const int32_t range[2], const int16_t *x, int32_t n,
                   int32_t *y)
{
    for (int32_t o = range[0]; o < range[1]; o++)
        y[o] = clamp16(requant(w, o, accumulate(w, o, x, n)));
}

static int32_t sigmoid(const deft_qtable *t, int32_t x)
{
    return (quant_table_at(t, clamp16(x)) + 32768) >> 1;
}

static void gru(const deft_qmodel *q, const deft_qlayer *l, const quant_step *s)
{
    const deft_qtable *t = &q->table[l->table];
    const int32_t n = l->n_out, all[2] = {0, 3 * n}, gates[2] = {0, 2 * n},
                  last[2] = {2 * n, 3 * n};
    int32_t *x = s->scratch, *u = x + 3 * (size_t)n;
    linear(&l->w, all, s->x, l->n_in, x);
    linear(&l->u, l->reset_before ? gates : all, s->state, n, u);
    for (int32_t i = 0; i < 3 * n; i++) x[i] = round_bits(x[i], l->gate_round);
    for (int32_t i = 0; i < (l->reset_before ? 2 : 3) * n; i++)
        u[i] = round_bits(u[i], l->gate_round);
    for (int32_t i = 0; i < 2 * n; i++) x[i] = sigmoid(t, x[i] + u[i]);
    if (l->reset_before) {
        for (int32_t i = 0; i < n; i++) s->y[i] = (int16_t)((x[i] * s->state[i] + (1 << 14)) >> 15);
        linear(&l->u, last, s->y, n, u);
        for (int32_t i = 2 * n; i < 3 * n; i++) u[i] = round_bits(u[i], l->gate_round);
    }
    for (int32_t i = 0; i < n; i++) {
        const int32_t h = s->state[i], hn = u[2 * n + i], r = x[i], z = x[n + i];
        const int32_t un = l->reset_before ? hn : (r * hn + (1 << 14)) >> 15;
        const int32_t c = quant_table_at(t, clamp16(x[2 * n + i] + un));
        const int64_t mix = shift_right((int64_t)z * (h - c) + (1 << 14), 15);
        s->state_new[i] = (int16_t)round_bits(clamp16(c + mix), l->state_round);
    }
    memcpy(s->y, s->state_new, (size_t)n * sizeof *s->y);
}

static void lstm(const deft_qmodel *q, const deft_qlayer *l, const quant_step *s)
{
    const deft_qtable *t = &q->table[l->table];
    const int32_t n = l->n_out, all[2] = {0, 4 * n}, e = l->cell_shift;
    int32_t *x = s->scratch, *u = x + 4 * (size_t)n;
    linear(&l->w, all, s->x, l->n_in, x);
    linear(&l->u, all, s->state, n, u);
    for (int32_t i = 0; i < 4 * n; i++)
        x[i] = round_bits(x[i], l->gate_round) + round_bits(u[i], l->gate_round);
    for (int32_t i = 0; i < n; i++) {
        const int32_t in = sigmoid(t, x[i]), f = sigmoid(t, x[n + i]), o = sigmoid(t, x[3 * n + i]);
        const int32_t g = quant_table_at(t, clamp16(x[2 * n + i]));
        const int64_t kept = shift_right((int64_t)f * s->state[n + i] + (1 << 14), 15);
        const int64_t added = shift_right((int64_t)in * g + (1 << (14 + e)), 15 + e);
        const int32_t c = clamp16(kept + added);
        const int32_t v = e >= 3 ? clamp16(shift_left(c, e - 3)) : (int32_t)round_shift(c, 3 - e);
        s->state_new[n + i] = (int16_t)c;
        s->state_new[i] = (int16_t)round_bits(
            (int32_t)shift_right((int64_t)o * quant_table_at(t, v) + (1 << 14), 15),
            l->state_round);
    }
    memcpy(s->y, s->state_new, (size_t)n * sizeof *s->y);
}

static uint64_t root(uint64_t v) // floor
{
    uint64_t r = 0, bit = (uint64_t)1 << 62;
    while (bit > v) bit >>= 2;
    for (; bit; bit >>= 2) {
        if (v >= r + bit) {
            v -= r + bit;
            r = (r >> 1) + bit;
        } else {
            r >>= 1;
        }
    }
    return r;
}

/* Rounded down, also below zero. */
static int64_t divide(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* t [n] of qmodel.h: the normalised inputs in Q15. */
static void normalise(const deft_qlayer *l, const int16_t *x, int32_t *t)
{
    const int64_t n = l->n_in;
    int64_t sum = 0, squares = 0;
    for (int32_t i = 0; i < n; i++) sum += x[i];
    const int64_t mu = divide(16 * sum + n / 2, n);
    for (int32_t i = 0; i < n; i++) {
        const int64_t d = 16 * (int64_t)x[i] - mu;
        squares += d * d;
    }
    const int64_t var = squares / n + shift_left(l->epsilon, l->epsilon_shift);
    const uint64_t sd0 = root((uint64_t)var << 16), sd = sd0 ? sd0 : 1;
    for (int32_t i = 0; i < n; i++) {
        const int64_t d = 16 * (int64_t)x[i] - mu;
        const uint64_t a = (((uint64_t)llabs(d) << 23) + sd / 2) / sd;
        const int32_t v = a > (1 << 23) - 1 ? (1 << 23) - 1 : (int32_t)a;
        t[i] = d < 0 ? -v : v;
    }
}

static void elementwise(const deft_qmodel *q, const deft_qlayer *l, const quant_step *s)
{
    const int32_t n = l->n_out;
    const int16_t *w = l->w.format == DEFT_NUM_NONE ? NULL : l->w.weight;
    if (l->kind == DEFT_LAYER_LAYERNORM) normalise(l, s->x, s->scratch);
    for (int32_t i = 0; i < n; i++) {
        const int64_t x = s->x[i], y = l->n_in > n ? s->x[n + i] : 0;
        const int64_t wx = w ? w[i] : 1, wy = w && l->n_in > n ? w[n + i] : 1;
        int64_t acc = l->w.bias ? l->w.bias[i] : 0;
        if (l->kind == DEFT_LAYER_ADD)
            acc += wx * x + wy * y;
        else if (l->kind == DEFT_LAYER_MUL)
            acc += x * y + (w ? wx * x + wy * y : 0);
        else if (l->kind == DEFT_LAYER_LAYERNORM)
            acc += wx * s->scratch[i];
        else
            acc += wx * x;
        s->y[i] = finish(q, l, requant(&l->w, i, acc));
    }
}

static void history(const deft_qlayer *l, const quant_step *s)
{
    const size_t n = (size_t)l->n_in, kept = (size_t)l->n_out - n;
    int16_t *y = s->y;
    if (s->first && l->fill_first) {
        for (int32_t k = 0; k < l->depth; k++) memcpy(y + (size_t)k * n, s->x, n * sizeof *y);
    } else if (l->newest_first) {
        memcpy(y, s->x, n * sizeof *y);
        memcpy(y + n, s->state, kept * sizeof *y);
    } else {
        memcpy(y, s->state + n, kept * sizeof *y);
        memcpy(y + kept, s->x, n * sizeof *y);
    }
    memcpy(s->state_new, y, (size_t)l->n_out * sizeof *y);
}

void quant_run_layer(const deft_qmodel *q, int32_t layer, const quant_step *s)
{
    const deft_qlayer *l = &q->layer[layer];
    switch (l->kind) {
    case DEFT_LAYER_GRU:
        gru(q, l, s);
        break;
    case DEFT_LAYER_LSTM:
        lstm(q, l, s);
        break;
    case DEFT_LAYER_HISTORY:
        history(l, s);
        break;
    case DEFT_LAYER_DENSE:
        for (int32_t o = 0; o < l->n_out; o++)
            s->y[o] = finish(q, l, requant(&l->w, o, accumulate(&l->w, o, s->x, l->n_in)));
        break;
    default:
        elementwise(q, l, s);
        break;
    }
}

int32_t quant_scratch_size(const deft_qlayer *l)
{
    return quant_has_h(l->kind) ? 2 * quant_gates(l->kind) * l->n_out : l->n_in;
}

int32_t quant_state_length(const deft_qlayer *l)
{
    if (l->kind == DEFT_LAYER_GRU || l->kind == DEFT_LAYER_HISTORY) return l->n_out;
    return l->kind == DEFT_LAYER_LSTM ? 2 * l->n_out : 0;
}

void quant_run_obs(const deft_qmodel *q, const float *obs, int16_t *out)
{
    for (int32_t i = 0; i < q->model->contract.n_obs; i++) {
        float v = obs[i];
        if (q->obs_offset) v = v - q->obs_offset[i];
        v = v * q->obs_scale[i];
        const float lo = q->obs_lo ? (float)q->obs_lo[i] : (float)INT16_MIN;
        const float hi = q->obs_hi ? (float)q->obs_hi[i] : (float)INT16_MAX;
        out[i] = (int16_t)(v < lo ? lo : v > hi ? hi : nearbyintf(v));
    }
}

void quant_run_prev(const deft_qmodel *q, const float *y, int16_t *out)
{
    for (int32_t i = 0; i < q->model->contract.n_act; i++) {
        const float v = y[i] * q->prev_scale[i];
        out[i] = (int16_t)(v < (float)INT16_MIN   ? (float)INT16_MIN
                           : v > (float)INT16_MAX ? (float)INT16_MAX
                                                  : nearbyintf(v));
    }
}

/* --- whole policies -------------------------------------------------------------------------- */

struct deft_qmodel_eval {
    const deft_qmodel *q;
    deft_arena *arena;
    int16_t *obs, *prev_q;
    int16_t **value, **old_state, **new_state; // [n_layer]
    float *prev, *used, *out, *act;            // the previous action, the outputs
    int16_t *x;
    int32_t *scratch;
    int64_t *saturated; // [1 + n_layer]
    bool started;
};

static bool allocate(deft_qmodel_eval *e)
{
    const deft_qmodel *q = e->q;
    const deft_contract *c = &q->model->contract;
    deft_arena *a = e->arena;
    int32_t widest = q->model->n_output, scratch = 1;
    e->value = DEFT_NEW_ARRAY(a, int16_t *, q->n_layer);
    e->old_state = DEFT_NEW_ARRAY(a, int16_t *, q->n_layer);
    e->new_state = DEFT_NEW_ARRAY(a, int16_t *, q->n_layer);
    if (!e->value || !e->old_state || !e->new_state) return false;
    for (int32_t k = 0; k < q->n_layer; k++) {
        const deft_qlayer *l = &q->layer[k];
        e->value[k] = DEFT_NEW_ARRAY(a, int16_t, l->n_out);
        e->old_state[k] = DEFT_NEW_ARRAY(a, int16_t, quant_state_length(l));
        e->new_state[k] = DEFT_NEW_ARRAY(a, int16_t, quant_state_length(l));
        if (!e->value[k] || !e->old_state[k] || !e->new_state[k]) return false;
        if (l->n_in > widest) widest = l->n_in;
        if (quant_scratch_size(l) > scratch) scratch = quant_scratch_size(l);
    }
    e->obs = DEFT_NEW_ARRAY(a, int16_t, c->n_obs);
    e->prev_q = DEFT_NEW_ARRAY(a, int16_t, c->n_act);
    e->prev = DEFT_NEW_ARRAY(a, float, c->n_act);
    e->used = DEFT_NEW_ARRAY(a, float, c->n_act);
    e->act = DEFT_NEW_ARRAY(a, float, c->n_act);
    e->out = DEFT_NEW_ARRAY(a, float, q->model->n_output);
    e->x = DEFT_NEW_ARRAY(a, int16_t, widest);
    e->scratch = DEFT_NEW_ARRAY(a, int32_t, scratch);
    e->saturated = DEFT_NEW_ARRAY(a, int64_t, 1 + q->n_layer);
    return e->obs && e->prev_q && e->prev && e->used && e->act && e->out && e->x && e->scratch &&
           e->saturated;
}

deft_status deft_qmodel_eval_create(const deft_qmodel *q, deft_qmodel_eval **out, deft_error *err)
{
    *out = NULL;
    const deft_status s = deft_qmodel_check(q, err);
    if (s != DEFT_OK) return s;
    deft_qmodel_eval *e = calloc(1, sizeof *e);
    if (e) e->arena = deft_arena_create(0);
    if (e) e->q = q;
    if (!e || !e->arena || !allocate(e)) {
        deft_qmodel_eval_destroy(e);
        return deft_fail(err, DEFT_E_SPACE, "no memory to run the policy");
    }
    deft_qmodel_eval_reset(e);
    *out = e;
    return DEFT_OK;
}

void deft_qmodel_eval_destroy(deft_qmodel_eval *e)
{
    if (!e) return;
    deft_arena_destroy(e->arena);
    free(e);
}

void deft_qmodel_eval_reset(deft_qmodel_eval *e)
{
    for (int32_t k = 0; k < e->q->n_layer; k++) {
        const deft_qlayer *l = &e->q->layer[k];
        const int16_t fill = (int16_t)(l->kind == DEFT_LAYER_HISTORY ? l->zero : 0);
        for (int32_t i = 0; i < quant_state_length(l); i++) e->old_state[k][i] = fill;
    }
    memset(e->prev, 0, (size_t)e->q->model->contract.n_act * sizeof(float));
    memset(e->saturated, 0, (size_t)(1 + e->q->n_layer) * sizeof *e->saturated);
    e->started = false;
}

static void gather(const deft_qmodel_eval *e, const deft_segment *s, int32_t n, int16_t *into)
{
    for (int32_t i = 0; i < n; i++) {
        const int16_t *from = s[i].kind == DEFT_SRC_OBS     ? e->obs
                              : s[i].kind == DEFT_SRC_PREV  ? e->prev_q
                              : s[i].kind == DEFT_SRC_STATE ? e->old_state[s[i].index]
                                                            : e->value[s[i].index];
        memcpy(into, from + s[i].offset, (size_t)s[i].length * sizeof *into);
        into += s[i].length;
    }
}

static void count_saturated(deft_qmodel_eval *e)
{
    const deft_qmodel *q = e->q;
    for (int32_t i = 0; i < q->model->contract.n_obs; i++) {
        const int32_t lo = q->obs_lo ? q->obs_lo[i] : INT16_MIN;
        const int32_t hi = q->obs_hi ? q->obs_hi[i] : INT16_MAX;
        e->saturated[0] += e->obs[i] <= lo || e->obs[i] >= hi;
    }
    for (int32_t k = 0; k < q->n_layer; k++) {
        const deft_qlayer *l = &q->layer[k];
        const int32_t least = l->out_format == DEFT_NUM_U8 ? 0 : INT16_MIN;
        const bool low = l->lo < l->zero || l->lo > least; // a ReLU's zeros are no saturation
        for (int32_t i = 0; i < l->n_out; i++) {
            const int32_t v = e->value[k][i];
            e->saturated[1 + k] += v >= l->hi || (low && l->lo != l->zero && v <= l->lo);
        }
    }
}

static bool all_finite(const float *x, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

static void outputs(deft_qmodel_eval *e)
{
    const deft_qmodel *q = e->q;
    const deft_contract *c = &q->model->contract;
    gather(e, q->out, q->n_out_segment, e->x);
    for (int32_t i = 0; i < q->model->n_output; i++)
        e->out[i] = (float)(e->x[i] - q->out_zero) * q->out_scale[i];
    if (c->discrete)
        deft_contract_choose(c, e->out, q->model->n_output, e->act);
    else
        quant_back_end(c, e->out, e->act);
}

deft_status deft_qmodel_eval_step(deft_qmodel_eval *e, const float *obs, const float *applied_prev,
                                  float *act)
{
    const deft_qmodel *q = e->q;
    const deft_contract *c = &q->model->contract;
    if (!all_finite(obs, c->n_obs) || (applied_prev && !all_finite(applied_prev, c->n_act)))
        return DEFT_E_RANGE;
    quant_run_obs(q, obs, e->obs);
    memcpy(e->used, e->prev, (size_t)c->n_act * sizeof(float));
    if (applied_prev) quant_back_end_inverse(c, applied_prev, e->used);
    if (q->prev_scale) quant_run_prev(q, e->used, e->prev_q);
    for (int32_t k = 0; k < q->n_layer; k++) {
        const deft_qlayer *l = &q->layer[k];
        gather(e, l->in, l->n_segment, e->x);
        const quant_step s = {e->x,        e->old_state[k], e->new_state[k],
                              e->value[k], e->scratch,      !e->started};
        quant_run_layer(q, k, &s);
    }
    outputs(e);
    quant_back_end_inverse(c, e->act, e->used);
    if (!all_finite(e->act, c->n_act) || !all_finite(e->used, c->n_act)) return DEFT_E_RANGE;
    memcpy(e->prev, e->used, (size_t)c->n_act * sizeof(float));
    memcpy(act, e->act, (size_t)c->n_act * sizeof(float));
    for (int32_t k = 0; k < q->n_layer; k++) {
        int16_t *const swap = e->old_state[k];
        e->old_state[k] = e->new_state[k];
        e->new_state[k] = swap;
    }
    count_saturated(e);
    e->started = true;
    return DEFT_OK;
}

const int16_t *deft_qmodel_eval_layer(const deft_qmodel_eval *e, int32_t layer)
{
    return layer >= 0 && layer < e->q->n_layer ? e->value[layer] : NULL;
}

int64_t deft_qmodel_eval_saturated(const deft_qmodel_eval *e, int32_t layer)
{
    return layer >= -1 && layer < e->q->n_layer ? e->saturated[1 + layer] : 0;
}

void deft_qmodel_eval_set_h(deft_qmodel_eval *e, int32_t layer, const float *h)
{
    const deft_qlayer *l = &e->q->layer[layer];
    for (int32_t i = 0; i < l->n_out; i++)
        e->old_state[layer][i] = (int16_t)clamp16(llrintf(h[i] * 32768.0f));
}
