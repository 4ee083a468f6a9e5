/* op_elementwise.c - unary and broadcasting binary operators. Float32 operators compute in float32
 * where ONNX does; transcendental functions are libm's, rounded once. */
#include "graph/op.h"

#include <math.h>
#include <string.h>

typedef double unary_fn(double x);

static double f_relu(double x)
{
    return x > 0 ? x : isnan(x) ? x : 0;
}
static double f_neg(double x)
{
    return -x;
}
static double f_sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}
static double f_softplus(double x)
{
    return x > 30 ? x : log1p(exp(x));
}
static double f_softsign(double x)
{
    return x / (1 + fabs(x));
}
static double f_reciprocal(double x)
{
    return 1 / x;
}
static double f_hard_swish(double x)
{
    const double t = x / 6 + 0.5;
    return x * (t < 0 ? 0 : t > 1 ? 1 : t);
}
static double f_mish(double x)
{
    return x * tanh(f_softplus(x));
}
static double f_sign(double x)
{
    return x > 0 ? 1 : x < 0 ? -1 : 0;
}
static double f_round(double x)
{
    return nearbyint(x);
} // ties to even, as ONNX asks
static double f_not(double x)
{
    return x == 0;
}

static const struct {
    const char *name;
    unary_fn *f;
} unary[] = {
    {"Relu", f_relu},
    {"Neg", f_neg},
    {"Abs", fabs},
    {"Sigmoid", f_sigmoid},
    {"Tanh", tanh},
    {"Softplus", f_softplus},
    {"Softsign", f_softsign},
    {"Exp", exp},
    {"Log", log},
    {"Sqrt", sqrt},
    {"Erf", erf},
    {"Reciprocal", f_reciprocal},
    {"HardSwish", f_hard_swish},
    {"Mish", f_mish},
    {"Floor", floor},
    {"Ceil", ceil},
    {"Round", f_round},
    {"Sign", f_sign},
    {"Sin", sin},
    {"Cos", cos},
    {"Tan", tan},
    {"Asin", asin},
    {"Acos", acos},
    {"Atan", atan},
    {"Sinh", sinh},
    {"Cosh", cosh},
    {"Asinh", asinh},
    {"Acosh", acosh},
    {"Atanh", atanh},
    {"Not", f_not},
};

static deft_status run_unary(op_ctx *c)
{
    unary_fn *f = NULL;
    for (size_t i = 0; i < sizeof unary / sizeof unary[0]; i++)
        if (strcmp(unary[i].name, c->node->op) == 0) f = unary[i].f;
    const deft_tensor *x = op_in(c, 0);
    if (!f || !x) return op_fail(c, DEFT_E_FORMAT, "input 0 is missing");
    const deft_status s = op_out(c, 0, x->dtype, x->rank, x->dim);
    if (s != DEFT_OK) return s;
    const bool integer_only = !op_is_float(x->dtype);
    for (int64_t k = 0; k < x->count; k++) {
        if (integer_only && (strcmp(c->node->op, "Neg") == 0 || strcmp(c->node->op, "Abs") == 0)) {
            const int64_t v = op_get_i64(x, k);
            const bool flip = c->node->op[0] == 'N' || v < 0;
            op_set_i64(&c->out[0], k, flip ? (int64_t)(0 - (uint64_t)v) : v);
        } else {
            op_set_f64(&c->out[0], k, f(op_get_f64(x, k)));
        }
    }
    return DEFT_OK;
}

/* Operators with parameters: y = f(x; alpha, beta). */
typedef double param_fn(double x, double alpha, double beta);

static double f_leaky(double x, double a, double b)
{
    (void)b;
    return x < 0 ? a * x : x;
}
static double f_elu(double x, double a, double b)
{
    (void)b;
    return x < 0 ? a * expm1(x) : x;
}
static double f_celu(double x, double a, double b)
{
    (void)b;
    return x < 0 ? a * expm1(x / a) : x;
}
static double f_selu(double x, double a, double g)
{
    return g * (x <= 0 ? a * expm1(x) : x);
}
static double f_hard_sigmoid(double x, double a, double b)
{
    const double t = a * x + b;
    return t < 0 ? 0 : t > 1 ? 1 : t;
}
static double f_thresholded(double x, double a, double b)
{
    (void)b;
    return x > a ? x : 0;
}

