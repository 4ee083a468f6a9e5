/* deft info - what a policy is, and what a careful reviewer would say about it. */
#include "arguments.h"
#include "deft/contract.h"
#include "info.h"

#include <math.h>
#include <string.h>

typedef struct args {
    deft_load_options load;
    bool json, contract, template;
} args;

static const cli_opt opts[] = {
    {"json", NULL, "print JSON", CLI_FLAG, 0, offsetof(args, json), 0, 0},
    {"contract-table", NULL, "list every observation and action with unit, scale and limits",
     CLI_FLAG, 0, offsetof(args, contract), 0, 0},
    {"contract-template", NULL,
     "print the contract as a file for --contract, with null for what is not known", CLI_FLAG, 0,
     offsetof(args, template), 0, 0},
    {.kind = CLI_END},
};
static const cli_group groups[] = {
    {"Output", opts, 0},
    {"Reading the policy", cli_policy_opts, offsetof(args, load)},
    {NULL, NULL, 0},
};

static const char *format_name(deft_format f)
{
    switch (f) {
    case DEFT_FORMAT_ONNX:
        return "onnx";
    case DEFT_FORMAT_TORCH:
        return "torch";
    case DEFT_FORMAT_IMAGE:
        return "deft";
    case DEFT_FORMAT_UNKNOWN:
    default:
        return "unknown";
    }
}

const char *info_sources(const int32_t *width, const deft_segment *s, int32_t n, deft_arena *a)
{
    char line[256] = "";
    for (int32_t k = 0; k < n; k++) {
        const size_t used = strlen(line);
        char *const to = line + used;
        const size_t room = sizeof line - used;
        const char *const plus = k ? " + " : "";
        const int from = (int)s[k].offset, end = from + (int)s[k].length;
        switch (s[k].kind) {
        case DEFT_SRC_OBS:
            (void)snprintf(to, room, "%sobs[%d:%d]", plus, from, end);
            break;
        case DEFT_SRC_PREV:
            (void)snprintf(to, room, "%sprevious action[%d:%d]", plus, from, end);
            break;
        case DEFT_SRC_STATE:
            (void)snprintf(to, room, "%sold state of %d", plus, (int)s[k].index);
            break;
        case DEFT_SRC_LAYER:
        default:
            if (s[k].length == width[s[k].index]) {
                (void)snprintf(to, room, "%s%d", plus, (int)s[k].index);
            } else {
                (void)snprintf(to, room, "%s%d[%d:%d]", plus, (int)s[k].index, from, end);
            }
        }
    }
    const char *const copy = deft_arena_strndup(a, line, sizeof line);
    return copy ? copy : "";
}

static const char *sources(const deft_model *m, const deft_segment *s, int32_t n, deft_arena *a)
{
    int32_t *const width = DEFT_NEW_ARRAY(a, int32_t, m->n_layer);
    if (!width) return "";
    for (int32_t k = 0; k < m->n_layer; k++) width[k] = m->layer[k].n_out;
    return info_sources(width, s, n, a);
}

static void print_layers(const deft_model *m, deft_arena *a)
{
    static const char *const head[] = {"layer", "kind", "reads", "in", "out", "then", "name"};
    cli_table t;
    cli_table_init(&t, a, 7, head);
    for (int32_t k = 0; k < m->n_layer; k++) {
        const deft_layer *const l = &m->layer[k];
        cli_table_row(
            &t, "%d\t%s\t%s\t%d\t%d\t%s\t%s", (int)k, deft_layer_kind_name(l->kind),
            sources(m, l->in, l->n_segment, a), (int)l->n_in, (int)l->n_out,
            l->activation.kind == DEFT_ACT_NONE ? "-" : deft_activation_name(l->activation.kind),
            l->name ? cli_escaped(l->name, a) : "");
    }
    (void)putchar('\n');
    cli_table_print(&t, stdout);
    (void)printf("action = %s\n", sources(m, m->out, m->n_out_segment, a));
}

