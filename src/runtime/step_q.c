/* step_q.c - integer policies. Part of the freestanding runtime.
 *
 * The arena: the previous action and the observations in integers; an action for the self-test;
 * working memory, laid out as the image says (docs/format.md, "Working memory"), or, where the
 * caller gave more, so that every output stays, and behind it a table of places, the layers' plans
 * and what the kernels work out beforehand. */
#include "runtime/step_q.h"

#include <string.h>

enum { ALIGN = 16 };

static uint32_t round_up(uint32_t n)
{
    return (n + ALIGN - 1) & ~(uint32_t)(ALIGN - 1);
}

/* Where the working memory begins; what is before it, for p. */
static uint32_t begin(const deft_image *im, uint32_t *obs, uint32_t *act)
{
    *obs = round_up(2 * (uint32_t)im->n_act);
    *act = *obs + round_up(2 * (uint32_t)im->n_obs);
    return *act + round_up(4 * (uint32_t)im->n_act);
}

static int32_t size_of(const deft_image *im, int kept)
{
    uint32_t obs, act;
    const uint32_t work = begin(im, &obs, &act);
    const deft_qkept *const more = deft_runtime_parts.q_parts->kept;
    if (kept) return more ? more->size(im, work) : (int32_t)DEFT_E_UNSUPPORTED;
    return im->work > INT32_MAX - work ? (int32_t)DEFT_E_SPACE : (int32_t)(work + im->work);
}

static deft_status served(const deft_image *im, const deft_kernels *k)
{
    if (!k->q) return DEFT_E_UNSUPPORTED;
    for (uint32_t i = 0; i < im->n_layer; i++) {
        deft_image_qlayer l;
        deft_image_qlayer_head(deft_image_payload(im->data, im->directory, i), &l);
        for (uint32_t j = 0; deft_image_gates(l.kind) && j < l.n_matrix; j++) {
            if (deft_dense_of(k->q, &l.matrix[j], j ? DEFT_NUM_S16 : l.in_format)) continue;
            return l.layout == DEFT_LAYOUT_ROWS ? DEFT_E_UNSUPPORTED : DEFT_E_LAYOUT;
        }
        if (!deft_qrun_of(&l) || !deft_runtime_parts.q_parts->served(k->q, l.kind)) {
            return DEFT_E_UNSUPPORTED;
        }
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
        s.plan =
            (const deft_qplan *)(const void *)(s.work_end + round_up(4 * (uint32_t)p->n_layer));
    }
    s.started = p->flags & DEFT_POLICY_STARTED;
    return s;
}

static void bind(deft_policy *p, const deft_image *im)
{
    p->state_offset = begin(im, &p->value_offset, &p->act_offset);
    p->scratch_offset = p->state_offset + im->work;
    if (p->flags & DEFT_POLICY_KEPT) {
        deft_runtime_parts.q_parts->kept->bind(p, im);
    } else {
        memset(p->cfg.arena, 0, p->scratch_offset);
    }
}

static void reset(deft_policy *p)
{
    const deft_qstep s = deft_qstep_of(p);
    memset(p->cfg.arena, 0, (size_t)2 * p->n_act);
    for (uint32_t k = 0; k < p->n_layer; k++) {
        deft_image_qlayer l;
        deft_image_qlayer_head(deft_image_payload(s.image, s.directory, k), &l);
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
        deft_image_qlayer_head(deft_image_payload(s->image, s->directory, k), &l);
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
    if (p->choices) {
        deft_runtime_parts.q_parts->choose(&s, p, &back, act);
    } else {
        clipped += deft_back_end_q(&s, p, &back, act);
    }
    clipped += deft_previous_q(&front, &back.contract, act, prev, p->n_act);
    replace_states(&s, p->n_layer);
    deft_policy_clipped(p, clipped);
    return DEFT_OK;
}

static void layer(const deft_policy *p, uint32_t index, deft_layer_output *out)
{
    const deft_qstep s = deft_qstep_of(p);
    deft_image_qlayer l;
    deft_image_qlayer_head(deft_image_payload(s.image, s.directory, index), &l);
    if (!s.kept && !deft_has_state(l.kind)) return;
    out->data = deft_qstep_output(&s, index, &l);
    out->n = l.n_out;
    out->format = (deft_number)l.out_format;
}

static int rounds(const deft_policy *p)
{
    (void)p;
    return deft_floats_round();
}

const deft_engine deft_engine_q = {size_of, served, bind, reset, step, layer, rounds};
