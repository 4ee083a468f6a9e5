/* load.c - a policy from a file of any kind: read, understood, verified, fitted, made an image. */
#include "app/image_facts.h"
#include "app/load_options.h"
#include "app/normaliser.h"
#include "deft/contract.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum {
    VERIFY_STEPS = 200,
    CACHE_LINE = 64, // the layout of matrices is made for images that begin on one
    VERIFY_SEED = 1,
    CONTRACT_SIZE = 4 << 20,
};
static const float verify_tolerance = 1e-5f;
static const size_t memory_limit = (size_t)4 << 30; // of what one file may make us allocate

/* Errors of every stage name the file, whatever the stage knew. */
static deft_status name_file(const char *path, deft_error *err)
{
    if (!err) return DEFT_OK;
    char name[256];
    (void)deft_escape(name, sizeof name, path, PATH_MAX);
    return strstr(err->text, name) ? err->status : deft_error_prefix(err, "%s", name);
}

static bool is_integer_graph(const deft_graph *g)
{
    static const char *const integer_ops[] = {"QuantizeLinear", "DynamicQuantizeLinear",
                                              "MatMulInteger", "ConvInteger", "QLinearMatMul"};
    for (int32_t k = 0; k < g->n_node; k++) {
        for (size_t i = 0; i < sizeof integer_ops / sizeof *integer_ops; i++) {
            if (strcmp(g->node[k].op, integer_ops[i]) == 0) return true;
        }
    }
    return false;
}

/* There is no model, and that is no error: err becomes the reason. */
static deft_status give_reason(deft_loaded *l, const char *otherwise, deft_error *err)
{
    const char *const reason = deft_arena_strndup(l->arena, err ? err->text : "", SIZE_MAX);
    if (err) *err = (deft_error){DEFT_OK, ""};
    l->model = NULL;
    l->reason = reason && *reason ? reason : otherwise;
    return DEFT_OK;
}

/* The encoder's graph before the policy's. */
static deft_status join_encoder(const deft_load_options *opt, deft_loaded *l, deft_error *err)
{
    deft_graph *encoder, *both;
    deft_status s = deft_onnx_read_file(opt->encoder, l->arena, &encoder, err);
    if (s != DEFT_OK) {
        (void)name_file(opt->encoder, err);
        return s;
    }
    s = deft_graph_join(encoder, l->graph, opt->encoder_output, &both, err);
    if (s == DEFT_OK) l->graph = both;
    return s;
}

static deft_status load_onnx(deft_bytes bytes, const deft_load_options *opt, deft_loaded *l,
                             deft_error *err)
{
    deft_status s = deft_onnx_read(bytes, l->path, l->arena, &l->graph, err);
    if (s != DEFT_OK) return s;
    if (opt->encoder) s = join_encoder(opt, l, err);
    if (s == DEFT_OK) s = deft_graph_settle(l->graph, err);
    if (s != DEFT_OK) return s;
    deft_understand_options understand = opt->understand;
    understand.rewire_cascade = false; // the graph is verified as it is
    s = deft_understand(l->graph, &understand, &l->model, err);
    if (s == DEFT_E_UNSUPPORTED && is_integer_graph(l->graph)) {
        // integer arithmetic of somebody else's: the evaluator defines and runs it
        return give_reason(l, "it computes with integers", err);
    }
    if (s != DEFT_OK) return s;
    s = deft_verify(l->graph, l->model, VERIFY_STEPS, verify_tolerance, VERIFY_SEED, &l->verified,
                    err);
    return s == DEFT_OK ? deft_onnx_contract(l->graph, l->model, err) : s;
}

