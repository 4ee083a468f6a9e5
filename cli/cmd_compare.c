/* deft compare - how far apart two policies are: actions, layers, returns. */
#include "arguments.h"
#include "claim.h"
#include "output.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct args {
    deft_load_options load;
    cli_episodes episodes;
    cli_recorded recorded;
    double tolerance, fail_above;
    const char *report;
    bool json, force;
} args;

static const cli_opt opts[] = {
    {"tolerance", "X", "what counts as a divergence (default: 1e-5)", CLI_REAL, 't',
     offsetof(args, tolerance), 0, 1e9},
    {"fail-above", "X", "exit with status 1 if any action differs by more than X", CLI_REAL, 0,
     offsetof(args, fail_above), 0, 1e9},
    {"report", "FILE.html", "write a page with tables and curves", CLI_PATH, 0,
     offsetof(args, report), 0, 0},
    {"force", NULL, CLI_FORCE_HELP, CLI_FLAG, 0, offsetof(args, force), 0, 0},
    {"json", NULL, "print JSON", CLI_FLAG, 0, offsetof(args, json), 0, 0},
    {.kind = CLI_END},
};
static const cli_group groups[] = {
    {"Comparing", opts, 0},
    {"With a recording", cli_recorded_opts, offsetof(args, recorded)},
    {"In an environment", cli_episode_opts, offsetof(args, episodes)},
    {"Reading the policies", cli_policy_opts, offsetof(args, load)},
    {NULL, NULL, 0},
};

enum { MEASURES = 5 };
static const char *const measure_name[MEASURES] = {"reward", "distance_cm", "heading_error_rad",
                                                   "torque", "current_a"};

typedef struct comparison {
    const args *a;
    deft_arena *arena;
    const char *name_a, *name_b; // b: the recording where there is one policy
    deft_loaded la, lb;          // lb is empty where there is one policy
    bool two;
    deft_recording rec;
    bool feed_recorded;
    const float *act_a, *act_b; // [n_row][n_act]
    int32_t n_act;
    deft_difference action, hidden;
    bool have_hidden;
    int32_t decisions, changed; // of discrete policies; 0: not one
    deft_difference *layer;     // NULL: layers do not correspond
    const char *no_layers;      // why
    deft_env *env;
    deft_rollout_result ra, rb;
    deft_stat paired[MEASURES]; // b - a
    cli_progress progress;
} comparison;

static int fail(const deft_error *err)
{
    return cli_fail(&cmd_compare, err);
}

/* The actions, and the last recurrent layer's outputs, of one policy. */
static int replay(comparison *c, const deft_loaded *l, const float **act, const float **hidden,
                  int32_t *n_act, int32_t *n_hidden)
{
    deft_controller *k = NULL;
    deft_error err = {DEFT_OK, ""};
    if (deft_loaded_controller(l, NULL, &k, &err) != DEFT_OK) return fail(&err);
    *n_act = deft_controller_n_act(k);
    const bool recurrent = deft_controller_hidden(k, n_hidden) != NULL;
    const size_t rows = (size_t)c->rec.n_row;
    float *const x = DEFT_NEW_ARRAY(c->arena, float, rows *(size_t)*n_act);
    float *const h = DEFT_NEW_ARRAY(c->arena, float, rows *(size_t)*n_hidden + 1);
    int status = CLI_OK;
    if (!x || !h) {
        status = cli_fail_text(&cmd_compare, "out of memory");
    } else if (deft_replay(k, &c->rec, c->feed_recorded, x, recurrent ? h : NULL, &err) !=
               DEFT_OK) {
        (void)deft_error_prefix(&err, "%s", cli_escaped(l->path, c->arena));
        status = fail(&err);
    }
    deft_controller_destroy(k);
    if (!recurrent) *n_hidden = 0;
    *act = x;
    *hidden = h;
    return status;
}

