/* understand_fuse.c - elementwise drafts into the layers whose outputs they alone read. */
#include "graph/understand.h"

#include <string.h>

und_src und_follow(const und *u, und_src s)
{
    while (s.kind == DEFT_SRC_LAYER && u->draft[s.index]->forward >= 0)
        s.index = u->draft[s.index]->forward;
    return s;
}

static void use(const und *u, und_src s)
{
    if (s.kind == DEFT_SRC_LAYER) u->draft[s.index]->uses[s.at]++;
}

static deft_status count_uses(und *u)
{
    for (int32_t k = 0; k < u->n_draft; k++) {
        und_draft *d = u->draft[k];
        d->uses = DEFT_NEW_ARRAY(u->a, int32_t, d->l.n_out);
        if (!d->uses) return und_no_memory(u);
    }
    for (int32_t k = 0; k < u->n_draft; k++)
        for (int32_t i = 0; !u->draft[k]->dead && i < u->draft[k]->l.n_in; i++)
            use(u, u->draft[k]->in[i]);
    for (int32_t i = 0; i < u->n_out; i++) use(u, u->out_src[i]);
    return DEFT_OK;
}

static bool takes(const und_draft *d, const und_draft *a)
{
    if (d->l.activation.kind != DEFT_ACT_NONE) return false;
    const deft_layer_kind k = d->l.kind;
    const bool linear =
        k == DEFT_LAYER_DENSE || k == DEFT_LAYER_AFFINE || k == DEFT_LAYER_LAYERNORM;
    return linear ||
           (a->l.kind == DEFT_LAYER_ACTIVATION && (k == DEFT_LAYER_ADD || k == DEFT_LAYER_MUL));
}

/* The draft that a reads whole and alone, -1: none. */
static int32_t host_of(const und *u, const und_draft *a)
{
    if (a->dead || (a->l.kind != DEFT_LAYER_AFFINE && a->l.kind != DEFT_LAYER_ACTIVATION))
        return -1;
    if (a->l.kind == DEFT_LAYER_AFFINE && a->l.activation.kind != DEFT_ACT_NONE &&
        (a->l.weight || a->l.bias))
        return -1; // both at once
    const und_src first = und_follow(u, a->in[0]);
    if (first.kind != DEFT_SRC_LAYER) return -1;
    const und_draft *d = u->draft[first.index];
    if (d == a || d->l.n_out != a->l.n_in || !takes(d, a)) return -1;
    for (int32_t i = 0; i < a->l.n_in; i++) {
        const und_src s = und_follow(u, a->in[i]);
        if (s.kind != DEFT_SRC_LAYER || s.index != first.index || d->uses[s.at] != 1) return -1;
        // only rows of a matrix can change their order
        if (d->l.kind != DEFT_LAYER_DENSE && s.at != i) return -1;
    }
    return first.index;
}

static deft_status reorder_rows(und *u, und_draft *d, const und_draft *a)
{
    const size_t n_in = (size_t)d->l.n_in, n_out = (size_t)d->l.n_out;
    bool same = true;
    for (int32_t i = 0; i < a->l.n_in; i++) same = same && a->in[i].at == i;
    if (same) return DEFT_OK;
    float *w = DEFT_NEW_ARRAY(u->a, float, n_in *n_out);
    float *b = d->l.bias ? DEFT_NEW_ARRAY(u->a, float, n_out) : NULL;
    if (!w || (d->l.bias && !b)) return und_no_memory(u);
    for (size_t i = 0; i < n_out; i++) {
        const size_t from = (size_t)a->in[i].at;
        memcpy(w + i * n_in, d->l.weight + from * n_in, n_in * sizeof *w);
        if (b) b[i] = d->l.bias[from];
    }
    d->l.weight = w;
    d->l.bias = b;
    return DEFT_OK;
}

static deft_status absorb_affine(und *u, und_draft *d, const und_draft *a)
{
    const int32_t n = d->l.n_out, width = d->l.kind == DEFT_LAYER_DENSE ? d->l.n_in : 1;
    const bool had = d->l.weight != NULL;
    if (a->l.weight && !had) d->l.weight = DEFT_NEW_ARRAY(u->a, float, n);
    const bool had_bias = d->l.bias != NULL;
    if (a->l.bias && !had_bias) d->l.bias = DEFT_NEW_ARRAY(u->a, float, n);
    if ((a->l.weight && !d->l.weight) || (a->l.bias && !d->l.bias)) return und_no_memory(u);
    for (int32_t i = 0; i < n; i++) {
        const float s = a->l.weight ? a->l.weight[i] : 1;
        for (int32_t k = 0; a->l.weight && k < width; k++) {
            float *w = &d->l.weight[(size_t)i * (size_t)width + (size_t)k];
            *w = had ? *w * s : s;
        }
        if (had_bias && a->l.weight) d->l.bias[i] *= s;
        if (a->l.bias) d->l.bias[i] = had_bias ? d->l.bias[i] + a->l.bias[i] : a->l.bias[i];
    }
    return DEFT_OK;
}

static deft_status merge(und *u, int32_t index, int32_t host)
{
    und_draft *a = u->draft[index], *d = u->draft[host];
    for (int32_t i = 0; i < a->l.n_in; i++) a->in[i] = und_follow(u, a->in[i]);
    deft_status s = DEFT_OK;
    if (d->l.kind == DEFT_LAYER_DENSE) s = reorder_rows(u, d, a);
    if (s == DEFT_OK && (a->l.weight || a->l.bias)) s = absorb_affine(u, d, a);
    if (s != DEFT_OK) return s;
    d->l.activation = a->l.activation;
    d->value = a->value;
    d->element = a->element;
    d->uses = a->uses;
    a->dead = true;
    a->forward = host;
    return DEFT_OK;
}

deft_status und_fuse(und *u)
{
    deft_status s = count_uses(u);
    // sources come first, so that chains collapse from their beginning
    for (int32_t k = 0; s == DEFT_OK && k < u->n_draft; k++) {
        const int32_t host = host_of(u, u->draft[k]);
        if (host >= 0) s = merge(u, k, host);
    }
    return s;
}
