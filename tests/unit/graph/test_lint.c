/* test_lint.c - every code of lint on a policy that has the defect, and silence on one that has
 * none. */
#include "small_graph.h"

#include <math.h>

enum { N_LINT = 64 };

typedef struct found {
    deft_arena *a;
    const deft_warning *w;
    int32_t n;
} found;

static void lint(found *f, const deft_model *m, const deft_graph *g)
{
    f->n = deft_model_lint(m, g, f->a, &f->w);
    CHECK(f->n >= 0 && f->n < N_LINT, "%d warnings", (int)f->n);
    for (int32_t i = 0; i < f->n; i++) {
        const size_t n = strlen(f->w[i].text);
        CHECK(n > 20 && n < 500, "%s: %s", f->w[i].code, f->w[i].text);
    }
}

static const char *text_of(const found *f, const char *code)
{
    for (int32_t i = 0; i < f->n; i++)
        if (strcmp(f->w[i].code, code) == 0) return f->w[i].text;
    return NULL;
}

/* Checks that the code is there, with a text that contains `has`. */
static void expect(const found *f, const char *code, const char *has)
{
    const char *t = text_of(f, code);
    CHECK(t != NULL, "%s is missing", code);
    if (t) CHECK(strstr(t, has) != NULL, "%s: '%s' is not in '%s'", code, has, t);
}

static void expect_only(const found *f, const char *code)
{
    for (int32_t i = 0; i < f->n; i++)
        CHECK(code && strcmp(f->w[i].code, code) == 0, "%s: %s", f->w[i].code, f->w[i].text);
    if (code) CHECK(f->n > 0, "%s is missing", code);
}

/* The paper's shapes with weights as training leaves them: no warnings. */
static deft_model *sound(deft_arena *a, bool recurrent)
{
    deft_rng r;
    deft_error err = {0};
    deft_rng_seed(&r, 21);
    deft_model *m = paper_model(&r, a, recurrent);
    m->contract.name = "";
    CHECK_OK(deft_model_set_contract(m, "quaid", &err), err);
    for (int32_t k = 0; recurrent && k < 3; k++) // louder states than at the start
        for (int32_t i = 0; i < 3 * 64 * 64; i++) m->layer[k].weight_h[i] *= 2;
    for (int32_t k = 0; recurrent && k < 3; k++)
        for (int32_t i = 0; i < 3 * 64 * m->layer[k].n_in; i++) m->layer[k].weight[i] *= 4;
    return m;
}

static void test_silence(void)
{
    found f = {.a = deft_arena_create(0)};
    for (int recurrent = 0; recurrent < 2; recurrent++) {
        lint(&f, sound(f.a, recurrent), NULL);
        expect_only(&f, NULL);
    }
    deft_arena_destroy(f.a);
}

static void uniform(deft_rng *r, float *w, int32_t n, double bound)
{
    for (int32_t i = 0; i < n; i++) w[i] = (float)deft_rng_uniform(r, -bound, bound);
}

static void test_untrained(void)
{
    found f = {.a = deft_arena_create(0)};
    deft_rng r;
    deft_rng_seed(&r, 2);
    deft_model *m = sound(f.a, true);
    for (int32_t k = 0; k < 3; k++) {
        uniform(&r, m->layer[k].weight, 3 * 64 * m->layer[k].n_in, 0.125);
        uniform(&r, m->layer[k].weight_h, 3 * 64 * 64, 0.125);
    }
    lint(&f, m, NULL);
    expect(&f, "untrained-encoder", "3 of 3 recurrent layers");
    expect(&f, "untrained-encoder", "1/sqrt(64) = 0.125");
    expect(&f, "quiet-state", "rms"); // which is what such encoders are

    // inside the same bound, but pushed to its edges
    for (int32_t k = 0; k < 3; k++)
        for (int32_t i = 0; i < 3 * 64 * 64; i++)
            m->layer[k].weight_h[i] = 0.125f * sinf(12.5f * m->layer[k].weight_h[i]);
    lint(&f, m, NULL);
    CHECK(!text_of(&f, "untrained-encoder"), "a distribution that is not uniform");

    uniform(&r, m->layer[4].weight, 256 * 256, 1.0 / 16);
    uniform(&r, m->layer[4].bias, 256, 1.0 / 16);
    lint(&f, m, NULL);
    expect(&f, "untrained-layer", "layer 4");
    m->layer[4].weight[77] = 0.0626f; // one step of training further
    lint(&f, m, NULL);
    CHECK(!text_of(&f, "untrained-layer"), "beyond the bound");
    deft_arena_destroy(f.a);
}