/* Of a discrete policy the actions are decisions: how many are others. */
static void count_decisions(comparison *c)
{
    const deft_model *const m = c->la.model    ? c->la.model
                                : c->la.qmodel ? c->la.qmodel->model
                                               : NULL;
    if (!m || !m->contract.discrete) return;
    for (int32_t r = 0; r < c->rec.n_row; r++) {
        const float x = c->act_a[r], y = c->act_b[r];
        if (isnan(x) || isnan(y)) continue; // not recorded
        c->decisions++;
        c->changed += x != y;
    }
}

static int compare_actions(comparison *c)
{
    const float *xa = NULL, *ha = NULL, *xb = c->rec.act, *hb = c->rec.hidden;
    int32_t na = 0, ma = 0, nb = c->rec.n_act, mb = c->rec.n_hidden;
    int status = replay(c, &c->la, &xa, &ha, &na, &ma);
    if (status == CLI_OK && c->two) status = replay(c, &c->lb, &xb, &hb, &nb, &mb);
    if (status != CLI_OK) return status;
    if (na != nb) {
        return cli_fail_text(&cmd_compare, "%s has %d actions, %s has %d", c->name_a, (int)na,
                             c->name_b, (int)nb);
    }
    // a recording is what is compared with, and may have gaps
    const bool swap = !c->two;
    deft_difference_of(swap ? xb : xa, swap ? xa : xb, c->rec.n_row, na, c->a->tolerance,
                       &c->action);
    c->act_a = xa;
    c->act_b = xb;
    c->n_act = na;
    if (na == 1) count_decisions(c);
    c->have_hidden = ma > 0 && ma == mb;
    if (c->have_hidden) {
        deft_difference_of(swap ? hb : ha, swap ? ha : hb, c->rec.n_row, ma, c->a->tolerance,
                           &c->hidden);
    }
    return CLI_OK;
}

static int compare_layers(comparison *c)
{
    c->no_layers = "one of the two is a recording";
    if (!c->two) return CLI_OK;
    deft_error err = {DEFT_OK, ""};
    const size_t n = c->la.model ? (size_t)c->la.model->n_layer : 0;
    c->layer = DEFT_NEW_ARRAY(c->arena, deft_difference, n + 1);
    if (!c->layer) return cli_fail_text(&cmd_compare, "out of memory");
    if (deft_compare_layers(&c->la, &c->lb, &c->rec, c->feed_recorded, c->layer, &err) != DEFT_OK) {
        c->no_layers = cli_escaped(err.text, c->arena);
        c->layer = NULL;
    }
    return CLI_OK;
}

static int show_progress(void *user, int32_t episodes, int64_t steps)
{
    comparison *const c = user;
    const int each = c->a->episodes.episodes ? c->a->episodes.episodes : 10;
    (void)steps;
    const int before = c->ra.n_episode ? each : 0;
    cli_progress_show(&c->progress, (before + (int)episodes) / (2.0 * each), "%d of %d episodes",
                      before + (int)episodes, 2 * each);
    return cli_interrupted();
}

static int rollout(comparison *c, const deft_loaded *l, deft_rollout_result *out)
{
    deft_controller *k = NULL;
    deft_error err = {DEFT_OK, ""};
    if (deft_loaded_controller(l, NULL, &k, &err) != DEFT_OK) return fail(&err);
    deft_rollout_config cfg = cli_rollout_config(&c->a->episodes);
    cfg.progress = show_progress;
    cfg.user = c;
    const deft_status s = deft_rollout_run(k, c->env, &cfg, out, &err);
    cli_progress_clear(&c->progress);
    deft_controller_destroy(k);
    if (s == DEFT_E_CANCELLED) return CLI_INTERRUPTED;
    return s == DEFT_OK ? CLI_OK : fail(&err);
}

static double measure_of(const deft_episode *e, int m)
{
    const double all[MEASURES] = {e->reward, e->distance_cm, e->heading_error_rad, e->torque,
                                  e->current_a};
    return all[m];
}

