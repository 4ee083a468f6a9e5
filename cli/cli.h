/* cli.h - subcommands and their options. One table a subcommand holds all that is known of its
 * options; parsing, --help, docs/cli and shell completion are made from it. */
#ifndef DEFT_CLI_H
#define DEFT_CLI_H

#include "deft/base.h"

#include <stdio.h>

enum { CLI_OK = 0, CLI_FAILED = 1, CLI_MISUSE = 2 }; // exit statuses

typedef enum cli_kind {
    CLI_END = 0,
    CLI_FLAG,   // bool
    CLI_TEXT,   // const char *
    CLI_PATH,   // const char *, completed as a file
    CLI_PATHS,  // cli_paths: the option may be given several times
    CLI_CHOICE, // const char *, one of those in `arg`: "first|last|none"
    CLI_INT,    // int32_t
    CLI_SEED,   // uint64_t
    CLI_REAL,   // double
} cli_kind;

enum { CLI_MOST_PATHS = 64 };
typedef struct cli_paths {
    int32_t n;
    const char *path[CLI_MOST_PATHS];
} cli_paths;

typedef struct cli_opt {
    const char *name; // without dashes
    const char *arg;  // what help calls the argument; NULL for flags
    const char *help;
    cli_kind kind;
    char letter;   // of the short form, 0: none
    size_t at;     // offset in the group's struct
    double lo, hi; // INT, REAL: range of the argument; both 0: any
} cli_opt;

/* Options under one heading; `at` is the offset of their struct in the subcommand's arguments. */
typedef struct cli_group {
    const char *title; // NULL ends a list of groups
    const cli_opt *opts;
    size_t at;
} cli_group;

typedef struct cli_command {
    const char *name;
    const char *operands; // "POLICY..."
    int operands_min, operands_max;
    const char *summary;  // one line
    const char *details;  // paragraphs, may be NULL
    const char *examples; // lines, may be NULL
    const cli_group *groups;
    int (*run)(int argc, char **argv); // exit status
    bool hidden;                       // not in the list of subcommands
} cli_command;

const cli_command *const *cli_commands(void); // NULL-terminated

/* Fills args (initialised by the caller with the defaults). Returns the index of the first operand
 * in argv; argv ends with NULL. --help and misuse end the program with status 0 and 2. */
int cli_parse(const cli_command *c, int argc, char **argv, void *args);

/* Which options are on a command line. */
typedef struct cli_given {
    const cli_command *command;
    uint64_t bit; // 1 << the option's place in all groups
} cli_given;
int cli_parse_given(const cli_command *c, int argc, char **argv, void *args, cli_given *given);
bool cli_was_given(const cli_given *g, const char *name);
/* Options that would be read by nobody are misunderstandings: for the first of names ("scene seed")
 * that was given, says "--scene WHY" and returns CLI_MISUSE; else CLI_OK. */
int cli_unread(const cli_given *g, const char *names, const char *why);

/* "deft CMD: text" on stderr; returns CLI_FAILED. */
int cli_fail(const cli_command *c, const deft_error *err);
int cli_fail_text(const cli_command *c, const char *fmt, ...) DEFT_PRINTF(2, 3);
/* The same with "Try 'deft CMD --help'."; returns CLI_MISUSE. */
int cli_misuse(const cli_command *c, const char *fmt, ...) DEFT_PRINTF(2, 3);
/* "deft CMD: note: text" on stderr. */
void cli_note(const cli_command *c, const char *fmt, ...) DEFT_PRINTF(2, 3);

void cli_help(FILE *f, const cli_command *c, int width);
void cli_help_all(FILE *f);
/* docs/cli: CMD.md for every subcommand and README.md that lists them. */
int cli_write_docs(const cli_command *self, const char *dir);
void cli_write_bash_completion(FILE *f);

extern const cli_command cmd_info, cmd_convert, cmd_run, cmd_compare, cmd_eval, cmd_quantize,
    cmd_compile, cmd_train, cmd_bench, cmd_completion, cmd_docs;

#endif
