/* cmd_train.h - what the files of `deft train` share. */
#ifndef DEFT_CLI_CMD_TRAIN_H
#define DEFT_CLI_CMD_TRAIN_H

#include "arguments.h"
#include "deft/train_run.h"

/* Zero or NULL, NO_NUMBER, NAN: as --config has it, else as the algorithm's defaults do. */
typedef struct train_args {
    const char *algo, *out, *resume, *config, *load, *encoder, *encoder_mode, *hidden,
        *critic_hidden, *activation, *eval_reward;
    uint64_t steps, warmup, eval_every, seed;
    int32_t envs, batch, n_step, encoder_layers, encoder_hidden, stack, eval_episodes, threads;
    int32_t pretrain_steps, sequence, burn_in; // burn_in -1: not given
    int32_t seeds, jobs;
    double gamma, rate, updates, noise, critic_dropout, best_distance, checkpoint_minutes, lease;
    bool normalize, critic_norm, json;
    cli_episodes place;
} train_args;

#define NO_NUMBER UINT64_MAX

/* Defaults, then --config, then options. Exit status. */
int train_new_setup(const train_args *a, deft_arena *arena, deft_train_setup *s);
/* The policy of --load, for env; deft_loaded_free it in any case. Exit status. */
int train_load_start(const train_args *a, const deft_env *env, deft_loaded *l);

/* As deft_train_run_options wants it. */
void train_notice(void *user, const char *dir, const char *text);
bool train_is_list(const char *text); // "a,b"
/* --seeds, or lists of algorithms or configurations. Exit status. */
int train_many(const train_args *a, const cli_given *given, deft_arena *arena);
/* Options that none of the n runs would read. Exit status. */
int train_check_unread(const cli_given *given, const deft_train_setup *const *setup, int32_t n);

#endif
