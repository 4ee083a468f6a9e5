/* test_torch_reference.c - the paper's own checkpoints: open loop on its golden rollouts, and by
 * weights against the ONNX files of the same policies. Skipped without them. */
#include "checkpoint_files.h"

#include <math.h>
#include <string.h>

enum { MOST = 128, LINE = 8192, N_OBS = 17, N_ACT = 8, FIRST_OBS = 1, FIRST_ACT = 18, H2 = 64 };

#define ENCODER "models/rnn/rnn_Quaid_RA-64.dat"

typedef struct policy {
    const char *name, *file, *onnx, *golden, *native;
    bool recurrent;
    int first_h2; // column
    int64_t parameters;
} policy;

static const policy policies[] = {
    {"TD3", "models/cpp/act_net_QuaidSIM-v4_TD3_+225.827_750000.dat",
     "models/onnx/act_net_QuaidSIM-v4_TD3_+225.827_750000.onnx", "golden/TD3.csv", NULL, false, 0,
     72456},
    {"SAC", "models/cpp/act_net_QuaidSIM-v4_SAC_+238.823_775000.dat",
     "models/onnx/act_net_QuaidSIM-v4_SAC_+238.823_775000.onnx", "golden/SAC.csv", NULL, false, 0,
     72456},
    {"RA-TD3", "models/cpp/act_net_QuaidSIM-v4_RA-TD3_+614.464_500000.dat",
     "models/onnx/aug_act_net_QuaidSIM-v4_RA-TD3_+614.464_500000.onnx", "golden/RA-TD3.csv", NULL,
     true, 32, 157128},
    {"RA-SAC", "models/cpp/act_net_QuaidSIM-v4_RA-SAC_+299.788_850000.dat",
     "models/onnx/aug_act_net_QuaidSIM-v4_RA-SAC_+299.788_850000.onnx", "golden/RA-SAC.csv",
     "models/onnx/with_gru_act_net_QuaidSIM-v4_RA-SAC_+299.788_850000.onnx", true, 32, 157128},
};

static int split_row(char *line, float *cell)
{
    int n = 0;
    for (char *p = line; n < MOST && *p && *p != '\n'; n++) {
        cell[n] = strtof(p, &p);
        if (*p == ',') p++;
    }
    return n;
}

static float largest(const float *x, const float *y, int n)
{
    float d = 0;
    for (int i = 0; i < n; i++) d = fmaxf(d, fabsf(x[i] - y[i]));
    return d;
}

/* Every recorded observation, with the action recorded a row earlier where the policy wants it. */
static void open_loop(const policy *p, const deft_model *m, FILE *csv)
{
    char line[LINE];
    float cell[MOST], in[N_ACT + N_OBS], act[N_ACT], worst = 0, worst_h = 0;
    deft_error err = {0};
    deft_model_eval *e = NULL;
    memset(in, 0, sizeof in);
    CHECK_OK(deft_model_eval_create(m, &e, &err), err);
    int rows = 0;
    if (!e || !fgets(line, sizeof line, csv)) return;
    CHECK(!p->recurrent || strstr(line, ",current,h2_0,"), "%s", p->golden);
    float *obs = in + (p->recurrent ? N_ACT : 0);
    for (; fgets(line, sizeof line, csv); rows++) {
        const int n = split_row(line, cell);
        CHECK(n >= FIRST_ACT + N_ACT, "%s: %d columns", p->golden, n);
        memcpy(obs, cell + FIRST_OBS, N_OBS * sizeof *obs);
        CHECK(deft_model_eval_step(e, in, NULL, act) == DEFT_OK, "step %d", rows);
        worst = fmaxf(worst, largest(act, cell + FIRST_ACT, N_ACT));
        if (!p->recurrent) continue;
        worst_h = fmaxf(worst_h, largest(deft_model_eval_layer(e, 2), cell + p->first_h2, H2));
        memcpy(in, cell + FIRST_ACT, N_ACT * sizeof *in);
    }
    printf("%s: %d rows, actions within %g, h2 within %g\n", p->name, rows, (double)worst,
           (double)worst_h);
    CHECK(rows == 500, "%s: %d rows", p->golden, rows);
    CHECK(worst <= 1e-5f, "%s: actions off by %g", p->name, (double)worst);
    CHECK(worst_h <= 1e-5f, "%s: h2 off by %g", p->name, (double)worst_h);
    deft_model_eval_destroy(e);
}

/* Is x [rows][cols] among the constants, as it is or transposed? */
static bool among(const deft_graph *g, const float *x, int64_t rows, int64_t cols)
{
    for (int32_t v = 0; v < g->n_value; v++) {
        const deft_tensor *t = g->value[v].constant;
        if (!t || t->dtype != DEFT_F32 || t->rank < 1 || t->count < rows * cols) continue;
        const float *y = t->data;
        const int64_t last = t->dim[t->rank - 1];
        bool same = last == cols || (rows == 1 && last > cols),
             turned = t->rank == 2 && t->dim[0] == cols && last >= rows;
        for (int64_t i = 0; i < rows * cols && (same || turned); i++) {
            same = same && y[i] == x[i];
            turned = turned && y[i % cols * last + i / cols] == x[i];
        }
        if (same || turned) return true;
    }
    return false;
}

