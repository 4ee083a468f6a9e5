/* onnx_contract.c - the contract from metadata_props: our own, and what the exporters of
 * legged-robot stacks write (Isaac Lab's and mjlab's attach_onnx_metadata, whole_body_tracking,
 * exploy). Theirs are lists as "a,b,c", as JSON or as Python prints them. */
#include "deft/formats.h"
#include "formats/contract_json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ITEMS = 4096, MAX_LIST = 1 << 17, MAX_NOTE = 8192, MAX_NAME = 128 };

typedef struct list {
    int32_t n;
    char **item;
} list;

static bool is_edge(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '"' || c == '\'';
}

/* Strips white space and quotes, in place. */
static char *trim(char *s)
{
    while (is_edge(*s)) s++;
    size_t n = strlen(s);
    while (n > 0 && is_edge(s[n - 1])) s[--n] = '\0';
    return s;
}

/* The items of "a, b", ["a", "b"], ('a', 'b') or {"a": 1, "b": 2} (where they are `"a": 1`). */
static list split(const char *text, deft_arena *a)
{
    list l = {0};
    const size_t size = text ? strnlen(text, MAX_LIST + 1) : 0;
    char *s = size > 0 && size <= MAX_LIST ? deft_arena_strndup(a, text, size) : NULL;
    if (!s) return l;
    s = trim(s);
    const size_t n = strlen(s);
    if (n >= 2 && strchr("[({", s[0]) && strchr("])}", s[n - 1])) {
        s[n - 1] = '\0';
        s++;
    }
    int32_t count = 1;
    for (const char *p = s; *p; p++) count += *p == ',';
    if (count > MAX_ITEMS) return l;
    l.item = DEFT_NEW_ARRAY(a, char *, count);
    if (!l.item) return l;
    while (s) {
        char *comma = strchr(s, ',');
        if (comma) *comma = '\0';
        char *item = trim(s);
        if (*item || comma) l.item[l.n++] = item; // ("a",) has no second item
        s = comma ? comma + 1 : NULL;
    }
    return l;
}

static bool number(const char *s, double *v)
{
    char *end = NULL;
    if (!*s) return false;
    *v = strtod(s, &end);
    return *end == '\0' && isfinite(*v) && fabs(*v) < 1e9;
}

typedef struct contract_source {
    const deft_graph *g;
    deft_model *m;
    deft_arena *work;
    deft_error *err;
} contract_source;

static list get_list(const contract_source *s, const char *key)
{
    return split(deft_graph_meta(s->g, key), s->work);
}

static deft_status no_memory(const contract_source *s)
{
    return deft_fail(s->err, DEFT_E_SPACE, "no memory for the contract");
}

/* n floats of key; one value stands for all. *out NULL where the key is absent or does not fit,
 * which is noted. */
static deft_status get_floats(const contract_source *s, const char *key, int32_t n,
                              bool one_for_all, float **out)
{
    *out = NULL;
    const list l = get_list(s, key);
    if (!deft_graph_meta(s->g, key)) return DEFT_OK;
    float *v = DEFT_NEW_ARRAY(s->m->arena, float, n);
    if (!v) return no_memory(s);
    bool good = l.n == n || (one_for_all && l.n == 1);
    for (int32_t i = 0; good && i < n; i++) {
        double d = 0;
        good = number(l.item[l.n == 1 ? 0 : i], &d);
        v[i] = (float)d;
    }
    if (!good)
        return deft_model_assume(s->m,
                                 "metadata '%s' is left out: %d values (%d numbers are wanted)",
                                 key, (int)l.n, (int)n);
    *out = v;
    return DEFT_OK;
}

static const char *keep(const contract_source *s, const char *text)
{
    return deft_arena_strndup(s->m->arena, text, MAX_NOTE);
}

/* --- actions --------------------------------------------------------------------------------- */

