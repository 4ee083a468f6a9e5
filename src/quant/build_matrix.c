/* build_matrix.c - dense and recurrent layers: fold scales, round, requantize. */
#include "quant/quant_private.h"

#include <math.h>
#include <string.h>

static deft_number container(int32_t bits)
{
    return bits <= 4 ? DEFT_NUM_S4 : bits <= 8 ? DEFT_NUM_S8 : DEFT_NUM_S16;
}

/* --- inputs of a matrix over all rows -------------------------------------------------------- */

static int16_t to_grid(const quant_source *s, int32_t i, double v)
{
    const double q = floor(v / s->scale[i] + 0.5) + s->zero;
    return (int16_t)(q < s->lo ? s->lo : q > s->hi ? s->hi : q);
}

/* Integers of one segment in one row, zero points taken off. */
static void gather_q(const quant_job *j, const deft_segment *g, int32_t row, float *into)
{
    const quant_source *s = quant_source_of(j, g);
    const bool old = g->kind == DEFT_SRC_STATE;
    const int16_t *base = g->kind == DEFT_SRC_OBS    ? j->q_obs
                          : g->kind == DEFT_SRC_PREV ? j->q_prev
                                                     : j->q_value[g->index];
    if (old && j->trace.first[row]) {
        memset(into, 0, (size_t)g->length * sizeof *into);
        return;
    }
    const size_t at = (size_t)(row - old) * (size_t)s->n + (size_t)g->offset;
    for (int32_t i = 0; i < g->length; i++) {
        if (base) {
            into[i] = (float)(base[at + (size_t)i] - s->zero);
        } else { // of a layer that comes later: as good as its float state
            const double v = (double)j->trace.value[g->index][at + (size_t)i];
            into[i] = (float)(to_grid(s, g->offset + i, v) - s->zero);
        }
    }
}

/* Fills x_q and x_f: inputs of n elements in units of the grid. */
deft_status quant_gather(quant_job *j, const deft_segment *s, int32_t n_segment, int32_t n)
{
    for (int32_t r = 0; r < j->trace.n_row; r++) {
        float *q = j->x_q + (size_t)r * (size_t)n, *f = j->x_f + (size_t)r * (size_t)n;
        quant_trace_gather(&j->trace, s, n_segment, r, f);
        for (int32_t k = 0; k < n_segment; k++) {
            const quant_source *source = quant_source_of(j, &s[k]);
            gather_q(j, &s[k], r, q);
            for (int32_t i = 0; i < s[k].length; i++)
                f[i] = (float)((double)f[i] / source->scale[s[k].offset + i]);
            q += s[k].length;
            f += s[k].length;
        }
    }
    return DEFT_OK;
}

/* --- one matrix ------------------------------------------------------------------------------ */

static double largest(const double *w, size_t n)
{
    double m = 0;
    for (size_t i = 0; i < n; i++) m = fabs(w[i]) > m ? fabs(w[i]) : m;
    return m;
}

typedef struct matrix_job {
    int32_t layer, matrix; // 0: w, 1: u
    int32_t rows, n;
    const float *weight, *bias;
    const double *scale, *limit; // [n]
    const int32_t *zero;         // [n]
    const double *step;          // [rows] one step of v
    int32_t first;               // of the rows, where the matrix is rounded in parts
    bool no_bias;                // there is none, and none will be made
} matrix_job;

/* Biases in steps of the accumulator, zero points of inputs folded in; bounds of the accumulator.
 */
