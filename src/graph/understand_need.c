/* understand_need.c - which elements the action depends on, state included. */
#include "graph/understand.h"

#include <string.h>

enum { NEED_VALUE = 1, NEED_STATE = 2, MAX_ROUNDS = 4096 };

/* --- what is needed -------------------------------------------------------------------------- */

static deft_status need(und *u, und_ref r, uint8_t how)
{
    if (r.op < 0) return DEFT_OK;
    und_op *op = u->op[r.op];
    if (!op->need) op->need = DEFT_NEW_ARRAY(u->a, uint8_t, op->n);
    if (!op->need) return und_no_memory(u);
    op->need[r.at] |= how;
    return DEFT_OK;
}

static deft_status need_all(und *u, const und_ref *r, int32_t n, uint8_t how)
{
    deft_status s = DEFT_OK;
    for (int32_t k = 0; s == DEFT_OK && k < n; k++) s = need(u, r[k], how);
    return s;
}

bool und_any_need(const und_op *op)
{
    for (int32_t k = 0; op->need && k < op->n; k++)
        if (op->need[k]) return true;
    return false;
}

static deft_status unsupported(und *u, const und_op *op)
{
    static const char *const why[] = {
        [UND_DIV] = "divides by what is computed",
        [UND_POW] = "is a power that no layer computes",
        [UND_EXP] = "is an exponential that is part of no known activation",
        [UND_LOG] = "is a logarithm that is part of no known activation",
        [UND_SQRT] = "is a square root that is part of no known normalisation",
        [UND_ABS] = "is an absolute value that is part of no known activation",
        [UND_ERF] = "is an error function that is part of no known activation",
        [UND_SELECT] = "chooses by what is computed, as no known activation does",
        [UND_GREATER] = "compares what is computed",
        [UND_GREATER_EQUAL] = "compares what is computed",
        [UND_MIN] = "is the smaller of two computed values",
        [UND_MAX] = "is the larger of two computed values",
        [UND_PRELU] = "has a slope that is computed",
        [UND_FMA] = "is part of no layer",
    };
    const char *text = NULL;
    if (op->kind == UND_ARGMAX) text = "only the action can be an argmax";
    if (op->kind == UND_SOFTMAX)
        text = "a softmax is no layer; if its result is only compared, say that the action is "
               "discrete";
    if (op->kind == UND_MAP && op->fn < (und_fn)(sizeof why / sizeof why[0])) text = why[op->fn];
    return und_fail(u, op->node, DEFT_E_UNSUPPORTED, "%s", text ? text : "is part of no layer");
}

/* Recurrent cells: their inputs, and all of their state with what renews it. */
static deft_status need_cell(und *u, und_cell *c)
{
    deft_status s = need_all(u, c->x, c->n_in, NEED_VALUE);
    if (s == DEFT_OK) s = need_all(u, c->h_new, c->n, NEED_STATE);
    return s;
}

/* A state that is read is renewed by somebody: its cell is needed, or its history. */
static deft_status need_port(und *u, const und_op *op)
{
    const int32_t p = op->port;
    if (u->pair[p] < 0 || u->state_need[p]) return DEFT_OK;
    u->state_need[p] = true;
    for (int32_t i = 0; i < u->n_history; i++) {
        und_history *h = &u->history[i];
        if (h->port != p) continue;
        h->needed = true;
        const int32_t first = h->newest_first ? 0 : h->n - h->n_in;
        return need_all(u, h->e + first, h->n_in, NEED_VALUE);
    }
    return DEFT_OK;
}

static bool holds(const und_ref *state, int32_t n, int32_t op, int32_t at, int32_t *k)
{
    for (*k = 0; state && *k < n; ++*k)
        if (state[*k].op == op && state[*k].at == at) return true;
    return false;
}

/* The cell whose old h is element k of a state input. */
const und_cell *und_cell_of(const und *u, int32_t op, int32_t at, int32_t *k)
{
    for (int32_t i = 0; i < u->n_cell; i++)
        if (u->cell[i]->paired && holds(u->cell[i]->h, u->cell[i]->n, op, at, k)) return u->cell[i];
    return NULL;
}

const und_history *und_history_of(const und *u, int32_t port)
{
    for (int32_t i = 0; i < u->n_history; i++)
        if (u->history[i].port == port) return &u->history[i];
    return NULL;
}

/* State elements that are read must belong to something that renews them. */
static deft_status need_state(und *u, int32_t index)
{
    const und_op *op = u->op[index];
    deft_status s = need_port(u, op);
    if (s != DEFT_OK || u->pair[op->port] < 0 || und_history_of(u, op->port)) return s;
    for (int32_t k = 0; s == DEFT_OK && k < op->n; k++) {
        int32_t at;
        if (!(op->need[k] & NEED_VALUE)) continue;
        const und_cell *c = und_cell_of(u, index, k, &at);
        if (c) {
            s = need_all(u, c->h_new, c->n, NEED_STATE);
            continue;
        }
        char name[160];
        return deft_fail(u->err, DEFT_E_UNSUPPORTED,
                         "element %d of state '%s' is read, but it is not the h of a GRU or LSTM",
                         (int)k, deft_escape(name, sizeof name, u->g->value[op->value].name, 1024));
    }
    return s;
}

