/* understand_action.c - which output of the graph is the action, and what it chooses from. */
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

int32_t und_named_action(const und *u)
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

static const char *output_name(const und *u, int32_t q, char *buf, size_t n)
{
    return deft_escape(buf, n, u->g->value[u->g->output[q].value].name, 1024);
}

static deft_status action_by_name(und *u, const char *want)
{
    char name[160];
    for (int32_t q = 0; q < u->g->n_output; q++) {
        if (strcmp(u->g->value[u->g->output[q].value].name, want) != 0) continue;
        if (und_output(u, q)->t || und_carries_state(u, q))
            return deft_fail(u->err, DEFT_E_ARG, "output '%s' is %s, not an action",
                             output_name(u, q, name, sizeof name),
                             und_output(u, q)->t ? "constant" : "the new state");
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
        const und_value *const in = &u->value[u->g->input[p].value], *const o = und_output(u, q);
        if (u->pair[p] >= 0 || !und_sounds_like_state(old) || strncmp(old, name, 2) != 0) continue;
        if (!o->e || (in->e && in->shape.count == o->shape.count)) return true;
    }
    return false;
}

static bool may_be_action(const und *u, int32_t q)
{
    return !und_output(u, q)->t && !und_carries_state(u, q) && !resembles_state(u, q);
}

/* Several outputs could be the action, and their names do not say which one. */
static deft_status ask_for_action(und *u)
{
    char list[320] = "", name[64];
    int32_t last = -1;
    for (int32_t q = 0; q < u->g->n_output; q++) {
        if (!may_be_action(u, q)) continue;
        const size_t at = strlen(list);
        const long long n = und_output(u, q)->e ? (long long)und_output(u, q)->shape.count : 0;
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
    const und_value *o = und_output(u, u->action);
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