static deft_status read_joint_names(const contract_source *s, list joints)
{
    deft_contract *c = &s->m->contract;
    if (joints.n == 0) return DEFT_OK;
    if (joints.n != c->n_act || c->discrete)
        return deft_model_assume(s->m,
                                 "joint_names lists %d joints and the policy has %d actions: "
                                 "the actions stay without names",
                                 (int)joints.n, (int)c->n_act);
    const char **name = DEFT_NEW_ARRAY(s->m->arena, const char *, c->n_act);
    if (!name) return no_memory(s);
    for (int32_t i = 0; i < c->n_act; i++)
        if (!(name[i] = deft_arena_strndup(s->m->arena, joints.item[i], MAX_NAME)))
            return no_memory(s);
    c->act_name = name;
    return DEFT_OK;
}

static float *filled(deft_arena *a, int32_t n, const float *from, float absent)
{
    float *v = DEFT_NEW_ARRAY(a, float, n);
    for (int32_t i = 0; v && i < n; i++) v[i] = from ? from[i] : absent;
    return v;
}

/* act = (what the policy gave so far) * scale + offset, limits along with it. */
static deft_status rescale(const contract_source *s, const float *scale, const float *offset)
{
    deft_contract *c = &s->m->contract;
    deft_arena *a = s->m->arena;
    const int32_t n = c->n_act;
    const bool limits = c->act_lo || c->act_hi;
    float *k = filled(a, n, c->act_scale, 1), *o = filled(a, n, c->act_offset, 0);
    float *lo = filled(a, n, c->act_lo, -INFINITY), *hi = filled(a, n, c->act_hi, INFINITY);
    if (!k || !o || !lo || !hi) return no_memory(s);
    for (int32_t i = 0; i < n; i++) {
        const float shift = offset ? offset[i] : 0;
        k[i] *= scale[i];
        o[i] = o[i] * scale[i] + shift;
        const float x = lo[i] * scale[i] + shift, y = hi[i] * scale[i] + shift;
        lo[i] = scale[i] < 0 ? y : x;
        hi[i] = scale[i] < 0 ? x : y;
    }
    c->act_scale = k;
    c->act_offset = o;
    if (limits) {
        c->act_lo = lo;
        c->act_hi = hi;
    }
    return DEFT_OK;
}

/* The stack outside the graph computes joint targets = default_joint_pos + action_scale * action.
 */
static deft_status read_action_scale(const contract_source *s)
{
    deft_contract *c = &s->m->contract;
    float *scale = NULL, *offset = NULL;
    if (c->discrete) return DEFT_OK;
    deft_status e = get_floats(s, "action_scale", c->n_act, true, &scale);
    if (e != DEFT_OK || !scale) return e;
    for (int32_t i = 0; i < c->n_act; i++)
        if (scale[i] == 0)
            return deft_model_assume(s->m, "metadata 'action_scale' is left out: it holds a zero");
    const char *from =
        deft_graph_meta(s->g, "action_offset") ? "action_offset" : "default_joint_pos";
    e = get_floats(s, from, c->n_act, false, &offset);
    if (e == DEFT_OK) e = rescale(s, scale, offset);
    if (e != DEFT_OK) return e;
    const char **unit = DEFT_NEW_ARRAY(s->m->arena, const char *, c->n_act);
    if (!unit) return no_memory(s);
    for (int32_t i = 0; i < c->n_act; i++) unit[i] = "rad";
    c->act_unit = unit;
    return offset ? deft_model_assume(
                        s->m,
                        "actions are joint targets: %s + action_scale * network output, as the "
                        "metadata says (the graph itself ends before that)",
                        from)
                  : deft_model_assume(
                        s->m, "actions are offsets from the default pose: action_scale * network "
                              "output, as the metadata says (the graph itself ends before that)");
}

/* --- observations ---------------------------------------------------------------------------- */

typedef struct term {
    const char *name;
    int32_t size, history; // size 0: not known
    bool of_joints;
} term;

