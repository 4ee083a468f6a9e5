/* op_reduce.c - reductions, softmax, normalisations, argmax. */
#include "graph/op.h"

#include <math.h>
#include <string.h>

typedef enum reduction {
    MEAN,
    SUM,
    MAX,
    MIN,
    PROD,
    SUM_SQUARE,
    L1,
    L2,
    LOG_SUM,
    LOG_SUM_EXP
} reduction;

static const struct {
    const char *name;
    reduction kind;
} reductions[] = {
    {"ReduceMean", MEAN},      {"ReduceSum", SUM},
    {"ReduceMax", MAX},        {"ReduceMin", MIN},
    {"ReduceProd", PROD},      {"ReduceSumSquare", SUM_SQUARE},
    {"ReduceL1", L1},          {"ReduceL2", L2},
    {"ReduceLogSum", LOG_SUM}, {"ReduceLogSumExp", LOG_SUM_EXP},
};

static double start_of(reduction k)
{
    return k == PROD ? 1 : k == MAX ? -HUGE_VAL : k == MIN ? HUGE_VAL : 0;
}

static double accumulate(reduction k, double acc, double v)
{
    switch (k) {
    case MAX:
        return v > acc || isnan(v) ? v : acc;
    case MIN:
        return v < acc || isnan(v) ? v : acc;
    case PROD:
        return acc * v;
    case SUM_SQUARE:
    case L2:
        return acc + v * v;
    case L1:
        return acc + fabs(v);
    case LOG_SUM_EXP:
        return acc + exp(v);
    default:
        return acc + v;
    }
}

static double finish(reduction k, double acc, int64_t n)
{
    switch (k) {
    case MEAN:
        return acc / (double)n;
    case L2:
        return sqrt(acc);
    case LOG_SUM:
    case LOG_SUM_EXP:
        return log(acc);
    default:
        return acc;
    }
}

static deft_status reduce_axes(op_ctx *c, const deft_tensor *x, bool drop[DEFT_MAX_RANK],
                               bool *noop)
{
    int64_t axes[OP_MAX_LIST];
    const int32_t n = op_list(c, "axes", 1, axes);
    if (n < 0) return DEFT_E_FORMAT;
    *noop = n == 0 && deft_node_int(c->node, "noop_with_empty_axes", 0) != 0;
    for (int32_t i = 0; i < x->rank; i++) drop[i] = n == 0;
    for (int32_t i = 0; i < n; i++) {
        const int32_t a = op_axis(axes[i], x->rank);
        if (a < 0) return op_fail(c, DEFT_E_FORMAT, "axis is out of range");
        drop[a] = true;
    }
    return DEFT_OK;
}

static deft_status run_reduce(op_ctx *c)
{
    const deft_tensor *x = op_in(c, 0);
    if (!x) return op_fail(c, DEFT_E_FORMAT, "input 0 is missing");
    reduction kind = MEAN;
    for (size_t i = 0; i < sizeof reductions / sizeof reductions[0]; i++)
        if (strcmp(reductions[i].name, c->node->op) == 0) kind = reductions[i].kind;
    bool drop[DEFT_MAX_RANK] = {false}, noop = false;
    deft_status s = reduce_axes(c, x, drop, &noop);
    if (s != DEFT_OK) return s;
    const bool keep = deft_node_int(c->node, "keepdims", 1) != 0;
    int64_t dim[DEFT_MAX_RANK], stride[DEFT_MAX_RANK], n = 1;
    int32_t rank = 0;
    for (int32_t i = 0; i < x->rank; i++) {
        if (noop) drop[i] = false;
        if (drop[i]) n *= x->dim[i];
        if (!drop[i] || keep) dim[rank++] = drop[i] ? 1 : x->dim[i];
    }
    s = op_charge(c, x->count, OP_WORK_ELEMENT);
    if (s == DEFT_OK) s = op_out(c, 0, x->dtype, rank, dim);
    if (s != DEFT_OK) return s;
    int64_t step = 1;
    for (int32_t i = x->rank - 1; i >= 0; i--) {
        stride[i] = drop[i] ? 0 : step;
        if (!drop[i]) step *= x->dim[i];
    }
    const int64_t count = c->out[0].count;
    double *acc = deft_arena_array(c->arena, (size_t)count, sizeof *acc);
    if (!acc) return op_fail(c, DEFT_E_SPACE, "no memory");
    for (int64_t k = 0; k < count; k++) acc[k] = start_of(kind);
    for (int64_t k = 0; k < x->count; k++) {
        int64_t rest = k, to = 0;
        for (int32_t i = x->rank - 1; i >= 0; i--) {
            to += rest % x->dim[i] * stride[i];
            rest /= x->dim[i];
        }
        acc[to] = accumulate(kind, acc[to], op_get_f64(x, k));
    }
    for (int64_t k = 0; k < count; k++) op_set_f64(&c->out[0], k, finish(kind, acc[k], n));
    return DEFT_OK;
}

