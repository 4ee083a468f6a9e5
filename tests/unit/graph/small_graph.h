/* small_graph.h - graphs by hand, and a recurrent policy in both forms. */
#ifndef DEFT_TESTS_SMALL_GRAPH_H
#define DEFT_TESTS_SMALL_GRAPH_H

#include "../emit/random_model.h"
#include "check.h"

enum { SMALL_VALUES = 64, SMALL_NODES = 32 };

typedef struct small_graph {
    deft_graph g;
    deft_value value[SMALL_VALUES];
    deft_node node[SMALL_NODES];
    deft_port input[4], output[4];
} small_graph;

static inline void small_init(small_graph *s, deft_arena *a)
{
    *s = (small_graph){.g = {.arena = a, .source = "by hand", .producer = "", .opset = 17}};
    s->g.value = s->value;
    s->g.node = s->node;
    s->g.input = s->input;
    s->g.output = s->output;
}

static inline int32_t small_value(small_graph *s, const char *name)
{
    s->value[s->g.n_value] = (deft_value){name, NULL, -1};
    return s->g.n_value++;
}

static inline int32_t small_input(small_graph *s, const char *name, int32_t rank,
                                  const int64_t *dim)
{
    deft_port p = {.value = small_value(s, name), .dtype = DEFT_F32, .rank = rank};
    for (int32_t i = 0; i < rank; i++) p.dim[i] = dim[i];
    s->input[s->g.n_input++] = p;
    return p.value;
}

static inline void small_output(small_graph *s, int32_t value)
{
    s->output[s->g.n_output++] = (deft_port){.value = value, .dtype = DEFT_F32, .rank = -1};
}

static inline int32_t small_floats(small_graph *s, const char *name, int32_t rank,
                                   const int64_t *dim, const float *x)
{
    deft_tensor *t = DEFT_NEW(s->g.arena, deft_tensor);
    CHECK(deft_tensor_init(t, DEFT_F32, rank, dim, s->g.arena) == DEFT_OK, "%s", name);
    memcpy(t->data, x, (size_t)t->count * sizeof *x);
    const int32_t v = small_value(s, name);
    s->value[v].constant = t;
    return v;
}

static inline int32_t small_ints(small_graph *s, const char *name, int64_t n, const int64_t *x)
{
    deft_tensor *t = DEFT_NEW(s->g.arena, deft_tensor);
    CHECK(deft_tensor_init(t, DEFT_I64, 1, &n, s->g.arena) == DEFT_OK, "%s", name);
    memcpy(t->data, x, (size_t)n * sizeof *x);
    const int32_t v = small_value(s, name);
    s->value[v].constant = t;
    return v;
}

/* A node of one output, called as its output. */
static inline int32_t small_node(small_graph *s, const char *op, const char *name, int32_t n_in,
                                 const int32_t *in)
{
    deft_node *n = &s->node[s->g.n_node++];
    int32_t *out = DEFT_NEW_ARRAY(s->g.arena, int32_t, 1);
    out[0] = small_value(s, name);
    *n = (deft_node){.name = name, .op = op, .n_in = n_in, .n_out = 1, .out = out};
    n->in = deft_arena_copy(s->g.arena, in, (size_t)n_in * sizeof *in);
    return out[0];
}

/* Attribute of the last node. */
static inline void small_attr(small_graph *s, deft_attr attr)
{
    deft_node *n = &s->node[s->g.n_node - 1];
    deft_attr *all = DEFT_NEW_ARRAY(s->g.arena, deft_attr, n->n_attr + 1);
    for (int32_t i = 0; i < n->n_attr; i++) all[i] = n->attr[i];
    all[n->n_attr++] = attr;
    n->attr = all;
}

/* --- obs [1][3] -> GRU of 2 -> dense, tanh -> act [1][2], next state ------------------------- */

enum { SMALL_OBS = 3, SMALL_H = 2, SMALL_ACT = 2 };

typedef struct small_policy {
    small_graph graph;
    deft_model model;
    deft_layer layer[2];
    deft_segment segment[4];
    deft_port_role port[2];
} small_policy;

static inline void small_origin(deft_arena *a, deft_layer *l, int32_t value)
{
    int32_t *v = DEFT_NEW_ARRAY(a, int32_t, l->n_out);
    int64_t *e = DEFT_NEW_ARRAY(a, int64_t, l->n_out);
    for (int32_t i = 0; i < l->n_out; i++) {
        v[i] = value;
        e[i] = i;
    }
    l->origin_value = v;
    l->origin_element = e;
}

/* ONNX orders the gates z, r, n. */
static inline const float *zrn(deft_arena *a, const float *w, int32_t n_in)
{
    const size_t block = (size_t)SMALL_H * (size_t)n_in;
    float *x = DEFT_NEW_ARRAY(a, float, 3 * block);
    memcpy(x, w + block, block * sizeof *x);
    memcpy(x + block, w, block * sizeof *x);
    memcpy(x + 2 * block, w + 2 * block, block * sizeof *x);
    return x;
}

