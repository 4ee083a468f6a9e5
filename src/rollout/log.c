/* log.c - episodes in an SQLite file, one transaction each. */
#include "rollout/log.h"
#include "deft/rollout.h"

#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { N_TABLE = 6, STEP_TABLES = 5, MAX_COLUMN = 40, SQL_ROOM = 2048, BUSY_MS = 10000 };

/* Where a number of a row comes from. */
typedef enum column_kind {
    COLUMN_NULL = 0,
    COLUMN_ROW,    // element `index` of the row
    COLUMN_TIME,   // ms since the reset
    COLUMN_PERIOD, // ms
} column_kind;

typedef struct column {
    column_kind kind;
    int32_t index;
} column;

typedef struct log_table {
    const char *name, *prefix; // of channels
    const char *columns;       // separated by blanks, behind id, episode_no, step
} log_table;

#define SERVOS "servo0 servo1 servo2 servo3 servo4 servo5 servo6 servo7"
#define LEGS   "current_front_left current_front_right current_back_left current_back_right"

static const log_table table[N_TABLE] = {
    {"observations", "",
     "time time_delta distance voltage current yaw_delta yaw_mean yaw pitch roll obs_age " SERVOS
     " " LEGS " acc_x acc_y acc_z gyro_x gyro_y gyro_z position_x position_y position_z theta "
     "done"},
    {"actions", "action.", "time " SERVOS},
    {"rewards", "reward.",
     "time reward speed distance yaw_delta yaw pitch roll z_position " LEGS
     " current acc_z acc_x acc_y action_smoothness"},
    {"theta_updates", "theta.", "time current_theta yaw yaw_mean random new_theta"},
    {"inference_times", "inference.", "inference_time_us"},
    {"episodes", NULL, "reward steps wall_seconds"}, // without step
};
enum { ACTIONS = 1, EPISODES = 5 };

#define APPLICATION_ID "0x44656674" // "Deft"

struct rollout_log {
    sqlite3 *db;
    sqlite3_stmt *insert[N_TABLE], *last;
    column column[STEP_TABLES][MAX_COLUMN];
    int32_t n_column[STEP_TABLES];
    bool filled[STEP_TABLES]; // has a column that is more than the time
    log_shape shape;
    char path[256]; // escaped
};

void log_close(rollout_log *l)
{
    if (!l) return;
    for (int t = 0; t < N_TABLE; t++) (void)sqlite3_finalize(l->insert[t]);
    (void)sqlite3_finalize(l->last);
    (void)sqlite3_close(l->db);
    free(l);
}

static deft_status sql_fail(const rollout_log *l, const char *what, deft_error *err)
{
    char why[200];
    (void)deft_escape(why, sizeof why, l->db ? sqlite3_errmsg(l->db) : "no memory", 1024);
    return deft_fail(err, DEFT_E_IO, "%s: cannot %s the log: %s", l->path, what, why);
}

static deft_status execute(const rollout_log *l, const char *sql, const char *what, deft_error *err)
{
    return sqlite3_exec(l->db, sql, NULL, NULL, NULL) == SQLITE_OK ? DEFT_OK
                                                                   : sql_fail(l, what, err);
}

/* --- the schema ------------------------------------------------------------------------------ */

/* Copies the next word of *text and moves behind it; false at the end. */
static bool next_word(const char **text, char word[32])
{
    while (**text == ' ') (*text)++;
    size_t n = 0;
    for (; **text && **text != ' '; (*text)++)
        if (n < 31) word[n++] = **text;
    word[n] = '\0';
    return n > 0;
}

static const char *type_of(const char *name)
{
    return strcmp(name, "done") == 0 || strcmp(name, "steps") == 0 ? "INTEGER" : "REAL";
}

/* Appends; the strings are ours and SQL_ROOM is enough for them. */
static size_t append(char *sql, size_t n, const char *a, const char *b, const char *c)
{
    const int len = snprintf(sql + n, SQL_ROOM - n, "%s%s%s", a, b, c);
    return len < 0 || n + (size_t)len >= SQL_ROOM ? SQL_ROOM - 1 : n + (size_t)len;
}

