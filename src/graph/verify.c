/* verify.c - the canonical policy beside the graph it was read from. */
#include "graph/model_private.h"
#include "graph/op.h"

#include <math.h>
#include <stdio.h>

/* Every eighth step is this much louder, so that clips and saturated gates have their say. */
enum { LOUD_EVERY = 8, LOUD = 8 };
/* A sum of terms of 1e5 that comes to 1 is as exact as its terms, of which a part is a margin. */
enum { TERMS = 16 };

typedef struct verifier {
    const deft_graph *g;
    const deft_model *m;
    deft_graph_eval *graph;
    deft_model_eval *policy;
    deft_arena *arena;
    deft_tensor *in;         // [g->n_input]
    const deft_tensor **out; // [g->n_output], of the last step
    float *obs, *act;        // [n_obs], [n_act]
    float *y;                // [n_output] outputs of the network
    double *terms;           // [widest layer]
    float tolerance, worst;
    double loudest; // number of the step's layers so far, at least 1
    int32_t step;
    deft_error *err;
} verifier;

/* Some numbers of the policy and the graph values they stand for. */
typedef struct pairing {
    const float *x; // [n]
    const int32_t *value;
    const int64_t *element;
    int32_t n;
    const char *what;    // "layer 3 'actor.0'", escaped
    const double *terms; // [n] what they are sums of, as sizes; NULL: not known
} pairing;

static deft_status no_memory(const verifier *v)
{
    return deft_fail(v->err, DEFT_E_SPACE, "no memory to verify the policy");
}

/* --- feeding --------------------------------------------------------------------------------- */

static deft_status check_role(const verifier *v, int32_t i)
{
    const deft_port_role *r = &v->m->port[i];
    const deft_tensor *t = &v->in[i];
    if (r->kind == DEFT_PORT_OBS && (r->index < 0 || t->count > v->m->contract.n_obs - r->index))
        return deft_fail(v->err, DEFT_E_ARG, "input %d has more elements than observations",
                         (int)i);
    if (r->kind == DEFT_PORT_STATE && (r->index < 0 || r->index >= v->g->n_output))
        return deft_fail(v->err, DEFT_E_ARG, "no output feeds input %d", (int)i);
    return DEFT_OK;
}

static deft_status allocate(verifier *v)
{
    const deft_model *m = v->m;
    const deft_contract *c = &m->contract;
    v->arena = deft_arena_create(0);
    if (!v->arena) return no_memory(v);
    v->in = DEFT_NEW_ARRAY(v->arena, deft_tensor, v->g->n_input);
    v->out = DEFT_NEW_ARRAY(v->arena, const deft_tensor *, v->g->n_output);
    v->obs = DEFT_NEW_ARRAY(v->arena, float, c->n_obs);
    v->act = DEFT_NEW_ARRAY(v->arena, float, c->n_act);
    v->y = DEFT_NEW_ARRAY(v->arena, float, m->n_output);
    int32_t widest = 0;
    for (int32_t k = 0; k < m->n_layer; k++)
        if (m->layer[k].n_out > widest) widest = m->layer[k].n_out;
    v->terms = DEFT_NEW_ARRAY(v->arena, double, widest);
    if (!v->in || !v->out || !v->obs || !v->act || !v->y || !v->terms) return no_memory(v);
    for (int32_t i = 0; i < v->g->n_input; i++) {
        const deft_port_role *r = &m->port[i];
        deft_dtype type = v->g->input[i].dtype;
        if (type == 0 || type == DEFT_F16) type = DEFT_F32; // as the readers widen
        const deft_status s = deft_tensor_init(&v->in[i], type, r->rank, r->dim, v->arena);
        if (s == DEFT_E_SPACE) return no_memory(v);
        if (s != DEFT_OK)
            return deft_fail(v->err, DEFT_E_ARG, "input %d has no usable shape", (int)i);
        const deft_status e = check_role(v, i);
        if (e != DEFT_OK) return e;
    }
    return DEFT_OK;
}

/* Some steps are loud, to reach what saturates. */
static double gain_of(const verifier *v)
{
    return v->step % LOUD_EVERY == LOUD_EVERY - 1 ? LOUD : 1;
}