static deft_status finish(quant_job *j, const matrix_job *m, const quant_rounded *r,
                          deft_qmatrix *out)
{
    int32_t *bias = DEFT_NEW_ARRAY(j->a, int32_t, m->rows);
    double *ratio = DEFT_NEW_ARRAY(j->tmp, double, m->rows);
    double *bound = DEFT_NEW_ARRAY(j->tmp, double, m->rows);
    if (!bias || !ratio || !bound) return quant_no_memory(j);
    for (int32_t o = 0; o < m->rows; o++) {
        const int16_t *w = r->weight + (size_t)o * (size_t)m->n;
        double b = floor(r->offset[o] / r->delta[o] + 0.5);
        for (int32_t i = 0; i < m->n; i++) {
            b -= (double)w[i] * m->zero[i];
            bound[o] += fabs((double)w[i]) * m->limit[i];
        }
        if (!(fabs(b) < INT32_MAX))
            return quant_fail_layer(j, m->layer, DEFT_E_RANGE,
                                    "channel %d: its bias takes more than 32 bits", o);
        bias[o] = m->no_bias ? 0 : (int32_t)b;
        bound[o] += fabs(b);
        ratio[o] = r->delta[o] / m->step[o];
    }
    out->weight =
        deft_arena_copy(j->a, r->weight, (size_t)m->rows * (size_t)m->n * sizeof(int16_t));
    if (!out->weight) return quant_no_memory(j);
    out->bias = m->no_bias ? NULL : bias;
    const quant_ratio q = {m->rows, ratio, bound, out->format == DEFT_NUM_S16};
    return quant_requant(j, m->layer, &q, out);
}

/* How much each step counts for rows from to to - 1: their importance together, and a tenth of the
 * average for steps that seem not to matter at all. */
static const float *step_weights(const quant_job *j, const matrix_job *m, const int32_t range[2],
                                 float *w)
{
    const deft_layer *l = &j->m->layer[m->layer];
    const float *importance = j->importance ? j->importance[m->layer][m->matrix] : NULL;
    const size_t all = (size_t)quant_gates(l->kind) * (size_t)l->n_out;
    const size_t from = (size_t)m->first + (size_t)range[0],
                 to = (size_t)m->first + (size_t)range[1];
    double total = 0;
    for (int32_t r = 0; importance && r < j->trace.n_row; r++) {
        w[r] = 0;
        for (size_t o = from; o < to; o++) w[r] += importance[(size_t)r * all + o];
        total += (double)w[r];
    }
    if (!(total > 0)) return NULL;
    const float mean = (float)(total / j->trace.n_row);
    for (int32_t r = 0; r < j->trace.n_row; r++) w[r] = w[r] / mean + 0.1f;
    return w;
}

/* Rounds the rows in groups that share their second moments. */
static deft_status round_groups(quant_job *j, const matrix_job *m, const double *w,
                                const quant_rounding *opt, quant_rounded *r)
{
    enum { GROUPS = 16 };
    const size_t n = (size_t)m->n;
    // as many as some seconds allow
    const double affordable = 8e9 / ((double)j->trace.n_row * m->n * m->n);
    const int32_t most = affordable < GROUPS ? (int32_t)fmax(affordable, 1) : GROUPS;
    const int32_t groups = j->importance && !opt->nearest ? most : 1;
    float *weight = DEFT_NEW_ARRAY(j->tmp, float, j->trace.n_row);
    deft_arena *scratch = deft_arena_create(0);
    deft_status s = weight && scratch ? DEFT_OK : quant_no_memory(j);
    for (int32_t g = 0; s == DEFT_OK && g < groups; g++) {
        const int32_t range[2] = {m->rows * g / groups, m->rows * (g + 1) / groups};
        const size_t from = (size_t)range[0];
        if (range[1] == range[0]) continue;
        quant_samples x = {j->trace.n_row, m->n, j->x_q, j->x_f, NULL, !m->no_bias};
        quant_moments mo;
        deft_arena_reset(scratch);
        x.weight = step_weights(j, m, range, weight);
        s = quant_moments_create(&x, scratch, &mo, j->err);
        if (s != DEFT_OK) break;
        const quant_target t = {.rows = range[1] - range[0],
                                .n = m->n,
                                .w = w + from * n,
                                .bias = m->bias ? m->bias + from : NULL,
                                .limit = m->limit,
                                .step = m->step + from,
                                .largest = largest(w, (size_t)m->rows * n)};
        quant_rounded part = {r->weight + from * n, r->delta + from, r->offset + from};
        s = quant_round(&t, &mo, opt, scratch, &part);
        if (s != DEFT_OK) (void)quant_no_memory(j);
    }
    deft_arena_destroy(scratch);
    return s;
}

