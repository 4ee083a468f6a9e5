/* Ten steps of TD3 and SAC against PyTorch's (tools/make_train_fixtures.py), and resuming. */
#include "train/agent_private.h"
#include "train_fixture.h"

#include <math.h>
#include <string.h>

enum { OBS = 5, ACT = 2, ROWS = 6, STEPS = 10, MAX_VALUES = 512 };

typedef struct batch_memory {
    float obs[ROWS * OBS], act[ROWS * ACT], reward[ROWS], next_obs[ROWS * OBS], discount[ROWS];
    float noise[ROWS * ACT], noise2[ROWS * ACT];
} batch_memory;

static bool read_batch(FILE *f, batch_memory *m)
{
    return fixture_next(f, "obs", m->obs, ROWS * OBS) &&
           fixture_next(f, "act", m->act, ROWS * ACT) &&
           fixture_next(f, "reward", m->reward, ROWS) &&
           fixture_next(f, "next_obs", m->next_obs, ROWS * OBS) &&
           fixture_next(f, "discount", m->discount, ROWS) &&
           fixture_next(f, "noise", m->noise, ROWS * ACT) &&
           fixture_next(f, "noise2", m->noise2, ROWS * ACT);
}

static deft_batch as_batch(const batch_memory *m)
{
    return (deft_batch){.obs = m->obs,
                        .act = m->act,
                        .reward = m->reward,
                        .next_obs = m->next_obs,
                        .discount = m->discount,
                        .noise = m->noise,
                        .noise2 = m->noise2};
}

static void compare(const char *what, const float *got, const float *want, int n)
{
    double worst = 0;
    for (int i = 0; i < n; i++) worst = fmax(worst, fabs((double)got[i] - (double)want[i]));
    CHECK(worst < 1e-5, "%s differs by %g", what, worst);
}

static deft_agent_config config(deft_algo algo, bool norm, deft_unit unit, bool two_threads)
{
    return (deft_agent_config){.algo = algo,
                               .n_obs = OBS,
                               .n_act = ACT,
                               .rows = ROWS,
                               .n_hidden = 2,
                               .hidden = {9, 7},
                               .unit = unit,
                               .critic_norm = norm,
                               .actor_rate = 3e-3f,
                               .critic_rate = 3e-3f,
                               .alpha_rate = 3e-3f,
                               .tau = 0.01f,
                               .policy_delay = algo == DEFT_ALGO_TD3 ? 2 : 1,
                               .target_noise = 0.2f,
                               .noise_clip = 0.5f,
                               .two_threads = two_threads};
}

static void check_end(FILE *f, deft_agent *a)
{
    float v[MAX_VALUES];
    if (!fixture_next(f, "actor", v, a->actor.n)) return;
    compare("actor", a->actor.param, v, a->actor.n);
    const char *const name[4] = {"critic0", "critic1", "target0", "target1"};
    for (int i = 0; i < 4; i++) {
        const deft_learned *l = &a->critic[i & 1];
        if (!fixture_next(f, name[i], v, l->n)) return;
        compare(name[i], i < 2 ? l->param : l->target, v, l->n);
    }
    if (!fixture_next(f, "log_alpha", v, 1)) return;
    if (a->cfg.algo == DEFT_ALGO_SAC) {
        CHECK(fabs(a->log_alpha - (double)v[0]) < 1e-5, "log alpha %g", a->log_alpha);
    }
}

