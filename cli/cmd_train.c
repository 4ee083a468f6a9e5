/* deft train - TD3 and SAC, behind an encoder or not, in an environment. */
#include "cmd_train.h"
#include "deft/train_many.h"
#include "output.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AT(field)    offsetof(train_args, field)
#define PLACE(field) offsetof(train_args, place.field)
static const cli_opt run_opts[] = {
    {"algo", "NAME",
     "td3 (default), sac, and r-td3, r-sac (behind a GRU), ra-td3, ra-sac (which also "
     "sees the previous action); decides over the encoder of --config, too; several: a,b",
     CLI_TEXT, 'a', AT(algo), 0, 0},
    {"out", "RUN", "folder of the run", CLI_PATH, 'o', AT(out), 0, 0},
    {"resume", "RUN",
     "go on with a run from its last checkpoint, bit for bit; with --steps, to more than it was "
     "begun with",
     CLI_PATH, 0, AT(resume), 0, 0},
    {"config", "FILE.json",
     "settings to begin with, as in a run's config.json or some of them; options win; several: A,B",
     CLI_PATH, 0, AT(config), 0, 0},
    {"load", "POLICY", "begin with the weights of this policy (.onnx or .deft) of the same layers",
     CLI_PATH, 0, AT(load), 0, 0},
    {"steps", "N", "environment steps (default 100000)", CLI_SEED, 'n', AT(steps), 0, 0},
    {"seed", "S", "of everything that is random (default 0)", CLI_SEED, 0, AT(seed), 0, 0},
    {"threads", "N",
     "1, 2 (default: environments beside the learner) or 3 (critics apart, too); "
     "the result is the same",
     CLI_INT, 0, AT(threads), 1, 3},
    {"checkpoint", "MINUTES", "between two checkpoints (default 2)", CLI_REAL, 0,
     AT(checkpoint_minutes), 0.001, 1e6},
    {.kind = CLI_END},
};
static const cli_opt many_opts[] = {
    {"seeds", "N",
     "N runs, of seeds S, S+1, ..., in RUN/seed-S, ...; the same command goes on with them",
     CLI_INT, 0, AT(seeds), 1, 100000},
    {"jobs", "J",
     "runs at once (default: one a core; under mpirun or srun 1 for each rank); changes no number",
     CLI_INT, 'j', AT(jobs), 1, 1024},
    {"lease", "SECONDS",
     "take over a run whose process on another machine gave no sign for so long (default 60)",
     CLI_REAL, 0, AT(lease), 0.1, 1e6},
    {"json", NULL, "print the result or summary as JSON", CLI_FLAG, 0, AT(json), 0, 0},
    {.kind = CLI_END},
};
static const cli_opt learn_opts[] = {
    {"hidden", "W,W", "widths of hidden layers (default 256,256)", CLI_TEXT, 0, AT(hidden), 0, 0},
    {"activation", "relu|tanh|elu", "of hidden layers (default relu)", CLI_CHOICE, 0,
     AT(activation), 0, 0},
    {"encoder", "none|gru|lstm|stack|mlp", "in front of actor and critics (default: by --algo)",
     CLI_CHOICE, 0, AT(encoder), 0, 0},
    {"encoder-mode", "frozen|pretrained|trained",
     "random (default); taught by the warm-up to predict observations; or taught by the critics "
     "throughout",
     CLI_CHOICE, 0, AT(encoder_mode), 0, 0},
    {"encoder-layers", "N", "(default 3)", CLI_INT, 0, AT(encoder_layers), 1, 8},
    {"encoder-hidden", "N", "units of each (default 64)", CLI_INT, 0, AT(encoder_hidden), 1, 1024},
    {"stack", "N", "observations that a stack holds (default 4)", CLI_INT, 0, AT(stack), 1, 64},
    {"pretrain-steps", "N", "gradient steps of a pretrained encoder (default 2000)", CLI_INT, 0,
     AT(pretrain_steps), 1, 10000000},
    {"sequence", "N",
     "steps that encoders learn from at once; a batch has batch / N sequences (default 16)",
     CLI_INT, 0, AT(sequence), 1, 1024},
    {"burn-in", "N", "steps before those, to warm an encoder's state up (default 8)", CLI_INT, 0,
     AT(burn_in), 0, 1024},
    {"batch", "N", "rows of a gradient step (default 256)", CLI_INT, 0, AT(batch), 1, 65536},
    {"envs", "N", "environments side by side (default 4)", CLI_INT, 0, AT(envs), 1, 1024},
    {"updates", "X", "gradient steps for each environment step (default 1)", CLI_REAL, 0,
     AT(updates), 0.001, 100},
    {"warmup", "N", "first steps, with random actions (default 5000, or a quarter of all)",
     CLI_SEED, 0, AT(warmup), 0, 0},
    {"rate", "X", "learning rate of actor, critics and SAC's temperature (default 3e-4)", CLI_REAL,
     0, AT(rate), 1e-8, 1},
    {"gamma", "X", "discount (default 0.99)", CLI_REAL, 0, AT(gamma), 0.001, 1},
    {"n-step", "N", "rewards before the critic takes over (default 1)", CLI_INT, 0, AT(n_step), 1,
     64},
    {"noise", "SD", "exploration of TD3 (default 0.1)", CLI_REAL, 0, AT(noise), 0.0001, 10},
    {"normalize", NULL, "observations, by what the warm-up saw; folded into the policy", CLI_FLAG,
     0, AT(normalize), 0, 0},
    {"critic-hidden", "W,W", "widths of the critics' (default: as --hidden)", CLI_TEXT, 0,
     AT(critic_hidden), 0, 0},
    {"critic-dropout", "P", "share of the critics' hidden units left out", CLI_REAL, 0,
     AT(critic_dropout), 0.0001, 0.9},
    {"critic-norm", NULL, "LayerNorm in the critics", CLI_FLAG, 0, AT(critic_norm), 0, 0},
    {"eval-every", "N",
     "steps between evaluations, of which one is at the end; 0: none (default 10000)", CLI_SEED, 0,
     AT(eval_every), 0, 0},
    {"eval-episodes", "N", "of each evaluation (default 5)", CLI_INT, 0, AT(eval_episodes), 1,
     1000},
    {"eval-reward", "evaluation|paper",
     "quaid: evaluations count these weights, exact positions and 0.6 cm a step, whatever training "
     "does (default: what training does)",
     CLI_CHOICE, 0, AT(eval_reward), 0, 0},
    {"best-distance", "CM",
     "quaid: the best policy is the one that earns most of those that go so far (default: of all)",
     CLI_REAL, 0, AT(best_distance), 0.001, 1e6},
    {.kind = CLI_END},
};
static const cli_opt place_opts[] = {
    {"env", "quaid|pendulum|pendulum-angle", "environment (default quaid)", CLI_CHOICE, 0,
     PLACE(env), 0, 0},
    {"scene", "FILE|NAME", "quaid: an MJCF, or obstacle, flat, ... (default obstacle)", CLI_PATH, 0,
     PLACE(scene), 0, 0},
    {"reward", "evaluation|paper", "quaid: weights of the reward (default evaluation)", CLI_CHOICE,
     0, PLACE(reward), 0, 0},
    {"wire-reward", NULL, "quaid: positions in whole cm", CLI_FLAG, 0, PLACE(wire_reward), 0, 0},
    {"target-speed", "CM", "quaid: what the reward asks for, cm a step (default 0.6)", CLI_REAL, 0,
     PLACE(target_speed), 0.01, 10},
    {"heading", "RAD", "quaid: the commanded heading", CLI_REAL, 0, PLACE(heading), -3.2, 3.2},
    {"vary", "typical|NAME=X,...", "quaid: what varies, see docs/guide-environments.md", CLI_TEXT,
     0, PLACE(vary), 0, 0},
    {"max-steps", "N", "length of an episode", CLI_INT, 0, PLACE(max_steps), 1, 1000000},
    {.kind = CLI_END},
};
static const cli_group groups[] = {
    {"Run", run_opts, 0},
    {"Many runs", many_opts, 0},
    {"Learning", learn_opts, 0},
    {"Environment", place_opts, 0},
    {NULL, NULL, 0},
};

