/* image_q.c - integer policies: views of layers, ends and tables. Part of the freestanding
 * runtime. */
#include "image/image_q.h"

#include <string.h>

enum { ALIGN = DEFT_IMAGE_ALIGN };

static uint32_t round_up(uint32_t n)
{
    return (n + ALIGN - 1) & ~(uint32_t)(ALIGN - 1);
}

/* Rows, columns and formats of the matrices. */
static void shape_matrices(const uint8_t *p, deft_image_qlayer *l)
{
    const uint32_t gates = deft_image_gates(l->kind), h = l->n_out;
    const int before = l->flags & DEFT_FLAG_RESET_BEFORE;
    l->n_matrix = (uint8_t)(l->kind == DEFT_IMAGE_HISTORY ? 0 : before ? 3 : gates > 1 ? 2 : 1);
    for (uint32_t k = 0; k < 3; k++) {
        deft_matrix_q *const m = &l->matrix[k];
        const uint32_t second = k > 0;
        m->n_in = second ? h : l->n_in;
        m->n_out = (k > 1 || !gates ? 1 : k && before ? 2 : gates) * h;
        m->layout = l->layout;
        m->format = p[second ? 15 : 2];
        m->shift = p[16 + second];
        m->preshift = p[18 + second];
    }
}

void deft_image_qlayer_head(const uint8_t *p, deft_image_qlayer *out)
{
    memset(out, 0, sizeof *out);
    out->kind = p[0];
    out->layout = p[3];
    out->out_format = p[4];
    out->flags = p[5];
    out->n_segment = deft_image_u16(p + 6);
    out->n_in = deft_image_u16(p + 8);
    out->n_out = deft_image_u16(p + 10);
    out->depth = deft_image_u16(p + 12);
    out->in_format = p[14];
    out->table = p[20];
    out->gate_round = p[21];
    out->state_round = p[22];
    out->cell_shift = p[23];
    out->zero = (int16_t)deft_image_u16(p + 24);
    out->lo = (int16_t)deft_image_u16(p + 26);
    out->hi = (int16_t)deft_image_u16(p + 28);
    out->place = deft_image_u16(p + 30);
    out->segment = p + DEFT_IMAGE_DESCRIPTOR;
    shape_matrices(p, out);
}

/* Where the tensors lie. */
typedef struct placer {
    const uint8_t *payload;
    uint32_t offset;    // of the payload in the file
    uint32_t at, limit; // in the payload; limit 0: something does not fit
    int trusted;
} placer;

/* n bytes at the next multiple of align of the file, if they are there. */
static const uint8_t *place(placer *p, uint64_t n, uint32_t align)
{
    const uint32_t start = ((p->offset + p->at + align - 1) & ~(align - 1)) - p->offset;
    if (start > p->limit || n > p->limit - start ||
        (!p->trusted && !deft_image_zero(p->payload + p->at, p->payload + start))) {
        p->limit = 0;
        return NULL;
    }
    p->at = start + (uint32_t)n;
    return p->payload + start;
}

static const int32_t *place_i32(placer *p, uint32_t n)
{
    return (const int32_t *)(const void *)place(p, 4 * (uint64_t)n, ALIGN);
}

uint32_t deft_image_qlayer_view(const uint8_t *payload, uint32_t offset, uint32_t limit,
                                deft_image_qlayer *l)
{
    deft_image_qlayer_head(payload, l);
    deft_matrix_q *const m = l->matrix;
    const uint32_t n = l->n_matrix, rows = m[0].n_out;
    placer p = {payload, offset, DEFT_IMAGE_DESCRIPTOR + 8 * (uint32_t)l->n_segment, limit,
                limit == DEFT_IMAGE_TRUSTED};
    for (uint32_t k = 0; k < 2; k++) {
        if (l->flags >> k & 1) m[k].bias = place_i32(&p, rows);
    }
    for (uint32_t k = 0; k < 2 && k < n; k++) m[k].multiplier = place_i32(&p, rows);
    for (uint32_t k = 0; k < n; k++) {
        if (k == 0 && !(l->flags & DEFT_FLAG_WEIGHT)) continue;
        const uint32_t align = l->layout == DEFT_LAYOUT_ROWS ? ALIGN : DEFT_IMAGE_PANEL_ALIGN;
        const uint32_t r = deft_image_gates(l->kind) ? m[k].n_out : 1;
        m[k].weight =
            place(&p, deft_matrix_bytes(m[k].format, l->layout, r, m[k].n_in), k < 2 ? align : 1);
    }
    if (n > 2 && p.limit) {
        m[2].bias = m[1].bias ? m[1].bias + m[1].n_out : NULL;
        m[2].multiplier = m[1].multiplier + m[1].n_out;
    }
    return p.limit ? p.at : 0;
}

void deft_image_qlayer_at(const uint8_t *data, uint32_t directory, uint32_t index,
                          deft_image_qlayer *out)
{
    const uint8_t *const p = deft_image_payload(data, directory, index);
    (void)deft_image_qlayer_view(p, (uint32_t)(p - data), DEFT_IMAGE_TRUSTED, out);
}

void deft_image_front_at(const uint8_t *payload, uint32_t n_act, deft_image_front *out)
{
    const uint32_t mask = payload[1], n = deft_image_u16(payload + 2);
    const float *at = (const float *)(const void *)(payload + 4);
    const float *array[3];
    for (uint32_t k = 0; k < 3; k++) {
        array[k] = mask >> k & 1 ? at : NULL;
        if (array[k]) at += k < 2 ? n : n_act;
    }
    const int16_t *const limits = (const int16_t *)(const void *)at;
    out->offset = array[0];
    out->scale = array[1];
    out->prev_scale = array[2];
    out->lo = mask & DEFT_FRONT_LO ? limits : NULL;
    out->hi = mask & DEFT_FRONT_HI ? (out->lo ? limits + n : limits) : NULL;
}

void deft_image_back_at(const uint8_t *payload, uint32_t n_output, deft_image_back *out)
{
    out->format = payload[0];
    out->zero = (int32_t)deft_image_u32(payload + 4);
    out->out_scale = (const float *)(const void *)(payload + 8);
    deft_image_arrays(payload + 8 + (size_t)4 * n_output, payload[1], deft_image_u16(payload + 2),
                      &out->contract);
}

void deft_image_table_at(const uint8_t *tables, uint32_t index, deft_table_q *out)
{
    memset(out, 0, sizeof *out);
    if (index == DEFT_IMAGE_NO_TABLE) return;
    const uint8_t *const p = tables + 4 + (size_t)DEFT_IMAGE_TABLE * index;
    out->entry = (const int16_t *)(const void *)(tables + deft_image_u32(p + 4));
    out->log2_n = p[0];
    out->odd = p[1];
}

uint32_t deft_image_qbytes(const deft_image_qlayer *l)
{
    uint32_t n = deft_number_bytes(l->out_format) * l->n_out;
    if (l->kind == DEFT_IMAGE_LSTM) n *= 2; // h, c
    // where somebody reads the old h later, the new one
    return round_up(n + (l->flags & DEFT_FLAG_DOUBLE ? 2 * (uint32_t)l->n_out : 0));
}

uint32_t deft_image_qscratch(const deft_image_qlayer *l)
{
    const uint32_t gates = deft_image_gates(l->kind);
    const uint32_t gathered =
        l->n_segment > 1 ? round_up(deft_number_bytes(l->in_format) * l->n_in) : 0;
    return gathered + (gates > 1 ? round_up(4 * gates * l->n_out) : 0);
}
