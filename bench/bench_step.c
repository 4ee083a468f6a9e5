/* bench_step.c - time of one control step, for every kernel set of this CPU, beside the time that a
 * plain loop needs to read the same weights. In interleaved rounds, so that a change of clock or a
 * busy neighbour meets them all.
 *
 *   bench_step FILE.deft|ra|td3 [KERNELS]     (ra, td3: random weights in the paper's shapes) */
#include "deft/emit.h"
#include "deft/kernels.h"
#include "image/image.h"
#include "unit/emit/random_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 400, STEPS = 25, MOST_SETS = 8 };

typedef struct runner {
    const char *name;
    deft_policy policy;
    double ns[ROUNDS];
} runner;

typedef struct weights {
    const float *at[64];
    size_t n[64];
    size_t count, bytes;
} weights;

static double now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(const char *name, double *ns, double read)
{
    qsort(ns, ROUNDS, sizeof *ns, by_value);
    printf("%-8s min %8.0f  median %8.0f ns/step", name, ns[0], ns[ROUNDS / 2]);
    if (read > 0) printf("  %5.2f x the read loop", ns[ROUNDS / 2] / read);
    printf("\n");
}

#if defined(__x86_64__)
__attribute__((target_clones("avx512f", "avx2", "default")))
#endif
static float
read_all(const weights *w)
{
    typedef float v __attribute__((vector_size(64)));
    typedef float v_unaligned __attribute__((vector_size(64), aligned(4), may_alias));
    v a = {0}, b = {0}, c = {0}, d = {0};
    for (size_t k = 0; k < w->count; k++) {
        const float *p = w->at[k];
        for (size_t i = 0; i + 64 <= w->n[k]; i += 64) {
            a += *(const v_unaligned *)(p + i);
            b += *(const v_unaligned *)(p + i + 16);
            c += *(const v_unaligned *)(p + i + 32);
            d += *(const v_unaligned *)(p + i + 48);
        }
    }
    a += b + c + d;
    return a[0] + a[5];
}

static weights weights_of(const deft_image *im)
{
    weights w = {.count = 0};
    for (uint32_t k = 0; k < im->n_layer && w.count + 2 <= 64; k++) {
        deft_image_layer l;
        deft_image_layer_at(im->data, im->directory, k, &l);
        const size_t gates = l.kind == DEFT_IMAGE_GRU    ? 3
                             : l.kind == DEFT_IMAGE_LSTM ? 4
                                                         : l.kind == DEFT_IMAGE_DENSE;
        const size_t rows = gates * l.n_out;
        if (!gates) continue;
        w.at[w.count] = l.weight;
        w.n[w.count++] = rows * l.n_in;
        if (l.weight_h) {
            w.at[w.count] = l.weight_h;
            w.n[w.count++] = rows * l.n_out;
        }
    }
    for (size_t k = 0; k < w.count; k++) w.bytes += 4 * w.n[k];
    return w;
}

static void measure(runner *r, size_t n, const weights *w, double *read_ns)
{
    float obs[1024] = {0}, act[1024];
    volatile float sink = 0;
    for (size_t i = 0; i < 17; i++) obs[i] = 0.1f * (float)i - 0.7f;
    for (int round = 0; round < ROUNDS; round++) {
        double start = now_ns();
        for (int s = 0; s < STEPS; s++) sink = sink + read_all(w);
        read_ns[round] = (now_ns() - start) / STEPS;
        for (size_t k = 0; k < n; k++) {
            start = now_ns();
            for (int s = 0; s < STEPS; s++) (void)deft_policy_step(&r[k].policy, obs, NULL, act);
            r[k].ns[round] = (now_ns() - start) / STEPS;
        }
    }
    (void)sink;
}

static int run(deft_bytes image, const char *only, deft_arena *a)
{
    // on a cache line: the layout is made for it
    uint8_t *copy = deft_arena_alloc(a, image.size + 64);
    deft_image im;
    if (!copy) return 1;
    copy += -(uintptr_t)copy % 64;
    memcpy(copy, image.data, image.size);
    const int32_t size = deft_policy_size(copy, image.size);
    if (size < 0 || deft_image_open(&im, copy, image.size) != DEFT_OK || im.n_obs > 1024 ||
        im.n_act > 1024) {
        (void)fprintf(stderr, "bench_step: not an image this can measure: %d\n", (int)size);
        return 1;
    }
    runner *r = DEFT_NEW_ARRAY(a, runner, MOST_SETS);
    double *read_ns = DEFT_NEW_ARRAY(a, double, ROUNDS);
    size_t n = 0;
    for (const deft_kernels *const *k = deft_kernels_all(); r && *k && n < MOST_SETS; k++) {
        if (only && strcmp(only, deft_kernels_name(*k)) != 0) continue;
        const deft_policy_config cfg = {copy, image.size, deft_arena_alloc(a, (size_t)size),
                                        (size_t)size, *k};
        r[n].name = deft_kernels_name(*k);
        if (deft_policy_init(&r[n].policy, &cfg) != DEFT_OK) return 1;
        const deft_status s = deft_policy_selftest(&r[n].policy);
        n++;
        if (s != DEFT_OK) printf("%s: self-test: %s\n", deft_kernels_name(*k), deft_status_str(s));
    }
    if (!read_ns || !n) return 1;
    const weights w = weights_of(&im);
    measure(r, n, &w, read_ns); // once to warm up
    measure(r, n, &w, read_ns);
    report("read", read_ns, 0);
    printf("         image %zu bytes, weights %zu, arena %d\n", image.size, w.bytes, (int)size);
    for (size_t k = 0; k < n; k++) report(r[k].name, r[k].ns, read_ns[ROUNDS / 2]);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 2 && argc != 3) {
        (void)fprintf(stderr, "usage: bench_step FILE.deft|ra|td3 [KERNELS]\n");
        return 2;
    }
    deft_arena *a = deft_arena_create(0);
    if (!a) return 1;
    deft_error err = {0};
    deft_bytes image = {NULL, 0};
    deft_rng rng;
    deft_rng_seed(&rng, 1);
    const bool ra = strcmp(argv[1], "ra") == 0;
    deft_status s = ra || strcmp(argv[1], "td3") == 0
                        ? deft_image_write(paper_model(&rng, a, ra), a, &image, &err)
                        : deft_file_read(argv[1], 0, a, &image, &err);
    int status = 1;
    if (s != DEFT_OK) {
        (void)fprintf(stderr, "bench_step: %s\n", err.text);
    } else {
        status = run(image, argc == 3 ? argv[2] : NULL, a);
    }
    deft_arena_destroy(a);
    return status;
}