/* Two models through the same random steps. */
static deft_status run_both(deft_model_eval *a, deft_model_eval *b, const deft_model *m,
                            float *worst, deft_error *err)
{
    const int32_t n_obs = m->contract.n_obs, n_act = m->contract.n_act;
    float *obs = DEFT_NEW_ARRAY(m->arena, float, n_obs);
    float *act = DEFT_NEW_ARRAY(m->arena, float, 2 * (size_t)n_act);
    if (!obs || !act) return deft_fail(err, DEFT_E_SPACE, "no memory to verify");
    deft_rng rng;
    deft_rng_seed(&rng, VERIFY_SEED);
    *worst = 0;
    for (int32_t step = 0; step < VERIFY_STEPS; step++) {
        for (int32_t k = 0; k < n_obs; k++) obs[k] = (float)deft_rng_normal(&rng);
        deft_status s = deft_model_eval_step(a, obs, NULL, act);
        if (s == DEFT_OK) s = deft_model_eval_step(b, obs, act, act + n_act);
        if (s != DEFT_OK) return deft_fail(err, s, "cannot be run to verify it");
        for (int32_t k = 0; k < n_act; k++) {
            const float d = fabsf(act[k] - act[n_act + k]);
            if (d > *worst) *worst = d;
            if (!(d > verify_tolerance)) continue;
            return deft_fail(
                err, DEFT_E_MISMATCH,
                "action %d differs by %.3g from that of the graph it is to be verified "
                "against, in step %d; --arch, --activation, --squash and --input say "
                "how a checkpoint is put together",
                (int)k, (double)d, (int)step);
        }
    }
    return DEFT_OK;
}

static deft_status verify_against(deft_loaded *l, const deft_load_options *opt, deft_error *err)
{
    deft_loaded other;
    const deft_load_options other_opt = {.rewire = opt->rewire, .understand = opt->understand};
    deft_status s = deft_load(opt->against, &other_opt, &other, err);
    if (s != DEFT_OK) return s;
    const deft_model *const a = l->model, *const b = other.model;
    if (!b) {
        s = deft_fail(err, DEFT_E_UNSUPPORTED, "--against must be a graph in float");
    } else if (a->contract.n_obs != b->contract.n_obs || a->contract.n_act != b->contract.n_act) {
        s = deft_fail(err, DEFT_E_MISMATCH,
                      "%d observations and %d actions, and the graph it is to be verified against "
                      "has %d and %d",
                      (int)a->contract.n_obs, (int)a->contract.n_act, (int)b->contract.n_obs,
                      (int)b->contract.n_act);
    } else {
        deft_model_eval *x = NULL, *y = NULL;
        s = deft_model_eval_create(a, &x, err);
        if (s == DEFT_OK) s = deft_model_eval_create(b, &y, err);
        if (s == DEFT_OK) s = run_both(x, y, a, &l->verified, err);
        if (s == DEFT_E_MISMATCH && deft_model_wiring(b) == DEFT_WIRING_DELAYED) {
            (void)deft_error_prefix(err, "the graph's wiring is delayed (--rewire cascade)");
        }
        deft_model_eval_destroy(x);
        deft_model_eval_destroy(y);
    }
    deft_loaded_free(&other);
    return s;
}

/* What the program says must not be said otherwise. */
static deft_status check_program_options(const deft_load_options *opt, deft_error *err)
{
    const deft_assemble_options *a = &opt->assemble;
    const char *what = a->arch         ? "--arch"
                       : a->activation ? "--activation"
                       : a->squash     ? "--squash"
                       : a->input      ? "--input"
                       : a->logits     ? "--logits"
                                       : NULL;
    if (!what && opt->normaliser && strcmp(opt->normaliser, "none") != 0) what = "--normalizer";
    if (!what) return DEFT_OK;
    return deft_fail(err, DEFT_E_ARG,
                     "%s is for checkpoints without a program: this TorchScript archive says "
                     "itself what it computes (leave the option out)",
                     what);
}

