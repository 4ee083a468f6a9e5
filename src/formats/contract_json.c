/* contract_json.c - the contract and what else ONNX cannot say, as JSON. */
#include "formats/contract_json.h"
#include "formats/json_read.h"

#include <float.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION = 1, MAX_TEXT = 16 << 20 };

/* --- writing --------------------------------------------------------------------------------- */

static json_t *text_json(const char *s)
{
    json_t *j = json_string(s ? s : "");
    if (j) return j;
    char safe[256]; // not UTF-8
    return json_string(deft_escape(safe, sizeof safe, s ? s : "", s ? strlen(s) : 0));
}

static json_t *texts_json(const char *const *v, int32_t n)
{
    if (!v) return json_null();
    json_t *list = json_array();
    for (int32_t i = 0; i < n; i++)
        if (json_array_append_new(list, text_json(v[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static json_t *floats_json(const float *v, int32_t n)
{
    if (!v) return json_null();
    json_t *list = json_array();
    for (int32_t i = 0; i < n; i++)
        if (json_array_append_new(list, isfinite(v[i]) ? json_real((double)v[i]) : json_null()) !=
            0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static bool put(json_t *to, const char *key, json_t *v)
{
    return json_object_set_new(to, key, v) == 0;
}

static json_t *obs_json(const deft_contract *c)
{
    json_t *o = json_object();
    if (put(o, "name", texts_json(c->obs_name, c->n_obs)) &&
        put(o, "unit", texts_json(c->obs_unit, c->n_obs)) &&
        put(o, "offset", floats_json(c->obs_offset, c->n_obs)) &&
        put(o, "scale", floats_json(c->obs_scale, c->n_obs)) &&
        put(o, "lo", floats_json(c->obs_lo, c->n_obs)) &&
        put(o, "hi", floats_json(c->obs_hi, c->n_obs)) &&
        (!c->obs_least || put(o, "least", floats_json(c->obs_least, c->n_obs))) &&
        (!c->obs_most || put(o, "most", floats_json(c->obs_most, c->n_obs))))
        return o;
    json_decref(o);
    return NULL;
}

static json_t *act_json(const deft_contract *c)
{
    json_t *o = json_object();
    if (put(o, "name", texts_json(c->act_name, c->n_act)) &&
        put(o, "unit", texts_json(c->act_unit, c->n_act)) &&
        put(o, "scale", floats_json(c->act_scale, c->n_act)) &&
        put(o, "offset", floats_json(c->act_offset, c->n_act)) &&
        put(o, "lo", floats_json(c->act_lo, c->n_act)) &&
        put(o, "hi", floats_json(c->act_hi, c->n_act)))
        return o;
    json_decref(o);
    return NULL;
}

/* A list, since keys may come twice. */
static json_t *notes_json(const deft_contract *c)
{
    json_t *list = json_array();
    for (int32_t i = 0; i < c->n_note; i++) {
        json_t *pair = json_array();
        const bool ok = json_array_append_new(pair, text_json(c->note[i].key)) == 0 &&
                        json_array_append_new(pair, text_json(c->note[i].value)) == 0;
        if (json_array_append_new(list, pair) != 0 || !ok) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* What the state input of each history holds and how it starts: ONNX has no reset. */
static json_t *history_json(const deft_model *m)
{
    json_t *list = json_array();
    for (int32_t k = 0; k < m->n_layer; k++) {
        const deft_layer *l = &m->layer[k];
        if (l->kind != DEFT_LAYER_HISTORY || l->depth < 2) continue;
        json_t *o = json_object();
        const bool ok = put(o, "input", json_sprintf("history_in_%d", (int)k)) &&
                        put(o, "depth", json_integer(l->depth)) &&
                        put(o, "newest_first", json_boolean(l->newest_first)) &&
                        put(o, "start", json_string(l->fill_first ? "first input" : "zeros"));
        if (json_array_append_new(list, o) != 0 || !ok) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

bool contract_feeds_previous(const deft_model *m)
{
    for (int32_t i = 0; i < m->n_out_segment; i++)
        if (m->out[i].kind == DEFT_SRC_PREV) return true;
    for (int32_t k = 0; k < m->n_layer; k++)
        for (int32_t i = 0; i < m->layer[k].n_segment; i++)
            if (m->layer[k].in[i].kind == DEFT_SRC_PREV) return true;
    return false;
}

static json_t *choices_json(const deft_contract *c)
{
    if (!c->choices) return json_null();
    json_t *list = json_array();
    for (int32_t k = 0; k < c->n_act; k++)
        (void)json_array_append_new(list, json_integer(c->choices[k]));
    return list;
}

char *contract_to_json(const deft_model *m, deft_arena *a)
{
    const deft_contract *c = &m->contract;
    json_t *root = json_object();
    const bool previous = contract_feeds_previous(m);
    // "folded": the graph's own nodes do all of this; "prev_action" is fed back in network units
    const bool ok =
        put(root, "version", json_integer(VERSION)) && put(root, "folded", json_true()) &&
        put(root, "name", text_json(c->name)) && put(root, "n_obs", json_integer(c->n_obs)) &&
        put(root, "n_act", json_integer(c->n_act)) &&
        put(root, "discrete", json_boolean(c->discrete)) && put(root, "choices", choices_json(c)) &&
        put(root, "period_s", json_real(c->period_s)) && put(root, "obs", obs_json(c)) &&
        put(root, "act", act_json(c)) &&
        put(root, "prev_action",
            previous ? json_string("fed back, before scale and offset") : json_null()) &&
        put(root, "history", history_json(m)) && put(root, "notes", notes_json(c));
    char *text = ok ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    char *kept = text ? deft_arena_strndup(a, text, strlen(text)) : NULL;
    free(text);
    json_decref(root);
    return kept;
}

/* --- reading --------------------------------------------------------------------------------- */

typedef struct contract_reader {
    json_source s;
    deft_model *m;
} contract_reader;

/* Lists may be null, or absent: then they say nothing. */
static bool is_said(const json_place *at)
{
    return at->value && !json_is_null(at->value);
}

/* null among the numbers stands for `infinite`; 0 forbids it. */
static deft_status get_floats(const contract_reader *r, const json_place *of, const char *key,
                              int32_t n, float infinite, float **out)
{
    const json_place at = json_member(of, key);
    *out = NULL;
    if (!is_said(&at)) return DEFT_OK;
    deft_status s = json_check_list(&r->s, &at, n, true);
    float *v = DEFT_NEW_ARRAY(r->s.a, float, n);
    if (s == DEFT_OK && !v) s = deft_fail(r->s.err, DEFT_E_SPACE, "no memory for the contract");
    for (int32_t i = 0; s == DEFT_OK && i < n; i++) {
        const json_place x = json_element(&at, (size_t)i);
        v[i] = infinite;
        if (!json_is_null(x.value) || infinite == 0) s = json_get_number(&r->s, &x, &v[i]);
    }
    if (s == DEFT_OK) *out = v;
    return s;
}

static deft_status get_texts(const contract_reader *r, const json_place *of, const char *key,
                             int32_t n, const char ***out)
{
    const json_place at = json_member(of, key);
    *out = NULL;
    return is_said(&at) ? json_get_texts(&r->s, &at, n, true, SIZE_MAX, out) : DEFT_OK;
}

/* Limits of the largest float are how the graph writes none. */
static double unlimited(float x)
{
    return (double)(x >= FLT_MAX ? INFINITY : x <= -FLT_MAX ? -INFINITY : x);
}

static bool agree(const float *a, const float *b, int32_t n, float absent)
{
    for (int32_t i = 0; i < n; i++) {
        const double x = unlimited(a ? a[i] : absent), y = unlimited(b ? b[i] : absent);
        if (x == y) continue;
        if (!(fabs(x - y) <= 1e-6 * fmax(1, fmax(fabs(x), fabs(y))))) return false;
    }
    return true;
}

/* One direction's numbers. */
typedef struct numbers {
    float *offset, *scale, *lo, *hi;
} numbers;

static deft_status get_numbers(const contract_reader *r, const json_place *o, int32_t n,
                               numbers *out)
{
    deft_status s = get_floats(r, o, "offset", n, 0, &out->offset);
    if (s == DEFT_OK) s = get_floats(r, o, "scale", n, 0, &out->scale);
    if (s == DEFT_OK) s = get_floats(r, o, "lo", n, -INFINITY, &out->lo);
    if (s == DEFT_OK) s = get_floats(r, o, "hi", n, INFINITY, &out->hi);
    return s;
}

static bool same(const numbers *a, const numbers *b, int32_t n)
{
    return agree(a->offset, b->offset, n, 0) && agree(a->scale, b->scale, n, 1) &&
           agree(a->lo, b->lo, n, -INFINITY) && agree(a->hi, b->hi, n, INFINITY);
}

/* What the contract is to hold: the text's numbers where the graph's own agree with them or where
 * nobody else applies them; the graph's where it does the same in its layers. */
static deft_status settle(const contract_reader *r, bool folded, const char *what, int32_t n,
                          const numbers *text, numbers *graph)
{
    const numbers none = {0};
    if (same(text, graph, n) || (!folded && same(graph, &none, n))) {
        *graph = *text;
        return DEFT_OK;
    }
    if (folded && same(graph, &none, n))
        return deft_model_assume(r->m, "the scaling of the %s stays among the layers", what);
    return deft_fail(r->s.err, DEFT_E_MISMATCH,
                     "deft.contract: the scaling of the %s is not the one in the graph", what);
}

static deft_status read_numbers(const contract_reader *r, const json_place *root)
{
    deft_contract *c = &r->m->contract;
    const bool folded = json_is_true(json_object_get(root->value, "folded"));
    numbers text = {0}, graph = {c->obs_offset, c->obs_scale, c->obs_lo, c->obs_hi};
    const json_place obs = json_member(root, "obs"), act = json_member(root, "act");
    deft_status s = get_floats(r, &obs, "least", c->n_obs, -INFINITY, &c->obs_least);
    if (s == DEFT_OK) s = get_floats(r, &obs, "most", c->n_obs, INFINITY, &c->obs_most);
    if (s == DEFT_OK) s = get_numbers(r, &obs, c->n_obs, &text);
    if (s == DEFT_OK) s = settle(r, folded, "observations", c->n_obs, &text, &graph);
    if (s != DEFT_OK) return s;
    c->obs_offset = graph.offset;
    c->obs_scale = graph.scale;
    c->obs_lo = graph.lo;
    c->obs_hi = graph.hi;
    graph = (numbers){c->act_offset, c->act_scale, c->act_lo, c->act_hi};
    s = get_numbers(r, &act, c->n_act, &text);
    if (s == DEFT_OK) s = settle(r, folded, "actions", c->n_act, &text, &graph);
    if (s != DEFT_OK) return s;
    c->act_offset = graph.offset;
    c->act_scale = graph.scale;
    c->act_lo = graph.lo;
    c->act_hi = graph.hi;
    return DEFT_OK;
}

static deft_status read_texts(const contract_reader *r, const json_place *root)
{
    deft_contract *c = &r->m->contract;
    const json_place obs = json_member(root, "obs"), act = json_member(root, "act");
    const json_place name = json_member(root, "name"), notes = json_member(root, "notes");
    deft_status s = json_get_text(&r->s, &name, SIZE_MAX, &c->name);
    if (s == DEFT_OK) s = get_texts(r, &obs, "name", c->n_obs, &c->obs_name);
    if (s == DEFT_OK) s = get_texts(r, &obs, "unit", c->n_obs, &c->obs_unit);
    if (s == DEFT_OK) s = get_texts(r, &act, "name", c->n_act, &c->act_name);
    if (s == DEFT_OK) s = get_texts(r, &act, "unit", c->n_act, &c->act_unit);
    const size_t n = json_array_size(notes.value);
    deft_meta *note = DEFT_NEW_ARRAY(r->s.a, deft_meta, n);
    if (s == DEFT_OK && !note)
        return deft_fail(r->s.err, DEFT_E_SPACE, "no memory for the contract");
    for (size_t i = 0; s == DEFT_OK && i < n; i++) {
        const json_place pair = json_element(&notes, i);
        const json_place key = json_element(&pair, 0), value = json_element(&pair, 1);
        s = json_get_text(&r->s, &key, SIZE_MAX, &note[i].key);
        if (s == DEFT_OK) s = json_get_text(&r->s, &value, SIZE_MAX, &note[i].value);
    }
    if (s != DEFT_OK) return s;
    c->note = note;
    c->n_note = (int32_t)n;
    return DEFT_OK;
}

static void read_history(deft_model *m, const json_t *root)
{
    const json_t *list = json_object_get(root, "history");
    size_t i = 0;
    for (int32_t k = 0; k < m->n_layer; k++) {
        deft_layer *l = &m->layer[k];
        if (l->kind != DEFT_LAYER_HISTORY || l->depth < 2) continue;
        const char *how = json_string_value(json_object_get(json_array_get(list, i++), "start"));
        if (how) l->fill_first = strcmp(how, "first input") == 0;
    }
}

/* Lengths, and which inputs are the previous action: the writer puts them last. */
static deft_status read_shape(const contract_reader *r, const json_place *all)
{
    deft_model *m = r->m;
    const json_t *const root = all->value;
    const json_int_t n_obs = json_integer_value(json_object_get(root, "n_obs"));
    const json_int_t n_act = json_integer_value(json_object_get(root, "n_act"));
    const json_t *discrete = json_object_get(root, "discrete");
    if (n_act == m->contract.n_act && n_obs + n_act == m->contract.n_obs &&
        json_is_string(json_object_get(root, "prev_action")) && !contract_feeds_previous(m)) {
        const deft_status s = deft_model_feed_previous(m, false, r->s.err);
        if (s != DEFT_OK) return s;
    }
    if (n_obs != m->contract.n_obs || n_act != m->contract.n_act ||
        json_is_true(discrete) != m->contract.discrete)
        return deft_fail(r->s.err, DEFT_E_MISMATCH,
                         "deft.contract: %lld observations and %lld %sactions, the graph has %d "
                         "and %d %sactions",
                         (long long)n_obs, (long long)n_act,
                         json_is_true(discrete) ? "discrete " : "", (int)m->contract.n_obs,
                         (int)m->contract.n_act, m->contract.discrete ? "discrete " : "");
    const json_place period = json_member(all, "period_s");
    const double s = json_number_value(period.value);
    if (period.value && !(s >= 0 && s < 1e6))
        return json_wrong(&r->s, &period, DEFT_E_FORMAT, "is no time");
    m->contract.period_s = s;
    return DEFT_OK;
}

deft_status contract_from_json(const char *text, deft_model *m, deft_error *err)
{
    const contract_reader r = {{"deft.contract", m->arena, err}, m};
    const deft_bytes bytes = {(const uint8_t *)text, strlen(text)};
    if (bytes.size > MAX_TEXT)
        return deft_fail(err, DEFT_E_FORMAT, "deft.contract: over %d MiB", MAX_TEXT >> 20);
    json_t *root = NULL;
    deft_status s = json_read(&r.s, bytes, &root);
    const json_place all = {NULL, NULL, 0, root};
    if (s == DEFT_OK && json_integer_value(json_object_get(root, "version")) != VERSION)
        s = deft_fail(err, DEFT_E_VERSION, "deft.contract: another version than %d", VERSION);
    if (s == DEFT_OK) s = read_shape(&r, &all);
    if (s == DEFT_OK) s = read_numbers(&r, &all);
    if (s == DEFT_OK) s = read_texts(&r, &all);
    if (s == DEFT_OK) read_history(m, root);
    json_decref(root);
    return s;
}
