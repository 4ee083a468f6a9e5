/* dynamic.c - what onnxruntime.quantization.quantize_dynamic makes of a graph, for comparison:
 *     x -> DynamicQuantizeLinear -> MatMulInteger with int8 weights -> Cast -> times scales [+
 * bias] for every MatMul and Gemm whose second operand is a constant matrix. Recurrent operators
 * stay. */
#include "quant/quant_private.h"

#include <math.h>
#include <string.h>

enum { MOST_NEW = 8 }; // nodes and values that one product becomes at most

typedef struct rewriter {
    const deft_graph *from;
    deft_graph *to;
    bool per_column;
    int32_t *quantized; // [n_value of from] triple of values that x became, 0: not yet
    deft_error *err;
} rewriter;

static deft_status no_memory(const rewriter *r)
{
    return deft_fail(r->err, DEFT_E_SPACE, "no memory to quantize the graph");
}

static int32_t new_value(rewriter *r, const char *base, const char *suffix)
{
    deft_graph *g = r->to;
    deft_value *v = &g->value[g->n_value];
    v->name = deft_arena_printf(g->arena, "%s_%s_%d", base, suffix, g->n_value);
    v->producer = -1;
    return v->name ? g->n_value++ : -1;
}

static int32_t new_constant(rewriter *r, const char *base, const char *suffix, const deft_tensor *t)
{
    const int32_t v = new_value(r, base, suffix);
    if (v >= 0) r->to->value[v].constant = t;
    return v;
}

/* Adds op: n_in inputs in[], n_out outputs out[]. */
typedef struct new_node {
    const char *op;
    int32_t n_in, n_out;
    int32_t in[4], out[3];
    const deft_attr *attr;
} new_node;

static deft_status add_node(rewriter *r, const new_node *n)
{
    deft_graph *g = r->to;
    deft_node *node = &g->node[g->n_node++];
    int32_t *in = deft_arena_copy(g->arena, n->in, (size_t)n->n_in * sizeof *in);
    int32_t *out = deft_arena_copy(g->arena, n->out, (size_t)n->n_out * sizeof *out);
    if (!in || !out) return no_memory(r);
    for (int32_t i = 0; i < n->n_out; i++)
        if (n->out[i] < 0) return no_memory(r);
    *node = (deft_node){.name = "",
                        .op = n->op,
                        .n_in = n->n_in,
                        .n_out = n->n_out,
                        .in = in,
                        .out = out,
                        .n_attr = n->attr ? 1 : 0,
                        .attr = n->attr};
    return DEFT_OK;
}

/* --- weights --------------------------------------------------------------------------------- */

/* Can this node be replaced? Gemm: alpha = beta = 1, A not transposed. */
static bool replaceable(const deft_graph *g, const deft_node *n)
{
    const bool gemm = strcmp(n->op, "Gemm") == 0;
    if (!gemm && strcmp(n->op, "MatMul") != 0) return false;
    if (n->n_in < 2 || n->in[0] < 0 || n->in[1] < 0) return false;
    const deft_tensor *w = g->value[n->in[1]].constant;
    if (!w || w->dtype != DEFT_F32 || w->rank != 2 || w->count < 1) return false;
    if (g->value[n->in[0]].constant) return false;
    return !gemm || (deft_node_float(n, "alpha", 1) == 1 && deft_node_float(n, "beta", 1) == 1 &&
                     deft_node_int(n, "transA", 0) == 0);
}

/* w as int8 [K][N] with its scale: [1], or [N]. */
static deft_status quantize_weights(rewriter *r, const deft_tensor *w, bool transposed,
                                    deft_tensor *q, deft_tensor *scale)
{
    const int64_t k = w->dim[transposed ? 1 : 0], n = w->dim[transposed ? 0 : 1];
    const int64_t dim[2] = {k, n}, scales[1] = {r->per_column ? n : 1};
    deft_status s = deft_tensor_init(q, DEFT_I8, 2, dim, r->to->arena);
    if (s == DEFT_OK) s = deft_tensor_init(scale, DEFT_F32, 1, scales, r->to->arena);
    if (s != DEFT_OK) return deft_fail(r->err, s, "no memory to quantize the graph");
    const float *x = w->data;
    float *step = scale->data;
    int8_t *y = q->data;
    for (int64_t i = 0; i < k; i++)
        for (int64_t o = 0; o < n; o++) {
            const float v = fabsf(x[transposed ? o * k + i : i * n + o]);
            float *most = &step[r->per_column ? o : 0];
            *most = v > *most ? v : *most;
        }
    for (int64_t o = 0; o < scales[0]; o++) step[o] = step[o] > 0 ? step[o] / 127 : 1;
    for (int64_t i = 0; i < k; i++)
        for (int64_t o = 0; o < n; o++) {
            const float v = x[transposed ? o * k + i : i * n + o] / step[r->per_column ? o : 0];
            y[i * n + o] = (int8_t)nearbyintf(v); // |v| <= 127
        }
    return DEFT_OK;
}