/* The program of an encoder before that of the policy. */
static deft_status join_program(const deft_load_options *opt, deft_loaded *l, deft_error *err)
{
    deft_bytes bytes;
    deft_graph *encoder = NULL, *both;
    deft_status s = deft_file_read(opt->encoder, 0, l->arena, &bytes, err);
    const deft_torchscript_options none = {.n_obs = 0};
    if (s == DEFT_OK)
        s = deft_torchscript_read(bytes, opt->encoder, &none, l->arena, &encoder, err);
    if (s == DEFT_OK && !encoder) {
        s = deft_fail(err, DEFT_E_UNSUPPORTED,
                      "the encoder of a TorchScript program must be one, too");
    }
    if (s != DEFT_OK) {
        (void)name_file(opt->encoder, err);
        return s;
    }
    s = deft_graph_join(encoder, l->graph, opt->encoder_output, &both, err);
    if (s == DEFT_OK) l->graph = both;
    return s;
}

/* A TorchScript program is understood and verified as a graph. */
static deft_status load_program(const deft_load_options *opt, deft_loaded *l, deft_error *err)
{
    deft_status s = check_program_options(opt, err);
    deft_understand_options understand = opt->understand;
    understand.rewire_cascade = false;
    if (s == DEFT_OK && opt->encoder) s = join_program(opt, l, err);
    if (s == DEFT_OK) s = deft_graph_settle(l->graph, err);
    if (s == DEFT_OK) s = deft_understand(l->graph, &understand, &l->model, err);
    if (s != DEFT_OK) return s;
    for (int32_t i = 0; i < l->graph->n_meta; i++) {
        if (strcmp(l->graph->meta[i].key, "torchscript.note") != 0) continue;
        if (deft_model_assume(l->model, "%s", l->graph->meta[i].value) != DEFT_OK)
            return deft_fail(err, DEFT_E_SPACE, "no memory");
    }
    return deft_verify(l->graph, l->model, VERIFY_STEPS, verify_tolerance, VERIFY_SEED,
                       &l->verified, err);
}

static deft_status load_torch(deft_bytes bytes, const deft_load_options *opt, deft_loaded *l,
                              deft_error *err)
{
    deft_checkpoint *actor, *encoder = NULL;
    deft_bytes more;
    deft_status s =
        deft_torchscript_read(bytes, l->path, &opt->torchscript, l->arena, &l->graph, err);
    if (s != DEFT_OK) return s;
    if (l->graph) return load_program(opt, l, err);
    if (opt->torchscript.n_obs) {
        return deft_fail(err, DEFT_E_ARG,
                         "--obs-size is for TorchScript programs, and this file has none");
    }
    s = deft_torch_read(bytes, l->path, l->arena, &actor, err);
    if (s == DEFT_OK && opt->encoder) {
        s = deft_file_read(opt->encoder, 0, l->arena, &more, err);
        if (s == DEFT_OK) s = deft_torch_read(more, opt->encoder, l->arena, &encoder, err);
        if (s != DEFT_OK) (void)name_file(opt->encoder, err);
    }
    deft_assemble_options assemble = opt->assemble;
    assemble.assume |= opt->against != NULL; // what is likely is then verified
    assemble.discrete |= opt->understand.discrete;
    if (s == DEFT_OK) s = load_normaliser(l, opt, &assemble, err);
    if (s == DEFT_OK) s = deft_assemble(actor, encoder, &assemble, l->arena, &l->model, err);
    return s;
}

/* An image proves itself before it is used; one without a test passes. */
static deft_status selftest(const deft_loaded *l, deft_error *err)
{
    const int32_t size = deft_policy_size(l->image.data, l->image.size);
    if (size < 0)
        return deft_fail(err, (deft_status)size, "%s", deft_status_str((deft_status)size));
    deft_policy p;
    const deft_policy_config cfg = {.image = l->image.data,
                                    .image_size = l->image.size,
                                    .arena = deft_arena_alloc(l->arena, (size_t)size),
                                    .arena_size = (size_t)size};
    if (!cfg.arena) return deft_fail(err, DEFT_E_SPACE, "no memory for the policy's state");
    deft_status s = deft_policy_init(&p, &cfg);
    if (s == DEFT_OK) s = deft_policy_selftest(&p);
    if (s == DEFT_E_UNSUPPORTED) return DEFT_OK; // it has no test
    return s == DEFT_OK
               ? s
               : deft_fail(err, s, "the image fails its own self-test: %s", deft_status_str(s));
}