enum { NO_WARMUP = -1 }; // nobody has said how long it is

static bool parse_widths(const char *text, int32_t *width, int32_t *n)
{
    *n = 0;
    for (const char *p = text;; p++) {
        char *end;
        const long w = strtol(p, &end, 10);
        if (end == p || w < 1 || w > 4096 || *n == DEFT_TRAIN_HIDDEN) return false;
        width[(*n)++] = (int32_t)w;
        if (!*end) return true;
        if (*end != ',') return false;
        p = end;
    }
}

/* What the command line says, over what is there. */
static int apply(const train_args *a, deft_train_config *c)
{
    if (a->steps != NO_NUMBER) c->steps = (int64_t)a->steps;
    if (a->warmup != NO_NUMBER) c->warmup = (int64_t)a->warmup;
    if (a->eval_every != NO_NUMBER) c->eval_every = (int64_t)a->eval_every;
    if (a->envs) c->envs = a->envs;
    if (a->batch) c->batch = a->batch;
    if (a->n_step) c->n_step = a->n_step;
    if (a->encoder) c->encoder = a->encoder;
    if (a->encoder_layers) c->encoder_layers = a->encoder_layers;
    if (a->encoder_hidden) c->encoder_hidden = a->encoder_hidden;
    if (a->stack) c->stack_depth = a->stack;
    if (a->eval_episodes) c->eval_episodes = a->eval_episodes;
    if (a->threads) c->threads = a->threads;
    if (a->activation) c->activation = a->activation;
    if (a->gamma > 0) c->gamma = a->gamma;
    if (a->rate > 0) c->actor_rate = c->critic_rate = c->alpha_rate = a->rate;
    if (a->updates > 0) c->updates = a->updates;
    if (a->noise > 0) c->exploration_noise = a->noise;
    if (a->normalize) c->normalize = true;
    if (a->critic_norm) c->critic_norm = true;
    if (a->encoder_mode) (void)deft_encoder_mode_parse(a->encoder_mode, &c->encoder_mode);
    if (a->pretrain_steps) c->pretrain_steps = a->pretrain_steps;
    if (a->sequence) c->sequence = a->sequence;
    if (a->burn_in >= 0) c->burn_in = a->burn_in;
    if (a->critic_dropout > 0) c->critic_dropout = a->critic_dropout;
    if (a->eval_reward) c->eval_reward = a->eval_reward;
    if (a->best_distance > 0) c->best_distance = a->best_distance;
    if (a->seed != NO_NUMBER) c->seed = a->seed;
    if (c->seed > INT64_MAX) return cli_misuse(&cmd_train, "--seed must be below 2^63");
    if (c->warmup == NO_WARMUP) c->warmup = c->steps / 4 < 5000 ? c->steps / 4 + 1 : 5000;
    if (a->hidden && !parse_widths(a->hidden, c->hidden, &c->n_hidden)) {
        return cli_misuse(&cmd_train, "--hidden takes widths like 256,256, not '%s'", a->hidden);
    }
    if (a->critic_hidden &&
        !parse_widths(a->critic_hidden, c->critic_hidden, &c->n_critic_hidden)) {
        return cli_misuse(&cmd_train, "--critic-hidden takes widths like 256,256, not '%s'",
                          a->critic_hidden);
    }
    return CLI_OK;
}

