/* understand.h - private: what the steps of deft_understand share.
 *
 * 1. trace: every value of the graph becomes a list of scalar elements. An element is a constant or
 *    names an output of an "op" (below). Operators that only move elements leave no trace; linear
 *    and elementwise ones become ops.
 * 2. functions: elementwise expressions of one variable that equal a known activation, layer
 *    normalisation in parts.
 * 3. cells: GRU and LSTM, native or of primitives; which graph inputs are their state.
 * 4. lower: from the action down, what it depends on becomes layer drafts.
 * 5. fold: normalisers and action scaling into the contract, biases and activations into layers.
 * 6. emit: the drafts as a deft_model. */
#ifndef DEFT_GRAPH_UNDERSTAND_H
#define DEFT_GRAPH_UNDERSTAND_H

#include "deft/model.h"

enum {
    UND_MAX_ELEMENTS = 1 << 18, // of one value
    UND_MAX_TOTAL = 1 << 23,    // of all
    UND_MAX_OPS = 1 << 17,
};

/* One scalar: element `at` of op `op`, or the constant c where op is -1. */
typedef struct und_ref {
    int32_t op, at;
    float c;
} und_ref;

/* From refs to numbers. */
typedef struct und_slot {
    und_ref key;
    int32_t value;
    bool used;
} und_slot;
typedef struct und_table {
    und_slot *slot;
    int32_t n, cap;
} und_table;

typedef enum und_kind {
    UND_INPUT = 1, // of the graph
    UND_DENSE,     // rows of a constant matrix over `in`
    UND_NORM,      // layer normalisation of `in`
    UND_CELL,      // a native GRU (h') or LSTM (h', then c')
    UND_ARGMAX,
    UND_SOFTMAX, // or its logarithm
    UND_MAP,     // elementwise: fn(x[0], x[1], x[2])
} und_kind;

typedef enum und_fn {
    UND_ACT = 1, // `act`
    UND_ADD,
    UND_SUB,
    UND_MUL,
    UND_DIV,
    UND_FMA, // x0 * x1 + x2
    UND_POW,
    UND_MIN,
    UND_MAX,
    UND_PRELU, // x1: the slope
    UND_EXP,
    UND_LOG,
    UND_SQRT,
    UND_ABS,
    UND_ERF,
    UND_SELECT, // x0 ? x1 : x2
    UND_GREATER,
    UND_GREATER_EQUAL,
} und_fn;

typedef struct und_cell und_cell;

/* Layer normalisation in parts: element k of the op is the normalised in[at[k]]. */
typedef struct und_norm {
    int32_t n;
    const und_ref *in;
    int32_t *at;
    float epsilon;
} und_norm;

typedef struct und_op {
    und_kind kind;
    und_fn fn;
    deft_activation act;
    int32_t node;  // of the graph, -1 for inputs
    int32_t value; // of the graph: element k is its element first + k; -1: none
    int64_t first;
    int32_t n;
    int32_t port;         // INPUT
    const und_ref *x[3];  // MAP [n]
    int32_t n_in;         // DENSE, NORM, ARGMAX, SOFTMAX
    const und_ref *in;    // [n_in]
    const float *weight;  // DENSE [n][n_in], NORM gamma [n] or NULL
    const float *bias;    // [n] or NULL
    int32_t weight_value; // of the graph, for names, -1: none
    bool mean;            // DENSE of one row of 1 / n_in
    bool gathers;         // DENSE of inputs from all over: its columns may change places
    float epsilon;
    /* found later */
    const und_ref *alt; // MAP [n]: element k is alt_act(alt[k]); NULL: not known to be one
    deft_activation alt_act;
    und_norm *norm;
    bool raw;       // MAP: part of nothing known so far
    und_cell *cell; // whose new h (or c) this is
    /* lowering */
    uint8_t *need;  // [n], NULL: none needed
    int32_t *draft; // [n] where it went
    int32_t *slot;
} und_op;

