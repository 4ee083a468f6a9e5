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
    const float *offset, *scale, *prev_scale;
    const int16_t *lo, *hi;
} deft_image_front;

typedef struct deft_image_back {
    uint8_t format; // of the outputs
    int32_t zero;
    const float *out_scale; // [n_output]
    deft_image_end contract;
} deft_image_back;

/* As deft_image_layer_view and deft_image_layer_at. */
uint64_t deft_image_qlayer_view(const uint8_t *payload, uint32_t offset, uint64_t limit,
                                deft_image_qlayer *out);
void deft_image_qlayer_at(const uint8_t *data, uint32_t directory, uint32_t index,
                          deft_image_qlayer *out);
void deft_image_front_at(const uint8_t *payload, uint32_t n_act, deft_image_front *out);
void deft_image_back_at(const uint8_t *payload, uint32_t n_output, deft_image_back *out);
/* index: DEFT_IMAGE_NO_TABLE gives none. */
void deft_image_table_at(const uint8_t *tables, uint32_t index, deft_table_q *out);

/* Bytes, multiples of 16: what stays from step to step, what the output takes (0: it is part of the
 * state), and what else is needed while the layer runs, gathered inputs first. */
uint32_t deft_image_qstate(const deft_image_qlayer *l);
uint32_t deft_image_qoutput(const deft_image_qlayer *l);
uint32_t deft_image_qscratch(const deft_image_qlayer *l);

static inline uint32_t deft_number_bytes(uint8_t format) // of an activation
{
    return format == DEFT_NUM_S16 ? 2 : 1;
}

static inline int deft_has_state(uint8_t kind)
{
    return kind == DEFT_IMAGE_GRU || kind == DEFT_IMAGE_LSTM || kind == DEFT_IMAGE_HISTORY;
}

/* Every accumulator of the layer stays within what the arithmetic needs. */
int deft_image_bounded(const deft_image *im, const deft_image_qlayer *l);

#endif
