/* agent.h - the gradient steps of TD3 (Fujimoto et al. 2018) and SAC (Haarnoja et al. 2018, with
 * automatic temperature), over batches that the caller drew. Actions live in [-1, 1]. Nothing here
 * is random: the noise comes with the batch. */
#ifndef DEFT_TRAIN_AGENT_H
#define DEFT_TRAIN_AGENT_H

#include "train/net.h"

typedef enum deft_algo {
    DEFT_ALGO_TD3 = 0,
    DEFT_ALGO_SAC,
} deft_algo;

typedef struct deft_agent_config {
    deft_algo algo;
    int n_obs, n_act, rows;          // rows: batch size
    int n_encoded;                   // of n_obs, the last ones: an encoder's, which learns
    int n_hidden;                    // hidden layers of the actor
    int hidden[DEFT_NET_LAYERS - 1]; // and their widths
    int n_critic_hidden;             // likewise; 0: as the actor
    int critic_hidden[DEFT_NET_LAYERS - 1];
    deft_unit unit;   // hidden units
    bool critic_norm; // LayerNorm in the critics
    float critic_dropout;
    float actor_rate, critic_rate, alpha_rate; // of Adam (beta 0.9, 0.999; epsilon 1e-8)
    float tau;                                 // of the targets' moving average
    int policy_delay;                          // critic steps for each step of actor and targets
    float target_noise, noise_clip;            // TD3: smoothing of the target policy
    float target_entropy;                      // SAC; 0: -n_act
    float alpha;                               // SAC: initial temperature
    bool fixed_alpha;
    bool two_threads; // the critics side by side; the same results
} deft_agent_config;

/* All [rows] by what is said. discount: gamma^n, 0 where the episode terminated on the way (a
 * truncated one goes on). noise: standard normal, of the next action; SAC: noise2 of the present.
 */
typedef struct deft_batch {
    const float *obs, *act, *reward, *next_obs, *discount;
    const float *noise, *noise2;
    const float *mask; // dropout of both critics, see deft_agent_mask_size; NULL: none
    /* An encoder that learns has targets of its own; next_obs is then by those. SAC's policy, which
     * has no target, reads this; NULL: next_obs. */
    const float *next_policy_obs;
    const float *weight; // of rows, mean 1; NULL: 1
} deft_batch;

typedef struct deft_agent deft_agent;

deft_status deft_agent_create(const deft_agent_config *cfg, const deft_train_ops *ops,
                              deft_agent **out, deft_error *err);
void deft_agent_destroy(deft_agent *a);
/* Floats of deft_batch.mask: dropout of the first critic's hidden layers, then the second's, each
 * [rows][width], values 0 or 1 / (1 - critic_dropout). 0 without dropout. */
size_t deft_agent_mask_size(const deft_agent *a);
void deft_agent_init(deft_agent *a, deft_rng *rng); // new parameters, new optimizers

/* What one step saw; means over the batch. */
typedef struct deft_agent_losses {
    float critic, actor, alpha, q, log_prob;
    bool actor_stepped;
} deft_agent_losses;
void deft_agent_step(deft_agent *a, const deft_batch *b, deft_agent_losses *out);
/* [rows][n_encoded]: gradient of the last step's critic losses by what the encoder gave to obs. */
const float *deft_agent_encoded_gradient(const deft_agent *a);

/* Actions of rows observations, [rows][n_act]. noise NULL: the mean action; else standard normal:
 * SAC samples its policy, TD3 ignores it (its caller adds exploration noise). rows at most the
 * batch size. Uses memory apart from that of the steps, so one thread may act while another learns,
 * on parameters of its own: those of deft_actor_update. */
typedef struct deft_actor deft_actor;
deft_status deft_actor_create(const deft_agent *a, int rows, deft_actor **out, deft_error *err);
void deft_actor_destroy(deft_actor *p);
void deft_actor_update(deft_actor *p, const deft_agent *a); // copies the actor's parameters
void deft_actor_param(const deft_actor *p, float *to);      // [deft_net_params]
void deft_actor_act(deft_actor *p, const float *obs, const float *noise, float *act);

/* The actor's network and parameters, for export. SAC's has 2 n_act outputs: means, then log sd. */
const deft_net *deft_agent_actor_net(const deft_agent *a);
float *deft_agent_actor_param(deft_agent *a);
void deft_agent_sync_target(deft_agent *a); // the actor's target becomes the actor

/* Everything a step depends on, as one block of memory, for checkpoints: the same agent later goes
 * on bit for bit. */
size_t deft_agent_state_size(const deft_agent *a); // bytes
void deft_agent_state_save(const deft_agent *a, void *to);
void deft_agent_state_load(deft_agent *a, const void *from);

#endif
