/* torch_ops_math.c - elementwise operators of TorchScript: arithmetic, comparisons, activations.
 * Operands that are all numbers give numbers. */
#include "formats/torch_script.h"
#include "graph/op.h"

#include <math.h>
#include <string.h>

static bool all_numbers(const ts_args *a, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        if (a->v[i].kind != TS_INT && a->v[i].kind != TS_FLOAT && a->v[i].kind != TS_BOOL)
            return false;
    return true;
}

static deft_dtype type_of(const ts *l, int32_t edge)
{
    return l->edge[edge].t->dtype;
}

static int32_t as_float(ts *l, int32_t edge)
{
    return edge < 0 || op_is_float(type_of(l, edge)) ? edge : ts_cast(l, edge, DEFT_F32);
}

/* A constant of the type of x. */
static int32_t like(ts *l, int32_t x, double v)
{
    return x < 0 ? -1 : ts_scalar(l, type_of(l, x), v);
}

static int32_t scaled(ts *l, int32_t x, double by)
{
    return by == 1 ? x : ts_binary(l, "Mul", x, like(l, x, by));
}

/* --- arithmetic ------------------------------------------------------------------------------ */

/* Of ints; false where it overflows. */
static bool integer_result(const char *op, int64_t x, int64_t y, int64_t *r)
{
    if (strcmp(op, "Add") == 0) return !__builtin_add_overflow(x, y, r);
    if (strcmp(op, "Sub") == 0) return !__builtin_sub_overflow(x, y, r);
    return !__builtin_mul_overflow(x, y, r);
}

static deft_status number_arithmetic(ts *l, const ts_args *a, double alpha, ts_value *out)
{
    const char *op = a->op->with;
    const bool real = a->v[0].kind == TS_FLOAT || a->v[1].kind == TS_FLOAT ||
                      strcmp(op, "Div") == 0 || strcmp(op, "Pow") == 0;
    double x = 0, y = 0;
    deft_status s = ts_to_float(l, &a->v[0], &x);
    if (s == DEFT_OK) s = ts_to_float(l, &a->v[1], &y);
    if (s != DEFT_OK) return s;
    if (!real) {
        int64_t r = 0;
        if (alpha != 1 || !integer_result(op, a->v[0].as.i, a->v[1].as.i, &r))
            return ts_fail(l, DEFT_E_RANGE, "torch.%s of large integers", a->op->name);
        *out = ts_int(r);
        return DEFT_OK;
    }
    const double r = strcmp(op, "Add") == 0   ? x + alpha * y
                     : strcmp(op, "Sub") == 0 ? x - alpha * y
                     : strcmp(op, "Mul") == 0 ? x * y
                     : strcmp(op, "Div") == 0 ? x / y
                                              : pow(x, y);
    const bool whole = strcmp(op, "Pow") == 0 && a->v[0].kind == TS_INT && a->v[1].kind == TS_INT &&
                       y >= 0 && fabs(r) < 9e15;
    *out = whole ? ts_int((int64_t)r) : ts_float(r);
    return DEFT_OK;
}

static deft_status joined_lists(ts *l, const ts_args *a, ts_value *out)
{
    const ts_list *x = a->v[0].as.list, *y = a->v[1].as.list;
    ts_list *list = ts_new_list(l, x->n + y->n);
    if (!list) return l->err->status;
    for (int32_t i = 0; i < x->n; i++) list->item[list->n++] = x->item[i];
    for (int32_t i = 0; i < y->n; i++) list->item[list->n++] = y->item[i];
    out->kind = TS_LIST;
    out->as.list = list;
    return DEFT_OK;
}

/* add and sub with alpha, mul, div, pow. */
static deft_status arithmetic(ts *l, ts_args *a, ts_value *out)
{
    const char *op = a->op->with;
    const bool sum = strcmp(op, "Add") == 0 || strcmp(op, "Sub") == 0;
    double alpha = 1;
    if (strcmp(op, "Add") == 0 && a->v[0].kind == TS_LIST && a->v[1].kind == TS_LIST)
        return joined_lists(l, a, out);
    if (sum) {
        const deft_status s = ts_arg_float(l, a, 2, 1, &alpha);
        if (s != DEFT_OK) return s;
    } else if (ts_has(a, 2)) {
        return ts_fail(l, DEFT_E_UNSUPPORTED, "torch.%s with a rounding mode", a->op->name);
    }
    if (all_numbers(a, 2)) return number_arithmetic(l, a, alpha, out);
    int32_t x[2];
    if (!ts_promote(l, a, 0, 1, x)) return l->err->status;
    if (strcmp(op, "Div") == 0) {
        x[0] = as_float(l, x[0]);
        x[1] = as_float(l, x[1]);
    }
    x[1] = scaled(l, x[1], alpha);
    return ts_give(l, ts_binary(l, op, x[0], x[1]), out);
}

