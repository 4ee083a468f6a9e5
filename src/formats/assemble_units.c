/* assemble_units.c - layers out of named tensors: weights with their biases, recurrent modules,
 * normalisations, and cells made of two linear maps. */
#include "formats/assemble_private.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_matrix(const deft_tensor *t)
{
    return t && t->dtype == DEFT_F32 && t->rank == 2 && t->dim[0] > 0 && t->dim[1] > 0 &&
           t->dim[0] <= INT32_MAX / 8 && t->dim[1] <= INT32_MAX / 8;
}

static bool is_vector(const deft_tensor *t, int64_t n)
{
    return t && t->dtype == DEFT_F32 && t->rank == 1 && t->dim[0] == n;
}

static const float *vector_or_null(unit *u, const char *leaf, int64_t n)
{
    const deft_tensor *t = checkpoint_find(u->c, u->name, leaf);
    if (t && !is_vector(t, n)) u->unsupported = "its bias has another length";
    return t && !u->unsupported ? t->data : NULL;
}

static void make_plain(unit *u, const deft_tensor *weight)
{
    u->kind = DEFT_LAYER_DENSE;
    if (is_matrix(weight)) {
        u->n_out = (int32_t)weight->dim[0];
        u->n_in = (int32_t)weight->dim[1];
        u->weight = weight->data;
        u->bias = vector_or_null(u, "bias", u->n_out);
        return;
    }
    if (weight->dtype != DEFT_F32 || weight->rank != 1 || weight->dim[0] < 1 ||
        weight->dim[0] > INT32_MAX / 8) {
        u->unsupported = weight->rank > 2 ? "its weight has more than 2 dimensions (a convolution?)"
                                          : "its weight is no matrix of floats";
        return;
    }
    u->n_in = u->n_out = (int32_t)weight->dim[0];
    u->weight = weight->data;
    u->bias = vector_or_null(u, "bias", u->n_out);
    u->mean = vector_or_null(u, "running_mean", u->n_out);
    u->variance = vector_or_null(u, "running_var", u->n_out);
    u->kind = u->mean && u->variance ? DEFT_LAYER_AFFINE : DEFT_LAYER_LAYERNORM;
}

/* leaf: "weight_ih" or "weight_ih_l2". */
static void make_recurrent(unit *u, const deft_tensor *weight, const char *leaf)
{
    const char *suffix = leaf + strlen("weight_ih");
    char other[64];
    u->kind = DEFT_LAYER_GRU;
    u->layer = strncmp(suffix, "_l", 2) == 0 ? (int32_t)strtol(suffix + 2, NULL, 10) : 0;
    (void)snprintf(other, sizeof other, "weight_hh%.16s", suffix);
    const deft_tensor *h = checkpoint_find(u->c, u->name, other);
    if (!is_matrix(weight) || !is_matrix(h) || h->dim[0] != weight->dim[0]) {
        u->unsupported = "its weight_ih and weight_hh do not belong together";
        return;
    }
    (void)snprintf(other, sizeof other, "weight_hr%.16s", suffix);
    if (checkpoint_find(u->c, u->name, other)) u->unsupported = "it projects its state (proj_size)";
    (void)snprintf(other, sizeof other, "weight_ih%.16s_reverse", suffix);
    if (checkpoint_find(u->c, u->name, other)) u->unsupported = "it is bidirectional";
    const int64_t gates = h->dim[0] % h->dim[1] ? 0 : h->dim[0] / h->dim[1];
    if (gates != 3 && gates != 4) {
        u->unsupported = "it is neither a GRU nor an LSTM";
        return;
    }
    u->kind = gates == 3 ? DEFT_LAYER_GRU : DEFT_LAYER_LSTM;
    u->n_in = (int32_t)weight->dim[1];
    u->n_out = (int32_t)h->dim[1];
    u->weight = weight->data;
    u->weight_h = h->data;
    (void)snprintf(other, sizeof other, "bias_ih%.16s", suffix);
    u->bias = vector_or_null(u, other, h->dim[0]);
    (void)snprintf(other, sizeof other, "bias_hh%.16s", suffix);
    u->bias_h = vector_or_null(u, other, h->dim[0]);
}

