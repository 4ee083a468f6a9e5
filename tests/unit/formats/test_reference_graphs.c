/* test_reference_graphs.c - the paper's graphs: understood, verified, their wiring and what lint
 * says of them; rewired, the golden rollouts come out. */
#include "check.h"
#include "deft/formats.h"

#include <math.h>
#include <string.h>

enum { ROWS = 500, LINE = 8192, N_OBS = 17, N_ACT = 8, N_H = 64 };

typedef struct expected {
    const char *file, *golden;
    deft_wiring wiring;
    const char *code[4]; // lint has to find; NULL: no more
} expected;

static const expected all[] = {
    {"act_net_QuaidSIM-v4_SAC_+238.823_775000", "SAC", DEFT_WIRING_NONE, {"stochastic-head"}},
    {"act_net_QuaidSIM-v4_TD3_+225.827_750000", "TD3", DEFT_WIRING_NONE, {NULL}},
    {"aug_act_net_QuaidSIM-v4_RA-SAC_+299.788_850000",
     "RA-SAC",
     DEFT_WIRING_DELAYED,
     {"delayed-wiring", "untrained-encoder", "previous-action", "stochastic-head"}},
    {"aug_act_net_QuaidSIM-v4_RA-TD3_+614.464_500000",
     "RA-TD3",
     DEFT_WIRING_DELAYED,
     {"delayed-wiring", "untrained-encoder", "previous-action"}},
    {"with_gru_act_net_QuaidSIM-v4_RA-SAC_+299.788_850000",
     "RA-SAC",
     DEFT_WIRING_CASCADE,
     {"untrained-encoder", "quiet-state", "stochastic-head"}},
};
enum { N_ALL = sizeof all / sizeof all[0] };

static bool has(const deft_warning *w, int32_t n, const char *code)
{
    for (int32_t i = 0; i < n; i++)
        if (strcmp(w[i].code, code) == 0) return true;
    return false;
}

static void check_lint(const expected *e, const deft_model *m, const deft_graph *g, deft_arena *a)
{
    const deft_warning *w = NULL;
    const int32_t n = deft_model_lint(m, g, a, &w);
    CHECK(n >= 0, "%s: lint %d", e->file, (int)n);
    for (int i = 0; i < 4 && e->code[i]; i++)
        CHECK(has(w, n, e->code[i]), "%s: no %s", e->file, e->code[i]);
    CHECK(has(w, n, "delayed-wiring") == (e->wiring == DEFT_WIRING_DELAYED), "%s", e->file);
    printf("%s\n", e->file);
    for (int32_t i = 0; i < n; i++) printf("  %s: %s\n", w[i].code, w[i].text);
}

/* Columns prefix0, prefix1, ... of the header; how many of them there are. */
static int find_columns(const char *header, const char *prefix, int n, int *column)
{
    char line[LINE], *save = NULL;
    int found = 0, k = 0;
    (void)snprintf(line, sizeof line, "%s", header);
    for (char *p = strtok_r(line, ",\r\n", &save); p; p = strtok_r(NULL, ",\r\n", &save), k++) {
        char *end = NULL;
        if (strncmp(p, prefix, strlen(prefix)) != 0) continue;
        const long i = strtol(p + strlen(prefix), &end, 10);
        if (end == p + strlen(prefix) || *end || i < 0 || i >= n) continue;
        column[i] = k;
        found++;
    }
    return found;
}

static void read_row(char *line, const int *column, int n, float *x)
{
    for (int i = 0; i < n; i++) {
        char *p = line;
        for (int k = 0; k < column[i]; k++) p = strchr(p, ',') + 1;
        x[i] = strtof(p, NULL);
    }
}

static int32_t top_cell(const deft_model *m)
{
    int32_t top = -1;
    for (int32_t k = 0; k < m->n_layer; k++)
        if (m->layer[k].kind == DEFT_LAYER_GRU) top = k;
    return top;
}

/* Open loop: the recorded observations and previous actions; the largest difference of actions and,
 * where there is an encoder, of its top layer's state. */
static float open_loop(const deft_model *m, FILE *f)
{
    char line[LINE];
    int obs_at[N_OBS], act_at[N_ACT], h_at[N_H];
    deft_error err = {0};
    deft_model_eval *e = NULL;
    if (!fgets(line, sizeof line, f) || find_columns(line, "obs", N_OBS, obs_at) != N_OBS ||
        find_columns(line, "act", N_ACT, act_at) != N_ACT)
        return INFINITY;
    const int32_t top = top_cell(m);
    const int n_h = find_columns(line, "h2_", N_H, h_at);
    CHECK(n_h == (top < 0 ? 0 : N_H), "%d columns of h2", n_h);
    CHECK_OK(deft_model_eval_create(m, &e, &err), err);
    float worst = e ? 0 : INFINITY, obs[N_OBS], want[N_ACT], h[N_H], prev[N_ACT] = {0}, act[N_ACT];
    int rows = 0;
    for (; e && fgets(line, sizeof line, f); rows++) {
        read_row(line, obs_at, N_OBS, obs);
        read_row(line, act_at, N_ACT, want);
        read_row(line, h_at, n_h, h);
        CHECK(deft_model_eval_step(e, obs, prev, act) == DEFT_OK, "row %d", rows);
        for (int i = 0; i < N_ACT; i++) worst = fmaxf(worst, fabsf(act[i] - want[i]));
        for (int i = 0; i < n_h; i++)
            worst = fmaxf(worst, fabsf(deft_model_eval_layer(e, top)[i] - h[i]));
        memcpy(prev, want, sizeof prev);
    }
    CHECK(rows == ROWS, "%d rows", rows);
    deft_model_eval_destroy(e);
    return worst;
}

static void check_graph(const expected *e)
{
    char path[4400], name[256];
    deft_error err = {0};
    deft_graph *g = NULL;
    deft_model *m = NULL;
    const deft_understand_options opt = {0};
    float worst = 1;
    (void)snprintf(name, sizeof name, "models/onnx/%s.onnx", e->file);
    if (!check_reference(path, sizeof path, name)) CHECK_SKIP("no reference policies");
    deft_arena *a = deft_arena_create(0);
    CHECK_OK(deft_onnx_read_file(path, a, &g, &err), err);
    if (g) CHECK_OK(deft_understand(g, &opt, &m, &err), err);
    if (m) {
        CHECK_OK(deft_verify(g, m, 200, 1e-5f, 1, &worst, &err), err);
        CHECK(deft_model_wiring(m) == e->wiring, "%s", deft_wiring_name(deft_model_wiring(m)));
        check_lint(e, m, g, a);
        CHECK(deft_model_rewire(m, &err) == (e->wiring == DEFT_WIRING_DELAYED ? 2 : 0), "rewire");
        CHECK_OK(deft_model_set_contract(m, "quaid-normalised", &err), err);
        (void)snprintf(name, sizeof name, "golden/%s.csv", e->golden);
        FILE *f = check_reference(path, sizeof path, name) ? fopen(path, "r") : NULL;
        const float off = f ? open_loop(m, f) : INFINITY;
        CHECK(off <= 1e-5f, "%s is off by %g", e->file, (double)off);
        printf("  verified to %g, golden to %g\n", (double)worst, (double)off);
        if (f) (void)fclose(f);
    }
    deft_arena_destroy(a);
}

int main(void)
{
    for (int i = 0; i < N_ALL; i++) check_graph(&all[i]);
    return check_report();
}
