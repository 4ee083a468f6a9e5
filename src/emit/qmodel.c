/* qmodel.c - the rules of an integer policy. */
#include "deft/qmodel.h"
#include "emit/image_emit.h"
#include "image/image_q.h"

#include <stdarg.h>
#include <stdio.h>

static int32_t gates_of(const deft_qlayer *l)
{
    return (int32_t)image_gates((uint8_t)l->kind);
}

static bool has_state(const deft_qlayer *l)
{
    return deft_has_state((uint8_t)l->kind);
}

static bool is_activation(deft_number f)
{
    return f == DEFT_NUM_U8 || f == DEFT_NUM_S16;
}

typedef struct checker {
    const deft_qmodel *q;
    deft_error *err;
    int32_t layer; // q->n_layer: the outputs
} checker;

static const char *name_of(const checker *c, char buf[64])
{
    const char *const s = c->layer < c->q->n_layer ? c->q->layer[c->layer].name : "outputs";
    return deft_escape(buf, 64, s ? s : "", 256);
}

static deft_status fail_at(const checker *c, deft_status s, const char *fmt, ...) DEFT_PRINTF(3, 4);
static deft_status fail_at(const checker *c, deft_status s, const char *fmt, ...)
{
    char text[256], name[64];
    va_list ap;
    va_start(ap, fmt);
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): a false positive of clang 14
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return deft_fail(c->err, s, "integer policy: layer %d (%s): %s", c->layer, name_of(c, name),
                     text);
}

/* Length and format of what a segment reads; length 0: nothing that may be read here. */
static int32_t source_of(const checker *c, const deft_segment *g, deft_number *format)
{
    const deft_qmodel *q = c->q;
    *format = DEFT_NUM_S16;
    if (g->kind == DEFT_SRC_OBS) return q->model->contract.n_obs;
    if (g->kind == DEFT_SRC_PREV) return q->prev_scale ? q->model->contract.n_act : 0;
    if (g->index < 0 || g->index >= q->n_layer) return 0;
    const deft_qlayer *l = &q->layer[g->index];
    if (g->kind == DEFT_SRC_STATE) return gates_of(l) > 1 ? l->n_out : 0;
    if (g->kind != DEFT_SRC_LAYER || g->index >= c->layer) return 0;
    *format = l->out_format;
    return l->n_out;
}

static deft_status check_segments(const checker *c, const deft_segment *s, int32_t n, int32_t total,
                                  deft_number format)
{
    int64_t sum = 0;
    for (int32_t k = 0; k < n; k++) {
        deft_number is = DEFT_NUM_NONE;
        const int32_t length = source_of(c, &s[k], &is);
        if (s[k].offset < 0 || s[k].length < 1 || s[k].offset > length - s[k].length) {
            return fail_at(c, DEFT_E_RANGE,
                           "segment %d reads %d elements from %d of a source of %d", k, s[k].length,
                           s[k].offset, length);
        }
        if (is != format)
            return fail_at(c, DEFT_E_RANGE, "segment %d has another number format", k);
        sum += s[k].length;
    }
    if (sum != total)
        return fail_at(c, DEFT_E_RANGE, "its inputs are %lld, not %d", (long long)sum, total);
    return DEFT_OK;
}

/* Numbers of weights, biases and multipliers of a matrix. */
typedef struct shape {
    int32_t rows, columns;
    int64_t weights;
} shape;

static shape shape_of(const deft_qlayer *l, int32_t matrix)
{
    const int32_t gates = gates_of(l), rows = gates ? gates * l->n_out : l->n_out;
    const int32_t columns = matrix ? l->n_out : l->n_in;
    const shape s = {rows, columns, gates ? (int64_t)rows * columns : l->n_in};
    return s;
}

