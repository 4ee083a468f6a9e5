/* understand_native.c - the recurrent operators of ONNX as cells. */
#include "graph/understand.h"

#include <string.h>

typedef struct native {
    int32_t node, n, n_in; // hidden width, input width
    int32_t gates;
    const deft_tensor *w, *r, *b;
    bool batch_first;
} native;

static const char *unfit(const und *u, native *q)
{
    const deft_node *n = &u->g->node[q->node];
    const und_value *x = und_in(u, q->node, 0);
    q->w = und_in_const(u, q->node, 1);
    q->r = und_in_const(u, q->node, 2);
    q->b = und_in_const(u, q->node, 3);
    if (!x || !q->w || !q->r || (n->n_in > 3 && n->in[3] >= 0 && !q->b))
        return "its weights are not constant";
    const deft_tensor *xs = und_shape(u, n->in[0]);
    if (xs->rank != 3 || q->w->rank != 3 || q->r->rank != 3) return "wants X, W and R of rank 3";
    q->batch_first = deft_node_int(n, "layout", 0) != 0;
    if (xs->dim[0] != 1 || xs->dim[1] != 1)
        return "runs over several time steps or a batch: export it for one step of one robot, with "
               "its state as input and output";
    if (q->w->dim[0] != 1 || q->r->dim[0] != 1)
        return "runs in both directions, which takes a whole sequence";
    const int64_t h = q->r->dim[2], rows = q->gates * h;
    if (h < 1 || h > UND_MAX_ELEMENTS || q->w->dim[1] != rows || q->r->dim[1] != rows ||
        q->w->dim[2] != xs->dim[2] || (q->b && q->b->count != 2 * rows))
        return "its weights do not fit each other";
    q->n = (int32_t)h;
    q->n_in = (int32_t)xs->dim[2];
    if (deft_node_float(n, "clip", 0) != 0) return "clips its gates";
    if (deft_node_int(n, "input_forget", 0)) return "couples input and forget gate";
    if (und_in(u, q->node, 4)) return "takes sequence lengths";
    if (und_in(u, q->node, 7)) return "has peepholes";
    return NULL;
}

static const char *unusual_functions(const deft_node *n, int32_t first)
{
    const deft_attr *a = deft_node_attr(n, "activations");
    if (!a) return NULL;
    static const char *const want[3] = {"Sigmoid", "Tanh", "Tanh"};
    if (a->kind != DEFT_ATTR_STRINGS || a->n > 3 - first) return "has unusual activations";
    for (int64_t i = 0; i < a->n; i++)
        if (strcmp(a->strings[i], want[first + i]) != 0) return "has unusual activations";
    return NULL;
}

/* Rows of gate `to` of ours from gate `from` of theirs. */
static void copy_gate(float *to, const float *from, const int32_t gate[2], size_t width,
                      size_t rows)
{
    memcpy(to + (size_t)gate[0] * rows * width, from + (size_t)gate[1] * rows * width,
           rows * width * sizeof *to);
}

static bool copy_weights(und *u, const native *q, und_cell *c)
{
    // theirs: z r h, and i o f c
    static const int32_t gru[3] = {1, 0, 2}, lstm[4] = {0, 2, 3, 1};
    const int32_t *order = c->lstm ? lstm : gru;
    const size_t rows = (size_t)q->n, n_in = (size_t)q->n_in, all = (size_t)q->gates * rows;
    const float *w = und_floats(u, q->w), *r = und_floats(u, q->r);
    const float *b = q->b ? und_floats(u, q->b) : NULL;
    c->weight = DEFT_NEW_ARRAY(u->a, float, all *n_in);
    c->weight_h = DEFT_NEW_ARRAY(u->a, float, all *rows);
    if (q->b) c->bias = DEFT_NEW_ARRAY(u->a, float, all);
    if (q->b) c->bias_h = DEFT_NEW_ARRAY(u->a, float, all);
    if (!w || !r || !c->weight || !c->weight_h || (q->b && (!b || !c->bias || !c->bias_h)))
        return false;
    for (int32_t g = 0; g < q->gates; g++) {
        const int32_t gate[2] = {g, order[g]};
        copy_gate(c->weight, w, gate, n_in, rows);
        copy_gate(c->weight_h, r, gate, rows, rows);
        if (b) copy_gate(c->bias, b, gate, 1, rows);
        if (b) copy_gate(c->bias_h, b + all, gate, 1, rows);
    }
    return true;
}

/* Initial state i of the node: [n] elements; zeros where it is left out. */
static deft_status initial(und *u, const native *q, int32_t i, und_ref **out)
{
    const deft_node *n = &u->g->node[q->node];
    *out = DEFT_NEW_ARRAY(u->a, und_ref, q->n);
    if (!*out) return und_no_memory(u);
    for (int32_t k = 0; k < q->n; k++) (*out)[k] = und_const(0);
    if (i >= n->n_in || n->in[i] < 0) return DEFT_OK;
    const und_ref *e = und_elements(u, n->in[i]);
    if (!e) return und_no_memory(u);
    if (und_shape(u, n->in[i])->count != q->n) {
        *out = NULL;
        return und_bad(u, q->node, "its initial state does not fit");
    }
    memcpy(*out, e, (size_t)q->n * sizeof *e);
    return DEFT_OK;
}