static int32_t known_size(const char *name, int32_t n_joint, int32_t n_act, bool *of_joints)
{
    static const char *const vector[] = {"base_lin_vel", "base_ang_vel",      "lin_vel",
                                         "ang_vel",      "projected_gravity", "gravity"};
    static const char *const joint[] = {"joint_pos",     "joint_vel", "joint_pos_rel",
                                        "joint_vel_rel", "dof_pos",   "dof_vel"};
    static const char *const action[] = {"actions",      "action",       "last_action",
                                         "last_actions", "prev_actions", "previous_actions"};
    for (size_t i = 0; i < sizeof vector / sizeof *vector; i++)
        if (strcmp(name, vector[i]) == 0) return 3;
    for (size_t i = 0; i < sizeof joint / sizeof *joint; i++) {
        *of_joints = strcmp(name, joint[i]) == 0;
        if (*of_joints) return n_joint;
    }
    for (size_t i = 0; i < sizeof action / sizeof *action; i++)
        if (strcmp(name, action[i]) == 0) return n_act;
    return 0;
}

/* History lengths: a list in the order of the terms, one number for all, or name: length. */
static int32_t history_of(const contract_source *s, const list *lengths, int32_t i,
                          const char *name)
{
    double v = 1;
    if (lengths->n == 0) return 1;
    for (int32_t k = 0; k < lengths->n; k++) {
        const char *colon = strchr(lengths->item[k], ':');
        if (!colon) break;
        char *key =
            deft_arena_strndup(s->work, lengths->item[k], (size_t)(colon - lengths->item[k]));
        while (*++colon == ' ') {
        }
        if (key && strcmp(trim(key), name) == 0 && number(colon, &v) && v >= 1 && v < 1000)
            return (int32_t)v;
    }
    const int32_t at = lengths->n == 1 ? 0 : i;
    return at < lengths->n && number(lengths->item[at], &v) && v >= 1 && v < 1000 ? (int32_t)v : 1;
}

/* Sizes of all terms; one unknown size is what the others leave. */
static bool size_terms(term *t, int32_t n, int64_t n_obs)
{
    int64_t known = 0;
    term *open = NULL;
    for (int32_t i = 0; i < n; i++) {
        if (t[i].size == 0 && open) return false;
        if (t[i].size == 0)
            open = &t[i];
        else
            known += (int64_t)t[i].size * t[i].history;
    }
    const int64_t left = n_obs - known;
    if (!open) return left == 0;
    if (left <= 0 || left % open->history != 0) return false;
    open->size = (int32_t)(left / open->history);
    return true;
}

/* Names of one term's elements, oldest step first; returns how many. */
static int32_t name_term(const contract_source *s, const term *t, const list *joints,
                         const char **name)
{
    int32_t n = 0;
    for (int32_t step = 1 - t->history; step <= 0; step++)
        for (int32_t i = 0; i < t->size; i++) {
            char which[160] = "", when[16] = "";
            if (t->of_joints && i < joints->n)
                (void)snprintf(which, sizeof which, ".%.128s", joints->item[i]);
            else if (t->size > 1)
                (void)snprintf(which, sizeof which, "[%d]", (int)i);
            if (step < 0) (void)snprintf(when, sizeof when, "@%d", (int)step);
            name[n++] = deft_arena_printf(s->m->arena, "%.128s%s%s", t->name, which, when);
        }
    return n;
}

static deft_status read_observation_names(const contract_source *s, const list *joints)
{
    deft_contract *c = &s->m->contract;
    const bool exploy = !deft_graph_meta(s->g, "observation_names");
    const list names = get_list(s, exploy ? "obs_term_names" : "observation_names");
    const bool per_term = deft_graph_meta(s->g, "observation_history_lengths") != NULL;
    const list lengths =
        get_list(s, per_term ? "observation_history_lengths" : "observation_history_length");
    if (names.n == 0) return DEFT_OK;
    term *t = DEFT_NEW_ARRAY(s->work, term, names.n);
    const char **name = DEFT_NEW_ARRAY(s->m->arena, const char *, c->n_obs);
    if (!t || !name) return no_memory(s);
    for (int32_t i = 0; i < names.n; i++) {
        t[i].name = names.item[i];
        t[i].history = history_of(s, &lengths, i, names.item[i]);
        t[i].size = names.n == c->n_obs && t[i].history == 1
                        ? 1
                        : known_size(names.item[i], joints->n > 0 ? joints->n : c->n_act, c->n_act,
                                     &t[i].of_joints);
    }
    if (!size_terms(t, names.n, c->n_obs))
        return deft_model_assume(s->m,
                                 "the %d observation terms of the metadata cannot be laid out over "
                                 "%d inputs: they stay without names",
                                 (int)names.n, (int)c->n_obs);
    int32_t n = 0;
    for (int32_t i = 0; i < names.n; i++) n += name_term(s, &t[i], joints, name + n);
    for (int32_t i = 0; i < n; i++)
        if (!name[i]) return no_memory(s);
    c->obs_name = name;
    return names.n == n ? DEFT_OK
                        : deft_model_assume(s->m,
                                            "observations are the metadata's %d terms one after "
                                            "the other, each with its oldest step first",
                                            (int)names.n);
}

