/* The whole loop on the pendulum: the same bytes with any number of threads and after a resume; it
 * learns; what it exports is what it acts by. */
#include "check.h"
#include "deft/train.h"

#include <math.h>
#include <string.h>

static deft_env *pendulum(void)
{
    deft_error err = {0};
    deft_env *e = NULL;
    const deft_env_config c = {.max_steps = 50};
    CHECK_OK(deft_env_create("pendulum", &c, &e, &err), err);
    return e;
}

static deft_train_config config(const char *algo)
{
    deft_error err = {0};
    deft_train_config c;
    CHECK_OK(deft_train_defaults(algo, &c, &err), err);
    c.hidden[0] = c.hidden[1] = 16;
    c.batch = 16;
    c.steps = 600;
    c.warmup = 120;
    c.envs = 3;
    c.round = 10;
    c.eval_every = 200;
    c.eval_episodes = 2;
    c.encoder_layers = 2;
    c.encoder_hidden = 5;
    c.seed = 4;
    return c;
}

static deft_train_config learning(const char *algo, const char *encoder, deft_encoder_mode mode)
{
    deft_train_config c = config(algo);
    c.encoder = encoder;
    c.encoder_mode = mode;
    c.sequence = 5; // three sequences, a row of the batch left over
    c.burn_in = 2;
    c.pretrain_steps = 20;
    return c;
}

/* Runs n rounds (all: n < 0); the state afterwards, for the caller to free. */
static char *state_after(deft_trainer *t, int n, size_t *size)
{
    deft_error err = {0};
    deft_train_report r;
    int32_t s = 0;
    for (int i = 0; s == 0 && i != n; i++) {
        s = deft_trainer_round(t, &r, &err);
        CHECK(s >= 0, "%s", err.text);
    }
    *size = deft_trainer_state_size(t);
    char *state = malloc(*size);
    deft_trainer_state_save(t, state);
    return state;
}

static deft_trainer *trainer(const deft_train_config *c, const deft_env *env)
{
    deft_error err = {0};
    deft_trainer *t = NULL;
    CHECK_OK(deft_trainer_create(c, env, &t, &err), err);
    return t;
}

static void test_same_config(deft_train_config c)
{
    const char *algo = c.algo;
    deft_env *env = pendulum();
    size_t size, n;
    c.threads = 1;
    deft_trainer *one = trainer(&c, env);
    char *want = state_after(one, -1, &size);
    c.threads = 3;
    deft_trainer *three = trainer(&c, env);
    char *middle = state_after(three, c.replay ? 15 : 9, &n);
    const int64_t rows = deft_trainer_rows(three);
    const int64_t kept = c.replay && rows > c.replay ? c.replay : rows;
    CHECK(!c.replay || rows > c.replay, "the ring is not full: tests nothing");
    char *row = malloc((size_t)kept * deft_trainer_row_size(three));
    deft_trainer_rows_save(three, rows - kept, kept, row);
    char *got = state_after(three, -1, &n);
    CHECK(n == size && memcmp(want, got, size) == 0, "%s: threads change the result", algo);
    free(got);

    deft_trainer *resumed = trainer(&c, env);
    deft_error err = {0};
    CHECK_OK(deft_trainer_state_load(resumed, middle, n, row, kept, &err), err);
    got = state_after(resumed, -1, &n);
    CHECK(n == size && memcmp(want, got, size) == 0, "%s %s: a resumed run differs", algo,
          c.encoder);
    CHECK(deft_trainer_state_load(resumed, middle, n - 1, row, kept, &err) == DEFT_E_FORMAT,
          "a cut state was taken");
    CHECK(deft_trainer_state_load(resumed, middle, n, row, kept - 1, &err) == DEFT_E_FORMAT,
          "missing rows were taken");
    free(want);
    free(middle);
    free(row);
    free(got);
    deft_trainer_destroy(one);
    deft_trainer_destroy(three);
    deft_trainer_destroy(resumed);
    deft_env_destroy(env);
}

static void test_same(const char *algo, bool normalize, const char *encoder, int64_t replay)
{
    deft_train_config c = config(algo);
    c.normalize = normalize;
    c.replay = replay;
    if (encoder) c.encoder = encoder;
    test_same_config(c);
}