/* One scale for the weights as they are, where inputs have scales of their own: the ratios of these
 * go into 16-bit containers. (Exact for powers of two up to 256, as tools with one exponent per
 * tensor have.) */
static void round_unfolded(const matrix_job *m, const quant_rounding *opt, quant_rounded *r)
{
    const size_t rows = (size_t)m->rows, n = (size_t)m->n;
    const double hi = ldexp(1, opt->bits - 1) - 1;
    double most = 0, finest = m->scale[0], coarsest = m->scale[0];
    for (size_t at = 0; at < rows * n; at++) most = fmax(most, fabs((double)m->weight[at]));
    for (size_t i = 0; i < n; i++) {
        finest = fmin(finest, m->scale[i]);
        coarsest = fmax(coarsest, m->scale[i]);
    }
    double delta = (most > 0 ? most : 1) / hi;
    if (opt->power_of_two) delta = quant_power_of_two(delta);
    const double unit = fmax(finest, coarsest * hi / 32767); // of the inputs
    for (size_t o = 0; o < rows; o++) {
        for (size_t i = 0; i < n; i++) {
            const double w = floor((double)m->weight[o * n + i] / delta + 0.5);
            r->weight[o * n + i] = (int16_t)floor(fmin(w, hi) * m->scale[i] / unit + 0.5);
        }
        r->delta[o] = delta * unit;
        r->offset[o] = m->bias ? (double)m->bias[o] : 0;
    }
}

static bool same_scales(const matrix_job *m)
{
    for (int32_t i = 1; i < m->n; i++)
        if (m->scale[i] != m->scale[0]) return false;
    return true;
}

static deft_status build(quant_job *j, const matrix_job *m, quant_rounded *r)
{
    const size_t rows = (size_t)m->rows, n = (size_t)m->n;
    double *w = DEFT_NEW_ARRAY(j->tmp, double, rows *n);
    r->weight = DEFT_NEW_ARRAY(j->tmp, int16_t, rows * n);
    r->delta = DEFT_NEW_ARRAY(j->tmp, double, rows);
    r->offset = DEFT_NEW_ARRAY(j->tmp, double, rows);
    if (!w || !r->weight || !r->delta || !r->offset) return quant_no_memory(j);
    for (size_t at = 0; at < rows * n; at++) w[at] = (double)m->weight[at] * m->scale[at % n];
    const bool pow2 = j->scheme.power_of_two;
    const quant_rounding opt = {.bits = j->bits[m->layer][m->matrix],
                                .nearest = j->opt.nearest || pow2,
                                .per_tensor = j->opt.per_tensor || pow2,
                                .power_of_two = pow2,
                                .correct_bias = !m->no_bias && !j->opt.no_bias_correction && !pow2};
    if (!opt.per_tensor || same_scales(m)) return round_groups(j, m, w, &opt, r);
    deft_qlayer *l = &j->ql[m->layer];
    (m->matrix ? &l->u : &l->w)->format = DEFT_NUM_S16;
    round_unfolded(m, &opt, r);
    return DEFT_OK;
}

static deft_status input_of(quant_job *j, int32_t k, matrix_job *m)
{
    const deft_layer *l = &j->m->layer[k];
    double *scale = DEFT_NEW_ARRAY(j->tmp, double, l->n_in);
    double *limit = DEFT_NEW_ARRAY(j->tmp, double, l->n_in);
    int32_t *zero = DEFT_NEW_ARRAY(j->tmp, int32_t, l->n_in);
    if (!scale || !limit || !zero) return quant_no_memory(j);
    quant_input_scales(j, k, scale, limit);
    for (int32_t i = 0, at = 0; i < l->n_segment; i++)
        for (int32_t e = 0; e < l->in[i].length; e++, at++)
            zero[at] = quant_source_of(j, &l->in[i])->zero;
    m->scale = scale;
    m->limit = limit;
    m->zero = zero;
    return DEFT_OK;
}

