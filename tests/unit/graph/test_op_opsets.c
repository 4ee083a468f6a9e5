/* test_op_opsets.c - operators whose meaning depends on the opset, 7 to 21: attributes that became
 * inputs, defaults and types that changed. Expected values are the specification's, by hand; ONNX's
 * own tests (test_onnx_nodes) know one opset an operator only. */
#include "check.h"
#include "deft/graph.h"

#include <math.h>
#include <string.h>

enum { MAX_IN = 6, MAX_OUT = 3 };

/* One node, its operands and its results. */
typedef struct bench {
    deft_arena *a;
    deft_node node;
    deft_attr attr[4];
    int32_t in_index[MAX_IN], out_index[MAX_OUT];
    deft_tensor store[MAX_IN];
    const deft_tensor *in[MAX_IN];
    deft_tensor out[MAX_OUT];
    deft_error err;
} bench;

static void start(bench *b, const char *op, int32_t n_out)
{
    if (b->a) deft_arena_destroy(b->a);
    *b = (bench){.a = deft_arena_create(0)};
    b->node = (deft_node){.name = "", .op = op, .n_out = n_out, .in = b->in_index};
    b->node.out = b->out_index;
    b->node.attr = b->attr;
    for (int32_t i = 0; i < MAX_OUT; i++) b->out_index[i] = 100 + i;
}

static deft_tensor *operand(bench *b, deft_dtype type, int32_t rank, const int64_t *dim)
{
    deft_tensor *t = &b->store[b->node.n_in];
    CHECK(deft_tensor_init(t, type, rank, dim, b->a) == DEFT_OK, "operand");
    b->in[b->node.n_in] = t;
    b->in_index[b->node.n_in] = b->node.n_in;
    b->node.n_in++;
    return t;
}

static void skip_operand(bench *b)
{
    b->in_index[b->node.n_in++] = -1;
}

static void floats(bench *b, int32_t rank, const int64_t *dim, const float *x)
{
    deft_tensor *t = operand(b, DEFT_F32, rank, dim);
    memcpy(t->data, x, (size_t)t->count * sizeof *x);
}

static void ints(bench *b, int64_t n, const int64_t *x)
{
    deft_tensor *t = operand(b, DEFT_I64, 1, &n);
    memcpy(t->data, x, (size_t)n * sizeof *x);
}

static void attr_ints(bench *b, const char *name, int64_t n, const int64_t *x)
{
    b->attr[b->node.n_attr++] =
        (deft_attr){.name = name, .kind = DEFT_ATTR_INTS, .n = n, .ints = x};
}

static void attr_int(bench *b, const char *name, int64_t i)
{
    b->attr[b->node.n_attr++] = (deft_attr){.name = name, .kind = DEFT_ATTR_INT, .i = i};
}

static deft_status run(bench *b, int32_t opset)
{
    b->err = (deft_error){0};
    return deft_op_run(&b->node, &(deft_op_env){opset, b->a, NULL}, b->in, b->out, &b->err);
}

static void expect(const bench *b, int32_t o, int32_t rank, const int64_t *dim, const float *x)
{
    const deft_tensor *t = &b->out[o];
    CHECK(t->data && t->dtype == DEFT_F32 && t->rank == rank, "%s: rank %d: %s", b->node.op,
          (int)t->rank, b->err.text);
    if (!t->data || t->dtype != DEFT_F32 || t->rank != rank) return;
    for (int32_t i = 0; i < rank; i++)
        CHECK(t->dim[i] == dim[i], "%s: dimension %d is %lld", b->node.op, (int)i,
              (long long)t->dim[i]);
    for (int64_t k = 0; k < t->count; k++) {
        const float v = ((const float *)t->data)[k];
        CHECK(fabsf(v - x[k]) <= 1e-6f * (1 + fabsf(x[k])), "%s: element %lld is %g, not %g",
              b->node.op, (long long)k, (double)v, (double)x[k]);
    }
}

static const float count6[6] = {0, 1, 2, 3, 4, 5};

