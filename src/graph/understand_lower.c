/* understand_lower.c - from the action down: what it depends on becomes layer drafts. */
#include "graph/understand.h"

#include <stdlib.h>
#include <string.h>

/* --- drafts ---------------------------------------------------------------------------------- */

static und_draft *add_draft(und *u, deft_layer_kind kind, int32_t op, int32_t n_in, int32_t n_out)
{
    if (u->n_draft == u->cap_draft) {
        const int32_t cap = u->cap_draft ? 2 * u->cap_draft : 64;
        und_draft **grown = DEFT_NEW_ARRAY(u->a, und_draft *, cap);
        if (!grown) return NULL;
        if (u->n_draft)
            memcpy((void *)grown, (void *)u->draft, (size_t)u->n_draft * sizeof(und_draft *));
        u->draft = grown;
        u->cap_draft = cap;
    }
    und_draft *d = DEFT_NEW(u->a, und_draft);
    if (!d) return NULL;
    *d = (und_draft){.l = {.kind = kind, .n_in = n_in, .n_out = n_out}, .op = op, .layer = -1};
    d->value = DEFT_NEW_ARRAY(u->a, int32_t, n_out);
    d->element = DEFT_NEW_ARRAY(u->a, int64_t, n_out);
    d->ref = DEFT_NEW_ARRAY(u->a, und_ref, n_in);
    if (!d->value || !d->element || !d->ref) return NULL;
    u->draft[u->n_draft++] = d;
    return d;
}

static bool has_slots(und *u, und_op *op)
{
    if (op->draft) return true;
    op->draft = DEFT_NEW_ARRAY(u->a, int32_t, op->n);
    op->slot = DEFT_NEW_ARRAY(u->a, int32_t, op->n);
    for (int32_t k = 0; op->draft && k < op->n; k++) op->draft[k] = -1;
    return op->draft && op->slot;
}

/* Output `slot` of the newest draft is element k of op. */
static void take(und *u, und_op *op, int32_t k, int32_t slot)
{
    und_draft *d = u->draft[u->n_draft - 1];
    op->draft[k] = u->n_draft - 1;
    op->slot[k] = slot;
    d->value[slot] = op->value;
    d->element[slot] = op->first + k;
}

static int32_t count_needed(const und_op *op)
{
    int32_t n = 0;
    for (int32_t k = 0; k < op->n; k++) n += op->need[k] != 0;
    return n;
}

/* Constant inputs of a dense op go into its bias. */
static deft_status draft_dense(und *u, int32_t index)
{
    und_op *op = u->op[index];
    const int32_t n_out = count_needed(op);
    int32_t n_in = 0;
    for (int32_t i = 0; i < op->n_in; i++) n_in += op->in[i].op >= 0;
    if (n_in == 0)
        return und_fail(u, op->node, DEFT_E_UNSUPPORTED, "depends on nothing but constants");
    und_draft *d = add_draft(u, DEFT_LAYER_DENSE, index, n_in, n_out);
    if (!d) return und_no_memory(u);
    und_ref *ref = DEFT_NEW_ARRAY(u->a, und_ref, n_in);
    d->l.weight = DEFT_NEW_ARRAY(u->a, float, (size_t)n_in *(size_t)n_out);
    const bool bias = op->bias || n_in < op->n_in;
    if (bias) d->l.bias = DEFT_NEW_ARRAY(u->a, float, n_out);
    if (!ref || !d->l.weight || (bias && !d->l.bias)) return und_no_memory(u);
    for (int32_t k = 0, row = 0; k < op->n; k++) {
        if (!op->need[k]) continue;
        const float *w = op->weight + (size_t)k * (size_t)op->n_in;
        double b = op->bias ? (double)op->bias[k] : 0;
        float *to = d->l.weight + (size_t)row * (size_t)n_in;
        for (int32_t i = 0, col = 0; i < op->n_in; i++) {
            if (op->in[i].op < 0)
                b += (double)w[i] * (double)op->in[i].c;
            else
                to[col++] = w[i];
        }
        if (bias) d->l.bias[row] = (float)b;
        take(u, op, k, row++);
    }
    for (int32_t i = 0, col = 0; i < op->n_in; i++)
        if (op->in[i].op >= 0) ref[col++] = op->in[i];
    d->ref = ref;
    return DEFT_OK;
}

