/* image.h - the .deft image (docs/format.md): record types, the checked reader. Part of the
 * freestanding runtime. The reader copies nothing: views point into the image. */
#ifndef DEFT_IMAGE_IMAGE_H
#define DEFT_IMAGE_IMAGE_H

#include "deft/activation.h"
#include "deft/number.h"
#include "deft/status.h"
#include "image/matrix.h"

#include <stddef.h>
#include <stdint.h>

enum {
    DEFT_IMAGE_VERSION = 1,
    DEFT_IMAGE_HEADER = 64,      // bytes
    DEFT_IMAGE_RECORD = 16,      // bytes of a record header
    DEFT_IMAGE_ALIGN = 16,       // of the image, of records and of tensors
    DEFT_IMAGE_PANEL_ALIGN = 64, // of matrices in panels, within the file
    DEFT_IMAGE_PANEL = 128,      // rows of a panel
    DEFT_IMAGE_DESCRIPTOR = 32,  // bytes of a layer before its segments
    DEFT_IMAGE_MAX_LAYERS = 4096,
    DEFT_IMAGE_DISCRETE = 1, // header flag
    DEFT_IMAGE_CRITICAL = 1, // record flag
};

/* In the file, types ascend. */
typedef enum deft_record_type {
    DEFT_RECORD_DIRECTORY = 1,
    DEFT_RECORD_FRONT_END,
    DEFT_RECORD_BACK_END,
    DEFT_RECORD_LAYER,
    DEFT_RECORD_OUTPUTS,
    DEFT_RECORD_TABLES,  // of integer policies
    DEFT_RECORD_CHOICES, // of policies with several discrete actions
    // not critical from here on
    DEFT_RECORD_SELFTEST = 32,
    DEFT_RECORD_NAMES,
    DEFT_RECORD_LAYER_NAMES,
    DEFT_RECORD_PROVENANCE,
    DEFT_RECORD_NOTES,
    DEFT_RECORD_ASSUMPTIONS,
    DEFT_RECORD_PROOFS,
    DEFT_RECORD_RANGES, // of observations
} deft_record_type;

/* The numbers of deft_layer_kind and deft_source_kind, repeated here because the runtime does not
 * see the host's model. */
enum {
    DEFT_IMAGE_DENSE = 1,
    DEFT_IMAGE_GRU,
    DEFT_IMAGE_LSTM,
    DEFT_IMAGE_LAYERNORM,
    DEFT_IMAGE_ACTIVATION,
    DEFT_IMAGE_AFFINE,
    DEFT_IMAGE_ADD,
    DEFT_IMAGE_MUL,
    DEFT_IMAGE_HISTORY,
};
enum { DEFT_IMAGE_OBS = 1, DEFT_IMAGE_PREV, DEFT_IMAGE_VALUE, DEFT_IMAGE_STATE };
enum { DEFT_LAYOUT_ROWS = 0, DEFT_LAYOUT_PANELS128 }; // of matrices
enum {                                                // flags of a layer
    DEFT_FLAG_BIAS = 1,
    DEFT_FLAG_BIAS_H = 2,
    DEFT_FLAG_WEIGHT = 4,
    DEFT_FLAG_RESET_BEFORE = 8,
    DEFT_FLAG_NEWEST_FIRST = 16,
    DEFT_FLAG_FILL_FIRST = 32,
    DEFT_FLAG_DOUBLE = 64, // integer: the new state is kept apart until the step ends
};
enum { // arrays of the front and back end, in this order
    DEFT_END_OFFSET = 1,
    DEFT_END_SCALE = 2,
    DEFT_END_LO = 4,
    DEFT_END_HI = 8,
};

typedef struct deft_image_family deft_image_family;

/* A checked image. Offsets are from the start of the file to the payload of a record. */
typedef struct deft_image {
    const deft_image_family *family;
    const uint8_t *data;
    uint32_t size;
    uint16_t flags, n_obs, n_act, n_output, n_layer;
    uint32_t period_us;
    uint32_t directory, front_end, back_end, outputs, n_out_segment;
    uint32_t selftest; // 0: none
    int integer;       // an integer policy: image_q.h
    uint32_t work;     // its bytes of working memory
    uint32_t states;   // those that stay from step to step, at its beginning
    uint32_t tables;   // 0: none
    uint32_t choices;  // u16 [n_act]: outputs that each discrete action chooses from; 0: all
} deft_image;

