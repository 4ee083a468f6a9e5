/* contract_file.c - Deft's own format of contracts, JSON (docs/contract.md). */
#include "deft/contract.h"
#include "formats/json_read.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    VERSION = 1,
    MAX_TEXT = 4 << 20,
    MAX_TERMS = 4096,
    MAX_WIDTH = 65535, // of what an image holds
    MAX_LENGTH = 1000, // of a history
    MAX_NAME = 128,
    MAX_NOTES = 1024,
    MAX_NOTE = 8192,
};

typedef struct reader {
    json_source s;
    deft_contract_file *f;
    int32_t n_joint;
    const float *default_pose;     // [n_joint], NULL: not said
    deft_contract_history history; // of terms that say none
    int32_t width;                 // elements of the terms so far
} reader;

static deft_status no_memory(const reader *r)
{
    return deft_fail(r->s.err, DEFT_E_SPACE, "%s: no memory for the contract", r->s.where);
}

/* --- joints and notes ------------------------------------------------------------------------ */

static deft_status add_note(const reader *r, const json_place *at, const char *key,
                            const char *value)
{
    deft_contract_file *const f = r->f;
    for (int32_t i = 0; i < f->n_note; i++)
        if (strcmp(f->note[i].key, key) == 0)
            return json_wrong(&r->s, at, DEFT_E_FORMAT, "says what 'joints' says already");
    deft_meta *note = DEFT_NEW_ARRAY(r->s.a, deft_meta, (size_t)f->n_note + 1);
    if (!note || !key || !value) return no_memory(r);
    if (f->n_note) memcpy(note, f->note, (size_t)f->n_note * sizeof *note);
    note[f->n_note++] = (deft_meta){key, value};
    f->note = note;
    return DEFT_OK;
}

/* A list as one text: "a,b,c". */
static char *joined(deft_arena *a, int32_t n, const char *const *text, const float *v)
{
    enum { ROOM = MAX_NAME + 2 };
    char *all = deft_arena_alloc(a, (size_t)n * ROOM + 1);
    size_t used = 0;
    for (int32_t i = 0; all && i < n; i++) {
        const char *const comma = i ? "," : "";
        const int k = text ? snprintf(all + used, ROOM, "%s%s", comma, text[i])
                           : snprintf(all + used, ROOM, "%s%.9g", comma, (double)v[i]);
        used += k > 0 ? (size_t)k : 0;
    }
    return all;
}

static deft_status read_joint_names(const reader *r, const json_place *joints)
{
    const json_place at = json_member(joints, "names");
    const char **name = NULL;
    deft_status s = json_get_texts(&r->s, &at, r->n_joint, true, MAX_NAME, &name);
    if (s != DEFT_OK || !name) return s;
    for (int32_t i = 0; i < r->n_joint; i++) {
        const json_place x = json_element(&at, (size_t)i);
        if (!name[i][0] || strchr(name[i], ','))
            return json_wrong(&r->s, &x, DEFT_E_FORMAT, "must be a name without commas");
    }
    return add_note(r, &at, "joint_names", joined(r->s.a, r->n_joint, name, NULL));
}

/* Facts of the joints, which are kept as the notes that exporters write. */
static deft_status read_joints(reader *r, const json_place *root)
{
    static const char *const keys[] = {"names", "default_pose", "stiffness", "damping", NULL};
    static const char *const notes[] = {"", "default_joint_pos", "joint_stiffness",
                                        "joint_damping"};
    const json_place at = json_member(root, "joints");
    if (!at.value) return DEFT_OK;
    deft_status s = json_only(&r->s, &at, keys);
    for (int k = 0; s == DEFT_OK && k < 4 && r->n_joint == 0; k++) {
        const json_place list = json_member(&at, keys[k]);
        const size_t n = json_array_size(list.value);
        if (list.value && (n < 1 || n > MAX_WIDTH))
            return json_wrong(&r->s, &list, DEFT_E_FORMAT, "must be a list, [...], one a joint");
        r->n_joint = (int32_t)n;
    }
    if (s == DEFT_OK) s = read_joint_names(r, &at);
    for (int k = 1; s == DEFT_OK && k < 4; k++) {
        const json_place list = json_member(&at, keys[k]);
        float *v = NULL;
        s = json_get_numbers(&r->s, &list, r->n_joint, false, &v);
        if (s != DEFT_OK || !v) continue;
        if (k == 1) r->default_pose = v;
        s = add_note(r, &list, notes[k], joined(r->s.a, r->n_joint, NULL, v));
    }
    return s;
}

