/* understand_trace.c - every value of the graph as a list of scalar elements; constants folded. */
#include "graph/understand.h"

#include "graph/op.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* --- helpers --------------------------------------------------------------------------------- */

deft_status und_no_memory(und *u)
{
    return deft_fail(u->err, DEFT_E_SPACE, "no memory to understand this graph");
}

deft_status und_fail(und *u, int32_t node, deft_status s, const char *fmt, ...)
{
    char text[384], label[256];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (node < 0 || node >= u->g->n_node) return deft_fail(u->err, s, "%s", text);
    return deft_fail(u->err, s, "%s: %s", deft_node_label(u->g, node, label, sizeof label), text);
}

deft_status und_bad(und *u, int32_t node, const char *fmt, ...)
{
    char text[384];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    const char *why = deft_arena_strndup(u->a, text, sizeof text);
    if (!why) return und_no_memory(u);
    const deft_node *n = &u->g->node[node];
    for (int32_t i = 0; i < n->n_out; i++)
        if (n->out[i] >= 0) u->value[n->out[i]] = (und_value){.why = why, .bad = node};
    return DEFT_OK;
}

deft_status und_count(und *u, int32_t node, int64_t n)
{
    if (n > UND_MAX_ELEMENTS || u->n_element + n > UND_MAX_TOTAL)
        return und_fail(u, node, DEFT_E_RANGE,
                        "the graph is too large for a policy: more than %d "
                        "elements in a value or %d in all",
                        UND_MAX_ELEMENTS, UND_MAX_TOTAL);
    u->n_element += n;
    return DEFT_OK;
}

und_op *und_add_op(und *u, und_kind kind, int32_t node, int32_t port, int32_t n)
{
    if (u->n_op == u->cap_op) {
        if (u->n_op >= UND_MAX_OPS) return NULL;
        const int32_t cap = u->cap_op ? 2 * u->cap_op : 256;
        und_op **grown = DEFT_NEW_ARRAY(u->a, und_op *, cap);
        if (!grown) return NULL;
        if (u->n_op) memcpy((void *)grown, (void *)u->op, (size_t)u->n_op * sizeof(und_op *));
        u->op = grown;
        u->cap_op = cap;
    }
    und_op *op = DEFT_NEW(u->a, und_op);
    if (!op) return NULL;
    const int32_t value = node >= 0 && port >= 0 ? u->g->node[node].out[port] : -1;
    *op = (und_op){.kind = kind, .node = node, .value = value, .n = n, .weight_value = -1};
    u->op[u->n_op++] = op;
    return op;
}

float *und_floats(und *u, const deft_tensor *t)
{
    float *f = DEFT_NEW_ARRAY(u->a, float, t->count);
    for (int64_t k = 0; f && k < t->count; k++)
        f[k] = t->dtype == DEFT_F32 ? ((const float *)t->data)[k] : (float)op_get_f64(t, k);
    return f;
}

const und_ref *und_elements(und *u, int32_t value)
{
    und_value *v = &u->value[value];
    if (v->e || !v->t) return v->e;
    und_ref *e = DEFT_NEW_ARRAY(u->a, und_ref, v->t->count);
    if (!e) return NULL;
    for (int64_t k = 0; k < v->t->count; k++) e[k] = und_const((float)op_get_f64(v->t, k));
    v->e = e;
    return e;
}

const deft_tensor *und_shape(const und *u, int32_t value)
{
    return u->value[value].t ? u->value[value].t : &u->value[value].shape;
}

const und_value *und_in(const und *u, int32_t node, int32_t i)
{
    const deft_node *n = &u->g->node[node];
    return i < n->n_in && n->in[i] >= 0 ? &u->value[n->in[i]] : NULL;
}

const deft_tensor *und_in_const(const und *u, int32_t node, int32_t i)
{
    const und_value *v = und_in(u, node, i);
    return v ? v->t : NULL;
}

void und_set(und *u, int32_t node, int32_t port, const deft_tensor *shape, const und_ref *e)
{
    const deft_node *n = &u->g->node[node];
    if (port >= n->n_out || n->out[port] < 0) return;
    und_value *v = &u->value[n->out[port]];
    *v = (und_value){.e = e, .shape = *shape};
    v->shape.data = NULL;
}

/* --- table of refs --------------------------------------------------------------------------- */

static uint32_t hash(und_ref r)
{
    uint32_t h = (uint32_t)r.op * 0x9E3779B1u ^ (uint32_t)r.at * 0x85EBCA77u;
    h ^= h >> 15;
    return h * 0xC2B2AE3Du ^ h >> 13;
}

int32_t und_table_get(const und_table *t, und_ref key)
{
    if (!t->cap || key.op < 0) return -1;
    const uint32_t mask = (uint32_t)t->cap - 1;
    for (uint32_t i = hash(key) & mask; t->slot[i].used; i = (i + 1) & mask)
        if (t->slot[i].key.op == key.op && t->slot[i].key.at == key.at) return t->slot[i].value;
    return -1;
}

