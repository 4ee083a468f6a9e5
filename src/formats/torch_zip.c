/* torch_zip.c - the archive around a checkpoint, by libzip, from memory. */
#include "formats/torch_private.h"

#include <stdlib.h>
#include <string.h>
#include <zip.h>

enum { MAX_ENTRIES = 1 << 17, MAX_RATIO = 1032 }; // deflate cannot do better

typedef struct entry {
    const char *name; // libzip's
    zip_uint64_t index;
} entry;

struct torch_zip {
    zip_t *zip;
    entry *entry; // sorted by name
    size_t n;
    deft_arena *work;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const entry *)a)->name, ((const entry *)b)->name);
}

static int is_name(const void *key, const void *e)
{
    return strcmp(key, ((const entry *)e)->name);
}

static deft_status list_entries(torch_zip *z, deft_error *err)
{
    const zip_int64_t n = zip_get_num_entries(z->zip, 0);
    if (n < 0 || n > MAX_ENTRIES)
        return deft_fail(err, DEFT_E_RANGE, "%lld entries: at most %d are read", (long long)n,
                         MAX_ENTRIES);
    z->entry = DEFT_NEW_ARRAY(z->work, entry, n);
    if (!z->entry) return deft_fail(err, DEFT_E_SPACE, "no memory");
    for (zip_uint64_t i = 0; i < (zip_uint64_t)n; i++) {
        const char *name = zip_get_name(z->zip, i, ZIP_FL_ENC_RAW);
        if (!name)
            return deft_fail(err, DEFT_E_FORMAT, "entry %llu has no name", (unsigned long long)i);
        z->entry[z->n++] = (entry){name, i};
    }
    qsort(z->entry, z->n, sizeof *z->entry, by_name);
    for (size_t i = 1; i < z->n; i++) {
        char text[200];
        if (by_name(&z->entry[i - 1], &z->entry[i]) == 0)
            return deft_fail(err, DEFT_E_FORMAT, "the archive has two entries '%s'",
                             deft_escape(text, sizeof text, z->entry[i].name, 1024));
    }
    return DEFT_OK;
}

deft_status torch_zip_open(deft_bytes bytes, deft_arena *work, torch_zip **out, deft_error *err)
{
    *out = NULL;
    torch_zip *z = DEFT_NEW(work, torch_zip);
    if (!z) return deft_fail(err, DEFT_E_SPACE, "no memory");
    z->work = work;
    zip_error_t why;
    zip_error_init(&why);
    zip_source_t *source = zip_source_buffer_create(bytes.data, bytes.size, 0, &why);
    if (source) z->zip = zip_open_from_source(source, ZIP_RDONLY, &why);
    if (!z->zip) {
        if (source) zip_source_free(source);
        const deft_status s = deft_fail(
            err, DEFT_E_FORMAT, "no zip archive, cut off or damaged: %s", zip_error_strerror(&why));
        zip_error_fini(&why);
        return s;
    }
    zip_error_fini(&why);
    const deft_status s = list_entries(z, err);
    if (s != DEFT_OK) {
        torch_zip_close(z);
        return s;
    }
    *out = z;
    return DEFT_OK;
}

void torch_zip_close(torch_zip *z)
{
    if (z) zip_discard(z->zip);
}

size_t torch_zip_count(const torch_zip *z)
{
    return z->n;
}

const char *torch_zip_name(const torch_zip *z, size_t i)
{
    return z->entry[i].name;
}

static const entry *find(const torch_zip *z, const char *name)
{
    return z->n ? bsearch(name, z->entry, z->n, sizeof *z->entry, is_name) : NULL;
}

bool torch_zip_has(const torch_zip *z, const char *name)
{
    return find(z, name) != NULL;
}

/* Sizes are claims: they must be possible before memory is spent on them. */
static deft_status check_entry(const torch_zip *z, const entry *e, zip_stat_t *st, deft_error *err)
{
    const zip_uint64_t want =
        ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
    if (zip_stat_index(z->zip, e->index, 0, st) != 0 || (st->valid & want) != want)
        return deft_fail(err, DEFT_E_FORMAT, "the entry has no sizes");
    if (st->encryption_method != ZIP_EM_NONE)
        return deft_fail(err, DEFT_E_UNSUPPORTED, "the entry is encrypted");
    if (st->comp_method != ZIP_CM_STORE && st->comp_method != ZIP_CM_DEFLATE)
        return deft_fail(err, DEFT_E_UNSUPPORTED, "compression method %u is not read",
                         (unsigned)st->comp_method);
    const bool stored = st->comp_method == ZIP_CM_STORE;
    if (stored ? st->size != st->comp_size
               : st->size > SIZE_MAX / 2 || st->size / MAX_RATIO > st->comp_size)
        return deft_fail(err, DEFT_E_FORMAT, "%llu bytes are claimed to come from %llu",
                         (unsigned long long)st->size, (unsigned long long)st->comp_size);
    return DEFT_OK;
}

static deft_status read_entry(torch_zip *z, const entry *e, deft_bytes *out, deft_error *err)
{
    zip_stat_t st;
    const deft_status s = check_entry(z, e, &st, err);
    if (s != DEFT_OK) return s;
    zip_file_t *f = zip_fopen_index(z->zip, e->index, 0);
    if (!f) return deft_fail(err, DEFT_E_FORMAT, "%s", zip_strerror(z->zip));
    // 16 bytes more: reading to the end is what makes libzip compare the CRC
    uint8_t *data = deft_arena_alloc(z->work, (size_t)st.size + 16);
    size_t got = 0;
    zip_int64_t n = data ? 1 : 0;
    while (n > 0 && got <= st.size) {
        n = zip_fread(f, data + got, (zip_uint64_t)(st.size + 1 - got));
        if (n > 0) got += (size_t)n;
    }
    deft_status status = DEFT_OK;
    if (!data)
        status = deft_fail(err, DEFT_E_SPACE, "%llu bytes are more than a checkpoint may take",
                           (unsigned long long)st.size);
    else if (n < 0)
        status = deft_fail(err, DEFT_E_FORMAT, "%s", zip_error_strerror(zip_file_get_error(f)));
    else if (got != st.size)
        status = deft_fail(err, DEFT_E_FORMAT, "the entry holds %zu bytes, not %llu", got,
                           (unsigned long long)st.size);
    (void)zip_fclose(f);
    if (status == DEFT_OK) *out = (deft_bytes){data, (size_t)st.size};
    return status;
}

deft_status torch_zip_read(torch_zip *z, const char *name, deft_bytes *out, deft_error *err)
{
    char text[200];
    const entry *e = find(z, name);
    (void)deft_escape(text, sizeof text, name, 1024);
    if (!e) return deft_fail(err, DEFT_E_FORMAT, "the archive has no entry '%s'", text);
    const deft_status s = read_entry(z, e, out, err);
    return s == DEFT_OK ? s : (deft_error_prefix(err, "entry '%s'", text), s);
}
