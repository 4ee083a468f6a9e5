/* bench_rounds.c - the measuring loop. */
#include "app/bench_rounds.h"
#include "deft/kernels.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WARM_UP = 20 };

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

/* Sums all bytes as 32-bit integers, eight accumulators of the widest vectors. */
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

void bench_read_weights(void *user, int32_t times)
{
    volatile uint32_t sink = 0;
    for (int32_t s = 0; s < times; s++) sink = sink + read_all(user);
    (void)sink;
}

void bench_step_policy(void *user, int32_t times)
{
    bench_policy *const p = user;
    for (int32_t s = 0; s < times; s++) (void)deft_policy_step(&p->policy, p->obs, NULL, p->act);
}

deft_status bench_policy_open(bench_policy *p, deft_bytes image, const deft_kernels *kernels,
                              deft_arena *a, deft_error *err)
{
    const int32_t size = deft_policy_size_kept(image.data, image.size);
    deft_status s = image_facts_of(image, &p->facts, err);
    if (s != DEFT_OK || size < 0) return s != DEFT_OK ? s : (deft_status)size;
    const deft_policy_config cfg = {image.data, image.size, deft_arena_alloc(a, (size_t)size),
                                    (size_t)size, kernels ? kernels : deft_kernels_best()};
    p->obs = DEFT_NEW_ARRAY(a, float, p->facts.n_obs);
    p->act = DEFT_NEW_ARRAY(a, float, p->facts.n_act);
    if (!cfg.arena || !p->obs || !p->act) {
        return deft_fail(err, DEFT_E_SPACE, "no memory to measure");
    }
    deft_rng rng;
    deft_rng_seed(&rng, 1);
    for (int32_t k = 0; k < p->facts.n_obs; k++) p->obs[k] = (float)deft_rng_uniform(&rng, -1, 1);
    s = deft_policy_init(&p->policy, &cfg);
    return s == DEFT_OK ? s : deft_fail(err, s, "the image cannot be run: %s", deft_status_str(s));
}

/* The last core this thread may run on: the first one serves most interrupts. */
void bench_pin(bench_affinity *a)
{
    cpu_set_t before, one;
    _Static_assert(sizeof before <= sizeof a->before, "room for the mask");
    *a = (bench_affinity){.pinned = false};
    if (sched_getaffinity(0, sizeof before, &before) != 0) return;
    size_t last = CPU_SETSIZE;
    for (size_t k = 0; k < CPU_SETSIZE; k++)
        if (CPU_ISSET(k, &before)) last = k;
    if (last == CPU_SETSIZE) return;
    CPU_ZERO(&one);
    CPU_SET(last, &one);
    memcpy(a->before, &before, sizeof before);
    a->pinned = sched_setaffinity(0, sizeof one, &one) == 0;
}

void bench_unpin(const bench_affinity *a)
{
    cpu_set_t before;
    memcpy(&before, a->before, sizeof before);
    if (a->pinned) (void)sched_setaffinity(0, sizeof before, &before);
}

static double time_of(const bench_entry *e, int32_t times)
{
    if (e->ns_of) return e->ns_of(e->user, times);
    e->run(e->user, 2); // the others have filled the caches
    const double start = now_ns();
    e->run(e->user, times);
    return now_ns() - start;
}

deft_status bench_rounds(bench_entry *e, int32_t n, bench_plan *plan, deft_error *err)
{
    deft_status status = DEFT_OK;
    plan->done = 0;
    for (int32_t round = -WARM_UP; round < plan->rounds && status == DEFT_OK; round++) {
        for (int32_t k = 0; k < n; k++) {
            e[k].ns[round < 0 ? 0 : round] = time_of(&e[k], plan->times) / plan->times;
        }
        plan->done = round + 1;
        if (plan->cancelled && plan->cancelled(plan->user, (double)plan->done / plan->rounds)) {
            status = deft_fail(err, DEFT_E_CANCELLED, "interrupted");
        }
    }
    for (int32_t k = 0; k < n && plan->done > 0; k++) {
        qsort(e[k].ns, (size_t)plan->done, sizeof *e[k].ns, by_value);
        e[k].ns_min = e[k].ns[0];
        e[k].ns_median = e[k].ns[plan->done / 2];
    }
    return status;
}
