/* ranges.c - where a range ends: by the largest value, a percentile, the least squared error or the
 * least divergence; and the scales of all sources that follow from it. */
#include "quant/quant_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BINS = 2048, HEADROOM = 4 };
#define UNSEEN_REACH 1.1
#define UNSEEN_SHARE 0.01

static int by_size(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

/* Squared error of |x| on levels steps up to range. */
static double squared_error(const float *x, int32_t n, double range, int32_t levels)
{
    const float step = (float)(range / levels), inverse = 1 / step, top = (float)levels;
    double sum = 0;
    for (int32_t i = 0; i < n; i++) {
        float q = x[i] * inverse + 0.5f;
        q = q > top ? top : (float)(int32_t)q;
        const float e = x[i] - q * step;
        sum += (double)(e * e);
    }
    return sum;
}

/* What is beyond the data: squared error, as a share of all values, of one UNSEEN_REACH times as
 * large as the largest that was seen. Without it the end of a range would be where the data, not
 * the policy, ends: new data clip. */
double quant_unseen(double most, double range)
{
    const double over = most * UNSEEN_REACH - range;
    return over > 0 ? UNSEEN_SHARE * over * over : 0;
}

static double mse_range(const float *x, int32_t n, double most, int32_t levels)
{
    double best = (double)INFINITY, found = most;
    for (int32_t k = 0; k < 38; k++) {
        const double range = most * (1.3 - 0.025 * k);
        const double e = squared_error(x, n, range, levels) + n * quant_unseen(most, range);
        if (e >= best) continue;
        best = e;
        found = range;
    }
    return found;
}

/* Divergence of the distribution clipped to bins [0, end) from what `levels` levels make of it. */
static double divergence(const double *count, int32_t end, int32_t levels, double outside)
{
    double total = outside, kl = 0;
    for (int32_t i = 0; i < end; i++) total += count[i];
    for (int32_t l = 0; l < levels; l++) {
        const int32_t from = (int32_t)((int64_t)l * end / levels);
        const int32_t to = (int32_t)((int64_t)(l + 1) * end / levels);
        double sum = 0;
        int32_t used = 0;
        for (int32_t i = from; i < to; i++) {
            sum += count[i];
            used += count[i] > 0;
        }
        for (int32_t i = from; i < to; i++) {
            if (!(count[i] > 0)) continue;
            const double p = count[i] + (i == end - 1 ? outside : 0);
            kl += p * log(p * used / sum);
        }
    }
    return kl / total;
}

/* Migacz, 8-bit inference with TensorRT, 2017. */
static double entropy_range(const float *x, int32_t n, double most, int32_t levels)
{
    double count[BINS] = {0}, best = (double)INFINITY;
    int32_t found = BINS;
    if (levels >= BINS) return most;
    for (int32_t i = 0; i < n; i++) {
        if (!(x[i] > 0)) continue; // zero has a level of its own
        const int32_t bin = (int32_t)((double)x[i] / most * BINS);
        count[bin < BINS ? bin : BINS - 1]++;
    }
    double outside = 0;
    for (int32_t end = BINS; end >= levels; end--) {
        if (end < BINS) outside += count[end];
        if (!(count[end - 1] > 0)) continue;
        const double kl = divergence(count, end, levels, outside);
        if (kl >= best) continue;
        best = kl;
        found = end;
    }
    return most * found / BINS;
}

double quant_range(const quant_job *j, float *x, int32_t n, int32_t levels)
{
    for (int32_t i = 0; i < n; i++) x[i] = fabsf(x[i]);
    qsort(x, (size_t)n, sizeof *x, by_size);
    const double most = n ? (double)x[n - 1] : 0;
    if (!(most > 0)) return 0;
    switch (j->calibrator) {
    case DEFT_CALIBRATOR_PERCENTILE:
        return (double)x[(int32_t)(j->percentile / 100 * (n - 1))];
    case DEFT_CALIBRATOR_ENTROPY:
        return entropy_range(x, n, most, levels);
    case DEFT_CALIBRATOR_MINMAX:
        return most;
    default:
        return mse_range(x, n, most, levels);
    }
}

/* --- scales of sources ----------------------------------------------------------------------- */

static double largest(const float *x, int32_t n, int32_t stride)
{
    double m = 0;
    for (int32_t r = 0; r < n; r++) {
        const double v = fabs((double)x[(size_t)r * (size_t)stride]);
        m = v > m ? v : m;
    }
    return m;
}

double quant_power_of_two(double v)
{
    int e;
    const double m = frexp(v, &e);
    return ldexp(1, m == 0.5 ? e - 1 : e);
}

/* One scale for all, where that is asked for. */
static void settle(const quant_job *j, quant_source *s)
{
    double most = 0;
    for (int32_t i = 0; i < s->n; i++) most = s->scale[i] > most ? s->scale[i] : most;
    // a value that was always zero may yet come: as if it were one of the smaller ones
    for (int32_t i = 0; i < s->n; i++) {
        if (most <= 0)
            s->scale[i] = 1.0 / s->hi;
        else if (s->scale[i] < 0.05 * most)
            s->scale[i] = s->scale[i] > 0 ? s->scale[i] : 0.25 * most;
        if ((s->uniform || j->opt.per_tensor) && most > 0) s->scale[i] = most;
        if (j->scheme.power_of_two) s->scale[i] = quant_power_of_two(s->scale[i]);
    }
}

/* Observations and previous actions: what was seen, with room above it, or what the contract lets
 * pass. */
static deft_status input_scales(quant_job *j, quant_source *s, const float *base, bool obs)
{
    const deft_contract *c = &j->m->contract;
    float *x = DEFT_NEW_ARRAY(j->tmp, float, j->trace.n_row);
    s->scale = DEFT_NEW_ARRAY(j->tmp, double, s->n);
    if (!x || !s->scale) return quant_no_memory(j);
    const bool wide = s->bits == 16;
    const double levels = ldexp(1, s->bits - 1) - 1;
    for (int32_t i = 0; i < s->n; i++) {
        double room = (double)INFINITY;
        if (obs && c->obs_lo && c->obs_hi)
            room = fmax(fabs((double)c->obs_lo[i]), fabs((double)c->obs_hi[i]));
        quant_column(&j->trace, base, s->n, i, x);
        double range = wide ? largest(x, j->trace.n_row, 1) * (obs ? HEADROOM : 2)
                            : quant_range(j, x, j->trace.n_row, (int32_t)levels);
        if (wide && !(range > 0)) range = HEADROOM;
        s->scale[i] = fmin(range, room) / levels;
    }
    if (!wide || s->uniform || j->opt.per_tensor) settle(j, s);
    return DEFT_OK;
}

/* Smallest and largest value of a bounded activation; false where it has none. */
static bool known_range(deft_activation f, double *lo, double *hi)
{
    *lo = f.kind == DEFT_ACT_SIGMOID ? 0 : -1;
    *hi = 1;
    if (f.kind == DEFT_ACT_TANH || f.kind == DEFT_ACT_SIGMOID || f.kind == DEFT_ACT_SOFTSIGN)
        return true;
    *lo = (double)f.alpha;
    *hi = (double)f.beta;
    return f.kind == DEFT_ACT_CLIP && isfinite(f.alpha) && isfinite(f.beta);
}

/* One scale for all units: outputs of tables, and of clips, whose limits are integers. */
static void bounded_scales(quant_job *j, quant_source *s, const double range[2], bool shared)
{
    const double lo = range[0], hi = range[1], most = fmax(fabs(lo), fabs(hi));
    double scale = most / (s->zero == 0 ? s->hi : s->zero - 1);
    // of the table that all tanh share
    if (shared && s->format == DEFT_NUM_S16 && s->bits == 16) scale = 1.0 / 32768;
    if (shared && s->format == DEFT_NUM_U8 && s->bits == 8) scale = 1.0 / 128;
    if (s->format == DEFT_NUM_U8 && !j->opt.symmetric && lo < 0 && hi > -lo) { // affine
        scale = (hi - lo) / s->hi;
        s->zero = (int32_t)floor(-lo / scale + 0.5);
    }
    if (j->scheme.power_of_two) scale = quant_power_of_two(scale);
    for (int32_t i = 0; i < s->n; i++) s->scale[i] = scale;
}

static void extremes(const quant_trace *t, int32_t k, double *lo, double *hi)
{
    const size_t n = (size_t)t->n_row * (size_t)t->m->layer[k].n_out;
    *lo = *hi = 0;
    for (size_t i = 0; i < n; i++) {
        const double v = (double)t->value[k][i];
        *lo = v < *lo ? v : *lo;
        *hi = v > *hi ? v : *hi;
    }
}

static void copy_history(quant_job *j, int32_t k)
{
    const deft_layer *l = &j->m->layer[k];
    quant_source *s = &j->layer[k];
    for (int32_t i = 0, at = 0; i < l->n_segment; i++) {
        const quant_source *from = quant_source_of(j, &l->in[i]);
        for (int32_t e = 0; e < l->in[i].length; e++, at++)
            s->scale[at] = from->scale[l->in[i].offset + e];
        s->zero = from->zero;
    }
    for (int32_t d = 1; d < l->depth; d++)
        memcpy(s->scale + (size_t)d * (size_t)l->n_in, s->scale,
               (size_t)l->n_in * sizeof *s->scale);
    s->lo = s->format == DEFT_NUM_U8 ? 0 : INT16_MIN;
    s->hi = s->format == DEFT_NUM_U8 ? 255 : INT16_MAX;
}

static deft_status layer_scales(quant_job *j, int32_t k, float *x)
{
    const deft_layer *l = &j->m->layer[k];
    quant_source *s = &j->layer[k];
    double lo, hi;
    if (quant_has_h(l->kind)) return DEFT_OK;
    if (l->kind == DEFT_LAYER_HISTORY) {
        copy_history(j, k);
    } else if (known_range(l->activation, &lo, &hi)) {
        s->fixed = s->uniform = true;
        bounded_scales(j, s, (const double[]){lo, hi}, l->activation.kind == DEFT_ACT_TANH);
    } else if (quant_needs_table(l->activation.kind) || l->activation.kind == DEFT_ACT_CLIP) {
        const double room = s->format == DEFT_NUM_S16 && s->bits > 8 ? HEADROOM : 1.02;
        s->fixed = s->uniform = true;
        extremes(&j->trace, k, &lo, &hi);
        if (!(hi > lo)) hi = 1;
        bounded_scales(j, s, (const double[]){lo * room, hi * room}, false);
    } else {
        const int32_t n = j->trace.n_row, levels = s->hi - s->zero;
        const bool wide = s->format == DEFT_NUM_S16 && s->bits == 16;
        for (int32_t i = 0; i < s->n; i++) {
            quant_column(&j->trace, j->trace.value[k], s->n, i, x);
            s->scale[i] =
                (wide ? largest(x, n, 1) * HEADROOM : quant_range(j, x, n, levels)) / levels;
        }
        settle(j, s);
    }
    return DEFT_OK;
}

deft_status quant_scales(quant_job *j)
{
    float *x = DEFT_NEW_ARRAY(j->tmp, float, j->trace.n_row);
    if (!x) return quant_no_memory(j);
    deft_status s = input_scales(j, &j->obs, j->trace.obs, true);
    if (s == DEFT_OK) s = input_scales(j, &j->prev, j->trace.prev, false);
    for (int32_t k = 0; s == DEFT_OK && k < j->m->n_layer; k++) {
        // states are read before their layers come; they are Q15
        j->layer[k].scale = DEFT_NEW_ARRAY(j->tmp, double, j->layer[k].n);
        if (!j->layer[k].scale) return quant_no_memory(j);
        for (int32_t i = 0; i < j->layer[k].n; i++) j->layer[k].scale[i] = 1.0 / 32768;
    }
    for (int32_t k = 0; s == DEFT_OK && k < j->m->n_layer; k++) s = layer_scales(j, k, x);
    if (s == DEFT_OK && !j->opt.no_equalization && !j->scheme.power_of_two && !j->opt.per_tensor)
        s = quant_equalize(j);
    return s;
}

void quant_input_scales(const quant_job *j, int32_t layer, double *scale, double *limit)
{
    const deft_layer *l = &j->m->layer[layer];
    for (int32_t i = 0, at = 0; i < l->n_segment; i++) {
        const deft_segment *g = &l->in[i];
        const quant_source *s = quant_source_of(j, g);
        const double most = fmax(s->hi - s->zero, s->zero - s->lo);
        // what the reader of the image assumes of 16-bit sources, and with zero points of 8-bit
        // ones
        const double whole = s->format == DEFT_NUM_U8 ? 255 : fmax(most, 0);
        for (int32_t e = 0; e < g->length; e++, at++) {
            scale[at] = s->scale[g->offset + e];
            if (limit) limit[at] = whole;
        }
    }
}
