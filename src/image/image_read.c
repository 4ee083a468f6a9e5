/* image_read.c - the checked reader of images. Part of the freestanding runtime.
 * Whatever it accepts, the runtime may trust: every offset, shape and number was looked at. */
#include "base/crc32.h"
#include "image/image.h"

#include <float.h>
#include <string.h>

static const uint8_t magic[4] = {'D', 'E', 'F', 'T'};

static uint32_t image_crc(const uint8_t *data, uint32_t size)
{
    // The field itself counts as zero.
    static const uint8_t zero[4] = {0};
    uint32_t crc = deft_crc32(0, data, 12);
    crc = deft_crc32(crc, zero, sizeof zero);
    return deft_crc32(crc, data + 16, size - 16);
}

static deft_status open_header(deft_image *im, const uint8_t *p, size_t size)
{
    if (size < DEFT_IMAGE_HEADER || memcmp(p, magic, sizeof magic) != 0) return DEFT_E_FORMAT;
    if (deft_image_u16(p + 4) != DEFT_IMAGE_VERSION) return DEFT_E_VERSION;
    const uint32_t length = deft_image_u32(p + 8);
    if (length != size || length % DEFT_IMAGE_ALIGN != 0 || length > INT32_MAX) {
        return DEFT_E_FORMAT;
    }
    if (deft_image_u32(p + 12) != image_crc(p, length)) return DEFT_E_FORMAT;
    im->data = p;
    im->size = length;
    im->flags = deft_image_u16(p + 6);
    im->n_obs = deft_image_u16(p + 16);
    im->n_act = deft_image_u16(p + 18);
    im->n_output = deft_image_u16(p + 20);
    im->n_layer = deft_image_u16(p + 22);
    im->period_us = deft_image_u32(p + 24);
    im->work = deft_image_u32(p + 28);
    if (im->flags & ~(uint32_t)DEFT_IMAGE_DISCRETE) return DEFT_E_FORMAT;
    if (!im->n_obs || !im->n_act || !im->n_output) return DEFT_E_FORMAT;
    if (!im->n_layer || im->n_layer > DEFT_IMAGE_MAX_LAYERS) return DEFT_E_FORMAT;
    const uint16_t expected = im->flags & DEFT_IMAGE_DISCRETE ? 1 : im->n_output;
    return im->n_act == expected ? DEFT_OK : DEFT_E_FORMAT;
}

int deft_image_finite(const void *p, uint64_t n)
{
    const uint8_t *b = p;
    for (uint64_t i = 0; i < n; i++, b += 4) {
        float f;
        memcpy(&f, b, sizeof f);
        if (!(f >= -FLT_MAX && f <= FLT_MAX)) return 0;
    }
    return 1;
}

uint32_t deft_image_gates(uint8_t kind)
{
    return kind == DEFT_IMAGE_DENSE  ? 1
           : kind == DEFT_IMAGE_GRU  ? 3
           : kind == DEFT_IMAGE_LSTM ? 4
                                     : 0;
}

uint32_t deft_image_flags(uint8_t kind)
{
    switch (kind) {
    case DEFT_IMAGE_DENSE:
    case DEFT_IMAGE_LAYERNORM:
    case DEFT_IMAGE_AFFINE:
        return DEFT_FLAG_BIAS | DEFT_FLAG_WEIGHT;
    case DEFT_IMAGE_GRU:
        return DEFT_FLAG_BIAS | DEFT_FLAG_BIAS_H | DEFT_FLAG_WEIGHT | DEFT_FLAG_RESET_BEFORE;
    case DEFT_IMAGE_LSTM:
        return DEFT_FLAG_BIAS | DEFT_FLAG_BIAS_H | DEFT_FLAG_WEIGHT;
    case DEFT_IMAGE_HISTORY:
        return DEFT_FLAG_NEWEST_FIRST | DEFT_FLAG_FILL_FIRST;
    default:
        return 0;
    }
}

int deft_image_shape_ok(uint8_t kind, uint32_t n_in, uint32_t n_out, uint32_t depth)
{
    if (n_in == 0 || n_out == 0) return 0;
    switch (kind) {
    case DEFT_IMAGE_DENSE:
    case DEFT_IMAGE_GRU:
    case DEFT_IMAGE_LSTM:
        return 1;
    case DEFT_IMAGE_ADD:
    case DEFT_IMAGE_MUL:
        return n_in == 2 * n_out;
    case DEFT_IMAGE_HISTORY:
        return depth > 0 && depth * n_in == n_out;
    default:
        return n_in == n_out;
    }
}

int deft_image_limits_ok(const deft_image_end *e, uint32_t n)
{
    if (e->offset && !deft_image_finite(e->offset, n)) return 0;
    if (e->scale && !deft_image_finite(e->scale, n)) return 0;
    for (uint32_t i = 0; i < n; i++) {
        const float lo = e->lo ? e->lo[i] : 0, hi = e->hi ? e->hi[i] : 0;
        if (lo != lo || hi != hi) return 0; // may be infinite, not NaN
        if (e->lo && e->hi && lo > hi) return 0;
    }
    return 1;
}

