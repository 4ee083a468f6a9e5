/* pickle_numpy.c - arrays of NumPy in a pickle, and how values are looked at. An array that is not
 * written as NumPy writes those of plain numbers has no elements for us. */
#include "formats/torch_private.h"

#include <string.h>

static bool is_sequence(const pickle_value *v)
{
    return v->kind == PICKLE_TUPLE || v->kind == PICKLE_LIST;
}

/* "f8", "<f4", "|b1" */
static pickle_dtype parse_type(const char *s, size_t n)
{
    pickle_dtype t = {0};
    if (n && strchr("<>|=", s[0])) {
        t.big_endian = s[0] == '>';
        s++;
        n--;
    }
    if (n != 2 || !strchr("fiub", s[0]) || s[1] < '1' || s[1] > '8') return (pickle_dtype){0};
    t.kind = s[0];
    t.size = (uint8_t)(s[1] - '0');
    const bool whole = t.size == 1 || t.size == 2 || t.size == 4 || t.size == 8;
    const bool known = t.kind == 'f' ? t.size >= 4 : t.kind == 'b' ? t.size == 1 : true;
    return whole && known ? t : (pickle_dtype){0};
}

pickle_value *pickle_numpy_dtype(const pickle_value *args, deft_arena *a)
{
    pickle_value *v = pickle_new(a, PICKLE_DTYPE);
    const pickle_value *name = args->as.list.n ? args->as.list.item[0] : NULL;
    if (v && name && (name->kind == PICKLE_TEXT || name->kind == PICKLE_BYTES))
        v->as.dtype = parse_type(name->as.text.s, name->as.text.n);
    return v;
}

pickle_value *pickle_numpy_array(deft_arena *a)
{
    pickle_value *v = pickle_new(a, PICKLE_ARRAY);
    if (v) v->as.array = DEFT_NEW(a, pickle_array);
    return v && v->as.array ? v : NULL;
}

/* Fills in what fits together; else the array stays without elements. */
static void fill(pickle_array *y, const pickle_value *type, const pickle_value *shape, bool columns,
                 const pickle_value *bytes)
{
    int64_t count = 1, dim[DEFT_MAX_RANK] = {0};
    if (type->kind != PICKLE_DTYPE || !type->as.dtype.kind || bytes->kind != PICKLE_BYTES ||
        !is_sequence(shape) || shape->as.list.n > DEFT_MAX_RANK)
        return;
    const size_t size = bytes->as.text.n;
    for (size_t i = 0; i < shape->as.list.n; i++) {
        const pickle_value *item = shape->as.list.item[i];
        if (item->kind != PICKLE_INT || item->as.i < 0) return;
        dim[i] = item->as.i;
        if (dim[i] && count > (int64_t)(size / (size_t)dim[i])) return; // more than there are bytes
        count *= dim[i];
    }
    if ((uint64_t)count * type->as.dtype.size != size) return;
    if (columns && shape->as.list.n > 1) return;
    y->type = type->as.dtype;
    y->rank = (int32_t)shape->as.list.n;
    memcpy(y->dim, dim, sizeof dim);
    y->count = count;
    y->data = (const uint8_t *)bytes->as.text.s;
}

pickle_value *pickle_numpy_from_buffer(const pickle_value *args, deft_arena *a)
{
    pickle_value *v = pickle_numpy_array(a), *const *arg = args->as.list.item;
    if (v && args->as.list.n >= 4)
        fill(v->as.array, arg[1], arg[2], pickle_is_text(arg[3], "F"), arg[0]);
    return v;
}

pickle_value *pickle_numpy_scalar(const pickle_value *args, deft_arena *a)
{
    static const pickle_value none = {.kind = PICKLE_TUPLE};
    pickle_value *v = pickle_numpy_array(a), *const *arg = args->as.list.item;
    if (v && args->as.list.n >= 2) fill(v->as.array, arg[0], &none, false, arg[1]);
    return v;
}

