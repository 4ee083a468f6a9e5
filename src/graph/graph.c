/* graph.c - the graph as read: consistency, topological order, attributes, labels. */
#include "deft/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const deft_attr *deft_node_attr(const deft_node *n, const char *name)
{
    for (int32_t i = 0; i < n->n_attr; i++)
        if (strcmp(n->attr[i].name, name) == 0) return &n->attr[i];
    return NULL;
}

int64_t deft_node_int(const deft_node *n, const char *name, int64_t fallback)
{
    const deft_attr *a = deft_node_attr(n, name);
    return a && a->kind == DEFT_ATTR_INT ? a->i : fallback;
}

float deft_node_float(const deft_node *n, const char *name, float fallback)
{
    const deft_attr *a = deft_node_attr(n, name);
    return a && a->kind == DEFT_ATTR_FLOAT ? a->f : fallback;
}

const char *deft_graph_meta(const deft_graph *g, const char *key)
{
    for (int32_t i = 0; i < g->n_meta; i++)
        if (strcmp(g->meta[i].key, key) == 0) return g->meta[i].value;
    return NULL;
}

const char *deft_node_label(const deft_graph *g, int32_t node, char *buf, size_t n)
{
    char op[64], name[160];
    (void)deft_escape(op, sizeof op, g->node[node].op, 256);
    (void)deft_escape(name, sizeof name, g->node[node].name, 1024);
    if (name[0])
        (void)snprintf(buf, n, "node %d '%s' (%s)", (int)node, op, name);
    else
        (void)snprintf(buf, n, "node %d '%s'", (int)node, op);
    return buf;
}

static deft_status node_fail(const deft_graph *g, int32_t node, deft_status s, const char *what,
                             deft_error *err)
{
    char label[256];
    return deft_fail(err, s, "%s: %s", deft_node_label(g, node, label, sizeof label), what);
}

static deft_status value_fail(const deft_graph *g, int32_t value, const char *what, deft_error *err)
{
    char name[160];
    return deft_fail(err, DEFT_E_FORMAT, "value '%s': %s",
                     deft_escape(name, sizeof name, g->value[value].name, 1024), what);
}

static bool value_ok(const deft_graph *g, int32_t v)
{
    return v >= 0 && v < g->n_value;
}

/* Indices in range, one producer a value. */
static deft_status link_producers(deft_graph *g, deft_error *err)
{
    for (int32_t v = 0; v < g->n_value; v++) g->value[v].producer = -1;
    for (int32_t i = 0; i < g->n_input; i++) {
        if (!value_ok(g, g->input[i].value))
            return deft_fail(err, DEFT_E_FORMAT, "graph input %d names no value", (int)i);
        if (g->value[g->input[i].value].constant)
            return value_fail(g, g->input[i].value, "is both an input and a constant", err);
    }
    for (int32_t k = 0; k < g->n_node; k++) {
        const deft_node *n = &g->node[k];
        if (n->n_in < 0 || n->n_out < 1)
            return node_fail(g, k, DEFT_E_FORMAT, "has no outputs", err);
        for (int32_t i = 0; i < n->n_in; i++)
            if (n->in[i] != -1 && !value_ok(g, n->in[i]))
                return node_fail(g, k, DEFT_E_FORMAT, "an input names no value", err);
        for (int32_t i = 0; i < n->n_out; i++) {
            if (n->out[i] == -1) continue;
            if (!value_ok(g, n->out[i]))
                return node_fail(g, k, DEFT_E_FORMAT, "an output names no value", err);
            deft_value *v = &g->value[n->out[i]];
            if (v->constant || v->producer != -1)
                return value_fail(g, n->out[i], "is produced more than once", err);
            v->producer = k;
        }
    }
    for (int32_t i = 0; i < g->n_input; i++)
        if (g->value[g->input[i].value].producer != -1)
            return value_fail(g, g->input[i].value, "is an input and the result of a node", err);
    return DEFT_OK;
}

static bool is_input(const deft_graph *g, int32_t v)
{
    for (int32_t i = 0; i < g->n_input; i++)
        if (g->input[i].value == v) return true;
    return false;
}

