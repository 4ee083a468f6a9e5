/* Images: the same policy gives the same bytes, comes back as it was, and no damaged byte passes.
 */
#include "base/crc32.h"
#include "check.h"
#include "deft/emit.h"
#include "deft/policy.h"
#include "emit/image_emit.h"
#include "random_model.h"

#include <math.h>
#include <string.h>

/* A small policy with a layer of every kind of record. */
static deft_model *small_model(deft_arena *a)
{
    deft_rng r;
    deft_rng_seed(&r, 11);
    static const deft_meta note[] = {{"default_joint_pos", "0.1,0.2"}, {"", ""}};
    static const char *assumption[] = {"the activation was taken to be relu"};
    deft_model *m = random_model(&r, a, 4, 6);
    m->contract.n_note = 2;
    m->contract.note = note;
    m->n_assumption = 1;
    m->assumption = assumption;
    return m;
}

static deft_bytes write_model(const deft_model *m, deft_arena *a)
{
    deft_error err = {0};
    deft_bytes b = {NULL, 0};
    CHECK_OK(deft_image_write(m, a, &b, &err), err);
    return b;
}

static void test_round_trip(void)
{
    deft_rng r;
    deft_rng_seed(&r, 5);
    for (int t = 0; t < 200; t++) {
        deft_arena *a = deft_arena_create(0);
        deft_error err = {0};
        const deft_model *m = t ? random_model(&r, a, 8, 40) : small_model(a);
        const deft_bytes once = write_model(m, a), twice = write_model(m, a);
        CHECK(once.size == twice.size && memcmp(once.data, twice.data, once.size) == 0,
              "other bytes the second time");
        deft_model *back = NULL;
        CHECK_OK(deft_image_read(once, "a file", a, &back, &err), err);
        if (!back) continue;
        const deft_bytes again = write_model(back, a);
        CHECK(again.size == once.size && memcmp(once.data, again.data, once.size) == 0,
              "written, read, written: %zu and %zu bytes", once.size, again.size);
        CHECK(strcmp(back->source, "random.onnx") == 0 && back->source_sha256[0] == 0xA5, "source");
        CHECK(back->n_assumption == m->n_assumption && back->contract.n_note == m->contract.n_note,
              "notes");
        if (m->contract.obs_name) {
            CHECK(!back->contract.obs_name ||
                      strcmp(m->contract.obs_name[0], back->contract.obs_name[0]) == 0,
                  "names");
        }
        for (int32_t k = 0; k < m->n_layer; k++) {
            CHECK(strcmp(m->layer[k].name, back->layer[k].name) == 0, "layer name");
        }
        // not aligned: copied
        uint8_t *crooked = deft_arena_alloc(a, once.size + 8);
        memcpy(crooked + 4, once.data, once.size);
        CHECK_OK(deft_image_read((deft_bytes){crooked + 4, once.size}, "x", a, &back, &err), err);
        CHECK(deft_policy_size(crooked + 4, once.size) == DEFT_E_ARG, "alignment");
        deft_arena_destroy(a);
    }
}

