/* test_verify.c - a policy beside its graph: agreement, and where the first difference is. */
#include "graph/model_private.h"
#include "small_graph.h"

#include <math.h>

static deft_status verify(const small_policy *p, float *worst, deft_error *err)
{
    *err = (deft_error){0};
    return deft_verify(&p->graph.g, &p->model, 200, 1e-5f, 1, worst, err);
}

static void test_agrees(void)
{
    deft_arena *a = deft_arena_create(0);
    small_policy p;
    deft_error err;
    float worst = -1;
    small_recurrent(&p, a);
    CHECK_OK(verify(&p, &worst, &err), err);
    CHECK(worst >= 0 && worst < 1e-6f, "worst %g", (double)worst);
    CHECK_OK(verify(&p, NULL, &err), err);
    p.model.act_value = NULL; // a graph that ends before the actions
    CHECK_OK(verify(&p, &worst, &err), err);
    deft_arena_destroy(a);
}

static void test_names_the_node(void)
{
    deft_arena *a = deft_arena_create(0);
    small_policy p;
    deft_error err;
    float worst = 0;
    small_recurrent(&p, a);
    p.layer[1].weight[0] += 0.01f;
    CHECK(verify(&p, &worst, &err) == DEFT_E_MISMATCH, "head: %s", err.text);
    CHECK(strstr(err.text, "Tanh") && strstr(err.text, "'head'"), "%s", err.text);
    CHECK(worst > 1e-5f && worst < 0.02f, "worst %g", (double)worst);
    p.layer[1].weight[0] -= 0.01f;
    p.layer[0].weight_h[1] += 0.01f; // and with it the head's inputs
    CHECK(verify(&p, &worst, &err) == DEFT_E_MISMATCH, "memory: %s", err.text);
    CHECK(strstr(err.text, "GRU") && strstr(err.text, "'memory'"), "%s", err.text);
    CHECK(strstr(err.text, "step 1"), "the state is zero at first: %s", err.text);
    deft_arena_destroy(a);
}

/* A memory that doubles small differences every few steps, as trained ones may: two that follow the
 * same inputs from states 1e-6 apart are far apart within 200 steps. Rounding is no difference of
 * the policies; a wrong weight is. */
static void test_unstable(void)
{
    deft_arena *a = deft_arena_create(0);
    small_policy p;
    deft_error err;
    float worst = 0;
    float w[] = {0, 1,  -4, -2, 0, 0,  1,  -2, 0, // over 40
                 4, -3, 2,  -1, 3, -1, -1, -4, 4};
    float u[] = {4, 6, 0, 6, 1, -8, -5, -8, -3, 0, 6, 2};
    for (size_t i = 0; i < sizeof w / sizeof *w; i++) w[i] /= 40;
    small_recurrent_of(&p, a, w, u);
    deft_model_eval *one = NULL, *other = NULL;
    CHECK_OK(deft_model_eval_create(&p.model, &one, &err), err);
    CHECK_OK(deft_model_eval_create(&p.model, &other, &err), err);
    deft_rng rng;
    deft_rng_seed(&rng, 5);
    model_eval_state(other, 0)[0] = 1e-6f;
    float apart = 0;
    for (int step = 0; step < 200; step++) {
        float obs[SMALL_OBS], act[SMALL_ACT], act2[SMALL_ACT];
        for (int i = 0; i < SMALL_OBS; i++) obs[i] = (float)deft_rng_normal(&rng);
        CHECK(deft_model_eval_step(one, obs, NULL, act) == DEFT_OK, "runs");
        CHECK(deft_model_eval_step(other, obs, NULL, act2) == DEFT_OK, "runs");
        apart = fmaxf(apart, fabsf(act[0] - act2[0]));
    }
    CHECK(apart > 0.01f, "a stable policy, %g apart: tests nothing", (double)apart);
    deft_model_eval_destroy(one);
    deft_model_eval_destroy(other);
    CHECK_OK(verify(&p, &worst, &err), err);
    CHECK(worst < 2e-6f, "worst %g", (double)worst);
    p.layer[0].weight_h[11] += 2e-4f;
    CHECK(verify(&p, &worst, &err) == DEFT_E_MISMATCH, "memory: %s", err.text);
    deft_arena_destroy(a);
}

static void test_contract(void)
{
    deft_arena *a = deft_arena_create(0);
    small_policy p;
    deft_error err;
    small_recurrent(&p, a);
    p.model.contract.act_scale = (float[]){1, 1.001f};
    CHECK(verify(&p, NULL, &err) == DEFT_E_MISMATCH, "scale: %s", err.text);
    CHECK(strstr(err.text, "the actions"), "%s", err.text);
    p.model.contract.act_scale = NULL;
    p.model.contract.obs_hi = (float[]){3, 3, 3}; // only seen by loud steps
    CHECK(verify(&p, NULL, &err) == DEFT_E_MISMATCH, "clip: %s", err.text);
    deft_arena_destroy(a);
}

/* The state of the graph has to come from the output that the roles name. */
static void test_roles(void)
{
    deft_arena *a = deft_arena_create(0);
    small_policy p;
    deft_error err;
    small_recurrent(&p, a);
    p.port[1].index = 0; // the action
    CHECK(verify(&p, NULL, &err) == DEFT_E_MISMATCH, "wrong state: %s", err.text);
    p.port[1].index = 2;
    CHECK(verify(&p, NULL, &err) == DEFT_E_ARG && err.text[0], "no such output");
    p.port[1].index = 1;
    p.port[0].index = 1;
    CHECK(verify(&p, NULL, &err) == DEFT_E_ARG && err.text[0], "beyond the observation");
    p.port[0].index = 0;
    p.port[0].kind = DEFT_PORT_UNUSED;
    CHECK(verify(&p, NULL, &err) == DEFT_E_MISMATCH, "not fed");
    p.port[0].kind = DEFT_PORT_OBS;
    CHECK_OK(verify(&p, NULL, &err), err);
    p.layer[0].origin_element = (const int64_t[]){0, 2};
    CHECK(verify(&p, NULL, &err) == DEFT_E_ARG && err.text[0], "an element that is not there");
    deft_arena_destroy(a);
}

