/* lint.c - what a careful reviewer would want to know of a policy: the list, and the rules that
 * look at the contract and the graph. docs/guide-lint.md explains every code. */
#include "graph/lint.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Columns of one layer that differ by more than this are of inputs on different scales. */
static const double column_spread = 100;
/* A normaliser that multiplies by more divided by a deviation that was next to nothing. */
static const float steep_scale = 1000;

/* --- the list -------------------------------------------------------------------------------- */

void *lint_alloc(lint *l, size_t count, size_t size)
{
    void *p = deft_arena_array(l->a, count, size);
    if (!p) l->out_of_memory = true;
    return p;
}

void lint_add(lint *l, const char *code, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (l->n == l->capacity) {
        deft_warning *more = lint_alloc(l, 2 * (size_t)l->capacity + 8, sizeof *more);
        if (!more) return;
        if (l->n) memcpy(more, l->list, (size_t)l->n * sizeof *more);
        l->list = more;
        l->capacity = 2 * l->capacity + 8;
    }
    const char *copy = deft_arena_strndup(l->a, text, sizeof text);
    if (!copy) l->out_of_memory = true;
    if (copy) l->list[l->n++] = (deft_warning){code, copy};
}

const char *lint_layer(const lint *l, int32_t k, char buf[LINT_LABEL])
{
    char name[96];
    const deft_layer *y = &l->m->layer[k];
    const char *kind = deft_layer_kind_name(y->kind);
    if (y->name && y->name[0])
        (void)snprintf(buf, LINT_LABEL, "layer %d '%s' (%s)", (int)k,
                       deft_escape(name, sizeof name, y->name, 256), kind);
    else
        (void)snprintf(buf, LINT_LABEL, "layer %d (%s)", (int)k, kind);
    return buf;
}

static const char *element(const char *what, const char **names, int32_t i, char buf[LINT_LABEL])
{
    char name[96];
    if (names && names[i] && names[i][0])
        (void)snprintf(buf, LINT_LABEL, "%s %d '%s'", what, (int)i,
                       deft_escape(name, sizeof name, names[i], 256));
    else
        (void)snprintf(buf, LINT_LABEL, "%s %d", what, (int)i);
    return buf;
}

const char *lint_observation(const lint *l, int32_t i, char buf[LINT_LABEL])
{
    return element("observation", l->m->contract.obs_name, i, buf);
}

const char *lint_action(const lint *l, int32_t i, char buf[LINT_LABEL])
{
    const deft_contract *c = &l->m->contract;
    return element("action", c->discrete ? NULL : c->act_name, i, buf);
}

lint_matrix lint_matrix_of(const deft_layer *l, int which)
{
    const int32_t gates = model_gates(l->kind);
    if (gates == 0 || (which && !model_has_h(l->kind))) return (lint_matrix){NULL, 0, 0};
    return (lint_matrix){which ? l->weight_h : l->weight, gates * l->n_out,
                         which ? l->n_out : l->n_in};
}

int32_t deft_model_lint(const deft_model *m, const deft_graph *g, deft_arena *a,
                        const deft_warning **out)
{
    *out = NULL;
    const deft_status s = deft_model_check(m, NULL);
    if (s != DEFT_OK) return s;
    lint l = {.m = m, .g = g, .a = a};
    lint_contract(&l);
    lint_graph(&l);
    lint_flow(&l);
    lint_weights(&l);
    lint_run(&l);
    *out = l.list;
    return l.out_of_memory ? DEFT_E_SPACE : l.n;
}

/* --- the contract ---------------------------------------------------------------------------- */

static int32_t unnamed(const char **name, int32_t n)
{
    int32_t count = 0;
    for (int32_t i = 0; i < n; i++) count += !name || !name[i] || !name[i][0];
    return count;
}