/* The same starts: differences episode by episode. */
static int pair(comparison *c)
{
    const int32_t n = c->ra.n_episode < c->rb.n_episode ? c->ra.n_episode : c->rb.n_episode;
    double *const x = DEFT_NEW_ARRAY(c->arena, double, 2 * (size_t)n + 1);
    if (!x) return cli_fail_text(&cmd_compare, "out of memory");
    for (int m = 0; m < MEASURES; m++) {
        for (int32_t k = 0; k < n; k++) {
            x[k] = measure_of(&c->rb.episode[k], m);
            x[n + k] = measure_of(&c->ra.episode[k], m);
        }
        c->paired[m] = deft_stat_paired(x, x + n, n);
    }
    return CLI_OK;
}

static int in_environment(comparison *c)
{
    deft_controller *k = NULL;
    deft_error err = {DEFT_OK, ""};
    if (deft_loaded_controller(&c->la, NULL, &k, &err) != DEFT_OK) return fail(&err);
    const deft_status s = deft_record(k, c->env, NULL, c->arena, &c->rec, &err);
    deft_controller_destroy(k);
    if (s != DEFT_OK) return fail(&err);
    c->feed_recorded = true; // b is asked what it would have done in a's place
    int status = compare_actions(c);
    if (status == CLI_OK) status = compare_layers(c);
    cli_progress_init(&c->progress);
    cli_catch_interrupt();
    if (status == CLI_OK) status = rollout(c, &c->la, &c->ra);
    if (status == CLI_OK) status = rollout(c, &c->lb, &c->rb);
    return status == CLI_OK ? pair(c) : status;
}

static const char *decibel(deft_arena *a, double snr)
{
    if (isinf(snr)) return "exact";
    const char *const s = isnan(snr) ? "-" : deft_arena_printf(a, "%.1f", snr);
    return s ? s : "";
}

/* "row, element", or nothing where nothing differs. */
static const char *worst(deft_arena *a, const deft_difference *d)
{
    if (d->max_abs == 0) return "-";
    const char *const s = deft_arena_printf(a, "%d, %d", (int)d->worst_row, (int)d->worst_column);
    return s ? s : "";
}

static void difference_row(cli_table *t, const char *name, const deft_difference *d)
{
    char first[16] = "none";
    if (d->first >= 0) (void)snprintf(first, sizeof first, "%d", (int)d->first);
    cli_table_row(t, "%s\t%.3g\t%.3g\t%.3g\t%s\t%s\t%s", name, d->max_abs, d->mean_abs, d->rms,
                  decibel(t->arena, d->snr_db), first, worst(t->arena, d));
}

static void print_layers(comparison *c)
{
    static const char *const head[] = {"layer", "largest", "mean", "rms", "SNR dB", "worst at"};
    const deft_model *const m = c->la.model;
    cli_table t;
    cli_table_init(&t, c->arena, 6, head);
    for (int32_t k = 0; k < m->n_layer; k++) {
        const deft_difference *const d = &c->layer[k];
        cli_table_row(&t, "%d %s[%d]\t%.3g\t%.3g\t%.3g\t%s\t%s", (int)k,
                      deft_layer_kind_name(m->layer[k].kind), (int)m->layer[k].n_out, d->max_abs,
                      d->mean_abs, d->rms, decibel(c->arena, d->snr_db), worst(c->arena, d));
    }
    (void)putchar('\n');
    cli_table_print(&t, stdout);
}

static const char *stat_text(deft_arena *a, deft_stat s)
{
    if (!s.n || isnan(s.mean)) return "-";
    const char *const text = deft_arena_printf(a, "%.4g +-%.2g", s.mean, s.ci95);
    return text ? text : "";
}

