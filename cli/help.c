/* help.c - what the option tables say: --help, docs/cli, shell completion. */
#include "claim.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HELP_COLUMN = 26, WIDTH = 80 };

/* The summary is written for lists; by itself it is a sentence. */
static char capital(const char *s)
{
    return (char)toupper((unsigned char)s[0]);
}

static int terminal_width(FILE *f)
{
    struct winsize w;
    if (!isatty(fileno(f)) || ioctl(fileno(f), TIOCGWINSZ, &w) != 0) return WIDTH;
    return w.ws_col < 50 ? 50 : w.ws_col > 100 ? 100 : w.ws_col;
}

/* Words of s, wrapped at width, indented from the second line on; `at` is the cursor's column. */
static void wrap(FILE *f, const char *s, int at, int indent, int width)
{
    while (*s) {
        if (*s == '\n') {
            (void)fprintf(f, "\n%*s", indent, "");
            at = indent;
            s++;
            continue;
        }
        const int n = (int)strcspn(s, " \n");
        if (at > indent && at + 1 + n > width) {
            (void)fprintf(f, "\n%*s", indent, "");
            at = indent;
        } else if (at > indent) {
            (void)fputc(' ', f);
            at++;
        }
        (void)fprintf(f, "%.*s", n, s);
        at += n;
        s += n;
        if (*s == ' ') s++;
    }
    (void)fputc('\n', f);
}

static void help_option(FILE *f, const cli_opt *o, int width)
{
    int n = o->letter ? fprintf(f, "  -%c, --%s", o->letter, o->name)
                      : fprintf(f, "      --%s", o->name);
    if (o->arg) n += fprintf(f, " %s", o->arg);
    if (n > HELP_COLUMN - 2) {
        (void)fputc('\n', f);
        n = 0;
    }
    (void)fprintf(f, "%*s", HELP_COLUMN - n, "");
    wrap(f, o->help, HELP_COLUMN, HELP_COLUMN, width);
}

void cli_help(FILE *f, const cli_command *c, int width)
{
    if (!width) width = terminal_width(f);
    (void)fprintf(f, "Usage: deft %s [OPTION]...%s%s\n", c->name, *c->operands ? " " : "",
                  c->operands);
    char summary[256];
    (void)snprintf(summary, sizeof summary, "%c%s.", capital(c->summary), c->summary + 1);
    wrap(f, summary, 0, 0, width);
    if (c->details) {
        (void)fputc('\n', f);
        wrap(f, c->details, 0, 0, width);
    }
    for (const cli_group *g = c->groups; g->title; g++) {
        (void)fprintf(f, "\n%s:\n", g->title);
        for (const cli_opt *o = g->opts; o->kind != CLI_END; o++) help_option(f, o, width);
    }
    (void)fprintf(f, "\n  -h, --help%*sthis text\n", HELP_COLUMN - 12, "");
    if (!c->examples) return;
    (void)fprintf(f, "\nExamples:\n");
    for (const char *p = c->examples; *p;) {
        const int n = (int)strcspn(p, "\n");
        (void)fprintf(f, "  %.*s\n", n, p);
        p += n + (p[n] == '\n');
    }
}

void cli_help_all(FILE *f)
{
    (void)fprintf(f, "Usage: deft COMMAND [OPTION]... OPERAND...\n"
                     "Reads trained policies, understands and verifies them, and runs them on "
                     "small machines.\n\n");
    for (const cli_command *const *c = cli_commands(); *c; c++) {
        if (!(*c)->hidden) (void)fprintf(f, "  %-12s%s\n", (*c)->name, (*c)->summary);
    }
    (void)fprintf(f, "\n'deft COMMAND --help' says more; 'deft --version' which one this is.\n"
                     "Exit status: 0 good, 1 failed, 2 misused, 130 interrupted.\n");
}

/* Text for a cell of a Markdown table. */
static void cell(FILE *f, const char *s)
{
    for (; *s; s++) {
        if (*s == '|') (void)fputc('\\', f);
        (void)fputc(*s == '\n' ? ' ' : *s, f);
    }
}

static void doc_command(FILE *f, const cli_command *c)
{
    (void)fprintf(f, "# deft %s\n\n%c%s.\n\n```\ndeft %s [OPTION]...%s%s\n```\n", c->name,
                  capital(c->summary), c->summary + 1, c->name, *c->operands ? " " : "",
                  c->operands);
    if (c->details) (void)fprintf(f, "\n%s\n", c->details);
    for (const cli_group *g = c->groups; g->title; g++) {
        (void)fprintf(f, "\n## %s\n\n| option | meaning |\n|---|---|\n", g->title);
        for (const cli_opt *o = g->opts; o->kind != CLI_END; o++) {
            (void)fprintf(f, "| `");
            if (o->letter) (void)fprintf(f, "-%c`, `", o->letter);
            (void)fprintf(f, "--%s", o->name);
            if (o->arg) {
                (void)fputc(' ', f);
                cell(f, o->arg);
            }
            (void)fprintf(f, "` | ");
            cell(f, o->help);
            (void)fprintf(f, " |\n");
        }
    }
    if (c->examples) (void)fprintf(f, "\n## Examples\n\n```sh\n%s\n```\n", c->examples);
    (void)fprintf(f, "\n<!-- Made by `deft docs docs/cli` from the program's option tables. -->\n");
}