deft_status quant_build_dense(quant_job *j, int32_t k)
{
    const deft_layer *l = &j->m->layer[k];
    quant_source *s = &j->layer[k];
    deft_qlayer *out = &j->ql[k];
    double *step = DEFT_NEW_ARRAY(j->tmp, double, l->n_out);
    matrix_job m = {
        .layer = k, .rows = l->n_out, .n = l->n_in, .weight = l->weight, .bias = l->bias};
    quant_rounded r = {0};
    if (!step) return quant_no_memory(j);
    m.step = step;
    out->w.format = container(j->bits[k][0]);
    deft_status status = quant_output(j, k, step); // may use x_f
    if (status == DEFT_OK) status = input_of(j, k, &m);
    if (status == DEFT_OK) status = quant_gather(j, l->in, l->n_segment, l->n_in);
    if (status == DEFT_OK) status = build(j, &m, &r);
    if (status != DEFT_OK) return status;
    // finer output steps than the accumulator's would hold nothing
    for (int32_t o = 0; out->table < 0 && !s->uniform && !s->copied && o < l->n_out; o++)
        if (step[o] < r.delta[o] && !j->scheme.power_of_two) s->scale[o] = step[o] = r.delta[o];
    return finish(j, &m, &r, &out->w);
}

/* --- recurrent layers ------------------------------------------------------------------------ */

/* r h of a GRU that resets before its matrix, in units of the state's grid. */
static void reset_inputs(quant_job *j, const deft_layer *l, const float *x, float *h)
{
    const size_t n = (size_t)l->n_out, n_in = (size_t)l->n_in;
    for (int32_t row = 0; row < j->trace.n_row; row++) {
        float *hr = h + (size_t)row * n;
        const float *xr = x + (size_t)row * n_in;
        float *out = j->x_q + (size_t)row * n;
        for (size_t o = 0; o < n; o++) {
            double v = l->bias ? (double)l->bias[o] : 0;
            if (l->bias_h) v += (double)l->bias_h[o];
            for (size_t i = 0; i < n_in; i++) v += (double)(l->weight[o * n_in + i] * xr[i]);
            for (size_t i = 0; i < n; i++) v += (double)(l->weight_h[o * n + i] * hr[i]);
            out[o] = (float)((double)hr[o] / (1 + exp(-v)));
        }
    }
    for (size_t i = 0; i < (size_t)j->trace.n_row * n; i++) {
        j->x_f[i] = j->x_q[i] * 32768.0f;
        j->x_q[i] = floorf(j->x_f[i] + 0.5f);
    }
}

static deft_status with_reset(quant_job *j, int32_t k)
{
    const deft_layer *l = &j->m->layer[k];
    const size_t rows = (size_t)j->trace.n_row;
    float *x = DEFT_NEW_ARRAY(j->tmp, float, rows *(size_t)l->n_in);
    float *h = DEFT_NEW_ARRAY(j->tmp, float, rows *(size_t)l->n_out);
    const deft_segment old = {DEFT_SRC_STATE, k, 0, l->n_out};
    if (!x || !h) return quant_no_memory(j);
    for (int32_t r = 0; r < j->trace.n_row; r++) {
        quant_trace_gather(&j->trace, l->in, l->n_segment, r, x + (size_t)r * (size_t)l->n_in);
        quant_trace_gather(&j->trace, &old, 1, r, h + (size_t)r * (size_t)l->n_out);
    }
    reset_inputs(j, l, x, h);
    return DEFT_OK;
}

