/* Integer policies: random ones of every kind of layer and number format, written as images and
 * executed by every kernel set, in both layouts, with little and with much memory, against an
 * evaluator of its own, bit for bit. */
#include "check.h"
#include "deft/emit.h"
#include "deft/kernels.h"
#include "deft/policy.h"
#include "emit/image_emit.h"
#include "qmodel_eval.h"

#include <math.h>
#include <string.h>

enum { MODELS = 500, STEPS = 6 };

typedef struct setting {
    const deft_kernels *kernels;
    deft_bytes image;
    bool kept;
} setting;

static bool same_layer(const deft_layer_output *y, const deft_qlayer *l, const int64_t *want)
{
    if ((int32_t)y->n != l->n_out || y->format != l->out_format) return false;
    for (uint32_t i = 0; i < y->n; i++) {
        const int64_t got = y->format == DEFT_NUM_U8 ? ((const uint8_t *)y->data)[i]
                                                     : ((const int16_t *)y->data)[i];
        if (got != want[i]) return false;
    }
    return true;
}

static void compare_layers(const deft_policy *p, const q_eval *e, const setting *s)
{
    int32_t seen = 0;
    for (int32_t k = 0; k < e->q->n_layer; k++) {
        deft_layer_output y;
        const deft_status got = deft_policy_layer(p, (uint32_t)k, &y);
        if (got == DEFT_E_UNSUPPORTED && !s->kept) continue;
        seen++;
        CHECK(got == DEFT_OK && same_layer(&y, &e->q->layer[k], e->y[k]), "%s, layer %d (%s) of %d",
              deft_kernels_name(s->kernels), k, deft_layer_kind_name(e->q->layer[k].kind),
              e->q->n_layer);
    }
    CHECK(!s->kept || seen == e->q->n_layer, "%d layers were kept", seen);
}

static void compare(const deft_qmodel *q, const setting *s, deft_rng *r, deft_arena *a)
{
    q_eval e;
    deft_policy p;
    ev_create(&e, q, a);
    const int32_t size = s->kept ? deft_policy_size_kept(s->image.data, s->image.size)
                                 : deft_policy_size(s->image.data, s->image.size);
    CHECK(size > 0, "size: %d", size);
    if (size <= 0) return;
    const deft_policy_config cfg = {s->image.data, s->image.size, deft_arena_alloc(a, (size_t)size),
                                    (size_t)size, s->kernels};
    memset(cfg.arena, 0xA5, (size_t)size);
    deft_status st = deft_policy_init(&p, &cfg);
    CHECK(st == DEFT_OK, "init: %d", st);
    if (st != DEFT_OK) return;
    st = deft_policy_selftest(&p);
    CHECK(st == DEFT_OK, "%s: self-test: %d", deft_kernels_name(s->kernels), st);
    for (int t = 0; t < STEPS; t++) {
        float obs[32], applied[16], want[16] = {0}, got[16] = {0};
        for (int i = 0; i < 32; i++) obs[i] = (float)deft_rng_normal(r) * (t == 4 ? 1e30f : 1);
        for (int i = 0; i < 16; i++) applied[i] = (float)deft_rng_normal(r) * (t == 3 ? 1e30f : 1);
        const float *prev = random_int(r, 0, 2) ? NULL : applied;
        ev_step(&e, obs, prev, want);
        st = deft_policy_step(&p, obs, prev, got);
        CHECK(st == DEFT_OK, "step: %d", st);
        CHECK(memcmp((const void *)want, (const void *)got, sizeof want) == 0,
              "%s, step %d: %a, not %a", deft_kernels_name(s->kernels), t, (double)got[0],
              (double)want[0]);
        CHECK(p.saturated == e.clipped, "%u clipped, not %u", p.saturated, e.clipped);
        compare_layers(&p, &e, s);
    }
}

/* An image read back and written again is the same image, in either layout. */
static void read_back(const deft_bytes image[2], deft_arena *a)
{
    for (int from = 0; from < 2; from++) {
        deft_qmodel *q = NULL;
        deft_image_options opt;
        deft_error err = {0};
        CHECK_OK(deft_image_read_q(image[from], "test", a, &q, &opt, &err), err);
        for (int to = 0; q && to < 2; to++) {
            deft_bytes again = {NULL, 0};
            opt.layout = to ? DEFT_IMAGE_PANELS : DEFT_IMAGE_ROWS;
            CHECK_OK(deft_image_write_q(q, &opt, a, &again, &err), err);
            const bool same = again.size == image[to].size && again.data &&
                              memcmp(again.data, image[to].data, again.size) == 0;
            CHECK(same, "from layout %d to %d: another image", from, to);
        }
    }
}

/* A proof that is not that of the weights is refused, by those who read it. */
static void proofs_hold(deft_bytes image, deft_arena *a)
{
    uint8_t *const bad = image_allocate(a, image.size);
    memcpy(bad, image.data, image.size);
    deft_image im = {.size = (uint32_t)image.size, .data = bad};
    const uint8_t *payload = NULL;
    uint32_t at = DEFT_IMAGE_HEADER, n = 0;
    for (uint16_t type; (type = deft_image_next(&im, &at, &payload, &n)) != 0;) {
        if (type == DEFT_RECORD_PROOFS && n) bad[payload - bad + 4] ^= 1;
        if (type == DEFT_RECORD_PROOFS && !n) return; // histories alone
    }
    image_seal(bad, image.size);
    deft_qmodel *q = NULL;
    deft_error err = {0};
    const deft_status s =
        deft_image_read_q((deft_bytes){bad, image.size}, "test", a, &q, NULL, &err);
    CHECK(s == DEFT_E_FORMAT && strstr(err.text, "proofs"), "false proofs: %d %s", s, err.text);
}

static void test_random(void)
{
    deft_rng r;
    deft_rng_seed(&r, 23);
    for (int t = 0; t < MODELS; t++) {
        deft_arena *a = deft_arena_create(0);
        deft_error err = {0};
        const deft_qmodel *q = random_qmodel(&r, a, 8, t % 3 ? 20 : 90);
        uint8_t id[32] = {0};
        deft_bytes both[2] = {{NULL, 0}, {NULL, 0}};
        for (int layout = DEFT_IMAGE_ROWS; layout <= DEFT_IMAGE_PANELS; layout++) {
            const deft_image_options opt = {.layout = (deft_image_layout)layout};
            setting s = {NULL, {NULL, 0}, t % 2};
            CHECK_OK(deft_image_write_q(q, &opt, a, &s.image, &err), err);
            if (!s.image.data) continue;
            CHECK(layout == DEFT_IMAGE_ROWS || memcmp(id, s.image.data + 32, 32) == 0,
                  "an id for each layout");
            memcpy(id, s.image.data + 32, 32);
            both[layout - DEFT_IMAGE_ROWS] = s.image;
            for (const deft_kernels *const *k = deft_kernels_all(); *k; k++) {
                s.kernels = *k;
                compare(q, &s, &r, a);
            }
        }
        if (both[0].data && both[1].data) read_back(both, a);
        if (both[0].data && t % 10 == 0) proofs_hold(both[0], a);
        deft_arena_destroy(a);
    }
}

int main(void)
{
    test_random();
    return check_report();
}
