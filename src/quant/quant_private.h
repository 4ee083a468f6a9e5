/* quant_private.h - what the files of the quantizer share. */
#ifndef DEFT_QUANT_QUANT_PRIVATE_H
#define DEFT_QUANT_QUANT_PRIVATE_H

#include "deft/quant.h"

/* Recorded steps, in order. */
struct deft_calibration {
    const deft_model *m;
    int32_t n, capacity, dropped;
    bool fresh;     // the next step begins an episode
    float *obs;     // [capacity][n_obs]
    float *applied; // [capacity][n_act]
    uint8_t *first; // [capacity] begins an episode
    uint8_t *own;   // [capacity] no applied action was given
};

/* The float policy over the recorded steps: every source's values, row by row. */
typedef struct quant_trace {
    const deft_model *m;
    int32_t n_row;
    const uint8_t *first;
    float *obs;    // [n_row][n_obs] behind the contract
    float *prev;   // [n_row][n_act] in the network's units
    float **value; // [n_layer] [n_row][n_out]
} quant_trace;

deft_status quant_trace_create(const deft_calibration *c, deft_arena *a, quant_trace *out,
                               deft_error *err);
/* Inputs of one row through segments; states are those of the row before. */
void quant_trace_gather(const quant_trace *t, const deft_segment *s, int32_t n, int32_t row,
                        float *into);

/* The contract's ends. */
void quant_front_end(const deft_contract *c, const float *obs, float *x);
void quant_back_end(const deft_contract *c, const float *y, float *act);
void quant_back_end_inverse(const deft_contract *c, const float *act, float *prev);

/* --- integer arithmetic (qmodel_eval.c) --------------------------------------------------------
 */

/* One layer. x [n_in]; state: h [n_out], or h then c [2 n_out] (LSTM), or the history [n_out]; new
 * state to state_new (NULL for layers without); scratch of quant_scratch_size 32-bit words. first:
 * first step after a reset. */
typedef struct quant_step {
    const int16_t *x;
    const int16_t *state;
    int16_t *state_new, *y;
    int32_t *scratch;
    bool first;
} quant_step;
void quant_run_layer(const deft_qmodel *q, int32_t layer, const quant_step *s);
int32_t quant_scratch_size(const deft_qlayer *l);
int32_t quant_state_length(const deft_qlayer *l);
int32_t quant_table_at(const deft_qtable *t, int32_t x);
void quant_run_prev(const deft_qmodel *q, const float *y, int16_t *out);
/* From observations behind the contract's offset... as the runtime does it. */
void quant_run_obs(const deft_qmodel *q, const float *obs, int16_t *out);

/* --- linear algebra (moments.c, rounding.c) ----------------------------------------------------
 */

/* Second moments of a matrix's inputs in units of the integer grid. */
typedef struct quant_moments {
    int32_t n;
    double *mean;   // [n] of the integer inputs
    double *mean_f; // [n] of the float inputs
    double *cov;    // [n][n] of the integer inputs, damped
    double *cross;  // [n][n] float (row) with integer (column) inputs, damped alike
    int32_t *order; // [n] columns, the most varying first
    double *unit;   // [n][n] in that order: rows of U' where cov = U D U', U unit upper
    double *diag;   // [n] D
} quant_moments;
typedef struct quant_samples {
    int32_t n_row, n;
    const float *x;      // [n_row][n] integer inputs less zero points
    const float *xf;     // [n_row][n] float inputs over scales
    const float *weight; // [n_row] of the rows, NULL: all alike
    bool centre;         // about the means (there is a bias to carry them), else about zero
} quant_samples;
deft_status quant_moments_create(const quant_samples *s, deft_arena *a, quant_moments *out,
                                 deft_error *err);

typedef struct quant_rounding {
    int32_t bits;
    bool nearest, per_tensor, power_of_two;
    bool correct_bias;
} quant_rounding;

/* What becomes of one matrix of rows outputs. */
typedef struct quant_rounded {
    int16_t *weight; // [rows][n]
    double *delta;   // [rows] value of one step of the accumulator
    double *offset;  // [rows] the bias, in values, so that means agree
} quant_rounded;
/* w [rows][n] in units of the grid (weight times scale of the input), bias [rows] or NULL;
 * limit [n]: largest |x| less zero, so that sum |w| limit stays below 2^30 (bits up to 8). */
typedef struct quant_target {
    int32_t rows, n;
    const double *w;
    const float *bias;
    const double *limit;
    const double *step; // [rows] one step of the output
    double largest;     // |w| of the whole matrix, for one scale for all of it
} quant_target;
/* Into the arrays of out, which are there. */
deft_status quant_round(const quant_target *t, const quant_moments *mo, const quant_rounding *opt,
                        deft_arena *a, quant_rounded *out);

