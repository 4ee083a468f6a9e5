/* c_write.h - what the files that write C share. */
#ifndef DEFT_EMIT_C_WRITE_H
#define DEFT_EMIT_C_WRITE_H

#include "deft/emit.h"
#include "runtime/step_q.h"

#include <stdio.h>

/* Where a float policy keeps things: floats from the start of its memory. */
typedef struct c_floats {
    uint32_t last;                          // [n_act] the last action, in the network's units
    uint32_t old_state, new_state, n_state; // a step reads one, writes the other
    uint32_t obs, prev, act, out;
    uint32_t *layer; // [n_layer] of its output, or of its state in either half
    uint32_t scratch;
} c_floats;

/* An opened image and where its parts are kept: emitted integer policies keep them in the places of
 * their runtime. */
typedef struct c_writer {
    const deft_model *model; // names and provenance
    const deft_qmodel *q;    // how it was quantized; NULL: not known
    const char *tool;        // may be NULL
    const char *name;        // a C identifier
    deft_arena *arena;
    deft_image image;
    deft_policy policy;
    deft_qstep step; // integers: places are pointers into its arena
    c_floats floats;
    uint32_t memory;  // elements: floats, or integers of 16 bits
    FILE *f;          // the definitions of the .c file
    size_t constants; // bytes of its arrays
    bool infinite;    // it needs INFINITY
    bool no_memory;   // something is missing in f
} c_writer;

/* "at16(s, 48)": where in the memory of an integer policy a source, or an output, lies. */
void c_place(const c_writer *w, const void *at, bool bytes, FILE *f);
void c_array_i32(c_writer *w, const char *name, const int32_t *v, size_t n);
void c_array_s16(c_writer *w, const char *name, const int16_t *v, size_t n);
void c_array_f32(c_writer *w, const char *name, const float *v, size_t n);
void c_number_f32(c_writer *w, float v);
/* static const deft_image_end NAME and its arrays PREFIX_..., n numbers each. */
void c_end(c_writer *w, const char *prefix, const char *name, const deft_image_end *e, uint32_t n);
const char *c_layer_kind(uint8_t kind); // for people

/* Integers. Constants and the function layer_k. */
void c_write_layer(c_writer *w, uint32_t k);
void c_write_tables(c_writer *w);
/* The ends, reset and step. */
void c_write_ends(c_writer *w);
void c_write_api(c_writer *w);

/* The same for floats; c_plan_floats first lays out the memory. DEFT_E_SPACE. */
deft_status c_plan_floats(c_writer *w, deft_error *err);
void c_write_layer_f32(c_writer *w, uint32_t k);
void c_write_ends_f32(c_writer *w);
void c_write_api_f32(c_writer *w);
/* Where a source lies, in floats. */
uint32_t c_source_f32(const c_writer *w, deft_image_segment g);
void c_gather_f32(const c_writer *w, const uint8_t *segments, uint32_t n, uint32_t into);

void c_write_selftest(c_writer *w);

#endif
