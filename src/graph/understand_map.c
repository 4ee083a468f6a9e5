/* understand_map.c - elementwise operators, and what a single element is. */
#include "graph/understand.h"

#include "graph/op.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* --- numbers --------------------------------------------------------------------------------- */

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static double act_eval(deft_activation f, double x)
{
    const double a = (double)f.alpha, b = (double)f.beta;
    switch (f.kind) {
    case DEFT_ACT_NONE:
        return x;
    case DEFT_ACT_RELU:
        return x > 0 ? x : 0;
    case DEFT_ACT_LEAKY_RELU:
        return x < 0 ? a * x : x;
    case DEFT_ACT_ELU:
        return x < 0 ? a * expm1(x) : x;
    case DEFT_ACT_SELU:
        return x < 0 ? b * a * expm1(x) : b * x;
    case DEFT_ACT_SILU:
        return x * sigmoid(x);
    case DEFT_ACT_GELU:
        return 0.5 * x * (1 + erf(x / sqrt(2)));
    case DEFT_ACT_GELU_TANH:
        return 0.5 * x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
    case DEFT_ACT_TANH:
        return tanh(x);
    case DEFT_ACT_SIGMOID:
        return sigmoid(x);
    case DEFT_ACT_SOFTSIGN:
        return x / (1 + fabs(x));
    case DEFT_ACT_SOFTPLUS:
        return x > 30 ? x : log1p(exp(x));
    case DEFT_ACT_CLIP:
        return x < a ? a : x > b ? b : x;
    }
    return (double)NAN;
}

double und_fn_eval(und_fn fn, deft_activation act, const double x[3])
{
    switch (fn) {
    case UND_ACT:
        return act_eval(act, x[0]);
    case UND_ADD:
        return x[0] + x[1];
    case UND_SUB:
        return x[0] - x[1];
    case UND_MUL:
        return x[0] * x[1];
    case UND_DIV:
        return x[0] / x[1];
    case UND_FMA:
        return x[0] * x[1] + x[2];
    case UND_POW:
        return pow(x[0], x[1]);
    case UND_MIN:
        return x[0] < x[1] ? x[0] : x[1];
    case UND_MAX:
        return x[0] > x[1] ? x[0] : x[1];
    case UND_PRELU:
        return x[0] < 0 ? x[0] * x[1] : x[0];
    case UND_EXP:
        return exp(x[0]);
    case UND_LOG:
        return log(x[0]);
    case UND_SQRT:
        return sqrt(x[0]);
    case UND_ABS:
        return fabs(x[0]);
    case UND_ERF:
        return erf(x[0]);
    case UND_SELECT:
        return x[0] != 0 ? x[1] : x[2];
    case UND_GREATER:
        return x[0] > x[1];
    case UND_GREATER_EQUAL:
        return x[0] >= x[1];
    }
    return (double)NAN;
}

/* --- views ----------------------------------------------------------------------------------- */

static und_view affine(und_ref x, float a, float b)
{
    return (und_view){.kind = UND_V_AFFINE, .x = x, .a = a, .b = b};
}

static und_view act_view(und_ref x, deft_activation_kind kind, float alpha, float beta)
{
    return (und_view){.kind = UND_V_ACT, .x = x, .act = {kind, alpha, beta}};
}

static bool constant(und_ref r)
{
    return r.op < 0;
}

/* x fn y; at most one is constant. */
static und_view look_binary(und_fn fn, und_ref x, und_ref y)
{
    const und_view raw = {.kind = UND_V_RAW};
    const und_ref v = constant(x) ? y : x; // the variable of two
    const float c = constant(x) ? x.c : y.c;
    const bool both = !constant(x) && !constant(y);
    switch (fn) {
    case UND_ADD:
        return both ? (und_view){.kind = UND_V_SUM, .x = x, .y = y, .a = 1} : affine(v, 1, c);
    case UND_SUB:
        if (both) return (und_view){.kind = UND_V_SUM, .x = x, .y = y, .a = -1};
        return constant(x) ? affine(y, -1, x.c) : affine(x, 1, -y.c);
    case UND_MUL:
        return both ? (und_view){.kind = UND_V_PRODUCT, .x = x, .y = y} : affine(v, c, 0);
    case UND_DIV:
        return both || constant(x) ? raw : affine(x, 1 / y.c, 0);
    case UND_POW:
        if (constant(x) || both || y.c != 2) return raw;
        return (und_view){.kind = UND_V_PRODUCT, .x = x, .y = x};
    case UND_MAX:
        if (both) return raw;
        return act_view(v, c == 0 ? DEFT_ACT_RELU : DEFT_ACT_CLIP, c, INFINITY);
    case UND_MIN:
        return both ? raw : act_view(v, DEFT_ACT_CLIP, -INFINITY, c);
    case UND_PRELU:
        if (constant(x) || both) return raw;
        return act_view(x, DEFT_ACT_LEAKY_RELU, y.c, 0);
    default:
        return raw;
    }
}

