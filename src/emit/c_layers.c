/* c_layers.c - layers of an integer policy as C: constants, and one function each. */
#include "emit/c_write.h"

#include <math.h>
#include <string.h>

enum { WIDTH = 96 };

void c_place(const c_writer *w, const void *at, bool bytes, FILE *f)
{
    const size_t offset = (size_t)((const uint8_t *)at - w->step.arena);
    (void)fprintf(f, "at%s(s, %zu)", bytes ? "8" : "16", offset);
}

/* Numbers separated by commas, wrapped. */
static void put_number(FILE *f, int32_t v, size_t *column)
{
    char text[24];
    // INT32_MIN has no literal of its own
    const int n = v == INT32_MIN ? snprintf(text, sizeof text, "-2147483647 - 1,")
                                 : snprintf(text, sizeof text, "%d,", (int)v);
    if (*column + (size_t)n > WIDTH) {
        (void)fputs("\n    ", f);
        *column = 4;
    }
    (void)fputs(text, f);
    *column += (size_t)n;
}

static void open_array(FILE *f, const char *type, const char *name, size_t n)
{
    (void)fprintf(f, "static const DEFT_FLASH %s %s[%zu] = {\n    ", type, name, n);
}

static void close_array(FILE *f)
{
    (void)fputs("\n};\n", f);
}

void c_array_i32(c_writer *w, const char *name, const int32_t *v, size_t n)
{
    size_t column = 4;
    open_array(w->f, "int32_t", name, n);
    for (size_t i = 0; i < n; i++) put_number(w->f, v[i], &column);
    close_array(w->f);
    w->constants += sizeof *v * n;
}

/* Nine digits name every float32. */
void c_number_f32(c_writer *w, float v)
{
    char text[32];
    if (isinf(v)) {
        w->infinite = true;
        (void)fprintf(w->f, "%sINFINITY", v < 0 ? "-" : "");
        return;
    }
    (void)snprintf(text, sizeof text, "%.9g", (double)v);
    (void)fprintf(w->f, "%s%sf", text, strpbrk(text, ".e") ? "" : ".0");
}

void c_array_f32(c_writer *w, const char *name, const float *v, size_t n)
{
    open_array(w->f, "float", name, n);
    for (size_t i = 0; i < n; i++) {
        c_number_f32(w, v[i]);
        (void)fputs(i + 1 == n ? "," : i % 6 == 5 ? ",\n    " : ", ", w->f);
    }
    close_array(w->f);
    w->constants += sizeof *v * n;
}

void c_array_s16(c_writer *w, const char *name, const int16_t *v, size_t n)
{
    size_t column = 4;
    open_array(w->f, "int16_t", name, n);
    for (size_t i = 0; i < n; i++) put_number(w->f, v[i], &column);
    close_array(w->f);
    w->constants += sizeof *v * n;
}

void c_write_tables(c_writer *w)
{
    if (!w->policy.tables) return;
    const uint8_t *const tables = w->step.image + w->policy.tables;
    const uint32_t n = deft_image_u32(tables);
    for (uint32_t k = 0; k < n; k++) {
        char name[32];
        deft_table_q t;
        deft_image_table_at(tables, k, &t);
        (void)snprintf(name, sizeof name, "table_%u", (unsigned)k);
        c_array_s16(w, name, t.entry, ((size_t)1 << t.log2_n) + 1);
    }
}

/* Weights in rows, whatever the image's layout. */
static void put_weights(c_writer *w, const char *name, const deft_matrix_q *m, uint32_t n_out)
{
    FILE *const f = w->f;
    size_t column = 4;
    const uint32_t n = m->n_in, pairs = (n + 1) / 2;
    const bool packed = m->format == DEFT_NUM_S4;
    open_array(f,
               packed                     ? "uint8_t"
               : m->format == DEFT_NUM_S8 ? "int8_t"
                                          : "int16_t",
               name, (size_t)n_out * (packed ? pairs : n));
    for (uint32_t o = 0; o < n_out; o++) {
        for (uint32_t i = 0; i < (packed ? pairs : n); i++) {
            if (!packed) {
                put_number(f, deft_matrix_weight(m, o, i), &column);
                continue;
            }
            const int32_t low = deft_matrix_weight(m, o, 2 * i) + 8;
            const int32_t high = 2 * i + 1 < n ? deft_matrix_weight(m, o, 2 * i + 1) + 8 : 0;
            put_number(f, low | high << 4, &column);
        }
    }
    close_array(f);
    w->constants += (size_t)n_out * (packed ? pairs : n) * (m->format == DEFT_NUM_S16 ? 2 : 1);
}

