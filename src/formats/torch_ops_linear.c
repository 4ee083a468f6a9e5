/* torch_ops_linear.c - products of matrices and recurrent layers of TorchScript. */
#include "formats/torch_script.h"
#include "graph/op.h"

#include <string.h>

enum { MAX_LAYERS = 16 };

/* W x + b on the last dimension of x. */
static int32_t linear_of(ts *l, int32_t x, int32_t w, int32_t b)
{
    if (x < 0 || w < 0 || b == -1) return -1;
    const deft_tensor *t = l->edge[x].t, *m = l->edge[w].t;
    if (m->rank != 2 || t->rank < 1 || t->dim[t->rank - 1] != m->dim[1])
        return (void)ts_fail(l, DEFT_E_FORMAT, "torch.linear: %lld inputs for a layer of %lld",
                             (long long)(t->rank ? t->dim[t->rank - 1] : 0),
                             (long long)(m->rank == 2 ? m->dim[1] : -1)),
               -1;
    int64_t dim[DEFT_MAX_RANK];
    memcpy(dim, t->dim, sizeof dim);
    const int32_t rank = t->rank;
    const int64_t n = m->dim[1], rows[2] = {n ? t->count / n : 0, n};
    dim[rank - 1] = m->dim[0];
    const deft_attr attr[] = {ts_attr_int("transB", 1), {0}};
    const int32_t in[3] = {ts_reshape(l, x, 2, rows), w, b};
    return ts_reshape(l, ts_emit(l, "Gemm", b == -2 ? 2 : 3, in, attr), rank, dim);
}

static deft_status linear(ts *l, ts_args *a, ts_value *out)
{
    const int32_t x = ts_arg_edge(l, a, 0), w = x < 0 ? -1 : ts_arg_edge(l, a, 1);
    const int32_t b = ts_has(a, 2) ? ts_arg_edge(l, a, 2) : -2;
    return ts_give(l, linear_of(l, x, w, b), out);
}

static deft_status matmul(ts *l, ts_args *a, ts_value *out)
{
    int32_t x[2];
    if (!ts_promote(l, a, 0, 1, x)) return l->err->status;
    const int32_t want = a->op->with ? a->op->with[0] - '0' : 0;
    if (want && (l->edge[x[0]].t->rank != want || l->edge[x[1]].t->rank > want))
        return ts_fail(l, DEFT_E_FORMAT, "torch.%s of other than matrices", a->op->name);
    return ts_give(l, ts_binary(l, "MatMul", x[0], x[1]), out);
}

/* addmm(bias, x, w, beta, alpha): beta * bias + alpha * x w */
static deft_status addmm(ts *l, ts_args *a, ts_value *out)
{
    double beta = 1, alpha = 1;
    deft_status s = ts_arg_float(l, a, 3, 1, &beta);
    if (s == DEFT_OK) s = ts_arg_float(l, a, 4, 1, &alpha);
    if (s != DEFT_OK) return s;
    const int32_t b = ts_arg_edge(l, a, 0), x = b < 0 ? -1 : ts_arg_edge(l, a, 1);
    const int32_t w = x < 0 ? -1 : ts_arg_edge(l, a, 2);
    const deft_attr attr[] = {ts_attr_float("alpha", alpha), ts_attr_float("beta", beta), {0}};
    const int32_t in[3] = {x, w, b};
    return ts_give(l, ts_emit(l, "Gemm", 3, in, attr), out);
}

/* --- recurrent layers ------------------------------------------------------------------------ */

typedef struct cell {
    const char *op;
    int32_t gates;
    int32_t w, r, b, c; // weights and biases of input and state; b -2: none
} cell;

static const cell kinds[] = {
    {.op = "LSTM", .gates = 4}, {.op = "GRU", .gates = 3}, {.op = "RNN", .gates = 1}};

static const cell *kind_of(const char *op)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i].op, op) == 0) return &kinds[i];
    return &kinds[2];
}

/* Torch's gates (LSTM i f g o, GRU r z n) in ONNX's order (i o f g, z r n), and one dimension more
 * in front. -1 after ts_fail. */