static deft_status read_notes(const reader *r, const json_place *root)
{
    const json_place at = json_member(root, "notes");
    const char *key;
    json_t *value;
    if (!at.value) return DEFT_OK;
    if (!json_is_object(at.value) || json_object_size(at.value) > MAX_NOTES)
        return json_wrong(&r->s, &at, DEFT_E_FORMAT, "must be an object of texts, at most %d",
                          MAX_NOTES);
    json_object_foreach(at.value, key, value)
    {
        const json_place here = {&at, key, 0, value};
        const char *text = NULL;
        deft_status s = json_get_text(&r->s, &here, MAX_NOTE, &text);
        if (s == DEFT_OK && (!*key || strlen(key) > MAX_NAME))
            s = json_wrong(&r->s, &here, DEFT_E_FORMAT, "has a key of 0, or over %d, bytes",
                           MAX_NAME);
        if (s == DEFT_OK) s = add_note(r, &here, deft_arena_strndup(r->s.a, key, MAX_NAME), text);
        if (s != DEFT_OK) return s;
    }
    return DEFT_OK;
}

/* --- what observations and actions share ----------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names are there, and each once. */
static deft_status check_names(const reader *r, const json_place *at, const char *const *name,
                               int32_t n)
{
    char text[160];
    const char **sorted = deft_arena_copy(r->s.a, name, (size_t)n * sizeof *name);
    if (!sorted) return no_memory(r);
    qsort(sorted, (size_t)n, sizeof *sorted, by_text);
    for (int32_t i = 0; i < n; i++) {
        if (!sorted[i][0]) return json_wrong(&r->s, at, DEFT_E_FORMAT, "has an empty name");
        if (i == 0 || strcmp(sorted[i], sorted[i - 1]) != 0) continue;
        return json_wrong(&r->s, at, DEFT_E_FORMAT, "has the name '%s' twice",
                          deft_escape(text, sizeof text, sorted[i], MAX_NAME));
    }
    return DEFT_OK;
}

static deft_status read_scale(const reader *r, const json_place *of, int32_t n, float **out)
{
    const json_place at = json_member(of, "scale");
    const deft_status s = json_get_numbers(&r->s, &at, n, false, out);
    for (int32_t i = 0; s == DEFT_OK && *out && i < n; i++)
        if ((*out)[i] == 0)
            return json_wrong(&r->s, &at, DEFT_E_FORMAT,
                              "is 0 (or too small for 32 bits), which would lose the value");
    return s;
}

static deft_status read_offset(const reader *r, const json_place *of, int32_t n, float **out)
{
    const json_place at = json_member(of, "offset");
    const char *const text = json_string_value(at.value);
    if (!text) return json_get_numbers(&r->s, &at, n, false, out);
    if (strcmp(text, "default_pose") != 0)
        return json_wrong(&r->s, &at, DEFT_E_FORMAT,
                          "must be a number, %d of them, or \"default_pose\"", (int)n);
    if (!r->default_pose || r->n_joint != n)
        return json_wrong(&r->s, &at, DEFT_E_FORMAT,
                          "needs joints.default_pose of %d joints; there are %d", (int)n,
                          r->default_pose ? (int)r->n_joint : 0);
    *out = deft_arena_copy(r->s.a, r->default_pose, (size_t)n * sizeof **out);
    return *out ? DEFT_OK : no_memory(r);
}

static deft_status read_ranges(const reader *r, const json_place *of, const char *key, int32_t n,
                               float **range[2])
{
    const json_place at = json_member(of, key);
    return json_get_ranges(&r->s, &at, n, range[0], range[1]);
}

