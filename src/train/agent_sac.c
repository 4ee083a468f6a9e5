/* agent_sac.c - Haarnoja et al. 2018 ("Soft Actor-Critic Algorithms and Applications"), with
 * automatic temperature, in the order of Stable-Baselines3: temperature, critics, actor, targets.
 */
#include "base/math_f32.h"
#include "train/agent_private.h"

#include <math.h>
#include <string.h>

#define LOG_SD_LO    (-20.0f)
#define LOG_SD_HI    2.0f
#define HALF_LOG_2PI 0.918938533204672742f
#define LOG_2        0.693147180559945309f

static float clamp(float v, float lo, float hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

/* log density of a = tanh(u): N(u) - log(1 - tanh(u)^2), the latter as 2 (log 2 - u -
 * softplus(-2u)), which loses nothing where tanh is flat (appendix C; the stable form is TensorFlow
 * Probability's). */
float deft_gaussian_sample(const float *out, const float *noise, int n_act, float *act)
{
    float log_prob = 0;
    for (int i = 0; i < n_act; i++) {
        const float log_sd = clamp(out[n_act + i], LOG_SD_LO, LOG_SD_HI);
        const float u = out[i] + deft_exp_f32(log_sd) * noise[i];
        log_prob += -0.5f * noise[i] * noise[i] - log_sd - HALF_LOG_2PI -
                    2 * (LOG_2 - u - deft_softplus_f32(-2 * u));
        act[i] = deft_tanh_f32(u);
    }
    return log_prob;
}

/* Actions of the policy on obs; the actor's outputs stay in its tape. */
static const float *sample(deft_agent *a, const float *obs, const float *noise, float *act)
{
    const int m = a->cfg.n_act;
    const float *out =
        deft_net_forward(&a->ops, &a->actor_net, a->actor.param, obs, &a->actor_tape);
    for (int r = 0; r < a->cfg.rows; r++) {
        a->log_prob[r] =
            deft_gaussian_sample(out + (size_t)r * 2 * (size_t)m, noise + (size_t)r * (size_t)m, m,
                                 act + (size_t)r * (size_t)m);
    }
    return out;
}

static void target_value(deft_agent *a, int k)
{
    deft_critic_value(a, k, a->critic[k].target);
}

static void own_value(deft_agent *a, int k)
{
    deft_critic_value(a, k, a->critic[k].param);
}

/* One Adam step of log alpha on -log_alpha (log_prob + target entropy). */
static void learn_alpha(deft_agent *a, double mean_log_prob, deft_agent_losses *out)
{
    const deft_agent_config *c = &a->cfg;
    const double target = c->target_entropy != 0 ? (double)c->target_entropy : -(double)c->n_act;
    const double g = -(mean_log_prob + target), t = (double)(a->actor.step + 1);
    out->alpha = (float)exp(a->log_alpha);
    if (c->fixed_alpha) return;
    a->alpha_moment1 = 0.9 * a->alpha_moment1 + 0.1 * g;
    a->alpha_moment2 = 0.999 * a->alpha_moment2 + 0.001 * g * g;
    const double m = a->alpha_moment1 / (1 - pow(0.9, t));
    const double v = a->alpha_moment2 / (1 - pow(0.999, t));
    a->log_alpha -= (double)c->alpha_rate * m / (sqrt(v) + 1e-8);
}

/* Gradient of alpha log_prob - min(q) by the actor's outputs; d_act holds -dq_min/da / rows. */
static void output_gradient(deft_agent *a, const float *out, const float *noise, float alpha)
{
    const int m = a->cfg.n_act;
    for (int r = 0; r < a->cfg.rows; r++) {
        const float share = alpha / (float)a->cfg.rows * deft_row_weight(a->batch, r);
        for (int i = 0; i < m; i++) {
            const int at = r * m + i;
            const float act = a->sample[at], raw = out[2 * r * m + m + i];
            const float log_sd = clamp(raw, LOG_SD_LO, LOG_SD_HI);
            const float by_q = a->d_act[0][at] + a->d_act[1][at];
            const float d_u = share * 2 * act + by_q * (1 - act * act);
            const bool inside = raw >= LOG_SD_LO && raw <= LOG_SD_HI;
            a->d_out[2 * r * m + i] = d_u;
            a->d_out[2 * r * m + m + i] =
                inside ? d_u * deft_exp_f32(log_sd) * noise[at] - share : 0;
        }
    }
}

static void learn_actor(deft_agent *a, const deft_batch *b, const float *out, float alpha,
                        deft_agent_losses *losses)
{
    const deft_agent_config *c = &a->cfg;
    deft_agent_concat(a, b->obs, a->sample);
    deft_agent_each_critic(a, own_value);
    double loss = 0;
    for (int r = 0; r < c->rows; r++) { // the gradient runs through the smaller value
        const int small = a->q[1][r] < a->q[0][r];
        const float weight = deft_row_weight(b, r);
        a->dq[small][r] = -1 / (float)c->rows * weight;
        a->dq[!small][r] = 0;
        loss += (double)(weight * (alpha * a->log_prob[r] - a->q[small][r]));
    }
    losses->actor = (float)(loss / c->rows);
    deft_agent_each_critic(a, deft_critic_action_gradient);
    output_gradient(a, out, b->noise2, alpha);
    memset(a->actor.grad, 0, (size_t)a->actor.n * sizeof(float));
    deft_net_backward(&a->ops, &a->actor_net, a->actor.param, a->d_out, &a->actor_tape,
                      &(deft_net_grad){.param = a->actor.grad});
    deft_learned_adam(a, &a->actor, c->actor_rate);
}

void deft_sac_step(deft_agent *a, const deft_batch *b, deft_agent_losses *losses)
{
    const deft_agent_config *c = &a->cfg;
    const float alpha = (float)exp(a->log_alpha);

    const float *policy_obs = b->next_policy_obs ? b->next_policy_obs : b->next_obs;
    (void)sample(a, policy_obs, b->noise, a->next_act);
    deft_agent_concat(a, b->next_obs, a->next_act);
    deft_agent_each_critic(a, target_value);
    deft_critics_target(a, alpha);
    deft_critics_learn(a, losses);

    const float *out = sample(a, b->obs, b->noise2, a->sample);
    double log_prob = 0;
    for (int r = 0; r < c->rows; r++) {
        log_prob += (double)deft_row_weight(b, r) * (double)a->log_prob[r];
    }
    losses->log_prob = (float)(log_prob / c->rows);
    learn_alpha(a, log_prob / c->rows, losses);
    learn_actor(a, b, out, alpha, losses);
    losses->actor_stepped = true;
    for (int k = 0; k < 2; k++) {
        a->ops.vec->polyak(a->critic[k].target, a->critic[k].param, c->tau, a->critic[k].n);
    }
}
