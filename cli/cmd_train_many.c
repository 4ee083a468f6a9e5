/* cmd_train_many.c - deft train --seeds: many runs below one folder, by any number of processes. */
#include "cmd_train.h"
#include "deft/train_many.h"
#include "output.h"

#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_RUNS = 100000 };

bool train_is_list(const char *text)
{
    return text && strchr(text, ',');
}

/* The parts of "a,b"; NULL: one, which is NULL. */
static int split(const char *text, deft_arena *a, const char ***out, int32_t *n)
{
    *n = 1;
    for (const char *p = text; p && *p; p++) *n += *p == ',';
    *out = DEFT_NEW_ARRAY(a, const char *, *n);
    if (!*out) return cli_fail_text(&cmd_train, "out of memory");
    for (int32_t i = 0; text && i < *n; i++) {
        const size_t k = strcspn(text, ",");
        (*out)[i] = deft_arena_strndup(a, text, k);
        if (!(*out)[i]) return cli_fail_text(&cmd_train, "out of memory");
        if (k == 0) return cli_misuse(&cmd_train, "a list has an empty part");
        text += k + 1;
    }
    return CLI_OK;
}

/* "dir/slow.json": "slow" */
static const char *stem(const char *path, deft_arena *a)
{
    const char *const slash = strrchr(path, '/'), *const base = slash ? slash + 1 : path;
    const char *const dot = strrchr(base, '.');
    return deft_arena_strndup(a, base, dot && dot > base ? (size_t)(dot - base) : strlen(base));
}

/* The jobs of a run of the program, with the groups' names. */
typedef struct jobs {
    deft_train_job *job;
    int32_t n;
    const char **algo, **config;
    int32_t n_algo, n_config;
} jobs;

static const char *group_name(const jobs *j, int32_t config, int32_t algo, deft_arena *a)
{
    const char *const file = j->n_config > 1 ? stem(j->config[config], a) : "";
    if (j->n_algo == 1) return file;
    return deft_arena_printf(a, "%s%s%s", file ? file : "", j->n_config > 1 ? "-" : "",
                             j->algo[algo]);
}

/* Jobs of one group: of one setup with seeds that follow each other. */
static int add_group(const train_args *a, const char *group, deft_arena *arena, jobs *j)
{
    deft_train_setup s = {.env = NULL};
    const int32_t seeds = a->seeds ? a->seeds : 1;
    for (int32_t i = 0; group && i < j->n; i++) {
        if (strcmp(j->job[i].group, group) == 0) {
            return cli_misuse(&cmd_train, "'%s' is given twice", cli_escaped(group, arena));
        }
    }
    const int status = train_new_setup(a, arena, &s);
    if (status != CLI_OK) return status;
    const uint64_t first = s.train.seed;
    for (int32_t i = 0; i < seeds; i++) {
        s.train.seed = first + (uint64_t)i;
        const char *const name =
            group ? deft_arena_printf(arena, "%s%sseed-%llu", group, *group ? "-" : "",
                                      (unsigned long long)s.train.seed)
                  : NULL;
        if (!name) return cli_fail_text(&cmd_train, "out of memory");
        j->job[j->n++] = (deft_train_job){.name = name, .group = group, .setup = s};
    }
    return CLI_OK;
}

static int make_jobs(const train_args *a, deft_arena *arena, jobs *j)
{
    int status = split(a->algo, arena, &j->algo, &j->n_algo);
    if (status == CLI_OK) status = split(a->config, arena, &j->config, &j->n_config);
    if (status != CLI_OK) return status;
    const int64_t seeds = a->seeds ? a->seeds : 1, n = seeds * j->n_algo * j->n_config;
    if (n > MAX_RUNS) return cli_misuse(&cmd_train, "more than %d runs", (int)MAX_RUNS);
    j->job = DEFT_NEW_ARRAY(arena, deft_train_job, n);
    if (!j->job) return cli_fail_text(&cmd_train, "out of memory");
    for (int32_t c = 0; c < j->n_config; c++) {
        for (int32_t k = 0; status == CLI_OK && k < j->n_algo; k++) {
            train_args one = *a;
            one.algo = j->algo[k];
            one.config = j->config[c];
            status = add_group(&one, group_name(j, c, k, arena), arena, j);
        }
    }
    return status;
}

/* Cores that this process may use. */
static int32_t cores(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    const int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return n > 0 ? n : 1;
}

/* The number of this process among those of an mpirun or srun; -1: there is no such thing. MPI
 * itself is not needed: processes agree by files. */
static int32_t rank(void)
{
    static const char *const name[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"};
    for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
        const char *const text = getenv(name[i]);
        if (text && *text) return (int32_t)strtol(text, NULL, 10);
    }
    // a batch script has a SLURM_PROCID, too, but is no step of srun
    const char *const proc = getenv("SLURM_PROCID");
    if (proc && *proc && getenv("SLURM_STEP_NUM_TASKS")) return (int32_t)strtol(proc, NULL, 10);
    return -1;
}

/* --- showing --------------------------------------------------------------------------------- */

typedef struct watch {
    cli_progress progress;
    double start;
    int64_t first; // steps that were done before, -1: not known yet
} watch;

