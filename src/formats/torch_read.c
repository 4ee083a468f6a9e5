/* torch_read.c - a PyTorch checkpoint: finds the pickle in the archive, names its tensors and
 * gathers their elements. */
#include "formats/sb3.h"
#include "formats/torch_private.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* What an archive may unpack to, and what its tensors may take: an archive of torch.save is not
 * compressed at all, numbers hardly are, and tensors of strides may share what there is. */
enum { UNPACKED_LEAST = 4 << 20, UNPACKED_BYTE = 32, PICKLES = 60 << 20 };

typedef struct reader {
    torch_archive file;   // no zip where it is
    torch_legacy *legacy; // a file of before PyTorch 1.6
    deft_arena *work, *a;
    size_t limit;  // bytes that tensors may take
    size_t budget; // of these, left
    deft_error *err;
} reader;

static deft_status no_memory(deft_error *err)
{
    return deft_fail(err, DEFT_E_SPACE, "more memory than a checkpoint may take");
}

/* Before PyTorch 0.1.10 files were a tar. */
static deft_status check_kind(deft_bytes b, deft_error *err)
{
    if (b.size >= 4 && memcmp(b.data, "PK\3\4", 4) == 0) return DEFT_OK;
    if (torch_legacy_looks_like(b)) return DEFT_OK;
    if (b.size > 262 && memcmp(b.data + 257, "ustar", 5) == 0)
        return deft_fail(err, DEFT_E_UNSUPPORTED,
                         "a tar archive (PyTorch before 0.1.10 saved such): save it again with "
                         "torch.save(torch.load(FILE, map_location='cpu'), NEW)");
    if (b.size > 2 && b.data[0] == 0x80 && b.data[1] <= 5)
        return deft_fail(err, DEFT_E_UNSUPPORTED,
                         "a bare pickle, not a file of torch.save (which makes a zip archive)");
    return deft_fail(err, DEFT_E_FORMAT,
                     "not a PyTorch checkpoint: it is no zip archive (and no .safetensors)");
}

/* Slashes before "data.pkl" in a name that ends so, -1 for others. */
static int pickle_depth(const char *name)
{
    static const char file[] = "data.pkl";
    const size_t n = strlen(name);
    if (n < sizeof file - 1 || strcmp(name + n - (sizeof file - 1), file) != 0) return -1;
    if (n > sizeof file - 1 && name[n - sizeof file] != '/') return -1;
    int depth = 0;
    for (const char *s = name; (s = strchr(s, '/')) != NULL; s++) depth++;
    return depth;
}

/* The pickle nearest to the root: "actor/data.pkl", or "x/.data/ts_code/0/data.pkl" where a package
 * holds a TorchScript module. */
static deft_status find_pickle(reader *r)
{
    const char *best = NULL;
    int depth = INT_MAX;
    bool twice = false;
    for (size_t i = 0; i < torch_zip_count(r->file.zip); i++) {
        const char *name = torch_zip_name(r->file.zip, i);
        const int d = pickle_depth(name);
        if (d < 0 || d > depth) continue;
        twice = d == depth;
        depth = d;
        best = name;
    }
    if (!best)
        return deft_fail(r->err, DEFT_E_FORMAT,
                         "the archive has no data.pkl: not made by torch.save or torch.jit.save");
    if (twice) return deft_fail(r->err, DEFT_E_UNSUPPORTED, "the archive has several data.pkl");
    const char *slash = strchr(best, '/');
    r->file.folder = deft_arena_strndup(r->work, best, strlen(best) - strlen("data.pkl"));
    r->file.root = deft_arena_strndup(r->work, best, slash ? (size_t)(slash + 1 - best) : 0);
    return r->file.folder && r->file.root ? DEFT_OK : no_memory(r->err);
}

/* Interprets one pickle of the archive, if it is there, and collects its tensors. */
static deft_status read_pickle(reader *r, const char *file, bool constants, torch_found *found)
{
    pickle_value *root = NULL;
    deft_status s = torch_archive_pickle(&r->file, file, &root);
    if (s != DEFT_OK || !root) return s;
    s = torch_collect(root, constants, r->work, found, r->err);
    return s == DEFT_OK ? s : (deft_error_prefix(r->err, "%s", file), s);
}

static deft_status load_storage(reader *r, const torch_storage *st, bool constants, deft_bytes *out)
{
    return r->legacy ? torch_legacy_storage(r->legacy, st->key, out, r->err)
                     : torch_archive_storage(&r->file, st, constants, out);
}

