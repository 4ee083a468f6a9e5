/* The episode log: its content read back, appending, the same whatever --jobs is, files that are
 * something else, and a kill in the middle. */
#include "../emit/random_model.h"
#include "check.h"
#include "deft/emit.h"
#include "deft/rollout.h"
#include "fake_env.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EPISODES = 9, N_TABLE = 6 };

static const char *const table[N_TABLE] = {"observations",  "actions",         "rewards",
                                           "theta_updates", "inference_times", "episodes"};
static char folder[] = "/tmp/deft-test-log-XXXXXX";

typedef struct fixture {
    deft_arena *arena;
    deft_controller *c;
    deft_env *env;
} fixture;

static const char *path_of(char buf[128], const char *name)
{
    (void)snprintf(buf, 128, "%s/%s", folder, name);
    return buf;
}

static deft_status run(const fixture *f, const char *path, int32_t episodes, int32_t jobs,
                       deft_rollout_result *r, deft_error *err)
{
    const deft_rollout_config cfg = {.episodes = episodes, .seed = 4, .jobs = jobs, .log = path};
    *err = (deft_error){0};
    return deft_rollout_run(f->c, f->env, &cfg, r, err);
}

static sqlite3 *open_db(const char *path)
{
    sqlite3 *db = NULL;
    CHECK(sqlite3_open(path, &db) == SQLITE_OK, "%s", path);
    (void)sqlite3_busy_timeout(db, 5000);
    return db;
}

/* The first number of a query; -12345 if there is none or NULL. */
static double ask(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *q = NULL;
    double v = -12345;
    const bool good = sqlite3_prepare_v2(db, sql, -1, &q, NULL) == SQLITE_OK;
    CHECK(good, "%s: %s", sql, sqlite3_errmsg(db));
    if (good && sqlite3_step(q) == SQLITE_ROW && sqlite3_column_type(q, 0) != SQLITE_NULL)
        v = sqlite3_column_double(q, 0);
    (void)sqlite3_finalize(q);
    return v;
}

static double ask_table(sqlite3 *db, const char *format, const char *name)
{
    char sql[512];
    (void)snprintf(sql, sizeof sql, format, name, name, name);
    return ask(db, sql);
}

