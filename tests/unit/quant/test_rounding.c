/* Rounding of one matrix: its arithmetic against brute force, what error compensation gains over
 * rounding to nearest, and what bounds it keeps. */
#include "check.h"
#include "quant/quant_private.h"

#include <math.h>
#include <string.h>

enum { ROWS = 24, N = 48, SAMPLES = 600 };

typedef struct problem {
    float *x, *xf; // [SAMPLES][N]
    double *w;     // [ROWS][N]
    float *bias;   // [ROWS]
    double *limit; // [N]
    double *step;  // [ROWS]
    quant_moments mo;
} problem;

/* Correlated inputs, as layers give: a few causes, mixed, and a mean. */
static void make(deft_arena *a, uint64_t seed, problem *p)
{
    deft_error err = {0};
    deft_rng r;
    deft_rng_seed(&r, seed);
    float mix[N][8];
    p->x = DEFT_NEW_ARRAY(a, float, SAMPLES *N);
    p->xf = DEFT_NEW_ARRAY(a, float, SAMPLES *N);
    p->w = DEFT_NEW_ARRAY(a, double, ROWS *N);
    p->bias = DEFT_NEW_ARRAY(a, float, ROWS);
    p->limit = DEFT_NEW_ARRAY(a, double, N);
    p->step = DEFT_NEW_ARRAY(a, double, ROWS);
    for (int i = 0; i < N; i++)
        for (int k = 0; k < 8; k++) mix[i][k] = (float)deft_rng_normal(&r);
    for (int s = 0; s < SAMPLES; s++) {
        float cause[8];
        for (int k = 0; k < 8; k++) cause[k] = (float)deft_rng_normal(&r);
        for (int i = 0; i < N; i++) {
            float v = 60 + 3 * (float)deft_rng_normal(&r);
            for (int k = 0; k < 8; k++) v += 8 * mix[i][k] * cause[k];
            p->xf[s * N + i] = v < 0 ? 0 : v > 255 ? 255 : v;
            p->x[s * N + i] = floorf(p->xf[s * N + i] + 0.5f);
        }
    }
    for (int i = 0; i < ROWS * N; i++) p->w[i] = 0.01 * deft_rng_normal(&r);
    for (int o = 0; o < ROWS; o++) {
        p->bias[o] = (float)deft_rng_normal(&r);
        p->step[o] = 0.01;
    }
    for (int i = 0; i < N; i++) p->limit[i] = 255;
    const quant_samples q = {SAMPLES, N, p->x, p->xf, NULL, true};
    CHECK_OK(quant_moments_create(&q, a, &p->mo, &err), err);
}

/* Mean squared error of the outputs, over all rows. */
static double output_error(const problem *p, const quant_rounded *r)
{
    double sum = 0;
    for (int s = 0; s < SAMPLES; s++) {
        for (int o = 0; o < ROWS; o++) {
            double want = (double)p->bias[o], got = r->offset[o];
            for (int i = 0; i < N; i++) {
                want += p->w[o * N + i] * (double)p->xf[s * N + i];
                got += r->delta[o] * r->weight[o * N + i] * (double)p->x[s * N + i];
            }
            sum += (want - got) * (want - got);
        }
    }
    return sum / SAMPLES / ROWS;
}

/* The factors give back the covariance, and it is the data's. */
static void check_moments(const problem *p)
{
    double worst = 0, worst_cov = 0;
    for (int k = 0; k < N; k++) {
        for (int l = k; l < N; l++) {
            double sum = 0; // (U D U')[k][l], unit[j][i] = U[i][j]
            for (int j = l; j < N; j++) {
                const double uk = j == k ? 1 : p->mo.unit[j * N + k];
                const double ul = j == l ? 1 : p->mo.unit[j * N + l];
                sum += uk * p->mo.diag[j] * ul;
            }
            const double want = p->mo.cov[p->mo.order[k] * N + p->mo.order[l]];
            worst = fmax(worst, fabs(sum - want));
        }
    }
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            double sum = 0;
            for (int s = 0; s < SAMPLES; s++)
                sum += ((double)p->x[s * N + i] - p->mo.mean[i]) *
                       ((double)p->x[s * N + j] - p->mo.mean[j]);
            if (i != j) worst_cov = fmax(worst_cov, fabs(sum / SAMPLES - p->mo.cov[i * N + j]));
        }
    }
    CHECK(worst < 1e-7, "U D U' is off by %g", worst);
    CHECK(worst_cov < 1e-7, "covariance is off by %g", worst_cov);
}