static und_view look_once(const und *u, und_ref r)
{
    if (r.op < 0) return (und_view){.kind = UND_V_CONST, .b = r.c};
    const und_op *op = u->op[r.op];
    if (op->kind != UND_MAP || op->norm) return (und_view){.kind = UND_V_SOLID, .x = r};
    if (op->alt) return (und_view){.kind = UND_V_ACT, .x = op->alt[r.at], .act = op->alt_act};
    if (op->fn == UND_ACT)
        return (und_view){.kind = UND_V_ACT, .x = op->x[0][r.at], .act = op->act};
    if (op->fn == UND_FMA) {
        if (constant(op->x[0][r.at]) || !constant(op->x[1][r.at]) || !constant(op->x[2][r.at]))
            return (und_view){.kind = UND_V_RAW};
        return affine(op->x[0][r.at], op->x[1][r.at].c, op->x[2][r.at].c);
    }
    if (!op->x[1] || op->x[2]) return (und_view){.kind = UND_V_RAW};
    return look_binary(op->fn, op->x[0][r.at], op->x[1][r.at]);
}

static bool as_clip(und_view v, float limit[2])
{
    if (v.kind != UND_V_ACT) return false;
    limit[0] = v.act.kind == DEFT_ACT_RELU ? 0 : v.act.alpha;
    limit[1] = v.act.kind == DEFT_ACT_RELU ? INFINITY : v.act.beta;
    return v.act.kind == DEFT_ACT_RELU || v.act.kind == DEFT_ACT_CLIP;
}

static float limited(float x, const float limit[2])
{
    return x < limit[0] ? limit[0] : x > limit[1] ? limit[1] : x;
}

und_view und_look(const und *u, und_ref r)
{
    und_view v = look_once(u, r);
    float outer[2], inner[2];
    for (int depth = 0; depth < 8 && as_clip(v, outer); depth++) { // clips of clips are one
        const und_view below = look_once(u, v.x);
        if (!as_clip(below, inner)) break;
        v.x = below.x;
        v.act =
            (deft_activation){DEFT_ACT_CLIP, limited(inner[0], outer), limited(inner[1], outer)};
    }
    if (v.kind == UND_V_ACT && v.act.kind == DEFT_ACT_CLIP && v.act.alpha == 0 &&
        v.act.beta == INFINITY)
        v.act.kind = DEFT_ACT_RELU;
    if (v.kind == UND_V_ACT && v.act.kind == DEFT_ACT_RELU) v.act.alpha = v.act.beta = 0;
    return v;
}

bool und_is_act(const und *u, und_ref r, deft_activation_kind kind, und_ref *x)
{
    const und_view v = und_look(u, r);
    if (v.kind != UND_V_ACT || v.act.kind != kind) return false;
    *x = v.x;
    return true;
}

/* --- making them ----------------------------------------------------------------------------- */

/* Of constants only. */
static bool fixed(und_call c, const und_ref *const x[3], int64_t k, und_ref *out)
{
    double v[3] = {0};
    bool all = true;
    for (int i = 0; i < 3 && x[i]; i++) {
        all = all && constant(x[i][k]);
        v[i] = (double)x[i][k].c;
    }
    if (all) *out = und_const((float)und_fn_eval(c.fn, c.act, v));
    if (!all && c.fn == UND_SELECT && constant(x[0][k])) {
        *out = x[v[0] != 0 ? 1 : 2][k];
        return true;
    }
    return all;
}

/* x + 0, x * 1 and the like. */
static bool neutral(und_call c, const und_ref *const x[3], int64_t k, und_ref *out)
{
    if (!x[1] || x[2]) return false;
    const und_ref a = x[0][k], b = x[1][k];
    const bool sum = c.fn == UND_ADD || c.fn == UND_SUB;
    const bool scale = c.fn == UND_MUL || c.fn == UND_DIV || c.fn == UND_POW;
    if (constant(b) && ((sum && b.c == 0) || (scale && b.c == 1)))
        *out = a;
    else if (constant(a) && ((c.fn == UND_ADD && a.c == 0) || (c.fn == UND_MUL && a.c == 1)))
        *out = b;
    else if (c.fn == UND_MUL && ((constant(a) && a.c == 0) || (constant(b) && b.c == 0)))
        *out = und_const(0);
    else
        return false;
    return true;
}