/* Every value that is read exists. */
static deft_status check_sources(const deft_graph *g, deft_error *err)
{
    for (int32_t k = 0; k < g->n_node; k++)
        for (int32_t i = 0; i < g->node[k].n_in; i++) {
            const int32_t v = g->node[k].in[i];
            if (v == -1 || g->value[v].constant || g->value[v].producer != -1 || is_input(g, v))
                continue;
            char name[160], what[256];
            (void)snprintf(what, sizeof what, "reads '%s', which nothing produces",
                           deft_escape(name, sizeof name, g->value[v].name, 1024));
            return node_fail(g, k, DEFT_E_FORMAT, what, err);
        }
    if (g->n_output < 1) return deft_fail(err, DEFT_E_FORMAT, "the graph has no outputs");
    for (int32_t i = 0; i < g->n_output; i++) {
        const int32_t v = g->output[i].value;
        if (!value_ok(g, v))
            return deft_fail(err, DEFT_E_FORMAT, "graph output %d names no value", (int)i);
        if (!g->value[v].constant && g->value[v].producer == -1 && !is_input(g, v))
            return value_fail(g, v, "is an output that nothing produces", err);
    }
    return DEFT_OK;
}

/* Kahn's algorithm. consumers of node k are edge[first[k]] .. edge[first[k + 1]]. */
static deft_status sort_nodes(deft_graph *g, int32_t *waiting, int32_t *first, int32_t *edge,
                              int32_t *queue, deft_error *err)
{
    for (int32_t k = 0; k < g->n_node; k++)
        for (int32_t i = 0; i < g->node[k].n_in; i++) {
            const int32_t v = g->node[k].in[i];
            if (v == -1 || g->value[v].producer == -1) continue;
            waiting[k]++;
            first[g->value[v].producer + 1]++;
        }
    for (int32_t k = 0; k < g->n_node; k++) first[k + 1] += first[k];
    first[g->n_node + 1] = first[g->n_node];
    for (int32_t k = g->n_node - 1; k >= 0; k--)
        for (int32_t i = 0; i < g->node[k].n_in; i++) {
            const int32_t v = g->node[k].in[i];
            if (v == -1 || g->value[v].producer == -1) continue;
            const int32_t p = g->value[v].producer;
            edge[--first[p + 1]] = k; // first[p + 1] walks down to the start of p's run
        }
    int32_t head = 0, tail = 0;
    for (int32_t k = 0; k < g->n_node; k++)
        if (!waiting[k]) queue[tail++] = k;
    while (head < tail) {
        const int32_t p = queue[head++];
        for (int32_t e = first[p + 1]; e < first[p + 2]; e++)
            if (--waiting[edge[e]] == 0) queue[tail++] = edge[e];
    }
    if (tail == g->n_node) return DEFT_OK;
    for (int32_t k = 0; k < g->n_node; k++)
        if (waiting[k]) return node_fail(g, k, DEFT_E_FORMAT, "depends on itself (a cycle)", err);
    return DEFT_E_FORMAT;
}

static deft_status reorder(deft_graph *g, const int32_t *queue, deft_error *err)
{
    deft_node *sorted = DEFT_NEW_ARRAY(g->arena, deft_node, g->n_node);
    if (!sorted) return deft_fail(err, DEFT_E_SPACE, "no memory for %d nodes", (int)g->n_node);
    for (int32_t i = 0; i < g->n_node; i++) sorted[i] = g->node[queue[i]];
    g->node = sorted;
    for (int32_t k = 0; k < g->n_node; k++)
        for (int32_t i = 0; i < sorted[k].n_out; i++)
            if (sorted[k].out[i] != -1) g->value[sorted[k].out[i]].producer = k;
    return DEFT_OK;
}

deft_status deft_graph_finish(deft_graph *g, deft_error *err)
{
    if (g->opset < 7 || g->opset > 25)
        return deft_fail(err, DEFT_E_UNSUPPORTED, "opset %d: 7 to 25 are read", (int)g->opset);
    deft_status s = link_producers(g, err);
    if (s == DEFT_OK) s = check_sources(g, err);
    if (s != DEFT_OK || g->n_node == 0) return s;

    size_t n_edge = 0;
    for (int32_t k = 0; k < g->n_node; k++) n_edge += (size_t)g->node[k].n_in;
    const size_t n = (size_t)g->n_node;
    int32_t *work = calloc(3 * n + 2 + n_edge, sizeof *work);
    if (!work) return deft_fail(err, DEFT_E_SPACE, "no memory to sort %zu nodes", n);
    int32_t *waiting = work, *first = work + n, *queue = first + n + 2, *edge = queue + n;
    s = sort_nodes(g, waiting, first, edge, queue, err);
    if (s == DEFT_OK) s = reorder(g, queue, err);
    free(work);
    return s;
}