static void test_changed(void)
{
    deft_arena *a = deft_arena_create(0);
    small_policy p;
    deft_error err;
    small_recurrent(&p, a);
    CHECK_OK(deft_model_feed_previous(&p.model, true, &err), err);
    CHECK(verify(&p, NULL, &err) == DEFT_E_ARG && err.text[0], "no longer as it was read");
    deft_arena_destroy(a);
}

static void test_discrete(void)
{
    deft_arena *a = deft_arena_create(0);
    small_policy p;
    deft_error err;
    small_recurrent(&p, a);
    p.model.contract.discrete = true;
    p.model.contract.n_act = 1;
    CHECK_OK(verify(&p, NULL, &err), err);
    p.layer[0].origin_value = p.layer[1].origin_value = NULL;
    p.layer[1].bias[1] += 0.001f;
    CHECK(verify(&p, NULL, &err) == DEFT_E_MISMATCH, "values: %s", err.text);
    CHECK(strstr(err.text, "the outputs"), "%s", err.text);
    deft_arena_destroy(a);
}

static void test_not_finite(void)
{
    deft_arena *a = deft_arena_create(0);
    small_policy p;
    deft_error err;
    small_recurrent(&p, a);
    p.layer[1].activation.kind = DEFT_ACT_NONE;
    p.layer[1].weight[0] = 3e38f;
    p.layer[1].weight[1] = 3e38f;
    CHECK(verify(&p, NULL, &err) == DEFT_E_MISMATCH, "overflow: %s", err.text);
    deft_arena_destroy(a);
}

/* obs [1][3] -> two equal units, ReLU, about 1000 -> their difference, tanh: rounding of the large
 * ones is what is left. */
static void test_cancelling(void)
{
    deft_arena *a = deft_arena_create(0);
    small_policy p = {0};
    small_graph *s = &p.graph;
    deft_error err;
    float up[2 * SMALL_OBS] = {700, 700, 700, 700, 700, 700}, down[2] = {1, -1};
    small_init(s, a);
    const int32_t obs = small_input(s, "obs", 2, (int64_t[]){1, SMALL_OBS});
    const int32_t w = small_floats(s, "w", 2, (int64_t[]){2, SMALL_OBS}, up);
    const int32_t v = small_floats(s, "v", 2, (int64_t[]){1, 2}, down);
    const int32_t sum = small_node(s, "Gemm", "sum", 2, (int32_t[]){obs, w});
    small_attr(s, (deft_attr){.name = "transB", .kind = DEFT_ATTR_INT, .i = 1});
    const int32_t relu = small_node(s, "Relu", "relu", 1, (int32_t[]){sum});
    const int32_t dense = small_node(s, "Gemm", "dense", 2, (int32_t[]){relu, v});
    small_attr(s, (deft_attr){.name = "transB", .kind = DEFT_ATTR_INT, .i = 1});
    const int32_t act = small_node(s, "Tanh", "act", 1, (int32_t[]){dense});
    small_output(s, act);
    CHECK_OK(deft_graph_finish(&s->g, &err), err);
    deft_segment in[2] = {{DEFT_SRC_OBS, 0, 0, SMALL_OBS}, {DEFT_SRC_LAYER, 0, 0, 2}};
    const deft_segment out = {DEFT_SRC_LAYER, 1, 0, 1};
    p.layer[0] = (deft_layer){.n_in = SMALL_OBS, .n_out = 2, .n_segment = 1, .in = in};
    p.layer[0].weight = up;
    p.layer[0].activation.kind = DEFT_ACT_RELU;
    p.layer[1] = (deft_layer){.n_in = 2, .n_out = 1, .n_segment = 1, .in = in + 1};
    p.layer[1].weight = down;
    p.layer[1].activation.kind = DEFT_ACT_TANH;
    for (int l = 0; l < 2; l++) p.layer[l].kind = DEFT_LAYER_DENSE;
    small_origin(a, &p.layer[0], relu);
    small_origin(a, &p.layer[1], act);
    p.model = (deft_model){.arena = a, .source = "by hand", .n_layer = 2, .layer = p.layer};
    p.model.contract = (deft_contract){.name = "", .n_obs = SMALL_OBS, .n_act = 1};
    p.model.n_output = p.model.n_out_segment = 1;
    p.model.out = p.segment;
    p.segment[0] = out;
    p.model.act_value = p.layer[1].origin_value;
    p.model.act_element = p.layer[1].origin_element;
    p.port[0] = (deft_port_role){DEFT_PORT_OBS, 0, 2, {1, SMALL_OBS}};
    p.model.port = p.port;
    CHECK_OK(verify(&p, NULL, &err), err);
    down[0] = nextafterf(1, 2);
    CHECK_OK(verify(&p, NULL, &err), err);
    down[0] = 1.0005f;
    CHECK(verify(&p, NULL, &err) == DEFT_E_MISMATCH, "a wrong weight: %s", err.text);
    deft_arena_destroy(a);
}

int main(void)
{
    test_agrees();
    test_names_the_node();
    test_unstable();
    test_contract();
    test_roles();
    test_changed();
    test_discrete();
    test_not_finite();
    test_cancelling();
    return check_report();
}
