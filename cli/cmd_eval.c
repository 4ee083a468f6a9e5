/* deft eval - policies in an environment: what they earn, how far they get. */
#include "arguments.h"
#include "claim.h"
#include "output.h"

#include <math.h>
#include <stdlib.h>

typedef struct args {
    deft_load_options load;
    cli_episodes episodes;
    bool json, per_episode;
} args;

static const cli_opt opts[] = {
    {"json", NULL, "print JSON: an object, for several policies an array of them", CLI_FLAG, 0,
     offsetof(args, json), 0, 0},
    {"per-episode", NULL, "also every episode by itself", CLI_FLAG, 0, offsetof(args, per_episode),
     0, 0},
    {.kind = CLI_END},
};
static const cli_group groups[] = {
    {"Episodes", cli_episode_opts, offsetof(args, episodes)},
    {"Output", opts, 0},
    {"Reading the policies", cli_policy_opts, offsetof(args, load)},
    {NULL, NULL, 0},
};

/* Everything that one evaluation needs. */
typedef struct evaluation {
    const args *a;
    deft_arena *arena;
    deft_env *env;
    const char *scene;
    int n;
    char **path;
    deft_rollout_result *result; // [n]
    int done;                    // policies with a result
    cli_progress progress;
} evaluation;

static int show_progress(void *user, int32_t episodes, int64_t steps)
{
    evaluation *const e = user;
    const double each = e->a->episodes.episodes ? e->a->episodes.episodes : 10;
    const double most = each * deft_env_get_spec(e->env)->max_steps;
    // by steps within episodes; ended early, they still count as whole ones
    const double here = fmax(episodes / each, fmin((double)steps / most, 0.99));
    cli_progress_show(&e->progress, (e->done + here) / e->n, "%s: %d of %d episodes",
                      cli_basename(e->path[e->done], e->arena), (int)episodes, (int)each);
    return cli_interrupted();
}

static int evaluate(evaluation *e, const char *path)
{
    deft_loaded l;
    deft_controller *c = NULL;
    deft_error err = {DEFT_OK, ""};
    int status = cli_load(&cmd_eval, path, &e->a->load, &l);
    if (status != CLI_OK) return status;
    cli_note_evaluator(&cmd_eval, &l);
    if (deft_loaded_controller(&l, NULL, &c, &err) != DEFT_OK ||
        deft_controller_bind(c, deft_env_get_spec(e->env), &err) != DEFT_OK) {
        status = cli_fail_text(&cmd_eval, "%s: %s%s", cli_escaped(path, l.arena), err.text,
                               err.status == DEFT_E_MISMATCH && !e->a->episodes.env
                                   ? " (--env chooses another environment)"
                                   : "");
    }
    if (status == CLI_OK) {
        deft_rollout_config cfg = cli_rollout_config(&e->a->episodes);
        cfg.progress = show_progress;
        cfg.user = e;
        const deft_status s = deft_rollout_run(c, e->env, &cfg, &e->result[e->done], &err);
        cli_progress_clear(&e->progress);
        if (s == DEFT_E_CANCELLED) {
            e->done += e->result[e->done].n_episode > 0;
            status = CLI_INTERRUPTED;
        } else if (s != DEFT_OK) {
            status = cli_fail(&cmd_eval, &err);
        } else {
            e->done++;
        }
    }
    deft_controller_destroy(c);
    deft_loaded_free(&l);
    return status;
}

static const char *stat_text(const evaluation *e, deft_stat s, int digits)
{
    if (!s.n || isnan(s.mean)) return "-";
    const char *const text =
        s.n < 2 || isnan(s.ci95)
            ? deft_arena_printf(e->arena, "%.*f", digits, s.mean)
            : deft_arena_printf(e->arena, "%.*f +-%.*f", digits, s.mean, digits, s.ci95);
    return text ? text : "";
}

static double mean_inference_us(const deft_rollout_result *r)
{
    double sum = 0;
    for (int32_t k = 0; k < r->n_episode; k++) sum += r->episode[k].inference_us;
    return r->n_episode ? sum / r->n_episode : (double)NAN;
}

