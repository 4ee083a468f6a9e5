/* graph_eval.c - the reference evaluator: every node in order, plain loops. */
#include "graph/op.h"

#include <stdlib.h>
#include <string.h>

enum { RUN_LIMIT = 256 << 20, MAX_OUTPUTS = 64 };
/* Constants are folded a few times a weight; a step multiplies each weight about once, or as often
 * as a history is long. */
enum { CONSTANTS_LEAST = 1 << 27, CONSTANTS_BYTE = 64, STEP_LEAST = 1 << 20, STEP_BYTE = 32 };
enum { NODE = 64 }; // the work of a node whatever it does

struct deft_graph_eval {
    const deft_graph *g;
    deft_arena *folded;         // results of nodes with constant operands
    deft_arena *run;            // results of the last run
    const deft_tensor **value;  // [n_value], NULL where not computed
    const deft_tensor **fixed;  // [n_value] constants and folded values
    bool *skip;                 // [n_node] folded
    const deft_tensor **output; // [n_output]
    int64_t spent;              // by all runs
};

static int64_t work_of(const deft_graph *g, int64_t least, int64_t byte)
{
    return g->size ? least + byte * (int64_t)g->size : INT64_MAX;
}

int64_t deft_graph_work_constants(const deft_graph *g)
{
    return work_of(g, CONSTANTS_LEAST, CONSTANTS_BYTE);
}

int64_t deft_graph_work_step(const deft_graph *g)
{
    return work_of(g, STEP_LEAST, STEP_BYTE);
}

deft_status deft_op_run(const deft_node *n, const deft_op_env *env, const deft_tensor *const *in,
                        deft_tensor *out, deft_error *err)
{
    op_fn *f = op_find(n->op);
    if (!f) {
        char name[80];
        return deft_fail(err, DEFT_E_UNSUPPORTED, "operator '%s' is not known",
                         deft_escape(name, sizeof name, n->op, 256));
    }
    op_ctx c = {.node = n,
                .opset = env->opset,
                .in = in,
                .out = out,
                .arena = env->arena,
                .work = env->work,
                .err = err};
    const deft_status s = op_charge(&c, 1, NODE);
    return s == DEFT_OK ? f(&c) : s;
}

void deft_graph_eval_destroy(deft_graph_eval *e)
{
    if (!e) return;
    deft_arena_destroy(e->folded);
    deft_arena_destroy(e->run);
    free(e->value);
    free(e->fixed);
    free(e->skip);
    free(e->output);
    free(e);
}

/* Runs node k on e->value; results go to e->value and live in the arena. */
static deft_status run_node(deft_graph_eval *e, int32_t k, const deft_op_env *env, deft_error *err)
{
    deft_arena *const a = env->arena;
    const deft_node *n = &e->g->node[k];
    const deft_tensor **in = DEFT_NEW_ARRAY(a, const deft_tensor *, n->n_in);
    deft_tensor *out = DEFT_NEW_ARRAY(a, deft_tensor, n->n_out);
    deft_status s = in && out ? DEFT_OK : deft_fail(err, DEFT_E_SPACE, "no memory");
    for (int32_t i = 0; s == DEFT_OK && i < n->n_in; i++) {
        in[i] = n->in[i] == -1 ? NULL : e->value[n->in[i]];
        if (n->in[i] != -1 && !in[i])
            s = deft_fail(err, DEFT_E_FORMAT, "input %d was not computed", (int)i);
    }
    if (s == DEFT_OK) s = deft_op_run(n, env, in, out, err);
    if (s != DEFT_OK) {
        char label[256];
        (void)deft_error_prefix(err, "%s", deft_node_label(e->g, k, label, sizeof label));
        return s;
    }
    for (int32_t i = 0; i < n->n_out; i++)
        if (n->out[i] != -1 && out[i].data) e->value[n->out[i]] = &out[i];
    return DEFT_OK;
}

static deft_status fold_constants(deft_graph_eval *e, deft_error *err)
{
    const deft_graph *g = e->g;
    int64_t work = deft_graph_work_constants(g);
    const deft_op_env env = {g->opset, e->folded, &work};
    for (int32_t v = 0; v < g->n_value; v++) e->value[v] = g->value[v].constant;
    for (int32_t k = 0; k < g->n_node; k++) {
        const deft_node *n = &g->node[k];
        bool constant = true;
        for (int32_t i = 0; i < n->n_in; i++)
            constant = constant && (n->in[i] == -1 || e->value[n->in[i]]);
        if (!op_find(n->op)) {
            char label[256];
            return deft_fail(err, DEFT_E_UNSUPPORTED, "%s: this operator is not known",
                             deft_node_label(g, k, label, sizeof label));
        }
        if (!constant) continue;
        const deft_status s = run_node(e, k, &env, err);
        if (s != DEFT_OK) return s;
        e->skip[k] = true;
    }
    memcpy(e->fixed, e->value, (size_t)g->n_value * sizeof(const deft_tensor *));
    return DEFT_OK;
}

deft_status deft_graph_eval_create(const deft_graph *g, deft_graph_eval **out, deft_error *err)
{
    *out = NULL;
    deft_graph_eval *e = calloc(1, sizeof *e);
    if (!e) return deft_fail(err, DEFT_E_SPACE, "no memory");
    e->g = g;
    e->folded = deft_arena_create(RUN_LIMIT);
    e->value = calloc((size_t)g->n_value + 1, sizeof(const deft_tensor *));
    e->fixed = calloc((size_t)g->n_value + 1, sizeof(const deft_tensor *));
    e->skip = calloc((size_t)g->n_node + 1, sizeof *e->skip);
    e->output = calloc((size_t)g->n_output + 1, sizeof(const deft_tensor *));
    deft_status s = e->folded && e->value && e->fixed && e->skip && e->output
                        ? fold_constants(e, err)
                        : deft_fail(err, DEFT_E_SPACE, "no memory");
    if (s != DEFT_OK) {
        deft_graph_eval_destroy(e);
        return s;
    }
    *out = e;
    return DEFT_OK;
}

deft_status deft_graph_eval_run(deft_graph_eval *e, const deft_tensor *in, const deft_tensor **out,
                                deft_error *err)
{
    const deft_graph *g = e->g;
    if (!e->run) e->run = deft_arena_create(RUN_LIMIT);
    if (!e->run) return deft_fail(err, DEFT_E_SPACE, "no memory");
    deft_arena_reset(e->run);
    int64_t work = deft_graph_work_step(g);
    const deft_op_env env = {g->opset, e->run, &work};
    memcpy(e->value, e->fixed, (size_t)g->n_value * sizeof(const deft_tensor *));
    for (int32_t i = 0; i < g->n_input; i++) e->value[g->input[i].value] = &in[i];
    deft_status s = DEFT_OK;
    for (int32_t k = 0; s == DEFT_OK && k < g->n_node; k++)
        if (!e->skip[k]) s = run_node(e, k, &env, err);
    e->spent += deft_graph_work_step(g) - work;
    if (s != DEFT_OK) return s;
    for (int32_t i = 0; i < g->n_output; i++) {
        out[i] = e->value[g->output[i].value];
        if (!out[i]) return deft_fail(err, DEFT_E_FORMAT, "output %d was not computed", (int)i);
    }
    return DEFT_OK;
}

int64_t deft_graph_eval_spent(const deft_graph_eval *e)
{
    return e->spent;
}

const deft_tensor *deft_graph_eval_value(const deft_graph_eval *e, int32_t value)
{
    return value >= 0 && value < e->g->n_value ? e->value[value] : NULL;
}
