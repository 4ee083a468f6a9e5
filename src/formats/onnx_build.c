/* onnx_build.c - nodes and tensors of an ONNX graph under construction. */
#include "formats/onnx_build.h"

#include <string.h>

enum { IR_VERSION = 8, OPSET = 17 };

/* An array with v behind the n items there are; grows in place where n is no power of two. */
static void *grow(onnx_builder *b, void *item, size_t n, size_t size)
{
    if (item && (n & (n - 1)) != 0) return item;
    char *more = deft_arena_array(b->a, n ? 2 * n : 1, size);
    if (!more) {
        b->failed = true;
        return NULL;
    }
    if (item) memcpy(more, item, n * size);
    return more;
}

void onnx_list_push(onnx_builder *b, onnx_list *list, void *item)
{
    if (!item) {
        b->failed = true;
        return;
    }
    void **more = (void **)grow(b, (void *)list->item, list->n, sizeof *list->item);
    if (!more) return;
    list->item = more;
    list->item[list->n++] = item;
}

/* protobuf-c's structures hold char *, and never write through them. */
static char *copy(onnx_builder *b, const char *s)
{
    char *p = deft_arena_strndup(b->a, s, strlen(s));
    if (!p) b->failed = true;
    return p;
}

static const char *join(onnx_builder *b, const char *prefix, char between, const char *part)
{
    const char *s = deft_arena_printf(b->a, "%s%c%s", prefix, between, part);
    if (s) return s;
    b->failed = true;
    return "";
}

const char *onnx_value_name(onnx_builder *b, const char *prefix, const char *part)
{
    return join(b, prefix, '/', part);
}

const char *onnx_tensor_name(onnx_builder *b, const char *prefix, const char *part)
{
    return join(b, prefix, '.', part);
}

static Onnx__NodeProto *last_node(onnx_builder *b)
{
    return b->failed || !b->node.n ? NULL : b->node.item[b->node.n - 1];
}

const char *onnx_add_node(onnx_builder *b, const char *op, const char *out, const char *const *in)
{
    Onnx__NodeProto *p = DEFT_NEW(b->a, Onnx__NodeProto);
    size_t n = 0;
    while (in[n]) n++;
    char **list = DEFT_NEW_ARRAY(b->a, char *, n);
    if (!p || !list) {
        b->failed = true;
        return "";
    }
    onnx__node_proto__init(p);
    for (size_t i = 0; i < n; i++) list[i] = copy(b, in[i]);
    p->op_type = copy(b, op);
    p->name = copy(b, out);
    p->n_input = n;
    p->input = list;
    onnx_list_push(b, &b->node, p);
    onnx_add_output(b, out);
    return out;
}

void onnx_add_output(onnx_builder *b, const char *out)
{
    Onnx__NodeProto *p = last_node(b);
    if (!p) return;
    char **list = (char **)grow(b, (void *)p->output, p->n_output, sizeof *list);
    if (!list) return;
    p->output = list;
    list[p->n_output++] = copy(b, out);
}

static Onnx__AttributeProto *add_attr(onnx_builder *b, const char *name)
{
    Onnx__NodeProto *p = last_node(b);
    Onnx__AttributeProto *at = p ? DEFT_NEW(b->a, Onnx__AttributeProto) : NULL;
    Onnx__AttributeProto **list =
        at ? (Onnx__AttributeProto **)grow(b, (void *)p->attribute, p->n_attribute, sizeof(void *))
           : NULL;
    if (!list) {
        b->failed = true;
        return NULL;
    }
    onnx__attribute_proto__init(at);
    at->name = copy(b, name);
    at->has_type = 1;
    p->attribute = list;
    list[p->n_attribute++] = at;
    return at;
}

void onnx_add_int(onnx_builder *b, const char *attr, int64_t v)
{
    Onnx__AttributeProto *at = add_attr(b, attr);
    if (!at) return;
    at->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
    at->has_i = 1;
    at->i = v;
}