static void test_wiring(void)
{
    found f = {.a = deft_arena_create(0)};
    deft_error err = {0};
    deft_model *m = sound(f.a, true);
    m->layer[2].in[0].kind = m->layer[1].in[0].kind = DEFT_SRC_STATE;
    lint(&f, m, NULL);
    expect_only(&f, "delayed-wiring");
    expect(&f, "delayed-wiring", "2 layers, first layer 1");
    CHECK(deft_model_rewire(m, &err) == 2, "%s", err.text);
    lint(&f, m, NULL);
    expect_only(&f, NULL);
    deft_arena_destroy(f.a);
}

static void test_dead(void)
{
    found f = {.a = deft_arena_create(0)};
    deft_model *m = sound(f.a, false);
    for (int32_t i = 0; i < 17; i++) m->layer[0].weight[5 * 17 + i] = 0;   // constant
    m->layer[0].bias[6] = -1000;                                           // never positive
    for (int32_t o = 0; o < 256; o++) m->layer[1].weight[o * 256 + 7] = 0; // not read
    for (int32_t o = 0; o < 256; o++) m->layer[0].weight[o * 17 + 3] = 0;
    for (int32_t i = 0; i < 256; i++) m->layer[2].weight[2 * 256 + i] = 0;
    lint(&f, m, NULL);
    expect(&f, "dead-outputs", "3 of 256 outputs of layer 0");
    expect(&f, "dead-outputs", "2 are constant");
    expect(&f, "dead-outputs", "1 have no weight");
    expect(&f, "unused-inputs", "1 of 17 observations");
    expect(&f, "unused-inputs", "observation 3 'current_total'");
    expect(&f, "constant-action", "action 2 'knee_back_right'");

    m = sound(f.a, true);
    m->layer[3].in[2].index = 1; // the head reads the middle of the encoder
    lint(&f, m, NULL);
    expect_only(&f, "state-not-read");
    expect(&f, "state-not-read", "layer 2 (gru)");

    m = sound(f.a, false);
    for (int32_t i = 0; i < 100; i++) m->layer[1].bias[i] = -50;
    lint(&f, m, NULL);
    expect(&f, "dormant-units", "100 of 256 units of layer 1");
    deft_arena_destroy(f.a);
}

static void test_scales(void)
{
    found f = {.a = deft_arena_create(0)};
    deft_model *m = sound(f.a, false);
    for (int32_t o = 0; o < 256; o++) m->layer[0].weight[o * 17 + 4] *= 1000;
    lint(&f, m, NULL);
    expect(&f, "unscaled-inputs", "observation 4 'yaw'");
    m = sound(f.a, false);
    m->contract.obs_scale[11] = 31622;
    lint(&f, m, NULL);
    expect_only(&f, "unscaled-inputs");
    expect(&f, "unscaled-inputs", "1 of 17 observations");
    deft_arena_destroy(f.a);
}

static void test_saturation(void)
{
    found f = {.a = deft_arena_create(0)};
    deft_model *m = sound(f.a, true);
    m->layer[1].bias = DEFT_NEW_ARRAY(f.a, float, 3 * 64);
    for (int32_t i = 0; i < 32; i++) m->layer[1].bias[64 + i] = 30;
    lint(&f, m, NULL);
    expect(&f, "saturated-gates", "32 of 128 gates of layer 1");
    m = sound(f.a, false);
    for (int32_t i = 0; i < 8; i++) m->layer[2].bias[i] = i % 2 ? 20 : -20;
    lint(&f, m, NULL);
    expect_only(&f, "saturated-actions");
    expect(&f, "saturated-actions", "100 %");
    m = sound(f.a, false);
    for (int32_t i = 0; i < 256 * 256; i++) m->layer[1].weight[i] = 1e38f;
    lint(&f, m, NULL);
    expect(&f, "unstable", "step 0");
    deft_arena_destroy(f.a);
}

static void test_weights(void)
{
    found f = {.a = deft_arena_create(0)};
    deft_model *m = sound(f.a, false);
    m->layer[1].weight[3 * 256] = 1e4f;
    lint(&f, m, NULL);
    expect(&f, "huge-weights", "layer 1");
    m = sound(f.a, false);
    for (int32_t i = 0; i < 256; i++) m->layer[1].weight[9 * 256 + i] *= 40;
    lint(&f, m, NULL);
    expect(&f, "uneven-channels", "layer 1");
    m = sound(f.a, true);
    memcpy(m->layer[2].weight, m->layer[1].weight, sizeof(float) * 3 * 64 * 64);
    memcpy(m->layer[2].weight_h, m->layer[1].weight_h, sizeof(float) * 3 * 64 * 64);
    lint(&f, m, NULL);
    expect_only(&f, "duplicate-layers");
    expect(&f, "duplicate-layers", "layer 2 (gru) has exactly the weights of layer 1 (gru)");
    deft_arena_destroy(f.a);
}

