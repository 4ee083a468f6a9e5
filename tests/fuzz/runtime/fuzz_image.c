/* fuzz_image.c - bytes as an image: what init accepts, step must survive. The length and the CRC
 * are made right on a copy, so that changes of the fuzzer get past them. */
#include "base/crc32.h"
#include "deft/kernels.h"
#include "deft/policy.h"
#include "image/image.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_BYTES = 1 << 20, MOST_ARENA = 1 << 24, MOST_WIDTH = 1024 };

static void fix_up(uint8_t *b, size_t size)
{
    for (size_t k = 0; k < 4; k++) b[8 + k] = (uint8_t)(size >> 8 * k);
    memset(b + 12, 0, 4);
    const uint32_t crc = deft_crc32(0, b, size);
    for (size_t k = 0; k < 4; k++) b[12 + k] = (uint8_t)(crc >> 8 * k);
}

static void check(int good)
{
    if (!good) abort();
}

static void drive(deft_policy *p, float *obs, float *applied, float *act)
{
    static const float odd[] = {0.0f,  1.0f,     -1.0f,  FLT_MAX, -FLT_MAX, 1e30f,
                                -0.0f, 1.5e-45f, 1e-38f, 3.0f,    -50.0f,   NAN};
    enum { ODD = sizeof odd / sizeof *odd };
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
    }
    uint32_t n = 0;
    for (uint32_t k = 0; k <= p->n_layer; k++) {
        const float *y = deft_policy_layer_f32(p, k, &n);
        volatile float last = y ? y[n - 1] : 0;
        (void)last;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < DEFT_IMAGE_HEADER || size > MOST_BYTES) return 0;
    size &= ~(size_t)15;
    // exactly as many bytes as there are, so that a read behind them is seen
    uint8_t *image = aligned_alloc(16, size);
    if (!image) return 0;
    memcpy(image, data, size);
    fix_up(image, size);
    const int32_t need = deft_policy_size(image, size);
    if (need > 0 && need <= MOST_ARENA) {
        void *arena = aligned_alloc(16, (size_t)need);
        deft_policy p;
        for (const deft_kernels *const *k = deft_kernels_all(); arena && *k; k++) {
            const deft_policy_config cfg = {image, size, arena, (size_t)need, *k};
            check(deft_policy_init(&p, &cfg) == DEFT_OK);
            float *buffer = malloc(((size_t)p.n_obs + 2u * p.n_act) * sizeof *buffer);
            if (buffer && p.n_obs <= MOST_WIDTH && p.n_act <= MOST_WIDTH) {
                const deft_status s = deft_policy_selftest(&p);
                check(s == DEFT_OK || s == DEFT_E_MISMATCH || s == DEFT_E_UNSUPPORTED);
                drive(&p, buffer, buffer + p.n_obs, buffer + p.n_obs + p.n_act);
                deft_policy_reset(&p);
            }
            free(buffer);
        }
        free(arena);
    }
    free(image);
    return 0;
}
