/* understand_function.c - activations and layer normalisation written in parts.
 *
 * An elementwise expression of one variable is an activation if it has its values: it is sampled in
 * double precision and compared, whatever operators it was written with. */
#include "graph/understand.h"

#include <math.h>
#include <string.h>

enum { MAX_DAG = 40, N_SAMPLE = 54, BUDGET = 1 << 23 };

/* The elements below an element, down to what is no map. Operands come before their users. */
typedef struct dag {
    und_ref ref[MAX_DAG];
    int n;
    bool nonlinear; // something in it is more than sums and products
} dag;

static bool is_map(const und *u, und_ref r)
{
    return r.op >= 0 && u->op[r.op]->kind == UND_MAP && !u->op[r.op]->norm;
}

/* Operands of a map as it was written: an activation found in it may hide what a larger one is a
 * function of. */
static int operands(const und *u, und_ref r, und_ref x[3])
{
    const und_op *op = u->op[r.op];
    int n = 0;
    while (n < 3 && op->x[n]) {
        x[n] = op->x[n][r.at];
        n++;
    }
    return n;
}

static bool curved(const und_op *op)
{
    return op->fn != UND_ADD && op->fn != UND_SUB && op->fn != UND_MUL && op->fn != UND_FMA;
}

static int find(const dag *d, und_ref r)
{
    for (int i = 0; i < d->n; i++)
        if (d->ref[i].op == r.op && d->ref[i].at == r.at) return i;
    return -1;
}

static void collect(const und *u, und_ref root, dag *d)
{
    d->n = 1;
    d->ref[0] = root;
    d->nonlinear = false;
    for (int i = 0; i < d->n; i++) {
        if (!is_map(u, d->ref[i])) continue;
        und_ref x[3];
        const int n = operands(u, d->ref[i], x);
        if (curved(u->op[d->ref[i].op])) d->nonlinear = true;
        for (int k = 0; k < n; k++) {
            if (x[k].op < 0 || find(d, x[k]) >= 0) continue;
            if (d->n < MAX_DAG) d->ref[d->n++] = x[k]; // else the expression ends above it
        }
    }
    for (int i = 1; i < d->n; i++) { // ops are in topological order
        const und_ref r = d->ref[i];
        int k = i;
        for (; k > 0 && d->ref[k - 1].op > r.op; k--) d->ref[k] = d->ref[k - 1];
        d->ref[k] = r;
    }
}

static double sample_at(int i)
{
    static const double far[] = {-100,  100,  -1,    1,    0,     -30,  30,   1e-3,
                                 -1e-3, 0.01, -0.01, 0.04, -0.04, 0.12, -0.12};
    enum { N_FAR = sizeof far / sizeof far[0] };
    return i < N_FAR ? far[i] : -9.7 + 0.5 * (i - N_FAR);
}

/* How an element of a dag is made: at[k] is the place of operand k in the dag, -1: the constant c.
 */
typedef struct recipe {
    int n, at[3];
    double c[3];
} recipe;

/* What the root needs of the dag as a function of its element v: need[i] and the recipes of those;
 * false if it depends on anything else. */
static bool depends_only_on(const und *u, const dag *d, int v, bool need[MAX_DAG],
                            recipe r[MAX_DAG])
{
    memset(need, 0, MAX_DAG * sizeof need[0]);
    need[d->n - 1] = true;
    for (int i = d->n - 1; i > v; i--) {
        if (!need[i]) continue;
        if (!is_map(u, d->ref[i])) return false;
        und_ref x[3];
        r[i].n = operands(u, d->ref[i], x);
        for (int k = 0; k < r[i].n; k++) {
            r[i].at[k] = -1;
            r[i].c[k] = (double)x[k].c;
            if (x[k].op < 0) continue;
            const int at = find(d, x[k]);
            if (at < v) return false; // reaches below the variable, or was not collected
            r[i].at[k] = at;
            need[at] = true;
        }
    }
    return need[v];
}

