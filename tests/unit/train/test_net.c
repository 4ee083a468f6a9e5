/* Gradients of networks by finite differences, in every combination of unit, LayerNorm, dropout;
 * and that instruction sets agree in every bit. */
#include "check.h"
#include "train/net.h"

#include <math.h>
#include <string.h>

enum { ROWS = 5, IN = 4, OUT = 3 };

typedef struct problem {
    deft_net net;
    float *param, *memory, *mask[2];
    float x[ROWS * IN], weight[ROWS * OUT]; // loss = sum weight * output
    deft_tape tape;
} problem;

static float *randoms(deft_rng *rng, size_t n)
{
    float *p = malloc((n ? n : 1) * sizeof *p);
    for (size_t i = 0; i < n; i++) p[i] = (float)deft_rng_normal(rng);
    return p;
}

static void setup(problem *p, deft_unit unit, bool norm, bool dropout, deft_rng *rng)
{
    *p = (problem){.net = {3, {IN, 7, 6, OUT}, unit, norm, dropout ? 0.25f : 0}};
    p->param = malloc((size_t)deft_net_params(&p->net) * sizeof(float));
    deft_net_init(&p->net, p->param, rng);
    for (int i = 0; i < deft_net_params(&p->net); i++) {
        p->param[i] += (float)(0.2 * deft_rng_normal(rng)); // gamma, beta off 1, 0
    }
    p->memory = malloc(deft_tape_layout(&p->net, ROWS, NULL, NULL) * sizeof(float));
    (void)deft_tape_layout(&p->net, ROWS, p->memory, &p->tape);
    for (int i = 0; i < ROWS * IN; i++) p->x[i] = (float)deft_rng_normal(rng);
    for (int i = 0; i < ROWS * OUT; i++) p->weight[i] = (float)deft_rng_normal(rng);
    for (int l = 0; l < 2 && dropout; l++) {
        const size_t n = (size_t)ROWS * (size_t)p->net.width[l + 1];
        p->mask[l] = randoms(rng, n);
        for (size_t i = 0; i < n; i++) p->mask[l][i] = p->mask[l][i] > -0.7f ? 4.0f / 3 : 0;
        p->tape.mask[l] = p->mask[l];
    }
}

static double loss(const deft_train_ops *o, problem *p)
{
    const float *y = deft_net_forward(o, &p->net, p->param, p->x, &p->tape);
    double sum = 0;
    for (int i = 0; i < ROWS * OUT; i++) sum += (double)p->weight[i] * (double)y[i];
    return sum;
}

static double slope(const deft_train_ops *o, problem *p, float *at)
{
    const float keep = *at, h = 2e-3f;
    *at = keep + h;
    const double up = loss(o, p);
    *at = keep - h;
    const double down = loss(o, p);
    *at = keep;
    return (up - down) / (2 * (double)h);
}

static void compare(const char *what, int i, double got, double want, int *kinks)
{
    const double off = fabs(got - want) / (1 + fabs(want));
    // A ReLU may change sides within the difference: rare, and then far off.
    if (off > 0.01) (*kinks)++;
    CHECK(off < 0.01 || *kinks <= 2, "%s[%d]: %g, finite difference %g", what, i, got, want);
}

static void test_gradients(const deft_train_ops *o, deft_unit unit, bool norm, bool dropout)
{
    deft_rng rng;
    deft_rng_seed(&rng, 11 + (uint64_t)unit);
    problem p;
    setup(&p, unit, norm, dropout, &rng);
    const int n = deft_net_params(&p.net);
    float *grad = calloc((size_t)n, sizeof *grad);
    float d_in[ROWS * IN], d_some[ROWS * 2];
    (void)loss(o, &p);
    deft_net_backward(o, &p.net, p.param, p.weight, &p.tape, &(deft_net_grad){grad, d_in, 0, IN});
    (void)loss(o, &p);
    deft_net_backward(o, &p.net, p.param, p.weight, &p.tape, &(deft_net_grad){NULL, d_some, 1, 2});
    int kinks = 0;
    for (int i = 0; i < n; i++)
        compare("param", i, (double)grad[i], slope(o, &p, &p.param[i]), &kinks);
    for (int i = 0; i < ROWS * IN; i++) {
        compare("input", i, (double)d_in[i], slope(o, &p, &p.x[i]), &kinks);
        const int r = i / IN, c = i % IN;
        if (c < 1 || c > 2) continue;
        CHECK(d_some[r * 2 + c - 1] == d_in[i], "columns of the input's gradient differ");
    }
    free(grad);
    free(p.param);
    free(p.memory);
    free(p.mask[0]);
    free(p.mask[1]);
}

/* Every operation of a set on the same numbers, into one vector. */
static void everything(const deft_vec *v, float *out)
{
    enum { R = 3, N = 37 };
    deft_rng rng;
    deft_rng_seed(&rng, 5);
    float *x = randoms(&rng, 8 * R * N), *y = x + R * N, *d = x + 2 * R * N, *z = x + 3 * R * N;
    const deft_adam adam = {1e-3f, 0.9f, 0.999f, 1e-8f, 3};
    for (int u = 0; u < 4; u++) {
        v->bias_unit(x, z, R, N, (deft_unit)u);
        v->unit_backward(d, x, R, N, (deft_unit)u);
    }
    v->column_sum(d, R, N, y);
    for (int i = 0; i < R * N; i++) z[i] = fabsf(z[i]);
    v->adam(&adam, x, y, z, d, R * N);
    v->polyak(d, x, 0.005f, R * N);
    float r[R];
    v->norm(x, r, x + 4 * R * N, x + 5 * R * N, R, N);
    v->norm_backward(d, x, r, x + 5 * R * N, x + 6 * R * N, (const int[]){R, N});
    v->multiply(y, d, N);
    memcpy(out, x, 8 * R * N * sizeof *x);
    free(x);
}

static void test_sets(void)
{
    enum { COUNT = 8 * 3 * 37 };
    float *want = malloc(COUNT * sizeof *want), *got = malloc(COUNT * sizeof *got);
    everything(&deft_vec_base, want);
    everything(deft_vec_best(), got);
    CHECK(memcmp(want, got, COUNT * sizeof *want) == 0, "%s differs from base",
          deft_vec_best()->name);
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        everything(&deft_vec_avx2, got);
        CHECK(memcmp(want, got, COUNT * sizeof *want) == 0, "avx2 differs from base");
    }
#endif
    free(want);
    free(got);
}

int main(void)
{
    deft_error err = {0};
    deft_blas *blas = NULL;
    CHECK_OK(deft_blas_create(NULL, &blas, &err), err);
    const deft_train_ops o = {blas, deft_vec_best()};
    for (int unit = 0; unit < 4; unit++) {
        for (int i = 0; i < 4; i++) test_gradients(&o, (deft_unit)unit, i & 1, i & 2);
    }
    test_sets();
    deft_blas_destroy(blas);
    return check_report();
}
