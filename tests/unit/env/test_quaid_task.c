/* The task itself, on a small robot: servos, rewards recomputed from what the log is told,
 * headings, ends of episodes, starts. */
#include "check.h"
#include "deft/env.h"
#include "small_robot.h"

#include <math.h>
#include <stdint.h>
#include <unistd.h>

enum { N_OBS = 17, N_ACT = 8, STEPS = 40 };
static char scene[64];

static deft_env *open_env(deft_env_config cfg)
{
    deft_error err = {0};
    deft_env *e = NULL;
    cfg.scene = scene;
    CHECK_OK(deft_env_create("quaid", &cfg, &e, &err), err);
    if (!e) exit(1);
    return e;
}

static double channel(const deft_env *e, const char *wanted)
{
    const char *const *name = NULL;
    const double *value = NULL;
    const int32_t n = deft_env_channels(e, &name, &value);
    for (int32_t i = 0; i < n; i++) {
        if (strcmp(name[i], wanted) == 0) return value[i];
    }
    CHECK(0, "no channel %s", wanted);
    return (double)NAN;
}

static void action(int k, float act[N_ACT])
{
    for (int i = 0; i < N_ACT; i++) act[i] = sinf(0.7f * (float)k + (float)(i * i));
}

static double reward_part(const char *leg, const deft_env *e, double weight)
{
    const double x = channel(e, leg);
    return x > 1 ? -weight * x : 0;
}

/* The formula as it is written down, in terms of the raw numbers of a step. */
static double expected(const deft_env *e, double dx, double smooth, int paper, double target)
{
    const double legs = paper ? 0.025 : 0.005;
    return dx + 2 * exp(-10 * fabs(target - dx)) + 0.5 * exp(-10 * fabs(channel(e, "yaw"))) +
           0.1 * exp(-1.5 * fabs(4 - channel(e, "current"))) - 0.1 * fabs(channel(e, "pitch")) -
           0.1 * fabs(channel(e, "roll")) - 0.025 * fabs(channel(e, "acc_z") - 9.8) -
           0.025 * fabs(channel(e, "acc_x")) - 0.025 * fabs(channel(e, "acc_y")) +
           reward_part("current_front_left", e, legs) +
           reward_part("current_front_right", e, legs) + reward_part("current_back_left", e, legs) +
           reward_part("current_back_right", e, legs) - (paper ? 0.025 : 0.01) * smooth;
}

static double smoothness(float act[STEPS][N_ACT], int k)
{
    double sum = 0;
    for (int i = 0; k >= 2 && i < N_ACT; i++) {
        const double a = (double)act[k][i], b = (double)act[k - 1][i], c = (double)act[k - 2][i];
        sum += pow(a - b, 2) + pow(a - 2 * b + c, 2);
    }
    return sum;
}

/* Destroys e. */
static void rewards_of(deft_env *e, int paper, int wire, double target)
{
    float obs[N_OBS], act[STEPS][N_ACT];
    deft_error err = {0};
    CHECK_OK(deft_env_reset(e, NULL, obs, &err), err);
    const double start = channel(e, "position_x");
    int whole = 0, costly = 0;
    for (int k = 0; k < STEPS; k++) {
        const double before = channel(e, "position_x");
        action(k, act[k]);
        deft_env_step_result out;
        CHECK_OK(deft_env_step(e, act[k], obs, &out, &err), err);
        const double after = channel(e, "position_x");
        const double dx = wire ? trunc(after) - trunc(before) : after - before;
        const double want = expected(e, dx, smoothness(act, k), paper, target > 0 ? target : 0.6);
        CHECK(fabs(out.reward - want) < 1e-9, "step %d: reward %.12g, not %.12g", k, out.reward,
              want);
        CHECK(fabs(out.metrics.distance_cm - (after - start)) < 1e-9, "distance is exact");
        CHECK(fabs(channel(e, "distance") - (after - start)) < 1e-9, "distance of the log");
        whole += trunc(after) != trunc(before);
        costly += channel(e, "current_back_left") > 1;
        if (out.terminated) break;
    }
    CHECK(whole > 0 && costly > 0, "it moves too little for this test: %d, %d", whole, costly);
    deft_env_destroy(e);
}

static void test_rewards(int paper, int wire, double target)
{
    rewards_of(
        open_env((deft_env_config){.reward = paper ? DEFT_REWARD_PAPER : DEFT_REWARD_EVALUATION,
                                   .wire_reward = wire,
                                   .target_cm = target}),
        paper, wire, target);
}

