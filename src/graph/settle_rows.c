/* settle_rows.c - a graph exported for a fixed batch, in which every row goes through the same
 * network: one row of it. What one row gives is compared with every row of the batch. */
#include "graph/settle.h"

#include "graph/op.h"

#include <string.h>

enum { MAX_ROWS = 1024, FEW_ROWS = 64, TRIALS = 2, SEED = 11 };

typedef struct rows {
    deft_graph *g;
    deft_graph one;              // of one row; shares what does not change
    int64_t n;                   // rows
    int32_t *in_axis, *out_axis; // [n_input], [n_output] of the rows
    deft_arena *arena;
    int64_t *left;
    deft_error *err;
} rows;

static deft_status no_memory(rows *r)
{
    return deft_fail(r->err, DEFT_E_SPACE, "no memory to look at the batch");
}

/* States have layers before rows. */
static int32_t axis_of(int32_t rank, const int64_t *dim, int64_t n)
{
    if (rank > 0 && dim[0] == n) return 0;
    return rank == 3 && dim[1] == n ? 1 : -1;
}

/* Every input and output has n rows, and an input more than rows alone. */
static bool all_have(rows *r, const settle_probe *p)
{
    bool wide = false;
    for (int32_t i = 0; i < r->g->n_input; i++) {
        r->in_axis[i] = axis_of(p->in[i].rank, p->in[i].dim, r->n);
        if (r->in_axis[i] < 0) return false;
        wide = wide || p->in[i].rank > 1;
    }
    for (int32_t q = 0; q < r->g->n_output; q++) {
        r->out_axis[q] = axis_of(p->out[q]->rank, p->out[q]->dim, r->n);
        if (r->out_axis[q] < 0) return false;
    }
    return wide;
}

/* --- the graph of one row --------------------------------------------------------------------- */

static bool equal_slices(const deft_tensor *t, int32_t axis)
{
    const size_t inner = (size_t)op_product(t, axis + 1, t->rank) * deft_dtype_size(t->dtype);
    const int64_t outer = op_product(t, 0, axis);
    const uint8_t *const data = t->data;
    for (int64_t o = 0; o < outer; o++)
        for (int64_t k = 1; k < t->dim[axis]; k++) {
            const size_t first = (size_t)(o * t->dim[axis]) * inner;
            if (memcmp(data + first, data + first + (size_t)k * inner, inner) != 0) return false;
        }
    return true;
}

/* The first slice along an axis. */
static deft_tensor *slice(rows *r, const deft_tensor *t, int32_t axis)
{
    deft_tensor *const to = DEFT_NEW(r->g->arena, deft_tensor);
    int64_t dim[DEFT_MAX_RANK];
    memcpy(dim, t->dim, sizeof dim);
    dim[axis] = 1;
    if (!to || deft_tensor_init(to, t->dtype, t->rank, dim, r->g->arena) != DEFT_OK) return NULL;
    const size_t inner = (size_t)op_product(t, axis + 1, t->rank) * deft_dtype_size(t->dtype);
    const int64_t outer = op_product(t, 0, axis);
    for (int64_t o = 0; o < outer; o++)
        memcpy((uint8_t *)to->data + (size_t)o * inner,
               (const uint8_t *)t->data + (size_t)(o * t->dim[axis]) * inner, inner);
    return to;
}

/* A shape with rows in it, as Reshape and Expand take it. */
static deft_tensor *one_row_shape(rows *r, const deft_tensor *t)
{
    deft_tensor *const to = DEFT_NEW(r->g->arena, deft_tensor);
    if (!to || deft_tensor_init(to, t->dtype, t->rank, t->dim, r->g->arena) != DEFT_OK) return NULL;
    memcpy(to->data, t->data, (size_t)t->count * sizeof(int64_t));
    int64_t *const v = to->data;
    for (int64_t k = 0; k < t->count && k < 2; k++) {
        if (v[k] != r->n) continue;
        v[k] = 1;
        break;
    }
    return to;
}

/* Does some node read the value as this kind of operand? */
typedef bool reads_as(const char *op, int32_t i);

static bool as_shape(const char *op, int32_t i)
{
    return (i == 1 && (strcmp(op, "Reshape") == 0 || strcmp(op, "Expand") == 0)) ||
           (i == 0 && strcmp(op, "ConstantOfShape") == 0);
}

static bool as_weight(const char *op, int32_t i)
{
    if (strcmp(op, "MatMul") == 0 || strcmp(op, "Gemm") == 0) return true;
    const bool cell = strcmp(op, "GRU") == 0 || strcmp(op, "LSTM") == 0 || strcmp(op, "RNN") == 0;
    return (cell || strcmp(op, "Conv") == 0) && i >= 1 && i <= 3;
}

static bool is_read(const rows *r, int32_t value, reads_as *how)
{
    for (int32_t k = 0; k < r->g->n_node; k++)
        for (int32_t i = 0; i < r->g->node[k].n_in; i++)
            if (r->g->node[k].in[i] == value && how(r->g->node[k].op, i)) return true;
    return false;
}

