/* equalize.c - scales of single units, chosen with the weights that read them in mind.
 *
 * A unit's scale s goes into the columns that read it: w s is what is rounded. A row is rounded in
 * steps of its largest |w s|, so that a unit of large range and large weights makes the row coarse
 * for all others (Nagel et al. 2019, cross-layer equalization); a smaller s clips it, a larger one
 * rounds its values more coarsely. For matrices m with rows o and inputs i, minimise
 *     sum_m 1/P_m sum_o ( K/12 (max_i |w s_i| / levels)^2 sum_i V_i / s_i^2  +  sum_i w^2 E_i(s_i)
 * ) one scale after the other over a few factors: V variances, E squared errors of rounding and
 * clipping, P the power of the matrix's outputs, K what error compensation leaves of the rounding
 * error. */
#include "quant/quant_private.h"

#include <math.h>
#include <string.h>

enum { CANDIDATES = 12, SWEEPS = 3, MOST_SAMPLES = 2048 };
#define COMPENSATED 0.4

static const double factor_8[CANDIDATES] = {1,    0.6,  0.7, 0.8, 0.87, 0.93,
                                            1.08, 1.17, 1.3, 1.5, 1.75, 2};
static const double factor_16[CANDIDATES] = {1, 1.41, 2, 2.83, 4, 5.66, 8, 11.3, 16, 22.6, 32, 45};

typedef struct reader { // one matrix
    int32_t layer, rows, n;
    const float *w;
    double levels, weight;  // weight: 1 / power
    double *scale;          // [n]
    double *first, *second; // [rows] the two largest |w s|
    int32_t *at;            // [rows] where the largest is
    double spread;          // sum V / s^2
} reader;

typedef struct equalizer {
    quant_job *j;
    int32_t n_reader;
    reader *reader;
    float *x; // [n_row] scratch
} equalizer;

static void scan_row(reader *r, int32_t o)
{
    const float *w = r->w + (size_t)o * (size_t)r->n;
    r->first[o] = r->second[o] = 0;
    r->at[o] = 0;
    for (int32_t i = 0; i < r->n; i++) {
        const double v = fabs((double)w[i]) * r->scale[i];
        if (v > r->first[o]) {
            r->second[o] = r->first[o];
            r->first[o] = v;
            r->at[o] = i;
        } else if (v > r->second[o]) {
            r->second[o] = v;
        }
    }
}

/* Column i of the matrix gets another scale. */
static void rescale(reader *r, int32_t i, double scale)
{
    const double old = r->scale[i];
    r->scale[i] = scale;
    for (int32_t o = 0; o < r->rows; o++) {
        const double w = fabs((double)r->w[(size_t)o * (size_t)r->n + (size_t)i]);
        if (r->at[o] == i || w * old >= r->second[o] || w * scale > r->second[o]) scan_row(r, o);
    }
}

/* What stands in a matrix for one element of a source. */
static int32_t column_of(const equalizer *q, const reader *r, const quant_source *s,
                         int32_t element, int32_t nth)
{
    const deft_layer *l = &q->j->m->layer[r->layer];
    for (int32_t k = 0, at = 0; k < l->n_segment; at += l->in[k].length, k++) {
        const int32_t i = element - l->in[k].offset;
        if (quant_source_of(q->j, &l->in[k]) != s || i < 0 || i >= l->in[k].length) continue;
        if (nth-- == 0) return at + i;
    }
    return -1;
}

static void statistics(const float *x, int32_t n, double *variance, double *mean)
{
    double sum = 0, squares = 0;
    for (int32_t r = 0; r < n; r++) sum += (double)x[r];
    *mean = sum / n;
    for (int32_t r = 0; r < n; r++) squares += ((double)x[r] - *mean) * ((double)x[r] - *mean);
    *variance = squares / n + 0.05 * *mean * *mean;
}

/* Mean squared error of a unit on its grid. */
static double grid_error(const quant_source *s, const float *x, int32_t n, double scale)
{
    if (s->format == DEFT_NUM_S16 && s->bits == 16) return scale * scale / 12;
    const float inverse = (float)(1 / scale), lo = (float)(s->lo - s->zero),
                hi = (float)(s->hi - s->zero), back = (float)scale;
    const int32_t stride = n > MOST_SAMPLES ? n / MOST_SAMPLES : 1;
    double sum = 0, most = 0;
    int32_t count = 0;
    for (int32_t r = 0; r < n; r += stride, count++) {
        most = fmax(most, fabs((double)x[r]));
        float v = floorf(x[r] * inverse + 0.5f);
        v = v < lo ? lo : v > hi ? hi : v;
        const float e = x[r] - v * back;
        sum += (double)(e * e);
    }
    return sum / count + quant_unseen(most, (s->hi - s->zero) * scale);
}

/* The terms of the sum that the scale of this element decides. */
static double cost(const equalizer *q, const quant_source *s, int32_t element, double scale,
                   const double variance_error[2])
{
    double total = 0;
    for (int32_t m = 0; m < q->n_reader; m++) {
        const reader *r = &q->reader[m];
        int32_t i;
        for (int32_t nth = 0; (i = column_of(q, r, s, element, nth)) >= 0; nth++) {
            const double spread = r->spread + variance_error[0] * (1 / (scale * scale) -
                                                                   1 / (r->scale[i] * r->scale[i]));
            double steps = 0, power = 0;
            for (int32_t o = 0; o < r->rows; o++) {
                const double w = fabs((double)r->w[(size_t)o * (size_t)r->n + (size_t)i]);
                const double rest = r->at[o] == i ? r->second[o] : r->first[o];
                const double most = w * scale > rest ? w * scale : rest;
                steps += most * most;
                power += w * w;
            }
            total += r->weight * (COMPENSATED / 12 * steps * spread / (r->levels * r->levels) +
                                  power * variance_error[1]);
        }
    }
    return total;
}