static deft_status check_selftest(const deft_image *im, uint32_t at, uint32_t length)
{
    const uint8_t *p = im->data + at;
    if (length < 4 || deft_image_u16(p + 2) != 0) return DEFT_E_FORMAT;
    const uint64_t n = (uint64_t)deft_image_u16(p) * ((uint32_t)im->n_obs + im->n_act);
    if (n == 0 || length != 4 + 4 * n) return DEFT_E_FORMAT;
    return deft_image_finite(p + 4, n) ? DEFT_OK : DEFT_E_FORMAT;
}

/* Length of source `kind`, `index` for a reader that is layer `before`, -1 if there is none. */
static int32_t source_length(const deft_image *im, deft_image_segment s, uint32_t before)
{
    if (s.kind == DEFT_IMAGE_OBS) return s.index ? -1 : im->n_obs;
    if (s.kind == DEFT_IMAGE_PREV) return s.index ? -1 : im->n_act;
    if (s.index >= im->n_layer) return -1;
    const uint8_t *const layer = deft_image_payload(im->data, im->directory, s.index);
    const uint16_t n_out = deft_image_u16(layer + 10);
    if (s.kind == DEFT_IMAGE_VALUE) return s.index < before ? n_out : -1;
    if (s.kind != DEFT_IMAGE_STATE) return -1;
    return layer[0] == DEFT_IMAGE_GRU || layer[0] == DEFT_IMAGE_LSTM ? n_out : -1;
}

static deft_status check_segments(const deft_image *im, const uint8_t *p, uint32_t n,
                                  uint32_t before, uint32_t total)
{
    uint64_t sum = 0;
    for (uint32_t k = 0; k < n; k++) {
        const deft_image_segment s = deft_image_segment_at(p, k);
        const int32_t length = source_length(im, s, before);
        if (p[(size_t)8 * k + 1] != 0 || s.length == 0) return DEFT_E_FORMAT;
        if (length < 0 || (int32_t)s.offset + s.length > length) return DEFT_E_FORMAT;
        sum += s.length;
    }
    return sum == total ? DEFT_OK : DEFT_E_FORMAT;
}

/* Walking over the records. */
typedef struct walk {
    const deft_image_family *f32, *q; // what is served
    const deft_image_family *family;  // of this image, from its front end on
    uint32_t layers;                  // seen
} walk;

/* The front end says which family this is. */
static deft_status find_family(deft_image *im, walk *w, uint32_t at, uint32_t length)
{
    im->integer = length && im->data[at] == DEFT_NUM_S16;
    w->family = im->integer ? w->q : w->f32;
    return w->family ? DEFT_OK : DEFT_E_UNSUPPORTED;
}

/* One record's own contents. Known types come once, except layers. */
static deft_status check_record(deft_image *im, walk *w, uint16_t type, uint32_t at,
                                uint32_t length)
{
    deft_status s = DEFT_OK;
    // types ascend: whatever needs the family comes behind the front end, or there is none
    if (type > DEFT_RECORD_FRONT_END && !w->family) return DEFT_E_FORMAT;
    switch (type) {
    case DEFT_RECORD_DIRECTORY:
        im->directory = at;
        return length == 4u * im->n_layer ? DEFT_OK : DEFT_E_FORMAT;
    case DEFT_RECORD_FRONT_END:
        im->front_end = at;
        s = find_family(im, w, at, length);
        return s == DEFT_OK ? w->family->end(im, at, length, 0) : s;
    case DEFT_RECORD_BACK_END:
        im->back_end = at;
        return w->family->end(im, at, length, 1);
    case DEFT_RECORD_LAYER:
        if (!im->directory || w->layers == im->n_layer) return DEFT_E_FORMAT;
        if (deft_image_payload(im->data, im->directory, w->layers) != im->data + at) {
            return DEFT_E_FORMAT;
        }
        w->layers++;
        return w->family->layer(im, at, length);
    case DEFT_RECORD_OUTPUTS:
        im->outputs = at;
        im->n_out_segment = length / 8;
        return length % 8 == 0 ? DEFT_OK : DEFT_E_FORMAT;
    case DEFT_RECORD_TABLES:
        return w->family->tables ? w->family->tables(im, at, length) : DEFT_E_FORMAT;
    case DEFT_RECORD_SELFTEST:
        im->selftest = at;
        return check_selftest(im, at, length);
    default:
        return DEFT_OK;
    }
}

