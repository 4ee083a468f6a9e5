/* train_mend.c - the logs of a run that continues, checked against its checkpoint: rows of later
 * steps go, what is missing or was changed is restored from the other log where that has it, and
 * what is lost is said. A file that somebody changed is kept beside as NAME.kept-N. */
#include "app/train_log.h"
#include "app/train_result.h"
#include "base/crc32.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_KEPT = 1000 };

/* Of progress.csv, or of the text of run.sqlite: its head and its rows up to a step. */
typedef struct rows {
    char *text;
    size_t size;
    int64_t n, after; // rows up to the step, and of later ones
    int64_t odd;      // lines that are no rows, or not in order
    bool head, crlf;
} rows;

static __attribute__((format(printf, 2, 3))) void tell(const train_log_start *start,
                                                       const char *format, ...)
{
    char text[640];
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (start->notice) start->notice(start->user, start->dir, text);
}

static deft_status no_memory(deft_error *err)
{
    (void)deft_fail(err, DEFT_E_SPACE, "no memory for a log");
    return DEFT_E_SPACE;
}

static train_mark mark_of(const rows *r)
{
    return (train_mark){r->n, r->size, deft_crc32(0, r->text, r->size)};
}

static bool is_marked(const rows *r, const train_mark *m)
{
    return m->bytes > 0 && r->size == m->bytes && deft_crc32(0, r->text, r->size) == m->crc;
}

/* --- files kept beside ------------------------------------------------------------------------ */

/* Renames dir/name to dir/name.kept-N, whose last part is in `kept`. What is not there stays so. */
static deft_status keep(const char *dir, const char *name, char kept[64], deft_error *err)
{
    char from[PATH_MAX], to[PATH_MAX];
    kept[0] = '\0';
    const int n = snprintf(from, sizeof from, "%s/%s", dir, name);
    if (n < 0 || (size_t)n >= sizeof from)
        return deft_fail(err, DEFT_E_ARG, "the path is too long");
    for (int k = 1; k < MOST_KEPT; k++) {
        (void)snprintf(kept, 64, "%s.kept-%d", name, k);
        const int m = snprintf(to, sizeof to, "%s/%s", dir, kept);
        if (m < 0 || (size_t)m >= sizeof to) {
            return deft_fail(err, DEFT_E_ARG, "the path is too long");
        }
        if (access(to, F_OK) == 0) continue;
        if (rename(from, to) == 0) return DEFT_OK;
        kept[0] = '\0';
        if (errno == ENOENT) return DEFT_OK;
        break;
    }
    char shown[256];
    return deft_fail(err, DEFT_E_IO, "%s: cannot rename: %s",
                     deft_escape(shown, sizeof shown, from, PATH_MAX), strerror(errno));
}

/* --- progress.csv ----------------------------------------------------------------------------- */

/* One line of `n` bytes without its end: kept, or counted. */
static void take_line(rows *r, const char *p, size_t n, int64_t step, int64_t *last)
{
    char line[TRAIN_CSV_LINE];
    double cell[CURVE_COLUMNS];
    const bool ended = n > 0 && p[n - 1] == '\r';
    n -= ended;
    r->crlf |= ended;
    bool row = n + 2 <= sizeof line;
    if (row) {
        memcpy(line, p, n);
        memcpy(line + n, "\n", 2);
        row = train_curve_row(line, cell) && cell[CURVE_STEP] > (double)*last &&
              cell[CURVE_STEP] < 0x1p53;
    }
    if (!row) {
        r->odd++;
        return;
    }
    *last = (int64_t)cell[CURVE_STEP];
    if (*last > step) {
        r->after++;
        return;
    }
    memcpy(r->text + r->size, line, n + 1);
    r->size += n + 1;
    r->n++;
}

/* Of a text that may hold anything. */
static deft_status scan(deft_bytes b, int64_t step, deft_arena *a, rows *r, deft_error *err)
{
    static const char head[] = TRAIN_CSV_HEAD;
    const size_t n_head = sizeof head - 1;
    *r = (rows){.text = deft_arena_alloc(a, n_head + b.size + 1)};
    if (!r->text) return no_memory(err);
    memcpy(r->text, head, n_head);
    r->size = n_head;
    const char *p = (const char *)b.data, *const end = p ? p + b.size : NULL;
    int64_t last = -1;
    while (p && p < end) {
        const char *const line_end = memchr(p, '\n', (size_t)(end - p));
        if (!line_end) break; // half a line, as a kill leaves it
        const size_t n = (size_t)(line_end - p);
        const bool first = p == (const char *)b.data;
        const bool crlf = n == n_head && p[n - 1] == '\r';
        if (first && n - crlf == n_head - 1 && memcmp(p, head, n_head - 1) == 0) {
            r->head = true;
            r->crlf = crlf;
        } else {
            take_line(r, p, n, step, &last);
        }
        p = line_end + 1;
    }
    return DEFT_OK;
}

