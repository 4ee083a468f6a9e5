/* torch_archive.c - the archive around a TorchScript program: its folder, its pickles, the storages
 * of its tensors. */
#include "formats/torch_script.h"

#include <string.h>

static deft_status no_memory(const ts_archive *r)
{
    return deft_fail(r->err, DEFT_E_SPACE, "more memory than a program may take");
}

static bool begins(const char *s, const char *with)
{
    return strncmp(s, with, strlen(with)) == 0;
}

/* The folder is the first that has both code and a data.pkl; *found: there is one. */
deft_status ts_archive_find(ts_archive *r, bool *found)
{
    *found = false;
    for (size_t i = 0; i < torch_zip_count(r->zip); i++) {
        const char *name = torch_zip_name(r->zip, i), *slash = strchr(name, '/');
        if (!slash) continue;
        if (strcmp(slash + 1, "model.json") == 0)
            return deft_fail(r->err, DEFT_E_UNSUPPORTED,
                             "a TorchScript archive of before PyTorch 1.4 (it has a model.json): "
                             "save it again with a newer torch.jit");
        if (begins(slash, "/.data/ts_code/"))
            return deft_fail(r->err, DEFT_E_UNSUPPORTED,
                             "a torch.package with TorchScript inside: save the module with "
                             "torch.jit.save");
        if (*found || !begins(slash, "/code/")) continue;
        r->folder = deft_arena_strndup(r->a, name, (size_t)(slash + 1 - name));
        const char *data = r->folder ? deft_arena_printf(r->a, "%sdata.pkl", r->folder) : NULL;
        if (!data) return no_memory(r);
        *found = torch_zip_has(r->zip, data);
    }
    return DEFT_OK;
}

deft_status ts_archive_byteorder(ts_archive *r)
{
    const char *name = deft_arena_printf(r->a, "%sbyteorder", r->folder);
    deft_bytes b = {0};
    if (!name) return no_memory(r);
    if (!torch_zip_has(r->zip, name)) return DEFT_OK; // before 2.1 always little
    const deft_status s = torch_zip_read(r->zip, name, &b, r->err);
    if (s != DEFT_OK) return s;
    r->big_endian = b.size == 3 && memcmp(b.data, "big", 3) == 0;
    if (r->big_endian || (b.size == 6 && memcmp(b.data, "little", 6) == 0)) return DEFT_OK;
    return deft_fail(r->err, DEFT_E_FORMAT, "entry 'byteorder' says neither little nor big");
}

deft_status ts_archive_pickle(ts_archive *r, const char *file, pickle_value **out)
{
    deft_bytes b = {0};
    const char *name = deft_arena_printf(r->a, "%s%s", r->folder, file);
    if (!name) return no_memory(r);
    *out = NULL;
    if (!torch_zip_has(r->zip, name)) return DEFT_OK;
    deft_status s = torch_zip_read(r->zip, name, &b, r->err);
    if (s == DEFT_OK) s = pickle_load(b, r->a, out, r->err);
    return s == DEFT_OK ? s : (deft_error_prefix(r->err, "%s", file), s);
}

deft_status ts_archive_storage(ts_archive *r, const torch_storage *st, bool constants,
                               deft_bytes *out)
{
    const char *name =
        deft_arena_printf(r->a, "%s%s/%s", r->folder, constants ? "constants" : "data", st->key);
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