static int32_t ordered(ts *l, const cell *c, int32_t edge)
{
    static const int32_t lstm[4] = {0, 3, 1, 2}, gru[3] = {1, 0, 2}, plain[1] = {0};
    const int32_t *order = c->gates == 4 ? lstm : c->gates == 3 ? gru : plain;
    if (edge < 0) return -1;
    const deft_tensor *t = l->edge[edge].t;
    if (t->rank < 1 || t->rank > 2 || t->dim[0] % c->gates)
        return (void)ts_fail(l, DEFT_E_FORMAT, "%s: weights that are not of %d gates", c->op,
                             (int)c->gates),
               -1;
    int64_t *row = DEFT_NEW_ARRAY(l->a, int64_t, t->dim[0]);
    if (!row || t->dim[0] > INT32_MAX) return (void)ts_no_memory(l), -1;
    const int64_t n = t->dim[0] / c->gates;
    for (int64_t i = 0; i < t->dim[0]; i++) row[i] = order[i / n] * n + i % n;
    const int64_t dim[3] = {1, t->dim[0], t->rank == 2 ? t->dim[1] : 1};
    const int32_t rank = t->rank;
    const deft_attr attr[] = {ts_attr_int("axis", 0), {0}};
    const int32_t in[2] = {edge, ts_ints(l, (int32_t)t->dim[0], row)};
    return ts_reshape(l, ts_emit(l, "Gather", 2, in, attr), rank + 1, dim);
}

/* One layer over x [steps][batch][in] from h (and s) [1][batch][n]; out: all h, the last, the last
 * cell state. false after ts_fail. */
static bool run_cell(ts *l, const cell *c, const int32_t state[3], int32_t out[3])
{
    int32_t b = -2;
    if (c->b != -2) {
        const deft_attr attr[] = {ts_attr_int("axis", 1), {0}};
        const int32_t both[2] = {ordered(l, c, c->b), ordered(l, c, c->c)};
        b = ts_emit(l, "Concat", 2, both, attr);
    }
    const int32_t w = b == -1 ? -1 : ordered(l, c, c->w), r = w < 0 ? -1 : ordered(l, c, c->r);
    if (r < 0 || state[0] < 0 || state[1] < 0 || (c->gates == 4 && state[2] < 0)) return false;
    const deft_attr attr[] = {ts_attr_int("hidden_size", l->edge[r].t->dim[2]),
                              ts_attr_int("linear_before_reset", 1),
                              {0}};
    const int32_t in[7] = {state[0], w, r, b == -2 ? -1 : b, -1, state[1], state[2]};
    const bool lstm = c->gates == 4;
    const ts_emission e = {.op = c->op,
                           .n_in = lstm ? 7 : 6,
                           .n_out = lstm ? 3 : 2,
                           .n_attr = c->gates == 3 ? 2 : 1,
                           .in = in,
                           .attr = attr};
    if (!ts_emit_all(l, &e, out)) return false;
    const deft_tensor *y = l->edge[out[0]].t; // [steps][1][batch][n]
    const int64_t dim[3] = {y->dim[0], y->dim[2], y->dim[3]};
    out[0] = ts_reshape(l, out[0], 3, dim);
    return out[0] >= 0;
}

/* Layer k of a state [layers][batch][n]. */
static int32_t layer_state(ts *l, const ts_value *v, int32_t k)
{
    if (v->kind != TS_TENSOR)
        return (void)ts_fail(l, DEFT_E_FORMAT, "a state that is %s", ts_kind_name(v->kind)), -1;
    const deft_tensor *t = ts_shape(l, v->as.t);
    if (t->rank != 3 || k >= t->dim[0])
        return (void)ts_fail(l, DEFT_E_FORMAT, "a state of too few layers"), -1;
    const int64_t part[3] = {k, k + 1, 1};
    ts_tensor *s = ts_slice(l, v->as.t, 0, part);
    return s ? ts_read(l, s) : -1;
}

static int32_t swapped(ts *l, int32_t x)
{
    static const int64_t perm[3] = {1, 0, 2};
    const deft_attr attr[] = {{.name = "perm", .kind = DEFT_ATTR_INTS, .n = 3, .ints = perm}, {0}};
    return ts_emit(l, "Transpose", 1, &x, attr);
}

/* What gru, lstm and rnn_tanh are called with: (input, hx, params, has_biases, num_layers, dropout,
 * train, bidirectional, batch_first). */
typedef struct stack {
    const cell *kind;
    const ts_list *params;
    const ts_value *h, *c;
    bool biases, batch_first;
    int64_t layers;
} stack;