static void choose(equalizer *q, quant_source *s, const float *base, int32_t element, double origin)
{
    const int32_t n = q->j->trace.n_row;
    const double *factor = s->format == DEFT_NUM_U8 ? factor_8 : factor_16;
    double variance, mean, best = (double)INFINITY, found = s->scale[element];
    quant_column(&q->j->trace, base, s->n, element, q->x);
    statistics(q->x, n, &variance, &mean);
    for (int32_t k = 0; k < CANDIDATES; k++) {
        const double scale = origin * factor[k];
        const double ve[2] = {variance, grid_error(s, q->x, n, scale)};
        const double c = cost(q, s, element, scale, ve);
        if (c >= best) continue;
        best = c;
        found = scale;
    }
    for (int32_t m = 0; m < q->n_reader; m++) {
        reader *r = &q->reader[m];
        int32_t i;
        for (int32_t nth = 0; (i = column_of(q, r, s, element, nth)) >= 0; nth++) {
            r->spread += variance * (1 / (found * found) - 1 / (r->scale[i] * r->scale[i]));
            rescale(r, i, found);
        }
    }
    s->scale[element] = found;
}

static deft_status add_reader(equalizer *q, int32_t k)
{
    quant_job *j = q->j;
    const deft_layer *l = &j->m->layer[k];
    reader *r = &q->reader[q->n_reader++];
    *r =
        (reader){.layer = k, .rows = quant_gates(l->kind) * l->n_out, .n = l->n_in, .w = l->weight};
    const int32_t bits = j->bits[k][0];
    r->levels = ldexp(1, bits - 1) - 1;
    r->scale = DEFT_NEW_ARRAY(j->tmp, double, r->n);
    r->first = DEFT_NEW_ARRAY(j->tmp, double, r->rows);
    r->second = DEFT_NEW_ARRAY(j->tmp, double, r->rows);
    r->at = DEFT_NEW_ARRAY(j->tmp, int32_t, r->rows);
    if (!r->scale || !r->first || !r->second || !r->at) return quant_no_memory(j);
    quant_input_scales(j, k, r->scale, NULL);
    double power = 0;
    for (int32_t s = 0, i = 0; s < l->n_segment; s++) {
        const deft_segment *g = &l->in[s];
        const bool layer = g->kind == DEFT_SRC_LAYER || g->kind == DEFT_SRC_STATE;
        const float *base = layer                     ? j->trace.value[g->index]
                            : g->kind == DEFT_SRC_OBS ? j->trace.obs
                                                      : j->trace.prev;
        for (int32_t e = 0; e < g->length; e++, i++) {
            double variance, mean;
            quant_column(&j->trace, base, quant_source_of(j, g)->n, g->offset + e, q->x);
            statistics(q->x, j->trace.n_row, &variance, &mean);
            r->spread += variance / (r->scale[i] * r->scale[i]);
            for (int32_t o = 0; o < r->rows; o++) {
                const double w = (double)r->w[(size_t)o * (size_t)r->n + (size_t)i];
                power += w * w * variance;
            }
        }
    }
    r->weight = power > 0 ? 1 / power : 0;
    for (int32_t o = 0; o < r->rows; o++) scan_row(r, o);
    return DEFT_OK;
}

static deft_status equalize_source(equalizer *q, quant_source *s, const float *base)
{
    if (s->fixed || s->uniform) return DEFT_OK;
    double *origin = deft_arena_copy(q->j->tmp, s->scale, (size_t)s->n * sizeof *s->scale);
    if (!origin) return quant_no_memory(q->j);
    for (int32_t sweep = 0; sweep < SWEEPS; sweep++)
        for (int32_t i = 0; i < s->n; i++) choose(q, s, base, i, origin[i]);
    return DEFT_OK;
}

deft_status quant_equalize(quant_job *j)
{
    const deft_model *m = j->m;
    equalizer q = {.j = j};
    q.reader = DEFT_NEW_ARRAY(j->tmp, reader, m->n_layer);
    q.x = DEFT_NEW_ARRAY(j->tmp, float, j->trace.n_row);
    if (!q.reader || !q.x) return quant_no_memory(j);
    deft_status s = DEFT_OK;
    for (int32_t k = 0; s == DEFT_OK && k < m->n_layer; k++)
        if (quant_is_matrix(m->layer[k].kind)) s = add_reader(&q, k);
    // inputs of few bits are as wide as what was seen
    if (s == DEFT_OK && j->input_bits == 16) s = equalize_source(&q, &j->obs, j->trace.obs);
    if (s == DEFT_OK && j->reads_prev && j->input_bits == 16)
        s = equalize_source(&q, &j->prev, j->trace.prev);
    for (int32_t k = 0; s == DEFT_OK && k < m->n_layer; k++)
        s = equalize_source(&q, &j->layer[k], j->trace.value[k]);
    return s;
}
