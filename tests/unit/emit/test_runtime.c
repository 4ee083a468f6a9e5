/* The runtime against the reference interpreter, bit for bit: random policies of every kind of
 * layer, every kernel set, both matrix layouts; and what step and init must refuse. */
#include "check.h"
#include "deft/emit.h"
#include "deft/kernels.h"
#include "emit/image_emit.h"
#include "random_model.h"

#include <math.h>
#include <string.h>

enum { MODELS = 400, STEPS = 6 };

static bool same_bits(const float *a, const float *b, int32_t n)
{
    return memcmp(a, b, (size_t)n * sizeof *a) == 0;
}

static bool all_finite(const float *x, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) return false;
    }
    return true;
}

static deft_status start(deft_policy *p, deft_bytes image, const deft_kernels *k, deft_arena *a)
{
    const int32_t size = deft_policy_size(image.data, image.size);
    if (size < 0) return (deft_status)size;
    const deft_policy_config cfg = {image.data, image.size, deft_arena_alloc(a, (size_t)size),
                                    (size_t)size, k};
    return deft_policy_init(p, &cfg);
}

/* Runs both side by side; the applied action is sometimes another than the last one. */
static void compare(const deft_model *m, deft_bytes image, const deft_kernels *k, deft_rng *r,
                    deft_arena *a)
{
    deft_error err = {0};
    deft_model_eval *e = NULL;
    deft_policy p;
    CHECK_OK(deft_model_eval_create(m, &e, &err), err);
    const deft_status s = start(&p, image, k, a);
    CHECK(s == DEFT_OK, "init: %d", s);
    if (s != DEFT_OK || !e) return;
    const int32_t n_act = m->contract.n_act;
    deft_model_eval_reset(e);
    for (int t = 0; t < STEPS; t++) {
        float obs[32], applied[16], want[16], got[16];
        for (int i = 0; i < 32; i++) obs[i] = (float)deft_rng_normal(r) * (t == 4 ? 1e3f : 1);
        for (int i = 0; i < 16; i++) applied[i] = (float)deft_rng_normal(r);
        const float *prev = random_int(r, 0, 2) ? NULL : applied;
        const deft_status evaluated = deft_model_eval_step(e, obs, prev, want);
        const deft_status stepped = deft_policy_step(&p, obs, prev, got);
        if (stepped == DEFT_E_RANGE) { // layer by layer the network left the finite numbers
            bool finite = evaluated == DEFT_OK && all_finite(want, n_act);
            for (int32_t l = 0; l < m->n_layer; l++) {
                finite = finite && all_finite(deft_model_eval_layer(e, l), m->layer[l].n_out);
            }
            CHECK(!finite, "step refused a finite result");
            break;
        }
        CHECK(stepped == DEFT_OK && evaluated == DEFT_OK, "step: %d, %d", stepped, evaluated);
        CHECK(same_bits(want, got, n_act), "%s, step %d: %a instead of %a", deft_kernels_name(k), t,
              (double)got[0], (double)want[0]);
        for (int32_t l = 0; l < m->n_layer; l++) {
            uint32_t n = 0;
            const float *y = deft_policy_layer_f32(&p, (uint32_t)l, &n);
            const float *x = deft_model_eval_layer(e, l);
            const bool nan = y && !all_finite(y, (int32_t)n);
            CHECK(y && (int32_t)n == m->layer[l].n_out && (nan || same_bits(x, y, (int32_t)n)),
                  "%s, step %d, layer %d (%s)", deft_kernels_name(k), t, l,
                  deft_layer_kind_name(m->layer[l].kind));
        }
    }
    uint32_t n = 0;
    CHECK(!deft_policy_layer_f32(&p, (uint32_t)m->n_layer, &n), "a layer too many");
    const deft_status test = deft_policy_selftest(&p);
    CHECK(test == DEFT_OK || test == DEFT_E_UNSUPPORTED, "self-test: %d", test);
    deft_model_eval_destroy(e);
}

