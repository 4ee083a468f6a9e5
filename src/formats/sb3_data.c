/* sb3_data.c - the entry `data` of an archive of Stable-Baselines3: which algorithm's policy it is,
 * its functions and its spaces. */
#include "formats/sb3.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DATA = 64 << 20 };

/* JSON as Python writes it: NaN and infinities, which JSON has not, become null. NULL: no memory.
 */
static char *as_json(deft_bytes data, deft_arena *work, size_t *n)
{
    static const char *const word[] = {"NaN", "-Infinity", "Infinity"};
    char *out = data.size <= MAX_DATA ? deft_arena_alloc(work, 2 * data.size + 1) : NULL;
    const char *s = (const char *)data.data;
    bool quoted = false;
    *n = 0;
    for (size_t i = 0; out && i < data.size;) {
        size_t skip = 0;
        if (quoted && s[i] == '\\' && i + 1 < data.size)
            out[(*n)++] = s[i++];
        else if (s[i] == '"')
            quoted = !quoted;
        for (size_t k = 0; !quoted && k < sizeof word / sizeof *word && !skip; k++) {
            const size_t length = strlen(word[k]);
            if (length <= data.size - i && memcmp(s + i, word[k], length) == 0) skip = length;
        }
        if (skip) {
            for (const char *c = "null"; *c; c++) out[(*n)++] = *c;
            i += skip;
        } else {
            out[(*n)++] = s[i++];
        }
    }
    return out;
}

/* --- the policy's class ---------------------------------------------------------------------- */

static const struct {
    const char *module, *name; // name NULL: any class but those of the rows above
    sb3_algorithm algorithm;
} classes[] = {
    {"stable_baselines3.common.policies", "ActorCriticPolicy", SB3_ACTOR_CRITIC},
    {"stable_baselines3.common.policies", "ActorCriticCnnPolicy", SB3_ACTOR_CRITIC},
    {"stable_baselines3.common.policies", "MultiInputActorCriticPolicy", SB3_ACTOR_CRITIC},
    {"sb3_contrib.common.maskable.policies", NULL, SB3_ACTOR_CRITIC},
    {"sb3_contrib.common.recurrent.policies", NULL, SB3_RECURRENT},
    {"stable_baselines3.sac.policies", NULL, SB3_SAC},
    {"sb3_contrib.tqc.policies", NULL, SB3_SAC},
    {"sb3_contrib.crossq.policies", NULL, SB3_CROSSQ},
    {"stable_baselines3.td3.policies", NULL, SB3_TD3},
    {"stable_baselines3.dqn.policies", NULL, SB3_DQN},
    {"sb3_contrib.qrdqn.policies", NULL, SB3_QRDQN},
    {"sb3_contrib.ars.policies", NULL, SB3_ARS},
};

/* name NULL: the file gives the module alone. */
static sb3_algorithm algorithm_of(const char *module, const char *name)
{
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        if (strcmp(module, classes[i].module) != 0) continue;
        if (!name || !classes[i].name || strcmp(name, classes[i].name) == 0)
            return classes[i].algorithm;
    }
    return SB3_UNKNOWN;
}

/* "ActorCriticPolicy" of "<function ActorCriticPolicy.__init__ at 0x7f...>", NULL where it is not
 * so. Classes that inherit their constructor say nothing. */
static const char *constructor_of(const char *text, deft_arena *a)
{
    static const char head[] = "<function ", tail[] = ".__init__ ";
    const char *end = text ? strstr(text, tail) : NULL;
    if (!end || strncmp(text, head, sizeof head - 1) != 0) return NULL;
    const char *name = text + sizeof head - 1;
    return end > name ? deft_arena_strndup(a, name, (size_t)(end - name)) : NULL;
}