static deft_status describe_image(deft_loaded *l, deft_error *err)
{
    image_facts facts;
    deft_status s = image_facts_of(l->image, &facts, err);
    if (s == DEFT_OK) s = image_facts_bounded(&facts, l->image, err);
    if (s != DEFT_OK) return s;
    l->integer = facts.integer;
    l->stored_rows = facts.rows;
    l->numbers = image_facts_numbers(&facts, l->arena);
    return l->numbers ? DEFT_OK : deft_fail(err, DEFT_E_SPACE, "no memory");
}

static deft_status take_image(deft_loaded *l, deft_bytes bytes, deft_error *err)
{
    uint8_t *p = deft_arena_alloc(l->arena, bytes.size + CACHE_LINE);
    if (!p) return deft_fail(err, DEFT_E_SPACE, "no memory for the image");
    p += -(uintptr_t)p % CACHE_LINE;
    memcpy(p, bytes.data, bytes.size);
    l->image = (deft_bytes){p, bytes.size};
    return DEFT_OK;
}

/* The policy of an integer image; matrices in rows become panels, which is what the vector kernels
 * of hosts serve. */
static deft_status load_integers(deft_loaded *l, deft_error *err)
{
    deft_status s = deft_image_read_q(l->image, l->path, l->arena, &l->qmodel, &l->written, err);
    if (s != DEFT_OK) return s;
    l->reason = "it computes with integers";
    l->assumed = l->qmodel->model->n_assumption;
    if (l->written.layout != DEFT_IMAGE_ROWS) return DEFT_OK;
    deft_image_options opt = l->written;
    opt.layout = DEFT_IMAGE_AUTO;
    deft_bytes panels;
    s = deft_image_write_q(l->qmodel, &opt, l->arena, &panels, err);
    return s == DEFT_OK ? take_image(l, panels, err) : s;
}

/* The policy of an image of floats, in panels likewise. */
static deft_status load_floats(deft_loaded *l, deft_error *err)
{
    deft_status s = deft_image_read(l->image, l->path, l->arena, &l->model, err);
    if (s != DEFT_OK) return s;
    l->assumed = l->model->n_assumption;
    if (!l->stored_rows) return DEFT_OK;
    deft_bytes panels;
    s = deft_image_write(l->model, l->arena, &panels, err);
    return s == DEFT_OK ? take_image(l, panels, err) : s;
}

static deft_status load_image(deft_bytes bytes, deft_loaded *l, deft_error *err)
{
    deft_status s = take_image(l, bytes, err);
    l->stored = l->image;
    if (s == DEFT_OK) s = describe_image(l, err);
    if (s != DEFT_OK) return s;
    s = selftest(l, err);
    if (s != DEFT_OK) return s;
    return l->integer ? load_integers(l, err) : load_floats(l, err);
}

/* Is the previous action an input already? */
static bool reads_previous(const deft_model *m)
{
    for (int32_t k = 0; k < m->n_layer; k++) {
        for (int32_t i = 0; i < m->layer[k].n_segment; i++) {
            if (m->layer[k].in[i].kind == DEFT_SRC_PREV) return true;
        }
    }
    return false;
}

static deft_status assume_previous(deft_model *m, int32_t sensed)
{
    const int n = (int)m->contract.n_obs, n_act = (int)m->contract.n_act;
    return n_act == 1
               ? deft_model_assume(m,
                                   "the first of its %d inputs is the previous action: there "
                                   "are %d observations (--previous says otherwise)",
                                   n, (int)sensed)
               : deft_model_assume(m,
                                   "the first %d of its %d inputs are the previous action: "
                                   "there are %d observations (--previous says otherwise)",
                                   n_act, n, (int)sensed);
}

