/* understand.c - from a graph as somebody's exporter wrote it to the canonical policy. */
#include "graph/understand.h"

enum { SCRATCH_LIMIT = 128 << 20 };

static deft_status run(und *u)
{
    static deft_status (*const steps[])(und *) = {
        und_trace,         und_find_functions, und_find_cells, und_find_state,
        und_choose_action, und_peel_action,    und_lower,      und_fold_observations,
        und_fuse,          und_emit,
    };
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        const deft_status s = steps[i](u);
        if (s != DEFT_OK) return s;
    }
    return DEFT_OK;
}

deft_status deft_understand(deft_graph *g, const deft_understand_options *opt, deft_model **out,
                            deft_error *err)
{
    *out = NULL;
    deft_error mine = {0};
    und u = {.g = g, .opt = opt, .err = err ? err : &mine};
    u.work = deft_graph_work_constants(g);
    u.a = deft_arena_create(SCRATCH_LIMIT);
    u.m = DEFT_NEW(g->arena, deft_model);
    if (!u.a || !u.m) {
        deft_arena_destroy(u.a);
        return deft_fail(err, DEFT_E_SPACE, "no memory to understand this graph");
    }
    u.m->arena = g->arena;
    deft_status s = run(&u);
    deft_arena_destroy(u.a);
    if (s == DEFT_OK && opt && opt->rewire_cascade) {
        const int32_t n = deft_model_rewire(u.m, err);
        if (n < 0) s = (deft_status)n;
    }
    if (s == DEFT_OK) *out = u.m;
    return s;
}
