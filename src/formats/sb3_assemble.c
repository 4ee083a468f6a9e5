/* sb3_assemble.c - a policy out of an archive of Stable-Baselines3: the layers that its algorithm's
 * predict(deterministic=True) runs, its functions, limits and order of observations. What predict
 * does is in stable_baselines3/common/policies.py and in policies.py of each algorithm. */
#include "formats/assemble_private.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_MODULES = 4 };

typedef struct rule {
    const char *module[MAX_MODULES]; // what an observation goes through, in this order
    const char *activation;          // where policy_kwargs has none
    bool squashed;                   // tanh, then unscaled to the space; else clipped to it
} rule;

static const rule rules[] = {
    [SB3_ACTOR_CRITIC] = {{"mlp_extractor.shared_net", "mlp_extractor.policy_net", "action_net"},
                          "tanh",
                          false},
    [SB3_RECURRENT] = {{"lstm_actor", "mlp_extractor.shared_net", "mlp_extractor.policy_net",
                        "action_net"},
                       "tanh",
                       false},
    [SB3_SAC] = {{"actor.latent_pi", "actor.mu"}, "relu", true},
    [SB3_CROSSQ] = {{"actor.latent_pi", "actor.mu"}, "relu", true},
    [SB3_TD3] = {{"actor.mu"}, "relu", true},
    [SB3_DQN] = {{"q_net.q_net"}, "relu", false},
    [SB3_QRDQN] = {{"quantile_net.quantile_net"}, "relu", false},
    [SB3_ARS] = {{"action_net"}, "relu", false},
};

/* Is the unit the module itself or a numbered child of it? */
static bool in_module(const char *name, const char *module)
{
    const size_t n = strlen(module);
    if (strncmp(name, module, n) != 0) return false;
    return !name[n] || (name[n] == '.' && !strchr(name + n + 1, '.') && name_index(name) >= 0);
}

static deft_status cannot(const assembly *s, const char *what, const char *detail)
{
    char text[200];
    return deft_fail(s->err, DEFT_E_UNSUPPORTED,
                     "%s '%s': Deft does not know what it computes; export the policy as ONNX",
                     what, deft_escape(text, sizeof text, detail, 1024));
}

/* --- what is refused by name ----------------------------------------------------------------- */

/* Which of the algorithm's layers are there decides what it is, and must not contradict its class.
 */
static deft_status check_class(const assembly *s)
{
    const deft_sb3 *f = s->actor->sb3;
    if (f->algorithm != SB3_UNKNOWN) return DEFT_OK;
    if (!f->policy_class[0])
        return deft_fail(s->err, DEFT_E_UNSUPPORTED,
                         "its 'data' does not say the policy's class (policy_class): take "
                         "policy.pth out of the archive and say the rest with options");
    return cannot(s, "policy_class", f->policy_class);
}

static bool is_plain_extractor(const char *class_name)
{
    static const char *const plain[] = {"stable_baselines3.common.torch_layers.FlattenExtractor",
                                        "stable_baselines3.common.torch_layers.CombinedExtractor"};
    return !class_name || strcmp(class_name, plain[0]) == 0 || strcmp(class_name, plain[1]) == 0;
}

static deft_status check_extractor(const assembly *s)
{
    const deft_checkpoint *c = s->actor;
    if (!is_plain_extractor(c->sb3->extractor))
        return cannot(s, "features_extractor_class", c->sb3->extractor);
    for (int32_t i = 0; i < c->n; i++) {
        const char *name = c->name[i];
        if (strstr(name, "features_extractor.") && !strstr(name, "sde_") &&
            !strstr(name, "critic") && !strstr(name, "target") && !strstr(name, "vf_"))
            return cannot(s, "a features extractor with weights of its own", name);
    }
    return DEFT_OK;
}

