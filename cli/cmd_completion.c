/* deft completion, deft docs - what the option tables say, for shells and for readers. */
#include "cli.h"

#include <string.h>

static const cli_opt no_opts[] = {{.kind = CLI_END}};
static const cli_group no_groups[] = {{NULL, no_opts, 0}};

static int run_completion(int argc, char **argv)
{
    char none;
    const int at = cli_parse(&cmd_completion, argc, argv, &none);
    if (strcmp(argv[at], "bash") != 0) {
        return cli_misuse(&cmd_completion, "the only shell is bash, not '%s'", argv[at]);
    }
    cli_write_bash_completion(stdout);
    return CLI_OK;
}

static int run_docs(int argc, char **argv)
{
    char none;
    const int at = cli_parse(&cmd_docs, argc, argv, &none);
    return cli_write_docs(&cmd_docs, argv[at]);
}

const cli_command cmd_completion = {
    .name = "completion",
    .operands = "bash",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "print the completion of options for bash",
    .examples = ". <(deft completion bash)",
    .groups = no_groups,
    .run = run_completion,
};

const cli_command cmd_docs = {
    .name = "docs",
    .operands = "FOLDER",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "write the pages of docs/cli",
    .groups = no_groups,
    .run = run_docs,
    .hidden = true,
};
