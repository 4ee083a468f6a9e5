/* onnx_write_graph.c - any graph as ONNX again: what passes over graphs made. */
#include "formats/onnx_write.h"

#include <string.h>

enum { OPSET = 17, MAX_PORT_RANK = 3 };

static int32_t onnx_type(deft_dtype t)
{
    switch (t) {
    case DEFT_F32:
        return ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    case DEFT_F64:
        return ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE;
    case DEFT_I8:
        return ONNX__TENSOR_PROTO__DATA_TYPE__INT8;
    case DEFT_U8:
        return ONNX__TENSOR_PROTO__DATA_TYPE__UINT8;
    case DEFT_I16:
        return ONNX__TENSOR_PROTO__DATA_TYPE__INT16;
    case DEFT_U16:
        return ONNX__TENSOR_PROTO__DATA_TYPE__UINT16;
    case DEFT_I32:
        return ONNX__TENSOR_PROTO__DATA_TYPE__INT32;
    case DEFT_U32:
        return ONNX__TENSOR_PROTO__DATA_TYPE__UINT32;
    case DEFT_I64:
        return ONNX__TENSOR_PROTO__DATA_TYPE__INT64;
    case DEFT_U64:
        return ONNX__TENSOR_PROTO__DATA_TYPE__UINT64;
    case DEFT_BOOL:
        return ONNX__TENSOR_PROTO__DATA_TYPE__BOOL;
    default: // readers widen DEFT_F16
        return ONNX__TENSOR_PROTO__DATA_TYPE__UNDEFINED;
    }
}

static bool add_attribute(onnx_builder *b, const deft_attr *t)
{
    switch (t->kind) {
    case DEFT_ATTR_INT:
        onnx_add_int(b, t->name, t->i);
        return true;
    case DEFT_ATTR_FLOAT:
        onnx_add_float(b, t->name, t->f);
        return true;
    case DEFT_ATTR_INTS:
        onnx_add_ints(b, t->name, (size_t)t->n, t->ints);
        return true;
    default:
        return false;
    }
}

static const char *value_name(const deft_graph *g, int32_t value)
{
    return value < 0 ? "" : g->value[value].name;
}

static deft_status add_node(onnx_builder *b, const deft_graph *g, int32_t k, deft_error *err)
{
    const deft_node *const n = &g->node[k];
    char label[160];
    const char **in = DEFT_NEW_ARRAY(b->a, const char *, n->n_in + 1);
    if (!in) return deft_fail(err, DEFT_E_SPACE, "no memory for the ONNX model");
    for (int32_t i = 0; i < n->n_in; i++) in[i] = value_name(g, n->in[i]);
    (void)onnx_add_node(b, n->op, value_name(g, n->out[0]), in);
    for (int32_t i = 1; i < n->n_out; i++) onnx_add_output(b, value_name(g, n->out[i]));
    for (int32_t i = 0; i < n->n_attr; i++) {
        if (add_attribute(b, &n->attr[i])) continue;
        return deft_fail(err, DEFT_E_UNSUPPORTED, "%s: its attributes cannot be written",
                         deft_node_label(g, k, label, sizeof label));
    }
    return DEFT_OK;
}

static deft_status add_port(onnx_builder *b, onnx_list *list, const deft_graph *g,
                            const deft_port *p, deft_error *err)
{
    if (p->rank < 0 || p->rank > MAX_PORT_RANK) {
        char name[80];
        return deft_fail(err, DEFT_E_UNSUPPORTED, "'%s' has no shape of up to %d dimensions",
                         deft_escape(name, sizeof name, value_name(g, p->value), 60),
                         MAX_PORT_RANK);
    }
    onnx_add_port(b, list, value_name(g, p->value), onnx_type(p->dtype), p->dim, p->rank);
    return DEFT_OK;
}

/* Values that a node reads or that the graph gives: passes leave constants behind. */
static bool *mark_used(const deft_graph *g, deft_arena *a)
{
    bool *const used = DEFT_NEW_ARRAY(a, bool, g->n_value + 1);
    if (!used) return NULL;
    for (int32_t k = 0; k < g->n_node; k++) {
        for (int32_t i = 0; i < g->node[k].n_in; i++) {
            if (g->node[k].in[i] >= 0) used[g->node[k].in[i]] = true;
        }
    }
    for (int32_t k = 0; k < g->n_output; k++) used[g->output[k].value] = true;
    return used;
}

deft_status deft_onnx_write_graph(const deft_graph *g, deft_arena *a, deft_bytes *out,
                                  deft_error *err)
{
    onnx_builder b = {.a = a};
    deft_status s = DEFT_OK;
    bool *const used = mark_used(g, a);
    if (!used) return deft_fail(err, DEFT_E_SPACE, "no memory for the ONNX model");
    if (g->opset != OPSET) {
        return deft_fail(err, DEFT_E_UNSUPPORTED, "only graphs of opset %d are written", OPSET);
    }
    for (int32_t k = 0; k < g->n_value; k++) {
        const deft_tensor *const t = g->value[k].constant;
        if (t && used[k]) onnx_add_tensor(&b, g->value[k].name, onnx_type(t->dtype), t);
    }
    for (int32_t k = 0; s == DEFT_OK && k < g->n_node; k++) s = add_node(&b, g, k, err);
    for (int32_t k = 0; s == DEFT_OK && k < g->n_input; k++)
        s = add_port(&b, &b.input, g, &g->input[k], err);
    for (int32_t k = 0; s == DEFT_OK && k < g->n_output; k++)
        s = add_port(&b, &b.output, g, &g->output[k], err);
    for (int32_t k = 0; k < g->n_meta; k++) onnx_add_meta(&b, g->meta[k].key, g->meta[k].value);
    return s == DEFT_OK ? onnx_build(&b, "policy", out, err) : s;
}
