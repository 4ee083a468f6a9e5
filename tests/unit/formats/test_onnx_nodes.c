/* test_onnx_nodes.c - ONNX's own tests of its operators (Debian: libonnx-testdata) against the
 * reference evaluator, with ONNX's tolerances. Prints the table of docs/onnx-operators.md.
 * DEFT_ONNX_TESTDATA names another folder that holds node/ and simple/. */
#include "check.h"
#include "deft/formats.h"

#include <dirent.h>
#include <math.h>
#include <onnx/onnx.pb-c.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_PORTS = 16, MAX_OPERATORS = 256, MAX_FILE = 64 << 20 };

/* What exporters make of actors, and what Deft promises to run. */
static const char *const promised[] = {
    "Add",        "BatchNormalization",
    "Cast",       "Clip",
    "Concat",     "Constant",
    "Div",        "ConstantOfShape",
    "Dropout",    "DequantizeLinear",
    "Elu",        "DynamicQuantizeLinear",
    "Erf",        "Expand",
    "Flatten",    "GRU",
    "Gather",     "Gemm",
    "Identity",   "LSTM",
    "LeakyRelu",  "LayerNormalization",
    "MatMul",     "MatMulInteger",
    "Mul",        "Neg",
    "Pow",        "QuantizeLinear",
    "ReduceMean", "Relu",
    "Reshape",    "ScatterND",
    "Selu",       "Shape",
    "Sigmoid",    "Slice",
    "Softplus",   "Softsign",
    "Split",      "Sqrt",
    "Squeeze",    "Sub",
    "Tanh",       "Transpose",
    "Unsqueeze",  "Where",
};
enum { N_PROMISED = sizeof promised / sizeof promised[0] };

#define TRAINING  "training mode: policies are run, not trained, in ONNX"
#define BFLOAT16  "bfloat16 values at a port; weights of that type are widened when read"
#define STRINGS   "strings"
#define NO_TENSOR "an optional or a sequence, no tensor"

/* Tests of operators that Deft knows which it does not have to pass. */
static const struct {
    const char *test, *why;
} left_out[] = {
    {"test_batchnorm_epsilon_training_mode", TRAINING},
    {"test_batchnorm_example_training_mode", TRAINING},
    {"test_cast_BFLOAT16_to_FLOAT", BFLOAT16},
    {"test_cast_FLOAT_to_BFLOAT16", BFLOAT16},
    {"test_castlike_BFLOAT16_to_FLOAT", BFLOAT16},
    {"test_castlike_BFLOAT16_to_FLOAT_expanded", BFLOAT16},
    {"test_castlike_FLOAT_to_BFLOAT16", BFLOAT16},
    {"test_castlike_FLOAT_to_BFLOAT16_expanded", BFLOAT16},
    {"test_cast_FLOAT_to_STRING", STRINGS},
    {"test_cast_STRING_to_FLOAT", STRINGS},
    {"test_castlike_FLOAT_to_STRING", STRINGS},
    {"test_castlike_FLOAT_to_STRING_expanded", STRINGS},
    {"test_castlike_STRING_to_FLOAT", STRINGS},
    {"test_castlike_STRING_to_FLOAT_expanded", STRINGS},
    {"test_identity_opt", NO_TENSOR},
    {"test_identity_sequence", NO_TENSOR},
    {"test_training_dropout", TRAINING},
    {"test_training_dropout_default", TRAINING},
    {"test_training_dropout_default_mask", TRAINING},
    {"test_training_dropout_mask", TRAINING},
    {"test_training_dropout_zero_ratio", TRAINING},
    {"test_training_dropout_zero_ratio_mask", TRAINING},
    {"test_qlinearmatmul_3D", "batches of quantized matrices; policies have none"},
};
enum { N_LEFT_OUT = sizeof left_out / sizeof left_out[0] };

typedef struct tally {
    const char *op;
    int passed, failed, left_out;
} tally;

typedef struct suite {
    deft_arena *names;
    tally op[MAX_OPERATORS];
    int n_op;
    int others; // tests of operators that Deft does not know
    bool used[N_LEFT_OUT];
} suite;

static tally *tally_of(suite *s, const char *op)
{
    for (int i = 0; i < s->n_op; i++)
        if (strcmp(s->op[i].op, op) == 0) return &s->op[i];
    CHECK(s->n_op < MAX_OPERATORS, "too many operators");
    s->op[s->n_op] = (tally){.op = deft_arena_strndup(s->names, op, strlen(op))};
    return &s->op[s->n_op++];
}

/* --- one test -------------------------------------------------------------------------------- */

