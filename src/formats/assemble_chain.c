/* assemble_chain.c - layers one behind the other: what each reads follows from widths. */
#include "formats/assemble_private.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const float norm_epsilon = 1e-5f; // PyTorch's default for both normalisations

/* What the next layer may read. */
typedef struct flow {
    deft_segment now;    // the output of the last layer; length 0: nothing yet
    deft_segment beside; // what the encoder or the recurrent layers read; length 0: none
} flow;

typedef enum fit { FIT_NOT = 0, FIT_PLAIN, FIT_CONCAT } fit;

static bool is_recurrent(deft_layer_kind k)
{
    return k == DEFT_LAYER_GRU || k == DEFT_LAYER_LSTM;
}

static fit fits(const flow *f, const unit *u)
{
    if (f->now.length == 0 || u->n_in == f->now.length) return FIT_PLAIN;
    const bool both = f->beside.length && u->kind == DEFT_LAYER_DENSE &&
                      u->n_in == (int64_t)f->beside.length + f->now.length;
    return both ? FIT_CONCAT : FIT_NOT;
}

/* BatchNorm in evaluation is one multiplication and one addition. */
static bool fold_batch_norm(const unit *u, float *gamma, float *beta)
{
    const float epsilon = u->epsilon > 0 ? u->epsilon : norm_epsilon;
    for (int32_t i = 0; i < u->n_out; i++) {
        gamma[i] = u->weight[i] / sqrtf(u->variance[i] + epsilon);
        beta[i] = (u->bias ? u->bias[i] : 0) - u->mean[i] * gamma[i];
        if (!isfinite(gamma[i]) || !isfinite(beta[i])) return false;
    }
    return true;
}

static float *copy(deft_arena *a, const float *x, int64_t n, bool *ok)
{
    float *y = x ? deft_arena_copy(a, x, (size_t)n * sizeof *x) : NULL;
    if (x && !y) *ok = false;
    return y;
}

static deft_status fill_layer(assembly *s, deft_layer *l, const unit *u, int32_t n_out)
{
    deft_arena *a = s->m->arena;
    const int64_t gates = u->kind == DEFT_LAYER_GRU ? 3 : u->kind == DEFT_LAYER_LSTM ? 4 : 1;
    const int64_t rows = gates * n_out;
    const bool matrix = u->kind == DEFT_LAYER_DENSE || is_recurrent(u->kind);
    bool ok = true;
    l->kind = u->kind;
    l->name = u->layer ? deft_arena_printf(a, "%s.l%d", u->name, (int)u->layer)
                       : deft_arena_strndup(a, u->name, strlen(u->name));
    l->n_in = u->n_in;
    l->n_out = n_out;
    l->weight = copy(a, u->weight, matrix ? rows * u->n_in : rows, &ok);
    l->bias = copy(a, u->bias, rows, &ok);
    l->weight_h = copy(a, u->weight_h, rows * n_out, &ok);
    l->bias_h = copy(a, u->bias_h, rows, &ok);
    if (u->kind == DEFT_LAYER_LAYERNORM) l->epsilon = norm_epsilon;
    if (u->kind == DEFT_LAYER_AFFINE && !l->bias) l->bias = DEFT_NEW_ARRAY(a, float, n_out);
    if (!l->name || !ok || (u->kind == DEFT_LAYER_AFFINE && !l->bias))
        return deft_fail(s->err, DEFT_E_SPACE, "no memory for the policy");
    if (u->kind == DEFT_LAYER_AFFINE && !fold_batch_norm(u, l->weight, l->bias))
        return deft_fail(s->err, DEFT_E_RANGE, "a BatchNorm has a variance that is out of range");
    return DEFT_OK;
}