static void lint_names(lint *l)
{
    const deft_contract *c = &l->m->contract;
    const int32_t obs = unnamed(c->obs_name, c->n_obs);
    const int32_t act = c->discrete ? 0 : unnamed(c->act_name, c->n_act);
    if (obs || act)
        lint_add(l, "no-names",
                 "%d of %d observations and %d of %d actions have no name: nothing says in which "
                 "order and unit a device has to feed them",
                 (int)obs, (int)c->n_obs, (int)act, (int)c->n_act);
    if (c->period_s == 0)
        lint_add(l, "unknown-period",
                 "the control period is not known: the policy may be run faster or slower than it "
                 "was trained for");
}

static bool bounded(const deft_layer *l)
{
    switch (l->activation.kind) {
    case DEFT_ACT_TANH:
    case DEFT_ACT_SIGMOID:
    case DEFT_ACT_SOFTSIGN:
        return true;
    case DEFT_ACT_CLIP:
        return isfinite(l->activation.alpha) && isfinite(l->activation.beta);
    default:
        return model_has_h(l->kind);
    }
}

static bool is_bounded_by_contract(const deft_contract *c, int32_t i)
{
    return c->act_lo && c->act_hi && isfinite(c->act_lo[i]) && isfinite(c->act_hi[i]);
}

static void lint_limits(lint *l)
{
    const deft_model *m = l->m;
    const deft_contract *c = &m->contract;
    int32_t open = 0, at = 0;
    for (int32_t i = 0; !c->discrete && i < m->n_out_segment; at += m->out[i++].length) {
        const deft_segment *s = &m->out[i];
        const bool closed = s->kind == DEFT_SRC_STATE ||
                            (s->kind == DEFT_SRC_LAYER && bounded(&m->layer[s->index]));
        for (int32_t k = 0; !closed && k < s->length; k++)
            open += !is_bounded_by_contract(c, at + k);
    }
    if (open)
        lint_add(l, "no-action-limits",
                 "%d of %d actions have no limits, neither in the network nor in the contract",
                 (int)open, (int)c->n_act);
}

static bool reads_previous(const deft_model *m)
{
    for (int32_t k = 0; k <= m->n_layer; k++) {
        deft_segment *s;
        const int32_t n = model_segments(m, k, &s);
        for (int32_t i = 0; i < n; i++)
            if (s[i].kind == DEFT_SRC_PREV) return true;
    }
    return false;
}

/* Inputs that are called after actions, or as many as the paper's recurrent policies have. */
static void lint_previous(lint *l)
{
    const deft_contract *c = &l->m->contract;
    if (reads_previous(l->m)) return;
    int32_t named = 0;
    for (int32_t i = 0; c->obs_name && i < c->n_obs; i++)
        named += c->obs_name[i] && strstr(c->obs_name[i], "action") != NULL;
    if (named == c->n_act && c->n_obs > c->n_act)
        lint_add(l, "previous-action",
                 "%d of %d observations are called actions, but the previous action is not fed "
                 "back: the caller has to (or --previous first or last)",
                 (int)named, (int)c->n_obs);
    else if (c->n_act == 8 && c->n_obs == 17 + 8)
        lint_add(l, "previous-action",
                 "25 inputs and 8 actions are the shape of 8 previous actions and the 17 "
                 "observations of quaid, but the previous action is not fed back (--contract "
                 "quaid)");
}

/* --- scales ---------------------------------------------------------------------------------- */

static void lint_steep(lint *l)
{
    const deft_contract *c = &l->m->contract;
    int32_t steep = 0, worst = 0;
    for (int32_t i = 0; c->obs_scale && i < c->n_obs; i++) {
        steep += fabsf(c->obs_scale[i]) > steep_scale;
        if (fabsf(c->obs_scale[i]) > fabsf(c->obs_scale[worst])) worst = i;
    }
    char label[LINT_LABEL];
    if (steep)
        lint_add(l, "unscaled-inputs",
                 "%d of %d observations are multiplied by more than %g (%s by %g): they hardly "
                 "varied in training, and small deviations become large inputs",
                 (int)steep, (int)c->n_obs, (double)steep_scale, lint_observation(l, worst, label),
                 (double)c->obs_scale[worst]);
}

