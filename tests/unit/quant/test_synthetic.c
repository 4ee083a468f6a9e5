/* test_synthetic.c - calibration without data: within what is known, moving, and the same each
 * time. */
#include "check.h"
#include "quant/quant_private.h"

#include <math.h>
#include <string.h>

static deft_model *small(deft_arena *a)
{
    deft_model *m = DEFT_NEW(a, deft_model);
    deft_layer *l = DEFT_NEW(a, deft_layer);
    deft_segment *s = DEFT_NEW_ARRAY(a, deft_segment, 2);
    const int32_t n = 5;
    l->kind = DEFT_LAYER_DENSE;
    l->name = "";
    l->n_in = n;
    l->n_out = 1;
    l->n_segment = 1;
    s[0] = (deft_segment){DEFT_SRC_OBS, 0, 0, n};
    s[1] = (deft_segment){DEFT_SRC_LAYER, 0, 0, 1};
    l->in = &s[0];
    l->activation.kind = DEFT_ACT_TANH;
    l->weight = DEFT_NEW_ARRAY(a, float, n);
    for (int32_t i = 0; i < n; i++) l->weight[i] = 0.1f * (float)(i + 1);
    *m = (deft_model){.arena = a, .source = "", .n_layer = 1, .layer = l, .n_output = 1};
    m->n_out_segment = 1;
    m->out = &s[1];
    m->contract.name = "";
    m->contract.n_obs = n;
    m->contract.n_act = 1;
    return m;
}

static void column(const deft_calibration *c, int32_t i, double out[4])
{
    double sum = 0, squares = 0;
    out[0] = (double)INFINITY;
    out[1] = -(double)INFINITY;
    for (int32_t r = 0; r < c->n; r++) {
        const double v = (double)c->obs[r * c->m->contract.n_obs + i];
        out[0] = fmin(out[0], v);
        out[1] = fmax(out[1], v);
        sum += v;
        squares += v * v;
    }
    out[2] = sum / c->n;
    out[3] = sqrt(squares / c->n - out[2] * out[2]);
}

static void test_ranges(deft_arena *a)
{
    deft_model *m = small(a);
    // normalised (and clipped at 2), limited, part of a quaternion, unknown, normalised downwards
    static float offset[] = {100, 0, 0, 0, -3}, scale[] = {0.1f, 1, 1, 1, -2};
    static float lo[] = {-2, 5, -INFINITY, -INFINITY, -INFINITY};
    static float hi[] = {2, 7, INFINITY, INFINITY, INFINITY};
    static const char *names[] = {"a", "b", "base_quat_w", "d", "e"};
    m->contract.obs_offset = offset;
    m->contract.obs_scale = scale;
    m->contract.obs_lo = lo;
    m->contract.obs_hi = hi;
    m->contract.obs_name = names;
    deft_error err = {0};
    deft_calibration *c = NULL, *again = NULL;
    deft_synthetic facts;
    double x[4];
    CHECK_OK(deft_calibration_create(m, 0, &c, &err), err);
    CHECK_OK(deft_calibration_add_synthetic(c, 0, &facts, &err), err);
    CHECK(facts.normalised == 2 && facts.limited == 1 && facts.known == 1 && facts.assumed == 1,
          "%d %d %d %d", facts.normalised, facts.limited, facts.known, facts.assumed);
    column(c, 0, x);
    CHECK(x[0] >= 80 && x[1] <= 120 && fabs(x[2] - 100) < 5 && x[3] > 6 && x[3] < 14,
          "normalised: %g to %g, %g +- %g", x[0], x[1], x[2], x[3]);
    column(c, 1, x);
    CHECK(x[0] >= 5 && x[1] <= 7 && x[0] < 5.3 && x[1] > 6.7, "limits: %g to %g", x[0], x[1]);
    column(c, 2, x);
    CHECK(x[0] >= -1 && x[1] <= 1 && x[3] > 0.3, "unit: %g to %g", x[0], x[1]);
    column(c, 3, x);
    CHECK(fabs(x[2]) < 0.5 && x[3] > 0.6 && x[3] < 1.4, "assumed: %g +- %g", x[2], x[3]);
    column(c, 4, x);
    CHECK(fabs(x[2] + 3) < 0.3 && x[3] > 0.3 && x[3] < 0.7, "downwards: %g +- %g", x[2], x[3]);
    CHECK_OK(deft_calibration_create(m, 0, &again, &err), err);
    CHECK_OK(deft_calibration_add_synthetic(again, 0, &facts, &err), err);
    CHECK(again->n == c->n && memcmp(again->obs, c->obs, (size_t)c->n * 5 * sizeof(float)) == 0,
          "another sequence");
    deft_calibration_destroy(c);
    deft_calibration_destroy(again);
}

/* Slow, fast and held: neighbours are alike in some episodes and not in others. */
static void test_pace(deft_arena *a)
{
    deft_model *m = small(a);
    deft_error err = {0};
    deft_calibration *c = NULL;
    deft_synthetic facts;
    CHECK_OK(deft_calibration_create(m, 0, &c, &err), err);
    CHECK_OK(deft_calibration_add_synthetic(c, 0, &facts, &err), err);
    int32_t episodes = 0, held = 0, fast = 0;
    for (int32_t r = 0; r < c->n; r++) {
        if (!c->first[r] || r + 99 >= c->n) continue;
        double moved = 0;
        for (int32_t k = 1; k < 100; k++)
            moved += fabs((double)c->obs[(r + k) * 5] - (double)c->obs[(r + k - 1) * 5]) / 99;
        episodes++;
        held += moved == 0;
        fast += moved > 0.5;
    }
    CHECK(episodes >= 10 && held >= 1 && fast >= 1 && held + fast < episodes,
          "%d: %d held, %d fast", episodes, held, fast);
    CHECK(c->own[0] && c->own[c->n - 1], "the previous action is the policy's own");
    deft_calibration_destroy(c);
}

static void test_contract(deft_arena *a)
{
    deft_contract c = {.name = "quaid-normalised", .n_obs = 17, .n_act = 8};
    float lo, hi;
    (void)a;
    CHECK(deft_contract_known_range(&c, 9, &lo, &hi) && fabsf(lo - 0.37f) < 1e-6f &&
              fabsf(hi - 0.86f) < 1e-6f,
          "servo: %g to %g", (double)lo, (double)hi);
    CHECK(deft_contract_known_divisor(&c, 9) == 500, "divisor");
    c.name = "quaid";
    CHECK(deft_contract_known_range(&c, 9, &lo, &hi) && lo == 185 && hi == 430, "raw");
    CHECK(deft_contract_known_divisor(&c, 9) == 1, "divisor");
    c.n_obs = 16;
    CHECK(!deft_contract_known_range(&c, 9, &lo, &hi), "another shape");
}

int main(void)
{
    deft_arena *const a = deft_arena_create(0);
    test_ranges(a);
    test_pace(a);
    test_contract(a);
    deft_arena_destroy(a);
    return check_report();
}
