/* lint_run.c - rules about what shows when a policy runs on random observations: saturated gates
 * and actions, quiet states, dormant units, numbers that overflow. */
#include "base/math_f32.h"
#include "graph/lint.h"

#include <math.h>
#include <string.h>

enum { STEPS = 512, MIN_STEPS = 32 };

static const int64_t most_macs = (int64_t)1 << 31; // larger policies run fewer steps

static const float gate_edge = 0.01f;   // a gate nearer to 0 or 1 counts as saturated
static const double gate_often = 0.95;  // in so many of the steps
static const double gate_share = 0.05;  // so many of a layer's gates are worth a warning
static const float action_edge = 0.99f; // |tanh| beyond is at the limit
static const double action_often = 0.9;
static const double quiet = 0.1; // rms of a state below which int8 has few steps
static const double dormant_share = 0.25;

typedef struct runner {
    lint *l;
    deft_model_eval *e;
    float *obs, *x, *prev, *act; // [n_obs] raw and normalised, [n_act] twice
    float **old;                 // [n_layer] h before the step, NULL for layers without
    float *in, *gx, *gh;         // scratch: inputs and gates of one cell
    int32_t **saturated;         // [n_layer][gates * n_out] steps in which a gate was saturated
    int32_t **fired;             // [n_layer][n_out] steps with an output > 0
    double *square;              // [n_layer] sum over steps and outputs
    int64_t limit;               // (action, step) pairs at the limits of a tanh
    int32_t steps, target;       // that were run, and were wanted
} runner;

static int32_t sigmoid_gates(deft_layer_kind k)
{
    return k == DEFT_LAYER_GRU ? 2 : k == DEFT_LAYER_LSTM ? 4 : 0;
}

static bool allocate(runner *r)
{
    lint *l = r->l;
    const deft_model *m = l->m;
    const size_t n = (size_t)m->n_layer;
    size_t widest = 1, gates = 1;
    r->obs = lint_alloc(l, (size_t)m->contract.n_obs, sizeof *r->obs);
    r->x = lint_alloc(l, (size_t)m->contract.n_obs, sizeof *r->x);
    r->prev = lint_alloc(l, (size_t)m->contract.n_act, sizeof *r->prev);
    r->act = lint_alloc(l, (size_t)m->contract.n_act, sizeof *r->act);
    r->old = lint_alloc(l, n, sizeof *r->old);
    r->saturated = lint_alloc(l, n, sizeof *r->saturated);
    r->fired = lint_alloc(l, n, sizeof *r->fired);
    r->square = lint_alloc(l, n, sizeof *r->square);
    if (!r->old || !r->saturated || !r->fired || !r->square) return false;
    for (int32_t k = 0; k < m->n_layer; k++) {
        const deft_layer *y = &m->layer[k];
        const size_t wide = (size_t)y->n_out, g = wide * (size_t)model_gates(y->kind);
        r->fired[k] = lint_alloc(l, wide, sizeof **r->fired);
        if (!r->fired[k]) return false;
        if (!model_has_h(y->kind)) continue;
        r->old[k] = lint_alloc(l, wide, sizeof **r->old);
        r->saturated[k] = lint_alloc(l, g, sizeof **r->saturated);
        if (!r->old[k] || !r->saturated[k]) return false;
        if ((size_t)y->n_in > widest) widest = (size_t)y->n_in;
        if (g > gates) gates = g;
    }
    r->in = lint_alloc(l, widest, sizeof *r->in);
    r->gx = lint_alloc(l, gates, sizeof *r->gx);
    r->gh = lint_alloc(l, gates, sizeof *r->gh);
    return r->obs && r->x && r->prev && r->act && r->in && r->gx && r->gh;
}

/* Normal numbers behind the normaliser, and the observation that becomes them. */
static void draw(runner *r, deft_rng *rng)
{
    const deft_contract *c = &r->l->m->contract;
    for (int32_t i = 0; i < c->n_obs; i++) {
        float v = (float)deft_rng_normal(rng);
        if (c->obs_scale && c->obs_scale[i] != 0) v = v / c->obs_scale[i];
        if (c->obs_offset) v = v + c->obs_offset[i];
        r->obs[i] = v;
        if (c->obs_offset) v = v - c->obs_offset[i];
        if (c->obs_scale) v = v * c->obs_scale[i];
        if (c->obs_lo && v < c->obs_lo[i]) v = c->obs_lo[i];
        if (c->obs_hi && v > c->obs_hi[i]) v = c->obs_hi[i];
        r->x[i] = v;
    }
}

/* --- gates ----------------------------------------------------------------------------------- */

static void gather(const runner *r, const deft_layer *y)
{
    float *to = r->in;
    for (int32_t i = 0; i < y->n_segment; i++) {
        const deft_segment *s = &y->in[i];
        const float *from = s->kind == DEFT_SRC_OBS     ? r->x
                            : s->kind == DEFT_SRC_PREV  ? r->prev
                            : s->kind == DEFT_SRC_STATE ? r->old[s->index]
                                                        : deft_model_eval_layer(r->e, s->index);
        memcpy(to, from + s->offset, (size_t)s->length * sizeof *to);
        to += s->length;
    }
}

static void linear(lint_matrix m, const float *bias, const float *x, float *y)
{
    for (int32_t o = 0; o < m.rows; o++) {
        float sum = bias ? bias[o] : 0;
        for (int32_t i = 0; i < m.cols; i++) sum += m.w[(int64_t)o * m.cols + i] * x[i];
        y[o] = sum;
    }
}

