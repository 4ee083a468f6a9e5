/* understand_emit.c - layer drafts as a canonical policy. */
#include "graph/understand.h"

#include "graph/model_private.h"

#include <string.h>

/* Sources one after the other as segments. */
static deft_status make_segments(und *u, const und_src *src, int32_t n, deft_segment **out,
                                 int32_t *n_out)
{
    int32_t runs = 0;
    deft_segment *s = DEFT_NEW_ARRAY(u->g->arena, deft_segment, n);
    if (!s) return und_no_memory(u);
    for (int32_t i = 0; i < n; i++) {
        const und_src at = und_follow(u, src[i]);
        const int32_t index = at.kind == DEFT_SRC_OBS ? 0 : u->draft[at.index]->layer;
        deft_segment *last = runs > 0 ? &s[runs - 1] : NULL;
        if (last && last->kind == at.kind && last->index == index &&
            last->offset + last->length == at.at)
            last->length++;
        else
            s[runs++] = (deft_segment){at.kind, index, at.at, 1};
    }
    *out = s;
    *n_out = runs;
    return DEFT_OK;
}

static bool ready(const und *u, const und_draft *d)
{
    for (int32_t i = 0; i < d->l.n_in; i++) {
        const und_src s = und_follow(u, d->in[i]);
        if (s.kind == DEFT_SRC_LAYER && u->draft[s.index]->layer < 0) return false;
    }
    return true;
}

/* The draft behind input i of d (an output of the policy if d is NULL), -1: none. */
static int32_t source_of(const und *u, const und_draft *d, int32_t i)
{
    const und_src s = und_follow(u, d ? d->in[i] : u->out_src[i]);
    return s.kind == DEFT_SRC_LAYER || s.kind == DEFT_SRC_STATE ? s.index : -1;
}

/* Drafts in the order in which one meets them going up from the actions, sources first, also those
 * whose old state is read. It depends on nothing but what reads what. */
static deft_status walk(und *u, und_draft **list, int32_t *n_out)
{
    int32_t *stack = DEFT_NEW_ARRAY(u->a, int32_t, u->n_draft + 1);
    int32_t *next = DEFT_NEW_ARRAY(u->a, int32_t, u->n_draft + 1); // input to look at
    bool *seen = DEFT_NEW_ARRAY(u->a, bool, u->n_draft + 1);
    if (!stack || !next || !seen) return und_no_memory(u);
    int32_t depth = 1, n = 0;
    stack[0] = u->n_draft; // the outputs
    while (depth > 0) {
        const int32_t at = stack[depth - 1];
        const und_draft *d = at < u->n_draft ? u->draft[at] : NULL;
        if (next[at] < (d ? d->l.n_in : u->n_out)) {
            const int32_t s = source_of(u, d, next[at]++);
            if (s >= 0 && !seen[s] && !u->draft[s]->dead) {
                seen[s] = true;
                stack[depth++] = s;
            }
            continue;
        }
        if (d) list[n++] = u->draft[at];
        depth--;
    }
    *n_out = n;
    return DEFT_OK;
}

/* Gives every draft that is read its place. */
static deft_status order(und *u, und_draft **sorted, int32_t *n_out)
{
    int32_t alive = 0, n = 0;
    und_draft **list = DEFT_NEW_ARRAY(u->a, und_draft *, u->n_draft + 1);
    if (!list) return und_no_memory(u);
    const deft_status s = walk(u, list, &alive);
    if (s != DEFT_OK) return s;
    if (alive > MODEL_MAX_LAYERS)
        return deft_fail(u->err, DEFT_E_UNSUPPORTED, "more than %d layers", MODEL_MAX_LAYERS);
    for (bool moved = true; moved && n < alive;) {
        moved = false;
        for (int32_t k = 0; k < alive; k++) {
            und_draft *d = list[k];
            if (d->layer >= 0 || !ready(u, d)) continue;
            d->layer = n;
            sorted[n++] = d;
            moved = true;
        }
    }
    if (n < alive)
        return deft_fail(u->err, DEFT_E_UNSUPPORTED, "layers wait for each other's outputs");
    *n_out = n;
    return DEFT_OK;
}

static float *keep(und *u, const float *v, size_t n)
{
    return v ? deft_arena_copy(u->g->arena, v, n * sizeof *v) : NULL;
}

/* A scale that scales nothing is none. */
static void drop_ones(deft_layer *l)
{
    if (!l->weight || (l->kind != DEFT_LAYER_LAYERNORM && l->kind != DEFT_LAYER_AFFINE)) return;
    for (int32_t i = 0; i < l->n_out; i++)
        if (l->weight[i] != 1) return;
    l->weight = NULL;
}