const und_ref *und_add_map(und *u, int32_t node, und_call call, const und_ref *const x[3],
                           int64_t n)
{
    und_ref *e = DEFT_NEW_ARRAY(u->a, und_ref, n);
    if (!e) return NULL;
    bool any = false;
    // all or none: a bias that happens to be zero must not tear its layer apart
    for (int64_t k = 0; !any && k < n; k++)
        any = !fixed(call, x, k, &e[k]) && !neutral(call, x, k, &e[k]);
    if (!any) return e;
    for (int64_t k = 0; k < n; k++)
        if (!fixed(call, x, k, &e[k])) e[k].op = -2;
    if (n > UND_MAX_ELEMENTS) return NULL;
    und_op *op = und_add_op(u, UND_MAP, node, call.port, (int32_t)n);
    if (!op) return NULL;
    op->fn = call.fn;
    op->act = call.act;
    for (int i = 0; i < 3; i++) op->x[i] = x[i];
    const int32_t at = und_unique(u);
    for (int64_t k = 0; k < n; k++)
        if (e[k].op == -2) e[k] = (und_ref){at, (int32_t)k, 0};
    return at < 0 ? NULL : e;
}

deft_status und_broadcast(und *u, int32_t node, int32_t n_x, const int32_t *input, und_pair *out)
{
    deft_error e = {0};
    const op_ctx c = {.node = &u->g->node[node], .err = &e};
    deft_tensor shape = {.dtype = DEFT_F32};
    *out = (und_pair){0};
    for (int32_t i = 0; i < n_x; i++) {
        const int32_t v = input[i] < c.node->n_in ? c.node->in[input[i]] : -1;
        if (v < 0) return und_bad(u, node, "input %d is missing", (int)input[i]);
        int64_t dim[DEFT_MAX_RANK];
        int32_t rank = 0;
        if (op_broadcast(&c, &shape, und_shape(u, v), &rank, dim) != DEFT_OK)
            return und_bad(u, node, "%s", e.text);
        shape.rank = rank;
        memcpy(shape.dim, dim, (size_t)rank * sizeof dim[0]);
        if (i + 1 == n_x || i == 0) shape.dtype = und_shape(u, v)->dtype;
    }
    shape.count = 1;
    for (int32_t d = 0; d < shape.rank; d++) {
        shape.count *= shape.dim[d];
        const deft_status s = und_count(u, node, shape.count);
        if (s != DEFT_OK) return s;
    }
    for (int32_t i = 0; i < n_x; i++) {
        const int32_t v = c.node->in[input[i]];
        const und_ref *from = und_elements(u, v);
        und_ref *to = DEFT_NEW_ARRAY(u->a, und_ref, shape.count);
        if (!from || !to) return und_no_memory(u);
        for (int64_t k = 0; k < shape.count; k++)
            to[k] = from[op_broadcast_at(und_shape(u, v), shape.rank, shape.dim, k)];
        out->x[i] = to;
    }
    out->shape = shape;
    return DEFT_OK;
}

/* The node's output 0 is a map of operands of one shape. */
static deft_status finish(und *u, int32_t k, und_call call, const und_pair *p)
{
    const und_ref *e = und_add_map(u, k, call, p->x, p->shape.count);
    if (!e) return und_no_memory(u);
    und_set(u, k, 0, &p->shape, e);
    return DEFT_OK;
}

static const struct {
    const char *op;
    und_fn fn;
} functions[] = {
    {"Add", UND_ADD},   {"Sub", UND_SUB},
    {"Mul", UND_MUL},   {"Div", UND_DIV},
    {"Pow", UND_POW},   {"Greater", UND_GREATER},
    {"Exp", UND_EXP},   {"GreaterOrEqual", UND_GREATER_EQUAL},
    {"Log", UND_LOG},   {"Abs", UND_ABS},
    {"Sqrt", UND_SQRT}, {"Erf", UND_ERF},
    {"Min", UND_MIN},   {"Max", UND_MAX},
    {"Sum", UND_ADD},   {"Mean", UND_ADD},
};

