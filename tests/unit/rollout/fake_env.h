/* fake_env.h - a small environment in place of src/env: with moods that tests can set, log
 * channels, and episodes whose length and reward depend on seed and actions. */
#ifndef DEFT_TESTS_FAKE_ENV_H
#define DEFT_TESTS_FAKE_ENV_H

#include "deft/env.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FAKE_OBS = 17, FAKE_ACT = 8, FAKE_STEPS = 60, FAKE_CHANNELS = 6 };

struct deft_env {
    deft_rng rng;
    int32_t step, length;
    double x, channel[FAKE_CHANNELS];
    bool seeded;
};

static struct fake_mood {
    uint64_t fail_seed[4]; // episodes of these seeds fail in their fifth step
    int32_t n_fail;
    long step_ns; // every step takes that long
} fake_mood;

static const char *const fake_channel[FAKE_CHANNELS] = {
    "yaw", "servo0", "reward.speed", "reward.yaw", "action.servo7", "not a column"};

static inline const deft_env_spec *fake_spec(void)
{
    static const float lo[FAKE_ACT] = {-1, -1, -1, -1, -1, -1, -1, -1};
    static const float hi[FAKE_ACT] = {1, 1, 1, 1, 1, 1, 1, 1};
    static const deft_env_spec spec = {.name = "fake",
                                       .n_obs = FAKE_OBS,
                                       .n_act = FAKE_ACT,
                                       .act_lo = lo,
                                       .act_hi = hi,
                                       .max_steps = FAKE_STEPS,
                                       .period_s = 0.05,
                                       .previous_action_first = true};
    return &spec;
}

deft_status deft_env_create(const char *name, const deft_env_config *cfg, deft_env **out,
                            deft_error *err)
{
    (void)name, (void)cfg;
    *out = calloc(1, sizeof **out);
    return *out ? DEFT_OK : deft_fail(err, DEFT_E_SPACE, "no memory");
}

deft_status deft_env_clone(const deft_env *e, deft_env **out, deft_error *err)
{
    (void)e;
    return deft_env_create("fake", NULL, out, err);
}

void deft_env_destroy(deft_env *e)
{
    free(e);
}

const deft_env_spec *deft_env_get_spec(const deft_env *e)
{
    (void)e;
    return fake_spec();
}

static inline void fake_observe(deft_env *e, float *obs)
{
    for (int i = 0; i < FAKE_OBS; i++) obs[i] = (float)(e->x + deft_rng_normal(&e->rng));
}

deft_status deft_env_reset(deft_env *e, const uint64_t *seed, float *obs, deft_error *err)
{
    (void)err;
    deft_rng_seed(&e->rng, seed ? *seed : 1);
    e->seeded = true;
    for (int i = 0; i < fake_mood.n_fail; i++)
        if (seed && *seed == fake_mood.fail_seed[i]) e->seeded = false;
    e->step = 0;
    e->x = 0;
    e->length = 10 + (int32_t)(deft_rng_u64(&e->rng) % (2 * FAKE_STEPS)); // half are cut
    fake_observe(e, obs);
    return DEFT_OK;
}

deft_status deft_env_step(deft_env *e, const float *act, float *obs, deft_env_step_result *out,
                          deft_error *err)
{
    const struct timespec t = {0, fake_mood.step_ns};
    if (!e->seeded && e->step == 4) return deft_fail(err, DEFT_E_RANGE, "the physics diverged");
    if (fake_mood.step_ns) (void)nanosleep(&t, NULL);
    for (int i = 0; i < FAKE_ACT; i++) e->x += (double)act[i] / 8;
    e->step++;
    memset(out, 0, sizeof *out);
    out->reward = e->x;
    out->terminated = e->step == e->length;
    out->truncated = !out->terminated && e->step == FAKE_STEPS;
    out->metrics = (deft_env_metrics){10 * e->x, fabs(e->x), (double)NAN, 2};
    for (int i = 0; i < FAKE_CHANNELS; i++) e->channel[i] = 100 * i + e->step;
    fake_observe(e, obs);
    return DEFT_OK;
}

int32_t deft_env_channels(const deft_env *e, const char *const **name, const double **value)
{
    if (name) *name = fake_channel;
    if (value) *value = e->channel;
    return FAKE_CHANNELS;
}

double deft_env_physics_seconds(const deft_env *e)
{
    return e->step * 1e-3;
}

#endif