static void place(und_table *t, und_ref key, int32_t value)
{
    const uint32_t mask = (uint32_t)t->cap - 1;
    uint32_t i = hash(key) & mask;
    while (t->slot[i].used && !(t->slot[i].key.op == key.op && t->slot[i].key.at == key.at))
        i = (i + 1) & mask;
    if (!t->slot[i].used) t->n++;
    t->slot[i] = (und_slot){key, value, true};
}

bool und_table_put(und *u, und_table *t, und_ref key, int32_t value)
{
    if (2 * (t->n + 1) > t->cap) {
        const und_table old = *t;
        t->cap = old.cap ? 2 * old.cap : 64;
        t->n = 0;
        t->slot = DEFT_NEW_ARRAY(u->a, und_slot, t->cap);
        if (!t->slot) {
            *t = old;
            return false;
        }
        for (int32_t i = 0; i < old.cap; i++)
            if (old.slot[i].used) place(t, old.slot[i].key, old.slot[i].value);
    }
    place(t, key, value);
    return true;
}

/* --- the same twice ----------------------------------------------------------------------------
 */

static uint32_t mix(uint32_t h, uint32_t v)
{
    return (h ^ v) * 0x9E3779B1u + (h >> 13);
}

static uint32_t mix_refs(uint32_t h, const und_ref *r, int32_t n)
{
    for (int32_t i = 0; r && i < n; i++) {
        uint32_t bits = hash(r[i]);
        if (r[i].op < 0) memcpy(&bits, &r[i].c, sizeof bits);
        h = mix(h, bits);
    }
    return h;
}

static bool same_refs(const und_ref *a, const und_ref *b, int32_t n)
{
    if (!a || !b) return a == b;
    for (int32_t i = 0; i < n; i++)
        if (!und_same(a[i], b[i])) return false;
    return true;
}

static bool same_floats(const float *a, const float *b, size_t n)
{
    return a == b || (a && b && memcmp(a, b, n * sizeof *a) == 0);
}

static bool same_op(const und_op *a, const und_op *b)
{
    if (a->kind != b->kind || a->fn != b->fn || a->n != b->n || a->n_in != b->n_in ||
        a->mean != b->mean || a->act.kind != b->act.kind || a->act.alpha != b->act.alpha ||
        a->act.beta != b->act.beta)
        return false;
    for (int i = 0; i < 3; i++)
        if (!same_refs(a->x[i], b->x[i], a->n)) return false;
    return same_refs(a->in, b->in, a->n_in) &&
           same_floats(a->weight, b->weight, (size_t)a->n * (size_t)a->n_in) &&
           same_floats(a->bias, b->bias, (size_t)a->n);
}

int32_t und_unique(und *u)
{
    const int32_t newest = u->n_op - 1;
    const und_op *op = u->op[newest];
    uint32_t h = mix((uint32_t)op->kind * 64 + (uint32_t)op->fn, (uint32_t)op->n);
    for (int i = 0; i < 3; i++) h = mix_refs(h, op->x[i], op->n);
    h = mix_refs(h, op->in, op->n_in);
    for (int32_t attempt = 0; attempt < 4; attempt++) { // few share a hash
        const und_ref key = {(int32_t)(h & 0x7FFFFFFF), attempt, 0};
        const int32_t at = und_table_get(&u->known, key);
        if (at < 0) return und_table_put(u, &u->known, key, newest) ? newest : -1;
        if (!same_op(u->op[at], op)) continue;
        u->n_op--;
        return at;
    }
    return newest;
}

/* --- operators ------------------------------------------------------------------------------- */

// Weights of a policy pass here a few times (transposed, dequantized), nothing else is large.
enum { MAX_FOLDED = 1 << 24 };

static deft_status fold(und *u, int32_t k)
{
    const deft_node *n = &u->g->node[k];
    const deft_tensor **in = DEFT_NEW_ARRAY(u->a, const deft_tensor *, n->n_in);
    deft_tensor *out = DEFT_NEW_ARRAY(u->a, deft_tensor, n->n_out);
    if (!in || !out) return und_no_memory(u);
    for (int32_t i = 0; i < n->n_in; i++) in[i] = n->in[i] < 0 ? NULL : u->value[n->in[i]].t;
    deft_error e = {0};
    const deft_status s = deft_op_run(n, &(deft_op_env){u->g->opset, u->a, &u->work}, in, out, &e);
    if (s == DEFT_E_SPACE) return und_fail(u, k, s, "%s", e.text);
    if (s != DEFT_OK) return und_bad(u, k, "%s", e.text);
    for (int32_t i = 0; i < n->n_out; i++) {
        if (n->out[i] < 0 || !out[i].data) continue;
        u->value[n->out[i]] = (und_value){.t = &out[i]};
        u->folded += out[i].count;
    }
    if (u->folded > MAX_FOLDED) return und_bad(u, k, "its constants are too many to compute");
    return DEFT_OK;
}

