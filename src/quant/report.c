/* report.c - the float and the integer policy side by side: what quantization costs, layer by layer
 * and over whole episodes. */
#include "quant/quant_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- weights --------------------------------------------------------------------------------- */

/* Scales of the inputs of a layer as the integer policy has them. */
static void input_scales(const deft_qmodel *q, int32_t k, double *scale)
{
    const deft_qlayer *l = &q->layer[k];
    const deft_contract *c = &q->model->contract;
    for (int32_t s = 0, at = 0; s < l->n_segment; s++) {
        const deft_segment *g = &l->in[s];
        for (int32_t e = 0; e < g->length; e++, at++) {
            const int32_t i = g->offset + e;
            if (g->kind == DEFT_SRC_OBS)
                scale[at] = (c->obs_scale ? (double)c->obs_scale[i] : 1) / (double)q->obs_scale[i];
            else if (g->kind == DEFT_SRC_PREV)
                scale[at] = 1 / (double)q->prev_scale[i];
            else
                scale[at] = (double)q->layer[g->index].out_scale[i];
        }
    }
}

/* One step of v of output o: of the table's input, or of the output. */
static double step_of(const deft_qmodel *q, const deft_qlayer *l, int32_t o)
{
    if (quant_has_h(l->kind)) return o / l->n_out == 2 ? 1.0 / 4096 : 1.0 / 2048;
    if (l->table >= 0) return (double)q->table[l->table].in_scale;
    return (double)l->out_scale[o];
}

static deft_status measure_matrix(const deft_model *m, const deft_qmodel *q, deft_arena *a,
                                  deft_quant_matrix *out)
{
    const deft_layer *f = &m->layer[out->layer];
    const deft_qlayer *l = &q->layer[out->layer];
    const deft_qmatrix *w = out->matrix ? &l->u : &l->w;
    const float *weight = out->matrix ? f->weight_h : f->weight;
    const int32_t n = out->matrix ? l->n_out : l->n_in, rows = quant_gates(l->kind) * l->n_out;
    double *scale = DEFT_NEW_ARRAY(a, double, n);
    if (!scale) return DEFT_E_SPACE;
    for (int32_t i = 0; i < n; i++) scale[i] = 1.0 / 32768;
    if (!out->matrix) input_scales(q, out->layer, scale);
    double signal = 0, noise = 0;
    int32_t most = 1;
    for (int32_t o = 0; o < rows; o++) {
        const double delta =
            ldexp((double)w->multiplier[o], w->shift - w->preshift - 31) * step_of(q, l, o);
        for (int32_t i = 0; i < n; i++) {
            const size_t at = (size_t)o * (size_t)n + (size_t)i;
            const double want = (double)weight[at] * scale[i], got = delta * w->weight[at];
            signal += want * want;
            noise += (want - got) * (want - got);
            const int32_t v = w->weight[at] < 0 ? -w->weight[at] - 1 : w->weight[at];
            most = v > most ? v : most;
        }
    }
    out->bits = 1;
    while (most >> (out->bits - 1)) out->bits++;
    out->weights = (int64_t)rows * n;
    out->sqnr_db = noise > 0 ? 10 * log10(signal / noise) : (double)INFINITY;
    return DEFT_OK;
}

static deft_status measure_matrices(const deft_model *m, const deft_qmodel *q, deft_arena *a,
                                    deft_quant_report *out, deft_error *err)
{
    deft_quant_matrix *list = DEFT_NEW_ARRAY(a, deft_quant_matrix, 2 * (size_t)q->n_layer);
    if (!list) return deft_fail(err, DEFT_E_SPACE, "no memory for the report");
    for (int32_t k = 0; k < q->n_layer; k++) {
        for (int32_t matrix = 0; matrix < (quant_has_h(q->layer[k].kind) ? 2 : 1); matrix++) {
            if (!quant_is_matrix(q->layer[k].kind)) continue;
            deft_quant_matrix *x = &list[out->n_matrix++];
            *x = (deft_quant_matrix){.layer = k, .matrix = matrix};
            if (measure_matrix(m, q, a, x) != DEFT_OK)
                return deft_fail(err, DEFT_E_SPACE, "no memory for the report");
            const deft_status s = deft_qmodel_prove(q, k, matrix, &x->proof, err);
            if (s != DEFT_OK) return s;
        }
    }
    out->matrix = list;
    return DEFT_OK;
}

/* --- rollouts -------------------------------------------------------------------------------- */

typedef struct sums {
    double signal, noise, worst;
} sums;

typedef struct side_by_side {
    const deft_model *m;
    const deft_qmodel *q;
    const deft_calibration *c;
    const quant_trace *t;
    deft_qmodel_eval *e;
    sums *layer; // [n_layer]
    float *act, *want;
    double squares, worst;
    double *at; // [n_divergence] squared action error by step, NULL: not asked for
    int32_t *count;
    int32_t n_at;
    float *margin; // [n_row] of the float policy's decisions; NULL: it makes none
    int32_t changed;
    double changed_margin;
} side_by_side;

