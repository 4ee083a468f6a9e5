/* test_onnx_writer.c - models of every layer kind, written as ONNX, read back and evaluated beside
 * a plain interpreter of deft/model.h in double precision.
 *
 * test_onnx_writer DIR also leaves each model there with a CSV of observations and actions, for
 * tests/golden/check_written_onnx.py. */
#include "check.h"

#include "deft/formats.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { MAX_N = 64, MAX_LAYERS = 16, STEPS = 25 };

/* --- an interpreter, straight from the comments of deft/model.h ------------------------------- */

typedef struct state {
    double h[MAX_LAYERS][MAX_N], c[MAX_LAYERS][MAX_N], out[MAX_LAYERS][MAX_N], prev[MAX_N];
    bool started;
} state;

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static double activate(deft_activation f, double x)
{
    const double a = (double)f.alpha, b = (double)f.beta;
    switch (f.kind) {
    case DEFT_ACT_NONE:
        return x;
    case DEFT_ACT_RELU:
        return fmax(x, 0);
    case DEFT_ACT_LEAKY_RELU:
        return x < 0 ? a * x : x;
    case DEFT_ACT_ELU:
        return x < 0 ? a * expm1(x) : x;
    case DEFT_ACT_SELU:
        return x < 0 ? b * a * expm1(x) : b * x;
    case DEFT_ACT_SILU:
        return x * sigmoid(x);
    case DEFT_ACT_GELU:
        return 0.5 * x * (1 + erf(x / sqrt(2)));
    case DEFT_ACT_GELU_TANH:
        return 0.5 * x * (1 + tanh(sqrt(2 / 3.14159265358979) * (x + 0.044715 * x * x * x)));
    case DEFT_ACT_TANH:
        return tanh(x);
    case DEFT_ACT_SIGMOID:
        return sigmoid(x);
    case DEFT_ACT_SOFTSIGN:
        return x / (1 + fabs(x));
    case DEFT_ACT_SOFTPLUS:
        return log1p(exp(x));
    case DEFT_ACT_CLIP:
        return fmin(fmax(x, a), b);
    }
    return nan("");
}

static double row(const float *w, const float *bias, const double *x, int i, int n)
{
    double sum = bias ? (double)bias[i] : 0;
    for (int k = 0; k < n; k++) sum += (double)w[i * n + k] * x[k];
    return sum;
}

static void run_gru(const deft_layer *l, const double *x, const double *h, double *y)
{
    const int width = l->n_out;
    double r[MAX_N], rh[MAX_N];
    for (int i = 0; i < width; i++) {
        r[i] = sigmoid(row(l->weight, l->bias, x, i, l->n_in) +
                       row(l->weight_h, l->bias_h, h, i, width));
        rh[i] = r[i] * h[i];
    }
    for (int i = 0; i < width; i++) {
        const double z = sigmoid(row(l->weight, l->bias, x, width + i, l->n_in) +
                                 row(l->weight_h, l->bias_h, h, width + i, width));
        const double u = l->reset_before
                             ? row(l->weight_h, l->bias_h, rh, 2 * width + i, width)
                             : r[i] * row(l->weight_h, l->bias_h, h, 2 * width + i, width);
        const double n = tanh(row(l->weight, l->bias, x, 2 * width + i, l->n_in) + u);
        y[i] = n + z * (h[i] - n);
    }
}

static void run_lstm(const deft_layer *l, const double *x, const double *h, double *c, double *y)
{
    const int width = l->n_out;
    for (int i = 0; i < width; i++) {
        double g[4];
        for (int k = 0; k < 4; k++)
            g[k] = row(l->weight, l->bias, x, k * width + i, l->n_in) +
                   row(l->weight_h, l->bias_h, h, k * width + i, width);
        c[i] = sigmoid(g[1]) * c[i] + sigmoid(g[0]) * tanh(g[2]);
        y[i] = sigmoid(g[3]) * tanh(c[i]);
    }
}