/* How many there are: as many as names, or `size`; absent: otherwise. */
static deft_status read_size(const reader *r, const json_place *of, int32_t otherwise, int32_t *n)
{
    const json_place names = json_member(of, "names"), size = json_member(of, "size");
    const size_t listed = json_array_size(names.value);
    deft_status s = DEFT_OK;
    *n = otherwise;
    if (size.value) s = json_get_count(&r->s, &size, 1, MAX_WIDTH, n);
    if (s != DEFT_OK || !names.value) return s;
    if (listed < 1 || listed > MAX_WIDTH)
        return json_wrong(&r->s, &names, DEFT_E_FORMAT, "must be a list of 1 to %d names",
                          MAX_WIDTH);
    if (size.value && listed != (size_t)*n)
        return json_wrong(&r->s, &names, DEFT_E_FORMAT, "lists %zu, and size says %d", listed,
                          (int)*n);
    *n = (int32_t)listed;
    return s;
}

/* --- observations ---------------------------------------------------------------------------- */

static deft_status read_history(const reader *r, const json_place *at, deft_contract_history *out)
{
    static const char *const keys[] = {"length", "order", "interleaving", "start", NULL};
    static const char *const order[] = {"oldest_first", "newest_first", NULL};
    static const char *const interleaving[] = {"by_term", "by_frame", NULL};
    static const char *const start[] = {"zeros", "first_frame", NULL};
    static const char *const *const choices[] = {order, interleaving, start};
    int32_t length = 1, v[3] = {0};
    deft_status s = json_only(&r->s, at, keys);
    const json_place l = json_member(at, keys[0]);
    if (s == DEFT_OK) s = json_get_count(&r->s, &l, 1, MAX_LENGTH, &length);
    for (int k = 0; s == DEFT_OK && k < 3; k++) {
        const json_place x = json_member(at, keys[k + 1]);
        if (length > 1 || x.value) s = json_get_choice(&r->s, &x, choices[k], &v[k]);
    }
    *out = (deft_contract_history){length, v[0] == 1, v[1] == 1, v[2] == 1};
    return s;
}

/* What the elements of a term are called. */
static deft_status name_term(const reader *r, const json_place *at, deft_contract_term *t)
{
    const json_place one = json_member(at, "name"), all = json_member(at, "names");
    const char *name = NULL;
    if (one.value && all.value)
        return json_wrong(&r->s, at, DEFT_E_FORMAT, "has both name and names: one of them");
    if (all.value) return json_get_texts(&r->s, &all, t->size, true, MAX_NAME, &t->name);
    const deft_status s = json_get_text(&r->s, &one, MAX_NAME, &name);
    if (s != DEFT_OK) return s;
    if (!*name) return json_wrong(&r->s, &one, DEFT_E_FORMAT, "is empty");
    t->name = DEFT_NEW_ARRAY(r->s.a, const char *, t->size);
    for (int32_t i = 0; t->name && i < t->size; i++) {
        t->name[i] = t->size == 1 ? name : deft_arena_printf(r->s.a, "%s[%d]", name, (int)i);
        if (!t->name[i]) return no_memory(r);
    }
    return t->name ? DEFT_OK : no_memory(r);
}

/* All terms together, before anything is allocated for this one. */
static deft_status add_width(reader *r, const json_place *at, int32_t size)
{
    if (size > MAX_WIDTH - r->width)
        return json_wrong(&r->s, at, DEFT_E_FORMAT, "makes it more than %d inputs", MAX_WIDTH);
    r->width += size;
    return DEFT_OK;
}

static deft_status read_sensed(reader *r, const json_place *at, deft_contract_term *t)
{
    static const char *const keys[] = {"name",  "names", "size",   "unit",    "offset",
                                       "scale", "clip",  "limits", "history", NULL};
    float **limits[2] = {&t->least, &t->most};
    const json_place unit = json_member(at, "unit");
    deft_status s = json_only(&r->s, at, keys);
    if (s == DEFT_OK) s = read_size(r, at, 1, &t->size);
    if (s == DEFT_OK) s = add_width(r, at, t->size);
    if (s == DEFT_OK) s = name_term(r, at, t);
    if (s == DEFT_OK) s = json_get_texts(&r->s, &unit, t->size, false, MAX_NAME, &t->unit);
    return s == DEFT_OK ? read_ranges(r, at, "limits", t->size, limits) : s;
}

