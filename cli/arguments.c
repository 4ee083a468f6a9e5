/* arguments.c - the groups of options that several subcommands share. */
#include "arguments.h"
#include "output.h"

#include <limits.h>
#include <string.h>

#define LOAD(field) offsetof(deft_load_options, field)
const cli_opt cli_policy_opts[] = {
    {"encoder", "FILE", "the encoder whose output the policy reads, of the same kind of file",
     CLI_PATH, 0, LOAD(encoder), 0, 0},
    {"encoder-output", "first|last",
     "ONNX: where the encoder's output stands among what one input of the policy reads", CLI_CHOICE,
     0, LOAD(encoder_output), 0, 0},
    {"against", "FILE.onnx", "verify a checkpoint against this graph of the same policy", CLI_PATH,
     0, LOAD(against), 0, 0},
    {"contract", "NAME|FILE.json",
     "give the inputs and outputs these names, units and scales: quaid, quaid-normalised, "
     "pendulum, or a contract of your own (docs/contract.md)",
     CLI_PATH, 0, LOAD(contract), 0, 0},
    {"rewire", "cascade",
     "let each recurrent layer read the new state of the one below it (repairs delayed-wiring)",
     CLI_CHOICE, 0, LOAD(rewire), 0, 0},
    {"previous", "first|last|none",
     "which inputs are the previous action (default: as the file says, else by the numbers)",
     CLI_CHOICE, 0, LOAD(previous), 0, 0},
    {"action-output", "NAME", "the output of the graph that is the action", CLI_TEXT, 0,
     LOAD(understand.action_output), 0, 0},
    {"discrete", NULL, "the outputs are values of actions: take the largest", CLI_FLAG, 0,
     LOAD(understand.discrete), 0, 0},
    {"obs-size", "N",
     "observations of a TorchScript program that runs with several numbers of them", CLI_INT, 0,
     LOAD(torchscript.n_obs), 1, 65536},
    {"arch", "LAYERS",
     "layers of a checkpoint, e.g. gru:64x3,dense:256,dense:256,dense:8 (default: infer)", CLI_TEXT,
     0, LOAD(assemble.arch), 0, 0},
    {"activation", "NAME", "of a checkpoint's hidden layers, where its file does not say it",
     CLI_TEXT, 0, LOAD(assemble.activation), 0, 0},
    {"squash", "tanh|none|clip",
     "what a checkpoint's last layer goes through, where its file does not say it", CLI_CHOICE, 0,
     LOAD(assemble.squash), 0, 0},
    {"input", "concat|encoder",
     "what a checkpoint's actor reads: the input and the encoder's output, or the latter",
     CLI_CHOICE, 0, LOAD(assemble.input), 0, 0},
    {"normalizer", "FILE|none",
     "pickled VecNormalize of a checkpoint's observations (vecnormalize.pkl)", CLI_PATH, 0,
     LOAD(normaliser), 0, 0},
    {"logits", NULL, "of a checkpoint with discrete actions: the values that it decides by",
     CLI_FLAG, 0, LOAD(assemble.logits), 0, 0},
    {"assume", NULL,
     "take what is likely for what a checkpoint does not say, and note it as a warning", CLI_FLAG,
     0, LOAD(assemble.assume), 0, 0},
    {"strict", NULL, "refuse a policy of which anything was assumed", CLI_FLAG, 0, LOAD(strict), 0,
     0},
    {.kind = CLI_END},
};

void cli_note_assumptions(const cli_command *c, const deft_loaded *l)
{
    deft_arena *const a = l->arena;
    if (*l->note) cli_note(c, "%s: %s", cli_basename(l->path, a), cli_escaped(l->note, a));
    if (!l->model || l->model->n_assumption <= l->assumed) return;
    const int32_t n = l->model->n_assumption;
    cli_note(c, "%s: assumed:", cli_basename(l->path, a));
    for (int32_t k = l->assumed; k < n; k++) {
        (void)fprintf(stderr, "  %s\n", cli_escaped(l->model->assumption[k], a));
    }
}

int cli_load(const cli_command *c, const char *path, const deft_load_options *opt, deft_loaded *out)
{
    deft_error err = {DEFT_OK, ""};
    if (deft_load(path, opt, out, &err) != DEFT_OK) return cli_fail(c, &err);
    for (int32_t k = 0; out->graph && k < out->graph->n_note; k++) {
        cli_note(c, "%s: %s", cli_basename(path, out->arena), out->graph->note[k]);
    }
    cli_note_assumptions(c, out);
    return CLI_OK;
}

int cli_load_check(const cli_command *c, char *const *path, int n, deft_load_options *opt)
{
    deft_error err = {DEFT_OK, ""};
    opt->several = n > 1;
    if (n < 2 || deft_load_options_check(path, n, opt, &err) == DEFT_OK) return CLI_OK;
    return cli_misuse(c, "%s", err.text);
}

void cli_note_evaluator(const cli_command *c, const deft_loaded *l)
{
    if (l->image.size) return;
    cli_note(c, "%s: run by the reference evaluator, slowly: %s", cli_basename(l->path, l->arena),
             cli_escaped(l->reason, l->arena));
}

int cli_kernels(const cli_command *c, const char *name, const deft_kernels **out)
{
    char hint[DEFT_HINT], shown[64], all[128] = "";
    if (!name) return CLI_OK;
    *out = deft_kernels_find(name);
    if (*out) return CLI_OK;
    deft_nearest near;
    deft_nearest_begin(&near, name);
    for (const deft_kernels *const *k = deft_kernels_all(); *k; k++) {
        const size_t used = strlen(all);
        (void)snprintf(all + used, sizeof all - used, "%s%s", used ? ", " : "",
                       deft_kernels_name(*k));
        deft_nearest_offer(&near, deft_kernels_name(*k));
    }
    return cli_fail_text(c, "this machine has no kernels '%s'; it has %s%s",
                         deft_escape(shown, sizeof shown, name, 64), all,
                         deft_nearest_hint(&near, hint));
}

