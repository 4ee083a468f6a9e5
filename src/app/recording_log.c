/* recording_log.c - a log of episodes ('deft eval --log', the robot's own) as a table. A row of the
 * log is the action of a step and the observation after it; a row of a recording is an observation
 * and the action that was taken on it. */
#include "app/recording_table.h"

#include <limits.h>
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

enum { MOST_ROWS = 1 << 20, MOST_COLUMNS = 128, MOST_WORK = 1000 };

static const char query[] =
    "SELECT o.*, a.servo0 AS act0, a.servo1 AS act1, a.servo2 AS act2, a.servo3 AS act3, a.servo4 "
    "AS act4, a.servo5 AS act5, a.servo6 AS act6, a.servo7 AS act7 FROM observations o LEFT JOIN "
    "actions a ON a.episode_no = o.episode_no AND a.step = o.step + 1 ORDER BY o.episode_no, "
    "o.step";

static deft_status sql_fail(sqlite3 *db, deft_error *err)
{
    char why[160];
    return deft_fail(err, DEFT_E_FORMAT, "cannot read the log: %s",
                     deft_escape(why, sizeof why, db ? sqlite3_errmsg(db) : "no memory", 1024));
}

/* Stops what a damaged file makes endless. */
static int enough(void *user)
{
    int *const left = user;
    return --*left < 0;
}

/* Are they tables, not views of something costly? */
static bool has_tables(sqlite3 *db)
{
    sqlite3_stmt *q = NULL;
    const char *const sql = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN "
                            "('observations', 'actions')";
    const bool good = sqlite3_prepare_v2(db, sql, -1, &q, NULL) == SQLITE_OK &&
                      sqlite3_step(q) == SQLITE_ROW && sqlite3_column_int(q, 0) == 2;
    (void)sqlite3_finalize(q);
    return good;
}

static deft_status count_rows(sqlite3 *db, int32_t *n, deft_error *err)
{
    sqlite3_stmt *q = NULL;
    deft_status s = DEFT_OK;
    if (sqlite3_prepare_v2(db, "SELECT count(*) FROM observations", -1, &q, NULL) != SQLITE_OK ||
        sqlite3_step(q) != SQLITE_ROW)
        s = sql_fail(db, err);
    else if (sqlite3_column_int64(q, 0) > MOST_ROWS)
        s = deft_fail(err, DEFT_E_RANGE, "the log has more than %d rows", MOST_ROWS);
    else
        *n = sqlite3_column_int(q, 0);
    (void)sqlite3_finalize(q);
    return s;
}

static deft_status take_rows(sqlite3 *db, sqlite3_stmt *q, int32_t rows, deft_arena *a,
                             deft_csv *out, deft_error *err)
{
    const int32_t n = sqlite3_column_count(q);
    if (n > MOST_COLUMNS)
        return deft_fail(err, DEFT_E_FORMAT, "the log's tables have more than %d columns",
                         MOST_COLUMNS);
    const char **name = DEFT_NEW_ARRAY(a, const char *, n);
    double *cell = DEFT_NEW_ARRAY(a, double, (size_t)n *(size_t)rows);
    if (!name || !cell) return deft_fail(err, DEFT_E_SPACE, "no memory for the log");
    for (int32_t k = 0; k < n; k++) {
        const char *const text = sqlite3_column_name(q, k);
        name[k] = deft_arena_strndup(a, text ? text : "", 64);
        if (!name[k]) return deft_fail(err, DEFT_E_SPACE, "no memory for the log");
    }
    int32_t r = 0;
    int result = sqlite3_step(q);
    for (; result == SQLITE_ROW && r < rows; r++, result = sqlite3_step(q))
        for (int32_t k = 0; k < n; k++)
            cell[(size_t)r * (size_t)n + (size_t)k] = sqlite3_column_type(q, k) == SQLITE_NULL
                                                          ? (double)NAN
                                                          : sqlite3_column_double(q, k);
    if (result != SQLITE_DONE && result != SQLITE_ROW) return sql_fail(db, err);
    if (result == SQLITE_ROW)
        return deft_fail(err, DEFT_E_FORMAT, "the log has several actions for one step");
    *out = (deft_csv){n, r, name, cell};
    return DEFT_OK;
}

static deft_status read_tables(sqlite3 *db, deft_arena *a, deft_csv *out, deft_error *err)
{
    sqlite3_stmt *q = NULL;
    int32_t rows = 0;
    if (!has_tables(db))
        return deft_fail(err, DEFT_E_FORMAT,
                         "an SQLite file without the tables observations and actions: not a log of "
                         "episodes ('deft eval --log' writes one; a training's run.sqlite holds no "
                         "observations)");
    deft_status s = count_rows(db, &rows, err);
    if (s != DEFT_OK) return s;
    s = sqlite3_prepare_v2(db, query, -1, &q, NULL) == SQLITE_OK
            ? take_rows(db, q, rows, a, out, err)
            : sql_fail(db, err);
    (void)sqlite3_finalize(q);
    return s;
}

deft_status recording_log_read(const char *path, deft_arena *a, deft_csv *out, deft_error *err)
{
    sqlite3 *db = NULL;
    char file[PATH_MAX];
    int left = MOST_WORK; // times a million steps of SQLite's machine: some ten seconds
    // ":memory:" is a name like others here
    const int len = snprintf(file, sizeof file, "%s%s", path[0] == ':' ? "./" : "", path);
    if (len < 0 || (size_t)len >= sizeof file)
        return deft_fail(err, DEFT_E_ARG, "the name of the log is too long");
    deft_status s = DEFT_OK;
    if (sqlite3_open_v2(file, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
        s = sql_fail(db, err);
    } else {
        (void)sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        (void)sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
        sqlite3_progress_handler(db, 1000000, enough, &left);
        s = read_tables(db, a, out, err);
    }
    (void)sqlite3_close(db);
    return s;
}
