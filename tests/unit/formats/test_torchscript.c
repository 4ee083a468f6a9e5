/* test_torchscript.c - TorchScript archives: PyTorch's answers, by the graph and by the policy that
 * is understood from it; what is refused, and with which words. */
#include "check.h"

#include "formats/torch_script.h"

#include <dirent.h>
#include <math.h>
#include <regex.h>
#include <string.h>

enum { MOST = 1024, LINE = 32768, ROWS = 12 };

static const char folder[] = "tests/golden/torchscript";

static deft_status read_program(const char *name, int32_t n_obs, deft_arena *a, deft_graph **out,
                                deft_error *err)
{
    char relative[512], path[4400];
    deft_bytes bytes;
    (void)snprintf(relative, sizeof relative, "%s/%s.pt", folder, name);
    const deft_torchscript_options opt = {.n_obs = n_obs};
    const deft_status s =
        deft_file_read(check_source(path, sizeof path, relative), 0, a, &bytes, err);
    return s == DEFT_OK ? deft_torchscript_read(bytes, path, &opt, a, out, err) : s;
}

/* --- PyTorch's answers ----------------------------------------------------------------------- */

typedef struct player {
    const char *name;
    const deft_graph *g;
    const deft_model *m;
    deft_graph_eval *eval;
    deft_model_eval *model;
    deft_tensor in[16];
    int n_obs, n_act;
} player;

static int split_row(char *line, float *cell)
{
    int n = 0;
    for (char *p = line; n < MOST && *p && *p != '\n'; n++) {
        cell[n] = strtof(p, &p);
        if (*p == ',') p++;
    }
    return n;
}

/* One step of the graph: observations in their order, states from the step before. */
static void step_graph(player *p, const float *cell, const float *act)
{
    const deft_tensor *out[MOST];
    deft_error err = {0};
    if (!p->m) memcpy(p->in[0].data, cell, (size_t)p->in[0].count * sizeof(float));
    for (int32_t i = 0; p->m && i < p->g->n_input; i++)
        if (p->m->port[i].kind == DEFT_PORT_OBS)
            memcpy(p->in[i].data, cell + p->m->port[i].index,
                   (size_t)p->in[i].count * sizeof(float));
    CHECK_OK(deft_graph_eval_run(p->eval, p->in, out, &err), err);
    const deft_tensor *y = out[0];
    const int64_t n_act = p->n_act;
    CHECK(y->count == n_act, "%s: %d actions", p->name, (int)y->count);
    for (int64_t k = 0; k < n_act && k < y->count && k < MOST; k++) {
        const float v = y->dtype == DEFT_F32 ? ((const float *)y->data)[k]
                                             : (float)((const int64_t *)y->data)[k];
        CHECK(fabsf(v - act[k]) <= 1e-5f * (1 + fabsf(act[k])), "%s: graph: act%d is %g, not %g",
              p->name, (int)k, (double)v, (double)act[k]);
    }
    for (int32_t i = 0; p->m && i < p->g->n_input; i++)
        if (p->m->port[i].kind == DEFT_PORT_STATE)
            memcpy(p->in[i].data, out[p->m->port[i].index]->data,
                   (size_t)p->in[i].count * sizeof(float));
}

static void play(player *p)
{
    char relative[512], path[4400], line[LINE];
    float cell[MOST], act[MOST];
    (void)snprintf(relative, sizeof relative, "%s/%s.csv", folder, p->name);
    FILE *csv = fopen(check_source(path, sizeof path, relative), "r");
    CHECK(csv != NULL, "%s", path);
    const int n_obs = p->n_obs, n_act = p->n_act;
    int rows = 0;
    if (csv && !fgets(line, sizeof line, csv)) rows = -1;
    while (csv && rows >= 0 && fgets(line, sizeof line, csv)) {
        const int n = split_row(line, cell);
        CHECK(n == n_obs + n_act, "%s: %d columns for %d and %d", p->name, n, n_obs, n_act);
        if (n != n_obs + n_act) break;
        if (p->m) CHECK(deft_model_eval_step(p->model, cell, NULL, act) == DEFT_OK, "%s", p->name);
        for (int k = 0; p->m && k < n_act; k++)
            CHECK(fabsf(act[k] - cell[n_obs + k]) <= 1e-5f * (1 + fabsf(cell[n_obs + k])),
                  "%s: row %d: act%d is %g, not %g", p->name, rows, k, (double)act[k],
                  (double)cell[n_obs + k]);
        step_graph(p, cell, cell + n_obs);
        rows++;
    }
    CHECK(rows == ROWS, "%s: %d rows", p->name, rows);
    if (csv) (void)fclose(csv);
}

