/* app.h - what subcommands compose out of the library. */
#ifndef DEFT_APP_H
#define DEFT_APP_H

#include "deft/emit.h"
#include "deft/formats.h"
#include "deft/quant.h"
#include "deft/rollout.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What every subcommand that reads a policy takes. Zero: find out. */
typedef struct deft_load_options {
    const char *encoder;        // second checkpoint, for TorchScript and .pt files; ONNX: its graph
    const char *encoder_output; // ONNX: "first" or "last" among what the policy's input reads
    const char *against;        // ONNX to verify a checkpoint against
    const char *contract;       // a name, see deft_model_set_contract, or a file, see
                                // deft/contract.h
    const char *rewire;         // "cascade" or NULL
    const char *normaliser;     // a pickled VecNormalize for a checkpoint; "none"; NULL: none, and
                                // one that is beside the policy is named in a note
    bool strict;                // refuse a policy of which something was assumed
    const char *previous;       // "first", "last", "none" or NULL: as the file or contract says
    int32_t sensed;  // observations that an environment or a recording gives, 0: unknown. A policy
                     // with n_act inputs more, and no word of previous actions, gets those first
    const char *env; // environment it is to run in, NULL: none. A policy of raw sensor values is
                     // turned into one of the values that the environment emits
    bool several;    // the options are for several files: what is not for one is for another
    deft_understand_options understand;
    deft_assemble_options assemble;
    deft_torchscript_options torchscript;
} deft_load_options;
/* DEFT_E_ARG if an option is for none of the files, by their kinds; the text says what it is for.
 * One file is checked by deft_load, too. */
deft_status deft_load_options_check(char *const *path, int32_t n, const deft_load_options *opt,
                                    deft_error *err);

/* A policy of any kind, understood, verified (graphs: 200 steps, 1e-5) and ready to run. */
typedef struct deft_loaded {
    deft_arena *arena;
    const char *path;
    deft_format format;
    size_t file_size;    // bytes of the file at path
    deft_graph *graph;   // NULL for checkpoints and images
    deft_model *model;   // NULL for graphs of integer operators, which only the evaluator runs, and
                         // for integer images
    deft_qmodel *qmodel; // of an integer image; NULL for all else
    deft_image_options written; // how the integer image was
    deft_bytes image;    // what runs: empty for such graphs; begins on a cache line. Images for
                         // small devices are laid out anew for this machine's kernels
    deft_bytes stored;   // an image as it is in the file; empty for graphs, checkpoints and images
                         // that options changed
    bool stored_rows;    // its matrices of floats are in rows
    const char *reason;  // why there is no model, "" where there is one
    const char *note;    // something beside the policy that may belong to it, or ""
    const char *numbers; // of the image's matrices: "float32", "int8", "int4, int8", ...; or ""
    bool integer;        // the image computes with integers
    float verified;      // largest difference from the graph over the rollout, NAN if none
    int32_t rewired;     // segments that --rewire changed
    int32_t assumed;     // of model->assumption: how many the file itself came with (images)
} deft_loaded;
/* Errors name the file. On failure *out is empty. */
deft_status deft_load(const char *path, const deft_load_options *opt, deft_loaded *out,
                      deft_error *err);
void deft_loaded_free(deft_loaded *l); // an empty one is fine
deft_status deft_loaded_controller(const deft_loaded *l, const deft_kernels *kernels,
                                   deft_controller **out, deft_error *err);

/* What subcommands write. */
typedef enum deft_product {
    DEFT_PRODUCT_IMAGE = 1,
    DEFT_PRODUCT_ONNX,
    DEFT_PRODUCT_C,       // of 'deft compile', with a seal
    DEFT_PRODUCT_TABLE,   // CSV of 'deft run'
    DEFT_PRODUCT_SWEEP,   // CSV of a sweep
    DEFT_PRODUCT_PAGE,    // HTML
    DEFT_PRODUCT_PICTURE, // SVG
    DEFT_PRODUCT_LOG,     // SQLite, of episodes
    DEFT_PRODUCT_SUMMARY, // JSON, of many runs
    DEFT_PRODUCT_MANUAL,  // Markdown of 'deft docs'
} deft_product;
typedef enum deft_origin {
    DEFT_ORIGIN_OTHER = 0, // not known to be Deft's: a table is never
    DEFT_ORIGIN_OWN,
    DEFT_ORIGIN_CHANGED, // Deft's, and changed since, or from before there were seals
} deft_origin;
/* Whether the file at path is what Deft wrote as `what`, as far as its content tells. What cannot
 * be read is somebody else's. */
