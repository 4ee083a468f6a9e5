/* pendulum.c - Gymnasium's Pendulum-v1: swing a pendulum up and keep it there.
 *   theta'' = 3 g / (2 l) sin theta + 3 / (m l^2) u,  g = 10, m = l = 1, dt = 0.05, semi-implicit
 *   reward  = -(angle^2 + 0.1 theta'^2 + 0.001 u^2), of before the step; theta = 0 is upright
 * pendulum-angle: its speed is hidden, so that a policy needs memory.
 * Start: theta uniform in +-pi, theta' in +-1; unperturbed: hanging, at rest. */
#include "env/env_private.h"

#include <math.h>
#include <stdlib.h>

#define PI 3.14159265358979323846

typedef struct pendulum {
    deft_env env;
    double theta, speed;
} pendulum;

static const float act_lo[] = {-2}, act_hi[] = {2};
static const char *const obs_name[] = {"cos_theta", "sin_theta", "speed"};
static const char *const act_name[] = {"torque"};
static const char *const channels[] = {"yaw", "reward.yaw", "reward.speed"};

static deft_status make(const env_class *class, const deft_env_config *cfg, deft_env **out,
                        deft_error *err)
{
    if (cfg->scene) return deft_fail(err, DEFT_E_ARG, "pendulum has no scenes");
    pendulum *p = calloc(1, sizeof *p);
    if (!p) return deft_fail(err, DEFT_E_SPACE, "no memory for an environment");
    p->env = (deft_env){.class = class,
                        .spec = {.name = class->name,
                                 .n_obs = class == &env_pendulum ? 3 : 2,
                                 .n_act = 1,
                                 .act_lo = act_lo,
                                 .act_hi = act_hi,
                                 .obs_name = obs_name,
                                 .act_name = act_name,
                                 .max_steps = cfg->max_steps > 0 ? cfg->max_steps : 200,
                                 .period_s = 0.05,
                                 .previous_action_first = true},
                        .cfg = *cfg,
                        .step = -1,
                        .n_channel = sizeof channels / sizeof channels[0],
                        .channel_name = channels};
    *out = &p->env;
    return DEFT_OK;
}

static deft_status create(const deft_env_config *cfg, deft_env **out, deft_error *err)
{
    return make(&env_pendulum, cfg, out, err);
}

static deft_status create_angle(const deft_env_config *cfg, deft_env **out, deft_error *err)
{
    return make(&env_pendulum_angle, cfg, out, err);
}

static deft_status clone(const deft_env *e, deft_env **out, deft_error *err)
{
    return make(e->class, &e->cfg, out, err);
}

static void destroy(deft_env *e)
{
    free(e);
}

static double wrap(double angle)
{
    double a = fmod(angle + PI, 2 * PI);
    if (a < 0) a += 2 * PI;
    return a - PI;
}

static void observe(pendulum *p, float *obs)
{
    obs[0] = (float)cos(p->theta);
    obs[1] = (float)sin(p->theta);
    if (p->env.spec.n_obs > 2) obs[2] = (float)p->speed;
    p->env.channel[0] = wrap(p->theta);
}

static deft_status reset(deft_env *e, const uint64_t *seed, float *obs, deft_error *err)
{
    (void)err;
    pendulum *p = (pendulum *)e;
    p->theta = PI;
    p->speed = 0;
    if (seed) {
        deft_rng rng;
        deft_rng_seed(&rng, *seed);
        p->theta = deft_rng_uniform(&rng, -PI, PI);
        p->speed = deft_rng_uniform(&rng, -1, 1);
    }
    e->channel[1] = e->channel[2] = 0;
    observe(p, obs);
    return DEFT_OK;
}

deft_status deft_env_pendulum_start(deft_env *e, double theta, double speed, float *obs,
                                    deft_error *err)
{
    if (e->class->reset != reset) return deft_fail(err, DEFT_E_ARG, "this is no pendulum");
    const deft_status s = deft_env_reset(e, NULL, obs, err);
    pendulum *p = (pendulum *)e;
    p->theta = theta;
    p->speed = speed;
    observe(p, obs);
    return s;
}

static deft_status step(deft_env *e, const float *act, float *obs, deft_env_step_result *out,
                        deft_error *err)
{
    (void)err;
    pendulum *p = (pendulum *)e;
    const double u = (double)act[0], angle = wrap(p->theta);
    const double by_angle = angle * angle, by_speed = 0.1 * p->speed * p->speed;
    out->reward = -(by_angle + by_speed + 0.001 * u * u);
    p->speed += (15.0 * sin(p->theta) + 3.0 * u) * 0.05;
    p->speed = fmin(fmax(p->speed, -8), 8);
    p->theta += p->speed * 0.05;
    e->channel[1] = -by_angle;
    e->channel[2] = -by_speed;
    observe(p, obs);
    out->metrics = (deft_env_metrics){(double)NAN, fabs(wrap(p->theta)), fabs(u), (double)NAN};
    return DEFT_OK;
}

const env_class env_pendulum = {"pendulum", create, clone, destroy, reset, step, NULL};
const env_class env_pendulum_angle = {
    "pendulum-angle", create_angle, clone, destroy, reset, step, NULL};