static und_fn function_of(const char *op)
{
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++)
        if (strcmp(functions[i].op, op) == 0) return functions[i].fn;
    return UND_ADD;
}

static deft_status binary(und *u, int32_t k)
{
    const char *op = u->g->node[k].op;
    const bool less = strcmp(op, "Less") == 0, less_equal = strcmp(op, "LessOrEqual") == 0;
    const bool swap = less || less_equal;
    und_pair p;
    const deft_status s = und_broadcast(u, k, 2, (const int32_t[]){swap, !swap}, &p);
    if (s != DEFT_OK || !p.x[0]) return s;
    const und_fn fn = less ? UND_GREATER : less_equal ? UND_GREATER_EQUAL : function_of(op);
    if (fn == UND_GREATER || fn == UND_GREATER_EQUAL) p.shape.dtype = DEFT_BOOL;
    return finish(u, k, (und_call){.fn = fn}, &p);
}

/* Min, Max, Sum and Mean of any number of operands. */
static deft_status variadic(und *u, int32_t k)
{
    const deft_node *n = &u->g->node[k];
    const und_fn fn = function_of(n->op);
    enum { MAX_OPERANDS = 64 };
    if (n->n_in < 1 || n->n_in > MAX_OPERANDS) return und_bad(u, k, "has too many operands");
    const bool mean = strcmp(n->op, "Mean") == 0;
    const und_ref *acc = NULL;
    und_pair p = {0};
    for (int32_t i = 0; i < n->n_in; i++) {
        // each operand against the first and the last: all have the shape of the whole
        und_pair both;
        const deft_status s = und_broadcast(u, k, 2, (const int32_t[]){0, i}, &both);
        if (s != DEFT_OK || !both.x[0]) return s;
        if (acc && both.shape.count != p.shape.count)
            return und_bad(u, k, "operands of different shapes are not supported");
        p.shape = both.shape;
        const und_ref *const x[3] = {acc, both.x[1], NULL};
        const int32_t port = i + 1 == n->n_in && !mean ? 0 : -1;
        acc =
            i ? und_add_map(u, k, (und_call){.fn = fn, .port = port}, x, p.shape.count) : both.x[1];
        if (!acc) return und_no_memory(u);
    }
    if (mean) {
        und_ref *c = DEFT_NEW_ARRAY(u->a, und_ref, p.shape.count);
        if (!c) return und_no_memory(u);
        for (int64_t i = 0; i < p.shape.count; i++) c[i] = und_const(1 / (float)n->n_in);
        const und_ref *const x[3] = {acc, c, NULL};
        acc = und_add_map(u, k, (und_call){.fn = UND_MUL}, x, p.shape.count);
        if (!acc) return und_no_memory(u);
    }
    und_set(u, k, 0, &p.shape, acc);
    return DEFT_OK;
}

static deft_status unary(und *u, int32_t k)
{
    und_pair p;
    const deft_status s = und_broadcast(u, k, 1, (const int32_t[]){0}, &p);
    if (s != DEFT_OK || !p.x[0]) return s;
    return finish(u, k, (und_call){.fn = function_of(u->g->node[k].op)}, &p);
}

/* --- activations ----------------------------------------------------------------------------- */

static deft_activation activation_of(const deft_node *n)
{
    const char *op = n->op;
    if (strcmp(op, "Relu") == 0) return (deft_activation){DEFT_ACT_RELU, 0, 0};
    if (strcmp(op, "Sigmoid") == 0) return (deft_activation){DEFT_ACT_SIGMOID, 0, 0};
    if (strcmp(op, "Softplus") == 0) return (deft_activation){DEFT_ACT_SOFTPLUS, 0, 0};
    if (strcmp(op, "Softsign") == 0) return (deft_activation){DEFT_ACT_SOFTSIGN, 0, 0};
    if (strcmp(op, "LeakyRelu") == 0)
        return (deft_activation){DEFT_ACT_LEAKY_RELU, deft_node_float(n, "alpha", 0.01f), 0};
    if (strcmp(op, "Elu") == 0)
        return (deft_activation){DEFT_ACT_ELU, deft_node_float(n, "alpha", 1), 0};
    if (strcmp(op, "Selu") == 0)
        return (deft_activation){DEFT_ACT_SELU,
                                 deft_node_float(n, "alpha", 1.67326319217681884765625f),
                                 deft_node_float(n, "gamma", 1.05070102214813232421875f)};
    if (strcmp(op, "Gelu") == 0) {
        const deft_attr *a = deft_node_attr(n, "approximate");
        const bool with_tanh =
            a && a->kind == DEFT_ATTR_STRING && a->s && strcmp(a->s, "tanh") == 0;
        return (deft_activation){with_tanh ? DEFT_ACT_GELU_TANH : DEFT_ACT_GELU, 0, 0};
    }
    return (deft_activation){DEFT_ACT_TANH, 0, 0};
}

