/* onnx_read.c - ModelProto to graph. */
#include "formats/onnx_private.h"

#include <limits.h>
#include <string.h>

enum { MAX_NODES = 100000, MAX_NAMES = 1000000, IS_INPUT = -2 };

const char *onnx_text(const char *s)
{
    return s ? s : "";
}

static bool default_domain(const char *d)
{
    return !d || !d[0] || strcmp(d, "ai.onnx") == 0;
}

static deft_status no_memory(onnx_reader *r)
{
    return deft_fail(r->err, DEFT_E_SPACE, "no memory for the graph");
}

static deft_status check_model(const Onnx__ModelProto *m, deft_graph *g, deft_error *err)
{
    if (!m->graph) return deft_fail(err, DEFT_E_FORMAT, "no graph (not an ONNX model, or damaged)");
    if (m->n_functions)
        return deft_fail(err, DEFT_E_UNSUPPORTED, "local functions are not supported");
    if (m->graph->n_sparse_initializer)
        return deft_fail(err, DEFT_E_UNSUPPORTED, "sparse initializers are not supported");
    for (size_t i = 0; i < m->n_opset_import; i++) {
        if (!default_domain(m->opset_import[i]->domain)) continue;
        const int64_t v = m->opset_import[i]->version;
        if (v < 7 || v > 25)
            return deft_fail(err, DEFT_E_UNSUPPORTED, "opset %lld: 7 to 25 are read", (long long)v);
        g->opset = (int32_t)v;
    }
    if (!g->opset)
        return deft_fail(err, DEFT_E_FORMAT, "no opset of the default domain is imported");
    return DEFT_OK;
}

deft_status onnx_value_of(onnx_reader *r, const char *name, int32_t *index)
{
    if (r->local) {
        if (onnx_names_has(r->local, name))
            name = deft_arena_printf(r->local->arena, "%s/%s", r->prefix, name);
        if (!name) return no_memory(r);
    }
    return onnx_names_get(&r->names, name, index, r->err);
}

deft_status onnx_read_initializers(onnx_reader *r, Onnx__TensorProto *const *tensor, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const Onnx__TensorProto *t = tensor[i];
        char name[160];
        (void)deft_escape(name, sizeof name, onnx_text(t->name), 1024);
        if (!name[0]) return deft_fail(r->err, DEFT_E_FORMAT, "initializer %zu has no name", i);
        int32_t v = -1;
        deft_status s = onnx_value_of(r, t->name, &v);
        if (s != DEFT_OK) return s;
        deft_tensor *c = DEFT_NEW(r->a, deft_tensor);
        if (!c) return no_memory(r);
        if (r->names.value[v].constant)
            return deft_fail(r->err, DEFT_E_FORMAT, "initializer '%s' appears twice", name);
        s = onnx_tensor(t, r->dir, r->a, c, r->err);
        if (s != DEFT_OK) return deft_error_prefix(r->err, "initializer '%s'", name), s;
        r->names.value[v].constant = c;
    }
    return DEFT_OK;
}

static deft_status read_port(onnx_reader *r, const Onnx__ValueInfoProto *info, deft_port *port)
{
    char name[160];
    (void)deft_escape(name, sizeof name, onnx_text(info->name), 1024);
    if (!name[0]) return deft_fail(r->err, DEFT_E_FORMAT, "an input or output has no name");
    const deft_status s = onnx_names_get(&r->names, info->name, &port->value, r->err);
    if (s != DEFT_OK) return s;
    port->rank = -1;
    const Onnx__TypeProto *type = info->type;
    if (!type || type->value_case == ONNX__TYPE_PROTO__VALUE__NOT_SET) return DEFT_OK;
    if (type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE)
        return deft_fail(r->err, DEFT_E_UNSUPPORTED, "input or output '%s' is no tensor", name);
    port->dtype = onnx_dtype(type->tensor_type->elem_type);
    const Onnx__TensorShapeProto *shape = type->tensor_type->shape;
    if (!shape) return DEFT_OK;
    if (shape->n_dim > DEFT_MAX_RANK)
        return deft_fail(r->err, DEFT_E_RANGE, "'%s' has rank %zu: at most %d", name, shape->n_dim,
                         DEFT_MAX_RANK);
    port->rank = (int32_t)shape->n_dim;
    for (size_t i = 0; i < shape->n_dim; i++) {
        const Onnx__TensorShapeProto__Dimension *d = shape->dim[i];
        const bool known = d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        port->dim[i] = known && d->dim_value >= 0 ? d->dim_value : -1;
    }
    return DEFT_OK;
}