/* A constant as a graph of one row has it: NULL and no failure where it is the same. */
static deft_status patched(rows *r, int32_t value, const deft_tensor *t, const deft_tensor **out)
{
    *out = NULL;
    const bool shape = t->dtype == DEFT_I64 && t->rank <= 1 && is_read(r, value, as_shape);
    if (shape) {
        *out = one_row_shape(r, t);
        return *out ? DEFT_OK : no_memory(r);
    }
    const int32_t axis = axis_of(t->rank, t->dim, r->n);
    if (t->rank < 2 || axis < 0 || is_read(r, value, as_weight) || !equal_slices(t, axis))
        return DEFT_OK;
    *out = slice(r, t, axis);
    return *out ? DEFT_OK : no_memory(r);
}

static deft_status patch_node(rows *r, deft_node *n)
{
    const deft_attr *const a = deft_node_attr(n, "value");
    const deft_tensor *t = NULL;
    if (strcmp(n->op, "Constant") != 0 || n->n_attr != 1 || !a || a->kind != DEFT_ATTR_TENSOR)
        return DEFT_OK;
    const deft_status s = patched(r, n->out[0], a->t, &t);
    if (s != DEFT_OK || !t) return s;
    deft_attr *const copy = deft_arena_copy(r->g->arena, a, sizeof *a);
    if (!copy) return no_memory(r);
    copy->t = t;
    n->attr = copy;
    return DEFT_OK;
}

static deft_status make_one(rows *r)
{
    deft_graph *const g = r->g;
    r->one = *g;
    r->one.value = deft_arena_copy(g->arena, g->value, (size_t)g->n_value * sizeof *g->value);
    r->one.node = deft_arena_copy(g->arena, g->node, (size_t)g->n_node * sizeof *g->node);
    r->one.input = deft_arena_copy(g->arena, g->input, (size_t)g->n_input * sizeof *g->input);
    r->one.output = deft_arena_copy(g->arena, g->output, (size_t)g->n_output * sizeof *g->output);
    if (!r->one.value || !r->one.node || !r->one.input || !r->one.output) return no_memory(r);
    for (int32_t i = 0; i < g->n_input; i++) r->one.input[i].dim[r->in_axis[i]] = 1;
    for (int32_t q = 0; q < g->n_output; q++)
        if (r->one.output[q].rank > r->out_axis[q]) r->one.output[q].dim[r->out_axis[q]] = 1;
    deft_status s = DEFT_OK;
    for (int32_t v = 0; s == DEFT_OK && v < g->n_value; v++) {
        const deft_tensor *t = NULL;
        if (g->value[v].constant) s = patched(r, v, g->value[v].constant, &t);
        if (t) r->one.value[v].constant = t;
    }
    for (int32_t k = 0; s == DEFT_OK && k < g->n_node; k++) s = patch_node(r, &r->one.node[k]);
    return s;
}

/* --- comparing -------------------------------------------------------------------------------- */

/* Row `row` along an axis, from t to one of one row or, back, from it. */
static void copy_row(const deft_tensor *t, int32_t axis, int64_t row, deft_tensor *to)
{
    const int64_t inner = op_product(t, axis + 1, t->rank), outer = op_product(t, 0, axis);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t k = 0; k < inner; k++)
            op_set_f64(to, o * inner + k, op_get_f64(t, (o * t->dim[axis] + row) * inner + k));
}

static deft_status same_row(rows *r, const settle_probe *all, settle_probe *one, int64_t row,
                            bool *same)
{
    for (int32_t i = 0; i < r->g->n_input; i++)
        copy_row(&all->in[i], r->in_axis[i], row, &one->in[i]);
    deft_status s = settle_run(one, r->err);
    *same = s == DEFT_OK;
    for (int32_t q = 0; *same && q < r->g->n_output; q++) {
        const deft_tensor *const t = all->out[q], *const y = one->out[q];
        const int64_t n = t->count / t->dim[r->out_axis[q]];
        double *const a = DEFT_NEW_ARRAY(r->arena, double, 2 * (size_t)n);
        deft_tensor *const wanted = DEFT_NEW(r->arena, deft_tensor);
        const int64_t dim[1] = {n};
        if (!a || !wanted || deft_tensor_init(wanted, t->dtype, 1, dim, r->arena) != DEFT_OK)
            return no_memory(r);
        copy_row(t, r->out_axis[q], row, wanted);
        for (int64_t k = 0; k < n; k++) {
            a[k] = op_get_f64(wanted, k);
            a[n + k] = k < y->count ? op_get_f64(y, k) : 0;
        }
        *same = y->count == n && settle_same(a, a + n, n);
    }
    return s;
}