static deft_status read_previous(reader *r, const json_place *at, deft_contract_term *t)
{
    static const char *const keys[] = {"source", "name", "size",    "offset",
                                       "scale",  "clip", "history", NULL};
    static const char *const sources[] = {"previous_action", NULL};
    const json_place source = json_member(at, "source"), size = json_member(at, "size");
    int32_t which = 0;
    deft_status s = json_get_choice(&r->s, &source, sources, &which);
    if (s == DEFT_OK) s = json_only(&r->s, at, keys);
    t->previous = true;
    t->size = r->f->n_act;
    if (s == DEFT_OK && (size.value || t->size == 0))
        s = json_get_count(&r->s, &size, 1, MAX_WIDTH, &t->size);
    return s == DEFT_OK ? add_width(r, at, t->size) : s;
}

static deft_status read_term(reader *r, const json_place *at, deft_contract_term *t)
{
    float **clip[2] = {&t->lo, &t->hi};
    const json_place history = json_member(at, "history");
    t->history = r->history;
    deft_status s =
        json_member(at, "source").value ? read_previous(r, at, t) : read_sensed(r, at, t);
    if (s == DEFT_OK) s = read_offset(r, at, t->size, &t->offset);
    if (s == DEFT_OK) s = read_scale(r, at, t->size, &t->scale);
    if (s == DEFT_OK) s = read_ranges(r, at, "clip", t->size, clip);
    return s == DEFT_OK && history.value ? read_history(r, &history, &t->history) : s;
}

static deft_status check_observations(const reader *r, const json_place *at)
{
    const deft_contract_file *const f = r->f;
    int64_t inputs = 0;
    for (int32_t k = 0; k < f->n_term; k++)
        inputs += (int64_t)f->term[k].size * f->term[k].history.length;
    if (inputs > MAX_WIDTH)
        return json_wrong(&r->s, at, DEFT_E_FORMAT, "make %lld inputs; at most %d are taken",
                          (long long)inputs, MAX_WIDTH);
    const char **name = DEFT_NEW_ARRAY(r->s.a, const char *, inputs);
    int32_t n = 0;
    if (!name) return no_memory(r);
    for (int32_t k = 0; k < f->n_term; k++)
        for (int32_t i = 0; f->term[k].name && i < f->term[k].size; i++)
            name[n++] = f->term[k].name[i];
    return check_names(r, at, name, n);
}

static deft_status read_observations(reader *r, const json_place *root)
{
    const json_place at = json_member(root, "observations"), all = json_member(root, "history");
    const size_t n = json_array_size(at.value);
    if (n < 1 || n > MAX_TERMS)
        return json_wrong(&r->s, &at, DEFT_E_FORMAT,
                          "must be a list of 1 to %d objects, the terms of the policy's input",
                          MAX_TERMS);
    r->history.length = 1;
    deft_status s = all.value ? read_history(r, &all, &r->history) : DEFT_OK;
    r->f->term = DEFT_NEW_ARRAY(r->s.a, deft_contract_term, n);
    if (!r->f->term) return no_memory(r);
    for (size_t k = 0; s == DEFT_OK && k < n; k++) {
        const json_place term = json_element(&at, k);
        s = read_term(r, &term, &r->f->term[r->f->n_term++]);
    }
    return s == DEFT_OK ? check_observations(r, &at) : s;
}

/* --- actions --------------------------------------------------------------------------------- */

static deft_status read_actions(const reader *r, const json_place *root)
{
    static const char *const keys[] = {"size",   "names",  "unit",     "clip", "scale",
                                       "offset", "limits", "feedback", NULL};
    static const char *const feedback[] = {"raw", "clipped", "applied", "built in", NULL};
    deft_contract_file *const f = r->f;
    float **clip[2] = {&f->act_clip_lo, &f->act_clip_hi}, **limits[2] = {&f->act_lo, &f->act_hi};
    const json_place at = json_member(root, "actions");
    if (!at.value) return DEFT_OK;
    const json_place names = json_member(&at, "names"), unit = json_member(&at, "unit");
    const json_place fed = json_member(&at, "feedback");
    int32_t choice = -1;
    deft_status s = json_only(&r->s, &at, keys);
    if (s == DEFT_OK) s = read_size(r, &at, 0, &f->n_act);
    if (s == DEFT_OK && f->n_act == 0)
        s = json_wrong(&r->s, &at, DEFT_E_FORMAT, "must say names, or at least size");
    if (s == DEFT_OK) s = json_get_texts(&r->s, &names, f->n_act, true, MAX_NAME, &f->act_name);
    if (s == DEFT_OK && f->act_name) s = check_names(r, &names, f->act_name, f->n_act);
    if (s == DEFT_OK) s = json_get_texts(&r->s, &unit, f->n_act, false, MAX_NAME, &f->act_unit);
    if (s == DEFT_OK) s = read_ranges(r, &at, "clip", f->n_act, clip);
    if (s == DEFT_OK) s = read_scale(r, &at, f->n_act, &f->act_scale);
    if (s == DEFT_OK) s = read_offset(r, &at, f->n_act, &f->act_offset);
    if (s == DEFT_OK) s = read_ranges(r, &at, "limits", f->n_act, limits);
    if (s == DEFT_OK && fed.value) s = json_get_choice(&r->s, &fed, feedback, &choice);
    f->feedback = (deft_feedback)(choice + 1);
    return s;
}