/* BatchRenorm of sb3-contrib: in evaluation a BatchNorm with other names. */
static void make_renorm(unit *u, const deft_tensor *mean)
{
    u->kind = DEFT_LAYER_AFFINE;
    if (mean->rank != 1 || mean->dim[0] < 1 || mean->dim[0] > INT32_MAX / 8) {
        u->unsupported = "its statistics are not a vector";
        return;
    }
    u->n_in = u->n_out = (int32_t)mean->dim[0];
    u->mean = vector_or_null(u, "ra_mean", u->n_out);
    u->variance = vector_or_null(u, "ra_var", u->n_out);
    u->weight = vector_or_null(u, "scale", u->n_out);
    u->bias = vector_or_null(u, "bias", u->n_out);
    if (!u->mean || !u->variance || !u->weight) u->unsupported = "its statistics are not complete";
}

static bool make_unit(unit *u, const deft_tensor *t, const char *leaf)
{
    if (strcmp(leaf, "weight") == 0)
        make_plain(u, t);
    else if (strncmp(leaf, "weight_ih", 9) == 0 && strlen(leaf) < 24 && !strstr(leaf, "_reverse"))
        make_recurrent(u, t, leaf);
    else if (strcmp(leaf, "ra_mean") == 0)
        make_renorm(u, t);
    else if (strcmp(leaf, "weight_v") == 0 || strcmp(leaf, "weight_orig") == 0 ||
             strcmp(leaf, "original0") == 0)
        u->unsupported = "its weight is parametrised (weight or spectral norm): remove that first";
    else
        return false;
    return true;
}

static int by_order(const void *a, const void *b)
{
    const unit *x = a, *y = b;
    const int order = name_compare(x->c, x->name, y->name);
    return order ? order : (x->layer > y->layer) - (x->layer < y->layer);
}

/* --- cells made of linear maps --------------------------------------------------------------- */

/* Can x and y be W x and U h of one cell with so many gates? Returns which is U: 1 for x, 2 for y,
 * 0 if they cannot. */
static int recurrent_of(const unit *x, const unit *y, int32_t gates)
{
    if (x->kind != DEFT_LAYER_DENSE || y->kind != DEFT_LAYER_DENSE || x->unsupported ||
        y->unsupported || x->n_out != y->n_out || x->n_out % gates)
        return 0;
    const int32_t hidden = x->n_out / gates;
    // two layers of a chain of this width: the second takes what the first gives
    if (x->n_in == x->n_out || y->n_in == y->n_out) return 0;
    if (x->n_in != hidden) return y->n_in == hidden ? 2 : 0;
    if (y->n_in != hidden) return 1;
    const char *leaf = name_leaf(x->name);
    return strstr(leaf, "hh") || strstr(leaf, "h2h") ? 1 : 2;
}

static unit cell_of(const unit *x, const unit *y, int32_t gates)
{
    const bool swapped = recurrent_of(x, y, gates) == 1;
    const unit *w = swapped ? y : x, *r = swapped ? x : y;
    unit cell = *w;
    cell.kind = gates == 3 ? DEFT_LAYER_GRU : DEFT_LAYER_LSTM;
    cell.n_out = w->n_out / gates;
    cell.weight_h = r->weight;
    cell.bias_h = r->bias;
    return cell;
}

/* Pairs among units [0, 2 n): x0 h0 x1 h1 ..., or x0 x1 ... h0 h1 ... where siblings are numbered.
 * Writes n cells; false if they are none. */
static bool pair_run(const unit *u, int32_t n, int32_t gates, unit *cell)
{
    const bool split = n > 1 && name_same_stem(u[0].name, u[1].name);
    for (int32_t k = 0; k < n; k++) {
        const int32_t first = split ? k : 2 * k;
        const unit *x = &u[first], *y = &u[split ? k + n : first + 1];
        if (!recurrent_of(x, y, gates)) return false;
        cell[k] = cell_of(x, y, gates);
        if (k && cell[k].n_in != cell[k - 1].n_out) return false;
    }
    return true;
}