/* Two roundings of one matrix [gates][n], the second for the last third: the inputs differ. */
static deft_status build_state(quant_job *j, matrix_job *m, bool reset_before, quant_rounded *r)
{
    const int32_t k = m->layer, h = m->n, rows = m->rows;
    const deft_segment old = {DEFT_SRC_STATE, k, 0, h};
    deft_status s = quant_gather(j, &old, 1, h);
    if (s != DEFT_OK || !reset_before) return s == DEFT_OK ? build(j, m, r) : s;
    quant_rounded part[2] = {{0}};
    const size_t first = (size_t)(rows - h), n = (size_t)h;
    const matrix_job whole = *m;
    m->rows = rows - h;
    s = build(j, m, &part[0]);
    if (s == DEFT_OK) s = with_reset(j, k);
    m->rows = h;
    m->weight += first * n;
    m->step += first;
    m->first = (int32_t)first;
    if (m->bias) m->bias += first;
    if (s == DEFT_OK) s = build(j, m, &part[1]);
    *m = whole;
    if (s != DEFT_OK) return s;
    r->weight = DEFT_NEW_ARRAY(j->tmp, int16_t, (size_t)rows * n);
    r->delta = DEFT_NEW_ARRAY(j->tmp, double, rows);
    r->offset = DEFT_NEW_ARRAY(j->tmp, double, rows);
    if (!r->weight || !r->delta || !r->offset) return quant_no_memory(j);
    for (int32_t p = 0; p < 2; p++) {
        const size_t at = p ? first : 0, count = p ? n : first;
        memcpy(r->weight + at * n, part[p].weight, count * n * sizeof *r->weight);
        memcpy(r->delta + at, part[p].delta, count * sizeof *r->delta);
        memcpy(r->offset + at, part[p].offset, count * sizeof *r->offset);
    }
    return DEFT_OK;
}

/* Room for the cell: twice the largest |c| of the float policy. */
static int32_t cell_shift(quant_job *j, int32_t k, double *c)
{
    const deft_layer *l = &j->m->layer[k];
    const size_t n = (size_t)l->n_out, n_in = (size_t)l->n_in;
    double most = 0;
    for (int32_t row = 0; row < j->trace.n_row; row++) {
        float *x = j->x_f, *h = j->x_q;
        const deft_segment old = {DEFT_SRC_STATE, k, 0, l->n_out};
        quant_trace_gather(&j->trace, l->in, l->n_segment, row, x);
        quant_trace_gather(&j->trace, &old, 1, row, h);
        if (j->trace.first[row]) memset(c, 0, n * sizeof *c);
        for (size_t o = 0; o < n; o++) {
            double g[3];
            for (size_t gate = 0; gate < 3; gate++) {
                const size_t at = gate * n + o;
                g[gate] =
                    (l->bias ? (double)l->bias[at] : 0) + (l->bias_h ? (double)l->bias_h[at] : 0);
                for (size_t i = 0; i < n_in; i++)
                    g[gate] += (double)(l->weight[at * n_in + i] * x[i]);
                for (size_t i = 0; i < n; i++) g[gate] += (double)(l->weight_h[at * n + i] * h[i]);
            }
            c[o] = c[o] / (1 + exp(-g[1])) + tanh(g[2]) / (1 + exp(-g[0]));
            most = fabs(c[o]) > most ? fabs(c[o]) : most;
        }
    }
    int32_t e = 0;
    while (e < 8 && ldexp(1, e) < 2 * most) e++;
    return e;
}

static int32_t state_round(const quant_job *j, int32_t k)
{
    if (j->input_bits == 16) return 0;
    if (!j->scheme.power_of_two) return 16 - j->input_bits;
    double most = 0; // ESP-DL's exponent of the state, from the largest value
    const size_t n = (size_t)j->trace.n_row * (size_t)j->m->layer[k].n_out;
    for (size_t i = 0; i < n; i++) most = fmax(most, fabs((double)j->trace.value[k][i]));
    int32_t b = 16 - j->input_bits;
    while (b > 0 && most < ldexp(0.5, b + j->input_bits - 16)) b--;
    return b;
}

