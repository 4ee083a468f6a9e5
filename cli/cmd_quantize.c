/* deft quantize - an image of integers from a float policy. */
#include "claim.h"
#include "quantize.h"

#include "deft/emit.h"
#include "deft/quant.h"

#include <math.h>
#include <string.h>

typedef struct args {
    deft_load_options load;
    cli_episodes place;
    deft_quant_options quant;
    cli_paths calib;
    const char *out, *calibrator, *layout, *bits;
    int32_t lo, hi; // of bits, 0: not given
    int32_t returns;
    bool json, sweep, force;
} args;

#define AT(field) offsetof(args, field)
static const cli_opt opts[] = {
    {"out", "FILE", "what to write (default: policy.deft; dynamic: policy.onnx)", CLI_PATH, 'o',
     AT(out), 0, 0},
    {"scheme", "NAME",
     "int8 (default), w8a16, w4a8, w4a16, int16; for comparison pow2 (ESP-DL's) and dynamic (ONNX "
     "Runtime's, to ONNX)",
     CLI_TEXT, 0, AT(quant.scheme), 0, 0},
    {"weight-bits", "N", "2 to 16 (default: the scheme's)", CLI_INT, 0, AT(quant.weight_bits), 2,
     16},
    {"activation-bits", "N", "2 to 16 (default: the scheme's)", CLI_INT, 0,
     AT(quant.activation_bits), 2, 16},
    {"bits", "N|A..B", "of weights and activations; a range is for --sweep", CLI_TEXT, 0, AT(bits),
     0, 0},
    {"narrow-inputs", NULL, "observations and state have as few bits as activations", CLI_FLAG, 0,
     AT(quant.narrow_inputs), 0, 0},
    {"all-layers", NULL, "below 8 bits: the first and last matrices, too", CLI_FLAG, 0,
     AT(quant.all_layers), 0, 0},
    {"symmetric", NULL, "activations signed around zero", CLI_FLAG, 0, AT(quant.symmetric), 0, 0},
    {"per-tensor", NULL, "one scale for a matrix, not one for each output", CLI_FLAG, 0,
     AT(quant.per_tensor), 0, 0},
    {"nearest", NULL, "round weights to nearest, not so that errors make up for each other",
     CLI_FLAG, 0, AT(quant.nearest), 0, 0},
    {"no-equalization", NULL, "scales of units by their own range alone", CLI_FLAG, 0,
     AT(quant.no_equalization), 0, 0},
    {"no-bias-correction", NULL, "leave biases as they are", CLI_FLAG, 0,
     AT(quant.no_bias_correction), 0, 0},
    {"layout", "rows|panels",
     "of matrices: rows for small devices (default), panels for hosts; hosts lay out either anew "
     "when they load it",
     CLI_CHOICE, 0, AT(layout), 0, 0},
    {"force", NULL, CLI_FORCE_HELP, CLI_FLAG, 0, AT(force), 0, 0},
    {"json", NULL, "print JSON", CLI_FLAG, 0, AT(json), 0, 0},
    {.kind = CLI_END},
};
static const cli_opt calib_opts[] = {
    {"calib", "FILE",
     "recorded observations: CSV (obs0.., act0.. or the contract's names), .npy, .npz, a log of "
     "episodes (.sqlite); may be given several times, or A,B",
     CLI_PATHS, 0, AT(calib), 0, 0},
    {"calibrator", "minmax|percentile|mse|entropy", "where ranges end (default: mse)", CLI_CHOICE,
     0, AT(calibrator), 0, 0},
    {"percentile", "P", "of |x| (default: 99.99)", CLI_REAL, 0, AT(quant.percentile), 50, 100},
    {"env", "quaid|pendulum|pendulum-angle|none",
     "environment of episodes (default: that of the contract, where there is one and nothing else "
     "is given); none: without data",
     CLI_CHOICE, 0, AT(place.env), 0, 0},
    {"scene", "FILE|NAME", "quaid: a MuJoCo model, or one of models/quaid", CLI_PATH, 0,
     AT(place.scene), 0, 0},
    {"episodes", "N", "how many (default: 4)", CLI_INT, 'n', AT(place.episodes), 1, 1000},
    {"seed", "S", "of their starts (default: 0)", CLI_SEED, 's', AT(place.seed), 0, 0},
    {.kind = CLI_END},
};
static const cli_opt sweep_opts[] = {
    {"sweep", NULL,
     "what the policy earns in --env at every width of --bits (default: 2..16): a table, -o as CSV "
     "(default: sweep.csv) and a curve beside it; goes on where it was stopped",
     CLI_FLAG, 0, AT(sweep), 0, 0},
    {"returns", "N", "episodes for each width (default: 20)", CLI_INT, 0, AT(returns), 2, 100000},
    {"jobs", "J", "threads (default: one a core)", CLI_INT, 'j', AT(place.jobs), 1, 1024},
    {.kind = CLI_END},
};
static const cli_group groups[] = {
    {"Quantization", opts, 0}, {"Calibration", calib_opts, 0},
    {"Sweep", sweep_opts, 0},  {"Reading the policy", cli_policy_opts, AT(load)},
    {NULL, NULL, 0},
};

