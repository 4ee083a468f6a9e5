/* What operators may cost: charged before they run, in proportion to the file. */
#include "small_graph.h"

static deft_graph *squares(small_graph *s, deft_arena *a, uint64_t size)
{
    const int64_t side[2] = {400, 400}, dim[2] = {1, 4};
    small_init(s, a);
    s->g.size = size;
    const int32_t obs = small_input(s, "obs", 2, dim);
    const int32_t shape = small_ints(s, "side", 2, side);
    int32_t x = small_node(s, "ConstantOfShape", "n1", 1, &shape);
    static const char *const product[4] = {"p0", "p1", "p2", "p3"};
    for (int k = 0; k < 4; k++) x = small_node(s, "MatMul", product[k], 2, (const int32_t[]){x, x});
    const int32_t top = small_node(s, "ReduceMax", "n3", 1, &x);
    small_output(s, small_node(s, "Add", "n4", 2, (const int32_t[]){obs, top}));
    deft_error err;
    CHECK_OK(deft_graph_finish(&s->g, &err), err);
    return &s->g;
}

/* 4 products of 400^3, 2.6e8 operations: too many for a kilobyte, not for some megabytes, and no
 * matter where nobody says what they come from. */
static void test_constants(deft_arena *a)
{
    static const struct {
        uint64_t size;
        deft_status want;
    } cases[] = {{1000, DEFT_E_RANGE}, {4000000, DEFT_OK}, {0, DEFT_OK}};
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        small_graph s;
        deft_graph_eval *e = NULL;
        deft_error err = {0};
        const deft_graph *g = squares(&s, a, cases[k].size);
        CHECK(deft_graph_eval_create(g, &e, &err) == cases[k].want, "size %d: '%s'",
              (int)cases[k].size, err.text);
        CHECK(cases[k].want == DEFT_OK || (strstr(err.text, "'MatMul'") &&
                                           strstr(err.text, "takes more operations than a file")),
              "'%s'", err.text);
        deft_graph_eval_destroy(e);
    }
}

/* One operator with exactly enough and with one less; what is refused takes all that is left. */
static void test_charge(deft_arena *a)
{
    const int32_t in[2] = {0, 1}, out = 2;
    const deft_node n = {.name = "", .op = "MatMul", .n_in = 2, .n_out = 1, .in = in, .out = &out};
    deft_tensor x, y;
    CHECK(deft_tensor_init(&x, DEFT_F32, 2, (const int64_t[]){3, 5}, a) == DEFT_OK, "x");
    CHECK(deft_tensor_init(&y, DEFT_F32, 2, (const int64_t[]){5, 7}, a) == DEFT_OK, "y");
    const deft_tensor *const operand[2] = {&x, &y};
    const int64_t needed = 64 + 3 * 5 * 7 + 8 * 3 * 7;
    for (int64_t less = 0; less < 2; less++) {
        int64_t work = needed - less;
        const deft_op_env env = {17, a, &work};
        deft_tensor z = {0};
        deft_error err = {0};
        const deft_status s = deft_op_run(&n, &env, operand, &z, &err);
        CHECK(s == (less ? DEFT_E_RANGE : DEFT_OK) && work == 0, "%d, %lld left", (int)s,
              (long long)work);
    }
}

/* A step has a budget of its own: each run may take it again. */
static void test_step(deft_arena *a)
{
    const int64_t dim[2] = {1, 4}, wide[2] = {240, 240};
    for (int too_much = 0; too_much < 2; too_much++) {
        small_graph s;
        small_init(&s, a);
        s.g.size = 1000;
        const int32_t obs = small_input(&s, "obs", 2, dim);
        const int32_t shape = small_ints(&s, "wide", 2, wide);
        const int32_t top = small_node(&s, "ReduceMax", "n5", 1, &obs);
        int32_t x = small_node(&s, "Expand", "n6", 2, (const int32_t[]){top, shape});
        if (too_much) x = small_node(&s, "Tanh", "n7", 1, &x);
        small_output(&s, small_node(&s, "ReduceMax", "n8", 1, &x));
        deft_error err = {0};
        CHECK_OK(deft_graph_finish(&s.g, &err), err);
        deft_graph_eval *e = NULL;
        CHECK_OK(deft_graph_eval_create(&s.g, &e, &err), err);
        deft_tensor in;
        const deft_tensor *out = NULL;
        CHECK(deft_tensor_init(&in, DEFT_F32, 2, dim, a) == DEFT_OK, "in");
        for (int k = 0; e && k < 3; k++) {
            CHECK(deft_graph_eval_run(e, &in, &out, &err) == (too_much ? DEFT_E_RANGE : DEFT_OK),
                  "'%s'", err.text);
        }
        deft_graph_eval_destroy(e);
    }
}

int main(void)
{
    deft_arena *a = deft_arena_create(0);
    test_constants(a);
    test_charge(a);
    test_step(a);
    deft_arena_destroy(a);
    return check_report();
}
