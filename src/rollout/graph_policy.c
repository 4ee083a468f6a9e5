/* graph_policy.c - a graph as a policy: observations in, state fed back, the action out. */
#include "rollout/graph_policy.h"

#include "graph/op.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_INPUT = 1 << 24 }; // elements

struct graph_policy {
    const deft_graph *g;
    deft_graph_eval *eval;
    deft_arena *arena;
    deft_tensor *in;         // [g->n_input]
    const deft_tensor **out; // [g->n_output] of the last run
    graph_ports ports;
    int32_t n_input, n_act, n_hidden;
    bool feed_previous, discrete;
    bool started;                  // there is a previous action; before that the network sees zeros
    float *previous;               // [n_act] as acted, then scaled to what the network wants to see
    float *scaled, *middle, *half; // [n_act]: scaled = (previous - middle) / half
    float *hidden;                 // [n_hidden]
};

void graph_policy_destroy(graph_policy *p)
{
    if (!p) return;
    deft_graph_eval_destroy(p->eval);
    deft_arena_destroy(p->arena);
    free(p);
}

static deft_status no_memory(deft_error *err)
{
    return deft_fail(err, DEFT_E_SPACE, "no memory to run the graph");
}

/* Dynamic dimensions are batches and sequences: 1. */
static deft_status make_inputs(graph_policy *p, deft_error *err)
{
    int64_t elements = 0;
    for (int32_t i = 0; i < p->g->n_input; i++) {
        const deft_port *port = &p->g->input[i];
        char name[80];
        (void)deft_escape(name, sizeof name, p->g->value[port->value].name, 256);
        if (port->rank < 0)
            return deft_fail(err, DEFT_E_UNSUPPORTED, "input '%s' does not declare its shape",
                             name);
        int64_t dim[DEFT_MAX_RANK] = {0}, count = 1;
        for (int32_t d = 0; d < port->rank; d++) {
            dim[d] = port->dim[d] < 0 ? 1 : port->dim[d];
            if (dim[d] > 0 && count > MAX_INPUT / dim[d])
                return deft_fail(err, DEFT_E_RANGE, "input '%s' is too large", name);
            count *= dim[d];
        }
        elements += count;
        if (elements > MAX_INPUT)
            return deft_fail(err, DEFT_E_RANGE, "input '%s' is too large", name);
        deft_dtype type = port->dtype;
        if (type == 0 || type == DEFT_F16) type = DEFT_F32; // as the readers widen
        const deft_status s = deft_tensor_init(&p->in[i], type, port->rank, dim, p->arena);
        if (s != DEFT_OK) return deft_fail(err, s, "input '%s': %s", name, deft_status_str(s));
    }
    return DEFT_OK;
}

/* One run on zeros tells the shapes of all outputs, whatever the file declares. */
static deft_status explore(graph_policy *p, deft_error *err)
{
    deft_status s = deft_graph_eval_run(p->eval, p->in, p->out, err);
    if (s == DEFT_OK) s = graph_ports_find(p->g, p->in, p->out, &p->ports, err);
    if (s != DEFT_OK) return s;
    for (int32_t i = 0; i < p->g->n_input; i++)
        if (p->ports.feeds[i] == GRAPH_OBSERVATION) p->n_input += (int32_t)p->in[i].count;
    const deft_tensor *act = p->out[p->ports.action];
    if (act->count < 1 || act->count > MAX_INPUT || p->n_input < 1)
        return deft_fail(err, DEFT_E_UNSUPPORTED, "the graph has %lld actions of %d observations",
                         (long long)act->count, (int)p->n_input);
    p->n_act = (int32_t)act->count;
    p->discrete = !op_is_float(act->dtype);
    if (p->ports.hidden >= 0) {
        const deft_tensor *h = p->out[p->ports.hidden];
        p->n_hidden = (int32_t)(h->rank > 0 ? h->dim[h->rank - 1] : 1);
    }
    p->previous = DEFT_NEW_ARRAY(p->arena, float, 4 * (int64_t)p->n_act);
    p->hidden = DEFT_NEW_ARRAY(p->arena, float, p->n_hidden);
    if (!p->previous || !p->hidden) return no_memory(err);
    p->scaled = p->previous + p->n_act;
    p->middle = p->scaled + p->n_act;
    p->half = p->middle + p->n_act;
    for (int32_t i = 0; i < p->n_act; i++) p->half[i] = 1;
    return DEFT_OK;
}

deft_status graph_policy_create(const deft_graph *g, graph_policy **out, deft_error *err)
{
    *out = NULL;
    graph_policy *p = calloc(1, sizeof *p);
    if (!p) return no_memory(err);
    p->g = g;
    p->arena = deft_arena_create(0);
    deft_status s = p->arena ? deft_graph_eval_create(g, &p->eval, err) : no_memory(err);
    if (s == DEFT_OK) {
        p->in = DEFT_NEW_ARRAY(p->arena, deft_tensor, g->n_input);
        p->out = DEFT_NEW_ARRAY(p->arena, const deft_tensor *, g->n_output);
        p->ports.feeds = DEFT_NEW_ARRAY(p->arena, int32_t, g->n_input);
        if (!p->in || !p->out || !p->ports.feeds) s = no_memory(err);
    }
    if (s == DEFT_OK) s = make_inputs(p, err);
    if (s == DEFT_OK) s = explore(p, err);
    if (s != DEFT_OK) {
        graph_policy_destroy(p);
        return s;
    }
    graph_policy_reset(p);
    *out = p;
    return DEFT_OK;
}

