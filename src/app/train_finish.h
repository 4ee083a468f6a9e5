/* train_finish.h - private: the last things of a run, made of the policy in its folder. */
#ifndef DEFT_APP_TRAIN_FINISH_H
#define DEFT_APP_TRAIN_FINISH_H

#include "deft/env.h"
#include "deft/rollout.h"

enum { FINISH_EPISODES = 10 }; // that a policy is judged by

typedef struct train_judged {
    deft_stat reward, distance_cm; // n is 0 where it was not run
    size_t bytes;                  // of the file
} train_judged;

typedef struct train_finish {
    train_judged best, integer; // policy.onnx and policy-int8.deft, from the same starts
    char why[256];              // there is no integer policy; "" where there is one
} train_finish;

/* Writes dir/policy-int8.deft, calibrated in episodes of env, in the layout of small devices, and
 * runs both. That a policy cannot be quantized is no error. */
deft_status train_finish_policies(const char *dir, const deft_env *env, train_finish *out,
                                  deft_error *err);

#endif
