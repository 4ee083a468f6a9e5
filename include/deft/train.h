/* train.h - trains policies: TD3 and SAC, plain or behind an encoder, in an environment. */
#ifndef DEFT_TRAIN_H
#define DEFT_TRAIN_H

#include "deft/base.h"
#include "deft/env.h"
#include "deft/model.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { DEFT_TRAIN_HIDDEN = 7 };

/* How an encoder comes to its weights. */
typedef enum deft_encoder_mode {
    DEFT_ENCODER_FROZEN = 0, // random, never trained (the paper's)
    DEFT_ENCODER_PRETRAINED, // learns to predict the next observation, then frozen
    DEFT_ENCODER_TRAINED,    // end to end, through time
} deft_encoder_mode;

/* Every hyper-parameter. deft_train_defaults fills all of them; nothing is left to zero. */
typedef struct deft_train_config {
    const char *algo;    // "td3" or "sac"
    const char *encoder; // "none", "gru", "lstm", "stack", "mlp"
    deft_encoder_mode encoder_mode;
    bool previous_action; // the encoder (or the actor) also sees the previous action
    int32_t encoder_layers, encoder_hidden, stack_depth;
    int32_t pretrain_steps; // gradient steps of the self-supervised encoder
    // steps of truncated back-propagation (a batch has batch / sequence sequences), and before
    // them to warm the state up
    int32_t sequence, burn_in;
    int32_t n_hidden, hidden[DEFT_TRAIN_HIDDEN];
    int32_t n_critic_hidden, critic_hidden[DEFT_TRAIN_HIDDEN]; // 0: as the actor
    const char *activation;                                    // "relu", "tanh", "elu"
    bool critic_norm;
    double critic_dropout;
    int64_t steps;  // environment steps
    int64_t warmup; // of them with random actions, before learning
    int32_t envs;   // environments side by side
    int32_t round;  // steps of each environment between two exchanges with the learner
    double updates; // gradient steps for each environment step
    int32_t batch;
    int64_t replay; // rows, 0: as many as steps
    double gamma, tau, actor_rate, critic_rate, alpha_rate;
    int32_t n_step, policy_delay;
    double exploration_noise, target_noise, noise_clip; // TD3
    double target_entropy, alpha;                       // SAC; entropy 0: -n_act
    bool fixed_alpha;
    bool normalize;     // observations, by what the warm-up saw; folded into the policy
    int64_t eval_every; // environment steps, 0: never
    int32_t eval_episodes;
    // "evaluation" or "paper": evaluations count these weights (deft_reward_set), exact positions
    // and 0.6 cm a step, whatever training does; NULL: what training does
    const char *eval_reward;
    double best_distance; // cm: the best policy goes so far, where any does; 0: by reward alone
    int32_t threads; // 1: all in turn; 2: environments beside the learner; 3: critics apart too.
                     // The result is the same.
    uint64_t seed;
} deft_train_config;
/* algo: "td3", "sac", with "r-" (encoder over observations) or "ra-" (and previous actions) before
 * it. DEFT_E_ARG for others. */
deft_status deft_train_defaults(const char *algo, deft_train_config *out, deft_error *err);

/* Whether every number is within its range; DEFT_E_ARG names the first that is not, and the range.
 * deft_trainer_create asks as well. */
deft_status deft_train_check(const deft_train_config *cfg, deft_error *err);

typedef struct deft_trainer deft_trainer;

/* env is cloned. DEFT_E_ARG, DEFT_E_SPACE, DEFT_E_UNSUPPORTED (no OpenBLAS). */
deft_status deft_trainer_create(const deft_train_config *cfg, const deft_env *env,
                                deft_trainer **out, deft_error *err);
void deft_trainer_destroy(deft_trainer *t);

/* What happened in a round. Arrays are borrowed until the next one. */
typedef struct deft_train_episode {
    int64_t step; // of the environments, when it ended
    double reward;
    int32_t steps;
    deft_env_metrics metrics; // distance at its end; means of the others
    bool terminated;
} deft_train_episode;

typedef struct deft_train_report {
    int64_t step, update;
    int32_t n_episode;
    const deft_train_episode *episode;
    float critic_loss, actor_loss, alpha, q, log_prob; // means over the round's gradient steps
    bool evaluated;                                    // the fields below are of this round
    double eval_reward, eval_sd, eval_distance_cm;
    bool best;       // the best evaluation so far: its policy is kept
    bool pretrained; // an encoder was, before this round: its mean squared error, in variances
    float pretrain_before, pretrain_after;
} deft_train_report;

/* By cfg->best_distance: is a policy that earns reward and goes distance_cm better than one that
 * earns and goes than_*? Those that go far enough are better than those that do not; of these, the
 * one that earns more; of the others, the one that goes farther. */
bool deft_train_better(const deft_train_config *cfg, double reward, double distance_cm,
                       double than_reward, double than_distance_cm);
/* env, paid as cfg's evaluations count. DEFT_E_ARG. */
deft_status deft_train_eval_env(const deft_train_config *cfg, const deft_env *env, deft_env **out,
                                deft_error *err);

/* pulse is called now and then where a round takes long, as an encoder is pretrained; when it
 * returns other than 0, the round ends with DEFT_E_CANCELLED, and the trainer is of no use any
 * more. */
void deft_trainer_on_pulse(deft_trainer *t, int (*pulse)(void *user, int64_t step), void *user);

/* One round: environments and learner side by side. DEFT_OK; 1 when all steps are done. */
int32_t deft_trainer_round(deft_trainer *t, deft_train_report *out, deft_error *err);

/* The policy of now, or the best evaluated one; the model lives in a. */
deft_status deft_trainer_model(const deft_trainer *t, bool best, deft_arena *a, deft_model **out,
                               deft_error *err);
/* Warm start: takes over the actor, the encoder and the normalisation of observations of a policy
 * with this training's layers, inputs and actions; only before the first round. DEFT_E_MISMATCH,
 * with the trainer as it was, names the layer that does not fit, or says that the policy takes
 * observations as they are where the configuration normalises them. */
deft_status deft_trainer_load_model(deft_trainer *t, const deft_model *m, deft_error *err);

/* Everything between rounds but the rows of the replay buffer, which only grow: a trainer made of
 * the same configuration that loads both goes on bit for bit as this one would. */
size_t deft_trainer_state_size(const deft_trainer *t);
void deft_trainer_state_save(const deft_trainer *t, void *to);
int64_t deft_trainer_step(const deft_trainer *t);     // environment steps so far
int64_t deft_trainer_rows(const deft_trainer *t);     // ever appended
int64_t deft_trainer_capacity(const deft_trainer *t); // rows that are kept
/* floats of one row as stored, links included */
size_t deft_trainer_row_size(const deft_trainer *t);
void deft_trainer_rows_save(const deft_trainer *t, int64_t first, int64_t count, void *to);
/* rows: the last min(rows, capacity) of them, in order. Environments are brought to where they were
 * by repeating the actions of their episodes; DEFT_E_MISMATCH if they then differ. */
deft_status deft_trainer_state_load(deft_trainer *t, const void *state, size_t size,
                                    const void *rows, int64_t n_row, deft_error *err);
const char *deft_trainer_blas_core(const deft_trainer *t);

#ifdef __cplusplus
}
#endif

#endif