/* The root as a function of element v of the dag; false if it depends on anything else. */
static bool sample(const und *u, const dag *d, int v, double y[N_SAMPLE])
{
    bool need[MAX_DAG];
    recipe r[MAX_DAG];
    double value[MAX_DAG] = {0};
    if (!depends_only_on(u, d, v, need, r)) return false;
    for (int s = 0; s < N_SAMPLE; s++) {
        value[v] = sample_at(s);
        for (int i = v + 1; i < d->n; i++) {
            if (!need[i]) continue;
            const und_op *op = u->op[d->ref[i].op];
            double in[3] = {0};
            for (int k = 0; k < r[i].n; k++) in[k] = r[i].at[k] < 0 ? r[i].c[k] : value[r[i].at[k]];
            value[i] = und_fn_eval(op->fn, op->act, in);
        }
        y[s] = value[d->n - 1];
    }
    return true;
}

static bool equals(deft_activation f, const double y[N_SAMPLE])
{
    for (int s = 0; s < N_SAMPLE; s++) {
        const double x[3] = {sample_at(s)}, want = und_fn_eval(UND_ACT, f, x);
        if (!(fabs(y[s] - want) <= 2e-6 * (1 + fabs(want)))) return false;
    }
    return true;
}

/* Sums of constants that a file holds in float32 are seldom the round numbers they were. */
static float rounded(double v)
{
    const double r = round(v * 1e6) / 1e6;
    return (float)(fabs(v - r) < 1e-6 * (1 + fabs(v)) ? r : v);
}

/* Limits that the samples can tell from a curve between them. */
static bool plausible_limits(double low, double high)
{
    return low < high && fabs(low) <= 50 && fabs(high) <= 50 && (low == 0 || fabs(low) > 0.02) &&
           (high == 0 || fabs(high) > 0.02);
}

static bool recognise(const double y[N_SAMPLE], deft_activation *out)
{
    enum { AT_MINUS_100, AT_100, AT_MINUS_1, AT_1 };
    const double low = y[AT_MINUS_100], high = y[AT_100];
    const deft_activation candidate[] = {
        {DEFT_ACT_SILU, 0, 0},
        {DEFT_ACT_GELU, 0, 0},
        {DEFT_ACT_GELU_TANH, 0, 0},
        {DEFT_ACT_SIGMOID, 0, 0},
        {DEFT_ACT_TANH, 0, 0},
        {DEFT_ACT_RELU, 0, 0},
        {DEFT_ACT_SOFTPLUS, 0, 0},
        {DEFT_ACT_SOFTSIGN, 0, 0},
        {DEFT_ACT_LEAKY_RELU, rounded(-y[AT_MINUS_1]), 0},
        {DEFT_ACT_ELU, rounded(-low), 0},
        {DEFT_ACT_SELU, (float)(-low / y[AT_1]), (float)y[AT_1]},
        {DEFT_ACT_CLIP, (float)low, (float)high},
    };
    for (size_t i = 0; i < sizeof candidate / sizeof candidate[0]; i++) {
        const deft_activation f = candidate[i];
        if (!isfinite(f.alpha) || !isfinite(f.beta)) continue;
        // a line is nobody's activation, nor is a constant
        if (f.kind == DEFT_ACT_LEAKY_RELU && fabsf(f.alpha - 1) < 1e-5f) continue;
        if (f.kind == DEFT_ACT_SELU && f.alpha < 1e-3f) continue; // a scaled ReLU
        if (f.kind == DEFT_ACT_CLIP && !plausible_limits(low, high)) continue;
        if (!equals(f, y)) continue;
        *out = f;
        return true;
    }
    return false;
}

static bool same_act(deft_activation a, deft_activation b)
{
    return a.kind == b.kind && fabsf(a.alpha - b.alpha) <= 1e-6f * (1 + fabsf(a.alpha)) &&
           fabsf(a.beta - b.beta) <= 1e-6f * (1 + fabsf(a.beta));
}

/* The first element of the dag from `from` on that its root is an activation of, -1: none. */
static int next_cut(und *u, const dag *d, int from, deft_activation *act)
{
    double y[N_SAMPLE];
    for (int v = from; v < d->n - 1; v++) {
        u->budget -= (int64_t)d->n * d->n; // what finding the operands takes
        if (u->budget < 0) return -1;
        if (u->op[d->ref[v].op]->raw) continue; // a piece of something else
        if (!sample(u, d, v, y)) continue;
        u->budget -= (int64_t)d->n * N_SAMPLE;
        if (recognise(y, act)) return v;
    }
    return -1;
}