static deft_status emit_layer(und *u, const und_draft *d, deft_layer *l)
{
    *l = d->l;
    const size_t n_out = (size_t)l->n_out, n_in = (size_t)l->n_in;
    const size_t gates = (size_t)model_gates(l->kind), rows = gates ? gates * n_out : n_out;
    l->weight = keep(u, d->l.weight, gates ? rows * n_in : rows);
    l->weight_h = keep(u, d->l.weight_h, rows * n_out);
    l->bias = keep(u, d->l.bias, rows);
    l->bias_h = keep(u, d->l.bias_h, rows);
    l->name = und_draft_name(u, d);
    l->origin_value = deft_arena_copy(u->g->arena, d->value, n_out * sizeof *d->value);
    l->origin_element = deft_arena_copy(u->g->arena, d->element, n_out * sizeof *d->element);
    if ((d->l.weight && !l->weight) || (d->l.weight_h && !l->weight_h) || (d->l.bias && !l->bias) ||
        (d->l.bias_h && !l->bias_h) || !l->name || !l->origin_value || !l->origin_element)
        return und_no_memory(u);
    drop_ones(l);
    return make_segments(u, d->in, l->n_in, &l->in, &l->n_segment);
}

/* Layers of one module have its name and, but the first, a number: "rnn", "rnn.1". */
static deft_status number_names(und *u)
{
    deft_model *m = u->m;
    const char **base = DEFT_NEW_ARRAY(u->a, const char *, m->n_layer);
    if (!base) return und_no_memory(u);
    for (int32_t k = 0; k < m->n_layer; k++) {
        base[k] = m->layer[k].name;
        int32_t n = 0;
        for (int32_t i = 0; *base[k] && i < k; i++) n += strcmp(base[i], base[k]) == 0;
        if (n == 0) continue;
        m->layer[k].name = deft_arena_printf(u->g->arena, "%s.%d", base[k], (int)n);
        if (!m->layer[k].name) return und_no_memory(u);
    }
    return DEFT_OK;
}

/* A policy has a layer, even where the contract does everything. */
static deft_status emit_identity(und *u)
{
    deft_layer *l = &u->m->layer[0];
    *l = (deft_layer){
        .kind = DEFT_LAYER_ACTIVATION, .name = "", .n_in = u->n_out, .n_out = u->n_out};
    const deft_status s = make_segments(u, u->out_src, u->n_out, &l->in, &l->n_segment);
    if (s != DEFT_OK) return s;
    u->m->n_layer = 1;
    u->m->out = DEFT_NEW(u->g->arena, deft_segment);
    if (!u->m->out) return und_no_memory(u);
    *u->m->out = (deft_segment){DEFT_SRC_LAYER, 0, 0, u->n_out};
    u->m->n_out_segment = 1;
    return DEFT_OK;
}

static deft_status emit_layers(und *u)
{
    deft_model *m = u->m;
    und_draft **sorted = DEFT_NEW_ARRAY(u->a, und_draft *, u->n_draft + 1);
    if (!sorted) return und_no_memory(u);
    deft_status s = order(u, sorted, &m->n_layer);
    if (s != DEFT_OK) return s;
    m->layer = DEFT_NEW_ARRAY(u->g->arena, deft_layer, m->n_layer + 1);
    if (!m->layer) return und_no_memory(u);
    if (m->n_layer == 0) return emit_identity(u);
    for (int32_t k = 0; s == DEFT_OK && k < m->n_layer; k++)
        s = emit_layer(u, sorted[k], &m->layer[k]);
    if (s == DEFT_OK) s = number_names(u);
    if (s != DEFT_OK) return s;
    return make_segments(u, u->out_src, u->n_out, &m->out, &m->n_out_segment);
}

static deft_status emit_ports(und *u)
{
    deft_port_role *role = DEFT_NEW_ARRAY(u->g->arena, deft_port_role, u->g->n_input);
    const size_t n_out = (size_t)u->n_out;
    int32_t *value = deft_arena_copy(u->g->arena, u->out_value, n_out * sizeof *value);
    int64_t *element = deft_arena_copy(u->g->arena, u->out_element, n_out * sizeof *element);
    if (!role || !value || !element) return und_no_memory(u);
    for (int32_t p = 0; p < u->g->n_input; p++) {
        const und_value *v = &u->value[u->g->input[p].value];
        role[p].rank = v->shape.rank;
        memcpy(role[p].dim, v->shape.dim, sizeof role[p].dim);
        if (u->pair[p] >= 0)
            role[p] = (deft_port_role){DEFT_PORT_STATE, u->pair[p], role[p].rank, {0}};
        else if (u->obs_at[p] >= 0)
            role[p] = (deft_port_role){DEFT_PORT_OBS, u->obs_at[p], role[p].rank, {0}};
        memcpy(role[p].dim, v->shape.dim, sizeof role[p].dim);
    }
    u->m->port = role;
    u->m->act_value = value;
    u->m->act_element = element;
    return DEFT_OK;
}

deft_status und_emit(und *u)
{
    deft_model *m = u->m;
    m->source = u->g->source;
    memcpy(m->source_sha256, u->g->sha256, sizeof m->source_sha256);
    m->contract.name = "";
    m->n_output = u->n_out;
    deft_status s = emit_layers(u);
    if (s == DEFT_OK) s = emit_ports(u);
    return s == DEFT_OK ? deft_model_check(m, u->err) : s;
}
