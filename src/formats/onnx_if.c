/* onnx_if.c - If nodes whose condition follows from shapes: the branch taken is read in place.
 * PyTorch's exporter writes squeeze(dim) as one where it lost track of a shape. */
#include "formats/onnx_private.h"

#include <string.h>

enum { MAX_IFS = 64, MAX_NODES = 1000 };

static const Onnx__GraphProto *branch_of(const Onnx__NodeProto *p, const char *name)
{
    for (size_t i = 0; i < p->n_attribute; i++)
        if (strcmp(onnx_text(p->attribute[i]->name), name) == 0 && p->attribute[i]->g)
            return p->attribute[i]->g;
    return NULL;
}

void onnx_if_room(const Onnx__GraphProto *p, size_t *nodes, size_t *names)
{
    for (size_t i = 0; i < p->n_node; i++)
        for (size_t k = 0; k < p->node[i]->n_attribute; k++) {
            const Onnx__GraphProto *b = p->node[i]->attribute[k]->g;
            if (!b) continue;
            *nodes += b->n_node + b->n_output;
            *names += b->n_initializer + b->n_output;
            for (size_t j = 0; j < b->n_node; j++)
                *names += b->node[j]->n_input + b->node[j]->n_output;
        }
}

/* Marks in `seen` what value follows from, past Shape and Size nodes only if asked; false if that
 * includes what an input holds. seen [n_value] is zero, stack [n_value] work space. */
static bool flood(const deft_graph *g, int32_t value, bool past_shapes, uint8_t *seen,
                  int32_t *stack)
{
    int32_t n = 0;
    bool free_of_inputs = true;
    stack[n++] = value;
    seen[value] = 1;
    while (n > 0) {
        const deft_value *v = &g->value[stack[--n]];
        if (v->constant) continue;
        if (v->producer < 0) free_of_inputs = false;
        if (v->producer < 0) continue;
        const deft_node *node = &g->node[v->producer];
        const bool shape = strcmp(node->op, "Shape") == 0 || strcmp(node->op, "Size") == 0;
        for (int32_t i = 0; i < node->n_in && (!shape || past_shapes); i++)
            if (node->in[i] >= 0 && !seen[node->in[i]]) {
                seen[node->in[i]] = 1;
                stack[n++] = node->in[i];
            }
    }
    return free_of_inputs;
}

/* Leaves the nodes of g whose results were seen. */
static void keep_seen(deft_graph *g, const uint8_t *seen)
{
    int32_t n = 0;
    for (int32_t k = 0; k < g->n_node; k++) {
        bool wanted = false;
        for (int32_t i = 0; i < g->node[k].n_out; i++)
            wanted = wanted || (g->node[k].out[i] >= 0 && seen[g->node[k].out[i]]);
        if (wanted) g->node[n++] = g->node[k];
    }
    g->n_node = n;
}

/* Zeros of the declared shapes, 1 where they are open, for inputs that were seen. */
static deft_status make_inputs(const deft_graph *g, const uint8_t *seen, deft_arena *a,
                               const deft_tensor **value)
{
    for (int32_t i = 0; i < g->n_input; i++) {
        deft_port p = g->input[i];
        if (!seen[p.value]) continue;
        if (p.rank < 0 || !p.dtype) return DEFT_E_UNSUPPORTED;
        for (int32_t k = 0; k < p.rank; k++)
            if (p.dim[k] < 0) p.dim[k] = 1;
        deft_tensor *t = DEFT_NEW(a, deft_tensor);
        if (!t) return DEFT_E_SPACE;
        const deft_status s = deft_tensor_init(t, p.dtype, p.rank, p.dim, a);
        if (s != DEFT_OK) return s;
        value[p.value] = t;
    }
    return DEFT_OK;
}