static deft_status run_softmax(op_ctx *c)
{
    const deft_tensor *x = op_in(c, 0);
    if (!x || !op_is_float(x->dtype)) return op_fail(c, DEFT_E_FORMAT, "input 0 must be float");
    const bool old = c->opset < 13; // then the axes from `axis` on are one
    const int32_t axis = op_axis(deft_node_int(c->node, "axis", old ? 1 : -1), x->rank);
    if (axis < 0) return op_fail(c, DEFT_E_FORMAT, "axis is out of range");
    const bool logarithm = strcmp(c->node->op, "LogSoftmax") == 0;
    const int64_t n = old ? op_product(x, axis, x->rank) : x->dim[axis];
    const int64_t inner = old ? 1 : op_product(x, axis + 1, x->rank);
    const deft_status s = op_out(c, 0, x->dtype, x->rank, x->dim);
    if (s != DEFT_OK || x->count == 0) return s;
    for (int64_t g = 0; g < x->count / n; g++) {
        const int64_t at = g / inner * n * inner + g % inner;
        double top = -HUGE_VAL, sum = 0;
        for (int64_t i = 0; i < n; i++) top = fmax(top, op_get_f64(x, at + i * inner));
        for (int64_t i = 0; i < n; i++) sum += exp(op_get_f64(x, at + i * inner) - top);
        for (int64_t i = 0; i < n; i++) {
            const double v = op_get_f64(x, at + i * inner) - top;
            op_set_f64(&c->out[0], at + i * inner, logarithm ? v - log(sum) : exp(v) / sum);
        }
    }
    return DEFT_OK;
}

static deft_status run_arg(op_ctx *c)
{
    const deft_tensor *x = op_in(c, 0);
    if (!x) return op_fail(c, DEFT_E_FORMAT, "input 0 is missing");
    const int32_t axis = op_axis(deft_node_int(c->node, "axis", 0), x->rank);
    if (axis < 0 || x->dim[axis] == 0) return op_fail(c, DEFT_E_FORMAT, "axis is out of range");
    const bool keep = deft_node_int(c->node, "keepdims", 1) != 0;
    const bool last = deft_node_int(c->node, "select_last_index", 0) != 0;
    const bool max = strcmp(c->node->op, "ArgMax") == 0;
    int64_t dim[DEFT_MAX_RANK];
    int32_t rank = 0;
    for (int32_t i = 0; i < x->rank; i++)
        if (i != axis || keep) dim[rank++] = i == axis ? 1 : x->dim[i];
    deft_status s = op_charge(c, x->count, OP_WORK_ELEMENT);
    if (s == DEFT_OK) s = op_out(c, 0, DEFT_I64, rank, dim);
    if (s != DEFT_OK) return s;
    const int64_t n = x->dim[axis], inner = op_product(x, axis + 1, x->rank);
    for (int64_t g = 0; g < c->out[0].count; g++) {
        const int64_t at = g / inner * n * inner + g % inner;
        int64_t best = 0;
        for (int64_t i = 1; i < n; i++) {
            const double v = op_get_f64(x, at + i * inner), b = op_get_f64(x, at + best * inner);
            if ((max ? v > b : v < b) || (last && v == b)) best = i;
        }
        ((int64_t *)c->out[0].data)[g] = best;
    }
    return DEFT_OK;
}

static bool fits(const deft_tensor *t, int64_t n)
{
    return t && t->count == n;
}