const deft_graph *graph_policy_graph(const graph_policy *p)
{
    return p->g;
}

int32_t graph_policy_n_input(const graph_policy *p)
{
    return p->n_input;
}

int32_t graph_policy_n_act(const graph_policy *p)
{
    return p->n_act;
}

bool graph_policy_discrete(const graph_policy *p)
{
    return p->discrete;
}

void graph_policy_feed_previous(graph_policy *p)
{
    p->feed_previous = true;
}

void graph_policy_scale_previous(graph_policy *p, const float *lo, const float *hi)
{
    for (int32_t i = 0; i < p->n_act; i++) {
        const float middle = 0.5f * (lo[i] + hi[i]), half = 0.5f * (hi[i] - lo[i]);
        const bool good = isfinite(middle) && isfinite(half) && half > 0;
        p->middle[i] = good ? middle : 0;
        p->half[i] = good ? half : 1;
    }
}

void graph_policy_copy_settings(graph_policy *to, const graph_policy *from)
{
    to->feed_previous = from->feed_previous;
    memcpy(to->middle, from->middle, (size_t)from->n_act * sizeof *to->middle);
    memcpy(to->half, from->half, (size_t)from->n_act * sizeof *to->half);
}

bool graph_policy_feeds_previous(const graph_policy *p)
{
    return p->feed_previous;
}

void graph_policy_reset(graph_policy *p)
{
    for (int32_t i = 0; i < p->g->n_input; i++)
        memset(p->in[i].data, 0, (size_t)p->in[i].count * deft_dtype_size(p->in[i].dtype));
    memset(p->previous, 0, (size_t)p->n_act * sizeof *p->previous);
    memset(p->scaled, 0, (size_t)p->n_act * sizeof *p->scaled);
    p->started = false;
    memset(p->hidden, 0, (size_t)p->n_hidden * sizeof *p->hidden);
}

/* Observation inputs, one after the other, from the previous action (if fed) and obs. */
static void fill_inputs(graph_policy *p, const float *obs, const float *applied)
{
    const float *const previous = p->scaled;
    for (int32_t i = 0; p->started && i < p->n_act; i++)
        p->scaled[i] = (applied[i] - p->middle[i]) / p->half[i];
    const int32_t n_prev = p->feed_previous ? p->n_act : 0;
    int32_t at = 0;
    for (int32_t i = 0; i < p->g->n_input; i++) {
        if (p->ports.feeds[i] >= 0) continue;
        if (p->ports.feeds[i] == GRAPH_PREVIOUS) {
            for (int64_t k = 0; k < p->n_act; k++) op_set_f64(&p->in[i], k, (double)previous[k]);
            continue;
        }
        for (int64_t k = 0; k < p->in[i].count; k++, at++) {
            const float x = at < n_prev ? previous[at] : obs[at - n_prev];
            op_set_f64(&p->in[i], k, (double)x);
        }
    }
}

/* Copies: outputs die with the next run. */
static deft_status feed_back(graph_policy *p, deft_error *err)
{
    for (int32_t i = 0; i < p->g->n_input; i++) {
        if (p->ports.feeds[i] < 0) continue;
        const deft_tensor *from = p->out[p->ports.feeds[i]];
        if (from->count != p->in[i].count)
            return deft_fail(err, DEFT_E_FORMAT, "the state has %lld elements, then %lld",
                             (long long)p->in[i].count, (long long)from->count);
        for (int64_t k = 0; k < from->count; k++) op_set_f64(&p->in[i], k, op_get_f64(from, k));
    }
    if (p->ports.hidden < 0) return DEFT_OK;
    const deft_tensor *h = p->out[p->ports.hidden];
    for (int32_t k = 0; k < p->n_hidden; k++)
        p->hidden[k] = (float)op_get_f64(h, h->count - p->n_hidden + k);
    return DEFT_OK;
}

deft_status graph_policy_step(graph_policy *p, const float *obs, const float *applied_prev,
                              float *act, deft_error *err)
{
    p->started = p->started || applied_prev;
    fill_inputs(p, obs, applied_prev ? applied_prev : p->previous);
    deft_status s = deft_graph_eval_run(p->eval, p->in, p->out, err);
    if (s != DEFT_OK) return s;
    const deft_tensor *y = p->out[p->ports.action];
    if (y->count != p->n_act)
        return deft_fail(err, DEFT_E_FORMAT, "the graph gives %lld actions, first it gave %d",
                         (long long)y->count, (int)p->n_act);
    for (int32_t k = 0; k < p->n_act; k++) {
        const float a = (float)op_get_f64(y, k);
        if (!isfinite(a))
            return deft_fail(err, DEFT_E_RANGE, "action %d of the graph is not finite", (int)k);
        p->previous[k] = a;
    }
    s = feed_back(p, err);
    p->started = true;
    if (s == DEFT_OK) memcpy(act, p->previous, (size_t)p->n_act * sizeof *act);
    return s;
}

const float *graph_policy_hidden(const graph_policy *p, int32_t *n)
{
    *n = p->n_hidden;
    return p->ports.hidden >= 0 ? p->hidden : NULL;
}