static deft_status read_stack(ts *l, const ts_args *a, stack *k)
{
    bool train = false, both = false;
    double p = 0;
    k->kind = kind_of(a->op->with);
    const bool lstm = k->kind->gates == 4;
    const bool pair = lstm && a->v[1].kind == TS_LIST && a->v[1].as.list->n == 2;
    if ((lstm && !pair) || (!lstm && !ts_is_tensor(a, 1)) || a->v[2].kind != TS_LIST)
        return ts_fail(l, DEFT_E_UNSUPPORTED, "torch.%s of packed sequences", a->op->name);
    k->params = a->v[2].as.list;
    k->h = lstm ? &a->v[1].as.list->item[0] : &a->v[1];
    k->c = lstm ? &a->v[1].as.list->item[1] : NULL;
    deft_status s = ts_arg_bool(l, a, 3, true, &k->biases);
    if (s == DEFT_OK) s = ts_arg_int(l, a, 4, 1, &k->layers);
    if (s == DEFT_OK) s = ts_arg_float(l, a, 5, 0, &p);
    if (s == DEFT_OK) s = ts_arg_bool(l, a, 6, false, &train);
    if (s == DEFT_OK) s = ts_arg_bool(l, a, 7, false, &both);
    if (s == DEFT_OK) s = ts_arg_bool(l, a, 8, false, &k->batch_first);
    if (s != DEFT_OK) return s;
    if (both) return ts_fail(l, DEFT_E_UNSUPPORTED, "torch.%s in both directions", a->op->name);
    if (train && p > 0)
        return ts_fail(
            l, DEFT_E_UNSUPPORTED,
            "torch.%s drops out in training mode: call eval() before the policy is saved",
            a->op->name);
    if (k->layers < 1 || k->layers > MAX_LAYERS || k->params->n != k->layers * (k->biases ? 4 : 2))
        return ts_fail(l, DEFT_E_UNSUPPORTED, "torch.%s of %lld layers with %d weights",
                       a->op->name, (long long)k->layers, (int)k->params->n);
    return DEFT_OK;
}

/* Weight i of layer k. */
static int32_t weight(ts *l, const stack *q, int64_t k, int32_t i)
{
    const ts_value *v = &q->params->item[k * (q->biases ? 4 : 2) + i];
    if (v->kind == TS_TENSOR) return ts_read(l, v->as.t);
    return (void)ts_fail(l, DEFT_E_FORMAT, "a weight that is %s", ts_kind_name(v->kind)), -1;
}

static deft_status give_all(ts *l, int32_t n, const int32_t *edge, ts_value *out)
{
    ts_list *list = ts_new_list(l, n);
    for (int32_t i = 0; list && i < n; i++) {
        ts_tensor *t = ts_wrap(l, edge[i]);
        if (!t) return l->err->status;
        list->item[list->n++] = ts_of(t);
    }
    if (!list) return l->err->status;
    out->kind = TS_TUPLE;
    out->as.list = list;
    return DEFT_OK;
}

/* The last states of all layers, one after the other. */
static int32_t joined(ts *l, int32_t n, const int32_t *edge)
{
    const deft_attr attr[] = {ts_attr_int("axis", 0), {0}};
    return n == 1 ? edge[0] : ts_emit(l, "Concat", n, edge, attr);
}

static deft_status recurrent(ts *l, ts_args *a, ts_value *out)
{
    stack k = {0};
    int32_t h[MAX_LAYERS], c[MAX_LAYERS], y[3];
    const deft_status s = read_stack(l, a, &k);
    if (s != DEFT_OK) return s;
    int32_t x = ts_arg_edge(l, a, 0);
    if (x < 0) return l->err->status;
    if (l->edge[x].t->rank != 3)
        return ts_fail(l, DEFT_E_FORMAT, "torch.%s of a tensor of %d dimensions", a->op->name,
                       (int)l->edge[x].t->rank);
    if (k.batch_first) x = swapped(l, x);
    for (int32_t i = 0; i < k.layers; i++) {
        cell one = *k.kind;
        one.w = weight(l, &k, i, 0);
        one.r = weight(l, &k, i, 1);
        one.b = k.biases ? weight(l, &k, i, 2) : -2;
        one.c = k.biases ? weight(l, &k, i, 3) : -2;
        const int32_t state[3] = {x, layer_state(l, k.h, i), k.c ? layer_state(l, k.c, i) : -1};
        if (l->err->status != DEFT_OK || !run_cell(l, &one, state, y)) return l->err->status;
        x = y[0];
        h[i] = y[1];
        c[i] = y[2];
    }
    if (k.batch_first) x = swapped(l, x);
    const int32_t n = (int32_t)k.layers;
    const int32_t all[3] = {x, joined(l, n, h), k.c ? joined(l, n, c) : -1};
    return give_all(l, k.c ? 3 : 2, all, out);
}

