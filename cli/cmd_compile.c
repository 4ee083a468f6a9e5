/* deft compile - a policy as C for any compiler. */
#include "arguments.h"
#include "claim.h"
#include "output.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#ifndef DEFT_VERSION
#define DEFT_VERSION "unknown"
#endif

typedef struct args {
    deft_load_options load;
    const char *out, *name, *target;
    bool no_main, force;
} args;

static const cli_opt opts[] = {
    {"out", "DIR", "folder for NAME.h, NAME.c and main.c (required)", CLI_PATH, 'o',
     offsetof(args, out), 0, 0},
    {"name", "NAME", "of the files, and what functions begin with (default: policy)", CLI_TEXT, 0,
     offsetof(args, name), 0, 0},
    {"target", "c99", "what the code is written for (default: c99, any compiler)", CLI_CHOICE, 0,
     offsetof(args, target), 0, 0},
    {"no-main", NULL, "leave out main.c, the example", CLI_FLAG, 0, offsetof(args, no_main), 0, 0},
    {"force", NULL, CLI_FORCE_HELP, CLI_FLAG, 0, offsetof(args, force), 0, 0},
    {.kind = CLI_END},
};
static const cli_group groups[] = {
    {"Output", opts, 0},
    {NULL, NULL, 0},
};

enum { FILES = 3 };

/* NAME.h, NAME.c and main.c in the folder. */
static bool name_files(const args *a, deft_arena *arena, const char *path[FILES])
{
    path[0] = deft_arena_printf(arena, "%s/%s.h", a->out, a->name);
    path[1] = deft_arena_printf(arena, "%s/%s.c", a->out, a->name);
    path[2] = deft_arena_printf(arena, "%s/main.c", a->out);
    return path[0] && path[1] && path[2];
}

/* All files before any is written. */
static int check_output(const args *a, char **policy, deft_arena *arena)
{
    const char *path[FILES];
    struct stat st;
    cli_claim k;
    if (!name_files(a, arena, path)) return cli_fail_text(&cmd_compile, "out of memory");
    if (stat(a->out, &st) != 0) return CLI_OK; // a folder that is made is empty
    if (!S_ISDIR(st.st_mode)) {
        return cli_fail_text(&cmd_compile, "%s: exists and is not a folder: -o DIR names one",
                             cli_escaped(a->out, arena));
    }
    cli_claim_begin(&k, &cmd_compile, arena);
    cli_claim_force(&k, a->force);
    cli_claim_reads_policies(&k, policy, 1, &a->load);
    cli_claim_writes(&k, "the header", path[0], DEFT_PRODUCT_C);
    cli_claim_writes(&k, "the source", path[1], DEFT_PRODUCT_C);
    if (!a->no_main) {
        cli_claim_writes(&k, "main.c, which --no-main leaves out", path[2], DEFT_PRODUCT_C);
    }
    return cli_claim_check(&k);
}

static int write_one(const char *path, deft_arena *arena, deft_bytes text)
{
    deft_error err = {DEFT_OK, ""};
    deft_status s = deft_product_seal(text, arena, &text, &err);
    if (s == DEFT_OK) s = cli_write_file(path, text.data, text.size, &err);
    if (s != DEFT_OK) return cli_fail(&cmd_compile, &err);
    (void)printf("%s: %zu bytes\n", cli_escaped(path, arena), text.size);
    return CLI_OK;
}

static int compile(const args *a, const deft_loaded *l)
{
    deft_error err = {DEFT_OK, ""};
    deft_c_files files;
    const char *path[FILES];
    if (l->format != DEFT_FORMAT_IMAGE) {
        return cli_fail_text(&cmd_compile,
                             "%s: no image: 'deft quantize' makes one of integers of it, 'deft "
                             "convert' one of floats",
                             cli_escaped(l->path, l->arena));
    }
    const deft_c_policy policy = {.image = l->integer ? l->stored : l->image,
                                  .model = l->integer ? l->qmodel->model : l->model,
                                  .q = l->qmodel,
                                  .name = a->name,
                                  .tool = "deft " DEFT_VERSION};
    if (deft_c_write(&policy, l->arena, &files, &err) != DEFT_OK) {
        (void)deft_error_prefix(&err, "%s", cli_escaped(l->path, l->arena));
        return cli_fail(&cmd_compile, &err);
    }
    if (mkdir(a->out, 0777) != 0 && errno != EEXIST) {
        return cli_fail_text(&cmd_compile, "%s: cannot make the folder: %s",
                             cli_escaped(a->out, l->arena), strerror(errno));
    }
    if (!name_files(a, l->arena, path)) return cli_fail_text(&cmd_compile, "out of memory");
    int status = write_one(path[0], l->arena, files.header);
    if (status == CLI_OK) status = write_one(path[1], l->arena, files.source);
    return status == CLI_OK && !a->no_main ? write_one(path[2], l->arena, files.example) : status;
}

static int run(int argc, char **argv)
{
    args a = {.name = "policy"};
    const int at = cli_parse(&cmd_compile, argc, argv, &a);
    if (!a.out) return cli_misuse(&cmd_compile, "-o DIR is missing");
    if (!deft_c_name_ok(a.name)) {
        return cli_misuse(&cmd_compile,
                          "--name: letters, digits and _, up to 40, and no word of C");
    }
    deft_arena *const arena = deft_arena_create(0);
    int status =
        arena ? check_output(&a, argv + at, arena) : cli_fail_text(&cmd_compile, "out of memory");
    deft_arena_destroy(arena);
    deft_loaded l;
    if (status == CLI_OK) status = cli_load(&cmd_compile, argv[at], &a.load, &l);
    if (status != CLI_OK) return status;
    status = compile(&a, &l);
    deft_loaded_free(&l);
    return status;
}

const cli_command cmd_compile = {
    .name = "compile",
    .operands = "POLICY.deft -o DIR",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "write a policy as C for any compiler",
    .details =
        "NAME.c needs NAME.h and string.h and nothing else: constants that stay in flash, and a "
        "function for each layer. It compiles as C99, C17 and C++17 and gives the same bits "
        "as 'deft run' on every machine. main.c is an example that reads observations from "
        "standard input. Files that Deft did not write, or that were changed since, stay as they "
        "are. Images are those of 'deft quantize' (integers) and 'deft convert' "
        "(floats, four times as large).",
    .examples = "deft quantize policy.onnx -o int8.deft\n"
                "deft compile int8.deft -o firmware --name walk",
    .groups = groups,
    .run = run,
};