void onnx_add_float(onnx_builder *b, const char *attr, float v)
{
    Onnx__AttributeProto *at = add_attr(b, attr);
    if (!at) return;
    at->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
    at->has_f = 1;
    at->f = v;
}

void onnx_add_ints(onnx_builder *b, const char *attr, size_t n, const int64_t *v)
{
    Onnx__AttributeProto *at = add_attr(b, attr);
    if (!at) return;
    at->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
    at->ints = deft_arena_copy(b->a, v, n * sizeof *v);
    at->n_ints = at->ints ? n : 0;
    if (!at->ints) b->failed = true;
}

/* raw_data is little-endian wherever this runs. */
static void store(uint8_t *to, uint64_t v, size_t size)
{
    for (size_t k = 0; k < size; k++) to[k] = (uint8_t)(v >> (8 * k));
}

static Onnx__TensorProto *add_tensor(onnx_builder *b, const char *name, int rank,
                                     const int64_t *dim, size_t size)
{
    size_t count = 1;
    for (int i = 0; i < rank; i++) count *= (size_t)dim[i];
    Onnx__TensorProto *t = DEFT_NEW(b->a, Onnx__TensorProto);
    uint8_t *data = deft_arena_array(b->a, count, size);
    int64_t *dims = deft_arena_copy(b->a, dim, (size_t)rank * sizeof *dim);
    if (!t || !data || !dims) {
        b->failed = true;
        return NULL;
    }
    onnx__tensor_proto__init(t);
    t->name = copy(b, name);
    t->n_dims = (size_t)rank;
    t->dims = dims;
    t->has_data_type = t->has_raw_data = 1;
    t->raw_data = (ProtobufCBinaryData){count * size, data};
    onnx_list_push(b, &b->tensor, t);
    return t;
}

static const char *add_floats(onnx_builder *b, const char *name, int rank, const int64_t *dim,
                              const float *v)
{
    Onnx__TensorProto *t = add_tensor(b, name, rank, dim, sizeof *v);
    if (!t) return "";
    t->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    for (size_t i = 0; i < t->raw_data.len / sizeof *v; i++) {
        uint32_t bits;
        memcpy(&bits, &v[i], sizeof bits);
        store(t->raw_data.data + i * sizeof *v, bits, sizeof *v);
    }
    return name;
}

const char *onnx_add_matrix(onnx_builder *b, const char *name, int32_t rows, int32_t cols,
                            const float *v)
{
    return add_floats(b, name, 2, (const int64_t[]){rows, cols}, v);
}

const char *onnx_add_vector(onnx_builder *b, const char *name, int32_t n, const float *v)
{
    return add_floats(b, name, 1, (const int64_t[]){n}, v);
}

const char *onnx_add_scalar(onnx_builder *b, const char *name, float v)
{
    return add_floats(b, name, 0, (const int64_t[]){0}, &v);
}

const char *onnx_add_int64(onnx_builder *b, const char *name, size_t n, const int64_t *v)
{
    Onnx__TensorProto *t = add_tensor(b, name, 1, (const int64_t[]){(int64_t)n}, sizeof *v);
    if (!t) return "";
    t->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__INT64;
    for (size_t i = 0; i < n; i++) store(t->raw_data.data + i * sizeof *v, (uint64_t)v[i], 8);
    return name;
}

void onnx_add_tensor(onnx_builder *b, const char *name, int32_t type, const deft_tensor *t)
{
    const size_t size = deft_dtype_size(t->dtype);
    Onnx__TensorProto *p = add_tensor(b, name, t->rank, t->dim, size);
    if (!p) return;
    p->data_type = type;
    for (size_t i = 0; i < (size_t)t->count; i++) {
        uint64_t v = 0;
        memcpy(&v, (const uint8_t *)t->data + i * size, size); // hosts are little-endian
        store(p->raw_data.data + i * size, v, size);
    }
}

/* One allocation for the four levels of a ValueInfoProto of up to three dimensions. */
typedef struct port_proto {
    Onnx__ValueInfoProto info;
    Onnx__TypeProto type;
    Onnx__TypeProto__Tensor tensor;
    Onnx__TensorShapeProto shape;
    Onnx__TensorShapeProto__Dimension dim[3], *dims[3];
} port_proto;

