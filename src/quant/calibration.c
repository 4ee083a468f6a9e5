/* calibration.c - recorded steps, and the float policy over them. */
#include "quant/quant_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_STEPS = 12000, MOST_STEPS = 1 << 20 };

deft_status deft_calibration_create(const deft_model *m, int32_t max_steps, deft_calibration **out,
                                    deft_error *err)
{
    *out = NULL;
    const deft_status s = deft_model_check(m, err);
    if (s != DEFT_OK) return s;
    if (max_steps < 0 || max_steps > MOST_STEPS)
        return deft_fail(err, DEFT_E_ARG, "%d calibration steps, at most %d", max_steps,
                         MOST_STEPS);
    deft_calibration *c = calloc(1, sizeof *c);
    if (!c) return deft_fail(err, DEFT_E_SPACE, "no memory for calibration data");
    c->m = m;
    c->capacity = max_steps ? max_steps : DEFAULT_STEPS;
    c->fresh = true;
    const size_t n = (size_t)c->capacity;
    c->obs = calloc(n * (size_t)m->contract.n_obs, sizeof *c->obs);
    c->applied = calloc(n * (size_t)m->contract.n_act, sizeof *c->applied);
    c->first = calloc(n, 1);
    c->own = calloc(n, 1);
    if (!c->obs || !c->applied || !c->first || !c->own) {
        deft_calibration_destroy(c);
        return deft_fail(err, DEFT_E_SPACE, "no memory for calibration data");
    }
    *out = c;
    return DEFT_OK;
}

void deft_calibration_destroy(deft_calibration *c)
{
    if (!c) return;
    free(c->obs);
    free(c->applied);
    free(c->first);
    free(c->own);
    free(c);
}

void deft_calibration_reset(deft_calibration *c)
{
    c->fresh = true;
}

deft_status deft_calibration_add(deft_calibration *c, const float *obs, const float *applied_prev,
                                 deft_error *err)
{
    const int32_t n_obs = c->m->contract.n_obs, n_act = c->m->contract.n_act;
    for (int32_t i = 0; i < n_obs; i++)
        if (!isfinite(obs[i]))
            return deft_fail(err, DEFT_E_RANGE, "calibration step %d: observation %d is not finite",
                             c->n, i);
    for (int32_t i = 0; applied_prev && i < n_act; i++)
        if (!isfinite(applied_prev[i]))
            return deft_fail(err, DEFT_E_RANGE, "calibration step %d: action %d is not finite",
                             c->n, i);
    if (c->n == c->capacity) {
        c->dropped++;
        return DEFT_OK;
    }
    const size_t at = (size_t)c->n;
    memcpy(c->obs + at * (size_t)n_obs, obs, (size_t)n_obs * sizeof *obs);
    if (applied_prev)
        memcpy(c->applied + at * (size_t)n_act, applied_prev, (size_t)n_act * sizeof *obs);
    c->own[at] = !applied_prev;
    c->first[at] = c->fresh;
    c->fresh = false;
    c->n++;
    return DEFT_OK;
}

int32_t deft_calibration_steps(const deft_calibration *c)
{
    return c->n;
}

int32_t deft_calibration_dropped(const deft_calibration *c)
{
    return c->dropped;
}

/* --- the contract's ends --------------------------------------------------------------------- */

static float clip(const float *lo, const float *hi, int32_t i, float v)
{
    if (lo && v < lo[i]) return lo[i];
    if (hi && v > hi[i]) return hi[i];
    return v;
}

void quant_front_end(const deft_contract *c, const float *obs, float *x)
{
    for (int32_t i = 0; i < c->n_obs; i++) {
        float v = obs[i];
        if (c->obs_offset) v = v - c->obs_offset[i];
        if (c->obs_scale) v = v * c->obs_scale[i];
        x[i] = clip(c->obs_lo, c->obs_hi, i, v);
    }
}

void quant_back_end(const deft_contract *c, const float *y, float *act)
{
    for (int32_t i = 0; i < c->n_act; i++) {
        float v = y[i];
        if (c->act_scale) v = v * c->act_scale[i];
        if (c->act_offset) v = v + c->act_offset[i];
        act[i] = clip(c->act_lo, c->act_hi, i, v);
    }
}

void quant_back_end_inverse(const deft_contract *c, const float *act, float *prev)
{
    for (int32_t i = 0; i < c->n_act; i++) {
        float v = act[i];
        if (c->act_offset) v = v - c->act_offset[i];
        if (c->act_scale) v = v / c->act_scale[i];
        prev[i] = v;
    }
}

