/* understand_state.c - which graph inputs are state, and which output is the action. */
#include "graph/understand.h"

#include <stdio.h>
#include <string.h>

/* Outputs that are actions by their names, the likeliest first. */
static const char *const action_names[] = {"action",
                                           "actions",
                                           "deterministic_continuous_actions",
                                           "continuous_actions",
                                           "mean_actions",
                                           "mean_action",
                                           "mean",
                                           "mu",
                                           "deterministic_actions",
                                           "act",
                                           "policy",
                                           "output"};

static bool same_word(const char *a, const char *b)
{
    for (; *a && *b; a++, b++) {
        const int ca = *a >= 'A' && *a <= 'Z' ? *a - 'A' + 'a' : *a;
        if (ca != *b) return false;
    }
    return !*a && !*b;
}

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

/* The output that is the action whatever else it may look like, -1: none says so. */
static int32_t named_action(const und *u)
{
    const bool told = u->opt && u->opt->action_output;
    for (size_t i = 0; i < (told ? 1 : sizeof action_names / sizeof action_names[0]); i++)
        for (int32_t q = 0; q < u->g->n_output; q++) {
            const char *name = u->g->value[u->g->output[q].value].name;
            if (told ? strcmp(name, u->opt->action_output) == 0 : same_word(name, action_names[i]))
                return q;
        }
    return -1;
}