/* gru_cell(x, h, w_ih, w_hh, b_ih, b_hh), lstm_cell(x, [h, c], ...), rnn_tanh_cell: of [batch][n],
 * or without the batch. */
static deft_status one_cell(ts *l, ts_args *a, ts_value *out)
{
    cell c = *kind_of(a->op->with);
    const bool lstm = c.gates == 4;
    const bool pair = lstm && a->v[1].kind == TS_LIST && a->v[1].as.list->n == 2;
    if (lstm != pair) return ts_fail(l, DEFT_E_FORMAT, "torch.%s without its state", a->op->name);
    const ts_value *h = pair ? &a->v[1].as.list->item[0] : &a->v[1];
    const ts_value *s = pair ? &a->v[1].as.list->item[1] : h;
    if (h->kind != TS_TENSOR || s->kind != TS_TENSOR)
        return ts_fail(l, DEFT_E_FORMAT, "torch.%s without its state", a->op->name);
    c.w = ts_arg_edge(l, a, 2);
    c.r = c.w < 0 ? -1 : ts_arg_edge(l, a, 3);
    c.b = ts_has(a, 4) ? ts_arg_edge(l, a, 4) : -2;
    c.c = ts_has(a, 5) ? ts_arg_edge(l, a, 5) : -2;
    int32_t x = ts_arg_edge(l, a, 0), y[3];
    if (x < 0 || c.r < 0 || c.b == -1 || c.c == -1) return l->err->status;
    if ((c.b == -2) != (c.c == -2))
        return ts_fail(l, DEFT_E_UNSUPPORTED, "torch.%s with one bias", a->op->name);
    const int32_t state[2] = {ts_read(l, h->as.t), ts_read(l, s->as.t)};
    if (state[0] < 0 || state[1] < 0) return l->err->status;
    const deft_tensor *tx = l->edge[x].t, *th = l->edge[state[0]].t;
    if (tx->rank < 1 || tx->rank > 2 || th->rank != tx->rank)
        return ts_fail(l, DEFT_E_FORMAT, "torch.%s: the shapes do not fit", a->op->name);
    const int64_t batch = tx->rank == 2 ? tx->dim[0] : 1, n = th->dim[th->rank - 1];
    const int64_t dx[3] = {1, batch, tx->dim[tx->rank - 1]}, dh[3] = {1, batch, n};
    const int64_t back[2] = {tx->rank == 2 ? batch : n, n};
    const int32_t rank = tx->rank;
    const int32_t in[3] = {ts_reshape(l, x, 3, dx), ts_reshape(l, state[0], 3, dh),
                           ts_reshape(l, state[1], 3, dh)};
    if (!run_cell(l, &c, in, y)) return l->err->status;
    y[1] = ts_reshape(l, y[1], rank, back);
    if (!lstm) return ts_give(l, y[1], out);
    y[2] = ts_reshape(l, y[2], rank, back);
    return give_all(l, 2, y + 1, out);
}

/* --- convolutions ---------------------------------------------------------------------------- */

/* Numbers for each of n dimensions; one is for all. */
static deft_status spatial(ts *l, const ts_args *a, int32_t i, int32_t n, int64_t *out)
{
    int64_t v[DEFT_MAX_RANK] = {i == 4 ? 0 : 1};
    const int32_t have = ts_has(a, i) ? ts_to_ints(l, &a->v[i], v, DEFT_MAX_RANK) : 1;
    if (have < 0) return l->err->status;
    if (have != 1 && have != n)
        return ts_fail(l, DEFT_E_UNSUPPORTED, "torch.%s: unusual strides or padding", a->op->name);
    for (int32_t d = 0; d < n; d++) out[d] = v[have == 1 ? 0 : d];
    return DEFT_OK;
}

/* conv1d and conv2d: (x, weight, bias, stride, padding, dilation, groups); _convolution, as traces
 * have it: (..., dilation, transposed, output_padding, groups, ...). */
