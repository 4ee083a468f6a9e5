/* test_understand.c - graphs by hand: what is refused, with which words, and what options change.
 * What exporters write is in tests/unit/formats/test_policies.c. */
#include "small_graph.h"

#include <time.h>

typedef struct fixture {
    deft_arena *a;
    small_graph s;
    deft_error err;
    deft_model *m;
    int32_t obs;
} fixture;

static const float weight[16] = {0.5f, -1,   0.25f, 1,      2,    -0.5f, 0.75f, -0.25f,
                                 1,    0.5f, -2,    0.125f, 1.5f, -1,    0.5f,  2};

static void start(fixture *f)
{
    *f = (fixture){.a = deft_arena_create(0)};
    small_init(&f->s, f->a);
    f->obs = small_input(&f->s, "obs", 2, (int64_t[]){1, 4});
}

static int32_t node1(fixture *f, const char *op, const char *name, int32_t x)
{
    return small_node(&f->s, op, name, 1, (int32_t[]){x});
}

static int32_t node2(fixture *f, const char *op, const char *name, int32_t x, int32_t y)
{
    return small_node(&f->s, op, name, 2, (int32_t[]){x, y});
}

static int32_t scalar(fixture *f, const char *name, float v)
{
    return small_floats(&f->s, name, 0, NULL, &v);
}

/* W x, 4 to n */
static int32_t dense(fixture *f, const char *name, int32_t x, int64_t n)
{
    return node2(f, "MatMul", name, x, small_floats(&f->s, "", 2, (int64_t[]){4, n}, weight));
}

static deft_status finish(fixture *f, const deft_understand_options *opt)
{
    const deft_understand_options none = {0};
    CHECK_OK(deft_graph_finish(&f->s.g, &f->err), f->err);
    return deft_understand(&f->s.g, opt ? opt : &none, &f->m, &f->err);
}

static void end(fixture *f)
{
    deft_arena_destroy(f->a);
}

/* Refused with this status, in words that say where and why. */
static void refused(fixture *f, const deft_understand_options *opt, deft_status want,
                    const char *words)
{
    const deft_status s = finish(f, opt);
    CHECK(s == want && !f->m, "%d: %s", (int)s, f->err.text);
    CHECK(strstr(f->err.text, words) != NULL, "'%s' is not in '%s'", words, f->err.text);
    end(f);
}

static void understood(fixture *f, const deft_understand_options *opt)
{
    CHECK(finish(f, opt) == DEFT_OK && f->m, "%s", f->err.text);
    if (f->m) CHECK_OK(deft_verify(&f->s.g, f->m, 50, 1e-5f, 3, NULL, &f->err), f->err);
}

static bool assumes(const deft_model *m, const char *words)
{
    for (int32_t i = 0; i < m->n_assumption; i++)
        if (strstr(m->assumption[i], words)) return true;
    return false;
}

/* --- which output ---------------------------------------------------------------------------- */

static void three_outputs(fixture *f, const char *const name[3])
{
    start(f);
    for (int i = 0; i < 3; i++) small_output(&f->s, dense(f, name[i], f->obs, i + 1));
}

static void test_action_output(void)
{
    fixture f;
    const char *const plain[3] = {"a", "b", "c"}, *const named[3] = {"value", "Actions", "c"};
    three_outputs(&f, plain);
    refused(&f, NULL, DEFT_E_UNSUPPORTED,
            "'a' (1), 'b' (2), 'c' (3); say which one, for instance --action-output c");
    three_outputs(&f, named);
    understood(&f, NULL);
    CHECK(f.m && f.m->n_output == 2 && assumes(f.m, "'Actions' is the action"), "by name");
    end(&f);
    const deft_understand_options c = {.action_output = "c"}, d = {.action_output = "d\n"};
    three_outputs(&f, named);
    understood(&f, &c);
    CHECK(f.m && f.m->n_output == 3 && f.m->n_assumption == 0, "as told");
    end(&f);
    three_outputs(&f, named);
    refused(&f, &d, DEFT_E_ARG, "no output 'd\\n'");
}

static void test_constant_outputs(void)
{
    fixture f;
    start(&f);
    small_output(&f.s, node1(&f, "Exp", "std", scalar(&f, "log_std", -1)));
    refused(&f, NULL, DEFT_E_UNSUPPORTED, "constants or state");
    start(&f);
    const int32_t one = small_floats(&f.s, "one", 2, (int64_t[]){1, 1}, weight);
    const int32_t both = node2(&f, "Concat", "action", dense(&f, "y", f.obs, 2), one);
    small_attr(&f.s, (deft_attr){.name = "axis", .kind = DEFT_ATTR_INT, .i = 1});
    small_output(&f.s, both);
    understood(&f, NULL);
    CHECK(f.m && f.m->n_output == 3, "a locked joint");
    end(&f);
    start(&f);
    small_output(&f.s, node2(&f, "Mul", "action", dense(&f, "y", f.obs, 2), scalar(&f, "zero", 0)));
    refused(&f, NULL, DEFT_E_UNSUPPORTED, "every action is constant");
}

