/* test_policies.c - what exporters write, understood: every policy of tests/golden/policies has the
 * layers and the wiring it was made with, and answers as PyTorch does; the paper's have theirs. */
#include "check.h"

#include "deft/formats.h"

#include <dirent.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { COLUMNS = 64, LINE = 8192, VERIFY_STEPS = 200 };

/* Layers: D dense, G gru, L lstm, N layernorm, A activation, S affine (scale), + add, * mul,
 * H history. wiring: of recurrent layers. flags: what the contract does. */
typedef struct expected {
    const char *name, *layers, *activations; // of all layers, comma-separated
    int32_t recurrent, hidden;
    deft_wiring wiring;
    const char *contract; // o offset, s scale, c clip of observations; S scale, O offset, C clip of
                          // actions, d discrete
} expected;

static const expected table[] = {
    {"activation_elu", "DDD", "elu,elu,tanh", 0, 0, DEFT_WIRING_NONE, ""},
    {"activation_gelu", "DDD", "gelu,gelu,tanh", 0, 0, DEFT_WIRING_NONE, ""},
    {"activation_gelu_tanh", "DDD", "gelu_tanh,gelu_tanh,tanh", 0, 0, DEFT_WIRING_NONE, ""},
    {"activation_hardtanh", "DDD", "clip,clip,tanh", 0, 0, DEFT_WIRING_NONE, ""},
    {"activation_leaky_relu", "DDD", "leaky_relu,leaky_relu,tanh", 0, 0, DEFT_WIRING_NONE, ""},
    {"activation_relu6", "DDD", "clip,clip,tanh", 0, 0, DEFT_WIRING_NONE, ""},
    {"activation_selu", "DDD", "selu,selu,tanh", 0, 0, DEFT_WIRING_NONE, ""},
    {"activation_sigmoid", "DDD", "sigmoid,sigmoid,tanh", 0, 0, DEFT_WIRING_NONE, ""},
    {"activation_silu", "DDD", "silu,silu,tanh", 0, 0, DEFT_WIRING_NONE, ""},
    {"activation_softplus", "DDD", "softplus,softplus,tanh", 0, 0, DEFT_WIRING_NONE, ""},
    {"activation_softsign", "DDD", "softsign,softsign,tanh", 0, 0, DEFT_WIRING_NONE, ""},
    {"activation_tanh", "DDD", "tanh,tanh,tanh", 0, 0, DEFT_WIRING_NONE, ""},
    {"aug_cat_bias", "GGGDDD", "relu,relu,tanh", 3, 16, DEFT_WIRING_CASCADE, ""},
    {"aug_delayed", "GGGDDD", "relu,relu,tanh", 3, 16, DEFT_WIRING_DELAYED, ""},
    {"aug_delayed_scatter", "GGGDDD", "relu,relu,tanh", 3, 16, DEFT_WIRING_DELAYED, ""},
    {"aug_encoder_only", "GDDD", "relu,relu,tanh", 1, 16, DEFT_WIRING_NONE, ""},
    {"aug_scatter", "GGGDDD", "relu,relu,tanh", 3, 16, DEFT_WIRING_CASCADE, ""},
    {"aug_scatter_zero_opset11", "GGGDDD", "relu,relu,tanh", 3, 16, DEFT_WIRING_CASCADE, ""},
    {"aug_slices", "GGDDD", "relu,relu,tanh", 2, 16, DEFT_WIRING_CASCADE, ""},
    {"aug_slices_scatter_delayed", "GGGDDD", "relu,relu,tanh", 3, 16, DEFT_WIRING_DELAYED, ""},
    {"aug_stack", "GGGDDD", "relu,relu,tanh", 3, 16, DEFT_WIRING_CASCADE, ""},
    {"batch_of_32", "DD", "tanh,none", 0, 0, DEFT_WIRING_NONE, ""},
    {"batch_of_8_gru", "GD", "tanh", 1, 16, DEFT_WIRING_NONE, ""},
    {"conv1d_history", "DDDDDDD", "relu,relu,relu,relu,elu,elu,tanh", 0, 0, DEFT_WIRING_NONE, ""},
    {"conv2d_heights", "DDDDDDDDDDDDDDDDDDDDDDDDDDDD",
     "relu,relu,relu,relu,relu,relu,relu,relu,relu,relu,relu,relu,relu,relu,relu,relu,relu,relu,"
     "relu,"
     "relu,relu,relu,relu,relu,relu,relu,elu,none",
     0, 0, DEFT_WIRING_NONE, ""},
    {"locked_joint", "DDD", "elu,none,none", 0, 0, DEFT_WIRING_NONE, ""},
    {"masked_choice", "DDD", "relu,none,none", 0, 0, DEFT_WIRING_NONE, "d"},
    {"multi_discrete", "DD", "relu,none", 0, 0, DEFT_WIRING_NONE, "d"},
    {"multi_discrete_equal", "DD", "relu,none", 0, 0, DEFT_WIRING_NONE, "d"},
    {"recurrent_ppo_flag", "LD", "none", 1, 16, DEFT_WIRING_NONE, ""},
    {"reset_where", "LD", "none", 1, 16, DEFT_WIRING_NONE, ""},
    {"batchnorm", "DD", "relu,tanh", 0, 0, DEFT_WIRING_NONE, "os"},
    {"brax_swish", "DDD", "silu,silu,tanh", 0, 0, DEFT_WIRING_NONE, "os"},
    {"cleanrl_sac_logstd", "DDD", "relu,relu,tanh", 0, 0, DEFT_WIRING_NONE, ""},
    {"cleanrl_td3_scaled", "DDD", "relu,relu,tanh", 0, 0, DEFT_WIRING_NONE, "SO"},
    {"dqn_argmax", "DDD", "relu,relu,none", 0, 0, DEFT_WIRING_NONE, "d"},
    {"external_data", "DD", "relu,none", 0, 0, DEFT_WIRING_NONE, ""},
    {"float16_weights", "DD", "elu,none", 0, 0, DEFT_WIRING_NONE, ""},
    {"gates_concat_reset_before", "GDDD", "relu,relu,tanh", 1, 16, DEFT_WIRING_NONE, ""},
    {"gates_keras_reset_before", "GGDDD", "relu,relu,tanh", 2, 16, DEFT_WIRING_CASCADE, ""},
    {"gates_separate", "GGGDDD", "relu,relu,tanh", 3, 16, DEFT_WIRING_CASCADE, ""},
    {"goal_and_proprio", "DD", "relu,tanh", 0, 0, DEFT_WIRING_NONE, ""},
    {"grucell_module", "GD", "tanh", 1, 16, DEFT_WIRING_NONE, ""},
    {"isaaclab_metadata", "DD", "elu,none", 0, 0, DEFT_WIRING_NONE, ""},
    {"keras_gru_op", "GD", "tanh", 1, 16, DEFT_WIRING_NONE, ""},
    {"layernorm_decomposed", "DND", "none,relu,tanh", 0, 0, DEFT_WIRING_NONE, ""},
    {"layernorm_gelu", "DNDND", "none,gelu,none,gelu,tanh", 0, 0, DEFT_WIRING_NONE, ""},
    {"lstm_primitives", "LD", "tanh", 1, 16, DEFT_WIRING_NONE, ""},
    {"native_gru_3_layers", "GGGDD", "elu,none", 3, 16, DEFT_WIRING_CASCADE, ""},
    {"native_gru_8_layers", "GGGGGGGGDD", "elu,none", 8, 16, DEFT_WIRING_CASCADE, ""},
    {"residual_mlp", "DNDD+NDD+ND", "none,none,relu,none,none,none,relu,none,none,none,tanh", 0, 0,
     DEFT_WIRING_NONE, ""},
    {"rsl_rl_elu", "DDDD", "elu,elu,elu,none", 0, 0, DEFT_WIRING_NONE, ""},
    {"rsl_rl_gru", "GDD", "elu,none", 1, 16, DEFT_WIRING_NONE, "os"},
    {"rsl_rl_lstm", "LDD", "elu,none", 1, 16, DEFT_WIRING_NONE, "os"},
    {"rsl_rl_lstm_2_layers", "LLDD", "elu,none", 2, 16, DEFT_WIRING_CASCADE, ""},
    {"rsl_rl_normalized", "DDD", "elu,elu,none", 0, 0, DEFT_WIRING_NONE, "os"},
    {"sac_chunked_head", "DDD", "relu,relu,tanh", 0, 0, DEFT_WIRING_NONE, ""},
    {"sac_indexed_head", "DDD", "relu,relu,tanh", 0, 0, DEFT_WIRING_NONE, ""},
    {"sb3_ppo", "DDD", "tanh,tanh,none", 0, 0, DEFT_WIRING_NONE, ""},
    {"sb3_ppo_clipped", "DDD", "tanh,tanh,none", 0, 0, DEFT_WIRING_NONE, "C"},
    {"sb3_sac", "DDD", "relu,relu,tanh", 0, 0, DEFT_WIRING_NONE, ""},
    {"sb3_td3_opset9", "DDD", "relu,relu,tanh", 0, 0, DEFT_WIRING_NONE, ""},
    {"sb3_vecnormalize", "DD", "tanh,tanh", 0, 0, DEFT_WIRING_NONE, "osc"},
    {"skrl_gaussian", "DDD", "elu,elu,none", 0, 0, DEFT_WIRING_NONE, ""},
    {"batchnorm_behind_relu", "DD", "relu,none", 0, 0, DEFT_WIRING_NONE, ""},
    {"box_clipped", "DD", "relu,none", 0, 0, DEFT_WIRING_NONE, "C"},
    {"column_vectors", "DD", "relu,tanh", 0, 0, DEFT_WIRING_NONE, ""},
    {"d2rl_weight_norm", "DDD", "relu,relu,tanh", 0, 0, DEFT_WIRING_NONE, ""},
    {"double_precision", "DD", "relu,tanh", 0, 0, DEFT_WIRING_NONE, ""},
    {"dueling_q", "DDD+DS+", "relu,none,none,none,none,none,none", 0, 0, DEFT_WIRING_NONE, "d"},
    {"elman_by_hand", "GD", "tanh", 1, 16, DEFT_WIRING_NONE, ""},
    {"elman_native", "GGDD", "elu,none", 2, 16, DEFT_WIRING_CASCADE, ""},
    {"gru_differences", "GGDDD", "relu,relu,tanh", 2, 16, DEFT_WIRING_CASCADE, ""},
    {"gru_flipped_gate", "GGDDD", "relu,relu,tanh", 2, 16, DEFT_WIRING_CASCADE, ""},
    {"gru_without_reset", "GGDDD", "relu,relu,tanh", 2, 16, DEFT_WIRING_CASCADE, ""},
    {"history_encoder", "HDDDDDDD", "none,elu,elu,elu,elu,elu,elu,none", 1, 60, DEFT_WIRING_NONE,
     ""},
    {"history_newest_first", "DHDDDDDD", "elu,none,elu,elu,elu,elu,elu,none", 1, 60,
     DEFT_WIRING_NONE, ""},
    {"layernorm_by_hand", "DND", "none,tanh,none", 0, 0, DEFT_WIRING_NONE, ""},
    {"lstm_observations_as_wide_as_h", "DLD", "tanh,tanh", 1, 16, DEFT_WIRING_NONE, ""},
    {"lstm_packed_state", "DLLD", "tanh,tanh", 2, 16, DEFT_WIRING_CASCADE, ""},
    {"lstm_stack_delayed", "DLLD", "tanh,tanh", 2, 16, DEFT_WIRING_DELAYED, ""},
    {"partly_normalised", "DD", "relu,tanh", 0, 0, DEFT_WIRING_NONE, "os"},
    {"parts_composed", "DS*DAA*DAAS+DS*D*D",
     "none,clip,none,none,softplus,tanh,none,none,relu,clip,none,none,none,sigmoid,none,relu,none,"
     "none",
     0, 0, DEFT_WIRING_NONE, ""},
    {"parts_exponential", "DDDDDDD", "elu,softplus,silu,sigmoid,tanh,sigmoid,none", 0, 0,
     DEFT_WIRING_NONE, ""},
    {"parts_piecewise", "DDDDDD", "leaky_relu,gelu,gelu_tanh,softsign,clip,none", 0, 0,
     DEFT_WIRING_NONE, ""},
    {"sb3_unscaled", "DD", "relu,tanh", 0, 0, DEFT_WIRING_NONE, "SO"},
    {"states_apart_delayed", "GGGDDD", "relu,relu,tanh", 3, 16, DEFT_WIRING_DELAYED, ""},
    {"states_in_a_row", "GGDDD", "relu,relu,tanh", 2, 16, DEFT_WIRING_CASCADE, ""},
    {"weight_only_qdq", "DD", "relu,tanh", 0, 0, DEFT_WIRING_NONE, ""},
};

