/* torch_edge.c - values of the graph that a TorchScript program becomes. Every node is also
 * computed on a sample of its operands: that tells shapes, and folds what depends on no
 * observation. */
#include "formats/torch_script.h"
#include "graph/op.h"

#include <stdio.h>
#include <string.h>

enum { MAX_EDGES = 1 << 18, MAX_NODES = 1 << 16, MAX_OUT = 16 };

static int32_t add_edge(ts *l, const deft_tensor *t, bool constant, const char *name)
{
    if (l->n_edge == l->room_edge) {
        const int32_t room = l->room_edge ? 2 * l->room_edge : 256;
        ts_edge *more = room <= MAX_EDGES ? DEFT_NEW_ARRAY(l->a, ts_edge, room) : (ts_edge *)NULL;
        if (!more) return (void)ts_no_memory(l), -1;
        if (l->n_edge) memcpy(more, l->edge, (size_t)l->n_edge * sizeof *more);
        l->edge = more;
        l->room_edge = room;
    }
    l->edge[l->n_edge] = (ts_edge){t, constant, name, -1};
    return l->n_edge++;
}

int32_t ts_constant(ts *l, const deft_tensor *t, const char *name)
{
    return add_edge(l, t, true, name);
}

static deft_tensor *new_tensor(ts *l, deft_dtype dtype, int32_t rank, const int64_t *dim)
{
    deft_tensor *t = DEFT_NEW(l->a, deft_tensor);
    const deft_status s = t ? deft_tensor_init(t, dtype, rank, dim, l->a) : DEFT_E_SPACE;
    if (s == DEFT_OK && ts_charge(l, t->count) == DEFT_OK) return t;
    if (s == DEFT_E_RANGE)
        (void)ts_fail(l, s, "the shape of a tensor is out of range");
    else if (s != DEFT_OK)
        (void)ts_no_memory(l);
    return NULL;
}

int32_t ts_scalar(ts *l, deft_dtype dtype, double v)
{
    deft_tensor *t = new_tensor(l, dtype, 0, NULL);
    if (!t) return -1;
    op_set_f64(t, 0, v);
    return ts_constant(l, t, NULL);
}

int32_t ts_ints(ts *l, int32_t n, const int64_t *v)
{
    const int64_t dim = n;
    deft_tensor *t = new_tensor(l, DEFT_I64, 1, &dim);
    if (!t) return -1;
    if (n) memcpy(t->data, v, (size_t)n * sizeof *v);
    return ts_constant(l, t, NULL);
}

int32_t ts_dynamic(ts *l, deft_dtype dtype, int32_t rank, const int64_t *dim)
{
    deft_tensor *t = new_tensor(l, dtype, rank, dim);
    if (!t) return -1;
    deft_rng rng;
    deft_rng_seed_stream(&rng, l->seed, (uint64_t)l->n_edge);
    for (int64_t k = 0; k < t->count; k++) op_set_f64(t, k, deft_rng_normal(&rng));
    return add_edge(l, t, false, NULL);
}

/* --- nodes ----------------------------------------------------------------------------------- */

static int64_t count_of(const ts *l, int32_t edge)
{
    return edge < 0 ? 0 : l->edge[edge].t->count;
}

/* What a node may take: products of matrices most. */
static int64_t work_of(const ts *l, const ts_emission *e)
{
    int64_t sum = 1, most = 1;
    for (int32_t i = 0; i < e->n_in; i++) {
        const int64_t n = count_of(l, e->in[i]);
        sum += n;
        if (n > most) most = n;
    }
    const bool product =
        strcmp(e->op, "MatMul") == 0 || strcmp(e->op, "Gemm") == 0 || strcmp(e->op, "Conv") == 0;
    // one row times a matrix takes as many products as it has elements; others have more rows
    const int64_t x = product && e->n_in > 1 ? count_of(l, e->in[0]) : 1;
    return most > INT64_MAX / 4 / (x + 1) ? INT64_MAX : sum + (product ? x * most / 64 : 0);
}

static const char *node_name(ts *l)
{
    // "/actor/0/__torch__.torch.nn.functional:12"
    char path[256], file[256];
    size_t n = 0;
    for (const char *s = l->path ? l->path : ""; *s && n + 1 < sizeof path; s++) {
        path[n] = *s;
        if (*s == '.') path[n] = '/';
        n++;
    }
    path[n] = '\0';
    const char *from = l->file ? l->file : "";
    if (strncmp(from, "code/", 5) == 0) from += 5;
    for (n = 0; *from && n + 1 < sizeof file && strcmp(from, ".py") != 0; from++) {
        file[n] = *from;
        if (*from == '/') file[n] = '.';
        n++;
    }
    file[n] = '\0';
    return deft_arena_printf(l->a, "%s%s/%s:%d", path[0] ? "/" : "", path, file, (int)l->line);
}

static bool add_node(ts *l, const ts_emission *e, const int32_t *out)
{
    if (l->n_node == l->room_node) {
        const int32_t room = l->room_node ? 2 * l->room_node : 64;
        deft_node *more =
            room <= MAX_NODES ? DEFT_NEW_ARRAY(l->a, deft_node, room) : (deft_node *)NULL;
        if (!more) return (void)ts_no_memory(l), false;
        if (l->n_node) memcpy(more, l->node, (size_t)l->n_node * sizeof *more);
        l->node = more;
        l->room_node = room;
    }
    deft_node *n = &l->node[l->n_node++];
    *n = (deft_node){.name = node_name(l), .op = e->op, .n_in = e->n_in, .n_out = e->n_out};
    n->in = deft_arena_copy(l->a, e->in, (size_t)e->n_in * sizeof *e->in);
    n->out = deft_arena_copy(l->a, out, (size_t)e->n_out * sizeof *out);
    n->attr = deft_arena_copy(l->a, e->attr, (size_t)e->n_attr * sizeof *e->attr);
    n->n_attr = e->n_attr;
    if (n->name && n->in && n->out && n->attr) return true;
    (void)ts_no_memory(l);
    return false;
}

