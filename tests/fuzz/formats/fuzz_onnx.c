/* fuzz_onnx.c - any bytes as ONNX: read, evaluate once if small, understand, write, read back. */
#include "deft/formats.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_NODES = 200, MAX_ELEMENTS = 1 << 14, MAX_INPUTS = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int is_small(const deft_graph *g)
{
    int64_t n = 0;
    if (g->n_node > MAX_NODES || g->n_input > MAX_INPUTS) return 0;
    for (int32_t i = 0; i < g->n_value; i++)
        if (g->value[i].constant) n += g->value[i].constant->count;
    return n <= MAX_ELEMENTS;
}

/* Zeros of the declared shapes, 1 where they are open. */
static int make_inputs(const deft_graph *g, deft_arena *a, deft_tensor *in)
{
    for (int32_t i = 0; i < g->n_input; i++) {
        deft_port p = g->input[i];
        int64_t n = 1;
        if (p.rank < 0 || !p.dtype) return 0;
        for (int32_t k = 0; k < p.rank; k++) {
            if (p.dim[k] < 0) p.dim[k] = 1;
            if (p.dim[k] > MAX_ELEMENTS) return 0;
            n *= p.dim[k];
            if (n > MAX_ELEMENTS) return 0;
        }
        if (deft_tensor_init(&in[i], p.dtype, p.rank, p.dim, a) != DEFT_OK) return 0;
    }
    return 1;
}

/* Node by node in a small arena, so that shapes made to be huge take no time. */
static void evaluate(const deft_graph *g)
{
    deft_tensor in[MAX_INPUTS];
    deft_arena *a = deft_arena_create((size_t)4 << 20);
    const deft_tensor **value = DEFT_NEW_ARRAY(a, const deft_tensor *, g->n_value);
    int64_t work = deft_graph_work_step(g);
    const deft_op_env env = {g->opset, a, &work};
    deft_error err = {0};
    int ok = value && make_inputs(g, a, in);
    for (int32_t v = 0; ok && v < g->n_value; v++) value[v] = g->value[v].constant;
    for (int32_t i = 0; ok && i < g->n_input; i++) value[g->input[i].value] = &in[i];
    for (int32_t k = 0; ok && k < g->n_node; k++) {
        const deft_node *n = &g->node[k];
        const deft_tensor **x = DEFT_NEW_ARRAY(a, const deft_tensor *, n->n_in);
        deft_tensor *y = DEFT_NEW_ARRAY(a, deft_tensor, n->n_out);
        if (!x || !y) break;
        for (int32_t i = 0; i < n->n_in; i++) x[i] = n->in[i] == -1 ? NULL : value[n->in[i]];
        for (int32_t i = 0; i < n->n_in; i++) ok = ok && (n->in[i] == -1 || x[i]);
        ok = ok && deft_op_run(n, &env, x, y, &err) == DEFT_OK;
        for (int32_t i = 0; ok && i < n->n_out; i++)
            if (n->out[i] != -1 && y[i].data) value[n->out[i]] = &y[i];
    }
    deft_arena_destroy(a);
}

/* What is understood can be written, and what is written can be read. */
static void convert(deft_graph *g, deft_arena *a)
{
    deft_error err = {0};
    const deft_understand_options opt = {0};
    deft_model *m = NULL;
    deft_bytes bytes = {0};
    deft_graph *again = NULL;
    if (deft_understand(g, &opt, &m, &err) != DEFT_OK) return;
    if (deft_onnx_contract(g, m, &err) != DEFT_OK) return;
    if (deft_onnx_write(m, a, &bytes, &err) != DEFT_OK) abort();
    if (deft_onnx_read(bytes, NULL, a, &again, &err) != DEFT_OK) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    deft_arena *a = deft_arena_create((size_t)256 << 20);
    deft_graph *g = NULL;
    deft_error err = {0};
    if (!a) return 0;
    (void)deft_format_detect(data, size);
    // the folder does not exist: external data is parsed and then refused
    const deft_status s =
        deft_onnx_read((deft_bytes){data, size}, "no folder/model.onnx", a, &g, &err);
    if (s != DEFT_OK && (!err.text[0] || g)) abort();
    if (s == DEFT_OK && is_small(g)) {
        evaluate(g);
        convert(g, a);
    }
    deft_tensor t;
    if (size < 4096) (void)deft_onnx_read_tensor((deft_bytes){data, size}, a, &t, &err);
    deft_arena_destroy(a);
    return 0;
}
