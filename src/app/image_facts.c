/* image_facts.c - what an image holds. */
#include "app/image_facts.h"
#include "deft/policy.h"
#include "image/image_q.h"

/* Of a step, and of all steps of a self-test together: at least, and for each byte of the image. A
 * byte holds two weights at most, and a self-test has some 50 steps. */
enum { STEP_LEAST = 1 << 21, STEP_BYTE = 4, TEST_LEAST = 1 << 29, TEST_BYTE = 256 };
enum { MEMORY_LEAST = 16 << 20, MEMORY_BYTE = 16 }; // of bytes
enum { FUNCTION = 16, SEGMENT = 4 };                // the work of an activation, and of a segment

static void add(image_facts *f, const void *p, size_t bytes, uint8_t format, int64_t macs)
{
    if (!p) return;
    f->macs += macs;
    f->formats |= UINT32_C(1) << format;
    if (f->count == IMAGE_MAX_MATRICES) return;
    f->at[f->count] = p;
    f->bytes[f->count++] = bytes;
}

/* A layer's outputs and what its gates compute; a history moves its own. */
static int64_t outputs_work(uint8_t kind, uint32_t n_out)
{
    const uint32_t gates = deft_image_gates(kind);
    if (kind == DEFT_IMAGE_HISTORY) return n_out;
    return FUNCTION * (int64_t)(gates > 1 ? gates + 1 : 1) * n_out;
}

static void add_f32(const deft_image *im, uint32_t k, image_facts *f)
{
    deft_image_layer l;
    deft_image_layer_at(im->data, im->directory, k, &l);
    const uint32_t gates = deft_image_gates(l.kind);
    f->work += (int64_t)SEGMENT * l.n_segment + l.n_in + outputs_work(l.kind, l.n_out);
    if (!gates) return;
    f->rows |= l.layout == DEFT_LAYOUT_ROWS;
    const int64_t x = (int64_t)gates * l.n_out * l.n_in, h = (int64_t)gates * l.n_out * l.n_out;
    add(f, l.weight, 4 * (size_t)x, DEFT_NUM_F32, x);
    add(f, l.weight_h, 4 * (size_t)h, DEFT_NUM_F32, h);
}

static void add_q(const deft_image *im, uint32_t k, image_facts *f)
{
    deft_image_qlayer l;
    deft_image_qlayer_at(im->data, im->directory, k, &l);
    f->work += (int64_t)SEGMENT * l.n_segment + l.n_in + outputs_work(l.kind, l.n_out);
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
    out->steps = im.selftest ? deft_image_u16(im.data + im.selftest) : 0;
    out->work += out->macs + (int64_t)FUNCTION * ((int64_t)im.n_obs + im.n_output + im.n_act) +
                 (int64_t)SEGMENT * im.n_out_segment;
    return DEFT_OK;
}

deft_status image_facts_bounded(const image_facts *f, deft_bytes image, deft_error *err)
{
    const size_t bytes = image.size;
    const int64_t step = STEP_LEAST + STEP_BYTE * (int64_t)bytes;
    const int64_t test = TEST_LEAST + TEST_BYTE * (int64_t)bytes;
    const int32_t memory = deft_policy_size(image.data, bytes);
    const uint64_t most = MEMORY_LEAST + (uint64_t)MEMORY_BYTE * bytes;
    if (memory > 0 && (uint64_t)memory > most) {
        return deft_fail(err, DEFT_E_SPACE,
                         "the policy wants %d bytes of working memory, more than the %llu that an "
                         "image of %zu bytes may ask for",
                         (int)memory, (unsigned long long)most, bytes);
    }
    if (f->work > step) {
        return deft_fail(
            err, DEFT_E_RANGE,
            "a step of this policy would take %.3g operations, more than the %.3g that "
            "an image of %zu bytes may ask for: its layers are far wider than its "
            "weights",
            (double)f->work, (double)step, bytes);
    }
    if ((int64_t)f->steps * f->work > test) {
        return deft_fail(err, DEFT_E_RANGE,
                         "the self-test of %u steps would take %.3g operations, more than the %.3g "
                         "that an image of %zu bytes may ask for: write the image with a shorter "
                         "one",
                         (unsigned)f->steps, (double)f->steps * (double)f->work, (double)test,
                         bytes);
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
