/* env.c - the environments by name, and what all of them check. */
#include "env/env_private.h"

#include <math.h>
#include <string.h>

static const env_class *const classes[] = {&env_quaid, &env_pendulum};

const char *const *deft_env_names(void)
{
    static const char *const names[] = {"quaid", "pendulum", NULL};
    return names;
}

deft_status deft_env_create(const char *name, const deft_env_config *cfg, deft_env **out,
                            deft_error *err)
{
    char text[64];
    *out = NULL;
    for (size_t i = 0; name && i < sizeof classes / sizeof classes[0]; i++) {
        if (strcmp(name, classes[i]->name) == 0) return classes[i]->create(cfg, out, err);
    }
    return deft_fail(err, DEFT_E_ARG, "there is no environment '%s'; there are quaid and pendulum",
                     deft_escape(text, sizeof text, name ? name : "", 48));
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

const deft_env_spec *deft_env_get_spec(const deft_env *e)
{
    return &e->spec;
}

deft_status deft_env_reset(deft_env *e, const uint64_t *seed, float *obs, deft_error *err)
{
    e->step = -1;
    const deft_status s = e->class->reset(e, seed, obs, err);
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
        return deft_fail(err, DEFT_E_ARG, "%s: the episode is over, reset first", e->spec.name);
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
    const deft_status s = e->class->step(e, clipped, obs, out, err);
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

double deft_env_physics_seconds(const deft_env *e)
{
    return e->physics_seconds;
}