/* The exported model, in the environment, earns what the trainer's evaluation says. */
static void test_export_config(deft_train_config c)
{
    const char *algo = c.algo;
    c.eval_every = 1; // at the end of every round after the warm-up
    c.eval_episodes = 1;
    deft_env *env = pendulum();
    deft_trainer *t = trainer(&c, env);
    deft_error err = {0};
    deft_train_report r;
    deft_arena *a = deft_arena_create(0);
    deft_model *m = NULL;
    for (int i = 0; i < 12; i++) {
        CHECK_OK(deft_trainer_round(t, &r, &err), err);
        if (i == 11) CHECK_OK(deft_trainer_model(t, false, a, &m, &err), err);
    }
    CHECK(r.evaluated, "no evaluation");
    deft_model_eval *eval = NULL;
    CHECK_OK(deft_model_eval_create(m, &eval, &err), err);
    deft_rng rng;
    deft_rng_seed_stream(&rng, c.seed ^ 0x6576616cu, 0);
    const uint64_t seed = deft_rng_u64(&rng);
    float obs[3], act[1];
    CHECK_OK(deft_env_reset(env, &seed, obs, &err), err);
    deft_env_step_result out = {0};
    double sum = 0;
    while (eval && !out.truncated) {
        CHECK_OK(deft_model_eval_step(eval, obs, NULL, act), err);
        CHECK_OK(deft_env_step(env, act, obs, &out, &err), err);
        sum += out.reward;
    }
    CHECK(fabs(sum - r.eval_reward) < 1e-2 * (1 + fabs(sum)),
          "%s %s: policy earns %g, evaluation %g", algo, c.encoder, sum, r.eval_reward);
    deft_model_eval_destroy(eval);
    deft_arena_destroy(a);
    deft_trainer_destroy(t);
    deft_env_destroy(env);
}

static void test_export(const char *algo, const char *encoder, bool normalize)
{
    deft_train_config c = config(algo);
    c.normalize = normalize;
    if (encoder) c.encoder = encoder;
    test_export_config(c);
}

/* Pretraining makes predictions better; frozen weights stay, trained ones move in every layer. */
static void test_encoder_modes(void)
{
    deft_error err = {0};
    deft_env *env = pendulum();
    for (int mode = DEFT_ENCODER_FROZEN; mode <= DEFT_ENCODER_TRAINED; mode++) {
        deft_train_config c = learning("ra-td3", "gru", (deft_encoder_mode)mode);
        c.pretrain_steps = 1000;
        deft_trainer *t = trainer(&c, env);
        deft_arena *a = deft_arena_create(0);
        deft_model *m[3] = {NULL};
        deft_train_report r;
        double before = 0, after = 0;
        int told = 0, at = 0;
        for (int32_t s = 0; s == 0; at++) {
            if (at == 0 || at == 8) {
                CHECK_OK(deft_trainer_model(t, false, a, &m[at / 8], &err), err);
            }
            s = deft_trainer_round(t, &r, &err);
            CHECK(s >= 0, "%s", err.text);
            if (!r.pretrained) continue;
            told++;
            before = (double)r.pretrain_before;
            after = (double)r.pretrain_after;
        }
        CHECK_OK(deft_trainer_model(t, false, a, &m[2], &err), err);
        CHECK(told == (mode == DEFT_ENCODER_PRETRAINED), "told of pretraining %d times", told);
        if (told) CHECK(after < 0.5 * before, "pretrained from %g to %g", before, after);
        for (int l = 0; l < 2; l++) {
            const deft_layer *x = &m[0]->layer[l], *y = &m[1]->layer[l], *z = &m[2]->layer[l];
            const size_t n = (size_t)(3 * x->n_out) * sizeof(float);
            const bool early = memcmp(x->weight, y->weight, n * (size_t)x->n_in) != 0 &&
                               memcmp(x->weight_h, y->weight_h, n * (size_t)x->n_out) != 0;
            const bool late = memcmp(y->weight, z->weight, n * (size_t)x->n_in) != 0 &&
                              memcmp(y->weight_h, z->weight_h, n * (size_t)x->n_out) != 0;
            CHECK(early == (mode != DEFT_ENCODER_FROZEN) && late == (mode == DEFT_ENCODER_TRAINED),
                  "mode %d: layer %d of the encoder moves when it should not, or does not", mode,
                  l);
        }
        deft_arena_destroy(a);
        deft_trainer_destroy(t);
    }
    deft_train_config bad = learning("ra-td3", "stack", DEFT_ENCODER_TRAINED);
    deft_trainer *none = NULL;
    CHECK(deft_trainer_create(&bad, env, &none, &err) == DEFT_E_ARG, "a stack cannot learn");
    bad = learning("ra-td3", "gru", DEFT_ENCODER_TRAINED);
    bad.sequence = 17;
    CHECK(deft_trainer_create(&bad, env, &none, &err) == DEFT_E_ARG,
          "a sequence longer than a batch");
    bad = learning("ra-td3", "gru", DEFT_ENCODER_TRAINED);
    bad.n_step = 3;
    CHECK(deft_trainer_create(&bad, env, &none, &err) == DEFT_E_ARG,
          "n-step with a trained encoder");
    deft_env_destroy(env);
}

