/* normaliser.c - VecNormalize of Stable-Baselines3, pickled: its statistics are read, its classes
 * are names. */
#include "formats/assemble_private.h"
#include "formats/torch_private.h"

#include <limits.h>
#include <math.h>
#include <string.h>

enum { MAX_PARTS = 256 };

static deft_status damaged(deft_error *err, const char *what)
{
    return deft_fail(err, DEFT_E_FORMAT, "VecNormalize: '%s' is not as Stable-Baselines3 writes it",
                     what);
}

static double *doubles(const pickle_value *v, int64_t n, deft_arena *a)
{
    double *x = n > 0 && n <= INT32_MAX / 8 ? DEFT_NEW_ARRAY(a, double, n) : NULL;
    for (int64_t i = 0; x && i < n; i++)
        if (!pickle_number(v, i, &x[i]) || !isfinite(x[i])) return NULL;
    return x;
}

/* A RunningMeanStd. */
static deft_status part_of(const pickle_value *v, const char *key, deft_arena *a,
                           deft_normaliser_part *out, deft_error *err)
{
    const pickle_value *mean = pickle_entry(v, "mean"), *var = pickle_entry(v, "var");
    const int64_t n = pickle_count(mean);
    if (n != pickle_count(var)) return damaged(err, "obs_rms");
    double *m = doubles(mean, n, a), *d = doubles(var, n, a);
    if (!m || !d) return damaged(err, "obs_rms");
    *out = (deft_normaliser_part){key, (int32_t)n, m, d};
    return DEFT_OK;
}

/* Is the key among norm_obs_keys? All are where there is no such list. */
static bool is_wanted(const pickle_value *keys, const pickle_value *key)
{
    if (!keys || keys->kind != PICKLE_LIST) return true;
    for (size_t i = 0; i < keys->as.list.n; i++) {
        const pickle_value *k = keys->as.list.item[i];
        if (k->kind == PICKLE_TEXT && k->as.text.n == key->as.text.n &&
            memcmp(k->as.text.s, key->as.text.s, k->as.text.n) == 0)
            return true;
    }
    return false;
}

static deft_status parts_of(const pickle_value *root, deft_arena *a, deft_normaliser *out,
                            deft_error *err)
{
    const pickle_value *rms = pickle_entry(root, "obs_rms");
    const pickle_value *keys = pickle_entry(root, "norm_obs_keys");
    if (!rms) return damaged(err, "obs_rms");
    const bool dict = rms->kind == PICKLE_DICT;
    const size_t n = dict ? rms->as.list.n / 2 : 1;
    deft_normaliser_part *part = n <= MAX_PARTS ? DEFT_NEW_ARRAY(a, deft_normaliser_part, n) : NULL;
    if (!part) return damaged(err, "obs_rms");
    out->part = part;
    if (!dict) return out->n_part = 1, part_of(rms, "", a, part, err);
    for (size_t i = 0; i < n; i++) {
        const pickle_value *key = rms->as.list.item[2 * i];
        if (key->kind != PICKLE_TEXT || !key->as.text.n) return damaged(err, "obs_rms");
        if (!is_wanted(keys, key)) continue;
        const char *name = deft_arena_strndup(a, key->as.text.s, key->as.text.n);
        if (!name) return deft_fail(err, DEFT_E_SPACE, "no memory");
        const deft_status s =
            part_of(rms->as.list.item[2 * i + 1], name, a, &part[out->n_part++], err);
        if (s != DEFT_OK) return s;
    }
    return DEFT_OK;
}

static deft_status read_root(const pickle_value *root, deft_arena *a, deft_normaliser *out,
                             deft_error *err)
{
    const pickle_value *norm = pickle_entry(root, "norm_obs");
    if (!pickle_is_a(root, "VecNormalize"))
        return deft_fail(err, DEFT_E_UNSUPPORTED, "the pickle holds no VecNormalize");
    if (!norm || norm->kind != PICKLE_BOOL) return damaged(err, "norm_obs");
    out->observations = norm->as.i;
    if (!out->observations) return DEFT_OK;
    if (!pickle_number(pickle_entry(root, "epsilon"), 0, &out->epsilon) || !(out->epsilon >= 0))
        return damaged(err, "epsilon");
    if (!pickle_number(pickle_entry(root, "clip_obs"), 0, &out->clip) || !(out->clip > 0))
        return damaged(err, "clip_obs");
    return parts_of(root, a, out, err);
}

