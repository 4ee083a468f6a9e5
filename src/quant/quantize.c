/* quantize.c - from the float policy to the integer one, layer by layer: each layer is made for the
 * inputs that the integer layers before it give on the calibration data. */
#include "quant/quant_private.h"

#include <math.h>
#include <string.h>

/* --- sources over all rows ------------------------------------------------------------------- */

static deft_status run_inputs(quant_job *j, const deft_calibration *c)
{
    const size_t rows = (size_t)j->trace.n_row, n_obs = (size_t)j->obs.n, n_act = (size_t)j->prev.n;
    j->q_obs = DEFT_NEW_ARRAY(j->tmp, int16_t, rows * n_obs);
    j->q_prev = DEFT_NEW_ARRAY(j->tmp, int16_t, rows * n_act);
    if (!j->q_obs || !j->q_prev) return quant_no_memory(j);
    for (size_t r = 0; r < rows; r++) {
        quant_run_obs(j->q, c->obs + r * n_obs, j->q_obs + r * n_obs);
        if (j->reads_prev) quant_run_prev(j->q, j->trace.prev + r * n_act, j->q_prev + r * n_act);
    }
    return DEFT_OK;
}

/* One segment of one row, as integers. */
static void gather(const quant_job *j, const deft_segment *g, int32_t row, int16_t *into)
{
    const quant_source *s = quant_source_of(j, g);
    const bool old = g->kind == DEFT_SRC_STATE;
    const int16_t *base = g->kind == DEFT_SRC_OBS    ? j->q_obs
                          : g->kind == DEFT_SRC_PREV ? j->q_prev
                                                     : j->q_value[g->index];
    const size_t at = (size_t)(row - old) * (size_t)s->n + (size_t)g->offset;
    for (int32_t i = 0; i < g->length; i++) {
        if (old && j->trace.first[row]) {
            into[i] = 0;
        } else if (base) {
            into[i] = base[at + (size_t)i];
        } else { // a layer that comes later: its float state
            const double v = (double)j->trace.value[g->index][at + (size_t)i] * 32768;
            into[i] = (int16_t)fmin(fmax(floor(v + 0.5), INT16_MIN), INT16_MAX);
        }
    }
}

/* The finished layer over all rows, its state running on. */
static deft_status run_layer(quant_job *j, int32_t k)
{
    const deft_qlayer *l = &j->ql[k];
    const size_t n_out = (size_t)l->n_out, n_state = (size_t)quant_state_length(l);
    int16_t *value = DEFT_NEW_ARRAY(j->tmp, int16_t, (size_t)j->trace.n_row * n_out);
    int16_t *x = DEFT_NEW_ARRAY(j->tmp, int16_t, l->n_in);
    int16_t *state = DEFT_NEW_ARRAY(j->tmp, int16_t, 2 * n_state);
    int32_t *scratch = DEFT_NEW_ARRAY(j->tmp, int32_t, quant_scratch_size(l));
    if (!value || !x || !state || !scratch) return quant_no_memory(j);
    int16_t *old = state, *new = state + n_state;
    for (int32_t r = 0; r < j->trace.n_row; r++) {
        const bool first = j->trace.first[r];
        const int16_t fill = (int16_t)(l->kind == DEFT_LAYER_HISTORY ? l->zero : 0);
        for (size_t i = 0; first && i < n_state; i++) old[i] = fill;
        int16_t *at = x;
        for (int32_t i = 0; i < l->n_segment; i++) {
            // its own old state is what it gave in the row before
            if (l->in[i].kind == DEFT_SRC_STATE && l->in[i].index == k)
                memcpy(at, old + l->in[i].offset, (size_t)l->in[i].length * sizeof *at);
            else
                gather(j, &l->in[i], r, at);
            at += l->in[i].length;
        }
        const quant_step s = {x, old, new, value + (size_t)r *n_out, scratch, first};
        quant_run_layer(j->q, k, &s);
        int16_t *const swap = old;
        old = new;
        new = swap;
    }
    j->q_value[k] = value;
    return DEFT_OK;
}

/* --- the ends -------------------------------------------------------------------------------- */

static int16_t limit16(double v)
{
    return (int16_t)fmin(fmax(floor(v + 0.5), INT16_MIN), INT16_MAX);
}

