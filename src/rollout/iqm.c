/* iqm.c - the interquartile mean and its interval by bootstrap, as in Agarwal et al. 2021. */
#include "deft/rollout.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RESAMPLES = 10000 };

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts x. A quarter, rounded down, is left out at each end. */
static double trimmed(double *x, int64_t n)
{
    qsort(x, (size_t)n, sizeof *x, ascending);
    const int64_t cut = n / 4;
    double sum = 0;
    for (int64_t i = cut; i < n - cut; i++) sum += x[i];
    return sum / (double)(n - 2 * cut);
}

/* Between the neighbours, linearly; x is sorted. */
static double quantile(const double *x, int64_t n, double q)
{
    const double at = q * (double)(n - 1), below = floor(at);
    const int64_t i = (int64_t)below;
    return i + 1 < n ? x[i] + (at - below) * (x[i + 1] - x[i]) : x[n - 1];
}

deft_status deft_iqm_of(const double *x, int64_t n, deft_iqm *out, deft_error *err)
{
    *out = (deft_iqm){(double)NAN, (double)NAN, (double)NAN, 0};
    double *const mine = malloc(((size_t)n * 2 + RESAMPLES) * sizeof *mine);
    if (!mine) return deft_fail(err, DEFT_E_SPACE, "no memory for a bootstrap");
    for (int64_t i = 0; i < n; i++) {
        if (!isnan(x[i])) mine[out->n++] = x[i];
    }
    double *const sample = mine + n, *const mean = sample + n;
    if (out->n > 0) out->iqm = trimmed(mine, out->n);
    deft_rng rng;
    deft_rng_seed(&rng, 0x69716d); // equal numbers, equal intervals
    for (int k = 0; out->n > 1 && k < RESAMPLES; k++) {
        for (int64_t i = 0; i < out->n; i++) {
            sample[i] = mine[(int64_t)deft_rng_uniform(&rng, 0, (double)out->n)];
        }
        mean[k] = trimmed(sample, out->n);
    }
    if (out->n > 1) {
        qsort(mean, RESAMPLES, sizeof *mean, ascending);
        out->lo = quantile(mean, RESAMPLES, 0.025);
        out->hi = quantile(mean, RESAMPLES, 0.975);
    }
    free(mine);
    return DEFT_OK;
}