/* Normalisation needs all of its inputs, but its outputs are the needed ones only if all are. */
static deft_status draft_norm(und *u, int32_t index, const und_ref *in, int32_t n, float epsilon)
{
    und_op *op = u->op[index];
    for (int32_t i = 0; i < n; i++)
        if (in[i].op < 0)
            return und_fail(u, op->node, DEFT_E_UNSUPPORTED, "normalises constants too");
    und_draft *d = add_draft(u, DEFT_LAYER_LAYERNORM, index, n, n);
    if (!d) return und_no_memory(u);
    d->ref = in;
    d->l.epsilon = epsilon;
    for (int32_t i = 0; i < n; i++) d->value[i] = -1;
    if (op->weight) d->l.weight = deft_arena_copy(u->a, op->weight, (size_t)n * sizeof(float));
    if (op->bias) d->l.bias = deft_arena_copy(u->a, op->bias, (size_t)n * sizeof(float));
    if ((op->weight && !d->l.weight) || (op->bias && !d->l.bias)) return und_no_memory(u);
    for (int32_t k = 0; k < op->n; k++) take(u, op, k, op->norm ? op->norm->at[k] : k);
    return DEFT_OK;
}

/* Which layer an element of a map becomes part of: elements of the same class share one. */
static bool same_class(const und *u, const und_view *a, const und_view *b)
{
    if (a->kind != b->kind || a->x.op < 0 || b->x.op < 0) return false;
    if (a->kind == UND_V_ACT)
        return a->act.kind == b->act.kind && a->act.alpha == b->act.alpha &&
               a->act.beta == b->act.beta && a->x.op == b->x.op;
    if (a->kind == UND_V_AFFINE)
        return a->x.op == b->x.op ||
               (u->op[a->x.op]->kind == UND_INPUT && u->op[b->x.op]->kind == UND_INPUT);
    return a->kind != UND_V_SUM || a->a == b->a;
}

/* y of x - y: a layer of its own turns its sign. */
static deft_status negate(und *u, int32_t index, const und_ref *y, int32_t n, und_src *out)
{
    und_draft *d = add_draft(u, DEFT_LAYER_AFFINE, index, n, n);
    if (!d) return und_no_memory(u);
    d->ref = deft_arena_copy(u->a, y, (size_t)n * sizeof *y);
    d->l.weight = DEFT_NEW_ARRAY(u->a, float, n);
    if (!d->ref || !d->l.weight) return und_no_memory(u);
    for (int32_t i = 0; i < n; i++) {
        d->l.weight[i] = -1;
        d->value[i] = -1;
        out[i] = (und_src){DEFT_SRC_LAYER, u->n_draft - 1, i};
    }
    return DEFT_OK;
}

static deft_status draft_pairs(und *u, int32_t index, const und_view *v, const int32_t *at,
                               int32_t n)
{
    und_op *op = u->op[index];
    const und_view *first = &v[at[0]];
    const bool sum = first->kind == UND_V_SUM;
    und_ref *ref = DEFT_NEW_ARRAY(u->a, und_ref, 2 * (size_t)n);
    und_src *minus = NULL;
    if (!ref) return und_no_memory(u);
    for (int32_t i = 0; i < n; i++) {
        ref[i] = v[at[i]].x;
        ref[n + i] = v[at[i]].y;
    }
    if (sum && first->a == -1) {
        minus = DEFT_NEW_ARRAY(u->a, und_src, n);
        if (!minus) return und_no_memory(u);
        const deft_status s = negate(u, index, ref + n, n, minus);
        if (s != DEFT_OK) return s;
    }
    und_draft *d = add_draft(u, sum ? DEFT_LAYER_ADD : DEFT_LAYER_MUL, index, 2 * n, n);
    if (!d) return und_no_memory(u);
    d->ref = ref;
    if (minus) { // the second half is resolved already
        d->in = DEFT_NEW_ARRAY(u->a, und_src, 2 * (size_t)n);
        if (!d->in) return und_no_memory(u);
        memcpy(d->in + n, minus, (size_t)n * sizeof *minus);
        for (int32_t i = 0; i < n; i++) ref[n + i].op = -1;
    }
    for (int32_t i = 0; i < n; i++) take(u, op, at[i], i);
    return DEFT_OK;
}