/* Is every row what one row gives? */
static deft_status compare(rows *r, settle_probe *all, bool *same)
{
    settle_probe one = {.g = NULL};
    deft_rng rng;
    deft_rng_seed(&rng, SEED);
    deft_status s = settle_probe_init(&one, &r->one, r->left, r->err);
    *same = s == DEFT_OK;
    const int64_t step = (r->n + MAX_ROWS - 1) / MAX_ROWS;
    const int trials = r->n > FEW_ROWS ? 1 : TRIALS;
    for (int t = 0; *same && t < trials; t++) {
        for (int32_t i = 0; i < r->g->n_input; i++) settle_fill(&all->in[i], &rng);
        s = settle_run(all, r->err);
        for (int64_t k = 0; s == DEFT_OK && *same && k < r->n; k += step) {
            deft_arena_reset(r->arena);
            s = same_row(r, all, &one, k, same);
        }
        *same = *same && s == DEFT_OK;
    }
    settle_probe_free(&one);
    return s;
}

/* Does another row's input change the last row's output? */
static deft_status independent(rows *r, settle_probe *all, bool *out)
{
    deft_rng rng;
    deft_rng_seed(&rng, SEED);
    *out = false;
    deft_arena_reset(r->arena);
    int64_t n;
    for (int32_t i = 0; i < r->g->n_input; i++) settle_fill(&all->in[i], &rng);
    deft_status s = settle_run(all, r->err);
    double *const before = s == DEFT_OK ? settle_outputs(all, r->arena, &n) : NULL;
    for (int32_t i = 0; i < r->g->n_input; i++) {
        deft_tensor *const t = &all->in[i];
        const int64_t inner = op_product(t, r->in_axis[i] + 1, t->rank);
        for (int64_t k = 0; k < t->count; k++)
            if (k / inner % r->n != r->n - 1) op_set_f64(t, k, 1 - op_get_f64(t, k));
    }
    if (s == DEFT_OK) s = settle_run(all, r->err);
    double *const after = s == DEFT_OK ? settle_outputs(all, r->arena, &n) : NULL;
    if (s != DEFT_OK) return s;
    if (!before || !after) return no_memory(r);
    int64_t first = 0;
    *out = true;
    for (int32_t q = 0; q < r->g->n_output; q++) {
        const deft_tensor *const t = all->out[q];
        const int64_t inner = op_product(t, r->out_axis[q] + 1, t->rank);
        for (int64_t k = 0; k < t->count; k++)
            if (k / inner % r->n == r->n - 1 && before[first + k] != after[first + k]) *out = false;
        first += t->count;
    }
    return DEFT_OK;
}

static deft_status fold(rows *r, settle_probe *all)
{
    deft_graph *const g = r->g;
    bool same = false, apart = false;
    deft_error mine = {DEFT_OK, ""};
    deft_error *const err = r->err;
    deft_status s = make_one(r);
    if (s != DEFT_OK) return s;
    r->err = &mine;
    s = compare(r, all, &same);
    if (s != DEFT_E_SPACE && !same) s = independent(r, all, &apart);
    r->err = err;
    if (s == DEFT_E_SPACE) return no_memory(r);
    if (same) {
        *g = r->one;
        s = settle_note(g, "exported for a batch of %lld; every row is the same network: one of it",
                        (long long)r->n);
        return s == DEFT_OK ? s : no_memory(r);
    }
    if (!apart || !mine.text[0]) return DEFT_OK; // rows that meet or differ are no batch
    return deft_fail(err, DEFT_E_UNSUPPORTED,
                     "exported for a batch of %lld, and its rows cannot be told apart: export it "
                     "with a batch of 1 (%s)",
                     (long long)r->n, mine.text);
}

deft_status settle_rows(deft_graph *g, int64_t *left, deft_error *err)
{
    rows r = {.g = g, .left = left, .err = err, .arena = deft_arena_create((size_t)64 << 20)};
    settle_probe all = {.g = NULL};
    deft_error mine = {DEFT_OK, ""};
    r.in_axis = r.arena ? DEFT_NEW_ARRAY(g->arena, int32_t, g->n_input) : NULL;
    r.out_axis = r.arena ? DEFT_NEW_ARRAY(g->arena, int32_t, g->n_output) : NULL;
    deft_status s =
        r.in_axis && r.out_axis ? settle_probe_init(&all, g, left, &mine) : DEFT_E_SPACE;
    if (s == DEFT_OK) s = settle_run(&all, &mine);
    if (s == DEFT_OK && g->n_input > 0) {
        const deft_tensor *const t = &all.in[0];
        for (int32_t d = 0; d < t->rank && d < 2; d++) {
            r.n = t->dim[d];
            if (r.n < 2 || !all_have(&r, &all)) continue;
            s = fold(&r, &all);
            break;
        }
    } else if (s != DEFT_E_SPACE) {
        s = DEFT_OK; // it cannot be run: understanding says why
    }
    settle_probe_free(&all);
    deft_arena_destroy(r.arena);
    return s == DEFT_E_SPACE && r.arena ? no_memory(&r) : s;
}
