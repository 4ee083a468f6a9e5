/* plot.c - gnuplot draws; this writes its script and reads what it drew. */
#include "app/plot.h"

#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { N_COLOUR = 8 };
/* Told apart by the colour-blind: Okabe and Ito 2008, without yellow. */
static const char *const colours[N_COLOUR] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                              "#56b4e9", "#e69f00", "#000000", "#999999"};

extern char **environ; // NOLINT(readability-redundant-declaration): POSIX has it in no header

static bool drawn(const plot_series *s, int32_t i)
{
    return isfinite(s->x[i]) && isfinite(s->y[i]);
}

static int32_t count(const plot_series *s)
{
    int32_t n = 0;
    for (int32_t i = 0; i < s->n; i++) n += drawn(s, i);
    return n;
}

/* In single quotes a quote is written twice; nothing else is special. */
static void quoted(FILE *f, const char *text)
{
    (void)fputc('\'', f);
    for (; *text; text++) {
        if (*text == '\'') (void)fputc('\'', f);
        (void)fputc((unsigned char)*text < ' ' ? ' ' : *text, f);
    }
    (void)fputc('\'', f);
}

static void write_data(FILE *f, const plot_series *s, int32_t number)
{
    (void)fprintf(f, "$d%d << EOD\n", (int)number);
    for (int32_t i = 0; i < s->n; i++) {
        if (!drawn(s, i)) continue;
        const double bar = s->spread && isfinite(s->spread[i]) ? s->spread[i] : 0;
        (void)fprintf(f, "%.9g %.9g %.9g\n", s->x[i], s->y[i], bar);
    }
    (void)fputs("EOD\n", f);
}

static void write_line(FILE *f, const plot_series *s, int32_t number, const char *with,
                       const char *name)
{
    (void)fprintf(f, "$d%d %s lc rgb '%s' %s ", (int)number, with, colours[s->colour % N_COLOUR],
                  name ? "title" : "notitle");
    if (name) quoted(f, name);
}

static void write_series(FILE *f, const plot_series *s, int32_t number)
{
    static const char *const with[] = {
        [PLOT_LINE] = "using 1:2 with lines lw 2",
        [PLOT_THIN] = "using 1:2 with lines lw 0.6",
        [PLOT_POINTS] = "using 1:2 with linespoints lw 2 pt 7 ps 0.4",
    };
    if (s->style == PLOT_POINTS && s->spread) {
        write_line(f, s, number, "using 1:2:3 with yerrorbars lw 0.8 pt 0", NULL);
        (void)fputs(", ", f);
    }
    write_line(f, s, number, with[s->style], s->name);
}

static bool write_script(FILE *f, const plot *p, const char *svg)
{
    (void)fprintf(f, "set terminal svg noenhanced size 760,340 dynamic font 'sans-serif,12' name ");
    quoted(f, p->id);
    (void)fputs("\nset output ", f);
    quoted(f, svg);
    (void)fputs("\nset xlabel ", f);
    quoted(f, p->x_label);
    (void)fputs("\nset ylabel ", f);
    quoted(f, p->y_label);
    // a single point, or a flat curve, has no range of its own
    (void)fputs("\nset key outside right top\nset grid lc rgb '#dddddd'\nset border 3\n"
                "set tics nomirror\nset offsets graph 0.02, graph 0.02, graph 0.05, graph 0.05\n"
                "set format x '%.0f'\n",
                f);
    for (int32_t i = 0; i < p->n; i++) write_data(f, &p->series[i], i);
    const char *before = "plot ";
    for (int32_t i = 0; i < p->n; i++) {
        if (count(&p->series[i]) == 0) continue;
        (void)fputs(before, f);
        write_series(f, &p->series[i], i);
        before = ", ";
    }
    (void)fputc('\n', f);
    const bool good = !ferror(f);
    return fclose(f) == 0 && good;
}

/* gnuplot SCRIPT; its complaints are not for the user's terminal. */
static bool run_gnuplot(char *script)
{
    char program[] = "gnuplot";
    char *const argv[] = {program, script, NULL};
    posix_spawn_file_actions_t quiet;
    pid_t pid = 0;
    int status = 0;
    if (posix_spawn_file_actions_init(&quiet) != 0) return false;
    bool good =
        posix_spawn_file_actions_addopen(&quiet, STDIN_FILENO, "/dev/null", O_RDONLY, 0) == 0 &&
        posix_spawn_file_actions_addopen(&quiet, STDOUT_FILENO, "/dev/null", O_WRONLY, 0) == 0 &&
        posix_spawn_file_actions_addopen(&quiet, STDERR_FILENO, "/dev/null", O_WRONLY, 0) == 0 &&
        posix_spawnp(&pid, program, &quiet, NULL, argv, environ) == 0;
    (void)posix_spawn_file_actions_destroy(&quiet);
    good = good && waitpid(pid, &status, 0) == pid;
    return good && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* The element without what comes before it in a file of its own. */
static deft_status read_svg(const char *path, deft_arena *a, deft_bytes *out, deft_error *err)
{
    deft_bytes b;
    const deft_status s = deft_file_read(path, 0, a, &b, err);
    if (s != DEFT_OK) return s;
    const char *const at = strstr((const char *)b.data, "<svg"); // zeros follow
    if (!at) return deft_fail(err, DEFT_E_UNSUPPORTED, "gnuplot drew nothing");
    *out = (deft_bytes){(const uint8_t *)at, strlen(at)};
    return DEFT_OK;
}

deft_status plot_svg(const plot *p, deft_arena *a, deft_bytes *out, deft_error *err)
{
    int32_t n = 0;
    for (int32_t i = 0; i < p->n; i++) n += count(&p->series[i]) > 0;
    if (n == 0) return deft_fail(err, DEFT_E_ARG, "nothing to draw");
    const char *const tmp = getenv("TMPDIR");
    char *const dir = deft_arena_printf(a, "%s/deft-plot-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!dir || !mkdtemp(dir)) return deft_fail(err, DEFT_E_IO, "no folder for temporary files");
    char *const script = deft_arena_printf(a, "%s/plot", dir);
    const char *const svg = deft_arena_printf(a, "%s/plot.svg", dir);
    FILE *const f = script && svg ? fopen(script, "w") : NULL;
    deft_status s;
    if (!f || !write_script(f, p, svg)) {
        s = deft_fail(err, DEFT_E_IO, "cannot write a plot");
    } else if (!run_gnuplot(script)) {
        s = deft_fail(err, DEFT_E_UNSUPPORTED, "gnuplot is missing or failed");
    } else {
        s = read_svg(svg, a, out, err);
    }
    if (script) (void)unlink(script);
    if (svg) (void)unlink(svg);
    (void)rmdir(dir);
    return s;
}
