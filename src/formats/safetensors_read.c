/* safetensors_read.c - tensors of a .safetensors file: a length, a JSON header that says where each
 * tensor lies, and the bytes. The format allows no holes and no overlaps, so that every byte is
 * some tensor's; both are checked. */
#include "formats/torch_private.h"

#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { PREFIX = 8, MAX_HEADER = 16 << 20, MAX_TENSORS = 1 << 14, MAX_NAME = 1024 };

typedef struct placed {
    uint64_t begin, end; // bytes behind the header
    const char *name;
} placed;

typedef struct reader {
    deft_bytes data; // behind the header
    deft_arena *a, *work;
    deft_checkpoint *c;
    placed *place;
    deft_error *err;
} reader;

static uint64_t header_size(deft_bytes b)
{
    uint64_t n = 0;
    for (int k = 0; k < PREFIX; k++) n |= (uint64_t)b.data[k] << (8 * k);
    return n;
}

bool safetensors_looks_like(deft_bytes b)
{
    if (b.size < PREFIX + 2 || b.data[PREFIX] != '{') return false;
    const uint64_t n = header_size(b);
    return n >= 2 && n <= (uint64_t)1 << 32; // more than there is: cut off
}

static torch_type type_of(const char *name)
{
    static const struct {
        const char *name;
        torch_type type;
    } known[] = {{"F32", TORCH_FLOAT},     {"F64", TORCH_DOUBLE}, {"F16", TORCH_HALF},
                 {"BF16", TORCH_BFLOAT16}, {"I64", TORCH_LONG},   {"I32", TORCH_INT},
                 {"I16", TORCH_SHORT},     {"I8", TORCH_CHAR},    {"U8", TORCH_BYTE},
                 {"BOOL", TORCH_BOOL}};
    for (size_t i = 0; name && i < sizeof known / sizeof known[0]; i++)
        if (strcmp(name, known[i].name) == 0) return known[i].type;
    return TORCH_NONE;
}

/* Row-major, as the format has it. */
static deft_status shape_of(const json_t *shape, torch_view *v, uint64_t *count, deft_error *err)
{
    const size_t rank = json_array_size(shape);
    if (!json_is_array(shape) || rank > DEFT_MAX_RANK)
        return deft_fail(err, DEFT_E_FORMAT, "its shape is no list of up to %d numbers",
                         DEFT_MAX_RANK);
    v->rank = (int32_t)rank;
    *count = 1;
    for (size_t k = rank; k-- > 0;) {
        const json_t *n = json_array_get(shape, k);
        const json_int_t size = json_integer_value(n);
        if (!json_is_integer(n) || size < 0)
            return deft_fail(err, DEFT_E_FORMAT, "its shape is no list of numbers >= 0");
        v->size[k] = size;
        v->stride[k] = (int64_t)*count;
        if (size && *count > ((uint64_t)1 << 40) / (uint64_t)size)
            return deft_fail(err, DEFT_E_RANGE, "its shape is too large");
        *count *= (uint64_t)size;
    }
    return DEFT_OK;
}

static deft_status read_tensor(reader *r, const char *name, const json_t *j)
{
    deft_checkpoint *c = r->c;
    torch_storage storage = {name, type_of(json_string_value(json_object_get(j, "dtype"))), 0};
    torch_view v = {.storage = &storage, .type = storage.type};
    uint64_t count = 0;
    if (!v.type)
        return deft_fail(r->err, DEFT_E_UNSUPPORTED, "it has no element type that is read");
    deft_status s = shape_of(json_object_get(j, "shape"), &v, &count, r->err);
    if (s != DEFT_OK) return s;
    const json_t *offsets = json_object_get(j, "data_offsets");
    const json_t *from = json_array_get(offsets, 0), *to = json_array_get(offsets, 1);
    const json_int_t begin = json_integer_value(from), end = json_integer_value(to);
    if (json_array_size(offsets) != 2 || !json_is_integer(from) || !json_is_integer(to) ||
        begin < 0 || end < begin || (uint64_t)end > r->data.size)
        return deft_fail(r->err, DEFT_E_FORMAT, "its data_offsets are not inside the file");
    const uint64_t size = (uint64_t)(end - begin);
    if (size != count * torch_type_size(v.type))
        return deft_fail(r->err, DEFT_E_FORMAT, "it has %llu bytes for %llu elements of %zu",
                         (unsigned long long)size, (unsigned long long)count,
                         torch_type_size(v.type));
    const deft_bytes bytes = {r->data.data + begin, (size_t)size};
    s = torch_gather(&v, bytes, false, r->a, &c->tensor[c->n], r->err);
    if (s != DEFT_OK) return s;
    c->name[c->n] = deft_arena_strndup(r->a, name, MAX_NAME);
    if (!c->name[c->n]) return deft_fail(r->err, DEFT_E_SPACE, "no memory");
    r->place[c->n++] = (placed){(uint64_t)begin, (uint64_t)end, name};
    return DEFT_OK;
}

