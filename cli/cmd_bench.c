/* deft bench - how long a control step takes on this machine. */
#include "arguments.h"
#include "output.h"

#include <stdlib.h>

typedef struct args {
    deft_load_options load;
    int32_t rounds;
    const char *kernels;
    bool json, peers;
} args;

static const cli_opt opts[] = {
    {"rounds", "N", "interleaved rounds of 25 steps each (default: 400)", CLI_INT, 0,
     offsetof(args, rounds), 1, 1e6},
    {"kernels", "NAME",
     "arithmetic: ref, avx2, avxvnni, avx512, avx512vnni, neon, neondot (default: the best there "
     "is)",
     CLI_TEXT, 0, offsetof(args, kernels), 0, 0},
    {"peers", NULL,
     "other libraries too, in the same rounds: OpenBLAS, oneDNN, LibTorch, ONNX Runtime, as far as "
     "they are there",
     CLI_FLAG, 0, offsetof(args, peers), 0, 0},
    {"json", NULL, "print JSON: an array of one object a policy", CLI_FLAG, 0, offsetof(args, json),
     0, 0},
    {.kind = CLI_END},
};
static const cli_group groups[] = {
    {"Measuring", opts, 0},
    {"Reading the policies", cli_policy_opts, offsetof(args, load)},
    {NULL, NULL, 0},
};

static bool show_progress(void *user, double fraction)
{
    cli_progress_show(user, fraction, "measuring");
    return cli_interrupted();
}

static void print_table(const deft_loaded *l, int n, const deft_bench_row *row, const char *kernels,
                        bool pinned)
{
    static const char *const head[] = {"policy",    "numbers", "image",   "MACs",     "min ns",
                                       "median ns", "MACs/ns", "read ns", "step/read"};
    cli_table t;
    cli_table_init(&t, l[0].arena, 9, head);
    for (int k = 0; k < n; k++) {
        const deft_bench_row *const r = &row[k];
        const int64_t macs = r->macs;
        cli_table_row(&t, "%s\t%s\t%zu\t%lld\t%.0f\t%.0f\t%.1f\t%.0f\t%.2f",
                      cli_basename(l[k].path, l[0].arena), l[k].numbers, l[k].image.size,
                      (long long)macs, r->ns_min, r->ns_median, (double)macs / r->ns_median,
                      r->read_ns_median, r->ns_median / r->read_ns_median);
    }
    cli_table_print(&t, stdout);
    (void)printf("%d rounds of 25 steps, kernels %s, %s; read: a plain loop over the same weight "
                 "bytes\n",
                 (int)row[0].rounds, kernels,
                 pinned ? "pinned to one core" : "not pinned to a core");
}

static void print_peers(const deft_loaded *l, int n, const deft_bench_row *row)
{
    static const char *const head[] = {"policy", "library", "min ns", "median ns", "times Deft's"};
    cli_table t;
    cli_table_init(&t, l[0].arena, 5, head);
    for (int k = 0; k < n; k++) {
        for (int i = 0; i < DEFT_BENCH_PEERS; i++) {
            const deft_bench_peer *const p = &row[k].peer[i];
            if (!p->name || *p->reason) continue;
            cli_table_row(&t, "%s\t%s\t%.0f\t%.0f\t%.1f", cli_basename(l[k].path, l[k].arena),
                          cli_escaped(p->name, l[k].arena), p->ns_min, p->ns_median,
                          p->ns_median / row[k].ns_median);
        }
    }
    (void)printf("\n");
    cli_table_print(&t, stdout);
    for (int i = 0; i < DEFT_BENCH_PEERS; i++) {
        const deft_bench_peer *const p = &row[0].peer[i];
        if (p->name && *p->reason) {
            (void)printf("%s: left out: %s\n", p->name, cli_escaped(p->reason, l[0].arena));
        }
    }
    (void)printf("float32, one thread, processes of their own on the same core; \"one call\": a "
                 "model of one number\n");
}