#define D(...) ((const int64_t[]){__VA_ARGS__})
#define F(...) ((const float[]){__VA_ARGS__})

static void test_slice(bench *b)
{
    start(b, "Slice", 1);
    floats(b, 2, D(2, 3), count6);
    attr_ints(b, "starts", 1, D(1));
    attr_ints(b, "ends", 1, D(1000));
    attr_ints(b, "axes", 1, D(1));
    CHECK_OK(run(b, 9), b->err);
    expect(b, 0, 2, D(2, 2), F(1, 2, 4, 5));

    start(b, "Slice", 1);
    floats(b, 1, D(6), count6);
    ints(b, 1, D(-2));
    ints(b, 1, D(INT64_MIN));
    ints(b, 1, D(0));
    ints(b, 1, D(-2));
    CHECK_OK(run(b, 10), b->err);
    expect(b, 0, 1, D(3), F(4, 2, 0));
    // an adjusted start is clamped to [0, n - 1] when stepping back
    ((int64_t *)b->store[1].data)[0] = -100;
    CHECK_OK(run(b, 13), b->err);
    expect(b, 0, 1, D(1), F(0));

    start(b, "Slice", 1);
    floats(b, 1, D(0), count6);
    ints(b, 1, D(-1));
    ints(b, 1, D(INT64_MIN));
    ints(b, 1, D(0));
    ints(b, 1, D(-1));
    CHECK_OK(run(b, 13), b->err);
    expect(b, 0, 1, D(0), NULL);
}

static void test_split(bench *b)
{
    start(b, "Split", 2);
    floats(b, 1, D(6), count6);
    attr_ints(b, "split", 2, D(2, 4));
    CHECK_OK(run(b, 11), b->err);
    expect(b, 1, 1, D(4), F(2, 3, 4, 5));
    start(b, "Split", 2);
    floats(b, 1, D(6), count6);
    ints(b, 2, D(1, 5));
    CHECK_OK(run(b, 13), b->err);
    expect(b, 0, 1, D(1), F(0));
    start(b, "Split", 2);
    floats(b, 1, D(5), count6);
    attr_int(b, "num_outputs", 2);
    CHECK_OK(run(b, 18), b->err);
    expect(b, 0, 1, D(3), F(0, 1, 2));
    expect(b, 1, 1, D(2), F(3, 4));
}

static void test_squeeze(bench *b)
{
    start(b, "Squeeze", 1);
    floats(b, 3, D(1, 6, 1), count6);
    attr_ints(b, "axes", 1, D(0));
    CHECK_OK(run(b, 11), b->err);
    expect(b, 0, 2, D(6, 1), count6);
    start(b, "Squeeze", 1);
    floats(b, 3, D(1, 6, 1), count6);
    ints(b, 1, D(-1));
    CHECK_OK(run(b, 13), b->err);
    expect(b, 0, 2, D(1, 6), count6);
    start(b, "Unsqueeze", 1);
    floats(b, 1, D(6), count6);
    attr_ints(b, "axes", 2, D(0, 2));
    CHECK_OK(run(b, 11), b->err);
    expect(b, 0, 3, D(1, 6, 1), count6);
    start(b, "Unsqueeze", 1);
    floats(b, 1, D(6), count6);
    ints(b, 2, D(-1, 0));
    CHECK_OK(run(b, 13), b->err);
    expect(b, 0, 3, D(1, 6, 1), count6);
}

