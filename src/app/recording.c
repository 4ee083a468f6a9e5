/* recording.c - recorded observations: which columns are what, where episodes begin, and how they
 * fit a policy. One reader serves 'run', 'compare' and 'quantize'. */
#include "app/recording_table.h"
#include "deft/app.h"

#include <ctype.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "obs12" with prefix "obs" is 12; -1 for another name. */
static int32_t numbered(const char *name, const char *prefix)
{
    const size_t n = strlen(prefix);
    if (strncmp(name, prefix, n) != 0 || !isdigit((unsigned char)name[n])) return -1;
    char *end;
    const long v = strtol(name + n, &end, 10);
    return *end == '\0' && v <= INT16_MAX ? (int32_t)v : -1;
}

/* "h2_17" is 17 of layer 2. */
static int32_t hidden_number(const char *name, const char *prefix)
{
    (void)prefix;
    if (name[0] != 'h' || !isdigit((unsigned char)name[1])) return -1;
    const char *const bar = strchr(name, '_');
    return bar ? numbered(bar, "_") : -1;
}

/* Columns prefix0, prefix1, ... each once and without a gap: their number, or -1 - the first one
 * that is missing or there twice. */
static int32_t collect(const deft_csv *csv, int32_t (*number)(const char *, const char *),
                       const char *prefix, int32_t *at)
{
    int32_t n = 0, wrong = INT32_MAX;
    for (int32_t c = 0; c < csv->n_column; c++) at[c] = -1;
    for (int32_t c = 0; c < csv->n_column; c++) {
        const int32_t k = number(csv->name[c], prefix);
        if (k < 0) continue;
        n++;
        if (k >= csv->n_column) continue; // then one below is missing
        if (at[k] >= 0 && k < wrong) wrong = k;
        at[k] = c;
    }
    for (int32_t k = 0; k < n && k < wrong; k++)
        if (at[k] < 0) wrong = k;
    return wrong == INT32_MAX ? n : -1 - wrong;
}

static bool is_in(const char *name, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(name, *list) == 0) return true;
    return false;
}

/* What says when and in which episode, and what the policy does not see. */
static bool is_bookkeeping(const char *name)
{
    static const char *const list[] = {
        "step",          "time", "t",          "reward",    "episode", "episode_no",
        "episode_start", "done", "terminated", "truncated", "id",      NULL};
    return is_in(name, list);
}

/* Measures of an environment beside numbered observations, as in the project's golden rollouts. */
static bool is_measure(const char *name)
{
    static const char *const list[] = {"x_cm", "distance_cm", "yaw",    "pitch",
                                       "roll", "current",     "torque", NULL};
    return is_in(name, list);
}

static bool is_other(const char *name)
{
    return is_bookkeeping(name) || numbered(name, "act") >= 0 || hidden_number(name, "") >= 0;
}

static int32_t column_named(const deft_csv *csv, const char *name)
{
    for (int32_t k = 0; k < csv->n_column; k++)
        if (strcmp(csv->name[k], name) == 0) return k;
    return -1;
}

static double cell_of(const deft_csv *csv, int32_t row, int32_t column)
{
    return csv->cell[(size_t)row * (size_t)csv->n_column + (size_t)column];
}

static deft_status no_memory(deft_error *err)
{
    return deft_fail(err, DEFT_E_SPACE, "no memory");
}

static float *gather(const deft_csv *csv, const int32_t *at, int32_t n, deft_arena *a)
{
    float *x = DEFT_NEW_ARRAY(a, float, (size_t)csv->n_row *(size_t)n);
    for (int32_t r = 0; x && r < csv->n_row; r++) {
        for (int32_t k = 0; k < n; k++)
            x[(size_t)r * (size_t)n + (size_t)k] = (float)cell_of(csv, r, at[k]);
    }
    return x;
}

/* Observations of these columns, divided by divisor [n] where there is one; the first that is no
 * number is an error. */
static deft_status gather_obs(deft_recording *r, const int32_t *at, const float *divisor, int32_t n,
                              deft_arena *a, deft_error *err)
{
    const char **name = DEFT_NEW_ARRAY(a, const char *, n);
    float *const obs = gather(r->table, at, n, a);
    r->obs = obs;
    r->n_obs = n;
    r->obs_name = name;
    if (!obs || !name) return no_memory(err);
    for (size_t i = 0; divisor && i < (size_t)r->n_row * (size_t)n; i++)
        obs[i] /= divisor[i % (size_t)n];
    for (int32_t k = 0; k < n; k++) name[k] = r->table->name[at[k]];
    for (size_t i = 0; i < (size_t)r->n_row * (size_t)n; i++) {
        if (isfinite(r->obs[i])) continue;
        char shown[64];
        return deft_fail(err, DEFT_E_FORMAT, "row %zu, column %s: not a finite number",
                         i / (size_t)n + 1,
                         deft_escape(shown, sizeof shown, name[i % (size_t)n], 1024));
    }
    return DEFT_OK;
}