/* --- the float policy over the recording ----------------------------------------------------- */

static bool allocate(const deft_model *m, size_t rows, deft_arena *a, quant_trace *t)
{
    t->obs = DEFT_NEW_ARRAY(a, float, rows *(size_t)m->contract.n_obs);
    t->prev = DEFT_NEW_ARRAY(a, float, rows *(size_t)m->contract.n_act);
    t->value = DEFT_NEW_ARRAY(a, float *, m->n_layer);
    if (!t->obs || !t->prev || !t->value) return false;
    for (int32_t k = 0; k < m->n_layer; k++) {
        t->value[k] = DEFT_NEW_ARRAY(a, float, rows *(size_t)m->layer[k].n_out);
        if (!t->value[k]) return false;
    }
    return true;
}

static deft_status run_row(const deft_calibration *c, deft_model_eval *e, int32_t r, quant_trace *t,
                           float *act)
{
    const deft_model *m = c->m;
    const size_t n_obs = (size_t)m->contract.n_obs, n_act = (size_t)m->contract.n_act;
    const size_t at = (size_t)r;
    const float *obs = c->obs + at * n_obs, *applied = c->applied + at * n_act;
    float *prev = t->prev + at * n_act;
    if (c->first[at]) deft_model_eval_reset(e);
    quant_front_end(&m->contract, obs, t->obs + at * n_obs);
    if (!c->own[at])
        quant_back_end_inverse(&m->contract, applied, prev);
    else if (!c->first[at])
        quant_back_end_inverse(&m->contract, act, prev);
    const deft_status s = deft_model_eval_step(e, obs, c->own[at] ? NULL : applied, act);
    for (int32_t k = 0; s == DEFT_OK && k < m->n_layer; k++) {
        const size_t n = (size_t)m->layer[k].n_out;
        memcpy(t->value[k] + at * n, deft_model_eval_layer(e, k), n * sizeof(float));
    }
    return s;
}

deft_status quant_trace_create(const deft_calibration *c, deft_arena *a, quant_trace *out,
                               deft_error *err)
{
    const deft_model *m = c->m;
    *out = (quant_trace){.m = m, .n_row = c->n, .first = c->first};
    if (c->n < 1) return deft_fail(err, DEFT_E_ARG, "no calibration data");
    float *act = DEFT_NEW_ARRAY(a, float, m->contract.n_act);
    if (!act || !allocate(m, (size_t)c->n, a, out))
        return deft_fail(err, DEFT_E_SPACE, "no memory for %d calibration steps", c->n);
    deft_model_eval *e;
    deft_status s = deft_model_eval_create(m, &e, err);
    if (s != DEFT_OK) return s;
    for (int32_t r = 0; s == DEFT_OK && r < c->n; r++) {
        s = run_row(c, e, r, out, act);
        if (s != DEFT_OK)
            (void)deft_fail(err, s, "calibration step %d: the policy's numbers are not finite", r);
    }
    deft_model_eval_destroy(e);
    return s;
}

void quant_trace_gather(const quant_trace *t, const deft_segment *s, int32_t n, int32_t row,
                        float *into)
{
    for (int32_t i = 0; i < n; i++) {
        const deft_model *m = t->m;
        const size_t length = (size_t)s[i].length;
        const bool layer = s[i].kind == DEFT_SRC_LAYER || s[i].kind == DEFT_SRC_STATE;
        const float *base = layer                       ? t->value[s[i].index]
                            : s[i].kind == DEFT_SRC_OBS ? t->obs
                                                        : t->prev;
        const int32_t width = layer                       ? m->layer[s[i].index].n_out
                              : s[i].kind == DEFT_SRC_OBS ? m->contract.n_obs
                                                          : m->contract.n_act;
        const bool old = s[i].kind == DEFT_SRC_STATE;
        if (old && t->first[row])
            memset(into, 0, length * sizeof *into);
        else
            memcpy(into, base + (size_t)(row - old) * (size_t)width + s[i].offset,
                   length * sizeof *into);
        into += length;
    }
}

void quant_column(const quant_trace *t, const float *base, int32_t n, int32_t element, float *x)
{
    for (int32_t r = 0; r < t->n_row; r++) x[r] = base[(size_t)r * (size_t)n + (size_t)element];
}
