/* c_write.h - what the files that write C share. */
#ifndef DEFT_EMIT_C_WRITE_H
#define DEFT_EMIT_C_WRITE_H

#include "deft/emit.h"
#include "runtime/step_q.h"

#include <stdio.h>

/* An opened image and where its runtime keeps things: emitted code keeps them in the same places.
 */
typedef struct c_writer {
    const deft_model *model; // names and provenance
    deft_bytes bytes;
    const char *name; // a C identifier
    deft_image image;
    deft_policy policy;
    deft_qstep step; // places are pointers into its arena
    FILE *f;         // the definitions of the .c file
    bool infinite;   // it needs INFINITY
} c_writer;

/* "at16(s, 48)": where in the memory of a policy a source, or an output, lies. */
void c_place(const c_writer *w, const void *at, bool bytes, FILE *f);
void c_array_i32(FILE *f, const char *type, const char *name, const int32_t *v, size_t n);
void c_array_f32(c_writer *w, const char *name, const float *v, size_t n);
/* Constants and the function layer_k. */
void c_write_layer(c_writer *w, uint32_t k);
void c_write_tables(c_writer *w);
/* The ends, reset, step and selftest. */
void c_write_ends(c_writer *w);
void c_write_api(c_writer *w);

#endif