/* --- period and notes ------------------------------------------------------------------------ */

static double one_number(const deft_graph *g, const char *const *key)
{
    for (; *key; key++) {
        const char *text = deft_graph_meta(g, *key);
        double v = 0;
        if (text && number(text, &v)) return v;
    }
    return 0;
}

static void read_period(const contract_source *s)
{
    static const char *const step[] = {"sim_dt", "physics_dt", "dt", NULL};
    static const char *const decimation[] = {"decimation", NULL};
    static const char *const control[] = {"step_dt", "control_dt",     "ctrl_dt", "policy_dt",
                                          "period",  "control_period", NULL};
    static const char *const rate[] = {"policy_freq",       "policy_frequency", "control_freq",
                                       "control_frequency", "policy_hz",        NULL};
    double v = one_number(s->g, control);
    // exploy's update_rate is that of the physics: the policy runs every decimation-th step
    if (!(v > 0)) v = one_number(s->g, step) * one_number(s->g, decimation);
    if (!(v > 0) && one_number(s->g, rate) > 0) v = 1 / one_number(s->g, rate);
    if (v >= 1e-5 && v <= 100) s->m->contract.period_s = v;
}

static deft_status read_notes(const contract_source *s)
{
    static const char *const key[] = {
        "run_path",         "joint_names",       "joint_stiffness",
        "joint_damping",    "default_joint_pos", "action_scale",
        "action_offset",    "command_names",     "body_names",
        "anchor_body_name", "observation_names", "observation_history_lengths",
        "obs_term_names",   "decimation",        "sim_dt",
        "model_source",
    };
    enum { N = sizeof key / sizeof *key };
    deft_contract *c = &s->m->contract;
    deft_meta *note = DEFT_NEW_ARRAY(s->m->arena, deft_meta, c->n_note + N);
    if (!note) return no_memory(s);
    int32_t n = 0;
    for (; n < c->n_note; n++) note[n] = c->note[n];
    for (int i = 0; i < N; i++) {
        const char *v = deft_graph_meta(s->g, key[i]);
        if (!v || strlen(v) > MAX_NOTE) continue;
        note[n].key = key[i];
        note[n].value = keep(s, v);
        if (!note[n++].value) return no_memory(s);
    }
    c->note = note;
    c->n_note = n;
    return DEFT_OK;
}

deft_status deft_onnx_contract(const deft_graph *g, deft_model *m, deft_error *err)
{
    const char *own = deft_graph_meta(g, "deft.contract");
    deft_status e = DEFT_OK;
    if (own) {
        e = contract_from_json(own, m, err);
    } else {
        deft_arena *work = deft_arena_create(0);
        const contract_source s = {g, m, work, err};
        if (!work) return no_memory(&s);
        const list joints = get_list(&s, "joint_names");
        e = read_joint_names(&s, joints);
        if (e == DEFT_OK) e = read_action_scale(&s);
        if (e == DEFT_OK) e = read_observation_names(&s, &joints);
        if (e == DEFT_OK) e = read_notes(&s);
        if (e == DEFT_OK) read_period(&s);
        deft_arena_destroy(work);
    }
    return e == DEFT_OK ? deft_model_check(m, err) : e;
}
