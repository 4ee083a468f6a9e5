/* Squared gradients of the actions against finite differences, for policies of one output, where
 * the random projection has nothing to average, one step from a reset. */
#include "check.h"
#include "quant/quant_private.h"
#include "random_model.h"

#include <math.h>

enum { MODELS = 700, MOST = 32, PROBES = 2 };

static double act_of(const deft_model *m, const float *obs)
{
    deft_error err = {0};
    deft_model_eval *e;
    float act[MOST] = {0};
    CHECK_OK(deft_model_eval_create(m, &e, &err), err);
    CHECK(e && deft_model_eval_step(e, obs, NULL, act) == DEFT_OK, "not finite");
    deft_model_eval_destroy(e);
    return (double)act[0];
}

/* d act / d bias[o], and whether two step widths agree on it (no kink is near). */
static bool difference(const deft_model *m, const float *obs, float *bias, double *out)
{
    const float old = *bias;
    double d[2];
    for (int k = 0; k < 2; k++) {
        const float h = k ? 2e-3f : 4e-3f;
        *bias = old + h;
        const double up = act_of(m, obs);
        *bias = old - h;
        d[k] = (up - act_of(m, obs)) / (2 * (double)h);
    }
    *bias = old;
    *out = d[1];
    return fabs(d[0] - d[1]) < 0.02 * fabs(d[1]) + 1e-3;
}

static void check_layer(const deft_model *m, const quant_job *j, int32_t k, const float *obs)
{
    const deft_layer *l = &m->layer[k];
    const int32_t rows = quant_gates(l->kind) * l->n_out;
    for (int32_t u = 0; u < (l->kind == DEFT_LAYER_GRU ? 2 : 1); u++) {
        for (int32_t o = 0; o < rows; o++) {
            double d;
            if (l->reset_before && (o < l->n_out || u)) continue; // left out there
            if (!difference(m, obs, (u ? l->bias_h : l->bias) + o, &d)) continue;
            const double got = (double)j->importance[k][u][o] / PROBES;
            CHECK(fabs(got - d * d) < 0.05 * d * d + 2e-3, "layer %d (%s) matrix %d row %d: %g, %g",
                  k, deft_layer_kind_name(l->kind), u, o, got, d * d);
        }
    }
}

static bool suits(const deft_model *m)
{
    for (int32_t k = 0; k < m->n_layer; k++)
        // gradients of a normalisation leave out that the mean moves
        if (m->layer[k].kind == DEFT_LAYER_LSTM || m->layer[k].kind == DEFT_LAYER_LAYERNORM ||
            m->layer[k].kind == DEFT_LAYER_HISTORY)
            return false;
    return !m->contract.discrete;
}

/* One output, no limits, a bias everywhere; false if the policy read more previous actions. */
static bool narrow(deft_model *m, deft_arena *a)
{
    m->n_output = m->contract.n_act = m->out[0].length = m->n_out_segment = 1;
    m->contract.act_lo = m->contract.act_hi = NULL;
    for (int32_t k = 0; k < m->n_layer; k++) {
        deft_layer *l = &m->layer[k];
        const int32_t rows = quant_gates(l->kind) * l->n_out;
        if (!l->bias) l->bias = DEFT_NEW_ARRAY(a, float, rows);
        if (!l->bias_h) l->bias_h = DEFT_NEW_ARRAY(a, float, rows);
    }
    return deft_model_check(m, NULL) == DEFT_OK;
}

static bool check_model(deft_rng *r)
{
    deft_error err = {0};
    deft_arena *a = deft_arena_create(0);
    deft_model *m = random_model(r, a, 4, 12);
    const bool suited = suits(m) && narrow(m, a);
    if (suited) {
        deft_calibration *c = NULL;
        float obs[MOST];
        for (int i = 0; i < MOST; i++) obs[i] = (float)deft_rng_normal(r);
        CHECK_OK(deft_calibration_create(m, 1, &c, &err), err);
        CHECK_OK(deft_calibration_add(c, obs, NULL, &err), err);
        quant_job j = {.m = m, .a = a, .tmp = a, .err = &err};
        CHECK_OK(quant_trace_create(c, a, &j.trace, &err), err);
        CHECK_OK(quant_importances(&j), err);
        for (int32_t k = 0; k < m->n_layer; k++)
            if (m->layer[k].kind <= DEFT_LAYER_GRU) check_layer(m, &j, k, obs);
        deft_calibration_destroy(c);
    }
    deft_arena_destroy(a);
    return suited;
}

int main(void)
{
    deft_rng r;
    int done = 0;
    deft_rng_seed(&r, 11);
    for (int k = 0; k < MODELS; k++) done += check_model(&r);
    CHECK(done > 20, "%d policies", done);
    return check_report();
}
