/* onnx_scan.c - bounds on a protobuf message before it is unpacked, and a bounded allocator. */
#include "formats/onnx_private.h"

#include <string.h>

enum { MAX_DEPTH = 24, MAX_MESSAGES = 2000000 };

typedef struct frame {
    const ProtobufCMessageDescriptor *type;
    size_t end;
    uint64_t seen; // single submessages met, by field number
} frame;

static bool varint(deft_bytes b, size_t end, size_t *at, uint64_t *v)
{
    *v = 0;
    for (int shift = 0; shift < 70 && *at < end; shift += 7) {
        const uint8_t byte = b.data[(*at)++];
        if (shift < 64) *v |= (uint64_t)(byte & 0x7F) << shift;
        if (!(byte & 0x80)) return true;
    }
    return false;
}

static deft_status broken(deft_error *err, size_t at, const char *what)
{
    return deft_fail(err, DEFT_E_FORMAT, "byte %zu: %s (not an ONNX file, or damaged)", at, what);
}

deft_status onnx_scan(deft_bytes b, const ProtobufCMessageDescriptor *type, deft_error *err)
{
    frame stack[MAX_DEPTH] = {{type, b.size, 0}};
    int depth = 1;
    size_t at = 0;
    int64_t messages = 0;
    while (depth > 0) {
        frame *f = &stack[depth - 1];
        if (at >= f->end) {
            depth--;
            continue;
        }
        uint64_t key = 0, v = 0;
        const size_t start = at;
        if (!varint(b, f->end, &at, &key) || key >> 3 == 0 || key >> 32)
            return broken(err, start, "no valid field");
        size_t skip = 0;
        switch (key & 7) {
        case 0:
            if (!varint(b, f->end, &at, &v)) return broken(err, start, "a number is cut off");
            continue;
        case 1:
            skip = 8;
            break;
        case 5:
            skip = 4;
            break;
        case 2:
            if (!varint(b, f->end, &at, &v) || v > f->end - at)
                return broken(err, start, "a field is longer than what holds it");
            skip = (size_t)v;
            break;
        default:
            return broken(err, start, "an unknown wire type");
        }
        if (skip > f->end - at) return broken(err, start, "a field is cut off");
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field(f->type, (unsigned)(key >> 3));
        const bool known = (key & 7) == 2 && field;
        if (known && field->type == PROTOBUF_C_TYPE_MESSAGE) {
            // Repeats of a single message are legal, would be merged, and no exporter makes them.
            const uint64_t bit = (uint64_t)1 << ((key >> 3) & 63);
            if (field->label != PROTOBUF_C_LABEL_REPEATED && (f->seen & bit))
                return broken(err, start, "a part appears twice");
            f->seen |= bit;
            if (++messages > MAX_MESSAGES) return broken(err, start, "too many parts");
            if (depth == MAX_DEPTH) return broken(err, start, "nested too deeply");
            stack[depth++] = (frame){field->descriptor, at + skip, 0};
            continue;
        }
        // protobuf-c ends strings at their first NUL, so that distinct names would become one
        if (known && field->type == PROTOBUF_C_TYPE_STRING && memchr(b.data + at, 0, skip))
            return broken(err, start, "a string holds a NUL");
        at += skip;
    }
    return DEFT_OK;
}

static void *arena_alloc(void *data, size_t size)
{
    return deft_arena_alloc(data, size);
}

static void arena_free(void *data, void *p)
{
    (void)data;
    (void)p;
}

ProtobufCAllocator onnx_allocator(deft_arena *a)
{
    return (ProtobufCAllocator){arena_alloc, arena_free, a};
}
