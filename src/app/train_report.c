/* train_report.c - the pages of one run and of many. */
#include "app/train_report.h"
#include "app/page.h"
#include "app/train_log.h"

#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CURVES = 400 }; // in one plot

static deft_status no_memory(deft_error *err)
{
    (void)deft_fail(err, DEFT_E_SPACE, "no memory for a report");
    return DEFT_E_SPACE;
}

/* --- one run --------------------------------------------------------------------------------- */

/* "-" where an environment has no such thing. */
static const char *number(double x, char text[32])
{
    (void)snprintf(text, 32, isfinite(x) ? "%.1f" : "-", x);
    return text;
}

static void judged_row(page *p, const char *name, const train_judged *j)
{
    char cm[32];
    if (j->reward.n == 0) return;
    page_row(p, "%s\t%.2f \u00b1 %.2f\t%s\t%zu", name, j->reward.mean, j->reward.ci95,
             number(j->distance_cm.mean, cm), j->bytes);
}

static void evaluation_row(page *p, const train_curve *c, const char *name, int32_t k)
{
    char cm[32];
    if (k < 0) return;
    page_row(p, "%s\t%.0f\t%.2f\t%.2f\t%s", name, c->column[CURVE_STEP][k],
             c->column[CURVE_EVAL][k], c->column[CURVE_EVAL_SD][k],
             number(c->column[CURVE_EVAL_DISTANCE][k], cm));
}

static void write_results(page *p, const train_report *r)
{
    const deft_train_setup *const s = r->setup;
    const train_curve *const c = r->curve;
    const double steps = c->n ? c->column[CURVE_STEP][c->n - 1] : 0;
    page_text(p, "%s%s, encoder %s, in %s%s%s; seed %llu; %.0f steps in %.0f s (%.0f steps/s).",
              s->train.previous_action ? "previous action, " : "", s->train.algo, s->train.encoder,
              s->env, s->scene ? ", scene " : "", s->scene ? s->scene : "",
              (unsigned long long)s->train.seed, steps, r->seconds, steps / (r->seconds + 1e-9));
    page_heading(p, "What it earns");
    page_table_begin(p, "evaluation\tat step\treturn\tsd\tdistance, cm");
    evaluation_row(p, c, "best", c->best);
    evaluation_row(p, c, "last", c->last);
    page_table_end(p);
    page_text(p,
              "The best evaluated policy over %d episodes from other starts, the same for both; "
              "\u00b1 is half of a 95 %% interval of the mean.",
              (int)FINISH_EPISODES);
    page_table_begin(p, "policy\treturn\tdistance, cm\tbytes");
    judged_row(p, "float (policy.onnx)", &r->finish->best);
    judged_row(p, "integers (policy-int8.deft)", &r->finish->integer);
    page_table_end(p);
    if (r->finish->why[0]) page_text(p, "No integer policy: %s", r->finish->why);
}

/* Only what followed the first update. */
static plot_series learned(const train_curve *c, int column, const char *name, int32_t colour)
{
    int32_t first = 0;
    while (first < c->n && !(c->column[CURVE_UPDATE][first] > 0)) first++;
    return (plot_series){.name = name,
                         .colour = colour,
                         .n = c->n - first,
                         .x = c->column[CURVE_STEP] + first,
                         .y = c->column[column] + first};
}

static void write_curves(page *p, const train_report *r)
{
    const train_curve *const c = r->curve;
    const double *const step = c->column[CURVE_STEP];
    const plot_series returns[] = {
        {"episodes", PLOT_LINE, 4, c->n, step, c->column[CURVE_RETURN], NULL},
        {"evaluations", PLOT_POINTS, 0, c->n, step, c->column[CURVE_EVAL],
         c->column[CURVE_EVAL_SD]},
    };
    page_heading(p, "Learning");
    page_plot(p, &(plot){"returns", "environment steps", "return", 2, returns},
              "Mean return of the episodes since the line before, and evaluations without "
              "exploration (bars: one standard deviation of the episodes).");
    const plot_series critic = learned(c, CURVE_CRITIC, "critics", 1);
    page_plot(p, &(plot){"critic", "environment steps", "loss", 1, &critic},
              "Loss of the critics.");
    const plot_series actor[] = {learned(c, CURVE_ACTOR, "actor's loss", 2),
                                 learned(c, CURVE_Q, "mean Q of the batch", 0)};
    page_plot(p, &(plot){"actor", "environment steps", "", 2, actor},
              "Loss of the actor, and what the critics say of the actions in the replay buffer.");
    if (strcmp(r->setup->train.algo, "sac") != 0) return;
    const plot_series alpha = learned(c, CURVE_ALPHA, "alpha", 3);
    page_plot(p, &(plot){"alpha", "environment steps", "alpha", 1, &alpha}, "Temperature.");
}

