/* settle.c - what the ports of a graph leave open, found out by running it. */
#include "graph/settle.h"

#include "graph/op.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

enum { TENSOR_LIMIT = 64 << 20, STEPS = 16 };

static deft_status init_input(settle_probe *p, int32_t i, deft_error *err)
{
    const deft_port *const port = &p->g->input[i];
    const int32_t rank = port->rank < 0 ? 2 : port->rank;
    int64_t dim[DEFT_MAX_RANK];
    for (int32_t d = 0; d < rank; d++)
        dim[d] = port->rank < 0 || port->dim[d] < 0 ? 1 : port->dim[d];
    const deft_dtype type = port->dtype == 0 || port->dtype == DEFT_F16 ? DEFT_F32 : port->dtype;
    const deft_status s = deft_tensor_init(&p->in[i], type, rank, dim, p->data);
    return s == DEFT_OK ? s : deft_fail(err, s, "input %d has no usable shape", (int)i);
}

deft_status settle_probe_shape(settle_probe *p, deft_error *err)
{
    deft_status s = DEFT_OK;
    deft_arena_reset(p->data);
    for (int32_t i = 0; s == DEFT_OK && i < p->g->n_input; i++) s = init_input(p, i, err);
    return s;
}

// runs count it down; NOLINTNEXTLINE(readability-non-const-parameter)
deft_status settle_probe_init(settle_probe *p, const deft_graph *g, int64_t *left, deft_error *err)
{
    *p = (settle_probe){.g = g, .left = left};
    p->arena = deft_arena_create(TENSOR_LIMIT);
    p->data = deft_arena_create(TENSOR_LIMIT);
    if (p->arena) {
        p->in = DEFT_NEW_ARRAY(p->arena, deft_tensor, g->n_input);
        p->out = DEFT_NEW_ARRAY(p->arena, const deft_tensor *, g->n_output);
    }
    if (!p->in || !p->out || !p->data)
        return deft_fail(err, DEFT_E_SPACE, "no memory to run the graph");
    const deft_status s = deft_graph_eval_create(g, &p->eval, err);
    return s == DEFT_OK ? settle_probe_shape(p, err) : s;
}

void settle_probe_free(settle_probe *p)
{
    deft_graph_eval_destroy(p->eval);
    deft_arena_destroy(p->arena);
    deft_arena_destroy(p->data);
    *p = (settle_probe){.g = NULL};
}

void settle_fill(deft_tensor *t, deft_rng *rng)
{
    for (int64_t k = 0; k < t->count; k++) {
        double v = deft_rng_normal(rng);
        if (t->dtype == DEFT_BOOL) v = v > 0;
        if (t->dtype != DEFT_BOOL && !op_is_float(t->dtype)) v = floor(fmin(fabs(v), 3));
        op_set_f64(t, k, v);
    }
}

deft_status settle_run(settle_probe *p, deft_error *err)
{
    if (*p->left <= 0)
        return deft_fail(err, DEFT_E_RANGE, "it takes too long to find out what its ports are");
    const int64_t before = deft_graph_eval_spent(p->eval);
    const deft_status s = deft_graph_eval_run(p->eval, p->in, p->out, err);
    *p->left -= deft_graph_eval_spent(p->eval) - before;
    return s;
}

double *settle_outputs(const settle_probe *p, deft_arena *a, int64_t *n)
{
    *n = 0;
    for (int32_t q = 0; q < p->g->n_output; q++) *n += p->out[q]->count;
    double *const y = DEFT_NEW_ARRAY(a, double, *n);
    int64_t to = 0;
    for (int32_t q = 0; y && q < p->g->n_output; q++)
        for (int64_t k = 0; k < p->out[q]->count; k++) y[to++] = op_get_f64(p->out[q], k);
    return y;
}

bool settle_same(const double *a, const double *b, int64_t n)
{
    double size = 1;
    for (int64_t k = 0; k < n; k++)
        if (isfinite(a[k])) size = fmax(size, fabs(a[k]));
    for (int64_t k = 0; k < n; k++) {
        const bool same = a[k] == b[k] || (isnan(a[k]) && isnan(b[k]));
        if (!same && !(fabs(a[k] - b[k]) <= 1e-5 * size)) return false;
    }
    return true;
}

deft_status settle_note(deft_graph *g, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const deft_status s = deft_arena_note(g->arena, &g->note, &g->n_note, fmt, ap);
    va_end(ap);
    return s;
}

deft_status deft_graph_settle(deft_graph *g, deft_error *err)
{
    for (int32_t k = 0; k < g->n_node; k++)
        if (!deft_op_known(g->node[k].op)) return DEFT_OK; // understanding names it
    int64_t left = INT64_MAX;
    if (deft_graph_work_step(g) < INT64_MAX / STEPS) left = STEPS * deft_graph_work_step(g);
    deft_status s = settle_shapes(g, &left, err);
    if (s == DEFT_OK) s = settle_rows(g, &left, err);
    if (s == DEFT_OK) s = settle_resets(g, &left, err);
    return s;
}