static deft_status need_map(und *u, const und_op *op, int32_t index)
{
    deft_status s = DEFT_OK;
    if (op->norm) return need_all(u, op->norm->in, op->norm->n, NEED_VALUE);
    for (int32_t k = 0; s == DEFT_OK && k < op->n; k++) {
        if (!op->need[k]) continue;
        const und_view v = und_look(u, (und_ref){index, k, 0});
        if (v.kind == UND_V_RAW) return unsupported(u, op);
        s = need(u, v.x, NEED_VALUE);
        if (s == DEFT_OK && (v.kind == UND_V_SUM || v.kind == UND_V_PRODUCT))
            s = need(u, v.y, NEED_VALUE);
    }
    return s;
}

static deft_status need_below(und *u, int32_t index)
{
    const und_op *op = u->op[index];
    if (!und_any_need(op)) return DEFT_OK;
    if (op->cell && op->cell->paired) {
        for (int32_t k = 0; k < op->n; k++) {
            const bool h = op->cell->op == index && k < op->cell->n;
            if (!h && (op->need[k] & NEED_VALUE))
                return und_fail(u, op->node, DEFT_E_UNSUPPORTED,
                                "the cell state c of an LSTM is read by something else");
        }
        return need_cell(u, op->cell);
    }
    switch (op->kind) {
    case UND_INPUT:
        return need_state(u, index);
    case UND_DENSE:
    case UND_NORM:
        return need_all(u, op->in, op->n_in, NEED_VALUE);
    case UND_MAP:
        return need_map(u, op, index);
    case UND_CELL:
        return und_fail(u, op->node, DEFT_E_UNSUPPORTED,
                        "no output of the graph carries its new state back to its input");
    default:
        return unsupported(u, op);
    }
}

static int64_t count_needs(const und *u)
{
    int64_t n = 0;
    for (int32_t k = 0; k < u->n_op; k++)
        for (int32_t i = 0; u->op[k]->need && i < u->op[k]->n; i++) n += u->op[k]->need[i];
    return n;
}

/* Operands have lower numbers, so that one sweep down settles all but state that is renewed
 * higher up. */
static deft_status sweep(und *u)
{
    u->state_need = DEFT_NEW_ARRAY(u->a, bool, u->g->n_input);
    if (!u->state_need) return und_no_memory(u);
    deft_status s = need_all(u, u->out, u->n_out, NEED_VALUE);
    int64_t before = -1, now = count_needs(u);
    for (int round = 0; s == DEFT_OK && now != before && round < MAX_ROUNDS; round++) {
        for (int32_t k = u->n_op - 1; s == DEFT_OK && k >= 0; k--) s = need_below(u, k);
        before = now;
        now = count_needs(u);
    }
    return s;
}

/* --- state that nobody understood --------------------------------------------------------------
 */

static bool same_shape(const deft_tensor *a, const deft_tensor *b)
{
    return a->rank == b->rank && memcmp(a->dim, b->dim, (size_t)a->rank * sizeof a->dim[0]) == 0;
}

/* An input that would be taken for an observation, although an output of its name and shape is made
 * for being fed back. */
static deft_status refuse_forgotten_state(und *u)
{
    const deft_graph *g = u->g;
    for (int32_t p = 0; p < g->n_input; p++) {
        const und_value *in = &u->value[g->input[p].value];
        const char *name = g->value[g->input[p].value].name;
        const int32_t told = u->told[p];
        if (u->pair[p] >= 0 || !in->e || !u->op[in->e[0].op]->need) continue;
        if (told < 0 && !und_sounds_like_state(name)) continue;
        char a[120], b[120];
        if (told >= 0)
            return deft_fail(
                u->err, DEFT_E_UNSUPPORTED,
                "state '%s' is not that of a GRU, an LSTM, a tanh network or a history",
                deft_escape(a, sizeof a, name, 1024));
        for (int32_t q = 0; q < g->n_output; q++) {
            const und_value *o = &u->value[g->output[q].value];
            if (q == u->action || o->t || !o->e || !same_shape(&in->shape, &o->shape)) continue;
            const int32_t node = o->e[0].op >= 0 ? u->op[o->e[0].op]->node : -1;
            return und_fail(u, node, DEFT_E_UNSUPPORTED,
                            "output '%s' seems to be the new state '%s', but it is not that of a "
                            "GRU, an LSTM, a tanh network or a history",
                            deft_escape(b, sizeof b, g->value[g->output[q].value].name, 1024),
                            deft_escape(a, sizeof a, name, 1024));
        }
    }
    return DEFT_OK;
}

deft_status und_find_needs(und *u)
{
    const deft_status s = sweep(u);
    return s == DEFT_OK ? refuse_forgotten_state(u) : s;
}
