/* emit.h - from the canonical policy to what devices execute, and back. */
#ifndef DEFT_EMIT_H
#define DEFT_EMIT_H

#include "deft/base.h"
#include "deft/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The image of a float32 policy (docs/format.md). Bytes live in the arena, 16-byte aligned. */
deft_status deft_image_write(const deft_model *m, deft_arena *a, deft_bytes *out, deft_error *err);

/* The canonical policy of an image; weights of integer images come back dequantized. */
deft_status deft_image_read(deft_bytes image, const char *source, deft_arena *a, deft_model **out,
                            deft_error *err);

#ifdef __cplusplus
}
#endif

#endif
