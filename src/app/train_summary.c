/* train_summary.c - what came out of many runs. */
#include "app/train_report.h"
#include "deft/rollout.h"
#include "deft/train_many.h"

#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Scores of the jobs of one group, one behind another. */
typedef struct scores {
    int32_t n;
    double *last, *best, *seconds; // [number of all jobs]
    json_t *runs;
} scores;

static deft_status no_memory(deft_error *err)
{
    (void)deft_fail(err, DEFT_E_SPACE, "no memory for a summary");
    return DEFT_E_SPACE;
}

static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static deft_status score_of(const double *x, int32_t n, deft_train_score *out, deft_error *err)
{
    deft_iqm q;
    const deft_status s = deft_iqm_of(x, n, &q, err);
    const deft_stat m = deft_stat_of(x, n);
    *out = (deft_train_score){q.iqm, q.lo, q.hi, m.mean, m.sd, (double)NAN, (double)NAN};
    for (int32_t i = 0; i < n; i++) {
        out->least = fmin(out->least, x[i]); // of NAN and a number: the number
        out->most = fmax(out->most, x[i]);
    }
    return s;
}

static json_t *score_to_json(const deft_train_score *s)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "iqm", number(s->iqm), "lo",
                     number(s->lo), "hi", number(s->hi), "mean", number(s->mean), "sd",
                     number(s->sd), "least", number(s->least), "most", number(s->most));
}

static deft_status add_run(const deft_train_job *job, const char *dir, scores *to, deft_error *err)
{
    deft_arena *const a = deft_arena_create(0);
    const char *const path = a ? deft_arena_printf(a, "%s/%s", dir, job->name) : NULL;
    train_curve c = {.last = -1, .best = -1};
    const deft_status s = path ? train_curve_read(path, &job->setup, a, &c, err) : no_memory(err);
    if (s == DEFT_OK) {
        const int32_t k = to->n++;
        to->last[k] = c.last < 0 ? (double)NAN : c.column[CURVE_EVAL][c.last];
        to->best[k] = c.best < 0 ? (double)NAN : c.column[CURVE_EVAL][c.best];
        to->seconds[k] = train_result_seconds(path);
        (void)json_array_append_new(to->runs,
                                    json_pack("{s:s, s:I, s:I, s:o, s:o, s:o}", "name", job->name,
                                              "seed", (json_int_t)job->setup.train.seed, "steps",
                                              (json_int_t)job->setup.train.steps, "seconds",
                                              number(to->seconds[k]), "last", number(to->last[k]),
                                              "best", number(to->best[k])));
    }
    deft_arena_destroy(a);
    return s;
}

/* Summarises the jobs of the group of job[first]. */
static deft_status add_group(const deft_train_job *job, int32_t n, const char *dir, scores *x,
                             deft_train_group *out, deft_error *err)
{
    const char *const name = job[0].group;
    deft_status s = DEFT_OK;
    x->n = 0;
    for (int32_t i = 0; s == DEFT_OK && i < n; i++) {
        if (strcmp(job[i].group, name) == 0) s = add_run(&job[i], dir, x, err);
    }
    *out = (deft_train_group){.name = name, .n = x->n};
    if (s == DEFT_OK) s = score_of(x->last, x->n, &out->last, err);
    if (s == DEFT_OK) s = score_of(x->best, x->n, &out->best, err);
    out->seconds = deft_stat_of(x->seconds, x->n).mean;
    return s;
}

static json_t *group_to_json(const deft_train_group *g, json_t *runs)
{
    return json_pack("{s:s, s:i, s:o, s:o, s:o, s:o}", "name", g->name, "n", (int)g->n, "last",
                     score_to_json(&g->last), "best", score_to_json(&g->best), "seconds",
                     number(g->seconds), "runs", runs);
}

static bool seen_before(const deft_train_job *job, int32_t i)
{
    for (int32_t k = 0; k < i; k++) {
        if (strcmp(job[k].group, job[i].group) == 0) return true;
    }
    return false;
}

static deft_status write_summary(json_t *groups, const char *dir, deft_arena *a, deft_error *err)
{
    json_t *const j = json_pack("{s:s, s:O}", "interval", "95 %, percentiles of 10000 resamples",
                                "groups", groups);
    char *const text = j ? json_dumps(j, JSON_INDENT(2) | JSON_REAL_PRECISION(12)) : NULL;
    const char *const path = deft_arena_printf(a, "%s/summary.json", dir);
    json_decref(j);
    const deft_status s =
        text && path ? deft_file_write(path, text, strlen(text), err) : no_memory(err);
    free(text);
    return s;
}

int32_t deft_train_summary(const deft_train_job *all, int32_t n_all, const char *dir, deft_arena *a,
                           deft_train_group **out, deft_error *err)
{
    deft_train_job *const job = DEFT_NEW_ARRAY(a, deft_train_job, n_all);
    if (!job) return no_memory(err);
    int32_t n = 0;
    for (int32_t i = 0; i < n_all; i++) {
        const char *const run = deft_arena_printf(a, "%s/%s", dir, all[i].name);
        if (!run) return no_memory(err);
        if (deft_folder_has(run, "result.json")) job[n++] = all[i];
    }
    if (n == 0) return 0;
    scores x = {.last = DEFT_NEW_ARRAY(a, double, n),
                .best = DEFT_NEW_ARRAY(a, double, n),
                .seconds = DEFT_NEW_ARRAY(a, double, n)};
    *out = DEFT_NEW_ARRAY(a, deft_train_group, n);
    json_t *const groups = json_array();
    if (!x.last || !x.best || !x.seconds || !*out || !groups) {
        json_decref(groups);
        return no_memory(err);
    }
    deft_status s = DEFT_OK;
    int32_t n_group = 0;
    for (int32_t i = 0; s == DEFT_OK && i < n; i++) {
        if (seen_before(job, i)) continue;
        deft_train_group *const g = *out + n_group++;
        x.runs = json_array();
        s = add_group(&job[i], n - i, dir, &x, g, err);
        (void)json_array_append_new(groups, group_to_json(g, x.runs));
    }
    if (s == DEFT_OK) s = train_report_many(job, n, dir, *out, n_group, err);
    if (s == DEFT_OK) s = write_summary(groups, dir, a, err);
    json_decref(groups);
    return s == DEFT_OK ? n_group : (int32_t)s;
}
