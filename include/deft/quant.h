/* quant.h - from the float policy to an integer one: calibration, schemes, error reports.
 * docs/guide-quantize.md explains the choices and the mathematics. */
#ifndef DEFT_QUANT_H
#define DEFT_QUANT_H

#include "deft/qmodel.h"
#include "deft/rollout.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- calibration data: what the policy saw and what was really done --------------------------- */

typedef struct deft_calibration deft_calibration;

/* m is borrowed. max_steps: further steps are dropped; 0: 12000. */
deft_status deft_calibration_create(const deft_model *m, int32_t max_steps, deft_calibration **out,
                                    deft_error *err);
void deft_calibration_destroy(deft_calibration *c); // NULL is fine
/* The next step begins an episode. */
void deft_calibration_reset(deft_calibration *c);
/* One control step: obs [n_obs], applied_prev [n_act] what was done before it (NULL: the policy's
 * own last action; zeros at the start of an episode), both in the contract's units. DEFT_E_RANGE if
 * a number is not finite. */
deft_status deft_calibration_add(deft_calibration *c, const float *obs, const float *applied_prev,
                                 deft_error *err);
/* Steps without data: sequences of observations, slow and fast, held and in steps, made of what the
 * contract says. For each observation the first of these that there is: the range that its
 * contract is known to have, the normaliser's statistics (mean and deviation, its clip), the
 * contract's limits, the range of parts of unit vectors (quaternions, sines, gravity, by name), and
 * else a normal distribution with mean 0 and deviation 1. out: how many had which. */
typedef struct deft_synthetic {
    int32_t n_obs, known, normalised, limited, assumed;
} deft_synthetic;
deft_status deft_calibration_add_synthetic(deft_calibration *c, uint64_t seed, deft_synthetic *out,
                                           deft_error *err);
int32_t deft_calibration_steps(const deft_calibration *c);
int32_t deft_calibration_dropped(const deft_calibration *c);

/* --- quantization ---------------------------------------------------------------------------- */

/* Where the range of activations ends whose range is not known beforehand. */
typedef enum deft_calibrator {
    DEFT_CALIBRATOR_DEFAULT = 0, // mse
    DEFT_CALIBRATOR_MINMAX,
    DEFT_CALIBRATOR_PERCENTILE,
    DEFT_CALIBRATOR_MSE,     // least squared error of rounding and clipping
    DEFT_CALIBRATOR_ENTROPY, // least Kullback-Leibler divergence (TensorRT's)
} deft_calibrator;
bool deft_calibrator_parse(const char *name, deft_calibrator *out); // "minmax", ...
const char *deft_calibrator_name(deft_calibrator c);

/* Zero what you do not set: zero means the scheme's default. */
typedef struct deft_quant_options {
    const char *scheme; // NULL: "int8"; see deft_quant_scheme_name
    deft_calibrator calibrator;
    double percentile;       // of |x|, 0: 99.99
    int32_t weight_bits;     // 2 to 16
    int32_t activation_bits; // 2 to 16
    bool narrow_inputs;      // observations, previous actions and state have activation_bits too
    bool symmetric;          // activations signed around zero: ReLU then uses half of the levels
    bool per_tensor;         // one scale for all weights of a matrix, one for all units of a layer
    bool nearest;            // weights rounded to nearest, not error compensating
    bool no_equalization;    // scales of units by their own range alone
    bool no_bias_correction;
    bool all_layers; // below 8 bits: the sensitive matrices, too (default: some keep 8 bits)
} deft_quant_options;

/* The index-th scheme, NULL behind the last; what it is in one line. */
const char *deft_quant_scheme_name(int32_t index);
const char *deft_quant_scheme_text(int32_t index);

/* The integer policy of m; it lives in a, refers to m and passes deft_qmodel_check. The same input
 * gives the same result. DEFT_E_ARG for unknown schemes, options out of range or no calibration
 * data, DEFT_E_RANGE where accumulators cannot be kept in 32 bits (naming layer and channel). */
deft_status deft_quantize(const deft_model *m, const deft_calibration *c,
                          const deft_quant_options *opt, deft_arena *a, deft_qmodel **out,
                          deft_error *err);

/* ONNX Runtime's dynamic quantization of a float graph, for comparison: every MatMul and Gemm with
 * a constant second operand becomes DynamicQuantizeLinear (u8, one scale per tensor and step) and
 * MatMulInteger with symmetric int8 weights (one scale per tensor, or per column). The new graph
 * lives in a and runs in the reference evaluator. */
deft_status deft_quant_dynamic(const deft_graph *g, bool per_column, deft_arena *a,
                               deft_graph **out, deft_error *err);

/* --- the integer policy on the host ------------------------------------------------------------
 */

/* Plain loops, straight from qmodel.h; the runtime gives the same bits. q must outlive it. */
typedef struct deft_qmodel_eval deft_qmodel_eval;
deft_status deft_qmodel_eval_create(const deft_qmodel *q, deft_qmodel_eval **out, deft_error *err);
void deft_qmodel_eval_destroy(deft_qmodel_eval *e);
void deft_qmodel_eval_reset(deft_qmodel_eval *e);
/* As deft_policy_step. */
deft_status deft_qmodel_eval_step(deft_qmodel_eval *e, const float *obs, const float *applied_prev,
                                  float *act);
const int16_t *deft_qmodel_eval_layer(const deft_qmodel_eval *e, int32_t layer); // [n_out]
/* Values at the ends of their number format in the last step's inputs and layers. */
int64_t deft_qmodel_eval_saturated(const deft_qmodel_eval *e, int32_t layer); // -1: OBS and PREV
/* Replaces the state h [n_out] that the next step of a GRU layer starts from. */
void deft_qmodel_eval_set_h(deft_qmodel_eval *e, int32_t layer, const float *h);

/* --- error reports --------------------------------------------------------------------------- */

typedef struct deft_quant_matrix {
    int32_t layer, matrix; // matrix 0: w, 1: u
    int32_t bits;          // that the largest weight takes, sign included
    int64_t weights;
    double sqnr_db; // of the weights
    deft_qproof proof;
} deft_quant_matrix;

/* Signal-to-noise of a layer's outputs in dB and the largest error in units of its values, in
 * steps from the float policy's state and previous action, and running free on its own. */
typedef struct deft_quant_layer {
    const char *name;
    deft_number out_format;
    double sqnr_db, worst;
    double free_sqnr_db, free_worst;
    int64_t saturated; // values at the end of their format, running free
} deft_quant_layer;

typedef struct deft_quant_report {
    int32_t steps;
    int32_t n_matrix;
    const deft_quant_matrix *matrix;
    int32_t n_layer;
    const deft_quant_layer *layer;
    int64_t input_saturated;
    double action_rms, action_worst; // errors in the contract's units
    double free_action_rms, free_action_worst;
    /* Of discrete policies: decisions that are others, in steps from the float policy's state and
     * running free; the largest margin (of the largest float output over the next) of a changed
     * one, and the median of all. */
    int32_t decisions, changed, free_changed; // decisions 0: not discrete
    double changed_margin, median_margin;
    int32_t n_divergence;     // rms action error at step 0, 1, ... of the episodes, running free
    const double *divergence; // [n_divergence]
} deft_quant_report;

/* Runs both policies side by side over the calibration data. Arrays live in a. */
deft_status deft_quant_measure(const deft_model *m, const deft_qmodel *q, const deft_calibration *c,
                               deft_arena *a, deft_quant_report *out, deft_error *err);

#ifdef __cplusplus
}
#endif

#endif