static int calibrate_env(const args *a, const deft_loaded *l, deft_env *env, quantize_data *d,
                         deft_calibration *c)
{
    deft_error err = {DEFT_OK, ""};
    d->episodes = a->place.episodes ? a->place.episodes : 4;
    d->env = deft_env_get_spec(env)->name;
    const deft_status s = deft_calibrate_env(l, env, d->episodes, a->place.seed, c, &err);
    return s == DEFT_OK ? CLI_OK : cli_fail(&cmd_quantize, &err);
}

/* Neither recordings nor an environment were given: that of the contract, or no data. */
static int calibrate_by_contract(const args *a, const deft_loaded *l, quantize_data *d,
                                 deft_calibration *c)
{
    const char *const name = a->place.env ? NULL : quantize_contract_env(l);
    deft_error err = {DEFT_OK, ""};
    deft_env *env = NULL;
    const char *scene = NULL;
    if (!name) return quantize_synthetic(d, l, a->place.seed, c);
    deft_status s = deft_scene_find(name, NULL, l->arena, &scene, &err);
    const deft_env_config cfg = {.scene = scene};
    if (s == DEFT_OK) s = deft_env_create(name, &cfg, &env, &err);
    if (s != DEFT_OK) {
        d->no_env = cli_escaped(err.text, l->arena);
        return quantize_synthetic(d, l, a->place.seed, c);
    }
    d->contract_env = true;
    const int status = calibrate_env(a, l, env, d, c);
    deft_env_destroy(env);
    return status;
}

static int calibrate(const args *a, const deft_loaded *l, deft_env *env, quantize_data *d,
                     deft_calibration *c)
{
    const int status = d->n  ? quantize_recordings_use(d, l, c)
                       : env ? calibrate_env(a, l, env, d, c)
                             : calibrate_by_contract(a, l, d, c);
    d->steps = deft_calibration_steps(c);
    d->dropped = deft_calibration_dropped(c);
    if (status == CLI_OK) quantize_data_note(d, l);
    return status;
}

static void print_decisions(const deft_quant_report *r)
{
    if (!r->decisions) return;
    (void)printf("decisions: %d of %d change, running free %d", (int)r->changed, (int)r->decisions,
                 (int)r->free_changed);
    if (r->changed) (void)printf("; the clearest of them by a margin of %.3g", r->changed_margin);
    (void)printf(" (half of all have a margin above %.3g)\n", r->median_margin);
}

