/* onnx_write_ports.c - the contract as nodes, and state as inputs and outputs. */
#include "formats/onnx_write.h"

#include <float.h>
#include <math.h>

/* --- contract -------------------------------------------------------------------------------- */

static bool all_equal(const float *v, int32_t n, float to)
{
    for (int32_t i = 0; v && i < n; i++)
        if (v[i] != to) return false;
    return true;
}

static onnx_operand elementwise(onnx_writer *w, onnx_operand x, const char *op, const char *name,
                                const float *v)
{
    onnx_builder *b = &w->b;
    const char *t = onnx_add_vector(b, onnx_value_name(b, name, "value"), x.n, v);
    return (onnx_operand){onnx_add_node(b, op, name, ONNX_IN(x.name, t)), x.n};
}

/* One side of limits that differ from element to element; none is the largest float. */
static onnx_operand limit(onnx_writer *w, onnx_operand x, const char *op, const char *name,
                          const float *v)
{
    float *finite = DEFT_NEW_ARRAY(w->b.a, float, x.n);
    if (!finite) w->b.failed = true;
    if (!finite) return x;
    bool any = false;
    for (int32_t i = 0; i < x.n; i++) {
        finite[i] = v[i] > FLT_MAX ? FLT_MAX : v[i] < -FLT_MAX ? -FLT_MAX : v[i];
        any = any || isfinite(v[i]);
    }
    return any ? elementwise(w, x, op, name, finite) : x;
}

/* lo and hi may be NULL. */
static onnx_operand clip(onnx_writer *w, onnx_operand x, const char *const name[3], const float *lo,
                         const float *hi)
{
    onnx_builder *b = &w->b;
    if ((lo && !all_equal(lo, x.n, lo[0])) || (hi && !all_equal(hi, x.n, hi[0]))) {
        if (lo) x = limit(w, x, "Max", name[0], lo);
        return hi ? limit(w, x, "Min", name[1], hi) : x;
    }
    const bool low = lo && isfinite(lo[0]), high = hi && isfinite(hi[0]);
    if (!low && !high) return x;
    const char *min = low ? onnx_add_scalar(b, onnx_value_name(b, name[2], "min"), lo[0]) : "";
    const char *max = high ? onnx_add_scalar(b, onnx_value_name(b, name[2], "max"), hi[0]) : "";
    return (onnx_operand){onnx_add_node(b, "Clip", name[2], ONNX_IN(x.name, min, max)), x.n};
}

onnx_operand onnx_write_obs_contract(onnx_writer *w, onnx_operand x)
{
    const deft_contract *c = &w->m->contract;
    if (!all_equal(c->obs_offset, x.n, 0))
        x = elementwise(w, x, "Sub", "obs_centred", c->obs_offset);
    if (!all_equal(c->obs_scale, x.n, 1)) x = elementwise(w, x, "Mul", "obs_scaled", c->obs_scale);
    static const char *const name[3] = {"obs_at_least", "obs_at_most", "obs_clipped"};
    return clip(w, x, name, c->obs_lo, c->obs_hi);
}

static onnx_operand argmax(onnx_writer *w, onnx_operand y, const char *name)
{
    onnx_builder *b = &w->b;
    y = (onnx_operand){onnx_add_node(b, "ArgMax", name, ONNX_IN(y.name)), 1};
    onnx_add_int(b, "axis", 1);
    onnx_add_int(b, "keepdims", 1);
    return y;
}

