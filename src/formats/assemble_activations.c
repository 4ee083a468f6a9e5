/* assemble_activations.c - what comes between the layers: as the classes of modules say, as the
 * caller says, or as the framework that gives such names does it. */
#include "formats/assemble_private.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static bool is_norm(const unit *u)
{
    return u->kind == DEFT_LAYER_LAYERNORM || u->kind == DEFT_LAYER_AFFINE;
}

static const float mish_mark = 1; // alpha, which softplus does not have

bool activation_of(const char *name, deft_activation *out)
{
    if (strcmp(name, "mish") != 0) return deft_activation_parse(name, out);
    *out = (deft_activation){DEFT_ACT_SOFTPLUS, mish_mark, 0};
    return true;
}

static bool is_mish(const deft_activation *a)
{
    return a->kind == DEFT_ACT_SOFTPLUS && a->alpha == mish_mark;
}

bool activation_of_class(const char *class_name, deft_activation *out)
{
    char lower[32];
    size_t n = 0;
    for (; class_name[n] && n + 1 < sizeof lower; n++)
        lower[n] = (char)tolower((unsigned char)class_name[n]);
    lower[n] = '\0';
    return !class_name[n] && activation_of(lower, out);
}

static bool does_nothing(const char *class_name)
{
    static const char *const name[] = {"Dropout", "AlphaDropout", "Flatten", "Unflatten"};
    for (size_t i = 0; i < sizeof name / sizeof name[0]; i++)
        if (strcmp(class_name, name[i]) == 0) return true;
    return false;
}

typedef enum said { SAID_NOTHING = 0, SAID_ALL, SAID_UNKNOWN } said;

/* What a Sequential has behind the unit, before its next layer. SAID_NOTHING: the file does not
 * name its classes; SAID_UNKNOWN: it has something we do not know, whose name is put in `other`. */
static said classes_behind(const unit *u, const unit *next, deft_activation *act, char *other,
                           size_t n)
{
    char parent[1100], name[1120];
    const char *leaf = name_leaf(u->name);
    const int64_t index = name_index(u->name);
    const size_t length = leaf > u->name ? (size_t)(leaf - u->name) - 1 : 0;
    *act = (deft_activation){0};
    if (index < 0 || length >= sizeof parent) return SAID_NOTHING;
    memcpy(parent, u->name, length);
    parent[length] = '\0';
    const char *kind = checkpoint_class(u->c, parent);
    if (!kind || strcmp(kind, "Sequential") != 0) return SAID_NOTHING;
    for (int64_t i = index + 1;; i++) {
        deft_activation found;
        (void)snprintf(name, sizeof name, "%s%s%lld", parent, length ? "." : "", (long long)i);
        const char *type = checkpoint_class(u->c, name);
        if (!type || (next && next->c == u->c && strcmp(next->name, name) == 0)) return SAID_ALL;
        if (activation_of_class(type, &found)) {
            if (found.kind != DEFT_ACT_NONE) *act = found;
        } else if (!does_nothing(type)) {
            (void)deft_escape(other, n, type, 256);
            return SAID_UNKNOWN;
        }
    }
}

/* Numbers between two siblings: room for a module without weights. -1: not numbered siblings. */
static int64_t gap(const unit *x, const unit *y)
{
    const int64_t i = name_index(x->name), k = name_index(y->name);
    return i >= 0 && k > i && name_same_stem(x->name, y->name) ? k - i - 1 : -1;
}

/* Does the activation of layer k, which is no normalisation, come behind the normalisation that
 * follows? So it does in most networks, but numbers may show that there is no place for it. */
static bool norm_first(const assembly *s, int32_t k)
{
    const unit *u = s->from[k], *norm = s->from[k + 1];
    if (k + 2 >= s->m->n_layer) return true;
    const int64_t before = gap(u, norm), after = gap(norm, s->from[k + 2]);
    return !(before > 0 && after == 0);
}

/* Where no file and no option says otherwise: behind every dense layer but the last. */
static bool has_activation(const assembly *s, int32_t k)
{
    const int32_t last = s->m->n_layer - 1;
    const unit *u = s->from[k];
    if (k == last || (s->n_encoder && u == &s->unit[s->n_encoder - 1])) return false;
    if (u->kind == DEFT_LAYER_DENSE) return !is_norm(s->from[k + 1]) || !norm_first(s, k);
    return is_norm(u) && k > 0 && s->from[k - 1]->kind == DEFT_LAYER_DENSE && norm_first(s, k - 1);
}

