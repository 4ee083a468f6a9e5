/* torch_graph.c - what a TorchScript program computed, as a graph; and comparing two of those. */
#include "formats/torch_script.h"

#include <math.h>
#include <string.h>

typedef struct builder {
    ts_trial *t;
    ts *l;
    deft_arena *a;
    deft_graph *g;
    ts_names names; // that are taken
    bool *live;     // [n_node]
    int32_t room_value;
    bool failed;
} builder;

/* A name that no other value has. */
static const char *unique(builder *b, const char *want)
{
    const char *name = want;
    for (int32_t k = 2; name; k++) {
        const size_t before = b->names.n;
        const char *made = ts_intern(&b->names, name, strlen(name));
        if (!made) break;
        if (b->names.n > before) return made;
        name = deft_arena_printf(b->a, "%s_%d", want, (int)k);
        if (k == 100000) break;
    }
    b->failed = true;
    return "";
}

static int32_t add_value(builder *b, const char *name, const deft_tensor *constant)
{
    deft_graph *g = b->g;
    if (g->n_value == b->room_value) {
        b->failed = true;
        return 0;
    }
    deft_tensor *copy = NULL;
    if (constant) {
        copy = deft_arena_copy(b->a, constant, sizeof *constant);
        const size_t size = (size_t)constant->count * deft_dtype_size(constant->dtype);
        if (copy) copy->data = deft_arena_copy(b->a, constant->data, size);
        b->failed |= !copy || !copy->data;
    }
    g->value[g->n_value] = (deft_value){.name = unique(b, name), .constant = copy, .producer = -1};
    return g->n_value++;
}

/* The graph's value of an edge. */
static int32_t value_of(builder *b, int32_t edge)
{
    ts_edge *e = &b->l->edge[edge];
    if (e->graph >= 0) return e->graph;
    const char *name = e->name ? e->name : e->constant ? "constant" : "value";
    e->graph = add_value(b, name, e->constant ? e->t : NULL);
    return e->graph;
}

static void set_port(deft_port *port, int32_t value, const deft_tensor *t)
{
    *port = (deft_port){.value = value, .dtype = t->dtype, .rank = t->rank};
    memcpy(port->dim, t->dim, sizeof port->dim);
}

static void add_input(builder *b, int32_t edge, const char *name)
{
    deft_graph *g = b->g;
    b->l->edge[edge].graph = add_value(b, name, NULL);
    set_port(&g->input[g->n_input++], b->l->edge[edge].graph, b->l->edge[edge].t);
}

/* Copies attributes; lists and strings are in the run's arena. */
static const deft_attr *copy_attrs(builder *b, const deft_node *n)
{
    deft_attr *attr = deft_arena_copy(b->a, n->attr, (size_t)n->n_attr * sizeof *attr);
    for (int32_t i = 0; attr && i < n->n_attr; i++) {
        if (attr[i].kind == DEFT_ATTR_INTS)
            attr[i].ints =
                deft_arena_copy(b->a, attr[i].ints, (size_t)attr[i].n * sizeof *attr[i].ints);
        if (attr[i].kind == DEFT_ATTR_STRING)
            attr[i].s = deft_arena_strndup(b->a, attr[i].s, strlen(attr[i].s));
        if (!attr[i].ints && attr[i].kind == DEFT_ATTR_INTS) b->failed = true;
    }
    if (!attr) b->failed = true;
    return attr;
}

static void add_node(builder *b, const deft_node *n)
{
    deft_graph *g = b->g;
    int32_t *in = DEFT_NEW_ARRAY(b->a, int32_t, n->n_in);
    int32_t *out = DEFT_NEW_ARRAY(b->a, int32_t, n->n_out);
    if (!in || !out) {
        b->failed = true;
        return;
    }
    for (int32_t i = 0; i < n->n_in; i++) in[i] = n->in[i] < 0 ? -1 : value_of(b, n->in[i]);
    for (int32_t i = 0; i < n->n_out; i++) out[i] = value_of(b, n->out[i]);
    deft_node *to = &g->node[g->n_node++];
    *to = *n;
    to->name = deft_arena_strndup(b->a, n->name, strlen(n->name));
    to->in = in;
    to->out = out;
    to->attr = copy_attrs(b, n);
    if (!to->name) b->failed = true;
}

/* An output has a value of its own, which has its name. */
static const char *add_output(builder *b, int32_t edge, const char *name)
{
    deft_graph *g = b->g;
    const int32_t value = add_value(b, name, NULL), from = value_of(b, edge);
    int32_t *in = deft_arena_copy(b->a, &from, sizeof from);
    int32_t *out = deft_arena_copy(b->a, &value, sizeof value);
    if (!in || !out || b->failed) {
        b->failed = true;
        return "";
    }
    g->node[g->n_node++] =
        (deft_node){.name = "", .op = "Identity", .n_in = 1, .n_out = 1, .in = in, .out = out};
    set_port(&g->output[g->n_output++], value, b->l->edge[edge].t);
    return g->value[value].name;
}

