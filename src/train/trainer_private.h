/* trainer_private.h - what the files of the trainer share. */
#ifndef DEFT_TRAIN_TRAINER_PRIVATE_H
#define DEFT_TRAIN_TRAINER_PRIVATE_H

#include "deft/train.h"
#include "train/agent.h"
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
    float *taken;     // [max_steps][n_act] actions of the episode, as given to the environment
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

struct deft_trainer {
    deft_train_config cfg;
    deft_blas *blas;
    deft_train_ops ops;
    deft_agent *agent;
    deft_encoder encoder;
    deft_normalizer normalizer;
    deft_replay replay;
    int32_t n_lane, max_steps;
    int64_t n_obs, n_act, n_feature;
    deft_lane *lane;
    deft_env *eval_env;
    const deft_env_spec *spec;
    deft_actor *actor, *eval_actor;              // snapshots: of all lanes, of one
    float *lane_feature, *lane_noise, *lane_act; // [lanes][...]
    float *scratch;                              // encoder
    float *eval_memory;
    deft_rng rng;    // learner
    deft_pair *pair; // NULL: one thread
    int64_t step, update, next_eval;
    double update_debt; // gradient steps owed, below 1
    bool prepared;      // what follows the warm-up has been done
    /* Batches. */
    deft_replay_batch batch;
    float *noise, *noise2, *mask;
    /* The best policy so far. */
    float *best_param;
    double best_reward;
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
uint64_t deft_trainer_episode_seed(const deft_trainer *t, int32_t lane, int64_t episode);

#endif