static deft_status ends(quant_job *j)
{
    const deft_contract *c = &j->m->contract;
    const int32_t n = j->obs.n;
    float *scale = DEFT_NEW_ARRAY(j->a, float, n);
    float *prev = DEFT_NEW_ARRAY(j->a, float, j->prev.n);
    int16_t *lo = DEFT_NEW_ARRAY(j->a, int16_t, n), *hi = DEFT_NEW_ARRAY(j->a, int16_t, n);
    if (!scale || !prev || !lo || !hi) return quant_no_memory(j);
    bool limited = false;
    for (int32_t i = 0; i < n; i++) {
        const double s = j->obs.scale[i];
        scale[i] = (float)((c->obs_scale ? (double)c->obs_scale[i] : 1) / s);
        lo[i] = (int16_t)j->obs.lo;
        hi[i] = (int16_t)j->obs.hi;
        if (c->obs_lo && isfinite(c->obs_lo[i]) && limit16((double)c->obs_lo[i] / s) > lo[i])
            lo[i] = limit16((double)c->obs_lo[i] / s);
        if (c->obs_hi && isfinite(c->obs_hi[i]) && limit16((double)c->obs_hi[i] / s) < hi[i])
            hi[i] = limit16((double)c->obs_hi[i] / s);
        limited |= lo[i] != INT16_MIN || hi[i] != INT16_MAX;
    }
    for (int32_t i = 0; i < j->prev.n; i++) prev[i] = (float)(1 / j->prev.scale[i]);
    j->q->obs_scale = scale;
    j->q->obs_offset = c->obs_offset;
    j->q->obs_lo = limited ? lo : NULL;
    j->q->obs_hi = limited ? hi : NULL;
    j->q->prev_scale = j->reads_prev ? prev : NULL;
    return DEFT_OK;
}

static deft_status outputs(quant_job *j)
{
    const deft_model *m = j->m;
    float *scale = DEFT_NEW_ARRAY(j->a, float, m->n_output);
    if (!scale) return quant_no_memory(j);
    for (int32_t i = 0, at = 0; i < m->n_out_segment; i++) {
        const quant_source *s = quant_source_of(j, &m->out[i]);
        if (i && s->zero != j->q->out_zero)
            return deft_fail(j->err, DEFT_E_UNSUPPORTED,
                             "the outputs come from layers with different zero points");
        j->q->out_zero = s->zero;
        for (int32_t e = 0; e < m->out[i].length; e++, at++)
            scale[at] = (float)s->scale[m->out[i].offset + e];
    }
    j->q->out_scale = scale;
    j->q->n_out_segment = m->n_out_segment;
    j->q->out = deft_arena_copy(j->a, m->out, (size_t)m->n_out_segment * sizeof *m->out);
    return j->q->out ? DEFT_OK : quant_no_memory(j);
}

/* --- layers ---------------------------------------------------------------------------------- */

deft_status quant_build_layer(quant_job *j, int32_t k)
{
    const deft_layer *l = &j->m->layer[k];
    deft_qlayer *out = &j->ql[k];
    *out = (deft_qlayer){.kind = l->kind, .n_in = l->n_in, .n_out = l->n_out, .table = -1};
    out->name = l->name ? deft_arena_strndup(j->a, l->name, strlen(l->name)) : "";
    out->n_segment = l->n_segment;
    out->in = deft_arena_copy(j->a, l->in, (size_t)l->n_segment * sizeof *l->in);
    out->in_format = quant_source_of(j, &l->in[0])->format;
    if (!out->name || !out->in) return quant_no_memory(j);
    const deft_status s = l->kind == DEFT_LAYER_DENSE ? quant_build_dense(j, k)
                          : quant_has_h(l->kind)      ? quant_build_recurrent(j, k)
                                                      : quant_build_other(j, k);
    if (s != DEFT_OK) return s;
    float *scale = DEFT_NEW_ARRAY(j->a, float, l->n_out);
    if (!scale) return quant_no_memory(j);
    for (int32_t i = 0; i < l->n_out; i++) scale[i] = (float)j->layer[k].scale[i];
    out->out_scale = scale;
    return DEFT_OK;
}

static deft_status describe(quant_job *j)
{
    j->q->scheme = j->scheme.name;
    j->q->calibration = deft_arena_printf(
        j->a, "%d steps, %s, %s rounding%s", j->trace.n_row, deft_calibrator_name(j->calibrator),
        j->opt.nearest || j->scheme.power_of_two ? "nearest" : "error-compensating",
        j->opt.no_equalization || j->scheme.power_of_two || j->opt.per_tensor ? "" : ", equalized");
    return j->q->calibration ? DEFT_OK : quant_no_memory(j);
}

