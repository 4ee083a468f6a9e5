/* torch_search.c - how many numbers a TorchScript program takes: the file does not say, so shapes
 * are tried until the program runs. Layers and normalisers fit only one. */
#include "formats/torch_script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DIMS = 64, MAX_WIDTH = 4096, MAX_TRIES = 20000, SCAN = 1024, MAX_ALIKE = 8 };

typedef struct search {
    ts_program *p;
    ts_spec *spec;
    int64_t dim[MAX_DIMS]; // that tensors of the archive have, ascending
    int32_t n_dim;
    int32_t tries;
    deft_error first; // of the trial that came furthest
    int64_t steps;
    deft_error last;
    int32_t alike; // trials one after the other that ended with the same refusal
} search;

/* Is the result one row? */
static bool one_row(ts_trial *t)
{
    ts_tensor *result[TS_MAX_STATES];
    const char *name[TS_MAX_STATES];
    if (ts_results(t, result, name) < 1) return false;
    const deft_tensor *y = ts_shape(&t->l, result[0]);
    int64_t rows = 1;
    for (int32_t d = 0; d + 1 < y->rank; d++) rows *= y->dim[d];
    if (rows == 1 && y->count > 0) return true;
    (void)ts_fail(&t->l, DEFT_E_UNSUPPORTED, "one row of observations gives %lld rows of actions",
                  (long long)rows);
    return false;
}

/* Does the program run with these shapes? *stop: and no other shape will help. */
static bool runs(search *s, const ts_states *states, ts_trial *t, bool *stop)
{
    deft_status status = ts_try(s->p, s->spec, states, NULL, t);
    if (status == DEFT_OK && !one_row(t)) status = s->p->err->status;
    *stop = s->p->steps <= 0 || s->p->work <= 0 || ++s->tries > MAX_TRIES;
    if (status == DEFT_OK) return true;
    if (t->steps > s->steps || s->first.status == DEFT_OK) {
        s->steps = t->steps;
        s->first = *s->p->err;
    }
    const bool alike = status == DEFT_E_UNSUPPORTED && strcmp(s->last.text, s->p->err->text) == 0;
    s->alike = alike ? s->alike + 1 : 0;
    s->last = *s->p->err;
    *stop |= s->alike == MAX_ALIKE; // what is not known is not, whatever the shape
    return false;
}

static void set_width(ts_leaf *leaf, int32_t rank, int64_t layers, int64_t n)
{
    leaf->rank = rank;
    for (int32_t d = 0; d < rank; d++) leaf->dim[d] = 1;
    if (rank == 3) leaf->dim[0] = layers;
    leaf->dim[rank - 1] = n;
}

