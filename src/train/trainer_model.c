/* trainer_model.c - the trained policy in canonical form. */
#include "train/trainer_private.h"

#include <string.h>

static float *copy(deft_arena *a, const float *from, size_t n)
{
    return deft_arena_copy(a, from, n * sizeof *from);
}

static deft_segment *segments(deft_arena *a, const deft_segment *s, int32_t n)
{
    return deft_arena_copy(a, s, (size_t)n * sizeof *s);
}

/* Input of the first layer of encoder or actor: all n_in numbers. */
static deft_segment all_inputs(const deft_trainer *t)
{
    return (deft_segment){DEFT_SRC_OBS, 0, 0, t->encoder.n_in};
}

static deft_status recurrent_layers(const deft_trainer *t, const float *param, deft_model *m)
{
    const deft_encoder *e = &t->encoder;
    const bool lstm = e->kind == DEFT_ENCODER_LSTM;
    for (int l = 0; l < e->n_layer; l++) {
        int n_in;
        const float *w = param + deft_encoder_layer(e, l, &n_in);
        const size_t rows = (size_t)e->hidden * (lstm ? 4 : 3);
        const deft_segment in =
            l == 0 ? all_inputs(t) : (deft_segment){DEFT_SRC_LAYER, l - 1, 0, e->hidden};
        deft_layer *out = &m->layer[m->n_layer++];
        *out = (deft_layer){.kind = lstm ? DEFT_LAYER_LSTM : DEFT_LAYER_GRU,
                            .name = deft_arena_printf(m->arena, "encoder.%d", l),
                            .n_in = n_in,
                            .n_out = e->hidden,
                            .n_segment = 1};
        out->in = segments(m->arena, &in, 1);
        out->weight = copy(m->arena, w, rows * (size_t)n_in);
        out->weight_h = copy(m->arena, w + rows * (size_t)n_in, rows * (size_t)e->hidden);
        if (!out->name || !out->in || !out->weight || !out->weight_h) return DEFT_E_SPACE;
    }
    return DEFT_OK;
}

static const deft_activation_kind unit[] = {DEFT_ACT_NONE, DEFT_ACT_RELU, DEFT_ACT_TANH,
                                            DEFT_ACT_ELU};

static deft_status perceptron_layers(const deft_trainer *t, const float *param, deft_model *m)
{
    const deft_encoder *e = &t->encoder;
    for (int l = 0; l < e->n_layer; l++) {
        int n_in;
        const float *w = param + deft_encoder_layer(e, l, &n_in);
        const size_t count = (size_t)e->hidden * (size_t)n_in;
        const deft_segment in =
            l == 0 ? all_inputs(t) : (deft_segment){DEFT_SRC_LAYER, l - 1, 0, e->hidden};
        deft_layer *out = &m->layer[m->n_layer++];
        *out = (deft_layer){.kind = DEFT_LAYER_DENSE,
                            .name = deft_arena_printf(m->arena, "encoder.%d", l),
                            .n_in = n_in,
                            .n_out = e->hidden,
                            .n_segment = 1,
                            .activation = {unit[e->unit], 0, 0}};
        if (out->activation.kind == DEFT_ACT_ELU) out->activation.alpha = 1;
        out->in = segments(m->arena, &in, 1);
        out->weight = copy(m->arena, w, count);
        out->bias = copy(m->arena, w + count, (size_t)e->hidden);
        if (!out->name || !out->in || !out->weight || !out->bias) return DEFT_E_SPACE;
    }
    return DEFT_OK;
}

static deft_status stack_layer(const deft_trainer *t, deft_model *m)
{
    const deft_segment in = all_inputs(t);
    m->layer[m->n_layer++] = (deft_layer){.kind = DEFT_LAYER_HISTORY,
                                          .name = "stack",
                                          .n_in = t->encoder.n_in,
                                          .n_out = t->encoder.n_feature,
                                          .n_segment = 1,
                                          .depth = t->encoder.depth,
                                          .fill_first = true,
                                          .in = segments(m->arena, &in, 1)};
    return m->layer[m->n_layer - 1].in ? DEFT_OK : DEFT_E_SPACE;
}

static deft_status dense_layers(const deft_trainer *t, const float *param, deft_model *m)
{
    const deft_net *net = deft_agent_actor_net(t->agent);
    const int32_t encoder = m->n_layer;
    for (int l = 0; l < net->n_layer; l++) {
        const int n_in = net->width[l], last = l + 1 == net->n_layer;
        const int n_out = last ? (int)t->n_act : net->width[l + 1]; // SAC: the means only
        const float *w = param + deft_net_offset(net, l);
        const float *b = w + (size_t)net->width[l + 1] * (size_t)n_in;
        deft_segment in[2] = {all_inputs(t), {DEFT_SRC_LAYER, encoder - 1, 0, t->encoder.hidden}};
        int32_t n_segment = encoder && t->encoder.kind != DEFT_ENCODER_STACK ? 2 : 1;
        if (l == 0 && t->encoder.kind == DEFT_ENCODER_STACK) {
            in[0] = (deft_segment){DEFT_SRC_LAYER, encoder - 1, 0, n_in};
        } else if (l > 0) {
            in[0] = (deft_segment){DEFT_SRC_LAYER, m->n_layer - 1, 0, n_in};
            n_segment = 1;
        }
        deft_layer *out = &m->layer[m->n_layer++];
        *out = (deft_layer){.kind = DEFT_LAYER_DENSE,
                            .name = deft_arena_printf(m->arena, "actor.%d", l),
                            .n_in = n_in,
                            .n_out = n_out,
                            .n_segment = n_segment,
                            .activation = {last ? DEFT_ACT_TANH : unit[net->hidden], 0, 0}};
        if (out->activation.kind == DEFT_ACT_ELU) out->activation.alpha = 1;
        out->in = segments(m->arena, in, n_segment);
        out->weight = copy(m->arena, w, (size_t)n_out * (size_t)n_in);
        out->bias = copy(m->arena, b, (size_t)n_out);
        if (!out->name || !out->in || !out->weight || !out->bias) return DEFT_E_SPACE;
    }
    return DEFT_OK;
}

