/* recording_replay.c - observations through a policy: recorded ones again, and an environment's for
 * others.
 */
#include "deft/app.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A recording is like an environment that gives its rows: the same rules say what fits, and when
 * the previous action goes in front. */
static deft_status bind_recording(deft_controller *c, const deft_recording *r, bool feed_recorded,
                                  deft_error *err)
{
    char name[256];
    (void)deft_escape(name, sizeof name, r->source, PATH_MAX);
    const int32_t n_act = deft_controller_n_act(c);
    if (feed_recorded && r->n_act != n_act) {
        return deft_fail(err, DEFT_E_MISMATCH,
                         "recorded actions are to be fed back: the policy has %d, %s has columns "
                         "for %d (act0, act1, ...)",
                         (int)n_act, name, (int)r->n_act);
    }
    if (deft_controller_n_obs(c) == r->n_obs) return DEFT_OK;
    float *const limits = calloc((size_t)n_act, 2 * sizeof *limits);
    if (!limits) return deft_fail(err, DEFT_E_SPACE, "no memory");
    for (int32_t k = 0; k < n_act; k++) { // a recording knows none: actions go back as they are
        limits[k] = -1;
        limits[n_act + k] = 1;
    }
    const deft_env_spec spec = {.name = name,
                                .n_obs = r->n_obs,
                                .n_act = n_act,
                                .act_lo = limits,
                                .act_hi = limits + n_act,
                                .previous_action_first = true};
    const deft_status s = deft_controller_bind(c, &spec, err);
    free(limits);
    return s;
}

deft_status deft_replay(deft_controller *c, const deft_recording *r, bool feed_recorded, float *act,
                        float *hidden, deft_error *err)
{
    const size_t n_obs = (size_t)r->n_obs, n_act = (size_t)deft_controller_n_act(c);
    deft_status s = bind_recording(c, r, feed_recorded, err);
    for (size_t row = 0; s == DEFT_OK && row < (size_t)r->n_row; row++) {
        const bool first = row == 0 || (r->first && r->first[row]);
        if (first) deft_controller_reset(c);
        const float *const prev = feed_recorded && !first ? r->act + (row - 1) * n_act : NULL;
        s = deft_controller_step(c, r->obs + row * n_obs, prev, act + row * n_act, err);
        if (s != DEFT_OK) {
            (void)deft_error_prefix(err, "row %zu", row + 1);
            break;
        }
        int32_t n = 0;
        const float *const h = hidden ? deft_controller_hidden(c, &n) : NULL;
        if (h) memcpy(hidden + row * (size_t)n, h, (size_t)n * sizeof *h);
    }
    return s;
}

static deft_status run_episode(deft_controller *c, deft_env *env, deft_recording *r, float *obs,
                               float *act, deft_error *err)
{
    const deft_env_spec *const spec = deft_env_get_spec(env);
    const size_t n_obs = (size_t)spec->n_obs, n_act = (size_t)spec->n_act;
    deft_env_step_result step = {.reward = 0};
    while (r->n_row < spec->max_steps && !step.terminated && !step.truncated) {
        const size_t row = (size_t)r->n_row;
        float *const now = act + row * n_act;
        const float *const prev = row > 0 ? now - n_act : NULL;
        deft_status s = deft_controller_step(c, obs + row * n_obs, prev, now, err);
        for (size_t k = 0; s == DEFT_OK && k < n_act; k++) {
            now[k] = fminf(fmaxf(now[k], spec->act_lo[k]), spec->act_hi[k]);
        }
        if (s == DEFT_OK) s = deft_env_step(env, now, obs + (row + 1) * n_obs, &step, err);
        if (s != DEFT_OK) return s;
        r->n_row++;
    }
    return DEFT_OK;
}

deft_status deft_record(deft_controller *c, deft_env *env, const uint64_t *seed, deft_arena *a,
                        deft_recording *out, deft_error *err)
{
    const deft_env_spec *const spec = deft_env_get_spec(env);
    deft_status s = deft_controller_bind(c, spec, err);
    if (s != DEFT_OK) return s;
    const size_t rows = (size_t)spec->max_steps;
    float *obs = DEFT_NEW_ARRAY(a, float, (rows + 1) * (size_t)spec->n_obs);
    float *act = DEFT_NEW_ARRAY(a, float, rows *(size_t)spec->n_act);
    if (!obs || !act) return deft_fail(err, DEFT_E_SPACE, "no memory");
    *out = (deft_recording){
        .source = spec->name, .n_obs = spec->n_obs, .n_act = spec->n_act, .obs = obs, .act = act};
    deft_controller_reset(c);
    s = deft_env_reset(env, seed, obs, err);
    return s == DEFT_OK ? run_episode(c, env, out, obs, act, err) : s;
}
