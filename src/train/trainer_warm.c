/* trainer_warm.c - a training that begins with the policy of another one. */
#include "train/trainer_private.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_SEGMENT = 8, LAYER_TEXT = 80 };

/* "gru 25 -> 64", "dense 89 -> 256 relu" */
static const char *describe(const deft_layer *l, char text[LAYER_TEXT])
{
    const bool acts = l->kind == DEFT_LAYER_DENSE || l->kind == DEFT_LAYER_ACTIVATION;
    (void)snprintf(text, LAYER_TEXT, "%s %d -> %d%s%s", deft_layer_kind_name(l->kind), (int)l->n_in,
                   (int)l->n_out, acts ? " " : "",
                   acts ? deft_activation_name(l->activation.kind) : "");
    return text;
}

static bool recurrent(const deft_layer *l)
{
    return l->kind == DEFT_LAYER_GRU || l->kind == DEFT_LAYER_LSTM;
}

static bool zeros(const float *p, int64_t n)
{
    for (int64_t i = 0; p && i < n; i++) {
        if (p[i] != 0) return false;
    }
    return true;
}

/* Segments with neighbours joined; -1: more than MAX_SEGMENT. */
static int joined(const deft_layer *l, deft_segment out[MAX_SEGMENT])
{
    int n = 0;
    for (int32_t i = 0; i < l->n_segment; i++) {
        const deft_segment s = l->in[i];
        deft_segment *const last = n ? &out[n - 1] : NULL;
        if (last && last->kind == s.kind && last->index == s.index &&
            last->offset + last->length == s.offset) {
            last->length += s.length;
            continue;
        }
        if (n == MAX_SEGMENT) return -1;
        out[n++] = s;
    }
    return n;
}

static bool same_inputs(const deft_layer *a, const deft_layer *b)
{
    deft_segment x[MAX_SEGMENT], y[MAX_SEGMENT];
    const int n = joined(a, x);
    if (n < 0 || n != joined(b, y)) return false;
    for (int i = 0; i < n; i++) {
        if (x[i].kind != y[i].kind || x[i].index != y[i].index || x[i].offset != y[i].offset ||
            x[i].length != y[i].length) {
            return false;
        }
    }
    return true;
}

static bool reads_old_state(const deft_layer *l)
{
    for (int32_t i = 0; i < l->n_segment; i++) {
        if (l->in[i].kind == DEFT_SRC_STATE) return true;
    }
    return false;
}

/* NULL, or what is wrong with a layer whose kind and widths fit. */
static const char *difference(const deft_layer *have, const deft_layer *want)
{
    const int64_t gates = have->kind == DEFT_LAYER_LSTM ? 4 : 3, n = gates * have->n_out;
    if (reads_old_state(have) && !reads_old_state(want)) {
        return "reads a state of before the step (delayed wiring; deft convert --rewire cascade "
               "mends it)";
    }
    if (!same_inputs(have, want)) return "reads other inputs, or in another order";
    if (recurrent(have) &&
        ((!want->bias && !zeros(have->bias, n)) || (!want->bias_h && !zeros(have->bias_h, n)))) {
        return "has biases, which this training's has not";
    }
    if (have->kind == DEFT_LAYER_GRU && have->reset_before != want->reset_before) {
        return "resets before its product";
    }
    if (have->kind == DEFT_LAYER_HISTORY &&
        (have->newest_first != want->newest_first || have->fill_first != want->fill_first)) {
        return "orders or fills its history otherwise";
    }
    return NULL;
}

static deft_status check_layers(const deft_model *have, const deft_model *want, deft_error *err)
{
    for (int32_t l = 0; l < have->n_layer && l < want->n_layer; l++) {
        const deft_layer *const x = &have->layer[l], *const y = &want->layer[l];
        char is[LAYER_TEXT], should[LAYER_TEXT];
        if (x->kind != y->kind || x->n_in != y->n_in || x->n_out != y->n_out ||
            x->depth != y->depth || x->activation.kind != y->activation.kind ||
            x->activation.alpha != y->activation.alpha ||
            x->activation.beta != y->activation.beta) {
            return deft_fail(err, DEFT_E_MISMATCH,
                             "warm start: layer %d is %s in the policy and %s (%s) in this "
                             "training",
                             (int)l + 1, describe(x, is), describe(y, should), y->name);
        }
        const char *const why = difference(x, y);
        if (!why) continue;
        return deft_fail(err, DEFT_E_MISMATCH, "warm start: layer %d of the policy (%s) %s",
                         (int)l + 1, describe(x, is), why);
    }
    if (have->n_layer == want->n_layer) return DEFT_OK;
    return deft_fail(err, DEFT_E_MISMATCH,
                     "warm start: the policy has %d layers and this training %d",
                     (int)have->n_layer, (int)want->n_layer);
}

static bool near(float a, float b)
{
    return fabsf(a - b) <= 1e-5f * (1 + fabsf(b));
}

static float at_or(const float *p, int64_t i, float otherwise)
{
    return p ? p[i] : otherwise;
}

