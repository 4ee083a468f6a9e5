/* test_wiring.c - reading the wiring of recurrent layers, and mending it. */
#include "../emit/random_model.h"
#include "check.h"

#include <math.h>

static deft_model *stack(deft_arena *a)
{
    deft_rng r;
    deft_rng_seed(&r, 7);
    return paper_model(&r, a, true);
}

/* Lets layer k, whose first input is another's output, read its state from before the step. */
static void delay(deft_model *m, int32_t k)
{
    m->layer[k].in[0].kind = DEFT_SRC_STATE;
}

static void run(const deft_model *m, float act[8], int steps)
{
    deft_error err = {0};
    deft_model_eval *e = NULL;
    CHECK_OK(deft_model_eval_create(m, &e, &err), err);
    if (!e) return;
    float obs[17];
    for (int t = 0; t < steps; t++) {
        for (int i = 0; i < 17; i++) obs[i] = 2.0f * (float)((t * 17 + i) % 7) - 6.0f;
        CHECK(deft_model_eval_step(e, obs, NULL, act) == DEFT_OK, "step");
    }
    deft_model_eval_destroy(e);
}

static double difference(const float *a, const float *b)
{
    double most = 0;
    for (int i = 0; i < 8; i++) most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return most;
}

static void test_read(void)
{
    deft_arena *a = deft_arena_create(0);
    deft_rng r;
    deft_rng_seed(&r, 1);
    CHECK(deft_model_wiring(paper_model(&r, a, false)) == DEFT_WIRING_NONE, "plain");
    deft_model *m = stack(a);
    CHECK(deft_model_wiring(m) == DEFT_WIRING_CASCADE, "cascade");
    delay(m, 2);
    CHECK(deft_model_wiring(m) == DEFT_WIRING_DELAYED, "delayed");
    // a head that reads the old state is late as well
    m = stack(a);
    m->layer[3].in[2].kind = DEFT_SRC_STATE;
    CHECK(deft_model_wiring(m) == DEFT_WIRING_DELAYED, "late head");
    // one cell that is fed its own old state again is not another's reader
    m = stack(a);
    m->layer[1].in[0] = (deft_segment){DEFT_SRC_STATE, 1, 0, 64};
    m->layer[2].in[0] = (deft_segment){DEFT_SRC_STATE, 2, 0, 64};
    CHECK(deft_model_wiring(m) == DEFT_WIRING_NONE, "cells by themselves");
    CHECK(strcmp(deft_wiring_name(DEFT_WIRING_CASCADE), "cascade") == 0, "name");
    CHECK(strcmp(deft_wiring_name((deft_wiring)9), "?") == 0, "no name");
    deft_arena_destroy(a);
}

static void test_rewire(void)
{
    deft_arena *a = deft_arena_create(0);
    deft_error err = {0};
    deft_model *m = stack(a);
    float want[8] = {0}, late[8] = {0}, got[8] = {0};
    run(m, want, 5);
    CHECK(deft_model_rewire(m, &err) == 0, "nothing to do");
    delay(m, 1);
    delay(m, 2);
    run(m, late, 5);
    CHECK(difference(want, late) > 1e-4, "the delay makes no difference: %g",
          difference(want, late));
    CHECK(deft_model_rewire(m, &err) == 2, "two segments: %s", err.text);
    CHECK(deft_model_wiring(m) == DEFT_WIRING_CASCADE, "cascade");
    CHECK(m->changed, "no longer the graph's");
    run(m, got, 5);
    CHECK(difference(want, got) == 0, "as before the delay");
    deft_arena_destroy(a);
}

/* Delayed layers may come in any order: 2, 1, 0. */
static void test_order(void)
{
    deft_arena *a = deft_arena_create(0);
    deft_error err = {0};
    deft_model *m = stack(a);
    float want[8] = {0}, got[8] = {0};
    run(m, want, 5);
    const deft_layer first = m->layer[0];
    m->layer[0] = m->layer[2];
    m->layer[2] = first;
    m->layer[0].in[0] = (deft_segment){DEFT_SRC_STATE, 1, 0, 64};
    m->layer[1].in[0] = (deft_segment){DEFT_SRC_STATE, 2, 0, 64};
    m->layer[3].in[2].index = 0;
    CHECK_OK(deft_model_check(m, &err), err);
    CHECK(deft_model_rewire(m, &err) == 2, "rewired: %s", err.text);
    CHECK_OK(deft_model_check(m, &err), err);
    run(m, got, 5);
    CHECK(difference(want, got) == 0, "as in the right order");

    // two layers that read each other's old state cannot both read the new one
    m = stack(a);
    delay(m, 1);
    m->layer[0].n_in = 64;
    m->layer[0].n_segment = 1;
    m->layer[0].in[0] = (deft_segment){DEFT_SRC_STATE, 1, 0, 64};
    CHECK(deft_model_rewire(m, &err) == DEFT_E_UNSUPPORTED && err.text[0], "a ring");
    CHECK(m->layer[1].in[0].kind == DEFT_SRC_STATE, "unchanged");
    deft_arena_destroy(a);
}

int main(void)
{
    test_read();
    test_rewire();
    test_order();
    return check_report();
}