static deft_status allocate(quant_job *j)
{
    const deft_model *m = j->m;
    size_t widest = 1;
    for (int32_t k = 0; k < m->n_layer; k++) {
        const deft_layer *l = &m->layer[k];
        if ((size_t)l->n_in > widest) widest = (size_t)l->n_in;
        if (quant_has_h(l->kind) && (size_t)l->n_out > widest) widest = (size_t)l->n_out;
    }
    j->q = DEFT_NEW(j->a, deft_qmodel);
    j->ql = DEFT_NEW_ARRAY(j->a, deft_qlayer, m->n_layer);
    j->table = DEFT_NEW_ARRAY(j->a, deft_qtable, (size_t)m->n_layer + 1);
    j->q_value = DEFT_NEW_ARRAY(j->tmp, int16_t *, m->n_layer);
    j->x_q = DEFT_NEW_ARRAY(j->tmp, float, (size_t)j->trace.n_row *widest);
    j->x_f = DEFT_NEW_ARRAY(j->tmp, float, (size_t)j->trace.n_row *widest);
    if (!j->q || !j->ql || !j->table || !j->q_value || !j->x_q || !j->x_f)
        return quant_no_memory(j);
    *j->q = (deft_qmodel){.model = m, .n_layer = m->n_layer, .layer = j->ql, .table = j->table};
    return DEFT_OK;
}

static deft_status run(quant_job *j, const deft_calibration *c)
{
    deft_status s = quant_trace_create(c, j->tmp, &j->trace, j->err);
    if (s == DEFT_OK) s = allocate(j);
    if (s == DEFT_OK) s = quant_plan(j);
    if (s == DEFT_OK) s = quant_importances(j);
    if (s == DEFT_OK) s = quant_scales(j);
    if (s == DEFT_OK) s = ends(j);
    if (s == DEFT_OK) s = run_inputs(j, c);
    for (int32_t k = 0; s == DEFT_OK && k < j->m->n_layer; k++) {
        s = quant_build_layer(j, k);
        if (s == DEFT_OK) s = run_layer(j, k);
    }
    if (s == DEFT_OK) s = outputs(j);
    if (s == DEFT_OK) s = describe(j);
    return s == DEFT_OK ? deft_qmodel_check(j->q, j->err) : s;
}

static deft_status options(const deft_quant_options *opt, quant_job *j)
{
    if (opt) j->opt = *opt;
    const char *name = j->opt.scheme ? j->opt.scheme : "int8";
    const quant_scheme *s = quant_scheme_find(name);
    if (!s) {
        char text[64];
        return deft_fail(j->err, DEFT_E_ARG,
                         "no scheme '%s' (int8, w8a16, w4a8, w4a16, int16, pow2)",
                         deft_escape(text, sizeof text, name, sizeof text));
    }
    j->scheme = *s;
    if (s->power_of_two) j->opt.narrow_inputs = j->opt.symmetric = j->opt.per_tensor = true;
    j->weight_bits = j->opt.weight_bits ? j->opt.weight_bits : s->weight_bits;
    j->activation_bits = j->opt.activation_bits ? j->opt.activation_bits : s->activation_bits;
    if (j->weight_bits < 2 || j->weight_bits > 16 || j->activation_bits < 2 ||
        j->activation_bits > 16)
        return deft_fail(j->err, DEFT_E_ARG, "weights and activations have 2 to 16 bits");
    j->input_bits = j->opt.narrow_inputs ? j->activation_bits : 16;
    j->calibrator = j->opt.calibrator;
    if (j->calibrator == DEFT_CALIBRATOR_DEFAULT)
        j->calibrator = s->power_of_two ? DEFT_CALIBRATOR_MINMAX : DEFT_CALIBRATOR_MSE;
    j->percentile = j->opt.percentile > 0 ? j->opt.percentile : 99.99;
    if (!(j->percentile <= 100))
        return deft_fail(j->err, DEFT_E_ARG, "a percentile of %g", j->percentile);
    return DEFT_OK;
}

deft_status deft_quantize(const deft_model *m, const deft_calibration *c,
                          const deft_quant_options *opt, deft_arena *a, deft_qmodel **out,
                          deft_error *err)
{
    quant_job j = {.m = m, .a = a, .err = err};
    *out = NULL;
    deft_status s = deft_model_check(m, err);
    if (s == DEFT_OK) s = options(opt, &j);
    if (s != DEFT_OK) return s;
    if (!c || c->m != m || c->n < 1)
        return deft_fail(err, DEFT_E_ARG, "no calibration data of this policy");
    j.tmp = deft_arena_create(0);
    if (!j.tmp) return quant_no_memory(&j);
    s = run(&j, c);
    deft_arena_destroy(j.tmp);
    if (s == DEFT_OK) *out = j.q;
    return s;
}
