/* env_private.h - how an environment is made. */
#ifndef DEFT_ENV_ENV_PRIVATE_H
#define DEFT_ENV_ENV_PRIVATE_H

#include "deft/env.h"

typedef struct env_class {
    const char *name;
    deft_status (*create)(const deft_env_config *cfg, deft_env **out, deft_error *err);
    deft_status (*clone)(const deft_env *e, deft_env **out, deft_error *err);
    void (*destroy)(deft_env *e); // frees e too
    deft_status (*reset)(deft_env *e, const uint64_t *seed, float *obs, deft_error *err);
    /* act is finite and within limits. Sets all of out but `truncated`. */
    deft_status (*step)(deft_env *e, const float *act, float *obs, deft_env_step_result *out,
                        deft_error *err);
    uint64_t (*scene_hash)(const deft_env *e); // NULL: it has no scene
} env_class;

enum { ENV_MAX_ACT = 32, ENV_MAX_CHANNEL = 64 };

/* First member of every environment. */
struct deft_env {
    const env_class *class;
    deft_env_spec spec;
    deft_env_config cfg; // scene is owned by the class
    int32_t step;        // since reset, -1 before the first one and after an error
    bool over;           // terminated or truncated
    double physics_seconds;
    int32_t n_channel;
    const char *const *channel_name;
    double channel[ENV_MAX_CHANNEL];
};

extern const env_class env_pendulum, env_pendulum_angle, env_quaid;

#endif