static void test_random_models(void)
{
    deft_rng r;
    deft_rng_seed(&r, 7);
    int selftests = 0;
    for (int t = 0; t < MODELS; t++) {
        deft_arena *a = deft_arena_create(0);
        deft_error err = {0};
        const deft_model *m = random_model(&r, a, 9, t % 4 ? 24 : 70);
        deft_bytes image = {NULL, 0};
        uint8_t id[32] = {0};
        for (uint8_t layout = 0; layout < 2; layout++) {
            CHECK_OK(deft_image_write_as(m, layout, a, &image, &err), err);
            if (!image.data) continue;
            CHECK(!layout || memcmp(id, image.data + 32, 32) == 0, "an id for each layout");
            memcpy(id, image.data + 32, 32);
            for (const deft_kernels *const *k = deft_kernels_all(); *k; k++) {
                compare(m, image, *k, &r, a);
            }
        }
        deft_image im;
        selftests += deft_image_open(&im, image.data, image.size) == DEFT_OK && im.selftest;
        deft_arena_destroy(a);
    }
    CHECK(selftests > MODELS * 9 / 10, "only %d of %d images have a self-test", selftests, MODELS);
}

static bool same_policy(const deft_policy *a, const deft_policy *b)
{
    return a->flags == b->flags && a->saturated == b->saturated && a->n_layer == b->n_layer;
}

/* What a step refuses leaves everything as it was. */
static void test_refusals(void)
{
    deft_rng r;
    deft_rng_seed(&r, 3);
    deft_arena *a = deft_arena_create(0);
    deft_error err = {0};
    deft_model *m = paper_model(&r, a, true);
    float lo[8], hi[8];
    for (int i = 0; i < 8; i++) {
        lo[i] = -0.05f;
        hi[i] = 0.05f;
    }
    m->layer[5].activation.kind = DEFT_ACT_NONE; // nothing bounds what overflows
    for (int i = 0; i < 256 * 256; i++) m->layer[4].weight[i] *= 1000;
    m->contract.act_lo = lo;
    m->contract.act_hi = hi;
    deft_bytes image = {NULL, 0};
    CHECK_OK(deft_image_write(m, a, &image, &err), err);
    const int32_t size = deft_policy_size(image.data, image.size);
    CHECK(size > 0, "size %d", size);
    uint8_t *arena = deft_arena_alloc(a, (size_t)size), *before = deft_arena_alloc(a, (size_t)size);
    deft_policy p;
    deft_policy_config cfg = {image.data, image.size, arena, (size_t)size - 1, NULL};
    CHECK(deft_policy_init(&p, &cfg) == DEFT_E_SPACE && p.n_obs == 0, "one byte short");
    cfg.arena_size = (size_t)size;
    cfg.arena = arena + 4;
    CHECK(deft_policy_init(&p, &cfg) == DEFT_E_ARG, "a crooked arena");
    cfg.arena = arena;
    CHECK(deft_policy_init(&p, &cfg) == DEFT_OK, "init");
    CHECK(deft_policy_selftest(&p) == DEFT_OK, "self-test");

    float obs[17] = {0}, act[8] = {0}, again[8] = {0}, applied[8] = {0};
    for (int i = 0; i < 17; i++) obs[i] = (float)deft_rng_normal(&r);
    for (int t = 0; t < 5; t++) CHECK(deft_policy_step(&p, obs, NULL, act) == DEFT_OK, "step");
    CHECK(p.saturated > 0, "nothing was counted as clipped");
    for (int i = 0; i < 8; i++) CHECK(act[i] >= lo[i] && act[i] <= hi[i], "outside the limits");
    const deft_policy kept = p;
    const uint32_t state = p.value_offset;
    memcpy(before, arena, state);
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int b = 0; b < 3; b++) {
        for (int i = 0; i < 8; i++) again[i] = 77;
        const float good = obs[16];
        obs[16] = bad[b];
        CHECK(deft_policy_step(&p, obs, NULL, again) == DEFT_E_RANGE, "%g", (double)bad[b]);
        obs[16] = good;
        applied[7] = bad[b];
        CHECK(deft_policy_step(&p, obs, applied, again) == DEFT_E_RANGE, "%g", (double)bad[b]);
        CHECK(again[0] == 77.0f && same_policy(&kept, &p), "changed");
        CHECK(memcmp(before, arena, state) == 0, "the state changed");
    }
    // finite, but not in the network; then on as if nothing had been
    for (int i = 0; i < 17; i++) obs[i] = i % 2 ? 3e38f : -3e38f;
    const deft_status s = deft_policy_step(&p, obs, NULL, again);
    CHECK(s == DEFT_E_RANGE && again[0] == 77.0f && same_policy(&kept, &p), "%d", s);
    deft_policy_reset(&p);
    CHECK(p.saturated == 0, "reset forgets the count");
    deft_arena_destroy(a);
}