/* Normal numbers; in every second step as the normaliser wants to see them. */
static void draw(verifier *v, deft_rng *rng)
{
    const deft_contract *c = &v->m->contract;
    for (int32_t i = 0; i < c->n_obs; i++) {
        double x = gain_of(v) * deft_rng_normal(rng);
        if (v->step % 2) {
            if (c->obs_scale && c->obs_scale[i] != 0) x /= (double)c->obs_scale[i];
            if (c->obs_offset) x += (double)c->obs_offset[i];
        }
        v->obs[i] = (float)x;
    }
    for (int32_t i = 0; i < v->g->n_input; i++) {
        deft_tensor *t = &v->in[i];
        if (v->m->port[i].kind != DEFT_PORT_OBS) continue;
        for (int64_t k = 0; k < t->count; k++) {
            float *x = &v->obs[v->m->port[i].index + k];
            op_set_f64(t, k, (double)*x);
            *x = (float)op_get_f64(t, k); // integer inputs take whole numbers
        }
    }
}

/* What the graph made of its state becomes its input. Copies: outputs die with the next run. */
static deft_status feed_back(verifier *v)
{
    for (int32_t i = 0; i < v->g->n_input; i++) {
        const deft_port_role *r = &v->m->port[i];
        if (r->kind != DEFT_PORT_STATE) continue;
        const deft_tensor *from = v->out[r->index];
        if (from->count != v->in[i].count)
            return deft_fail(v->err, DEFT_E_ARG,
                             "output %d has %lld elements, the state it feeds has %lld",
                             (int)r->index, (long long)from->count, (long long)v->in[i].count);
        for (int64_t k = 0; k < from->count; k++) op_set_f64(&v->in[i], k, op_get_f64(from, k));
    }
    return DEFT_OK;
}

/* The policy goes on from the graph's state as well, where that is known, to within the tolerance,
 * to be its own: a recurrent network may amplify what is left of rounding from step to step without
 * bound, and each step is right or wrong by itself. */
static void follow(verifier *v)
{
    for (int32_t k = 0; k < v->m->n_layer; k++) {
        const deft_layer *const l = &v->m->layer[k];
        float *const h = model_eval_state(v->policy, k);
        for (int32_t i = 0; h && l->origin_value && l->origin_element && i < l->n_out; i++) {
            if (l->origin_value[i] < 0) continue;
            const deft_tensor *const t = deft_graph_eval_value(v->graph, l->origin_value[i]);
            h[i] = (float)op_get_f64(t, l->origin_element[i]);
        }
    }
}

/* --- comparing ------------------------------------------------------------------------------- */

static deft_status mismatch(const verifier *v, const pairing *p, int32_t k, double graph)
{
    char label[256];
    const int32_t value = p->value[k], node = v->g->value[value].producer;
    if (node >= 0)
        (void)deft_node_label(v->g, node, label, sizeof label);
    else
        (void)deft_escape(label, sizeof label, v->g->value[value].name, 200);
    return deft_fail(v->err, DEFT_E_MISMATCH,
                     "step %d, %s: element %lld is %.9g in the graph and %.9g in the policy "
                     "(element %d of %s)",
                     (int)v->step, label, (long long)p->element[k], graph, (double)p->x[k], (int)k,
                     p->what);
}

/* The number of the graph that element k stands for; false where there is none. */
static bool graph_number(const verifier *v, const pairing *p, int32_t k, double *out)
{
    const deft_tensor *t = deft_graph_eval_value(v->graph, p->value[k]);
    if (!t || p->element[k] < 0 || p->element[k] >= t->count) return false;
    *out = op_get_f64(t, p->element[k]);
    return true;
}

static double difference(double a, double b)
{
    const bool same = a == b || (isnan(a) && isnan(b)); // infinities too
    return same ? 0 : fabs(a - b);
}

/* Differences count absolutely up to numbers of size 1, beyond it relative to the largest, of the
 * layers before as well: what is squashed was a sum of those, and is as exact as that sum, and a
 * sum is as exact as its own terms. In a loud step the observations are louder too. */
static deft_status compare(verifier *v, const pairing *p)
{
    double size = fmax(gain_of(v), v->loudest), want;
    for (int32_t k = 0; p->value && k < p->n; k++) {
        if (p->value[k] < 0) continue; // made by understanding, in no graph
        if (!graph_number(v, p, k, &want))
            return deft_fail(v->err, DEFT_E_ARG, "element %d of %s stands for nothing in the graph",
                             (int)k, p->what);
        if (isfinite(want)) size = fmax(size, fabs(want));
    }
    v->loudest = fmax(v->loudest, size);
    for (int32_t k = 0; p->value && k < p->n; k++) {
        if (p->value[k] < 0 || !graph_number(v, p, k, &want)) continue;
        const double own = p->terms && isfinite(p->terms[k]) ? p->terms[k] / TERMS : 0;
        const double d = difference((double)p->x[k], want) / fmax(size, own);
        if (!(d <= (double)v->worst)) v->worst = (float)d; // also where d is NaN
        if (!(d <= (double)v->tolerance)) return mismatch(v, p, k, want);
    }
    return DEFT_OK;
}