static void print_returns(comparison *c)
{
    static const char *const head[] = {"closed loop", "a", "b", "b - a, by pairs", "independent"};
    const deft_stat *const sa[MEASURES] = {&c->ra.reward, &c->ra.distance_cm,
                                           &c->ra.heading_error_rad, &c->ra.torque,
                                           &c->ra.current_a};
    const deft_stat *const sb[MEASURES] = {&c->rb.reward, &c->rb.distance_cm,
                                           &c->rb.heading_error_rad, &c->rb.torque,
                                           &c->rb.current_a};
    cli_table t;
    cli_table_init(&t, c->arena, 5, head);
    for (int m = 0; m < MEASURES; m++) {
        if (isnan(sa[m]->mean)) continue;
        cli_table_row(&t, "%s\t%s\t%s\t%s\t+-%.2g", measure_name[m], stat_text(c->arena, *sa[m]),
                      stat_text(c->arena, *sb[m]), stat_text(c->arena, c->paired[m]),
                      hypot(sa[m]->ci95, sb[m]->ci95));
    }
    (void)putchar('\n');
    cli_table_print(&t, stdout);
    (void)printf("%d episodes from the same starts; +- is half of a 95%% interval, of b - a by "
                 "pairs and as of independent means\n",
                 (int)c->ra.n_episode);
}

static void print_text(comparison *c)
{
    static const char *const head[] = {
        "", "largest", "mean", "rms", "SNR dB", "first above", "worst at (row, element)"};
    (void)printf("a: %s\nb: %s\n%d rows, previous action %s; tolerance %g\n\n", c->name_a,
                 c->name_b, (int)c->rec.n_row,
                 c->env             ? "of a"
                 : c->feed_recorded ? "as recorded"
                                    : "each its own",
                 c->a->tolerance);
    cli_table t;
    cli_table_init(&t, c->arena, 7, head);
    difference_row(&t, "actions", &c->action);
    if (c->have_hidden) difference_row(&t, "hidden state", &c->hidden);
    cli_table_print(&t, stdout);
    if (c->decisions) {
        (void)printf("\ndecisions: %d of %d differ\n", (int)c->changed, (int)c->decisions);
    }
    if (c->layer) {
        print_layers(c);
    } else if (c->two) {
        (void)printf("\nlayers are not compared: %s\n", c->no_layers);
    }
    if (c->env) print_returns(c);
}

static json_t *json_difference(const deft_difference *d)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:i, s:i, s:i}", "max_abs", cli_json_real(d->max_abs),
                     "mean_abs", cli_json_real(d->mean_abs), "rms", cli_json_real(d->rms), "snr_db",
                     cli_json_real(d->snr_db), "first_above", (int)d->first, "worst_row",
                     (int)d->worst_row, "worst_element", (int)d->worst_column);
}

static json_t *json_stat(deft_stat s)
{
    return json_pack("{s:o, s:o, s:o}", "mean", cli_json_real(s.mean), "sd", cli_json_real(s.sd),
                     "ci95", cli_json_real(s.ci95));
}

static json_t *json_returns(const comparison *c)
{
    const deft_stat sa[MEASURES] = {c->ra.reward, c->ra.distance_cm, c->ra.heading_error_rad,
                                    c->ra.torque, c->ra.current_a};
    const deft_stat sb[MEASURES] = {c->rb.reward, c->rb.distance_cm, c->rb.heading_error_rad,
                                    c->rb.torque, c->rb.current_a};
    json_t *const j = json_object();
    for (int m = 0; m < MEASURES; m++) {
        (void)json_object_set_new(j, measure_name[m],
                                  json_pack("{s:o, s:o, s:o, s:o}", "a", json_stat(sa[m]), "b",
                                            json_stat(sb[m]), "difference", json_stat(c->paired[m]),
                                            "independent_ci95",
                                            cli_json_real(hypot(sa[m].ci95, sb[m].ci95))));
    }
    (void)json_object_set_new(j, "episodes", json_integer(c->ra.n_episode));
    return j;
}