static void create_sql(const log_table *t, char sql[SQL_ROOM])
{
    char word[32];
    size_t n =
        append(sql, 0, "CREATE TABLE ", t->name, " (id INTEGER PRIMARY KEY, episode_no INTEGER");
    if (t->prefix) n = append(sql, n, ", step INTEGER", "", "");
    for (const char *c = t->columns; next_word(&c, word);) {
        n = append(sql, n, ", ", word, " ");
        n = append(sql, n, type_of(word), "", "");
    }
    (void)append(sql, n, ")", "", "");
}

static void insert_sql(const log_table *t, char sql[SQL_ROOM])
{
    char word[32];
    size_t n = append(sql, 0, "INSERT INTO ", t->name, " VALUES (NULL, ?");
    if (t->prefix) n = append(sql, n, ", ?", "", "");
    for (const char *c = t->columns; next_word(&c, word);) n = append(sql, n, ", ?", "", "");
    (void)append(sql, n, ")", "", "");
}

static deft_status create_tables(const rollout_log *l, deft_error *err)
{
    deft_status s =
        execute(l, "BEGIN IMMEDIATE; PRAGMA application_id = " APPLICATION_ID, "create", err);
    for (int t = 0; s == DEFT_OK && t < N_TABLE; t++) {
        char sql[SQL_ROOM];
        create_sql(&table[t], sql);
        s = execute(l, sql, "create", err);
    }
    return s == DEFT_OK ? execute(l, "COMMIT", "create", err) : s;
}

/* Are the columns of the file's table ours, in our order? */
static bool same_columns(sqlite3_stmt *q, const log_table *t)
{
    static const char *const first[] = {"id", "episode_no", "step"};
    const char *c = t->columns;
    char word[32];
    const int n_first = t->prefix ? 3 : 2;
    bool same = sqlite3_bind_text(q, 1, t->name, -1, SQLITE_STATIC) == SQLITE_OK;
    for (int i = 0; same; i++) {
        const bool row = sqlite3_step(q) == SQLITE_ROW;
        const char *want = i < n_first ? first[i] : next_word(&c, word) ? word : NULL;
        if (!row || !want) {
            same = !row && !want;
            break;
        }
        const unsigned char *name = sqlite3_column_text(q, 0);
        same = name && strcmp((const char *)name, want) == 0;
    }
    (void)sqlite3_reset(q);
    return same;
}

