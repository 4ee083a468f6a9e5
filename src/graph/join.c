/* join.c - an encoder and a policy that reads its output, each a graph, as one graph. */
#include "deft/graph.h"

#include <string.h>

typedef struct joiner {
    const deft_graph *first, *second;
    deft_graph *g;
    int32_t latent;  // output port of the first
    int32_t port;    // input port of the second that reads it
    int64_t n, rest; // elements of the latent; what else the port reads
    deft_error *err;
} joiner;

static deft_status no_memory(const joiner *j)
{
    return deft_fail(j->err, DEFT_E_SPACE, "no memory to join two graphs");
}

static const char *input_name(const deft_graph *g, int32_t i)
{
    return g->value[g->input[i].value].name;
}

static const char *output_name(const deft_graph *g, int32_t i)
{
    return g->value[g->output[i].value].name;
}

/* Elements, what is not declared counting as 1; -1 without a shape. */
static int64_t count(const deft_port *p)
{
    int64_t n = 1;
    for (int32_t d = 0; d < p->rank; d++) {
        const int64_t size = p->dim[d] < 0 ? 1 : p->dim[d];
        if (size > 0 && n > INT32_MAX / size) return -1;
        n *= size;
    }
    return p->rank < 0 ? -1 : n;
}

/* The encoder's output: the only one, or the one with the name of an input. */
static deft_status find_latent(joiner *j)
{
    j->latent = j->first->n_output == 1 ? 0 : -1;
    for (int32_t q = 0; j->latent < 0 && q < j->first->n_output; q++)
        for (int32_t i = 0; i < j->second->n_input; i++)
            if (strcmp(output_name(j->first, q), input_name(j->second, i)) == 0) j->latent = q;
    if (j->latent < 0)
        return deft_fail(j->err, DEFT_E_UNSUPPORTED,
                         "the encoder has %d outputs, and none has the name of an input of the "
                         "policy",
                         (int)j->first->n_output);
    j->n = count(&j->first->output[j->latent]);
    return j->n > 0 ? DEFT_OK
                    : deft_fail(j->err, DEFT_E_UNSUPPORTED,
                                "the encoder's output does not declare its shape");
}

/* The input that reads it: of its name, the only one of its size, or the only one that is larger.
 */
static deft_status find_port(joiner *j)
{
    int32_t equal = 0, larger = 0, named = -1, at = -1, wide = -1;
    for (int32_t i = 0; i < j->second->n_input; i++) {
        const int64_t n = count(&j->second->input[i]);
        if (n == j->n && strcmp(output_name(j->first, j->latent), input_name(j->second, i)) == 0)
            named = i;
        if (n == j->n) at = i, equal++;
        if (n > j->n) wide = i, larger++;
    }
    j->port = named >= 0 ? named : equal == 1 ? at : equal == 0 && larger == 1 ? wide : -1;
    if (j->port < 0)
        return deft_fail(j->err, DEFT_E_UNSUPPORTED,
                         "which input of the policy reads the encoder's %lld outputs cannot be "
                         "told: %d inputs have that size, %d are larger; give it the name of the "
                         "encoder's output",
                         (long long)j->n, (int)equal, (int)larger);
    j->rest = count(&j->second->input[j->port]) - j->n;
    return DEFT_OK;
}

/* --- the graph of both ------------------------------------------------------------------------ */

static deft_status copy_values(joiner *j, const deft_graph *from, const char *prefix)
{
    for (int32_t v = 0; v < from->n_value; v++) {
        deft_value *const to = &j->g->value[j->g->n_value++];
        *to = from->value[v];
        to->name = deft_arena_printf(j->g->arena, "%s%s", prefix, from->value[v].name);
        if (!to->name) return no_memory(j);
    }
    return DEFT_OK;
}

static const int32_t *moved(joiner *j, const int32_t *index, int32_t n, int32_t by)
{
    int32_t *const to = DEFT_NEW_ARRAY(j->g->arena, int32_t, n);
    for (int32_t i = 0; to && i < n; i++) to[i] = index[i] < 0 ? -1 : index[i] + by;
    return to;
}

static deft_status copy_nodes(joiner *j, const deft_graph *from, int32_t by)
{
    for (int32_t k = 0; k < from->n_node; k++) {
        deft_node *const to = &j->g->node[j->g->n_node++];
        *to = from->node[k];
        to->in = moved(j, from->node[k].in, from->node[k].n_in, by);
        to->out = moved(j, from->node[k].out, from->node[k].n_out, by);
        if (!to->in || !to->out) return no_memory(j);
    }
    return DEFT_OK;
}

static deft_status add_node(joiner *j, const char *op, const int32_t *in, int32_t n_in, int32_t out)
{
    deft_node *const n = &j->g->node[j->g->n_node++];
    deft_attr *const axis = DEFT_NEW(j->g->arena, deft_attr);
    *n = (deft_node){.name = "encoder", .op = op, .n_in = n_in, .n_out = 1};
    n->in = deft_arena_copy(j->g->arena, in, (size_t)n_in * sizeof *in);
    n->out = deft_arena_copy(j->g->arena, &out, sizeof out);
    if (!n->in || !n->out || !axis) return no_memory(j);
    if (n_in != 2 || strcmp(op, "Concat") != 0) return DEFT_OK;
    *axis = (deft_attr){.name = "axis", .kind = DEFT_ATTR_INT, .i = -1};
    n->attr = axis;
    n->n_attr = 1;
    return DEFT_OK;
}