static void count_gates(const runner *r, int32_t k)
{
    const deft_layer *y = &r->l->m->layer[k];
    const int32_t n = y->n_out, gates = sigmoid_gates(y->kind) * n;
    gather(r, y);
    linear(lint_matrix_of(y, 0), y->bias, r->in, r->gx);
    linear(lint_matrix_of(y, 1), y->bias_h, r->old[k], r->gh);
    for (int32_t i = 0; i < gates; i++) {
        if (y->kind == DEFT_LAYER_LSTM && i / n == 2) continue; // a tanh
        const float v = deft_sigmoid_f32(r->gx[i] + r->gh[i]);
        r->saturated[k][i] += v < gate_edge || v > 1 - gate_edge;
    }
}

/* --- running --------------------------------------------------------------------------------- */

static void count_layers(runner *r)
{
    const deft_model *m = r->l->m;
    for (int32_t k = 0; k < m->n_layer; k++) {
        const deft_layer *y = &m->layer[k];
        const float *v = deft_model_eval_layer(r->e, k);
        for (int32_t i = 0; i < y->n_out; i++) {
            r->fired[k][i] += v[i] > 0;
            r->square[k] += (double)v[i] * (double)v[i];
        }
        if (model_has_h(y->kind)) count_gates(r, k);
    }
    for (int32_t i = 0; i < m->n_out_segment; i++) {
        const deft_segment *s = &m->out[i];
        if (s->kind != DEFT_SRC_LAYER || m->layer[s->index].activation.kind != DEFT_ACT_TANH)
            continue;
        const float *v = deft_model_eval_layer(r->e, s->index) + s->offset;
        for (int32_t e = 0; e < s->length; e++) r->limit += fabsf(v[e]) > action_edge;
    }
    // only now: cells may read each other's old states
    for (int32_t k = 0; k < m->n_layer; k++)
        if (r->old[k])
            memcpy(r->old[k], deft_model_eval_layer(r->e, k),
                   (size_t)m->layer[k].n_out * sizeof **r->old);
}

static void run_steps(runner *r)
{
    const deft_contract *c = &r->l->m->contract;
    deft_rng rng;
    deft_rng_seed(&rng, 1);
    for (; r->steps < r->target; r->steps++) {
        draw(r, &rng);
        if (deft_model_eval_step(r->e, r->obs, NULL, r->act) != DEFT_OK) {
            lint_add(r->l, "unstable",
                     "the numbers overflow in step %d of random observations of unit variance",
                     (int)r->steps);
            return;
        }
        count_layers(r);
        for (int32_t i = 0; i < c->n_act; i++) {
            float v = r->act[i];
            if (c->act_offset) v = v - c->act_offset[i];
            if (c->act_scale) v = v / c->act_scale[i];
            r->prev[i] = v;
        }
    }
}

/* --- warnings -------------------------------------------------------------------------------- */

static void lint_gates(const runner *r, int32_t k)
{
    const deft_layer *y = &r->l->m->layer[k];
    const int32_t all = sigmoid_gates(y->kind) * y->n_out;
    const int32_t gates = y->kind == DEFT_LAYER_LSTM ? 3 * y->n_out : all;
    int32_t often = 0;
    for (int32_t i = 0; i < all; i++) often += r->saturated[k][i] >= gate_often * r->steps;
    char label[LINT_LABEL];
    if (often > gate_share * gates)
        lint_add(r->l, "saturated-gates",
                 "%d of %d gates of %s are within %g of 0 or 1 in at least %.0f %% of %d random "
                 "steps: they decide nothing",
                 (int)often, (int)gates, lint_layer(r->l, k, label), (double)gate_edge,
                 100 * gate_often, (int)r->steps);
    const double rms = sqrt(r->square[k] / ((double)r->steps * y->n_out));
    if (rms < quiet)
        lint_add(r->l, "quiet-state",
                 "the state of %s has an rms of %.3g over %d random steps: an int8 grid over [-1, "
                 "1] has %.1f steps for it",
                 lint_layer(r->l, k, label), rms, (int)r->steps, rms * 127);
}

static void lint_dormant(const runner *r, int32_t k)
{
    const deft_layer *y = &r->l->m->layer[k];
    int32_t dormant = 0;
    for (int32_t i = 0; i < y->n_out; i++) dormant += r->fired[k][i] == 0;
    char label[LINT_LABEL];
    if (dormant >= dormant_share * y->n_out)
        lint_add(r->l, "dormant-units",
                 "%d of %d units of %s fire in none of %d random steps: a smaller layer may do",
                 (int)dormant, (int)y->n_out, lint_layer(r->l, k, label), (int)r->steps);
}

void lint_run(lint *l)
{
    runner r = {.l = l, .target = STEPS};
    deft_model_stats stats;
    deft_model_count(l->m, &stats);
    if (stats.macs > most_macs / STEPS) r.target = (int32_t)(most_macs / stats.macs);
    if (r.target < MIN_STEPS) r.target = MIN_STEPS;
    if (!allocate(&r)) return;
    if (deft_model_eval_create(l->m, &r.e, NULL) != DEFT_OK) {
        l->out_of_memory = true;
        return;
    }
    run_steps(&r);
    for (int32_t k = 0; r.steps == r.target && k < l->m->n_layer; k++) {
        if (model_has_h(l->m->layer[k].kind)) lint_gates(&r, k);
        if (l->m->layer[k].activation.kind == DEFT_ACT_RELU) lint_dormant(&r, k);
    }
    const double share = r.steps ? (double)r.limit / ((double)r.steps * l->m->n_output) : 0;
    if (r.steps == r.target && share >= action_often)
        lint_add(l, "saturated-actions",
                 "the actions are beyond +-%g of their tanh in %.0f %% of %d random steps: the "
                 "policy switches between its limits",
                 (double)action_edge, 100 * share, (int)r.steps);
    deft_model_eval_destroy(r.e);
}
