/* quantize_sweep.c - what a policy earns at 2, 3, ... bits: a table, a CSV and a curve. Rows that
 * the CSV already has are not measured again, so that a sweep that was stopped goes on. */
#include "quantize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ROWS = 16 };

typedef struct row {
    int32_t bits; // 32: float
    size_t bytes;
    double reward, reward_ci, distance, distance_ci, action_rms;
} row;

typedef struct sweep {
    const quantize_sweep *s;
    const char *settings; // first line of the CSV
    row rows[MAX_ROWS];
    int32_t n;
    cli_progress progress;
    int32_t at; // rows done or skipped, for the progress bar
} sweep;

static int fail(const deft_error *err)
{
    return cli_fail(&cmd_quantize, err);
}

static int show_progress(void *user, int32_t episodes, int64_t steps)
{
    sweep *const w = user;
    const double all = w->s->hi - w->s->lo + 2;
    (void)steps;
    cli_progress_show(&w->progress, (w->at + (double)episodes / w->s->episodes) / all,
                      "%d of %d widths", (int)w->at, (int)all);
    return cli_interrupted();
}

static int evaluate(sweep *w, deft_bytes image, row *r)
{
    deft_controller *c = NULL;
    deft_error err = {DEFT_OK, ""};
    deft_rollout_result result;
    const deft_rollout_config cfg = {.episodes = w->s->episodes,
                                     .seed = w->s->seed,
                                     .jobs = w->s->jobs,
                                     .progress = show_progress,
                                     .user = w};
    deft_status s = deft_controller_from_image(image, NULL, &c, &err);
    if (s == DEFT_OK) s = deft_rollout_run(c, w->s->env, &cfg, &result, &err);
    cli_progress_clear(&w->progress);
    deft_controller_destroy(c);
    if (s == DEFT_E_CANCELLED) {
        deft_rollout_free(&result);
        return CLI_INTERRUPTED;
    }
    if (s != DEFT_OK) return fail(&err);
    r->reward = result.reward.mean;
    r->reward_ci = result.reward.ci95;
    r->distance = result.distance_cm.mean;
    r->distance_ci = result.distance_cm.ci95;
    deft_rollout_free(&result);
    return CLI_OK;
}

/* The CSV with all rows so far. */
static int save(const sweep *w)
{
    char *text = NULL;
    size_t size = 0;
    FILE *const f = open_memstream(&text, &size);
    deft_error err = {DEFT_OK, ""};
    if (!f) return cli_fail_text(&cmd_quantize, "out of memory");
    (void)fprintf(f,
                  "%s\nbits,image_bytes,reward,reward_ci95,distance_cm,distance_ci95,action_rms\n",
                  w->settings);
    for (int32_t i = 0; i < w->n; i++) {
        const row *const r = &w->rows[i];
        (void)fprintf(f, "%d,%zu,%.9g,%.9g,%.9g,%.9g,%.9g\n", (int)r->bits, r->bytes, r->reward,
                      r->reward_ci, r->distance, r->distance_ci, r->action_rms);
    }
    const bool good = fclose(f) == 0;
    const deft_status s = good ? deft_file_write(w->s->out, text, size, &err)
                               : deft_fail(&err, DEFT_E_SPACE, "out of memory");
    free(text);
    return s == DEFT_OK ? CLI_OK : fail(&err);
}

/* Rows of a sweep of the same policy with the same settings; another file is refused. */
static int load(sweep *w)
{
    FILE *const f = fopen(w->s->out, "r");
    if (!f) return CLI_OK; // a new one
    char line[512] = "";
    const size_t n = strlen(w->settings);
    bool same =
        fgets(line, sizeof line, f) && strncmp(line, w->settings, n) == 0 && line[n] == '\n';
    same = same && fgets(line, sizeof line, f);
    while (same && w->n < MAX_ROWS && fgets(line, sizeof line, f)) {
        row r;
        int bits = 0;
        if (sscanf(line, "%d,%zu,%lg,%lg,%lg,%lg,%lg", &bits, &r.bytes, &r.reward,
                   &r.reward_ci, // NOLINT(cert-err34-c)
                   &r.distance, &r.distance_ci, &r.action_rms) != 7) {
            break;
        }
        r.bits = bits;
        w->rows[w->n++] = r;
    }
    (void)fclose(f);
    if (same) return CLI_OK;
    w->n = 0;
    if (w->s->force) return CLI_OK;
    return cli_fail_text(&cmd_quantize,
                         "%s: is a sweep of another policy or with other settings; --force writes "
                         "over it, or give another -o",
                         cli_escaped(w->s->out, w->s->policy->arena));
}

static const row *find(const sweep *w, int32_t bits)
{
    for (int32_t i = 0; i < w->n; i++) {
        if (w->rows[i].bits == bits) return &w->rows[i];
    }
    return NULL;
}

static int measure(sweep *w, int32_t bits)
{
    if (find(w, bits)) return CLI_OK;
    row r = {.bits = bits};
    int status = CLI_OK;
    deft_error err = {DEFT_OK, ""};
    deft_arena *const a = deft_arena_create(0);
    if (!a) return cli_fail_text(&cmd_quantize, "out of memory");
    if (bits == 32) {
        r.bytes = w->s->policy->image.size;
        status = evaluate(w, w->s->policy->image, &r);
    } else {
        deft_quant_options o = *w->s->options;
        o.weight_bits = o.activation_bits = bits;
        deft_qmodel *q = NULL;
        deft_bytes image;
        deft_quant_report report;
        deft_status s = deft_quantize(w->s->policy->model, w->s->calibration, &o, a, &q, &err);
        if (s == DEFT_OK) s = deft_image_write_q(q, NULL, a, &image, &err);
        if (s == DEFT_OK) {
            s = deft_quant_measure(w->s->policy->model, q, w->s->calibration, a, &report, &err);
        }
        if (s == DEFT_OK) {
            r.bytes = image.size;
            r.action_rms = report.action_rms;
            status = evaluate(w, image, &r);
        } else {
            status = fail(&err);
        }
    }
    deft_arena_destroy(a);
    if (status != CLI_OK) return status;
    w->rows[w->n++] = r;
    return save(w);
}

