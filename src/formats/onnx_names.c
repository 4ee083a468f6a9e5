/* onnx_names.c - value names of a graph to indices. */
#include "formats/onnx_private.h"

#include <string.h>

// With at most half of the slots taken no honest file comes near; names made to collide do.
enum { MAX_PROBES = 1000 };

static uint32_t hash_of(const char *s)
{
    uint32_t h = 2166136261u; // FNV-1a
    for (; *s; s++) h = (h ^ (uint8_t)*s) * 16777619u;
    return h ^ (h >> 15);
}

deft_status onnx_names_init(onnx_names *m, int32_t room, deft_arena *a)
{
    uint32_t size = 16;
    while (size < (uint32_t)room * 2u) size *= 2;
    *m = (onnx_names){.arena = a, .mask = size - 1, .room = room};
    m->slot = DEFT_NEW_ARRAY(a, int32_t, size);
    m->value = DEFT_NEW_ARRAY(a, deft_value, room);
    return m->slot && m->value ? DEFT_OK : DEFT_E_SPACE;
}

deft_status onnx_names_get(onnx_names *m, const char *name, int32_t *index, deft_error *err)
{
    uint32_t i = hash_of(name) & m->mask;
    for (int probe = 0; probe < MAX_PROBES; probe++, i = (i + 1) & m->mask) {
        if (m->slot[i] != 0) {
            *index = m->slot[i] - 1;
            if (strcmp(m->value[*index].name, name) == 0) return DEFT_OK;
            continue;
        }
        const size_t length = strnlen(name, ONNX_NAME_MAX + 1);
        if (length > ONNX_NAME_MAX)
            return deft_fail(err, DEFT_E_RANGE, "a value's name is longer than %d bytes",
                             ONNX_NAME_MAX);
        if (m->n == m->room) return deft_fail(err, DEFT_E_RANGE, "too many values");
        const char *copy = deft_arena_strndup(m->arena, name, length);
        if (!copy) return deft_fail(err, DEFT_E_SPACE, "no memory for the names of values");
        *index = m->n;
        m->value[m->n] = (deft_value){.name = copy, .producer = -1};
        m->slot[i] = ++m->n;
        return DEFT_OK;
    }
    return deft_fail(err, DEFT_E_FORMAT, "the names of the values collide too often");
}

bool onnx_names_has(const onnx_names *m, const char *name)
{
    uint32_t i = hash_of(name) & m->mask;
    for (int probe = 0; probe < MAX_PROBES && m->slot[i]; probe++, i = (i + 1) & m->mask)
        if (strcmp(m->value[m->slot[i] - 1].name, name) == 0) return true;
    return false;
}
