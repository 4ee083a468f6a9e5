/* quaid.c - the paper's task: eight servos walk a quadruped across a compound obstacle.
 * Lengths are cm (ten times the model's), angles rad, currents A. */
#include "env/env_private.h"
#include "env/quaid_domain.h"
#include "env/quaid_sim.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LEGS = 4, N_OBS = QUAID_OBS, SETTLE = 15 };
#define HALF_PI     1.57079632679489661923
#define CM          10.0
#define TORQUE_TO_A 0.01

/* Positions are PWM ticks, control values radians of the servo's joint. */
typedef struct servo {
    float min, max, centre;
    float control_min, control_max;
} servo;

static const servo servos[QUAID_SERVOS] = {
    {185, 430, 308, -0.5f, 0.5f}, {308, 430, 369, 0, 0.6f},     {185, 430, 308, -0.5f, 0.5f},
    {185, 308, 246, -0.6f, 0},    {185, 430, 308, -0.5f, 0.5f}, {185, 308, 246, -0.6f, 0},
    {185, 430, 308, -0.5f, 0.5f}, {308, 430, 369, 0, 0.6f},
};

/* Knee and thigh of each leg among the actions. */
enum { FRONT_LEFT, FRONT_RIGHT, BACK_LEFT, BACK_RIGHT };
static const int knee_of[LEGS] = {6, 4, 0, 2};

enum channel { // of the log: "NAME" goes to observations, "reward.NAME" to rewards
    C_DISTANCE,
    C_CURRENT,
    C_YAW_DELTA,
    C_YAW,
    C_PITCH,
    C_ROLL,
    C_SERVO0,
    C_LEG0 = C_SERVO0 + QUAID_SERVOS,
    C_ACC_X = C_LEG0 + LEGS,
    C_ACC_Y,
    C_ACC_Z,
    C_GYRO_X,
    C_GYRO_Y,
    C_GYRO_Z,
    C_POSITION_X,
    C_POSITION_Y,
    C_POSITION_Z,
    C_THETA,
    C_REWARD_SPEED,
    C_REWARD_DISTANCE,
    C_REWARD_YAW,
    C_REWARD_PITCH,
    C_REWARD_ROLL,
    C_REWARD_LEG0,
    C_REWARD_CURRENT = C_REWARD_LEG0 + LEGS,
    C_REWARD_ACC_Z,
    C_REWARD_ACC_X,
    C_REWARD_ACC_Y,
    C_REWARD_SMOOTHNESS,
    N_CHANNEL
};
static const char *const channels[N_CHANNEL] = {
    "distance",
    "current",
    "yaw_delta",
    "yaw",
    "pitch",
    "roll",
    "servo0",
    "servo1",
    "servo2",
    "servo3",
    "servo4",
    "servo5",
    "servo6",
    "servo7",
    "current_front_left",
    "current_front_right",
    "current_back_left",
    "current_back_right",
    "acc_x",
    "acc_y",
    "acc_z",
    "gyro_x",
    "gyro_y",
    "gyro_z",
    "position_x",
    "position_y",
    "position_z",
    "theta",
    "reward.speed",
    "reward.distance",
    "reward.yaw",
    "reward.pitch",
    "reward.roll",
    "reward.current_front_left",
    "reward.current_front_right",
    "reward.current_back_left",
    "reward.current_back_right",
    "reward.current",
    "reward.acc_z",
    "reward.acc_x",
    "reward.acc_y",
    "reward.action_smoothness",
};

static const float act_lo[QUAID_SERVOS] = {-1, -1, -1, -1, -1, -1, -1, -1};
static const float act_hi[QUAID_SERVOS] = {1, 1, 1, 1, 1, 1, 1, 1};
static const char *const obs_name[N_OBS] = {
    "current_front_left",
    "current_front_right",
    "current_back_left",
    "current_total",
    "yaw",
    "acc_z",
    "pitch",
    "roll",
    "current_back_right",
    "servo_knee_back_left",
    "servo_thigh_back_left",
    "servo_knee_back_right",
    "servo_thigh_back_right",
    "servo_knee_front_right",
    "servo_thigh_front_right",
    "servo_knee_front_left",
    "servo_thigh_front_left",
};
static const char *const act_name[QUAID_SERVOS] = {
    "knee_back_left",   "thigh_back_left",   "knee_back_right", "thigh_back_right",
    "knee_front_right", "thigh_front_right", "knee_front_left", "thigh_front_left",
};