/* static const deft_matrix_q matrix_K_J, and its arrays. */
static void put_matrix(c_writer *w, uint32_t k, uint32_t j, const deft_image_qlayer *l)
{
    const deft_matrix_q *const m = &l->matrix[j];
    char weight[40] = "NULL", bias[40] = "NULL", multiplier[40];
    const unsigned a = (unsigned)k, b = (unsigned)j;
    if (m->weight) {
        (void)snprintf(weight, sizeof weight, "weight_%u_%u", a, b);
        // layers without a matrix have all their weights in one row
        put_weights(w, weight, m, deft_image_gates(l->kind) ? m->n_out : 1);
    }
    if (m->bias) {
        (void)snprintf(bias, sizeof bias, "bias_%u_%u", a, b);
        c_array_i32(w, bias, m->bias, m->n_out);
    }
    (void)snprintf(multiplier, sizeof multiplier, "multiplier_%u_%u", a, b);
    c_array_i32(w, multiplier, m->multiplier, m->n_out);
    (void)fprintf(
        w->f, "static const deft_matrix_q matrix_%u_%u = {%s, %s, %s, %u, %u, %u, 0, %u, %u};\n", a,
        b, weight, bias, multiplier, (unsigned)m->n_in, (unsigned)m->n_out, (unsigned)m->format,
        (unsigned)m->shift, (unsigned)m->preshift);
}

static void put_table_name(FILE *f, const deft_image_qlayer *l, const deft_table_q *t)
{
    if (l->table == DEFT_IMAGE_NO_TABLE) {
        (void)fputs("{NULL, 0, 0}", f);
    } else {
        (void)fprintf(f, "{table_%u, %u, %u}", (unsigned)l->table, (unsigned)t->log2_n,
                      (unsigned)t->odd);
    }
}

static const char *kernel_of(uint8_t weights, uint8_t inputs)
{
    const bool wide = inputs == DEFT_NUM_S16;
    switch (weights) {
    case DEFT_NUM_S8:
        return wide ? "deft_dense_s8_s16_ref" : "deft_dense_s8_u8_ref";
    case DEFT_NUM_S4:
        return wide ? "deft_dense_s4_s16_ref" : "deft_dense_s4_u8_ref";
    default:
        return wide ? "deft_dense_s16_s16_ref" : "deft_dense_s16_u8_ref";
    }
}

static void put_dense(const c_writer *w, const char *kernel, uint32_t k, uint32_t j)
{
    (void)fprintf(w->f, "    %s(&matrix_%u_%u, ", kernel, (unsigned)k, (unsigned)j);
}

/* Gates of matrix j from x to y. */
static void put_gates(const c_writer *w, uint32_t k, uint32_t j, const deft_qplan *p, uint32_t x,
                      uint32_t y)
{
    const deft_image_qlayer *const l = &p->layer;
    const uint8_t format = j ? (uint8_t)DEFT_NUM_S16 : l->in_format;
    put_dense(w, kernel_of(l->matrix[j].format, format), k, j);
    c_place(w, w->step.arena + x, format == DEFT_NUM_U8, w->f);
    (void)fprintf(w->f, ", &gate_output, at16(s, %u));\n", (unsigned)y);
    if (!l->gate_round) return;
    (void)fprintf(w->f, "    deft_round_gates(at16(s, %u), %u, %u);\n", (unsigned)y,
                  (unsigned)l->matrix[j].n_out, (unsigned)l->gate_round);
}

static void put_recurrent(const c_writer *w, uint32_t k, const deft_qplan *p)
{
    const deft_image_qlayer *const l = &p->layer;
    const unsigned n = l->n_out, u = p->gates + 2 * deft_image_gates(l->kind) * n;
    put_gates(w, k, 1, p, p->state, u);
    put_gates(w, k, 0, p, p->x, p->gates);
    (void)fprintf(w->f, "    {\n        const deft_%s_q g = {at16(s, %u), at16(s, %u), ",
                  l->kind == DEFT_IMAGE_GRU ? "gru" : "lstm", (unsigned)p->gates, u);
    put_table_name(w->f, l, &p->out.table);
    (void)fprintf(w->f, ", %u, %u", n, (unsigned)l->state_round);
    if (l->kind == DEFT_IMAGE_LSTM) {
        (void)fprintf(w->f,
                      ", %u};\n        deft_lstm_q_ref(&g, at16(s, %u), at16(s, %u));\n    }\n",
                      (unsigned)l->cell_shift, (unsigned)p->state + 2 * n, (unsigned)p->y);
    } else if (l->flags & DEFT_FLAG_RESET_BEFORE) {
        const unsigned third = u + 4 * n; // U of the third gate
        (void)fprintf(w->f, "};\n        deft_gru_reset_q_ref(&g, at16(s, %u), at16(s, %u));\n",
                      (unsigned)p->state, u);
        put_gates(w, k, 2, p, u, third);
        (void)fprintf(w->f, "        deft_gru_before_q_ref(&g, at16(s, %u), at16(s, %u));\n    }\n",
                      (unsigned)p->state, (unsigned)p->y);
    } else {
        (void)fprintf(w->f, "};\n        deft_gru_q_ref(&g, at16(s, %u), at16(s, %u));\n    }\n",
                      (unsigned)p->state, (unsigned)p->y);
    }
}

