/* train_sql.c - a training run as an SQLite file. */
#include "app/train_log.h"

#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUSY_MS = 10000 };

/* Written ahead: a transaction then needs no flush to the disk, readers are never in the way, and
 * after a kill the next to open the file takes up what was committed. */
static const char schema[] =
    "PRAGMA journal_mode = WAL;"
    "PRAGMA synchronous = NORMAL;"
    "BEGIN IMMEDIATE;"
    "PRAGMA application_id = 0x44656674;" // "Deft"
    "CREATE TABLE IF NOT EXISTS config (name TEXT PRIMARY KEY, value);"
    "CREATE TABLE IF NOT EXISTS progress (step INTEGER PRIMARY KEY, updates INTEGER, "
    "episodes INTEGER, return REAL, critic_loss REAL, actor_loss REAL, q REAL, alpha REAL, "
    "seconds REAL, steps_per_second REAL);"
    "CREATE TABLE IF NOT EXISTS evaluations (step INTEGER PRIMARY KEY, return REAL, sd REAL, "
    "distance_cm REAL, best INTEGER, seconds REAL);";

struct train_sql {
    sqlite3 *db;
    sqlite3_stmt *progress, *evaluation;
    char path[256]; // escaped
};

void train_sql_close(train_sql *s)
{
    if (!s) return;
    (void)sqlite3_finalize(s->progress);
    (void)sqlite3_finalize(s->evaluation);
    (void)sqlite3_close(s->db);
    free(s);
}

static deft_status sql_fail(const train_sql *s, const char *what, deft_error *err)
{
    char why[200];
    (void)deft_escape(why, sizeof why, s->db ? sqlite3_errmsg(s->db) : "no memory", 1024);
    return deft_fail(err, DEFT_E_IO, "%s: cannot %s: %s", s->path, what, why);
}

