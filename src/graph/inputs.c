/* inputs.c - what the inputs of a policy come from: the previous action fed back, histories kept.
 */
#include "graph/model_private.h"

#include <math.h>
#include <string.h>

static deft_status no_memory(deft_error *err)
{
    return deft_fail(err, DEFT_E_SPACE, "no memory for the contract");
}

bool model_reads_previous(const deft_model *m)
{
    for (int32_t k = 0; k <= m->n_layer; k++) {
        deft_segment *s;
        const int32_t n = model_segments(m, k, &s);
        for (int32_t i = 0; i < n; i++)
            if (s[i].kind == DEFT_SRC_PREV) return true;
    }
    return false;
}

/* --- replacing inputs ------------------------------------------------------------------------ */

/* Does b continue what a reads? */
static bool continues(const deft_segment *a, const deft_segment *b)
{
    return a->kind == b->kind && a->index == b->index && a->offset + a->length == b->offset;
}

/* What one segment of inputs becomes; to NULL: only counted. Returns how many pieces. */
static int32_t cut(const deft_segment *s, const model_block *block, int32_t n, deft_segment *to)
{
    deft_segment last = {DEFT_SRC_OBS, 0, 0, 0};
    int32_t pieces = 0, begin = 0;
    for (int32_t k = 0; k < n; begin += block[k++].length) {
        const int32_t from = s->offset > begin ? s->offset : begin;
        const int32_t end = begin + block[k].length < s->offset + s->length
                                ? begin + block[k].length
                                : s->offset + s->length;
        if (from >= end) continue;
        deft_segment piece = block[k].by;
        piece.offset += from - begin;
        piece.length = end - from;
        if (pieces > 0 && continues(&last, &piece)) {
            last.length += piece.length;
        } else {
            last = piece;
            pieces++;
        }
        if (to) to[pieces - 1] = last;
    }
    return pieces;
}

static deft_status replace_segments(deft_model *m, deft_segment **in, int32_t *n_in,
                                    const model_block *block, int32_t n)
{
    int64_t count = 0;
    for (int32_t i = 0; i < *n_in; i++)
        count += (*in)[i].kind == DEFT_SRC_OBS ? cut(&(*in)[i], block, n, NULL) : 1;
    deft_segment *s = count <= INT32_MAX ? DEFT_NEW_ARRAY(m->arena, deft_segment, count) : NULL;
    if (!s) return DEFT_E_SPACE;
    int32_t to = 0;
    for (int32_t i = 0; i < *n_in; i++) {
        if ((*in)[i].kind == DEFT_SRC_OBS)
            to += cut(&(*in)[i], block, n, s + to);
        else
            s[to++] = (*in)[i];
    }
    *in = s;
    *n_in = to;
    return DEFT_OK;
}

/* Puts n layers before all others. */
static deft_status insert_first(deft_model *m, const deft_layer *first, int32_t n, deft_error *err)
{
    if (n == 0) return DEFT_OK;
    if (n > MODEL_MAX_LAYERS - m->n_layer)
        return deft_fail(err, DEFT_E_UNSUPPORTED, "the policy has too many layers");
    deft_layer *all = DEFT_NEW_ARRAY(m->arena, deft_layer, (size_t)m->n_layer + (size_t)n);
    if (!all) return no_memory(err);
    for (int32_t k = 0; k <= m->n_layer; k++) {
        deft_segment *s;
        const int32_t n_segment = model_segments(m, k, &s);
        for (int32_t i = 0; i < n_segment; i++)
            if (s[i].kind == DEFT_SRC_LAYER || s[i].kind == DEFT_SRC_STATE) s[i].index += n;
    }
    memcpy(all, first, (size_t)n * sizeof *all);
    memcpy(all + n, m->layer, (size_t)m->n_layer * sizeof *all);
    m->layer = all;
    m->n_layer += n;
    return DEFT_OK;
}

deft_status model_replace_inputs(deft_model *m, const model_inputs *in, deft_error *err)
{
    deft_status s = insert_first(m, in->layer, in->n_layer, err);
    if (s != DEFT_OK) return s;
    for (int32_t k = in->n_layer; s == DEFT_OK && k < m->n_layer; k++)
        s = replace_segments(m, &m->layer[k].in, &m->layer[k].n_segment, in->block, in->n_block);
    if (s == DEFT_OK) s = replace_segments(m, &m->out, &m->n_out_segment, in->block, in->n_block);
    m->changed = true;
    return s == DEFT_OK ? s : no_memory(err);
}