static deft_status write_speed(page *p, const train_report *r, deft_arena *a, deft_error *err)
{
    const char *const path = deft_arena_printf(a, "%s/run.sqlite", r->dir);
    if (!path) return no_memory(err);
    plot_series speed = {.name = "steps/s", .colour = 5};
    const deft_status s = train_sql_rates(path, a, &speed.n, &speed.x, &speed.y, err);
    if (s != DEFT_OK) return s;
    page_plot(p, &(plot){"speed", "environment steps", "steps/s", 1, &speed},
              "Environment steps a second, with learning.");
    return DEFT_OK;
}

static deft_status write_config(page *p, const char *heading, const deft_train_setup *setup,
                                deft_arena *a, deft_error *err)
{
    deft_bytes json;
    const deft_status s = deft_train_setup_write(setup, a, &json, err);
    if (s != DEFT_OK) return s;
    json_t *const j = json_loadb((const char *)json.data, json.size, 0, NULL);
    const char *name;
    json_t *value;
    page_heading(p, heading);
    page_table_begin(p, "field\tvalue");
    json_object_foreach(j, name, value)
    {
        char *const text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
        if (text) page_row(p, "%s\t%s", name, text);
        free(text);
    }
    page_table_end(p);
    json_decref(j);
    return DEFT_OK;
}

deft_status train_report_run(const train_report *r, deft_error *err)
{
    page p = {.f = NULL};
    const char *const slash = strrchr(r->dir, '/');
    char title[128] = "Training: ", name[100];
    (void)deft_escape(name, sizeof name, slash && slash[1] ? slash + 1 : r->dir, PATH_MAX);
    (void)strncat(title, name, sizeof title - strlen(title) - 1);
    deft_arena *const a = deft_arena_create(0);
    if (!a) return no_memory(err);
    deft_status s = page_begin(&p, title, err);
    if (s == DEFT_OK) {
        write_results(&p, r);
        write_curves(&p, r);
        s = write_speed(&p, r, a, err);
        if (s == DEFT_OK) s = write_config(&p, "Configuration", r->setup, a, err);
        s = page_end(&p, deft_arena_printf(a, "%s/report.html", r->dir), s, err);
    }
    deft_arena_destroy(a);
    return s;
}

/* --- many runs ------------------------------------------------------------------------------- */

/* Curves of all jobs, and room for the groups' means. */
typedef struct many {
    const deft_train_job *job;
    int32_t n;
    train_curve *curve; // [n]
    plot_series *series;
    int32_t n_series;
} many;

/* Runs of a group are evaluated at the same steps; what some have not is left out. */
static deft_status add_mean(many *m, int32_t group, const char *name, int column, deft_arena *a,
                            deft_error *err)
{
    int32_t rows = INT32_MAX, n = 0;
    const double *step = NULL;
    for (int32_t i = 0; i < m->n; i++) {
        if (strcmp(m->job[i].group, name) != 0) continue;
        if (m->curve[i].n < rows) rows = m->curve[i].n;
        step = m->curve[i].column[CURVE_STEP];
        n++;
    }
    if (n == 0) return DEFT_OK;
    double *const mean = DEFT_NEW_ARRAY(a, double, rows);
    if (!mean) return no_memory(err);
    for (int32_t i = 0; i < m->n; i++) {
        if (strcmp(m->job[i].group, name) != 0) continue;
        for (int32_t k = 0; k < rows; k++) mean[k] += m->curve[i].column[column][k] / n;
    }
    m->series[m->n_series++] = (plot_series){.name = *name ? name : "mean",
                                             .style = PLOT_POINTS,
                                             .colour = group,
                                             .n = rows,
                                             .x = step,
                                             .y = mean};
    return DEFT_OK;
}

static deft_status plot_column(page *p, many *m, const deft_train_group *group, int32_t n_group,
                               int column, deft_error *err)
{
    deft_arena *const a = deft_arena_create(0);
    deft_status s = a ? DEFT_OK : no_memory(err);
    m->n_series = 0;
    for (int32_t g = 0; s == DEFT_OK && g < n_group; g++) {
        for (int32_t i = 0; i < m->n && m->n_series < MAX_CURVES; i++) {
            if (strcmp(m->job[i].group, group[g].name) != 0) continue;
            m->series[m->n_series++] = (plot_series){.style = PLOT_THIN,
                                                     .colour = g,
                                                     .n = m->curve[i].n,
                                                     .x = m->curve[i].column[CURVE_STEP],
                                                     .y = m->curve[i].column[column]};
        }
    }
    for (int32_t g = 0; s == DEFT_OK && g < n_group; g++) {
        s = add_mean(m, g, group[g].name, column, a, err);
    }
    if (s == DEFT_OK) {
        const bool eval = column == CURVE_EVAL;
        page_plot(
            p,
            &(plot){eval ? "evaluations" : "distances", "environment steps",
                    eval ? "return" : "distance, cm", m->n_series, m->series},
            eval ? "Evaluations without exploration: each run (thin), and the mean of the runs."
                 : "Distance of the same evaluations.");
    }
    deft_arena_destroy(a);
    return s;
}