#define EPISODES(field) offsetof(cli_episodes, field)
const cli_opt cli_episode_opts[] = {
    {"env", "quaid|pendulum|pendulum-angle", "environment (default: quaid)", CLI_CHOICE, 0,
     EPISODES(env), 0, 0},
    {"scene", "FILE|NAME", "quaid: a MuJoCo model with its joints, or one of models/quaid",
     CLI_PATH, 0, EPISODES(scene), 0, 0},
    {"episodes", "N", "how many (default: 10)", CLI_INT, 'n', EPISODES(episodes), 1, 1e6},
    {"seed", "S", "of the starts; the same one gives the same episodes (default: 0)", CLI_SEED, 's',
     EPISODES(seed), 0, 0},
    {"jobs", "J", "threads (default: one a core); changes no number", CLI_INT, 'j', EPISODES(jobs),
     1, 1024},
    {"max-steps", "N", "end episodes after N steps (default: quaid 500, pendulum 200)", CLI_INT, 0,
     EPISODES(max_steps), 1, 1e9},
    {"heading", "RAD", "quaid: commanded heading; distance and heading error are relative to it",
     CLI_REAL, 0, EPISODES(heading), -7, 7},
    {"reward", "evaluation|paper", "quaid: which weights (default: evaluation)", CLI_CHOICE, 0,
     EPISODES(reward), 0, 0},
    {"wire-reward", NULL, "quaid: reward whole centimetres, as on the original's wire", CLI_FLAG, 0,
     EPISODES(wire_reward), 0, 0},
    {"target-speed", "CM", "quaid: what the reward asks for, cm a step (default: 0.6)", CLI_REAL, 0,
     EPISODES(target_speed), 0.01, 10},
    {"vary", "typical|NAME=X,...",
     "quaid: what differs between episodes, and what of the truth is seen: noise, delay, loss, "
     "friction, mass, servos, pushes (see guide-environments.md)",
     CLI_TEXT, 0, EPISODES(vary), 0, 0},
    {"unperturbed", NULL, "start every episode alike", CLI_FLAG, 0, EPISODES(unperturbed), 0, 0},
    {"log", "FILE.sqlite", "append every step of every episode to this database", CLI_PATH, 0,
     EPISODES(log), 0, 0},
    {.kind = CLI_END},
};

int cli_env_open(const cli_command *c, const cli_episodes *e, deft_arena *a, deft_env **out,
                 const char **scene)
{
    const char *const name = e->env ? e->env : "quaid";
    deft_error err = {DEFT_OK, ""};
    if (deft_scene_find(name, e->scene, a, scene, &err) != DEFT_OK) return cli_fail(c, &err);
    deft_domain domain = {0};
    if (e->vary && deft_domain_parse(e->vary, &domain, &err) != DEFT_OK) {
        return cli_misuse(c, "--vary: %s", err.text);
    }
    const deft_env_config cfg = {
        .scene = *scene,
        .reward = e->reward && strcmp(e->reward, "paper") == 0 ? DEFT_REWARD_PAPER
                                                               : DEFT_REWARD_EVALUATION,
        .wire_reward = e->wire_reward,
        .target_cm = e->target_speed,
        .heading_rad = e->heading,
        .max_steps = e->max_steps,
        .domain = domain,
    };
    return deft_env_create(name, &cfg, out, &err) == DEFT_OK ? CLI_OK : cli_fail(c, &err);
}

deft_rollout_config cli_rollout_config(const cli_episodes *e)
{
    return (deft_rollout_config){.episodes = e->episodes,
                                 .seed = e->seed,
                                 .unperturbed = e->unperturbed,
                                 .jobs = e->jobs,
                                 .log = e->log};
}

#define RECORDED(field) offsetof(cli_recorded, field)
const cli_opt cli_recorded_opts[] = {
    {"obs", "FILE",
     "recorded observations: CSV with columns obs0, obs1, ... or the contract's names, .npy, .npz, "
     "a "
     "log of episodes (.sqlite)",
     CLI_PATH, 0, RECORDED(obs), 0, 0},
    {"feed", "own|recorded",
     "the previous action is what the policy did (default), or the columns act0, act1, ... of the "
     "row before",
     CLI_CHOICE, 0, RECORDED(feed), 0, 0},
    {.kind = CLI_END},
};

int cli_recording_open(const cli_command *c, const cli_recorded *r, deft_arena *a,
                       deft_load_options *opt, deft_recording *out)
{
    deft_error err = {DEFT_OK, ""};
    if (deft_recording_read(r->obs, a, out, &err) != DEFT_OK) return cli_fail(c, &err);
    opt->sensed = out->n_obs;
    return CLI_OK;
}

int cli_recording_fit(const cli_command *c, const deft_loaded *l, deft_arena *a, deft_recording *r)
{
    const deft_contract *const contract = l->model    ? &l->model->contract
                                          : l->qmodel ? &l->qmodel->model->contract
                                                      : NULL;
    deft_error err = {DEFT_OK, ""};
    deft_status s = deft_recording_flags(r, l, a, &err);
    if (s == DEFT_OK) s = deft_recording_fit(r, contract, a, &err);
    return s == DEFT_OK ? CLI_OK : cli_fail(c, &err);
}