/* How one family of policies, float32 or integer, is checked. */
struct deft_image_family {
    /* Front end, back end, layers and tables by themselves. */
    deft_status (*record)(deft_image *im, uint32_t type, uint32_t at, uint32_t length);
    /* A segment whose source is there, once all records are good; reader: a layer, or n_layer for
     * the outputs. */
    int (*segment)(const deft_image *im, const uint8_t *segment, uint32_t reader);
    int (*whole)(const deft_image *im);     // once all segments are good
    const struct deft_image_parts_q *parts; // of integer policies: image_q.h
    /* The record of several discrete actions. */
    deft_status (*choices)(deft_image *im, uint32_t at, uint32_t length);
};
extern const deft_image_family deft_image_f32, deft_image_q;

typedef struct deft_image_layer {
    uint8_t kind, activation_kind, weight_format, layout, out_format, flags;
    uint16_t n_segment, n_in, n_out, depth;
    deft_activation activation;
    float epsilon;
    const uint8_t *segment;                         // 8 bytes each, see deft_image_segment_at
    const float *bias, *bias_h, *weight, *weight_h; // NULL: none
} deft_image_layer;

typedef struct deft_image_segment {
    uint8_t kind;
    uint16_t index, offset, length;
} deft_image_segment;

typedef struct deft_image_end { // front or back end; NULL: the default
    const DEFT_FLASH float *offset, *scale, *lo, *hi;
} deft_image_end;

/* Checks everything (docs/format.md, "What a reader refuses") and fills im. data: 16-byte aligned.
 * DEFT_E_ARG, DEFT_E_FORMAT, DEFT_E_VERSION, DEFT_E_LAYOUT. Bounded time. */
deft_status deft_image_open(deft_image *im, const void *data, size_t size);
/* The same for runtimes that serve less: NULL families are DEFT_E_UNSUPPORTED. */
deft_status deft_image_open_as(deft_image *im, const void *data, size_t size,
                               const deft_image_family *f32, const deft_image_family *q);

/* Next record at *at (start with DEFT_IMAGE_HEADER) of a checked image: its type, 0 at the end. */
uint16_t deft_image_next(const deft_image *im, uint32_t *at, const uint8_t **payload, uint32_t *n);

/* The views below trust an image that deft_image_open accepted. */
void deft_image_layer_at(const uint8_t *data, uint32_t directory, uint32_t index,
                         deft_image_layer *out);
deft_image_segment deft_image_segment_at(const uint8_t *segments, uint32_t index);
void deft_image_end_at(const uint8_t *payload, deft_image_end *out);

/* Fills *out and returns the bytes that the payload takes; 0 if these are more than limit, and
 * then there are no tensors. offset: of the payload in the file. */
uint64_t deft_image_layer_view(const uint8_t *payload, uint32_t offset, uint64_t limit,
                               deft_image_layer *out);
/* Shapes are the same in both families. */
int deft_image_shape_ok(uint8_t kind, uint32_t n_in, uint32_t n_out, uint32_t depth);
uint32_t deft_image_gates(uint8_t kind); // of a layer with matrices, 0 for one without
/* The layer record's payload. */
const uint8_t *deft_image_payload(const uint8_t *data, uint32_t directory, uint32_t index);
/* The arrays that mask names, n floats each, one behind the other: offset, scale, lo, hi. */
void deft_image_arrays(const uint8_t *at, uint32_t mask, uint32_t n, deft_image_end *out);
deft_status deft_image_choices(deft_image *im, uint32_t at, uint32_t length);
int deft_image_limits_ok(const deft_image_end *e, uint32_t n);
/* n finite floats at p, which is aligned for them? */
int deft_all_finite(const void *p, uint32_t n);
int deft_image_zero(const uint8_t *from, const uint8_t *to);

static inline uint16_t deft_image_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | (uint16_t)p[1] << 8);
}

static inline uint32_t deft_image_u32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

#endif