static void add(sums *s, double want, double got)
{
    const double e = fabs(want - got);
    s->signal += want * want;
    s->noise += e * e;
    s->worst = e > s->worst ? e : s->worst;
}

static void compare_row(side_by_side *x, int32_t row, int32_t step)
{
    const deft_contract *c = &x->m->contract;
    for (int32_t k = 0; k < x->m->n_layer; k++) {
        const deft_qlayer *l = &x->q->layer[k];
        const float *want = x->t->value[k] + (size_t)row * (size_t)l->n_out;
        const int16_t *got = deft_qmodel_eval_layer(x->e, k);
        for (int32_t i = 0; i < l->n_out; i++)
            add(&x->layer[k], (double)want[i], (double)l->out_scale[i] * (got[i] - l->zero));
    }
    double squares = 0;
    for (int32_t i = 0; i < c->n_act; i++) {
        const double e =
            fabs((double)x->act[i] - (double)x->want[(size_t)row * (size_t)c->n_act + (size_t)i]);
        squares += e * e;
        x->worst = e > x->worst ? e : x->worst;
    }
    x->squares += squares;
    if (x->margin && squares > 0) {
        x->changed++;
        x->changed_margin = fmax(x->changed_margin, (double)x->margin[row]);
    }
    if (!x->at || step >= x->n_at) return;
    x->at[step] += squares;
    x->count[step]++;
}

/* forced: each step begins with the float policy's state and previous action. */
static deft_status roll(side_by_side *x, bool forced, int64_t *saturated)
{
    const deft_contract *c = &x->m->contract;
    const size_t n_obs = (size_t)c->n_obs, n_act = (size_t)c->n_act;
    int32_t step = 0;
    for (int32_t r = 0; r < x->t->n_row; r++, step++) {
        const bool first = x->t->first[r];
        if (first || r == 0) {
            for (int32_t k = -1; saturated && r && k < x->q->n_layer; k++)
                saturated[k + 1] += deft_qmodel_eval_saturated(x->e, k);
            deft_qmodel_eval_reset(x->e);
            step = 0;
        }
        for (int32_t k = 0; forced && !first && k < x->m->n_layer; k++)
            if (quant_has_h(x->m->layer[k].kind))
                deft_qmodel_eval_set_h(
                    x->e, k, x->t->value[k] + (size_t)(r - 1) * (size_t)x->m->layer[k].n_out);
        const float *applied = NULL; // recorded, or the float policy's own
        if (forced && !first)
            applied = x->c->own[r] ? x->want + (size_t)(r - 1) * n_act
                                   : x->c->applied + (size_t)r * n_act;
        const deft_status s =
            deft_qmodel_eval_step(x->e, x->c->obs + (size_t)r * n_obs, applied, x->act);
        if (s != DEFT_OK) return s;
        compare_row(x, r, step);
    }
    for (int32_t k = -1; saturated && k < x->q->n_layer; k++)
        saturated[k + 1] += deft_qmodel_eval_saturated(x->e, k);
    return DEFT_OK;
}