/* Gates of few bits: as coarse as it takes to hold the largest pre-activation. */
static int32_t gate_round(quant_job *j, int32_t k)
{
    const deft_layer *l = &j->m->layer[k];
    const size_t n = (size_t)l->n_out, n_in = (size_t)l->n_in,
                 rows = n * (size_t)quant_gates(l->kind);
    const deft_segment old = {DEFT_SRC_STATE, k, 0, l->n_out};
    double most = 0;
    for (int32_t row = 0; row < j->trace.n_row; row++) {
        quant_trace_gather(&j->trace, l->in, l->n_segment, row, j->x_f);
        quant_trace_gather(&j->trace, &old, 1, row, j->x_q);
        for (size_t o = 0; o < rows; o++) {
            double x = l->bias ? (double)l->bias[o] : 0, u = l->bias_h ? (double)l->bias_h[o] : 0;
            for (size_t i = 0; i < n_in; i++) x += (double)(l->weight[o * n_in + i] * j->x_f[i]);
            for (size_t i = 0; i < n; i++) u += (double)(l->weight_h[o * n + i] * j->x_q[i]);
            most = fmax(most, fmax(fabs(x), fabs(u)));
        }
    }
    int32_t b = 0;
    const double levels = ldexp(1, j->input_bits - 1) - 1;
    while (b < 16 - j->input_bits && levels * ldexp(1, b - 11) < most) b++;
    return b;
}

deft_status quant_build_recurrent(quant_job *j, int32_t k)
{
    const deft_layer *l = &j->m->layer[k];
    deft_qlayer *out = &j->ql[k];
    const int32_t h = l->n_out, gates = quant_gates(l->kind), rows = gates * h;
    double *step = DEFT_NEW_ARRAY(j->tmp, double, rows);
    double *one = DEFT_NEW_ARRAY(j->tmp, double, 2 * (size_t)h);
    int32_t *zero = DEFT_NEW_ARRAY(j->tmp, int32_t, h);
    if (!step || !one || !zero) return quant_no_memory(j);
    // sigmoids read Q11, the tanh of the new value Q12
    for (int32_t o = 0; o < rows; o++) step[o] = o >= 2 * h && o < 3 * h ? 1.0 / 4096 : 1.0 / 2048;
    matrix_job m = {.layer = k, .rows = rows, .n = l->n_in, .weight = l->weight, .bias = l->bias};
    m.step = step;
    quant_rounded r = {0};
    out->w.format = container(j->bits[k][0]);
    out->u.format = container(j->bits[k][1]);
    out->out_format = DEFT_NUM_S16;
    out->lo = INT16_MIN;
    out->hi = INT16_MAX;
    out->reset_before = l->reset_before;
    out->state_round = state_round(j, k);
    if (l->kind == DEFT_LAYER_LSTM) out->cell_shift = cell_shift(j, k, one);
    deft_status s = quant_table_tanh(j, &out->table);
    if (s == DEFT_OK) s = input_of(j, k, &m);
    m.no_bias = !l->bias && out->in_format == DEFT_NUM_S16;
    if (s == DEFT_OK) s = quant_gather(j, l->in, l->n_segment, l->n_in);
    if (s == DEFT_OK) s = build(j, &m, &r);
    if (s == DEFT_OK) s = finish(j, &m, &r, &out->w);
    if (s != DEFT_OK) return s;
    for (int32_t i = 0; i < h; i++) {
        one[i] = 1.0 / 32768;
        one[h + i] = 32768;
    }
    matrix_job u = {k, 1, rows, h, l->weight_h, l->bias_h, one, one + h, zero, step, 0, !l->bias_h};
    s = build_state(j, &u, l->reset_before, &r);
    if (s == DEFT_OK) s = finish(j, &u, &r, &out->u);
    if (s == DEFT_OK && j->input_bits < 16) out->gate_round = gate_round(j, k);
    return s;
}
