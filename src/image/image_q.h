/* image_q.h - integer policies in an image (docs/format.md): views. Part of the freestanding
 * runtime. All views trust an image that was opened. */
#ifndef DEFT_IMAGE_IMAGE_Q_H
#define DEFT_IMAGE_IMAGE_Q_H

#include "image/image.h"
#include "image/matrix.h"

enum {
    DEFT_IMAGE_MAX_QLAYERS = 256,
    DEFT_IMAGE_NO_TABLE = 255,
    DEFT_IMAGE_TABLE = 24, // bytes of a table's description
    DEFT_IMAGE_TRUSTED = INT32_MAX,
};
enum { // arrays of an integer front end, in this order
    DEFT_FRONT_OFFSET = 1,
    DEFT_FRONT_SCALE = 2,
    DEFT_FRONT_PREV = 4,
    DEFT_FRONT_LO = 8,
    DEFT_FRONT_HI = 16,
};

typedef struct deft_image_qlayer {
    uint8_t kind, layout, in_format, out_format, flags, table;
    uint8_t gate_round, state_round, cell_shift, n_matrix;
    uint16_t n_segment, n_in, n_out, depth, place;
    int16_t zero, lo, hi;
    const uint8_t *segment;
    /* Dense: W. GRU, LSTM: W, U; reset before: W, U of r and z, U of n. Other kinds: [0] with
     * n_in weights of 16 bits or none, and n_out biases and multipliers. */
    deft_matrix_q matrix[3];
} deft_image_qlayer;

typedef struct deft_image_front { // NULL: the default
    const DEFT_FLASH float *offset, *scale, *prev_scale;
    const DEFT_FLASH int16_t *lo, *hi;
} deft_image_front;

typedef struct deft_image_back {
    uint8_t format; // of the outputs
    int32_t zero;
    const DEFT_FLASH float *out_scale; // [n_output]
    deft_image_end contract;
} deft_image_back;

/* As deft_image_layer_view and deft_image_layer_at; limit: at most DEFT_IMAGE_TRUSTED, below which
 * the bytes between the tensors must be zero. */
uint32_t deft_image_qlayer_view(const uint8_t *payload, uint32_t offset, uint32_t limit,
                                deft_image_qlayer *l);
/* The same without tensors. */
void deft_image_qlayer_head(const uint8_t *payload, deft_image_qlayer *out);
void deft_image_qlayer_at(const uint8_t *data, uint32_t directory, uint32_t index,
                          deft_image_qlayer *out);
void deft_image_front_at(const uint8_t *payload, uint32_t n_act, deft_image_front *out);
void deft_image_back_at(const uint8_t *payload, uint32_t n_output, deft_image_back *out);
/* index: DEFT_IMAGE_NO_TABLE gives none. */
void deft_image_table_at(const uint8_t *tables, uint32_t index, deft_table_q *out);

/* Bytes, multiples of 16: what a layer takes at its place, and what else it needs while it runs,
 * gathered inputs first. */
uint32_t deft_image_qbytes(const deft_image_qlayer *l);
uint32_t deft_image_qscratch(const deft_image_qlayer *l);

static inline uint32_t deft_number_bytes(uint8_t format) // of an activation
{
    return format == DEFT_NUM_S16 ? 2 : 1;
}

static inline int deft_has_state(uint8_t kind)
{
    return kind == DEFT_IMAGE_GRU || kind == DEFT_IMAGE_LSTM || kind == DEFT_IMAGE_HISTORY;
}

/* What stays from step to step, and what the output takes: 0 where it is part of the state. */
static inline uint32_t deft_image_qstate(const deft_image_qlayer *l)
{
    return deft_has_state(l->kind) ? deft_image_qbytes(l) : 0;
}

static inline uint32_t deft_image_qoutput(const deft_image_qlayer *l)
{
    return deft_has_state(l->kind) ? 0 : deft_image_qbytes(l);
}

/* Sums of the positive and of the negative parts of an accumulator's terms. */
typedef struct deft_image_bound {
    int64_t up, down;
} deft_image_bound;

/* A term w x, x between lo and hi. */
void deft_image_add_term(deft_image_bound *b, int32_t w, int32_t lo, int32_t hi);
/* Every accumulator of the layer stays within what the arithmetic needs. */
int deft_image_bounded(const deft_image *im, const deft_image_qlayer *l);

enum { DEFT_IMAGE_LIMITED = 15 }; // bytes of a descriptor whose range its kind says

/* What one kind of layer may say. */
typedef struct deft_image_kind_q {
    uint8_t flags, must;                   // those that may and those that must be set
    uint8_t range[DEFT_IMAGE_LIMITED][2];  // least and most, see deft_image_limited
    int (*ok)(const deft_image_qlayer *l); // what else it asks for; NULL: nothing
    /* Terms of output o's accumulator but the bias; NULL: the rows of matrices. */
    void (*terms)(const deft_image_qlayer *l, uint32_t o, deft_image_bound *b);
} deft_image_kind_q;
extern const uint8_t deft_image_limited[DEFT_IMAGE_LIMITED]; // where they are
extern const deft_image_kind_q deft_image_dense_q, deft_image_gru_q;

/* What the images of a runtime may hold. */
typedef struct deft_image_parts_q {
    const deft_image_kind_q *kind[DEFT_IMAGE_HISTORY + 1]; // NULL: DEFT_E_UNSUPPORTED
    uint8_t formats[2];                                    // by layout: bits of weight formats
    int32_t (*weight)(const deft_matrix_q *m, uint32_t row, uint32_t column);
    int (*padding_ok)(const deft_matrix_q *m); // what is within a matrix; NULL: nothing is
} deft_image_parts_q;
extern const deft_image_parts_q deft_image_parts_all;

/* The checks of deft_image_family. */
deft_status deft_image_check_q(deft_image *im, uint32_t type, uint32_t at, uint32_t length);
int deft_image_segment_q(const deft_image *im, const uint8_t *p, uint32_t reader); // p: the segment
int deft_image_whole_q(const deft_image *im);

#endif
