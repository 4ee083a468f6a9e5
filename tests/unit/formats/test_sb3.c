/* test_sb3.c - archives of Stable-Baselines3 with what predict(deterministic=True) answers
 * (formulas in tools/make_sb3_fixtures.py), and those that are refused by name. */
#include "check.h"
#include "deft/formats.h"

#include <math.h>
#include <string.h>

enum { MOST = 64, LINE = 4096, STEPS = 8 };

typedef struct fixture {
    const char *name;
    deft_assemble_options opt;
    bool normaliser; // NAME.pkl
} fixture;

static const fixture fixtures[] = {
    {"ppo_clipped", {0}, false},
    {"ppo_texts_only", {0}, false},
    {"ppo_mish", {0}, false},
    {"ppo_no_hidden", {0}, false},
    {"ppo_shared", {0}, false},
    {"ppo_squashed", {0}, false},
    {"ppo_matrix", {0}, false},
    {"ppo_discrete", {0}, false},
    {"ppo_discrete", {.discrete = true}, false}, // it says so itself
    {"ppo_multi_discrete", {.logits = true}, false},
    {"ppo_dict", {0}, false},
    {"ppo_dict_texts", {0}, false},
    {"recurrent_ppo", {0}, false},
    {"sac_scaled", {0}, false},
    {"sac_scaled", {.activation = "relu"}, false},
    {"sac_gsde", {0}, false},
    {"tqc_clip_mean", {0}, false},
    {"crossq", {0}, false},
    {"td3", {0}, false},
    {"dqn", {0}, false},
    {"qrdqn", {0}, false},
    {"ars_linear", {0}, false},
    {"ars_mlp", {0}, false},
    {"ars_clipped", {0}, false},
    {"vecnormalize", {0}, true},
    {"vecnormalize_dict", {0}, true},
    {"vecnormalize_off", {0}, true},
    {"custom_activation", {.activation = "elu"}, false},
    {"no_kwargs", {.activation = "tanh"}, false},
};

static const char *path_of(const char *name, const char *kind, char *path, size_t n)
{
    char relative[256];
    (void)snprintf(relative, sizeof relative, "tests/golden/sb3/%s%s", name, kind);
    return check_source(path, n, relative);
}

static deft_status read_archive(const char *name, deft_arena *a, deft_checkpoint **c,
                                deft_error *err)
{
    char path[4400];
    deft_bytes b = {0};
    const char *p = path_of(name, ".zip", path, sizeof path);
    const deft_status s = deft_file_read(p, 0, a, &b, err);
    return s == DEFT_OK ? deft_torch_read(b, p, a, c, err) : s;
}

static deft_status read_normaliser(const char *name, deft_arena *a, deft_normaliser **n,
                                   deft_error *err)
{
    char path[4400];
    deft_bytes b = {0};
    const char *p = path_of(name, ".pkl", path, sizeof path);
    const deft_status s = deft_file_read(p, 0, a, &b, err);
    return s == DEFT_OK ? deft_normaliser_read(b, p, a, n, err) : s;
}

static int split_row(char *line, float *cell)
{
    int n = 0;
    for (char *p = line; n < MOST && *p && *p != '\n'; n++) {
        cell[n] = strtof(p, &p);
        if (*p == ',') p++;
    }
    return n;
}

