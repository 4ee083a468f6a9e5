/* main.c - the deft program: finds the subcommand and runs it. */
#include "cli.h"
#include "output.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#ifndef DEFT_VERSION
#define DEFT_VERSION "unknown"
#endif

const cli_command *const *cli_commands(void)
{
    static const cli_command *const all[] = {
        &cmd_info, &cmd_convert, &cmd_quantize, &cmd_compile,    &cmd_run,  &cmd_compare,
        &cmd_eval, &cmd_train,   &cmd_bench,    &cmd_completion, &cmd_docs, NULL,
    };
    return all;
}

static const cli_command *find(const char *name, deft_nearest *near)
{
    deft_nearest_begin(near, name);
    for (const cli_command *const *c = cli_commands(); *c; c++) {
        if (strcmp((*c)->name, name) == 0) return *c;
        if (!(*c)->hidden) deft_nearest_offer(near, (*c)->name);
    }
    return NULL;
}

static int dispatch(int argc, char **argv)
{
    const char *const name = argc > 1 ? argv[1] : "--help";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 ||
        (strcmp(name, "help") == 0 && argc == 2)) {
        cli_help_all(argc > 1 ? stdout : stderr);
        return argc > 1 ? CLI_OK : CLI_MISUSE;
    }
    if (strcmp(name, "--version") == 0) {
        (void)printf("deft %s\n", DEFT_VERSION);
        return CLI_OK;
    }
    const bool help = strcmp(name, "help") == 0;
    deft_nearest near;
    const cli_command *const c = find(help ? argv[2] : name, &near);
    if (!c) {
        char shown[64], hint[DEFT_HINT];
        (void)fprintf(stderr, "deft: there is no subcommand '%s'%s\nTry 'deft --help'.\n",
                      deft_escape(shown, sizeof shown, help ? argv[2] : name, 256),
                      deft_nearest_hint(&near, hint));
        return CLI_MISUSE;
    }
    if (!help) return c->run(argc - 1, argv + 1);
    cli_help(stdout, c, 0);
    return CLI_OK;
}

int main(int argc, char **argv)
{
    (void)signal(SIGXFSZ, SIG_IGN); // a file that may not grow is an error of who writes it
    const int status = dispatch(argc, argv);
    // a full disk behind stdout must not look like success
    if (fflush(stdout) != 0 || ferror(stdout)) {
        (void)fprintf(stderr, "deft: cannot write the output: %s\n", strerror(errno));
        return status ? status : CLI_FAILED;
    }
    return status;
}