static void by_weights(const policy *p, const deft_model *m, deft_arena *a)
{
    char path[4400];
    deft_graph *g = NULL;
    deft_error err = {0};
    const char *onnx = check_reference(path, sizeof path, p->onnx);
    CHECK(onnx != NULL, "%s", p->onnx);
    if (onnx) CHECK_OK(deft_onnx_read_file(onnx, a, &g, &err), err);
    for (int32_t k = 0; g && k < m->n_layer; k++) {
        const deft_layer *l = &m->layer[k];
        const int64_t rows = (l->kind == DEFT_LAYER_GRU ? 3 : 1) * (int64_t)l->n_out;
        CHECK(among(g, l->weight, rows, l->n_in), "%s: weights of %s", p->name, l->name);
        CHECK(!l->bias || among(g, l->bias, 1, rows), "%s: bias of %s", p->name, l->name);
        CHECK(!l->weight_h || among(g, l->weight_h, rows, l->n_out), "%s: recurrent weights of %s",
              p->name, l->name);
    }
}

/* What was assembled and what was understood of the graph, 200 random recurrent steps. */
static void against(const char *file, const deft_model *m, bool delayed, deft_arena *a)
{
    char path[4400];
    deft_graph *g = NULL;
    deft_model *n = NULL;
    deft_model_eval *x = NULL, *y = NULL;
    deft_error err = {0};
    float obs[N_ACT + N_OBS], act[2][N_ACT], worst = 0;
    deft_rng rng;
    deft_rng_seed(&rng, 3);
    const char *onnx = check_reference(path, sizeof path, file);
    if (onnx) CHECK_OK(deft_onnx_read_file(onnx, a, &g, &err), err);
    if (g) CHECK_OK(deft_understand(g, NULL, &n, &err), err);
    if (!n) return;
    if (delayed) CHECK(deft_model_rewire(n, &err) > 0, "%s: nothing to rewire: %s", file, err.text);
    CHECK(n->contract.n_obs == m->contract.n_obs && n->contract.n_act == N_ACT, "%s", file);
    CHECK_OK(deft_model_eval_create(m, &x, &err), err);
    CHECK_OK(deft_model_eval_create(n, &y, &err), err);
    for (int t = 0; x && y && t < 200; t++) {
        for (int i = 0; i < m->contract.n_obs; i++) obs[i] = (float)deft_rng_normal(&rng);
        CHECK(deft_model_eval_step(x, obs, NULL, act[0]) == DEFT_OK, "step %d", t);
        CHECK(deft_model_eval_step(y, obs, NULL, act[1]) == DEFT_OK, "step %d", t);
        worst = fmaxf(worst, largest(act[0], act[1], N_ACT));
    }
    printf("%s: within %g\n", file, (double)worst);
    CHECK(worst <= 1e-6f, "%s: off by %g", file, (double)worst);
    deft_model_eval_destroy(x);
    deft_model_eval_destroy(y);
}

static void check_policy(const policy *p)
{
    char actor_path[4400], encoder_path[4400], csv_path[4400];
    deft_arena *a = deft_arena_create(0);
    deft_error err = {0};
    deft_checkpoint *actor = NULL, *encoder = NULL;
    deft_model *m = NULL;
    const deft_assemble_options likely = {.assume = true}; // compared with the graph below
    const char *file = check_reference(actor_path, sizeof actor_path, p->file);
    const char *second = check_reference(encoder_path, sizeof encoder_path, ENCODER);
    const char *golden = check_reference(csv_path, sizeof csv_path, p->golden);
    if (!file || !second || !golden) CHECK_SKIP("the paper's policies are not there");
    CHECK_OK(read_checkpoint_at(file, a, &actor, &err), err);
    if (p->recurrent) CHECK_OK(read_checkpoint_at(second, a, &encoder, &err), err);
    if (actor) CHECK_OK(deft_assemble(actor, encoder, &likely, a, &m, &err), err);
    if (m) {
        FILE *csv = fopen(golden, "r");
        deft_model_stats stats;
        deft_model_count(m, &stats);
        CHECK(stats.parameters == p->parameters, "%s: %lld parameters", p->name,
              (long long)stats.parameters);
        CHECK(stats.recurrent_layers == (p->recurrent ? 3 : 0), "%s", p->name);
        CHECK(m->contract.n_act == N_ACT && m->contract.n_obs == (p->recurrent ? 25 : N_OBS), "%s",
              p->name);
        if (csv) open_loop(p, m, csv);
        if (csv) (void)fclose(csv);
        by_weights(p, m, a);
        against(p->onnx, m, p->recurrent, a);
        if (p->native) against(p->native, m, false, a);
    }
    deft_arena_destroy(a);
}

int main(void)
{
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) check_policy(&policies[i]);
    return check_report();
}