/* rsub(x, y) is y - x. */
static deft_status rsub(ts *l, ts_args *a, ts_value *out)
{
    double alpha = 1;
    const deft_status s = ts_arg_float(l, a, 2, 1, &alpha);
    int32_t x[2];
    if (s != DEFT_OK || !ts_promote(l, a, 0, 1, x)) return l->err->status;
    return ts_give(l, ts_binary(l, "Sub", x[1], scaled(l, x[0], alpha)), out);
}

/* x + value * y * z, or y / z. */
static deft_status addc(ts *l, ts_args *a, ts_value *out)
{
    double value = 1;
    const deft_status s = ts_arg_float(l, a, 3, 1, &value);
    int32_t x[2];
    if (s != DEFT_OK || !ts_promote(l, a, 1, 2, x)) return l->err->status;
    const int32_t y = scaled(l, ts_binary(l, a->op->with, x[0], x[1]), value);
    return ts_give(l, ts_binary(l, "Add", ts_arg_edge(l, a, 0), y), out);
}

/* x + weight * (y - x) */
static deft_status lerp(ts *l, ts_args *a, ts_value *out)
{
    const int32_t x = ts_arg_edge(l, a, 0), y = x < 0 ? -1 : ts_arg_edge(l, a, 1);
    int32_t w = y < 0 ? -1 : ts_arg_edge(l, a, 2);
    if (w >= 0) w = ts_cast(l, w, type_of(l, x));
    const int32_t d = w < 0 ? -1 : ts_binary(l, "Sub", y, x);
    return ts_give(l, ts_binary(l, "Add", x, ts_binary(l, "Mul", w, d)), out);
}

/* --- comparisons ----------------------------------------------------------------------------- */

static deft_status compare_numbers(ts *l, const ts_args *a, ts_value *out)
{
    double x = 0, y = 0;
    deft_status s = ts_to_float(l, &a->v[0], &x);
    if (s == DEFT_OK) s = ts_to_float(l, &a->v[1], &y);
    const char *op = a->op->with;
    *out = ts_bool(strcmp(op, "Less") == 0          ? x < y
                   : strcmp(op, "LessOrEqual") == 0 ? x <= y
                   : strcmp(op, "Greater") == 0     ? x > y
                                                    : x >= y);
    return s;
}

/* eq, ne, lt, le, gt, ge. */
static deft_status compare(ts *l, ts_args *a, ts_value *out)
{
    const char *op = a->op->with;
    const bool equal = strcmp(op, "Equal") == 0, unequal = strcmp(op, "Not") == 0;
    if (a->v[0].kind != TS_TENSOR && a->v[1].kind != TS_TENSOR) {
        bool same = false;
        if (!equal && !unequal) return compare_numbers(l, a, out);
        const deft_status s = ts_same(l, &a->v[0], &a->v[1], &same);
        *out = ts_bool(same == equal);
        return s;
    }
    int32_t x[2];
    if (!ts_promote(l, a, 0, 1, x)) return l->err->status;
    int32_t r = ts_binary(l, unequal ? "Equal" : op, x[0], x[1]);
    if (unequal) r = ts_unary(l, "Not", r);
    return ts_give(l, r, out);
}

