/* c_layers_f32.c - layers of a float policy as C: constants, and one function each. The arithmetic
 * is that of src/runtime/layer_f32.c, step by step. */
#include "emit/c_write.h"
#include "emit/image_emit.h"

#include <string.h>

static bool keeps_state(uint8_t kind)
{
    return kind == DEFT_IMAGE_GRU || kind == DEFT_IMAGE_LSTM || kind == DEFT_IMAGE_HISTORY;
}

static uint8_t kind_of(const c_writer *w, uint32_t k)
{
    return deft_image_payload(w->image.data, w->image.directory, k)[0];
}

deft_status c_plan_floats(c_writer *w, deft_error *err)
{
    c_floats *const p = &w->floats;
    const uint32_t n_act = w->image.n_act;
    uint64_t state = 0, at = n_act, scratch = 0;
    p->layer = DEFT_NEW_ARRAY(w->arena, uint32_t, w->image.n_layer);
    if (!p->layer) return deft_fail(err, DEFT_E_SPACE, "out of memory");
    for (uint32_t k = 0; k < w->image.n_layer; k++) {
        deft_image_layer l;
        deft_image_layer_at(w->image.data, w->image.directory, k, &l);
        const uint64_t needs = (uint64_t)deft_layer_scratch(&l) + (l.n_segment > 1 ? l.n_in : 0u);
        if (needs > scratch) scratch = needs;
        if (keeps_state(l.kind)) p->layer[k] = (uint32_t)state;
        state += deft_layer_state(&l);
    }
    p->n_state = (uint32_t)state;
    p->old_state = (uint32_t)at;
    p->new_state = (uint32_t)(at + state);
    at += 2 * state;
    uint32_t *const fixed[] = {&p->obs, &p->prev, &p->act, &p->out};
    const uint32_t size[] = {w->image.n_obs, n_act, n_act,
                             w->image.n_out_segment > 1 ? w->image.n_output : 0u};
    for (int i = 0; i < 4; i++) {
        *fixed[i] = (uint32_t)at;
        at += size[i];
    }
    for (uint32_t k = 0; k < w->image.n_layer; k++) {
        const uint8_t *const l = deft_image_payload(w->image.data, w->image.directory, k);
        if (keeps_state(l[0])) continue;
        p->layer[k] = (uint32_t)at;
        at += deft_image_u16(l + 10);
    }
    p->scratch = (uint32_t)at;
    at += scratch;
    // the runtime has opened it, and lays out as much
    if (at > INT32_MAX / 4) return deft_fail(err, DEFT_E_SPACE, "too much memory");
    w->memory = (uint32_t)at;
    return DEFT_OK;
}

uint32_t c_source_f32(const c_writer *w, deft_image_segment g)
{
    const c_floats *const p = &w->floats;
    if (g.kind == DEFT_IMAGE_OBS) return p->obs + g.offset;
    if (g.kind == DEFT_IMAGE_PREV) return p->prev + g.offset;
    const uint32_t at = p->layer[g.index] + g.offset;
    if (g.kind == DEFT_IMAGE_STATE) return p->old_state + at;
    return keeps_state(kind_of(w, g.index)) ? p->new_state + at : at;
}

void c_gather_f32(const c_writer *w, const uint8_t *segments, uint32_t n, uint32_t into)
{
    for (uint32_t i = 0; n > 1 && i < n; i++) {
        const deft_image_segment g = deft_image_segment_at(segments, i);
        (void)fprintf(w->f, "    memcpy(at(s, %u), at(s, %u), %u);\n", (unsigned)into,
                      (unsigned)c_source_f32(w, g), 4u * g.length);
        into += g.length;
    }
}

