/* test_onnx_reader.c - the ONNX reader on policies of real exporters, evaluated against what
 * PyTorch computed, and on models made wrong in every way that is cheap to think of. */
#include "check.h"

#include "onnx_model.h"

#include <math.h>
#include <string.h>

enum { COLUMNS = 64, LINE = 8192 };

/* --- policies of real exporters ------------------------------------------------------------- */

static int split_row(char *line, float *cell)
{
    int n = 0;
    for (char *p = line; n < COLUMNS && *p && *p != '\n'; n++) {
        cell[n] = strtof(p, &p);
        if (*p == ',') p++;
    }
    return n;
}

/* Feeds obs columns to the first input, the state outputs back to the other inputs; returns the
 * largest deviation of the first output from the act columns. */
static float rollout(const deft_graph *g, FILE *csv, deft_error *err)
{
    char line[LINE];
    if (!fgets(line, sizeof line, csv)) return INFINITY;
    int n_obs = 0;
    for (const char *p = line; (p = strstr(p, "obs")) != NULL; p++) n_obs++;
    deft_arena *a = deft_arena_create(0);
    deft_tensor in[4] = {0};
    for (int i = 0; i < g->n_input; i++)
        if (deft_tensor_init(&in[i], DEFT_F32, g->input[i].rank, g->input[i].dim, a) != DEFT_OK)
            return INFINITY;
    deft_graph_eval *e = NULL;
    float worst = INFINITY;
    if (deft_graph_eval_create(g, &e, err) != DEFT_OK) goto done;
    worst = 0;
    while (fgets(line, sizeof line, csv)) {
        float cell[COLUMNS];
        const int n = split_row(line, cell);
        if (in[0].count != n_obs) worst = INFINITY;
        memcpy(in[0].data, cell, (size_t)n_obs * sizeof *cell);
        const deft_tensor *out[8];
        if (deft_graph_eval_run(e, in, out, err) != DEFT_OK) {
            worst = INFINITY;
            break;
        }
        for (int k = n_obs; k < n; k++) {
            const float y = out[0]->dtype == DEFT_I64 ? (float)((const int64_t *)out[0]->data)[0]
                                                      : ((const float *)out[0]->data)[k - n_obs];
            const float d = fabsf(y - cell[k]);
            if (!(d <= worst)) worst = d;
        }
        for (int i = 1; i < g->n_input; i++)
            memcpy(in[i].data, out[i]->data, (size_t)in[i].count * sizeof(float));
    }
done:
    deft_graph_eval_destroy(e);
    deft_arena_destroy(a);
    return worst;
}

static void check_policy(const char *name, float tolerance)
{
    char path[4096], file[256];
    deft_error err = {0};
    deft_arena *a = deft_arena_create(0);
    deft_graph *g = NULL;
    (void)snprintf(file, sizeof file, "tests/golden/policies/%s.onnx", name);
    CHECK_OK(deft_onnx_read_file(check_source(path, sizeof path, file), a, &g, &err), err);
    (void)snprintf(file, sizeof file, "tests/golden/policies/%s.csv", name);
    FILE *csv = fopen(check_source(path, sizeof path, file), "r");
    if (g && csv) {
        const float worst = rollout(g, csv, &err);
        CHECK(worst <= tolerance, "%s: off by %g %s", name, (double)worst, err.text);
    }
    CHECK(csv != NULL, "%s", path);
    if (csv) (void)fclose(csv);
    deft_arena_destroy(a);
}

static void test_policies(void)
{
    static const char *const name[] = {
        "sb3_ppo",           "sb3_td3_opset9",
        "rsl_rl_gru",        "rsl_rl_lstm",
        "aug_scatter",       "native_gru_3_layers",
        "keras_gru_op",      "layernorm_gelu",
        "weight_only_qdq",   "external_data",
        "float16_weights",   "aug_scatter_zero_opset11",
        "rsl_rl_normalized", "activation_gelu_tanh",
        "gates_separate",    "cleanrl_td3_scaled",
        "grucell_module",    "batchnorm",
        "lstm_primitives",
    };
    for (size_t i = 0; i < sizeof name / sizeof *name; i++) check_policy(name[i], 2e-6f);
}

