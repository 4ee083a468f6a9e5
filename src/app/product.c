/* product.c - which files did Deft write? By content: what a user made, or changed, is not to be
 * written over. */
#include "app/product.h"
#include "base/crc32.h"
#include "deft/app.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { HEAD = 4096, LARGEST_TEXT = 256 << 20 };

typedef struct start {
    uint8_t data[HEAD + 1]; // ends with 0
    size_t size;            // of data
    uint64_t whole;         // of the file
} start;

static bool read_start(const char *path, start *s)
{
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size <= 0) return false;
    FILE *const f = fopen(path, "rb");
    if (!f) return false;
    s->size = fread(s->data, 1, HEAD, f);
    const bool good = !ferror(f);
    (void)fclose(f);
    s->data[s->size] = 0;
    s->whole = (uint64_t)st.st_size;
    return good && s->size > 0;
}

static bool begins(const start *s, const char *text)
{
    return strncmp((const char *)s->data, text, strlen(text)) == 0;
}

static uint32_t u32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* The magic number begins other files of ours, too; the length says more. */
static bool is_image(const start *s)
{
    return s->size >= 64 && begins(s, "DEFT") && u32(s->data + 8) == s->whole;
}

/* "# SHA256, ENVIRONMENT, ...", then the columns. */
static bool is_sweep(const start *s)
{
    static const char columns[] = "\nbits,image_bytes,reward,";
    const char *const text = (const char *)s->data;
    if (!begins(s, "# ") || strspn(text + 2, "0123456789abcdef") != 64) return false;
    const char *const end = strchr(text, '\n');
    return end && strncmp(end, columns, sizeof columns - 1) == 0;
}

static bool contains(const start *s, const char *text)
{
    return strstr((const char *)s->data, text) != NULL;
}

/* By its mark, or, from before there was one, by how all of them begin. */
static bool is_page(const start *s)
{
    static const char old[] = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
                              "<meta name=\"viewport\" content=\"width=device-width\">\n<style>\n"
                              "body { font: 15px/1.5 sans-serif; max-width: 52em;";
    return contains(s, "<meta name=\"generator\" content=\"deft\">") || begins(s, old);
}

/* Its last line says so. */
static bool is_manual(const char *path)
{
    deft_arena *const a = deft_arena_create(0);
    deft_bytes b = {NULL, 0};
    const bool is = a && deft_file_read(path, LARGEST_TEXT, a, &b, NULL) == DEFT_OK &&
                    strstr((const char *)b.data, "\n<!-- Made by `deft docs ") != NULL;
    deft_arena_destroy(a);
    return is;
}

/* --- text with a seal ------------------------------------------------------------------------ */

#define SEAL "/* deft: CRC-32 of the text above: "
enum { SEAL_LENGTH = sizeof SEAL - 1 + 8 + 4 }; // 8 digits, " */\n"

static void write_seal(const uint8_t *text, size_t size, char seal[SEAL_LENGTH + 1])
{
    (void)snprintf(seal, SEAL_LENGTH + 1, SEAL "%08lx */\n",
                   (unsigned long)deft_crc32(0, text, size));
}

deft_status deft_product_seal(deft_bytes text, deft_arena *a, deft_bytes *out, deft_error *err)
{
    char seal[SEAL_LENGTH + 1];
    uint8_t *const p = deft_arena_alloc(a, text.size + SEAL_LENGTH + 1);
    if (!p) return deft_fail(err, DEFT_E_SPACE, "no memory for a file");
    write_seal(text.data, text.size, seal);
    memcpy(p, text.data, text.size);
    memcpy(p + text.size, seal, SEAL_LENGTH);
    *out = (deft_bytes){p, text.size + SEAL_LENGTH};
    return DEFT_OK;
}

/* Is the text still as it was written? */
static bool is_sealed(const char *path)
{
    deft_arena *const a = deft_arena_create(0);
    deft_bytes b = {NULL, 0};
    char seal[SEAL_LENGTH + 1];
    bool same = false;
    if (a && deft_file_read(path, LARGEST_TEXT, a, &b, NULL) == DEFT_OK && b.size > SEAL_LENGTH) {
        write_seal(b.data, b.size - SEAL_LENGTH, seal);
        same = memcmp(b.data + b.size - SEAL_LENGTH, seal, SEAL_LENGTH) == 0;
    }
    deft_arena_destroy(a);
    return same;
}

static bool is_compiled(const start *s)
{
    const char *const mark = strstr((const char *)s->data, "made by 'deft compile'");
    const char *const line = strchr((const char *)s->data, '\n');
    return begins(s, "/* ") && mark && line && mark < line;
}

/* --------------------------------------------------------------------------------------------- */

deft_origin deft_product_origin(const char *path, deft_product what)
{
    start *const s = malloc(sizeof *s);
    bool own = false, changed = false;
    if (s && read_start(path, s)) {
        switch (what) {
        case DEFT_PRODUCT_IMAGE:
            own = is_image(s);
            break;
        case DEFT_PRODUCT_ONNX:
            own = deft_onnx_is_own((deft_bytes){s->data, s->size});
            break;
        case DEFT_PRODUCT_C:
            changed = is_compiled(s) && !is_sealed(path);
            own = is_compiled(s) && !changed;
            break;
        case DEFT_PRODUCT_SWEEP:
            own = is_sweep(s);
            break;
        case DEFT_PRODUCT_PAGE:
            own = is_page(s);
            break;
        case DEFT_PRODUCT_PICTURE:
            own = begins(s, DEFT_PICTURE_MARK);
            break;
        case DEFT_PRODUCT_LOG:
            own = deft_log_is_own(path);
            break;
        case DEFT_PRODUCT_SUMMARY:
            own = begins(s, "{") && contains(s, "\"interval\": \"95 %, percentiles of ");
            break;
        case DEFT_PRODUCT_MANUAL:
            own = begins(s, "# ") && is_manual(path);
            break;
        case DEFT_PRODUCT_TABLE: // nothing tells it from a recording
        default:
            break;
        }
    }
    free(s);
    return own ? DEFT_ORIGIN_OWN : changed ? DEFT_ORIGIN_CHANGED : DEFT_ORIGIN_OTHER;
}