static void run(const deft_model *m, const char *name)
{
    char path[4400], line[LINE];
    float cell[MOST], act[MOST];
    deft_error err = {0};
    deft_model_eval *e = NULL;
    FILE *csv = fopen(path_of(name, ".csv", path, sizeof path), "r");
    CHECK(csv != NULL, "%s", path);
    CHECK_OK(deft_model_eval_create(m, &e, &err), err);
    const int n_obs = m->contract.n_obs, n_act = m->contract.n_act;
    int rows = 0;
    if (csv && fgets(line, sizeof line, csv)) {
        while (e && fgets(line, sizeof line, csv)) {
            const int n = split_row(line, cell);
            CHECK(n == n_obs + n_act, "%s: %d columns for %d inputs and %d actions", name, n, n_obs,
                  n_act);
            if (n != n_obs + n_act) break;
            CHECK(deft_model_eval_step(e, cell, NULL, act) == DEFT_OK, "%s", name);
            for (int k = 0; k < n_act; k++)
                CHECK(fabsf(act[k] - cell[n_obs + k]) <= 1e-5f, "%s: row %d: act%d %g, not %g",
                      name, rows, k, (double)act[k], (double)cell[n_obs + k]);
            rows++;
        }
    }
    CHECK(rows == STEPS, "%s: %d rows", name, rows);
    if (csv) (void)fclose(csv);
    deft_model_eval_destroy(e);
}

/* Nothing is assumed: the archive says it all. */
static void check_fixture(const fixture *f)
{
    deft_arena *a = deft_arena_create(0), *b = deft_arena_create(0);
    deft_error err = {0};
    deft_checkpoint *c = NULL;
    deft_normaliser *n = NULL;
    deft_model *m = NULL;
    deft_assemble_options opt = f->opt;
    CHECK_OK(read_archive(f->name, b, &c, &err), err);
    if (f->normaliser) CHECK_OK(read_normaliser(f->name, b, &n, &err), err);
    opt.normaliser = n;
    if (c) CHECK_OK(deft_assemble(c, NULL, &opt, a, &m, &err), err);
    deft_arena_destroy(b);
    if (m) run(m, f->name);
    if (m) CHECK(m->n_assumption == 0, "%s: %s", f->name, m->assumption[0]);
    deft_arena_destroy(a);
}

typedef struct refusal {
    const char *name;
    deft_assemble_options opt;
    const char *normaliser; // of which fixture, NULL: none
    deft_status status;
    const char *text;
} refusal;

static const refusal refusals[] = {
    {"custom_extractor", {0}, NULL, DEFT_E_UNSUPPORTED, "'my.nets.Extractor'"},
    {"custom_policy", {0}, NULL, DEFT_E_UNSUPPORTED, "'my.nets.Policy'"},
    {"custom_activation", {0}, NULL, DEFT_E_UNSUPPORTED, "'my.nets.Act'"},
    {"one_hot", {0}, NULL, DEFT_E_UNSUPPORTED, "one-hot"},
    {"image", {0}, NULL, DEFT_E_UNSUPPORTED, "images"},
    {"contradiction", {0}, NULL, DEFT_E_MISMATCH, "contradict"},
    {"two_limits", {0}, NULL, DEFT_E_MISMATCH, "'action_space'"},
    {"no_kwargs", {0}, NULL, DEFT_E_ARG, "--activation tanh"},
    {"ppo_multi_discrete", {0}, NULL, DEFT_E_UNSUPPORTED, "--logits"},
    {"ppo_clipped", {.logits = true}, NULL, DEFT_E_ARG, "continuous"},
    {"ppo_clipped", {.discrete = true}, NULL, DEFT_E_ARG, "continuous"},
    {"ppo_clipped", {.activation = "relu"}, NULL, DEFT_E_ARG, "says another"},
    {"ppo_clipped", {.activation = "cosine"}, NULL, DEFT_E_ARG, "unknown activation"},
    {"ppo_clipped", {.squash = "tanh"}, NULL, DEFT_E_ARG, "--squash"},
    {"ppo_clipped", {.arch = "dense:3"}, NULL, DEFT_E_ARG, "--arch"},
    {"ppo_matrix", {0}, "vecnormalize", DEFT_E_MISMATCH, "4 numbers"},
    {"ppo_clipped", {0}, "vecnormalize_dict", DEFT_E_MISMATCH, "parts"},
    {"ppo_dict", {0}, "vecnormalize", DEFT_E_MISMATCH, "parts"},
};