/* A single run has no interval. */
static const char *interval(const deft_train_score *s, char text[96])
{
    const int n = snprintf(text, 96, "%.2f", s->iqm);
    if (!isnan(s->lo) && n > 0 && n < 96) {
        (void)snprintf(text + n, 96 - (size_t)n, " [%.2f, %.2f]", s->lo, s->hi);
    }
    return text;
}

static void write_groups(page *p, const deft_train_group *g, int32_t n)
{
    char last[96], best[96];
    page_table_begin(p, "runs\tn\tlast evaluation\tbest evaluation\tleast ... most\ts a run");
    for (int32_t i = 0; i < n; i++) {
        page_row(p, "%s\t%d\t%s\t%s\t%.2f ... %.2f\t%.0f", *g[i].name ? g[i].name : "all",
                 (int)g[i].n, interval(&g[i].last, last), interval(&g[i].best, best),
                 g[i].last.least, g[i].last.most, g[i].seconds);
    }
    page_table_end(p);
    page_text(p, "Interquartile means over the runs, with 95 %% intervals by bootstrap. The best "
                 "evaluation of a run is chosen by the number that is shown, which flatters it.");
}

static void write_runs(page *p, const many *m)
{
    page_heading(p, "Runs");
    page_table_begin(p, "run\tlast\tbest\tat step");
    for (int32_t i = 0; i < m->n; i++) {
        const train_curve *const c = &m->curve[i];
        char href[PATH_MAX];
        const int k = snprintf(href, sizeof href, "%s/report.html", m->job[i].name);
        if (c->best < 0 || k < 0 || (size_t)k >= sizeof href) continue;
        page_row_link(p, href, "%s\t%.2f\t%.2f\t%.0f", m->job[i].name,
                      c->column[CURVE_EVAL][c->last], c->column[CURVE_EVAL][c->best],
                      c->column[CURVE_STEP][c->best]);
    }
    page_table_end(p);
}

static bool any(const many *m, int column)
{
    for (int32_t i = 0; i < m->n; i++) {
        for (int32_t k = 0; k < m->curve[i].n; k++) {
            if (isfinite(m->curve[i].column[column][k])) return true;
        }
    }
    return false;
}

static deft_status read_curves(many *m, const char *dir, deft_arena *a, deft_error *err)
{
    for (int32_t i = 0; i < m->n; i++) {
        const char *const path = deft_arena_printf(a, "%s/%s", dir, m->job[i].name);
        if (!path) return no_memory(err);
        const deft_status s = train_curve_read(path, &m->job[i].setup, a, &m->curve[i], err);
        if (s != DEFT_OK) return s;
    }
    return DEFT_OK;
}

deft_status train_report_many(const deft_train_job *job, int32_t n, const char *dir,
                              const deft_train_group *group, int32_t n_group, deft_error *err)
{
    deft_arena *const a = deft_arena_create(0);
    if (!a) return no_memory(err);
    page p = {.f = NULL};
    many m = {.job = job,
              .n = n,
              .curve = DEFT_NEW_ARRAY(a, train_curve, n),
              .series = DEFT_NEW_ARRAY(a, plot_series, MAX_CURVES + n_group)};
    deft_status s = m.curve && m.series ? read_curves(&m, dir, a, err) : no_memory(err);
    if (s == DEFT_OK) s = page_begin(&p, "Training runs", err);
    if (s == DEFT_OK) {
        write_groups(&p, group, n_group);
        page_heading(&p, "Learning");
        s = plot_column(&p, &m, group, n_group, CURVE_EVAL, err);
        if (s == DEFT_OK && any(&m, CURVE_EVAL_DISTANCE)) {
            s = plot_column(&p, &m, group, n_group, CURVE_EVAL_DISTANCE, err);
        }
        write_runs(&p, &m);
        if (s == DEFT_OK)
            s = write_config(&p, "Configuration of the first run", &job[0].setup, a, err);
        s = page_end(&p, deft_arena_printf(a, "%s/report.html", dir), s, err);
    }
    deft_arena_destroy(a);
    return s;
}