static void test_clip(bench *b)
{
    start(b, "Clip", 1);
    floats(b, 1, D(6), count6);
    b->attr[b->node.n_attr++] = (deft_attr){.name = "max", .kind = DEFT_ATTR_FLOAT, .f = 2.5f};
    CHECK_OK(run(b, 7), b->err);
    expect(b, 0, 1, D(6), F(0, 1, 2, 2.5f, 2.5f, 2.5f));
    start(b, "Clip", 1);
    floats(b, 1, D(6), count6);
    skip_operand(b);
    floats(b, 0, NULL, F(1.5f));
    CHECK_OK(run(b, 11), b->err);
    expect(b, 0, 1, D(6), F(0, 1, 1.5f, 1.5f, 1.5f, 1.5f));
    // min above max: everything becomes max
    start(b, "Clip", 1);
    floats(b, 1, D(2), count6);
    floats(b, 0, NULL, F(3));
    floats(b, 0, NULL, F(2));
    CHECK_OK(run(b, 13), b->err);
    expect(b, 0, 1, D(2), F(2, 2));
}

static void test_dropout(bench *b)
{
    start(b, "Dropout", 2);
    floats(b, 1, D(6), count6);
    CHECK_OK(run(b, 7), b->err);
    expect(b, 0, 1, D(6), count6);
    expect(b, 1, 1, D(6), F(1, 1, 1, 1, 1, 1)); // the mask had the data's type
    CHECK_OK(run(b, 10), b->err);
    CHECK(b->out[1].dtype == DEFT_BOOL && ((const uint8_t *)b->out[1].data)[5] == 1, "mask");
    floats(b, 0, NULL, F(0.5f));
    deft_tensor *training = operand(b, DEFT_BOOL, 0, NULL);
    CHECK_OK(run(b, 12), b->err);
    *(uint8_t *)training->data = 1;
    CHECK(run(b, 12) == DEFT_E_UNSUPPORTED, "training");
}

static void test_batch_norm(bench *b)
{
    start(b, "BatchNormalization", 1);
    floats(b, 2, D(1, 2), F(3, 5));
    floats(b, 1, D(2), F(2, 1));
    floats(b, 1, D(2), F(10, 20));
    floats(b, 1, D(2), F(1, 4));
    floats(b, 1, D(2), F(4, 0.25f));
    b->attr[b->node.n_attr++] = (deft_attr){.name = "epsilon", .kind = DEFT_ATTR_FLOAT, .f = 0};
    for (int32_t opset = 7; opset <= 15; opset += 2) {
        CHECK_OK(run(b, opset), b->err);
        expect(b, 0, 2, D(1, 2), F(12, 22));
    }
    attr_int(b, "training_mode", 1);
    CHECK(run(b, 15) == DEFT_E_UNSUPPORTED, "training");
}

static void test_reduce(bench *b)
{
    start(b, "ReduceMean", 1);
    floats(b, 2, D(2, 3), count6);
    attr_ints(b, "axes", 1, D(-1));
    CHECK_OK(run(b, 11), b->err);
    expect(b, 0, 2, D(2, 1), F(1, 4));
    start(b, "ReduceMean", 1);
    floats(b, 2, D(2, 3), count6);
    ints(b, 1, D(0));
    attr_int(b, "keepdims", 0);
    CHECK_OK(run(b, 18), b->err);
    expect(b, 0, 1, D(3), F(1.5f, 2.5f, 3.5f));
    start(b, "ReduceMean", 1);
    floats(b, 2, D(2, 3), count6);
    attr_int(b, "noop_with_empty_axes", 1);
    CHECK_OK(run(b, 18), b->err);
    expect(b, 0, 2, D(2, 3), count6);
}

/* Before opset 13 the axes from `axis` on were one. */
static void test_softmax(bench *b)
{
    start(b, "Softmax", 1);
    floats(b, 3, D(1, 2, 2), F(0, 0, 0, 0));
    attr_int(b, "axis", 1);
    CHECK_OK(run(b, 11), b->err);
    expect(b, 0, 3, D(1, 2, 2), F(0.25f, 0.25f, 0.25f, 0.25f));
    CHECK_OK(run(b, 13), b->err);
    expect(b, 0, 3, D(1, 2, 2), F(0.5f, 0.5f, 0.5f, 0.5f));
}