/* Appends a layer made of u, of which only the first n_out outputs are kept. */
static deft_status append(assembly *s, flow *f, const unit *u, fit how, int32_t n_out)
{
    deft_model *m = s->m;
    deft_layer *l = &m->layer[m->n_layer];
    if (f->now.length == 0) {
        m->contract.n_obs = u->n_in;
        f->now = (deft_segment){DEFT_SRC_OBS, 0, 0, u->n_in};
    }
    const deft_status status = fill_layer(s, l, u, n_out);
    if (status != DEFT_OK) return status;
    l->in = DEFT_NEW_ARRAY(m->arena, deft_segment, 2);
    if (!l->in) return deft_fail(s->err, DEFT_E_SPACE, "no memory for the policy");
    if (how == FIT_CONCAT) l->in[l->n_segment++] = f->beside;
    l->in[l->n_segment++] = f->now;
    const bool stack = m->n_layer && is_recurrent(m->layer[m->n_layer - 1].kind);
    if (is_recurrent(u->kind) && !stack) f->beside = f->now;
    if (u->kind == DEFT_LAYER_DENSE) f->beside.length = 0;
    f->now = (deft_segment){DEFT_SRC_LAYER, m->n_layer, 0, n_out};
    s->from[m->n_layer++] = u;
    return DEFT_OK;
}

/* The actor reads the encoder's output, and what the encoder reads where its width says so. */
static deft_status enter_actor(assembly *s, flow *f, const unit *u, fit how)
{
    const char *want = s->opt->input, *name = how == FIT_CONCAT ? "concat" : "encoder";
    if (!s->encoder || f->now.length == 0) return DEFT_OK;
    if (want && strcmp(want, name) != 0)
        return deft_fail(s->err, DEFT_E_MISMATCH,
                         "the actor takes %d inputs: that is '%s', not '%s'", (int)u->n_in, name,
                         want);
    if (want || how != FIT_CONCAT) return DEFT_OK;
    return ask(s, "the order of the encoder's input and output", "input", "concat");
}

static deft_status no_fit(const assembly *s, const flow *f, const unit *u)
{
    char name[120], more[64] = "";
    (void)deft_escape(name, sizeof name, u->name, 1024);
    if (f->beside.length)
        (void)snprintf(more, sizeof more, ", with what went in before %lld",
                       (long long)f->beside.length + f->now.length);
    return deft_fail(s->err, DEFT_E_MISMATCH,
                     "'%s' takes %d inputs, but the layer before it gives %d%s: say with an "
                     "architecture which layers belong to the policy",
                     name, (int)u->n_in, (int)f->now.length, more);
}

/* Does the last layer give means, which come first, and log standard deviations? Not where these
 * have a layer or a parameter of their own. */
static bool is_gaussian(const unit *u)
{
    if (u->kind != DEFT_LAYER_DENSE || u->n_out % 2) return false;
    for (int32_t i = 0; i < u->c->n; i++)
        if (name_contains(u->c->name[i], "log_std") || name_contains(u->c->name[i], "logstd") ||
            name_contains(u->c->name[i], "learned_stddev"))
            return false;
    return name_contains(u->name, "gaussian") || name_contains(u->name, "sac_") ||
           name_contains(u->name, "distribution_linear"); // Sample Factory
}

/* The layers so far and a last one of n outputs, as --arch wants them. */
static const char *arch_text(const assembly *s, int32_t n, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (int32_t k = 0; k < s->m->n_layer && used < size; k++) {
        const deft_layer *l = &s->m->layer[k];
        const char *kind =
            l->kind == DEFT_LAYER_AFFINE ? "batchnorm" : deft_layer_kind_name(l->kind);
        used += (size_t)snprintf(text + used, size - used, "%s:%d,", kind, (int)l->n_out);
    }
    if (used < size) (void)snprintf(text + used, size - used, "dense:%d", (int)n);
    return text;
}

static deft_status ask_for_means(assembly *s, int32_t n)
{
    char arch[300];
    return ask(s, "whether half of the outputs are spreads", "arch",
               arch_text(s, n, arch, sizeof arch));
}