/* logical_and, __and__ and the like, of booleans. */
static deft_status logical(ts *l, ts_args *a, ts_value *out)
{
    const char *op = a->op->with;
    const bool inverse = strcmp(op, "Not") == 0;
    if (all_numbers(a, inverse ? 1 : 2)) {
        bool x = false, y = false;
        deft_status s = ts_truth(l, &a->v[0], &x);
        if (s == DEFT_OK && !inverse) s = ts_truth(l, &a->v[1], &y);
        if (!inverse && (a->v[0].kind != TS_BOOL || a->v[1].kind != TS_BOOL))
            return ts_fail(l, DEFT_E_UNSUPPORTED, "torch.%s of integers", a->op->name);
        *out = ts_bool(inverse                  ? !x
                       : strcmp(op, "And") == 0 ? x && y
                       : strcmp(op, "Or") == 0  ? x || y
                                                : x != y);
        return s;
    }
    int32_t x[2] = {ts_arg_edge(l, a, 0), -1};
    if (x[0] < 0) return l->err->status;
    const bool bits = strncmp(a->op->name, "logical", 7) != 0;
    if (bits && type_of(l, x[0]) != DEFT_BOOL)
        return ts_fail(l, DEFT_E_UNSUPPORTED, "torch.%s of integers", a->op->name);
    x[0] = ts_cast(l, x[0], DEFT_BOOL);
    if (inverse) return ts_give(l, ts_unary(l, op, x[0]), out);
    x[1] = ts_cast(l, ts_arg_edge(l, a, 1), DEFT_BOOL);
    return ts_give(l, ts_binary(l, op, x[0], x[1]), out);
}

/* where(condition, x, y) */
static deft_status where(ts *l, ts_args *a, ts_value *out)
{
    if (!ts_has(a, 1)) return ts_fail(l, DEFT_E_UNSUPPORTED, "torch.where of a condition alone");
    int32_t x[2];
    const int32_t c = ts_cast(l, ts_arg_edge(l, a, 0), DEFT_BOOL);
    if (c < 0 || !ts_promote(l, a, 1, 2, x)) return l->err->status;
    return ts_give(l, ts_emit(l, "Where", 3, (const int32_t[]){c, x[0], x[1]}, NULL), out);
}

/* --- functions of one operand ---------------------------------------------------------------- */

static deft_status unary(ts *l, ts_args *a, ts_value *out)
{
    int32_t x = ts_arg_edge(l, a, 0);
    if (x < 0) return l->err->status;
    static const char *const integers_too[] = {"Neg", "Abs", "Sign", "Relu"};
    bool keep = false;
    for (size_t i = 0; i < sizeof integers_too / sizeof integers_too[0]; i++)
        keep |= strcmp(a->op->with, integers_too[i]) == 0;
    if (!keep || a->v[0].kind != TS_TENSOR) x = as_float(l, x);
    x = ts_unary(l, a->op->with, x);
    if (x < 0 || a->v[0].kind == TS_TENSOR) return ts_give(l, x, out);
    const bool whole = keep && a->v[0].kind == TS_INT; // a number of a number
    const double v = op_get_f64(l->edge[x].t, 0);
    *out = whole ? ts_int((int64_t)v) : ts_float(v);
    return DEFT_OK;
}

/* One operand, and a number as attribute; "Op attribute default". */
static deft_status with_number(ts *l, ts_args *a, const char *op, const char *attr_name, double v,
                               ts_value *out)
{
    const int32_t x = as_float(l, ts_arg_edge(l, a, 0));
    const deft_attr attr[] = {ts_attr_float(attr_name, v), {0}};
    return ts_give(l, ts_emit(l, op, 1, &x, attr), out);
}

static deft_status leaky_relu(ts *l, ts_args *a, ts_value *out)
{
    double slope = 0;
    const deft_status s = ts_arg_float(l, a, 1, 0.01, &slope);
    return s == DEFT_OK ? with_number(l, a, "LeakyRelu", "alpha", slope, out) : s;
}

static deft_status celu(ts *l, ts_args *a, ts_value *out)
{
    double alpha = 0;
    const deft_status s = ts_arg_float(l, a, 1, 1, &alpha);
    return s == DEFT_OK ? with_number(l, a, "Celu", "alpha", alpha, out) : s;
}

/* elu(x, alpha, scale, input_scale): scale * (x, or alpha * (exp(input_scale * x) - 1)). */
static deft_status elu(ts *l, ts_args *a, ts_value *out)
{
    double alpha = 0, scale = 0, inner = 0;
    deft_status s = ts_arg_float(l, a, 1, 1, &alpha);
    if (s == DEFT_OK) s = ts_arg_float(l, a, 2, 1, &scale);
    if (s == DEFT_OK) s = ts_arg_float(l, a, 3, 1, &inner);
    if (s != DEFT_OK) return s;
    if (inner != 1)
        return ts_fail(l, DEFT_E_UNSUPPORTED, "torch.%s with an input scale of %g", a->op->name,
                       inner);
    const int32_t x = as_float(l, ts_arg_edge(l, a, 0));
    const deft_attr attr[] = {ts_attr_float("alpha", alpha), {0}};
    return ts_give(l, scaled(l, ts_emit(l, "Elu", 1, &x, attr), scale), out);
}