/* What init refused is zeroed, and nobody writes anywhere for it. */
static void refuses_all(deft_policy *p, const char *what)
{
    static const deft_policy zero;
    float obs[17], act[8], applied[8] = {0};
    deft_layer_output out;
    for (int i = 0; i < 17; i++) obs[i] = NAN; // not even looked at
    for (int i = 0; i < 8; i++) act[i] = 77;
    CHECK(memcmp(p, &zero, sizeof zero) == 0, "%s: not zeroed", what);
    deft_policy_reset(p);
    CHECK(deft_policy_step(p, obs, NULL, act) == DEFT_E_ARG, "%s: step", what);
    CHECK(deft_policy_step(p, obs, applied, act) == DEFT_E_ARG, "%s: step", what);
    CHECK(deft_policy_selftest(p) == DEFT_E_ARG, "%s: self-test", what);
    CHECK(deft_policy_layer(p, 0, &out) == DEFT_E_ARG && !out.data, "%s: layer", what);
    for (int i = 0; i < 8; i++) CHECK(act[i] == 77.0f, "%s: act", what);
    CHECK(memcmp(p, &zero, sizeof zero) == 0, "%s: no longer zero", what);
}

static void test_failed_init(void)
{
    deft_rng r;
    deft_rng_seed(&r, 3);
    deft_arena *a = deft_arena_create(0);
    deft_error err = {0};
    deft_bytes image = {NULL, 0};
    CHECK_OK(deft_image_write(paper_model(&r, a, true), a, &image, &err), err);
    const int32_t size = deft_policy_size(image.data, image.size);
    uint8_t *const arena = deft_arena_alloc(a, (size_t)size + 16);
    uint8_t *const bad = deft_arena_copy(a, image.data, image.size);
    bad[image.size / 2] ^= 4;
    memset(arena, 0xa5, (size_t)size + 16);
    const size_t n = (size_t)size;
    const struct {
        const char *what;
        deft_policy_config cfg;
        deft_status expected;
    } failures[] = {
        {"no image", {NULL, image.size, arena, n, NULL}, DEFT_E_ARG},
        {"no bytes", {image.data, 0, arena, n, NULL}, DEFT_E_FORMAT},
        {"crooked image", {image.data + 4, image.size - 4, arena, n, NULL}, DEFT_E_ARG},
        {"cut image", {image.data, image.size - 16, arena, n, NULL}, DEFT_E_FORMAT},
        {"corrupted image", {bad, image.size, arena, n, NULL}, DEFT_E_FORMAT},
        {"no arena", {image.data, image.size, NULL, n, NULL}, DEFT_E_ARG},
        {"crooked arena", {image.data, image.size, arena + 8, n, NULL}, DEFT_E_ARG},
        {"small arena", {image.data, image.size, arena, n - 1, NULL}, DEFT_E_SPACE},
    };
    for (size_t k = 0; k < sizeof failures / sizeof *failures; k++) {
        deft_policy p;
        memset(&p, 0x5a, sizeof p);
        const deft_status s = deft_policy_init(&p, &failures[k].cfg);
        CHECK(s == failures[k].expected, "%s: %d", failures[k].what, (int)s);
        refuses_all(&p, failures[k].what);
    }
    deft_policy p;
    CHECK(deft_policy_init(&p, NULL) == DEFT_E_ARG, "no configuration");
    refuses_all(&p, "no configuration");
    for (int32_t i = 0; i < size + 16; i++) CHECK(arena[i] == 0xa5, "the arena was written to");
    deft_arena_destroy(a);
}

int main(void)
{
    test_random_models();
    test_failed_init();
    test_refusals();
    return check_report();
}
