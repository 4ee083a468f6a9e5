/* understand_linear.c - products with constant matrices, reductions, normalisation, argmax. */
#include "graph/understand.h"

#include "graph/op.h"

#include <math.h>
#include <string.h>

int32_t und_add_dense(und *u, int32_t node, const und_ref *in, const int32_t shape[2],
                      const float *weight)
{
    und_op *op = und_add_op(u, UND_DENSE, node, 0, shape[0]);
    if (!op || shape[0] < 1) return -1;
    op->n_in = shape[1];
    op->in = in;
    op->weight = weight;
    return u->n_op - 1;
}

/* --- products -------------------------------------------------------------------------------- */

/* One of a product's operands as `batch` matrices [rows][cols], element (i, j) of matrix b at
 * b * rows * cols + i * row + j * col. */
typedef struct matrix {
    int64_t batch, rows, cols, row, col;
} matrix;

static matrix as_matrix(const deft_tensor *t, bool left, bool transposed)
{
    matrix m = {.batch = 1, .rows = 1, .cols = 1};
    if (t->rank == 1) {
        *(left ? &m.cols : &m.rows) = t->dim[0];
    } else {
        m.rows = t->dim[t->rank - 2];
        m.cols = t->dim[t->rank - 1];
        for (int32_t d = 0; d < t->rank - 2; d++) m.batch *= t->dim[d];
    }
    m.row = m.cols;
    m.col = 1;
    if (transposed)
        m = (matrix){.batch = m.batch, .rows = m.cols, .cols = m.rows, .row = 1, .col = m.cols};
    return m;
}

typedef struct product {
    int32_t node, fixed; // index of the constant operand
    matrix a, b;
    const float *weight; // [n_out][n_in] of the constant operand
    const float *bias;   // [a.rows][b.cols] or NULL
    und_ref *out;        // [batch][a.rows][b.cols]
    bool partial;        // of the node's output: C of Gemm is added later
} product;

/* The constant operand as rows over the summed index, times alpha. */
static const float *weight_rows(und *u, const deft_tensor *t, const product *p, float alpha)
{
    const matrix *m = p->fixed ? &p->b : &p->a;
    const int64_t n_out = p->fixed ? m->cols : m->rows, n_in = p->fixed ? m->rows : m->cols;
    const float *from = und_floats(u, t);
    float *w = DEFT_NEW_ARRAY(u->a, float, n_out *n_in);
    if (!from || !w) return NULL;
    for (int64_t o = 0; o < n_out; o++)
        for (int64_t i = 0; i < n_in; i++) {
            const float v =
                p->fixed ? from[i * m->row + o * m->col] : from[o * m->row + i * m->col];
            w[o * n_in + i] = alpha == 1 ? v : alpha * v;
        }
    return w;
}

/* One dense op for every row (constant right operand) or column (left) of the other operand. */
static deft_status product_lane(und *u, const product *p, const und_ref *x, int64_t batch,
                                int64_t lane)
{
    const matrix *m = p->fixed ? &p->a : &p->b;
    const int64_t n_in = p->a.cols, n_out = p->fixed ? p->b.cols : p->a.rows;
    deft_status s = und_count(u, p->node, n_in);
    if (s == DEFT_OK) s = und_count(u, p->node, n_out);
    if (s != DEFT_OK) return s;
    und_ref *in = DEFT_NEW_ARRAY(u->a, und_ref, n_in);
    float *bias = p->bias ? DEFT_NEW_ARRAY(u->a, float, n_out) : NULL;
    if (!in || (p->bias && !bias)) return und_no_memory(u);
    const int64_t base = batch * m->rows * m->cols;
    for (int64_t i = 0; i < n_in; i++)
        in[i] = x[base + (p->fixed ? lane * m->row + i * m->col : i * m->row + lane * m->col)];
    const int32_t shape[2] = {(int32_t)n_out, (int32_t)n_in};
    const int32_t at = und_add_dense(u, p->node, in, shape, p->weight);
    if (at < 0) return und_no_memory(u);
    u->op[at]->bias = bias;
    u->op[at]->weight_value = u->g->node[p->node].in[p->fixed];
    const int64_t out = batch * p->a.rows * p->b.cols;
    u->op[at]->first = out + (p->fixed ? lane * n_out : lane);
    // a column's elements are not adjacent
    if (p->partial || (!p->fixed && p->b.cols > 1)) u->op[at]->value = -1;
    for (int64_t o = 0; o < n_out; o++) {
        const int64_t to = p->fixed ? lane * n_out + o : o * p->b.cols + lane;
        if (bias) bias[o] = p->bias[to];
    }
    const int32_t op = und_unique(u);
    if (op < 0) return und_no_memory(u);
    for (int64_t o = 0; o < n_out; o++) {
        const int64_t to = p->fixed ? lane * n_out + o : o * p->b.cols + lane;
        p->out[out + to] = (und_ref){op, (int32_t)o, 0};
    }
    return DEFT_OK;
}

