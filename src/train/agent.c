/* agent.c - memory and what TD3 and SAC share. */
#include "train/agent_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static deft_status check(const deft_agent_config *c, deft_error *err)
{
    if (c->n_obs < 1 || c->n_act < 1 || c->rows < 1 || c->n_encoded < 0 ||
        c->n_encoded > c->n_obs || c->n_hidden < 1 || c->n_hidden >= DEFT_NET_LAYERS ||
        c->n_critic_hidden < 0 || c->n_critic_hidden >= DEFT_NET_LAYERS || c->policy_delay < 1) {
        return deft_fail(err, DEFT_E_ARG, "agent: sizes out of range");
    }
    for (int i = 0; i < c->n_hidden; i++) {
        if (c->hidden[i] < 1) return deft_fail(err, DEFT_E_ARG, "agent: hidden layer of no width");
    }
    for (int i = 0; i < c->n_critic_hidden; i++) {
        if (c->critic_hidden[i] < 1) {
            return deft_fail(err, DEFT_E_ARG, "agent: hidden layer of no width in the critic");
        }
    }
    return DEFT_OK;
}

static deft_net make_net(int n_in, const int *hidden, int n_hidden, int n_out)
{
    deft_net n = {.n_layer = n_hidden + 1};
    n.width[0] = n_in;
    for (int i = 0; i < n_hidden; i++) n.width[i + 1] = hidden[i];
    n.width[n_hidden + 1] = n_out;
    return n;
}

static float *take(float *mem, size_t *at, size_t count)
{
    float *p = mem ? mem + *at : NULL;
    *at += (count + 15) & ~(size_t)15;
    return p;
}

static void layout_learned(deft_learned *l, float *mem, size_t *at, bool target)
{
    const size_t n = (size_t)l->n;
    l->param = take(mem, at, n);
    l->target = target ? take(mem, at, n) : NULL;
    l->moment1 = take(mem, at, n);
    l->moment2 = take(mem, at, n);
}

/* Lays everything out in mem, or only counts (mem NULL). Returns floats. */
static size_t layout(deft_agent *a, float *mem)
{
    const deft_agent_config *c = &a->cfg;
    const size_t rows = (size_t)c->rows, act = rows * (size_t)c->n_act;
    size_t at = 0;
    layout_learned(&a->actor, mem, &at, c->algo == DEFT_ALGO_TD3);
    for (int k = 0; k < 2; k++) layout_learned(&a->critic[k], mem, &at, true);
    a->state_floats = at;
    a->actor.grad = take(mem, &at, (size_t)a->actor.n);
    for (int k = 0; k < 2; k++) a->critic[k].grad = take(mem, &at, (size_t)a->critic[k].n);
    at += deft_tape_layout(&a->actor_net, c->rows, mem ? mem + at : NULL, &a->actor_tape);
    for (int k = 0; k < 2; k++) {
        at += deft_tape_layout(&a->critic_net, c->rows, mem ? mem + at : NULL, &a->critic_tape[k]);
    }
    a->input = take(mem, &at, rows * (size_t)(c->n_obs + c->n_act));
    a->next_act = take(mem, &at, act);
    a->sample = take(mem, &at, act);
    a->log_prob = take(mem, &at, rows);
    a->target_q = take(mem, &at, rows);
    a->d_out = take(mem, &at, rows * (size_t)deft_agent_outputs(c));
    for (int k = 0; k < 2; k++) {
        a->q[k] = take(mem, &at, rows);
        a->dq[k] = take(mem, &at, rows);
        a->d_act[k] = take(mem, &at, act);
        if (c->n_encoded) a->d_encoded[k] = take(mem, &at, rows * (size_t)c->n_encoded);
    }
    return at;
}