static deft_status activation(und *u, int32_t k)
{
    und_pair p;
    const deft_status s = und_broadcast(u, k, 1, (const int32_t[]){0}, &p);
    if (s != DEFT_OK || !p.x[0]) return s;
    return finish(u, k, (und_call){.fn = UND_ACT, .act = activation_of(&u->g->node[k])}, &p);
}

static deft_status clip(und *u, int32_t k)
{
    const deft_node *n = &u->g->node[k];
    float limit[2] = {-INFINITY, INFINITY};
    if (u->g->opset < 11) {
        limit[0] = deft_node_float(n, "min", -FLT_MAX);
        limit[1] = deft_node_float(n, "max", FLT_MAX);
    }
    for (int32_t i = 1; i < 3 && u->g->opset >= 11; i++) {
        const und_value *v = und_in(u, k, i);
        if (!v) continue;
        if (!v->t || v->t->count != 1) return und_bad(u, k, "limits are not constant scalars");
        limit[i - 1] = (float)op_get_f64(v->t, 0);
    }
    if (limit[0] <= -FLT_MAX) limit[0] = -INFINITY;
    if (limit[1] >= FLT_MAX) limit[1] = INFINITY;
    if (!(limit[0] <= limit[1])) return und_bad(u, k, "clips to an empty range");
    und_pair p;
    const deft_status s = und_broadcast(u, k, 1, (const int32_t[]){0}, &p);
    if (s != DEFT_OK || !p.x[0]) return s;
    return finish(u, k, (und_call){.fn = UND_ACT, .act = {DEFT_ACT_CLIP, limit[0], limit[1]}}, &p);
}

static const und_ref *same(und *u, float c, int64_t n)
{
    und_ref *e = DEFT_NEW_ARRAY(u->a, und_ref, n);
    for (int64_t k = 0; e && k < n; k++) e[k] = und_const(c);
    return e;
}

/* a x + b, or with a reciprocal 1 / x. */
static const und_ref *scaled(und *u, int32_t k, const und_ref *x, const float ab[2],
                             const und_pair *p, int32_t port)
{
    const und_ref *const in[3] = {x, same(u, ab[0], p->shape.count),
                                  same(u, ab[1], p->shape.count)};
    if (!x || !in[1] || !in[2]) return NULL;
    return und_add_map(u, k, (und_call){.fn = UND_FMA, .port = port}, in, p->shape.count);
}

/* Neg, Reciprocal, HardSigmoid, HardSwish, Mish, Celu: in simpler terms. */
static deft_status composed(und *u, int32_t k)
{
    const deft_node *n = &u->g->node[k];
    und_pair p;
    const deft_status s = und_broadcast(u, k, 1, (const int32_t[]){0}, &p);
    if (s != DEFT_OK || !p.x[0]) return s;
    const int64_t count = p.shape.count;
    const und_ref *x = p.x[0], *y = NULL;
    const char *op = n->op;
    if (strcmp(op, "Neg") == 0) {
        y = scaled(u, k, x, (const float[]){-1, 0}, &p, 0);
    } else if (strcmp(op, "Reciprocal") == 0) {
        const und_ref *const in[3] = {same(u, 1, count), x, NULL};
        if (in[0]) y = und_add_map(u, k, (und_call){.fn = UND_DIV}, in, count);
    } else if (strcmp(op, "Celu") == 0) {
        const float alpha = deft_node_float(n, "alpha", 1);
        if (alpha != 1) x = scaled(u, k, x, (const float[]){1 / alpha, 0}, &p, -1);
        const und_ref *const in[3] = {x, NULL, NULL};
        const und_call elu = {UND_ACT, {DEFT_ACT_ELU, 1, 0}, alpha == 1 ? 0 : -1};
        if (x) y = und_add_map(u, k, elu, in, count);
        if (alpha != 1) y = scaled(u, k, y, (const float[]){alpha, 0}, &p, 0);
    } else if (strcmp(op, "Mish") == 0) {
        const und_ref *in[3] = {x, NULL, NULL};
        y = und_add_map(u, k, (und_call){UND_ACT, {DEFT_ACT_SOFTPLUS, 0, 0}, -1}, in, count);
        in[0] = y;
        if (y) y = und_add_map(u, k, (und_call){UND_ACT, {DEFT_ACT_TANH, 0, 0}, -1}, in, count);
        const und_ref *const both[3] = {x, y, NULL};
        if (y) y = und_add_map(u, k, (und_call){.fn = UND_MUL}, both, count);
    } else {
        const bool swish = strcmp(op, "HardSwish") == 0;
        const float a = swish ? 1.0f / 6 : deft_node_float(n, "alpha", 0.2f);
        const float b = swish ? 0.5f : deft_node_float(n, "beta", 0.5f);
        const und_ref *const in[3] = {scaled(u, k, x, (const float[]){a, b}, &p, -1), NULL, NULL};
        const und_call unit = {UND_ACT, {DEFT_ACT_CLIP, 0, 1}, swish ? -1 : 0};
        if (in[0]) y = und_add_map(u, k, unit, in, count);
        const und_ref *const both[3] = {x, y, NULL};
        if (y && swish) y = und_add_map(u, k, (und_call){.fn = UND_MUL}, both, count);
    }
    if (!y) return und_no_memory(u);
    und_set(u, k, 0, &p.shape, y);
    return DEFT_OK;
}

