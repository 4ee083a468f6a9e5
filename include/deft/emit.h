/* emit.h - from the canonical policy to what devices execute, and back. */
#ifndef DEFT_EMIT_H
#define DEFT_EMIT_H

#include "deft/base.h"
#include "deft/model.h"
#include "deft/qmodel.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum deft_image_layout { // of matrices
    DEFT_IMAGE_AUTO = 0,         // what this machine's kernels run fastest
    DEFT_IMAGE_ROWS,             // for small devices
    DEFT_IMAGE_PANELS,           // for x86-64 and AArch64
} deft_image_layout;

/* The image of a float32 policy (docs/format.md). Bytes live in the arena, 16-byte aligned. */
deft_status deft_image_write(const deft_model *m, deft_arena *a, deft_bytes *out, deft_error *err);
deft_status deft_image_write_for(const deft_model *m, deft_image_layout layout, deft_arena *a,
                                 deft_bytes *out, deft_error *err);

/* Zero means the default. */
typedef struct deft_image_options {
    deft_image_layout layout;
    int32_t selftest_steps; // 0: 4, or 8 for policies with a state; negative: no self-test
    bool no_names;          // leave out what observations and actions are called
    bool layer_names;       // tell what layers are called
    bool no_proofs;         // leave out the bounds of the accumulators
} deft_image_options;

/* The image of an integer policy; opt NULL: the defaults. Bytes live in the arena, 64-byte aligned.
 * What deft_qmodel_check refuses, or DEFT_E_UNSUPPORTED. */
deft_status deft_image_write_q(const deft_qmodel *q, const deft_image_options *opt, deft_arena *a,
                               deft_bytes *out, deft_error *err);

/* The canonical policy of a float32 image; DEFT_E_UNSUPPORTED for one of integers. */
deft_status deft_image_read(deft_bytes image, const char *source, deft_arena *a, deft_model **out,
                            deft_error *err);

/* The policy of an integer image, exactly: deft_image_write_q makes the same bytes of it, or those
 * of another layout, with the options that come back in opt (NULL: not wanted). Its model has
 * contract, names and provenance and no layers; ranges of the contract's observations stay in
 * obs_lo, obs_hi. DEFT_E_UNSUPPORTED for a float32 image. */
deft_status deft_image_read_q(deft_bytes image, const char *source, deft_arena *a,
                              deft_qmodel **out, deft_image_options *opt, deft_error *err);

/* The policy of an image, of integers or floats, as C99 that needs string.h and nothing else:
 * NAME.h, NAME.c and an example main.c. Also compiles as C++17. The same bits as the runtime. */
typedef struct deft_c_files {
    deft_bytes header, source, example; // text, in the arena
} deft_c_files;
typedef struct deft_c_policy {
    deft_bytes image;
    const deft_model *model; // the image's names and provenance, NULL: without
    const deft_qmodel *q;    // of an integer image, for how it was quantized; NULL: without
    const char *name;        // a C identifier
    const char *tool;        // the program that makes it, with its version; NULL: not said
} deft_c_policy;
/* DEFT_E_ARG, DEFT_E_SPACE, or why the image is not valid. */
deft_status deft_c_write(const deft_c_policy *p, deft_arena *a, deft_c_files *out, deft_error *err);
bool deft_c_name_ok(const char *name);

#ifdef __cplusplus
}
#endif

#endif
