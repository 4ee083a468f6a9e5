/* test_contracts.c - contracts by name, and the previous action fed back. */
#include "../emit/random_model.h"
#include "check.h"

#include <math.h>

enum { N_IN = 25, N_ACT = 8, STEPS = 6 };

/* A policy of n_in inputs and 8 actions: one dense layer behind a GRU that both read them all, the
 * first in an order of its own. */
static deft_model *make(deft_arena *a, int32_t n_in)
{
    deft_rng r;
    deft_rng_seed(&r, 3);
    deft_model *m = DEFT_NEW(a, deft_model);
    m->arena = a;
    m->contract = (deft_contract){.name = "", .n_obs = n_in, .n_act = N_ACT};
    m->n_layer = 2;
    m->layer = DEFT_NEW_ARRAY(a, deft_layer, 2);
    deft_layer *l = m->layer;
    l[0] = (deft_layer){.kind = DEFT_LAYER_GRU, .n_in = n_in, .n_out = 5, .n_segment = 2};
    l[0].in = DEFT_NEW_ARRAY(a, deft_segment, 2);
    l[0].in[0] = (deft_segment){DEFT_SRC_OBS, 0, 6, n_in - 6};
    l[0].in[1] = (deft_segment){DEFT_SRC_OBS, 0, 0, 6};
    l[0].weight = random_floats(&r, a, 15 * n_in, 0.2f);
    l[0].weight_h = random_floats(&r, a, 15 * 5, 0.5f);
    l[1].n_segment = 2;
    l[1].in = one_segment(a, DEFT_SRC_OBS, 0, n_in);
    l[1].in[1] = (deft_segment){DEFT_SRC_LAYER, 0, 0, 5};
    random_dense(&r, a, &l[1], N_ACT, DEFT_ACT_TANH);
    m->n_output = N_ACT;
    m->n_out_segment = 1;
    m->out = one_segment(a, DEFT_SRC_LAYER, 1, N_ACT);
    return m;
}

/* Runs both; plain is fed the previous action among its observations, from element `at` on. */
static double worst_difference(const deft_model *plain, const deft_model *fed, int32_t at)
{
    deft_error err = {0};
    deft_model_eval *e[2] = {0};
    CHECK_OK(deft_model_eval_create(plain, &e[0], &err), err);
    CHECK_OK(deft_model_eval_create(fed, &e[1], &err), err);
    float act[2][N_ACT] = {{0}}, obs[N_IN], rest[N_IN - N_ACT];
    double most = e[0] && e[1] ? 0 : 1;
    for (int t = 0; e[0] && e[1] && t < STEPS; t++) {
        for (int i = 0, k = 0; i < N_IN; i++) {
            obs[i] = i >= at && i < at + N_ACT ? act[0][i - at] : 0.1f * (float)((t + i) % 9);
            if (i < at || i >= at + N_ACT) rest[k++] = obs[i];
        }
        CHECK(deft_model_eval_step(e[0], obs, NULL, act[0]) == DEFT_OK, "step");
        CHECK(deft_model_eval_step(e[1], rest, NULL, act[1]) == DEFT_OK, "step");
        for (int i = 0; i < N_ACT; i++)
            most = fmax(most, fabs((double)act[0][i] - (double)act[1][i]));
    }
    deft_model_eval_destroy(e[0]);
    deft_model_eval_destroy(e[1]);
    return most;
}