static deft_status check_matrix(const checker *c, const deft_qlayer *l, int32_t matrix)
{
    const deft_qmatrix *m = matrix ? &l->u : &l->w;
    const bool gates = gates_of(l) != 0;
    const shape s = shape_of(l, matrix);
    const bool wide = m->format == DEFT_NUM_S16;
    if (gates ? !m->weight || (m->format != DEFT_NUM_S8 && m->format != DEFT_NUM_S4 && !wide)
              : m->format != (m->weight ? DEFT_NUM_S16 : DEFT_NUM_NONE)) {
        return fail_at(c, DEFT_E_RANGE, "weights of number format %d", (int)m->format);
    }
    if (!gates && m->weight && l->kind == DEFT_LAYER_ACTIVATION) {
        return fail_at(c, DEFT_E_RANGE, "an activation has no weights");
    }
    if (!m->multiplier) return fail_at(c, DEFT_E_RANGE, "no multipliers");
    if (m->shift < 0 || m->shift > 15 || m->preshift < 0 ||
        m->preshift > (wide || !gates ? 31 : 0)) {
        return fail_at(c, DEFT_E_RANGE, "shifts of %d and %d", m->shift, m->preshift);
    }
    for (int32_t o = 0; o < s.rows; o++) {
        if (m->multiplier[o] < 0) return fail_at(c, DEFT_E_RANGE, "channel %d: multiplier", o);
    }
    const int32_t most = m->format == DEFT_NUM_S4 ? 7 : wide ? INT16_MAX : 127;
    for (int64_t i = 0; m->weight && i < s.weights; i++) {
        if (m->weight[i] > most || m->weight[i] < -most - 1) {
            return fail_at(c, DEFT_E_RANGE, "weight %lld is %d", (long long)i, m->weight[i]);
        }
    }
    return DEFT_OK;
}

static deft_status check_output(const checker *c, const deft_qlayer *l)
{
    const bool wide = l->out_format == DEFT_NUM_S16;
    const int32_t least = wide ? INT16_MIN : 0, most = wide ? INT16_MAX : 255;
    if (!is_activation(l->in_format) || !is_activation(l->out_format)) {
        return fail_at(c, DEFT_E_RANGE, "inputs or outputs of no number format for them");
    }
    if (l->lo < least || l->hi > most || l->lo > l->hi) {
        return fail_at(c, DEFT_E_RANGE, "its outputs are limited to %d to %d", l->lo, l->hi);
    }
    if (l->zero < INT16_MIN || l->zero > INT16_MAX) {
        return fail_at(c, DEFT_E_RANGE, "a zero point of %d", l->zero);
    }
    if (has_state(l) &&
        (l->lo != least || l->hi != most || (wide && l->zero) || l->zero < 0 || l->zero > most)) {
        return fail_at(c, DEFT_E_RANGE, "a state whose range is not that of its number format");
    }
    return DEFT_OK;
}

static deft_status check_fields(const checker *c, const deft_qlayer *l)
{
    const int32_t gates = gates_of(l);
    const bool norm = l->kind == DEFT_LAYER_LAYERNORM, history = l->kind == DEFT_LAYER_HISTORY;
    if (l->kind < DEFT_LAYER_DENSE || l->kind > DEFT_LAYER_HISTORY || l->n_in < 1 ||
        l->n_in > UINT16_MAX || l->n_out < 1 || l->n_out > UINT16_MAX || l->depth < 0 ||
        l->depth > UINT16_MAX ||
        !deft_image_shape_ok((uint8_t)l->kind, (uint32_t)l->n_in, (uint32_t)l->n_out,
                             (uint32_t)l->depth)) {
        return fail_at(c, DEFT_E_RANGE, "kind %d, %d inputs, %d outputs", (int)l->kind, l->n_in,
                       l->n_out);
    }
    const int32_t rounds = gates > 1 ? 15 : 0;
    if (l->gate_round < 0 || l->gate_round > rounds || l->state_round < 0 ||
        l->state_round > rounds || l->cell_shift < 0 ||
        l->cell_shift > (l->kind == DEFT_LAYER_LSTM ? 8 : 0)) {
        return fail_at(c, DEFT_E_RANGE, "rounding of its gates or state");
    }
    if (norm && (l->epsilon < 0 || l->epsilon > UINT16_MAX || l->epsilon_shift < 0 ||
                 l->epsilon_shift > 24)) {
        return fail_at(c, DEFT_E_RANGE, "epsilon");
    }
    if (gates > 1 && l->out_format != DEFT_NUM_S16) {
        return fail_at(c, DEFT_E_RANGE, "a state of 16 bits is wanted");
    }
    if (history && l->in_format != l->out_format) {
        return fail_at(c, DEFT_E_RANGE, "a history keeps its number format");
    }
    const bool none = l->table == -1;
    if (none ? gates > 1 : history || l->table < 0 || l->table >= c->q->n_table) {
        return fail_at(c, DEFT_E_RANGE, "table %d of %d", l->table, c->q->n_table);
    }
    if (gates > 1 && !c->q->table[l->table].odd) {
        return fail_at(c, DEFT_E_RANGE, "its table is not odd");
    }
    return DEFT_OK;
}