static const char *stat_text(deft_arena *a, double mean, double ci)
{
    const char *const s = isnan(mean) ? "-" : deft_arena_printf(a, "%.2f +-%.2f", mean, ci);
    return s ? s : "";
}

static void print_text(const sweep *w, const char *svg)
{
    static const char *const head[] = {"bits", "image bytes", "reward", "distance cm",
                                       "action rms"};
    deft_arena *const a = w->s->policy->arena;
    cli_table t;
    cli_table_init(&t, a, 5, head);
    for (int32_t bits = w->s->lo; bits <= 32; bits = bits == w->s->hi ? 32 : bits + 1) {
        const row *const r = find(w, bits);
        if (r) {
            cli_table_row(&t, "%s\t%zu\t%s\t%s\t%.3g",
                          bits == 32 ? "float" : deft_arena_printf(a, "%d", (int)bits), r->bytes,
                          stat_text(a, r->reward, r->reward_ci),
                          stat_text(a, r->distance, r->distance_ci), r->action_rms);
        }
        if (bits == 32) break;
    }
    cli_table_print(&t, stdout);
    (void)printf("%d episodes each, the same starts; %s%s%s\n", (int)w->s->episodes,
                 cli_escaped(w->s->out, a), svg ? ", " : "", svg ? cli_escaped(svg, a) : "");
}

static int print_json(const sweep *w)
{
    json_t *const all = json_array();
    for (int32_t i = 0; i < w->n; i++) {
        const row *const r = &w->rows[i];
        (void)json_array_append_new(
            all,
            json_pack("{s:i, s:I, s:o, s:o, s:o, s:o, s:o}", "bits", (int)r->bits, "image_bytes",
                      (json_int_t)r->bytes, "reward", cli_json_real(r->reward), "reward_ci95",
                      cli_json_real(r->reward_ci), "distance_cm", cli_json_real(r->distance),
                      "distance_ci95", cli_json_real(r->distance_ci), "action_rms",
                      cli_json_real(r->action_rms)));
    }
    return cli_json_print(&cmd_quantize, all);
}

const char *quantize_sweep_curve(const char *csv, deft_arena *a)
{
    const char *const dot = strrchr(csv, '.');
    const int stem = dot && !strchr(dot, '/') ? (int)(dot - csv) : (int)strlen(csv);
    return deft_arena_printf(a, "%.*s.svg", stem, csv);
}

/* The curve, beside the CSV; NULL without gnuplot. */
static const char *draw(const sweep *w)
{
    double bits[MAX_ROWS], reward[MAX_ROWS], ci[MAX_ROWS];
    int32_t n = 0;
    deft_arena *const a = w->s->policy->arena;
    const char *const path = quantize_sweep_curve(w->s->out, a);
    const row *const reference = find(w, 32);
    for (int32_t b = w->s->lo; b <= w->s->hi; b++) {
        const row *const r = find(w, b);
        if (!r) continue;
        bits[n] = b;
        reward[n] = r->reward;
        ci[n++] = r->reward_ci;
    }
    deft_error err = {DEFT_OK, ""};
    if (!path || !n || !reference) return NULL;
    const deft_sweep curve = {n, bits, reward, ci, reference->reward};
    if (deft_sweep_plot(&curve, path, &err) == DEFT_OK) return path;
    cli_note(&cmd_quantize, "no curve: %s", err.text);
    return NULL;
}

/* The settings, and what the CSV has already. */
static int begin(sweep *w, const quantize_sweep *s)
{
    char hash[65];
    *w = (sweep){.s = s};
    deft_hex(s->policy->model->source_sha256, 32, hash);
    w->settings = deft_arena_printf(
        s->policy->arena, "# %s, %s, %s%s%s%s, %d episodes, seed %llu", hash,
        deft_env_get_spec(s->env)->name, s->options->scheme ? s->options->scheme : "int8",
        s->options->per_tensor ? ", per tensor" : "", s->options->nearest ? ", nearest" : "",
        s->options->all_layers ? ", all layers" : "", (int)s->episodes,
        (unsigned long long)s->seed);
    return w->settings ? load(w) : cli_fail_text(&cmd_quantize, "out of memory");
}

int quantize_sweep_check(const quantize_sweep *s)
{
    sweep w;
    return begin(&w, s);
}

int quantize_sweep_run(const quantize_sweep *s)
{
    sweep w;
    int status = begin(&w, s);
    cli_progress_init(&w.progress);
    cli_catch_interrupt();
    if (status == CLI_OK) status = measure(&w, 32);
    for (int32_t b = s->hi; status == CLI_OK && b >= s->lo; b--) {
        w.at = s->hi - b + 1;
        status = measure(&w, b);
    }
    if (status == CLI_INTERRUPTED) {
        (void)cli_fail_text(&cmd_quantize, "interrupted; the same command goes on");
    }
    if (w.n == 0 || (status != CLI_OK && status != CLI_INTERRUPTED)) return status;
    const char *const svg = draw(&w);
    const int printed = s->json ? print_json(&w) : (print_text(&w, svg), CLI_OK);
    return status == CLI_OK ? printed : status;
}