static deft_status check_observation(const assembly *s, const sb3_space *o)
{
    char key[100] = "";
    if (o->key) (void)deft_escape(key, sizeof key, o->key, 256);
    const char *const of = o->key ? " part " : "", *const quote = o->key ? "'" : "";
    if (o->image)
        return deft_fail(s->err, DEFT_E_UNSUPPORTED,
                         "observation_space%s%s%s%s: images are not read", of, quote, key, quote);
    if (o->kind == SB3_SPACE_BOX || o->kind == SB3_SPACE_MULTI_BINARY) return DEFT_OK;
    if (o->kind == SB3_SPACE_NONE)
        return deft_fail(s->err, DEFT_E_UNSUPPORTED,
                         "its 'data' does not say what the observations are (observation_space)");
    char called[100];
    (void)deft_escape(called, sizeof called, o->called ? o->called : "?", 256);
    return deft_fail(s->err, DEFT_E_UNSUPPORTED, "observation_space%s%s%s%s is a %s%s: not read",
                     of, quote, key, quote, called,
                     o->kind == SB3_SPACE_DISCRETE || o->kind == SB3_SPACE_MULTI_DISCRETE
                         ? ", which Stable-Baselines3 turns into a one-hot vector"
                         : "");
}

static deft_status check_observations(const assembly *s)
{
    const sb3_space *o = &s->actor->sb3->observation;
    if (o->kind != SB3_SPACE_DICT) return check_observation(s, o);
    deft_status status = DEFT_OK;
    for (int32_t i = 0; status == DEFT_OK && i < o->n_part; i++)
        status = check_observation(s, &o->part[i]);
    return status;
}

static deft_status check_options(const assembly *s)
{
    const deft_assemble_options *opt = s->opt;
    if (s->encoder || opt->arch || opt->input)
        return deft_fail(s->err, DEFT_E_ARG,
                         "--encoder, --arch and --input are for tensors alone: this archive says "
                         "which layers its policy has");
    if (opt->squash)
        return deft_fail(s->err, DEFT_E_ARG,
                         "--squash: this archive says what its actions go through");
    return DEFT_OK;
}

/* --- layers ---------------------------------------------------------------------------------- */

/* Modules of a Sequential as SB3 makes them: a layer, a function, a layer, ...; in CrossQ a
 * normalisation before each layer. */
static bool places_fit(const assembly *s, const unit *u, int32_t nth, bool norms)
{
    const int64_t index = name_index(u->name);
    if (index < 0) return true;
    (void)s;
    if (!norms) return index == 2 * (int64_t)nth;
    return index == (u->kind == DEFT_LAYER_AFFINE ? nth / 2 * 3 : nth / 2 * 3 + 1);
}

static deft_status take_module(assembly *s, const unit_list *all, const char *module, unit *to)
{
    const bool norms = s->actor->sb3->algorithm == SB3_CROSSQ && s->actor->sb3->batch_norm &&
                       strstr(module, "latent_pi");
    int32_t nth = 0;
    for (int32_t i = 0; i < all->n; i++) {
        const unit *u = &all->unit[i];
        if (!in_module(u->name, module)) continue;
        if (u->unsupported || (u->kind == DEFT_LAYER_AFFINE) != (norms && nth % 2 == 0) ||
            !places_fit(s, u, nth, norms))
            return cannot(s, u->unsupported ? u->unsupported : "an unexpected layer", u->name);
        to[s->n_unit] = *u;
        if (u->kind == DEFT_LAYER_AFFINE)
            to[s->n_unit].epsilon = (float)s->actor->sb3->norm_epsilon;
        s->n_unit++;
        nth++;
    }
    return DEFT_OK;
}

static deft_status find_layers(assembly *s, deft_arena *work)
{
    const rule *r = &rules[s->actor->sb3->algorithm];
    unit_list all = {0};
    deft_status status = units_plain(s->actor, work, &all, s->err);
    unit *to = status == DEFT_OK ? DEFT_NEW_ARRAY(work, unit, (size_t)all.n + 1) : NULL;
    if (status == DEFT_OK && !to) status = deft_fail(s->err, DEFT_E_SPACE, "no memory");
    for (int k = 0; status == DEFT_OK && k < MAX_MODULES && r->module[k]; k++)
        status = take_module(s, &all, r->module[k], to);
    if (status != DEFT_OK) return status;
    const char *last = r->module[0];
    for (int k = 0; k < MAX_MODULES && r->module[k]; k++) last = r->module[k];
    s->unit = to;
    if (!to || !last) return DEFT_E_UNSUPPORTED;
    const bool rnn = s->n_unit && (to[0].kind == DEFT_LAYER_LSTM || to[0].kind == DEFT_LAYER_GRU);
    if (!s->n_unit || !in_module(to[s->n_unit - 1].name, last) ||
        rnn != (s->actor->sb3->algorithm == SB3_RECURRENT))
        return deft_fail(s->err, DEFT_E_MISMATCH,
                         "policy_class and the layers in policy.pth contradict each other: '%s' "
                         "is not as that class has it",
                         last);
    return DEFT_OK;
}