/* The tensor in dir/test_data_set_N/KIND_I.pb; false where there is no such file. */
static bool read_tensor(const char *set, const char *kind, int i, deft_arena *a, deft_tensor *out)
{
    char path[4600];
    struct stat st;
    deft_error err = {0};
    deft_bytes b;
    (void)snprintf(path, sizeof path, "%s/%s_%d.pb", set, kind, i);
    if (stat(path, &st) != 0) return false;
    if (deft_file_read(path, MAX_FILE, a, &b, &err) != DEFT_OK ||
        deft_onnx_read_tensor(b, a, out, &err) != DEFT_OK) {
        printf("%s: %s\n", path, err.text);
        out->data = NULL;
    }
    return true;
}

static double number(const deft_tensor *t, int64_t k)
{
    switch (t->dtype) {
    case DEFT_F32:
        return (double)((const float *)t->data)[k];
    case DEFT_F64:
        return ((const double *)t->data)[k];
    case DEFT_I8:
        return ((const int8_t *)t->data)[k];
    case DEFT_U8:
    case DEFT_BOOL:
        return ((const uint8_t *)t->data)[k];
    case DEFT_I16:
        return ((const int16_t *)t->data)[k];
    case DEFT_U16:
        return ((const uint16_t *)t->data)[k];
    case DEFT_I32:
        return ((const int32_t *)t->data)[k];
    case DEFT_U32:
        return ((const uint32_t *)t->data)[k];
    case DEFT_I64:
        return (double)((const int64_t *)t->data)[k];
    case DEFT_U64:
        return (double)((const uint64_t *)t->data)[k];
    default:
        return (double)NAN;
    }
}

/* numpy.testing.assert_allclose(rtol=1e-3, atol=1e-7), types and shapes, as ONNX's runner does. */
static bool same(const deft_tensor *got, const deft_tensor *want)
{
    if (got->dtype != want->dtype) {
        printf("  type %s, not %s\n", deft_dtype_name(got->dtype), deft_dtype_name(want->dtype));
        return false;
    }
    bool shape = got->rank == want->rank;
    for (int32_t i = 0; shape && i < got->rank; i++) shape = got->dim[i] == want->dim[i];
    if (!shape) {
        printf("  another shape: rank %d with %lld elements, not %d with %lld\n", (int)got->rank,
               (long long)got->count, (int)want->rank, (long long)want->count);
        return false;
    }
    for (int64_t k = 0; k < got->count; k++) {
        const double x = number(got, k), y = number(want, k);
        if (x == y || (isnan(x) && isnan(y)) || fabs(x - y) <= 1e-7 + 1e-3 * fabs(y)) continue;
        printf("  element %lld is %.9g, not %.9g\n", (long long)k, x, y);
        return false;
    }
    return true;
}

static bool run_set(const deft_graph *g, const char *set, deft_arena *a)
{
    deft_tensor in[MAX_PORTS] = {0}, want[MAX_PORTS] = {0};
    const deft_tensor *out[MAX_PORTS] = {0};
    deft_error err = {0};
    deft_graph_eval *e = NULL;
    if (g->n_input > MAX_PORTS || g->n_output > MAX_PORTS) return false;
    bool ok = true;
    for (int32_t i = 0; i < g->n_input; i++)
        ok = ok && read_tensor(set, "input", i, a, &in[i]) && in[i].data;
    for (int32_t i = 0; i < g->n_output; i++)
        ok = ok && read_tensor(set, "output", i, a, &want[i]) && want[i].data;
    if (!ok) {
        printf("  inputs or outputs do not fit the graph\n");
        return false;
    }
    if (deft_graph_eval_create(g, &e, &err) != DEFT_OK ||
        deft_graph_eval_run(e, in, out, &err) != DEFT_OK) {
        printf("  %s\n", err.text);
        ok = false;
    }
    for (int32_t i = 0; ok && i < g->n_output; i++) ok = same(out[i], &want[i]);
    deft_graph_eval_destroy(e);
    return ok;
}

static bool run_test(const char *dir, deft_bytes model, deft_arena *a)
{
    char path[4500];
    deft_error err = {0};
    deft_graph *g = NULL;
    struct stat st;
    bool ok = deft_onnx_read(model, NULL, a, &g, &err) == DEFT_OK;
    if (!ok) printf("  %s\n", err.text);
    int sets = 0;
    for (; ok; sets++) {
        (void)snprintf(path, sizeof path, "%s/test_data_set_%d", dir, sets);
        if (stat(path, &st) != 0) break;
        ok = run_set(g, path, a);
    }
    return ok && sets > 0;
}

/* --- all tests ------------------------------------------------------------------------------- */

/* Operators that are the same since before opset 7, whose tests say an older opset. Deft reads 7 to
 * 21: these are run as opset 7. */
static const char *const unchanged[] = {"Elu",  "HardSigmoid", "Not",     "ReduceLogSum",
                                        "Selu", "Softplus",    "Softsign"};

static bool is_unchanged(const char *op)
{
    for (size_t i = 0; i < sizeof unchanged / sizeof unchanged[0]; i++)
        if (strcmp(unchanged[i], op) == 0) return true;
    return false;
}