static void run_history(const deft_layer *l, const double *x, double *h, bool started)
{
    const int n = l->n_in;
    double old[MAX_N];
    memcpy(old, h, sizeof old);
    for (int t = 0; !started && l->fill_first && t < l->depth; t++)
        memcpy(old + (size_t)t * (size_t)n, x, (size_t)n * sizeof *x);
    const int keep = (l->depth - 1) * n;
    memcpy(h + (l->newest_first ? n : 0), old + (l->newest_first ? 0 : n),
           (size_t)keep * sizeof *h);
    memcpy(h + (l->newest_first ? 0 : keep), x, (size_t)n * sizeof *x);
}

static void gather(const deft_segment *s, int n, const state *st, const double *obs, double *x)
{
    for (int i = 0; i < n; i++) {
        const double *from = s[i].kind == DEFT_SRC_OBS     ? obs
                             : s[i].kind == DEFT_SRC_PREV  ? st->prev
                             : s[i].kind == DEFT_SRC_LAYER ? st->out[s[i].index]
                                                           : st->h[s[i].index];
        memcpy(x, from + s[i].offset, (size_t)s[i].length * sizeof *x);
        x += s[i].length;
    }
}

static void run_layer(const deft_layer *l, const double *x, const double *h_old, state *st, int k)
{
    double *y = st->out[k], mean = 0, var = 0;
    for (int i = 0; i < l->n_in; i++) mean += x[i] / l->n_in;
    for (int i = 0; i < l->n_in; i++) var += (x[i] - mean) * (x[i] - mean) / l->n_in;
    if (l->kind == DEFT_LAYER_GRU) run_gru(l, x, h_old, y);
    if (l->kind == DEFT_LAYER_LSTM) run_lstm(l, x, h_old, st->c[k], y);
    if (l->kind == DEFT_LAYER_HISTORY) {
        run_history(l, x, st->h[k], st->started);
        memcpy(y, st->h[k], sizeof st->h[k]);
    }
    for (int i = 0; i < l->n_out; i++) {
        const double gamma = l->weight ? (double)l->weight[i] : 1,
                     beta = l->bias ? (double)l->bias[i] : 0;
        if (l->kind == DEFT_LAYER_DENSE) y[i] = row(l->weight, l->bias, x, i, l->n_in);
        if (l->kind == DEFT_LAYER_LAYERNORM)
            y[i] = (x[i] - mean) / sqrt(var + (double)l->epsilon) * gamma + beta;
        if (l->kind == DEFT_LAYER_AFFINE) y[i] = x[i] * gamma + beta;
        if (l->kind == DEFT_LAYER_ACTIVATION) y[i] = x[i];
        if (l->kind == DEFT_LAYER_ADD) y[i] = x[i] + x[l->n_out + i];
        if (l->kind == DEFT_LAYER_MUL) y[i] = x[i] * x[l->n_out + i];
        y[i] = activate(l->activation, y[i]);
    }
}

static double limited(double x, const float *lo, const float *hi, int i)
{
    if (lo) x = fmax(x, (double)lo[i]);
    return hi ? fmin(x, (double)hi[i]) : x;
}