/* The mean over the quantiles of each action: rows q * n + a of the last layer. */
static deft_status average_quantiles(assembly *s, int32_t n)
{
    deft_layer *l = &s->m->layer[s->m->n_layer - 1];
    if (n < 1 || l->n_out % n)
        return deft_fail(s->err, DEFT_E_MISMATCH, "%d quantiles are not those of %d actions",
                         (int)l->n_out, (int)n);
    const int32_t quantiles = l->n_out / n;
    for (int32_t a = 0; a < n; a++) {
        for (int32_t i = 0; i <= l->n_in; i++) { // the last is the bias
            double sum = 0;
            if (i == l->n_in && !l->bias) continue;
            for (int32_t q = 0; q < quantiles; q++) {
                const size_t row = (size_t)q * (size_t)n + (size_t)a;
                sum += (double)(i < l->n_in ? l->weight[row * (size_t)l->n_in + (size_t)i]
                                            : l->bias[row]);
            }
            // row a is read by no later action: rows of action a' begin at a'
            float *to =
                i < l->n_in ? &l->weight[(size_t)a * (size_t)l->n_in + (size_t)i] : &l->bias[a];
            *to = (float)(sum / quantiles);
        }
    }
    l->n_out = n;
    s->m->out->length = n;
    s->m->n_output = n;
    return DEFT_OK;
}

/* --- functions ------------------------------------------------------------------------------- */

static deft_status hidden(assembly *s)
{
    const deft_sb3 *f = s->actor->sb3;
    deft_activation said = {0}, wanted = {0};
    const bool from_torch = f->activation && strncmp(f->activation, "torch.nn.", 9) == 0;
    const char *dot = f->activation ? strrchr(f->activation, '.') : NULL;
    const char *option = s->opt->activation;
    bool any = false, known = false;
    for (int32_t k = 0; k + 1 < s->m->n_layer; k++) any |= s->m->layer[k].kind == DEFT_LAYER_DENSE;
    if (option && !activation_of(option, &wanted))
        return deft_fail(s->err, DEFT_E_ARG, "unknown activation '%.40s'", option);
    if (!any && !option) return DEFT_OK;
    if (f->activation)
        known = from_torch && dot && activation_of_class(dot + 1, &said);
    else if (f->kwargs)
        known = activation_of(rules[f->algorithm].activation, &said);
    if (known && option && (said.kind != wanted.kind || said.alpha != wanted.alpha))
        return deft_fail(s->err, DEFT_E_ARG, "--activation %.40s: the archive says another one",
                         option);
    if (!known && !option && f->activation) {
        char text[160];
        return deft_fail(s->err, DEFT_E_UNSUPPORTED,
                         "activation_fn is '%s', which Deft does not know: if it computes the same "
                         "as a known one, say so (--activation NAME); else export ONNX",
                         deft_escape(text, sizeof text, f->activation, 1024));
    }
    if (!known && !option) {
        const char *likely = rules[f->algorithm].activation;
        (void)activation_of(likely, &said);
        const deft_status status = ask(s, "the hidden activation", "activation", likely);
        if (status != DEFT_OK) return status;
    }
    for (int32_t k = 0; k + 1 < s->m->n_layer; k++)
        if (s->m->layer[k].kind == DEFT_LAYER_DENSE)
            s->m->layer[k].activation = option ? wanted : said;
    return DEFT_OK;
}