/* NAN stands for what an environment does not have. */
static const char *number(const evaluation *e, double x, int digits)
{
    const char *const text = isnan(x) ? "-" : deft_arena_printf(e->arena, "%.*f", digits, x);
    return text ? text : "";
}

static void print_episodes(const evaluation *e)
{
    static const char *const head[] = {"policy",      "episode",     "reward",
                                       "distance cm", "heading err", "torque",
                                       "current A",   "steps",       "end"};
    cli_table t;
    cli_table_init(&t, e->arena, 9, head);
    for (int p = 0; p < e->done; p++) {
        for (int32_t k = 0; k < e->result[p].n_episode; k++) {
            const deft_episode *const x = &e->result[p].episode[k];
            cli_table_row(&t, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t%d\t%s",
                          cli_basename(e->path[p], e->arena), (int)k, number(e, x->reward, 2),
                          number(e, x->distance_cm, 1), number(e, x->heading_error_rad, 3),
                          number(e, x->torque, 2), number(e, x->current_a, 2), (int)x->steps,
                          x->terminated ? "terminated" : "time");
        }
    }
    cli_table_print(&t, stdout);
    (void)putchar('\n');
}

static void print_text(const evaluation *e)
{
    static const char *const head[] = {"policy",          "reward", "distance cm",
                                       "heading err rad", "torque", "current A",
                                       "episodes",        "steps",  "us a step"};
    if (e->a->per_episode) print_episodes(e);
    cli_table t;
    cli_table_init(&t, e->arena, 9, head);
    double wall = 0;
    int64_t steps = 0;
    for (int p = 0; p < e->done; p++) {
        const deft_rollout_result *const r = &e->result[p];
        cli_table_row(&t, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%lld\t%.1f",
                      cli_basename(e->path[p], e->arena), stat_text(e, r->reward, 2),
                      stat_text(e, r->distance_cm, 1), stat_text(e, r->heading_error_rad, 3),
                      stat_text(e, r->torque, 2), stat_text(e, r->current_a, 2), (int)r->n_episode,
                      (long long)r->steps, mean_inference_us(r));
        wall += r->wall_seconds;
        steps += r->steps;
    }
    cli_table_print(&t, stdout);
    (void)printf("%s%s%s, seed %llu; +- is half of a 95%% interval; %.1f s, %.0f steps/s\n",
                 deft_env_get_spec(e->env)->name, e->scene ? ", scene " : "",
                 e->scene ? cli_escaped(e->scene, e->arena) : "",
                 (unsigned long long)e->a->episodes.seed, wall, (double)steps / wall);
}

static json_t *json_stat(deft_stat s)
{
    return json_pack("{s:o, s:o, s:o}", "mean", cli_json_real(s.mean), "sd", cli_json_real(s.sd),
                     "ci95", cli_json_real(s.ci95));
}

static json_t *json_episodes(const deft_rollout_result *r)
{
    json_t *const all = json_array();
    for (int32_t k = 0; k < r->n_episode; k++) {
        const deft_episode *const x = &r->episode[k];
        (void)json_array_append_new(
            all, json_pack("{s:o, s:o, s:o, s:o, s:o, s:i, s:b}", "reward",
                           cli_json_real(x->reward), "distance_cm", cli_json_real(x->distance_cm),
                           "heading_error_rad", cli_json_real(x->heading_error_rad), "torque",
                           cli_json_real(x->torque), "current_a", cli_json_real(x->current_a),
                           "steps", (int)x->steps, "terminated", (int)x->terminated));
    }
    return all;
}

