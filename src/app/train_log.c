/* train_log.c - progress.csv, and the other forms beside it. */
#include "app/train_log.h"
#include "base/crc32.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct train_log {
    FILE *csv;
    train_sql *sql;
    tfevents *events;
    train_mark mark;
    char csv_path[PATH_MAX];
};

static deft_status csv_fail(const train_log *l, deft_error *err)
{
    char name[256];
    return deft_fail(err, DEFT_E_IO, "%s: cannot write: %s",
                     deft_escape(name, sizeof name, l->csv_path, PATH_MAX), strerror(errno));
}

static deft_status begin_csv(train_log *l, const train_log_start *start, deft_error *err)
{
    static const char head[] = TRAIN_CSV_HEAD;
    const size_t n = sizeof head - 1;
    l->mark = (train_mark){.bytes = n, .crc = deft_crc32(0, head, n)};
    const deft_status s = start->resume ? train_mend_logs(start, &l->mark, err)
                                        : deft_file_write(l->csv_path, head, n, err);
    if (s != DEFT_OK) return s;
    l->csv = fopen(l->csv_path, "a");
    return l->csv ? DEFT_OK : csv_fail(l, err);
}

deft_status train_log_open(const train_log_start *start, train_log **out, deft_error *err)
{
    *out = NULL;
    char sql[PATH_MAX];
    train_log *const l = calloc(1, sizeof *l);
    if (!l) return deft_fail(err, DEFT_E_SPACE, "no memory for a log");
    const int n = snprintf(l->csv_path, sizeof l->csv_path, "%s/progress.csv", start->dir);
    const int m = snprintf(sql, sizeof sql, "%s/run.sqlite", start->dir);
    deft_status s = n < 0 || m < 0 || (size_t)n >= sizeof l->csv_path || (size_t)m >= sizeof sql
                        ? deft_fail(err, DEFT_E_ARG, "the path is too long")
                        : begin_csv(l, start, err);
    if (s == DEFT_OK) s = train_sql_open(sql, start->config, start->step, &l->sql, err);
    if (s == DEFT_OK && start->resume) s = train_mend_sql(start, l->sql, err);
    if (s == DEFT_OK) s = tfevents_open(start->dir, start->step + 1, &l->events, err);
    if (s == DEFT_OK)
        *out = l;
    else
        (void)train_log_close(l, NULL);
    return s;
}

train_mark train_log_mark(const train_log *l)
{
    return l->mark;
}

/* %.6g takes at most 13 bytes, %lld 20. */
void train_row_print(char to[TRAIN_CSV_LINE], const train_row *x)
{
    char episodes[32] = "", distance[32] = "", evaluated[96] = ",,";
    if (!isnan(x->mean_return)) (void)snprintf(episodes, sizeof episodes, "%.6g", x->mean_return);
    if (x->evaluated && !isnan(x->eval_distance_cm)) {
        (void)snprintf(distance, sizeof distance, "%.6g", x->eval_distance_cm);
    }
    if (x->evaluated) {
        (void)snprintf(evaluated, sizeof evaluated, "%.6g,%.6g,%s", x->eval_return, x->eval_sd,
                       distance);
    }
    (void)snprintf(to, TRAIN_CSV_LINE, "%lld,%lld,%lld,%s,%.6g,%.6g,%.6g,%.6g,%s\n",
                   (long long)x->step, (long long)x->update, (long long)x->episodes, episodes,
                   x->critic_loss, x->actor_loss, x->q, x->alpha, evaluated);
}

static deft_status write_csv(train_log *l, const train_row *x, deft_error *err)
{
    char line[TRAIN_CSV_LINE];
    train_row_print(line, x);
    const size_t n = strlen(line);
    if (fwrite(line, 1, n, l->csv) != n || fflush(l->csv) != 0 || ferror(l->csv)) {
        return csv_fail(l, err);
    }
    l->mark.rows++;
    l->mark.bytes += n;
    l->mark.crc = deft_crc32(l->mark.crc, line, n);
    return DEFT_OK;
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
