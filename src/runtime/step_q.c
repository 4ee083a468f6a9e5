/* step_q.c - integer policies. Part of the freestanding runtime.
 *
 * The arena: the previous action and the observations in integers; an action for the self-test;
 * working memory, laid out as the image says (docs/format.md, "Working memory"), or, where the
 * caller gave more, so that every output stays, and behind it a table of places, the layers' plans
 * and what the kernels work out beforehand. */
#include "runtime/step_q.h"

#include <string.h>

enum { ALIGN = 16 };

typedef struct plan { // bytes from the start of the arena
    uint32_t obs, act, work, kept, layers, folded, size;
} plan;

static uint32_t round_up(uint32_t n)
{
    return (n + ALIGN - 1) & ~(uint32_t)(ALIGN - 1);
}

/* Working memory in which no output takes another's place; place (NULL: only count) gets them. */
static uint64_t spread(const deft_image *im, uint32_t *place)
{
    uint64_t at = 0, scratch = 0;
    deft_image_qlayer l;
    for (uint32_t k = 0; k < im->n_layer; k++) {
        deft_image_qlayer_at(im->data, im->directory, k, &l);
        at += deft_image_qstate(&l);
        if (deft_image_qscratch(&l) > scratch) scratch = deft_image_qscratch(&l);
    }
    for (uint32_t k = 0; k < im->n_layer; k++) {
        deft_image_qlayer_at(im->data, im->directory, k, &l);
        const int stays = deft_has_state(l.kind);
        if (place) place[k] = stays ? (uint32_t)ALIGN * l.place : (uint32_t)at;
        at += deft_image_qoutput(&l);
    }
    return at + scratch;
}

/* Matrices of one layer that kernels may fold. at (NULL: only count) is room; returns how many
 * numbers these may become. */
static uint32_t fold(deft_image_qlayer *l, const deft_kernels_q *k, int32_t *at)
{
    uint32_t n = 0;
    for (uint32_t j = 0; l->layout != DEFT_LAYOUT_ROWS && j < l->n_matrix; j++) {
        deft_matrix_q *const m = &l->matrix[j];
        if (l->kind == DEFT_IMAGE_DENSE && l->table != DEFT_IMAGE_NO_TABLE) continue;
        if (at && k->fold && k->fold(m, j ? DEFT_NUM_S16 : l->in_format, at + n)) {
            m->bias = at + n;
            m->layout = DEFT_Q_FOLDED;
        }
        n += m->n_out;
    }
    return n;
}

static uint64_t fold_all(const deft_image *im)
{
    uint64_t n = 0;
    deft_image_qlayer l;
    for (uint32_t k = 0; k < im->n_layer; k++) {
        deft_image_qlayer_at(im->data, im->directory, k, &l);
        n += fold(&l, NULL, NULL);
    }
    return 4 * n;
}

static deft_status make_plan(const deft_image *im, int kept, plan *out)
{
    out->obs = round_up(2u * im->n_act);
    out->act = out->obs + round_up(2u * im->n_obs);
    out->work = out->act + round_up(4u * im->n_act);
    const uint64_t end = out->work + (kept ? spread(im, NULL) : im->work);
    const uint64_t layers = end + (kept ? round_up(4u * im->n_layer) : 0);
    const uint64_t folded =
        layers + (kept ? round_up(im->n_layer * (uint32_t)sizeof(deft_qplan)) : 0);
    const uint64_t size = folded + (kept ? fold_all(im) : 0);
    if (size > INT32_MAX) return DEFT_E_SPACE;
    out->kept = (uint32_t)end;
    out->layers = (uint32_t)layers;
    out->folded = (uint32_t)folded;
    out->size = (uint32_t)size;
    return DEFT_OK;
}

static int32_t size_of(const deft_image *im, int kept)
{
    plan a;
    const deft_status s = make_plan(im, kept, &a);
    return s == DEFT_OK ? (int32_t)a.size : (int32_t)s;
}

static deft_status served(const deft_image *im, const deft_kernels *k)
{
    if (!k->q) return DEFT_E_UNSUPPORTED;
    for (uint32_t i = 0; i < im->n_layer; i++) {
        deft_image_qlayer l;
        deft_image_qlayer_at(im->data, im->directory, i, &l);
        const uint32_t gates = deft_image_gates(l.kind);
        for (uint32_t j = 0; gates && j < l.n_matrix; j++) {
            if (deft_dense_of(k->q, &l.matrix[j], j ? DEFT_NUM_S16 : l.in_format)) continue;
            return l.layout == DEFT_LAYOUT_ROWS ? DEFT_E_UNSUPPORTED : DEFT_E_LAYOUT;
        }
        if (l.kind == DEFT_IMAGE_GRU && !k->q->gru) return DEFT_E_UNSUPPORTED;
        if (l.kind == DEFT_IMAGE_LSTM && !k->q->lstm) return DEFT_E_UNSUPPORTED;
        if (!gates && l.n_matrix && !k->q->pointwise) return DEFT_E_UNSUPPORTED;
    }
    return DEFT_OK;
}

