/* bench.c - time of one control step, beside the time that a plain loop needs to read the same
 * weights. In interleaved rounds, so that a change of clock or a busy neighbour meets them all. */
#include "app/image_facts.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 400, STEPS = 25, WARM_UP = 20 };

typedef struct runner {
    deft_policy policy;
    image_facts facts;
    float *obs, *act;
    double *step_ns, *read_ns; // [rounds]
} runner;

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

/* Sums all bytes as 32-bit integers, four accumulators of the widest vectors. */
#if defined(__x86_64__)
__attribute__((target_clones("avx512f", "avx2", "default")))
#endif
static uint32_t
read_all(const image_facts *w)
{
    typedef uint32_t v __attribute__((vector_size(64)));
    typedef uint32_t v_unaligned __attribute__((vector_size(64), aligned(4), may_alias));
    v a = {0}, b = {0}, c = {0}, d = {0};
    for (size_t k = 0; k < w->count; k++) {
        const uint8_t *const p = w->at[k];
        for (size_t i = 0; i + 256 <= w->bytes[k]; i += 256) {
            a += *(const v_unaligned *)(p + i);
            b += *(const v_unaligned *)(p + i + 64);
            c += *(const v_unaligned *)(p + i + 128);
            d += *(const v_unaligned *)(p + i + 192);
        }
    }
    a += b + c + d;
    return a[0] + a[5];
}

static deft_status prepare(const deft_loaded *l, const deft_bench_config *cfg, int32_t rounds,
                           runner *r, deft_error *err)
{
    if (!l->image.size) {
        return deft_fail(err, DEFT_E_UNSUPPORTED, "%s: there is no image to run: %s", l->path,
                         l->reason);
    }
    const int32_t size = deft_policy_size(l->image.data, l->image.size);
    deft_status s = image_facts_of(l->image, &r->facts, err);
    if (s != DEFT_OK || size < 0) return s != DEFT_OK ? s : (deft_status)size;
    const deft_policy_config p = {l->image.data, l->image.size,
                                  deft_arena_alloc(l->arena, (size_t)size), (size_t)size,
                                  cfg->kernels ? cfg->kernels : deft_kernels_best()};
    r->obs = DEFT_NEW_ARRAY(l->arena, float, r->facts.n_obs);
    r->act = DEFT_NEW_ARRAY(l->arena, float, r->facts.n_act);
    r->step_ns = DEFT_NEW_ARRAY(l->arena, double, rounds);
    r->read_ns = DEFT_NEW_ARRAY(l->arena, double, rounds);
    if (!p.arena || !r->obs || !r->act || !r->step_ns || !r->read_ns) {
        return deft_fail(err, DEFT_E_SPACE, "no memory to measure");
    }
    deft_rng rng;
    deft_rng_seed(&rng, 1);
    for (int32_t k = 0; k < r->facts.n_obs; k++) r->obs[k] = (float)deft_rng_uniform(&rng, -1, 1);
    s = deft_policy_init(&r->policy, &p);
    return s == DEFT_OK ? s : deft_fail(err, s, "the image cannot be run: %s", deft_status_str(s));
}

static void measure_round(runner *r, int32_t steps, int32_t round)
{
    volatile uint32_t sink = 0;
    double start = now_ns();
    for (int32_t s = 0; s < steps; s++) sink = sink + read_all(&r->facts);
    r->read_ns[round] = (now_ns() - start) / steps;
    start = now_ns();
    for (int32_t s = 0; s < steps; s++) (void)deft_policy_step(&r->policy, r->obs, NULL, r->act);
    r->step_ns[round] = (now_ns() - start) / steps;
    (void)sink;
}

static void summarise(const deft_loaded *l, const runner *r, int32_t rounds, deft_bench_row *row)
{
    qsort(r->step_ns, (size_t)rounds, sizeof *r->step_ns, by_value);
    qsort(r->read_ns, (size_t)rounds, sizeof *r->read_ns, by_value);
    *row = (deft_bench_row){.ns_min = r->step_ns[0],
                            .ns_median = r->step_ns[rounds / 2],
                            .read_ns_min = r->read_ns[0],
                            .read_ns_median = r->read_ns[rounds / 2],
                            .arena_bytes = deft_policy_size(l->image.data, l->image.size),
                            .macs = r->facts.macs,
                            .rounds = rounds};
    for (size_t k = 0; k < r->facts.count; k++) row->weight_bytes += r->facts.bytes[k];
}

/* The last core this thread may run on: the first one serves most interrupts. */
static bool pin(cpu_set_t *before)
{
    if (sched_getaffinity(0, sizeof *before, before) != 0) return false;
    size_t last = CPU_SETSIZE;
    for (size_t k = 0; k < CPU_SETSIZE; k++)
        if (CPU_ISSET(k, before)) last = k;
    cpu_set_t one;
    CPU_ZERO(&one);
    if (last == CPU_SETSIZE) return false;
    CPU_SET(last, &one);
    return sched_setaffinity(0, sizeof one, &one) == 0;
}

deft_status deft_bench(const deft_loaded *policy, int32_t n, const deft_bench_config *cfg,
                       deft_bench_row *row, bool *pinned, deft_error *err)
{
    const int32_t rounds = cfg->rounds ? cfg->rounds : ROUNDS;
    const int32_t steps = cfg->steps ? cfg->steps : STEPS;
    runner *r = calloc((size_t)n, sizeof *r);
    if (!r) return deft_fail(err, DEFT_E_SPACE, "no memory to measure");
    deft_status s = DEFT_OK;
    for (int32_t k = 0; k < n && s == DEFT_OK; k++) {
        s = prepare(&policy[k], cfg, rounds, &r[k], err);
    }
    if (s != DEFT_OK) {
        free(r);
        return s;
    }
    cpu_set_t before;
    *pinned = pin(&before);
    int32_t done = 0;
    for (int32_t round = -WARM_UP; round < rounds; round++) {
        for (int32_t k = 0; k < n; k++) measure_round(&r[k], steps, round < 0 ? 0 : round);
        done = round + 1;
        if (!cfg->cancelled || !cfg->cancelled(cfg->user, (double)done / rounds)) continue;
        s = deft_fail(err, DEFT_E_CANCELLED, "interrupted");
        break;
    }
    if (*pinned) (void)sched_setaffinity(0, sizeof before, &before);
    for (int32_t k = 0; k < n; k++) {
        row[k] = (deft_bench_row){.rounds = 0};
        if (done > 0) summarise(&policy[k], &r[k], done, &row[k]);
    }
    free(r);
    return s;
}