static deft_status deliver(und *u, const native *q, und_cell *c)
{
    const deft_node *n = &u->g->node[q->node];
    const deft_tensor y = {.dtype = DEFT_F32, .rank = 4, .dim = {1, 1, 1, q->n}, .count = q->n};
    const deft_tensor h = {.dtype = DEFT_F32, .rank = 3, .dim = {1, 1, q->n}, .count = q->n};
    und_op *op = und_add_op(u, UND_CELL, q->node, -1, c->lstm ? 2 * q->n : q->n);
    c->h_new = DEFT_NEW_ARRAY(u->a, und_ref, q->n);
    c->c_new = DEFT_NEW_ARRAY(u->a, und_ref, q->n);
    if (!op || !c->h_new || !c->c_new) return und_no_memory(u);
    op->cell = c;
    for (int32_t i = n->n_out > 2 ? 1 : n->n_out - 1; i >= 0; i--)
        if (n->out[i] >= 0) op->value = n->out[i];
    op->weight_value = n->in[1];
    c->op = u->n_op - 1;
    for (int32_t k = 0; k < q->n; k++) {
        c->h_new[k] = (und_ref){c->op, k, 0};
        c->c_new[k] = (und_ref){c->op, q->n + k, 0};
    }
    und_set(u, q->node, 0, &y, c->h_new);
    und_set(u, q->node, 1, &h, c->h_new);
    if (c->lstm) und_set(u, q->node, 2, &h, c->c_new);
    return DEFT_OK;
}

/* h' = tanh(W x + U h + b): the candidate of a GRU whose reset gate is held open and whose update
 * gate is held shut; sigmoid(40) is 1 in float32, sigmoid(-100) next to 0. */
static bool copy_elman(und *u, const native *q, und_cell *c)
{
    const size_t rows = (size_t)q->n, n_in = (size_t)q->n_in;
    const float *w = und_floats(u, q->w), *r = und_floats(u, q->r);
    const float *b = q->b ? und_floats(u, q->b) : NULL;
    c->weight = DEFT_NEW_ARRAY(u->a, float, 3 * rows * n_in);
    c->weight_h = DEFT_NEW_ARRAY(u->a, float, 3 * rows * rows);
    c->bias = DEFT_NEW_ARRAY(u->a, float, 3 * rows);
    c->bias_h = DEFT_NEW_ARRAY(u->a, float, 3 * rows);
    if (!w || !r || (q->b && !b) || !c->weight || !c->weight_h || !c->bias || !c->bias_h)
        return false;
    memcpy(c->weight + 2 * rows * n_in, w, rows * n_in * sizeof *w);
    memcpy(c->weight_h + 2 * rows * rows, r, rows * rows * sizeof *r);
    for (size_t k = 0; k < rows; k++) {
        c->bias[k] = 40;
        c->bias[rows + k] = -100;
        if (b) c->bias[2 * rows + k] = b[k];
        if (b) c->bias_h[2 * rows + k] = b[rows + k];
    }
    c->held = true;
    return true;
}

static deft_status native_cell(und *u, int32_t k)
{
    const deft_node *n = &u->g->node[k];
    const bool lstm = strcmp(n->op, "LSTM") == 0;
    const bool elman = strcmp(n->op, "RNN") == 0;
    native q = {.node = k, .gates = lstm ? 4 : elman ? 1 : 3};
    const char *why = unfit(u, &q);
    if (!why) why = unusual_functions(n, elman ? 1 : 0);
    if (why) return und_bad(u, k, "%s", why);
    const int64_t size = (int64_t)q.gates * q.n * ((int64_t)q.n_in + q.n);
    if (size > UND_MAX_TOTAL) return und_bad(u, k, "is too large");
    und_cell *c = DEFT_NEW(u->a, und_cell);
    if (!c) return und_no_memory(u);
    *c = (und_cell){.lstm = lstm, .native = true, .n = q.n, .n_in = q.n_in, .h_port = -1};
    c->reset_before = !lstm && !elman && deft_node_int(n, "linear_before_reset", 0) == 0;
    c->x = und_elements(u, n->in[0]);
    if (!c->x || !(elman ? copy_elman(u, &q, c) : copy_weights(u, &q, c))) return und_no_memory(u);
    deft_status s = und_count(u, k, 4 * (int64_t)q.n);
    if (s == DEFT_OK) s = initial(u, &q, 5, &c->h);
    if (s == DEFT_OK && c->h && lstm) s = initial(u, &q, 6, &c->c);
    if (s != DEFT_OK || !c->h || (lstm && !c->c)) return s;
    if (c->h[0].op < 0)
        return und_bad(u, k,
                       "starts from a constant state at every call, so that it remembers "
                       "nothing: export the state as input and output");
    return deliver(u, &q, c);
}

const und_entry und_cell_table[] = {
    {"GRU", native_cell},
    {"LSTM", native_cell},
    {"RNN", native_cell},
    {NULL, NULL},
};