/* Which of two evaluated policies is the better one. */
static void test_better(void)
{
    const double none = (double)NAN;
    const struct {
        double need, reward, distance, than_reward, than_distance;
        bool better;
    } row[] = {
        {0, 2, 1, 1, 9, true},       {0, 1, 9, 2, 1, false},       {0, 1, 1, 1, 1, false},
        {5, 1, 6, 2, 4, true},       {5, 2, 4, 1, 5, false}, // far enough first
        {5, 2, 5, 1, 6, true},       {5, 1, 6, 2, 5, false}, // then by reward
        {5, 1, 4, 2, 3, true},       {5, 2, 3, 1, 4, false}, // neither: by distance
        {5, 2, none, 1, none, true}, {5, 1, none, 2, none, false},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        const deft_train_config c = {.best_distance = row[i].need};
        CHECK(deft_train_better(&c, row[i].reward, row[i].distance, row[i].than_reward,
                                row[i].than_distance) == row[i].better,
              "row %zu", i);
    }
    deft_error err = {0};
    deft_env *env = pendulum();
    deft_trainer *none_made = NULL;
    deft_train_config bad = config("td3");
    bad.eval_reward = "other";
    CHECK(deft_trainer_create(&bad, env, &none_made, &err) == DEFT_E_ARG, "a reward named other");
    bad = config("td3");
    bad.best_distance = -1;
    CHECK(deft_trainer_create(&bad, env, &none_made, &err) == DEFT_E_ARG, "a distance of -1");
    deft_env_destroy(env);
}

/* Mean return over the last 2,000 of 8,000 steps. */
static double learn(const char *algo, const char *name, deft_encoder_mode mode)
{
    deft_error err = {0};
    deft_train_config c;
    CHECK_OK(deft_train_defaults(algo, &c, &err), err);
    c.encoder_mode = mode;
    c.encoder_layers = 1;
    c.encoder_hidden = 32;
    c.sequence = c.burn_in = 8;
    c.hidden[0] = c.hidden[1] = 64;
    c.batch = 100;
    c.steps = 8000;
    c.warmup = 1000;
    c.envs = 1;
    c.actor_rate = c.critic_rate = c.alpha_rate = 1e-3;
    c.eval_every = 0;
    c.threads = 1;
    deft_env *env = NULL;
    const deft_env_config ec = {0};
    CHECK_OK(deft_env_create(name, &ec, &env, &err), err);
    deft_trainer *t = trainer(&c, env);
    double sum = 0;
    int n = 0;
    deft_train_report r;
    for (int32_t s = 0; s == 0;) {
        s = deft_trainer_round(t, &r, &err);
        for (int i = 0; i < r.n_episode; i++) {
            if (r.episode[i].step <= c.steps - 2000) continue;
            sum += r.episode[i].reward;
            n++;
        }
    }
    printf("%s, %s: %.1f over the last %d episodes\n", name, algo, sum / n, n);
    CHECK(n > 5, "%d episodes", n);
    deft_trainer_destroy(t);
    deft_env_destroy(env);
    return sum / n;
}

/* The pendulum is swung up: a return that no untrained policy reaches. With its speed hidden, only
 * by memory, and only by a trained one this fast. */
static void test_learns(void)
{
    CHECK(learn("td3", "pendulum", DEFT_ENCODER_FROZEN) > -300, "TD3 did not learn");
    CHECK(learn("sac", "pendulum", DEFT_ENCODER_FROZEN) > -300, "SAC did not learn");
    CHECK(learn("td3", "pendulum-angle", DEFT_ENCODER_FROZEN) < -900, "the speed is not hidden");
    CHECK(learn("r-td3", "pendulum-angle", DEFT_ENCODER_TRAINED) > -600,
          "the encoder did not learn");
}

int main(void)
{
    test_same("td3", false, NULL, 0);
    test_same("sac", true, NULL, 0);
    test_same("ra-td3", true, NULL, 0);
    test_same("r-sac", false, "lstm", 0);
    test_same("ra-td3", true, "stack", 300);
    test_export("td3", NULL, true);
    test_export("ra-sac", NULL, true);
    test_export("ra-td3", "lstm", false);
    test_export("r-td3", "stack", true);
    deft_train_config c = learning("ra-td3", "gru", DEFT_ENCODER_TRAINED);
    c.normalize = true;
    test_same_config(c);
    test_export_config(c);
    c.replay = 300;
    test_same_config(c);
    c = learning("r-sac", "lstm", DEFT_ENCODER_TRAINED);
    c.critic_dropout = 0.1;
    c.critic_norm = true;
    test_same_config(c);
    test_export_config(c);
    c = learning("ra-sac", "mlp", DEFT_ENCODER_TRAINED);
    c.best_distance = 100;
    test_same_config(c);
    c = learning("ra-td3", "gru", DEFT_ENCODER_PRETRAINED);
    test_same_config(c);
    c.normalize = true;
    test_same_config(c);
    test_export_config(c);
    c = learning("r-td3", "mlp", DEFT_ENCODER_PRETRAINED);
    c.activation = "elu";
    test_same_config(c);
    test_export_config(c);
    test_same("r-td3", false, "mlp", 0);
    test_export("r-td3", "mlp", true);
    test_encoder_modes();
    test_better();
    test_learns();
    return check_report();
}