static const char *limit(deft_arena *a, const float *x, int32_t k, float otherwise)
{
    const char *const s = deft_arena_printf(a, "%.6g", (double)(x ? x[k] : otherwise));
    return s ? s : "";
}

static const char *text_of(deft_arena *a, const char **x, int32_t k)
{
    return x && x[k] ? cli_escaped(x[k], a) : "";
}

static void print_contract(const deft_contract *c, deft_arena *a)
{
    static const char *const head[] = {"number", "name", "unit",  "offset", "scale",
                                       "low",    "high", "least", "most"};
    const int columns = c->obs_least || c->obs_most ? 9 : 7; // what observations can be
    cli_table t;
    cli_table_init(&t, a, columns, head);
    for (int32_t k = 0; k < c->n_obs; k++) {
        cli_table_row(&t, "obs %d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s", (int)k,
                      text_of(a, c->obs_name, k), text_of(a, c->obs_unit, k),
                      limit(a, c->obs_offset, k, 0), limit(a, c->obs_scale, k, 1),
                      limit(a, c->obs_lo, k, -INFINITY), limit(a, c->obs_hi, k, INFINITY),
                      limit(a, c->obs_least, k, -INFINITY), limit(a, c->obs_most, k, INFINITY));
    }
    for (int32_t k = 0; k < c->n_act; k++) {
        cli_table_row(&t, "act %d\t%s\t%s\t%s\t%s\t%s\t%s", (int)k, text_of(a, c->act_name, k),
                      text_of(a, c->act_unit, k), limit(a, c->act_offset, k, 0),
                      limit(a, c->act_scale, k, 1), limit(a, c->act_lo, k, -INFINITY),
                      limit(a, c->act_hi, k, INFINITY));
    }
    (void)putchar('\n');
    cli_table_print(&t, stdout);
    for (int32_t k = 0; k < c->n_note; k++) {
        (void)printf("%s: %s\n", cli_escaped(c->note[k].key, a), cli_escaped(c->note[k].value, a));
    }
}

void info_print_actions(const deft_contract *c)
{
    (void)printf("actions       %d", (int)c->n_act);
    if (c->choices) {
        (void)printf(", discrete: each the index of the largest of");
        for (int32_t k = 0; k < c->n_act; k++)
            (void)printf("%s %d", k ? "," : "", (int)c->choices[k]);
        (void)printf(" outputs\n");
    } else {
        (void)printf("%s\n", c->discrete ? ", discrete: the index of the largest output" : "");
    }
}

static void print_model(const deft_loaded *l, const deft_model_stats *st)
{
    const deft_model *const m = l->model;
    const deft_contract *const c = &m->contract;
    deft_arena *const a = l->arena;
    (void)printf("observations  %d%s%s\n", (int)c->n_obs, c->name && *c->name ? ", contract " : "",
                 c->name && *c->name ? cli_escaped(c->name, a) : "");
    info_print_actions(c);
    if (st->recurrent) {
        (void)printf("state         %d floats: %s, %d layer%s of %d, wiring %s\n", (int)st->state,
                     st->recurrent, (int)st->recurrent_layers, st->recurrent_layers == 1 ? "" : "s",
                     (int)st->hidden, deft_wiring_name(deft_model_wiring(m)));
    }
    if (c->period_s > 0) (void)printf("period        %g s\n", c->period_s);
    (void)printf("parameters    %lld\n", (long long)st->parameters);
    (void)printf("MACs a step   %lld\n", (long long)st->macs);
    (void)printf("bytes         %lld at 32 bits, %lld at 16, %lld at 8, %lld at 4 "
                 "(parameters alone)\n",
                 (long long)st->parameters * 4, (long long)st->parameters * 2,
                 (long long)st->parameters, (long long)(st->parameters + 1) / 2);
    (void)printf("image         %zu bytes, %s\n", l->image.size, l->numbers);
    if (!isnan(l->verified)) {
        (void)printf(
            "verified      200 recurrent steps beside the graph, largest difference %.2g\n",
            (double)l->verified);
    } else if (l->format == DEFT_FORMAT_TORCH) {
        (void)printf(
            "verified      no: there is no graph (--against FILE.onnx compares with one)\n");
    }
    print_layers(m, a);
}

