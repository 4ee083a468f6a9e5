/* quantize_data.c - what 'deft quantize' calibrates a policy on: recordings, or, without any data,
 * sequences of what its contract says; and what there is to say about them. */
#include "quantize.h"

#include <string.h>
#include <unistd.h>

static int fail(const deft_error *err)
{
    return cli_fail(&cmd_quantize, err);
}

/* One file, or several with commas between them where there is no file of the whole name. */
static int32_t split(const char *text, deft_arena *a, const char **path, int32_t room)
{
    int32_t n = 0;
    if (access(text, F_OK) == 0 || !strchr(text, ',')) {
        path[0] = text;
        return 1;
    }
    for (const char *end; n < room; text = end + 1) {
        end = strchr(text, ',');
        path[n] = deft_arena_strndup(a, text, end ? (size_t)(end - text) : strlen(text));
        if (!path[n++]) return -1;
        if (!end) return n;
    }
    return -1;
}

int quantize_recordings_list(cli_paths *files, deft_arena *a)
{
    cli_paths all = {.n = 0};
    for (int32_t k = 0; k < files->n; k++) {
        const int32_t room = CLI_MOST_PATHS - all.n;
        const int32_t more = room ? split(files->path[k], a, all.path + all.n, room) : -1;
        if (more < 0) {
            return cli_fail_text(&cmd_quantize, "--calib: more than %d files", CLI_MOST_PATHS);
        }
        all.n += more;
    }
    *files = all;
    return CLI_OK;
}

int quantize_recordings_open(const cli_paths *files, deft_arena *a, int32_t *sensed,
                             quantize_data *out)
{
    const int32_t n = files->n;
    out->recording = DEFT_NEW_ARRAY(a, deft_recording, n);
    out->quality = DEFT_NEW_ARRAY(a, deft_recording_quality, n);
    if (!out->recording || !out->quality) return cli_fail_text(&cmd_quantize, "out of memory");
    for (; out->n < n; out->n++) {
        deft_error err = {DEFT_OK, ""};
        deft_recording *const r = &out->recording[out->n];
        if (deft_recording_read(files->path[out->n], a, r, &err) != DEFT_OK) return fail(&err);
        if (!*sensed) *sensed = r->n_obs;
    }
    return CLI_OK;
}

int quantize_recordings_use(quantize_data *d, const deft_loaded *l, deft_calibration *into)
{
    for (int32_t k = 0; k < d->n; k++) {
        deft_recording *const r = &d->recording[k];
        deft_error err = {DEFT_OK, ""};
        deft_status s = deft_recording_flags(r, l, l->arena, &err);
        if (s == DEFT_OK) s = deft_recording_fit(r, &l->model->contract, l->arena, &err);
        if (s == DEFT_OK) s = deft_recording_examine(r, l->arena, &d->quality[k], &err);
        if (s == DEFT_OK) s = deft_calibrate_recording(r, l->model, into, &err);
        if (s != DEFT_OK) return fail(&err);
    }
    return CLI_OK;
}

int quantize_synthetic(quantize_data *d, const deft_loaded *l, uint64_t seed,
                       deft_calibration *into)
{
    deft_error err = {DEFT_OK, ""};
    (void)l;
    d->synthetic = true;
    return deft_calibration_add_synthetic(into, seed, &d->facts, &err) == DEFT_OK ? CLI_OK
                                                                                  : fail(&err);
}

const char *quantize_contract_env(const deft_loaded *l)
{
    const char *const name = l->model->contract.name ? l->model->contract.name : "";
    // with raw sensor values the policy itself would have to change: only --env does that
    if (strcmp(name, "quaid-normalised") == 0) return "quaid";
    return strcmp(name, "pendulum") == 0 ? "pendulum" : NULL;
}

/* --- what to say ----------------------------------------------------------------------------- */

static void note_synthetic(const quantize_data *d, const deft_loaded *l)
{
    const char *const file = cli_basename(l->path, l->arena);
    const deft_synthetic *const f = &d->facts;
    if (d->no_env) cli_note(&cmd_quantize, "%s: no episodes: %s", file, d->no_env);
    cli_note(&cmd_quantize,
             "%s: calibrated without data, on sequences made of what is known of its %d "
             "observations: %d by known ranges, %d by the normaliser's statistics, %d by the "
             "contract's limits, %d assumed to have mean 0 and deviation 1",
             file, (int)f->n_obs, (int)f->known, (int)f->normalised, (int)f->limited,
             (int)f->assumed);
    cli_note(&cmd_quantize,
             "%sbetter: --calib FILE with recorded observations, --env NAME for episodes, or a "
             "contract that says what the observations are (--contract)",
             f->assumed ? "warning: the ranges of observations were assumed; " : "");
}

