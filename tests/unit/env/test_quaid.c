/* The robot against the golden rollouts: their actions from an unperturbed reset must give their
 * observations and rewards. And scenes that MuJoCo does not like. */
#include "check.h"
#include "deft/env.h"

#include <math.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

enum { N_OBS = 17, N_ACT = 8, ROWS = 500, COLUMNS = 32 };

typedef struct golden {
    double obs[ROWS][N_OBS], act[ROWS][N_ACT], reward[ROWS], x[ROWS], yaw[ROWS], current[ROWS];
} golden;

static bool read_golden(const char *name, golden *g)
{
    char path[512], file[64], line[8192];
    (void)snprintf(file, sizeof file, "golden/%s.csv", name);
    if (!check_reference(path, sizeof path, file)) return false;
    FILE *f = fopen(path, "r");
    bool ok = f && fgets(line, sizeof line, f);
    for (int r = 0; ok && r < ROWS; r++) {
        ok = fgets(line, sizeof line, f) != NULL;
        char *p = line;
        (void)strtod(p, &p); // step
        double v[N_OBS + N_ACT + 6];
        for (int i = 0; i < N_OBS + N_ACT + 6; i++)
            v[i] = *p == ',' ? strtod(p + 1, &p) : (double)NAN;
        memcpy(g->obs[r], v, sizeof g->obs[r]);
        memcpy(g->act[r], v + N_OBS, sizeof g->act[r]);
        g->reward[r] = v[N_OBS + N_ACT];
        g->x[r] = v[N_OBS + N_ACT + 1];
        g->yaw[r] = v[N_OBS + N_ACT + 2];
        g->current[r] = v[N_OBS + N_ACT + 5];
    }
    if (f) (void)fclose(f);
    return ok;
}

static const char *scene(void)
{
    static char path[512];
    return check_reference(path, sizeof path, "quaid/v2/quaid_v2.xml");
}

static void test_golden(const char *name)
{
    static golden g;
    CHECK(read_golden(name, &g), "%s cannot be read", name);
    deft_error err = {0};
    deft_env *e = NULL;
    const deft_env_config cfg = {.scene = scene()};
    CHECK_OK(deft_env_create("quaid", &cfg, &e, &err), err);
    if (!e) return;
    float obs[N_OBS], act[N_ACT];
    CHECK_OK(deft_env_reset(e, NULL, obs, &err), err);
    int same = 0;
    double worst = 0, worst_reward = 0, sum = 0;
    for (int r = 0; r < ROWS; r++) {
        double off = 0;
        for (int i = 0; i < N_OBS; i++) off = fmax(off, fabs((double)obs[i] - g.obs[r][i]));
        if (off < 1e-5 && same == r) same++;
        worst = fmax(worst, off);
        if (r + 1 == ROWS) break;
        for (int i = 0; i < N_ACT; i++) act[i] = (float)g.act[r][i];
        deft_env_step_result out;
        CHECK_OK(deft_env_step(e, act, obs, &out, &err), err);
        sum += out.reward;
        if (same == r + 1) worst_reward = fmax(worst_reward, fabs(out.reward - g.reward[r + 1]));
        CHECK(!out.terminated && !out.truncated, "%s ended at %d", name, r);
    }
    printf("%s: %d rows equal to 1e-5, worst %g, rewards %g, sum %.3f\n", name, same, worst,
           worst_reward, sum);
    // Other releases of MuJoCo may round otherwise, and a walking robot amplifies the last bit.
    CHECK(same >= 100, "%s: only %d rows are the golden ones", name, same);
    CHECK(worst_reward < 2e-3, "%s: rewards differ by %g", name, worst_reward);
    deft_env_destroy(e);
}

/* Twenty steps from a seeded start, as a fingerprint. */
static double fingerprint(deft_env *e, uint64_t seed)
{
    float obs[N_OBS], act[N_ACT];
    deft_error err = {0};
    double sum = 0;
    CHECK_OK(deft_env_reset(e, &seed, obs, &err), err);
    for (int k = 0; k < 20; k++) {
        for (int i = 0; i < N_ACT; i++) act[i] = sinf((float)(k + i));
        deft_env_step_result out = {0};
        CHECK_OK(deft_env_step(e, act, obs, &out, &err), err);
        sum += out.reward * (k + 1);
    }
    return sum;
}

