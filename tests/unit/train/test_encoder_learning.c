/* The trainer behind encoders against PyTorch (tools/make_encoder_fixtures.py): it collects a
 * warm-up of given episodes, makes what follows it, then ten gradient steps. */
#include "env/env_private.h"
#include "train/agent_private.h"
#include "train/trainer_private.h"
#include "train_fixture.h"

#include <math.h>
#include <string.h>

enum { OBS = 4, ACT = 2, STEPS = 10, SEED = 6, LEARNER_SEED = 11, EPISODES = 5, MAX_STEPS = 11 };
enum { WARMUP = 40, MAX_VALUES = 4096 };
static const int lengths[EPISODES] = {9, 11, 3, 11, 6}; // the last one is still running
static const bool terminated[EPISODES] = {true, false, true, false, false};
static const float bound_lo[ACT] = {-1, -1}, bound_hi[ACT] = {1, 1};
static const char *const obs_names[OBS] = {"a", "b", "c", "d"}, *const act_names[ACT] = {"u", "v"};

/* An environment that plays episodes back, whatever is done. */
typedef struct recorded {
    deft_env env;
    const float *obs, *reward; // [WARMUP + EPISODES][OBS], [WARMUP], borrowed
    int episode;               // that the next reset begins
    int next_obs, next_step;   // among all of them
    int taken;                 // steps of the episode
} recorded;

static deft_status recorded_clone(const deft_env *e, deft_env **out, deft_error *err)
{
    recorded *r = malloc(sizeof *r);
    if (!r) return deft_fail(err, DEFT_E_SPACE, "no memory");
    memcpy(r, e, sizeof *r);
    *out = &r->env;
    return DEFT_OK;
}

static void recorded_destroy(deft_env *e)
{
    free(e);
}

static deft_status recorded_reset(deft_env *e, const uint64_t *seed, float *obs, deft_error *err)
{
    recorded *r = (recorded *)e;
    (void)seed;
    if (r->episode == EPISODES) return deft_fail(err, DEFT_E_RANGE, "no episode is left");
    r->next_obs = r->next_step = r->taken = 0;
    for (int i = 0; i < r->episode; i++) {
        r->next_obs += lengths[i] + 1;
        r->next_step += lengths[i];
    }
    r->episode++;
    memcpy(obs, r->obs + (size_t)r->next_obs++ * OBS, OBS * sizeof *obs);
    return DEFT_OK;
}

static deft_status recorded_step(deft_env *e, const float *act, float *obs,
                                 deft_env_step_result *out, deft_error *err)
{
    recorded *r = (recorded *)e;
    (void)act;
    (void)err;
    memcpy(obs, r->obs + (size_t)r->next_obs++ * OBS, OBS * sizeof *obs);
    const int k = r->episode - 1;
    out->reward = (double)r->reward[r->next_step++];
    out->terminated = terminated[k] && ++r->taken == lengths[k];
    return DEFT_OK;
}

static const env_class recorded_class = {
    "recorded", NULL, recorded_clone, recorded_destroy, recorded_reset, recorded_step, NULL};

static bool compare(FILE *f, const char *what, const float *got, int n)
{
    float want[MAX_VALUES];
    if (n > MAX_VALUES || !fixture_next(f, what, want, n)) return false;
    double worst = 0;
    int at = 0;
    for (int i = 0; i < n; i++) {
        const double off = fabs((double)got[i] - (double)want[i]);
        if (off <= worst) continue;
        worst = off;
        at = i;
    }
    CHECK(worst < 1e-5, "%s differs by %g, at %d", what, worst, at);
    return true;
}

typedef struct fixture {
    const char *name, *algo, *encoder;
    deft_encoder_mode mode;
    int layers, hidden;
    bool normalize;
} fixture;

static deft_train_config config(const fixture *x)
{
    deft_error err = {0};
    deft_train_config c;
    CHECK_OK(deft_train_defaults(x->algo, &c, &err), err);
    c.encoder = x->encoder;
    c.encoder_mode = x->mode;
    c.encoder_layers = x->layers;
    c.encoder_hidden = x->hidden;
    c.normalize = x->normalize;
    c.pretrain_steps = STEPS;
    c.batch = 22; // trained: four sequences, two rows left over
    c.sequence = 5;
    c.burn_in = 3;
    c.hidden[0] = 8;
    c.hidden[1] = 6;
    c.activation = "elu";
    c.steps = 1000;
    c.warmup = WARMUP;
    c.envs = 1;
    c.round = 8;
    c.actor_rate = c.critic_rate = c.alpha_rate = 3e-3;
    c.gamma = 0.97;
    c.tau = 0.01;
    c.alpha = 0.5;
    c.eval_every = 0;
    c.threads = 1;
    c.seed = SEED;
    return c;
}

static void copy_to_target(deft_learned *l)
{
    if (l->target) memcpy(l->target, l->param, (size_t)l->n * sizeof *l->target);
}

static bool read_networks(FILE *f, deft_trainer *t)
{
    deft_agent *a = t->agent;
    if (!fixture_next(f, "encoder", t->encoder.param, t->encoder.n_param) ||
        !fixture_next(f, "actor", a->actor.param, a->actor.n) ||
        !fixture_next(f, "critic0", a->critic[0].param, a->critic[0].n) ||
        !fixture_next(f, "critic1", a->critic[1].param, a->critic[1].n)) {
        return false;
    }
    copy_to_target(&a->actor);
    for (int k = 0; k < 2; k++) copy_to_target(&a->critic[k]);
    if (t->learner) deft_encoder_learner_reset(t, t->learner);
    return true;
}

typedef struct episodes {
    float obs[(WARMUP + EPISODES) * OBS], act[WARMUP * ACT], reward[WARMUP];
} episodes;

