/* onnx_build.h - private: nodes and tensors of an ONNX graph under construction. */
#ifndef DEFT_FORMATS_ONNX_BUILD_H
#define DEFT_FORMATS_ONNX_BUILD_H

#include "deft/base.h"
#include "deft/graph.h"

#include <onnx/onnx.pb-c.h>

/* Pointers in the arena, growing. */
typedef struct onnx_list {
    size_t n, room;
    void **item;
} onnx_list;

typedef struct onnx_builder onnx_builder;
/* item NULL: memory ran out. */
void onnx_list_push(onnx_builder *b, onnx_list *list, void *item);

/* Memory that runs out is noted in `failed` and asked for once, at the end; until then names are
 * "" and nodes are dropped. */
struct onnx_builder {
    deft_arena *a;
    bool failed;
    onnx_list node, tensor, input, output, meta;
};

/* "prefix/part" and "prefix.part". */
const char *onnx_value_name(onnx_builder *b, const char *prefix, const char *part);
const char *onnx_tensor_name(onnx_builder *b, const char *prefix, const char *part);

/* A node with its first output; returns that output's name, which is the node's name too. in ends
 * with NULL; "" is an input left out. */
const char *onnx_add_node(onnx_builder *b, const char *op, const char *out, const char *const *in);
/* More of the node added last: further outputs and attributes. */
void onnx_add_output(onnx_builder *b, const char *out);
void onnx_add_int(onnx_builder *b, const char *attr, int64_t v);
void onnx_add_float(onnx_builder *b, const char *attr, float v);
void onnx_add_ints(onnx_builder *b, const char *attr, size_t n, const int64_t *v);
/* Lists of operands for onnx_add_node. */
#define ONNX_IN(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Initializers; return their names. rows 0: one dimension of cols; both 0: a scalar. */
const char *onnx_add_matrix(onnx_builder *b, const char *name, int32_t rows, int32_t cols,
                            const float *v);
const char *onnx_add_vector(onnx_builder *b, const char *name, int32_t n, const float *v);
const char *onnx_add_scalar(onnx_builder *b, const char *name, float v);
/* type: ONNX's number of t's. */
void onnx_add_tensor(onnx_builder *b, const char *name, int32_t type, const deft_tensor *t);
const char *onnx_add_int64(onnx_builder *b, const char *name, size_t n, const int64_t *v);

/* A graph input or output of shape dim[rank]. type: ONNX's number. */
void onnx_add_port(onnx_builder *b, onnx_list *list, const char *name, int32_t type,
                   const int64_t *dim, int rank);
void onnx_add_meta(onnx_builder *b, const char *key, const char *value);

/* Gives the value `old`, the output of a node, another name wherever it appears. */
void onnx_rename(onnx_builder *b, const char *old, const char *name);

/* The serialized ModelProto, opset 17, IR version 8. */
deft_status onnx_build(onnx_builder *b, const char *graph_name, deft_bytes *out, deft_error *err);

#endif