static void test_cast(bench *b)
{
    start(b, "Cast", 1);
    floats(b, 1, D(3), F(-1.7f, 0, 300));
    attr_int(b, "to", 7);
    CHECK_OK(run(b, 9), b->err);
    const int64_t *y = b->out[0].data;
    CHECK(b->out[0].dtype == DEFT_I64 && y[0] == -1 && y[1] == 0 && y[2] == 300, "truncated");
    b->attr[0].i = 9;
    CHECK_OK(run(b, 13), b->err);
    const uint8_t *t = b->out[0].data;
    CHECK(b->out[0].dtype == DEFT_BOOL && t[0] == 1 && t[1] == 0 && t[2] == 1, "bool");
    b->attr[0].i = 8;
    CHECK(run(b, 13) == DEFT_E_UNSUPPORTED, "strings");
}

/* layout 1 (opset 14) puts the batch first everywhere, also in the states. */
static void test_layout(const char *op, bench *b)
{
    const bool lstm = op[0] == 'L';
    const int64_t gates = lstm ? 4 : 3;
    const float w[4] = {0.5f, -0.4f, 0.3f, 0.8f}, r[4] = {0.2f, 0.1f, -0.6f, 0.4f};
    float y[2][2] = {{0}};
    for (int layout = 0; layout < 2; layout++) {
        start(b, op, 2);
        floats(b, 3, layout ? D(2, 3, 1) : D(3, 2, 1),
               layout ? F(1, 2, 3, -1, -2, -3) : F(1, -1, 2, -2, 3, -3));
        floats(b, 3, D(1, gates, 1), w);
        floats(b, 3, D(1, gates, 1), r);
        skip_operand(b);
        skip_operand(b);
        floats(b, 3, layout ? D(2, 1, 1) : D(1, 2, 1), F(0.5f, -0.25f));
        attr_int(b, "layout", layout);
        attr_int(b, "hidden_size", 1);
        CHECK_OK(run(b, 14), b->err);
        const deft_tensor *h = &b->out[1];
        CHECK(h->data && h->dim[layout ? 0 : 1] == 2, "%s: state's batch", op);
        if (!h->data) return;
        memcpy(y[layout], h->data, sizeof y[layout]);
        const deft_tensor *all = &b->out[0];
        CHECK(all->rank == 4 && all->dim[layout ? 1 : 0] == 3, "%s: sequence", op);
        // the last outputs are the state
        const float *last = all->data;
        CHECK(layout ? last[2] == y[1][0] && last[5] == y[1][1]
                     : last[4] == y[0][0] && last[5] == y[0][1],
              "%s: order of outputs", op);
    }
    CHECK(y[0][0] == y[1][0] && y[0][1] == y[1][1] && y[0][0] != y[0][1], "%s: layouts agree", op);
}

static void test_quantize(bench *b)
{
    start(b, "QuantizeLinear", 1);
    floats(b, 1, D(4), F(-3, 0.5f, 1.5f, 1000));
    floats(b, 0, NULL, F(1));
    CHECK_OK(run(b, 13), b->err);
    const uint8_t *u = b->out[0].data;
    CHECK(b->out[0].dtype == DEFT_U8 && u[0] == 0 && u[1] == 0 && u[2] == 2 && u[3] == 255, "u8");
    attr_int(b, "output_dtype", 3); // opset 21: without a zero point
    CHECK_OK(run(b, 21), b->err);
    const int8_t *i = b->out[0].data;
    CHECK(b->out[0].dtype == DEFT_I8 && i[0] == -3 && i[3] == 127, "i8");
    b->attr[0].i = 22; // int4
    CHECK(run(b, 21) == DEFT_E_UNSUPPORTED, "int4");
}

int main(void)
{
    bench b = {0};
    test_slice(&b);
    test_split(&b);
    test_squeeze(&b);
    test_clip(&b);
    test_dropout(&b);
    test_batch_norm(&b);
    test_reduce(&b);
    test_softmax(&b);
    test_cast(&b);
    test_layout("GRU", &b);
    test_layout("LSTM", &b);
    test_quantize(&b);
    deft_arena_destroy(b.a);
    return check_report();
}