static deft_status gelu(ts *l, ts_args *a, ts_value *out)
{
    const bool said = ts_has(a, 1) && a->v[1].kind == TS_STRING;
    const int32_t x = as_float(l, ts_arg_edge(l, a, 0));
    const deft_attr attr[] = {
        {.name = "approximate", .kind = DEFT_ATTR_STRING, .s = said ? a->v[1].as.s : "none"}, {0}};
    if (strcmp(attr[0].s, "none") != 0 && strcmp(attr[0].s, "tanh") != 0)
        return ts_fail(l, DEFT_E_UNSUPPORTED, "torch.gelu of another approximation");
    return ts_give(l, ts_emit(l, "Gelu", 1, &x, attr), out);
}

static deft_status silu(ts *l, ts_args *a, ts_value *out)
{
    const int32_t x = as_float(l, ts_arg_edge(l, a, 0));
    return ts_give(l, ts_binary(l, "Mul", x, ts_unary(l, "Sigmoid", x)), out);
}

/* softplus(x, beta, threshold): a line above the threshold, where the curve is within e-9 of it. */
static deft_status softplus(ts *l, ts_args *a, ts_value *out)
{
    double beta = 0, threshold = 0;
    deft_status s = ts_arg_float(l, a, 1, 1, &beta);
    if (s == DEFT_OK) s = ts_arg_float(l, a, 2, 20, &threshold);
    if (s != DEFT_OK) return s;
    if (threshold < 15 || !(beta > 0))
        return ts_fail(l, DEFT_E_UNSUPPORTED, "torch.softplus with beta %g and threshold %g", beta,
                       threshold);
    int32_t x = scaled(l, as_float(l, ts_arg_edge(l, a, 0)), beta);
    x = ts_unary(l, "Softplus", x);
    return ts_give(l, scaled(l, x, 1 / beta), out);
}

static deft_status log_sigmoid(ts *l, ts_args *a, ts_value *out)
{
    const int32_t x = ts_unary(l, "Neg", as_float(l, ts_arg_edge(l, a, 0)));
    return ts_give(l, ts_unary(l, "Neg", ts_unary(l, "Softplus", x)), out);
}

static deft_status hard_sigmoid(ts *l, ts_args *a, ts_value *out)
{
    const int32_t x = as_float(l, ts_arg_edge(l, a, 0));
    const deft_attr attr[] = {ts_attr_float("alpha", 1.0 / 6), ts_attr_float("beta", 0.5), {0}};
    return ts_give(l, ts_emit(l, "HardSigmoid", 1, &x, attr), out);
}

/* 1 / sqrt(x) */
static deft_status rsqrt(ts *l, ts_args *a, ts_value *out)
{
    const int32_t x = as_float(l, ts_arg_edge(l, a, 0));
    return ts_give(l, ts_unary(l, "Reciprocal", ts_unary(l, "Sqrt", x)), out);
}

static deft_status square(ts *l, ts_args *a, ts_value *out)
{
    const int32_t x = ts_arg_edge(l, a, 0);
    return ts_give(l, ts_binary(l, "Mul", x, x), out);
}

/* glu(x, dim): the first half times the sigmoid of the second. */
static deft_status glu(ts *l, ts_args *a, ts_value *out)
{
    ts_tensor *t = NULL;
    int64_t at = 0;
    deft_status s = ts_arg_tensor(l, a, 0, &t);
    if (s == DEFT_OK) s = ts_arg_int(l, a, 1, -1, &at);
    if (s != DEFT_OK) return s;
    const deft_tensor *shape = ts_shape(l, t);
    const int32_t d = op_axis(at, shape->rank);
    if (d < 0 || shape->dim[d] % 2) return ts_fail(l, DEFT_E_FORMAT, "torch.glu of an odd half");
    const int64_t n = shape->dim[d], low[3] = {0, n / 2, 1}, high[3] = {n / 2, n, 1};
    ts_tensor *x = ts_slice(l, t, d, low), *y = x ? ts_slice(l, t, d, high) : NULL;
    if (!y) return l->err->status;
    const int32_t gate = ts_unary(l, "Sigmoid", ts_read(l, y));
    return ts_give(l, ts_binary(l, "Mul", ts_read(l, x), gate), out);
}