/* Programs named graph_... are no policies: only the graph is run. */
static void check_golden(const char *name)
{
    deft_arena *a = deft_arena_create(0);
    deft_error err = {0};
    deft_graph *g = NULL;
    deft_model *m = NULL;
    float worst = 0;
    player p = {.name = name};
    const bool policy = strncmp(name, "graph_", 6) != 0;
    CHECK_OK(read_program(name, 0, a, &g, &err), err);
    if (g && policy) CHECK_OK(deft_understand(g, NULL, &m, &err), err);
    if (m) CHECK_OK(deft_verify(g, m, 200, 1e-5f, 1, &worst, &err), err);
    if (g) CHECK_OK(deft_graph_eval_create(g, &p.eval, &err), err);
    if (m) CHECK_OK(deft_model_eval_create(m, &p.model, &err), err);
    if (p.eval && (m || !policy) && g->n_input <= 16) {
        p.g = g;
        p.m = m;
        p.n_obs = m ? m->contract.n_obs : (int)g->input[0].dim[1];
        p.n_act = m ? m->contract.n_act : (int)g->output[0].dim[1];
        for (int32_t i = 0; i < g->n_input; i++)
            CHECK(deft_tensor_init(&p.in[i], DEFT_F32, g->input[i].rank, g->input[i].dim, a) ==
                      DEFT_OK,
                  "%s", name);
        play(&p);
    }
    deft_graph_eval_destroy(p.eval);
    deft_model_eval_destroy(p.model);
    deft_arena_destroy(a);
}

/* --- refusals -------------------------------------------------------------------------------- */

static bool matches(const char *pattern, const char *text)
{
    regex_t r;
    if (regcomp(&r, pattern, REG_EXTENDED | REG_NOSUB) != 0) return false;
    const bool found = regexec(&r, text, 0, NULL, 0) == 0;
    regfree(&r);
    return found;
}

static void check_refused(const char *name)
{
    char relative[512], path[4400], pattern[512];
    deft_arena *a = deft_arena_create(0);
    deft_error err = {0};
    deft_graph *g = NULL;
    deft_model *m = NULL;
    (void)snprintf(relative, sizeof relative, "%s/%s.txt", folder, name);
    FILE *f = fopen(check_source(path, sizeof path, relative), "r");
    CHECK(f && fgets(pattern, sizeof pattern, f), "%s", path);
    if (f) (void)fclose(f);
    pattern[strcspn(pattern, "\n")] = '\0';
    deft_status s = read_program(name, 0, a, &g, &err);
    if (s == DEFT_OK && g) s = deft_understand(g, NULL, &m, &err);
    CHECK(s == DEFT_E_UNSUPPORTED, "%s: status %d: %s", name, (int)s, err.text);
    CHECK(matches(pattern, err.text), "%s: '%s' is not '%s'", name, err.text, pattern);
    deft_arena_destroy(a);
}

static void check_folder(void)
{
    char path[4400];
    int golden = 0, refused = 0;
    DIR *d = opendir(check_source(path, sizeof path, folder));
    CHECK(d != NULL, "%s", path);
    for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
        char name[256];
        (void)snprintf(name, sizeof name, "%s", e->d_name);
        char *dot = strrchr(name, '.');
        if (!dot || dot == name) continue;
        const bool csv = strcmp(dot, ".csv") == 0, txt = strcmp(dot, ".txt") == 0;
        *dot = '\0';
        if (csv) check_golden(name);
        if (txt) check_refused(name);
        golden += csv;
        refused += txt;
    }
    if (d) (void)closedir(d);
    CHECK(golden >= 52 && refused >= 12, "%d answers and %d refusals", golden, refused);
}

/* Where the size is open, the user says it. */
static void check_size_said(void)
{
    deft_arena *a = deft_arena_create(0);
    deft_error err = {0};
    deft_graph *g = NULL;
    CHECK_OK(read_program("reads_last", 9, a, &g, &err), err);
    CHECK(g && g->input[0].dim[1] == 9, "the input has another width");
    CHECK(read_program("mlp_scripted", 9, a, &g, &err) != DEFT_OK, "9 observations fit");
    CHECK(strstr(err.text, "9 inputs for a layer of 6"), "%s", err.text);
    deft_arena_destroy(a);
}

