/* model_eval.c - the reference interpreter: float32, unfused, left to right. docs/format.md states
 * the arithmetic; the runtime gives the same bits. */
#include "base/math_f32.h"
#include "graph/model_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct deft_model_eval {
    const deft_model *m;
    deft_arena *arena;
    float **value;      // [n_layer] outputs of the last step
    float **old_h;      // [n_layer] state before the step: GRU h, LSTM h then c, HISTORY its output
    float **new_h;      // [n_layer] after it
    float *obs;         // [n_obs] behind the contract
    float *prev;        // [n_act] the last action as the network wants it
    float *used;        // [n_act] what this step is given instead
    float *out, *act;   // [n_output], [n_act]
    float *x, *gx, *gh; // scratch: inputs of a layer, gates
    bool started;
};

static int32_t state_length(const deft_layer *l)
{
    if (l->kind == DEFT_LAYER_GRU || l->kind == DEFT_LAYER_HISTORY) return l->n_out;
    return l->kind == DEFT_LAYER_LSTM ? 2 * l->n_out : 0;
}

void deft_model_eval_destroy(deft_model_eval *e)
{
    if (!e) return;
    deft_arena_destroy(e->arena);
    free(e);
}

static bool allocate(deft_model_eval *e)
{
    const deft_model *m = e->m;
    deft_arena *a = e->arena;
    int32_t widest = m->n_output, gates = 1;
    e->value = DEFT_NEW_ARRAY(a, float *, m->n_layer);
    e->old_h = DEFT_NEW_ARRAY(a, float *, m->n_layer);
    e->new_h = DEFT_NEW_ARRAY(a, float *, m->n_layer);
    if (!e->value || !e->old_h || !e->new_h) return false;
    for (int32_t k = 0; k < m->n_layer; k++) {
        const deft_layer *l = &m->layer[k];
        const int32_t n = state_length(l);
        e->value[k] = DEFT_NEW_ARRAY(a, float, l->n_out);
        e->old_h[k] = DEFT_NEW_ARRAY(a, float, n);
        e->new_h[k] = DEFT_NEW_ARRAY(a, float, n);
        if (!e->value[k] || !e->old_h[k] || !e->new_h[k]) return false;
        if (l->n_in > widest) widest = l->n_in;
        if (model_has_h(l->kind) && model_gates(l->kind) * l->n_out > gates)
            gates = model_gates(l->kind) * l->n_out;
    }
    e->obs = DEFT_NEW_ARRAY(a, float, m->contract.n_obs);
    e->prev = DEFT_NEW_ARRAY(a, float, m->contract.n_act);
    e->used = DEFT_NEW_ARRAY(a, float, m->contract.n_act);
    e->act = DEFT_NEW_ARRAY(a, float, m->contract.n_act);
    e->out = DEFT_NEW_ARRAY(a, float, m->n_output);
    e->x = DEFT_NEW_ARRAY(a, float, widest);
    e->gx = DEFT_NEW_ARRAY(a, float, gates);
    e->gh = DEFT_NEW_ARRAY(a, float, gates);
    return e->obs && e->prev && e->used && e->act && e->out && e->x && e->gx && e->gh;
}

deft_status deft_model_eval_create(const deft_model *m, deft_model_eval **out, deft_error *err)
{
    *out = NULL;
    const deft_status s = deft_model_check(m, err);
    if (s != DEFT_OK) return s;
    deft_model_eval *e = calloc(1, sizeof *e);
    if (e) e->arena = deft_arena_create(0);
    if (e) e->m = m;
    if (!e || !e->arena || !allocate(e)) {
        deft_model_eval_destroy(e);
        return deft_fail(err, DEFT_E_SPACE, "no memory to run the policy");
    }
    *out = e;
    return DEFT_OK;
}

void deft_model_eval_reset(deft_model_eval *e)
{
    const deft_model *m = e->m;
    for (int32_t k = 0; k < m->n_layer; k++)
        memset(e->old_h[k], 0, (size_t)state_length(&m->layer[k]) * sizeof(float));
    memset(e->prev, 0, (size_t)m->contract.n_act * sizeof(float));
    e->started = false;
}

/* --- layers ---------------------------------------------------------------------------------- */

static void gather(const deft_model_eval *e, const deft_segment *s, int32_t n, float *into)
{
    for (int32_t i = 0; i < n; i++) {
        const float *from = s[i].kind == DEFT_SRC_OBS     ? e->obs
                            : s[i].kind == DEFT_SRC_PREV  ? e->used
                            : s[i].kind == DEFT_SRC_STATE ? e->old_h[s[i].index]
                                                          : e->value[s[i].index];
        memcpy(into, from + s[i].offset, (size_t)s[i].length * sizeof *into);
        into += s[i].length;
    }
}