/* Whole episodes only, numbered without gaps, in every table; returns how many. */
static int32_t check_whole(sqlite3 *db)
{
    const double n = ask(db, "SELECT count(*) FROM episodes");
    CHECK(ask(db, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'") == 1,
          "damaged");
    CHECK(n == 0 || ask(db, "SELECT max(episode_no) FROM episodes") == n - 1, "numbers");
    for (int t = 0; t < N_TABLE - 1; t++) {
        if (t == 3) continue;
        CHECK(ask_table(db,
                        "SELECT count(*) FROM episodes AS e LEFT JOIN (SELECT episode_no, count(*) "
                        "AS n, max(step) AS last FROM %s GROUP BY episode_no) AS t ON "
                        "t.episode_no = e.episode_no WHERE n IS NOT steps OR last <> steps - 1",
                        table[t]) == 0,
              "%s lacks steps", table[t]);
        CHECK(ask_table(db, "SELECT count(*) FROM %s", table[t]) ==
                  (n > 0 ? ask(db, "SELECT sum(steps) FROM episodes") : 0),
              "%s has more", table[t]);
    }
    return (int32_t)n;
}

static void check_episodes(sqlite3 *db, const deft_rollout_result *r, int32_t first)
{
    for (int32_t k = 0; k < r->n_episode; k++) {
        const deft_episode *e = &r->episode[k];
        char sql[256];
        (void)snprintf(sql, sizeof sql, "SELECT reward FROM episodes WHERE episode_no = %d",
                       first + k);
        CHECK(ask(db, sql) == e->reward, "episode %d", k);
        (void)snprintf(sql, sizeof sql, "SELECT steps FROM episodes WHERE episode_no = %d",
                       first + k);
        CHECK(ask(db, sql) == e->steps, "episode %d", k);
        (void)snprintf(sql, sizeof sql,
                       "SELECT reward FROM rewards WHERE episode_no = %d AND step = 0", first + k);
        const double reward = ask(db, sql);
        (void)snprintf(sql, sizeof sql,
                       "SELECT distance FROM observations WHERE episode_no = %d AND step = 0",
                       first + k);
        CHECK(ask(db, sql) == 10 * reward, "distance"); // as the fake environment has it
        (void)snprintf(sql, sizeof sql,
                       "SELECT done FROM observations WHERE episode_no = %d "
                       "ORDER BY step DESC LIMIT 1",
                       first + k);
        CHECK(ask(db, sql) == 1, "the last step is not done");
    }
}

static void check_columns(sqlite3 *db)
{
    static const struct {
        const char *sql;
        double want;
    } all[] = {
        {"SELECT count(*) FROM observations WHERE yaw <> 0 + step + 1", 0},
        {"SELECT count(*) FROM observations WHERE servo0 <> 100 + step + 1", 0},
        {"SELECT count(*) FROM rewards WHERE speed <> 200 + step + 1", 0},
        {"SELECT count(*) FROM rewards WHERE yaw <> 300 + step + 1", 0},
        {"SELECT count(*) FROM actions WHERE servo7 <> 400 + step + 1", 0},
        {"SELECT count(*) FROM actions WHERE servo6 IS NULL OR abs(servo6) > 1", 0},
        {"SELECT count(*) FROM observations WHERE abs(time - 50 * (step + 1)) > 1e-9", 0},
        {"SELECT count(*) FROM observations WHERE time_delta <> 50 OR current <> 2", 0},
        {"SELECT count(servo1) + count(voltage) + count(theta) FROM observations", 0},
        {"SELECT count(*) FROM inference_times WHERE inference_time_us IS NULL OR "
         "inference_time_us <= 0",
         0},
        {"SELECT count(*) FROM theta_updates", 0},
        {"SELECT count(*) FROM episodes WHERE wall_seconds IS NULL OR wall_seconds <= 0", 0},
        {"SELECT count(*) FROM pragma_table_info('observations')", 37},
        {"SELECT count(*) FROM pragma_table_info('actions')", 12},
        {"SELECT count(*) FROM pragma_table_info('rewards')", 21},
        {"SELECT count(*) FROM pragma_table_info('theta_updates')", 9},
        {"SELECT count(*) FROM pragma_table_info('inference_times')", 4},
        {"SELECT count(*) FROM pragma_table_info('episodes')", 5},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        CHECK(ask(db, all[i].sql) == all[i].want, "%s: %g", all[i].sql, ask(db, all[i].sql));
}

static void check_content(const fixture *f)
{
    char path[128];
    deft_error err;
    deft_rollout_result r, more;
    path_of(path, "content.sqlite");
    CHECK_OK(run(f, path, EPISODES, 2, &r, &err), err);
    sqlite3 *db = open_db(path);
    CHECK(check_whole(db) == EPISODES, "episodes");
    check_episodes(db, &r, 0);
    check_columns(db);
    (void)sqlite3_close(db);
    // a second run appends
    CHECK_OK(run(f, path, 3, 1, &more, &err), err);
    db = open_db(path);
    CHECK(check_whole(db) == EPISODES + 3, "episodes");
    check_episodes(db, &r, 0);
    check_episodes(db, &more, EPISODES);
    (void)sqlite3_close(db);
    deft_rollout_free(&r);
    deft_rollout_free(&more);
}

/* Row for row, ids included; times apart. */
static void check_same_whatever_jobs(const fixture *f)
{
    static const char *const wanted[] = {"observations", "actions", "rewards",
                                         "(SELECT id, episode_no, step FROM %sinference_times)",
                                         "(SELECT id, episode_no, reward, steps FROM %sepisodes)"};
    char one[128], other[128], sql[512];
    deft_error err;
    deft_rollout_result r;
    CHECK_OK(run(f, path_of(one, "one.sqlite"), EPISODES, 1, &r, &err), err);
    deft_rollout_free(&r);
    CHECK_OK(run(f, path_of(other, "other.sqlite"), EPISODES, 4, &r, &err), err);
    deft_rollout_free(&r);
    sqlite3 *db = open_db(one);
    (void)snprintf(sql, sizeof sql, "ATTACH '%s' AS other", other);
    CHECK(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(db));
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        char a[128], b[128];
        const bool columns = wanted[i][0] == '(';
        if (columns) {
            const char *at = strstr(wanted[i], "%s");
            (void)snprintf(a, sizeof a, "%.*smain.%s", (int)(at - wanted[i]), wanted[i], at + 2);
            (void)snprintf(b, sizeof b, "%.*sother.%s", (int)(at - wanted[i]), wanted[i], at + 2);
        } else {
            (void)snprintf(a, sizeof a, "main.%s", wanted[i]);
            (void)snprintf(b, sizeof b, "other.%s", wanted[i]);
        }
        (void)snprintf(sql, sizeof sql,
                       "SELECT count(*) FROM (SELECT * FROM %s EXCEPT SELECT * "
                       "FROM %s)",
                       a, b);
        CHECK(ask(db, sql) == 0, "%s differs", wanted[i]);
        (void)snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", a);
        const double n = ask(db, sql);
        (void)snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", b);
        CHECK(n > 0 && ask(db, sql) == n, "%s: %g rows", wanted[i], n);
    }
    (void)sqlite3_close(db);
}

/* --- other files ----------------------------------------------------------------------------- */

static void write_file(const char *path, const void *data, size_t n)
{
    FILE *f = fopen(path, "wb");
    CHECK(f && fwrite(data, 1, n, f) == n, "%s", path);
    if (f) (void)fclose(f);
}

static void check_refused(const fixture *f, const char *path, const char *want)
{
    deft_error err = {0};
    deft_rollout_result r;
    deft_bytes before = {0}, after = {0};
    const bool file = deft_file_read(path, 0, f->arena, &before, &err) == DEFT_OK;
    const deft_status s = run(f, path, 2, 1, &r, &err);
    CHECK(s == DEFT_E_FORMAT || s == DEFT_E_IO, "status %d", s);
    CHECK(strstr(err.text, path) && strstr(err.text, want), "%s", err.text);
    CHECK(r.n_episode == 0, "ran");
    if (!file) return;
    CHECK_OK(deft_file_read(path, 0, f->arena, &after, &err), err);
    CHECK(before.size == after.size && memcmp(before.data, after.data, before.size) == 0,
          "%s was touched", path);
}

static void make_db(const char *path, const char *sql)
{
    sqlite3 *db = open_db(path);
    CHECK(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(db));
    (void)sqlite3_close(db);
}

static void check_other_files(const fixture *f)
{
    char path[128], damaged[8192] = "SQLite format 3";
    write_file(path_of(path, "notes.txt"), "my notes\n", 9);
    check_refused(f, path, "not an SQLite file");
    write_file(path_of(path, "short"), "SQLite", 6);
    check_refused(f, path, "not an SQLite file");
    memset(damaged + 16, 'x', sizeof damaged - 16);
    write_file(path_of(path, "damaged.sqlite"), damaged, sizeof damaged);
    check_refused(f, path, "log: ");
    make_db(path_of(path, "other.db"), "CREATE TABLE holidays (day, place);"
                                       "INSERT INTO holidays VALUES (1, 'sea')");
    check_refused(f, path, "not a log of episodes (table observations)");
    make_db(path_of(path, "near.db"),
            "CREATE TABLE observations (id INTEGER PRIMARY KEY, episode_no, step, time)");
    check_refused(f, path, "not a log of episodes (table observations)");
    check_refused(f, folder, "not a regular file");

    deft_error err;
    deft_rollout_result r;
    write_file(path_of(path, "empty"), "", 0); // is as good as none
    CHECK_OK(run(f, path, 2, 1, &r, &err), err);
    deft_rollout_free(&r);
    sqlite3 *db = open_db(path);
    CHECK(check_whole(db) == 2, "episodes");
    // one column more, and it is another schema
    CHECK(sqlite3_exec(db, "ALTER TABLE episodes ADD mood", NULL, NULL, NULL) == SQLITE_OK, "%s",
          sqlite3_errmsg(db));
    (void)sqlite3_close(db);
    check_refused(f, path, "not a log of episodes (table episodes)");
}

/* --- a kill ---------------------------------------------------------------------------------- */

static double count_now(const char *path)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *q = NULL;
    double n = 0;
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(db, "SELECT count(*) FROM episodes", -1, &q, NULL) == SQLITE_OK &&
        sqlite3_step(q) == SQLITE_ROW)
        n = sqlite3_column_double(q, 0);
    (void)sqlite3_finalize(q);
    (void)sqlite3_close(db);
    return n;
}

