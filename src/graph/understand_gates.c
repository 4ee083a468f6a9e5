/* understand_gates.c - the matrices of a cell from what its gates are sums of.
 *
 * Before its function a gate is a sum of rows of constant matrices, biases and, for the candidate
 * of a GRU, a product with the reset gate. Whether x and h come through one matrix or several, and
 * the gates from one or each from its own, makes no difference here. */
#include "graph/understand.h"

#include <string.h>

enum { MAX_PENDING = 64, MAX_SUM = 256 };

typedef struct pending {
    double c;
    und_ref r;
    bool hidden; // inside the product with the reset gate
} pending;

typedef struct extractor {
    und *u;
    und_cell *c;
    und_table own;    // old h -> its number
    und_table column; // input -> its column
    und_ref *x;       // [n_in]
    int32_t n_in, cap;
    und_ref *reset; // [n] the reset gates, op -2: not seen yet
    bool before, after;
    bool open;    // no reset gate at all
    bool filling; // the second time: into the matrices
    bool any_bias, any_bias_h;
    int32_t gate, row;
    pending todo[MAX_PENDING];
    int n_todo;
} extractor;

typedef enum outcome {
    FINE,
    FOREIGN, // not a cell
    NO_MEMORY,
} outcome;

static int32_t gates(const und_cell *c)
{
    return c->lstm ? 4 : 3;
}

static bool candidate(const extractor *e)
{
    return !e->c->lstm && e->gate == 2;
}

static outcome put(extractor *e, double v, und_ref r, bool hidden)
{
    if (e->n_todo == MAX_PENDING) return FOREIGN;
    e->todo[e->n_todo++] = (pending){v, r, hidden};
    return FINE;
}

static void add_bias(extractor *e, double v, bool hidden)
{
    *(hidden ? &e->any_bias_h : &e->any_bias) = true;
    if (!e->filling) return;
    float *b = hidden ? e->c->bias_h : e->c->bias;
    b[e->gate * e->c->n + e->row] += (float)v;
}

static outcome add_x(extractor *e, double v, und_ref r)
{
    int32_t at = und_table_get(&e->column, r);
    if (at < 0) {
        if (e->filling) return FOREIGN;
        if (e->n_in == e->cap) {
            const int32_t cap = e->cap ? 2 * e->cap : 64;
            und_ref *grown = DEFT_NEW_ARRAY(e->u->a, und_ref, cap);
            if (!grown) return NO_MEMORY;
            if (e->n_in) memcpy(grown, e->x, (size_t)e->n_in * sizeof *grown);
            e->x = grown;
            e->cap = cap;
        }
        at = e->n_in++;
        e->x[at] = r;
        if (!und_table_put(e->u, &e->column, r, at)) return NO_MEMORY;
    }
    if (e->filling)
        e->c->weight[((size_t)e->gate * (size_t)e->c->n + (size_t)e->row) * (size_t)e->n_in +
                     (size_t)at] += (float)v;
    return FINE;
}

static void add_h(extractor *e, double v, int32_t at)
{
    if (!e->filling) return;
    const size_t n = (size_t)e->c->n;
    e->c->weight_h[((size_t)e->gate * n + (size_t)e->row) * n + (size_t)at] += (float)v;
}

static bool set_reset(extractor *e, int32_t k, und_ref r)
{
    if (e->reset[k].op == -2) e->reset[k] = r;
    return und_same(e->reset[k], r);
}

/* r = reset * (old h k) */
static bool is_reset_state(const extractor *e, und_ref r, int32_t *k, und_ref *reset)
{
    const und_view v = und_look(e->u, r);
    und_ref under;
    if (v.kind != UND_V_PRODUCT) return false;
    for (int i = 0; i < 2; i++) {
        *reset = i ? v.y : v.x;
        *k = und_table_get(&e->own, i ? v.x : v.y);
        if (*k >= 0 && und_is_act(e->u, *reset, DEFT_ACT_SIGMOID, &under)) return true;
    }
    return false;
}