static deft_status fit_previous(deft_model *m, const deft_load_options *opt, bool *changed,
                                deft_error *err)
{
    if (!opt->previous || strcmp(opt->previous, "none") == 0) return DEFT_OK;
    *changed = true;
    return deft_model_feed_previous(m, strcmp(opt->previous, "first") == 0, err);
}

/* Where nobody says what the inputs are, their number may. */
static deft_status guess_previous(deft_model *m, const deft_load_options *opt, bool *changed,
                                  deft_error *err)
{
    const deft_contract *const c = &m->contract;
    if (opt->previous || !opt->sensed || c->n_obs != opt->sensed + c->n_act || reads_previous(m)) {
        return DEFT_OK;
    }
    if (assume_previous(m, opt->sensed) != DEFT_OK) {
        return deft_fail(err, DEFT_E_SPACE, "no memory");
    }
    *changed = true;
    return deft_model_feed_previous(m, true, err);
}

/* A contract that is not one of those known by name. */
static bool is_contract_file(const char *contract)
{
    struct stat st;
    if (!contract || deft_contract_has_name(contract)) return false;
    return strpbrk(contract, "./") || stat(contract, &st) == 0;
}

static deft_status fit_contract(deft_loaded *l, const char *contract, deft_error *err)
{
    deft_contract_file file;
    deft_bytes text;
    if (!is_contract_file(contract)) return deft_model_set_contract(l->model, contract, err);
    deft_status s = deft_file_read(contract, CONTRACT_SIZE, l->arena, &text, err);
    if (s == DEFT_OK) s = deft_contract_read(text, contract, l->arena, &file, err);
    return s == DEFT_OK ? deft_model_apply_contract(l->model, &file, err) : s;
}

/* The options that change a policy, in the order in which they make sense. */
static deft_status fit(deft_loaded *l, const deft_load_options *opt, bool *changed, deft_error *err)
{
    deft_model *const m = l->model;
    if (opt->rewire) {
        if (err) *err = (deft_error){DEFT_OK, ""};
        const int32_t n = deft_model_rewire(m, err);
        if (n < 0) return (deft_status)n;
        l->rewired += n;
        *changed |= n > 0;
    }
    deft_status s = fit_previous(m, opt, changed, err);
    if (s == DEFT_OK && opt->contract) {
        *changed = true;
        s = fit_contract(l, opt->contract, err);
    }
    // a file says what every input is
    if (s == DEFT_OK && !is_contract_file(opt->contract)) {
        s = guess_previous(m, opt, changed, err);
    }
    if (s == DEFT_OK && opt->env && strcmp(opt->env, "quaid") == 0 && m->contract.name &&
        strcmp(m->contract.name, "quaid") == 0) {
        *changed = true;
        s = deft_model_set_contract(m, "quaid-normalised", err);
    }
    return s;
}

static deft_status make_image(deft_loaded *l, deft_error *err)
{
    deft_bytes image;
    if (l->integer) {
        return deft_fail(err, DEFT_E_UNSUPPORTED,
                         "the policy of an integer image cannot be changed: give the options when "
                         "it is quantized");
    }
    deft_status s = deft_image_write(l->model, l->arena, &image, err);
    if (s != DEFT_OK) return s;
    l->stored = (deft_bytes){NULL, 0};
    s = take_image(l, image, err);
    return s == DEFT_OK ? describe_image(l, err) : s;
}

/* What changes a policy cannot change one of integers: say so. */
static deft_status check_changes(const deft_loaded *l, const deft_load_options *opt,
                                 deft_error *err)
{
    const char *const option = opt->rewire                      ? "--rewire"
                               : opt->contract                  ? "--contract"
                               : opt->previous && !opt->several ? "--previous"
                                                                : NULL;
    if (l->model || !option) return DEFT_OK;
    return deft_fail(err, DEFT_E_UNSUPPORTED,
                     "cannot be changed, by %s: %s; give the option with the policy in floats, "
                     "when it is quantized",
                     option, l->reason);
}

