/* model.h - the canonical policy: a short list of layers with explicit state, and the contract
 * that says what its observations and actions mean. Everything Deft reads becomes one; everything
 * Deft writes is made from one.
 *
 * One control step:
 *   obs [contract.n_obs] --contract--> OBS, previous action --contract--> PREV
 *   layers in order, each reading segments of OBS, PREV, earlier layers' outputs and the state
 *   as it was before the step;
 *   output segments --contract--> act [contract.n_act];
 *   then every recurrent layer's new state replaces its old one. */
#ifndef DEFT_MODEL_H
#define DEFT_MODEL_H

#include "deft/activation.h"
#include "deft/base.h"
#include "deft/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where some inputs of a layer come from. */
typedef enum deft_source_kind {
    DEFT_SRC_OBS = 1, // the observation behind the contract's normalisation
    DEFT_SRC_PREV,    // the previous action, as the network wants it: (applied - offset) / scale
    DEFT_SRC_LAYER,   // the output of an earlier layer (for GRU and LSTM: the new h)
    DEFT_SRC_STATE,   // the h of recurrent layer `index` as it was before this step
} deft_source_kind;

typedef struct deft_segment {
    deft_source_kind kind;
    int32_t index;          // of the layer, for LAYER and STATE; else 0
    int32_t offset, length; // elements of the source
} deft_segment;

typedef enum deft_layer_kind {
    DEFT_LAYER_DENSE = 1, // y = f(W x + b)
    DEFT_LAYER_GRU,       // see deft_layer
    DEFT_LAYER_LSTM,
    DEFT_LAYER_LAYERNORM,  // y = f((x - mean) / sqrt(var + eps) * gamma + beta)
    DEFT_LAYER_ACTIVATION, // y = f(x)
    DEFT_LAYER_AFFINE,     // y = f(x * gamma + beta), elementwise
    DEFT_LAYER_ADD,        // y = f(x0 + x1): in holds x0's n_out elements, then x1's
    DEFT_LAYER_MUL,        // y = f(x0 * x1), likewise
    DEFT_LAYER_HISTORY,    // y = the last `depth` inputs, see deft_layer
} deft_layer_kind;

/* Matrices are row-major [n_out][n_in]. Gate order: GRU r, z, n; LSTM i, f, g, o (PyTorch's).
 * GRU, H = n_out:
 *   r = sigmoid(Wr x + br + Ur h + cr), z = sigmoid(Wz x + bz + Uz h + cz)
 *   reset after  (PyTorch): n = tanh(Wn x + bn + r * (Un h + cn))
 *   reset before (Keras 1, ONNX default): n = tanh(Wn x + bn + Un (r * h) + cn)
 *   h' = n + z * (h - n)
 * LSTM: c' = f * c + i * g, h' = o * tanh(c'); its output is h'.
 * HISTORY: n_in elements pushed each step, y [depth * n_in] (oldest first unless newest_first);
 * after a reset the first input fills the whole history if fill_first, else zeros. */
typedef struct deft_layer {
    deft_layer_kind kind;
    const char *name; // where it came from ("td3_actor_net.0"), for people
    int32_t n_in, n_out;
    int32_t n_segment;
    deft_segment *in; // their lengths add up to n_in
    deft_activation activation;
    float *weight;     // DENSE [n_out][n_in]; GRU [3H][n_in]; LSTM [4H][n_in]; gamma [n_out]
    float *bias;       // DENSE [n_out]; GRU [3H]; LSTM [4H]; beta [n_out]; NULL: zeros
    float *weight_h;   // GRU [3H][H], LSTM [4H][H]
    float *bias_h;     // GRU [3H], LSTM [4H]; NULL: zeros
    float epsilon;     // LAYERNORM
    int32_t depth;     // HISTORY
    bool reset_before; // GRU
    bool newest_first, fill_first; // HISTORY
    /* Which graph values this layer's outputs are, for verification: element k of the output is
     * element origin_element[k] of value origin_value[k]. NULL for models not read from a graph. */
    const int32_t *origin_value;
    const int64_t *origin_element;
} deft_layer;

/* How the policy's own numbers relate to the world's. All arrays may be NULL (defaults in
 * brackets); units are free text ("rad", "A"), "" where unknown. */