static const struct {
    const char *name;
    param_fn *f;
    const char *beta_name;
    float alpha, beta;
} param[] = {
    {"LeakyRelu", f_leaky, "beta", 0.01f, 0},
    {"Elu", f_elu, "beta", 1, 0},
    {"Celu", f_celu, "beta", 1, 0},
    {"Selu", f_selu, "gamma", 1.67326319217681884765625f, 1.05070102214813232421875f},
    {"HardSigmoid", f_hard_sigmoid, "beta", 0.2f, 0.5f},
    {"ThresholdedRelu", f_thresholded, "beta", 1, 0},
};

static deft_status run_param(op_ctx *c)
{
    const deft_tensor *x = op_in(c, 0);
    if (!x || !op_is_float(x->dtype)) return op_fail(c, DEFT_E_FORMAT, "input 0 must be float");
    deft_status s = op_out(c, 0, x->dtype, x->rank, x->dim);
    for (size_t i = 0; s == DEFT_OK && i < sizeof param / sizeof param[0]; i++) {
        if (strcmp(param[i].name, c->node->op) != 0) continue;
        const double a = (double)deft_node_float(c->node, "alpha", param[i].alpha);
        const double b = (double)deft_node_float(c->node, param[i].beta_name, param[i].beta);
        for (int64_t k = 0; k < x->count; k++)
            op_set_f64(&c->out[0], k, param[i].f(op_get_f64(x, k), a, b));
    }
    return s;
}

static deft_status run_gelu(op_ctx *c)
{
    const deft_tensor *x = op_in(c, 0);
    if (!x || !op_is_float(x->dtype)) return op_fail(c, DEFT_E_FORMAT, "input 0 must be float");
    const deft_attr *a = deft_node_attr(c->node, "approximate");
    const bool approximate = a && a->kind == DEFT_ATTR_STRING && strcmp(a->s, "tanh") == 0;
    const deft_status s = op_out(c, 0, x->dtype, x->rank, x->dim);
    for (int64_t k = 0; s == DEFT_OK && k < x->count; k++) {
        const double v = op_get_f64(x, k);
        const double t = approximate ? tanh(0.79788456080286535588 * (v + 0.044715 * v * v * v))
                                     : erf(v * 0.70710678118654752440);
        op_set_f64(&c->out[0], k, 0.5 * v * (1 + t));
    }
    return s;
}

/* Binary operators; comparisons and logic give bool. */
typedef enum binary_kind {
    ADD,
    SUB,
    MUL,
    DIV,
    POW,
    MIN,
    MAX,
    MOD,
    EQUAL,
    LESS,
    GREATER,
    LESS_EQ,
    GREATER_EQ,
    AND,
    OR,
    XOR,
} binary_kind;

static const struct {
    const char *name;
    binary_kind kind;
} binary[] = {
    {"Add", ADD},
    {"Sub", SUB},
    {"Mul", MUL},
    {"Div", DIV},
    {"Pow", POW},
    {"Min", MIN},
    {"Max", MAX},
    {"Mod", MOD},
    {"Equal", EQUAL},
    {"Less", LESS},
    {"Greater", GREATER},
    {"LessOrEqual", LESS_EQ},
    {"GreaterOrEqual", GREATER_EQ},
    {"And", AND},
    {"Or", OR},
    {"Xor", XOR},
};

static float binary_f32(binary_kind kind, float a, float b)
{
    switch (kind) {
    case ADD:
        return a + b;
    case SUB:
        return a - b;
    case MUL:
        return a * b;
    case DIV:
        return a / b;
    case POW:
        return b == 2.0f ? a * a : (float)pow((double)a, (double)b);
    case MIN:
        return isnan(a) || a < b ? a : b;
    case MAX:
        return isnan(a) || a > b ? a : b;
    default:
        return fmodf(a, b);
    }
}

static double binary_f64(binary_kind kind, double a, double b)
{
    switch (kind) {
    case ADD:
        return a + b;
    case SUB:
        return a - b;
    case MUL:
        return a * b;
    case DIV:
        return a / b;
    case POW:
        return pow(a, b);
    case MIN:
        return isnan(a) || a < b ? a : b;
    case MAX:
        return isnan(a) || a > b ? a : b;
    default:
        return fmod(a, b);
    }
}

