/* model.c - the canonical policy: checks, names, counts. */
#include "deft/model.h"
#include "graph/model_private.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

enum { MAX_WIDTH = 1 << 20 };

typedef struct named_kind {
    const char *name;
    int kind;
} named_kind;

const char *deft_layer_kind_name(deft_layer_kind k)
{
    static const char *const name[] = {"?",          "dense",  "gru", "lstm", "layernorm",
                                       "activation", "affine", "add", "mul",  "history"};
    return k >= DEFT_LAYER_DENSE && k <= DEFT_LAYER_HISTORY ? name[k] : name[0];
}

const char *deft_activation_name(deft_activation_kind k)
{
    static const char *const name[] = {"none",     "relu",     "leaky_relu", "elu",  "selu",
                                       "silu",     "gelu",     "gelu_tanh",  "tanh", "sigmoid",
                                       "softsign", "softplus", "clip"};
    return k >= DEFT_ACT_NONE && k <= DEFT_ACT_CLIP ? name[k] : "?";
}

static deft_activation activation_default(deft_activation_kind k)
{
    deft_activation a = {k, 0, 0};
    if (k == DEFT_ACT_LEAKY_RELU) a.alpha = 0.01f;
    if (k == DEFT_ACT_ELU) a.alpha = 1;
    if (k == DEFT_ACT_SELU) {
        a.alpha = 1.67326319217681884765625f;
        a.beta = 1.05070102214813232421875f;
    }
    if (k == DEFT_ACT_CLIP) {
        a.alpha = -1;
        a.beta = 1;
    }
    return a;
}

bool deft_activation_parse(const char *name, deft_activation *out)
{
    static const named_kind alias[] = {
        {"linear", DEFT_ACT_NONE},          {"identity", DEFT_ACT_NONE}, {"swish", DEFT_ACT_SILU},
        {"leakyrelu", DEFT_ACT_LEAKY_RELU}, {"hardtanh", DEFT_ACT_CLIP},
    };
    if (!name) return false;
    for (int k = DEFT_ACT_NONE; k <= DEFT_ACT_CLIP; k++) {
        if (strcmp(name, deft_activation_name((deft_activation_kind)k)) != 0) continue;
        *out = activation_default((deft_activation_kind)k);
        return true;
    }
    for (size_t i = 0; i < sizeof alias / sizeof alias[0]; i++) {
        if (strcmp(name, alias[i].name) != 0) continue;
        *out = activation_default((deft_activation_kind)alias[i].kind);
        return true;
    }
    if (strcmp(name, "relu6") != 0) return false;
    *out = (deft_activation){DEFT_ACT_CLIP, 0, 6};
    return true;
}

deft_status deft_model_assume(deft_model *m, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const deft_status s = deft_arena_note(m->arena, &m->assumption, &m->n_assumption, fmt, ap);
    va_end(ap);
    return s;
}

/* --- checks ---------------------------------------------------------------------------------- */

int32_t model_gates(deft_layer_kind k)
{
    return k == DEFT_LAYER_DENSE ? 1 : k == DEFT_LAYER_GRU ? 3 : k == DEFT_LAYER_LSTM ? 4 : 0;
}

bool model_has_h(deft_layer_kind k)
{
    return k == DEFT_LAYER_GRU || k == DEFT_LAYER_LSTM;
}

int32_t model_segments(const deft_model *m, int32_t k, deft_segment **out)
{
    *out = k < m->n_layer ? m->layer[k].in : m->out;
    return k < m->n_layer ? m->layer[k].n_segment : m->n_out_segment;
}