/* v * r, where r is no sum: an input of a matrix, or added as it is. */
static outcome add_input(extractor *e, double v, und_ref r, bool hidden)
{
    int32_t k = und_table_get(&e->own, r);
    und_ref reset;
    if (r.op < 0) {
        add_bias(e, v * (double)r.c, hidden);
        return FINE;
    }
    if (k >= 0) {
        if (candidate(e) && !hidden && !e->open) return FOREIGN; // passes the reset gate by
        add_h(e, v, k);
        return FINE;
    }
    if (hidden) return FOREIGN; // something else is reset
    if (candidate(e) && !e->open && is_reset_state(e, r, &k, &reset)) {
        if (!set_reset(e, k, reset)) return FOREIGN;
        e->before = true;
        add_h(e, v, k);
        return FINE;
    }
    return add_x(e, v, r);
}

/* A row reads nothing but the old h (or its reset form): its bias is one of the hidden side. */
static bool hidden_side(const extractor *e, const und_op *op)
{
    bool any = false;
    for (int32_t i = 0; i < op->n_in; i++) {
        int32_t k;
        und_ref reset;
        if (op->in[i].op < 0) continue;
        if (und_table_get(&e->own, op->in[i]) < 0 &&
            !(candidate(e) && is_reset_state(e, op->in[i], &k, &reset)))
            return false;
        any = true;
    }
    return any;
}

static outcome add_row(extractor *e, const und_op *op, pending p)
{
    const float *w = op->weight + (size_t)p.r.at * (size_t)op->n_in;
    if (op->bias) add_bias(e, p.c * (double)op->bias[p.r.at], p.hidden || hidden_side(e, op));
    for (int32_t i = 0; i < op->n_in; i++) {
        const outcome o = add_input(e, p.c * (double)w[i], op->in[i], p.hidden);
        if (o != FINE) return o;
    }
    return FINE;
}

/* reset * (a sum over h) in the candidate. */
static outcome add_product(extractor *e, pending p, und_view v)
{
    und_ref under;
    int32_t k;
    und_ref reset;
    if (is_reset_state(e, p.r, &k, &reset)) { // an identity in place of a matrix
        if (k != e->row || !set_reset(e, k, reset)) return FOREIGN;
        e->after = true;
        add_h(e, p.c, k);
        return FINE;
    }
    for (int i = 0; i < 2; i++) {
        reset = i ? v.y : v.x;
        if (!und_is_act(e->u, reset, DEFT_ACT_SIGMOID, &under)) continue;
        if (!set_reset(e, e->row, reset)) continue;
        e->after = true;
        return put(e, p.c, i ? v.x : v.y, true);
    }
    return FOREIGN;
}

static outcome visit(extractor *e, double sign, und_ref root)
{
    e->n_todo = 0;
    outcome o = put(e, sign, root, false);
    for (int step = 0; o == FINE && e->n_todo > 0; step++) {
        if (step == MAX_SUM) return FOREIGN;
        const pending p = e->todo[--e->n_todo];
        const und_view v = und_look(e->u, p.r);
        if (v.kind == UND_V_CONST) {
            add_bias(e, p.c * (double)v.b, p.hidden);
        } else if (v.kind == UND_V_AFFINE) {
            if (v.b != 0) add_bias(e, p.c * (double)v.b, p.hidden);
            o = put(e, p.c * (double)v.a, v.x, p.hidden);
        } else if (v.kind == UND_V_SUM) { // y first, so that x is taken first
            o = put(e, p.c * (double)v.a, v.y, p.hidden);
            if (o == FINE) o = put(e, p.c, v.x, p.hidden);
        } else if (v.kind == UND_V_PRODUCT && candidate(e) && !p.hidden && !e->open) {
            o = add_product(e, p, v);
        } else if (v.kind == UND_V_SOLID && e->u->op[p.r.op]->kind == UND_DENSE) {
            o = add_row(e, e->u->op[p.r.op], p);
        } else {
            o = add_input(e, p.c, p.r, p.hidden);
        }
    }
    return o;
}

/* A gate that is always open or always shut: sigmoid(40) is 1 in float32, sigmoid(-100) next to 0.
 */
