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
    for (uint32_t k = 0; k < p->n_piece; k++) {
        memcpy(at, s->arena + p->piece[k].from, p->piece[k].size);
        at += p->piece[k].size;
    }
    if (p->n_piece) return;
    for (uint32_t k = 0; k < l->n_segment; k++) {
        const deft_image_segment g = deft_image_segment_at(l->segment, k);
        const size_t n = (size_t)deft_number_bytes(l->in_format) * g.length;
        memcpy(at, deft_qstep_source(s, g), n);
        at += n;
    }
}

/* Gates of a matrix, in 16 bits. */
static void gates(const deft_qstep *s, const deft_image_qlayer *l, uint32_t matrix, const void *x,
                  int16_t *y)
{
    const deft_matrix_q *const m = &l->matrix[matrix];
    deft_dense_of(s->kernels, m, matrix ? DEFT_NUM_S16 : l->in_format)(m, x, &gate_output, y);
    deft_round_gates(y, m->n_out, l->gate_round);
}

/* What recurrent layers need besides their matrices. */
typedef struct cell {
    const void *x;
    int16_t *gate; // those of x, then those of h
    int16_t *h, *h_new;
    deft_table_q tanh;
} cell;

static void recurrent(const deft_qstep *s, const deft_image_qlayer *l, const cell *c)
{
    int16_t *const u = c->gate + (size_t)deft_image_gates(l->kind) * l->n_out;
    // h first: it has been there for long, while x may just be on its way to memory
    gates(s, l, 1, c->h, u);
    gates(s, l, 0, c->x, c->gate);
    if (l->kind == DEFT_IMAGE_GRU) {
        const deft_gru_q g = {c->gate, u, c->tanh, l->n_out, l->state_round};
        if (l->flags & DEFT_FLAG_RESET_BEFORE) {
            deft_gru_reset_q_ref(&g, c->h, u);
            gates(s, l, 2, u, u + 2 * (size_t)l->n_out);
            deft_gru_before_q_ref(&g, c->h, c->h_new);
        } else {
            s->kernels->gru(&g, c->h, c->h_new);
        }
    } else {
        const deft_lstm_q g = {c->gate, u, c->tanh, l->n_out, l->state_round, l->cell_shift};
        s->kernels->lstm(&g, c->h + l->n_out, c->h_new);
    }
}

/* In place: y holds the history as it was. */
static void history(const deft_image_qlayer *l, const uint8_t *x, uint8_t *y, int started)
{
    const size_t size = deft_number_bytes(l->in_format);
    const size_t n = size * l->n_in, kept = size * l->n_out - n;
    if (!started && (l->flags & DEFT_FLAG_FILL_FIRST)) {
        for (uint32_t k = 0; k < l->depth; k++) memcpy(y + k * n, x, n);
    } else if (l->flags & DEFT_FLAG_NEWEST_FIRST) {
        memmove(y + n, y, kept);
        memcpy(y, x, n);
    } else {
        memmove(y, y + n, kept);
        memcpy(y + kept, x, n);
    }
}

static void pointwise(const deft_qstep *s, const deft_image_qlayer *l, const void *x,
                      const deft_output_q *out, void *y)
{
    deft_pointwise_q p;
    p.m = &l->matrix[0];
    p.kind = l->kind;
    p.in_format = l->in_format;
    p.n = l->n_out;
    p.epsilon = l->kind == DEFT_IMAGE_LAYERNORM ? (uint64_t)l->depth << l->cell_shift : 0;
    s->kernels->pointwise(&p, x, out, y);
}

/* Where gathering finds its pieces. */
static void find_pieces(const deft_qstep *s, deft_qplan *p)
{
    const deft_image_qlayer *const l = &p->layer;
    p->n_piece = 0;
    if (!s->kept || l->n_segment > DEFT_QPIECES) return;
    for (; p->n_piece < l->n_segment; p->n_piece++) {
        const deft_image_segment g = deft_image_segment_at(l->segment, p->n_piece);
        const uint8_t *const from = deft_qstep_source(s, g);
        p->piece[p->n_piece].from = (uint32_t)(from - s->arena);
        p->piece[p->n_piece].size = (uint32_t)deft_number_bytes(l->in_format) * g.length;
    }
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
    find_pieces(s, out);
    deft_image_table_at(s->image + s->tables, l->table, &out->out.table);
    out->out.zero = l->zero;
    out->out.lo = l->lo;
    out->out.hi = l->hi;
    out->out.format = l->out_format;
}

static void execute(const deft_qstep *s, const deft_qplan *p)
{
    const deft_image_qlayer *const l = &p->layer;
    uint8_t *const x = s->arena + p->x, *const y = s->arena + p->y;
    if (l->n_segment > 1) gather(s, p, x);
    const cell c = {x, (int16_t *)(void *)(s->arena + p->gates),
                    (int16_t *)(void *)(s->arena + p->state), (int16_t *)(void *)y, p->out.table};
    switch (l->kind) {
    case DEFT_IMAGE_DENSE:
        deft_dense_of(s->kernels, &l->matrix[0], l->in_format)(&l->matrix[0], x, &p->out, y);
        break;
    case DEFT_IMAGE_GRU:
    case DEFT_IMAGE_LSTM:
        recurrent(s, l, &c);
        break;
    case DEFT_IMAGE_HISTORY:
        history(l, x, y, s->started);
        break;
    default:
        pointwise(s, l, x, &p->out, y);
        break;
    }
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
