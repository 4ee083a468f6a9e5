/* test_contract_file.c - a contract of one's own put on policies, as numbers. docs/contract.md's
 * histories and previous actions are tested by tests/cli/test_contract.sh. */
#include "../emit/random_model.h"
#include "check.h"
#include "deft/contract.h"

#include <math.h>
#include <string.h>

enum { N_IN = 6, N_ACT = 2 };

static deft_model *make(deft_arena *a)
{
    deft_rng r;
    deft_rng_seed(&r, 3);
    deft_model *m = DEFT_NEW(a, deft_model);
    m->arena = a;
    m->contract = (deft_contract){.name = "", .n_obs = N_IN, .n_act = N_ACT};
    m->n_layer = 1;
    m->layer = DEFT_NEW_ARRAY(a, deft_layer, 1);
    m->layer[0].n_segment = 1;
    m->layer[0].in = one_segment(a, DEFT_SRC_OBS, 0, N_IN);
    random_dense(&r, a, &m->layer[0], N_ACT, DEFT_ACT_NONE);
    m->n_output = N_ACT;
    m->n_out_segment = 1;
    m->out = one_segment(a, DEFT_SRC_LAYER, 0, N_ACT);
    return m;
}

static deft_status apply(deft_model *m, const char *text, deft_error *err)
{
    deft_contract_file f;
    const deft_bytes bytes = {(const uint8_t *)text, strlen(text)};
    *err = (deft_error){DEFT_OK, ""};
    const deft_status s = deft_contract_read(bytes, "c.json", m->arena, &f, err);
    return s == DEFT_OK ? deft_model_apply_contract(m, &f, err) : s;
}

static const char head[] = "{\"deft_contract\": 1, \"name\": \"n\", ";

static deft_status apply_rest(deft_model *m, const char *rest, deft_error *err)
{
    char text[1024];
    (void)snprintf(text, sizeof text, "%s%s}", head, rest);
    return apply(m, text, err);
}

/* x = clip(clip((v - 1) 2, -4, 4) - 3) 5, -10, 6): what the policy does already comes after. */
static void test_keep(deft_arena *a)
{
    deft_model *m = make(a);
    deft_error err;
    float offset[N_IN], scale[N_IN], lo[N_IN], hi[N_IN];
    for (int i = 0; i < N_IN; i++) {
        offset[i] = 3;
        scale[i] = i == 5 ? -5 : 5;
        lo[i] = -10;
        hi[i] = 6;
    }
    m->contract.obs_offset = offset;
    m->contract.obs_scale = scale;
    m->contract.obs_lo = lo;
    m->contract.obs_hi = hi;
    CHECK_OK(apply_rest(m,
                        "\"observations\": [{\"name\": \"v\", \"size\": 6, \"offset\": 1, "
                        "\"scale\": 2, \"clip\": [-4, 4], \"limits\": [-7, 8]}]",
                        &err),
             err);
    const deft_contract *const c = &m->contract;
    // (v - 1 - 3 / 2) 10 within ((-4 .. 4) - 3) 5 within -10 .. 6
    CHECK(c->obs_offset[0] == 2.5f && c->obs_scale[0] == 10, "%g %g", (double)c->obs_offset[0],
          (double)c->obs_scale[0]);
    CHECK(c->obs_lo[0] == -10 && c->obs_hi[0] == 5, "%g %g", (double)c->obs_lo[0],
          (double)c->obs_hi[0]);
    CHECK(c->obs_scale[5] == -10 && c->obs_lo[5] == -5 && c->obs_hi[5] == 6, "the other way round");
    CHECK(c->obs_least[3] == -7 && c->obs_most[3] == 8, "limits");
    CHECK(strcmp(c->obs_name[4], "v[4]") == 0 && m->n_layer == 1 && m->changed, "names");
    CHECK(apply_rest(m, "\"observations\": [{\"name\": \"v\", \"size\": 6}]", &err) ==
                  DEFT_E_MISMATCH &&
              strstr(err.text, "already"),
          "twice: %s", err.text);
}

