/* build_other.c - layers without matrices: one 16-bit weight an input at most. */
#include "quant/quant_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct element_job {
    int32_t k, n;          // outputs
    int32_t inputs;        // an output: 1 or 2
    double *scale;         // [n_in] of the inputs
    int32_t *zero;         // [n_in]
    double *step;          // [n]
    int16_t *weight;       // [n_in]
    int32_t *bias;         // [n]
    double *ratio, *bound; // [n]
} element_job;

static deft_status prepare(quant_job *j, int32_t k, element_job *e)
{
    const deft_layer *l = &j->m->layer[k];
    const size_t n = (size_t)l->n_out, n_in = (size_t)l->n_in;
    *e = (element_job){.k = k, .n = l->n_out, .inputs = l->n_in / l->n_out};
    e->scale = DEFT_NEW_ARRAY(j->tmp, double, n_in);
    e->zero = DEFT_NEW_ARRAY(j->tmp, int32_t, n_in);
    e->step = DEFT_NEW_ARRAY(j->tmp, double, n);
    e->ratio = DEFT_NEW_ARRAY(j->tmp, double, n);
    e->bound = DEFT_NEW_ARRAY(j->tmp, double, n);
    e->weight = DEFT_NEW_ARRAY(j->a, int16_t, n_in);
    e->bias = DEFT_NEW_ARRAY(j->a, int32_t, n);
    if (!e->scale || !e->zero || !e->step || !e->ratio || !e->bound || !e->weight || !e->bias)
        return quant_no_memory(j);
    quant_input_scales(j, k, e->scale, NULL);
    for (int32_t i = 0, at = 0; i < l->n_segment; i++)
        for (int32_t s = 0; s < l->in[i].length; s++, at++)
            e->zero[at] = quant_source_of(j, &l->in[i])->zero;
    return quant_output(j, k, e->step);
}

/* acc = bias + sum c x with c [inputs] in values, offset likewise; largest: of |x|. */
static deft_status weigh(quant_job *j, element_job *e, int32_t o, const double c[2],
                         const double offset_largest[2])
{
    const double offset = offset_largest[0], largest = offset_largest[1];
    double most = 0;
    for (int32_t i = 0; i < 2 && i < e->inputs; i++) most = fmax(most, fabs(c[i]));
    double delta = fmax(most / 32767, fabs(offset) / ldexp(1, 30));
    if (!(delta > 0)) delta = e->step[o];
    double bias = floor(offset / delta + 0.5);
    e->bound[o] = 0;
    for (int32_t i = 0; i < 2 && i < e->inputs; i++) {
        const int32_t at = i * e->n + o;
        e->weight[at] = (int16_t)floor(c[i] / delta + 0.5);
        bias -= (double)e->weight[at] * e->zero[at];
        e->bound[o] += fabs((double)e->weight[at]) * largest;
    }
    if (!(fabs(bias) < INT32_MAX))
        return quant_fail_layer(j, e->k, DEFT_E_RANGE,
                                "channel %d: its bias takes more than 32 bits", o);
    e->bias[o] = (int32_t)bias;
    e->bound[o] += fabs(bias);
    e->ratio[o] = delta / e->step[o];
    return DEFT_OK;
}

/* The product of two inputs, or the input itself: no weights. */
static void bare(const quant_job *j, element_job *e, int32_t o)
{
    const bool product = j->m->layer[e->k].kind == DEFT_LAYER_MUL;
    const double delta = product ? e->scale[o] * e->scale[e->n + o] : e->scale[o];
    e->bias[o] = product ? 0 : -e->zero[o];
    e->bound[o] = product ? ldexp(1, 30) : 32768 + abs(e->bias[o]);
    e->ratio[o] = delta / e->step[o];
}