static int32_t add_value(joiner *j, const char *name, const deft_tensor *constant)
{
    j->g->value[j->g->n_value] = (deft_value){name, constant, -1};
    return j->g->n_value++;
}

/* The latent in the shape of the port, without what else the port reads. */
static deft_status reshape(joiner *j, int32_t value, int32_t *out)
{
    const deft_port *const p = &j->second->input[j->port];
    deft_tensor *const shape = DEFT_NEW(j->g->arena, deft_tensor);
    const int64_t rank = p->rank;
    if (!shape || deft_tensor_init(shape, DEFT_I64, 1, &rank, j->g->arena) != DEFT_OK)
        return no_memory(j);
    for (int32_t d = 0; d < p->rank; d++)
        ((int64_t *)shape->data)[d] = p->dim[d] < 0 ? 1 : p->dim[d];
    if (p->rank > 0) ((int64_t *)shape->data)[p->rank - 1] -= j->rest;
    const int32_t in[2] = {value, add_value(j, "encoder/shape", shape)};
    *out = add_value(j, "encoder/latent", NULL);
    return add_node(j, "Reshape", in, 2, *out);
}

/* Connects the two; `rest` is the value of what else the port reads. */
static deft_status connect(joiner *j, int32_t by, bool latent_first)
{
    const int32_t from = j->first->output[j->latent].value;
    const int32_t to = j->second->input[j->port].value + by;
    int32_t latent;
    deft_status s = reshape(j, from, &latent);
    if (s != DEFT_OK) return s;
    if (j->rest == 0) return add_node(j, "Identity", &latent, 1, to);
    deft_port p = j->second->input[j->port];
    p.value = add_value(j, "encoder/rest", NULL);
    j->g->value[p.value].name =
        deft_arena_printf(j->g->arena, "%s/rest", input_name(j->second, j->port));
    if (!j->g->value[p.value].name) return no_memory(j);
    p.dim[p.rank - 1] = j->rest;
    j->g->input[j->g->n_input++] = p;
    const int32_t both[2] = {latent_first ? latent : p.value, latent_first ? p.value : latent};
    return add_node(j, "Concat", both, 2, to);
}

static bool allocate(joiner *j)
{
    deft_graph *const g = j->g;
    const int32_t values = j->first->n_value + j->second->n_value + 4;
    g->value = DEFT_NEW_ARRAY(g->arena, deft_value, values);
    g->node = DEFT_NEW_ARRAY(g->arena, deft_node, j->first->n_node + j->second->n_node + 2);
    g->input = DEFT_NEW_ARRAY(g->arena, deft_port, j->first->n_input + j->second->n_input + 1);
    g->output = DEFT_NEW_ARRAY(g->arena, deft_port, j->first->n_output + j->second->n_output);
    return g->value && g->node && g->input && g->output;
}

static deft_status build(joiner *j, bool latent_first)
{
    deft_graph *const g = j->g;
    *g = *j->second;
    g->n_value = g->n_node = g->n_input = g->n_output = 0;
    if (!allocate(j)) return no_memory(j);
    deft_status s = copy_values(j, j->first, "encoder/");
    const int32_t by = g->n_value;
    if (s == DEFT_OK) s = copy_values(j, j->second, "");
    if (s == DEFT_OK) s = copy_nodes(j, j->first, 0);
    if (s == DEFT_OK) s = copy_nodes(j, j->second, by);
    for (int32_t i = 0; i < j->first->n_input; i++) g->input[g->n_input++] = j->first->input[i];
    if (s == DEFT_OK) s = connect(j, by, latent_first);
    for (int32_t i = 0; i < j->second->n_input; i++) {
        if (i == j->port) continue;
        g->input[g->n_input] = j->second->input[i];
        g->input[g->n_input++].value += by;
    }
    for (int32_t q = 0; q < j->second->n_output; q++) {
        g->output[g->n_output] = j->second->output[q];
        g->output[g->n_output++].value += by;
    }
    for (int32_t q = 0; q < j->first->n_output; q++)
        if (q != j->latent) g->output[g->n_output++] = j->first->output[q];
    return s == DEFT_OK ? deft_graph_finish(g, j->err) : s;
}

deft_status deft_graph_join(const deft_graph *encoder, const deft_graph *policy, const char *place,
                            deft_graph **out, deft_error *err)
{
    *out = NULL;
    joiner j = {.first = encoder, .second = policy, .err = err};
    if (encoder->opset != policy->opset)
        return deft_fail(err, DEFT_E_UNSUPPORTED,
                         "the encoder has opset %d and the policy %d: export both with one",
                         (int)encoder->opset, (int)policy->opset);
    deft_status s = find_latent(&j);
    if (s == DEFT_OK) s = find_port(&j);
    if (s != DEFT_OK) return s;
    char name[160];
    (void)deft_escape(name, sizeof name, input_name(policy, j.port), 1024);
    if (j.rest > 0 && !place)
        return deft_fail(err, DEFT_E_UNSUPPORTED,
                         "the policy's input '%s' reads the encoder's %lld outputs and %lld other "
                         "numbers, in an order that no file tells: say --encoder-output first (or "
                         "last)",
                         name, (long long)j.n, (long long)j.rest);
    if (j.rest == 0 && place)
        return deft_fail(err, DEFT_E_ARG,
                         "--encoder-output: the policy's input '%s' reads nothing else", name);
    j.g = DEFT_NEW(policy->arena, deft_graph);
    if (!j.g) return no_memory(&j);
    s = build(&j, place && strcmp(place, "first") == 0);
    if (s == DEFT_OK) *out = j.g;
    return s;
}