/* Collects the episodes and looks whether the actions are those that PyTorch will reckon with. */
static void warm_up(deft_trainer *t, const episodes *e)
{
    deft_error err = {0};
    deft_train_report r;
    ((recorded *)t->lane[0].env)->episode = 0;
    CHECK_OK(deft_lane_begin(t, &t->lane[0], &err), err); // through the fixture's encoder
    while (t->step < WARMUP) {
        const int32_t s = deft_trainer_round(t, &r, &err);
        CHECK(s == 0, "warm-up: %s", err.text);
        if (s != 0) return;
    }
    CHECK(t->replay.head == WARMUP + EPISODES - 1, "%lld rows", (long long)t->replay.head);
    int seen = 0;
    for (int64_t i = 0; i < t->replay.head; i++) {
        const float *act = deft_replay_row(&t->replay, i) + t->n_feature;
        if (act[ACT + 1] == (float)DEFT_REPLAY_TAIL) continue;
        for (int k = 0; k < ACT; k++) {
            CHECK(fabsf(act[k] - e->act[seen * ACT + k]) < 1e-6f, "action %d is another", seen);
        }
        seen++;
    }
}

/* Ten steps; their losses. */
static bool learn(FILE *f, deft_trainer *t)
{
    for (int i = 0; i < STEPS; i++) {
        t->round_updates = 1;
        deft_trainer_learn(t);
        const deft_train_report *r = &t->report;
        const float got[5] = {r->critic_loss, r->actor_loss, r->q, r->log_prob, r->alpha};
        if (!compare(f, "losses", got, 5)) return false;
    }
    return true;
}

static bool check_end(FILE *f, deft_trainer *t)
{
    const deft_agent *a = t->agent;
    const int n = t->encoder.n_param, n_critic = a->critic[0].n;
    const float *encoder = t->learner ? t->learner->param : t->encoder.param;
    if (!compare(f, "encoder", encoder, n) || !compare(f, "actor", a->actor.param, a->actor.n) ||
        !compare(f, "critic0", a->critic[0].param, n_critic) ||
        !compare(f, "critic1", a->critic[1].param, n_critic)) {
        return false;
    }
    if (t->learner) encoder = t->learner->target;
    float unused[MAX_VALUES]; // SAC's policy has no target
    if (!compare(f, "target_encoder", encoder, n) ||
        !(a->actor.target ? compare(f, "target_actor", a->actor.target, a->actor.n)
                          : fixture_next(f, "target_actor", unused, a->actor.n)) ||
        !compare(f, "target_critic0", a->critic[0].target, n_critic) ||
        !compare(f, "target_critic1", a->critic[1].target, n_critic)) {
        return false;
    }
    const float log_alpha = (float)a->log_alpha;
    return compare(f, "log_alpha", &log_alpha, 1);
}

static bool run(FILE *f, deft_trainer *t, episodes *e)
{
    deft_error err = {0};
    if (!read_networks(f, t) || !fixture_next(f, "obs", e->obs, (WARMUP + EPISODES) * OBS) ||
        !fixture_next(f, "act", e->act, WARMUP * ACT) ||
        !fixture_next(f, "reward", e->reward, WARMUP)) {
        return false;
    }
    warm_up(t, e);
    deft_rng_seed(&t->rng, LEARNER_SEED);
    CHECK_OK(deft_trainer_prepare(t, &err), err);
    if (t->cfg.encoder_mode == DEFT_ENCODER_PRETRAINED) {
        const float loss[2] = {t->report.pretrain_before, t->report.pretrain_after};
        if (!compare(f, "pretrained", loss, 2)) return false;
    }
    return learn(f, t) && check_end(f, t);
}

static void test_fixture(const fixture *x)
{
    printf("%s\n", x->name);
    char path[512], file[64];
    (void)snprintf(file, sizeof file, "tests/golden/train/encoder_%s.txt", x->name);
    FILE *f = fopen(check_source(path, sizeof path, file), "r");
    CHECK(f, "%s is missing", path);
    if (!f) return;
    episodes e = {.obs = {0}};
    const recorded env = {.env = {.class = &recorded_class,
                                  .spec = {.name = "recorded",
                                           .n_obs = OBS,
                                           .n_act = ACT,
                                           .act_lo = bound_lo,
                                           .act_hi = bound_hi,
                                           .obs_name = obs_names,
                                           .act_name = act_names,
                                           .max_steps = MAX_STEPS,
                                           .period_s = 0.1},
                                  .step = -1},
                          .obs = e.obs,
                          .reward = e.reward};
    const deft_train_config c = config(x);
    deft_error err = {0};
    deft_trainer *t = NULL;
    CHECK_OK(deft_trainer_create(&c, &env.env, &t, &err), err);
    if (t) CHECK(run(f, t, &e), "%s could not be read", path);
    deft_trainer_destroy(t);
    (void)fclose(f);
}

int main(void)
{
    const fixture all[] = {
        {"gru_td3", "ra-td3", "gru", DEFT_ENCODER_TRAINED, 3, 8, false},
        {"gru_sac", "ra-sac", "gru", DEFT_ENCODER_TRAINED, 2, 9, true},
        {"lstm_td3", "ra-td3", "lstm", DEFT_ENCODER_TRAINED, 2, 8, false},
        {"mlp_td3", "r-td3", "mlp", DEFT_ENCODER_TRAINED, 2, 8, false},
        {"pretrained_td3", "ra-td3", "gru", DEFT_ENCODER_PRETRAINED, 2, 8, true},
        {"frozen_td3", "ra-td3", "gru", DEFT_ENCODER_FROZEN, 2, 8, false},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) test_fixture(&all[i]);
    return check_report();
}