typedef struct watch {
    cli_progress progress;
    double start, reward, eval; // NAN: none yet
    int64_t step, step_last;    // at the last look; of the last round, 0: none
    double at, rate;            // steps a second, smoothed
    char encoder[64];           // what came of pretraining it; "": nothing
} watch;

/* "-" for what there is none of yet. */
static const char *number(double x, char text[32])
{
    (void)snprintf(text, 32, isnan(x) ? "-" : "%.1f", x);
    return text;
}

static int show(void *user, const deft_train_report *r, const deft_train_setup *s)
{
    watch *const w = user;
    const double now = cli_seconds();
    char episodes[32], evaluated[32];
    for (int32_t i = 0; i < r->n_episode; i++) {
        const double x = r->episode[i].reward;
        w->reward = isnan(w->reward) ? x : 0.9 * w->reward + 0.1 * x;
    }
    if (r->pretrained) {
        (void)snprintf(w->encoder, sizeof w->encoder, ", encoder's loss %.3f -> %.3f",
                       (double)r->pretrain_before, (double)r->pretrain_after);
    }
    if (r->evaluated) w->eval = r->eval_reward;
    w->step_last = r->step;
    if (w->at > 0 && now - w->at > 0.5) {
        const double rate = (double)(r->step - w->step) / (now - w->at);
        w->rate = w->rate > 0 ? 0.8 * w->rate + 0.2 * rate : rate;
    }
    if (w->at == 0 || now - w->at > 0.5) {
        w->at = now;
        w->step = r->step;
    }
    cli_progress_show(&w->progress, (double)r->step / (double)s->train.steps,
                      "step %lld, return %s, evaluated %s, %.0f steps/s%s", (long long)r->step,
                      number(w->reward, episodes), number(w->eval, evaluated), w->rate, w->encoder);
    return cli_interrupted();
}

