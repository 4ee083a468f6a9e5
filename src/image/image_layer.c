/* image_layer.c - float32 policies: views and checks of what is theirs. Part of the freestanding
 * runtime. */
#include "image/image.h"

#include <float.h>
#include <string.h>

static float f32_at(const uint8_t *p)
{
    float f;
    memcpy(&f, p, sizeof f);
    return f;
}

static const float *floats_at(const uint8_t *p)
{
    return (const float *)(const void *)p;
}

/* Places n floats at the next multiple of align, a power of two, of the file; returns where in the
 * payload. */
static uint64_t place(uint32_t offset, uint64_t *at, uint64_t n, uint32_t align)
{
    const uint64_t start = ((offset + *at + align - 1) & ~(uint64_t)(align - 1)) - offset;
    *at = start + 4 * n;
    return start;
}

static void read_descriptor(const uint8_t *p, deft_image_layer *out)
{
    memset(out, 0, sizeof *out);
    out->kind = p[0];
    out->activation_kind = p[1];
    out->weight_format = p[2];
    out->layout = p[3];
    out->out_format = p[4];
    out->flags = p[5];
    out->n_segment = deft_image_u16(p + 6);
    out->n_in = deft_image_u16(p + 8);
    out->n_out = deft_image_u16(p + 10);
    out->depth = deft_image_u16(p + 12);
    out->activation.kind = (deft_activation_kind)p[1];
    out->activation.alpha = f32_at(p + 16);
    out->activation.beta = f32_at(p + 20);
    out->epsilon = f32_at(p + 24);
    out->segment = p + DEFT_IMAGE_DESCRIPTOR;
}

uint64_t deft_image_layer_view(const uint8_t *p, uint32_t offset, uint64_t limit,
                               deft_image_layer *out)
{
    read_descriptor(p, out);
    uint64_t at = DEFT_IMAGE_DESCRIPTOR + 8 * (uint64_t)out->n_segment;
    const uint32_t gates = deft_image_gates(out->kind), n_out = out->n_out;
    const uint64_t rows = gates ? (uint64_t)gates * n_out : n_out;
    const uint32_t align =
        out->layout == DEFT_LAYOUT_PANELS128 ? DEFT_IMAGE_PANEL_ALIGN : DEFT_IMAGE_ALIGN;
    uint64_t bias = 0, bias_h = 0, weight = 0, weight_h = 0;
    if (out->flags & DEFT_FLAG_BIAS) bias = place(offset, &at, rows, DEFT_IMAGE_ALIGN);
    if (out->flags & DEFT_FLAG_BIAS_H) bias_h = place(offset, &at, rows, DEFT_IMAGE_ALIGN);
    if (gates) {
        weight = place(offset, &at, rows * out->n_in, align);
        if (gates > 1) weight_h = place(offset, &at, rows * n_out, align);
    } else if (out->flags & DEFT_FLAG_WEIGHT) {
        weight = place(offset, &at, rows, DEFT_IMAGE_ALIGN);
    }
    if (at > limit) return 0; // before any pointer is made
    if (bias) out->bias = floats_at(p + (size_t)bias);
    if (bias_h) out->bias_h = floats_at(p + (size_t)bias_h);
    if (weight) out->weight = floats_at(p + (size_t)weight);
    if (weight_h) out->weight_h = floats_at(p + (size_t)weight_h);
    return at;
}

static uint32_t flags_of(uint8_t kind) // those that may be set
{
    switch (kind) {
    case DEFT_IMAGE_DENSE:
    case DEFT_IMAGE_LAYERNORM:
    case DEFT_IMAGE_AFFINE:
        return DEFT_FLAG_BIAS | DEFT_FLAG_WEIGHT;
    case DEFT_IMAGE_GRU:
        return DEFT_FLAG_BIAS | DEFT_FLAG_BIAS_H | DEFT_FLAG_WEIGHT | DEFT_FLAG_RESET_BEFORE;
    case DEFT_IMAGE_LSTM:
        return DEFT_FLAG_BIAS | DEFT_FLAG_BIAS_H | DEFT_FLAG_WEIGHT;
    case DEFT_IMAGE_HISTORY:
        return DEFT_FLAG_NEWEST_FIRST | DEFT_FLAG_FILL_FIRST;
    default:
        return 0;
    }
}

static int activation_ok(const deft_image_layer *l)
{
    const deft_activation a = l->activation;
    const uint8_t kind = l->activation_kind;
    const int two = kind == DEFT_ACT_SELU || kind == DEFT_ACT_CLIP;
    const int one = two || kind == DEFT_ACT_LEAKY_RELU || kind == DEFT_ACT_ELU;
    if (l->kind == DEFT_IMAGE_GRU || l->kind == DEFT_IMAGE_LSTM || l->kind == DEFT_IMAGE_HISTORY) {
        if (kind != DEFT_ACT_NONE) return 0;
    }
    // what does not decide the result is zero, so that one policy has one image and one name
    if ((!one && a.alpha != 0) || (!two && a.beta != 0)) return 0;
    if (kind == DEFT_ACT_CLIP) return a.alpha <= a.beta; // either may be infinite
    return kind < DEFT_ACT_CLIP && deft_all_finite(&a.alpha, 1) && deft_all_finite(&a.beta, 1);
}