static deft_status draft_class(und *u, int32_t index, const und_view *v, const int32_t *at,
                               int32_t n)
{
    und_op *op = u->op[index];
    const und_view *first = &v[at[0]];
    if (first->kind == UND_V_SUM || first->kind == UND_V_PRODUCT)
        return draft_pairs(u, index, v, at, n);
    const bool act = first->kind == UND_V_ACT;
    und_draft *d = add_draft(u, act ? DEFT_LAYER_ACTIVATION : DEFT_LAYER_AFFINE, index, n, n);
    und_ref *ref = DEFT_NEW_ARRAY(u->a, und_ref, n);
    if (!d || !ref) return und_no_memory(u);
    d->ref = ref;
    bool scale = false, shift = false;
    if (act) d->l.activation = first->act;
    for (int32_t i = 0; i < n; i++) {
        ref[i] = v[at[i]].x;
        scale = scale || (!act && v[at[i]].a != 1);
        shift = shift || (!act && v[at[i]].b != 0);
        take(u, op, at[i], i);
    }
    if (scale) d->l.weight = DEFT_NEW_ARRAY(u->a, float, n);
    if (shift) d->l.bias = DEFT_NEW_ARRAY(u->a, float, n);
    if ((scale && !d->l.weight) || (shift && !d->l.bias)) return und_no_memory(u);
    for (int32_t i = 0; i < n; i++) {
        if (scale) d->l.weight[i] = v[at[i]].a;
        if (shift) d->l.bias[i] = v[at[i]].b;
    }
    return DEFT_OK;
}

static deft_status draft_map(und *u, int32_t index)
{
    und_op *op = u->op[index];
    if (op->norm) return draft_norm(u, index, op->norm->in, op->norm->n, op->norm->epsilon);
    und_view *v = DEFT_NEW_ARRAY(u->a, und_view, op->n);
    int32_t *at = DEFT_NEW_ARRAY(u->a, int32_t, op->n);
    bool *done = DEFT_NEW_ARRAY(u->a, bool, op->n);
    if (!v || !at || !done) return und_no_memory(u);
    for (int32_t k = 0; k < op->n; k++) v[k] = und_look(u, (und_ref){index, k, 0});
    deft_status s = DEFT_OK;
    int32_t classes = 0;
    for (int32_t k = 0; s == DEFT_OK && k < op->n; k++) {
        if (!op->need[k] || done[k]) continue;
        if (++classes > 256)
            return und_fail(u, op->node, DEFT_E_UNSUPPORTED, "mixes too many kinds of elements");
        int32_t n = 0;
        for (int32_t i = k; i < op->n; i++)
            if (op->need[i] && !done[i] && (i == k || same_class(u, &v[k], &v[i]))) {
                at[n++] = i;
                done[i] = true;
            }
        s = draft_class(u, index, v, at, n);
    }
    return s;
}

static deft_status draft_cell(und *u, int32_t index)
{
    und_op *op = u->op[index];
    und_cell *c = op->cell;
    if (c->op != index) return DEFT_OK; // c' goes with h'
    und_draft *d = add_draft(u, c->lstm ? DEFT_LAYER_LSTM : DEFT_LAYER_GRU, index, c->n_in, c->n);
    if (!d) return und_no_memory(u);
    c->draft = u->n_draft - 1;
    d->ref = c->x;
    const bool note = c->held && !u->noted_held;
    if (note) u->noted_held = true;
    if (note &&
        deft_model_assume(u->m, "a recurrent layer without all the gates of a GRU runs as one "
                                "whose other gates are held by biases") != DEFT_OK)
        return und_no_memory(u);
    d->l.weight = c->weight;
    d->l.weight_h = c->weight_h;
    d->l.bias = c->bias;
    d->l.bias_h = c->bias_h;
    d->l.reset_before = c->reset_before;
    for (int32_t i = 0; i < c->n_in; i++)
        if (c->x[i].op < 0)
            return und_fail(u, op->node, DEFT_E_UNSUPPORTED, "a cell with constant inputs");
    for (int32_t k = 0; k < c->n; k++) take(u, op, k, k);
    return DEFT_OK;
}