static deft_status unknown_class(const assembly *s, const unit *u, const char *other)
{
    char name[160];
    return deft_fail(s->err, DEFT_E_UNSUPPORTED,
                     "a module of class '%s' follows layer '%s' and cannot be executed", other,
                     deft_escape(name, sizeof name, u->name, 1024));
}

static deft_status unknown_activation(const char *name, deft_error *err)
{
    char hint[DEFT_HINT], all[200] = "", shown[64];
    deft_nearest near;
    deft_nearest_begin(&near, name);
    for (deft_activation_kind k = DEFT_ACT_NONE; k <= DEFT_ACT_CLIP; k++) {
        const size_t used = strlen(all);
        (void)snprintf(all + used, sizeof all - used, "%s%s", used ? ", " : "",
                       deft_activation_name(k));
        deft_nearest_offer(&near, deft_activation_name(k));
    }
    deft_nearest_offer(&near, "mish");
    return deft_fail(err, DEFT_E_ARG, "there is no activation '%s'; there are %s, mish%s",
                     deft_escape(shown, sizeof shown, name, 40), all,
                     deft_nearest_hint(&near, hint));
}

/* Hidden layers. */
static deft_status hidden(assembly *s)
{
    const char *name = s->opt->activation ? s->opt->activation
                       : s->style         ? s->style->activation
                                          : "relu";
    deft_activation fallback;
    bool guessed = false;
    if (!activation_of(name, &fallback)) return unknown_activation(name, s->err);
    for (int32_t k = 0; k + 1 < s->m->n_layer; k++) {
        deft_layer *l = &s->m->layer[k];
        char other[80];
        if (l->kind == DEFT_LAYER_GRU || l->kind == DEFT_LAYER_LSTM) continue;
        if (s->n_item && s->item[k].has_activation) {
            l->activation = s->item[k].activation;
            continue;
        }
        const said what =
            classes_behind(s->from[k], s->from[k + 1], &l->activation, other, sizeof other);
        if (what == SAID_UNKNOWN) return unknown_class(s, s->from[k], other);
        if (what == SAID_ALL && (!s->opt->activation || l->activation.kind == DEFT_ACT_NONE))
            continue;
        const bool there = what == SAID_ALL || has_activation(s, k);
        l->activation = there ? fallback : (deft_activation){0};
        guessed |= there && !s->opt->activation;
    }
    return guessed ? ask(s, "the hidden activation", "activation", name) : DEFT_OK;
}

/* A spread that does not depend on the observation: an unsquashed Gaussian (PPO). */
static bool has_free_spread(const deft_checkpoint *c)
{
    for (int32_t i = 0; i < c->n; i++) {
        const char *leaf = name_leaf(c->name[i]);
        const deft_tensor *t = &c->tensor[i];
        if (t->rank < 1 || t->rank > 2 || (t->rank == 2 && t->dim[0] != 1)) continue;
        if (strcmp(leaf, "log_std") == 0 || strcmp(leaf, "actor_logstd") == 0 ||
            strcmp(leaf, "logstd") == 0 || strcmp(leaf, "std") == 0 ||
            strcmp(leaf, "log_std_parameter") == 0 || strcmp(leaf, "sigma") == 0)
            return true;
    }
    return false;
}

/* Behind the last layer. */
static deft_status squash(assembly *s)
{
    const int32_t last = s->m->n_layer - 1;
    deft_layer *l = &s->m->layer[last];
    const char *name = s->opt->squash;
    char other[80];
    if (name && strcmp(name, "tanh") != 0 && strcmp(name, "none") != 0 && strcmp(name, "clip") != 0)
        return deft_fail(s->err, DEFT_E_ARG, "squash: '%.40s' is no tanh, none or clip", name);
    const bool recurrent = l->kind == DEFT_LAYER_GRU || l->kind == DEFT_LAYER_LSTM;
    if (s->m->contract.discrete || recurrent)
        return name && strcmp(name, "none") != 0
                   ? deft_fail(s->err, DEFT_E_ARG, "squash: there is nothing to be squashed")
                   : DEFT_OK;
    if (!name && s->n_item && s->item[s->n_item - 1].has_activation) {
        l->activation = s->item[s->n_item - 1].activation;
        return DEFT_OK;
    }
    const said what = classes_behind(s->from[last], NULL, &l->activation, other, sizeof other);
    if (what == SAID_UNKNOWN && !name) return unknown_class(s, s->from[last], other);
    if (!name && what == SAID_ALL && l->activation.kind != DEFT_ACT_NONE) return DEFT_OK;
    const bool free = has_free_spread(s->actor), inferred = !name;
    if (inferred) name = s->style ? s->style->squash : free || what == SAID_ALL ? "none" : "tanh";
    if (!deft_activation_parse(name, &l->activation))
        return deft_fail(s->err, DEFT_E_ARG, "squash: '%.40s' is unknown", name);
    if (!inferred || (s->style && s->style->squash_certain)) return DEFT_OK;
    return ask(s, "what the actions go through", "squash", name);
}