static void test_metadata(void)
{
    char path[4096];
    deft_error err = {0};
    deft_arena *a = deft_arena_create(0);
    deft_graph *g = NULL;
    CHECK_OK(deft_onnx_read_file(
                 check_source(path, sizeof path, "tests/golden/policies/isaaclab_metadata.onnx"), a,
                 &g, &err),
             err);
    if (g) {
        const char *v = deft_graph_meta(g, "joint_names");
        CHECK(v && strcmp(v, "hip_l,knee_l,hip_r,knee_r") == 0, "%s", v ? v : "none");
        CHECK(g->n_input == 1 && g->input[0].dtype == DEFT_F32 && g->input[0].rank == 2,
              "%d inputs", (int)g->n_input);
        CHECK(strcmp(g->producer, "fixture") == 0, "%s", g->producer);
    }
    deft_arena_destroy(a);
}

/* --- models made here ------------------------------------------------------------------------ */

static deft_status read_tensor(const Onnx__TensorProto *t, deft_arena *a, deft_tensor *out,
                               deft_error *err)
{
    *err = (deft_error){0};
    return deft_onnx_read_tensor(pack(&t->base), a, out, err);
}

static void test_tensors(void)
{
    deft_arena *a = deft_arena_create(0);
    deft_error err;
    deft_tensor out;
    Onnx__TensorProto t = ONNX__TENSOR_PROTO__INIT;
    int64_t dims[10] = {3, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    t.n_dims = 1;
    t.dims = dims;
    t.has_data_type = 1;

    // binary16 carried by int32_data: 1, the smallest subnormal, -infinity
    int32_t words[3] = {0x3C00, 0x0001, 0xFC00};
    t.data_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16;
    t.n_int32_data = 3;
    t.int32_data = words;
    CHECK_OK(read_tensor(&t, a, &out, &err), err);
    const float *f = out.data;
    CHECK(out.dtype == DEFT_F32 && f[0] == 1.0f && f[1] == 0x1p-24f && f[2] == -INFINITY,
          "%g %g %g", (double)f[0], (double)f[1], (double)f[2]);
    t.data_type = ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16;
    words[0] = 0x3FC0;
    CHECK_OK(read_tensor(&t, a, &out, &err), err);
    CHECK(((float *)out.data)[0] == 1.5f, "bfloat16");
    t.data_type = ONNX__TENSOR_PROTO__DATA_TYPE__INT8;
    words[0] = -5;
    CHECK_OK(read_tensor(&t, a, &out, &err), err);
    CHECK(out.dtype == DEFT_I8 && ((int8_t *)out.data)[0] == -5, "int8");
    t.data_type = ONNX__TENSOR_PROTO__DATA_TYPE__BOOL;
    words[1] = 0;
    CHECK_OK(read_tensor(&t, a, &out, &err), err);
    CHECK(out.dtype == DEFT_BOOL && ((uint8_t *)out.data)[0] == 1 && !((uint8_t *)out.data)[1],
          "bool");
    dims[0] = 4;
    CHECK(read_tensor(&t, a, &out, &err) == DEFT_E_FORMAT && strstr(err.text, "wants 4"), "%s",
          err.text);
    t.n_int32_data = 0;
    dims[0] = (int64_t)1 << 40;
    CHECK(read_tensor(&t, a, &out, &err) < 0, "a terabyte of nothing");
    dims[1] = dims[0];
    t.n_dims = 2;
    CHECK(read_tensor(&t, a, &out, &err) < 0, "an overflow");
    dims[0] = -1;
    CHECK(read_tensor(&t, a, &out, &err) < 0, "a negative dimension");
    t.n_dims = 9;
    dims[0] = dims[1] = 1;
    CHECK(read_tensor(&t, a, &out, &err) == DEFT_E_RANGE, "rank 9");

    // raw data, an integer of 8 bytes, a scalar
    uint8_t raw[8] = {0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
    t.n_dims = 0;
    t.data_type = ONNX__TENSOR_PROTO__DATA_TYPE__INT64;
    t.has_raw_data = 1;
    t.raw_data = (ProtobufCBinaryData){8, raw};
    CHECK_OK(read_tensor(&t, a, &out, &err), err);
    CHECK(out.rank == 0 && out.count == 1 && *(int64_t *)out.data == -2, "int64");
    t.raw_data.len = 7;
    CHECK(read_tensor(&t, a, &out, &err) == DEFT_E_FORMAT, "%s", err.text);
    t.data_type = ONNX__TENSOR_PROTO__DATA_TYPE__STRING;
    CHECK(read_tensor(&t, a, &out, &err) == DEFT_E_UNSUPPORTED, "%s", err.text);
    deft_arena_destroy(a);
}

/* Reads m; the error must be `want` and its text must hold `word`. */
static void expect(const model *m, deft_status want, const char *word)
{
    deft_arena *a = deft_arena_create(0);
    deft_graph *g = NULL;
    deft_error err = {0};
    const deft_status s = deft_onnx_read(pack(&m->model.base), "made.onnx", a, &g, &err);
    CHECK(s == want, "%d, not %d: %s", (int)s, (int)want, err.text);
    CHECK((g != NULL) == (want == DEFT_OK), "graph");
    CHECK(!word || strstr(err.text, word), "'%s' is not in: %s", word, err.text);
    CHECK(s == DEFT_OK || strncmp(err.text, "made.onnx: ", 11) == 0, "no file in: %s", err.text);
    deft_arena_destroy(a);
}

static void test_broken_models(void)
{
    model m;
    make(&m);
    expect(&m, DEFT_OK, NULL);
    m.opset.version = 25;
    expect(&m, DEFT_OK, NULL);
    m.opset.version = 26;
    expect(&m, DEFT_E_UNSUPPORTED, "opset 26");
    m.opset.version = 6;
    expect(&m, DEFT_E_UNSUPPORTED, "opset 6");
    m.model.n_opset_import = 0;
    expect(&m, DEFT_E_FORMAT, "opset");
    make(&m);
    m.model.graph = NULL;
    expect(&m, DEFT_E_FORMAT, "no graph");
    make(&m);
    m.in1[0] = "nowhere";
    expect(&m, DEFT_E_FORMAT, "nowhere");
    make(&m);
    m.in0[1] = "y"; // y -> s -> y
    expect(&m, DEFT_E_FORMAT, "cycle");
    make(&m);
    m.out1[0] = "s";
    expect(&m, DEFT_E_FORMAT, "more than once");
    make(&m);
    m.graph.n_initializer = 2;
    expect(&m, DEFT_E_FORMAT, "'w' appears twice");
    make(&m);
    m.graph.n_input = 2;
    expect(&m, DEFT_E_FORMAT, "'x' appears twice");
    make(&m);
    m.inputs[1] = &m.y;
    m.graph.n_input = 2;
    expect(&m, DEFT_E_FORMAT, "'y'");
    make(&m);
    m.graph.n_output = 0;
    expect(&m, DEFT_E_FORMAT, "no outputs");
    make(&m);
    m.graph.n_node = 0;
    expect(&m, DEFT_E_FORMAT, "'y'");
    make(&m);
    m.dim = 3;
    expect(&m, DEFT_E_FORMAT, "initializer 'w'");
    make(&m);
    m.node[1].domain = "com.example";
    m.node[1].name = "evil\n\"name";
    expect(&m, DEFT_E_UNSUPPORTED, "com.example");
    expect(&m, DEFT_E_UNSUPPORTED, "node 1 'Relu' (evil\\n\\\"name)");
    m.node[1].domain = "com.microsoft";
    m.node[1].op_type = "Gelu";
    expect(&m, DEFT_OK, NULL);
    make(&m);
    m.w.name = "";
    expect(&m, DEFT_E_FORMAT, "no name");
    make(&m);
    static char name[5001];
    memset(name, 'n', sizeof name - 1);
    m.in1[0] = m.out0[0] = name;
    expect(&m, DEFT_E_RANGE, "longer");
}

static void test_attributes(void)
{
    model m;
    make(&m);
    Onnx__AttributeProto at = ONNX__ATTRIBUTE_PROTO__INIT, *list[1] = {&at};
    at.name = "a";
    at.has_type = 1;
    m.node[1].n_attribute = 1;
    m.node[1].attribute = list;
    at.type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING;
    at.has_s = 1;
    at.s = (ProtobufCBinaryData){3, (uint8_t[]){'a', 0, 'b'}};
    expect(&m, DEFT_E_FORMAT, "NUL");
    at.type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR;
    expect(&m, DEFT_E_FORMAT, "'a'");
    Onnx__GraphProto sub = ONNX__GRAPH_PROTO__INIT;
    at.type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH;
    at.g = &sub;
    expect(&m, DEFT_E_UNSUPPORTED, "subgraph");

    at.g = NULL;
    int64_t ints[2] = {7, -1};
    at.type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
    at.n_ints = 2;
    at.ints = ints;
    deft_arena *a = deft_arena_create(0);
    deft_graph *g = NULL;
    deft_error err = {0};
    CHECK_OK(deft_onnx_read(pack(&m.model.base), NULL, a, &g, &err), err);
    if (g) {
        const deft_attr *got = deft_node_attr(&g->node[1], "a");
        CHECK(got && got->kind == DEFT_ATTR_INTS && got->n == 2 && got->ints[1] == -1, "ints");
    }
    deft_arena_destroy(a);
}

/* y = If(condition) { Relu(s) } else { Neg(s) }, s = Add(x, w), both branches with the same names.
 */
static void test_if(void)
{
    model m;
    make(&m);
    Onnx__GraphProto sub[2] = {ONNX__GRAPH_PROTO__INIT, ONNX__GRAPH_PROTO__INIT};
    Onnx__NodeProto inner[2] = {ONNX__NODE_PROTO__INIT, ONNX__NODE_PROTO__INIT};
    Onnx__NodeProto *inner_list[2][1] = {{&inner[0]}, {&inner[1]}};
    Onnx__ValueInfoProto result = ONNX__VALUE_INFO_PROTO__INIT, *results[1] = {&result};
    Onnx__AttributeProto at[2] = {ONNX__ATTRIBUTE_PROTO__INIT, ONNX__ATTRIBUTE_PROTO__INIT};
    Onnx__AttributeProto *list[2] = {&at[0], &at[1]};
    static char *in[] = {"s"}, *out[] = {"r"}, *condition[] = {"c"};
    result.name = "r";
    for (int i = 0; i < 2; i++) {
        inner[i].op_type = i ? "Neg" : "Relu";
        inner[i].n_input = inner[i].n_output = 1;
        inner[i].input = in;
        inner[i].output = out;
        sub[i].n_node = sub[i].n_output = 1;
        sub[i].node = inner_list[i];
        sub[i].output = results;
        at[i].name = i ? "else_branch" : "then_branch";
        at[i].has_type = 1;
        at[i].type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH;
        at[i].g = &sub[i];
    }
    m.node[1].op_type = "If";
    m.node[1].input = condition;
    m.node[1].n_attribute = 2;
    m.node[1].attribute = list;
    Onnx__TensorProto c = ONNX__TENSOR_PROTO__INIT;
    int32_t truth = 0;
    c.name = "c";
    c.has_data_type = 1;
    c.data_type = ONNX__TENSOR_PROTO__DATA_TYPE__BOOL;
    c.n_int32_data = 1;
    c.int32_data = &truth;
    m.initializers[1] = &c;
    m.graph.n_initializer = 2;
    for (; truth < 2; truth++) {
        deft_arena *a = deft_arena_create(0);
        deft_graph *g = NULL;
        deft_error err = {0};
        CHECK_OK(deft_onnx_read(pack(&m.model.base), NULL, a, &g, &err), err);
        CHECK(g && g->n_node == 3 && strcmp(g->node[1].op, truth ? "Relu" : "Neg") == 0,
              "%d: not the right branch", truth);
        deft_arena_destroy(a);
    }
    // a condition that depends on what the input holds
    m.graph.n_initializer = 1;
    c.name = "d";
    m.in1[0] = "s";
    m.node[1].input = m.in1;
    expect(&m, DEFT_E_UNSUPPORTED, "condition");
    m.node[1].input = condition;
    expect(&m, DEFT_E_UNSUPPORTED, "node 1 'If'");
}

/* Attribute in graph in node in graph ... built from the inside out. */
static void test_nesting(void)
{
    enum { LEVELS = 6000 };
    static uint8_t buf[LEVELS * 32];
    size_t at = sizeof buf, size = 0;
    static const uint8_t tags[] = {0x0A, 0x2A, 0x32}; // graph.node, node.attribute, attribute.g
    for (int level = 0; level < LEVELS; level++) {
        uint8_t head[8];
        size_t n = 0, v = size;
        head[n++] = level == LEVELS - 1 ? 0x3A : tags[(LEVELS - 2 - level) % 3];
        for (; v >= 128; v >>= 7) head[n++] = (uint8_t)(v | 0x80);
        head[n++] = (uint8_t)v;
        at -= n;
        memcpy(buf + at, head, n);
        size += n;
    }
    deft_arena *a = deft_arena_create(0);
    deft_graph *g = NULL;
    deft_error err = {0};
    CHECK(deft_onnx_read((deft_bytes){buf + at, size}, NULL, a, &g, &err) == DEFT_E_FORMAT &&
              strstr(err.text, "nested"),
          "%s", err.text);
    deft_arena_destroy(a);
}

/* --- damage ---------------------------------------------------------------------------------- */

static void test_damage(void)
{
    char path[4096];
    deft_error err = {0};
    deft_arena *keep = deft_arena_create(0);
    deft_bytes b = {0};
    CHECK_OK(
        deft_file_read(check_source(path, sizeof path, "tests/golden/policies/rsl_rl_gru.onnx"), 0,
                       keep, &b, &err),
        err);
    uint8_t *copy = deft_arena_copy(keep, b.data, b.size);
    int refused = 0, tried = 0;
    for (size_t n = 0; n + 1 < b.size; n += n < 400 ? 1 : 97, tried++) {
        deft_arena *a = deft_arena_create((size_t)1 << 28);
        deft_graph *g = NULL;
        err = (deft_error){0};
        refused += deft_onnx_read((deft_bytes){b.data, n}, NULL, a, &g, &err) < 0;
        CHECK(g || err.text[0], "no text at %zu", n);
        deft_arena_destroy(a);
    }
    CHECK(refused == tried, "%d of %d truncated files were refused", refused, tried);
    for (size_t bit = 0; b.size && bit < 8 * b.size; bit += 131) {
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        deft_arena *a = deft_arena_create((size_t)1 << 28);
        deft_graph *g = NULL;
        (void)deft_onnx_read((deft_bytes){copy, b.size}, NULL, a, &g, NULL);
        deft_arena_destroy(a);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    deft_arena_destroy(keep);
}

static void test_detect(void)
{
    char path[4096];
    deft_error err = {0};
    deft_arena *a = deft_arena_create(0);
    deft_bytes b = {0};
    CHECK_OK(deft_file_read(check_source(path, sizeof path, "tests/golden/policies/sb3_ppo.onnx"),
                            0, a, &b, &err),
             err);
    CHECK(deft_format_detect(b.data, b.size) == DEFT_FORMAT_ONNX, "ONNX");
    CHECK(deft_format_detect(b.data, 100) == DEFT_FORMAT_ONNX, "ONNX, cut off");
    CHECK(deft_format_detect("PK\3\4abcd", 8) == DEFT_FORMAT_TORCH, "zip");
    CHECK(deft_format_detect("DEFT\1\0\0\0", 8) == DEFT_FORMAT_IMAGE, "image");
    CHECK(deft_format_detect("BM1234567890", 12) == DEFT_FORMAT_UNKNOWN, "a bitmap");
    CHECK(deft_format_detect(":comment, not a model", 21) == DEFT_FORMAT_UNKNOWN, "text");
    CHECK(deft_format_detect("{\"a\": 1}", 8) == DEFT_FORMAT_UNKNOWN, "JSON");
    CHECK(deft_format_detect("", 0) == DEFT_FORMAT_UNKNOWN, "nothing");
    deft_arena_destroy(a);
}

int main(void)
{
    test_policies();
    test_metadata();
    test_tensors();
    test_broken_models();
    test_attributes();
    test_if();
    test_nesting();
    test_damage();
    test_detect();
    return check_report();
}
