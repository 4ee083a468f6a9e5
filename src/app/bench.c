/* bench.c - time of one control step, beside the time that a plain loop needs to read the same
 * weights. */
#include "app/bench_peers.h"

enum { ROUNDS = 400, STEPS = 25, ENTRIES = 2 + DEFT_BENCH_PEERS };

typedef struct session {
    deft_arena *arena;
    bench_policy *policy;
    bench_peer *peer;   // [n][DEFT_BENCH_PEERS]
    bench_entry *entry; // for each policy: the weights' reader, the policy, its peers that run
    int32_t n_entry;
    size_t *first; // [n] of a policy's entries
} session;

static deft_status add_entry(session *b, bench_entry e, int32_t rounds, deft_error *err)
{
    e.ns = DEFT_NEW_ARRAY(b->arena, double, rounds);
    if (!e.ns) return deft_fail(err, DEFT_E_SPACE, "no memory to measure");
    b->entry[b->n_entry++] = e;
    return DEFT_OK;
}

static deft_status enter(session *b, const deft_loaded *l, size_t k, const deft_bench_config *cfg,
                         int32_t rounds, deft_error *err)
{
    bench_policy *const p = &b->policy[k];
    if (!l->image.size) {
        return deft_fail(err, DEFT_E_UNSUPPORTED, "%s: there is no image to run: %s", l->path,
                         l->reason);
    }
    b->first[k] = (size_t)b->n_entry;
    deft_status s = bench_policy_open(p, l->image, cfg->kernels, b->arena, err);
    const bench_entry read = {.run = bench_read_weights, .user = &p->facts};
    const bench_entry step = {.run = bench_step_policy, .user = p};
    if (s == DEFT_OK) s = add_entry(b, read, rounds, err);
    if (s == DEFT_OK) s = add_entry(b, step, rounds, err);
    for (int i = 0; s == DEFT_OK && cfg->peers && i < DEFT_BENCH_PEERS; i++) {
        bench_peer *const peer = &b->peer[k * DEFT_BENCH_PEERS + (size_t)i];
        bench_peer_start(peer, i, l, l->arena);
        const bench_entry e = {.ns_of = bench_peer_ns, .user = peer};
        if (!*peer->reason) s = add_entry(b, e, rounds, err);
    }
    return s;
}

static void summarise_peers(const session *b, size_t k, deft_bench_row *row)
{
    const bench_entry *e = &b->entry[b->first[k] + 2];
    for (size_t i = 0; i < DEFT_BENCH_PEERS; i++) {
        const bench_peer *const p = &b->peer[k * DEFT_BENCH_PEERS + i];
        if (!p->name) continue;
        row->peer[i] = (deft_bench_peer){.name = p->name, .reason = p->reason};
        if (*p->reason) continue;
        row->peer[i].ns_min = e->ns_min;
        row->peer[i].ns_median = e->ns_median;
        if (e->ns_min < 0) row->peer[i].reason = "it ended while it was measured";
        e++;
    }
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

static bool create(session *b, int32_t n)
{
    *b = (session){.arena = deft_arena_create(0)};
    if (!b->arena) return false;
    b->policy = DEFT_NEW_ARRAY(b->arena, bench_policy, n);
    b->entry = DEFT_NEW_ARRAY(b->arena, bench_entry, ENTRIES * (int64_t)n);
    b->peer = DEFT_NEW_ARRAY(b->arena, bench_peer, DEFT_BENCH_PEERS * (int64_t)n);
    b->first = DEFT_NEW_ARRAY(b->arena, size_t, n);
    return b->policy && b->entry && b->peer && b->first;
}

deft_status deft_bench(const deft_loaded *policy, int32_t n, const deft_bench_config *cfg,
                       deft_bench_row *row, bool *pinned, deft_error *err)
{
    bench_plan plan = {.rounds = cfg->rounds ? cfg->rounds : ROUNDS,
                       .times = cfg->steps ? cfg->steps : STEPS,
                       .cancelled = cfg->cancelled,
                       .user = cfg->user};
    const size_t count = (size_t)n;
    session b;
    bench_affinity core;
    deft_status s = DEFT_OK;
    if (!create(&b, n)) {
        if (b.arena) deft_arena_destroy(b.arena);
        return deft_fail(err, DEFT_E_SPACE, "no memory to measure");
    }
    bench_pin(&core);
    *pinned = core.pinned;
    for (size_t k = 0; k < count && s == DEFT_OK; k++) {
        s = enter(&b, &policy[k], k, cfg, plan.rounds, err);
    }
    if (s == DEFT_OK) {
        s = bench_rounds(b.entry, b.n_entry, &plan, err);
        for (size_t k = 0; k < count; k++) {
            row[k] = (deft_bench_row){.rounds = 0};
            if (plan.done == 0) continue;
            summarise(&policy[k], &b.policy[k], &b.entry[b.first[k]], plan.done, &row[k]);
            summarise_peers(&b, k, &row[k]);
        }
    }
    for (size_t k = 0; k < count * DEFT_BENCH_PEERS; k++) bench_peer_stop(&b.peer[k]);
    bench_unpin(&core);
    deft_arena_destroy(b.arena);
    return s;
}
