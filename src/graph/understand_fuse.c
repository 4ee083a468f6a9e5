/* understand_fuse.c - elementwise drafts into the layers whose outputs they alone read. */
#include "graph/understand.h"

#include <string.h>

und_src und_follow(const und *u, und_src s)
{
    while (s.kind == DEFT_SRC_LAYER && u->draft[s.index]->to) s = u->draft[s.index]->to[s.at];
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

/* Does every draft that a reads take part of a in: is it read whole, once, and by a alone? reads
 * [n_draft] is zero before and afterwards. */
static bool has_hosts(const und *u, const und_draft *a, int32_t *reads)
{
    if (a->dead || (a->l.kind != DEFT_LAYER_AFFINE && a->l.kind != DEFT_LAYER_ACTIVATION))
        return false;
    if (a->l.kind == DEFT_LAYER_AFFINE && a->l.activation.kind != DEFT_ACT_NONE) return false;
    bool fits = true;
    int32_t n = 0;
    for (; n < a->l.n_in && fits; n++) {
        const und_src s = und_follow(u, a->in[n]);
        const und_draft *d = s.kind == DEFT_SRC_LAYER ? u->draft[s.index] : NULL;
        fits = d && takes(d, a) && d->uses[s.at] == 1;
        // only rows of a matrix can change their order
        if (fits && d->l.kind != DEFT_LAYER_DENSE) fits = s.at == reads[s.index];
        if (fits) reads[s.index]++;
    }
    for (int32_t i = 0; i < n; i++) {
        const und_src s = und_follow(u, a->in[i]);
        fits = fits && reads[s.index] == u->draft[s.index]->l.n_out;
    }
    for (int32_t i = 0; i < n; i++) {
        const und_src s = und_follow(u, a->in[i]);
        if (s.kind == DEFT_SRC_LAYER) reads[s.index] = 0;
    }
    return fits;
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

static deft_status merge(und *u, und_draft *d, const und_draft *a)
{
    deft_status s = DEFT_OK;
    if (d->l.kind == DEFT_LAYER_DENSE) s = reorder_rows(u, d, a);
    if (s == DEFT_OK && (a->l.weight || a->l.bias)) s = absorb_affine(u, d, a);
    if (s != DEFT_OK) return s;
    d->l.activation = a->l.activation;
    d->value = a->value;
    d->element = a->element;
    d->uses = a->uses;
    return DEFT_OK;
}

/* The part of a that reads draft `host`, as a draft of its own. */
static und_draft *part_of(und *u, const und_draft *a, int32_t host)
{
    const int32_t n = u->draft[host]->l.n_out;
    und_draft *p = DEFT_NEW(u->a, und_draft);
    if (!p) return NULL;
    *p = *a;
    p->l.n_in = p->l.n_out = n;
    p->in = DEFT_NEW_ARRAY(u->a, und_src, n);
    p->value = DEFT_NEW_ARRAY(u->a, int32_t, n);
    p->element = DEFT_NEW_ARRAY(u->a, int64_t, n);
    p->uses = DEFT_NEW_ARRAY(u->a, int32_t, n);
    if (a->l.weight) p->l.weight = DEFT_NEW_ARRAY(u->a, float, n);
    if (a->l.bias) p->l.bias = DEFT_NEW_ARRAY(u->a, float, n);
    if (!p->in || !p->value || !p->element || !p->uses || (a->l.weight && !p->l.weight) ||
        (a->l.bias && !p->l.bias))
        return NULL;
    for (int32_t i = 0, k = 0; i < a->l.n_in; i++) {
        if (a->in[i].index != host) continue;
        a->to[i] = (und_src){DEFT_SRC_LAYER, host, k};
        p->in[k] = a->in[i];
        p->value[k] = a->value[i];
        p->element[k] = a->element[i];
        p->uses[k] = a->uses[i];
        if (a->l.weight) p->l.weight[k] = a->l.weight[i];
        if (a->l.bias) p->l.bias[k] = a->l.bias[i];
        k++;
    }
    return p;
}

static deft_status merge_all(und *u, und_draft *a)
{
    for (int32_t i = 0; i < a->l.n_in; i++) a->in[i] = und_follow(u, a->in[i]);
    a->to = DEFT_NEW_ARRAY(u->a, und_src, a->l.n_out);
    if (!a->to) return und_no_memory(u);
    a->dead = true;
    for (int32_t i = 0; i < a->l.n_in; i++) {
        const int32_t host = a->in[i].index;
        if (a->to[i].kind) continue; // with an earlier element
        const und_draft *p = part_of(u, a, host);
        if (!p) return und_no_memory(u);
        const deft_status s = merge(u, u->draft[host], p);
        if (s != DEFT_OK) return s;
    }
    return DEFT_OK;
}

/* --- scales in front of matrices ---------------------------------------------------------------
 */

/* Is every reader of draft `index` a matrix? */
static bool feeds_matrices(const und *u, int32_t index)
{
    const und_draft *a = u->draft[index];
    if (a->dead || a->l.kind != DEFT_LAYER_AFFINE || a->l.activation.kind != DEFT_ACT_NONE)
        return false;
    for (int32_t i = 0; i < a->l.n_in; i++) // normalisers of observations stay in sight
        if (und_follow(u, a->in[i]).kind != DEFT_SRC_LAYER) return false;
    for (int32_t k = 0; k < u->n_draft; k++) {
        const und_draft *d = u->draft[k];
        if (d->dead || d->l.kind == DEFT_LAYER_DENSE) continue;
        for (int32_t i = 0; i < d->l.n_in; i++) {
            const und_src s = und_follow(u, d->in[i]);
            if (s.kind == DEFT_SRC_LAYER && s.index == index) return false;
        }
    }
    for (int32_t i = 0; i < u->n_out; i++) {
        const und_src s = und_follow(u, u->out_src[i]);
        if (s.kind == DEFT_SRC_LAYER && s.index == index) return false;
    }
    return true;
}

/* W (x * gamma + beta) = (W gamma) x + W beta */
static deft_status absorb_column(und *u, und_draft *d, int32_t column, const und_draft *a,
                                 int32_t at)
{
    const size_t n_in = (size_t)d->l.n_in;
    if (a->l.bias && !d->l.bias) d->l.bias = DEFT_NEW_ARRAY(u->a, float, d->l.n_out);
    if (a->l.bias && !d->l.bias) return und_no_memory(u);
    for (int32_t o = 0; o < d->l.n_out; o++) {
        float *w = &d->l.weight[(size_t)o * n_in + (size_t)column];
        if (a->l.bias) d->l.bias[o] += *w * a->l.bias[at];
        if (a->l.weight) *w *= a->l.weight[at];
    }
    return DEFT_OK;
}

static deft_status fold_into_matrices(und *u, int32_t index)
{
    und_draft *a = u->draft[index];
    for (int32_t k = 0; k < u->n_draft; k++) {
        und_draft *d = u->draft[k];
        for (int32_t i = 0; !d->dead && i < d->l.n_in; i++) {
            const und_src s = und_follow(u, d->in[i]);
            if (s.kind != DEFT_SRC_LAYER || s.index != index) continue;
            const deft_status status = absorb_column(u, d, i, a, s.at);
            if (status != DEFT_OK) return status;
        }
    }
    a->to = a->in;
    a->dead = true;
    return DEFT_OK;
}

deft_status und_fuse(und *u)
{
    enum { MAX_FOLDED = 64 };
    deft_status s = count_uses(u);
    int32_t *reads = DEFT_NEW_ARRAY(u->a, int32_t, u->n_draft + 1);
    if (s == DEFT_OK && !reads) return und_no_memory(u);
    // sources come first, so that chains collapse from their beginning
    for (int32_t k = 0; s == DEFT_OK && k < u->n_draft; k++)
        if (has_hosts(u, u->draft[k], reads)) s = merge_all(u, u->draft[k]);
    int folded = 0;
    for (int32_t k = 0; s == DEFT_OK && k < u->n_draft && folded < MAX_FOLDED; k++)
        if (feeds_matrices(u, k)) {
            s = fold_into_matrices(u, k);
            folded++;
        }
    return s;
}
