/* deft run - recorded observations in, actions out. */
#include "arguments.h"
#include "claim.h"
#include "output.h"

#include <stdlib.h>
#include <string.h>

typedef struct args {
    deft_load_options load;
    cli_recorded recorded;
    const char *out, *kernels;
    bool hidden, force;
} args;

static const cli_opt opts[] = {
    {"out", "FILE.csv", "where the actions go (default: standard output)", CLI_PATH, 'o',
     offsetof(args, out), 0, 0},
    {"hidden", NULL, "also the output of the last recurrent layer after each step", CLI_FLAG, 0,
     offsetof(args, hidden), 0, 0},
    {"kernels", "NAME", "arithmetic: ref, avx2, avx512, neon (default: the best there is)",
     CLI_TEXT, 0, offsetof(args, kernels), 0, 0},
    {"force", NULL, "write over a file that is there", CLI_FLAG, 0, offsetof(args, force), 0, 0},
    {.kind = CLI_END},
};
static const cli_group groups[] = {
    {"Input", cli_recorded_opts, offsetof(args, recorded)},
    {"Output", opts, 0},
    {"Reading the policy", cli_policy_opts, offsetof(args, load)},
    {NULL, NULL, 0},
};

/* What a policy did in every row. */
typedef struct trace {
    int32_t n_row, n_act, n_hidden;
    float *act, *hidden; // [n_row][n_act], [n_row][n_hidden]
} trace;

static void print_row(FILE *f, const float *x, int32_t n, bool first)
{
    for (int32_t k = 0; k < n; k++) {
        (void)fprintf(f, "%s%.9g", first && k == 0 ? "" : ",", (double)x[k]);
    }
}

static int last_recurrent(const deft_loaded *l)
{
    deft_model_stats st = {.recurrent_layers = 0};
    if (l->model) deft_model_count(l->model, &st);
    return st.recurrent_layers > 0 ? (int)st.recurrent_layers - 1 : 0;
}

static void print_csv(FILE *f, const trace *t, int layer)
{
    for (int k = 0; k < (int)t->n_act; k++) (void)fprintf(f, "%sact%d", k ? "," : "", k);
    for (int k = 0; k < (int)t->n_hidden; k++) (void)fprintf(f, ",h%d_%d", layer, k);
    (void)fputc('\n', f);
    for (int32_t r = 0; r < t->n_row; r++) {
        print_row(f, t->act + (size_t)r * (size_t)t->n_act, t->n_act, true);
        print_row(f, t->hidden + (size_t)r * (size_t)t->n_hidden, t->n_hidden, false);
        (void)fputc('\n', f);
    }
}

static int write_csv(const char *path, const trace *t, int layer)
{
    char *text = NULL;
    size_t size = 0;
    FILE *const f = open_memstream(&text, &size);
    if (!f) return cli_fail_text(&cmd_run, "out of memory");
    print_csv(f, t, layer);
    deft_error err = {DEFT_OK, ""};
    int status = CLI_OK;
    if (fclose(f) != 0) {
        status = cli_fail_text(&cmd_run, "out of memory");
    } else if (cli_write_file(path, text, size, &err) != DEFT_OK) {
        status = cli_fail(&cmd_run, &err);
    }
    free(text);
    return status;
}

static int replay(const args *a, const deft_loaded *l, const deft_recording *r, deft_controller *c)
{
    deft_error err = {DEFT_OK, ""};
    cli_note_evaluator(&cmd_run, l);
    trace t = {.n_row = r->n_row, .n_act = deft_controller_n_act(c)};
    if (a->hidden && !deft_controller_hidden(c, &t.n_hidden)) {
        return cli_fail_text(&cmd_run, "%s: --hidden: the policy has no recurrent layer",
                             cli_escaped(l->path, l->arena));
    }
    t.act = DEFT_NEW_ARRAY(l->arena, float, (size_t)r->n_row *(size_t)t.n_act);
    t.hidden = DEFT_NEW_ARRAY(l->arena, float, (size_t)r->n_row *(size_t)t.n_hidden + 1);
    if (!t.act || !t.hidden) return cli_fail_text(&cmd_run, "out of memory");
    const bool recorded = a->recorded.feed && strcmp(a->recorded.feed, "recorded") == 0;
    if (deft_replay(c, r, recorded, t.act, a->hidden ? t.hidden : NULL, &err) != DEFT_OK) {
        return cli_fail(&cmd_run, &err);
    }
    return write_csv(a->out ? a->out : "-", &t, last_recurrent(l));
}

static int check_output(const args *a, char **path, deft_arena *arena)
{
    cli_claim k;
    cli_claim_begin(&k, &cmd_run, arena);
    cli_claim_force(&k, a->force);
    cli_claim_reads_policies(&k, path, 1, &a->load);
    cli_claim_reads(&k, "--obs", a->recorded.obs);
    cli_claim_writes(&k, "-o", a->out, DEFT_PRODUCT_TABLE);
    return cli_claim_check(&k);
}

static int load_and_replay(args *a, char **path, const deft_kernels *kernels, deft_arena *arena)
{
    deft_recording r = {.n_row = 0};
    deft_loaded l = {.path = path[0]};
    deft_controller *c = NULL;
    deft_error err = {DEFT_OK, ""};
    int status = check_output(a, path, arena);
    if (status == CLI_OK) status = cli_recording_open(&cmd_run, &a->recorded, arena, &a->load, &r);
    if (status == CLI_OK) status = cli_load(&cmd_run, path[0], &a->load, &l);
    if (status == CLI_OK) status = cli_recording_fit(&cmd_run, &l, arena, &r);
    if (status == CLI_OK && kernels && !l.image.size) {
        status = cli_misuse(&cmd_run, "--kernels: only the evaluator runs this policy: %s",
                            cli_escaped(l.reason, arena));
    }
    if (status == CLI_OK && deft_loaded_controller(&l, kernels, &c, &err) != DEFT_OK) {
        status = cli_fail(&cmd_run, &err);
    }
    if (status == CLI_OK) status = replay(a, &l, &r, c);
    deft_controller_destroy(c);
    deft_loaded_free(&l);
    return status;
}

static int run(int argc, char **argv)
{
    args a = {.out = NULL};
    const int at = cli_parse(&cmd_run, argc, argv, &a);
    if (!a.recorded.obs) return cli_misuse(&cmd_run, "--obs FILE.csv is missing");
    const deft_kernels *kernels = NULL;
    if (cli_kernels(&cmd_run, a.kernels, &kernels) != CLI_OK) return CLI_FAILED;
    deft_arena *const arena = deft_arena_create(0);
    const int status = arena ? load_and_replay(&a, argv + at, kernels, arena)
                             : cli_fail_text(&cmd_run, "out of memory");
    deft_arena_destroy(arena);
    return status;
}

const cli_command cmd_run = {
    .name = "run",
    .operands = "POLICY",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "take recorded observations through a policy, state and all, and print its actions",
    .details = "The policy is reset where an episode begins, and stepped once a row. The output is "
               "CSV with the columns "
               "act0, act1, ... in the units of the policy's contract.",
    .examples = "deft run policy.onnx --obs log.csv -o actions.csv\n"
                "deft run policy.deft --obs log.csv --feed recorded --hidden",
    .groups = groups,
    .run = run,
};