static void print_graph(const deft_loaded *l)
{
    const deft_graph *const g = l->graph;
    deft_arena *const a = l->arena;
    (void)printf("graph         %d nodes, opset %d%s%s\n", (int)g->n_node, (int)g->opset,
                 g->producer && *g->producer ? ", from " : "",
                 g->producer ? cli_escaped(g->producer, a) : "");
    for (int32_t io = 0; io < 2; io++) {
        const deft_port *const p = io ? g->output : g->input;
        for (int32_t k = 0; k < (io ? g->n_output : g->n_input); k++) {
            (void)printf("%s %s %s [", io ? "output       " : "input        ",
                         cli_escaped(g->value[p[k].value].name, a), deft_dtype_name(p[k].dtype));
            for (int32_t d = 0; d < p[k].rank; d++) {
                if (p[k].dim[d] < 0) {
                    (void)printf("%s?", d ? ", " : "");
                } else {
                    (void)printf("%s%lld", d ? ", " : "", (long long)p[k].dim[d]);
                }
            }
            (void)printf("]\n");
        }
    }
}

static void print_assumptions(const deft_model *m, deft_arena *a)
{
    if (m->n_assumption) (void)printf("\nassumed:\n");
    for (int32_t k = 0; k < m->n_assumption; k++)
        (void)printf("  %s\n", cli_escaped(m->assumption[k], a));
}

static void print_text(const deft_loaded *l, const args *opt, const deft_warning *w, int32_t n_w)
{
    deft_arena *const a = l->arena;
    (void)printf("%s: %s, %zu bytes\n", cli_escaped(l->path, a), format_name(l->format),
                 l->file_size);
    if (l->graph) print_graph(l);
    if (l->model) {
        deft_model_stats st;
        deft_model_count(l->model, &st);
        print_model(l, &st);
        if (opt->contract) print_contract(&l->model->contract, a);
        if (*l->note) (void)printf("\nnote: %s\n", cli_escaped(l->note, a));
        print_assumptions(l->model, a);
    } else if (l->qmodel) {
        info_print_integers(l);
        print_assumptions(l->qmodel->model, a);
        if (opt->contract) print_contract(&l->qmodel->model->contract, a);
    } else {
        (void)printf("not understood, run by the reference evaluator only: %s\n",
                     cli_escaped(l->reason, a));
    }
    if (n_w) (void)printf("\nwarnings:\n");
    for (int32_t k = 0; k < n_w; k++) {
        (void)printf("  %s: %s\n", w[k].code, cli_escaped(w[k].text, a));
    }
}

static json_t *json_sources(const deft_model *m, const deft_segment *s, int32_t n, deft_arena *a)
{
    return cli_json_string(sources(m, s, n, a));
}

static json_t *json_layers(const deft_model *m, deft_arena *a)
{
    json_t *const all = json_array();
    for (int32_t k = 0; k < m->n_layer; k++) {
        const deft_layer *const l = &m->layer[k];
        (void)json_array_append_new(
            all, json_pack("{s:i, s:s, s:i, s:i, s:s, s:o, s:o}", "layer", (int)k, "kind",
                           deft_layer_kind_name(l->kind), "in", (int)l->n_in, "out", (int)l->n_out,
                           "activation", deft_activation_name(l->activation.kind), "reads",
                           json_sources(m, l->in, l->n_segment, a), "name",
                           cli_json_string(l->name ? l->name : "")));
    }
    return all;
}

static json_t *json_names(const char **name, int32_t n)
{
    json_t *const all = json_array();
    for (int32_t k = 0; name && k < n; k++)
        (void)json_array_append_new(all, cli_json_string(name[k] ? name[k] : ""));
    return all;
}