static bool finite_or_absent(const float *x, int64_t n)
{
    for (int64_t i = 0; x && i < n; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

/* Elements that a source has for layer `reader` (n_layer for the outputs), -1 if it may not. */
static int32_t source_length(const deft_model *m, const deft_segment *s, int32_t reader)
{
    switch (s->kind) {
    case DEFT_SRC_OBS:
        return s->index == 0 ? m->contract.n_obs : -1;
    case DEFT_SRC_PREV:
        return s->index == 0 ? m->contract.n_act : -1;
    case DEFT_SRC_LAYER:
        return s->index >= 0 && s->index < reader ? m->layer[s->index].n_out : -1;
    case DEFT_SRC_STATE:
        return s->index >= 0 && s->index < m->n_layer && model_has_h(m->layer[s->index].kind)
                   ? m->layer[s->index].n_out
                   : -1;
    }
    return -1;
}

static const char *check_segments(const deft_model *m, const deft_segment *s, int32_t n,
                                  int32_t reader, int32_t want)
{
    int64_t sum = 0;
    if (n < 1 || !s) return "has no inputs";
    for (int32_t i = 0; i < n; i++) {
        const int32_t len = source_length(m, &s[i], reader);
        if (len < 0) return "reads a source that does not exist or comes later";
        if (s[i].length < 1 || s[i].offset < 0 || s[i].offset > len - s[i].length)
            return "reads beyond its source";
        sum += s[i].length;
    }
    return sum == want ? NULL : "has inputs of another length than n_in";
}

static const char *check_shape(const deft_layer *l)
{
    if (l->n_in < 1 || l->n_out < 1 || l->n_in > MAX_WIDTH || l->n_out > MAX_WIDTH)
        return "has a width out of range";
    switch (l->kind) {
    case DEFT_LAYER_DENSE:
    case DEFT_LAYER_GRU:
    case DEFT_LAYER_LSTM:
        return NULL;
    case DEFT_LAYER_ADD:
    case DEFT_LAYER_MUL:
        return l->n_in == 2 * (int64_t)l->n_out ? NULL : "wants n_in = 2 n_out";
    case DEFT_LAYER_HISTORY:
        return l->depth >= 1 && (int64_t)l->depth * l->n_in == l->n_out
                   ? NULL
                   : "wants n_out = depth n_in";
    case DEFT_LAYER_LAYERNORM:
    case DEFT_LAYER_ACTIVATION:
    case DEFT_LAYER_AFFINE:
        return l->n_in == l->n_out ? NULL : "wants n_in = n_out";
    }
    return "is of no known kind";
}

static const char *check_activation(const deft_layer *l)
{
    const deft_activation a = l->activation;
    if (a.kind < DEFT_ACT_NONE || a.kind > DEFT_ACT_CLIP) return "has an unknown activation";
    if (a.kind != DEFT_ACT_NONE && (model_has_h(l->kind) || l->kind == DEFT_LAYER_HISTORY))
        return "cannot have an activation";
    if (a.kind == DEFT_ACT_CLIP) return a.alpha <= a.beta ? NULL : "clips to an empty range";
    return isfinite(a.alpha) && isfinite(a.beta) ? NULL : "has an activation that is not finite";
}

static const char *check_layer(const deft_model *m, int32_t index)
{
    const deft_layer *l = &m->layer[index];
    const char *why = check_shape(l);
    if (!why) why = check_segments(m, l->in, l->n_segment, index, l->n_in);
    if (!why) why = check_activation(l);
    if (why) return why;
    const int64_t gates = model_gates(l->kind), rows = gates ? gates * l->n_out : l->n_out;
    if (gates && !l->weight) return "has no weights";
    if (model_has_h(l->kind) && !l->weight_h) return "has no recurrent weights";
    if (!finite_or_absent(l->weight, gates ? rows * l->n_in : rows) ||
        !finite_or_absent(l->bias, rows) ||
        (model_has_h(l->kind) &&
         (!finite_or_absent(l->weight_h, rows * l->n_out) || !finite_or_absent(l->bias_h, rows))))
        return "has weights that are not finite";
    if (l->kind == DEFT_LAYER_LAYERNORM && !(l->epsilon >= 0 && isfinite(l->epsilon)))
        return "has an epsilon out of range";
    return NULL;
}

/* lo <= hi, no NaN; scales that are divided by are not zero. */
static const char *check_contract(const deft_contract *c)
{
    if (c->n_obs < 1 || c->n_act < 1) return "needs observations and actions";
    if (!finite_or_absent(c->obs_offset, c->n_obs) || !finite_or_absent(c->obs_scale, c->n_obs) ||
        !finite_or_absent(c->act_offset, c->n_act) || !finite_or_absent(c->act_scale, c->n_act))
        return "has an offset or a scale that is not finite";
    for (int32_t i = 0; c->act_scale && i < c->n_act; i++)
        if (c->act_scale[i] == 0) return "scales an action by zero";
    for (int32_t i = 0; i < c->n_obs; i++)
        if (!((c->obs_lo ? c->obs_lo[i] : -INFINITY) <= (c->obs_hi ? c->obs_hi[i] : INFINITY)))
            return "clips an observation to an empty range";
    for (int32_t i = 0; i < c->n_obs; i++)
        if (!((c->obs_least ? c->obs_least[i] : -INFINITY) <=
              (c->obs_most ? c->obs_most[i] : INFINITY)))
            return "says that an observation has an empty range";
    for (int32_t i = 0; i < c->n_act; i++)
        if (!((c->act_lo ? c->act_lo[i] : -INFINITY) <= (c->act_hi ? c->act_hi[i] : INFINITY)))
            return "clips an action to an empty range";
    return c->period_s >= 0 && isfinite(c->period_s) ? NULL : "has a control period out of range";
}

static bool actions_fit(const deft_contract *c, int32_t n_output)
{
    if (!c->discrete) return !c->choices && c->n_act == n_output;
    if (!c->choices) return c->n_act == 1;
    int64_t sum = 0;
    for (int32_t k = 0; k < c->n_act; k++) {
        if (c->choices[k] < 1) return false;
        sum += c->choices[k];
    }
    return sum == n_output;
}

void deft_contract_choose(const deft_contract *c, const float *y, int32_t n_output, float *act)
{
    for (int32_t k = 0; k < c->n_act; k++) {
        const int32_t n = c->choices ? c->choices[k] : n_output;
        int32_t best = 0; // the first of equals
        for (int32_t i = 1; i < n; i++)
            if (y[i] > y[best]) best = i;
        act[k] = (float)best;
        y += n;
    }
}

deft_status deft_model_check(const deft_model *m, deft_error *err)
{
    if (!m || m->n_layer < 1 || m->n_layer > MODEL_MAX_LAYERS || !m->layer)
        return deft_fail(err, DEFT_E_FORMAT, "a policy has 1 to %d layers", MODEL_MAX_LAYERS);
    const char *why = check_contract(&m->contract);
    if (why) return deft_fail(err, DEFT_E_FORMAT, "the contract %s", why);
    for (int32_t k = 0; k < m->n_layer; k++) {
        why = check_layer(m, k);
        if (!why) continue;
        char name[160];
        return deft_fail(
            err, DEFT_E_FORMAT, "layer %d '%s' (%s) %s", (int)k,
            deft_layer_kind_name(m->layer[k].kind),
            deft_escape(name, sizeof name, m->layer[k].name ? m->layer[k].name : "", 1024), why);
    }
    if (m->n_output < 1 || !actions_fit(&m->contract, m->n_output))
        return deft_fail(err, DEFT_E_FORMAT, "%d outputs do not make %d actions", (int)m->n_output,
                         (int)m->contract.n_act);
    why = check_segments(m, m->out, m->n_out_segment, m->n_layer, m->n_output);
    return why ? deft_fail(err, DEFT_E_FORMAT, "the policy's output %s", why) : DEFT_OK;
}

/* --- counts ---------------------------------------------------------------------------------- */

static int32_t state_of(const deft_layer *l)
{
    if (l->kind == DEFT_LAYER_GRU || l->kind == DEFT_LAYER_HISTORY) return l->n_out;
    return l->kind == DEFT_LAYER_LSTM ? 2 * l->n_out : 0;
}

void deft_model_count(const deft_model *m, deft_model_stats *out)
{
    *out = (deft_model_stats){0};
    deft_layer_kind kind = DEFT_LAYER_DENSE;
    for (int32_t k = 0; k < m->n_layer; k++) {
        const deft_layer *l = &m->layer[k];
        const int64_t gates = model_gates(l->kind), rows = gates ? gates * l->n_out : l->n_out;
        const int64_t inputs = l->n_in + (int64_t)(model_has_h(l->kind) ? l->n_out : 0);
        if (gates)
            out->parameters += rows * inputs;
        else if (l->weight)
            out->parameters += rows;
        if (l->bias) out->parameters += rows;
        if (l->bias_h) out->parameters += rows;
        out->macs += gates ? rows * inputs : 0;
        out->state += state_of(l);
        const bool recurrent = model_has_h(l->kind);
        if (!recurrent && l->kind != DEFT_LAYER_HISTORY) continue;
        // cells say more than histories
        if (!out->recurrent || (recurrent && kind == DEFT_LAYER_HISTORY)) {
            out->recurrent = deft_layer_kind_name(l->kind);
            out->hidden = l->n_out;
            out->recurrent_layers = 0;
            kind = l->kind;
        }
        out->recurrent_layers += l->kind == kind;
    }
}