/* One slope: a leaky ReLU. A slope for each element: max(x, 0) + slope * min(x, 0). */
static deft_status prelu(und *u, int32_t k)
{
    und_pair p;
    const deft_status s = und_broadcast(u, k, 2, (const int32_t[]){0, 1}, &p);
    if (s != DEFT_OK || !p.x[0]) return s;
    const int64_t n = p.shape.count;
    bool one = true, known = n > 0;
    for (int64_t i = 0; i < n; i++) {
        known = known && constant(p.x[1][i]);
        one = one && known && p.x[1][i].c == p.x[1][0].c;
    }
    if (!known || one) return finish(u, k, (und_call){.fn = UND_PRELU}, &p);
    const und_ref *const x[3] = {p.x[0], NULL, NULL};
    const und_call below = {UND_ACT, {DEFT_ACT_CLIP, -INFINITY, 0}, -1};
    const und_call above = {UND_ACT, {DEFT_ACT_RELU, 0, 0}, -1};
    const und_ref *high = und_add_map(u, k, above, x, n), *low = und_add_map(u, k, below, x, n);
    const und_ref *const slope[3] = {low, p.x[1], NULL};
    if (low) low = und_add_map(u, k, (und_call){.fn = UND_MUL, .port = -1}, slope, n);
    const und_ref *const sum[3] = {high, low, NULL};
    const und_ref *y = high && low ? und_add_map(u, k, (und_call){.fn = UND_ADD}, sum, n) : NULL;
    if (!y) return und_no_memory(u);
    und_set(u, k, 0, &p.shape, y);
    return DEFT_OK;
}

static deft_status where(und *u, int32_t k)
{
    if (und_in_const(u, k, 0)) return und_move(u, k);
    und_pair p;
    const deft_status s = und_broadcast(u, k, 3, (const int32_t[]){0, 1, 2}, &p);
    if (s != DEFT_OK || !p.x[0] || !p.x[1] || !p.x[2]) return s;
    return finish(u, k, (und_call){.fn = UND_SELECT}, &p);
}

const und_entry und_map_table[] = {
    {"Add", binary},
    {"Sub", binary},
    {"Mul", binary},
    {"Div", binary},
    {"Pow", binary},
    {"PRelu", prelu},
    {"Greater", binary},
    {"Less", binary},
    {"GreaterOrEqual", binary},
    {"LessOrEqual", binary},
    {"Min", variadic},
    {"Max", variadic},
    {"Sum", variadic},
    {"Mean", variadic},
    {"Exp", unary},
    {"Log", unary},
    {"Sqrt", unary},
    {"Abs", unary},
    {"Erf", unary},
    {"Relu", activation},
    {"Sigmoid", activation},
    {"Tanh", activation},
    {"Softplus", activation},
    {"Softsign", activation},
    {"LeakyRelu", activation},
    {"Elu", activation},
    {"Selu", activation},
    {"Gelu", activation},
    {"Clip", clip},
    {"Neg", composed},
    {"Reciprocal", composed},
    {"Celu", composed},
    {"Mish", composed},
    {"HardSigmoid", composed},
    {"HardSwish", composed},
    {"Where", where},
    {NULL, NULL},
};