/* Each discrete action chooses from a slice of the outputs. */
static onnx_operand choose(onnx_writer *w, onnx_operand y)
{
    const deft_contract *c = &w->m->contract;
    onnx_builder *b = &w->b;
    if (!c->choices) return argmax(w, y, "best");
    const char **all = DEFT_NEW_ARRAY(b->a, const char *, c->n_act + 1); // ends with NULL
    int64_t at = 0;
    for (int32_t k = 0; all && k < c->n_act; k++) {
        const char *const name = deft_arena_printf(b->a, "best_%d", (int)k);
        const char *const of = deft_arena_printf(b->a, "choices_%d", (int)k);
        if (!name || !of) break;
        const int64_t from[1] = {at}, to[1] = {at += c->choices[k]}, axis[1] = {1};
        const char *const in[] = {y.name,
                                  onnx_add_int64(b, onnx_value_name(b, of, "from"), 1, from),
                                  onnx_add_int64(b, onnx_value_name(b, of, "to"), 1, to),
                                  onnx_add_int64(b, onnx_value_name(b, of, "axis"), 1, axis), NULL};
        const onnx_operand part = {onnx_add_node(b, "Slice", of, in), c->choices[k]};
        all[k] = argmax(w, part, name).name;
    }
    if (!all || !all[c->n_act - 1]) {
        b->failed = true;
        return y;
    }
    y = (onnx_operand){onnx_add_node(b, "Concat", "best", all), c->n_act};
    onnx_add_int(b, "axis", 1);
    return y;
}

onnx_operand onnx_write_act_contract(onnx_writer *w, onnx_operand y)
{
    const deft_contract *c = &w->m->contract;
    onnx_builder *b = &w->b;
    int32_t type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    if (c->discrete) {
        y = choose(w, y);
        type = ONNX__TENSOR_PROTO__DATA_TYPE__INT64;
    } else {
        if (!all_equal(c->act_scale, y.n, 1))
            y = elementwise(w, y, "Mul", "action_scaled", c->act_scale);
        if (!all_equal(c->act_offset, y.n, 0))
            y = elementwise(w, y, "Add", "action_shifted", c->act_offset);
        static const char *const name[3] = {"action_at_least", "action_at_most", "action_clipped"};
        y = clip(w, y, name, c->act_lo, c->act_hi);
    }
    onnx_add_port(b, &b->output, "action", type, (const int64_t[]){1, c->n_act}, 2);
    return y;
}

/* --- state ----------------------------------------------------------------------------------- */

static bool recurrent(const deft_layer *l)
{
    return l->kind == DEFT_LAYER_GRU || l->kind == DEFT_LAYER_LSTM;
}

/* The layers whose state goes into one tensor [layers][1][width]. */
typedef struct group {
    bool cells; // c of LSTM layers, else h of all recurrent ones
    int32_t n, width;
    bool one_width;
} group;

static group count(const deft_model *m, bool cells)
{
    group g = {.cells = cells, .one_width = true};
    for (int32_t k = 0; k < m->n_layer; k++) {
        const deft_layer *l = &m->layer[k];
        if (!recurrent(l) || (cells && l->kind != DEFT_LAYER_LSTM)) continue;
        if (g.n++ == 0) g.width = l->n_out;
        g.one_width = g.one_width && l->n_out == g.width;
    }
    return g;
}

static bool member(const deft_model *m, int32_t k, bool cells)
{
    return recurrent(&m->layer[k]) && (!cells || m->layer[k].kind == DEFT_LAYER_LSTM);
}

static const char *numbered(onnx_writer *w, const char *name, int32_t k)
{
    const char *s = deft_arena_printf(w->b.a, "%s_%d", name, (int)k);
    if (!s) w->b.failed = true;
    return s ? s : "";
}

static void set_old(onnx_writer *w, int32_t k, bool cells, const char *name)
{
    if (cells)
        w->cell_old[k] = name;
    else
        w->old[k] = (onnx_operand){name, w->m->layer[k].n_out};
}

/* [1][1][width] of the graph's input or of its part to the [1][width] that layers work on. */
static const char *squeeze(onnx_writer *w, const char *x, const char *name)
{
    return onnx_add_node(&w->b, "Squeeze", name, ONNX_IN(x, "state_axis"));
}

static void add_state(onnx_writer *w, onnx_list *list, const char *name, int32_t n, int32_t width)
{
    onnx_add_port(&w->b, list, name, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT,
                  (const int64_t[]){n, 1, width}, 3);
}

