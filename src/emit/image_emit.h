/* image_emit.h - what the files that write and read images on hosts share. */
#ifndef DEFT_EMIT_IMAGE_EMIT_H
#define DEFT_EMIT_IMAGE_EMIT_H

#include "deft/emit.h"
#include "image/image.h"
#include "image/matrix.h"

/* Grows nothing: with data NULL it counts, then the same calls fill. Everything not written is
 * zero. */
typedef struct image_writer {
    uint8_t *data;
    size_t at;
} image_writer;

void image_put(image_writer *w, const void *bytes, size_t n);
void image_put_u8(image_writer *w, uint32_t v);
void image_put_u16(image_writer *w, uint32_t v);
void image_put_u32(image_writer *w, uint32_t v);
void image_put_f32(image_writer *w, const float *x, size_t n);
void image_put_string(image_writer *w, const char *s); // NULL is ""
void image_align(image_writer *w, size_t align);

/* Records: begin returns where it began; end fills in its length. */
size_t image_begin_record(image_writer *w, deft_record_type type);
void image_end_record(image_writer *w, size_t start);
void image_put_segments(image_writer *w, const deft_segment *s, int32_t n);
/* Which of offset, scale, lo, hi (NULL: the default) are not the default. */
uint32_t image_end_mask(const float *const array[4], int32_t n);
void image_put_header(image_writer *w, const deft_model *m, int32_t n_layer, uint32_t work);
/* Length and CRC of a finished image. */
void image_seal(uint8_t *data, size_t size);
uint8_t *image_allocate(deft_arena *a, size_t size); // on a cache line, NULL: no memory

/* What is there for people. */
typedef struct image_description {
    const deft_model *model;
    bool names;
    const char *const *layer_name; // [n_layer], NULL: left out
    int32_t n_layer;
    const deft_meta *note; // behind the contract's
    int32_t n_note;
} image_description;
void image_put_descriptive(image_writer *w, const image_description *d);
void image_put_ranges(image_writer *w, const deft_contract *c); // the last record

/* What the format has no room for is DEFT_E_UNSUPPORTED. */
deft_status image_check_limits(const deft_model *m, int32_t n_layer, int32_t n_segment,
                               deft_error *err);
deft_status image_check_layer_limits(int32_t k, int32_t n_in, int32_t n_out, int32_t n_segment,
                                     deft_error *err);

/* The recorded test: observations, then the actions of that many steps from a reset. */
typedef struct image_selftest {
    int32_t steps; // 0: none
    float *obs, *act;
} image_selftest;
deft_status image_selftest_make(const deft_model *m, deft_arena *a, image_selftest *out,
                                deft_error *err);

/* As deft_image_write, with a matrix layout (DEFT_LAYOUT_...). */
deft_status deft_image_write_as(const deft_model *m, uint8_t layout, deft_arena *a, deft_bytes *out,
                                deft_error *err);

/* Row-major to the layout and back; count: numbers of the matrix. */
void image_matrix_to_panels(const float *rows, float *panels, size_t n_out, size_t n_in);
void image_matrix_from_panels(const float *panels, float *rows, size_t n_out, size_t n_in);

/* Writes row-major weights as m's format and layout say. */
void image_put_matrix_q(image_writer *w, const int16_t *weight, deft_matrix_q m);

/* The payload of the record of proofs. */
/* The record of several discrete actions; none for others. */
void image_put_choices(image_writer *w, const deft_contract *c);
/* Steps of a self-test, for policies without a state and with one. */
enum { IMAGE_TEST_PLAIN = 4, IMAGE_TEST_STATE = 8 };
void image_put_proofs(image_writer *w, const deft_qmodel *q);

/* SHA-256 over the canonical form (docs/format.md, "policy_id") of a checked image. */
deft_status image_policy_id(const deft_image *im, deft_arena *a, uint8_t id[32]);

/* What reads an image back, float32 or integer. */
typedef struct image_reader {
    const deft_image *im;
    deft_model *m;
    deft_arena *a;
    deft_error *err;
    char where[160]; // the file's name, escaped
} image_reader;
deft_status image_read_open(image_reader *r, deft_image *im, deft_bytes image, const char *source);
deft_status image_read_counts(const image_reader *r);
deft_status image_read_text(const image_reader *r); // names, notes and the like
deft_status image_read_segments(const image_reader *r, const uint8_t *p, int32_t n,
                                deft_segment **out);
deft_status image_read_no_memory(const image_reader *r);

/* Rows of the matrices of a layer kind: 1, 3 or 4 times n_out; 0 for kinds without. */
uint32_t image_gates(uint8_t kind);

#endif