static void room(deft_arena *a, quant_rounded *r)
{
    r->weight = DEFT_NEW_ARRAY(a, int16_t, ROWS * N);
    r->delta = DEFT_NEW_ARRAY(a, double, ROWS);
    r->offset = DEFT_NEW_ARRAY(a, double, ROWS);
}

static void check_gain(const problem *p, int32_t bits, double gain, deft_arena *a)
{
    const quant_target t = {ROWS, N, p->w, p->bias, p->limit, p->step, 0};
    quant_rounding opt = {.bits = bits, .correct_bias = true};
    quant_rounded good, plain;
    room(a, &good);
    room(a, &plain);
    CHECK(quant_round(&t, &p->mo, &opt, a, &good) == DEFT_OK, "memory");
    opt.nearest = true;
    CHECK(quant_round(&t, &p->mo, &opt, a, &plain) == DEFT_OK, "memory");
    const double g = output_error(p, &good), n = output_error(p, &plain);
    printf("%d bits: mean squared error %.3g, to nearest %.3g\n", bits, g, n);
    CHECK(g * gain < n, "%d bits: %g against %g", bits, g, n);
    const int32_t hi = (1 << (bits - 1)) - 1;
    for (int i = 0; i < ROWS * N; i++) {
        CHECK(good.weight[i] >= -hi - 1 && good.weight[i] <= hi, "weight %d", good.weight[i]);
        const double exact = p->w[i] / plain.delta[i / N];
        CHECK(fabs(plain.weight[i] - exact) <= 0.5 + 1e-9, "not the nearest: %g", exact);
    }
}

/* Single steps of single weights cannot make it better: that is what descent ends with. */
static void check_local(const problem *p, deft_arena *a)
{
    const quant_target t = {ROWS, N, p->w, p->bias, p->limit, p->step, 0};
    const quant_rounding opt = {.bits = 4};
    quant_rounded r;
    room(a, &r);
    CHECK(quant_round(&t, &p->mo, &opt, a, &r) == DEFT_OK, "memory");
    // inputs equal to targets' inputs, so that the target is w itself up to the rounding of x
    for (int o = 0; o < ROWS; o++) {
        double right[N] = {0};
        for (int i = 0; i < N; i++) // w cross = w* cov
            for (int j = 0; j < N; j++) right[j] += p->w[o * N + i] * p->mo.cross[i * N + j];
        for (int i = 0; i < N; i++) {
            double g = right[i];
            for (int j = 0; j < N; j++)
                g -= r.delta[o] * r.weight[o * N + j] * p->mo.cov[i * N + j];
            const double c = p->mo.cov[i * N + i] * r.delta[o];
            for (int step = -1; step <= 1; step += 2) {
                const int v = r.weight[o * N + i] + step;
                if (v < -8 || v > 7) continue;
                CHECK(step * (2 * g - step * c) <= 1e-6 * c, "row %d: a step at %d pays", o, i);
            }
        }
    }
}

/* Accumulators that would not fit lose levels until they do. */
static void check_bound(problem *p, deft_arena *a)
{
    for (int i = 0; i < N; i++) p->limit[i] = 1e6;
    const quant_target t = {ROWS, N, p->w, NULL, p->limit, p->step, 0};
    const quant_rounding opt = {.bits = 8};
    quant_rounded r;
    room(a, &r);
    CHECK(quant_round(&t, &p->mo, &opt, a, &r) == DEFT_OK, "memory");
    for (int o = 0; o < ROWS; o++) {
        double sum = 0;
        int used = 0;
        for (int i = 0; i < N; i++) {
            sum += abs(r.weight[o * N + i]) * 1e6;
            used += r.weight[o * N + i] != 0;
        }
        CHECK(sum < 1073741824.0, "row %d: up to %g", o, sum);
        CHECK(used > 4, "row %d: %d weights left", o, used);
    }
    for (int i = 0; i < N; i++) p->limit[i] = 255;
}

int main(void)
{
    deft_arena *a = deft_arena_create(0);
    for (uint64_t seed = 1; seed <= 3; seed++) {
        problem p;
        make(a, seed, &p);
        check_moments(&p);
        check_gain(&p, 8, 1.15, a);
        check_gain(&p, 4, 4, a);
        check_gain(&p, 3, 4, a);
        check_local(&p, a);
        check_bound(&p, a);
    }
    deft_arena_destroy(a);
    return check_report();
}
