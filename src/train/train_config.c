/* train_config.c - the defaults of every algorithm, the range of its settings, and what its
 * evaluations count. */
#include "deft/train.h"

#include <math.h>
#include <string.h>
#include <strings.h>

deft_status deft_train_defaults(const char *algo, deft_train_config *out, deft_error *err)
{
    static const char *const known[] = {"td3", "sac", "r-td3", "r-sac", "ra-td3", "ra-sac", NULL};
    char text[64], hint[DEFT_HINT];
    const char *base = algo ? algo : "";
    bool encoder = false, previous = false;
    if (strncasecmp(base, "ra-", 3) == 0) {
        encoder = previous = true;
        base += 3;
    } else if (strncasecmp(base, "r-", 2) == 0) {
        encoder = true;
        base += 2;
    }
    const bool sac = strcasecmp(base, "sac") == 0;
    if (!sac && strcasecmp(base, "td3") != 0) {
        return deft_fail(err, DEFT_E_ARG,
                         "there is no algorithm '%s'; there are td3, sac, r-td3, r-sac, ra-td3 "
                         "and ra-sac%s",
                         deft_escape(text, sizeof text, algo ? algo : "", 32),
                         deft_nearest_of(algo ? algo : "", known, hint));
    }
    *out = (deft_train_config){
        .algo = sac ? "sac" : "td3",
        .encoder = encoder ? "gru" : "none",
        .previous_action = previous,
        .encoder_layers = 3,
        .encoder_hidden = 64,
        .stack_depth = 4,
        .pretrain_steps = 2000,
        .sequence = 16,
        .burn_in = 8,
        .n_hidden = 2,
        .hidden = {256, 256},
        .activation = "relu",
        .steps = 100000,
        .warmup = 5000,
        .envs = 4,
        .round = 16,
        .updates = 1,
        .batch = 256,
        .gamma = 0.99,
        .tau = 0.005,
        .actor_rate = 3e-4,
        .critic_rate = 3e-4,
        .alpha_rate = 3e-4,
        .n_step = 1,
        .policy_delay = sac ? 1 : 2,
        .exploration_noise = 0.1,
        .target_noise = 0.2,
        .noise_clip = 0.5,
        .alpha = 1,
        .eval_every = 10000,
        .eval_episodes = 5,
        .threads = 2,
    };
    return DEFT_OK;
}

static bool within(double x, double lo, double hi)
{
    return x >= lo && x <= hi; // not so for NAN
}

static bool check_widths(const int32_t *width, int32_t n, int32_t least)
{
    bool good = n >= least && n <= DEFT_TRAIN_HIDDEN;
    for (int32_t i = 0; good && i < n; i++) good = width[i] >= 1 && width[i] <= 4096;
    return good;
}

deft_status deft_train_check(const deft_train_config *c, deft_error *err)
{
    const double least = (double)c->warmup + 2.0 * c->envs * c->round;
    const struct {
        bool good;
        const char *what;
    } rule[] = {
        {c->steps >= 1 && c->steps <= INT64_C(1) << 40, "steps: from 1 to 2^40"},
        {c->warmup >= 1 && c->warmup <= INT64_C(1) << 40, "warmup: from 1 to 2^40"},
        {c->envs >= 1 && c->envs <= 1024, "envs: from 1 to 1024"},
        {c->round >= 1 && c->round <= 100000, "round: from 1 to 100000"},
        {within(c->updates, 0, 1000), "updates: from 0 to 1000"},
        {c->batch >= 1 && c->batch <= 1 << 20, "batch: from 1 to 2^20"},
        {within(c->gamma, 0, 1), "gamma: from 0 to 1"},
        {c->sequence >= 1 && c->sequence <= 1024, "sequence: from 1 to 1024"},
        {c->burn_in >= 0 && c->burn_in <= 1024, "burn_in: from 0 to 1024"},
        {c->pretrain_steps >= 0, "pretrain_steps: from 0"},
        {check_widths(c->hidden, c->n_hidden, 1), "hidden: 1 to 7 widths from 1 to 4096"},
        {check_widths(c->critic_hidden, c->n_critic_hidden, 0),
         "critic_hidden: up to 7 widths from 1 to 4096"},
        {c->tau > 0 && c->tau <= 1, "tau: above 0, to 1"},
        {c->actor_rate > 0 && c->actor_rate <= 1, "actor_rate: above 0, to 1"},
        {c->critic_rate > 0 && c->critic_rate <= 1, "critic_rate: above 0, to 1"},
        {within(c->alpha_rate, 0, 1), "alpha_rate: from 0 to 1"},
        {c->n_step >= 1 && c->n_step <= 1000, "n_step: from 1 to 1000"},
        {c->policy_delay >= 1, "policy_delay: from 1"},
        {within(c->exploration_noise, 0, 1000), "exploration_noise: from 0 to 1000"},
        {within(c->target_noise, 0, 1000), "target_noise: from 0 to 1000"},
        {within(c->noise_clip, 0, 1000), "noise_clip: from 0 to 1000"},
        {within(c->target_entropy, -1e6, 1e6), "target_entropy: from -1e6 to 1e6"},
        {c->alpha > 0 && c->alpha <= 1e6, "alpha: above 0, to 1e6"},
        {c->critic_dropout >= 0 && c->critic_dropout <= 0.99, "critic_dropout: from 0 to 0.99"},
        {c->eval_every >= 0 && c->eval_every <= INT64_C(1) << 40, "eval_every: from 0 to 2^40"},
        {c->eval_episodes >= 1 || c->eval_every == 0, "eval_episodes: from 1"},
        {within(c->best_distance, 0, 1e6), "best_distance: from 0 to 1e6"},
        {c->threads >= 0 && c->threads <= 3, "threads: from 1 to 3"},
        {c->replay == 0 || (double)c->replay >= least,
         "replay: 0, or room for the warm-up and two rounds"},
    };
    for (size_t i = 0; i < sizeof rule / sizeof *rule; i++) {
        if (!rule[i].good) return deft_fail(err, DEFT_E_ARG, "training: %s", rule[i].what);
    }
    return DEFT_OK;
}

bool deft_train_better(const deft_train_config *cfg, double reward, double distance_cm,
                       double than_reward, double than_distance_cm)
{
    // where there is no such thing, it is NAN
    const double need = isnan(distance_cm) ? 0 : cfg->best_distance;
    const bool far = !(need > 0) || distance_cm >= need;
    const bool than_far = !(need > 0) || than_distance_cm >= need;
    if (far != than_far) return far;
    return far ? reward > than_reward : distance_cm > than_distance_cm;
}

deft_status deft_train_eval_env(const deft_train_config *cfg, const deft_env *env, deft_env **out,
                                deft_error *err)
{
    const bool paper = cfg->eval_reward && strcmp(cfg->eval_reward, "paper") == 0;
    *out = NULL;
    if (cfg->eval_reward && !paper && strcmp(cfg->eval_reward, "evaluation") != 0) {
        return deft_fail(err, DEFT_E_ARG, "training: eval_reward is evaluation or paper");
    }
    deft_status s = deft_env_clone(env, out, err);
    if (s != DEFT_OK || !cfg->eval_reward) return s;
    s = deft_env_set_reward(*out, paper ? DEFT_REWARD_PAPER : DEFT_REWARD_EVALUATION, 0, err);
    if (s == DEFT_OK) return s;
    deft_env_destroy(*out);
    *out = NULL;
    return s;
}
