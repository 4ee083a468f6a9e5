/* plan.c - schemes; which source has which number format, which matrix how many bits. */
#include "quant/quant_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const quant_scheme schemes[] = {
    {"int8", "weights 8 bits, ReLU outputs on all 256 levels, inputs and state 16 bits", 8, 8,
     false},
    {"w8a16", "weights 8 bits, activations 16", 8, 16, false},
    {"w4a8", "weights 4 bits (8 in the first and last layers), activations as in int8", 4, 8,
     false},
    {"w4a16", "weights 4 bits (8 in the first and last layers), activations 16", 4, 16, false},
    {"int16", "weights and activations 16 bits, accumulators 64", 16, 16, false},
    {"pow2", "ESP-DL's: 8 bits, one power-of-two scale per tensor (for comparison)", 8, 8, true},
};

const quant_scheme *quant_scheme_find(const char *name)
{
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
        if (strcmp(schemes[i].name, name) == 0) return &schemes[i];
    return NULL;
}

const char *deft_quant_scheme_name(int32_t index)
{
    const int32_t n = (int32_t)(sizeof schemes / sizeof schemes[0]);
    return index >= 0 && index < n ? schemes[index].name : NULL;
}

const char *deft_quant_scheme_text(int32_t index)
{
    return deft_quant_scheme_name(index) ? schemes[index].text : NULL;
}

static const char *const calibrators[] = {"mse", "minmax", "percentile", "mse", "entropy"};

const char *deft_calibrator_name(deft_calibrator c)
{
    return c >= DEFT_CALIBRATOR_DEFAULT && c <= DEFT_CALIBRATOR_ENTROPY ? calibrators[c] : "?";
}

bool deft_calibrator_parse(const char *name, deft_calibrator *out)
{
    for (int c = DEFT_CALIBRATOR_MINMAX; name && c <= DEFT_CALIBRATOR_ENTROPY; c++) {
        if (strcmp(name, calibrators[c]) != 0) continue;
        *out = (deft_calibrator)c;
        return true;
    }
    return false;
}

/* --- small things all files use -------------------------------------------------------------- */

bool quant_is_matrix(deft_layer_kind k)
{
    return k == DEFT_LAYER_DENSE || k == DEFT_LAYER_GRU || k == DEFT_LAYER_LSTM;
}

bool quant_has_h(deft_layer_kind k)
{
    return k == DEFT_LAYER_GRU || k == DEFT_LAYER_LSTM;
}

int32_t quant_gates(deft_layer_kind k)
{
    return k == DEFT_LAYER_GRU ? 3 : k == DEFT_LAYER_LSTM ? 4 : 1;
}

bool quant_needs_table(deft_activation_kind k)
{
    return k != DEFT_ACT_NONE && k != DEFT_ACT_RELU && k != DEFT_ACT_CLIP;
}

deft_status quant_no_memory(const quant_job *j)
{
    return deft_fail(j->err, DEFT_E_SPACE, "no memory to quantize the policy");
}

deft_status quant_fail_layer(const quant_job *j, int32_t layer, deft_status s, const char *fmt, ...)
{
    char text[256], name[128];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    const deft_layer *l = &j->m->layer[layer];
    return deft_fail(j->err, s, "layer %d '%s' (%s): %s", layer, deft_layer_kind_name(l->kind),
                     deft_escape(name, sizeof name, l->name ? l->name : "", 1024), text);
}

const quant_source *quant_source_of(const quant_job *j, const deft_segment *s)
{
    return s->kind == DEFT_SRC_OBS    ? &j->obs
           : s->kind == DEFT_SRC_PREV ? &j->prev
                                      : &j->layer[s->index];
}

/* --- formats --------------------------------------------------------------------------------- */

/* Readers of layer k: does any of them reduce it other than by a matrix? */
static bool only_matrices_read(const deft_model *m, int32_t k)
{
    for (int32_t r = k + 1; r < m->n_layer; r++) {
        const deft_layer *l = &m->layer[r];
        for (int32_t i = 0; i < l->n_segment; i++) {
            if (l->in[i].kind != DEFT_SRC_LAYER || l->in[i].index != k) continue;
            if (!quant_is_matrix(l->kind) && l->kind != DEFT_LAYER_HISTORY) return false;
        }
    }
    return true;
}

/* Makes what is read together with 16-bit values 16 bits wide; true if something changed. */
static bool widen(quant_job *j, const deft_segment *s, int32_t n, deft_number *format)
{
    bool wide = *format == DEFT_NUM_S16, changed = false;
    for (int32_t i = 0; i < n; i++) wide |= quant_source_of(j, &s[i])->format == DEFT_NUM_S16;
    if (!wide) return false;
    *format = DEFT_NUM_S16;
    for (int32_t i = 0; i < n; i++) {
        if (s[i].kind != DEFT_SRC_LAYER) continue;
        quant_source *source = &j->layer[s[i].index];
        changed |= source->format != DEFT_NUM_S16;
        source->format = DEFT_NUM_S16;
    }
    return changed;
}

static void formats(quant_job *j)
{
    const deft_model *m = j->m;
    const bool narrow = j->activation_bits <= 8;
    for (int32_t k = 0; k < m->n_layer; k++) {
        const bool u8 = narrow && !quant_has_h(m->layer[k].kind) && only_matrices_read(m, k);
        j->layer[k].format = u8 ? DEFT_NUM_U8 : DEFT_NUM_S16;
    }
    // actions have 16 bits, unless everything shall be narrow
    deft_number out = j->opt.narrow_inputs && narrow ? DEFT_NUM_U8 : DEFT_NUM_S16;
    bool changed = true;
    while (changed) {
        changed = widen(j, m->out, m->n_out_segment, &out);
        for (int32_t k = 0; k < m->n_layer; k++) {
            const deft_layer *l = &m->layer[k];
            deft_number in = DEFT_NUM_U8;
            if (l->kind == DEFT_LAYER_HISTORY) in = j->layer[k].format;
            changed |= widen(j, l->in, l->n_segment, &in);
            if (l->kind != DEFT_LAYER_HISTORY || in == j->layer[k].format) continue;
            j->layer[k].format = in;
            changed = true;
        }
    }
}