static int by_size(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static void add_dim(search *s, int64_t n)
{
    if (n < 1 || n > MAX_WIDTH) return;
    for (int32_t i = 0; i < s->n_dim; i++)
        if (s->dim[i] == n) return;
    if (s->n_dim < MAX_DIMS) s->dim[s->n_dim++] = n;
}

static void collect_dims(search *s)
{
    const ts_program *p = s->p;
    for (int32_t i = 0; i < p->n_view; i++) // columns of matrices first: they are what is read
        if (p->views[i]->rank > 1) add_dim(s, p->views[i]->size[p->views[i]->rank - 1]);
    for (int32_t i = 0; i < p->n_view; i++)
        for (int32_t d = 0; d < p->views[i]->rank; d++) add_dim(s, p->views[i]->size[d]);
    qsort(s->dim, (size_t)s->n_dim, sizeof s->dim[0], by_size);
}

/* --- one input ------------------------------------------------------------------------------- */

/* The graph for n observations, in a new arena; NULL: it does not run. */
static deft_graph *graph_of(search *s, int32_t rank, int64_t n, deft_arena *a)
{
    ts_trial t;
    bool stop = false;
    deft_graph *g = NULL;
    set_width(&s->spec->leaf[0], rank, 1, n);
    if (!a || !runs(s, NULL, &t, &stop) || ts_build(&t, NULL, a, &g) != DEFT_OK) return NULL;
    return g;
}

/* Does the program for n observations read no more of n + 1, n + 2 and 2 n? */
static bool reads_first(search *s, int32_t rank, int64_t n)
{
    const int64_t others[3] = {n + 1, n + 2, 2 * n};
    bool same = true;
    for (int k = 0; k < 3 && same; k++) {
        deft_arena *a = deft_arena_create((size_t)256 << 20);
        const deft_graph *g[2] = {graph_of(s, rank, n, a), graph_of(s, rank, others[k], a)};
        deft_error err = {0};
        same = g[0] && g[1] && ts_compare(g[0], g[1], &same, &err) == DEFT_OK && same;
        deft_arena_destroy(a);
    }
    return same;
}

static deft_status ask(search *s, const char *why)
{
    return deft_fail(s->p->err, DEFT_E_UNSUPPORTED,
                     "the program runs with several numbers of observations (%s): say which with "
                     "--obs-size N",
                     why);
}

/* More observations than n would do too: the least number, if the program reads nothing else. */
static deft_status settle_open(search *s, int32_t rank, int64_t n, const char **note)
{
    ts_trial t;
    bool stop = false;
    char text[80];
    while (n > 1 && !stop) {
        set_width(&s->spec->leaf[0], rank, 1, n - 1);
        if (!runs(s, NULL, &t, &stop)) break;
        n--;
    }
    (void)snprintf(text, sizeof text, "%lld and more", (long long)n);
    if (stop || !reads_first(s, rank, n)) return ask(s, text);
    set_width(&s->spec->leaf[0], rank, 1, n);
    *note = deft_arena_printf(s->p->a,
                              "the program reads the first %lld observations: there are no others "
                              "(--obs-size says otherwise)",
                              (long long)n);
    return DEFT_OK;
}

/* Numbers that the archive's tensors have, then all small ones. */
static int64_t candidate(const search *s, int32_t k)
{
    return k < s->n_dim ? s->dim[k] : k - s->n_dim + 1;
}

/* Looks for the number of observations in tensors of some rank; DEFT_E_FORMAT: none fits. */
static deft_status find_width(search *s, int32_t rank, const char **note)
{
    int64_t found[2] = {0, 0};
    bool stop = false;
    ts_trial t;
    for (int32_t k = 0; !stop && k < s->n_dim + SCAN; k++) {
        const int64_t n = candidate(s, k);
        if (k == s->n_dim && found[0] > 1) break; // what the tensors say is enough
        if (n == found[0]) continue;
        set_width(&s->spec->leaf[0], rank, 1, n);
        if (!runs(s, NULL, &t, &stop)) continue;
        set_width(&s->spec->leaf[0], rank, 1, n + 1);
        if (runs(s, NULL, &t, &stop)) return settle_open(s, rank, n, note);
        if (found[0] > 1) { // 1 is what fits everything by broadcasting
            char text[80];
            (void)snprintf(text, sizeof text, "%lld, %lld", (long long)found[0], (long long)n);
            return ask(s, text);
        }
        found[0] = n;
    }
    if (!found[0]) return DEFT_E_FORMAT;
    set_width(&s->spec->leaf[0], rank, 1, found[0]);
    return DEFT_OK;
}

static deft_status give_up(search *s)
{
    *s->p->err = s->first;
    if (s->first.status == DEFT_OK)
        return deft_fail(s->p->err, DEFT_E_UNSUPPORTED, "the program cannot be run");
    return s->first.status;
}

static deft_status find_one(search *s, const char **note)
{
    for (int32_t rank = 2; rank > 0; rank = rank == 2 ? 1 : rank == 1 ? 3 : 0) {
        const deft_status r = find_width(s, rank, note);
        if (r != DEFT_E_FORMAT) return r;
        if (s->p->steps <= 0 || s->p->work <= 0 || s->alike >= MAX_ALIKE) break;
    }
    return give_up(s);
}

static deft_status told(search *s, int32_t n)
{
    ts_trial t;
    bool stop = false;
    for (int32_t rank = 2; rank > 0 && !stop; rank = rank == 2 ? 1 : rank == 1 ? 3 : 0) {
        set_width(&s->spec->leaf[0], rank, 1, n);
        if (runs(s, NULL, &t, &stop)) return DEFT_OK;
    }
    return give_up(s);
}

/* --- several inputs -------------------------------------------------------------------------- */

/* Ranks of the first input and of the others, and layers of the latter, the likeliest first. */
static const struct {
    int32_t first, rest, layers;
} layouts[] = {{2, 2, 1}, {2, 3, 1}, {3, 3, 1}, {2, 3, 2},
               {3, 3, 2}, {2, 3, 3}, {3, 3, 3}, {1, 1, 1}};

/* Widths [n parameters] as digits of k; false: k is past the last. */
static bool set_widths(search *s, size_t layout, int64_t k)
{
    int32_t before = -1;
    int64_t n = 0;
    for (int32_t i = 0; i < s->spec->n; i++) {
        ts_leaf *leaf = &s->spec->leaf[i];
        if (leaf->param != before) { // those of a tuple are alike
            n = s->dim[k % s->n_dim];
            k /= s->n_dim;
        }
        before = leaf->param;
        set_width(leaf, i ? layouts[layout].rest : layouts[layout].first, layouts[layout].layers,
                  n);
        if (i == 0 && leaf->rank == 3) leaf->dim[0] = 1;
    }
    return k == 0;
}

static deft_status find_several(search *s)
{
    bool stop = s->n_dim == 0;
    for (size_t i = 0; !stop && i < sizeof layouts / sizeof layouts[0]; i++) {
        int64_t found = -1;
        for (int64_t k = 0; !stop && set_widths(s, i, k); k++) {
            ts_trial t;
            if (!runs(s, NULL, &t, &stop)) continue;
            if (found >= 0)
                return deft_fail(s->p->err, DEFT_E_UNSUPPORTED,
                                 "forward takes %d tensors, whose sizes the program does not tell: "
                                 "export it as ONNX",
                                 (int)s->spec->n);
            found = k;
        }
        if (found < 0) continue;
        (void)set_widths(s, i, found);
        return DEFT_OK;
    }
    return give_up(s);
}

/* A program that takes a vector as well as one row must give the same for both: `x[:3]` are the
 * first numbers of a vector, but the first rows of a batch. */
static deft_status check_vector(search *s)
{
    const int64_t n = s->spec->leaf[0].dim[1];
    deft_arena *a = deft_arena_create((size_t)256 << 20);
    const deft_graph *row = graph_of(s, 2, n, a), *vector = graph_of(s, 1, n, a);
    bool same = true;
    deft_error err = {0};
    if (row && vector && ts_compare(row, vector, &same, &err) != DEFT_OK) same = true;
    deft_arena_destroy(a);
    set_width(&s->spec->leaf[0], 2, 1, n);
    if (same) return DEFT_OK;
    return deft_fail(s->p->err, DEFT_E_UNSUPPORTED,
                     "the program takes a row [1, %lld] and a vector [%lld] of observations, and "
                     "answers differently: export a module that takes batches only",
                     (long long)n, (long long)n);
}

deft_status ts_find_shapes(ts_program *p, int32_t n_obs, ts_spec *spec, const char **note)
{
    search s = {.p = p, .spec = spec};
    *note = NULL;
    collect_dims(&s);
    if (spec->n > 1) {
        if (n_obs)
            return deft_fail(p->err, DEFT_E_ARG, "--obs-size is for programs that take one tensor");
        return find_several(&s);
    }
    const deft_status r = n_obs ? told(&s, n_obs) : find_one(&s, note);
    return r == DEFT_OK && spec->leaf[0].rank == 2 ? check_vector(&s) : r;
}
