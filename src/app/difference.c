/* difference.c - how far two policies are apart: actions, and layer by layer. */
#include "app/difference.h"

#include <math.h>
#include <string.h>

/* A difference under construction. */
typedef struct sums {
    deft_difference *d;
    double tolerance;
    double abs, square, signal;
} sums;

static void begin(sums *s, deft_difference *d, double tolerance)
{
    *d = (deft_difference){.first = -1, .worst_row = -1, .worst_column = -1};
    *s = (sums){.d = d, .tolerance = tolerance};
}

/* One row. */
static void add(sums *s, const float *a, const float *b, int32_t n, int32_t row)
{
    deft_difference *const d = s->d;
    for (int32_t k = 0; k < n; k++) {
        if (isnan(a[k])) continue; // not recorded
        const double x = (double)a[k], e = fabs((double)b[k] - x);
        d->n++;
        s->abs += e;
        s->square += e * e;
        s->signal += x * x;
        if (!(e <= d->max_abs) || d->worst_row < 0) {
            d->max_abs = e;
            d->worst_row = row;
            d->worst_column = k;
        }
        if (d->first < 0 && !(e <= s->tolerance)) d->first = row;
    }
}

static void end(const sums *s)
{
    deft_difference *const d = s->d;
    if (!d->n) return;
    d->mean_abs = s->abs / (double)d->n;
    d->rms = sqrt(s->square / (double)d->n);
    d->snr_db = s->signal > 0 ? 10 * log10(s->signal / s->square) : (double)NAN;
}

void deft_difference_of(const float *a, const float *b, int32_t n_row, int32_t n_column,
                        double tolerance, deft_difference *out)
{
    sums s;
    begin(&s, out, tolerance);
    for (int32_t r = 0; r < n_row; r++) {
        const size_t at = (size_t)r * (size_t)n_column;
        add(&s, a + at, b + at, n_column, r);
    }
    end(&s);
}

static deft_status same_layers(const deft_model *a, const deft_model *b, deft_error *err)
{
    if (a->contract.n_obs != b->contract.n_obs || a->contract.n_act != b->contract.n_act) {
        return deft_fail(err, DEFT_E_MISMATCH, "their observations or actions differ in number");
    }
    if (a->n_layer != b->n_layer) {
        return deft_fail(err, DEFT_E_MISMATCH, "one has %d layers, the other %d", (int)a->n_layer,
                         (int)b->n_layer);
    }
    for (int32_t k = 0; k < a->n_layer; k++) {
        if (a->layer[k].kind == b->layer[k].kind && a->layer[k].n_out == b->layer[k].n_out)
            continue;
        return deft_fail(err, DEFT_E_MISMATCH, "layer %d is %s[%d] in one and %s[%d] in the other",
                         (int)k, deft_layer_kind_name(a->layer[k].kind), (int)a->layer[k].n_out,
                         deft_layer_kind_name(b->layer[k].kind), (int)b->layer[k].n_out);
    }
    return DEFT_OK;
}

/* Both through the recording; b is given what a did, so that only arithmetic tells them apart. */
static deft_status step_both(deft_model_eval *const eval[2], const deft_loaded *l,
                             const deft_recording *r, bool feed_recorded, deft_difference *out,
                             deft_error *err)
{
    deft_model_eval *const x = eval[0], *const y = eval[1];
    const deft_model *const m = l->model;
    const size_t n_act = (size_t)m->contract.n_act, n_layer = (size_t)m->n_layer;
    float *act = DEFT_NEW_ARRAY(l->arena, float, 2 * n_act);
    sums *s = DEFT_NEW_ARRAY(l->arena, sums, n_layer);
    if (!act || !s) return deft_fail(err, DEFT_E_SPACE, "no memory");
    for (size_t k = 0; k < n_layer; k++) begin(&s[k], &out[k], 0);
    const float *prev = NULL;
    for (int32_t row = 0; row < r->n_row; row++) {
        const float *const obs = r->obs + (size_t)row * (size_t)r->n_obs;
        const bool first = row == 0 || (r->first && r->first[row]);
        if (first) {
            deft_model_eval_reset(x);
            deft_model_eval_reset(y);
        }
        prev = first ? NULL : feed_recorded ? r->act + ((size_t)row - 1) * n_act : act;
        deft_status status = deft_model_eval_step(y, obs, prev, act + n_act);
        if (status == DEFT_OK) status = deft_model_eval_step(x, obs, prev, act);
        if (status != DEFT_OK) return deft_fail(err, status, "row %d cannot be run", (int)row + 1);
        for (size_t k = 0; k < n_layer; k++) {
            add(&s[k], deft_model_eval_layer(x, (int32_t)k), deft_model_eval_layer(y, (int32_t)k),
                m->layer[k].n_out, row);
        }
    }
    for (size_t k = 0; k < n_layer; k++) end(&s[k]);
    return DEFT_OK;
}

static deft_status fits_recording(const deft_model *m, const deft_recording *r, bool feed_recorded,
                                  deft_error *err)
{
    if (r->n_obs != m->contract.n_obs) {
        return deft_fail(err, DEFT_E_MISMATCH, "the recording has %d observations, the policies %d",
                         (int)r->n_obs, (int)m->contract.n_obs);
    }
    if (feed_recorded && r->n_act != m->contract.n_act) {
        return deft_fail(err, DEFT_E_MISMATCH, "the recording has %d actions, the policies %d",
                         (int)r->n_act, (int)m->contract.n_act);
    }
    return DEFT_OK;
}

deft_status deft_compare_layers(const deft_loaded *a, const deft_loaded *b, const deft_recording *r,
                                bool feed_recorded, deft_difference *out, deft_error *err)
{
    if (!a->model || (!b->model && !b->qmodel)) {
        return deft_fail(err, DEFT_E_UNSUPPORTED, "the first is no policy of float layers");
    }
    deft_status s = fits_recording(a->model, r, feed_recorded, err);
    if (s != DEFT_OK) return s;
    if (b->qmodel) return compare_integer_layers(a, b, r, feed_recorded, out, err);
    s = same_layers(a->model, b->model, err);
    deft_model_eval *eval[2] = {NULL, NULL};
    if (s == DEFT_OK) s = deft_model_eval_create(a->model, &eval[0], err);
    if (s == DEFT_OK) s = deft_model_eval_create(b->model, &eval[1], err);
    if (s == DEFT_OK) s = step_both(eval, a, r, feed_recorded, out, err);
    deft_model_eval_destroy(eval[0]);
    deft_model_eval_destroy(eval[1]);
    return s;
}