static void step(const deft_model *m, state *st, const float *obs_in, double *act)
{
    const deft_contract *c = &m->contract;
    double obs[MAX_N], x[4 * MAX_N], y[MAX_N];
    for (int i = 0; i < c->n_obs; i++) {
        obs[i] = (double)obs_in[i] - (c->obs_offset ? (double)c->obs_offset[i] : 0);
        obs[i] =
            limited(obs[i] * (c->obs_scale ? (double)c->obs_scale[i] : 1), c->obs_lo, c->obs_hi, i);
    }
    // state is what it was before the step for all layers: new ones take over at the end
    static state old;
    old = *st;
    for (int k = 0; k < m->n_layer; k++) {
        const deft_layer *l = &m->layer[k];
        state seen = *st;
        memcpy(seen.h, old.h, sizeof seen.h);
        gather(l->in, l->n_segment, &seen, obs, x);
        run_layer(l, x, old.h[k], st, k);
    }
    memcpy(old.out, st->out, sizeof old.out);
    gather(m->out, m->n_out_segment, &old, obs, y);
    for (int k = 0; k < m->n_layer; k++)
        if (m->layer[k].kind == DEFT_LAYER_GRU || m->layer[k].kind == DEFT_LAYER_LSTM)
            memcpy(st->h[k], st->out[k], sizeof st->h[k]);
    st->started = true;
    int best = 0;
    for (int i = 0; i < m->n_output; i++) best = y[i] > y[best] ? i : best;
    for (int i = 0; i < c->n_act; i++) {
        const double scale = c->act_scale ? (double)c->act_scale[i] : 1;
        const double offset = c->act_offset ? (double)c->act_offset[i] : 0;
        act[i] = c->discrete ? best : limited(y[i] * scale + offset, c->act_lo, c->act_hi, i);
        st->prev[i] = (act[i] - offset) / scale;
    }
}

/* --- models ------------------------------------------------------------------------------------
 */

typedef struct maker {
    deft_arena *a;
    deft_rng rng;
    deft_model m;
} maker;

static float *randoms(maker *k, int n, double scale)
{
    float *v = DEFT_NEW_ARRAY(k->a, float, n);
    for (int i = 0; i < n; i++) v[i] = (float)deft_rng_uniform(&k->rng, -scale, scale);
    return v;
}

static maker start(uint64_t seed, int n_obs, int n_act)
{
    maker k = {.a = deft_arena_create(0)};
    deft_rng_seed(&k.rng, seed);
    k.m.arena = k.a;
    k.m.source = "made";
    k.m.layer = DEFT_NEW_ARRAY(k.a, deft_layer, MAX_LAYERS);
    k.m.contract = (deft_contract){.name = "", .n_obs = n_obs, .n_act = n_act};
    k.m.n_output = n_act;
    return k;
}

#define SEG(kind, index, offset, length)                                                           \
    (deft_segment)                                                                                 \
    {                                                                                              \
        DEFT_SRC_##kind, index, offset, length                                                     \
    }