static bool execute(const train_sql *s, const char *sql)
{
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

/* Runs q to its end and makes it ready for the next row. */
static bool finish(sqlite3_stmt *q)
{
    const int result = sqlite3_step(q);
    return sqlite3_reset(q) == SQLITE_OK && result == SQLITE_DONE;
}

static bool bind_json(sqlite3_stmt *q, int at, const json_t *v)
{
    if (json_is_integer(v) || json_is_boolean(v)) {
        const json_int_t i = json_is_integer(v) ? json_integer_value(v) : json_is_true(v);
        return sqlite3_bind_int64(q, at, i) == SQLITE_OK;
    }
    if (json_is_real(v)) return sqlite3_bind_double(q, at, json_real_value(v)) == SQLITE_OK;
    if (json_is_null(v)) return sqlite3_bind_null(q, at) == SQLITE_OK;
    if (json_is_string(v)) {
        return sqlite3_bind_text(q, at, json_string_value(v), -1, SQLITE_TRANSIENT) == SQLITE_OK;
    }
    return sqlite3_bind_text(q, at, json_dumps(v, JSON_COMPACT), -1, free) == SQLITE_OK;
}

/* A row for every field; threads may have changed since the run began. */
static bool write_config(const train_sql *s, deft_bytes config)
{
    json_t *const j = json_loadb((const char *)config.data, config.size, 0, NULL);
    sqlite3_stmt *q = NULL;
    bool good = j && sqlite3_prepare_v2(s->db, "INSERT OR REPLACE INTO config VALUES (?, ?)", -1,
                                        &q, NULL) == SQLITE_OK;
    const char *name;
    json_t *value;
    json_object_foreach(j, name, value)
    {
        good = good && sqlite3_bind_text(q, 1, name, -1, SQLITE_TRANSIENT) == SQLITE_OK &&
               bind_json(q, 2, value) && finish(q);
    }
    (void)sqlite3_finalize(q);
    json_decref(j);
    return good;
}

static bool forget_after(const train_sql *s, int64_t step)
{
    char sql[128];
    (void)snprintf(sql, sizeof sql,
                   "DELETE FROM progress WHERE step > %lld;"
                   "DELETE FROM evaluations WHERE step > %lld",
                   (long long)step, (long long)step);
    return execute(s, sql);
}

static bool prepare(train_sql *s)
{
    static const char *const sql[] = {
        "INSERT OR REPLACE INTO progress VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        "INSERT OR REPLACE INTO evaluations VALUES (?, ?, ?, ?, ?, ?)",
    };
    return sqlite3_prepare_v2(s->db, sql[0], -1, &s->progress, NULL) == SQLITE_OK &&
           sqlite3_prepare_v2(s->db, sql[1], -1, &s->evaluation, NULL) == SQLITE_OK;
}

deft_status train_sql_open(const char *path, deft_bytes config, int64_t step, train_sql **out,
                           deft_error *err)
{
    *out = NULL;
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    train_sql *const s = calloc(1, sizeof *s);
    if (!s) return deft_fail(err, DEFT_E_SPACE, "no memory for a log");
    (void)deft_escape(s->path, sizeof s->path, path, PATH_MAX);
    const bool open = sqlite3_open_v2(path, &s->db, flags, NULL) == SQLITE_OK;
    if (open) (void)sqlite3_busy_timeout(s->db, BUSY_MS);
    if (open && execute(s, schema) && write_config(s, config) && forget_after(s, step) &&
        prepare(s) && execute(s, "COMMIT")) {
        *out = s;
        return DEFT_OK;
    }
    const deft_status status = sql_fail(s, "open the log", err);
    train_sql_close(s);
    return status;
}

/* NAN becomes NULL. */
static bool write_row(sqlite3_stmt *q, const int64_t *integer, int n_integer, const double *real,
                      int n_real)
{
    bool good = true;
    for (int i = 0; good && i < n_integer; i++) {
        good = sqlite3_bind_int64(q, i + 1, integer[i]) == SQLITE_OK;
    }
    for (int i = 0; good && i < n_real; i++) {
        good = sqlite3_bind_double(q, n_integer + i + 1, real[i]) == SQLITE_OK;
    }
    return good && finish(q);
}

static bool write_evaluation(sqlite3_stmt *q, const train_row *x)
{
    return sqlite3_bind_int64(q, 1, x->step) == SQLITE_OK &&
           sqlite3_bind_double(q, 2, x->eval_return) == SQLITE_OK &&
           sqlite3_bind_double(q, 3, x->eval_sd) == SQLITE_OK &&
           sqlite3_bind_double(q, 4, x->eval_distance_cm) == SQLITE_OK &&
           sqlite3_bind_int(q, 5, x->best) == SQLITE_OK &&
           sqlite3_bind_double(q, 6, x->seconds) == SQLITE_OK && finish(q);
}

deft_status train_sql_write(train_sql *s, const train_row *x, deft_error *err)
{
    const int64_t integer[] = {x->step, x->update, x->episodes};
    const double real[] = {x->mean_return, x->critic_loss, x->actor_loss, x->q,
                           x->alpha,       x->seconds,     x->rate};
    if (!execute(s, "BEGIN IMMEDIATE")) return sql_fail(s, "write", err);
    if (write_row(s->progress, integer, 3, real, sizeof real / sizeof *real) &&
        (!x->evaluated || write_evaluation(s->evaluation, x)) && execute(s, "COMMIT")) {
        return DEFT_OK;
    }
    const deft_status status = sql_fail(s, "write", err);
    (void)execute(s, "ROLLBACK");
    return status;
}

/* q gives rows of step and rate; at most `room` of them are taken. */
static int32_t take_rates(sqlite3_stmt *q, int32_t room, double *step, double *rate)
{
    int32_t n = 0;
    for (; n < room && sqlite3_step(q) == SQLITE_ROW; n++) {
        step[n] = sqlite3_column_double(q, 0);
        rate[n] =
            sqlite3_column_type(q, 1) == SQLITE_NULL ? (double)NAN : sqlite3_column_double(q, 1);
    }
    return n;
}

deft_status train_sql_rates(const char *path, deft_arena *a, int32_t *n, const double **step,
                            const double **rate, deft_error *err)
{
    static const char count[] = "SELECT count(*) FROM progress";
    static const char rows[] = "SELECT step, steps_per_second FROM progress ORDER BY step";
    train_sql s = {.db = NULL};
    sqlite3_stmt *q = NULL;
    *n = 0;
    (void)deft_escape(s.path, sizeof s.path, path, PATH_MAX);
    bool good = sqlite3_open_v2(path, &s.db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK &&
                sqlite3_prepare_v2(s.db, count, -1, &q, NULL) == SQLITE_OK &&
                sqlite3_step(q) == SQLITE_ROW;
    const int64_t room = good ? sqlite3_column_int64(q, 0) : 0;
    (void)sqlite3_finalize(q);
    q = NULL;
    double *const x = DEFT_NEW_ARRAY(a, double, room), *const y = DEFT_NEW_ARRAY(a, double, room);
    good = good && x && y && room < INT32_MAX &&
           sqlite3_prepare_v2(s.db, rows, -1, &q, NULL) == SQLITE_OK;
    if (good) *n = take_rates(q, (int32_t)room, x, y);
    (void)sqlite3_finalize(q);
    *step = x;
    *rate = y;
    const deft_status status = good ? DEFT_OK : sql_fail(&s, "read the log", err);
    (void)sqlite3_close(s.db);
    return status;
}