static void state_inputs(onnx_writer *w, bool cells)
{
    const deft_model *m = w->m;
    onnx_builder *b = &w->b;
    const group g = count(m, cells);
    const char *input = cells ? "c_in" : "h_in", *part = cells ? "c" : "h";
    if (g.n == 0) return;
    if (g.one_width) add_state(w, &b->input, input, g.n, g.width);
    if (g.one_width && g.n > 1) {
        // one Split for all layers; its outputs are numbered like the layers
        bool first = true;
        for (int32_t k = 0; k < m->n_layer; k++) {
            if (!member(m, k, cells)) continue;
            const char *name = numbered(w, input, k);
            if (first) {
                (void)onnx_add_node(b, "Split", name, ONNX_IN(input));
                onnx_add_int(b, "axis", 0);
            } else {
                onnx_add_output(b, name);
            }
            first = false;
        }
    }
    for (int32_t k = 0; k < m->n_layer; k++) {
        if (!member(m, k, cells)) continue;
        const char *name = g.one_width && g.n == 1 ? input : numbered(w, input, k);
        if (!g.one_width) add_state(w, &b->input, name, 1, m->layer[k].n_out);
        set_old(w, k, cells, squeeze(w, name, numbered(w, part, k)));
    }
}

static void state_outputs(onnx_writer *w, bool cells)
{
    const deft_model *m = w->m;
    onnx_builder *b = &w->b;
    const group g = count(m, cells);
    const char *output = cells ? "c_out" : "h_out";
    const char **part = DEFT_NEW_ARRAY(b->a, const char *, g.n + 1);
    if (!part) b->failed = true;
    if (g.n == 0 || !part) return;
    if (g.one_width) add_state(w, &b->output, output, g.n, g.width);
    int32_t n = 0;
    for (int32_t k = 0; k < m->n_layer; k++) {
        if (!member(m, k, cells)) continue;
        const char *name = g.one_width && g.n == 1 ? output : numbered(w, output, k);
        if (!g.one_width) add_state(w, &b->output, name, 1, m->layer[k].n_out);
        const char *new_state = cells ? w->cell_new[k] : w->state[k];
        part[n++] = onnx_add_node(b, "Unsqueeze", name, ONNX_IN(new_state, "state_axis"));
    }
    if (!g.one_width || g.n == 1) return;
    (void)onnx_add_node(b, "Concat", output, part);
    onnx_add_int(b, "axis", 0);
}

/* A history of one entry is the input itself: no state. */
static bool keeps_history(const deft_layer *l)
{
    return l->kind == DEFT_LAYER_HISTORY && l->depth > 1;
}

void onnx_write_state_inputs(onnx_writer *w)
{
    const deft_model *m = w->m;
    if (count(m, false).n > 0) (void)onnx_add_int64(&w->b, "state_axis", 1, (const int64_t[]){0});
    state_inputs(w, false);
    state_inputs(w, true);
    for (int32_t k = 0; k < m->n_layer; k++) {
        if (!keeps_history(&m->layer[k])) continue;
        const char *name = numbered(w, "history_in", k);
        const int32_t n = m->layer[k].n_out;
        w->old[k] = (onnx_operand){name, n};
        onnx_add_port(&w->b, &w->b.input, name, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT,
                      (const int64_t[]){1, n}, 2);
    }
}

void onnx_write_state_outputs(onnx_writer *w)
{
    const deft_model *m = w->m;
    state_outputs(w, false);
    state_outputs(w, true);
    for (int32_t k = 0; k < m->n_layer; k++) {
        if (!keeps_history(&m->layer[k])) continue;
        const char *name =
            onnx_add_node(&w->b, "Identity", numbered(w, "history_out", k), ONNX_IN(w->state[k]));
        onnx_add_port(&w->b, &w->b.output, name, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT,
                      (const int64_t[]){1, m->layer[k].n_out}, 2);
    }
}