/* null where nothing is said. */
static json_t *json_numbers(const float *v, int32_t n)
{
    if (!v) return json_null();
    json_t *const all = json_array();
    for (int32_t k = 0; k < n; k++) (void)json_array_append_new(all, cli_json_real((double)v[k]));
    return all;
}

void info_json_contract(json_t *j, const deft_contract *c)
{
    json_t *const notes = json_array();
    for (int32_t k = 0; k < c->n_note; k++) {
        (void)json_array_append_new(notes, json_pack("[o, o]", cli_json_string(c->note[k].key),
                                                     cli_json_string(c->note[k].value)));
    }
    json_t *const more = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "observation_names",
        json_names(c->obs_name, c->n_obs), "observation_units", json_names(c->obs_unit, c->n_obs),
        "observation_least", json_numbers(c->obs_least, c->n_obs), "observation_most",
        json_numbers(c->obs_most, c->n_obs), "action_names", json_names(c->act_name, c->n_act),
        "action_units", json_names(c->act_unit, c->n_act), "notes", notes);
    (void)json_object_update_new(j, more);
}

static json_t *json_assumptions(const deft_model *m)
{
    json_t *const all = json_array();
    for (int32_t k = 0; k < m->n_assumption; k++)
        (void)json_array_append_new(all, cli_json_string(m->assumption[k]));
    return all;
}

static void json_model(json_t *j, const deft_loaded *l)
{
    const deft_model *const m = l->model;
    const deft_contract *const c = &m->contract;
    deft_model_stats st;
    deft_model_count(m, &st);
    json_t *const more = json_pack(
        "{s:I, s:I, s:i, s:i, s:i, s:b, s:o, s:f, s:o, s:o}", "parameters",
        (json_int_t)st.parameters, "macs", (json_int_t)st.macs, "observations", (int)c->n_obs,
        "actions", (int)c->n_act, "state", (int)st.state, "discrete", (int)c->discrete, "contract",
        cli_json_string(c->name ? c->name : ""), "period_s", c->period_s, "layers",
        json_layers(m, l->arena), "assumptions", json_assumptions(m));
    (void)json_object_update_new(j, more);
    info_json_contract(j, c);
    (void)json_object_set_new(
        j, "bytes",
        json_pack("{s:I, s:I, s:I, s:I, s:I}", "32", (json_int_t)st.parameters * 4, "16",
                  (json_int_t)st.parameters * 2, "8", (json_int_t)st.parameters, "4",
                  (json_int_t)(st.parameters + 1) / 2, "image", (json_int_t)l->image.size));
    json_t *const recurrent =
        st.recurrent ? json_pack("{s:s, s:i, s:i, s:s}", "kind", st.recurrent, "layers",
                                 (int)st.recurrent_layers, "hidden", (int)st.hidden, "wiring",
                                 deft_wiring_name(deft_model_wiring(m)))
                     : json_null();
    (void)json_object_set_new(j, "recurrent", recurrent);
}

/* What can be said of a policy that only runs. */
static void json_unknown(json_t *j, const deft_loaded *l)
{
    deft_controller *c = NULL;
    (void)json_object_set_new(j, "reason", cli_json_string(l->reason));
    if (deft_loaded_controller(l, NULL, &c, NULL) != DEFT_OK) return;
    (void)json_object_set_new(j, "observations", json_integer(deft_controller_n_obs(c)));
    (void)json_object_set_new(j, "actions", json_integer(deft_controller_n_act(c)));
    deft_controller_destroy(c);
}