static deft_status check_layer(const deft_qmodel *q, int32_t k, deft_error *err)
{
    const deft_qlayer *l = &q->layer[k];
    const checker c = {q, err, k};
    deft_status s = check_fields(&c, l);
    if (s == DEFT_OK) s = check_output(&c, l);
    if (s == DEFT_OK) s = check_segments(&c, l->in, l->n_segment, l->n_in, l->in_format);
    const int32_t matrices = l->kind == DEFT_LAYER_HISTORY ? 0 : gates_of(l) > 1 ? 2 : 1;
    for (int32_t m = 0; s == DEFT_OK && m < matrices; m++) {
        deft_qproof proof;
        s = check_matrix(&c, l, m);
        if (s == DEFT_OK) s = deft_qmodel_prove(q, k, m, &proof, err);
    }
    return s;
}

static deft_status check_tables(const deft_qmodel *q, deft_error *err)
{
    if (q->n_table < 0 || q->n_table > DEFT_IMAGE_NO_TABLE) {
        return deft_fail(err, DEFT_E_RANGE, "integer policy: %d tables", q->n_table);
    }
    for (int32_t k = 0; k < q->n_table; k++) {
        const deft_qtable *t = &q->table[k];
        if (t->log2_n < 4 || t->log2_n > 10 || !t->entry) {
            return deft_fail(err, DEFT_E_RANGE, "integer policy: table %d: 2^%d entries", k,
                             t->log2_n);
        }
        for (int32_t i = 0; t->odd && i <= 1 << t->log2_n; i++) {
            if (t->entry[i] == INT16_MIN) {
                return deft_fail(err, DEFT_E_RANGE,
                                 "integer policy: table %d: entry %d has no "
                                 "negative of 16 bits",
                                 k, i);
            }
        }
    }
    return DEFT_OK;
}

deft_status deft_qmodel_check(const deft_qmodel *q, deft_error *err)
{
    if (!q || !q->model || !q->layer || !q->out || !q->out_scale || q->n_layer < 1) {
        return deft_fail(err, DEFT_E_ARG, "integer policy: without a layer, output or scale");
    }
    if (q->n_layer > DEFT_IMAGE_MAX_QLAYERS) {
        return deft_fail(err, DEFT_E_UNSUPPORTED, "integer policy: %d layers, at most %d",
                         q->n_layer, DEFT_IMAGE_MAX_QLAYERS);
    }
    if (q->out_zero < INT16_MIN || q->out_zero > INT16_MAX || q->n_out_segment < 1) {
        return deft_fail(err, DEFT_E_RANGE, "integer policy: outputs");
    }
    deft_status s = check_tables(q, err);
    for (int32_t k = 0; s == DEFT_OK && k < q->n_layer; k++) s = check_layer(q, k, err);
    if (s != DEFT_OK) return s;
    const checker c = {q, err, q->n_layer};
    deft_number format = DEFT_NUM_NONE;
    (void)source_of(&c, &q->out[0], &format);
    return check_segments(&c, q->out, q->n_out_segment, q->model->n_output, format);
}

typedef struct bound {
    int64_t up, down; // sums of the positive and of the negative parts
} bound;

