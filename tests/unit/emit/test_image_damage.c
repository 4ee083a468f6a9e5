/* Damaged images: cut anywhere, with any bit changed, and with any byte changed behind a right CRC.
 * The first two are refused; of the third, what is accepted runs. */
#include "base/crc32.h"
#include "check.h"
#include "deft/emit.h"
#include "deft/policy.h"
#include "emit/image_emit.h"
#include "random_qmodel.h"

#include <stdlib.h>
#include <string.h>

enum { MODELS = 12, MOST = 6000 };

static bool accepted(const uint8_t *image, size_t size)
{
    return deft_policy_size(image, size) > 0;
}

static void cut(const deft_bytes b)
{
    int32_t bad = 0;
    for (size_t n = 0; n < b.size; n++) {
        uint8_t *const p = aligned_alloc(16, (n + 16) & ~(size_t)15);
        if (!p) return;
        memcpy(p, b.data, n);
        bad += accepted(p, n);
        free(p);
    }
    CHECK(bad == 0, "%d beginnings of an image of %zu bytes are images", bad, b.size);
}

static void flip(uint8_t *p, size_t size)
{
    int32_t bad = 0;
    for (size_t k = 0; k < 8 * size; k++) {
        p[k / 8] ^= (uint8_t)(1u << k % 8);
        bad += accepted(p, size);
        p[k / 8] ^= (uint8_t)(1u << k % 8);
    }
    CHECK(bad == 0, "%d of %zu changed bits are not noticed", bad, 8 * size);
}

static void seal(uint8_t *p, size_t size)
{
    memset(p + 12, 0, 4);
    const uint32_t crc = deft_crc32(0, p, size);
    for (int k = 0; k < 4; k++) p[12 + k] = (uint8_t)(crc >> 8 * k);
}

/* Runs what was accepted, in exactly the memory that it asks for. */
static void run(const uint8_t *image, size_t size)
{
    const int32_t need = deft_policy_size(image, size);
    if (need <= 0 || need > 1 << 20) return;
    void *const arena = aligned_alloc(16, ((size_t)need + 15) & ~(size_t)15);
    deft_policy p;
    const deft_policy_config cfg = {image, size, arena, (size_t)need, NULL};
    if (arena && deft_policy_init(&p, &cfg) == DEFT_OK && p.n_obs <= 64 && p.n_act <= 64) {
        float obs[64], act[64];
        (void)deft_policy_selftest(&p);
        for (int t = 0; t < 2; t++) {
            for (int i = 0; i < 64; i++) obs[i] = t ? -1e30f : 1e30f;
            (void)deft_policy_step(&p, obs, NULL, act);
        }
    }
    free(arena);
}

static int32_t change(uint8_t *p, size_t size, deft_rng *r)
{
    int32_t survived = 0;
    for (size_t k = 0; k < size; k++) {
        if (k >= 12 && k < 16) continue; // the CRC
        const uint8_t was = p[k];
        static const uint8_t by[] = {1, 0x80, 0xff};
        for (int i = 0; i < 4; i++) {
            p[k] = (uint8_t)(was ^ (i < 3 ? by[i] : 1 + deft_rng_u64(r) % 255));
            seal(p, size);
            if (!accepted(p, size)) continue;
            survived++;
            run(p, size);
        }
        p[k] = was;
    }
    seal(p, size);
    return survived;
}

int main(void)
{
    deft_rng r;
    deft_rng_seed(&r, 5);
    int done = 0;
    for (int t = 0; done < MODELS && t < 50 * MODELS; t++) {
        deft_arena *const a = deft_arena_create(0);
        deft_error err = {0};
        const deft_image_options opt = {.layout = t % 2 ? DEFT_IMAGE_ROWS : DEFT_IMAGE_PANELS,
                                        .layer_names = true};
        deft_bytes image = {NULL, 0};
        const deft_qmodel *const q = random_qmodel(&r, a, 4, 6);
        CHECK_OK(deft_image_write_q(q, &opt, a, &image, &err), err);
        uint8_t *const p = image.size <= MOST ? aligned_alloc(16, image.size) : NULL;
        if (p) {
            memcpy(p, image.data, image.size);
            CHECK(accepted(p, image.size), "a new image is refused");
            cut(image);
            flip(p, image.size);
            CHECK(change(p, image.size, &r) > 0, "nothing is accepted: the CRC is not mended");
            CHECK(memcmp(p, image.data, image.size) == 0, "the image did not come back");
            free(p);
            done++;
        }
        deft_arena_destroy(a);
    }
    CHECK(done == MODELS, "only %d images were small enough", done);
    return check_report();
}
