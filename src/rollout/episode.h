/* episode.h - private: one episode of one policy in one environment. */
#ifndef DEFT_ROLLOUT_EPISODE_H
#define DEFT_ROLLOUT_EPISODE_H

#include "deft/rollout.h"
#include "rollout/log.h"

#include <stdatomic.h>

/* What one thread works with. */
typedef struct episode_runner {
    deft_controller *controller;
    deft_env *env;
    float *obs, *act;     // [n_obs], [n_act]
    const log_shape *log; // NULL: no rows are wanted
    /* Episodes with a larger number than this are given up at their next step. */
    const atomic_int *last_wanted;
    atomic_llong *steps; // of all episodes so far; written by this thread alone
} episode_runner;

typedef struct episode_result {
    deft_episode episode;
    log_episode log; // row: freed by the caller
} episode_result;

/* number: of the episode; seed NULL: the unperturbed start. DEFT_E_CANCELLED when given up. */
deft_status episode_run(const episode_runner *r, int32_t number, const uint64_t *seed,
                        episode_result *out, deft_error *err);

#endif