static void test_feed(bool first)
{
    deft_arena *a = deft_arena_create(0);
    deft_error err = {0};
    deft_model *plain = make(a, N_IN), *fed = make(a, N_IN);
    const char **name = DEFT_NEW_ARRAY(a, const char *, N_IN);
    for (int i = 0; i < N_IN; i++) name[i] = deft_arena_printf(a, "o%d", i);
    fed->contract.obs_name = name;
    CHECK_OK(deft_model_feed_previous(fed, first, &err), err);
    CHECK(fed->contract.n_obs == N_IN - N_ACT && fed->n_layer == 2, "shapes");
    CHECK(strcmp(fed->contract.obs_name[0], first ? "o8" : "o0") == 0, "names follow");
    CHECK(fed->changed, "no longer the graph's");
    const double most = worst_difference(plain, fed, first ? 0 : N_IN - N_ACT);
    CHECK(most == 0, "differs by %g", most);
    CHECK(deft_model_feed_previous(fed, first, &err) == DEFT_E_MISMATCH, "only once");
    deft_model *small = make(a, N_ACT);
    CHECK(deft_model_feed_previous(small, first, &err) == DEFT_E_MISMATCH, "nothing left");
    deft_arena_destroy(a);
}

/* What a normaliser did to the previous action goes on. */
static void test_feed_normalised(void)
{
    deft_arena *a = deft_arena_create(0);
    deft_error err = {0};
    deft_rng r;
    deft_rng_seed(&r, 5);
    deft_model *plain = make(a, N_IN), *fed = make(a, N_IN);
    plain->contract.obs_offset = random_floats(&r, a, N_IN, 0.5f);
    plain->contract.obs_scale = random_floats(&r, a, N_IN, 1);
    plain->contract.obs_lo = DEFT_NEW_ARRAY(a, float, N_IN);
    plain->contract.obs_hi = DEFT_NEW_ARRAY(a, float, N_IN);
    for (int i = 0; i < N_IN; i++) plain->contract.obs_lo[i] = -0.5f;
    for (int i = 0; i < N_IN; i++) plain->contract.obs_hi[i] = 0.6f;
    fed->contract = plain->contract;
    CHECK_OK(deft_model_feed_previous(fed, true, &err), err);
    CHECK(fed->n_layer == 3 && fed->layer[0].kind == DEFT_LAYER_AFFINE, "a layer for it");
    double most = worst_difference(plain, fed, 0);
    CHECK(most < 1e-6, "differs by %g", most);

    fed = make(a, N_IN);
    fed->contract = plain->contract;
    fed->contract.obs_hi = deft_arena_copy(a, plain->contract.obs_hi, N_IN * sizeof(float));
    fed->contract.obs_hi[3] = 0.7f;
    CHECK(deft_model_feed_previous(fed, true, &err) == DEFT_E_UNSUPPORTED, "ranges differ");
    CHECK(fed->n_layer == 2 && fed->contract.n_obs == N_IN, "unchanged");
    deft_arena_destroy(a);
}

static const float quaid_max[17] = {4,   4,   4,   8,   1.5707964f, 20,  1.5707964f, 1.5707964f, 4,
                                    500, 500, 500, 500, 500,        500, 500,        500};

/* quaid is fed raw values, quaid-normalised what the environment emits: the same actions. */
static void test_quaid(void)
{
    deft_arena *a = deft_arena_create(0);
    deft_error err = {0};
    deft_model *m[3] = {make(a, N_IN), make(a, N_IN), make(a, N_IN - N_ACT)};
    CHECK_OK(deft_model_set_contract(m[0], "quaid", &err), err);
    CHECK_OK(deft_model_set_contract(m[1], "quaid-normalised", &err), err);
    CHECK_OK(deft_model_set_contract(m[2], "quaid", &err), err);
    for (int k = 0; k < 3; k++) CHECK(m[k]->contract.n_obs == 17, "observations");
    const deft_contract *c = &m[0]->contract;
    CHECK(strcmp(c->name, "quaid") == 0 && c->period_s == 0.09, "name and period");
    CHECK(strcmp(c->obs_name[8], "current_back_right") == 0, "order");
    CHECK(strcmp(c->obs_unit[9], "tick") == 0, "units");
    CHECK(strcmp(c->act_name[1], "thigh_back_left") == 0, "actions");
    CHECK(c->act_lo[7] == -1 && c->act_hi[0] == 1, "limits");
    CHECK(m[1]->contract.obs_scale == NULL, "divided already");
    deft_model_eval *e[2] = {0};
    CHECK_OK(deft_model_eval_create(m[0], &e[0], &err), err);
    CHECK_OK(deft_model_eval_create(m[1], &e[1], &err), err);
    for (int t = 0; e[0] && e[1] && t < STEPS; t++) {
        float raw[17], divided[17], act[2][N_ACT];
        for (int i = 0; i < 17; i++) {
            raw[i] = quaid_max[i] * (0.1f * (float)((t * 5 + i) % 19) - 0.9f);
            divided[i] = raw[i] / quaid_max[i];
        }
        CHECK(deft_model_eval_step(e[0], raw, NULL, act[0]) == DEFT_OK, "step");
        CHECK(deft_model_eval_step(e[1], divided, NULL, act[1]) == DEFT_OK, "step");
        for (int i = 0; i < N_ACT; i++)
            CHECK(fabsf(act[0][i] - act[1][i]) < 2e-6f, "%g and %g", (double)act[0][i],
                  (double)act[1][i]);
    }
    deft_model_eval_destroy(e[0]);
    deft_model_eval_destroy(e[1]);
    deft_arena_destroy(a);
}

