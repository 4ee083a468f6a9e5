/* fuzz_torchscript.c - any text as the program of a TorchScript archive: read, understood, run.
 * What begins as an archive does is taken for one, with the CRCs of stored entries made right. */
#include "fuzz_torchscript.h"
#include "base/crc32.h"
#include "deft/formats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 1 << 18, LOCAL = 30, DIRECTORY = 46, END = 22, MAX_TEXT = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t number(const uint8_t *p, size_t n)
{
    uint32_t v = 0;
    for (size_t k = 0; k < n; k++) v |= (uint32_t)p[k] << 8 * k;
    return v;
}

static void put(uint8_t *p, uint32_t v, size_t n)
{
    for (size_t k = 0; k < n; k++) p[k] = (uint8_t)(v >> 8 * k);
}

static void fix_up(uint8_t *b, size_t size)
{
    for (size_t i = 0; i + DIRECTORY <= size; i++) {
        uint8_t *d = b + i;
        if (memcmp(d, "PK\1\2", 4) != 0 || number(d + 10, 2) != 0) continue;
        const size_t length = number(d + 20, 4), at = number(d + 42, 4);
        if (at > size || size - at < LOCAL) continue;
        uint8_t *l = b + at;
        const size_t head = LOCAL + number(l + 26, 2) + number(l + 28, 2);
        if (head > size - at || length > size - at - head) continue;
        const uint32_t crc = deft_crc32(0, l + head, length);
        put(d + 16, crc, 4);
        put(l + 14, crc, 4);
    }
}

/* An archive of stored entries in the making. */
typedef struct writer {
    uint8_t *p;
    size_t at;
    uint8_t directory[1024];
    size_t n_directory, n;
} writer;

static const uint8_t local_head[] = {'P', 'K', 3, 4, 20}, end_head[] = {'P', 'K', 5, 6},
                     directory_head[] = {'P', 'K', 1, 2, 20, 0, 20};

static void add_entry(writer *w, const char *name, const uint8_t *data, size_t size)
{
    const size_t n = strlen(name), at = w->at;
    uint8_t *l = w->p + at, *d = w->directory + w->n_directory;
    const uint32_t crc = deft_crc32(0, data, size);
    memset(l, 0, LOCAL);
    memset(d, 0, DIRECTORY);
    memcpy(l, local_head, sizeof local_head);
    memcpy(d, directory_head, sizeof directory_head);
    put(l + 14, crc, 4);
    put(l + 18, (uint32_t)size, 4);
    put(l + 22, (uint32_t)size, 4);
    put(l + 26, (uint32_t)n, 2);
    memcpy(d + 16, l + 14, 14);
    put(d + 42, (uint32_t)at, 4);
    memcpy(l + LOCAL, name, n);
    memcpy(d + DIRECTORY, name, n);
    if (size) memcpy(l + LOCAL + n, data, size);
    w->at += LOCAL + n + size;
    w->n_directory += DIRECTORY + n;
    w->n++;
}

static size_t wrap(const uint8_t *text, size_t size, uint8_t *out)
{
    static const char *const keys[] = {"0", "1", "2", "3", "4"};
    writer w = {.p = out};
    add_entry(&w, "p/data.pkl", data_pkl, sizeof data_pkl);
    add_entry(&w, "p/constants.pkl", constants_pkl, sizeof constants_pkl);
    add_entry(&w, "p/code/__torch__.py", text, size);
    for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
        char name[32];
        float f[256];
        int64_t i[8];
        for (int j = 0; j < 256; j++) f[j] = k < 2 ? (float)(j % 7 - 3) / 4 : 0;
        for (int j = 0; j < 8; j++) i[j] = 5 - j;
        (void)snprintf(name, sizeof name, "p/data/%s", keys[k]);
        add_entry(&w, name, k == 4 ? (const uint8_t *)i : (const uint8_t *)f,
                  k == 4 ? sizeof i : sizeof f);
        (void)snprintf(name, sizeof name, "p/constants/%s", keys[k]);
        if (k < 2) add_entry(&w, name, (const uint8_t *)f, sizeof f);
    }
    uint8_t *e = out + w.at + w.n_directory;
    memcpy(out + w.at, w.directory, w.n_directory);
    memset(e, 0, END);
    memcpy(e, end_head, sizeof end_head);
    put(e + 8, (uint32_t)w.n, 2);
    put(e + 10, (uint32_t)w.n, 2);
    put(e + 12, (uint32_t)w.n_directory, 4);
    put(e + 16, (uint32_t)w.at, 4);
    return w.at + w.n_directory + END;
}

static void run(deft_bytes bytes, deft_arena *a)
{
    const deft_torchscript_options opt = {.steps = 1 << 15, .work = 1 << 21};
    deft_error err = {0};
    deft_graph *g = NULL;
    deft_model *m = NULL;
    deft_status s = deft_torchscript_read(bytes, "fuzz.pt", &opt, a, &g, &err);
    if ((s != DEFT_OK && (g || !err.text[0])) || (s == DEFT_OK && err.text[0])) abort();
    if (!g || g->n_node > 400) return;
    s = deft_understand(g, NULL, &m, &err);
    if ((s == DEFT_OK) != (m != NULL) || (s != DEFT_OK && !err.text[0])) abort();
    if (!m) return;
    deft_model_stats stats;
    deft_model_count(m, &stats);
    if (stats.parameters > 1 << 14) return;
    (void)deft_verify(g, m, 2, 1e-5f, 1, NULL, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const bool archive = size > 4 && memcmp(data, "PK", 2) == 0;
    if (size > (archive ? MOST : MAX_TEXT)) return 0;
    deft_arena *a = deft_arena_create((size_t)256 << 20);
    uint8_t *room = malloc(archive ? size : size + 16384);
    if (a && room) {
        size_t n = size;
        if (archive) {
            memcpy(room, data, size);
            fix_up(room, size);
        } else {
            n = wrap(data, size, room);
        }
        uint8_t *copy = malloc(n); // exactly as many bytes: a read past them is seen
        if (copy) {
            memcpy(copy, room, n);
            run((deft_bytes){copy, n}, a);
        }
        free(copy);
    }
    free(room);
    deft_arena_destroy(a);
    return 0;
}
