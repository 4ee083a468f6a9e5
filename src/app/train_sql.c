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
    sqlite3_stmt *add[2]; // the same where there is none of the step
    char path[256];       // escaped
};

void train_sql_close(train_sql *s)
{
    if (!s) return;
    (void)sqlite3_finalize(s->progress);
    (void)sqlite3_finalize(s->evaluation);
    for (int i = 0; i < 2; i++) (void)sqlite3_finalize(s->add[i]);
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
        "INSERT OR IGNORE INTO progress VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        "INSERT OR IGNORE INTO evaluations VALUES (?, ?, ?, ?, ?, ?)",
    };
    return sqlite3_prepare_v2(s->db, sql[0], -1, &s->progress, NULL) == SQLITE_OK &&
           sqlite3_prepare_v2(s->db, sql[1], -1, &s->evaluation, NULL) == SQLITE_OK &&
           sqlite3_prepare_v2(s->db, sql[2], -1, &s->add[0], NULL) == SQLITE_OK &&
           sqlite3_prepare_v2(s->db, sql[3], -1, &s->add[1], NULL) == SQLITE_OK;
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

static bool write_progress(sqlite3_stmt *q, const train_row *x)
{
    const int64_t integer[] = {x->step, x->update, x->episodes};
    const double real[] = {x->mean_return, x->critic_loss, x->actor_loss, x->q,
                           x->alpha,       x->seconds,     x->rate};
    return write_row(q, integer, 3, real, sizeof real / sizeof *real);
}

/* All of it or nothing. */
static deft_status write_rows(train_sql *s, sqlite3_stmt *progress, sqlite3_stmt *evaluation,
                              const train_row *x, int64_t n, deft_error *err)
{
    if (!execute(s, "BEGIN IMMEDIATE")) return sql_fail(s, "write", err);
    bool good = true;
    for (int64_t i = 0; good && i < n; i++) {
        good = write_progress(progress, &x[i]) &&
               (!x[i].evaluated || write_evaluation(evaluation, &x[i]));
    }
    if (good && execute(s, "COMMIT")) return DEFT_OK;
    const deft_status status = sql_fail(s, "write", err);
    (void)execute(s, "ROLLBACK");
    return status;
}

deft_status train_sql_write(train_sql *s, const train_row *x, deft_error *err)
{
    return write_rows(s, s->progress, s->evaluation, x, 1, err);
}

deft_status train_sql_add(train_sql *s, const train_row *x, int64_t n, deft_error *err)
{
    return write_rows(s, s->add[0], s->add[1], x, n, err);
}

/* --- what a file holds ------------------------------------------------------------------------ */

static bool has_tables(const train_sql *s)
{
    static const char sql[] = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN "
                              "('config', 'progress', 'evaluations')";
    sqlite3_stmt *q = NULL;
    const bool has = sqlite3_prepare_v2(s->db, sql, -1, &q, NULL) == SQLITE_OK &&
                     sqlite3_step(q) == SQLITE_ROW && sqlite3_column_int(q, 0) == 3;
    (void)sqlite3_finalize(q);
    return has;
}

static bool is_damage(const train_sql *s)
{
    const int code = s->db ? sqlite3_errcode(s->db) : SQLITE_OK;
    return code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
}

static deft_status check_whole(const train_sql *s, deft_error *err)
{
    sqlite3_stmt *q = NULL;
    const bool ran = sqlite3_prepare_v2(s->db, "PRAGMA quick_check", -1, &q, NULL) == SQLITE_OK &&
                     sqlite3_step(q) == SQLITE_ROW && sqlite3_column_text(q, 0);
    const bool whole = ran && strcmp((const char *)sqlite3_column_text(q, 0), "ok") == 0;
    deft_status status = DEFT_OK;
    if (!ran && !is_damage(s)) {
        status = sql_fail(s, "read", err); // locked, or of somebody else
    } else if (!whole) {
        status = deft_fail(err, DEFT_E_FORMAT, "%s: damaged", s->path);
    }
    (void)sqlite3_finalize(q);
    return status;
}

/* A field that the file has otherwise than `config`; NULL: there is none. Threads and steps may
 * change, and fields of another version of deft are not in both. */
static const char *other_field(const train_sql *s, json_t *config, bool *good)
{
    sqlite3_stmt *q = NULL;
    const char *name, *other = NULL;
    json_t *value;
    *good = sqlite3_prepare_v2(s->db, "SELECT value IS ?2 FROM config WHERE name = ?1", -1, &q,
                               NULL) == SQLITE_OK;
    json_object_foreach(config, name, value)
    {
        if (!*good || other || strcmp(name, "threads") == 0 || strcmp(name, "steps") == 0) continue;
        *good = sqlite3_bind_text(q, 1, name, -1, SQLITE_TRANSIENT) == SQLITE_OK &&
                bind_json(q, 2, value);
        const int result = *good ? sqlite3_step(q) : SQLITE_ERROR;
        if (result == SQLITE_ROW && !sqlite3_column_int(q, 0)) other = name;
        *good = *good && (result == SQLITE_ROW || result == SQLITE_DONE) &&
                sqlite3_reset(q) == SQLITE_OK;
    }
    (void)sqlite3_finalize(q);
    return other;
}