static void print_text(const args *a, const deft_loaded *l, const quantize_data *d,
                       const deft_quant_report *r, size_t size)
{
    static const char *const head[] = {"layer",          "matrix",           "bits",
                                       "weights dB",     "accumulator bits", "outputs dB",
                                       "running free dB"};
    cli_table t;
    cli_table_init(&t, l->arena, 7, head);
    for (int32_t i = 0; i < r->n_matrix; i++) {
        const deft_quant_matrix *const m = &r->matrix[i];
        const deft_quant_layer *const y = &r->layer[m->layer];
        cli_table_row(&t, "%s\t%s\t%d\t%.1f\t%d\t%.1f\t%.1f",
                      y->name ? cli_escaped(y->name, l->arena) : "", m->matrix ? "state" : "input",
                      (int)m->bits, m->sqnr_db, (int)m->proof.bits, y->sqnr_db, y->free_sqnr_db);
    }
    cli_table_print(&t, stdout);
    quantize_data_print(d, l);
    print_decisions(r);
    (void)printf("action error over %d steps: rms %.3g, worst %.3g; running free rms %.3g, worst "
                 "%.3g\n%s: %zu bytes, %s\n",
                 (int)r->steps, r->action_rms, r->action_worst, r->free_action_rms,
                 r->free_action_worst, cli_escaped(a->out, l->arena), size,
                 a->quant.scheme ? a->quant.scheme : "int8");
}

static int print_json(const args *a, const quantize_data *d, const deft_quant_report *r,
                      size_t size)
{
    json_t *const all = json_array();
    for (int32_t i = 0; i < r->n_matrix; i++) {
        const deft_quant_matrix *const m = &r->matrix[i];
        const deft_quant_layer *const y = &r->layer[m->layer];
        (void)json_array_append_new(
            all, json_pack("{s:o, s:i, s:i, s:o, s:I, s:i, s:i, s:b, s:o, s:o}", "layer",
                           cli_json_string(y->name ? y->name : ""), "matrix", (int)m->matrix,
                           "bits", (int)m->bits, "weights_db", cli_json_real(m->sqnr_db),
                           "accumulator_worst", (json_int_t)m->proof.worst, "accumulator_channel",
                           (int)m->proof.channel, "accumulator_bits", (int)m->proof.bits,
                           "fits_20_bits", (int)m->proof.fits_20, "outputs_db",
                           cli_json_real(y->sqnr_db), "free_db", cli_json_real(y->free_sqnr_db)));
    }
    json_t *const j =
        json_pack("{s:s, s:o, s:I, s:i, s:o, s:o, s:o, s:o, s:o}", "scheme",
                  a->quant.scheme ? a->quant.scheme : "int8", "out", cli_json_string(a->out),
                  "bytes", (json_int_t)size, "steps", (int)r->steps, "action_rms",
                  cli_json_real(r->action_rms), "action_worst", cli_json_real(r->action_worst),
                  "free_action_rms", cli_json_real(r->free_action_rms), "free_action_worst",
                  cli_json_real(r->free_action_worst), "matrices", all);
    (void)json_object_set_new(j, "calibration", quantize_data_json(d));
    if (r->decisions) {
        (void)json_object_set_new(j, "decisions",
                                  json_pack("{s:i, s:i, s:i, s:o, s:o}", "steps", (int)r->decisions,
                                            "changed", (int)r->changed, "free_changed",
                                            (int)r->free_changed, "largest_changed_margin",
                                            cli_json_real(r->changed_margin), "median_margin",
                                            cli_json_real(r->median_margin)));
    }
    return cli_json_print(&cmd_quantize, j);
}