static outcome hold_gate(extractor *e, int32_t gate, float bias)
{
    e->any_bias = true;
    for (int32_t k = 0; e->filling && k < e->c->n; k++) e->c->bias[gate * e->c->n + k] = bias;
    return FINE;
}

static outcome visit_gate(extractor *e, int32_t gate)
{
    const und_cell *c = e->c;
    e->gate = gate;
    if (!c->lstm && gate == 0 && e->open) return hold_gate(e, 0, 40);
    if (!c->lstm && gate == 1 && c->plain) return hold_gate(e, 1, -100);
    for (e->row = 0; e->row < c->n; e->row++) {
        und_ref root = c->gate[gate][e->row];
        if (!c->lstm && gate == 0 &&
            (e->reset[e->row].op < 0 ||
             !und_is_act(e->u, e->reset[e->row], DEFT_ACT_SIGMOID, &root)))
            return FOREIGN;
        const bool flip = !c->lstm && gate == 1 && c->flip_z;
        const outcome o = visit(e, flip ? -1 : 1, root);
        if (o != FINE) return o;
    }
    return FINE;
}

/* The candidate of a GRU first: it shows which gate is the reset gate. */
static outcome visit_all(extractor *e)
{
    outcome o = FINE;
    if (!e->c->lstm) o = visit_gate(e, 2);
    if (o == FINE && e->before && e->after) return FOREIGN;
    for (int32_t g = 0; o == FINE && g < (e->c->lstm ? 4 : 2); g++) o = visit_gate(e, g);
    return o;
}

static bool allocate(extractor *e)
{
    und_cell *c = e->c;
    const size_t rows = (size_t)gates(c) * (size_t)c->n;
    c->weight = DEFT_NEW_ARRAY(e->u->a, float, rows *(size_t)e->n_in);
    c->weight_h = DEFT_NEW_ARRAY(e->u->a, float, rows *(size_t)c->n);
    c->bias = DEFT_NEW_ARRAY(e->u->a, float, rows);
    c->bias_h = DEFT_NEW_ARRAY(e->u->a, float, rows);
    return c->weight && c->weight_h && c->bias && c->bias_h;
}

static deft_status extract(und *u, und_cell *c, bool open)
{
    extractor *e = DEFT_NEW(u->a, extractor);
    if (!e) return und_no_memory(u);
    e->u = u;
    e->c = c;
    e->open = open;
    e->reset = DEFT_NEW_ARRAY(u->a, und_ref, c->n);
    if (!e->reset) return und_no_memory(u);
    for (int32_t k = 0; k < c->n; k++) {
        e->reset[k].op = -2;
        if (und_table_get(&e->own, c->h[k]) >= 0) return DEFT_E_UNSUPPORTED;
        if (!und_table_put(u, &e->own, c->h[k], k)) return und_no_memory(u);
    }
    outcome o = visit_all(e);
    if (o == FINE && e->n_in == 0) { // reads its own state alone: once more, as if from outside
        e->x = c->h;
        e->n_in = 1;
    }
    if (o == FINE && (int64_t)gates(c) * c->n * ((int64_t)e->n_in + c->n) > UND_MAX_TOTAL)
        o = FOREIGN;
    if (o == FINE && !allocate(e)) o = NO_MEMORY;
    e->filling = true;
    if (o == FINE) o = visit_all(e);
    if (o == NO_MEMORY) return und_no_memory(u);
    if (o != FINE) return DEFT_E_UNSUPPORTED;
    c->x = e->x;
    c->n_in = e->n_in;
    c->reset_before = e->before;
    c->held = e->open;
    if (!e->any_bias) c->bias = NULL;
    if (!e->any_bias_h) c->bias_h = NULL;
    return DEFT_OK;
}

deft_status und_extract_gates(und *u, und_cell *c)
{
    deft_status s = c->plain ? DEFT_E_UNSUPPORTED : extract(u, c, false);
    if (s == DEFT_E_UNSUPPORTED && !c->lstm) s = extract(u, c, true);
    return s;
}