/* An episode number that changes, a step that does not grow, a start, the row after an end. */
static deft_status find_episodes(deft_recording *r, deft_arena *a, deft_error *err)
{
    static const char *const ends[] = {"done", "terminated", "truncated"};
    const deft_csv *const t = r->table;
    const int32_t named = column_named(t, "episode"), step = column_named(t, "step");
    const int32_t episode = named >= 0 ? named : column_named(t, "episode_no");
    const int32_t start = column_named(t, "episode_start");
    uint8_t *const first = DEFT_NEW_ARRAY(a, uint8_t, r->n_row);
    if (!first) return no_memory(err);
    for (int32_t i = 0; i < r->n_row; i++) {
        bool begins = i == 0;
        if (i && episode >= 0) begins |= cell_of(t, i, episode) != cell_of(t, i - 1, episode);
        if (i && step >= 0) begins |= !(cell_of(t, i, step) > cell_of(t, i - 1, step));
        if (start >= 0) begins |= cell_of(t, i, start) > 0;
        for (size_t k = 0; i && k < sizeof ends / sizeof *ends; k++) {
            const int32_t c = column_named(t, ends[k]);
            if (c >= 0) begins |= cell_of(t, i - 1, c) > 0;
        }
        first[i] = begins;
        r->n_episode += begins;
    }
    r->first = first;
    return DEFT_OK;
}

static deft_status find_columns(deft_recording *r, deft_arena *a, deft_error *err)
{
    const deft_csv *const csv = r->table;
    const size_t n = (size_t)csv->n_column;
    int32_t *const at = DEFT_NEW_ARRAY(a, int32_t, 3 * n);
    if (!at) return no_memory(err);
    int32_t *const obs = at, *const act = at + n, *const hidden = at + 2 * n;
    int32_t n_obs = collect(csv, numbered, "obs", obs);
    r->n_act = collect(csv, numbered, "act", act);
    r->n_hidden = collect(csv, hidden_number, "", hidden);
    if (n_obs < 0 || r->n_act < 0)
        return deft_fail(err, DEFT_E_FORMAT, "column %s%d is missing or there twice",
                         n_obs < 0 ? "obs" : "act", -1 - (n_obs < 0 ? n_obs : r->n_act));
    if (r->n_hidden < 0) r->n_hidden = 0; // of several layers: not ours to compare
    r->named = n_obs == 0;
    r->act = gather(csv, act, r->n_act, a);
    r->hidden = gather(csv, hidden, r->n_hidden, a);
    if (!r->act || !r->hidden) return no_memory(err);
    if (r->log) return DEFT_OK; // its observations have the names of a contract
    for (int32_t c = 0; r->named && c < csv->n_column; c++)
        if (!is_other(csv->name[c])) obs[n_obs++] = c;
    if (!n_obs)
        return deft_fail(err, DEFT_E_FORMAT, "no columns of observations (obs0, obs1, ...)");
    return gather_obs(r, obs, NULL, n_obs, a, err);
}

static deft_status name_file(const char *path, deft_status s, deft_error *err)
{
    char name[256];
    (void)deft_escape(name, sizeof name, path, PATH_MAX);
    if (s != DEFT_OK && err && !strstr(err->text, name)) (void)deft_error_prefix(err, "%s", name);
    return s;
}

deft_status deft_recording_read(const char *path, deft_arena *a, deft_recording *out,
                                deft_error *err)
{
    deft_csv *const table = DEFT_NEW(a, deft_csv);
    *out = (deft_recording){.source = path, .table = table};
    deft_status s = table ? recording_table(path, a, table, &out->log, err) : no_memory(err);
    if (s == DEFT_OK && table->n_row == 0)
        s = deft_fail(err, DEFT_E_FORMAT, "no rows below the header");
    if (s == DEFT_OK) {
        out->n_row = table->n_row;
        s = find_columns(out, a, err);
    }
    if (s == DEFT_OK) s = find_episodes(out, a, err);
    return name_file(path, s, err);
}

/* --- fitting a policy ------------------------------------------------------------------------ */

static bool is_name_of(const deft_contract *c, const char *name)
{
    for (int32_t i = 0; c && c->obs_name && i < c->n_obs; i++)
        if (strcmp(c->obs_name[i], name) == 0) return true;
    for (int32_t i = 0; c && c->act_name && i < c->n_act; i++)
        if (strcmp(c->act_name[i], name) == 0) return true;
    return false;
}

