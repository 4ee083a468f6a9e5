/* train_log.c - progress.csv, and the other forms beside it. */
#include "app/train_log.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CSV_HEAD                                                                                   \
    "step,update,episodes,return,critic_loss,actor_loss,q,alpha,eval_return,eval_sd,"              \
    "eval_distance_cm\n"

struct train_log {
    FILE *csv;
    train_sql *sql;
    tfevents *events;
    char csv_path[PATH_MAX];
};

static deft_status csv_fail(const train_log *l, deft_error *err)
{
    char name[256];
    return deft_fail(err, DEFT_E_IO, "%s: cannot write: %s",
                     deft_escape(name, sizeof name, l->csv_path, PATH_MAX), strerror(errno));
}

/* Bytes of the lines up to `step`. */
static size_t lines_until(deft_bytes old, int64_t step)
{
    const char *p = (const char *)old.data, *const end = p ? p + old.size : NULL;
    size_t keep = 0;
    while (p && p < end) {
        const char *const line_end = memchr(p, '\n', (size_t)(end - p));
        if (!line_end) break; // cut by a kill
        if (keep > 0 && strtoll(p, NULL, 10) > step) break;
        keep += (size_t)(line_end + 1 - p);
        p = line_end + 1;
    }
    return keep;
}

static deft_status open_csv(train_log *l, int64_t step, deft_error *err)
{
    deft_arena *const a = deft_arena_create(0);
    deft_bytes old = {NULL, 0};
    struct stat st;
    deft_status s = a ? DEFT_OK : deft_fail(err, DEFT_E_SPACE, "no memory for a log");
    if (s == DEFT_OK && step > 0 && stat(l->csv_path, &st) == 0) {
        s = deft_file_read(l->csv_path, 0, a, &old, err);
    }
    const size_t keep = lines_until(old, step);
    if (s == DEFT_OK) {
        s = keep ? deft_file_write(l->csv_path, old.data, keep, err)
                 : deft_file_write(l->csv_path, CSV_HEAD, strlen(CSV_HEAD), err);
    }
    deft_arena_destroy(a);
    if (s != DEFT_OK) return s;
    l->csv = fopen(l->csv_path, "a");
    return l->csv ? DEFT_OK : csv_fail(l, err);
}

deft_status train_log_open(const char *dir, deft_bytes config, int64_t step, train_log **out,
                           deft_error *err)
{
    *out = NULL;
    char sql[PATH_MAX];
    train_log *const l = calloc(1, sizeof *l);
    if (!l) return deft_fail(err, DEFT_E_SPACE, "no memory for a log");
    const int n = snprintf(l->csv_path, sizeof l->csv_path, "%s/progress.csv", dir);
    const int m = snprintf(sql, sizeof sql, "%s/run.sqlite", dir);
    deft_status s = n < 0 || m < 0 || (size_t)n >= sizeof l->csv_path || (size_t)m >= sizeof sql
                        ? deft_fail(err, DEFT_E_ARG, "the path is too long")
                        : open_csv(l, step, err);
    if (s == DEFT_OK) s = train_sql_open(sql, config, step, &l->sql, err);
    if (s == DEFT_OK) s = tfevents_open(dir, step + 1, &l->events, err);
    if (s == DEFT_OK)
        *out = l;
    else
        (void)train_log_close(l, NULL);
    return s;
}

static deft_status write_csv(const train_log *l, const train_row *x, deft_error *err)
{
    (void)fprintf(l->csv, "%lld,%lld,%lld,", (long long)x->step, (long long)x->update,
                  (long long)x->episodes);
    if (!isnan(x->mean_return)) (void)fprintf(l->csv, "%.6g", x->mean_return);
    (void)fprintf(l->csv, ",%.6g,%.6g,%.6g,%.6g", x->critic_loss, x->actor_loss, x->q, x->alpha);
    if (x->evaluated) {
        (void)fprintf(l->csv, ",%.6g,%.6g,", x->eval_return, x->eval_sd);
        if (!isnan(x->eval_distance_cm)) (void)fprintf(l->csv, "%.6g", x->eval_distance_cm);
        (void)fputc('\n', l->csv);
    } else {
        (void)fputs(",,,\n", l->csv);
    }
    return fflush(l->csv) == 0 && !ferror(l->csv) ? DEFT_OK : csv_fail(l, err);
}

static deft_status write_events(const train_log *l, const train_row *x, deft_error *err)
{
    const double nothing = (double)NAN;
    const double learned = x->update > 0 ? 0 : nothing; // no losses before the first update
    const tfevents_scalar s[] = {
        {"episode/return", x->mean_return},
        {"loss/critic", x->critic_loss + learned},
        {"loss/actor", x->actor_loss + learned},
        {"value/q", x->q + learned},
        {"value/alpha", x->alpha + learned},
        {"speed/steps_per_second", x->rate},
        {"evaluation/return", x->evaluated ? x->eval_return : nothing},
        {"evaluation/distance_cm", x->evaluated ? x->eval_distance_cm : nothing},
    };
    return tfevents_write(l->events, x->step, s, sizeof s / sizeof *s, err);
}

deft_status train_log_write(train_log *l, const train_row *x, deft_error *err)
{
    deft_status s = write_csv(l, x, err);
    if (s == DEFT_OK) s = train_sql_write(l->sql, x, err);
    return s == DEFT_OK ? write_events(l, x, err) : s;
}

deft_status train_log_sync(train_log *l, deft_error *err)
{
    return fflush(l->csv) == 0 && fsync(fileno(l->csv)) == 0 ? DEFT_OK : csv_fail(l, err);
}

deft_status train_log_close(train_log *l, deft_error *err)
{
    if (!l) return DEFT_OK;
    deft_status s = l->csv && fclose(l->csv) != 0 ? csv_fail(l, err) : DEFT_OK;
    train_sql_close(l->sql);
    const deft_status events = tfevents_close(l->events, s == DEFT_OK ? err : NULL);
    if (s == DEFT_OK) s = events;
    free(l);
    return s;
}
