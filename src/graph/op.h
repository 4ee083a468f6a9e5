/* op.h - private: what the implementations of operators share. */
#ifndef DEFT_GRAPH_OP_H
#define DEFT_GRAPH_OP_H

#include "deft/graph.h"

enum { OP_MAX_LIST = 64 };

typedef struct op_ctx {
    const deft_node *node;
    int32_t opset;
    const deft_tensor *const *in; // [node->n_in]
    deft_tensor *out;             // [node->n_out]
    deft_arena *arena;
    int64_t *work; // left, NULL: not limited
    deft_error *err;
} op_ctx;

typedef deft_status op_fn(op_ctx *c);

/* The i-th input, NULL where it was left out. */
const deft_tensor *op_in(const op_ctx *c, int32_t i);
deft_status op_fail(const op_ctx *c, deft_status s, const char *fmt, ...) DEFT_PRINTF(3, 4);
/* The work of one element of a result that is computed by itself, and of one multiplication of a
 * product that is not of float32. */
enum { OP_WORK_ELEMENT = 8, OP_WORK_ANY = 4 };
/* Takes n times `each` from what the node may cost: before it is spent, and before memory is. */
deft_status op_charge(const op_ctx *c, int64_t n, int64_t each);
/* Allocates output i (zeroed), charged for. */
deft_status op_out(op_ctx *c, int32_t i, deft_dtype dtype, int32_t rank, const int64_t *dim);
/* axis in [-rank, rank) to [0, rank); -1 if outside. */
int32_t op_axis(int64_t axis, int32_t rank);
/* A list of integers from attribute `name` or, where that is absent, from input i (i -1: only the
 * attribute). Returns its length (0 where both are absent), or -1 after op_fail. */
int32_t op_list(op_ctx *c, const char *name, int32_t i, int64_t dst[OP_MAX_LIST]);
/* Element k as a number; integers beyond 2^53 round in the first. */
double op_get_f64(const deft_tensor *t, int64_t k);
int64_t op_get_i64(const deft_tensor *t, int64_t k);   // floats: truncated, saturated, NaN is 0
void op_set_f64(deft_tensor *t, int64_t k, double v);  // integers: truncated, saturated
void op_set_i64(deft_tensor *t, int64_t k, int64_t v); // narrower integers: wrapped
bool op_is_float(deft_dtype t);
/* The element type that ONNX numbers so (f16 and bf16: f32), 0 for one that has none here. */
deft_dtype op_onnx_dtype(int64_t type);

/* Right-aligned broadcast of two shapes. DEFT_E_FORMAT if they do not fit. */
deft_status op_broadcast(const op_ctx *c, const deft_tensor *a, const deft_tensor *b, int32_t *rank,
                         int64_t dim[DEFT_MAX_RANK]);
/* Element offset in t of the k-th element of the broadcast shape. */
int64_t op_broadcast_at(const deft_tensor *t, int32_t rank, const int64_t *dim, int64_t k);
/* Product of dim[from..to). */
int64_t op_product(const deft_tensor *t, int32_t from, int32_t to);

/* NULL if the operator is not known. */
op_fn *op_find(const char *name);

/* Tables of the single files, ended by a NULL name. */
typedef struct op_entry {
    const char *name;
    op_fn *run;
} op_entry;
extern const op_entry op_table_elementwise[], op_table_linear[], op_table_shape[], op_table_index[],
    op_table_reduce[], op_table_recurrent[], op_table_quantize[], op_table_constant[],
    op_table_conv[];

#endif