/* The same rewards, but those of a clone set afterwards; the original keeps its own. */
static void test_other_rewards(int paper, double target)
{
    deft_error err = {0};
    const deft_env_config cfg = {.reward = paper ? DEFT_REWARD_EVALUATION : DEFT_REWARD_PAPER,
                                 .wire_reward = true,
                                 .target_cm = 1.3};
    deft_env *const e = open_env(cfg), *other = NULL;
    CHECK_OK(deft_env_clone(e, &other, &err), err);
    CHECK(deft_env_set_reward(other, DEFT_REWARD_PAPER, -1, &err) == DEFT_E_ARG, "a target of -1");
    CHECK_OK(deft_env_set_reward(other, paper ? DEFT_REWARD_PAPER : DEFT_REWARD_EVALUATION, target,
                                 &err),
             err);
    rewards_of(other, paper, 0, target);
    rewards_of(e, !paper, 1, 1.3);
}

/* The parts in the log sum to the reward. */
static void test_parts(void)
{
    deft_env *e = open_env((deft_env_config){0});
    float obs[N_OBS], act[N_ACT];
    deft_error err = {0};
    deft_env_step_result out = {0};
    CHECK_OK(deft_env_reset(e, NULL, obs, &err), err);
    for (int k = 0; k < 5; k++) {
        action(k, act);
        CHECK_OK(deft_env_step(e, act, obs, &out, &err), err);
    }
    const char *const *name = NULL;
    const double *value = NULL;
    double sum = 0;
    const int32_t n = deft_env_channels(e, &name, &value);
    for (int32_t i = 0; i < n; i++) {
        if (strncmp(name[i], "reward.", 7) == 0) sum += value[i];
    }
    CHECK(fabs(sum - out.reward) < 1e-12, "parts sum to %g, not %g", sum, out.reward);
    CHECK(fabs((double)obs[4] - channel(e, "yaw") / 1.57079632679) < 1e-6, "observed yaw");
    CHECK(fabs((double)obs[3] - out.metrics.current_a / 8) < 1e-6, "observed current");
    CHECK(fabs((double)obs[5] - channel(e, "acc_z") / 20) < 1e-6, "observed acceleration");
    deft_env_destroy(e);
}

/* Ticks of the extremes and of zero, and the filter. */
static void test_servos(void)
{
    static const float want[3][N_ACT] = {{185, 308, 185, 185, 185, 185, 185, 308},
                                         {307, 369, 307, 246, 307, 246, 307, 369},
                                         {430, 430, 430, 308, 430, 308, 430, 430}};
    static const float centre[N_ACT] = {308, 369, 308, 246, 308, 246, 308, 369};
    deft_env *e = open_env((deft_env_config){0});
    deft_env *filtered = open_env((deft_env_config){.servo_filter = 0.5f});
    float obs[N_OBS], slow[N_OBS];
    deft_error err = {0};
    for (int a = -1; a <= 1; a++) {
        float act[N_ACT];
        deft_env_step_result out;
        CHECK_OK(deft_env_reset(e, NULL, obs, &err), err);
        CHECK_OK(deft_env_reset(filtered, NULL, slow, &err), err);
        float tick[N_ACT];
        for (int i = 0; i < N_ACT; i++) {
            act[i] = 3 * (float)a; // clipped
            // halving towards the centre in whole ticks stops one short of odd ones
            tick[i] = slow[9 + i] * 500;
            CHECK(fabsf(tick[i] - centre[i]) < 1.01f, "centre of %d: %g", i, (double)tick[i]);
        }
        CHECK_OK(deft_env_step(e, act, obs, &out, &err), err);
        CHECK_OK(deft_env_step(filtered, act, slow, &out, &err), err);
        for (int i = 0; i < N_ACT; i++) {
            const float to = want[a + 1][i], half = truncf(0.5f * roundf(tick[i]) + 0.5f * to);
            CHECK(fabsf(obs[9 + i] * 500 - to) < 1e-3f, "servo %d at %d: %g", i, a,
                  (double)(obs[9 + i] * 500));
            CHECK(fabsf(slow[9 + i] * 500 - half) < 1e-3f, "filtered servo %d at %d: %g, not %g", i,
                  a, (double)(slow[9 + i] * 500), (double)half);
        }
    }
    deft_env_destroy(filtered);
    deft_env_destroy(e);
}

