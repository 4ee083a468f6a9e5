/* calibrate.c - what a policy sees when it acts, for the quantizer. */
#include "deft/app.h"
#include "deft/quant.h"

#include <stdlib.h>
#include <string.h>

/* One episode of the float policy. */
static deft_status episode(deft_controller *c, deft_env *env, uint64_t seed, float *memory,
                           deft_calibration *into, deft_error *err)
{
    const deft_env_spec *const spec = deft_env_get_spec(env);
    float *const obs = memory, *const act = memory + spec->n_obs;
    deft_env_step_result r = {.reward = 0};
    deft_status s = deft_env_reset(env, &seed, obs, err);
    deft_controller_reset(c);
    deft_calibration_reset(into);
    while (s == DEFT_OK && !r.terminated && !r.truncated) {
        s = deft_calibration_add(into, obs, NULL, err);
        if (s == DEFT_OK) s = deft_controller_step(c, obs, NULL, act, err);
        if (s == DEFT_OK) s = deft_env_step(env, act, obs, &r, err);
    }
    return s;
}

deft_status deft_calibrate_env(const deft_loaded *l, deft_env *env, int32_t episodes, uint64_t seed,
                               deft_calibration *into, deft_error *err)
{
    const deft_env_spec *const spec = deft_env_get_spec(env);
    deft_controller *c = NULL;
    float *const memory = malloc((size_t)(spec->n_obs + spec->n_act) * sizeof *memory);
    deft_status s = memory ? deft_loaded_controller(l, NULL, &c, err)
                           : deft_fail(err, DEFT_E_SPACE, "no memory to calibrate");
    if (s == DEFT_OK) s = deft_controller_bind(c, spec, err);
    for (int32_t k = 0; s == DEFT_OK && k < episodes; k++) {
        deft_rng rng;
        deft_rng_seed_stream(&rng, seed ^ 0x63616c69u, (uint64_t)k); // not the starts of eval
        s = episode(c, env, deft_rng_u64(&rng), memory, into, err);
    }
    deft_controller_destroy(c);
    free(memory);
    return s;
}

deft_status deft_calibrate_recording(const deft_recording *r, const deft_model *m,
                                     deft_calibration *into, deft_error *err)
{
    const size_t n_obs = (size_t)m->contract.n_obs, n_act = (size_t)m->contract.n_act;
    char name[256];
    (void)deft_escape(name, sizeof name, r->source, sizeof name);
    if (r->n_obs != m->contract.n_obs)
        return deft_fail(err, DEFT_E_MISMATCH,
                         "%s has columns for %d observations, and the policy has %d (obs0 to "
                         "obs%d)",
                         name, (int)r->n_obs, (int)n_obs, (int)n_obs - 1);
    if (r->n_act && r->n_act != m->contract.n_act)
        return deft_fail(err, DEFT_E_MISMATCH,
                         "%s has columns for %d actions, and the policy has "
                         "%d",
                         name, (int)r->n_act, (int)n_act);
    for (size_t row = 0; row < (size_t)r->n_row; row++) {
        const bool first = row == 0 || (r->first && r->first[row]);
        if (first) deft_calibration_reset(into);
        const float *const prev = r->n_act && !first ? r->act + (row - 1) * n_act : NULL;
        const deft_status s = deft_calibration_add(into, r->obs + row * n_obs, prev, err);
        if (s != DEFT_OK) return deft_error_prefix(err, "%s: row %zu", name, row + 1);
    }
    return DEFT_OK;
}