static const expected *find(const char *name)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strcmp(table[i].name, name) == 0) return &table[i];
    return NULL;
}

static void append(char *buf, size_t n, const char *s)
{
    const size_t len = strlen(buf);
    if (len < n) (void)snprintf(buf + len, n - len, "%s", s);
}

static void check_structure(const expected *e, const deft_model *m)
{
    static const char letter[] = "?DGLNAS+*H";
    char layers[64] = "", acts[256] = "", contract[16] = "";
    for (int32_t k = 0; k < m->n_layer; k++) {
        const deft_layer *l = &m->layer[k];
        append(layers, sizeof layers, (const char[]){letter[l->kind], '\0'});
        if (l->kind == DEFT_LAYER_GRU || l->kind == DEFT_LAYER_LSTM) continue;
        append(acts, sizeof acts, acts[0] ? "," : "");
        append(acts, sizeof acts, deft_activation_name(l->activation.kind));
    }
    const deft_contract *c = &m->contract;
    const void *const part[] = {c->obs_offset, c->obs_scale,  c->obs_lo,
                                c->act_scale,  c->act_offset, c->act_lo};
    for (int i = 0; i < 6; i++)
        if (part[i]) append(contract, sizeof contract, (const char[]){"oscSOC"[i], '\0'});
    if (c->discrete) append(contract, sizeof contract, "d");
    deft_model_stats s;
    deft_model_count(m, &s);
    CHECK(strcmp(layers, e->layers) == 0, "%s: layers %s", e->name, layers);
    CHECK(strcmp(acts, e->activations) == 0, "%s: activations %s", e->name, acts);
    CHECK(strcmp(contract, e->contract) == 0, "%s: contract '%s'", e->name, contract);
    const int32_t recurrent = s.recurrent ? s.recurrent_layers : 0;
    CHECK(recurrent == e->recurrent && s.hidden == e->hidden, "%s: %d recurrent layers of %d",
          e->name, (int)recurrent, (int)s.hidden);
    CHECK(deft_model_wiring(m) == e->wiring, "%s: wiring %s", e->name,
          deft_wiring_name(deft_model_wiring(m)));
}

