/* app.h - what subcommands compose out of the library. */
#ifndef DEFT_APP_H
#define DEFT_APP_H

#include "deft/emit.h"
#include "deft/formats.h"
#include "deft/rollout.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What every subcommand that reads a policy takes. Zero: find out. */
typedef struct deft_load_options {
    const char *encoder;  // second checkpoint
    const char *against;  // ONNX to verify a checkpoint against
    const char *contract; // see deft_model_set_contract
    const char *rewire;   // "cascade" or NULL
    const char *previous; // "first", "last", "none" or NULL: as the file or contract says
    deft_understand_options understand;
    deft_assemble_options assemble;
} deft_load_options;

/* A policy of any kind, understood, verified (graphs: 200 steps, 1e-5) and ready to run. */
typedef struct deft_loaded {
    deft_arena *arena;
    const char *path;
    deft_format format;
    deft_graph *graph; // NULL for checkpoints and images
    deft_model *model; // NULL for graphs of integer operators, which only the evaluator runs
    deft_bytes image;  // empty where model is NULL
    float verified;    // largest difference from the graph over the rollout, NAN if none
} deft_loaded;
deft_status deft_load(const char *path, const deft_load_options *opt, deft_loaded *out,
                      deft_error *err);
void deft_loaded_free(deft_loaded *l);
deft_status deft_loaded_controller(const deft_loaded *l, const deft_kernels *kernels,
                                   deft_controller **out, deft_error *err);

#ifdef __cplusplus
}
#endif

#endif