static double real_or_nan(sqlite3_stmt *q, int column)
{
    return sqlite3_column_type(q, column) == SQLITE_NULL ? (double)NAN
                                                         : sqlite3_column_double(q, column);
}

static bool print_rows(const train_sql *s, int64_t step, FILE *to)
{
    static const char sql[] =
        "SELECT p.step, updates, episodes, p.return, critic_loss, actor_loss, q, alpha, "
        "e.step IS NOT NULL, e.return, sd, distance_cm "
        "FROM progress p LEFT JOIN evaluations e ON e.step = p.step "
        "WHERE p.step <= ? ORDER BY p.step";
    sqlite3_stmt *q = NULL;
    int result = SQLITE_ERROR;
    if (sqlite3_prepare_v2(s->db, sql, -1, &q, NULL) == SQLITE_OK &&
        sqlite3_bind_int64(q, 1, step) == SQLITE_OK && fputs(TRAIN_CSV_HEAD, to) != EOF) {
        while ((result = sqlite3_step(q)) == SQLITE_ROW) {
            const train_row row = {.step = sqlite3_column_int64(q, 0),
                                   .update = sqlite3_column_int64(q, 1),
                                   .episodes = sqlite3_column_int64(q, 2),
                                   .mean_return = real_or_nan(q, 3),
                                   .critic_loss = real_or_nan(q, 4),
                                   .actor_loss = real_or_nan(q, 5),
                                   .q = real_or_nan(q, 6),
                                   .alpha = real_or_nan(q, 7),
                                   .evaluated = sqlite3_column_int(q, 8) != 0,
                                   .eval_return = real_or_nan(q, 9),
                                   .eval_sd = real_or_nan(q, 10),
                                   .eval_distance_cm = real_or_nan(q, 11)};
            char line[TRAIN_CSV_LINE];
            train_row_print(line, &row);
            if (fputs(line, to) == EOF) break;
        }
    }
    (void)sqlite3_finalize(q);
    return result == SQLITE_DONE;
}

/* In memory that stdio gives, then in the arena. */
static deft_status rows_as_text(const train_sql *s, int64_t step, deft_arena *a, deft_bytes *out,
                                deft_error *err)
{
    char *text = NULL;
    size_t size = 0;
    FILE *const to = open_memstream(&text, &size);
    if (!to) return deft_fail(err, DEFT_E_SPACE, "no memory for a log");
    const bool printed = print_rows(s, step, to);
    deft_status status = printed ? DEFT_OK : sql_fail(s, "read", err);
    if (fclose(to) != 0 && status == DEFT_OK) {
        status = deft_fail(err, DEFT_E_SPACE, "no memory for a log");
    }
    char *const copy = status == DEFT_OK ? deft_arena_strndup(a, text, size) : NULL;
    free(text);
    if (status == DEFT_OK && !copy) status = deft_fail(err, DEFT_E_SPACE, "no memory for a log");
    if (status == DEFT_OK) *out = (deft_bytes){(const uint8_t *)copy, size};
    return status;
}

static deft_status read_all(const train_sql *s, deft_bytes config, int64_t step, deft_arena *a,
                            deft_bytes *out, deft_error *err)
{
    const deft_status checked = check_whole(s, err);
    if (checked != DEFT_OK) return checked;
    if (!has_tables(s)) return DEFT_OK; // of nobody yet
    bool good = false;
    json_t *const j = json_loadb((const char *)config.data, config.size, 0, NULL);
    const char *const field = other_field(s, j, &good);
    deft_status status = DEFT_OK;
    if (field) {
        status = deft_fail(err, DEFT_E_MISMATCH,
                           "%s: is of another run: its '%s' is not that of config.json; to "
                           "continue without it, move it elsewhere",
                           s->path, field);
    }
    json_decref(j);
    if (status == DEFT_OK && !good) status = sql_fail(s, "read", err);
    return status == DEFT_OK ? rows_as_text(s, step, a, out, err) : status;
}

deft_status train_sql_text(const char *path, deft_bytes config, int64_t step, deft_arena *a,
                           deft_bytes *out, deft_error *err)
{
    train_sql s = {.db = NULL};
    *out = (deft_bytes){NULL, 0};
    (void)deft_escape(s.path, sizeof s.path, path, PATH_MAX);
    const bool open = sqlite3_open_v2(path, &s.db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK;
    if (open) (void)sqlite3_busy_timeout(s.db, BUSY_MS);
    deft_status status =
        open ? read_all(&s, config, step, a, out, err) : sql_fail(&s, "open the log", err);
    if (status == DEFT_E_IO && is_damage(&s)) {
        status = deft_fail(err, DEFT_E_FORMAT, "%s: damaged", s.path);
    }
    (void)sqlite3_close(s.db);
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