/* --- plan and scales ---------------------------------------------------------------------------
 */

/* Numbers of one source: OBS, PREV or the output (and state) of a layer. */
typedef struct quant_source {
    int32_t n;
    deft_number format;
    int32_t bits;         // levels that are used
    int32_t zero, lo, hi; // value = (q - zero) scale
    double *scale;        // [n]
    bool fixed;           // the scales are not equalized
    bool copied;          // by a history: they must not change at all
    bool uniform;         // all scales must be equal
} quant_source;

typedef struct quant_scheme {
    const char *name, *text;
    int32_t weight_bits, activation_bits;
    bool power_of_two;
} quant_scheme;
const quant_scheme *quant_scheme_find(const char *name); // NULL if unknown

typedef int32_t quant_bits[2];      // of the weights of w and u
typedef float *quant_importance[2]; // of w and u: [n_row][rows] squared gradients of the actions

typedef struct quant_job {
    const deft_model *m;
    deft_quant_options opt;
    quant_scheme scheme;
    deft_calibrator calibrator;
    double percentile;
    int32_t weight_bits, activation_bits, input_bits;
    deft_arena *a, *tmp; // what stays, and what does not
    deft_error *err;
    quant_trace trace;
    quant_source obs, prev, *layer; // [n_layer]
    bool reads_prev;
    quant_bits *bits;             // [n_layer]
    int16_t *q_obs, *q_prev;      // [n_row][n]
    int16_t **q_value;            // [n_layer] [n_row][n_out], NULL: not yet
    quant_importance *importance; // [n_layer], NULL: all rows and steps count alike
    deft_qmodel *q;
    deft_qlayer *ql;    // [n_layer]
    deft_qtable *table; // [n_layer + 1]
    float *x_q, *x_f;   // [n_row][n_in] of the matrix at hand
} quant_job;

deft_status quant_no_memory(const quant_job *j);
deft_status quant_fail_layer(const quant_job *j, int32_t layer, deft_status s, const char *fmt, ...)
    DEFT_PRINTF(4, 5);
const quant_source *quant_source_of(const quant_job *j, const deft_segment *s);
bool quant_is_matrix(deft_layer_kind k);
bool quant_has_h(deft_layer_kind k);
int32_t quant_gates(deft_layer_kind k); // of kinds with matrices
/* Does the activation take a table? ReLU, clip and none do not. */
bool quant_needs_table(deft_activation_kind k);

deft_status quant_importances(quant_job *j);
deft_status quant_plan(quant_job *j);   // formats, bits
deft_status quant_scales(quant_job *j); // scales of all sources
deft_status quant_equalize(quant_job *j);
/* Upper end of the range of |x| by the calibrator; x [n] is reordered. levels: of one sign. */
double quant_range(const quant_job *j, float *x, int32_t n, int32_t levels);
/* The part of a range's mean squared error that is for values beyond those that were seen. */
double quant_unseen(double most, double range);
/* Scales of inputs, concatenated [n_in], and the largest |q - zero|. */
void quant_input_scales(const quant_job *j, int32_t layer, double *scale, double *limit);
double quant_power_of_two(double v); // the least that is not below v
/* Column of a source's element over all rows. */
void quant_column(const quant_trace *t, const float *base, int32_t n, int32_t element, float *x);

/* The model's table with these entries, made if it is not there yet. */
deft_status quant_table_tanh(quant_job *j, int32_t *index);
deft_status quant_table_full(quant_job *j, int32_t layer, double in_scale, int32_t *index);

deft_status quant_gather(quant_job *j, const deft_segment *s, int32_t n_segment, int32_t n);
deft_status quant_build_layer(quant_job *j, int32_t k); // into j->ql[k], scales into j->layer[k]
deft_status quant_build_dense(quant_job *j, int32_t k);
deft_status quant_build_recurrent(quant_job *j, int32_t k);
deft_status quant_build_other(quant_job *j, int32_t k);
/* Shift, preshift and multipliers: ratio [rows] of accumulator step to output step, bound [rows] of
 * the accumulator. */
typedef struct quant_ratio {
    int32_t rows;
    const double *ratio, *bound;
    bool wide; // may be shifted right before
} quant_ratio;
deft_status quant_requant(quant_job *j, int32_t layer, const quant_ratio *r, deft_qmatrix *out);
/* Output format, zero, lo, hi, table and the step [n_out] of v into ql[k] and step. */
deft_status quant_output(quant_job *j, int32_t k, double *step);

#endif
