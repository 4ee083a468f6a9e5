/* image_facts.h - what an image holds, float32 or integer, for loading and for measuring. */
#ifndef DEFT_APP_IMAGE_FACTS_H
#define DEFT_APP_IMAGE_FACTS_H

#include "deft/app.h"

enum { IMAGE_MAX_MATRICES = 256 };

/* The matrices of an image, as they lie in it; more than there is room for are left out. */
typedef struct image_facts {
    int32_t n_obs, n_act;
    bool integer;
    bool rows;        // some matrix of floats is in rows
    int64_t macs;     // of the matrices
    int64_t work;     // of a step: about nanoseconds of one core with plain loops
    uint32_t steps;   // of its self-test
    uint32_t formats; // bit k: matrices of deft_number k
    size_t count;     // of spans
    const uint8_t *at[IMAGE_MAX_MATRICES];
    size_t bytes[IMAGE_MAX_MATRICES];
} image_facts;

/* DEFT_E_FORMAT and the like where the image is not valid. */
deft_status image_facts_of(deft_bytes image, image_facts *out, deft_error *err);
/* Refuses an image that asks for work or memory out of proportion to its bytes, before anything
 * runs it: no policy that somebody trained does, since a step uses every weight about once. f: of
 * this image. DEFT_E_RANGE, DEFT_E_SPACE. */
deft_status image_facts_bounded(const image_facts *f, deft_bytes image, deft_error *err);
/* "float32", "int8", "int4, int8", ... in the arena; NULL if memory ran out. */
const char *image_facts_numbers(const image_facts *f, deft_arena *a);

#endif
