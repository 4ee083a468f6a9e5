/* encoder.c - one step of an encoder, plain loops: environments cost far more. */
#include "train/encoder.h"
#include "base/math_f32.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int deft_encoder_gates(const deft_encoder *e)
{
    return e->kind == DEFT_ENCODER_LSTM ? 4 : e->kind == DEFT_ENCODER_GRU ? 3 : 1;
}

static bool recurrent(const deft_encoder *e)
{
    return e->kind == DEFT_ENCODER_GRU || e->kind == DEFT_ENCODER_LSTM;
}

bool deft_encoder_learns(const deft_encoder *e)
{
    return recurrent(e) || e->kind == DEFT_ENCODER_MLP;
}

int deft_encoder_layer(const deft_encoder *e, int l, int *n_in)
{
    const int g = deft_encoder_gates(e) * e->hidden, own = recurrent(e) ? e->hidden : 1;
    *n_in = l == 0 ? e->n_in : e->hidden;
    return l == 0 ? 0 : g * (e->n_in + own) + (l - 1) * g * (e->hidden + own);
}

deft_status deft_encoder_init(deft_encoder *e, deft_error *err)
{
    e->n_in = e->n_obs + (e->previous ? e->n_act : 0);
    e->n_feature = e->n_in;
    e->n_state = e->n_param = 0;
    e->param = NULL;
    if (e->kind == DEFT_ENCODER_STACK) {
        if (e->depth < 1 || e->depth > 64) {
            return deft_fail(err, DEFT_E_ARG, "a stack of %d observations", e->depth);
        }
        e->n_feature = e->n_state = e->depth * e->n_in;
        return DEFT_OK;
    }
    if (!deft_encoder_learns(e)) return DEFT_OK;
    if (e->n_layer < 1 || e->n_layer > DEFT_ENCODER_LAYERS || e->hidden < 1 || e->hidden > 1024) {
        return deft_fail(err, DEFT_E_ARG, "an encoder of %d layers of %d units", e->n_layer,
                         e->hidden);
    }
    e->n_feature += e->hidden;
    if (recurrent(e)) {
        e->n_state = e->n_layer * e->hidden * (e->kind == DEFT_ENCODER_LSTM ? 2 : 1);
    }
    int n_in;
    e->n_param = deft_encoder_layer(e, e->n_layer, &n_in);
    e->param = calloc((size_t)e->n_param, sizeof *e->param);
    if (!e->param) return deft_fail(err, DEFT_E_SPACE, "no memory for an encoder");
    return DEFT_OK;
}

void deft_encoder_free(deft_encoder *e)
{
    free(e->param);
    e->param = NULL;
}

void deft_encoder_randomize(deft_encoder *e, deft_rng *rng)
{
    for (int l = 0; e->n_param && l < e->n_layer; l++) {
        int n_in, next_in;
        const int at = deft_encoder_layer(e, l, &n_in);
        const int end = deft_encoder_layer(e, l + 1, &next_in);
        const double bound = 1 / sqrt((double)(recurrent(e) ? e->hidden : n_in));
        for (int i = at; i < end; i++) e->param[i] = (float)deft_rng_uniform(rng, -bound, bound);
    }
}

/* y = W x */
static void product(const float *w, const float *x, int n_out, int n_in, float *y)
{
    for (int o = 0; o < n_out; o++, w += n_in) {
        float sum = 0;
        for (int i = 0; i < n_in; i++) sum += w[i] * x[i];
        y[o] = sum;
    }
}

static void gru_gates(const float *x, const float *u, int n, float *h)
{
    for (int i = 0; i < n; i++) {
        const float r = deft_sigmoid_f32(x[i] + u[i]);
        const float z = deft_sigmoid_f32(x[n + i] + u[n + i]);
        const float c = deft_tanh_f32(x[2 * n + i] + r * u[2 * n + i]);
        h[i] = c + z * (h[i] - c);
    }
}