static deft_status run_product(und *u, product *p, float alpha)
{
    const deft_node *n = &u->g->node[p->node];
    const int64_t batch = p->fixed ? p->a.batch : p->b.batch;
    const int64_t lanes = p->fixed ? p->a.rows : p->b.cols;
    if (p->a.cols < 1 || p->a.rows < 1 || p->b.cols < 1 || batch < 1)
        return und_bad(u, p->node, "a product of empty matrices");
    if (p->a.cols > UND_MAX_ELEMENTS || p->a.rows > UND_MAX_ELEMENTS ||
        p->b.cols > UND_MAX_ELEMENTS || batch > UND_MAX_ELEMENTS)
        return und_bad(u, p->node, "a product of huge matrices");
    const deft_status c =
        und_count(u, p->node,
                  batch * p->a.rows > UND_MAX_ELEMENTS ? UND_MAX_ELEMENTS + 1
                                                       : batch * p->a.rows * p->b.cols);
    if (c != DEFT_OK) return c;
    const und_ref *x = und_elements(u, n->in[!p->fixed]);
    p->weight = weight_rows(u, u->value[n->in[p->fixed]].t, p, alpha);
    p->out = DEFT_NEW_ARRAY(u->a, und_ref, batch * p->a.rows * p->b.cols);
    if (!x || !p->weight || !p->out) return und_no_memory(u);
    for (int64_t b = 0; b < batch; b++)
        for (int64_t l = 0; l < lanes; l++) {
            const deft_status s = product_lane(u, p, x, b, l);
            if (s != DEFT_OK) return s;
        }
    return DEFT_OK;
}

/* Which operand is constant; -1 after und_bad. */
static int32_t fixed_operand(und *u, int32_t k, deft_status *s)
{
    *s = DEFT_OK;
    const und_value *a = und_in(u, k, 0), *b = und_in(u, k, 1);
    if (!a || !b) *s = und_bad(u, k, "wants two operands");
    if (!a || !b) return -1;
    if (b->t) return 1;
    if (a->t) return 0;
    *s = und_bad(u, k, "multiplies two computed matrices (attention?), which no layer does");
    return -1;
}

static deft_status matmul(und *u, int32_t k)
{
    const deft_node *n = &u->g->node[k];
    deft_status s;
    product p = {.node = k, .fixed = fixed_operand(u, k, &s)};
    if (p.fixed < 0) return s;
    const deft_tensor *a = und_shape(u, n->in[0]), *b = und_shape(u, n->in[1]);
    if (a->rank < 1 || b->rank < 1) return und_bad(u, k, "multiplies scalars");
    p.a = as_matrix(a, true, false);
    p.b = as_matrix(b, false, false);
    if (p.a.cols != p.b.rows) return und_bad(u, k, "inner dimensions differ");
    if ((p.fixed ? p.b.batch : p.a.batch) != 1)
        return und_bad(u, k, "multiplies by a batch of matrices");
    const deft_tensor *moving = p.fixed ? a : b, *fixed = p.fixed ? b : a;
    deft_tensor shape = {.dtype = moving->dtype, .count = 1};
    for (int32_t d = fixed->rank - 2; d > (moving->rank > 2 ? moving->rank - 2 : 0); d--)
        shape.dim[shape.rank++] = 1; // leading ones of the constant operand
    for (int32_t d = 0; d < moving->rank - 2; d++) shape.dim[shape.rank++] = moving->dim[d];
    if (shape.rank > DEFT_MAX_RANK - 2) return und_bad(u, k, "rank is too large");
    if (a->rank > 1) shape.dim[shape.rank++] = p.a.rows;
    if (b->rank > 1) shape.dim[shape.rank++] = p.b.cols;
    s = run_product(u, &p, 1);
    if (s != DEFT_OK || !p.out) return s;
    for (int32_t d = 0; d < shape.rank; d++) shape.count *= shape.dim[d];
    und_set(u, k, 0, &shape, p.out);
    return DEFT_OK;
}

