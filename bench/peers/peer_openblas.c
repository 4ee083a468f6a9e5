/* peer_openblas.c - matrix-vector products of OpenBLAS; of its two layouts the faster one. */
#include "peer.h"

#include <cblas.h>
#include <unistd.h>

/* OpenBLAS takes processors that are younger than itself for the oldest. It looks when it is
 * loaded, so this program starts once more. */
static void name_processor(char **argv)
{
#if defined(__x86_64__)
    if (getenv("OPENBLAS_CORETYPE")) return;
    const char *const core = __builtin_cpu_supports("avx512vl") ? "SkylakeX"
                             : __builtin_cpu_supports("avx2")   ? "Haswell"
                                                                : NULL;
    if (core && setenv("OPENBLAS_CORETYPE", core, 1) == 0) (void)execv("/proc/self/exe", argv);
#else
    (void)argv;
#endif
}

typedef struct chain {
    peer_layer layer[PEER_LAYERS];
    float *w[PEER_LAYERS], *u[PEER_LAYERS], *bias[PEER_LAYERS], *x[PEER_LAYERS + 1],
        *h[PEER_LAYERS];
    float *gate, *gate_h;
    int n;
    CBLAS_ORDER order;
} chain;

static void multiply(const chain *c, const float *w, int rows, int columns, const float *x,
                     float *y)
{
    const int row_major = c->order == CblasRowMajor;
    cblas_sgemv(c->order, CblasNoTrans, rows, columns, 1, w, row_major ? columns : rows, x, 1, 1, y,
                1);
}

static void step(void *user)
{
    chain *const c = user;
    for (int k = 0; k < c->n; k++) {
        const peer_layer *const l = &c->layer[k];
        const int rows = l->recurrent ? 3 * l->n_out : l->n_out;
        float *const y = c->x[k + 1], *const to = l->recurrent ? c->gate : y;
        memcpy(to, c->bias[k], (size_t)rows * sizeof *to);
        multiply(c, c->w[k], rows, l->n_in, c->x[k], to);
        if (l->recurrent) {
            memcpy(c->gate_h, c->bias[k], (size_t)rows * sizeof *to);
            multiply(c, c->u[k], rows, l->n_out, c->h[k], c->gate_h);
            peer_gru(c->gate, c->gate_h, c->h[k], l->n_out);
            memcpy(y, c->h[k], (size_t)l->n_out * sizeof *y);
        }
        for (int i = 0; l->activation == 'r' && i < rows; i++) y[i] = y[i] > 0 ? y[i] : 0;
        for (int i = 0; l->activation == 't' && i < rows; i++) y[i] = tanhf(y[i]);
    }
}

static double seconds(chain *c, CBLAS_ORDER order)
{
    struct timespec a, b;
    c->order = order;
    for (int i = 0; i < 300; i++) step(c);
    (void)clock_gettime(CLOCK_MONOTONIC, &a);
    for (int i = 0; i < 2000; i++) step(c);
    (void)clock_gettime(CLOCK_MONOTONIC, &b);
    return (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
}

int main(int argc, char **argv)
{
    static chain c;
    name_processor(argv);
    c.n = peer_parse(argc, argv, c.layer);
    openblas_set_num_threads(1);
    size_t most = 1;
    for (int k = 0; k < c.n; k++) {
        const peer_layer *const l = &c.layer[k];
        const size_t rows = (size_t)(l->recurrent ? 3 : 1) * (size_t)l->n_out, in = (size_t)l->n_in;
        const int before = k ? c.layer[k - 1].n_out : 0;
        c.w[k] = peer_floats(rows * in);
        c.u[k] = peer_floats(rows * (size_t)l->n_out);
        c.bias[k] = peer_floats(rows);
        c.h[k] = peer_floats((size_t)l->n_out);
        c.x[k] = peer_floats((size_t)(l->n_in > before ? l->n_in : before));
        if (rows > most) most = rows;
    }
    c.x[c.n] = peer_floats((size_t)c.layer[c.n - 1].n_out);
    c.gate = peer_floats(most);
    c.gate_h = peer_floats(most);
    c.order =
        seconds(&c, CblasRowMajor) < seconds(&c, CblasColMajor) ? CblasRowMajor : CblasColMajor;
    char version[32] = "", name[128];
    (void)sscanf(openblas_get_config(), "OpenBLAS %31s", version);
    (void)snprintf(name, sizeof name, "OpenBLAS %s %s", version, openblas_get_corename());
    peer_loop(name, step, &c);
    return 0;
}