/* --- nodes ----------------------------------------------------------------------------------- */

/* x as u8, scale, zero point: once, whoever reads it. */
static deft_status quantize_input(rewriter *r, int32_t x, int32_t out[3])
{
    if (r->quantized[x]) {
        for (int32_t i = 0; i < 3; i++) out[i] = r->quantized[x] + i;
        return DEFT_OK;
    }
    const char *name = r->from->value[x].name;
    out[0] = new_value(r, name, "quantized");
    out[1] = new_value(r, name, "scale");
    out[2] = new_value(r, name, "zero_point");
    r->quantized[x] = out[0];
    const new_node n = {"DynamicQuantizeLinear", 1, 3, {x}, {out[0], out[1], out[2]}, NULL};
    return add_node(r, &n);
}

static deft_status replace(rewriter *r, const deft_node *n)
{
    const deft_tensor *w = r->from->value[n->in[1]].constant;
    const char *name = r->from->value[n->in[1]].name;
    deft_tensor *q = DEFT_NEW(r->to->arena, deft_tensor);
    deft_tensor *scale = DEFT_NEW(r->to->arena, deft_tensor);
    deft_attr *to = DEFT_NEW(r->to->arena, deft_attr);
    if (!q || !scale || !to) return no_memory(r);
    *to = (deft_attr){.name = "to", .kind = DEFT_ATTR_INT, .i = 1}; // ONNX's FLOAT
    int32_t x[3];
    const bool transposed = strcmp(n->op, "Gemm") == 0 && deft_node_int(n, "transB", 0);
    deft_status s = quantize_weights(r, w, transposed, q, scale);
    if (s == DEFT_OK) s = quantize_input(r, n->in[0], x);
    if (s != DEFT_OK) return s;
    const bool bias = n->n_in > 2 && n->in[2] >= 0;
    const int32_t wq = new_constant(r, name, "quantized", q);
    const int32_t ws = new_constant(r, name, "scale", scale);
    const int32_t acc = new_value(r, name, "accumulator"), real = new_value(r, name, "cast");
    const int32_t both = new_value(r, name, "scales");
    const int32_t y = bias ? new_value(r, name, "product") : n->out[0];
    if (wq < 0 || ws < 0 || both < 0) return no_memory(r);
    const new_node chain[] = {
        {"MatMulInteger", 3, 1, {x[0], wq, x[2]}, {acc}, NULL},
        {"Cast", 1, 1, {acc}, {real}, to},
        {"Mul", 2, 1, {x[1], ws}, {both}, NULL},
        {"Mul", 2, 1, {real, both}, {y}, NULL},
        {"Add", 2, 1, {y, bias ? n->in[2] : 0}, {n->out[0]}, NULL},
    };
    for (int32_t i = 0; s == DEFT_OK && i < (bias ? 5 : 4); i++) s = add_node(r, &chain[i]);
    return s;
}

deft_status deft_quant_dynamic(const deft_graph *g, bool per_column, deft_arena *a,
                               deft_graph **out, deft_error *err)
{
    const size_t room = (size_t)MOST_NEW * (size_t)g->n_node;
    rewriter r = {.from = g, .per_column = per_column, .err = err};
    *out = NULL;
    r.to = deft_arena_copy(a, g, sizeof *g);
    r.quantized = DEFT_NEW_ARRAY(a, int32_t, g->n_value);
    if (!r.to || !r.quantized) return no_memory(&r);
    r.to->arena = a;
    r.to->value = DEFT_NEW_ARRAY(a, deft_value, (size_t)g->n_value + room);
    r.to->node = DEFT_NEW_ARRAY(a, deft_node, (size_t)g->n_node + room);
    if (!r.to->value || !r.to->node) return no_memory(&r);
    memcpy(r.to->value, g->value, (size_t)g->n_value * sizeof *g->value);
    r.to->n_node = 0;
    int32_t replaced = 0;
    deft_status s = DEFT_OK;
    for (int32_t k = 0; s == DEFT_OK && k < g->n_node; k++) {
        if (!replaceable(g, &g->node[k])) {
            r.to->node[r.to->n_node++] = g->node[k];
            continue;
        }
        s = replace(&r, &g->node[k]);
        replaced++;
    }
    if (s == DEFT_OK && replaced == 0)
        s = deft_fail(err, DEFT_E_UNSUPPORTED, "no product with constant weights in the graph");
    if (s == DEFT_OK) s = deft_graph_finish(r.to, err);
    if (s == DEFT_OK) *out = r.to;
    return s;
}