static deft_status convolution(ts *l, ts_args *a, ts_value *out)
{
    int64_t stride[DEFT_MAX_RANK], pad[2 * DEFT_MAX_RANK], dilation[DEFT_MAX_RANK], groups = 1;
    const bool traced = a->op->with != NULL;
    bool transposed = false;
    const int32_t x = ts_arg_edge(l, a, 0), w = x < 0 ? -1 : ts_arg_edge(l, a, 1);
    const int32_t b = ts_has(a, 2) ? ts_arg_edge(l, a, 2) : -2;
    if (w < 0 || b == -1) return l->err->status;
    const int32_t n = l->edge[w].t->rank - 2;
    if (n < 1 || l->edge[x].t->rank != n + 2 || !deft_op_known("Conv"))
        return ts_fail(l, DEFT_E_UNSUPPORTED, "torch.%s is not computed (of %d dimensions)",
                       a->op->name, (int)l->edge[x].t->rank);
    deft_status s = spatial(l, a, 3, n, stride);
    if (s == DEFT_OK) s = spatial(l, a, 4, n, pad);
    if (s == DEFT_OK) s = spatial(l, a, 5, n, dilation);
    if (s == DEFT_OK && traced) s = ts_arg_bool(l, a, 6, false, &transposed);
    if (s == DEFT_OK) s = ts_arg_int(l, a, traced ? 8 : 6, 1, &groups);
    if (s != DEFT_OK) return s;
    if (transposed) return ts_fail(l, DEFT_E_UNSUPPORTED, "transposed convolutions are not read");
    memcpy(pad + n, pad, (size_t)n * sizeof pad[0]);
    deft_attr attr[] = {
        {.name = "strides", .kind = DEFT_ATTR_INTS, .n = n},
        {.name = "pads", .kind = DEFT_ATTR_INTS, .n = 2 * (int64_t)n},
        {.name = "dilations", .kind = DEFT_ATTR_INTS, .n = n},
        ts_attr_int("group", groups),
        {0},
    };
    attr[0].ints = deft_arena_copy(l->a, stride, (size_t)n * sizeof stride[0]);
    attr[1].ints = deft_arena_copy(l->a, pad, 2 * (size_t)n * sizeof pad[0]);
    attr[2].ints = deft_arena_copy(l->a, dilation, (size_t)n * sizeof dilation[0]);
    if (!attr[0].ints || !attr[1].ints || !attr[2].ints) return ts_no_memory(l);
    const int32_t in[3] = {x, w, b};
    return ts_give(l, ts_emit(l, "Conv", b == -2 ? 2 : 3, in, attr), out);
}

static deft_status refuse(ts *l, ts_args *a, ts_value *out)
{
    (void)out;
    return ts_fail(l, DEFT_E_UNSUPPORTED, "torch.%s: %s", a->op->name, a->op->with);
}

#define CONV  "input weight bias stride padding dilation"
#define STACK "input hx params has_biases num_layers dropout train bidirectional batch_first"
#define CELL  "input hx w_ih w_hh b_ih b_hh"

const ts_op ts_ops_linear[] = {
    {"linear", "input weight bias", linear, NULL},
    {"matmul", "self other", matmul, NULL},
    {"mm", "self mat2", matmul, "2"},
    {"mv", "self vec", matmul, "2"},
    {"bmm", "self mat2", matmul, "3"},
    {"dot", "self tensor", matmul, "1"},
    {"addmm", "self mat1 mat2 beta alpha", addmm, NULL},
    {"lstm", STACK, recurrent, "LSTM"},
    {"gru", STACK, recurrent, "GRU"},
    {"rnn_tanh", STACK, recurrent, "RNN"},
    {"lstm_cell", CELL, one_cell, "LSTM"},
    {"gru_cell", CELL, one_cell, "GRU"},
    {"rnn_tanh_cell", CELL, one_cell, "RNN"},
    {"conv1d", CONV " groups", convolution, NULL},
    {"conv2d", CONV " groups", convolution, NULL},
    {"_convolution",
     CONV " transposed output_padding groups benchmark deterministic cudnn_enabled allow_tf32",
     convolution, "traced"},
    {"rnn_relu", STACK, refuse, "recurrent layers with ReLU are not computed"},
    {"rnn_relu_cell", CELL, refuse, "recurrent layers with ReLU are not computed"},
    {NULL, NULL, NULL, NULL},
};