/* C of Gemm, where it is constant, as [rows][cols] times beta. */
static deft_status constant_addend(und *u, product *p, float beta)
{
    const deft_node *n = &u->g->node[p->node];
    const deft_tensor *c = und_in_const(u, p->node, 2);
    if (!c) return DEFT_OK;
    if (p->a.rows > UND_MAX_ELEMENTS || p->b.cols > UND_MAX_ELEMENTS) return DEFT_OK;
    deft_error e = {0};
    const op_ctx ctx = {.node = n, .err = &e};
    deft_tensor shape = {.dtype = DEFT_F32, .rank = 2, .dim = {p->a.rows, p->b.cols}};
    int32_t rank = 0;
    int64_t dim[DEFT_MAX_RANK];
    if (op_broadcast(&ctx, c, &shape, &rank, dim) != DEFT_OK || rank != 2 || dim[0] != p->a.rows ||
        dim[1] != p->b.cols)
        return und_bad(u, p->node, "C does not fit the product");
    const deft_status s = und_count(u, p->node, dim[0] * dim[1]);
    if (s != DEFT_OK) return s;
    const float *from = und_floats(u, c);
    float *bias = DEFT_NEW_ARRAY(u->a, float, dim[0] * dim[1]);
    if (!from || !bias) return und_no_memory(u);
    for (int64_t k = 0; k < dim[0] * dim[1]; k++) {
        const float v = from[op_broadcast_at(c, 2, dim, k)];
        bias[k] = beta == 1 ? v : beta * v;
    }
    p->bias = bias;
    return DEFT_OK;
}

/* Adds beta C of a computed C to the product. */
static deft_status computed_addend(und *u, product *p, const deft_tensor *shape, float beta)
{
    const int32_t c = u->g->node[p->node].in[2];
    const und_ref *from = und_elements(u, c);
    deft_error e = {0};
    const op_ctx ctx = {.node = &u->g->node[p->node], .err = &e};
    const deft_tensor *of = und_shape(u, c);
    int32_t rank = 0;
    int64_t dim[DEFT_MAX_RANK];
    if (op_broadcast(&ctx, of, shape, &rank, dim) != DEFT_OK || rank != 2 ||
        dim[0] != shape->dim[0] || dim[1] != shape->dim[1])
        return und_bad(u, p->node, "C does not fit the product");
    und_ref *y = DEFT_NEW_ARRAY(u->a, und_ref, shape->count);
    und_ref *scale = DEFT_NEW_ARRAY(u->a, und_ref, shape->count);
    if (!from || !y || !scale) return und_no_memory(u);
    for (int64_t k = 0; k < shape->count; k++) {
        y[k] = from[op_broadcast_at(of, rank, dim, k)];
        scale[k] = und_const(beta);
    }
    const und_ref *x[3] = {y, scale, NULL};
    x[1] = und_add_map(u, p->node, (und_call){.fn = UND_MUL, .port = -1}, x, shape->count);
    x[0] = p->out;
    const und_ref *sum =
        x[1] ? und_add_map(u, p->node, (und_call){.fn = UND_ADD}, x, shape->count) : NULL;
    if (!sum) return und_no_memory(u);
    und_set(u, p->node, 0, shape, sum);
    return DEFT_OK;
}

static deft_status gemm(und *u, int32_t k)
{
    const deft_node *n = &u->g->node[k];
    deft_status s;
    product p = {.node = k, .fixed = fixed_operand(u, k, &s)};
    if (p.fixed < 0) return s;
    const deft_tensor *a = und_shape(u, n->in[0]), *b = und_shape(u, n->in[1]);
    if (a->rank != 2 || b->rank != 2) return und_bad(u, k, "wants matrices");
    p.a = as_matrix(a, true, deft_node_int(n, "transA", 0) != 0);
    p.b = as_matrix(b, false, deft_node_int(n, "transB", 0) != 0);
    if (p.a.cols != p.b.rows) return und_bad(u, k, "inner dimensions differ");
    const float beta = deft_node_float(n, "beta", 1);
    const und_value *c = und_in(u, k, 2);
    p.partial = c && !c->t;
    s = constant_addend(u, &p, beta);
    if (s != DEFT_OK || (und_in_const(u, k, 2) && !p.bias)) return s;
    s = run_product(u, &p, deft_node_float(n, "alpha", 1));
    if (s != DEFT_OK || !p.out) return s;
    const deft_tensor shape = {.dtype = p.fixed ? a->dtype : b->dtype,
                               .rank = 2,
                               .dim = {p.a.rows, p.b.cols},
                               .count = p.a.rows * p.b.cols};
    if (!p.partial) {
        und_set(u, k, 0, &shape, p.out);
        return DEFT_OK;
    }
    return computed_addend(u, &p, &shape, beta);
}