/* Two's complement; division truncates, by zero gives 0, so that no file makes us trap. */
static int64_t binary_i64(binary_kind kind, int64_t a, int64_t b, bool fmod_attr)
{
    switch (kind) {
    case ADD:
        return (int64_t)((uint64_t)a + (uint64_t)b);
    case SUB:
        return (int64_t)((uint64_t)a - (uint64_t)b);
    case MUL:
        return (int64_t)((uint64_t)a * (uint64_t)b);
    case DIV:
        return b == 0 ? 0 : b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b;
    case MIN:
        return a < b ? a : b;
    case MAX:
        return a > b ? a : b;
    case MOD: {
        if (b == 0 || b == -1) return 0;
        const int64_t r = a % b;
        return fmod_attr || r == 0 || (r < 0) == (b < 0) ? r : r + b;
    }
    default:
        return 0;
    }
}

static bool compare(binary_kind kind, const deft_tensor *a, int64_t ka, const deft_tensor *b,
                    int64_t kb)
{
    if (!op_is_float(a->dtype)) {
        const int64_t x = op_get_i64(a, ka), y = op_get_i64(b, kb);
        switch (kind) {
        case EQUAL:
            return x == y;
        case LESS:
            return x < y;
        case GREATER:
            return x > y;
        case LESS_EQ:
            return x <= y;
        case GREATER_EQ:
            return x >= y;
        case AND:
            return x && y;
        case OR:
            return x || y;
        default:
            return !x != !y;
        }
    }
    const double x = op_get_f64(a, ka), y = op_get_f64(b, kb);
    switch (kind) {
    case EQUAL:
        return x == y;
    case LESS:
        return x < y;
    case GREATER:
        return x > y;
    case LESS_EQ:
        return x <= y;
    default:
        return x >= y;
    }
}

static deft_status binary_into(op_ctx *c, binary_kind kind, const deft_tensor *a,
                               const deft_tensor *b)
{
    int32_t rank = 0;
    int64_t dim[DEFT_MAX_RANK];
    const bool logical = kind >= EQUAL;
    const bool fmod_attr = deft_node_int(c->node, "fmod", 0) != 0;
    if (kind != POW && a->dtype != b->dtype)
        return op_fail(c, DEFT_E_FORMAT, "operands differ in type: %s and %s",
                       deft_dtype_name(a->dtype), deft_dtype_name(b->dtype));
    deft_status s = op_broadcast(c, a, b, &rank, dim);
    if (s == DEFT_OK) s = op_out(c, 0, logical ? DEFT_BOOL : a->dtype, rank, dim);
    if (s != DEFT_OK) return s;
    deft_tensor *y = &c->out[0];
    for (int64_t k = 0; k < y->count; k++) {
        const int64_t ka = op_broadcast_at(a, rank, dim, k), kb = op_broadcast_at(b, rank, dim, k);
        if (logical) {
            ((uint8_t *)y->data)[k] = compare(kind, a, ka, b, kb);
        } else if (a->dtype == DEFT_F32) {
            const float vb =
                b->dtype == DEFT_F32 ? ((const float *)b->data)[kb] : (float)op_get_f64(b, kb);
            ((float *)y->data)[k] = binary_f32(kind, ((const float *)a->data)[ka], vb);
        } else if (a->dtype == DEFT_F64 || kind == POW) {
            op_set_f64(y, k, binary_f64(kind, op_get_f64(a, ka), op_get_f64(b, kb)));
        } else {
            op_set_i64(y, k, binary_i64(kind, op_get_i64(a, ka), op_get_i64(b, kb), fmod_attr));
        }
    }
    return DEFT_OK;
}

static deft_status run_binary(op_ctx *c)
{
    binary_kind kind = ADD;
    for (size_t i = 0; i < sizeof binary / sizeof binary[0]; i++)
        if (strcmp(binary[i].name, c->node->op) == 0) kind = binary[i].kind;
    const deft_tensor *a = op_in(c, 0), *b = op_in(c, 1);
    if (!a || !b) return op_fail(c, DEFT_E_FORMAT, "two inputs are needed");
    return binary_into(c, kind, a, b);
}

