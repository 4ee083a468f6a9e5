/* onnx_write.c - the canonical policy as ONNX: inputs, layers in order, outputs, contract. */
#include "formats/onnx_write.h"

#include "formats/contract_json.h"

#include <stdio.h>
#include <string.h>

/* A name of safe characters for layer k, as in its source where there was one. */
static const char *layer_prefix(onnx_writer *w, int32_t k)
{
    const deft_layer *l = &w->m->layer[k];
    char name[64];
    size_t n = 0;
    for (const char *s = l->name ? l->name : ""; *s && n < sizeof name - 1; s++) {
        const bool safe = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
                          (*s >= '0' && *s <= '9') || *s == '_' || *s == '.';
        if (!safe && n == 0) continue;
        name[n] = '_';
        if (safe) name[n] = *s;
        n++;
    }
    name[n] = '\0';
    if (n == 0) (void)snprintf(name, sizeof name, "%s%d", deft_layer_kind_name(l->kind), (int)k);
    bool taken = false;
    for (int32_t i = 0; i < k; i++) taken = taken || strcmp(w->prefix[i], name) == 0;
    // '@' is not among the safe characters: no other layer can have that name
    const char *p = taken ? deft_arena_printf(w->b.a, "%s@%d", name, (int)k)
                          : deft_arena_strndup(w->b.a, name, sizeof name);
    if (!p) w->b.failed = true;
    return p ? p : "";
}

onnx_operand onnx_write_slice(onnx_writer *w, onnx_operand x, int32_t offset, int32_t length)
{
    onnx_builder *b = &w->b;
    if (offset == 0 && length == x.n) return x;
    for (size_t i = 0; i < w->pieces.n; i++) {
        const onnx_piece *p = w->pieces.item[i];
        if (p->offset == offset && p->length == length && strcmp(p->of, x.name) == 0)
            return (onnx_operand){p->name, length};
    }
    onnx_piece *p = DEFT_NEW(b->a, onnx_piece);
    const char *name =
        deft_arena_printf(b->a, "%s[%d:%d]", x.name, (int)offset, (int)(offset + length));
    if (!p || !name) {
        b->failed = true;
        return (onnx_operand){"", length};
    }
    *p = (onnx_piece){x.name, name, offset, length};
    onnx_list_push(b, &w->pieces, p);
    if (!w->has_axis) (void)onnx_add_int64(b, "axis", 1, (const int64_t[]){1});
    w->has_axis = true;
    const char *start =
        onnx_add_int64(b, onnx_tensor_name(b, name, "start"), 1, (const int64_t[]){offset});
    const char *end =
        onnx_add_int64(b, onnx_tensor_name(b, name, "end"), 1, (const int64_t[]){offset + length});
    return (onnx_operand){onnx_add_node(b, "Slice", name, ONNX_IN(x.name, start, end, "axis")),
                          length};
}

static onnx_operand segment(onnx_writer *w, const deft_segment *s)
{
    onnx_operand x = {"", 0};
    switch (s->kind) {
    case DEFT_SRC_OBS:
        x = w->obs;
        break;
    case DEFT_SRC_PREV:
        x = w->prev;
        break;
    case DEFT_SRC_LAYER:
        x = w->out[s->index];
        break;
    case DEFT_SRC_STATE:
        x = w->old[s->index];
        break;
    }
    return onnx_write_slice(w, x, s->offset, s->length);
}

onnx_operand onnx_write_input(onnx_writer *w, const deft_segment *in, int32_t n, const char *name)
{
    onnx_builder *b = &w->b;
    if (n == 1) return segment(w, in);
    const char **part = DEFT_NEW_ARRAY(b->a, const char *, n + 1);
    if (!part) {
        b->failed = true;
        return (onnx_operand){"", 0};
    }
    int32_t length = 0;
    for (int32_t i = 0; i < n; i++) {
        part[i] = segment(w, &in[i]).name;
        length += in[i].length;
    }
    const onnx_operand all = {onnx_add_node(b, "Concat", name, part), length};
    onnx_add_int(b, "axis", 1);
    return all;
}