deft_status deft_normaliser_read(deft_bytes bytes, const char *path, deft_arena *a,
                                 deft_normaliser **out, deft_error *err)
{
    char name[200];
    pickle_value *root = NULL;
    *out = NULL;
    deft_arena *work = deft_arena_create(((size_t)64 << 20) + 64 * bytes.size);
    deft_normaliser *n = DEFT_NEW(a, deft_normaliser);
    deft_status s = work && n ? DEFT_OK : deft_fail(err, DEFT_E_SPACE, "no memory");
    if (s == DEFT_OK && !(n->source = deft_arena_strndup(a, path ? path : "", PATH_MAX)))
        s = deft_fail(err, DEFT_E_SPACE, "no memory");
    if (s == DEFT_OK && (bytes.size < 2 || bytes.data[0] != 0x80))
        s = deft_fail(err, DEFT_E_FORMAT,
                      "not a pickle: a normaliser is a file of "
                      "VecNormalize.save (vecnormalize.pkl)");
    if (s == DEFT_OK) s = pickle_load(bytes, work, &root, err);
    if (s == DEFT_OK) s = read_root(root, a, n, err);
    deft_arena_destroy(work);
    if (s == DEFT_OK) {
        *out = n;
        return s;
    }
    (void)deft_escape(name, sizeof name, path ? path : "(memory)", PATH_MAX);
    return deft_error_prefix(err, "%s", name), s;
}

/* --- in a policy ----------------------------------------------------------------------------- */

static float *filled(deft_arena *a, int32_t n, float v)
{
    float *x = DEFT_NEW_ARRAY(a, float, n);
    for (int32_t i = 0; x && i < n; i++) x[i] = v;
    return x;
}

static deft_status apply_part(assembly *s, const deft_normaliser *n, const deft_normaliser_part *p,
                              int32_t at)
{
    deft_contract *c = &s->m->contract;
    for (int32_t i = 0; i < p->n; i++) {
        const double sd = sqrt(p->variance[i] + n->epsilon);
        c->obs_offset[at + i] = (float)p->mean[i];
        c->obs_scale[at + i] = (float)(1 / sd);
        c->obs_lo[at + i] = (float)-n->clip;
        c->obs_hi[at + i] = (float)n->clip;
        if (!isfinite(c->obs_scale[at + i]) || !isfinite(c->obs_offset[at + i]))
            return deft_fail(s->err, DEFT_E_RANGE, "the normaliser's element %d is out of range",
                             (int)i);
    }
    return DEFT_OK;
}

static deft_status does_not_fit(const assembly *s, const char *what, int32_t have, int32_t want)
{
    char text[100];
    return deft_fail(s->err, DEFT_E_MISMATCH,
                     "the normaliser has %d numbers for the observation%s%s%s, the policy %d",
                     (int)have, *what ? " '" : "", deft_escape(text, sizeof text, what, 256),
                     *what ? "'" : "", (int)want);
}

/* One part of the normaliser for each of a Dict that it knows. */
static deft_status apply_parts(assembly *s, const deft_normaliser *n, const sb3_space *o)
{
    int32_t at = 0, used = 0;
    for (int32_t k = 0; k < o->n_part; at += o->part[k++].n) {
        for (int32_t i = 0; i < n->n_part; i++) {
            const deft_normaliser_part *p = &n->part[i];
            if (strcmp(p->key, o->part[k].key) != 0) continue;
            if (p->n != o->part[k].n) return does_not_fit(s, p->key, p->n, o->part[k].n);
            const deft_status status = apply_part(s, n, p, at);
            if (status != DEFT_OK) return status;
            used++;
        }
    }
    return used == n->n_part ? DEFT_OK
                             : deft_fail(s->err, DEFT_E_MISMATCH,
                                         "the normaliser has parts that the observations have not");
}

deft_status normaliser_apply(assembly *s, const deft_normaliser *n)
{
    deft_contract *c = &s->m->contract;
    const sb3_space *o = s->actor->sb3 ? &s->actor->sb3->observation : NULL;
    const bool dict = o && o->kind == SB3_SPACE_DICT;
    if (!n->observations) return DEFT_OK;
    if (c->obs_scale)
        return deft_fail(s->err, DEFT_E_ARG, "--normalizer: the file has a normaliser of its own");
    c->obs_offset = filled(s->m->arena, c->n_obs, 0);
    c->obs_scale = filled(s->m->arena, c->n_obs, 1);
    c->obs_lo = filled(s->m->arena, c->n_obs, -INFINITY);
    c->obs_hi = filled(s->m->arena, c->n_obs, INFINITY);
    if (!c->obs_offset || !c->obs_scale || !c->obs_lo || !c->obs_hi)
        return deft_fail(s->err, DEFT_E_SPACE, "no memory for the policy");
    if (dict) return apply_parts(s, n, o);
    if (n->n_part != 1 || n->part->key[0])
        return deft_fail(s->err, DEFT_E_MISMATCH,
                         "the normaliser is of observations in parts, the policy's have none");
    if (n->part->n != c->n_obs) return does_not_fit(s, "", n->part->n, c->n_obs);
    return apply_part(s, n, n->part, 0);
}
