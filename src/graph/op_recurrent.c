/* op_recurrent.c - ONNX GRU, LSTM and RNN with their default activations. */
#include "graph/op.h"

#include <math.h>
#include <string.h>

typedef struct rnn {
    const float *w, *r, *b,
        *p; // of one direction: [G*n_h][I], [G*n_h][n_h], [2*G*n_h] or NULL, [3*n_h] or NULL
    int64_t seq, batch, input, hidden, gates;
    bool reset_after;
    float clip;
} rnn;

static float dot(const float *w, const float *x, int64_t n)
{
    float s = 0;
    for (int64_t i = 0; i < n; i++) s += w[i] * x[i];
    return s;
}

static float clipped(const rnn *n, float v)
{
    if (n->clip <= 0) return v;
    return v > n->clip ? n->clip : v < -n->clip ? -n->clip : v;
}

static float sigmoid_f(float v)
{
    return (float)(1 / (1 + exp(-(double)v)));
}

static float tanh_f(float v)
{
    return (float)tanh((double)v);
}

/* W x + Wb of row j of gate g, and R h + Rb. */
static float in_part(const rnn *n, int64_t g, int64_t j, const float *x)
{
    const int64_t row = g * n->hidden + j;
    return dot(n->w + row * n->input, x, n->input) + (n->b ? n->b[row] : 0);
}

static float rec_part(const rnn *n, int64_t g, int64_t j, const float *h)
{
    const int64_t row = g * n->hidden + j;
    return dot(n->r + row * n->hidden, h, n->hidden) +
           (n->b ? n->b[n->gates * n->hidden + row] : 0);
}

/* Gates z, r, h. work [3][n_h] */
static void gru_cell(const rnn *n, const float *x, float *h, float *work)
{
    const int64_t n_h = n->hidden;
    float *z = work, *r = work + n_h, *rh = work + 2 * n_h;
    for (int64_t j = 0; j < n_h; j++) {
        z[j] = sigmoid_f(clipped(n, in_part(n, 0, j, x) + rec_part(n, 0, j, h)));
        r[j] = sigmoid_f(clipped(n, in_part(n, 1, j, x) + rec_part(n, 1, j, h)));
    }
    for (int64_t j = 0; j < n_h; j++) rh[j] = r[j] * h[j];
    for (int64_t j = 0; j < n_h; j++) {
        const float rec = n->reset_after ? r[j] * rec_part(n, 2, j, h) : rec_part(n, 2, j, rh);
        r[j] = tanh_f(clipped(n, in_part(n, 2, j, x) + rec)); // gate r_j is no longer needed
    }
    for (int64_t j = 0; j < n_h; j++) h[j] = (1.0f - z[j]) * r[j] + z[j] * h[j];
}

/* Gates i, o, f, c; peepholes i, o, f. work [4][n_h] */
static void lstm_cell(const rnn *n, const float *x, float *h, float *c, float *work)
{
    const int64_t n_h = n->hidden;
    for (int64_t g = 0; g < 4; g++)
        for (int64_t j = 0; j < n_h; j++)
            work[g * n_h + j] = in_part(n, g, j, x) + rec_part(n, g, j, h);
    for (int64_t j = 0; j < n_h; j++) {
        const float pi = n->p ? n->p[j] * c[j] : 0, pf = n->p ? n->p[2 * n_h + j] * c[j] : 0;
        const float i = sigmoid_f(clipped(n, work[j] + pi));
        const float f = sigmoid_f(clipped(n, work[2 * n_h + j] + pf));
        c[j] = f * c[j] + i * tanh_f(clipped(n, work[3 * n_h + j]));
        const float po = n->p ? n->p[n_h + j] * c[j] : 0;
        h[j] = sigmoid_f(clipped(n, work[n_h + j] + po)) * tanh_f(c[j]);
    }
}

static void rnn_cell(const rnn *n, const float *x, float *h, float *work)
{
    for (int64_t j = 0; j < n->hidden; j++)
        work[j] = tanh_f(clipped(n, in_part(n, 0, j, x) + rec_part(n, 0, j, h)));
    memcpy(h, work, (size_t)n->hidden * sizeof *h);
}

static bool has_shape(const deft_tensor *t, int64_t a, int64_t b, int64_t c)
{
    return t && t->dtype == DEFT_F32 && t->rank == 3 && t->dim[0] == a && t->dim[1] == b &&
           t->dim[2] == c;
}