static deft_status run_node(const deft_graph *g, int32_t k, const deft_op_env *env,
                            const deft_tensor **value, deft_error *err)
{
    deft_arena *const a = env->arena;
    const deft_node *n = &g->node[k];
    const deft_tensor **in = DEFT_NEW_ARRAY(a, const deft_tensor *, n->n_in);
    deft_tensor *out = DEFT_NEW_ARRAY(a, deft_tensor, n->n_out);
    if (!in || !out) return DEFT_E_SPACE;
    for (int32_t i = 0; i < n->n_in; i++) {
        in[i] = n->in[i] == -1 ? NULL : value[n->in[i]];
        if (n->in[i] != -1 && !in[i]) return DEFT_E_FORMAT;
    }
    const deft_status s = deft_op_run(n, env, in, out, err);
    if (s == DEFT_E_RANGE && err) { // too much work, or a shape that is out of range
        char label[256];
        (void)deft_error_prefix(err, "%s", deft_node_label(g, k, label, sizeof label));
    }
    for (int32_t i = 0; s == DEFT_OK && i < n->n_out; i++)
        if (n->out[i] != -1 && out[i].data) value[n->out[i]] = &out[i];
    return s;
}

/* The nodes of g in order. Small memory keeps the time of shapes made to be huge small too. */
static deft_status run(onnx_reader *r, const deft_graph *g, const uint8_t *seen, int32_t condition,
                       const deft_tensor **value, bool *out)
{
    if (g->n_node > MAX_NODES)
        return deft_fail(r->err, DEFT_E_RANGE, "it follows from more than %d nodes", MAX_NODES);
    deft_arena *a = deft_arena_create((size_t)4 << 20);
    if (!a) return DEFT_E_SPACE;
    for (int32_t v = 0; v < g->n_value; v++) value[v] = g->value[v].constant;
    const deft_op_env env = {g->opset, a, &r->work};
    deft_status s = make_inputs(g, seen, a, value);
    for (int32_t k = 0; s == DEFT_OK && k < g->n_node; k++) s = run_node(g, k, &env, value, r->err);
    const deft_tensor *y = value[condition];
    if (s == DEFT_OK && (!y || y->dtype != DEFT_BOOL || y->count != 1)) s = DEFT_E_FORMAT;
    if (s == DEFT_OK) *out = ((const uint8_t *)y->data)[0] != 0;
    deft_arena_destroy(a);
    return s;
}

/* The condition, from the nodes read so far. */
static deft_status evaluate(onnx_reader *r, int32_t condition, deft_arena *work, bool *out)
{
    deft_port port = {.value = condition, .rank = -1};
    deft_graph g = *r->g;
    g.arena = work;
    g.n_value = r->names.n;
    g.value = deft_arena_copy(work, r->names.value, (size_t)g.n_value * sizeof *g.value);
    g.output = &port;
    g.n_output = 1;
    uint8_t *seen = deft_arena_alloc(work, (size_t)g.n_value);
    int32_t *stack = DEFT_NEW_ARRAY(work, int32_t, g.n_value);
    const deft_tensor **value = DEFT_NEW_ARRAY(work, const deft_tensor *, g.n_value);
    if (!g.value || !seen || !stack || !value) return DEFT_E_SPACE;
    const deft_status s = deft_graph_finish(&g, NULL);
    if (s != DEFT_OK) return s;
    if (!flood(&g, condition, false, seen, stack)) return DEFT_E_UNSUPPORTED;
    memset(seen, 0, (size_t)g.n_value);
    (void)flood(&g, condition, true, seen, stack);
    keep_seen(&g, seen);
    return run(r, &g, seen, condition, value, out);
}