static void test_fixture(const deft_train_ops *ops, const char *name, const deft_agent_config *c)
{
    char path[512], file[64];
    (void)snprintf(file, sizeof file, "tests/golden/train/%s.txt", name);
    FILE *f = fopen(check_source(path, sizeof path, file), "r");
    CHECK(f, "%s is missing", path);
    if (!f) return;
    deft_error err = {0};
    deft_agent *a = NULL;
    CHECK_OK(deft_agent_create(c, ops, &a, &err), err);
    deft_rng rng;
    deft_rng_seed(&rng, 1);
    deft_agent_init(a, &rng);
    float log_alpha = 0;
    bool ok = fixture_next(f, "log_alpha", &log_alpha, 1) &&
              fixture_next(f, "actor", a->actor.param, a->actor.n) &&
              fixture_next(f, "critic0", a->critic[0].param, a->critic[0].n) &&
              fixture_next(f, "critic1", a->critic[1].param, a->critic[1].n);
    a->log_alpha = (double)log_alpha;
    if (a->actor.target)
        memcpy(a->actor.target, a->actor.param, (size_t)a->actor.n * sizeof(float));
    for (int k = 0; k < 2; k++) {
        memcpy(a->critic[k].target, a->critic[k].param, (size_t)a->critic[k].n * sizeof(float));
    }
    for (int s = 0; ok && s < STEPS; s++) {
        batch_memory m;
        ok = read_batch(f, &m);
        const deft_batch b = as_batch(&m);
        deft_agent_losses losses;
        if (ok) deft_agent_step(a, &b, &losses);
    }
    CHECK(ok, "%s could not be read", path);
    if (ok) check_end(f, a);
    deft_agent_destroy(a);
    (void)fclose(f);
}

static void random_batch(deft_rng *rng, batch_memory *m)
{
    float *v = (float *)m;
    for (size_t i = 0; i < sizeof *m / sizeof *v; i++) v[i] = (float)deft_rng_normal(rng);
}

/* Saved after 5 steps and loaded into a new agent, the next 5 give the same bits; with two threads
 * as with one. */
static void test_resume(const deft_train_ops *ops, deft_algo algo)
{
    deft_error err = {0};
    deft_agent *a = NULL, *b = NULL;
    const deft_agent_config ca = config(algo, true, DEFT_UNIT_RELU, false);
    const deft_agent_config cb = config(algo, true, DEFT_UNIT_RELU, true);
    CHECK_OK(deft_agent_create(&ca, ops, &a, &err), err);
    CHECK_OK(deft_agent_create(&cb, ops, &b, &err), err);
    deft_rng rng;
    deft_rng_seed(&rng, 3);
    deft_agent_init(a, &rng);
    const size_t size = deft_agent_state_size(a);
    char *state = malloc(size), *other = malloc(size);
    for (int s = 0; s < 10; s++) {
        batch_memory m;
        random_batch(&rng, &m);
        const deft_batch batch = as_batch(&m);
        deft_agent_losses la, lb;
        if (s == 5) {
            deft_agent_state_save(a, state);
            deft_agent_state_load(b, state);
        }
        deft_agent_step(a, &batch, &la);
        if (s < 5) continue;
        deft_agent_step(b, &batch, &lb);
        CHECK(memcmp(&la.critic, &lb.critic, sizeof la.critic) == 0, "losses differ");
    }
    deft_agent_state_save(a, state);
    deft_agent_state_save(b, other);
    CHECK(memcmp(state, other, size) == 0, "the resumed agent differs");
    free(state);
    free(other);
    deft_agent_destroy(a);
    deft_agent_destroy(b);
}

int main(void)
{
    deft_error err = {0};
    deft_blas *blas = NULL;
    CHECK_OK(deft_blas_create(NULL, &blas, &err), err);
    const deft_train_ops ops = {blas, deft_vec_best()};
    const deft_agent_config td3 = config(DEFT_ALGO_TD3, false, DEFT_UNIT_RELU, false);
    const deft_agent_config sac = config(DEFT_ALGO_SAC, false, DEFT_UNIT_RELU, false);
    const deft_agent_config td3_norm = config(DEFT_ALGO_TD3, true, DEFT_UNIT_TANH, true);
    const deft_agent_config sac_norm = config(DEFT_ALGO_SAC, true, DEFT_UNIT_ELU, true);
    test_fixture(&ops, "td3", &td3);
    test_fixture(&ops, "sac", &sac);
    test_fixture(&ops, "td3_norm", &td3_norm);
    test_fixture(&ops, "sac_elu_norm", &sac_norm);
    test_resume(&ops, DEFT_ALGO_TD3);
    test_resume(&ops, DEFT_ALGO_SAC);
    deft_blas_destroy(blas);
    return check_report();
}
