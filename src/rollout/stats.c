/* stats.c - mean, standard deviation, 95 % confidence intervals of Student's t. */
#include "rollout/stats.h"

#include <math.h>

/* A(t | nu), the probability of |T| <= t: Abramowitz and Stegun, Handbook of Mathematical
 * Functions, 26.7.3 (odd nu) and 26.7.4 (even nu); finite sums, exact for whole nu. */
static double probability_within(double t, int64_t nu)
{
    const double theta = atan(t / sqrt((double)nu)), c = cos(theta), c2 = c * c;
    const double pi = 3.14159265358979323846;
    const bool odd = nu % 2 != 0;
    double term = odd ? c : 1, sum = 0;
    for (int64_t k = odd ? 3 : 2; k <= nu; k += 2) {
        sum += term;
        term *= c2 * (double)(k - 1) / (double)k;
    }
    return odd ? 2 / pi * (theta + sin(theta) * sum) : sin(theta) * sum;
}

/* Abramowitz and Stegun, 26.7.5; the terms left out are below 1e-13 where this is used. */
static double quantile_of_many(double nu)
{
    const double x = 1.959963984540054; // of the normal distribution
    const double x2 = x * x;
    const double g1 = x * (x2 + 1) / 4;
    const double g2 = x * ((5 * x2 + 16) * x2 + 3) / 96;
    const double g3 = x * (((3 * x2 + 19) * x2 + 17) * x2 - 15) / 384;
    const double g4 = x * ((((79 * x2 + 776) * x2 + 1482) * x2 - 1920) * x2 - 945) / 92160;
    return x + (g1 + (g2 + (g3 + g4 / nu) / nu) / nu) / nu;
}

double stats_t95(int64_t nu)
{
    if (nu < 1) return (double)NAN;
    if (nu > 500) return quantile_of_many((double)nu);
    double lo = 1.9, hi = 13; // nu = 1: 12.706
    for (int i = 0; i < 60; i++) {
        const double middle = 0.5 * (lo + hi);
        if (probability_within(middle, nu) < 0.95)
            lo = middle;
        else
            hi = middle;
    }
    return 0.5 * (lo + hi);
}

/* b NULL: of a alone. */
static deft_stat stat_of(const double *a, const double *b, int64_t n)
{
    deft_stat s = {(double)NAN, (double)NAN, (double)NAN, 0};
    double sum = 0, squares = 0, rest = 0;
    for (int64_t i = 0; i < n; i++) {
        const double x = b ? a[i] - b[i] : a[i];
        if (isnan(x)) continue;
        sum += x;
        s.n++;
    }
    if (s.n == 0) return s;
    s.mean = sum / (double)s.n;
    if (s.n == 1) return s;
    for (int64_t i = 0; i < n; i++) { // a second pass: no cancellation
        const double x = b ? a[i] - b[i] : a[i];
        if (isnan(x)) continue;
        squares += (x - s.mean) * (x - s.mean);
        rest += x - s.mean; // what rounding left in the mean
    }
    const double m = (double)s.n, variance = (squares - rest * rest / m) / (m - 1);
    s.sd = variance <= 0 ? 0 : sqrt(variance); // NAN where infinities are among them
    s.ci95 = stats_t95(s.n - 1) * s.sd / sqrt(m);
    return s;
}

deft_stat deft_stat_of(const double *x, int64_t n)
{
    return stat_of(x, NULL, n);
}

deft_stat deft_stat_paired(const double *a, const double *b, int64_t n)
{
    return stat_of(a, b, n);
}
