/* understand_conv.c - a convolution of fixed size is a dense layer whose rows share weights. */
#include "graph/understand.h"

#include "graph/op_conv.h"

enum { MAX_WEIGHTS = 1 << 22, MANY_POSITIONS = 64 };

typedef struct conv {
    int32_t node;
    op_conv v;
    const und_ref *x;
    const float *w, *b; // b may be NULL
    und_ref *out;       // [batch][group * c_out][n_out]
} conv;

/* What the columns of a dense op stand for. */
typedef struct columns {
    int64_t n;
    und_ref *in; // [n] in the order of their sources, so that they are read in few pieces
    int64_t *of; // [c_in * n_in] the column of each input of the group, -1: none
} columns;

/* The inputs of a group that outputs at [first, first + n) read. */
static deft_status find_columns(und *u, const conv *c, int64_t group, const int64_t range[2],
                                columns *out)
{
    const op_conv *const v = &c->v;
    bool *const read = DEFT_NEW_ARRAY(u->a, bool, v->n_in);
    out->of = DEFT_NEW_ARRAY(u->a, int64_t, v->c_in * v->n_in);
    out->in = DEFT_NEW_ARRAY(u->a, und_ref, v->c_in * v->n_in);
    if (!read || !out->of || !out->in) return und_no_memory(u);
    for (int64_t at = range[0]; at < range[0] + range[1]; at++)
        for (int64_t k = 0; k < v->n_kernel; k++) {
            const int64_t p = op_conv_position(v, at, k);
            if (p >= 0) read[p] = true;
        }
    out->n = 0;
    for (int64_t i = 0; i < v->c_in * v->n_in; i++) {
        out->of[i] = -1;
        if (!read[i % v->n_in]) continue;
        out->in[out->n] = c->x[group * v->c_in * v->n_in + i];
        out->of[i] = out->n++;
    }
    return und_count(u, c->node, out->n);
}

/* The row of channel o of all at position `at`. */
static void put_row(const conv *c, int64_t o, int64_t at, const columns *col, float *to)
{
    const op_conv *const v = &c->v;
    for (int64_t i = 0; i < v->c_in; i++)
        for (int64_t k = 0; k < v->n_kernel; k++) {
            const int64_t p = op_conv_position(v, at, k);
            if (p >= 0) to[col->of[i * v->n_in + p]] = c->w[(o * v->c_in + i) * v->n_kernel + k];
        }
}

/* Positions [range[0], range[0] + range[1]) of one group's outputs as one dense op. */
static deft_status add_positions(und *u, const conv *c, int64_t group, const int64_t range[2])
{
    const op_conv *const v = &c->v;
    const int64_t first = range[0], n = range[1], rows = v->c_out * n;
    columns col = {.n = 0};
    deft_status s = find_columns(u, c, group, range, &col);
    if (s == DEFT_OK) s = und_count(u, c->node, rows);
    if (s != DEFT_OK) return s;
    float *const weight = DEFT_NEW_ARRAY(u->a, float, rows *col.n);
    float *const bias = c->b ? DEFT_NEW_ARRAY(u->a, float, rows) : NULL;
    if (!weight || (c->b && !bias)) return und_no_memory(u);
    for (int64_t row = 0; row < rows; row++) {
        const int64_t channel = group * v->c_out + row / n;
        put_row(c, channel, first + row % n, &col, weight + row * col.n);
        if (bias) bias[row] = c->b[channel];
    }
    const int32_t op =
        und_add_dense(u, c->node, col.in, (const int32_t[]){(int32_t)rows, (int32_t)col.n}, weight);
    if (op < 0) return und_no_memory(u);
    u->op[op]->gathers = true;
    u->op[op]->bias = bias;
    u->op[op]->weight_value = u->g->node[c->node].in[1];
    u->op[op]->first = group * v->c_out * v->n_out;
    if (n != v->n_out) u->op[op]->value = -1; // its elements are not adjacent
    for (int64_t row = 0; row < rows; row++)
        c->out[(group * v->c_out + row / n) * v->n_out + first + row % n] =
            (und_ref){op, (int32_t)row, 0};
    return DEFT_OK;
}

/* All positions in one matrix, mostly of zeros, or a matrix each: whichever has fewer weights,
 * unless that would be many layers or hardly fewer. */
static int64_t positions_at_once(const op_conv *v)
{
    const double one = (double)v->n_out * (double)v->n_kernel;
    const double all = (double)v->n_out * (double)v->n_in;
    return v->n_out > MANY_POSITIONS || all <= 2 * one ? v->n_out : 1;
}

static deft_status run_conv(und *u, int32_t k)
{
    const deft_node *const n = &u->g->node[k];
    const deft_tensor *const x = und_shape(u, n->in[0]), *const w = und_in_const(u, k, 1);
    const deft_tensor *const b = und_in_const(u, k, 2);
    if (!w || (n->n_in > 2 && n->in[2] >= 0 && !b))
        return und_bad(u, k, "convolves with computed weights, which no layer does");
    conv c = {.node = k};
    deft_error e = {DEFT_OK, ""};
    op_ctx ctx = {.node = n, .opset = u->g->opset, .err = &e};
    if (op_conv_read(&ctx, x, w, &c.v) != DEFT_OK) return und_bad(u, k, "%s", e.text);
    const op_conv *const v = &c.v;
    if (b && b->count != v->group * v->c_out) return und_bad(u, k, "its bias does not fit");
    const int64_t at_once = positions_at_once(v);
    const double weights = (double)v->c_out * (double)v->c_in * (double)v->n_out *
                           (double)(at_once == 1 ? v->n_kernel : v->n_in) * (double)v->group;
    if (v->batch != 1 || weights > MAX_WEIGHTS)
        return und_bad(u, k, "a convolution too large to be a dense layer (%g weights; at most %d)",
                       weights * (double)v->batch, MAX_WEIGHTS);
    deft_tensor shape = *x;
    shape.dim[1] = v->group * v->c_out;
    shape.count = shape.dim[1] * v->n_out;
    for (int32_t i = 0; i < v->axes; i++) shape.dim[2 + i] = v->out[i];
    c.x = und_elements(u, n->in[0]);
    c.w = und_floats(u, w);
    c.b = b ? und_floats(u, b) : NULL;
    c.out = DEFT_NEW_ARRAY(u->a, und_ref, shape.count);
    if (!c.x || !c.w || (b && !c.b) || !c.out) return und_no_memory(u);
    for (int64_t g = 0; g < v->group; g++)
        for (int64_t at = 0; at < v->n_out; at += at_once) {
            const deft_status s = add_positions(u, &c, g, (const int64_t[]){at, at_once});
            if (s != DEFT_OK) return s;
        }
    und_set(u, k, 0, &shape, c.out);
    return DEFT_OK;
}

const und_entry und_conv_table[] = {
    {"Conv", run_conv},
    {NULL, NULL},
};
