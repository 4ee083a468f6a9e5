/* actor.c - acting with a snapshot of the policy while the agent learns. */
#include "base/math_f32.h"
#include "train/agent_private.h"

#include <stdlib.h>
#include <string.h>

struct deft_actor {
    deft_train_ops ops;
    deft_net net;
    deft_algo algo;
    int n_act;
    float *param, *memory;
    deft_tape tape;
};

deft_status deft_actor_create(const deft_agent *a, int rows, deft_actor **out, deft_error *err)
{
    *out = NULL;
    deft_actor *p = calloc(1, sizeof *p);
    if (!p) return deft_fail(err, DEFT_E_SPACE, "no memory for an actor");
    p->ops = a->ops;
    p->net = a->actor_net;
    p->algo = a->cfg.algo;
    p->n_act = a->cfg.n_act;
    const size_t n = (size_t)a->actor.n, padded = (n + 15) & ~(size_t)15;
    const size_t count = padded + deft_tape_layout(&p->net, rows, NULL, NULL);
    p->memory = aligned_alloc(64, (count * sizeof(float) + 63) & ~(size_t)63);
    if (!p->memory) {
        free(p);
        return deft_fail(err, DEFT_E_SPACE, "no memory for an actor");
    }
    p->param = p->memory;
    (void)deft_tape_layout(&p->net, rows, p->memory + padded, &p->tape);
    deft_actor_update(p, a);
    *out = p;
    return DEFT_OK;
}

void deft_actor_destroy(deft_actor *p)
{
    if (!p) return;
    free(p->memory);
    free(p);
}

void deft_actor_update(deft_actor *p, const deft_agent *a)
{
    memcpy(p->param, a->actor.param, (size_t)a->actor.n * sizeof(float));
}

void deft_actor_param(const deft_actor *p, float *to)
{
    memcpy(to, p->param, (size_t)deft_net_params(&p->net) * sizeof *to);
}

void deft_actor_act(deft_actor *p, const float *obs, const float *noise, float *act)
{
    const float *out = deft_net_forward(&p->ops, &p->net, p->param, obs, &p->tape);
    const int m = p->n_act;
    for (int r = 0; r < p->tape.rows; r++, out += p->net.width[p->net.n_layer], act += m) {
        if (noise && p->algo == DEFT_ALGO_SAC) {
            (void)deft_gaussian_sample(out, noise + (size_t)r * (size_t)m, m, act);
            continue;
        }
        for (int i = 0; i < m; i++) act[i] = deft_tanh_f32(out[i]);
    }
}
