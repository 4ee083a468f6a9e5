/* bench_peers.c - starting, asking and stopping the peers. */
#include "app/bench_peers.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { MOST_ARGS = 72 };

static const struct {
    const char *name, *file, *missing;
    enum { LAYERS, ITS_ONNX, SMALL_ONNX } takes;
} peers[DEFT_BENCH_PEERS] = {
    {"OpenBLAS", "peer_openblas", "not built: libopenblas-dev, then ninja peers", LAYERS},
    {"oneDNN", "peer_onednn", "not built: libdnnl-dev, then ninja peers", LAYERS},
    {"LibTorch", "peer_libtorch", "not built: libtorch-dev, then ninja peers", LAYERS},
    {"ONNX Runtime", "peer_onnxruntime.js", "no node", ITS_ONNX},
    {"ONNX Runtime, one call", "peer_onnxruntime.js", "no node", SMALL_ONNX},
};

/* The layers as arguments; false for a policy that is no chain of dense and GRU layers. */
static bool name_layers(const deft_model *m, const char **argv, int *argc, deft_arena *a)
{
    for (int32_t k = 0; k < m->n_layer; k++) {
        const deft_layer *const l = &m->layer[k];
        const deft_activation_kind f = l->activation.kind;
        const char *const act = f == DEFT_ACT_RELU ? "relu" : f == DEFT_ACT_TANH ? "tanh" : "none";
        const bool gru = l->kind == DEFT_LAYER_GRU;
        if ((!gru && l->kind != DEFT_LAYER_DENSE) || *argc + 1 >= MOST_ARGS) return false;
        const char *const text = deft_arena_printf(a, "%s:%d:%d:%s", gru ? "gru" : "dense",
                                                   (int)l->n_in, (int)l->n_out, act);
        if (!text) return false;
        argv[(*argc)++] = text;
    }
    return m->n_layer > 0;
}

/* One number in, one out: what is left is the price of a call. */
static deft_model *small_model(deft_arena *a)
{
    static const deft_segment all[] = {{DEFT_SRC_OBS, 0, 0, 1}, {DEFT_SRC_LAYER, 0, 0, 1}};
    deft_model *const m = DEFT_NEW(a, deft_model);
    deft_layer *const l = DEFT_NEW(a, deft_layer);
    float *const w = DEFT_NEW_ARRAY(a, float, 1);
    deft_segment *const s = DEFT_NEW_ARRAY(a, deft_segment, 2);
    if (!m || !l || !w || !s) return NULL;
    memcpy(s, all, sizeof all);
    w[0] = 1;
    *l = (deft_layer){.kind = DEFT_LAYER_DENSE, .name = "one", .n_in = 1, .n_out = 1};
    l->weight = w;
    l->n_segment = 1;
    l->in = &s[0];
    m->arena = a;
    m->source = "one.onnx";
    m->contract.name = "one";
    m->contract.n_obs = m->contract.n_act = m->n_output = 1;
    m->n_layer = 1;
    m->layer = l;
    m->n_out_segment = 1;
    m->out = &s[1];
    return m;
}

/* The policy as a file that ONNX Runtime reads: its own, or one written for it (then *temporary).
 */
static const char *onnx_file(const deft_loaded *l, bool small, deft_arena *a, bool *temporary)
{
    deft_bytes bytes = {NULL, 0};
    *temporary = false;
    if (!small && l->format == DEFT_FORMAT_ONNX) return l->path;
    const deft_model *const m = small ? small_model(a) : l->model;
    if (!m || deft_onnx_write(m, a, &bytes, NULL) != DEFT_OK) return NULL;
    const char *const dir = getenv("TMPDIR");
    char *const path = deft_arena_printf(a, "%s/deft-bench-XXXXXX", dir && *dir ? dir : "/tmp");
    const int file = path ? mkstemp(path) : -1;
    if (file < 0) return NULL;
    const ssize_t written = write(file, bytes.data, bytes.size);
    *temporary = true;
    if (close(file) == 0 && written == (ssize_t)bytes.size) return path;
    (void)unlink(path);
    return NULL;
}

