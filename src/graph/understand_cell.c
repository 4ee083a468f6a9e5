/* understand_cell.c - GRU and LSTM cells among sums and products.
 *
 * A new state is multiplied out into monomials of at most two factors, whatever form it was written
 * in. GRU: n + z h - z n (or, with the gate the other way round, h + z n - z h); LSTM: c' = f c +
 * i g, h' = o tanh(c'). */
#include "graph/understand.h"

#include <string.h>

enum { MAX_TERMS = 12, MAX_STEPS = 64 };

typedef struct monomial {
    double c;
    und_ref x[2];
    int n; // factors
} monomial;

typedef struct polynomial {
    monomial m[MAX_TERMS];
    int n;
} polynomial;

static bool push(polynomial *p, monomial m)
{
    if (p->n == MAX_TERMS) return false;
    p->m[p->n++] = m;
    return true;
}

/* Replaces factor f of m by what it is made of; false: too many factors or terms. */
static bool split(polynomial *p, monomial m, int f, und_view v)
{
    monomial a = m, b = m;
    a.x[f] = v.x;
    switch (v.kind) {
    case UND_V_CONST:
        m.c *= (double)v.b;
        m.x[f] = m.x[m.n - 1];
        m.n--;
        return push(p, m);
    case UND_V_AFFINE:
        a.c *= (double)v.a;
        b.c *= (double)v.b;
        b.x[f] = b.x[b.n - 1];
        b.n--;
        return push(p, a) && (v.b == 0 || push(p, b));
    case UND_V_SUM:
        b.x[f] = v.y;
        b.c *= (double)v.a;
        return push(p, a) && push(p, b);
    case UND_V_PRODUCT:
        if (m.n == 2) return false;
        a.x[1] = v.y;
        a.n = 2;
        return push(p, a);
    default:
        return false;
    }
}

static bool same_monomial(const monomial *a, const monomial *b)
{
    if (a->n != b->n) return false;
    if (a->n == 0) return true;
    if (a->n == 1) return und_same(a->x[0], b->x[0]);
    return (und_same(a->x[0], b->x[0]) && und_same(a->x[1], b->x[1])) ||
           (und_same(a->x[0], b->x[1]) && und_same(a->x[1], b->x[0]));
}

static bool multiply_out(const und *u, und_ref root, polynomial *done)
{
    polynomial todo = {.n = 1, .m = {{1, {root, root}, 1}}};
    done->n = 0;
    for (int step = 0; todo.n > 0; step++) {
        if (step == MAX_STEPS) return false;
        const monomial m = todo.m[--todo.n];
        bool whole = true;
        for (int f = 0; f < m.n && whole; f++) {
            const und_view v = und_look(u, m.x[f]);
            if (v.kind == UND_V_SOLID || v.kind == UND_V_ACT) continue;
            if (!split(&todo, m, f, v)) return false;
            whole = false;
        }
        if (!whole) continue;
        int i = 0;
        while (i < done->n && !same_monomial(&done->m[i], &m)) i++;
        if (i < done->n)
            done->m[i].c += m.c;
        else if (!push(done, m))
            return false;
    }
    int kept = 0;
    for (int i = 0; i < done->n; i++)
        if (done->m[i].c != 0) done->m[kept++] = done->m[i];
    done->n = kept;
    return true;
}

static bool is_state(const und *u, und_ref r)
{
    return r.op >= 0 && u->op[r.op]->kind == UND_INPUT;
}

/* One element of a GRU's new state. */
typedef struct gru_element {
    und_ref z, n, h; // z and n before their functions
    bool flip;
} gru_element;

static bool gru_shape(const und *u, const polynomial *p, gru_element *e)
{
    const monomial *one = NULL, *plus = NULL, *minus = NULL;
    if (p->n != 3) return false;
    for (int i = 0; i < 3; i++) {
        const monomial *m = &p->m[i];
        if (m->n == 1 && m->c == 1) one = m;
        if (m->n == 2 && m->c == 1) plus = m;
        if (m->n == 2 && m->c == -1) minus = m;
    }
    if (!one || !plus || !minus) return false;
    for (int i = 0; i < 4; i++) { // which factor is the gate
        const und_ref z = plus->x[i & 1], b = plus->x[1 - (i & 1)];
        const und_ref z2 = minus->x[i >> 1], a = minus->x[1 - (i >> 1)];
        if (!und_same(z, z2) || !und_same(a, one->x[0])) continue;
        if (!und_is_act(u, z, DEFT_ACT_SIGMOID, &e->z)) continue;
        e->flip = is_state(u, a);
        e->h = e->flip ? a : b;
        if (is_state(u, e->h) && und_is_act(u, e->flip ? b : a, DEFT_ACT_TANH, &e->n)) return true;
    }
    return false;
}

/* f c + i g */
static bool lstm_shape(const und *u, const polynomial *p, und_ref gate[3], und_ref *c)
{
    if (p->n != 2 || p->m[0].n != 2 || p->m[1].n != 2 || p->m[0].c != 1 || p->m[1].c != 1)
        return false;
    for (int i = 0; i < 8; i++) {
        const monomial *fc = &p->m[i & 1], *ig = &p->m[1 - (i & 1)];
        const int f = i >> 1 & 1, in = i >> 2 & 1;
        if (!is_state(u, fc->x[1 - f])) continue;
        if (!und_is_act(u, fc->x[f], DEFT_ACT_SIGMOID, &gate[1]) ||
            !und_is_act(u, ig->x[in], DEFT_ACT_SIGMOID, &gate[0]) ||
            !und_is_act(u, ig->x[1 - in], DEFT_ACT_TANH, &gate[2]))
            continue;
        *c = fc->x[1 - f];
        return true;
    }
    return false;
}

