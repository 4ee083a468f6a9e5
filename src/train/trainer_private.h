/* trainer_private.h - what the files of the trainer share. */
#ifndef DEFT_TRAIN_TRAINER_PRIVATE_H
#define DEFT_TRAIN_TRAINER_PRIVATE_H

#include "deft/train.h"
#include "train/agent.h"
#include "train/bptt.h"
#include "train/encoder.h"
#include "train/pair.h"
#include "train/replay.h"

/* One environment and the episode that runs in it. */
typedef struct deft_lane {
    deft_env *env;
    deft_rng rng;    // exploration
    int64_t episode; // number of the running one, from 0; its start is a stream of the seed
    int32_t step;    // steps taken in it
    double reward, heading, torque, current; // sums
    float *obs, *prev_act, *state, *feature; // of the present moment
    float *taken;     // [max_steps][n_act] actions of the episode, in [-1, 1]
    int64_t last_row; // of the running episode in the replay buffer, -1: none yet
    /* What the round collected: rows as in the replay buffer. */
    float *staged;
    int32_t n_staged;
} deft_lane;

/* Observations are (obs - offset) * scale once normalised. */
typedef struct deft_normalizer {
    bool on;
    float *offset, *scale;
} deft_normalizer;

/* An encoder that learns: what acting and exporting read is a copy of it, made between rounds. */
typedef struct deft_encoder_learner {
    float *param, *moment1, *moment2, *target; // [n_param]
    float *best;                               // of the best evaluated policy
    size_t state_floats;                       // of memory, from its start: all of the above
    int64_t step;
    int rows;           // that are learned from: sequences times their steps
    float *grad;        // [n_param]
    float *d_top;       // [burn_in + sequence + 1][sequences][hidden]
    float *next_policy; // [rows][n_feature]
    deft_replay_windows windows;
    deft_bptt tape;
    float *memory; // the one allocation
} deft_encoder_learner;

struct deft_trainer {
    deft_train_config cfg;
    deft_blas *blas;
    deft_train_ops ops;
    deft_agent *agent;
    deft_encoder encoder;          // that environments act by
    deft_encoder_learner *learner; // NULL: it is frozen
    int32_t rows;                  // of a gradient step
    deft_normalizer normalizer;
    deft_replay replay;
    int32_t n_lane, max_steps;
    int64_t n_obs, n_act, n_feature;
    deft_lane *lane;
    deft_env *eval_env;
    const deft_env_spec *spec;
    deft_actor *actor, *eval_actor;              // snapshots: of all lanes, of one
    float *lane_feature, *lane_noise, *lane_act; // [lanes][...]
    float *applied;                              // [n_act], in the environment's units
    float *scratch;                              // encoder
    float *eval_memory;
    deft_rng rng;    // learner
    deft_pair *pair; // NULL: one thread
    int64_t step, update, next_eval;
    double update_debt;                     // gradient steps owed, below 1
    bool prepared;                          // what follows the warm-up has been done
    bool warm_started;                      // encoder included
    int (*pulse)(void *user, int64_t step); // or NULL
    void *pulse_user;
    /* Batches. */
    deft_replay_batch batch;
    float *noise, *noise2, *mask;
    /* The best policy so far. */
    float *best_param;
    double best_reward, best_distance;
    bool have_best;
    /* The round. */
    deft_train_report report;
    deft_train_episode *episode;
    int32_t episode_capacity;
    deft_error error; // of the environments' side
    int64_t round_updates;
};

/* The environments' side of a round, and its evaluation; errors in t->error. */
void deft_trainer_collect(deft_trainer *t);
deft_status deft_lane_begin(deft_trainer *t, deft_lane *l, deft_error *err);
/* Features of the lane's present observation. */
void deft_lane_encode(deft_trainer *t, deft_lane *l, bool first);
void deft_trainer_to_env(const deft_trainer *t, const float *act, float *out); // units
void deft_trainer_evaluate(deft_trainer *t);
/* The learner's side. */
void deft_trainer_learn(deft_trainer *t);
/* After the warm-up: normalises observations, trains a pretrained encoder, encodes again what the
 * buffer holds. */
deft_status deft_trainer_prepare(deft_trainer *t, deft_error *err);
/* Mean and reciprocal standard deviation of the observations in the buffer. */
void deft_trainer_observed(const deft_trainer *t, float *offset, float *scale);
deft_status deft_encoder_learner_create(const deft_trainer *t, deft_encoder_learner *l,
                                        deft_error *err);
/* Everything but the optimizer is the encoder of now. */
void deft_encoder_learner_reset(const deft_trainer *t, deft_encoder_learner *l);
deft_status deft_trainer_pretrain(deft_trainer *t, deft_error *err);
/* Windows and their features; then, by the agent's step on them, one of the encoder. */
void deft_trainer_encoded_batch(deft_trainer *t, deft_batch *b);
void deft_trainer_encoder_step(deft_trainer *t, bool targets);
uint64_t deft_trainer_episode_seed(const deft_trainer *t, int32_t lane, int64_t episode);

#endif