static const char **names(deft_arena *a, const char *const *from, int32_t before,
                          const char *const *first, int32_t n)
{
    const char **out = DEFT_NEW_ARRAY(a, const char *, before + n);
    for (int32_t i = 0; out && i < before; i++) {
        out[i] = deft_arena_printf(a, "previous_%s", first[i]);
    }
    for (int32_t i = 0; out && i < n; i++) out[before + i] = deft_arena_printf(a, "%s", from[i]);
    return out;
}

static deft_status contract(const deft_trainer *t, deft_model *m)
{
    deft_contract *c = &m->contract;
    const int32_t before = t->encoder.previous ? (int32_t)t->n_act : 0;
    const int32_t n = (int32_t)t->n_obs;
    c->name = "";
    c->n_obs = before + n;
    c->n_act = (int32_t)t->n_act;
    c->period_s = t->spec->period_s;
    c->obs_name = names(m->arena, t->spec->obs_name, before, t->spec->act_name, n);
    c->act_name = names(m->arena, t->spec->act_name, 0, NULL, c->n_act);
    c->act_scale = DEFT_NEW_ARRAY(m->arena, float, c->n_act);
    c->act_offset = DEFT_NEW_ARRAY(m->arena, float, c->n_act);
    c->act_lo = DEFT_NEW_ARRAY(m->arena, float, c->n_act);
    c->act_hi = DEFT_NEW_ARRAY(m->arena, float, c->n_act);
    if (!c->obs_name || !c->act_name || !c->act_scale || !c->act_offset || !c->act_lo ||
        !c->act_hi) {
        return DEFT_E_SPACE;
    }
    for (int32_t i = 0; i < c->n_act; i++) {
        const float lo = t->spec->act_lo[i], hi = t->spec->act_hi[i];
        c->act_scale[i] = (hi - lo) / 2;
        c->act_offset[i] = (hi + lo) / 2;
        c->act_lo[i] = lo;
        c->act_hi[i] = hi;
    }
    if (!t->normalizer.on) return DEFT_OK;
    c->obs_offset = DEFT_NEW_ARRAY(m->arena, float, c->n_obs);
    c->obs_scale = DEFT_NEW_ARRAY(m->arena, float, c->n_obs);
    if (!c->obs_offset || !c->obs_scale) return DEFT_E_SPACE;
    for (int32_t i = 0; i < c->n_obs; i++) {
        c->obs_offset[i] = i < before ? 0 : t->normalizer.offset[i - before];
        c->obs_scale[i] = i < before ? 1 : t->normalizer.scale[i - before];
    }
    return DEFT_OK;
}

deft_status deft_trainer_model(const deft_trainer *t, bool best, deft_arena *a, deft_model **out,
                               deft_error *err)
{
    *out = NULL;
    deft_model *m = DEFT_NEW(a, deft_model);
    const int32_t limit = DEFT_ENCODER_LAYERS + DEFT_NET_LAYERS;
    if (!m) return deft_fail(err, DEFT_E_SPACE, "no memory for the policy");
    m->arena = a;
    m->source = "trained by deft";
    m->layer = DEFT_NEW_ARRAY(a, deft_layer, limit);
    const float *param = best && t->have_best ? t->best_param : deft_agent_actor_param(t->agent);
    const float *encoder = !t->learner            ? t->encoder.param
                           : best && t->have_best ? t->learner->best
                                                  : t->learner->param;
    deft_status s = m->layer ? contract(t, m) : DEFT_E_SPACE;
    const deft_encoder_kind kind = t->encoder.kind;
    if (s == DEFT_OK && (kind == DEFT_ENCODER_GRU || kind == DEFT_ENCODER_LSTM)) {
        s = recurrent_layers(t, encoder, m);
    } else if (s == DEFT_OK && kind == DEFT_ENCODER_MLP) {
        s = perceptron_layers(t, encoder, m);
    } else if (s == DEFT_OK && kind == DEFT_ENCODER_STACK) {
        s = stack_layer(t, m);
    }
    if (s == DEFT_OK) s = dense_layers(t, param, m);
    m->n_output = (int32_t)t->n_act;
    m->n_out_segment = 1;
    const deft_segment all = {DEFT_SRC_LAYER, m->n_layer - 1, 0, m->n_output};
    m->out = segments(a, &all, 1);
    if (s != DEFT_OK || !m->out) return deft_fail(err, DEFT_E_SPACE, "no memory for the policy");
    if (t->encoder.previous) {
        s = deft_model_feed_previous(m, true, err);
        if (s != DEFT_OK) return s;
    }
    *out = m;
    return deft_model_check(m, err);
}
