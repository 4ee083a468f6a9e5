/* fuzz_image.c - bytes as an image: what init accepts, step must survive, with the same bits from
 * every set of kernels, with little and with much memory; and readers on hosts must survive it. The
 * length and the CRC are made right on a copy, so that changes of the fuzzer get past them. */
#include "deft/emit.h"
#include "deft/kernels.h"
#include "deft/policy.h"
#include "emit/image_emit.h"
#include "mutate_image.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed);
#ifdef DEFT_FUZZ
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);
#endif

enum { MOST_BYTES = 1 << 20, MOST_ARENA = 1 << 24, MOST_WIDTH = 1024, MOST_ACTIONS = 1 << 16 };

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed)
{
#ifdef DEFT_FUZZ
    if (size < DEFT_IMAGE_HEADER + DEFT_IMAGE_RECORD || seed % 4 == 0) {
        return LLVMFuzzerMutate(data, size, most);
    }
#endif
    return mutate_image(data, size, most, seed);
}

static void check(int good)
{
    if (!good) abort();
}

/* Every action of a run, to compare. */
typedef struct record {
    uint32_t n;
    uint32_t bits[MOST_ACTIONS];
} record;
static record want, got;

static void note(record *r, const float *act, size_t n)
{
    for (size_t i = 0; i < n && r->n < MOST_ACTIONS; i++) memcpy(&r->bits[r->n++], &act[i], 4);
}

static void drive(deft_policy *p, float *obs, float *applied, float *act, record *r)
{
    static const float odd[] = {0.0f,  1.0f,     -1.0f,  FLT_MAX, -FLT_MAX, 1e30f,
                                -0.0f, 1.5e-45f, 1e-38f, 3.0f,    -50.0f,   NAN};
    enum { ODD = sizeof odd / sizeof *odd };
    r->n = 0;
    for (size_t t = 0; t < ODD + 4; t++) {
        for (size_t i = 0; i < p->n_obs; i++) obs[i] = odd[t < ODD ? t : (i + t) % (ODD - 1)];
        for (size_t i = 0; i < p->n_act; i++) applied[i] = odd[(t + i) % (ODD - 1)];
        for (size_t i = 0; i < p->n_act; i++) act[i] = 123;
        const deft_status s = deft_policy_step(p, obs, t % 3 ? NULL : applied, act);
        check(s == DEFT_OK || s == DEFT_E_RANGE);
        for (size_t i = 0; i < p->n_act; i++) {
            check(s == DEFT_OK ? isfinite(act[i]) : act[i] == 123.0f);
        }
        check(t + 1 != ODD || s == DEFT_E_RANGE); // NaN
        note(r, act, p->n_act);
    }
    for (uint32_t k = 0; k <= p->n_layer; k++) {
        deft_layer_output y;
        if (deft_policy_layer(p, k, &y) != DEFT_OK) continue;
        const size_t bytes = y.format == DEFT_NUM_F32 ? 4 : y.format == DEFT_NUM_S16 ? 2 : 1;
        volatile uint8_t last = ((const uint8_t *)y.data)[bytes * y.n - 1];
        (void)last;
    }
}

static void run(const uint8_t *image, size_t size, const deft_kernels *k, int32_t need, record *r)
{
    void *arena = aligned_alloc(16, ((size_t)need + 15) & ~(size_t)15);
    deft_policy p;
    const deft_policy_config cfg = {image, size, arena, (size_t)need, k};
    if (!arena) return;
    check(deft_policy_init(&p, &cfg) == DEFT_OK);
    float *buffer = malloc(((size_t)p.n_obs + 2u * p.n_act) * sizeof *buffer);
    if (buffer && p.n_obs <= MOST_WIDTH && p.n_act <= MOST_WIDTH) {
        const deft_status s = deft_policy_selftest(&p);
        check(s == DEFT_OK || s == DEFT_E_MISMATCH || s == DEFT_E_UNSUPPORTED);
        drive(&p, buffer, buffer + p.n_obs, buffer + p.n_obs + p.n_act, r);
        deft_policy_reset(&p);
    }
    free(buffer);
    free(arena);
}

/* What hosts read: names, notes, weights. The name that the policy gives itself is made right. */
static void read_back(uint8_t *image, size_t size, bool integer)
{
    deft_arena *const a = deft_arena_create(64 << 20);
    deft_image im;
    deft_error err = {DEFT_OK, ""};
    if (a && deft_image_open(&im, image, size) == DEFT_OK &&
        image_policy_id(&im, a, image + 32) == DEFT_OK) {
        mutate_seal(image, size);
        const deft_bytes bytes = {image, size};
        deft_model *m = NULL;
        deft_qmodel *q = NULL;
        deft_image_options opt;
        if (!integer) {
            if (deft_image_read(bytes, "fuzz", a, &m, &err) == DEFT_OK) {
                deft_c_files c;
                const deft_c_policy policy = {.image = bytes, .model = m, .name = "fuzz"};
                (void)deft_c_write(&policy, a, &c, &err);
            }
        } else if (deft_image_read_q(bytes, "fuzz", a, &q, &opt, &err) == DEFT_OK) {
            deft_bytes again;
            deft_c_files c;
            (void)deft_image_write_q(q, &opt, a, &again, &err);
            const deft_c_policy policy = {
                .image = bytes, .model = q->model, .q = q, .name = "fuzz"};
            (void)deft_c_write(&policy, a, &c, &err);
        }
    }
    deft_arena_destroy(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < DEFT_IMAGE_HEADER || size > MOST_BYTES) return 0;
    size &= ~(size_t)15;
    // exactly as many bytes as there are, so that a read behind them is seen
    uint8_t *image = aligned_alloc(16, size);
    if (!image) return 0;
    memcpy(image, data, size);
    mutate_seal(image, size);
    const int32_t need = deft_policy_size(image, size);
    if (need > 0 && need <= MOST_ARENA) {
        const int32_t kept = deft_policy_size_kept(image, size);
        deft_image im;
        check(deft_image_open(&im, image, size) == DEFT_OK);
        want.n = 0;
        for (const deft_kernels *const *k = deft_kernels_all(); *k; k++) {
            record *const r = k == deft_kernels_all() ? &want : &got;
            run(image, size, *k, need, r);
            const bool same =
                r == &want || (r->n == want.n && memcmp(r->bits, want.bits, 4 * (size_t)r->n) == 0);
            check(same || !im.integer); // float kernels agree within a tolerance only
            if (im.integer && kept > 0 && kept <= MOST_ARENA) {
                run(image, size, *k, kept, &got);
                check(got.n == want.n && memcmp(got.bits, want.bits, 4 * (size_t)got.n) == 0);
            }
        }
        if (size <= 1 << 16) read_back(image, size, im.integer != 0);
    }
    free(image);
    return 0;
}
