/* agent_private.h - what the files of the agent share. */
#ifndef DEFT_TRAIN_AGENT_PRIVATE_H
#define DEFT_TRAIN_AGENT_PRIVATE_H

#include "train/agent.h"
#include "train/pair.h"

/* One network with its optimizer: parameters, their moments, gradient. */
typedef struct deft_learned {
    float *param, *target, *moment1, *moment2, *grad; // [n]; target NULL where there is none
    int n;
    int64_t step;
} deft_learned;

struct deft_agent {
    deft_agent_config cfg;
    deft_train_ops ops;
    deft_net actor_net, critic_net;
    deft_learned actor, critic[2];
    float *memory;       // the one allocation
    size_t state_floats; // of memory, from its start: parameters, targets, moments
    int64_t step;
    double log_alpha, alpha_moment1, alpha_moment2;
    /* Workspace. */
    deft_tape actor_tape, critic_tape[2];
    float *input;        // [rows][n_obs + n_act]
    float *next_act;     // [rows][n_act]
    float *log_prob;     // [rows]
    float *q[2], *dq[2]; // [rows]
    float *target_q;     // [rows]
    float *d_act[2];     // [rows][n_act], gradient of each critic by the action
    float *d_encoded[2]; // [rows][n_encoded], of each critic's loss; NULL: nothing is encoded
    float *d_out;        // [rows][outputs of the actor]
    float *sample;       // [rows][n_act], SAC: the action sampled for the policy's own step
    float loss[2];
    const deft_batch *batch;
    deft_pair *pair; // NULL: one thread
    void (*task)(deft_agent *, int k);
};

static inline int deft_agent_outputs(const deft_agent_config *c)
{
    return c->algo == DEFT_ALGO_SAC ? 2 * c->n_act : c->n_act;
}

static inline float deft_row_weight(const deft_batch *b, int row)
{
    return b->weight ? b->weight[row] : 1;
}

void deft_learned_adam(deft_agent *a, deft_learned *l, float rate);
/* input = concat(obs, act) */
void deft_agent_concat(deft_agent *a, const float *obs, const float *act);
/* critic k's value of the current input by its target (or own) parameters, into q[k] */
void deft_critic_value(deft_agent *a, int k, const float *param);
void deft_critics_target(deft_agent *a, float entropy_weight); // target_q from q[], log_prob
/* One step of both critics towards target_q, on the batch's own actions. */
void deft_critics_learn(deft_agent *a, deft_agent_losses *out);
/* d_act[k] = dq[k] x gradient of critic k by the action, for the current input; q[k] too */
void deft_critic_action_gradient(deft_agent *a, int k);
void deft_agent_each_critic(deft_agent *a, void (*f)(deft_agent *, int k));

void deft_td3_step(deft_agent *a, const deft_batch *b, deft_agent_losses *out);
void deft_sac_step(deft_agent *a, const deft_batch *b, deft_agent_losses *losses);

/* Squashed Gaussian: out [n_act] means then [n_act] log sd, clamped to [-20, 2]. act = tanh(mean +
 * sd noise); returns log of its density. */
float deft_gaussian_sample(const float *out, const float *noise, int n_act, float *act);

#endif
