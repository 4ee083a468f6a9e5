/* agent_td3.c - Fujimoto, van Hoof, Meger 2018, algorithm 1. */
#include "base/math_f32.h"
#include "train/agent_private.h"

#include <string.h>

static float clamp(float v, float lo, float hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

/* Next actions by the target policy, smoothed: clip(tanh(.) + clip(noise)). */
static void target_actions(deft_agent *a, const deft_batch *b)
{
    const deft_agent_config *c = &a->cfg;
    const float *u =
        deft_net_forward(&a->ops, &a->actor_net, a->actor.target, b->next_obs, &a->actor_tape);
    for (int i = 0; i < c->rows * c->n_act; i++) {
        const float e = clamp(b->noise[i] * c->target_noise, -c->noise_clip, c->noise_clip);
        a->next_act[i] = clamp(deft_tanh_f32(u[i]) + e, -1, 1);
    }
}

static void target_value(deft_agent *a, int k)
{
    deft_critic_value(a, k, a->critic[k].target);
}

/* Ascends the first critic's value of the policy's own actions. */
static void learn_actor(deft_agent *a, const deft_batch *b, deft_agent_losses *out)
{
    const deft_agent_config *c = &a->cfg;
    const int n = c->rows * c->n_act;
    const float *u =
        deft_net_forward(&a->ops, &a->actor_net, a->actor.param, b->obs, &a->actor_tape);
    for (int i = 0; i < n; i++) a->sample[i] = deft_tanh_f32(u[i]);
    deft_agent_concat(a, b->obs, a->sample);
    deft_critic_value(a, 0, a->critic[0].param);
    double q = 0;
    for (int r = 0; r < c->rows; r++) {
        const float weight = deft_row_weight(b, r);
        q += (double)weight * (double)a->q[0][r];
        a->dq[0][r] = -1 / (float)c->rows * weight;
    }
    out->actor = (float)(-q / c->rows);
    deft_critic_action_gradient(a, 0);
    for (int i = 0; i < n; i++) {
        a->d_out[i] = a->d_act[0][i] * (1 - a->sample[i] * a->sample[i]);
    }
    memset(a->actor.grad, 0, (size_t)a->actor.n * sizeof(float));
    deft_net_backward(&a->ops, &a->actor_net, a->actor.param, a->d_out, &a->actor_tape,
                      &(deft_net_grad){.param = a->actor.grad});
    deft_learned_adam(a, &a->actor, c->actor_rate);
}

void deft_td3_step(deft_agent *a, const deft_batch *b, deft_agent_losses *out)
{
    const deft_agent_config *c = &a->cfg;
    target_actions(a, b);
    deft_agent_concat(a, b->next_obs, a->next_act);
    deft_agent_each_critic(a, target_value);
    deft_critics_target(a, 0);
    deft_critics_learn(a, out);
    if (a->step % c->policy_delay != 0) return;
    learn_actor(a, b, out);
    out->actor_stepped = true;
    a->ops.vec->polyak(a->actor.target, a->actor.param, c->tau, a->actor.n);
    for (int k = 0; k < 2; k++) {
        a->ops.vec->polyak(a->critic[k].target, a->critic[k].param, c->tau, a->critic[k].n);
    }
}