static int print_json(const comparison *c)
{
    json_t *const j = json_pack("{s:o, s:o, s:i, s:f, s:o}", "a", cli_json_string(c->name_a), "b",
                                cli_json_string(c->name_b), "rows", (int)c->rec.n_row, "tolerance",
                                c->a->tolerance, "actions", json_difference(&c->action));
    if (c->have_hidden) (void)json_object_set_new(j, "hidden", json_difference(&c->hidden));
    if (c->layer) {
        json_t *const all = json_array();
        for (int32_t k = 0; k < c->la.model->n_layer; k++)
            (void)json_array_append_new(all, json_difference(&c->layer[k]));
        (void)json_object_set_new(j, "layers", all);
    }
    if (c->decisions) {
        (void)json_object_set_new(
            j, "decisions",
            json_pack("{s:i, s:i}", "steps", (int)c->decisions, "changed", (int)c->changed));
    }
    if (c->env) (void)json_object_set_new(j, "closed_loop", json_returns(c));
    return cli_json_print(&cmd_compare, j);
}

static int write_report(const comparison *c)
{
    deft_error err = {DEFT_OK, ""};
    const deft_compare_report r = {.name_a = c->name_a,
                                   .name_b = c->name_b,
                                   .n_row = c->rec.n_row,
                                   .n_act = c->n_act,
                                   .act_a = c->act_a,
                                   .act_b = c->act_b,
                                   .action = &c->action,
                                   .model = c->layer ? c->la.model : NULL,
                                   .layer = c->layer,
                                   .closed_a = c->env ? &c->ra : NULL,
                                   .closed_b = c->env ? &c->rb : NULL,
                                   .reward_paired = c->paired[0],
                                   .distance_paired = c->paired[1]};
    const deft_status s = deft_compare_report_write(
        &r, strcmp(c->a->report, "-") == 0 ? "/dev/stdout" : c->a->report, &err);
    return s == DEFT_OK ? CLI_OK : fail(&err);
}

static int finish(comparison *c)
{
    int status = c->a->report ? write_report(c) : CLI_OK;
    if (status != CLI_OK) return status;
    if (c->a->json) {
        status = print_json(c);
    } else {
        print_text(c);
    }
    if (status == CLI_OK && c->a->fail_above >= 0 && !(c->action.max_abs <= c->a->fail_above)) {
        return cli_fail_text(&cmd_compare, "actions differ by up to %.3g, more than %g",
                             c->action.max_abs, c->a->fail_above);
    }
    return status;
}

static int check_output(const comparison *c, const args *a, char **path)
{
    cli_claim k;
    cli_claim_begin(&k, &cmd_compare, c->arena);
    cli_claim_force(&k, a->force);
    cli_claim_reads_policies(&k, path, c->two ? 2 : 1, &a->load);
    cli_claim_reads(&k, "--obs", a->recorded.obs);
    cli_claim_reads_episodes(&k, &a->episodes);
    cli_claim_writes(&k, "--report", a->report, DEFT_PRODUCT_PAGE);
    cli_claim_writes(&k, "--log", a->episodes.log, DEFT_PRODUCT_LOG);
    return cli_claim_check(&k);
}