/* Adds the squares of the columns that an observation has in layer k, and their number. */
static void add_columns(const deft_model *m, int32_t k, double *square, int64_t *count)
{
    const deft_layer *y = &m->layer[k];
    const lint_matrix x = lint_matrix_of(y, 0);
    for (int32_t i = 0, at = 0; x.w && i < y->n_segment; at += y->in[i++].length) {
        const deft_segment *s = &y->in[i];
        if (s->kind != DEFT_SRC_OBS) continue;
        for (int32_t e = 0; e < s->length; e++) {
            for (int32_t r = 0; r < x.rows; r++) {
                const double w = (double)x.w[(int64_t)r * x.cols + at + e];
                square[s->offset + e] += w * w;
            }
            count[s->offset + e] += x.rows;
        }
    }
}

static void lint_columns(lint *l)
{
    const int32_t n = l->m->contract.n_obs;
    double *square = lint_alloc(l, (size_t)n, sizeof *square);
    int64_t *count = lint_alloc(l, (size_t)n, sizeof *count);
    if (!square || !count) return;
    for (int32_t k = 0; k < l->m->n_layer; k++) add_columns(l->m, k, square, count);
    int32_t lo = -1, hi = -1;
    for (int32_t i = 0; i < n; i++) {
        if (!count[i] || square[i] == 0) continue; // not read: another rule's
        square[i] = sqrt(square[i] / (double)count[i]);
        if (lo < 0 || square[i] < square[lo]) lo = i;
        if (hi < 0 || square[i] > square[hi]) hi = i;
    }
    char a[LINT_LABEL], b[LINT_LABEL];
    if (lo >= 0 && square[hi] > column_spread * square[lo])
        lint_add(l, "unscaled-inputs",
                 "the weights of %s (rms %.3g) are %.0f times as large as those of %s (rms %.3g): "
                 "the inputs were on different scales in training",
                 lint_observation(l, hi, a), square[hi], square[hi] / square[lo],
                 lint_observation(l, lo, b), square[lo]);
}

/* What was not read: all of it in one sentence. */
static void lint_assumed(lint *l)
{
    const deft_model *m = l->m;
    char text[900];
    size_t used = 0;
    text[0] = '\0';
    for (int32_t k = 0; k < m->n_assumption && used < sizeof text; k++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", k ? "; " : "",
                                 m->assumption[k]);
    if (m->n_assumption)
        lint_add(l, "assumed", "%d %s assumed, not read: %s%s", (int)m->n_assumption,
                 m->n_assumption == 1 ? "fact is" : "facts are", text,
                 used >= sizeof text ? "..." : "");
}

void lint_contract(lint *l)
{
    lint_assumed(l);
    lint_names(l);
    lint_limits(l);
    lint_previous(l);
    lint_steep(l);
    lint_columns(l);
    if (deft_model_wiring(l->m) != DEFT_WIRING_DELAYED) return;
    int32_t late = 0, first = -1;
    for (int32_t k = 0; k <= l->m->n_layer; k++) {
        deft_segment *s;
        const int32_t n = model_segments(l->m, k, &s);
        bool is_late = false;
        for (int32_t i = 0; i < n; i++) is_late |= s[i].kind == DEFT_SRC_STATE && s[i].index != k;
        late += is_late;
        if (is_late && first < 0) first = k;
    }
    char label[LINT_LABEL];
    lint_add(l, "delayed-wiring",
             "%d layers, first %s, read the state that another layer had before the step: "
             "frameworks train with the new one (--rewire cascade)",
             (int)late, first < l->m->n_layer ? lint_layer(l, first, label) : "the output");
}

/* --- the graph ------------------------------------------------------------------------------- */

