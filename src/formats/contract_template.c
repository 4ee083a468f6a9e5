/* contract_template.c - a policy's contract in Deft's own format, with null for what is not known.
 */
#include "deft/contract.h"
#include "formats/contract_json.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NAME = 128, DIGITS = 9, DIGITS_PERIOD = 12 };

/* --- values ---------------------------------------------------------------------------------- */

static const char *text_of(const char *const *list, int32_t i)
{
    return list && list[i] ? list[i] : "";
}

static json_t *plain_json(const char *s)
{
    char safe[256];
    json_t *const j = json_string(s);
    return j ? j : json_string(deft_escape(safe, sizeof safe, s, sizeof safe)); // not UTF-8
}

/* null: to be filled in. */
static json_t *text_json(const char *s)
{
    return *s ? plain_json(s) : json_null();
}

static float at_or(const float *v, int32_t i, float otherwise)
{
    return v ? v[i] : otherwise;
}

/* The shortest decimal that is read as the same float. */
static json_t *number_json(float v)
{
    char text[40];
    for (int digits = 6; digits <= DIGITS; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, (double)v);
        if ((float)strtod(text, NULL) == v) break;
    }
    const double x = strtod(text, NULL);
    return x == floor(x) && fabs(x) < 1e9 ? json_integer((json_int_t)x) : json_real(x);
}

static json_t *end_json(float v)
{
    return isfinite(v) ? number_json(v) : json_string("none");
}

static void put(json_t *to, const char *key, json_t *v)
{
    (void)json_object_set_new(to, key, v);
}

/* Elements [from, from + n): one value where all are alike, nothing where they are the default. */
static void put_numbers(json_t *to, const char *key, const float *v, int32_t from, int32_t n,
                        float otherwise)
{
    bool alike = true;
    for (int32_t i = 0; v && i < n; i++) alike &= v[from + i] == v[from];
    if (!v || (alike && v[from] == otherwise)) return;
    json_t *list = json_array();
    for (int32_t i = 0; i < n && !alike; i++)
        (void)json_array_append_new(list, number_json(v[from + i]));
    put(to, key, alike ? number_json(v[from]) : list);
    if (alike) json_decref(list);
}

static void put_ranges(json_t *to, const char *key, const float *lo, const float *hi, int32_t from,
                       int32_t n)
{
    bool alike = true, open = true;
    for (int32_t i = from; i < from + n; i++) {
        const float l = at_or(lo, i, -INFINITY), h = at_or(hi, i, INFINITY);
        alike &= l == at_or(lo, from, -INFINITY) && h == at_or(hi, from, INFINITY);
        open &= l == -INFINITY && h == INFINITY;
    }
    if (open) return;
    json_t *list = json_array();
    for (int32_t i = from; i < from + (alike ? 1 : n); i++)
        (void)json_array_append_new(list, json_pack("[o, o]", end_json(at_or(lo, i, -INFINITY)),
                                                    end_json(at_or(hi, i, INFINITY))));
    put(to, key, alike ? json_incref(json_array_get(list, 0)) : json_incref(list));
    json_decref(list);
}

static void put_texts(json_t *to, const char *key, const char *const *list, int32_t from, int32_t n)
{
    json_t *all = json_array();
    for (int32_t i = from; i < from + n; i++)
        (void)json_array_append_new(all, text_json(text_of(list, i)));
    put(to, key, all);
}

/* One where all are alike. */
static void put_units(json_t *to, const char *const *unit, int32_t from, int32_t n)
{
    bool alike = true;
    for (int32_t i = from; i < from + n; i++)
        alike &= strcmp(text_of(unit, i), text_of(unit, from)) == 0;
    if (alike)
        put(to, "unit", text_json(text_of(unit, from)));
    else
        put_texts(to, "unit", unit, from, n);
}

/* --- observations ---------------------------------------------------------------------------- */

