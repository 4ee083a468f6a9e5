/* train_config.c - the defaults of every algorithm, and what its evaluations count. */
#include "deft/train.h"

#include <math.h>
#include <string.h>
#include <strings.h>

deft_status deft_train_defaults(const char *algo, deft_train_config *out, deft_error *err)
{
    char text[64];
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
                         "and ra-sac",
                         deft_escape(text, sizeof text, algo ? algo : "", 32));
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
