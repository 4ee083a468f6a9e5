/* lint_flow.c - rules about what nothing depends on: units that never fire or that nobody reads,
 * inputs without weights, states that are not read, actions that are constant. */
#include "base/math_f32.h"
#include "graph/lint.h"

#include <math.h>
#include <string.h>

/* Inputs without clips are taken to stay inside +-this when units are shown to be dead. */
static const double input_bound = 100;
/* Of silu and gelu, below zero. */
static const double dip = -0.28;

/* Ranges end here, well inside float. */
static const double beyond = 1e30;

typedef struct range {
    double lo, hi;
} range;

typedef struct flow {
    lint *l;
    bool **used;    // [n_layer][n_out] read by another layer or the output
    bool **never;   // [n_layer][n_out] ReLU whose input is never positive, or a row of zeros
    bool *obs_used; // [n_obs]
    range **out;    // [n_layer][n_out]
    range *x;       // scratch: inputs of a layer
    bool *column;   // scratch: does an input of a layer have any weight?
} flow;

static bool allocate(flow *f)
{
    lint *l = f->l;
    const deft_model *m = l->m;
    int32_t widest = 1;
    f->used = lint_alloc(l, (size_t)m->n_layer, sizeof *f->used);
    f->never = lint_alloc(l, (size_t)m->n_layer, sizeof *f->never);
    f->out = lint_alloc(l, (size_t)m->n_layer, sizeof(range *));
    f->obs_used = lint_alloc(l, (size_t)m->contract.n_obs, sizeof *f->obs_used);
    if (!f->used || !f->never || !f->out || !f->obs_used) return false;
    for (int32_t k = 0; k < m->n_layer; k++) {
        const size_t n = (size_t)m->layer[k].n_out;
        f->used[k] = lint_alloc(l, n, sizeof **f->used);
        f->never[k] = lint_alloc(l, n, sizeof **f->never);
        f->out[k] = lint_alloc(l, n, sizeof **f->out);
        if (!f->used[k] || !f->never[k] || !f->out[k]) return false;
        if (m->layer[k].n_in > widest) widest = m->layer[k].n_in;
    }
    f->x = lint_alloc(l, (size_t)widest, sizeof *f->x);
    f->column = lint_alloc(l, (size_t)widest, sizeof *f->column);
    return f->x && f->column;
}

/* --- who reads what -------------------------------------------------------------------------- */

/* column NULL: everything counts. k: the reader, whose own state does not. */
static void mark(flow *f, const deft_segment *s, int32_t n, const bool *column, int32_t k)
{
    for (int32_t i = 0, at = 0; i < n; at += s[i++].length) {
        bool *to = s[i].kind == DEFT_SRC_OBS                        ? f->obs_used
                   : s[i].kind == DEFT_SRC_LAYER                    ? f->used[s[i].index]
                   : s[i].kind == DEFT_SRC_STATE && s[i].index != k ? f->used[s[i].index]
                                                                    : NULL;
        for (int32_t e = 0; to && e < s[i].length; e++)
            if (!column || column[at + e]) to[s[i].offset + e] = true;
    }
}

static void mark_all(flow *f)
{
    const deft_model *m = f->l->m;
    for (int32_t k = 0; k < m->n_layer; k++) {
        const deft_layer *y = &m->layer[k];
        const lint_matrix x = lint_matrix_of(y, 0);
        if (x.w) memset(f->column, 0, (size_t)x.cols * sizeof *f->column);
        for (int32_t r = 0; x.w && r < x.rows; r++)
            for (int32_t c = 0; c < x.cols; c++)
                if (x.w[(int64_t)r * x.cols + c] != 0) f->column[c] = true;
        mark(f, y->in, y->n_segment, x.w ? f->column : NULL, k);
    }
    mark(f, m->out, m->n_out_segment, NULL, m->n_layer);
}

/* --- ranges ---------------------------------------------------------------------------------- */

static range clipped(const float *lo, const float *hi, int32_t i)
{
    return (range){lo ? fmax((double)lo[i], -input_bound) : -input_bound,
                   hi ? fmin((double)hi[i], input_bound) : input_bound};
}

static range source_range(const flow *f, const deft_segment *s, int32_t e)
{
    const deft_contract *c = &f->l->m->contract;
    switch (s->kind) {
    case DEFT_SRC_OBS:
        return clipped(c->obs_lo, c->obs_hi, s->offset + e);
    case DEFT_SRC_LAYER:
        return f->out[s->index][s->offset + e];
    case DEFT_SRC_STATE:
        return (range){-1, 1};
    default:
        return (range){-input_bound, input_bound};
    }
}

static void gather(flow *f, const deft_layer *y)
{
    range *x = f->x;
    for (int32_t i = 0; i < y->n_segment; i++)
        for (int32_t e = 0; e < y->in[i].length; e++) *x++ = source_range(f, &y->in[i], e);
}

/* a x + b, widened by what float arithmetic may round. */
static range row_range(const float *w, const range *x, int32_t n, double bias)
{
    range y = {bias, bias};
    double size = fabs(bias);
    for (int32_t i = 0; i < n; i++) {
        const double w_i = (double)w[i], a = w_i * x[i].lo, b = w_i * x[i].hi;
        if (w_i == 0) continue;
        y.lo += fmin(a, b);
        y.hi += fmax(a, b);
        size += fmax(fabs(a), fabs(b));
    }
    return (range){y.lo - 1e-5 * size, y.hi + 1e-5 * size};
}

static range product(range a, range b)
{
    const double p = a.lo * b.lo, q = a.lo * b.hi, r = a.hi * b.lo, s = a.hi * b.hi;
    return (range){fmin(fmin(p, q), fmin(r, s)), fmax(fmax(p, q), fmax(r, s))};
}