/* An activation that one element of an op was found to be. */
typedef struct found {
    const dag *d;
    int v; // d->ref[v] is what it is a function of
    deft_activation act;
    bool need[MAX_DAG];
    recipe r[MAX_DAG];
} found;

/* Is the root of d made of d->ref[f->v] by the same steps as in f? Then it needs no samples. */
static bool same_steps(const und *u, const found *f, const dag *d)
{
    bool need[MAX_DAG];
    recipe r[MAX_DAG];
    if (d->n != f->d->n || !depends_only_on(u, d, f->v, need, r)) return false;
    for (int i = f->v + 1; i < d->n; i++) {
        if (need[i] != f->need[i]) return false;
        if (!need[i]) continue;
        if (d->ref[i].op != f->d->ref[i].op || r[i].n != f->r[i].n) return false;
        for (int k = 0; k < r[i].n; k++)
            if (r[i].at[k] != f->r[i].at[k] || r[i].c[k] != f->r[i].c[k]) return false;
    }
    return true;
}

/* Is element `root` this activation of something? */
static bool is_activation(und *u, und_ref root, const found *f, und_ref *x)
{
    dag d;
    deft_activation act;
    collect(u, root, &d);
    u->budget -= (int64_t)d.n * d.n;
    if (!d.nonlinear) return false;
    if (same_steps(u, f, &d)) {
        *x = d.ref[f->v];
        return true;
    }
    for (int v = 0; (v = next_cut(u, &d, v, &act)) >= 0; v++) {
        if (!same_act(act, f->act)) continue;
        *x = d.ref[v];
        return true;
    }
    return false;
}

/* All elements of an op as one activation, each of the deepest element that it is a function of. */
static deft_status find_activation(und *u, int32_t k)
{
    und_op *op = u->op[k];
    if (op->fn == UND_ACT || op->fn == UND_PRELU) return DEFT_OK;
    dag d;
    found f = {.d = &d};
    und_ref *alt = NULL;
    collect(u, (und_ref){k, 0, 0}, &d);
    if (!d.nonlinear) return DEFT_OK;
    for (int v = 0; (v = next_cut(u, &d, v, &f.act)) >= 0; v++) {
        if (!alt) alt = DEFT_NEW_ARRAY(u->a, und_ref, op->n);
        if (!alt) return und_no_memory(u);
        alt[0] = d.ref[v];
        f.v = v;
        bool all = depends_only_on(u, &d, v, f.need, f.r);
        for (int32_t i = 1; i < op->n && all; i++)
            all = is_activation(u, (und_ref){k, i, 0}, &f, &alt[i]);
        if (!all) continue;
        op->alt = alt;
        op->alt_act = f.act;
        return DEFT_OK;
    }
    return DEFT_OK;
}

/* --- (x - mean) / sqrt(mean((x - mean)^2) + eps) -----------------------------------------------
 */

static const und_op *map_of(const und *u, und_ref r)
{
    return is_map(u, r) ? u->op[r.op] : NULL;
}

/* r = sqrt(v) */
static bool root_of(const und *u, und_ref r, und_ref *v)
{
    const und_op *op = map_of(u, r);
    if (!op) return false;
    const bool power = op->fn == UND_POW && op->x[1][r.at].op < 0 && op->x[1][r.at].c == 0.5f;
    if (op->fn != UND_SQRT && !power) return false;
    *v = op->x[0][r.at];
    return true;
}

/* v / sqrt(...) of a division, or v * (1 / sqrt(...)). */
static bool split_quotient(const und *u, const und_op *op, int32_t k, und_ref *over, und_ref *var)
{
    if (op->fn == UND_DIV) {
        *over = op->x[0][k];
        return root_of(u, op->x[1][k], var);
    }
    if (op->fn != UND_MUL) return false;
    for (int i = 0; i < 2; i++) {
        const und_op *d = map_of(u, op->x[i][k]);
        const int32_t at = op->x[i][k].at;
        if (!d || d->fn != UND_DIV || d->x[0][at].op >= 0 || d->x[0][at].c != 1) continue;
        *over = op->x[1 - i][k];
        return root_of(u, d->x[1][at], var);
    }
    return false;
}

