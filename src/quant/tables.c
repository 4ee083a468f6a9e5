/* tables.c - tables of activations, and what stands between an accumulator and a layer's output. */
#include "base/math_f32.h"
#include "quant/quant_private.h"

#include <math.h>
#include <string.h>

static int16_t clamp16(double v)
{
    const double r = floor(v + 0.5);
    return (int16_t)(r < INT16_MIN ? INT16_MIN : r > INT16_MAX ? INT16_MAX : r);
}

typedef struct sampled {
    deft_activation f;
    double in_scale, out_scale, offset; // entry = f(x in_scale) / out_scale + offset
    int32_t log2_n;
    bool odd;
} sampled;

static double sample(const sampled *t, double x)
{
    const float y = deft_activation_f32(t->f, (float)(x * t->in_scale));
    return (double)y / t->out_scale + t->offset;
}

/* Entries between which straight lines err as much above as below: each node moves by half of what
 * the chords beside it miss the curve by. Kinks at nodes stay, since the curve is straight there.
 */
static deft_status make(quant_job *j, const sampled *t, int32_t *index)
{
    const int32_t n = 1 << t->log2_n, step = (t->odd ? 32768 : 65536) / n;
    const int32_t from = t->odd ? 0 : -32768;
    int16_t *e = DEFT_NEW_ARRAY(j->a, int16_t, n + 1);
    if (!e) return quant_no_memory(j);
    for (int32_t i = 0; i <= n; i++) {
        const double x = from + (double)i * step, half = 0.5 * step, y = sample(t, x);
        double left = 0, right = 0;
        if (i > 0) left = sample(t, x - half) - (sample(t, x - step) + y) / 2;
        if (i < n) right = sample(t, x + half) - (sample(t, x + step) + y) / 2;
        if (i == 0) left = t->odd ? -right : right;
        if (i == n) right = left;
        e[i] = clamp16(y + (left + right) / 4);
        if (t->odd && e[i] < -INT16_MAX) e[i] = -INT16_MAX;
    }
    for (int32_t k = 0; k < j->q->n_table; k++) {
        const deft_qtable *old = &j->table[k];
        if (old->log2_n != t->log2_n || old->odd != t->odd ||
            memcmp(old->entry, e, (size_t)(n + 1) * sizeof *e) != 0)
            continue;
        *index = k;
        return DEFT_OK;
    }
    *index = j->q->n_table++;
    j->table[*index] =
        (deft_qtable){t->log2_n, t->odd, e, t->f, (float)t->in_scale, (float)t->out_scale};
    return DEFT_OK;
}

deft_status quant_table_tanh(quant_job *j, int32_t *index)
{
    const sampled t = {.f = {DEFT_ACT_TANH, 0, 0},
                       .in_scale = 1.0 / 4096,
                       .out_scale = 1.0 / 32768,
                       .log2_n = j->activation_bits > 8 ? 10 : 8,
                       .odd = true};
    return make(j, &t, index);
}

deft_status quant_table_full(quant_job *j, int32_t layer, double in_scale, int32_t *index)
{
    const quant_source *s = &j->layer[layer];
    sampled t = {.f = j->m->layer[layer].activation,
                 .in_scale = in_scale,
                 .out_scale = s->scale[0],
                 .log2_n = s->format == DEFT_NUM_U8 ? 8 : 10};
    if (s->format == DEFT_NUM_U8) { // 8 more bits than the output, which is rounded afterwards
        t.out_scale /= 256;
        t.offset = s->zero * 256.0 - 32768;
    }
    return make(j, &t, index);
}

/* --- what follows an accumulator ------------------------------------------------------------- */

/* Largest |x| that the activation of layer k sees. */
static double largest_preactivation(quant_job *j, int32_t k)
{
    const deft_layer *l = &j->m->layer[k];
    const int32_t n = l->n_out;
    double most = 0;
    for (int32_t r = 0; r < j->trace.n_row; r++) {
        const float *x = j->x_f + (size_t)r * (size_t)l->n_in;
        quant_trace_gather(&j->trace, l->in, l->n_segment, r, j->x_f + (size_t)r * (size_t)l->n_in);
        double mean = 0, var = 0;
        for (int32_t i = 0; i < l->n_in; i++) mean += (double)x[i] / l->n_in;
        for (int32_t i = 0; i < l->n_in; i++) {
            const double d = (double)x[i] - mean;
            var += d * d / l->n_in;
        }
        const double sd = sqrt(var + (double)l->epsilon);
        for (int32_t o = 0; o < n; o++) {
            double v = (double)x[o < l->n_in ? o : 0];
            if (l->kind == DEFT_LAYER_DENSE) {
                v = 0;
                for (int32_t i = 0; i < l->n_in; i++)
                    v += (double)(l->weight[(size_t)o * (size_t)l->n_in + (size_t)i] * x[i]);
            } else if (l->kind == DEFT_LAYER_ADD) {
                v += (double)x[n + o];
            } else if (l->kind == DEFT_LAYER_MUL) {
                v *= (double)x[n + o];
            } else {
                if (l->kind == DEFT_LAYER_LAYERNORM) v = sd > 0 ? (v - mean) / sd : 0;
                if (l->weight) v *= (double)l->weight[o];
            }
            if (l->bias) v += (double)l->bias[o];
            most = fabs(v) > most ? fabs(v) : most;
        }
    }
    return most;
}