static void test_discrete(void)
{
    fixture f;
    const deft_understand_options discrete = {.discrete = true};
    for (int told = 0; told < 2; told++) {
        start(&f);
        const int32_t p = node1(&f, "Softmax", "probabilities", dense(&f, "logits", f.obs, 3));
        small_attr(&f.s, (deft_attr){.name = "axis", .kind = DEFT_ATTR_INT, .i = -1});
        small_output(&f.s, p);
        if (!told) {
            refused(&f, NULL, DEFT_E_UNSUPPORTED, "action is discrete");
            continue;
        }
        understood(&f, &discrete);
        CHECK(f.m && f.m->contract.discrete && f.m->n_output == 3 && f.m->n_layer == 1 &&
                  f.m->layer[0].kind == DEFT_LAYER_DENSE,
              "logits, then argmax");
        end(&f);
    }
}

/* --- what no action depends on --------------------------------------------------------------- */

static void test_dropped(void)
{
    fixture f;
    start(&f);
    small_output(&f.s, dense(&f, "action", f.obs, 2));
    small_output(&f.s, node1(&f, "Sin", "embedding", f.obs));
    understood(&f, NULL);
    CHECK(f.m && f.m->n_layer == 1, "the rest is dropped");
    end(&f);
    start(&f);
    small_output(&f.s, dense(&f, "action", node1(&f, "Sin", "embedding", f.obs), 2));
    refused(&f, NULL, DEFT_E_UNSUPPORTED, "node 0 'Sin' (embedding): no layer");
    start(&f);
    const int32_t q =
        small_node(&f.s, "QuantizeLinear", "q", 2, (int32_t[]){f.obs, scalar(&f, "scale", 0.1f)});
    small_output(&f.s, small_node(&f.s, "DequantizeLinear", "action", 2,
                                  (int32_t[]){q, scalar(&f, "again", 0.1f)}));
    refused(&f, NULL, DEFT_E_UNSUPPORTED, "node 0 'QuantizeLinear' (q): integer");
}

static void test_raw_pieces(void)
{
    fixture f;
    static const struct {
        const char *op, *words;
    } unary[] = {{"Exp", "exponential"}, {"Log", "logarithm"}, {"Abs", NULL}, {"Erf", "error"}};
    for (size_t i = 0; i < sizeof unary / sizeof unary[0]; i++) {
        start(&f);
        small_output(&f.s, node1(&f, unary[i].op, "action", dense(&f, "y", f.obs, 2)));
        if (unary[i].words) {
            refused(&f, NULL, DEFT_E_UNSUPPORTED, unary[i].words);
            continue;
        }
        understood(&f, NULL); // |x| is a leaky ReLU with slope -1
        end(&f);
    }
    start(&f);
    const int32_t y = dense(&f, "y", f.obs, 2), z = dense(&f, "z", f.obs, 1);
    small_output(&f.s, node2(&f, "Div", "action", y, z));
    refused(&f, NULL, DEFT_E_UNSUPPORTED, "node 2 'Div' (action): divides");
    start(&f);
    const int32_t x = small_node(&f.s, "Transpose", "x", 1, (int32_t[]){f.obs});
    small_output(&f.s, node2(&f, "MatMul", "action", x, f.obs));
    refused(&f, NULL, DEFT_E_UNSUPPORTED, "two computed matrices");
}

/* --- normalisers ----------------------------------------------------------------------------- */

static void test_contract(void)
{
    fixture f;
    start(&f);
    const int32_t mean = small_floats(&f.s, "mean", 1, (int64_t[]){4}, weight);
    const int32_t centred = node2(&f, "Sub", "centred", f.obs, mean);
    const int32_t x = node2(&f, "Div", "x", centred, scalar(&f, "std", 2));
    small_output(&f.s, dense(&f, "action", x, 2));
    understood(&f, NULL);
    CHECK(f.m && f.m->n_layer == 1 && f.m->contract.obs_offset && f.m->contract.obs_scale &&
              f.m->contract.obs_offset[2] == weight[2] && f.m->contract.obs_scale[2] == 0.5f,
          "the normaliser is in the contract");
    end(&f);
    start(&f); // the raw observation is wanted too: the normaliser stays a layer
    const int32_t half = node2(&f, "Mul", "half", f.obs, scalar(&f, "scale", 0.5f));
    const int32_t sum = node2(&f, "Mul", "both", f.obs, half);
    small_output(&f.s, dense(&f, "action", sum, 2));
    understood(&f, NULL);
    CHECK(f.m && f.m->n_layer == 3 && !f.m->contract.obs_scale, "%d layers",
          f.m ? (int)f.m->n_layer : 0);
    end(&f);
    start(&f); // nothing but a contract
    small_output(&f.s, node2(&f, "Mul", "action", f.obs, scalar(&f, "scale", 3)));
    understood(&f, NULL);
    CHECK(f.m && f.m->n_layer == 1 && f.m->layer[0].kind == DEFT_LAYER_ACTIVATION, "one layer");
    end(&f);
}