/* Levels, zero point and limits of one source; scales come later. */
static void levels(quant_job *j, int32_t k)
{
    const deft_activation f = j->m->layer[k].activation;
    quant_source *s = &j->layer[k];
    const bool above = f.kind == DEFT_ACT_RELU || f.kind == DEFT_ACT_SIGMOID ||
                       f.kind == DEFT_ACT_SOFTPLUS || (f.kind == DEFT_ACT_CLIP && f.alpha >= 0);
    s->n = j->m->layer[k].n_out;
    s->bits = j->activation_bits;
    if (quant_has_h(j->m->layer[k].kind)) {
        s->bits = j->input_bits;
        s->lo = INT16_MIN;
        s->hi = INT16_MAX;
        s->fixed = s->uniform = true;
        return;
    }
    if (s->format == DEFT_NUM_U8) {
        const int32_t half = 1 << (s->bits - 1);
        s->zero = above && !j->opt.symmetric ? 0 : half;
        s->lo = 0;
        s->hi = 2 * half - 1;
    } else {
        // 16-bit containers are wide enough unless few bits are asked for
        const int32_t bits = j->activation_bits <= 8 && !j->opt.narrow_inputs ? 16 : s->bits;
        s->bits = bits;
        s->hi = above && !j->opt.symmetric && bits < 16 ? (1 << bits) - 1 : (1 << (bits - 1)) - 1;
        s->lo = -(1 << (bits - 1));
    }
    if (f.kind == DEFT_ACT_RELU) s->lo = s->zero;
}

/* --- bits of matrices ------------------------------------------------------------------------ */

static bool reads(const deft_segment *s, int32_t n, deft_source_kind kind, int32_t index)
{
    for (int32_t i = 0; i < n; i++)
        if (s[i].kind == kind && (kind != DEFT_SRC_LAYER || s[i].index == index)) return true;
    return false;
}

/* Few-bit schemes keep 8 bits where most is lost: in the last matrices and in the last of those
 * that read observations (an encoder before it only adds to them). */
static void bits(quant_job *j)
{
    const deft_model *m = j->m;
    int32_t first = -1;
    for (int32_t k = 0; k < m->n_layer; k++) {
        const deft_layer *l = &m->layer[k];
        j->bits[k][0] = j->bits[k][1] = j->weight_bits;
        if (quant_is_matrix(l->kind) && reads(l->in, l->n_segment, DEFT_SRC_OBS, 0)) first = k;
    }
    if (j->opt.all_layers || j->opt.weight_bits || j->weight_bits >= 8) return;
    for (int32_t k = 0; k < m->n_layer; k++) {
        if (k != first && !reads(m->out, m->n_out_segment, DEFT_SRC_LAYER, k)) continue;
        j->bits[k][0] = j->bits[k][1] = 8;
    }
}

/* --- all of it ------------------------------------------------------------------------------- */

static void uniform_scales(quant_job *j)
{
    const deft_model *m = j->m;
    for (int32_t k = 0; k < m->n_layer; k++) {
        const deft_layer *l = &m->layer[k];
        if (quant_needs_table(l->activation.kind)) j->layer[k].uniform = true;
        for (int32_t i = 0; i < l->n_segment; i++) {
            const deft_segment *g = &l->in[i];
            quant_source *s = g->kind == DEFT_SRC_OBS    ? &j->obs
                              : g->kind == DEFT_SRC_PREV ? &j->prev
                                                         : &j->layer[g->index];
            if (g->kind == DEFT_SRC_PREV) j->reads_prev = true;
            // means are taken over integers
            if (l->kind == DEFT_LAYER_LAYERNORM) s->uniform = true;
            // the copies have the scales that the source has now
            if (l->kind == DEFT_LAYER_HISTORY) s->fixed = s->copied = true;
        }
        if (l->kind == DEFT_LAYER_HISTORY) j->layer[k].fixed = j->layer[k].copied = true;
    }
    for (int32_t i = 0; i < m->n_out_segment; i++) {
        j->reads_prev |= m->out[i].kind == DEFT_SRC_PREV;
        // there is nothing behind them to gain precision for
        if (m->out[i].kind == DEFT_SRC_LAYER) j->layer[m->out[i].index].fixed = true;
    }
}

deft_status quant_plan(quant_job *j)
{
    const deft_model *m = j->m;
    const int32_t half = 1 << (j->input_bits - 1);
    j->layer = DEFT_NEW_ARRAY(j->tmp, quant_source, m->n_layer);
    j->bits = DEFT_NEW_ARRAY(j->tmp, quant_bits, m->n_layer);
    if (!j->layer || !j->bits) return quant_no_memory(j);
    j->obs = (quant_source){.n = m->contract.n_obs, .lo = -half, .hi = half - 1};
    j->prev = (quant_source){.n = m->contract.n_act, .lo = INT16_MIN, .hi = INT16_MAX};
    j->obs.format = j->prev.format = DEFT_NUM_S16;
    j->obs.bits = j->prev.bits = j->input_bits;
    formats(j);
    for (int32_t k = 0; k < m->n_layer; k++) levels(j, k);
    uniform_scales(j);
    bits(j);
    return DEFT_OK;
}