/* Runs argv with its standard input and output at the other end of a socket: unlike a pipe, one
 * that is broken raises no signal. */
static bool spawn(bench_peer *p, const char *const *argv)
{
    char *args[MOST_ARGS + 8];
    int end[2];
    memcpy(args, argv, sizeof args); // they are not written to
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, end) != 0) return false;
    (void)fcntl(end[0], F_SETFD, FD_CLOEXEC);
    (void)fcntl(end[1], F_SETFD, FD_CLOEXEC); // its copies are not
    posix_spawn_file_actions_t to_do;
    posix_spawn_file_actions_init(&to_do);
    posix_spawn_file_actions_adddup2(&to_do, end[1], 0);
    posix_spawn_file_actions_adddup2(&to_do, end[1], 1);
    const bool started = posix_spawnp(&p->pid, args[0], &to_do, NULL, args, environ) == 0;
    posix_spawn_file_actions_destroy(&to_do);
    (void)close(end[1]);
    if (!started) p->pid = 0;
    p->stream = fdopen(end[0], "r");
    if (!p->stream) (void)close(end[0]);
    return started && p->stream;
}

/* The first line: its name, or why it cannot. */
static void read_name(bench_peer *p, deft_arena *a)
{
    char line[256];
    if (!fgets(line, sizeof line, p->stream)) {
        p->reason = "it ended at once; is everything installed that it needs?";
        return;
    }
    line[strcspn(line, "\n")] = 0;
    const bool bad = strncmp(line, "missing", 7) == 0 || strncmp(line, "failed", 6) == 0;
    const char *const text = deft_arena_printf(a, "%s", line);
    if (bad) {
        p->reason = text;
    } else if (text && strncmp(text, p->name, strlen(p->name)) == 0) {
        p->name = text;
    }
}

void bench_peer_start(bench_peer *p, int which, const deft_loaded *l, deft_arena *a)
{
    const char *argv[MOST_ARGS + 8] = {"env", "OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1"};
    const char *const set = getenv("DEFT_PEERS_DIR");
    const bool script = peers[which].takes != LAYERS;
    const char *const dir = script ? DEFT_PEERS_SOURCE : set && *set ? set : DEFT_PEERS_BUILT;
    int argc = 3;
    bool temporary = false;
    *p = (bench_peer){.name = peers[which].name, .reason = peers[which].missing};
    const char *const path = deft_arena_printf(a, "%s/%s", dir, peers[which].file);
    if (!path || access(path, script ? R_OK : X_OK) != 0) return;
    if (script) argv[argc++] = "node";
    argv[argc++] = path;
    const char *onnx = NULL;
    if (script) {
        onnx = onnx_file(l, peers[which].takes == SMALL_ONNX, a, &temporary);
        if (onnx) argv[argc++] = onnx;
        p->reason = onnx ? "" : "no ONNX file can be written of it";
    } else {
        p->reason = l->model && name_layers(l->model, argv, &argc, a)
                        ? ""
                        : "only policies of dense and GRU layers";
    }
    if (!*p->reason && !spawn(p, argv)) p->reason = "cannot be started";
    if (!*p->reason) read_name(p, a);
    if (temporary && onnx) (void)unlink(onnx);
    if (*p->reason) bench_peer_stop(p);
}

void bench_peer_stop(bench_peer *p)
{
    if (p->stream) (void)fclose(p->stream); // it ends when its input does
    p->stream = NULL;
    if (p->pid > 0) (void)waitpid(p->pid, NULL, 0);
    p->pid = 0;
}

double bench_peer_ns(void *user, int32_t times)
{
    bench_peer *const p = user;
    char line[64];
    const int n = snprintf(line, sizeof line, "%d\n", (int)times);
    if (n <= 0 || send(fileno(p->stream), line, (size_t)n, MSG_NOSIGNAL) != n) return -1;
    if (!fgets(line, sizeof line, p->stream)) return -1;
    return strtod(line, NULL);
}
