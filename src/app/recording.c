/* recording.c - recorded observations from CSV files. */
#include "deft/app.h"

#include <ctype.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Which columns are what: index of the column for element k of each. */
typedef struct columns {
    int32_t n_obs, n_act, n_hidden;
    int32_t *obs, *act, *hidden;
} columns;

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
static int32_t hidden_number(const char *name)
{
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

static int32_t hidden_of(const char *name, const char *prefix)
{
    (void)prefix;
    return hidden_number(name);
}

static bool is_other(const char *name)
{
    return strcmp(name, "step") == 0 || strcmp(name, "time") == 0 || strcmp(name, "t") == 0 ||
           strcmp(name, "reward") == 0 || strcmp(name, "episode") == 0 ||
           numbered(name, "act") >= 0 || hidden_number(name) >= 0;
}

static deft_status find_columns(const deft_csv *csv, deft_arena *a, columns *out, deft_error *err)
{
    const size_t n = (size_t)csv->n_column;
    int32_t *at = DEFT_NEW_ARRAY(a, int32_t, 3 * n);
    if (!at) return deft_fail(err, DEFT_E_SPACE, "no memory");
    *out = (columns){.obs = at, .act = at + n, .hidden = at + 2 * n};
    out->n_obs = collect(csv, numbered, "obs", out->obs);
    out->n_act = collect(csv, numbered, "act", out->act);
    out->n_hidden = collect(csv, hidden_of, "", out->hidden);
    if (out->n_obs < 0 || out->n_act < 0) {
        const bool obs = out->n_obs < 0;
        return deft_fail(err, DEFT_E_FORMAT, "column %s%d is missing or there twice",
                         obs ? "obs" : "act", -1 - (obs ? out->n_obs : out->n_act));
    }
    if (out->n_hidden < 0) out->n_hidden = 0; // of several layers: not ours to compare
    if (out->n_obs > 0) return DEFT_OK;
    for (int32_t c = 0; c < csv->n_column; c++) {
        if (!is_other(csv->name[c])) out->obs[out->n_obs++] = c;
    }
    return out->n_obs
               ? DEFT_OK
               : deft_fail(err, DEFT_E_FORMAT, "no columns of observations (obs0, obs1, ...)");
}

/* The first observation that is no number. */
static deft_status check_finite(const float *obs, const deft_csv *csv, const columns *c,
                                deft_error *err)
{
    const size_t n = (size_t)c->n_obs;
    for (size_t i = 0; i < (size_t)csv->n_row * n; i++) {
        if (isfinite(obs[i])) continue;
        char name[64];
        (void)deft_escape(name, sizeof name, csv->name[c->obs[i % n]], sizeof name);
        return deft_fail(err, DEFT_E_FORMAT, "row %zu, column %s: not a finite number", i / n + 1,
                         name);
    }
    return DEFT_OK;
}

static const float *gather(const deft_csv *csv, const int32_t *at, int32_t n, deft_arena *a)
{
    float *x = DEFT_NEW_ARRAY(a, float, (size_t)csv->n_row *(size_t)n);
    for (int32_t r = 0; x && r < csv->n_row; r++) {
        for (int32_t k = 0; k < n; k++)
            x[(size_t)r * (size_t)n + (size_t)k] =
                (float)csv->cell[(size_t)r * (size_t)csv->n_column + (size_t)at[k]];
    }
    return x;
}

static deft_status read_recording(const char *path, deft_arena *a, deft_recording *out,
                                  deft_error *err)
{
    deft_bytes bytes;
    deft_csv csv;
    columns c = {0};
    deft_status s = deft_file_read(path, 0, a, &bytes, err);
    if (s == DEFT_OK) s = deft_csv_read(bytes, path, a, &csv, err);
    if (s == DEFT_OK) s = find_columns(&csv, a, &c, err);
    if (s != DEFT_OK) return s;
    if (csv.n_row == 0) return deft_fail(err, DEFT_E_FORMAT, "no rows below the header");
    *out = (deft_recording){.source = path,
                            .n_row = csv.n_row,
                            .n_obs = c.n_obs,
                            .n_act = c.n_act,
                            .n_hidden = c.n_hidden,
                            .obs = gather(&csv, c.obs, c.n_obs, a),
                            .act = gather(&csv, c.act, c.n_act, a),
                            .hidden = gather(&csv, c.hidden, c.n_hidden, a)};
    if (!out->obs || !out->act || !out->hidden) return deft_fail(err, DEFT_E_SPACE, "no memory");
    return check_finite(out->obs, &csv, &c, err);
}

deft_status deft_recording_read(const char *path, deft_arena *a, deft_recording *out,
                                deft_error *err)
{
    const deft_status s = read_recording(path, a, out, err);
    char name[256];
    (void)deft_escape(name, sizeof name, path, PATH_MAX);
    if (s != DEFT_OK && err && !strstr(err->text, name)) (void)deft_error_prefix(err, "%s", name);
    return s;
}