static deft_status not_a_policy(deft_bytes bytes, deft_error *err)
{
    char text[400];
    const char *const what = deft_format_explain(bytes, text, sizeof text);
    return deft_fail(err, DEFT_E_FORMAT, "%s",
                     what         ? what
                     : bytes.size ? "not a policy: neither ONNX nor .deft, .pt nor .safetensors"
                                  : "the file is empty");
}

/* What was assumed, of a policy of any kind. */
static deft_status check_strict(const deft_loaded *l, const deft_load_options *opt, deft_error *err)
{
    const deft_model *const m = l->model ? l->model : l->qmodel ? l->qmodel->model : NULL;
    if (!opt->strict || !m || !m->n_assumption) return DEFT_OK;
    char text[300];
    return deft_fail(err, DEFT_E_UNSUPPORTED, "--strict: %d fact%s assumed: %s%s",
                     (int)m->n_assumption, m->n_assumption == 1 ? " is" : "s are",
                     deft_escape(text, sizeof text, m->assumption[0], 512),
                     m->n_assumption > 1 ? "; ..." : "");
}

static deft_status load(const deft_load_options *opt, deft_loaded *l, deft_error *err)
{
    deft_bytes bytes;
    deft_status s = deft_file_read(l->path, 0, l->arena, &bytes, err);
    if (s != DEFT_OK) return s;
    l->file_size = bytes.size;
    l->format = deft_format_detect(bytes.data, bytes.size);
    deft_load_options fitting;
    s = load_options_fit(l->format, opt, &fitting, err);
    if (s != DEFT_OK) return s;
    opt = &fitting;
    bool changed = l->format != DEFT_FORMAT_IMAGE;
    switch (l->format) {
    case DEFT_FORMAT_ONNX:
        s = load_onnx(bytes, opt, l, err);
        break;
    case DEFT_FORMAT_TORCH:
        s = load_torch(bytes, opt, l, err);
        break;
    case DEFT_FORMAT_IMAGE:
        s = load_image(bytes, l, err);
        break;
    case DEFT_FORMAT_UNKNOWN:
    default:
        return not_a_policy(bytes, err);
    }
    if (s == DEFT_OK) s = check_changes(l, opt, err);
    if (s == DEFT_OK && !l->model) s = check_strict(l, opt, err);
    if (s != DEFT_OK || !l->model) return s;
    if (opt->rewire && opt->against) { // both sides are rewired, then compared
        bool rewired = false;
        const deft_load_options only = {.rewire = opt->rewire};
        s = fit(l, &only, &rewired, err);
    }
    if (s == DEFT_OK && opt->against) s = verify_against(l, opt, err);
    if (s == DEFT_OK) s = fit(l, opt, &changed, err);
    if (s == DEFT_OK) s = check_strict(l, opt, err);
    if (s == DEFT_OK && changed) s = make_image(l, err);
    return s;
}

deft_status deft_load(const char *path, const deft_load_options *opt, deft_loaded *out,
                      deft_error *err)
{
    static const deft_load_options none;
    *out = (deft_loaded){.path = path, .reason = "", .note = "", .numbers = "", .verified = NAN};
    out->arena = deft_arena_create(memory_limit);
    deft_status s = out->arena ? load(opt ? opt : &none, out, err)
                               : deft_fail(err, DEFT_E_SPACE, "out of memory");
    if (s == DEFT_OK) return s;
    (void)name_file(path, err);
    deft_loaded_free(out);
    return s;
}

void deft_loaded_free(deft_loaded *l)
{
    deft_arena_destroy(l->arena);
    *l = (deft_loaded){.path = "", .reason = "", .note = "", .numbers = "", .verified = NAN};
}

deft_status deft_loaded_controller(const deft_loaded *l, const deft_kernels *kernels,
                                   deft_controller **out, deft_error *err)
{
    return l->image.size ? deft_controller_from_image(l->image, kernels, out, err)
                         : deft_controller_from_graph(l->graph, out, err);
}