/* y = W x + b, W [n_out][n_in] */
static void linear(const float *w, const float *b, const float *x, const int32_t shape[2], float *y)
{
    for (int32_t o = 0; o < shape[0]; o++, w += shape[1]) {
        float acc = 0;
        for (int32_t i = 0; i < shape[1]; i++) acc += w[i] * x[i];
        y[o] = b ? acc + b[o] : acc;
    }
}

double model_eval_terms(deft_model_eval *e, int32_t layer, int32_t o)
{
    const deft_layer *const l = &e->m->layer[layer];
    if (l->kind != DEFT_LAYER_DENSE) return 0;
    if (o == 0) gather(e, l->in, l->n_segment, e->x);
    const float *const w = l->weight + (size_t)o * (size_t)l->n_in;
    double sum = l->bias ? fabs((double)l->bias[o]) : 0;
    for (int32_t i = 0; i < l->n_in; i++) sum += fabs((double)w[i] * (double)e->x[i]);
    return sum;
}

static void gru(deft_model_eval *e, const deft_layer *l, const float *h, float *h_new)
{
    const int32_t n = l->n_out;
    float *gx = e->gx, *gh = e->gh;
    linear(l->weight, l->bias, e->x, (const int32_t[]){3 * n, l->n_in}, gx);
    linear(l->weight_h, l->bias_h, h, (const int32_t[]){3 * n, n}, gh);
    for (int32_t i = 0; i < 2 * n; i++) gx[i] = deft_sigmoid_f32(gx[i] + gh[i]);
    if (l->reset_before) {
        // r h takes the place of the gates of h that are done with
        for (int32_t i = 0; i < n; i++) gh[i] = gx[i] * h[i];
        linear(l->weight_h + (size_t)2 * (size_t)n * (size_t)n,
               l->bias_h ? l->bias_h + (size_t)2 * (size_t)n : NULL, gh, (const int32_t[]){n, n},
               gh + (size_t)2 * (size_t)n);
    }
    for (int32_t i = 0; i < n; i++) {
        const float hn = gh[2 * n + i], r = gx[i], z = gx[n + i];
        const float c = deft_tanh_f32(gx[2 * n + i] + (l->reset_before ? hn : r * hn));
        h_new[i] = c + z * (h[i] - c);
    }
}

static void lstm(deft_model_eval *e, const deft_layer *l, const float *h, float *h_new)
{
    const int32_t n = l->n_out;
    const float *c = h + n;
    float *c_new = h_new + n, *g = e->gx;
    linear(l->weight, l->bias, e->x, (const int32_t[]){4 * n, l->n_in}, g);
    linear(l->weight_h, l->bias_h, h, (const int32_t[]){4 * n, n}, e->gh);
    for (int32_t i = 0; i < n; i++) {
        const float in = deft_sigmoid_f32(g[i] + e->gh[i]);
        const float f = deft_sigmoid_f32(g[n + i] + e->gh[n + i]);
        const float u = deft_tanh_f32(g[2 * n + i] + e->gh[2 * n + i]);
        const float o = deft_sigmoid_f32(g[3 * n + i] + e->gh[3 * n + i]);
        c_new[i] = f * c[i] + in * u;
        h_new[i] = o * deft_tanh_f32(c_new[i]);
    }
}

static void layernorm(const deft_layer *l, const float *x, float *y)
{
    const int32_t n = l->n_out;
    float sum = 0, squares = 0;
    for (int32_t i = 0; i < n; i++) sum += x[i];
    const float mean = sum / (float)n;
    for (int32_t i = 0; i < n; i++) {
        const float d = x[i] - mean;
        squares += d * d;
    }
    const float deviation = deft_sqrt_f32(squares / (float)n + l->epsilon);
    for (int32_t i = 0; i < n; i++) {
        float v = (x[i] - mean) / deviation;
        if (l->weight) v = v * l->weight[i];
        y[i] = l->bias ? v + l->bias[i] : v;
    }
}

static void history(const deft_model_eval *e, const deft_layer *l, const float *old, float *y)
{
    const size_t n = (size_t)l->n_in, kept = (size_t)l->n_out - n;
    if (!e->started && l->fill_first) {
        for (int32_t k = 0; k < l->depth; k++) memcpy(y + (size_t)k * n, e->x, n * sizeof *y);
    } else if (l->newest_first) {
        memcpy(y, e->x, n * sizeof *y);
        memcpy(y + n, old, kept * sizeof *y);
    } else {
        memcpy(y, old + n, kept * sizeof *y);
        memcpy(y + kept, e->x, n * sizeof *y);
    }
}

static void elementwise(const deft_layer *l, const float *x, float *y)
{
    const int32_t n = l->n_out;
    for (int32_t i = 0; i < n; i++) {
        float v = x[i];
        if (l->kind == DEFT_LAYER_ADD) v = x[i] + x[n + i];
        if (l->kind == DEFT_LAYER_MUL) v = x[i] * x[n + i];
        if (l->kind == DEFT_LAYER_AFFINE) {
            if (l->weight) v = v * l->weight[i];
            if (l->bias) v = v + l->bias[i];
        }
        y[i] = v;
    }
}