static bool has_rows(const deft_tensor *t, int64_t a, int64_t b)
{
    return t && t->dtype == DEFT_F32 && t->rank == 2 && t->dim[0] == a && t->dim[1] == b;
}

typedef struct recurrent {
    rnn n;
    int64_t dirs;
    bool lstm, reverse, batch_first;
    const deft_tensor *x, *h0, *c0, *lens;
} recurrent;

/* Reads and checks everything but the weights' contents. */
static deft_status recurrent_setup(op_ctx *c, recurrent *q)
{
    const char *op = c->node->op;
    q->lstm = strcmp(op, "LSTM") == 0;
    rnn *n = &q->n;
    n->gates = q->lstm ? 4 : strcmp(op, "GRU") == 0 ? 3 : 1;
    q->x = op_in(c, 0);
    const deft_tensor *w = op_in(c, 1), *r = op_in(c, 2), *b = op_in(c, 3);
    q->batch_first = deft_node_int(c->node, "layout", 0) != 0;
    if (!q->x || q->x->rank != 3 || q->x->dtype != DEFT_F32 || !w || w->rank != 3 || !r ||
        r->rank != 3)
        return op_fail(c, DEFT_E_FORMAT, "wants float X, W and R of rank 3");
    n->seq = q->x->dim[q->batch_first ? 1 : 0];
    n->batch = q->x->dim[q->batch_first ? 0 : 1];
    n->input = q->x->dim[2];
    n->hidden = r->dim[2];
    q->dirs = w->dim[0];
    const deft_attr *dir = deft_node_attr(c->node, "direction");
    const char *d = dir && dir->kind == DEFT_ATTR_STRING ? dir->s : "forward";
    q->reverse = strcmp(d, "reverse") == 0;
    if (q->dirs != (strcmp(d, "bidirectional") == 0 ? 2 : 1) ||
        deft_node_int(c->node, "hidden_size", n->hidden) != n->hidden)
        return op_fail(c, DEFT_E_FORMAT, "direction or hidden_size do not fit the weights");
    const int64_t rows = n->gates * n->hidden;
    if (!has_shape(w, q->dirs, rows, n->input) || !has_shape(r, q->dirs, rows, n->hidden) ||
        (b && !has_rows(b, q->dirs, 2 * rows)))
        return op_fail(c, DEFT_E_FORMAT, "W, R and B do not fit each other");
    if (deft_node_attr(c->node, "activations")) {
        const deft_attr *a = deft_node_attr(c->node, "activations");
        static const char *const want[3][3] = {
            {"Tanh"}, {"Sigmoid", "Tanh"}, {"Sigmoid", "Tanh", "Tanh"}};
        const char *const *names = want[n->gates == 1 ? 0 : n->gates == 3 ? 1 : 2];
        const int64_t each = n->gates == 1 ? 1 : n->gates - 1;
        for (int64_t i = 0; a->kind == DEFT_ATTR_STRINGS && i < a->n; i++)
            if (strcmp(a->strings[i], names[i % each]) != 0)
                return op_fail(c, DEFT_E_UNSUPPORTED, "only the default activations are supported");
    }
    if (deft_node_int(c->node, "input_forget", 0))
        return op_fail(c, DEFT_E_UNSUPPORTED, "input_forget is not supported");
    n->reset_after = deft_node_int(c->node, "linear_before_reset", 0) != 0;
    n->clip = deft_node_float(c->node, "clip", 0);
    q->lens = op_in(c, 4);
    q->h0 = op_in(c, 5);
    q->c0 = q->lstm ? op_in(c, 6) : NULL;
    const int64_t d0 = q->batch_first ? n->batch : q->dirs,
                  d1 = q->batch_first ? q->dirs : n->batch;
    if ((q->h0 && !has_shape(q->h0, d0, d1, n->hidden)) ||
        (q->c0 && !has_shape(q->c0, d0, d1, n->hidden)) || (q->lens && q->lens->count != n->batch))
        return op_fail(c, DEFT_E_FORMAT, "initial states or lengths do not fit");
    if (q->lstm && op_in(c, 7) && !has_rows(op_in(c, 7), q->dirs, 3 * n->hidden))
        return op_fail(c, DEFT_E_FORMAT, "peepholes do not fit");
    if (n->seq && n->batch && n->hidden &&
        n->seq > ((int64_t)1 << 31) / n->batch / (rows ? rows : 1) / (n->input + n->hidden + 1))
        return op_fail(c, DEFT_E_RANGE, "the sequence is too large to evaluate");
    return op_charge(c, n->seq * n->batch * q->dirs,
                     rows * (n->input + n->hidden + OP_WORK_ELEMENT));
}

