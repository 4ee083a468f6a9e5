/* options.c - option tables to getopt_long, and what came of it to the arguments. */
#include "cli.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_OPTS = 64, HELP_CODE = 1000, FIRST_CODE };

/* The groups of a command, flattened for getopt. */
typedef struct flat {
    int n;
    const cli_opt *opt[MAX_OPTS];
    size_t base[MAX_OPTS];
    struct option long_opts[MAX_OPTS + 2];
    char letters[2 * MAX_OPTS + 4];
} flat;

static void flatten(const cli_command *c, flat *f)
{
    memset(f, 0, sizeof *f);
    char *l = f->letters;
    *l++ = 'h';
    for (const cli_group *g = c->groups; g->title; g++) {
        for (const cli_opt *o = g->opts; o->kind != CLI_END; o++) {
            assert(f->n < MAX_OPTS);
            const int k = f->n++;
            f->opt[k] = o;
            f->base[k] = g->at;
            f->long_opts[k] =
                (struct option){o->name, o->kind == CLI_FLAG ? no_argument : required_argument,
                                NULL, FIRST_CODE + k};
            if (!o->letter) continue;
            *l++ = o->letter;
            if (o->kind != CLI_FLAG) *l++ = ':';
        }
    }
    f->long_opts[f->n] = (struct option){"help", no_argument, NULL, HELP_CODE};
}

int cli_fail_text(const cli_command *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)fflush(stdout);
    (void)fprintf(stderr, "deft %s: ", c->name);
    (void)vfprintf(stderr, fmt, ap);
    (void)fputc('\n', stderr);
    va_end(ap);
    return CLI_FAILED;
}

int cli_fail(const cli_command *c, const deft_error *err)
{
    return cli_fail_text(c, "%s", err->text[0] ? err->text : deft_status_str(err->status));
}

int cli_misuse(const cli_command *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)fprintf(stderr, "deft %s: ", c->name);
    (void)vfprintf(stderr, fmt, ap);
    va_end(ap);
    (void)fprintf(stderr, "\nTry 'deft %s --help'.\n", c->name);
    return CLI_MISUSE;
}

void cli_note(const cli_command *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)fflush(stdout);
    (void)fprintf(stderr, "deft %s: note: ", c->name);
    (void)vfprintf(stderr, fmt, ap);
    (void)fputc('\n', stderr);
    va_end(ap);
}

static bool is_choice(const char *choices, const char *s)
{
    const size_t n = strlen(s);
    for (const char *p = choices;; p += strcspn(p, "|") + 1) {
        if (strcspn(p, "|") == n && strncmp(p, s, n) == 0) return true;
        if (p[strcspn(p, "|")] == '\0') return false;
    }
}

/* NULL, or what the argument must be. */
static const char *set_number(const cli_opt *o, void *field, const char *s)
{
    char *end;
    errno = 0;
    if (o->kind == CLI_SEED) {
        const unsigned long long v = strtoull(s, &end, 0);
        if (errno || end == s || *end || strchr(s, '-')) return "a whole number from 0 to 2^64-1";
        *(uint64_t *)field = v;
        return NULL;
    }
    const double v = o->kind == CLI_INT ? (double)strtol(s, &end, 10) : strtod(s, &end);
    if (errno || end == s || *end || !isfinite(v)) {
        return o->kind == CLI_INT ? "a whole number" : "a number";
    }
    if ((o->lo != 0 || o->hi != 0) && (v < o->lo || v > o->hi)) return "a number in range";
    if (o->kind == CLI_INT) {
        if (v < INT32_MIN || v > INT32_MAX) return "a smaller number";
        *(int32_t *)field = (int32_t)v;
    } else {
        *(double *)field = v;
    }
    return NULL;
}

static void set_option(const cli_command *c, const cli_opt *o, void *field, const char *s)
{
    switch (o->kind) {
    case CLI_FLAG:
        *(bool *)field = true;
        return;
    case CLI_CHOICE:
        if (!is_choice(o->arg, s)) {
            exit(cli_misuse(c, "--%s must be one of %s, not '%s'", o->name, o->arg, s));
        }
        *(const char **)field = s;
        return;
    case CLI_TEXT:
    case CLI_PATH:
        if (!*s) exit(cli_misuse(c, "--%s must not be empty", o->name));
        *(const char **)field = s;
        return;
    case CLI_INT:
    case CLI_SEED:
    case CLI_REAL: {
        const char *const wanted = set_number(o, field, s);
        if (!wanted) return;
        if (strcmp(wanted, "a number in range") == 0) {
            exit(cli_misuse(c, "--%s must be from %.10g to %.10g, not '%s'", o->name, o->lo, o->hi,
                            s));
        }
        exit(cli_misuse(c, "--%s must be %s, not '%s'", o->name, wanted, s));
    }
    case CLI_END:
        break;
    }
    assert(o->kind != CLI_END);
}

static int option_at(const flat *f, int code)
{
    if (code >= FIRST_CODE) return code - FIRST_CODE;
    for (int k = 0; k < f->n; k++) {
        if (f->opt[k]->letter == code) return k;
    }
    return -1;
}

int cli_parse(const cli_command *c, int argc, char **argv, void *args)
{
    flat f;
    flatten(c, &f);
    char name[64];
    (void)snprintf(name, sizeof name, "deft %s", c->name);
    argv[0] = name; // what getopt begins its messages with
    for (int code; (code = getopt_long(argc, argv, f.letters, f.long_opts, NULL)) != -1;) {
        if (code == '?') exit(((void)fprintf(stderr, "Try '%s --help'.\n", name), CLI_MISUSE));
        if (code == 'h' || code == HELP_CODE) {
            cli_help(stdout, c, 0);
            exit(fflush(stdout) == 0 ? CLI_OK : CLI_FAILED);
        }
        const int k = option_at(&f, code);
        assert(k >= 0);
        set_option(c, f.opt[k], (char *)args + f.base[k] + f.opt[k]->at, optarg);
    }
    argv[0] = NULL;
    const int n = argc - optind;
    if (n < c->operands_min) exit(cli_misuse(c, "too few operands: %s", c->operands));
    if (n > c->operands_max) {
        exit(c->operands_max ? cli_misuse(c, "too many operands: %s", c->operands)
                             : cli_misuse(c, "takes no operands"));
    }
    return optind;
}
