/* string.h - what the freestanding runtime needs of it, for compilers that come without a libc. */
#ifndef DEFT_TARGET_STRING_H
#define DEFT_TARGET_STRING_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int value, size_t n);
int memcmp(const void *a, const void *b, size_t n);

#endif