static int quantize(const args *a, const deft_loaded *l, const quantize_data *d,
                    const deft_calibration *c)
{
    deft_error err = {DEFT_OK, ""};
    const bool panels = a->layout && strcmp(a->layout, "panels") == 0;
    const deft_image_options layout = {.layout = panels ? DEFT_IMAGE_PANELS : DEFT_IMAGE_ROWS};
    deft_qmodel *q = NULL;
    deft_bytes image = {NULL, 0};
    deft_quant_report report;
    deft_status s = deft_quantize(l->model, c, &a->quant, l->arena, &q, &err);
    if (s == DEFT_OK) s = deft_image_write_q(q, &layout, l->arena, &image, &err);
    if (s == DEFT_OK) s = deft_quant_measure(l->model, q, c, l->arena, &report, &err);
    if (s == DEFT_OK) s = cli_write_file(a->out, image.data, image.size, &err);
    if (s != DEFT_OK) return cli_fail(&cmd_quantize, &err);
    if (a->json) return print_json(a, d, &report, image.size);
    print_text(a, l, d, &report, image.size);
    return CLI_OK;
}

static bool is_dynamic(const args *a)
{
    return a->quant.scheme && strcmp(a->quant.scheme, "dynamic") == 0;
}

/* A graph of float and integer operators, which only the evaluator runs. */
static int quantize_dynamic(const args *a, const deft_loaded *l)
{
    deft_error err = {DEFT_OK, ""};
    deft_bytes plain, bytes;
    deft_graph *graph = NULL, *dynamic = NULL;
    deft_status s = deft_onnx_write(l->model, l->arena, &plain, &err);
    if (s == DEFT_OK) s = deft_onnx_read(plain, NULL, l->arena, &graph, &err);
    if (s == DEFT_OK) s = deft_quant_dynamic(graph, !a->quant.per_tensor, l->arena, &dynamic, &err);
    if (s == DEFT_OK) s = deft_onnx_write_graph(dynamic, l->arena, &bytes, &err);
    if (s == DEFT_OK) s = cli_write_file(a->out, bytes.data, bytes.size, &err);
    if (s != DEFT_OK) return cli_fail(&cmd_quantize, &err);
    if (a->json) {
        return cli_json_print(&cmd_quantize,
                              json_pack("{s:s, s:o, s:I}", "scheme", "dynamic", "out",
                                        cli_json_string(a->out), "bytes", (json_int_t)bytes.size));
    }
    (void)printf("%s: %zu bytes, dynamic\n", cli_escaped(a->out, l->arena), bytes.size);
    return CLI_OK;
}

static int quantize_static(const args *a, const deft_loaded *l, deft_env *env, quantize_data *d)
{
    deft_calibration *c = NULL;
    deft_error err = {DEFT_OK, ""};
    if (deft_calibration_create(l->model, 0, &c, &err) != DEFT_OK) {
        return cli_fail(&cmd_quantize, &err);
    }
    const quantize_sweep w = {.policy = l,
                              .calibration = c,
                              .env = env,
                              .options = &a->quant,
                              .out = a->out,
                              .lo = a->lo,
                              .hi = a->hi,
                              .episodes = a->returns,
                              .jobs = a->place.jobs,
                              .seed = a->place.seed,
                              .force = a->force,
                              .json = a->json};
    int status = a->sweep ? quantize_sweep_check(&w) : CLI_OK;
    if (status == CLI_OK) status = calibrate(a, l, env, d, c);
    if (status == CLI_OK) status = a->sweep ? quantize_sweep_run(&w) : quantize(a, l, d, c);
    deft_calibration_destroy(c);
    return status;
}

/* "8" or "2..16". */
static bool parse_bits(args *a)
{
    int lo = 2, hi = 16, end = 0;
    if (a->bits) {
        const int n = sscanf(a->bits, "%d%n..%d%n", &lo, &end, &hi, &end); // NOLINT(cert-err34-c)
        if (n == 1) hi = lo;
        if (n < 1 || a->bits[end]) return false;
    }
    if (lo < 2 || hi > 16 || lo > hi) return false;
    a->lo = lo;
    a->hi = hi;
    if (a->sweep || !a->bits) return true;
    if (lo != hi) return false;
    if (!a->quant.weight_bits) a->quant.weight_bits = lo;
    if (!a->quant.activation_bits) a->quant.activation_bits = lo;
    return true;
}

