/* Means, deviations and Student's t against values from tables and by hand. */
#include "check.h"
#include "rollout/stats.h"

#include <math.h>

/* The 97.5th percentiles by inversion of mpmath's incomplete beta function in 30 digits. */
static const struct {
    int64_t nu;
    double t;
} quantile[] = {
    {1, 12.7062047361747},      {2, 4.302652729749464},       {3, 3.18244630528371},
    {4, 2.776445105197794},     {5, 2.570581835636316},       {6, 2.44691185114497},
    {7, 2.364624251592785},     {9, 2.262157162798206},       {10, 2.228138851986275},
    {19, 2.09302405440831},     {20, 2.085963447265865},      {29, 2.045229642132704},
    {30, 2.042272456301238},    {49, 2.00957523712924},       {99, 1.984216951586417},
    {100, 1.983971518523552},   {199, 1.971956544251754},     {499, 1.964729390987689},
    {500, 1.964719837467368},   {501, 1.964710322175483},     {1000, 1.962339080826408},
    {10000, 1.960201239890626}, {1000000, 1.959966356814107},
};

static void check_quantiles(void)
{
    for (size_t i = 0; i < sizeof quantile / sizeof *quantile; i++) {
        const double t = stats_t95(quantile[i].nu);
        CHECK(fabs(t - quantile[i].t) < 2e-12 * t, "nu %lld: %.15g, not %.15g",
              (long long)quantile[i].nu, t, quantile[i].t);
    }
    for (int64_t nu = 1; nu < 2000; nu++) // and where one method follows the other
        CHECK(stats_t95(nu) > stats_t95(nu + 1), "nu %lld", (long long)nu);
    CHECK(isnan(stats_t95(0)), "no freedom, no quantile");
}

static void check_stat(void)
{
    const double x[] = {2, 4, (double)NAN, 4, 4, 5, 5, 7, 9}; // mean 5, squares 32 over 7
    const deft_stat s = deft_stat_of(x, 9);
    CHECK(s.n == 8, "%lld", (long long)s.n);
    CHECK(s.mean == 5, "%.17g", s.mean);
    CHECK(fabs(s.sd - 2.138089935299395) < 1e-14, "%.17g", s.sd);
    CHECK(fabs(s.ci95 - 2.364624251592785 * s.sd / sqrt(8)) < 1e-12, "%.17g", s.ci95);

    double far[1000]; // large mean, small spread: 1 e9 + 0, 1, 2 repeated
    for (int i = 0; i < 1000; i++) far[i] = 1e9 + i % 4;
    const deft_stat f = deft_stat_of(far, 1000);
    CHECK(f.mean == 1e9 + 1.5, "%.17g", f.mean);
    CHECK(fabs(f.sd - sqrt(1.25 * 1000 / 999)) < 1e-12, "%.17g", f.sd);
}

static void check_few(void)
{
    const double nothing[] = {(double)NAN, (double)NAN}, one[] = {(double)NAN, 3},
                 same[] = {2, 2, 2};
    deft_stat s = deft_stat_of(nothing, 2);
    CHECK(s.n == 0 && isnan(s.mean) && isnan(s.sd) && isnan(s.ci95), "of nothing");
    s = deft_stat_of(one, 2);
    CHECK(s.n == 1 && s.mean == 3 && isnan(s.sd) && isnan(s.ci95), "of one");
    s = deft_stat_of(same, 3);
    CHECK(s.mean == 2 && s.sd == 0 && s.ci95 == 0, "of the same");
    s = deft_stat_of(NULL, 0);
    CHECK(s.n == 0, "of none");
}

static void check_paired(void)
{
    const double a[] = {10, 20, (double)NAN, 40, 50}, b[] = {9, 18, 1, 37, (double)NAN}; // 1, 2, 3
    const deft_stat s = deft_stat_paired(a, b, 5);
    CHECK(s.n == 3 && s.mean == 2 && fabs(s.sd - 1) < 1e-15, "%g %g", s.mean, s.sd);
    CHECK(fabs(s.ci95 - sqrt(2 / 0.0975 - 2) / sqrt(3)) < 1e-12, "%.17g", s.ci95);
}

/* Against trim_mean(x, 0.25) in NumPy and the percentiles of a million resamples. */
static void test_iqm(void)
{
    static const double few[] = {3, (double)NAN, 1, 100, 2, 4};
    static const double x[] = {614, 537, 580, 90, 600, 610, 575, 1200, 560, 590};
    deft_error err = {0};
    deft_iqm q;
    CHECK_OK(deft_iqm_of(few, 6, &q, &err), err);
    CHECK(q.n == 5 && fabs(q.iqm - 3) < 1e-12, "%g of %lld", q.iqm, (long long)q.n);
    CHECK(q.lo >= 1 && q.lo < 3 && q.hi > 3 && q.hi <= 100, "%g to %g", q.lo, q.hi);
    CHECK_OK(deft_iqm_of(x, 10, &q, &err), err);
    CHECK(fabs(q.iqm - 585.8333333) < 1e-6, "%.12g", q.iqm);
    CHECK(fabs(q.lo - 488.2) < 5 && fabs(q.hi - 699.2) < 5, "%g to %g", q.lo, q.hi);
    CHECK_OK(deft_iqm_of(x, 1, &q, &err), err);
    CHECK(q.iqm == 614 && isnan(q.lo) && isnan(q.hi), "of one");
    CHECK_OK(deft_iqm_of(x, 0, &q, &err), err);
    CHECK(isnan(q.iqm) && q.n == 0, "of none");
}

int main(void)
{
    check_quantiles();
    check_stat();
    check_few();
    check_paired();
    test_iqm();
    return check_report();
}