static void lstm_gates(const float *x, const float *u, int n, float *h, float *c)
{
    for (int i = 0; i < n; i++) {
        const float in = deft_sigmoid_f32(x[i] + u[i]);
        const float forget = deft_sigmoid_f32(x[n + i] + u[n + i]);
        const float g = deft_tanh_f32(x[2 * n + i] + u[2 * n + i]);
        const float out = deft_sigmoid_f32(x[3 * n + i] + u[3 * n + i]);
        c[i] = forget * c[i] + in * g;
        h[i] = out * deft_tanh_f32(c[i]);
    }
}

static void stack_step(const deft_encoder *e, bool first, float *state, float *feature)
{
    const size_t n = (size_t)e->n_in, depth = (size_t)e->depth;
    if (first) {
        for (size_t d = 0; d < depth; d++) memcpy(state + d * n, feature, n * sizeof *state);
    } else {
        memmove(state, state + n, (depth - 1) * n * sizeof *state);
        memcpy(state + (depth - 1) * n, feature, n * sizeof *state);
    }
    memcpy(feature, state, depth * n * sizeof *state);
}

/* All layers; returns the top one's new hidden state. */
static const float *recurrent_step(const deft_encoder *e, const float *x, float *state,
                                   float *scratch)
{
    const size_t h = (size_t)e->hidden;
    const int rows = deft_encoder_gates(e) * e->hidden;
    float *wx = scratch, *uh = scratch + 4 * h;
    for (int l = 0; l < e->n_layer; l++) {
        int n_in;
        const float *w = e->param + deft_encoder_layer(e, l, &n_in);
        float *hidden = state + (size_t)l * h;
        product(w, x, rows, n_in, wx);
        product(w + (size_t)rows * (size_t)n_in, hidden, rows, e->hidden, uh);
        if (e->kind == DEFT_ENCODER_LSTM) {
            lstm_gates(wx, uh, e->hidden, hidden, state + (size_t)(e->n_layer + l) * h);
        } else {
            gru_gates(wx, uh, e->hidden, hidden);
        }
        x = hidden;
    }
    return x;
}

static float unit_of(float v, deft_unit f)
{
    switch (f) {
    case DEFT_UNIT_LINEAR:
        break;
    case DEFT_UNIT_RELU:
        return v > 0 ? v : 0;
    case DEFT_UNIT_TANH:
        return deft_tanh_f32(v);
    case DEFT_UNIT_ELU:
        return v < 0 ? deft_expm1_f32(v) : v;
    }
    return v;
}

/* All layers, each into the other half of scratch; returns the top one. */
static const float *perceptron_step(const deft_encoder *e, const float *x, float *scratch)
{
    for (int l = 0; l < e->n_layer; l++) {
        int n_in;
        const float *w = e->param + deft_encoder_layer(e, l, &n_in);
        const float *b = w + (size_t)e->hidden * (size_t)n_in;
        float *y = scratch + (size_t)(l & 1) * (size_t)e->hidden;
        product(w, x, e->hidden, n_in, y);
        for (int i = 0; i < e->hidden; i++) y[i] = unit_of(y[i] + b[i], e->unit);
        x = y;
    }
    return x;
}

void deft_encoder_step(const deft_encoder *e, const float *obs, const float *prev_act, bool first,
                       const deft_encoder_memory *m)
{
    const int before = e->previous ? e->n_act : 0;
    if (before) memcpy(m->feature, prev_act, (size_t)before * sizeof *m->feature);
    memcpy(m->feature + before, obs, (size_t)e->n_obs * sizeof *m->feature);
    if (e->kind == DEFT_ENCODER_STACK) stack_step(e, first, m->state, m->feature);
    if (!deft_encoder_learns(e)) return;
    const float *top = recurrent(e) ? recurrent_step(e, m->feature, m->state, m->scratch)
                                    : perceptron_step(e, m->feature, m->scratch);
    memcpy(m->feature + e->n_in, top, (size_t)e->hidden * sizeof *top);
}