void onnx_add_port(onnx_builder *b, onnx_list *list, const char *name, int32_t type,
                   const int64_t *dim, int rank)
{
    port_proto *p = DEFT_NEW(b->a, port_proto);
    if (!p) {
        b->failed = true;
        return;
    }
    onnx__value_info_proto__init(&p->info);
    onnx__type_proto__init(&p->type);
    onnx__type_proto__tensor__init(&p->tensor);
    onnx__tensor_shape_proto__init(&p->shape);
    p->info.name = copy(b, name);
    p->info.type = &p->type;
    p->type.value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    p->type.tensor_type = &p->tensor;
    p->tensor.has_elem_type = 1;
    p->tensor.elem_type = type;
    p->tensor.shape = &p->shape;
    p->shape.n_dim = (size_t)rank;
    p->shape.dim = p->dims;
    for (int i = 0; i < rank && i < 3; i++) {
        onnx__tensor_shape_proto__dimension__init(&p->dim[i]);
        p->dim[i].value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        p->dim[i].dim_value = dim[i];
        p->dims[i] = &p->dim[i];
    }
    onnx_list_push(b, list, &p->info);
}

void onnx_add_meta(onnx_builder *b, const char *key, const char *value)
{
    Onnx__StringStringEntryProto *e = DEFT_NEW(b->a, Onnx__StringStringEntryProto);
    if (e) {
        onnx__string_string_entry_proto__init(e);
        e->key = copy(b, key);
        e->value = copy(b, value);
    }
    onnx_list_push(b, &b->meta, e);
}

void onnx_rename(onnx_builder *b, const char *old, const char *name)
{
    if (b->failed) return;
    for (size_t i = 0; i < b->node.n; i++) {
        Onnx__NodeProto *p = b->node.item[i];
        for (size_t k = 0; k < p->n_input; k++)
            if (strcmp(p->input[k], old) == 0) p->input[k] = copy(b, name);
        for (size_t k = 0; k < p->n_output; k++)
            if (strcmp(p->output[k], old) == 0) p->output[k] = copy(b, name);
    }
}

deft_status onnx_build(onnx_builder *b, const char *graph_name, deft_bytes *out, deft_error *err)
{
    Onnx__ModelProto m = ONNX__MODEL_PROTO__INIT;
    Onnx__GraphProto g = ONNX__GRAPH_PROTO__INIT;
    Onnx__OperatorSetIdProto opset = ONNX__OPERATOR_SET_ID_PROTO__INIT, *opsets[1] = {&opset};
    char domain[1] = "", producer[] = "deft";
    opset.domain = domain;
    opset.has_version = 1;
    opset.version = OPSET;
    g.name = copy(b, graph_name);
    g.n_node = b->node.n;
    g.node = (Onnx__NodeProto **)b->node.item;
    g.n_initializer = b->tensor.n;
    g.initializer = (Onnx__TensorProto **)b->tensor.item;
    g.n_input = b->input.n;
    g.input = (Onnx__ValueInfoProto **)b->input.item;
    g.n_output = b->output.n;
    g.output = (Onnx__ValueInfoProto **)b->output.item;
    m.has_ir_version = 1;
    m.ir_version = IR_VERSION;
    m.producer_name = producer;
    m.graph = &g;
    m.n_opset_import = 1;
    m.opset_import = opsets;
    m.n_metadata_props = b->meta.n;
    m.metadata_props = (Onnx__StringStringEntryProto **)b->meta.item;
    const size_t size = b->failed ? 0 : onnx__model_proto__get_packed_size(&m);
    uint8_t *data = b->failed ? NULL : deft_arena_alloc(b->a, size);
    if (!data) return deft_fail(err, DEFT_E_SPACE, "no memory for the ONNX model");
    *out = (deft_bytes){data, onnx__model_proto__pack(&m, data)};
    return DEFT_OK;
}