/* --- reductions ------------------------------------------------------------------------------ */

typedef struct reduction {
    bool over[DEFT_MAX_RANK];
    int64_t n; // elements of each sum
    deft_tensor shape;
} reduction;

static deft_status read_reduction(und *u, int32_t k, reduction *r)
{
    const deft_node *n = &u->g->node[k];
    const deft_tensor *x = und_shape(u, n->in[0]);
    const deft_tensor *in[2] = {x, und_in_const(u, k, 1)};
    deft_error e = {0};
    op_ctx c = {.node = n, .opset = u->g->opset, .in = in, .err = &e};
    int64_t axes[OP_MAX_LIST];
    if (n->n_in > 1 && n->in[1] >= 0 && !in[1]) return und_bad(u, k, "its axes are not constant");
    const int32_t n_axes = op_list(&c, "axes", 1, axes);
    const bool keep = deft_node_int(n, "keepdims", 1) != 0;
    if (n_axes < 0) return und_bad(u, k, "%s", e.text);
    const bool all = n_axes == 0 && deft_node_int(n, "noop_with_empty_axes", 0) == 0;
    for (int32_t d = 0; d < x->rank; d++) r->over[d] = all;
    for (int32_t i = 0; i < n_axes; i++) {
        const int32_t axis = op_axis(axes[i], x->rank);
        if (axis < 0) return und_bad(u, k, "axis is out of range");
        r->over[axis] = true;
    }
    r->n = 1;
    r->shape = (deft_tensor){.dtype = x->dtype, .count = 1};
    for (int32_t d = 0; d < x->rank; d++) {
        if (r->over[d]) r->n *= x->dim[d];
        if (!r->over[d]) r->shape.count *= x->dim[d];
        if (!r->over[d] || keep) r->shape.dim[r->shape.rank++] = r->over[d] ? 1 : x->dim[d];
    }
    return DEFT_OK;
}

/* Row-major number of the sum that element k of x is part of. */
static int64_t sum_of(const deft_tensor *x, const reduction *r, int64_t k)
{
    int64_t at = 0, stride = 1;
    for (int32_t d = x->rank - 1; d >= 0; d--) {
        if (!r->over[d]) {
            at += k % x->dim[d] * stride;
            stride *= x->dim[d];
        }
        k /= x->dim[d];
    }
    return at;
}

static deft_status reduce(und *u, int32_t k)
{
    const deft_node *n = &u->g->node[k];
    const deft_tensor *x = und_shape(u, n->in[0]);
    const und_ref *e = und_elements(u, n->in[0]);
    if (!e) return und_no_memory(u);
    reduction r = {.n = 0};
    deft_status s = read_reduction(u, k, &r);
    if (s != DEFT_OK || r.n < 1 || r.shape.count < 1) return s;
    s = und_count(u, k, x->count);
    if (s != DEFT_OK) return s;
    const bool mean = strcmp(n->op, "ReduceMean") == 0;
    und_ref *in = DEFT_NEW_ARRAY(u->a, und_ref, x->count);
    und_ref *out = DEFT_NEW_ARRAY(u->a, und_ref, r.shape.count);
    int64_t *filled = DEFT_NEW_ARRAY(u->a, int64_t, r.shape.count);
    float *w = DEFT_NEW_ARRAY(u->a, float, r.n);
    if (!in || !out || !filled || !w) return und_no_memory(u);
    for (int64_t i = 0; i < r.n; i++) w[i] = mean ? 1 / (float)r.n : 1;
    for (int64_t i = 0; i < x->count; i++) {
        const int64_t to = sum_of(x, &r, i);
        in[to * r.n + filled[to]++] = e[i];
    }
    for (int64_t o = 0; o < r.shape.count; o++) {
        const int32_t at = und_add_dense(u, k, in + o * r.n, (const int32_t[]){1, (int32_t)r.n}, w);
        if (at < 0) return und_no_memory(u);
        u->op[at]->mean = mean;
        u->op[at]->first = o;
        out[o] = (und_ref){und_unique(u), 0, 0};
        if (out[o].op < 0) return und_no_memory(u);
    }
    und_set(u, k, 0, &r.shape, out);
    return DEFT_OK;
}