static deft_status too_much(const reader *r)
{
    return deft_fail(r->err, DEFT_E_SPACE,
                     "the tensors take more than the %zu bytes that an archive of this size may "
                     "hold: are they views of one another, or compressed?",
                     r->limit);
}

static deft_status gather_all(reader *r, const torch_found *f, bool constants, deft_checkpoint *c)
{
    for (size_t i = 0; i < f->n; i++) {
        deft_tensor *t = &c->tensor[c->n];
        deft_bytes storage = {0};
        char text[200];
        int64_t count = 0;
        deft_status s = load_storage(r, f->view[i]->storage, constants, &storage);
        if (s == DEFT_OK) s = torch_view_check(f->view[i], storage, &count, r->err);
        // before the time and the memory that it takes
        if (s == DEFT_OK && (uint64_t)count > r->budget / sizeof(float)) s = too_much(r);
        if (s == DEFT_OK)
            s = torch_gather(f->view[i], storage, r->file.big_endian, r->a, t, r->err);
        const size_t bytes =
            s == DEFT_OK ? (size_t)t->count * deft_dtype_size(t->dtype) : (size_t)0;
        if (bytes > r->budget) s = too_much(r);
        if (s != DEFT_OK)
            return deft_error_prefix(r->err, "tensor '%s'",
                                     deft_escape(text, sizeof text, f->name[i], 1024)),
                   s;
        r->budget -= bytes;
        c->name[c->n] = deft_arena_strndup(r->a, f->name[i], strlen(f->name[i]));
        if (!c->name[c->n++]) return no_memory(r->err);
    }
    return DEFT_OK;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static deft_status check_names(const reader *r, const deft_checkpoint *c)
{
    const char **sorted =
        deft_arena_copy(r->work, (const void *)c->name, (size_t)c->n * sizeof(const char *));
    if (!sorted) return no_memory(r->err);
    qsort((void *)sorted, (size_t)c->n, sizeof *sorted, by_text);
    for (int32_t i = 1; i < c->n; i++) {
        char text[200];
        if (strcmp(sorted[i - 1], sorted[i]) == 0)
            return deft_fail(r->err, DEFT_E_FORMAT, "two tensors are named '%s'",
                             deft_escape(text, sizeof text, sorted[i], 1024));
    }
    return DEFT_OK;
}

static deft_status copy_modules(reader *r, const torch_found *f, deft_checkpoint *c)
{
    c->module_name = DEFT_NEW_ARRAY(r->a, const char *, f->n_module);
    c->module_class = DEFT_NEW_ARRAY(r->a, const char *, f->n_module);
    if (!c->module_name || !c->module_class) return no_memory(r->err);
    for (size_t i = 0; i < f->n_module; i++) {
        c->module_name[i] = deft_arena_strndup(r->a, f->module[i], strlen(f->module[i]));
        c->module_class[i] = deft_arena_strndup(r->a, f->type[i], strlen(f->type[i]));
        if (!c->module_name[i] || !c->module_class[i]) return no_memory(r->err);
        c->n_module++;
    }
    return DEFT_OK;
}

/* The pickles of the archive that r->file.zip has open. */
static deft_status read_pickles(reader *r, torch_found *data, torch_found *constants)
{
    deft_status s = find_pickle(r);
    if (s == DEFT_OK) s = torch_archive_byteorder(&r->file);
    if (s == DEFT_OK) s = read_pickle(r, "data.pkl", false, data);
    return s == DEFT_OK ? read_pickle(r, "constants.pkl", true, constants) : s;
}

static deft_status read_legacy(reader *r, deft_bytes bytes, torch_found *data)
{
    pickle_value *root = NULL;
    deft_status s = torch_legacy_open(bytes, r->work, &r->legacy, &root, r->err);
    if (s != DEFT_OK) return s;
    r->file.big_endian = torch_legacy_big_endian(r->legacy);
    return torch_collect(root, false, r->work, data, r->err);
}

/* Everything of the archive that r->file.zip has open, or of a file of the older format. */
static deft_status read_archive(reader *r, deft_bytes bytes, deft_checkpoint *c)
{
    torch_found data = {0}, constants = {0};
    deft_status s = r->file.zip ? read_pickles(r, &data, &constants) : read_legacy(r, bytes, &data);
    if (s != DEFT_OK) return s;
    const size_t n = data.n + constants.n;
    c->name = DEFT_NEW_ARRAY(r->a, const char *, n);
    c->tensor = DEFT_NEW_ARRAY(r->a, deft_tensor, n);
    r->file.loaded = DEFT_NEW_ARRAY(r->work, torch_loaded, n);
    if (!c->name || !c->tensor || !r->file.loaded) return no_memory(r->err);
    s = gather_all(r, &data, false, c);
    if (s == DEFT_OK) s = gather_all(r, &constants, true, c);
    if (s == DEFT_OK) s = check_names(r, c);
    if (s == DEFT_OK) s = copy_modules(r, &data, c);
    if (s == DEFT_OK && !c->n)
        return deft_fail(r->err, DEFT_E_FORMAT, "the checkpoint holds no tensors");
    return s;
}

/* Stable-Baselines3 saves an archive of archives: the policy is one of them, and `data` says what
 * it is made for. *policy: the bytes that hold the tensors. */
static deft_status open_sb3(reader *r, torch_zip **outer, deft_bytes *policy, deft_checkpoint *c)
{
    deft_bytes data = {0};
    *outer = r->file.zip;
    r->file.zip = NULL;
    deft_status s = DEFT_OK;
    if (torch_zip_has(*outer, "data")) {
        s = torch_zip_read(*outer, "data", &data, r->err);
        if (s == DEFT_OK) s = sb3_data_read(data, r->work, r->a, &c->sb3, r->err);
        if (s != DEFT_OK) return deft_error_prefix(r->err, "data"), s;
    }
    s = torch_zip_read(*outer, "policy.pth", policy, r->err);
    if (s == DEFT_OK) s = check_kind(*policy, r->err);
    if (s == DEFT_OK && !torch_legacy_looks_like(*policy))
        s = torch_zip_open(*policy, r->work, &r->file.zip, r->err);
    return s == DEFT_OK ? s : (deft_error_prefix(r->err, "policy.pth"), s);
}

static deft_status open_archive(reader *r, deft_bytes *bytes, torch_zip **outer, deft_checkpoint *c)
{
    if (torch_legacy_looks_like(*bytes)) return DEFT_OK;
    deft_status s = torch_zip_open(*bytes, r->work, &r->file.zip, r->err);
    if (s != DEFT_OK) return s;
    if (torch_zip_has(r->file.zip, "policy.pth")) return open_sb3(r, outer, bytes, c);
    char text[400];
    const bool other = torch_zip_explain(r->file.zip, text, sizeof text);
    return other ? deft_fail(r->err, DEFT_E_UNSUPPORTED, "%s", text) : DEFT_OK;
}

deft_status deft_torch_read(deft_bytes bytes, const char *path, deft_arena *a,
                            deft_checkpoint **out, deft_error *err)
{
    *out = NULL;
    char name[200];
    (void)deft_escape(name, sizeof name, path ? path : "(memory)", PATH_MAX);
    const bool flat = safetensors_looks_like(bytes);
    deft_status s = flat ? DEFT_OK : check_kind(bytes, err);
    if (s != DEFT_OK) return deft_error_prefix(err, "%s", name), s;
    const size_t limit = UNPACKED_LEAST + UNPACKED_BYTE * bytes.size;
    reader r = {.work = deft_arena_create(PICKLES + limit), .a = a, .err = err};
    r.limit = r.budget = limit;
    r.file = (torch_archive){.a = r.work, .err = err};
    deft_checkpoint *c = DEFT_NEW(a, deft_checkpoint);
    torch_zip *outer = NULL;
    if (r.work && c) {
        c->source = deft_arena_strndup(a, path ? path : "", PATH_MAX);
        deft_sha256(bytes.data, bytes.size, c->sha256);
        if (!c->source)
            s = no_memory(err);
        else if (flat)
            s = safetensors_read(bytes, a, c, err);
        else
            s = open_archive(&r, &bytes, &outer, c);
        if (s == DEFT_OK && !flat) s = read_archive(&r, bytes, c);
    } else {
        s = no_memory(err);
    }
    torch_zip_close(r.file.zip);
    torch_zip_close(outer);
    deft_arena_destroy(r.work);
    if (s != DEFT_OK) return deft_error_prefix(err, "%s", name), s;
    *out = c;
    return DEFT_OK;
}
