/* compare_report.c - two policies on a page. */
#include "app/page.h"
#include "app/product.h"
#include "deft/app.h"

#include <math.h>
#include <string.h>

enum { MAX_ACTIONS = 4 }; // in one plot

static deft_status no_memory(deft_error *err)
{
    return deft_fail(err, DEFT_E_SPACE, "no memory for a report");
}

static void difference_row(page *p, const char *name, const deft_difference *d)
{
    page_row(p, "%s\t%.3g\t%.3g\t%.3g\t%.1f", name, d->max_abs, d->mean_abs, d->rms, d->snr_db);
}

static void write_actions(page *p, const deft_compare_report *r)
{
    page_heading(p, "Actions");
    page_text(p, "Over %d steps, asked for the same observations; first above the tolerance: %s%d.",
              (int)r->n_row, r->action->first < 0 ? "never, " : "step ", (int)r->action->first);
    page_table_begin(p, "\tlargest\tmean\trms\tSNR, dB");
    difference_row(p, "actions", r->action);
    page_table_end(p);
}

/* Root mean square over the actions, row by row. */
static deft_status write_divergence(page *p, const deft_compare_report *r, deft_arena *a,
                                    deft_error *err)
{
    double *const row = DEFT_NEW_ARRAY(a, double, r->n_row), *const rms = DEFT_NEW_ARRAY(a, double,
                                                                                         r->n_row);
    if (!row || !rms) return no_memory(err);
    for (int32_t t = 0; t < r->n_row; t++) {
        double sum = 0;
        for (int32_t i = 0; i < r->n_act; i++) {
            const size_t at = (size_t)t * (size_t)r->n_act + (size_t)i;
            const double e = (double)r->act_a[at] - (double)r->act_b[at];
            if (isfinite(e)) sum += e * e;
        }
        row[t] = t;
        rms[t] = sqrt(sum / r->n_act);
    }
    const plot_series s = {"b from a", PLOT_LINE, 1, r->n_row, row, rms, NULL};
    page_plot(p, &(plot){"divergence", "step", "rms difference of actions", 1, &s},
              "How far the actions are apart along the rollout, each policy with its own state.");
    return DEFT_OK;
}

static deft_status write_curves(page *p, const deft_compare_report *r, deft_arena *a,
                                deft_error *err)
{
    const int32_t n = r->n_row, shown = r->n_act < MAX_ACTIONS ? r->n_act : MAX_ACTIONS;
    double *const row = DEFT_NEW_ARRAY(a, double, n);
    if (!row) return no_memory(err);
    for (int32_t t = 0; t < n; t++) row[t] = t;
    for (int32_t i = 0; i < shown; i++) {
        double *const x = DEFT_NEW_ARRAY(a, double, 2 * (size_t)n), *const y = x + n;
        const char *const id = deft_arena_printf(a, "action%d", (int)i);
        const char *const label = deft_arena_printf(a, "action %d", (int)i);
        if (!x || !id || !label) return no_memory(err);
        for (int32_t t = 0; t < n; t++) {
            const size_t at = (size_t)t * (size_t)r->n_act + (size_t)i;
            x[t] = (double)r->act_a[at];
            y[t] = (double)r->act_b[at];
        }
        const plot_series s[2] = {{"a", PLOT_LINE, 0, n, row, x, NULL},
                                  {"b", PLOT_THIN, 1, n, row, y, NULL}};
        page_plot(p, &(plot){id, "step", label, 2, s}, label);
    }
    return DEFT_OK;
}

static deft_status write_layers(page *p, const deft_compare_report *r, deft_arena *a,
                                deft_error *err)
{
    if (!r->model || !r->layer) return DEFT_OK;
    const int32_t n = r->model->n_layer;
    double *const k = DEFT_NEW_ARRAY(a, double, 2 * (size_t)n), *const db = k + n;
    if (!k) return no_memory(err);
    page_heading(p, "Layers");
    page_table_begin(p, "layer\tlargest\tmean\trms\tSNR, dB");
    for (int32_t i = 0; i < n; i++) {
        const deft_layer *const l = &r->model->layer[i];
        const char *const name =
            deft_arena_printf(a, "%d %s[%d] %s", (int)i, deft_layer_kind_name(l->kind),
                              (int)l->n_out, l->name ? l->name : "");
        if (!name) return no_memory(err);
        difference_row(p, name, &r->layer[i]);
        k[i] = i;
        db[i] = r->layer[i].snr_db;
    }
    page_table_end(p);
    const plot_series s = {"signal to noise", PLOT_POINTS, 0, n, k, db, NULL};
    page_plot(p, &(plot){"layers", "layer", "dB", 1, &s},
              "Signal to noise of each layer's outputs.");
    return DEFT_OK;
}

