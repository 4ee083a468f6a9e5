/* env.c - the environments by name, and what all of them check. */
#include "env/env_private.h"
#include "env/quaid_domain.h"

#include <math.h>
#include <string.h>

static const env_class *const classes[] = {&env_quaid, &env_pendulum, &env_pendulum_angle};

const char *const *deft_env_names(void)
{
    static const char *const names[] = {"quaid", "pendulum", "pendulum-angle", NULL};
    return names;
}

/* What only the quadruped has. */
static deft_status check_others(const char *name, const deft_env_config *cfg, deft_error *err)
{
    if (!quaid_domain_is_zero(&cfg->domain)) {
        return deft_fail(err, DEFT_E_ARG, "%s: nothing varies in this environment", name);
    }
    if (cfg->reward != DEFT_REWARD_EVALUATION || cfg->wire_reward || cfg->target_cm != 0) {
        return deft_fail(err, DEFT_E_ARG, "%s: it has one reward only", name);
    }
    if (cfg->scene) return deft_fail(err, DEFT_E_ARG, "%s: it has no scene", name);
    if (cfg->heading_rad == 0) return DEFT_OK;
    return deft_fail(err, DEFT_E_ARG, "%s: it has no heading", name);
}

static deft_status check_config(const deft_env_config *cfg, deft_error *err)
{
    if (!isfinite(cfg->heading_rad))
        return deft_fail(err, DEFT_E_ARG, "the heading is not a finite number");
    if (!(cfg->target_cm >= 0 && cfg->target_cm <= 1000))
        return deft_fail(err, DEFT_E_ARG, "the target speed is %g, not in [0, 1000] cm a step",
                         cfg->target_cm);
    if (!isfinite(cfg->velocity_noise))
        return deft_fail(err, DEFT_E_ARG, "the velocity noise is not a finite number");
    if (!(cfg->servo_filter >= 0 && cfg->servo_filter < 1))
        return deft_fail(err, DEFT_E_ARG, "the servo filter is %g, not in [0, 1)",
                         (double)cfg->servo_filter);
    if (cfg->max_steps < 0 || cfg->max_steps > 1000000)
        return deft_fail(err, DEFT_E_ARG, "max_steps is %d, not in [0, 1000000]",
                         (int)cfg->max_steps);
    if (cfg->reward != DEFT_REWARD_EVALUATION && cfg->reward != DEFT_REWARD_PAPER)
        return deft_fail(err, DEFT_E_ARG, "there is no reward set %d", (int)cfg->reward);
    return DEFT_OK;
}

deft_status deft_env_create(const char *name, const deft_env_config *cfg, deft_env **out,
                            deft_error *err)
{
    char text[64], hint[DEFT_HINT];
    *out = NULL;
    for (size_t i = 0; name && i < sizeof classes / sizeof classes[0]; i++) {
        if (strcmp(name, classes[i]->name) != 0) continue;
        deft_status s = check_config(cfg, err);
        if (s == DEFT_OK && classes[i] != &env_quaid) s = check_others(name, cfg, err);
        return s == DEFT_OK ? classes[i]->create(cfg, out, err) : s;
    }
    return deft_fail(err, DEFT_E_ARG,
                     "there is no environment '%s'; there are quaid, pendulum "
                     "and pendulum-angle%s",
                     deft_escape(text, sizeof text, name ? name : "", 48),
                     deft_nearest_of(name ? name : "", deft_env_names(), hint));
}

deft_status deft_env_clone(const deft_env *e, deft_env **out, deft_error *err)
{
    *out = NULL;
    return e->class->clone(e, out, err);
}

void deft_env_destroy(deft_env *e)
{
    if (e) e->class->destroy(e);
}

deft_status deft_env_set_reward(deft_env *e, deft_reward_set reward, double target_cm,
                                deft_error *err)
{
    if (e->class != &env_quaid) {
        return deft_fail(err, DEFT_E_ARG, "%s: it has one reward only", e->spec.name);
    }
    deft_env_config cfg = e->cfg;
    cfg.reward = reward;
    cfg.target_cm = target_cm;
    cfg.wire_reward = false;
    const deft_status s = check_config(&cfg, err);
    if (s == DEFT_OK) e->cfg = cfg;
    return s;
}

const deft_env_spec *deft_env_get_spec(const deft_env *e)
{
    return &e->spec;
}

/* What is handed out is finite, whatever a scene made of the physics. */
static deft_status check_finite(const deft_env *e, const float *obs, double reward, deft_error *err)
{
    for (int32_t i = 0; i < e->spec.n_obs; i++) {
        if (isfinite(obs[i])) continue;
        return deft_fail(err, DEFT_E_RANGE, "%s: observation %d (%s) is not finite", e->spec.name,
                         (int)i, e->spec.obs_name[i]);
    }
    return isfinite(reward)
               ? DEFT_OK
               : deft_fail(err, DEFT_E_RANGE, "%s: the reward is not finite", e->spec.name);
}

deft_status deft_env_reset(deft_env *e, const uint64_t *seed, float *obs, deft_error *err)
{
    e->step = -1;
    deft_status s = e->class->reset(e, seed, obs, err);
    if (s == DEFT_OK) s = check_finite(e, obs, 0, err);
    if (s != DEFT_OK) return s;
    e->step = 0;
    e->over = false;
    return DEFT_OK;
}

deft_status deft_env_step(deft_env *e, const float *act, float *obs, deft_env_step_result *out,
                          deft_error *err)
{
    float clipped[ENV_MAX_ACT];
    if (e->step < 0 || e->over) {
        return deft_fail(err, DEFT_E_ARG, "%s: %s, reset first", e->spec.name,
                         e->over ? "the episode is over" : "no episode has begun");
    }
    for (int32_t i = 0; i < e->spec.n_act; i++) {
        if (isnan(act[i])) {
            return deft_fail(err, DEFT_E_RANGE, "%s: action %d (%s) is not a number at step %d",
                             e->spec.name, (int)i, e->spec.act_name[i], (int)e->step);
        }
        clipped[i] = fminf(fmaxf(act[i], e->spec.act_lo[i]), e->spec.act_hi[i]);
    }
    const int32_t step = e->step;
    e->step = -1;
    *out = (deft_env_step_result){0};
    deft_status s = e->class->step(e, clipped, obs, out, err);
    if (s == DEFT_OK) s = check_finite(e, obs, out->reward, err);
    if (s != DEFT_OK) return s;
    e->step = step + 1;
    out->truncated = !out->terminated && e->step >= e->spec.max_steps;
    e->over = out->terminated || out->truncated;
    return DEFT_OK;
}

int32_t deft_env_channels(const deft_env *e, const char *const **name, const double **value)
{
    if (name) *name = e->channel_name;
    if (value) *value = e->channel;
    return e->n_channel;
}

uint64_t deft_env_scene_hash(const deft_env *e)
{
    return e->class->scene_hash ? e->class->scene_hash(e) : 0;
}

double deft_env_physics_seconds(const deft_env *e)
{
    return e->physics_seconds;
}