deft_origin deft_product_origin(const char *path, deft_product what);
/* The text with a last line, a comment of C, by which it is known to be as it was written. */
deft_status deft_product_seal(deft_bytes text, deft_arena *a, deft_bytes *out, deft_error *err);

/* The MJCF that `scene` means for environment `env`: a path as it is; a name, or NULL for the
 * default, is looked for among the robots and worlds that Deft ships and in $DEFT_REFERENCE_DIR.
 * NULL where the environment needs none. DEFT_E_ARG says what --scene should be. */
deft_status deft_scene_find(const char *env, const char *scene, deft_arena *a, const char **out,
                            deft_error *err);

/* Adds what the policy sees in `episodes` episodes of env, from starts that deft_rollout_run does
 * not use, to calibration data of the same policy's model. */
deft_status deft_calibrate_env(const deft_loaded *l, deft_env *env, int32_t episodes, uint64_t seed,
                               deft_calibration *into, deft_error *err);

/* A recording: observations, and what else its columns hold. */
typedef struct deft_recording {
    const char *source;
    int32_t n_row, n_obs, n_act, n_hidden; // n_act, n_hidden: 0 where not recorded
    const float *obs;                      // [n_row][n_obs], finite
    const float *act;                      // [n_row][n_act]; NAN where a cell is empty
    const float *hidden;                   // [n_row][n_hidden], columns "hL_0", "hL_1", ...
    const uint8_t *first;                  // [n_row] begins an episode; NULL: row 0 alone does
    int32_t n_episode;
    const char *const *obs_name; // [n_obs] of columns
    const deft_csv *table;       // all columns; NULL where there was no file
    bool named, log;             // columns not called obs0, obs1, ...; a log of episodes
} deft_recording;
/* CSV with a header, .npy (a matrix: a row for each step), .npz, or a log of episodes. Observations
 * are the columns obs0, obs1, ..., else those that are not act*, h*, or one of step, time, t,
 * reward, episode, episode_no, episode_start, done, terminated, truncated. A new episode begins
 * where episode changes, step does not grow, at an episode_start, and after done, terminated or
 * truncated. */
deft_status deft_recording_read(const char *path, deft_arena *a, deft_recording *out,
                                deft_error *err);
/* Columns of inputs that were left out of the policy because they reset its state (g->reset,
 * "episode_start") begin episodes, and are observations no longer. */
deft_status deft_recording_flags(deft_recording *r, const deft_loaded *l, deft_arena *a,
                                 deft_error *err);
/* Before it is used with a policy of this contract (NULL: none is known): named columns come into
 * its order, and columns that no rule knows are refused, all named (beside numbered observations
 * x_cm, distance_cm, yaw, pitch, roll, current and torque may stand). DEFT_E_MISMATCH. */
deft_status deft_recording_fit(deft_recording *r, const deft_contract *c, deft_arena *a,
                               deft_error *err);
/* Columns that never move, and those with values more than 20 deviations (1.4826 times the median
 * absolute one) from the median. Arrays live in a. */
typedef struct deft_outlier {
    int32_t column, row, count; // row: of the farthest; count: of such values
    float value;
    double deviations;
} deft_outlier;
typedef struct deft_recording_quality {
    int32_t n_still, n_outlier;
    const int32_t *still; // [n_still] columns
    const deft_outlier *outlier;
} deft_recording_quality;
deft_status deft_recording_examine(const deft_recording *r, deft_arena *a,
                                   deft_recording_quality *out, deft_error *err);
/* Adds a recording that fits to calibration data; recorded actions are the previous ones. */
deft_status deft_calibrate_recording(const deft_recording *r, const deft_model *m,
                                     deft_calibration *into, deft_error *err);