static deft_status layernorm(quant_job *j, element_job *e)
{
    const deft_layer *l = &j->m->layer[e->k];
    deft_qlayer *out = &j->ql[e->k];
    for (int32_t i = 1; i < l->n_in; i++)
        if (e->scale[i] != e->scale[0] || e->zero[i] != e->zero[0])
            return quant_fail_layer(j, e->k, DEFT_E_UNSUPPORTED,
                                    "its inputs have scales of their own: they come from sources "
                                    "of different number formats");
    double eps = (double)l->epsilon * 256 / (e->scale[0] * e->scale[0]);
    while (eps >= 65535 && out->epsilon_shift < 24) {
        eps /= 2;
        out->epsilon_shift++;
    }
    out->epsilon = (int32_t)floor(fmin(eps, 65535) + 0.5);
    memset(e->zero, 0, (size_t)l->n_in * sizeof *e->zero); // the mean takes them
    deft_status s = DEFT_OK;
    for (int32_t o = 0; s == DEFT_OK && o < e->n; o++) {
        const double c[2] = {(l->weight ? (double)l->weight[o] : 1) / 32768};
        const double b[2] = {l->bias ? (double)l->bias[o] : 0, 8388608};
        s = weigh(j, e, o, c, b);
    }
    return s;
}

static deft_status weights(quant_job *j, element_job *e)
{
    const deft_layer *l = &j->m->layer[e->k];
    deft_qmatrix *w = &j->ql[e->k].w;
    w->format = DEFT_NUM_S16;
    if (l->kind == DEFT_LAYER_LAYERNORM) return layernorm(j, e);
    if (l->kind == DEFT_LAYER_MUL || l->kind == DEFT_LAYER_ACTIVATION) {
        w->format = DEFT_NUM_NONE;
        for (int32_t o = 0; o < e->n; o++) bare(j, e, o);
        return DEFT_OK;
    }
    deft_status s = DEFT_OK;
    for (int32_t o = 0; s == DEFT_OK && o < e->n; o++) {
        const bool affine = l->kind == DEFT_LAYER_AFFINE;
        const double c[2] = {e->scale[o] * (affine && l->weight ? (double)l->weight[o] : 1),
                             e->inputs > 1 ? e->scale[e->n + o] : 0};
        const double b[2] = {affine && l->bias ? (double)l->bias[o] : 0, 32768};
        s = weigh(j, e, o, c, b);
    }
    return s;
}

static bool all_zero(const int32_t *x, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        if (x[i]) return false;
    return true;
}

/* A product of two coarse inputs may be finer than its accumulator, which takes 31 bits whatever
 * the inputs are: then steps of the output become as large as those of the accumulator allow. */
static void coarsen(quant_job *j, element_job *e)
{
    quant_source *s = &j->layer[e->k];
    double most = 0;
    for (int32_t o = 0; o < e->n; o++) most = fmax(most, e->ratio[o]);
    if (j->m->layer[e->k].kind != DEFT_LAYER_MUL || s->copied || j->ql[e->k].table >= 0) return;
    while (most > 0.45) {
        most /= 2;
        for (int32_t o = 0; o < e->n; o++) {
            s->scale[o] *= 2;
            e->ratio[o] /= 2;
        }
    }
}

deft_status quant_build_other(quant_job *j, int32_t k)
{
    const deft_layer *l = &j->m->layer[k];
    deft_qlayer *out = &j->ql[k];
    if (l->kind == DEFT_LAYER_HISTORY) {
        const quant_source *s = &j->layer[k];
        out->out_format = s->format;
        out->zero = s->zero;
        out->lo = s->lo;
        out->hi = s->hi;
        out->table = -1;
        out->depth = l->depth;
        out->newest_first = l->newest_first;
        out->fill_first = l->fill_first;
        return DEFT_OK;
    }
    element_job e;
    deft_status s = prepare(j, k, &e);
    if (s == DEFT_OK) s = weights(j, &e);
    if (s != DEFT_OK) return s;
    if (out->w.format != DEFT_NUM_NONE) out->w.weight = e.weight;
    if (!all_zero(e.bias, e.n)) out->w.bias = e.bias;
    coarsen(j, &e);
    const quant_ratio r = {e.n, e.ratio, e.bound, true};
    return quant_requant(j, k, &r, &out->w);
}
