/* test_onnx_roundtrip.c - policies of real exporters, understood, written as ONNX and read again:
 * the file computes what PyTorch computed for the original, and is understood as the same model. */
#include "check.h"

#include "deft/formats.h"

#include <dirent.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { COLUMNS = 64, LINE = 8192, MAX_INPUTS = 8 };

static bool same_floats(const float *a, const float *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++) // absent means zeros
        if ((a ? a[i] : 0) != (b ? b[i] : 0)) return false;
    return true;
}

static bool same_segments(const deft_segment *a, int32_t na, const deft_segment *b, int32_t nb)
{
    if (na != nb) return false;
    for (int32_t i = 0; i < na; i++)
        if (a[i].kind != b[i].kind || a[i].index != b[i].index || a[i].offset != b[i].offset ||
            a[i].length != b[i].length)
            return false;
    return true;
}

static int64_t weights_of(const deft_layer *l)
{
    if (l->kind == DEFT_LAYER_DENSE) return (int64_t)l->n_out * l->n_in;
    if (l->kind == DEFT_LAYER_GRU) return (int64_t)3 * l->n_out * l->n_in;
    if (l->kind == DEFT_LAYER_LSTM) return (int64_t)4 * l->n_out * l->n_in;
    return l->kind == DEFT_LAYER_LAYERNORM || l->kind == DEFT_LAYER_AFFINE ? l->n_out : 0;
}

static void check_layer(const deft_layer *a, const deft_layer *b, const char *file, int32_t k)
{
    const int gates = a->kind == DEFT_LAYER_GRU ? 3 : a->kind == DEFT_LAYER_LSTM ? 4 : 0;
    const int64_t rows = gates ? gates * a->n_out : a->n_out;
    CHECK(a->kind == b->kind && a->n_in == b->n_in && a->n_out == b->n_out, "%s: layer %d: %s",
          file, (int)k, deft_layer_kind_name(b->kind));
    if (a->kind != b->kind || a->n_in != b->n_in || a->n_out != b->n_out) return;
    CHECK(a->activation.kind == b->activation.kind && a->activation.alpha == b->activation.alpha &&
              a->activation.beta == b->activation.beta,
          "%s: layer %d: activation %s", file, (int)k, deft_activation_name(b->activation.kind));
    CHECK(same_segments(a->in, a->n_segment, b->in, b->n_segment), "%s: layer %d: inputs", file,
          (int)k);
    CHECK(a->reset_before == b->reset_before && a->epsilon == b->epsilon && a->depth == b->depth &&
              a->newest_first == b->newest_first && a->fill_first == b->fill_first,
          "%s: layer %d: parameters", file, (int)k);
    CHECK(same_floats(a->weight, b->weight, weights_of(a)), "%s: layer %d: weights", file, (int)k);
    CHECK(weights_of(a) == 0 || same_floats(a->bias, b->bias, rows), "%s: layer %d: bias", file,
          (int)k);
    CHECK(same_floats(a->weight_h, b->weight_h, gates * (int64_t)a->n_out * a->n_out) &&
              same_floats(a->bias_h, b->bias_h, gates * (int64_t)a->n_out),
          "%s: layer %d: recurrent weights", file, (int)k);
}

static void check_same(const deft_model *a, const deft_model *b, const char *file)
{
    CHECK(a->n_layer == b->n_layer, "%s: %d layers, not %d", file, (int)b->n_layer,
          (int)a->n_layer);
    for (int32_t k = 0; k < a->n_layer && a->n_layer == b->n_layer; k++)
        check_layer(&a->layer[k], &b->layer[k], file, k);
    CHECK(same_segments(a->out, a->n_out_segment, b->out, b->n_out_segment), "%s: outputs", file);
    const deft_contract *c = &a->contract, *d = &b->contract;
    CHECK(c->n_obs == d->n_obs && c->n_act == d->n_act && c->discrete == d->discrete &&
              same_floats(c->obs_offset, d->obs_offset, c->n_obs) &&
              same_floats(c->act_offset, d->act_offset, c->n_act),
          "%s: contract", file);
    CHECK(!c->obs_scale == !d->obs_scale && same_floats(c->obs_scale, d->obs_scale, c->n_obs),
          "%s: scale of observations", file);
    CHECK(!c->act_scale == !d->act_scale && same_floats(c->act_scale, d->act_scale, c->n_act),
          "%s: scale of actions", file);
    CHECK(!c->obs_lo == !d->obs_lo && same_floats(c->obs_lo, d->obs_lo, c->n_obs) &&
              !c->act_lo == !d->act_lo && same_floats(c->act_lo, d->act_lo, c->n_act),
          "%s: limits", file);
}