/* limit(clip(y 2 + 1, -3, 2) 10 - 4, -30, 100) */
static void test_actions(deft_arena *a)
{
    static const char actions[] =
        "\"observations\": [{\"name\": \"v\", \"size\": 6}], \"actions\": "
        "{\"size\": 2, \"clip\": [-3, 2], \"scale\": [10, -10], "
        "\"offset\": -4, \"limits\": [-30, 100]}%s";
    deft_model *m = make(a);
    deft_error err;
    float scale[N_ACT] = {2, 2}, offset[N_ACT] = {1, 1};
    char text[512];
    m->contract.act_scale = scale;
    m->contract.act_offset = offset;
    (void)snprintf(text, sizeof text, actions, "");
    CHECK(apply_rest(m, text, &err) == DEFT_E_ARG && strstr(err.text, "own_scaling"), "%s",
          err.text);
    (void)snprintf(text, sizeof text, actions, ", \"own_scaling\": \"keep\"");
    CHECK_OK(apply_rest(m, text, &err), err);
    const deft_contract *const c = &m->contract;
    CHECK(c->act_scale[0] == 20 && c->act_offset[0] == 6, "%g", (double)c->act_offset[0]);
    CHECK(c->act_lo[0] == -30 && c->act_hi[0] == 16, "%g %g", (double)c->act_lo[0],
          (double)c->act_hi[0]);
    CHECK(c->act_scale[1] == -20 && c->act_lo[1] == -24 && c->act_hi[1] == 26, "%g %g",
          (double)c->act_lo[1], (double)c->act_hi[1]);
    m = make(a);
    m->contract.act_scale = scale;
    (void)snprintf(text, sizeof text, actions, ", \"own_scaling\": \"replace\"");
    CHECK_OK(apply_rest(m, text, &err), err);
    CHECK(m->contract.act_scale[0] == 10 && m->contract.act_offset[0] == -4, "replaced");
}

/* Ranges follow observations that change their unit, or are no more. */
static void test_ranges(deft_arena *a)
{
    deft_error err = {0};
    deft_model *m = make(a);
    float least[N_IN] = {-1, -2, -3, -4, -5, -6}, most[N_IN] = {1, 2, 3, 4, 5, 6};
    m->contract.obs_least = least;
    m->contract.obs_most = most;
    CHECK_OK(deft_model_feed_previous(m, true, &err), err);
    CHECK(m->contract.n_obs == 4 && m->contract.obs_least[0] == -3 && m->contract.obs_most[3] == 6,
          "after the previous action");
    most[2] = -4;
    CHECK(deft_model_check(m, &err) == DEFT_E_FORMAT && strstr(err.text, "empty range"), "%s",
          err.text);
    most[2] = NAN;
    CHECK(deft_model_check(m, &err) == DEFT_E_FORMAT, "not a number");
}

/* Files that would take more than they are. */
static void test_bounds(deft_arena *a)
{
    deft_error err;
    deft_model *m = make(a);
    char *text = deft_arena_alloc(a, 1 << 20);
    size_t n = (size_t)snprintf(text, 1 << 20, "%s\"observations\": [", head);
    for (int i = 0; i < 4096; i++)
        n += (size_t)snprintf(text + n, (1 << 20) - n, "%s{\"name\":\"v%d\",\"size\":65535}",
                              i ? "," : "", i);
    (void)snprintf(text + n, (1 << 20) - n, "]}");
    const size_t before = deft_arena_used(a);
    CHECK(apply(m, text, &err) == DEFT_E_FORMAT && strstr(err.text, "65535 inputs"), "%s",
          err.text);
    CHECK(deft_arena_used(a) - before < (size_t)64 << 20, "%zu bytes", deft_arena_used(a) - before);
    CHECK(apply_rest(m,
                     "\"observations\": [{\"name\": \"v\", \"size\": 65535, \"history\": "
                     "{\"length\": 1000, \"order\": \"oldest_first\", \"interleaving\": "
                     "\"by_term\", \"start\": \"zeros\"}}]",
                     &err) == DEFT_E_FORMAT,
          "65 million inputs");
}

int main(void)
{
    deft_arena *a = deft_arena_create(0);
    test_keep(a);
    test_actions(a);
    test_ranges(a);
    test_bounds(a);
    deft_arena_destroy(a);
    return check_report();
}
