/* settle_shapes.c - sizes that a graph's inputs do not declare follow from its constants: those
 * are tried with which it can be run. */
#include "graph/settle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SIZES = 48, MAX_OPEN = 4, MAX_RUNS = 4096, MAX_SIZE = 1 << 16 };

/* The last size of an input that the file leaves open; leading ones are batch and time. */
typedef struct open_size {
    int32_t port, axis;
    int64_t found[MAX_SIZES]; // sizes with which the graph runs, in those runs counted so far
    int n_found;
} open_size;

typedef struct search {
    deft_graph *g;
    int64_t size[MAX_SIZES]; // candidates, 1 last
    int n_size;
    open_size open[MAX_OPEN];
    int n_open, runs;
    bool whole; // every combination was tried
    settle_probe p;
} search;

static void add_size(search *s, int64_t v)
{
    if (v < 2 || v > MAX_SIZE) return;
    for (int i = 0; i < s->n_size; i++)
        if (s->size[i] == v) return;
    if (s->n_size < MAX_SIZES - 1) s->size[s->n_size++] = v;
}

/* Sizes of constants, the file's first ones first. */
static void collect_sizes(search *s)
{
    for (int32_t v = 0; v < s->g->n_value; v++) {
        const deft_tensor *const t = s->g->value[v].constant;
        if (!t || t->dtype == DEFT_I64 || t->rank < 1) continue;
        for (int32_t d = 0; d < t->rank; d++) add_size(s, t->dim[d]);
    }
    s->size[s->n_size++] = 1;
}

/* An input without a shape gets one of two sizes. */
static bool collect_open(search *s)
{
    for (int32_t i = 0; i < s->g->n_input; i++) {
        deft_port *const p = &s->g->input[i];
        if (p->rank == 0 || (p->rank > 0 && p->dim[p->rank - 1] >= 0)) continue;
        if (s->n_open == MAX_OPEN) return false;
        s->open[s->n_open++] = (open_size){.port = i, .axis = p->rank < 0 ? 1 : p->rank - 1};
    }
    return s->n_open > 0;
}

static bool runs_so(search *s)
{
    deft_error e = {DEFT_OK, ""};
    s->runs++;
    return settle_probe_shape(&s->p, &e) == DEFT_OK && settle_run(&s->p, &e) == DEFT_OK;
}

static void set_size(search *s, const open_size *o, int64_t size)
{
    deft_port *const p = &s->g->input[o->port];
    if (p->rank < 0) {
        p->rank = 2;
        p->dim[0] = -1;
    }
    p->dim[o->axis] = size;
}

static void note_found(search *s, const int *at)
{
    for (int k = 0; k < s->n_open; k++) {
        open_size *const o = &s->open[k];
        const int64_t size = s->size[at[k]];
        bool known = false;
        for (int i = 0; i < o->n_found; i++) known = known || o->found[i] == size;
        if (!known) o->found[o->n_found++] = size;
    }
}

static bool may_go_on(const search *s)
{
    const int64_t left = *s->p.left;
    return s->runs < MAX_RUNS && left > 0;
}

/* Every combination of candidates. */
static void try_all(search *s)
{
    int at[MAX_OPEN] = {0};
    while (may_go_on(s)) {
        for (int k = 0; k < s->n_open; k++) set_size(s, &s->open[k], s->size[at[k]]);
        if (runs_so(s)) note_found(s, at);
        int k = 0;
        while (k < s->n_open && ++at[k] == s->n_size) at[k++] = 0;
        s->whole = k == s->n_open;
        if (s->whole) return;
    }
}

static deft_status ambiguous(const search *s, const open_size *o, deft_error *err)
{
    char list[160] = "", name[160];
    for (int i = 0; i < o->n_found && i < 8; i++) {
        const size_t n = strlen(list);
        (void)snprintf(list + n, sizeof list - n, "%s%lld", i ? ", " : "", (long long)o->found[i]);
    }
    return deft_fail(
        err, DEFT_E_UNSUPPORTED,
        "input '%s' does not declare its size, and the graph runs with %s: export it "
        "with a fixed last dimension",
        deft_escape(name, sizeof name, s->g->value[s->g->input[o->port].value].name, 1024), list);
}

/* A size of 1 is often one that is repeated where a longer vector meets it. */
static int64_t decided(open_size *o)
{
    if (o->n_found == 2 && o->found[1] == 1) return o->found[0];
    return o->n_found == 1 ? o->found[0] : 0;
}

static deft_status decide(search *s, deft_error *err)
{
    deft_status st = DEFT_OK;
    char name[160];
    for (int k = 0; k < s->n_open; k++) {
        open_size *const o = &s->open[k];
        const int64_t size = s->whole ? decided(o) : 0;
        // where nothing fits, running it says what is wrong
        set_size(s, o, size > 0 ? size : -1);
        if (st != DEFT_OK || size > 0 || (s->whole && o->n_found == 0)) continue;
        if (s->whole) st = ambiguous(s, o, err);
        if (!s->whole)
            st = deft_fail(
                err, DEFT_E_UNSUPPORTED,
                "input '%s' does not declare its size, and it takes too long to find it "
                "out: export it with a fixed last dimension",
                deft_escape(name, sizeof name, s->g->value[s->g->input[o->port].value].name, 1024));
    }
    return st;
}

deft_status settle_shapes(deft_graph *g, int64_t *left, deft_error *err)
{
    search *const s = calloc(1, sizeof *s);
    if (!s) return deft_fail(err, DEFT_E_SPACE, "no memory");
    s->g = g;
    deft_error mine = {DEFT_OK, ""};
    deft_status st = DEFT_OK;
    if (collect_open(s)) {
        collect_sizes(s);
        const deft_status made = settle_probe_init(&s->p, g, left, &mine);
        if (made == DEFT_OK || made == DEFT_E_RANGE) try_all(s);
        if (made == DEFT_E_SPACE) st = deft_fail(err, made, "%s", mine.text);
        if (st == DEFT_OK && s->p.eval) st = decide(s, err);
        settle_probe_free(&s->p);
    }
    free(s);
    return st;
}
