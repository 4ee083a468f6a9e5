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
    double target_speed; // cm a step; 0: 0.6, and then not in the JSON
    const char *load;    // file of the policy that it started from; NULL, and then not in the JSON
} deft_train_setup;

/* "frozen", "pretrained" or "trained"; false: another word. */
bool deft_encoder_mode_parse(const char *text, deft_encoder_mode *out);

/* As JSON, every field by name; text in the arena. */
deft_status deft_train_setup_write(const deft_train_setup *s, deft_arena *a, deft_bytes *out,
                                   deft_error *err);
/* Every field must be there. DEFT_E_FORMAT names the one that is missing, unknown or of another
 * type. */
deft_status deft_train_setup_read(deft_bytes json, const char *source, deft_arena *a,
                                  deft_train_setup *out, deft_error *err);
/* The same over what *into holds already: fields that are not there stay. "algo" is taken first, as
 * by deft_train_setup_algo. */
deft_status deft_train_setup_merge(deft_bytes json, const char *source, deft_arena *a,
                                   deft_train_setup *into, deft_error *err);
/* algo, encoder, previous_action and policy_delay as deft_train_defaults has them. */
deft_status deft_train_setup_algo(deft_train_setup *s, const char *algo, deft_error *err);
/* The first field, but for the threads, in which they differ; NULL: none. */
const char *deft_train_setup_difference(const deft_train_setup *a, const deft_train_setup *b);

typedef struct deft_train_run_options {
    const char *dir;
    bool resume;               // else dir must not hold a run yet
    bool extend;               // resume: the setup has other steps than config.json, to be kept
    double checkpoint_seconds; // 0: 120
    const deft_model *start;   // warm start of a new run from this policy, NULL: none
    /* After every round; a non-zero return stops after a checkpoint (DEFT_E_CANCELLED). */
    int (*progress)(void *user, const deft_train_report *r, const deft_train_setup *s);
    /* What is worth knowing and no error; a line without its end. May be NULL. */
    void (*notice)(void *user, const char *dir, const char *text);
    /* Before anything is saved; what is not DEFT_OK ends the run without. May be NULL. */
    deft_status (*guard)(void *user, deft_error *err);
    void *user;
} deft_train_run_options;

/* Trains to the end, or goes on with what RUN/checkpoint.bin holds. Files:
 *   config.json     the setup
 *   progress.csv    a line for every evaluation and every 1,000 steps or so
 *   run.sqlite      the same, with times: tables config, progress, evaluations
 *   events.out.tfevents.*      the same for TensorBoard, one file a session
 *   checkpoint.bin  written through a temporary file, with replay.bin, which only grows
 *   policy.onnx, policy.deft   the best evaluated policy, from the first checkpoint on
 *   last.onnx       the policy at the end
 *   policy-int8.deft   the best evaluated policy in integers, where it has such a form
 *   report.html     all of it as a page; its curves need gnuplot
 *   result.json     that it is finished; steps, time, last and best evaluation
 * Killed at any moment, the run resumes from its last checkpoint and ends with the same bytes. */
deft_status deft_train_run(const deft_train_setup *s, const deft_env *env,
                           const deft_train_run_options *opt, deft_error *err);

#ifdef __cplusplus
}
#endif

#endif