/* Matrix j of layer k in rows, whatever the image's layout: static const deft_matrix_f32. */
static void put_matrix(c_writer *w, uint32_t k, uint32_t j, const deft_matrix_f32 *m, bool panels)
{
    const unsigned a = (unsigned)k, b = (unsigned)j;
    const size_t n = (size_t)m->n_out * m->n_in;
    char weight[40] = "NULL", bias[40] = "NULL";
    const float *rows = m->weight;
    if (panels) {
        float *const unpacked = deft_arena_alloc(w->arena, n * sizeof *unpacked);
        if (unpacked) image_matrix_from_panels(m->weight, unpacked, m->n_out, m->n_in);
        w->no_memory |= !unpacked;
        rows = unpacked;
    }
    if (rows) {
        (void)snprintf(weight, sizeof weight, "weight_%u_%u", a, b);
        c_array_f32(w, weight, rows, n);
    }
    if (m->bias) {
        (void)snprintf(bias, sizeof bias, "bias_%u_%u", a, b);
        c_array_f32(w, bias, m->bias, m->n_out);
    }
    (void)fprintf(w->f, "static const deft_matrix_f32 matrix_%u_%u = {%s, %s, %u, %u};\n", a, b,
                  weight, bias, (unsigned)m->n_in, (unsigned)m->n_out);
}

static void put_matrices(c_writer *w, uint32_t k, const deft_image_layer *l)
{
    const uint32_t gates = deft_image_gates(l->kind), n = l->n_out;
    const bool panels = l->layout == DEFT_LAYOUT_PANELS128,
               before = l->flags & DEFT_FLAG_RESET_BEFORE;
    deft_matrix_f32 m = {l->weight, l->bias, gates ? l->n_in : 1, gates ? gates * n : n};
    if (l->kind != DEFT_IMAGE_AFFINE && l->kind != DEFT_IMAGE_LAYERNORM && !gates) return;
    put_matrix(w, k, 0, &m, panels);
    if (gates < 2) return;
    m = (deft_matrix_f32){l->weight_h, l->bias_h, n, before ? 2 * n : gates * n};
    put_matrix(w, k, 1, &m, panels);
    if (!before) return;
    m = (deft_matrix_f32){l->weight_h + 2 * (size_t)n * n,
                          l->bias_h ? l->bias_h + 2 * (size_t)n : NULL, n, n};
    put_matrix(w, k, 2, &m, panels);
}

static void put_dense(const c_writer *w, uint32_t k, uint32_t j, uint32_t x, uint32_t y)
{
    (void)fprintf(w->f, "    deft_dense_rows_f32_ref(&matrix_%u_%u, at(s, %u), at(s, %u));\n",
                  (unsigned)k, (unsigned)j, (unsigned)x, (unsigned)y);
}

static void put_each(const c_writer *w, const char *function, uint32_t y, uint32_t n)
{
    (void)fprintf(w->f, "    for (uint32_t i = 0; i < %u; i++) at(s, %u)[i] = %s(at(s, %u)[i]);\n",
                  (unsigned)n, (unsigned)y, function, (unsigned)y);
}

static void put_activation(c_writer *w, const deft_activation *a, uint32_t y, uint32_t n)
{
    static const struct {
        const char *function;
        int n_parameter;
    } by_kind[] = {
        [DEFT_ACT_NONE] = {NULL, 0},
        [DEFT_ACT_RELU] = {"relu_f32", 0},
        [DEFT_ACT_LEAKY_RELU] = {"leaky_relu_f32", 1},
        [DEFT_ACT_ELU] = {"elu_f32", 1},
        [DEFT_ACT_SELU] = {"selu_f32", 2},
        [DEFT_ACT_SILU] = {"silu_f32", 0},
        [DEFT_ACT_GELU] = {"gelu_f32", 0},
        [DEFT_ACT_GELU_TANH] = {"gelu_tanh_f32", 0},
        [DEFT_ACT_TANH] = {"deft_tanh_f32", 0},
        [DEFT_ACT_SIGMOID] = {"deft_sigmoid_f32", 0},
        [DEFT_ACT_SOFTSIGN] = {"softsign_f32", 0},
        [DEFT_ACT_SOFTPLUS] = {"deft_softplus_f32", 0},
        [DEFT_ACT_CLIP] = {"clip_f32", 2},
    };
    const char *const function = by_kind[a->kind].function;
    const int n_parameter = by_kind[a->kind].n_parameter;
    if (!function) return;
    if (n_parameter == 0) {
        put_each(w, function, y, n);
        return;
    }
    (void)fprintf(w->f,
                  "    for (uint32_t i = 0; i < %u; i++) {\n"
                  "        at(s, %u)[i] = %s(at(s, %u)[i], ",
                  (unsigned)n, (unsigned)y, function, (unsigned)y);
    c_number_f32(w, a->alpha);
    if (n_parameter > 1) {
        (void)fputs(", ", w->f);
        c_number_f32(w, a->beta);
    }
    (void)fputs(");\n    }\n", w->f);
}

