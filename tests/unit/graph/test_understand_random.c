/* test_understand_random.c - graphs at random: whatever is understood runs as its graph does.
 *
 * Operators on rows [1][4], wired at random, with state fed back and outputs read anywhere. Most
 * such graphs are refused, with a reason; none may be misunderstood. */
#include "small_graph.h"

enum { GRAPHS = 6000, WIDTH = 4, MAX_ROWS = 40, STEPS = 12 };

typedef struct builder {
    small_graph s;
    deft_rng r;
    int32_t row[MAX_ROWS]; // values [1][WIDTH]
    int n_row;
} builder;

static void push(builder *b, int32_t value)
{
    b->row[b->n_row++] = value;
}

static int32_t any(builder *b)
{
    // mostly what came last, so that expressions grow deep
    const int32_t lo = random_int(&b->r, 0, 2) && b->n_row > 4 ? b->n_row - 4 : 0;
    return b->row[random_int(&b->r, lo, b->n_row - 1)];
}

static int32_t constant(builder *b)
{
    static const float round[] = {0, 1, -1, 0.5f, 2, 1.41421356f, 0.044715f};
    if (random_int(&b->r, 0, 2)) {
        const float v = round[random_int(&b->r, 0, 6)];
        return small_floats(&b->s, "", 0, NULL, &v);
    }
    const int64_t n = WIDTH;
    return small_floats(&b->s, "", 1, &n, random_floats(&b->r, b->s.g.arena, WIDTH, 1));
}

static int32_t matmul(builder *b, int32_t x)
{
    const int64_t dim[2] = {WIDTH, WIDTH};
    const float *w = random_floats(&b->r, b->s.g.arena, WIDTH * WIDTH, 0.7f);
    return small_node(&b->s, "MatMul", "", 2, (int32_t[]){x, small_floats(&b->s, "", 2, dim, w)});
}

/* The right half of one row and the left half of another, so that elements change places. */
static int32_t halves(builder *b)
{
    small_graph *s = &b->s;
    const int64_t at[3] = {0, WIDTH / 2, WIDTH};
    const int32_t axis = small_ints(s, "", 1, (int64_t[]){1});
    int32_t part[2];
    for (int i = 0; i < 2; i++) {
        const int32_t from = small_ints(s, "", 1, &at[1 - i]),
                      to = small_ints(s, "", 1, &at[2 - i]);
        part[i] = small_node(s, "Slice", "", 4, (int32_t[]){any(b), from, to, axis});
    }
    const int32_t y = small_node(s, "Concat", "", 2, part);
    small_attr(s, (deft_attr){.name = "axis", .kind = DEFT_ATTR_INT, .i = 1});
    return y;
}

static int32_t centred(builder *b)
{
    small_graph *s = &b->s;
    const int32_t x = any(b), mean = small_node(s, "ReduceMean", "", 1, (int32_t[]){x});
    static const int64_t axes[1] = {1};
    small_attr(s, (deft_attr){.name = "axes", .kind = DEFT_ATTR_INTS, .n = 1, .ints = axes});
    return small_node(s, "Sub", "", 2, (int32_t[]){x, mean});
}

static int32_t random_node(builder *b)
{
    static const char *const unary[] = {"Relu",     "Tanh", "Sigmoid", "Neg",      "Abs",
                                        "Softplus", "Exp",  "Erf",     "Softsign", "Identity"};
    static const char *const binary[] = {"Add", "Sub", "Mul", "Max", "Min", "Mul", "Add"};
    const int kind = random_int(&b->r, 0, 9);
    if (kind < 3) {
        const char *op = unary[random_int(&b->r, 0, 9)];
        return small_node(&b->s, op, "", 1, (int32_t[]){any(b)});
    }
    if (kind < 6) {
        const char *op = binary[random_int(&b->r, 0, 6)];
        const int32_t x = any(b);
        const int32_t y = random_int(&b->r, 0, 1) ? any(b) : constant(b);
        const bool swap = random_int(&b->r, 0, 1);
        return small_node(&b->s, op, "", 2, (int32_t[]){swap ? y : x, swap ? x : y});
    }
    if (kind < 8) return matmul(b, any(b));
    return kind == 8 ? halves(b) : centred(b);
}

static void build(builder *b, deft_arena *a, uint64_t seed)
{
    static const char *const in[3] = {"obs", "h_in", "c_in"}, *const out[3] = {"y", "h_out",
                                                                               "c_out"};
    deft_rng_seed(&b->r, seed);
    small_init(&b->s, a);
    b->n_row = 0;
    const int ports = random_int(&b->r, 1, 3), nodes = random_int(&b->r, 1, 20);
    for (int i = 0; i < ports; i++) push(b, small_input(&b->s, in[i], 2, (int64_t[]){1, WIDTH}));
    for (int i = 0;
         i < nodes && b->s.g.n_value < SMALL_VALUES - 12 && b->s.g.n_node < SMALL_NODES - 4; i++)
        push(b, random_node(b));
    for (int i = 0; i < ports; i++) {
        small_output(&b->s, i ? any(b) : b->row[b->n_row - 1]);
        b->s.value[b->s.output[i].value].name = out[i];
    }
}

int main(void)
{
    int understood = 0, compared = 0;
    for (uint64_t seed = 0; seed < GRAPHS; seed++) {
        builder b;
        deft_error err = {0};
        deft_model *m = NULL;
        deft_arena *a = deft_arena_create(0);
        build(&b, a, seed);
        CHECK_OK(deft_graph_finish(&b.s.g, &err), err);
        const deft_understand_options opt = {0};
        const deft_status s = deft_understand(&b.s.g, &opt, &m, &err);
        CHECK((s == DEFT_OK) == (m != NULL) && (m || err.text[0]), "a policy or a reason");
        if (m) {
            understood++;
            const deft_status v = deft_verify(&b.s.g, m, STEPS, 1e-3f, seed, NULL, &err);
            compared += v == DEFT_OK;
            // expressions may leave the range of float32; they may not differ
            CHECK(v == DEFT_OK || v == DEFT_E_RANGE, "seed %d: %s", (int)seed, err.text);
        } else {
            CHECK(s == DEFT_E_UNSUPPORTED, "seed %d: %s", (int)seed, err.text);
        }
        deft_arena_destroy(a);
    }
    printf("%d of %d understood, %d of these compared to the end\n", understood, GRAPHS, compared);
    CHECK(compared > GRAPHS / 10, "%d", compared);
    return check_report();
}
