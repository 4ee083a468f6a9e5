/* cmd_train_check.c - options of 'deft train' that no run would read. */
#include "cmd_train.h"

#include <string.h>

static bool has_encoder(const deft_train_setup *s)
{
    return strcmp(s->train.encoder, "none") != 0;
}

static bool has_stack(const deft_train_setup *s)
{
    return strcmp(s->train.encoder, "stack") == 0;
}

static bool has_layers(const deft_train_setup *s)
{
    return has_encoder(s) && !has_stack(s);
}

static bool learns_encoder(const deft_train_setup *s)
{
    return has_layers(s) && s->train.encoder_mode != DEFT_ENCODER_FROZEN;
}

static bool pretrains(const deft_train_setup *s)
{
    return has_layers(s) && s->train.encoder_mode == DEFT_ENCODER_PRETRAINED;
}

static bool is_td3(const deft_train_setup *s)
{
    return strcmp(s->train.algo, "td3") == 0;
}

static bool evaluates(const deft_train_setup *s)
{
    return s->train.eval_every > 0;
}

static bool measures_distance(const deft_train_setup *s)
{
    return evaluates(s) && strcmp(s->env, "quaid") == 0;
}

int train_check_unread(const cli_given *given, const deft_train_setup *const *setup, int32_t n)
{
    static const struct {
        const char *option;
        bool (*reads)(const deft_train_setup *);
        const char *why;
    } rule[] = {
        {"encoder-mode", has_encoder, "is for an encoder, and there is none (--algo, --encoder)"},
        {"encoder-layers", has_layers, "is for encoders of layers: gru, lstm, mlp"},
        {"encoder-hidden", has_layers, "is for encoders of layers: gru, lstm, mlp"},
        {"stack", has_stack, "is for --encoder stack"},
        {"pretrain-steps", pretrains, "is for --encoder-mode pretrained"},
        {"sequence", learns_encoder, "is for encoders that learn (--encoder-mode)"},
        {"burn-in", learns_encoder, "is for encoders that learn (--encoder-mode)"},
        {"noise", is_td3, "is for TD3; SAC explores by its own distribution"},
        {"eval-episodes", evaluates, "is for evaluations, and --eval-every 0 leaves them out"},
        {"best-distance", measures_distance,
         "is for evaluations of the quaid: it needs --env quaid and --eval-every above 0"},
    };
    for (size_t i = 0; i < sizeof rule / sizeof *rule; i++) {
        bool read = n == 0;
        for (int32_t k = 0; k < n; k++) read = read || rule[i].reads(setup[k]);
        if (!read && cli_unread(given, rule[i].option, rule[i].why) != CLI_OK) return CLI_MISUSE;
    }
    return CLI_OK;
}
