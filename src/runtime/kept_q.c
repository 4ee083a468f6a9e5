/* kept_q.c - integer policies whose caller gave so much memory that every output stays. Part of the
 * freestanding runtime.
 *
 * The arena, from the working memory on: states, every layer's output and scratch; a table of the
 * layers' places; their plans; what the kernels work out beforehand. */
#include "runtime/step_q.h"

#include <string.h>

enum { ALIGN = DEFT_IMAGE_ALIGN };

typedef struct plan { // bytes from the start of the arena
    uint32_t places, layers, folded, size;
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

static deft_status make_plan(const deft_image *im, uint32_t work, plan *out)
{
    const uint64_t places = work + spread(im, NULL);
    const uint64_t layers = places + round_up(4 * (uint32_t)im->n_layer);
    const uint64_t folded = layers + round_up(im->n_layer * (uint32_t)sizeof(deft_qplan));
    const uint64_t size = folded + fold_all(im);
    if (size > INT32_MAX) return DEFT_E_SPACE;
    out->places = (uint32_t)places;
    out->layers = (uint32_t)layers;
    out->folded = (uint32_t)folded;
    out->size = (uint32_t)size;
    return DEFT_OK;
}

static int32_t size_of(const deft_image *im, uint32_t work)
{
    plan a;
    const deft_status s = make_plan(im, work, &a);
    return s == DEFT_OK ? (int32_t)a.size : (int32_t)s;
}

/* Where gathering finds its pieces. */
static void find_pieces(const deft_qstep *s, deft_qplan *p)
{
    const deft_image_qlayer *const l = &p->layer;
    if (l->n_segment > DEFT_QPIECES) return;
    for (; p->n_piece < l->n_segment; p->n_piece++) {
        const deft_image_segment g = deft_image_segment_at(l->segment, p->n_piece);
        const uint8_t *const from = deft_qstep_source(s, g);
        p->piece[p->n_piece].from = (uint32_t)(from - s->arena);
        p->piece[p->n_piece].size = (uint32_t)deft_number_bytes(l->in_format) * g.length;
    }
}

static void bind(deft_policy *p, const deft_image *im)
{
    plan a = {0, 0, 0, 0};
    (void)make_plan(im, p->state_offset, &a);
    uint8_t *const arena = p->cfg.arena;
    memset(arena, 0, a.size);
    p->scratch_offset = a.places;
    (void)spread(im, (uint32_t *)(void *)(arena + a.places));
    deft_qplan *const layer = (deft_qplan *)(void *)(arena + a.layers);
    const deft_qstep s = deft_qstep_of(p);
    int32_t *at = (int32_t *)(void *)(arena + a.folded);
    for (uint32_t k = 0; k < im->n_layer; k++) {
        deft_qstep_plan(&s, k, &layer[k]);
        find_pieces(&s, &layer[k]);
        at += fold(&layer[k].layer, s.kernels, at);
    }
}

const deft_qkept deft_qkept_all = {size_of, bind};
