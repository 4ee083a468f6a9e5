/* torch_archive.c - the archive of torch.save and torch.jit.save: its byte order, its pickles, the
 * storages of its tensors. */
#include "formats/torch_private.h"

#include <string.h>

static deft_status no_memory(const torch_archive *r)
{
    return deft_fail(r->err, DEFT_E_SPACE, "more memory than an archive may take");
}

deft_status torch_archive_byteorder(torch_archive *r)
{
    const char *name = deft_arena_printf(r->a, "%sbyteorder", r->root);
    deft_bytes b = {0};
    if (!name) return no_memory(r);
    if (!torch_zip_has(r->zip, name)) return DEFT_OK; // before 2.1 always little
    const deft_status s = torch_zip_read(r->zip, name, &b, r->err);
    if (s != DEFT_OK) return s;
    r->big_endian = b.size == 3 && memcmp(b.data, "big", 3) == 0;
    if (r->big_endian || (b.size == 6 && memcmp(b.data, "little", 6) == 0)) return DEFT_OK;
    return deft_fail(r->err, DEFT_E_FORMAT, "entry 'byteorder' says neither little nor big");
}

deft_status torch_archive_pickle(torch_archive *r, const char *file, pickle_value **out)
{
    deft_bytes b = {0};
    const char *name = deft_arena_printf(r->a, "%s%s", r->folder, file);
    if (!name) return no_memory(r);
    *out = NULL;
    if (!torch_zip_has(r->zip, name)) return DEFT_OK;
    deft_status s = torch_zip_read(r->zip, name, &b, r->err);
    if (s == DEFT_OK) s = pickle_load(b, r->a, out, r->err);
    char text[200];
    if (s == DEFT_OK) return DEFT_OK;
    return deft_error_prefix(r->err, "entry '%s'", deft_escape(text, sizeof text, name, 1024)), s;
}

/* data/KEY beside the pickle, constants/KEY, or .data/KEY in a package. */
static const char *storage_entry(const torch_archive *r, const char *key, bool constants)
{
    const char *name =
        deft_arena_printf(r->a, "%s%s/%s", r->folder, constants ? "constants" : "data", key);
    if (name && !torch_zip_has(r->zip, name)) {
        const char *packaged = deft_arena_printf(r->a, "%s.data/%s", r->root, key);
        if (packaged && torch_zip_has(r->zip, packaged)) return packaged;
    }
    return name;
}

deft_status torch_archive_storage(torch_archive *r, const torch_storage *st, bool constants,
                                  deft_bytes *out)
{
    const char *const name = storage_entry(r, st->key, constants);
    if (!name) return no_memory(r);
    size_t i = 0;
    while (i < r->n_loaded && strcmp(r->loaded[i].entry, name) != 0) i++;
    if (i == r->n_loaded) {
        const deft_status s = torch_zip_read(r->zip, name, &r->loaded[i].bytes, r->err);
        if (s != DEFT_OK) return s;
        r->loaded[i].entry = name;
        r->n_loaded++;
    }
    *out = r->loaded[i].bytes;
    const size_t size = torch_type_size(st->type);
    if (out->size % size == 0 && (uint64_t)st->count == out->size / size) return DEFT_OK;
    char text[200];
    return deft_fail(r->err, DEFT_E_FORMAT, "entry '%s' holds %zu bytes for %lld elements of %zu",
                     deft_escape(text, sizeof text, name, 1024), out->size, (long long)st->count,
                     size);
}