static const und_value *output(const und *u, int32_t q)
{
    return &u->value[u->g->output[q].value];
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

bool und_is_told(const und *u, int32_t q)
{
    for (int32_t p = 0; p < u->g->n_input; p++)
        if (u->told[p] == q) return true;
    return false;
}

/* What the metadata say rules out everything else. */
static bool may_pair(const und *u, int32_t p, int32_t q)
{
    return u->told[p] >= 0 ? u->told[p] == q : !und_is_told(u, q);
}

/* Does output q carry new[k] where input p holds old[k], for all k? */
static bool carries(const und *u, int32_t q, int32_t p, const und_ref *const state[2], int32_t n)
{
    const und_value *o = output(u, q);
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

static bool carries_state(const und *u, int32_t q)
{
    return is_paired(u, q) || und_is_told(u, q);
}

/* May output q still turn out to be the new state? Something else must be left for the action. */
static bool is_free(const und *u, int32_t q)
{
    if (q == u->action || is_paired(u, q)) return false;
    for (int32_t i = 0; i < u->g->n_output; i++)
        if (i != q && !output(u, i)->t && !is_paired(u, i)) return true;
    return false;
}

/* --- LSTM of primitives: h is known by the output that carries the new one ---------------------
 */

/* Position of r in output q, -1: not there. */
static int64_t find_in(const und *u, int32_t q, und_ref r)
{
    const und_value *o = output(u, q);
    for (int64_t k = 0; o->e && !o->t && k < o->shape.count; k++)
        if (und_same(o->e[k], r)) return k;
    return -1;
}

/* Old h, if output q carries the new one and input p the old. */
static bool assume_h(und *u, und_cell *c, int32_t q, int32_t p)
{
    const und_value *in = &u->value[u->g->input[p].value], *o = output(u, q);
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
    const und_value *in = &u->value[u->g->input[p].value], *o = output(u, q);
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
    const und_value *o = output(u, q);
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
    const und_value *in = &u->value[u->g->input[p].value], *o = output(u, q);
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
                                                   .e = output(u, q)->e,
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
    u->action = named_action(u);
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

/* --- the action ------------------------------------------------------------------------------ */

static const char *output_name(const und *u, int32_t q, char *buf, size_t n)
{
    return deft_escape(buf, n, u->g->value[u->g->output[q].value].name, 1024);
}

static deft_status action_by_name(und *u, const char *want)
{
    char name[160];
    for (int32_t q = 0; q < u->g->n_output; q++) {
        if (strcmp(u->g->value[u->g->output[q].value].name, want) != 0) continue;
        if (output(u, q)->t || carries_state(u, q))
            return deft_fail(u->err, DEFT_E_ARG, "output '%s' is %s, not an action",
                             output_name(u, q, name, sizeof name),
                             output(u, q)->t ? "constant" : "the new state");
        u->action = q;
        return DEFT_OK;
    }
    return deft_fail(u->err, DEFT_E_ARG, "the graph has no output '%s'",
                     deft_escape(name, sizeof name, want, 1024));
}

/* Does output q have the shape and the beginning of the name of an input that sounds like a state?
 * Then a state that nobody understood is likelier than an action. */
static bool resembles_state(const und *u, int32_t q)
{
    const char *const name = u->g->value[u->g->output[q].value].name;
    for (int32_t p = 0; p < u->g->n_input; p++) {
        const char *const old = u->g->value[u->g->input[p].value].name;
        const und_value *const in = &u->value[u->g->input[p].value], *const o = output(u, q);
        if (u->pair[p] >= 0 || !und_sounds_like_state(old) || strncmp(old, name, 2) != 0) continue;
        if (!o->e || (in->e && in->shape.count == o->shape.count)) return true;
    }
    return false;
}

static bool may_be_action(const und *u, int32_t q)
{
    return !output(u, q)->t && !carries_state(u, q) && !resembles_state(u, q);
}

/* Several outputs could be the action, and their names do not say which one. */
static deft_status ask_for_action(und *u)
{
    char list[320] = "", name[64];
    int32_t last = -1;
    for (int32_t q = 0; q < u->g->n_output; q++) {
        if (!may_be_action(u, q)) continue;
        const size_t at = strlen(list);
        const long long n = output(u, q)->e ? (long long)output(u, q)->shape.count : 0;
        (void)snprintf(list + at, sizeof list - at, "%s'%s' (%lld)", at ? ", " : "",
                       output_name(u, q, name, sizeof name), n);
        if (last < 0 || n > 1) last = q;
    }
    return deft_fail(u->err, DEFT_E_UNSUPPORTED,
                     "several outputs could be the action: %s; say which one, for instance "
                     "--action-output %s",
                     list, output_name(u, last, name, sizeof name));
}

/* The output whose name says so, or the only one. */
static deft_status guess_action(und *u)
{
    int32_t n = 0, first = -1;
    for (int32_t q = u->g->n_output - 1; q >= 0; q--) {
        if (!may_be_action(u, q)) continue;
        first = q;
        n++;
    }
    if (n == 0)
        return deft_fail(u->err, DEFT_E_UNSUPPORTED,
                         "no output of the graph is an action: all are constants or state");
    u->action = first;
    bool named = n == 1;
    for (size_t i = 0; i < sizeof action_names / sizeof action_names[0] && !named; i++)
        for (int32_t q = 0; q < u->g->n_output && !named; q++) {
            named = same_word(u->g->value[u->g->output[q].value].name, action_names[i]) &&
                    may_be_action(u, q);
            if (named) u->action = q;
        }
    if (!named) return ask_for_action(u);
    char name[160];
    if (n > 1 &&
        deft_model_assume(u->m, "output '%s' is the action (by its name, one of %d that could be)",
                          output_name(u, u->action, name, sizeof name), (int)n) != DEFT_OK)
        return und_no_memory(u);
    return DEFT_OK;
}

/* A constant among the outputs (a joint that is locked, a choice that is masked out) becomes a row
 * of zeros and its bias. */
static deft_status take_constants(und *u)
{
    int32_t computed = 0;
    while (computed < u->n_out && u->out[computed].op < 0) computed++;
    if (computed == u->n_out)
        return deft_fail(u->err, DEFT_E_UNSUPPORTED, "every action is constant (the first: %g)",
                         (double)u->out[0].c);
    for (int32_t k = 0; k < u->n_out; k++) {
        if (u->out[k].op >= 0) continue;
        und_ref *const in = DEFT_NEW(u->a, und_ref);
        float *const weight = DEFT_NEW(u->a, float), *const bias = DEFT_NEW(u->a, float);
        if (!in || !weight || !bias) return und_no_memory(u);
        *in = u->out[computed];
        *bias = u->out[k].c;
        const int32_t node = u->g->value[u->out_value[k]].producer;
        const int32_t at = und_add_dense(u, node, in, (const int32_t[]){1, 1}, weight);
        if (at < 0) return und_no_memory(u);
        u->op[at]->bias = bias;
        u->op[at]->value = -1;
        u->out[k] = (und_ref){und_unique(u), 0, 0};
        if (u->out[k].op < 0) return und_no_memory(u);
    }
    return DEFT_OK;
}

/* Elements of a graph value, from `first` on. */
typedef struct und_origin {
    int32_t value;
    int64_t first;
} und_origin;

/* n elements of a graph value are outputs; those of a whole softmax, if an argmax follows, are
 * what it is of: the same element is largest. */
static void take_elements(und *u, und_origin from, const und_ref *e, int32_t n, bool compared)
{
    const und_op *const head = e[0].op >= 0 ? u->op[e[0].op] : NULL;
    bool whole = compared && head && head->kind == UND_SOFTMAX && head->n == n;
    for (int32_t k = 0; k < n && whole; k++) whole = e[k].op == e[0].op && e[k].at == k;
    if (whole) {
        from = (und_origin){u->g->node[head->node].in[0], 0};
        e = head->in;
    }
    for (int32_t k = 0; k < n; k++) {
        u->out[u->n_out] = e[k];
        u->out_value[u->n_out] = from.value;
        u->out_element[u->n_out++] = from.first + k;
    }
}

static const und_op *argmax_of(const und *u, und_ref r)
{
    const und_op *const op = r.op >= 0 ? u->op[r.op] : NULL;
    return op && op->kind == UND_ARGMAX ? op : NULL;
}

/* Every element an argmax: how many outputs they choose from; 0 where they are not. */
static int64_t count_choices(const und *u, const und_ref *e, int64_t n)
{
    int64_t all = 0;
    for (int64_t k = 0; k < n; k++) {
        const und_op *const head = argmax_of(u, e[k]);
        if (!head) return 0;
        all += head->n_in;
    }
    return all;
}

/* Elements of the action before its argmax, or each one's. */
static deft_status take_outputs(und *u)
{
    const und_value *o = output(u, u->action);
    char name[160];
    if (!o->e && o->bad >= 0) return und_fail(u, o->bad, DEFT_E_UNSUPPORTED, "%s", o->why);
    if (!o->e || o->shape.count < 1)
        return deft_fail(u->err, DEFT_E_UNSUPPORTED, "output '%s' cannot be understood: %s",
                         output_name(u, u->action, name, sizeof name), o->why ? o->why : "empty");
    const int64_t n = o->shape.count, chosen = count_choices(u, o->e, n);
    const int64_t room = chosen ? chosen : n;
    u->discrete = chosen || (u->opt && u->opt->discrete);
    u->n_head = chosen ? (int32_t)n : 1;
    u->head = DEFT_NEW_ARRAY(u->a, int32_t, u->n_head);
    u->out = DEFT_NEW_ARRAY(u->a, und_ref, room);
    u->out_value = DEFT_NEW_ARRAY(u->a, int32_t, room);
    u->out_element = DEFT_NEW_ARRAY(u->a, int64_t, room);
    if (!u->head || !u->out || !u->out_value || !u->out_element) return und_no_memory(u);
    if (!chosen)
        take_elements(u, (und_origin){u->g->output[u->action].value, 0}, o->e, (int32_t)n,
                      u->discrete);
    for (int64_t k = 0; chosen && k < n; k++) {
        const und_op *const head = argmax_of(u, o->e[k]);
        u->head[k] = head->n_in;
        const und_origin from = {u->g->node[head->node].in[0], head->first};
        take_elements(u, from, head->in, head->n_in, true);
    }
    return take_constants(u);
}

deft_status und_choose_action(und *u)
{
    const bool named = u->opt && u->opt->action_output;
    const deft_status s = named ? action_by_name(u, u->opt->action_output) : guess_action(u);
    return s == DEFT_OK ? take_outputs(u) : s;
}