/* h and h_new: where the old and the new state are. */
static void put_gru(const c_writer *w, uint32_t k, uint32_t n, uint32_t h, uint32_t h_new)
{
    const uint32_t gx = w->floats.scratch, gh = gx + 3 * n;
    put_dense(w, k, 1, h, gh);
    (void)fprintf(w->f,
                  "    {\n        const deft_gru_f32 g = {at(s, %u), at(s, %u), %u};\n"
                  "        deft_gru_f32_ref(&g, at(s, %u), at(s, %u));\n    }\n",
                  (unsigned)gx, (unsigned)gh, (unsigned)n, (unsigned)h, (unsigned)h_new);
}

/* "deft_NAME(at(s, a), at(s, b), at(s, c), n)"; c 0: none, which no place of a layer is. */
static void put_vectors(const c_writer *w, const char *name, const uint32_t at[3], uint32_t n)
{
    (void)fprintf(w->f, "    deft_%s(at(s, %u), at(s, %u), ", name, (unsigned)at[0],
                  (unsigned)at[1]);
    if (at[2]) (void)fprintf(w->f, "at(s, %u), ", (unsigned)at[2]);
    (void)fprintf(w->f, "%u);\n", (unsigned)n);
}

static void put_gru_before(const c_writer *w, uint32_t k, uint32_t n, uint32_t h, uint32_t h_new)
{
    const uint32_t gx = w->floats.scratch, gh = gx + 3 * n, c = gx + 2 * n, hn = gh + 2 * n;
    put_dense(w, k, 1, h, gh);
    put_vectors(w, "add_to_f32", (const uint32_t[3]){gx, gh, 0}, 2 * n);
    put_each(w, "deft_sigmoid_f32", gx, 2 * n);
    put_vectors(w, "product_f32", (const uint32_t[3]){gx, h, gh}, n);
    put_dense(w, k, 2, gh, hn);
    put_vectors(w, "add_to_f32", (const uint32_t[3]){c, hn, 0}, n);
    put_each(w, "deft_tanh_f32", c, n);
    (void)fprintf(w->f, "    deft_blend_f32(at(s, %u), at(s, %u), at(s, %u), at(s, %u), %u);\n",
                  (unsigned)c, (unsigned)(gx + n), (unsigned)h, (unsigned)h_new, (unsigned)n);
}

static void put_lstm(const c_writer *w, uint32_t k, uint32_t n, uint32_t h, uint32_t h_new)
{
    const uint32_t gx = w->floats.scratch, gh = gx + 4 * n;
    put_dense(w, k, 1, h, gh);
    put_vectors(w, "add_to_f32", (const uint32_t[3]){gx, gh, 0}, 4 * n);
    put_each(w, "deft_sigmoid_f32", gx, 2 * n);
    put_each(w, "deft_tanh_f32", gx + 2 * n, n);
    put_each(w, "deft_sigmoid_f32", gx + 3 * n, n);
    put_vectors(w, "cell_f32", (const uint32_t[3]){gx, h + n, h_new + n}, n);
    (void)fprintf(w->f, "    memcpy(at(s, %u), at(s, %u), %u);\n", (unsigned)h_new,
                  (unsigned)(h_new + n), 4 * (unsigned)n);
    put_each(w, "deft_tanh_f32", h_new, n);
    put_vectors(w, "product_f32", (const uint32_t[3]){gx + 3 * n, h_new, h_new}, n);
}

static void put_copy(const c_writer *w, const char *indent, uint32_t to, uint32_t from, uint32_t n)
{
    if (n == 0) return;
    (void)fprintf(w->f, "%smemcpy(at(s, %u), at(s, %u), %u);\n", indent, (unsigned)to,
                  (unsigned)from, 4 * (unsigned)n);
}

