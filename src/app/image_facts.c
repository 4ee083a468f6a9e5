/* image_facts.c - what an image holds. */
#include "app/image_facts.h"
#include "image/image_q.h"

static void add(image_facts *f, const void *p, size_t bytes, uint8_t format, int64_t macs)
{
    if (!p) return;
    f->macs += macs;
    f->formats |= UINT32_C(1) << format;
    if (f->count == IMAGE_MAX_MATRICES) return;
    f->at[f->count] = p;
    f->bytes[f->count++] = bytes;
}

static void add_f32(const deft_image *im, uint32_t k, image_facts *f)
{
    deft_image_layer l;
    deft_image_layer_at(im->data, im->directory, k, &l);
    const uint32_t gates = deft_image_gates(l.kind);
    if (!gates) return;
    const int64_t x = (int64_t)gates * l.n_out * l.n_in, h = (int64_t)gates * l.n_out * l.n_out;
    add(f, l.weight, 4 * (size_t)x, DEFT_NUM_F32, x);
    add(f, l.weight_h, 4 * (size_t)h, DEFT_NUM_F32, h);
}

static void add_q(const deft_image *im, uint32_t k, image_facts *f)
{
    deft_image_qlayer l;
    deft_image_qlayer_at(im->data, im->directory, k, &l);
    if (!deft_image_gates(l.kind)) return;
    for (uint32_t i = 0; i < l.n_matrix; i++) {
        const deft_matrix_q *const m = &l.matrix[i];
        add(f, m->weight, (size_t)deft_matrix_bytes(m->format, m->layout, m->n_out, m->n_in),
            m->format, (int64_t)m->n_out * m->n_in);
    }
}

deft_status image_facts_of(deft_bytes image, image_facts *out, deft_error *err)
{
    deft_image im;
    *out = (image_facts){.count = 0};
    const deft_status s = deft_image_open(&im, image.data, image.size);
    if (s != DEFT_OK) return deft_fail(err, s, "the image is refused: %s", deft_status_str(s));
    out->n_obs = im.n_obs;
    out->n_act = im.n_act;
    out->integer = im.integer != 0;
    for (uint32_t k = 0; k < im.n_layer; k++) {
        if (im.integer) {
            add_q(&im, k, out);
        } else {
            add_f32(&im, k, out);
        }
    }
    return DEFT_OK;
}

const char *image_facts_numbers(const image_facts *f, deft_arena *a)
{
    static const struct {
        deft_number format;
        const char *name;
    } names[] = {
        {DEFT_NUM_F32, "float32"},
        {DEFT_NUM_S4, "int4"},
        {DEFT_NUM_S8, "int8"},
        {DEFT_NUM_S16, "int16"},
    };
    const char *all = "";
    for (size_t k = 0; all && k < sizeof names / sizeof *names; k++) {
        if (!(f->formats >> names[k].format & 1)) continue;
        all = deft_arena_printf(a, "%s%s%s", all, *all ? ", " : "", names[k].name);
    }
    return all && !*all ? (f->integer ? "integers" : "float32") : all;
}