static int print_json(const deft_loaded *l, const deft_warning *w, int32_t n_w)
{
    json_t *const j =
        json_pack("{s:o, s:s, s:s, s:I, s:o, s:b}", "file", cli_json_string(l->path), "format",
                  format_name(l->format), "numbers", l->numbers, "file_bytes",
                  (json_int_t)l->file_size, "verified", cli_json_real((double)l->verified),
                  "understood", l->model != NULL || l->qmodel != NULL);
    json_t *const warnings = json_array();
    for (int32_t k = 0; k < n_w; k++) {
        (void)json_array_append_new(warnings,
                                    json_pack("{s:o, s:o}", "code", cli_json_string(w[k].code),
                                              "text", cli_json_string(w[k].text)));
    }
    if (l->model) {
        json_model(j, l);
    } else if (l->qmodel) {
        info_json_integers(j, l);
        (void)json_object_set_new(j, "assumptions", json_assumptions(l->qmodel->model));
    } else {
        json_unknown(j, l);
    }
    (void)json_object_set_new(j, "warnings", warnings);
    if (*l->note) (void)json_object_set_new(j, "note", cli_json_string(l->note));
    return cli_json_print(&cmd_info, j);
}

/* Integer images are not reviewed, but what was assumed of their policy stays a warning. */
static int32_t warn_assumed(const deft_loaded *l, const deft_warning **w)
{
    const deft_model *const m = l->qmodel->model;
    deft_warning *const one = DEFT_NEW(l->arena, deft_warning);
    const char *text = "";
    for (int32_t k = 0; text && k < m->n_assumption; k++)
        text = deft_arena_printf(l->arena, "%s%s%s", text, k ? "; " : "", m->assumption[k]);
    if (!one || !text) return DEFT_E_SPACE;
    *one = (deft_warning){"assumed", text};
    *w = one;
    return 1;
}

static int print_template(const deft_loaded *l)
{
    if (!l->model) {
        return cli_fail_text(&cmd_info,
                             "%s: %s: ask for the contract of the policy that it was made from",
                             cli_escaped(l->path, l->arena), cli_escaped(l->reason, l->arena));
    }
    const char *const text = deft_contract_template(l->model, l->arena);
    if (!text) return cli_fail_text(&cmd_info, "out of memory");
    (void)fputs(text, stdout);
    return CLI_OK;
}

static int run(int argc, char **argv)
{
    args a = {.json = false};
    const char *const path = argv[cli_parse(&cmd_info, argc, argv, &a)];
    if (a.template && (a.json || a.contract)) {
        return cli_misuse(&cmd_info, "--contract-template prints a file of its own: "
                                     "neither --json nor --contract-table");
    }
    deft_loaded l;
    deft_error err = {DEFT_OK, ""};
    if (a.json && a.contract) {
        return cli_misuse(&cmd_info, "--contract-table prints text: it does not go with --json");
    }
    if (deft_load(path, &a.load, &l, &err) != DEFT_OK) return cli_fail(&cmd_info, &err);
    const deft_warning *w = NULL;
    int32_t n_w = l.model ? deft_model_lint(l.model, l.graph, l.arena, &w) : 0;
    if (l.qmodel && l.qmodel->model->n_assumption) n_w = warn_assumed(&l, &w);
    int status = CLI_OK;
    if (n_w < 0) {
        status = cli_fail_text(&cmd_info, "%s", deft_status_str((deft_status)n_w));
    } else if (a.template) {
        status = print_template(&l);
    } else if (a.json) {
        status = print_json(&l, w, n_w);
    } else {
        print_text(&l, &a, w, n_w);
    }
    deft_loaded_free(&l);
    return status;
}

const cli_command cmd_info = {
    .name = "info",
    .operands = "POLICY",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "what a policy is: inputs, layers, state, wiring, sizes, and what is odd about it",
    .details = "POLICY is an ONNX graph, a TorchScript program, a .pt or .safetensors checkpoint, "
               "or a .deft image. A graph, and what a program computes, "
               "is verified on the way: what was understood of it runs beside it for 200 random "
               "recurrent steps, and a difference above 1e-5 is an error.\n"
               "docs/guide-lint.md explains the warnings.",
    .examples = "deft info policy.onnx\n"
                "deft info policy.onnx --json | jq .warnings\n"
                "deft info policy.onnx --contract-template > robot.json\n"
                "deft info actor.dat --encoder encoder.dat --against policy.onnx",
    .groups = groups,
    .run = run,
};