static deft_status read_csv(const train_log_start *start, deft_arena *a, bool *there, rows *r,
                            deft_error *err)
{
    const char *const path = deft_arena_printf(a, "%s/progress.csv", start->dir);
    deft_bytes b = {NULL, 0};
    if (!path) return no_memory(err);
    *there = deft_folder_has(start->dir, "progress.csv");
    const deft_status s = *there ? deft_file_read(path, 0, a, &b, err) : DEFT_OK;
    return s == DEFT_OK ? scan(b, start->step, a, r, err) : s;
}

static deft_status write_csv(const train_log_start *start, const rows *r, deft_error *err)
{
    char path[PATH_MAX];
    const int n = snprintf(path, sizeof path, "%s/progress.csv", start->dir);
    if (n < 0 || (size_t)n >= sizeof path)
        return deft_fail(err, DEFT_E_ARG, "the path is too long");
    return deft_file_write(path, r->text, r->size, err);
}

/* What is the matter with rows that are not as the checkpoint has them. */
static void describe(const train_log_start *start, bool there, const rows *csv, int64_t wanted,
                     char text[160])
{
    if (!there) {
        (void)snprintf(text, 160, "is missing");
    } else if (csv->n < wanted) {
        (void)snprintf(text, 160, "holds %lld of the %lld rows up to step %lld", (long long)csv->n,
                       (long long)wanted, (long long)start->step);
    } else {
        (void)snprintf(text, 160, "is not as it was written (up to step %lld)",
                       (long long)start->step);
    }
}

/* The rows that progress.csv shall have. */
static const rows *choose(const train_log_start *start, bool there, const rows *csv,
                          const rows *sql, char text[400])
{
    const train_mark *const m = &start->mark;
    const int64_t most = csv->n > sql->n ? csv->n : sql->n;
    const int64_t wanted = m->bytes > 0 ? m->rows : most;
    char what[160];
    text[0] = '\0';
    if (is_marked(csv, m)) return csv;
    describe(start, there, csv, wanted, what);
    if (is_marked(sql, m) || (m->bytes == 0 && sql->n > csv->n)) {
        (void)snprintf(text, 400, "%s; restored from run.sqlite", what);
        return sql;
    }
    if (m->bytes == 0 && (there || start->step == 0)) return csv; // nobody knows better
    const rows *const best = sql->n > csv->n ? sql : csv;
    if (best->n < wanted || best->n == 0) {
        (void)snprintf(text, 400,
                       "%s, and run.sqlite holds %lld; the others are lost, and missing from "
                       "curves and report",
                       what, (long long)sql->n);
    } else {
        (void)snprintf(text, 400, "%s, nor is run.sqlite; taken from %s as it is", what,
                       best == sql ? "run.sqlite" : "there");
    }
    return best;
}

static deft_status mend_csv(const train_log_start *start, const rows *sql, deft_arena *a,
                            train_mark *mark, deft_error *err)
{
    rows csv;
    bool there = false;
    char text[400], kept[64] = "";
    deft_status s = read_csv(start, a, &there, &csv, err);
    if (s != DEFT_OK) return s;
    const rows *const chosen = choose(start, there, &csv, sql, text);
    // begun and nothing written yet is no file that somebody changed
    const bool strange = csv.odd > 0 || csv.crlf || (!csv.head && csv.n + csv.after > 0);
    if (there && (text[0] || strange)) s = keep(start->dir, "progress.csv", kept, err);
    if (s == DEFT_OK) s = write_csv(start, chosen, err);
    if (s != DEFT_OK) return s;
    *mark = mark_of(chosen);
    const char *const beside = kept[0] ? "; as it was, it is " : "";
    if (text[0]) {
        tell(start, "progress.csv %s%s%s", text, beside, kept);
    } else if (strange) {
        tell(start, "progress.csv has %s; written anew%s%s",
             csv.odd    ? "lines that deft did not write"
             : csv.crlf ? "line ends of another system"
                        : "no head",
             beside, kept);
    }
    if (csv.after > 0) {
        tell(start,
             "progress.csv: %lld row%s of after the checkpoint, at step %lld, %s dropped; "
             "the run makes them again",
             (long long)csv.after, csv.after == 1 ? "" : "s", (long long)start->step,
             csv.after == 1 ? "is" : "are");
    }
    return DEFT_OK;
}

/* --- run.sqlite ------------------------------------------------------------------------------- */

