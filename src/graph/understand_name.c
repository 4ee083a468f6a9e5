/* understand_name.c - what people call a layer, from the names that exporters write. */
#include "graph/understand.h"

#include <string.h>

/* The length of "td3_actor_net.0" in "td3_actor_net.0.weight"; 0: no such suffix. */
static size_t module_length(const char *name)
{
    static const char *const suffix[] = {"weight", "bias", "kernel", "gamma", "beta"};
    const char *dot = strrchr(name, '.');
    if (!dot || dot == name) return 0;
    for (size_t i = 0; i < sizeof suffix / sizeof suffix[0]; i++)
        if (strncmp(dot + 1, suffix[i], strlen(suffix[i])) == 0) return (size_t)(dot - name);
    return 0;
}

/* "/rl_gru/l0/x2h/MatMul" to "rl_gru.l0.x2h", "/net/net.0/Gemm" to "net.0". */
static const char *from_path(deft_arena *a, const char *path)
{
    const char *end = strrchr(path, '/');
    if (!end) return "";
    char out[128];
    size_t n = 0, last = 0; // where the last component starts
    for (const char *p = path; p < end;) {
        while (p < end && *p == '/') p++;
        size_t len = 0;
        while (p + len < end && p[len] != '/') len++;
        if (len == 0) break;
        const size_t before = n - last;
        const bool repeats =
            before > 0 && len > before && p[before] == '.' && strncmp(out + last, p, before) == 0;
        const bool same = before == len && strncmp(out + last, p, len) == 0;
        if (repeats || same)
            n = last;
        else if (n > 0)
            out[n++] = '.';
        last = n;
        if (n + len + 2 > sizeof out) break;
        memcpy(out + n, p, len);
        n += len;
        p += len;
    }
    if (n > 0 && n == last) n--; // the next component did not fit
    return deft_arena_strndup(a, out, n);
}

static bool is_cell(const und_draft *d)
{
    return d->l.kind == DEFT_LAYER_GRU || d->l.kind == DEFT_LAYER_LSTM;
}

const char *und_draft_name(und *u, const und_draft *d)
{
    const und_op *op = u->op[d->op];
    if (d->l.kind == DEFT_LAYER_HISTORY) return "history";
    const bool weighted = d->l.kind == DEFT_LAYER_DENSE || d->l.kind == DEFT_LAYER_LAYERNORM;
    if (weighted && op->weight_value >= 0) {
        const char *w = u->g->value[op->weight_value].name;
        const size_t n = strncmp(w, "onnx::", 6) == 0 ? 0 : module_length(w);
        if (n > 0 && n < 96) return deft_arena_strndup(u->g->arena, w, n);
    }
    const char *name = op->node >= 0 ? u->g->node[op->node].name : "";
    const char *path = strchr(name, '/') ? from_path(u->g->arena, name) : "";
    if (path && !*path && is_cell(d) && op->node >= 0 && op->value >= 0)
        return from_path(u->g->arena, u->g->value[op->value].name);
    return path;
}
