/* bench_step.c - time of one control step, for every kernel set of this CPU, beside the time that a
 * plain loop needs to read the same weights (see src/app/bench_rounds.h).
 *
 *   bench_step FILE.deft|ra|td3|ra-int8|td3-int8|ra-int4|td3-int4 [KERNELS]
 *                                              (names: random weights in the paper's shapes) */
#include "app/bench_rounds.h"
#include "deft/emit.h"
#include "deft/kernels.h"
#include "unit/emit/paper_qmodel.h"

#include <stdio.h>
#include <string.h>

enum { ROUNDS = 400, STEPS = 25, MOST_SETS = 8 };

/* On a cache line: the layout is made for it. */
static bool align(deft_bytes *image, deft_arena *a)
{
    uint8_t *copy = deft_arena_alloc(a, image->size + 64);
    if (!copy) return false;
    copy += -(uintptr_t)copy % 64;
    memcpy(copy, image->data, image->size);
    image->data = copy;
    return true;
}

static deft_status run(deft_bytes image, const char *only, deft_arena *a, deft_error *err)
{
    bench_policy *p = DEFT_NEW_ARRAY(a, bench_policy, MOST_SETS);
    bench_entry e[MOST_SETS + 1];
    const char *name[MOST_SETS + 1] = {"read"};
    int32_t n = 0;
    if (!p || !align(&image, a)) return deft_fail(err, DEFT_E_SPACE, "no memory");
    for (const deft_kernels *const *k = deft_kernels_all(); *k && n < MOST_SETS; k++) {
        if (only && strcmp(only, deft_kernels_name(*k)) != 0) continue;
        deft_status s = bench_policy_open(&p[n], image, *k, a, err);
        if (s != DEFT_OK) return s;
        s = deft_policy_selftest(&p[n].policy);
        if (s != DEFT_OK) return deft_fail(err, s, "%s: self-test", deft_kernels_name(*k));
        e[n + 1] = (bench_entry){.run = bench_step_policy, .user = &p[n]};
        name[++n] = deft_kernels_name(*k);
    }
    if (!n) return deft_fail(err, DEFT_E_ARG, "no such kernels");
    e[0] = (bench_entry){.run = bench_read_weights, .user = &p[0].facts};
    for (int32_t k = 0; k <= n; k++) e[k].ns = DEFT_NEW_ARRAY(a, double, ROUNDS);
    bench_plan plan = {.rounds = ROUNDS, .times = STEPS};
    bench_affinity core;
    bench_pin(&core);
    const deft_status s = bench_rounds(e, n + 1, &plan, err);
    bench_unpin(&core);
    if (s != DEFT_OK) return s;
    for (int32_t k = 0; k <= n; k++) {
        printf("%-10s min %8.0f  median %8.0f ns", name[k], e[k].ns_min, e[k].ns_median);
        printf("  %6.2f (min %6.2f) x the read loop\n", e[k].ns_median / e[0].ns_median,
               e[k].ns_min / e[0].ns_min);
    }
    return DEFT_OK;
}

static deft_status make(const char *what, deft_arena *a, deft_bytes *image, deft_error *err)
{
    static const char *const name[] = {"td3", "ra", "td3-int8", "ra-int8", "td3-int4", "ra-int4"};
    deft_rng rng;
    deft_rng_seed(&rng, 1);
    for (size_t k = 0; k < sizeof name / sizeof *name; k++) {
        if (strcmp(name[k], what) != 0) continue;
        if (k < 2) return deft_image_write(paper_model(&rng, a, k == 1), a, image, err);
        const deft_image_options opt = {.layout = DEFT_IMAGE_PANELS};
        const deft_number weights = k < 4 ? DEFT_NUM_S8 : DEFT_NUM_S4;
        return deft_image_write_q(paper_qmodel(&rng, a, k % 2 == 1, weights), &opt, a, image, err);
    }
    return deft_file_read(what, 0, a, image, err);
}

int main(int argc, char **argv)
{
    if (argc != 2 && argc != 3) {
        (void)fprintf(stderr, "usage: bench_step FILE.deft|ra|td3|ra-int8|... [KERNELS]\n");
        return 2;
    }
    deft_arena *a = deft_arena_create(0);
    if (!a) return 1;
    deft_error err = {0};
    deft_bytes image = {NULL, 0};
    deft_status s = make(argv[1], a, &image, &err);
    if (s == DEFT_OK) s = run(image, argc == 3 ? argv[2] : NULL, a, &err);
    if (s != DEFT_OK) (void)fprintf(stderr, "bench_step: %s\n", err.text);
    deft_arena_destroy(a);
    return s == DEFT_OK ? 0 : 1;
}