deft_qstep deft_qstep_of(const deft_policy *p)
{
    uint8_t *const arena = p->cfg.arena;
    deft_qstep s;
    s.kernels = p->cfg.kernels->q;
    s.image = p->cfg.image;
    s.directory = p->directory;
    s.tables = p->tables;
    s.arena = arena;
    s.obs = (const int16_t *)(const void *)(arena + p->value_offset);
    s.prev = (const int16_t *)(const void *)arena;
    s.work = arena + p->state_offset;
    s.work_end = arena + p->scratch_offset;
    s.kept = NULL;
    s.plan = NULL;
    if (p->flags & DEFT_POLICY_KEPT) {
        s.kept = (const uint32_t *)(const void *)s.work_end;
        s.plan = (const deft_qplan *)(const void *)(s.work_end + round_up(4u * p->n_layer));
    }
    s.started = p->flags & DEFT_POLICY_STARTED;
    return s;
}

static void bind(deft_policy *p, const deft_image *im)
{
    plan a = {0, 0, 0, 0, 0, 0, 0};
    const int kept = p->flags & DEFT_POLICY_KEPT;
    (void)make_plan(im, kept, &a);
    p->value_offset = a.obs;
    p->act_offset = a.act;
    p->state_offset = a.work;
    p->scratch_offset = a.kept;
    memset(p->cfg.arena, 0, a.size);
    if (!kept) return;
    uint8_t *const arena = p->cfg.arena;
    (void)spread(im, (uint32_t *)(void *)(arena + a.kept));
    deft_qplan *const layer = (deft_qplan *)(void *)(arena + a.layers);
    const deft_qstep s = deft_qstep_of(p);
    int32_t *at = (int32_t *)(void *)(arena + a.folded);
    for (uint32_t k = 0; k < im->n_layer; k++) {
        deft_qstep_plan(&s, k, &layer[k]);
        at += fold(&layer[k].layer, s.kernels, at);
    }
}

static void reset(deft_policy *p)
{
    const deft_qstep s = deft_qstep_of(p);
    memset(p->cfg.arena, 0, (size_t)2 * p->n_act);
    for (uint32_t k = 0; k < p->n_layer; k++) {
        deft_image_qlayer l;
        deft_image_qlayer_at(s.image, s.directory, k, &l);
        // the states come first and lie as the image says in any case; bytes: S16 has zero 0
        memset(s.work + (size_t)ALIGN * l.place, l.zero, deft_image_qstate(&l));
    }
}

/* New states that were kept apart replace the old ones. */
static void replace_states(const deft_qstep *s, uint32_t n_layer)
{
    for (uint32_t k = 0; k < n_layer; k++) {
        deft_image_qlayer l;
        const uint32_t flags =
            s->plan ? s->plan[k].layer.flags : deft_image_payload(s->image, s->directory, k)[5];
        if (!(flags & DEFT_FLAG_DOUBLE)) continue;
        deft_image_qlayer_at(s->image, s->directory, k, &l);
        memcpy(s->work + (size_t)ALIGN * l.place, deft_qstep_output(s, k, &l), (size_t)2 * l.n_out);
    }
}

static deft_status step(deft_policy *p, const float *obs, const float *applied, float *act)
{
    const deft_qstep s = deft_qstep_of(p);
    uint8_t *const arena = p->cfg.arena;
    int16_t *const prev = (int16_t *)(void *)arena;
    deft_image_front front;
    deft_image_back back;
    deft_image_front_at(s.image + p->front_end, p->n_act, &front);
    deft_image_back_at(s.image + p->back_end, p->n_output, &back);
    uint32_t clipped =
        deft_front_end_q(&front, obs, (int16_t *)(void *)(arena + p->value_offset), p->n_obs);
    if (applied) clipped += deft_previous_q(&front, &back.contract, applied, prev, p->n_act);
    for (uint32_t k = 0; k < p->n_layer; k++) deft_qstep_layer(&s, k);
    clipped += deft_back_end_q(&s, p, &back, act);
    clipped += deft_previous_q(&front, &back.contract, act, prev, p->n_act);
    replace_states(&s, p->n_layer);
    deft_policy_clipped(p, clipped);
    return DEFT_OK;
}

static void layer(const deft_policy *p, uint32_t index, deft_layer_output *out)
{
    const deft_qstep s = deft_qstep_of(p);
    deft_image_qlayer l;
    deft_image_qlayer_at(s.image, s.directory, index, &l);
    if (!s.kept && !deft_has_state(l.kind)) return;
    out->data = deft_qstep_output(&s, index, &l);
    out->n = l.n_out;
    out->format = (deft_number)l.out_format;
}

const deft_engine deft_engine_q = {&deft_image_q, size_of, served, bind, reset, step, layer};