static int check_scheme(const char *name)
{
    deft_nearest near;
    char all[160] = "", hint[DEFT_HINT], shown[64];
    if (!name) return CLI_OK;
    deft_nearest_begin(&near, name);
    for (int32_t i = 0; deft_quant_scheme_name(i); i++) {
        const char *const known = deft_quant_scheme_name(i);
        const size_t used = strlen(all);
        if (strcmp(name, known) == 0) return CLI_OK;
        (void)snprintf(all + used, sizeof all - used, "%s, ", known);
        deft_nearest_offer(&near, known);
    }
    if (strcmp(name, "dynamic") == 0) return CLI_OK;
    deft_nearest_offer(&near, "dynamic");
    return cli_fail_text(&cmd_quantize, "there is no scheme '%s'; there are %sdynamic%s",
                         deft_escape(shown, sizeof shown, name, 64), all,
                         deft_nearest_hint(&near, hint));
}

/* Options that nobody would read. */
static int check_unread(const args *a, const cli_given *g)
{
    int status = CLI_OK;
    if (is_dynamic(a)) {
        status = cli_unread(g,
                            "calib calibrator percentile episodes seed weight-bits activation-bits "
                            "bits narrow-inputs all-layers symmetric nearest no-equalization "
                            "no-bias-correction layout",
                            "is not for --scheme dynamic, which takes its ranges at run time");
    } else if (a->calib.n) {
        status = cli_unread(g, "env scene episodes seed",
                            "is for calibration in episodes; --calib names a recording");
    } else if (a->place.env && strcmp(a->place.env, "none") == 0) {
        status = cli_unread(g, "scene episodes seed", "is for episodes, and --env is none");
    }
    if (status == CLI_OK && (!a->calibrator || strcmp(a->calibrator, "percentile") != 0)) {
        status = cli_unread(g, "percentile", "is for --calibrator percentile");
    }
    if (status == CLI_OK && a->sweep) {
        status = cli_unread(g, "layout weight-bits activation-bits",
                            "is not for --sweep, which makes no image and takes widths by --bits");
    } else if (status == CLI_OK) {
        status = cli_unread(g, "returns jobs", "is for --sweep");
    }
    if (status == CLI_OK && a->bits && cli_was_given(g, "weight-bits") &&
        cli_was_given(g, "activation-bits")) {
        status = cli_unread(g, "bits",
                            "is not for use with both --weight-bits and "
                            "--activation-bits");
    }
    return status;
}

static int check_output(const args *a, char **path, deft_arena *arena)
{
    cli_claim k;
    cli_claim_begin(&k, &cmd_quantize, arena);
    cli_claim_force(&k, a->force);
    cli_claim_reads_policies(&k, path, 1, &a->load);
    for (int32_t i = 0; i < a->calib.n; i++) cli_claim_reads(&k, "--calib", a->calib.path[i]);
    cli_claim_reads_episodes(&k, &a->place);
    cli_claim_writes(&k, "-o", a->out,
                     a->sweep        ? DEFT_PRODUCT_SWEEP
                     : is_dynamic(a) ? DEFT_PRODUCT_ONNX
                                     : DEFT_PRODUCT_IMAGE);
    if (a->sweep) {
        if (strcmp(a->out, "-") == 0 || deft_file_is_special(a->out)) {
            return cli_misuse(&cmd_quantize, "--sweep needs a regular file, not '%s'", a->out);
        }
        cli_claim_writes(&k, "the curve", quantize_sweep_curve(a->out, arena),
                         DEFT_PRODUCT_PICTURE);
    }
    return cli_claim_check(&k);
}