static void test_outliers(void)
{
    found f = {.a = deft_arena_create(0)};
    deft_rng r;
    deft_rng_seed(&r, 6);
    deft_model *m = sound(f.a, false);
    // a wider layer: the ratio is at most the root of its inputs
    m->layer[1].n_out = m->layer[2].n_in = m->layer[2].in[0].length = 1024;
    m->layer[1].weight = random_floats(&r, f.a, 1024 * 256, 0.05f);
    m->layer[1].bias = random_floats(&r, f.a, 1024, 0.05f);
    m->layer[2].weight = random_floats(&r, f.a, 8 * 1024, 0.02f);
    lint(&f, m, NULL);
    expect_only(&f, NULL);
    m->layer[2].weight[3 * 1024 + 5] = 0.6f;
    lint(&f, m, NULL);
    expect(&f, "weight-outliers", "1 of 8 output channels of layer 2 (dense)");
    deft_arena_destroy(f.a);
}

static void test_contract(void)
{
    found f = {.a = deft_arena_create(0)};
    small_policy p;
    small_recurrent(&p, f.a);
    lint(&f, &p.model, &p.graph.g);
    expect(&f, "no-names", "3 of 3 observations and 2 of 2 actions");
    expect(&f, "unknown-period", "period");
    p.layer[1].activation.kind = DEFT_ACT_NONE;
    lint(&f, &p.model, NULL);
    expect(&f, "no-action-limits", "2 of 2 actions");
    p.model.contract.act_lo = (float[]){-1, -1};
    p.model.contract.act_hi = (float[]){1, INFINITY};
    lint(&f, &p.model, NULL);
    expect(&f, "no-action-limits", "1 of 2 actions");
    p.model.contract.obs_name = (const char *[]){"yaw", "last_action[0]", "last_action[1]"};
    lint(&f, &p.model, NULL);
    expect(&f, "previous-action", "2 of 3 observations");
    p.model.n_layer = 0;
    const deft_warning *w;
    CHECK(deft_model_lint(&p.model, NULL, f.a, &w) == DEFT_E_FORMAT, "no policy at all");
    deft_arena_destroy(f.a);
}

static void test_graph(void)
{
    found f = {.a = deft_arena_create(0)};
    small_policy p;
    small_recurrent(&p, f.a);
    small_graph *s = &p.graph;
    lint(&f, &p.model, &s->g);
    CHECK(!text_of(&f, "dead-outputs") && !text_of(&f, "unusual-dtypes") &&
              !text_of(&f, "stochastic-head"),
          "nothing odd in the graph");
    small_output(s, 0); // the observation is no action
    s->value[0].name = "ob\ns";
    const float w[4 * SMALL_H] = {0};
    (void)small_floats(s, "both.weight", 2, (int64_t[]){2 * SMALL_ACT, SMALL_H}, w);
    deft_tensor *t = DEFT_NEW(f.a, deft_tensor);
    CHECK(deft_tensor_init(t, DEFT_F64, 1, (int64_t[]){2}, f.a) == DEFT_OK, "tensor");
    s->value[small_value(s, "double")].constant = t;
    p.port[0].kind = DEFT_PORT_UNUSED;
    lint(&f, &p.model, &s->g);
    expect(&f, "dead-outputs", "output 'ob\\ns' of the graph");
    expect(&f, "unused-inputs", "input 'ob\\ns' of the graph");
    expect(&f, "unusual-dtypes", "1 constants are not float32 (the first is float64)");
    expect(&f, "stochastic-head", "'both.weight'");
    deft_arena_destroy(f.a);
}

/* Whatever a valid policy looks like, lint says something printable about it. */
static void test_random(void)
{
    deft_rng r;
    deft_rng_seed(&r, 9);
    for (int i = 0; i < 60; i++) {
        found f = {.a = deft_arena_create(0)};
        deft_error err = {0};
        deft_model *m = random_model(&r, f.a, 8, 24);
        CHECK_OK(deft_model_check(m, &err), err);
        CHECK(deft_model_lint(m, NULL, f.a, &f.w) >= 0, "lint");
        deft_arena_destroy(f.a);
    }
}

int main(void)
{
    test_random();
    test_silence();
    test_untrained();
    test_wiring();
    test_dead();
    test_scales();
    test_saturation();
    test_weights();
    test_outliers();
    test_contract();
    test_graph();
    return check_report();
}