static void check_kill(const fixture *f, int round)
{
    char path[128], name[32];
    deft_error err;
    deft_rollout_result r;
    const struct timespec tick = {0, 1000000 + 777777 * round};
    (void)snprintf(name, sizeof name, "killed%d.sqlite", round);
    path_of(path, name);
    (void)fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        (void)run(f, path, 1000000, 2, &r, &err);
        _exit(1);
    }
    CHECK(child > 0, "fork");
    if (child <= 0) return;
    double n = 0;
    for (int i = 0; i < 5000 && n < 3 + round; i++) {
        (void)nanosleep(&tick, NULL);
        n = count_now(path);
    }
    (void)kill(child, SIGKILL);
    int status = 0;
    (void)waitpid(child, &status, 0);
    CHECK(WIFSIGNALED(status), "it ended by itself");
    sqlite3 *db = open_db(path);
    const int32_t kept = check_whole(db);
    CHECK(n >= 3 && kept >= n, "%d episodes, %g were there before the kill", kept, n);
    (void)sqlite3_close(db);
    CHECK_OK(run(f, path, 2, 2, &r, &err), err); // and it goes on
    deft_rollout_free(&r);
    db = open_db(path);
    CHECK(check_whole(db) == kept + 2, "appended");
    (void)sqlite3_close(db);
}