static void test_heading(void)
{
    const double h = 0.5;
    deft_env *e = open_env((deft_env_config){0}),
             *g = open_env((deft_env_config){.heading_rad = h});
    deft_env *away = open_env((deft_env_config){.heading_rad = 2});
    float obs[N_OBS], turned[N_OBS], act[N_ACT];
    deft_error err = {0};
    deft_env_step_result a = {0}, b = {0};
    CHECK_OK(deft_env_reset(e, NULL, obs, &err), err);
    CHECK_OK(deft_env_reset(g, NULL, turned, &err), err);
    const double x0 = channel(e, "position_x"), y0 = channel(e, "position_y");
    for (int k = 0; k < 10; k++) {
        action(k, act);
        CHECK_OK(deft_env_step(e, act, obs, &a, &err), err);
        CHECK_OK(deft_env_step(g, act, turned, &b, &err), err);
    }
    const double dx = channel(e, "position_x") - x0, dy = channel(e, "position_y") - y0;
    CHECK(channel(g, "position_x") == channel(e, "position_x"), "the physics knows no heading");
    CHECK(fabs(b.metrics.distance_cm - (dx * cos(h) + dy * sin(h))) < 1e-9, "distance along it");
    CHECK(fabs(channel(g, "yaw") - (channel(e, "yaw") - h)) < 1e-12, "yaw relative to it");
    CHECK(fabs(b.metrics.heading_error_rad - fabs(channel(g, "yaw"))) < 1e-12, "heading error");
    CHECK(fabs((double)(turned[4] - obs[4]) + h / 1.57079632679) < 1e-6, "observed yaw");
    CHECK(channel(g, "theta") == h, "the log knows it");
    CHECK_OK(deft_env_reset(away, NULL, obs, &err), err);
    CHECK_OK(deft_env_step(away, act, obs, &a, &err), err);
    CHECK(a.terminated && !a.truncated, "it looks away by more than a right angle");
    CHECK(deft_env_step(away, act, obs, &a, &err) == DEFT_E_ARG, "a step after the end");
    deft_env_destroy(away);
    deft_env_destroy(g);
    deft_env_destroy(e);
}

static int equal(const float a[N_OBS], const float b[N_OBS])
{
    int same = 1;
    for (int i = 0; i < N_OBS; i++) same &= a[i] == b[i];
    return same;
}

static void test_ends_and_starts(void)
{
    deft_env *e = open_env((deft_env_config){.max_steps = 3});
    deft_env *still = open_env((deft_env_config){.velocity_noise = -1});
    float obs[N_OBS], other[N_OBS], act[N_ACT] = {0};
    deft_error err = {0};
    deft_env_step_result out;
    const uint64_t seed = 4;
    CHECK(deft_env_get_spec(e)->max_steps == 3, "max_steps");
    CHECK(deft_env_step(e, act, obs, &out, &err) == DEFT_E_ARG, "a step before a reset");
    CHECK_OK(deft_env_reset(e, NULL, obs, &err), err);
    for (int k = 1; k <= 3; k++) {
        CHECK_OK(deft_env_step(e, act, obs, &out, &err), err);
        CHECK(!out.terminated && out.truncated == (k == 3), "truncated at %d", k);
    }
    CHECK(deft_env_step(e, act, obs, &out, &err) == DEFT_E_ARG, "a step after the end");
    CHECK_OK(deft_env_reset(e, NULL, obs, &err), err);
    CHECK_OK(deft_env_reset(still, &seed, other, &err), err);
    CHECK(equal(obs, other), "without noise a seed changes nothing");
    CHECK_OK(deft_env_reset(e, &seed, other, &err), err);
    CHECK(!equal(obs, other), "a seed perturbs the start");
    CHECK_OK(deft_env_reset(e, &seed, obs, &err), err);
    CHECK(equal(obs, other), "the same seed, the same start");
    deft_env_destroy(still);
    deft_env_destroy(e);
}

static void test_settings(void)
{
    const deft_env_config bad[] = {
        {.target_cm = -1},
        {.target_cm = (double)NAN},
        {.heading_rad = (double)NAN},
        {.velocity_noise = (double)INFINITY},
        {.servo_filter = 1},
        {.servo_filter = -0.1f},
        {.servo_filter = (float)NAN},
        {.max_steps = -1},
        {.reward = (deft_reward_set)(7)},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        deft_env_config cfg = bad[i];
        deft_error err = {0};
        deft_env *e = NULL;
        cfg.scene = scene;
        CHECK(deft_env_create("quaid", &cfg, &e, &err) == DEFT_E_ARG, "setting %zu", i);
        CHECK(err.text[0], "setting %zu has no text", i);
        deft_env_destroy(e);
    }
}

int main(void)
{
    deft_error err = {0};
    deft_env *e = NULL;
    (void)snprintf(scene, sizeof scene, "/tmp/deft-task-%ld.xml", (long)getpid());
    CHECK(small_robot_write(scene, &(small_robot){0}), "cannot write %s", scene);
    const deft_env_config cfg = {.scene = scene};
    if (deft_env_create("quaid", &cfg, &e, &err) == DEFT_E_UNSUPPORTED) {
        (void)remove(scene);
        CHECK_SKIP("no MuJoCo");
    }
    deft_env_destroy(e);
    for (int i = 0; i < 4; i++) test_rewards(i & 1, i >> 1, i == 2 ? 1.2 : 0);
    for (int i = 0; i < 2; i++) test_other_rewards(i, i ? 0 : 0.9);
    test_parts();
    test_servos();
    test_heading();
    test_ends_and_starts();
    test_settings();
    (void)remove(scene);
    return check_report();
}