static void add_term(bound *b, int64_t x, int64_t y)
{
    const int64_t hi = x > y ? x : y, lo = x > y ? y : x;
    if (hi > 0) b->up += hi;
    if (lo < 0) b->down -= lo;
}

/* Terms of channel o of a matrix, from its inputs' ranges. */
static void add_row(const deft_qmodel *q, const deft_qlayer *l, int32_t matrix, int32_t o, bound *b)
{
    const deft_qmatrix *m = matrix ? &l->u : &l->w;
    const int32_t columns = matrix ? l->n_out : l->n_in;
    const int16_t *w = m->weight + (size_t)o * (size_t)columns;
    int32_t column = 0;
    for (int32_t k = 0; k < (matrix ? 1 : l->n_segment); k++) {
        const deft_segment state = {DEFT_SRC_STATE, 0, 0, l->n_out};
        const deft_segment *g = matrix ? &state : &l->in[k];
        int64_t lo = INT16_MIN, hi = INT16_MAX;
        if (g->kind == DEFT_SRC_LAYER) {
            lo = q->layer[g->index].lo;
            hi = q->layer[g->index].hi;
        }
        for (int32_t i = 0; i < g->length; i++, column++) {
            if (g->kind == DEFT_SRC_OBS) {
                lo = q->obs_lo ? q->obs_lo[g->offset + i] : INT16_MIN;
                hi = q->obs_hi ? q->obs_hi[g->offset + i] : INT16_MAX;
            }
            add_term(b, w[column] * lo, w[column] * hi);
        }
    }
}

/* Terms of output o of a layer without a matrix. */
static void add_element(const deft_qlayer *l, int32_t o, bound *b)
{
    int64_t lo = l->in_format == DEFT_NUM_S16 ? INT16_MIN : 0;
    int64_t hi = l->in_format == DEFT_NUM_S16 ? INT16_MAX : 255;
    if (l->kind == DEFT_LAYER_LAYERNORM) {
        hi = 1 << 23;
        lo = -hi;
    }
    for (int32_t i = o; i < l->n_in; i += l->n_out) {
        const int64_t w = l->w.weight ? l->w.weight[i] : l->kind != DEFT_LAYER_MUL;
        add_term(b, w * lo, w * hi);
    }
    if (l->kind == DEFT_LAYER_MUL) {
        const int64_t most = -lo > hi ? -lo : hi;
        add_term(b, lo * most, most * most);
    }
}

static int32_t bits_of(int64_t v)
{
    int32_t bits = 1;
    while (v >> (bits - 1)) bits++;
    return bits;
}

deft_status deft_qmodel_prove(const deft_qmodel *q, int32_t layer, int32_t matrix, deft_qproof *out,
                              deft_error *err)
{
    const deft_qlayer *l = &q->layer[layer];
    const deft_qmatrix *m = matrix ? &l->u : &l->w;
    const checker c = {q, err, layer};
    const int32_t rows = shape_of(l, matrix).rows;
    *out = (deft_qproof){0, 0, 1, true};
    for (int32_t o = 0; o < rows; o++) {
        bound b = {0, 0};
        if (m->bias) add_term(&b, m->bias[o], m->bias[o]);
        if (gates_of(l)) {
            add_row(q, l, matrix, o, &b);
        } else {
            add_element(l, o, &b);
        }
        const int64_t worst = b.up > b.down ? b.up : b.down;
        if (worst > out->worst) {
            out->worst = worst;
            out->channel = o;
        }
        const int64_t narrow =
            m->preshift ? (worst + ((int64_t)1 << (m->preshift - 1))) >> m->preshift : worst;
        if (narrow >= (int64_t)1 << (30 - m->shift)) {
            return fail_at(
                &c, DEFT_E_RANGE,
                "channel %d of matrix %d: an accumulator of up to %lld, shifted left by %d "
                "and right by %d, is not below 2^30",
                o, matrix, (long long)worst, m->shift, m->preshift);
        }
    }
    out->bits = bits_of(out->worst);
    out->fits_20 = out->worst < 1 << 19;
    return DEFT_OK;
}