/* --- recurrent ------------------------------------------------------------------------------- */

enum { H = 2 };

/* GRU of `steps` steps over x; h may be -1. */
static int32_t gru(fixture *f, const char *name, int32_t x, int32_t n_in, int32_t h)
{
    static const float w[3 * H * 4] = {0.1f, -0.2f, 0.3f, 0.4f,  -0.5f, 0.6f, 0.7f,  -0.8f,
                                       0.9f, 0.1f,  0.2f, -0.3f, 0.4f,  0.5f, -0.6f, 0.7f,
                                       0.8f, -0.9f, 0.1f, 0.2f,  0.3f,  0.4f, -0.5f, 0.6f};
    const int32_t wx = small_floats(&f->s, "w", 3, (int64_t[]){1, (int64_t)3 * H, n_in}, w);
    const int32_t wh = small_floats(&f->s, "r", 3, (int64_t[]){1, (int64_t)3 * H, H}, w + 5);
    const int32_t y = small_node(&f->s, "GRU", name, 6, (int32_t[]){x, wx, wh, -1, -1, h});
    small_attr(&f->s, (deft_attr){.name = "hidden_size", .kind = DEFT_ATTR_INT, .i = H});
    return y;
}

static int32_t reshape(fixture *f, const char *name, int32_t x, int64_t a, int64_t b, int64_t c)
{
    return node2(f, "Reshape", name, x, small_ints(&f->s, "", 3, (int64_t[]){a, b, c}));
}

static void test_native_refusals(void)
{
    fixture f;
    start(&f);
    const int32_t h = small_input(&f.s, "h_in", 3, (int64_t[]){1, 1, H});
    const int32_t two = reshape(&f, "x", f.obs, 2, 1, 2);
    small_output(&f.s, gru(&f, "action", two, 2, h));
    refused(&f, NULL, DEFT_E_UNSUPPORTED, "'GRU' (action): runs over several time steps");
    start(&f);
    small_output(&f.s, gru(&f, "action", reshape(&f, "x", f.obs, 1, 1, 4), 4, -1));
    refused(&f, NULL, DEFT_E_UNSUPPORTED, "remembers nothing");
    start(&f);
    const int32_t lost = small_input(&f.s, "h_in", 3, (int64_t[]){1, 1, H});
    small_output(&f.s, gru(&f, "action", reshape(&f, "x", f.obs, 1, 1, 4), 4, lost));
    refused(&f, NULL, DEFT_E_UNSUPPORTED, "carries its new state back");
}

/* Two layers, the second reads what the first was. */
static void delayed(fixture *f)
{
    start(f);
    const int32_t h0 = small_input(&f->s, "h0", 3, (int64_t[]){1, 1, H});
    const int32_t h1 = small_input(&f->s, "h1", 3, (int64_t[]){1, 1, H});
    const int32_t y0 = gru(f, "g0", reshape(f, "x", f->obs, 1, 1, 4), 4, h0);
    const int32_t y1 = gru(f, "g1", h0, H, h1);
    const int32_t n0 = reshape(f, "n0", y0, 1, 1, H), n1 = reshape(f, "n1", y1, 1, 1, H);
    small_output(&f->s, node1(f, "Tanh", "action", n1));
    small_output(&f->s, n0);
    small_output(&f->s, n1);
}

static void test_wiring(void)
{
    fixture f;
    const deft_understand_options rewire = {.rewire_cascade = true};
    delayed(&f);
    understood(&f, NULL);
    CHECK(f.m && deft_model_wiring(f.m) == DEFT_WIRING_DELAYED, "delayed");
    CHECK(f.m && f.m->n_layer == 3 && f.m->layer[0].n_in == 4, "in the order of the layers");
    CHECK(f.m && f.m->port[1].kind == DEFT_PORT_STATE && f.m->port[1].index == 1 &&
              f.m->port[2].kind == DEFT_PORT_STATE && f.m->port[2].index == 2,
          "each state has its output");
    end(&f);
    delayed(&f);
    CHECK(finish(&f, &rewire) == DEFT_OK, "%s", f.err.text);
    CHECK(f.m && deft_model_wiring(f.m) == DEFT_WIRING_CASCADE, "rewired");
    end(&f);
}

