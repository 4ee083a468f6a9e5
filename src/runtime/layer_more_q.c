/* layer_more_q.c - integer layers that few policies have. Part of the freestanding runtime. */
#include "runtime/step_q.h"

#include <string.h>

void deft_run_lstm_q(const deft_qstep *s, const deft_qplan *p)
{
    const deft_image_qlayer *const l = &p->layer;
    int16_t *const h = (int16_t *)(void *)(s->arena + p->state);
    int16_t *const x = (int16_t *)(void *)(s->arena + p->gates), *const u = deft_qstep_gates(s, p);
    const deft_lstm_q g = {x, u, p->out.table, l->n_out, l->state_round, l->cell_shift};
    s->kernels->lstm(&g, h + l->n_out, (int16_t *)(void *)(s->arena + p->y));
}

void deft_run_gru_before_q(const deft_qstep *s, const deft_qplan *p)
{
    const deft_image_qlayer *const l = &p->layer;
    const int16_t *const h = (const int16_t *)(const void *)(s->arena + p->state);
    int16_t *const x = (int16_t *)(void *)(s->arena + p->gates), *const u = deft_qstep_gates(s, p);
    const deft_gru_q g = {x, u, p->out.table, l->n_out, l->state_round};
    deft_gru_reset_q_ref(&g, h, u);
    deft_qstep_matrix(s, l, 2, u, u + 2 * (size_t)l->n_out);
    deft_gru_before_q_ref(&g, h, (int16_t *)(void *)(s->arena + p->y));
}

/* In place: y holds the history as it was. */
void deft_run_history_q(const deft_qstep *s, const deft_qplan *p)
{
    const deft_image_qlayer *const l = &p->layer;
    const uint8_t *const x = s->arena + p->x;
    uint8_t *const y = s->arena + p->y;
    const size_t size = deft_number_bytes(l->in_format);
    const size_t n = size * l->n_in, kept = size * l->n_out - n;
    if (!s->started && (l->flags & DEFT_FLAG_FILL_FIRST)) {
        for (uint32_t k = 0; k < l->depth; k++) memcpy(y + k * n, x, n);
    } else if (l->flags & DEFT_FLAG_NEWEST_FIRST) {
        memmove(y + n, y, kept);
        memcpy(y, x, n);
    } else {
        memmove(y, y + n, kept);
        memcpy(y + kept, x, n);
    }
}

void deft_run_pointwise_q(const deft_qstep *s, const deft_qplan *p)
{
    const deft_image_qlayer *const l = &p->layer;
    deft_pointwise_q w;
    w.m = &l->matrix[0];
    w.kind = l->kind;
    w.in_format = l->in_format;
    w.n = l->n_out;
    w.epsilon = l->kind == DEFT_IMAGE_LAYERNORM ? (uint64_t)l->depth << l->cell_shift : 0;
    s->kernels->pointwise(&w, s->arena + p->x, &p->out, s->arena + p->y);
}