/* Is s what element `index` of a term of this name is called? */
static bool is_element(const char *s, const char *name, size_t n_name, int32_t index)
{
    char text[24];
    (void)snprintf(text, sizeof text, "[%d]", (int)index);
    return strncmp(s, name, n_name) == 0 && strcmp(s + n_name, text) == 0;
}

/* Observations from `from` on that make one term: NAME[0], NAME[1], ...; TERM.x, TERM.y, ...; those
 * without names; or one. *name: bytes of NAME, 0 where names are listed. */
static int32_t term_at(const deft_contract *c, int32_t from, size_t *n_name)
{
    const char *const first = text_of(c->obs_name, from);
    const size_t bracket = strcspn(first, "["), dot = strcspn(first, ".");
    int32_t n = 1;
    *n_name = 0;
    if (bracket > 0 && is_element(first, first, bracket, 0)) {
        while (from + n < c->n_obs && is_element(text_of(c->obs_name, from + n), first, bracket, n))
            n++;
        if (n > 1) *n_name = bracket;
        return n;
    }
    if (!*first) {
        while (from + n < c->n_obs && !*text_of(c->obs_name, from + n)) n++;
    } else if (first[dot]) {
        while (from + n < c->n_obs && strncmp(text_of(c->obs_name, from + n), first, dot + 1) == 0)
            n++;
    }
    return n;
}

static json_t *term_json(const deft_contract *c, int32_t from, int32_t n, size_t n_name)
{
    json_t *const t = json_object();
    const char *const first = text_of(c->obs_name, from);
    const bool listed = n_name == 0 && *first && (n > 1 || strchr(first, '['));
    if (listed)
        put_texts(t, "names", c->obs_name, from, n);
    else
        put(t, "name", n_name ? json_stringn(first, n_name) : text_json(first));
    if (!listed && n > 1) put(t, "size", json_integer(n));
    put_units(t, c->obs_unit, from, n);
    put_numbers(t, "offset", c->obs_offset, from, n, 0);
    put_numbers(t, "scale", c->obs_scale, from, n, 1);
    put_ranges(t, "clip", c->obs_lo, c->obs_hi, from, n);
    put_ranges(t, "limits", c->obs_least, c->obs_most, from, n);
    return t;
}

/* --- actions, joints, notes ------------------------------------------------------------------ */

static json_t *actions_json(const deft_model *m)
{
    const deft_contract *const c = &m->contract;
    json_t *const t = json_object();
    bool named = false;
    for (int32_t i = 0; i < c->n_act; i++) named |= *text_of(c->act_name, i) != '\0';
    if (named) {
        put_texts(t, "names", c->act_name, 0, c->n_act);
    } else {
        put(t, "size", json_integer(c->n_act));
        put(t, "names", json_null());
    }
    put_units(t, c->act_unit, 0, c->n_act);
    put_numbers(t, "scale", c->act_scale, 0, c->n_act, 1);
    put_numbers(t, "offset", c->act_offset, 0, c->n_act, 0);
    put_ranges(t, "limits", c->act_lo, c->act_hi, 0, c->n_act);
    if (contract_feeds_previous(m)) put(t, "feedback", json_string("built in"));
    return t;
}

/* A text that deft_contract_read would write the same from the list; NULL: another text. */
static json_t *list_json(const char *text, bool numbers)
{
    json_t *const list = json_array();
    char item[MAX_NAME + 1], again[MAX_NAME + 1];
    bool good = true;
    for (const char *p = text; good; p++) {
        const size_t n = strcspn(p, ",");
        good = n > 0 && n <= MAX_NAME;
        if (!good) break;
        memcpy(item, p, n);
        item[n] = '\0';
        const float v = numbers ? (float)strtod(item, NULL) : 0;
        (void)snprintf(again, sizeof again, "%.9g", (double)v);
        good = !numbers || (isfinite(v) && strcmp(again, item) == 0);
        (void)json_array_append_new(list, numbers ? number_json(v) : plain_json(item));
        p += n;
        if (!*p) break;
    }
    if (good) return list;
    json_decref(list);
    return NULL;
}