deft_status deft_agent_create(const deft_agent_config *cfg, const deft_train_ops *ops,
                              deft_agent **out, deft_error *err)
{
    *out = NULL;
    if (check(cfg, err) != DEFT_OK) return err ? err->status : DEFT_E_ARG;
    deft_agent *a = calloc(1, sizeof *a);
    if (!a) return deft_fail(err, DEFT_E_SPACE, "no memory for an agent");
    a->cfg = *cfg;
    a->ops = *ops;
    if (a->cfg.n_critic_hidden == 0) {
        a->cfg.n_critic_hidden = cfg->n_hidden;
        memcpy(a->cfg.critic_hidden, cfg->hidden, sizeof cfg->hidden);
    }
    a->actor_net = make_net(cfg->n_obs, cfg->hidden, cfg->n_hidden, deft_agent_outputs(cfg));
    a->critic_net =
        make_net(cfg->n_obs + cfg->n_act, a->cfg.critic_hidden, a->cfg.n_critic_hidden, 1);
    a->actor_net.hidden = a->critic_net.hidden = cfg->unit;
    a->critic_net.layer_norm = cfg->critic_norm;
    a->critic_net.dropout = cfg->critic_dropout;
    a->actor.n = deft_net_params(&a->actor_net);
    a->critic[0].n = a->critic[1].n = deft_net_params(&a->critic_net);
    const size_t bytes = layout(a, NULL) * sizeof(float);
    a->memory = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
    if (!a->memory) {
        free(a);
        return deft_fail(err, DEFT_E_SPACE, "no memory for an agent of %zu bytes", bytes);
    }
    memset(a->memory, 0, bytes);
    (void)layout(a, a->memory);
    if (cfg->two_threads) {
        const deft_status s = deft_pair_create(&a->pair, err);
        if (s != DEFT_OK) {
            deft_agent_destroy(a);
            return s;
        }
    }
    *out = a;
    return DEFT_OK;
}

void deft_agent_destroy(deft_agent *a)
{
    if (!a) return;
    deft_pair_destroy(a->pair);
    free(a->memory);
    free(a);
}

void deft_agent_init(deft_agent *a, deft_rng *rng)
{
    memset(a->memory, 0, a->state_floats * sizeof(float));
    deft_learned *all[3] = {&a->actor, &a->critic[0], &a->critic[1]};
    for (int i = 0; i < 3; i++) {
        deft_learned *l = all[i];
        deft_net_init(i == 0 ? &a->actor_net : &a->critic_net, l->param, rng);
        if (l->target) memcpy(l->target, l->param, (size_t)l->n * sizeof(float));
        l->step = 0;
    }
    a->step = 0;
    a->log_alpha = log(a->cfg.alpha > 0 ? (double)a->cfg.alpha : 1);
    a->alpha_moment1 = a->alpha_moment2 = 0;
}

void deft_learned_adam(deft_agent *a, deft_learned *l, float rate)
{
    l->step++;
    a->ops.vec->adam(&(deft_adam){rate, 0.9f, 0.999f, 1e-8f, l->step}, l->param, l->moment1,
                     l->moment2, l->grad, l->n);
}

void deft_agent_concat(deft_agent *a, const float *obs, const float *act)
{
    const size_t n = (size_t)a->cfg.n_obs, m = (size_t)a->cfg.n_act;
    float *x = a->input;
    for (int r = 0; r < a->cfg.rows; r++, x += n + m, obs += n, act += m) {
        memcpy(x, obs, n * sizeof *x);
        memcpy(x + n, act, m * sizeof *x);
    }
}

static void run_critic(void *user, int k)
{
    deft_agent *a = user;
    a->task(a, k);
}

void deft_agent_each_critic(deft_agent *a, void (*f)(deft_agent *, int k))
{
    if (a->pair) {
        a->task = f;
        deft_pair_run(a->pair, run_critic, a);
        return;
    }
    f(a, 0);
    f(a, 1);
}

void deft_critic_value(deft_agent *a, int k, const float *param)
{
    const float *q = deft_net_forward(&a->ops, &a->critic_net, param, a->input, &a->critic_tape[k]);
    memcpy(a->q[k], q, (size_t)a->cfg.rows * sizeof *q);
}

void deft_critics_target(deft_agent *a, float entropy_weight)
{
    const deft_batch *b = a->batch;
    for (int r = 0; r < a->cfg.rows; r++) {
        const float q = a->q[0][r] < a->q[1][r] ? a->q[0][r] : a->q[1][r];
        const float entropy = entropy_weight != 0 ? entropy_weight * a->log_prob[r] : 0;
        a->target_q[r] = b->reward[r] + b->discount[r] * (q - entropy);
    }
}

/* Mean squared error of critic k and one step of its optimizer. */
static void learn_critic(deft_agent *a, int k)
{
    deft_learned *l = &a->critic[k];
    const int rows = a->cfg.rows;
    deft_critic_value(a, k, l->param);
    double loss = 0;
    for (int r = 0; r < rows; r++) {
        const float e = a->q[k][r] - a->target_q[r];
        const float weight = deft_row_weight(a->batch, r);
        loss += (double)weight * (double)e * (double)e;
        a->dq[k][r] = 2 * e / (float)rows * weight;
    }
    a->loss[k] = (float)(loss / rows);
    memset(l->grad, 0, (size_t)l->n * sizeof *l->grad);
    deft_net_backward(&a->ops, &a->critic_net, l->param, a->dq[k], &a->critic_tape[k],
                      &(deft_net_grad){.param = l->grad,
                                       .input = a->d_encoded[k],
                                       .first = a->cfg.n_obs - a->cfg.n_encoded,
                                       .n_input = a->cfg.n_encoded});
    deft_learned_adam(a, l, a->cfg.critic_rate);
}