static void stat_row(page *p, const char *name, const deft_stat *x, const deft_stat *y,
                     const deft_stat *d)
{
    if (!x->n || isnan(x->mean)) return;
    page_row(p, "%s\t%.2f \u00b1 %.2f\t%.2f \u00b1 %.2f\t%.2f \u00b1 %.2f\t%.2f", name, x->mean,
             x->ci95, y->mean, y->ci95, d->mean, d->ci95, hypot(x->ci95, y->ci95));
}

static deft_status write_closed_loop(page *p, const deft_compare_report *r, deft_arena *a,
                                     deft_error *err)
{
    if (!r->closed_a || !r->closed_b || !r->closed_a->n_episode) return DEFT_OK;
    const deft_rollout_result *const x = r->closed_a, *const y = r->closed_b;
    page_heading(p, "In the environment");
    page_text(p,
              "%d episodes from the same starts. The last two columns: half of the 95 %% interval "
              "of b - a by "
              "pairs, and as of independent means.",
              (int)x->n_episode);
    page_table_begin(p, "\ta\tb\tb - a, pairs\tindependent");
    stat_row(p, "reward", &x->reward, &y->reward, &r->reward_paired);
    stat_row(p, "distance, cm", &x->distance_cm, &y->distance_cm, &r->distance_paired);
    page_table_end(p);
    double *const k = DEFT_NEW_ARRAY(a, double, 2 * ((size_t)x->n_episode + (size_t)y->n_episode));
    if (!k) return no_memory(err);
    double *const rx = k + x->n_episode, *const ky = rx + x->n_episode,
                  *const ry = ky + y->n_episode;
    for (int32_t i = 0; i < x->n_episode; i++) {
        k[i] = i;
        rx[i] = x->episode[i].reward;
    }
    for (int32_t i = 0; i < y->n_episode; i++) {
        ky[i] = i;
        ry[i] = y->episode[i].reward;
    }
    const plot_series s[2] = {{"a", PLOT_POINTS, 0, x->n_episode, k, rx, NULL},
                              {"b", PLOT_POINTS, 1, y->n_episode, ky, ry, NULL}};
    page_plot(p, &(plot){"returns", "episode", "return", 2, s}, "Return of every episode.");
    return DEFT_OK;
}

deft_status deft_compare_report_write(const deft_compare_report *r, const char *path,
                                      deft_error *err)
{
    page p = {.f = NULL};
    deft_arena *const a = deft_arena_create(0);
    if (!a) return no_memory(err);
    deft_status s = page_begin(&p, "Two policies compared", err);
    if (s == DEFT_OK) {
        page_text(&p, "a: %s", r->name_a);
        page_text(&p, "b: %s", r->name_b);
        s = write_closed_loop(&p, r, a, err);
        if (s == DEFT_OK) {
            write_actions(&p, r);
            s = write_divergence(&p, r, a, err);
        }
        if (s == DEFT_OK) s = write_layers(&p, r, a, err);
        if (s == DEFT_OK) s = write_curves(&p, r, a, err);
        s = page_end(&p, path, s, err);
    }
    deft_arena_destroy(a);
    return s;
}

deft_status deft_sweep_plot(const deft_sweep *w, const char *path, deft_error *err)
{
    deft_arena *const a = deft_arena_create(0);
    if (!a) return no_memory(err);
    const double ends[2] = {w->bits[0], w->bits[w->n - 1]};
    const double level[2] = {w->float_reward, w->float_reward};
    const plot_series s[2] = {{"integers", PLOT_POINTS, 0, w->n, w->bits, w->reward, w->ci95},
                              {"float32", PLOT_LINE, 1, 2, ends, level, NULL}};
    deft_bytes svg;
    deft_status st = plot_svg(&(plot){"sweep", "bits", "return", 2, s}, a, &svg, err);
    const char *const text =
        st == DEFT_OK ? deft_arena_printf(a, DEFT_PICTURE_MARK "\n%s", (const char *)svg.data)
                      : NULL;
    if (st == DEFT_OK) {
        st = text ? deft_file_write(path, text, strlen(text), err) : no_memory(err);
    }
    deft_arena_destroy(a);
    return st;
}