/* The operator that a model tests, "several" where it is a graph of more than one, NULL where it
 * has one that Deft does not know. */
static const char *operator_of(const Onnx__GraphProto *g)
{
    const char *op = NULL;
    for (size_t i = 0; i < g->n_node; i++) {
        const Onnx__NodeProto *n = g->node[i];
        if (!n->op_type || !deft_op_known(n->op_type) || (n->domain && n->domain[0])) return NULL;
        op = op && strcmp(op, n->op_type) != 0 ? "several" : n->op_type;
    }
    return op;
}

/* dir/model.onnx as it is, or as opset 7 where that says the same; its operator is allocated in a,
 * NULL if Deft does not know it. */
static const char *read_model(const char *dir, deft_arena *a, deft_bytes *out)
{
    char path[4500];
    deft_error err = {0};
    (void)snprintf(path, sizeof path, "%s/model.onnx", dir);
    const deft_status s = deft_file_read(path, MAX_FILE, a, out, &err);
    Onnx__ModelProto *m =
        s == DEFT_OK ? onnx__model_proto__unpack(NULL, out->size, out->data) : NULL;
    CHECK(m && m->graph, "%s is no model: %s", dir, err.text);
    if (!m || !m->graph) return NULL;
    const char *op = operator_of(m->graph);
    if (op) op = deft_arena_strndup(a, op, strlen(op));
    if (op && is_unchanged(op) && m->n_opset_import == 1 && m->opset_import[0]->version < 7) {
        m->opset_import[0]->version = 7;
        out->size = onnx__model_proto__get_packed_size(m);
        uint8_t *data = deft_arena_alloc(a, out->size);
        out->size = onnx__model_proto__pack(m, data);
        out->data = data;
    }
    onnx__model_proto__free_unpacked(m, NULL);
    return op;
}

static int reason_to_leave(const char *test)
{
    for (int i = 0; i < N_LEFT_OUT; i++)
        if (strcmp(left_out[i].test, test) == 0) return i;
    return -1;
}

static void run_named(suite *s, const char *folder, const char *test)
{
    char dir[4400];
    (void)snprintf(dir, sizeof dir, "%s/%s", folder, test);
    deft_arena *a = deft_arena_create(0);
    deft_bytes model = {0};
    const char *op = read_model(dir, a, &model);
    if (!op) s->others++;
    if (op) {
        tally *t = tally_of(s, op);
        const int left = reason_to_leave(test);
        if (left >= 0) printf("%s is left out:\n", test);
        const bool ok = run_test(dir, model, a);
        if (left >= 0) {
            s->used[left] = true;
            t->left_out++;
            CHECK(!ok, "%s is left out, but passes", test);
        } else {
            t->passed += ok;
            t->failed += !ok;
            CHECK(ok, "%s (%s)", test, op);
        }
    }
    deft_arena_destroy(a);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_test(const struct dirent *e)
{
    return strncmp(e->d_name, "test_", 5) == 0;
}

static bool run_folder(suite *s, const char *data, const char *folder)
{
    char path[4096];
    struct dirent **list = NULL;
    (void)snprintf(path, sizeof path, "%s/%s", data, folder);
    const int n = scandir(path, &list, is_test, by_name);
    for (int i = 0; i < n; i++) {
        run_named(s, path, list[i]->d_name);
        free(list[i]);
    }
    free(list);
    return n > 0;
}

static int by_op(const void *a, const void *b)
{
    return strcmp(((const tally *)a)->op, ((const tally *)b)->op);
}

static void print_table(suite *s)
{
    int passed = 0, left = 0;
    qsort(s->op, (size_t)s->n_op, sizeof *s->op, by_op);
    printf("| operator | passed | left out |\n|---|---|---|\n");
    for (int i = 0; i < s->n_op; i++) {
        printf("| %s | %d | %d |\n", s->op[i].op, s->op[i].passed, s->op[i].left_out);
        passed += s->op[i].passed;
        left += s->op[i].left_out;
    }
    printf("| all | %d | %d |\n\n%d tests are of operators that Deft does not know.\n\nLeft out:\n",
           passed, left, s->others);
    for (int i = 0; i < N_LEFT_OUT; i++)
        if (s->used[i]) printf("- `%s`: %s\n", left_out[i].test, left_out[i].why);
    printf("\n");
}

int main(void)
{
    const char *data = getenv("DEFT_ONNX_TESTDATA");
    if (!data) data = "/usr/lib/python3/dist-packages/onnx/backend/test/data";
    static suite s;
    s.names = deft_arena_create(0);
    if (!run_folder(&s, data, "node")) CHECK_SKIP("libonnx-testdata is not installed");
    run_folder(&s, data, "simple");
    print_table(&s);
    for (int i = 0; i < N_PROMISED; i++)
        CHECK(deft_op_known(promised[i]), "%s is not known", promised[i]);
    deft_arena_destroy(s.names);
    return check_report();
}