static void add_row(onnx_builder *b, onnx_list *list, const char *name, int32_t type, int32_t n)
{
    onnx_add_port(b, list, name, type, (const int64_t[]){1, n}, 2);
}

static void write_inputs(onnx_writer *w)
{
    const deft_model *m = w->m;
    const int32_t n_obs = m->contract.n_obs, n_act = m->contract.n_act;
    const int32_t type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    add_row(&w->b, &w->b.input, "obs", type, n_obs);
    w->obs = onnx_write_obs_contract(w, (onnx_operand){"obs", n_obs});
    if (contract_feeds_previous(m)) {
        add_row(&w->b, &w->b.input, "prev_action", type, n_act);
        w->prev = (onnx_operand){"prev_action", n_act};
    }
    onnx_write_state_inputs(w);
}

/* Is x the result of a node that nothing outside has to find under its name? */
static bool may_rename(const onnx_writer *w, const char *x)
{
    for (size_t i = 0; i < w->b.input.n; i++)
        if (strcmp(((const Onnx__ValueInfoProto *)w->b.input.item[i])->name, x) == 0) return false;
    for (int32_t k = 0; k < w->m->n_layer; k++)
        if (w->old[k].name && strcmp(w->old[k].name, x) == 0) return false;
    return true;
}

static void write_outputs(onnx_writer *w)
{
    const deft_model *m = w->m;
    onnx_operand y = onnx_write_input(w, m->out, m->n_out_segment, "network_output");
    y = onnx_write_act_contract(w, y);
    onnx_write_state_outputs(w);
    if (may_rename(w, y.name) && m->n_out_segment > 0)
        onnx_rename(&w->b, y.name, "action");
    else
        (void)onnx_add_node(&w->b, "Identity", "action", ONNX_IN(y.name));
}

static deft_status init(onnx_writer *w)
{
    const int32_t n = w->m->n_layer;
    onnx_builder *b = &w->b;
    w->prefix = DEFT_NEW_ARRAY(b->a, const char *, n);
    w->out = DEFT_NEW_ARRAY(b->a, onnx_operand, n);
    w->old = DEFT_NEW_ARRAY(b->a, onnx_operand, n);
    w->state = DEFT_NEW_ARRAY(b->a, const char *, n);
    w->cell_old = DEFT_NEW_ARRAY(b->a, const char *, n);
    w->cell_new = DEFT_NEW_ARRAY(b->a, const char *, n);
    if (!w->prefix || !w->out || !w->old || !w->state || !w->cell_old || !w->cell_new)
        return deft_fail(w->err, DEFT_E_SPACE, "no memory for %d layers", (int)n);
    for (int32_t k = 0; k < n; k++) {
        w->prefix[k] = layer_prefix(w, k);
        w->old[k].name = w->cell_old[k] = w->cell_new[k] = w->state[k] = "";
    }
    return DEFT_OK;
}

deft_status deft_onnx_write(const deft_model *m, deft_arena *a, deft_bytes *out, deft_error *err)
{
    deft_status s = deft_model_check(m, err);
    if (s != DEFT_OK) return s;
    deft_arena *work = deft_arena_create(0);
    if (!work) return deft_fail(err, DEFT_E_SPACE, "no memory");
    onnx_writer w = {.b = {.a = work}, .m = m, .err = err};
    s = init(&w);
    if (s == DEFT_OK) write_inputs(&w);
    for (int32_t k = 0; s == DEFT_OK && k < m->n_layer; k++) s = onnx_write_layer(&w, k);
    if (s == DEFT_OK) {
        write_outputs(&w);
        const char *json = contract_to_json(m, work);
        if (!json) w.b.failed = true;
        if (json) onnx_add_meta(&w.b, "deft.contract", json);
        deft_bytes bytes = {0};
        s = onnx_build(&w.b, "policy", &bytes, err);
        if (s == DEFT_OK) {
            out->data = deft_arena_copy(a, bytes.data, bytes.size);
            out->size = bytes.size;
            if (!out->data) s = deft_fail(err, DEFT_E_SPACE, "no memory for the ONNX model");
        }
    }
    deft_arena_destroy(work);
    return s;
}
