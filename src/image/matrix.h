/* matrix.h - matrices of integers, in every number format and layout (docs/format.md). Part of the
 * freestanding runtime. */
#ifndef DEFT_IMAGE_MATRIX_H
#define DEFT_IMAGE_MATRIX_H

#include <stdint.h>

/* In front of what constants point at. Emitted C defines it for processors that read flash by other
 * instructions than memory; here images are memory. */
#ifndef DEFT_FLASH
#define DEFT_FLASH
#endif

/* A matrix [n_out][n_in] with its requantization; a view into an image. */
typedef struct deft_matrix_q {
    const DEFT_FLASH void *weight;        // as format and layout say
    const DEFT_FLASH int32_t *bias;       // [n_out], NULL: zeros
    const DEFT_FLASH int32_t *multiplier; // [n_out], 0 to 2^31 - 1
    uint32_t n_in, n_out;
    uint8_t format; // DEFT_NUM_S8, S4, S16
    uint8_t layout; // DEFT_LAYOUT_...
    uint8_t shift, preshift;
} deft_matrix_q;

/* A sampled function: 2^log2_n + 1 entries. */
typedef struct deft_table_q {
    const DEFT_FLASH int16_t *entry; // NULL: no table
    uint8_t log2_n, odd;
} deft_table_q;

/* Bytes of the weights of a matrix. */
uint64_t deft_matrix_bytes(uint8_t format, uint8_t layout, uint32_t n_out, uint32_t n_in);

/* One weight: slow, for everything but the kernels. */
int32_t deft_matrix_weight(const deft_matrix_q *m, uint32_t row, uint32_t column);
int32_t deft_matrix_weight_s8(const deft_matrix_q *m, uint32_t row, uint32_t column); // S8 in rows

/* Where the number of a matrix lies: byte, and for 4 bits which half of it (1: the high one). */
uint32_t deft_matrix_place(const deft_matrix_q *m, uint32_t row, uint32_t column, uint32_t *high);

#endif
