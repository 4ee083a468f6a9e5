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

/* "a|b|c", offering what is in it to hint. */
static bool is_choice(const char *choices, const char *s, deft_nearest *hint)
{
    const size_t n = strlen(s);
    for (const char *p = choices;; p += strcspn(p, "|") + 1) {
        const size_t m = strcspn(p, "|");
        if (m == n && strncmp(p, s, n) == 0) return true;
        char word[64];
        (void)snprintf(word, sizeof word, "%.*s", (int)m, p);
        deft_nearest_offer(hint, word);
        if (p[m] == '\0') return false;
    }
}

/* 1e6 and 2.5e5 are whole numbers, too, where a double is exact. */
static bool is_whole(const char *s, double *v)
{
    static const double exact = 9007199254740992; // 2^53
    char *end;
    if (s[strspn(s, "0123456789.eE+-")]) return false; // neither inf nor hexadecimal
    errno = 0;
    *v = strtod(s, &end);
    return !errno && end != s && !*end && *v == floor(*v) && fabs(*v) <= exact;
}

static const char *set_seed(uint64_t *field, const char *s)
{
    char *end;
    double whole = 0;
    errno = 0;
    *field = strtoull(s, &end, 0);
    if (!strchr(s, '-') && !errno && end != s && !*end) return NULL;
    if (strchr(s, '-') == s || !is_whole(s, &whole)) return "a whole number from 0 to 2^64-1";
    *field = (uint64_t)whole;
    return NULL;
}

/* NULL, or what the argument must be. */
static const char *set_number(const cli_opt *o, void *field, const char *s)
{
    char *end;
    if (o->kind == CLI_SEED) return set_seed(field, s);
    errno = 0;
    double v = o->kind == CLI_INT ? (double)strtol(s, &end, 10) : strtod(s, &end);
    if (errno || end == s || *end || !isfinite(v)) {
        if (o->kind != CLI_INT) return "a number";
        if (!is_whole(s, &v)) return "a whole number";
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
    deft_nearest near;
    char hint[DEFT_HINT], shown[128];
    switch (o->kind) {
    case CLI_FLAG:
        *(bool *)field = true;
        return;
    case CLI_CHOICE:
        deft_nearest_begin(&near, s);
        if (!is_choice(o->arg, s, &near)) {
            exit(cli_misuse(c, "--%s must be one of %s, not '%s'%s", o->name, o->arg,
                            deft_escape(shown, sizeof shown, s, 256),
                            deft_nearest_hint(&near, hint)));
        }
        *(const char **)field = s;
        return;
    case CLI_TEXT:
    case CLI_PATH:
        if (!*s) exit(cli_misuse(c, "--%s must not be empty", o->name));
        *(const char **)field = s;
        return;
    case CLI_PATHS: {
        cli_paths *const all = field;
        if (!*s) exit(cli_misuse(c, "--%s must not be empty", o->name));
        if (all->n == CLI_MOST_PATHS) {
            exit(cli_misuse(c, "--%s: more than %d files", o->name, CLI_MOST_PATHS));
        }
        all->path[all->n++] = s;
        return;
    }
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

/* What getopt_long could not take: argv[optind - 1], or the letter optopt. */
static int refuse_option(const cli_command *c, const flat *f, char **argv)
{
    char shown[128], hint[DEFT_HINT];
    const int k = optopt ? option_at(f, optopt) : -1;
    const char *const text = argv[optind - 1];
    if (k >= 0 && f->opt[k]->kind == CLI_FLAG) {
        return cli_misuse(c, "option '--%s' takes no argument", f->opt[k]->name);
    }
    if (k >= 0) {
        return optopt >= FIRST_CODE
                   ? cli_misuse(c, "option '--%s' requires an argument", f->opt[k]->name)
                   : cli_misuse(c, "option '-%c' requires an argument", optopt);
    }
    if (optopt == HELP_CODE) return cli_misuse(c, "option '--help' takes no argument");
    if (optopt) {
        const char letter[2] = {(char)optopt, '\0'};
        return cli_misuse(c, "unknown option '-%s'", deft_escape(shown, sizeof shown, letter, 1));
    }
    const size_t n = strcspn(text, "=");
    char word[64];
    (void)snprintf(word, sizeof word, "%.*s", (int)(n < sizeof word ? n : sizeof word), text);
    deft_nearest near;
    deft_nearest_begin(&near, word + 2); // behind the dashes
    char all[256] = "";
    int beginnings = 0;
    const size_t length = strlen(word + 2);
    for (const struct option *o = f->long_opts; o->name; o++) {
        const size_t used = strlen(all);
        deft_nearest_offer(&near, o->name);
        if (strlen(o->name) < length || memcmp(o->name, word + 2, length) != 0) continue;
        (void)snprintf(all + used, sizeof all - used, "%s--%s", beginnings++ ? ", " : "", o->name);
    }
    (void)deft_escape(shown, sizeof shown, word, sizeof word);
    if (beginnings > 1) return cli_misuse(c, "option '%s' is ambiguous: %s", shown, all);
    hint[0] = '\0';
    if (*near.known) (void)snprintf(hint, sizeof hint, "; did you mean '--%s'?", near.known);
    return cli_misuse(c, "unknown option '%s'%s", shown, hint);
}

int cli_parse_given(const cli_command *c, int argc, char **argv, void *args, cli_given *given)
{
    flat f;
    flatten(c, &f);
    *given = (cli_given){.command = c};
    opterr = 0;
    for (int code; (code = getopt_long(argc, argv, f.letters, f.long_opts, NULL)) != -1;) {
        if (code == '?') exit(refuse_option(c, &f, argv));
        if (code == 'h' || code == HELP_CODE) {
            cli_help(stdout, c, 0);
            exit(fflush(stdout) == 0 ? CLI_OK : CLI_FAILED);
        }
        const int k = option_at(&f, code);
        assert(k >= 0);
        set_option(c, f.opt[k], (char *)args + f.base[k] + f.opt[k]->at, optarg);
        given->bit |= (uint64_t)1 << k;
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

int cli_parse(const cli_command *c, int argc, char **argv, void *args)
{
    cli_given given;
    return cli_parse_given(c, argc, argv, args, &given);
}

bool cli_was_given(const cli_given *g, const char *name)
{
    int k = 0;
    for (const cli_group *p = g->command->groups; p->title; p++) {
        for (const cli_opt *o = p->opts; o->kind != CLI_END; o++, k++) {
            if (strcmp(o->name, name) == 0) return g->bit >> k & 1;
        }
    }
    assert(k < 0); // it is an option of the subcommand
    return false;
}

int cli_unread(const cli_given *g, const char *names, const char *why)
{
    char name[64];
    for (const char *p = names; *p; p += strspn(p, " ")) {
        const size_t n = strcspn(p, " ");
        (void)snprintf(name, sizeof name, "%.*s", (int)n, p);
        p += n;
        if (cli_was_given(g, name)) return cli_misuse(g->command, "--%s %s", name, why);
    }
    return CLI_OK;
}
