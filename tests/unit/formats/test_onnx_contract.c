/* test_onnx_contract.c - what exporters of legged-robot stacks leave in metadata_props, and what of
 * it becomes the contract. */
#include "check.h"

#include "deft/formats.h"

#include <math.h>
#include <string.h>

/* A policy of one dense layer and a graph of nothing but metadata. */
typedef struct fixture {
    deft_arena *a;
    deft_graph g;
    deft_model m;
} fixture;

static void make(fixture *f, int n_obs, int n_act, const deft_meta *meta, int n_meta)
{
    *f = (fixture){.a = deft_arena_create(0)};
    f->g = (deft_graph){.arena = f->a, .n_meta = n_meta};
    f->g.meta = deft_arena_copy(f->a, meta, (size_t)n_meta * sizeof *meta);
    deft_layer *l = DEFT_NEW(f->a, deft_layer);
    deft_segment *s = DEFT_NEW_ARRAY(f->a, deft_segment, 2);
    s[0] = (deft_segment){DEFT_SRC_OBS, 0, 0, n_obs};
    s[1] = (deft_segment){DEFT_SRC_LAYER, 0, 0, n_act};
    *l = (deft_layer){.kind = DEFT_LAYER_DENSE, .name = "l", .n_in = n_obs, .n_out = n_act};
    l->n_segment = 1;
    l->in = s;
    l->weight = DEFT_NEW_ARRAY(f->a, float, n_obs *n_act);
    f->m = (deft_model){.arena = f->a, .source = "made", .n_layer = 1, .layer = l};
    f->m.contract = (deft_contract){.name = "", .n_obs = n_obs, .n_act = n_act};
    f->m.n_output = n_act;
    f->m.out = s + 1;
    f->m.n_out_segment = 1;
}

static void test_isaac(void)
{
    static const deft_meta isaac[] = {
        {"joint_names", "hip,knee"},
        {"joint_stiffness", "40.0,40.0"},
        {"default_joint_pos", "0.1,-0.2"},
        {"action_scale", "0.5,0.25"},
        {"observation_names", "base_ang_vel,command,joint_pos,actions"},
        {"observation_history_lengths", "1.0,1,2,1"},
    };
    deft_error err = {0};
    fixture f;
    make(&f, 3 + 4 + 2 * 2 + 2, 2, isaac, 6);
    deft_model *m = &f.m;
    m->contract.act_lo = (float[]){-1, -1}; // what the graph itself clips
    m->contract.act_hi = (float[]){1, 1};
    CHECK_OK(deft_onnx_contract(&f.g, m, &err), err);
    const deft_contract *c = &m->contract;
    CHECK(c->act_name && strcmp(c->act_name[1], "knee") == 0, "joint names");
    CHECK(c->act_scale && c->act_scale[1] == 0.25f && c->act_offset[1] == -0.2f, "scale, offset");
    CHECK(c->act_lo[1] == -0.25f + -0.2f && c->act_hi[0] == 0.5f + 0.1f, "limits");
    CHECK(c->obs_name && strcmp(c->obs_name[0], "base_ang_vel[0]") == 0 &&
              strcmp(c->obs_name[3], "command[0]") == 0 &&
              strcmp(c->obs_name[7], "joint_pos.hip@-1") == 0 &&
              strcmp(c->obs_name[10], "joint_pos.knee") == 0 &&
              strcmp(c->obs_name[12], "actions[1]") == 0,
          "observation names");
    CHECK(m->n_assumption == 2, "%d assumptions", (int)m->n_assumption);
    CHECK(c->n_note == 6, "%d notes", (int)c->n_note);
    deft_arena_destroy(f.a);
}

static void test_lists(void)
{
    static const deft_meta lists[] = {
        {"joint_names", "[\"a\", \"b\"]"},
        {"action_scale", "0.5"},
        {"default_joint_pos", "[0.1, 0.2]"},
        {"obs_term_names", "['x', 'y']"},
        {"decimation", "4"},
        {"sim_dt", "0.005"},
        {"update_rate", "200.0"},
    };
    deft_error err = {0};
    fixture f;
    make(&f, 2, 2, lists, 7);
    deft_model *m = &f.m;
    CHECK_OK(deft_onnx_contract(&f.g, m, &err), err);
    const deft_contract *c = &m->contract;
    CHECK(c->act_name && strcmp(c->act_name[0], "a") == 0, "joint names");
    CHECK(c->act_scale && c->act_scale[1] == 0.5f && c->act_offset[1] == 0.2f, "scale, offset");
    CHECK(c->obs_name && strcmp(c->obs_name[1], "y") == 0, "observation names");
    CHECK(fabs(c->period_s - 0.02) < 1e-12, "%g s", c->period_s);
    deft_arena_destroy(f.a);
}

static void test_what_does_not_fit(void)
{
    // lists that do not fit are noted and left out
    static const deft_meta odd[] = {
        {"joint_names", "a,b,c"},       {"action_scale", "0.5,x"},
        {"default_joint_pos", "1,2,3"}, {"observation_names", "q,r,s"},
        {"decimation", "nan"},          {"observation_history_lengths", ""},
    };
    deft_error err = {0};
    fixture f;
    make(&f, 7, 2, odd, 6);
    deft_model *m = &f.m;
    CHECK_OK(deft_onnx_contract(&f.g, m, &err), err);
    const deft_contract *c = &m->contract;
    CHECK(!c->act_name && !c->act_scale && !c->obs_name && c->period_s == 0, "left out");
    CHECK(m->n_assumption == 3, "%d assumptions", (int)m->n_assumption);
    deft_arena_destroy(f.a);
}

static void test_own_damaged(void)
{
    static const char *const bad[] = {"",
                                      "[]",
                                      "{",
                                      "{\"version\":2}",
                                      "{\"version\":1,\"n_obs\":7}",
                                      "{\"version\":1,\"n_obs\":7,\"n_act\":2,\"name\":3}"};
    fixture f;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const deft_meta own = {"deft.contract", bad[i]};
        make(&f, 7, 2, &own, 1);
        deft_error err = {0};
        CHECK(deft_onnx_contract(&f.g, &f.m, &err) < 0 && err.text[0], "'%s' went well", bad[i]);
        deft_arena_destroy(f.a);
    }
}

int main(void)
{
    test_isaac();
    test_lists();
    test_what_does_not_fit();
    test_own_damaged();
    return check_report();
}