void pickle_numpy_build(pickle_value *v, const pickle_value *state)
{
    if (state->kind != PICKLE_TUPLE) return;
    pickle_value *const *part = state->as.list.item;
    const size_t n = state->as.list.n;
    if (v->kind == PICKLE_DTYPE) { // (3, "<", ...)
        if (n >= 2 && part[1]->kind == PICKLE_TEXT && part[1]->as.text.n == 1)
            v->as.dtype.big_endian = part[1]->as.text.s[0] == '>';
    } else if (n == 5) { // (1, shape, dtype, by columns, bytes)
        *v->as.array = (pickle_array){0};
        fill(v->as.array, part[2], part[1], part[3]->kind != PICKLE_BOOL || part[3]->as.i, part[4]);
    }
}

/* --- looking at values ----------------------------------------------------------------------- */

const pickle_value *pickle_entry(const pickle_value *v, const char *key)
{
    if (v && v->kind == PICKLE_OBJECT) v = v->as.object.state;
    // (attributes, slots)
    if (v && v->kind == PICKLE_TUPLE && v->as.list.n == 2) v = v->as.list.item[0];
    const pickle_value *found = NULL;
    if (!v || v->kind != PICKLE_DICT) return NULL;
    for (size_t i = 0; i + 1 < v->as.list.n; i += 2)
        if (pickle_is_text(v->as.list.item[i], key)) found = v->as.list.item[i + 1];
    return found; // the last one counts, as in Python
}

bool pickle_is_a(const pickle_value *v, const char *class_name)
{
    if (!v || v->kind != PICKLE_OBJECT || v->as.object.type->kind != PICKLE_GLOBAL) return false;
    const char *name = v->as.object.type->as.text.s, *dot = strrchr(name, '.');
    return strcmp(dot ? dot + 1 : name, class_name) == 0;
}

static double element(const pickle_array *y, int64_t i)
{
    const size_t size = y->type.size;
    const uint8_t *p = y->data + (size_t)i * size;
    uint64_t bits = 0;
    for (size_t k = 0; k < size; k++)
        bits |= (uint64_t)p[y->type.big_endian ? size - 1 - k : k] << 8 * k;
    if (y->type.kind == 'f' && size == 4) {
        const uint32_t half = (uint32_t)bits;
        float f = 0;
        memcpy(&f, &half, sizeof f);
        return (double)f;
    }
    if (y->type.kind == 'f') {
        double d = 0;
        memcpy(&d, &bits, sizeof d);
        return d;
    }
    if (y->type.kind != 'i' || !size) return (double)bits;
    const uint64_t sign = (uint64_t)1 << (8 * size - 1);
    if (!(bits & sign)) return (double)bits;
    return -(double)((~bits & (sign - 1)) + 1);
}

bool pickle_number(const pickle_value *v, int64_t i, double *out)
{
    if (!v || i < 0) return false;
    switch (v->kind) {
    case PICKLE_BOOL:
    case PICKLE_INT:
        *out = (double)v->as.i;
        return i == 0;
    case PICKLE_FLOAT:
        *out = v->as.f;
        return i == 0;
    case PICKLE_ARRAY:
        if (!v->as.array->data || i >= v->as.array->count) return false;
        *out = element(v->as.array, i);
        return true;
    case PICKLE_TUPLE:
    case PICKLE_LIST:
        if ((uint64_t)i >= v->as.list.n) return false;
        v = v->as.list.item[i];
        return !is_sequence(v) && pickle_count(v) == 1 && pickle_number(v, 0, out);
    default:
        return false;
    }
}

int64_t pickle_count(const pickle_value *v)
{
    if (!v) return -1;
    switch (v->kind) {
    case PICKLE_BOOL:
    case PICKLE_INT:
    case PICKLE_FLOAT:
        return 1;
    case PICKLE_ARRAY:
        return v->as.array->data ? v->as.array->count : -1;
    case PICKLE_TUPLE:
    case PICKLE_LIST:
        return (int64_t)v->as.list.n;
    default:
        return -1;
    }
}
