/* graph_ports.c - which input of a graph is whose state: files only name and shape them. */
#include "rollout/graph_policy.h"

#include <ctype.h>
#include <string.h>

enum { STEM = 128 };

/* The words of a name without those that only say which side of the step it is on; loose: also
 * without what numbers or marks the time ("h0", "hn", "h_t"). "" for a name of such words alone. */
static void stem_of(const char *name, bool loose, char stem[STEM])
{
    static const char *const side[] = {"in",  "out",  "input",    "output", "next",
                                       "new", "prev", "previous", "old",    "final"};
    static const char *const mark[] = {"0", "1", "n", "t", "t1", "init", "initial"};
    size_t n = 0;
    stem[0] = '\0';
    for (const char *p = name; *p;) {
        char word[32];
        size_t len = 0;
        while (*p && !isalnum((unsigned char)*p)) p++;
        for (; *p && isalnum((unsigned char)*p); p++)
            if (len + 1 < sizeof word) word[len++] = (char)tolower((unsigned char)*p);
        word[len] = '\0';
        bool drop = len == 0;
        for (size_t i = 0; i < sizeof side / sizeof *side; i++)
            drop = drop || strcmp(word, side[i]) == 0;
        for (size_t i = 0; loose && i < sizeof mark / sizeof *mark; i++)
            drop = drop || strcmp(word, mark[i]) == 0;
        if (drop) continue;
        if (loose && len == 2 && (word[1] == '0' || word[1] == 'n')) word[--len] = '\0';
        if (n + len + 2 > STEM) return;
        memcpy(stem + n, word, len);
        n += len;
        stem[n++] = ' ';
        stem[n] = '\0';
    }
}

static bool same_shape(const deft_tensor *a, const deft_tensor *b)
{
    int32_t i = 0, k = 0;
    for (;;) {
        while (i < a->rank && a->dim[i] == 1) i++;
        while (k < b->rank && b->dim[k] == 1) k++;
        if (i == a->rank || k == b->rank) return i == a->rank && k == b->rank;
        if (a->dim[i++] != b->dim[k++]) return false;
    }
}

static const char *input_name(const deft_graph *g, int32_t i)
{
    return g->value[g->input[i].value].name;
}

static const char *output_name(const deft_graph *g, int32_t i)
{
    return g->value[g->output[i].value].name;
}

/* Does the name have a word that begins so? */
static bool says(const char *name, const char *const *word)
{
    char stem[STEM];
    stem_of(name, false, stem);
    for (; *word; word++) {
        const char *at = strstr(stem, *word);
        if (at && (at == stem || at[-1] == ' ')) return true;
    }
    return false;
}

static bool says_observation(const char *name)
{
    static const char *const word[] = {"obs",  "command", "goal", "image",
                                       "scan", "height",  "time", NULL};
    return says(name, word);
}

static bool says_output(const char *name)
{
    static const char *const word[] = {"act", "value", "log", "prob", "mu ", "std", "q ", NULL};
    return says(name, word);
}

/* "prev_action", "last_actions", "applied_act" */
static bool says_previous_action(const char *name)
{
    static const char *const action[] = {"act", NULL};
    static const char *const when[] = {"prev", "last", "applied", "past"};
    char low[STEM];
    size_t n = 0;
    for (; name[n] && n + 1 < STEM; n++) low[n] = (char)tolower((unsigned char)name[n]);
    low[n] = '\0';
    for (size_t i = 0; i < sizeof when / sizeof *when; i++)
        if (strstr(low, when[i]) && says(name, action)) return true;
    return false;
}

static bool taken(const deft_graph *g, const graph_ports *p, int32_t output)
{
    for (int32_t i = 0; i < g->n_input; i++)
        if (p->feeds[i] == output) return true;
    return false;
}

typedef struct pairing {
    const deft_graph *g;
    const deft_tensor *in;
    const deft_tensor *const *out;
    graph_ports *p;
    int32_t inputs, outputs; // not yet paired; one of each must stay
} pairing;

static void pair(pairing *x, int32_t input, int32_t output)
{
    x->p->feeds[input] = output;
    x->inputs--;
    x->outputs--;
}

static void pair_by_name(pairing *x, bool loose)
{
    for (int32_t i = 0; i < x->g->n_input && x->inputs > 1; i++) {
        char a[STEM], b[STEM];
        stem_of(input_name(x->g, i), loose, a);
        if (x->p->feeds[i] != GRAPH_OBSERVATION || a[0] == '\0') continue;
        for (int32_t o = 0; o < x->g->n_output && x->outputs > 1; o++) {
            stem_of(output_name(x->g, o), loose, b);
            if (strcmp(a, b) != 0 || taken(x->g, x->p, o)) continue;
            if (!same_shape(&x->in[i], x->out[o])) continue;
            pair(x, i, o);
            break;
        }
    }
}

/* From the end: observations and actions come first. */
static void pair_by_order(pairing *x)
{
    for (int32_t i = x->g->n_input - 1; i >= 0 && x->inputs > 1; i--) {
        if (x->p->feeds[i] != GRAPH_OBSERVATION) continue;
        if (says_observation(input_name(x->g, i))) continue;
        for (int32_t o = x->g->n_output - 1; o >= 0 && x->outputs > 1; o--) {
            if (taken(x->g, x->p, o) || says_output(output_name(x->g, o))) continue;
            if (!same_shape(&x->in[i], x->out[o])) continue;
            pair(x, i, o);
            break;
        }
    }
}

/* The last state that is not an LSTM's cell. */
static int32_t find_hidden(const deft_graph *g, const graph_ports *p)
{
    static const char *const cell[] = {"c ", "c0 ", "cn ", "cell", NULL};
    for (int32_t i = g->n_input - 1; i >= 0; i--)
        if (p->feeds[i] >= 0 && !says(input_name(g, i), cell)) return p->feeds[i];
    return -1;
}

static int32_t find_action(const deft_graph *g, const graph_ports *p)
{
    static const char *const action[] = {"act", NULL}, *const mean[] = {"mu ", "mean", NULL};
    int32_t best = -1;
    for (int32_t o = g->n_output - 1; o >= 0; o--)
        if (!taken(g, p, o)) best = o;
    for (int32_t o = g->n_output - 1; o >= 0; o--)
        if (!taken(g, p, o) && says(output_name(g, o), mean)) best = o;
    for (int32_t o = g->n_output - 1; o >= 0; o--)
        if (!taken(g, p, o) && says(output_name(g, o), action)) best = o;
    return best;
}

deft_status graph_ports_find(const deft_graph *g, const deft_tensor *in,
                             const deft_tensor *const *out, graph_ports *p, deft_error *err)
{
    pairing x = {g, in, out, p, g->n_input, g->n_output};
    for (int32_t i = 0; i < g->n_input; i++) {
        p->feeds[i] = GRAPH_OBSERVATION;
        if (!says_previous_action(input_name(g, i)) || x.inputs == 1) continue;
        p->feeds[i] = GRAPH_PREVIOUS;
        x.inputs--;
    }
    pair_by_name(&x, false);
    pair_by_name(&x, true);
    pair_by_order(&x);
    p->hidden = find_hidden(g, p);
    p->action = find_action(g, p);
    if (p->action < 0)
        return deft_fail(err, DEFT_E_UNSUPPORTED, "no output of the graph is an action");
    for (int32_t i = 0; i < g->n_input; i++)
        if (p->feeds[i] == GRAPH_PREVIOUS && in[i].count != out[p->action]->count)
            p->feeds[i] = GRAPH_OBSERVATION;
    return DEFT_OK;
}