/* The output that becomes the input `name` in the next step. */
static const deft_tensor *fed_back(const deft_graph *g, const deft_tensor *const *out,
                                   const char *name)
{
    const char *in = strstr(name, "_in");
    for (int32_t i = 0; in && i < g->n_output; i++) {
        const char *o = g->value[g->output[i].value].name;
        const size_t stem = (size_t)(in - name);
        if (strncmp(o, name, stem) == 0 && strncmp(o + stem, "_out", 4) == 0 &&
            strcmp(o + stem + 4, in + 3) == 0)
            return out[i];
    }
    return NULL;
}

static int split_row(char *line, float *cell)
{
    int n = 0;
    for (char *p = line; n < COLUMNS && *p && *p != '\n'; n++) {
        cell[n] = strtof(p, &p);
        if (*p == ',') p++;
    }
    return n;
}

static float rollout(const deft_graph *g, FILE *csv, deft_error *err)
{
    char line[LINE];
    int n_obs = 0;
    float worst = 0;
    deft_tensor in[MAX_INPUTS] = {0};
    deft_graph_eval *e = NULL;
    deft_arena *a = deft_arena_create(0);
    if (!fgets(line, sizeof line, csv)) return INFINITY;
    for (const char *p = line; (p = strstr(p, "obs")) != NULL; p++) n_obs++;
    for (int32_t i = 0; i < g->n_input; i++)
        CHECK_OK(deft_tensor_init(&in[i], DEFT_F32, g->input[i].rank, g->input[i].dim, a), *err);
    CHECK_OK(deft_graph_eval_create(g, &e, err), *err);
    CHECK(in[0].count == n_obs, "%d inputs, %d observations", (int)in[0].count, n_obs);
    while (e && in[0].count == n_obs && fgets(line, sizeof line, csv)) {
        float cell[COLUMNS];
        const deft_tensor *out[MAX_INPUTS] = {0};
        const int n = split_row(line, cell);
        memcpy(in[0].data, cell, (size_t)n_obs * sizeof *cell);
        CHECK_OK(deft_graph_eval_run(e, in, out, err), *err);
        if (!out[0]) break;
        for (int k = n_obs; k < n; k++) {
            const float y = out[0]->dtype == DEFT_I64
                                ? (float)((const int64_t *)out[0]->data)[k - n_obs]
                                : ((const float *)out[0]->data)[k - n_obs];
            worst = fmaxf(worst, fabsf(y - cell[k]));
        }
        for (int32_t i = 1; i < g->n_input; i++) {
            const deft_tensor *from = fed_back(g, out, g->value[g->input[i].value].name);
            CHECK(from != NULL, "nothing feeds %s", g->value[g->input[i].value].name);
            if (from) memcpy(in[i].data, from->data, (size_t)in[i].count * sizeof(float));
        }
    }
    deft_graph_eval_destroy(e);
    deft_arena_destroy(a);
    return worst;
}

static bool understand(const char *path, deft_arena *a, deft_model **m, deft_error *err)
{
    deft_graph *g = NULL;
    const deft_understand_options opt = {0};
    return deft_onnx_read_file(path, a, &g, err) == DEFT_OK &&
           deft_graph_settle(g, err) == DEFT_OK && deft_understand(g, &opt, m, err) == DEFT_OK;
}

static void check_policy(const char *dir, const char *name)
{
    char path[4400];
    deft_error err = {0};
    deft_arena *a = deft_arena_create(0);
    deft_model *m = NULL, *n = NULL;
    deft_graph *g = NULL;
    deft_bytes b = {0};
    (void)snprintf(path, sizeof path, "%s/%s.onnx", dir, name);
    CHECK(understand(path, a, &m, &err), "%s", err.text);
    if (m) CHECK_OK(deft_onnx_write(m, a, &b, &err), err);
    if (b.size) CHECK_OK(deft_onnx_read(b, NULL, a, &g, &err), err);
    (void)snprintf(path, sizeof path, "%s/%s.csv", dir, name);
    FILE *csv = fopen(path, "r");
    if (g && csv) {
        const float worst = rollout(g, csv, &err);
        CHECK(worst <= 1e-6f, "%s: off by %g", name, (double)worst);
    }
    if (csv) (void)fclose(csv);
    const deft_understand_options opt = {0};
    if (g) CHECK_OK(deft_understand(g, &opt, &n, &err), err);
    if (n) CHECK_OK(deft_onnx_contract(g, n, &err), err);
    if (n) check_same(m, n, name);
    if (err.text[0]) printf("%s: %s\n", name, err.text);
    deft_arena_destroy(a);
}

int main(void)
{
    char dir[4096];
    DIR *d = opendir(check_source(dir, sizeof dir, "tests/golden/policies"));
    CHECK(d != NULL, "%s", dir);
    if (!d) return check_report();
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        char name[256];
        const size_t n = strlen(e->d_name);
        if (n < 6 || n >= sizeof name || strcmp(e->d_name + n - 5, ".onnx") != 0) continue;
        memcpy(name, e->d_name, n - 5);
        name[n - 5] = '\0';
        check_policy(dir, name);
    }
    (void)closedir(d);
    return check_report();
}