void train_notice(void *user, const char *dir, const char *text)
{
    char shown[256];
    (void)user;
    cli_note(&cmd_train, "%s: %s", deft_escape(shown, sizeof shown, dir, PATH_MAX), text);
}

/* The setup of a run that goes on. */
static int read_setup(const char *dir, deft_arena *arena, deft_train_setup *s)
{
    deft_error err = {DEFT_OK, ""};
    deft_bytes json;
    const char *const path = deft_arena_printf(arena, "%s/config.json", dir);
    if (!path) return cli_fail_text(&cmd_train, "out of memory");
    if (access(path, F_OK) != 0) {
        return cli_fail_text(&cmd_train,
                             "%s: no run is there (no config.json); many runs go on with the "
                             "command that began them",
                             cli_escaped(dir, arena));
    }
    if (deft_file_read(path, 1 << 20, arena, &json, &err) != DEFT_OK ||
        deft_train_setup_read(json, path, arena, s, &err) != DEFT_OK) {
        return cli_fail(&cmd_train, &err);
    }
    return CLI_OK;
}

/* A scene that is a file is the same one from every working directory. */
static void keep_scene(deft_train_setup *s, deft_arena *arena)
{
    char here[PATH_MAX];
    if (!s->scene || s->scene[0] == '/' || access(s->scene, F_OK) != 0) return;
    const bool file = strchr(s->scene, '/') || strchr(s->scene, '.'); // others are names of ours
    if (!file || !getcwd(here, sizeof here)) return;
    const char *const whole = deft_arena_printf(arena, "%s/%s", here, s->scene);
    if (whole) s->scene = whole;
}

/* Defaults, then --config, then options. */
int train_new_setup(const train_args *a, deft_arena *arena, deft_train_setup *s)
{
    deft_error err = {DEFT_OK, ""};
    deft_bytes json;
    if (deft_train_defaults(a->algo ? a->algo : "td3", &s->train, &err) != DEFT_OK) {
        return cli_misuse(&cmd_train, "%s", err.text);
    }
    s->env = "quaid";
    s->train.warmup = NO_WARMUP;
    if (a->config) {
        if (deft_file_read(a->config, 1 << 20, arena, &json, &err) != DEFT_OK ||
            deft_train_setup_merge(json, a->config, arena, s, &err) != DEFT_OK ||
            (a->algo && deft_train_setup_algo(s, a->algo, &err) != DEFT_OK)) {
            return cli_fail(&cmd_train, &err);
        }
    }
    if (a->place.env) s->env = a->place.env;
    if (a->place.scene) s->scene = a->place.scene;
    keep_scene(s, arena);
    if (a->place.reward) s->reward = a->place.reward;
    if (a->place.vary) s->vary = a->place.vary;
    if (a->place.max_steps) s->max_steps = a->place.max_steps;
    if (!isnan(a->place.heading)) s->heading = a->place.heading;
    if (a->place.wire_reward) s->wire_reward = true;
    if (a->place.target_speed > 0) s->target_speed = a->place.target_speed;
    s->load = a->load; // what another run started from is no setting
    const int status = apply(a, &s->train);
    if (status != CLI_OK || deft_train_check(&s->train, &err) == DEFT_OK) return status;
    if (a->config) {
        (void)deft_error_prefix(&err, "with the settings of %s", cli_escaped(a->config, arena));
    }
    return cli_fail(&cmd_train, &err);
}

