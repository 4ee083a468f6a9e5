/* Every kernel set of this CPU against the reference, bit for bit: random shapes, tails, values at
 * the ends of the range, pointers that are aligned to floats only. And the reference against a
 * plain sum of its own. */
#include "base/math_f32.h"
#include "check.h"
#include "deft/base.h"
#include "deft/kernels.h"
#include "kernels/kernel_set.h"

#include <string.h>

enum { MOST = 300, GUARD = 64 };

static float odd_value(deft_rng *r)
{
    const uint32_t pick = (uint32_t)(deft_rng_u64(r) % 16);
    const float x = (float)deft_rng_normal(r);
    return pick == 0   ? 0.0f
           : pick == 1 ? -0.0f
           : pick == 2 ? x * 1e30f
           : pick == 3 ? x * 1e-40f
                       : x;
}

/* The same bits, or both not a number. */
static int same(float a, float b)
{
    uint32_t x, y;
    memcpy(&x, &a, sizeof x);
    memcpy(&y, &b, sizeof y);
    return x == y || (a != a && b != b);
}

/* Rows to panels, as docs/format.md says, written again here. */
static void to_panels(const float *rows, float *panels, uint32_t n_out, uint32_t n_in)
{
    for (uint32_t first = 0; first < n_out; first += 128) {
        const uint32_t width = n_out - first < 128 ? n_out - first : 128;
        for (uint32_t i = 0; i < n_in; i++) {
            for (uint32_t k = 0; k < width; k++) *panels++ = rows[(first + k) * n_in + i];
        }
    }
}

static void check_dense(const deft_kernels *k, deft_rng *r, uint32_t n_out, uint32_t n_in)
{
    static float rows[MOST * MOST + GUARD], panels[MOST * MOST + GUARD], bias[MOST], x[MOST + 1],
        want[MOST], got[MOST + GUARD];
    const uint32_t shift = (uint32_t)(deft_rng_u64(r) % 16); // floats off any boundary
    for (uint32_t i = 0; i < n_out * n_in; i++) rows[i] = odd_value(r);
    for (uint32_t i = 0; i < n_in; i++) x[i + 1] = odd_value(r);
    for (uint32_t i = 0; i < n_out; i++) bias[i] = odd_value(r);
    to_panels(rows, panels + shift, n_out, n_in);
    const float *const b = deft_rng_u64(r) % 4 ? bias : NULL;
    for (uint32_t o = 0; o < n_out; o++) {
        volatile float acc = 0;
        for (uint32_t i = 0; i < n_in; i++) acc = acc + rows[o * n_in + i] * x[i + 1];
        want[o] = b ? acc + b[o] : acc;
    }
    for (int layout = 0; layout < 2; layout++) {
        const deft_matrix_f32 m = {layout ? panels + shift : rows, b, n_in, n_out};
        memset(got, 0x55, sizeof got);
        (layout ? k->f32->dense_panels : k->f32->dense_rows)(&m, x + 1, got + 1);
        uint32_t different = 0;
        for (uint32_t o = 0; o < n_out; o++) {
            different += !same(want[o], got[o + 1]);
        }
        CHECK(different == 0, "%s, layout %d: %u of %u x %u differ", k->name, layout, different,
              n_out, n_in);
        uint32_t guard = 0;
        memcpy(&guard, &got[n_out + 1], sizeof guard);
        CHECK(guard == 0x55555555u, "%s wrote behind %u outputs", k->name, n_out);
    }
}

static void check_activations(const deft_kernels *k, deft_rng *r)
{
    float y[67], want[67];
    for (int kind = DEFT_ACT_NONE; kind <= DEFT_ACT_CLIP; kind++) {
        for (int round = 0; round < 3000; round++) {
            const uint32_t n = (uint32_t)(deft_rng_u64(r) % 64);
            const deft_activation a = {(deft_activation_kind)kind,
                                       kind == DEFT_ACT_CLIP ? -1 : 0.5f, 1.5f};
            for (uint32_t i = 0; i < 67; i++) {
                // any float at all, and those near the interesting places
                const uint32_t bits = (uint32_t)deft_rng_u64(r);
                memcpy(&y[i], &bits, sizeof bits);
                if (round % 2) y[i] = (float)(deft_rng_normal(r) * (round % 4 == 1 ? 1 : 30));
                want[i] = i < n ? deft_activation_f32(a, y[i]) : y[i];
            }
            k->f32->activation(a, y, n);
            for (uint32_t i = 0; i < 67; i++) {
                CHECK(same(want[i], y[i]), "%s, activation %d: %a instead of %a", k->name, kind,
                      (double)y[i], (double)want[i]);
            }
        }
    }
}

static void check_gru(const deft_kernels *k, deft_rng *r, uint32_t n)
{
    float x[3 * 80] = {0}, x_kernel[3 * 80], h[3 * 80], old[80], got[81];
    for (uint32_t i = 0; i < 3 * n; i++) {
        x[i] = (float)deft_rng_normal(r) * (float)(i % 5);
        h[i] = (float)deft_rng_normal(r) * (i % 7 ? 1.0f : 100.0f);
        old[i % n] = (float)deft_rng_uniform(r, -1, 1);
    }
    memset(got, 0x55, sizeof got);
    memcpy(x_kernel, x, sizeof x);
    const deft_gru_f32 g = {x_kernel, h, n};
    k->f32->gru(&g, old, got);
    for (uint32_t i = 0; i < n; i++) {
        const float reset = deft_sigmoid_f32(x[i] + h[i]);
        const float z = deft_sigmoid_f32(x[n + i] + h[n + i]);
        volatile float scaled = reset * h[2 * n + i];
        const float c = deft_tanh_f32(x[2 * n + i] + scaled);
        volatile float part = z * (old[i] - c);
        const float want = c + part;
        CHECK(same(want, got[i]), "%s, unit %u of %u: %a, not %a", k->name, i, n, (double)got[i],
              (double)want);
    }
    uint32_t guard = 0;
    memcpy(&guard, &got[n], sizeof guard);
    CHECK(guard == 0x55555555u, "%s wrote behind %u units", k->name, n);
}

int main(void)
{
    deft_rng r;
    deft_rng_seed(&r, 1);
    const deft_kernels *const *all = deft_kernels_all();
    CHECK(all[0] == &deft_kernels_ref, "the reference comes first");
    CHECK(deft_kernels_find("ref") == all[0] && !deft_kernels_find("none"), "find");
    for (const deft_kernels *const *k = all; *k; k++) {
        printf("%s\n", deft_kernels_name(*k));
        for (uint32_t n = 1; n <= 80; n++) check_dense(*k, &r, n, 1 + n % 7);
        for (int t = 0; t < 120; t++) {
            const uint32_t n_out = 1 + (uint32_t)(deft_rng_u64(&r) % MOST);
            check_dense(*k, &r, n_out, 1 + (uint32_t)(deft_rng_u64(&r) % MOST));
        }
        check_activations(*k, &r);
        for (uint32_t n = 1; n <= 80; n++) check_gru(*k, &r, n);
        if (!k[1]) CHECK(*k == deft_kernels_best(), "the best is the last");
    }
    return check_report();
}
