/* mutate_image.h - changes of an image that keep its container whole, so that they reach what is
 * behind the container's checks. */
#ifndef DEFT_TESTS_MUTATE_IMAGE_H
#define DEFT_TESTS_MUTATE_IMAGE_H

#include "base/crc32.h"
#include "deft/base.h"
#include "image/image.h"

#include <string.h>

enum { MUTATE_MAX_RECORDS = 512 };

typedef struct mutate_record {
    size_t at; // of its header
    uint16_t type;
    uint32_t length; // of the payload
} mutate_record;

static inline void mutate_put32(uint8_t *b, uint32_t v)
{
    for (size_t k = 0; k < 4; k++) b[k] = (uint8_t)(v >> 8 * k);
}

/* Length and CRC of the whole. */
static inline void mutate_seal(uint8_t *b, size_t size)
{
    mutate_put32(b + 8, (uint32_t)size);
    mutate_put32(b + 12, 0);
    mutate_put32(b + 12, deft_crc32(0, b, size));
}

/* The records as far as they make sense. */
static inline int mutate_records(const uint8_t *b, size_t size, mutate_record *r)
{
    int n = 0;
    size_t at = DEFT_IMAGE_HEADER;
    while (at + DEFT_IMAGE_RECORD <= size && n < MUTATE_MAX_RECORDS) {
        const uint32_t length = deft_image_u32(b + at + 4);
        if (length > size - at - DEFT_IMAGE_RECORD) break;
        r[n].at = at;
        r[n].type = deft_image_u16(b + at);
        r[n++].length = length;
        at += DEFT_IMAGE_RECORD + (((size_t)length + 15) & ~(size_t)15);
    }
    return n;
}

/* The directory says where the layers are, wherever they are now. */
static inline void mutate_directory(uint8_t *b, size_t size)
{
    static mutate_record r[MUTATE_MAX_RECORDS];
    const int n = mutate_records(b, size, r);
    if (n == 0 || r[0].type != DEFT_RECORD_DIRECTORY) return;
    uint32_t k = 0;
    for (int i = 0; i < n; i++) {
        if (r[i].type != DEFT_RECORD_LAYER || 4 * k + 4 > r[0].length) continue;
        mutate_put32(b + r[0].at + DEFT_IMAGE_RECORD + (size_t)4 * k++,
                     (uint32_t)(r[i].at + DEFT_IMAGE_RECORD));
    }
}

static inline uint32_t mutate_below(deft_rng *g, uint32_t n)
{
    return n ? (uint32_t)(deft_rng_u64(g) % n) : 0;
}

/* One field of 1, 2 or 4 bytes at or behind `at`. */
static inline void mutate_field(uint8_t *b, size_t at, size_t n, deft_rng *g)
{
    static const uint32_t odd[] = {
        0,          1,          2,          3,          15,         16,        17,    127,
        128,        255,        256,        32767,      32768,      65535,     65536, 1 << 20,
        0x7fffffff, 0x80000000, 0x80000001, 0xffffffff, 0x7f800000, 0x7fc00000};
    if (n == 0) return;
    const size_t width = (size_t)1 << mutate_below(g, 3), where = mutate_below(g, (uint32_t)n);
    uint8_t *const p = b + at + where / width * width;
    if (where / width * width + width > n) return;
    uint32_t v = 0;
    for (size_t k = 0; k < width; k++) v |= (uint32_t)p[k] << 8 * k;
    switch (mutate_below(g, 5)) {
    case 0:
        v = odd[mutate_below(g, sizeof odd / sizeof *odd)];
        break;
    case 1:
        v++;
        break;
    case 2:
        v--;
        break;
    case 3:
        v ^= 1u << mutate_below(g, 32);
        break;
    default:
        v = (uint32_t)deft_rng_u64(g);
    }
    for (size_t k = 0; k < width; k++) p[k] = (uint8_t)(v >> 8 * k);
}

/* Grows or shrinks a record's payload by whole lines; returns the new size. */
static inline size_t mutate_resize(uint8_t *b, size_t size, size_t room, const mutate_record *r,
                                   deft_rng *g)
{
    const uint32_t by = 16 * (1 + mutate_below(g, 4));
    const size_t payload = r->at + DEFT_IMAGE_RECORD;
    const size_t end = payload + (((size_t)r->length + 15) & ~(size_t)15);
    if (deft_rng_u64(g) & 1) {
        if (size + by > room) return size;
        memmove(b + end + by, b + end, size - end);
        memset(b + end, 0, by);
        mutate_put32(b + r->at + 4, r->length + by);
        return size + by;
    }
    if (r->length < by || end - by < payload) return size;
    memmove(b + end - by, b + end, size - end);
    mutate_put32(b + r->at + 4, r->length - by);
    return size - by;
}

/* Removes a record, or puts it there twice. */
static inline size_t mutate_repeat(uint8_t *b, size_t size, size_t room, const mutate_record *r,
                                   deft_rng *g)
{
    const size_t whole = DEFT_IMAGE_RECORD + (((size_t)r->length + 15) & ~(size_t)15);
    if (deft_rng_u64(g) & 1) {
        memmove(b + r->at, b + r->at + whole, size - r->at - whole);
        return size - whole;
    }
    if (size + whole > room) return size;
    memmove(b + r->at + whole, b + r->at, size - r->at);
    return size + whole;
}

/* A changed image of b[size] in b[room]: its length and CRC are right again. */
static inline size_t mutate_image(uint8_t *b, size_t size, size_t room, uint64_t seed)
{
    static mutate_record r[MUTATE_MAX_RECORDS];
    deft_rng g;
    deft_rng_seed(&g, seed);
    size &= ~(size_t)15;
    for (uint32_t k = 0, times = 1 + mutate_below(&g, 3); k < times; k++) {
        const int n = mutate_records(b, size, r);
        if (n == 0) break;
        const mutate_record *const c = &r[mutate_below(&g, (uint32_t)n)];
        const size_t payload = c->at + DEFT_IMAGE_RECORD;
        const uint32_t head = c->length < 48 ? c->length : 48;
        switch (mutate_below(&g, 8)) {
        case 0:
            mutate_field(b, 4, 28, &g); // header
            break;
        case 1:
            mutate_field(b, payload, c->length, &g); // weights, mostly
            break;
        case 2:
            size = mutate_resize(b, size, room, c, &g);
            break;
        case 3:
            size = mutate_repeat(b, size, room, c, &g);
            break;
        default:
            mutate_field(b, payload, head, &g); // descriptors and segments
        }
    }
    mutate_directory(b, size);
    mutate_seal(b, size);
    return size;
}

#endif