static deft_status read_ports(onnx_reader *r)
{
    deft_graph *g = r->g;
    g->input = DEFT_NEW_ARRAY(r->a, deft_port, r->p->n_input);
    g->output = DEFT_NEW_ARRAY(r->a, deft_port, r->p->n_output);
    if (!g->input || !g->output) return no_memory(r);
    for (size_t i = 0; i < r->p->n_input; i++) {
        deft_port port = {0};
        const deft_status s = read_port(r, r->p->input[i], &port);
        if (s != DEFT_OK) return s;
        deft_value *v = &r->names.value[port.value];
        if (v->constant) continue; // before IR version 4 initializers are listed as inputs too
        if (v->producer == IS_INPUT) {
            char name[160];
            return deft_fail(r->err, DEFT_E_FORMAT, "input '%s' appears twice",
                             deft_escape(name, sizeof name, v->name, 1024));
        }
        v->producer = IS_INPUT; // deft_graph_finish sets the real ones
        g->input[g->n_input++] = port;
    }
    for (size_t i = 0; i < r->p->n_output; i++) {
        const deft_status s = read_port(r, r->p->output[i], &g->output[g->n_output++]);
        if (s != DEFT_OK) return s;
    }
    return DEFT_OK;
}

/* A string attribute: NUL-terminated, none inside. */
static deft_status bytes_text(onnx_reader *r, ProtobufCBinaryData b, const char **out)
{
    if (b.len && memchr(b.data, 0, b.len))
        return deft_fail(r->err, DEFT_E_FORMAT, "a string holds a NUL");
    *out = deft_arena_strndup(r->a, b.len ? (const char *)b.data : "", b.len);
    return *out ? DEFT_OK : no_memory(r);
}

static deft_status read_lists(onnx_reader *r, const Onnx__AttributeProto *p, deft_attr *a)
{
    if (a->kind == DEFT_ATTR_INTS) {
        a->n = (int64_t)p->n_ints;
        a->ints = deft_arena_copy(r->a, p->ints, p->n_ints * sizeof *p->ints);
        return a->ints ? DEFT_OK : no_memory(r);
    }
    if (a->kind == DEFT_ATTR_FLOATS) {
        a->n = (int64_t)p->n_floats;
        a->floats = deft_arena_copy(r->a, p->floats, p->n_floats * sizeof *p->floats);
        return a->floats ? DEFT_OK : no_memory(r);
    }
    const char **list = DEFT_NEW_ARRAY(r->a, const char *, p->n_strings);
    if (!list) return no_memory(r);
    for (size_t i = 0; i < p->n_strings; i++) {
        const deft_status s = bytes_text(r, p->strings[i], &list[i]);
        if (s != DEFT_OK) return s;
    }
    a->n = (int64_t)p->n_strings;
    a->strings = list;
    return DEFT_OK;
}

static deft_attr_kind kind_of(const Onnx__AttributeProto *p)
{
    switch (p->type) {
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT:
        return DEFT_ATTR_INT;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT:
        return DEFT_ATTR_FLOAT;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING:
        return DEFT_ATTR_STRING;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR:
        return DEFT_ATTR_TENSOR;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS:
        return DEFT_ATTR_INTS;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS:
        return DEFT_ATTR_FLOATS;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRINGS:
        return DEFT_ATTR_STRINGS;
    default:
        return (deft_attr_kind)0;
    }
}

static deft_status read_attr(onnx_reader *r, const Onnx__AttributeProto *p, deft_attr *a)
{
    char name[80];
    (void)deft_escape(name, sizeof name, onnx_text(p->name), 256);
    a->name = deft_arena_strndup(r->a, onnx_text(p->name), 256);
    a->kind = kind_of(p);
    if (!a->name) return no_memory(r);
    if (p->ref_attr_name && p->ref_attr_name[0]) a->kind = (deft_attr_kind)0;
    if (a->kind == DEFT_ATTR_INT) {
        a->i = p->i;
    } else if (a->kind == DEFT_ATTR_FLOAT) {
        a->f = p->f;
    } else if (a->kind == DEFT_ATTR_STRING) {
        return bytes_text(r, p->s, &a->s);
    } else if (a->kind == DEFT_ATTR_TENSOR) {
        deft_tensor *t = DEFT_NEW(r->a, deft_tensor);
        if (!t || !p->t)
            return deft_fail(r->err, DEFT_E_FORMAT, "attribute '%s' has no tensor", name);
        const deft_status s = onnx_tensor(p->t, r->dir, r->a, t, r->err);
        if (s != DEFT_OK) return deft_error_prefix(r->err, "attribute '%s'", name), s;
        a->t = t;
    } else if (a->kind) {
        return read_lists(r, p, a);
    } else {
        return deft_fail(r->err, DEFT_E_UNSUPPORTED,
                         "attribute '%s' holds a subgraph or another kind that is not supported",
                         name);
    }
    return DEFT_OK;
}