static void merge_cells(unit_list *list, unit *scratch)
{
    int32_t n = 0;
    for (int32_t i = 0; i < list->n;) {
        const unit *u = &list->unit[i];
        int32_t run = 1;
        while (i + run < list->n && u[run].n_out == u->n_out && u[run].n_in != u->n_out) run++;
        int32_t cells = 0;
        for (int32_t gates = 3; gates <= 4 && !cells; gates++)
            for (int32_t half = run / 2; half > 0 && !cells; half--)
                if (pair_run(u, half, gates, scratch)) cells = half;
        if (cells)
            memmove(&list->unit[n], scratch, (size_t)cells * sizeof *scratch);
        else
            list->unit[n] = *u;
        n += cells ? cells : 1;
        i += cells ? 2 * cells : 1;
    }
    list->n = n;
}

/* --- all of them ----------------------------------------------------------------------------- */

typedef bool (*name_test)(const char *name);

static bool is_anything(const char *name)
{
    (void)name;
    return true;
}

static bool is_actor(const char *name)
{
    return !name_is_other(name);
}

static deft_status find_units(const deft_checkpoint *c, name_test wanted, deft_arena *a,
                              unit_list *out, deft_error *err)
{
    out->n = 0;
    for (int32_t i = 0; i < c->n; i++) {
        const char *leaf = name_leaf(c->name[i]);
        unit u = {.c = c};
        if (!wanted(c->name[i])) continue;
        const size_t n = leaf > c->name[i] ? (size_t)(leaf - c->name[i]) - 1 : 0;
        if (strncmp(leaf, "weight", 6) != 0 && strcmp(leaf, "original0") != 0 &&
            strcmp(leaf, "ra_mean") != 0)
            continue;
        u.name = deft_arena_strndup(a, c->name[i], n);
        if (!u.name) return deft_fail(err, DEFT_E_SPACE, "no memory");
        if (!make_unit(&u, &c->tensor[i], leaf)) continue;
        if (out->n == ASSEMBLE_MAX_UNITS)
            return deft_fail(err, DEFT_E_RANGE, "more than %d layers", ASSEMBLE_MAX_UNITS);
        out->unit[out->n++] = u;
    }
    return DEFT_OK;
}

static deft_status new_list(const deft_checkpoint *c, deft_arena *a, unit_list *out,
                            deft_error *err)
{
    *out = (unit_list){0};
    if (c->n > ASSEMBLE_MAX_TENSORS)
        return deft_fail(err, DEFT_E_RANGE, "%d tensors: a policy of at most %d is assembled",
                         (int)c->n, ASSEMBLE_MAX_TENSORS);
    out->unit = DEFT_NEW_ARRAY(a, unit, ASSEMBLE_MAX_UNITS);
    return out->unit ? DEFT_OK : deft_fail(err, DEFT_E_SPACE, "no memory");
}

deft_status units_plain(const deft_checkpoint *c, deft_arena *a, unit_list *out, deft_error *err)
{
    deft_status s = new_list(c, a, out, err);
    if (s == DEFT_OK) s = find_units(c, is_anything, a, out, err);
    if (s == DEFT_OK) qsort(out->unit, (size_t)out->n, sizeof *out->unit, by_order);
    return s;
}

deft_status units_find(const deft_checkpoint *c, bool all, deft_arena *a, unit_list *out,
                       deft_error *err)
{
    deft_status s = new_list(c, a, out, err);
    if (s != DEFT_OK) return s;
    unit *scratch = DEFT_NEW_ARRAY(a, unit, ASSEMBLE_MAX_UNITS);
    if (!scratch) return deft_fail(err, DEFT_E_SPACE, "no memory");
    s = find_units(c, all ? is_anything : is_actor, a, out, err);
    if (s == DEFT_OK && !out->n) {
        s = find_units(c, name_is_q_network, a, out, err);
        out->discrete = out->n > 0;
    }
    if (s != DEFT_OK) return s;
    if (!out->n)
        return deft_fail(err, DEFT_E_UNSUPPORTED,
                         "no layers: no tensor of the actor is named 'weight' or 'weight_ih_l0' "
                         "behind its module");
    qsort(out->unit, (size_t)out->n, sizeof *out->unit, by_order);
    merge_cells(out, scratch);
    return DEFT_OK;
}
