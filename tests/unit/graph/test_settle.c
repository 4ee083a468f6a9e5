/* test_settle.c - what deft_graph_settle finds out of a graph's ports, and what it leaves alone. */
#include "small_graph.h"

static const float weight[36] = {0.5f, -1,    0.25f,  1,     2,     -0.5f, 0.75f, -0.25f, 1,
                                 0.5f, -2,    0.125f, 1.5f,  -1,    0.5f,  2,     -1.5f,  0.25f,
                                 1.1f, -0.3f, 0.7f,   -0.9f, 0.2f,  1.3f,  -0.6f, 0.4f,   -1.2f,
                                 0.8f, 0.1f,  -0.7f,  0.9f,  -0.1f, 0.6f,  -0.4f, 1.4f,   0.3f};

typedef struct fixture {
    deft_arena *a;
    small_graph s;
    deft_error err;
} fixture;

static void start(fixture *f)
{
    *f = (fixture){.a = deft_arena_create(0)};
    small_init(&f->s, f->a);
}

static deft_status settle(fixture *f)
{
    CHECK_OK(deft_graph_finish(&f->s.g, &f->err), f->err);
    return deft_graph_settle(&f->s.g, &f->err);
}

static int32_t node2(fixture *f, const char *op, const char *name, int32_t x, int32_t y)
{
    return small_node(&f->s, op, name, 2, (int32_t[]){x, y});
}

static int32_t matrix(fixture *f, int64_t rows, int64_t cols)
{
    return small_floats(&f->s, "w", 2, (int64_t[]){rows, cols}, weight);
}

static bool notes(const fixture *f, const char *words)
{
    for (int32_t i = 0; i < f->s.g.n_note; i++)
        if (strstr(f->s.g.note[i], words)) return true;
    return false;
}

/* --- sizes ----------------------------------------------------------------------------------- */

static void test_open_size(void)
{
    fixture f;
    start(&f);
    const int32_t x = small_input(&f.s, "obs", 2, (int64_t[]){-1, -1});
    // a normaliser alone would run with one observation too
    const int32_t n =
        node2(&f, "Sub", "n", x, small_floats(&f.s, "mean", 1, (int64_t[]){4}, weight));
    small_output(&f.s, node2(&f, "MatMul", "action", n, matrix(&f, 4, 2)));
    CHECK_OK(settle(&f), f.err);
    CHECK(f.s.g.input[0].dim[1] == 4, "%lld observations", (long long)f.s.g.input[0].dim[1]);
    deft_arena_destroy(f.a);

    start(&f); // a shape that is missing
    const int32_t y = small_input(&f.s, "obs", -1, NULL);
    small_output(&f.s, node2(&f, "MatMul", "action", y, matrix(&f, 5, 3)));
    CHECK_OK(settle(&f), f.err);
    CHECK(f.s.g.input[0].rank == 2 && f.s.g.input[0].dim[1] == 5, "a shape");
    deft_arena_destroy(f.a);
}

static void test_ambiguous_size(void)
{
    fixture f;
    start(&f);
    const int32_t x = small_input(&f.s, "obs", 2, (int64_t[]){1, -1});
    const int32_t s = small_node(&f.s, "Tanh", "t", 1, (int32_t[]){x});
    const int32_t p = small_floats(&f.s, "p", 2, (int64_t[]){3, 6}, weight);
    small_output(&f.s, node2(&f, "Concat", "action", s, s));
    small_attr(&f.s, (deft_attr){.name = "axis", .kind = DEFT_ATTR_INT, .i = 1});
    small_output(&f.s, small_node(&f.s, "Tanh", "other", 1, (int32_t[]){p}));
    CHECK(settle(&f) == DEFT_E_UNSUPPORTED && strstr(f.err.text, "'obs'") &&
              strstr(f.err.text, "3, 6"),
          "%s", f.err.text);
    deft_arena_destroy(f.a);
}

/* --- batches --------------------------------------------------------------------------------- */