static int check_args(args *a, const cli_given *given)
{
    if (check_unread(a, given) != CLI_OK) return CLI_MISUSE;
    if (!parse_bits(a)) {
        return cli_misuse(&cmd_quantize, "--bits: 2 to 16, or with --sweep a range like 2..8");
    }
    if (a->sweep && (a->calib.n || is_dynamic(a))) {
        return cli_misuse(&cmd_quantize, "--sweep needs episodes: neither --calib nor dynamic");
    }
    if (a->calib.n && (a->place.env || a->place.scene)) {
        return cli_misuse(&cmd_quantize, "--calib and --env (or --scene) both say what to "
                                         "calibrate on: give one of them");
    }
    if (!a->returns) a->returns = 20;
    if (!a->out) a->out = a->sweep ? "sweep.csv" : is_dynamic(a) ? "policy.onnx" : "policy.deft";
    return CLI_OK;
}

static int run(int argc, char **argv)
{
    args a = {.out = NULL};
    cli_given given;
    const int at = cli_parse_given(&cmd_quantize, argc, argv, &a, &given);
    if (check_scheme(a.quant.scheme) != CLI_OK) return CLI_FAILED;
    if (check_args(&a, &given) != CLI_OK) return CLI_MISUSE;
    if (a.calibrator) (void)deft_calibrator_parse(a.calibrator, &a.quant.calibrator);
    deft_arena *const arena = deft_arena_create(0);
    deft_env *env = NULL;
    const char *scene = NULL;
    if (!arena) return cli_fail_text(&cmd_quantize, "out of memory");
    quantize_data data = {.n = 0};
    const bool none = a.place.env && strcmp(a.place.env, "none") == 0;
    // dynamic takes no calibration, but the environment says which inputs are the previous action
    int status = quantize_recordings_list(&a.calib, arena);
    if (status == CLI_OK) status = check_output(&a, argv + at, arena);
    if (status == CLI_OK && a.calib.n) {
        status = quantize_recordings_open(&a.calib, arena, &a.load.sensed, &data);
    } else if (status == CLI_OK && (a.sweep || (!none && (a.place.env || a.place.scene)))) {
        status = cli_env_open(&cmd_quantize, &a.place, arena, &env, &scene);
    }
    if (status == CLI_OK && env) {
        a.load.env = deft_env_get_spec(env)->name;
        a.load.sensed = deft_env_get_spec(env)->n_obs;
    }
    deft_loaded l;
    if (status == CLI_OK) {
        status = cli_load(&cmd_quantize, argv[at], &a.load, &l);
        if (status == CLI_OK && (!l.model || l.integer)) {
            status = cli_fail_text(&cmd_quantize, "%s: %s", cli_escaped(argv[at], arena),
                                   l.integer ? "is an integer policy already" : l.reason);
        }
        if (status == CLI_OK)
            status =
                is_dynamic(&a) ? quantize_dynamic(&a, &l) : quantize_static(&a, &l, env, &data);
        deft_loaded_free(&l);
    }
    deft_env_destroy(env);
    deft_arena_destroy(arena);
    return status;
}

const cli_command cmd_quantize = {
    .name = "quantize",
    .operands = "POLICY",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "turn a float policy into an image of integers",
    .details =
        "Ranges come from what the policy sees while it acts: in recordings (--calib), or in "
        "episodes of --env. Without either, a contract that belongs to one of our "
        "environments gives episodes there; else observations are made up of the ranges "
        "that the contract and the normaliser give, and a note says which. The table says for each "
        "matrix how many bits its weights take, how well "
        "they are rounded, how many bits its accumulators need at most (proven for every "
        "input), and the signal-to-noise ratio of what comes out: in steps from the float "
        "policy's own state, and running free. 'deft compare' and 'deft eval' tell what it "
        "earns.",
    .examples = "deft quantize policy.onnx -o int8.deft\n"
                "deft quantize policy.onnx --env pendulum -o int8.deft\n"
                "deft quantize policy.onnx --rewire cascade --scheme w4a8 -o w4a8.deft\n"
                "deft quantize policy.onnx --calib walk.csv --calib more.npz -o int8.deft\n"
                "deft quantize policy.onnx --env pendulum --bits 2..16 --sweep -o sweep.csv",
    .groups = groups,
    .run = run,
};
