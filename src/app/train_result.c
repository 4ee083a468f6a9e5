/* train_result.c - learning curves and results of finished runs. */
#include "app/train_result.h"

#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static deft_status no_memory(deft_error *err)
{
    (void)deft_fail(err, DEFT_E_SPACE, "no memory for a result");
    return DEFT_E_SPACE;
}

bool train_curve_row(const char *p, double cell[CURVE_COLUMNS])
{
    for (int i = 0; i < CURVE_COLUMNS; i++) {
        char *end;
        const char stop = i + 1 < CURVE_COLUMNS ? ',' : '\n';
        cell[i] = (double)NAN;
        if (*p == stop) { // empty; strtod would have skipped a line's end
            p++;
            continue;
        }
        const double x = *p == '\n' ? 0 : strtod(p, &end);
        if (*p == '\n' || end == p || *end != stop) return false;
        cell[i] = x;
        p = end + 1;
    }
    return true;
}

deft_status train_curve_read(const char *dir, const deft_train_setup *setup, deft_arena *a,
                             train_curve *out, deft_error *err)
{
    char name[256];
    *out = (train_curve){.last = -1, .best = -1};
    const char *const path = deft_arena_printf(a, "%s/progress.csv", dir);
    deft_bytes b;
    if (!path) return no_memory(err);
    const deft_status s = deft_file_read(path, 0, a, &b, err);
    if (s != DEFT_OK) return s;
    int32_t lines = 0;
    for (size_t i = 0; i < b.size && lines < INT32_MAX; i++) lines += b.data[i] == '\n';
    for (int i = 0; i < CURVE_COLUMNS; i++) {
        out->column[i] = DEFT_NEW_ARRAY(a, double, lines + 1);
        if (!out->column[i]) return no_memory(err);
    }
    const char *p = (const char *)b.data; // zeros follow
    for (int32_t k = 0; k < lines; k++) {
        const char *const next = strchr(p, '\n');
        double cell[CURVE_COLUMNS];
        if (!next || (k > 0 && !train_curve_row(p, cell))) {
            return deft_fail(err, DEFT_E_FORMAT, "%s:%d: not a line of progress",
                             deft_escape(name, sizeof name, path, PATH_MAX), (int)k + 1);
        }
        for (int i = 0; k > 0 && i < CURVE_COLUMNS; i++) out->column[i][k - 1] = cell[i];
        p = next + 1;
    }
    out->n = lines ? lines - 1 : 0;
    const double *const eval = out->column[CURVE_EVAL];
    const double *const distance = out->column[CURVE_EVAL_DISTANCE];
    for (int32_t k = 0; k < out->n; k++) {
        if (isnan(eval[k])) continue;
        out->last = k;
        if (out->column[CURVE_UPDATE][k] == 0 && !setup->load) continue; // as the trainer has it
        const int32_t best = out->best;
        if (best < 0 ||
            deft_train_better(&setup->train, eval[k], distance[k], eval[best], distance[best])) {
            out->best = k;
        }
    }
    return DEFT_OK;
}

static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *evaluation(const train_curve *c, int32_t k)
{
    if (k < 0) return json_null();
    return json_pack("{s:I, s:o, s:o, s:o}", "step", (json_int_t)c->column[CURVE_STEP][k], "return",
                     number(c->column[CURVE_EVAL][k]), "sd", number(c->column[CURVE_EVAL_SD][k]),
                     "distance_cm", number(c->column[CURVE_EVAL_DISTANCE][k]));
}

static json_t *judged(const train_judged *j)
{
    if (j->reward.n == 0) return json_null();
    return json_pack("{s:i, s:o, s:o, s:o, s:o, s:I}", "episodes", (int)j->reward.n, "return",
                     number(j->reward.mean), "sd", number(j->reward.sd), "ci95",
                     number(j->reward.ci95), "distance_cm", number(j->distance_cm.mean), "bytes",
                     (json_int_t)j->bytes);
}

deft_status train_result_write(const char *dir, const train_curve *c, double seconds,
                               const train_finish *f, deft_error *err)
{
    char path[PATH_MAX];
    const int n = snprintf(path, sizeof path, "%s/result.json", dir);
    if (n < 0 || (size_t)n >= sizeof path)
        return deft_fail(err, DEFT_E_ARG, "the path is too long");
    const int64_t steps = c->n ? (int64_t)c->column[CURVE_STEP][c->n - 1] : 0;
    json_t *const j = json_pack("{s:I, s:o, s:o, s:o, s:o, s:o}", "step", (json_int_t)steps,
                                "seconds", number(seconds), "last", evaluation(c, c->last), "best",
                                evaluation(c, c->best), "policy", judged(&f->best), "int8",
                                f->why[0] ? json_string(f->why) : judged(&f->integer));
    char *const text = j ? json_dumps(j, JSON_INDENT(2) | JSON_REAL_PRECISION(12)) : NULL;
    json_decref(j);
    const deft_status s = text ? deft_file_write(path, text, strlen(text), err) : no_memory(err);
    free(text);
    return s;
}

double train_result_seconds(const char *dir)
{
    char path[PATH_MAX];
    const int n = snprintf(path, sizeof path, "%s/result.json", dir);
    json_t *const j = n > 0 && (size_t)n < sizeof path ? json_load_file(path, 0, NULL) : NULL;
    const json_t *const seconds = json_object_get(j, "seconds");
    const double s = json_is_number(seconds) ? json_number_value(seconds) : (double)NAN;
    json_decref(j);
    return s;
}
