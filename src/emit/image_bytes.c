/* image_bytes.c - little-endian writing, matrix layouts, and the hash that names a policy. */
#include "emit/image_emit.h"
#include "image/image_q.h"

#include <string.h>

void image_put(image_writer *w, const void *bytes, size_t n)
{
    if (w->data && n) memcpy(w->data + w->at, bytes, n);
    w->at += n;
}

void image_put_u8(image_writer *w, uint32_t v)
{
    const uint8_t b = (uint8_t)v;
    image_put(w, &b, 1);
}

void image_put_u16(image_writer *w, uint32_t v)
{
    image_put_u8(w, v & 255);
    image_put_u8(w, v >> 8 & 255);
}

void image_put_u32(image_writer *w, uint32_t v)
{
    image_put_u16(w, v & 0xFFFF);
    image_put_u16(w, v >> 16);
}

void image_put_f32(image_writer *w, const float *x, size_t n)
{
    for (size_t i = 0; w->data && i < n; i++) {
        uint32_t u;
        memcpy(&u, x + i, sizeof u);
        image_writer one = {w->data, w->at + 4 * i};
        image_put_u32(&one, u);
    }
    w->at += 4 * n;
}

void image_put_string(image_writer *w, const char *s)
{
    image_put(w, s ? s : "", s ? strlen(s) + 1 : 1);
}

void image_align(image_writer *w, size_t align)
{
    w->at = (w->at + align - 1) / align * align;
}

/* Where element (row, column) of a matrix lies in panels. */
static size_t panel_index(size_t n_out, size_t n_in, size_t row, size_t column)
{
    const size_t first = row / DEFT_IMAGE_PANEL * DEFT_IMAGE_PANEL, left = n_out - first;
    const size_t width = left < DEFT_IMAGE_PANEL ? left : DEFT_IMAGE_PANEL;
    return first * n_in + column * width + (row - first);
}

void image_matrix_to_panels(const float *rows, float *panels, size_t n_out, size_t n_in)
{
    for (size_t o = 0; o < n_out; o++) {
        for (size_t i = 0; i < n_in; i++) {
            panels[panel_index(n_out, n_in, o, i)] = rows[o * n_in + i];
        }
    }
}

void image_matrix_from_panels(const float *panels, float *rows, size_t n_out, size_t n_in)
{
    for (size_t o = 0; o < n_out; o++) {
        for (size_t i = 0; i < n_in; i++) {
            rows[o * n_in + i] = panels[panel_index(n_out, n_in, o, i)];
        }
    }
}

uint32_t image_gates(uint8_t kind)
{
    return kind == DEFT_IMAGE_DENSE  ? 1
           : kind == DEFT_IMAGE_GRU  ? 3
           : kind == DEFT_IMAGE_LSTM ? 4
                                     : 0;
}

/* A matrix in rows, whatever the layout. */
static void put_matrix(image_writer *w, const deft_image_layer *l, const float *m, size_t n_out,
                       size_t n_in)
{
    if (l->layout == DEFT_LAYOUT_ROWS || !w->data) {
        image_put_f32(w, m, n_out * n_in);
        return;
    }
    for (size_t o = 0; o < n_out; o++) {
        for (size_t i = 0; i < n_in; i++) image_put_f32(w, m + panel_index(n_out, n_in, o, i), 1);
    }
}

static void put_canonical_layer(image_writer *w, const uint8_t *payload, const deft_image_layer *l)
{
    image_put(w, payload, 3);
    image_put_u8(w, DEFT_LAYOUT_ROWS);
    image_put(w, payload + 4, DEFT_IMAGE_DESCRIPTOR - 4 + (size_t)8 * l->n_segment);
    const uint32_t gates = image_gates(l->kind);
    const size_t h = l->n_out, rows = gates ? gates * h : h;
    if (l->bias) image_put_f32(w, l->bias, rows);
    if (l->bias_h) image_put_f32(w, l->bias_h, rows);
    if (!gates) {
        if (l->weight) image_put_f32(w, l->weight, rows);
        return;
    }
    put_matrix(w, l, l->weight, rows, l->n_in);
    if (l->flags & DEFT_FLAG_RESET_BEFORE) {
        put_matrix(w, l, l->weight_h, 2 * h, h);
        put_matrix(w, l, l->weight_h + 2 * h * h, h, h);
    } else if (l->weight_h) {
        put_matrix(w, l, l->weight_h, rows, h);
    }
}