static deft_status draft_history(und *u, und_history *h)
{
    const int32_t first = h->newest_first ? 0 : h->n - h->n_in;
    const und_ref *x = h->e + first;
    int32_t latest = 0;
    for (int32_t i = 0; i < h->n_in; i++) {
        if (x[i].op < 0) return deft_fail(u->err, DEFT_E_UNSUPPORTED, "a history of constants");
        if (x[i].op > latest) latest = x[i].op;
    }
    und_draft *d = add_draft(u, DEFT_LAYER_HISTORY, latest, h->n_in, h->n);
    if (!d) return und_no_memory(u);
    h->draft = u->n_draft - 1;
    d->ref = x;
    d->l.depth = h->n / h->n_in;
    d->l.newest_first = h->newest_first;
    for (int32_t k = 0; k < h->n; k++) {
        d->value[k] = u->g->output[h->output].value;
        d->element[k] = k;
    }
    return DEFT_OK;
}

static deft_status make_drafts(und *u)
{
    deft_status s = DEFT_OK;
    for (int32_t i = 0; s == DEFT_OK && i < u->n_history; i++)
        if (u->history[i].needed) s = draft_history(u, &u->history[i]);
    for (int32_t k = 0; s == DEFT_OK && k < u->n_op; k++) {
        und_op *op = u->op[k];
        if (op->kind == UND_INPUT || !und_any_need(op)) continue;
        if (!has_slots(u, op)) return und_no_memory(u);
        if (op->cell && op->cell->paired)
            s = draft_cell(u, k);
        else if (op->kind == UND_DENSE)
            s = draft_dense(u, k);
        else if (op->kind == UND_NORM)
            s = draft_norm(u, k, op->in, op->n_in, op->epsilon);
        else
            s = draft_map(u, k);
    }
    return s;
}

/* --- refs to sources ------------------------------------------------------------------------- */

static deft_status resolve_state(und *u, und_ref r, und_src *out)
{
    const und_op *op = u->op[r.op];
    int32_t k;
    const und_history *h = und_history_of(u, op->port);
    if (h) { // what stays in the register is at another place after the step
        const int32_t to = h->newest_first ? r.at + h->n_in : r.at - h->n_in;
        if (to < 0 || to >= h->n)
            return deft_fail(u->err, DEFT_E_UNSUPPORTED,
                             "the oldest entry of a history is read while it is pushed out");
        *out = (und_src){DEFT_SRC_LAYER, h->draft, to};
        return DEFT_OK;
    }
    const und_cell *c = und_cell_of(u, r.op, r.at, &k);
    if (!c) return deft_fail(u->err, DEFT_E_UNSUPPORTED, "a state that nothing renews is read");
    *out = (und_src){DEFT_SRC_STATE, c->draft, k};
    return DEFT_OK;
}

static deft_status resolve(und *u, und_ref r, und_src *out)
{
    if (r.op < 0)
        return deft_fail(u->err, DEFT_E_UNSUPPORTED,
                         "a constant takes the place of a computed "
                         "value (an action that is constant?)");
    const und_op *op = u->op[r.op];
    if (op->kind == UND_INPUT) {
        if (u->pair[op->port] >= 0) return resolve_state(u, r, out);
        *out = (und_src){DEFT_SRC_OBS, 0, u->obs_at[op->port] + r.at};
        return DEFT_OK;
    }
    *out = (und_src){DEFT_SRC_LAYER, op->draft[r.at], op->slot[r.at]};
    return DEFT_OK;
}

