/* understand_state.c - which graph inputs are state, and which outputs are their new values. */
#include "graph/understand.h"

#include <string.h>

bool und_sounds_like_state(const char *name)
{
    static const char *const part[] = {"hidden", "state_in", "memory", "recurrent", "rnn", "gru",
                                       "lstm",   "carry",    "hx",     "cx",        "_in"};
    if ((name[0] == 'h' || name[0] == 'c') &&
        (!name[1] || name[1] == '_' || name[1] == '.' || (name[1] >= '0' && name[1] <= '9')))
        return true;
    for (size_t i = 0; i < sizeof part / sizeof part[0]; i++)
        if (strstr(name, part[i])) return true;
    return false;
}

static int32_t port_of(const und *u, und_ref r)
{
    return r.op >= 0 && u->op[r.op]->kind == UND_INPUT ? u->op[r.op]->port : -1;
}

static int64_t port_count(const und *u, int32_t p)
{
    return u->value[u->g->input[p].value].shape.count;
}

/* Readers of programs know which output renews a state: "state:INPUT" OUTPUT in the metadata. */
static deft_status read_told(und *u)
{
    static const char prefix[] = "state:";
    const deft_graph *const g = u->g;
    u->told = DEFT_NEW_ARRAY(u->a, int32_t, g->n_input);
    if (!u->told) return und_no_memory(u);
    for (int32_t p = 0; p < g->n_input; p++) {
        u->told[p] = -1;
        for (int32_t i = 0; i < g->n_meta; i++) {
            const char *const key = g->meta[i].key;
            if (strncmp(key, prefix, sizeof prefix - 1) != 0 ||
                strcmp(key + sizeof prefix - 1, g->value[g->input[p].value].name) != 0)
                continue;
            for (int32_t q = 0; q < g->n_output; q++)
                if (strcmp(g->value[g->output[q].value].name, g->meta[i].value) == 0)
                    u->told[p] = q;
        }
    }
    return DEFT_OK;
}

static bool is_told(const und *u, int32_t q)
{
    for (int32_t p = 0; p < u->g->n_input; p++)
        if (u->told[p] == q) return true;
    return false;
}

/* What the metadata say rules out everything else. */
static bool may_pair(const und *u, int32_t p, int32_t q)
{
    return u->told[p] >= 0 ? u->told[p] == q : !is_told(u, q);
}

/* Does output q carry new[k] where input p holds old[k], for all k? */
static bool carries(const und *u, int32_t q, int32_t p, const und_ref *const state[2], int32_t n)
{
    const und_value *o = und_output(u, q);
    if (!o->e || o->t || q == u->action || o->shape.count != port_count(u, p)) return false;
    if (!may_pair(u, p, q)) return false;
    for (int32_t k = 0; k < n; k++)
        if (port_of(u, state[0][k]) != p || !und_same(o->e[state[0][k].at], state[1][k]))
            return false;
    return true;
}

/* The output that carries the new state; sets u->pair. */
static bool pair_up(und *u, const und_ref *old, const und_ref *new_state, int32_t n)
{
    const und_ref *const state[2] = {old, new_state};
    const int32_t p = port_of(u, old[0]);
    if (p < 0) return false;
    if (u->pair[p] >= 0) return carries(u, u->pair[p], p, state, n);
    for (int32_t q = 0; q < u->g->n_output; q++) {
        if (!carries(u, q, p, state, n)) continue;
        u->pair[p] = q;
        return true;
    }
    return false;
}

static bool is_paired(const und *u, int32_t q)
{
    for (int32_t p = 0; p < u->g->n_input; p++)
        if (u->pair[p] == q) return true;
    return false;
}

bool und_carries_state(const und *u, int32_t q)
{
    return is_paired(u, q) || is_told(u, q);
}

/* May output q still turn out to be the new state? Something else must be left for the action. */
static bool is_free(const und *u, int32_t q)
{
    if (q == u->action || is_paired(u, q)) return false;
    for (int32_t i = 0; i < u->g->n_output; i++)
        if (i != q && !und_output(u, i)->t && !is_paired(u, i)) return true;
    return false;
}