/* --- the whole ------------------------------------------------------------------------------- */

static deft_status read_period(const reader *r, const json_place *root)
{
    const json_place period = json_member(root, "period_s"), rate = json_member(root, "rate_hz");
    float ignored;
    if (period.value && rate.value)
        return json_wrong(&r->s, &rate, DEFT_E_FORMAT, "and period_s are both there: one of them");
    const json_place *const at = rate.value ? &rate : &period;
    if (!at->value) return DEFT_OK;
    const deft_status s = json_get_number(&r->s, at, &ignored);
    const double v = json_number_value(at->value), period_s = rate.value ? 1 / v : v;
    if (s == DEFT_OK && !(v > 0 && period_s >= 1e-6 && period_s <= 4000))
        return json_wrong(&r->s, at, DEFT_E_FORMAT, "must be a period from 1e-6 to 4000 s");
    r->f->period_s = round(period_s * 1e6) / 1e6; // as images hold it
    return s;
}

static deft_status read_root(reader *r, const json_place *root)
{
    static const char *const keys[] = {
        "deft_contract", "name",    "period_s", "rate_hz", "own_scaling", "history",
        "observations",  "actions", "joints",   "notes",   NULL};
    static const char *const scaling[] = {"keep", "replace", NULL};
    const json_place version = json_member(root, "deft_contract");
    const json_place name = json_member(root, "name"), own = json_member(root, "own_scaling");
    int32_t choice = -1;
    if (!json_is_integer(version.value) || json_integer_value(version.value) != VERSION)
        return json_wrong(&r->s, &version, version.value ? DEFT_E_VERSION : DEFT_E_FORMAT,
                          "must be %d, the version of this format", VERSION);
    deft_status s = json_only(&r->s, root, keys);
    if (s == DEFT_OK) s = json_get_text(&r->s, &name, MAX_NAME, &r->f->name);
    if (s == DEFT_OK && !r->f->name[0]) s = json_wrong(&r->s, &name, DEFT_E_FORMAT, "is empty");
    if (s == DEFT_OK) s = read_period(r, root);
    if (s == DEFT_OK && own.value) s = json_get_choice(&r->s, &own, scaling, &choice);
    r->f->own_scaling = (deft_own_scaling)(choice + 1);
    if (s == DEFT_OK) s = read_joints(r, root);
    if (s == DEFT_OK) s = read_actions(r, root);
    if (s == DEFT_OK) s = read_observations(r, root);
    return s == DEFT_OK ? read_notes(r, root) : s;
}

deft_status deft_contract_read(deft_bytes text, const char *path, deft_arena *a,
                               deft_contract_file *out, deft_error *err)
{
    char where[160];
    json_t *root = NULL;
    *out = (deft_contract_file){
        .where = deft_arena_strndup(a, deft_escape(where, sizeof where, path, 4096), sizeof where)};
    reader r = {.s = {out->where, a, err}, .f = out};
    if (!out->where) return deft_fail(err, DEFT_E_SPACE, "no memory for the contract");
    if (text.size > MAX_TEXT)
        return deft_fail(err, DEFT_E_FORMAT, "%s: over %d MiB, which no contract takes", out->where,
                         MAX_TEXT >> 20);
    deft_status s = json_read(&r.s, text, &root);
    const json_place all = {NULL, NULL, 0, root};
    if (s == DEFT_OK) s = read_root(&r, &all);
    json_decref(root);
    return s;
}