/* Files name classes, not their arguments. */
static deft_status note_parameters(const assembly *s)
{
    bool norm = false, shaped = false;
    for (int32_t k = 0; k < s->m->n_layer; k++) {
        const deft_activation_kind a = s->m->layer[k].activation.kind;
        norm |= is_norm(s->from[k]);
        shaped |= a == DEFT_ACT_ELU || a == DEFT_ACT_LEAKY_RELU;
    }
    deft_status status = DEFT_OK;
    if (norm) status = deft_model_assume(s->m, "normalisations have PyTorch's epsilon of 1e-5");
    if (status == DEFT_OK && shaped)
        status = deft_model_assume(s->m, "the slope of activations is PyTorch's default");
    return status;
}

static deft_layer elementwise(deft_layer_kind kind, int32_t n, deft_activation_kind f,
                              deft_segment *in, int32_t n_segment)
{
    return (deft_layer){.kind = kind,
                        .name = "mish",
                        .n_in = n * n_segment,
                        .n_out = n,
                        .n_segment = n_segment,
                        .in = in,
                        .activation = {.kind = f}};
}

/* Layer `at` is followed by x * tanh(softplus(x)). */
static bool add_mish(deft_model *m, deft_layer *layer, int32_t at)
{
    const int32_t n = layer[at].n_out;
    deft_segment *in = DEFT_NEW_ARRAY(m->arena, deft_segment, 4);
    if (!in) return false;
    in[0] = (deft_segment){DEFT_SRC_LAYER, at, 0, n};
    in[1] = (deft_segment){DEFT_SRC_LAYER, at + 1, 0, n};
    in[2] = in[0];
    in[3] = (deft_segment){DEFT_SRC_LAYER, at + 2, 0, n};
    layer[at].activation = (deft_activation){0};
    layer[at + 1] = elementwise(DEFT_LAYER_ACTIVATION, n, DEFT_ACT_SOFTPLUS, in, 1);
    layer[at + 2] = elementwise(DEFT_LAYER_ACTIVATION, n, DEFT_ACT_TANH, in + 1, 1);
    layer[at + 3] = elementwise(DEFT_LAYER_MUL, n, DEFT_ACT_NONE, in + 2, 2);
    return true;
}

deft_status mish_expand(assembly *s)
{
    deft_model *m = s->m;
    int32_t *to = DEFT_NEW_ARRAY(m->arena, int32_t, m->n_layer), n = 0; // where outputs are now
    deft_layer *layer = DEFT_NEW_ARRAY(m->arena, deft_layer, 4 * (size_t)m->n_layer);
    if (!to || !layer) return deft_fail(s->err, DEFT_E_SPACE, "no memory for the policy");
    for (int32_t k = 0; k < m->n_layer; k++) {
        const deft_layer *old = &m->layer[k];
        layer[n] = *old;
        for (int32_t i = 0; i < old->n_segment; i++)
            if (old->in[i].kind == DEFT_SRC_LAYER) old->in[i].index = to[old->in[i].index];
        if (is_mish(&old->activation)) {
            if (!add_mish(m, layer, n)) return deft_fail(s->err, DEFT_E_SPACE, "no memory");
            n += 3;
        }
        to[k] = n++;
    }
    for (int32_t i = 0; i < m->n_out_segment; i++)
        if (m->out[i].kind == DEFT_SRC_LAYER) m->out[i].index = to[m->out[i].index];
    m->layer = layer;
    m->n_layer = n;
    return DEFT_OK;
}

deft_status chain_activations(assembly *s)
{
    deft_status status = hidden(s);
    if (status == DEFT_OK) status = squash(s);
    return status == DEFT_OK ? note_parameters(s) : status;
}