/* --- LSTM of primitives: h is known by the output that carries the new one ---------------------
 */

/* Position of r in output q, -1: not there. */
static int64_t find_in(const und *u, int32_t q, und_ref r)
{
    const und_value *o = und_output(u, q);
    for (int64_t k = 0; o->e && !o->t && k < o->shape.count; k++)
        if (und_same(o->e[k], r)) return k;
    return -1;
}

/* Old h, if output q carries the new one and input p the old. */
static bool assume_h(und *u, und_cell *c, int32_t q, int32_t p)
{
    const und_value *in = &u->value[u->g->input[p].value], *o = und_output(u, q);
    if (!in->e || !o->e || in->shape.count != o->shape.count) return false;
    int64_t at = find_in(u, q, c->h_new[0]);
    if (at < 0) return false;
    for (int32_t k = 0; k < c->n; k++, at++) {
        if (at >= o->shape.count || !und_same(o->e[at], c->h_new[k])) return false;
        c->h[k] = in->e[at];
    }
    return und_extract_gates(u, c) == DEFT_OK;
}

static bool reads_state(const und_cell *c)
{
    const int32_t gates = c->lstm ? 4 : 3;
    for (int32_t k = 0; k < gates * c->n * c->n; k++)
        if (c->weight_h[k] != 0) return true;
    return false;
}

/* How much input p looks like the old value of output q: shape first, then what their names share
 * at both ends. -1: it cannot be. */
static int32_t likeness(const und *u, int32_t p, int32_t q)
{
    const und_value *in = &u->value[u->g->input[p].value], *o = und_output(u, q);
    if (!in->e || !o->e || o->t || in->shape.count != o->shape.count) return -1;
    if ((u->pair[p] >= 0 && u->pair[p] != q) || !may_pair(u, p, q)) return -1;
    const char *a = u->g->value[u->g->input[p].value].name;
    const char *b = u->g->value[u->g->output[q].value].name;
    const size_t na = strnlen(a, 64), nb = strnlen(b, 64), n = na < nb ? na : nb;
    int32_t front = 0, back = 0;
    while ((size_t)front < n && a[front] == b[front]) front++;
    while ((size_t)back < n && a[na - 1 - (size_t)back] == b[nb - 1 - (size_t)back]) back++;
    const bool shape = in->shape.rank == o->shape.rank &&
                       memcmp(in->shape.dim, o->shape.dim, sizeof in->shape.dim) == 0;
    return (u->pair[p] == q ? 1000 : 0) + (shape ? 200 : 0) + front + back;
}

/* The likeliest input below `limit` (that input and what is likelier were tried); of equals the
 * last, since observations come first. An observation must be left. */
static int32_t likeliest(const und *u, int32_t q, int32_t limit, int32_t last)
{
    int32_t best = -1, best_score = -1, free_ports = 0;
    for (int32_t p = 0; p < u->g->n_input; p++) {
        free_ports += u->pair[p] < 0 && u->value[u->g->input[p].value].e;
        const int32_t score = likeness(u, p, q);
        if (score < 0 || score > limit || (score == limit && p >= last)) continue;
        if (score >= best_score) {
            best = p;
            best_score = score;
        }
    }
    return best >= 0 && u->pair[best] < 0 && free_ports < 2 ? -1 : best;
}

/* Calls attempt for inputs that may be the old value of output q, the likeliest first, until one
 * fits. Returns it, -1: none. */
typedef bool attempt(und *u, und_cell *c, int32_t q, int32_t p);
static int32_t find_old(und *u, und_cell *c, int32_t q, attempt *fits)
{
    int32_t limit = INT32_MAX, last = INT32_MAX;
    for (int32_t p; (p = likeliest(u, q, limit, last)) >= 0;) {
        if (fits(u, c, q, p) && reads_state(c)) return p;
        limit = likeness(u, p, q);
        last = p;
    }
    return -1;
}