typedef struct deft_contract {
    const char *name; // "quaid", "pendulum", "" for none
    int32_t n_obs, n_act;
    const char **obs_name, **obs_unit; // [n_obs]
    float *obs_offset, *obs_scale;     // x = (obs - offset) * scale [0, 1]
    float *obs_lo, *obs_hi;            // then clipped to [lo, hi] [-inf, inf]
    float *obs_least, *obs_most; // what obs can be, in its own unit, as far as known [-inf, inf]:
                                 // decides nothing, but tells a quantizer what to expect
    const char **act_name, **act_unit; // [n_act]
    float *act_scale, *act_offset;     // act = y * scale + offset [1, 0]
    float *act_lo, *act_hi;            // then clipped to [lo, hi] [-inf, inf]
    bool discrete;                     // actions are indices of the largest output
    int32_t *choices;                  // discrete [n_act]: of how many outputs each; NULL: n_act
                                       // is 1, and it chooses from all
    double period_s;                   // control period in seconds, 0 where unknown
    int32_t n_note;                    // further facts, e.g. "default_joint_pos"
    const deft_meta *note;
} deft_contract;

/* What a graph's input is to the policy that was read from it. */
typedef enum deft_port_kind {
    DEFT_PORT_UNUSED = 0, // no action depends on it (it is fed zeros)
    DEFT_PORT_OBS,        // its elements, row-major, are observations index, index + 1, ...
    DEFT_PORT_STATE,      // zeros at first, then what graph output `index` gave in the step before
} deft_port_kind;

typedef struct deft_port_role {
    deft_port_kind kind;
    int32_t index;
    int32_t rank; // the shape to feed, dynamic dimensions settled (usually to 1)
    int64_t dim[DEFT_MAX_RANK];
} deft_port_role;

typedef struct deft_model {
    deft_arena *arena; // everything below lives here; not owned
    const char *source;
    uint8_t source_sha256[32];
    deft_contract contract;
    int32_t n_layer; // 1 to 4096
    deft_layer *layer;
    int32_t n_output; // outputs of the network before the contract (= n_act unless discrete)
    int32_t n_out_segment;
    deft_segment *out;    // their lengths add up to n_output
    int32_t n_assumption; // what had to be assumed to understand the source, for people
    const char *const *assumption;
    /* For verification and lint, set by deft_understand: the role of every graph input
     * [g->n_input]; and of which graph value the actions (the outputs before the argmax if
     * discrete) [n_output] are which elements, NULL where the graph ends before them. */
    const deft_port_role *port; // NULL for models not read from a graph
    const int32_t *act_value;
    const int64_t *act_element;
    bool changed; // inputs or wiring, since it was read: it no longer runs as its graph does
} deft_model;

/* Checks every rule stated above (segments in range and backward, shapes, finite weights). All
 * readers and passes end with it. Errors name the layer. */
deft_status deft_model_check(const deft_model *m, deft_error *err);
const char *deft_layer_kind_name(deft_layer_kind k);
const char *deft_activation_name(deft_activation_kind k);
bool deft_activation_parse(const char *name, deft_activation *out); // false: unknown

/* Adds a sentence to m->assumption. */
deft_status deft_model_assume(deft_model *m, const char *fmt, ...) DEFT_PRINTF(2, 3);

/* The reference interpreter: float32, unfused, left to right, the functions of the runtime. */
typedef struct deft_model_eval deft_model_eval;
deft_status deft_model_eval_create(const deft_model *m, deft_model_eval **out, deft_error *err);
void deft_model_eval_destroy(deft_model_eval *e);
void deft_model_eval_reset(deft_model_eval *e);
/* As deft_policy_step: applied_prev NULL means the last act. */
deft_status deft_model_eval_step(deft_model_eval *e, const float *obs, const float *applied_prev,
                                 float *act);
const float *deft_model_eval_layer(const deft_model_eval *e, int32_t layer); // [n_out], last step

/* What a graph leaves open. Zero means: find out. */
typedef struct deft_understand_options {
    const char *action_output; // name of the output that is the action
    bool discrete;             // the outputs are Q values, the action their argmax
    bool rewire_cascade;       // let layer l+1 read layer l's new state
} deft_understand_options;

/* Graph to canonical policy: folds constants, recognises recurrent cells and heads, reads the
 * wiring, drops what no action depends on, folds normalisers and action scaling into the contract.
 * The model is allocated in g->arena. DEFT_E_UNSUPPORTED says at which node and why. */
deft_status deft_understand(deft_graph *g, const deft_understand_options *opt, deft_model **out,
                            deft_error *err);