static inline void small_model(small_policy *p, deft_arena *a)
{
    deft_rng r;
    deft_rng_seed(&r, 11);
    deft_layer *l = p->layer;
    deft_segment *s = p->segment;
    s[0] = (deft_segment){DEFT_SRC_OBS, 0, 0, SMALL_OBS};
    s[1] = (deft_segment){DEFT_SRC_LAYER, 0, 0, SMALL_H};
    s[2] = (deft_segment){DEFT_SRC_LAYER, 1, 0, SMALL_ACT};
    l[0] = (deft_layer){.kind = DEFT_LAYER_GRU, .name = "memory", .n_segment = 1, .in = s};
    l[0].n_in = SMALL_OBS;
    l[0].n_out = SMALL_H;
    l[0].weight = random_floats(&r, a, 3 * SMALL_H * SMALL_OBS, 0.7f);
    l[0].weight_h = random_floats(&r, a, 3 * SMALL_H * SMALL_H, 0.7f);
    l[1] = (deft_layer){.name = "head", .n_segment = 1, .in = s + 1};
    random_dense(&r, a, &l[1], SMALL_ACT, DEFT_ACT_TANH);
    p->model = (deft_model){.arena = a, .source = "by hand", .n_layer = 2, .layer = l};
    p->model.contract = (deft_contract){.name = "", .n_obs = SMALL_OBS, .n_act = SMALL_ACT};
    p->model.n_output = SMALL_ACT;
    p->model.n_out_segment = 1;
    p->model.out = s + 2;
}

/* w [3 SMALL_H][SMALL_OBS], u [3 SMALL_H][SMALL_H]: of the GRU; NULL: small random ones. */
static inline void small_recurrent_of(small_policy *p, deft_arena *a, float *w_gates,
                                      float *u_gates)
{
    small_graph *s = &p->graph;
    *p = (small_policy){0};
    small_model(p, a);
    small_init(s, a);
    deft_layer *l = p->layer;
    if (w_gates) l[0].weight = w_gates;
    if (u_gates) l[0].weight_h = u_gates;
    const int32_t obs = small_input(s, "obs", 2, (int64_t[]){1, SMALL_OBS});
    const int32_t h = small_input(s, "h_in", 3, (int64_t[]){1, 1, SMALL_H});
    const int32_t zero = small_ints(s, "zero", 1, (int64_t[]){0});
    const int32_t w = small_floats(s, "w", 3, (int64_t[]){1, 3 * SMALL_H, SMALL_OBS},
                                   zrn(a, l[0].weight, SMALL_OBS));
    const int32_t u = small_floats(s, "u", 3, (int64_t[]){1, 3 * SMALL_H, SMALL_H},
                                   zrn(a, l[0].weight_h, SMALL_H));
    const int32_t v = small_floats(s, "v", 2, (int64_t[]){SMALL_ACT, SMALL_H}, l[1].weight);
    const int32_t b = small_floats(s, "b", 1, (int64_t[]){SMALL_ACT}, l[1].bias);
    const int32_t x = small_node(s, "Unsqueeze", "x", 2, (int32_t[]){obs, zero});
    const int32_t y = small_node(s, "GRU", "y", 6, (int32_t[]){x, w, u, -1, -1, h});
    small_attr(s, (deft_attr){.name = "hidden_size", .kind = DEFT_ATTR_INT, .i = SMALL_H});
    small_attr(s, (deft_attr){.name = "linear_before_reset", .kind = DEFT_ATTR_INT, .i = 1});
    const int32_t next = small_node(s, "Squeeze", "h_out", 2, (int32_t[]){y, zero});
    const int32_t top = small_node(s, "Squeeze", "top", 2, (int32_t[]){next, zero});
    const int32_t dense = small_node(s, "Gemm", "dense", 3, (int32_t[]){top, v, b});
    small_attr(s, (deft_attr){.name = "transB", .kind = DEFT_ATTR_INT, .i = 1});
    const int32_t act = small_node(s, "Tanh", "act", 1, (int32_t[]){dense});
    small_output(s, act);
    small_output(s, next);
    deft_error err = {0};
    CHECK_OK(deft_graph_finish(&s->g, &err), err);
    small_origin(a, &l[0], y);
    small_origin(a, &l[1], act);
    p->model.act_value = l[1].origin_value;
    p->model.act_element = l[1].origin_element;
    p->port[0] = (deft_port_role){DEFT_PORT_OBS, 0, 2, {1, SMALL_OBS}};
    p->port[1] = (deft_port_role){DEFT_PORT_STATE, 1, 3, {1, 1, SMALL_H}};
    p->model.port = p->port;
}

static inline void small_recurrent(small_policy *p, deft_arena *a)
{
    small_recurrent_of(p, a, NULL, NULL);
}

#endif
