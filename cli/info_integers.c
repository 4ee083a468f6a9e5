/* info_integers.c - what an integer image holds. */
#include "info.h"

#include "deft/policy.h"

#include <string.h>

typedef struct counts {
    int64_t parameters, macs;
    const char *recurrent; // NULL: none
    int32_t recurrent_layers, hidden;
} counts;

static bool has_matrix(const deft_qlayer *l)
{
    return l->kind == DEFT_LAYER_DENSE || l->kind == DEFT_LAYER_GRU || l->kind == DEFT_LAYER_LSTM;
}

static int32_t gates_of(const deft_qlayer *l)
{
    return l->kind == DEFT_LAYER_GRU ? 3 : l->kind == DEFT_LAYER_LSTM ? 4 : 1;
}

static counts count(const deft_qmodel *q)
{
    counts c = {0, 0, NULL, 0, 0};
    for (int32_t k = 0; k < q->n_layer; k++) {
        const deft_qlayer *const l = &q->layer[k];
        const int64_t rows = (int64_t)gates_of(l) * l->n_out;
        if (l->w.bias) c.parameters += rows;
        if (l->u.bias) c.parameters += rows;
        if (!has_matrix(l)) continue;
        c.macs += rows * l->n_in + (gates_of(l) > 1 ? rows * l->n_out : 0);
        if (gates_of(l) == 1) continue;
        c.recurrent = deft_layer_kind_name(l->kind);
        c.recurrent_layers++;
        c.hidden = l->n_out;
    }
    c.parameters += c.macs;
    return c;
}

static const char *number_name(deft_number n)
{
    static const char *const name[] = {"-", "float32", "uint8", "int16", "int8", "int4"};
    return name[n];
}

static const int32_t *widths(const deft_qmodel *q, deft_arena *a)
{
    int32_t *const w = DEFT_NEW_ARRAY(a, int32_t, q->n_layer);
    for (int32_t k = 0; w && k < q->n_layer; k++) w[k] = q->layer[k].n_out;
    return w;
}

/* Bits that hold every accumulator, 0 where there is none. */
static deft_qproof proof_of(const deft_qmodel *q, int32_t k, int32_t matrix)
{
    deft_qproof p = {0, 0, 0, false};
    const deft_qlayer *const l = &q->layer[k];
    const bool there = l->kind != DEFT_LAYER_HISTORY && (matrix == 0 || gates_of(l) > 1);
    if (there) (void)deft_qmodel_prove(q, k, matrix, &p, NULL);
    return p;
}

static void print_layers(const deft_loaded *l)
{
    static const char *const head[] = {"layer", "kind",    "reads",   "in",         "out",
                                       "then",  "weights", "numbers", "accumulator"};
    const deft_qmodel *const q = l->qmodel;
    const int32_t *const width = widths(q, l->arena);
    if (!width) return;
    cli_table t;
    cli_table_init(&t, l->arena, 9, head);
    for (int32_t k = 0; k < q->n_layer; k++) {
        const deft_qlayer *const y = &q->layer[k];
        const int32_t w = proof_of(q, k, 0).bits, u = proof_of(q, k, 1).bits;
        const bool activation = y->table >= 0 && gates_of(y) == 1;
        const char *const then = activation ? deft_activation_name(q->table[y->table].f.kind)
                                 : y->out_format == DEFT_NUM_U8 && y->lo == y->zero ? "relu"
                                                                                    : "-";
        cli_table_row(&t, "%d\t%s\t%s\t%d\t%d\t%s\t%s\t%s to %s\t%d bits", (int)k,
                      deft_layer_kind_name(y->kind),
                      info_sources(width, y->in, y->n_segment, l->arena), (int)y->n_in,
                      (int)y->n_out, then, number_name(y->w.format), number_name(y->in_format),
                      number_name(y->out_format), (int)(w > u ? w : u));
    }
    (void)putchar('\n');
    cli_table_print(&t, stdout);
    (void)printf("action = %s\n", info_sources(width, q->out, q->n_out_segment, l->arena));
}

