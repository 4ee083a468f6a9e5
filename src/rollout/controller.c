/* controller.c - anything that can be asked for actions: an image in the runtime, or a graph in
 * the reference evaluator. */
#include "deft/rollout.h"
#include "rollout/graph_policy.h"
#include "runtime/step.h"

#include <stdlib.h>
#include <string.h>

enum { LINE = 128 }; // two cache lines: neighbours are fetched in pairs

struct deft_controller {
    graph_policy *graph; // NULL: an image
    void *arena;         // of the image's policy
    deft_policy policy;
    int32_t recurrent; // last recurrent layer of the image, -1: none
};

/* Memory that shares no cache line with another thread's. */
static void *own_lines(size_t size)
{
    void *p = aligned_alloc(LINE, (size + LINE - 1) / LINE * LINE);
    if (p) memset(p, 0, size);
    return p;
}

static deft_status no_memory(deft_error *err)
{
    return deft_fail(err, DEFT_E_SPACE, "no memory for a policy");
}

void deft_controller_destroy(deft_controller *c)
{
    if (!c) return;
    graph_policy_destroy(c->graph);
    free(c->arena);
    free(c);
}

static int32_t last_recurrent(const deft_policy *p)
{
    for (int32_t k = (int32_t)p->n_layer - 1; k >= 0; k--) {
        // the kind is the first byte, in float and integer policies
        const uint8_t kind = *deft_image_payload(p->cfg.image, p->directory, (uint32_t)k);
        if (kind == DEFT_IMAGE_GRU || kind == DEFT_IMAGE_LSTM) return k;
    }
    return -1;
}

static deft_status init_policy(deft_controller *c, deft_bytes image, const deft_kernels *kernels,
                               deft_error *err)
{
    if ((uintptr_t)image.data % DEFT_IMAGE_ALIGN != 0)
        return deft_fail(err, DEFT_E_ARG, "an image must be %d-byte aligned", DEFT_IMAGE_ALIGN);
    const int32_t size = deft_policy_size_kept(image.data, image.size);
    if (size < 0)
        return deft_fail(err, (deft_status)size, "the image is refused: %s",
                         deft_status_str((deft_status)size));
    c->arena = own_lines((size_t)size);
    if (!c->arena) return no_memory(err);
    const deft_policy_config cfg = {.image = image.data,
                                    .image_size = image.size,
                                    .arena = c->arena,
                                    .arena_size = (size_t)size,
                                    .kernels = kernels ? kernels : deft_kernels_best()};
    const deft_status s = deft_policy_init(&c->policy, &cfg);
    if (s != DEFT_OK)
        return deft_fail(err, s, "the image cannot be started: %s", deft_status_str(s));
    c->recurrent = last_recurrent(&c->policy);
    return DEFT_OK;
}

deft_status deft_controller_from_image(deft_bytes image, const deft_kernels *kernels,
                                       deft_controller **out, deft_error *err)
{
    *out = NULL;
    deft_controller *c = own_lines(sizeof *c);
    if (!c) return no_memory(err);
    const deft_status s = init_policy(c, image, kernels, err);
    if (s == DEFT_OK)
        *out = c;
    else
        deft_controller_destroy(c);
    return s;
}

deft_status deft_controller_from_graph(const deft_graph *g, deft_controller **out, deft_error *err)
{
    *out = NULL;
    deft_controller *c = own_lines(sizeof *c);
    if (!c) return no_memory(err);
    const deft_status s = graph_policy_create(g, &c->graph, err);
    if (s == DEFT_OK)
        *out = c;
    else
        deft_controller_destroy(c);
    return s;
}