/* Element i in front of the activation. */
static range element_range(const flow *f, const deft_layer *y, int32_t i)
{
    const float *w = y->weight;
    const double gain = w ? (double)w[i] : 1, bias = y->bias ? (double)y->bias[i] : 0;
    const range *x = f->x;
    switch (y->kind) {
    case DEFT_LAYER_DENSE:
        return w ? row_range(w + (int64_t)i * y->n_in, x, y->n_in, bias) : (range){bias, bias};
    case DEFT_LAYER_LAYERNORM: {
        const double most = sqrt((double)y->n_out) * fabs(gain);
        return (range){bias - most, bias + most};
    }
    case DEFT_LAYER_AFFINE: {
        const range p = product((range){gain, gain}, x[i]);
        return (range){p.lo + bias, p.hi + bias};
    }
    case DEFT_LAYER_ADD:
        return (range){x[i].lo + x[y->n_out + i].lo, x[i].hi + x[y->n_out + i].hi};
    case DEFT_LAYER_MUL:
        return product(x[i], x[y->n_out + i]);
    case DEFT_LAYER_HISTORY:
        return (range){fmin(0, x[i % y->n_in].lo), fmax(0, x[i % y->n_in].hi)};
    case DEFT_LAYER_ACTIVATION:
        return x[i];
    default: // the h of cells
        return (range){-1, 1};
    }
}

/* The functions are monotone, but for the dip of silu and gelu. */
static range activated(deft_activation a, range x)
{
    x.lo = fmax(x.lo, -beyond);
    x.hi = fmin(x.hi, beyond);
    if (a.kind == DEFT_ACT_NONE) return x;
    const double lo = (double)deft_activation_f32(a, (float)x.lo);
    const double hi = (double)deft_activation_f32(a, (float)x.hi);
    const double zero = (double)deft_activation_f32(a, 0);
    range y = {fmin(lo, hi), fmax(lo, hi)};
    if (x.lo < 0 && x.hi > 0) y = (range){fmin(y.lo, zero), fmax(y.hi, zero)};
    const bool dips =
        a.kind == DEFT_ACT_SILU || a.kind == DEFT_ACT_GELU || a.kind == DEFT_ACT_GELU_TANH;
    if (dips && x.lo < 0) y = (range){fmin(y.lo, dip), fmax(y.hi, 0)};
    return y;
}

static bool is_zero_row(const deft_layer *y, int32_t r)
{
    for (int32_t c = 0; c < y->n_in; c++)
        if (y->weight[(int64_t)r * y->n_in + c] != 0) return false;
    return true;
}

static void find_ranges(flow *f)
{
    for (int32_t k = 0; k < f->l->m->n_layer; k++) {
        const deft_layer *y = &f->l->m->layer[k];
        gather(f, y);
        for (int32_t i = 0; i < y->n_out; i++) {
            const range x = element_range(f, y, i);
            f->out[k][i] = activated(y->activation, x);
            f->never[k][i] = (y->activation.kind == DEFT_ACT_RELU && x.hi <= 0) ||
                             (y->kind == DEFT_LAYER_DENSE && is_zero_row(y, i));
        }
    }
}

/* --- warnings -------------------------------------------------------------------------------- */

static void lint_units(flow *f, int32_t k)
{
    const deft_layer *y = &f->l->m->layer[k];
    int32_t unread = 0, never = 0, either = 0;
    for (int32_t i = 0; i < y->n_out; i++) {
        unread += !f->used[k][i];
        never += f->never[k][i];
        either += !f->used[k][i] || f->never[k][i];
    }
    char label[LINT_LABEL];
    (void)lint_layer(f->l, k, label);
    if (unread == y->n_out && model_has_h(y->kind))
        lint_add(f->l, "state-not-read", "nothing reads the state of %s", label);
    else if (unread == y->n_out)
        lint_add(f->l, "dead-outputs", "nothing reads %s", label);
    else if (either && !model_has_h(y->kind))
        lint_add(f->l, "dead-outputs",
                 "%d of %d outputs of %s do nothing: %d are constant for inputs within +-%g, %d "
                 "have no weight in what reads them",
                 (int)either, (int)y->n_out, label, (int)never, input_bound, (int)unread);
}

static void lint_constant_actions(flow *f)
{
    const deft_model *m = f->l->m;
    char label[LINT_LABEL];
    for (int32_t i = 0, at = 0; i < m->n_out_segment; at += m->out[i++].length) {
        const deft_segment *s = &m->out[i];
        for (int32_t e = 0; s->kind == DEFT_SRC_LAYER && e < s->length; e++)
            if (f->never[s->index][s->offset + e])
                lint_add(f->l, "constant-action", "%s does not depend on any input",
                         lint_action(f->l, at + e, label));
    }
}

static void lint_inputs(flow *f)
{
    const int32_t n = f->l->m->contract.n_obs;
    int32_t unread = 0, first = -1;
    for (int32_t i = 0; i < n; i++) {
        unread += !f->obs_used[i];
        if (!f->obs_used[i] && first < 0) first = i;
    }
    char label[LINT_LABEL];
    if (unread)
        lint_add(f->l, "unused-inputs",
                 "%d of %d observations have no weight in any layer, first %s", (int)unread, (int)n,
                 lint_observation(f->l, first, label));
}

void lint_flow(lint *l)
{
    flow f = {.l = l};
    if (!allocate(&f)) return;
    mark_all(&f);
    find_ranges(&f);
    lint_inputs(&f);
    for (int32_t k = 0; k < l->m->n_layer; k++) lint_units(&f, k);
    lint_constant_actions(&f);
}