/* Checkpoints have no program. */
static void check_no_program(void)
{
    static const char *const names[] = {"mlp_state_dict", "sb3_ppo_zip", "ra_actor",
                                        "whole_module"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char relative[512], path[4400];
        deft_arena *a = deft_arena_create(0);
        deft_error err = {0};
        deft_bytes bytes;
        deft_graph *g = NULL;
        (void)snprintf(relative, sizeof relative, "tests/golden/checkpoints/%s.pt", names[i]);
        CHECK_OK(deft_file_read(check_source(path, sizeof path, relative), 0, a, &bytes, &err),
                 err);
        CHECK_OK(deft_torchscript_read(bytes, path, NULL, a, &g, &err), err);
        CHECK(g == NULL, "%s has a program", names[i]);
        deft_arena_destroy(a);
    }
}

/* --- text ------------------------------------------------------------------------------------ */

static deft_status parse(const char *text, deft_error *err)
{
    deft_arena *a = deft_arena_create(0);
    ts_names names = {.a = a};
    ts_text t = {.name = "code/x.py", .bytes = {(const uint8_t *)text, strlen(text)}};
    ts_file f = {0};
    *err = (deft_error){DEFT_OK, ""};
    deft_status s = ts_lex(&t, &names, a, err);
    if (s == DEFT_OK) s = ts_parse(&t, &names, a, &f, err);
    deft_arena_destroy(a);
    return s;
}

static void check_syntax(void)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"def f(x: Tensor) -> Tensor:\n  return x\n", ""},
        {"op_version_set = 1\nimport __torch__.a.b\nclass A(Module):\n  pass\n", ""},
        {"class A(Module):\n  __parameters__ = [\"a\", ]\n  a : Tensor\n  b : Final[float] = -1.\n"
         "  def f(s: A,\n      x: Tensor=None) -> Tuple[Tensor, int]:\n    y, z, = (x)[0]\n"
         "    if torch.eq(y, 1):\n      pass\n    elif z:\n      q = {\"a\": 1, }\n    else:\n"
         "      s.a = y\n    for i in range(3):\n      w = ()\n    return (x, 1)\n",
         ""},
        {"def f(x):\n  return x +\n", "code/x.py:2: '+' is not expected"},
        {"def f(x):\n  return [x\n", "code/x.py:3: expected ',' or a closing bracket"},
        {"def f(x):\nreturn x\n", "code/x.py:2: expected an indented block, not 'return'"},
        {"def f(x):\n    y = x\n  return x\n", "code/x.py:3: the indentation fits no block"},
        {"def f(x):\n  y = \"abc\n", "code/x.py:2: a string does not end"},
        {"def f(x):\n  y = 12ab\n", "code/x.py:2: a number that is not one"},
        {"def f(x):\n  y = 99999999999999999999\n", "code/x.py:2: a number that is not one"},
        {"x = 1\n", "code/x.py:1: expected 'class' or 'def', not 'x'"},
        {"def f(x):\n  yield x\n", "code/x.py:2: expected"},
        {"def f(x):\n  y = x.1\n", "code/x.py:2: expected"},
        {"class A", "code/x.py:1: expected ':', not the end of the line"},
        {"def", "code/x.py:1: expected the name of a function, not the end of the line"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        deft_error err;
        const deft_status s = parse(cases[i].text, &err);
        CHECK((s == DEFT_OK) == !*cases[i].error && strstr(err.text, cases[i].error),
              "case %zu: '%s'", i, err.text);
    }
}

/* Deep nesting is an error, not a deep stack. */
static void check_nesting(void)
{
    enum { N = 100000 };
    char *text = malloc(4 * N + 64);
    deft_error err;
    if (!text) return;
    for (int kind = 0; kind < 3; kind++) {
        size_t at = (size_t)sprintf(text, "def f(x):\n  y = ");
        for (int i = 0; i < N; i++) text[at++] = "([-"[kind];
        text[at] = '\0';
        CHECK(parse(text, &err) == DEFT_E_UNSUPPORTED && err.text[0], "kind %d: %s", kind,
              err.text);
    }
    size_t at = (size_t)sprintf(text, "def f(x):\n  y = x");
    for (int i = 0; i < N; i++) at += (size_t)sprintf(text + at, ".a");
    CHECK(parse(text, &err) == DEFT_E_UNSUPPORTED, "%s", err.text);
    free(text);
}

int main(void)
{
    check_syntax();
    check_nesting();
    check_folder();
    check_size_said();
    check_no_program();
    return check_report();
}