static int print_json(const deft_loaded *l, int n, const deft_bench_row *row, const char *kernels,
                      bool pinned)
{
    json_t *const all = json_array();
    for (int k = 0; k < n; k++) {
        const deft_bench_row *const r = &row[k];
        const int64_t macs = r->macs;
        json_t *const j = json_pack(
            "{s:o, s:s, s:f, s:f, s:f, s:f, s:I, s:f, s:I, s:I, s:i, s:s, s:b, s:i}", "model",
            cli_json_string(l[k].path), "format", l[k].numbers, "ns_min", r->ns_min, "ns_median",
            r->ns_median, "read_ns_min", r->read_ns_min, "read_ns_median", r->read_ns_median,
            "macs", (json_int_t)macs, "macs_per_ns", (double)macs / r->ns_median, "weight_bytes",
            (json_int_t)r->weight_bytes, "image_bytes", (json_int_t)l[k].image.size, "arena_bytes",
            (int)r->arena_bytes, "kernels", kernels, "pinned", (int)pinned, "rounds",
            (int)r->rounds);
        (void)json_array_append_new(all, j);
        for (int i = 0; i < DEFT_BENCH_PEERS; i++) {
            const deft_bench_peer *const p = &r->peer[i];
            if (!p->name || *p->reason) continue;
            (void)json_array_append_new(
                all, json_pack("{s:o, s:o, s:f, s:f, s:f}", "model", cli_json_string(l[k].path),
                               "format", cli_json_string(p->name), "ns_min", p->ns_min, "ns_median",
                               p->ns_median, "read_ns_median", r->read_ns_median));
        }
    }
    return cli_json_print(&cmd_bench, all);
}

static int measure(const args *a, const deft_loaded *l, int n, const deft_kernels *kernels)
{
    deft_bench_row *const row = calloc((size_t)n, sizeof *row);
    if (!row) return cli_fail_text(&cmd_bench, "out of memory");
    cli_progress p;
    cli_progress_init(&p);
    cli_catch_interrupt();
    const deft_bench_config cfg = {.rounds = a->rounds,
                                   .kernels = kernels,
                                   .peers = a->peers,
                                   .cancelled = show_progress,
                                   .user = &p};
    deft_error err = {DEFT_OK, ""};
    bool pinned = false;
    const deft_status s = deft_bench(l, n, &cfg, row, &pinned, &err);
    cli_progress_clear(&p);
    const bool some = s == DEFT_OK || (s == DEFT_E_CANCELLED && row[0].rounds > 0);
    int status = CLI_OK;
    if (some && a->json) {
        status = print_json(l, n, row, deft_kernels_name(kernels), pinned);
    } else if (some) {
        print_table(l, n, row, deft_kernels_name(kernels), pinned);
        if (a->peers) print_peers(l, n, row);
    }
    if (s != DEFT_OK) {
        status = cli_fail(&cmd_bench, &err);
        if (s == DEFT_E_CANCELLED) status = CLI_INTERRUPTED;
    }
    free(row);
    return status;
}

static int run(int argc, char **argv)
{
    args a = {.json = false};
    const int at = cli_parse(&cmd_bench, argc, argv, &a), n = argc - at;
    const deft_kernels *kernels = deft_kernels_best();
    if (cli_kernels(&cmd_bench, a.kernels, &kernels) != CLI_OK) return CLI_FAILED;
    if (cli_load_check(&cmd_bench, argv + at, n, &a.load) != CLI_OK) return CLI_MISUSE;
    deft_loaded *const l = calloc((size_t)n, sizeof *l);
    if (!l) return cli_fail_text(&cmd_bench, "out of memory");
    int status = CLI_OK;
    for (int k = 0; k < n && status == CLI_OK; k++) {
        status = cli_load(&cmd_bench, argv[at + k], &a.load, &l[k]);
        if (status == CLI_OK && !l[k].image.size) {
            status = cli_fail_text(&cmd_bench, "%s: only the evaluator runs it: %s", argv[at + k],
                                   l[k].reason);
        }
    }
    if (status == CLI_OK) status = measure(&a, l, n, kernels);
    for (int k = 0; k < n; k++) deft_loaded_free(&l[k]);
    free(l);
    return status;
}

const cli_command cmd_bench = {
    .name = "bench",
    .operands = "POLICY...",
    .operands_min = 1,
    .operands_max = 1000,
    .summary = "how long a control step takes on this machine",
    .details =
        "Rounds of all policies are interleaved on one core. Beside each step, in the same "
        "round, a plain loop reads the same weight bytes: the ratio of the two says more than "
        "nanoseconds, which depend on the machine and its clock.",
    .examples = "deft bench policy.deft\n"
                "deft bench policy.onnx --peers\n"
                "deft bench a.onnx b.deft --json",
    .groups = groups,
    .run = run,
};