/* The new state can be told from the old one's place alone if only one input has its size. */
static deft_status note_choice(und *u, int32_t p, int32_t q)
{
    int32_t n = 0;
    for (int32_t i = 0; i < u->g->n_input; i++) n += u->pair[i] < 0 && likeness(u, i, q) >= 0;
    u->pair[p] = q;
    if (n < 2 || u->told[p] == q) return DEFT_OK;
    char a[160], b[160];
    (void)deft_escape(a, sizeof a, u->g->value[u->g->input[p].value].name, 1024);
    (void)deft_escape(b, sizeof b, u->g->value[u->g->output[q].value].name, 1024);
    return deft_model_assume(u->m, "output '%s' is the new value of input '%s', by name and shape",
                             b, a) == DEFT_OK
               ? DEFT_OK
               : und_no_memory(u);
}

static deft_status find_lstm_h(und *u, und_cell *c)
{
    for (int32_t q = 0; q < u->g->n_output; q++) {
        if (q == u->action || find_in(u, q, c->h_new[0]) < 0) continue;
        if (!is_paired(u, q) && !is_free(u, q)) continue;
        const int32_t p = find_old(u, c, q, assume_h);
        if (p < 0) continue;
        c->paired = true;
        return u->pair[p] == q ? DEFT_OK : note_choice(u, p, q);
    }
    return DEFT_OK;
}

static deft_status pair_cell(und *u, und_cell *c)
{
    if (c->native || !c->lstm) {
        c->paired = pair_up(u, c->h, c->h_new, c->n);
        if (c->paired && c->lstm) c->paired = pair_up(u, c->c, c->c_new, c->n);
    }
    if (!c->native && c->lstm && pair_up(u, c->c, c->c_new, c->n)) {
        const deft_status s = find_lstm_h(u, c);
        if (s != DEFT_OK) return s;
    }
    if (!c->native && !c->lstm && c->paired) {
        const deft_status s = und_extract_gates(u, c);
        if (s == DEFT_E_SPACE) return s;
        c->paired = s == DEFT_OK;
    }
    if (c->paired) c->h_port = port_of(u, c->h[0]);
    return DEFT_OK;
}

/* --- Elman networks ------------------------------------------------------------------------------
 */

static bool assume_elman(und *u, und_cell *c, int32_t q, int32_t p)
{
    // any layer that reads some input could be one: the name must say so
    if (u->told[p] != q && !und_sounds_like_state(u->g->value[u->g->input[p].value].name))
        return false;
    memcpy(c->h, u->value[u->g->input[p].value].e, (size_t)c->n * sizeof *c->h);
    return und_extract_gates(u, c) == DEFT_OK;
}

/* Output q is tanh of sums that read an input of its size: h' = tanh(W x + U h + b). */
static deft_status try_elman(und *u, int32_t q)
{
    const und_value *o = und_output(u, q);
    if (!o->e || o->t || o->shape.count < 1 || o->e[0].op < 0) return DEFT_OK;
    const int32_t n = (int32_t)o->shape.count, index = o->e[0].op;
    if (u->op[index]->n != n || u->op[index]->cell || likeliest(u, q, INT32_MAX, INT32_MAX) < 0)
        return DEFT_OK;
    und_cell *c = und_new_cell(u, index);
    if (!c) return und_no_memory(u);
    c->plain = true;
    for (int32_t k = 0; k < n; k++) {
        c->h_new[k] = (und_ref){index, k, 0};
        if (!und_same(o->e[k], c->h_new[k]) ||
            !und_is_act(u, o->e[k], DEFT_ACT_TANH, &c->gate[2][k]))
            return DEFT_OK;
    }
    const int32_t p = find_old(u, c, q, assume_elman);
    if (p < 0) return DEFT_OK;
    c->paired = true;
    c->h_port = p;
    u->op[index]->cell = c;
    const deft_status s = note_choice(u, p, q);
    return s == DEFT_OK ? und_add_cell(u, c) : s;
}

static deft_status find_elman(und *u)
{
    deft_status s = DEFT_OK;
    for (int32_t q = 0; s == DEFT_OK && q < u->g->n_output; q++)
        if (is_free(u, q)) s = try_elman(u, q);
    return s;
}