/* The bytes between tensors are zero, so that one policy has one image. */
static int padding_ok(const uint8_t *payload, const deft_image_layer *l, uint64_t end)
{
    const uint32_t gates = deft_image_gates(l->kind);
    const uint64_t rows = gates ? (uint64_t)gates * l->n_out : l->n_out;
    const float *const tensor[4] = {l->bias, l->bias_h, l->weight, l->weight_h};
    const uint64_t count[4] = {rows, rows, gates ? rows * l->n_in : rows, rows * l->n_out};
    const uint8_t *at = l->segment + (size_t)8 * l->n_segment;
    for (int k = 0; k < 4; k++) {
        if (!tensor[k]) continue;
        const uint8_t *const start = (const uint8_t *)tensor[k];
        if (!deft_image_zero(at, start)) return 0;
        at = start + (size_t)(4 * count[k]);
        if (!deft_all_finite(start, (uint32_t)count[k])) return 0; // fewer than 2^29, in the file
    }
    return at == payload + (size_t)end;
}

void deft_image_layer_at(const uint8_t *data, uint32_t directory, uint32_t index,
                         deft_image_layer *out)
{
    const uint8_t *const p = deft_image_payload(data, directory, index);
    (void)deft_image_layer_view(p, (uint32_t)(p - data), UINT64_MAX, out);
}

static deft_status check_layer(const deft_image *im, uint32_t offset, uint32_t length)
{
    const uint8_t *const p = im->data + offset;
    if (length < DEFT_IMAGE_DESCRIPTOR) return DEFT_E_FORMAT;
    deft_image_layer l;
    // A kind or number format that is not known here is a newer one.
    if (p[0] < DEFT_IMAGE_DENSE) return DEFT_E_FORMAT;
    if (p[0] > DEFT_IMAGE_HISTORY) return DEFT_E_VERSION;
    const int has_matrix = deft_image_gates(p[0]) != 0;
    if (p[2] > DEFT_NUM_F32 || p[4] > DEFT_NUM_F32) return DEFT_E_VERSION;
    if (p[3] > DEFT_LAYOUT_PANELS128) return DEFT_E_LAYOUT;
    if (deft_image_layer_view(p, offset, length, &l) != length) return DEFT_E_FORMAT;

    const uint8_t format = l.weight || l.bias ? DEFT_NUM_F32 : DEFT_NUM_NONE;
    if (l.weight_format != format || l.out_format != DEFT_NUM_F32) return DEFT_E_FORMAT;
    if (!has_matrix && l.layout != DEFT_LAYOUT_ROWS) return DEFT_E_FORMAT;
    if (has_matrix && !(l.flags & DEFT_FLAG_WEIGHT)) return DEFT_E_FORMAT;
    if (l.flags & ~flags_of(l.kind)) return DEFT_E_FORMAT;
    if (deft_image_u16(p + 14) || deft_image_u32(p + 28)) return DEFT_E_FORMAT; // reserved
    if (l.n_in == 0 || l.n_out == 0 || l.n_segment == 0 ||
        !deft_image_shape_ok(l.kind, l.n_in, l.n_out, l.depth))
        return DEFT_E_FORMAT;
    if (l.kind != DEFT_IMAGE_HISTORY && l.depth != 0) return DEFT_E_FORMAT;
    if (!activation_ok(&l) || !deft_all_finite(&l.epsilon, 1)) return DEFT_E_FORMAT;
    if (l.kind == DEFT_IMAGE_LAYERNORM ? l.epsilon < 0 : l.epsilon != 0) return DEFT_E_FORMAT;
    return padding_ok(p, &l, length) ? DEFT_OK : DEFT_E_FORMAT;
}

/* Front or back end of n values: {u8 format, u8 mask, u16 n}, then the arrays of the mask. */
static deft_status check_end(const deft_image *im, uint32_t at, uint32_t length, int back)
{
    const uint8_t *p = im->data + at;
    const uint16_t n = back ? im->n_act : im->n_obs;
    if (length < 4) return DEFT_E_FORMAT;
    if (p[0] != DEFT_NUM_F32) return p[0] ? DEFT_E_VERSION : DEFT_E_FORMAT;
    if (p[1] > 15 || deft_image_u16(p + 2) != n) return DEFT_E_FORMAT;
    uint32_t arrays = 0;
    for (int bit = 0; bit < 4; bit++) arrays += p[1] >> bit & 1u;
    if (length != 4 + 4 * arrays * n) return DEFT_E_FORMAT;
    deft_image_end e;
    deft_image_end_at(p, &e);
    if (!deft_image_limits_ok(&e, n)) return DEFT_E_FORMAT;
    for (uint16_t i = 0; back && e.scale && i < n; i++) {
        if (e.scale[i] == 0) return DEFT_E_FORMAT; // the previous action is divided by it
    }
    return DEFT_OK;
}

static deft_status check_record(deft_image *im, uint32_t type, uint32_t at, uint32_t length)
{
    if (type == DEFT_RECORD_TABLES) return DEFT_E_FORMAT;
    if (type == DEFT_RECORD_LAYER) return check_layer(im, at, length);
    return check_end(im, at, length, type == DEFT_RECORD_BACK_END);
}

static int segment_ok(const deft_image *im, const uint8_t *segment, uint32_t reader)
{
    (void)im, (void)segment, (void)reader;
    return 1;
}

static int whole_ok(const deft_image *im)
{
    return im->work == 0; // reserved here
}

const deft_image_family deft_image_f32 = {check_record, segment_ok, whole_ok, NULL,
                                          deft_image_choices};
