/* layer_q.c - integer layers. Part of the freestanding runtime. */
#include "runtime/step_q.h"

#include <string.h>

static const deft_output_q gate_output = {{NULL, 0, 0}, 0, INT16_MIN, INT16_MAX, DEFT_NUM_S16};

static uint8_t *place_of(const deft_qstep *s, uint32_t index)
{
    if (s->kept) return s->work + s->kept[index];
    const uint8_t *const p = deft_image_payload(s->image, s->directory, index);
    return s->work + (size_t)DEFT_IMAGE_ALIGN * deft_image_u16(p + 30);
}

/* Behind h (and c) lies the new h of a layer whose old one is read later. */
static uint32_t new_state_at(uint8_t kind, uint8_t flags, uint32_t n_out)
{
    if (!(flags & DEFT_FLAG_DOUBLE)) return 0;
    return 2 * n_out * (kind == DEFT_IMAGE_LSTM ? 2u : 1u);
}

uint8_t *deft_qstep_output(const deft_qstep *s, uint32_t index, const deft_image_qlayer *l)
{
    return place_of(s, index) + new_state_at(l->kind, l->flags, l->n_out);
}

const void *deft_qstep_source(const deft_qstep *s, deft_image_segment g)
{
    if (g.kind == DEFT_IMAGE_OBS) return s->obs + g.offset;
    if (g.kind == DEFT_IMAGE_PREV) return s->prev + g.offset;
    const uint8_t *const p = deft_image_payload(s->image, s->directory, g.index);
    const uint8_t *const at = place_of(s, g.index);
    if (g.kind == DEFT_IMAGE_STATE) return at + 2 * (size_t)g.offset;
    return at + new_state_at(p[0], p[5], deft_image_u16(p + 10)) +
           (size_t)deft_number_bytes(p[4]) * g.offset;
}

static void gather(const deft_qstep *s, const deft_qplan *p, uint8_t *at)
{
    const deft_image_qlayer *const l = &p->layer;
    for (uint32_t k = 0; k < l->n_segment; k++) {
        const void *from;
        size_t n;
        if (p->n_piece) {
            from = s->arena + p->piece[k].from;
            n = p->piece[k].size;
        } else {
            const deft_image_segment g = deft_image_segment_at(l->segment, k);
            from = deft_qstep_source(s, g);
            n = (size_t)deft_number_bytes(l->in_format) * g.length;
        }
        memcpy(at, from, n);
        at += n;
    }
}

void deft_qstep_matrix(const deft_qstep *s, const deft_image_qlayer *l, uint32_t matrix,
                       const void *x, int16_t *y)
{
    const deft_matrix_q *const m = &l->matrix[matrix];
    deft_dense_of(s->kernels, m, matrix ? DEFT_NUM_S16 : l->in_format)(m, x, &gate_output, y);
    deft_round_gates(y, m->n_out, l->gate_round);
}

int16_t *deft_qstep_gates(const deft_qstep *s, const deft_qplan *p)
{
    const deft_image_qlayer *const l = &p->layer;
    int16_t *const x = (int16_t *)(void *)(s->arena + p->gates), *const u = x + l->matrix[0].n_out;
    // h first: it has been there for long, while x may just be on its way to memory
    deft_qstep_matrix(s, l, 1, s->arena + p->state, u);
    deft_qstep_matrix(s, l, 0, s->arena + p->x, x);
    return u;
}

void deft_run_dense_q(const deft_qstep *s, const deft_qplan *p)
{
    const deft_image_qlayer *const l = &p->layer;
    deft_dense_of(s->kernels, &l->matrix[0], l->in_format)(&l->matrix[0], s->arena + p->x, &p->out,
                                                           s->arena + p->y);
}

void deft_run_gru_q(const deft_qstep *s, const deft_qplan *p)
{
    const deft_image_qlayer *const l = &p->layer;
    const int16_t *const x = (const int16_t *)(const void *)(s->arena + p->gates);
    const deft_gru_q g = {x, deft_qstep_gates(s, p), p->out.table, l->n_out, l->state_round};
    s->kernels->gru(&g, (const int16_t *)(const void *)(s->arena + p->state),
                    (int16_t *)(void *)(s->arena + p->y));
}

void deft_qstep_plan(const deft_qstep *s, uint32_t index, deft_qplan *out)
{
    deft_image_qlayer *const l = &out->layer;
    deft_image_qlayer_at(s->image, s->directory, index, l);
    const uint32_t scratch = (uint32_t)(s->work_end - s->arena) - deft_image_qscratch(l);
    out->x = out->gates = scratch;
    if (l->n_segment == 1) { // in place
        const uint8_t *const x = deft_qstep_source(s, deft_image_segment_at(l->segment, 0));
        out->x = (uint32_t)(x - s->arena);
    } else {
        out->gates += (deft_number_bytes(l->in_format) * l->n_in + 15u) & ~15u;
    }
    out->y = (uint32_t)(deft_qstep_output(s, index, l) - s->arena);
    out->state = (uint32_t)(place_of(s, index) - s->arena);
    out->n_piece = 0;
    deft_image_table_at(s->image + s->tables, l->table, &out->out.table);
    out->out.zero = l->zero;
    out->out.lo = l->lo;
    out->out.hi = l->hi;
    out->out.format = l->out_format;
}

static void execute(const deft_qstep *s, const deft_qplan *p)
{
    if (p->layer.n_segment > 1) gather(s, p, s->arena + p->x);
    deft_qrun_of (&p->layer)(s, p);
}

void deft_qstep_layer(const deft_qstep *s, uint32_t index)
{
    deft_qplan p;
    if (s->plan) {
        execute(s, &s->plan[index]);
        return;
    }
    deft_qstep_plan(s, index, &p);
    execute(s, &p);
}
