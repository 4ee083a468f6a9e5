/* matrix.c - where the numbers of a matrix lie. Part of the freestanding runtime. */
#include "image/matrix.h"
#include "deft/number.h"
#include "image/image_q.h"

enum { BLOCK = 128 }; // numbers that are packed together at 4 bits

uint64_t deft_matrix_bytes(uint8_t format, uint8_t layout, uint32_t n_out, uint32_t n_in)
{
    const uint32_t bits = format == DEFT_NUM_S16 ? 16 : format == DEFT_NUM_S8 ? 8 : 4;
    if (layout == DEFT_LAYOUT_ROWS) return (uint64_t)n_out * ((n_in * bits + 7) / 8);
    return ((uint64_t)n_out * n_in * bits + 7) / 8; // all panels but the last have an even count
}

/* Position of element (row, column) of a panel of `width` rows. */
static uint32_t in_panel(uint32_t n_in, uint32_t width, uint32_t row, uint32_t column)
{
    const uint32_t whole = n_in & ~3u;
    if (column < whole) return (column & ~3u) * width + row * 4 + (column & 3u);
    return whole * width + row * (n_in - whole) + (column - whole);
}

uint32_t deft_matrix_place(const deft_matrix_q *m, uint32_t row, uint32_t column, uint32_t *high)
{
    const uint32_t n_in = m->n_in;
    *high = 0;
    if (m->layout == DEFT_LAYOUT_ROWS) {
        if (m->format == DEFT_NUM_S16) return 2 * (row * n_in + column);
        if (m->format == DEFT_NUM_S8) return row * n_in + column;
        *high = column & 1u;
        return row * ((n_in + 1) / 2) + column / 2;
    }
    const uint32_t first = row / DEFT_IMAGE_PANEL * DEFT_IMAGE_PANEL, left = m->n_out - first;
    const uint32_t width = left < DEFT_IMAGE_PANEL ? left : DEFT_IMAGE_PANEL;
    const uint32_t at = in_panel(n_in, width, row - first, column);
    if (m->format == DEFT_NUM_S8) return first * n_in + at;
    const uint32_t block = at / BLOCK * BLOCK, rest = width * n_in - block;
    const uint32_t half = rest < BLOCK ? (rest + 1) / 2 : BLOCK / 2;
    *high = at - block >= half;
    return (first * n_in + block) / 2 + (at - block) - (*high ? half : 0);
}

int32_t deft_matrix_weight_s8(const deft_matrix_q *m, uint32_t row, uint32_t column)
{
    return ((const DEFT_FLASH int8_t *)m->weight)[row * m->n_in + column];
}

int32_t deft_matrix_weight(const deft_matrix_q *m, uint32_t row, uint32_t column)
{
    uint32_t high;
    const uint8_t *p = (const uint8_t *)m->weight + deft_matrix_place(m, row, column, &high);
    if (m->format == DEFT_NUM_S4) return (*p >> 4 * high & 15) - 8;
    if (m->format == DEFT_NUM_S8) return (*p ^ 128) - 128;
    return (int32_t)(deft_image_u16(p) ^ 0x8000u) - 0x8000;
}