static deft_status prelu(ts *l, ts_args *a, ts_value *out)
{
    const int32_t x = ts_arg_edge(l, a, 0), w = x < 0 ? -1 : ts_arg_edge(l, a, 1);
    if (w < 0) return l->err->status;
    const deft_tensor *t = l->edge[x].t, *slope = l->edge[w].t;
    int64_t dim[DEFT_MAX_RANK] = {1, 1, 1, 1, 1, 1, 1, 1};
    if (slope->count != 1 && (t->rank < 2 || t->dim[1] != slope->count))
        return ts_fail(l, DEFT_E_FORMAT, "torch.prelu: slopes that do not fit");
    if (t->rank > 1) dim[1] = slope->count; // one a channel
    return ts_give(l, ts_binary(l, "PRelu", x, ts_reshape(l, w, t->rank, dim)), out);
}

/* --- limits ---------------------------------------------------------------------------------- */

/* max(x, low) and min(x, high); limits that are tensors differ from element to element. */
static deft_status clamp_tensors(ts *l, int32_t x, const ts_args *a, const int32_t at[2],
                                 ts_value *out)
{
    for (int k = 0; k < 2; k++) {
        if (at[k] < 0 || !ts_has(a, at[k])) continue;
        const int32_t y = ts_arg_edge(l, a, at[k]);
        if (y < 0) return l->err->status;
        x = ts_binary(l, k ? "Min" : "Max", x, ts_cast(l, y, type_of(l, x)));
    }
    return ts_give(l, x, out);
}

/* clamp(x, min, max), clamp_min, clamp_max, hardtanh, relu6. */
static deft_status clamp(ts *l, ts_args *a, ts_value *out)
{
    const char kind = a->op->with[0];
    const int32_t at[2] = {kind == '>' ? -1 : 1, kind == '>' ? 1 : kind == '<' ? -1 : 2};
    double v[2] = {-HUGE_VAL, HUGE_VAL};
    bool tensors = false;
    deft_status s = DEFT_OK;
    const int32_t x = ts_arg_edge(l, a, 0);
    if (x < 0) return l->err->status;
    if (kind == 'h') v[0] = -1, v[1] = 1;
    if (kind == '6') v[0] = 0, v[1] = 6;
    for (int k = 0; s == DEFT_OK && k < 2; k++) {
        if (at[k] < 0 || kind == '6') continue;
        tensors |= ts_is_tensor(a, at[k]);
        if (!ts_is_tensor(a, at[k])) s = ts_arg_float(l, a, at[k], v[k], &v[k]);
    }
    if (s != DEFT_OK) return s;
    if (tensors) return clamp_tensors(l, x, a, at, out);
    if (v[0] > v[1]) v[0] = v[1]; // torch: all become the upper limit
    if (!op_is_float(type_of(l, x)))
        return ts_fail(l, DEFT_E_UNSUPPORTED, "torch.%s of integers", a->op->name);
    const int32_t in[3] = {x, isfinite(v[0]) ? like(l, x, v[0]) : -2,
                           isfinite(v[1]) ? like(l, x, v[1]) : -2};
    return ts_give(l, ts_emit(l, "Clip", 3, in, NULL), out);
}

/* maximum, minimum: of two tensors. */
static deft_status extreme(ts *l, ts_args *a, ts_value *out)
{
    int32_t x[2];
    if (!ts_promote(l, a, 0, 1, x)) return l->err->status;
    return ts_give(l, ts_binary(l, a->op->with, x[0], x[1]), out);
}

static deft_status dropout(ts *l, ts_args *a, ts_value *out)
{
    double p = 0;
    bool train = false;
    deft_status s = ts_arg_float(l, a, 1, 0.5, &p);
    if (s == DEFT_OK) s = ts_arg_bool(l, a, 2, true, &train);
    if (s != DEFT_OK) return s;
    if (train && p != 0)
        return ts_fail(l, DEFT_E_UNSUPPORTED,
                       "torch.%s in training mode: call eval() before the policy is saved",
                       a->op->name);
    *out = a->v[0];
    return ts_is_tensor(a, 0) ? DEFT_OK : ts_fail(l, DEFT_E_FORMAT, "torch.dropout of no tensor");
}

