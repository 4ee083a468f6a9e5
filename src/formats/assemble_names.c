/* assemble_names.c - what the names of tensors tell. */
#include "formats/assemble_private.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static bool is_separator(char c)
{
    return c == '.' || c == '/';
}

const char *name_part_end(const char *s)
{
    while (*s && !is_separator(*s)) s++;
    return s;
}

const char *name_leaf(const char *name)
{
    const char *leaf = name;
    for (const char *s = name; *s; s++)
        if (is_separator(*s)) leaf = s + 1;
    return leaf;
}

/* Is the word somewhere in s[0..n)? The word is in lower case. */
static bool holds(const char *s, size_t n, const char *word)
{
    const size_t w = strlen(word);
    for (size_t i = 0; i + w <= n; i++) {
        size_t k = 0;
        while (k < w && tolower((unsigned char)s[i + k]) == word[k]) k++;
        if (k == w) return true;
    }
    return false;
}

static bool equals(const char *s, size_t n, const char *word)
{
    return n == strlen(word) && holds(s, n, word);
}

bool name_contains(const char *name, const char *word)
{
    return holds(name, strlen(name), word);
}

/* Is one of the parts of the name one of the words? */
static bool has_part(const char *name, const char *const *word, size_t n)
{
    for (const char *s = name;; s++) {
        const char *end = name_part_end(s);
        for (size_t i = 0; i < n; i++)
            if (equals(s, (size_t)(end - s), word[i])) return true;
        if (!*end) return false;
        s = end;
    }
}

bool name_is_other(const char *name)
{
    static const char *const inside[] = {
        "critic",    "value", "target", "optim", "exp_avg", "discrim", "log_std",    "logstd",
        "log_alpha", "q_net", "qnet",   "qf",    "vf_",     "teacher", "privileged", "_reverse"};
    static const char *const whole[] = {"q1", "q2",     "q",        "v",     "vf",       "std",
                                        "sd", "fc_std", "memory_c", "sigma", "scheduler"};
    for (size_t i = 0; i < sizeof inside / sizeof inside[0]; i++)
        if (name_contains(name, inside[i])) return true;
    return has_part(name, whole, sizeof whole / sizeof whole[0]);
}

bool name_is_q_network(const char *name)
{
    return (name_contains(name, "q_net") || name_contains(name, "qnet")) &&
           !name_contains(name, "target") && !name_contains(name, "optim") &&
           !name_contains(name, "exp_avg");
}

/* Length of a part without the digits at its end. */
static size_t stem_length(const char *s, const char *end)
{
    while (end > s && isdigit((unsigned char)end[-1])) end--;
    return (size_t)(end - s);
}

static bool is_head(const char *s, size_t n)
{
    static const char *const head[] = {
        "mu",          "mean",         "fc_mu",        "fc_mean",     "mean_layer", "mean_linear",
        "action_net",  "policy_layer", "action_layer", "action_head", "actor_head", "mu_layer",
        "policy_head", "mean_head",    "output_layer", "head"};
    for (size_t i = 0; i < sizeof head / sizeof head[0]; i++)
        if (equals(s, n, head[i])) return true;
    return false;
}

/* Among siblings: 0 what the others read, though rsl_rl and SB3 list it behind them; 2 heads; 1 the
 * rest. */
static int rank_of(const char *s, size_t n)
{
    if (holds(s, n, "encoder") || holds(s, n, "features_extractor") || equals(s, n, "memory_a") ||
        equals(s, n, "memory") || equals(s, n, "lstm_actor"))
        return 0;
    return is_head(s, n) ? 2 : 1;
}

/* Where in the file a child with this stem (s[0..n)) first appears below the parent that the first
 * `parent` characters of `name` are. */
static int32_t first_seen(const deft_checkpoint *c, const char *name, size_t parent, size_t n)
{
    for (int32_t i = 0; i < c->n; i++) {
        if (strncmp(c->name[i], name, parent + n) != 0) continue;
        const char *s = c->name[i] + parent;
        if (stem_length(s, name_part_end(s)) == n) return i;
    }
    return c->n;
}

/* Numbers of any length, without overflow. */
static int compare_digits(const char *x, const char *x_end, const char *y, const char *y_end)
{
    while (x < x_end && *x == '0') x++;
    while (y < y_end && *y == '0') y++;
    if (x_end - x != y_end - y) return x_end - x < y_end - y ? -1 : 1;
    return x == x_end ? 0 : strncmp(x, y, (size_t)(x_end - x));
}

/* Are the first n characters of the name "...actor_state_dict."? */
static bool is_split_actor(const char *name, size_t n)
{
    static const char part[] = "actor_state_dict.";
    return n >= sizeof part - 1 &&
           strncmp(name + n - (sizeof part - 1), part, sizeof part - 1) == 0;
}