/* Min, Max, Sum, Mean of any number of operands. */
static deft_status run_variadic(op_ctx *c)
{
    const char *op = c->node->op;
    const binary_kind kind = strcmp(op, "Min") == 0 ? MIN : strcmp(op, "Max") == 0 ? MAX : ADD;
    const deft_tensor *x = op_in(c, 0);
    if (!x) return op_fail(c, DEFT_E_FORMAT, "input 0 is missing");
    deft_tensor acc = *x;
    for (int32_t i = 1; i < c->node->n_in; i++) {
        if (!op_in(c, i)) return op_fail(c, DEFT_E_FORMAT, "input %d is missing", (int)i);
        const deft_status s = binary_into(c, kind, &acc, c->in[i]);
        if (s != DEFT_OK) return s;
        acc = c->out[0];
    }
    c->out[0] = acc;
    if (strcmp(op, "Mean") != 0) return DEFT_OK;
    const deft_status s = op_out(c, 0, acc.dtype, acc.rank, acc.dim);
    for (int64_t k = 0; s == DEFT_OK && k < acc.count; k++)
        op_set_f64(&c->out[0], k, op_get_f64(&acc, k) / c->node->n_in);
    return s;
}

static deft_status run_clip(op_ctx *c)
{
    const deft_tensor *x = op_in(c, 0), *lo = op_in(c, 1), *hi = op_in(c, 2);
    if (!x) return op_fail(c, DEFT_E_FORMAT, "input 0 is missing");
    if ((lo && lo->count != 1) || (hi && hi->count != 1))
        return op_fail(c, DEFT_E_FORMAT, "min and max must be scalars");
    double l = lo ? op_get_f64(lo, 0) : -HUGE_VAL, h = hi ? op_get_f64(hi, 0) : HUGE_VAL;
    if (c->opset < 11) {
        l = (double)deft_node_float(c->node, "min", -3.4028234663852886e+38f);
        h = (double)deft_node_float(c->node, "max", 3.4028234663852886e+38f);
    }
    const deft_status s = op_out(c, 0, x->dtype, x->rank, x->dim);
    for (int64_t k = 0; s == DEFT_OK && k < x->count; k++) {
        double v = op_get_f64(x, k);
        v = v < l ? l : v;
        op_set_f64(&c->out[0], k, v > h ? h : v);
    }
    return s;
}

static deft_status run_prelu(op_ctx *c)
{
    const deft_tensor *x = op_in(c, 0), *slope = op_in(c, 1);
    if (!x || !slope) return op_fail(c, DEFT_E_FORMAT, "two inputs are needed");
    int32_t rank = 0;
    int64_t dim[DEFT_MAX_RANK];
    deft_status s = op_broadcast(c, x, slope, &rank, dim);
    if (s == DEFT_OK && rank != x->rank) s = op_fail(c, DEFT_E_FORMAT, "slope is larger than x");
    if (s == DEFT_OK) s = op_out(c, 0, x->dtype, rank, dim);
    for (int64_t k = 0; s == DEFT_OK && k < c->out[0].count; k++) {
        const double v = op_get_f64(x, op_broadcast_at(x, rank, dim, k));
        const double a = op_get_f64(slope, op_broadcast_at(slope, rank, dim, k));
        op_set_f64(&c->out[0], k, v < 0 ? v * a : v);
    }
    return s;
}

static deft_status run_where(op_ctx *c)
{
    const deft_tensor *cond = op_in(c, 0), *a = op_in(c, 1), *b = op_in(c, 2);
    if (!cond || !a || !b || cond->dtype != DEFT_BOOL || a->dtype != b->dtype)
        return op_fail(c, DEFT_E_FORMAT, "wants a bool condition and two operands of one type");
    int32_t rank = 0;
    deft_tensor shape = {.dtype = a->dtype};
    deft_status s = op_broadcast(c, a, b, &shape.rank, shape.dim);
    int64_t dim[DEFT_MAX_RANK];
    if (s == DEFT_OK) s = op_broadcast(c, cond, &shape, &rank, dim);
    if (s == DEFT_OK) s = op_out(c, 0, a->dtype, rank, dim);
    const size_t size = deft_dtype_size(a->dtype);
    for (int64_t k = 0; s == DEFT_OK && k < c->out[0].count; k++) {
        const bool yes = ((const uint8_t *)cond->data)[op_broadcast_at(cond, rank, dim, k)] != 0;
        const deft_tensor *t = yes ? a : b;
        memcpy((uint8_t *)c->out[0].data + (size_t)k * size,
               (const uint8_t *)t->data + (size_t)op_broadcast_at(t, rank, dim, k) * size, size);
    }
    return s;
}