/* The deviation x - mean whose square r is. */
static bool square_of(const und *u, und_ref r, und_ref *d)
{
    const und_view v = und_look(u, r);
    if (v.kind != UND_V_PRODUCT || !und_same(v.x, v.y)) return false;
    *d = v.x;
    return true;
}

/* var = mean of the squares of deviations (+ epsilon): fills norm->in with the x, and which
 * deviations there are. */
static bool read_variance(und *u, und_ref var, und_norm *norm, und_table *deviation)
{
    const und_view v = und_look(u, var);
    norm->epsilon = 0;
    if (v.kind == UND_V_AFFINE) {
        if (v.a != 1 || v.b < 0) return false;
        norm->epsilon = v.b;
        var = v.x;
    }
    if (var.op < 0 || !u->op[var.op]->mean) return false;
    const und_op *mean = u->op[var.op];
    und_ref *in = DEFT_NEW_ARRAY(u->a, und_ref, mean->n_in);
    if (!in) return false;
    const und_op *centre = NULL;
    for (int32_t i = 0; i < mean->n_in; i++) {
        und_ref d;
        if (!square_of(u, mean->in[i], &d)) return false;
        const und_view s = und_look(u, d);
        if (s.kind != UND_V_SUM || s.a != -1 || s.y.op < 0 || !u->op[s.y.op]->mean) return false;
        if (centre && centre != u->op[s.y.op]) return false;
        centre = u->op[s.y.op];
        in[i] = s.x;
        if (!und_table_put(u, deviation, d, i)) return false;
    }
    if (!centre || centre->n_in != mean->n_in) return false;
    for (int32_t i = 0; i < mean->n_in; i++)
        if (!und_same(centre->in[i], in[i])) return false;
    norm->in = in;
    norm->n = mean->n_in;
    return true;
}

static deft_status find_norm(und *u, int32_t k)
{
    und_op *op = u->op[k];
    und_ref over, var, other;
    if (!split_quotient(u, op, 0, &over, &var)) return DEFT_OK;
    und_table deviation = {0};
    und_norm *norm = DEFT_NEW(u->a, und_norm);
    int32_t *at = DEFT_NEW_ARRAY(u->a, int32_t, op->n);
    if (!norm || !at) return und_no_memory(u);
    if (!read_variance(u, var, norm, &deviation)) return DEFT_OK;
    for (int32_t i = 0; i < op->n; i++) {
        if (!split_quotient(u, op, i, &over, &other) || !und_same(var, other)) return DEFT_OK;
        at[i] = und_table_get(&deviation, over);
        if (at[i] < 0) return DEFT_OK;
    }
    norm->at = at;
    op->norm = norm;
    return DEFT_OK;
}

/* Is an element of the op what no layer computes, or made of such? */
static bool is_raw(const und *u, int32_t k)
{
    const und_op *op = u->op[k];
    if (op->norm || op->alt) return false;
    for (int32_t i = 0; i < op->n; i++) {
        const und_view v = und_look(u, (und_ref){k, i, 0});
        if (v.kind == UND_V_RAW || (v.x.op >= 0 && u->op[v.x.op]->raw)) return true;
        const bool two = v.kind == UND_V_SUM || v.kind == UND_V_PRODUCT;
        if (two && v.y.op >= 0 && u->op[v.y.op]->raw) return true;
    }
    return false;
}

deft_status und_find_functions(und *u)
{
    u->budget = BUDGET;
    for (int32_t k = 0; k < u->n_op; k++) {
        if (u->op[k]->kind != UND_MAP) continue;
        deft_status s = find_norm(u, k);
        if (s == DEFT_OK && !u->op[k]->norm) s = find_activation(u, k);
        if (s != DEFT_OK) return s;
        u->op[k]->raw = is_raw(u, k);
    }
    return DEFT_OK;
}
