/* assemble.c - a policy out of named tensors. Files of tensors have no graph: which layers there
 * are follows from names and shapes, what is between them from the classes of modules where the
 * file has them, and the rest from options; what is missing then is an error, or an assumption. */
#include "formats/assemble_private.h"

#include <stdio.h>
#include <string.h>

/* Encoder and actor in one list. */
static deft_status find_layers(assembly *s, deft_arena *a)
{
    unit_list list[2] = {0};
    const deft_checkpoint *from[2] = {s->encoder, s->actor};
    for (int k = 0; k < 2; k++) {
        if (!from[k]) continue;
        deft_status status = units_find(from[k], false, a, &list[k], s->err);
        // an architecture may name layers that nobody would take by their names
        if (status == DEFT_E_UNSUPPORTED && s->n_item)
            status = units_find(from[k], true, a, &list[k], s->err);
        if (status != DEFT_OK) return k ? status : (deft_error_prefix(s->err, "encoder"), status);
    }
    unit *all = DEFT_NEW_ARRAY(a, unit, list[0].n + list[1].n);
    if (!all) return deft_fail(s->err, DEFT_E_SPACE, "no memory");
    for (int k = 0; k < 2; k++)
        for (int32_t i = 0; i < list[k].n; i++) all[s->n_unit++] = list[k].unit[i];
    s->unit = all;
    s->n_encoder = list[0].n;
    const bool q_network = list[1].discrete;
    if (s->opt->logits && !q_network && !s->opt->discrete)
        return deft_fail(s->err, DEFT_E_ARG,
                         "--logits: the file does not say that its actions are "
                         "discrete; its outputs are the actions as it is");
    s->m->contract.discrete = (q_network || s->opt->discrete) && !s->opt->logits;
    if (!q_network || s->opt->discrete || s->opt->logits) return DEFT_OK;
    return ask(s, "whether the largest output is the action", "discrete", NULL);
}

/* "td3_actor_net.0 (17-256), ..." */
static deft_status note_layers(const assembly *s)
{
    if (s->n_item) return DEFT_OK; // somebody said them
    char text[400];
    size_t used = 0;
    for (int32_t k = 0; k < s->m->n_layer; k++) {
        const deft_layer *l = &s->m->layer[k];
        char name[80];
        const int n =
            snprintf(text + used, sizeof text - used, "%s%s %s (%d-%d)", k ? ", " : "",
                     deft_layer_kind_name(l->kind), deft_escape(name, sizeof name, l->name, 1024),
                     (int)l->n_in, (int)l->n_out);
        if (n < 0 || (size_t)n >= sizeof text - used - 8) {
            (void)snprintf(text + used, sizeof text - used, ", ...");
            break;
        }
        used += (size_t)n;
    }
    return deft_model_assume(s->m, "layers, by their names and widths: %s", text);
}

deft_status ask(assembly *s, const char *fact, const char *option, const char *likely)
{
    const char *const space = likely ? " " : "", *const value = likely ? likely : "";
    if (s->opt->assume)
        return deft_model_assume(s->m, "%s: --%s%s%s, which the file does not say", fact, option,
                                 space, value);
    const size_t n = strlen(s->missing), r = strlen(s->remedy);
    (void)snprintf(s->missing + n, sizeof s->missing - n, "%s%s", n ? ", nor " : "", fact);
    (void)snprintf(s->remedy + r, sizeof s->remedy - r, " --%s%s%s", option, space, value);
    s->n_missing++;
    return DEFT_OK;
}

deft_status missing_facts(const assembly *s)
{
    char path[160];
    if (!s->n_missing) return DEFT_OK;
    (void)deft_escape(path, sizeof path, s->actor->source, 1024);
    return deft_fail(s->err, DEFT_E_ARG,
                     "the file does not say %s. Likely: deft info %s%s%s (or --assume, which takes "
                     "what is likely)",
                     s->missing, path, s->encoder ? " --encoder ENCODER" : "", s->remedy);
}

static deft_status build_chain(assembly *s, deft_arena *work)
{
    deft_status status = find_layers(s, work);
    if (status == DEFT_OK) status = chain_build(s);
    if (status == DEFT_OK) status = note_layers(s);
    if (status == DEFT_OK) status = chain_activations(s);
    if (status == DEFT_OK) status = assemble_contract(s);
    if (status == DEFT_OK && s->opt->normaliser) status = normaliser_apply(s, s->opt->normaliser);
    return status;
}

static deft_status build(assembly *s)
{
    const char *input = s->opt->input;
    if (input && strcmp(input, "concat") != 0 && strcmp(input, "encoder") != 0)
        return deft_fail(s->err, DEFT_E_ARG, "input: '%.40s' is neither concat nor encoder", input);
    if (s->opt->arch) {
        s->n_item = arch_parse(s->opt->arch, s->item, s->err);
        if (s->n_item < 0) return (deft_status)s->n_item;
    }
    deft_arena *work = deft_arena_create(0);
    if (!work) return deft_fail(s->err, DEFT_E_SPACE, "no memory");
    deft_status status = s->actor->sb3 ? sb3_build(s, work) : build_chain(s, work);
    if (status == DEFT_OK) status = missing_facts(s);
    if (status == DEFT_OK) status = mish_expand(s);
    if (status == DEFT_E_SPACE && s->err && !s->err->text[0])
        status = deft_fail(s->err, status, "no memory for the policy");
    deft_arena_destroy(work);
    return status == DEFT_OK ? deft_model_check(s->m, s->err) : status;
}

deft_status deft_assemble(const deft_checkpoint *actor, const deft_checkpoint *encoder,
                          const deft_assemble_options *opt, deft_arena *a, deft_model **out,
                          deft_error *err)
{
    static const deft_assemble_options none = {0};
    char name[200];
    assembly s = {.actor = actor, .encoder = encoder, .opt = opt ? opt : &none, .err = err};
    *out = NULL;
    s.style = framework_of(actor);
    s.m = DEFT_NEW(a, deft_model);
    if (!s.m) return deft_fail(err, DEFT_E_SPACE, "no memory for the policy");
    s.m->arena = a;
    s.m->source = deft_arena_strndup(a, actor->source, strlen(actor->source));
    if (!s.m->source) return deft_fail(err, DEFT_E_SPACE, "no memory for the policy");
    memcpy(s.m->source_sha256, actor->sha256, sizeof s.m->source_sha256);
    const deft_status status = build(&s);
    if (status != DEFT_OK)
        return deft_error_prefix(err, "%s", deft_escape(name, sizeof name, actor->source, 1024)),
               status;
    *out = s.m;
    return DEFT_OK;
}
