/* test_load.c - images of random policies, float and integer: loaded, compared, timed. */
#include "check.h"
#include "deft/app.h"
#include "unit/emit/random_model.h"
#include "unit/emit/random_qmodel.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

static const char *temporary(deft_arena *a)
{
    const char *const dir = getenv("TMPDIR");
    return deft_arena_printf(a, "%s/deft-load-%ld.deft", dir ? dir : "/tmp", (long)getpid());
}

static void load(deft_bytes image, const deft_load_options *opt, deft_arena *a, deft_loaded *out)
{
    deft_error err = {DEFT_OK, ""};
    const char *const path = temporary(a);
    CHECK_OK(deft_file_write(path, image.data, image.size, &err), err);
    CHECK_OK(deft_load(path, opt, out, &err), err);
    (void)unlink(path);
}

static void test_float(deft_arena *a)
{
    deft_rng rng;
    deft_rng_seed(&rng, 3);
    deft_error err = {DEFT_OK, ""};
    for (int k = 0; k < 8; k++) {
        deft_bytes image;
        CHECK_OK(deft_image_write(random_model(&rng, a, 2 + k, 12), a, &image, &err), err);
        deft_loaded x, y;
        load(image, NULL, a, &x);
        load(image, NULL, a, &y);
        CHECK(x.image.size == image.size && memcmp(x.image.data, image.data, image.size) == 0,
              "the image changed");
        CHECK((uintptr_t)x.image.data % 64 == 0, "not on a cache line");
        CHECK(strcmp(x.numbers, "float32") == 0 && !x.integer, "%s", x.numbers);
        const int32_t n_obs = x.model->contract.n_obs;
        float *const obs = DEFT_NEW_ARRAY(a, float, 5 * (size_t)n_obs);
        for (int32_t i = 0; i < 5 * n_obs; i++) obs[i] = (float)deft_rng_normal(&rng);
        const deft_recording r = {.source = "test", .n_row = 5, .n_obs = n_obs, .obs = obs};
        deft_difference *const d = DEFT_NEW_ARRAY(a, deft_difference, x.model->n_layer + 1);
        CHECK_OK(deft_compare_layers(&x, &y, &r, false, d, &err), err);
        for (int32_t i = 0; i < x.model->n_layer; i++)
            CHECK(d[i].max_abs == 0 && d[i].n == 5 * (int64_t)x.model->layer[i].n_out, "layer %d",
                  i);
        deft_loaded_free(&y);
        deft_loaded_free(&x);
        deft_loaded_free(&x); // twice is fine
    }
}

/* Of integers: they run, are described and timed, and refuse to become something else. */
static void test_integer(deft_arena *a)
{
    deft_rng rng;
    deft_rng_seed(&rng, 5);
    for (int k = 0; k < 8; k++) {
        deft_error err = {DEFT_OK, ""};
        deft_bytes image;
        CHECK_OK(deft_image_write_q(random_qmodel(&rng, a, 2 + k, 12), NULL, a, &image, &err), err);
        deft_loaded x;
        load(image, NULL, a, &x);
        CHECK(x.integer && strstr(x.numbers, "int") && !strstr(x.numbers, "float"), "%s",
              x.numbers);
        deft_controller *c = NULL;
        CHECK_OK(deft_loaded_controller(&x, NULL, &c, &err), err);
        float obs[64] = {0}, act[64];
        CHECK_OK(deft_controller_step(c, obs, NULL, act, &err), err);
        deft_controller_destroy(c);

        const deft_bench_config cfg = {.rounds = 3, .steps = 2};
        deft_bench_row row;
        bool pinned = false;
        CHECK_OK(deft_bench(&x, 1, &cfg, &row, &pinned, &err), err);
        CHECK(row.ns_min > 0 && row.ns_min <= row.ns_median && row.rounds == 3, "%g %g", row.ns_min,
              row.ns_median);
        deft_difference d;
        const deft_recording r = {.source = "test", .n_row = 1, .n_obs = 1, .obs = obs};
        CHECK(deft_compare_layers(&x, &x, &r, false, &d, &err) == DEFT_E_UNSUPPORTED, "layers");
        deft_loaded_free(&x);
    }
}

/* Images for small devices run here as those for hosts do, under the same name. */
static void test_layouts(deft_arena *a)
{
    deft_rng rng;
    deft_rng_seed(&rng, 7);
    deft_error err = {DEFT_OK, ""};
    for (int k = 0; k < 12; k++) {
        const bool integer = k % 2;
        deft_bytes rows, panels;
        if (integer) {
            const deft_qmodel *const q = random_qmodel(&rng, a, 2 + k, 12);
            const deft_image_options small = {.layout = DEFT_IMAGE_ROWS};
            CHECK_OK(deft_image_write_q(q, &small, a, &rows, &err), err);
            CHECK_OK(deft_image_write_q(q, NULL, a, &panels, &err), err);
        } else {
            const deft_model *const m = random_model(&rng, a, 2 + k, 12);
            CHECK_OK(deft_image_write_for(m, DEFT_IMAGE_ROWS, a, &rows, &err), err);
            CHECK_OK(deft_image_write(m, a, &panels, &err), err);
        }
        deft_loaded x;
        load(rows, NULL, a, &x);
        CHECK(x.image.size == panels.size && memcmp(x.image.data, panels.data, panels.size) == 0,
              "image %d does not run in panels", k);
        CHECK(x.stored.size == rows.size && memcmp(x.stored.data, rows.data, rows.size) == 0,
              "image %d is not as it was", k);
        CHECK(memcmp(rows.data + 32, x.image.data + 32, 32) == 0, "another policy_id");
        CHECK((uintptr_t)x.image.data % 64 == 0, "not on a cache line");
        deft_loaded_free(&x);
    }
}

int main(void)
{
    deft_arena *const a = deft_arena_create(0);
    test_float(a);
    test_integer(a);
    test_layouts(a);
    deft_arena_destroy(a);
    return check_report();
}