static deft_status check_contract(const deft_trainer *t, const deft_contract *c, deft_error *err)
{
    if (c->discrete || c->n_obs != t->n_obs || c->n_act != t->n_act) {
        return deft_fail(err, DEFT_E_MISMATCH,
                         "warm start: the policy is of %d observations and %d %sactions, the "
                         "environment of %lld and %lld",
                         (int)c->n_obs, (int)c->n_act, c->discrete ? "discrete " : "",
                         (long long)t->n_obs, (long long)t->n_act);
    }
    for (int64_t i = 0; i < t->n_act; i++) {
        const float lo = t->spec->act_lo[i], hi = t->spec->act_hi[i];
        const float scale = at_or(c->act_scale, i, 1), offset = at_or(c->act_offset, i, 0);
        if (near(scale, (hi - lo) / 2) && near(offset, (hi + lo) / 2)) continue;
        return deft_fail(err, DEFT_E_MISMATCH,
                         "warm start: action %d of the policy is %g y + %g, which does not span "
                         "the environment's %g to %g",
                         (int)i, (double)scale, (double)offset, (double)lo, (double)hi);
    }
    for (int64_t i = 0; i < t->n_obs; i++) {
        if (isinf(at_or(c->obs_lo, i, -INFINITY)) && isinf(at_or(c->obs_hi, i, INFINITY))) continue;
        return deft_fail(err, DEFT_E_MISMATCH,
                         "warm start: the policy clips observation %d, which training does not",
                         (int)i);
    }
    return DEFT_OK;
}

static bool normalizes(const deft_contract *c)
{
    for (int32_t i = 0; i < c->n_obs; i++) {
        if (at_or(c->obs_offset, i, 0) != 0 || at_or(c->obs_scale, i, 1) != 1) return true;
    }
    return false;
}

static void take_normalizer(deft_trainer *t, const deft_contract *c)
{
    for (int64_t i = 0; i < t->n_obs; i++) {
        t->normalizer.offset[i] = at_or(c->obs_offset, i, 0);
        t->normalizer.scale[i] = at_or(c->obs_scale, i, 1);
    }
    t->normalizer.on = normalizes(c);
}

static void take_layers(deft_trainer *t, const deft_model *m)
{
    const deft_net *const net = deft_agent_actor_net(t->agent);
    const int32_t before = m->n_layer - net->n_layer;
    float *const param = deft_agent_actor_param(t->agent);
    for (int32_t l = 0; l < m->n_layer; l++) {
        const deft_layer *const x = &m->layer[l];
        const size_t in = (size_t)x->n_in, out = (size_t)x->n_out;
        if (recurrent(x)) {
            int n_in;
            float *const w = t->encoder.param + deft_encoder_layer(&t->encoder, l, &n_in);
            const size_t rows = out * (x->kind == DEFT_LAYER_LSTM ? 4 : 3);
            memcpy(w, x->weight, rows * in * sizeof *w);
            memcpy(w + rows * in, x->weight_h, rows * out * sizeof *w);
        } else if (l < before && x->kind == DEFT_LAYER_DENSE) { // a perceptron in front
            int n_in;
            float *const w = t->encoder.param + deft_encoder_layer(&t->encoder, l, &n_in);
            memcpy(w, x->weight, in * out * sizeof *w);
            for (size_t i = 0; i < out; i++) w[in * out + i] = x->bias ? x->bias[i] : 0;
        } else if (x->kind == DEFT_LAYER_DENSE) { // SAC's last: of the means only
            float *const w = param + deft_net_offset(net, l - before);
            float *const b = w + (size_t)net->width[l - before + 1] * in;
            memcpy(w, x->weight, in * out * sizeof *w);
            for (size_t i = 0; i < out; i++) b[i] = x->bias ? x->bias[i] : 0;
        }
    }
    deft_agent_sync_target(t->agent);
    t->warm_started = true;
    if (t->learner) deft_encoder_learner_reset(t, t->learner);
}

deft_status deft_trainer_load_model(deft_trainer *t, const deft_model *m, deft_error *err)
{
    if (t->step > 0) return deft_fail(err, DEFT_E_ARG, "warm start: training has begun already");
    deft_arena *const a = deft_arena_create(0);
    deft_model *mine = NULL;
    deft_status s = a ? deft_trainer_model(t, false, a, &mine, err)
                      : deft_fail(err, DEFT_E_SPACE, "no memory for a warm start");
    if (s == DEFT_OK && mine) s = check_layers(m, mine, err);
    if (s == DEFT_OK) s = check_contract(t, &m->contract, err);
    if (s == DEFT_OK && t->cfg.normalize && !normalizes(&m->contract)) {
        s = deft_fail(err, DEFT_E_MISMATCH,
                      "warm start: the policy takes observations as they are, and would not know "
                      "them normalised (normalize, --normalize)");
    }
    deft_arena_destroy(a);
    if (s != DEFT_OK) return s;
    take_normalizer(t, &m->contract);
    take_layers(t, m);
    // what the environments saw so far went through the old encoder
    for (int32_t i = 0; s == DEFT_OK && i < t->n_lane; i++) {
        s = deft_lane_begin(t, &t->lane[i], err);
    }
    return s;
}
