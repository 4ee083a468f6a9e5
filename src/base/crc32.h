/* crc32.h - CRC-32 (IEEE 802.3, reflected, as zlib's). Part of the freestanding runtime. */
#ifndef DEFT_BASE_CRC32_H
#define DEFT_BASE_CRC32_H

#include <stddef.h>
#include <stdint.h>

/* Start with crc 0; feed pieces in order. */
uint32_t deft_crc32(uint32_t crc, const void *data, size_t size);

#endif