/* A GRU or LSTM. Gates r, z, n or i, f, g, o. */
struct und_cell {
    bool lstm, native, paired;
    bool reset_before;
    int32_t n, n_in;
    int32_t op;       // of the new h
    int32_t h_port;   // graph input that holds h
    const und_ref *x; // [n_in]
    und_ref *h, *c;   // [n] the old state; c LSTM
    und_ref *h_new, *c_new;
    und_ref *gate[4]; // primitives [n]: GRU - z n, LSTM i f g o, before their functions
    bool flip_z;      // z multiplies the candidate instead of the old h
    bool plain;       // h' is the candidate: no update gate (an Elman network)
    bool held;        // gates that the source does not have are held open or shut by biases
    float *weight, *weight_h, *bias, *bias_h; // as in deft_layer
    int32_t draft;
};

/* A shift register: output port `pair` of input port `port` is its elements moved by n_in. */
typedef struct und_history {
    int32_t port, output;
    int32_t n, n_in; // n = depth * n_in
    bool newest_first;
    const und_ref *e; // [n] the new history
    bool needed;
    int32_t draft;
} und_history;

typedef struct und_value {
    const deft_tensor *t; // constant, else NULL
    const und_ref *e;     // [shape.count], else NULL
    deft_tensor shape;    // of e, without data
    const char *why;      // neither: why not
    int32_t bad;          // and at which node, -1: a graph input
} und_value;

typedef struct und_src {
    deft_source_kind kind;
    int32_t index, at;
} und_src;

/* A layer in the making. */
typedef struct und_draft {
    deft_layer l;       // n_in, n_out, weights, ...; segments come last
    const und_ref *ref; // [n_in] inputs
    und_src *in;        // [n_in] the same, resolved
    int32_t op;         // order of the source
    bool dead;
    int32_t *value; // [n_out] origin
    int64_t *element;
    int32_t *uses; // [n_out] readers
    und_src *to;   // [n_out] dead: where its outputs are now, NULL: nowhere
    int32_t layer; // index in the model, -1: not placed yet
} und_draft;

typedef struct und {
    int64_t folded; // elements of constants computed so far
    int64_t work;   // what operators may still cost
    deft_graph *g;
    const deft_understand_options *opt;
    deft_arena *a; // scratch
    deft_error *err;
    und_value *value; // [g->n_value]
    und_op **op;
    int32_t n_op, cap_op;
    und_table known;   // ops by their contents
    int64_t n_element; // traced so far
    int64_t budget;    // what is left for looking at functions
    und_cell **cell;
    int32_t n_cell, cap_cell;
    int32_t *pair;        // [g->n_input] output port of the new state, -1: an observation
    int32_t *told;        // [g->n_input] the output that is to be it, as the metadata say; or -1
    int32_t *obs_at;      // [g->n_input] first observation of the port
    bool *state_need;     // [g->n_input]
    und_history *history; // [n_history]
    int32_t n_history;
    int32_t action; // output port
    bool discrete;
    int32_t n_head; // discrete actions
    int32_t *head;  // [n_head] how many outputs each chooses from
    int32_t n_out;
    und_ref *out;         // [n_out] network outputs
    int32_t *out_value;   // [n_out] graph value that each was, before the contract
    int64_t *out_element; // [n_out] and which element of it
    und_src *out_src;
    und_draft **draft;
    int32_t n_draft, cap_draft;
    bool noted_held;
    deft_model *m;
} und;

/* What a scalar is. */
typedef enum und_view_kind {
    UND_V_CONST = 1, // b
    UND_V_SOLID,     // no MAP (or a normalised element)
    UND_V_AFFINE,    // a x + b
    UND_V_SUM,       // x + a y
    UND_V_PRODUCT,   // x y
    UND_V_ACT,       // act(x)
    UND_V_RAW,       // a piece of something
} und_view_kind;
typedef struct und_view {
    und_view_kind kind;
    und_ref x, y;
    float a, b;
    deft_activation act;
} und_view;
und_view und_look(const und *u, und_ref r);
bool und_is_act(const und *u, und_ref r, deft_activation_kind kind, und_ref *x);

static inline bool und_same(und_ref a, und_ref b)
{
    return a.op == b.op && (a.op < 0 ? a.c == b.c : a.at == b.at);
}

static inline const und_value *und_output(const und *u, int32_t q)
{
    return &u->value[u->g->output[q].value];
}

static inline und_ref und_const(float c)
{
    return (und_ref){-1, 0, c};
}

