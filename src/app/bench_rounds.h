/* bench_rounds.h - times of several things in interleaved rounds, so that a change of clock or a
 * busy neighbour meets them all. */
#ifndef DEFT_APP_BENCH_ROUNDS_H
#define DEFT_APP_BENCH_ROUNDS_H

#include "app/image_facts.h"

typedef struct bench_entry {
    void (*run)(void *user, int32_t times);     // is timed; or
    double (*ns_of)(void *user, int32_t times); // times itself: ns of all, negative: no more

    void *user;
    double *ns; // [rounds] of one time
    double ns_min, ns_median;
} bench_entry;

typedef struct bench_plan {
    int32_t rounds, times;                          // a round
    bool (*cancelled)(void *user, double fraction); // may be NULL
    void *user;
    int32_t done; // rounds, out
} bench_plan;

/* Pins this thread, and processes that it starts from now on, to one core. */
typedef struct bench_affinity {
    unsigned long before[16];
    bool pinned;
} bench_affinity;
void bench_pin(bench_affinity *a);
void bench_unpin(const bench_affinity *a);

/* Runs some rounds to warm up, then those that count, and fills minima and medians.
 * DEFT_E_CANCELLED keeps what is done. */
deft_status bench_rounds(bench_entry *e, int32_t n, bench_plan *plan, deft_error *err);

/* A plain loop over the weights, `times` times; user: an image_facts. */
void bench_read_weights(void *user, int32_t times);

/* A policy that makes steps; user: a bench_policy. */
typedef struct bench_policy {
    deft_policy policy;
    image_facts facts;
    float *obs, *act;
} bench_policy;
void bench_step_policy(void *user, int32_t times);

/* Everything a policy needs, from the arena; kernels NULL: the best. path: for messages. */
deft_status bench_policy_open(bench_policy *p, deft_bytes image, const deft_kernels *kernels,
                              deft_arena *a, deft_error *err);

#endif