static void show(void *user, const deft_train_many_state *s)
{
    watch *const w = user;
    if (w->first < 0) w->first = s->step;
    const double rate = (double)(s->step - w->first) / (cli_seconds() - w->start + 1e-9);
    char evaluated[80] = "";
    if (!isnan(s->least)) {
        (void)snprintf(evaluated, sizeof evaluated,
                       s->least < s->most ? ", evaluated %.1f to %.1f" : ", evaluated %.1f",
                       s->least, s->most);
    }
    cli_progress_show(&w->progress, (double)s->step / (double)s->steps,
                      "%d of %d runs done, %d at work%s, %.0f steps/s", (int)s->finished, (int)s->n,
                      (int)s->running, evaluated, rate);
}

static bool stop(void *user)
{
    (void)user;
    return cli_interrupted();
}

/* "-185.2 [-190.1, -180.3]" */
static const char *interval(const deft_train_score *s, deft_arena *a)
{
    const char *const text = isnan(s->lo)
                                 ? deft_arena_printf(a, "%.2f", s->iqm)
                                 : deft_arena_printf(a, "%.2f [%.2f, %.2f]", s->iqm, s->lo, s->hi);
    return text ? text : "";
}

static void print_text(const deft_train_group *g, int32_t n, const char *dir, deft_arena *a)
{
    static const char *const head[] = {
        "runs", "n", "last evaluation", "best evaluation", "least ... most", "s a run"};
    cli_table t;
    cli_table_init(&t, a, 6, head);
    for (int32_t i = 0; i < n; i++) {
        cli_table_row(&t, "%s\t%d\t%s\t%s\t%.2f ... %.2f\t%.1f",
                      *g[i].name ? cli_escaped(g[i].name, a) : "all", (int)g[i].n,
                      interval(&g[i].last, a), interval(&g[i].best, a), g[i].last.least,
                      g[i].last.most, g[i].seconds);
    }
    cli_table_print(&t, stdout);
    (void)printf(
        "interquartile means of returns with 95 %% intervals (bootstrap); %s/summary.json\n",
        cli_escaped(dir, a));
}

static int print(const train_args *a, const jobs *j, deft_arena *arena, bool quiet)
{
    deft_error err = {DEFT_OK, ""};
    deft_train_group *g = NULL;
    const int32_t n = deft_train_summary(j->job, j->n, a->out, arena, &g, &err);
    if (n < 0) return cli_fail(&cmd_train, &err);
    if (quiet || n == 0) return CLI_OK;
    if (!a->json) {
        print_text(g, n, a->out, arena);
        return CLI_OK;
    }
    const char *const path = deft_arena_printf(arena, "%s/summary.json", a->out);
    json_t *const summary = path ? json_load_file(path, 0, NULL) : NULL;
    return cli_json_print(&cmd_train, summary);
}

/* --- training -------------------------------------------------------------------------------- */

static int load_start(const train_args *a, const jobs *j, deft_loaded *start)
{
    deft_error err = {DEFT_OK, ""};
    deft_env *env = NULL;
    if (deft_train_setup_env(&j->job[0].setup, &env, &err) != DEFT_OK) {
        return cli_fail(&cmd_train, &err);
    }
    const int status = train_load_start(a, env, start);
    deft_env_destroy(env);
    return status;
}

static int train_jobs(const train_args *a, jobs *j, deft_arena *arena)
{
    const int32_t me = rank();
    const int32_t all = cores(), wanted = a->jobs ? a->jobs : me >= 0 ? 1 : all;
    const int32_t at_once = wanted < j->n ? wanted : j->n;
    for (int32_t i = 0; !a->threads && i < j->n; i++) {
        j->job[i].setup.train.threads = at_once * 2 <= all ? 2 : 1;
    }
    deft_loaded start = {.path = ""};
    int status = a->load ? load_start(a, j, &start) : CLI_OK;
    if (status == CLI_OK) {
        watch w = {.start = cli_seconds(), .first = -1};
        const deft_train_many_options opt = {.dir = a->out,
                                             .jobs = at_once,
                                             .checkpoint_seconds = 60 * a->checkpoint_minutes,
                                             .lease_seconds = a->lease,
                                             .start = start.model,
                                             .progress = show,
                                             .notice = train_notice,
                                             .cancelled = stop,
                                             .user = &w};
        cli_progress_init(&w.progress);
        cli_catch_interrupt();
        deft_error err = {DEFT_OK, ""};
        const deft_status s = deft_train_many(j->job, j->n, &opt, &err);
        cli_progress_clear(&w.progress);
        if (s == DEFT_E_CANCELLED) {
            (void)cli_fail_text(&cmd_train, "stopped; the same command goes on");
            status = CLI_INTERRUPTED;
        } else {
            // some failed: a summary of the others; nothing was begun: none
            status = s == DEFT_OK || w.first >= 0 ? print(a, j, arena, me > 0) : CLI_OK;
            if (s != DEFT_OK) status = cli_fail(&cmd_train, &err);
        }
    }
    deft_loaded_free(&start);
    return status;
}

int train_many(const train_args *a, const cli_given *given, deft_arena *arena)
{
    jobs j = {.n = 0};
    int status = make_jobs(a, arena, &j);
    const deft_train_setup **const setup = DEFT_NEW_ARRAY(arena, const deft_train_setup *, j.n + 1);
    if (!setup) return cli_fail_text(&cmd_train, "out of memory");
    for (int32_t i = 0; i < j.n; i++) setup[i] = &j.job[i].setup;
    if (status == CLI_OK) status = train_check_unread(given, setup, j.n);
    return status == CLI_OK ? train_jobs(a, &j, arena) : status;
}
