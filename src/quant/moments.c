/* moments.c - second moments of a matrix's inputs, and their factors for rounding. */
#include "quant/quant_private.h"

#include <math.h>
#include <stdlib.h>

enum { BLOCK = 4 }; // rows at a time: one pass over the sums for four products

/* sum[i][j] += a[r][i] b[r][j] over BLOCK rows. */
static void add_block(const double *a, const double *b, int32_t n, double *sum)
{
    const size_t w = (size_t)n;
    const double *b0 = b, *b1 = b + w, *b2 = b + 2 * w, *b3 = b + 3 * w;
    for (int32_t i = 0; i < n; i++) {
        const double a0 = a[i], a1 = a[w + (size_t)i], a2 = a[2 * w + (size_t)i],
                     a3 = a[3 * w + (size_t)i];
        double *row = sum + (size_t)i * w;
        for (int32_t j = 0; j < n; j++)
            row[j] += a0 * b0[j] + a1 * b1[j] + (a2 * b2[j] + a3 * b3[j]);
    }
}

static double weight_of(const quant_samples *s, int32_t row)
{
    return s->weight ? (double)s->weight[row] : 1;
}

static double total_weight(const quant_samples *s)
{
    double sum = 0;
    for (int32_t r = 0; r < s->n_row; r++) sum += weight_of(s, r);
    return sum;
}

static void means(const quant_samples *s, const float *x, double *mean)
{
    const size_t n = (size_t)s->n;
    for (int32_t r = 0; r < s->n_row; r++) {
        const double w = weight_of(s, r);
        for (size_t i = 0; i < n; i++) mean[i] += w * (double)x[(size_t)r * n + i];
    }
    const double total = total_weight(s);
    for (size_t i = 0; i < n; i++) mean[i] /= total;
}

/* BLOCK rows from row first on, about the mean, times the root of their weights. */
static void centred(const quant_samples *s, const float *x, int32_t first, const double *mean,
                    double *out)
{
    const size_t n = (size_t)s->n;
    for (int32_t r = 0; r < BLOCK; r++) {
        const bool there = first + r < s->n_row;
        const double w = there ? sqrt(weight_of(s, first + r)) : 0;
        const float *row = x + (size_t)(there ? first + r : first) * n;
        for (size_t i = 0; i < n; i++) out[(size_t)r * n + i] = w * ((double)row[i] - mean[i]);
    }
}

typedef struct keyed {
    double key;
    int32_t index;
} keyed;

static int by_key(const void *a, const void *b) // the largest first
{
    const keyed *x = a, *y = b;
    return x->key > y->key ? -1 : x->key < y->key ? 1 : x->index < y->index ? -1 : 1;
}

/* cov = U D U' in the order of mo->order; Cholesky from the last column on. */
static void factorise(quant_moments *mo, double *u)
{
    const int32_t n = mo->n;
    const size_t w = (size_t)n;
    for (int32_t k = n - 1; k >= 0; k--) {
        const double *rk = u + (size_t)k * w;
        for (int32_t i = k; i >= 0; i--) {
            double *ri = u + (size_t)i * w;
            double s = mo->cov[(size_t)mo->order[i] * w + (size_t)mo->order[k]];
            for (int32_t j = k + 1; j < n; j++) s -= ri[j] * mo->diag[j] * rk[j];
            if (i == k)
                mo->diag[k] = s; // positive: cov is damped
            else
                ri[k] = s / mo->diag[k];
        }
    }
    for (int32_t k = 0; k < n; k++)
        for (int32_t j = 0; j < k; j++)
            mo->unit[(size_t)k * w + (size_t)j] = u[(size_t)j * w + (size_t)k];
}

/* A hundredth of the mean variance, and of the mean's square: what the data did not show must not
 * be given up for what it did. */
static void damp(quant_moments *mo)
{
    const size_t w = (size_t)mo->n;
    double trace = 0;
    for (size_t i = 0; i < w; i++) trace += mo->cov[i * w + i];
    const double floor = 0.01 * trace / mo->n;
    for (size_t i = 0; i < w; i++) {
        const double d = floor + 0.01 * mo->mean[i] * mo->mean[i] + 1e-3;
        mo->cov[i * w + i] += d;
        mo->cross[i * w + i] += d;
    }
}

static void accumulate(const quant_samples *s, quant_moments *mo, double *block)
{
    const int32_t n = mo->n;
    const size_t w = (size_t)n;
    double *a = block, *b = block + (size_t)BLOCK * w;
    for (int32_t r = 0; r < s->n_row; r += BLOCK) {
        centred(s, s->x, r, mo->mean, a);
        centred(s, s->xf, r, mo->mean_f, b);
        add_block(a, a, n, mo->cov);
        add_block(b, a, n, mo->cross);
    }
    const double total = total_weight(s);
    for (size_t i = 0; i < w * w; i++) {
        mo->cov[i] /= total;
        mo->cross[i] /= total;
    }
}

deft_status quant_moments_create(const quant_samples *s, deft_arena *a, quant_moments *out,
                                 deft_error *err)
{
    const int32_t n = s->n;
    const size_t w = (size_t)n;
    *out = (quant_moments){.n = n};
    out->mean = DEFT_NEW_ARRAY(a, double, w);
    out->mean_f = DEFT_NEW_ARRAY(a, double, w);
    out->cov = DEFT_NEW_ARRAY(a, double, w *w);
    out->cross = DEFT_NEW_ARRAY(a, double, w *w);
    out->order = DEFT_NEW_ARRAY(a, int32_t, w);
    out->unit = DEFT_NEW_ARRAY(a, double, w *w);
    out->diag = DEFT_NEW_ARRAY(a, double, w);
    keyed *key = DEFT_NEW_ARRAY(a, keyed, w);
    double *u = DEFT_NEW_ARRAY(a, double, w *w);
    double *block = DEFT_NEW_ARRAY(a, double, (size_t)2 * BLOCK * w);
    if (!out->mean || !out->mean_f || !out->cov || !out->cross || !out->order || !out->unit ||
        !out->diag || !key || !u || !block)
        return deft_fail(err, DEFT_E_SPACE, "no memory for the moments of %d inputs", n);
    if (s->centre) {
        means(s, s->x, out->mean);
        means(s, s->xf, out->mean_f);
    }
    accumulate(s, out, block);
    damp(out);
    for (int32_t i = 0; i < n; i++) key[i] = (keyed){out->cov[(size_t)i * w + (size_t)i], i};
    qsort(key, w, sizeof *key, by_key);
    for (int32_t i = 0; i < n; i++) out->order[i] = key[i].index;
    factorise(out, u);
    return DEFT_OK;
}