static json_t *json_result(const evaluation *e, int p)
{
    const deft_rollout_result *const r = &e->result[p];
    json_t *const j = json_pack(
        "{s:o, s:s, s:o, s:I, s:i, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:f, s:f}", "policy",
        cli_json_string(e->path[p]), "env", deft_env_get_spec(e->env)->name, "scene",
        e->scene ? cli_json_string(e->scene) : json_null(), "seed", (json_int_t)e->a->episodes.seed,
        "episodes", (int)r->n_episode, "steps", (json_int_t)r->steps, "reward",
        json_stat(r->reward), "distance_cm", json_stat(r->distance_cm), "heading_error_rad",
        json_stat(r->heading_error_rad), "torque", json_stat(r->torque), "current_a",
        json_stat(r->current_a), "inference_us", cli_json_real(mean_inference_us(r)),
        "wall_seconds", r->wall_seconds, "physics_seconds", r->physics_seconds);
    if (e->a->per_episode) (void)json_object_set_new(j, "per_episode", json_episodes(r));
    return j;
}

static int print_json(const evaluation *e)
{
    if (e->n == 1) return cli_json_print(&cmd_eval, json_result(e, 0));
    json_t *const all = json_array();
    for (int p = 0; p < e->done; p++) (void)json_array_append_new(all, json_result(e, p));
    return cli_json_print(&cmd_eval, all);
}

static int evaluate_all(evaluation *e)
{
    int status = CLI_OK;
    cli_progress_init(&e->progress);
    cli_catch_interrupt();
    for (int p = 0; p < e->n && status == CLI_OK; p++) status = evaluate(e, e->path[p]);
    if (e->done && (status == CLI_OK || status == CLI_INTERRUPTED)) {
        if (!e->a->json) {
            print_text(e);
        } else if (print_json(e) != CLI_OK) {
            status = CLI_FAILED;
        }
    }
    if (status == CLI_INTERRUPTED) {
        (void)cli_fail_text(&cmd_eval, "interrupted%s",
                            e->done ? ": what was finished is reported" : "");
    }
    return status;
}

static int check_output(const args *a, char **path, int n, deft_arena *arena)
{
    cli_claim k;
    cli_claim_begin(&k, &cmd_eval, arena);
    cli_claim_reads_policies(&k, path, n, &a->load);
    cli_claim_reads_episodes(&k, &a->episodes);
    cli_claim_writes(&k, "--log", a->episodes.log, DEFT_PRODUCT_LOG);
    return cli_claim_check(&k);
}

static int run(int argc, char **argv)
{
    args a = {.json = false};
    const int at = cli_parse(&cmd_eval, argc, argv, &a);
    if (cli_load_check(&cmd_eval, argv + at, argc - at, &a.load) != CLI_OK) return CLI_MISUSE;
    evaluation e = {.a = &a, .arena = deft_arena_create(0), .n = argc - at, .path = argv + at};
    int status = CLI_FAILED;
    e.result = calloc((size_t)e.n, sizeof *e.result);
    if (!e.arena || !e.result) {
        status = cli_fail_text(&cmd_eval, "out of memory");
    } else {
        status = check_output(&a, e.path, e.n, e.arena);
        if (status == CLI_OK) {
            status = cli_env_open(&cmd_eval, &a.episodes, e.arena, &e.env, &e.scene);
        }
    }
    if (status == CLI_OK) {
        const deft_env_spec *const spec = deft_env_get_spec(e.env);
        a.load.env = spec->name;
        a.load.sensed = spec->n_obs;
        status = evaluate_all(&e);
    }
    for (int p = 0; e.result && p < e.n; p++) deft_rollout_free(&e.result[p]);
    free(e.result);
    deft_env_destroy(e.env);
    deft_arena_destroy(e.arena);
    return status;
}

const cli_command cmd_eval = {
    .name = "eval",
    .operands = "POLICY...",
    .operands_min = 1,
    .operands_max = 1000,
    .summary = "run policies in an environment: reward, distance, heading error, torque, current",
    .details =
        "All policies get the same starts. The same seed gives the same numbers whatever "
        "--jobs is. A policy with more inputs than the environment has observations, by as "
        "many as there are actions, is fed the previous action first. Ctrl-C stops: finished "
        "episodes are reported and the exit status is 130.",
    .examples = "deft eval policy.onnx --env pendulum -n 100\n"
                "deft eval policy.onnx policy.deft --scene robot.xml --json\n"
                "deft eval delayed.onnx --rewire cascade --log run.sqlite",
    .groups = groups,
    .run = run,
};