static deft_status check_records(deft_image *im, walk *w)
{
    uint32_t last = 0;
    for (uint32_t at = DEFT_IMAGE_HEADER; at < im->size;) {
        const uint8_t *r = im->data + at;
        const uint32_t room = im->size - at; // a multiple of 16, so at least one record header
        const uint16_t type = deft_image_u16(r), flags = deft_image_u16(r + 2);
        const uint32_t length = deft_image_u32(r + 4);
        if (deft_image_u32(r + 8) || deft_image_u32(r + 12)) return DEFT_E_FORMAT;
        if (length > room - DEFT_IMAGE_RECORD) return DEFT_E_FORMAT;
        if (type == 0 || type < last || (type == last && type != DEFT_RECORD_LAYER)) {
            return DEFT_E_FORMAT;
        }
        last = type;
        const int critical = flags & DEFT_IMAGE_CRITICAL;
        if (type <= DEFT_RECORD_TABLES ? flags != DEFT_IMAGE_CRITICAL : critical) {
            return critical ? DEFT_E_VERSION : DEFT_E_FORMAT; // made for a newer reader
        }
        if (flags & ~(uint32_t)DEFT_IMAGE_CRITICAL) return DEFT_E_FORMAT;
        const deft_status s = check_record(im, w, type, at + DEFT_IMAGE_RECORD, length);
        if (s != DEFT_OK) return s;
        const uint32_t end = (length + DEFT_IMAGE_ALIGN - 1) & ~(uint32_t)(DEFT_IMAGE_ALIGN - 1);
        for (uint32_t i = length; i < end; i++) {
            if (r[DEFT_IMAGE_RECORD + i]) return DEFT_E_FORMAT;
        }
        at += DEFT_IMAGE_RECORD + end;
    }
    const int complete = im->front_end && im->back_end && im->outputs && w->layers == im->n_layer;
    return complete ? DEFT_OK : DEFT_E_FORMAT;
}

deft_status deft_image_open_as(deft_image *im, const void *data, size_t size,
                               const deft_image_family *f32, const deft_image_family *q)
{
    memset(im, 0, sizeof *im);
    if (!data || (uintptr_t)data % DEFT_IMAGE_ALIGN != 0) return DEFT_E_ARG;
    const uint16_t one = 1;
    uint8_t low;
    memcpy(&low, &one, 1);
    if (low != 1) return DEFT_E_LAYOUT; // weights are used in place: little-endian hosts only

    walk w = {f32, q, NULL, 0};
    deft_status s = open_header(im, data, size);
    if (s == DEFT_OK) s = check_records(im, &w);
    // Segments last: the state of a later layer may be read.
    for (uint32_t k = 0; s == DEFT_OK && k < im->n_layer; k++) {
        const uint8_t *const p = deft_image_payload(im->data, im->directory, k);
        s = check_segments(im, p + DEFT_IMAGE_DESCRIPTOR, deft_image_u16(p + 6), k,
                           deft_image_u16(p + 8));
    }
    if (s == DEFT_OK) {
        s = check_segments(im, im->data + im->outputs, im->n_out_segment, im->n_layer,
                           im->n_output);
    }
    if (s == DEFT_OK) s = w.family->whole(im);
    if (s != DEFT_OK) memset(im, 0, sizeof *im);
    return s;
}

uint16_t deft_image_next(const deft_image *im, uint32_t *at, const uint8_t **payload, uint32_t *n)
{
    if (*at >= im->size) return 0;
    const uint8_t *r = im->data + *at;
    *payload = r + DEFT_IMAGE_RECORD;
    *n = deft_image_u32(r + 4);
    *at += DEFT_IMAGE_RECORD + ((*n + DEFT_IMAGE_ALIGN - 1) & ~(uint32_t)(DEFT_IMAGE_ALIGN - 1));
    return deft_image_u16(r);
}

const uint8_t *deft_image_payload(const uint8_t *data, uint32_t directory, uint32_t index)
{
    return data + deft_image_u32(data + directory + (size_t)4 * index);
}

deft_image_segment deft_image_segment_at(const uint8_t *segments, uint32_t index)
{
    const uint8_t *p = segments + 8 * (size_t)index;
    deft_image_segment s;
    s.kind = p[0];
    s.index = deft_image_u16(p + 2);
    s.offset = deft_image_u16(p + 4);
    s.length = deft_image_u16(p + 6);
    return s;
}

void deft_image_arrays(const uint8_t *at, uint32_t mask, uint32_t n, deft_image_end *out)
{
    const float *p = (const float *)(const void *)at;
    const float **field[4];
    field[0] = &out->offset;
    field[1] = &out->scale;
    field[2] = &out->lo;
    field[3] = &out->hi;
    for (int k = 0; k < 4; k++) {
        *field[k] = mask >> k & 1 ? p : NULL;
        if (*field[k]) p += n;
    }
}

void deft_image_end_at(const uint8_t *payload, deft_image_end *out)
{
    deft_image_arrays(payload + 4, payload[1], deft_image_u16(payload + 2), out);
}