deft_status deft_controller_clone(const deft_controller *c, deft_controller **out, deft_error *err)
{
    const deft_policy_config *cfg = &c->policy.cfg;
    if (!c->graph) {
        const deft_bytes image = {cfg->image, cfg->image_size};
        return deft_controller_from_image(image, cfg->kernels, out, err);
    }
    const deft_status s = deft_controller_from_graph(graph_policy_graph(c->graph), out, err);
    if (s == DEFT_OK && *out) graph_policy_copy_settings((*out)->graph, c->graph);
    return s;
}

int32_t deft_controller_n_obs(const deft_controller *c)
{
    if (!c->graph) return c->policy.n_obs;
    const int32_t n = graph_policy_n_input(c->graph);
    return graph_policy_feeds_previous(c->graph) ? n - graph_policy_n_act(c->graph) : n;
}

int32_t deft_controller_n_act(const deft_controller *c)
{
    return c->graph ? graph_policy_n_act(c->graph) : c->policy.n_act;
}

static deft_status wrong_observations(const deft_controller *c, const deft_env_spec *spec,
                                      deft_error *err)
{
    const int n = (int)deft_controller_n_obs(c);
    if (!c->graph && spec->previous_action_first && n == spec->n_obs + spec->n_act)
        return deft_fail(err, DEFT_E_MISMATCH,
                         "the policy wants %d observations: %d previous actions and the %d that "
                         "'%s' gives, but its image does not feed the actions back (convert it "
                         "with a contract that says so)",
                         n, (int)spec->n_act, (int)spec->n_obs, spec->name);
    return deft_fail(err, DEFT_E_MISMATCH, "the policy wants %d observations, '%s' gives %d%s", n,
                     spec->name, (int)spec->n_obs,
                     spec->previous_action_first ? " (or its previous action before them)" : "");
}

deft_status deft_controller_bind(deft_controller *c, const deft_env_spec *spec, deft_error *err)
{
    const bool discrete =
        c->graph ? graph_policy_discrete(c->graph) : (c->policy.flags & DEFT_POLICY_DISCRETE) != 0;
    if (discrete)
        return deft_fail(err, DEFT_E_MISMATCH,
                         "the policy chooses one of a list of actions, '%s' wants %d numbers",
                         spec->name, (int)spec->n_act);
    if (deft_controller_n_act(c) != spec->n_act)
        return deft_fail(err, DEFT_E_MISMATCH, "the policy gives %d actions, '%s' takes %d",
                         (int)deft_controller_n_act(c), spec->name, (int)spec->n_act);
    const int32_t n_obs = deft_controller_n_obs(c);
    const bool feed = c->graph && spec->previous_action_first && n_obs == spec->n_obs + spec->n_act;
    if (n_obs != spec->n_obs && !feed) return wrong_observations(c, spec, err);
    if (!c->graph) return DEFT_OK;
    if (feed) graph_policy_feed_previous(c->graph);
    graph_policy_scale_previous(c->graph, spec->act_lo, spec->act_hi);
    graph_policy_reset(c->graph);
    return DEFT_OK;
}

void deft_controller_reset(deft_controller *c)
{
    if (c->graph)
        graph_policy_reset(c->graph);
    else
        deft_policy_reset(&c->policy);
}

deft_status deft_controller_step(deft_controller *c, const float *obs, const float *applied_prev,
                                 float *act, deft_error *err)
{
    if (c->graph) return graph_policy_step(c->graph, obs, applied_prev, act, err);
    const deft_status s = deft_policy_step(&c->policy, obs, applied_prev, act);
    if (s == DEFT_OK) return s;
    return deft_fail(err, s,
                     "the policy gives no action: an observation, the previous action or "
                     "a number of the network is not finite");
}

const float *deft_controller_hidden(const deft_controller *c, int32_t *n)
{
    uint32_t length = 0;
    *n = 0;
    if (c->graph) return graph_policy_hidden(c->graph, n);
    if (c->recurrent < 0) return NULL;
    const float *h = deft_policy_layer_f32(&c->policy, (uint32_t)c->recurrent, &length);
    *n = h ? (int32_t)length : 0;
    return h;
}