void info_print_integers(const deft_loaded *l)
{
    const deft_qmodel *const q = l->qmodel;
    const deft_contract *const c = &q->model->contract;
    const counts n = count(q);
    deft_arena *const a = l->arena;
    char hex[65];
    (void)printf("scheme        %s\n", q->scheme ? cli_escaped(q->scheme, a) : "unknown");
    if (q->calibration) (void)printf("calibration   %s\n", cli_escaped(q->calibration, a));
    deft_hex(q->model->source_sha256, 32, hex);
    (void)printf("source        %s\n              SHA-256 %s\n",
                 cli_escaped(q->model->source ? q->model->source : "", a), hex);
    deft_hex(l->stored.data + 32, 32, hex);
    (void)printf("policy        %s\n", hex);
    (void)printf("observations  %d%s%s\n", (int)c->n_obs, c->name && *c->name ? ", contract " : "",
                 c->name && *c->name ? cli_escaped(c->name, a) : "");
    info_print_actions(c);
    if (n.recurrent) {
        (void)printf("state         %s, %d layer%s of %d\n", n.recurrent, (int)n.recurrent_layers,
                     n.recurrent_layers == 1 ? "" : "s", (int)n.hidden);
    }
    if (c->period_s > 0) (void)printf("period        %g s\n", c->period_s);
    (void)printf("parameters    %lld\nMACs a step   %lld\n", (long long)n.parameters,
                 (long long)n.macs);
    (void)printf("image         %zu bytes, %s, matrices in %s; %d table%s\n", l->stored.size,
                 l->numbers, l->written.layout == DEFT_IMAGE_ROWS ? "rows" : "panels",
                 (int)q->n_table, q->n_table == 1 ? "" : "s");
    (void)printf("memory        %d bytes for state and scratch\n",
                 (int)deft_policy_size(l->stored.data, l->stored.size));
    if (l->written.selftest_steps > 0) {
        (void)printf("self-test     %d steps, passed\n", (int)l->written.selftest_steps);
    } else {
        (void)printf("self-test     none\n");
    }
    print_layers(l);
}

static json_t *json_layers(const deft_loaded *l)
{
    const deft_qmodel *const q = l->qmodel;
    json_t *const all = json_array();
    for (int32_t k = 0; k < q->n_layer; k++) {
        const deft_qlayer *const y = &q->layer[k];
        const deft_qproof w = proof_of(q, k, 0), u = proof_of(q, k, 1);
        (void)json_array_append_new(
            all, json_pack("{s:i, s:s, s:i, s:i, s:s, s:s, s:s, s:s, s:i, s:i}", "layer", (int)k,
                           "kind", deft_layer_kind_name(y->kind), "in", (int)y->n_in, "out",
                           (int)y->n_out, "weights", number_name(y->w.format), "state_weights",
                           number_name(y->u.format), "inputs", number_name(y->in_format), "outputs",
                           number_name(y->out_format), "accumulator_bits", (int)w.bits,
                           "state_accumulator_bits", (int)u.bits));
    }
    return all;
}

void info_json_integers(json_t *j, const deft_loaded *l)
{
    const deft_qmodel *const q = l->qmodel;
    const deft_contract *const c = &q->model->contract;
    const counts n = count(q);
    char source[65], policy[65];
    deft_hex(q->model->source_sha256, 32, source);
    deft_hex(l->stored.data + 32, 32, policy);
    json_t *const more = json_pack(
        "{s:I, s:I, s:i, s:i, s:o, s:o, s:o, s:o, s:s, s:s, s:f, s:i, s:s, s:i, s:i, s:o}",
        "parameters", (json_int_t)n.parameters, "macs", (json_int_t)n.macs, "observations",
        (int)c->n_obs, "actions", (int)c->n_act, "contract",
        cli_json_string(c->name ? c->name : ""), "scheme",
        cli_json_string(q->scheme ? q->scheme : ""), "calibration",
        cli_json_string(q->calibration ? q->calibration : ""), "source",
        cli_json_string(q->model->source ? q->model->source : ""), "source_sha256", source,
        "policy_id", policy, "period_s", c->period_s, "image_bytes", (int)l->stored.size, "layout",
        l->written.layout == DEFT_IMAGE_ROWS ? "rows" : "panels", "memory_bytes",
        (int)deft_policy_size(l->stored.data, l->stored.size), "selftest_steps",
        (int)(l->written.selftest_steps > 0 ? l->written.selftest_steps : 0), "layers",
        json_layers(l));
    (void)json_object_update_new(j, more);
    info_json_contract(j, c);
    json_t *const recurrent = n.recurrent
                                  ? json_pack("{s:s, s:i, s:i}", "kind", n.recurrent, "layers",
                                              (int)n.recurrent_layers, "hidden", (int)n.hidden)
                                  : json_null();
    (void)json_object_set_new(j, "recurrent", recurrent);
}