static float *copy(const assembly *s, const float *x, int32_t n)
{
    return deft_arena_copy(s->m->arena, x, (size_t)n * sizeof *x);
}

static deft_status no_memory(const assembly *s)
{
    return deft_fail(s->err, DEFT_E_SPACE, "no memory for the policy");
}

/* act = low + (tanh(y) + 1) / 2 * (high - low). gSDE clips y to +-clip first: since tanh rises,
 * that is the same as limits for the action. */
static deft_status unscale(assembly *s, const sb3_space *to, double clip)
{
    deft_contract *c = &s->m->contract;
    c->act_scale = copy(s, to->low, to->n);
    c->act_offset = copy(s, to->low, to->n);
    c->act_lo = copy(s, to->low, to->n);
    c->act_hi = copy(s, to->high, to->n);
    if (!c->act_scale || !c->act_offset || !c->act_lo || !c->act_hi) return no_memory(s);
    s->m->layer[s->m->n_layer - 1].activation = (deft_activation){.kind = DEFT_ACT_TANH};
    for (int32_t i = 0; i < to->n; i++) {
        const double lo = (double)to->low[i], half = 0.5 * ((double)to->high[i] - lo);
        if (!isfinite(half) || half < 0)
            return deft_fail(s->err, DEFT_E_RANGE,
                             "action_space: element %d has no finite limits to scale to", (int)i);
        c->act_scale[i] = (float)half;
        c->act_offset[i] = (float)(lo + half);
        if (clip <= 0) continue;
        c->act_lo[i] = (float)(lo + half - half * tanh(clip));
        c->act_hi[i] = (float)(lo + half + half * tanh(clip));
    }
    return DEFT_OK;
}

static deft_status clip_to_space(assembly *s, const sb3_space *to)
{
    deft_contract *c = &s->m->contract;
    bool any = false;
    for (int32_t i = 0; i < to->n; i++) {
        any |= isfinite(to->low[i]) || isfinite(to->high[i]);
        if (!(to->low[i] <= to->high[i]))
            return deft_fail(s->err, DEFT_E_RANGE, "action_space: element %d is empty", (int)i);
    }
    if (!any) return DEFT_OK;
    c->act_lo = copy(s, to->low, to->n);
    c->act_hi = copy(s, to->high, to->n);
    return c->act_lo && c->act_hi ? DEFT_OK : no_memory(s);
}

static bool is_squashed(const deft_sb3 *f)
{
    const size_t n = strlen(f->policy_class), tail = strlen("ARSPolicy");
    if (rules[f->algorithm].squashed) return true;
    if (f->squash >= 0) return f->squash > 0;
    // the only class with a default of true
    return f->algorithm == SB3_ARS && n >= tail &&
           strcmp(f->policy_class + n - tail, "ARSPolicy") == 0;
}

/* ARS without the name of its class: a Sequential is ARSPolicy's, which squashes, a bare layer that
 * of ARSLinearPolicy, which does not. */
static bool ars_squashes(const assembly *s)
{
    const deft_sb3 *f = s->actor->sb3;
    return f->squash < 0 && strcmp(f->policy_class, "sb3_contrib.ars.policies") == 0 &&
           name_index(s->unit[s->n_unit - 1].name) >= 0;
}

static deft_status box(assembly *s, const sb3_space *to)
{
    const deft_sb3 *f = s->actor->sb3;
    if (to->n != s->m->n_output)
        return deft_fail(s->err, DEFT_E_MISMATCH,
                         "action_space has %d numbers, the policy gives %d", (int)to->n,
                         (int)s->m->n_output);
    if (!to->low || !to->high)
        return deft_fail(s->err, DEFT_E_UNSUPPORTED,
                         "the limits of action_space cannot be read: take policy.pth out of the "
                         "archive and say the rest with options");
    s->m->contract.n_act = to->n;
    if (!is_squashed(f) && !(f->algorithm == SB3_ARS && ars_squashes(s)))
        return clip_to_space(s, to);
    const bool clipped = rules[f->algorithm].squashed && f->algorithm != SB3_TD3 &&
                         strcmp(s->unit[s->n_unit - 1].name, "actor.mu.0") == 0;
    return unscale(s, to, clipped ? f->clip_mean : 0);
}