static deft_status run_cast(op_ctx *c)
{
    const deft_tensor *x = op_in(c, 0), *like = op_in(c, 1);
    if (!x) return op_fail(c, DEFT_E_FORMAT, "input 0 is missing");
    const int64_t to = deft_node_int(c->node, "to", 0);
    const deft_dtype dtype = like ? like->dtype : op_onnx_dtype(to);
    if (!dtype)
        return op_fail(c, DEFT_E_UNSUPPORTED, "cannot cast to ONNX type %lld", (long long)to);
    const deft_status s = op_out(c, 0, dtype, x->rank, x->dim);
    for (int64_t k = 0; s == DEFT_OK && k < x->count; k++) {
        if (dtype == DEFT_BOOL)
            ((uint8_t *)c->out[0].data)[k] = op_get_f64(x, k) != 0;
        else if (op_is_float(x->dtype))
            op_set_f64(&c->out[0], k, op_get_f64(x, k));
        else
            op_set_i64(&c->out[0], k, op_get_i64(x, k));
    }
    return s;
}

static deft_status run_identity(op_ctx *c)
{
    const deft_tensor *x = op_in(c, 0);
    if (!x) return op_fail(c, DEFT_E_FORMAT, "input 0 is missing");
    const deft_status s = op_out(c, 0, x->dtype, x->rank, x->dim);
    if (s != DEFT_OK) return s;
    if (x->count) memcpy(c->out[0].data, x->data, (size_t)x->count * deft_dtype_size(x->dtype));
    return DEFT_OK;
}

static deft_status run_dropout(op_ctx *c)
{
    const deft_tensor *training = op_in(c, 2);
    if (training && training->count == 1 && op_get_i64(training, 0))
        return op_fail(c, DEFT_E_UNSUPPORTED, "training mode");
    deft_status s = run_identity(c);
    if (s != DEFT_OK || c->node->n_out < 2 || c->node->out[1] == -1) return s;
    // the mask: in inference everything is kept; before opset 10 it had the data's type
    const deft_tensor *x = op_in(c, 0);
    s = op_out(c, 1, c->opset < 10 ? x->dtype : DEFT_BOOL, x->rank, x->dim);
    for (int64_t k = 0; s == DEFT_OK && k < x->count; k++) op_set_f64(&c->out[1], k, 1);
    return s;
}

const op_entry op_table_elementwise[] = {
    {"Relu", run_unary},        {"Neg", run_unary},          {"Abs", run_unary},
    {"Sigmoid", run_unary},     {"Tanh", run_unary},         {"Softplus", run_unary},
    {"Softsign", run_unary},    {"Exp", run_unary},          {"Log", run_unary},
    {"Sqrt", run_unary},        {"Erf", run_unary},          {"Reciprocal", run_unary},
    {"HardSwish", run_unary},   {"Mish", run_unary},         {"Floor", run_unary},
    {"Ceil", run_unary},        {"Round", run_unary},        {"Sign", run_unary},
    {"Sin", run_unary},         {"Cos", run_unary},          {"Tan", run_unary},
    {"Asin", run_unary},        {"Acos", run_unary},         {"Atan", run_unary},
    {"Sinh", run_unary},        {"Cosh", run_unary},         {"Asinh", run_unary},
    {"Acosh", run_unary},       {"Atanh", run_unary},        {"Not", run_unary},
    {"LeakyRelu", run_param},   {"Elu", run_param},          {"Celu", run_param},
    {"Selu", run_param},        {"HardSigmoid", run_param},  {"ThresholdedRelu", run_param},
    {"Gelu", run_gelu},         {"Add", run_binary},         {"Sub", run_binary},
    {"Mul", run_binary},        {"Div", run_binary},         {"Pow", run_binary},
    {"Mod", run_binary},        {"Equal", run_binary},       {"Less", run_binary},
    {"Greater", run_binary},    {"LessOrEqual", run_binary}, {"GreaterOrEqual", run_binary},
    {"And", run_binary},        {"Or", run_binary},          {"Xor", run_binary},
    {"Min", run_variadic},      {"Max", run_variadic},       {"Sum", run_variadic},
    {"Mean", run_variadic},     {"Clip", run_clip},          {"PRelu", run_prelu},
    {"Where", run_where},       {"Cast", run_cast},          {"CastLike", run_cast},
    {"Identity", run_identity}, {"Dropout", run_dropout},    {NULL, NULL},
};