static int by_place(const void *a, const void *b)
{
    const placed *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

static deft_status check_places(const reader *r)
{
    uint64_t at = 0;
    char text[160];
    qsort(r->place, (size_t)r->c->n, sizeof *r->place, by_place);
    for (int32_t i = 0; i < r->c->n; i++) {
        if (r->place[i].begin != at)
            return deft_fail(r->err, DEFT_E_FORMAT, "tensor '%s' begins at byte %llu, not %llu",
                             deft_escape(text, sizeof text, r->place[i].name, MAX_NAME),
                             (unsigned long long)r->place[i].begin, (unsigned long long)at);
        at = r->place[i].end;
    }
    if (at != r->data.size)
        return deft_fail(r->err, DEFT_E_FORMAT, "%llu bytes belong to no tensor",
                         (unsigned long long)(r->data.size - at));
    return DEFT_OK;
}

static deft_status read_tensors(reader *r, json_t *header)
{
    const size_t n = json_object_size(header);
    const char *name = NULL;
    json_t *j = NULL;
    if (n > MAX_TENSORS)
        return deft_fail(r->err, DEFT_E_RANGE, "%zu tensors: at most %d are read", n, MAX_TENSORS);
    r->c->name = DEFT_NEW_ARRAY(r->a, const char *, n);
    r->c->tensor = DEFT_NEW_ARRAY(r->a, deft_tensor, n);
    r->place = DEFT_NEW_ARRAY(r->work, placed, n);
    if (!r->c->name || !r->c->tensor || !r->place)
        return deft_fail(r->err, DEFT_E_SPACE, "no memory");
    json_object_foreach(header, name, j)
    {
        char text[160];
        if (strcmp(name, "__metadata__") == 0) continue;
        const deft_status s = strlen(name) < MAX_NAME
                                  ? read_tensor(r, name, j)
                                  : deft_fail(r->err, DEFT_E_RANGE, "its name is too long");
        if (s != DEFT_OK)
            return deft_error_prefix(r->err, "tensor '%s'",
                                     deft_escape(text, sizeof text, name, MAX_NAME)),
                   s;
    }
    if (!r->c->n) return deft_fail(r->err, DEFT_E_FORMAT, "the checkpoint holds no tensors");
    return check_places(r);
}

deft_status safetensors_read(deft_bytes bytes, deft_arena *a, deft_checkpoint *c, deft_error *err)
{
    const uint64_t n = header_size(bytes);
    char text[160];
    if (n > bytes.size - PREFIX || n > MAX_HEADER)
        return deft_fail(err, DEFT_E_FORMAT,
                         "a header of %llu bytes in a file of %zu: damaged or cut off",
                         (unsigned long long)n, bytes.size);
    json_error_t why;
    json_t *header =
        json_loadb((const char *)bytes.data + PREFIX, (size_t)n, JSON_REJECT_DUPLICATES, &why);
    if (!header)
        return deft_fail(err, DEFT_E_FORMAT, "header: %s (byte %d)",
                         deft_escape(text, sizeof text, why.text, sizeof why.text), why.position);
    reader r = {.a = a, .c = c, .err = err, .work = deft_arena_create(0)};
    r.data = (deft_bytes){bytes.data + PREFIX + n, bytes.size - PREFIX - (size_t)n};
    const deft_status s =
        r.work ? read_tensors(&r, header) : deft_fail(err, DEFT_E_SPACE, "no memory");
    json_decref(header);
    deft_arena_destroy(r.work);
    return s;
}
