/* train_many.h - many training runs below one folder: by processes of this machine, and of others
 * that share the file system. */
#ifndef DEFT_TRAIN_MANY_H
#define DEFT_TRAIN_MANY_H

#include "deft/train_run.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct deft_train_job {
    const char *name;  // of its folder, below that of all: "seed-3"
    const char *group; // jobs of one group differ in nothing but the seed; "" where there is one
    deft_train_setup setup;
} deft_train_job;

typedef struct deft_train_many_state {
    int32_t n, finished, running; // jobs
    int64_t step, steps;          // of all jobs; of running ones as last told
    double least, most;           // last evaluations of running ones; NAN: none yet
} deft_train_many_state;

typedef struct deft_train_many_options {
    const char *dir;
    int32_t jobs;              // processes that train, 0: 1; 1 is this one
    double checkpoint_seconds; // 0: 120
    double lease_seconds;      // 0: 60; a run whose process gave no sign for so long is taken over
    const deft_model *start;   // warm start of new runs, or NULL
    /* About twice a second, in this process only. May be NULL. */
    void (*progress)(void *user, const deft_train_many_state *s);
    /* Of one run, in the process that trains it; see deft_train_run_options. May be NULL. */
    void (*notice)(void *user, const char *dir, const char *text);
    /* True: runs stop after a checkpoint. Asked in every process. May be NULL. */
    bool (*cancelled)(void *user);
    void *user;
} deft_train_many_options;

/* Does what is left to do of all jobs: skips finished ones (those with a result.json), goes on with
 * begun ones from their checkpoints, and waits for those that other processes hold, to take them
 * over where their process is lost. Any number of processes on any machines may call this at once
 * for one folder; returns when all jobs are finished, whoever did them. With more than one process
 * it forks: call it before there are threads.
 * DEFT_E_MISMATCH: a run is there already with other settings (the text names one);
 * DEFT_E_CANCELLED; else the first failure, after the other jobs are done. */
deft_status deft_train_many(const deft_train_job *job, int32_t n,
                            const deft_train_many_options *opt, deft_error *err);

/* The scores of a group's jobs: interquartile means with 95 % intervals by bootstrap (Agarwal et
 * al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice"). */
typedef struct deft_train_score {
    double iqm, lo, hi;           // lo, hi: NAN for a single job
    double mean, sd, least, most; // sd: NAN for a single job
} deft_train_score;
typedef struct deft_train_group {
    const char *name;
    int32_t n;
    deft_train_score last; // by the last evaluation: how good the policy is that training ends with
    deft_train_score best; // by the best one: optimistic, chosen by the number that is reported
    double seconds;        // mean time of a run
} deft_train_group;

/* Of those jobs that are finished, and groups that have such; also written to dir/summary.json, and
 * with the learning curves to dir/report.html. Groups live in a, in the order of the jobs. Returns
 * their number, or a status < 0. */
int32_t deft_train_summary(const deft_train_job *all, int32_t n_all, const char *dir, deft_arena *a,
                           deft_train_group **out, deft_error *err);

/* The environment that a setup names. */
deft_status deft_train_setup_env(const deft_train_setup *s, deft_env **out, deft_error *err);

#ifdef __cplusplus
}
#endif

#endif