/* Every single flipped bit, and every cut, is refused. */
static void test_damage(void)
{
    deft_arena *a = deft_arena_create(0);
    const deft_bytes good = write_model(small_model(a), a);
    uint8_t *bytes = deft_arena_copy(a, good.data, good.size);
    CHECK(deft_policy_size(bytes, good.size) > 0, "the undamaged image");
    size_t accepted = 0;
    for (size_t bit = 0; bit < 8 * good.size; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        accepted += deft_policy_size(bytes, good.size) >= 0;
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    CHECK(accepted == 0, "%zu of %zu flipped bits were accepted", accepted, 8 * good.size);
    for (size_t n = 0; n < good.size; n++) {
        accepted += deft_policy_size(bytes, n) >= 0;
    }
    CHECK(accepted == 0, "%zu of %zu cut images were accepted", accepted, good.size);
    uint8_t *longer = deft_arena_alloc(a, good.size + 16);
    memcpy(longer, good.data, good.size);
    CHECK(deft_policy_size(longer, good.size + 16) == DEFT_E_FORMAT, "bytes behind the end");
    deft_arena_destroy(a);
}

/* One byte changed and the CRC made right again: bytes that are reserved or pad must be zero, and
 * what is newer than the reader has an error of its own. */
static deft_status with_byte(const uint8_t *image, size_t size, size_t at, uint8_t value,
                             deft_arena *a)
{
    uint8_t *b = deft_arena_copy(a, image, size);
    b[at] = value;
    memset(b + 12, 0, 4);
    const uint32_t crc = deft_crc32(0, b, size);
    for (size_t k = 0; k < 4; k++) b[12 + k] = (uint8_t)(crc >> 8 * k);
    const int32_t s = deft_policy_size(b, size);
    return s < 0 ? (deft_status)s : DEFT_OK;
}

typedef struct rule {
    size_t at;
    uint8_t value;
    deft_status expected;
} rule;

static void check_rules(const rule *rules, size_t n, size_t base, deft_bytes image, deft_arena *a)
{
    for (size_t k = 0; k < n; k++) {
        const size_t at = base + rules[k].at;
        const deft_status s = with_byte(image.data, image.size, at, rules[k].value, a);
        CHECK(s == rules[k].expected, "byte %zu + %zu: %d, not %d", base, rules[k].at, s,
              rules[k].expected);
    }
}

static void test_rules(deft_bytes image, deft_arena *a)
{
    deft_image im;
    CHECK(deft_image_open(&im, image.data, image.size) == DEFT_OK, "open");
    const rule cases[] = {
        {0, 'd', DEFT_E_FORMAT},
        {4, 2, DEFT_E_VERSION},
        {6, 2, DEFT_E_FORMAT},                  // unknown flag
        {16, 18, DEFT_E_FORMAT},                // n_obs
        {22, 7, DEFT_E_FORMAT},                 // n_layer
        {28, 1, DEFT_E_FORMAT},                 // reserved
        {64, 5, DEFT_E_FORMAT},                 // a record out of order
        {66, 0, DEFT_E_FORMAT},                 // critical, but not marked
        {72, 1, DEFT_E_FORMAT},                 // reserved
        {im.directory, 0, DEFT_E_FORMAT},       // where layer 0 is
        {im.directory + 24, 1, DEFT_E_FORMAT},  // padding
        {im.front_end, 2, DEFT_E_VERSION},      // number format
        {im.selftest - 14, 1, DEFT_E_VERSION},  // a critical record of another type
        {im.selftest - 16, 250, DEFT_E_FORMAT}, // types ascend
    };
    check_rules(cases, sizeof cases / sizeof *cases, 0, image, a);
}

/* Layer 0: a GRU whose inputs are PREV 0..8, OBS 0..17. */
static void test_layer_rules(deft_bytes image, deft_arena *a)
{
    deft_image im;
    CHECK(deft_image_open(&im, image.data, image.size) == DEFT_OK, "open");
    const size_t l = deft_image_u32(image.data + im.directory);
    const size_t weights = (l + 48 + 63) / 64 * 64 - l;
    const rule layer[] = {
        {0, 0, DEFT_E_FORMAT},        {0, 10, DEFT_E_VERSION}, // kind
        {1, 8, DEFT_E_FORMAT},                                 // a GRU has no activation
        {2, 2, DEFT_E_VERSION},                                // weights in a newer format
        {3, 2, DEFT_E_LAYOUT},                                 // a layout not served here
        {5, 5, DEFT_E_FORMAT},                                 // a bias that is not there
        {6, 1, DEFT_E_FORMAT},                                 // segments
        {8, 24, DEFT_E_FORMAT},                                // n_in
        {12, 1, DEFT_E_FORMAT},                                // depth
        {14, 1, DEFT_E_FORMAT},                                // reserved
        {16, 1, DEFT_E_FORMAT},                                // alpha of no activation
        {20, 1, DEFT_E_FORMAT},                                // beta likewise
        {24, 1, DEFT_E_FORMAT},                                // epsilon
        {32, 3, DEFT_E_FORMAT},                                // a layer reading itself
        {32, 5, DEFT_E_FORMAT},                                // no such source
        {33, 1, DEFT_E_FORMAT},                                // reserved
        {36, 1, DEFT_E_FORMAT},                                // beyond the end of the source
        {38, 7, DEFT_E_FORMAT},                                // one input short
        {weights + 3, 0x3D, DEFT_OK},                          // a weight
    };
    check_rules(layer, sizeof layer / sizeof *layer, l, image, a);
}

/* Unknown records are skipped; the policy stays the same policy. */
static void test_unknown_record(void)
{
    deft_arena *a = deft_arena_create(0);
    const deft_bytes image = write_model(small_model(a), a);
    const size_t size = image.size + 32;
    uint8_t *b = deft_arena_alloc(a, size);
    memcpy(b, image.data, image.size);
    image_writer w = {b, image.size};
    image_put_u16(&w, 999);
    image_put_u16(&w, 0);
    image_put_u32(&w, 3);
    w.at += 8;
    image_put(&w, "new", 3);
    image_writer head = {b, 8};
    image_put_u32(&head, (uint32_t)size);
    CHECK(with_byte(b, size, 0, 'D', a) == DEFT_OK, "an unknown record is skipped");
    CHECK(with_byte(b, size, image.size + 2, 1, a) == DEFT_E_VERSION, "a critical one is not");
    CHECK(with_byte(b, size, size - 1, 1, a) == DEFT_E_FORMAT, "padding of an unknown record");
    deft_arena_destroy(a);
}

/* What observations can be: kept, and refused where it makes no sense. */
static void test_ranges(void)
{
    deft_arena *a = deft_arena_create(0);
    deft_error err = {0};
    deft_model *m = small_model(a), *back = NULL;
    const int32_t n = m->contract.n_obs;
    float *const least = DEFT_NEW_ARRAY(a, float, n);
    for (int32_t i = 0; i < n; i++) least[i] = (float)-i;
    m->contract.obs_least = least;
    const deft_bytes image = write_model(m, a);
    CHECK_OK(deft_image_read(image, "a file", a, &back, &err), err);
    CHECK(back && back->contract.obs_least && back->contract.obs_least[n - 1] == (float)(1 - n) &&
              isinf(back->contract.obs_most[0]) != 0,
          "ranges are lost");
    deft_image im;
    CHECK(deft_image_open(&im, image.data, image.size) == DEFT_OK, "open");
    const uint8_t *payload = NULL, *ranges = NULL;
    uint32_t at = DEFT_IMAGE_HEADER, length = 0, found = 0;
    for (uint16_t type; (type = deft_image_next(&im, &at, &payload, &length)) != 0;) {
        if (type == DEFT_RECORD_RANGES) {
            ranges = payload;
            found = length;
        }
    }
    CHECK(ranges && found == 8 * (uint32_t)n, "record of %u bytes", (unsigned)found);
    const float bad[] = {NAN, INFINITY};
    for (int k = 0; ranges && k < 2; k++) {
        uint8_t *const b = deft_arena_copy(a, image.data, image.size);
        image_writer w = {b, (size_t)(ranges - image.data)};
        image_put_f32(&w, &bad[k], 1);
        w.at = (size_t)(ranges - image.data) + 4 * (size_t)n;
        image_put_f32(&w, k ? &least[n - 1] : &bad[0], 1);
        image_seal(b, image.size);
        CHECK(deft_image_open(&im, b, image.size) == DEFT_OK, "runtimes do not look");
        const deft_status s = deft_image_read((deft_bytes){b, image.size}, "f", a, &back, &err);
        CHECK(s == DEFT_E_FORMAT && strstr(err.text, "range"), "%d: %s", (int)s, err.text);
    }
    deft_arena_destroy(a);
}

int main(void)
{
    test_round_trip();
    test_ranges();
    test_damage();
    deft_arena *a = deft_arena_create(0);
    deft_rng r;
    deft_rng_seed(&r, 1);
    const deft_bytes image = write_model(paper_model(&r, a, true), a);
    test_rules(image, a);
    test_layer_rules(image, a);
    deft_arena_destroy(a);
    test_unknown_record();
    return check_report();
}