static deft_status recurrent_outputs(op_ctx *c, const recurrent *q)
{
    const rnn *n = &q->n;
    const int64_t y[4] = {n->seq, q->dirs, n->batch, n->hidden};
    const int64_t yb[4] = {n->batch, n->seq, q->dirs, n->hidden};
    const int64_t h[3] = {q->dirs, n->batch, n->hidden}, hb[3] = {n->batch, q->dirs, n->hidden};
    for (int32_t i = 0; i < c->node->n_out && i < 3; i++) {
        if (c->node->out[i] == -1) continue;
        const deft_status s = i == 0 ? op_out(c, 0, DEFT_F32, 4, q->batch_first ? yb : y)
                                     : op_out(c, i, DEFT_F32, 3, q->batch_first ? hb : h);
        if (s != DEFT_OK) return s;
    }
    return DEFT_OK;
}

/* One direction of one batch element; state [h][c][work 4H]. */
static void recurrent_lane(op_ctx *c, const recurrent *q, int64_t dir, int64_t b, float *state)
{
    const rnn *n = &q->n;
    const int64_t n_h = n->hidden;
    float *h = state, *cell = state + n_h, *work = state + 2 * n_h;
    const int64_t at = (q->batch_first ? b * q->dirs + dir : dir * n->batch + b) * n_h;
    memset(state, 0, (size_t)(6 * n_h) * sizeof *state);
    if (q->h0) memcpy(h, (const float *)q->h0->data + at, (size_t)n_h * sizeof *h);
    if (q->c0) memcpy(cell, (const float *)q->c0->data + at, (size_t)n_h * sizeof *h);
    int64_t len = q->lens ? op_get_i64(q->lens, b) : n->seq;
    len = len < 0 ? 0 : len > n->seq ? n->seq : len;
    const bool backward = q->reverse || dir == 1;
    for (int64_t i = 0; i < len; i++) {
        const int64_t t = backward ? len - 1 - i : i;
        const float *x = (const float *)q->x->data +
                         (q->batch_first ? b * n->seq + t : t * n->batch + b) * n->input;
        if (q->lstm)
            lstm_cell(n, x, h, cell, work);
        else if (n->gates == 3)
            gru_cell(n, x, h, work);
        else
            rnn_cell(n, x, h, work);
        if (c->node->out[0] == -1) continue;
        const int64_t to =
            q->batch_first ? (b * n->seq + t) * q->dirs + dir : (t * q->dirs + dir) * n->batch + b;
        memcpy((float *)c->out[0].data + to * n_h, h, (size_t)n_h * sizeof *h);
    }
    if (c->node->n_out > 1 && c->node->out[1] != -1)
        memcpy((float *)c->out[1].data + at, h, (size_t)n_h * sizeof *h);
    if (q->lstm && c->node->n_out > 2 && c->node->out[2] != -1)
        memcpy((float *)c->out[2].data + at, cell, (size_t)n_h * sizeof *h);
}

static deft_status run_recurrent(op_ctx *c)
{
    recurrent q = {0};
    deft_status s = recurrent_setup(c, &q);
    if (s == DEFT_OK) s = recurrent_outputs(c, &q);
    if (s != DEFT_OK || q.n.hidden == 0) return s;
    float *state = deft_arena_array(c->arena, (size_t)(6 * q.n.hidden), sizeof *state);
    if (!state) return op_fail(c, DEFT_E_SPACE, "no memory");
    const int64_t rows = q.n.gates * q.n.hidden;
    for (int64_t dir = 0; dir < q.dirs; dir++) {
        rnn *n = &q.n;
        n->w = (const float *)c->in[1]->data + dir * rows * n->input;
        n->r = (const float *)c->in[2]->data + dir * rows * n->hidden;
        n->b = op_in(c, 3) ? (const float *)c->in[3]->data + dir * 2 * rows : NULL;
        n->p = q.lstm && op_in(c, 7) ? (const float *)c->in[7]->data + dir * 3 * n->hidden : NULL;
        for (int64_t b = 0; b < n->batch; b++) recurrent_lane(c, &q, dir, b, state);
    }
    return DEFT_OK;
}

const op_entry op_table_recurrent[] = {
    {"GRU", run_recurrent},
    {"LSTM", run_recurrent},
    {"RNN", run_recurrent},
    {NULL, NULL},
};