static int split_row(char *line, float *cell)
{
    int n = 0;
    for (char *p = line; n < COLUMNS && *p && *p != '\n'; n++) {
        cell[n] = strtof(p, &p);
        if (*p == ',') p++;
    }
    return n;
}

/* The largest difference between the policy and what PyTorch computed. */
static float rollout(const deft_model *m, const char *path, deft_error *err)
{
    char line[LINE];
    float worst = 0, act[COLUMNS];
    int steps = 0;
    deft_model_eval *e = NULL;
    FILE *csv = fopen(path, "r");
    if (!csv) return INFINITY;
    CHECK_OK(deft_model_eval_create(m, &e, err), *err);
    const int n_obs = (int)m->contract.n_obs, n_act = (int)m->contract.n_act;
    CHECK(n_act < COLUMNS, "%d actions", n_act);
    if (!fgets(line, sizeof line, csv)) line[0] = '\0';
    while (e && n_act < COLUMNS && fgets(line, sizeof line, csv)) {
        float cell[COLUMNS];
        const int n = split_row(line, cell);
        CHECK(n == n_obs + n_act, "%d columns for %d observations and %d actions", n, n_obs, n_act);
        if (n != n_obs + n_act) break;
        CHECK(deft_model_eval_step(e, cell, NULL, act) == DEFT_OK, "step %d", steps);
        for (int k = 0; k < n_act; k++) worst = fmaxf(worst, fabsf(act[k] - cell[n_obs + k]));
        steps++;
    }
    CHECK(steps >= 60, "%d steps", steps);
    (void)fclose(csv);
    deft_model_eval_destroy(e);
    return worst;
}