/* Names that the branch makes. */
static deft_status collect(onnx_names *m, const Onnx__GraphProto *b, deft_arena *work,
                           deft_error *err)
{
    size_t n = b->n_initializer;
    for (size_t i = 0; i < b->n_node; i++) n += b->node[i]->n_output;
    if (onnx_names_init(m, (int32_t)n, work) != DEFT_OK)
        return deft_fail(err, DEFT_E_SPACE, "no memory for the names of a branch");
    deft_status s = DEFT_OK;
    int32_t at = 0;
    for (size_t i = 0; s == DEFT_OK && i < b->n_initializer; i++)
        s = onnx_names_get(m, onnx_text(b->initializer[i]->name), &at, err);
    for (size_t i = 0; s == DEFT_OK && i < b->n_node; i++)
        for (size_t k = 0; s == DEFT_OK && k < b->node[i]->n_output; k++)
            s = onnx_names_get(m, onnx_text(b->node[i]->output[k]), &at, err);
    return s;
}

/* What the If calls its outputs is what the branch calls its own. */
static deft_status connect(onnx_reader *r, const Onnx__NodeProto *p, const Onnx__GraphProto *b,
                           onnx_names *local)
{
    for (size_t i = 0; i < p->n_output; i++) {
        if (!p->output[i][0]) continue;
        deft_node *n = &r->g->node[r->g->n_node++];
        int32_t *edge = DEFT_NEW_ARRAY(r->a, int32_t, 2);
        if (!edge) return deft_fail(r->err, DEFT_E_SPACE, "no memory for the graph");
        r->local = local;
        deft_status s = onnx_value_of(r, onnx_text(b->output[i]->name), &edge[0]);
        r->local = NULL;
        if (s == DEFT_OK) s = onnx_value_of(r, p->output[i], &edge[1]);
        if (s != DEFT_OK) return s;
        *n = (deft_node){.name = "", .op = "Identity", .n_in = 1, .n_out = 1};
        n->in = &edge[0];
        n->out = &edge[1];
    }
    return DEFT_OK;
}

static deft_status read_branch(onnx_reader *r, const Onnx__NodeProto *p, const Onnx__GraphProto *b,
                               deft_arena *work)
{
    onnx_names local;
    deft_status s = collect(&local, b, work, r->err);
    r->prefix = deft_arena_printf(work, "If%d", (int)r->g->n_node);
    if (s == DEFT_OK && !r->prefix) s = deft_fail(r->err, DEFT_E_SPACE, "no memory for a branch");
    r->local = &local;
    if (s == DEFT_OK) s = onnx_read_initializers(r, b->initializer, b->n_initializer);
    if (s == DEFT_OK) s = onnx_read_nodes(r, b->node, b->n_node);
    r->local = NULL;
    return s == DEFT_OK ? connect(r, p, b, &local) : s;
}

deft_status onnx_read_if(onnx_reader *r, const Onnx__NodeProto *p)
{
    int32_t condition = -1;
    const Onnx__GraphProto *yes = branch_of(p, "then_branch"), *no = branch_of(p, "else_branch");
    if (p->n_input != 1 || !yes || !no)
        return deft_fail(r->err, DEFT_E_FORMAT, "needs a condition and two branches");
    // each costs an evaluation of what comes before it
    if (++r->n_if > MAX_IFS)
        return deft_fail(r->err, DEFT_E_RANGE, "more than %d If nodes", MAX_IFS);
    deft_status s = onnx_value_of(r, p->input[0], &condition);
    if (s != DEFT_OK) return s;
    deft_arena *work = deft_arena_create((size_t)256 << 20);
    if (!work) return deft_fail(r->err, DEFT_E_SPACE, "no memory for a branch");
    bool taken = false;
    s = evaluate(r, condition, work, &taken);
    const Onnx__GraphProto *b = taken ? yes : no;
    if (s == DEFT_E_RANGE && r->err && r->err->text[0])
        (void)deft_error_prefix(r->err, "the condition of a subgraph");
    else if (s != DEFT_OK)
        s = deft_fail(r->err, DEFT_E_UNSUPPORTED,
                      "a subgraph: its condition does not follow from constants and shapes");
    else if (b->n_output != p->n_output || b->n_sparse_initializer)
        s = deft_fail(r->err, DEFT_E_FORMAT, "a branch with other outputs than the node's");
    else
        s = read_branch(r, p, b, work);
    deft_arena_destroy(work);
    return s;
}
