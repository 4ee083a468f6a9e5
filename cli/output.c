/* output.c - tables, JSON, progress, Ctrl-C. */
#include "output.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BAR = 24 };

void cli_table_init(cli_table *t, deft_arena *a, int n_column, const char *const *head)
{
    *t = (cli_table){.arena = a, .n_column = n_column, .room = 0};
    char line[1024] = "";
    for (int k = 0; k < n_column; k++) {
        const size_t n = strlen(line);
        (void)snprintf(line + n, sizeof line - n, "%s%s", k ? "\t" : "", head[k]);
    }
    cli_table_row(t, "%s", line);
}

void cli_table_row(cli_table *t, const char *fmt, ...)
{
    char line[4096];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (t->n_row == t->room) {
        const int room = t->room ? 2 * t->room : 16;
        const char **bigger = DEFT_NEW_ARRAY(t->arena, const char *, room * t->n_column);
        if (!bigger) return;
        if (t->n_row) memcpy(bigger, t->cell, sizeof *bigger * (size_t)(t->n_row * t->n_column));
        t->cell = bigger;
        t->room = room;
    }
    const char *p = line;
    for (int k = 0; k < t->n_column; k++) {
        const size_t n = strcspn(p, "\t");
        const char *s = deft_arena_strndup(t->arena, p, n);
        t->cell[t->n_row * t->n_column + k] = s ? s : "";
        p += n + (p[n] == '\t');
    }
    t->n_row++;
}

/* Code points: good enough for names of files. */
static int columns(const char *s)
{
    int n = 0;
    for (; *s; s++) n += ((unsigned char)*s & 0xC0) != 0x80;
    return n;
}

void cli_table_print(const cli_table *t, FILE *f)
{
    int width[CLI_MAX_COLUMNS] = {0};
    for (int r = 0; r < t->n_row; r++) {
        for (int k = 0; k < t->n_column; k++) {
            const int n = columns(t->cell[r * t->n_column + k]);
            if (n > width[k]) width[k] = n;
        }
    }
    for (int r = 0; r < t->n_row; r++) {
        for (int k = 0; k < t->n_column; k++) {
            const char *const s = t->cell[r * t->n_column + k];
            const int pad = width[k] - columns(s);
            if (k) {
                (void)fprintf(f, "  %*s%s", pad, "", s);
            } else {
                (void)fprintf(f, "%s%*s", s, pad, "");
            }
        }
        (void)fputc('\n', f);
    }
}

const char *cli_escaped(const char *s, deft_arena *a)
{
    char buf[512];
    const char *const copy =
        deft_arena_strndup(a, deft_escape(buf, sizeof buf, s, PATH_MAX), sizeof buf);
    return copy ? copy : "";
}

const char *cli_basename(const char *path, deft_arena *a)
{
    const char *const slash = strrchr(path, '/');
    return cli_escaped(slash && slash[1] ? slash + 1 : path, a);
}

json_t *cli_json_string(const char *s)
{
    json_t *j = json_string(s);
    if (j) return j;
    char buf[512];
    return json_string(deft_escape(buf, sizeof buf, s, PATH_MAX));
}

json_t *cli_json_real(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

int cli_json_print(const cli_command *c, json_t *j)
{
    if (!j) return cli_fail_text(c, "out of memory");
    const bool good = json_dumpf(j, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(12)) == 0;
    json_decref(j);
    if (!good) return cli_fail_text(c, "cannot write the output: %s", strerror(errno));
    (void)putchar('\n');
    return CLI_OK;
}

double cli_seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void cli_progress_init(cli_progress *p)
{
    *p = (cli_progress){.start = cli_seconds(), .terminal = isatty(STDERR_FILENO) == 1};
}

static void show_time(double s)
{
    if (s < 100) {
        (void)fprintf(stderr, ", %.0f s left", s);
    } else if (s < 6000) {
        (void)fprintf(stderr, ", %.0f min left", s / 60);
    } else {
        (void)fprintf(stderr, ", %.1f h left", s / 3600);
    }
}

static void show_bar(double fraction)
{
    char bar[BAR + 1];
    memset(bar, '.', BAR);
    memset(bar, '#', (size_t)(BAR * fraction));
    bar[BAR] = '\0';
    (void)fprintf(stderr, "\r[%s] ", bar);
}

void cli_progress_show(cli_progress *p, double fraction, const char *fmt, ...)
{
    const double now = cli_seconds(), spent = now - p->start;
    fraction = fmin(fmax(fraction, 0), 1);
    if (!p->begun) p->first = fraction; // what goes on does not begin at 0
    p->begun = true;
    // before a second it may well be over in two; then ten times a second is enough
    if (p->terminal ? spent < 1 || now - p->shown < 0.1 : now - fmax(p->shown, p->start) < 60) {
        return;
    }
    p->shown = now;
    p->drawn = p->terminal;
    if (p->terminal) show_bar(fraction);
    (void)fprintf(stderr, "%3.0f%% ", 100 * fraction);
    va_list ap;
    va_start(ap, fmt);
    (void)vfprintf(stderr, fmt, ap);
    va_end(ap);
    const double done = fraction - p->first;
    if (done > 0) show_time(spent * (1 - fraction) / done);
    (void)fprintf(stderr, p->terminal ? "\033[K" : "\n");
    (void)fflush(stderr);
}

void cli_progress_clear(cli_progress *p)
{
    if (p->drawn) (void)fprintf(stderr, "\r\033[K");
    p->drawn = false;
}

enum { AGAIN_MS = 1000, CLOCK_MS = 1000000000 };
static volatile sig_atomic_t interrupted;    // a signal handler has nowhere else to put it
static volatile sig_atomic_t interrupted_at; // milliseconds, modulo CLOCK_MS

static int milliseconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int)(t.tv_sec % (CLOCK_MS / 1000)) * 1000 + (int)(t.tv_nsec / 1000000);
}

/* One signal may come more than once within milliseconds: to a group and again by its parent, by
 * the shell and the kernel. One that comes later is meant. */
static void on_interrupt(int signal_number)
{
    const int saved = errno, now = milliseconds();
    if (!interrupted) {
        interrupted_at = now;
        interrupted = 1;
    } else if ((now - (int)interrupted_at + CLOCK_MS) % CLOCK_MS >= AGAIN_MS) {
        (void)signal(signal_number, SIG_DFL);
        (void)raise(signal_number); // when this handler has returned
    }
    errno = saved;
}

void cli_catch_interrupt(void)
{
    struct sigaction sa;
    memset(&sa, 0, sizeof sa);
    sa.sa_handler = on_interrupt;
    (void)sigaction(SIGINT, &sa, NULL);
    (void)sigaction(SIGTERM, &sa, NULL);
    struct sigaction hangup; // a terminal that is lost, unless nohup has it that it does not matter
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN) {
        (void)sigaction(SIGHUP, &sa, NULL);
    }
}

bool cli_interrupted(void)
{
    return interrupted != 0;
}

deft_status cli_write_file(const char *path, const void *data, size_t size, deft_error *err)
{
    // as a file it would be cut at its beginning, and what else is printed would be lost
    const bool out = strcmp(path, "-") == 0 || strcmp(path, "/dev/stdout") == 0;
    if (!out) return deft_file_write(path, data, size, err);
    const bool good = fwrite(data, 1, size, stdout) == size && fflush(stdout) == 0;
    return good ? DEFT_OK
                : deft_fail(err, DEFT_E_IO, "standard output: cannot write: %s", strerror(errno));
}
