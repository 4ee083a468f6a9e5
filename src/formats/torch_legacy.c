/* torch_legacy.c - files that PyTorch wrote before 1.6, and still does on request: pickles of a
 * magic number, a version, facts about the machine, what was saved and the keys of its storages;
 * then for every key the number of its elements (8 bytes) and the elements. */
#include "formats/torch_private.h"

#include <string.h>

typedef struct kept {
    const char *key;
    torch_type type;
    deft_bytes bytes;
} kept;

struct torch_legacy {
    bool big_endian;
    size_t n;
    kept *storage; // [n]
};

static const uint8_t magic[] = {0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46,
                                0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19};
enum { VERSION = 1001, MAX_STORAGES = 4096, MAX_NAMED = 1 << 14 };

bool torch_legacy_looks_like(deft_bytes b)
{
    return b.size > 2 + sizeof magic && b.data[0] == 0x80 &&
           memcmp(b.data + 2, magic, sizeof magic) == 0;
}

/* The next pickle of the row; moves `rest` past it. */
static deft_status next(deft_bytes *rest, deft_arena *a, const char *what, pickle_value *storages,
                        pickle_value **out, deft_error *err)
{
    size_t used = 0;
    const deft_status s = pickle_load_first(*rest, a, out, &used, storages, err);
    if (s != DEFT_OK) return deft_error_prefix(err, "the pickle of %s", what), s;
    *rest = (deft_bytes){rest->data + used, rest->size - used};
    return DEFT_OK;
}

/* What type of elements does a storage have? Every tensor says it of the one it looks at. */
static deft_status type_of(const pickle_value *named, const char *key, torch_type *type,
                           deft_error *err)
{
    *type = TORCH_NONE;
    for (size_t i = 0; i < named->as.list.n; i++) {
        const torch_storage *s = named->as.list.item[i]->as.storage;
        if (strcmp(s->key, key) != 0) continue;
        if (*type != TORCH_NONE && *type != s->type)
            return deft_fail(err, DEFT_E_FORMAT, "a storage has two types");
        *type = s->type;
    }
    return *type != TORCH_NONE ? DEFT_OK
                               : deft_fail(err, DEFT_E_FORMAT, "a storage that nothing refers to");
}

static deft_status take_storage(kept *k, const pickle_value *key, const pickle_value *named,
                                deft_bytes *rest, deft_arena *a, deft_error *err)
{
    if (key->kind != PICKLE_TEXT || !key->as.text.n || key->as.text.n > 256 ||
        memchr(key->as.text.s, 0, key->as.text.n))
        return deft_fail(err, DEFT_E_FORMAT, "the key of a storage is not a text");
    k->key = deft_arena_strndup(a, key->as.text.s, key->as.text.n);
    if (!k->key) return deft_fail(err, DEFT_E_SPACE, "more memory than a checkpoint may take");
    const deft_status s = type_of(named, k->key, &k->type, err);
    if (s != DEFT_OK) return s;
    if (rest->size < 8) return deft_fail(err, DEFT_E_FORMAT, "the file ends before a storage");
    uint64_t count = 0;
    for (size_t i = 0; i < 8; i++) count |= (uint64_t)rest->data[i] << 8 * i;
    const size_t size = torch_type_size(k->type), most = (rest->size - 8) / size;
    if (count > most)
        return deft_fail(err, DEFT_E_FORMAT, "a storage claims %llu elements, the file has %zu",
                         (unsigned long long)count, most);
    k->bytes = (deft_bytes){rest->data + 8, (size_t)count * size};
    *rest = (deft_bytes){rest->data + 8 + k->bytes.size, rest->size - 8 - k->bytes.size};
    return DEFT_OK;
}

deft_status torch_legacy_open(deft_bytes bytes, deft_arena *a, torch_legacy **out,
                              pickle_value **root, deft_error *err)
{
    static const char *const head[] = {"its magic number", "its version", "its machine"};
    pickle_value *part[3] = {0}, *keys = NULL;
    pickle_value *named = pickle_new(a, PICKLE_LIST);
    torch_legacy *l = DEFT_NEW(a, torch_legacy);
    *out = NULL;
    if (!named || !l) return deft_fail(err, DEFT_E_SPACE, "more memory than a checkpoint may take");
    deft_status s = DEFT_OK;
    for (size_t k = 0; s == DEFT_OK && k < 3; k++)
        s = next(&bytes, a, head[k], NULL, &part[k], err);
    if (s != DEFT_OK) return s;
    if (part[1]->kind != PICKLE_INT || part[1]->as.i != VERSION)
        return deft_fail(err, DEFT_E_VERSION, "a version of PyTorch's older format that is not %d",
                         VERSION);
    const pickle_value *little = pickle_entry(part[2], "little_endian");
    l->big_endian = little && little->kind == PICKLE_BOOL && !little->as.i;
    s = next(&bytes, a, "what was saved", named, root, err);
    if (s == DEFT_OK) s = next(&bytes, a, "the storages' keys", NULL, &keys, err);
    if (s != DEFT_OK) return s;
    if (keys->kind != PICKLE_LIST || keys->as.list.n > MAX_STORAGES || named->as.list.n > MAX_NAMED)
        return deft_fail(err, DEFT_E_FORMAT, "the storages' keys are not a list of at most %d",
                         MAX_STORAGES);
    l->storage = DEFT_NEW_ARRAY(a, kept, keys->as.list.n);
    if (!l->storage) return deft_fail(err, DEFT_E_SPACE, "more memory than a checkpoint may take");
    for (; s == DEFT_OK && l->n < keys->as.list.n; l->n++)
        s = take_storage(&l->storage[l->n], keys->as.list.item[l->n], named, &bytes, a, err);
    if (s == DEFT_OK) *out = l;
    return s;
}

bool torch_legacy_big_endian(const torch_legacy *l)
{
    return l->big_endian;
}

deft_status torch_legacy_storage(const torch_legacy *l, const char *key, deft_bytes *out,
                                 deft_error *err)
{
    for (size_t i = 0; i < l->n; i++) {
        if (strcmp(l->storage[i].key, key) != 0) continue;
        *out = l->storage[i].bytes;
        return DEFT_OK;
    }
    char text[200];
    return deft_fail(err, DEFT_E_FORMAT, "storage '%s' is not in the file",
                     deft_escape(text, sizeof text, key, 256));
}
