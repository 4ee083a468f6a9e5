/* settle_resets.c - inputs that reset a state ("done", "episode_start"): h (1 - done), or
 * where(done, 0, h). deft_policy_reset does what they do, so they are set to the value with which
 * the state is kept. Found by running the graph, whatever operators it does it with. */
#include "graph/settle.h"

#include "graph/op.h"

#include <string.h>

enum { TRIALS = 3, SEED = 7, FEW = 5 };

typedef struct resetter {
    deft_graph *g;
    deft_arena *arena;
    settle_probe p;
    deft_rng rng;
    int32_t port;
    bool *erased; // [n_input] inputs that no longer matter while it resets
    deft_error *err;
} resetter;

static deft_status outputs(resetter *r, double value, double **y, int64_t *n)
{
    op_set_f64(&r->p.in[r->port], 0, value);
    const deft_status s = settle_run(&r->p, r->err);
    if (s != DEFT_OK) return s;
    *y = settle_outputs(&r->p, r->arena, n);
    return *y ? DEFT_OK : deft_fail(r->err, DEFT_E_SPACE, "no memory");
}

static void fill_others(resetter *r)
{
    for (int32_t i = 0; i < r->g->n_input; i++)
        if (i != r->port) settle_fill(&r->p.in[i], &r->rng);
}

/* Does input i change the outputs while the port has this value? */
static deft_status matters(resetter *r, int32_t i, double value, bool *out)
{
    *out = false;
    for (int t = 0; t < TRIALS && !*out; t++) {
        double *before, *after;
        int64_t n;
        fill_others(r);
        deft_status s = outputs(r, value, &before, &n);
        settle_fill(&r->p.in[i], &r->rng);
        if (s == DEFT_OK) s = outputs(r, value, &after, &n);
        if (s != DEFT_OK) return s;
        *out = !settle_same(before, after, n);
    }
    return DEFT_OK;
}

/* With `reset` the graph does what it does with `keep` and a state of zeros, and there is one. */
static deft_status resets(resetter *r, double keep, bool *out)
{
    const double reset = 1 - keep;
    bool any = false;
    *out = false;
    for (int32_t i = 0; i < r->g->n_input; i++) {
        bool kept = false, left = false;
        r->erased[i] = false;
        if (i == r->port) continue;
        deft_status s = matters(r, i, keep, &kept);
        if (s == DEFT_OK && kept) s = matters(r, i, reset, &left);
        if (s != DEFT_OK) return s;
        r->erased[i] = kept && !left;
        any = any || r->erased[i];
    }
    for (int t = 0; t < TRIALS && any; t++) {
        double *with, *without;
        int64_t n;
        fill_others(r);
        deft_status s = outputs(r, reset, &with, &n);
        for (int32_t i = 0; i < r->g->n_input; i++)
            for (int64_t k = 0; r->erased[i] && k < r->p.in[i].count; k++)
                op_set_f64(&r->p.in[i], k, 0);
        if (s == DEFT_OK) s = outputs(r, keep, &without, &n);
        if (s != DEFT_OK) return s;
        any = settle_same(with, without, n);
    }
    *out = any;
    return DEFT_OK;
}

/* Inputs are looked at from the first on, so that those that leave come in their order. */
static bool remember(deft_graph *g, int32_t port, float value)
{
    deft_reset *const list = DEFT_NEW_ARRAY(g->arena, deft_reset, g->n_reset + 1);
    if (!list) return false;
    if (g->n_reset) memcpy(list, g->reset, (size_t)g->n_reset * sizeof *list);
    list[g->n_reset++] = (deft_reset){port, value};
    g->reset = list;
    return true;
}

/* The port becomes a constant. */
static deft_status fix(resetter *r, double keep)
{
    deft_graph *const g = r->g;
    deft_value *const v = &g->value[g->input[r->port].value];
    const deft_tensor *const from = &r->p.in[r->port];
    deft_tensor *const t = DEFT_NEW(g->arena, deft_tensor);
    if (!t || deft_tensor_init(t, from->dtype, from->rank, from->dim, g->arena) != DEFT_OK)
        return deft_fail(r->err, DEFT_E_SPACE, "no memory");
    op_set_f64(t, 0, keep);
    if (!remember(g, r->port, (float)(1 - keep)))
        return deft_fail(r->err, DEFT_E_SPACE, "no memory");
    v->constant = t;
    for (int32_t i = r->port; i + 1 < g->n_input; i++) g->input[i] = g->input[i + 1];
    g->n_input--;
    char name[160];
    return settle_note(g,
                       "input '%s' resets the state with %g: it is left out, deft_policy_reset "
                       "does that",
                       deft_escape(name, sizeof name, v->name, 1024), 1 - keep) == DEFT_OK
               ? DEFT_OK
               : deft_fail(r->err, DEFT_E_SPACE, "no memory");
}

/* One number that could be a flag; among many inputs its name has to say so. */
static bool candidate(const resetter *r, int32_t i)
{
    static const char *const part[] = {"done", "start", "reset", "mask", "first", "begin", "term"};
    if (r->g->n_input < 3 || r->p.in[i].count != 1) return false;
    bool named = r->p.in[i].dtype == DEFT_BOOL || r->g->n_input <= FEW;
    for (size_t k = 0; k < sizeof part / sizeof part[0]; k++)
        named = named || strstr(r->g->value[r->g->input[i].value].name, part[k]);
    return named;
}

/* Looks at every input; one that resets leaves, and the others are looked at again. */
static deft_status look(resetter *r, bool *found)
{
    *found = false;
    for (r->port = 0; r->port < r->g->n_input; r->port++) {
        if (!candidate(r, r->port)) continue;
        for (int keep = 0; keep < 2; keep++) {
            const deft_status s = resets(r, keep, found);
            if (s != DEFT_OK) return s;
            if (*found) return fix(r, keep);
        }
    }
    return DEFT_OK;
}

deft_status settle_resets(deft_graph *g, int64_t *left, deft_error *err)
{
    bool found = g->n_input > 2;
    while (found) {
        deft_error mine = {DEFT_OK, ""};
        resetter r = {.g = g, .arena = deft_arena_create((size_t)64 << 20), .err = &mine};
        deft_rng_seed(&r.rng, SEED);
        deft_status s = r.arena ? settle_probe_init(&r.p, g, left, &mine) : DEFT_E_SPACE;
        if (s == DEFT_OK) r.erased = DEFT_NEW_ARRAY(r.arena, bool, g->n_input);
        if (s == DEFT_OK && !r.erased) s = DEFT_E_SPACE;
        found = false;
        if (s == DEFT_OK) s = look(&r, &found);
        settle_probe_free(&r.p);
        deft_arena_destroy(r.arena);
        if (s == DEFT_E_SPACE) return deft_fail(err, s, "no memory to find inputs that reset");
        if (s != DEFT_OK) return DEFT_OK; // it cannot be run: understanding says why
    }
    return DEFT_OK;
}