/* helpers */
deft_status und_no_memory(und *u);
/* Counts n more elements; DEFT_E_RANGE where that is too many. */
deft_status und_count(und *u, int32_t node, int64_t n);
/* The node's outputs are unknown; an error only where an action depends on one. */
deft_status und_bad(und *u, int32_t node, const char *fmt, ...) DEFT_PRINTF(3, 4);
deft_status und_fail(und *u, int32_t node, deft_status s, const char *fmt, ...) DEFT_PRINTF(4, 5);
/* New op of n outputs with value = the node's output `port`, or -1 for none. NULL: no memory. */
und_op *und_add_op(und *u, und_kind kind, int32_t node, int32_t port, int32_t n);
/* The op just added, or an earlier one that computes the same, and then the new one is taken back.
 * -1: no memory. */
int32_t und_unique(und *u);
/* Elements of a value, constant or not. NULL: no memory. */
const und_ref *und_elements(und *u, int32_t value);
const deft_tensor *und_shape(const und *u, int32_t value);
/* The i-th input of a node, NULL where it is left out; its tensor if constant. */
const und_value *und_in(const und *u, int32_t node, int32_t i);
const deft_tensor *und_in_const(const und *u, int32_t node, int32_t i);
void und_set(und *u, int32_t node, int32_t port, const deft_tensor *shape, const und_ref *e);
float *und_floats(und *u, const deft_tensor *t); // as float32; NULL: no memory

int32_t und_table_get(const und_table *t, und_ref key); // -1: absent
bool und_table_put(und *u, und_table *t, und_ref key, int32_t value);

/* Operators: each sets the outputs of the node or calls und_bad; fails only for good. */
typedef deft_status und_handler(und *u, int32_t node);
typedef struct und_entry {
    const char *op;
    und_handler *run;
} und_entry;
extern const und_entry und_move_table[], und_map_table[], und_linear_table[], und_cell_table[],
    und_conv_table[];

deft_status und_move(und *u, int32_t k);
/* A dense op over in [n_in] with weight [n][n_in] and bias [n] or NULL. Returns its index, -1: no
 * memory. */
int32_t und_add_dense(und *u, int32_t node, const und_ref *in, const int32_t shape[2],
                      const float *weight);
/* Elementwise fn on n elements of each of n_x operands; refs of the results, simplified where an
 * operand is constant. port as in und_add_op. NULL: no memory. */
typedef struct und_call {
    und_fn fn;
    deft_activation act;
    int32_t port;
} und_call;
const und_ref *und_add_map(und *u, int32_t node, und_call call, const und_ref *const x[3],
                           int64_t n);
/* Operands a and b of a node as lists of the broadcast shape; false: they do not fit (marked bad).
 */
typedef struct und_pair {
    deft_tensor shape;
    const und_ref *x[3];
} und_pair;
deft_status und_broadcast(und *u, int32_t node, int32_t n_x, const int32_t *input, und_pair *out);

double und_fn_eval(und_fn fn, deft_activation act, const double x[3]);

/* steps */
deft_status und_trace(und *u);
deft_status und_find_functions(und *u);
deft_status und_find_cells(und *u);
/* A cell as wide as op k, to be filled in. NULL: no memory. */
und_cell *und_new_cell(und *u, int32_t k);
deft_status und_add_cell(und *u, und_cell *c);
deft_status und_extract_gates(und *u, und_cell *c); // DEFT_E_UNSUPPORTED without a text: not one
bool und_sounds_like_state(const char *name);
/* The output that is the action whatever else it may look like, by the user's word or by its name.
 * -1: none says so. */
int32_t und_named_action(const und *u);
deft_status und_find_state(und *u);
bool und_carries_state(const und *u, int32_t q); // output q is the new value of some input
deft_status und_choose_action(und *u);
deft_status und_peel_action(und *u); // scaling and limits of the action into the contract
deft_status und_find_needs(und *u);
deft_status und_lower(und *u);
/* The cell whose old h is element at of input op, and which of it. NULL: none. */
const und_cell *und_cell_of(const und *u, int32_t op, int32_t at, int32_t *k);
const und_history *und_history_of(const und *u, int32_t port);
bool und_any_need(const und_op *op);
deft_status und_fold_observations(und *u); // normalisers into the contract
deft_status und_fuse(und *u);              // biases, scales and activations into layers
const char *und_draft_name(und *u, const und_draft *d);
und_src und_follow(const und *u, und_src s);
deft_status und_emit(und *u);

#endif
