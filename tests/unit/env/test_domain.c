/* What varies for sim-to-real: seeded, off by default, each part by itself beside the nominal run.
 */
#include "check.h"
#include "deft/env.h"

#include <math.h>

enum { N_OBS = 17, N_ACT = 8, STEPS = 60 };

typedef struct episode {
    float obs[STEPS + 1][N_OBS];
    double reward;
} episode;

static deft_env *open_flat(const deft_domain *domain)
{
    char path[512];
    deft_env_config cfg = {.scene = check_source(path, sizeof path, "models/quaid/flat.xml")};
    if (domain) cfg.domain = *domain;
    deft_error err = {0};
    deft_env *e = NULL;
    CHECK_OK(deft_env_create("quaid", &cfg, &e, &err), err);
    return e;
}

static void play(deft_env *e, const uint64_t *seed, episode *ep)
{
    deft_error err = {0};
    ep->reward = 0;
    CHECK_OK(deft_env_reset(e, seed, ep->obs[0], &err), err);
    for (int t = 0; t < STEPS; t++) {
        float act[N_ACT];
        for (int i = 0; i < N_ACT; i++) act[i] = (float)(0.5 * sin(0.7 * t + i));
        deft_env_step_result out;
        CHECK_OK(deft_env_step(e, act, ep->obs[t + 1], &out, &err), err);
        ep->reward += out.reward;
    }
}

static double difference(const float *a, const float *b)
{
    double worst = 0;
    for (int i = 0; i < N_OBS; i++) worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
    return worst;
}

static bool equal(const episode *a, const episode *b)
{
    double worst = 0;
    for (int t = 0; t <= STEPS; t++) worst = fmax(worst, difference(a->obs[t], b->obs[t]));
    return worst == 0 && a->reward == b->reward;
}

/* Everything at once: the same seed gives the same episode, in a clone too; an unperturbed start is
 * nominal, before and after. */
static void test_seeded(void)
{
    static episode a, b, c, plain;
    const deft_domain typical = deft_domain_typical();
    deft_env *nominal = open_flat(NULL), *e = open_flat(&typical), *copy = NULL;
    deft_error err = {0};
    play(nominal, NULL, &plain);
    for (uint64_t seed = 1; seed < 4; seed++) {
        play(e, &seed, &a);
        play(e, NULL, &c);
        CHECK(equal(&c, &plain), "an unperturbed start varies");
        CHECK_OK(deft_env_clone(e, &copy, &err), err);
        play(copy, &seed, &b);
        deft_env_destroy(copy);
        CHECK(equal(&a, &b), "seed %d gives two episodes", (int)seed);
        play(nominal, &seed, &c);
        CHECK(a.reward != c.reward && isfinite(a.reward), "nothing varies");
        bool finite = true;
        for (int t = 0; t <= STEPS; t++) {
            for (int i = 0; i < N_OBS; i++) finite = finite && isfinite(a.obs[t][i]);
        }
        CHECK(finite, "seed %d: not finite", (int)seed);
    }
    deft_env_destroy(nominal);
    deft_env_destroy(e);
}

static void test_delay(void)
{
    static episode a, plain;
    const deft_domain late = {.delay_max = 3};
    deft_env *nominal = open_flat(NULL), *e = open_flat(&late);
    int times[4] = {0};
    for (uint64_t seed = 0; seed < 24; seed++) {
        play(nominal, &seed, &plain);
        play(e, &seed, &a);
        CHECK(a.reward == plain.reward, "delay changes the reward");
        for (int k = 0; k < 4; k++) {
            double worst = 0;
            for (int t = 0; t <= STEPS; t++) {
                worst = fmax(worst, difference(a.obs[t], plain.obs[t > k ? t - k : 0]));
            }
            times[k] += worst < 1e-6;
        }
    }
    CHECK(times[0] + times[1] + times[2] + times[3] == 24, "not each episode is a shifted one");
    CHECK(times[0] > 0 && times[1] > 0 && times[2] > 0 && times[3] > 0, "%d %d %d %d", times[0],
          times[1], times[2], times[3]);
    deft_env_destroy(nominal);
    deft_env_destroy(e);
}

static void test_loss(void)
{
    static episode a, plain;
    const deft_domain lossy = {.loss = 0.5};
    deft_env *nominal = open_flat(NULL), *e = open_flat(&lossy);
    int lost = 0, arrived = 0;
    for (uint64_t seed = 0; seed < 4; seed++) {
        play(nominal, &seed, &plain);
        play(e, &seed, &a);
        CHECK(difference(a.obs[0], plain.obs[0]) < 1e-6, "the first is lost");
        for (int t = 1; t <= STEPS; t++) {
            arrived += difference(a.obs[t], plain.obs[t]) < 1e-6;
            lost += difference(a.obs[t], a.obs[t - 1]) == 0;
        }
    }
    CHECK(lost + arrived == 4 * STEPS, "%d lost, %d arrived", lost, arrived);
    CHECK(abs(lost - 2 * STEPS) < 30, "%d of %d lost", lost, 4 * STEPS);
    deft_env_destroy(nominal);
    deft_env_destroy(e);
}