/* The policy of --load. */
int train_load_start(const train_args *a, const deft_env *env, deft_loaded *l)
{
    const deft_env_spec *const spec = deft_env_get_spec(env);
    const deft_load_options opt = {.env = spec->name, .sensed = spec->n_obs};
    const int status = cli_load(&cmd_train, a->load, &opt, l);
    if (status != CLI_OK || (l->model && !l->integer)) return status;
    return cli_fail_text(&cmd_train, "%s: %s", cli_escaped(a->load, l->arena),
                         l->integer ? "is an integer policy; give the float one" : l->reason);
}

static int print_result(const char *dir, deft_arena *arena)
{
    const char *const path = deft_arena_printf(arena, "%s/result.json", dir);
    return cli_json_print(&cmd_train, path ? json_load_file(path, 0, NULL) : NULL);
}

static int report(const deft_train_run_options *opt, const deft_train_setup *s, deft_status result,
                  const deft_error *err, deft_arena *arena)
{
    const watch *const w = opt->user;
    if (result == DEFT_E_CANCELLED) {
        (void)cli_fail(&cmd_train, err);
        return CLI_INTERRUPTED;
    }
    if (result != DEFT_OK) return cli_fail(&cmd_train, err);
    char evaluated[32];
    const int64_t steps = w->step_last ? w->step_last : s->train.steps; // a round may go beyond
    (void)printf("%s: %lld steps in %.1f s, last evaluation %s%s; policy.onnx is the %s; "
                 "report.html tells more\n",
                 cli_escaped(opt->dir, arena), (long long)steps, cli_seconds() - w->start,
                 number(w->eval, evaluated), w->encoder,
                 s->train.eval_every ? "best evaluated" : "last one");
    return CLI_OK;
}

static int train(const train_args *a, deft_arena *arena, const deft_train_setup *s)
{
    deft_env *env = NULL;
    deft_loaded start = {.path = ""};
    deft_error why = {DEFT_OK, ""};
    int status =
        deft_train_setup_env(s, &env, &why) == DEFT_OK ? CLI_OK : cli_fail(&cmd_train, &why);
    if (status == CLI_OK && a->load) status = train_load_start(a, env, &start);
    if (status == CLI_OK) {
        watch w = {.start = cli_seconds(), .reward = (double)NAN, .eval = (double)NAN};
        const deft_train_run_options opt = {.dir = a->resume ? a->resume : a->out,
                                            .resume = a->resume != NULL,
                                            .extend = a->resume && a->steps != NO_NUMBER,
                                            .checkpoint_seconds = 60 * a->checkpoint_minutes,
                                            .start = start.model,
                                            .progress = show,
                                            .notice = train_notice,
                                            .user = &w};
        cli_progress_init(&w.progress);
        cli_catch_interrupt();
        deft_error err = {DEFT_OK, ""};
        const deft_status result = deft_train_run(s, env, &opt, &err);
        cli_progress_clear(&w.progress);
        if (result == DEFT_OK && a->json) {
            status = print_result(opt.dir, arena);
        } else {
            status = report(&opt, s, result, &err, arena);
        }
    }
    deft_loaded_free(&start);
    deft_env_destroy(env);
    return status;
}

/* --resume RUN --steps N: the run goes on to a farther end. */
static int take_more_steps(const train_args *a, deft_train_setup *s)
{
    if (a->steps == NO_NUMBER) return CLI_OK;
    if (a->steps > INT64_MAX || (int64_t)a->steps <= s->train.steps) {
        return cli_misuse(&cmd_train, "--steps must be above the %lld that the run has already",
                          (long long)s->train.steps);
    }
    s->train.steps = (int64_t)a->steps;
    return CLI_OK;
}