/* h' = relu(x + h): no cell of ours. Without names that say so it would be an observation. */
static void unknown_cell(fixture *f, const char *in, const char *out)
{
    start(f);
    const int32_t h = small_input(&f->s, in, 2, (int64_t[]){1, 4});
    const int32_t next = node1(f, "Relu", out, node2(f, "Add", "sum", f->obs, h));
    small_output(&f->s, dense(f, "action", next, 2));
    small_output(&f->s, next);
}

static void test_unknown_cell(void)
{
    fixture f;
    unknown_cell(&f, "h_in", "h_out");
    refused(&f, NULL, DEFT_E_UNSUPPORTED, "'h_out' seems to be the new state 'h_in'");
    unknown_cell(&f, "goal", "latent");
    understood(&f, NULL);
    CHECK(f.m && f.m->contract.n_obs == 8, "two observations");
    end(&f);
}

/* Observation and state of one size: the names tell. */
static void test_elman(void)
{
    fixture f;
    start(&f);
    const int32_t h = small_input(&f.s, "h", 2, (int64_t[]){1, 4});
    const int32_t sum = node2(&f, "Add", "sum", dense(&f, "wx", f.obs, 4), dense(&f, "uh", h, 4));
    const int32_t next = node1(&f, "Tanh", "h_new", sum);
    small_output(&f.s, dense(&f, "action", next, 2));
    small_output(&f.s, next);
    understood(&f, NULL);
    CHECK(f.m && f.m->layer[0].kind == DEFT_LAYER_GRU && f.m->contract.n_obs == 4 &&
              f.m->port[0].kind == DEFT_PORT_OBS && f.m->port[1].kind == DEFT_PORT_STATE,
          "h is the state");
    CHECK(f.m && assumes(f.m, "held by biases") && assumes(f.m, "'h_new' is the new value"),
          "both are said");
    end(&f);
}

/* --- hostile --------------------------------------------------------------------------------- */

static void test_doubling(void)
{
    fixture f;
    start(&f);
    int32_t x = f.obs;
    for (int i = 0; i < 28; i++) { // 4 * 2^28 elements
        x = node2(&f, "Concat", "more", x, x);
        small_attr(&f.s, (deft_attr){.name = "axis", .kind = DEFT_ATTR_INT, .i = 1});
    }
    small_output(&f.s, x);
    refused(&f, NULL, DEFT_E_RANGE, "too large for a policy");
}

/* Every level multiplies the number of paths by two or more. */
static void test_deep_expressions(void)
{
    static const char *const op[] = {"Mul", "Add", "Sub", "Max"};
    for (size_t kind = 0; kind < sizeof op / sizeof op[0]; kind++) {
        fixture f;
        start(&f);
        const clock_t before = clock();
        int32_t x = dense(&f, "y", f.obs, 4), e = f.obs;
        for (int i = 0; i < 28; i++) {
            const int32_t next = node2(&f, op[kind], "deep", x, i % 3 ? e : x);
            e = x;
            x = next;
        }
        small_output(&f.s, node1(&f, "Sigmoid", "action", x));
        const deft_status s = finish(&f, NULL);
        CHECK(s == DEFT_OK || s == DEFT_E_UNSUPPORTED, "%s: %s", op[kind], f.err.text);
        CHECK((double)(clock() - before) / CLOCKS_PER_SEC < 5, "%s takes too long", op[kind]);
        end(&f);
    }
}

static void test_odd_ports(void)
{
    fixture f;
    start(&f);
    f.s.input[0].rank = -1;
    small_output(&f.s, dense(&f, "action", f.obs, 2));
    refused(&f, NULL, DEFT_E_UNSUPPORTED, "without a declared shape");
    start(&f);
    f.s.input[0].dim[1] = INT64_MAX / 2;
    small_output(&f.s, node1(&f, "Tanh", "action", f.obs));
    refused(&f, NULL, DEFT_E_RANGE, "too large");
    start(&f);
    f.s.input[0].dim[0] = -1; // a dynamic batch is one robot
    small_output(&f.s, dense(&f, "action", f.obs, 2));
    understood(&f, NULL);
    end(&f);
}

int main(void)
{
    test_action_output();
    test_constant_outputs();
    test_discrete();
    test_dropped();
    test_raw_pieces();
    test_contract();
    test_native_refusals();
    test_wiring();
    test_unknown_cell();
    test_elman();
    test_doubling();
    test_deep_expressions();
    test_odd_ports();
    return check_report();
}
