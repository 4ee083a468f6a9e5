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
    DEFT_FORMAT_TORCH, // named tensors: .pt, .pth, .dat (zip with a data.pkl), .safetensors
    DEFT_FORMAT_IMAGE, // .deft
} deft_format;
/* By content, never by name. */
deft_format deft_format_detect(const void *data, size_t size);
/* Whether the file that begins so is an ONNX whose producer is Deft. */
bool deft_onnx_is_own(deft_bytes head);

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

/* A graph of opset 17 whose attributes are numbers, as a pass made it. Bytes live in the arena. */
deft_status deft_onnx_write_graph(const deft_graph *g, deft_arena *a, deft_bytes *out,
                                  deft_error *err);

/* Fills m->contract from the metadata of the graph that m was understood from: our own
 * "deft.contract", then exactly as it was written (DEFT_E_MISMATCH if it does not fit), or what the
 * exporters of legged-robot stacks write (joint names, action scale, default pose, observation
 * terms, period), as far as it fits; what was taken or left is noted in m->assumption. Theirs scale
 * actions that the graph leaves unscaled, and ours may turn inputs into the previous action: call
 * it after deft_verify. */
deft_status deft_onnx_contract(const deft_graph *g, deft_model *m, deft_error *err);

/* What an archive of Stable-Baselines3 says of the policy that is in it. Private. */
typedef struct deft_sb3 deft_sb3;

/* Named tensors without a graph. */
typedef struct deft_checkpoint {
    const char *source;
    uint8_t sha256[32];
    int32_t n;
    const char **name;   // "actor.0.weight"; "/" and "." as in the file
    deft_tensor *tensor; // f32 wherever the file had a float type
    /* Modules whose classes the file names (TorchScript, whole modules), in its order: "actor.1"
     * ("" is the root) and "torch.nn.modules.activation.ReLU". */
    int32_t n_module;
    const char **module_name, **module_class;
    const deft_sb3 *sb3; // NULL: not such an archive, or one without `data`
} deft_checkpoint;
/* Files of torch.save and torch.jit.save, since PyTorch 1.6 (zip archives) and before, and the
 * archives of Stable-Baselines3 around them. Names are the paths of dicts, lists and attributes,
 * joined by "."; views are gathered. .safetensors files are read too. */
deft_status deft_torch_read(deft_bytes bytes, const char *path, deft_arena *a,
                            deft_checkpoint **out, deft_error *err);

/* Running statistics of observations that were saved beside a policy. */
typedef struct deft_normaliser_part {
    const char *key; // of an observation in parts, "" for one that has none
    int32_t n;
    const double *mean, *variance; // [n]
} deft_normaliser_part;
typedef struct deft_normaliser {
    const char *source;
    bool observations; // false: it leaves them as they are
    double epsilon, clip;
    int32_t n_part;
    const deft_normaliser_part *part; // parts that are not among them stay as they are
} deft_normaliser;
/* A pickled VecNormalize of Stable-Baselines3: x = clip((obs - mean) / sqrt(variance + epsilon),
 * -clip, clip). Nothing of it is executed. */
deft_status deft_normaliser_read(deft_bytes bytes, const char *path, deft_arena *a,
                                 deft_normaliser **out, deft_error *err);

/* What a file that is not a policy is, for people: "a Git LFS pointer ..."; NULL: not known. text
 * is of n bytes. */
const char *deft_format_explain(deft_bytes bytes, char *text, size_t n);

/* What a TorchScript program leaves open. Zero: find out, or a default. */
typedef struct deft_torchscript_options {
    int32_t n_obs; // observations, for programs that run with several numbers of them
    int64_t steps,
        work; // bounds of what the program may take: statements and expressions, elements
} deft_torchscript_options;
/* The program of a TorchScript archive, that is its method forward, as a graph with ONNX's
 * operators for one row of observations. Attributes that it changes become inputs and outputs; the
 * graph's metadata say "state:INPUT" OUTPUT, and "torchscript.note" for what had to be assumed.
 * *out stays NULL where there is no program: checkpoints, SB3's zips, modules that C++ saved
 * without methods. DEFT_E_UNSUPPORTED for what is outside the subset, with file, line and operator;
 * for archives of before PyTorch 1.4; for states that do not start from zeros. */
deft_status deft_torchscript_read(deft_bytes bytes, const char *path,
                                  const deft_torchscript_options *opt, deft_arena *a,
                                  deft_graph **out, deft_error *err);

/* How to make a policy of named tensors. What is zero is taken from the file; what the file does
 * not say either is an error that names it. */
typedef struct deft_assemble_options {
    /* The layers, encoder first: "gru:64x3,dense:256,layernorm,dense:8:none"; KIND:WIDTH, xCOUNT
     * for several, :ACTIVATION where it differs. Layers that are not named are left out; where the
     * last has twice the width, its first half is kept. NULL: all layers of the actor. */
    const char *arch;
    const char *activation; // hidden
    const char *squash;     // "tanh", "none", "clip" (to [-1, 1])
    /* Actor input where an encoder is given: "concat" (what the encoder reads, then its output) or
     * "encoder" (its output alone). NULL: as the width says. */
    const char *input;
    bool assume;   // take what is likely for what the file does not say, and note it in the model
    bool discrete; // the outputs are values of actions: the action is the index of the largest
    bool logits; // of a discrete policy: its outputs are the actions, not the index of the largest
    const deft_normaliser *normaliser; // what observations go through, or NULL
} deft_assemble_options;
/* encoder may be NULL. The model lives in a and does not need the checkpoints any more. Layers are
 * found by names and shapes (docs/guide-checkpoints.md); every input is DEFT_SRC_OBS.
 * DEFT_E_UNSUPPORTED, DEFT_E_MISMATCH where layers cannot be taken or do not fit; DEFT_E_ARG for
 * options, and for facts that are missing: the text names them, with the options that say them. */
deft_status deft_assemble(const deft_checkpoint *actor, const deft_checkpoint *encoder,
                          const deft_assemble_options *opt, deft_arena *a, deft_model **out,
                          deft_error *err);

/* An array of NumPy's with one or two dimensions, as doubles. */
typedef struct deft_npy {
    const char *name;        // in an archive; ""
    int32_t n_row, n_column; // n_column is 1 for one dimension
    int32_t rank;            // 1 or 2
    const double *value;     // [n_row][n_column]
} deft_npy;
/* float32, float64, integers and booleans, in C's or Fortran's order. DEFT_E_FORMAT,
 * DEFT_E_UNSUPPORTED for other types and dimensions. */
deft_status deft_npy_read(deft_bytes bytes, deft_arena *a, deft_npy *out, deft_error *err);
/* Several of them: an .npz. bytes must outlive it. */
typedef struct deft_npz {
    deft_bytes bytes;
    int32_t n;
    const char *const *name; // [n], sorted, without ".npy"
} deft_npz;
deft_status deft_npz_open(deft_bytes bytes, deft_arena *a, deft_npz *out, deft_error *err);
deft_status deft_npz_read(const deft_npz *z, int32_t index, deft_arena *a, deft_npy *out,
                          deft_error *err);

#ifdef __cplusplus
}
#endif

#endif