typedef struct job {
    deft_env *env;
    double value;
} job;

static void *run_job(void *arg)
{
    job *j = arg;
    j->value = fingerprint(j->env, 5);
    return NULL;
}

static void test_seeds(void)
{
    deft_error err = {0};
    deft_env *a = NULL, *b = NULL;
    const deft_env_config cfg = {.scene = scene()};
    CHECK_OK(deft_env_create("quaid", &cfg, &a, &err), err);
    CHECK_OK(deft_env_clone(a, &b, &err), err);
    const double other = fingerprint(a, 6);
    job ja = {a, 0}, jb = {b, 0};
    pthread_t t;
    CHECK(pthread_create(&t, NULL, run_job, &jb) == 0, "no thread");
    (void)run_job(&ja);
    (void)pthread_join(t, NULL);
    CHECK(ja.value == jb.value, "a clone in another thread gives %.17g, not %.17g", jb.value,
          ja.value);
    CHECK(ja.value != other, "two seeds give the same episode");
    float obs[N_OBS], nan[N_ACT] = {NAN};
    deft_env_step_result out;
    CHECK(deft_env_step(a, nan, obs, &out, &err) == DEFT_E_RANGE, "an action may be no number");
    CHECK(deft_env_physics_seconds(a) > 0, "physics takes no time");
    deft_env_destroy(b);
    deft_env_destroy(a);
}

static void write_scene(char *path, const char *xml)
{
    (void)snprintf(path, 64, "/tmp/deft-scene-%ld.xml", (long)getpid());
    FILE *f = fopen(path, "w");
    if (!f) return;
    (void)fputs(xml, f);
    (void)fclose(f);
}

static void test_bad_scenes(void)
{
    static const char *const bad[][2] = {
        {"<mujoco><worldbody><geom size='0.1'", "MuJoCo"},
        {"<mujoco><worldbody><light pos='0 0 1'/></worldbody></mujoco>", "knee1_joint_bl"},
        {"<mujoco><option timestep='-1'/><worldbody/></mujoco>", "deft-scene"},
        {"<mujoco><include file='no-such.xml'/></mujoco>", "no-such"},
        {"", "MuJoCo"},
    };
    char path[64];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        write_scene(path, bad[i][0]);
        deft_error err = {0};
        deft_env *e = NULL;
        const deft_env_config cfg = {.scene = path};
        CHECK(deft_env_create("quaid", &cfg, &e, &err) < 0, "scene %zu was taken", i);
        CHECK(strstr(err.text, bad[i][1]), "scene %zu: '%s' does not say %s", i, err.text,
              bad[i][1]);
        deft_env_destroy(e);
    }
    (void)remove(path);
    deft_error err = {0};
    deft_env *e = NULL;
    const deft_env_config cfg = {.scene = "/no/such/scene.xml"};
    CHECK(deft_env_create("quaid", &cfg, &e, &err) < 0, "a scene that is not there was taken");
    CHECK(strstr(err.text, "/no/such/scene.xml"), "'%s' does not name the file", err.text);
}

int main(void)
{
    deft_error err = {0};
    deft_env *e = NULL;
    const deft_env_config none = {0};
    CHECK(deft_env_create("quaid", &none, &e, &err) == DEFT_E_ARG, "quaid without a scene");
    CHECK(deft_env_create("walker", &none, &e, &err) == DEFT_E_ARG, "an unknown environment");
    CHECK(strstr(err.text, "pendulum"), "the text lists what there is");
    test_bad_scenes();
    if (!scene()) {
        return check_failures ? check_report() : (printf("skipped: no reference robot\n"), 77);
    }
    test_golden("TD3");
    test_golden("SAC");
    test_golden("RA-TD3");
    test_golden("RA-SAC");
    test_seeds();
    return check_report();
}