static int compare(comparison *c, args *a, char **path)
{
    const char *scene = NULL;
    int status = check_output(c, a, path);
    if (status != CLI_OK) return status;
    if (a->recorded.obs) {
        status = cli_recording_open(&cmd_compare, &a->recorded, c->arena, &a->load, &c->rec);
        c->feed_recorded = a->recorded.feed && strcmp(a->recorded.feed, "recorded") == 0;
    } else {
        status = cli_env_open(&cmd_compare, &a->episodes, c->arena, &c->env, &scene);
        if (status == CLI_OK) {
            a->load.env = deft_env_get_spec(c->env)->name;
            a->load.sensed = deft_env_get_spec(c->env)->n_obs;
        }
    }
    if (status == CLI_OK) status = cli_load(&cmd_compare, path[0], &a->load, &c->la);
    if (status == CLI_OK && c->two) status = cli_load(&cmd_compare, path[1], &a->load, &c->lb);
    if (status == CLI_OK && a->recorded.obs) {
        status = cli_recording_fit(&cmd_compare, &c->la, c->arena, &c->rec);
        if (status == CLI_OK && !c->two && !c->rec.n_act) {
            status = cli_fail_text(&cmd_compare, "%s: no columns act0, act1, ... to compare with",
                                   cli_escaped(a->recorded.obs, c->arena));
        }
    }
    if (status != CLI_OK) return status;
    cli_note_evaluator(&cmd_compare, &c->la);
    if (c->two) cli_note_evaluator(&cmd_compare, &c->lb);
    c->name_a = cli_escaped(path[0], c->arena);
    c->name_b = cli_escaped(c->two ? path[1] : a->recorded.obs, c->arena);
    if (c->env) {
        status = in_environment(c);
    } else {
        status = compare_actions(c);
        if (status == CLI_OK) status = compare_layers(c);
    }
    return status == CLI_OK ? finish(c) : status;
}

static int check_unread(const args *a, const cli_given *g)
{
    if (!a->recorded.obs) return cli_unread(g, "feed", "is for a recording, which --obs names");
    return cli_unread(g,
                      "scene episodes seed jobs max-steps heading reward wire-reward target-speed "
                      "vary unperturbed log",
                      "is for episodes in --env; --obs takes the rows of a recording");
}

static int run(int argc, char **argv)
{
    args a = {.tolerance = 1e-5, .fail_above = -1};
    cli_given given;
    const int at = cli_parse_given(&cmd_compare, argc, argv, &a, &given);
    const bool two = argc - at == 2;
    if (!a.recorded.obs == !a.episodes.env) {
        return cli_misuse(&cmd_compare, "either --obs FILE.csv or --env NAME says on what");
    }
    if (!two && a.episodes.env) {
        return cli_misuse(&cmd_compare, "--env needs two policies");
    }
    if (check_unread(&a, &given) != CLI_OK ||
        cli_load_check(&cmd_compare, argv + at, argc - at, &a.load) != CLI_OK) {
        return CLI_MISUSE;
    }
    comparison *const c = calloc(1, sizeof *c);
    int status = CLI_FAILED;
    if (c) {
        c->a = &a;
        c->two = two;
        c->arena = deft_arena_create(0);
    }
    if (!c || !c->arena) {
        status = cli_fail_text(&cmd_compare, "out of memory");
    } else {
        status = compare(c, &a, argv + at);
        if (status == CLI_INTERRUPTED) (void)cli_fail_text(&cmd_compare, "interrupted");
        deft_rollout_free(&c->ra);
        deft_rollout_free(&c->rb);
        deft_env_destroy(c->env);
        deft_loaded_free(&c->la);
        deft_loaded_free(&c->lb);
        deft_arena_destroy(c->arena);
    }
    free(c);
    return status;
}

const cli_command cmd_compare = {
    .name = "compare",
    .operands = "A [B]",
    .operands_min = 1,
    .operands_max = 2,
    .summary = "how far apart two policies are, or one and a recording: actions, layers, returns",
    .details =
        "With --obs both are taken through the recorded observations; without B, A is "
        "compared with the recorded actions (and the columns h2_0, ... of the last recurrent "
        "layer). With --env, B is asked along an episode of A, and both run episodes from "
        "the same starts.",
    .examples = "deft compare policy.onnx policy.deft --obs log.csv\n"
                "deft compare policy.onnx --obs golden.csv --feed recorded --fail-above 1e-5\n"
                "deft compare float.onnx int8.deft --env quaid --scene robot.xml -n 100",
    .groups = groups,
    .run = run,
};
