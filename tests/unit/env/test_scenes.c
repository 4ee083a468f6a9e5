/* Our own robot's scenes: each loads, and stays finite under random actions; and what the golden
 * rollouts' actions do on the compound obstacle is what they do on the paper's. */
#include "check.h"
#include "deft/env.h"

#include <math.h>
#include <string.h>

enum { N_OBS = 17, N_ACT = 8, STEPS = 500, SEEDS = 3 };

static const char *const scenes[] = {"flat", "obstacle", "ramp", "pivot", "soft_mat", "rough"};

static deft_env *open_scene(const char *name)
{
    char file[128], path[512];
    (void)snprintf(file, sizeof file, "models/quaid/%s.xml", name);
    const deft_env_config cfg = {.scene = check_source(path, sizeof path, file)};
    deft_error err = {0};
    deft_env *e = NULL;
    CHECK_OK(deft_env_create("quaid", &cfg, &e, &err), err);
    return e;
}

static bool all_finite(const float *x, int n)
{
    for (int i = 0; i < n; i++) {
        if (!isfinite(x[i])) return false;
    }
    return true;
}

static void test_random(const char *name)
{
    deft_env *e = open_scene(name);
    float obs[N_OBS], act[N_ACT];
    int done = 0;
    for (uint64_t seed = 0; e && seed < SEEDS; seed++) {
        deft_error err = {0};
        deft_rng rng;
        deft_rng_seed(&rng, 100 + seed);
        CHECK_OK(deft_env_reset(e, &seed, obs, &err), err);
        bool finite = all_finite(obs, N_OBS);
        for (int t = 0; t < STEPS && finite; t++) {
            for (int i = 0; i < N_ACT; i++) act[i] = (float)deft_rng_uniform(&rng, -1, 1);
            deft_env_step_result out;
            const deft_status s = deft_env_step(e, act, obs, &out, &err);
            CHECK(s == DEFT_OK, "%s, seed %d, step %d: %s", name, (int)seed, t, err.text);
            if (s != DEFT_OK) break;
            finite = all_finite(obs, N_OBS) && isfinite(out.reward);
            done++;
            if (out.terminated) CHECK_OK(deft_env_reset(e, &seed, obs, &err), err);
        }
        CHECK(finite, "%s, seed %d: not finite", name, (int)seed);
    }
    CHECK(done == SEEDS * STEPS, "%s: %d steps", name, done);
    deft_env_destroy(e);
}

/* Neutral servos: it stands on its feet, level, and stays where it is. */
static void test_stands(const char *name)
{
    deft_env *e = open_scene(name);
    float obs[N_OBS], act[N_ACT] = {0};
    deft_error err = {0};
    deft_env_step_result out = {0};
    if (!e) return;
    CHECK_OK(deft_env_reset(e, NULL, obs, &err), err);
    for (int t = 0; t < 30; t++) CHECK_OK(deft_env_step(e, act, obs, &out, &err), err);
    CHECK(fabs((double)obs[6]) < 0.05 && fabs((double)obs[7]) < 0.05, "%s: pitch %g, roll %g", name,
          (double)obs[6], (double)obs[7]);
    CHECK(fabs((double)obs[5] - 0.49) < 0.05, "%s: acc_z %g", name, (double)obs[5]);
    CHECK(fabs(out.metrics.distance_cm) < 3, "%s: %g cm", name, out.metrics.distance_cm);
    deft_env_destroy(e);
}

/* How far the recorded actions went, and go here, cm. */
static void test_open_loop(const char *golden)
{
    char file[64], path[512];
    static char line[16384];
    (void)snprintf(file, sizeof file, "golden/%s.csv", golden);
    FILE *f = check_reference(path, sizeof path, file) ? fopen(path, "r") : NULL;
    if (!f) return;
    deft_env *e = open_scene("obstacle");
    float obs[N_OBS], act[N_ACT];
    deft_error err = {0};
    deft_env_step_result out = {0};
    double first = 0, x = 0;
    int row = 0;
    CHECK_OK(deft_env_reset(e, NULL, obs, &err), err);
    bool more = fgets(line, sizeof line, f) != NULL;
    while (more && fgets(line, sizeof line, f)) {
        char *p = line;
        (void)strtod(p, &p); // step
        for (int i = 0; i < N_OBS; i++) (void)strtod(p + 1, &p);
        for (int i = 0; i < N_ACT; i++) act[i] = (float)strtod(p + 1, &p);
        (void)strtod(p + 1, &p); // reward
        x = strtod(p + 1, &p);
        if (row++ == 0) first = x;
        if (deft_env_step(e, act, obs, &out, &err) != DEFT_OK) break;
    }
    (void)fclose(f);
    const double there = x - first, here = out.metrics.distance_cm;
    printf("%s open loop: %.1f cm on the paper's robot, %.1f cm on ours\n", golden, there, here);
    CHECK(fabs(here - there) < 0.15 * there, "%s: %g cm instead of %g", golden, here, there);
    deft_env_destroy(e);
}

int main(void)
{
    deft_env *e = NULL;
    deft_error err = {0};
    if (deft_env_create("quaid", &(deft_env_config){.scene = "none"}, &e, &err) ==
        DEFT_E_UNSUPPORTED)
        CHECK_SKIP("built without MuJoCo");
    for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++) {
        test_random(scenes[i]);
        test_stands(scenes[i]);
    }
    test_open_loop("RA-SAC");
    test_open_loop("TD3");
    test_open_loop("SAC");
    return check_report();
}