static void nothing_given(train_args *a)
{
    memset(a, 0, sizeof *a);
    a->steps = a->warmup = a->eval_every = a->seed = NO_NUMBER;
    a->burn_in = -1;
    a->place.heading = (double)NAN;
}

/* Of copies by memcpy, whose padding is the same, too. */
static bool same_bytes(const void *a, const void *b, size_t n)
{
    return memcmp(a, b, n) == 0;
}

static int run(int argc, char **argv)
{
    train_args a, nothing;
    nothing_given(&nothing);
    memcpy(&a, &nothing, sizeof a); // padding, too: they are compared
    cli_given given;
    (void)cli_parse_given(&cmd_train, argc, argv, &a, &given);
    if (!a.out == !a.resume) return cli_misuse(&cmd_train, "give a folder by --out or --resume");
    if (a.resume) {
        train_args rest;
        memcpy(&rest, &a, sizeof rest);
        rest.resume = NULL;
        rest.steps = NO_NUMBER;
        rest.threads = 0;
        rest.checkpoint_minutes = 0;
        rest.json = false;
        if (!same_bytes(&rest, &nothing, sizeof rest)) {
            return cli_misuse(&cmd_train, "a resumed run has its settings already: only --steps, "
                                          "--threads, --checkpoint and --json go with --resume");
        }
    }
    const bool many = a.out && (a.seeds || train_is_list(a.algo) || train_is_list(a.config));
    if (!many &&
        cli_unread(&given, "jobs lease",
                   "is for several runs: --seeds N, or lists of --algo or --config") != CLI_OK) {
        return CLI_MISUSE;
    }
    deft_arena *const arena = deft_arena_create(0);
    if (!arena) return cli_fail_text(&cmd_train, "out of memory");
    deft_train_setup s = {.env = NULL};
    if (many) {
        const int done = train_many(&a, &given, arena);
        deft_arena_destroy(arena);
        return done;
    }
    int status = a.resume ? read_setup(a.resume, arena, &s) : train_new_setup(&a, arena, &s);
    const deft_train_setup *const one[] = {&s};
    if (status == CLI_OK && !a.resume) status = train_check_unread(&given, one, 1);
    if (status == CLI_OK && a.resume && a.threads) s.train.threads = a.threads;
    const char *const dir = a.resume ? a.resume : a.out;
    if (status == CLI_OK && a.resume) status = take_more_steps(&a, &s);
    if (status == CLI_OK && a.resume && a.steps == NO_NUMBER &&
        deft_folder_has(dir, "result.json")) {
        if (!a.json) (void)printf("%s: finished already\n", cli_escaped(dir, arena));
        if (a.json) status = print_result(dir, arena);
    } else if (status == CLI_OK) {
        status = train(&a, arena, &s);
    }
    deft_arena_destroy(arena);
    return status;
}

const cli_command cmd_train = {
    .name = "train",
    .operands = "",
    .summary = "train a policy by TD3 or SAC, behind a recurrent encoder or not",
    .details =
        "The run's folder gets config.json, logs (progress.csv, run.sqlite, event files of "
        "TensorBoard), checkpoints, the best evaluated policy as policy.onnx, policy.deft "
        "and policy-int8.deft, and at the end report.html. A run that was stopped, by Ctrl-C "
        "or by kill -9, goes on with --resume and ends with the same bytes; its settings are "
        "those of its config.json.\n\n"
        "With --seeds, or with several algorithms or configurations, there are several runs "
        "below the folder, and a summary. Any number of processes that share the folder may "
        "be given the same command: each takes runs that nobody has, and those of processes "
        "that are lost.",
    .examples = "deft train --algo td3 --env pendulum --hidden 64,64 --steps 20000 -o swing\n"
                "deft train --algo ra-td3 --steps 400000 --seed 1 -o walk\n"
                "deft train --resume walk\n"
                "deft train --resume walk --steps 600000\n"
                "deft train --algo td3,ra-td3 --seeds 5 -o compared\n"
                "mpirun -n 8 --enable-recovery deft train --seeds 20 -o many\n"
                "deft train --config walk/config.json --load walk/policy.onnx -o robust",
    .groups = groups,
    .run = run,
};