static deft_status output_table(quant_job *j, int32_t k, double *step)
{
    const deft_activation_kind f = j->m->layer[k].activation.kind;
    deft_qlayer *l = &j->ql[k];
    const quant_source *s = &j->layer[k];
    if (f == DEFT_ACT_TANH && !j->scheme.power_of_two &&
        ((s->format == DEFT_NUM_S16 && s->bits == 16) ||
         (s->format == DEFT_NUM_U8 && s->bits == 8))) {
        *step = 1.0 / 4096;
        return quant_table_tanh(j, &l->table);
    }
    // known to be flat beyond 16 (sigmoid) and 8 (tanh); others get twice what was seen
    double most = f == DEFT_ACT_SIGMOID ? 16 : f == DEFT_ACT_TANH ? 8 : 0;
    if (most == 0) most = 2 * largest_preactivation(j, k);
    *step = (most > 0 ? most : 1) / 32768;
    return quant_table_full(j, k, *step, &l->table);
}

deft_status quant_output(quant_job *j, int32_t k, double *step)
{
    const deft_activation f = j->m->layer[k].activation;
    const quant_source *s = &j->layer[k];
    deft_qlayer *l = &j->ql[k];
    l->out_format = s->format;
    l->zero = s->zero;
    l->lo = s->lo;
    l->hi = s->hi;
    l->table = -1;
    if (quant_needs_table(f.kind)) {
        double one = 1;
        const deft_status status = output_table(j, k, &one);
        for (int32_t i = 0; i < s->n; i++) step[i] = one;
        return status;
    }
    for (int32_t i = 0; i < s->n; i++) step[i] = s->scale[i];
    if (f.kind == DEFT_ACT_CLIP) { // infinite limits leave the format's
        const double lo = floor((double)f.alpha / s->scale[0] + 0.5) + s->zero;
        const double hi = floor((double)f.beta / s->scale[0] + 0.5) + s->zero;
        if (lo > l->lo) l->lo = lo < l->hi ? (int32_t)lo : l->hi;
        if (hi < l->hi) l->hi = hi > l->lo ? (int32_t)hi : l->lo;
    }
    return DEFT_OK;
}

/* --- shifts and multipliers ------------------------------------------------------------------ */

deft_status quant_requant(quant_job *j, int32_t layer, const quant_ratio *r, deft_qmatrix *out)
{
    const double most = ldexp(1, 30);
    double bound = 0, ratio = 0;
    int32_t at = 0, widest = 0;
    for (int32_t o = 0; o < r->rows; o++) {
        if (r->bound[o] > bound) bound = r->bound[widest = o];
        if (r->ratio[o] > ratio) ratio = r->ratio[at = o];
    }
    for (int32_t s = 0; s <= 15; s++) {
        int32_t p = 0;
        while (r->wide && p < 31 && (ldexp(bound, -p) + 1) * ldexp(1, s) >= most) p++;
        if ((ldexp(bound, -p) + 1) * ldexp(1, s) >= most)
            return quant_fail_layer(j, layer, DEFT_E_RANGE,
                                    "channel %d: its accumulator may reach %.3g, more than 2^%d",
                                    widest, bound, 30 - s);
        if (ldexp(ratio, p - s + 31) + 0.5 > INT32_MAX) continue;
        int32_t *m = DEFT_NEW_ARRAY(j->a, int32_t, r->rows);
        if (!m) return quant_no_memory(j);
        for (int32_t o = 0; o < r->rows; o++)
            m[o] = (int32_t)floor(ldexp(r->ratio[o], p - s + 31) + 0.5);
        out->multiplier = m;
        out->shift = s;
        out->preshift = p;
        return DEFT_OK;
    }
    return quant_fail_layer(j, layer, DEFT_E_RANGE,
                            "channel %d: a step of its accumulator is %.3g steps of its output", at,
                            ratio);
}