/* Takes recorded observations through a controller from a reset on. act [n_row][n_act of the
 * controller]; hidden [n_row][n of deft_controller_hidden] or NULL. feed_recorded: the previous
 * action is the recorded one of the row before (zero before the first), else the controller's own.
 * A controller with n_act inputs more is given the previous action before the observations.
 * DEFT_E_MISMATCH where numbers of columns do not fit. */
deft_status deft_replay(deft_controller *c, const deft_recording *r, bool feed_recorded, float *act,
                        float *hidden, deft_error *err);
/* The other way round: one episode of a controller in an environment as a recording. Its actions
 * are those applied, within the environment's limits. */
deft_status deft_record(deft_controller *c, deft_env *env, const uint64_t *seed, deft_arena *a,
                        deft_recording *out, deft_error *err);

/* How far b is from a. */
typedef struct deft_difference {
    double max_abs, mean_abs, rms;
    double snr_db; // of a over b - a; infinite where they are equal, NAN for an a of zeros
    int32_t first; // first row with a difference above the tolerance, -1: none
    int32_t worst_row, worst_column;
    int64_t n;
} deft_difference;
/* Rows [n_row][n_column]; NAN in a means not recorded. */
void deft_difference_of(const float *a, const float *b, int32_t n_row, int32_t n_column,
                        double tolerance, deft_difference *out);

/* Layer by layer through the same observations: rows of `outputs` are deft_difference of layer k of
 * both. Needs models of the same layers (DEFT_E_MISMATCH says which differ). out [n_layer of a]. b
 * may be an integer image; what a step of its numbers stands for is fitted, one factor an output.
 */
deft_status deft_compare_layers(const deft_loaded *a, const deft_loaded *b, const deft_recording *r,
                                bool feed_recorded, deft_difference *out, deft_error *err);

/* A page about two policies: tables and curves (by gnuplot; without it, sentences in their place).
 * Strings are escaped. */
typedef struct deft_compare_report {
    const char *name_a, *name_b;
    int32_t n_row, n_act;
    const float *act_a, *act_b; // [n_row][n_act]
    const deft_difference *action;
    const deft_model *model;                        // names of layers; NULL: no layers
    const deft_difference *layer;                   // [model->n_layer]
    const deft_rollout_result *closed_a, *closed_b; // NULL: no episodes
    deft_stat reward_paired, distance_paired;       // b - a
} deft_compare_report;
deft_status deft_compare_report_write(const deft_compare_report *r, const char *path,
                                      deft_error *err);

/* Returns by bits as a curve: an SVG file. DEFT_E_UNSUPPORTED without gnuplot. */
typedef struct deft_sweep {
    int32_t n;
    const double *bits, *reward, *ci95; // [n], bits ascending
    double float_reward;
} deft_sweep;
deft_status deft_sweep_plot(const deft_sweep *w, const char *path, deft_error *err);

/* Time of a control step, in interleaved rounds on one core. */
typedef struct deft_bench_config {
    int32_t rounds; // 0: 400
    int32_t steps;  // a round, 0: 25
    const deft_kernels *kernels;
    bool peers;                                     // other libraries too
    bool (*cancelled)(void *user, double fraction); // may be NULL
    void *user;
} deft_bench_config;
/* Another library on the same layers, or, ONNX Runtime, on the same policy. Strings live in the
 * policy's arena. */
enum { DEFT_BENCH_PEERS = 5 };
typedef struct deft_bench_peer {
    const char *name;   // with its version, if it runs
    const char *reason; // why it does not run, "" if it does
    double ns_min, ns_median;
} deft_bench_peer;
typedef struct deft_bench_row {
    double ns_min, ns_median;           // one step
    double read_ns_min, read_ns_median; // a plain loop over the same weight bytes, same rounds
    size_t weight_bytes;
    int64_t macs;
    int32_t arena_bytes;                    // state and scratch
    int32_t rounds;                         // done
    deft_bench_peer peer[DEFT_BENCH_PEERS]; // all zero where not asked for
} deft_bench_row;
/* Policies need images. *pinned: could the thread be pinned to a core. DEFT_E_CANCELLED keeps what
 * is done, if any. */
deft_status deft_bench(const deft_loaded *policy, int32_t n, const deft_bench_config *cfg,
                       deft_bench_row *row, bool *pinned, deft_error *err);

#ifdef __cplusplus
}
#endif

#endif
