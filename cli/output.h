/* output.h - what subcommands show: tables, JSON, progress, and the end by Ctrl-C. */
#ifndef DEFT_CLI_OUTPUT_H
#define DEFT_CLI_OUTPUT_H

#include "cli.h"

#include <jansson.h>

enum { CLI_INTERRUPTED = 130, CLI_MAX_COLUMNS = 12 };

/* A table of text; the first column is aligned left, the others right. Lives in an arena. */
typedef struct cli_table {
    deft_arena *arena;
    int n_column, n_row, room;
    const char **cell; // [n_row][n_column]
} cli_table;
void cli_table_init(cli_table *t, deft_arena *a, int n_column, const char *const *head);
/* Adds a row of the next n_column values of fmt, separated by '\t' in the formatted text. */
void cli_table_row(cli_table *t, const char *fmt, ...) DEFT_PRINTF(2, 3);
void cli_table_print(const cli_table *t, FILE *f);

/* The last part of a path, escaped, in the arena. */
const char *cli_basename(const char *path, deft_arena *a);
const char *cli_escaped(const char *s, deft_arena *a);

/* JSON values of anything: strings that are not UTF-8 are escaped, NAN and infinity are null. */
json_t *cli_json_string(const char *s);
json_t *cli_json_real(double x);
int cli_json_print(const cli_command *c, json_t *j); // consumes j; exit status

/* A progress bar on stderr where that is a terminal, from the second second on; elsewhere a line a
 * minute, for logs of long work. */
typedef struct cli_progress {
    double start, shown; // seconds
    double first;        // fraction at the first call, from which the time left is estimated
    bool terminal, drawn, begun;
} cli_progress;
void cli_progress_init(cli_progress *p);
void cli_progress_show(cli_progress *p, double fraction, const char *fmt, ...) DEFT_PRINTF(3, 4);
void cli_progress_clear(cli_progress *p);

/* From now on Ctrl-C, SIGTERM and SIGHUP only set what cli_interrupted returns; another one, a
 * second later or more, ends the program at once. */
void cli_catch_interrupt(void);
bool cli_interrupted(void);

double cli_seconds(void); // monotonic

/* As deft_file_write; "-" is standard output. */
deft_status cli_write_file(const char *path, const void *data, size_t size, deft_error *err);

#endif