/* Nodes that some output depends on; nodes are in the order of their making. */
static deft_status find_live(builder *b, int32_t n, const int32_t *edge)
{
    ts *l = b->l;
    bool *need = DEFT_NEW_ARRAY(l->a, bool, l->n_edge);
    b->live = DEFT_NEW_ARRAY(l->a, bool, l->n_node);
    if (!need || !b->live) return ts_no_memory(l);
    for (int32_t i = 0; i < n; i++) need[edge[i]] = true;
    for (int32_t k = l->n_node - 1; k >= 0; k--) {
        const deft_node *q = &l->node[k];
        for (int32_t i = 0; i < q->n_out; i++) b->live[k] |= need[q->out[i]];
        for (int32_t i = 0; b->live[k] && i < q->n_in; i++)
            if (q->in[i] >= 0) need[q->in[i]] = true;
    }
    return DEFT_OK;
}

static bool is_tensor_state(const ts_state *s)
{
    return s->kind == TS_TENSOR || s->leaves > 0;
}

/* The results and the new states as edges. Returns how many, -1 after ts_fail. */
typedef struct ends {
    int32_t n, n_result;
    int32_t edge[2 * TS_MAX_STATES];
    const char *name[2 * TS_MAX_STATES];
    int32_t state[2 * TS_MAX_STATES];
} ends;

static deft_status find_ends(ts_trial *t, const ts_states *states, ends *e)
{
    ts_tensor *result[TS_MAX_STATES];
    e->n_result = e->n = ts_results(t, result, e->name);
    if (e->n < 0) return t->l.err->status;
    for (int32_t i = 0; i < e->n; i++) {
        e->edge[i] = ts_read(&t->l, result[i]);
        if (e->edge[i] < 0) return t->l.err->status;
    }
    for (int32_t i = 0; states && i < states->n; i++) {
        if (!is_tensor_state(&states->state[i])) continue;
        e->state[e->n] = i;
        e->edge[e->n] = ts_state_after(t, &states->state[i]);
        e->name[e->n] = deft_arena_printf(t->l.a, "%s_out", states->state[i].label);
        if (!e->name[e->n]) return ts_no_memory(&t->l);
        if (e->edge[e->n] < 0) return t->l.err->status;
        e->n++;
    }
    return DEFT_OK;
}

static bool make_room(builder *b)
{
    deft_graph *g = b->g;
    const int32_t n_edge = b->l->n_edge + 6 * TS_MAX_STATES;
    b->room_value = n_edge;
    g->value = DEFT_NEW_ARRAY(b->a, deft_value, n_edge);
    g->node = DEFT_NEW_ARRAY(b->a, deft_node, b->l->n_node + 2 * TS_MAX_STATES);
    g->input = DEFT_NEW_ARRAY(b->a, deft_port, TS_MAX_LEAVES + TS_MAX_STATES);
    g->output = DEFT_NEW_ARRAY(b->a, deft_port, 2 * TS_MAX_STATES);
    g->meta = DEFT_NEW_ARRAY(b->a, deft_meta, TS_MAX_STATES + 4);
    return g->value && g->node && g->input && g->output && g->meta;
}

/* Says which output is the new value of a state: the file does, so nobody has to guess. */
static void tell_state(builder *b, int32_t edge, const char *output)
{
    deft_graph *g = b->g;
    const char *input = g->value[b->l->edge[edge].graph].name;
    const char *key = deft_arena_printf(b->a, "state:%s", input);
    if (!key) b->failed = true;
    g->meta[g->n_meta++] = (deft_meta){key, output};
}

static void fill(builder *b, const ts_states *states, const ends *e)
{
    ts_trial *t = b->t;
    const bool fed = t->l.n_state > 0; // else the states are what the archive holds
    for (int32_t i = 0; i < t->spec->n; i++) add_input(b, t->input[i], t->spec->leaf[i].name);
    for (int32_t i = 0; fed && i < states->n; i++)
        if (t->state_edge[i] >= 0) add_input(b, t->state_edge[i], states->state[i].label);
    for (int32_t k = 0; k < b->l->n_node && !b->failed; k++)
        if (b->live[k]) add_node(b, &b->l->node[k]);
    for (int32_t i = 0; i < e->n && !b->failed; i++) {
        const char *name = add_output(b, e->edge[i], e->name[i]);
        const int32_t s = i < e->n_result ? -1 : e->state[i];
        if (s >= 0 && fed) tell_state(b, t->state_edge[s], name);
    }
}