const float *deft_agent_encoded_gradient(const deft_agent *a)
{
    return a->d_encoded[0];
}

/* The masks of a batch: critic after critic, layer after layer, [rows][width]. */
static void set_masks(deft_agent *a, const float *mask)
{
    for (int k = 0; k < 2; k++) {
        for (int l = 0; l + 1 < a->critic_net.n_layer; l++) {
            a->critic_tape[k].mask[l] = mask;
            if (mask) mask += (size_t)a->cfg.rows * (size_t)a->critic_net.width[l + 1];
        }
    }
}

size_t deft_agent_mask_size(const deft_agent *a)
{
    size_t n = 0;
    for (int l = 1; l < a->critic_net.n_layer; l++) n += (size_t)a->critic_net.width[l];
    return a->cfg.critic_dropout > 0 ? 2 * n * (size_t)a->cfg.rows : 0;
}

void deft_critics_learn(deft_agent *a, deft_agent_losses *out)
{
    const deft_batch *b = a->batch;
    deft_agent_concat(a, b->obs, b->act);
    set_masks(a, b->mask);
    deft_agent_each_critic(a, learn_critic);
    set_masks(a, NULL);
    const int encoded = a->cfg.rows * a->cfg.n_encoded;
    for (int i = 0; i < encoded; i++) a->d_encoded[0][i] += a->d_encoded[1][i];
    out->critic = a->loss[0] + a->loss[1];
    double q = 0;
    for (int r = 0; r < a->cfg.rows; r++) {
        q += (double)deft_row_weight(b, r) * (double)a->q[0][r];
    }
    out->q = (float)(q / a->cfg.rows);
}

void deft_critic_action_gradient(deft_agent *a, int k)
{
    deft_net_backward(
        &a->ops, &a->critic_net, a->critic[k].param, a->dq[k], &a->critic_tape[k],
        &(deft_net_grad){.input = a->d_act[k], .first = a->cfg.n_obs, .n_input = a->cfg.n_act});
}

void deft_agent_step(deft_agent *a, const deft_batch *b, deft_agent_losses *out)
{
    *out = (deft_agent_losses){0};
    a->step++;
    a->batch = b;
    if (a->cfg.algo == DEFT_ALGO_SAC) {
        deft_sac_step(a, b, out);
    } else {
        deft_td3_step(a, b, out);
    }
}

const deft_net *deft_agent_actor_net(const deft_agent *a)
{
    return &a->actor_net;
}

float *deft_agent_actor_param(deft_agent *a)
{
    return a->actor.param;
}

void deft_agent_sync_target(deft_agent *a)
{
    if (a->actor.target) {
        memcpy(a->actor.target, a->actor.param, (size_t)a->actor.n * sizeof(float));
    }
}

/* Besides the floats: counters and the temperature. */
typedef struct saved_tail {
    int64_t step, actor_step, critic_step[2];
    double log_alpha, alpha_moment1, alpha_moment2;
} saved_tail;

size_t deft_agent_state_size(const deft_agent *a)
{
    return a->state_floats * sizeof(float) + sizeof(saved_tail);
}

void deft_agent_state_save(const deft_agent *a, void *to)
{
    const saved_tail tail = {a->step,      a->actor.step,    {a->critic[0].step, a->critic[1].step},
                             a->log_alpha, a->alpha_moment1, a->alpha_moment2};
    memcpy(to, a->memory, a->state_floats * sizeof(float));
    memcpy((char *)to + a->state_floats * sizeof(float), &tail, sizeof tail);
}

void deft_agent_state_load(deft_agent *a, const void *from)
{
    saved_tail tail;
    memcpy(a->memory, from, a->state_floats * sizeof(float));
    memcpy(&tail, (const char *)from + a->state_floats * sizeof(float), sizeof tail);
    a->step = tail.step;
    a->actor.step = tail.actor_step;
    for (int k = 0; k < 2; k++) a->critic[k].step = tail.critic_step[k];
    a->log_alpha = tail.log_alpha;
    a->alpha_moment1 = tail.alpha_moment1;
    a->alpha_moment2 = tail.alpha_moment2;
}
