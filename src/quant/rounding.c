/* rounding.c - weights to integers so that outputs, not weights, stay what they were.
 *
 * For a row w of a matrix and its inputs x the error is e' C e with e = w - delta q and C the
 * covariance of x (means are the bias's business). Columns are rounded one after the other; what
 * rounding one has cost is compensated by those that follow (GPTQ, Frantar et al. 2022, in the form
 * of Chee et al. 2023: C = U D U', feedback by U). Then single weights move by steps as long as the
 * error falls (coordinate descent), and delta is fitted to what came out. Inputs are those that the
 * integer layers before really give, targets are those of the float policy: the errors of earlier
 * layers are compensated as far as they can be (Li et al. 2025, GPTAQ). */
#include "quant/quant_private.h"

#include <math.h>
#include <string.h>

enum { SWEEPS = 12, REFITS = 3 };

typedef struct row_job {
    const quant_moments *mo;
    const quant_rounding *opt;
    int32_t n, lo, hi;
    double *w;     // [n] target
    double *e, *g; // [n] scratch
    int16_t *try;  // [n]
} row_job;

static int32_t nearest(double v, int32_t lo, int32_t hi)
{
    const double r = floor(v + 0.5);
    return r < lo ? lo : r > hi ? hi : (int32_t)r;
}

/* The best float weights on the integer inputs: (w cross) cov^-1. y: scratch [n]. */
static void retarget(const quant_moments *mo, const double *w, double *y, double *out)
{
    const int32_t n = mo->n;
    const size_t width = (size_t)n;
    for (int32_t j = 0; j < n; j++) out[j] = 0;
    for (int32_t i = 0; i < n; i++) {
        const double *row = mo->cross + (size_t)i * width;
        for (int32_t j = 0; j < n; j++) out[j] += w[i] * row[j];
    }
    for (int32_t k = 0; k < n; k++) y[k] = out[mo->order[k]];
    for (int32_t k = n - 1; k >= 0; k--) {
        const double *u = mo->unit + (size_t)k * width;
        for (int32_t j = 0; j < k; j++) y[j] -= u[j] * y[k];
    }
    for (int32_t k = 0; k < n; k++) {
        const double *u = mo->unit + (size_t)k * width;
        y[k] /= mo->diag[k];
        for (int32_t j = 0; j < k; j++) y[k] -= u[j] * y[j];
    }
    for (int32_t k = 0; k < n; k++) out[mo->order[k]] = y[k];
}

/* Rounds with feedback; returns the error e' C e. */
static double compensate(row_job *r, double delta, int16_t *q)
{
    const quant_moments *mo = r->mo;
    double cost = 0;
    for (int32_t k = 0; k < r->n; k++) {
        const int32_t i = mo->order[k];
        const double *u = mo->unit + (size_t)k * (size_t)r->n;
        double v = r->w[i];
        for (int32_t j = 0; j < k; j++) v += r->e[j] * u[j];
        q[i] = (int16_t)nearest(v / delta, r->lo, r->hi);
        r->e[k] = r->w[i] - delta * q[i];
        const double left = v - delta * q[i];
        cost += mo->diag[k] * left * left;
    }
    return cost;
}

/* g = C (w - delta q); returns the error. */
static double gradient(row_job *r, double delta, const int16_t *q)
{
    const size_t n = (size_t)r->n;
    double cost = 0;
    for (size_t i = 0; i < n; i++) r->g[i] = 0;
    for (size_t i = 0; i < n; i++) {
        const double e = r->w[i] - delta * q[i], *row = r->mo->cov + i * n;
        for (size_t j = 0; j < n; j++) r->g[j] += e * row[j];
    }
    for (size_t i = 0; i < n; i++) cost += (r->w[i] - delta * q[i]) * r->g[i];
    return cost;
}

/* Steps of single weights as long as the error falls; r->g is kept up to date. */
static void descend(row_job *r, double delta, int16_t *q)
{
    const size_t n = (size_t)r->n;
    (void)gradient(r, delta, q);
    for (int32_t sweep = 0; sweep < SWEEPS; sweep++) {
        bool moved = false;
        for (size_t i = 0; i < n; i++) {
            const double *row = r->mo->cov + i * n, curvature = delta * row[i];
            const int32_t to = nearest(q[i] + r->g[i] / curvature, r->lo, r->hi);
            const double step = to - q[i];
            if (step == 0 || step * (2 * r->g[i] - step * curvature) <= 1e-12 * curvature) continue;
            q[i] = (int16_t)to;
            for (size_t j = 0; j < n; j++) r->g[j] -= step * delta * row[j];
            moved = true;
        }
        if (!moved) break;
    }
}

/* delta with the least error for these integers: (q C w) / (q C q). */
static double refit(row_job *r, double delta, const int16_t *q)
{
    double qcw = 0, qcq = 0;
    // g = C w - delta C q
    (void)gradient(r, delta, q);
    for (int32_t i = 0; i < r->n; i++) qcw += q[i] * r->g[i];
    for (int32_t i = 0; i < r->n; i++) r->g[i] = 0;
    for (int32_t i = 0; i < r->n; i++) {
        const double *row = r->mo->cov + (size_t)i * (size_t)r->n;
        for (int32_t j = 0; j < r->n; j++) r->g[j] += q[i] * row[j];
    }
    for (int32_t i = 0; i < r->n; i++) qcq += q[i] * r->g[i];
    if (!(qcq > 0)) return delta;
    const double change = qcw / qcq;
    return fabs(change) < 0.2 * delta ? delta + change : delta;
}