/* --- maps ------------------------------------------------------------------------------------ */

static float at_or(const float *x, int32_t i, float otherwise)
{
    return x ? x[i] : otherwise;
}

model_map model_map_of(const deft_contract *c, int32_t i)
{
    return (model_map){(double)at_or(c->obs_offset, i, 0), (double)at_or(c->obs_scale, i, 1),
                       at_or(c->obs_lo, i, -INFINITY), at_or(c->obs_hi, i, INFINITY)};
}

bool model_map_is_identity(const model_map *m)
{
    return m->offset == 0 && m->scale == 1 && m->lo == -INFINITY && m->hi == INFINITY;
}

deft_status model_affine_layer(deft_model *m, const char *name, const model_map *map,
                               deft_segment from, deft_layer *l, deft_error *err)
{
    const int32_t n = from.length;
    *l = (deft_layer){.kind = DEFT_LAYER_AFFINE, .name = name, .n_segment = 1};
    l->n_in = l->n_out = n;
    l->in = deft_arena_copy(m->arena, &from, sizeof from);
    l->weight = DEFT_NEW_ARRAY(m->arena, float, n);
    l->bias = DEFT_NEW_ARRAY(m->arena, float, n);
    if (!l->in || !l->weight || !l->bias) return no_memory(err);
    const float lo = map[0].lo, hi = map[0].hi;
    if (lo != -INFINITY || hi != INFINITY) l->activation = (deft_activation){DEFT_ACT_CLIP, lo, hi};
    for (int32_t i = 0; i < n; i++) {
        l->weight[i] = (float)map[i].scale;
        l->bias[i] = (float)-(map[i].offset * map[i].scale);
        if (map[i].lo != lo || map[i].hi != hi)
            return deft_fail(err, DEFT_E_UNSUPPORTED,
                             "the %s's elements are clipped to different "
                             "ranges",
                             name);
    }
    return DEFT_OK;
}

/* --- the previous action --------------------------------------------------------------------- */

/* The first n observations are no more. */
static void drop_first(deft_contract *c, int32_t n)
{
    if (c->obs_name) c->obs_name += n;
    if (c->obs_unit) c->obs_unit += n;
    if (c->obs_offset) c->obs_offset += n;
    if (c->obs_scale) c->obs_scale += n;
    if (c->obs_lo) c->obs_lo += n;
    if (c->obs_hi) c->obs_hi += n;
    if (c->obs_least) c->obs_least += n;
    if (c->obs_most) c->obs_most += n;
}

deft_status deft_model_feed_previous(deft_model *m, bool first, deft_error *err)
{
    deft_contract *c = &m->contract;
    if (model_reads_previous(m))
        return deft_fail(err, DEFT_E_MISMATCH, "the policy reads the previous action already");
    if (c->n_obs <= c->n_act)
        return deft_fail(err, DEFT_E_MISMATCH,
                         "%d inputs cannot hold %d previous actions and observations",
                         (int)c->n_obs, (int)c->n_act);
    const int32_t n = c->n_act, rest = c->n_obs - n, from = first ? 0 : rest;
    model_map *map = DEFT_NEW_ARRAY(m->arena, model_map, n);
    if (!map) return no_memory(err);
    bool plain = true; // what the contract's normaliser did to them becomes a layer
    for (int32_t i = 0; i < n; i++) {
        map[i] = model_map_of(c, from + i);
        plain &= model_map_is_identity(&map[i]);
    }
    deft_layer l;
    deft_segment prev = {DEFT_SRC_PREV, 0, 0, n};
    deft_status s = plain ? DEFT_OK : model_affine_layer(m, "previous action", map, prev, &l, err);
    if (s != DEFT_OK) return s;
    if (!plain) prev.kind = DEFT_SRC_LAYER;
    const model_block sensed = {rest, {DEFT_SRC_OBS, 0, 0, rest}}, previous = {n, prev};
    const model_block block[2] = {first ? previous : sensed, first ? sensed : previous};
    const model_inputs in = {2, block, plain ? 0 : 1, &l};
    s = model_replace_inputs(m, &in, err);
    if (s != DEFT_OK) return s;
    c->n_obs = rest;
    if (first) drop_first(c, n);
    return deft_model_check(m, err);
}
