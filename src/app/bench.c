/* bench.c - time of one control step, beside the time that a plain loop needs to read the same
 * weights. */
#include "app/bench_rounds.h"

enum { ROUNDS = 400, STEPS = 25 };

typedef struct session {
    deft_arena *arena;
    bench_policy *policy;
    bench_entry *entry; // two for each policy: the weights' reader, the policy
} session;

static deft_status enter(const session *b, const deft_loaded *l, size_t k,
                         const deft_kernels *kernels, int32_t rounds, deft_error *err)
{
    bench_policy *const p = &b->policy[k];
    bench_entry *const e = &b->entry[2 * k];
    if (!l->image.size) {
        return deft_fail(err, DEFT_E_UNSUPPORTED, "%s: there is no image to run: %s", l->path,
                         l->reason);
    }
    e[0] = (bench_entry){.run = bench_read_weights, .user = &p->facts};
    e[1] = (bench_entry){.run = bench_step_policy, .user = p};
    for (int i = 0; i < 2; i++) {
        e[i].ns = DEFT_NEW_ARRAY(b->arena, double, rounds);
        if (!e[i].ns) return deft_fail(err, DEFT_E_SPACE, "no memory to measure");
    }
    return bench_policy_open(p, l->image, kernels, b->arena, err);
}

static void summarise(const deft_loaded *l, const bench_policy *p, const bench_entry *e,
                      int32_t rounds, deft_bench_row *row)
{
    *row = (deft_bench_row){.read_ns_min = e[0].ns_min,
                            .read_ns_median = e[0].ns_median,
                            .ns_min = e[1].ns_min,
                            .ns_median = e[1].ns_median,
                            .arena_bytes = deft_policy_size(l->image.data, l->image.size),
                            .macs = p->facts.macs,
                            .rounds = rounds};
    for (size_t k = 0; k < p->facts.count; k++) row->weight_bytes += p->facts.bytes[k];
}

deft_status deft_bench(const deft_loaded *policy, int32_t n, const deft_bench_config *cfg,
                       deft_bench_row *row, bool *pinned, deft_error *err)
{
    bench_plan plan = {.rounds = cfg->rounds ? cfg->rounds : ROUNDS,
                       .times = cfg->steps ? cfg->steps : STEPS,
                       .cancelled = cfg->cancelled,
                       .user = cfg->user};
    const size_t count = (size_t)n;
    session b = {.arena = deft_arena_create(0)};
    if (!b.arena) return deft_fail(err, DEFT_E_SPACE, "no memory to measure");
    b.policy = DEFT_NEW_ARRAY(b.arena, bench_policy, n);
    b.entry = DEFT_NEW_ARRAY(b.arena, bench_entry, 2 * (int64_t)n);
    deft_status s = DEFT_OK;
    if (!b.policy || !b.entry) s = deft_fail(err, DEFT_E_SPACE, "no memory to measure");
    for (size_t k = 0; k < count && s == DEFT_OK; k++) {
        s = enter(&b, &policy[k], k, cfg->kernels, plan.rounds, err);
    }
    if (s == DEFT_OK) {
        s = bench_rounds(b.entry, 2 * n, &plan, pinned, err);
        for (size_t k = 0; k < count; k++) {
            row[k] = (deft_bench_row){.rounds = 0};
            if (plan.done == 0) continue;
            summarise(&policy[k], &b.policy[k], &b.entry[2 * k], plan.done, &row[k]);
        }
    }
    deft_arena_destroy(b.arena);
    return s;
}