static const char *value_label(const lint *l, int32_t value, char buf[LINT_LABEL])
{
    return deft_escape(buf, LINT_LABEL, l->g->value[value].name, 1024);
}

/* Is output o of the graph an action or a state that is fed back? */
static bool serves(const lint *l, int32_t o)
{
    const deft_model *m = l->m;
    for (int32_t i = 0; i < l->g->n_input; i++)
        if (m->port[i].kind == DEFT_PORT_STATE && m->port[i].index == o) return true;
    if (!m->act_value) return true; // the action is computed from some output or other
    const int32_t v = l->g->output[o].value;
    for (int32_t i = 0; i < m->n_output; i++)
        if (m->act_value[i] == v) return true;
    return m->contract.discrete && l->g->n_output == 1;
}

static void lint_ports(lint *l)
{
    char name[LINT_LABEL];
    for (int32_t o = 0; o < l->g->n_output; o++)
        if (!serves(l, o))
            lint_add(l, "dead-outputs", "output '%s' of the graph is no part of any action",
                     value_label(l, l->g->output[o].value, name));
    for (int32_t i = 0; i < l->g->n_input; i++)
        if (l->m->port[i].kind == DEFT_PORT_UNUSED)
            lint_add(l, "unused-inputs", "no action depends on input '%s' of the graph",
                     value_label(l, l->g->input[i].value, name));
}

static void lint_dtypes(lint *l)
{
    int32_t odd = 0;
    const deft_tensor *first = NULL;
    for (int32_t v = 0; v < l->g->n_value; v++) {
        const deft_tensor *t = l->g->value[v].constant;
        // single numbers are everywhere double or half without harm
        if (!t || t->count < 2 || (t->dtype != DEFT_F64 && t->dtype != DEFT_F16)) continue;
        odd++;
        if (!first) first = t;
    }
    if (odd)
        lint_add(l, "unusual-dtypes",
                 "%d constants are not float32 (the first is %s): the policy runs in float32",
                 (int)odd, deft_dtype_name(first->dtype));
    for (int32_t i = 0; i < l->g->n_input; i++) {
        const deft_dtype t = l->g->input[i].dtype;
        char name[LINT_LABEL];
        if (t && t != DEFT_F32)
            lint_add(l, "unusual-dtypes", "input '%s' is %s: the policy takes float32",
                     value_label(l, l->g->input[i].value, name), deft_dtype_name(t));
    }
}

/* A last layer with twice the rows that are kept: a mean and a logarithm of its deviation. */
static void lint_stochastic(lint *l)
{
    const deft_model *m = l->m;
    const deft_segment *s = &m->out[m->n_out_segment - 1];
    if (m->contract.discrete || s->kind != DEFT_SRC_LAYER) return;
    const deft_layer *y = &m->layer[s->index];
    char name[LINT_LABEL];
    for (int32_t v = 0; v < l->g->n_value; v++) {
        const deft_tensor *t = l->g->value[v].constant;
        const char *called = l->g->value[v].name;
        const bool says = strstr(called, "log_std") || strstr(called, "logstd");
        const int64_t twice = 2 * (int64_t)m->n_output;
        const bool matches = t && t->rank == 2 && y->kind == DEFT_LAYER_DENSE &&
                             y->n_out == m->n_output &&
                             ((t->dim[0] == twice && t->dim[1] == y->n_in) ||
                              (t->dim[1] == twice && t->dim[0] == y->n_in));
        if (!says && !matches) continue;
        lint_add(l, "stochastic-head",
                 "constant '%s' belongs to a distribution of actions: only its %d means are kept, "
                 "the policy is deterministic",
                 value_label(l, v, name), (int)m->n_output);
        return;
    }
}

void lint_graph(lint *l)
{
    if (!l->g) return;
    if (l->m->port) lint_ports(l);
    lint_dtypes(l);
    lint_stochastic(l);
}
