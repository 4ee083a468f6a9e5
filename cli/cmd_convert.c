/* deft convert - from any format that Deft reads to one that it writes. */
#include "arguments.h"
#include "claim.h"
#include "output.h"

#include <math.h>
#include <string.h>

typedef struct args {
    deft_load_options load;
    const char *out, *format, *layout;
    bool force;
} args;

static const cli_opt opts[] = {
    {"out", "FILE", "what to write; its ending says the format (required)", CLI_PATH, 'o',
     offsetof(args, out), 0, 0},
    {"format", "onnx|deft", "the format, where the ending does not say it", CLI_CHOICE, 0,
     offsetof(args, format), 0, 0},
    {"layout", "rows|panels",
     "of an image's matrices: rows for small devices (default), panels for hosts; hosts lay out "
     "either anew when they load it",
     CLI_CHOICE, 0, offsetof(args, layout), 0, 0},
    {"force", NULL, CLI_FORCE_HELP, CLI_FLAG, 0, offsetof(args, force), 0, 0},
    {.kind = CLI_END},
};
static const cli_group groups[] = {
    {"Output", opts, 0},
    {"Reading the policy", cli_policy_opts, offsetof(args, load)},
    {NULL, NULL, 0},
};

static bool ends_with(const char *s, const char *end)
{
    const size_t n = strlen(s), m = strlen(end);
    return n > m && strcmp(s + n - m, end) == 0;
}

static const char *format_of(const args *a)
{
    if (a->format) return a->format;
    return ends_with(a->out, ".onnx") ? "onnx" : ends_with(a->out, ".deft") ? "deft" : NULL;
}

/* The image to write: the file's own where that is it. */
static deft_status image_of(const args *a, const deft_loaded *l, deft_bytes *out, deft_error *err)
{
    const bool rows = !a->layout || strcmp(a->layout, "rows") == 0;
    const bool stored_rows = l->qmodel ? l->written.layout == DEFT_IMAGE_ROWS : l->stored_rows;
    *out = l->stored;
    if (l->stored.size && stored_rows == rows) return DEFT_OK;
    deft_image_options opt = l->written;
    opt.layout = rows ? DEFT_IMAGE_ROWS : DEFT_IMAGE_PANELS;
    return l->qmodel ? deft_image_write_q(l->qmodel, &opt, l->arena, out, err)
                     : deft_image_write_for(l->model, opt.layout, l->arena, out, err);
}

static int convert(const args *a, const deft_loaded *l, const char *format)
{
    deft_error err = {DEFT_OK, ""};
    deft_bytes bytes;
    const bool onnx = strcmp(format, "onnx") == 0;
    if (a->layout && onnx) return cli_misuse(&cmd_convert, "--layout is for images");
    if (!(onnx ? l->model != NULL : l->image.size > 0)) {
        return cli_fail_text(&cmd_convert, "%s: %s", cli_escaped(l->path, l->arena), l->reason);
    }
    if ((onnx ? deft_onnx_write(l->model, l->arena, &bytes, &err) : image_of(a, l, &bytes, &err)) !=
        DEFT_OK) {
        return cli_fail(&cmd_convert, &err);
    }
    if (cli_write_file(a->out, bytes.data, bytes.size, &err) != DEFT_OK) {
        return cli_fail(&cmd_convert, &err);
    }
    if (strcmp(a->out, "-") == 0) return CLI_OK;
    (void)printf("%s: %zu bytes", cli_escaped(a->out, l->arena), bytes.size);
    if (!isnan(l->verified)) {
        (void)printf("; the policy was verified to %.2g over 200 recurrent steps",
                     (double)l->verified);
    }
    if (l->rewired) {
        (void)printf("; %d input%s rewired to the new state", (int)l->rewired,
                     l->rewired == 1 ? "" : "s");
    }
    (void)putchar('\n');
    return CLI_OK;
}

/* The second operand is read with checkpoints only. */
static int take_encoder(args *a, char **path)
{
    deft_error err = {DEFT_OK, ""};
    if (!path[1]) return CLI_OK;
    if (a->load.encoder) {
        return cli_misuse(&cmd_convert, "the second operand is the encoder: not also --encoder");
    }
    a->load.encoder = path[1];
    const deft_load_options only = {.encoder = path[1]};
    if (deft_load_options_check(path, 1, &only, &err) == DEFT_OK) return CLI_OK;
    return cli_misuse(&cmd_convert, "the second operand, '%s', is read as --encoder, which %s",
                      path[1], strchr(err.text, ' ') + 1);
}

static int check_output(const args *a, char **path, const char *format)
{
    cli_claim k;
    deft_arena *const arena = deft_arena_create(0);
    if (!arena) return cli_fail_text(&cmd_convert, "out of memory");
    cli_claim_begin(&k, &cmd_convert, arena);
    cli_claim_force(&k, a->force);
    cli_claim_reads_policies(&k, path, 1, &a->load);
    cli_claim_writes(&k, "-o", a->out,
                     strcmp(format, "onnx") == 0 ? DEFT_PRODUCT_ONNX : DEFT_PRODUCT_IMAGE);
    const int status = cli_claim_check(&k);
    deft_arena_destroy(arena);
    return status;
}

static int run(int argc, char **argv)
{
    args a = {.out = NULL};
    const int at = cli_parse(&cmd_convert, argc, argv, &a);
    if (!a.out) return cli_misuse(&cmd_convert, "-o FILE is missing");
    const char *const format = format_of(&a);
    if (!format) {
        return cli_misuse(&cmd_convert, "'%s' ends in neither .onnx nor .deft: --format says which",
                          a.out);
    }
    int status = take_encoder(&a, argv + at);
    if (status == CLI_OK) status = check_output(&a, argv + at, format);
    deft_loaded l;
    if (status == CLI_OK) status = cli_load(&cmd_convert, argv[at], &a.load, &l);
    if (status != CLI_OK) return status;
    status = convert(&a, &l, format);
    deft_loaded_free(&l);
    return status;
}

const cli_command cmd_convert = {
    .name = "convert",
    .operands = "POLICY [ENCODER] -o FILE",
    .operands_min = 1,
    .operands_max = 2,
    .summary = "write a policy as an image (.deft) or as a streamlined ONNX graph",
    .details =
        "ENCODER is the second checkpoint of a policy that comes in two files. The output is "
        "written beside its place and then renamed: it is the old file or the new one at "
        "any moment. '-o -' writes to standard output.",
    .examples = "deft convert policy.onnx -o policy.deft\n"
                "deft convert delayed.onnx --rewire cascade -o repaired.onnx\n"
                "deft convert actor.dat encoder.dat --against policy.onnx -o policy.deft",
    .groups = groups,
    .run = run,
};