/* --- normalisation --------------------------------------------------------------------------- */

/* Per-channel scale and shift. */
static deft_status batch_norm(und *u, int32_t k)
{
    const deft_node *n = &u->g->node[k];
    const deft_tensor *x = und_shape(u, n->in[0]);
    const und_ref *e = und_elements(u, n->in[0]);
    const float *p[4]; // gamma, beta, mean, variance
    if (!e) return und_no_memory(u);
    const int64_t channels = x->rank > 1 ? x->dim[1] : 1;
    for (int32_t i = 0; i < 4; i++) {
        const deft_tensor *t = und_in_const(u, k, i + 1);
        if (!t || t->count != channels) return und_bad(u, k, "wants constant statistics");
        p[i] = und_floats(u, t);
        if (!p[i]) return und_no_memory(u);
    }
    if (deft_node_int(n, "training_mode", 0)) return und_bad(u, k, "normalises in training mode");
    const deft_status s = und_count(u, k, 3 * x->count);
    if (s != DEFT_OK) return s;
    const int64_t inner = x->rank > 2 ? op_product(x, 2, x->rank) : 1;
    const double epsilon = (double)deft_node_float(n, "epsilon", 1e-5f);
    und_ref *a = DEFT_NEW_ARRAY(u->a, und_ref, x->count);
    und_ref *b = DEFT_NEW_ARRAY(u->a, und_ref, x->count);
    if (!a || !b) return und_no_memory(u);
    for (int64_t i = 0; i < x->count; i++) {
        const int64_t c = i / inner % channels;
        const double scale = (double)p[0][c] / sqrt((double)p[3][c] + epsilon);
        a[i] = und_const((float)scale);
        b[i] = und_const((float)((double)p[1][c] - (double)p[2][c] * scale));
    }
    const und_ref *const in[3] = {e, a, b};
    const und_ref *y = und_add_map(u, k, (und_call){.fn = UND_FMA}, in, x->count);
    if (!y) return und_no_memory(u);
    const deft_tensor shape = *x;
    und_set(u, k, 0, &shape, y);
    return DEFT_OK;
}

/* A parameter of LayerNormalization over the last n elements; NULL and no error: absent. */
static deft_status norm_parameter(und *u, int32_t k, int32_t i, int64_t n, const float **out)
{
    *out = NULL;
    const deft_node *node = &u->g->node[k];
    if (i >= node->n_in || node->in[i] < 0) return DEFT_OK;
    const deft_tensor *t = und_in_const(u, k, i);
    if (!t || (t->count != n && t->count != 1))
        return und_bad(u, k, "its scale or bias is not constant or does not fit");
    const float *from = und_floats(u, t);
    float *to = DEFT_NEW_ARRAY(u->a, float, n);
    if (!from || !to) return und_no_memory(u);
    for (int64_t j = 0; j < n; j++) to[j] = from[t->count == 1 ? 0 : j];
    *out = to;
    return DEFT_OK;
}

static deft_status layer_norm(und *u, int32_t k)
{
    const deft_node *n = &u->g->node[k];
    const deft_tensor *x = und_shape(u, n->in[0]);
    const und_ref *e = und_elements(u, n->in[0]);
    if (!e) return und_no_memory(u);
    const int32_t axis = op_axis(deft_node_int(n, "axis", -1), x->rank);
    if (axis < 0) return und_bad(u, k, "axis is out of range");
    const int64_t group = op_product(x, axis, x->rank);
    const float *gamma, *beta;
    deft_status s = norm_parameter(u, k, 1, group, &gamma);
    if (s == DEFT_OK) s = norm_parameter(u, k, 2, group, &beta);
    if (s == DEFT_OK) s = und_count(u, k, x->count);
    if (s != DEFT_OK) return s;
    if ((n->n_in > 1 && n->in[1] >= 0 && !gamma) || (n->n_in > 2 && n->in[2] >= 0 && !beta))
        return DEFT_OK; // said to be bad
    und_ref *out = DEFT_NEW_ARRAY(u->a, und_ref, x->count);
    if (!out) return und_no_memory(u);
    for (int64_t first = 0; group > 0 && first < x->count; first += group) {
        und_op *op = und_add_op(u, UND_NORM, k, 0, (int32_t)group);
        if (!op) return und_no_memory(u);
        op->first = first;
        op->n_in = (int32_t)group;
        op->in = e + first;
        op->weight = gamma;
        op->bias = beta;
        op->weight_value = n->in[1];
        op->epsilon = deft_node_float(n, "epsilon", 1e-5f);
        for (int32_t i = 0; i < op->n; i++) out[first + i] = (und_ref){u->n_op - 1, i, 0};
    }
    const deft_tensor shape = *x;
    und_set(u, k, 0, &shape, out);
    return DEFT_OK;
}