static deft_status discrete(assembly *s, const sb3_space *to)
{
    const deft_sb3 *f = s->actor->sb3;
    deft_status status = DEFT_OK;
    if (f->algorithm == SB3_QRDQN) status = average_quantiles(s, to->choices);
    if (status != DEFT_OK) return status;
    const int32_t want = to->kind == SB3_SPACE_MULTI_BINARY ? to->n : to->choices;
    if (want != s->m->n_output)
        return deft_fail(s->err, DEFT_E_MISMATCH,
                         "action_space has %d choices, the policy gives %d values", (int)want,
                         (int)s->m->n_output);
    s->m->contract.n_act = s->m->n_output;
    if (s->opt->logits) return DEFT_OK;
    if (to->kind != SB3_SPACE_DISCRETE)
        return deft_fail(s->err, DEFT_E_UNSUPPORTED,
                         "action_space is a %s of %d parts, and Deft takes one decision: --logits "
                         "gives the %d values that predict() decides by",
                         to->called, (int)to->n, (int)want);
    s->m->contract.n_act = 1;
    s->m->contract.discrete = true;
    return DEFT_OK;
}

static deft_status actions(assembly *s)
{
    const sb3_space *to = &s->actor->sb3->action;
    if (to->kind == SB3_SPACE_DISCRETE || to->kind == SB3_SPACE_MULTI_DISCRETE ||
        to->kind == SB3_SPACE_MULTI_BINARY)
        return discrete(s, to);
    if (s->opt->logits || s->opt->discrete)
        return deft_fail(s->err, DEFT_E_ARG, "--%s: its actions are continuous",
                         s->opt->logits ? "logits" : "discrete");
    if (to->kind == SB3_SPACE_BOX) return box(s, to);
    if (to->kind == SB3_SPACE_NONE)
        return deft_fail(s->err, DEFT_E_UNSUPPORTED,
                         "its 'data' does not say what the actions are (action_space): take "
                         "policy.pth out of the archive and say the rest with options");
    return cannot(s, "action_space", to->called);
}

/* --- observations ---------------------------------------------------------------------------- */

/* "goal.0", "goal.1", ... in the order in which the policy reads them. */
static deft_status name_observations(assembly *s, const sb3_space *o)
{
    deft_contract *c = &s->m->contract;
    int32_t at = 0;
    if (o->kind != SB3_SPACE_DICT) return DEFT_OK;
    c->obs_name = DEFT_NEW_ARRAY(s->m->arena, const char *, c->n_obs);
    if (!c->obs_name) return no_memory(s);
    for (int32_t p = 0; p < o->n_part; p++) {
        for (int32_t i = 0; i < o->part[p].n; i++, at++) {
            c->obs_name[at] = deft_arena_printf(s->m->arena, "%.100s.%d", o->part[p].key, (int)i);
            if (!c->obs_name[at]) return no_memory(s);
        }
    }
    return DEFT_OK;
}

static deft_status observations(assembly *s)
{
    const sb3_space *o = &s->actor->sb3->observation;
    if (o->n != s->m->contract.n_obs)
        return deft_fail(s->err, DEFT_E_MISMATCH,
                         "observation_space has %d numbers, the policy reads %d", (int)o->n,
                         (int)s->m->contract.n_obs);
    const deft_status status = name_observations(s, o);
    return status == DEFT_OK && s->opt->normaliser ? normaliser_apply(s, s->opt->normaliser)
                                                   : status;
}

deft_status sb3_build(assembly *s, deft_arena *work)
{
    s->m->contract.name = "";
    deft_status status = check_options(s);
    if (status == DEFT_OK) status = check_class(s);
    if (status == DEFT_OK) status = check_extractor(s);
    if (status == DEFT_OK) status = check_observations(s);
    if (status == DEFT_OK) status = find_layers(s, work);
    if (status == DEFT_OK) status = chain_build(s);
    if (status == DEFT_OK) status = hidden(s);
    if (status == DEFT_OK) status = actions(s);
    return status == DEFT_OK ? observations(s) : status;
}
