/* graph.h - a computation graph as somebody's exporter wrote it (ONNX semantics), and its
 * reference evaluator. Transparent: passes read it freely and change it through deft_graph_*. */
#ifndef DEFT_GRAPH_H
#define DEFT_GRAPH_H

#include "deft/base.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { DEFT_MAX_RANK = 8 };

typedef enum deft_dtype {
    DEFT_F32 = 1,
    DEFT_F64,
    DEFT_F16, // only in files: readers widen f16 and bf16 to f32
    DEFT_I8,
    DEFT_U8,
    DEFT_I16,
    DEFT_U16,
    DEFT_I32,
    DEFT_U32,
    DEFT_I64,
    DEFT_U64,
    DEFT_BOOL, // one byte, 0 or 1
} deft_dtype;

size_t deft_dtype_size(deft_dtype t); // bytes, 0 for an unknown one
const char *deft_dtype_name(deft_dtype t);

/* Row-major, dense. */
typedef struct deft_tensor {
    deft_dtype dtype;
    int32_t rank;               // 0 is a scalar
    int64_t dim[DEFT_MAX_RANK]; // >= 0
    int64_t count;              // product of dim
    void *data;                 // count elements, native byte order, aligned to 16
} deft_tensor;

/* Allocates data (zeroed) in the arena. DEFT_E_RANGE for a shape that overflows, DEFT_E_SPACE. */
deft_status deft_tensor_init(deft_tensor *t, deft_dtype dtype, int32_t rank, const int64_t *dim,
                             deft_arena *a);

typedef enum deft_attr_kind {
    DEFT_ATTR_INT = 1,
    DEFT_ATTR_FLOAT,
    DEFT_ATTR_STRING,
    DEFT_ATTR_TENSOR,
    DEFT_ATTR_INTS,
    DEFT_ATTR_FLOATS,
    DEFT_ATTR_STRINGS,
} deft_attr_kind;

typedef struct deft_attr {
    const char *name;
    deft_attr_kind kind;
    float f;
    int64_t i;
    const char *s; // NUL-terminated; inner NULs are refused by the readers
    const deft_tensor *t;
    int64_t n; // length of the list kinds
    const int64_t *ints;
    const float *floats;
    const char *const *strings;
} deft_attr;

/* One tensor-valued edge. */
typedef struct deft_value {
    const char *name;            // unique, as in the file (escape it before printing)
    const deft_tensor *constant; // an initializer's tensor, else NULL
    int32_t producer;            // node index, -1 for inputs and constants
} deft_value;

typedef struct deft_node {
    const char *name; // may be ""
    const char *op;   // "Gemm"; the default ONNX domain only
    int32_t n_in, n_out;
    const int32_t *in;  // [n_in] value indices, -1: an optional input left out
    const int32_t *out; // [n_out] likewise
    int32_t n_attr;
    const deft_attr *attr;
} deft_node;

/* A graph input or output, with its declared type. */
typedef struct deft_port {
    int32_t value;
    deft_dtype dtype;           // 0 where the file does not say
    int32_t rank;               // -1 where the file does not say
    int64_t dim[DEFT_MAX_RANK]; // -1: dynamic
} deft_port;

typedef struct deft_meta {
    const char *key, *value;
} deft_meta;

/* An input that was left out because it only resets a state. */
typedef struct deft_reset {
    int32_t before; // inputs that stayed before it
    float value;    // with which it resets
} deft_reset;

typedef struct deft_graph {
    deft_arena *arena;    // everything below lives here; not owned by the graph
    const char *source;   // file name, for messages
    uint8_t sha256[32];   // of the file's bytes
    uint64_t size;        // bytes it was read from, external data included; 0: not from a file
    const char *producer; // "pytorch 2.2.2", or ""
    int32_t opset;
    int32_t n_value, n_node, n_input, n_output, n_meta;
    deft_value *value;
    deft_node *node;  // topologically ordered once deft_graph_finish succeeded
    deft_port *input; // initializers are not inputs
    deft_port *output;
    deft_meta *meta;
    int32_t n_note; // what deft_graph_settle did, for people
    const char *const *note;
    int32_t n_reset; // in the order of the inputs
    const deft_reset *reset;
} deft_graph;