static double largest(const double *w, int32_t n)
{
    double m = 0;
    for (int32_t i = 0; i < n; i++) m = fabs(w[i]) > m ? fabs(w[i]) : m;
    return m;
}

static void plain(const row_job *r, double delta, int16_t *q)
{
    for (int32_t i = 0; i < r->n; i++) q[i] = (int16_t)nearest(r->w[i] / delta, r->lo, r->hi);
}

/* Clipping may pay where bits are few: the best of scales from the largest weight downwards. */
static double search(row_job *r, double delta, int16_t *q)
{
    const int32_t tries = r->opt->bits >= 8 ? 4 : 26;
    const double step = r->opt->bits >= 8 ? 0.05 : 0.025;
    double best = (double)INFINITY, found = delta;
    for (int32_t t = 0; t < tries; t++) {
        const double d = delta * (1 - step * t), cost = compensate(r, d, r->try);
        if (cost >= best) continue;
        best = cost;
        found = d;
        memcpy(q, r->try, (size_t)r->n * sizeof *q);
    }
    for (int32_t k = 0; k < REFITS; k++) {
        descend(r, found, q);
        if (k + 1 < REFITS) found = refit(r, found, q);
    }
    return found;
}

static double round_row(row_job *r, double delta, int16_t *q)
{
    if (r->opt->nearest || r->opt->bits > 10) {
        plain(r, delta, q);
        return delta;
    }
    if (!r->opt->per_tensor) return search(r, delta, q);
    (void)compensate(r, delta, q);
    descend(r, delta, q);
    return delta;
}

/* sum |q| limit, and what the bias adds. */
static double bound_of(const quant_target *t, const int16_t *q, double offset_steps)
{
    double b = fabs(offset_steps) + 1;
    for (int32_t i = 0; i < t->n; i++) b += fabs((double)q[i]) * t->limit[i];
    return b;
}

static double offset_of(const quant_target *t, int32_t o, const quant_moments *mo, bool correct,
                        const double *delta_q)
{
    const double *w = t->w + (size_t)o * (size_t)t->n;
    double b = t->bias ? (double)t->bias[o] : 0;
    for (int32_t i = 0; correct && i < t->n; i++)
        b += w[i] * mo->mean_f[i] - delta_q[i] * mo->mean[i];
    return b;
}

/* One row, with fewer levels as long as the accumulator does not fit. */
static void round_one(const quant_target *t, int32_t o, row_job *r, double delta,
                      quant_rounded *out)
{
    enum { ATTEMPTS = 40 };
    const double most = ldexp(1, 30) * 0.999;
    int16_t *q = out->weight + (size_t)o * (size_t)t->n;
    for (int32_t attempt = 0; attempt < ATTEMPTS; attempt++) {
        out->delta[o] = round_row(r, delta, q);
        for (int32_t i = 0; i < t->n; i++) r->e[i] = out->delta[o] * q[i];
        out->offset[o] = offset_of(t, o, r->mo, r->opt->correct_bias, r->e);
        // wide accumulators only have their bias in 32 bits
        const double steps = out->offset[o] / out->delta[o];
        const double b = r->opt->bits > 8 ? fabs(steps) : bound_of(t, q, steps);
        if (b < most) return;
        delta *= r->opt->power_of_two ? 2 : 1.02 * b / most;
    }
}

deft_status quant_round(const quant_target *t, const quant_moments *mo, const quant_rounding *opt,
                        deft_arena *a, quant_rounded *out)
{
    const size_t n = (size_t)t->n;
    row_job r = {.mo = mo, .opt = opt, .n = t->n};
    r.hi = (1 << (opt->bits - 1)) - 1;
    r.lo = opt->bits < 8 ? -r.hi - 1 : -r.hi;
    r.w = DEFT_NEW_ARRAY(a, double, n);
    r.e = DEFT_NEW_ARRAY(a, double, n);
    r.g = DEFT_NEW_ARRAY(a, double, n);
    r.try = DEFT_NEW_ARRAY(a, int16_t, n);
    if (!r.w || !r.e || !r.g || !r.try) return DEFT_E_SPACE;
    for (int32_t o = 0; o < t->rows; o++) {
        const double *w = t->w + (size_t)o * n;
        const double most = opt->per_tensor ? t->largest : largest(w, t->n);
        // a row of zeros is its bias, to half a step of the output (wide accumulators lose bits)
        double delta = most > 0 ? most / r.hi : t->step[o] * (opt->bits > 8 ? 0x1p-12 : 0.5);
        if (opt->power_of_two) delta = quant_power_of_two(delta);
        if (opt->nearest || opt->bits > 10)
            memcpy(r.w, w, n * sizeof *w);
        else
            retarget(mo, w, r.e, r.w);
        round_one(t, o, &r, delta, out);
    }
    return DEFT_OK;
}