/* Every unit in order, since no architecture was given. */
static deft_status take_all(assembly *s, flow *f)
{
    for (int32_t i = 0; i < s->n_unit; i++) {
        const unit *u = &s->unit[i];
        deft_status status = DEFT_OK;
        char name[160];
        if (u->unsupported)
            return deft_fail(s->err, DEFT_E_UNSUPPORTED, "layer '%s': %s",
                             deft_escape(name, sizeof name, u->name, 1024), u->unsupported);
        if (i == s->n_encoder && i) f->beside = (deft_segment){DEFT_SRC_OBS, 0, 0, s->unit[0].n_in};
        const fit how = fits(f, u);
        if (how == FIT_NOT) return no_fit(s, f, u);
        if (i == s->n_encoder) status = enter_actor(s, f, u, how);
        const bool half = i + 1 == s->n_unit && is_gaussian(u);
        if (status == DEFT_OK && half) status = ask_for_means(s, u->n_out / 2);
        if (status == DEFT_OK) status = append(s, f, u, how, half ? u->n_out / 2 : u->n_out);
        if (status != DEFT_OK) return status;
    }
    return DEFT_OK;
}

static bool is_item(const arch_item *item, const unit *u, bool last)
{
    const bool width = item->width == 0 || item->width == u->n_out ||
                       (last && item->kind == DEFT_LAYER_DENSE && u->n_out == 2 * item->width);
    return !u->unsupported && u->kind == item->kind && width;
}

/* The unit that item k means: the next one that fits, else one before that was not taken yet. -1:
 * there is none. *f becomes what it reads from. */
static int32_t find_named(const assembly *s, int32_t k, int32_t start, const bool *taken,
                          bool entered, flow *f)
{
    for (int32_t t = 0; t < s->n_unit; t++) {
        const int32_t i = (start + t) % s->n_unit;
        const bool enters = s->n_encoder && i >= s->n_encoder && !entered && f->now.length;
        flow g = *f;
        if (taken[i] || (entered && i < s->n_encoder)) continue;
        if (enters) g.beside = (deft_segment){DEFT_SRC_OBS, 0, 0, s->m->contract.n_obs};
        if (!is_item(&s->item[k], &s->unit[i], k + 1 == s->n_item)) continue;
        if (fits(&g, &s->unit[i]) == FIT_NOT) continue;
        *f = g;
        return i;
    }
    return -1;
}

/* The units that the architecture names, in its order. */
static deft_status take_named(assembly *s, flow *f)
{
    bool taken[2 * ASSEMBLE_MAX_UNITS] = {false};
    bool entered = false; // a layer of the actor
    int32_t start = 0;
    for (int32_t k = 0; k < s->n_item; k++) {
        const arch_item *item = &s->item[k];
        const int32_t i = find_named(s, k, start, taken, entered, f);
        if (i < 0)
            return deft_fail(
                s->err, DEFT_E_MISMATCH,
                "architecture: item %d (%s:%d): no such layer that takes the %d values "
                "before it is left",
                (int)k + 1, deft_layer_kind_name(item->kind), (int)item->width, (int)f->now.length);
        const unit *u = &s->unit[i];
        const fit how = fits(f, u);
        deft_status status = DEFT_OK;
        taken[i] = true;
        start = i + 1;
        if (i >= s->n_encoder && !entered) status = enter_actor(s, f, u, how);
        entered = i >= s->n_encoder;
        if (status == DEFT_OK) status = append(s, f, u, how, item->width ? item->width : u->n_out);
        if (status != DEFT_OK) return status;
    }
    return DEFT_OK;
}

deft_status chain_build(assembly *s)
{
    deft_model *m = s->m;
    const int32_t most = s->n_item ? s->n_item : s->n_unit;
    flow f = {0};
    m->layer = DEFT_NEW_ARRAY(m->arena, deft_layer, most);
    s->from = DEFT_NEW_ARRAY(m->arena, const unit *, most);
    m->out = DEFT_NEW(m->arena, deft_segment);
    if (!m->layer || !s->from || !m->out)
        return deft_fail(s->err, DEFT_E_SPACE, "no memory for the policy");
    const deft_status status = s->n_item ? take_named(s, &f) : take_all(s, &f);
    if (status != DEFT_OK) return status;
    *m->out = f.now;
    m->n_out_segment = 1;
    m->n_output = f.now.length;
    return DEFT_OK;
}
