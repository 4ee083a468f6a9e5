/* train_run.h - a training run as a folder: configuration, progress, checkpoints, policies. */
#ifndef DEFT_TRAIN_RUN_H
#define DEFT_TRAIN_RUN_H

#include "deft/train.h"

#ifdef __cplusplus
extern "C" {
#endif

/* All that decides a run; RUN/config.json. Strings may be NULL. */
typedef struct deft_train_setup {
    deft_train_config train;
    const char *env, *scene, *reward, *vary;
    int32_t max_steps;
    double heading;
    bool wire_reward;
} deft_train_setup;

/* As JSON, every field by name; text in the arena. */
deft_status deft_train_setup_write(const deft_train_setup *s, deft_arena *a, deft_bytes *out,
                                   deft_error *err);
/* DEFT_E_FORMAT names the field that is missing, unknown or of another type. */
deft_status deft_train_setup_read(deft_bytes json, const char *source, deft_arena *a,
                                  deft_train_setup *out, deft_error *err);

typedef struct deft_train_run_options {
    const char *dir;
    bool resume;               // else dir must not hold a run yet
    double checkpoint_seconds; // 0: 120
    /* After every round; a non-zero return stops after a checkpoint (DEFT_E_CANCELLED). */
    int (*progress)(void *user, const deft_train_report *r, const deft_train_setup *s);
    void *user;
} deft_train_run_options;

/* Trains to the end, or goes on with what RUN/checkpoint.bin holds. Files:
 *   config.json     the setup
 *   progress.csv    a line for every evaluation and every 1,000 steps or so
 *   checkpoint.bin  written through a temporary file, with replay.bin, which only grows
 *   policy.onnx, policy.deft   the best evaluated policy, from the first checkpoint on
 *   last.onnx       the policy at the end
 * Killed at any moment, the run resumes from its last checkpoint and ends with the same bytes. */
deft_status deft_train_run(const deft_train_setup *s, const deft_env *env,
                           const deft_train_run_options *opt, deft_error *err);

#ifdef __cplusplus
}
#endif

#endif