static deft_status read_edges(onnx_reader *r, char **names, size_t n, int32_t **out)
{
    int32_t *edge = DEFT_NEW_ARRAY(r->a, int32_t, n);
    if (!edge) return no_memory(r);
    for (size_t i = 0; i < n; i++) {
        edge[i] = -1;
        if (!names[i] || !names[i][0]) continue;
        const deft_status s = onnx_value_of(r, names[i], &edge[i]);
        if (s != DEFT_OK) return s;
    }
    *out = edge;
    return DEFT_OK;
}

static deft_status read_node(onnx_reader *r, const Onnx__NodeProto *p, deft_node *n)
{
    if (!default_domain(p->domain)) {
        // Gelu of ONNX Runtime's domain is the default domain's of opset 20
        if (strcmp(p->domain, "com.microsoft") != 0 || !p->op_type ||
            strcmp(p->op_type, "Gelu") != 0) {
            char domain[80];
            return deft_fail(r->err, DEFT_E_UNSUPPORTED, "domain '%s' is not supported",
                             deft_escape(domain, sizeof domain, p->domain, 256));
        }
    }
    n->name = deft_arena_strndup(r->a, onnx_text(p->name), 1024);
    n->op = deft_arena_strndup(r->a, onnx_text(p->op_type), 256);
    if (!n->name || !n->op) return no_memory(r);
    if (!n->op[0]) return deft_fail(r->err, DEFT_E_FORMAT, "the operator has no name");
    if (p->n_input > 4096 || p->n_output > 4096 || p->n_attribute > 256)
        return deft_fail(r->err, DEFT_E_RANGE, "too many inputs, outputs or attributes");
    n->n_in = (int32_t)p->n_input;
    n->n_out = (int32_t)p->n_output;
    n->n_attr = (int32_t)p->n_attribute;
    int32_t *in = NULL, *out = NULL;
    deft_status s = read_edges(r, p->input, p->n_input, &in);
    if (s == DEFT_OK) s = read_edges(r, p->output, p->n_output, &out);
    deft_attr *attr = DEFT_NEW_ARRAY(r->a, deft_attr, p->n_attribute);
    if (s == DEFT_OK && !attr) s = no_memory(r);
    for (size_t i = 0; s == DEFT_OK && i < p->n_attribute; i++)
        s = read_attr(r, p->attribute[i], &attr[i]);
    n->in = in;
    n->out = out;
    n->attr = attr;
    return s;
}

deft_status onnx_read_nodes(onnx_reader *r, Onnx__NodeProto *const *node, size_t n)
{
    deft_graph *g = r->g;
    for (size_t i = 0; i < n; i++) {
        const Onnx__NodeProto *p = node[i];
        const bool branches = default_domain(p->domain) && strcmp(onnx_text(p->op_type), "If") == 0;
        const deft_status s =
            branches && !r->local ? onnx_read_if(r, p) : read_node(r, p, &g->node[g->n_node++]);
        if (s != DEFT_OK) {
            char op[64], name[160];
            return deft_error_prefix(r->err, "node %zu '%s' (%s)", i,
                                     deft_escape(op, sizeof op, onnx_text(p->op_type), 256),
                                     deft_escape(name, sizeof name, onnx_text(p->name), 1024)),
                   s;
        }
    }
    return DEFT_OK;
}

static deft_status read_meta(onnx_reader *r, const Onnx__ModelProto *m)
{
    deft_graph *g = r->g;
    g->meta = DEFT_NEW_ARRAY(r->a, deft_meta, m->n_metadata_props);
    if (!g->meta) return no_memory(r);
    for (size_t i = 0; i < m->n_metadata_props; i++) {
        const Onnx__StringStringEntryProto *e = m->metadata_props[i];
        deft_meta *to = &g->meta[g->n_meta++];
        to->key = deft_arena_strndup(r->a, onnx_text(e->key), 1024);
        to->value = deft_arena_strndup(r->a, onnx_text(e->value), strlen(onnx_text(e->value)));
        if (!to->key || !to->value) return no_memory(r);
    }
    g->producer = deft_arena_printf(r->a, "%.100s%s%.100s", onnx_text(m->producer_name),
                                    m->producer_version && m->producer_version[0] ? " " : "",
                                    onnx_text(m->producer_version));
    return g->producer ? DEFT_OK : no_memory(r);
}