/* Numbers of 16 bits, whatever the format and layout. */
static void put_canonical_matrix_q(image_writer *w, const deft_matrix_q *m, uint32_t rows)
{
    for (uint32_t o = 0; w->data && o < rows; o++) {
        for (uint32_t i = 0; i < m->n_in; i++) {
            image_writer one = {w->data, w->at + 2 * ((size_t)o * m->n_in + i)};
            image_put_u16(&one, (uint32_t)deft_matrix_weight(m, o, i));
        }
    }
    w->at += 2 * (size_t)rows * m->n_in;
}

static void put_canonical_qlayer(image_writer *w, const uint8_t *payload,
                                 const deft_image_qlayer *l)
{
    // where things lie decides nothing
    image_put(w, payload, 3);
    image_put_u8(w, DEFT_LAYOUT_ROWS);
    image_put(w, payload + 4, 1);
    image_put_u8(w, payload[5] & ~(uint32_t)DEFT_FLAG_DOUBLE);
    image_put(w, payload + 6, 24);
    image_put_u16(w, 0);
    image_put(w, payload + DEFT_IMAGE_DESCRIPTOR, (size_t)8 * l->n_segment);
    const size_t rows = 4 * (size_t)l->matrix[0].n_out;
    for (uint32_t k = 0; k < 2; k++) {
        if (l->matrix[k].bias) image_put(w, l->matrix[k].bias, rows);
    }
    for (uint32_t k = 0; k < 2; k++) {
        if (l->matrix[k].multiplier) image_put(w, l->matrix[k].multiplier, rows);
    }
    for (uint32_t k = 0; k < l->n_matrix; k++) {
        const deft_matrix_q *const m = &l->matrix[k];
        if (m->weight) put_canonical_matrix_q(w, m, image_gates(l->kind) ? m->n_out : 1);
    }
}

static void put_canonical(image_writer *w, const deft_image *im)
{
    image_put(w, im->data + 6, 2);  // flags
    image_put(w, im->data + 16, 8); // counts
    const uint8_t *payload = NULL;
    uint32_t at = DEFT_IMAGE_HEADER, n = 0;
    for (uint16_t type; (type = deft_image_next(im, &at, &payload, &n)) != 0;) {
        if (type == DEFT_RECORD_DIRECTORY || type > DEFT_RECORD_CHOICES) continue;
        image_put_u16(w, type);
        if (type == DEFT_RECORD_LAYER && im->integer) {
            deft_image_qlayer l;
            (void)deft_image_qlayer_view(payload, (uint32_t)(payload - im->data), n, &l);
            put_canonical_qlayer(w, payload, &l);
        } else if (type == DEFT_RECORD_LAYER) {
            deft_image_layer l;
            (void)deft_image_layer_view(payload, (uint32_t)(payload - im->data), n, &l);
            put_canonical_layer(w, payload, &l);
        } else {
            image_put(w, payload, n);
        }
    }
}

deft_status image_policy_id(const deft_image *im, deft_arena *a, uint8_t id[32])
{
    image_writer w = {NULL, 0};
    put_canonical(&w, im);
    w.data = deft_arena_alloc(a, w.at);
    if (!w.data) return DEFT_E_SPACE;
    w.at = 0;
    put_canonical(&w, im);
    deft_sha256(w.data, w.at, id);
    return DEFT_OK;
}