/* What the reward and the observation are made of. */
typedef struct body {
    double x, y, z;          // cm
    double yaw, pitch, roll; // yaw relative to the commanded heading
    double acc[3], gyro[3];
    double leg[LEGS], current; // A
    double torque;             // mean |motor torque|
} body;

typedef struct quaid {
    deft_env env;
    quaid_sim *sim;
    float tick[QUAID_SERVOS];
    float act1[QUAID_SERVOS], act2[QUAID_SERVOS]; // the actions before
    int32_t taken;                                // actions since the reset
    double start_along;                           // cm, at the end of the reset
    double rewarded_along;                        // cm, the last step's
    body b;
    quaid_domain domain;
} quaid;

static double wrap(double angle)
{
    return remainder(angle, 4 * HALF_PI);
}

/* The part of a position that lies along the commanded heading. */
static double along(const quaid *q, double x, double y)
{
    const double h = q->env.cfg.heading_rad;
    return h == 0 ? x : x * cos(h) + y * sin(h);
}

/* ... as the reward knows it: over the original's wire positions went as whole cm. */
static double rewarded_along(const quaid *q)
{
    return q->env.cfg.wire_reward ? along(q, trunc(q->b.x), trunc(q->b.y))
                                  : along(q, q->b.x, q->b.y);
}

static void sense(quaid *q)
{
    quaid_sensors s;
    quaid_sim_sense(q->sim, &s);
    const double w = s.quaternion[0], x = s.quaternion[1], y = s.quaternion[2], z = s.quaternion[3];
    body *b = &q->b;
    const double old_yaw = b->yaw;
    b->x = s.position[0] * CM;
    b->y = s.position[1] * CM;
    b->z = s.position[2] * CM;
    const double yaw = atan2(2 * (x * y + z * w), x * x - y * y - z * z + w * w);
    b->yaw = q->env.cfg.heading_rad == 0 ? yaw : wrap(yaw - q->env.cfg.heading_rad);
    b->pitch = asin(fmin(fmax(-2 * (x * z - y * w), -1), 1));
    b->roll = atan2(2 * (y * z + x * w), -x * x - y * y + z * z + w * w);
    memcpy(b->acc, s.acceleration, sizeof b->acc);
    memcpy(b->gyro, s.gyro, sizeof b->gyro);
    b->current = b->torque = 0;
    for (int l = 0; l < LEGS; l++) {
        const double t = fabs(s.torque[knee_of[l]]) + fabs(s.torque[knee_of[l] + 1]);
        b->leg[l] = t * TORQUE_TO_A;
        b->current += b->leg[l];
        b->torque += t / QUAID_SERVOS;
    }
    q->env.channel[C_YAW_DELTA] = wrap(b->yaw - old_yaw);
}

static void observe(quaid *q, float *obs)
{
    const body *b = &q->b;
    obs[0] = (float)(b->leg[FRONT_LEFT] / 4);
    obs[1] = (float)(b->leg[FRONT_RIGHT] / 4);
    obs[2] = (float)(b->leg[BACK_LEFT] / 4);
    obs[3] = (float)(b->current / 8);
    obs[4] = (float)(b->yaw / HALF_PI);
    obs[5] = (float)(b->acc[2] / 20);
    obs[6] = (float)(b->pitch / HALF_PI);
    obs[7] = (float)(b->roll / HALF_PI);
    obs[8] = (float)(b->leg[BACK_RIGHT] / 4);
    for (int i = 0; i < QUAID_SERVOS; i++) obs[9 + i] = q->tick[i] / 500;
}