/* A derived constant keeps the name of what it was made of. */
static const char *name_of(const ts *l, const ts_emission *e)
{
    const char *name = NULL;
    for (int32_t i = 0; i < e->n_in && !name; i++)
        if (e->in[i] >= 0) name = l->edge[e->in[i]].name;
    return name;
}

/* Computes the node on its operands' samples. */
static bool compute(ts *l, const ts_emission *e, deft_tensor *out, bool *constant)
{
    const deft_node node = {.name = "",
                            .op = e->op,
                            .n_in = e->n_in,
                            .n_out = e->n_out,
                            .in = e->in,
                            .out = (const int32_t[MAX_OUT]){0},
                            .n_attr = e->n_attr,
                            .attr = e->attr};
    const deft_tensor *in[TS_MAX_LIST];
    *constant = true;
    for (int32_t i = 0; i < e->n_in; i++) {
        in[i] = e->in[i] < 0 ? NULL : l->edge[e->in[i]].t;
        *constant = *constant && (e->in[i] < 0 || l->edge[e->in[i]].constant);
    }
    if (ts_charge(l, work_of(l, e)) != DEFT_OK) return false;
    deft_error err = {0};
    const deft_status s = deft_op_run(&node, &(deft_op_env){TS_OPSET, l->a, NULL}, in, out,
                                      &err); // charged for above
    if (s != DEFT_OK) (void)ts_fail(l, s, "%s: %s", e->op, err.text);
    return s == DEFT_OK;
}

bool ts_emit_all(ts *l, const ts_emission *e, int32_t *out)
{
    deft_tensor *t = DEFT_NEW_ARRAY(l->a, deft_tensor, e->n_out);
    bool constant = true;
    if (e->n_out > MAX_OUT || e->n_in > TS_MAX_LIST)
        return (void)ts_fail(l, DEFT_E_RANGE, "%s: too many operands", e->op), false;
    if (!t) return (void)ts_no_memory(l), false;
    if (!compute(l, e, t, &constant)) return false;
    for (int32_t i = 0; i < e->n_out; i++) {
        if (!t[i].data || ts_charge(l, t[i].count) != DEFT_OK)
            return (void)ts_fail(l, DEFT_E_FORMAT, "%s: gives nothing", e->op), false;
        out[i] = add_edge(l, &t[i], constant, constant ? name_of(l, e) : NULL);
        if (out[i] < 0) return false;
    }
    return constant || add_node(l, e, out);
}

int32_t ts_emit(ts *l, const char *op, int32_t n_in, const int32_t *in, const deft_attr *attr)
{
    int32_t n_attr = 0, out = -1;
    while (attr && attr[n_attr].name) n_attr++;
    for (int32_t i = 0; i < n_in; i++)
        if (in[i] == -1) return -1; // it failed before; -2 stands for one that is left out
    int32_t copy[TS_MAX_ARGS];
    if (n_in <= TS_MAX_ARGS) {
        for (int32_t i = 0; i < n_in; i++) copy[i] = in[i] == -2 ? -1 : in[i];
        in = copy;
    }
    const ts_emission e = {
        .op = op, .n_in = n_in, .n_out = 1, .n_attr = n_attr, .in = in, .attr = attr};
    return ts_emit_all(l, &e, &out) ? out : -1;
}

int32_t ts_unary(ts *l, const char *op, int32_t x)
{
    return ts_emit(l, op, 1, &x, NULL);
}

int32_t ts_binary(ts *l, const char *op, int32_t x, int32_t y)
{
    return ts_emit(l, op, 2, (const int32_t[]){x, y}, NULL);
}

int32_t ts_cast(ts *l, int32_t x, deft_dtype dtype)
{
    static const int64_t onnx[] = {
        [DEFT_F32] = 1, [DEFT_F64] = 11, [DEFT_I8] = 3,  [DEFT_U8] = 2,
        [DEFT_I16] = 5, [DEFT_I32] = 6,  [DEFT_I64] = 7, [DEFT_BOOL] = 9};
    if (x < 0 || l->edge[x].t->dtype == dtype) return x;
    const deft_attr attr[] = {ts_attr_int("to", onnx[dtype]), {0}};
    return ts_emit(l, "Cast", 1, &x, attr);
}

static bool has_shape(const deft_tensor *t, int32_t rank, const int64_t *dim)
{
    bool same = t->rank == rank;
    for (int32_t d = 0; same && d < rank; d++) same = t->dim[d] == dim[d];
    return same;
}

int32_t ts_reshape(ts *l, int32_t x, int32_t rank, const int64_t *dim)
{
    if (x < 0 || has_shape(l->edge[x].t, rank, dim)) return x;
    const deft_attr attr[] = {ts_attr_int("allowzero", 1), {0}};
    return ts_emit(l, "Reshape", 2, (const int32_t[]){x, ts_ints(l, rank, dim)}, attr);
}

int32_t ts_expand(ts *l, int32_t x, int32_t rank, const int64_t *dim)
{
    if (x < 0 || has_shape(l->edge[x].t, rank, dim)) return x;
    return ts_emit(l, "Expand", 2, (const int32_t[]){x, ts_ints(l, rank, dim)}, NULL);
}
