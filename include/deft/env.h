/* env.h - environments with Gymnasium's contract, in C: reset with a seed, step, terminated and
 * truncated apart. No drawing, no printing. One environment serves one thread. */
#ifndef DEFT_ENV_H
#define DEFT_ENV_H

#include "deft/base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum deft_reward_set {
    DEFT_REWARD_EVALUATION = 0, // the weights of the simulated evaluation
    DEFT_REWARD_PAPER,          // those printed in the paper
} deft_reward_set;

/* What varies from episode to episode, and what reaches the policy of what is true: for policies
 * that are to leave the simulation. quaid only. Zero: nothing. Drawn from the seed of the reset; an
 * unperturbed start has none of it. Rewards and metrics are of the true state. */
typedef struct deft_domain {
    double current_noise_a;  // normal, sd: each leg's current, the total is their sum; >= 0
    double angle_noise_rad;  // yaw, pitch, roll
    double acc_noise;        // z acceleration, model units
    int32_t delay_max;       // observations arrive 0..delay_max steps late, drawn an episode; 0..3
    double loss;             // probability that one is lost: the one before is seen again; [0, 1)
    double friction, mass;   // of the ground, of all of the robot: a factor uniform in 1 +- this;
                             // [0, 1), drawn an episode
    double servo_gain;       // the same, for each servo by itself
    double servo_offset_rad; // each servo, uniform in +- this; >= 0, drawn an episode
    double push_cm_s;        // a push changes the speed along x and y by up to +- this; >= 0
    double push_chance;      // probability of one, every step; [0, 1]
} deft_domain;

/* Zero what you do not set. */
typedef struct deft_env_config {
    /* What is of quaid is refused for other environments. */
    const char *scene; // quaid: path of an MJCF; required there
    deft_reward_set reward;
    bool wire_reward;      // quaid: x truncated to whole cm, as on the original's wire
    double target_cm;      // quaid: speed that the reward asks for, cm a step; 0: 0.6, the paper's
    double heading_rad;    // quaid: commanded heading in the world; observed yaw, distance,
                           // reward and termination are relative to it
    int32_t max_steps;     // 0: the environment's own (quaid 500, pendulum 200)
    float servo_filter;    // quaid: share of a servo's last position in its next one, [0, 1);
                           // 0, as in the evaluation: none
    double velocity_noise; // quaid: uniform +- on every generalized velocity at a seeded
                           // reset; 0: the default 0.1, negative: none
    deft_domain domain;
} deft_env_config;

typedef struct deft_env_spec {
    const char *name;
    int32_t n_obs, n_act;
    const float *act_lo, *act_hi; // [n_act]
    const char *const *obs_name;  // [n_obs]
    const char *const *act_name;  // [n_act]
    int32_t max_steps;            // truncation
    double period_s;              // control period
    bool previous_action_first;   // policies with n_obs + n_act inputs are fed the previous
                                  // action, then the observation
} deft_env_spec;

/* What an episode is judged by, beyond its reward; NAN where an environment has no such thing. */
typedef struct deft_env_metrics {
    double distance_cm;       // along the commanded heading since reset
    double heading_error_rad; // |yaw - heading|, this step
    double torque;            // mean |motor torque|, this step, model units
    double current_a;         // total motor current, this step
} deft_env_metrics;

typedef struct deft_env_step_result {
    double reward;
    bool terminated, truncated;
    deft_env_metrics metrics;
} deft_env_step_result;

typedef struct deft_env deft_env;

/* As the paper's kind of robot may want it: noise of its sensors, 0-2 steps of delay, 2 % loss,
 * friction +-40 %, mass +-15 %, servo gains +-15 %, offsets +-0.03 rad, a push every 50 steps. */
deft_domain deft_domain_typical(void);
/* "typical", "friction=0.3,delay_max=2", "typical,mass=0": what is not named is zero, and later
 * words overrule earlier ones. DEFT_E_ARG: the text says what there is. */
deft_status deft_domain_parse(const char *text, deft_domain *out, deft_error *err);

/* name: "quaid", "pendulum", "pendulum-angle" (whose speed is hidden). DEFT_E_ARG for an unknown
 * one (the text lists what there is) and for settings out of range; DEFT_E_IO, DEFT_E_FORMAT for
 * scenes (the text names what is missing in it, or is MuJoCo's); DEFT_E_UNSUPPORTED for quaid where
 * MuJoCo was missing at build time. */
deft_status deft_env_create(const char *name, const deft_env_config *cfg, deft_env **out,
                            deft_error *err);
/* Another environment over the same immutable model (for other threads), its own state. */
deft_status deft_env_clone(const deft_env *e, deft_env **out, deft_error *err);
void deft_env_destroy(deft_env *e);
/* quaid: rewards from now on by these weights, of exact positions, with target_cm as in the
 * configuration. DEFT_E_ARG for other environments, which have one reward only. */
deft_status deft_env_set_reward(deft_env *e, deft_reward_set reward, double target_cm,
                                deft_error *err);
const deft_env_spec *deft_env_get_spec(const deft_env *e);
const char *const *deft_env_names(void); // NULL-terminated

/* pendulums only: a start of one's own. Counts as a reset. */
deft_status deft_env_pendulum_start(deft_env *e, double theta, double speed, float *obs,
                                    deft_error *err);

/* seed NULL: the unperturbed start. obs [n_obs], all finite. DEFT_E_RANGE when the physics
 * diverged, DEFT_E_SPACE when the scene's nconmax or njmax is too small, DEFT_E_FORMAT when MuJoCo
 * gave up. */
deft_status deft_env_reset(deft_env *e, const uint64_t *seed, float *obs, deft_error *err);
/* act [n_act] is clipped to [act_lo, act_hi]; a NaN is DEFT_E_RANGE. Errors otherwise as of reset;
 * after one, and after an episode's end, DEFT_E_ARG until the next reset. */
deft_status deft_env_step(deft_env *e, const float *act, float *obs, deft_env_step_result *out,
                          deft_error *err);

/* Log channels: named doubles of the current step, for the episode log's tables: "yaw", "servo0"
 * are columns of observations, "reward.speed" of rewards (docs/guide-environments.md lists them).
 * Names live as long as the program, values until the next reset or step. Returns their number;
 * name and value may be NULL. */
int32_t deft_env_channels(const deft_env *e, const char *const **name, const double **value);

/* Tells scenes apart: of all of the compiled scene (and so of MuJoCo's version); 0 where an
 * environment has none. */
uint64_t deft_env_scene_hash(const deft_env *e);

/* Seconds spent inside the physics library since creation. */
double deft_env_physics_seconds(const deft_env *e);

#ifdef __cplusplus
}
#endif

#endif
