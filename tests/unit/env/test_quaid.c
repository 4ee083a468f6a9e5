/* The robot against the golden rollouts: their actions from an unperturbed reset must give their
 * observations and rewards. */
#include "check.h"
#include "deft/env.h"

#include <math.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

enum { N_OBS = 17, N_ACT = 8, ROWS = 500, N_TOLD = 5 };

typedef struct golden {
    double obs[ROWS][N_OBS], act[ROWS][N_ACT], reward[ROWS];
    double told[ROWS][N_TOLD]; // as the channels of these names
} golden;
static const char *const told[N_TOLD] = {"position_x", "yaw", "pitch", "roll", "current"};

/* The release the recordings were made with repeats them to the end; others may round otherwise,
 * and a walking robot amplifies the last bit. Declared as MuJoCo does. */
// NOLINTNEXTLINE(readability-identifier-naming)
const char *mj_versionString(void) __attribute__((weak));

static int rows_wanted(void)
{
    return mj_versionString && strcmp(mj_versionString(), "2.2.2") == 0 ? ROWS : 20;
}

static double channel(const deft_env *e, const char *wanted)
{
    const char *const *name = NULL;
    const double *value = NULL;
    const int32_t n = deft_env_channels(e, &name, &value);
    for (int32_t i = 0; i < n; i++) {
        if (strcmp(name[i], wanted) == 0) return value[i];
    }
    CHECK(false, "no channel %s", wanted);
    return (double)NAN;
}

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
        memcpy(g->told[r], v + N_OBS + N_ACT + 1, sizeof g->told[r]);
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
    const int wanted = rows_wanted();
    int same = 0;
    double worst = 0, worst_reward = 0, sum = 0;
    for (int r = 0; r < ROWS; r++) {
        double off = 0;
        for (int i = 0; i < N_OBS; i++) off = fmax(off, fabs((double)obs[i] - g.obs[r][i]));
        for (int i = 0; i < N_TOLD; i++) {
            const double x = channel(e, told[i]);
            off = fmax(off, fabs(x - g.told[r][i]) / fmax(1, fabs(x)));
        }
        if (off < 1e-5 && same == r) same++;
        worst = fmax(worst, off);
        if (r + 1 == ROWS) break;
        for (int i = 0; i < N_ACT; i++) act[i] = (float)g.act[r][i];
        deft_env_step_result out;
        CHECK_OK(deft_env_step(e, act, obs, &out, &err), err);
        sum += out.reward;
        if (r + 1 < wanted) worst_reward = fmax(worst_reward, fabs(out.reward - g.reward[r + 1]));
        CHECK(!out.terminated && !out.truncated, "%s ended at %d", name, r);
    }
    printf("%s: %d rows equal to 1e-5, worst %g, rewards %g, sum %.3f\n", name, same, worst,
           worst_reward, sum);
    CHECK(same >= wanted, "%s: only %d rows are the golden ones", name, same);
    CHECK(worst_reward < 1e-4, "%s: rewards differ by %g", name, worst_reward);
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

/* The other scene of the paper, and what the environment itself costs. */
static void test_ramp(void)
{
    char path[512];
    deft_error err = {0};
    deft_env *e = NULL;
    const deft_env_config cfg = {.scene =
                                     check_reference(path, sizeof path, "quaid/v2/quaid_ramp.xml")};
    CHECK_OK(deft_env_create("quaid", &cfg, &e, &err), err);
    if (!e) return;
    const double before = deft_env_physics_seconds(e);
    struct timespec a, b;
    (void)clock_gettime(CLOCK_MONOTONIC, &a);
    (void)fingerprint(e, 1);
    (void)clock_gettime(CLOCK_MONOTONIC, &b);
    const double all = (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
    const double over = all / (deft_env_physics_seconds(e) - before) - 1;
    printf("%.3f %% over the physics\n", 100 * over);
    CHECK(over >= 0 && over < 0.03, "%g over the physics", over);
    deft_env_destroy(e);
}

int main(void)
{
    deft_error err = {0};
    deft_env *e = NULL;
    const deft_env_config none = {0};
    CHECK(deft_env_create("quaid", &none, &e, &err) == DEFT_E_ARG, "quaid without a scene");
    CHECK(deft_env_create("walker", &none, &e, &err) == DEFT_E_ARG, "an unknown environment");
    CHECK(strstr(err.text, "pendulum"), "the text lists what there is");
    if (!scene()) {
        return check_failures ? check_report() : (printf("skipped: no reference robot\n"), 77);
    }
    const deft_env_config some = {.scene = scene()};
    if (deft_env_create("quaid", &some, &e, &err) == DEFT_E_UNSUPPORTED) CHECK_SKIP("no MuJoCo");
    deft_env_destroy(e);
    test_golden("TD3");
    test_golden("SAC");
    test_golden("RA-TD3");
    test_golden("RA-SAC");
    test_seeds();
    test_ramp();
    return check_report();
}
