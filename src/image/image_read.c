/* image_read.c - the checked reader of images. Part of the freestanding runtime.
 * Whatever it accepts, the runtime may trust: every offset, shape and number was looked at. */
#include "base/float_rules.h"

#include "base/crc32.h"
#include "image/image.h"

#include <string.h>

/* What is served; NULL: not. */
typedef struct families {
    const deft_image_family *f32, *q;
} families;

typedef struct record {
    uint32_t type, at, length; // of the payload
} record;

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
    return DEFT_OK;
}

int deft_image_zero(const uint8_t *from, const uint8_t *to)
{
    for (; from < to; from++) {
        if (*from) return 0;
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

int deft_image_limits_ok(const deft_image_end *e, uint32_t n)
{
    if (e->offset && !deft_all_finite(e->offset, n)) return 0;
    if (e->scale && !deft_all_finite(e->scale, n)) return 0;
    for (uint32_t i = 0; i < n; i++) {
        const float other = e->hi ? e->hi[i] : 0, lo = e->lo ? e->lo[i] : other;
        if (!(lo <= (e->hi ? other : lo))) return 0; // may be infinite, not NaN
    }
    return 1;
}

static deft_status check_selftest(const deft_image *im, uint32_t at, uint32_t length)
{
    const uint8_t *p = im->data + at;
    if (length < 4 || deft_image_u16(p + 2) != 0) return DEFT_E_FORMAT;
    const uint32_t step = 4 * ((uint32_t)im->n_obs + im->n_act), n = deft_image_u16(p);
    if (n == 0 || (length - 4) / step != n || (length - 4) % step) return DEFT_E_FORMAT;
    return deft_all_finite(p + 4, (length - 4) / 4) ? DEFT_OK : DEFT_E_FORMAT;
}

/* The front end says which family this is. */
static deft_status find_family(deft_image *im, const families *f, uint32_t at, uint32_t length)
{
    im->front_end = at;
    im->integer = length && im->data[at] == DEFT_NUM_S16;
    im->family = im->integer ? f->q : f->f32;
    return im->family ? DEFT_OK : DEFT_E_UNSUPPORTED;
}

/* One record's own contents. Known types come once, except layers; layers: seen. */
static deft_status check_record(deft_image *im, const families *f, const record *r,
                                uint32_t *layers)
{
    const uint32_t at = r->at, length = r->length;
    deft_status s = DEFT_OK;
    // types ascend: whatever needs the family comes behind the front end, or there is none
    if (r->type > DEFT_RECORD_FRONT_END && !im->family) return DEFT_E_FORMAT;
    switch (r->type) {
    case DEFT_RECORD_DIRECTORY:
        im->directory = at;
        return length == 4 * (uint32_t)im->n_layer ? DEFT_OK : DEFT_E_FORMAT;
    case DEFT_RECORD_FRONT_END:
        s = find_family(im, f, at, length);
        break;
    case DEFT_RECORD_BACK_END:
        im->back_end = at;
        break;
    case DEFT_RECORD_LAYER:
        if (!im->directory || *layers == im->n_layer ||
            deft_image_payload(im->data, im->directory, *layers) != im->data + at) {
            return DEFT_E_FORMAT;
        }
        ++*layers;
        break;
    case DEFT_RECORD_OUTPUTS:
        im->outputs = at;
        im->n_out_segment = length / 8;
        return length % 8 == 0 ? DEFT_OK : DEFT_E_FORMAT;
    case DEFT_RECORD_TABLES:
        im->tables = at;
        break;
    case DEFT_RECORD_CHOICES:
        return im->family->choices(im, at, length);
    case DEFT_RECORD_SELFTEST:
        im->selftest = at;
        return check_selftest(im, at, length);
    default:
        return DEFT_OK;
    }
    return s == DEFT_OK ? im->family->record(im, r->type, at, length) : s;
}

static deft_status check_records(deft_image *im, const families *f)
{
    uint32_t last = 0, layers = 0;
    for (uint32_t at = DEFT_IMAGE_HEADER; at < im->size;) {
        const uint8_t *const p = im->data + at;
        const uint32_t room = im->size - at; // a multiple of 16, so at least one record header
        const uint32_t flags = deft_image_u16(p + 2);
        const record r = {deft_image_u16(p), at + DEFT_IMAGE_RECORD, deft_image_u32(p + 4)};
        if (!deft_image_zero(p + 8, p + 16) || r.length > room - DEFT_IMAGE_RECORD) {
            return DEFT_E_FORMAT;
        }
        if (r.type < last + (last != DEFT_RECORD_LAYER)) return DEFT_E_FORMAT;
        last = r.type;
        if (flags != (r.type <= DEFT_RECORD_CHOICES ? DEFT_IMAGE_CRITICAL : 0)) {
            // made for a newer reader?
            return flags & DEFT_IMAGE_CRITICAL ? DEFT_E_VERSION : DEFT_E_FORMAT;
        }
        const deft_status s = check_record(im, f, &r, &layers);
        if (s != DEFT_OK) return s;
        at = r.at + ((r.length + DEFT_IMAGE_ALIGN - 1) & ~(uint32_t)(DEFT_IMAGE_ALIGN - 1));
        if (!deft_image_zero(im->data + r.at + r.length, im->data + at)) return DEFT_E_FORMAT;
    }
    const int complete = im->front_end && im->back_end && im->outputs && layers == im->n_layer;
    // a discrete action is of all outputs, or several are of what the record says
    const uint32_t actions = im->flags & DEFT_IMAGE_DISCRETE ? 1 : im->n_output;
    return complete && (im->n_act == actions || im->choices) ? DEFT_OK : DEFT_E_FORMAT;
}

/* A segment of layer `reader`, or with n_layer of the outputs. */
static int segment_ok(const deft_image *im, const uint8_t *p, uint32_t reader)
{
    const uint32_t kind = p[0], index = deft_image_u16(p + 2);
    uint32_t length = kind == DEFT_IMAGE_OBS ? im->n_obs : im->n_act;
    if (kind == DEFT_IMAGE_VALUE || kind == DEFT_IMAGE_STATE) {
        if (index >= im->n_layer) return 0;
        const uint8_t *const from = deft_image_payload(im->data, im->directory, index);
        length = deft_image_u16(from + 10);
        if (kind == DEFT_IMAGE_VALUE ? index >= reader : deft_image_gates(from[0]) < 2) return 0;
    } else if ((kind != DEFT_IMAGE_OBS && kind != DEFT_IMAGE_PREV) || index) {
        return 0;
    }
    const uint32_t n = deft_image_u16(p + 6);
    return p[1] == 0 && n && deft_image_u16(p + 4) + n <= length &&
           im->family->segment(im, p, reader);
}

/* The inputs of layer k, or with n_layer the outputs. */
static int inputs_ok(const deft_image *im, uint32_t k)
{
    const uint8_t *p = im->data + im->outputs;
    uint32_t n = im->n_out_segment, left = im->n_output;
    if (k < im->n_layer) {
        p = deft_image_payload(im->data, im->directory, k);
        n = deft_image_u16(p + 6);
        left = deft_image_u16(p + 8);
        p += DEFT_IMAGE_DESCRIPTOR;
    }
    for (; n; n--, p += 8) {
        const uint32_t length = deft_image_u16(p + 6);
        if (length > left || !segment_ok(im, p, k)) return 0;
        left -= length;
    }
    return left == 0;
}

static deft_status check(deft_image *im, const void *data, size_t size, const families *f)
{
    deft_status s = open_header(im, data, size);
    if (s == DEFT_OK) s = check_records(im, f);
    if (s != DEFT_OK) return s;
    // Segments last: the state of a later layer may be read.
    for (uint32_t k = 0; k <= im->n_layer; k++) {
        if (!inputs_ok(im, k)) return DEFT_E_FORMAT;
    }
    return im->family->whole(im) ? DEFT_OK : DEFT_E_FORMAT;
}

deft_status deft_image_open_as(deft_image *im, const void *data, size_t size,
                               const deft_image_family *f32, const deft_image_family *q)
{
    const union {
        uint16_t number;
        uint8_t low;
    } one = {1};
    const families f = {f32, q};
    memset(im, 0, sizeof *im);
    if (!data || (uintptr_t)data % DEFT_IMAGE_ALIGN != 0) return DEFT_E_ARG;
    if (one.low != 1) return DEFT_E_LAYOUT; // weights are used in place: little-endian hosts only
    const deft_status s = check(im, data, size, &f);
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