/* Checks what readers fill in (indices, one producer a value, no cycle, opset 7 to 25), sets
 * producers and sorts the nodes. Errors name the node. */
deft_status deft_graph_finish(deft_graph *g, deft_error *err);

/* An encoder and a policy that reads its output as one graph, in the policy's arena: observations
 * are the encoder's inputs, then what else the policy reads. Where one input of the policy reads
 * the encoder's output and more, place says which comes first: "first" or "last" (the encoder's
 * output); NULL where nothing has to be said. DEFT_E_UNSUPPORTED says what has to be. */
deft_status deft_graph_join(const deft_graph *encoder, const deft_graph *policy, const char *place,
                            deft_graph **out, deft_error *err);

/* What the ports leave open, found out by running the graph before it is understood:
 *   sizes that inputs do not declare, where only one of the constants' sizes fits;
 *   a fixed batch whose rows are all one network becomes one row;
 *   inputs that reset a state ("done", "episode_start") become constants: deft_policy_reset does
 *   what they do.
 * Whatever changes is said in g->note. DEFT_E_UNSUPPORTED names the input and what to do where
 * sizes stay open or a batch cannot become one row. A graph that cannot be run stays as it is. */
deft_status deft_graph_settle(deft_graph *g, deft_error *err);

/* "node 12 'Gemm' (/actor/0/Gemm)", escaped, for messages. Returns buf. */
const char *deft_node_label(const deft_graph *g, int32_t node, char *buf, size_t n);
const deft_attr *deft_node_attr(const deft_node *n, const char *name); // NULL if absent
int64_t deft_node_int(const deft_node *n, const char *name, int64_t fallback);
float deft_node_float(const deft_node *n, const char *name, float fallback);
const char *deft_graph_meta(const deft_graph *g, const char *key); // NULL if absent

/* Is this operator known to the evaluator? */
bool deft_op_known(const char *op);

/* The reference evaluator: plain loops, float32 arithmetic unfused and left to right. One
 * evaluator serves one thread. Slow by design; it defines what a graph means. */
typedef struct deft_graph_eval deft_graph_eval;

/* Takes an opset too: semantics of Split, Squeeze, ... depend on it. The graph must outlive it.
 * DEFT_E_UNSUPPORTED names the first node whose operator is not known. */
deft_status deft_graph_eval_create(const deft_graph *g, deft_graph_eval **out, deft_error *err);
void deft_graph_eval_destroy(deft_graph_eval *e);

/* in [g->n_input], out [g->n_output] (borrowed until the next run). Shapes are checked against
 * what the operators need, not against the declared ones. */
deft_status deft_graph_eval_run(deft_graph_eval *e, const deft_tensor *in, const deft_tensor **out,
                                deft_error *err);
/* Any value of the last run, NULL where it was not computed. */
const deft_tensor *deft_graph_eval_value(const deft_graph_eval *e, int32_t value);

/* What all runs took, in the units of deft_op_env. */
int64_t deft_graph_eval_spent(const deft_graph_eval *e);

/* What a node runs in. work: what it may still cost, about nanoseconds of plain loops; every run
 * takes its part before it begins, and one for which too little is left is DEFT_E_RANGE. NULL: as
 * much as it takes. */
typedef struct deft_op_env {
    int32_t opset;
    deft_arena *arena; // of results
    int64_t *work;
} deft_op_env;

/* One node on given operands: what the evaluator does, for constant folding and for passes that
 * move indices through shape operators. in [n->n_in] (NULL: left out). */
deft_status deft_op_run(const deft_node *n, const deft_op_env *env, const deft_tensor *const *in,
                        deft_tensor *out, deft_error *err);

/* What a file may ask for, in proportion to its bytes: for all its constants together, and for
 * each step. */
int64_t deft_graph_work_constants(const deft_graph *g);
int64_t deft_graph_work_step(const deft_graph *g);

#ifdef __cplusplus
}
#endif

#endif
