/* peer_onednn.c - inner products of oneDNN, weights in the layout that it likes best, activations
 * and gates outside. */
#include "peer.h"

#include <dnnl.h>

typedef struct product {
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t args[4];
} product;

typedef struct chain {
    peer_layer layer[PEER_LAYERS];
    product w[PEER_LAYERS], u[PEER_LAYERS];
    float *x[PEER_LAYERS + 1], *h[PEER_LAYERS], *gate, *gate_h;
    int n;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
} chain;

static void check(dnnl_status_t s)
{
    if (s != dnnl_success) exit(3);
}

static dnnl_memory_t memory_of(const chain *c, const dnnl_memory_desc_t *d, void *data)
{
    dnnl_memory_t m;
    check(dnnl_memory_create(&m, d, c->engine, data));
    return m;
}

/* Weights go from rows to what the primitive wants. */
static dnnl_memory_t weights_of(const chain *c, const dnnl_memory_desc_t *want, int rows, int in)
{
    const dnnl_dims_t dims = {rows, in};
    dnnl_memory_desc_t plain;
    check(dnnl_memory_desc_init_by_tag(&plain, 2, dims, dnnl_f32, dnnl_ab));
    const dnnl_memory_t from = memory_of(c, &plain, peer_floats((size_t)rows * (size_t)in));
    const dnnl_memory_t to = memory_of(c, want, DNNL_MEMORY_ALLOCATE);
    dnnl_primitive_desc_t pd;
    dnnl_primitive_t reorder;
    check(dnnl_reorder_primitive_desc_create(&pd, &plain, c->engine, want, c->engine, NULL));
    check(dnnl_primitive_create(&reorder, pd));
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
    check(dnnl_primitive_execute(reorder, c->stream, 2, args));
    check(dnnl_stream_wait(c->stream));
    return to;
}

static void create(const chain *c, product *p, int rows, int in, float *x, float *y)
{
    const dnnl_dims_t x_dims = {1, in}, w_dims = {rows, in}, b_dims = {rows}, y_dims = {1, rows};
    dnnl_memory_desc_t xd, wd, bd, yd;
    check(dnnl_memory_desc_init_by_tag(&xd, 2, x_dims, dnnl_f32, dnnl_ab));
    check(dnnl_memory_desc_init_by_tag(&wd, 2, w_dims, dnnl_f32, dnnl_format_tag_any));
    check(dnnl_memory_desc_init_by_tag(&bd, 1, b_dims, dnnl_f32, dnnl_a));
    check(dnnl_memory_desc_init_by_tag(&yd, 2, y_dims, dnnl_f32, dnnl_ab));
    dnnl_inner_product_desc_t d;
    check(dnnl_inner_product_forward_desc_init(&d, dnnl_forward_inference, &xd, &wd, &bd, &yd));
    dnnl_primitive_desc_t pd;
    check(dnnl_primitive_desc_create(&pd, &d, NULL, c->engine, NULL));
    check(dnnl_primitive_create(&p->primitive, pd));
    const dnnl_memory_desc_t *const want =
        dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
    p->args[0] = (dnnl_exec_arg_t){DNNL_ARG_SRC, memory_of(c, &xd, x)};
    p->args[1] = (dnnl_exec_arg_t){DNNL_ARG_WEIGHTS, weights_of(c, want, rows, in)};
    p->args[2] = (dnnl_exec_arg_t){DNNL_ARG_BIAS, memory_of(c, &bd, peer_floats((size_t)rows))};
    p->args[3] = (dnnl_exec_arg_t){DNNL_ARG_DST, memory_of(c, &yd, y)};
}

static void step(void *user)
{
    const chain *const c = user;
    for (int k = 0; k < c->n; k++) {
        const peer_layer *const l = &c->layer[k];
        float *const y = c->x[k + 1];
        (void)dnnl_primitive_execute(c->w[k].primitive, c->stream, 4, c->w[k].args);
        if (l->recurrent) {
            (void)dnnl_primitive_execute(c->u[k].primitive, c->stream, 4, c->u[k].args);
            peer_gru(c->gate, c->gate_h, c->h[k], l->n_out);
            memcpy(y, c->h[k], (size_t)l->n_out * sizeof *y);
        }
        for (int i = 0; l->activation == 'r' && i < l->n_out; i++) y[i] = y[i] > 0 ? y[i] : 0;
        for (int i = 0; l->activation == 't' && i < l->n_out; i++) y[i] = tanhf(y[i]);
    }
}

int main(int argc, char **argv)
{
    static chain c;
    c.n = peer_parse(argc, argv, c.layer);
    check(dnnl_engine_create(&c.engine, dnnl_cpu, 0));
    check(dnnl_stream_create(&c.stream, c.engine, dnnl_stream_default_flags));
    int most = 1;
    for (int k = 0; k < c.n; k++) {
        const int before = k ? c.layer[k - 1].n_out : 0;
        c.x[k] = peer_floats((size_t)(c.layer[k].n_in > before ? c.layer[k].n_in : before));
        if (3 * c.layer[k].n_out > most) most = 3 * c.layer[k].n_out;
    }
    c.x[c.n] = peer_floats((size_t)c.layer[c.n - 1].n_out);
    c.gate = peer_floats((size_t)most);
    c.gate_h = peer_floats((size_t)most);
    for (int k = 0; k < c.n; k++) {
        const peer_layer *const l = &c.layer[k];
        const int rows = l->recurrent ? 3 * l->n_out : l->n_out;
        c.h[k] = peer_floats((size_t)l->n_out);
        create(&c, &c.w[k], rows, l->n_in, c.x[k], l->recurrent ? c.gate : c.x[k + 1]);
        if (l->recurrent) create(&c, &c.u[k], rows, l->n_out, c.h[k], c.gate_h);
    }
    const dnnl_version_t *const v = dnnl_version();
    char name[64];
    (void)snprintf(name, sizeof name, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
    peer_loop(name, step, &c);
    return 0;
}