static deft_status read_graph(onnx_reader *r, const Onnx__ModelProto *m)
{
    deft_status s = check_model(m, r->g, r->err);
    if (s != DEFT_OK) return s;
    size_t nodes = r->p->n_node, names = r->p->n_initializer + r->p->n_input + r->p->n_output;
    onnx_if_room(r->p, &nodes, &names);
    for (size_t i = 0; i < r->p->n_node; i++)
        names += r->p->node[i]->n_input + r->p->node[i]->n_output;
    if (names > MAX_NAMES) return deft_fail(r->err, DEFT_E_RANGE, "%zu names are too many", names);
    if (nodes > MAX_NODES) return deft_fail(r->err, DEFT_E_RANGE, "%zu nodes are too many", nodes);
    r->g->node = DEFT_NEW_ARRAY(r->a, deft_node, nodes);
    if (onnx_names_init(&r->names, (int32_t)names, r->a) != DEFT_OK || !r->g->node)
        return no_memory(r);
    s = onnx_read_initializers(r, r->p->initializer, r->p->n_initializer);
    if (s == DEFT_OK) s = read_ports(r);
    if (s == DEFT_OK) s = onnx_read_nodes(r, r->p->node, r->p->n_node);
    if (s == DEFT_OK) s = read_meta(r, m);
    if (s != DEFT_OK) return s;
    r->g->value = r->names.value;
    r->g->n_value = r->names.n;
    return deft_graph_finish(r->g, r->err);
}

/* The folder of path, in the arena. */
static const char *folder_of(const char *path, deft_arena *a)
{
    const char *slash = strrchr(path, '/');
    if (!slash) return ".";
    return deft_arena_strndup(a, path, slash == path ? 1 : (size_t)(slash - path));
}

deft_status deft_onnx_read(deft_bytes bytes, const char *path, deft_arena *a, deft_graph **out,
                           deft_error *err)
{
    *out = NULL;
    char name[200];
    (void)deft_escape(name, sizeof name, path ? path : "(memory)", PATH_MAX);
    deft_status s = onnx_scan(bytes, &onnx__model_proto__descriptor, err);
    if (s != DEFT_OK) return deft_error_prefix(err, "%s", name), s;
    deft_arena *work = deft_arena_create(((size_t)64 << 20) + 16 * bytes.size);
    deft_graph *g = DEFT_NEW(a, deft_graph);
    if (!work || !g) {
        deft_arena_destroy(work);
        return deft_fail(err, DEFT_E_SPACE, "%s: no memory", name);
    }
    ProtobufCAllocator allocator = onnx_allocator(work);
    const Onnx__ModelProto *m = onnx__model_proto__unpack(&allocator, bytes.size, bytes.data);
    if (m) {
        g->arena = a;
        g->size = bytes.size;
        g->source = deft_arena_strndup(a, path ? path : "", PATH_MAX);
        deft_sha256(bytes.data, bytes.size, g->sha256);
        onnx_reader r = {.g = g, .a = a, .p = m->graph, .err = err};
        r.work = deft_graph_work_constants(g);
        r.dir = DEFT_NEW(work, onnx_folder);
        if (r.dir) {
            r.dir->path = path ? folder_of(path, work) : NULL;
            r.dir->left = ONNX_SHARED;
            s = read_graph(&r, m);
            g->size += r.dir->read;
        } else {
            s = no_memory(&r);
        }
    } else {
        s = deft_fail(err, DEFT_E_FORMAT, "not an ONNX model, damaged, or too large in memory");
    }
    deft_arena_destroy(work);
    if (s != DEFT_OK) return deft_error_prefix(err, "%s", name), s;
    *out = g;
    return DEFT_OK;
}

deft_status deft_onnx_read_file(const char *path, deft_arena *a, deft_graph **out, deft_error *err)
{
    deft_bytes bytes;
    const deft_status s = deft_file_read(path, 0, a, &bytes, err);
    return s == DEFT_OK ? deft_onnx_read(bytes, path, a, out, err) : s;
}

deft_status deft_onnx_read_tensor(deft_bytes bytes, deft_arena *a, deft_tensor *out,
                                  deft_error *err)
{
    deft_status s = onnx_scan(bytes, &onnx__tensor_proto__descriptor, err);
    if (s != DEFT_OK) return s;
    deft_arena *work = deft_arena_create(((size_t)16 << 20) + 16 * bytes.size);
    if (!work) return deft_fail(err, DEFT_E_SPACE, "no memory");
    ProtobufCAllocator allocator = onnx_allocator(work);
    const Onnx__TensorProto *p = onnx__tensor_proto__unpack(&allocator, bytes.size, bytes.data);
    s = p ? onnx_tensor(p, NULL, a, out, err)
          : deft_fail(err, DEFT_E_FORMAT, "not a tensor, or damaged");
    deft_arena_destroy(work);
    return s;
}
