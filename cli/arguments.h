/* arguments.h - the groups of options that several subcommands share. */
#ifndef DEFT_CLI_ARGUMENTS_H
#define DEFT_CLI_ARGUMENTS_H

#include "cli.h"
#include "deft/app.h"

/* How to read a policy: fields of deft_load_options. */
extern const cli_opt cli_policy_opts[];

/* Loads, and says on stderr what had to be assumed. Exit status. */
int cli_load(const cli_command *c, const char *path, const deft_load_options *opt,
             deft_loaded *out);
/* Before anything is loaded: the options are for all n files, and each must be for one of them.
 * Exit status. */
int cli_load_check(const cli_command *c, char *const *path, int n, deft_load_options *opt);
/* What had to be assumed, one note each. */
void cli_note_assumptions(const cli_command *c, const deft_loaded *l);

/* That a graph of integers is slow, and why it has no layers. */
void cli_note_evaluator(const cli_command *c, const deft_loaded *l);

/* The kernels of that name, NULL: left as they are. CLI_FAILED where this machine has none such. */
int cli_kernels(const cli_command *c, const char *name, const deft_kernels **out);

/* Which episodes to run, and where. Zero: the defaults. */
typedef struct cli_episodes {
    const char *env, *scene, *reward, *vary, *log;
    uint64_t seed;
    int32_t episodes, jobs, max_steps;
    double heading, target_speed;
    bool wire_reward, unperturbed;
} cli_episodes;
extern const cli_opt cli_episode_opts[];

/* The environment that the options name; *scene is the MJCF used, or NULL. Lives until
 * deft_env_destroy; the arena holds the scene's name. Exit status. */
int cli_env_open(const cli_command *c, const cli_episodes *e, deft_arena *a, deft_env **out,
                 const char **scene);
deft_rollout_config cli_rollout_config(const cli_episodes *e);

/* Recorded observations, and how they are fed. */
typedef struct cli_recorded {
    const char *obs, *feed;
} cli_recorded;
extern const cli_opt cli_recorded_opts[];
/* Policies without a word of previous actions are fitted to the recording: fills opt->sensed. */
int cli_recording_open(const cli_command *c, const cli_recorded *r, deft_arena *a,
                       deft_load_options *opt, deft_recording *out);
/* With the policy that it is for, once that is loaded: see deft_recording_fit. */
int cli_recording_fit(const cli_command *c, const deft_loaded *l, deft_arena *a, deft_recording *r);

#endif
