/* detect.c - what kind of file is this? By content. */
#include "formats/torch_private.h"

#include <string.h>

/* Wire types of ModelProto's fields by number (onnx.proto): 0 varint, 2 length-delimited. */
static bool model_field(unsigned number, unsigned wire)
{
    switch (number) {
    case 1: // ir_version
    case 5: // model_version
        return wire == 0;
    case 2:  // producer_name
    case 3:  // producer_version
    case 4:  // domain
    case 6:  // doc_string
    case 7:  // graph
    case 8:  // opset_import
    case 14: // metadata_props
    case 20: // training_info
    case 25: // functions
        return wire == 2;
    default:
        return false;
    }
}

static bool varint(const uint8_t *p, size_t size, size_t *at, uint64_t *v)
{
    *v = 0;
    for (unsigned shift = 0; shift < 64 && *at < size; shift += 7) {
        const uint8_t byte = p[(*at)++];
        *v |= (uint64_t)(byte & 0x7F) << shift;
        if (!(byte & 0x80)) return true;
    }
    return false;
}

/* Are the outermost fields those of a ModelProto? A file that was cut off still counts. */
static bool looks_like_onnx(const uint8_t *p, size_t size)
{
    size_t at = 0;
    for (int fields = 0; fields < 8; fields++) {
        uint64_t key = 0, length = 0;
        if (at >= size) return fields > 0;
        if (!varint(p, size, &at, &key) || key >> 32) return false;
        const unsigned number = (unsigned)(key >> 3), wire = (unsigned)(key & 7);
        if (!model_field(number, wire)) return false;
        if (!varint(p, size, &at, &length)) return fields > 0;
        if (wire == 0) continue;
        if (length > size - at) return fields > 0;
        at += (size_t)length;
    }
    return true;
}

bool deft_onnx_is_own(deft_bytes head)
{
    static const char name[] = "deft";
    size_t at = 0;
    while (at < head.size) {
        uint64_t key = 0, length = 0;
        if (!varint(head.data, head.size, &at, &key) || key >> 32) return false;
        if (!model_field((unsigned)(key >> 3), (unsigned)(key & 7))) return false;
        if (!varint(head.data, head.size, &at, &length)) return false;
        if ((key & 7) == 0) continue;
        if (length > head.size - at) return false;
        if (key >> 3 == 2) { // producer_name
            return length == sizeof name - 1 && memcmp(head.data + at, name, sizeof name - 1) == 0;
        }
        at += (size_t)length;
    }
    return false;
}

/* PyTorch before 1.6: a pickle of a magic number; the reader says what to do about it. */
static bool looks_like_legacy_torch(const uint8_t *p, size_t size)
{
    return size >= 6 && p[0] == 0x80 && p[1] <= 5 && memcmp(p + 2, "\x8a\x0a\x6c\xfc", 4) == 0;
}

deft_format deft_format_detect(const void *data, size_t size)
{
    const uint8_t *p = data;
    if (size >= 4 && memcmp(p, "DEFT", 4) == 0) return DEFT_FORMAT_IMAGE;
    if (size >= 4 && memcmp(p, "PK\3\4", 4) == 0) return DEFT_FORMAT_TORCH;
    if (looks_like_legacy_torch(p, size) || safetensors_looks_like((deft_bytes){p, size}))
        return DEFT_FORMAT_TORCH;
    return looks_like_onnx(p, size) ? DEFT_FORMAT_ONNX : DEFT_FORMAT_UNKNOWN;
}