static deft_model *understand(const char *path, deft_arena *a, deft_graph **g, deft_error *err)
{
    const deft_understand_options opt = {0};
    deft_model *m = NULL;
    if (deft_onnx_read_file(path, a, g, err) != DEFT_OK) return NULL;
    if (deft_graph_settle(*g, err) != DEFT_OK) return NULL;
    return deft_understand(*g, &opt, &m, err) == DEFT_OK ? m : NULL;
}

static void check_policy(const char *dir, const char *name)
{
    char path[4400];
    deft_error err = {0};
    deft_arena *a = deft_arena_create(0);
    deft_graph *g = NULL;
    (void)snprintf(path, sizeof path, "%.4000s/%.250s.onnx", dir, name);
    const deft_model *m = understand(path, a, &g, &err);
    CHECK(m != NULL, "%s: %s", name, err.text);
    const expected *e = find(name);
    CHECK(e != NULL, "%s is not in the table", name);
    if (m && e) {
        check_structure(e, m);
        (void)snprintf(path, sizeof path, "%.4000s/%.250s.csv", dir, name);
        const float worst = rollout(m, path, &err);
        CHECK(worst <= 1e-5f, "%s: off by %g", name, (double)worst);
        float verified = 0;
        CHECK_OK(deft_verify(g, m, VERIFY_STEPS, 1e-5f, 1, &verified, &err), err);
        if (err.text[0]) printf("%s: %s\n", name, err.text);
    }
    deft_arena_destroy(a);
}