/* Notes that are lists, one value a joint, as 'joints'; the others as they are. */
static void notes_json(const deft_contract *c, json_t *joints, json_t *notes)
{
    static const char *const note[] = {"joint_names", "default_joint_pos", "joint_stiffness",
                                       "joint_damping"};
    static const char *const key[] = {"names", "default_pose", "stiffness", "damping"};
    size_t n_joint = 0;
    for (int32_t i = 0; i < c->n_note; i++) {
        json_t *list = NULL;
        int k = 0;
        while (k < 4 && strcmp(c->note[i].key, note[k]) != 0) k++;
        if (k < 4) list = list_json(c->note[i].value, k > 0);
        if (list && n_joint == 0) n_joint = json_array_size(list);
        if (list && json_array_size(list) == n_joint)
            put(joints, key[k], json_incref(list));
        else
            put(notes, c->note[i].key, plain_json(c->note[i].value));
        json_decref(list);
    }
}

/* --- the whole ------------------------------------------------------------------------------- */

typedef struct writer {
    FILE *f;
    bool failed;
} writer;

/* An object or a value on one line. */
static void put_line(writer *w, json_t *v, const char *end)
{
    char *const text = json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(DIGITS_PERIOD));
    if (text) (void)fputs(text, w->f);
    w->failed |= !text;
    (void)fputs(end, w->f);
    free(text);
    json_decref(v);
}

static void put_key(writer *w, const char *key, json_t *v, const char *end)
{
    (void)fprintf(w->f, "  \"%s\": ", key);
    put_line(w, v, end);
}

/* An object with one key a line, left out if empty. */
static void put_object(writer *w, const char *key, json_t *o)
{
    const char *name;
    json_t *value;
    size_t left = json_object_size(o);
    if (left) (void)fprintf(w->f, ",\n  \"%s\": {\n", key);
    json_object_foreach(o, name, value)
    {
        (void)fputs("    ", w->f);
        put_line(w, json_string(name), ": ");
        put_line(w, json_incref(value), --left ? ",\n" : "\n  }");
    }
    json_decref(o);
}

static void put_all(writer *w, const deft_model *m)
{
    const deft_contract *const c = &m->contract;
    (void)fputs("{\n", w->f);
    put_key(w, "deft_contract", json_integer(1), ",\n");
    put_key(w, "name", text_json(c->name ? c->name : ""), ",\n");
    put_key(w, "period_s", c->period_s > 0 ? json_real(c->period_s) : json_null(), ",\n");
    put_key(w, "own_scaling", json_string("replace"), ",\n");
    (void)fputs("  \"observations\": [\n", w->f);
    size_t n_name = 0;
    for (int32_t i = 0, n = 0; i < c->n_obs; i += n) {
        n = term_at(c, i, &n_name);
        (void)fputs("    ", w->f);
        put_line(w, term_json(c, i, n, n_name), i + n < c->n_obs ? ",\n" : "\n  ]");
    }
    put_object(w, "actions", actions_json(m));
    json_t *const joints = json_object(), *const notes = json_object();
    notes_json(c, joints, notes);
    put_object(w, "joints", joints);
    put_object(w, "notes", notes);
    (void)fputs("\n}\n", w->f);
}

char *deft_contract_template(const deft_model *m, deft_arena *a)
{
    char *text = NULL;
    size_t size = 0;
    writer w = {open_memstream(&text, &size), false};
    if (!w.f) return NULL;
    put_all(&w, m);
    w.failed |= ferror(w.f) != 0;
    const bool good = fclose(w.f) == 0 && !w.failed;
    char *const kept = good ? deft_arena_strndup(a, text, size) : NULL;
    free(text);
    return kept;
}