int name_compare(const deft_checkpoint *c, const char *x, const char *y)
{
    size_t parent = 0;
    for (;;) { // to the first part in which they differ
        const char *xe = name_part_end(x + parent), *ye = name_part_end(y + parent);
        const size_t n = (size_t)(xe - x);
        if (xe - x != ye - y || strncmp(x, y, n) != 0) break;
        if (!*xe || !*ye) return *xe ? 1 : *ye ? -1 : 0;
        parent = n + 1;
    }
    const char *xs = x + parent, *ys = y + parent;
    if (parent && is_split_actor(x, parent)) { // rsl_rl 4 and 5 list the memory after its reader
        if (strncmp(xs, "rnn.", 4) == 0 && strncmp(ys, "mlp.", 4) == 0) return -1;
        if (strncmp(xs, "mlp.", 4) == 0 && strncmp(ys, "rnn.", 4) == 0) return 1;
    }
    const char *xe = name_part_end(xs), *ye = name_part_end(ys);
    const size_t xn = stem_length(xs, xe), yn = stem_length(ys, ye);
    if (xn == yn && strncmp(xs, ys, xn) == 0) {
        const int order = compare_digits(xs + xn, xe, ys + yn, ye);
        return order ? order : strcmp(xs, ys);
    }
    const int xr = rank_of(xs, (size_t)(xe - xs)), yr = rank_of(ys, (size_t)(ye - ys));
    if (xr != yr) return xr - yr;
    const int32_t xi = first_seen(c, x, parent, xn), yi = first_seen(c, y, parent, yn);
    return xi != yi ? (xi < yi ? -1 : 1) : strcmp(xs, ys);
}

bool name_same_stem(const char *x, const char *y)
{
    const size_t xn = stem_length(x, x + strlen(x)), yn = stem_length(y, y + strlen(y));
    return xn == yn && strncmp(x, y, xn) == 0;
}

int64_t name_index(const char *name)
{
    const char *leaf = name_leaf(name);
    const size_t n = strlen(leaf);
    if (!n || n > 9 || stem_length(leaf, leaf + n) != 0) return -1;
    return strtol(leaf, NULL, 10);
}

const framework *framework_of(const deft_checkpoint *c)
{
    static const framework known[] = {
        {"mlp_extractor", "Stable-Baselines3 (on-policy)", "tanh", "none", false},
        {"latent_pi", "Stable-Baselines3 (SAC)", "relu", "tanh", false},
        {"actor_mean", "CleanRL (PPO)", "tanh", "none", false},
        {"fc_mean", "CleanRL (SAC)", "relu", "tanh", false},
        {"fc_mu", "CleanRL (TD3, DDPG)", "relu", "tanh", false},
        {"memory_a", "rsl_rl", "elu", "none", true},
        {"actor_obs_normalizer", "rsl_rl", "elu", "none", true},
        {"obs_norm_state_dict", "rsl_rl", "elu", "none", true},
        {"net_container", "skrl", "elu", "none", false},
        {"a2c_network", "rl_games", "elu", "clip", false},
        {"std_param", "rsl_rl", "elu", "none", true},
        {"log_std_param", "rsl_rl", "elu", "none", true},
        {"distribution_linear", "Sample Factory", "elu", "none", false},
    };
    for (size_t k = 0; k < sizeof known / sizeof known[0]; k++)
        for (int32_t i = 0; i < c->n; i++)
            if (has_part(c->name[i], &known[k].part, 1)) return &known[k];
    static const framework rsl_rl = {"std", "rsl_rl", "elu", "none", true};
    bool std = false, actor = false, critic = false;
    for (int32_t i = 0; i < c->n; i++) {
        std |= strcmp(name_leaf(c->name[i]), "std") == 0;
        actor |= name_contains(c->name[i], "actor.0.weight");
        critic |= name_contains(c->name[i], "critic.0.weight");
    }
    return std && actor && critic ? &rsl_rl : NULL;
}

const deft_tensor *checkpoint_find(const deft_checkpoint *c, const char *module, const char *leaf)
{
    const size_t n = strlen(module);
    for (int32_t i = 0; i < c->n; i++) {
        const char *s = c->name[i];
        if (n == 0 && strcmp(s, leaf) == 0) return &c->tensor[i];
        if (n && strncmp(s, module, n) == 0 && is_separator(s[n]) && strcmp(s + n + 1, leaf) == 0)
            return &c->tensor[i];
    }
    return NULL;
}

const char *checkpoint_class(const deft_checkpoint *c, const char *module)
{
    for (int32_t i = 0; i < c->n_module; i++)
        if (strcmp(c->module_name[i], module) == 0) {
            const char *dot = strrchr(c->module_class[i], '.');
            return dot ? dot + 1 : c->module_class[i];
        }
    return NULL;
}