static void fill_channels(quaid *q)
{
    const body *b = &q->b;
    double *c = q->env.channel;
    c[C_DISTANCE] = along(q, b->x, b->y) - q->start_along;
    c[C_CURRENT] = b->current;
    c[C_YAW] = b->yaw;
    c[C_PITCH] = b->pitch;
    c[C_ROLL] = b->roll;
    for (int i = 0; i < QUAID_SERVOS; i++) c[C_SERVO0 + i] = (double)q->tick[i];
    for (int l = 0; l < LEGS; l++) c[C_LEG0 + l] = b->leg[l];
    for (int i = 0; i < 3; i++) {
        c[C_ACC_X + i] = b->acc[i];
        c[C_GYRO_X + i] = b->gyro[i];
    }
    c[C_POSITION_X] = b->x;
    c[C_POSITION_Y] = b->y;
    c[C_POSITION_Z] = b->z;
    c[C_THETA] = q->env.cfg.heading_rad;
}

/* Changes of the action and of its change, from the third action on. */
static double smoothness(const quaid *q, const float *act)
{
    double sum = 0;
    for (int i = 0; q->taken >= 2 && i < QUAID_SERVOS; i++) {
        const double a = (double)act[i], a1 = (double)q->act1[i], a2 = (double)q->act2[i];
        sum += (a - a1) * (a - a1) + (a - 2 * a1 + a2) * (a - 2 * a1 + a2);
    }
    return sum;
}

/* Reward of a step that moved dx cm; its terms go to the log. */
static double reward_of(quaid *q, double dx, double smooth)
{
    const body *b = &q->b;
    const bool paper = q->env.cfg.reward == DEFT_REWARD_PAPER;
    const double by_leg = paper ? 0.025 : 0.005, by_smooth = paper ? 0.025 : 0.01;
    const double target = q->env.cfg.target_cm > 0 ? q->env.cfg.target_cm : 0.6;
    double *c = q->env.channel, sum = 0;
    c[C_REWARD_SPEED] = dx;
    c[C_REWARD_DISTANCE] = 2 * exp(-10 * fabs(target - dx));
    c[C_REWARD_YAW] = 0.5 * exp(-10 * fabs(b->yaw));
    c[C_REWARD_PITCH] = -0.1 * fabs(b->pitch);
    c[C_REWARD_ROLL] = -0.1 * fabs(b->roll);
    for (int l = 0; l < LEGS; l++) c[C_REWARD_LEG0 + l] = b->leg[l] > 1 ? -by_leg * b->leg[l] : 0;
    c[C_REWARD_CURRENT] = 0.1 * exp(-1.5 * fabs(4 - b->current));
    c[C_REWARD_ACC_Z] = -0.025 * fabs(b->acc[2] - 9.8);
    c[C_REWARD_ACC_X] = -0.025 * fabs(b->acc[0]);
    c[C_REWARD_ACC_Y] = -0.025 * fabs(b->acc[1]);
    c[C_REWARD_SMOOTHNESS] = -by_smooth * smooth;
    for (int i = C_REWARD_SPEED; i < N_CHANNEL; i++) sum += c[i];
    return sum;
}

static deft_status finish_create(const deft_env_config *cfg, quaid_sim *sim, deft_env **out,
                                 deft_error *err)
{
    quaid *q = calloc(1, sizeof *q);
    if (!q) {
        quaid_sim_destroy(sim);
        return deft_fail(err, DEFT_E_SPACE, "no memory for an environment");
    }
    q->sim = sim;
    q->domain.cfg = cfg->domain;
    q->env = (deft_env){.class = &env_quaid,
                        .spec = {.name = "quaid",
                                 .n_obs = N_OBS,
                                 .n_act = QUAID_SERVOS,
                                 .act_lo = act_lo,
                                 .act_hi = act_hi,
                                 .obs_name = obs_name,
                                 .act_name = act_name,
                                 .max_steps = cfg->max_steps > 0 ? cfg->max_steps : 500,
                                 .period_s = 0.09,
                                 .previous_action_first = true},
                        .cfg = *cfg,
                        .step = -1,
                        .n_channel = N_CHANNEL,
                        .channel_name = channels};
    q->env.cfg.scene = NULL;
    *out = &q->env;
    return DEFT_OK;
}

static deft_status create(const deft_env_config *cfg, deft_env **out, deft_error *err)
{
    if (!cfg->scene) {
        return deft_fail(err, DEFT_E_ARG, "quaid needs a scene (an MJCF file of the robot)");
    }
    quaid_sim *sim = NULL;
    deft_status s = quaid_domain_check(&cfg->domain, err);
    if (s == DEFT_OK) s = quaid_sim_create(cfg->scene, &sim, err);
    return s == DEFT_OK ? finish_create(cfg, sim, out, err) : s;
}