deft_status ts_build(ts_trial *t, const ts_states *states, deft_arena *a, deft_graph **out)
{
    ts *l = &t->l;
    builder b = {.t = t, .l = l, .a = a, .g = DEFT_NEW(a, deft_graph)};
    ends e;
    if (!b.g || !make_room(&b)) return ts_no_memory(l);
    deft_status s = find_ends(t, states, &e);
    if (s == DEFT_OK) s = find_live(&b, e.n, e.edge);
    if (s != DEFT_OK) return s;
    for (int32_t i = 0; i < l->n_edge; i++) l->edge[i].graph = -1;
    b.g->arena = a;
    b.g->source = "";
    b.g->producer = "";
    b.g->opset = TS_OPSET;
    b.names.a = a; // names live with the graph
    fill(&b, states, &e);
    if (b.failed) return ts_no_memory(l);
    s = deft_graph_finish(b.g, l->err);
    if (s == DEFT_OK) *out = b.g;
    return s;
}

/* --- comparing ------------------------------------------------------------------------------- */

enum { ROUNDS = 3, LIMIT = 64 << 20 };
static const double tolerance = 1e-5;

static int32_t input_named(const deft_graph *g, const char *name)
{
    for (int32_t i = 0; i < g->n_input; i++)
        if (strcmp(g->value[g->input[i].value].name, name) == 0) return i;
    return -1;
}

/* Random numbers for b; a gets the first of them. What a has not is zeros. */
static deft_status draw(const deft_graph *a, const deft_graph *b, deft_rng *rng, deft_arena *work,
                        deft_tensor *in[2])
{
    for (int32_t i = 0; i < b->n_input; i++) {
        const deft_port *q = &b->input[i];
        deft_tensor *t = &in[1][i];
        if (deft_tensor_init(t, DEFT_F32, q->rank, q->dim, work) != DEFT_OK) return DEFT_E_SPACE;
        const int32_t k = input_named(a, b->value[q->value].name);
        if (k < 0) continue;
        for (int64_t j = 0; j < t->count; j++) ((float *)t->data)[j] = (float)deft_rng_normal(rng);
        const deft_port *p = &a->input[k];
        if (deft_tensor_init(&in[0][k], DEFT_F32, p->rank, p->dim, work) != DEFT_OK)
            return DEFT_E_SPACE;
        const int64_t n = in[0][k].count < t->count ? in[0][k].count : t->count;
        if (n) memcpy(in[0][k].data, t->data, (size_t)n * sizeof(float));
    }
    return DEFT_OK;
}

static bool equal(const deft_tensor *x, const deft_tensor *y)
{
    bool same = x->count == y->count && x->dtype == y->dtype;
    for (int64_t k = 0; same && k < x->count; k++) {
        if (x->dtype != DEFT_F32) {
            const size_t n = deft_dtype_size(x->dtype);
            same = memcmp((const uint8_t *)x->data + (size_t)k * n,
                          (const uint8_t *)y->data + (size_t)k * n, n) == 0;
            continue;
        }
        const double u = (double)((const float *)x->data)[k],
                     v = (double)((const float *)y->data)[k];
        same = fabs(u - v) <= tolerance * (1 + fabs(u)) || (isnan(u) && isnan(v)) || u == v;
    }
    return same;
}

static deft_status run_both(const deft_graph *g[2], deft_graph_eval *e[2], deft_arena *work,
                            bool *same, deft_error *err)
{
    deft_rng rng;
    deft_rng_seed(&rng, 5);
    const deft_tensor **out[2] = {DEFT_NEW_ARRAY(work, const deft_tensor *, g[0]->n_output),
                                  DEFT_NEW_ARRAY(work, const deft_tensor *, g[1]->n_output)};
    deft_tensor *in[2] = {DEFT_NEW_ARRAY(work, deft_tensor, g[0]->n_input),
                          DEFT_NEW_ARRAY(work, deft_tensor, g[1]->n_input)};
    if (!out[0] || !out[1] || !in[0] || !in[1]) return deft_fail(err, DEFT_E_SPACE, "no memory");
    for (int round = 0; *same && round < ROUNDS; round++) {
        if (draw(g[0], g[1], &rng, work, in) != DEFT_OK)
            return deft_fail(err, DEFT_E_SPACE, "no memory");
        for (int k = 0; k < 2; k++) {
            const deft_status s = deft_graph_eval_run(e[k], in[k], out[k], err);
            if (s != DEFT_OK) return s;
        }
        for (int32_t i = 0; *same && i < g[0]->n_output; i++) *same = equal(out[0][i], out[1][i]);
    }
    return DEFT_OK;
}

deft_status ts_compare(const deft_graph *a, const deft_graph *b, bool *same, deft_error *err)
{
    const deft_graph *g[2] = {a, b};
    deft_graph_eval *e[2] = {NULL, NULL};
    deft_arena *work = deft_arena_create(LIMIT);
    *same = a->n_output == b->n_output;
    deft_status s = work ? DEFT_OK : deft_fail(err, DEFT_E_SPACE, "no memory");
    for (int k = 0; s == DEFT_OK && k < 2; k++) s = deft_graph_eval_create(g[k], &e[k], err);
    if (s == DEFT_OK) s = run_both(g, e, work, same, err);
    deft_graph_eval_destroy(e[0]);
    deft_graph_eval_destroy(e[1]);
    deft_arena_destroy(work);
    return s;
}
