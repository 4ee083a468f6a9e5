/* rollout.h - policies in environments: episodes, jobs, statistics, logs. */
#ifndef DEFT_ROLLOUT_H
#define DEFT_ROLLOUT_H

#include "deft/base.h"
#include "deft/env.h"
#include "deft/graph.h"
#include "deft/kernels.h"
#include "deft/model.h"
#include "deft/policy.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Anything that can be asked for actions: an image in the runtime, or a graph that only the
 * reference evaluator can run. One controller serves one thread. Errors: those of the policy
 * (DEFT_E_FORMAT, DEFT_E_VERSION, DEFT_E_LAYOUT), DEFT_E_UNSUPPORTED for graphs in which no action
 * is found, DEFT_E_SPACE. */
typedef struct deft_controller deft_controller;
/* image is borrowed, 16-byte aligned; kernels NULL: the best of this host. */
deft_status deft_controller_from_image(deft_bytes image, const deft_kernels *kernels,
                                       deft_controller **out, deft_error *err);
/* g is borrowed. State ports are paired by shape, name ("h_t_in" and "h_t", "h0" and "hn") and
 * order and fed back, an input called "prev_action" or the like is fed the previous action; all
 * other inputs, in order, are the observation. */
deft_status deft_controller_from_graph(const deft_graph *g, deft_controller **out, deft_error *err);
/* Another one over the same image or graph, reset, for another thread. */
deft_status deft_controller_clone(const deft_controller *c, deft_controller **out, deft_error *err);
void deft_controller_destroy(deft_controller *c);
int32_t deft_controller_n_obs(const deft_controller *c);
int32_t deft_controller_n_act(const deft_controller *c);
/* Does it fit the environment? DEFT_E_MISMATCH says how not. A graph with n_act more inputs than
 * the environment has observations is from now on fed the previous action in the first ones
 * (where spec->previous_action_first), scaled from the action's limits to [-1, 1] as networks put
 * it out; its n_obs is then the environment's. Resets a graph's policy. deft_rollout_run does this
 * for its own copies. */
deft_status deft_controller_bind(deft_controller *c, const deft_env_spec *spec, deft_error *err);
/* State and previous action to zeros. */
void deft_controller_reset(deft_controller *c);
/* obs [n_obs], act [n_act]; applied_prev [n_act] is what was really done last time, NULL: the last
 * act. DEFT_E_RANGE where numbers are not finite. */
deft_status deft_controller_step(deft_controller *c, const float *obs, const float *applied_prev,
                                 float *act, deft_error *err);
/* Output [*n] of the last recurrent layer (the encoder's top h) after the step, or NULL. */
const float *deft_controller_hidden(const deft_controller *c, int32_t *n);

typedef struct deft_rollout_config {
    int32_t episodes; // 0: 10
    uint64_t seed;    // episode k starts from stream k of this seed
    bool unperturbed; // every episode from the unperturbed start
    int32_t jobs;     // threads, 0: one a core
    const char *log;  // SQLite file to append to, NULL: none
    /* Called from one thread at a time, after every episode and about ten times a second; a
     * non-zero return cancels (DEFT_E_CANCELLED; what is finished is kept and reported). */
    int (*progress)(void *user, int32_t episodes_done, int64_t steps_done);
    void *user;
} deft_rollout_config;

/* Whether the SQLite file at path is such a log, by its application_id ("Deft") or, from before
 * there was one, by its tables. Changes nothing. */
bool deft_log_is_own(const char *path);

typedef struct deft_stat {
    double mean; // NAN where n is 0
    double sd;   // of the sample; NAN where n < 2
    double ci95; // half width of the 95 % interval of the mean, Student's t; NAN where n < 2
    int64_t n;
} deft_stat;
/* NAN values are left out; n says how many there were without them. */
deft_stat deft_stat_of(const double *x, int64_t n);
/* Of the differences a[k] - b[k]. */
deft_stat deft_stat_paired(const double *a, const double *b, int64_t n);

typedef struct deft_iqm {
    double iqm;    // interquartile mean: without the lowest and the highest n/4; NAN where n is 0
    double lo, hi; // its 95 % interval; NAN where n < 2
    int64_t n;
} deft_iqm;
/* NAN values are left out. The interval is the percentiles of 10,000 bootstrap resamples, drawn
 * alike every time (Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the
 * Statistical Precipice"). DEFT_E_SPACE. */
deft_status deft_iqm_of(const double *x, int64_t n, deft_iqm *out, deft_error *err);

typedef struct deft_episode {
    double reward, distance_cm, heading_error_rad, torque, current_a; // sums and means of steps
    double inference_us; // mean time of a controller step
    int32_t steps;
    bool terminated;
} deft_episode;

typedef struct deft_rollout_result {
    int32_t n_episode;     // finished ones, in order of their number
    deft_episode *episode; // owned; free with deft_rollout_free
    int64_t steps;
    double wall_seconds, physics_seconds; // physics: summed over jobs
    deft_stat reward, distance_cm, heading_error_rad, torque, current_a;
} deft_rollout_result;

/* Runs episodes on all cores. The same seed gives the same episodes whatever jobs is. */
deft_status deft_rollout_run(const deft_controller *c, const deft_env *env,
                             const deft_rollout_config *cfg, deft_rollout_result *out,
                             deft_error *err);
void deft_rollout_free(deft_rollout_result *r);

/* Recorded observations: a CSV with a header (obs0.. or any names, act0.. where recorded). */
typedef struct deft_csv {
    int32_t n_column, n_row;
    const char **name;  // [n_column]
    const double *cell; // [n_row][n_column], NAN for an empty one
} deft_csv;
deft_status deft_csv_read(deft_bytes bytes, const char *source, deft_arena *a, deft_csv *out,
                          deft_error *err);

#ifdef __cplusplus
}
#endif

#endif
