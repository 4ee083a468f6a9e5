/* formats.h - foreign files. Every reader takes hostile bytes: checked arithmetic, nothing is
 * executed, errors name the file and the place. */
#ifndef DEFT_FORMATS_H
#define DEFT_FORMATS_H

#include "deft/base.h"
#include "deft/graph.h"
#include "deft/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum deft_format {
    DEFT_FORMAT_UNKNOWN = 0,
    DEFT_FORMAT_ONNX,
    DEFT_FORMAT_TORCH, // zip with a data.pkl: .pt, .pth, .dat, TorchScript
    DEFT_FORMAT_IMAGE, // .deft
} deft_format;
/* By content, never by name. */
deft_format deft_format_detect(const void *data, size_t size);

/* ONNX. `path` is for messages and for external data, which is only taken from regular files
 * inside its folder (NULL: none allowed). The graph lives in the arena, copies all it needs of
 * `bytes` and is finished (deft_graph_finish). float16 and bfloat16 tensors become float32. */
deft_status deft_onnx_read(deft_bytes bytes, const char *path, deft_arena *a, deft_graph **out,
                           deft_error *err);
deft_status deft_onnx_read_file(const char *path, deft_arena *a, deft_graph **out, deft_error *err);
/* A serialized TensorProto, as in ONNX's backend test data. */
deft_status deft_onnx_read_tensor(deft_bytes bytes, deft_arena *a, deft_tensor *out,
                                  deft_error *err);

/* The streamlined policy as ONNX opset 17: Gemm, MatMul, elementwise and activations only, GRU
 * from primitives in ESP-DL's manner, one [layers][1][hidden] state input and output, contract in
 * metadata_props ("deft.contract", JSON). Bytes live in the arena. */
deft_status deft_onnx_write(const deft_model *m, deft_arena *a, deft_bytes *out, deft_error *err);

/* Fills m->contract from the metadata of the graph that m was understood from: our own
 * "deft.contract", then exactly as it was written (DEFT_E_MISMATCH if it does not fit), or what the
 * exporters of legged-robot stacks write (joint names, action scale, default pose, observation
 * terms, period), as far as it fits; what was taken or left is noted in m->assumption. Theirs scale
 * actions that the graph leaves unscaled, and ours may turn inputs into the previous action: call
 * it after deft_verify. */
deft_status deft_onnx_contract(const deft_graph *g, deft_model *m, deft_error *err);

/* Named tensors without a graph. */
typedef struct deft_checkpoint {
    const char *source;
    uint8_t sha256[32];
    int32_t n;
    const char **name;   // "actor.0.weight"; "/" and "." as in the file
    deft_tensor *tensor; // f32 wherever the file had a float type
} deft_checkpoint;
deft_status deft_torch_read(deft_bytes bytes, const char *path, deft_arena *a,
                            deft_checkpoint **out, deft_error *err);

/* How to make a policy of named tensors. Zero: infer, and note what was assumed. */
typedef struct deft_assemble_options {
    const char *arch; // comma-separated, e.g. "gru:64x3,dense:256,dense:256,dense:8"; NULL: infer
    const char *activation; // hidden activation, default "relu"
    const char *squash;     // "tanh" (default), "none", "clip"
    const char *input;      // actor input when an encoder is given: "concat" (default) or "encoder"
} deft_assemble_options;
/* encoder may be NULL. The model lives in a. */
deft_status deft_assemble(const deft_checkpoint *actor, const deft_checkpoint *encoder,
                          const deft_assemble_options *opt, deft_arena *a, deft_model **out,
                          deft_error *err);

#ifdef __cplusplus
}
#endif

#endif
