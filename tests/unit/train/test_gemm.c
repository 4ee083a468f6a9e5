/* Products of every shape that training has, and of odd ones, against sums of doubles: what
 * deft_blas_gemm does on this machine, by kernels of Deft's and by OpenBLAS's. */
#include "check.h"
#include "train/gemm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const float guard = 12345;

static float *randoms(deft_rng *rng, size_t n)
{
    float *p = malloc(n * sizeof *p);
    if (!p) abort();
    for (size_t i = 0; i < n; i++) p[i] = (float)deft_rng_normal(rng);
    return p;
}

static double element(const float *p, int ld, bool transposed, int row, int column)
{
    return (double)(transposed ? p[(size_t)column * (size_t)ld + (size_t)row]
                               : p[(size_t)row * (size_t)ld + (size_t)column]);
}

/* The largest error, in units of what k roundings of products of that size may come to. */
static double error_of(const deft_gemm *g, const float *before, bool ended)
{
    double worst = 0;
    for (int i = 0; i < g->m; i++) {
        for (int j = 0; j < g->n; j++) {
            const size_t at = (size_t)i * (size_t)g->ldc + (size_t)j;
            double sum = g->beta != 0 ? (double)before[at] : 0, size = fabs(sum);
            for (int k = 0; k < g->k; k++) {
                const double x = element(g->a, g->lda, g->a_transposed, i, k) *
                                 element(g->b, g->ldb, g->b_transposed, k, j);
                sum += x;
                size += fabs(x);
            }
            if (ended && g->bias) sum += (double)g->bias[j];
            if (ended && g->relu && sum < 0) sum = 0;
            const double e = fabs((double)g->c[at] - sum) / (1e-6 * (size + 1));
            if (!(e <= worst)) worst = e;
        }
    }
    return worst;
}

static void test_shape(const deft_blas *blas, deft_rng *rng, int m, int n, int k)
{
    for (int how = 0; how < 32; how++) {
        const bool ta = how & 1, tb = how & 2;
        const int extra = (int)(deft_rng_u64(rng) % 4);
        const int lda = (ta ? m : k) + extra, ldb = (tb ? k : n) + extra, ldc = n + extra;
        const size_t size_c = (size_t)m * (size_t)ldc;
        float *a = randoms(rng, (size_t)(ta ? k : m) * (size_t)lda);
        float *b = randoms(rng, (size_t)(tb ? n : k) * (size_t)ldb);
        float *c = randoms(rng, size_c), *bias = randoms(rng, (size_t)n);
        float *before = malloc(size_c * sizeof *before);
        if (!before) abort();
        for (int i = 0; i < m; i++) {
            for (int j = n; j < ldc; j++) c[i * ldc + j] = guard;
        }
        memcpy(before, c, size_c * sizeof *c);
        const deft_gemm g = {.m = m,
                             .n = n,
                             .k = k,
                             .a_transposed = ta,
                             .b_transposed = tb,
                             .a = a,
                             .b = b,
                             .c = c,
                             .lda = lda,
                             .ldb = ldb,
                             .ldc = ldc,
                             .beta = how & 4 ? 1.0f : 0.0f,
                             .bias = how & 8 ? bias : NULL,
                             .relu = how & 16};
        const bool ended = deft_blas_gemm(blas, &g);
        CHECK(ended || g.bias || g.relu, "nothing was left to do");
        const double e = error_of(&g, before, ended);
        CHECK(e <= 1, "%d x %d x %d, %d: error %g", m, n, k, how, e);
        int touched = 0;
        for (int i = 0; i < m; i++) {
            for (int j = n; j < ldc; j++) touched += c[i * ldc + j] != guard;
        }
        CHECK(touched == 0, "%d x %d x %d, %d: writes beyond rows", m, n, k, how);
        free(a);
        free(b);
        free(c);
        free(bias);
        free(before);
    }
}

/* What a row becomes does not depend on how many there are. */
static void test_rows(const deft_blas *blas, deft_rng *rng)
{
    enum { K = 70, N = 64, M = 23 };
    float *a = randoms(rng, (size_t)M * K), *w = randoms(rng, (size_t)N * K), all[M * N], one[N];
    deft_gemm g = {.m = M,
                   .n = N,
                   .k = K,
                   .b_transposed = true,
                   .a = a,
                   .lda = K,
                   .b = w,
                   .ldb = K,
                   .c = all,
                   .ldc = N};
    (void)deft_blas_gemm(blas, &g);
    g.m = 1;
    g.c = one;
    int different = 0;
    for (int i = 0; i < M; i++) {
        g.a = a + (size_t)i * K;
        (void)deft_blas_gemm(blas, &g);
        for (int j = 0; j < N; j++) different += one[j] != all[i * N + j];
    }
    CHECK(different == 0, "%d numbers depend on other rows", different);
    free(a);
    free(w);
}

int main(void)
{
    deft_blas *blas = NULL;
    deft_error err = {0};
    if (deft_blas_create(NULL, &blas, &err) != DEFT_OK) {
        printf("%s\n", err.text);
        return 77;
    }
    deft_rng rng;
    deft_rng_seed(&rng, 3);
    const int shapes[][3] = {{100, 64, 64},  {100, 64, 3}, {100, 1, 64}, {100, 2, 64},
                             {64, 4, 100},   {1, 64, 100}, {2, 64, 100}, {100, 64, 1},
                             {64, 64, 100},  {1, 1, 1},    {7, 7, 200},  {13, 8, 15},
                             {65, 130, 129}, {6, 63, 66},  {5, 9, 600}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        test_shape(blas, &rng, shapes[i][0], shapes[i][1], shapes[i][2]);
    }
    for (int i = 0; i < 60; i++) {
        const int m = 1 + (int)(deft_rng_u64(&rng) % 40), n = 1 + (int)(deft_rng_u64(&rng) % 80);
        test_shape(blas, &rng, m, n, 1 + (int)(deft_rng_u64(&rng) % 90));
    }
    if (strcmp(deft_blas_core(blas), "SkylakeX") == 0) test_rows(blas, &rng);
    deft_blas_destroy(blas);
    return check_report();
}