static void note_recording(const deft_recording *r, const deft_recording_quality *q, deft_arena *a)
{
    const char *const file = cli_basename(r->source, a);
    for (int32_t k = 0; k < q->n_still; k++) {
        const int32_t c = q->still[k];
        cli_note(&cmd_quantize, "%s: column %s never moves (it is %g in all %d rows)", file,
                 cli_escaped(r->obs_name[c], a), (double)r->obs[c], (int)r->n_row);
    }
    for (int32_t k = 0; k < q->n_outlier; k++) {
        const deft_outlier *const o = &q->outlier[k];
        cli_note(&cmd_quantize,
                 "%s: column %s has %d outlier%s: the farthest is %g in row %d, %.3g deviations "
                 "from the median",
                 file, cli_escaped(r->obs_name[o->column], a), (int)o->count,
                 o->count == 1 ? "" : "s", (double)o->value, (int)o->row + 1, o->deviations);
    }
}

void quantize_data_note(const quantize_data *d, const deft_loaded *l)
{
    if (d->synthetic) note_synthetic(d, l);
    if (d->contract_env) {
        cli_note(&cmd_quantize,
                 "%s: calibrated on %d episodes in '%s', the environment of its contract (--calib "
                 "FILE for recorded observations, --env none for neither)",
                 cli_basename(l->path, l->arena), (int)d->episodes, d->env);
    }
    for (int32_t k = 0; k < d->n; k++) note_recording(&d->recording[k], &d->quality[k], l->arena);
    if (d->dropped) {
        cli_note(&cmd_quantize, "only the first %d steps are used: %d more were dropped",
                 (int)d->steps, (int)d->dropped);
    }
}

void quantize_data_print(const quantize_data *d, const deft_loaded *l)
{
    for (int32_t k = 0; k < d->n; k++) {
        const deft_recording *const r = &d->recording[k];
        const deft_recording_quality *const q = &d->quality[k];
        (void)printf("%s: %d rows, %d episode%s, %d of %d columns never move, %d with outliers\n",
                     cli_escaped(r->source, l->arena), (int)r->n_row, (int)r->n_episode,
                     r->n_episode == 1 ? "" : "s", (int)q->n_still, (int)r->n_obs,
                     (int)q->n_outlier);
    }
    if (d->synthetic) (void)printf("%d steps made without data\n", (int)d->steps);
    if (d->env)
        (void)printf("%d steps of %d episodes in %s\n", (int)d->steps, (int)d->episodes, d->env);
}

static json_t *json_recording(const deft_recording *r, const deft_recording_quality *q)
{
    json_t *const still = json_array(), *const outlier = json_array();
    for (int32_t k = 0; k < q->n_still; k++)
        (void)json_array_append_new(still, cli_json_string(r->obs_name[q->still[k]]));
    for (int32_t k = 0; k < q->n_outlier; k++) {
        const deft_outlier *const o = &q->outlier[k];
        (void)json_array_append_new(
            outlier, json_pack("{s:o, s:i, s:i, s:o, s:o}", "column",
                               cli_json_string(r->obs_name[o->column]), "count", (int)o->count,
                               "row", (int)o->row + 1, "value", cli_json_real((double)o->value),
                               "deviations", cli_json_real(o->deviations)));
    }
    return json_pack("{s:o, s:i, s:i, s:o, s:o}", "file", cli_json_string(r->source), "rows",
                     (int)r->n_row, "episodes", (int)r->n_episode, "never_move", still, "outliers",
                     outlier);
}

json_t *quantize_data_json(const quantize_data *d)
{
    json_t *const j = json_pack("{s:s, s:i, s:i}", "source",
                                d->synthetic ? "none"
                                : d->env     ? "episodes"
                                             : "recordings",
                                "steps", (int)d->steps, "dropped", (int)d->dropped);
    if (d->synthetic) {
        const deft_synthetic *const f = &d->facts;
        (void)json_object_set_new(j, "observations",
                                  json_pack("{s:i, s:i, s:i, s:i}", "known", (int)f->known,
                                            "normalised", (int)f->normalised, "limited",
                                            (int)f->limited, "assumed", (int)f->assumed));
    }
    if (d->env) {
        (void)json_object_set_new(j, "env", cli_json_string(d->env));
        (void)json_object_set_new(j, "episodes", json_integer(d->episodes));
    }
    if (d->n) {
        json_t *const all = json_array();
        for (int32_t k = 0; k < d->n; k++)
            (void)json_array_append_new(all, json_recording(&d->recording[k], &d->quality[k]));
        (void)json_object_set_new(j, "files", all);
    }
    return j;
}
