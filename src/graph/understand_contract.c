/* understand_contract.c - normalisers of observations and scaling of actions, into the contract. */
#include "graph/understand.h"

#include <float.h>
#include <math.h>

enum { MAX_CHAIN = 8, MAX_FOLDED = 64 };

/* --- actions --------------------------------------------------------------------------------- */

typedef struct chain {
    und_view v[MAX_CHAIN]; // outermost first, all affine
    int n;
    und_ref base;
} chain;

static chain affine_chain(const und *u, und_ref r)
{
    chain c = {.base = r};
    while (c.n < MAX_CHAIN) {
        const und_view v = und_look(u, c.base);
        if (v.kind != UND_V_AFFINE || v.a == 0) break;
        c.v[c.n++] = v;
        c.base = v.x;
    }
    return c;
}

/* act = scale * (what is left of *r) + offset. The bias of a last layer stays where it is. */
static void peel_affine(const und *u, und_ref *r, float *scale, float *offset)
{
    chain c = affine_chain(u, *r);
    const bool dense = c.base.op >= 0 && u->op[c.base.op]->kind == UND_DENSE;
    if (!dense && und_look(u, c.base).kind != UND_V_ACT) return;
    while (dense && c.n > 0 && c.v[c.n - 1].a == 1) c.n--;
    for (int i = c.n - 1; i >= 0; i--) {
        *scale *= c.v[i].a;
        *offset = c.v[i].a * *offset + c.v[i].b;
        *r = c.v[c.n - 1].x;
    }
}

static bool all_are(const float *v, int32_t n, float c)
{
    for (int32_t i = 0; i < n; i++)
        if (v[i] != c) return false;
    return true;
}

static float *filled(deft_arena *a, int32_t n, float c)
{
    float *v = DEFT_NEW_ARRAY(a, float, n);
    for (int32_t i = 0; v && i < n; i++) v[i] = c;
    return v;
}

/* An array of the contract, NULL where it says nothing. */
static float *unless(float *v, int32_t n, float c)
{
    return all_are(v, n, c) ? NULL : v;
}

deft_status und_peel_action(und *u)
{
    deft_contract *c = &u->m->contract;
    const int32_t n = u->n_out;
    c->discrete = u->discrete;
    c->n_act = u->discrete ? u->n_head : n;
    if (u->discrete && u->n_head > 1) {
        c->choices = deft_arena_copy(u->g->arena, u->head, (size_t)u->n_head * sizeof *u->head);
        if (!c->choices) return und_no_memory(u);
    }
    if (u->discrete) return DEFT_OK;
    float *scale = filled(u->g->arena, n, 1), *offset = filled(u->g->arena, n, 0);
    float *lo = filled(u->g->arena, n, -INFINITY), *hi = filled(u->g->arena, n, INFINITY);
    if (!scale || !offset || !lo || !hi) return und_no_memory(u);
    for (int32_t k = 0; k < n; k++) {
        const und_view v = und_look(u, u->out[k]);
        if (v.kind == UND_V_ACT && v.act.kind == DEFT_ACT_CLIP && v.x.op >= 0) {
            if (v.act.alpha > -FLT_MAX) lo[k] = v.act.alpha;
            if (v.act.beta < FLT_MAX) hi[k] = v.act.beta;
            u->out[k] = v.x;
        }
        peel_affine(u, &u->out[k], &scale[k], &offset[k]);
    }
    c->act_scale = unless(scale, n, 1);
    c->act_offset = unless(offset, n, 0);
    c->act_lo = unless(lo, n, -INFINITY);
    c->act_hi = unless(hi, n, INFINITY);
    return DEFT_OK;
}

/* --- observations ---------------------------------------------------------------------------- */

typedef struct front {
    int32_t n;
    int32_t *reads; // [n] of each observation
    float *offset, *scale, *lo, *hi;
} front;

static void count_reads(const und *u, front *f)
{
    for (int32_t i = 0; i < f->n; i++) f->reads[i] = 0;
    for (int32_t k = 0; k < u->n_draft; k++) {
        const und_draft *d = u->draft[k];
        for (int32_t i = 0; !d->dead && i < d->l.n_in; i++)
            if (d->in[i].kind == DEFT_SRC_OBS) f->reads[d->in[i].at]++;
    }
    for (int32_t i = 0; i < u->n_out; i++)
        if (u->out_src[i].kind == DEFT_SRC_OBS) f->reads[u->out_src[i].at]++;
}

/* Is the draft a normaliser that every reader of its observations goes through? */
static bool foldable(const front *f, const und_draft *d)
{
    const bool clip = d->l.kind == DEFT_LAYER_ACTIVATION && d->l.activation.kind == DEFT_ACT_CLIP;
    if (d->dead || (!clip && d->l.kind != DEFT_LAYER_AFFINE)) return false;
    for (int32_t i = 0; i < d->l.n_in; i++) {
        const int32_t o = d->in[i].at;
        if (d->in[i].kind != DEFT_SRC_OBS || f->reads[o] != 1) return false;
        if (isfinite(f->lo[o]) || isfinite(f->hi[o])) return false; // nothing comes after a clip
        if (d->l.weight && d->l.weight[i] == 0) return false;
    }
    return true;
}

static void fold_element(front *f, const und_draft *d, int32_t i)
{
    const int32_t o = d->in[i].at;
    if (d->l.kind == DEFT_LAYER_ACTIVATION) {
        if (d->l.activation.alpha > -FLT_MAX) f->lo[o] = d->l.activation.alpha;
        if (d->l.activation.beta < FLT_MAX) f->hi[o] = d->l.activation.beta;
        return;
    }
    if (d->l.weight) f->scale[o] *= d->l.weight[i];
    if (d->l.bias) f->offset[o] -= d->l.bias[i] / f->scale[o];
}

static void redirect(const und_draft *of, int32_t index, und_src *s)
{
    if (s->kind == DEFT_SRC_LAYER && s->index == index) *s = of->in[s->at];
}

static void fold_draft(und *u, front *f, int32_t index)
{
    und_draft *d = u->draft[index];
    for (int32_t i = 0; i < d->l.n_in; i++) fold_element(f, d, i);
    d->dead = true;
    for (int32_t k = 0; k < u->n_draft; k++)
        for (int32_t i = 0; i < u->draft[k]->l.n_in; i++) redirect(d, index, &u->draft[k]->in[i]);
    for (int32_t i = 0; i < u->n_out; i++) redirect(d, index, &u->out_src[i]);
    count_reads(u, f);
}

deft_status und_fold_observations(und *u)
{
    deft_contract *c = &u->m->contract;
    deft_arena *a = u->g->arena;
    const int32_t n = c->n_obs;
    front f = {.n = n, .reads = DEFT_NEW_ARRAY(u->a, int32_t, n)};
    f.offset = filled(a, n, 0);
    f.scale = filled(a, n, 1);
    f.lo = filled(a, n, -INFINITY);
    f.hi = filled(a, n, INFINITY);
    if (!f.reads || !f.offset || !f.scale || !f.lo || !f.hi) return und_no_memory(u);
    count_reads(u, &f);
    int folded = 0;
    for (int32_t k = 0; k < u->n_draft && folded < MAX_FOLDED; k++) {
        if (!foldable(&f, u->draft[k])) continue;
        fold_draft(u, &f, k);
        folded++;
    }
    c->obs_offset = unless(f.offset, n, 0);
    c->obs_scale = unless(f.scale, n, 1);
    c->obs_lo = unless(f.lo, n, -INFINITY);
    c->obs_hi = unless(f.hi, n, INFINITY);
    return DEFT_OK;
}