/* The pickle names the class; where it cannot be read, text beside it names the module. */
static deft_status read_class(const json_t *root, deft_arena *work, deft_arena *a, deft_sb3 *f,
                              deft_error *err)
{
    const json_t *o = json_object_get(root, "policy_class");
    const char *module = sb3_text(o, "__module__");
    const pickle_value *v = json_is_object(o) ? sb3_unpickle(o, work) : NULL;
    const char *name = constructor_of(sb3_text(o, "__init__"), work);
    f->policy_class = "";
    if (!json_is_object(o)) return DEFT_OK;
    if (v && v->kind == PICKLE_GLOBAL) {
        const char *full = v->as.text.s, *dot = strrchr(full, '.');
        const size_t n = (size_t)(dot - full);
        if (module && (strlen(module) != n || strncmp(module, full, n) != 0)) {
            char text[200];
            return deft_fail(err, DEFT_E_MISMATCH,
                             "'policy_class': its pickle and '__module__' are not the same: '%s'",
                             deft_escape(text, sizeof text, full, 1024));
        }
        module = deft_arena_strndup(a, full, n);
        name = deft_arena_strndup(a, dot + 1, 512);
    }
    if (!module) return DEFT_OK;
    f->algorithm = algorithm_of(module, name);
    f->policy_class =
        name ? deft_arena_printf(a, "%s.%s", module, name) : deft_arena_strndup(a, module, 512);
    return f->policy_class ? DEFT_OK : deft_fail(err, DEFT_E_SPACE, "no memory");
}

/* --- its arguments --------------------------------------------------------------------------- */

static deft_status real(const json_t *o, const char *key, double *out, deft_error *err)
{
    const json_t *v = json_object_get(o, key);
    if (!v) return DEFT_OK;
    if (!json_is_number(v) || !isfinite(json_number_value(v)))
        return deft_fail(err, DEFT_E_UNSUPPORTED, "policy_kwargs: '%s' is not a number", key);
    *out = json_number_value(v);
    return DEFT_OK;
}

static const char *class_in(const json_t *o, const char *key, deft_arena *a)
{
    const json_t *v = json_object_get(o, key);
    if (!v || json_is_null(v)) return NULL;
    const char *text = sb3_text(o, key);
    return text ? sb3_class_name(text, a) : deft_arena_strndup(a, "?", 1);
}

static deft_status read_kwargs(const json_t *root, deft_arena *a, deft_sb3 *f, deft_error *err)
{
    const json_t *o = json_object_get(root, "policy_kwargs");
    f->squash = -1;
    f->clip_mean = 2; // SAC and TQC
    f->norm_epsilon = 1e-3;
    f->batch_norm = true; // CrossQ
    f->kwargs = json_is_object(o);
    if (!f->kwargs) return DEFT_OK;
    const json_t *squash = json_object_get(o, "squash_output");
    if (json_is_boolean(squash)) f->squash = json_is_true(squash);
    if (json_is_false(json_object_get(o, "batch_norm"))) f->batch_norm = false;
    f->activation = class_in(o, "activation_fn", a);
    f->extractor = class_in(o, "features_extractor_class", a);
    const deft_status s = real(o, "clip_mean", &f->clip_mean, err);
    return s == DEFT_OK ? real(o, "batch_norm_eps", &f->norm_epsilon, err) : s;
}

static deft_status read_root(const json_t *root, deft_arena *work, deft_arena *a, deft_sb3 *f,
                             deft_error *err)
{
    deft_status s = read_class(root, work, a, f, err);
    if (s == DEFT_OK) s = read_kwargs(root, a, f, err);
    if (s == DEFT_OK)
        s = sb3_space_read(json_object_get(root, "observation_space"), "observation_space", work, a,
                           &f->observation, err);
    if (s == DEFT_OK)
        s = sb3_space_read(json_object_get(root, "action_space"), "action_space", work, a,
                           &f->action, err);
    return s;
}

deft_status sb3_data_read(deft_bytes data, deft_arena *work, deft_arena *a, const deft_sb3 **out,
                          deft_error *err)
{
    size_t n = 0;
    json_error_t why;
    *out = NULL;
    const char *text = as_json(data, work, &n);
    deft_sb3 *f = DEFT_NEW(a, deft_sb3);
    if (!text || !f) return deft_fail(err, DEFT_E_SPACE, "more memory than a checkpoint may take");
    json_t *root = json_loadb(text, n, JSON_ALLOW_NUL, &why);
    if (!root || !json_is_object(root)) {
        char reason[160];
        const deft_status s = deft_fail(
            err, DEFT_E_FORMAT, "not an object in JSON: line %d: %s", root ? 1 : why.line,
            root ? "another value" : deft_escape(reason, sizeof reason, why.text, sizeof why.text));
        json_decref(root);
        return s;
    }
    const deft_status s = read_root(root, work, a, f, err);
    json_decref(root);
    if (s == DEFT_OK) *out = f;
    return s;
}