/* --- shift registers ---------------------------------------------------------------------------
 */

/* By how many elements output q is input p moved; 0: not at all. */
static int32_t shift_of(const und *u, int32_t p, int32_t q, bool *newest_first)
{
    const und_value *in = &u->value[u->g->input[p].value], *o = und_output(u, q);
    if (!in->e || !o->e || o->t || in->shape.count != o->shape.count) return 0;
    const int32_t n = (int32_t)in->shape.count;
    for (int32_t front = 0; front < 2; front++) {
        // oldest first: the new entry comes last
        const und_ref edge = o->e[front ? n - 1 : 0];
        if (port_of(u, edge) != p) continue;
        const int32_t s = front ? n - 1 - edge.at : edge.at;
        if (s < 1 || s >= n || n % s) continue;
        bool shifted = true;
        for (int32_t k = 0; k < n - s && shifted; k++)
            shifted = und_same(o->e[front ? k + s : k], in->e[front ? k : k + s]);
        for (int32_t k = 0; k < s && shifted; k++)
            shifted = port_of(u, o->e[front ? k : n - s + k]) != p;
        *newest_first = front;
        if (shifted) return s;
    }
    return 0;
}

static deft_status try_history(und *u, int32_t q)
{
    int32_t limit = INT32_MAX, last = INT32_MAX;
    bool front = false;
    for (int32_t p; (p = likeliest(u, q, limit, last)) >= 0;) {
        const int32_t s = shift_of(u, p, q, &front);
        limit = likeness(u, p, q);
        last = p;
        if (s < 1) continue;
        u->history[u->n_history++] = (und_history){.port = p,
                                                   .output = q,
                                                   .n = (int32_t)port_count(u, p),
                                                   .n_in = s,
                                                   .newest_first = front,
                                                   .e = und_output(u, q)->e,
                                                   .draft = -1};
        return note_choice(u, p, q);
    }
    return DEFT_OK;
}

static deft_status find_histories(und *u)
{
    u->history = DEFT_NEW_ARRAY(u->a, und_history, u->g->n_input);
    if (!u->history) return und_no_memory(u);
    deft_status s = DEFT_OK;
    for (int32_t q = 0; s == DEFT_OK && q < u->g->n_output; q++)
        if (is_free(u, q)) s = try_history(u, q);
    return s;
}

static deft_status note_unpaired(und *u)
{
    for (int32_t i = 0; i < u->n_cell; i++) {
        const und_cell *c = u->cell[i];
        const int32_t p = c->paired || !c->h ? -1 : port_of(u, c->h[0]);
        if (p < 0 || u->pair[p] >= 0) continue;
        char name[160];
        const deft_status s = deft_model_assume(
            u->m,
            "input '%s' looks like the state of a recurrent cell, but no output carries its new "
            "value: it is taken for an observation",
            deft_escape(name, sizeof name, u->g->value[u->g->input[p].value].name, 1024));
        if (s != DEFT_OK) return und_no_memory(u);
    }
    return DEFT_OK;
}

deft_status und_find_state(und *u)
{
    const deft_status told = read_told(u);
    if (told != DEFT_OK) return told;
    u->action = und_named_action(u);
    u->pair = DEFT_NEW_ARRAY(u->a, int32_t, u->g->n_input);
    if (!u->pair) return und_no_memory(u);
    for (int32_t p = 0; p < u->g->n_input; p++) u->pair[p] = -1;
    for (int pass = 0; pass < 2; pass++) // LSTM of primitives last: the others say what is taken
        for (int32_t i = 0; i < u->n_cell; i++) {
            const bool last = u->cell[i]->lstm && !u->cell[i]->native;
            const deft_status s = last == (pass == 1) ? pair_cell(u, u->cell[i]) : DEFT_OK;
            if (s != DEFT_OK) return s;
        }
    deft_status s = find_histories(u);
    if (s == DEFT_OK) s = find_elman(u);
    return s == DEFT_OK ? note_unpaired(u) : s;
}