static void test_rows(void)
{
    fixture f;
    start(&f); // rows that are one network
    int32_t x = small_input(&f.s, "obs", 2, (int64_t[]){6, 4});
    small_output(&f.s, node2(&f, "MatMul", "action", x, matrix(&f, 4, 2)));
    CHECK_OK(settle(&f), f.err);
    CHECK(f.s.g.input[0].dim[0] == 1 && notes(&f, "a batch of 6"), "folded");
    deft_arena_destroy(f.a);

    start(&f); // every row has an offset of its own: no batch
    x = small_input(&f.s, "obs", 2, (int64_t[]){6, 4});
    const int32_t y = node2(&f, "MatMul", "y", x, matrix(&f, 4, 2));
    small_output(&f.s, node2(&f, "Add", "action", y, matrix(&f, 6, 2)));
    CHECK_OK(settle(&f), f.err);
    CHECK(f.s.g.input[0].dim[0] == 6 && f.s.g.n_note == 0, "left alone");
    deft_arena_destroy(f.a);

    start(&f); // rows that meet: no batch
    x = small_input(&f.s, "legs", 2, (int64_t[]){4, 3});
    small_output(&f.s, node2(&f, "MatMul", "action", matrix(&f, 4, 4), x));
    CHECK_OK(settle(&f), f.err);
    CHECK(f.s.g.input[0].dim[0] == 4 && f.s.g.n_note == 0, "left alone");
    deft_arena_destroy(f.a);
}

/* Rows that are one network in a graph that works for this batch alone. */
static void test_rows_that_cannot_be_folded(void)
{
    fixture f;
    start(&f);
    const int32_t x = small_input(&f.s, "obs", 2, (int64_t[]){6, 4});
    const int32_t t = small_ints(&f.s, "shape", 3, (int64_t[]){3, 2, 4});
    const int32_t back = small_ints(&f.s, "back", 2, (int64_t[]){6, 2});
    const int32_t y = node2(&f, "MatMul", "y", node2(&f, "Reshape", "r", x, t), matrix(&f, 4, 2));
    small_output(&f.s, node2(&f, "Reshape", "action", y, back));
    CHECK(settle(&f) == DEFT_E_UNSUPPORTED && strstr(f.err.text, "with a batch of 1"), "%s",
          f.err.text);
    deft_arena_destroy(f.a);
}

/* --- resets ---------------------------------------------------------------------------------- */

/* h' = tanh(x + U (h keep)), action = h'; keep is `flag` or 1 - flag. */
static void elman(fixture *f, const char *flag, bool inverted)
{
    start(f);
    const int32_t x = small_input(&f->s, "obs", 2, (int64_t[]){1, 4});
    const int32_t h = small_input(&f->s, "h", 2, (int64_t[]){1, 4});
    int32_t keep = small_input(&f->s, flag, 1, (int64_t[]){1});
    const float one = 1;
    if (inverted) keep = node2(f, "Sub", "keep", small_floats(&f->s, "one", 0, NULL, &one), keep);
    const int32_t u = node2(f, "MatMul", "u", node2(f, "Mul", "kept", h, keep), matrix(f, 4, 4));
    const int32_t y =
        small_node(&f->s, "Tanh", "h_out", 1, (int32_t[]){node2(f, "Add", "z", x, u)});
    small_output(&f->s, node2(f, "MatMul", "action", y, matrix(f, 4, 2)));
    small_output(&f->s, y);
}

static void test_resets(void)
{
    fixture f;
    for (int inverted = 0; inverted < 2; inverted++) {
        elman(&f, inverted ? "done" : "masks", inverted);
        CHECK_OK(settle(&f), f.err);
        CHECK(f.s.g.n_input == 2 && notes(&f, inverted ? "with 1" : "with 0"), "%d inputs",
              (int)f.s.g.n_input);
        deft_arena_destroy(f.a);
    }
}

/* A flag that the network also sees is an observation. */
static void test_flag_that_is_seen(void)
{
    fixture f;
    elman(&f, "done", true);
    const int32_t flag = f.s.g.input[2].value;
    f.s.g.n_output = 0;
    const int32_t y = f.s.g.node[f.s.g.n_node - 1].out[0];
    small_output(&f.s, node2(&f, "Add", "seen", y, flag));
    small_output(&f.s, f.s.g.node[f.s.g.n_node - 3].out[0]);
    CHECK_OK(settle(&f), f.err);
    CHECK(f.s.g.n_input == 3 && f.s.g.n_note == 0, "left alone");
    deft_arena_destroy(f.a);
}

