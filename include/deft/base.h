/* base.h - host services every host module stands on: errors, arenas, random numbers,
 * escaping, files, hashes. Not part of the freestanding runtime. */
#ifndef DEFT_BASE_H
#define DEFT_BASE_H

#include "deft/status.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define DEFT_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define DEFT_PRINTF(fmt, args)
#endif

/* Errors: the status and, for people, where and why. Zero-initialise. */
typedef struct deft_error {
    deft_status status;
    char text[1024]; // "" while status is DEFT_OK; cut, never overrun
} deft_error;

/* Sets e (which may be NULL) and returns s, so that `return deft_fail(...)` works.
 * Strings that came from a file must pass deft_escape first. */
deft_status deft_fail(deft_error *e, deft_status s, const char *fmt, ...) DEFT_PRINTF(3, 4);

/* Puts "prefix: " before the text of an error that is set; returns its status. */
deft_status deft_error_prefix(deft_error *e, const char *fmt, ...) DEFT_PRINTF(2, 3);

/* An arena: many allocations, one release. Blocks never move. */
typedef struct deft_arena deft_arena;

/* limit: bytes it may hand out in all, 0 for no limit (the guard against files that
 * claim gigabytes). NULL if memory ran out. */
deft_arena *deft_arena_create(size_t limit);
void deft_arena_destroy(deft_arena *a); // NULL is fine

/* Zeroed, 16-byte aligned; NULL if the limit or memory is exhausted. size 0 gives a
 * pointer that may not be dereferenced. */
void *deft_arena_alloc(deft_arena *a, size_t size);
void *deft_arena_array(deft_arena *a, size_t count, size_t size); // overflow checked
void *deft_arena_copy(deft_arena *a, const void *src, size_t size);
char *deft_arena_strndup(deft_arena *a, const char *s, size_t n); // stops at NUL or n
char *deft_arena_printf(deft_arena *a, const char *fmt, ...) DEFT_PRINTF(2, 3);
/* Appends a sentence of fmt to list [*n], for people. DEFT_OK or DEFT_E_SPACE. */
deft_status deft_arena_note(deft_arena *a, const char *const **list, int32_t *n, const char *fmt,
                            va_list ap);
size_t deft_arena_used(const deft_arena *a); // bytes handed out
/* Forgets all allocations and keeps the memory for the next ones. */
void deft_arena_reset(deft_arena *a);

#define DEFT_NEW(arena, type) ((type *)deft_arena_alloc((arena), sizeof(type)))
#define DEFT_NEW_ARRAY(arena, type, count)                                                         \
    ((type *)deft_arena_array((arena), (size_t)(count), sizeof(type)))

/* Random numbers: xoshiro256++ (Blackman, Vigna 2019), seeded by SplitMix64. The state is
 * the caller's; equal states give equal streams on every machine. */
typedef struct deft_rng {
    uint64_t s[4];
} deft_rng;

void deft_rng_seed(deft_rng *r, uint64_t seed);
/* The generator of the index-th of many independent streams of one seed. */
void deft_rng_seed_stream(deft_rng *r, uint64_t seed, uint64_t index);
uint64_t deft_rng_u64(deft_rng *r);
double deft_rng_uniform(deft_rng *r, double lo, double hi); // [lo, hi), 53 bits
double deft_rng_normal(deft_rng *r);                        // mean 0, sd 1 (polar method)

/* Writes s, of at most n_max bytes or to its NUL, to buf with everything that is not
 * printable UTF-8, and quotes and backslashes, as C escapes; cut with "..." where it does
 * not fit. Returns buf. n >= 8. */
const char *deft_escape(char *buf, size_t n, const char *s, size_t n_max);

/* Insertions, deletions, replacements and exchanges of neighbours that turn a into b (optimal
 * string alignment), whatever the case of letters; 1000 where one is longer than 48 bytes. */
int32_t deft_word_distance(const char *a, const char *b);

/* Which of the known words was meant by one that is not known: begin, offer all, take the hint. */
typedef struct deft_nearest {
    const char *word;
    char known[49]; // the nearest so far that is near enough, the first of equals; "": none
    int32_t distance;
} deft_nearest;
enum { DEFT_HINT = 80 };
void deft_nearest_begin(deft_nearest *n, const char *word);
void deft_nearest_offer(deft_nearest *n, const char *known);
/* "; did you mean 'x'?" or "", in hint, which is returned. */
const char *deft_nearest_hint(const deft_nearest *n, char hint[DEFT_HINT]);
/* All of it for a list that ends with NULL. */
const char *deft_nearest_of(const char *word, const char *const *known, char hint[DEFT_HINT]);

/* Bytes of one file or image; data is owned by whoever the function says. */
typedef struct deft_bytes {
    const uint8_t *data;
    size_t size;
} deft_bytes;

/* A whole regular file, allocated in the arena with 16 zero bytes behind it. max_size 0:
 * 1 GiB. DEFT_E_IO, DEFT_E_SPACE; the text names the path. */
deft_status deft_file_read(const char *path, size_t max_size, deft_arena *a, deft_bytes *out,
                           deft_error *err);
/* Writes to a temporary file beside path, fsyncs, renames: path is the old or the new file
 * at any moment. What a symbolic link leads to is replaced, not the link; special files are written
 * to as they are. */
deft_status deft_file_write(const char *path, const void *data, size_t size, deft_error *err);
/* Devices, pipes, sockets and files that are open already (/dev/stdout, /dev/fd/3): nothing that
 * another file can take the place of. */
bool deft_file_is_special(const char *path);
/* Whether what follows a file's name makes it that of such a temporary one, as a kill leaves. */
bool deft_file_is_temporary(const char *suffix);
bool deft_folder_has(const char *path, const char *name); // a file or folder of that name
/* A folder with those above it, where they are missing. DEFT_E_IO, DEFT_E_ARG. */
deft_status deft_folder_make(const char *path, deft_error *err);

void deft_sha256(const void *data, size_t size, uint8_t out[32]);
void deft_hex(const uint8_t *data, size_t n, char *out); // out[2 * n + 1]

#ifdef __cplusplus
}
#endif

#endif