static int stop_after_three(void *user, int32_t episodes, int64_t steps)
{
    (void)user, (void)steps;
    return episodes >= 3;
}

static void check_cancel(const fixture *f)
{
    char path[128];
    deft_error err = {0};
    deft_rollout_result r;
    const deft_rollout_config cfg = {.episodes = 10000,
                                     .jobs = 3,
                                     .log = path_of(path, "cancelled.sqlite"),
                                     .progress = stop_after_three};
    CHECK(deft_rollout_run(f->c, f->env, &cfg, &r, &err) == DEFT_E_CANCELLED, "%s", err.text);
    sqlite3 *db = open_db(path);
    CHECK(check_whole(db) == r.n_episode && r.n_episode >= 3 && r.n_episode < 100, "%d episodes",
          r.n_episode);
    check_episodes(db, &r, 0);
    (void)sqlite3_close(db);
    deft_rollout_free(&r);
}

static void remove_folder(void)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    CHECK(system(command) == 0, "%s", command);
}

int main(void)
{
    fixture f = {.arena = deft_arena_create(0)};
    deft_rng rng;
    deft_error err = {0};
    deft_bytes image = {0};
    if (!mkdtemp(folder)) return 1;
    deft_rng_seed(&rng, 1);
    CHECK_OK(deft_image_write(paper_model(&rng, f.arena, false), f.arena, &image, &err), err);
    CHECK_OK(deft_controller_from_image(image, NULL, &f.c, &err), err);
    CHECK_OK(deft_env_create("fake", NULL, &f.env, &err), err);
    check_content(&f);
    check_same_whatever_jobs(&f);
    check_other_files(&f);
    for (int round = 0; round < 3; round++) check_kill(&f, round);
    check_cancel(&f);
    deft_controller_destroy(f.c);
    deft_env_destroy(f.env);
    deft_arena_destroy(f.arena);
    remove_folder();
    return check_report();
}