/* A whole new history is read from its layer, not from what was pushed and what was kept. */
static const und_history *whole_history(const und *u, const und_ref *r, int32_t left)
{
    for (int32_t i = 0; i < u->n_history; i++) {
        const und_history *h = &u->history[i];
        if (!h->needed || left < h->n) continue;
        int32_t k = 0;
        while (k < h->n && und_same(r[k], h->e[k])) k++;
        if (k == h->n) return h;
    }
    return NULL;
}

static deft_status resolve_all(und *u, const und_ref *r, int32_t n, und_src *out, int32_t self)
{
    deft_status s = DEFT_OK;
    for (int32_t k = 0; s == DEFT_OK && k < n;) {
        const und_history *h = r[k].op >= 0 ? whole_history(u, r + k, n - k) : NULL;
        if (h && h->draft != self) {
            for (int32_t i = 0; i < h->n; i++) out[k + i] = (und_src){DEFT_SRC_LAYER, h->draft, i};
            k += h->n;
            continue;
        }
        s = resolve(u, r[k], &out[k]);
        k++;
    }
    return s;
}

typedef struct column {
    und_src src;
    int32_t at;
} column;

static int by_source(const void *a, const void *b)
{
    const und_src *const x = &((const column *)a)->src, *const y = &((const column *)b)->src;
    if (x->kind != y->kind) return x->kind < y->kind ? -1 : 1;
    if (x->index != y->index) return x->index < y->index ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

/* Columns in the order of their sources, so that they are read in few pieces. */
static deft_status sort_columns(und *u, und_draft *d)
{
    const size_t n = (size_t)d->l.n_in;
    column *const c = DEFT_NEW_ARRAY(u->a, column, n);
    float *const w = DEFT_NEW_ARRAY(u->a, float, n *(size_t)d->l.n_out);
    if (!c || !w) return und_no_memory(u);
    for (size_t i = 0; i < n; i++) c[i] = (column){d->in[i], (int32_t)i};
    qsort(c, n, sizeof *c, by_source);
    for (size_t i = 0; i < n; i++) {
        d->in[i] = c[i].src;
        for (size_t o = 0; o < (size_t)d->l.n_out; o++)
            w[o * n + i] = d->l.weight[o * n + (size_t)c[i].at];
    }
    d->l.weight = w;
    return DEFT_OK;
}

static deft_status resolve_drafts(und *u)
{
    deft_status s = DEFT_OK;
    for (int32_t k = 0; s == DEFT_OK && k < u->n_draft; k++) {
        und_draft *d = u->draft[k];
        const int32_t n = d->in ? d->l.n_in / 2 : d->l.n_in; // see draft_pairs
        if (!d->in) d->in = DEFT_NEW_ARRAY(u->a, und_src, d->l.n_in);
        if (!d->in) return und_no_memory(u);
        s = resolve_all(u, d->ref, n, d->in, k);
        if (s == DEFT_OK && d->l.kind == DEFT_LAYER_DENSE && u->op[d->op]->gathers)
            s = sort_columns(u, d);
    }
    if (s != DEFT_OK) return s;
    u->out_src = DEFT_NEW_ARRAY(u->a, und_src, u->n_out);
    return u->out_src ? resolve_all(u, u->out, u->n_out, u->out_src, -1) : und_no_memory(u);
}

static deft_status number_observations(und *u)
{
    u->obs_at = DEFT_NEW_ARRAY(u->a, int32_t, u->g->n_input);
    if (!u->obs_at) return und_no_memory(u);
    int32_t n = 0;
    for (int32_t p = 0; p < u->g->n_input; p++) {
        const und_value *v = &u->value[u->g->input[p].value];
        u->obs_at[p] = -1;
        if (u->pair[p] >= 0 || !v->e) continue;
        u->obs_at[p] = n;
        n += (int32_t)v->shape.count;
    }
    u->m->contract.n_obs = n;
    return DEFT_OK;
}

deft_status und_lower(und *u)
{
    deft_status s = number_observations(u);
    if (s == DEFT_OK) s = und_find_needs(u);
    if (s == DEFT_OK) s = make_drafts(u);
    return s == DEFT_OK ? resolve_drafts(u) : s;
}