static void check_refusal(const refusal *r)
{
    deft_arena *a = deft_arena_create(0);
    deft_error err = {0};
    deft_checkpoint *c = NULL;
    deft_normaliser *n = NULL;
    deft_model *m = NULL;
    deft_assemble_options opt = r->opt;
    deft_status s = read_archive(r->name, a, &c, &err);
    if (s == DEFT_OK && r->normaliser) s = read_normaliser(r->normaliser, a, &n, &err);
    opt.normaliser = n;
    if (s == DEFT_OK) s = deft_assemble(c, NULL, &opt, a, &m, &err);
    CHECK(s == r->status && strstr(err.text, r->text) && strstr(err.text, r->name), "%s: %d: %s",
          r->name, (int)s, err.text);
    deft_arena_destroy(a);
}

/* Parts of a Dict are named, in the order that the policy reads. */
static void check_names(deft_arena *a)
{
    static const char *const want[] = {"velocity.0", "velocity.1", "velocity.2",
                                       "goal.0",     "goal.1",     "angle.0"};
    deft_error err = {0};
    deft_checkpoint *c = NULL;
    deft_model *m = NULL;
    CHECK_OK(read_archive("ppo_dict", a, &c, &err), err);
    if (c) CHECK_OK(deft_assemble(c, NULL, NULL, a, &m, &err), err);
    for (int k = 0; m && k < 6; k++)
        CHECK(strcmp(m->contract.obs_name[k], want[k]) == 0, "%s", m->contract.obs_name[k]);
}

/* Cut or changed anywhere, a normaliser is refused or read, and nothing else happens. */
static void check_damage(deft_arena *a)
{
    char path[4400];
    deft_error err = {0};
    deft_bytes b = {0};
    deft_normaliser *n = NULL;
    CHECK_OK(deft_file_read(path_of("vecnormalize", ".pkl", path, sizeof path), 0, a, &b, &err),
             err);
    for (size_t size = 0; size < b.size; size++) {
        err = (deft_error){0};
        CHECK(deft_normaliser_read((deft_bytes){b.data, size}, "cut", a, &n, &err) != DEFT_OK &&
                  err.text[0] && !n,
              "%zu bytes", size);
    }
    static const char not_one[] = "\x80\x04}\x94.";
    CHECK(deft_normaliser_read((deft_bytes){(const uint8_t *)not_one, 5}, "x", a, &n, &err) ==
                  DEFT_E_UNSUPPORTED &&
              strstr(err.text, "no VecNormalize"),
          "%s", err.text);
}

static void check_explanations(void)
{
    static const struct {
        const char *bytes;
        size_t n;
        const char *text; // NULL: not known
    } cases[] = {
        {"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4501\n", 68,
         "4501 bytes"},
        {"version https://git-lfs.github.com/spec/v1\n", 43, "git lfs pull"},
        {"\x89HDF\r\n\x1a\n....", 12, "HDF5"},
        {"\x1f\x8b\x08", 3, "gzip"},
        {"\x80\x04\x95VecNormalize", 15, "--normalizer"},
        {"\x80\x04}.", 4, "bare pickle"},
        {"<!DOCTYPE html>", 15, "web page"},
        {"hello", 5, NULL},
        {"", 0, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[400];
        const deft_bytes b = {(const uint8_t *)cases[i].bytes, cases[i].n};
        const char *s = deft_format_explain(b, text, sizeof text);
        CHECK(cases[i].text ? s && strstr(s, cases[i].text) : !s, "case %zu: %s", i,
              s ? s : "none");
    }
}

int main(void)
{
    deft_arena *a = deft_arena_create(0);
    for (size_t i = 0; i < sizeof fixtures / sizeof *fixtures; i++) check_fixture(&fixtures[i]);
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) check_refusal(&refusals[i]);
    check_names(a);
    check_damage(a);
    check_explanations();
    deft_arena_destroy(a);
    return check_report();
}