/* Appends a layer of n_out values that reads the segments (ended by length 0). */
static deft_layer *add(maker *k, deft_layer_kind kind, int n_out, const deft_segment *in)
{
    deft_layer *l = &k->m.layer[k->m.n_layer++];
    *l = (deft_layer){.kind = kind, .name = "", .n_out = n_out, .epsilon = 1e-5f};
    while (in[l->n_segment].length) l->n_in += in[l->n_segment++].length;
    l->in = deft_arena_copy(k->a, in, (size_t)l->n_segment * sizeof *in);
    const int gates = kind == DEFT_LAYER_GRU ? 3 : kind == DEFT_LAYER_LSTM ? 4 : 1;
    const double scale = 1.5 / sqrt(l->n_in);
    if (kind == DEFT_LAYER_DENSE || gates > 1) {
        l->weight = randoms(k, gates * n_out * l->n_in, scale);
        l->bias = randoms(k, gates * n_out, 0.5);
    } else if (kind == DEFT_LAYER_LAYERNORM || kind == DEFT_LAYER_AFFINE) {
        l->weight = randoms(k, n_out, 1.5);
        l->bias = randoms(k, n_out, 0.5);
    }
    if (gates > 1) {
        l->weight_h = randoms(k, gates * n_out * n_out, 1);
        l->bias_h = randoms(k, gates * n_out, 0.5);
    }
    return l;
}
#define ADD(k, kind, n_out, ...)                                                                   \
    add(k, DEFT_LAYER_##kind, n_out, (const deft_segment[]){__VA_ARGS__, {DEFT_SRC_OBS, 0, 0, 0}})

static void output(maker *k, const deft_segment *out, int n)
{
    k->m.out = deft_arena_copy(k->a, out, (size_t)n * sizeof *out);
    k->m.n_out_segment = n;
}

/* --- the comparison ----------------------------------------------------------------------------
 */

static const char *out_dir; // from the command line

static void save(const char *name, deft_bytes b, float (*obs)[MAX_N], double (*act)[MAX_N],
                 const deft_contract *c)
{
    char path[512];
    deft_error err = {0};
    (void)snprintf(path, sizeof path, "%s/%s.onnx", out_dir, name);
    CHECK_OK(deft_file_write(path, b.data, b.size, &err), err);
    (void)snprintf(path, sizeof path, "%s/%s.csv", out_dir, name);
    FILE *f = fopen(path, "w");
    if (!f) return;
    for (int i = 0; i < c->n_obs; i++) (void)fprintf(f, "%sobs%d", i ? "," : "", i);
    for (int i = 0; i < c->n_act; i++) (void)fprintf(f, ",act%d", i);
    for (int t = 0; t < STEPS; t++) {
        for (int i = 0; i < c->n_obs; i++)
            (void)fprintf(f, "%c%.9g", i ? ',' : '\n', (double)obs[t][i]);
        for (int i = 0; i < c->n_act; i++) (void)fprintf(f, ",%.9g", act[t][i]);
    }
    (void)fprintf(f, "\n");
    (void)fclose(f);
}

static const deft_tensor *find_output(const deft_graph *g, const deft_tensor *const *out,
                                      const char *input)
{
    for (int i = 0; i < g->n_output; i++) {
        const char *name = g->value[g->output[i].value].name, *in = strstr(input, "_in");
        const size_t stem = in ? (size_t)(in - input) : 0;
        if (in && strncmp(name, input, stem) == 0 && strncmp(name + stem, "_out", 4) == 0 &&
            strcmp(name + stem + 4, in + 3) == 0)
            return out[i];
    }
    return NULL;
}

/* One step of the graph; feeds state and previous action back. Returns the action. */
static const deft_tensor *graph_step(const deft_graph *g, deft_graph_eval *e, deft_tensor *in,
                                     const deft_contract *c, deft_error *err)
{
    const deft_tensor *out[8] = {0};
    if (deft_graph_eval_run(e, in, out, err) != DEFT_OK) return NULL;
    for (int i = 1; i < g->n_input; i++) {
        const char *name = g->value[g->input[i].value].name;
        const deft_tensor *from = find_output(g, out, name);
        if (from) memcpy(in[i].data, from->data, (size_t)in[i].count * sizeof(float));
        if (!from && strcmp(name, "prev_action") == 0)
            for (int k = 0; k < c->n_act; k++)
                ((float *)in[i].data)[k] =
                    (((const float *)out[0]->data)[k] - (c->act_offset ? c->act_offset[k] : 0)) /
                    (c->act_scale ? c->act_scale[k] : 1);
        CHECK(from || strcmp(name, "prev_action") == 0, "nothing feeds %s", name);
    }
    return out[0];
}

/* A history that starts full of the first input is the caller's to fill. */
static void fill_histories(const deft_graph *g, deft_tensor *in, const deft_model *m,
                           const state *after)
{
    for (int i = 0; i < g->n_input; i++) {
        int k = 0;
        if (sscanf(g->value[g->input[i].value].name, "history_in_%d", &k) != 1) continue;
        const deft_layer *l = &m->layer[k];
        const double *newest = after->h[k] + (l->newest_first ? 0 : l->n_out - l->n_in);
        for (int j = 0; l->fill_first && j < l->n_out; j++)
            ((float *)in[i].data)[j] = (float)newest[j % l->n_in];
    }
}

static double compare(const deft_model *m, const deft_graph *g, const char *name, deft_bytes b)
{
    static float obs[STEPS][MAX_N];
    static double act[STEPS][MAX_N];
    static state st;
    deft_arena *a = deft_arena_create(0);
    deft_error err = {0};
    deft_rng rng;
    deft_rng_seed(&rng, 5);
    st = (state){0};
    deft_tensor in[8] = {0};
    for (int i = 0; i < g->n_input; i++)
        CHECK_OK(deft_tensor_init(&in[i], DEFT_F32, g->input[i].rank, g->input[i].dim, a), err);
    deft_graph_eval *e = NULL;
    CHECK_OK(deft_graph_eval_create(g, &e, &err), err);
    double worst = e ? 0 : HUGE_VAL;
    for (int t = 0; e && t < STEPS; t++) {
        for (int i = 0; i < m->contract.n_obs; i++)
            obs[t][i] = ((float *)in[0].data)[i] = (float)deft_rng_normal(&rng);
        step(m, &st, obs[t], act[t]);
        if (t == 0) fill_histories(g, in, m, &st);
        const deft_tensor *y = graph_step(g, e, in, &m->contract, &err);
        CHECK(y && y->count == m->contract.n_act, "%s: %s", name, err.text);
        for (int i = 0; y && i < m->contract.n_act; i++) {
            const double v = y->dtype == DEFT_I64 ? (double)((const int64_t *)y->data)[i]
                                                  : (double)((const float *)y->data)[i];
            worst = fmax(worst, fabs(v - act[t][i]));
        }
    }
    if (out_dir) save(name, b, obs, act, &m->contract);
    deft_graph_eval_destroy(e);
    deft_arena_destroy(a);
    return worst;
}

static bool same_floats(const float *a, const float *b, int n)
{
    if (!a || !b) return a == b;
    return memcmp(a, b, (size_t)n * sizeof *a) == 0;
}

static bool same_texts(const char *const *a, const char *const *b, int n)
{
    if (!a || !b) return a == b;
    for (int i = 0; i < n; i++)
        if (strcmp(a[i], b[i]) != 0) return false;
    return true;
}

/* The contract comes back exactly into a model that knows only what the graph's nodes say. */
static void check_contract(const deft_model *m, const deft_graph *g, const char *name)
{
    deft_error err = {0};
    deft_model n = *m;
    n.layer = deft_arena_copy(m->arena, m->layer, (size_t)m->n_layer * sizeof *m->layer);
    for (int k = 0; k < n.n_layer; k++) n.layer[k].fill_first = false;
    deft_contract *c = &n.contract;
    c->name = "";
    c->obs_name = c->obs_unit = c->act_name = c->act_unit = NULL;
    c->note = NULL;
    c->n_note = 0;
    c->period_s = 0;
    if (c->obs_scale) { // as float arithmetic might have found it
        c->obs_scale = deft_arena_copy(m->arena, c->obs_scale, (size_t)c->n_obs * sizeof(float));
        c->obs_scale[0] *= 1 + 1e-7f;
    }
    CHECK_OK(deft_onnx_contract(g, &n, &err), err);
    const deft_contract *o = &m->contract;
    CHECK(strcmp(o->name, c->name) == 0 && o->period_s == c->period_s, "%s: name, period", name);
    CHECK(same_floats(o->obs_offset, c->obs_offset, o->n_obs) &&
              same_floats(o->obs_scale, c->obs_scale, o->n_obs) &&
              same_floats(o->obs_lo, c->obs_lo, o->n_obs) &&
              same_floats(o->obs_hi, c->obs_hi, o->n_obs),
          "%s: observation numbers", name);
    CHECK(same_floats(o->act_offset, c->act_offset, o->n_act) &&
              same_floats(o->act_scale, c->act_scale, o->n_act) &&
              same_floats(o->act_lo, c->act_lo, o->n_act) &&
              same_floats(o->act_hi, c->act_hi, o->n_act),
          "%s: action numbers", name);
    CHECK(same_texts(o->obs_name, c->obs_name, o->n_obs) &&
              same_texts(o->obs_unit, c->obs_unit, o->n_obs) &&
              same_texts(o->act_name, c->act_name, o->n_act) &&
              same_texts(o->act_unit, c->act_unit, o->n_act),
          "%s: names and units", name);
    CHECK(o->n_note == c->n_note, "%s: notes", name);
    for (int i = 0; i < o->n_note && i < c->n_note; i++)
        CHECK(strcmp(o->note[i].key, c->note[i].key) == 0 &&
                  strcmp(o->note[i].value, c->note[i].value) == 0,
              "%s: note %d", name, i);
    for (int k = 0; k < n.n_layer; k++)
        CHECK(n.layer[k].fill_first == m->layer[k].fill_first || m->layer[k].depth < 2,
              "%s: history", name);
    // a graph whose nodes say otherwise is not believed
    if (!o->obs_scale) return;
    c->obs_scale = deft_arena_copy(m->arena, o->obs_scale, (size_t)o->n_obs * sizeof(float));
    c->obs_scale[o->n_obs - 1] *= 2;
    CHECK(deft_onnx_contract(g, &n, &err) == DEFT_E_MISMATCH, "%s: %s", name, err.text);
}

static void check_model(maker *k, const char *name)
{
    deft_error err = {0};
    deft_bytes b = {0}, again = {0};
    deft_graph *g = NULL;
    CHECK_OK(deft_onnx_write(&k->m, k->a, &b, &err), err);
    CHECK_OK(deft_onnx_write(&k->m, k->a, &again, &err), err);
    CHECK(b.size == again.size && b.size && memcmp(b.data, again.data, b.size) == 0,
          "%s: the bytes differ", name);
    CHECK_OK(deft_onnx_read(b, NULL, k->a, &g, &err), err);
    if (g) {
        const double worst = compare(&k->m, g, name, b);
        CHECK(worst < 2e-6, "%s: off by %g", name, worst);
        check_contract(&k->m, g, name);
        CHECK(strcmp(g->producer, "deft") == 0 && g->opset == 17, "%s: %s", name, g->producer);
    }
    deft_arena_destroy(k->a);
}

/* --- cases -------------------------------------------------------------------------------------
 */

static void test_activations(void)
{
    static const deft_activation f[] = {
        {DEFT_ACT_NONE, 0, 0},         {DEFT_ACT_RELU, 0, 0},        {DEFT_ACT_LEAKY_RELU, 0.2f, 0},
        {DEFT_ACT_ELU, 0.7f, 0},       {DEFT_ACT_SELU, 1.6f, 1.05f}, {DEFT_ACT_SILU, 0, 0},
        {DEFT_ACT_GELU, 0, 0},         {DEFT_ACT_GELU_TANH, 0, 0},   {DEFT_ACT_TANH, 0, 0},
        {DEFT_ACT_SIGMOID, 0, 0},      {DEFT_ACT_SOFTSIGN, 0, 0},    {DEFT_ACT_SOFTPLUS, 0, 0},
        {DEFT_ACT_CLIP, -0.5f, 0.25f}, {DEFT_ACT_CLIP, 0, INFINITY},
    };
    for (size_t i = 0; i < sizeof f / sizeof *f; i++) {
        maker k = start(i, 5, 3);
        deft_layer *l = ADD(&k, DENSE, 7, SEG(OBS, 0, 0, 5));
        l->activation = f[i];
        l->name = "actor/0 (\xff\"'"; // made safe by the writer
        l = ADD(&k, DENSE, 3, SEG(LAYER, 0, 0, 7));
        l->name = "actor/0 (\xff\"'"; // and unique
        if (i & 1) l->bias = NULL;
        output(&k, (deft_segment[]){SEG(LAYER, 1, 0, 3)}, 1);
        char name[32];
        (void)snprintf(name, sizeof name, "activation%zu", i);
        check_model(&k, name);
    }
}

static void test_contract(void)
{
    static const char *obs_name[] = {"roll", "pitch \"q\"", "\xc3\xa4"},
                      *unit[] = {"rad", "rad", ""};
    static const char *act_name[] = {"hip", "knee"}, *act_unit[] = {"rad", "rad"};
    static const deft_meta note[] = {{"default_joint_pos", "0.1,0.2"}, {"a", "\n"}, {"a", ""}};
    for (int each = 0; each < 2; each++) {
        maker k = start(77, 3, 2);
        deft_contract *c = &k.m.contract;
        c->name = "thing";
        c->obs_name = obs_name;
        c->obs_unit = unit;
        c->act_name = act_name;
        c->act_unit = act_unit;
        c->obs_offset = randoms(&k, 3, 1);
        c->obs_scale = randoms(&k, 3, 1);
        c->obs_lo = (float[]){-0.25f, each ? -INFINITY : -0.25f, -0.25f};
        c->obs_hi = (float[]){0.5f, 0.5f, each ? INFINITY : 0.5f};
        c->act_scale = randoms(&k, 2, 3);
        c->act_offset = randoms(&k, 2, 3);
        c->act_lo = (float[]){-1, each ? -0.5f : -1};
        c->act_hi = each ? (float[]){2, 3} : NULL;
        c->period_s = 1.0 / 60;
        c->note = note;
        c->n_note = 3;
        ADD(&k, DENSE, 2, SEG(OBS, 0, 0, 3), SEG(PREV, 0, 0, 2))->activation.kind = DEFT_ACT_TANH;
        output(&k, (deft_segment[]){SEG(LAYER, 0, 0, 2)}, 1);
        check_model(&k, each ? "contract_each" : "contract_all");
    }
}

static void test_gru(void)
{
    for (int form = 0; form < 8; form++) {
        maker k = start((uint64_t)form, 4, 2);
        const bool delayed = form & 1, before = form & 2, widths = form & 4;
        ADD(&k, GRU, 6, SEG(PREV, 0, 0, 2), SEG(OBS, 0, 0, 4));
        deft_layer *l = delayed ? ADD(&k, GRU, widths ? 5 : 6, SEG(STATE, 0, 0, 6))
                                : ADD(&k, GRU, widths ? 5 : 6, SEG(LAYER, 0, 0, 6));
        l->bias_h = NULL;
        for (int i = 0; i < 2; i++) k.m.layer[i].reset_before = before;
        if (delayed) k.m.layer[0].bias = k.m.layer[0].bias_h = l->bias = NULL;
        ADD(&k, DENSE, 2, SEG(OBS, 0, 1, 2), SEG(LAYER, 1, 0, l->n_out), SEG(STATE, 0, 2, 3))
            ->activation.kind = DEFT_ACT_TANH;
        output(&k, (deft_segment[]){SEG(LAYER, 2, 0, 2)}, 1);
        char name[32];
        (void)snprintf(name, sizeof name, "gru%d", form);
        check_model(&k, name);
    }
}

static void test_lstm(void)
{
    maker k = start(9, 4, 5);
    ADD(&k, LSTM, 5, SEG(OBS, 0, 0, 4));
    ADD(&k, LSTM, 5, SEG(LAYER, 0, 0, 5));
    ADD(&k, GRU, 5, SEG(LAYER, 1, 0, 5))->name = "encoder";
    output(&k, (deft_segment[]){SEG(LAYER, 2, 0, 5)}, 1); // the state is the action
    check_model(&k, "lstm_and_gru");

    k = start(10, 4, 3);
    ADD(&k, LSTM, 3, SEG(OBS, 0, 0, 4))->bias = NULL;
    output(&k, (deft_segment[]){SEG(LAYER, 0, 0, 3)}, 1);
    check_model(&k, "lstm_alone");

    k = start(11, 4, 3);
    ADD(&k, LSTM, 4, SEG(OBS, 0, 0, 4));
    ADD(&k, LSTM, 3, SEG(LAYER, 0, 0, 4), SEG(STATE, 0, 0, 4));
    output(&k, (deft_segment[]){SEG(LAYER, 1, 0, 2), SEG(STATE, 0, 3, 1)}, 2);
    check_model(&k, "lstm_two_widths");
}

static void test_others(void)
{
    maker k = start(20, 6, 4);
    ADD(&k, DENSE, 4, SEG(OBS, 0, 0, 6))->activation.kind = DEFT_ACT_SILU;
    ADD(&k, LAYERNORM, 4, SEG(LAYER, 0, 0, 4))->activation.kind = DEFT_ACT_GELU;
    ADD(&k, LAYERNORM, 4, SEG(LAYER, 1, 0, 4))->bias = NULL;
    ADD(&k, AFFINE, 4, SEG(LAYER, 2, 0, 4))->activation.kind = DEFT_ACT_ELU;
    k.m.layer[3].activation.alpha = 1;
    ADD(&k, ADD, 4, SEG(LAYER, 3, 0, 4), SEG(OBS, 0, 1, 4));
    ADD(&k, MUL, 4, SEG(OBS, 0, 0, 6), SEG(LAYER, 4, 2, 2)); // the first segment spans both halves
    ADD(&k, ACTIVATION, 4, SEG(LAYER, 5, 0, 4))->activation.kind = DEFT_ACT_SOFTSIGN;
    ADD(&k, AFFINE, 4, SEG(LAYER, 6, 0, 4))->bias = NULL;
    output(&k, (deft_segment[]){SEG(LAYER, 7, 2, 2), SEG(LAYER, 7, 0, 2)}, 2);
    check_model(&k, "others");

    for (int form = 0; form < 4; form++) {
        k = start(21, 3, 2);
        deft_layer *l = ADD(&k, HISTORY, 12, SEG(OBS, 0, 0, 3));
        l->depth = 4;
        l->newest_first = form & 1;
        l->fill_first = form & 2;
        l = ADD(&k, HISTORY, 12, SEG(LAYER, 0, 0, 12));
        l->depth = 1;
        ADD(&k, DENSE, 2, SEG(LAYER, 1, 0, 12));
        output(&k, (deft_segment[]){SEG(LAYER, 2, 0, 2)}, 1);
        char name[32];
        (void)snprintf(name, sizeof name, "history%d", form);
        check_model(&k, name);
    }

    k = start(22, 3, 1);
    ADD(&k, DENSE, 5, SEG(OBS, 0, 0, 3));
    k.m.n_output = 5;
    k.m.contract.discrete = true;
    output(&k, (deft_segment[]){SEG(LAYER, 0, 0, 5)}, 1);
    check_model(&k, "discrete");

    k = start(23, 3, 3); // actions that are observations
    ADD(&k, ACTIVATION, 1, SEG(OBS, 0, 2, 1));
    output(&k, (deft_segment[]){SEG(OBS, 0, 0, 2), SEG(LAYER, 0, 0, 1)}, 2);
    check_model(&k, "through");

    deft_error err = {0};
    deft_bytes b;
    k = start(24, 3, 3); // no layer at all is no policy
    output(&k, (deft_segment[]){SEG(OBS, 0, 0, 3)}, 1);
    CHECK(deft_onnx_write(&k.m, k.a, &b, &err) == DEFT_E_FORMAT, "written: %s", err.text);
    deft_arena_destroy(k.a);
}

int main(int argc, char **argv)
{
    if (argc > 1) out_dir = argv[1];
    test_activations();
    test_contract();
    test_gru();
    test_lstm();
    test_others();
    return check_report();
}
