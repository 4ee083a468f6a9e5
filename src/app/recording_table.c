/* recording_table.c - a recording's file, of whatever kind, as a table of named columns. */
#include "app/recording_table.h"

#include "deft/formats.h"

#include <stdio.h>
#include <string.h>

enum { MOST_COLUMNS = 4096 };

/* Names that an array may have, and what its columns are called. */
typedef struct role {
    const char *prefix, *names[6];
} role;

static const role matrix[] = {
    {"obs", {"obs", "observations", "observation", "states", "state"}},
    {"act", {"act", "actions", "action", "acts"}},
};
static const role flag[] = {
    {"episode_start", {"episode_starts", "episode_start"}},
    {"done", {"dones", "done", "terminals"}},
    {"terminated", {"terminated", "terminations"}},
    {"truncated", {"truncated", "truncations", "timeouts"}},
    {"reward", {"rewards", "reward"}},
    {"episode", {"episode", "episodes", "episode_no"}},
    {"step", {"step", "steps"}},
};
enum { N_MATRIX = sizeof matrix / sizeof *matrix, N_FLAG = sizeof flag / sizeof *flag };

static bool is_one_of(const char *name, const role *r)
{
    for (size_t k = 0; k < sizeof r->names / sizeof *r->names; k++)
        if (r->names[k] && strcmp(name, r->names[k]) == 0) return true;
    return false;
}

typedef struct table {
    deft_arena *a;
    deft_error *err;
    deft_npy part[N_MATRIX + N_FLAG];
    const char *prefix[N_MATRIX + N_FLAG];
    int32_t n;
} table;

/* "a, b [500 x 17], ...": what there is. */
static deft_status unknown_arrays(const table *t, const deft_npz *z)
{
    char list[300] = "", name[64];
    size_t n = 0;
    for (int32_t k = 0; k < z->n && n + 80 < sizeof list; k++) {
        const int len = snprintf(list + n, sizeof list - n, "%s%s", k ? ", " : "",
                                 deft_escape(name, sizeof name, z->name[k], 1024));
        n += len > 0 ? (size_t)len : 0;
    }
    return deft_fail(t->err, DEFT_E_FORMAT,
                     "no array of observations (obs, observations, observation, state, states; "
                     "with act, actions, episode_starts, dones, terminated, truncated): there are "
                     "%s",
                     n ? list : "none");
}

static deft_status add(table *t, const deft_npz *z, int32_t k, const char *prefix, bool wide)
{
    char shown[64];
    for (int32_t i = 0; i < t->n; i++)
        if (strcmp(t->prefix[i], prefix) == 0)
            return deft_fail(t->err, DEFT_E_FORMAT, "two arrays may be '%s', one of them is '%s'",
                             prefix, deft_escape(shown, sizeof shown, z->name[k], 1024));
    deft_npy *const x = &t->part[t->n];
    const deft_status s = deft_npz_read(z, k, t->a, x, t->err);
    if (s != DEFT_OK) return s;
    if (!wide && x->n_column != 1)
        return deft_fail(t->err, DEFT_E_FORMAT, "array '%s' has %d columns, not one",
                         deft_escape(shown, sizeof shown, z->name[k], 1024), x->n_column);
    t->prefix[t->n++] = prefix;
    return DEFT_OK;
}

static deft_status read_archive(table *t, deft_bytes b)
{
    deft_npz z;
    deft_status s = deft_npz_open(b, t->a, &z, t->err);
    for (int32_t k = 0; s == DEFT_OK && k < z.n; k++) {
        for (int32_t r = 0; s == DEFT_OK && r < N_MATRIX; r++)
            if (is_one_of(z.name[k], &matrix[r])) s = add(t, &z, k, matrix[r].prefix, true);
        for (int32_t r = 0; s == DEFT_OK && r < N_FLAG; r++)
            if (is_one_of(z.name[k], &flag[r])) s = add(t, &z, k, flag[r].prefix, false);
    }
    if (s != DEFT_OK) return s;
    for (int32_t i = 0; i < t->n; i++)
        if (strcmp(t->prefix[i], "obs") == 0) return DEFT_OK;
    if (z.n != 1) return unknown_arrays(t, &z);
    s = add(t, &z, 0, "obs", true); // the only one
    return s == DEFT_OK && t->part[t->n - 1].rank != 2 ? unknown_arrays(t, &z) : s;
}

static deft_status no_memory(deft_error *err)
{
    return deft_fail(err, DEFT_E_SPACE, "no memory");
}

/* All arrays side by side. */
static deft_status join(const table *t, deft_csv *out)
{
    int32_t columns = 0;
    const int32_t rows = t->part[0].n_row;
    for (int32_t i = 0; i < t->n; i++) {
        columns += t->part[i].n_column; // of at most 32767 each
        if (t->part[i].n_row != rows)
            return deft_fail(t->err, DEFT_E_FORMAT, "%s has %d rows, and %s has %d", t->prefix[i],
                             t->part[i].n_row, t->prefix[0], rows);
    }
    if (columns < 1 || columns > MOST_COLUMNS)
        return deft_fail(t->err, DEFT_E_RANGE, "%d columns: 1 to %d are read", columns,
                         MOST_COLUMNS);
    const char **name = DEFT_NEW_ARRAY(t->a, const char *, columns);
    double *cell = DEFT_NEW_ARRAY(t->a, double, (size_t)columns *(size_t)rows);
    if (!name || !cell) return no_memory(t->err);
    for (int32_t i = 0, at = 0; i < t->n; at += t->part[i].n_column, i++) {
        const deft_npy *const x = &t->part[i];
        const bool numbered = strcmp(t->prefix[i], "obs") == 0 || strcmp(t->prefix[i], "act") == 0;
        for (int32_t c = 0; c < x->n_column; c++) {
            name[at + c] =
                numbered ? deft_arena_printf(t->a, "%s%d", t->prefix[i], (int)c) : t->prefix[i];
            if (!name[at + c]) return no_memory(t->err);
            for (int32_t r = 0; r < rows; r++)
                cell[(size_t)r * (size_t)columns + (size_t)(at + c)] =
                    x->value[(size_t)r * (size_t)x->n_column + (size_t)c];
        }
    }
    *out = (deft_csv){columns, rows, name, cell};
    return DEFT_OK;
}

deft_status recording_table(const char *path, deft_arena *a, deft_csv *out, bool *log,
                            deft_error *err)
{
    deft_bytes b;
    table t = {.a = a, .err = err};
    *log = false;
    deft_status s = deft_file_read(path, 0, a, &b, err);
    if (s != DEFT_OK) return s;
    if (b.size >= 16 && memcmp(b.data, "SQLite format 3", 16) == 0) {
        *log = true;
        return recording_log_read(path, a, out, err);
    }
    const bool array = b.size >= 6 && memcmp(b.data, "\x93NUMPY", 6) == 0;
    const bool archive = b.size >= 4 && memcmp(b.data, "PK\3\4", 4) == 0;
    if (!array && !archive) return deft_csv_read(b, path, a, out, err);
    if (array) {
        s = deft_npy_read(b, a, &t.part[0], err);
        if (s == DEFT_OK && t.part[0].rank != 2)
            s = deft_fail(err, DEFT_E_FORMAT, "the array has one dimension, not [rows][columns]");
        t.prefix[t.n++] = "obs";
    } else {
        s = read_archive(&t, b);
    }
    return s == DEFT_OK ? join(&t, out) : s;
}