static void doc_index(FILE *f)
{
    (void)fprintf(f, "# The program\n\n| subcommand | what it does |\n|---|---|\n");
    for (const cli_command *const *c = cli_commands(); *c; c++) {
        if (!(*c)->hidden)
            (void)fprintf(f, "| [%s](%s.md) | %s |\n", (*c)->name, (*c)->name, (*c)->summary);
    }
    (void)fprintf(
        f, "\nExit status: 0 good, 1 failed (why is on stderr), 2 misused, 130 interrupted (what\n"
           "was finished is reported). `. <(deft completion bash)` completes options in bash.\n"
           "\n<!-- Made by `deft docs docs/cli` from the program's option tables. -->\n");
}

static int write_doc(const cli_command *self, const char *dir, const cli_command *c)
{
    char path[PATH_MAX];
    const int len = snprintf(path, sizeof path, "%s/%s.md", dir, c ? c->name : "README");
    if (len < 0 || (size_t)len >= sizeof path) return cli_fail_text(self, "the path is too long");
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    if (!f) return cli_fail_text(self, "out of memory");
    if (c) {
        doc_command(f, c);
    } else {
        doc_index(f);
    }
    deft_error err = {DEFT_OK, ""};
    const bool good = fclose(f) == 0 && deft_file_write(path, text, size, &err) == DEFT_OK;
    free(text);
    return good ? CLI_OK : cli_fail(self, &err);
}

static int check_docs(const cli_command *self, const char *dir, deft_arena *a)
{
    cli_claim k;
    cli_claim_begin(&k, self, a);
    cli_claim_writes(&k, "the list", deft_arena_printf(a, "%s/README.md", dir),
                     DEFT_PRODUCT_MANUAL);
    for (const cli_command *const *c = cli_commands(); *c; c++) {
        if ((*c)->hidden) continue;
        cli_claim_writes(&k, "the page", deft_arena_printf(a, "%s/%s.md", dir, (*c)->name),
                         DEFT_PRODUCT_MANUAL);
    }
    return cli_claim_check(&k);
}

int cli_write_docs(const cli_command *self, const char *dir)
{
    if (mkdir(dir, 0777) != 0 && errno != EEXIST) {
        return cli_fail_text(self, "%s: cannot create the folder", dir);
    }
    deft_arena *const a = deft_arena_create(0);
    int status = a ? check_docs(self, dir, a) : cli_fail_text(self, "out of memory");
    deft_arena_destroy(a);
    if (status == CLI_OK) status = write_doc(self, dir, NULL);
    for (const cli_command *const *c = cli_commands(); *c && status == CLI_OK; c++) {
        if (!(*c)->hidden) status = write_doc(self, dir, *c);
    }
    return status;
}

static void complete_arguments(FILE *f, const cli_command *c)
{
    for (const cli_group *g = c->groups; g->title; g++) {
        for (const cli_opt *o = g->opts; o->kind != CLI_END; o++) {
            if (o->kind != CLI_CHOICE) continue;
            (void)fprintf(f, "    %s:--%s) _deft_words \"", c->name, o->name);
            for (const char *s = o->arg; *s; s++) (void)fputc(*s == '|' ? ' ' : *s, f);
            (void)fprintf(f, "\"; return ;;\n");
        }
    }
}

void cli_write_bash_completion(FILE *f)
{
    (void)fprintf(f, "# bash completion of deft, made by 'deft completion bash'\n"
                     "_deft_words() { mapfile -t COMPREPLY < <(compgen -W \"$1\" -- \"$cur\"); }\n"
                     "_deft() {\n"
                     "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
                     "    COMPREPLY=()\n"
                     "    if ((COMP_CWORD == 1)); then _deft_words \"");
    for (const cli_command *const *c = cli_commands(); *c; c++) {
        if (!(*c)->hidden) (void)fprintf(f, "%s ", (*c)->name);
    }
    (void)fprintf(f, "--help --version\"; return; fi\n"
                     "    case ${COMP_WORDS[1]}:$prev in\n");
    for (const cli_command *const *c = cli_commands(); *c; c++) complete_arguments(f, *c);
    (void)fprintf(f, "    esac\n"
                     "    [[ $cur == -* ]] || return\n"
                     "    case ${COMP_WORDS[1]} in\n");
    for (const cli_command *const *c = cli_commands(); *c; c++) {
        if ((*c)->hidden) continue;
        (void)fprintf(f, "    %s) _deft_words \"", (*c)->name);
        for (const cli_group *g = (*c)->groups; g->title; g++) {
            for (const cli_opt *o = g->opts; o->kind != CLI_END; o++)
                (void)fprintf(f, "--%s ", o->name);
        }
        (void)fprintf(f, "--help\" ;;\n");
    }
    (void)fprintf(f, "    esac\n"
                     "}\n"
                     "complete -o default -F _deft deft\n");
}
