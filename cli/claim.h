/* claim.h - what a subcommand reads and what it is about to write, checked before any work: nothing
 * that the user made is written over. Every output path of every subcommand goes through here. */
#ifndef DEFT_CLI_CLAIM_H
#define DEFT_CLI_CLAIM_H

#include "arguments.h"

typedef struct cli_claim_path {
    struct cli_claim_path *next;
    const char *path, *what; // what: "-o", "--report", "the policy"
    deft_product product;    // of outputs
} cli_claim_path;

typedef struct cli_claim {
    const cli_command *command;
    deft_arena *arena; // of the lists
    bool can_force;    // the subcommand has --force
    bool force;        // files of others may be replaced
    bool no_memory;
    cli_claim_path *in, *out; // the last one first
} cli_claim;

/* The arena must outlive the claim. */
void cli_claim_begin(cli_claim *k, const cli_command *c, deft_arena *arena);
/* --force of subcommands that have it. */
void cli_claim_force(cli_claim *k, bool force);
/* NULL paths and "-" are left out. */
void cli_claim_reads(cli_claim *k, const char *what, const char *path);
/* Policies, and the files that tell how to read them. */
void cli_claim_reads_policies(cli_claim *k, char **path, int n, const deft_load_options *opt);
/* The recording or scene that the options name. */
void cli_claim_reads_episodes(cli_claim *k, const cli_episodes *e);
void cli_claim_writes(cli_claim *k, const char *what, const char *path, deft_product product);
/* Refuses, with a message, outputs that are inputs or each other, whose ending says that they are
 * something else, that are files which Deft did not write (unless forced), or that cannot be made.
 * A log is appended to, so that it must be one already. Exit status. */
int cli_claim_check(const cli_claim *k);

/* The option that stands in the tables of subcommands that write files. */
#define CLI_FORCE_HELP "write over files that Deft did not make, or that were changed since"

#endif
