/* assemble_contract.c - what a checkpoint holds about observations and actions beside the layers:
 * running statistics and the scale of actions. */
#include "formats/assemble_private.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* How a framework normalises: (x - mean) / spread, then clipped. */
typedef struct normaliser {
    const char *mean, *spread; // leaves
    bool variance;             // spread is squared
    bool epsilon_inside;       // sqrt(var + eps), else sqrt(var) + eps
    float epsilon, clip;       // clip 0: none
    const char *called;
} normaliser;

static const normaliser known[] = {
    {"_mean", "_std", false, false, 1e-2f, 0, "rsl_rl"},
    {"running_mean", "running_variance", true, false, 1e-8f, 5, "skrl"},
    {"running_mean", "running_var", true, true, 1e-5f, 5, "rl_games and Sample Factory"},
};

static const float *vector(const deft_tensor *t, int64_t *n)
{
    if (!t || t->dtype != DEFT_F32 || t->rank > 2 || (t->rank == 2 && t->dim[0] != 1)) return NULL;
    *n = t->count;
    return t->data;
}

static deft_status no_memory(const assembly *s)
{
    return deft_fail(s->err, DEFT_E_SPACE, "no memory for the policy");
}

static float *filled(deft_arena *a, int32_t n, float v)
{
    float *x = DEFT_NEW_ARRAY(a, float, n);
    for (int32_t i = 0; x && i < n; i++) x[i] = v;
    return x;
}

static deft_status apply(assembly *s, const normaliser *k, const float *mean, const float *spread)
{
    deft_contract *c = &s->m->contract;
    c->obs_offset = filled(s->m->arena, c->n_obs, 0);
    c->obs_scale = filled(s->m->arena, c->n_obs, 1);
    if (!c->obs_offset || !c->obs_scale) return no_memory(s);
    for (int32_t i = 0; i < c->n_obs; i++) {
        const float inside = k->epsilon_inside ? k->epsilon : 0;
        const float outside = k->epsilon_inside ? 0 : k->epsilon;
        const float sd = k->variance ? sqrtf(spread[i] + inside) : spread[i] + inside;
        c->obs_offset[i] = mean[i];
        c->obs_scale[i] = 1.0f / (sd + outside);
        if (!isfinite(c->obs_scale[i]) || !isfinite(mean[i]))
            return deft_fail(s->err, DEFT_E_RANGE, "the normaliser's element %d is out of range",
                             (int)i);
    }
    if (k->clip == 0) return DEFT_OK;
    c->obs_lo = filled(s->m->arena, c->n_obs, -k->clip);
    c->obs_hi = filled(s->m->arena, c->n_obs, k->clip);
    return c->obs_lo && c->obs_hi ? DEFT_OK : no_memory(s);
}

/* Statistics of observations: a module with a mean and a spread and without weights. */
static deft_status normalise(assembly *s)
{
    const deft_checkpoint *c = s->actor;
    for (int32_t i = 0; i < c->n; i++) {
        const char *leaf = name_leaf(c->name[i]);
        char module[1100], text[160];
        const size_t n = leaf > c->name[i] ? (size_t)(leaf - c->name[i]) - 1 : 0;
        if (n >= sizeof module || name_is_other(c->name[i])) continue;
        memcpy(module, c->name[i], n);
        module[n] = '\0';
        if (checkpoint_find(c, module, "weight")) continue; // a BatchNorm
        for (size_t k = 0; k < sizeof known / sizeof known[0]; k++) {
            int64_t n_mean = 0, n_spread = 0;
            if (strcmp(leaf, known[k].mean) != 0) continue;
            const float *mean = vector(&c->tensor[i], &n_mean);
            const float *spread = vector(checkpoint_find(c, module, known[k].spread), &n_spread);
            if (!mean || !spread || n_mean != n_spread) continue;
            (void)deft_escape(text, sizeof text, module, 1024);
            if (n_mean != s->m->contract.n_obs) {
                if (deft_model_assume(s->m, "the statistics '%s' of %lld values are left out", text,
                                      (long long)n_mean) != DEFT_OK)
                    return no_memory(s);
                continue;
            }
            const deft_status status = apply(s, &known[k], mean, spread);
            if (status != DEFT_OK) return status;
            return deft_model_assume(s->m,
                                     "observations are normalised by '%s' as in %s: epsilon "
                                     "%g%s",
                                     text, known[k].called, (double)known[k].epsilon,
                                     known[k].clip > 0 ? ", clipped to [-5, 5]" : "");
        }
    }
    return DEFT_OK;
}

/* act = y * action_scale + action_bias, where the checkpoint has such buffers. */
static deft_status scale_actions(assembly *s)
{
    static const char *const leaf[] = {"action_scale", "action_bias"};
    const deft_checkpoint *c = s->actor;
    deft_contract *con = &s->m->contract;
    bool any = false;
    for (int32_t i = 0; i < c->n && !con->discrete; i++) {
        for (int k = 0; k < 2; k++) {
            int64_t n = 0;
            const float *from = vector(&c->tensor[i], &n);
            if (strcmp(name_leaf(c->name[i]), leaf[k]) != 0 || name_is_other(c->name[i])) continue;
            if (!from || (n != 1 && n != con->n_act))
                return deft_fail(s->err, DEFT_E_MISMATCH, "%s has another length than the actions",
                                 leaf[k]);
            float *to = filled(s->m->arena, con->n_act, 0);
            if (!to) return no_memory(s);
            for (int32_t j = 0; j < con->n_act; j++) to[j] = from[n == 1 ? 0 : j];
            *(k ? &con->act_offset : &con->act_scale) = to;
            any = true;
        }
    }
    return any ? deft_model_assume(s->m, "actions are scaled by action_scale and action_bias")
               : DEFT_OK;
}

deft_status assemble_contract(assembly *s)
{
    deft_contract *c = &s->m->contract;
    c->name = "";
    c->n_act = c->discrete ? 1 : s->m->n_output;
    const deft_status status = normalise(s);
    return status == DEFT_OK ? scale_actions(s) : status;
}