/* Standard deviations, by observation. */
static void test_noise(void)
{
    static episode a, plain;
    const deft_domain noisy = {.current_noise_a = 0.02, .angle_noise_rad = 0.05, .acc_noise = 1};
    const double half_pi = 1.57079632679489661923;
    double sum[N_OBS] = {0};
    deft_env *nominal = open_flat(NULL), *e = open_flat(&noisy);
    for (uint64_t seed = 0; seed < 8; seed++) {
        play(nominal, &seed, &plain);
        play(e, &seed, &a);
        for (int t = 0; t <= STEPS; t++) {
            for (int i = 0; i < N_OBS; i++) {
                const double d = (double)a.obs[t][i] - (double)plain.obs[t][i];
                sum[i] += d * d;
            }
        }
    }
    const double expected[9] = {0.02 / 4, 0.02 / 4,       0.02 / 4,       0.04 / 8, 0.05 / half_pi,
                                1.0 / 20, 0.05 / half_pi, 0.05 / half_pi, 0.02 / 4};
    for (int i = 0; i < N_OBS; i++) {
        const double sd = sqrt(sum[i] / (8 * (STEPS + 1)));
        if (i < 9) CHECK(fabs(sd / expected[i] - 1) < 0.15, "observation %d: sd %g", i, sd);
        if (i >= 9) CHECK(sd == 0, "servo %d is noisy", i - 9);
    }
    deft_env_destroy(nominal);
    deft_env_destroy(e);
}

/* Spread of the current that standing takes, relative to its mean, over seeds. */
static double spread(const deft_domain *domain)
{
    deft_env *e = open_flat(domain);
    deft_error err = {0};
    double sum = 0, squares = 0;
    for (uint64_t seed = 0; seed < 12; seed++) {
        float obs[N_OBS];
        const float still[N_ACT] = {0};
        deft_env_step_result out;
        CHECK_OK(deft_env_reset(e, &seed, obs, &err), err);
        for (int t = 0; t < 10; t++) CHECK_OK(deft_env_step(e, still, obs, &out, &err), err);
        sum += out.metrics.current_a;
        squares += out.metrics.current_a * out.metrics.current_a;
    }
    deft_env_destroy(e);
    return sqrt(fmax(squares / 12 - sum * sum / 144, 0)) / (sum / 12);
}

static void test_model(void)
{
    static episode a, plain;
    const double nominal = spread(NULL);
    CHECK(nominal < 0.02, "nominal spread %g", nominal);
    const double by_mass = spread(&(deft_domain){.mass = 0.4});
    CHECK(by_mass > 0.15, "spread by mass %g", by_mass);
    const deft_domain one[] = {{.friction = 0.9},
                               {.servo_gain = 0.3},
                               {.servo_offset_rad = 0.1},
                               {.push_cm_s = 20, .push_chance = 0.2}};
    deft_env *e = open_flat(NULL);
    const uint64_t seed = 5;
    play(e, &seed, &plain);
    deft_env_destroy(e);
    for (size_t i = 0; i < sizeof one / sizeof *one; i++) {
        e = open_flat(&one[i]);
        play(e, &seed, &a);
        CHECK(difference(a.obs[STEPS], plain.obs[STEPS]) > 1e-4, "part %d varies nothing", (int)i);
        deft_env_destroy(e);
    }
}

static void test_ranges(void)
{
    const deft_domain bad[] = {{.mass = 1},
                               {.loss = -0.1},
                               {.delay_max = 4},
                               {.push_chance = 2},
                               {.friction = (double)NAN},
                               {.acc_noise = -1}};
    deft_error err = {0};
    deft_env *e = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const deft_env_config cfg = {.scene = "any", .domain = bad[i]};
        CHECK(deft_env_create("quaid", &cfg, &e, &err) == DEFT_E_ARG && !e, "case %d is taken",
              (int)i);
        err = (deft_error){0};
    }
    const deft_env_config cfg = {.domain = deft_domain_typical()};
    CHECK(deft_env_create("pendulum", &cfg, &e, &err) == DEFT_E_ARG, "a pendulum that varies");
}

static void test_parse(void)
{
    deft_domain d = {0};
    deft_error err = {0};
    CHECK_OK(deft_domain_parse("friction=0.3,delay_max=2", &d, &err), err);
    CHECK(d.friction == 0.3 && d.delay_max == 2 && d.mass == 0, "%g %d", d.friction,
          (int)d.delay_max);
    CHECK_OK(deft_domain_parse("typical,mass=0", &d, &err), err);
    CHECK(d.mass == 0 && d.friction == deft_domain_typical().friction, "%g", d.mass);
    const char *const bad[] = {"",         "friction",      "friction=",   "friction=x", "mass=2",
                               "mass=nan", "delay_max=1.5", "delay_max=9", "typical,",   ",",
                               "wind=1",   "loss=-1",       "typically",   "=1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        d.loss = 0.25;
        err = (deft_error){0};
        CHECK(deft_domain_parse(bad[i], &d, &err) == DEFT_E_ARG && d.loss == 0.25, "'%s' is taken",
              bad[i]);
    }
}

int main(void)
{
    deft_env *e = NULL;
    deft_error err = {0};
    if (deft_env_create("quaid", &(deft_env_config){.scene = "none"}, &e, &err) ==
        DEFT_E_UNSUPPORTED)
        CHECK_SKIP("built without MuJoCo");
    test_seeded();
    test_delay();
    test_loss();
    test_noise();
    test_model();
    test_ranges();
    test_parse();
    return check_report();
}
