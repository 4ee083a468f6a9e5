/* deft compile - a policy as C for any compiler. */
#include "arguments.h"
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
} args;

static const cli_opt opts[] = {
    {"out", "DIR", "folder for NAME.h, NAME.c and main.c (required)", CLI_PATH, 'o',
     offsetof(args, out), 0, 0},
    {"name", "NAME", "of the files, and what functions begin with (default: policy)", CLI_TEXT, 0,
     offsetof(args, name), 0, 0},
    {"target", "c99", "what the code is written for (default: c99, any compiler)", CLI_CHOICE, 0,
     offsetof(args, target), 0, 0},
    {.kind = CLI_END},
};
static const cli_group groups[] = {
    {"Output", opts, 0},
    {NULL, NULL, 0},
};

static int write_one(const args *a, deft_arena *arena, const char *file, deft_bytes text)
{
    deft_error err = {DEFT_OK, ""};
    const char *const path = deft_arena_printf(arena, "%s/%s", a->out, file);
    if (!path) return cli_fail_text(&cmd_compile, "out of memory");
    if (cli_write_file(path, text.data, text.size, &err) != DEFT_OK) {
        return cli_fail(&cmd_compile, &err);
    }
    (void)printf("%s: %zu bytes\n", cli_escaped(path, arena), text.size);
    return CLI_OK;
}

static int compile(const args *a, const deft_loaded *l)
{
    deft_error err = {DEFT_OK, ""};
    deft_c_files files;
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
    int status = write_one(a, l->arena, deft_arena_printf(l->arena, "%s.h", a->name), files.header);
    if (status == CLI_OK) {
        status = write_one(a, l->arena, deft_arena_printf(l->arena, "%s.c", a->name), files.source);
    }
    return status == CLI_OK ? write_one(a, l->arena, "main.c", files.example) : status;
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
    deft_loaded l;
    int status = cli_load(&cmd_compile, argv[at], &a.load, &l);
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
        "standard input. Images are those of 'deft quantize' (integers) and 'deft convert' "
        "(floats, four times as large).",
    .examples = "deft quantize policy.onnx -o int8.deft\n"
                "deft compile int8.deft -o firmware --name walk",
    .groups = groups,
    .run = run,
};