und_cell *und_new_cell(und *u, int32_t k)
{
    const int32_t n = u->op[k]->n;
    und_cell *c = DEFT_NEW(u->a, und_cell);
    if (!c) return NULL;
    *c = (und_cell){.n = n, .op = k, .h_port = -1};
    c->h = DEFT_NEW_ARRAY(u->a, und_ref, n);
    c->c = DEFT_NEW_ARRAY(u->a, und_ref, n);
    c->h_new = DEFT_NEW_ARRAY(u->a, und_ref, n);
    c->c_new = DEFT_NEW_ARRAY(u->a, und_ref, n);
    if (!c->h || !c->c || !c->h_new || !c->c_new) return NULL;
    for (int g = 0; g < 4; g++) {
        c->gate[g] = DEFT_NEW_ARRAY(u->a, und_ref, n);
        if (!c->gate[g]) return NULL;
    }
    return c;
}

deft_status und_add_cell(und *u, und_cell *c)
{
    if (u->n_cell == u->cap_cell) {
        const int32_t cap = u->cap_cell ? 2 * u->cap_cell : 16;
        und_cell **grown = DEFT_NEW_ARRAY(u->a, und_cell *, cap);
        if (!grown) return und_no_memory(u);
        if (u->n_cell)
            memcpy((void *)grown, (void *)u->cell, (size_t)u->n_cell * sizeof(und_cell *));
        u->cell = grown;
        u->cap_cell = cap;
    }
    u->cell[u->n_cell++] = c;
    return DEFT_OK;
}

static deft_status try_gru(und *u, int32_t k, const polynomial *first)
{
    gru_element e, g;
    if (!gru_shape(u, first, &e)) return DEFT_OK;
    und_cell *c = und_new_cell(u, k);
    if (!c) return und_no_memory(u);
    c->flip_z = e.flip;
    for (int32_t j = 0; j < c->n; j++) {
        polynomial p;
        c->h_new[j] = (und_ref){k, j, 0};
        if (!multiply_out(u, c->h_new[j], &p) || !gru_shape(u, &p, &g) || g.flip != e.flip)
            return DEFT_OK;
        c->gate[1][j] = g.z;
        c->gate[2][j] = g.n;
        c->h[j] = g.h;
    }
    u->op[k]->cell = c;
    return und_add_cell(u, c);
}

/* c': kept with its op until h' is found. */
static deft_status try_lstm_c(und *u, int32_t k, const polynomial *first)
{
    und_ref gate[3], old;
    if (!lstm_shape(u, first, gate, &old)) return DEFT_OK;
    und_cell *c = und_new_cell(u, k);
    if (!c) return und_no_memory(u);
    c->lstm = true;
    c->op = -1;
    for (int32_t j = 0; j < c->n; j++) {
        polynomial p;
        c->c_new[j] = (und_ref){k, j, 0};
        if (!multiply_out(u, c->c_new[j], &p) || !lstm_shape(u, &p, gate, &c->c[j])) return DEFT_OK;
        for (int g = 0; g < 3; g++) c->gate[g][j] = gate[g];
    }
    u->op[k]->cell = c;
    return DEFT_OK;
}

/* o * tanh(c'): which cell's c' it is. */
static und_cell *lstm_h(const und *u, und_ref r, und_ref *o, und_ref *c_new)
{
    const und_view v = und_look(u, r);
    if (v.kind != UND_V_PRODUCT) return NULL;
    for (int i = 0; i < 2; i++) {
        if (!und_is_act(u, i ? v.y : v.x, DEFT_ACT_SIGMOID, o) ||
            !und_is_act(u, i ? v.x : v.y, DEFT_ACT_TANH, c_new) || c_new->op < 0)
            continue;
        und_cell *c = u->op[c_new->op]->cell;
        if (c && c->lstm && !c->native) return c;
    }
    return NULL;
}

static deft_status try_lstm_h(und *u, int32_t k)
{
    und_ref o, c_new;
    und_cell *c = lstm_h(u, (und_ref){k, 0, 0}, &o, &c_new);
    if (!c || c->op >= 0 || c->n != u->op[k]->n) return DEFT_OK;
    for (int32_t j = 0; j < c->n; j++) {
        c->h_new[j] = (und_ref){k, j, 0};
        if (lstm_h(u, c->h_new[j], &c->gate[3][j], &c_new) != c || !und_same(c_new, c->c_new[j]))
            return DEFT_OK;
    }
    c->op = k;
    u->op[k]->cell = c;
    return und_add_cell(u, c);
}

deft_status und_find_cells(und *u)
{
    for (int32_t k = 0; k < u->n_op; k++) {
        const und_op *op = u->op[k];
        deft_status s = DEFT_OK;
        polynomial p;
        if (op->kind == UND_CELL) {
            s = und_add_cell(u, op->cell);
        } else if (op->kind == UND_MAP && !op->norm && !op->alt &&
                   (op->fn == UND_ADD || op->fn == UND_SUB)) {
            if (!multiply_out(u, (und_ref){k, 0, 0}, &p)) continue;
            s = try_gru(u, k, &p);
            if (s == DEFT_OK && !op->cell) s = try_lstm_c(u, k, &p);
        } else if (op->kind == UND_MAP && !op->norm && op->fn == UND_MUL) {
            s = try_lstm_h(u, k);
        }
        if (s != DEFT_OK) return s;
    }
    return DEFT_OK;
}