/* Also gives Mean and InvStdDev where they are asked for. */
static deft_status run_layer_norm(op_ctx *c)
{
    const deft_tensor *x = op_in(c, 0), *scale = op_in(c, 1), *bias = op_in(c, 2);
    if (!x || !op_is_float(x->dtype)) return op_fail(c, DEFT_E_FORMAT, "input 0 must be float");
    const int32_t axis = op_axis(deft_node_int(c->node, "axis", -1), x->rank);
    if (axis < 0) return op_fail(c, DEFT_E_FORMAT, "axis is out of range");
    const int64_t n = op_product(x, axis, x->rank), groups = op_product(x, 0, axis);
    if (!fits(scale, n) || (bias && !fits(bias, n)))
        return op_fail(c, DEFT_E_UNSUPPORTED, "scale and bias must cover the normalised axes");
    const double eps = (double)deft_node_float(c->node, "epsilon", 1e-5f);
    deft_status s = op_out(c, 0, x->dtype, x->rank, x->dim);
    int64_t dim[DEFT_MAX_RANK];
    for (int32_t i = 0; i < x->rank; i++) dim[i] = i < axis ? x->dim[i] : 1;
    for (int32_t o = 1; s == DEFT_OK && o < c->node->n_out && o < 3; o++)
        if (c->node->out[o] != -1) s = op_out(c, o, DEFT_F32, x->rank, dim);
    for (int64_t g = 0; s == DEFT_OK && n && g < groups; g++) {
        double mean = 0, var = 0;
        for (int64_t i = 0; i < n; i++) mean += op_get_f64(x, g * n + i);
        mean /= (double)n;
        for (int64_t i = 0; i < n; i++) {
            const double d = op_get_f64(x, g * n + i) - mean;
            var += d * d;
        }
        const double inv = 1 / sqrt(var / (double)n + eps);
        for (int64_t i = 0; i < n; i++) {
            const double y = (op_get_f64(x, g * n + i) - mean) * inv * op_get_f64(scale, i);
            op_set_f64(&c->out[0], g * n + i, bias ? y + op_get_f64(bias, i) : y);
        }
        if (c->node->n_out > 1 && c->node->out[1] != -1) op_set_f64(&c->out[1], g, mean);
        if (c->node->n_out > 2 && c->node->out[2] != -1) op_set_f64(&c->out[2], g, inv);
    }
    return s;
}

static deft_status run_batch_norm(op_ctx *c)
{
    const deft_tensor *x = op_in(c, 0);
    if (!x || !op_is_float(x->dtype) || x->rank < 2)
        return op_fail(c, DEFT_E_FORMAT, "input 0 must be float with a channel axis");
    if (deft_node_int(c->node, "training_mode", 0) || (c->node->n_out > 1 && c->opset >= 14))
        return op_fail(c, DEFT_E_UNSUPPORTED, "training mode");
    const int64_t channels = x->dim[1], inner = op_product(x, 2, x->rank);
    for (int32_t i = 1; i < 5; i++)
        if (!fits(op_in(c, i), channels))
            return op_fail(c, DEFT_E_FORMAT, "parameter %d does not fit the channels", (int)i);
    const double eps = (double)deft_node_float(c->node, "epsilon", 1e-5f);
    const deft_status s = op_out(c, 0, x->dtype, x->rank, x->dim);
    for (int64_t k = 0; s == DEFT_OK && k < x->count; k++) {
        const int64_t ch = k / inner % channels;
        const double v =
            (op_get_f64(x, k) - op_get_f64(c->in[3], ch)) / sqrt(op_get_f64(c->in[4], ch) + eps);
        op_set_f64(&c->out[0], k, v * op_get_f64(c->in[1], ch) + op_get_f64(c->in[2], ch));
    }
    return s;
}

const op_entry op_table_reduce[] = {
    {"ReduceMean", run_reduce},
    {"ReduceSum", run_reduce},
    {"ReduceMax", run_reduce},
    {"ReduceMin", run_reduce},
    {"ReduceProd", run_reduce},
    {"ReduceSumSquare", run_reduce},
    {"ReduceL1", run_reduce},
    {"ReduceL2", run_reduce},
    {"ReduceLogSum", run_reduce},
    {"ReduceLogSumExp", run_reduce},
    {"Softmax", run_softmax},
    {"LogSoftmax", run_softmax},
    {"ArgMax", run_arg},
    {"ArgMin", run_arg},
    {"LayerNormalization", run_layer_norm},
    {"BatchNormalization", run_batch_norm},
    {NULL, NULL},
};