static void put_history(const c_writer *w, const deft_image_layer *l, uint32_t x, uint32_t old,
                        uint32_t y)
{
    const uint32_t n = l->n_in, kept = l->n_out - n;
    if (l->flags & DEFT_FLAG_FILL_FIRST) {
        (void)fputs("    if (!s->started) {\n", w->f);
        for (uint32_t d = 0; d < l->depth; d++) put_copy(w, "        ", y + d * n, x, n);
        (void)fputs("        return;\n    }\n", w->f);
    }
    if (l->flags & DEFT_FLAG_NEWEST_FIRST) {
        put_copy(w, "    ", y, x, n);
        put_copy(w, "    ", y + n, old, kept);
    } else {
        put_copy(w, "    ", y, old + n, kept);
        put_copy(w, "    ", y + kept, x, n);
    }
}

static void put_stateful(c_writer *w, uint32_t k, const deft_image_layer *l, uint32_t x)
{
    const uint32_t n = l->n_out, at = w->floats.layer[k];
    const uint32_t h = w->floats.old_state + at, h_new = w->floats.new_state + at;
    if (l->kind == DEFT_IMAGE_HISTORY) {
        put_history(w, l, x, h, h_new);
        return;
    }
    put_dense(w, k, 0, x, w->floats.scratch);
    if (l->kind == DEFT_IMAGE_LSTM) {
        put_lstm(w, k, n, h, h_new);
    } else if (l->flags & DEFT_FLAG_RESET_BEFORE) {
        put_gru_before(w, k, n, h, h_new);
    } else {
        put_gru(w, k, n, h, h_new);
    }
}

static void put_stateless(c_writer *w, uint32_t k, const deft_image_layer *l, uint32_t x)
{
    const uint32_t n = l->n_out, y = w->floats.layer[k];
    switch (l->kind) {
    case DEFT_IMAGE_DENSE:
        put_dense(w, k, 0, x, y);
        break;
    case DEFT_IMAGE_LAYERNORM:
        (void)fprintf(w->f, "    deft_layernorm_f32(&matrix_%u_0, ", (unsigned)k);
        c_number_f32(w, l->epsilon);
        (void)fprintf(w->f, ", at(s, %u), at(s, %u));\n", (unsigned)x, (unsigned)y);
        break;
    case DEFT_IMAGE_AFFINE:
        (void)fprintf(w->f, "    deft_affine_f32(&matrix_%u_0, at(s, %u), at(s, %u));\n",
                      (unsigned)k, (unsigned)x, (unsigned)y);
        break;
    case DEFT_IMAGE_ADD:
        put_vectors(w, "sum_f32", (const uint32_t[3]){x, x + n, y}, n);
        break;
    case DEFT_IMAGE_MUL:
        put_vectors(w, "product_f32", (const uint32_t[3]){x, x + n, y}, n);
        break;
    default: // DEFT_IMAGE_ACTIVATION
        put_copy(w, "    ", y, x, n);
        break;
    }
    put_activation(w, &l->activation, y, n);
}

void c_write_layer_f32(c_writer *w, uint32_t k)
{
    deft_image_layer l;
    deft_image_layer_at(w->image.data, w->image.directory, k, &l);
    (void)fprintf(w->f, "\n/* Layer %u: %s, %u inputs, %u outputs. */\n", (unsigned)k,
                  c_layer_kind(l.kind), (unsigned)l.n_in, (unsigned)l.n_out);
    put_matrices(w, k, &l);
    (void)fprintf(w->f, "static void layer_%u(%s_state *s)\n{\n", (unsigned)k, w->name);
    // gathered inputs lie behind what the layer itself needs
    uint32_t x = w->floats.scratch + deft_layer_scratch(&l);
    c_gather_f32(w, l.segment, l.n_segment, x);
    if (l.n_segment == 1) x = c_source_f32(w, deft_image_segment_at(l.segment, 0));
    if (keeps_state(l.kind)) {
        put_stateful(w, k, &l, x);
    } else {
        put_stateless(w, k, &l, x);
    }
    (void)fputs("}\n", w->f);
}