/* Columns that no rule knows: all of them in one error. */
static deft_status refuse_surplus(const deft_recording *r, const deft_contract *c, deft_error *err)
{
    char list[256] = "", name[64];
    size_t n = 0;
    int32_t count = 0;
    for (int32_t k = 0; k < r->table->n_column; k++) {
        const char *const column = r->table->name[k];
        const bool known = is_other(column) || is_name_of(c, column) ||
                           (!r->named && (numbered(column, "obs") >= 0 || is_measure(column)));
        if (known) continue;
        count++;
        if (n + sizeof name + 3 > sizeof list) continue;
        const int len = snprintf(list + n, sizeof list - n, "%s%s", n ? ", " : "",
                                 deft_escape(name, sizeof name, column, 1024));
        n += len > 0 ? (size_t)len : 0;
    }
    if (!count) return DEFT_OK;
    return deft_fail(err, DEFT_E_MISMATCH,
                     "%d column%s that %s no observation of the policy, nor act*, h*, step, time, "
                     "reward, episode, done: %s; remove %s",
                     count, count == 1 ? "" : "s", count == 1 ? "is" : "are", list,
                     count == 1 ? "it" : "them");
}

/* The column of observation i; logs of the quaid call some otherwise. */
static int32_t column_of(const deft_recording *r, const deft_contract *c, int32_t i)
{
    const char *const name = c->obs_name[i];
    const int32_t k = column_named(r->table, name);
    if (k >= 0 || !r->log) return k;
    if (strcmp(name, "current_total") == 0) return column_named(r->table, "current");
    for (int32_t s = 0; c->act_name && s < c->n_act && strncmp(name, "servo_", 6) == 0; s++) {
        char servo[24];
        if (strcmp(name + 6, c->act_name[s]) != 0) continue;
        (void)snprintf(servo, sizeof servo, "servo%d", (int)s);
        return column_named(r->table, servo);
    }
    return -1;
}

static deft_status take_actions(deft_recording *r, const deft_contract *c, deft_arena *a,
                                deft_error *err)
{
    int32_t *const at = DEFT_NEW_ARRAY(a, int32_t, c->n_act);
    if (!at) return no_memory(err);
    if (r->log) { // of up to eight
        r->n_act = r->n_act < c->n_act ? r->n_act : c->n_act;
        for (int32_t i = 0; i < r->n_act; i++) at[i] = column_named(r->table, "act0") + i;
    } else if (r->n_act || !c->act_name) {
        return DEFT_OK;
    } else {
        for (int32_t i = 0; i < c->n_act; i++) {
            at[i] = column_named(r->table, c->act_name[i]);
            if (at[i] < 0) return DEFT_OK; // not recorded
        }
        r->n_act = c->n_act;
    }
    r->act = gather(r->table, at, r->n_act, a);
    return r->act ? DEFT_OK : no_memory(err);
}

static deft_status take_names(deft_recording *r, const deft_contract *c, deft_arena *a,
                              deft_error *err)
{
    int32_t *const at = DEFT_NEW_ARRAY(a, int32_t, c->n_obs);
    char name[64];
    if (!at) return no_memory(err);
    for (int32_t i = 0; i < c->n_obs; i++) {
        at[i] = column_of(r, c, i);
        if (at[i] >= 0) continue;
        return deft_fail(err, DEFT_E_MISMATCH,
                         "no column '%s': the columns are either obs0, obs1, ... or named as the "
                         "policy's observations ('deft info --contract-table')",
                         deft_escape(name, sizeof name, c->obs_name[i], 1024));
    }
    float *const divisor = DEFT_NEW_ARRAY(a, float, c->n_obs);
    if (!divisor) return no_memory(err);
    for (int32_t i = 0; i < c->n_obs; i++) divisor[i] = deft_contract_known_divisor(c, i);
    const deft_status s = gather_obs(r, at, r->log ? divisor : NULL, c->n_obs, a, err);
    return s == DEFT_OK ? take_actions(r, c, a, err) : s;
}

static bool has_a_name(const deft_recording *r, const deft_contract *c)
{
    for (int32_t i = 0; c && c->obs_name && i < c->n_obs; i++)
        if (column_named(r->table, c->obs_name[i]) >= 0) return true;
    return false;
}

deft_status deft_recording_fit(deft_recording *r, const deft_contract *c, deft_arena *a,
                               deft_error *err)
{
    deft_status s = DEFT_OK;
    // a contract of one's own names them, or else all columns count, in the order they come in
    const bool by_name = c && c->obs_name && (c->name && c->name[0] ? true : has_a_name(r, c));
    if (r->log && !by_name)
        s = deft_fail(err, DEFT_E_MISMATCH,
                      "a log names what it holds, and the policy's observations have no names "
                      "(--contract gives them)");
    if (s == DEFT_OK && r->named && by_name) s = take_names(r, c, a, err);
    if (s == DEFT_OK && !r->log && (by_name || !r->named)) s = refuse_surplus(r, c, err);
    return name_file(r->source, s, err);
}