static int by_size(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

/* How far the largest output is above the next, in every row; and the median. */
static deft_status margins(side_by_side *x, deft_arena *a, deft_quant_report *out)
{
    const deft_model *m = x->m;
    const size_t n = (size_t)x->t->n_row;
    if (!m->contract.discrete || m->n_output < 2) return DEFT_OK;
    float *y = DEFT_NEW_ARRAY(a, float, m->n_output), *sorted = NULL;
    x->margin = DEFT_NEW_ARRAY(a, float, n);
    if (!y || !x->margin) return DEFT_E_SPACE;
    for (size_t r = 0; r < n; r++) {
        quant_trace_gather(x->t, m->out, m->n_out_segment, (int32_t)r, y);
        float most = -INFINITY, next = -INFINITY;
        for (int32_t i = 0; i < m->n_output; i++) {
            next = fmaxf(next, fminf(most, y[i]));
            most = fmaxf(most, y[i]);
        }
        x->margin[r] = most - next;
    }
    sorted = deft_arena_copy(a, x->margin, n * sizeof *sorted);
    if (!sorted) return DEFT_E_SPACE;
    qsort(sorted, n, sizeof *sorted, by_size);
    out->decisions = (int32_t)n;
    out->median_margin = (double)sorted[n / 2];
    return DEFT_OK;
}

/* The float policy's actions of every row. */
static deft_status float_actions(const deft_calibration *c, deft_arena *a, float **out,
                                 deft_error *err)
{
    const deft_model *m = c->m;
    const size_t n_obs = (size_t)m->contract.n_obs, n_act = (size_t)m->contract.n_act;
    float *act = DEFT_NEW_ARRAY(a, float, (size_t)c->n *n_act);
    if (!act) return deft_fail(err, DEFT_E_SPACE, "no memory for the report");
    deft_model_eval *e;
    deft_status s = deft_model_eval_create(m, &e, err);
    for (size_t r = 0; s == DEFT_OK && r < (size_t)c->n; r++) {
        if (c->first[r]) deft_model_eval_reset(e);
        s = deft_model_eval_step(e, c->obs + r * n_obs, c->own[r] ? NULL : c->applied + r * n_act,
                                 act + r * n_act);
        if (s != DEFT_OK) (void)deft_fail(err, s, "calibration step %zu: not finite", r);
    }
    deft_model_eval_destroy(e);
    *out = act;
    return s;
}

static double decibels(const sums *s)
{
    return s->noise > 0 ? 10 * log10(s->signal / s->noise) : (double)INFINITY;
}

static int32_t longest_episode(const deft_calibration *c)
{
    int32_t most = 0, length = 0;
    for (int32_t r = 0; r < c->n; r++) {
        length = c->first[r] ? 1 : length + 1;
        most = length > most ? length : most;
    }
    return most;
}

static deft_status both_rolls(side_by_side *x, deft_arena *a, deft_quant_layer *layer,
                              deft_quant_report *out)
{
    const int32_t n = x->m->n_layer;
    const double values = (double)x->t->n_row * x->m->contract.n_act;
    int64_t *saturated = DEFT_NEW_ARRAY(a, int64_t, n + 1);
    if (!saturated) return DEFT_E_SPACE;
    deft_status s = roll(x, true, NULL);
    out->action_rms = sqrt(x->squares / values);
    out->action_worst = x->worst;
    for (int32_t k = 0; k < n; k++) {
        layer[k] = (deft_quant_layer){.name = x->q->layer[k].name,
                                      .out_format = x->q->layer[k].out_format,
                                      .sqnr_db = decibels(&x->layer[k]),
                                      .worst = x->layer[k].worst};
        x->layer[k] = (sums){0};
    }
    x->squares = x->worst = 0;
    x->n_at = longest_episode(x->c);
    out->changed = x->changed;
    x->changed = 0;
    x->at = DEFT_NEW_ARRAY(a, double, x->n_at);
    x->count = DEFT_NEW_ARRAY(a, int32_t, x->n_at);
    if (!x->at || !x->count) return DEFT_E_SPACE;
    if (s == DEFT_OK) s = roll(x, false, saturated);
    out->free_action_rms = sqrt(x->squares / values);
    out->free_action_worst = x->worst;
    out->free_changed = x->changed;
    out->changed_margin = x->changed_margin;
    out->input_saturated = saturated[0];
    for (int32_t k = 0; k < n; k++) {
        layer[k].free_sqnr_db = decibels(&x->layer[k]);
        layer[k].free_worst = x->layer[k].worst;
        layer[k].saturated = saturated[k + 1];
    }
    for (int32_t i = 0; i < x->n_at; i++)
        x->at[i] = x->count[i] ? sqrt(x->at[i] / x->count[i] / x->m->contract.n_act) : 0;
    out->divergence = x->at;
    out->n_divergence = x->n_at;
    return s;
}

deft_status deft_quant_measure(const deft_model *m, const deft_qmodel *q, const deft_calibration *c,
                               deft_arena *a, deft_quant_report *out, deft_error *err)
{
    *out = (deft_quant_report){0};
    if (c->m != m || q->model != m || q->n_layer != m->n_layer)
        return deft_fail(err, DEFT_E_ARG,
                         "the report wants a policy, what was made of it, and its "
                         "calibration data");
    quant_trace t;
    side_by_side x = {.m = m, .q = q, .c = c, .t = &t};
    deft_arena *tmp = deft_arena_create(0);
    deft_quant_layer *layer = DEFT_NEW_ARRAY(a, deft_quant_layer, m->n_layer);
    if (tmp) {
        x.layer = DEFT_NEW_ARRAY(tmp, sums, m->n_layer);
        x.act = DEFT_NEW_ARRAY(tmp, float, m->contract.n_act);
    }
    deft_status s = DEFT_OK;
    if (!tmp || !layer || !x.layer || !x.act)
        s = deft_fail(err, DEFT_E_SPACE, "no memory for the report");
    if (s == DEFT_OK) s = measure_matrices(m, q, a, out, err);
    if (s == DEFT_OK) s = quant_trace_create(c, tmp, &t, err);
    if (s == DEFT_OK) s = float_actions(c, tmp, &x.want, err);
    if (s == DEFT_OK && margins(&x, tmp, out) != DEFT_OK)
        s = deft_fail(err, DEFT_E_SPACE, "no memory for the report");
    if (s == DEFT_OK) s = deft_qmodel_eval_create(q, &x.e, err);
    if (s == DEFT_OK) {
        s = both_rolls(&x, a, layer, out);
        if (s != DEFT_OK) (void)deft_fail(err, s, "the integer policy's actions are not finite");
    }
    deft_qmodel_eval_destroy(x.e);
    deft_arena_destroy(tmp);
    out->steps = c->n;
    out->n_layer = m->n_layer;
    out->layer = layer;
    return s;
}
