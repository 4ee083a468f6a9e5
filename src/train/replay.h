/* replay.h - what was experienced, in order. A row holds the features that the policy saw, the
 * action it took and the reward that followed; the row that follows it in the same episode is
 * linked, so next observations are not stored twice and n-step returns need no window. An episode
 * ends with a tail row: its last features, without action. */
#ifndef DEFT_TRAIN_REPLAY_H
#define DEFT_TRAIN_REPLAY_H

#include "deft/base.h"

typedef enum deft_replay_end {
    DEFT_REPLAY_GOES_ON = 0,
    DEFT_REPLAY_TERMINATED, // the episode ended here, nothing comes after
    DEFT_REPLAY_TRUNCATED,  // it was cut here, its value goes on
    DEFT_REPLAY_TAIL,       // a tail row
} deft_replay_end;

typedef struct deft_replay {
    int n_feature, n_act;
    int64_t capacity;  // rows; older ones are overwritten
    int64_t head;      // rows ever appended
    size_t stride;     // floats of a row
    float *row;        // [capacity][stride]: features, action, reward, end
    int64_t *next;     // [capacity] number of the row that follows, -1: none yet
    int64_t *previous; // [capacity] and of the one before, -1: begins an episode
} deft_replay;

deft_status deft_replay_init(deft_replay *r, int n_feature, int n_act, int64_t capacity,
                             deft_error *err);
void deft_replay_free(deft_replay *r);

/* Appends a row that follows row `previous` (-1: begins an episode); returns its number. act NULL:
 * a tail row. */
int64_t deft_replay_append(deft_replay *r, int64_t previous, const float *feature,
                           const float *act);
/* The reward and end that row `number` led to. */
void deft_replay_outcome(deft_replay *r, int64_t number, float reward, deft_replay_end end);

const float *deft_replay_row(const deft_replay *r, int64_t number);

/* Where a batch goes; [rows] each. */
typedef struct deft_replay_batch {
    int rows;
    float *feature, *act, *reward, *next_feature, *discount;
} deft_replay_batch;
/* Uniform among the rows whose outcome and successor are known; n_step >= 1 rewards summed with
 * discount gamma, fewer where an episode ends. There must be such a row. */
void deft_replay_sample(const deft_replay *r, deft_rng *rng, float gamma, int n_step,
                        const deft_replay_batch *out);

/* Windows into episodes, for encoders that learn: `sequences` side by side, time first. Steps are
 * burn_in ones, `steps` to learn from, and the one after. Where an episode has no such step (before
 * its start, after its end) x is zeros and valid 0. */
typedef struct deft_replay_windows {
    int sequences, burn_in, steps, n_x;
    float *x;                               // [burn_in + steps + 1][sequences][n_x]
    float *act, *reward, *discount, *valid; // [steps][sequences][...]
} deft_replay_windows;
/* Each window holds a usable row, drawn uniformly, at a place to learn from, drawn likewise. n_x:
 * how many of a row's first features are wanted. There must be a usable row. Returns how many rows
 * are valid, at least one for each sequence. */
int deft_replay_sample_windows(const deft_replay *r, deft_rng *rng, float gamma,
                               const deft_replay_windows *out);
bool deft_replay_ready(const deft_replay *r); // is there such a row?

#endif