static void run_layer(deft_model_eval *e, int32_t k)
{
    const deft_layer *l = &e->m->layer[k];
    float *y = e->value[k];
    gather(e, l->in, l->n_segment, e->x);
    switch (l->kind) {
    case DEFT_LAYER_DENSE:
        linear(l->weight, l->bias, e->x, (const int32_t[]){l->n_out, l->n_in}, y);
        break;
    case DEFT_LAYER_GRU:
        gru(e, l, e->old_h[k], e->new_h[k]);
        memcpy(y, e->new_h[k], (size_t)l->n_out * sizeof *y);
        return;
    case DEFT_LAYER_LSTM:
        lstm(e, l, e->old_h[k], e->new_h[k]);
        memcpy(y, e->new_h[k], (size_t)l->n_out * sizeof *y);
        return;
    case DEFT_LAYER_HISTORY:
        history(e, l, e->old_h[k], e->new_h[k]);
        memcpy(y, e->new_h[k], (size_t)l->n_out * sizeof *y);
        return;
    case DEFT_LAYER_LAYERNORM:
        layernorm(l, e->x, y);
        break;
    default:
        elementwise(l, e->x, y);
        break;
    }
    if (l->activation.kind == DEFT_ACT_NONE) return;
    for (int32_t i = 0; i < l->n_out; i++) y[i] = deft_activation_f32(l->activation, y[i]);
}

/* --- the contract ---------------------------------------------------------------------------- */

static float clip(const float *lo, const float *hi, int32_t i, float v)
{
    if (lo && v < lo[i]) return lo[i];
    if (hi && v > hi[i]) return hi[i];
    return v;
}

static void front_end(const deft_contract *c, const float *obs, float *x)
{
    for (int32_t i = 0; i < c->n_obs; i++) {
        float v = obs[i];
        if (c->obs_offset) v = v - c->obs_offset[i];
        if (c->obs_scale) v = v * c->obs_scale[i];
        x[i] = clip(c->obs_lo, c->obs_hi, i, v);
    }
}

static void back_end(const deft_contract *c, const float *y, float *act)
{
    for (int32_t i = 0; i < c->n_act; i++) {
        float v = y[i];
        if (c->act_scale) v = v * c->act_scale[i];
        if (c->act_offset) v = v + c->act_offset[i];
        act[i] = clip(c->act_lo, c->act_hi, i, v);
    }
}

static void back_end_inverse(const deft_contract *c, const float *act, float *prev)
{
    for (int32_t i = 0; i < c->n_act; i++) {
        float v = act[i];
        if (c->act_offset) v = v - c->act_offset[i];
        if (c->act_scale) v = v / c->act_scale[i];
        prev[i] = v;
    }
}

static bool all_finite(const float *x, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

deft_status deft_model_eval_step(deft_model_eval *e, const float *obs, const float *applied_prev,
                                 float *act)
{
    const deft_model *m = e->m;
    const deft_contract *c = &m->contract;
    if (!all_finite(obs, c->n_obs) || (applied_prev && !all_finite(applied_prev, c->n_act)))
        return DEFT_E_RANGE;
    front_end(c, obs, e->obs);
    if (applied_prev)
        back_end_inverse(c, applied_prev, e->used);
    else
        memcpy(e->used, e->prev, (size_t)c->n_act * sizeof(float));
    for (int32_t k = 0; k < m->n_layer; k++) run_layer(e, k);
    gather(e, m->out, m->n_out_segment, e->out);
    bool finite = all_finite(e->out, m->n_output);
    for (int32_t k = 0; finite && k < m->n_layer; k++)
        finite = all_finite(e->new_h[k], state_length(&m->layer[k]));
    if (!finite) return DEFT_E_RANGE;
    if (c->discrete)
        deft_contract_choose(c, e->out, m->n_output, e->act);
    else
        back_end(c, e->out, e->act);
    back_end_inverse(c, e->act, e->used);
    if (!all_finite(e->act, c->n_act) || !all_finite(e->used, c->n_act)) return DEFT_E_RANGE;

    memcpy(e->prev, e->used, (size_t)c->n_act * sizeof(float));
    memcpy(act, e->act, (size_t)c->n_act * sizeof(float));
    for (int32_t k = 0; k < m->n_layer; k++) {
        float *const swap = e->old_h[k];
        e->old_h[k] = e->new_h[k];
        e->new_h[k] = swap;
    }
    e->started = true;
    return DEFT_OK;
}

float *model_eval_state(deft_model_eval *e, int32_t layer)
{
    return state_length(&e->m->layer[layer]) > 0 ? e->old_h[layer] : NULL;
}

const float *deft_model_eval_layer(const deft_model_eval *e, int32_t layer)
{
    return layer >= 0 && layer < e->m->n_layer ? e->value[layer] : NULL;
}
