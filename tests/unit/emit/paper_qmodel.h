/* paper_qmodel.h - integer policies in the paper's shapes, weights at random. */
#ifndef DEFT_TESTS_PAPER_QMODEL_H
#define DEFT_TESTS_PAPER_QMODEL_H

#include "random_qmodel.h"

/* paper_model as integers: observations and states of 16 bits, ReLU outputs of 8. S4: only the
 * layers between the first and the last. */
static inline deft_qmodel *paper_qmodel(deft_rng *r, deft_arena *a, bool recurrent,
                                        deft_number weights)
{
    const deft_model *m = paper_model(r, a, recurrent);
    deft_qmodel *q = DEFT_NEW(a, deft_qmodel);
    q->model = m;
    q->obs_scale = random_scales(r, a, m->contract.n_obs, 9000);
    q->prev_scale = random_scales(r, a, m->contract.n_act, 9000);
    q->out_scale = random_scales(r, a, m->n_output, 0.01f);
    deft_qtable *t = DEFT_NEW(a, deft_qtable);
    do *t = random_table(r, a, true);
    while (t->log2_n != 8);
    q->table = t;
    q->n_table = 1;
    q->n_layer = m->n_layer;
    deft_qlayer *l = DEFT_NEW_ARRAY(a, deft_qlayer, q->n_layer);
    q->layer = l;
    for (int32_t k = 0; k < q->n_layer; k++) {
        const deft_layer *f = &m->layer[k];
        const bool relu = f->kind == DEFT_LAYER_DENSE && k < q->n_layer - 1;
        const bool u8 = k && l[k - 1].out_format == DEFT_NUM_U8, end = !k || k == q->n_layer - 1;
        l[k] = (deft_qlayer){.kind = f->kind, .n_in = f->n_in, .n_out = f->n_out};
        l[k].n_segment = f->n_segment;
        l[k].in = f->in;
        l[k].in_format = u8 ? DEFT_NUM_U8 : DEFT_NUM_S16;
        l[k].out_format = relu ? DEFT_NUM_U8 : DEFT_NUM_S16;
        l[k].lo = relu ? 0 : INT16_MIN;
        l[k].hi = relu ? 255 : INT16_MAX;
        l[k].table = relu ? -1 : 0;
        const int32_t rows = q_gates(f->kind) * f->n_out;
        l[k].w.format = end ? DEFT_NUM_S8 : weights;
        random_q_matrix(r, a, &l[k].w, rows, (int64_t)rows * f->n_in);
        fit_q_matrix(r, q, k, 0, rows, (int64_t)rows * f->n_in);
        if (f->kind != DEFT_LAYER_GRU) continue;
        l[k].u.format = weights;
        random_q_matrix(r, a, &l[k].u, rows, (int64_t)rows * f->n_out);
        fit_q_matrix(r, q, k, 1, rows, (int64_t)rows * f->n_out);
    }
    q->n_out_segment = m->n_out_segment;
    q->out = m->out;
    return q;
}

#endif