/* --- two graphs ------------------------------------------------------------------------------ */

static void one_product(fixture *f, const char *input, int64_t n_in, const char *output, int64_t n)
{
    start(f);
    const int32_t x = small_input(&f->s, input, 2, (int64_t[]){1, n_in});
    small_output(&f->s, node2(f, "MatMul", output, x, matrix(f, n_in, n)));
    f->s.output[0].rank = 2;
    f->s.output[0].dim[0] = 1;
    f->s.output[0].dim[1] = n;
    CHECK_OK(deft_graph_finish(&f->s.g, &f->err), f->err);
}

/* action of the joined graph for observations 1, 2, 3, ... */
static double first_action(const deft_graph *g, deft_arena *a, int64_t *n_obs)
{
    deft_graph_eval *e = NULL;
    deft_error err = {DEFT_OK, ""};
    deft_tensor in[4];
    const deft_tensor *out[4];
    float v = 0;
    *n_obs = 0;
    for (int32_t i = 0; i < g->n_input; i++) {
        CHECK_OK(deft_tensor_init(&in[i], DEFT_F32, 2, g->input[i].dim, a), err);
        for (int64_t k = 0; k < in[i].count; k++) ((float *)in[i].data)[k] = ++v;
        *n_obs += in[i].count;
    }
    CHECK_OK(deft_graph_eval_create(g, &e, &err), err);
    CHECK_OK(deft_graph_eval_run(e, in, out, &err), err);
    const double y = (double)((const float *)out[0]->data)[0];
    deft_graph_eval_destroy(e);
    return y;
}

static void test_join(void)
{
    fixture enc, pol;
    deft_graph *g = NULL;
    deft_error err = {DEFT_OK, ""};
    one_product(&enc, "history", 2, "latent", 2);
    one_product(&pol, "obs", 3, "action", 1);
    CHECK(deft_graph_join(&enc.s.g, &pol.s.g, NULL, &g, &err) == DEFT_E_UNSUPPORTED &&
              strstr(err.text, "--encoder-output"),
          "%s", err.text);
    // latent = (1, 2) W with W = [[0.5, -1], [0.25, 1]] = (1, 1); the rest is 3
    static const double want[2] = {1 * 0.5 + 1 * -1 + 3 * 0.25, 3 * 0.5 + 1 * -1 + 1 * 0.25};
    for (int last = 0; last < 2; last++) {
        int64_t n_obs = 0;
        CHECK_OK(deft_graph_join(&enc.s.g, &pol.s.g, last ? "last" : "first", &g, &err), err);
        const double y = g ? first_action(g, pol.a, &n_obs) : 0;
        CHECK(n_obs == 3 && y > want[last] - 1e-6 && y < want[last] + 1e-6, "%g, not %g", y,
              want[last]);
    }
    deft_arena_destroy(enc.a);
    one_product(&enc, "history", 2, "obs", 3);
    int64_t n_obs = 0;
    CHECK_OK(deft_graph_join(&enc.s.g, &pol.s.g, NULL, &g, &err), err);
    if (g) (void)first_action(g, pol.a, &n_obs);
    CHECK(n_obs == 2, "%lld observations", (long long)n_obs);
    deft_arena_destroy(enc.a);
    one_product(&enc, "history", 2, "latent", 5);
    CHECK(deft_graph_join(&enc.s.g, &pol.s.g, NULL, &g, &err) == DEFT_E_UNSUPPORTED &&
              strstr(err.text, "cannot be told"),
          "%s", err.text);
    deft_arena_destroy(enc.a);
    deft_arena_destroy(pol.a);
}

int main(void)
{
    test_join();
    test_open_size();
    test_ambiguous_size();
    test_rows();
    test_rows_that_cannot_be_folded();
    test_resets();
    test_flag_that_is_seen();
    return check_report();
}