static deft_status other_schema(const rollout_log *l, const char *name, deft_error *err)
{
    // not even what another program left to be checkpointed is moved
    (void)sqlite3_db_config(l->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    return deft_fail(err, DEFT_E_FORMAT,
                     "%s: an SQLite file, but not a log of episodes (table %s); it is left alone",
                     l->path, name);
}

static deft_status check_tables(const rollout_log *l, deft_error *err)
{
    sqlite3_stmt *q = NULL;
    const char *sql = "SELECT name FROM pragma_table_info(?) ORDER BY cid";
    if (sqlite3_prepare_v2(l->db, sql, -1, &q, NULL) != SQLITE_OK) return sql_fail(l, "read", err);
    deft_status s = DEFT_OK;
    for (int t = 0; s == DEFT_OK && t < N_TABLE; t++)
        if (!same_columns(q, &table[t])) s = other_schema(l, table[t].name, err);
    (void)sqlite3_finalize(q);
    return s;
}

bool deft_log_is_own(const char *path)
{
    enum { VERSION = 18, ID = 68, HEADER = 100 }; // in the header of an SQLite file
    uint8_t head[HEADER];
    FILE *const f = fopen(path, "rb");
    const bool read = f && fread(head, 1, HEADER, f) == HEADER;
    if (f) (void)fclose(f);
    if (!read || memcmp(head, "SQLite format 3", 16) != 0) return false;
    if (memcmp(head + ID, "Deft", 4) == 0) return true;
    // to look into a file that is written ahead is to make others beside it; ours are not
    if (memcmp(head + ID, "\0\0\0\0", 4) != 0 || head[VERSION] != 1) return false;
    rollout_log l = {.path = ""};
    const bool own = sqlite3_open_v2(path, &l.db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX,
                                     NULL) == SQLITE_OK &&
                     check_tables(&l, NULL) == DEFT_OK;
    (void)sqlite3_close(l.db);
    return own;
}

/* --- opening --------------------------------------------------------------------------------- */

/* Tells before SQLite touches it whether this may be one of its files; an empty one may. */
static deft_status check_file(const rollout_log *l, const char *path, deft_error *err)
{
    static const char magic[16] = "SQLite format 3";
    struct stat st;
    char head[sizeof magic];
    if (path[0] == '\0') return deft_fail(err, DEFT_E_ARG, "the log has no name");
    if (stat(path, &st) != 0) return DEFT_OK; // SQLite tells why it cannot be made
    if (!S_ISREG(st.st_mode))
        return deft_fail(err, DEFT_E_IO, "%s: the log is not a regular file", l->path);
    if (st.st_size == 0) return DEFT_OK;
    FILE *f = fopen(path, "rb");
    if (!f) return deft_fail(err, DEFT_E_IO, "%s: cannot open the log", l->path);
    const bool same =
        fread(head, 1, sizeof head, f) == sizeof head && memcmp(head, magic, sizeof head) == 0;
    (void)fclose(f);
    return same ? DEFT_OK
                : deft_fail(err, DEFT_E_FORMAT,
                            "%s: not an SQLite file; it is left alone (--log appends)", l->path);
}

static deft_status open_file(rollout_log *l, const char *path, deft_error *err)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    char file[PATH_MAX];
    // ":memory:" is a name like others here
    const int len = snprintf(file, sizeof file, "%s%s", path[0] == ':' ? "./" : "", path);
    if (len < 0 || (size_t)len >= sizeof file)
        return deft_fail(err, DEFT_E_ARG, "%s: the name of the log is too long", l->path);
    if (sqlite3_open_v2(file, &l->db, flags, NULL) != SQLITE_OK) return sql_fail(l, "open", err);
    (void)sqlite3_busy_timeout(l->db, BUSY_MS);
    // what somebody else's file says in views and triggers is not trusted
    (void)sqlite3_db_config(l->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(l->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_stmt *q = NULL;
    const char *sql = "SELECT count(*) FROM sqlite_master";
    bool read =
        sqlite3_prepare_v2(l->db, sql, -1, &q, NULL) == SQLITE_OK && sqlite3_step(q) == SQLITE_ROW;
    const bool fresh = read && sqlite3_column_int64(q, 0) == 0;
    const deft_status s = read ? DEFT_OK : sql_fail(l, "read", err);
    (void)sqlite3_finalize(q);
    if (s != DEFT_OK) return s;
    return fresh ? create_tables(l, err) : check_tables(l, err);
}

static column find_column(const log_table *t, const char *name, const log_shape *s)
{
    static const struct {
        const char *prefix, *name;
        log_field field;
    } known[] = {{"", "distance", LOG_DISTANCE},
                 {"", "current", LOG_CURRENT},
                 {"", "done", LOG_DONE},
                 {"reward.", "reward", LOG_REWARD},
                 {"inference.", "inference_time_us", LOG_INFERENCE_US}};
    const size_t n = strlen(t->prefix);
    for (int32_t i = 0; i < s->n_channel; i++)
        if (strncmp(s->channel[i], t->prefix, n) == 0 && strcmp(s->channel[i] + n, name) == 0)
            return (column){COLUMN_ROW, i};
    if (strcmp(name, "time") == 0) return (column){COLUMN_TIME, 0};
    if (t->prefix[0] == '\0' && strcmp(name, "time_delta") == 0) return (column){COLUMN_PERIOD, 0};
    if (t == &table[ACTIONS] && strncmp(name, "servo", 5) == 0) {
        const int32_t i = name[5] - '0';
        return i < s->n_act ? (column){COLUMN_ROW, s->n_channel + i} : (column){COLUMN_NULL, 0};
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(t->prefix, known[i].prefix) == 0 && strcmp(name, known[i].name) == 0)
            return (column){COLUMN_ROW, s->n_channel + s->n_act + (int32_t)known[i].field};
    return (column){COLUMN_NULL, 0};
}

static void find_columns(rollout_log *l, const log_shape *s)
{
    for (int t = 0; t < STEP_TABLES; t++) {
        char word[32];
        for (const char *c = table[t].columns; next_word(&c, word);) {
            const column found = find_column(&table[t], word, s);
            l->column[t][l->n_column[t]++] = found;
            l->filled[t] = l->filled[t] || found.kind == COLUMN_ROW;
        }
    }
    l->shape = *s;
    l->shape.channel = NULL;
}

static deft_status prepare(rollout_log *l, deft_error *err)
{
    for (int t = 0; t < N_TABLE; t++) {
        char sql[SQL_ROOM];
        insert_sql(&table[t], sql);
        if (sqlite3_prepare_v2(l->db, sql, -1, &l->insert[t], NULL) != SQLITE_OK)
            return sql_fail(l, "write", err);
    }
    const char *sql = "SELECT max(episode_no) FROM episodes";
    return sqlite3_prepare_v2(l->db, sql, -1, &l->last, NULL) == SQLITE_OK
               ? DEFT_OK
               : sql_fail(l, "read", err);
}

deft_status log_open(const char *path, const log_shape *shape, rollout_log **out, deft_error *err)
{
    *out = NULL;
    rollout_log *l = calloc(1, sizeof *l);
    if (!l) return deft_fail(err, DEFT_E_SPACE, "no memory for the log");
    (void)deft_escape(l->path, sizeof l->path, path, PATH_MAX);
    find_columns(l, shape);
    deft_status s = check_file(l, path, err);
    if (s == DEFT_OK) s = open_file(l, path, err);
    if (s == DEFT_OK) s = prepare(l, err);
    if (s == DEFT_OK)
        *out = l;
    else
        log_close(l);
    return s;
}

/* --- writing --------------------------------------------------------------------------------- */

static bool run(sqlite3_stmt *s)
{
    const int result = sqlite3_step(s);
    return sqlite3_reset(s) == SQLITE_OK && result == SQLITE_DONE;
}

static bool write_step(rollout_log *l, int t, int64_t number, int32_t step, const double *row)
{
    sqlite3_stmt *s = l->insert[t];
    bool good =
        sqlite3_bind_int64(s, 1, number) == SQLITE_OK && sqlite3_bind_int(s, 2, step) == SQLITE_OK;
    for (int32_t k = 0; good && k < l->n_column[t]; k++) {
        const column c = l->column[t][k];
        if (c.kind == COLUMN_NULL) continue; // never bound: NULL
        const double v = c.kind == COLUMN_ROW    ? row[c.index]
                         : c.kind == COLUMN_TIME ? (step + 1) * l->shape.period_ms
                                                 : l->shape.period_ms;
        good = sqlite3_bind_double(s, 3 + k, v) == SQLITE_OK; // NAN: NULL
    }
    return good && run(s);
}

static bool write_rows(rollout_log *l, const log_episode *e, int64_t number)
{
    const size_t width = (size_t)log_width(&l->shape);
    for (int t = 0; t < STEP_TABLES; t++)
        for (int32_t k = 0; l->filled[t] && k < e->steps; k++)
            if (!write_step(l, t, number, k, e->row + width * (size_t)k)) return false;
    sqlite3_stmt *s = l->insert[EPISODES];
    return sqlite3_bind_int64(s, 1, number) == SQLITE_OK &&
           sqlite3_bind_double(s, 2, e->reward) == SQLITE_OK &&
           sqlite3_bind_int(s, 3, e->steps) == SQLITE_OK &&
           sqlite3_bind_double(s, 4, e->wall_seconds) == SQLITE_OK && run(s);
}

/* In the transaction, so that two programs may append to one log. */
static bool next_number(rollout_log *l, int64_t *number)
{
    const bool good = sqlite3_step(l->last) == SQLITE_ROW;
    const bool any = good && sqlite3_column_type(l->last, 0) != SQLITE_NULL;
    const int64_t last = any ? sqlite3_column_int64(l->last, 0) : -1;
    *number = last < INT64_MAX ? last + 1 : last;
    return sqlite3_reset(l->last) == SQLITE_OK && good;
}

deft_status log_write(rollout_log *l, const log_episode *e, deft_error *err)
{
    int64_t number = 0;
    deft_status s = execute(l, "BEGIN IMMEDIATE", "write", err);
    if (s != DEFT_OK) return s;
    s = next_number(l, &number) && write_rows(l, e, number) ? execute(l, "COMMIT", "write", err)
                                                            : sql_fail(l, "write", err);
    if (s != DEFT_OK) (void)sqlite3_exec(l->db, "ROLLBACK", NULL, NULL, NULL);
    return s;
}