static void test_again(void)
{
    deft_arena *a = deft_arena_create(0);
    deft_error err = {0};
    deft_model *m = make(a, N_IN - N_ACT);
    // a normaliser of the policy's own stays behind the contract's
    m->contract.obs_offset = DEFT_NEW_ARRAY(a, float, 17);
    m->contract.obs_offset[9] = 0.25f;
    m->contract.act_hi = DEFT_NEW_ARRAY(a, float, 8);
    m->contract.act_lo = DEFT_NEW_ARRAY(a, float, 8);
    for (int i = 0; i < 8; i++) m->contract.act_hi[i] = 0.5f;
    m->contract.act_lo[1] = -3;
    for (int times = 0; times < 2; times++) {
        CHECK_OK(deft_model_set_contract(m, "quaid", &err), err);
        CHECK(m->contract.obs_scale[9] == 1.0f / 500, "scale %g", (double)m->contract.obs_scale[9]);
        CHECK(m->contract.obs_offset[9] == 125, "offset %g", (double)m->contract.obs_offset[9]);
        CHECK(m->contract.n_note == 4, "notes: %d", (int)m->contract.n_note);
    }
    CHECK(m->contract.act_hi[0] == 0.5f && m->contract.act_lo[1] == -1, "tighter limits stay");
    CHECK_OK(deft_model_set_contract(m, "quaid-normalised", &err), err);
    CHECK(!m->contract.obs_scale || fabsf(m->contract.obs_scale[9] - 1) < 1e-6f, "undone");
    CHECK(fabsf(m->contract.obs_offset[9] - 0.25f) < 1e-6f, "undone");
    deft_arena_destroy(a);
}

static void test_wrong(void)
{
    deft_arena *a = deft_arena_create(0);
    deft_error err = {0};
    deft_model *m = make(a, 18);
    CHECK(deft_model_set_contract(m, "quaid", &err) == DEFT_E_MISMATCH && err.text[0], "17");
    CHECK(deft_model_set_contract(m, "pendulum", &err) == DEFT_E_MISMATCH, "3");
    CHECK(deft_model_set_contract(m, "no\nsuch", &err) == DEFT_E_ARG, "unknown");
    CHECK(strstr(err.text, "no\\nsuch") && strstr(err.text, "pendulum"), "%s", err.text);
    CHECK(deft_model_set_contract(m, NULL, &err) == DEFT_E_ARG, "none");
    CHECK(m->contract.n_obs == 18 && !m->contract.obs_name, "unchanged");
    deft_arena_destroy(a);
}

int main(void)
{
    test_feed(true);
    test_feed(false);
    test_feed_normalised();
    test_quaid();
    test_again();
    test_wrong();
    return check_report();
}