static deft_status keep_sql(const train_log_start *start, deft_error *err)
{
    static const char *const log[] = {"run.sqlite-wal", "run.sqlite-shm"};
    char kept[64], other[64];
    deft_status s = keep(start->dir, "run.sqlite", kept, err);
    for (int i = 0; s == DEFT_OK && i < 2; i++) s = keep(start->dir, log[i], other, err);
    if (s != DEFT_OK) return s;
    tell(start,
         "run.sqlite is damaged, and made anew from progress.csv, without times; as it was, it is "
         "%s",
         kept);
    return DEFT_OK;
}

deft_status train_mend_logs(const train_log_start *start, train_mark *mark, deft_error *err)
{
    deft_arena *const a = deft_arena_create(0);
    const char *const path = a ? deft_arena_printf(a, "%s/run.sqlite", start->dir) : NULL;
    deft_bytes text = {NULL, 0};
    deft_error why = {DEFT_OK, ""};
    rows sql;
    deft_status s = path ? DEFT_OK : no_memory(err);
    if (s == DEFT_OK && deft_folder_has(start->dir, "run.sqlite")) {
        s = train_sql_text(path, start->config, start->step, a, &text, &why);
        if (s == DEFT_E_FORMAT) {
            s = keep_sql(start, err);
        } else if (s != DEFT_OK) {
            s = deft_fail(err, s, "%s", why.text);
        } else if (!text.size && start->step > 0) {
            tell(start, "run.sqlite is empty; filled from progress.csv, without times");
        }
    } else if (s == DEFT_OK && start->step > 0) {
        tell(start, "run.sqlite is missing; made anew from progress.csv, without times");
    }
    if (s == DEFT_OK) s = scan(text, start->step, a, &sql, err);
    if (s == DEFT_OK) s = mend_csv(start, &sql, a, mark, err);
    if (s == DEFT_OK && text.size && sql.n == mark->rows && mark_of(&sql).crc != mark->crc) {
        tell(start, "run.sqlite: its rows are not those of progress.csv, and stay as they are");
    }
    if (s == DEFT_OK && text.size && sql.n < mark->rows) {
        tell(start,
             "run.sqlite holds %lld of the %lld rows up to step %lld; the others are taken "
             "from progress.csv, without times",
             (long long)sql.n, (long long)mark->rows, (long long)start->step);
    }
    deft_arena_destroy(a);
    return s;
}

static int64_t whole(double x)
{
    return x >= 0 && x < 0x1p53 ? (int64_t)x : 0;
}

static train_row row_of(const train_curve *c, int32_t k)
{
    return (train_row){.step = whole(c->column[CURVE_STEP][k]),
                       .update = whole(c->column[CURVE_UPDATE][k]),
                       .episodes = whole(c->column[CURVE_EPISODES][k]),
                       .mean_return = c->column[CURVE_RETURN][k],
                       .critic_loss = c->column[CURVE_CRITIC][k],
                       .actor_loss = c->column[CURVE_ACTOR][k],
                       .q = c->column[CURVE_Q][k],
                       .alpha = c->column[CURVE_ALPHA][k],
                       .evaluated = !isnan(c->column[CURVE_EVAL][k]),
                       .eval_return = c->column[CURVE_EVAL][k],
                       .eval_sd = c->column[CURVE_EVAL_SD][k],
                       .eval_distance_cm = c->column[CURVE_EVAL_DISTANCE][k],
                       .seconds = (double)NAN,
                       .rate = (double)NAN};
}

deft_status train_mend_sql(const train_log_start *start, train_sql *to, deft_error *err)
{
    deft_arena *const a = deft_arena_create(0);
    train_curve c;
    int32_t best = -1;
    deft_status s = a ? train_curve_read(start->dir, start->setup, a, &c, err) : no_memory(err);
    train_row *const row_list = s == DEFT_OK ? DEFT_NEW_ARRAY(a, train_row, c.n + 1) : NULL;
    if (s == DEFT_OK && !row_list) s = no_memory(err);
    for (int32_t k = 0; s == DEFT_OK && k < c.n; k++) {
        train_row row = row_of(&c, k);
        if (row.evaluated && (row.update > 0 || start->setup->load)) { // as train_curve_read
            const double *const eval = c.column[CURVE_EVAL];
            const double *const distance = c.column[CURVE_EVAL_DISTANCE];
            row.best = best < 0 || deft_train_better(&start->setup->train, eval[k], distance[k],
                                                     eval[best], distance[best]);
            if (row.best) best = k;
        }
        row_list[k] = row;
    }
    if (s == DEFT_OK) s = train_sql_add(to, row_list, c.n, err);
    deft_arena_destroy(a);
    return s;
}