/* --- heads ----------------------------------------------------------------------------------- */

/* A choice for each of count / n groups of n adjacent elements. */
static deft_status argmax(und *u, int32_t k, int32_t axis, const und_ref *e)
{
    const deft_node *n = &u->g->node[k];
    const deft_tensor *x = und_shape(u, n->in[0]);
    const int64_t n_of = x->dim[axis], groups = x->count / n_of;
    if (op_product(x, axis + 1, x->rank) != 1)
        return und_bad(u, k, "chooses along an axis that is not the last");
    if (deft_node_int(n, "select_last_index", 0))
        return und_bad(u, k, "select_last_index is not supported");
    und_ref *out = DEFT_NEW_ARRAY(u->a, und_ref, groups);
    if (!out) return und_no_memory(u);
    for (int64_t g = 0; g < groups; g++) {
        und_op *op = und_add_op(u, UND_ARGMAX, k, 0, 1);
        if (!op) return und_no_memory(u);
        op->n_in = (int32_t)n_of;
        op->in = e + g * n_of;
        op->first = g * n_of;
        out[g] = (und_ref){u->n_op - 1, 0, 0};
    }
    deft_tensor shape = {.dtype = DEFT_I64, .count = groups};
    const bool keep = deft_node_int(n, "keepdims", 1) != 0;
    for (int32_t d = 0; d < x->rank; d++)
        if (d != axis || keep) shape.dim[shape.rank++] = d == axis ? 1 : x->dim[d];
    und_set(u, k, 0, &shape, out);
    return DEFT_OK;
}

static deft_status softmax(und *u, int32_t k, const und_ref *e)
{
    const deft_tensor shape = *und_shape(u, u->g->node[k].in[0]);
    und_op *op = und_add_op(u, UND_SOFTMAX, k, 0, (int32_t)shape.count);
    und_ref *out = DEFT_NEW_ARRAY(u->a, und_ref, shape.count);
    if (!op || !out) return und_no_memory(u);
    op->n_in = op->n;
    op->in = e;
    for (int32_t i = 0; i < op->n; i++) out[i] = (und_ref){u->n_op - 1, i, 0};
    und_set(u, k, 0, &shape, out);
    return DEFT_OK;
}

static deft_status head(und *u, int32_t k)
{
    const deft_node *n = &u->g->node[k];
    const deft_tensor *x = und_shape(u, n->in[0]);
    const und_ref *e = und_elements(u, n->in[0]);
    if (!e) return und_no_memory(u);
    const bool compares = strcmp(n->op, "ArgMax") == 0;
    const int64_t fallback = compares ? 0 : u->g->opset < 13 ? 1 : -1;
    const int32_t axis = op_axis(deft_node_int(n, "axis", fallback), x->rank);
    if (axis < 0) return und_bad(u, k, "axis is out of range");
    if (x->count < 1) return und_bad(u, k, "of nothing");
    const deft_status s = und_count(u, k, x->count);
    if (s != DEFT_OK) return s;
    if (compares) return argmax(u, k, axis, e);
    if (x->dim[axis] != x->count) return und_bad(u, k, "several softmaxes at once");
    return softmax(u, k, e);
}

const und_entry und_linear_table[] = {
    {"MatMul", matmul},
    {"Gemm", gemm},
    {"ReduceMean", reduce},
    {"ReduceSum", reduce},
    {"BatchNormalization", batch_norm},
    {"LayerNormalization", layer_norm},
    {"Softmax", head},
    {"LogSoftmax", head},
    {"ArgMax", head},
    {NULL, NULL},
};
