/* image_q.c - integer policies: views of layers, ends and tables. Part of the freestanding
 * runtime. */
#include "image/image_q.h"

#include <string.h>

enum { ALIGN = DEFT_IMAGE_ALIGN };

static uint32_t round_up(uint32_t n)
{
    return (n + ALIGN - 1) & ~(uint32_t)(ALIGN - 1);
}

static void read_descriptor(const uint8_t *p, deft_image_qlayer *out)
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
    for (uint32_t k = 0; k < 3; k++) {
        deft_matrix_q *const m = &out->matrix[k];
        m->layout = out->layout;
        m->format = p[k ? 15 : 2];
        m->shift = p[k ? 17 : 16];
        m->preshift = p[k ? 19 : 18];
    }
}

/* Rows and columns of the matrices. */
static void shape_matrices(deft_image_qlayer *l)
{
    const uint32_t gates = deft_image_gates(l->kind), h = l->n_out;
    deft_matrix_q *const m = l->matrix;
    const int before = l->kind == DEFT_IMAGE_GRU && l->flags & DEFT_FLAG_RESET_BEFORE;
    l->n_matrix = (uint8_t)(l->kind == DEFT_IMAGE_HISTORY ? 0 : gates < 2 ? 1 : before ? 3 : 2);
    m[0].n_in = l->n_in;
    m[0].n_out = gates ? gates * h : h;
    m[1].n_in = m[2].n_in = h;
    m[1].n_out = before ? 2 * h : gates * h;
    m[2].n_out = h;
}

/* The tensors in the order of the file: biases, multipliers, weights. */
typedef struct placer {
    const uint8_t *payload;
    uint64_t at, limit;
    uint32_t offset; // of the payload in the file
} placer;

/* n bytes at the next multiple of align of the file; NULL where they end beyond the limit. */
static const uint8_t *place(placer *p, uint64_t n, uint32_t align)
{
    const uint64_t start = ((p->offset + p->at + align - 1) & ~(uint64_t)(align - 1)) - p->offset;
    p->at = start + n;
    return p->at > p->limit ? NULL : p->payload + (size_t)start;
}

static const int32_t *place_i32(placer *p, uint32_t n)
{
    return (const int32_t *)(const void *)place(p, 4 * (uint64_t)n, ALIGN);
}

static uint64_t weight_bytes(const deft_image_qlayer *l, const deft_matrix_q *m)
{
    const uint32_t rows = deft_image_gates(l->kind) ? m->n_out : 1;
    return deft_matrix_bytes(m->format, l->layout, rows, m->n_in);
}

static void place_weights(deft_image_qlayer *l, placer *p)
{
    deft_matrix_q *const m = l->matrix;
    const uint32_t align = l->layout == DEFT_LAYOUT_PANELS128 ? DEFT_IMAGE_PANEL_ALIGN : ALIGN;
    if (l->flags & DEFT_FLAG_WEIGHT) m[0].weight = place(p, weight_bytes(l, &m[0]), align);
    if (l->n_matrix > 1) m[1].weight = place(p, weight_bytes(l, &m[1]), align);
    if (l->n_matrix > 2) m[2].weight = place(p, weight_bytes(l, &m[2]), 1);
}

uint64_t deft_image_qlayer_view(const uint8_t *payload, uint32_t offset, uint64_t limit,
                                deft_image_qlayer *out)
{
    read_descriptor(payload, out);
    shape_matrices(out);
    deft_matrix_q *const m = out->matrix;
    placer p;
    p.payload = payload;
    p.at = DEFT_IMAGE_DESCRIPTOR + 8 * (uint64_t)out->n_segment;
    p.limit = limit;
    p.offset = offset;
    if (out->flags & DEFT_FLAG_BIAS) m[0].bias = place_i32(&p, m[0].n_out);
    if (out->flags & DEFT_FLAG_BIAS_H) m[1].bias = place_i32(&p, m[0].n_out);
    if (out->n_matrix > 0) m[0].multiplier = place_i32(&p, m[0].n_out);
    if (out->n_matrix > 1) m[1].multiplier = place_i32(&p, m[0].n_out);
    place_weights(out, &p);
    if (p.at > limit) return 0;
    if (out->n_matrix > 2) {
        m[2].bias = m[1].bias ? m[1].bias + m[1].n_out : NULL;
        m[2].multiplier = m[1].multiplier + m[1].n_out;
    }
    return p.at;
}

void deft_image_qlayer_at(const uint8_t *data, uint32_t directory, uint32_t index,
                          deft_image_qlayer *out)
{
    const uint8_t *const p = deft_image_payload(data, directory, index);
    (void)deft_image_qlayer_view(p, (uint32_t)(p - data), UINT64_MAX, out);
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

uint32_t deft_image_qstate(const deft_image_qlayer *l)
{
    const uint32_t h = 2u * l->n_out; // bytes
    if (l->kind == DEFT_IMAGE_HISTORY) {
        return round_up(deft_number_bytes(l->out_format) * l->n_out);
    }
    if (l->kind != DEFT_IMAGE_GRU && l->kind != DEFT_IMAGE_LSTM) return 0;
    // h, c, and where somebody reads the old h later, the new one
    return round_up((l->kind == DEFT_IMAGE_LSTM ? 2 * h : h) +
                    (l->flags & DEFT_FLAG_DOUBLE ? h : 0));
}

uint32_t deft_image_qoutput(const deft_image_qlayer *l)
{
    return deft_has_state(l->kind) ? 0 : round_up(deft_number_bytes(l->out_format) * l->n_out);
}

uint32_t deft_image_qscratch(const deft_image_qlayer *l)
{
    const uint32_t gates = deft_image_gates(l->kind);
    const uint32_t gathered =
        l->n_segment > 1 ? round_up(deft_number_bytes(l->in_format) * l->n_in) : 0;
    return gathered + (gates > 1 ? round_up(2u * 2u * gates * l->n_out) : 0);
}