/* --- the paper's ------------------------------------------------------------------------------ */

static void check_paper(const char *path, const char *name)
{
    deft_error err = {0};
    deft_arena *a = deft_arena_create(0);
    deft_graph *g = NULL;
    const deft_model *m = understand(path, a, &g, &err);
    CHECK(m != NULL, "%s: %s", name, err.text);
    if (m) {
        const bool recurrent = strstr(name, "RA-") != NULL;
        const bool delayed = strncmp(name, "aug_", 4) == 0;
        deft_model_stats s;
        deft_model_count(m, &s);
        CHECK(s.parameters == (recurrent ? 157128 : 72456), "%s: %lld parameters", name,
              (long long)s.parameters);
        CHECK(s.macs == (recurrent ? 156608 : 71936), "%s: %lld MACs", name, (long long)s.macs);
        CHECK(m->contract.n_obs == (recurrent ? 25 : 17) && m->contract.n_act == 8,
              "%s: %d observations, %d actions", name, (int)m->contract.n_obs,
              (int)m->contract.n_act);
        CHECK((s.recurrent ? s.recurrent_layers : 0) == (recurrent ? 3 : 0) &&
                  s.hidden == (recurrent ? 64 : 0),
              "%s: %d layers of %d", name, (int)s.recurrent_layers, (int)s.hidden);
        const deft_wiring want = !recurrent ? DEFT_WIRING_NONE
                                 : delayed  ? DEFT_WIRING_DELAYED
                                            : DEFT_WIRING_CASCADE;
        CHECK(deft_model_wiring(m) == want, "%s: wiring %s", name,
              deft_wiring_name(deft_model_wiring(m)));
        CHECK_OK(deft_verify(g, m, VERIFY_STEPS, 1e-5f, 1, NULL, &err), err);
    }
    deft_arena_destroy(a);
}

/* Integer arithmetic is refused, and the place named. */
static void check_quantized(const char *path, const char *name)
{
    deft_error err = {0};
    deft_arena *a = deft_arena_create(0);
    deft_graph *g = NULL;
    deft_model *m = NULL;
    const deft_understand_options opt = {0};
    CHECK_OK(deft_onnx_read_file(path, a, &g, &err), err);
    if (g) {
        CHECK(deft_understand(g, &opt, &m, &err) == DEFT_E_UNSUPPORTED && !m, "%s", name);
        CHECK(strstr(err.text, "DynamicQuantizeLinear") && strstr(err.text, "node "), "%s: %s",
              name, err.text);
    }
    deft_arena_destroy(a);
}

typedef void check_file(const char *path, const char *name);

static int each_onnx(const char *dir, check_file *check)
{
    int n = 0;
    DIR *d = opendir(dir);
    if (!d) return 0;
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        char path[4400];
        const size_t len = strlen(e->d_name);
        if (len < 6 || len > 250 || strcmp(e->d_name + len - 5, ".onnx") != 0) continue;
        (void)snprintf(path, sizeof path, "%.4000s/%.250s", dir, e->d_name);
        check(path, e->d_name);
        n++;
    }
    (void)closedir(d);
    return n;
}

static void check_golden(const char *path, const char *file)
{
    char dir[4400], name[256];
    (void)snprintf(dir, sizeof dir, "%.*s", (int)(strlen(path) - strlen(file) - 1), path);
    (void)snprintf(name, sizeof name, "%.*s", (int)(strlen(file) - 5), file);
    check_policy(dir, name);
}

int main(void)
{
    char dir[4096];
    const int n = each_onnx(check_source(dir, sizeof dir, "tests/golden/policies"), check_golden);
    CHECK(n == (int)(sizeof table / sizeof table[0]), "%d policies", n);
    const char *reference = getenv("DEFT_REFERENCE_DIR");
    (void)snprintf(dir, sizeof dir, "%s/models/onnx",
                   reference ? reference : "../shared/reference");
    const int paper = each_onnx(dir, check_paper);
    (void)snprintf(dir, sizeof dir, "%s/models/onnx-quant",
                   reference ? reference : "../shared/reference");
    const int quantized = each_onnx(dir, check_quantized);
    printf("%d policies, %d of the paper, %d quantized\n", n, paper, quantized);
    return check_report();
}
