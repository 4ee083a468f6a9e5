/* arena.c - many allocations, one release. */
#include "deft/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 16, BLOCK = 64 * 1024 };

typedef struct block {
    struct block *next;
    size_t size, used;
    _Alignas(ALIGN) unsigned char data[];
} block;

struct deft_arena {
    block *first;
    size_t limit, handed_out;
};

deft_arena *deft_arena_create(size_t limit)
{
    deft_arena *a = calloc(1, sizeof *a);
    if (a) a->limit = limit;
    return a;
}

void deft_arena_destroy(deft_arena *a)
{
    if (!a) return;
    for (block *b = a->first, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    free(a);
}

static block *add_block(deft_arena *a, size_t size)
{
    if (size > SIZE_MAX - sizeof(block)) return NULL;
    block *b = aligned_alloc(ALIGN, (sizeof(block) + size + ALIGN - 1) / ALIGN * ALIGN);
    if (!b) return NULL;
    memset(b->data, 0, size);
    b->size = size;
    b->used = 0;
    // A big allocation has a block of its own, behind the first, which stays open for small ones.
    if (a->first && size > BLOCK) {
        b->next = a->first->next;
        a->first->next = b;
    } else {
        b->next = a->first;
        a->first = b;
    }
    return b;
}

void *deft_arena_alloc(deft_arena *a, size_t size)
{
    if (size > SIZE_MAX - (size_t)2 * ALIGN) return NULL;
    const size_t need = size ? (size + ALIGN - 1) / ALIGN * ALIGN : ALIGN;
    if (a->limit && need > a->limit - a->handed_out) return NULL;
    block *b = a->first;
    if (!b || need > b->size - b->used) b = add_block(a, need > BLOCK ? need : BLOCK);
    if (!b) return NULL;
    void *p = b->data + b->used;
    b->used += need;
    a->handed_out += need;
    return p;
}

void *deft_arena_array(deft_arena *a, size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size) return NULL;
    return deft_arena_alloc(a, count * size);
}

void *deft_arena_copy(deft_arena *a, const void *src, size_t size)
{
    void *p = deft_arena_alloc(a, size);
    if (p && size) memcpy(p, src, size);
    return p;
}

char *deft_arena_strndup(deft_arena *a, const char *s, size_t n)
{
    const size_t len = strnlen(s, n);
    char *p = deft_arena_alloc(a, len + 1);
    if (p) memcpy(p, s, len);
    return p;
}

char *deft_arena_printf(deft_arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) return NULL;
    char *p = deft_arena_alloc(a, (size_t)n + 1);
    if (!p) return NULL;
    va_start(ap, fmt);
    (void)vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return p;
}

deft_status deft_arena_note(deft_arena *a, const char *const **list, int32_t *n, const char *fmt,
                            va_list ap)
{
    char text[512];
    (void)vsnprintf(text, sizeof text, fmt, ap);
    const char **const longer = DEFT_NEW_ARRAY(a, const char *, (int64_t)*n + 1);
    const char *const copy = deft_arena_strndup(a, text, sizeof text);
    if (!longer || !copy) return DEFT_E_SPACE;
    if (*n) memcpy((void *)longer, (const void *)*list, (size_t)*n * sizeof(const char *));
    longer[(*n)++] = copy;
    *list = longer;
    return DEFT_OK;
}

size_t deft_arena_used(const deft_arena *a)
{
    return a->handed_out;
}

void deft_arena_reset(deft_arena *a)
{
    // Keep one ordinary block; what was large is rarely needed again in the same shape.
    block *keep = NULL;
    for (block *b = a->first, *next; b; b = next) {
        next = b->next;
        if (!keep && b->size == BLOCK)
            keep = b;
        else
            free(b);
    }
    if (keep) {
        memset(keep->data, 0, keep->used);
        keep->used = 0;
        keep->next = NULL;
    }
    a->first = keep;
    a->handed_out = 0;
}