/* Shape and Size know their answer whatever the elements are. */
static deft_status fold_shape(und *u, int32_t k)
{
    const deft_node *n = &u->g->node[k];
    const deft_tensor *shape = und_shape(u, n->in[0]);
    deft_tensor *out = DEFT_NEW_ARRAY(u->a, deft_tensor, n->n_out);
    if (!out) return und_no_memory(u);
    deft_error e = {0};
    const deft_status s =
        deft_op_run(n, &(deft_op_env){u->g->opset, u->a, &u->work}, &shape, out, &e);
    if (s == DEFT_E_SPACE) return und_fail(u, k, s, "%s", e.text);
    if (s != DEFT_OK) return und_bad(u, k, "%s", e.text);
    if (n->out[0] >= 0) u->value[n->out[0]] = (und_value){.t = &out[0]};
    return DEFT_OK;
}

static und_handler *find_handler(const char *op)
{
    const und_entry *const tables[] = {und_move_table, und_map_table, und_linear_table,
                                       und_cell_table, und_conv_table};
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++)
        for (const und_entry *e = tables[t]; e->op; e++)
            if (strcmp(e->op, op) == 0) return e->run;
    return NULL;
}

static deft_status refuse(und *u, int32_t k)
{
    static const char *const integer[] = {"QuantizeLinear", "DequantizeLinear",
                                          "MatMulInteger",  "DynamicQuantizeLinear",
                                          "QLinearMatMul",  "ConvInteger"};
    for (size_t i = 0; i < sizeof integer / sizeof integer[0]; i++)
        if (strcmp(u->g->node[k].op, integer[i]) == 0)
            return und_bad(u, k,
                           "integer arithmetic on activations: the reference evaluator runs "
                           "such a graph, but it cannot become a policy of float layers");
    return und_bad(u, k, "no layer of a policy does what this operator does");
}

static deft_status trace_node(und *u, int32_t k)
{
    const deft_node *n = &u->g->node[k];
    bool constant = true, shaped = true;
    for (int32_t i = 0; i < n->n_in; i++) {
        if (n->in[i] < 0) continue;
        const und_value *v = &u->value[n->in[i]];
        if (!v->t && !v->e) { // what depends on something unknown is unknown
            for (int32_t o = 0; o < n->n_out; o++)
                if (n->out[o] >= 0) u->value[n->out[o]] = (und_value){.why = v->why, .bad = v->bad};
            return DEFT_OK;
        }
        constant = constant && v->t;
        shaped = shaped && i == 0;
    }
    // an output that no case below sets
    deft_status s = und_bad(u, k, "this output is not computed");
    if (s != DEFT_OK) return s;
    if (constant) return fold(u, k);
    if (shaped && (strcmp(n->op, "Shape") == 0 || strcmp(n->op, "Size") == 0))
        return fold_shape(u, k);
    und_handler *run = find_handler(n->op);
    return run ? run(u, k) : refuse(u, k);
}

static deft_status trace_input(und *u, int32_t i)
{
    const deft_port *p = &u->g->input[i];
    und_value *v = &u->value[p->value];
    deft_tensor *t = &v->shape;
    *v = (und_value){.bad = -1};
    t->dtype = p->dtype && p->dtype != DEFT_F16 ? p->dtype : DEFT_F32;
    t->count = 1;
    v->why = "an input without a declared shape";
    if (p->rank < 0 || p->rank > DEFT_MAX_RANK) return DEFT_OK;
    t->rank = p->rank;
    for (int32_t d = 0; d < p->rank; d++) {
        t->dim[d] = p->dim[d] < 0 ? 1 : p->dim[d]; // batch, and time
        if (t->dim[d] > UND_MAX_ELEMENTS) t->dim[d] = UND_MAX_ELEMENTS + 1;
        t->count *= t->dim[d];
        const deft_status s = und_count(u, -1, t->count);
        if (s != DEFT_OK) return s;
    }
    v->why = "an input without elements";
    if (t->count == 0) return DEFT_OK;
    und_op *op = und_add_op(u, UND_INPUT, -1, -1, (int32_t)t->count);
    und_ref *e = DEFT_NEW_ARRAY(u->a, und_ref, t->count);
    if (!op || !e) return und_no_memory(u);
    op->port = i;
    op->value = p->value;
    for (int32_t k = 0; k < op->n; k++) e[k] = (und_ref){u->n_op - 1, k, 0};
    v->e = e;
    return DEFT_OK;
}

deft_status und_trace(und *u)
{
    const deft_graph *g = u->g;
    u->value = DEFT_NEW_ARRAY(u->a, und_value, g->n_value);
    if (!u->value) return und_no_memory(u);
    for (int32_t v = 0; v < g->n_value; v++)
        u->value[v] = (und_value){.t = g->value[v].constant, .why = "not computed", .bad = -1};
    deft_status s = DEFT_OK;
    for (int32_t i = 0; s == DEFT_OK && i < g->n_input; i++) s = trace_input(u, i);
    for (int32_t k = 0; s == DEFT_OK && k < g->n_node; k++) s = trace_node(u, k);
    return s;
}
