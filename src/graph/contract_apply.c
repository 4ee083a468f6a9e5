/* contract_apply.c - a contract that a file says, put on a policy (docs/contract.md). */
#include "deft/contract.h"
#include "graph/model_private.h"

#include <math.h>
#include <string.h>

enum { MAX_INPUTS = 1 << 20 };

typedef struct job {
    deft_model *m;
    const deft_contract_file *f;
    deft_error *err;
    model_inputs in;     // what becomes of the inputs
    model_block *block;  // [n_term] and more
    deft_layer *layer;   // new ones
    deft_contract front; // observations as they will be
} job;

static deft_status no_memory(const job *j)
{
    return deft_fail(j->err, DEFT_E_SPACE, "no memory for the contract");
}

static float at_or(const float *x, int32_t i, float otherwise)
{
    return x ? x[i] : otherwise;
}

static bool all_are(const float *x, int32_t n, float v)
{
    for (int32_t i = 0; x && i < n; i++)
        if (x[i] != v) return false;
    return true;
}

/* NULL where it says nothing. */
static float *unless(float *x, int32_t n, float v)
{
    return all_are(x, n, v) ? NULL : x;
}

static float within(float x, float lo, float hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

/* --- does it fit? ---------------------------------------------------------------------------- */

static bool acts_scale(const deft_contract_file *f)
{
    return !all_are(f->act_scale, f->n_act, 1) || !all_are(f->act_offset, f->n_act, 0) ||
           !all_are(f->act_clip_lo, f->n_act, -INFINITY) ||
           !all_are(f->act_clip_hi, f->n_act, INFINITY);
}

static bool acts_limit(const deft_contract_file *f)
{
    return !all_are(f->act_clip_lo, f->n_act, -INFINITY) ||
           !all_are(f->act_clip_hi, f->n_act, INFINITY) ||
           !all_are(f->act_lo, f->n_act, -INFINITY) || !all_are(f->act_hi, f->n_act, INFINITY);
}

static deft_status check_inputs(const job *j)
{
    const deft_contract *c = &j->m->contract;
    int64_t n = 0, sensed = 0;
    for (int32_t k = 0; k < j->f->n_term; k++) {
        const deft_contract_term *t = &j->f->term[k];
        n += (int64_t)t->size * t->history.length;
        sensed += t->previous ? 0 : t->size;
        if (t->previous && t->size != c->n_act)
            return deft_fail(j->err, DEFT_E_MISMATCH,
                             "%s: observations[%d]: the previous action has %d elements here, and "
                             "the policy %d actions",
                             j->f->where, (int)k, (int)t->size, (int)c->n_act);
        if (n > MAX_INPUTS) break;
    }
    if (n != c->n_obs)
        return deft_fail(j->err, DEFT_E_MISMATCH,
                         "%s: observations: the terms make %lld inputs, each size times its "
                         "history length; the policy has %d",
                         j->f->where, (long long)n, (int)c->n_obs);
    if (sensed == 0)
        return deft_fail(j->err, DEFT_E_MISMATCH,
                         "%s: observations: nothing is left but the previous action", j->f->where);
    return DEFT_OK;
}

static deft_status check_feedback(const job *j)
{
    const deft_contract_file *f = j->f;
    const bool built_in = model_reads_previous(j->m);
    bool listed = false;
    for (int32_t k = 0; k < f->n_term; k++) listed |= f->term[k].previous;
    if (listed && built_in)
        return deft_fail(j->err, DEFT_E_MISMATCH,
                         "%s: observations: the previous action is listed, but this policy feeds "
                         "it to itself already: leave it out of the list, and "
                         "actions.feedback is 'built in'",
                         f->where);
    if (listed && (f->feedback == DEFT_FEEDBACK_NONE || f->feedback == DEFT_FEEDBACK_BUILT_IN))
        return deft_fail(j->err, DEFT_E_ARG,
                         "%s: actions.feedback must say what the previous action among the "
                         "observations is: 'raw', 'clipped' or 'applied'",
                         f->where);
    if (!listed && f->feedback == DEFT_FEEDBACK_BUILT_IN && !built_in)
        return deft_fail(j->err, DEFT_E_MISMATCH,
                         "%s: actions.feedback: this policy does not read its previous action",
                         f->where);
    if (!listed && f->feedback != DEFT_FEEDBACK_NONE && f->feedback != DEFT_FEEDBACK_BUILT_IN)
        return deft_fail(j->err, DEFT_E_MISMATCH,
                         "%s: actions.feedback: no observation has the source 'previous_action'",
                         f->where);
    if (f->feedback == DEFT_FEEDBACK_RAW && acts_limit(f))
        return deft_fail(j->err, DEFT_E_UNSUPPORTED,
                         "%s: actions.feedback: 'raw' cannot be kept where actions.clip or "
                         "actions.limits cut it: a device remembers the action that it gave. "
                         "'clipped' is what is left of it",
                         f->where);
    if (j->m->contract.discrete && listed && f->feedback != DEFT_FEEDBACK_APPLIED)
        return deft_fail(j->err, DEFT_E_UNSUPPORTED,
                         "%s: actions.feedback: the previous action of a discrete policy is the "
                         "index: 'applied'",
                         f->where);
    return DEFT_OK;
}

static deft_status check_actions(const job *j)
{
    const deft_contract_file *f = j->f;
    const deft_contract *c = &j->m->contract;
    if (f->n_act && f->n_act != c->n_act)
        return deft_fail(j->err, DEFT_E_MISMATCH, "%s: actions: %d here, and the policy has %d%s",
                         f->where, (int)f->n_act, (int)c->n_act,
                         c->discrete ? ", the index of the largest output" : "");
    if (c->discrete && (acts_scale(f) || acts_limit(f)))
        return deft_fail(j->err, DEFT_E_UNSUPPORTED,
                         "%s: actions: the action of a discrete policy is an index: neither "
                         "scaled nor clipped",
                         f->where);
    const bool own = !all_are(c->act_scale, c->n_act, 1) || !all_are(c->act_offset, c->n_act, 0);
    if (own && acts_scale(f) && f->own_scaling == DEFT_OWN_SCALING_UNSAID)
        return deft_fail(j->err, DEFT_E_ARG,
                         "%s: the policy scales its actions already (deft info --contract-table): "
                         "own_scaling must say 'keep' (the contract's comes after it) or "
                         "'replace'",
                         f->where);
    return DEFT_OK;
}

static deft_status check_name(const job *j)
{
    const deft_contract *c = &j->m->contract;
    if (j->f->own_scaling == DEFT_OWN_SCALING_REPLACE || !c->name ||
        strcmp(c->name, j->f->name) != 0)
        return DEFT_OK;
    char name[128];
    return deft_fail(j->err, DEFT_E_MISMATCH,
                     "%s: the policy has the contract '%s' already, and would be scaled twice: "
                     "own_scaling 'replace' puts it in the place of the old one",
                     j->f->where, deft_escape(name, sizeof name, c->name, 64));
}

/* --- observations ---------------------------------------------------------------------------- */

/* What the policy does already to its input i. */
static model_map own_map(const job *j, int32_t i)
{
    const model_map none = {0, 1, -INFINITY, INFINITY};
    return j->f->own_scaling == DEFT_OWN_SCALING_REPLACE ? none : model_map_of(&j->m->contract, i);
}

static model_map term_map(const deft_contract_term *t, int32_t i)
{
    return (model_map){(double)at_or(t->offset, i, 0), (double)at_or(t->scale, i, 1),
                       at_or(t->lo, i, -INFINITY), at_or(t->hi, i, INFINITY)};
}

/* b of a: clip((clip((v - ao) as) - bo) bs). */
static model_map compose(const model_map *a, const model_map *b)
{
    model_map c = {a->offset, a->scale * b->scale, b->lo, b->hi};
    if (b->offset != 0) c.offset = a->offset + b->offset / a->scale;
    if (b->scale == 0) return c;
    const float x = (float)(((double)a->lo - b->offset) * b->scale);
    const float y = (float)(((double)a->hi - b->offset) * b->scale);
    c.lo = within(b->scale < 0 ? y : x, b->lo, b->hi);
    c.hi = within(b->scale < 0 ? x : y, b->lo, b->hi);
    return c;
}

/* The previous action, as the policy wants it, of PREV, which is in the network's own units. */
static model_map feedback_map(const job *j, int32_t i)
{
    const deft_contract *c = &j->m->contract;
    const bool replace = j->f->own_scaling == DEFT_OWN_SCALING_REPLACE;
    double scale = replace ? 1 : (double)at_or(c->act_scale, i, 1);
    double offset = replace ? 0 : (double)at_or(c->act_offset, i, 0);
    if (j->f->feedback == DEFT_FEEDBACK_APPLIED) {
        scale *= (double)at_or(j->f->act_scale, i, 1);
        offset =
            offset * (double)at_or(j->f->act_scale, i, 1) + (double)at_or(j->f->act_offset, i, 0);
    }
    const model_map m = {offset == 0 ? 0 : -offset / scale, scale, -INFINITY, INFINITY};
    return m;
}

/* Adds a layer that applies map to `from`, if it does anything; from becomes its output. */
static deft_status add_affine(job *j, const char *name, const model_map *map, deft_segment *from)
{
    bool plain = true;
    for (int32_t i = 0; i < from->length; i++) plain &= model_map_is_identity(&map[i]);
    if (plain) return DEFT_OK;
    deft_layer *const l = &j->layer[j->in.n_layer];
    const deft_status s = model_affine_layer(j->m, name, map, *from, l, j->err);
    if (s != DEFT_OK) return deft_error_prefix(j->err, "%s", j->f->where);
    *from = (deft_segment){DEFT_SRC_LAYER, j->in.n_layer++, 0, from->length};
    return DEFT_OK;
}

/* One frame of the previous action; input: the first of its inputs that has no history, or -1. */
static deft_status previous_frame(job *j, const deft_contract_term *t, int32_t input,
                                  deft_segment *out)
{
    model_map *map = DEFT_NEW_ARRAY(j->m->arena, model_map, t->size);
    if (!map) return no_memory(j);
    for (int32_t i = 0; i < t->size; i++) {
        const model_map first = feedback_map(j, i), second = term_map(t, i);
        map[i] = compose(&first, &second);
        if (input < 0) continue;
        const model_map own = own_map(j, input + i);
        map[i] = compose(&map[i], &own);
    }
    *out = (deft_segment){DEFT_SRC_PREV, 0, 0, t->size};
    return add_affine(j, "previous action", map, out);
}

/* One frame of observations, behind those that are there already. */
static void sensed_frame(job *j, const deft_contract_term *t, int32_t input, deft_segment *out)
{
    deft_contract *const c = &j->front;
    const int32_t at = c->n_obs;
    for (int32_t i = 0; i < t->size; i++) {
        model_map map = term_map(t, i);
        if (input >= 0) {
            const model_map own = own_map(j, input + i);
            map = compose(&map, &own);
        }
        c->obs_name[at + i] = t->name ? t->name[i] : "";
        c->obs_unit[at + i] = t->unit ? t->unit[i] : "";
        c->obs_offset[at + i] = (float)map.offset;
        c->obs_scale[at + i] = (float)map.scale;
        c->obs_lo[at + i] = map.lo;
        c->obs_hi[at + i] = map.hi;
        c->obs_least[at + i] = at_or(t->least, i, -INFINITY);
        c->obs_most[at + i] = at_or(t->most, i, INFINITY);
    }
    c->n_obs += t->size;
    *out = (deft_segment){DEFT_SRC_OBS, 0, at, t->size};
}

static bool same_history(const deft_contract_history *a, const deft_contract_history *b)
{
    return a->length == b->length && a->newest_first == b->newest_first &&
           a->by_frame == b->by_frame && a->fill_first == b->fill_first;
}

/* How many terms from k on share one history. */
static int32_t group(const deft_contract_file *f, int32_t k)
{
    const deft_contract_history *const h = &f->term[k].history;
    int32_t n = 1;
    while (h->length > 1 && h->by_frame && k + n < f->n_term &&
           same_history(h, &f->term[k + n].history))
        n++;
    return n;
}

/* A layer that keeps the frames, and the policy's own normaliser of all of them after it. */
static deft_status add_history(job *j, const deft_contract_history *h, deft_segment *frame,
                               int32_t n_frame, int32_t input, deft_segment *out)
{
    int32_t width = 0;
    for (int32_t i = 0; i < n_frame; i++) width += frame[i].length;
    const int32_t all = width * h->length;
    deft_layer *const l = &j->layer[j->in.n_layer];
    *l = (deft_layer){.kind = DEFT_LAYER_HISTORY, .name = "history", .n_in = width, .n_out = all};
    l->n_segment = n_frame;
    l->in = frame;
    l->depth = h->length;
    l->newest_first = h->newest_first;
    l->fill_first = h->fill_first;
    *out = (deft_segment){DEFT_SRC_LAYER, j->in.n_layer++, 0, all};
    model_map *own = DEFT_NEW_ARRAY(j->m->arena, model_map, all);
    if (!own) return no_memory(j);
    for (int32_t i = 0; i < all; i++) own[i] = own_map(j, input + i);
    return add_affine(j, "history", own, out);
}

/* Observations side by side become one segment. */
static int32_t join(deft_segment *s, int32_t n)
{
    int32_t to = 0;
    for (int32_t i = 1; i < n; i++) {
        const bool next = s[i].kind == DEFT_SRC_OBS && s[to].kind == DEFT_SRC_OBS &&
                          s[to].offset + s[to].length == s[i].offset;
        if (next)
            s[to].length += s[i].length;
        else
            s[++to] = s[i];
    }
    return to + 1;
}

static deft_status read_terms(job *j)
{
    const deft_contract_file *f = j->f;
    int32_t input = 0;
    deft_status s = DEFT_OK;
    for (int32_t k = 0, n = 0; s == DEFT_OK && k < f->n_term; k += n) {
        const deft_contract_history *const h = &f->term[k].history;
        n = group(f, k);
        deft_segment *frame = DEFT_NEW_ARRAY(j->m->arena, deft_segment, n);
        if (!frame) return no_memory(j);
        int32_t width = 0;
        for (int32_t i = 0; s == DEFT_OK && i < n; i++) {
            const deft_contract_term *const t = &f->term[k + i];
            const int32_t own = h->length == 1 ? input : -1;
            width += t->size;
            if (t->previous)
                s = previous_frame(j, t, own, &frame[i]);
            else
                sensed_frame(j, t, own, &frame[i]);
        }
        deft_segment by = frame[0];
        if (s == DEFT_OK && h->length > 1) s = add_history(j, h, frame, join(frame, n), input, &by);
        j->block[j->in.n_block++] = (model_block){width * h->length, by};
        input += width * h->length;
    }
    return s;
}

static deft_status set_observations(job *j)
{
    deft_contract *const c = &j->m->contract, *const to = &j->front;
    deft_arena *const a = j->m->arena;
    const int32_t n = c->n_obs, n_term = j->f->n_term;
    *to = *c;
    to->n_obs = 0;
    to->obs_name = DEFT_NEW_ARRAY(a, const char *, n);
    to->obs_unit = DEFT_NEW_ARRAY(a, const char *, n);
    float **const numbers[] = {&to->obs_offset, &to->obs_scale, &to->obs_lo,
                               &to->obs_hi,     &to->obs_least, &to->obs_most};
    bool good = to->obs_name && to->obs_unit;
    for (int k = 0; k < 6; k++) good = (*numbers[k] = DEFT_NEW_ARRAY(a, float, n)) && good;
    j->block = DEFT_NEW_ARRAY(a, model_block, n_term);
    j->layer = DEFT_NEW_ARRAY(a, deft_layer, 3 * (size_t)n_term);
    if (!good || !j->block || !j->layer) return no_memory(j);
    deft_status s = read_terms(j);
    j->in.block = j->block;
    j->in.layer = j->layer;
    if (s == DEFT_OK) s = model_replace_inputs(j->m, &j->in, j->err);
    if (s != DEFT_OK) return s;
    to->obs_offset = unless(to->obs_offset, to->n_obs, 0);
    to->obs_scale = unless(to->obs_scale, to->n_obs, 1);
    to->obs_lo = unless(to->obs_lo, to->n_obs, -INFINITY);
    to->obs_hi = unless(to->obs_hi, to->n_obs, INFINITY);
    to->obs_least = unless(to->obs_least, to->n_obs, -INFINITY);
    to->obs_most = unless(to->obs_most, to->n_obs, INFINITY);
    *c = *to;
    return DEFT_OK;
}

/* --- actions and the rest -------------------------------------------------------------------- */

/* limits(clip(own clip(y k + o)) scale + offset), as scale, offset and limits of y. */
static deft_status set_actions(job *j)
{
    const deft_contract_file *const f = j->f;
    deft_contract *const c = &j->m->contract;
    const int32_t n = c->n_act;
    const bool replace = f->own_scaling == DEFT_OWN_SCALING_REPLACE;
    float *scale = DEFT_NEW_ARRAY(j->m->arena, float, n),
          *lo = DEFT_NEW_ARRAY(j->m->arena, float, n);
    float *offset = DEFT_NEW_ARRAY(j->m->arena, float, n);
    float *hi = DEFT_NEW_ARRAY(j->m->arena, float, n);
    if (!scale || !offset || !lo || !hi) return no_memory(j);
    for (int32_t i = 0; i < n; i++) {
        const float k = at_or(f->act_scale, i, 1), o = at_or(f->act_offset, i, 0);
        const float own_k = replace ? 1 : at_or(c->act_scale, i, 1);
        const float own_o = replace ? 0 : at_or(c->act_offset, i, 0);
        const float from = at_or(f->act_clip_lo, i, -INFINITY);
        const float to = at_or(f->act_clip_hi, i, INFINITY);
        const float least = at_or(f->act_lo, i, -INFINITY), most = at_or(f->act_hi, i, INFINITY);
        // the ends of what comes before, through the same operations as the actions
        const float x = within(replace ? -INFINITY : at_or(c->act_lo, i, -INFINITY), from, to) * k;
        const float y = within(replace ? INFINITY : at_or(c->act_hi, i, INFINITY), from, to) * k;
        scale[i] = own_k * k;
        offset[i] = own_o * k + o;
        lo[i] = within((k < 0 ? y : x) + o, least, most);
        hi[i] = within((k < 0 ? x : y) + o, least, most);
    }
    c->act_scale = unless(scale, n, 1);
    c->act_offset = unless(offset, n, 0);
    c->act_lo = unless(lo, n, -INFINITY);
    c->act_hi = unless(hi, n, INFINITY);
    if (f->act_name) c->act_name = f->act_name;
    if (f->act_unit) c->act_unit = f->act_unit;
    return DEFT_OK;
}

/* A note of the same key gives way. */
static deft_status set_notes(job *j)
{
    const deft_contract_file *const f = j->f;
    deft_contract *const c = &j->m->contract;
    deft_meta *note = DEFT_NEW_ARRAY(j->m->arena, deft_meta, (size_t)c->n_note + (size_t)f->n_note);
    if (!note) return no_memory(j);
    int32_t n = c->n_note;
    for (int32_t i = 0; i < n; i++) note[i] = c->note[i];
    for (int32_t k = 0; k < f->n_note; k++) {
        int32_t at = 0;
        while (at < n && strcmp(note[at].key, f->note[k].key) != 0) at++;
        note[at] = f->note[k];
        n += at == n;
    }
    c->note = note;
    c->n_note = n;
    return DEFT_OK;
}

/* What a known contract says is not for a file to change. */
static deft_status set_name(const job *j)
{
    deft_contract *const c = &j->m->contract;
    c->name = j->f->name;
    if (j->f->period_s > 0) c->period_s = j->f->period_s;
    if (!deft_contract_has_name(c->name) || deft_contract_is_known(c)) return DEFT_OK;
    return deft_fail(j->err, DEFT_E_MISMATCH,
                     "%s: name: '%s' is a contract that Deft knows, with other names or units: "
                     "give yours another name",
                     j->f->where, c->name);
}

deft_status deft_model_apply_contract(deft_model *m, const deft_contract_file *f, deft_error *err)
{
    job j = {.m = m, .f = f, .err = err};
    deft_status s = check_feedback(&j);
    if (s == DEFT_OK) s = check_inputs(&j);
    if (s == DEFT_OK) s = check_actions(&j);
    if (s == DEFT_OK) s = check_name(&j);
    if (s == DEFT_OK) s = set_observations(&j);
    if (s == DEFT_OK) s = set_actions(&j);
    if (s == DEFT_OK) s = set_notes(&j);
    if (s == DEFT_OK) s = set_name(&j);
    return s == DEFT_OK ? deft_model_check(m, err) : s;
}
