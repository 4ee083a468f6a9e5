/* test_assemble.c - checkpoints as frameworks save them, assembled and run: PyTorch's answers. */
#include "checkpoint_files.h"

#include <math.h>
#include <string.h>

enum { MOST = 64, LINE = 4096 };

typedef struct fixture {
    const char *name, *encoder;
    deft_assemble_options opt;
    const char *asked;   // the options that the error proposes, NULL: nothing is missing
    const char *assumed; // a part of what must have been noted, NULL: any
} fixture;

static const fixture fixtures[] = {
    {"mlp_state_dict",
     NULL,
     {0},
     "--activation relu --squash tanh ",
     "hidden activation: --activation"},
    {"mlp_state_dict",
     NULL,
     {.activation = "relu", .squash = "tanh"},
     NULL,
     "by their names and widths"},
    {"mlp_state_dict", NULL, {.activation = "relu"}, "pt --squash tanh ", NULL},
    {"mlp_state_dict", NULL, {.squash = "tanh"}, "pt --activation relu ", NULL},
    {"mlp_deep_sorted", NULL, {0}, "--activation relu --squash tanh ", NULL},
    {"mlp_batchnorm", NULL, {0}, "--activation relu --squash tanh ", "epsilon"},
    {"layernorm_after_activation", NULL, {0}, "--activation relu --squash tanh ", NULL},
    {"layernorm_after_activation",
     NULL,
     {.arch = "dense:16:relu,layernorm,dense:16:none,layernorm:16:relu,dense:3", .squash = "tanh"},
     NULL,
     "epsilon"},
    {"sb3_sac", NULL, {0}, "--activation relu --squash tanh ", NULL},
    {"sb3_td3", NULL, {0}, "--activation relu --squash tanh ", "the actions go through: --squash"},
    {"sb3_dqn", NULL, {0}, "--discrete --activation relu ", "whether the largest output"},
    {"sb3_dqn", NULL, {.discrete = true, .activation = "relu"}, NULL, "by their names"},
    {"cleanrl_sac", NULL, {0}, "--activation relu --squash tanh ", "action_scale"},
    {"sac_separate_heads", NULL, {0}, "--activation relu --squash tanh ", NULL},
    {"cleanrl_ppo", NULL, {0}, "--activation tanh --squash none ", NULL},
    {"rsl_rl_gru",
     NULL,
     {0},
     "pt --activation elu (",
     "normalised by 'model_state_dict.actor_obs_normalizer'"},
    {"rsl_rl_lstm", NULL, {.activation = "elu"}, NULL, "rsl_rl"},
    {"rsl_rl_5", NULL, {0}, "pt --activation elu (", "as in rsl_rl"},
    {"rsl_rl_5_gru", NULL, {.activation = "elu"}, NULL, "as in rsl_rl"},
    {"memory_last",
     NULL,
     {.arch = "gru:8,dense:16,dense:12,dense:3", .activation = "elu"},
     NULL,
     "as in rsl_rl"},
    {"sample_factory",
     NULL,
     {0},
     "--arch dense:8,gru:8,dense:3 --activation elu --squash none ",
     "'model.returns_normalizer' of 1 values are left out"},
    {"skrl_agent", NULL, {0}, "--activation elu --squash none ", "by 'state_preprocessor'"},
    {"rl_games", NULL, {0}, "--activation elu --squash clip ", "clip"},
    {"gru_cell", NULL, {0}, "pt --squash tanh ", NULL},
    {"sb3_recurrent_ppo", NULL, {0}, "--activation tanh --squash none ", NULL},
    {"aug_gru_cells", NULL, {0}, "--activation relu --squash tanh ", "gru cells.2.x2h (8-8)"},
    {"aug_gru_lists", NULL, {0}, "--activation relu --squash tanh ", "gru x2h.1 (8-8)"},
    {"ra_actor",
     "ra_encoder",
     {0},
     "--encoder ENCODER --input concat --arch gru:8,gru:8,gru:8,dense:16,dense:3 --activation relu "
     "--squash tanh ",
     "half of the outputs are spreads"},
    {"ra_actor",
     "ra_encoder",
     {.arch = "gru:8x3,dense:16,dense:3",
      .input = "concat",
      .activation = "relu",
      .squash = "tanh"},
     NULL,
     ""},
    {"script_traced", NULL, {0}, NULL, "epsilon"},
    {"script_scripted", NULL, {0}, NULL, "slope"},
    {"script_package", NULL, {0}, NULL, NULL},
    {"whole_module", NULL, {0}, NULL, NULL},
    {"legacy_policy", NULL, {0}, "--activation relu --squash tanh ", NULL},
    {"legacy_module", NULL, {0}, NULL, NULL},
    {"half_and_bfloat", NULL, {0}, "--activation relu --squash tanh ", NULL},
    {"views", NULL, {0}, "--activation relu --squash tanh ", NULL},
    {"sac_safetensors", NULL, {0}, "--activation relu --squash tanh ", NULL},
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

static void run(const deft_model *m, const char *name)
{
    char relative[256], path[4400], line[LINE];
    float cell[MOST], act[MOST];
    deft_error err = {0};
    deft_model_eval *e = NULL;
    (void)snprintf(relative, sizeof relative, "tests/golden/checkpoints/%s.csv", name);
    FILE *csv = fopen(check_source(path, sizeof path, relative), "r");
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
    CHECK(rows == 20, "%s: %d rows", name, rows);
    if (csv) (void)fclose(csv);
    deft_model_eval_destroy(e);
}

static bool assumed(const deft_model *m, const char *text)
{
    for (int32_t i = 0; i < m->n_assumption; i++)
        if (strstr(m->assumption[i], text)) return true;
    return false;
}

/* Without --assume nothing is guessed: what is missing is named, and with what is likely. */
static void check_asked(const fixture *f, const deft_checkpoint *actor,
                        const deft_checkpoint *encoder, deft_arena *a)
{
    deft_error err = {0};
    deft_model *m = NULL;
    const deft_status s = deft_assemble(actor, encoder, &f->opt, a, &m, &err);
    CHECK(s == (f->asked ? DEFT_E_ARG : DEFT_OK), "%s: status %d: %s", f->name, (int)s, err.text);
    CHECK(!f->asked || (!m && strstr(err.text, f->asked)), "%s: '%s' is not in: %s", f->name,
          f->asked, err.text);
}

static void check_fixture(const fixture *f)
{
    deft_arena *a = deft_arena_create(0), *b = deft_arena_create(0);
    deft_error err = {0};
    deft_checkpoint *actor = NULL, *encoder = NULL;
    deft_model *m = NULL;
    deft_assemble_options opt = f->opt;
    opt.assume = true;
    CHECK_OK(read_checkpoint(f->name, b, &actor, &err), err);
    if (f->encoder) CHECK_OK(read_checkpoint(f->encoder, b, &encoder, &err), err);
    if (actor) check_asked(f, actor, encoder, b);
    if (actor) CHECK_OK(deft_assemble(actor, encoder, &opt, a, &m, &err), err);
    deft_arena_destroy(b); // the model must not need the checkpoints any more
    if (m) {
        run(m, f->name);
        if (f->assumed && !f->assumed[0]) {
            CHECK(m->n_assumption == 0, "%s: noted: %s", f->name, m->assumption[0]);
        } else {
            CHECK(!f->assumed || assumed(m, f->assumed), "%s: '%s' is not noted", f->name,
                  f->assumed);
            CHECK(m->n_assumption > 0, "%s: nothing is noted", f->name);
        }
        for (int32_t i = 0; getenv("SHOW") && i < m->n_assumption; i++)
            printf("%s: %s\n", f->name, m->assumption[i]);
    }
    deft_arena_destroy(a);
}

typedef struct refusal {
    const char *name, *encoder;
    deft_assemble_options opt;
    deft_status status;
    const char *text;
} refusal;

static void check_refusals(void)
{
    static const refusal cases[] = {
        {"integers", NULL, {0}, DEFT_E_UNSUPPORTED, "no layers"},
        {"ra_actor", NULL, {.squash = "softmax"}, DEFT_E_ARG, "'softmax' is no tanh"},
        {"mlp_state_dict", NULL, {.activation = "cosine"}, DEFT_E_ARG, "no activation 'cosine'"},
        {"mlp_state_dict", NULL, {.arch = "dense:16,dense:13"}, DEFT_E_MISMATCH, "item 2"},
        {"mlp_state_dict", NULL, {.arch = "dense"}, DEFT_E_ARG, "needs a width"},
        {"mlp_state_dict", NULL, {.arch = "conv:3"}, DEFT_E_ARG, "'conv:3' is no dense"},
        {"mlp_state_dict", NULL, {.arch = "dense:16x200"}, DEFT_E_ARG, "too many"},
        {"mlp_state_dict", NULL, {.arch = "dense:16x"}, DEFT_E_ARG, "count"},
        {"mlp_state_dict", NULL, {.arch = "dense:99999999"}, DEFT_E_ARG, "width"},
        {"mlp_state_dict", NULL, {.arch = "gru:16:relu"}, DEFT_E_ARG, "cannot have"},
        {"mlp_state_dict", NULL, {.arch = ""}, DEFT_E_ARG, "is no dense"},
        {"mlp_state_dict", NULL, {.arch = "dense:16,"}, DEFT_E_ARG, "is no dense"},
        {"ra_actor", "ra_encoder", {.input = "encoder"}, DEFT_E_MISMATCH, "not 'encoder'"},
        {"ra_actor", "ra_encoder", {.input = "both"}, DEFT_E_ARG, "neither concat nor encoder"},
        {"sb3_sac", "ra_encoder", {0}, DEFT_E_MISMATCH, "takes 7 inputs"},
        {"sb3_ppo_zip", NULL, {.assume = true}, DEFT_E_UNSUPPORTED, "policy_class"},
        {"sb3_sac", NULL, {.logits = true}, DEFT_E_ARG, "--logits"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const refusal *r = &cases[i];
        deft_arena *a = deft_arena_create(0);
        deft_error err = {0};
        deft_checkpoint *actor = NULL, *encoder = NULL;
        deft_model *m = NULL;
        CHECK_OK(read_checkpoint(r->name, a, &actor, &err), err);
        if (r->encoder) CHECK_OK(read_checkpoint(r->encoder, a, &encoder, &err), err);
        if (actor) {
            const deft_status s = deft_assemble(actor, encoder, &r->opt, a, &m, &err);
            CHECK(s == r->status && strstr(err.text, r->text) && strstr(err.text, r->name),
                  "case %zu: status %d: %s", i, (int)s, err.text);
        }
        deft_arena_destroy(a);
    }
}

int main(void)
{
    for (size_t i = 0; i < sizeof fixtures / sizeof fixtures[0]; i++) check_fixture(&fixtures[i]);
    check_refusals();
    return check_report();
}