/* Runs the canonical policy beside the graph through `steps` random recurrent steps (inputs of
 * deft_rng_normal; the graph's state is fed back to it, and the policy goes on from the same one
 * (but for the cells of LSTMs), since some recurrent networks amplify rounding without bound) and
 * compares every layer's output, states among them, with the graph values it stands for.
 * DEFT_E_MISMATCH above `tolerance` (absolute; relative for numbers above 1), naming the node at
 * which the difference first appears. The policy must be as deft_understand made it: verify before
 * contracts, previous actions and rewiring. worst: the largest difference seen before, and the
 * offending one if there is one; may be NULL. DEFT_E_ARG for a model that was not read from a graph
 * or is no longer as it was read. */
deft_status deft_verify(const deft_graph *g, const deft_model *m, int32_t steps, float tolerance,
                        uint64_t seed, float *worst, deft_error *err);

typedef enum deft_wiring {
    DEFT_WIRING_NONE = 0, // no recurrent layer reads another
    DEFT_WIRING_CASCADE,  // layer l+1 reads the new state of layer l
    DEFT_WIRING_DELAYED,  // some layer, or the output, reads another's state from before the step
} deft_wiring;
deft_wiring deft_model_wiring(const deft_model *m);
const char *deft_wiring_name(deft_wiring w); // "none", "cascade", "delayed"
/* Lets every reader of another layer's old state read its new one. Layers keep their order but
 * where a source has to move before its reader. Returns how many segments changed, or
 * DEFT_E_UNSUPPORTED (the policy is unchanged) where layers would have to wait for each other. */
int32_t deft_model_rewire(deft_model *m, deft_error *err);

typedef struct deft_model_stats {
    int64_t parameters;    // weights and biases of all layers
    int64_t macs;          // multiply-accumulates of dense and recurrent layers per step
    int32_t state;         // floats of state
    const char *recurrent; // "gru", "lstm", "history" or NULL
    int32_t recurrent_layers, hidden;
} deft_model_stats;
void deft_model_count(const deft_model *m, deft_model_stats *out);

/* Lint: what a careful reviewer would want to know. */
typedef struct deft_warning {
    const char *code; // "delayed-wiring", ...; docs/guide-lint.md explains each
    const char *text;
} deft_warning;
/* g may be NULL (then what only the graph shows is left out). Arrays live in a.
 * Returns the number of warnings, or a status < 0. */
int32_t deft_model_lint(const deft_model *m, const deft_graph *g, deft_arena *a,
                        const deft_warning **out);

/* Contracts by name: "quaid" (raw sensor values, division folded), "quaid-normalised" (the values
 * the environment emits), "pendulum". Names, units, scales, previous-action feedback, action
 * limits and period are set on the model; the first inputs become the previous action where the
 * contract says so (RA policies: 8 previous actions, then 17 observations). A normaliser that the
 * policy already has stays, behind the contract's. Setting a contract twice, or the other form of
 * it, does what one expects. DEFT_E_MISMATCH if the shapes differ, DEFT_E_ARG for an unknown name
 * (the text lists what there is). */
deft_status deft_model_set_contract(deft_model *m, const char *name, deft_error *err);
/* Discrete actions from outputs y [n_output]: act [n_act]. */
void deft_contract_choose(const deft_contract *c, const float *y, int32_t n_output, float *act);
bool deft_contract_has_name(const char *name); // is it one of these?
/* Does the contract say what the known one of its name says: names, units, and first its notes?
 * Then images hold its name alone. What a name stands for never changes. */
bool deft_contract_is_known(const deft_contract *c);
int32_t deft_contract_known_notes(const char *name); // 0 for unknown ones
/* Where the values of observation i usually are, in the contract's units; false where only the user
 * can know. */
bool deft_contract_known_range(const deft_contract *c, int32_t i, float *lo, float *hi);
/* What a contract known by name divides the world's value by (1: nothing). */
float deft_contract_known_divisor(const deft_contract *c, int32_t i);
/* Gives the contract the names, units and, before its own, notes of a known one. DEFT_E_VERSION for
 * a name that is not known, or numbers that do not fit. */
deft_status deft_contract_name(deft_contract *c, const char *name, deft_arena *a, deft_error *err);
/* The first (or last) n_act inputs are the previous action: turns them from OBS into PREV. What
 * the contract's normaliser did to them becomes an AFFINE layer. DEFT_E_MISMATCH if there are no
 * more than n_act observations, or the policy already reads the previous action. */
deft_status deft_model_feed_previous(deft_model *m, bool first, deft_error *err);

#ifdef __cplusplus
}
#endif

#endif