const ts_op ts_ops_math[] = {
    {"add", "self other alpha", arithmetic, "Add"},
    {"sub", "self other alpha", arithmetic, "Sub"},
    {"subtract", "self other alpha", arithmetic, "Sub"},
    {"mul", "self other", arithmetic, "Mul"},
    {"multiply", "self other", arithmetic, "Mul"},
    {"div", "self other rounding_mode", arithmetic, "Div"},
    {"true_divide", "self other", arithmetic, "Div"},
    {"divide", "self other rounding_mode", arithmetic, "Div"},
    {"pow", "self exponent", arithmetic, "Pow"},
    {"rsub", "self other alpha", rsub, NULL},
    {"addcmul", "self tensor1 tensor2 value", addc, "Mul"},
    {"addcdiv", "self tensor1 tensor2 value", addc, "Div"},
    {"lerp", "self end weight", lerp, NULL},
    {"eq", "self other", compare, "Equal"},
    {"ne", "self other", compare, "Not"},
    {"lt", "self other", compare, "Less"},
    {"le", "self other", compare, "LessOrEqual"},
    {"gt", "self other", compare, "Greater"},
    {"ge", "self other", compare, "GreaterOrEqual"},
    {"logical_not", "self", logical, "Not"},
    {"bitwise_not", "self", logical, "Not"},
    {"logical_and", "self other", logical, "And"},
    {"logical_or", "self other", logical, "Or"},
    {"logical_xor", "self other", logical, "Xor"},
    {"bitwise_and", "self other", logical, "And"},
    {"bitwise_or", "self other", logical, "Or"},
    {"__and__", "self other", logical, "And"},
    {"__or__", "self other", logical, "Or"},
    {"__xor__", "self other", logical, "Xor"},
    {"where", "condition self other", where, NULL},
    {"neg", "self", unary, "Neg"},
    {"negative", "self", unary, "Neg"},
    {"abs", "self", unary, "Abs"},
    {"absolute", "self", unary, "Abs"},
    {"sign", "self", unary, "Sign"},
    {"relu", "self", unary, "Relu"},
    {"sigmoid", "self", unary, "Sigmoid"},
    {"tanh", "self", unary, "Tanh"},
    {"exp", "self", unary, "Exp"},
    {"log", "self", unary, "Log"},
    {"sqrt", "self", unary, "Sqrt"},
    {"reciprocal", "self", unary, "Reciprocal"},
    {"erf", "self", unary, "Erf"},
    {"sin", "self", unary, "Sin"},
    {"cos", "self", unary, "Cos"},
    {"tan", "self", unary, "Tan"},
    {"asin", "self", unary, "Asin"},
    {"acos", "self", unary, "Acos"},
    {"atan", "self", unary, "Atan"},
    {"sinh", "self", unary, "Sinh"},
    {"cosh", "self", unary, "Cosh"},
    {"floor", "self", unary, "Floor"},
    {"ceil", "self", unary, "Ceil"},
    {"round", "self", unary, "Round"},
    {"selu", "self", unary, "Selu"},
    {"mish", "self", unary, "Mish"},
    {"softsign", "self", unary, "Softsign"},
    {"hardswish", "self", unary, "HardSwish"},
    {"rsqrt", "self", rsqrt, NULL},
    {"square", "self", square, NULL},
    {"leaky_relu", "self negative_slope", leaky_relu, NULL},
    {"elu", "self alpha scale input_scale", elu, NULL},
    {"celu", "self alpha", celu, NULL},
    {"gelu", "self approximate", gelu, NULL},
    {"silu", "self", silu, NULL},
    {"softplus", "self beta threshold", softplus, NULL},
    {"log_sigmoid", "self", log_sigmoid, NULL},
    {"hardsigmoid", "self", hard_sigmoid, NULL},
    {"glu", "self dim", glu, NULL},
    {"prelu", "self weight", prelu, NULL},
    {"clamp", "self min max", clamp, "c"},
    {"clip", "self min max", clamp, "c"},
    {"clamp_min", "self min", clamp, "<"},
    {"clamp_max", "self max", clamp, ">"},
    {"hardtanh", "self min_val max_val", clamp, "h"},
    {"relu6", "self", clamp, "6"},
    {"maximum", "self other", extreme, "Max"},
    {"minimum", "self other", extreme, "Min"},
    {"dropout", "input p train", dropout, NULL},
    {"feature_dropout", "input p train", dropout, NULL},
    {"alpha_dropout", "input p train", dropout, NULL},
    {NULL, NULL, NULL, NULL},
};