/* The outputs before the argmax, from the layers; those that are read elsewhere are left out. */
static void gather_outputs(const verifier *v, int32_t *value)
{
    int32_t to = 0;
    for (int32_t i = 0; i < v->m->n_out_segment; i++) {
        const deft_segment *s = &v->m->out[i];
        const float *from =
            s->kind == DEFT_SRC_LAYER ? deft_model_eval_layer(v->policy, s->index) : NULL;
        for (int32_t k = 0; k < s->length; k++, to++) {
            if (from) v->y[to] = from[s->offset + k];
            value[to] = from ? v->m->act_value[to] : -1;
        }
    }
}

static deft_status compare_actions(verifier *v)
{
    const deft_model *m = v->m;
    if (!m->act_value) return DEFT_OK;
    pairing p = {v->act, m->act_value, m->act_element, m->n_output, "the actions", NULL};
    if (m->contract.discrete) {
        int32_t *value = DEFT_NEW_ARRAY(v->arena, int32_t, m->n_output);
        if (!value) return no_memory(v);
        gather_outputs(v, value);
        p.x = v->y;
        p.value = value;
        p.what = "the outputs";
    }
    return compare(v, &p);
}

static deft_status compare_layers(verifier *v)
{
    for (int32_t k = 0; k < v->m->n_layer; k++) {
        const deft_layer *l = &v->m->layer[k];
        char name[160], what[256];
        if (!l->origin_value || !l->origin_element) continue;
        (void)deft_escape(name, sizeof name, l->name ? l->name : "", 1024);
        (void)snprintf(what, sizeof what, "%s layer %d '%s'", deft_layer_kind_name(l->kind), (int)k,
                       name);
        for (int32_t i = 0; i < l->n_out; i++) v->terms[i] = model_eval_terms(v->policy, k, i);
        const pairing p = {deft_model_eval_layer(v->policy, k),
                           l->origin_value,
                           l->origin_element,
                           l->n_out,
                           what,
                           v->terms};
        const deft_status s = compare(v, &p);
        if (s != DEFT_OK) return s;
    }
    return DEFT_OK;
}

static deft_status run_step(verifier *v)
{
    deft_status s = deft_graph_eval_run(v->graph, v->in, v->out, v->err);
    if (s != DEFT_OK) return s;
    const deft_status ran = deft_model_eval_step(v->policy, v->obs, NULL, v->act);
    if (ran != DEFT_OK && ran != DEFT_E_RANGE)
        return deft_fail(v->err, ran, "step %d: the policy does not run", (int)v->step);
    v->loudest = 1;
    // numbers that are not finite differ from the graph's, or the graph's are not either
    s = compare_layers(v);
    if (s == DEFT_OK && ran == DEFT_OK) s = compare_actions(v);
    if (s == DEFT_OK && ran != DEFT_OK)
        return deft_fail(v->err, DEFT_E_RANGE,
                         "step %d: the policy's numbers are not finite, nor are the graph's",
                         (int)v->step);
    if (s == DEFT_OK) s = feed_back(v);
    if (s == DEFT_OK) follow(v);
    return s;
}

static bool stands_for_something(const deft_model *m)
{
    bool any = m->act_value && m->act_element;
    for (int32_t k = 0; k < m->n_layer; k++) any = any || m->layer[k].origin_value;
    return any;
}

// NOLINTNEXTLINE(readability-function-size): four of the seven are plain settings
deft_status deft_verify(const deft_graph *g, const deft_model *m, int32_t steps, float tolerance,
                        uint64_t seed, float *worst, deft_error *err)
{
    if (worst) *worst = 0;
    if (!m->port || m->changed || !stands_for_something(m))
        return deft_fail(err, DEFT_E_ARG,
                         "the policy cannot be verified: it is not as it was read from a graph");
    verifier v = {.g = g, .m = m, .tolerance = tolerance, .err = err};
    deft_rng rng;
    deft_rng_seed(&rng, seed);
    deft_status s = deft_graph_eval_create(g, &v.graph, err);
    if (s == DEFT_OK) s = deft_model_eval_create(m, &v.policy, err);
    if (s == DEFT_OK) s = allocate(&v);
    for (v.step = 0; s == DEFT_OK && v.step < steps; v.step++) {
        draw(&v, &rng);
        s = run_step(&v);
    }
    if (worst) *worst = v.worst;
    deft_arena_destroy(v.arena);
    deft_model_eval_destroy(v.policy);
    deft_graph_eval_destroy(v.graph);
    return s;
}