static deft_status clone(const deft_env *e, deft_env **out, deft_error *err)
{
    quaid_sim *sim = NULL;
    const deft_status s = quaid_sim_clone(((const quaid *)e)->sim, &sim, err);
    return s == DEFT_OK ? finish_create(&e->cfg, sim, out, err) : s;
}

static void destroy(deft_env *e)
{
    quaid *q = (quaid *)e;
    quaid_sim_destroy(q->sim);
    free(q);
}

static float limit(float v, float lo, float hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

/* Servos to their ticks, then 90 ms. */
static deft_status run(quaid *q, deft_error *err)
{
    float control[QUAID_SERVOS];
    for (int i = 0; i < QUAID_SERVOS; i++) {
        const servo *s = &servos[i];
        q->tick[i] = limit(q->tick[i], s->min, s->max);
        control[i] = s->control_min +
                     (q->tick[i] - s->min) / (s->max - s->min) * (s->control_max - s->control_min) +
                     q->domain.servo_offset[i];
    }
    return quaid_sim_run(q->sim, control, &q->env.physics_seconds, err);
}

static deft_status reset(deft_env *e, const uint64_t *seed, float *obs, deft_error *err)
{
    quaid *q = (quaid *)e;
    deft_rng rng;
    const double noise = e->cfg.velocity_noise;
    if (seed) deft_rng_seed(&rng, *seed);
    deft_status s = quaid_domain_start(&q->domain, seed, q->sim, err);
    if (s != DEFT_OK) return s;
    s = quaid_sim_reset(q->sim, seed && noise >= 0 ? &rng : NULL, noise > 0 ? noise : 0.1, err);
    memset(q->tick, 0, sizeof q->tick);
    for (int k = 0; s == DEFT_OK && k < SETTLE; k++) {
        for (int i = 0; i < QUAID_SERVOS; i++) {
            q->tick[i] = truncf(0.5f * q->tick[i] + 0.5f * servos[i].centre);
        }
        s = run(q, err);
    }
    if (s != DEFT_OK) return s;
    memset(q->act1, 0, sizeof q->act1);
    memset(q->act2, 0, sizeof q->act2);
    q->taken = 0;
    memset(e->channel, 0, sizeof e->channel);
    sense(q);
    e->channel[C_YAW_DELTA] = 0;
    q->start_along = along(q, q->b.x, q->b.y);
    q->rewarded_along = rewarded_along(q);
    observe(q, obs);
    quaid_domain_observe(&q->domain, obs);
    fill_channels(q);
    return DEFT_OK;
}

static deft_status step(deft_env *e, const float *act, float *obs, deft_env_step_result *out,
                        deft_error *err)
{
    quaid *q = (quaid *)e;
    const float c = e->cfg.servo_filter;
    for (int i = 0; i < QUAID_SERVOS; i++) {
        const servo *s = &servos[i];
        const float p = truncf(s->min + (act[i] * 1000 + 1000) / 2000 * (s->max - s->min));
        q->tick[i] = truncf(q->tick[i] * c + p * (1 - c));
    }
    quaid_domain_push(&q->domain, q->sim);
    const deft_status s = run(q, err);
    if (s != DEFT_OK) return s;
    sense(q);
    const double now = rewarded_along(q), dx = now - q->rewarded_along;
    q->rewarded_along = now;
    out->reward = reward_of(q, dx, smoothness(q, act));
    out->terminated = fabs(q->b.yaw) > HALF_PI;
    out->metrics = (deft_env_metrics){along(q, q->b.x, q->b.y) - q->start_along, fabs(q->b.yaw),
                                      q->b.torque, q->b.current};
    memcpy(q->act2, q->act1, sizeof q->act2);
    memcpy(q->act1, act, sizeof q->act1);
    q->taken++;
    observe(q, obs);
    quaid_domain_observe(&q->domain, obs);
    fill_channels(q);
    return DEFT_OK;
}

static uint64_t scene_hash(const deft_env *e)
{
    return quaid_sim_hash(((const quaid *)e)->sim);
}

const env_class env_quaid = {"quaid", create, clone, destroy, reset, step, scene_hash};