static void put_history(const c_writer *w, const deft_qplan *p)
{
    const deft_image_qlayer *const l = &p->layer;
    const unsigned size = deft_number_bytes(l->in_format), n = size * l->n_in;
    const unsigned kept = size * l->n_out - n, x = p->x, y = p->y;
    if (l->flags & DEFT_FLAG_FILL_FIRST) {
        (void)fputs("    if (!s->started) {\n", w->f);
        for (unsigned d = 0; d < l->depth; d++) {
            (void)fprintf(w->f, "        memcpy(at8(s, %u), at8(s, %u), %u);\n", y + d * n, x, n);
        }
        (void)fputs("        return;\n    }\n", w->f);
    }
    if (l->flags & DEFT_FLAG_NEWEST_FIRST) {
        (void)fprintf(w->f, "    memmove(at8(s, %u), at8(s, %u), %u);\n", y + n, y, kept);
        (void)fprintf(w->f, "    memcpy(at8(s, %u), at8(s, %u), %u);\n", y, x, n);
    } else {
        (void)fprintf(w->f, "    memmove(at8(s, %u), at8(s, %u), %u);\n", y, y + n, kept);
        (void)fprintf(w->f, "    memcpy(at8(s, %u), at8(s, %u), %u);\n", y + kept, x, n);
    }
}

static void put_pointwise(const c_writer *w, uint32_t k, const deft_qplan *p)
{
    const deft_image_qlayer *const l = &p->layer;
    const uint64_t epsilon =
        l->kind == DEFT_IMAGE_LAYERNORM ? (uint64_t)l->depth << l->cell_shift : 0;
    (void)fprintf(
        w->f, "    static const deft_pointwise_q p = {&matrix_%u_0, %u, %u, %u, UINT64_C(%llu)};\n",
        (unsigned)k, (unsigned)l->kind, (unsigned)l->in_format, (unsigned)l->n_out,
        (unsigned long long)epsilon);
    (void)fputs("    deft_pointwise_q_ref(&p, ", w->f);
}

/* Behind the opening of a call: x, the output's description and y. */
static void put_call(const c_writer *w, uint32_t k, const deft_qplan *p)
{
    const deft_image_qlayer *const l = &p->layer;
    c_place(w, w->step.arena + p->x, l->in_format == DEFT_NUM_U8, w->f);
    (void)fprintf(w->f, ", &output_%u, ", (unsigned)k);
    c_place(w, w->step.arena + p->y, l->out_format == DEFT_NUM_U8, w->f);
    (void)fputs(");\n", w->f);
}

static void put_gather(const c_writer *w, const deft_qplan *p)
{
    const deft_image_qlayer *const l = &p->layer;
    uint32_t at = p->x;
    for (uint32_t i = 0; l->n_segment > 1 && i < l->n_segment; i++) {
        const deft_image_segment g = deft_image_segment_at(l->segment, i);
        const unsigned n = (unsigned)deft_number_bytes(l->in_format) * g.length;
        (void)fprintf(w->f, "    memcpy(at8(s, %u), ", (unsigned)at);
        c_place(w, deft_qstep_source(&w->step, g), true, w->f);
        (void)fprintf(w->f, ", %u);\n", n);
        at += n;
    }
}

static void put_output(const c_writer *w, uint32_t k, const deft_qplan *p)
{
    (void)fprintf(w->f, "static const deft_output_q output_%u = {", (unsigned)k);
    put_table_name(w->f, &p->layer, &p->out.table);
    (void)fprintf(w->f, ", %d, %d, %d, %u};\n", (int)p->out.zero, (int)p->out.lo, (int)p->out.hi,
                  (unsigned)p->out.format);
}

const char *c_layer_kind(uint8_t kind)
{
    static const char *const what[] = {"",           "dense",  "GRU", "LSTM",    "layer norm",
                                       "activation", "affine", "sum", "product", "history"};
    return what[kind];
}

void c_write_layer(c_writer *w, uint32_t k)
{
    deft_qplan p;
    deft_qstep_plan(&w->step, k, &p);
    const deft_image_qlayer *const l = &p.layer;
    const uint32_t gates = deft_image_gates(l->kind);
    (void)fprintf(w->f, "\n/* Layer %u: %s, %u inputs, %u outputs. */\n", (unsigned)k,
                  c_layer_kind(l->kind), (unsigned)l->n_in, (unsigned)l->n_out);
    for (uint32_t j = 0; l->kind != DEFT_IMAGE_HISTORY && j < l->n_matrix; j++) {
        put_matrix(w, k, j, l);
    }
    if (gates < 2 && l->kind != DEFT_IMAGE_HISTORY) put_output(w, k, &p);
    (void)fprintf(w->f, "static void layer_%u(%s_state *s)\n{\n", (unsigned)k, w->name);
    put_gather(w, &p);
    if (gates > 1) {
        put_recurrent(w, k, &p);
    } else if (l->kind == DEFT_IMAGE_HISTORY) {
        put_history(w, &p);
    } else {
        if (gates) {
            put_dense(w, kernel_of(l->matrix[0].format, l->in_format), k, 0);
        } else {
            put_pointwise(w, k, &p);
        }
        put_call(w, k, &p);
    }
    (void)fputs("}\n", w->f);
}
