/* bench_train - milliseconds per gradient step, and those of CPU time that all threads spent on it;
 * beside one product of its width in the same rounds: as training does it, and OpenBLAS's own.
 *
 *     ninja -C build/release bench_train && build/release/bench/bench_train
 */
#define _GNU_SOURCE
#include "train/agent.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

enum { ROUNDS = 200 }; // of a few milliseconds: the least one is undisturbed

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Of all threads, in the program and in the system for it. */
static double cpu_now(void)
{
    struct rusage u;
    if (getrusage(RUSAGE_SELF, &u) != 0) return 0;
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static float *randoms(deft_rng *rng, size_t n)
{
    float *p = aligned_alloc(64, (n * sizeof *p + 63) & ~(size_t)63);
    for (size_t i = 0; p && i < n; i++) p[i] = (float)deft_rng_normal(rng);
    return p;
}

/* Multiply-accumulates of one pass of a network over the batch, but for its first layer. */
static double pass(const deft_net *n, int rows, int from)
{
    double macs = 0;
    for (int l = from; l < n->n_layer; l++) macs += (double)n->width[l] * n->width[l + 1];
    return macs * rows;
}

/* Of one step: what the algorithm needs, averaged over the delay of the policy. */
static double step_flop(const deft_agent_config *c, const deft_net *actor, const deft_net *critic)
{
    const double a = pass(actor, c->rows, 0), q = pass(critic, c->rows, 0);
    const double a1 = pass(actor, c->rows, 1), q1 = pass(critic, c->rows, 1);
    const double critics = 2 * (q + q + q1); // forward, by the weights, by the hidden outputs
    if (c->algo == DEFT_ALGO_SAC) {
        return 2 * (a + 2 * q + critics + a + 2 * (q + q1) + a + a1);
    }
    return 2 * (a + 2 * q + critics + (a + q + q1 + a + a1) / c->policy_delay);
}

/* beta: 0 as training has it; what is neither 0 nor 1 goes to OpenBLAS. */
static double gemm_seconds(const deft_blas *b, int n, const float *x, float *y, float beta)
{
    const int repeat = n < 128 ? 100 : 3;
    const double start = now();
    for (int i = 0; i < repeat; i++) {
        deft_blas_gemm(b, &(deft_gemm){.m = n,
                                       .n = n,
                                       .k = n,
                                       .b_transposed = true,
                                       .a = x,
                                       .lda = n,
                                       .b = x,
                                       .ldb = n,
                                       .c = y,
                                       .ldc = n,
                                       .beta = beta});
    }
    return (now() - start) / repeat;
}

static void run(const deft_train_ops *ops, deft_algo algo, int width, int rows, bool two_threads)
{
    deft_error err = {0};
    const deft_agent_config c = {.algo = algo,
                                 .n_obs = 3,
                                 .n_act = 1,
                                 .rows = rows,
                                 .n_hidden = 2,
                                 .hidden = {width, width},
                                 .unit = DEFT_UNIT_RELU,
                                 .actor_rate = 3e-4f,
                                 .critic_rate = 3e-4f,
                                 .alpha_rate = 3e-4f,
                                 .tau = 0.005f,
                                 .policy_delay = algo == DEFT_ALGO_SAC ? 1 : 2,
                                 .target_noise = 0.2f,
                                 .noise_clip = 0.5f,
                                 .alpha = 1,
                                 .two_threads = two_threads};
    deft_agent *a = NULL;
    if (deft_agent_create(&c, ops, &a, &err) != DEFT_OK) {
        printf("%s\n", err.text);
        return;
    }
    deft_rng rng;
    deft_rng_seed(&rng, 1);
    deft_agent_init(a, &rng);
    const size_t r = (size_t)rows;
    const deft_batch b = {.obs = randoms(&rng, r * 3),
                          .act = randoms(&rng, r),
                          .reward = randoms(&rng, r),
                          .next_obs = randoms(&rng, r * 3),
                          .discount = randoms(&rng, r),
                          .noise = randoms(&rng, r),
                          .noise2 = randoms(&rng, r)};
    float *x = randoms(&rng, (size_t)width * (size_t)width),
          *y = randoms(&rng, (size_t)width * (size_t)width);
    const int repeat = width < 128 ? 40 : 2;
    double best = 1, best_own = 1, best_sgemm = 1, wall = 0, cpu = 0;
    for (int round = 0; round < ROUNDS; round++) {
        const double own = gemm_seconds(ops->blas, width, x, y, 0);
        const double sgemm = gemm_seconds(ops->blas, width, x, y, 0.5f);
        deft_agent_losses losses;
        const double start = now(), cpu_start = cpu_now();
        for (int i = 0; i < repeat; i++) deft_agent_step(a, &b, &losses);
        cpu += cpu_now() - cpu_start;
        const double t = (now() - start) / repeat;
        wall += t / ROUNDS;
        if (t < best) best = t;
        if (own < best_own) best_own = own;
        if (sgemm < best_sgemm) best_sgemm = sgemm;
    }
    const deft_net critic = {.n_layer = 3, .width = {4, width, width, 1}};
    const double flop = step_flop(&c, deft_agent_actor_net(a), &critic);
    const double product = 2.0 * width * width * width;
    printf("%-4s 2x%-4d batch %-4d %d thread%s %8.4f ms (mean %.4f, CPU %.4f)  %6.1f GFLOP/s   one "
           "product: %6.1f, "
           "OpenBLAS %6.1f GFLOP/s\n",
           algo == DEFT_ALGO_SAC ? "SAC" : "TD3", width, rows, two_threads ? 2 : 1,
           two_threads ? "s" : " ", best * 1e3, wall * 1e3, 1e3 * cpu / (ROUNDS * repeat),
           flop / best * 1e-9, product / best_own * 1e-9, product / best_sgemm * 1e-9);
    deft_agent_destroy(a);
}

int main(void)
{
    deft_blas *blas = NULL;
    deft_error err = {0};
    if (deft_blas_create(NULL, &blas, &err) != DEFT_OK) {
        printf("%s\n", err.text);
        return 1;
    }
    const deft_train_ops ops = {blas, deft_vec_best()};
    printf("OpenBLAS core %s, elementwise %s\n", deft_blas_core(blas), ops.vec->name);
    for (int threads = 0; threads < 2; threads++) {
        for (int algo = 0; algo < 2; algo++) {
            run(&ops, (deft_algo)algo, 64, 100, threads != 0);
            run(&ops, (deft_algo)algo, 256, 256, threads != 0);
        }
    }
    deft_blas_destroy(blas);
    return 0;
}
